/* What time does to sessions, a piece per tick; and the gauges. */
#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "outbox.h"
#include "rotation.h"

enum {
	SESSIONS_A_TICK = 4096,
	ORDERS_A_TICK = 16,
	CHALLENGES_A_TICK = 64,
	WALK_MS = 1000,
	GAUGES_MS = 10000
};

struct budget { /* what is left of this tick's: a fleet is served in a stream and not in one burst
		 */
	unsigned orders;
	unsigned challenges;
};

static bool is_expired(const struct kt_core *core, const struct kt_session *session)
{
	return session->not_after_s != 0 && session->not_after_s < KT_CERT_NO_END &&
	       core->now.wall_us / 1000000 > session->not_after_s;
}

/* Of a superseded credential :agent and :trial go at once, the hub's programs when they drained. */
static bool is_drained(const struct kt_core *core, const struct kt_session *session)
{
	if (session->kind != KT_SESSION_DEVICE)
		return true;
	return core->now.mono_ms >= session->drain_until_ms ||
	       session->device->promoted_op >= session->credential->superseded_by;
}

static enum kt_reason credential_end(const struct kt_core *core, const struct kt_session *session)
{
	const struct kt_credential *credential = session->credential;

	/* a revoke is in force before it is durable; whatever else ends a session waits for that */
	if (credential->status == KT_CREDENTIAL_REVOKED)
		return KT_REASON_CERT_REVOKED;
	if (credential->changed_seq > core->durable_seq)
		return KT_REASON_NONE;
	if (credential->status == KT_CREDENTIAL_ABANDONED)
		return KT_REASON_OP_CLOSED;
	if (credential->status == KT_CREDENTIAL_SUPERSEDED && is_drained(core, session))
		return KT_REASON_CERT_SUPERSEDED;
	return KT_REASON_NONE;
}

static enum kt_reason end_of(const struct kt_core *core, const struct kt_session *session)
{
	const int64_t now = core->now.mono_ms;

	if (session->kick_at_tick == 1)
		return session->kick_reason; /* a kick that found no room in the plan */
	if (is_expired(core, session) && !kt_core_is_observed(core, session))
		return KT_REASON_CERT_DATES;
	switch (session->kind) {
	case KT_SESSION_AGENT:
	case KT_SESSION_TRIAL:
		if (!session->has_hello &&
		    now - session->started_ms >= core->config->hello_timeout_ms)
			return KT_REASON_HELLO_TIMEOUT;
		return credential_end(core, session);
	case KT_SESSION_DEVICE:
		return credential_end(core, session);
	case KT_SESSION_CLAIM:
		return !session->in_work &&
				       now - session->last_message_ms >= core->config->claim_idle_ms
			       ? KT_REASON_CLAIM_TIMEOUT
			       : KT_REASON_NONE;
	case KT_SESSION_OPERATOR:
	case KT_SESSION_OTHER:
		return KT_REASON_NONE;
	}
	return KT_REASON_NONE;
}

/* A hub that stays connected grows old, too. */
static void order_if_due(struct kt_core *core, struct kt_session *session, struct budget *budget)
{
	if (budget->orders == 0 || session->kind != KT_SESSION_AGENT || !session->has_hello ||
	    !kt_rotation_order_due(core, session))
		return;
	budget->orders--;
	kt_rotation_send_rotate(core, session);
}

static void tell_of_end(struct kt_core *core, struct kt_session *session)
{
	const struct kt_field fields[] = {
		{"client", session->client_id},
		{"device", session->device == NULL ? NULL : session->device->id.s}};

	if (session->end_told || !is_expired(core, session) || !kt_core_is_observed(core, session))
		return;
	session->end_told = true;
	kt_core_would_refuse(core, KT_EVENT_CLIENT_WOULD_REFUSE, KT_REASON_CERT_DATES, fields, 2);
}

