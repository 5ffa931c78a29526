#include "enroll.h"

#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "encoding.h"
#include "issues.h"
#include "rotation.h"
#include "secmem.h"
#include "ticket.h"

enum { APPROVED_RETRY_S = 1 };

struct claim_case {	   /* what an enroll asks for, and what it will get */
	const char *asked; /* "" or an id */
	const struct kt_csr *csr;
	bool has_ticket;
	uint8_t ticket_sha256[32];
	/* decided */
	struct kt_device_id device;
	char group[KT_GROUP_MAX + 1];
	bool waits;	  /* nobody knows the key yet: an operator must look */
	bool again;	  /* issued before for this very key: the same certificate */
	bool is_conflict; /* the ticket was used up by another key */
};

static bool is_id_open(const char *asked, const char *id)
{
	return asked[0] == '\0' || strcmp(asked, id) == 0;
}

/* Pending for this key: what was issued is handed out again. */
static bool is_issued_to(const struct kt_core *core, const struct kt_device_id *id,
			 const struct kt_key_id *key_id)
{
	const struct kt_device *device = kt_registry_find_device(core->registry, id->s);

	return device != NULL && device->enrolling && device->pending != NULL &&
	       kt_key_id_eq(&device->pending->key_id, key_id);
}

static enum kt_reason judge_used_ticket(const struct kt_core *core,
					const struct kt_ticket_entry *ticket, struct claim_case *c)
{
	static const struct kt_key_id nobody;

	c->device = ticket->used_for;
	if (kt_key_id_eq(&ticket->used_by, &nobody))
		return KT_REASON_TICKET_USED; /* void: its device was revoked, or has a newer one */
	if (!kt_key_id_eq(&ticket->used_by, &c->csr->key_id)) {
		c->is_conflict = true;
		return KT_REASON_TICKET_USED;
	}
	if (!is_issued_to(core, &ticket->used_for, &c->csr->key_id))
		return KT_REASON_TICKET_USED;
	c->again = true;
	return KT_REASON_NONE;
}

static enum kt_reason judge_ticket(const struct kt_core *core, struct claim_case *c)
{
	const struct kt_ticket_entry *ticket =
		kt_registry_find_ticket(core->registry, c->ticket_sha256);

	if (ticket == NULL)
		return KT_REASON_TICKET_UNKNOWN;
	if (ticket->used)
		return judge_used_ticket(core, ticket, c);
	if (core->now.wall_us >= ticket->expires_us)
		return KT_REASON_TICKET_EXPIRED;
	if (kt_registry_is_key_denied(core->registry, &c->csr->key_id))
		return KT_REASON_KEY_DENIED;
	memcpy(c->group, ticket->group, sizeof(c->group));
	if (ticket->device.s[0] != '\0') {
		c->device = ticket->device;
		return is_id_open(c->asked, ticket->device.s) ? KT_REASON_NONE
							      : KT_REASON_TICKET_DEVICE;
	}
	/* a group's ticket makes new devices and never touches one that is there */
	if (!kt_device_id_set(&c->device, c->asked, strlen(c->asked)) ||
	    !kt_ticket_pattern_matches(ticket->pattern, c->asked) ||
	    kt_registry_find_nocase(core->registry, c->asked) != NULL)
		return KT_REASON_TICKET_DEVICE;
	return KT_REASON_NONE;
}

static enum kt_reason judge_key(const struct kt_core *core, const struct kt_session *session,
				struct claim_case *c)
{
	const struct kt_device *owner = kt_registry_find_key(core->registry, &c->csr->key_id);

	if (kt_registry_is_key_denied(core->registry, &c->csr->key_id))
		return KT_REASON_KEY_DENIED;
	if (owner == NULL) {
		/* without ticket and certificate anybody on the network could fill the list */
		c->waits = strcmp(session->actor, "claim") != 0;
		return c->waits ? KT_REASON_NONE : KT_REASON_KEY_UNREGISTERED;
	}
	c->device = owner->id;
	if (!is_id_open(c->asked, owner->id.s))
		return KT_REASON_KEY_KNOWN;
	if (is_issued_to(core, &owner->id, &c->csr->key_id)) {
		c->again = true;
		return KT_REASON_NONE;
	}
	if (!owner->has_registered_key || !kt_key_id_eq(&owner->registered_key, &c->csr->key_id))
		return KT_REASON_KEY_KNOWN;
	return KT_REASON_NONE;
}

