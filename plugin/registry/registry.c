#include "registry.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry_internal.h"

/* --- hashes ---------------------------------------------------------------------------------- */

uint64_t kt_hash_sha256(const uint8_t sha256[static 32])
{
	uint64_t hash;

	memcpy(&hash, sha256, sizeof(hash));
	return hash;
}

uint64_t kt_hash_id(const char *id)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *id != '\0'; id++) {
		uint8_t c = (uint8_t)*id;

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		hash = (hash ^ c) * UINT64_C(1099511628211);
	}
	return hash ^ (hash >> 32); /* the low bits pick the slot: let the high ones count */
}

static struct kt_device_row *device_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->devices, row);
}

static struct kt_credential_row *credential_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->credentials, row);
}

static struct kt_ticket_row *ticket_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->tickets, row);
}

static struct kt_denied_row *denied_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->denied, row);
}

uint64_t kt_hash_device_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_id(device_at(r, row)->d.id.s);
}

uint64_t kt_hash_registered_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_sha256(device_at(r, row)->d.registered_key.b);
}

uint64_t kt_hash_fp_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_sha256(credential_at(r, row)->c.fp.b);
}

uint64_t kt_hash_key_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_sha256(credential_at(r, row)->c.key_id.b);
}

uint64_t kt_hash_ticket_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_sha256(ticket_at(r, row)->t.sha256);
}

uint64_t kt_hash_bound_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_id(ticket_at(r, row)->t.device.s);
}

uint64_t kt_hash_denied_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_sha256(denied_at(r, row)->key_id.b);
}

/* --- rows by key ------------------------------------------------------------------------------ */

struct kt_device_row *kt_row_device_nocase(const struct kt_registry *r, const char *id)
{
	size_t cursor = (size_t)kt_hash_id(id);
	uint32_t row;

	while (kt_table_next(&r->by_id, &cursor, &row)) {
		if (strcasecmp(device_at(r, row)->d.id.s, id) == 0)
			return device_at(r, row);
	}
	return NULL;
}

struct kt_device_row *kt_row_device(const struct kt_registry *r, const char *id)
{
	struct kt_device_row *row = kt_row_device_nocase(r, id);

	return row != NULL && strcmp(row->d.id.s, id) == 0 ? row : NULL;
}

struct kt_device_row *kt_row_registered(const struct kt_registry *r, const struct kt_key_id *key)
{
	size_t cursor = (size_t)kt_hash_sha256(key->b);
	uint32_t row;

	while (kt_table_next(&r->by_registered, &cursor, &row)) {
		if (kt_key_id_eq(&device_at(r, row)->d.registered_key, key))
			return device_at(r, row);
	}
	return NULL;
}

struct kt_credential_row *kt_row_credential(const struct kt_registry *r,
					    const struct kt_fingerprint *fp)
{
	size_t cursor = (size_t)kt_hash_sha256(fp->b);
	uint32_t row;

	while (kt_table_next(&r->by_fp, &cursor, &row)) {
		if (kt_fingerprint_eq(&credential_at(r, row)->c.fp, fp))
			return credential_at(r, row);
	}
	return NULL;
}

struct kt_credential_row *kt_row_key(const struct kt_registry *r, const struct kt_key_id *key)
{
	size_t cursor = (size_t)kt_hash_sha256(key->b);
	uint32_t row;

	while (kt_table_next(&r->by_key, &cursor, &row)) {
		if (kt_key_id_eq(&credential_at(r, row)->c.key_id, key))
			return credential_at(r, row);
	}
	return NULL;
}

struct kt_ticket_row *kt_row_ticket(const struct kt_registry *r, const uint8_t sha256[static 32])
{
	size_t cursor = (size_t)kt_hash_sha256(sha256);
	uint32_t row;

	while (kt_table_next(&r->by_ticket, &cursor, &row)) {
		if (memcmp(ticket_at(r, row)->t.sha256, sha256, 32) == 0)
			return ticket_at(r, row);
	}
	return NULL;
}

struct kt_denied_row *kt_row_denied(const struct kt_registry *r, const struct kt_key_id *key)
{
	size_t cursor = (size_t)kt_hash_sha256(key->b);
	uint32_t row;

	while (kt_table_next(&r->by_denied, &cursor, &row)) {
		if (kt_key_id_eq(&denied_at(r, row)->key_id, key))
			return denied_at(r, row);
	}
	return NULL;
}

/* --- adding rows ------------------------------------------------------------------------------ */

