#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PRESET                                                                                     \
	"canary=5% hold=600s wave=25% in-flight=100 rate=600 deadline=3600s retries=1 "            \
	"failures=5% silence=20% sample=20 until=604800s"

static struct kt_plan fresh(void)
{
	struct kt_plan plan;

	kt_plan_preset(&plan, KT_CAMPAIGN_ROTATE);
	return plan;
}

static void nobodys_words_mean_what_the_page_says(void **state)
{
	char text[KT_PLAN_TEXT_MAX + 1];
	struct kt_plan plan;

	(void)state;
	kt_plan_preset(&plan, KT_CAMPAIGN_ROTATE);
	kt_plan_encode(&plan, text);
	assert_string_equal(text, "rotate " PRESET);
	assert_true(kt_plan_is_valid(&plan));
	kt_plan_preset(&plan, KT_CAMPAIGN_CHALLENGE);
	kt_plan_encode(&plan, text);
	assert_string_equal(text, "challenge " PRESET);
	assert_true(kt_plan_is_valid(&plan));
}

static void an_action_has_one_name(void **state)
{
	static const char *const bad[] = {"",	    "Rotate",	  "rotate ", "rotat", "rotates",
					  "revoke", "challenge ", "?",	     "0"};
	enum kt_campaign_action action = KT_CAMPAIGN_ROTATE;

	(void)state;
	assert_true(kt_campaign_action_from_name("challenge", &action));
	assert_int_equal(action, KT_CAMPAIGN_CHALLENGE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (kt_campaign_action_from_name(bad[i], &action))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(action, KT_CAMPAIGN_CHALLENGE);
	}
	assert_true(kt_campaign_action_from_name("rotate", &action));
	assert_int_equal(action, KT_CAMPAIGN_ROTATE);
	assert_string_equal(kt_campaign_action_name(KT_CAMPAIGN_ROTATE), "rotate");
	assert_string_equal(kt_campaign_action_name(KT_CAMPAIGN_CHALLENGE), "challenge");
	assert_string_equal(kt_campaign_action_name(KT_CAMPAIGN_ACTION_COUNT), "?");
}

/* Each number just within its limits, and the text that it becomes. */
static const struct {
	const char *word;
	enum kt_plan_item item;
	int64_t value;
	bool is_share;
} good[] = {
	{"canary=1", KT_PLAN_CANARY, 1, false},
	{"canary=1000000", KT_PLAN_CANARY, 1000000, false},
	{"canary=1%", KT_PLAN_CANARY, 1, true},
	{"canary=100%", KT_PLAN_CANARY, 100, true},
	{"canary=101", KT_PLAN_CANARY, 101, false},
	{"hold=0", KT_PLAN_HOLD, 0, false},
	{"hold=0s", KT_PLAN_HOLD, 0, false},
	{"hold=1s", KT_PLAN_HOLD, 1, false},
	{"hold=2m", KT_PLAN_HOLD, 120, false},
	{"hold=3h", KT_PLAN_HOLD, 10800, false},
	{"hold=30d", KT_PLAN_HOLD, 2592000, false},
	{"hold=2592000s", KT_PLAN_HOLD, 2592000, false},
	{"wave=1", KT_PLAN_WAVE, 1, false},
	{"wave=1000000", KT_PLAN_WAVE, 1000000, false},
	{"wave=1%", KT_PLAN_WAVE, 1, true},
	{"wave=100%", KT_PLAN_WAVE, 100, true},
	{"in-flight=1", KT_PLAN_IN_FLIGHT, 1, false},
	{"in-flight=10000", KT_PLAN_IN_FLIGHT, 10000, false},
	{"rate=1", KT_PLAN_RATE, 1, false},
	{"rate=60000", KT_PLAN_RATE, 60000, false},
	{"deadline=10s", KT_PLAN_DEADLINE, 10, false},
	{"deadline=30d", KT_PLAN_DEADLINE, 2592000, false},
	{"retries=0", KT_PLAN_RETRIES, 0, false},
	{"retries=10", KT_PLAN_RETRIES, 10, false},
	{"failures=0%", KT_PLAN_FAILURES, 0, false},
	{"failures=100%", KT_PLAN_FAILURES, 100, false},
	{"silence=0%", KT_PLAN_SILENCE, 0, false},
	{"silence=100%", KT_PLAN_SILENCE, 100, false},
	{"sample=1", KT_PLAN_SAMPLE, 1, false},
	{"sample=1000000", KT_PLAN_SAMPLE, 1000000, false},
	{"until=60s", KT_PLAN_UNTIL, 60, false},
	{"until=365d", KT_PLAN_UNTIL, 31536000, false},
};

