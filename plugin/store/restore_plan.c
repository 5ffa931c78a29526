#include "restore_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "registry_internal.h"

static enum kt_err make_room(struct kt_restore_plan *plan)
{
	size_t room = plan->room == 0 ? 16 : plan->room * 2;
	struct kt_record *records;

	if (plan->count < plan->room)
		return KT_ERR_OK;
	records = realloc(plan->records, room * sizeof(*records));
	if (records == NULL)
		return KT_ERR_NOMEM;
	plan->records = records;
	plan->room = room;
	return KT_ERR_OK;
}

enum kt_err kt_restore_plan_add(struct kt_restore_plan *plan, const struct kt_record *record)
{
	enum kt_err err = make_room(plan);
	struct kt_record *next;

	if (err != KT_ERR_OK)
		return err;
	next = &plan->records[plan->count];
	*next = *record;
	next->seq = kt_registry_seq(plan->registry) + 1;
	next->time_us = plan->now_us;
	(void)snprintf(next->actor, sizeof(next->actor), "%s", plan->actor);
	err = kt_registry_apply(plan->registry, next);
	if (err == KT_ERR_OK)
		plan->count++;
	return err;
}

void kt_restore_plan_clear(struct kt_restore_plan *plan)
{
	free(plan->records);
	plan->records = NULL;
	plan->count = 0;
	plan->room = 0;
}

/* @counter goes up if it fits; what does not is not forgotten either. */
static enum kt_err add_known(struct kt_restore_plan *plan, const struct kt_record *record,
			     uint64_t *counter)
{
	enum kt_err err = kt_restore_plan_add(plan, record);

	if (err == KT_ERR_STATE) {
		plan->found->left_out++;
		return KT_ERR_OK;
	}
	if (err == KT_ERR_OK)
		(*counter)++;
	return err;
}

static struct kt_record record_of(enum kt_record_kind kind, const struct kt_device *device)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = kind;
	if (device != NULL)
		record.device = device->id;
	return record;
}

static const struct kt_device *mine(const struct kt_restore_plan *plan, const struct kt_device *d)
{
	return kt_registry_find_device(plan->registry, d->id.s);
}

/* --- devices: first their counters, their end after their certificates --------------------------
 */

static enum kt_err plan_counters(struct kt_restore_plan *plan, const struct kt_device *known)
{
	const struct kt_device *d = mine(plan, known);
	struct kt_record record = record_of(KT_RECORD_RESTORE_DEVICE, known);
	const bool is_ahead = d == NULL || known->op > d->op || known->generation > d->generation ||
			      (known->frozen && !d->frozen && d->state != KT_DEVICE_DELETED);

	if (!is_ahead)
		return KT_ERR_OK;
	(void)snprintf(record.group, sizeof(record.group), "%s", known->group);
	(void)snprintf(record.labels.s, sizeof(record.labels.s), "%s", known->labels);
	record.op = known->op;
	record.generation = known->generation;
	record.frozen = known->frozen;
	return add_known(plan, &record, &plan->found->devices);
}

static enum kt_err plan_key(struct kt_restore_plan *plan, const struct kt_key_id *key)
{
	struct kt_record record = record_of(KT_RECORD_DENY, NULL);

	record.key_id = *key;
	record.has_key_id = true;
	return add_known(plan, &record, &plan->found->denied);
}

/* A key that may enrol as the device here, and there no more. */
static enum kt_err plan_registration(struct kt_restore_plan *plan, const struct kt_registry *known,
				     const struct kt_device *theirs)
{
	const struct kt_device *d = mine(plan, theirs);

	if (d == NULL || !d->has_registered_key ||
	    (theirs->has_registered_key &&
	     kt_key_id_eq(&theirs->registered_key, &d->registered_key)) ||
	    kt_registry_is_key_used(known, &d->registered_key))
		return KT_ERR_OK;
	return plan_key(plan, &d->registered_key);
}

static enum kt_err plan_end(struct kt_restore_plan *plan, const struct kt_device *known)
{
	const struct kt_device *d = mine(plan, known);
	struct kt_record record;
	enum kt_err err = KT_ERR_OK;