static enum kt_err reserve_tables(struct kt_registry *r)
{
	const struct {
		struct kt_table *table;
		kt_table_hash *hash;
	} all[] = {
		{&r->by_id, kt_hash_device_row},
		{&r->by_fp, kt_hash_fp_row},
		{&r->by_key, kt_hash_key_row},
		{&r->by_ticket, kt_hash_ticket_row},
		{&r->by_registered, kt_hash_registered_row},
		{&r->by_bound, kt_hash_bound_row},
		{&r->by_denied, kt_hash_denied_row},
		{&r->by_operator, kt_hash_operator_row},
	};
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 0; err == KT_ERR_OK && i < sizeof(all) / sizeof(all[0]); i++)
		err = kt_table_reserve(all[i].table, r, all[i].hash);
	return err;
}

enum kt_err kt_registry_reserve(struct kt_registry *r)
{
	struct kt_slab *const slabs[] = {&r->devices, &r->credentials, &r->tickets, &r->denied,
					 &r->operators};
	enum kt_err err = reserve_tables(r);

	for (size_t i = 0; err == KT_ERR_OK && i < sizeof(slabs) / sizeof(slabs[0]); i++)
		err = kt_slab_reserve(slabs[i], 1);
	if (err == KT_ERR_OK && r->keeps_endings)
		err = kt_slab_reserve(&r->endings, 1);
	return err;
}

struct kt_device_row *kt_row_add_device(struct kt_registry *r, const struct kt_device_id *id)
{
	uint32_t n = kt_slab_add(&r->devices);
	struct kt_device_row *row = device_at(r, n);

	row->row = n;
	row->d.id = *id;
	row->d.group = "";
	row->d.labels = "";
	kt_table_add(&r->by_id, kt_hash_id(id->s), n);
	return row;
}

void kt_row_set_group(struct kt_device_row *row, char *group)
{
	free(row->group);
	row->group = group;
	row->d.group = group != NULL ? group : "";
}

void kt_row_set_labels(struct kt_device_row *row, char *labels)
{
	free(row->labels);
	row->labels = labels;
	row->d.labels = labels != NULL ? labels : "";
}

struct kt_credential_row *kt_row_add_credential(struct kt_registry *r,
						const struct kt_credential *c)
{
	uint32_t n = kt_slab_add(&r->credentials);
	struct kt_credential_row *row = credential_at(r, n);

	row->row = n;
	row->c = *c;
	if (r->keeps_endings)
		(void)kt_slab_add(&r->endings);
	kt_table_add(&r->by_fp, kt_hash_sha256(c->fp.b), n);
	kt_table_add(&r->by_key, kt_hash_sha256(c->key_id.b), n);
	r->counts.credentials++;
	return row;
}

struct kt_ticket_row *kt_row_add_ticket(struct kt_registry *r, const struct kt_ticket_entry *t)
{
	uint32_t n = kt_slab_add(&r->tickets);
	struct kt_ticket_row *row = ticket_at(r, n);

	row->row = n;
	row->t = *t;
	kt_table_add(&r->by_ticket, kt_hash_sha256(t->sha256), n);
	if (t->device.s[0] != '\0')
		kt_table_add(&r->by_bound, kt_hash_id(t->device.s), n);
	if (!t->used)
		r->counts.tickets_open++;
	return row;
}

struct kt_denied_row *kt_row_add_denied(struct kt_registry *r, const struct kt_key_id *key)
{
	uint32_t n = kt_slab_add(&r->denied);
	struct kt_denied_row *row = denied_at(r, n);

	row->row = n;
	row->key_id = *key;
	row->denied = true;
	kt_table_add(&r->by_denied, kt_hash_sha256(key->b), n);
	return row;
}

void kt_row_register(struct kt_registry *r, struct kt_device_row *row, const struct kt_key_id *key)
{
	if (row->d.has_registered_key)
		kt_table_remove(&r->by_registered, r, kt_hash_registered_row, row->row);
	row->d.has_registered_key = key != NULL;
	row->d.registered_key = key != NULL ? *key : (struct kt_key_id){{0}};
	if (key != NULL)
		kt_table_add(&r->by_registered, kt_hash_sha256(key->b), row->row);
}

static void add_count(size_t *count, bool does_count, int sign)
{
	if (does_count)
		*count = sign > 0 ? *count + 1 : *count - 1;
}

void kt_row_count(struct kt_registry *r, const struct kt_device_row *row, int sign)
{
	const struct kt_device *d = &row->d;
	struct kt_registry_counts *counts = &r->counts;

	add_count(&counts->devices, d->state != KT_DEVICE_DELETED, sign);
	add_count(&counts->active, d->state == KT_DEVICE_ACTIVE, sign);
	add_count(&counts->revoked, d->state == KT_DEVICE_REVOKED, sign);
	add_count(&counts->quarantined, d->quarantined, sign);
	add_count(&counts->frozen, d->frozen, sign);
	add_count(&counts->adopted, d->adopted, sign);
	add_count(&counts->open_ops, d->phase != KT_SERVER_IDLE, sign);
}

