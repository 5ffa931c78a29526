#include "fake_ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "encoding.h"

static enum kt_err do_publish(void *ctx, const char *client_id, const char *topic,
			      struct kt_bytes payload, bool retain)
{
	struct fake *f = ctx;
	struct fake_publish *p;

	if (f->published_count == FAKE_MAX)
		abort();
	p = &f->published[f->published_count++];
	(void)snprintf(p->to, sizeof(p->to), "%s", client_id == NULL ? "" : client_id);
	(void)snprintf(p->topic, sizeof(p->topic), "%s", topic);
	if (payload.len >= sizeof(p->text))
		abort();
	memcpy(p->text, payload.p, payload.len);
	p->text[payload.len] = '\0';
	p->retain = retain;
	return KT_ERR_OK;
}

static enum kt_err do_kick(void *ctx, const char *client_id)
{
	struct fake *f = ctx;

	if (f->kick_fails)
		return KT_ERR_NOMEM;
	if (f->kicked_count == FAKE_MAX)
		abort();
	(void)snprintf(f->kicked[f->kicked_count++], KT_CLIENT_ID_MAX, "%s", client_id);
	return KT_ERR_OK;
}

static enum kt_err do_reserve(void *ctx, const struct kt_record *record)
{
	const struct fake *f = ctx;

	(void)record;
	return f->journal_has_no_room ? KT_ERR_NOMEM : KT_ERR_OK;
}

static enum kt_err do_append(void *ctx, const struct kt_record *record,
			     struct kt_registry *registry)
{
	struct fake *f = ctx;

	(void)registry;
	if (f->journal_fails)
		return KT_ERR_STATE;
	if (f->appended_count < FAKE_MAX)
		f->appended[f->appended_count++] = record->kind;
	return KT_ERR_OK;
}

/* As if the store were one with the core; the hash is the number. */
static uint64_t do_head(void *ctx, uint8_t hash[static 32])
{
	const struct fake *f = ctx;

	memset(hash, 0, 32);
	hash[0] = (uint8_t)f->core->durable_seq;
	return f->core->durable_seq;
}

static enum kt_err do_submit(void *ctx, struct kt_job *job)
{
	struct fake *f = ctx;

	if (f->jobs_are_full || f->waiting_count == FAKE_MAX)
		return KT_ERR_BUSY;
	f->waiting[f->waiting_count++] = job;
	return KT_ERR_OK;
}

/* Different at every call, and the same in every run. */
static enum kt_err do_entropy(void *ctx, uint8_t *out, size_t len)
{
	struct fake *f = ctx;

	f->entropy_next++;
	memset(out, f->entropy_next, len);
	return KT_ERR_OK;
}

static void do_log(void *ctx, enum kt_log_level level, const char *line)
{
	struct fake *f = ctx;

	(void)level;
	(void)snprintf(f->last_log, sizeof(f->last_log), "%s", line);
	for (unsigned e = 0; e < KT_EVENT_COUNT; e++) {
		const char *name = kt_event_name((enum kt_event)e);
		const size_t len = strlen(name);

		if (strncmp(line + 6, name, len) == 0 &&
		    (line[6 + len] == ' ' || line[6 + len] == '\0'))
			f->logged[e]++;
	}
}

static void set_config(struct kt_config *config)
{
	(void)snprintf(config->trust_domain, sizeof(config->trust_domain), FLEET_TD);
	(void)snprintf(config->broker_address, sizeof(config->broker_address), "broker:8883");
	config->claim_without_certificate = true;
	config->acl.other = KT_FALLBACK_DEFER;
	config->hello_timeout_ms = 30000;
	config->claim_idle_ms = 60000;
	config->superseded_drain_ms = 30000;
	config->challenge_timeout_ms = 60000;
	config->promote_overdue_ms = 600000;
	config->op_deadline_ms = INT64_C(86400000);
	config->pending_give_up_ms = INT64_C(7) * 86400000;
	config->crl_validity_ms = INT64_C(7) * 86400000;
	config->enroll_retry_s = 30;
	config->enroll_rate = 100;
	config->message_rate = 5;
	config->message_burst = 10;
}

void fake_site_topics(struct fake *f)
{
	static const struct kt_site_acl acl = {.rules = {{KT_ACL_READWRITE, "devices/%d/#"}},
					       .rule_count = 1,
					       .device = KT_FALLBACK_DENY,
					       .other = KT_FALLBACK_DEFER};

	kt_core_set_acl(f->core, f->now, &acl);
}

struct fake *fake_new(struct kt_registry *registry)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct kt_core_setup setup = {.issuer_cert_der = fake_cert("issuer")};

	if (f == NULL)
		abort();
	f->registry = registry;
	f->broker = (struct kt_broker){f, do_publish, do_kick};
	f->journal = (struct kt_journal){f, do_reserve, do_append, do_head};
	f->jobs = (struct kt_jobs){f, do_submit};
	f->entropy = (struct kt_entropy){f, do_entropy};
	kt_log_init(&f->log, do_log, f, KT_LOG_DEBUG);
	f->ports = (struct kt_ports){&f->broker, &f->journal, &f->jobs, &f->entropy, &f->log};
	f->now = (struct kt_now){INT64_C(1000000) * (FLEET_TIME_S + 10), 10000};
	f->sync_at_once = true;
	set_config(&f->config);
	setup.config = &f->config;
	setup.ports = &f->ports;
	setup.registry = registry;
	setup.durable_seq = kt_registry_seq(registry);
	if (kt_core_new(&setup, f->now, &f->core) != KT_ERR_OK)
		abort();
	return f;
}

