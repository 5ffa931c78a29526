/*
 * What cannot be told for want of memory is never taken for what is wrong: the libraries' own
 * allocations fail one by one, and the only answers are the right one and KT_ERR_NOMEM.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Always first: the sizes of the library's structs depend on it. */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/memory.h>

#include <openssl/crypto.h>

#include <cjson/cJSON.h>

#include "crypto.h"
#include "json.h"
#include "reason.h"

static size_t fail_at; /* 0: none; else so many from now */
static bool has_failed;
static bool libcrypto_has_none; /* all is left to wolfCrypt */
static struct kt_crypto *c;
static struct kt_key *key;

static bool fails_now(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	has_failed = true;
	errno = ENOMEM;
	return true;
}

static void *failing_malloc(size_t size)
{
	return fails_now() ? NULL : malloc(size);
}

static void *failing_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : realloc(old, size);
}

static void *libcrypto_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return libcrypto_has_none ? NULL : failing_malloc(size);
}

static void *libcrypto_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return libcrypto_has_none ? NULL : failing_realloc(old, size);
}

static void libcrypto_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static int start(void **state)
{
	cJSON_Hooks hooks = {failing_malloc, free};

	(void)state;
	cJSON_InitHooks(&hooks);
	if (CRYPTO_set_mem_functions(libcrypto_malloc, libcrypto_realloc, libcrypto_free) != 1)
		return -1;
	if (wolfSSL_SetAllocators(failing_malloc, free, failing_realloc) != 0)
		return -1;
	return kt_crypto_new(&c) == KT_ERR_OK && kt_key_new(c, KT_ALG_ES256, &key) == KT_ERR_OK
		       ? 0
		       : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_key_free(key);
	kt_crypto_free(c);
	return 0;
}

/* @run with its n-th allocation failing, n = 1, 2, 3 ... until none does. How many did. */
static size_t each_in_turn(enum kt_err (*run)(void))
{
	size_t n = 0;

	do {
		enum kt_err err;

		fail_at = ++n;
		has_failed = false;
		errno = 0;
		err = run();
		fail_at = 0;
		if (err != KT_ERR_OK) {
			assert_true(has_failed);
			assert_int_equal(err, KT_ERR_NOMEM);
		}
	} while (has_failed);
	return n - 1;
}

/* The same, with libcrypto's among them. How many there were without. */
static size_t each_allocation(enum kt_err (*run)(void))
{
	size_t count;

	(void)each_in_turn(run);
	libcrypto_has_none = true;
	count = each_in_turn(run);
	libcrypto_has_none = false;
	return count;
}

static uint8_t signature[KT_SIGNATURE_MAX];

static enum kt_err verify(void)
{
	return kt_verify(kt_key_public(key), (const uint8_t *)"text", 4, signature,
			 sizeof(signature));
}

static void a_good_signature_is_never_called_bad(void **state)
{
	(void)state;
	assert_int_equal(kt_key_sign(c, key, (const uint8_t *)"text", 4, signature), KT_ERR_OK);
	assert_true(each_allocation(verify) > 3);
}

static void never_good(void)
{
	size_t n = 0;

	do {
		enum kt_err err;

		fail_at = ++n;
		has_failed = false;
		err = verify();
		fail_at = 0;
		assert_true(err == KT_ERR_VERIFY || (has_failed && err == KT_ERR_NOMEM));
	} while (has_failed);
}

static void a_bad_signature_is_never_called_good(void **state)
{
	(void)state;
	assert_int_equal(kt_key_sign(c, key, (const uint8_t *)"other", 5, signature), KT_ERR_OK);
	never_good();
	libcrypto_has_none = true;
	never_good();
	libcrypto_has_none = false;
}

static enum kt_err sign_fast(void)
{
	struct kt_key *fast = NULL;
	struct kt_secret *pem = NULL;
	enum kt_err err = kt_key_to_pem(key, &pem);

	if (err == KT_ERR_OK)
		err = kt_key_from_pem(c, kt_secret_view(pem).p, kt_secret_view(pem).len, &fast);
	if (err == KT_ERR_OK) {
		(void)kt_key_speed_up(fast);
		err = kt_key_sign(c, fast, (const uint8_t *)"text", 4, signature);
	}
	kt_key_free(fast);
	kt_secret_free(pem);
	if (err == KT_ERR_OK) {
		const size_t at = fail_at;

		fail_at = 0; /* what was signed holds, whoever signed it */
		assert_int_equal(verify(), KT_ERR_OK);
		fail_at = at;
	}
	return err;
}

static void what_is_signed_holds(void **state)
{
	(void)state;
	assert_true(each_allocation(sign_fast) > 3);
}

static enum kt_err hash(void)
{
	static const uint8_t text[1000] = {7};
	uint8_t got[32];
	uint8_t again[32];
	const size_t at = fail_at;

	kt_sha256(text, sizeof(text), got);
	fail_at = 0;
	kt_sha256(text, sizeof(text), again);
	fail_at = has_failed ? 0 : at;
	return memcmp(got, again, sizeof(got)) == 0 ? KT_ERR_OK : KT_ERR_INTERNAL;
}

static void a_hash_is_never_another(void **state)
{
	(void)state;
	assert_int_equal(each_allocation(hash), 0); /* wolfCrypt has none */
}

static enum kt_err read_public_key(void)
{
	struct kt_public_key out;
	const struct kt_public_key *in = kt_key_public(key);

	return kt_public_key_from_spki(in->spki, in->spki_len, &out);
}

static void a_good_key_is_never_called_damaged(void **state)
{
	(void)state;
	(void)each_allocation(read_public_key); /* not every build of the library has any */
}

static uint8_t request[KT_CSR_MAX];
static size_t request_len;

static enum kt_err read_request(void)
{
	struct kt_csr csr;
	enum kt_reason reason;
	enum kt_err err = kt_csr_decode(request, request_len, &csr, &reason);

	assert_int_equal(reason, err == KT_ERR_OK ? KT_REASON_NONE : KT_REASON_BUSY);
	return err;
}

static void a_good_request_is_never_refused_for_what_it_is(void **state)
{
	(void)state;
	assert_int_equal(kt_csr_new(c, key, "hub-1", "challenge", request, &request_len),
			 KT_ERR_OK);
	assert_true(each_allocation(read_request) > 3);
}

static enum kt_err read_json(void)
{
	static const char text[] = "{\"a\":{\"b\":[1,2,\"x\"]},\"c\":\"y\"}";
	static const struct kt_json_limits limits = {16384, KT_JSON_DEPTH_MAX, KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	enum kt_err err = kt_json_parse((const uint8_t *)text, sizeof(text) - 1, &limits, &json);

	kt_json_free(json);
	return err;
}

static void good_json_is_never_called_malformed(void **state)
{
	(void)state;
	assert_true(each_allocation(read_json) > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_signature_is_never_called_bad),
		cmocka_unit_test(a_bad_signature_is_never_called_good),
		cmocka_unit_test(what_is_signed_holds),
		cmocka_unit_test(a_hash_is_never_another),
		cmocka_unit_test(a_good_key_is_never_called_damaged),
		cmocka_unit_test(a_good_request_is_never_refused_for_what_it_is),
		cmocka_unit_test(good_json_is_never_called_malformed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
