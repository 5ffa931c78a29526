#include "crypto_openssl.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

enum { HASH_LEN = 32 };

struct kt_openssl_key {
	EVP_PKEY_CTX *ctx; /* owned; holds the key, begun for signing */
};

/* The library takes numbers in the machine's own order of bytes. */
static bool to_native(const uint8_t scalar[static KT_SCALAR_LEN],
		      uint8_t native[static KT_SCALAR_LEN])
{
	BIGNUM *number = BN_bin2bn(scalar, KT_SCALAR_LEN, NULL);
	bool is_whole =
		number != NULL && BN_bn2nativepad(number, native, KT_SCALAR_LEN) == KT_SCALAR_LEN;

	BN_clear_free(number);
	return is_whole;
}

/* @scalar: NULL for a public key. NULL: it is none, or could not be made. */
static EVP_PKEY *make_key(const uint8_t point[static KT_POINT_LEN], const uint8_t *scalar)
{
	char group[] = "prime256v1";
	uint8_t public_bytes[KT_POINT_LEN];
	uint8_t native[KT_SCALAR_LEN] = {0};
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, public_bytes,
						  sizeof(public_bytes)),
		OSSL_PARAM_construct_end(),
		OSSL_PARAM_construct_end(),
	};
	const int what = scalar != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;

	memcpy(public_bytes, point, sizeof(public_bytes));
	if (scalar != NULL) {
		if (!to_native(scalar, native))
			goto out;
		params[2] =
			OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, sizeof(native));
	}
	ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, what, params) != 1) {
		EVP_PKEY_free(key);
		key = NULL;
	}
out:
	EVP_PKEY_CTX_free(ctx);
	kt_wipe(native, sizeof(native));
	return key;
}

/* What signs (or, without @scalar, verifies) with the key, and holds it. NULL as make_key. */
static EVP_PKEY_CTX *context_of(const uint8_t point[static KT_POINT_LEN], const uint8_t *scalar)
{
	EVP_PKEY *key = make_key(point, scalar);
	EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;

	EVP_PKEY_free(key);
	return ctx;
}

struct kt_openssl_key *kt_openssl_key_new(const uint8_t point[static KT_POINT_LEN],
					  const uint8_t scalar[static KT_SCALAR_LEN])
{
	struct kt_openssl_key *key = calloc(1, sizeof(*key));

	if (key == NULL)
		return NULL;
	(void)ERR_set_mark();
	key->ctx = context_of(point, scalar);
	if (key->ctx == NULL || EVP_PKEY_sign_init(key->ctx) != 1) {
		kt_openssl_key_free(key);
		key = NULL;
	}
	(void)ERR_pop_to_mark();
	return key;
}

void kt_openssl_key_free(struct kt_openssl_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_CTX_free(key->ctx);
	free(key);
}

bool kt_openssl_sign(struct kt_openssl_key *key, const uint8_t hash[static 32],
		     uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t der[KT_ECDSA_DER_MAX];
	struct kt_bytes view = {der, sizeof(der)};
	bool is_signed = false;

	memset(sig, 0, KT_SIGNATURE_MAX);
	(void)ERR_set_mark();
	is_signed = EVP_PKEY_sign(key->ctx, der, &view.len, hash, HASH_LEN) == 1 &&
		    kt_ecdsa_take(view, sig);
	(void)ERR_pop_to_mark();
	return is_signed;
}

bool kt_openssl_is_good(const uint8_t point[static KT_POINT_LEN], const uint8_t hash[static 32],
			const uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t der[KT_ECDSA_DER_MAX];
	struct kt_der_writer w = kt_der_writer_of(der, sizeof(der));
	EVP_PKEY_CTX *ctx = NULL;
	bool is_good = false;

	kt_ecdsa_put(&w, sig);
	(void)ERR_set_mark();
	ctx = context_of(point, NULL);
	is_good = ctx != NULL && !w.bad && EVP_PKEY_verify_init(ctx) == 1 &&
		  EVP_PKEY_verify(ctx, der, w.len, hash, HASH_LEN) == 1;
	EVP_PKEY_CTX_free(ctx);
	(void)ERR_pop_to_mark();
	return is_good;
}

bool kt_openssl_sha256(const void *bytes, size_t len, uint8_t out[static 32])
{
	uint8_t hash[HASH_LEN];
	bool is_done = false;

	(void)ERR_set_mark();
	is_done = SHA256(bytes, len, hash) != NULL;
	(void)ERR_pop_to_mark();
	if (is_done)
		memcpy(out, hash, sizeof(hash));
	return is_done;
}
