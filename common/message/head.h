/*
 * head - a signed head of the ledger: which record was the newest one, and when.
 *
 * The payload of a JWS with a `typ` of its own (jws.h, KT_JWS_HEAD), signed by the controller.
 * Whoever keeps one can tell later whether the ledger still has that record. Names and rules:
 * docs/PROTOCOL.md. Strict as messages are. Any thread.
 */
#ifndef KT_HEAD_H
#define KT_HEAD_H

#include "err.h"
#include "types.h"

struct kt_head {
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	uint64_t seq;	  /* of the record; from 1 on */
	uint8_t hash[32]; /* of it, as in the ledger */
	int64_t time_us;  /* when the head was made */
};

/* Payload JSON, malloc'ed, NUL-terminated; free(). KT_ERR_INVALID, KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_head_encode(const struct kt_head *head, char **out, size_t *out_len);
/* @out is zeroed on error. KT_ERR_INVALID, KT_ERR_VERSION (a newer one), KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_head_decode(const uint8_t *payload, size_t len, struct kt_head *out);
/*
 * A whole JWS. KT_ERR_INVALID, KT_ERR_VERSION: it is no head. KT_ERR_VERIFY: it is not signed by a
 * controller of its trust domain under @root_der; then *out is what it says, proven is nothing of
 * it. Dates are not judged: evidence is looked at when certificates are over. KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_head_open(struct kt_bytes text, struct kt_bytes root_der,
				       struct kt_head *out, uint32_t *controller_n);

#endif
