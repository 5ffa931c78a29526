#include "core_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "json.h"

enum {
	SOON_MS = 2500,	     /* a few ticks: what goes at once is gone */
	SOON_TICKS = 12,     /* and so many of them, however far the clock jumped */
	KICK_LATE_MS = 12000 /* a kick that the broker could not take is made again */
};

#define END "|1600000000|253402300799"

static const char *const device_ids[WORLD_DEVICES] = {"hub-1", "hub-2", "hub-3", "hub-4"};

const char *core_world_device(unsigned i)
{
	return device_ids[i % WORLD_DEVICES];
}

unsigned core_world_add_cert(struct core_world *w, const char *text, bool is_device)
{
	struct world_cert *cert = &w->certs[w->cert_count];

	if (w->cert_count == WORLD_CERTS)
		return WORLD_CERTS - 1;
	(void)snprintf(cert->text, sizeof(cert->text), "%s", text);
	cert->fp = fake_fingerprint(cert->text);
	cert->is_device = is_device;
	return w->cert_count++;
}

/* --- what is durable --- */

static const struct kt_credential *durable_credential(const struct core_world *w,
						      const struct kt_fingerprint *fp)
{
	return kt_registry_find_fingerprint(w->shadow, fp);
}

static bool is_durable(const struct core_world *w, const struct world_note *note)
{
	const struct kt_device *d = kt_registry_find_device(w->shadow, note->device.s);
	const struct kt_credential *c;

	if (note->type == KT_MESSAGE_REJECT || note->type == KT_MESSAGE_PENDING)
		return true;
	if (d == NULL)
		return false;
	switch ((int)note->type) {
	case KT_MESSAGE_ROTATE:
		return d->op >= note->op;
	case KT_MESSAGE_CERT:
	case KT_MESSAGE_ENROLLED:
		return durable_credential(w, &note->fp) != NULL;
	case KT_MESSAGE_COMMITTED:
		c = durable_credential(w, &note->fp);
		return c != NULL && (c->status == KT_CREDENTIAL_CURRENT ||
				     c->status == KT_CREDENTIAL_SUPERSEDED ||
				     c->status == KT_CREDENTIAL_REVOKED);
	case KT_MESSAGE_NOTED:
		return note->of == KT_MESSAGE_PROMOTED ? d->promoted_op >= note->op
						       : d->op >= note->op;
	case KT_MESSAGE_REVOKED:
		return d->state == KT_DEVICE_REVOKED || d->state == KT_DEVICE_DELETED;
	default:
		return true;
	}
}

static bool is_ghost(const struct core_world *w, const struct kt_fingerprint *fp)
{
	for (unsigned i = 0; i < w->ghost_count; i++) {
		if (kt_fingerprint_eq(&w->ghosts[i], fp))
			return true;
	}
	return false;
}

/* `committed` leaves: what it superseded is over, for everybody to see. */
static void note_superseded(struct core_world *w, const char *device)
{
	const struct kt_credential *c;
	size_t cursor = 0;

	while ((c = kt_registry_next_credential(w->shadow, &cursor)) != NULL) {
		if (c->status == KT_CREDENTIAL_SUPERSEDED && strcmp(c->device->id.s, device) == 0 &&
		    !is_ghost(w, &c->fp) && w->ghost_count < WORLD_GHOSTS)
			w->ghosts[w->ghost_count++] = c->fp;
	}
}

/* --- ports --- */

static void take_ticket(struct core_world *w, const char *json)
{
	static const char field[] = "\"ticket\":\""; /* an operator's own words are quoted */
	const char *at = strstr(json, field);
	char text[KT_TICKET_MAX];
	size_t len;

	if (at == NULL)
		return;
	at += strlen(field);
	len = strcspn(at, "\"");
	FUZZ_REQUIRE(len < sizeof(text));
	memcpy(text, at, len);
	text[len] = '\0';
	FUZZ_REQUIRE(kt_ticket_decode(text, &w->tickets[w->ticket_count % WORLD_TICKETS]) ==
		     KT_ERR_OK);
	w->ticket_count++;
}

