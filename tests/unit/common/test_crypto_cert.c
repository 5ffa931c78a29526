#include "crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "cert_maker.h"
#include "crypto_asn1.h"
#include "mutate.h"

static struct kt_crypto *c;
static struct kt_key *key;
static struct kt_key *ca_key; /* moved into the issuer */
static struct kt_issuer *issuer;
static uint8_t *ca_storage;
static struct kt_bytes ca_der;

static struct kt_key *load_key(const char *name)
{
	struct kt_key *out = NULL;
	char path[512];
	uint8_t *pem;
	size_t len;

	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s", name);
	pem = read_file(path, &len);
	assert_int_equal(kt_key_from_pem(c, pem, len, &out), KT_ERR_OK);
	free(pem);
	return out;
}

static struct kt_bytes load_cert(const char *name, uint8_t **storage)
{
	struct kt_bytes view;
	char path[512];
	uint8_t *pem;
	size_t count;
	size_t len;

	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s", name);
	pem = read_file(path, &len);
	assert_int_equal(kt_pem_certs(pem, len, &view, 1, &count, storage), KT_ERR_OK);
	free(pem);
	return view;
}

static int start(void **state)
{
	(void)state;
	if (kt_crypto_new(&c) != KT_ERR_OK || kt_key_new(c, KT_ALG_ES256, &key) != KT_ERR_OK)
		return -1;
	ca_key = load_key("issuing.key");
	ca_der = load_cert("issuing.pem", &ca_storage);
	return kt_issuer_new(c, ca_der.p, ca_der.len, ca_key, &issuer) == KT_ERR_OK ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_issuer_free(issuer);
	kt_key_free(key);
	free(ca_storage);
	kt_crypto_free(c);
	return 0;
}

static struct kt_leaf_request good_request(void)
{
	struct kt_leaf_request request = {.device = "hub-17",
					  .trust_domain = "fleet.example",
					  .generation = 0x01020304,
					  .key = kt_key_public(key),
					  .not_after_s = KT_CERT_NO_END};

	return request;
}

/* --- leaf certificates --- */

static void a_leaf_is_what_the_design_says(void **state)
{
	struct kt_leaf_request request = good_request();
	uint8_t der[KT_CERT_MAX];
	struct kt_cert cert;
	struct kt_bytes view = {der, 0};
	enum kt_dates dates;
	uint32_t generation;

	(void)state;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &view.len), KT_ERR_OK);
	assert_int_equal(kt_cert_decode(der, view.len, &cert), KT_ERR_OK);
	assert_string_equal(cert.common_name, "hub-17");
	assert_string_equal(cert.uri, "spiffe://fleet.example/device/hub-17");
	assert_int_equal(cert.not_before_s, 1577836800);
	assert_int_equal(cert.not_after_s, KT_CERT_NO_END);
	assert_int_equal(cert.serial_len, KT_SERIAL_LEN);
	assert_memory_equal(cert.serial, "\x4b\x01\x02\x03\x04", 5);
	assert_true(kt_cert_generation(&cert, &generation));
	assert_int_equal(generation, 0x01020304);
	assert_false(cert.is_ca);
	assert_false(cert.may_sign_certs);
	assert_true(cert.may_sign);
	assert_int_equal(cert.eku, KT_EKU_CLIENT);
	assert_memory_equal(cert.key.spki, kt_key_public(key)->spki, 91);
	assert_int_equal(kt_chain_verify(ca_der, &view, 1, 1767225600, &dates), KT_ERR_OK);
}

static void two_leaves_never_have_the_same_serial(void **state)
{
	struct kt_leaf_request request = good_request();
	uint8_t first[KT_CERT_MAX];
	uint8_t second[KT_CERT_MAX];
	struct kt_cert a;
	struct kt_cert b;
	size_t len;

	(void)state;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, first, &len), KT_ERR_OK);
	assert_int_equal(kt_cert_decode(first, len, &a), KT_ERR_OK);
	assert_int_equal(kt_leaf_issue(c, issuer, &request, second, &len), KT_ERR_OK);
	assert_int_equal(kt_cert_decode(second, len, &b), KT_ERR_OK);
	assert_memory_not_equal(a.serial + 5, b.serial + 5, 14);
	assert_false(kt_fingerprint_eq(&a.fingerprint, &b.fingerprint));
}

