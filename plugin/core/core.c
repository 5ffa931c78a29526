#include <stdlib.h>
#include <string.h>

#include "campaign.h"
#include "clone.h"
#include "encoding.h"
#include "issues.h"
#include "limit.h"
#include "outbox.h"

static void enter(struct kt_core *core, struct kt_now now)
{
	core->now = now;
	core->ports.log->now_ms = now.mono_ms;
}

enum kt_err kt_core_new(const struct kt_core_setup *setup, struct kt_now now, struct kt_core **out)
{
	struct kt_core *core = calloc(1, sizeof(*core));
	enum kt_err err = KT_ERR_NOMEM;

	*out = NULL;
	if (core == NULL)
		goto out;
	core->config = setup->config;
	core->acl = setup->config->acl;
	if (setup->policies != NULL)
		core->policies = *setup->policies;
	core->ports = *setup->ports;
	core->registry = setup->registry;
	core->durable_seq = setup->durable_seq;
	core->issuer_cert_der = setup->issuer_cert_der;
	memcpy(core->root_sha256, setup->root_sha256, sizeof(core->root_sha256));
	core->devices_sweep.before_us = kt_registry_time_us(core->registry);
	core->devices_sweep.start_us = core->devices_sweep.before_us;
	err = kt_sessions_new(&core->sessions);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_outbox_new(&core->outbox);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_claims_new(&core->claims);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_issues_new(&core->issues);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_limits_new(&core->messages);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_limits_new(&core->alarms);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_crl_new(&setup->last_crl, &core->crl);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_heads_new(now, &core->heads);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_metrics_new(&core->metrics);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_batches_new(&core->batches);
	if (err != KT_ERR_OK)
		goto out;
	core->alarms_due_ms = now.mono_ms + KT_LOG_WINDOW_MS;
	enter(core, now);
	kt_core_watch_clock(core);
	kt_adoption_tell_start(core);
	*out = core;
	core = NULL; /* moved */
out:
	kt_core_free(core);
	return err;
}

void kt_core_free(struct kt_core *core)
{
	if (core == NULL)
		return;
	kt_batches_free(core->batches);
	kt_metrics_free(core->metrics);
	kt_heads_free(core->heads);
	kt_crl_free(core->crl);
	kt_limits_free(core->alarms);
	kt_limits_free(core->messages);
	kt_issues_free(core->issues);
	kt_claims_free(core->claims);
	kt_outbox_free(core->outbox);
	kt_sessions_free(core->sessions);
	free(core);
}

uint64_t kt_core_count(const struct kt_core *core, enum kt_reason reason)
{
	return (unsigned)reason < KT_REASON_COUNT ? core->refusals[reason] : 0;
}

/* --- connect --- */

static struct kt_access access_of(const struct kt_core *core, struct kt_now now)
{
	return (struct kt_access){.config = core->config,
				  .acl = &core->acl,
				  .policies = &core->policies,
				  .registry = core->registry,
				  .durable_seq = core->durable_seq,
				  .now = now,
				  .issuer_cert_der = core->issuer_cert_der};
}

static void hex_of(const struct kt_fingerprint *fp, char out[static 65])
{
	if (kt_hex_encode(fp->b, sizeof(fp->b), out, 65) != KT_ERR_OK)
		out[0] = '\0';
}

static void tell_of_client(struct kt_core *core, enum kt_event event, enum kt_reason reason,
			   const struct kt_connect *connect, const struct kt_admission *admission)
{
	char fp[65];
	const struct kt_field fields[] = {
		{"client", connect->client_id},
		{"user", connect->username},
		{"address", connect->address},
		{"device", admission->device == NULL ? NULL : admission->device->id.s},
		{"fp", connect->cert.len == 0 ? NULL : fp}};
	const size_t count = sizeof(fields) / sizeof(fields[0]);

	hex_of(&admission->fp, fp);
	if (event == KT_EVENT_CLIENT_WOULD_REFUSE)
		kt_core_would_refuse(core, event, reason, fields, count);
	else
		kt_core_refused(core, event, reason, fields, count);
}

static void refuse_client(struct kt_core *core, const struct kt_connect *connect,
			  const struct kt_admission *admission)
{
	tell_of_client(core, KT_EVENT_CLIENT_REFUSED, admission->reason, connect, admission);
	if (admission->credential != NULL || admission->left_behind != NULL)
		kt_clone_on_refused(core, admission);
}

