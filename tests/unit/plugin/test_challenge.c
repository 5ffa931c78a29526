#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"

#define LEAF "spiffe://" FLEET_TD "/device/hub-17|1600000000|253402300799|g1"

enum { AGENT = 16, TRIAL = 32 };

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

static enum kt_reason challenge(struct fake *f)
{
	enum kt_reason reason =
		kt_challenge_send(f->core, kt_registry_find_device(f->registry, "hub-17"),
				  "op:test")
			.reason;

	fake_seal_all(f);
	return reason;
}

/* @spoil: flips a bit of the nonce. */
static void answer(struct fake *f, const char *cert, bool spoil)
{
	struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_ANSWER);

	m->u.answer.nonce = fake_session(f, AGENT)->challenge;
	if (spoil)
		m->u.answer.nonce.b[31] ^= 1;
	m->u.answer.fp = fake_fingerprint(cert);
	m->u.answer.report.generation = 1;
	(void)snprintf(m->u.answer.report.agent, sizeof(m->u.answer.report.agent), "1.0.0");
	fake_say(f, AGENT, m, NULL);
}

static bool was_rejected(const struct fake *f, const char *reason)
{
	const char *text = fake_sent(f, "hub-17:agent", "reject");

	return text != NULL && strstr(text, reason) != NULL;
}

static void an_answer_proves_the_key(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(challenge(f), KT_REASON_NONE);
	assert_non_null(fake_sent(f, "hub-17:agent", "challenge"));
	answer(f, LEAF, false);
	assert_non_null(strstr(fake_event(f, "challenge.answered"), "\"agent\":\"1.0.0\""));
	assert_false(fake_session(f, AGENT)->has_challenge);
}

static void a_nonce_serves_once(void **state)
{
	struct fake *f = *state;
	struct kt_challenge_nonce used;
	struct kt_message *m;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	used = fake_session(f, AGENT)->challenge;
	answer(f, LEAF, false);
	m = fake_message(f, AGENT, KT_MESSAGE_ANSWER);
	m->u.answer.nonce = used;
	m->u.answer.fp = fake_fingerprint(LEAF);
	fake_say(f, AGENT, m, NULL);
	assert_true(was_rejected(f, "nonce.wrong"));
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 1);
}

static void refuses_a_wrong_nonce_and_a_wrong_fingerprint(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	answer(f, LEAF, false); /* none was asked: all zero does not count */
	assert_true(was_rejected(f, "nonce.wrong"));
	fake_forget(f);
	(void)challenge(f);
	answer(f, LEAF, true);
	assert_true(was_rejected(f, "nonce.wrong"));
	answer(f, "another|0|1", false);
	assert_true(was_rejected(f, "fp.wrong"));
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 0);
}

static void an_answer_after_a_minute_is_too_late(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	fake_later(f, 60000);
	answer(f, LEAF, false);
	assert_true(was_rejected(f, "nonce.wrong"));
	fake_ticks(f, 15);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_non_null(fake_event(f, "challenge.missed"));
	fake_ticks(f, 15);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
}

static void one_challenge_at_a_time(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(challenge(f), KT_REASON_NONE);
	assert_int_equal(challenge(f), KT_REASON_BUSY);
	fake_later(f, 60000);
	fake_tick(f);
	assert_int_equal(challenge(f), KT_REASON_NONE);
}

static void needs_an_agent_that_said_hello(void **state)
{
	struct fake *f = *state;

	assert_int_equal(challenge(f), KT_REASON_STATE);
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	assert_int_equal(challenge(f), KT_REASON_STATE);
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF);
	assert_int_equal(challenge(f), KT_REASON_STATE);
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL);
	assert_int_equal(challenge(f), KT_REASON_NONE);
}

static void a_new_connection_cannot_answer_for_the_old_one(void **state)
{
	struct fake *f = *state;
	struct kt_challenge_nonce asked;
	struct kt_message *m;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	asked = fake_session(f, AGENT)->challenge;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	m = fake_message(f, AGENT, KT_MESSAGE_ANSWER);
	m->u.answer.nonce = asked;
	m->u.answer.fp = fake_fingerprint(LEAF);
	fake_say(f, AGENT, m, NULL);
	assert_true(was_rejected(f, "nonce.wrong"));
}

