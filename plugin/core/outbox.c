#include "outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secmem.h"

/*
 * What is published leaves with the broker's next flush, which is after the tick of this turn: two
 * full ticks later it is on the wire.
 */
enum { ON_THE_WIRE_TICKS = 3 };

enum effect_kind { EFFECT_SEND, EFFECT_REPLY, EFFECT_EVENT, EFFECT_KICK };

struct effect { /* waits for @after_seq */
	struct effect *next;
	enum effect_kind kind;
	uint64_t after_seq;
	uint64_t session;
	struct kt_message *message; /* SEND; owned */
	char *json;		    /* REPLY, EVENT; owned */
	enum kt_event event;
	enum kt_reason reason;
};

struct seal { /* a message on its way to its signature and out */
	struct seal *next;
	uint64_t id;
	uint64_t session;
	enum kt_message_type type;
	struct kt_job *job; /* owned: not accepted by the workers yet; NULL: with them */
	bool done;
	char *text; /* owned; NULL if it could not be signed */
	size_t len;
};

struct plan { /* a kick to come */
	uint64_t session;
	uint64_t at_tick;
	int64_t by_ms;
	enum kt_reason reason;
};

struct seals { /* in the order of the calls, and they leave in it */
	struct seal *first;
	struct seal **last;
	struct seal *
		unsent; /* the first that the workers have not been offered, or were too busy for */
	size_t count;
	size_t max;
};

struct kt_outbox {
	struct effect *first;
	struct effect **last;
	size_t waiting;
	struct seals hubs;
	struct seals claimants;
	uint64_t last_id;
	struct plan *plan;
	size_t plans;
	size_t plan_room;
};

static void effect_free(struct effect *effect)
{
	kt_message_free(effect->message);
	free(effect->json);
	free(effect);
}

static void seal_free(struct seal *seal)
{
	kt_job_free(seal->job);
	free(seal->text);
	free(seal);
}

static void seals_init(struct seals *seals, size_t max)
{
	seals->last = &seals->first;
	seals->max = max;
}

static void seals_clear(struct seals *seals)
{
	while (seals->first != NULL) {
		struct seal *seal = seals->first;

		seals->first = seal->next;
		seal_free(seal);
	}
}

enum kt_err kt_outbox_new(struct kt_outbox **out)
{
	struct kt_outbox *outbox = calloc(1, sizeof(*outbox));

	*out = outbox;
	if (outbox == NULL)
		return KT_ERR_NOMEM;
	outbox->last = &outbox->first;
	seals_init(&outbox->hubs, KT_OUTBOX_MAX);
	seals_init(&outbox->claimants, KT_OUTBOX_CLAIMS_MAX);
	return KT_ERR_OK;
}

void kt_outbox_free(struct kt_outbox *outbox)
{
	if (outbox == NULL)
		return;
	while (outbox->first != NULL) {
		struct effect *effect = outbox->first;

		outbox->first = effect->next;
		effect_free(effect);
	}
	seals_clear(&outbox->hubs);
	seals_clear(&outbox->claimants);
	free(outbox->plan);
	free(outbox);
}

/* --- out --- */

/*
 * The session by that number, if it still holds its client id: what is published by client id
 * reaches whoever holds it.
 */
static struct kt_session *addressee(struct kt_core *core, uint64_t number)
{
	struct kt_session *session = kt_sessions_by_number(core->sessions, number);

	if (session == NULL ||
	    kt_sessions_by_client_id(core->sessions, session->client_id) != session)
		return NULL;
	return session;
}

static void publish_sealed(struct kt_core *core, const struct seal *seal)
{
	struct kt_session *session = addressee(core, seal->session);
	char topic[KT_TOPIC_MAX] = KT_TOPIC_CLAIM_CMD;
	enum kt_err err;

	if (session == NULL || seal->text == NULL)
		return;
	if (session->kind != KT_SESSION_CLAIM)
		kt_topic_device_cmd(&session->device->id, topic);
	err = core->ports.broker->publish(core->ports.broker->ctx, session->client_id, topic,
					  (struct kt_bytes){(const uint8_t *)seal->text, seal->len},
					  false);
	if (seal->type == KT_MESSAGE_CHALLENGE && err == KT_ERR_OK)
		kt_challenge_left(core, session);
	if (seal->type == KT_MESSAGE_REVOKED)
		kt_outbox_plan_kick(core, session, KT_REASON_REVOKED,
				    core->tick + (err == KT_ERR_OK ? ON_THE_WIRE_TICKS : 1),
				    INT64_MAX);
}

static void publish_reply(struct kt_core *core, uint64_t number, const char *json)
{
	struct kt_session *session = addressee(core, number);

	if (session == NULL)
		return;
	/* the answer cannot be told but by this client; lost, its tool runs into a timeout */
	(void)core->ports.broker->publish(
		core->ports.broker->ctx, session->client_id, KT_TOPIC_CONTROL_RESPONSE,
		(struct kt_bytes){(const uint8_t *)json, strlen(json)}, false);
	/* who has removed himself: that it is done is the last thing that he is told */
	if (session->kick_at_tick != 0)
		kt_outbox_plan_kick(core, session, session->kick_reason,
				    core->tick + ON_THE_WIRE_TICKS, INT64_MAX);
}

