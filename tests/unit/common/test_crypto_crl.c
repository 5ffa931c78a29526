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
#include "failing_alloc.h"
#include "mutate.h"

enum { MANY = 12000 };

static struct kt_crypto *c;
static struct kt_issuer *issuer;
static struct kt_cert_parts ca;
static uint8_t *ca_storage;
static struct kt_bytes ca_der;

static const struct kt_crl_head usual = {
	.number = UINT64_C(0x0102030405060708),
	.this_update_s = 1767323045, /* 2026-01-02 03:04:05 */
	.next_update_s = 1767927845, /* 2026-01-09 03:04:05 */
	.entry_count = 2,
};
static struct kt_crl_entry two[2] = {
	{.reason = KT_CRL_SUPERSEDED, .revoked_s = 1767225600},		 /* 2026-01-01 */
	{.reason = KT_CRL_PRIVILEGE_WITHDRAWN, .revoked_s = 2524608000}, /* 2050-01-01 */
};

static struct kt_key *load_key(const char *path)
{
	struct kt_key *out = NULL;
	size_t len;
	uint8_t *pem = read_file(path, &len);

	assert_int_equal(kt_key_from_pem(c, pem, len, &out), KT_ERR_OK);
	free(pem);
	return out;
}

static int start(void **state)
{
	size_t count;
	size_t len;
	uint8_t *pem = read_file(KT_VECTORS "/pki/issuing.pem", &len);

	(void)state;
	if (kt_crypto_new(&c) != KT_ERR_OK ||
	    kt_pem_certs(pem, len, &ca_der, 1, &count, &ca_storage) != KT_ERR_OK ||
	    kt_cert_take_apart(ca_der, &ca) != KT_ERR_OK)
		return -1;
	free(pem);
	for (size_t i = 0; i < 2; i++) {
		unhex(i == 0 ? "4b000000010102030405060708090a0b0c0d0e"
			     : "4b00000002f1f2f3f4f5f6f7f8f9fafbfcfdfe",
		      two[i].serial, KT_SERIAL_LEN);
	}
	return kt_issuer_new(c, ca_der.p, ca_der.len, load_key(KT_VECTORS "/pki/issuing.key"),
			     &issuer) == KT_ERR_OK
		       ? 0
		       : -1;
}

static int stop(void **state)
{
	(void)state;
	kt_issuer_free(issuer);
	free(ca_storage);
	kt_crypto_free(c);
	return 0;
}

static struct kt_bytes made(const struct kt_crl_head *head, const struct kt_crl_entry *entries)
{
	uint8_t *der = NULL;
	size_t len = 0;

	assert_int_equal(kt_crl_issue(c, issuer, head, entries, &der, &len), KT_ERR_OK);
	assert_non_null(der);
	return (struct kt_bytes){der, len};
}

static void drop(struct kt_bytes der)
{
	free((void *)(uintptr_t)der.p);
}

/* --- to the byte --- */

static void put_hex(struct kt_der_writer *w, const char *text)
{
	uint8_t bytes[256];

	unhex(text, bytes, strlen(text) / 2);
	kt_der_put_raw(w, bytes, strlen(text) / 2);
}