static void a_word_is_taken_up_to_its_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kt_plan expected = fresh();
		struct kt_plan plan = fresh();
		const char *why;

		if (!kt_plan_take(&plan, good[i].word, &why))
			fail_msg("%s: %s", good[i].word, why);
		expected.of[good[i].item] = good[i].value;
		expected.is_share[good[i].item] = good[i].is_share;
		for (unsigned item = 0; item < KT_PLAN_ITEM_COUNT; item++) {
			if (plan.of[item] != expected.of[item] ||
			    plan.is_share[item] != expected.is_share[item])
				fail_msg("%s: %s%lld", good[i].word,
					 kt_plan_prefix((enum kt_plan_item)item),
					 (long long)plan.of[item]);
		}
		assert_true(kt_plan_is_valid(&plan));
	}
}

static const char *const no_words[] = {
	"",	   "=",		"canary",     "Canary=1",   " canary=1",   "canary =1",
	"anary=1", "xcanary=1", "canaries=1", "inflight=1", "in_flight=1", "waves=1",
	"rotate",  "50%",	"hol",	      "failure=1%", "fail=1%",	   "timeout=1h",
};

static void a_word_that_is_none_is_told_which_there_are(void **state)
{
	char long_one[KT_PLAN_WORD_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(no_words) / sizeof(no_words[0]); i++) {
		struct kt_plan plan = fresh();
		const struct kt_plan before = plan;
		const char *why = NULL;

		if (kt_plan_take(&plan, no_words[i], &why))
			fail_msg("accepted: %s", no_words[i]);
		assert_string_equal(
			why, "has a word that is none of canary= hold= wave= in-flight= rate= "
			     "deadline= retries= failures= silence= sample= until=");
		assert_memory_equal(&plan, &before, sizeof(plan));
	}
	memset(long_one, '0', sizeof(long_one) - 1);
	memcpy(long_one, "canary=", 7);
	long_one[sizeof(long_one) - 1] = '\0';
	{
		struct kt_plan plan = fresh();
		const char *why = NULL;

		assert_false(kt_plan_take(&plan, long_one, &why));
		assert_non_null(strstr(why, "none of"));
	}
}

