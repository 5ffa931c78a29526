#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "rotation.h"

#define END  "|1600000000|253402300799"
#define LEAF "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define NEXT "spiffe://" FLEET_TD "/device/hub-17" END "|g2"
#define LAST "spiffe://" FLEET_TD "/device/hub-17" END "|g3"

enum { AGENT = 16, TRIAL = 32, APP = 48, LOG = 64 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	*state = fake_new(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static const struct kt_device *hub(struct fake *f)
{
	return kt_registry_find_device(f->registry, "hub-17");
}

static uint64_t order(struct fake *f)
{
	struct kt_outcome outcome = kt_rotation_order(f->core, hub(f), "op:test", NULL);

	assert_string_equal(kt_reason_name(outcome.reason), "none");
	if (f->sync_at_once) {
		fake_durable(f);
		fake_seal_all(f);
	}
	return outcome.op;
}

static void say_csr(struct fake *f, uint64_t op, const char *key)
{
	struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_CSR);

	m->u.csr.op = op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_say(f, AGENT, m, key);
}

static void say_confirm(struct fake *f, uintptr_t client, uint64_t op, const char *cert)
{
	struct kt_message *m = fake_message(f, client, KT_MESSAGE_CONFIRM);

	m->u.confirm.op = op;
	m->u.confirm.nonce = hub(f)->op_nonce;
	m->u.confirm.fp = fake_fingerprint(cert);
	fake_say(f, client, m, NULL);
}

static void say_promoted(struct fake *f, uintptr_t client, uint64_t op, const char *cert)
{
	struct kt_message *m = fake_message(f, client, KT_MESSAGE_PROMOTED);

	m->u.promoted.op = op;
	m->u.promoted.fp = fake_fingerprint(cert);
	fake_say(f, client, m, NULL);
}

static void assert_rejected(const struct fake *f, const char *client_id, const char *reason)
{
	const char *text = fake_sent(f, client_id, "reject");
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "reject reason=%s ", reason);
	assert_non_null(text);
	assert_memory_equal(text, expected, strlen(expected));
}

/* Agent in session, op ordered, NEXT issued. */
static uint64_t issued(struct fake *f)
{
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	return op;
}

/* --- the way through --- */

static void a_whole_rotation(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "cert"), "count=2 leaf=" NEXT));
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	assert_non_null(fake_sent(f, "hub-17:trial", "committed"));
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_true(kt_fingerprint_eq(&hub(f)->current->fp, &(struct kt_fingerprint){0}) == false);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_false(fake_was_kicked(f, "hub-17:trial"));
	(void)fake_hello(f, APP, "hub-17:agent", NEXT);
	say_promoted(f, APP, op, NEXT);
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "noted"), "of=promoted"));
	assert_int_equal(hub(f)->promoted_op, op);
	assert_non_null(fake_event(f, "rotation.promoted"));
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 0);
}

static void nothing_leaves_before_it_is_durable(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	op = order(f);
	fake_seal_all(f);
	assert_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_null(fake_event(f, "rotation.opened"));
	fake_durable(f);
	fake_seal_all(f);
	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_non_null(fake_event(f, "rotation.opened"));
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	fake_seal_all(f);
	assert_null(fake_sent(f, "hub-17:agent", "cert"));
	fake_durable(f);
	fake_seal_all(f);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
	f->sync_at_once = true;
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	f->sync_at_once = false;
	say_confirm(f, TRIAL, op, NEXT);
	fake_seal_all(f);
	fake_ticks(f, 5);
	assert_null(fake_sent(f, "hub-17:trial", "committed"));
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	fake_durable(f);
	fake_seal_all(f);
	fake_tick(f);
	assert_non_null(fake_sent(f, "hub-17:trial", "committed"));
	assert_true(fake_was_kicked(f, "hub-17:agent"));
}

static void a_lost_ledger_means_no_certificate_and_no_commit(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	fake_fail(f);
	say_confirm(f, TRIAL, op, NEXT);
	assert_rejected(f, "hub-17:trial", "store.failed");
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
	fake_ticks(f, 5);
	assert_false(fake_was_kicked(f, "hub-17:agent"));
}

/* The CA signs nothing that nobody could keep, however often it is asked. */
static void a_lost_ledger_costs_no_signature(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	fake_fail(f);
	say_csr(f, op, "new key");
	assert_rejected(f, "hub-17:agent", "store.failed");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
}

/* The disk still says that the old credential is current, and nobody else gets in until a restart:
 * whoever is in session stays. */
