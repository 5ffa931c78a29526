#include <stdlib.h>
#include <string.h>

#include "registry_internal.h"

/*
 * The effects of the fold. registry_check.c has the table of what a record requires and does.
 */

/* More generations than a device can have had in records that are lost: an hourly one for 7 years.
 */
enum { LOST_GENERATIONS = 65536 };

struct change { /* one record on its way in */
	struct kt_registry *r;
	const struct kt_record *rec;
	struct kt_device_row *row; /* of rec->device; NULL if the kind has none, or it is unknown */
	struct kt_copies copies;   /* what is moved into the row is NULL then */
};

/* After the check and the reservation nothing in here can fail. */

static void edit_begin(struct change *c, const struct kt_device_row *row)
{
	kt_row_count(c->r, row, -1);
}

static void edit_end(struct change *c, struct kt_device_row *row)
{
	row->d.changed_seq = c->rec->seq;
	kt_row_mark_device(c->r, row);
	kt_row_count(c->r, row, +1);
}

static void set_status(struct change *c, const struct kt_credential *credential,
		       enum kt_credential_status status)
{
	struct kt_credential_row *row = kt_row_credential(c->r, &credential->fp);

	row->c.status = status;
	row->c.changed_seq = c->rec->seq;
	kt_row_mark_credential(c->r, row);
	kt_row_keep_ending(c->r, row, c->rec->seq, c->rec->time_us);
}

static void drop_der(struct kt_device_row *row)
{
	free(row->der);
	row->der = NULL;
	row->d.pending_der = NULL;
	row->d.pending_der_len = 0;
	row->d.pending = NULL;
}

/* Ends the op without commit; nothing to do when there is none. */
static void close_op(struct change *c, struct kt_device_row *row, enum kt_credential_status status)
{
	struct kt_device *d = &row->d;

	if (d->phase == KT_SERVER_IDLE)
		return;
	if (d->pending != NULL)
		set_status(c, d->pending, status);
	drop_der(row);
	d->phase = KT_SERVER_IDLE;
	d->enrolling = false;
	d->op_deadline_us = 0;
	d->closed_op = d->op;
}

/* Whatever it was. */
static void set_group(struct change *c)
{
	kt_row_set_group(c->row, c->copies.group);
	c->copies.group = NULL; /* moved */
}

static void set_group_if_said(struct change *c)
{
	if (c->copies.group != NULL)
		set_group(c);
}

static void set_labels(struct change *c)
{
	kt_row_set_labels(c->row, c->copies.labels);
	c->copies.labels = NULL; /* moved */
}

static void apply_begin(struct change *c)
{
	memcpy(c->r->trust_domain, c->rec->trust_domain, sizeof(c->r->trust_domain));
}

/* A tombstone comes back as a new device; its counters and its history stay. */
static void apply_create(struct change *c)
{
	struct kt_device *d = &c->row->d;

	d->state = KT_DEVICE_NEW;
	d->created_us = c->rec->time_us;
	set_group(c);
	set_labels(c);
	if (c->rec->has_key_id)
		kt_row_register(c->r, c->row, &c->rec->key_id);
}

static void apply_device_set(struct change *c)
{
	struct kt_device *d = &c->row->d;

	if (strcmp(d->group, c->rec->group) != 0)
		d->grouped_seq = c->rec->seq;
	set_group(c);
	set_labels(c);
}

static void apply_ticket(struct change *c)
{
	struct kt_ticket_entry t = {.device = c->rec->device, .expires_us = c->rec->expires_us};

	memcpy(t.sha256, c->rec->ticket_sha256, sizeof(t.sha256));
	memcpy(t.group, c->rec->group, sizeof(t.group));
	memcpy(t.pattern, c->rec->pattern, sizeof(t.pattern));
	if (t.device.s[0] != '\0') /* the last one given is the one that counts */
		kt_ticket_void_all(c->r, t.device.s);
	kt_row_mark_ticket(c->r, kt_row_add_ticket(c->r, &t));
	if (c->row != NULL && c->row->d.enrolling)
		close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
}