/* --- by itself --- */

enum { EVERY_MS = 600000, FLEET = 2000 };

/* Ticks for @ms; how many challenges went to the hub, each answered where @answers. */
static unsigned live(struct fake *f, int64_t ms, bool answers)
{
	unsigned count = 0;

	for (int64_t i = 0; i < ms; i += 1000) {
		fake_later(f, 900);
		fake_tick(f);
		fake_seal_all(f);
		if (fake_sent(f, "hub-17:agent", "challenge") == NULL)
			continue;
		count++;
		if (answers)
			answer(f, LEAF, false);
		fake_forget(f);
	}
	return count;
}

static void a_hub_is_challenged_once_in_each_period(void **state)
{
	struct fake *f = *state;

	f->config.challenge_every_ms = EVERY_MS;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(live(f, EVERY_MS, true), 1);
	assert_int_equal(live(f, EVERY_MS, true), 1);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 2);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 0);
}

static void never_where_the_period_is_none(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(live(f, 3 * EVERY_MS, true), 0);
}

static void a_missed_one_is_told_and_the_next_period_tries_again(void **state)
{
	struct fake *f = *state;

	f->config.challenge_every_ms = EVERY_MS;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(live(f, EVERY_MS + 61000, false), 1);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_false(kt_registry_find_device(f->registry, "hub-17")->quarantined);
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	assert_int_equal(live(f, EVERY_MS, true), 1);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 1);
}

/* Whoever comes and goes has the moments that it would have had. */
static void a_new_connection_does_not_put_it_off(void **state)
{
	struct fake *f = *state;
	unsigned count = 0;

	f->config.challenge_every_ms = EVERY_MS;
	for (unsigned i = 0; i < 20; i++) {
		(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
		count += live(f, EVERY_MS / 10, true);
	}
	assert_int_equal(count, 2);
}

static void who_is_offline_is_not_silent(void **state)
{
	struct fake *f = *state;

	f->config.challenge_every_ms = EVERY_MS;
	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	while (live(f, 1000, false) == 0)
		continue;
	kt_core_disconnect(f->core, f->now, AGENT);
	assert_int_equal(live(f, 2 * EVERY_MS, false), 0);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 0);
	assert_false(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

static void who_has_not_said_hello_is_asked_when_it_has(void **state)
{
	struct fake *f = *state;

	f->config.challenge_every_ms = EVERY_MS;
	f->config.hello_timeout_ms = 10 * EVERY_MS;
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF);
	assert_int_equal(live(f, 2 * EVERY_MS, true), 0);
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL);
	assert_int_equal(live(f, 2000, true), 1);
	assert_null(fake_sent(f, "hub-17:trial", "challenge"));
}

/* It was the operator's that was missed: the policy is the same for both. */
static void one_that_an_operator_asked_for_serves_as_well(void **state)
{
	struct fake *f = *state;
	int64_t due_ms;

	f->config.challenge_every_ms = EVERY_MS;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	due_ms = fake_session(f, AGENT)->challenge_due_ms;
	fake_later(f, due_ms - f->now.mono_ms - 500);
	(void)challenge(f);
	fake_forget(f);
	assert_int_equal(live(f, 30000, false), 0);
	assert_int_equal(fake_session(f, AGENT)->challenge_due_ms, due_ms + EVERY_MS);
}

