#include "crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "mutate.h"

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

static uint8_t *vector(const char *name, size_t *len)
{
	char path[512];

	(void)snprintf(path, sizeof(path), KT_VECTORS "/csr/%s.der", name);
	return read_file(path, len);
}

static enum kt_err decode_vector(const char *name, struct kt_csr *csr, enum kt_reason *reason)
{
	size_t len;
	uint8_t *der = vector(name, &len);
	enum kt_err err = kt_csr_decode(der, len, csr, reason);

	free(der);
	return err;
}

static void assert_refused(const char *name, enum kt_err want, enum kt_reason want_reason)
{
	static const struct kt_csr nothing;
	struct kt_csr csr;
	enum kt_reason reason;

	assert_int_equal(decode_vector(name, &csr, &reason), want);
	assert_string_equal(kt_reason_name(reason), kt_reason_name(want_reason));
	assert_memory_equal(&csr, &nothing, sizeof(csr));
}

static void reads_what_it_wrote(void **state)
{
	uint8_t der[KT_CSR_MAX];
	struct kt_key_id id = kt_key_id_of(kt_key_public(key));
	struct kt_csr csr;
	enum kt_reason reason;
	size_t len;

	(void)state;
	assert_int_equal(kt_csr_new(c, key, "hub-17", "bound", der, &len), KT_ERR_OK);
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_OK);
	assert_int_equal(reason, KT_REASON_NONE);
	assert_string_equal(csr.common_name, "hub-17");
	assert_string_equal(csr.challenge_password, "bound");
	assert_memory_equal(csr.key.spki, kt_key_public(key)->spki, 91);
	assert_true(kt_key_id_eq(&csr.key_id, &id));
}

static void takes_63_characters_and_no_more(void **state)
{
	char text[65];
	uint8_t der[KT_CSR_MAX];
	struct kt_csr csr;
	enum kt_reason reason;
	size_t len;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[63] = '\0';
	assert_int_equal(kt_csr_new(c, key, text, text, der, &len), KT_ERR_OK);
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_OK);
	assert_string_equal(csr.common_name, text);
	assert_string_equal(csr.challenge_password, text);
	text[63] = 'a';
	text[64] = '\0';
	assert_int_equal(kt_csr_new(c, key, text, "x", der, &len), KT_ERR_TOO_LONG);
	assert_int_equal(len, 0);
	assert_int_equal(kt_csr_new(c, key, "x", text, der, &len), KT_ERR_TOO_LONG);
	assert_int_equal(kt_csr_new(c, key, "", "x", der, &len), KT_ERR_INVALID);
}

static void reads_what_openssl_wrote(void **state)
{
	struct kt_csr csr;
	enum kt_reason reason;

	(void)state;
	assert_int_equal(decode_vector("good", &csr, &reason), KT_ERR_OK);
	assert_string_equal(csr.common_name, "hub-17");
	assert_string_equal(csr.challenge_password, "bound");
	assert_int_equal(decode_vector("plain", &csr, &reason), KT_ERR_OK);
	assert_string_equal(csr.challenge_password, "");
	assert_int_equal(decode_vector("usual", &csr, &reason), KT_ERR_OK);
	assert_string_equal(csr.common_name, "hub-17");
}

static void refuses_a_request_for_a_ca(void **state)
{
	(void)state;
	assert_refused("ca", KT_ERR_INVALID, KT_REASON_CSR_EXTENSION);
	assert_refused("ca-not-critical", KT_ERR_INVALID, KT_REASON_CSR_EXTENSION);
	assert_refused("cert-sign", KT_ERR_INVALID, KT_REASON_CSR_EXTENSION);
}

static void refuses_an_unknown_critical_extension(void **state)
{
	(void)state;
	assert_refused("unknown-critical", KT_ERR_INVALID, KT_REASON_CSR_EXTENSION);
}

static void refuses_attributes_that_it_does_not_know_or_that_are_too_long(void **state)
{
	(void)state;
	assert_refused("unknown-attribute", KT_ERR_INVALID, KT_REASON_CSR_SYNTAX);
	assert_refused("long-challenge", KT_ERR_INVALID, KT_REASON_CSR_SYNTAX);
}

static void refuses_any_other_kind_of_key(void **state)
{
	static const char *const names[] = {"rsa1024", "p384", "secp256k1", "ed25519"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_refused(names[i], KT_ERR_INVALID, KT_REASON_CSR_KEY);
}

static void refuses_any_other_hash(void **state)
{
	(void)state;
	assert_refused("sha384", KT_ERR_VERIFY, KT_REASON_CSR_SIG);
	assert_refused("sha1", KT_ERR_VERIFY, KT_REASON_CSR_SIG);
}

static void refuses_a_key_that_is_not_on_its_curve(void **state)
{
	size_t len;
	uint8_t *der = vector("good", &len);
	struct kt_csr csr;
	enum kt_reason reason;

	(void)state;
	/* The last byte of Y: behind it come the attributes. */
	der[offset_of(der, len, "\x94\xd4\x46\x22\x99", 5) + 4] ^= 1;
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_CSR_KEY);
	free(der);
}

static void refuses_the_signature_of_another_key(void **state)
{
	size_t len;
	uint8_t *der = vector("good", &len);
	struct kt_csr csr;
	enum kt_reason reason;
	size_t at = offset_of(der, len, kt_key_public(key)->spki, 26) + 26;

	(void)state;
	memcpy(der + at, kt_key_public(key)->spki + 26, 65);
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_VERIFY);
	assert_int_equal(reason, KT_REASON_CSR_SIG);
	free(der);
}