static void apply_approve(struct change *c)
{
	struct kt_denied_row *denied = kt_row_denied(c->r, &c->rec->key_id);

	set_group_if_said(c);
	kt_row_register(c->r, c->row, &c->rec->key_id);
	if (denied != NULL && denied->denied) {
		denied->denied = false;
		kt_row_mark_denied(c->r, denied);
	}
}

static void apply_deny(struct change *c)
{
	const struct kt_key_id *key = &c->rec->key_id;
	struct kt_denied_row *denied = kt_row_denied(c->r, key);
	struct kt_device_row *registered = kt_row_registered(c->r, key);
	const struct kt_credential_row *used = kt_row_key(c->r, key);

	if (denied == NULL)
		denied = kt_row_add_denied(c->r, key);
	denied->denied = true;
	kt_row_mark_denied(c->r, denied);
	if (registered != NULL) {
		edit_begin(c, registered);
		kt_row_register(c->r, registered, NULL);
		edit_end(c, registered);
	}
	if (used != NULL && used->c.device->enrolling && used->c.device->pending == &used->c) {
		struct kt_device_row *row = kt_row_device(c->r, used->c.device->id.s);

		edit_begin(c, row);
		close_op(c, row, KT_CREDENTIAL_ABANDONED);
		edit_end(c, row);
	}
}

static void apply_op_open(struct change *c)
{
	struct kt_device *d = &c->row->d;

	close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
	d->phase = KT_SERVER_OPEN;
	d->op = c->rec->op;
	d->op_nonce = c->rec->nonce;
	d->op_alg = c->rec->alg;
	d->op_deadline_us = c->rec->deadline_us;
}

static void apply_op_close(struct change *c)
{
	close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
}

static void apply_issue(struct change *c)
{
	const struct kt_record *rec = c->rec;
	struct kt_device *d = &c->row->d;
	struct kt_credential_row *credential;

	if (!kt_registry_is_rotation(rec, d)) {
		close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
		d->enrolling = true;
		d->op = rec->op;
		d->op_nonce = rec->nonce;
		d->op_alg = rec->alg;
		d->op_deadline_us = 0; /* never given up by itself */
	}
	set_group_if_said(c);
	credential = kt_row_add_credential(c->r, &(struct kt_credential){
							 .fp = rec->fp,
							 .key_id = rec->key_id,
							 .device = d,
							 .generation = rec->generation,
							 .status = KT_CREDENTIAL_PENDING,
							 .not_after_s = rec->not_after_s,
							 .op = rec->op,
							 .changed_seq = rec->seq,
						 });
	kt_row_mark_credential(c->r, credential);
	kt_row_keep_serial(c->r, credential, rec->der);
	d->pending = &credential->c;
	d->generation = rec->generation;
	d->phase = KT_SERVER_ISSUED;
	c->row->der = c->copies.der;
	d->pending_der = c->copies.der;
	d->pending_der_len = (uint16_t)rec->der.len;
	c->copies.der = NULL; /* moved */
	if (rec->has_ticket) {
		struct kt_ticket_row *ticket = kt_row_ticket(c->r, rec->ticket_sha256);

		ticket->t.used_by = rec->key_id;
		ticket->t.used_for = rec->device;
		kt_ticket_use(c->r, ticket);
	}
}

/* Its sessions get their site topics back when this record is durable. */
static void end_adoption(struct change *c, struct kt_device *d)
{
	if (d->adopted)
		d->released_seq = c->rec->seq;
	d->adopted = false;
}

/*
 * An operator has put out what this device had, and while reconciling that may be more than is
 * known: nothing that was lost is adopted for it any more.
 */
static void leave_lost_behind(struct change *c, struct kt_device *d)
{
	if (c->r->restore_seq == 0)
		return;
	if (d->generation < UINT32_MAX / 2)
		d->generation += LOST_GENERATIONS;
	d->proven_generation = d->generation;
}