void fake_free(struct fake *f)
{
	for (size_t i = 0; i < f->waiting_count; i++)
		kt_job_free(f->waiting[i]);
	kt_core_free(f->core);
	kt_registry_free(f->registry);
	free(f);
}

void fake_later(struct fake *f, int64_t ms)
{
	f->now.wall_us += ms * 1000;
	f->now.mono_ms += ms;
}

static void settle(struct fake *f)
{
	if (!f->sync_at_once)
		return;
	fake_durable(f);
	fake_seal_all(f);
}

void fake_tick(struct fake *f)
{
	fake_later(f, 100);
	kt_core_tick(f->core, f->now);
	settle(f);
}

void fake_ticks(struct fake *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fake_tick(f);
}

void fake_durable(struct fake *f)
{
	kt_core_durable(f->core, f->now, kt_registry_seq(f->registry), false);
}

void fake_fail(struct fake *f)
{
	f->journal_fails = true;
	kt_core_durable(f->core, f->now, f->core->durable_seq, true);
}

void fake_forget(struct fake *f)
{
	f->published_count = 0;
	f->kicked_count = 0;
}

/* --- jobs --- */

struct kt_job *fake_take_job(struct fake *f, enum kt_job_kind kind)
{
	for (size_t i = 0; i < f->waiting_count; i++) {
		struct kt_job *job = f->waiting[i];

		if (job->kind != kind)
			continue;
		f->waiting_count--;
		memmove(&f->waiting[i], &f->waiting[i + 1],
			(f->waiting_count - i) * sizeof(f->waiting[0]));
		return job;
	}
	return NULL;
}

#define ULL(n) ((unsigned long long)(n))

enum { LEAF_SHOWN = 300 };

static int shown(size_t len)
{
	return len < LEAF_SHOWN ? (int)len : LEAF_SHOWN;
}

static void describe(const struct kt_message *m, char *out, size_t cap)
{
	const char *name = kt_message_type_name(m->type);

	switch (m->type) {
	case KT_MESSAGE_WELCOME:
		(void)snprintf(out, cap, "%s next=%s op=%llu", name,
			       kt_next_name(m->u.welcome.next), ULL(m->u.welcome.op));
		break;
	case KT_MESSAGE_ROTATE:
		(void)snprintf(out, cap, "%s op=%llu", name, ULL(m->u.rotate.op));
		break;
	case KT_MESSAGE_CERT:
		(void)snprintf(out, cap, "%s op=%llu count=%zu leaf=%.*s", name, ULL(m->u.cert.op),
			       m->u.cert.chain.count, shown(m->u.cert.chain.cert[0].len),
			       (const char *)m->u.cert.chain.cert[0].der);
		break;
	case KT_MESSAGE_COMMITTED:
		(void)snprintf(out, cap, "%s op=%llu", name, ULL(m->u.committed.op));
		break;
	case KT_MESSAGE_NOTED:
		(void)snprintf(out, cap, "%s op=%llu of=%s", name, ULL(m->u.noted.op),
			       kt_message_type_name(m->u.noted.of));
		break;
	case KT_MESSAGE_REJECT:
		(void)snprintf(out, cap, "%s reason=%s retry=%lu op=%llu", name,
			       kt_reason_name(m->u.reject.reason),
			       (unsigned long)m->u.reject.retry_s, ULL(m->u.reject.op));
		break;
	case KT_MESSAGE_REVOKED:
		(void)snprintf(out, cap, "%s reason=%s wipe=%d", name,
			       kt_reason_name(m->u.revoked.reason), m->u.revoked.wipe);
		break;
	case KT_MESSAGE_ENROLLED:
		(void)snprintf(out, cap, "%s device=%s op=%llu leaf=%.*s", name, m->device.s,
			       ULL(m->u.enrolled.op), shown(m->u.enrolled.chain.cert[0].len),
			       (const char *)m->u.enrolled.chain.cert[0].der);
		break;
	case KT_MESSAGE_PENDING:
		(void)snprintf(out, cap, "%s retry=%lu", name, (unsigned long)m->u.pending.retry_s);
		break;
	case KT_MESSAGE_CHALLENGE:
		(void)snprintf(out, cap, "%s fill=%u", name, m->u.challenge.nonce.b[0]);
		break;
	case KT_MESSAGE_HELLO:
	case KT_MESSAGE_ANSWER:
	case KT_MESSAGE_CSR:
	case KT_MESSAGE_CONFIRM:
	case KT_MESSAGE_PROMOTED:
	case KT_MESSAGE_FAILED:
	case KT_MESSAGE_ENROLL:
	case KT_MESSAGE_COUNT:
		abort(); /* not the plugin's to say */
	}
}

