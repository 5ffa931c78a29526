#include "crypto_wolfssl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

#include "crypto_openssl.h"

/* wolfCrypt counts its starts, but not atomically: two workers must not start at once. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * Debian's library keeps tables of base points: up to 12 MB a thread, and 3 ms for each key seen a
 * second time. A fleet's keys are many and each is seen rarely, so nothing is kept between two
 * operations: 0.3 ms each, always, and flat memory.
 */
void kt_wolfssl_drop_tables(void)
{
#ifdef FP_ECC
	wc_ecc_fp_free();
#endif
}

bool kt_wolfssl_is_nomem(int ret)
{
	return ret == MEMORY_E || ret == MP_MEM || errno == ENOMEM;
}

enum kt_err kt_crypto_new(struct kt_crypto **out)
{
	struct kt_crypto *c;
	int ret;

	*out = NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return KT_ERR_NOMEM;
	(void)pthread_mutex_lock(&library_lock);
	errno = 0;
	ret = wolfCrypt_Init();
	if (ret == 0) {
		ret = wc_InitRng(&c->rng);
		if (ret != 0)
			(void)wolfCrypt_Cleanup();
	}
	(void)pthread_mutex_unlock(&library_lock);
	if (ret != 0) {
		enum kt_err err = kt_wolfssl_note(c, ret);

		free(c);
		return err;
	}
	*out = c;
	return KT_ERR_OK;
}

void kt_crypto_free(struct kt_crypto *c)
{
	if (c == NULL)
		return;
	kt_wolfssl_drop_tables();
	(void)wc_FreeRng(&c->rng);
	kt_wipe(c, sizeof(*c));
	free(c);
	(void)pthread_mutex_lock(&library_lock);
	(void)wolfCrypt_Cleanup();
	(void)pthread_mutex_unlock(&library_lock);
}

int kt_crypto_last(const struct kt_crypto *c)
{
	return c->last;
}

enum kt_err kt_random(struct kt_crypto *c, uint8_t *out, size_t len)
{
	memset(out, 0, len);
	while (len > 0) {
		word32 part = len > RNG_MAX_BLOCK_LEN ? RNG_MAX_BLOCK_LEN : (word32)len;
		int ret;

		errno = 0;
		ret = wc_RNG_GenerateBlock(&c->rng, out, part);

		if (ret != 0)
			return kt_wolfssl_note(c, ret);
		out += part;
		len -= part;
	}
	return KT_ERR_OK;
}

void kt_wolfssl_sha256(const void *bytes, size_t len, uint8_t out[static 32])
{
	const uint8_t *p = bytes;
	wc_Sha256 sha;
	int ret = wc_InitSha256(&sha);

	while (ret == 0 && len > 0) {
		word32 part = len > 0x40000000u ? 0x40000000u : (word32)len;

		ret = wc_Sha256Update(&sha, p, part);
		p += part;
		len -= part;
	}
	if (ret == 0)
		ret = wc_Sha256Final(&sha, out);
	wc_Sha256Free(&sha);
	/* It can fail only on arguments that we do not pass; and then it matches nothing. */
	if (ret != 0)
		memset(out, 0, 32);
}

void kt_sha256(const void *bytes, size_t len, uint8_t out[static 32])
{
	if (len < KT_OPENSSL_HASH_MIN || !kt_openssl_sha256(bytes, len, out))
		kt_wolfssl_sha256(bytes, len, out);
}

struct kt_fingerprint kt_fingerprint_of(const uint8_t *cert_der, size_t len)
{
	struct kt_fingerprint fp = {{0}};

	kt_sha256(cert_der, len, fp.b);
	return fp;
}

struct kt_key_id kt_key_id_of(const struct kt_public_key *key)
{
	struct kt_key_id id = {{0}};

	kt_sha256(key->spki, key->spki_len, id.b);
	return id;
}
