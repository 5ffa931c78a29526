/* hello and its answer, and the messages of a rotation. */
#include <stdio.h>
#include <string.h>

#include "access.h"
#include "clone.h"
#include "encoding.h"
#include "rotation.h"
#include "schedule.h"

enum { ROTATE_AGAIN_MS = 60000, ROTATE_AGAIN_MAX_MS = 600000 };

#define DAY_US UINT64_C(86400000000)

void kt_rotation_describe(struct kt_rotation_words *words, uint64_t op,
			  const struct kt_credential *credential, enum kt_reason reason)
{
	memset(words, 0, sizeof(*words));
	kt_u64_encode(op, words->op);
	words->fields[words->count++] = (struct kt_field){"op", words->op};
	if (credential != NULL) {
		if (kt_hex_encode(credential->fp.b, sizeof(credential->fp.b), words->fp,
				  sizeof(words->fp)) != KT_ERR_OK)
			words->fp[0] = '\0';
		(void)snprintf(words->gen, sizeof(words->gen), "%lu",
			       (unsigned long)credential->generation);
		words->fields[words->count++] = (struct kt_field){"gen", words->gen};
		words->fields[words->count++] = (struct kt_field){"fp", words->fp};
	}
	if (reason != KT_REASON_NONE)
		words->fields[words->count++] = (struct kt_field){"reason", kt_reason_name(reason)};
}

void kt_rotation_fill_issue(const struct kt_job *job, struct kt_record *record)
{
	record->nonce = job->nonce;
	record->alg = job->key.alg;
	record->fp = job->leaf_fp;
	record->key_id = job->key_id;
	record->has_key_id = true;
	record->generation = job->generation;
	record->not_after_s = job->not_after_s;
	record->der = (struct kt_bytes){job->leaf_der, job->leaf_len};
}

/* As often as a device repeats what it has to say: soon, then less and less. */
static void plan_repeat(const struct kt_core *core, struct kt_session *session)
{
	session->rotate_wait_ms =
		session->rotate_wait_ms == 0 ? ROTATE_AGAIN_MS : 2 * session->rotate_wait_ms;
	if (session->rotate_wait_ms > ROTATE_AGAIN_MAX_MS)
		session->rotate_wait_ms = ROTATE_AGAIN_MAX_MS;
	session->rotate_due_ms = core->now.mono_ms + session->rotate_wait_ms;
}

void kt_rotation_send_rotate(struct kt_core *core, struct kt_session *session)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_ROTATE);
	const struct kt_device *device = session->device;

	plan_repeat(core, session); /* also where there is no memory for it now */
	if (message == NULL || device->current == NULL) {
		kt_message_free(message);
		return;
	}
	message->u.rotate.op = device->op;
	message->u.rotate.nonce = device->op_nonce;
	message->u.rotate.alg = device->op_alg;
	message->u.rotate.deadline_us = (uint64_t)device->op_deadline_us;
	message->u.rotate.cur = device->current->fp;
	kt_core_send(core, session, message, kt_core_seq_of(device));
}

/*
 * The device repeats what it says, but it cannot ask for an order that it never heard of; also one
 * that has asked for its certificate and forgotten it.
 */
void kt_rotation_repeat(struct kt_core *core, struct kt_session *session)
{
	const struct kt_device *device = session->device;

	if (session->kind != KT_SESSION_AGENT || !session->has_hello ||
	    session->rotate_wait_ms == 0 || core->now.mono_ms < session->rotate_due_ms)
		return;
	if (kt_rotation_phase(device) != KT_SERVER_IDLE && session->credential == device->current)
		kt_rotation_send_rotate(core, session);
}

void kt_rotation_send_cert(struct kt_core *core, const struct kt_session *session)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_CERT);
	const struct kt_device *device = session->device;
	const struct kt_bytes leaf = {device->pending_der, device->pending_der_len};

	if (message == NULL)
		return;
	message->u.cert.op = device->op;
	if (!kt_core_chain(core, leaf, &message->u.cert.chain)) {
		kt_message_free(message);
		return;
	}
	kt_core_send(core, session, message, kt_core_seq_of(device));
}

void kt_rotation_send_committed(struct kt_core *core, const struct kt_session *session, uint64_t op,
				uint64_t after_seq)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_COMMITTED);

	if (message == NULL || session->device->current == NULL) {
		kt_message_free(message);
		return;
	}
	message->u.committed.op = op;
	message->u.committed.fp = session->device->current->fp;
	kt_core_send(core, session, message, after_seq);
}

