/*
 * Requests and certificates of which one element breaks a rule of DER, or is not what it should be.
 *
 * A request is signed again after its body was changed: whatever refuses it is no signature. Both
 * are read so strictly that a break of the encoding is told as one, wherever it stands.
 */
#include "crypto.h"

#include "bytes.h"
#include "cert_maker.h"
#include "crypto_asn1.h"
#include "der.h"
#include "der_tree.h"

enum {
	CSR_ALGORITHM = 8,   /* elements, counted level by level */
	CERT_ALGORITHM = 12, /* outside, and inside of what is signed */
	CERT_INNER_ALGORITHM = 14,
	CSRS_AT_LEAST = 300,
	CERTS_AT_LEAST = 200,
	CHAINS_AT_LEAST = 200
};

struct count {
	const struct kt_key *key; /* that signs again */
	size_t algorithm;	  /* the element that names the signature's; 0: none is in sight */
	size_t cases;
	size_t by_reason[KT_REASON_COUNT];
};

static struct kt_crypto *c;
static struct kt_key *key;
static struct kt_key *root_key;
static struct made_cert root;
static struct made_cert leaf;

static int start(void **state)
{
	struct cert_plan plan;

	(void)state;
	assert_int_equal(kt_crypto_new(&c), KT_ERR_OK);
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &root_key), KT_ERR_OK);
	plan = cert_plan_ca("Root", root_key, "Root", root_key);
	root = make_cert(c, &plan);
	plan = cert_plan_leaf("hub-17", key, "Root", root_key);
	plan.uri[0] = "spiffe://example.test/device/hub-17";
	leaf = make_cert(c, &plan);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kt_key_free(key);
	kt_key_free(root_key);
	kt_crypto_free(c);
	return 0;
}

/* Is this a break of the encoding itself, whatever the element means? */
static bool breaks_der(enum der_flaw flaw)
{
	return flaw <= DER_SHORTER || flaw == DER_HIGH_TAG;
}

/* --- requests --- */

static void refuses_request(struct count *count, enum der_flaw flaw, size_t element,
			    const uint8_t *der, size_t len)
{
	static const struct kt_csr nothing;
	struct kt_csr csr;
	enum kt_reason reason = KT_REASON_NONE;
	const enum kt_err err = kt_csr_decode(der, len, &csr, &reason);

	/* what is optional may be missing; then it says nothing */
	if (err == KT_ERR_OK && !breaks_der(flaw) &&
	    (csr.common_name[0] == '\0' || csr.challenge_password[0] == '\0'))
		return;
	if (err == KT_ERR_OK)
		fail_msg("element %zu, %s: accepted", element, der_flaw_name(flaw));
	assert_memory_equal(&csr, &nothing, sizeof(csr));
	/* the name of an algorithm is compared as it is: whatever else stands there is another one
	 */
	if (breaks_der(flaw) && reason != KT_REASON_CSR_SYNTAX && reason != KT_REASON_CSR_KEY &&
	    element != count->algorithm)
		fail_msg("element %zu, %s: %s", element, der_flaw_name(flaw),
			 kt_reason_name(reason));
	assert_true(reason == KT_REASON_CSR_SYNTAX || reason == KT_REASON_CSR_KEY ||
		    reason == KT_REASON_CSR_EXTENSION || reason == KT_REASON_CSR_SIG);
	count->by_reason[reason]++;
	count->cases++;
}

/* The frame around the body, and the signature: nothing to sign again. */
static void on_frame(void *ctx, enum der_flaw flaw, size_t element, const uint8_t *der, size_t len)
{
	refuses_request(ctx, flaw, element, der, len);
}

static void on_body(void *ctx, enum der_flaw flaw, size_t element, const uint8_t *body, size_t len)
{
	struct count *count = ctx;
	uint8_t der[KT_CERT_MAX];
	size_t der_len = 0;

	if (len == 0)
		return;
	if (kt_signed_encode(c, count->key, (struct kt_bytes){body, len}, der, &der_len) !=
	    KT_ERR_OK)
		return;
	refuses_request(count, flaw, element, der, der_len);
}

static struct kt_bytes body_of(struct kt_bytes der)
{
	struct kt_der d = kt_der_of(der);
	struct kt_der inner = kt_der_enter(&d, KT_DER_SEQUENCE);
	const struct kt_bytes body = kt_der_take_whole(&inner, KT_DER_SEQUENCE);

