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
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