static void a_ledger_lost_in_the_middle_of_a_commit_ends_no_session(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	struct kt_acl_event acl = {
		.client = APP, .action = KT_ACL_DO_WRITE, .topic = "devices/hub-17/x"};

	fake_site_topics(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	f->sync_at_once = false;
	say_confirm(f, TRIAL, op, NEXT);
	fake_fail(f);
	fake_later(f, 60000);
	fake_ticks(f, 20);
	assert_int_equal(f->kicked_count, 0);
	assert_int_equal(kt_core_acl(f->core, f->now, &acl), KT_RIGHT_ALLOW);
	assert_null(fake_sent(f, "hub-17:trial", "committed"));
}

static void messages_keep_their_order_whichever_worker_is_first(void **state)
{
	struct fake *f = *state;
	struct kt_job *first;
	struct kt_job *second;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	(void)order(f);
	fake_durable(f);
	(void)kt_challenge_send(f->core, hub(f), "op:test");
	first = fake_take_job(f, KT_JOB_SEAL);
	second = fake_take_job(f, KT_JOB_SEAL);
	second->sealed = strdup("second");
	second->sealed_len = 6;
	second->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, second);
	assert_null(fake_sent(f, "hub-17:agent", ""));
	first->sealed = strdup("first");
	first->sealed_len = 5;
	first->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, first);
	assert_string_equal(f->published[f->published_count - 2].text, "first");
	assert_string_equal(f->published[f->published_count - 1].text, "second");
}

static void what_the_full_queue_refused_goes_out_a_tick_later(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->jobs_are_full = true;
	(void)order(f);
	assert_null(fake_sent(f, "hub-17:agent", "rotate"));
	f->jobs_are_full = false;
	fake_tick(f);
	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
}

/* --- csr --- */

static void the_same_key_gets_the_same_bytes_again(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	fake_forget(f);
	say_csr(f, op, "new key");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "cert"), "leaf=" NEXT));
	assert_int_equal(hub(f)->generation, 2);
}

static void a_second_key_closes_the_op_and_freezes(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_csr(f, op, "another key");
	assert_rejected(f, "hub-17:agent", "key.second");
	assert_true(hub(f)->frozen);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_non_null(fake_event(f, "clone.alarmed"));
	assert_non_null(fake_event(f, "rotation.frozen"));
	assert_int_equal(f->appended[f->appended_count - 1], KT_RECORD_FREEZE);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:trial"));
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	assert_int_equal(kt_rotation_order(f->core, hub(f), "op:test", NULL).reason,
			 KT_REASON_FROZEN);
	assert_int_equal(kt_device_unfreeze(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	assert_int_equal(kt_device_unfreeze(f->core, hub(f), "op:test").reason, KT_REASON_STATE);
	(void)order(f);
}

static void of_two_keys_in_work_the_second_freezes_too(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	say_csr(f, op, "another key"); /* while the first one's certificate is being made */
	assert_true(hub(f)->frozen);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_non_null(fake_event(f, "clone.alarmed"));
	assert_rejected(f, "hub-17:agent", "key.second");
	fake_issue(f, NEXT); /* comes too late: nobody gets it */
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_null(hub(f)->pending);
	assert_null(fake_sent(f, "hub-17:agent", "cert"));
	assert_rejected(f, "hub-17:agent", "op.closed");
}

static void the_same_key_twice_in_work_is_one_signature(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_false(hub(f)->frozen);
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "cert"), "leaf=" NEXT));
}

/* A flood of requests for one op, over one connection after another: the CA signs once. */
static void one_op_is_one_signature_whoever_asks_how_often(void **state)
{
	struct fake *f = *state;
	unsigned signatures = 0;
	struct kt_job *job;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	for (uintptr_t i = 1; i <= 50; i++) {
		(void)fake_hello(f, AGENT + i * 256, "hub-17:agent", LEAF);
		fake_later(f, 10000);
		f->published_count = 0;
		{
			struct kt_message *m = fake_message(f, AGENT + i * 256, KT_MESSAGE_CSR);

			m->u.csr.op = op;
			m->u.csr.nonce = hub(f)->op_nonce;
			fake_say(f, AGENT + i * 256, m, "new key");
		}
		if (i == 25)
			fake_issue(f, NEXT); /* the one that there is */
	}
	while ((job = fake_take_job(f, KT_JOB_ISSUE)) != NULL) {
		signatures++;
		kt_job_free(job);
	}
	assert_int_equal(signatures, 0);
	/* who asked last was told, also after the certificate was there */
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "cert"), "leaf=" NEXT));
	assert_false(hub(f)->frozen);
}