/* The worst start: all of a fleet connects at once, after a restart. */
static void a_fleet_is_challenged_in_a_stream(void **state)
{
	struct fake *f = *state;
	unsigned seconds[EVERY_MS / 1000] = {0};
	unsigned most = 0;
	unsigned total = 0;

	f->config.challenge_every_ms = EVERY_MS;
	for (unsigned i = 0; i < FLEET; i++) {
		char id[32];
		char cert[128];
		const struct kt_device *device;
		struct kt_session session = {.kind = KT_SESSION_AGENT};
		int64_t in_ms;

		(void)snprintf(id, sizeof(id), "fleet-%u", i);
		(void)snprintf(cert, sizeof(cert), "%s", id);
		device = fleet_active(f->registry, id, "west", cert);
		session.device = device;
		kt_challenge_plan(f->core, &session);
		in_ms = session.challenge_due_ms - f->now.mono_ms;
		assert_in_range(in_ms, 1, EVERY_MS);
		seconds[(in_ms - 1) / 1000]++;
	}
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		total += seconds[i];
		most = seconds[i] > most ? seconds[i] : most;
	}
	assert_int_equal(total, FLEET);
	assert_in_range(most, 4, 16); /* 3.3 on the average */
}

/* However many are due: a tick has no more than its share of them. */
static void no_tick_sends_more_than_its_share(void **state)
{
	enum { HUBS = 200 };
	struct fake *f = *state;
	unsigned sent = 0;
	unsigned ticks = 0;

	f->config.challenge_every_ms = EVERY_MS;
	for (unsigned i = 0; i < HUBS; i++) {
		char id[64];
		char cert[128];

		(void)snprintf(id, sizeof(id), "fleet-%u", i);
		(void)snprintf(cert, sizeof(cert),
			       "spiffe://" FLEET_TD "/device/%s|1600000000|253402300799|g1", id);
		(void)fleet_active(f->registry, id, "west", cert);
		fake_durable(f);
		(void)snprintf(id, sizeof(id), "fleet-%u:agent", i);
		(void)fake_hello(f, 4096 + i * 16, id, cert);
	}
	fake_later(f, EVERY_MS);
	while (sent < HUBS && ticks < 100) {
		unsigned now = 0;

		fake_later(f, 900);
		fake_forget(f);
		fake_tick(f);
		fake_seal_all(f);
		for (size_t i = 0; i < f->published_count; i++)
			now += strncmp(f->published[i].text, "challenge", 9) == 0 ? 1 : 0;
		assert_in_range(now, 0, 64);
		sent += now;
		ticks++;
	}
	assert_int_equal(sent, HUBS);
	assert_int_equal(ticks, 4);
}

/* --- silence --- */

static void silence_quarantines_where_it_shall(void **state)
{
	struct fake *f = *state;
	const struct kt_device *device = kt_registry_find_device(f->registry, "hub-17");

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	(void)live(f, 59000, false);
	assert_false(device->quarantined);
	(void)live(f, 3000, false);
	assert_true(device->quarantined);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 1);
	assert_int_equal(f->appended[f->appended_count - 1], KT_RECORD_QUARANTINE);
	assert_non_null(fake_session(f, AGENT)); /* its sessions stay, for Keyturn's topics */
	(void)challenge(f);
	(void)live(f, 62000, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 2);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_QUARANTINED], 1);
}

