#include "agent_internal.h"

#include "encoding.h"
#include "topic.h"

#include <stdio.h>
#include <string.h>

enum { SILENT_TRIES = 3, CLAIM_RANDOM_BYTES = 16 };

static const char *const link_names[KT_LINK_COUNT] = {
	[KT_LINK_AGENT] = "agent", [KT_LINK_TRIAL] = "trial", [KT_LINK_CLAIM] = "claim"};

static const char *const cause_names[] = {
	[KT_CAUSE_CLOSED] = "closed",	    [KT_CAUSE_LOST] = "lost",
	[KT_CAUSE_REFUSED] = "refused",	    [KT_CAUSE_NO_ANSWER] = "no_answer",
	[KT_CAUSE_UNTRUSTED] = "untrusted", [KT_CAUSE_TAKEN_OVER] = "taken_over",
	[KT_CAUSE_KICKED] = "kicked",
};

/* 0 to @most_ms; without a random number the most. */
static int64_t jitter_ms(struct kt_agent *agent, int64_t most_ms)
{
	uint32_t random = 0;

	if (agent->setup.entropy->bytes(agent->setup.entropy->ctx, (uint8_t *)&random,
					sizeof(random)) != KT_ERR_OK)
		return most_ms;
	return (int64_t)random % (most_ms + 1);
}

int64_t kt_agent_backoff_ms(struct kt_agent *agent, uint32_t tries)
{
	const int64_t min = agent->setup.timers.backoff_min;
	int64_t cap = min;

	while (tries-- > 0 && cap < agent->setup.timers.backoff_max)
		cap *= 2;
	if (cap > agent->setup.timers.backoff_max)
		cap = agent->setup.timers.backoff_max;
	return min + jitter_ms(agent, cap - min);
}

int64_t kt_agent_told_ms(struct kt_agent *agent, uint32_t retry_s)
{
	const int64_t told_ms = (int64_t)retry_s * 1000;

	return told_ms + jitter_ms(agent, told_ms / 2);
}

void kt_agent_link_retry_in(struct kt_agent *agent, enum kt_link link, int64_t delay_ms)
{
	agent->link[link].retry_at_ms = agent->now.mono_ms + delay_ms;
}

void kt_agent_link_close(struct kt_agent *agent, enum kt_link link)
{
	struct kt_agent_link *l = &agent->link[link];

	if (l->state == KT_LINK_STATE_DOWN || l->is_closing)
		return;
	l->is_closing = true;
	agent->setup.transport->close(agent->setup.transport->ctx, link);
}

/* Is there a second credential whose turn it is before the old one's? */
static bool is_new_first(const struct kt_agent *agent, const struct kt_agent_record *record)
{
	return record->phase == KT_AGENT_CERT && !agent->old_first;
}

bool kt_agent_has_claim(const struct kt_agent *agent)
{
	return agent->setup.ticket != NULL || agent->setup.claim_pem != NULL;
}

/*
 * Which slot this link should have now; NULL: the link should not be opened.
 * Rule 6: the new one first; the old one once after a refusal or silence; then the new one again.
 */
static const struct kt_slot *slot_for(const struct kt_agent *agent, enum kt_link link)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	bool has_active = record->active.dir != 0;

	switch (link) {
	case KT_LINK_AGENT:
		if (record->phase == KT_AGENT_NEW || !has_active)
			return NULL;
		if (is_new_first(agent, record) && !agent->other_turn)
			return NULL;
		if (kt_rollover_has_aside(record) && agent->aside_turn)
			return &record->retired;
		return &record->active;
	case KT_LINK_TRIAL:
		if (record->phase != KT_AGENT_CERT)
			return NULL;
		if (agent->old_first && !agent->other_turn)
			return NULL;
		return &record->pending;
	case KT_LINK_CLAIM:
		if (!kt_rollover_is_claim(record) || !kt_agent_has_claim(agent))
			return NULL;
		return &record->pending;
	case KT_LINK_COUNT:
		break;
	}
	return NULL;
}

static bool claim_client_id(struct kt_agent *agent, char out[static KT_CLIENT_ID_MAX])
{
	uint8_t random[CLAIM_RANDOM_BYTES];
	char text[KT_B64URL_LEN(CLAIM_RANDOM_BYTES) + 1];

	if (agent->setup.entropy->bytes(agent->setup.entropy->ctx, random, sizeof(random)) !=
		    KT_ERR_OK ||
	    kt_b64url_encode(random, sizeof(random), text, sizeof(text)) != KT_ERR_OK)
		return false;
	snprintf(out, KT_CLIENT_ID_MAX, "claim:%s", text);
	return true;
}