static void who_asked_last_gets_the_certificate(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	(void)fake_hello(f, AGENT + 256, "hub-17:agent", LEAF);
	m = fake_message(f, AGENT + 256, KT_MESSAGE_CSR);
	m->u.csr.op = op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_say(f, AGENT + 256, m, "new key");
	fake_forget(f);
	fake_issue(f, NEXT);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
}

static void a_certificate_that_could_not_be_made_is_made_at_the_next_request(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	job = fake_take_job(f, KT_JOB_ISSUE);
	job->err = KT_ERR_CRYPTO;
	kt_core_job_done(f->core, f->now, job);
	fake_seal_all(f);
	assert_rejected(f, "hub-17:agent", "busy");
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
}

static void where_the_workers_are_full_the_next_request_is_the_first(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;
	struct kt_job *job;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	m = fake_message(f, AGENT, KT_MESSAGE_CSR);
	m->u.csr.op = op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_raw(f, AGENT, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	job->message = m;
	job->csr.key.alg = KT_ALG_ES256;
	job->csr.key_id = fleet_key("new key");
	kt_csr_binding(FLEET_TD, "hub-17", op, &m->u.csr.nonce, job->csr.challenge_password);
	job->err = KT_ERR_OK;
	f->jobs_are_full = true;
	kt_core_job_done(f->core, f->now, job);
	f->jobs_are_full = false;
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
}

static void refuses_a_csr_with_the_precise_reason(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	say_csr(f, 1, "new key");
	assert_rejected(f, "hub-17:agent", "op.closed");
	op = order(f);
	say_csr(f, op + 1, "new key");
	assert_rejected(f, "hub-17:agent", "op.unknown");
	say_csr(f, 1, "new key");
	assert_rejected(f, "hub-17:agent", "op.stale");
	fake_later(f, 10000);
	m = fake_message(f, AGENT, KT_MESSAGE_CSR);
	m->u.csr.op = op;
	fake_say(f, AGENT, m, "new key");
	assert_rejected(f, "hub-17:agent", "nonce.wrong");
	say_csr(f, op, LEAF);
	assert_rejected(f, "hub-17:agent", "key.known");
	m = fake_message(f, AGENT, KT_MESSAGE_CSR);
	m->u.csr.op = op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_raw(f, AGENT, "{}");
	{
		struct kt_job *job = fake_take_job(f, KT_JOB_OPEN);

		job->message = m;
		job->csr.key.alg = KT_ALG_NONE; /* ordered was another one */
		job->csr.key_id = fleet_key("new key");
		kt_csr_binding(FLEET_TD, "hub-17", op, &hub(f)->op_nonce,
			       job->csr.challenge_password);
		job->err = KT_ERR_OK;
		kt_core_job_done(f->core, f->now, job);
		fake_seal_all(f);
	}
	assert_rejected(f, "hub-17:agent", "csr.key");
	m = fake_message(f, AGENT, KT_MESSAGE_CSR);
	m->u.csr.op = op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_raw(f, AGENT, "{}");
	{
		struct kt_job *job = fake_take_job(f, KT_JOB_OPEN);

		job->message = m;
		job->csr.key.alg = KT_ALG_ES256;
		job->csr.key_id = fleet_key("new key");
		kt_csr_binding(FLEET_TD, "hub-18", op, &hub(f)->op_nonce,
			       job->csr.challenge_password);
		job->err = KT_ERR_OK;
		kt_core_job_done(f->core, f->now, job);
		fake_seal_all(f);
	}
	assert_rejected(f, "hub-17:agent", "csr.bind");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
}

/* Between the two connections of a rollover, :trial may be the only one of the current credential.
 */
static void a_csr_may_come_over_a_trial_of_the_current_credential_alone(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	for (int i = 0; i < 2; i++) {
		struct kt_message *m;

		(void)fake_hello(f, TRIAL, "hub-17:trial", i == 0 ? NEXT : LEAF);
		m = fake_message(f, TRIAL, KT_MESSAGE_CSR);
		m->u.csr.op = op;
		m->u.csr.nonce = hub(f)->op_nonce;
		fake_say(f, TRIAL, m, "new key");
		if (i == 0)
			assert_rejected(f, "hub-17:trial", "op.closed");
		else
			assert_non_null(fake_sent(f, "hub-17:trial", "cert"));
	}
}

static void a_certificate_that_comes_too_late_is_not_recorded(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	assert_int_equal(kt_rotation_cancel(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	fake_issue(f, NEXT);
	assert_rejected(f, "hub-17:agent", "op.closed");
	assert_int_equal(hub(f)->generation, 1);
	op = order(f);
	say_csr(f, op, "new key");
	(void)order(f);
	fake_issue(f, NEXT);
	assert_rejected(f, "hub-17:agent", "op.stale");
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
}

static void a_finite_lifetime_pauses_when_the_clock_jumps(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	f->config.certificate_lifetime_ms = INT64_C(86400000);
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_later(f, INT64_C(31) * 86400000);
	op = order(f); /* the order itself moves the ledger's time: that must not hide the jump */
	say_csr(f, op, "new key");
	assert_rejected(f, "hub-17:agent", "clock.jump");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_int_equal(f->logged[KT_EVENT_CLOCK_JUMPED], 1);
	assert_int_equal(kt_clock_confirm(f->core, "op:test").reason, KT_REASON_NONE);
	say_csr(f, op, "new key");
	assert_int_equal(f->waiting[0]->not_after_s, f->now.wall_us / 1000000 + 86400);
	fake_issue(f, NEXT);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
}

/* --- confirm --- */

static void a_clock_that_went_back_pauses_it_too(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	f->config.certificate_lifetime_ms = INT64_C(86400000);
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->now.wall_us = kt_registry_time_us(f->registry) - INT64_C(3600000001);
	op = order(f);
	say_csr(f, op, "new key");
	assert_rejected(f, "hub-17:agent", "clock.jump");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_int_equal(f->logged[KT_EVENT_CLOCK_JUMPED], 1);
}

static void confirm_counts_over_the_new_credential_alone(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	say_confirm(f, AGENT, op, NEXT);
	assert_rejected(f, "hub-17:agent", "confirm.session");
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF);
	say_confirm(f, TRIAL, op, NEXT);
	assert_rejected(f, "hub-17:trial", "confirm.session");
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
}

static void refuses_a_confirm_with_a_wrong_op_nonce_or_fingerprint(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	struct kt_message *m;

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, LEAF);
	assert_rejected(f, "hub-17:trial", "fp.wrong");
	say_confirm(f, TRIAL, op + 1, NEXT);
	assert_rejected(f, "hub-17:trial", "op.unknown");
	say_confirm(f, TRIAL, op - 1, NEXT);
	assert_rejected(f, "hub-17:trial", "op.stale");
	m = fake_message(f, TRIAL, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = op;
	m->u.confirm.fp = fake_fingerprint(NEXT);
	fake_say(f, TRIAL, m, NULL);
	assert_rejected(f, "hub-17:trial", "nonce.wrong");
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
}

static void a_repeated_confirm_is_committed_again(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	size_t records = 0;

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	records = f->appended_count;
	fake_forget(f);
	say_confirm(f, TRIAL, op, NEXT);
	assert_non_null(fake_sent(f, "hub-17:trial", "committed"));
	assert_int_equal(f->appended_count, records);
	/* and over a new trial with what is current now */
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	assert_non_null(fake_sent(f, "hub-17:trial", "committed"));
}

static void the_hubs_programs_drain_until_promoted(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	fake_ticks(f, 20);
	assert_false(fake_was_kicked(f, "hub-17"));
	(void)fake_hello(f, LOG, "hub-17:agent", NEXT);
	say_promoted(f, LOG, op, NEXT);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17"));
}

static void the_hubs_programs_drain_no_longer_than_the_config_says(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	fake_later(f, 28000);
	fake_ticks(f, 2);
	assert_false(fake_was_kicked(f, "hub-17"));
	fake_later(f, 2000);
	fake_ticks(f, 12);
	assert_true(fake_was_kicked(f, "hub-17"));
}

/* --- promoted, failed --- */

static void promoted_is_recorded_once_and_noted_every_time(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	size_t records = 0;

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_promoted(f, TRIAL, op, NEXT);
	assert_rejected(f, "hub-17:trial", "confirm.session");
	say_confirm(f, TRIAL, op, NEXT);
	say_promoted(f, TRIAL, op, LEAF);
	assert_rejected(f, "hub-17:trial", "fp.wrong");
	say_promoted(f, TRIAL, op + 1, NEXT);
	assert_rejected(f, "hub-17:trial", "op.unknown");
	say_promoted(f, TRIAL, op, NEXT);
	records = f->appended_count;
	fake_forget(f);
	say_promoted(f, TRIAL, op, NEXT);
	assert_non_null(fake_sent(f, "hub-17:trial", "noted"));
	assert_int_equal(f->appended_count, records);
}

static void failed_closes_nothing_and_is_recorded_once(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	size_t records = 0;

	for (int i = 0; i < 2; i++) {
		struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_FAILED);

		m->u.failed.op = op;
		m->u.failed.reason = KT_REASON_DISK;
		fake_forget(f);
		fake_say(f, AGENT, m, NULL);
		assert_non_null(strstr(fake_sent(f, "hub-17:agent", "noted"), "of=failed"));
		if (i == 0)
			records = f->appended_count;
	}
	assert_int_equal(f->appended_count, records);
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
	{
		struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_FAILED);

		m->u.failed.op = op + 1;
		m->u.failed.reason = KT_REASON_DISK;
		fake_say(f, AGENT, m, NULL);
	}
	assert_rejected(f, "hub-17:agent", "op.unknown");
}

