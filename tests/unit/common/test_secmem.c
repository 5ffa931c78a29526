#include "secmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_new_secret_is_zeroed(void **state)
{
	struct kt_secret *secret;

	(void)state;
	assert_int_equal(kt_secret_new(48, &secret), KT_ERR_OK);
	assert_int_equal(kt_secret_len(secret), 48);
	for (size_t i = 0; i < 48; i++)
		assert_int_equal(kt_secret_bytes(secret)[i], 0);
	kt_secret_free(secret);
}

static void a_copy_holds_its_own_bytes(void **state)
{
	uint8_t bytes[4] = {1, 2, 0, 4};
	struct kt_secret *secret;

	(void)state;
	assert_int_equal(kt_secret_copy(bytes, sizeof(bytes), &secret), KT_ERR_OK);
	kt_wipe(bytes, sizeof(bytes));
	assert_memory_equal(kt_secret_bytes(secret), "\1\2\0\4", 4);
	assert_ptr_equal(kt_secret_view(secret).p, kt_secret_bytes(secret));
	assert_int_equal(kt_secret_view(secret).len, 4);
	kt_secret_free(secret);
}

static void refuses_more_than_64_kib(void **state)
{
	struct kt_secret *secret = (struct kt_secret *)state;

	assert_int_equal(kt_secret_new(64 * 1024 + 1, &secret), KT_ERR_TOO_LONG);
	assert_null(secret);
	secret = (struct kt_secret *)state;
	assert_int_equal(kt_secret_copy("", SIZE_MAX, &secret), KT_ERR_TOO_LONG);
	assert_null(secret);
	assert_int_equal(kt_secret_new(64 * 1024, &secret), KT_ERR_OK);
	kt_secret_free(secret);
}

static void a_secret_may_be_empty(void **state)
{
	struct kt_secret *secret;

	(void)state;
	assert_int_equal(kt_secret_copy(NULL, 0, &secret), KT_ERR_OK);
	assert_int_equal(kt_secret_len(secret), 0);
	kt_secret_free(secret);
	kt_secret_free(NULL);
}

static void truncation_wipes_the_end(void **state)
{
	struct kt_secret *secret;
	const uint8_t *bytes;

	(void)state;
	assert_int_equal(kt_secret_copy("abcdefgh", 8, &secret), KT_ERR_OK);
	bytes = kt_secret_bytes(secret);
	kt_secret_truncate(secret, 3);
	assert_int_equal(kt_secret_len(secret), 3);
	assert_memory_equal(bytes, "abc\0\0\0\0\0", 8);
	kt_secret_free(secret);
}

static void truncation_never_grows(void **state)
{
	struct kt_secret *secret;

	(void)state;
	assert_int_equal(kt_secret_copy("abcd", 4, &secret), KT_ERR_OK);
	kt_secret_truncate(secret, 4);
	assert_int_equal(kt_secret_len(secret), 4);
	kt_secret_truncate(secret, 400);
	assert_int_equal(kt_secret_len(secret), 4);
	kt_secret_truncate(secret, 2);
	kt_secret_truncate(secret, 4);
	assert_int_equal(kt_secret_len(secret), 2);
	kt_secret_free(secret);
}

static void wipe_clears_exactly_what_it_is_given(void **state)
{
	uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};

	(void)state;
	kt_wipe(bytes + 1, 4);
	assert_memory_equal(bytes, "\1\0\0\0\0\6", 6);
	kt_wipe(bytes, 0);
	assert_int_equal(bytes[0], 1);
	kt_wipe(NULL, 0);
}

static void equality_sees_every_single_bit(void **state)
{
	uint8_t a[33];
	uint8_t b[33];

	(void)state;
	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 7);
	memcpy(b, a, sizeof(a));
	assert_true(kt_ct_equal(a, b, sizeof(a)));
	for (size_t bit = 0; bit < 8 * sizeof(a); bit++) {
		b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(kt_ct_equal(a, b, sizeof(a)));
		b[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	b[32] ^= 1;
	assert_true(kt_ct_equal(a, b, 32));
	assert_true(kt_ct_equal(a, b, 0));
}

static void equality_looks_past_a_nul(void **state)
{
	(void)state;
	assert_false(kt_ct_equal("a\0b", "a\0c", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_secret_is_zeroed),
		cmocka_unit_test(a_copy_holds_its_own_bytes),
		cmocka_unit_test(refuses_more_than_64_kib),
		cmocka_unit_test(a_secret_may_be_empty),
		cmocka_unit_test(truncation_wipes_the_end),
		cmocka_unit_test(truncation_never_grows),
		cmocka_unit_test(wipe_clears_exactly_what_it_is_given),
		cmocka_unit_test(equality_sees_every_single_bit),
		cmocka_unit_test(equality_looks_past_a_nul),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
