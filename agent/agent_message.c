#include "agent_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- out --- */

struct kt_message *kt_agent_message(struct kt_agent *agent, enum kt_link link,
				    enum kt_message_type type)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	struct kt_message *message = kt_message_new(type);

	if (message == NULL)
		return NULL;
	memcpy(message->trust_domain, record->trust_domain, sizeof(message->trust_domain));
	message->device = record->device;
	if (type == KT_MESSAGE_HELLO || type == KT_MESSAGE_ENROLL)
		message->dn = agent->link[link].dn;
	else
		message->sn = agent->link[link].sn;
	return message;
}

enum kt_err kt_agent_send(struct kt_agent *agent, enum kt_link link, uint64_t dir,
			  struct kt_message *message)
{
	const struct kt_transport *transport = agent->setup.transport;
	enum kt_err err = KT_ERR_NOMEM;
	char *text = NULL;
	size_t len = 0;

	if (message == NULL)
		goto out;
	err = agent->setup.disk->seal(agent->setup.disk->ctx, dir, message, &text, &len);
	if (err != KT_ERR_OK)
		goto out;
	err = transport->send(transport->ctx, link, text, len);
out:
	free(text);
	kt_message_free(message);
	return err;
}

/* A key to enrol with is no op's: towards the server the hub is stable. */
static enum kt_device_phase wire_phase(const struct kt_agent_record *record)
{
	switch (record->phase) {
	case KT_AGENT_KEY:
		return kt_rollover_is_claim(record) ? KT_PHASE_STABLE : KT_PHASE_KEY;
	case KT_AGENT_CERT:
		return KT_PHASE_CERT;
	case KT_AGENT_NEW:
	case KT_AGENT_STABLE:
		break;
	}
	return KT_PHASE_STABLE;
}

/* With the dn of the connection; NULL: out of memory. */
static struct kt_message *hello_message(struct kt_agent *agent, enum kt_link link)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_agent_link *l = &agent->link[link];
	struct kt_message *message = kt_agent_message(agent, link, KT_MESSAGE_HELLO);
	struct kt_msg_hello *hello = NULL;

	if (message == NULL)
		return NULL;
	hello = &message->u.hello;
	snprintf(hello->agent, sizeof(hello->agent), "%s", KT_VERSION);
	snprintf(hello->store, sizeof(hello->store), "%s", agent->setup.key_store);
	hello->generation = l->slot.generation;
	hello->fp = l->slot.fp;
	hello->phase = wire_phase(record);
	hello->op = record->op;
	return message;
}

void kt_agent_send_hello(struct kt_agent *agent, enum kt_link link)
{
	struct kt_agent_link *l = &agent->link[link];
	const struct kt_agent_entropy *entropy = agent->setup.entropy;

	if (entropy->bytes(entropy->ctx, l->dn.b, sizeof(l->dn.b)) == KT_ERR_OK &&
	    kt_agent_send(agent, link, l->slot.dir, hello_message(agent, link)) == KT_ERR_OK)
		return;
	kt_agent_link_retry_in(agent, link, kt_agent_backoff_ms(agent, l->tries));
	kt_agent_link_close(agent, link);
}

/* --- repeats --- */

static enum kt_link repeat_link(const struct kt_agent *agent, const struct kt_repeat *repeat)
{
	if (repeat->type == KT_MESSAGE_CONFIRM)
		return agent->link[KT_LINK_TRIAL].state == KT_LINK_STATE_READY ? KT_LINK_TRIAL
									       : KT_LINK_COUNT;
	return kt_agent_active_link(agent);
}

static struct kt_message *repeat_message(struct kt_agent *agent, const struct kt_repeat *repeat,
					 enum kt_link link)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	struct kt_message *message = NULL;
	char binding[44];

	if (repeat->type == KT_MESSAGE_HELLO)
		return hello_message(agent, link);
	message = kt_agent_message(agent, link, repeat->type);
	if (message == NULL)
		return NULL;
	if (repeat->type == KT_MESSAGE_CSR) {
		message->u.csr.op = repeat->op;
		message->u.csr.nonce = record->op_nonce;
		kt_csr_binding(record->trust_domain, record->device.s, repeat->op,
			       &record->op_nonce, binding);
		if (agent->setup.disk->csr(agent->setup.disk->ctx, record->pending.dir,
					   record->device.s, binding, message->u.csr.csr,
					   &message->u.csr.csr_len) == KT_ERR_OK)
			return message;
		kt_message_free(message);
		return NULL;
	}
	if (repeat->type == KT_MESSAGE_CONFIRM) {
		message->u.confirm.op = repeat->op;
		message->u.confirm.nonce = record->op_nonce;
		message->u.confirm.fp = agent->link[link].slot.fp;
	} else if (repeat->type == KT_MESSAGE_PROMOTED) {
		message->u.promoted.op = repeat->op;
		message->u.promoted.fp = record->active.fp;
	} else {
		message->u.failed.op = repeat->op;
		message->u.failed.reason = repeat->reason;
	}
	return message;
}