void kt_rotation_send_noted(struct kt_core *core, const struct kt_session *session, uint64_t op,
			    enum kt_message_type of)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_NOTED);

	if (message == NULL)
		return;
	message->u.noted.op = op;
	message->u.noted.of = of;
	kt_core_send(core, session, message, kt_core_seq_of(session->device));
}

void kt_rotation_reject_after(struct kt_core *core, struct kt_session *session,
			      enum kt_reason reason, uint64_t op, uint64_t after_seq)
{
	struct kt_message *message;
	const struct kt_field fields[] = {{"client", session->client_id},
					  {"device", session->device->id.s}};

	kt_core_refused(core, KT_EVENT_MESSAGE_REFUSED, reason, fields, 2);
	message = kt_core_message(core, session, KT_MESSAGE_REJECT);
	if (message == NULL)
		return;
	message->u.reject.reason = reason;
	message->u.reject.op = op;
	kt_core_send(core, session, message, after_seq);
}

/* --- hello --- */

bool kt_rotation_may_write_news(const struct kt_core *core, const struct kt_device *device)
{
	const int64_t since_us = core->now.wall_us - device->told_us;

	return since_us < 0 || since_us >= (int64_t)KT_NEWS_EVERY_S * 1000000;
}

enum says { /* hello's phase, and whether its op is the one that counts */
	    SAYS_STABLE,
	    SAYS_KEY_SAME,
	    SAYS_KEY_OTHER,
	    SAYS_CERT_SAME,
	    SAYS_CERT_OTHER,
	    SAYS_COUNT
};

/* DESIGN section 4, "Reconciliation", for a current credential. A pending one: always confirm. */
static const enum kt_next reconciliation[KT_SERVER_ISSUED + 1][SAYS_COUNT] = {
	[KT_SERVER_IDLE] = {[SAYS_STABLE] = KT_NEXT_NONE,
			    [SAYS_KEY_SAME] = KT_NEXT_COMMITTED,
			    [SAYS_KEY_OTHER] = KT_NEXT_CLOSED,
			    [SAYS_CERT_SAME] = KT_NEXT_COMMITTED,
			    [SAYS_CERT_OTHER] = KT_NEXT_CLOSED},
	[KT_SERVER_OPEN] = {[SAYS_STABLE] = KT_NEXT_ROTATE,
			    [SAYS_KEY_SAME] = KT_NEXT_ROTATE,
			    [SAYS_KEY_OTHER] = KT_NEXT_ROTATE,
			    [SAYS_CERT_SAME] = KT_NEXT_ROTATE,
			    [SAYS_CERT_OTHER] = KT_NEXT_ROTATE},
	[KT_SERVER_ISSUED] = {[SAYS_STABLE] = KT_NEXT_ROTATE,
			      [SAYS_KEY_SAME] = KT_NEXT_CERT,
			      [SAYS_KEY_OTHER] = KT_NEXT_ROTATE,
			      [SAYS_CERT_SAME] = KT_NEXT_NONE,
			      [SAYS_CERT_OTHER] = KT_NEXT_ROTATE},
};

static enum says what_it_says(const struct kt_msg_hello *hello, uint64_t op)
{
	switch (hello->phase) {
	case KT_PHASE_STABLE:
		return SAYS_STABLE;
	case KT_PHASE_KEY:
		return hello->op == op ? SAYS_KEY_SAME : SAYS_KEY_OTHER;
	case KT_PHASE_CERT:
		return hello->op == op ? SAYS_CERT_SAME : SAYS_CERT_OTHER;
	}
	return SAYS_STABLE;
}

/*
 * The highest that could have been given to @device: with the clock of then, and one after the
 * other where the clock is behind the device's last op.
 */
static uint64_t latest_op(const struct kt_core *core, const struct kt_device *device)
{
	const int64_t ledger_us = kt_registry_time_us(core->registry);
	const int64_t time_us = core->now.wall_us > ledger_us ? core->now.wall_us : ledger_us;

	return time_us < 0 || device->op > (uint64_t)time_us ? device->op : (uint64_t)time_us;
}

/*
 * An op higher than ours: either nonsense, or we are older than the device (a ledger that was
 * restored from a backup). False: refused.
 */