static void publish_event(struct kt_core *core, enum kt_event event, const char *json)
{
	char topic[KT_TOPIC_MAX];

	(void)snprintf(topic, sizeof(topic), KT_TOPIC_EVENTS_PREFIX "%s", kt_event_name(event));
	/* viewers are told on a best-effort basis; the log line and the ledger stand */
	(void)core->ports.broker->publish(core->ports.broker->ctx, NULL, topic,
					  (struct kt_bytes){(const uint8_t *)json, strlen(json)},
					  false);
}

static void drain_seals(struct kt_core *core, struct seals *seals)
{
	while (seals->first != NULL && seals->first->done) {
		struct seal *seal = seals->first;

		seals->first = seal->next;
		if (seals->first == NULL)
			seals->last = &seals->first;
		seals->count--;
		publish_sealed(core, seal);
		seal_free(seal);
	}
}

static void submit_seals(struct kt_core *core, struct seals *seals)
{
	for (; seals->unsent != NULL; seals->unsent = seals->unsent->next) {
		struct seal *seal = seals->unsent;
		const enum kt_err err = core->ports.jobs->submit(core->ports.jobs->ctx, seal->job);

		if (err == KT_ERR_BUSY)
			return; /* the next tick tries again, in order */
		if (err == KT_ERR_OK)
			seal->job = NULL; /* moved */
		else
			seal->done = true;
	}
}

static struct seals *seals_of(struct kt_core *core, bool is_claim)
{
	return is_claim ? &core->outbox->claimants : &core->outbox->hubs;
}

/* @message moved. */
static void seal_message(struct kt_core *core, uint64_t session, struct kt_message *message)
{
	const struct kt_session *to = kt_sessions_by_number(core->sessions, session);
	struct seals *seals = seals_of(core, to != NULL && to->kind == KT_SESSION_CLAIM);
	struct kt_job *job = NULL;
	struct seal *seal = NULL;

	if (to != NULL && seals->count < seals->max)
		seal = calloc(1, sizeof(*seal));
	if (seal != NULL)
		job = kt_job_new(KT_JOB_SEAL, session);
	if (job == NULL) {
		free(seal);
		kt_message_free(message); /* the device asks again, or has gone */
		return;
	}
	core->outbox->last_id++;
	seal->id = core->outbox->last_id;
	seal->session = session;
	seal->type = message->type;
	seal->job = job;
	job->op = seal->id; /* nothing but our own mark on a job of this kind */
	job->message = message;
	job->is_claim = to->kind == KT_SESSION_CLAIM;
	*seals->last = seal;
	seals->last = &seal->next;
	seals->count++;
	if (seals->unsent == NULL)
		seals->unsent = seal;
	submit_seals(core, seals);
}

void kt_outbox_sealed(struct kt_core *core, struct kt_job *job)
{
	struct seals *seals = seals_of(core, job->is_claim);
	struct seal *seal = seals->first;

	while (seal != NULL && seal->id != job->op)
		seal = seal->next;
	if (seal != NULL) {
		seal->done = true;
		if (job->err == KT_ERR_OK) {
			seal->text = job->sealed;
			seal->len = job->sealed_len;
			job->sealed = NULL; /* moved */
		}
	}
	kt_job_free(job);
	drain_seals(core, seals);
}

/* --- waiting --- */

/* Frees @effect. */
static void run(struct kt_core *core, struct effect *effect)
{
	struct kt_session *session;

	switch (effect->kind) {
	case EFFECT_SEND:
		seal_message(core, effect->session, effect->message);
		/* analyzer-suppress -Wanalyzer-malloc-leak ; the queue of the outbox has it */
		effect->message = NULL; /* moved */
		break;
	case EFFECT_REPLY:
		publish_reply(core, effect->session, effect->json);
		break;
	case EFFECT_EVENT:
		publish_event(core, effect->event, effect->json);
		break;
	case EFFECT_KICK:
		session = kt_sessions_by_number(core->sessions, effect->session);
		if (session != NULL)
			kt_outbox_plan_kick(core, session, effect->reason, core->tick + 1,
					    INT64_MAX);
		break;
	}
	effect_free(effect);
}

/* What rests on a change that will never be durable: nobody is told that it happened. */
static void give_up(struct kt_core *core, struct effect *effect)
{
	static const char lost[] = "{\"responses\":[{\"error\":\"not_durable\"}]}";

	/* what the disk still calls current keeps the session it has: there would be no other */
	if (effect->kind == EFFECT_KICK && effect->reason != KT_REASON_CERT_SUPERSEDED) {
		run(core, effect);
		return;
	}
	if (effect->kind == EFFECT_REPLY)
		publish_reply(core, effect->session, lost);
	effect_free(effect);
}