void fake_seal_all(struct fake *f)
{
	struct kt_job *job;

	while ((job = fake_take_job(f, KT_JOB_SEAL)) != NULL) {
		char text[1024];

		describe(job->message, text, sizeof(text));
		f->last_sealed_sn = job->message->sn;
		job->sealed = strdup(text);
		job->sealed_len = strlen(text);
		job->err = KT_ERR_OK;
		kt_core_job_done(f->core, f->now, job);
	}
}

void fake_issue(struct fake *f, const char *cert)
{
	struct kt_job *job = fake_take_job(f, KT_JOB_ISSUE);

	if (job == NULL)
		abort();
	job->leaf_der = (uint8_t *)strdup(cert);
	job->leaf_len = strlen(cert);
	job->leaf_fp = fake_fingerprint(cert);
	job->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, job);
	settle(f);
}

/* --- clients --- */

enum kt_answer fake_connect(struct fake *f, uintptr_t client, const char *client_id,
			    const char *username, const char *cert)
{
	const struct kt_connect connect = {.client = client,
					   .client_id = client_id,
					   .username = username,
					   .cert = cert == NULL ? (struct kt_bytes){NULL, 0}
								: fake_cert(cert),
					   .address = f->address != NULL ? f->address : "127.0.0.1",
					   .clean_start = true};
	struct kt_connect_answer answer;

	kt_core_connect(f->core, f->now, &connect, &answer);
	settle(f);
	return answer.answer;
}

struct kt_session *fake_session(struct fake *f, uintptr_t client)
{
	return kt_sessions_find(f->core->sessions, client);
}

struct kt_message *fake_message(struct fake *f, uintptr_t client, enum kt_message_type type)
{
	const struct kt_session *session = fake_session(f, client);
	struct kt_message *m = kt_message_new(type);

	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), FLEET_TD);
	if (session->device != NULL)
		m->device = session->device->id;
	if (type == KT_MESSAGE_HELLO || type == KT_MESSAGE_ENROLL)
		m->dn = fleet_nonce((uint8_t)client);
	else
		m->sn = session->sn;
	return m;
}

void fake_raw(struct fake *f, uintptr_t client, const char *text)
{
	kt_core_device_message(f->core, f->now, client,
			       (struct kt_bytes){(const uint8_t *)text, strlen(text)});
	settle(f);
}

static void bind_csr(const struct kt_message *m, struct kt_csr *csr)
{
	const bool is_enroll = m->type == KT_MESSAGE_ENROLL;

	kt_csr_binding(FLEET_TD, m->device.s, is_enroll ? 0 : m->u.csr.op,
		       is_enroll ? &m->dn : &m->u.csr.nonce, csr->challenge_password);
}

void fake_say(struct fake *f, uintptr_t client, struct kt_message *message, const char *key)
{
	struct kt_job *job;

	fake_raw(f, client, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	if (job == NULL) { /* refused before it came to a worker */
		kt_message_free(message);
		return;
	}
	job->message = message;
	if (key != NULL) {
		job->csr.key.alg = KT_ALG_ES256;
		job->csr.key_id = fleet_key(key);
		bind_csr(message, &job->csr);
	}
	job->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, job);
	settle(f);
}

struct kt_session *fake_hello(struct fake *f, uintptr_t client, const char *client_id,
			      const char *cert)
{
	if (fake_connect(f, client, client_id, NULL, cert) != KT_ANSWER_ACCEPT)
		abort();
	fake_say(f, client, fake_message(f, client, KT_MESSAGE_HELLO), NULL);
	fake_forget(f);
	return fake_session(f, client);
}

/* --- questions --- */

const char *fake_sent(const struct fake *f, const char *client_id, const char *type)
{
	for (size_t i = f->published_count; i > 0; i--) {
		const struct fake_publish *p = &f->published[i - 1];

		if (strcmp(p->to, client_id) == 0 && strncmp(p->text, type, strlen(type)) == 0)
			return p->text;
	}
	return NULL;
}

size_t fake_sent_count(const struct fake *f, const char *client_id)
{
	size_t count = 0;

	for (size_t i = 0; i < f->published_count; i++)
		count += strcmp(f->published[i].to, client_id) == 0 ? 1 : 0;
	return count;
}

bool fake_was_kicked(const struct fake *f, const char *client_id)
{
	for (size_t i = 0; i < f->kicked_count; i++) {
		if (strcmp(f->kicked[i], client_id) == 0)
			return true;
	}
	return false;
}

const char *fake_event(const struct fake *f, const char *name)
{
	char topic[KT_TOPIC_MAX];

	(void)snprintf(topic, sizeof(topic), KT_TOPIC_EVENTS_PREFIX "%s", name);
	for (size_t i = f->published_count; i > 0; i--) {
		if (strcmp(f->published[i - 1].topic, topic) == 0)
			return f->published[i - 1].text;
	}
	return NULL;
}
