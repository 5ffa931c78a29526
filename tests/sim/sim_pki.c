#include <stdlib.h>
#include <string.h>

#include "cert_maker.h"
#include "sim.h"
#include "sim_crypto.h"

enum { VECTOR_MAX = 65536, EKU_MAX = 96 };

struct sim_pki {
	struct made_cert root;
	struct made_cert issuer;
	struct made_cert controller;
	struct kt_secret *issuer_pem;
	struct kt_secret *controller_pem;
};

static void need(enum kt_err err)
{
	if (err != KT_ERR_OK)
		abort();
}

/* The extension out of the vector's certificate, so that its OID stands in one place. */
static struct kt_bytes controller_eku(uint8_t out[static EKU_MAX])
{
	static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1d, 0x25};
	struct kt_secret *pem = NULL;
	struct kt_bytes view;
	struct kt_bytes cert;
	const uint8_t *at;
	uint8_t *storage = NULL;
	size_t count = 0;
	size_t len;

	need(kt_file_read(kt_fs_posix(), KT_VECTORS "/pki/controller.pem", VECTOR_MAX, &pem));
	view = kt_secret_view(pem);
	need(kt_pem_certs(view.p, view.len, &cert, 1, &count, &storage));
	at = memmem(cert.p, cert.len, oid, sizeof(oid));
	if (at == NULL)
		abort();
	at -= 2;
	len = (size_t)at[1] + 2;
	if (len > EKU_MAX)
		abort();
	memcpy(out, at, len);
	free(storage);
	kt_secret_free(pem);
	return (struct kt_bytes){out, len};
}

static struct sim_pki *make(bool is_real)
{
	struct sim_pki *pki = sim_alloc(NULL, 1, sizeof(*pki));
	struct kt_crypto *crypto = NULL;
	struct kt_key *root = NULL;
	struct kt_key *issuer = NULL;
	struct kt_key *controller = NULL;
	struct cert_plan plan;
	uint8_t eku[EKU_MAX];

	memset(pki, 0, sizeof(*pki));
	sim_crypto_begin(is_real, 0);
	need(kt_crypto_new(&crypto));
	need(kt_key_new(crypto, KT_ALG_ES256, &root));
	need(kt_key_new(crypto, KT_ALG_ES256, &issuer));
	need(kt_key_new(crypto, KT_ALG_ES256, &controller));
	plan = cert_plan_ca("Root", root, "Root", root);
	pki->root = make_cert(crypto, &plan);
	plan = cert_plan_ca("Issuing", issuer, "Root", root);
	pki->issuer = make_cert(crypto, &plan);
	plan = cert_plan_leaf("controller-1", controller, "Root", root);
	plan.uri[0] = "spiffe://" SIM_TD "/controller/1";
	plan.extra = controller_eku(eku);
	pki->controller = make_cert(crypto, &plan);
	need(kt_key_to_pem(issuer, &pki->issuer_pem));
	need(kt_key_to_pem(controller, &pki->controller_pem));
	kt_key_free(controller);
	kt_key_free(issuer);
	kt_key_free(root);
	kt_crypto_free(crypto);
	return pki;
}

const struct sim_pki *sim_pki_get(bool is_real)
{
	static struct sim_pki *made[2];

	if (made[is_real] == NULL)
		made[is_real] = make(is_real);
	return made[is_real];
}

struct kt_bytes sim_pki_root(const struct sim_pki *pki)
{
	return cert_view(&pki->root);
}

struct kt_bytes sim_pki_issuer(const struct sim_pki *pki)
{
	return cert_view(&pki->issuer);
}

enum kt_err sim_pki_bench(const struct sim_pki *pki, struct kt_bench **out)
{
	const struct kt_signing signing = {
		.trust_domain = SIM_TD,
		.issuer_cert_der = cert_view(&pki->issuer),
		.controller_cert_der = cert_view(&pki->controller),
		.issuer_key_pem = pki->issuer_pem,
		.controller_key_pem = pki->controller_pem,
	};

	return kt_bench_new(&signing, out);
}
