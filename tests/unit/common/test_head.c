/* Is a signed head what it says, and never anything else? */
#include "head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "jws.h"
#include "message.h"
#include "mutate.h"
#include "vector_file.h"

#define HASH "c9b2d800fb00aec82fe9081c5adfa4f7e0698da107295a0883e1e0327c8c7439"
#define PAYLOAD                                                                                    \
	"{\"v\":1,\"type\":\"head\",\"td\":\"fleet.example\",\"seq\":\"42\",\"hash\":\"" HASH      \
	"\",\"time\":\"1700000100000000\"}"

static struct kt_head the_head(void)
{
	struct kt_head head = {
		.trust_domain = "fleet.example", .seq = 42, .time_us = INT64_C(1700000100000000)};

	unhex(HASH, head.hash, sizeof(head.hash));
	return head;
}

static struct kt_bytes view(const char *text)
{
	return (struct kt_bytes){(const uint8_t *)text, strlen(text)};
}

static struct kt_bytes load_cert(const char *name, uint8_t **storage)
{
	char *pem = vector_file_load(name);
	struct kt_bytes der;
	size_t count = 0;

	assert_non_null(pem);
	assert_int_equal(kt_pem_certs((const uint8_t *)pem, strlen(pem), &der, 1, &count, storage),
			 KT_ERR_OK);
	free(pem);
	return der;
}

struct world {
	char *text; /* the vector */
	struct kt_bytes root;
	struct kt_bytes other;
	uint8_t *storage[2];
	struct kt_crypto *crypto;
	struct kt_key *controller;
	struct kt_bytes x5c;
	uint8_t *x5c_storage;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char *pem = vector_file_load("pki/controller.key");

	assert_non_null(w);
	assert_non_null(pem);
	w->text = vector_file_load("heads/head.json");
	assert_non_null(w->text);
	w->root = load_cert("pki/root.pem", &w->storage[0]);
	w->other = load_cert("pki/other-root.pem", &w->storage[1]);
	w->x5c = load_cert("pki/controller.pem", &w->x5c_storage);
	assert_int_equal(kt_crypto_new(&w->crypto), KT_ERR_OK);
	assert_int_equal(
		kt_key_from_pem(w->crypto, (const uint8_t *)pem, strlen(pem), &w->controller),
		KT_ERR_OK);
	free(pem);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	free(w->text);
	free(w->storage[0]);
	free(w->storage[1]);
	free(w->x5c_storage);
	kt_key_free(w->controller);
	kt_crypto_free(w->crypto);
	free(w);
	return 0;
}

static enum kt_err sign(void *ctx, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	const struct world *w = ctx;

	return kt_key_sign(w->crypto, w->controller, msg, len, sig);
}

/* As the controller signs. */
static char *sealed(struct world *w, enum kt_jws_from from, const char *payload)
{
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign, .ctx = w};
	char *text = NULL;
	size_t len = 0;

	assert_int_equal(kt_jws_sign(&signer, from, w->x5c, view(payload), &text, &len), KT_ERR_OK);
	return text;
}

static void assert_zero(const struct kt_head *head)
{
	static const struct kt_head zero;

	assert_memory_equal(head, &zero, sizeof(zero));
}

/* --- the payload --- */

static void the_payload_is_written_as_the_page_says(void **state)
{
	const struct kt_head head = the_head();
	struct kt_head again;
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(kt_head_encode(&head, &text, &len), KT_ERR_OK);
	assert_string_equal(text, PAYLOAD);
	assert_int_equal(len, strlen(PAYLOAD));
	assert_int_equal(kt_head_decode((const uint8_t *)text, len, &again), KT_ERR_OK);
	assert_memory_equal(&again, &head, sizeof(head));
	free(text);
}

static void what_is_no_head_is_not_written(void **state)
{
	struct kt_head head = the_head();
	char *text = NULL;
	size_t len = 0;

	(void)state;
	head.seq = 0;
	assert_int_equal(kt_head_encode(&head, &text, &len), KT_ERR_INVALID);
	head = the_head();
	head.time_us = -1;
	assert_int_equal(kt_head_encode(&head, &text, &len), KT_ERR_INVALID);
	head = the_head();
	(void)snprintf(head.trust_domain, sizeof(head.trust_domain), "Fleet");
	assert_int_equal(kt_head_encode(&head, &text, &len), KT_ERR_INVALID);
	memset(head.trust_domain, 'a', sizeof(head.trust_domain));
	assert_int_equal(kt_head_encode(&head, &text, &len), KT_ERR_INVALID);
	assert_null(text);
}

