/* How the parts of the core change the world: a record first, then what follows from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "encoding.h"
#include "json.h"
#include "limit.h"
#include "outbox.h"

enum { FIELDS_MAX = 12, DROPS_A_TICK = 32, CLOCK_RETRY_S = 3600 };

/* Of one device, event and variant: five at once, then one in ten seconds. */
static const struct kt_rate alarm_rate = {.per_1000s = 100, .burst = 5};
/* Lines about sessions of one device: as many as a hub in trouble makes. */
static const struct kt_rate line_rate = {.per_1000s = 2000, .burst = 20};

#define HOUR_US INT64_C(3600000000)
#define DAY_US	(24 * HOUR_US)

static void count(uint64_t counts[static KT_REASON_COUNT], enum kt_reason reason)
{
	if (reason < KT_REASON_COUNT)
		counts[reason]++;
}

/* --- records --- */

/* Rights may shrink without a ledger, they never grow. */
static bool takes_rights_away(enum kt_record_kind kind)
{
	return kind == KT_RECORD_REVOKE || kind == KT_RECORD_DELETE ||
	       kind == KT_RECORD_QUARANTINE || kind == KT_RECORD_FREEZE || kind == KT_RECORD_DENY ||
	       kind == KT_RECORD_OP_CLOSE || kind == KT_RECORD_OPERATOR_REMOVE;
}

static void journal_failed(struct kt_core *core)
{
	if (!core->journal_failed)
		(void)kt_log_event(core->ports.log, KT_EVENT_LEDGER_FAILED, NULL, 0);
	core->journal_failed = true;
	kt_outbox_release(core);
}

void kt_core_watch_clock(struct kt_core *core)
{
	const int64_t newest_us = kt_registry_time_us(core->registry);
	const int64_t now_us = core->now.wall_us;

	if (core->config->certificate_lifetime_ms == 0 || core->clock_jumped || newest_us == 0)
		return;
	if (now_us >= newest_us - HOUR_US && now_us <= newest_us + 30 * DAY_US)
		return;
	core->clock_jumped = true;
	kt_core_fact(core, KT_EVENT_CLOCK_JUMPED, NULL, NULL, 0, 0);
}

bool kt_core_may_issue(struct kt_core *core, struct kt_session *session, uint64_t op)
{
	kt_core_watch_clock(core);
	if (core->journal_failed)
		kt_core_reject(core, session, KT_REASON_STORE_FAILED, KT_BUSY_RETRY_S, op);
	else if (core->clock_jumped && core->config->certificate_lifetime_ms > 0)
		kt_core_reject(core, session, KT_REASON_CLOCK_JUMP, CLOCK_RETRY_S, op);
	else
		return true;
	return false;
}

enum kt_err kt_core_change(struct kt_core *core, struct kt_record *record, const char *actor,
			   enum kt_reason *reason)
{
	enum kt_err err;

	*reason = KT_REASON_NONE;
	if (core->journal_failed && !takes_rights_away(record->kind)) {
		*reason = KT_REASON_STORE_FAILED;
		return KT_ERR_BUSY;
	}
	kt_core_watch_clock(core); /* the record itself moves the ledger's time */
	record->seq = kt_registry_seq(core->registry) + 1;
	record->time_us = core->now.wall_us;
	(void)snprintf(record->actor, sizeof(record->actor), "%s", actor);
	err = core->journal_failed ? KT_ERR_OK
				   : core->ports.journal->reserve(core->ports.journal->ctx, record);
	if (err == KT_ERR_OK)
		err = kt_registry_apply(core->registry, record);
	if (err != KT_ERR_OK) {
		*reason = err == KT_ERR_STATE ? KT_REASON_STATE : KT_REASON_BUSY;
		return err;
	}
	kt_crl_note(core, record);
	if (!core->journal_failed && core->ports.journal->append(core->ports.journal->ctx, record,
								 core->registry) != KT_ERR_OK)
		journal_failed(core);
	if (!core->journal_failed)
		return KT_ERR_OK;
	if (takes_rights_away(record->kind)) {
		*reason = KT_REASON_NOT_DURABLE;
		return KT_ERR_OK;
	}
	*reason = KT_REASON_STORE_FAILED;
	return KT_ERR_BUSY;
}

