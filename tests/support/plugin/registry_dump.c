#include "registry_dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry_internal.h"

static void put_hex(FILE *f, const char *name, const uint8_t *bytes, size_t len)
{
	(void)fprintf(f, " %s=", name);
	for (size_t i = 0; i < len; i++)
		(void)fprintf(f, "%02x", bytes[i]);
}

static void put_device(FILE *f, const struct kt_device *d)
{
	(void)fprintf(
		f,
		"device %s group=%s labels=%s %s q=%d f=%d w=%d a=%d gen=%u/%u %s e=%d op=%" PRIu64,
		d->id.s, d->group, d->labels, kt_device_state_name(d->state), d->quarantined,
		d->frozen, d->wipe, d->adopted, d->generation, d->proven_generation,
		kt_server_phase_name(d->phase), d->enrolling, d->op);
	put_hex(f, "nonce", d->op_nonce.b, sizeof(d->op_nonce.b));
	(void)fprintf(f,
		      " alg=%s deadline=%" PRId64 " committed=%" PRIu64 " promoted=%" PRIu64
		      " closed=%" PRIu64 " failed=%s/%" PRIu64,
		      kt_alg_name(d->op_alg), d->op_deadline_us, d->last_committed_op,
		      d->promoted_op, d->closed_op, kt_reason_name(d->failed_reason), d->failed_op);
	(void)fprintf(f,
		      " created_us=%" PRId64 " committed_us=%" PRId64 " revoked_us=%" PRId64
		      " seq=%" PRIu64,
		      d->created_us, d->committed_us, d->revoked_us, d->changed_seq);
	if (d->has_registered_key)
		put_hex(f, "registered", d->registered_key.b, 32);
	if (d->current != NULL)
		put_hex(f, "current", d->current->fp.b, 32);
	if (d->pending != NULL)
		put_hex(f, "pending", d->pending->fp.b, 32);
	put_hex(f, "der", d->pending_der, d->pending_der_len);
	(void)fputc('\n', f);
}

static void put_credential(FILE *f, const struct kt_credential *c)
{
	(void)fprintf(f,
		      "credential %s gen=%u %s not_after=%" PRId64 " op=%" PRIu64 " by=%" PRIu64
		      " seq=%" PRIu64,
		      c->device->id.s, c->generation, kt_credential_status_name(c->status),
		      c->not_after_s, c->op, c->superseded_by, c->changed_seq);
	put_hex(f, "fp", c->fp.b, 32);
	put_hex(f, "key", c->key_id.b, 32);
	(void)fputc('\n', f);
}

static void put_ticket(FILE *f, const struct kt_ticket_entry *t)
{
	(void)fprintf(f, "ticket device=%s group=%s pattern=%s expires=%" PRId64 " used=%d for=%s",
		      t->device.s, t->group, t->pattern, t->expires_us, t->used, t->used_for.s);
	put_hex(f, "sha256", t->sha256, 32);
	put_hex(f, "by", t->used_by.b, 32);
	(void)fputc('\n', f);
}

static void put_operator(FILE *f, const struct kt_operator_entry *o)
{
	(void)fprintf(f, "operator %s %s removed=%d since=%" PRId64 " by=%s seq=%" PRIu64,
		      o->name.s, kt_role_name(o->role), o->is_removed, o->since_us, o->by,
		      o->changed_seq);
	put_hex(f, "fp", o->fp.b, sizeof(o->fp.b));
	(void)fputc('\n', f);
}

static void put_campaign(FILE *f, const struct kt_campaign *c)
{
	char plan[KT_PLAN_TEXT_MAX + 1];

	kt_plan_encode(&c->plan, plan);
	(void)fprintf(
		f,
		"campaign %s %s select=%s by=%s note=%s why=%s plan=%s aborted=%d wave=%u/%zu "
		"began=%" PRId64 " ended=%" PRId64 "\n",
		c->name.s, kt_campaign_state_name(c->state), c->select, c->by, c->note, c->why,
		plan, c->is_aborted, c->wave, c->wave_done, c->began_us, c->ended_us);
	for (size_t i = 0; i < c->member_count; i++) {
		const struct kt_member *m = kt_campaign_member(c, i);

		(void)fprintf(
			f, "member %u %s reason=%s tries=%u op=%" PRIu64 " since=%" PRId64 "\n",
			m->device, kt_member_status_name((enum kt_member_status)m->status),
			kt_reason_name((enum kt_reason)m->reason), m->tries, m->op, m->since_us);
	}
}

