#include "crypto.h"

#include "bytes.h"
#include "crypto_asn1.h"

/* FIPS 186-4 D.1.2.3 */
#define ORDER	      "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ORDER_MINUS_1 "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"
#define ONE	      "0000000000000000000000000000000000000000000000000000000000000001"
#define ORDER_PLUS_1  "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552"
#define PRIME	      "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
#define ZERO	      "0000000000000000000000000000000000000000000000000000000000000000"
#define ALL_ONES      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* RFC 6979 A.2.5 */
#define RFC6979_X "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define RFC6979_Y "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
#define SAMPLE_R  "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define SAMPLE_S  "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define TEST_R	  "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
#define TEST_S	  "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"

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

static struct kt_public_key rfc6979_key(void)
{
	struct kt_public_key key;
	uint8_t point[65];

	unhex("04" RFC6979_X RFC6979_Y, point, sizeof(point));
	assert_int_equal(kt_public_key_from_spki(point, sizeof(point), &key), KT_ERR_OK);
	return key;
}

static enum kt_err verify_sample(const char *sig_hex)
{
	struct kt_public_key key = rfc6979_key();
	uint8_t sig[64];

	unhex(sig_hex, sig, sizeof(sig));
	return kt_verify(&key, (const uint8_t *)"sample", 6, sig, sizeof(sig));
}

static void hashes_as_fips_180_says(void **state)
{
	uint8_t want[32];
	uint8_t got[32];

	(void)state;
	unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", want, 32);
	kt_sha256("abc", 3, got);
	assert_memory_equal(got, want, 32);
	unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want, 32);
	kt_sha256(NULL, 0, got);
	assert_memory_equal(got, want, 32);
	assert_memory_equal(kt_fingerprint_of((const uint8_t *)"", 0).b, want, 32);
}

static void random_bytes_differ(void **state)
{
	uint8_t a[32] = {0};
	uint8_t b[32] = {0};

	(void)state;
	assert_int_equal(kt_random(c, a, sizeof(a)), KT_ERR_OK);
	assert_int_equal(kt_random(c, b, sizeof(b)), KT_ERR_OK);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(kt_random(c, a, 0), KT_ERR_OK);
	assert_int_equal(kt_crypto_last(c), 0);
}

static void more_random_bytes_than_the_library_gives_at_once(void **state)
{
	static uint8_t many[200000];
	static const uint8_t zero[64];

	(void)state;
	assert_int_equal(kt_random(c, many, sizeof(many)), KT_ERR_OK);
	assert_memory_not_equal(many + sizeof(many) - 64, zero, 64);
}

static void two_threads_worth_of_contexts_live_side_by_side(void **state)
{
	struct kt_crypto *other = NULL;
	uint8_t byte;

	(void)state;
	assert_int_equal(kt_crypto_new(&other), KT_ERR_OK);
	kt_crypto_free(other);
	assert_int_equal(kt_random(c, &byte, 1), KT_ERR_OK);
	kt_crypto_free(NULL);
}

static void verifies_the_vectors_of_rfc_6979(void **state)
{
	struct kt_public_key key = rfc6979_key();
	uint8_t sig[64];

	(void)state;
	assert_int_equal(verify_sample(SAMPLE_R SAMPLE_S), KT_ERR_OK);
	unhex(TEST_R TEST_S, sig, sizeof(sig));
	assert_int_equal(kt_verify(&key, (const uint8_t *)"test", 4, sig, 64), KT_ERR_OK);
	assert_int_equal(kt_verify(&key, (const uint8_t *)"tesu", 4, sig, 64), KT_ERR_VERIFY);
	assert_int_equal(kt_verify(&key, (const uint8_t *)"test", 3, sig, 64), KT_ERR_VERIFY);
}

static void verifies_the_vector_of_rfc_7515(void **state)
{
	static const char x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
	static const char y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
	static const char input[] =
		"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
		"Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
	static const char sig_text[] = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8"
				       "ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	struct kt_public_key key;
	uint8_t point[65] = {0x04};
	uint8_t sig[64];
	size_t len;

	(void)state;
	assert_int_equal(kt_b64url_decode(x, strlen(x), point + 1, 32, &len), KT_ERR_OK);
	assert_int_equal(kt_b64url_decode(y, strlen(y), point + 33, 32, &len), KT_ERR_OK);
	assert_int_equal(kt_b64url_decode(sig_text, strlen(sig_text), sig, 64, &len), KT_ERR_OK);
	assert_int_equal(kt_public_key_from_spki(point, 65, &key), KT_ERR_OK);
	assert_int_equal(kt_verify(&key, (const uint8_t *)input, strlen(input), sig, 64),
			 KT_ERR_OK);
	assert_int_equal(kt_verify(&key, (const uint8_t *)input, strlen(input) - 1, sig, 64),
			 KT_ERR_VERIFY);
}