/* Not ready: stays due, goes out after the next welcome. */
static void repeat_send(struct kt_agent *agent, struct kt_repeat *repeat)
{
	enum kt_link link = repeat_link(agent, repeat);

	repeat->next_ms = agent->now.mono_ms + repeat->interval_ms;
	if (link == KT_LINK_COUNT)
		return;
	if (kt_agent_send(agent, link, agent->link[link].slot.dir,
			  repeat_message(agent, repeat, link)) != KT_ERR_OK)
		return;
	repeat->interval_ms *= 2;
	if (repeat->interval_ms > agent->setup.timers.repeat_max)
		repeat->interval_ms = agent->setup.timers.repeat_max;
}

void kt_agent_repeat_later(struct kt_agent *agent, unsigned which, const struct kt_repeat *what)
{
	struct kt_repeat *repeat = &agent->repeat[which];

	*repeat = *what;
	repeat->is_due = true;
	repeat->interval_ms = agent->setup.timers.repeat_first;
	repeat->next_ms = agent->now.mono_ms + repeat->interval_ms;
}

void kt_agent_repeat_start(struct kt_agent *agent, unsigned which, const struct kt_repeat *what)
{
	kt_agent_repeat_later(agent, which, what);
	repeat_send(agent, &agent->repeat[which]);
}

void kt_agent_repeat_stop(struct kt_agent *agent, unsigned which)
{
	agent->repeat[which].is_due = false;
}

void kt_agent_closed_is_over(struct kt_agent *agent)
{
	agent->old_first = false;
	kt_agent_repeat_stop(agent, KT_REPEAT_HELLO);
}

void kt_agent_repeats_tick(struct kt_agent *agent)
{
	for (unsigned i = 0; i < KT_REPEAT_COUNT; i++) {
		if (agent->repeat[i].is_due && agent->now.mono_ms >= agent->repeat[i].next_ms)
			repeat_send(agent, &agent->repeat[i]);
	}
}

int64_t kt_agent_repeats_next_ms(const struct kt_agent *agent)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < KT_REPEAT_COUNT; i++) {
		if (agent->repeat[i].is_due && agent->repeat[i].next_ms < next)
			next = agent->repeat[i].next_ms;
	}
	return next;
}

enum kt_link kt_agent_active_link(const struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	static const enum kt_link order[] = {KT_LINK_AGENT, KT_LINK_TRIAL};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct kt_agent_link *l = &agent->link[order[i]];

		if (l->state == KT_LINK_STATE_READY && l->slot.dir != 0 &&
		    l->slot.dir == record->active.dir)
			return order[i];
	}
	return KT_LINK_COUNT;
}

/* --- in --- */

static void refuse(struct kt_agent *agent, enum kt_message_type type, enum kt_reason reason)
{
	const struct kt_field fields[] = {{"type", kt_message_type_name(type)},
					  {"reason", kt_reason_name(reason)}};

	kt_agent_log(agent, KT_EVENT_REPLY_REFUSED, fields, 2);
}

/* `cert` follows this welcome; where it gets lost, the request is repeated as any other. */
static void expect_cert(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_repeat csr = {
		.type = KT_MESSAGE_CSR, .link = KT_LINK_AGENT, .op = record->op};

	if (record->phase == KT_AGENT_KEY && !kt_rollover_is_claim(record))
		kt_agent_repeat_later(agent, KT_REPEAT_WORK, &csr);
}