static void check_json(struct kt_bytes payload)
{
	static const struct kt_json_limits limits = {1 << 20, 16, 100000};
	struct kt_json *json = NULL;

	FUZZ_REQUIRE(kt_json_parse(payload.p, payload.len, &limits, &json) == KT_ERR_OK);
	kt_json_free(json);
}

static void take_reply(struct core_world *w, struct kt_bytes payload)
{
	w->replies++;
	free(w->last_reply);
	w->last_reply = strndup((const char *)payload.p, payload.len);
	FUZZ_REQUIRE(w->last_reply != NULL);
	check_json(payload);
	take_ticket(w, w->last_reply);
}

/* I7, and no message of one connection reaches another one. */
static void take_message(struct core_world *w, const char *client_id, struct kt_bytes payload)
{
	const struct kt_session *session = kt_sessions_by_client_id(w->core->sessions, client_id);
	const struct world_note *note;
	char text[16] = "";

	FUZZ_REQUIRE(payload.len < sizeof(text));
	memcpy(text, payload.p, payload.len);
	note = &w->notes[strtoul(text + 1, NULL, 10) % WORLD_NOTES];
	FUZZ_REQUIRE(session != NULL && kt_nonce_eq(&session->dn, &note->dn));
	FUZZ_REQUIRE(is_durable(w, note));
	if (note->type == KT_MESSAGE_COMMITTED)
		note_superseded(w, note->device.s);
}

static enum kt_err port_publish(void *ctx, const char *client_id, const char *topic,
				struct kt_bytes payload, bool retain)
{
	struct core_world *w = ctx;

	(void)retain;
	FUZZ_REQUIRE(topic != NULL && topic[0] != '\0');
	if (w->publish_fails)
		return KT_ERR_NOMEM;
	if (payload.len > 0 && payload.p[0] == 'M')
		take_message(w, client_id, payload);
	else if (client_id != NULL)
		take_reply(w, payload);
	else if (strncmp(topic, KT_TOPIC_EVENTS_PREFIX, strlen(KT_TOPIC_EVENTS_PREFIX)) == 0)
		check_json(payload);
	return KT_ERR_OK;
}

static enum kt_err port_kick(void *ctx, const char *client_id)
{
	struct core_world *w = ctx;

	if (w->kick_fails || w->kick_count == WORLD_CONNS) {
		w->kick_refused_ms = w->now.mono_ms;
		return KT_ERR_NOMEM;
	}
	(void)snprintf(w->kicks[w->kick_count++], KT_CLIENT_ID_MAX, "%s", client_id);
	return KT_ERR_OK;
}

/* I4: one key, one device; one certificate for an op; a ticket is used once. */
static void check_issue(const struct core_world *w, const struct kt_record *record)
{
	for (size_t i = 0; i < w->record_count; i++) {
		const struct kt_record *r = &w->records[i];
		const bool is_same = strcmp(r->device.s, record->device.s) == 0;

		if (r->kind != KT_RECORD_ISSUE)
			continue;
		FUZZ_REQUIRE(is_same || !kt_key_id_eq(&r->key_id, &record->key_id));
		FUZZ_REQUIRE(!is_same || r->op != record->op);
		FUZZ_REQUIRE(!r->has_ticket || !record->has_ticket ||
			     memcmp(r->ticket_sha256, record->ticket_sha256,
				    sizeof(r->ticket_sha256)) != 0);
	}
}

static enum kt_err port_reserve(void *ctx, const struct kt_record *record)
{
	struct core_world *w = ctx;

	FUZZ_REQUIRE(record->seq == kt_registry_seq(w->registry) + 1);
	if (w->record_count == WORLD_RECORDS)
		return KT_ERR_NOMEM;
	w->reserved_seq = record->seq;
	return KT_ERR_OK;
}

static uint64_t port_head(void *ctx, uint8_t hash[static 32])
{
	const struct core_world *w = ctx;

	memset(hash, 0, 32);
	return w->core->durable_seq;
}

static enum kt_err port_append(void *ctx, const struct kt_record *record,
			       struct kt_registry *registry)
{
	struct core_world *w = ctx;
	struct kt_record *copy;

