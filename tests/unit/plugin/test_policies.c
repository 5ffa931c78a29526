#include "policies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"

static const struct kt_config config = {.max_key_age_ms = 86400000,
					.challenge_every_ms = 3600000,
					.challenge_timeout_ms = 60000,
					.challenge_silence = KT_POLICY_DISCONNECT,
					.clone_op_range = KT_POLICY_QUARANTINE};

static enum kt_err parse(const char *text, struct kt_policies *out, char why[static 512])
{
	return kt_policies_parse("p.conf", (struct kt_bytes){(const uint8_t *)text, strlen(text)},
				 &config, out, why);
}

static void what_nobody_says_is_as_in_the_configuration(void **state)
{
	static const char *const texts[] = {"", "# nothing\n\n", "[fleet]\n", "[default]\n"};
	struct kt_policies policies;
	char why[512];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct kt_group_policy p;

		assert_int_equal(parse(texts[i], &policies, why), KT_ERR_OK);
		assert_int_equal(policies.count, 1);
		assert_int_equal(policies.rotations_per_minute, 0);
		p = kt_policies_for(&policies, &config, "north");
		assert_int_equal(p.max_key_age_ms, 86400000);
		assert_int_equal(p.rotate_at, 90);
		assert_int_equal(p.jitter, 10);
		assert_int_equal(p.quiet_from, p.quiet_until);
		assert_int_equal(p.challenge_every_ms, 3600000);
		assert_int_equal(p.challenge_silence, KT_POLICY_DISCONNECT);
		assert_int_equal(p.clone_op_range, KT_POLICY_QUARANTINE);
		assert_int_equal(p.clone_contended, KT_POLICY_REPORT);
	}
	assert_int_equal(kt_policies_for(NULL, &config, "north").max_key_age_ms, 86400000);
}

static void groups_inherit_from_the_default(void **state)
{
	static const char text[] = "# a comment\n"
				   "[fleet]\n"
				   "rotations_per_minute = 300\n"
				   "\n"
				   "  [default]  \r\n"
				   "max_key_age = 30d\n"
				   "rotate_at = 80%\n"
				   "jitter=20%\n"
				   "clone_contended = quarantine\n"
				   "[group north]\n"
				   "max_key_age = 7d\n"
				   "quiet_hours = 22:00-06:30\n"
				   "[group south]\n"
				   "challenge_silence = report\n"
				   "clone_contended = report\n"
				   "max_key_age = 0\n";
	struct kt_policies policies;
	struct kt_group_policy p;
	char why[512];

	(void)state;
	assert_int_equal(parse(text, &policies, why), KT_ERR_OK);
	assert_string_equal(why, "");
	assert_int_equal(policies.rotations_per_minute, 300);
	assert_int_equal(policies.count, 3);
	p = kt_policies_for(&policies, &config, "north");
	assert_int_equal(p.max_key_age_ms, INT64_C(7) * 86400000);
	assert_int_equal(p.rotate_at, 80);
	assert_int_equal(p.jitter, 20);
	assert_int_equal(p.quiet_from, 22 * 60);
	assert_int_equal(p.quiet_until, 6 * 60 + 30);
	assert_int_equal(p.clone_contended, KT_POLICY_QUARANTINE);
	p = kt_policies_for(&policies, &config, "south");
	assert_int_equal(p.max_key_age_ms, 0);
	assert_int_equal(p.challenge_silence, KT_POLICY_REPORT);
	assert_int_equal(p.clone_contended, KT_POLICY_REPORT);
	assert_int_equal(p.quiet_from, p.quiet_until); /* the other group's */
	p = kt_policies_for(&policies, &config, "north-2");
	assert_int_equal(p.max_key_age_ms, INT64_C(30) * 86400000);
	assert_string_equal(p.group, "");
}

static void a_change_of_any_option_is_one(void **state)
{
	static const char *const texts[] = {
		"[fleet]\nrotations_per_minute = 1\n",
		"[default]\nmax_key_age = 2d\n",
		"[default]\nrotate_at = 89%\n",
		"[default]\njitter = 9%\n",
		"[default]\nquiet_hours = 00:00-06:00\n",
		"[default]\nquiet_hours = 01:00-00:00\n",
		"[default]\nchallenge_every = 0\n",
		"[default]\nchallenge_silence = report\n",
		"[default]\nclone_second_key = quarantine\n",
		"[default]\nclone_contended = quarantine\n",
		"[default]\nclone_old_answer = quarantine\n",
		"[default]\nclone_op_range = report\n",
		"[group a]\n",
		"[group b]\n",
	};
	struct kt_policies before;
	struct kt_policies after;
	char why[512];

	(void)state;
	assert_int_equal(parse("", &before, why), KT_ERR_OK);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(parse(texts[i], &after, why), KT_ERR_OK);
		assert_false(kt_policies_are_same(&before, &after));
		assert_true(kt_policies_are_same(&after, &after));
		before = after;
	}
}