static enum kt_reason judge(const struct kt_core *core, const struct kt_session *session,
			    struct claim_case *c)
{
	const struct kt_device *owner;
	enum kt_reason reason = c->has_ticket ? judge_ticket(core, c) : judge_key(core, session, c);

	if (reason != KT_REASON_NONE || c->again || c->waits)
		return reason;
	/* I4: one key, one device, one certificate */
	owner = kt_registry_find_key(core->registry, &c->csr->key_id);
	if (kt_registry_is_key_used(core->registry, &c->csr->key_id) ||
	    (owner != NULL && strcmp(owner->id.s, c->device.s) != 0))
		return KT_REASON_KEY_KNOWN;
	return KT_REASON_NONE;
}

/* --- answers --- */

static void key_text(const struct kt_key_id *key_id, char out[static 65])
{
	if (kt_hex_encode(key_id->b, sizeof(key_id->b), out, 65) != KT_ERR_OK)
		out[0] = '\0';
}

/* The claimant learns that it was refused; the log learns why. */
static void refuse(struct kt_core *core, struct kt_session *session, const struct claim_case *c,
		   enum kt_reason reason)
{
	char key[65];
	const struct kt_field fields[] = {{"reason", kt_reason_name(reason)},
					  {"key", key},
					  {"asked", c->asked},
					  {"actor", session->actor},
					  {"address", session->address}};

	key_text(&c->csr->key_id, key);
	core->refusals[reason]++;
	if (c->is_conflict)
		kt_core_alarm(core, (struct kt_alarm){KT_EVENT_ENROLL_CONFLICTED, 0},
			      kt_registry_find_device(core->registry, c->device.s), fields, 5, 0);
	else
		kt_core_fact(core, KT_EVENT_ENROLL_REFUSED, NULL, fields, 5, 0);
	kt_core_reject(core, session, KT_REASON_CLAIM_REFUSED, 0, 0);
}

static void send_pending(struct kt_core *core, const struct kt_session *session, uint32_t retry_s,
			 uint64_t after_seq)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_PENDING);

	if (message == NULL)
		return;
	message->u.pending.retry_s = retry_s;
	kt_core_send(core, session, message, after_seq);
}

static void send_enrolled(struct kt_core *core, const struct kt_session *session,
			  const struct kt_device *device)
{
	struct kt_message *message = kt_core_message(core, session, KT_MESSAGE_ENROLLED);
	const struct kt_bytes leaf = {device->pending_der, device->pending_der_len};

	if (message == NULL)
		return;
	message->device = device->id;
	message->u.enrolled.op = device->op;
	message->u.enrolled.nonce = device->op_nonce;
	if (!kt_core_chain(core, leaf, &message->u.enrolled.chain)) {
		kt_message_free(message);
		return;
	}
	kt_core_send(core, session, message, kt_core_seq_of(device));
}

static void wait_for_operator(struct kt_core *core, const struct kt_session *session,
			      const struct claim_case *c)
{
	struct kt_claim claim;
	char key[65];
	const struct kt_field fields[] = {{"key", key},
					  {"asked", c->asked},
					  {"batch", claim.batch},
					  {"address", session->address}};

	memset(&claim, 0, sizeof(claim));
	claim.key_id = c->csr->key_id;
	if (c->asked[0] != '\0')
		(void)kt_device_id_set(&claim.device, c->asked, strlen(c->asked));
	if (strncmp(session->actor, "claim:", 6) == 0)
		(void)snprintf(claim.batch, sizeof(claim.batch), "%.*s",
			       (int)sizeof(claim.batch) - 1, session->actor + 6);
	memcpy(claim.address, session->address, sizeof(claim.address));
	claim.first_us = core->now.wall_us;
	claim.last_us = core->now.wall_us;
	key_text(&claim.key_id, key);
	if (kt_claims_wait(core->claims, &claim, session->number))
		kt_core_fact(core, KT_EVENT_DEVICE_WAITING, NULL, fields, 4, 0);
	send_pending(core, session, (uint32_t)core->config->enroll_retry_s, 0);
}

