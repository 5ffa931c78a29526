#include "agent_pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct agent_pki *agent_pki_new(void)
{
	struct agent_pki *pki = calloc(1, sizeof(*pki));
	struct kt_key *key = NULL;
	struct cert_plan plan;

	assert_non_null(pki);
	assert_int_equal(kt_crypto_new(&pki->crypto), KT_ERR_OK);
	assert_int_equal(kt_key_new(pki->crypto, KT_ALG_ES256, &pki->root_key), KT_ERR_OK);
	assert_int_equal(kt_key_new(pki->crypto, KT_ALG_ES256, &key), KT_ERR_OK);
	plan = cert_plan_ca("Root", pki->root_key, "Root", pki->root_key);
	pki->root = make_cert(pki->crypto, &plan);
	plan = cert_plan_ca("Issuing", key, "Root", pki->root_key);
	pki->issuing = make_cert(pki->crypto, &plan);
	assert_int_equal(
		kt_issuer_new(pki->crypto, pki->issuing.der, pki->issuing.len, key, &pki->issuer),
		KT_ERR_OK);
	return pki;
}

void agent_pki_free(struct agent_pki *pki)
{
	kt_issuer_free(pki->issuer);
	kt_key_free(pki->root_key);
	kt_crypto_free(pki->crypto);
	free(pki);
}

void agent_pki_chain(struct agent_pki *pki, const struct kt_public_key *key, const char *device,
		     uint32_t generation, struct kt_chain *out)
{
	const struct kt_leaf_request request = {.device = device,
						.trust_domain = PKI_TD,
						.generation = generation,
						.key = key,
						.not_after_s = KT_CERT_NO_END};

	memset(out, 0, sizeof(*out));
	out->count = 2;
	assert_int_equal(kt_leaf_issue(pki->crypto, pki->issuer, &request, out->cert[0].der,
				       &out->cert[0].len),
			 KT_ERR_OK);
	memcpy(out->cert[1].der, pki->issuing.der, pki->issuing.len);
	out->cert[1].len = pki->issuing.len;
}
