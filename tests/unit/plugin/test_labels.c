#include "labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void a_label_is_of_its_characters_and_length(void **state)
{
	static const char *const bad[] = {"", "a b", "a,b", "\xc3\xa4", "a=b", "a\n", A63 "a", "*"};

	(void)state;
	assert_true(kt_is_label("site:berlin/4.OG_x-1", 20));
	assert_true(kt_is_label(A63, 63));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(kt_is_label(bad[i], strlen(bad[i])));
}

static void a_set_has_one_text(void **state)
{
	static const char *const bad[] = {"b,a",  "a,a", ",a",	 "a,", ",",
					  "a,,b", "a b", "ab,a", " a", "a,b,a"};
	static const char *const good[] = {"", "a", "a,b", "a,ab,b", "A,a", "a-,a.,a/,a0,a:,aA"};
	char long_one[KT_LABELS_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!kt_labels_are_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (kt_labels_are_valid(bad[i]))
			fail_msg("accepted: %s", bad[i]);
	}
	/* four of 63 with their commas are 255 */
	(void)snprintf(long_one, sizeof(long_one), "%.62sa,%.62sb,%.62sc,%.62sd", A63, A63, A63,
		       A63);
	assert_int_equal(strlen(long_one), KT_LABELS_MAX);
	assert_true(kt_labels_are_valid(long_one));
}

static void labels_are_added_where_they_belong(void **state)
{
	static const char *const order[] = {"m", "a", "z", "ma", "m", "l"};
	static const char *const sets[] = {"m",	       "a,m",	   "a,m,z",
					   "a,m,ma,z", "a,m,ma,z", "a,l,m,ma,z"};
	struct kt_labels labels = {.s = ""};

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		assert_int_equal(kt_labels_add(&labels, order[i]), KT_ERR_OK);
		assert_string_equal(labels.s, sets[i]);
		assert_true(kt_labels_are_valid(labels.s));
		assert_true(kt_labels_have(labels.s, order[i]));
	}
	assert_false(kt_labels_have(labels.s, "b"));
	assert_false(kt_labels_have(labels.s, "m,ma"));
	assert_false(kt_labels_have(labels.s, ""));
	assert_int_equal(kt_labels_add(&labels, "x,y"), KT_ERR_INVALID);
	assert_int_equal(kt_labels_add(&labels, ""), KT_ERR_INVALID);
	assert_string_equal(labels.s, "a,l,m,ma,z");
}

static void labels_are_removed_with_their_comma(void **state)
{
	static const char *const order[] = {"b", "x", "a", "c", "c"};
	static const char *const sets[] = {"a,c", "a,c", "c", "", ""};
	struct kt_labels labels = {.s = "a,b,c"};

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		kt_labels_remove(&labels, order[i]);
		assert_string_equal(labels.s, sets[i]);
	}
}

static void a_full_set_takes_no_more(void **state)
{
	struct kt_labels labels = {.s = ""};
	struct kt_labels before;
	char label[KT_LABEL_MAX + 1];

	(void)state;
	for (char c = 'a'; c <= 'd'; c++) {
		memset(label, c, KT_LABEL_MAX);
		label[KT_LABEL_MAX] = '\0';
		assert_int_equal(kt_labels_add(&labels, label), KT_ERR_OK);
	}
	assert_int_equal(strlen(labels.s), KT_LABELS_MAX);
	before = labels;
	assert_int_equal(kt_labels_add(&labels, "x"), KT_ERR_TOO_LONG);
	assert_int_equal(kt_labels_add(&labels, "0"), KT_ERR_TOO_LONG);
	assert_int_equal(kt_labels_add(&labels, label), KT_ERR_OK);
	assert_string_equal(labels.s, before.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_label_is_of_its_characters_and_length),
		cmocka_unit_test(a_set_has_one_text),
		cmocka_unit_test(labels_are_added_where_they_belong),
		cmocka_unit_test(labels_are_removed_with_their_comma),
		cmocka_unit_test(a_full_set_takes_no_more),
	};

	return cmocka_run_group_tests_name("labels", tests, NULL, NULL);
}
