#include "reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const tokens[] = {
#define TOKEN(code, token, scope, text) token,
	KT_REASON_LIST(TOKEN)
#undef TOKEN
};

static void tokens_go_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < KT_REASON_COUNT; i++) {
		assert_string_equal(kt_reason_name((enum kt_reason)i), tokens[i]);
		assert_int_equal(kt_reason_from_name(tokens[i]), i);
		assert_true(strlen(kt_reason_text((enum kt_reason)i)) > 0);
	}
}

static void no_token_is_used_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < KT_REASON_COUNT; i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(tokens[i], tokens[j]);
	}
}

static void tokens_are_lower_case_words_joined_by_dots(void **state)
{
	(void)state;
	for (size_t i = 0; i < KT_REASON_COUNT; i++) {
		size_t good = strspn(tokens[i], "abcdefghijklmnopqrstuvwxyz._");

		assert_int_equal(good, strlen(tokens[i]));
	}
}

static void unknown_tokens_are_none(void **state)
{
	static const char *const unknown[] = {
		"", "?", "JSON.SYNTAX", "json.synta", "json", "json.syntax ", "none2"};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(kt_reason_from_name(unknown[i]), KT_REASON_NONE);
}

static void a_stranger_is_not_told_what_the_registry_holds(void **state)
{
	static const enum kt_reason secret[] = {
		KT_REASON_NONE,		  KT_REASON_CERT_UNKNOWN,   KT_REASON_CERT_SUPERSEDED,
		KT_REASON_CERT_REVOKED,	  KT_REASON_TICKET_UNKNOWN, KT_REASON_TICKET_USED,
		KT_REASON_TICKET_EXPIRED, KT_REASON_CLIENTID,	    KT_REASON_KEY_DENIED};

	(void)state;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		assert_false(kt_reason_is_for_peer(secret[i]));
	assert_true(kt_reason_is_for_peer(KT_REASON_CLAIM_REFUSED));
	assert_true(kt_reason_is_for_peer(KT_REASON_JSON_SYNTAX));
}

static void a_value_outside_the_list_is_unnamed_and_not_told(void **state)
{
	static const int outside[] = {KT_REASON_COUNT, KT_REASON_COUNT + 1, 9999, -1};

	(void)state;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_string_equal(kt_reason_name((enum kt_reason)outside[i]), "?");
		assert_false(kt_reason_is_for_peer((enum kt_reason)outside[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_go_there_and_back),
		cmocka_unit_test(no_token_is_used_twice),
		cmocka_unit_test(tokens_are_lower_case_words_joined_by_dots),
		cmocka_unit_test(unknown_tokens_are_none),
		cmocka_unit_test(a_stranger_is_not_told_what_the_registry_holds),
		cmocka_unit_test(a_value_outside_the_list_is_unnamed_and_not_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