	FUZZ_REQUIRE(registry == w->registry && record->seq == kt_registry_seq(registry));
	FUZZ_REQUIRE(record->seq == w->reserved_seq);
	if (w->has_failed)
		return KT_ERR_STATE;
	FUZZ_REQUIRE(record->seq == w->fixture_seq + w->record_count + 1);
	if (record->kind == KT_RECORD_ISSUE)
		check_issue(w, record);
	copy = &w->records[w->record_count++];
	*copy = *record;
	copy->storage = NULL;
	if (record->der.len > 0) {
		copy->storage = malloc(record->der.len);
		FUZZ_REQUIRE(copy->storage != NULL);
		memcpy(copy->storage, record->der.p, record->der.len);
		copy->der.p = copy->storage;
	}
	return KT_ERR_OK;
}

static enum kt_err port_submit(void *ctx, struct kt_job *job)
{
	struct core_world *w = ctx;

	if (w->jobs_are_full || w->waiting_count == WORLD_JOBS)
		return KT_ERR_BUSY;
	w->waiting[w->waiting_count++] = job;
	return KT_ERR_OK;
}

static enum kt_err port_entropy(void *ctx, uint8_t *out, size_t len)
{
	struct core_world *w = ctx;

	if (w->entropy_fails)
		return KT_ERR_CRYPTO;
	memset(out, ++w->entropy_next, len);
	if (len > 1)
		out[1] = (uint8_t)w->life;
	return KT_ERR_OK;
}

static void port_log(void *ctx, enum kt_log_level level, const char *line)
{
	const struct core_world *w = ctx;

	(void)level;
	if (w->is_traced)
		(void)fprintf(stderr, "%lld %s\n", (long long)w->now.mono_ms, line);
	FUZZ_REQUIRE(strlen(line) <= KT_LOG_LINE_MAX && strchr(line, '\n') == NULL);
}

/* --- life --- */

enum {
	VARIANT_RECONCILING = 1,
	VARIANT_QUARANTINES = 2,
	VARIANT_OBSERVES = 4,
	VARIANT_KEY_AGE = 8,
	VARIANT_CRL = 16
};

static void set_config(struct kt_config *config, unsigned variant)
{
	const enum kt_policy policy =
		(variant & VARIANT_QUARANTINES) != 0 ? KT_POLICY_QUARANTINE : KT_POLICY_REPORT;

	(void)snprintf(config->trust_domain, sizeof(config->trust_domain), FLEET_TD);
	(void)snprintf(config->broker_address, sizeof(config->broker_address), "broker:8883");
	config->claim_without_certificate = true;
	config->acl = (struct kt_site_acl){.rules = {{KT_ACL_READWRITE, "devices/%d/#"}},
					   .rule_count = 1,
					   .device = KT_FALLBACK_DENY,
					   .other = KT_FALLBACK_DEFER};
	config->hello_timeout_ms = 30000;
	config->claim_idle_ms = 60000;
	config->superseded_drain_ms = 30000;
	config->challenge_timeout_ms = 60000;
	config->promote_overdue_ms = 600000;
	config->op_deadline_ms = INT64_C(86400000);
	config->pending_give_up_ms = INT64_C(7) * 86400000;
	config->crl_validity_ms = INT64_C(7) * 86400000;
	config->enroll_retry_s = 30;
	config->message_rate = 50;
	config->message_burst = 100;
	config->clone_second_key = policy;
	config->clone_contended = policy;
	config->clone_old_answer = policy;
	config->clone_op_range = policy;
	config->challenge_silence = policy;
	if ((variant & VARIANT_OBSERVES) != 0)
		config->enforce = KT_ENFORCE_OBSERVE;
	if ((variant & VARIANT_KEY_AGE) != 0) {
		config->max_key_age_ms = INT64_C(3600000);
		config->challenge_every_ms = 120000;
		config->certificate_lifetime_ms = INT64_C(86400000);
	}
	if ((variant & VARIANT_CRL) != 0)
		(void)snprintf(config->crl_file, sizeof(config->crl_file), "/crl.pem");
	config->head_every_ms = (variant & VARIANT_CRL) != 0 ? 60000 : 0;
}