char *registry_dump(const struct kt_registry *r)
{
	struct kt_registry_counts n = kt_registry_counts(r);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		abort();
	(void)fprintf(f, "seq=%" PRIu64 " restore=%" PRIu64 " time=%" PRId64 " td=%s\n",
		      kt_registry_seq(r), kt_registry_restore_seq(r), kt_registry_time_us(r),
		      kt_registry_trust_domain(r));
	(void)fprintf(
		f,
		"counts devices=%zu active=%zu revoked=%zu quarantined=%zu frozen=%zu adopted=%zu "
		"open=%zu credentials=%zu tickets=%zu\n",
		n.devices, n.active, n.revoked, n.quarantined, n.frozen, n.adopted, n.open_ops,
		n.credentials, n.tickets_open);
	for (uint32_t i = 0; i < r->devices.count; i++)
		put_device(f, &((struct kt_device_row *)kt_slab_at(&r->devices, i))->d);
	for (uint32_t i = 0; i < r->credentials.count; i++)
		put_credential(f, &((struct kt_credential_row *)kt_slab_at(&r->credentials, i))->c);
	for (uint32_t i = 0; i < r->tickets.count; i++)
		put_ticket(f, &((struct kt_ticket_row *)kt_slab_at(&r->tickets, i))->t);
	for (uint32_t i = 0; i < r->denied.count; i++) {
		const struct kt_denied_row *row = kt_slab_at(&r->denied, i);

		(void)fprintf(f, "denied %d", row->denied);
		put_hex(f, "key", row->key_id.b, 32);
		(void)fputc('\n', f);
	}
	for (uint32_t i = 0; i < r->operators.count; i++)
		put_operator(f, &((struct kt_operator_row *)kt_slab_at(&r->operators, i))->o);
	for (size_t i = 0; i < r->campaign_count; i++)
		put_campaign(f, r->campaigns[i]);
	if (fclose(f) != 0)
		abort();
	return text;
}

/* --- audit ------------------------------------------------------------------------------------ */

static void require(bool holds, const char *rule, const char *who)
{
	if (holds)
		return;
	(void)fprintf(stderr, "registry: %s is violated by %s\n", rule, who);
	abort();
}

static void audit_device(const struct kt_registry *r, const struct kt_device *d)
{
	const char *id = d->id.s;
	size_t current = 0;
	size_t pending = 0;

	require(kt_registry_find_device(r, id) == d, "found by id", id);
	require((d->current != NULL) == (d->state == KT_DEVICE_ACTIVE), "current iff active", id);
	require((d->pending != NULL) == (d->phase == KT_SERVER_ISSUED), "pending iff issued", id);
	require((d->pending_der != NULL) == (d->pending != NULL), "DER iff pending", id);
	require(!d->adopted || d->current != NULL, "adopted is active", id);
	require(d->proven_generation <= d->generation, "proven was issued", id);
	require(d->current == NULL || d->current->generation <= d->proven_generation,
		"current is proven", id);
	require(!d->enrolling || d->phase == KT_SERVER_ISSUED, "enrolling is issued", id);
	require(d->phase != KT_SERVER_OPEN || d->state == KT_DEVICE_ACTIVE, "open is active", id);
	require(d->op >= d->last_committed_op && d->op >= d->closed_op && d->op >= d->failed_op,
		"op is the highest", id);
	require(d->promoted_op <= d->last_committed_op, "promoted was committed", id);
	require(d->phase != KT_SERVER_IDLE || d->op_deadline_us == 0, "idle has no deadline", id);
	if (d->has_registered_key)
		require(kt_registry_find_key(r, &d->registered_key) == d, "owns its key", id);
	for (uint32_t i = 0; i < r->credentials.count; i++) {
		const struct kt_credential_row *row = kt_slab_at(&r->credentials, i);

		if (row->c.device != d)
			continue;
		require(row->c.generation <= d->generation, "generation is the highest", id);
		current += row->c.status == KT_CREDENTIAL_CURRENT;
		pending += row->c.status == KT_CREDENTIAL_PENDING;
	}
	require(current == (d->current != NULL), "one current", id);
	require(pending == (d->pending != NULL), "one pending", id);
}