static void heed_next(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_rollover_input input = {.link = link, .message = m};

	switch (m->u.welcome.next) {
	case KT_NEXT_CONFIRM:
		if (link == KT_LINK_TRIAL) /* the new credential's session */
			kt_agent_roll(agent, KT_EV_CONFIRM_DUE, &input);
		break;
	case KT_NEXT_CLOSED:
		kt_agent_roll(agent, KT_EV_CLOSED, &input);
		break;
	case KT_NEXT_CERT:
		expect_cert(agent);
		break;
	case KT_NEXT_NONE:
		if (link == KT_LINK_AGENT) /* its op is open: in phase cert the trial comes next */
			kt_agent_closed_is_over(agent);
		break;
	case KT_NEXT_ROTATE: /* follows */
	case KT_NEXT_COMMITTED:
		break;
	}
	/* a rotation's key in hand: `rotate` or `cert` comes, or what was said is of no use */
	if (record->phase == KT_AGENT_KEY && !kt_rollover_is_claim(record) &&
	    m->u.welcome.next != KT_NEXT_ROTATE && !agent->repeat[KT_REPEAT_WORK].is_due)
		kt_agent_ask_again(agent);
}

/*
 * It says which credential is in force, in a session of what was put aside, and before the newest
 * is confirmed: from then on that one may be. False: not now.
 */
static bool settle_aside(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_slot *slot = &agent->link[link].slot;
	const struct kt_fingerprint *fp = &m->u.welcome.fp;

	if (!kt_rollover_has_aside(record))
		return true;
	if (link == KT_LINK_TRIAL && m->u.welcome.next == KT_NEXT_CONFIRM)
		return kt_agent_settle_aside(agent, kt_fingerprint_eq(fp, &record->retired.fp)) ==
		       KT_ERR_OK;
	if (link == KT_LINK_AGENT && slot->dir == record->retired.dir &&
	    kt_fingerprint_eq(&slot->fp, fp))
		return kt_agent_settle_aside(agent, true) == KT_ERR_OK;
	return true;
}

static void on_welcome(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	struct kt_agent_link *l = &agent->link[link];

	if (l->state == KT_LINK_STATE_READY && agent->repeat[KT_REPEAT_HELLO].is_due &&
	    link == kt_agent_active_link(agent))
		heed_next(agent, link, m); /* asked for once more */
	if (l->state != KT_LINK_STATE_UP)
		return;
	if (!settle_aside(agent, link, m)) {
		kt_agent_link_close(agent, link);
		return;
	}
	l->state = KT_LINK_STATE_READY;
	l->sn = m->sn;
	l->tries = 0;
	agent->last_session_s = agent->now.wall_s;
	if (link == KT_LINK_TRIAL)
		agent->silent = 0;
	heed_next(agent, link, m);
	/* what waited for a session; csr and confirm are asked for, and hello was this one's */
	if (agent->repeat[KT_REPEAT_PROMOTED].is_due)
		repeat_send(agent, &agent->repeat[KT_REPEAT_PROMOTED]);
	if (agent->repeat[KT_REPEAT_FAILED].is_due)
		repeat_send(agent, &agent->repeat[KT_REPEAT_FAILED]);
	kt_agent_steps_drive(agent);
}

static void on_challenge(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_agent_link *l = &agent->link[link];
	struct kt_message *answer = kt_agent_message(agent, link, KT_MESSAGE_ANSWER);
	struct kt_msg_answer *a = NULL;

	if (answer == NULL)
		return;
	a = &answer->u.answer;
	a->nonce = m->u.challenge.nonce;
	a->fp = l->slot.fp;
	snprintf(a->report.agent, sizeof(a->report.agent), "%s", KT_VERSION);
	snprintf(a->report.store, sizeof(a->report.store), "%s", agent->setup.key_store);
	a->report.generation = l->slot.generation;
	a->report.phase = wire_phase(kt_agent_record(agent));
	if (kt_agent_send(agent, link, l->slot.dir, answer) != KT_ERR_OK)
		refuse(agent, KT_MESSAGE_CHALLENGE, KT_REASON_KEY_STORE);
}

static void on_rotate(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_rollover_input input = {.link = link, .message = m};
	enum kt_rollover_event event = kt_rollover_rotate_event(
		kt_agent_record(agent), &agent->link[link].slot.fp, &m->u.rotate);

	if (event == KT_EV_ROTATE_BAD)
		refuse(agent, m->type, KT_REASON_OP_STALE);
	if (event != KT_EV_ROTATE_BAD && m->u.rotate.alg != KT_ALG_ES256)
		kt_agent_report(agent, m->u.rotate.op, KT_REASON_CSR_KEY);
	else
		kt_agent_roll(agent, event, &input);
}

