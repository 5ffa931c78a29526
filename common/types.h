/*
 * types - the small value types that every part of Keyturn passes around.
 *
 * Owns their shapes and limits. Holds no behaviour beyond comparison and validation of names.
 * Fixed arrays, so that a wrong length cannot be passed and swapped arguments do not compile.
 * Any thread.
 */
#ifndef KT_TYPES_H
#define KT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A function whose result must be looked at. */
#define KT_MUST_CHECK __attribute__((warn_unused_result))

enum {
	KT_DEVICE_ID_MAX = 63,	   /* characters; wolfCrypt's common name limit */
	KT_TAG_MAX = 32,	   /* characters of <tag> in <device-id>:<tag> */
	KT_TRUST_DOMAIN_MAX = 255, /* characters (SPIFFE-ID 2.1) */
	KT_URI_MAX = 512,	   /* characters of a SPIFFE URI */
	KT_FINGERPRINT_LEN = 32,   /* bytes, SHA-256 */
	KT_KEY_ID_LEN = 32,	   /* bytes, SHA-256 */
	KT_NONCE_LEN = 16,	   /* bytes: dn, sn and op nonces */
	KT_CHALLENGE_LEN = 32,	   /* bytes: nonce of a challenge */
	KT_SERIAL_LEN = 19,	   /* bytes: 4B, generation (4, big endian), 14 random */
	KT_TICKET_SECRET_LEN = 32, /* bytes */
	KT_SIGNATURE_MAX = 64,	   /* bytes, r||s of ES256 */
	KT_SPKI_MAX = 128,	   /* bytes of a DER SubjectPublicKeyInfo (P-256: 91) */
	KT_CERT_MAX = 4096,	   /* bytes of one DER certificate */
	KT_CSR_MAX = 4096,	   /* bytes of one DER PKCS#10 request */
	KT_CHAIN_MAX = 4	   /* certificates of one chain, leaf included, root excluded */
};

/* Signature algorithms, by the JOSE name; carried in every message and record. */
enum kt_alg { KT_ALG_NONE = 0, KT_ALG_ES256 = 1 };

struct kt_bytes { /* a view: borrowed, never freed */
	const uint8_t *p;
	size_t len;
};

struct kt_fingerprint { /* SHA-256 of a certificate's DER */
	uint8_t b[KT_FINGERPRINT_LEN];
};

struct kt_key_id { /* SHA-256 of the re-encoded SubjectPublicKeyInfo */
	uint8_t b[KT_KEY_ID_LEN];
};

struct kt_nonce {
	uint8_t b[KT_NONCE_LEN];
};

struct kt_challenge_nonce {
	uint8_t b[KT_CHALLENGE_LEN];
};

struct kt_device_id { /* NUL-terminated, checked by kt_device_id_set */
	char s[KT_DEVICE_ID_MAX + 1];
};

struct kt_public_key {
	enum kt_alg alg;
	size_t spki_len;
	uint8_t spki[KT_SPKI_MAX]; /* DER, re-encoded by us, never the peer's bytes */
};

/* "ES256" for KT_ALG_ES256, "none" for anything else. Static string. */
const char *kt_alg_name(enum kt_alg alg);

/* KT_ALG_NONE for a name we do not know. @name NUL-terminated. */
enum kt_alg kt_alg_from_name(const char *name);

bool kt_fingerprint_eq(const struct kt_fingerprint *a, const struct kt_fingerprint *b);
bool kt_key_id_eq(const struct kt_key_id *a, const struct kt_key_id *b);
bool kt_nonce_eq(const struct kt_nonce *a, const struct kt_nonce *b);

/* Is it one or more of [A-Za-z0-9._-] and of the characters of @more (may be "")? */
bool kt_is_name(const char *s, size_t len, const char *more);

/*
 * 1-63 of [A-Za-z0-9._-], first one alphanumeric, never "op" or "claim" in any case.
 * @s need not be NUL-terminated.
 */
bool kt_is_device_id(const char *s, size_t len);

/* Copies a valid id into @out and returns true; else clears @out and returns false. */
bool kt_device_id_set(struct kt_device_id *out, const char *s, size_t len);

/* [A-Za-z0-9._-]{1,32} */
bool kt_is_tag(const char *s, size_t len);

/* [a-z0-9.-]{1,255} */
bool kt_is_trust_domain(const char *s, size_t len);

#endif
