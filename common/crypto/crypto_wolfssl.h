/*
 * crypto_wolfssl - what the crypto_*.c files share, and nobody else sees.
 *
 * The libraries give us the primitives alone: P-256, SHA-256, random bytes. Certificates and
 * requests are read and written with der.h: wolfSSL's own parser takes trailing bytes, trusts what
 * it should not and differs between its releases.
 */
#ifndef KT_CRYPTO_WOLFSSL_H
#define KT_CRYPTO_WOLFSSL_H

/* The build's own _FORTIFY_SOURCE stays in force. */
#define WOLFSSL_OPTIONS_IGNORE_SYS
/* Always first: the sizes of the library's structs depend on it. */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/wc_port.h>

#include "crypto.h"

struct kt_crypto {
	WC_RNG rng;
	int last; /* the library's last error number */
};

struct kt_key {
	ecc_key *ec;		     /* owned; a pointer, so that a const key can sign */
	struct kt_openssl_key *fast; /* owned; NULL: signs by wolfCrypt (kt_key_speed_up) */
	struct kt_public_key public_key;
};

/* kt_sha256 by wolfCrypt alone. */
void kt_wolfssl_sha256(const void *bytes, size_t len, uint8_t out[static 32]);
/* kt_key_sign and kt_verify by wolfCrypt alone; @sig of kt_wolfssl_verify is in range. */
KT_MUST_CHECK enum kt_err kt_wolfssl_sign(struct kt_crypto *c, const struct kt_key *key,
					  const uint8_t hash[static 32],
					  uint8_t sig[static KT_SIGNATURE_MAX]);
KT_MUST_CHECK enum kt_err kt_wolfssl_verify(const struct kt_public_key *key,
					    const uint8_t hash[static 32],
					    const uint8_t sig[static KT_SIGNATURE_MAX]);

/* Frees the thread's tables of base points: after every operation on a curve. */
void kt_wolfssl_drop_tables(void);
/*
 * Was it a lack of memory that made the library fail with @ret, since errno was set to 0? Its own
 * results do not always say so. What could not be computed must not look like what is wrong.
 */
bool kt_wolfssl_is_nomem(int ret);
/*
 * Keeps the library's number for kt_crypto_last; KT_ERR_NOMEM or KT_ERR_CRYPTO. errno was 0 before
 * the call that failed. Here, so that every caller's analysis sees that it is never KT_ERR_OK.
 */
static inline enum kt_err kt_wolfssl_note(struct kt_crypto *c, int ret)
{
	c->last = ret;
	return kt_wolfssl_is_nomem(ret) ? KT_ERR_NOMEM : KT_ERR_CRYPTO;
}

#endif
