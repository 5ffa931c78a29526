/* keyturnctl when the plugin, the way to it, the disk or the memory is not what it should be. */
#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "fake_ctl.h"

#define R(n)   "\"correlationData\":\"" FAKE_CTL_TOKEN "-" n "\""
#define ONE(x) "{\"responses\":[{\"command\":\"c\"," R("0") "," x "}]}"
#define TWO(x, y)                                                                                  \
	"{\"responses\":[{\"command\":\"c\"," R("0") "," x "},{\"command\":\"c\"," R("1") "," y    \
											  "}]}"
#define DATA   "\"data\":{}"
#define EVENTS "keyturn/v1/events/"
#define CANNOT "keyturnctl: the answer cannot be understood"
#define NOT_UNDERSTOOD                                                                             \
	CANNOT "; was the command carried out? (is this keyturnctl as new as the plugin?)\n"

/* --- memory: every allocation of ours fails once ---------------------------------------------- */

/* A run that lacks memory somewhere ends with LOCAL, or with all that it had to say. */
static void without_memory_nothing_is_half_said(void **state)
{
	static const struct {
		const char *line;
		const char *text;
		const char *event;
	} cases[] = {
		{"cancel a", ONE(DATA), NULL},
		{"cancel a b", TWO(DATA, "\"error\":\"state\",\"detail\":\"no\""), NULL},
		{"cancel a b --json", TWO(DATA, "\"error\":\"state\",\"detail\":\"no\""), NULL},
		{"cancel a --json", ONE("\"error\":\"state\",\"detail\":\"no\""), NULL},
		{"create-ticket a --raw", ONE("\"data\":{\"ticket\":\"t\",\"expires\":\"e\"}"),
		 NULL},
		{"create-ticket a --json", ONE("\"data\":{\"ticket\":\"t\"}"), NULL},
		{"list", ONE("\"data\":{\"devices\":[{\"device\":\"a\"}],\"total\":1}"), NULL},
		{"list --json", ONE("\"data\":{\"devices\":[{\"device\":\"a\"}],\"total\":1}"),
		 NULL},
		{"show a", ONE("\"data\":{\"device\":\"a\",\"o\":{\"x\":1},\"l\":[{\"y\":2}]}"),
		 NULL},
		{"rotate a b",
		 ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"1\"},"
		     "{\"device\":\"b\",\"op\":\"2\"}]}"),
		 NULL},
		{"rotate a --json", ONE("\"data\":{\"device\":\"a\",\"op\":\"1\"}"), NULL},
		{"challenge a --wait", ONE(DATA),
		 "{\"event\":\"challenge.answered\",\"device\":\"a\",\"gen\":\"3\"}"},
		{"challenge a --wait --json", ONE(DATA),
		 "{\"event\":\"challenge.answered\",\"device\":\"a\",\"gen\":\"3\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl whole = {.topic = {NULL, EVENTS "x"},
					 .text = {cases[i].text, cases[i].event}};
		const enum kt_ctl_exit good = fake_ctl_run(&whole, cases[i].line);
		bool has_failed = true;

		for (size_t n = 1; has_failed; n++) {
			struct fake_ctl fake = {.topic = {NULL, EVENTS "x"},
						.text = {cases[i].text, cases[i].event}};
			enum kt_ctl_exit code = KT_CTL_EXIT_OK;

			assert_in_range(n, 1, 5000);
			failing_alloc_set(n);
			code = fake_ctl_run(&fake, cases[i].line);
			has_failed = failing_alloc_end();
			if (code != KT_CTL_EXIT_LOCAL &&
			    (code != good || strcmp(fake.out, whole.out) != 0))
				fail_msg("%s, allocation %zu: exit %d: %s%s", cases[i].line, n,
					 (int)code, fake.out, fake.err);
			if (code == KT_CTL_EXIT_LOCAL && fake.err[0] == '\0')
				fail_msg("%s, allocation %zu: no word", cases[i].line, n);
			fake_ctl_clear(&fake);
		}
		fake_ctl_clear(&whole);
	}
}

static void no_memory_for_a_connection_is_local(void **state)
{
	struct fake_ctl fake = {.open_err = KT_ERR_NOMEM};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "status"), KT_CTL_EXIT_LOCAL);
	assert_string_equal(fake.err, "keyturnctl: out of memory\n");
	assert_false(fake.is_closed);
	fake_ctl_clear(&fake);
}

/* --- disk ------------------------------------------------------------------------------------- */

