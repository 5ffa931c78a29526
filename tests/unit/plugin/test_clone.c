#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clone.h"
#include "fake_ports.h"
#include "limit.h"

#define END  "|1600000000|253402300799"
#define LEAF "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define NEXT "spiffe://" FLEET_TD "/device/hub-17" END "|g2"
#define LOST "spiffe://" FLEET_TD "/device/hub-17" END "|g3"
#define NEAR "spiffe://" FLEET_TD "/device/hub-18" END "|g1"

enum { AGENT = 16, TRIAL = 32, APP = 48 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	(void)fleet_active(registry, "hub-18", "west", NEAR);
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

static void set_policies(struct fake *f, enum kt_policy policy)
{
	f->config.clone_second_key = policy;
	f->config.clone_contended = policy;
	f->config.clone_old_answer = policy;
	f->config.clone_op_range = policy;
}

static void rotate(struct fake *f, uint64_t op, const char *cert)
{
	fleet_open(f->registry, "hub-17", op);
	fleet_issue(f->registry, "hub-17", cert);
	fleet_commit(f->registry, "hub-17");
	fake_durable(f);
}

/* The last event of this name: of this signal, and with this text in it. */
static void assert_told(const struct fake *f, enum kt_event event, const char *signal,
			const char *text)
{
	const char *json = fake_event(f, kt_event_name(event));
	char want[64];

	(void)snprintf(want, sizeof(want), "\"signal\":\"%s\"", signal);
	assert_non_null(json);
	assert_non_null(strstr(json, "\"device\":\"hub-17\""));
	assert_non_null(strstr(json, want));
	if (strstr(json, text) == NULL)
		fail_msg("no %s in %s", text, json);
}

/* By the plugin itself, once, and in the ledger. */
static void assert_quarantined(struct fake *f)
{
	size_t records = 0;

	assert_true(hub(f)->quarantined);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 1);
	assert_non_null(strstr(fake_event(f, "device.quarantined"), "\"actor\":\"keyturn\""));
	for (size_t i = 0; i < f->appended_count; i++)
		records += f->appended[i] == KT_RECORD_QUARANTINE ? 1 : 0;
	assert_int_equal(records, 1);
	assert_int_equal(hub(f)->state, KT_DEVICE_ACTIVE); /* no alarm revokes by itself */
	assert_false(kt_registry_find_device(f->registry, "hub-18")->quarantined);
}

static void assert_at_peace(struct fake *f)
{
	assert_false(hub(f)->quarantined);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 0);
}

/* --- a refused credential --- */

static void a_refused_credential_is_told_and_never_more(void **state)
{
	struct fake *f = *state;

	set_policies(f, KT_POLICY_QUARANTINE);
	rotate(f, 5, NEXT);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_told(f, KT_EVENT_CLONE_SUSPECTED, "superseded", "\"reason\":\"cert.superseded\"");
	fleet_simple(f->registry, KT_RECORD_PROMOTED, "hub-17", 5);
	fake_durable(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "superseded", "\"reason\":\"cert.superseded\"");
	assert_at_peace(f);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	fake_durable(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, NEXT), KT_ANSWER_BANNED);
	assert_told(f, KT_EVENT_CLONE_SUSPECTED, "revoked", "\"reason\":\"cert.revoked\"");
	assert_at_peace(f);
}

/* --- take-overs --- */

/* @turns: one letter for each connection, the last part of its address. */
static void come(struct fake *f, const char *client_id, const char *cert, const char *turns,
		 int64_t apart_ms)
{
	static uintptr_t client = 4096;

	for (; *turns != '\0'; turns++) {
		char address[32];

		(void)snprintf(address, sizeof(address), "2001:db8::%c", *turns);
		f->address = address;
		client += 16;
		assert_int_equal(fake_connect(f, client, client_id, NULL, cert), KT_ANSWER_ACCEPT);
		f->address = NULL;
		fake_later(f, apart_ms);
	}
}

static void assert_contended(struct fake *f, unsigned times)
{
	assert_int_equal(f->logged[KT_EVENT_SESSION_CONTENDED], times);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 0);
}

static void two_addresses_in_turn_are_told_once(void **state)
{
	struct fake *f = *state;

	come(f, "hub-17:agent", LEAF, "ababa", 10000);
	assert_contended(f, 0);
	come(f, "hub-17:agent", LEAF, "b", 10000);
	assert_contended(f, 1);
	assert_told(f, KT_EVENT_SESSION_CONTENDED, "contended", "\"client\":\"hub-17:agent\"");
	assert_told(f, KT_EVENT_SESSION_CONTENDED, "contended", "\"address\":\"2001:db8::b\"");
	assert_told(f, KT_EVENT_SESSION_CONTENDED, "contended", "\"other\":\"2001:db8::a\"");
	come(f, "hub-17:agent", LEAF, "abababab", 5000);
	assert_contended(f, 1);
	assert_at_peace(f);
	fake_tick(f);
	assert_int_equal(kt_sessions_count(f->core->sessions), 1);
}

