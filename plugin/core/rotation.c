#include "rotation.h"

#include <stdio.h>
#include <string.h>

#include "campaigns.h"
#include "clone.h"
#include "issues.h"

#define TO(phase)                                                                                  \
	{                                                                                          \
		KT_REASON_NONE, KT_SERVER_##phase                                                  \
	}
#define NO(why, now)                                                                               \
	{                                                                                          \
		KT_REASON_##why, KT_SERVER_##now                                                   \
	}

static const struct kt_rotation_cell table[KT_SERVER_ISSUED + 1][KT_ROTATION_EVENT_COUNT] = {
	[KT_SERVER_IDLE] = {[KT_ROTATION_ORDER] = TO(OPEN),
			    [KT_ROTATION_CSR] = NO(OP_CLOSED, IDLE),
			    [KT_ROTATION_CERTIFIED] = NO(OP_CLOSED, IDLE),
			    [KT_ROTATION_SECOND_KEY] = NO(OP_CLOSED, IDLE),
			    [KT_ROTATION_CONFIRM] = TO(IDLE),
			    [KT_ROTATION_PROMOTED] = TO(IDLE),
			    [KT_ROTATION_FAILED] = TO(IDLE),
			    [KT_ROTATION_CANCEL] = NO(STATE, IDLE),
			    [KT_ROTATION_DEADLINE] = NO(STATE, IDLE),
			    [KT_ROTATION_BEHIND] = TO(IDLE)},
	[KT_SERVER_OPEN] = {[KT_ROTATION_ORDER] = TO(OPEN),
			    [KT_ROTATION_CSR] = TO(OPEN),
			    [KT_ROTATION_CERTIFIED] = TO(ISSUED),
			    [KT_ROTATION_SECOND_KEY] = TO(IDLE),
			    [KT_ROTATION_CONFIRM] = NO(OP_UNKNOWN, OPEN),
			    [KT_ROTATION_PROMOTED] = TO(OPEN),
			    [KT_ROTATION_FAILED] = TO(OPEN),
			    [KT_ROTATION_CANCEL] = TO(IDLE),
			    [KT_ROTATION_DEADLINE] = TO(IDLE),
			    [KT_ROTATION_BEHIND] = TO(IDLE)},
	[KT_SERVER_ISSUED] = {[KT_ROTATION_ORDER] = TO(OPEN),
			      [KT_ROTATION_CSR] = TO(ISSUED),
			      [KT_ROTATION_CERTIFIED] = TO(ISSUED),
			      [KT_ROTATION_SECOND_KEY] = TO(IDLE),
			      [KT_ROTATION_CONFIRM] = TO(IDLE),
			      [KT_ROTATION_PROMOTED] = TO(ISSUED),
			      [KT_ROTATION_FAILED] = TO(ISSUED),
			      [KT_ROTATION_CANCEL] = TO(IDLE),
			      [KT_ROTATION_DEADLINE] = TO(IDLE),
			      [KT_ROTATION_BEHIND] = TO(IDLE)},
};

struct kt_rotation_cell kt_rotation_step(enum kt_server_phase phase, enum kt_rotation_event event)
{
	if ((unsigned)phase > KT_SERVER_ISSUED || (unsigned)event >= KT_ROTATION_EVENT_COUNT)
		return (struct kt_rotation_cell)NO(STATE, IDLE);
	return table[phase][event];
}

const char *kt_rotation_event_name(enum kt_rotation_event event)
{
	static const char *const names[KT_ROTATION_EVENT_COUNT] = {
		[KT_ROTATION_ORDER] = "order",	       [KT_ROTATION_CSR] = "csr",
		[KT_ROTATION_CERTIFIED] = "certified", [KT_ROTATION_SECOND_KEY] = "second key",
		[KT_ROTATION_CONFIRM] = "confirm",     [KT_ROTATION_PROMOTED] = "promoted",
		[KT_ROTATION_FAILED] = "failed",       [KT_ROTATION_CANCEL] = "cancel",
		[KT_ROTATION_DEADLINE] = "deadline",   [KT_ROTATION_BEHIND] = "behind",
	};

	return (unsigned)event < KT_ROTATION_EVENT_COUNT ? names[event] : "?";
}

enum kt_server_phase kt_rotation_phase(const struct kt_device *device)
{
	return device->enrolling ? KT_SERVER_IDLE : device->phase;
}

static enum kt_reason refusal_of(const struct kt_device *device, enum kt_rotation_event event)
{
	return kt_rotation_step(kt_rotation_phase(device), event).refusal;
}