static bool settle_newer_op(struct kt_core *core, struct kt_session *session, uint64_t op)
{
	const struct kt_device *device = session->device;
	const uint64_t latest_us = latest_op(core, device);
	const enum kt_reason refusal =
		kt_rotation_step(kt_rotation_phase(device), KT_ROTATION_BEHIND).refusal;
	struct kt_rotation_words words;
	struct kt_record record;
	enum kt_reason reason;

	if (op > latest_us + DAY_US) {
		kt_clone_on_op_range(core, session, op);
		kt_core_reject(core, session, KT_REASON_OP_RANGE, 0, op);
		return false;
	}
	if (!kt_rotation_may_write_news(core, device)) {
		kt_core_reject(core, session, KT_REASON_BUSY, KT_NEWS_EVERY_S, op);
		return false;
	}
	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_OP_RAISE;
	record.device = device->id;
	record.op = op;
	/* where the counter cannot be raised (an enrolment under way), the event still tells */
	if (refusal == KT_REASON_NONE &&
	    kt_core_change(core, &record, session->actor, &reason) != KT_ERR_OK)
		record.seq = 0;
	kt_rotation_describe(&words, op, NULL, KT_REASON_NONE);
	kt_core_fact(core, KT_EVENT_REGISTRY_BEHIND, device, words.fields, words.count, record.seq);
	return true;
}

/* Why this device should have another key, though no operator said so; NULL: it should not. */
static const char *due_note(const struct kt_core *core, const struct kt_device *device)
{
	const struct kt_group_policy policy = kt_core_policy(core, device);

	if (device->adopted) /* it is to have a key that this ledger knows of */
		return "adopted";
	return kt_schedule_wants(&policy, device, core->now.wall_us) ? "max_key_age" : NULL;
}

bool kt_rotation_order_due(struct kt_core *core, const struct kt_session *session)
{
	const struct kt_device *device = session->device;
	const char *note = NULL;

	if ((session->kind != KT_SESSION_AGENT && !device->adopted) ||
	    session->credential != device->current || device->phase != KT_SERVER_IDLE)
		return false;
	note = due_note(core, device);
	return note != NULL && kt_core_may_order(core) &&
	       kt_rotation_open(core, device, "keyturn", note).reason == KT_REASON_NONE;
}

/*
 * The hub tries as new what is in force already, under an op that is not on record (its credential
 * was adopted): it is committed, whichever op that was.
 */
static bool is_tried_in_force(const struct kt_session *session, const struct kt_msg_hello *hello)
{
	return session->kind == KT_SESSION_TRIAL &&
	       session->credential == session->device->current && hello->phase == KT_PHASE_CERT;
}

static enum kt_next next_of(const struct kt_session *session, const struct kt_msg_hello *hello,
			    uint64_t op)
{
	const struct kt_device *device = session->device;

	if (session->credential->status == KT_CREDENTIAL_PENDING)
		return KT_NEXT_CONFIRM;
	/* enrols again beside its current credential: the trial of what it got comes next */
	if (device->enrolling && hello->phase == KT_PHASE_CERT && hello->op == device->op)
		return KT_NEXT_NONE;
	return reconciliation[kt_rotation_phase(device)][what_it_says(hello, op)];
}

void kt_rotation_on_hello(struct kt_core *core, struct kt_session *session, struct kt_message *m)
{
	const struct kt_device *device = session->device;
	const bool is_pending = session->credential->status == KT_CREDENTIAL_PENDING;
	struct kt_message *welcome;
	enum kt_server_phase phase;
	enum kt_next next;
	uint64_t version;
	uint64_t op;

	if (kt_version_decode(m->u.hello.agent, &version))
		kt_registry_note_agent(core->registry, device, version);
	if (m->u.hello.op > device->op && !settle_newer_op(core, session, m->u.hello.op))
		return;
	(void)kt_rotation_order_due(core, session); /* the welcome says so */
	phase = kt_rotation_phase(device);
	op = phase == KT_SERVER_IDLE ? device->last_committed_op : device->op;
	if (phase == KT_SERVER_IDLE && is_tried_in_force(session, &m->u.hello))
		op = m->u.hello.op;
	next = next_of(session, &m->u.hello, op);
	welcome = kt_core_message(core, session, KT_MESSAGE_WELCOME);
	if (welcome == NULL)
		return;
	welcome->sn = session->sn;
	welcome->u.welcome.time_us = (uint64_t)core->now.wall_us;
	if (device->current != NULL)
		welcome->u.welcome.fp = device->current->fp;
	welcome->u.welcome.next = next;
	if (is_pending)
		welcome->u.welcome.op = device->op;
	else if (next == KT_NEXT_CLOSED)
		welcome->u.welcome.op = m->u.hello.op;
	else if (next != KT_NEXT_NONE)
		welcome->u.welcome.op = op;
	kt_core_send(core, session, welcome, kt_core_seq_of(device));
	if (next == KT_NEXT_ROTATE)
		kt_rotation_send_rotate(core, session);
	else if (next == KT_NEXT_CERT)
		kt_rotation_send_cert(core, session);
	else if (next == KT_NEXT_COMMITTED)
		kt_rotation_send_committed(core, session, op, kt_core_seq_of(device));
}
