/*
 * crypto_asn1 - the ASN.1 that keys, requests and certificates have in common.
 *
 * Private to common/crypto_*.c and their tests. Reads and writes; decides nothing. P-256 and
 * ecdsa-with-SHA256 only (RFC 5480, RFC 5758). Any thread.
 */
#ifndef KT_CRYPTO_ASN1_H
#define KT_CRYPTO_ASN1_H

#include "crypto.h"
#include "der.h"

enum {
	KT_POINT_LEN = 65,  /* 04 | X | Y */
	KT_SCALAR_LEN = 32, /* also of one coordinate */
	KT_ECDSA_DER_MAX = 72
};

/* Key usage bits, as in the first byte of the BIT STRING (RFC 5280 section 4.2.1.3). */
enum { KT_KU_DIGITAL_SIGNATURE = 0x80, KT_KU_KEY_CERT_SIGN = 0x04, KT_KU_CRL_SIGN = 0x02 };

/* --- keys (crypto_wolfssl_key.c) --- */

/* 0 < @scalar < n. */
bool kt_is_p256_scalar(const uint8_t scalar[static KT_SCALAR_LEN]);
/* 0 < r < n and 0 < s < n (FIPS 186-4 section 6.4.2). */
bool kt_is_es256_range(const uint8_t sig[static KT_SIGNATURE_MAX]);
/* @point must be on the curve. KT_ERR_INVALID. */
KT_MUST_CHECK enum kt_err kt_public_key_from_point(const uint8_t point[static KT_POINT_LEN],
						   struct kt_public_key *out);
/* Borrowed: the 65 bytes at the end of an ES256 key. */
const uint8_t *kt_public_key_point(const struct kt_public_key *key);

/* --- PEM (crypto_pem.c) --- */

/*
 * Decodes the first block "-----BEGIN @label-----" of *@pem into @out and moves *@pem behind it.
 * KT_ERR_NOT_FOUND, KT_ERR_INVALID, KT_ERR_TOO_LONG.
 */
KT_MUST_CHECK enum kt_err kt_pem_take(struct kt_bytes *pem, const char *label, uint8_t *out,
				      size_t cap, size_t *out_len);
/* Characters of the block, without a NUL, for @der_len bytes. */
size_t kt_pem_len(const char *label, size_t der_len);
/* Writes the block and a NUL. KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_pem_put(const char *label, const uint8_t *der, size_t len, char *out,
				     size_t cap);

/* --- ASN.1 (crypto_asn1.c) --- */

/* Equality of public bytes. */
bool kt_bytes_are(struct kt_bytes bytes, const uint8_t *want, size_t len);

/* Body and signature of a Certificate or CertificationRequest (the same shape). */
struct kt_signed {
	struct kt_bytes body;	   /* what is signed, with tag and length */
	struct kt_bytes algorithm; /* AlgorithmIdentifier, with tag and length */
	struct kt_bytes signature; /* DER of an ECDSA-Sig-Value, not looked into */
};
/* KT_ERR_INVALID, also for bytes behind it. */
KT_MUST_CHECK enum kt_err kt_signed_decode(struct kt_bytes der, struct kt_signed *out);
/* KT_ERR_VERIFY unless it is ecdsa-with-SHA256 by @key over the body. */
KT_MUST_CHECK enum kt_err kt_signed_verify(const struct kt_signed *s,
					   const struct kt_public_key *key);
/* Signs @body (whole DER) and writes the three parts to @w. KT_ERR_CRYPTO, KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_signed_put(struct kt_crypto *c, const struct kt_key *key,
					struct kt_bytes body, struct kt_der_writer *w);
/* The same into KT_CERT_MAX bytes. */
KT_MUST_CHECK enum kt_err kt_signed_encode(struct kt_crypto *c, const struct kt_key *key,
					   struct kt_bytes body, uint8_t *out, size_t *out_len);
/* ECDSA-Sig-Value (RFC 5480 appendix A) to r||s: false where it is none, or one of them is longer.
 */
bool kt_ecdsa_take(struct kt_bytes der, uint8_t sig[static KT_SIGNATURE_MAX]);
void kt_ecdsa_put(struct kt_der_writer *w, const uint8_t sig[static KT_SIGNATURE_MAX]);
/* AlgorithmIdentifier of ecdsa-with-SHA256. */
void kt_der_put_es256(struct kt_der_writer *w);
bool kt_is_es256_algorithm(struct kt_bytes whole);

/*
 * Reads a Name; @common_name gets the only CN if it is printable ASCII of at most 63 characters,
 * else "". Returns the Name with tag and length; @d is bad where it is malformed.
 */
struct kt_bytes kt_name_take(struct kt_der *d, char common_name[static KT_DEVICE_ID_MAX + 1]);
void kt_name_put(struct kt_der_writer *w, const char *common_name);

struct kt_extensions { /* what we understand of an Extensions list; a value, views borrowed */
	bool has_basic_constraints;
	bool is_ca;
	bool has_path_len;
	bool has_key_usage;
	bool has_unknown_critical;
	bool has_name_constraints;
	unsigned path_len;
	unsigned key_usage; /* KT_KU_ bits */
	unsigned eku;	    /* enum kt_eku bits */
	size_t uri_count;
	char uri[KT_URI_MAX + 1]; /* the first URI SAN */
	size_t dns_count;
	char dns_name[KT_DEVICE_ID_MAX + 1]; /* the first DNS SAN; "" if longer or not ASCII */
	struct kt_bytes key_id;		     /* subjectKeyIdentifier */
	struct kt_bytes issuer_id;	     /* authorityKeyIdentifier's keyIdentifier */
};
/* Reads an Extensions SEQUENCE; @d is bad where one of them is malformed or repeated. */
void kt_extensions_take(struct kt_der *d, struct kt_extensions *out);
/* One Extension around @value. */
void kt_extension_put(struct kt_der_writer *w, const uint8_t oid[static 3], bool is_critical,
		      const struct kt_der_writer *value);
/* The same for id-ce-x. @oid_end: its last byte. */
void kt_extension_put_ce(struct kt_der_writer *w, uint8_t oid_end, bool is_critical,
			 const struct kt_der_writer *value);

/* --- the issuing CA (crypto_leaf.c) --- */

struct kt_issuer {
	struct kt_key *key; /* owned */
	int64_t not_before_s;
	size_t subject_len;
	size_t key_id_len;
	uint8_t key_id[KT_KEY_ID_LEN];
	uint8_t subject[]; /* the Name as it is in the certificate */
};
/* The authorityKeyIdentifier of what it signs. */
void kt_issuer_put_key_id(struct kt_der_writer *w, const struct kt_issuer *issuer);

/* --- certificates (crypto_cert.c) --- */

struct kt_cert_parts { /* a certificate taken apart; views borrow the DER */
	struct kt_signed signature;
	unsigned version; /* 1 to 3 */
	struct kt_bytes serial;
	struct kt_bytes inner_algorithm;
	struct kt_bytes issuer;
	struct kt_bytes subject;
	char common_name[KT_DEVICE_ID_MAX + 1];
	int64_t not_before_s;
	int64_t not_after_s;
	struct kt_public_key key; /* alg NONE if it is not P-256 */
	struct kt_bytes spki;	  /* SubjectPublicKeyInfo, with tag and length */
	struct kt_extensions extensions;
};
/* KT_ERR_INVALID, KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_cert_take_apart(struct kt_bytes der, struct kt_cert_parts *out);
/* Basic constraints and key usage say that its key signs certificates. */
bool kt_cert_is_issuer(const struct kt_cert_parts *cert);

#endif