static struct kt_record new_record(enum kt_record_kind kind, const struct kt_device *device)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = kind;
	record.device = device->id;
	record.op = device->op;
	return record;
}

static void tell(struct kt_core *core, enum kt_event event, const struct kt_device *device,
		 const struct kt_credential *credential, const struct kt_record *record)
{
	struct kt_rotation_words words;

	kt_rotation_describe(&words, record->op, credential, record->reason);
	kt_core_fact(core, event, device, words.fields, words.count, record->seq);
}

/* --- orders --- */

static enum kt_reason order_refusal(const struct kt_device *device)
{
	if (device->state != KT_DEVICE_ACTIVE || device->enrolling)
		return KT_REASON_STATE;
	return device->frozen ? KT_REASON_FROZEN : refusal_of(device, KT_ROTATION_ORDER);
}

struct order { /* who wants it, and why */
	const char *actor;
	const char *note;		    /* NULL: none */
	const struct kt_campaign *campaign; /* NULL: none */
};

static struct kt_outcome open_op(struct kt_core *core, const struct kt_device *device,
				 const struct order *order)
{
	struct kt_record record = new_record(KT_RECORD_OP_OPEN, device);
	struct kt_outcome outcome = {.reason = order_refusal(device)};

	if (outcome.reason != KT_REASON_NONE)
		return outcome;
	record.op = kt_core_next_op(core, device);
	record.alg = KT_ALG_ES256;
	record.deadline_us = core->now.wall_us + core->config->op_deadline_ms * 1000;
	if (order->note != NULL)
		(void)snprintf(record.note, sizeof(record.note), "%s", order->note);
	if (order->campaign != NULL)
		record.campaign = order->campaign->name;
	if (core->ports.entropy->bytes(core->ports.entropy->ctx, record.nonce.b,
				       sizeof(record.nonce.b)) != KT_ERR_OK) {
		outcome.reason = KT_REASON_BUSY;
		return outcome;
	}
	if (kt_core_change(core, &record, order->actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = record.seq;
	outcome.op = record.op;
	tell(core, KT_EVENT_ROTATION_OPENED, device, NULL, &record);
	kt_rotation_end_trials(core, device, record.seq);
	return outcome;
}

struct kt_outcome kt_rotation_open(struct kt_core *core, const struct kt_device *device,
				   const char *actor, const char *note)
{
	return open_op(core, device, &(struct order){.actor = actor, .note = note});
}

/* Opens an op, and says so to its agent. */
static struct kt_outcome give(struct kt_core *core, const struct kt_device *device,
			      const struct order *order)
{
	struct kt_outcome outcome = open_op(core, device, order);
	struct kt_session *session = NULL;

	if (outcome.reason != KT_REASON_NONE)
		return outcome;
	session = kt_core_session_of(core, device, KT_SESSION_AGENT);
	if (session != NULL && session->has_hello && session->credential == device->current) {
		session->rotate_wait_ms = 0; /* of an op before */
		kt_rotation_send_rotate(core, session);
	}
	return outcome;
}

struct kt_outcome kt_rotation_order(struct kt_core *core, const struct kt_device *device,
				    const char *actor, const char *note)
{
	return give(core, device, &(struct order){.actor = actor, .note = note});
}

struct kt_outcome kt_rotation_order_for(struct kt_core *core, const struct kt_device *device,
					const struct kt_campaign *campaign)
{
	return give(core, device, &(struct order){.actor = campaign->by, .campaign = campaign});
}

struct kt_outcome kt_rotation_close(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_OP_CLOSE, device);
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};

	record.reason = KT_REASON_OP_CLOSED;
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = outcome.reason == KT_REASON_NONE ? record.seq : 0;
	tell(core, KT_EVENT_ROTATION_CLOSED, device, NULL, &record);
	kt_rotation_end_trials(core, device, record.seq);
	return outcome;
}

struct kt_outcome kt_rotation_cancel(struct kt_core *core, const struct kt_device *device,
				     const char *actor)
{
	struct kt_session *session = kt_core_session_of(core, device, KT_SESSION_AGENT);
	/* an enrolment too, but not of what may be all that the hub has */
	const enum kt_server_phase phase =
		session != NULL && session->has_hello && session->credential == device->current
			? device->phase
			: kt_rotation_phase(device);
	struct kt_outcome outcome = {.reason = kt_rotation_step(phase, KT_ROTATION_CANCEL).refusal};
	const uint64_t op = device->op;

	if (outcome.reason != KT_REASON_NONE)
		return outcome;
	outcome = kt_rotation_close(core, device, actor);
	outcome.op = op;
	if (outcome.seq != 0 && session != NULL && session->has_hello)
		kt_rotation_reject_after(core, session, KT_REASON_OP_CLOSED, op, outcome.seq);
	return outcome;
}

