/*
 * jws - flattened JSON Web Signatures, ES256 (RFC 7515 section 7.2.2, RFC 7518 section 3.4).
 *
 * Stricter than the RFC: members `protected`, `payload`, `signature` and no others; header members
 * `alg`, `typ` (and `x5c` from the controller) and no others; unpadded canonical base64url. `alg`
 * is compared with the key, never chosen by the header. Any thread.
 */
#ifndef KT_JWS_H
#define KT_JWS_H

#include "crypto.h"
#include "err.h"
#include "reason.h"
#include "types.h"

#define KT_JWS_TYP_DEVICE     "keyturn-dev+1"
#define KT_JWS_TYP_CONTROLLER "keyturn-ctl+1"
#define KT_JWS_TYP_HEAD	      "keyturn-head+1"

/* Whose it is, and what for: each has a `typ` of its own, so that none is taken for another. */
enum kt_jws_from {
	KT_JWS_FROM_DEVICE,
	KT_JWS_FROM_CONTROLLER,
	KT_JWS_HEAD /* the controller's too: a head of the ledger (head.h), never a message */
};

/* Whoever holds a private key: the controller's, a file's, later a TPM's. */
struct kt_signer {
	enum kt_alg alg;
	/* 64 bytes r||s over SHA-256(@msg). */
	enum kt_err (*sign)(void *ctx, const uint8_t *msg, size_t len,
			    uint8_t sig[static KT_SIGNATURE_MAX]);
	void *ctx; /* borrowed */
};

/*
 * The one function that signs a message. @payload is JSON that we built ourselves; @x5c is the
 * controller certificate's DER, empty for KT_JWS_FROM_DEVICE. *out: malloc'ed, free().
 * KT_ERR_TOO_LONG (over KT_MESSAGE_MAX), KT_ERR_NOMEM, KT_ERR_UNSUPPORTED, the signer's own.
 */
KT_MUST_CHECK enum kt_err kt_jws_sign(const struct kt_signer *signer, enum kt_jws_from from,
				      struct kt_bytes x5c, struct kt_bytes payload, char **out,
				      size_t *out_len);

struct kt_jws { /* a parsed, not yet verified JWS; free with kt_jws_clear */
	enum kt_alg alg;
	enum kt_jws_from from;
	uint8_t *payload; /* owned, decoded */
	size_t payload_len;
	uint8_t *signing_input; /* owned: protected "." payload */
	size_t signing_input_len;
	uint8_t *x5c; /* owned, DER; NULL from a device */
	size_t x5c_len;
	uint8_t signature[KT_SIGNATURE_MAX];
};

/*
 * Parses. KT_ERR_INVALID and *reason: JSON_SYNTAX, JSON_FIELD, MSG_SIZE, JWS_HEADER (also a wrong
 * typ for @from), JWS_ALG (unknown), JWS_SIG (not 64 bytes). KT_ERR_NOMEM with BUSY.
 */
KT_MUST_CHECK enum kt_err kt_jws_decode(const uint8_t *text, size_t len, enum kt_jws_from from,
					struct kt_jws *out, enum kt_reason *reason);
/* KT_ERR_VERIFY and *reason: JWS_ALG (not the key's), JWS_SIG. KT_ERR_NOMEM: BUSY. */
KT_MUST_CHECK enum kt_err kt_jws_verify(const struct kt_jws *jws, const struct kt_public_key *key,
					enum kt_reason *reason);
/*
 * The controller's certificate in x5c, read as strictly as DESIGN section 2 writes it: no CA, its
 * extended key usage and no other, its URI in @trust_domain. Its chain is the caller's to verify.
 * KT_ERR_VERIFY, kt_cert_decode's.
 */
KT_MUST_CHECK enum kt_err kt_jws_controller(const struct kt_jws *jws, const char *trust_domain,
					    struct kt_public_key *key, uint32_t *number);
void kt_jws_clear(struct kt_jws *jws);

#endif
