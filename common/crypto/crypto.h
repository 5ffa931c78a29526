/*
 * crypto - keys, requests, leaf certificates, revocation lists, chains and random bytes: the port
 * to wolfCrypt, and to OpenSSL's libcrypto for what is quicker there.
 *
 * Only crypto_wolfssl_*.c include wolfSSL, for P-256, SHA-256 and random bytes, and only
 * crypto_openssl.c OpenSSL, for signatures and longer hashes; certificates and requests are read
 * and written with der.h. Owns every check that the libraries leave out (curve, point on curve,
 * canonical lengths, trailing bytes, key usage). Does not log, does not read files, does not know
 * sessions or registries.
 * Standards: RFC 5280, RFC 2986, FIPS 186-4, RFC 7518 section 3.4 (r||s), SPIFFE X.509-SVID.
 * Threads: one struct kt_crypto per thread; keys and issuers are used by one thread at a time.
 */
#ifndef KT_CRYPTO_H
#define KT_CRYPTO_H

#include "err.h"
#include "reason.h"
#include "secmem.h"
#include "types.h"

struct kt_crypto; /* one thread's random source; owned, opaque */
struct kt_key;	  /* a private key; owned, opaque, wiped on free */
struct kt_issuer; /* issuing CA: certificate and key; owned, opaque */

/* Starts the library (counted) and seeds. KT_ERR_NOMEM, KT_ERR_CRYPTO (no entropy). */
KT_MUST_CHECK enum kt_err kt_crypto_new(struct kt_crypto **out);
/* Also frees the thread's point caches: call it in the thread that used it. NULL is fine. */
void kt_crypto_free(struct kt_crypto *c);
/* Last wolfSSL number, for a log line. */
int kt_crypto_last(const struct kt_crypto *c);
KT_MUST_CHECK enum kt_err kt_random(struct kt_crypto *c, uint8_t *out, size_t len);

/* SHA-256 of @len bytes. Cannot fail. */
void kt_sha256(const void *bytes, size_t len, uint8_t out[static 32]);
struct kt_fingerprint kt_fingerprint_of(const uint8_t *cert_der, size_t len);
struct kt_key_id kt_key_id_of(const struct kt_public_key *key);

/* --- keys --- */

/* KT_ERR_UNSUPPORTED for another algorithm than ES256. */
KT_MUST_CHECK enum kt_err kt_key_new(struct kt_crypto *c, enum kt_alg alg, struct kt_key **out);
void kt_key_free(struct kt_key *key);
/* PKCS#8 PEM, as OpenSSL reads it. */
KT_MUST_CHECK enum kt_err kt_key_to_pem(const struct kt_key *key, struct kt_secret **out);
/* PKCS#8 or SEC1, PEM, P-256 only. KT_ERR_INVALID, KT_ERR_UNSUPPORTED. */
KT_MUST_CHECK enum kt_err kt_key_from_pem(struct kt_crypto *c, const uint8_t *pem, size_t len,
					  struct kt_key **out);
/* Borrowed, valid as long as @key. */
const struct kt_public_key *kt_key_public(const struct kt_key *key);
/*
 * From here on it signs by libcrypto, if that can: a second copy of the private key in memory,
 * wiped with it. For keys that sign all day. False: it signs as before.
 */
bool kt_key_speed_up(struct kt_key *key);
/* ES256 over @msg (hashed here): 64 bytes r||s. */
KT_MUST_CHECK enum kt_err kt_key_sign(struct kt_crypto *c, const struct kt_key *key,
				      const uint8_t *msg, size_t len,
				      uint8_t sig[static KT_SIGNATURE_MAX]);
/*
 * KT_ERR_VERIFY unless @sig (exactly 64 bytes, 0 < r, s < n) is @key's over @msg. KT_ERR_NOMEM: it
 * could not be told.
 */
KT_MUST_CHECK enum kt_err kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
				    const uint8_t *sig, size_t sig_len);
enum { KT_RECOVERED_MAX = 2 };
/*
 * The keys of which the ES256 signature @sig over @msg may be (SEC 1 section 4.1.6): at most two
 * fit, none where it is no signature at all. To tell who has signed, never to let anybody in.
 */
size_t kt_recover(const uint8_t *msg, size_t len, const uint8_t sig[static KT_SIGNATURE_MAX],
		  struct kt_public_key out[static KT_RECOVERED_MAX]);
/*
 * Decodes a DER SubjectPublicKeyInfo (or an EC point's), checks curve and point, re-encodes.
 * KT_ERR_INVALID, KT_ERR_UNSUPPORTED.
 */