static void after_a_quiet_time_they_are_told_again(void **state)
{
	struct fake *f = *state;

	come(f, "hub-17", LEAF, "ababab", 1000);
	assert_contended(f, 1);
	fake_later(f, 60000);
	come(f, "hub-17", LEAF, "abab", 1000);
	assert_contended(f, 1);
	come(f, "hub-17", LEAF, "ab", 1000);
	assert_contended(f, 2);
}

static void one_of_them_may_come_twice_in_a_row(void **state)
{
	struct fake *f = *state;

	come(f, "hub-17", LEAF, "aabbbabaa", 2000);
	assert_contended(f, 0);
	come(f, "hub-17", LEAF, "b", 2000);
	assert_contended(f, 1);
}

static void what_a_hub_does_by_itself_is_nobodys_business(void **state)
{
	static const struct {
		const char *turns;
		int64_t apart_ms;
	} cases[] = {
		{"aaaaaaaaaaaaaaaa", 100},   /* a flapping link */
		{"aaaabaaaaaaabaaaaa", 100}, /* and now and then another network */
		{"ab", 100},
		{"abab", 100},		/* there and back, and once more */
		{"abcabcabcabc", 1000}, /* a pool of addresses behind one NAT */
		{"abcdefghijklm", 100},
		{"ababacbcbab", 100},
		{"abababababab", 15001}, /* five turns take more than a minute */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake *f;

		teardown(state);
		setup(state);
		f = *state;
		f->config.clone_contended = KT_POLICY_QUARANTINE;
		come(f, "hub-17:agent", LEAF, cases[i].turns, cases[i].apart_ms);
		if (f->logged[KT_EVENT_SESSION_CONTENDED] != 0)
			fail_msg("%s is contended", cases[i].turns);
		assert_at_peace(f);
	}
}

static void the_turns_of_two_client_ids_are_not_one(void **state)
{
	struct fake *f = *state;

	for (unsigned i = 0; i < 4; i++) {
		come(f, "hub-17:log", LEAF, "a", 100);
		come(f, "hub-17:app", LEAF, "b", 100);
		come(f, "hub-18", NEAR, "a", 100);
	}
	assert_contended(f, 0);
}

static void another_credential_begins_anew(void **state)
{
	struct fake *f = *state;

	come(f, "hub-17", LEAF, "aba", 100);
	rotate(f, 5, NEXT);
	come(f, "hub-17", NEXT, "bab", 100);
	assert_contended(f, 0);
	come(f, "hub-17", NEXT, "abab", 100);
	assert_contended(f, 1);
}

static void who_went_by_itself_was_not_taken_over(void **state)
{
	struct fake *f = *state;

	for (uintptr_t i = 0; i < 12; i++) {
		f->address = i % 2 == 0 ? "192.0.2.1" : "192.0.2.2";
		assert_int_equal(fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF),
				 KT_ANSWER_ACCEPT);
		kt_core_disconnect(f->core, f->now, AGENT);
		fake_tick(f);
	}
	f->address = NULL;
	assert_contended(f, 0);
}

static void contention_quarantines_where_it_shall(void **state)
{
	struct fake *f = *state;

	f->config.clone_contended = KT_POLICY_QUARANTINE;
	come(f, "hub-17", LEAF, "ababab", 100);
	assert_contended(f, 1);
	assert_quarantined(f);
	come(f, "hub-17", LEAF, "abababab", 100);
	assert_quarantined(f);
}

static void a_ledger_that_fails_quarantines_in_memory(void **state)
{
	struct fake *f = *state;

	f->config.clone_contended = KT_POLICY_QUARANTINE;
	fake_fail(f);
	come(f, "hub-17", LEAF, "ababab", 100);
	assert_true(hub(f)->quarantined);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 1);
}

/* --- a second key --- */

static void ask(struct fake *f, const char *key)
{
	struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_CSR);

	m->u.csr.op = hub(f)->op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_say(f, AGENT, m, key);
}

static void two_keys(struct fake *f)
{
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)kt_rotation_order(f->core, hub(f), "op:test", NULL);
	fake_durable(f);
	ask(f, "one");
	fake_issue(f, NEXT);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	ask(f, "two");
	assert_true(hub(f)->frozen);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "second_key", "\"reason\":\"key.second\"");
}