/* The certificate's bytes stay only with those whose messages it verifies. */
static bool keep_cert(struct kt_session *session, struct kt_bytes cert)
{
	if (session->kind != KT_SESSION_AGENT && session->kind != KT_SESSION_TRIAL)
		return true;
	session->cert_der = malloc(cert.len);
	if (session->cert_der == NULL)
		return false;
	memcpy(session->cert_der, cert.p, cert.len);
	session->cert_der_len = cert.len;
	return true;
}

/* A device of that name may be created while he is in session. */
static void keep_username(struct kt_session *session, const char *username)
{
	if (session->kind == KT_SESSION_OTHER && username != NULL &&
	    strnlen(username, sizeof(session->username)) < sizeof(session->username))
		memcpy(session->username, username, strlen(username) + 1);
}

static bool start_session(struct kt_core *core, const struct kt_connect *connect,
			  const struct kt_admission *admission)
{
	struct kt_session *old = kt_sessions_by_client_id(core->sessions, connect->client_id);
	struct kt_session *session;

	if (kt_sessions_add(core->sessions, connect->client, connect->client_id, &session) !=
	    KT_ERR_OK)
		return false;
	session->kind = admission->kind;
	session->deferred = admission->answer == KT_ANSWER_DEFER;
	session->fp = admission->fp;
	session->role = admission->role;
	session->operator_entry = admission->operator_entry;
	if (admission->operator_entry != NULL)
		session->operator_seq = admission->operator_entry->changed_seq;
	session->credential = admission->credential;
	session->not_after_s = admission->not_after_s;
	session->started_ms = core->now.mono_ms;
	session->last_message_ms = core->now.mono_ms;
	memcpy(session->actor, admission->actor, sizeof(session->actor));
	keep_username(session, connect->username);
	if (connect->address != NULL)
		memcpy(session->address, connect->address,
		       strnlen(connect->address, sizeof(session->address) - 1));
	if (!keep_cert(session, connect->cert)) {
		kt_sessions_mark_gone(core->sessions, connect->client);
		return false;
	}
	if (admission->device != NULL)
		kt_sessions_set_device(core->sessions, session, admission->device);
	kt_challenge_plan(core, session);
	if (admission->answer != KT_ANSWER_ACCEPT)
		return true;
	if (old != NULL && old->client != connect->client)
		kt_clone_on_takeover(core, session, old);
	kt_sessions_take_over(core->sessions, session);
	return true;
}

static void log_start(struct kt_core *core, const struct kt_connect *connect,
		      const struct kt_admission *admission)
{
	char fp[65];
	const struct kt_field fields[] = {{"client", connect->client_id},
					  {"actor", admission->actor},
					  {"address", connect->address},
					  {"fp", connect->cert.len == 0 ? NULL : fp},
					  {"rotate_only", admission->rotate_only ? "yes" : NULL}};

	if (admission->device != NULL &&
	    !kt_core_is_worth_a_line(core, KT_EVENT_SESSION_STARTED, admission->device))
		return;
	hex_of(&admission->fp, fp);
	(void)kt_log_event(core->ports.log,
			   admission->kind == KT_SESSION_CLAIM ? KT_EVENT_CLAIM_STARTED
							       : KT_EVENT_SESSION_STARTED,
			   fields, sizeof(fields) / sizeof(fields[0]));
}

/*
 * During SIGHUP the broker asks again for everyone, the offline included, who show no certificate.
 * Nobody is thrown out by that, and nobody gains; what must go is kicked from the next tick on.
 */
static void connect_again(struct kt_core *core, const struct kt_connect *connect,
			  struct kt_connect_answer *out)
{
	const struct kt_session *session = kt_sessions_find(core->sessions, connect->client);
	bool is_deferred = session != NULL && !session->gone && session->deferred;

	out->answer = is_deferred ? KT_ANSWER_DEFER : KT_ANSWER_ACCEPT;
}

bool kt_core_is_reloading(const struct kt_core *core)
{
	return core->reloading;
}

void kt_core_connect(struct kt_core *core, struct kt_now now, const struct kt_connect *connect,
		     struct kt_connect_answer *out)
{
	const struct kt_access access = access_of(core, now);
	struct kt_admission admission;