uint64_t kt_core_seq_of(const struct kt_device *device)
{
	return device->changed_seq;
}

uint64_t kt_core_next_op(const struct kt_core *core, const struct kt_device *device)
{
	const uint64_t now = core->now.wall_us > 0 ? (uint64_t)core->now.wall_us : 1;
	const uint64_t last = device == NULL ? 0 : device->op;

	return now > last ? now : last + 1;
}

int64_t kt_core_not_after(const struct kt_core *core)
{
	if (core->config->certificate_lifetime_ms == 0)
		return KT_CERT_NO_END;
	return core->now.wall_us / 1000000 + core->config->certificate_lifetime_ms / 1000;
}

bool kt_core_chain(const struct kt_core *core, struct kt_bytes leaf, struct kt_chain *out)
{
	if (leaf.len > KT_CERT_MAX || core->issuer_cert_der.len > KT_CERT_MAX)
		return false;
	out->count = 2;
	out->cert[0].len = leaf.len;
	memcpy(out->cert[0].der, leaf.p, leaf.len);
	out->cert[1].len = core->issuer_cert_der.len;
	memcpy(out->cert[1].der, core->issuer_cert_der.p, core->issuer_cert_der.len);
	return true;
}

/* --- messages --- */

struct kt_message *kt_core_message(struct kt_core *core, const struct kt_session *session,
				   enum kt_message_type type)
{
	struct kt_message *message = kt_message_new(type);

	if (message == NULL)
		return NULL;
	(void)snprintf(message->trust_domain, sizeof(message->trust_domain), "%s",
		       core->config->trust_domain);
	if (session->device != NULL)
		message->device = session->device->id;
	message->dn = session->dn;
	return message;
}

void kt_core_send(struct kt_core *core, const struct kt_session *session,
		  struct kt_message *message, uint64_t after_seq)
{
	if (message != NULL)
		kt_outbox_send(core, session->number, message, after_seq);
}

void kt_core_reject(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
		    uint32_t retry_s, uint64_t op)
{
	struct kt_message *message;
	const struct kt_field fields[] = {
		{"client", session->client_id},
		{"device", session->device == NULL ? NULL : session->device->id.s}};

	kt_core_refused(core, KT_EVENT_MESSAGE_REFUSED, reason, fields, 2);
	if (!session->has_hello || session->gone)
		return; /* without its dn the peer would drop it */
	message = kt_core_message(core, session, KT_MESSAGE_REJECT);
	if (message == NULL)
		return;
	message->u.reject.reason = kt_reason_is_for_peer(reason) ? reason : KT_REASON_DENIED;
	message->u.reject.retry_s = retry_s;
	message->u.reject.op = op;
	kt_core_send(core, session, message, 0);
}

void kt_core_reply(struct kt_core *core, const struct kt_session *session, char *json,
		   uint64_t after_seq)
{
	if (json != NULL)
		kt_outbox_reply(core, session->number, json, after_seq);
}

/* --- kicks --- */

void kt_core_kick(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
		  unsigned in_ticks)
{
	kt_outbox_plan_kick(core, session, reason, core->tick + (in_ticks == 0 ? 1 : in_ticks),
			    INT64_MAX);
}

void kt_core_kick_after(struct kt_core *core, const struct kt_session *session,
			enum kt_reason reason, uint64_t after_seq)
{
	kt_outbox_kick(core, session->number, reason, after_seq);
}

void kt_core_kick_now(struct kt_core *core, struct kt_session *session, enum kt_reason reason)
{
	const struct kt_field fields[] = {
		{"client", session->client_id},
		{"device", session->device == NULL ? NULL : session->device->id.s},
		{"reason", kt_reason_name(reason)}};

	/* a kick goes by client id: only where that id is this very session's, and it is online */
	if (session->gone || session->kicked ||
	    kt_sessions_by_client_id(core->sessions, session->client_id) != session)
		return;
	if (core->ports.broker->kick(core->ports.broker->ctx, session->client_id) != KT_ERR_OK) {
		session->kick_at_tick = 1; /* no memory: the sweep tries again */
		session->kick_reason = reason;
		return;
	}
	session->kicked = true;
	(void)kt_log_event(core->ports.log,
			   session->kind == KT_SESSION_CLAIM ? KT_EVENT_CLAIM_ENDED
							     : KT_EVENT_SESSION_ENDED,
			   fields, 3);
	kt_sessions_mark_gone(core->sessions, session->client);
}

