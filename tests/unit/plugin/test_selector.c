#include "selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"

#define A63    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DAY_US INT64_C(86400000000)

static struct kt_selector selector_of(const char *first, const char *second)
{
	struct kt_selector s = {.count = 0};
	const char *why = NULL;

	if (first != NULL && !kt_selector_add(&s, first, &why))
		fail_msg("%s: %s", first, why);
	if (second != NULL && !kt_selector_add(&s, second, &why))
		fail_msg("%s: %s", second, why);
	return s;
}

static bool means(const char *first, const char *second, const struct kt_device *d)
{
	const struct kt_selector s = selector_of(first, second);

	return kt_selector_means(&s, d, 100 * DAY_US, true);
}

static const struct kt_credential credential;

static struct kt_device hub(void)
{
	return (struct kt_device){.group = "north",
				  .labels = "batch:7,site:berlin",
				  .state = KT_DEVICE_ACTIVE,
				  .current = &credential,
				  .committed_us = 70 * DAY_US,
				  .agent_version = UINT64_C(0x0001000400020000)}; /* 1.4.2 */
}

static void each_word_holds_or_does_not(void **state)
{
	static const struct {
		const char *word;
		bool holds;
	} cases[] = {
		{"group=north", true},
		{"group=nort", false},
		{"group=North", false},
		{"label=batch:7", true},
		{"label=site:berlin", true},
		{"label=site", false},
		{"label=batch:7-", false},
		{"older-than=30d", true},
		{"older-than=720h", true},
		{"older-than=0", true},
		{"older-than=721h", false},
		{"older-than=31d", false},
		{"agent-version<1.4.3", true},
		{"agent-version<1.5", true},
		{"agent-version<2", true},
		{"agent-version<1.4.2", false},
		{"agent-version<1.4", false},
		{"agent-version<0.9.9", false},
		{"agent-version<1.4.2.1", true},
		{"state=active", true},
		{"state=new", false},
		{"state=quarantined", false},
	};
	const struct kt_device d = hub();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (means(cases[i].word, NULL, &d) != cases[i].holds)
			fail_msg("%s: %d", cases[i].word, !cases[i].holds);
	}
}

static void all_words_must_hold(void **state)
{
	const struct kt_device d = hub();

	(void)state;
	assert_true(means("group=north", "label=batch:7", &d));
	assert_false(means("group=north", "label=batch:8", &d));
	assert_false(means("group=south", "label=batch:7", &d));
	assert_false(means("group=north", "group=south", &d));
	assert_true(means("label=batch:7", "label=site:berlin", &d));
	assert_false(means("state=active", "state=revoked", &d));
}

static void states_are_what_the_registry_says(void **state)
{
	struct kt_device d = hub();

	(void)state;
	d.quarantined = true;
	assert_true(means("state=quarantined", "state=active", &d));
	d.frozen = true;
	assert_true(means("state=frozen", NULL, &d));
	d.adopted = true;
	assert_true(means("state=adopted", NULL, &d));
	d = hub();
	assert_false(means("state=frozen", NULL, &d));
	assert_false(means("state=adopted", NULL, &d));
	d.state = KT_DEVICE_REVOKED;
	assert_true(means("state=revoked", NULL, &d));
	assert_false(means("state=active", NULL, &d));
	d.state = KT_DEVICE_DELETED;
	assert_true(means("state=deleted", NULL, &d));
	d.state = KT_DEVICE_NEW;
	assert_true(means("state=new", NULL, &d));
}

static void without_a_state_who_is_out_is_not_meant(void **state)
{
	static const struct {
		enum kt_device_state state;
		bool by_command;
		bool in_list;
	} cases[] = {{KT_DEVICE_NEW, false, true},
		     {KT_DEVICE_ACTIVE, true, true},
		     {KT_DEVICE_REVOKED, false, true},
		     {KT_DEVICE_DELETED, false, false}};
	const struct kt_selector all = selector_of(NULL, NULL);
	const struct kt_selector north = selector_of("group=north", NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_device d = hub();

		d.state = cases[i].state;
		assert_int_equal(kt_selector_means(&all, &d, 0, true), cases[i].by_command);
		assert_int_equal(kt_selector_means(&all, &d, 0, false), cases[i].in_list);
		assert_int_equal(kt_selector_means(&north, &d, 0, true), cases[i].by_command);
		assert_int_equal(kt_selector_means(&north, &d, 0, false), cases[i].in_list);
	}
}

