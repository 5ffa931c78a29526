/* Outcomes of challenges and events, whatever arrives and whatever stands in it. */
#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ctl.h"

#define R(n)   "\"correlationData\":\"" FAKE_CTL_TOKEN "-" n "\""
#define ONE(x) "{\"responses\":[{\"command\":\"c\"," R("0") "," x "}]}"
#define TWO(x, y)                                                                                  \
	"{\"responses\":[{\"command\":\"c\"," R("0") "," x "},{\"command\":\"c\"," R("1") "," y    \
											  "}]}"
#define DATA   "\"data\":{}"
#define EVENTS "keyturn/v1/events/"

/* --- challenges ------------------------------------------------------------------------------- */

#define ANSWERED(id) "{\"event\":\"challenge.answered\",\"device\":\"" id "\",\"gen\":\"3\"}"
#define MISSED(id)   "{\"event\":\"challenge.missed\",\"device\":\"" id "\"}"
#define NO_ANSWER    "\"error\":\"state\",\"detail\":\"offline\""

struct wait {
	const char *line;
	const char *answer;
	const char *events[4];
	enum kt_err end_err;
	enum kt_ctl_exit code;
	const char *out;
	const char *err;
};

static void assert_wait(const struct wait *wait)
{
	struct fake_ctl fake = {.text = {wait->answer}, .end_err = wait->end_err};

	for (size_t k = 0; k < 4; k++) {
		fake.topic[k + 1] = EVENTS "x";
		fake.text[k + 1] = wait->events[k];
	}
	if (fake_ctl_run(&fake, wait->line) != wait->code)
		fail_msg("%s: %s%s", wait->line, fake.out, fake.err);
	assert_string_equal(fake.out, wait->out);
	assert_string_equal(fake.err, wait->err);
	fake_ctl_clear(&fake);
}

