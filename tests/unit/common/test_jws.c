#include "jws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "message.h"
#include "mutate.h"

#define PAYLOAD "{\"v\":1,\"type\":\"hello\"}"

static struct kt_crypto *c;
static struct kt_key *key;
static struct kt_key *other_key;
static const uint8_t cert[] = {0x30, 0x03, 0x02, 0x01, 0x01};

static int start(void **state)
{
	(void)state;
	if (kt_crypto_new(&c) != KT_ERR_OK || kt_key_new(c, KT_ALG_ES256, &key) != KT_ERR_OK)
		return -1;
	return kt_key_new(c, KT_ALG_ES256, &other_key) == KT_ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_key_free(key);
	kt_key_free(other_key);
	kt_crypto_free(c);
	return 0;
}

static enum kt_err sign_with_key(void *ctx, const uint8_t *msg, size_t len,
				 uint8_t sig[static KT_SIGNATURE_MAX])
{
	return kt_key_sign(c, ctx, msg, len, sig);
}

static enum kt_err sign_fails(void *ctx, const uint8_t *msg, size_t len,
			      uint8_t sig[static KT_SIGNATURE_MAX])
{
	(void)ctx;
	(void)msg;
	(void)len;
	memset(sig, 0, KT_SIGNATURE_MAX);
	return KT_ERR_BUSY;
}

static struct kt_bytes view(const char *text, size_t len)
{
	struct kt_bytes out = {(const uint8_t *)text, len};

	return out;
}

static struct kt_signer signer_of(struct kt_key *k)
{
	struct kt_signer signer = {KT_ALG_ES256, sign_with_key, k};

	return signer;
}

static char *sign_as(enum kt_jws_from from, size_t *len)
{
	struct kt_signer signer = signer_of(key);
	struct kt_bytes x5c = {cert, from == KT_JWS_FROM_CONTROLLER ? sizeof(cert) : 0};
	char *text = NULL;

	assert_int_equal(
		kt_jws_sign(&signer, from, x5c, view(PAYLOAD, strlen(PAYLOAD)), &text, len),
		KT_ERR_OK);
	assert_int_equal(strlen(text), *len);
	return text;
}

static enum kt_err check(const char *text, size_t len, enum kt_jws_from from,
			 const struct kt_key *by, enum kt_reason *reason)
{
	struct kt_jws jws;
	enum kt_err err = kt_jws_decode((const uint8_t *)text, len, from, &jws, reason);

	if (err == KT_ERR_OK)
		err = kt_jws_verify(&jws, kt_key_public(by), reason);
	kt_jws_clear(&jws);
	return err;
}

static void assert_refused(const char *text, enum kt_jws_from from, enum kt_reason want)
{
	enum kt_reason reason;

	assert_int_not_equal(check(text, strlen(text), from, key, &reason), KT_ERR_OK);
	assert_string_equal(kt_reason_name(reason), kt_reason_name(want));
}

/* A JWS with a header of our choice, correctly signed over it. */
static char *with_header(const char *header)
{
	static char text[8192];
	char input[4096];
	char signature[90];
	uint8_t sig[64];
	size_t at;

	assert_int_equal(
		kt_b64url_encode((const uint8_t *)header, strlen(header), input, sizeof(input)),
		KT_ERR_OK);
	at = strlen(input);
	input[at] = '.';
	assert_int_equal(kt_b64url_encode((const uint8_t *)PAYLOAD, strlen(PAYLOAD), input + at + 1,
					  sizeof(input) - at - 1),
			 KT_ERR_OK);
	assert_int_equal(kt_key_sign(c, key, (const uint8_t *)input, strlen(input), sig),
			 KT_ERR_OK);
	assert_int_equal(kt_b64url_encode(sig, 64, signature, sizeof(signature)), KT_ERR_OK);
	input[at] = '\0';
	(void)snprintf(text, sizeof(text),
		       "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", input,
		       input + at + 1, signature);
	return text;
}