/* --- csr --- */

/*
 * A second key for one op: someone else holds this device's current key. Op closed, pending gone,
 * rotation frozen, in one record.
 */
static void freeze(struct kt_core *core, struct kt_session *session, const struct kt_device *device)
{
	struct kt_record record = new_record(KT_RECORD_FREEZE, device);
	enum kt_reason reason;

	if (kt_core_change(core, &record, "keyturn", &reason) != KT_ERR_OK) {
		if (session != NULL)
			kt_core_reject(core, session, reason, KT_BUSY_RETRY_S, record.op);
		return;
	}
	record.reason = KT_REASON_KEY_SECOND;
	tell(core, KT_EVENT_ROTATION_FROZEN, device, NULL, &record);
	kt_clone_on_second_key(core, device, record.op, record.seq);
	kt_rotation_end_trials(core, device, record.seq);
	if (session != NULL)
		kt_rotation_reject_after(core, session, KT_REASON_KEY_SECOND, record.op,
					 record.seq);
}

static enum kt_reason op_refusal(const struct kt_device *device, uint64_t op,
				 enum kt_rotation_event event)
{
	if (op > device->op)
		return KT_REASON_OP_UNKNOWN;
	return op < device->op ? KT_REASON_OP_STALE : refusal_of(device, event);
}

static bool is_bound(const struct kt_core *core, const struct kt_device *device,
		     const struct kt_csr *csr)
{
	char expected[44];

	kt_csr_binding(core->config->trust_domain, device->id.s, device->op, &device->op_nonce,
		       expected);
	return strcmp(csr->challenge_password, expected) == 0;
}

static bool is_key_taken(const struct kt_core *core, const struct kt_device *device,
			 const struct kt_key_id *key_id)
{
	const struct kt_device *owner = kt_registry_find_key(core->registry, key_id);

	return kt_registry_is_key_used(core->registry, key_id) ||
	       (owner != NULL && owner != device);
}

/* In this order; the key is looked at last, when all else says that it is this device's answer. */
static enum kt_reason csr_refusal(const struct kt_core *core, const struct kt_session *session,
				  const struct kt_msg_csr *m, const struct kt_csr *csr)
{
	const struct kt_device *device = session->device;
	enum kt_reason reason = op_refusal(device, m->op, KT_ROTATION_CSR);

	if (reason != KT_REASON_NONE)
		return reason;
	if (session->credential != device->current)
		return KT_REASON_OP_CLOSED;
	if (!kt_nonce_eq(&m->nonce, &device->op_nonce))
		return KT_REASON_NONCE_WRONG;
	if (csr->key.alg != device->op_alg)
		return KT_REASON_CSR_KEY;
	if (!is_bound(core, device, csr))
		return KT_REASON_CSR_BIND;
	if (device->phase == KT_SERVER_OPEN && is_key_taken(core, device, &csr->key_id))
		return KT_REASON_KEY_KNOWN;
	return device->frozen ? KT_REASON_FROZEN : KT_REASON_NONE;
}

static void submit_issue(struct kt_core *core, struct kt_session *session, const struct kt_csr *csr)
{
	const struct kt_device *device = session->device;
	struct kt_job *job = kt_job_new(KT_JOB_ISSUE, session->number);

	if (job != NULL) {
		job->device = device->id;
		job->op = device->op;
		job->nonce = device->op_nonce;
		job->generation = device->generation + 1;
		job->key = csr->key;
		job->key_id = csr->key_id;
		job->not_after_s = kt_core_not_after(core);
	}
	if (job == NULL || kt_issues_submit(core->issues, core->ports.jobs, job) != KT_ERR_OK) {
		kt_job_free(job);
		kt_core_reject(core, session, KT_REASON_BUSY, KT_BUSY_RETRY_S, device->op);
	}
}

/* One signature for one op: the same request again is answered when the first one is. */
static void issue_once(struct kt_core *core, struct kt_session *session, const struct kt_csr *csr)
{
	struct kt_issue *issue =
		kt_issues_find(core->issues, &session->device->id, session->device->op);

	if (issue == NULL)
		submit_issue(core, session, csr);
	else if (kt_key_id_eq(&issue->key_id, &csr->key_id))
		issue->session = session->number;
	else
		freeze(core, session, session->device);
}

