/*
 * crypto_openssl - ES256 and SHA-256 by OpenSSL's libcrypto, where it can: Debian's wolfCrypt is
 * built for size, takes six to thirty times as long for P-256, and four times for a hash.
 *
 * Private to crypto_wolfssl_*.c and their tests. Only what went well is told: "this signature is
 * good", "this is the signature". Everything else (a bad signature, a point that is none, no
 * memory, a library without the curve) is left to wolfCrypt, whose answer then counts. Leaves the
 * thread's error queue as it was: the broker reads it after its own TLS calls.
 */
#ifndef KT_CRYPTO_OPENSSL_H
#define KT_CRYPTO_OPENSSL_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto_asn1.h"

struct kt_openssl_key; /* a private key, ready to sign; owned, opaque, wiped on free */

/* @scalar is a good one and @point its own: not judged here. NULL: the library could not take it.
 */
struct kt_openssl_key *kt_openssl_key_new(const uint8_t point[static KT_POINT_LEN],
					  const uint8_t scalar[static KT_SCALAR_LEN]);
void kt_openssl_key_free(struct kt_openssl_key *key);
/* False: it could not; @sig is zeros. */
bool kt_openssl_sign(struct kt_openssl_key *key, const uint8_t hash[static 32],
		     uint8_t sig[static KT_SIGNATURE_MAX]);
/* True: the point is on the curve, and @sig (r||s) is its key's over @hash. False tells nothing. */
bool kt_openssl_is_good(const uint8_t point[static KT_POINT_LEN], const uint8_t hash[static 32],
			const uint8_t sig[static KT_SIGNATURE_MAX]);

/* Shorter texts are hashed by wolfCrypt as quickly: libcrypto looks its hash up each time. */
enum { KT_OPENSSL_HASH_MIN = 128 };
/* False: it could not; @out is what it was. */
bool kt_openssl_sha256(const void *bytes, size_t len, uint8_t out[static 32]);

#endif