static void add_operator(struct core_world *w, const char *name, enum kt_role role)
{
	struct kt_operator *op = &w->config.operators[w->config.operator_count++];
	char text[WORLD_CERT_TEXT];

	*op = (struct kt_operator){.kind = KT_OPERATOR_CERT, .role = role};
	(void)snprintf(op->name, sizeof(op->name), "spiffe://" FLEET_TD "/operator/%s", name);
	(void)snprintf(text, sizeof(text), "%s" END, op->name);
	op->fp = fake_fingerprint(text);
	(void)core_world_add_cert(w, text, false);
}

/* What is there before the first event, always the same for a variant. */
static struct kt_registry *make_registry(unsigned variant)
{
	struct kt_registry *registry = NULL;
	struct kt_record record;

	FUZZ_REQUIRE(kt_registry_new(&registry) == KT_ERR_OK);
	if ((variant & VARIANT_CRL) != 0)
		kt_registry_keep_endings(registry);
	record = fleet_record(registry, KT_RECORD_LEDGER_BEGIN, NULL);
	(void)snprintf(record.trust_domain, sizeof(record.trust_domain), FLEET_TD);
	fleet_apply(registry, &record);
	for (unsigned i = 0; i + 1 < WORLD_DEVICES; i++) {
		char text[WORLD_CERT_TEXT];

		(void)snprintf(text, sizeof(text), "spiffe://" FLEET_TD "/device/%s" END "|g1",
			       device_ids[i]);
		(void)fleet_active(registry, device_ids[i], i == 0 ? "west" : "", text);
	}
	fleet_open(registry, device_ids[1], 2);
	if ((variant & VARIANT_RECONCILING) != 0) {
		record = fleet_record(registry, KT_RECORD_RESTORE, NULL);
		fleet_apply(registry, &record);
	}
	return registry;
}

static void add_certs(struct core_world *w)
{
	add_operator(w, "root", KT_ROLE_ADMIN);
	add_operator(w, "vera", KT_ROLE_VIEWER);
	add_operator(w, "rob", KT_ROLE_ROTATOR);
	(void)core_world_add_cert(w, WORLD_CAROL, false);
	(void)core_world_add_cert(w, "spiffe://" FLEET_TD "/claim/batch-7" END, false);
	(void)core_world_add_cert(w, "spiffe://" FLEET_TD "/controller/7" END, false);
	(void)core_world_add_cert(w, "urn:plant:1|1600000000|1900000000|es256 cn=hub-4", false);
	for (unsigned i = 0; i < WORLD_DEVICES; i++) {
		char text[WORLD_CERT_TEXT];

		(void)snprintf(text, sizeof(text), "spiffe://" FLEET_TD "/device/%s" END "|g1",
			       device_ids[i]);
		(void)core_world_add_cert(w, text, true);
		(void)snprintf(text, sizeof(text), "spiffe://" FLEET_TD "/device/%s" END "|g9",
			       device_ids[i]);
		(void)core_world_add_cert(w, text, true);
	}
}

static void start(struct core_world *w)
{
	const struct kt_core_setup setup = {.config = &w->config,
					    .ports = &w->ports,
					    .registry = w->registry,
					    .durable_seq = kt_registry_seq(w->registry),
					    .issuer_cert_der = fake_cert("issuer")};

	w->has_failed = false;
	w->told_failed = false;
	FUZZ_REQUIRE(kt_core_new(&setup, w->now, &w->core) == KT_ERR_OK);
}

struct core_world *core_world_new(unsigned variant)
{
	struct core_world *w = calloc(1, sizeof(*w));