/* What is signed, written by hand: @list is revokedCertificates with its tag, "" for none. */
static void assert_body(struct kt_bytes der, const char *list)
{
	uint8_t want[1024];
	struct kt_der_writer w = kt_der_writer_of(want, sizeof(want));
	struct kt_signed parts;
	struct kt_bytes key_id = ca.extensions.key_id;
	size_t mark = kt_der_open(&w, KT_DER_SEQUENCE);
	static const uint8_t head[] = {0x30, 0x34, 0x30, 0x1f, 0x06, 0x03, 0x55, 0x1d,
				       0x23, 0x04, 0x18, 0x30, 0x16, 0x80, 0x14};

	put_hex(&w, "020101");			 /* version 2 */
	put_hex(&w, "300a06082a8648ce3d040302"); /* ecdsa-with-SHA256 */
	kt_der_put_raw(&w, ca.subject.p, ca.subject.len);
	put_hex(&w, "170d3236303130323033303430355a");
	put_hex(&w, "170d3236303130393033303430355a");
	put_hex(&w, list);
	put_hex(&w, "a036");
	assert_int_equal(key_id.len, 20);
	kt_der_put_raw(&w, head, sizeof(head));
	kt_der_put_raw(&w, key_id.p, key_id.len);
	put_hex(&w, "30110603551d14040a02080102030405060708");
	kt_der_close(&w, mark);
	assert_false(w.bad);
	assert_int_equal(kt_signed_decode(der, &parts), KT_ERR_OK);
	assert_int_equal(parts.body.len, w.len);
	assert_memory_equal(parts.body.p, want, w.len);
	assert_int_equal(kt_signed_verify(&parts, kt_key_public(issuer->key)), KT_ERR_OK);
}

static void writes_a_list_to_the_byte(void **state)
{
	struct kt_bytes der = made(&usual, two);

	(void)state;
	assert_body(der, "306a"
			 "30320213"
			 "4b000000010102030405060708090a0b0c0d0e"
			 "170d3236303130313030303030305a"
			 "300c300a0603551d1504030a0104"
			 "30340213"
			 "4b00000002f1f2f3f4f5f6f7f8f9fafbfcfdfe"
			 "180f32303530303130313030303030305a"
			 "300c300a0603551d1504030a0109");
	drop(der);
}

/* RFC 5280 section 5.1.2.6 */
static void without_entries_the_list_is_absent(void **state)
{
	struct kt_crl_head head = usual;
	struct kt_bytes der;

	(void)state;
	head.entry_count = 0;
	der = made(&head, NULL);
	assert_body(der, "");
	drop(der);
}

static void each_reason_has_its_number(void **state)
{
	(void)state;
	assert_int_equal(KT_CRL_SUPERSEDED, 4);
	assert_int_equal(KT_CRL_CESSATION, 5);
	assert_int_equal(KT_CRL_PRIVILEGE_WITHDRAWN, 9);
}

/* --- read back --- */

static void reads_back_what_it_wrote(void **state)
{
	struct kt_bytes der = made(&usual, two);
	struct kt_crl_head head;
	char *pem = NULL;

	(void)state;
	assert_int_equal(kt_crl_decode(der, ca_der, &head), KT_ERR_OK);
	assert_true(head.number == usual.number);
	assert_true(head.this_update_s == usual.this_update_s);
	assert_true(head.next_update_s == usual.next_update_s);
	assert_int_equal(head.entry_count, 2);
	assert_int_equal(kt_pem_from_crl(der.p, der.len, &pem), KT_ERR_OK);
	assert_int_equal(strncmp(pem, "-----BEGIN X509 CRL-----\n", 25), 0);
	memset(&head, 0, sizeof(head));
	assert_int_equal(kt_crl_from_pem((struct kt_bytes){(const uint8_t *)pem, strlen(pem)},
					 ca_der, &head),
			 KT_ERR_OK);
	assert_true(head.number == usual.number);
	assert_int_equal(head.entry_count, 2);
	free(pem);
	drop(der);
}

static void another_ca_s_list_is_not_believed(void **state)
{
	struct kt_bytes der = made(&usual, two);
	struct kt_crl_head head;
	struct kt_key *key = NULL;
	struct cert_plan plan;
	struct made_cert other;

	(void)state;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &key), KT_ERR_OK);
	plan = cert_plan_ca("other", key, "other", key);
	other = make_cert(c, &plan);
	assert_int_equal(kt_crl_decode(der, cert_view(&other), &head), KT_ERR_VERIFY);
	assert_true(head.number == 0);
	kt_key_free(key);
	drop(der);
}