static void what_cannot_be_written_down_is_not_done(void **state)
{
	static const struct {
		const char *line;
		const char *text;
	} cases[] = {
		{"create-ticket a", ONE("\"data\":{\"ticket\":\"t\",\"expires\":\"e\"}")},
		{"create-ticket a --raw", ONE("\"data\":{\"ticket\":\"t\",\"expires\":\"e\"}")},
		{"create-ticket a --json", ONE("\"data\":{\"ticket\":\"t\",\"expires\":\"e\"}")},
		{"list", ONE("\"data\":{\"devices\":[],\"total\":0}")},
		{"status --json", ONE("\"data\":{\"a\":1}")},
		{"cancel a", ONE(DATA)},
		{"cancel a --json", ONE("\"error\":\"state\"")},
		{"--help", NULL},
		{"--version", NULL},
	};
	static const char said[] = "keyturnctl: the output could not be written\n";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.text = {cases[i].text}, .out_path = "/dev/full"};

		assert_int_equal(fake_ctl_run(&fake, cases[i].line), KT_CTL_EXIT_LOCAL);
		assert_non_null(strstr(fake.err, said));
		assert_null(strstr(fake.err, "\"ticket\""));
		fake_ctl_clear(&fake);
	}
}

static void a_full_disk_ends_a_watch(void **state)
{
	struct fake_ctl fake = {.topic = {EVENTS "x", EVENTS "x"},
				.text = {"{\"event\":\"a\"}", "{\"event\":\"b\"}"},
				.out_path = "/dev/full"};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events --follow"), KT_CTL_EXIT_LOCAL);
	assert_int_equal(fake.taken, 1);
	assert_string_equal(fake.err, "keyturnctl: the output could not be written\n");
	fake_ctl_clear(&fake);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answers_to_other_questions_are_not_believed(void **state)
{
	static const char *const answers[] = {
		/* swapped, one missing, one too many, twice the same, somebody else's */
		"{\"responses\":[{" R("1") "," DATA "},{" R("0") "," DATA "}]}",
		"{\"responses\":[{" R("0") "," DATA "}]}",
		"{\"responses\":[{" R("0") "," DATA "},{" R("1") "," DATA "},{" R("2") "," DATA
										       "}]}",
		"{\"responses\":[{" R("0") "," DATA "},{" R("0") "," DATA "}]}",
		"{\"responses\":[{" R("0") "," DATA "},{\"correlationData\":\"1\"," DATA "}]}",
		"{\"responses\":[{" R("0") "," DATA "},{\"correlationData\":1," DATA "}]}",
		/* the whole is refused by an error alone, and once */
		"{\"responses\":[{\"error\":\"denied\"},{\"error\":\"denied\"}]}",
		"{\"responses\":[{\"error\":true}]}",
		"{\"responses\":[{\"error\":\"denied\",\"data\":1}]}",
		"{\"responses\":[{\"error\":\"a\",\"error\":\"b\"}]}",
		"{\"responses\":[\"\xff\"]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct fake_ctl fake = {.text = {answers[i]}};

		assert_int_equal(fake_ctl_run(&fake, "cancel a b"), KT_CTL_EXIT_LOCAL);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.err, NOT_UNDERSTOOD);
		fake_ctl_clear(&fake);
	}
}

static void an_answer_without_end_is_not_read(void **state)
{
	const size_t len = (size_t)1 << 21;
	char *text = malloc(len + 1);
	struct fake_ctl fake = {.text = {text}};

	(void)state;
	assert_non_null(text);
	memset(text, '[', len);
	text[len] = '\0';
	assert_int_equal(fake_ctl_run(&fake, "cancel a"), KT_CTL_EXIT_LOCAL);
	assert_string_equal(fake.err, NOT_UNDERSTOOD);
	fake_ctl_clear(&fake);
	free(text);
}

static void what_comes_on_another_topic_is_no_answer(void **state)
{
	struct fake_ctl fake = {.topic = {EVENTS "x", "keyturn/v1/response", "$CONTROL/other"},
				.text = {ONE(DATA), ONE(DATA), ONE(DATA)}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "cancel a"), KT_CTL_EXIT_TIMEOUT);
	assert_int_equal(fake.taken, 3);
	assert_int_equal(fake.now_ms, 10000);
	assert_string_equal(fake.out, "");
	fake_ctl_clear(&fake);
}

