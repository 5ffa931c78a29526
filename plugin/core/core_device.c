/* What operators do to a device as a whole. */
#include <stdio.h>
#include <string.h>

#include "outbox.h"

enum { NOTICE_MS = 1000 }; /* a notice that is not out by then is not waited for */

static struct kt_outcome refused(enum kt_reason reason)
{
	return (struct kt_outcome){.reason = reason};
}

static struct kt_record new_record(enum kt_record_kind kind, const struct kt_device *device,
				   const char *note)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = kind;
	if (device != NULL)
		record.device = device->id;
	if (note != NULL)
		(void)snprintf(record.note, sizeof(record.note), "%s", note);
	return record;
}

/* Records it; what depends on it waits for outcome.seq, unless it will never be durable. */
static struct kt_outcome change(struct kt_core *core, struct kt_record *record, const char *actor)
{
	enum kt_reason reason;

	if (kt_core_change(core, record, actor, &reason) != KT_ERR_OK)
		return refused(reason);
	return (struct kt_outcome){.reason = reason,
				   .seq = reason == KT_REASON_NONE ? record->seq : 0};
}

static bool is_done(const struct kt_outcome *outcome)
{
	return outcome->reason == KT_REASON_NONE || outcome->reason == KT_REASON_NOT_DURABLE;
}

static void tell(struct kt_core *core, enum kt_event event, const struct kt_device *device,
		 const char *actor, const struct kt_outcome *outcome)
{
	const struct kt_field fields[] = {{"actor", actor},
					  {"reason", outcome->reason == KT_REASON_NONE
							     ? NULL
							     : kt_reason_name(outcome->reason)}};

	kt_core_fact(core, event, device, fields, 2, outcome->seq);
}

struct kt_outcome kt_device_quarantine(struct kt_core *core, const struct kt_device *device,
				       const char *actor, const char *note)
{
	struct kt_record record = new_record(KT_RECORD_QUARANTINE, device, note);
	struct kt_outcome outcome = change(core, &record, actor);

	/* its sessions stay: every right is asked for anew at every message */
	if (is_done(&outcome))
		tell(core, KT_EVENT_DEVICE_QUARANTINED, device, actor, &outcome);
	return outcome;
}

struct kt_outcome kt_device_release(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_RELEASE, device, NULL);
	struct kt_outcome outcome = change(core, &record, actor);

	if (is_done(&outcome))
		tell(core, KT_EVENT_DEVICE_RELEASED, device, actor, &outcome);
	return outcome;
}

struct kt_outcome kt_device_unfreeze(struct kt_core *core, const struct kt_device *device,
				     const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_UNFREEZE, device, NULL);
	const struct kt_field fields[] = {{"actor", actor}, {"freeze", "yes"}};
	struct kt_outcome outcome = change(core, &record, actor);

	if (outcome.reason == KT_REASON_NONE)
		kt_core_fact(core, KT_EVENT_DEVICE_RELEASED, device, fields, 2, outcome.seq);
	return outcome;
}

/* A signed notice is for :agent and :trial alone, and only those that said hello can verify it. */
static bool gets_notice(const struct kt_session *session)
{
	return session->has_hello &&
	       (session->kind == KT_SESSION_AGENT || session->kind == KT_SESSION_TRIAL);
}

static void end_sessions(struct kt_core *core, const struct kt_device *device,
			 const struct kt_revoke_order *order, const struct kt_outcome *outcome)
{
	struct kt_session *session = NULL;
	struct kt_message *notice;

	while ((session = kt_sessions_next_of(core->sessions, device, session)) != NULL) {
		if (order->emergency || outcome->reason != KT_REASON_NONE ||
		    !gets_notice(session)) {
			kt_core_kick_now(core, session, KT_REASON_CERT_REVOKED);
			continue;
		}
		kt_outbox_plan_kick(core, session, KT_REASON_CERT_REVOKED, UINT64_MAX,
				    core->now.mono_ms + NOTICE_MS);
		notice = kt_core_message(core, session, KT_MESSAGE_REVOKED);
		if (notice == NULL)
			continue;
		notice->u.revoked.reason = KT_REASON_REVOKED;
		notice->u.revoked.wipe = order->wipe;
		/* not before it is durable: a hub that wipes on a revoke that is lost is lost */
		kt_core_send(core, session, notice, outcome->seq);
	}
}

/* Only while observing others can have a device's names. */
static void evict_observed(struct kt_core *core, const struct kt_device *device)
{
	if (core->config->enforce == KT_ENFORCE_OBSERVE)
		kt_core_evict(core, device);
}

