#include "crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto_asn1.h"

static struct kt_crypto *c;
static struct kt_key *key;

static int start(void **state)
{
	(void)state;
	if (kt_crypto_new(&c) != KT_ERR_OK)
		return -1;
	return kt_key_new(c, KT_ALG_ES256, &key) == KT_ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_key_free(key);
	kt_crypto_free(c);
	return 0;
}

static size_t recover(const char *text, const uint8_t sig[static KT_SIGNATURE_MAX],
		      struct kt_public_key out[static KT_RECOVERED_MAX])
{
	return kt_recover((const uint8_t *)text, strlen(text), sig, out);
}

static bool is_among(const struct kt_public_key *wanted, const struct kt_public_key *keys,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (keys[i].alg == wanted->alg && keys[i].spki_len == wanted->spki_len &&
		    memcmp(keys[i].spki, wanted->spki, wanted->spki_len) == 0)
			return true;
	}
	return false;
}

static void sign(const struct kt_key *with, const char *text, uint8_t sig[static KT_SIGNATURE_MAX])
{
	assert_int_equal(kt_key_sign(c, with, (const uint8_t *)text, strlen(text), sig), KT_ERR_OK);
}

static void finds_the_signer_of_every_message(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		struct kt_public_key keys[KT_RECOVERED_MAX];
		uint8_t sig[KT_SIGNATURE_MAX];
		char text[16];

		(void)snprintf(text, sizeof(text), "message %u", i);
		sign(key, text, sig);
		assert_int_equal(recover(text, sig, keys), 2);
		assert_true(is_among(kt_key_public(key), keys, 2));
		assert_false(is_among(&keys[0], &keys[1], 1));
	}
}

/* Whatever comes out, the signature is one of it: so nobody is named who has not signed. */
static void names_nobody_whose_signature_it_is_not(void **state)
{
	struct kt_key *other = NULL;
	struct kt_public_key keys[KT_RECOVERED_MAX];
	uint8_t sig[KT_SIGNATURE_MAX];

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &other), KT_ERR_OK);
	sign(other, "a", sig);
	assert_int_equal(recover("a", sig, keys), 2);
	assert_true(is_among(kt_key_public(other), keys, 2));
	assert_false(is_among(kt_key_public(key), keys, 2));
	for (size_t bit = 0; bit < 8 * sizeof(sig); bit += 5) {
		size_t count;

		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		count = recover("a", sig, keys);
		assert_false(is_among(kt_key_public(other), keys, count));
		for (size_t i = 0; i < count; i++)
			assert_int_equal(
				kt_verify(&keys[i], (const uint8_t *)"a", 1, sig, sizeof(sig)),
				KT_ERR_OK);
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(recover("b", sig, keys), 2);
	assert_false(is_among(kt_key_public(other), keys, 2));
	kt_key_free(other);
}

static void what_is_no_signature_is_nobodys(void **state)
{
	/* the order of the group (FIPS 186-4 D.1.2.3), and an r that is no point's x */
	static const uint8_t order[KT_SCALAR_LEN] = {
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
		0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
	static const struct kt_public_key none[KT_RECOVERED_MAX];
	struct kt_public_key keys[KT_RECOVERED_MAX];
	uint8_t sig[KT_SIGNATURE_MAX];
	unsigned points = 0;

	(void)state;
	for (unsigned half = 0; half < 2; half++) {
		sign(key, "a", sig);
		memset(sig + half * KT_SCALAR_LEN, 0, KT_SCALAR_LEN);
		assert_int_equal(recover("a", sig, keys), 0);
		memcpy(sig + half * KT_SCALAR_LEN, order, KT_SCALAR_LEN);
		assert_int_equal(recover("a", sig, keys), 0);
		assert_memory_equal(keys, none, sizeof(keys));
	}
	/* about every second number is no point's x */
	sign(key, "a", sig);
	for (uint8_t i = 0; i < 64; i++) {
		size_t count;

		sig[31] = i;
		count = recover("a", sig, keys);
		assert_true(count == 0 || count == 2);
		points += count == 2 ? 1 : 0;
	}
	assert_in_range(points, 8, 56);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_signer_of_every_message),
		cmocka_unit_test(names_nobody_whose_signature_it_is_not),
		cmocka_unit_test(what_is_no_signature_is_nobodys),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