static void a_payload_in_another_form_is_refused(void **state)
{
	static const struct {
		const char *from;
		const char *to;
		enum kt_err err;
	} cases[] = {
		{"\"v\":1", "\"v\":2", KT_ERR_VERSION},
		{"\"v\":1", "\"v\":0", KT_ERR_VERSION},
		{"\"v\":1", "\"v\":\"1\"", KT_ERR_INVALID},
		{"\"v\":1", "\"w\":1", KT_ERR_INVALID},
		{"\"head\"", "\"hello\"", KT_ERR_INVALID},
		{"\"head\"", "\"hea\"", KT_ERR_INVALID},
		{"\"head\"", "\"noted\"", KT_ERR_INVALID},
		{"fleet.example", "", KT_ERR_INVALID},
		{"fleet.example", "Fleet.example", KT_ERR_INVALID},
		{"\"42\"", "\"0\"", KT_ERR_INVALID},
		{"\"42\"", "\"042\"", KT_ERR_INVALID},
		{"\"42\"", "\"-1\"", KT_ERR_INVALID},
		{"\"42\"", "42", KT_ERR_INVALID},
		{"\"42\"", "\"\"", KT_ERR_INVALID},
		{"\"42\"", "\"9223372036854775808\"", KT_ERR_INVALID},
		{"\"42\"", "\"18446744073709551616\"", KT_ERR_INVALID},
		{"c9b2", "C9b2", KT_ERR_INVALID},
		{"c9b2", "c9", KT_ERR_INVALID},
		{"c9b2", "c9b200", KT_ERR_INVALID},
		{"\"1700000100000000\"", "\"9223372036854775808\"", KT_ERR_INVALID},
		{"\"1700000100000000\"", "1700000100000000", KT_ERR_INVALID},
		{"\"time\"", "\"at\"", KT_ERR_INVALID},
		{",\"time\"", ",\"device\":\"\",\"time\"", KT_ERR_INVALID},
		{",\"time\"", ",\"seq\":\"42\",\"time\"", KT_ERR_INVALID},
	};
	struct kt_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = strstr(PAYLOAD, cases[i].from);
		char text[512];

		assert_non_null(at);
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - PAYLOAD), PAYLOAD,
			       cases[i].to, at + strlen(cases[i].from));
		memset(&head, 0x55, sizeof(head));
		if (kt_head_decode((const uint8_t *)text, strlen(text), &head) != cases[i].err)
			fail_msg("%s", text);
		assert_zero(&head);
	}
	assert_int_equal(kt_head_decode((const uint8_t *)"[]", 2, &head), KT_ERR_INVALID);
	assert_int_equal(kt_head_decode((const uint8_t *)"", 0, &head), KT_ERR_INVALID);
}

/* --- the whole --- */

static void the_vector_opens_under_its_root(void **state)
{
	const struct world *w = *state;
	const struct kt_head expected = the_head();
	struct kt_head head;
	uint32_t n = 0;

	assert_int_equal(kt_head_open(view(w->text), w->root, &head, &n), KT_ERR_OK);
	assert_memory_equal(&head, &expected, sizeof(head));
	assert_int_equal(n, 1);
}

/* What it claims is told, so that it can be said whose it may be. */
static void under_another_root_it_only_claims(void **state)
{
	const struct world *w = *state;
	struct kt_head head;
	uint32_t n = 7;

	assert_int_equal(kt_head_open(view(w->text), w->other, &head, &n), KT_ERR_VERIFY);
	assert_string_equal(head.trust_domain, "fleet.example");
	assert_int_equal(n, 0);
}

static void a_controller_signs_for_its_own_domain_alone(void **state)
{
	struct world *w = *state;
	struct kt_head head;
	uint32_t n = 0;
	char *text = sealed(w, KT_JWS_HEAD,
			    "{\"v\":1,\"type\":\"head\",\"td\":\"other.example\",\"seq\":\"42\","
			    "\"hash\":\"" HASH "\",\"time\":\"1\"}");

	assert_int_equal(kt_head_open(view(text), w->root, &head, &n), KT_ERR_VERIFY);
	assert_string_equal(head.trust_domain, "other.example");
	free(text);
}