/* A part of the sentence behind each. */
static const struct {
	const char *word;
	const char *why;
} bad[] = {
	{"canary=", "the devices that go first, or out of range (1 to 1000000)"},
	{"canary=0", "the devices that go first"},
	{"canary=0%", "the devices that go first"},
	{"canary=101%", "the devices that go first"},
	{"canary=1000001", "the devices that go first"},
	{"canary=%", "the devices that go first"},
	{"canary=5%%", "the devices that go first"},
	{"canary=%5", "the devices that go first"},
	{"canary=5 %", "the devices that go first"},
	{"canary=-1", "the devices that go first"},
	{"canary=+1", "the devices that go first"},
	{"canary=01", "the devices that go first"},
	{"canary=05%", "the devices that go first"},
	{"canary=1.5%", "the devices that go first"},
	{"canary= 1", "the devices that go first"},
	{"canary=1 ", "the devices that go first"},
	{"canary=0x1", "the devices that go first"},
	{"canary=1s", "the devices that go first"},
	{"canary=18446744073709551617", "the devices that go first"},
	{"canary=4294967297", "the devices that go first"},
	{"hold=", "how long nothing follows them, or out of range (0 to 2592000)"},
	{"hold=1", "how long nothing follows them"},
	{"hold=10", "how long nothing follows them"},
	{"hold=s", "how long nothing follows them"},
	{"hold=1w", "how long nothing follows them"},
	{"hold=1S", "how long nothing follows them"},
	{"hold=1ms", "how long nothing follows them"},
	{"hold=1m30s", "how long nothing follows them"},
	{"hold=-1s", "how long nothing follows them"},
	{"hold=50%", "how long nothing follows them"},
	{"hold=2592001s", "how long nothing follows them"},
	{"hold=31d", "how long nothing follows them"},
	{"hold=18446744073709551615d", "how long nothing follows them"},
	{"wave=0", "the devices of each step behind them, or out of range (1 to 1000000)"},
	{"wave=0%", "the devices of each step"},
	{"wave=101%", "the devices of each step"},
	{"wave=1000001", "the devices of each step"},
	{"in-flight=0", "devices under way at once, or out of range (1 to 10000)"},
	{"in-flight=10001", "devices under way at once"},
	{"in-flight=5%", "devices under way at once"},
	{"in-flight=1s", "devices under way at once"},
	{"rate=0", "orders in a minute, or out of range (1 to 60000)"},
	{"rate=60001", "orders in a minute"},
	{"rate=5%", "orders in a minute"},
	{"rate=600/m", "orders in a minute"},
	{"deadline=0", "how long a device may take, or out of range (10 to 2592000)"},
	{"deadline=9s", "how long a device may take"},
	{"deadline=2592001s", "how long a device may take"},
	{"deadline=3600", "how long a device may take"},
	{"retries=11", "further orders to a device that failed, or out of range (0 to 10)"},
	{"retries=-1", "further orders to a device that failed"},
	{"retries=1%", "further orders to a device that failed"},
	{"failures=101%", "more of them that failed end it, or out of range (0 to 100)"},
	{"failures=5", "more of them that failed end it"},
	{"failures=", "more of them that failed end it"},
	{"failures=%", "more of them that failed end it"},
	{"silence=101%", "more of them that never finished end it, or out of range (0 to 100)"},
	{"silence=20", "more of them that never finished end it"},
	{"sample=0", "of how many at least a share is one, or out of range (1 to 1000000)"},
	{"sample=1000001", "of how many at least a share is one"},
	{"sample=10%", "of how many at least a share is one"},
	{"until=0", "how long it waits for who is offline, or out of range (60 to 31536000)"},
	{"until=59s", "how long it waits for who is offline"},
	{"until=366d", "how long it waits for who is offline"},
	{"until=31536001s", "how long it waits for who is offline"},
};

static void a_word_beyond_its_limits_is_told_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kt_plan plan = fresh();
		const struct kt_plan before = plan;
		const char *why = NULL;

		if (kt_plan_take(&plan, bad[i].word, &why))
			fail_msg("accepted: %s", bad[i].word);
		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].word, why);
		assert_memory_equal(&plan, &before, sizeof(plan));
	}
}

static void the_last_of_a_kind_counts(void **state)
{
	struct kt_plan plan = fresh();
	const char *why;

	(void)state;
	assert_true(kt_plan_take(&plan, "canary=7", &why));
	assert_true(kt_plan_take(&plan, "canary=9%", &why));
	assert_int_equal(plan.of[KT_PLAN_CANARY], 9);
	assert_true(plan.is_share[KT_PLAN_CANARY]);
	assert_true(kt_plan_take(&plan, "canary=8", &why));
	assert_int_equal(plan.of[KT_PLAN_CANARY], 8);
	assert_false(plan.is_share[KT_PLAN_CANARY]);
}