/* The name is ours, the key is not. */
static void a_list_of_another_key_is_not_believed(void **state)
{
	struct kt_issuer *thief = calloc(1, sizeof(*thief) + issuer->subject_len);
	struct kt_crl_head head;
	uint8_t *der = NULL;
	size_t len;

	(void)state;
	assert_non_null(thief);
	memcpy(thief, issuer, sizeof(*thief) + issuer->subject_len);
	thief->key = NULL;
	assert_int_equal(kt_key_new(c, KT_ALG_ES256, &thief->key), KT_ERR_OK);
	assert_int_equal(kt_crl_issue(c, thief, &usual, two, &der, &len), KT_ERR_OK);
	assert_int_equal(kt_crl_decode((struct kt_bytes){der, len}, ca_der, &head), KT_ERR_VERIFY);
	free(der);
	kt_issuer_free(thief);
}

static void must_not_pass(void *ctx, const uint8_t *bytes, size_t len)
{
	const struct kt_bytes *original = ctx;
	struct kt_crl_head head;

	if (len == original->len && memcmp(bytes, original->p, len) == 0)
		return;
	assert_int_not_equal(kt_crl_decode((struct kt_bytes){bytes, len}, ca_der, &head),
			     KT_ERR_OK);
	assert_true(head.number == 0);
	assert_int_equal(head.entry_count, 0);
}

static void no_changed_list_passes(void **state)
{
	struct kt_bytes der = made(&usual, two);
	uint8_t *long_one = malloc(der.len + 1);
	struct kt_crl_head head;

	(void)state;
	assert_non_null(long_one);
	mutate_flip_bits(der.p, der.len, must_not_pass, &der);
	mutate_truncate(der.p, der.len, must_not_pass, &der);
	mutate_drop_bytes(der.p, der.len, must_not_pass, &der);
	memcpy(long_one, der.p, der.len);
	long_one[der.len] = 0;
	assert_int_equal(kt_crl_decode((struct kt_bytes){long_one, der.len + 1}, ca_der, &head),
			 KT_ERR_INVALID);
	free(long_one);
	drop(der);
}

static void a_number_that_is_none_of_ours_is_told_apart(void **state)
{
	static const struct {
		const char *hex;
		enum kt_err err;
	} numbers[] = {
		{"020100", KT_ERR_RANGE},	     /* 0 */
		{"02087fffffffffffffff", KT_ERR_OK}, /* the last one */
		{"0209008000000000000000", KT_ERR_RANGE},
		{"020900ffffffffffffffff", KT_ERR_RANGE},
		{"0209010000000000000000", KT_ERR_RANGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint8_t tbs[1024];
		uint8_t out[2048];
		struct kt_der_writer w = kt_der_writer_of(tbs, sizeof(tbs));
		struct kt_der_writer whole = kt_der_writer_of(out, sizeof(out));
		size_t mark = kt_der_open(&w, KT_DER_SEQUENCE);
		struct kt_crl_head head;
		uint8_t value[16];
		struct kt_der_writer number = kt_der_writer_of(value, sizeof(value));
		size_t outer;
		size_t list;

		put_hex(&w, "020101");
		kt_der_put_es256(&w);
		kt_der_put_raw(&w, ca.subject.p, ca.subject.len);
		kt_der_put_time(&w, usual.this_update_s);
		kt_der_put_time(&w, usual.next_update_s);
		outer = kt_der_open(&w, KT_DER_EXPLICIT);
		list = kt_der_open(&w, KT_DER_SEQUENCE);
		put_hex(&number, numbers[i].hex);
		kt_extension_put_ce(&w, 0x14, false, &number);
		kt_der_close(&w, list);
		kt_der_close(&w, outer);
		kt_der_close(&w, mark);
		assert_int_equal(
			kt_signed_put(c, issuer->key, (struct kt_bytes){tbs, w.len}, &whole),
			KT_ERR_OK);
		assert_int_equal(kt_crl_decode((struct kt_bytes){out, whole.len}, ca_der, &head),
				 numbers[i].err);
		assert_true(head.number == (numbers[i].err == KT_ERR_OK ? INT64_MAX : 0));
	}
}

static void a_file_without_a_list_is_told_apart(void **state)
{
	static const char broken[] = "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n";
	static const char torn[] = "-----BEGIN X509 CRL-----\nMIIB\n";
	struct kt_crl_head head;
	size_t len;
	uint8_t *pem = read_file(KT_VECTORS "/pki/root.pem", &len);

	(void)state;
	assert_int_equal(kt_crl_from_pem((struct kt_bytes){pem, len}, ca_der, &head),
			 KT_ERR_NOT_FOUND);
	assert_int_equal(kt_crl_from_pem((struct kt_bytes){pem, 0}, ca_der, &head),
			 KT_ERR_NOT_FOUND);
	assert_int_equal(
		kt_crl_from_pem((struct kt_bytes){(const uint8_t *)broken, sizeof(broken) - 1},
				ca_der, &head),
		KT_ERR_INVALID);
	assert_int_equal(kt_crl_from_pem((struct kt_bytes){(const uint8_t *)torn, sizeof(torn) - 1},
					 ca_der, &head),
			 KT_ERR_INVALID);
	free(pem);
}

/* --- what is refused --- */

static void refuses_a_head_that_no_reader_could_use(void **state)
{
	struct kt_crl_head heads[6];
	uint8_t *der = NULL;
	size_t len;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		heads[i] = usual;
	heads[0].number = 0;
	heads[1].number = (uint64_t)INT64_MAX + 1;
	heads[2].next_update_s = usual.this_update_s;
	heads[3].entry_count = (size_t)KT_CRL_ENTRIES_MAX + 1;
	heads[4].next_update_s = KT_CERT_NO_END + 1; /* the year 10000 */
	heads[5].this_update_s = -631152001;	     /* 1949 */
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(kt_crl_issue(c, issuer, &heads[i], two, &der, &len), KT_ERR_RANGE);
		assert_null(der);
		assert_int_equal(len, 0);
	}
}