static void refuses_a_changed_name_or_challenge(void **state)
{
	static const char *const texts[] = {"hub-17", "bound"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t len;
		uint8_t *der = vector("good", &len);
		struct kt_csr csr;
		enum kt_reason reason;

		der[offset_of(der, len, texts[i], strlen(texts[i]))] ^= 0x20;
		assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_VERIFY);
		assert_int_equal(reason, KT_REASON_CSR_SIG);
		free(der);
	}
}

static void refuses_bytes_behind_it_and_too_many(void **state)
{
	static uint8_t many[KT_CSR_MAX + 1];
	size_t len;
	uint8_t *der = vector("good", &len);
	struct kt_csr csr;
	enum kt_reason reason;

	(void)state;
	memcpy(many, der, len);
	assert_int_equal(kt_csr_decode(many, len, &csr, &reason), KT_ERR_OK);
	assert_int_equal(kt_csr_decode(many, len + 1, &csr, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_CSR_SYNTAX);
	assert_int_equal(kt_csr_decode(many, KT_CSR_MAX, &csr, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_CSR_SYNTAX);
	assert_int_equal(kt_csr_decode(many, KT_CSR_MAX + 1, &csr, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_MSG_SIZE);
	free(der);
}

static void must_be_refused(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_csr csr;
	enum kt_reason reason;

	assert_int_not_equal(kt_csr_decode(bytes, len, &csr, &reason), KT_ERR_OK);
	assert_int_not_equal(reason, KT_REASON_NONE);
	(*(size_t *)ctx)++;
}

static void refuses_every_damaged_request(void **state)
{
	size_t len;
	uint8_t *der = vector("good", &len);
	size_t count = 0;

	(void)state;
	mutate_flip_bits(der, len, must_be_refused, &count);
	mutate_truncate(der, len, must_be_refused, &count);
	mutate_drop_bytes(der, len, must_be_refused, &count);
	assert_int_equal(count, 10 * len);
	free(der);
	der = vector("usual", &len);
	mutate_flip_bits(der, len, must_be_refused, &count);
	free(der);
}

static void a_binding_depends_on_each_of_its_parts(void **state)
{
	static const struct kt_nonce nonce = {{1, 2, 3}};
	static const struct kt_nonce other = {{1, 2, 4}};
	static const char text[] = "keyturn csr v1\0fleet.example\0hub-17\0"
				   "1234567890123456\0"
				   "\1\2\3\0\0\0\0\0\0\0\0\0\0\0\0\0";
	char want[44];
	char got[44];
	uint8_t hash[32];

	(void)state;
	kt_sha256(text, sizeof(text) - 1, hash);
	assert_int_equal(kt_b64url_encode(hash, 32, want, sizeof(want)), KT_ERR_OK);
	kt_csr_binding("fleet.example", "hub-17", 1234567890123456, &nonce, got);
	assert_string_equal(got, want);
	assert_int_equal(strlen(got), 43);
	kt_csr_binding("fleet.exampl", "ehub-17", 1234567890123456, &nonce, got);
	assert_string_not_equal(got, want);
	kt_csr_binding("fleet.example", "hub-17", 1234567890123457, &nonce, got);
	assert_string_not_equal(got, want);
	kt_csr_binding("fleet.example", "hub-17", 1234567890123456, &other, got);
	assert_string_not_equal(got, want);
	kt_csr_binding("fleet.example", "hub-18", 1234567890123456, &nonce, got);
	assert_string_not_equal(got, want);
}

static void names_that_cannot_be_bind_nothing(void **state)
{
	static const struct kt_nonce nonce;
	char long_name[400];
	char got[44];

	(void)state;
	memset(long_name, 'a', sizeof(long_name));
	long_name[399] = '\0';
	kt_csr_binding(long_name, "hub-17", 1, &nonce, got);
	assert_string_equal(got, "");
	long_name[KT_TRUST_DOMAIN_MAX] = '\0';
	kt_csr_binding(long_name, long_name + KT_TRUST_DOMAIN_MAX - KT_DEVICE_ID_MAX, UINT64_MAX,
		       &nonce, got);
	assert_int_equal(strlen(got), 43);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_wrote),
		cmocka_unit_test(takes_63_characters_and_no_more),
		cmocka_unit_test(reads_what_openssl_wrote),
		cmocka_unit_test(refuses_a_request_for_a_ca),
		cmocka_unit_test(refuses_an_unknown_critical_extension),
		cmocka_unit_test(refuses_attributes_that_it_does_not_know_or_that_are_too_long),
		cmocka_unit_test(refuses_any_other_kind_of_key),
		cmocka_unit_test(refuses_any_other_hash),
		cmocka_unit_test(refuses_a_key_that_is_not_on_its_curve),
		cmocka_unit_test(refuses_the_signature_of_another_key),
		cmocka_unit_test(refuses_a_changed_name_or_challenge),
		cmocka_unit_test(refuses_bytes_behind_it_and_too_many),
		cmocka_unit_test(refuses_every_damaged_request),
		cmocka_unit_test(a_binding_depends_on_each_of_its_parts),
		cmocka_unit_test(names_that_cannot_be_bind_nothing),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