static void put(struct kt_core *core, const struct effect *content)
{
	struct kt_outbox *outbox = core->outbox;
	struct effect *effect = malloc(sizeof(*effect));

	if (effect == NULL) {
		kt_message_free(content->message);
		free(content->json);
		return;
	}
	*effect = *content;
	effect->next = NULL;
	if (effect->after_seq <= core->durable_seq) {
		run(core, effect);
	} else if (core->journal_failed) {
		give_up(core, effect);
	} else if (outbox->waiting >= KT_OUTBOX_MAX && effect->kind != EFFECT_KICK) {
		effect_free(effect);
	} else {
		*outbox->last = effect;
		outbox->last = &effect->next;
		outbox->waiting++;
	}
}

void kt_outbox_send(struct kt_core *core, uint64_t session, struct kt_message *message,
		    uint64_t after_seq)
{
	put(core, &(struct effect){.kind = EFFECT_SEND,
				   .after_seq = after_seq,
				   .session = session,
				   .message = message});
}

void kt_outbox_reply(struct kt_core *core, uint64_t session, char *json, uint64_t after_seq)
{
	put(core, &(struct effect){.kind = EFFECT_REPLY,
				   .after_seq = after_seq,
				   .session = session,
				   .json = json});
}

void kt_outbox_event(struct kt_core *core, enum kt_event event, char *json, uint64_t after_seq)
{
	put(core,
	    &(struct effect){
		    .kind = EFFECT_EVENT, .after_seq = after_seq, .event = event, .json = json});
}

void kt_outbox_kick(struct kt_core *core, uint64_t session, enum kt_reason reason,
		    uint64_t after_seq)
{
	put(core, &(struct effect){.kind = EFFECT_KICK,
				   .after_seq = after_seq,
				   .session = session,
				   .reason = reason});
}

void kt_outbox_release(struct kt_core *core)
{
	struct kt_outbox *outbox = core->outbox;

	while (outbox->first != NULL &&
	       (outbox->first->after_seq <= core->durable_seq || core->journal_failed)) {
		struct effect *effect = outbox->first;

		outbox->first = effect->next;
		if (outbox->first == NULL)
			outbox->last = &outbox->first;
		outbox->waiting--;
		if (effect->after_seq <= core->durable_seq)
			run(core, effect);
		else
			give_up(core, effect);
	}
	/* a notice that waited for the ledger never comes */
	for (size_t i = 0; core->journal_failed && i < outbox->plans; i++)
		outbox->plan[i].at_tick = 0;
}

/* --- kicks --- */

static struct plan *find_plan(struct kt_outbox *outbox, uint64_t session)
{
	for (size_t i = 0; i < outbox->plans; i++) {
		if (outbox->plan[i].session == session)
			return &outbox->plan[i];
	}
	return NULL;
}

static struct plan *add_plan(struct kt_outbox *outbox)
{
	if (outbox->plans == outbox->plan_room) {
		size_t room = outbox->plan_room == 0 ? 64 : outbox->plan_room * 2;
		struct plan *bigger = realloc(outbox->plan, room * sizeof(*bigger));

		if (bigger == NULL)
			return NULL;
		outbox->plan = bigger;
		outbox->plan_room = room;
	}
	/* analyzer-suppress -Wanalyzer-malloc-leak ; outbox->plan is what it was or NULL */
	return &outbox->plan[outbox->plans++];
}

void kt_outbox_plan_kick(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
			 uint64_t at_tick, int64_t by_ms)
{
	struct plan *plan =
		session->kick_at_tick == 0 ? NULL : find_plan(core->outbox, session->number);

	if (plan == NULL) {
		/* analyzer-suppress -Wanalyzer-malloc-leak ; outbox->plan holds it */
		plan = add_plan(core->outbox);
		session->kick_reason = reason;
		/* without a plan the sweep of all sessions ends it, a second later at most */
		session->kick_at_tick = plan == NULL ? 1 : UINT64_MAX;
		if (plan != NULL)
			*plan = (struct plan){session->number, at_tick, by_ms, reason};
		return;
	}
	if (at_tick < plan->at_tick)
		plan->at_tick = at_tick;
	if (by_ms < plan->by_ms)
		plan->by_ms = by_ms;
}

void kt_outbox_tick(struct kt_core *core)
{
	struct kt_outbox *outbox = core->outbox;
	size_t kept = 0;

	submit_seals(core, &outbox->hubs);
	drain_seals(core, &outbox->hubs);
	submit_seals(core, &outbox->claimants);
	drain_seals(core, &outbox->claimants);
	for (size_t i = 0; i < outbox->plans; i++) {
		const struct plan plan = outbox->plan[i];
		struct kt_session *session = kt_sessions_by_number(core->sessions, plan.session);

		if (session == NULL)
			continue;
		if (plan.at_tick <= core->tick || plan.by_ms <= core->now.mono_ms)
			kt_core_kick_now(core, session, plan.reason);
		else
			outbox->plan[kept++] = plan;
	}
	outbox->plans = kept;
}
