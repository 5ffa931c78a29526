#include "agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lone_hub.h"

/* When to connect, and with which of two credentials (PROTOCOL: the new one first; on a refusal or
 * silence the old one once; never give up, never drop a key for it). */

static int setup(void **state)
{
	*state = hub_new();
	return 0;
}

static int teardown(void **state)
{
	struct hub *h = *state;

	/* whatever happens to links, no credential goes */
	assert_true(h->disk.record.active.dir != 0 || h->disk.record.pending.dir != 0);
	hub_free(h);
	return 0;
}

/* A pending credential, nothing connected: as after a restart in the middle of a trial. */
static void start_with_two(struct hub *h)
{
	struct kt_agent_record *r = &h->disk.record;

	r->phase = KT_AGENT_CERT;
	r->pending = (struct kt_slot){
		.dir = 200, .op = 200, .generation = 2, .alg = KT_ALG_ES256, .fp = hub_fp(HUB_NEW)};
	r->op = 200;
	hub_start(h);
}

static const char *const old_opens = "open agent hub-17:agent /state/1";
static const char *const new_opens = "open trial hub-17:trial /state/200";

/* --- back-off --- */

static void comes_back_after_the_least_delay_at_first(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 1000);
	hub_pass(h, 999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, old_opens);
}

/* The longest that may be drawn doubles with each try, up to backoff_max. */
static void the_back_off_doubles_to_its_limit(void **state)
{
	static const int64_t longest_s[] = {2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300};
	struct hub *h = *state;

	hub_start(h);
	for (size_t i = 0; i < sizeof(longest_s) / sizeof(longest_s[0]); i++) {
		h->trace.count = 0;
		h->jitter = (uint32_t)(longest_s[i] * 1000 - 1000);
		hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
		assert_int_equal(kt_agent_next_tick_ms(h->agent),
				 h->now.mono_ms + longest_s[i] * 1000);
		/* one more would begin at the least again */
		hub_pass(h, longest_s[i] * 1000);
		TRACE_EXPECT(&h->trace, old_opens);
	}
	h->jitter = 300000 - 1000 + 1;
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 1000);
}

static void without_entropy_the_back_off_is_the_longest(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	h->entropy_fails = true;
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 2000);
}

static void a_session_ends_the_back_off(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	for (int i = 0; i < 5; i++) {
		hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
		hub_pass(h, 1000);
	}
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	h->jitter = UINT32_MAX - UINT32_MAX % 1; /* any: there is nothing to draw from */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 1000);
}

static void an_open_that_fails_is_tried_again_later(void **state)
{
	struct hub *h = *state;

	h->transport.open_fails = true;
	hub_start(h);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 1000);
	h->transport.open_fails = false;
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, old_opens);
}

static void a_refused_hub_with_one_credential_comes_back_as_well(void **state)
{
	struct hub *h = *state;
	struct kt_agent_status status;

	hub_start(h);
	h->trace.count = 0;
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	assert_non_null(strstr(h->log_line, "event=link.refused"));
	kt_agent_status(h->agent, &status);
	assert_string_equal(status.last_reason, "refused:agent");
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, old_opens);
}

static void a_down_of_a_link_that_is_down_is_ignored(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	h->log_line[0] = '\0';
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	assert_string_equal(h->log_line, "");
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 1000);
}

/* The hello or its answer got lost in the plugin: nobody else would ever end this connection. */
static void a_session_without_a_welcome_is_closed_and_tried_again_later(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	assert_int_equal(kt_agent_next_tick_ms(h->agent), h->now.mono_ms + 60000);
	hub_pass(h, 59999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "close agent");
	kt_agent_tick(h->agent, h->now);
	TRACE_NOTHING(&h->trace);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, old_opens);
}

static void a_session_with_a_welcome_may_be_silent_for_ever(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_pass(h, 86400000);
	TRACE_NOTHING(&h->trace);
}

/* --- the trial beside the live link --- */

static void the_live_link_stays_while_the_new_one_is_tried(void **state)
{
	struct hub *h = *state;
	struct kt_message *m;

	hub_confirmed(h);
	assert_int_equal(hub_health(h), KT_HEALTH_ROTATING);
	m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_CHALLENGE);
	hub_say(h, KT_LINK_AGENT, m);
	TRACE_EXPECT(&h->trace, "send agent answer");
	assert_int_equal(h->disk.sealed_by, 1);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, new_opens);
}

/* Lost while the trial is under way: the new credential goes first, so the old one waits. */
static void the_live_link_is_not_reopened_while_the_new_one_goes_first(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 29999);
	TRACE_EXPECT(&h->trace, "send trial confirm");
}

static void an_overdue_trial_is_closed_once(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_pass(h, 29999);
	TRACE_EXPECT(&h->trace, "send trial confirm");
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "send trial confirm", "close trial");
	assert_true(kt_agent_next_tick_ms(h->agent) > h->now.mono_ms);
	kt_agent_tick(h->agent, h->now);
	TRACE_NOTHING(&h->trace);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, new_opens);
}

/* --- two credentials --- */