	FUZZ_REQUIRE(w != NULL);
	w->variant = variant;
	w->is_traced = getenv("KT_FUZZ_TRACE") != NULL;
	w->broker = (struct kt_broker){w, port_publish, port_kick};
	w->journal = (struct kt_journal){w, port_reserve, port_append, port_head};
	w->jobs = (struct kt_jobs){w, port_submit};
	w->entropy = (struct kt_entropy){w, port_entropy};
	kt_log_init(&w->log, port_log, w, KT_LOG_DEBUG);
	w->ports = (struct kt_ports){&w->broker, &w->journal, &w->jobs, &w->entropy, &w->log};
	w->now = (struct kt_now){INT64_C(1000000) * (FLEET_TIME_S + 10), 10000};
	w->kick_refused_ms = -KICK_LATE_MS;
	set_config(&w->config, variant);
	add_certs(w);
	w->registry = make_registry(variant);
	w->shadow = make_registry(variant);
	w->fixture_seq = kt_registry_seq(w->registry);
	start(w);
	return w;
}

static void drop_records(struct core_world *w, size_t left)
{
	while (w->record_count > left)
		free(w->records[--w->record_count].storage);
}

static void stop(struct core_world *w)
{
	while (w->waiting_count > 0)
		kt_job_free(w->waiting[--w->waiting_count]);
	kt_core_free(w->core);
	kt_registry_free(w->registry);
	memset(w->conns, 0, sizeof(w->conns));
	w->kick_count = 0;
}

void core_world_free(struct core_world *w)
{
	stop(w);
	kt_registry_free(w->shadow);
	drop_records(w, 0);
	free(w->last_reply);
	free(w);
}

static void fold(struct core_world *w, size_t count)
{
	for (; count > 0 && w->durable_count < w->record_count; count--)
		FUZZ_REQUIRE(kt_registry_apply(w->shadow, &w->records[w->durable_count++]) ==
			     KT_ERR_OK);
}

/* --- the broker --- */

static void after(struct core_world *w)
{
	for (unsigned k = 0; k < w->kick_count; k++) {
		for (unsigned i = 0; i < WORLD_CONNS; i++) {
			if (w->conns[i].is_used && strcmp(w->conns[i].client_id, w->kicks[k]) == 0)
				core_world_disconnect(w, i);
		}
	}
	w->kick_count = 0;
	core_world_check(w);
}

static struct kt_connect connect_of(const struct core_world *w, unsigned slot)
{
	const struct world_conn *conn = &w->conns[slot];

	return (struct kt_connect){.client = slot + 1,
				   .client_id = conn->client_id,
				   .cert = conn->cert < WORLD_CERTS
						   ? fake_cert(w->certs[conn->cert].text)
						   : (struct kt_bytes){NULL, 0},
				   .address = conn->address,
				   .clean_start = true};
}

/* What the door says to @connect by @registry, of which @durable_seq is on the disk. */
static enum kt_answer verdict(const struct core_world *w, const struct kt_registry *registry,
			      uint64_t durable_seq, const struct kt_connect *connect)
{
	const struct kt_access access = {.config = &w->config,
					 .acl = &w->core->acl,
					 .registry = registry,
					 .durable_seq = durable_seq,
					 .now = w->now,
					 .issuer_cert_der = fake_cert("issuer")};
	struct kt_admission admission;

	kt_access_connect(&access, connect, &admission);
	return admission.answer;
}

/* I8: the credential of a trial opens nothing else, until its commit is on the disk. */
static void check_other_names(const struct core_world *w, const struct kt_connect *connect,
			      const char *device)
{
	static const char *const tags[] = {"", ":agent", ":app"};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct kt_connect other = *connect;
		char name[KT_CLIENT_ID_MAX];

		(void)snprintf(name, sizeof(name), "%s%s", device, tags[i]);
		other.client_id = name;
		FUZZ_REQUIRE(verdict(w, w->registry, kt_registry_seq(w->shadow), &other) !=
			     KT_ANSWER_ACCEPT);
	}
}

