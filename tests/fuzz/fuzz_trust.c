/*
 * What a hub believes: four bytes of circumstances, then DER certificates (the pinned root first),
 * then the payload of a message. The chain is judged, and a message is built whose certificate is
 * the first behind the root. Where the first byte says so every signature holds: nobody can make
 * those, but what is behind them must stand as well.
 */
#include "trust.h"

#include <stdlib.h>
#include <string.h>

#include "der.h"
#include "fuzz_input.h"
#include "jws.h"
#include "topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { CERTS_MAX = 6, YEAR_S = 31556952 };

#define TRUST_DOMAIN "example.test"

enum kt_err __real_kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
			     const uint8_t *sig, size_t sig_len);
enum kt_err __wrap_kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
			     const uint8_t *sig, size_t sig_len);

static bool signatures_hold; /* of the input in hand */

enum kt_err __wrap_kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
			     const uint8_t *sig, size_t sig_len)
{
	if (signatures_hold && sig_len == KT_SIGNATURE_MAX && key->alg == KT_ALG_ES256)
		return KT_ERR_OK;
	return __real_kt_verify(key, msg, len, sig, sig_len);
}

static enum kt_err sign(void *ctx, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	(void)ctx;
	(void)msg;
	(void)len;
	memset(sig, 1, KT_SIGNATURE_MAX);
	return KT_ERR_OK;
}

/* Each certificate of a chain that was believed is an issuer, but the first. */
static void check_chain(const struct kt_trust *trust, const struct kt_bytes *certs, size_t count)
{
	struct kt_verdict verdict;
	struct kt_cert cert;
	const enum kt_err err = kt_trust_chain(trust, certs, count, &verdict);

	if (err != KT_ERR_OK) {
		FUZZ_REQUIRE(err == KT_ERR_VERIFY || err == KT_ERR_DATES);
		FUZZ_REQUIRE(verdict.floor_s == 0 && verdict.controller_n == 0);
		return;
	}
	FUZZ_REQUIRE(verdict.floor_s >= trust->floor_s);
	FUZZ_REQUIRE(verdict.controller_n == trust->controller_n);
	FUZZ_REQUIRE(!verdict.clock_ahead || trust->system_s > trust->floor_s);
	for (size_t i = 0; i < count; i++) {
		FUZZ_REQUIRE(kt_cert_decode(certs[i].p, certs[i].len, &cert) == KT_ERR_OK);
		FUZZ_REQUIRE(i == 0 || (cert.is_ca && cert.may_sign_certs));
		/* the time that the hub learns is none at which the chain is over */
		FUZZ_REQUIRE(verdict.clock_ahead || verdict.floor_s <= cert.not_after_s);
	}
}

/* Whoever is believed as the controller has its certificate and no other's. */
static void check_message(const struct kt_trust *trust, struct kt_bytes cert_der,
			  struct kt_bytes payload)
{
	static const struct kt_device_id device = {"hub-17"};
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign};
	struct kt_opened opened;
	struct kt_cert cert;
	const char *name;
	char *text = NULL;
	size_t text_len = 0;
	enum kt_err err;

	if (kt_jws_sign(&signer, KT_JWS_FROM_CONTROLLER, cert_der, payload, &text, &text_len) !=
	    KT_ERR_OK)
		return;
	err = kt_trust_open(trust, &device, (struct kt_bytes){(const uint8_t *)text, text_len},
			    &opened);
	free(text);
	FUZZ_REQUIRE((err == KT_ERR_OK) == (opened.message != NULL));
	FUZZ_REQUIRE((err == KT_ERR_OK) == (opened.reason == KT_REASON_NONE));
	if (err != KT_ERR_OK)
		return;
	FUZZ_REQUIRE(signatures_hold);
	FUZZ_REQUIRE(kt_cert_decode(cert_der.p, cert_der.len, &cert) == KT_ERR_OK);
	FUZZ_REQUIRE(!cert.is_ca && cert.eku == KT_EKU_CONTROLLER);
	FUZZ_REQUIRE(kt_uri_decode(cert.uri, TRUST_DOMAIN, &name) == KT_URI_CONTROLLER);
	FUZZ_REQUIRE(opened.verdict.controller_n >= trust->controller_n);
	FUZZ_REQUIRE(strcmp(opened.message->device.s, device.s) == 0);
	FUZZ_REQUIRE(strcmp(opened.message->trust_domain, TRUST_DOMAIN) == 0);
	kt_message_free(opened.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	const unsigned mode = fuzz_u8(&in);
	struct kt_trust trust = {.trust_domain = TRUST_DOMAIN,
				 .system_s = (int64_t)fuzz_u8(&in) * YEAR_S,
				 .floor_s = (int64_t)fuzz_u8(&in) * YEAR_S,
				 .controller_n = fuzz_u8(&in)};
	struct kt_bytes certs[CERTS_MAX];
	struct kt_der d = kt_der_of((struct kt_bytes){in.p, in.left});
	size_t count = 0;

	signatures_hold = (mode & 1) != 0;
	while (count < CERTS_MAX && kt_der_has_more(&d) && d.p[0] == KT_DER_SEQUENCE) {
		certs[count] = kt_der_take_whole(&d, KT_DER_SEQUENCE);
		if (d.bad)
			break;
		count++;
	}
	if (count < 2)
		return 0;
	trust.root_der = certs[0];
	check_chain(&trust, certs + 1, count - 1);
	check_message(&trust, certs[1], (struct kt_bytes){d.p, d.left});
	return 0;
}