static void say_failed(struct fake *f, uint64_t op, enum kt_reason reason)
{
	struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_FAILED);

	m->u.failed.op = op;
	m->u.failed.reason = reason;
	fake_forget(f);
	fake_say(f, AGENT, m, NULL);
}

/* Each would be a write with its sync: a hub must not fill the ledger's disk. */
static void a_device_makes_us_write_its_own_news_no_faster_than_it_may(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);
	size_t records;
	struct kt_message *m;

	say_failed(f, op, KT_REASON_DISK);
	assert_non_null(fake_sent(f, "hub-17:agent", "noted"));
	records = f->appended_count;
	say_failed(f, op, KT_REASON_HOOK);
	assert_rejected(f, "hub-17:agent", "busy");
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.op = op + 1;
	fake_forget(f);
	fake_say(f, AGENT, m, NULL);
	assert_rejected(f, "hub-17:agent", "busy");
	assert_null(fake_event(f, "registry.behind"));
	assert_int_equal(f->appended_count, records);
	assert_int_equal(hub(f)->op, op);
	fake_later(f, 10000);
	say_failed(f, op, KT_REASON_HOOK);
	assert_non_null(fake_sent(f, "hub-17:agent", "noted"));
	assert_int_equal(f->appended_count, records + 1);
	fake_later(f, 10000);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.op = op + 1;
	fake_say(f, AGENT, m, NULL);
	assert_non_null(fake_event(f, "registry.behind"));
	assert_int_equal(f->appended_count, records + 2);
}