static void submit_issue(struct kt_core *core, struct kt_session *session,
			 const struct claim_case *c)
{
	const struct kt_device *device = kt_registry_find_device(core->registry, c->device.s);
	struct kt_job *job = NULL;

	/* one signature for one enrolment: whoever asks again gets what comes of the first */
	if (kt_issues_find(core->issues, &c->device, 0) != NULL)
		goto busy;
	job = kt_job_new(KT_JOB_ISSUE, session->number);
	if (job == NULL)
		goto busy;
	job->is_claim = true;
	job->device = c->device;
	job->op = kt_core_next_op(core, device);
	job->generation = device == NULL ? 1 : device->generation + 1;
	job->key = c->csr->key;
	job->key_id = c->csr->key_id;
	job->not_after_s = kt_core_not_after(core);
	job->has_ticket = c->has_ticket;
	memcpy(job->ticket_sha256, c->ticket_sha256, sizeof(job->ticket_sha256));
	if (core->ports.entropy->bytes(core->ports.entropy->ctx, job->nonce.b,
				       sizeof(job->nonce.b)) != KT_ERR_OK)
		goto busy;
	if (kt_issues_submit(core->issues, core->ports.jobs, job) == KT_ERR_OK) {
		session->in_work = true; /* one enroll in work: until the certificate is there */
		return;
	}
busy:
	kt_job_free(job);
	kt_core_reject(core, session, KT_REASON_BUSY, KT_BUSY_RETRY_S, 0);
}

static void answer(struct kt_core *core, struct kt_session *session, const struct claim_case *c)
{
	if (c->again)
		send_enrolled(core, session, kt_registry_find_device(core->registry, c->device.s));
	else if (c->waits)
		wait_for_operator(core, session, c);
	else if (kt_core_may_issue(core, session, 0))
		submit_issue(core, session, c);
}

void kt_enroll_on_enroll(struct kt_core *core, struct kt_session *session, struct kt_job *job)
{
	const struct kt_message *m = job->message;
	struct claim_case c;
	char expected[44];
	enum kt_reason reason;

	if (session->is_over_rate) {
		kt_core_reject(core, session, KT_REASON_MSG_RATE, KT_TRY_AGAIN_S, 0);
		return;
	}
	kt_csr_binding(core->config->trust_domain, m->device.s, 0, &m->dn, expected);
	if (strcmp(job->csr.challenge_password, expected) != 0) {
		kt_core_reject(core, session, KT_REASON_CSR_BIND, 0, 0);
		return;
	}
	memset(&c, 0, sizeof(c));
	c.asked = m->device.s;
	c.csr = &job->csr;
	c.has_ticket = m->u.enroll.has_ticket;
	if (c.has_ticket)
		kt_sha256(m->u.enroll.ticket, sizeof(m->u.enroll.ticket), c.ticket_sha256);
	reason = judge(core, session, &c);
	if (reason != KT_REASON_NONE)
		refuse(core, session, &c, reason);
	else
		answer(core, session, &c);
}

/* --- issued --- */

static enum kt_reason record_issue(struct kt_core *core, const struct kt_job *job,
				   const struct claim_case *c, bool *is_new)
{
	struct kt_record record;
	enum kt_reason reason;
	struct kt_rotation_words words;
	const struct kt_device *device;

	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_ISSUE;
	record.device = job->device;
	record.op = job->op;
	kt_rotation_fill_issue(job, &record);
	record.has_ticket = job->has_ticket;
	memcpy(record.ticket_sha256, job->ticket_sha256, sizeof(record.ticket_sha256));
	memcpy(record.group, c->group, sizeof(record.group));
	*is_new = kt_registry_find_device(core->registry, job->device.s) == NULL;
	if (kt_core_change(core, &record, "claim", &reason) != KT_ERR_OK)
		return reason;
	device = kt_registry_find_device(core->registry, job->device.s);
	kt_rotation_describe(&words, record.op, device->pending, KT_REASON_NONE);
	if (*is_new)
		kt_core_fact(core, KT_EVENT_DEVICE_CREATED, device, NULL, 0, record.seq);
	kt_core_fact(core, KT_EVENT_ROTATION_ISSUED, device, words.fields, words.count, record.seq);
	return KT_REASON_NONE;
}