static void a_share_is_rounded_up_and_never_nobody(void **state)
{
	static const struct {
		const char *word;
		int64_t all;
		int64_t amount;
	} cases[] = {
		{"canary=5%", 0, 1},
		{"canary=5%", 1, 1},
		{"canary=5%", 20, 1},
		{"canary=5%", 21, 2},
		{"canary=5%", 100, 5},
		{"canary=5%", 101, 6},
		{"canary=1%", 1000000, 10000},
		{"canary=100%", 1, 1},
		{"canary=100%", 999, 999},
		{"canary=99%", 100, 99},
		{"canary=7", 3, 7},
		{"canary=1", 0, 1},
		{"canary=1000000", 5, 1000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_plan plan = fresh();
		const char *why;

		assert_true(kt_plan_take(&plan, cases[i].word, &why));
		if (kt_plan_amount(&plan, KT_PLAN_CANARY, cases[i].all) != cases[i].amount)
			fail_msg("%s of %lld: %lld", cases[i].word, (long long)cases[i].all,
				 (long long)kt_plan_amount(&plan, KT_PLAN_CANARY, cases[i].all));
	}
}

/* Each number of a plan at its limits, and beyond them on either side. */
static void what_is_out_of_range_is_no_plan(void **state)
{
	static const struct {
		enum kt_plan_item item;
		int64_t value;
	} edges[] = {
		{KT_PLAN_CANARY, 0},	   {KT_PLAN_CANARY, 101},      {KT_PLAN_HOLD, -1},
		{KT_PLAN_HOLD, 2592001},   {KT_PLAN_WAVE, 0},	       {KT_PLAN_WAVE, 101},
		{KT_PLAN_IN_FLIGHT, 0},	   {KT_PLAN_IN_FLIGHT, 10001}, {KT_PLAN_RATE, 0},
		{KT_PLAN_RATE, 60001},	   {KT_PLAN_DEADLINE, 9},      {KT_PLAN_DEADLINE, 2592001},
		{KT_PLAN_RETRIES, -1},	   {KT_PLAN_RETRIES, 11},      {KT_PLAN_FAILURES, -1},
		{KT_PLAN_FAILURES, 101},   {KT_PLAN_SILENCE, -1},      {KT_PLAN_SILENCE, 101},
		{KT_PLAN_SAMPLE, 0},	   {KT_PLAN_SAMPLE, 1000001},  {KT_PLAN_UNTIL, 59},
		{KT_PLAN_UNTIL, 31536001},
	};
	struct kt_plan plan = fresh();

	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		plan = fresh();
		plan.of[edges[i].item] = edges[i].value;
		if (kt_plan_is_valid(&plan))
			fail_msg("%s%lld", kt_plan_prefix(edges[i].item),
				 (long long)edges[i].value);
	}
	plan = fresh();
	plan.is_share[KT_PLAN_CANARY] = false;
	plan.of[KT_PLAN_CANARY] = 1000000;
	assert_true(kt_plan_is_valid(&plan));
	plan.of[KT_PLAN_CANARY] = 1000001;
	assert_false(kt_plan_is_valid(&plan));
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++) {
		plan = fresh();
		plan.is_share[i] = true;
		assert_int_equal(kt_plan_is_valid(&plan), i == KT_PLAN_CANARY || i == KT_PLAN_WAVE);
	}
	plan = fresh();
	plan.action = KT_CAMPAIGN_ACTION_COUNT;
	assert_false(kt_plan_is_valid(&plan));
	plan.action = (enum kt_campaign_action) - 1;
	assert_false(kt_plan_is_valid(&plan));
}

static void a_plan_comes_back_from_its_text(void **state)
{
	static const char *const texts[] = {
		"rotate " PRESET,
		"challenge " PRESET,
		"rotate canary=1 hold=0 wave=1 in-flight=1 rate=1 deadline=10s retries=0 "
		"failures=0% silence=0% sample=1 until=60s",
		"challenge canary=1000000 hold=2592000s wave=1000000 in-flight=10000 rate=60000 "
		"deadline=2592000s retries=10 failures=100% silence=100% sample=1000000 "
		"until=31536000s",
		"rotate canary=100% hold=1s wave=100% in-flight=2 rate=3 deadline=11s retries=4 "
		"failures=6% silence=7% sample=8 until=61s",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char text[KT_PLAN_TEXT_MAX + 1];
		struct kt_plan plan;

		if (!kt_plan_decode(texts[i], &plan))
			fail_msg("refused: %s", texts[i]);
		assert_true(kt_plan_is_valid(&plan));
		kt_plan_encode(&plan, text);
		assert_string_equal(text, texts[i]);
	}
}