	assert_false(inner.bad);
	return body;
}

static void a_malformed_request_is_refused_whoever_signs_it(void **state)
{
	uint8_t der[KT_CSR_MAX];
	size_t len = 0;
	struct count count = {.key = key};
	struct kt_bytes body;
	struct kt_csr csr;
	enum kt_reason reason;

	(void)state;
	assert_int_equal(kt_csr_new(c, key, "hub-17", "a-challenge", der, &len), KT_ERR_OK);
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_OK);
	count.algorithm = CSR_ALGORITHM;
	(void)der_each_flaw(der, len, on_frame, &count);
	count.algorithm = 0;
	body = body_of((struct kt_bytes){der, len});
	(void)der_each_flaw(body.p, body.len, on_body, &count);
	print_message("%zu malformed requests: %zu csr.syntax, %zu csr.key, %zu csr.extension, "
		      "%zu csr.sig\n",
		      count.cases, count.by_reason[KT_REASON_CSR_SYNTAX],
		      count.by_reason[KT_REASON_CSR_KEY], count.by_reason[KT_REASON_CSR_EXTENSION],
		      count.by_reason[KT_REASON_CSR_SIG]);
	assert_true(count.cases >= CSRS_AT_LEAST);
}

/* --- certificates, and chains of them --- */

static void on_certificate(void *ctx, enum der_flaw flaw, size_t element, const uint8_t *der,
			   size_t len)
{
	static const struct kt_cert nothing;
	struct count *count = ctx;
	struct kt_cert cert;
	const enum kt_err err = kt_cert_decode(der, len, &cert);

	if (!breaks_der(flaw))
		return; /* another name is another certificate, and none of ours */
	count->cases++;
	if (err == KT_ERR_OK &&
	    (element == CERT_ALGORITHM ||
	     element == CERT_INNER_ALGORITHM)) { /* as above; nobody believes it */
		const struct kt_bytes chain = {der, len};
		enum kt_dates dates;

		assert_int_equal(kt_chain_verify(cert_view(&root), &chain, 1, -1, &dates),
				 KT_ERR_VERIFY);
		return;
	}
	if (err != KT_ERR_INVALID && err != KT_ERR_TOO_LONG)
		fail_msg("element %zu, %s: %s", element, der_flaw_name(flaw), kt_err_name(err));
	assert_memory_equal(&cert, &nothing, sizeof(cert));
}

static void a_malformed_certificate_is_invalid(void **state)
{
	struct count count = {0};

	(void)state;
	(void)der_each_flaw(leaf.der, leaf.len, on_certificate, &count);
	(void)der_each_flaw(root.der, root.len, on_certificate, &count);
	print_message("%zu malformed certificates\n", count.cases);
	assert_true(count.cases >= CERTS_AT_LEAST);
}

static void on_chain_body(void *ctx, enum der_flaw flaw, size_t element, const uint8_t *body,
			  size_t len)
{
	struct count *count = ctx;
	uint8_t der[KT_CERT_MAX];
	size_t der_len = 0;
	struct kt_bytes chain;
	enum kt_dates dates;

	if (len == 0 || !breaks_der(flaw))
		return;
	if (kt_signed_encode(c, root_key, (struct kt_bytes){body, len}, der, &der_len) != KT_ERR_OK)
		return;
	chain = (struct kt_bytes){der, der_len};
	if (kt_chain_verify(cert_view(&root), &chain, 1, -1, &dates) != KT_ERR_VERIFY)
		fail_msg("element %zu, %s: believed", element, der_flaw_name(flaw));
	count->cases++;
}

/* The root has signed it: it is refused for what it is. */
static void a_malformed_certificate_is_not_believed_whoever_signs_it(void **state)
{
	struct count count = {0};
	const struct kt_bytes body = body_of(cert_view(&leaf));
	const struct kt_bytes chain = cert_view(&leaf);
	enum kt_dates dates;

	(void)state;
	assert_int_equal(kt_chain_verify(cert_view(&root), &chain, 1, -1, &dates), KT_ERR_OK);
	(void)der_each_flaw(body.p, body.len, on_chain_body, &count);
	print_message("%zu malformed chains\n", count.cases);
	assert_true(count.cases >= CHAINS_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_malformed_request_is_refused_whoever_signs_it),
		cmocka_unit_test(a_malformed_certificate_is_invalid),
		cmocka_unit_test(a_malformed_certificate_is_not_believed_whoever_signs_it),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