	if (d == NULL || d->state == KT_DEVICE_DELETED)
		return KT_ERR_OK;
	if (known->quarantined && !d->quarantined) {
		record = record_of(KT_RECORD_QUARANTINE, known);
		err = add_known(plan, &record, &plan->found->quarantined);
	}
	if (err == KT_ERR_OK && known->state == KT_DEVICE_REVOKED &&
	    d->state != KT_DEVICE_REVOKED) {
		record = record_of(KT_RECORD_REVOKE, known);
		record.wipe = known->wipe;
		err = add_known(plan, &record, &plan->found->revoked);
	}
	if (err == KT_ERR_OK && known->state == KT_DEVICE_DELETED) {
		record = record_of(KT_RECORD_DELETE, known);
		err = add_known(plan, &record, &plan->found->deleted);
	}
	return err;
}

/* --- certificates ------------------------------------------------------------------------------
 */

/* What was in force, or on its way, has to be shown by its hub. */
static enum kt_credential_status status_to_be(const struct kt_credential *known)
{
	if (known->status == KT_CREDENTIAL_CURRENT || known->status == KT_CREDENTIAL_PENDING)
		return KT_CREDENTIAL_LOST;
	return known->status;
}

static bool is_news(const struct kt_credential *here, enum kt_credential_status status)
{
	const bool was_put_out =
		status == KT_CREDENTIAL_SUPERSEDED || status == KT_CREDENTIAL_REVOKED;

	if (here == NULL)
		return true;
	if (here->status == KT_CREDENTIAL_CURRENT)
		return was_put_out;
	return here->status == KT_CREDENTIAL_LOST &&
	       (was_put_out || status == KT_CREDENTIAL_ABANDONED);
}

static enum kt_err plan_credential(struct kt_restore_plan *plan, const struct kt_credential *known)
{
	const struct kt_credential *here = kt_registry_find_fingerprint(plan->registry, &known->fp);
	struct kt_record record = record_of(KT_RECORD_RESTORE_CREDENTIAL, known->device);

	if (!is_news(here, status_to_be(known)))
		return KT_ERR_OK;
	record.op = known->op;
	record.fp = known->fp;
	record.key_id = known->key_id;
	record.has_key_id = true;
	record.generation = known->generation;
	record.not_after_s = known->not_after_s;
	record.status = status_to_be(known);
	return add_known(plan, &record, &plan->found->credentials);
}

/* --- tickets and denied keys --------------------------------------------------------------------
 */

static enum kt_err plan_ticket(struct kt_restore_plan *plan, const struct kt_ticket_entry *known)
{
	const struct kt_ticket_entry *here = kt_registry_find_ticket(plan->registry, known->sha256);
	struct kt_record record = record_of(KT_RECORD_TICKET_VOID, NULL);

	if (!known->used || here == NULL || here->used)
		return KT_ERR_OK;
	memcpy(record.ticket_sha256, known->sha256, sizeof(record.ticket_sha256));
	record.has_ticket = true;
	return add_known(plan, &record, &plan->found->tickets);
}

static enum kt_err plan_denied(struct kt_restore_plan *plan, const struct kt_denied_row *known)
{
	if (!known->denied || kt_registry_is_key_denied(plan->registry, &known->key_id))
		return KT_ERR_OK;
	return plan_key(plan, &known->key_id);
}

enum kt_err kt_restore_plan_known(struct kt_restore_plan *plan, const struct kt_registry *known)
{
	const struct kt_device *d;
	enum kt_err err = KT_ERR_OK;
	size_t cursor = 0;

	while (err == KT_ERR_OK && (d = kt_registry_next_device(known, &cursor)) != NULL)
		err = plan_counters(plan, d);
	for (uint32_t i = 0; err == KT_ERR_OK && i < known->credentials.count; i++)
		err = plan_credential(
			plan,
			&((const struct kt_credential_row *)kt_slab_at(&known->credentials, i))->c);
	cursor = 0;
	while (err == KT_ERR_OK && (d = kt_registry_next_device(known, &cursor)) != NULL) {
		err = plan_end(plan, d);
		if (err == KT_ERR_OK)
			err = plan_registration(plan, known, d);
	}
	for (uint32_t i = 0; err == KT_ERR_OK && i < known->tickets.count; i++)
		err = plan_ticket(
			plan, &((const struct kt_ticket_row *)kt_slab_at(&known->tickets, i))->t);
	for (uint32_t i = 0; err == KT_ERR_OK && i < known->denied.count; i++)
		err = plan_denied(plan, kt_slab_at(&known->denied, i));
	return err;
}