	enter(core, now);
	memset(out, 0, sizeof(*out));
	if (core->reloading) {
		connect_again(core, connect, out);
		return;
	}
	kt_access_connect(&access, connect, &admission);
	if (admission.adoption.generation != 0)
		kt_adoption_take(core, &admission);
	out->answer = admission.answer;
	if (admission.answer != KT_ANSWER_ACCEPT && admission.answer != KT_ANSWER_DEFER) {
		refuse_client(core, connect, &admission);
		return;
	}
	if (!start_session(core, connect, &admission)) {
		out->answer = KT_ANSWER_NO_ANSWER;
		admission.reason = KT_REASON_BUSY;
		refuse_client(core, connect, &admission);
		return;
	}
	if (admission.would != KT_REASON_NONE)
		tell_of_client(core, KT_EVENT_CLIENT_WOULD_REFUSE, admission.would, connect,
			       &admission);
	if (admission.answer == KT_ANSWER_DEFER)
		return;
	memcpy(out->username, admission.username, sizeof(out->username));
	log_start(core, connect, &admission);
}

void kt_core_extended_auth(struct kt_core *core, struct kt_now now, const char *client_id,
			   const char *address)
{
	const struct kt_field fields[] = {{"client", client_id}, {"address", address}};

	enter(core, now);
	kt_core_refused(core, KT_EVENT_CLIENT_REFUSED, KT_REASON_AUTH_METHOD, fields, 2);
}

/* A listener's setting may pass BASIC_AUTH by; the ACL denies such a client, but it holds an id. */
void kt_core_connected(struct kt_core *core, struct kt_now now, uintptr_t client,
		       const char *client_id, const char *address)
{
	const struct kt_session *session = kt_sessions_find(core->sessions, client);
	const struct kt_field fields[] = {{"client", client_id}, {"address", address}};

	enter(core, now);
	if ((session != NULL && !session->gone) || client_id == NULL)
		return;
	if (core->config->enforce == KT_ENFORCE_OBSERVE) {
		kt_core_would_refuse(core, KT_EVENT_CLIENT_WOULD_REFUSE, KT_REASON_NOT_ASKED,
				     fields, 2);
		return;
	}
	kt_core_refused(core, KT_EVENT_CLIENT_REFUSED, KT_REASON_NOT_ASKED, fields, 2);
	/* no memory: its topics stay denied */
	(void)core->ports.broker->kick(core->ports.broker->ctx, client_id);
}

/* --- the other events --- */

enum kt_right kt_core_acl(struct kt_core *core, struct kt_now now, const struct kt_acl_event *event)
{
	const struct kt_access access = access_of(core, now);
	struct kt_acl_question question = {.session =
						   kt_sessions_find(core->sessions, event->client),
					   .client_id = event->client_id,
					   .username = event->username,
					   .action = event->action,
					   .topic = event->topic};
	const struct kt_field fields[] = {{"client", event->client_id}, {"topic", event->topic}};
	enum kt_reason reason;
	enum kt_right right;

	enter(core, now);
	if (question.session == NULL && event->cert_now != NULL)
		question.has_cert_now = event->cert_now(event->cert_now_ctx);
	right = kt_access_acl(&access, &question, &reason);
	if (right == KT_RIGHT_DENY)
		kt_core_refused(core, KT_EVENT_ACCESS_DENIED, reason, fields, 2);
	else if (reason != KT_REASON_NONE)
		kt_core_would_refuse(core, KT_EVENT_ACCESS_WOULD_DENY, reason, fields, 2);
	return right;
}

void kt_core_control(struct kt_core *core, struct kt_now now, uintptr_t client,
		     struct kt_bytes payload)
{
	struct kt_session *session = kt_sessions_find(core->sessions, client);
	const struct kt_field fields[] = {{"client", session == NULL ? NULL : session->client_id}};

	enter(core, now);
	if (session == NULL || session->gone || kt_session_role(session) == KT_ROLE_NONE)
		kt_core_refused(core, KT_EVENT_COMMAND_REFUSED, KT_REASON_DENIED, fields, 1);
	else
		kt_control_batch(core, session, payload);
}

void kt_core_disconnect(struct kt_core *core, struct kt_now now, uintptr_t client)
{
	enter(core, now);
	kt_sessions_mark_gone(core->sessions, client);
}

void kt_core_reload(struct kt_core *core, struct kt_now now)
{
	enter(core, now);
	core->reloading = true;
	(void)kt_log_event(core->ports.log, KT_EVENT_PLUGIN_RELOADED, NULL, 0);
}

