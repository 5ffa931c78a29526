#include "types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void accepts_ids_of_the_alphabet(void **state)
{
	static const char *const good[] = {"a", "hub-17", "HUB_1.x", "0", "opx", "claims"};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(kt_is_device_id(good[i], strlen(good[i])));
}

static void refuses_ids_outside_the_alphabet(void **state)
{
	static const char *const bad[] = {"",	 "-a",	".a",	 "_a",	  "a b",
					  "a/b", "a+b", "a#",	 "a:b",	  "op",
					  "OP",	 "Op",	"claim", "CLAIM", "h\xc3\xbc"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(kt_is_device_id(bad[i], strlen(bad[i])));
}

static void refuses_an_id_of_64_characters(void **state)
{
	char id[65];
	struct kt_device_id out;

	(void)state;
	memset(id, 'a', sizeof(id));
	assert_true(kt_is_device_id(id, 63));
	assert_false(kt_is_device_id(id, 64));
	assert_false(kt_device_id_set(&out, id, 64));
	assert_string_equal(out.s, "");
}

static void refuses_an_id_with_a_nul_in_it(void **state)
{
	(void)state;
	assert_false(kt_is_device_id("a\0b", 3));
}

static void trust_domains_are_lower_case(void **state)
{
	(void)state;
	assert_true(kt_is_trust_domain("fleet.example", 13));
	assert_false(kt_is_trust_domain("Fleet.example", 13));
	assert_false(kt_is_trust_domain("fleet/example", 13));
	assert_false(kt_is_trust_domain("", 0));
}

static void unknown_algorithms_are_none(void **state)
{
	(void)state;
	assert_int_equal(kt_alg_from_name("ES256"), KT_ALG_ES256);
	assert_int_equal(kt_alg_from_name("es256"), KT_ALG_NONE);
	assert_int_equal(kt_alg_from_name("none"), KT_ALG_NONE);
	assert_string_equal(kt_alg_name(KT_ALG_ES256), "ES256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_ids_of_the_alphabet),
		cmocka_unit_test(refuses_ids_outside_the_alphabet),
		cmocka_unit_test(refuses_an_id_of_64_characters),
		cmocka_unit_test(refuses_an_id_with_a_nul_in_it),
		cmocka_unit_test(trust_domains_are_lower_case),
		cmocka_unit_test(unknown_algorithms_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