/* The agent's silence says nothing of the hub's other programs: theirs go on. */
static void silence_disconnects_the_agent_where_it_shall(void **state)
{
	struct fake *f = *state;

	f->config.challenge_silence = KT_POLICY_DISCONNECT;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_connect(f, AGENT + 1, "hub-17", NULL, LEAF);
	(void)challenge(f);
	fake_later(f, 60000);
	fake_ticks(f, 15);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_false(fake_was_kicked(f, "hub-17"));
	assert_int_equal(kt_core_count(f->core, KT_REASON_CHALLENGE_TIMEOUT), 1);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_false(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

static void a_wrong_answer_is_as_good_as_none(void **state)
{
	struct fake *f = *state;

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	answer(f, LEAF, true);
	answer(f, "another|0|1", false);
	(void)live(f, 62000, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_true(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

/* What a late answer is worth: nothing, an operator looks first. */
static void a_late_answer_ends_no_quarantine(void **state)
{
	struct fake *f = *state;
	struct kt_challenge_nonce asked;
	struct kt_message *m;

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	asked = fake_session(f, AGENT)->challenge;
	(void)live(f, 62000, false);
	m = fake_message(f, AGENT, KT_MESSAGE_ANSWER);
	m->u.answer.nonce = asked;
	m->u.answer.fp = fake_fingerprint(LEAF);
	fake_say(f, AGENT, m, NULL);
	assert_true(was_rejected(f, "nonce.wrong"));
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 0);
	assert_true(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

/* The workers had no time for it: the hub has not heard of it. */
static void what_never_left_is_not_missed(void **state)
{
	struct fake *f = *state;

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(kt_challenge_send(f->core, kt_registry_find_device(f->registry, "hub-17"),
					   "op:test")
				 .reason,
			 KT_REASON_NONE);
	f->sync_at_once = false;
	fake_later(f, 60000);
	fake_ticks(f, 15);
	assert_false(fake_session(f, AGENT)->has_challenge);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 0);
	assert_false(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

static void the_time_counts_from_when_it_left(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)kt_challenge_send(f->core, kt_registry_find_device(f->registry, "hub-17"), "op:test");
	fake_later(f, 50000);
	fake_seal_all(f);
	fake_later(f, 59999);
	answer(f, LEAF, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 1);
}

/* A whole fleet answers at once, and our own queue is full: that is no silence of the hub's. */
static void an_answer_that_we_had_no_time_for_is_asked_for_again(void **state)
{
	struct fake *f = *state;
	struct kt_challenge_nonce asked;

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	asked = fake_session(f, AGENT)->challenge;
	f->jobs_are_full = true;
	answer(f, LEAF, false);
	f->jobs_are_full = false;
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 0);
	(void)live(f, 4000, false);
	assert_memory_equal(&fake_session(f, AGENT)->challenge, &asked, sizeof(asked));
	(void)live(f, 3000, false);
	assert_true(fake_session(f, AGENT)->has_challenge);
	assert_memory_not_equal(&fake_session(f, AGENT)->challenge, &asked, sizeof(asked));
	answer(f, LEAF, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_ANSWERED], 1);
	(void)live(f, 62000, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 0);
	assert_false(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

/* Whoever is asked again and says nothing is silent. */
static void who_is_asked_again_has_to_answer(void **state)
{
	struct fake *f = *state;

	f->config.challenge_silence = KT_POLICY_QUARANTINE;
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)challenge(f);
	f->jobs_are_full = true;
	answer(f, LEAF, false);
	f->jobs_are_full = false;
	(void)live(f, 70000, false);
	assert_int_equal(f->logged[KT_EVENT_CHALLENGE_MISSED], 1);
	assert_true(kt_registry_find_device(f->registry, "hub-17")->quarantined);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_answer_proves_the_key),
		T(a_nonce_serves_once),
		T(refuses_a_wrong_nonce_and_a_wrong_fingerprint),
		T(an_answer_after_a_minute_is_too_late),
		T(one_challenge_at_a_time),
		T(needs_an_agent_that_said_hello),
		T(a_new_connection_cannot_answer_for_the_old_one),
		T(a_hub_is_challenged_once_in_each_period),
		T(never_where_the_period_is_none),
		T(a_missed_one_is_told_and_the_next_period_tries_again),
		T(a_new_connection_does_not_put_it_off),
		T(who_is_offline_is_not_silent),
		T(who_has_not_said_hello_is_asked_when_it_has),
		T(one_that_an_operator_asked_for_serves_as_well),
		T(a_fleet_is_challenged_in_a_stream),
		T(no_tick_sends_more_than_its_share),
		T(silence_quarantines_where_it_shall),
		T(silence_disconnects_the_agent_where_it_shall),
		T(a_wrong_answer_is_as_good_as_none),
		T(a_late_answer_ends_no_quarantine),
		T(what_never_left_is_not_missed),
		T(the_time_counts_from_when_it_left),
		T(an_answer_that_we_had_no_time_for_is_asked_for_again),
		T(who_is_asked_again_has_to_answer),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