void kt_rotation_on_csr(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	const struct kt_msg_csr *m = &job->message->u.csr;
	const struct kt_device *device = session->device;
	enum kt_reason reason = csr_refusal(core, session, m, &job->csr);

	if (reason != KT_REASON_NONE) {
		kt_core_reject(core, session, reason, 0, m->op);
		return;
	}
	session->rotate_wait_ms = 0; /* the order was heard */
	if (device->phase == KT_SERVER_ISSUED) {
		if (kt_key_id_eq(&job->csr.key_id, &device->pending->key_id))
			kt_rotation_send_cert(core, session); /* the same bytes once more */
		else
			freeze(core, session, device);
	} else if (kt_core_may_issue(core, session, m->op)) {
		issue_once(core, session, &job->csr);
	}
}

static void record_issue(struct kt_core *core, struct kt_session *session,
			 const struct kt_device *device, const struct kt_job *job)
{
	struct kt_record record = new_record(KT_RECORD_ISSUE, device);
	char actor[KT_ACTOR_MAX + 1];
	enum kt_reason reason;

	kt_rotation_fill_issue(job, &record);
	(void)snprintf(actor, sizeof(actor), "device:%s", device->id.s);
	if (kt_core_change(core, &record, actor, &reason) != KT_ERR_OK) {
		if (session != NULL)
			kt_core_reject(core, session, reason, KT_BUSY_RETRY_S, job->op);
		return;
	}
	tell(core, KT_EVENT_ROTATION_ISSUED, device, device->pending, &record);
	if (session != NULL)
		kt_rotation_send_cert(core, session);
}

/* While the worker was at it, all may have changed: the op closed, the key taken. */
void kt_rotation_on_issued(struct kt_core *core, struct kt_job *job)
{
	const struct kt_device *device = kt_registry_find_device(core->registry, job->device.s);
	struct kt_session *session = kt_sessions_by_number(core->sessions, job->session);
	enum kt_reason reason;

	if (device == NULL)
		return;
	reason = op_refusal(device, job->op, KT_ROTATION_CERTIFIED);
	if (reason == KT_REASON_NONE && job->err != KT_ERR_OK)
		reason = job->reason != KT_REASON_NONE ? job->reason : KT_REASON_BUSY;
	if (reason == KT_REASON_NONE && device->phase == KT_SERVER_ISSUED) {
		if (!kt_key_id_eq(&job->key_id, &device->pending->key_id))
			freeze(core, session, device);
		else if (session != NULL)
			kt_rotation_send_cert(core, session);
		return;
	}
	if (reason == KT_REASON_NONE && is_key_taken(core, device, &job->key_id))
		reason = KT_REASON_KEY_KNOWN;
	if (reason == KT_REASON_NONE)
		record_issue(core, session, device, job);
	else if (session != NULL)
		kt_core_reject(core, session, reason,
			       reason == KT_REASON_BUSY ? KT_BUSY_RETRY_S : 0, job->op);
}

/* --- confirm, promoted, failed --- */

static enum kt_reason confirm_refusal(const struct kt_session *session,
				      const struct kt_msg_confirm *m)
{
	const struct kt_device *device = session->device;
	const struct kt_credential *credential = session->credential;
	const enum kt_server_phase phase = device->phase; /* of an enrolment too */

	if (credential != device->pending && credential != device->current)
		return KT_REASON_CONFIRM_SESSION;
	/* the op that issued it, and its nonce, are lost; that it is current is not */
	if (credential == device->current && device->adopted)
		return kt_fingerprint_eq(&m->fp, &credential->fp) ? KT_REASON_NONE
								  : KT_REASON_FP_WRONG;
	if (m->op != credential->op) {
		if (m->op > device->op)
			return KT_REASON_OP_UNKNOWN;
		return m->op < credential->op ? KT_REASON_OP_STALE : KT_REASON_CONFIRM_SESSION;
	}
	if (credential == device->pending &&
	    kt_rotation_step(phase, KT_ROTATION_CONFIRM).refusal != KT_REASON_NONE)
		return kt_rotation_step(phase, KT_ROTATION_CONFIRM).refusal;
	if (m->op == device->op && !kt_nonce_eq(&m->nonce, &device->op_nonce))
		return KT_REASON_NONCE_WRONG;
	return kt_fingerprint_eq(&m->fp, &credential->fp) ? KT_REASON_NONE : KT_REASON_FP_WRONG;
}