static void the_longest_names_fit(void **state)
{
	struct kt_leaf_request request = good_request();
	char domain[KT_TRUST_DOMAIN_MAX + 1];
	char device[KT_DEVICE_ID_MAX + 1];
	uint8_t der[KT_CERT_MAX];
	struct kt_cert cert;
	size_t len;

	(void)state;
	memset(domain, 'd', sizeof(domain) - 1);
	domain[sizeof(domain) - 1] = '\0';
	memset(device, 'h', sizeof(device) - 1);
	device[sizeof(device) - 1] = '\0';
	request.device = device;
	request.trust_domain = domain;
	request.generation = UINT32_MAX;
	request.not_after_s = 2524608000; /* 2050: the first GeneralizedTime */
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_OK);
	assert_int_equal(kt_cert_decode(der, len, &cert), KT_ERR_OK);
	assert_string_equal(cert.common_name, device);
	assert_int_equal(strlen(cert.uri), 9 + 255 + 8 + 63);
	assert_int_equal(cert.not_after_s, 2524608000);
}

static void issues_nothing_for_a_request_that_is_wrong(void **state)
{
	struct kt_leaf_request request = good_request();
	struct kt_public_key none = {.alg = KT_ALG_NONE};
	uint8_t der[KT_CERT_MAX];
	size_t len;

	(void)state;
	request.device = "hub/17";
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_INVALID);
	request.device = "op";
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_INVALID);
	request = good_request();
	request.trust_domain = "fleet/device/hub-1";
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_INVALID);
	request = good_request();
	request.key = &none;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_INVALID);
	request = good_request();
	request.generation = 0;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_RANGE);
	request = good_request();
	request.not_after_s = 1577836799;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_RANGE);
	request.not_after_s = KT_CERT_NO_END + 1;
	assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_RANGE);
	assert_int_equal(len, 0);
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Exit status of the openssl CLI; 127 where there is none. */
static int run_openssl(char *const argv[])
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (freopen("/dev/null", "w", stdout) != NULL)
			(void)execvp("openssl", argv);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void openssl_accepts_a_leaf_strictly(void **state)
{
	static const struct {
		const char *device;
		int64_t not_after_s;
	} leaves[] = {
		{"hub-17", KT_CERT_NO_END},
		{"H_1.x-y", 2524607999},
		{"hub-2050", 2524608000},
		{"0123456789012345678901234567890123456789012345678901234567890ab", 4102444800}};
	char dir[] = "/tmp/kt-test-cert-XXXXXX";
	char leaf_path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(leaf_path, sizeof(leaf_path), "%s/leaf.pem", dir);
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		char openssl[] = "openssl", verify[] = "verify", strict[] = "-x509_strict";
		char purpose[] = "-purpose", client[] = "sslclient", ca_file[] = "-CAfile";
		char root[] = KT_VECTORS "/pki/root.pem", untrusted[] = "-untrusted";
		char issuing[] = KT_VECTORS "/pki/issuing.pem";
		char *argv[] = {openssl, verify,    strict,  purpose,	client, ca_file,
				root,	 untrusted, issuing, leaf_path, NULL};
		struct kt_leaf_request request = good_request();
		uint8_t der[KT_CERT_MAX];
		char *pem = NULL;
		size_t len;

		request.device = leaves[i].device;
		request.not_after_s = leaves[i].not_after_s;
		assert_int_equal(kt_leaf_issue(c, issuer, &request, der, &len), KT_ERR_OK);
		assert_int_equal(kt_pem_from_cert(der, len, &pem), KT_ERR_OK);
		write_text(leaf_path, pem);
		assert_int_equal(run_openssl(argv), 0);
		free(pem);
	}
	assert_int_equal(unlink(leaf_path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* --- issuers --- */

static void an_issuer_needs_a_ca_and_its_key(void **state)
{
	struct kt_key *wrong = load_key("root.key");
	struct kt_issuer *out = NULL;
	uint8_t *storage;
	struct kt_bytes controller = load_cert("controller.pem", &storage);
	struct kt_key *controller_key = load_key("controller.key");

	(void)state;
	assert_int_equal(kt_issuer_new(c, ca_der.p, ca_der.len, wrong, &out), KT_ERR_VERIFY);
	assert_null(out);
	assert_int_equal(kt_issuer_new(c, controller.p, controller.len, controller_key, &out),
			 KT_ERR_VERIFY);
	assert_int_equal(kt_issuer_new(c, ca_der.p, ca_der.len - 1, wrong, &out), KT_ERR_INVALID);
	kt_key_free(wrong); /* still ours */
	kt_key_free(controller_key);
	free(storage);
	kt_issuer_free(NULL);
}

static void an_issuer_must_be_allowed_to_sign_certificates(void **state)
{
	struct cert_plan plan = cert_plan_ca("ca", key, "ca", key);
	struct kt_issuer *out = NULL;
	struct made_cert cert;

	(void)state;
	plan.key_usage = KT_KU_CRL_SIGN;
	cert = make_cert(c, &plan);
	assert_int_equal(kt_issuer_new(c, cert.der, cert.len, key, &out), KT_ERR_VERIFY);
	plan = cert_plan_ca("ca", key, "ca", key);
	plan.is_ca = false; /* and so without a subject key id */
	cert = make_cert(c, &plan);
	assert_int_equal(kt_issuer_new(c, cert.der, cert.len, key, &out), KT_ERR_VERIFY);
}

/* --- reading --- */

static void reads_the_controllers_certificate(void **state)
{
	uint8_t *storage;
	struct kt_bytes der = load_cert("controller.pem", &storage);
	struct kt_cert cert;
	uint32_t generation;

	(void)state;
	assert_int_equal(kt_cert_decode(der.p, der.len, &cert), KT_ERR_OK);
	assert_int_equal(cert.eku, KT_EKU_CONTROLLER);
	assert_string_equal(cert.uri, "spiffe://fleet.example/controller/1");
	assert_string_equal(cert.common_name, "controller-1");
	assert_true(cert.may_sign);
	assert_false(cert.is_ca);
	assert_int_equal(cert.serial_len, 20);
	assert_false(kt_cert_generation(&cert, &generation));
	assert_int_equal(generation, 0);
	assert_int_equal(cert.not_after_s, KT_CERT_NO_END);
	free(storage);
}

static void reads_the_issuing_ca(void **state)
{
	struct kt_cert cert;

	(void)state;
	assert_int_equal(kt_cert_decode(ca_der.p, ca_der.len, &cert), KT_ERR_OK);
	assert_true(cert.is_ca);
	assert_true(cert.may_sign_certs);
	assert_false(cert.may_sign);
	assert_int_equal(cert.eku, KT_EKU_NONE);
	assert_string_equal(cert.uri, "");
	assert_string_equal(cert.common_name, "issuing");
}

static enum kt_err decode_plan(const struct cert_plan *plan, struct kt_cert *out)
{
	struct made_cert cert = make_cert(c, plan);

	return kt_cert_decode(cert.der, cert.len, out);
}

static void several_uris_count_as_none(void **state)
{
	struct cert_plan plan = cert_plan_leaf("hub-1", key, "ca", key);
	struct kt_cert cert;

	(void)state;
	plan.uri[0] = "spiffe://a/device/hub-1";
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.uri, "spiffe://a/device/hub-1");
	plan.uri[1] = "spiffe://a/device/hub-2";
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.uri, "");
}