static void each_of_several_has_its_outcome(void **state)
{
	static const struct wait waits[] = {
		{"challenge a b --wait",
		 TWO(DATA, DATA),
		 {ANSWERED("b"), ANSWERED("a")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_OK,
		 "b: answered, generation 3\na: answered, generation 3\n",
		 ""},
		{"challenge a b --wait",
		 TWO(DATA, DATA),
		 {ANSWERED("a"), MISSED("b")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_FAILED,
		 "a: answered, generation 3\n",
		 "keyturnctl: b: did not answer\n"},
		/* the first outcome counts */
		{"challenge a b --wait",
		 TWO(DATA, DATA),
		 {MISSED("a"), ANSWERED("a"), ANSWERED("b")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_FAILED,
		 "b: answered, generation 3\n",
		 "keyturnctl: a: did not answer\n"},
		{"challenge a b --wait",
		 TWO(DATA, NO_ANSWER),
		 {ANSWERED("a")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_REFUSED,
		 "a: answered, generation 3\n",
		 "keyturnctl: b: state: offline\n"},
		{"challenge a b --wait",
		 TWO(NO_ANSWER, DATA),
		 {MISSED("b")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_FAILED,
		 "",
		 "keyturnctl: a: state: offline\nkeyturnctl: b: did not answer\n"},
		{"challenge a b --wait",
		 TWO(NO_ANSWER, NO_ANSWER),
		 {NULL},
		 KT_ERR_OK,
		 KT_CTL_EXIT_REFUSED,
		 "",
		 "keyturnctl: a: state: offline\nkeyturnctl: b: state: offline\n"},
		{"challenge a b --wait",
		 TWO(DATA, DATA),
		 {MISSED("a")},
		 KT_ERR_CLOSED,
		 KT_CTL_EXIT_CONNECTION,
		 "",
		 "keyturnctl: a: did not answer\n"
		 "keyturnctl: the outcome: the broker said why\nkeyturnctl: b: no outcome\n"},
		{"challenge a --wait --json",
		 ONE(DATA),
		 {ANSWERED("a")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_OK,
		 ANSWERED("a") "\n",
		 ""},
		{"challenge a --wait",
		 ONE(DATA),
		 {"{", ANSWERED("a")},
		 KT_ERR_OK,
		 KT_CTL_EXIT_OK,
		 "a: answered, generation 3\n",
		 "keyturnctl: " EVENTS "x: cannot be understood\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		assert_wait(&waits[i]);
}

static void a_wait_that_ends_says_how_long_it_was(void **state)
{
	static const struct wait waits[] = {
		{"challenge a --wait",
		 ONE(DATA),
		 {NULL},
		 KT_ERR_OK,
		 KT_CTL_EXIT_TIMEOUT,
		 "",
		 "keyturnctl: the outcome: nothing within 75 s\nkeyturnctl: a: no outcome\n"},
		{"challenge a --wait --timeout 3s",
		 ONE(DATA),
		 {NULL},
		 KT_ERR_OK,
		 KT_CTL_EXIT_TIMEOUT,
		 "",
		 "keyturnctl: the outcome: nothing within 3 s\nkeyturnctl: a: no outcome\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		assert_wait(&waits[i]);
}

/* --- events ----------------------------------------------------------------------------------- */

/* Client ids and user names of strangers are in events: quoted as in the plugin's log. */
static void no_text_of_an_event_looks_like_another_field(void **state)
{
	static const struct {
		const char *event;
		const char *line;
	} cases[] = {
		{"{\"client\":\"x\\\" device=\\\"hub-1\"}", "client=\"x\\\" device=\\\"hub-1\""},
		{"{\"client\":\"x\\\\\"}", "client=\"x\\\\\""},
		{"{\"client\":\"a b\"}", "client=\"a b\""},
		{"{\"client\":\"a=b\"}", "client=\"a=b\""},
		{"{\"client\":\"\"}", "client=\"\""},
		{"{\"client\":\"a\\u001bb\"}", "client=\"a\\x1bb\""},
		{"{\"client\":\"a.b:c/d@e+f-g_1\"}", "client=a.b:c/d@e+f-g_1"},
		{"{\"n\":5,\"b\":true,\"o\":{}}", "n=5 b=yes o=?"},
		{"{\"a b\\\"=\":1}", "\"a b\\\"=\"=1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.topic = {EVENTS "x"}, .text = {cases[i].event}};
		char expected[256];

		assert_int_equal(fake_ctl_run(&fake, "events"), KT_CTL_EXIT_OK);
		(void)snprintf(expected, sizeof(expected), "- - %s\n", cases[i].line);
		assert_string_equal(fake.out, expected);
		fake_ctl_clear(&fake);
	}
}

static void what_is_no_event_is_passed_over(void **state)
{
	struct fake_ctl fake = {
		.topic = {EVENTS "x", "keyturn/v1/eventsX", NULL, EVENTS "x\x1b", EVENTS "y"},
		.text = {"[]", "{\"event\":\"no\"}", "{\"event\":\"no\"}", "",
			 "{\"time\":\"soon\",\"event\":\"yes\"}"}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, "soon yes\n");
	assert_string_equal(fake.err, "keyturnctl: " EVENTS "x: cannot be understood\n"
				      "keyturnctl: " EVENTS "x\\x1b: cannot be understood\n");
	fake_ctl_clear(&fake);
}

static void a_time_that_is_none_stays_as_it_is(void **state)
{
	static const char *const times[] = {"-1", "1x", "99999999999999999999", "",
					    "9223372036854775808"};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char text[128];
		char expected[128];
		struct fake_ctl fake = {.topic = {EVENTS "x"}, .text = {text}};

		(void)snprintf(text, sizeof(text), "{\"time\":\"%s\",\"event\":\"e\"}", times[i]);
		(void)snprintf(expected, sizeof(expected), "%s e\n", times[i]);
		assert_int_equal(fake_ctl_run(&fake, "events"), KT_CTL_EXIT_OK);
		assert_string_equal(fake.out, expected);
		fake_ctl_clear(&fake);
	}
}

static void a_watch_that_may_not_be_is_refused(void **state)
{
	struct fake_ctl fake = {.subscribe_err = KT_ERR_DENIED};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events --follow"), KT_CTL_EXIT_CONNECTION);
	assert_string_equal(fake.err, "keyturnctl: the subscription: the broker said why\n");
	assert_true(fake.is_closed);
	fake_ctl_clear(&fake);
}

int main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(each_of_several_has_its_outcome),
		T(a_wait_that_ends_says_how_long_it_was),
		T(no_text_of_an_event_looks_like_another_field),
		T(what_is_no_event_is_passed_over),
		T(a_time_that_is_none_stays_as_it_is),
		T(a_watch_that_may_not_be_is_refused),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_events", tests, NULL, NULL);
}