static void a_second_key_freezes_and_no_more(void **state)
{
	two_keys(*state);
	assert_at_peace(*state);
}

static void a_second_key_quarantines_where_it_shall(void **state)
{
	struct fake *f = *state;

	f->config.clone_second_key = KT_POLICY_QUARANTINE;
	two_keys(f);
	assert_quarantined(f);
}

static void who_is_quarantined_already_stays_so(void **state)
{
	struct fake *f = *state;

	f->config.clone_second_key = KT_POLICY_QUARANTINE;
	(void)kt_device_quarantine(f->core, hub(f), "op:test", NULL);
	two_keys(f);
	assert_true(hub(f)->quarantined);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 1);
}

/* --- signatures of an older key --- */

/* The worker's answer: a signature that is not the session's, but may be of these two keys. */
static void misspeak(struct fake *f, uintptr_t client, const char *first, const char *second)
{
	struct kt_job *job;

	fake_raw(f, client, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	assert_non_null(job);
	job->err = KT_ERR_VERIFY;
	job->reason = KT_REASON_JWS_SIG;
	job->signed_by[0] = fleet_key(first);
	job->signed_by[1] = fleet_key(second);
	job->signed_by_count = 2;
	kt_core_job_done(f->core, f->now, job);
	fake_durable(f);
	fake_seal_all(f);
	fake_later(f, 1000);
}

static void a_message_of_an_older_key_is_told_once(void **state)
{
	struct fake *f = *state;

	rotate(f, 5, NEXT);
	(void)fake_hello(f, AGENT, "hub-17:agent", NEXT);
	misspeak(f, AGENT, "nobody", LEAF);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "old_answer", "\"gen\":\"1\"");
	assert_told(f, KT_EVENT_CLONE_ALARMED, "old_answer", "\"reason\":\"jws.sig\"");
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "reject"), "jws.sig"));
	misspeak(f, AGENT, LEAF, "nobody");
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
	assert_at_peace(f);
	(void)fake_hello(f, AGENT + 1, "hub-17:agent", NEXT);
	misspeak(f, AGENT + 1, LEAF, "nobody");
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 2);
}

static void it_need_not_be_the_last_one(void **state)
{
	struct fake *f = *state;

	f->config.clone_old_answer = KT_POLICY_QUARANTINE;
	rotate(f, 5, NEXT);
	rotate(f, 6, LOST);
	(void)fake_hello(f, AGENT, "hub-17:agent", LOST);
	misspeak(f, AGENT, LEAF, "nobody");
	assert_told(f, KT_EVENT_CLONE_ALARMED, "old_answer", "\"gen\":\"1\"");
	assert_quarantined(f);
}

static void nobodys_signature_is_refused_without_an_alarm(void **state)
{
	struct fake *f = *state;

	set_policies(f, KT_POLICY_QUARANTINE);
	rotate(f, 5, NEXT);
	fleet_open(f->registry, "hub-17", 6);
	fleet_issue(f->registry, "hub-17", LOST);
	fleet_open(f->registry, "hub-18", 5);
	fleet_issue(f->registry, "hub-18",
		    "spiffe://" FLEET_TD "/device/hub-18|1600000000|253402300799|g2");
	fleet_commit(f->registry, "hub-18");
	fake_durable(f);
	(void)fake_hello(f, AGENT, "hub-17:agent", NEXT);
	misspeak(f, AGENT, "nobody", "else");
	misspeak(f, AGENT, NEAR, "else"); /* an older one, but of another device */
	misspeak(f, AGENT, NEXT, LOST);	  /* current, pending: no old ones */
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	assert_int_equal(kt_core_count(f->core, KT_REASON_JWS_SIG), 3);
	assert_at_peace(f);
}

