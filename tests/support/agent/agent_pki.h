/*
 * agent_pki - a root, an issuing CA and leaves for hubs, in memory.
 */
#ifndef KT_TEST_AGENT_PKI_H
#define KT_TEST_AGENT_PKI_H

#include "cert_maker.h"
#include "crypto.h"
#include "message.h"

#define PKI_TD "hubs.example"

struct agent_pki {
	struct kt_crypto *crypto;
	struct kt_key *root_key;
	struct made_cert root;
	struct made_cert issuing;
	struct kt_issuer *issuer;
};

/* Asserts that it worked. */
struct agent_pki *agent_pki_new(void);
void agent_pki_free(struct agent_pki *pki);
/* Leaf and issuing CA for @key. */
void agent_pki_chain(struct agent_pki *pki, const struct kt_public_key *key, const char *device,
		     uint32_t generation, struct kt_chain *out);

#endif