static void promote_overdue_is_told_once(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, op, NEXT);
	fake_later(f, 599000);
	fake_ticks(f, 5);
	assert_int_equal(f->logged[KT_EVENT_PROMOTE_OVERDUE], 0);
	fake_ticks(f, 50);
	assert_int_equal(f->logged[KT_EVENT_PROMOTE_OVERDUE], 1);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
}

/* --- orders and time --- */

static void orders_need_an_active_device(void **state)
{
	struct fake *f = *state;

	assert_int_equal(kt_device_create(f->core, "new", NULL, NULL, "op:test").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_rotation_order(f->core, kt_registry_find_device(f->registry, "new"),
					   "op:test", NULL)
				 .reason,
			 KT_REASON_STATE);
	assert_int_equal(kt_rotation_cancel(f->core, hub(f), "op:test").reason, KT_REASON_STATE);
}

static void ops_only_grow(void **state)
{
	struct fake *f = *state;
	uint64_t first = order(f);
	uint64_t second;

	assert_int_equal(first, (uint64_t)f->now.wall_us);
	f->now.wall_us -= INT64_C(3600000000);
	second = order(f);
	assert_int_equal(second, first + 1);
	assert_int_equal(hub(f)->op, second);
}

static void an_open_op_is_closed_at_its_deadline(void **state)
{
	struct fake *f = *state;

	(void)order(f);
	fake_later(f, INT64_C(86400000) - 200);
	fake_tick(f);
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
	fake_ticks(f, 4);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_CLOSED], 1);
}

static size_t open_ops(struct fake *f)
{
	return kt_registry_counts(f->registry).open_ops;
}

static void the_walk_takes_a_larger_fleet_piece_by_piece(void **state)
{
	struct fake *f = *state;
	char id[16];
	char certs[100][96];

	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "hub-%d", 100 + i);
		snprintf(certs[i], sizeof(certs[i]), "spiffe://" FLEET_TD "/device/%s" END "|g1",
			 id);
		(void)fleet_active(f->registry, id, "east", certs[i]);
		fleet_open(f->registry, id, 7);
	}
	fake_tick(f);
	assert_int_equal(open_ops(f), 100);
	fake_later(f, 86400000);
	fake_ticks(f, 1); /* the second half of the first walk: 64 devices a piece */
	assert_int_equal(open_ops(f), 63);
	fake_ticks(f, 1);
	assert_int_equal(open_ops(f), 0);
}