/* The good device JWS with each @from replaced by @to, once. */
static char *replaced(const char *from, const char *to)
{
	static char text[4096];
	size_t len;
	char *good = sign_as(KT_JWS_FROM_DEVICE, &len);
	char *hit = strstr(good, from);

	assert_non_null(hit);
	*hit = '\0';
	(void)snprintf(text, sizeof(text), "%s%s%s", good, to, hit + strlen(from));
	free(good);
	return text;
}

static void a_devices_message_goes_there_and_back(void **state)
{
	struct kt_jws jws;
	enum kt_reason reason;
	size_t len;
	char *text = sign_as(KT_JWS_FROM_DEVICE, &len);

	(void)state;
	/* {"alg":"ES256","typ":"keyturn-dev+1"} */
	assert_memory_equal(text,
			    "{\"protected\":\"eyJhbGciOiJFUzI1NiIsInR5cCI6ImtleXR1cm4tZGV2KzEifQ\","
			    "\"payload\":\"eyJ2IjoxLCJ0eXBlIjoiaGVsbG8ifQ\",\"signature\":\"",
			    121);
	assert_int_equal(
		kt_jws_decode((const uint8_t *)text, len, KT_JWS_FROM_DEVICE, &jws, &reason),
		KT_ERR_OK);
	assert_int_equal(jws.alg, KT_ALG_ES256);
	assert_int_equal(jws.from, KT_JWS_FROM_DEVICE);
	assert_int_equal(jws.payload_len, strlen(PAYLOAD));
	assert_memory_equal(jws.payload, PAYLOAD, strlen(PAYLOAD));
	assert_null(jws.x5c);
	assert_int_equal(kt_jws_verify(&jws, kt_key_public(key), &reason), KT_ERR_OK);
	assert_int_equal(reason, KT_REASON_NONE);
	kt_jws_clear(&jws);
	kt_jws_clear(&jws); /* twice does no harm */
	free(text);
}

static void the_controllers_message_brings_its_certificate(void **state)
{
	struct kt_jws jws;
	enum kt_reason reason;
	size_t len;
	char *text = sign_as(KT_JWS_FROM_CONTROLLER, &len);

	(void)state;
	assert_int_equal(
		kt_jws_decode((const uint8_t *)text, len, KT_JWS_FROM_CONTROLLER, &jws, &reason),
		KT_ERR_OK);
	assert_int_equal(jws.x5c_len, sizeof(cert));
	assert_memory_equal(jws.x5c, cert, sizeof(cert));
	assert_int_equal(kt_jws_verify(&jws, kt_key_public(key), &reason), KT_ERR_OK);
	kt_jws_clear(&jws);
	free(text);
}

static void one_direction_does_not_pass_for_the_other(void **state)
{
	size_t len;
	char *device = sign_as(KT_JWS_FROM_DEVICE, &len);
	char *controller = sign_as(KT_JWS_FROM_CONTROLLER, &len);

	(void)state;
	assert_refused(device, KT_JWS_FROM_CONTROLLER, KT_REASON_JWS_HEADER);
	assert_refused(controller, KT_JWS_FROM_DEVICE, KT_REASON_JWS_HEADER);
	free(device);
	free(controller);
}

static void the_key_on_record_decides(void **state)
{
	size_t len;
	char *text = sign_as(KT_JWS_FROM_DEVICE, &len);
	struct kt_public_key none = *kt_key_public(key);
	struct kt_jws jws;
	enum kt_reason reason;

	(void)state;
	assert_int_equal(check(text, len, KT_JWS_FROM_DEVICE, other_key, &reason), KT_ERR_VERIFY);
	assert_int_equal(reason, KT_REASON_JWS_SIG);
	assert_int_equal(
		kt_jws_decode((const uint8_t *)text, len, KT_JWS_FROM_DEVICE, &jws, &reason),
		KT_ERR_OK);
	none.alg = KT_ALG_NONE;
	assert_int_equal(kt_jws_verify(&jws, &none, &reason), KT_ERR_VERIFY);
	assert_int_equal(reason, KT_REASON_JWS_ALG);
	jws.alg = KT_ALG_NONE;
	assert_int_equal(kt_jws_verify(&jws, &none, &reason), KT_ERR_VERIFY);
	assert_int_equal(reason, KT_REASON_JWS_ALG);
	kt_jws_clear(&jws);
	free(text);
}