/* What was ordered for whom must be in the answer, or nobody knows what was done. */
static void a_rotation_without_an_op_is_not_believed(void **state)
{
	static const struct {
		const char *line;
		const char *answer;
	} cases[] = {
		{"rotate a", ONE(DATA)},
		{"rotate a", ONE("\"data\":{\"device\":\"a\"}")},
		{"rotate a", ONE("\"data\":{\"op\":\"7\"}")},
		{"rotate a", ONE("\"data\":{\"device\":1,\"op\":\"7\"}")},
		{"rotate a", ONE("\"data\":{\"device\":\"a\",\"op\":7}")},
		{"rotate a", ONE("\"data\":{\"device\":\"a\",\"error\":7}")},
		{"rotate a", ONE("\"data\":{\"devices\":[]}")},
		{"rotate a b", ONE(DATA)},
		{"rotate a b", ONE("\"data\":{\"device\":\"a\",\"op\":\"7\"}")},
		{"rotate a b", ONE("\"data\":{\"devices\":{}}")},
		{"rotate a b", ONE("\"data\":{\"devices\":[]}")},
		{"rotate a b", ONE("\"data\":{\"devices\":[1,2]}")},
		{"rotate a b", ONE("\"data\":{\"devices\":[{},{}]}")},
		{"rotate a b", ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"7\"}]}")},
		{"rotate a b", ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"7\"},{"
				   "\"device\":\"b\"}]}")},
		{"rotate --all --expect 1", ONE("\"data\":{\"devices\":[]}")},
		{"rotate --all --expect 2",
		 ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"7\"}]}")},
		{"rotate a --json", ONE(DATA)},
		{"rotate a b --json", ONE("\"data\":{\"devices\":[]}")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.text = {cases[i].answer}};
		const enum kt_ctl_exit code = fake_ctl_run(&fake, cases[i].line);

		if (code != KT_CTL_EXIT_LOCAL)
			fail_msg("%s: %s: exit %d", cases[i].line, cases[i].answer, (int)code);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.err, NOT_UNDERSTOOD);
		fake_ctl_clear(&fake);
	}
}

static void a_rotation_of_the_fleet_names_every_failure(void **state)
{
	static const char answer[] = ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"7\"},"
					 "{\"device\":\"b\",\"error\":\"frozen\"}]}");
	struct fake_ctl text = {.text = {answer}};
	struct fake_ctl json = {.text = {answer}};

	(void)state;
	assert_int_equal(fake_ctl_run(&text, "rotate --all --expect 2"), KT_CTL_EXIT_REFUSED);
	assert_string_equal(text.out, "a: rotation ordered, op 7\n");
	assert_string_equal(text.err, "keyturnctl: b: frozen\n");
	fake_ctl_clear(&text);
	assert_int_equal(fake_ctl_run(&json, "rotate --all --expect 2 --json"),
			 KT_CTL_EXIT_REFUSED);
	assert_string_equal(json.out, "{\"devices\":[{\"device\":\"a\",\"op\":\"7\"},"
				      "{\"device\":\"b\",\"error\":\"frozen\"}]}\n");
	assert_string_equal(json.err, "keyturnctl: b: frozen\n");
	fake_ctl_clear(&json);
}

static void what_a_newer_plugin_tells_is_shown(void **state)
{
	struct fake_ctl fake = {
		.text = {ONE("\"data\":{\"new\":[\"x\",2],\"none\":[],\"rows\":[{\"a\":\"b "
			     "c\",\"d\":\"\"},{\"e\":{}}],\"deep\":{\"er\":{\"x\":1}}}")}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "status"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, "new                    x\n"
				      "new                    2\n"
				      "rows                   a=\"b c\" d=\"\"\n"
				      "rows                   e=?\n"
				      "deep.er                ?\n");
	fake_ctl_clear(&fake);
}

/* --- lists ------------------------------------------------------------------------------------ */

enum { PAGE_ROWS = 200, PAGE_MAX = 65536 };

static char *page_of(size_t first, size_t count, size_t total)
{
	char *text = malloc(PAGE_MAX);
	size_t len = 0;

	assert_non_null(text);
	len += (size_t)snprintf(text, PAGE_MAX, "{\"responses\":[{%s,\"data\":{\"devices\":[",
				R("0"));
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, PAGE_MAX - len, "%s{\"device\":\"d-%03zu\"}",
					i > 0 ? "," : "", first + i);
	len += (size_t)snprintf(text + len, PAGE_MAX - len, "],\"total\":%zu}}]}", total);
	assert_in_range(len, 1, PAGE_MAX - 1);
	return text;
}

static size_t lines_of(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

static void more_than_a_page_is_fetched_page_by_page(void **state)
{
	char *pages[] = {page_of(0, PAGE_ROWS, 451), page_of(200, PAGE_ROWS, 451),
			 page_of(400, 51, 451)};
	struct fake_ctl text = {.text = {pages[0], pages[1], pages[2]}};
	struct fake_ctl json = {.text = {pages[0], pages[1], pages[2]}};

	(void)state;
	assert_int_equal(fake_ctl_run(&text, "list"), KT_CTL_EXIT_OK);
	assert_int_equal(text.sent_count, 3);
	assert_non_null(strstr(text.sent[0], "\"offset\":0}"));
	assert_non_null(strstr(text.sent[1], "\"offset\":200}"));
	assert_non_null(strstr(text.sent[2], "\"offset\":400}"));
	assert_int_equal(lines_of(text.out), 452);
	assert_non_null(strstr(text.out, "\nd-000 "));
	assert_non_null(strstr(text.out, "\nd-450 "));
	assert_int_equal(fake_ctl_run(&json, "list --json"), KT_CTL_EXIT_OK);
	assert_int_equal(lines_of(json.out), 1);
	assert_non_null(strstr(json.out, "{\"device\":\"d-450\"}],\"total\":451}\n"));
	fake_ctl_clear(&text);
	fake_ctl_clear(&json);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		free(pages[i]);
}

static void one_that_is_exactly_a_page_is_asked_for_once(void **state)
{
	char *page = page_of(0, PAGE_ROWS, PAGE_ROWS);
	struct fake_ctl fake = {.text = {page}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "list"), KT_CTL_EXIT_OK);
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(lines_of(fake.out), 201);
	fake_ctl_clear(&fake);
	free(page);
}