static bool is_name_of(const char *client_id, const struct kt_device *device)
{
	struct kt_client_name name;

	kt_client_name_decode(client_id, &name);
	return name.device.s[0] != '\0' && strcasecmp(name.device.s, device->id.s) == 0;
}

void kt_core_evict(struct kt_core *core, const struct kt_device *device)
{
	const bool is_put_out =
		device->state == KT_DEVICE_REVOKED || device->state == KT_DEVICE_DELETED;
	struct kt_session *session;
	size_t cursor = 0;

	if (core->config->enforce == KT_ENFORCE_OBSERVE && !is_put_out)
		return;
	while ((session = kt_sessions_next(core->sessions, &cursor)) != NULL) {
		if (session->device != NULL)
			continue;
		if (is_name_of(session->client_id, device))
			kt_core_kick(core, session, KT_REASON_CLIENTID, 0);
		else if (strcasecmp(session->username, device->id.s) == 0)
			kt_core_kick(core, session, KT_REASON_USERNAME, 0);
	}
}

struct kt_session *kt_core_session_of(struct kt_core *core, const struct kt_device *device,
				      enum kt_session_kind kind)
{
	struct kt_session *session = NULL;

	while ((session = kt_sessions_next_of(core->sessions, device, session)) != NULL) {
		if (session->kind == kind)
			return session;
	}
	return NULL;
}

/* --- facts and refusals --- */

static char *event_json(const struct kt_core *core, enum kt_event event,
			const struct kt_device *device, const struct kt_field *fields,
			size_t field_count)
{
	struct kt_json_writer *w = NULL;
	char *json = NULL;
	size_t len;

	if (kt_json_writer_new(&w) != KT_ERR_OK)
		return NULL;
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "event", kt_event_name(event));
	kt_json_put_u64(w, "time", (uint64_t)core->now.wall_us);
	if (device != NULL)
		kt_json_put_string(w, "device", device->id.s);
	for (size_t i = 0; i < field_count; i++) {
		if (fields[i].value != NULL)
			kt_json_put_string(w, fields[i].key, fields[i].value);
	}
	kt_json_close_object(w);
	if (kt_json_writer_take(w, &json, &len) != KT_ERR_OK)
		json = NULL; /* peer text that is not UTF-8: the log line has it, escaped */
	kt_json_writer_free(w);
	return json;
}

void kt_core_fact(struct kt_core *core, enum kt_event event, const struct kt_device *device,
		  const struct kt_field *fields, size_t field_count, uint64_t after_seq)
{
	struct kt_field all[FIELDS_MAX];
	size_t count_all = 0;
	char *json;

	if (device != NULL)
		all[count_all++] = (struct kt_field){"device", device->id.s};
	for (size_t i = 0; i < field_count && count_all < FIELDS_MAX; i++)
		all[count_all++] = fields[i];
	if ((unsigned)event < KT_EVENT_COUNT)
		core->facts[event]++;
	if (!kt_log_event(core->ports.log, event, all, count_all))
		return; /* over its rate: no event either */
	json = event_json(core, event, device, fields, field_count);
	if (json != NULL)
		kt_outbox_event(core, event, json, after_seq);
}

/* --- what strangers can cause about a device --- */

static struct kt_limit *limit_of(struct kt_core *core, enum kt_event event, unsigned variant,
				 const struct kt_device *device)
{
	return kt_limits_of(core->alarms, device, (unsigned)event * KT_VARIANTS + variant,
			    core->now.mono_ms);
}