static void a_pending_credential_is_given_up_after_seven_days(void **state)
{
	struct fake *f = *state;

	(void)issued(f);
	fake_later(f, INT64_C(7) * 86400000 - 2000);
	fake_ticks(f, 3);
	assert_int_equal(hub(f)->phase, KT_SERVER_ISSUED);
	fake_later(f, 2000);
	fake_ticks(f, 3);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_int_equal(fake_connect(f, TRIAL, "hub-17:trial", NULL, NEXT), KT_ANSWER_DENY);
	assert_int_equal(kt_core_count(f->core, KT_REASON_OP_CLOSED), 1);
}

static size_t rotates_sent(const struct fake *f)
{
	size_t count = 0;

	for (size_t i = 0; i < f->published_count; i++)
		count += strncmp(f->published[i].text, "rotate ", 7) == 0 ? 1 : 0;
	return count;
}

/* A device cannot ask for an order that it never heard of. */
static void a_rotate_that_finds_no_ear_is_said_again_and_less_and_less_often(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	assert_int_equal(rotates_sent(f), 1);
	fake_later(f, 59000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 1);
	fake_later(f, 2000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 2);
	fake_later(f, 100000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 2);
	fake_later(f, 21000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 3);
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	fake_later(f, 700000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 3); /* it was heard */
}

/* It had asked, and lost the record of that: the order that its hello brought about got lost, too.
 */
static void also_to_a_device_that_has_forgotten_that_it_asked(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;
	uint64_t op;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	op = order(f);
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	kt_core_disconnect(f->core, f->now, AGENT);
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.phase = KT_PHASE_STABLE;
	fake_forget(f);
	fake_say(f, AGENT, m, NULL);
	assert_int_equal(rotates_sent(f), 1);
	fake_later(f, 61000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 2);
	say_csr(f, op, "new key");
	fake_later(f, 700000);
	fake_tick(f);
	assert_int_equal(rotates_sent(f), 2);
}

/* --- hello --- */

static const char *hello_answer(struct fake *f, uintptr_t client, enum kt_device_phase phase,
				uint64_t op)
{
	const char *id = fake_session(f, client)->client_id;
	struct kt_message *m = fake_message(f, client, KT_MESSAGE_HELLO);

	fake_later(f, 1000);
	m->u.hello.phase = phase;
	m->u.hello.op = op;
	fake_forget(f);
	fake_say(f, client, m, NULL);
	return fake_sent(f, id, "welcome");
}

static void hello_is_answered_by_phase_and_op(void **state)
{
	struct fake *f = *state;
	char expected[64];
	uint64_t op;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 0), "welcome next=none op=0");
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_KEY, 1), "welcome next=committed op=1");
	assert_non_null(fake_sent(f, "hub-17:agent", "committed"));
	op = order(f);
	(void)snprintf(expected, sizeof(expected), "welcome next=rotate op=%llu",
		       (unsigned long long)op);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 1), expected);
	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_CERT, 1), expected);
	say_csr(f, op, "new key");
	fake_issue(f, NEXT);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 1), expected);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_KEY, 1), expected);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_CERT, op), "welcome next=none op=0");
	(void)snprintf(expected, sizeof(expected), "welcome next=cert op=%llu",
		       (unsigned long long)op);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_KEY, op), expected);
	assert_non_null(fake_sent(f, "hub-17:agent", "cert"));
	(void)fake_connect(f, TRIAL, "hub-17:trial", NULL, NEXT);
	(void)snprintf(expected, sizeof(expected), "welcome next=confirm op=%llu",
		       (unsigned long long)op);
	assert_string_equal(hello_answer(f, TRIAL, KT_PHASE_CERT, op), expected);
	assert_int_equal(kt_rotation_cancel(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	(void)snprintf(expected, sizeof(expected), "welcome next=closed op=%llu",
		       (unsigned long long)op);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_CERT, op), expected);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_KEY, op), expected);
}

static void an_op_from_the_future_is_refused(void **state)
{
	struct fake *f = *state;
	uint64_t now = (uint64_t)f->now.wall_us;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_null(hello_answer(f, AGENT, KT_PHASE_KEY, now + UINT64_C(86400000000) + 1000001));
	assert_rejected(f, "hub-17:agent", "op.range");
	assert_int_equal(hub(f)->op, 1);
	assert_null(hello_answer(f, AGENT, KT_PHASE_KEY, UINT64_MAX));
	assert_int_equal(f->logged[KT_EVENT_REGISTRY_BEHIND], 0);
}