static void a_uri_with_a_hidden_end_is_refused(void **state)
{
	struct cert_plan plan = cert_plan_leaf("hub-1", key, "ca", key);
	struct kt_cert cert;

	(void)state;
	plan.uri[0] = "spiffe://a/device/hub-1\0evil";
	plan.uri_len[0] = 28;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_INVALID);
	plan.uri[0] = "spiffe://a/device/h\xc3\xbc";
	plan.uri_len[0] = 0;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_INVALID);
}

static void a_uri_longer_than_any_of_ours_is_none(void **state)
{
	struct cert_plan plan = cert_plan_leaf("hub-1", key, "ca", key);
	char uri[KT_URI_MAX + 2];
	struct kt_cert cert;

	(void)state;
	memset(uri, 'u', sizeof(uri));
	uri[KT_URI_MAX] = '\0';
	plan.uri[0] = uri;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_int_equal(strlen(cert.uri), KT_URI_MAX);
	uri[KT_URI_MAX] = 'u';
	uri[KT_URI_MAX + 1] = '\0';
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.uri, "");
}

static void a_common_name_that_cannot_be_an_id_is_none(void **state)
{
	struct cert_plan plan = cert_plan_leaf("hub-1", key, "ca", key);
	struct kt_cert cert;
	char name[KT_DEVICE_ID_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[KT_DEVICE_ID_MAX + 1] = '\0';
	plan.subject = name;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.common_name, "");
	plan.subject = "h\xc3\xbc";
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.common_name, "");
	plan.subject = NULL;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_string_equal(cert.common_name, "");
}