/* Of @text, with @from put in the place of the first @to. */
static bool is_taken(const char *from, const char *to)
{
	static const char text[] = "rotate " PRESET;
	const char *at = strstr(text, from);
	char other[2 * sizeof(text)];
	struct kt_plan plan;

	assert_non_null(at);
	(void)snprintf(other, sizeof(other), "%.*s%s%s", (int)(at - text), text, to,
		       at + strlen(from));
	return kt_plan_decode(other, &plan);
}

/* One plan, one text: two ledgers that say the same are the same. */
static void no_second_spelling_is_taken(void **state)
{
	static const struct {
		const char *from;
		const char *to;
	} cases[] = {
		{"rotate", ""},
		{"rotate", " rotate"},
		{"rotate", "Rotate"},
		{"rotate", "revoke"},
		{"rotate", "?"},
		{"rotate ", "rotate  "},
		{"rotate ", "rotate\t"},
		{"rotate ", "rotate\n"},
		{"canary=5%", "canary=05%"},
		{"canary=5%", "canary=0%"},
		{"canary=5%", "canary=101%"},
		{"canary=5%", "canary=5%%"},
		{"canary=5%", "canary=+5%"},
		{"canary=5% ", ""},
		{"canary=5% ", "canary=5% canary=5% "},
		{"canary=5% ", "canary=6% canary=5% "},
		{"canary=5% hold=600s", "hold=600s canary=5%"},
		{"hold=600s", "hold=10m"},
		{"hold=600s", "hold=0s"},
		{"hold=600s", "hold=600"},
		{"hold=600s", "hold=0600s"},
		{"hold=600s", "hold=2592001s"},
		{"wave=25% ", ""},
		{"in-flight=100", "in-flight=0"},
		{"in-flight=100", "in-flight=10001"},
		{"deadline=3600s", "deadline=1h"},
		{"retries=1", "retries=11"},
		{"failures=5%", "failures=5"},
		{"sample=20", "sample=20%"},
		{"sample=20", "colour=20"},
		{"until=604800s", "until=7d"},
		{"until=604800s", "until=604800s "},
		{"until=604800s", "until=604800s x"},
		{"until=604800s", "until=604800s until=604800s"},
		{"until=604800s", "until=604800s 0000000000000000000000000000000000000000"},
		{" until=604800s", ""},
		{PRESET, ""},
		{" " PRESET, ""},
		{"rotate " PRESET, ""},
	};

	(void)state;
	assert_true(is_taken("canary=5%", "canary=6%"));
	assert_true(is_taken("hold=600s", "hold=0"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (is_taken(cases[i].from, cases[i].to))
			fail_msg("accepted: \"%s\" for \"%s\"", cases[i].to, cases[i].from);
	}
}

static void the_longest_text_has_room(void **state)
{
	char text[KT_PLAN_TEXT_MAX + 1];
	struct kt_plan plan;
	size_t len = strlen("challenge");

	(void)state;
	kt_plan_preset(&plan, KT_CAMPAIGN_CHALLENGE);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *why;

		assert_true(kt_plan_take(&plan, good[i].word, &why)); /* the last has most digits */
	}
	kt_plan_encode(&plan, text);
	assert_true(strlen(text) > len && strlen(text) <= KT_PLAN_TEXT_MAX);
	assert_string_equal(text + strlen(text) - strlen(" until=31536000s"), " until=31536000s");
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++)
		assert_non_null(strstr(text, kt_plan_prefix((enum kt_plan_item)i)));
	assert_string_equal(kt_plan_prefix(KT_PLAN_ITEM_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobodys_words_mean_what_the_page_says),
		cmocka_unit_test(an_action_has_one_name),
		cmocka_unit_test(a_word_is_taken_up_to_its_limits),
		cmocka_unit_test(a_word_that_is_none_is_told_which_there_are),
		cmocka_unit_test(a_word_beyond_its_limits_is_told_them),
		cmocka_unit_test(the_last_of_a_kind_counts),
		cmocka_unit_test(a_share_is_rounded_up_and_never_nobody),
		cmocka_unit_test(what_is_out_of_range_is_no_plan),
		cmocka_unit_test(a_plan_comes_back_from_its_text),
		cmocka_unit_test(no_second_spelling_is_taken),
		cmocka_unit_test(the_longest_text_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