static void apply_commit(struct change *c)
{
	struct kt_device *d = &c->row->d;

	if (d->current != NULL) {
		kt_row_credential(c->r, &d->current->fp)->c.superseded_by = c->rec->op;
		set_status(c, d->current, KT_CREDENTIAL_SUPERSEDED);
	}
	set_status(c, d->pending, KT_CREDENTIAL_CURRENT);
	d->current = d->pending;
	if (d->current->generation > d->proven_generation)
		d->proven_generation = d->current->generation;
	end_adoption(c, d);
	drop_der(c->row);
	if (d->enrolling) {
		d->frozen = false;
		leave_lost_behind(c, d);
	}
	d->enrolling = false;
	d->state = KT_DEVICE_ACTIVE;
	d->wipe = false;
	d->revoked_us = 0;
	d->phase = KT_SERVER_IDLE;
	d->op_deadline_us = 0;
	d->last_committed_op = c->rec->op;
	d->committed_us = c->rec->time_us;
}

static void apply_promoted(struct change *c)
{
	if (c->rec->op > c->row->d.promoted_op)
		c->row->d.promoted_op = c->rec->op;
}

static void apply_failed(struct change *c)
{
	c->row->d.failed_reason = c->rec->reason;
	c->row->d.failed_op = c->rec->op;
	c->row->d.told_us = c->rec->time_us;
}

static void apply_freeze(struct change *c)
{
	close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
	c->row->d.frozen = true;
}

static void apply_unfreeze(struct change *c)
{
	c->row->d.frozen = false;
}

static void apply_quarantine(struct change *c)
{
	c->row->d.quarantined = true;
}

static void apply_release(struct change *c)
{
	c->row->d.quarantined = false;
	c->row->d.adopted = false;
	c->row->d.released_seq = c->rec->seq;
}

/*
 * A registered key that was never used goes too: else whoever holds it could enrol as the device
 * that an operator has just revoked.
 */
static void apply_revoke(struct change *c)
{
	struct kt_device *d = &c->row->d;

	close_op(c, c->row, KT_CREDENTIAL_REVOKED);
	if (d->current != NULL)
		set_status(c, d->current, KT_CREDENTIAL_REVOKED);
	d->current = NULL;
	d->adopted = false;
	d->state = KT_DEVICE_REVOKED;
	d->wipe = c->rec->wipe;
	d->revoked_us = c->rec->time_us;
	leave_lost_behind(c, d);
	kt_ticket_void_all(c->r, d->id.s);
	if (d->has_registered_key && kt_row_key(c->r, &d->registered_key) == NULL)
		kt_row_register(c->r, c->row, NULL);
}

static void apply_delete(struct change *c)
{
	struct kt_device *d = &c->row->d;

	apply_revoke(c);
	if (d->has_registered_key)
		kt_row_register(c->r, c->row, NULL);
	d->state = KT_DEVICE_DELETED;
	d->quarantined = false;
	d->frozen = false;
	d->revoked_us = 0;
	d->committed_us = 0;
	d->failed_op = 0;
	d->failed_reason = KT_REASON_NONE;
}

static void apply_op_raise(struct change *c)
{
	close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
	c->row->d.op = c->rec->op;
	c->row->d.told_us = c->rec->time_us;
}

/* --- after a restore -------------------------------------------------------------------------- */

/* Nothing that was under way can be finished: its records may be among the lost ones. */
static void apply_restore(struct change *c)
{
	for (uint32_t i = 0; i < c->r->devices.count; i++) {
		struct kt_device_row *row = kt_slab_at(&c->r->devices, i);

		if (row->d.phase == KT_SERVER_IDLE)
			continue;
		edit_begin(c, row);
		close_op(c, row, KT_CREDENTIAL_LOST);
		edit_end(c, row);
	}
	kt_operator_apply_restore(c->r, c->rec);
	c->r->restore_seq = c->rec->seq;
}

static void raise_generation(uint32_t *generation, uint32_t to)
{
	if (to > *generation)
		*generation = to;
}

static void apply_restore_device(struct change *c)
{
	struct kt_device *d = &c->row->d;

	if (d->group[0] == '\0')
		set_group(c);
	if (d->labels[0] == '\0')
		set_labels(c);
	if (c->rec->op > d->op)
		d->op = c->rec->op;
	raise_generation(&d->generation, c->rec->generation);
	if (d->state != KT_DEVICE_DELETED)
		d->frozen = d->frozen || c->rec->frozen;
}