static void check_answer(const struct core_world *w, const struct kt_connect *connect,
			 const struct world_conn *conn, enum kt_answer answer)
{
	const struct world_cert *cert;
	const struct kt_credential *c;

	if (conn->cert >= WORLD_CERTS || !w->certs[conn->cert].is_device ||
	    w->config.enforce != KT_ENFORCE_ON)
		return;
	cert = &w->certs[conn->cert];
	if (answer != KT_ANSWER_NO_ANSWER)
		FUZZ_REQUIRE((verdict(w, w->shadow, UINT64_MAX, connect) == KT_ANSWER_ACCEPT) ==
			     (answer == KT_ANSWER_ACCEPT));
	if (answer != KT_ANSWER_ACCEPT)
		return;
	FUZZ_REQUIRE(!is_ghost(w, &cert->fp));
	c = durable_credential(w, &cert->fp);
	FUZZ_REQUIRE(c != NULL);
	FUZZ_REQUIRE(c->status == KT_CREDENTIAL_CURRENT || c->status == KT_CREDENTIAL_PENDING);
	FUZZ_REQUIRE(c->device->state == KT_DEVICE_ACTIVE || c->status == KT_CREDENTIAL_PENDING);
	if (c->status == KT_CREDENTIAL_PENDING)
		check_other_names(w, connect, c->device->id.s);
}

static void drop_others(struct core_world *w, unsigned slot)
{
	for (unsigned i = 0; i < WORLD_CONNS; i++) {
		if (i != slot && w->conns[i].is_used &&
		    strcmp(w->conns[i].client_id, w->conns[slot].client_id) == 0)
			core_world_disconnect(w, i);
	}
}

enum kt_answer core_world_connect(struct core_world *w, unsigned slot, unsigned cert,
				  const char *client_id, const char *username)
{
	static const char *const addresses[] = {"192.0.2.1", "192.0.2.2", NULL};
	struct world_conn *conn = &w->conns[slot];
	struct kt_connect_answer answer;
	struct kt_connect connect;

	if (conn->is_used)
		core_world_disconnect(w, slot);
	memset(conn, 0, sizeof(*conn));
	conn->cert = cert;
	conn->address = addresses[slot % 3];
	(void)snprintf(conn->client_id, sizeof(conn->client_id), "%s", client_id);
	connect = connect_of(w, slot);
	connect.username = username;
	kt_core_connect(w->core, w->now, &connect, &answer);
	check_answer(w, &connect, conn, answer.answer);
	conn->is_used = answer.answer == KT_ANSWER_ACCEPT || answer.answer == KT_ANSWER_DEFER;
	conn->is_deferred = answer.answer == KT_ANSWER_DEFER;
	if (conn->is_used)
		drop_others(w, slot);
	after(w);
	return answer.answer;
}

void core_world_disconnect(struct core_world *w, unsigned slot)
{
	if (!w->conns[slot].is_used)
		return;
	w->conns[slot].is_used = false;
	kt_core_disconnect(w->core, w->now, slot + 1);
}

void core_world_say(struct core_world *w, unsigned slot, struct kt_bytes text)
{
	kt_core_device_message(w->core, w->now, slot + 1, text);
	after(w);
}

void core_world_control(struct core_world *w, unsigned slot, struct kt_bytes text)
{
	kt_core_control(w->core, w->now, slot + 1, text);
	after(w);
}

void core_world_durable(struct core_world *w, size_t count)
{
	if (w->has_failed)
		count = 0;
	fold(w, count);
	w->told_failed = w->has_failed;
	kt_core_durable(w->core, w->now, w->fixture_seq + w->durable_count, w->has_failed);
	after(w);
}

void core_world_ledger_fails(struct core_world *w)
{
	w->has_failed = true;
}

void core_world_tick(struct core_world *w, int64_t ms)
{
	w->now.mono_ms += ms;
	w->now.wall_us += ms * 1000;
	kt_core_tick(w->core, w->now);
	for (unsigned i = 0; i < WORLD_CONNS; i++)
		w->conns[i].out_ticks += w->conns[i].out_ms > 0 ? 1 : 0;
	after(w);
}

/* SIGHUP: everybody is asked for again, and stays. */
void core_world_reload(struct core_world *w)
{
	kt_core_reload(w->core, w->now);
	for (unsigned i = 0; i < WORLD_CONNS; i++) {
		struct kt_connect connect = connect_of(w, i);
		struct kt_connect_answer answer;

		if (!w->conns[i].is_used)
			continue;
		kt_core_connect(w->core, w->now, &connect, &answer);
		FUZZ_REQUIRE(answer.answer == KT_ANSWER_ACCEPT || w->conns[i].is_deferred);
		if (answer.answer != KT_ANSWER_ACCEPT && answer.answer != KT_ANSWER_DEFER)
			core_world_disconnect(w, i);
	}
	core_world_tick(w, 100);
}