static void refuses_r_and_s_outside_their_range(void **state)
{
	static const char *const bad[] = {
		ZERO SAMPLE_S,	       SAMPLE_R ZERO,	      ZERO ZERO,
		ORDER SAMPLE_S,	       SAMPLE_R ORDER,	      ORDER ORDER,
		ORDER_PLUS_1 SAMPLE_S, SAMPLE_R ORDER_PLUS_1, ALL_ONES SAMPLE_S,
		SAMPLE_R ALL_ONES,     ALL_ONES ALL_ONES,     PRIME SAMPLE_S,
		SAMPLE_S SAMPLE_R,     SAMPLE_R SAMPLE_R,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(verify_sample(bad[i]), KT_ERR_VERIFY);
}

/* The library refuses these too, today: our own rule is asked here without it. */
static void a_scalar_is_more_than_0_and_less_than_the_order(void **state)
{
	static const struct {
		const char *hex;
		bool want;
	} cases[] = {
		{ZERO, false},	{ORDER, false},	  {ORDER_PLUS_1, false}, {ALL_ONES, false},
		{PRIME, false}, {SAMPLE_R, true}, {ORDER_MINUS_1, true}, {ONE, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t sig[64];

		unhex(cases[i].hex, sig, 32);
		unhex(SAMPLE_S, sig + 32, 32);
		assert_int_equal(kt_is_p256_scalar(sig), cases[i].want);
		assert_int_equal(kt_is_es256_range(sig), cases[i].want);
		unhex(SAMPLE_R, sig, 32);
		unhex(cases[i].hex, sig + 32, 32);
		assert_int_equal(kt_is_es256_range(sig), cases[i].want);
	}
}

static void refuses_a_signature_of_any_other_length(void **state)
{
	struct kt_public_key key = rfc6979_key();
	uint8_t sig[72] = {0};

	(void)state;
	unhex(SAMPLE_R SAMPLE_S, sig, 64);
	for (size_t len = 0; len <= sizeof(sig); len++)
		assert_int_equal(kt_verify(&key, (const uint8_t *)"sample", 6, sig, len),
				 len == 64 ? KT_ERR_OK : KT_ERR_VERIFY);
}

static void refuses_every_flipped_bit_of_a_signature(void **state)
{
	struct kt_public_key key = rfc6979_key();
	uint8_t sig[64];

	(void)state;
	unhex(SAMPLE_R SAMPLE_S, sig, 64);
	for (size_t bit = 0; bit < 512; bit++) {
		sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(kt_verify(&key, (const uint8_t *)"sample", 6, sig, 64),
				 KT_ERR_VERIFY);
		sig[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void refuses_points_that_are_not_on_the_curve(void **state)
{
	static const char *const bad[] = {
		"04" RFC6979_X RFC6979_X, "04" RFC6979_Y RFC6979_X, "04" ZERO ZERO,
		"04" PRIME RFC6979_Y,	  "04" RFC6979_X PRIME,	    "04" ALL_ONES RFC6979_Y,
		"04" ALL_ONES ALL_ONES,	  "04" RFC6979_X ZERO,
	};
	struct kt_public_key key;
	uint8_t point[65];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unhex(bad[i], point, sizeof(point));
		assert_int_equal(kt_public_key_from_spki(point, sizeof(point), &key),
				 KT_ERR_INVALID);
		assert_int_equal(key.alg, KT_ALG_NONE);
		assert_int_equal(key.spki_len, 0);
	}
}

static void refuses_a_stored_key_that_left_the_curve(void **state)
{
	struct kt_public_key key = rfc6979_key();
	uint8_t sig[64];

	(void)state;
	unhex(SAMPLE_R SAMPLE_S, sig, 64);
	key.spki[90] ^= 1;
	assert_int_equal(kt_verify(&key, (const uint8_t *)"sample", 6, sig, 64), KT_ERR_VERIFY);
	key = rfc6979_key();
	key.alg = KT_ALG_NONE;
	assert_int_equal(kt_verify(&key, (const uint8_t *)"sample", 6, sig, 64), KT_ERR_VERIFY);
	memset(&key, 0, sizeof(key));
	assert_int_equal(kt_verify(&key, (const uint8_t *)"sample", 6, sig, 64), KT_ERR_VERIFY);
}

static void other_kinds_of_key_are_unsupported_and_nonsense_is_invalid(void **state)
{
	struct kt_public_key good = rfc6979_key();
	struct kt_public_key out;
	uint8_t spki[128];

	(void)state;
	/* secp256k1 instead of prime256v1: a shorter OID */
	static const uint8_t k1[] = {0x30, 0x56, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
				     0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
				     0x81, 0x04, 0x00, 0x0a, 0x03, 0x42, 0x00};
	memcpy(spki, k1, sizeof(k1));
	memcpy(spki + sizeof(k1), good.spki + 26, 65);
	assert_int_equal(kt_public_key_from_spki(spki, sizeof(k1) + 65, &out), KT_ERR_UNSUPPORTED);
	memcpy(spki, good.spki, 91);
	assert_int_equal(kt_public_key_from_spki(spki, 91, &out), KT_ERR_OK);
	assert_memory_equal(out.spki, good.spki, 91);
	for (size_t len = 0; len < 91; len++)
		assert_int_equal(kt_public_key_from_spki(spki, len, &out), KT_ERR_INVALID);
	spki[91] = 0;
	assert_int_equal(kt_public_key_from_spki(spki, 92, &out), KT_ERR_INVALID);
	/* a compressed point: another encoding of a key would have another key id */
	spki[1] = 0x39;
	spki[24] = 0x22;
	spki[26] = 0x03;
	assert_int_equal(kt_public_key_from_spki(spki, 59, &out), KT_ERR_UNSUPPORTED);
}

static void signs_what_it_can_verify_itself(void **state)
{
	struct kt_key *key = NULL;
	uint8_t first[64];
	uint8_t second[64];

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	/* Often enough to meet r and s with leading zero bytes. */
	for (int i = 0; i < 600; i++) {
		assert_int_equal(kt_key_sign(c, key, (const uint8_t *)&i, sizeof(i), first),
				 KT_ERR_OK);
		assert_int_equal(
			kt_verify(kt_key_public(key), (const uint8_t *)&i, sizeof(i), first, 64),
			KT_ERR_OK);
	}
	assert_int_equal(kt_key_sign(c, key, NULL, 0, first), KT_ERR_OK);
	assert_int_equal(kt_key_sign(c, key, NULL, 0, second), KT_ERR_OK);
	assert_memory_not_equal(first, second, 32); /* never the same nonce */
	assert_int_equal(kt_verify(kt_key_public(key), NULL, 0, second, 64), KT_ERR_OK);
	kt_key_free(key);
}

static void makes_no_other_algorithm(void **state)
{
	struct kt_key *key = (struct kt_key *)&key;

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_NONE, &key), KT_ERR_UNSUPPORTED);
	assert_null(key);
	kt_key_free(NULL);
}

static void a_key_survives_its_pem(void **state)
{
	struct kt_key *key = NULL;
	struct kt_key *again = NULL;
	struct kt_secret *pem = NULL;
	struct kt_bytes view;

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	assert_int_equal(kt_key_to_pem(key, &pem), KT_ERR_OK);
	view = kt_secret_view(pem);
	assert_int_equal(view.len, 241); /* as OpenSSL writes it */
	assert_memory_equal(view.p, "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49", 48);
	assert_memory_equal(view.p + view.len - 27, "\n-----END PRIVATE KEY-----\n", 27);
	assert_int_equal(kt_key_from_pem(c, view.p, view.len, &again), KT_ERR_OK);
	assert_memory_equal(kt_key_public(again)->spki, kt_key_public(key)->spki, 91);
	for (size_t len = 0; len + 1 < view.len; len++) {
		struct kt_key *none = NULL;

		assert_int_not_equal(kt_key_from_pem(c, view.p, len, &none), KT_ERR_OK);
		assert_null(none);
	}
	kt_secret_free(pem);
	kt_key_free(key);
	kt_key_free(again);
}

static enum kt_err load(const char *pem)
{
	struct kt_key *key = NULL;
	enum kt_err err = kt_key_from_pem(c, (const uint8_t *)pem, strlen(pem), &key);

	assert_int_equal(key != NULL, err == KT_ERR_OK);
	kt_key_free(key);
	return err;
}

static void reads_pkcs8_and_sec1_as_openssl_writes_them(void **state)
{
	static const char *const good[] = {"rfc6979.pkcs8.key", "rfc6979.sec1.key",
					   "rfc6979.params.key", "rfc6979.nopub.key"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kt_public_key want = rfc6979_key();
		struct kt_key *key = NULL;
		char path[512];
		uint8_t *pem;
		size_t len;

		(void)snprintf(path, sizeof(path), KT_VECTORS "/keys/%s", good[i]);
		pem = read_file(path, &len);
		assert_int_equal(kt_key_from_pem(c, pem, len, &key), KT_ERR_OK);
		assert_memory_equal(kt_key_public(key)->spki, want.spki, 91);
		kt_key_free(key);
		free(pem);
	}
}

static void other_private_keys_are_unsupported(void **state)
{
	static const char *const bad[] = {"p384.key", "secp256k1.key", "rsa1024.key", "ed25519.key",
					  "encrypted.key"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char path[512];
		uint8_t *pem;
		size_t len;

		(void)snprintf(path, sizeof(path), KT_VECTORS "/keys/%s", bad[i]);
		pem = read_file(path, &len);
		assert_int_equal(load((const char *)pem), KT_ERR_UNSUPPORTED);
		free(pem);
	}
}

/* A SEC1 key of the RFC 6979 shape with scalar and public key of our choice. */
static enum kt_err load_sec1(const char *scalar_hex, const char *point_hex)
{
	uint8_t der[121];
	char text[200];
	char pem[512];

	unhex("30770201010420", der, 7);
	unhex(scalar_hex, der + 7, 32);
	unhex("a00a06082a8648ce3d030107a14403420004", der + 39, 18);
	unhex(point_hex, der + 57, 64);
	assert_int_equal(kt_b64_encode(der, sizeof(der), text, sizeof(text)), KT_ERR_OK);
	(void)snprintf(pem, sizeof(pem),
		       "-----BEGIN EC PRIVATE KEY-----\n%s\n-----END EC PRIVATE KEY-----\n", text);
	return load(pem);
}

static void refuses_a_private_key_outside_its_range(void **state)
{
	static const char good[] =
		"c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";

	(void)state;
	assert_int_equal(load_sec1(good, RFC6979_X RFC6979_Y), KT_ERR_OK);
	assert_int_equal(load_sec1(good, RFC6979_Y RFC6979_X), KT_ERR_INVALID);
	assert_int_equal(load_sec1(ZERO, RFC6979_X RFC6979_Y), KT_ERR_INVALID);
	assert_int_equal(load_sec1(ORDER, RFC6979_X RFC6979_Y), KT_ERR_INVALID);
	assert_int_equal(load_sec1(ORDER_PLUS_1, RFC6979_X RFC6979_Y), KT_ERR_INVALID);
	assert_int_equal(load_sec1(ALL_ONES, RFC6979_X RFC6979_Y), KT_ERR_INVALID);
}

static void refuses_text_that_is_no_pem(void **state)
{
	static const char *const bad[] = {
		"",
		"-----BEGIN PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n****\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMAA\n-----END PRIVATE KEY-----\n",
		"x-----BEGIN PRIVATE KEY-----\nMAA=\n-----END CERTIFICATE-----\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(load(bad[i]), KT_ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_as_fips_180_says),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(more_random_bytes_than_the_library_gives_at_once),
		cmocka_unit_test(two_threads_worth_of_contexts_live_side_by_side),
		cmocka_unit_test(verifies_the_vectors_of_rfc_6979),
		cmocka_unit_test(verifies_the_vector_of_rfc_7515),
		cmocka_unit_test(refuses_r_and_s_outside_their_range),
		cmocka_unit_test(a_scalar_is_more_than_0_and_less_than_the_order),
		cmocka_unit_test(refuses_a_signature_of_any_other_length),
		cmocka_unit_test(refuses_every_flipped_bit_of_a_signature),
		cmocka_unit_test(refuses_points_that_are_not_on_the_curve),
		cmocka_unit_test(refuses_a_stored_key_that_left_the_curve),
		cmocka_unit_test(other_kinds_of_key_are_unsupported_and_nonsense_is_invalid),
		cmocka_unit_test(signs_what_it_can_verify_itself),
		cmocka_unit_test(makes_no_other_algorithm),
		cmocka_unit_test(a_key_survives_its_pem),
		cmocka_unit_test(reads_pkcs8_and_sec1_as_openssl_writes_them),
		cmocka_unit_test(other_private_keys_are_unsupported),
		cmocka_unit_test(refuses_a_private_key_outside_its_range),
		cmocka_unit_test(refuses_text_that_is_no_pem),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
