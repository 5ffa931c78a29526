/*
 * Signatures and keys at the edges of ES256 (vectors/signatures/es256.txt, made by plain arithmetic
 * beside it), and of EdDSA, which Keyturn does not have: each with exactly what becomes of it.
 */
#include "crypto.h"

#include "bytes.h"
#include "crypto_asn1.h"
#include "crypto_openssl.h"
#include "crypto_wolfssl.h"
#include "jws.h"
#include "vector_file.h"

enum { FIELD_MAX = 256, VECTORS_AT_LEAST = 200 };

struct counts {
	size_t ok;
	size_t verify;
	size_t invalid;
	size_t unsupported;
};

/* "-" is nothing. */
static size_t unhex_any(const char *text, uint8_t out[static FIELD_MAX])
{
	const size_t len = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;

	assert_in_range(len, 0, FIELD_MAX);
	if (len > 0)
		assert_int_equal(kt_hex_decode(text, 2 * len, out, len), KT_ERR_OK);
	return len;
}

static enum kt_err wanted(const char *word, struct counts *counts)
{
	if (strcmp(word, "ok") == 0) {
		counts->ok++;
		return KT_ERR_OK;
	}
	if (strcmp(word, "verify") == 0) {
		counts->verify++;
		return KT_ERR_VERIFY;
	}
	if (strcmp(word, "invalid") == 0) {
		counts->invalid++;
		return KT_ERR_INVALID;
	}
	assert_string_equal(word, "unsupported");
	counts->unsupported++;
	return KT_ERR_UNSUPPORTED;
}

/* Either library by itself says the same. */
static void check_both(const struct kt_public_key *key, const uint8_t *message, size_t message_len,
		       const uint8_t *sig, enum kt_err err)
{
	uint8_t hash[32];

	kt_sha256(message, message_len, hash);
	assert_int_equal(kt_wolfssl_verify(key, hash, sig), err);
	assert_int_equal(kt_openssl_is_good(kt_public_key_point(key), hash, sig), err == KT_ERR_OK);
}

/* The key by itself; then, if it is one, the signature. */
static enum kt_err verdict(const uint8_t *spki, size_t spki_len, const uint8_t *sig, size_t sig_len,
			   const uint8_t *message, size_t message_len)
{
	struct kt_public_key key;
	/* exact blocks: a byte read behind them is seen by ASan */
	uint8_t *spki_copy = malloc(spki_len > 0 ? spki_len : 1);
	uint8_t *sig_copy = malloc(sig_len > 0 ? sig_len : 1);
	enum kt_err err;

	assert_non_null(spki_copy);
	assert_non_null(sig_copy);
	memcpy(spki_copy, spki, spki_len);
	memcpy(sig_copy, sig, sig_len);
	err = kt_public_key_from_spki(spki_copy, spki_len, &key);
	if (err == KT_ERR_OK) {
		err = kt_verify(&key, message, message_len, sig_copy, sig_len);
		if (sig_len == KT_SIGNATURE_MAX && kt_is_es256_range(sig_copy))
			check_both(&key, message, message_len, sig_copy, err);
	} else {
		assert_int_equal(key.alg, KT_ALG_NONE);
	}
	free(spki_copy);
	free(sig_copy);
	return err;
}

static void check_line(char *line, struct counts *counts)
{
	char *rest = line;
	const char *want = strsep(&rest, " ");
	const char *key = strsep(&rest, " ");
	const char *sig = strsep(&rest, " ");
	const char *message = strsep(&rest, " ");
	uint8_t spki[FIELD_MAX] = {0};
	uint8_t signature[FIELD_MAX] = {0};
	uint8_t text[FIELD_MAX] = {0};
	enum kt_err err;
	enum kt_err expected;
	size_t key_len;
	size_t sig_len;
	size_t text_len;

	assert_non_null(rest);
	key_len = unhex_any(key, spki);
	sig_len = unhex_any(sig, signature);
	text_len = unhex_any(message, text);
	expected = wanted(want, counts);
	err = verdict(spki, key_len, signature, sig_len, text, text_len);
	if (err != expected)
		fail_msg("%s: %s, and %s is wanted", rest, kt_err_name(err), kt_err_name(expected));
}