static struct kt_credential_row *add_known(struct change *c, enum kt_credential_status status)
{
	const struct kt_record *rec = c->rec;
	struct kt_credential known = {
		.fp = rec->fp,
		.key_id = rec->key_id,
		.device = &c->row->d,
		.status = status,
		.not_after_s = rec->not_after_s,
		.changed_seq = rec->seq,
	};
	struct kt_credential_row *row;

	if (rec->kind != KT_RECORD_IMPORT)
		known.generation = rec->generation;
	if (rec->kind == KT_RECORD_RESTORE_CREDENTIAL)
		known.op = rec->op;
	row = kt_row_add_credential(c->r, &known);
	kt_row_mark_credential(c->r, row);
	raise_generation(&c->row->d.generation, known.generation);
	return row;
}

/*
 * Which op put it out is not known, or lost: its use is a suspicion until a later one is promoted.
 */
static void supersede(struct change *c, struct kt_credential_row *row)
{
	row->c.superseded_by = c->row->d.op + 1;
	set_status(c, &row->c, KT_CREDENTIAL_SUPERSEDED);
}

static void apply_restore_credential(struct change *c)
{
	const enum kt_credential_status status = c->rec->status;
	struct kt_device *d = &c->row->d;
	struct kt_credential_row *row = kt_row_credential(c->r, &c->rec->fp);

	if (row == NULL)
		row = add_known(c, status);
	if (status == KT_CREDENTIAL_SUPERSEDED)
		supersede(c, row);
	else
		set_status(c, &row->c, status);
	if (status == KT_CREDENTIAL_SUPERSEDED || status == KT_CREDENTIAL_REVOKED)
		raise_generation(&d->proven_generation, c->rec->generation);
	if (d->current == &row->c) {
		d->current = NULL;
		d->adopted = false;
		d->state = KT_DEVICE_NEW;
		d->committed_us = 0;
	}
}

static void apply_ticket_void(struct change *c)
{
	kt_ticket_use(c->r, kt_row_ticket(c->r, c->rec->ticket_sha256));
}

/* An enrolment may lie in a box: the old hub does not end it by coming back. */
static void apply_adopt(struct change *c)
{
	struct kt_device *d = &c->row->d;
	struct kt_credential_row *row = kt_row_credential(c->r, &c->rec->fp);

	if (!d->enrolling)
		close_op(c, c->row, KT_CREDENTIAL_ABANDONED);
	if (d->current != NULL)
		supersede(c, kt_row_credential(c->r, &d->current->fp));
	if (row == NULL)
		row = add_known(c, KT_CREDENTIAL_CURRENT);
	else
		set_status(c, &row->c, KT_CREDENTIAL_CURRENT);
	d->current = &row->c;
	d->state = KT_DEVICE_ACTIVE;
	d->adopted = true;
	d->committed_us = c->rec->time_us;
	d->proven_generation = c->rec->generation;
}

/* What is known of a tombstone stays: its counters, so that no op and no generation comes again. */
static void apply_import(struct change *c)
{
	struct kt_device *d = &c->row->d;
	struct kt_credential_row *row = kt_row_credential(c->r, &c->rec->fp);

	if (d->state == KT_DEVICE_DELETED) {
		d->created_us = c->rec->time_us;
		set_group(c);
		set_labels(c);
	}
	set_group_if_said(c);
	if (row == NULL)
		row = add_known(c, KT_CREDENTIAL_CURRENT);
	else
		set_status(c, &row->c, KT_CREDENTIAL_CURRENT);
	d->current = &row->c;
	d->state = KT_DEVICE_ACTIVE;
	d->wipe = false;
	d->committed_us = c->rec->time_us;
}

static void apply_reconcile_end(struct change *c)
{
	c->r->restore_seq = 0;
}

static void apply_operator_add(struct change *c)
{
	kt_operator_apply_add(c->r, c->rec);
}

static void apply_operator_remove(struct change *c)
{
	kt_operator_apply_remove(c->r, c->rec);
}