static void each_mistake_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text;
		enum kt_err err;
		const char *why; /* how it begins */
	} bad[] = {
		{"max_key_age = 1d\n", KT_ERR_UNKNOWN_FIELD, "p.conf:1: there is no option"},
		{"[north]\n", KT_ERR_INVALID, "p.conf:1: a heading is [fleet], [default] or"},
		{"[group north\n", KT_ERR_INVALID, "p.conf:1: a heading is"},
		{"[]\n", KT_ERR_INVALID, "p.conf:1: a heading is"},
		{"\n[group no/rth]\n", KT_ERR_INVALID, "p.conf:2: that is no group"},
		{"[group ]\n", KT_ERR_INVALID, "p.conf:1: that is no group"},
		{"[group a]\n[group b]\n\n[group a]\n", KT_ERR_EXISTS,
		 "p.conf:4: the group a has a section already"},
		{"[default]\n[default]\n", KT_ERR_EXISTS, "p.conf:2: [default] stands once"},
		{"[group a]\n[default]\n", KT_ERR_EXISTS, "p.conf:2: [default] stands once"},
		{"[fleet]\n[fleet]\n", KT_ERR_EXISTS, "p.conf:2: [fleet] stands once"},
		{"[fleet]\nmax_key_age = 1d\n", KT_ERR_UNKNOWN_FIELD,
		 "p.conf:2: there is no option 'max_key_age'"},
		{"[fleet]\nrotations_per_minute = 100001\n", KT_ERR_RANGE,
		 "p.conf:2: rotations_per_minute is out of range"},
		{"[default]\nrotations_per_minute = 3\n", KT_ERR_UNKNOWN_FIELD,
		 "p.conf:2: there is no option"},
		{"[default]\n\n# so\nmax_key_age = 30\n", KT_ERR_INVALID,
		 "p.conf:4: max_key_age is not a duration"},
		{"[default]\nmax_key_age = 1d\nmax_key_age = 1d\n", KT_ERR_EXISTS,
		 "p.conf:3: max_key_age is given twice"},
		{"[default]\nrotate_at = 80\n", KT_ERR_INVALID, "p.conf:2: rotate_at is no share"},
		{"[default]\nrotate_at = %\n", KT_ERR_INVALID, "p.conf:2: rotate_at is no share"},
		{"[default]\nrotate_at = 9%\n", KT_ERR_RANGE,
		 "p.conf:2: rotate_at is out of range"},
		{"[default]\nrotate_at = 101%\n", KT_ERR_RANGE, "p.conf:2: rotate_at is out of"},
		{"[default]\nrotate_at = -1%\n", KT_ERR_INVALID, "p.conf:2: rotate_at is no share"},
		{"[group a]\nrotate_at = 20%\njitter = 20%\n", KT_ERR_RANGE,
		 "p.conf:1: jitter is not below rotate_at"},
		{"[default]\nquiet_hours = 22:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours is"},
		{"[default]\nquiet_hours = 22:00-22:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours"},
		{"[default]\nquiet_hours = 24:00-06:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours"},
		{"[default]\nquiet_hours = 22:60-06:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours"},
		{"[default]\nquiet_hours = 22.00-06:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours"},
		{"[default]\nquiet_hours = 2a:00-06:00\n", KT_ERR_INVALID, "p.conf:2: quiet_hours"},
		{"[default]\nclone_contended = disconnect\n", KT_ERR_INVALID, "p.conf:2: "},
		{"[default]\nchallenge_silence = never\n", KT_ERR_INVALID, "p.conf:2: "},
		{"[default]\nchallenge_every = 60s\n", KT_ERR_RANGE,
		 "p.conf:1: challenge_every is not longer than challenge_timeout"},
		{"[default]\nmax_key_age\n", KT_ERR_INVALID, "p.conf:2: no = in this line"},
		{"[default]\n\x01\n", KT_ERR_INVALID, "p.conf:2: a control character"},
	};
	struct kt_policies policies;
	struct kt_policies zero;
	char why[512];

	(void)state;
	memset(&zero, 0, sizeof(zero));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum kt_err err = parse(bad[i].text, &policies, why);

		if (err != bad[i].err || strncmp(why, bad[i].why, strlen(bad[i].why)) != 0)
			fail_msg("%s: %s, %s", bad[i].text, kt_err_name(err), why);
		assert_memory_equal(&policies, &zero, sizeof(zero));
	}
}

static void sixty_three_groups_have_room(void **state)
{
	char text[KT_POLICIES_MAX * 16] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct kt_policies policies;
	char why[512];

	(void)state;
	assert_non_null(out);
	for (unsigned i = 1; i < KT_POLICIES_MAX; i++)
		(void)fprintf(out, "[group g%u]\n", i);
	(void)fflush(out);
	assert_int_equal(parse(text, &policies, why), KT_ERR_OK);
	assert_int_equal(policies.count, KT_POLICIES_MAX);
	(void)fprintf(out, "[group one-more]\n");
	assert_int_equal(fclose(out), 0);
	assert_int_equal(parse(text, &policies, why), KT_ERR_RANGE);
	assert_memory_equal(why, "p.conf:64: more than 63", strlen("p.conf:64: more than 63"));
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
	struct kt_policies policies;
	char why[512];

	(void)state;
	assert_int_equal(kt_policies_load("/nonexistent/policy.conf", &config, &policies, why),
			 KT_ERR_SYS);
	assert_non_null(strstr(why, "/nonexistent/policy.conf"));
	assert_int_equal(policies.count, 0);
}

static void the_manual_names_every_option(void **state)
{
	char *page = vector_file_load("../../docs/keyturn-plugin.5");
	const char *at = page == NULL ? NULL : strstr(page, "\n.Sh POLICY FILE");
	const char *name;
	const char *help;
	size_t count = 0;

	(void)state;
	if (at == NULL)
		fail_msg("the page has no POLICY FILE");
	for (; at != NULL && kt_policies_option(count, &name, &help); count++) {
		if (strstr(at, name) == NULL)
			fail_msg("the page does not name %s", name);
		assert_true(strlen(help) > 0);
	}
	assert_int_equal(count, 11);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_says_is_as_in_the_configuration),
		cmocka_unit_test(groups_inherit_from_the_default),
		cmocka_unit_test(each_mistake_is_told_with_its_line),
		cmocka_unit_test(a_change_of_any_option_is_one),
		cmocka_unit_test(sixty_three_groups_have_room),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
		cmocka_unit_test(the_manual_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