static void audit_campaign(const struct kt_registry *r, const struct kt_campaign *c)
{
	size_t count[KT_MEMBER_STATUS_COUNT] = {0};
	const char *who = c->name.s;

	require(kt_registry_find_campaign(r, c->name.s) == c, "campaign is found", who);
	for (size_t i = 0; i < c->member_count; i++) {
		const struct kt_member *m = kt_campaign_member(c, i);
		const struct kt_device *d = kt_member_device(r, m);

		count[m->status]++;
		require(i == 0 || kt_campaign_member(c, i - 1)->device < m->device,
			"members are in order", who);
		require(kt_campaign_find(c, d) == m, "member is found", who);
		require(m->status != KT_MEMBER_ORDERED || m->reason != KT_REASON_NONE ||
				c->plan.action != KT_CAMPAIGN_ROTATE ||
				(d->phase != KT_SERVER_IDLE && d->op == m->op),
			"ordered has an op open", d->id.s);
	}
	require(memcmp(count, c->count, sizeof(count)) == 0, "counts of members", who);
	require(c->state < KT_CAMPAIGN_ABORTED || count[KT_MEMBER_WAITING] == 0,
		"nobody waits behind the end", who);
	require(c->state != KT_CAMPAIGN_ENDED || count[KT_MEMBER_ORDERED] == 0,
		"nobody is under way behind the end", who);
	require((c->state == KT_CAMPAIGN_ENDED) == (c->ended_us != 0), "ended has its time", who);
}

void registry_audit(const struct kt_registry *r)
{
	struct kt_registry_counts n = {0};

	for (uint32_t i = 0; i < r->devices.count; i++) {
		const struct kt_device_row *row = kt_slab_at(&r->devices, i);
		const struct kt_device *d = &row->d;

		audit_device(r, d);
		n.devices += d->state != KT_DEVICE_DELETED;
		n.active += d->state == KT_DEVICE_ACTIVE;
		n.revoked += d->state == KT_DEVICE_REVOKED;
		n.quarantined += d->quarantined;
		n.frozen += d->frozen;
		n.adopted += d->adopted;
		n.open_ops += d->phase != KT_SERVER_IDLE;
	}
	for (uint32_t i = 0; i < r->credentials.count; i++) {
		const struct kt_credential_row *row = kt_slab_at(&r->credentials, i);

		require(kt_registry_find_fingerprint(r, &row->c.fp) == &row->c, "found by fp",
			row->c.device->id.s);
		require(kt_registry_find_key(r, &row->c.key_id) == row->c.device,
			"key owned by its device", row->c.device->id.s);
	}
	for (uint32_t i = 0; i < r->tickets.count; i++) {
		const struct kt_ticket_row *row = kt_slab_at(&r->tickets, i);

		n.tickets_open += !row->t.used;
		require(kt_registry_find_ticket(r, row->t.sha256) == &row->t, "ticket is found",
			row->t.device.s);
	}
	for (uint32_t i = 0; i < r->operators.count; i++) {
		const struct kt_operator_row *row = kt_slab_at(&r->operators, i);

		require(kt_registry_find_operator(r, row->o.name.s) == &row->o, "operator is found",
			row->o.name.s);
		require(row->o.role > KT_ROLE_NONE && row->o.role < KT_ROLE_COUNT, "has a role",
			row->o.name.s);
	}
	for (size_t i = 0; i < r->campaign_count; i++)
		audit_campaign(r, r->campaigns[i]);
	n.credentials = r->credentials.count;
	require(memcmp(&n, &r->counts, sizeof(n)) == 0, "counts", "the registry");
}