static void each_edge_has_its_verdict(void **state)
{
	struct counts counts = {0};
	char *text = vector_file_load("signatures/es256.txt");
	char *rest = text;
	char *line;

	(void)state;
	assert_non_null(text);
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] != '#' && line[0] != '\0')
			check_line(line, &counts);
	}
	free(text);
	print_message(
		"%zu signatures hold, %zu do not; %zu keys are damaged, %zu of another kind\n",
		counts.ok, counts.verify, counts.invalid, counts.unsupported);
	assert_true(counts.ok >= 9 && counts.verify >= 100 && counts.invalid >= 40 &&
		    counts.unsupported >= 20);
	assert_true(counts.ok + counts.verify + counts.invalid + counts.unsupported >=
		    VECTORS_AT_LEAST);
}

/*
 * Whoever sees a signature can make the other one of the same message, s' = n - s. Both hold, and
 * nothing rests on a signature's bytes: a message is known by its nonces and its op, a request by
 * its key, a certificate by the hash of all of it, which the other signature changes.
 */
static void the_other_signature_of_a_certificate_is_another_certificate(void **state)
{
	static const char order[] =
		"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
	const uint8_t body[] = {0x30, 0x03, 0x02, 0x01, 0x07};
	struct kt_crypto *crypto = NULL;
	struct kt_key *key = NULL;
	uint8_t n[32];
	uint8_t sig[KT_SIGNATURE_MAX];
	uint8_t other[KT_SIGNATURE_MAX];
	int borrow = 0;

	(void)state;
	assert_int_equal(kt_crypto_new(&crypto), KT_ERR_OK);
	assert_int_equal(kt_key_new(crypto, KT_ALG_ES256, &key), KT_ERR_OK);
	assert_int_equal(kt_key_sign(crypto, key, body, sizeof(body), sig), KT_ERR_OK);
	unhex(order, n, sizeof(n));
	memcpy(other, sig, sizeof(other));
	for (int i = 31; i >= 0; i--) {
		int digit = n[i] - sig[32 + i] - borrow;

		borrow = digit < 0 ? 1 : 0;
		other[32 + i] = (uint8_t)(digit & 0xff);
	}
	assert_memory_not_equal(other, sig, sizeof(sig));
	assert_int_equal(kt_verify(kt_key_public(key), body, sizeof(body), other, sizeof(other)),
			 KT_ERR_OK);
	assert_memory_not_equal(kt_fingerprint_of(sig, sizeof(sig)).b,
				kt_fingerprint_of(other, sizeof(other)).b, KT_FINGERPRINT_LEN);
	kt_key_free(key);
	kt_crypto_free(crypto);
}

/* The header never chooses: what is not the key's algorithm is refused before it is looked at. */
static void no_other_algorithm_is_a_name_for_it(void **state)
{
	static const char *const names[] = {"none",  "None",  "NONE",  "",	 "EdDSA", "Ed25519",
					    "Ed448", "ES384", "ES512", "ES256K", "es256", "ES256 ",
					    "HS256", "HS512", "RS256", "PS256",	 "ESB256"};

	(void)state;
	assert_int_equal(kt_alg_from_name("ES256"), KT_ALG_ES256);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char header[64];
		char text[512];
		char encoded[128];
		const char zeros[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
				     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
		struct kt_jws jws;
		enum kt_reason reason = KT_REASON_NONE;

		assert_int_equal(kt_alg_from_name(names[i]), KT_ALG_NONE);
		(void)snprintf(header, sizeof(header),
			       "{\"alg\":\"%s\",\"typ\":\"" KT_JWS_TYP_DEVICE "\"}", names[i]);
		assert_int_equal(kt_b64url_encode((const uint8_t *)header, strlen(header), encoded,
						  sizeof(encoded)),
				 KT_ERR_OK);
		(void)snprintf(text, sizeof(text),
			       "{\"protected\":\"%s\",\"payload\":\"e30\",\"signature\":\"%.86s\"}",
			       encoded, zeros);
		assert_int_equal(kt_jws_decode((const uint8_t *)text, strlen(text),
					       KT_JWS_FROM_DEVICE, &jws, &reason),
				 KT_ERR_INVALID);
		assert_string_equal(kt_reason_name(reason), kt_reason_name(KT_REASON_JWS_ALG));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_edge_has_its_verdict),
		cmocka_unit_test(the_other_signature_of_a_certificate_is_another_certificate),
		cmocka_unit_test(no_other_algorithm_is_a_name_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