static bool is_same_rules(const struct kt_site_acl *a, const struct kt_site_acl *b)
{
	if (a->rule_count != b->rule_count)
		return false;
	for (size_t i = 0; i < a->rule_count; i++) {
		if (a->rules[i].access != b->rules[i].access ||
		    strcmp(a->rules[i].pattern, b->rules[i].pattern) != 0)
			return false;
	}
	return true;
}

void kt_core_set_acl(struct kt_core *core, struct kt_now now, const struct kt_site_acl *acl)
{
	char lines[KT_U64_DIGITS_MAX + 1];
	const bool is_changed = !is_same_rules(&core->acl, acl) ||
				core->acl.device != acl->device || core->acl.other != acl->other;
	const struct kt_field fields[] = {
		{"changed", is_changed ? "yes" : "no"},
		{"acl_lines", lines},
		{"device_acl", acl->device == KT_FALLBACK_DEFER ? "defer" : "deny"},
		{"other_acl", acl->other == KT_FALLBACK_ALLOW ? "allow" : "defer"}};

	enter(core, now);
	core->acl = *acl;
	kt_u64_encode(acl->rule_count, lines);
	(void)kt_log_event(core->ports.log, KT_EVENT_CONFIG_RELOADED, fields,
			   sizeof(fields) / sizeof(fields[0]));
}

void kt_core_set_policies(struct kt_core *core, struct kt_now now,
			  const struct kt_policies *policies)
{
	char groups[KT_U64_DIGITS_MAX + 1];
	const bool is_changed = !kt_policies_are_same(&core->policies, policies);
	const struct kt_field fields[] = {{"changed", is_changed ? "yes" : "no"},
					  {"groups", groups}};

	enter(core, now);
	core->policies = *policies;
	kt_u64_encode(policies->count > 0 ? policies->count - 1 : 0, groups);
	(void)kt_log_event(core->ports.log, KT_EVENT_POLICIES_RELOADED, fields, 2);
}

struct kt_group_policy kt_core_policy(const struct kt_core *core, const struct kt_device *device)
{
	return kt_policies_for(&core->policies, core->config, device->group);
}

bool kt_core_may_order(struct kt_core *core)
{
	const unsigned a_minute = core->policies.rotations_per_minute;
	const struct kt_rate rate = {.per_1000s = a_minute * 50 / 3,
				     .burst = a_minute < 60 ? 1 : a_minute / 60};

	return a_minute == 0 || kt_bucket_take(&core->rotations, rate, core->now.mono_ms);
}

void kt_core_job_done(struct kt_core *core, struct kt_now now, struct kt_job *job)
{
	enter(core, now);
	switch (job->kind) {
	case KT_JOB_OPEN:
		kt_core_opened(core, job);
		break;
	case KT_JOB_ISSUE:
		job->session = kt_issues_take(core->issues, job);
		if (job->is_claim)
			kt_enroll_on_issued(core, job);
		else
			kt_rotation_on_issued(core, job);
		break;
	case KT_JOB_SEAL:
		kt_outbox_sealed(core, job);
		return; /* moved */
	case KT_JOB_CRL:
		kt_crl_done(core, job);
		break;
	case KT_JOB_METRICS:
		kt_metrics_done(core, job);
		break;
	case KT_JOB_HEAD:
		kt_heads_done(core, job);
		break;
	}
	kt_job_free(job);
}

void kt_core_durable(struct kt_core *core, struct kt_now now, uint64_t seq, bool failed)
{
	enter(core, now);
	if (seq > core->durable_seq)
		core->durable_seq = seq;
	if (failed && !core->journal_failed) {
		core->journal_failed = true;
		(void)kt_log_event(core->ports.log, KT_EVENT_LEDGER_FAILED, NULL, 0);
	}
	kt_outbox_release(core);
}

bool kt_core_has_work(const struct kt_core *core)
{
	return kt_control_is_busy(core);
}

void kt_core_tick(struct kt_core *core, struct kt_now now)
{
	enter(core, now);
	core->tick++;
	core->reloading = false;
	kt_sessions_sweep(core->sessions);
	kt_core_sweep_sessions(core);
	kt_core_walk_devices(core);
	kt_control_tick(core);
	kt_campaign_tick(core);
	kt_crl_tick(core);
	kt_heads_tick(core);
	kt_metrics_tick(core);
	kt_core_publish_gauges(core);
	kt_core_settle_drops(core);
	kt_outbox_tick(core);
}