static void on_cert(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_rollover_input input = {.link = link, .message = m};
	const struct kt_agent_record *record = kt_agent_record(agent);

	/* a claim's key is for no op */
	if (kt_rollover_is_claim(record) || m->u.cert.op != record->op)
		refuse(agent, m->type, KT_REASON_OP_STALE);
	else
		kt_agent_roll(agent, KT_EV_CERT_GOOD, &input);
}

static void on_committed(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_rollover_input input = {.link = link, .message = m};
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_msg_committed *c = &m->u.committed;
	bool is_pending = record->phase == KT_AGENT_CERT && c->op == record->op &&
			  kt_fingerprint_eq(&c->fp, &record->pending.fp);
	bool is_active = record->phase == KT_AGENT_STABLE && c->op == record->step_op &&
			 kt_fingerprint_eq(&c->fp, &record->active.fp);

	kt_agent_roll(agent, is_pending || is_active ? KT_EV_COMMITTED : KT_EV_COMMITTED_OTHER,
		      &input);
}

static void on_noted(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_rollover_input input = {.link = link, .message = m};
	const struct kt_agent_record *record = kt_agent_record(agent);
	const bool is_failed = m->u.noted.of == KT_MESSAGE_FAILED;
	const unsigned which = is_failed ? KT_REPEAT_FAILED : KT_REPEAT_PROMOTED;
	const struct kt_repeat *repeat = &agent->repeat[which];

	/* `promoted` is said once more, with no step to finish, where `committed` is */
	if ((is_failed || record->step == KT_STEP_NONE) && repeat->is_due &&
	    repeat->op == m->u.noted.op)
		kt_agent_repeat_stop(agent, which);
	if (is_failed)
		return;
	kt_agent_roll(agent,
		      record->step == KT_STEP_PROMOTED && record->step_op == m->u.noted.op
			      ? KT_EV_NOTED_PROMOTED
			      : KT_EV_NOTED_OTHER,
		      &input);
}

static bool is_over(enum kt_reason reason)
{
	return reason == KT_REASON_OP_UNKNOWN || reason == KT_REASON_OP_STALE ||
	       reason == KT_REASON_OP_CLOSED;
}

/* The commit is not on record any more (a restored registry): nobody there can note its end. */
static bool is_promoted_in_vain(const struct kt_agent_record *record,
				const struct kt_msg_reject *reject)
{
	return reject->reason == KT_REASON_OP_UNKNOWN && record->step == KT_STEP_PROMOTED &&
	       reject->op == record->step_op;
}

static void on_reject(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	const struct kt_msg_reject *reject = &m->u.reject;
	const struct kt_rollover_input input = {.link = link, .message = m};

	snprintf(agent->last_reason, sizeof(agent->last_reason), "%s",
		 kt_reason_name(reject->reason));
	refuse(agent, m->type, reject->reason);
	if (reject->reason == KT_REASON_SESSION_NONCE) {
		kt_agent_link_close(agent, link); /* begin again with a fresh hello */
		return;
	}
	if (reject->op != 0 && reject->op == agent->unmade.op)
		agent->unmade_retry_ms = 0;
	if (is_promoted_in_vain(kt_agent_record(agent), reject)) {
		kt_agent_roll(agent, KT_EV_NOTED_PROMOTED, &input);
		return;
	}
	/* the hello says what the hub has in hand, and whether it is so still is asked for */
	if (is_over(reject->reason) && reject->op == kt_agent_record(agent)->op)
		kt_agent_roll(agent, KT_EV_CLOSED, &input);
	for (unsigned i = 0; i < KT_REPEAT_COUNT; i++) {
		struct kt_repeat *repeat = &agent->repeat[i];

		if (!repeat->is_due || (reject->op != 0 && reject->op != repeat->op))
			continue;
		if (reject->retry_s > 0)
			repeat->next_ms =
				agent->now.mono_ms + kt_agent_told_ms(agent, reject->retry_s);
		else if (reject->op != 0 &&
			 (i == KT_REPEAT_WORK ||
			  (i == KT_REPEAT_FAILED && reject->reason == KT_REASON_OP_UNKNOWN)))
			repeat->is_due = false; /* final: the next welcome or rotate steers on */
	}
}