/* The commit came while the worker was at it: the session is the older key's own. */
static void a_session_that_was_superseded_meanwhile_is_no_alarm(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_raw(f, AGENT, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	rotate(f, 5, NEXT);
	job->err = KT_ERR_VERIFY;
	job->reason = KT_REASON_JWS_SIG;
	job->signed_by[0] = fleet_key(LEAF);
	job->signed_by_count = 1;
	kt_core_job_done(f->core, f->now, job);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
}

/* --- ops that cannot be --- */

static uint64_t latest_us(const struct fake *f)
{
	return (uint64_t)f->now.wall_us;
}

static void say_hello_of(struct fake *f, uint64_t op)
{
	struct kt_message *m;

	if (fake_session(f, AGENT) == NULL)
		(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.op = op;
	fake_say(f, AGENT, m, NULL);
}

#define DAY_US UINT64_C(86400000000)

static void an_op_that_cannot_be_is_told_once(void **state)
{
	struct fake *f = *state;
	char op[32];

	say_hello_of(f, latest_us(f) + DAY_US + 1);
	(void)snprintf(op, sizeof(op), "\"op\":\"%llu\"",
		       (unsigned long long)(latest_us(f) + DAY_US + 1));
	assert_told(f, KT_EVENT_CLONE_ALARMED, "op_range", op);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "op_range", "\"reason\":\"op.range\"");
	say_hello_of(f, latest_us(f) + 2 * DAY_US);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
	assert_int_equal(kt_core_count(f->core, KT_REASON_OP_RANGE), 2);
	assert_int_equal(f->logged[KT_EVENT_REGISTRY_BEHIND], 0);
	assert_at_peace(f);
}

static void a_newer_op_within_its_bound_is_no_alarm(void **state)
{
	struct fake *f = *state;

	set_policies(f, KT_POLICY_QUARANTINE);
	say_hello_of(f, latest_us(f) + DAY_US);
	assert_int_equal(f->logged[KT_EVENT_REGISTRY_BEHIND], 1);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	assert_at_peace(f);
}

static void an_op_that_cannot_be_quarantines_where_it_shall(void **state)
{
	struct fake *f = *state;

	f->config.clone_op_range = KT_POLICY_QUARANTINE;
	say_hello_of(f, latest_us(f) + 2 * DAY_US);
	assert_quarantined(f);
}

/* 0, or more than a store can hold: the codec has refused it, behind the signature. */
static void a_number_that_is_no_op_is_told_too(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_raw(f, AGENT, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	job->err = KT_ERR_INVALID;
	job->reason = KT_REASON_OP_RANGE;
	kt_core_job_done(f->core, f->now, job);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "op_range", "\"client\":\"hub-17:agent\"");
	assert_null(strstr(fake_event(f, "clone.alarmed"), "\"op\""));
}

static void while_reconciling_it_is_a_suspicion(void **state)
{
	struct fake *f = *state;
	struct kt_record record = fleet_record(f->registry, KT_RECORD_RESTORE, "hub-17");

	f->config.clone_op_range = KT_POLICY_QUARANTINE;
	record.device.s[0] = '\0';
	fleet_apply(f->registry, &record);
	fake_durable(f);
	say_hello_of(f, latest_us(f) + 2 * DAY_US);
	assert_told(f, KT_EVENT_CLONE_SUSPECTED, "op_range", "\"reason\":\"op.range\"");
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	assert_at_peace(f);
}

static void every_signal_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < KT_CLONE_SIGNAL_COUNT; i++) {
		for (int k = 0; k < i; k++)
			assert_string_not_equal(kt_clone_signal_name((enum kt_clone_signal)i),
						kt_clone_signal_name((enum kt_clone_signal)k));
	}
	assert_string_equal(kt_clone_signal_name(KT_CLONE_SIGNAL_COUNT), "?");
}

/* --- floods --- */

static void rotate_near(struct fake *f, const char *cert)
{
	fleet_open(f->registry, "hub-18", 5);
	fleet_issue(f->registry, "hub-18", cert);
	fleet_commit(f->registry, "hub-18");
	fake_durable(f);
}

/* A stranger who has found one old key of hub-17 cannot hide what happens to hub-18. */
static void a_flood_of_one_devices_alarms_swallows_no_other(void **state)
{
	struct fake *f = *state;

	rotate(f, 5, NEXT);
	rotate_near(f, "spiffe://" FLEET_TD "/device/hub-18" END "|g2");
	for (int i = 0; i < 500; i++) {
		fake_forget(f);
		(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	}
	assert_null(fake_event(f, "clone.suspected")); /* it is bounded itself */
	assert_int_equal(fake_connect(f, APP, "hub-18", NULL, NEAR), KT_ANSWER_DENY);
	assert_non_null(fake_event(f, "clone.suspected"));
	assert_non_null(strstr(fake_event(f, "clone.suspected"), "\"device\":\"hub-18\""));
}

/* Nor what else happens to hub-17: five at once, and one in ten seconds, of each sign. */
static void one_sign_does_not_hide_another_of_the_same_device(void **state)
{
	struct fake *f = *state;

	rotate(f, 5, NEXT);
	fleet_simple(f->registry, KT_RECORD_PROMOTED, "hub-17", 5);
	fake_durable(f);
	for (int i = 0; i < 50; i++) {
		fake_forget(f);
		(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	}
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 5);
	kt_clone_on_second_key(f->core, hub(f), 7, 0);
	assert_told(f, KT_EVENT_CLONE_ALARMED, "second_key", "\"op\":\"7\"");
}

static void alarms_that_were_left_out_are_counted_and_told(void **state)
{
	struct fake *f = *state;

	rotate(f, 5, NEXT);
	for (int i = 0; i < 12; i++)
		(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 5);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_SUPERSEDED), 12);
	fake_later(f, 9800);
	fake_tick(f);
	assert_null(fake_event(f, "log.dropped"));
	fake_tick(f);
	assert_non_null(strstr(fake_event(f, "log.dropped"),
			       "\"device\":\"hub-17\",\"of\":\"clone.suspected\",\"count\":\"7\""));
	fake_forget(f);
	fake_ticks(f, 101);
	assert_null(fake_event(f, "log.dropped")); /* once */
}