static void refuses_other_algorithms(void **state)
{
	static const char *const algs[] = {"none", "NONE",  "HS256", "ES384", "RS256",
					   "",	   "es256", "EdDSA", "ES256 "};

	(void)state;
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
		char header[128];

		(void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"keyturn-dev+1\"}",
			       algs[i]);
		assert_refused(with_header(header), KT_JWS_FROM_DEVICE, KT_REASON_JWS_ALG);
	}
}

static void refuses_any_other_header(void **state)
{
	static const char *const headers[] = {
		"{}",
		"{\"alg\":\"ES256\"}",
		"{\"typ\":\"keyturn-dev+1\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-ctl+1\"}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+2\"}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\",\"kid\":\"x\"}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\",\"jwk\":{}}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\",\"crit\":[\"b64\"]}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\",\"x5c\":[\"MAMCAQE=\"]}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\",\"alg\":\"ES256\"}",
		"{\"ALG\":\"ES256\",\"typ\":\"keyturn-dev+1\"}",
		"{\"alg\":7,\"typ\":\"keyturn-dev+1\"}",
		"{\"alg\":\"ES256\",\"typ\":\"keyturn-dev+1\"} x",
		"[\"ES256\"]",
		"\"ES256\"",
		"no JSON",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		assert_refused(with_header(headers[i]), KT_JWS_FROM_DEVICE, KT_REASON_JWS_HEADER);
}

static void refuses_any_other_certificate_list(void **state)
{
	static const char *const lists[] = {
		"[]",
		"[\"MAMCAQE=\",\"MAMCAQE=\"]",
		"[7]",
		"[[\"MAMCAQE=\"]]",
		"[null]",
		"\"MAMCAQE=\"",
		"[\"\"]",
		"[\"MAMCAQE\"]",  /* no padding */
		"[\"MAMCAQF=\"]", /* bits left over */
		"[\"MAMCA_E=\"]", /* base64url */
		"[\"MAMC AQE=\"]",
	};
	char header[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		(void)snprintf(header, sizeof(header),
			       "{\"alg\":\"ES256\",\"typ\":\"keyturn-ctl+1\",\"x5c\":%s}",
			       lists[i]);
		assert_refused(with_header(header), KT_JWS_FROM_CONTROLLER, KT_REASON_JWS_HEADER);
	}
	assert_refused(with_header("{\"alg\":\"ES256\",\"typ\":\"keyturn-ctl+1\"}"),
		       KT_JWS_FROM_CONTROLLER, KT_REASON_JWS_HEADER);
}

static void refuses_missing_renamed_and_further_members(void **state)
{
	static const char *const names[] = {"protected", "payload", "signature"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char renamed[32];

		(void)snprintf(renamed, sizeof(renamed), "%sx", names[i]);
		assert_refused(replaced(names[i], renamed), KT_JWS_FROM_DEVICE,
			       KT_REASON_JSON_FIELD);
		(void)snprintf(renamed, sizeof(renamed), "%c%s", names[i][0] - 32, names[i] + 1);
		assert_refused(replaced(names[i], renamed), KT_JWS_FROM_DEVICE,
			       KT_REASON_JSON_FIELD);
	}
	assert_refused("{}", KT_JWS_FROM_DEVICE, KT_REASON_JSON_FIELD);
	assert_refused(replaced("{", "{\"header\":{},"), KT_JWS_FROM_DEVICE, KT_REASON_JSON_FIELD);
	assert_refused(replaced("{", "{\"signatures\":[],"), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("{", "{\"payload\":\"e30\","), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_SYNTAX);
	assert_refused(replaced("\"payload\":\"", "\"payload\":7,\"x\":\""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
}

static void refuses_a_payload_that_is_not_canonical(void **state)
{
	(void)state;
	assert_refused(replaced("aGVsbG8ifQ\"", "aGVsbG8ifQ==\""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("aGVsbG8ifQ\"", "aGVsbG8ifR\""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("aGVsbG8ifQ\"", "aGVs bG8ifQ\""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("aGVsbG8ifQ\"", "aGVs+G8ifQ\""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("eyJ2IjoxLCJ0eXBlIjoiaGVsbG8ifQ", ""), KT_JWS_FROM_DEVICE,
		       KT_REASON_JSON_FIELD);
	assert_refused(replaced("ZGV2KzEifQ", "ZGV2KzEifR"), KT_JWS_FROM_DEVICE,
		       KT_REASON_JWS_HEADER);
	assert_refused(replaced("ZGV2KzEifQ", "ZGV2KzEifQ=="), KT_JWS_FROM_DEVICE,
		       KT_REASON_JWS_HEADER);
}

/* The good JWS with another signature text. */
static char *with_signature(const uint8_t *sig, size_t len)
{
	static char text[4096];
	char encoded[128];
	size_t text_len;
	char *good = sign_as(KT_JWS_FROM_DEVICE, &text_len);
	char *at = strstr(good, "\"signature\":\"");

	assert_non_null(at);
	assert_int_equal(kt_b64url_encode(sig, len, encoded, sizeof(encoded)), KT_ERR_OK);
	at[13] = '\0';
	(void)snprintf(text, sizeof(text), "%s%s\"}", good, encoded);
	free(good);
	return text;
}

static void refuses_signatures_of_any_other_shape(void **state)
{
	/* DER, as OpenSSL and X.509 write it, of r = s = 1..1 */
	static const uint8_t der[70] = {0x30, 0x44, 0x02, 0x20, 1, [36] = 0x02, 0x20, 1};
	uint8_t sig[72] = {0};

	(void)state;
	memset(sig, 0x11, sizeof(sig));
	assert_refused(with_signature(der, sizeof(der)), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
	for (size_t len = 0; len <= sizeof(sig); len++)
		assert_refused(with_signature(sig, len), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
	memset(sig, 0, sizeof(sig));
	assert_refused(with_signature(sig, 64), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
	memset(sig, 0xff, sizeof(sig));
	assert_refused(with_signature(sig, 64), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
	/* 64 bytes are 86 characters: four bits are left over */
	assert_refused(replaced("\"}", "A\"}"), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
	assert_refused(replaced("\"}", "==\"}"), KT_JWS_FROM_DEVICE, KT_REASON_JWS_SIG);
}

static void must_be_refused(void *ctx, const uint8_t *bytes, size_t len)
{
	enum kt_jws_from *from = ctx;
	enum kt_reason reason;

	assert_int_not_equal(check((const char *)bytes, len, *from, key, &reason), KT_ERR_OK);
	assert_int_not_equal(reason, KT_REASON_NONE);
}

static void refuses_every_damaged_message(void **state)
{
	static enum kt_jws_from directions[] = {KT_JWS_FROM_DEVICE, KT_JWS_FROM_CONTROLLER};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t len;
		char *text = sign_as(directions[i], &len);
		const uint8_t *bytes = (const uint8_t *)text;

		mutate_truncate(bytes, len, must_be_refused, &directions[i]);
		mutate_flip_bits(bytes, len, must_be_refused, &directions[i]);
		mutate_drop_bytes(bytes, len, must_be_refused, &directions[i]);
		free(text);
	}
}

static void refuses_text_behind_it_and_too_much_of_it(void **state)
{
	static char many[KT_MESSAGE_MAX + 2];
	size_t len;
	char *text = sign_as(KT_JWS_FROM_DEVICE, &len);
	enum kt_reason reason;

	(void)state;
	memset(many, ' ', sizeof(many));
	memcpy(many, text, len);
	assert_int_equal(check(many, KT_MESSAGE_MAX + 1, KT_JWS_FROM_DEVICE, key, &reason),
			 KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_MSG_SIZE);
	many[len] = '}';
	assert_int_equal(check(many, len + 1, KT_JWS_FROM_DEVICE, key, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_JSON_SYNTAX);
	assert_int_equal(check("", 0, KT_JWS_FROM_DEVICE, key, &reason), KT_ERR_INVALID);
	assert_int_equal(reason, KT_REASON_JSON_SYNTAX);
	free(text);
}

static void signs_nothing_that_would_not_be_read(void **state)
{
	static char payload[KT_PAYLOAD_MAX + 1];
	struct kt_signer signer = signer_of(key);
	struct kt_bytes none = {NULL, 0};
	struct kt_bytes one = {cert, sizeof(cert)};
	char *text = NULL;
	size_t len;

	(void)state;
	memset(payload, ' ', sizeof(payload));
	assert_int_equal(kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none,
				     view(payload, KT_PAYLOAD_MAX + 1), &text, &len),
			 KT_ERR_TOO_LONG);
	assert_int_equal(kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none,
				     view(payload, KT_PAYLOAD_MAX), &text, &len),
			 KT_ERR_TOO_LONG);
	assert_int_equal(
		kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none, view(payload, 0), &text, &len),
		KT_ERR_INVALID);
	assert_int_equal(
		kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, one, view(PAYLOAD, 2), &text, &len),
		KT_ERR_INVALID);
	assert_int_equal(
		kt_jws_sign(&signer, KT_JWS_FROM_CONTROLLER, none, view(PAYLOAD, 2), &text, &len),
		KT_ERR_INVALID);
	signer.alg = KT_ALG_NONE;
	assert_int_equal(
		kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none, view(PAYLOAD, 2), &text, &len),
		KT_ERR_UNSUPPORTED);
	signer = signer_of(key);
	signer.sign = sign_fails;
	assert_int_equal(
		kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none, view(PAYLOAD, 2), &text, &len),
		KT_ERR_BUSY);
	assert_null(text);
	assert_int_equal(len, 0);
}

static void the_longest_message_that_it_signs_it_reads(void **state)
{
	static char payload[KT_PAYLOAD_MAX];
	struct kt_signer signer = signer_of(key);
	struct kt_bytes none = {NULL, 0};
	size_t longest = 0;

	(void)state;
	memset(payload, ' ', sizeof(payload));
	for (size_t n = KT_PAYLOAD_MAX - 300; n < KT_PAYLOAD_MAX; n++) {
		char *text = NULL;
		size_t len;
		enum kt_reason reason;

		if (kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, none, view(payload, n), &text, &len) !=
		    KT_ERR_OK)
			break;
		longest = n;
		assert_true(len <= KT_MESSAGE_MAX);
		assert_int_equal(check(text, len, KT_JWS_FROM_DEVICE, key, &reason), KT_ERR_OK);
		free(text);
	}
	/* 16384 less 180 characters around it, of base64url */
	assert_int_equal(longest, 12153);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_devices_message_goes_there_and_back),
		cmocka_unit_test(the_controllers_message_brings_its_certificate),
		cmocka_unit_test(one_direction_does_not_pass_for_the_other),
		cmocka_unit_test(the_key_on_record_decides),
		cmocka_unit_test(refuses_other_algorithms),
		cmocka_unit_test(refuses_any_other_header),
		cmocka_unit_test(refuses_any_other_certificate_list),
		cmocka_unit_test(refuses_missing_renamed_and_further_members),
		cmocka_unit_test(refuses_a_payload_that_is_not_canonical),
		cmocka_unit_test(refuses_signatures_of_any_other_shape),
		cmocka_unit_test(refuses_every_damaged_message),
		cmocka_unit_test(refuses_text_behind_it_and_too_much_of_it),
		cmocka_unit_test(signs_nothing_that_would_not_be_read),
		cmocka_unit_test(the_longest_message_that_it_signs_it_reads),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