static void a_certificate_without_extensions_may_nothing(void **state)
{
	struct cert_plan plan = cert_plan_ca("old", key, "old", key);
	struct kt_cert cert;

	(void)state;
	plan.version = 1;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_false(cert.is_ca);
	assert_false(cert.may_sign_certs);
	assert_false(cert.may_sign);
	assert_int_equal(cert.eku, KT_EKU_NONE);
}

static void repeated_extensions_are_refused(void **state)
{
	static const uint8_t again[] = {0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13,
					0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00};
	struct cert_plan plan = cert_plan_ca("ca", key, "ca", key);
	struct kt_cert cert;

	(void)state;
	plan.extra.p = again;
	plan.extra.len = sizeof(again);
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_INVALID);
	plan.without_basic = true;
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_false(cert.is_ca);
}

static void another_kind_of_key_reads_as_none(void **state)
{
	/* Ed25519, any 32 bytes */
	static const uint8_t ed25519[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
					    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
	struct cert_plan plan = cert_plan_leaf("hub-1", key, "ca", key);
	struct kt_key_id id;
	uint8_t off_curve[91];
	struct kt_cert cert;

	(void)state;
	plan.spki.p = ed25519;
	plan.spki.len = sizeof(ed25519);
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_OK);
	assert_int_equal(cert.key.alg, KT_ALG_NONE);
	kt_sha256(ed25519, sizeof(ed25519), id.b);
	assert_true(kt_key_id_eq(&cert.key_id, &id));
	memcpy(off_curve, kt_key_public(key)->spki, sizeof(off_curve));
	off_curve[90] ^= 1;
	plan.spki.p = off_curve;
	plan.spki.len = sizeof(off_curve);
	assert_int_equal(decode_plan(&plan, &cert), KT_ERR_INVALID);
}

static void must_not_pass_for_the_original(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_cert cert;

	if (kt_cert_decode(bytes, len, &cert) == KT_ERR_OK)
		assert_false(kt_fingerprint_eq(&cert.fingerprint, ctx));
}

static void must_be_invalid(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_cert cert;

	(void)ctx;
	assert_int_equal(kt_cert_decode(bytes, len, &cert), KT_ERR_INVALID);
}

static void damaged_certificates_do_no_harm(void **state)
{
	uint8_t long_one[KT_CERT_MAX + 1] = {0};
	struct kt_cert cert;

	(void)state;
	assert_int_equal(kt_cert_decode(ca_der.p, ca_der.len, &cert), KT_ERR_OK);
	mutate_flip_bits(ca_der.p, ca_der.len, must_not_pass_for_the_original, &cert.fingerprint);
	mutate_truncate(ca_der.p, ca_der.len, must_be_invalid, NULL);
	mutate_drop_bytes(ca_der.p, ca_der.len, must_be_invalid, NULL);
	memcpy(long_one, ca_der.p, ca_der.len);
	assert_int_equal(kt_cert_decode(long_one, ca_der.len + 1, &cert), KT_ERR_INVALID);
	assert_int_equal(kt_cert_decode(long_one, KT_CERT_MAX + 1, &cert), KT_ERR_TOO_LONG);
}