static void the_new_one_goes_first(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	TRACE_EXPECT(&h->trace, new_opens);
	hub_pass(h, 20000);
	TRACE_NOTHING(&h->trace);
}

static void a_refusal_gives_the_old_one_one_turn(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	h->trace.count = 0;
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	TRACE_EXPECT(&h->trace, old_opens); /* at once */
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, new_opens); /* the new one is tried on beside it */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	hub_pass(h, 20000);
	TRACE_NOTHING(&h->trace); /* it was one turn */
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	TRACE_EXPECT(&h->trace, old_opens);
}

static void the_cycle_never_ends(void **state)
{
	struct hub *h = *state;
	unsigned old_turns = 0;
	unsigned new_turns = 0;

	start_with_two(h);
	h->trace.count = 0;
	for (int i = 0; i < 200; i++) {
		hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
		hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
		hub_pass(h, 300000);
		for (size_t j = 0; j < h->trace.count; j++) {
			old_turns += strcmp(h->trace.lines[j], old_opens) == 0;
			new_turns += strcmp(h->trace.lines[j], new_opens) == 0;
		}
		h->trace.count = 0;
	}
	assert_int_equal(old_turns, 200);
	assert_int_equal(new_turns, 200);
	assert_int_equal(h->disk.record.active.dir, 1);
	assert_int_equal(h->disk.record.pending.dir, 200);
}

static void fail_trial(struct hub *h, enum kt_link_cause cause, int64_t after_ms)
{
	hub_pass(h, after_ms);
	hub_down(h, KT_LINK_TRIAL, cause);
}

static void silence_is_three_tries_and_a_minute(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 0);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 1000);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 1000);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 1000);
	TRACE_EXPECT(&h->trace, new_opens, new_opens, new_opens, new_opens);
	/* many tries, not a minute yet */
	fail_trial(h, KT_CAUSE_NO_ANSWER, 56999);
	TRACE_EXPECT(&h->trace, new_opens);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 1000);
	TRACE_EXPECT(&h->trace, new_opens, old_opens);
}

static void a_minute_with_two_tries_is_no_silence_yet(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 0);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 90000);
	TRACE_EXPECT(&h->trace, new_opens, new_opens);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 1000);
	TRACE_EXPECT(&h->trace, new_opens, old_opens);
}

/* Nothing but an authenticated refusal is one. */
static void all_other_ends_are_silence(void **state)
{
	static const enum kt_link_cause causes[] = {KT_CAUSE_NO_ANSWER, KT_CAUSE_LOST,
						    KT_CAUSE_UNTRUSTED, KT_CAUSE_TAKEN_OVER,
						    KT_CAUSE_KICKED};
	struct hub *h = *state;

	start_with_two(h);
	h->trace.count = 0;
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		hub_down(h, KT_LINK_TRIAL, causes[i]);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 1000);
		TRACE_EXPECT(&h->trace, new_opens);
	}
}

static void a_welcome_ends_the_silence(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 0);
	fail_trial(h, KT_CAUSE_NO_ANSWER, 30000);
	hub_pass(h, 30000);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	h->trace.count = 0;
	fail_trial(h, KT_CAUSE_LOST, 1000);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, new_opens);
}

/* A server that lets the new one in and never commits. */
static void trials_that_come_to_nothing_are_silence(void **state)
{
	struct hub *h = *state;

	start_with_two(h);
	for (int i = 0; i < 3; i++) {
		hub_up(h, KT_LINK_TRIAL);
		hub_pass(h, 30000);
		assert_string_equal(h->trace.lines[h->trace.count - 1], "close trial");
		h->trace.count = 0;
		hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
		if (i < 2) {
			TRACE_NOTHING(&h->trace);
			hub_pass(h, 1000);
			TRACE_EXPECT(&h->trace, new_opens);
		}
	}
	TRACE_EXPECT(&h->trace, old_opens);
}

/* --- closed --- */

static void after_closed_the_old_one_goes_first(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED); /* superseded by a restored backup */
	h->trace.count = 0;
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	TRACE_EXPECT(&h->trace, "send agent hello");
	hub_pass(h, 9999);
	TRACE_NOTHING(&h->trace); /* no trial beside it */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, old_opens); /* a session that was lost says nothing */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	TRACE_EXPECT(&h->trace, new_opens); /* it did not get in: the new one has a turn */
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, old_opens);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_NO_ANSWER);
	hub_pass(h, 3600000);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.pending.dir, 200); /* a server may say so by mistake */
}

static void after_closed_a_newer_rotate_is_obeyed(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 300", "save key a=1 p=300 r=0 none", "wipe 200",
		     "send agent csr");
	hub_cert(h, KT_LINK_AGENT, 300, HUB_LATER);
	TRACE_EXPECT(&h->trace, "cert 300", "save cert a=1 p=300 r=0 none",
		     "open trial hub-17:trial /state/300");
}

static void closed_in_the_middle_of_a_request_ends_its_repeats(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	hub_pass(h, 9999);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
	assert_int_equal(h->disk.record.pending.dir, 200);
}

