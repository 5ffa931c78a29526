#include "agent_internal.h"

#include <stdlib.h>
#include <string.h>

const struct kt_agent_record *kt_agent_record(const struct kt_agent *agent)
{
	return agent->setup.disk->record(agent->setup.disk->ctx);
}

void kt_agent_log(struct kt_agent *agent, enum kt_event event, const struct kt_field *fields,
		  size_t count)
{
	agent->setup.log->now_ms = agent->now.mono_ms;
	(void)kt_log_event(agent->setup.log, event, fields, count);
}

enum kt_err kt_agent_new(const struct kt_agent_setup *setup, struct kt_agent_now now,
			 struct kt_agent **out)
{
	struct kt_agent *agent = calloc(1, sizeof(*agent));

	*out = NULL;
	if (agent == NULL)
		return KT_ERR_NOMEM;
	agent->setup = *setup;
	agent->now = now;
	*out = agent;
	return KT_ERR_OK;
}

void kt_agent_free(struct kt_agent *agent)
{
	free(agent);
}

void kt_agent_start(struct kt_agent *agent, struct kt_agent_now now)
{
	agent->now = now;
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		agent->link[i].retry_at_ms = now.mono_ms;
	kt_agent_steps_drive(agent);
	kt_agent_links_drive(agent);
}

void kt_agent_link_event(struct kt_agent *agent, struct kt_agent_now now,
			 const struct kt_link_event *event)
{
	struct kt_agent_link *l = &agent->link[event->link];

	agent->now = now;
	switch (event->kind) {
	case KT_LINK_UP:
		if (l->state != KT_LINK_STATE_CONNECTING || l->is_closing)
			break;
		l->state = KT_LINK_STATE_UP;
		l->up_at_ms = now.mono_ms;
		kt_agent_log(agent, KT_EVENT_LINK_UP,
			     &(struct kt_field){"link", event->link == KT_LINK_AGENT   ? "agent"
							: event->link == KT_LINK_TRIAL ? "trial"
										       : "claim"},
			     1);
		if (event->link == KT_LINK_CLAIM)
			kt_agent_enroll_send(agent);
		else
			kt_agent_send_hello(agent, event->link);
		break;
	case KT_LINK_DOWN:
		kt_agent_link_is_down(agent, event);
		break;
	case KT_LINK_MESSAGE:
		kt_agent_receive(agent, event->link, event->text, event->text_len);
		break;
	}
	kt_agent_links_drive(agent);
}

void kt_agent_tick(struct kt_agent *agent, struct kt_agent_now now)
{
	agent->now = now;
	kt_agent_steps_drive(agent);
	kt_agent_unmade_drive(agent);
	kt_agent_repeats_tick(agent);
	agent->setup.log->now_ms = now.mono_ms;
	kt_log_settle(agent->setup.log);
	kt_agent_links_drive(agent);
}

int64_t kt_agent_next_tick_ms(const struct kt_agent *agent)
{
	int64_t next = kt_agent_links_next_ms(agent);
	int64_t repeats = kt_agent_repeats_next_ms(agent);

	if (repeats < next)
		next = repeats;
	if (agent->step_retry_ms != 0 && agent->step_retry_ms < next)
		next = agent->step_retry_ms;
	if (agent->unmade_retry_ms != 0 && agent->unmade_retry_ms < next)
		next = agent->unmade_retry_ms;
	return next;
}

void kt_agent_status(const struct kt_agent *agent, struct kt_agent_status *out)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	memset(out, 0, sizeof(*out));
	out->record = record;
	out->last_session_s = agent->last_session_s;
	memcpy(out->last_reason, agent->last_reason, sizeof(out->last_reason));
	if (agent->is_revoked)
		out->health = KT_HEALTH_REVOKED;
	else if (kt_rollover_is_claim(record) && kt_agent_has_claim(agent))
		out->health = KT_HEALTH_ENROLLING;
	else if (record->phase == KT_AGENT_NEW)
		out->health = KT_HEALTH_STUCK;
	else if (record->step != KT_STEP_NONE ||
		 (record->phase != KT_AGENT_STABLE && !kt_rollover_is_claim(record)))
		out->health = KT_HEALTH_ROTATING;
	else if (kt_agent_active_link(agent) != KT_LINK_COUNT)
		out->health = KT_HEALTH_IN_SESSION;
	else
		out->health = KT_HEALTH_CONNECTING;
}

const char *kt_agent_health_name(enum kt_agent_health health)
{
	static const char *const names[] = {
		[KT_HEALTH_CONNECTING] = "connecting", [KT_HEALTH_ENROLLING] = "enrolling",
		[KT_HEALTH_IN_SESSION] = "in_session", [KT_HEALTH_ROTATING] = "rotating",
		[KT_HEALTH_REVOKED] = "revoked",       [KT_HEALTH_STUCK] = "stuck",
	};

	return (size_t)health < sizeof(names) / sizeof(names[0]) ? names[health] : "?";
}