/* The claimant may be gone; then nothing is used up, and it asks again. */
void kt_enroll_on_issued(struct kt_core *core, struct kt_job *job)
{
	struct kt_session *session = kt_sessions_by_number(core->sessions, job->session);
	const struct kt_csr csr = {.key = job->key, .key_id = job->key_id};
	struct claim_case c;
	enum kt_reason reason;
	uint64_t waiting;
	bool is_new;

	if (session == NULL)
		return;
	session->in_work = false;
	if (job->err != KT_ERR_OK) {
		kt_core_reject(core, session, KT_REASON_BUSY, KT_BUSY_RETRY_S, 0);
		return;
	}
	memset(&c, 0, sizeof(c));
	c.asked = job->device.s;
	c.csr = &csr;
	c.has_ticket = job->has_ticket;
	memcpy(c.ticket_sha256, job->ticket_sha256, sizeof(c.ticket_sha256));
	reason = judge(core, session, &c); /* once more: time has passed */
	if (reason != KT_REASON_NONE || c.waits) {
		refuse(core, session, &c,
		       reason == KT_REASON_NONE ? KT_REASON_KEY_UNREGISTERED : reason);
		return;
	}
	if (!c.again) {
		reason = record_issue(core, job, &c, &is_new);
		if (reason != KT_REASON_NONE) {
			kt_core_reject(core, session,
				       reason == KT_REASON_STORE_FAILED ? reason : KT_REASON_BUSY,
				       KT_BUSY_RETRY_S, 0);
			return;
		}
		(void)kt_claims_take(core->claims, &job->key_id, &waiting);
		if (is_new)
			kt_core_evict(core, kt_registry_find_device(core->registry, c.device.s));
	}
	send_enrolled(core, session, kt_registry_find_device(core->registry, c.device.s));
}

/* --- operators --- */

static struct kt_outcome refused(enum kt_reason reason)
{
	return (struct kt_outcome){.reason = reason};
}

static bool fill_ticket(struct kt_core *core, struct kt_ticket *ticket)
{
	if (ticket->broker[0] == '\0')
		(void)snprintf(ticket->broker, sizeof(ticket->broker), "%.*s", KT_BROKER_MAX,
			       core->config->broker_address);
	(void)snprintf(ticket->trust_domain, sizeof(ticket->trust_domain), "%s",
		       core->config->trust_domain);
	memcpy(ticket->root_sha256, core->root_sha256, sizeof(ticket->root_sha256));
	return core->ports.entropy->bytes(core->ports.entropy->ctx, ticket->secret,
					  sizeof(ticket->secret)) == KT_ERR_OK;
}

static enum kt_reason ticket_refusal(const struct kt_core *core, const struct kt_ticket *ticket)
{
	const struct kt_device *device;

	if (ticket->broker[0] == '\0' || ticket->expires_us <= core->now.wall_us)
		return KT_REASON_JSON_FIELD;
	if (ticket->device[0] == '\0')
		return ticket->pattern[0] != '\0' ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
	if (!kt_is_device_id(ticket->device, strlen(ticket->device)))
		return KT_REASON_JSON_FIELD;
	device = kt_registry_find_device(core->registry, ticket->device);
	if (device == NULL)
		return kt_registry_find_nocase(core->registry, ticket->device) == NULL
			       ? KT_REASON_NONE
			       : KT_REASON_EXISTS;
	return device->state == KT_DEVICE_DELETED ? KT_REASON_DELETED : KT_REASON_NONE;
}