/* `closed` may be a mistake, and nobody takes it back unasked. */
static void closed_is_asked_about_again_for_as_long_as_it_is_the_last_word(void **state)
{
	static const int64_t pause_s[] = {10, 10, 20, 40, 80, 160, 320, 600, 600};
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	h->trace.count = 0;
	for (size_t i = 0; i < sizeof(pause_s) / sizeof(pause_s[0]); i++) {
		hub_pass(h, pause_s[i] * 1000 - 1);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 1);
		TRACE_EXPECT(&h->trace, "send agent hello");
		/* the connection's own dn: another would be refused (PROTOCOL, hello) */
		assert_memory_equal(hub_sent(h)->dn.b, h->dn[KT_LINK_AGENT].b, KT_NONCE_LEN);
		assert_int_equal(hub_sent(h)->u.hello.phase, KT_PHASE_KEY);
		assert_int_equal(hub_sent(h)->u.hello.op, 200);
		if (i != 3) /* an answer that is lost changes nothing */
			hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
		TRACE_NOTHING(&h->trace);
	}
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CERT);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "cert 200", "save cert a=1 p=200 r=0 none",
		     "open trial hub-17:trial /state/200");
	hub_pass(h, 29999);
	TRACE_NOTHING(&h->trace); /* nothing more to ask about */
}

/* Of a plugin that errs: no word of it helps a hub with a key in hand, and no other comes unasked.
 */
static void what_leads_nowhere_is_asked_about_again(void **state)
{
	static const enum kt_next nexts[] = {KT_NEXT_NONE, KT_NEXT_CONFIRM, KT_NEXT_COMMITTED};
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	for (size_t i = 0; i < sizeof(nexts) / sizeof(nexts[0]); i++) {
		hub_restart(h);
		hub_up(h, KT_LINK_AGENT);
		h->trace.count = 0;
		hub_welcome(h, KT_LINK_AGENT, nexts[i]);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 9999);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 1);
		TRACE_EXPECT(&h->trace, "send agent hello");
		assert_int_equal(hub_sent(h)->u.hello.op, 200);
	}
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CERT);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "cert 200", "save cert a=1 p=200 r=0 none",
		     "open trial hub-17:trial /state/200");
}

static void closed_in_the_trial_is_asked_about_in_the_session_beside_it(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CLOSED);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	h->trace.count = 0;
	hub_pass(h, 9999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "send agent hello");
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/200");
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	TRACE_EXPECT(&h->trace, "send trial confirm");
}

static void after_closed_the_same_rotate_says_that_the_op_is_open(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CLOSED);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/200");
}

/* To nobody but a plugin that has forgotten the op: it is told by a hello, as at a new connect. */
static void an_op_that_nobody_knows_is_as_closed(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->disk.bad_cert = KT_REASON_CERT_KEY;
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_UNKNOWN, 0, 199); /* another one */
	h->trace.count = 0;
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_UNKNOWN, 0, 200);
	hub_pass(h, 9999);
	TRACE_NOTHING(&h->trace); /* neither csr nor failed is repeated */
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "send agent hello");
	assert_int_equal(hub_sent(h)->u.hello.op, 200);
}

/* Only what was asked for is heard: a welcome that comes twice begins nothing. */
static void a_welcome_that_nobody_asked_for_is_ignored(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/200");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(comes_back_after_the_least_delay_at_first),
		T(the_back_off_doubles_to_its_limit),
		T(without_entropy_the_back_off_is_the_longest),
		T(a_session_ends_the_back_off),
		T(an_open_that_fails_is_tried_again_later),
		T(a_refused_hub_with_one_credential_comes_back_as_well),
		T(a_down_of_a_link_that_is_down_is_ignored),
		T(a_session_without_a_welcome_is_closed_and_tried_again_later),
		T(a_session_with_a_welcome_may_be_silent_for_ever),
		T(the_live_link_stays_while_the_new_one_is_tried),
		T(the_live_link_is_not_reopened_while_the_new_one_goes_first),
		T(an_overdue_trial_is_closed_once),
		T(the_new_one_goes_first),
		T(a_refusal_gives_the_old_one_one_turn),
		T(the_cycle_never_ends),
		T(silence_is_three_tries_and_a_minute),
		T(a_minute_with_two_tries_is_no_silence_yet),
		T(all_other_ends_are_silence),
		T(a_welcome_ends_the_silence),
		T(trials_that_come_to_nothing_are_silence),
		T(after_closed_the_old_one_goes_first),
		T(after_closed_a_newer_rotate_is_obeyed),
		T(closed_in_the_middle_of_a_request_ends_its_repeats),
		T(closed_is_asked_about_again_for_as_long_as_it_is_the_last_word),
		T(what_leads_nowhere_is_asked_about_again),
		T(closed_in_the_trial_is_asked_about_in_the_session_beside_it),
		T(after_closed_the_same_rotate_says_that_the_op_is_open),
		T(an_op_that_nobody_knows_is_as_closed),
		T(a_welcome_that_nobody_asked_for_is_ignored),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