static void the_next_alarm_says_how_many_were_left_out(void **state)
{
	struct fake *f = *state;

	rotate(f, 5, NEXT);
	for (int i = 0; i < 12; i++)
		(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	fake_later(f, 10000);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_told(f, KT_EVENT_CLONE_SUSPECTED, "superseded", "\"dropped\":\"7\"");
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 6);
}

/* However many devices' old keys a stranger has: each device's first alarm is told. */
static void no_number_of_devices_fills_the_table(void **state)
{
	enum { DEVICES = KT_LIMITS_MAX + 100 };
	struct fake *f = *state;

	for (unsigned i = 0; i < DEVICES; i++) {
		char id[32];
		char old[128];
		char next[128];

		(void)snprintf(id, sizeof(id), "many-%u", i);
		(void)snprintf(old, sizeof(old), "spiffe://" FLEET_TD "/device/%s" END "|g1", id);
		(void)snprintf(next, sizeof(next), "spiffe://" FLEET_TD "/device/%s" END "|g2", id);
		(void)fleet_active(f->registry, id, "west", old);
		fleet_open(f->registry, id, 5);
		fleet_issue(f->registry, id, next);
		fleet_commit(f->registry, id);
	}
	fake_durable(f);
	for (unsigned i = 0; i < DEVICES; i++) {
		char id[32];
		char old[128];

		(void)snprintf(id, sizeof(id), "many-%u", i);
		(void)snprintf(old, sizeof(old), "spiffe://" FLEET_TD "/device/%s" END "|g1", id);
		fake_forget(f);
		for (int k = 0; k < 7; k++)
			(void)fake_connect(f, APP, id, NULL, old);
		assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 5 * (i + 1));
	}
	fake_forget(f);
	fake_later(f, 10000);
	f->logged[KT_EVENT_LOG_DROPPED] = 0;
	for (int i = 0; i < 50; i++) {
		fake_forget(f);
		fake_tick(f);
	}
	/* one line for each that is in the table, one for all that made room, one of client.refused
	 */
	assert_int_equal(f->logged[KT_EVENT_LOG_DROPPED], KT_LIMITS_MAX + 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_refused_credential_is_told_and_never_more),
		T(a_flood_of_one_devices_alarms_swallows_no_other),
		T(one_sign_does_not_hide_another_of_the_same_device),
		T(alarms_that_were_left_out_are_counted_and_told),
		T(the_next_alarm_says_how_many_were_left_out),
		T(no_number_of_devices_fills_the_table),
		T(two_addresses_in_turn_are_told_once),
		T(after_a_quiet_time_they_are_told_again),
		T(one_of_them_may_come_twice_in_a_row),
		T(what_a_hub_does_by_itself_is_nobodys_business),
		T(the_turns_of_two_client_ids_are_not_one),
		T(another_credential_begins_anew),
		T(who_went_by_itself_was_not_taken_over),
		T(contention_quarantines_where_it_shall),
		T(a_ledger_that_fails_quarantines_in_memory),
		T(a_second_key_freezes_and_no_more),
		T(a_second_key_quarantines_where_it_shall),
		T(who_is_quarantined_already_stays_so),
		T(a_message_of_an_older_key_is_told_once),
		T(it_need_not_be_the_last_one),
		T(nobodys_signature_is_refused_without_an_alarm),
		T(a_session_that_was_superseded_meanwhile_is_no_alarm),
		T(an_op_that_cannot_be_is_told_once),
		T(a_newer_op_within_its_bound_is_no_alarm),
		T(an_op_that_cannot_be_quarantines_where_it_shall),
		T(a_number_that_is_no_op_is_told_too),
		T(while_reconciling_it_is_a_suspicion),
		T(every_signal_has_a_name_of_its_own),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