/* --- PEM --- */

static void splits_a_file_of_certificates_and_keys(void **state)
{
	static const char *const names[] = {"controller.pem", "controller.key", "issuing.pem",
					    "root.pem"};
	char text[8192] = "some words before it\n";
	size_t at = strlen(text);
	struct kt_bytes out[4];
	uint8_t *storage = NULL;
	size_t count;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char path[512];
		size_t len;
		uint8_t *pem;

		(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s", names[i]);
		pem = read_file(path, &len);
		assert_true(at + len + 2 < sizeof(text));
		memcpy(text + at, pem, len);
		memcpy(text + at + len, "\r\n", 2);
		at += len + 2;
		free(pem);
	}
	assert_int_equal(kt_pem_certs((const uint8_t *)text, at, out, 4, &count, &storage),
			 KT_ERR_OK);
	assert_int_equal(count, 3);
	assert_int_equal(out[1].len, ca_der.len);
	assert_memory_equal(out[1].p, ca_der.p, ca_der.len);
	free(storage);
	assert_int_equal(kt_pem_certs((const uint8_t *)text, at, out, 2, &count, &storage),
			 KT_ERR_TOO_LONG);
	assert_null(storage);
	assert_int_equal(count, 0);
}

static void files_without_a_certificate_are_told_apart_from_broken_ones(void **state)
{
	static const struct {
		const char *text;
		enum kt_err want;
	} cases[] = {
		{"", KT_ERR_NOT_FOUND},
		{"nothing\n", KT_ERR_NOT_FOUND},
		{"-----BEGIN CERTIFICATE-----\nMAA=\n", KT_ERR_INVALID},
		{"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", KT_ERR_INVALID},
		{"-----BEGIN CERTIFICATE-----\nM A!=\n-----END CERTIFICATE-----\n", KT_ERR_INVALID},
		{"-----BEGIN CERTIFICATE-----\nMAB=\n-----END CERTIFICATE-----\n", KT_ERR_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_bytes out[2];
		uint8_t *storage = NULL;
		size_t count;

		assert_int_equal(kt_pem_certs((const uint8_t *)cases[i].text, strlen(cases[i].text),
					      out, 2, &count, &storage),
				 cases[i].want);
		assert_null(storage);
	}
}

static void pem_is_written_as_openssl_does(void **state)
{
	char *pem = NULL;
	uint8_t *file;
	size_t len;

	(void)state;
	assert_int_equal(kt_pem_from_cert(ca_der.p, ca_der.len, &pem), KT_ERR_OK);
	file = read_file(KT_VECTORS "/pki/issuing.pem", &len);
	assert_string_equal(pem, (const char *)file);
	free(file);
	free(pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_is_what_the_design_says),
		cmocka_unit_test(two_leaves_never_have_the_same_serial),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(issues_nothing_for_a_request_that_is_wrong),
		cmocka_unit_test(openssl_accepts_a_leaf_strictly),
		cmocka_unit_test(an_issuer_needs_a_ca_and_its_key),
		cmocka_unit_test(an_issuer_must_be_allowed_to_sign_certificates),
		cmocka_unit_test(reads_the_controllers_certificate),
		cmocka_unit_test(reads_the_issuing_ca),
		cmocka_unit_test(several_uris_count_as_none),
		cmocka_unit_test(a_uri_with_a_hidden_end_is_refused),
		cmocka_unit_test(a_uri_longer_than_any_of_ours_is_none),
		cmocka_unit_test(a_common_name_that_cannot_be_an_id_is_none),
		cmocka_unit_test(a_certificate_without_extensions_may_nothing),
		cmocka_unit_test(repeated_extensions_are_refused),
		cmocka_unit_test(another_kind_of_key_reads_as_none),
		cmocka_unit_test(damaged_certificates_do_no_harm),
		cmocka_unit_test(splits_a_file_of_certificates_and_keys),
		cmocka_unit_test(files_without_a_certificate_are_told_apart_from_broken_ones),
		cmocka_unit_test(pem_is_written_as_openssl_does),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