static void a_page_that_fails_has_its_exit_code(void **state)
{
	static const struct {
		const char *answer;
		enum kt_ctl_exit code;
		const char *err;
	} cases[] = {
		{ONE("\"error\":\"busy\",\"detail\":\"later\""), KT_CTL_EXIT_REFUSED,
		 "keyturnctl: busy: later\n"},
		{ONE("\"data\":{\"devices\":[1],\"total\":1}"), KT_CTL_EXIT_LOCAL,
		 CANNOT " (is this keyturnctl as new as the plugin?)\n"},
		{ONE("\"data\":{\"devices\":[],\"total\":\"1\"}"), KT_CTL_EXIT_LOCAL,
		 CANNOT " (is this keyturnctl as new as the plugin?)\n"},
		{"{\"responses\":[{\"error\":\"denied\",\"detail\":\"no\"}]}", KT_CTL_EXIT_REFUSED,
		 "keyturnctl: denied: no\n"},
		{NULL, KT_CTL_EXIT_CONNECTION, "keyturnctl: the answer: the broker said why\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *first = page_of(0, PAGE_ROWS, 201);
		struct fake_ctl fake = {.text = {first, cases[i].answer}, .end_err = KT_ERR_CLOSED};

		assert_int_equal(fake_ctl_run(&fake, "list"), cases[i].code);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.err, cases[i].err);
		fake_ctl_clear(&fake);
		free(first);
	}
}

/* --- questions -------------------------------------------------------------------------------- */

static void what_is_not_utf8_is_not_sent(void **state)
{
	struct fake_ctl fake = {.text = {ONE(DATA)}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "quarantine a --note \xff"), KT_CTL_EXIT_USAGE);
	assert_string_equal(fake.err, "keyturnctl: an argument is not UTF-8\n");
	assert_string_equal(fake.broker, "");
	fake_ctl_clear(&fake);
}

static void an_operator_is_told_what_he_confirms(void **state)
{
	static const struct {
		const char *line;
		const char *in;
		const char *err;
	} cases[] = {
		{"revoke hub-1", "hub-2\n",
		 "This revokes hub-1. To go on, type its id once more:\n"
		 "keyturnctl: not confirmed, nothing was done\n"},
		{"delete-device a b c", "",
		 "This deletes, for good, these devices. To go on, type how many there are once "
		 "more:\nkeyturnctl: not confirmed, nothing was done\n"},
		{"revoke hub-1", NULL,
		 "keyturnctl: revoke cannot be undone, and nobody can be asked here: give --yes\n"},
		{"revoke hub-1", " hub-1\n",
		 "This revokes hub-1. To go on, type its id once more:\n"
		 "keyturnctl: not confirmed, nothing was done\n"},
		{"revoke hub-1", "HUB-1\n",
		 "This revokes hub-1. To go on, type its id once more:\n"
		 "keyturnctl: not confirmed, nothing was done\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.in = cases[i].in, .text = {ONE(DATA)}};

		assert_int_equal(fake_ctl_run(&fake, cases[i].line), KT_CTL_EXIT_USAGE);
		assert_string_equal(fake.err, cases[i].err);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.broker, "");
		fake_ctl_clear(&fake);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(without_memory_nothing_is_half_said),
		T(no_memory_for_a_connection_is_local),
		T(what_cannot_be_written_down_is_not_done),
		T(a_full_disk_ends_a_watch),
		T(answers_to_other_questions_are_not_believed),
		T(an_answer_without_end_is_not_read),
		T(what_comes_on_another_topic_is_no_answer),
		T(a_rotation_without_an_op_is_not_believed),
		T(a_rotation_of_the_fleet_names_every_failure),
		T(what_a_newer_plugin_tells_is_shown),
		T(more_than_a_page_is_fetched_page_by_page),
		T(one_that_is_exactly_a_page_is_asked_for_once),
		T(a_page_that_fails_has_its_exit_code),
		T(what_is_not_utf8_is_not_sent),
		T(an_operator_is_told_what_he_confirms),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_broken", tests, NULL, NULL);
}