void core_world_restart(struct core_world *w, size_t kept)
{
	stop(w);
	fold(w, kept);
	drop_records(w, w->durable_count);
	w->registry = make_registry(w->variant);
	for (size_t i = 0; i < w->record_count; i++)
		FUZZ_REQUIRE(kt_registry_apply(w->registry, &w->records[i]) == KT_ERR_OK);
	w->life++;
	start(w);
}

/* --- workers --- */

struct kt_job *core_world_take_job(struct core_world *w, unsigned index)
{
	struct kt_job *job;

	if (w->waiting_count == 0)
		return NULL;
	index %= w->waiting_count;
	job = w->waiting[index];
	w->waiting_count--;
	memmove(&w->waiting[index], &w->waiting[index + 1],
		(w->waiting_count - index) * sizeof(w->waiting[0]));
	return job;
}

void core_world_job_done(struct core_world *w, struct kt_job *job)
{
	kt_core_job_done(w->core, w->now, job);
	after(w);
}

static struct world_note note_of(const struct kt_message *m)
{
	struct world_note note = {.type = m->type, .device = m->device, .dn = m->dn};
	const struct kt_chain *chain = NULL;

	switch ((int)m->type) {
	case KT_MESSAGE_ROTATE:
		note.op = m->u.rotate.op;
		break;
	case KT_MESSAGE_CERT:
		chain = &m->u.cert.chain;
		break;
	case KT_MESSAGE_ENROLLED:
		chain = &m->u.enrolled.chain;
		break;
	case KT_MESSAGE_COMMITTED:
		note.op = m->u.committed.op;
		note.fp = m->u.committed.fp;
		break;
	case KT_MESSAGE_NOTED:
		note.op = m->u.noted.op;
		note.of = m->u.noted.of;
		break;
	default:
		break;
	}
	if (chain != NULL)
		note.fp = kt_fingerprint_of(chain->cert[0].der, chain->cert[0].len);
	return note;
}

static void seal(struct core_world *w, struct kt_job *job)
{
	const unsigned n = w->note_count++ % WORLD_NOTES;
	char text[16];

	if (w->is_traced)
		(void)fprintf(stderr, "    seal %s op %llu\n",
			      kt_message_type_name(job->message->type),
			      (unsigned long long)note_of(job->message).op);

	w->notes[n] = note_of(job->message);
	(void)snprintf(text, sizeof(text), "M%u", n);
	job->sealed = strdup(text);
	FUZZ_REQUIRE(job->sealed != NULL);
	job->sealed_len = strlen(text);
}

/* Within one life of the plugin no op is signed for two keys. */
static void check_signature(struct core_world *w, const struct kt_job *job)
{
	for (unsigned i = 0; i < w->signed_count && i < WORLD_SIGNED; i++) {
		const struct world_signed *s = &w->signatures[i];

		FUZZ_REQUIRE(s->life != w->life || s->op != job->op ||
			     strcmp(s->device.s, job->device.s) != 0 ||
			     kt_key_id_eq(&s->key_id, &job->key_id));
	}
	w->signatures[w->signed_count++ % WORLD_SIGNED] = (struct world_signed){
		.device = job->device, .op = job->op, .key_id = job->key_id, .life = w->life};
}

static void issue(struct core_world *w, struct kt_job *job)
{
	char text[WORLD_CERT_TEXT];

	check_signature(w, job);
	(void)snprintf(text, sizeof(text),
		       "spiffe://" FLEET_TD "/device/%.63s|1600000000|%lld|g%u %u", job->device.s,
		       (long long)job->not_after_s, job->generation, w->signed_count);
	(void)core_world_add_cert(w, text, true);
	job->leaf_der = (uint8_t *)strdup(text);
	FUZZ_REQUIRE(job->leaf_der != NULL);
	job->leaf_len = strlen(text);
	job->leaf_fp = fake_fingerprint(text);
}