/* The clock was far ahead when its ops were given, and the ledger has lost the last of them. */
static void an_op_of_a_clock_that_was_ahead_is_no_nonsense(void **state)
{
	struct fake *f = *state;
	const uint64_t day_us = UINT64_C(86400000000);
	const uint64_t ahead = (uint64_t)f->now.wall_us + 18250 * day_us;
	const struct kt_record raise = {.seq = kt_registry_seq(f->registry) + 1,
					.time_us = f->now.wall_us,
					.kind = KT_RECORD_OP_RAISE,
					.device = hub(f)->id,
					.op = ahead};

	assert_int_equal(kt_registry_apply(f->registry, &raise), KT_ERR_OK);
	f->now.wall_us += INT64_C(1000000) * KT_NEWS_EVERY_S;
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_null(hello_answer(f, AGENT, KT_PHASE_KEY, ahead + day_us + 1));
	assert_rejected(f, "hub-17:agent", "op.range");
	assert_int_equal(hub(f)->op, ahead);
	assert_non_null(strstr(hello_answer(f, AGENT, KT_PHASE_KEY, ahead + day_us),
			       "welcome next=closed"));
	assert_int_equal(hub(f)->op, ahead + day_us);
}

static void a_newer_op_raises_ours_and_closes_what_is_open(void **state)
{
	struct fake *f = *state;
	uint64_t op = order(f);

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_non_null(
		strstr(hello_answer(f, AGENT, KT_PHASE_KEY, op + 7), "welcome next=closed"));
	assert_int_equal(hub(f)->op, op + 7);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_non_null(fake_event(f, "registry.behind"));
	assert_true(order(f) > op + 7);
}

/* --- policy: a key over its age --- */

enum { AGE_MS = 5000 }; /* the fixture's key is ten seconds old */

static void an_old_key_is_rotated_when_its_hub_says_hello(void **state)
{
	struct fake *f = *state;
	char expected[64];
	const char *rotate = NULL;

	f->config.max_key_age_ms = AGE_MS;
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE); /* a connect alone orders nothing */
	rotate = hello_answer(f, AGENT, KT_PHASE_STABLE, 1);
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
	(void)snprintf(expected, sizeof(expected), "welcome next=rotate op=%llu",
		       (unsigned long long)hub(f)->op);
	assert_string_equal(rotate, expected);
	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 2); /* one rotate, after the welcome */
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 1);
	/* once: neither another hello nor the sweep opens a second one */
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 1), expected);
	fake_ticks(f, 30);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 1);
	/* and after the commit the key is young */
	say_csr(f, hub(f)->op, "new key");
	fake_issue(f, NEXT);
	(void)fake_hello(f, TRIAL, "hub-17:trial", NEXT);
	say_confirm(f, TRIAL, hub(f)->op, NEXT);
	assert_int_equal(hub(f)->generation, 2);
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, NEXT);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, hub(f)->op),
			    "welcome next=none op=0");
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 1);
}

static void a_key_that_grows_old_in_session_is_rotated_there(void **state)
{
	struct fake *f = *state;
	const uint64_t before = hub(f)->op;

	f->config.max_key_age_ms = 20000;
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	fake_ticks(f, 20);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 1), "welcome next=none op=0");
	/* with a tenth of it left: it need not be without its site topics at any time */
	while (f->now.wall_us <= FLEET_TIME_S * INT64_C(1000000) + 16000000) {
		assert_int_equal(hub(f)->op, before);
		fake_tick(f);
	}
	fake_ticks(f, 20);
	fake_ticks(f, 11); /* a walk a second */
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
	assert_non_null(fake_sent(f, "hub-17:agent", "rotate"));
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 1);
	/* closed without a commit: its age is what it was */
	assert_int_equal(kt_rotation_cancel(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	fake_ticks(f, 11);
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 2);
}

static void policy_orders_nothing_where_it_must_not(void **state)
{
	struct fake *f = *state;
	struct kt_session *session = NULL;
	struct kt_registry *registry = f->registry;

	f->config.max_key_age_ms = AGE_MS;
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	fake_ticks(f, 15); /* before its hello nobody knows that it can answer */
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF);
	fake_ticks(f, 15);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	/* without a limit */
	f->config.max_key_age_ms = 0;
	session = fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_false(kt_rotation_order_due(f->core, session));
	/* a ledger that failed: the welcome says what is true, and nothing else happens */
	f->config.max_key_age_ms = AGE_MS;
	fake_fail(f);
	assert_string_equal(hello_answer(f, AGENT, KT_PHASE_STABLE, 1), "welcome next=none op=0");
	fake_ticks(f, 15);
	assert_int_equal(kt_registry_find_device(registry, "hub-17")->phase, KT_SERVER_IDLE);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 0);
}