/* --- dirty lists ------------------------------------------------------------------------------ */

void kt_dirty_mark(uint32_t *head, uint32_t *next_dirty, uint32_t row)
{
	if (*next_dirty != 0)
		return;
	*next_dirty = *head == 0 ? KT_DIRTY_END : *head;
	*head = row + 1;
}

void kt_dirty_take(uint32_t *head, uint32_t *next_dirty)
{
	*head = *next_dirty == KT_DIRTY_END ? 0 : *next_dirty;
	*next_dirty = 0;
}

void kt_row_mark_device(struct kt_registry *r, struct kt_device_row *row)
{
	kt_dirty_mark(&r->dirty_devices, &row->next_dirty, row->row);
}

void kt_row_mark_credential(struct kt_registry *r, struct kt_credential_row *row)
{
	kt_dirty_mark(&r->dirty_credentials, &row->next_dirty, row->row);
}

void kt_row_mark_ticket(struct kt_registry *r, struct kt_ticket_row *row)
{
	kt_dirty_mark(&r->dirty_tickets, &row->next_dirty, row->row);
}

void kt_row_mark_denied(struct kt_registry *r, struct kt_denied_row *row)
{
	kt_dirty_mark(&r->dirty_denied, &row->next_dirty, row->row);
}

void kt_registry_mark_all(struct kt_registry *r)
{
	for (uint32_t i = 0; i < r->devices.count; i++)
		kt_row_mark_device(r, device_at(r, i));
	for (uint32_t i = 0; i < r->credentials.count; i++)
		kt_row_mark_credential(r, credential_at(r, i));
	for (uint32_t i = 0; i < r->tickets.count; i++)
		kt_row_mark_ticket(r, kt_slab_at(&r->tickets, i));
	for (uint32_t i = 0; i < r->denied.count; i++)
		kt_row_mark_denied(r, kt_slab_at(&r->denied, i));
	for (uint32_t i = 0; i < r->operators.count; i++)
		kt_row_mark_operator(r, kt_slab_at(&r->operators, i));
}

struct kt_device_row *kt_row_take_device(struct kt_registry *r)
{
	struct kt_device_row *row = NULL;

	if (r->dirty_devices != 0) {
		row = device_at(r, r->dirty_devices - 1);
		kt_dirty_take(&r->dirty_devices, &row->next_dirty);
	}
	return row;
}

struct kt_credential_row *kt_row_take_credential(struct kt_registry *r)
{
	struct kt_credential_row *row = NULL;

	if (r->dirty_credentials != 0) {
		row = credential_at(r, r->dirty_credentials - 1);
		kt_dirty_take(&r->dirty_credentials, &row->next_dirty);
	}
	return row;
}

struct kt_ticket_row *kt_row_take_ticket(struct kt_registry *r)
{
	struct kt_ticket_row *row = NULL;

	if (r->dirty_tickets != 0) {
		row = ticket_at(r, r->dirty_tickets - 1);
		kt_dirty_take(&r->dirty_tickets, &row->next_dirty);
	}
	return row;
}

struct kt_denied_row *kt_row_take_denied(struct kt_registry *r)
{
	struct kt_denied_row *row = NULL;

	if (r->dirty_denied != 0) {
		row = denied_at(r, r->dirty_denied - 1);
		kt_dirty_take(&r->dirty_denied, &row->next_dirty);
	}
	return row;
}

/* --- the public side -------------------------------------------------------------------------- */

static void init(struct kt_registry *r)
{
	memset(r, 0, sizeof(*r));
	r->devices.row_size = sizeof(struct kt_device_row);
	r->credentials.row_size = sizeof(struct kt_credential_row);
	r->tickets.row_size = sizeof(struct kt_ticket_row);
	r->denied.row_size = sizeof(struct kt_denied_row);
	r->operators.row_size = sizeof(struct kt_operator_row);
	r->endings.row_size = sizeof(struct kt_ending_row);
}

enum kt_err kt_registry_new(struct kt_registry **out)
{
	*out = malloc(sizeof(**out));
	if (*out == NULL)
		return KT_ERR_NOMEM;
	init(*out);
	return KT_ERR_OK;
}

static void clear_device(struct kt_device_row *row)
{
	free(row->der);
	free(row->group);
	free(row->labels);
}

