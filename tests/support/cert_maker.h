/*
 * cert_maker - certificates with exactly the flaw that a test needs, from the project's DER writer.
 */
#ifndef KT_TEST_CERT_MAKER_H
#define KT_TEST_CERT_MAKER_H

#include "crypto.h"

struct cert_plan {
	const char *subject; /* CN; NULL: an empty name */
	const char *issuer;
	const struct kt_key *key;	 /* of the subject */
	const struct kt_key *issuer_key; /* signs */
	int64_t not_before_s;
	int64_t not_after_s;
	unsigned version;	     /* 0 means 3 */
	bool is_ca;		     /* basic constraints CA:TRUE, else CA:FALSE */
	bool without_basic;	     /* no basic constraints at all */
	int path_len;		     /* < 0: none */
	int key_usage;		     /* KT_KU_ bits; < 0: no key usage */
	const char *uri[2];	     /* URI SANs */
	size_t uri_len[2];	     /* 0: strlen */
	struct kt_bytes extra;	     /* further Extension, DER */
	struct kt_bytes spki;	     /* instead of the key's */
	bool breaks_inner_algorithm; /* ecdsa-with-SHA384 inside, SHA256 outside */
};

struct made_cert {
	uint8_t der[KT_CERT_MAX];
	size_t len;
};

/* A plan with a root's values: CA without path length, keyCertSign, 2020 to no end. */
struct cert_plan cert_plan_ca(const char *subject, const struct kt_key *key, const char *issuer,
			      const struct kt_key *issuer_key);
struct cert_plan cert_plan_leaf(const char *subject, const struct kt_key *key, const char *issuer,
				const struct kt_key *issuer_key);
/* Asserts that it worked. */
struct made_cert make_cert(struct kt_crypto *c, const struct cert_plan *plan);
struct kt_bytes cert_view(const struct made_cert *cert);

#endif