KT_MUST_CHECK enum kt_err kt_public_key_from_spki(const uint8_t *spki, size_t len,
						  struct kt_public_key *out);

/* --- certificate requests (RFC 2986) --- */

struct kt_csr {
	struct kt_public_key key;
	struct kt_key_id key_id;
	char common_name[KT_DEVICE_ID_MAX + 1];
	char challenge_password[KT_DEVICE_ID_MAX + 1]; /* RFC 2985 section 5.4.1; "" if absent */
};

/* @challenge at most 63 characters. @out holds KT_CSR_MAX bytes. */
KT_MUST_CHECK enum kt_err kt_csr_new(struct kt_crypto *c, const struct kt_key *key,
				     const char *common_name, const char *challenge,
				     uint8_t out[static KT_CSR_MAX], size_t *out_len);
/*
 * Parses and verifies with the request's own key. KT_ERR_INVALID or KT_ERR_VERIFY, and *reason:
 * CSR_SYNTAX (also trailing bytes), CSR_SIG, CSR_KEY (curve, point, kind), CSR_EXTENSION
 * (requests CA:TRUE or an unknown critical extension), MSG_SIZE.
 */
KT_MUST_CHECK enum kt_err kt_csr_decode(const uint8_t *der, size_t len, struct kt_csr *out,
					enum kt_reason *reason);
/*
 * challengePassword that binds a request: base64url(SHA-256("keyturn csr v1" 0 td 0 device 0 op 0
 * nonce)), op as decimal digits. For `enroll`: op 0, nonce = dn.
 */
void kt_csr_binding(const char *trust_domain, const char *device, uint64_t op,
		    const struct kt_nonce *nonce, char out[static 44]);

/* --- certificates (RFC 5280) --- */

enum kt_eku {
	KT_EKU_NONE = 0,
	KT_EKU_CLIENT = 1,
	KT_EKU_SERVER = 2,
	KT_EKU_CONTROLLER = 4,
	KT_EKU_OTHER = 8
};

/* Dotted OID of the controller's extended key usage (ITU-T X.667: 2.25.<uuid>). */
#define KT_EKU_CONTROLLER_OID "2.25.207586152398166391847395816255904181067"

struct kt_cert { /* what we read out of one certificate; a value, no pointers inside */
	struct kt_fingerprint fingerprint;
	struct kt_public_key key;		/* alg NONE if it is not a P-256 key */
	struct kt_key_id key_id;		/* alg NONE: of its SubjectPublicKeyInfo as it is */
	int64_t not_before_s;			/* seconds since 1970, UTC */
	int64_t not_after_s;			/* 253402300799 = 99991231235959Z: without end */
	char common_name[KT_DEVICE_ID_MAX + 1]; /* "" if absent, several, longer, not ASCII */
	char uri[KT_URI_MAX + 1];		/* the only URI SAN; "" if none or several */
	char dns_name[KT_DEVICE_ID_MAX + 1];	/* the only DNS SAN; "" as for the common name */
	uint8_t serial[20];
	size_t serial_len;
	bool is_ca;
	bool may_sign_certs; /* key usage keyCertSign */
	bool may_sign_crls;  /* key usage cRLSign */
	bool may_sign;	     /* key usage digitalSignature */
	unsigned eku;	     /* enum kt_eku bits */
};

/* KT_CERT_NO_END: notAfter 99991231235959Z (RFC 5280 section 4.1.2.5). */
#define KT_CERT_NO_END INT64_C(253402300799)

/* Parses, verifies nothing. KT_ERR_INVALID (also trailing bytes), KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_cert_decode(const uint8_t *der, size_t len, struct kt_cert *out);
/* The generation in a serial of ours (4B, then 4 bytes); false for any other serial. */
bool kt_cert_generation(const struct kt_cert *cert, uint32_t *out);
/*
 * The serial alone, of a certificate that was judged before: no other part is looked at. False
 * unless it has exactly KT_SERIAL_LEN bytes.
 */
bool kt_cert_serial(struct kt_bytes der, uint8_t out[static KT_SERIAL_LEN]);
/*
 * Splits a PEM file into DER certificates, in order. @out: an array of at most @max views into
 * *storage, which the caller frees with free(). KT_ERR_INVALID, KT_ERR_TOO_LONG, KT_ERR_NOT_FOUND
 * (no certificate in it).
 */
KT_MUST_CHECK enum kt_err kt_pem_certs(const uint8_t *pem, size_t len, struct kt_bytes *out,
				       size_t max, size_t *out_count, uint8_t **storage);