struct kt_outcome kt_enroll_ticket(struct kt_core *core, struct kt_ticket *ticket,
				   const char *actor)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};
	struct kt_record record;
	const struct kt_field fields[] = {
		{"actor", actor},
		{"for", ticket->device[0] != '\0' ? ticket->device : ticket->pattern},
		{"group", ticket->group[0] != '\0' ? ticket->group : NULL}};

	if (!fill_ticket(core, ticket))
		return refused(KT_REASON_BUSY);
	outcome.reason = ticket_refusal(core, ticket);
	if (outcome.reason != KT_REASON_NONE)
		return outcome;
	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_TICKET_CREATE;
	if (ticket->device[0] != '\0' &&
	    !kt_device_id_set(&record.device, ticket->device, strlen(ticket->device)))
		return refused(KT_REASON_JSON_FIELD);
	memcpy(record.group, ticket->group, sizeof(record.group));
	memcpy(record.pattern, ticket->pattern, sizeof(record.pattern));
	record.expires_us = ticket->expires_us;
	record.has_ticket = true;
	kt_sha256(ticket->secret, sizeof(ticket->secret), record.ticket_sha256);
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = record.seq;
	kt_core_fact(core, KT_EVENT_TICKET_CREATED, NULL, fields, 3, record.seq);
	return outcome;
}

static enum kt_reason approve_refusal(const struct kt_core *core, const char *id,
				      const struct kt_key_id *key_id)
{
	const struct kt_device *device = kt_registry_find_device(core->registry, id);
	const struct kt_device *owner = kt_registry_find_key(core->registry, key_id);

	if (!kt_is_device_id(id, strlen(id)))
		return KT_REASON_JSON_FIELD;
	if (device == NULL && kt_registry_find_nocase(core->registry, id) != NULL)
		return KT_REASON_EXISTS;
	if (device != NULL && device->state == KT_DEVICE_DELETED)
		return KT_REASON_DELETED;
	if (kt_registry_is_key_used(core->registry, key_id) || (owner != NULL && owner != device))
		return KT_REASON_KEY_KNOWN;
	return KT_REASON_NONE;
}

struct kt_outcome kt_enroll_approve(struct kt_core *core, const char *device_id,
				    const struct kt_key_id *key_id, const char *group,
				    const char *actor)
{
	struct kt_outcome outcome = {.reason = approve_refusal(core, device_id, key_id)};
	const struct kt_session *session;
	const struct kt_device *device;
	struct kt_record record;
	uint64_t number;
	char key[65];
	const struct kt_field fields[] = {{"key", key}, {"actor", actor}};

	if (outcome.reason != KT_REASON_NONE)
		return outcome;
	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_APPROVE;
	if (!kt_device_id_set(&record.device, device_id, strlen(device_id)))
		return refused(KT_REASON_JSON_FIELD);
	record.key_id = *key_id;
	record.has_key_id = true;
	record.alg = KT_ALG_ES256;
	if (group != NULL)
		(void)snprintf(record.group, sizeof(record.group), "%s", group);
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = record.seq;
	key_text(key_id, key);
	device = kt_registry_find_device(core->registry, device_id);
	kt_core_fact(core, KT_EVENT_DEVICE_APPROVED, device, fields, 2, record.seq);
	kt_core_evict(core, device);
	if (kt_claims_take(core->claims, key_id, &number)) {
		session = kt_sessions_by_number(core->sessions, number);
		if (session != NULL) /* it need not sit out its time */
			send_pending(core, session, APPROVED_RETRY_S, record.seq);
	}
	return outcome;
}

struct kt_outcome kt_enroll_deny(struct kt_core *core, const struct kt_key_id *key_id,
				 const char *actor)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};
	struct kt_session *session;
	struct kt_record record;
	uint64_t number;
	char key[65];
	const struct kt_field fields[] = {{"key", key}, {"actor", actor}};

	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_DENY;
	record.key_id = *key_id;
	record.has_key_id = true;
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = outcome.reason == KT_REASON_NONE ? record.seq : 0;
	key_text(key_id, key);
	kt_core_fact(core, KT_EVENT_DEVICE_DENIED, NULL, fields, 2, outcome.seq);
	if (kt_claims_take(core->claims, key_id, &number)) {
		session = kt_sessions_by_number(core->sessions, number);
		if (session != NULL)
			kt_core_reject(core, session, KT_REASON_CLAIM_REFUSED, 0, 0);
	}
	return outcome;
}