/* What is not known of a device selects it by nothing. */
static void what_is_not_known_does_not_hold(void **state)
{
	struct kt_device d = hub();

	(void)state;
	d.agent_version = 0;
	assert_false(means("agent-version<65535", NULL, &d));
	d = hub();
	d.current = NULL;
	assert_false(means("older-than=0", NULL, &d));
	d = hub();
	d.group = "";
	d.labels = "";
	assert_false(means("group=north", NULL, &d));
	assert_false(means("label=batch:7", NULL, &d));
}

static void words_that_are_none_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *word;
		const char *why;
	} bad[] = {
		{"", "none of group= label="},
		{"hub-17", "none of group= label="},
		{"all", "none of group= label="},
		{"Group=north", "none of group= label="},
		{" group=north", "none of group= label="},
		{"group", "none of group= label="},
		{"groups=north", "none of group= label="},
		{"agent-version=1", "none of group= label="},
		{"group=", "without a group"},
		{"group=a b", "without a group"},
		{"group=a*", "without a group"},
		{"group=a=b", "without a group"},
		{"group=" A63 "a", "without a group"},
		{"label=", "without a label"},
		{"label=a,b", "without a label"},
		{"label=" A63 "a", "without a label"},
		{"state=", "without new, active"},
		{"state=Active", "without new, active"},
		{"state=active ", "without new, active"},
		{"older-than=", "without how long"},
		{"older-than=30", "without how long"},
		{"older-than=-1d", "without how long"},
		{"older-than=30d12h", "without how long"},
		{"older-than=99999999999999999999d", "without how long"},
		{"agent-version<", "without a version"},
		{"agent-version<new", "without a version"},
		{"agent-version<65536", "without a version"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kt_selector s = {.count = 0};
		const char *why = NULL;

		if (kt_selector_add(&s, bad[i].word, &why))
			fail_msg("accepted: %s", bad[i].word);
		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].word, why);
		assert_int_equal(s.count, 0);
	}
}

static void a_selector_has_room_for_its_words(void **state)
{
	struct kt_selector s = {.count = 0};
	const char *why = NULL;

	(void)state;
	for (int i = 0; i < KT_SELECTOR_WORDS_MAX; i++)
		assert_true(kt_selector_add(&s, "label=a", &why));
	assert_false(kt_selector_add(&s, "label=a", &why));
	assert_string_equal(why, "has more than 16 words");
	assert_int_equal(s.count, KT_SELECTOR_WORDS_MAX);
}

static void the_pages_name_every_word(void **state)
{
	static const char *const pages[] = {"../../docs/PROTOCOL.md", "../../docs/OPERATIONS.md",
					    "../../docs/keyturnctl.1"};

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		char *page = vector_file_load(pages[i]);

		assert_non_null(page);
		for (unsigned k = 0; k < KT_SELECTOR_COUNT; k++) {
			const char *prefix = kt_selector_prefix((enum kt_selector_kind)k);

			if (strstr(page, prefix) == NULL)
				fail_msg("%s does not say %s", pages[i], prefix);
		}
		free(page);
	}
	assert_string_equal(kt_selector_prefix(KT_SELECTOR_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_holds_or_does_not),
		cmocka_unit_test(all_words_must_hold),
		cmocka_unit_test(states_are_what_the_registry_says),
		cmocka_unit_test(without_a_state_who_is_out_is_not_meant),
		cmocka_unit_test(what_is_not_known_does_not_hold),
		cmocka_unit_test(words_that_are_none_are_refused_with_a_reason),
		cmocka_unit_test(a_selector_has_room_for_its_words),
		cmocka_unit_test(the_pages_name_every_word),
	};

	return cmocka_run_group_tests_name("selector", tests, NULL, NULL);
}
