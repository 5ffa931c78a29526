#include "err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	enum kt_err err;
	enum kt_err_class cls;
	const char *name;
} entries[] = {
#define ENTRY(code, name, cls, text) {KT_ERR_##code, KT_ERR_CLASS_##cls, name},
	KT_ERR_LIST(ENTRY)
#undef ENTRY
};

enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

static void ok_is_zero_and_alone_in_its_class(void **state)
{
	(void)state;
	assert_int_equal(KT_ERR_OK, 0);
	for (size_t i = 0; i < ENTRY_COUNT; i++)
		assert_int_equal(kt_err_class(entries[i].err) == KT_ERR_CLASS_OK, i == 0);
}

static void every_code_has_its_token_and_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENTRY_COUNT; i++) {
		assert_string_equal(kt_err_name(entries[i].err), entries[i].name);
		assert_int_equal(kt_err_class(entries[i].err), entries[i].cls);
		assert_true(strlen(kt_err_text(entries[i].err)) > 0);
	}
}

static void no_token_is_used_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENTRY_COUNT; i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(entries[i].name, entries[j].name);
	}
}

static void the_list_stays_within_25_codes(void **state)
{
	(void)state;
	assert_true(ENTRY_COUNT <= 25);
}

static void a_value_outside_the_list_is_fatal_and_unnamed(void **state)
{
	static const int outside[] = {ENTRY_COUNT, ENTRY_COUNT + 1, 9999, -1};

	(void)state;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_string_equal(kt_err_name((enum kt_err)outside[i]), "?");
		assert_int_equal(kt_err_class((enum kt_err)outside[i]), KT_ERR_CLASS_FATAL);
	}
}

static void classes_say_what_a_caller_does(void **state)
{
	(void)state;
	assert_int_equal(kt_err_class(KT_ERR_AGAIN), KT_ERR_CLASS_RETRY);
	assert_int_equal(kt_err_class(KT_ERR_VERIFY), KT_ERR_CLASS_REJECT);
	assert_int_equal(kt_err_class(KT_ERR_CORRUPT), KT_ERR_CLASS_FATAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ok_is_zero_and_alone_in_its_class),
		cmocka_unit_test(every_code_has_its_token_and_class),
		cmocka_unit_test(no_token_is_used_twice),
		cmocka_unit_test(the_list_stays_within_25_codes),
		cmocka_unit_test(a_value_outside_the_list_is_fatal_and_unnamed),
		cmocka_unit_test(classes_say_what_a_caller_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