static void on_revoked(struct kt_agent *agent, const struct kt_message *m)
{
	snprintf(agent->last_reason, sizeof(agent->last_reason), "%s",
		 kt_reason_name(m->u.revoked.reason));
	refuse(agent, m->type, m->u.revoked.reason);
	if (m->u.revoked.wipe)
		kt_agent_wipe_all(agent);
}

static void dispatch(struct kt_agent *agent, enum kt_link link, const struct kt_message *m)
{
	bool is_ready = agent->link[link].state == KT_LINK_STATE_READY;

	if (link == KT_LINK_CLAIM) {
		kt_agent_enroll_receive(agent, m);
		return;
	}
	if (!is_ready && m->type != KT_MESSAGE_WELCOME && m->type != KT_MESSAGE_REJECT &&
	    m->type != KT_MESSAGE_REVOKED) {
		refuse(agent, m->type, KT_REASON_SESSION_NONCE);
		return;
	}
	switch (m->type) {
	case KT_MESSAGE_WELCOME:
		on_welcome(agent, link, m);
		break;
	case KT_MESSAGE_CHALLENGE:
		on_challenge(agent, link, m);
		break;
	case KT_MESSAGE_ROTATE:
		on_rotate(agent, link, m);
		break;
	case KT_MESSAGE_CERT:
		on_cert(agent, link, m);
		break;
	case KT_MESSAGE_COMMITTED:
		on_committed(agent, link, m);
		break;
	case KT_MESSAGE_NOTED:
		on_noted(agent, link, m);
		break;
	case KT_MESSAGE_REJECT:
		on_reject(agent, link, m);
		break;
	case KT_MESSAGE_REVOKED:
		on_revoked(agent, m);
		break;
	case KT_MESSAGE_HELLO:
	case KT_MESSAGE_ANSWER:
	case KT_MESSAGE_CSR:
	case KT_MESSAGE_CONFIRM:
	case KT_MESSAGE_PROMOTED:
	case KT_MESSAGE_FAILED:
	case KT_MESSAGE_ENROLL:
	case KT_MESSAGE_ENROLLED:
	case KT_MESSAGE_PENDING:
	case KT_MESSAGE_COUNT:
		refuse(agent, m->type, KT_REASON_MSG_TYPE);
		break;
	}
}

/* A higher controller number and a later floor are kept before anything is done with the message.
 */
static enum kt_err learn(struct kt_agent *agent, const struct kt_verdict *verdict)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	struct kt_agent_record next = *record;

	if (verdict->clock_ahead)
		kt_agent_log(agent, KT_EVENT_CLOCK_AHEAD, NULL, 0);
	if (verdict->controller_n <= record->controller_n && verdict->floor_s <= record->floor_s)
		return KT_ERR_OK;
	if (verdict->controller_n > next.controller_n)
		next.controller_n = verdict->controller_n;
	if (verdict->floor_s > next.floor_s)
		next.floor_s = verdict->floor_s;
	return kt_agent_save(agent, &next);
}

void kt_agent_receive(struct kt_agent *agent, enum kt_link link, const uint8_t *text, size_t len)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_opened opened = {0};

	if (agent->is_revoked) /* the links are not down yet, but every key is gone */
		return;
	if (agent->link[link].state < KT_LINK_STATE_UP || kt_agent_is_old_trial(agent, link))
		return;
	if (disk->open(disk->ctx, kt_agent_record(agent), agent->now.wall_s,
		       (struct kt_bytes){text, len}, &opened) != KT_ERR_OK) {
		refuse(agent, KT_MESSAGE_COUNT, opened.reason);
		goto out;
	}
	/* a claimant's id is what `enrolled` says */
	if (link != KT_LINK_CLAIM &&
	    strcmp(opened.message->device.s, kt_agent_record(agent)->device.s) != 0) {
		refuse(agent, opened.message->type, KT_REASON_ID_MISMATCH);
		goto out;
	}
	if (!kt_nonce_eq(&opened.message->dn, &agent->link[link].dn)) {
		refuse(agent, opened.message->type, KT_REASON_SESSION_NONCE);
		goto out;
	}
	if (learn(agent, &opened.verdict) != KT_ERR_OK)
		goto out;
	dispatch(agent, link, opened.message);
out:
	kt_message_free(opened.message);
}
