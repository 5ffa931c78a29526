/* Signatures by libcrypto: the same as wolfCrypt's, or none. */
#include "crypto_openssl.h"

#include <openssl/err.h>

#include "bytes.h"
#include "crypto_wolfssl.h"

enum { KEYS = 100 };

static struct kt_crypto *c;

static int start(void **state)
{
	(void)state;
	return kt_crypto_new(&c) == KT_ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_crypto_free(c);
	return 0;
}

static void each_verifies_what_the_other_signed(void **state)
{
	uint8_t hash[32];
	uint8_t slow_sig[KT_SIGNATURE_MAX];
	uint8_t fast_sig[KT_SIGNATURE_MAX];
	uint8_t other[32] = {0};

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		struct kt_key *key = NULL;
		const uint8_t *point;

		assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
		point = kt_public_key_point(kt_key_public(key));
		kt_sha256(&i, sizeof(i), hash);
		assert_int_equal(kt_wolfssl_sign(c, key, hash, slow_sig), KT_ERR_OK);
		assert_true(kt_openssl_is_good(point, hash, slow_sig));
		assert_true(kt_key_speed_up(key));
		assert_true(kt_key_speed_up(key)); /* once more is nothing new */
		assert_true(kt_openssl_sign(key->fast, hash, fast_sig));
		assert_memory_not_equal(fast_sig, slow_sig, 32); /* never the same nonce */
		assert_int_equal(kt_wolfssl_verify(kt_key_public(key), hash, fast_sig), KT_ERR_OK);
		assert_int_equal(kt_wolfssl_verify(kt_key_public(key), other, fast_sig),
				 KT_ERR_VERIFY);
		assert_false(kt_openssl_is_good(point, other, fast_sig));
		kt_key_free(key);
	}
}

/* Often enough to meet r and s with leading zero bytes. */
static void signs_what_it_can_verify_itself(void **state)
{
	struct kt_key *key = NULL;
	uint8_t sig[KT_SIGNATURE_MAX];

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	assert_true(kt_key_speed_up(key));
	for (int i = 0; i < 600; i++) {
		assert_int_equal(kt_key_sign(c, key, (const uint8_t *)&i, sizeof(i), sig),
				 KT_ERR_OK);
		assert_true(kt_is_es256_range(sig));
		assert_int_equal(
			kt_verify(kt_key_public(key), (const uint8_t *)&i, sizeof(i), sig, 64),
			KT_ERR_OK);
	}
	kt_key_free(key);
}

static void what_is_no_key_is_not_taken(void **state)
{
	struct kt_key *key = NULL;
	uint8_t point[KT_POINT_LEN];
	uint8_t scalar[KT_SCALAR_LEN] = {0};
	uint8_t hash[32] = {1};
	uint8_t sig[KT_SIGNATURE_MAX];

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	memcpy(point, kt_public_key_point(kt_key_public(key)), sizeof(point));
	assert_int_equal(kt_wolfssl_sign(c, key, hash, sig), KT_ERR_OK);
	assert_true(kt_openssl_is_good(point, hash, sig));
	point[KT_POINT_LEN - 1] ^= 1; /* off the curve */
	assert_false(kt_openssl_is_good(point, hash, sig));
	scalar[31] = 1;
	assert_null(kt_openssl_key_new(point, scalar));
	point[KT_POINT_LEN - 1] ^= 1;
	point[0] = 0x03;
	assert_false(kt_openssl_is_good(point, hash, sig));
	memset(point, 0, sizeof(point)); /* the point at infinity, in so many bytes */
	assert_false(kt_openssl_is_good(point, hash, sig));
	kt_openssl_key_free(NULL);
	kt_key_free(key);
}

static void both_hash_alike(void **state)
{
	enum { LEN = 5000 };
	uint8_t *bytes = calloc(1, LEN);
	uint8_t slow[32];
	uint8_t fast[32];
	uint8_t either[32];

	(void)state;
	assert_non_null(bytes);
	for (size_t len = 0; len <= LEN; len += len < 300 ? 1 : 235) {
		if (len > 0)
			bytes[len - 1] = (uint8_t)(len * 7);
		kt_wolfssl_sha256(bytes, len, slow);
		assert_true(kt_openssl_sha256(bytes, len, fast));
		kt_sha256(bytes, len, either);
		assert_memory_equal(fast, slow, 32);
		assert_memory_equal(either, slow, 32);
	}
	free(bytes);
}

/* The broker asks what went wrong with a connection after we were called: that must not be ours. */
static void the_error_queue_stays_as_it_was(void **state)
{
	uint8_t point[KT_POINT_LEN] = {0x04};
	uint8_t hash[32] = {1};
	uint8_t sig[KT_SIGNATURE_MAX] = {0};

	(void)state;
	ERR_clear_error();
	assert_false(kt_openssl_is_good(point, hash, sig));
	assert_null(kt_openssl_key_new(point, hash));
	assert_int_equal(ERR_peek_error(), 0);
	ERR_raise(ERR_LIB_USER, 42);
	assert_false(kt_openssl_is_good(point, hash, sig));
	assert_null(kt_openssl_key_new(point, hash));
	assert_int_equal(ERR_GET_REASON(ERR_get_error()), 42);
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verifies_what_the_other_signed),
		cmocka_unit_test(signs_what_it_can_verify_itself),
		cmocka_unit_test(what_is_no_key_is_not_taken),
		cmocka_unit_test(both_hash_alike),
		cmocka_unit_test(the_error_queue_stays_as_it_was),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
