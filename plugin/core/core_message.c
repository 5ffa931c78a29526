/* A device's message: its rate, its size, its turn, its signature; then who may say what. */
#include <stdlib.h>
#include <string.h>

#include "clone.h"
#include "enroll.h"
#include "limit.h"

enum { SESSIONS_AT_ONCE = 4 };

static bool is_speaker(const struct kt_session *session)
{
	return session->kind == KT_SESSION_AGENT || session->kind == KT_SESSION_TRIAL ||
	       session->kind == KT_SESSION_CLAIM;
}

/* What the session's credential has become since it was let in. */
static enum kt_reason credential_refusal(const struct kt_session *session)
{
	if (session->credential == NULL)
		return session->kind == KT_SESSION_CLAIM ? KT_REASON_NONE : KT_REASON_DENIED;
	switch (session->credential->status) {
	case KT_CREDENTIAL_PENDING:
	case KT_CREDENTIAL_CURRENT:
		return KT_REASON_NONE;
	case KT_CREDENTIAL_SUPERSEDED:
		return KT_REASON_CERT_SUPERSEDED;
	case KT_CREDENTIAL_REVOKED:
		return KT_REASON_REVOKED;
	case KT_CREDENTIAL_ABANDONED:
	case KT_CREDENTIAL_LOST:
		return KT_REASON_OP_CLOSED;
	}
	return KT_REASON_DENIED;
}

static void drop(struct kt_core *core, const struct kt_session *session, enum kt_reason reason)
{
	const struct kt_field fields[] = {{"client", session == NULL ? NULL : session->client_id},
					  {"device", session == NULL || session->device == NULL
							     ? NULL
							     : session->device->id.s}};

	kt_core_refused(core, KT_EVENT_MESSAGE_REFUSED, reason, fields, 2);
}

/*
 * A session has its bucket, and a device another one, however many sessions it has and however
 * often it connects: in that one there is room for a few sessions of an honest hub.
 */
static bool is_within_rate(struct kt_core *core, struct kt_session *session)
{
	const struct kt_rate of_session = {.per_1000s = core->config->message_rate * 1000,
					   .burst = core->config->message_burst};
	const struct kt_rate of_device = {.per_1000s = of_session.per_1000s,
					  .burst = of_session.burst * SESSIONS_AT_ONCE};
	const int64_t now_ms = core->now.mono_ms;
	struct kt_limit *limit;

	if (!kt_bucket_take(&session->messages, of_session, now_ms))
		return false;
	if (session->device == NULL)
		return true;
	limit = kt_limits_of(core->messages, session->device, 0, now_ms);
	return kt_bucket_take(&limit->bucket, of_device, now_ms);
}

/* When the session's bucket is full again. */
static uint32_t rate_retry_s(const struct kt_core *core)
{
	return (core->config->message_burst + core->config->message_rate - 1) /
	       core->config->message_rate;
}

/*
 * Told to come back, once until that time is over: what would be told again costs a signature, and
 * the sender knows it.
 */
static void come_back(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
		      uint32_t retry_s)
{
	if (!session->has_hello || core->now.mono_ms < session->told_until_ms) {
		drop(core, session, reason);
		return;
	}
	session->told_until_ms = core->now.mono_ms + (int64_t)retry_s * 1000;
	kt_core_reject(core, session, reason, retry_s, 0);
}

/* A message that the workers have no room for, or we no memory. */
static void no_time(struct kt_core *core, struct kt_session *session, uint8_t *text)
{
	free(text);
	kt_challenge_unheard(core, session);
	come_back(core, session, KT_REASON_BUSY, KT_BUSY_RETRY_S);
}