static void a_frozen_device_is_not_rotated_for_its_age(void **state)
{
	struct fake *f = *state;
	uint64_t op = issued(f);

	say_csr(f, op, "another key");
	assert_true(hub(f)->frozen);
	f->config.max_key_age_ms = AGE_MS;
	assert_non_null(hello_answer(f, AGENT, KT_PHASE_STABLE, op));
	fake_ticks(f, 15);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_int_equal(kt_device_unfreeze(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	fake_ticks(f, 15);
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
}

static void a_fleet_of_one_age_rotates_in_a_stream(void **state)
{
	enum { HUBS = 40 };
	struct fake *f = *state;
	char id[16];
	char agent[32];
	char cert[96];

	for (unsigned i = 0; i < HUBS; i++) {
		(void)snprintf(id, sizeof(id), "hub-a%u", i);
		(void)snprintf(agent, sizeof(agent), "hub-a%u:agent", i);
		(void)snprintf(cert, sizeof(cert), "spiffe://" FLEET_TD "/device/hub-a%u" END "|g1",
			       i);
		(void)fleet_active(f->registry, id, "west", cert);
		fake_durable(f);
		(void)fake_hello(f, 1000 + i, agent, cert);
	}
	f->config.max_key_age_ms = AGE_MS;
	fake_ticks(f, 11);
	assert_in_range(f->logged[KT_EVENT_ROTATION_OPENED], 1, 32); /* two walks at most */
	fake_ticks(f, 40);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], HUBS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_whole_rotation),
		T(nothing_leaves_before_it_is_durable),
		T(a_lost_ledger_means_no_certificate_and_no_commit),
		T(a_lost_ledger_costs_no_signature),
		T(a_ledger_lost_in_the_middle_of_a_commit_ends_no_session),
		T(messages_keep_their_order_whichever_worker_is_first),
		T(what_the_full_queue_refused_goes_out_a_tick_later),
		T(the_same_key_gets_the_same_bytes_again),
		T(a_second_key_closes_the_op_and_freezes),
		T(of_two_keys_in_work_the_second_freezes_too),
		T(the_same_key_twice_in_work_is_one_signature),
		T(one_op_is_one_signature_whoever_asks_how_often),
		T(who_asked_last_gets_the_certificate),
		T(a_certificate_that_could_not_be_made_is_made_at_the_next_request),
		T(where_the_workers_are_full_the_next_request_is_the_first),
		T(refuses_a_csr_with_the_precise_reason),
		T(a_csr_may_come_over_a_trial_of_the_current_credential_alone),
		T(a_certificate_that_comes_too_late_is_not_recorded),
		T(a_finite_lifetime_pauses_when_the_clock_jumps),
		T(a_clock_that_went_back_pauses_it_too),
		T(confirm_counts_over_the_new_credential_alone),
		T(refuses_a_confirm_with_a_wrong_op_nonce_or_fingerprint),
		T(a_repeated_confirm_is_committed_again),
		T(the_hubs_programs_drain_until_promoted),
		T(the_hubs_programs_drain_no_longer_than_the_config_says),
		T(promoted_is_recorded_once_and_noted_every_time),
		T(failed_closes_nothing_and_is_recorded_once),
		T(a_device_makes_us_write_its_own_news_no_faster_than_it_may),
		T(promote_overdue_is_told_once),
		T(orders_need_an_active_device),
		T(ops_only_grow),
		T(an_open_op_is_closed_at_its_deadline),
		T(the_walk_takes_a_larger_fleet_piece_by_piece),
		T(a_pending_credential_is_given_up_after_seven_days),
		T(a_rotate_that_finds_no_ear_is_said_again_and_less_and_less_often),
		T(also_to_a_device_that_has_forgotten_that_it_asked),
		T(hello_is_answered_by_phase_and_op),
		T(an_op_from_the_future_is_refused),
		T(an_op_of_a_clock_that_was_ahead_is_no_nonsense),
		T(a_newer_op_raises_ours_and_closes_what_is_open),
		T(an_old_key_is_rotated_when_its_hub_says_hello),
		T(a_key_that_grows_old_in_session_is_rotated_there),
		T(policy_orders_nothing_where_it_must_not),
		T(a_frozen_device_is_not_rotated_for_its_age),
		T(a_fleet_of_one_age_rotates_in_a_stream),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