/* DER to PEM, malloc'ed, NUL-terminated; free(). */
KT_MUST_CHECK enum kt_err kt_pem_from_cert(const uint8_t *der, size_t len, char **out);

struct kt_leaf_request {    /* all borrowed */
	const char *device; /* CN, and the SPIFFE URI's last part */
	const char *trust_domain;
	uint32_t generation;
	const struct kt_public_key *key;
	int64_t not_after_s; /* KT_CERT_NO_END by default */
};

/*
 * @cert_der: the issuing CA; @key its private key (moved in on success). KT_ERR_VERIFY: they do not
 * match, it is not a CA, may not sign certificates or has no subject key id.
 */
KT_MUST_CHECK enum kt_err kt_issuer_new(struct kt_crypto *c, const uint8_t *cert_der, size_t len,
					struct kt_key *key, struct kt_issuer **out);
void kt_issuer_free(struct kt_issuer *issuer);
/*
 * A leaf of DESIGN section 2: CN, one URI SAN, digitalSignature, clientAuth, SKID, AKID, notBefore
 * = the issuer's; serial 4B | generation | 14 random bytes. Verified again before it is handed out.
 */
KT_MUST_CHECK enum kt_err kt_leaf_issue(struct kt_crypto *c, const struct kt_issuer *issuer,
					const struct kt_leaf_request *request,
					uint8_t out[static KT_CERT_MAX], size_t *out_len);

/* --- revocation lists (RFC 5280 section 5) --- */

enum { KT_CRL_ENTRIES_MAX = 1 << 22 };

enum kt_crl_reason { /* RFC 5280 section 5.3.1: those that we give */
		     KT_CRL_SUPERSEDED = 4,
		     KT_CRL_CESSATION = 5,	    /* cessationOfOperation */
		     KT_CRL_PRIVILEGE_WITHDRAWN = 9 /* an operator's word */
};

struct kt_crl_entry {
	uint8_t serial[KT_SERIAL_LEN];
	enum kt_crl_reason reason;
	int64_t revoked_s;
};

struct kt_crl_head {
	uint64_t number; /* crlNumber, 1 to INT64_MAX */
	int64_t this_update_s;
	int64_t next_update_s;
	size_t entry_count;
};

/*
 * A complete list of version 2, with crlNumber and authorityKeyIdentifier, verified again before it
 * is handed out. *out is malloc'ed DER. KT_ERR_RANGE (number, times, too many), KT_ERR_NOMEM,
 * KT_ERR_CRYPTO.
 */
KT_MUST_CHECK enum kt_err kt_crl_issue(struct kt_crypto *c, const struct kt_issuer *issuer,
				       const struct kt_crl_head *head,
				       const struct kt_crl_entry *entries, uint8_t **out,
				       size_t *out_len);
/*
 * Reads a list that @issuer_der signed. KT_ERR_INVALID: it is none, or is damaged; KT_ERR_VERIFY:
 * another CA's, or altered; KT_ERR_RANGE: its number is none of ours.
 */
KT_MUST_CHECK enum kt_err kt_crl_decode(struct kt_bytes der, struct kt_bytes issuer_der,
					struct kt_crl_head *out);
/* The same of a PEM file. KT_ERR_NOT_FOUND: there is no such block in it. */
KT_MUST_CHECK enum kt_err kt_crl_from_pem(struct kt_bytes pem, struct kt_bytes issuer_der,
					  struct kt_crl_head *out);
/* DER to PEM, malloc'ed, NUL-terminated; free(). */
KT_MUST_CHECK enum kt_err kt_pem_from_crl(const uint8_t *der, size_t len, char **out);

/*
 * Chain of @certs (leaf first, then its issuers, without the root) up to @root: signatures,
 * CA:TRUE, keyCertSign, path length, and dates at @time_s. KT_ERR_VERIFY; KT_ERR_DATES where only
 * dates are wrong (*dates tells which). @time_s < 0: dates are not judged at all. Does not check
 * names, EKU or key usage of the leaf: the caller reads them in kt_cert_decode. ecdsa-with-SHA256
 * over P-256 all the way; name constraints and unknown critical extensions are refused.
 */
enum kt_dates { KT_DATES_GOOD, KT_DATES_EXPIRED, KT_DATES_NOT_YET };
KT_MUST_CHECK enum kt_err kt_chain_verify(struct kt_bytes root, const struct kt_bytes *certs,
					  size_t cert_count, int64_t time_s, enum kt_dates *dates);

#endif