static void whatever_allocation_fails_nothing_is_left(void **state)
{
	bool has_failed = true;
	size_t n;

	(void)state;
	for (n = 1; has_failed; n++) {
		uint8_t *der = NULL;
		size_t len;
		enum kt_err err;

		failing_alloc_set(n);
		err = kt_crl_issue(c, issuer, &usual, two, &der, &len);
		has_failed = failing_alloc_end();
		if (err != KT_ERR_OK) {
			assert_true(has_failed);
			assert_null(der);
		}
		free(der);
	}
	assert_true(n > 3); /* the body, the whole, and wolfCrypt's own */
}

static void whatever_allocation_fails_in_reading_is_an_error(void **state)
{
	struct kt_bytes der = made(&usual, two);
	bool has_failed = true;
	char *pem = NULL;
	size_t n;

	(void)state;
	assert_int_equal(kt_pem_from_crl(der.p, der.len, &pem), KT_ERR_OK);
	for (n = 1; has_failed; n++) {
		struct kt_crl_head head;
		enum kt_err err;

		failing_alloc_set(n);
		err = kt_crl_from_pem((struct kt_bytes){(const uint8_t *)pem, strlen(pem)}, ca_der,
				      &head);
		has_failed = failing_alloc_end();
		assert_true(err == KT_ERR_OK ? head.number == usual.number
					     : has_failed && head.number == 0);
	}
	assert_true(n > 3);
	free(pem);
	drop(der);
}

/* --- as others read it --- */

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* openssl crl -text of the file; what it says goes to @out. Exit status; 127 where there is none.
 */