/* False: over its rate, and counted. */
static bool is_within(struct kt_core *core, struct kt_limit *limit, struct kt_rate rate)
{
	if (kt_bucket_take(&limit->bucket, rate, core->now.mono_ms))
		return true;
	if (limit->dropped < UINT32_MAX)
		limit->dropped++;
	return false;
}

void kt_core_alarm(struct kt_core *core, struct kt_alarm alarm, const struct kt_device *device,
		   const struct kt_field *fields, size_t field_count, uint64_t after_seq)
{
	struct kt_limit *limit = limit_of(core, alarm.event, alarm.variant, device);
	struct kt_field all[FIELDS_MAX];
	size_t count_all = 0;
	char dropped[KT_U64_DIGITS_MAX + 1];

	if (!is_within(core, limit, alarm_rate))
		return;
	for (size_t i = 0; i < field_count && count_all < FIELDS_MAX - 1; i++)
		all[count_all++] = fields[i];
	if (limit->dropped > 0) {
		kt_u64_encode(limit->dropped, dropped);
		all[count_all++] = (struct kt_field){"dropped", dropped};
		limit->dropped = 0;
	}
	kt_core_fact(core, alarm.event, device, all, count_all, after_seq);
}

bool kt_core_is_worth_a_line(struct kt_core *core, enum kt_event event,
			     const struct kt_device *device)
{
	return is_within(core, limit_of(core, event, 0, device), line_rate);
}

static void tell_dropped(struct kt_core *core, const char *of, const struct kt_device *device,
			 uint32_t count_dropped)
{
	char text[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {{"of", of}, {"count", text}};

	kt_u64_encode(count_dropped, text);
	kt_core_fact(core, KT_EVENT_LOG_DROPPED, device, fields, 2, 0);
}

/* A walk over all in ten seconds, a piece a tick: there may be hundreds of devices. */
void kt_core_settle_drops(struct kt_core *core)
{
	struct kt_limit *limit = NULL;
	uint32_t lost;

	kt_log_settle(core->ports.log);
	if (core->alarms_cursor == 0 && core->now.mono_ms < core->alarms_due_ms)
		return;
	if (core->alarms_cursor == 0)
		core->alarms_due_ms = core->now.mono_ms + KT_LOG_WINDOW_MS;
	for (unsigned i = 0; i < DROPS_A_TICK; i++) {
		limit = kt_limits_next_dropped(core->alarms, &core->alarms_cursor);
		if (limit == NULL)
			break;
		tell_dropped(core, kt_event_name((enum kt_event)(limit->what / KT_VARIANTS)),
			     limit->device, limit->dropped);
		limit->dropped = 0;
	}
	if (limit != NULL)
		return;
	core->alarms_cursor = 0;
	lost = kt_limits_lost(core->alarms);
	if (lost > 0)
		tell_dropped(core, "alarms", NULL, lost);
}

void kt_core_refused(struct kt_core *core, enum kt_event event, enum kt_reason reason,
		     const struct kt_field *fields, size_t field_count)
{
	struct kt_field all[FIELDS_MAX];
	size_t count_all = 0;

	count(core->refusals, reason);
	all[count_all++] = (struct kt_field){"reason", kt_reason_name(reason)};
	for (size_t i = 0; i < field_count && count_all < FIELDS_MAX; i++)
		all[count_all++] = fields[i];
	(void)kt_log_event(core->ports.log, event, all, count_all);
}

void kt_core_would_refuse(struct kt_core *core, enum kt_event event, enum kt_reason reason,
			  const struct kt_field *fields, size_t field_count)
{
	struct kt_field all[FIELDS_MAX];
	size_t count_all = 0;

	count(core->would_refuse, reason);
	all[count_all++] = (struct kt_field){"reason", kt_reason_name(reason)};
	for (size_t i = 0; i < field_count && count_all < FIELDS_MAX; i++)
		all[count_all++] = fields[i];
	kt_core_fact(core, event, NULL, all, count_all, 0);
}

bool kt_core_is_observed(const struct kt_core *core, const struct kt_session *session)
{
	return core->config->enforce == KT_ENFORCE_OBSERVE &&
	       (session->kind == KT_SESSION_DEVICE || session->kind == KT_SESSION_OTHER);
}