static bool is_connectable(struct kt_agent *agent, enum kt_link link, const struct kt_slot *slot)
{
	const struct kt_agent_link *l = &agent->link[link];

	if (l->state != KT_LINK_STATE_DOWN || agent->now.mono_ms < l->retry_at_ms)
		return false;
	if (link == KT_LINK_CLAIM)
		return kt_agent_enroll_prepare(agent);
	return slot->dir != 0;
}

static void open_link(struct kt_agent *agent, enum kt_link link, const struct kt_slot *slot)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	struct kt_agent_link *l = &agent->link[link];
	struct kt_link_request request = {.time_s = agent->now.wall_s > record->floor_s
							    ? agent->now.wall_s
							    : record->floor_s};
	char client_id[KT_CLIENT_ID_MAX];
	char topic[KT_TOPIC_MAX];
	char pem[1024];

	request.client_id = client_id;
	l->slot = *slot;
	l->tries++;
	if (link == KT_LINK_CLAIM) {
		if (!claim_client_id(agent, client_id))
			goto later;
		snprintf(topic, sizeof(topic), "%s", KT_TOPIC_CLAIM_CMD);
		request.identity_pem = agent->setup.claim_pem;
	} else {
		kt_client_id_of(&record->device,
				link == KT_LINK_AGENT ? KT_TAG_AGENT : KT_TAG_TRIAL, client_id);
		kt_topic_device_cmd(&record->device, topic);
		if (!agent->setup.disk->pem_path(agent->setup.disk->ctx, slot->dir, pem,
						 sizeof(pem)))
			goto later;
		request.identity_pem = pem;
	}
	if (agent->setup.transport->open(agent->setup.transport->ctx, link, &request, topic) !=
	    KT_ERR_OK)
		goto later;
	l->state = KT_LINK_STATE_CONNECTING;
	if (record->phase == KT_AGENT_CERT &&
	    link == (agent->old_first ? KT_LINK_TRIAL : KT_LINK_AGENT))
		agent->other_turn = false; /* once, then the first one again */
	return;
later:
	kt_agent_link_retry_in(agent, link, kt_agent_backoff_ms(agent, l->tries));
}

/*
 * The old one did not get in (the loss of a session says nothing): after `closed` the new one's
 * turn. Where an enrolment put one aside, the two take turns.
 */
static void note_agent_failure(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	if (record->phase == KT_AGENT_CERT && agent->old_first)
		agent->other_turn = true;
	if (kt_rollover_has_aside(record))
		agent->aside_turn = !agent->aside_turn;
}

/* The trial takes too long: nothing is lost by hanging up and trying again. */
static void end_overdue_trial(struct kt_agent *agent)
{
	const struct kt_agent_link *trial = &agent->link[KT_LINK_TRIAL];

	if (trial->state < KT_LINK_STATE_UP || kt_agent_record(agent)->phase != KT_AGENT_CERT)
		return;
	if (agent->now.mono_ms - trial->up_at_ms >= agent->setup.timers.trial_timeout)
		kt_agent_link_close(agent, KT_LINK_TRIAL);
}

static bool waits_for_welcome(const struct kt_agent_link *l)
{
	return l->state == KT_LINK_STATE_UP && !l->is_closing;
}

/*
 * The hello or its answer was lost in the plugin, which repeats nothing by itself: without this the
 * hub would stay connected and out of session for as long as the connection holds.
 */
static void end_unanswered_session(struct kt_agent *agent)
{
	const struct kt_agent_link *l = &agent->link[KT_LINK_AGENT];

	if (!waits_for_welcome(l) ||
	    agent->now.mono_ms - l->up_at_ms < agent->setup.timers.silence_min)
		return;
	note_agent_failure(agent);
	kt_agent_link_retry_in(agent, KT_LINK_AGENT, kt_agent_backoff_ms(agent, l->tries));
	kt_agent_link_close(agent, KT_LINK_AGENT);
}

bool kt_agent_is_old_trial(const struct kt_agent *agent, enum kt_link link)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	return link == KT_LINK_TRIAL && record->phase == KT_AGENT_CERT &&
	       agent->link[link].slot.dir != record->pending.dir;
}

/* A link whose credential is not the one it should have: after a commit, or the trial's end. */
static void end_outdated_links(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_agent_link *main_link = &agent->link[KT_LINK_AGENT];

	if (main_link->state != KT_LINK_STATE_DOWN && record->phase != KT_AGENT_NEW &&
	    main_link->slot.dir != record->active.dir &&
	    !(kt_rollover_has_aside(record) && main_link->slot.dir == record->retired.dir))
		kt_agent_link_close(agent, KT_LINK_AGENT);
	if (kt_agent_is_old_trial(agent, KT_LINK_TRIAL) ||
	    (record->phase != KT_AGENT_CERT && main_link->state == KT_LINK_STATE_READY &&
	     main_link->slot.dir == record->active.dir))
		kt_agent_link_close(agent, KT_LINK_TRIAL);
	if (!kt_rollover_is_claim(record))
		kt_agent_link_close(agent, KT_LINK_CLAIM);
}