void core_world_do_job(struct core_world *w, struct kt_job *job, bool fails)
{
	job->err = fails ? KT_ERR_CRYPTO : KT_ERR_OK;
	if (!fails && job->kind == KT_JOB_SEAL)
		seal(w, job);
	else if (!fails && job->kind == KT_JOB_ISSUE)
		issue(w, job);
	else if (fails && (job->kind == KT_JOB_CRL || job->kind == KT_JOB_HEAD))
		(void)snprintf(job->file_why, sizeof(job->file_why), "disk");
	core_world_job_done(w, job);
}

/* --- topics --- */

static void check_right(const struct core_world *w, const struct world_conn *conn,
			const struct kt_session *session, const char *topic)
{
	const bool is_site = strncmp(topic, "devices/", 8) == 0;
	const struct kt_device *d = session == NULL ? NULL : session->device;
	char own[KT_TOPIC_MAX];

	if (conn->is_deferred || w->config.enforce != KT_ENFORCE_ON)
		return;
	if (!is_site) { /* the operators' topics */
		FUZZ_REQUIRE(session != NULL && session->kind == KT_SESSION_OPERATOR);
		return;
	}
	FUZZ_REQUIRE(d != NULL && session->credential != NULL);
	FUZZ_REQUIRE(session->credential->status == KT_CREDENTIAL_CURRENT ||
		     (session->kind == KT_SESSION_DEVICE &&
		      session->credential->status == KT_CREDENTIAL_SUPERSEDED));
	FUZZ_REQUIRE(d->state == KT_DEVICE_ACTIVE && !d->quarantined && !d->adopted);
	(void)snprintf(own, sizeof(own), "devices/%s/", d->id.s);
	FUZZ_REQUIRE(strncmp(topic, own, strlen(own)) == 0);
}

enum kt_right core_world_acl(struct core_world *w, unsigned slot, enum kt_acl_action action,
			     const char *topic)
{
	const struct world_conn *conn = &w->conns[slot];
	const struct kt_acl_event event = {
		.client = slot + 1, .client_id = conn->client_id, .action = action, .topic = topic};
	enum kt_right right;

	if (!conn->is_used)
		return KT_RIGHT_DENY;
	right = kt_core_acl(w->core, w->now, &event);
	if (right == KT_RIGHT_ALLOW && action != KT_ACL_DO_UNSUBSCRIBE)
		check_right(w, conn, kt_sessions_find(w->core->sessions, slot + 1), topic);
	after(w);
	return right;
}

/* --- nobody lives on who is out --- */

static bool is_out(const struct core_world *w, const struct world_conn *conn)
{
	const struct kt_credential *c;

	if (!conn->is_used || conn->is_deferred || conn->cert >= WORLD_CERTS ||
	    w->config.enforce != KT_ENFORCE_ON)
		return false;
	c = durable_credential(w, &w->certs[conn->cert].fp);
	if (c == NULL)
		return false;
	if (c->device->state == KT_DEVICE_DELETED || c->status == KT_CREDENTIAL_REVOKED)
		return true;
	/* its own programs drain; the agent's sessions go at once */
	return is_ghost(w, &c->fp) && (strstr(conn->client_id, ":agent") != NULL ||
				       strstr(conn->client_id, ":trial") != NULL);
}

void core_world_check(struct core_world *w)
{
	for (unsigned i = 0; i < WORLD_CONNS; i++) {
		struct world_conn *conn = &w->conns[i];

		if (!is_out(w, conn)) {
			conn->out_ms = 0;
			conn->out_ticks = 0;
		} else if (conn->out_ms == 0) {
			conn->out_ms = w->now.mono_ms;
		} else if (w->now.mono_ms - w->kick_refused_ms > KICK_LATE_MS &&
			   conn->out_ticks > SOON_TICKS) {
			FUZZ_REQUIRE(w->now.mono_ms - conn->out_ms <= SOON_MS);
		}
	}
}