void kt_rotation_on_confirm(struct kt_core *core, struct kt_session *session, struct kt_message *m)
{
	const struct kt_device *device = session->device;
	const bool was_enrolling = device->enrolling;
	struct kt_record record = new_record(KT_RECORD_COMMIT, device);
	enum kt_reason reason = confirm_refusal(session, &m->u.confirm);

	if (reason != KT_REASON_NONE) {
		kt_core_reject(core, session, reason, 0, m->u.confirm.op);
		return;
	}
	if (session->credential == device->current) { /* our answer was lost */
		kt_rotation_send_committed(core, session, m->u.confirm.op, kt_core_seq_of(device));
		return;
	}
	record.fp = session->credential->fp;
	if (kt_core_change(core, &record, session->actor, &reason) != KT_ERR_OK) {
		kt_core_reject(core, session, reason, KT_BUSY_RETRY_S, m->u.confirm.op);
		return;
	}
	tell(core, was_enrolling ? KT_EVENT_DEVICE_ENROLLED : KT_EVENT_ROTATION_COMMITTED, device,
	     device->current, &record);
	kt_rotation_send_committed(core, session, record.op, record.seq);
	kt_rotation_retire(core, device, record.seq);
}

void kt_rotation_on_promoted(struct kt_core *core, struct kt_session *session, struct kt_message *m)
{
	const struct kt_device *device = session->device;
	const uint64_t op = m->u.promoted.op;
	struct kt_record record = new_record(KT_RECORD_PROMOTED, device);
	enum kt_reason reason = refusal_of(device, KT_ROTATION_PROMOTED);

	if (session->credential != device->current)
		reason = KT_REASON_CONFIRM_SESSION; /* a pending credential has promoted nothing */
	else if (op == 0 || op > device->last_committed_op)
		reason = KT_REASON_OP_UNKNOWN;
	else if (op == device->last_committed_op &&
		 !kt_fingerprint_eq(&m->u.promoted.fp, &device->current->fp))
		reason = KT_REASON_FP_WRONG;
	if (reason == KT_REASON_NONE && op > device->promoted_op) {
		const uint64_t before = device->promoted_op;
		enum kt_err err;

		record.op = op;
		err = kt_core_change(core, &record, session->actor, &reason);
		/* also when the ledger did not take it: from now on an old key is an alarm */
		if (device->promoted_op == op)
			kt_registry_note_promoted(core->registry, device, before,
						  core->now.mono_ms);
		if (err == KT_ERR_OK) {
			tell(core, KT_EVENT_ROTATION_PROMOTED, device, device->current, &record);
			kt_rotation_end_drain(core, device, record.seq);
		}
	}
	if (reason == KT_REASON_NONE)
		kt_rotation_send_noted(core, session, op, KT_MESSAGE_PROMOTED);
	else
		kt_core_reject(core, session, reason,
			       reason == KT_REASON_STORE_FAILED ? KT_BUSY_RETRY_S : 0, op);
}

static uint32_t retry_of(enum kt_reason reason)
{
	if (reason == KT_REASON_BUSY)
		return KT_NEWS_EVERY_S;
	return reason == KT_REASON_STORE_FAILED ? KT_BUSY_RETRY_S : 0;
}

void kt_rotation_on_failed(struct kt_core *core, struct kt_session *session, struct kt_message *m)
{
	const struct kt_device *device = session->device;
	const struct kt_msg_failed *failed = &m->u.failed;
	struct kt_record record = new_record(KT_RECORD_FAILED, device);
	enum kt_reason reason = refusal_of(device, KT_ROTATION_FAILED);

	if (failed->op == 0 || failed->op > device->op)
		reason = KT_REASON_OP_UNKNOWN;
	if (reason == KT_REASON_NONE &&
	    (failed->op != device->failed_op || failed->reason != device->failed_reason)) {
		record.op = failed->op;
		record.reason = failed->reason;
		if (!kt_rotation_may_write_news(core, device))
			reason = KT_REASON_BUSY;
		else if (kt_core_change(core, &record, session->actor, &reason) == KT_ERR_OK)
			tell(core, KT_EVENT_ROTATION_FAILED, device, NULL, &record);
	}
	if (reason == KT_REASON_NONE)
		kt_rotation_send_noted(core, session, failed->op, KT_MESSAGE_FAILED);
	else
		kt_core_reject(core, session, reason, retry_of(reason), failed->op);
}