void kt_agent_links_drive(struct kt_agent *agent)
{
	if (agent->is_revoked)
		return;
	end_overdue_trial(agent);
	end_unanswered_session(agent);
	end_outdated_links(agent);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		enum kt_link link = (enum kt_link)i;
		const struct kt_slot *slot = slot_for(agent, link);

		if (slot != NULL && is_connectable(agent, link, slot))
			open_link(agent, link, slot_for(agent, link));
	}
}

/* The new credential had its try: whose turn is it now? */
static void note_trial_failure(struct kt_agent *agent, enum kt_link_cause cause)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	if (record->phase != KT_AGENT_CERT)
		return;
	if (cause == KT_CAUSE_REFUSED) {
		agent->other_turn = true;
		agent->silent = 0;
		agent->link[KT_LINK_AGENT].retry_at_ms = agent->now.mono_ms;
		return;
	}
	if (agent->silent++ == 0)
		agent->silent_since_ms = agent->now.mono_ms;
	if (agent->silent >= SILENT_TRIES &&
	    agent->now.mono_ms - agent->silent_since_ms >= agent->setup.timers.silence_min) {
		agent->other_turn = true;
		agent->silent = 0;
		agent->link[KT_LINK_AGENT].retry_at_ms = agent->now.mono_ms;
	}
}

static void log_down(struct kt_agent *agent, const struct kt_link_event *event)
{
	char code[16];
	const struct kt_field fields[] = {
		{"link", link_names[event->link]},
		{"cause", cause_names[event->cause]},
		{"code", code},
		{"detail", event->detail[0] != '\0' ? event->detail : NULL},
	};

	snprintf(code, sizeof(code), "%d", event->code);
	if (event->cause == KT_CAUSE_REFUSED)
		snprintf(agent->last_reason, sizeof(agent->last_reason), "refused:%s",
			 link_names[event->link]);
	kt_agent_log(agent,
		     event->cause == KT_CAUSE_REFUSED ? KT_EVENT_LINK_REFUSED : KT_EVENT_LINK_DOWN,
		     fields, sizeof(fields) / sizeof(fields[0]));
}

void kt_agent_link_is_down(struct kt_agent *agent, const struct kt_link_event *event)
{
	struct kt_agent_link *l = &agent->link[event->link];
	bool was_ready = l->state == KT_LINK_STATE_READY;

	if (l->state == KT_LINK_STATE_DOWN)
		return;
	l->state = KT_LINK_STATE_DOWN;
	l->is_closing = false;
	if (kt_agent_active_link(agent) == KT_LINK_COUNT)
		agent->unmade_retry_ms = 0; /* the next welcome orders it again, or does not */
	if (event->cause == KT_CAUSE_CLOSED) {
		if (l->retry_at_ms < agent->now.mono_ms)
			l->retry_at_ms = agent->now.mono_ms;
		if (event->link == KT_LINK_TRIAL) {
			note_trial_failure(agent, KT_CAUSE_NO_ANSWER); /* it was overdue */
			kt_agent_link_retry_in(agent, event->link,
					       kt_agent_backoff_ms(agent, l->tries));
		}
		return;
	}
	log_down(agent, event);
	kt_agent_link_retry_in(agent, event->link, kt_agent_backoff_ms(agent, l->tries));
	if (event->link == KT_LINK_TRIAL)
		note_trial_failure(agent, event->cause);
	if (event->link == KT_LINK_AGENT && !was_ready)
		note_agent_failure(agent);
}

int64_t kt_agent_links_next_ms(const struct kt_agent *agent)
{
	int64_t next = INT64_MAX;
	const struct kt_agent_link *trial = &agent->link[KT_LINK_TRIAL];
	const struct kt_agent_link *main_link = &agent->link[KT_LINK_AGENT];

	if (agent->is_revoked)
		return next;
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		const struct kt_agent_link *l = &agent->link[i];

		if (l->state == KT_LINK_STATE_DOWN && slot_for(agent, (enum kt_link)i) != NULL &&
		    l->retry_at_ms < next)
			next = l->retry_at_ms;
	}
	if (trial->state >= KT_LINK_STATE_UP && !trial->is_closing &&
	    kt_agent_record(agent)->phase == KT_AGENT_CERT &&
	    trial->up_at_ms + agent->setup.timers.trial_timeout < next)
		next = trial->up_at_ms + agent->setup.timers.trial_timeout;
	if (waits_for_welcome(main_link) &&
	    main_link->up_at_ms + agent->setup.timers.silence_min < next)
		next = main_link->up_at_ms + agent->setup.timers.silence_min;
	return next;
}