static void visit(struct kt_core *core, struct kt_session *session, struct budget *budget)
{
	enum kt_reason reason = end_of(core, session);

	if (session->has_challenge)
		kt_challenge_expire(core, session);
	kt_rotation_repeat(core, session);
	tell_of_end(core, session);
	if (reason == KT_REASON_NONE && session->kick_at_tick == 0 && !session->kicked) {
		order_if_due(core, session, budget);
		if (budget->challenges > 0 && kt_challenge_if_due(core, session))
			budget->challenges--;
	}
	/* who waits for its notice is not ended before that */
	if (reason == KT_REASON_NONE || session->kick_at_tick == UINT64_MAX)
		return;
	if (reason == KT_REASON_HELLO_TIMEOUT || reason == KT_REASON_CLAIM_TIMEOUT ||
	    reason == KT_REASON_CERT_DATES)
		core->refusals[reason]++;
	kt_core_kick_now(core, session, reason);
}

void kt_core_sweep_sessions(struct kt_core *core)
{
	struct kt_sweep *sweep = &core->sessions_sweep;
	struct budget budget = {.orders = ORDERS_A_TICK, .challenges = CHALLENGES_A_TICK};

	if (sweep->cursor == 0) { /* a walk begins a second after the one before, however long */
		if (core->now.mono_ms < sweep->next_ms)
			return;
		sweep->next_ms = core->now.mono_ms + WALK_MS;
	}
	for (unsigned i = 0; i < SESSIONS_A_TICK; i++) {
		struct kt_session *session = kt_sessions_next(core->sessions, &sweep->cursor);

		if (session == NULL) {
			sweep->cursor = 0;
			return;
		}
		visit(core, session, &budget);
	}
}

/* --- gauges --- */

static const char *const gauge_names[KT_GAUGE_COUNT] = {
	"devices",	  "devices/active", "devices/revoked", "devices/quarantined",
	"devices/frozen", "rotations/open", "tickets/open",    "sessions",
	"refusals",	  "ledger/seq",	    "devices/adopted", "reconciling",
	"crl/number",	  "crl/entries",    "crl/next_update", "would_refuse",
};

void kt_core_publish_gauges(struct kt_core *core)
{
	const struct kt_registry_counts counts = kt_registry_counts(core->registry);
	struct kt_crl_status crl;
	uint64_t refusals = 0;
	uint64_t would_refuse = 0;

	if (core->now.mono_ms < core->gauges_at_ms)
		return;
	core->gauges_at_ms = core->now.mono_ms + GAUGES_MS;
	kt_crl_status(core, &crl);
	for (size_t i = 0; i < KT_REASON_COUNT; i++) {
		refusals += core->refusals[i];
		would_refuse += core->would_refuse[i];
	}
	{
		const uint64_t now[KT_GAUGE_COUNT] = {counts.devices,
						      counts.active,
						      counts.revoked,
						      counts.quarantined,
						      counts.frozen,
						      counts.open_ops,
						      counts.tickets_open,
						      kt_sessions_count(core->sessions),
						      refusals,
						      core->durable_seq,
						      counts.adopted,
						      kt_registry_restore_seq(core->registry) != 0,
						      crl.head.number,
						      crl.head.entry_count,
						      (uint64_t)crl.head.next_update_s,
						      would_refuse};

		for (size_t i = 0; i < KT_GAUGE_COUNT; i++) {
			char topic[KT_TOPIC_MAX];
			char text[KT_U64_DIGITS_MAX + 1];

			if (core->gauge[i] == now[i] + 1)
				continue;
			(void)snprintf(topic, sizeof(topic), KT_TOPIC_SYS_PREFIX "%s",
				       gauge_names[i]);
			kt_u64_encode(now[i], text);
			if (core->ports.broker->publish(
				    core->ports.broker->ctx, NULL, topic,
				    (struct kt_bytes){(const uint8_t *)text, strlen(text)},
				    true) == KT_ERR_OK)
				core->gauge[i] = now[i] + 1;
		}
	}
}