static void a_certificate_of_another_purpose_signs_none(void **state)
{
	struct world *w = *state;
	const struct kt_bytes controller = w->x5c;
	struct kt_head head;
	uint32_t n = 0;
	uint8_t *storage = NULL;
	char *text;

	w->x5c = load_cert("pki/issuing.pem", &storage);
	text = sealed(w, KT_JWS_HEAD, PAYLOAD);
	w->x5c = controller;
	assert_int_equal(kt_head_open(view(text), w->root, &head, &n), KT_ERR_VERIFY);
	free(text);
	free(storage);
}

/* Each typ is one of three, and none opens as another, whatever the payload. */
static void none_of_the_three_is_taken_for_another(void **state)
{
	static const char message[] = "{\"v\":1,\"type\":\"noted\"}";
	struct world *w = *state;
	struct kt_jws jws;
	struct kt_head head;
	enum kt_reason reason;
	uint32_t n = 0;
	char *as_message = sealed(w, KT_JWS_FROM_CONTROLLER, PAYLOAD);
	char *as_head = sealed(w, KT_JWS_HEAD, message);
	const struct {
		const char *text;
		enum kt_jws_from from;
	} cases[] = {{w->text, KT_JWS_FROM_CONTROLLER},
		     {w->text, KT_JWS_FROM_DEVICE},
		     {as_message, KT_JWS_HEAD},
		     {as_message, KT_JWS_FROM_DEVICE},
		     {as_head, KT_JWS_FROM_CONTROLLER}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct kt_bytes text = view(cases[i].text);

		assert_int_equal(kt_jws_decode(text.p, text.len, cases[i].from, &jws, &reason),
				 KT_ERR_INVALID);
		assert_int_equal(reason, KT_REASON_JWS_HEADER);
	}
	assert_int_equal(kt_head_open(view(as_message), w->root, &head, &n), KT_ERR_INVALID);
	assert_int_equal(kt_head_open(view(as_head), w->root, &head, &n), KT_ERR_INVALID);
	assert_zero(&head);
	free(as_message);
	free(as_head);
}

/* And behind the typ the payload itself is no message. */
static void its_payload_is_no_message_of_either_side(void **state)
{
	struct kt_message *message = NULL;
	enum kt_reason reason;

	(void)state;
	for (int from_device = 0; from_device < 2; from_device++) {
		assert_int_equal(kt_message_decode((const uint8_t *)PAYLOAD, strlen(PAYLOAD),
						   from_device != 0, &message, &reason),
				 KT_ERR_INVALID);
		assert_int_equal(reason, KT_REASON_MSG_TYPE);
		assert_null(message);
	}
}

static void assert_refused(void *ctx, const uint8_t *bytes, size_t len)
{
	const struct world *w = ctx;
	struct kt_head head;
	uint32_t n = 0;
	const enum kt_err err = kt_head_open((struct kt_bytes){bytes, len}, w->root, &head, &n);

	assert_true(err == KT_ERR_INVALID || err == KT_ERR_VERIFY || err == KT_ERR_VERSION);
}

static void no_damaged_one_opens(void **state)
{
	struct world *w = *state;
	const struct kt_bytes text = view(w->text);

	mutate_truncate(text.p, text.len, assert_refused, w);
	mutate_drop_bytes(text.p, text.len, assert_refused, w);
	mutate_flip_bits(text.p, text.len, assert_refused, w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_payload_is_written_as_the_page_says),
		cmocka_unit_test(what_is_no_head_is_not_written),
		cmocka_unit_test(a_payload_in_another_form_is_refused),
		T(the_vector_opens_under_its_root),
		T(under_another_root_it_only_claims),
		T(a_controller_signs_for_its_own_domain_alone),
		T(a_certificate_of_another_purpose_signs_none),
		T(none_of_the_three_is_taken_for_another),
		cmocka_unit_test(its_payload_is_no_message_of_either_side),
		T(no_damaged_one_opens),
	};
#undef T

	return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