static int run_openssl(const char *path, int out)
{
	char openssl[] = "openssl", crl[] = "crl", inform[] = "-inform", der[] = "DER",
	     in[] = "-in", noout[] = "-noout", text[] = "-text", ca_file[] = "-CAfile",
	     ca_path[] = KT_VECTORS "/pki/issuing.pem";
	char file[64];
	char *const argv[] = {openssl, crl,  inform,  der,     in,  file,
			      noout,   text, ca_file, ca_path, NULL};
	int status = 0;
	pid_t pid;

	(void)snprintf(file, sizeof(file), "%s", path);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
			(void)execvp("openssl", argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Lines of `openssl crl -text` that contain @needle; the signature must be good. */
static long openssl_count(struct kt_bytes der, const char *needle)
{
	char path[] = "/tmp/kt-crl-XXXXXX";
	char line[256];
	FILE *said = tmpfile();
	int fd = mkstemp(path);
	long count = 0;
	bool is_good = false;

	assert_non_null(said);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	write_file(path, der.p, der.len);
	assert_int_equal(run_openssl(path, fileno(said)), 0);
	rewind(said);
	while (fgets(line, sizeof(line), said) != NULL) {
		count += strstr(line, needle) != NULL;
		is_good |= strstr(line, "verify OK") != NULL;
	}
	assert_int_equal(fclose(said), 0);
	assert_int_equal(unlink(path), 0);
	assert_true(is_good);
	return count;
}

static void openssl_reads_it(void **state)
{
	static const char *const lines[] = {
		"Version 2 (0x1)",
		"Last Update: Jan  2 03:04:05 2026 GMT",
		"Next Update: Jan  9 03:04:05 2026 GMT",
		"Serial Number: 4B000000010102030405060708090A0B0C0D0E",
		"Serial Number: 4B00000002F1F2F3F4F5F6F7F8F9FAFBFCFDFE",
		"Revocation Date: Jan  1 00:00:00 2026 GMT",
		"Revocation Date: Jan  1 00:00:00 2050 GMT",
		"Superseded",
		"Privilege Withdrawn",
		"X509v3 CRL Number",
		"72623859790382856",
		"X509v3 Authority Key Identifier",
	};
	struct kt_crl_head empty = usual;
	struct kt_bytes der = made(&usual, two);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(openssl_count(der, lines[i]), 1);
	drop(der);
	empty.entry_count = 0;
	der = made(&empty, NULL);
	assert_int_equal(openssl_count(der, "No Revoked Certificates."), 1);
	assert_int_equal(openssl_count(der, "Serial Number"), 0);
	drop(der);
}

/* More than two bytes of length. */
static void openssl_reads_twelve_thousand_entries(void **state)
{
	struct kt_crl_entry *entries = calloc(MANY, sizeof(*entries));
	struct kt_crl_head head = usual;
	struct kt_crl_head seen;
	struct kt_bytes der;

	(void)state;
	assert_non_null(entries);
	for (size_t i = 0; i < MANY; i++) {
		entries[i] = two[i % 2];
		entries[i].serial[10] = (uint8_t)(i >> 8);
		entries[i].serial[11] = (uint8_t)i;
	}
	head.entry_count = MANY;
	der = made(&head, entries);
	assert_true(der.len > 0x10000);
	assert_int_equal(kt_crl_decode(der, ca_der, &seen), KT_ERR_OK);
	assert_int_equal(seen.entry_count, MANY);
	assert_int_equal(openssl_count(der, "Serial Number"), MANY);
	assert_int_equal(openssl_count(der, "Superseded"), MANY / 2);
	drop(der);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_list_to_the_byte),
		cmocka_unit_test(without_entries_the_list_is_absent),
		cmocka_unit_test(each_reason_has_its_number),
		cmocka_unit_test(reads_back_what_it_wrote),
		cmocka_unit_test(another_ca_s_list_is_not_believed),
		cmocka_unit_test(a_list_of_another_key_is_not_believed),
		cmocka_unit_test(no_changed_list_passes),
		cmocka_unit_test(a_number_that_is_none_of_ours_is_told_apart),
		cmocka_unit_test(a_file_without_a_list_is_told_apart),
		cmocka_unit_test(refuses_a_head_that_no_reader_could_use),
		cmocka_unit_test(whatever_allocation_fails_nothing_is_left),
		cmocka_unit_test(whatever_allocation_fails_in_reading_is_an_error),
		cmocka_unit_test(openssl_reads_it),
		cmocka_unit_test(openssl_reads_twelve_thousand_entries),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