static void clear(struct kt_registry *r)
{
	for (uint32_t i = 0; i < r->devices.count; i++)
		clear_device(device_at(r, i));
	kt_campaigns_clear(r);
	kt_slab_clear(&r->devices);
	kt_slab_clear(&r->credentials);
	kt_slab_clear(&r->tickets);
	kt_slab_clear(&r->denied);
	kt_slab_clear(&r->operators);
	kt_slab_clear(&r->endings);
	kt_table_clear(&r->by_id);
	kt_table_clear(&r->by_fp);
	kt_table_clear(&r->by_key);
	kt_table_clear(&r->by_registered);
	kt_table_clear(&r->by_ticket);
	kt_table_clear(&r->by_bound);
	kt_table_clear(&r->by_denied);
	kt_table_clear(&r->by_operator);
}

void kt_registry_free(struct kt_registry *registry)
{
	if (registry == NULL)
		return;
	clear(registry);
	free(registry);
}

const struct kt_credential *kt_registry_find_fingerprint(const struct kt_registry *registry,
							 const struct kt_fingerprint *fp)
{
	const struct kt_credential_row *row = kt_row_credential(registry, fp);

	return row != NULL ? &row->c : NULL;
}

const struct kt_device *kt_registry_find_device(const struct kt_registry *registry, const char *id)
{
	const struct kt_device_row *row = kt_row_device(registry, id);

	return row != NULL ? &row->d : NULL;
}

void kt_registry_note_agent(struct kt_registry *registry, const struct kt_device *device,
			    uint64_t version)
{
	struct kt_device_row *row = kt_row_device(registry, device->id.s);

	if (row != NULL)
		row->d.agent_version = version;
}

void kt_registry_note_promoted(struct kt_registry *registry, const struct kt_device *device,
			       uint64_t before_op, int64_t mono_ms)
{
	struct kt_device_row *row = kt_row_device(registry, device->id.s);

	if (row == NULL)
		return;
	row->d.promoted_before_op = before_op;
	row->d.promoted_before_ms = row->d.promoted_ms;
	row->d.promoted_ms = mono_ms;
}

const struct kt_device *kt_registry_find_nocase(const struct kt_registry *registry, const char *id)
{
	const struct kt_device_row *row = kt_row_device_nocase(registry, id);

	return row != NULL ? &row->d : NULL;
}

const struct kt_device *kt_registry_find_key(const struct kt_registry *registry,
					     const struct kt_key_id *key_id)
{
	const struct kt_credential_row *used = kt_row_key(registry, key_id);
	const struct kt_device_row *registered;

	if (used != NULL)
		return used->c.device;
	registered = kt_row_registered(registry, key_id);
	return registered != NULL ? &registered->d : NULL;
}

const struct kt_credential *kt_registry_find_credential(const struct kt_registry *registry,
							const struct kt_key_id *key_id)
{
	const struct kt_credential_row *row = kt_row_key(registry, key_id);

	return row == NULL ? NULL : &row->c;
}

bool kt_registry_is_key_used(const struct kt_registry *registry, const struct kt_key_id *key_id)
{
	return kt_row_key(registry, key_id) != NULL;
}

bool kt_registry_is_key_denied(const struct kt_registry *registry, const struct kt_key_id *key_id)
{
	const struct kt_denied_row *row = kt_row_denied(registry, key_id);

	return row != NULL && row->denied;
}

const struct kt_ticket_entry *kt_registry_find_ticket(const struct kt_registry *registry,
						      const uint8_t sha256[static 32])
{
	const struct kt_ticket_row *row = kt_row_ticket(registry, sha256);

	return row != NULL ? &row->t : NULL;
}

const struct kt_device *kt_registry_next_device(const struct kt_registry *registry, size_t *cursor)
{
	if (*cursor >= registry->devices.count)
		return NULL;
	return &device_at(registry, (uint32_t)(*cursor)++)->d;
}

struct kt_registry_counts kt_registry_counts(const struct kt_registry *registry)
{
	return registry->counts;
}

uint64_t kt_registry_seq(const struct kt_registry *registry)
{
	return registry->seq;
}

uint64_t kt_registry_restore_seq(const struct kt_registry *registry)
{
	return registry->restore_seq;
}

int64_t kt_registry_time_us(const struct kt_registry *registry)
{
	return registry->time_us;
}

const char *kt_registry_trust_domain(const struct kt_registry *registry)
{
	return registry->trust_domain;
}

const char *kt_device_state_name(enum kt_device_state state)
{
	static const char *const names[] = {"new", "active", "revoked", "deleted"};

	return (unsigned)state <= KT_DEVICE_DELETED ? names[state] : "?";
}

const char *kt_server_phase_name(enum kt_server_phase phase)
{
	static const char *const names[] = {"idle", "open", "issued"};

	return (unsigned)phase <= KT_SERVER_ISSUED ? names[phase] : "?";
}