/* Of the clock and of campaigns: none on a device. */
static const struct effect {
	void (*apply)(struct change *c);
	bool makes_device;
} effects[KT_RECORD_COUNT] = {
	[KT_RECORD_LEDGER_BEGIN] = {apply_begin, false},
	[KT_RECORD_DEVICE_CREATE] = {apply_create, true},
	[KT_RECORD_DEVICE_SET] = {apply_device_set, false},
	[KT_RECORD_TICKET_CREATE] = {apply_ticket, false},
	[KT_RECORD_APPROVE] = {apply_approve, true},
	[KT_RECORD_DENY] = {apply_deny, false},
	[KT_RECORD_OP_OPEN] = {apply_op_open, false},
	[KT_RECORD_OP_CLOSE] = {apply_op_close, false},
	[KT_RECORD_ISSUE] = {apply_issue, true},
	[KT_RECORD_COMMIT] = {apply_commit, false},
	[KT_RECORD_PROMOTED] = {apply_promoted, false},
	[KT_RECORD_FAILED] = {apply_failed, false},
	[KT_RECORD_FREEZE] = {apply_freeze, false},
	[KT_RECORD_UNFREEZE] = {apply_unfreeze, false},
	[KT_RECORD_QUARANTINE] = {apply_quarantine, false},
	[KT_RECORD_RELEASE] = {apply_release, false},
	[KT_RECORD_REVOKE] = {apply_revoke, false},
	[KT_RECORD_DELETE] = {apply_delete, false},
	[KT_RECORD_OP_RAISE] = {apply_op_raise, false},
	[KT_RECORD_RESTORE] = {apply_restore, false},
	[KT_RECORD_RESTORE_DEVICE] = {apply_restore_device, true},
	[KT_RECORD_RESTORE_CREDENTIAL] = {apply_restore_credential, false},
	[KT_RECORD_TICKET_VOID] = {apply_ticket_void, false},
	[KT_RECORD_ADOPT] = {apply_adopt, true},
	[KT_RECORD_IMPORT] = {apply_import, true},
	[KT_RECORD_RECONCILE_END] = {apply_reconcile_end, false},
	[KT_RECORD_OPERATOR_ADD] = {apply_operator_add, false},
	[KT_RECORD_OPERATOR_REMOVE] = {apply_operator_remove, false},
};

/* Everything that can fail, before anything changes. */
static enum kt_err prepare(struct change *c)
{
	enum kt_err err = kt_registry_check(c->r, c->rec);

	if (err != KT_ERR_OK)
		return err;
	err = kt_registry_reserve(c->r);
	if (err == KT_ERR_OK)
		err = kt_campaigns_reserve(c->r, c->rec);
	if (err != KT_ERR_OK)
		return err;
	return kt_copies_make(&c->copies, c->rec);
}

static void find_or_make_device(struct change *c)
{
	if (c->rec->kind == KT_RECORD_CAMPAIGN_DEVICE)
		return; /* of a campaign, not of the device */
	c->row = kt_row_device(c->r, c->rec->device.s);
	if (c->row == NULL && effects[c->rec->kind].makes_device) {
		c->row = kt_row_add_device(c->r, &c->rec->device);
		c->row->d.created_us = c->rec->time_us;
		kt_row_count(c->r, c->row, +1);
	}
}

enum kt_err kt_registry_apply(struct kt_registry *registry, const struct kt_record *record)
{
	struct change c = {.r = registry, .rec = record};
	enum kt_err err = prepare(&c);

	if (err != KT_ERR_OK)
		return err;
	find_or_make_device(&c);
	if (c.row != NULL)
		edit_begin(&c, c.row);
	if (effects[record->kind].apply != NULL)
		effects[record->kind].apply(&c);
	if (c.row != NULL)
		edit_end(&c, c.row);
	kt_campaigns_apply(registry, record, c.row != NULL ? &c.row->d : NULL);
	kt_copies_free(&c.copies);
	registry->seq = record->seq;
	if (record->kind == KT_RECORD_CLOCK_CONFIRM || record->time_us > registry->time_us)
		registry->time_us = record->time_us;
	return KT_ERR_OK;
}