struct kt_outcome kt_device_revoke(struct kt_core *core, const struct kt_device *device,
				   const char *actor, const struct kt_revoke_order *order)
{
	struct kt_record record = new_record(KT_RECORD_REVOKE, device, order->note);
	struct kt_outcome outcome;

	record.wipe = order->wipe;
	outcome = change(core, &record, actor);
	if (!is_done(&outcome))
		return outcome;
	tell(core, KT_EVENT_DEVICE_REVOKED, device, actor, &outcome);
	end_sessions(core, device, order, &outcome);
	evict_observed(core, device);
	return outcome;
}

struct kt_outcome kt_device_delete(struct kt_core *core, const struct kt_device *device,
				   const char *actor)
{
	static const struct kt_revoke_order at_once = {.emergency = true};
	struct kt_record record = new_record(KT_RECORD_DELETE, device, NULL);
	struct kt_outcome outcome = change(core, &record, actor);

	if (!is_done(&outcome))
		return outcome;
	tell(core, KT_EVENT_DEVICE_DELETED, device, actor, &outcome);
	end_sessions(core, device, &at_once, &outcome);
	evict_observed(core, device);
	return outcome;
}

struct kt_outcome kt_device_set(struct kt_core *core, const struct kt_device *device,
				const char *group, const char *labels, const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_DEVICE_SET, device, NULL);
	/* of the record: what the device has, and @group may be that, is given back by the change
	 */
	const struct kt_field fields[] = {{"actor", actor},
					  {"group", group[0] != '\0' ? record.group : NULL},
					  {"labels", labels[0] != '\0' ? record.labels.s : NULL}};
	struct kt_outcome outcome;

	if (device->state != KT_DEVICE_DELETED && strcmp(device->group, group) == 0 &&
	    strcmp(device->labels, labels) == 0)
		return (struct kt_outcome){.seq = kt_core_seq_of(device)};
	(void)snprintf(record.group, sizeof(record.group), "%s", group);
	(void)snprintf(record.labels.s, sizeof(record.labels.s), "%s", labels);
	outcome = change(core, &record, actor);
	if (outcome.reason == KT_REASON_NONE)
		kt_core_fact(core, KT_EVENT_DEVICE_SET, device, fields, 3, outcome.seq);
	return outcome;
}

static enum kt_reason create_refusal(const struct kt_core *core, const char *id,
				     const struct kt_key_id *key_id)
{
	const struct kt_device *same = kt_registry_find_device(core->registry, id);

	if (!kt_is_device_id(id, strlen(id)))
		return KT_REASON_JSON_FIELD;
	if (same != NULL ? same->state != KT_DEVICE_DELETED
			 : kt_registry_find_nocase(core->registry, id) != NULL)
		return KT_REASON_EXISTS;
	if (key_id == NULL)
		return KT_REASON_NONE;
	if (kt_registry_is_key_used(core->registry, key_id) ||
	    kt_registry_find_key(core->registry, key_id) != NULL)
		return KT_REASON_KEY_KNOWN;
	return kt_registry_is_key_denied(core->registry, key_id) ? KT_REASON_DENIED
								 : KT_REASON_NONE;
}

struct kt_outcome kt_device_create(struct kt_core *core, const char *id, const char *group,
				   const struct kt_key_id *key_id, const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_DEVICE_CREATE, NULL, NULL);
	enum kt_reason reason = create_refusal(core, id, key_id);
	const struct kt_device *device;
	struct kt_outcome outcome;

	if (reason != KT_REASON_NONE)
		return refused(reason);
	if (!kt_device_id_set(&record.device, id, strlen(id)))
		return refused(KT_REASON_JSON_FIELD);
	if (group != NULL)
		(void)snprintf(record.group, sizeof(record.group), "%s", group);
	if (key_id != NULL) {
		record.key_id = *key_id;
		record.has_key_id = true;
		record.alg = KT_ALG_ES256;
	}
	outcome = change(core, &record, actor);
	device = kt_registry_find_device(core->registry, id);
	if (!is_done(&outcome) || device == NULL)
		return outcome;
	tell(core, KT_EVENT_DEVICE_CREATED, device, actor, &outcome);
	kt_core_evict(core, device);
	return outcome;
}

struct kt_outcome kt_clock_confirm(struct kt_core *core, const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_CLOCK_CONFIRM, NULL, NULL);
	struct kt_outcome outcome = change(core, &record, actor);

	if (outcome.reason == KT_REASON_NONE)
		core->clock_jumped = false;
	return outcome;
}