static uint8_t *copy_of(struct kt_bytes bytes)
{
	uint8_t *copy = malloc(bytes.len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, bytes.p, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}

/* @text moved on true. */
static bool submit(struct kt_core *core, struct kt_session *session, uint8_t *text, size_t len)
{
	struct kt_job *job = kt_job_new(KT_JOB_OPEN, session->number);

	if (job == NULL)
		return false;
	job->is_claim = session->kind == KT_SESSION_CLAIM;
	if (!job->is_claim) {
		job->cert_der =
			copy_of((struct kt_bytes){session->cert_der, session->cert_der_len});
		job->cert_der_len = session->cert_der_len;
	}
	if (!job->is_claim && job->cert_der == NULL) {
		kt_job_free(job);
		return false;
	}
	job->text = text;
	job->text_len = len;
	if (core->ports.jobs->submit(core->ports.jobs->ctx, job) != KT_ERR_OK) {
		job->text = NULL; /* stays the caller's */
		kt_job_free(job);
		return false;
	}
	session->in_work = true;
	return true;
}

/*
 * A try to enrol, before it costs a signature. One that comes too often is looked at all the same,
 * now and then: the claimant cannot be told when to come back without its nonce.
 */
static bool may_try(struct kt_core *core, struct kt_session *session)
{
	switch (kt_claims_try(core->claims, session, core->config->enroll_rate,
			      core->now.mono_ms)) {
	case KT_TRY_TAKEN:
		session->is_over_rate = false;
		return true;
	case KT_TRY_TOLD:
		session->is_over_rate = true;
		return true;
	case KT_TRY_DROPPED:
		break;
	}
	drop(core, session, KT_REASON_MSG_RATE);
	return false;
}

static void take(struct kt_core *core, struct kt_session *session, struct kt_bytes payload)
{
	/* of a claimant one enroll is in work, and none waits */
	const size_t room = session->kind == KT_SESSION_CLAIM ? 0 : KT_SESSION_WAITING_MAX;
	uint8_t *text;

	if (session->in_work && session->waiting_count >= room) {
		come_back(core, session, KT_REASON_BUSY, KT_BUSY_RETRY_S);
		return;
	}
	if (session->kind == KT_SESSION_CLAIM && !may_try(core, session))
		return;
	text = copy_of(payload);
	if (text != NULL && session->in_work) {
		session->waiting[session->waiting_count++] = (struct kt_waiting){text, payload.len};
		return;
	}
	if (text == NULL || !submit(core, session, text, payload.len)) {
		no_time(core, session, text);
	}
}

void kt_core_device_message(struct kt_core *core, struct kt_now now, uintptr_t client,
			    struct kt_bytes payload)
{
	struct kt_session *session = kt_sessions_find(core->sessions, client);
	enum kt_reason reason;

	core->now = now;
	core->ports.log->now_ms = now.mono_ms;
	if (session == NULL || session->gone || !is_speaker(session)) {
		drop(core, session, KT_REASON_DENIED);
		return;
	}
	if (!is_within_rate(core, session)) {
		come_back(core, session, KT_REASON_MSG_RATE, rate_retry_s(core));
		return; /* no signature for who floods */
	}
	if (payload.len == 0 || payload.len > KT_MESSAGE_MAX) {
		kt_core_reject(core, session, KT_REASON_MSG_SIZE, 0, 0);
		return;
	}
	reason = credential_refusal(session);
	if (reason != KT_REASON_NONE) {
		drop(core, session, reason);
		return;
	}
	session->last_message_ms = now.mono_ms;
	take(core, session, payload);
}

/* --- opened --- */

static void on_hello(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	kt_rotation_on_hello(core, session, job->message);
}

static void on_confirm(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	kt_rotation_on_confirm(core, session, job->message);
}

static void on_promoted(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	kt_rotation_on_promoted(core, session, job->message);
}

static void on_failed(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	kt_rotation_on_failed(core, session, job->message);
}

static void on_answer(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	kt_challenge_on_answer(core, session, job->message);
}

struct right_to_speak {
	void (*handle)(struct kt_core *core, struct kt_session *session, struct kt_job *job);
	enum kt_reason refusal; /* NONE: msg.type, where there is no handler */
};

/* Who may say what. Every type that is not here, and every session kind, is refused as msg.type. */
static const struct right_to_speak table[KT_MESSAGE_COUNT][KT_SESSION_OTHER + 1] = {
	[KT_MESSAGE_HELLO] = {[KT_SESSION_AGENT] = {.handle = on_hello},
			      [KT_SESSION_TRIAL] = {.handle = on_hello}},
	[KT_MESSAGE_ANSWER] = {[KT_SESSION_AGENT] = {.handle = on_answer}},
	[KT_MESSAGE_CSR] = {[KT_SESSION_AGENT] = {.handle = kt_rotation_on_csr},
			    [KT_SESSION_TRIAL] = {.handle = kt_rotation_on_csr}},
	[KT_MESSAGE_CONFIRM] = {[KT_SESSION_AGENT] = {.refusal = KT_REASON_CONFIRM_SESSION},
				[KT_SESSION_TRIAL] = {.handle = on_confirm}},
	[KT_MESSAGE_PROMOTED] = {[KT_SESSION_AGENT] = {.handle = on_promoted},
				 [KT_SESSION_TRIAL] = {.handle = on_promoted}},
	[KT_MESSAGE_FAILED] = {[KT_SESSION_AGENT] = {.handle = on_failed},
			       [KT_SESSION_TRIAL] = {.handle = on_failed}},
	[KT_MESSAGE_ENROLL] = {[KT_SESSION_CLAIM] = {.handle = kt_enroll_on_enroll}},
};

/*
 * hello and enroll open the conversation and may be repeated as they are; all others must show the
 * nonce that we gave to this very connection.
 */
static bool is_fresh(struct kt_core *core, struct kt_session *session, const struct kt_message *m)
{
	if (m->type != KT_MESSAGE_HELLO && m->type != KT_MESSAGE_ENROLL)
		return session->has_hello && kt_nonce_eq(&m->sn, &session->sn);
	if (session->has_hello)
		return kt_nonce_eq(&m->dn, &session->dn);
	if (core->ports.entropy->bytes(core->ports.entropy->ctx, session->sn.b,
				       sizeof(session->sn.b)) != KT_ERR_OK)
		return false;
	session->dn = m->dn;
	session->has_hello = true;
	return true;
}

static bool is_about_session(const struct kt_core *core, const struct kt_session *session,
			     const struct kt_message *m)
{
	if (strcmp(m->trust_domain, core->config->trust_domain) != 0)
		return false;
	return session->device == NULL || strcmp(m->device.s, session->device->id.s) == 0;
}

static void dispatch(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	const struct kt_message *m = job->message;
	const struct right_to_speak *right = &table[m->type][session->kind];
	enum kt_reason reason = credential_refusal(session);

	if (reason != KT_REASON_NONE)
		drop(core, session, reason);
	else if (right->handle == NULL)
		kt_core_reject(core, session,
			       right->refusal != KT_REASON_NONE ? right->refusal
								: KT_REASON_MSG_TYPE,
			       0, 0);
	else if (!is_about_session(core, session, m))
		kt_core_reject(core, session, KT_REASON_ID_MISMATCH, 0, 0);
	else if (!is_fresh(core, session, m))
		kt_core_reject(core, session, KT_REASON_SESSION_NONCE, 0, 0);
	else
		right->handle(core, session, job);
}

static void start_next(struct kt_core *core, struct kt_session *session)
{
	while (!session->in_work && session->waiting_count > 0) {
		struct kt_waiting next = session->waiting[0];

		session->waiting_count--;
		memmove(session->waiting, session->waiting + 1,
			session->waiting_count * sizeof(session->waiting[0]));
		if (!submit(core, session, next.text, next.len)) {
			no_time(core, session, next.text);
		}
	}
}

void kt_core_opened(struct kt_core *core, struct kt_job *job)
{
	struct kt_session *session = kt_sessions_by_number(core->sessions, job->session);

	if (session == NULL)
		return; /* gone meanwhile */
	session->in_work = false;
	if (job->err != KT_ERR_OK && job->reason == KT_REASON_JWS_SIG)
		kt_clone_on_wrong_key(core, session, job);
	else if (job->err != KT_ERR_OK && job->reason == KT_REASON_OP_RANGE)
		kt_clone_on_op_range(core, session, 0);
	if (job->err != KT_ERR_OK || job->message == NULL)
		kt_core_reject(core, session,
			       job->reason != KT_REASON_NONE ? job->reason : KT_REASON_BUSY,
			       job->reason == KT_REASON_BUSY ? KT_BUSY_RETRY_S : 0, 0);
	else if ((unsigned)job->message->type < KT_MESSAGE_COUNT)
		dispatch(core, session, job);
	start_next(core, session);
}
