/* keyturnctl import: out of files, in batches, each certificate told of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cert_maker.h"
#include "ctl.h"
#include "fake_ctl.h"
#include "temp_dir.h"

#define FP "abababababababababababababababababababababababababababababababab"
#define ROW(n, data)                                                                               \
	"{\"command\":\"importCertificate\",\"correlationData\":\"" FAKE_CTL_TOKEN "-" n           \
	"\"," data "}"
#define DONE	     "\"data\":{\"fp\":\"" FP "\",\"canRotate\":true,\"known\":false}"
#define SOME	     "\"data\":{\"fp\":\"" FP "\",\"canRotate\":false,\"known\":false}"
#define SEEN	     "\"data\":{\"fp\":\"" FP "\",\"canRotate\":true,\"known\":true}"
#define NO	     "\"error\":\"key.known\",\"detail\":\"the key belongs to a device already\""
#define ANSWER(rows) "{\"responses\":[" rows "]}"

static struct kt_crypto *crypto;
static struct kt_key *key;

struct place {
	char dir[64];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	temp_dir_make(p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	temp_dir_remove(p->dir);
	free(p);
	return 0;
}

static void put(const struct place *p, const char *name, const void *bytes, size_t len,
		const char *mode)
{
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	file = fopen(path, mode);
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct made_cert cert_of(const char *name, bool is_ca)
{
	struct cert_plan plan = is_ca ? cert_plan_ca(name, key, name, key)
				      : cert_plan_leaf(name, key, "plant", key);

	return make_cert(crypto, &plan);
}

static void put_pem(const struct place *p, const char *file, const char *name, bool is_ca)
{
	const struct made_cert cert = cert_of(name, is_ca);
	char *pem = NULL;

	assert_int_equal(kt_pem_from_cert(cert.der, cert.len, &pem), KT_ERR_OK);
	put(p, file, pem, strlen(pem), "a");
	free(pem);
}

static enum kt_ctl_exit run(const struct place *p, struct fake_ctl *fake, const char *before,
			    const char *what)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "import %s%s%s", before, p->dir, what);
	return fake_ctl_run(fake, line);
}

static void a_directory_is_sent_in_one_batch_and_each_is_told_of(void **state)
{
	struct place *p = *state;
	const struct made_cert der = cert_of("hub-3", false);
	struct fake_ctl fake = {
		.text = {ANSWER(ROW("0", DONE) "," ROW("1", SOME) "," ROW("2", NO))}};

	put_pem(p, "a.pem", "hub-1", false);
	put_pem(p, "a.pem", "plant", true); /* its issuer behind it */
	put_pem(p, "b.CRT", "hub-2", false);
	put(p, "c.der", der.der, der.len, "w");
	put(p, "d.pem", "no certificate, and no key", 26, "w");
	put(p, "notes.txt", "x", 1, "w");
	assert_int_equal(run(p, &fake, "--group plant ", ""), KT_CTL_EXIT_REFUSED);
	assert_int_equal(fake.sent_count, 1);
	assert_non_null(strstr(fake.sent[0],
			       "\"device\":\"hub-1\",\"group\":\"plant\",\"certificate\":\""));
	assert_non_null(strstr(fake.sent[0], "\"device\":\"hub-3\""));
	assert_null(strstr(fake.sent[0], "\"check\""));
	assert_non_null(strstr(fake.out, "/a.pem: hub-1 imported\n"));
	assert_non_null(strstr(fake.out, "/a.pem: skipped: a CA's certificate\n"));
	assert_non_null(strstr(fake.out, "/b.CRT: hub-2 imported, moves over with a ticket alone"));
	assert_non_null(
		strstr(fake.err, "/c.der: key.known: the key belongs to a device already\n"));
	assert_non_null(strstr(fake.err, "/d.pem: cert.syntax: the certificate cannot be read\n"));
	assert_non_null(strstr(fake.out, "imported 2, known already 0, refused 2, skipped 1\n"));
	fake_ctl_clear(&fake);
}

static void what_is_known_already_is_no_failure(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {ANSWER(ROW("0", SEEN))}};

	put_pem(p, "a.pem", "hub-1", false);
	assert_int_equal(run(p, &fake, "--json ", "/a.pem"), KT_CTL_EXIT_OK);
	assert_non_null(strstr(fake.out, "\"device\":\"hub-1\",\"fp\":\"" FP
					 "\",\"known\":true,\"canRotate\":true}],\"imported\":0,"
					 "\"known\":1,\"refused\":0,\"skipped\":0}"));
	fake_ctl_clear(&fake);
}

static void a_check_asks_for_no_more_than_that(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {ANSWER(ROW("0", DONE))}};

	put_pem(p, "a.pem", "hub-1", false);
	assert_int_equal(run(p, &fake, "--check ", ""), KT_CTL_EXIT_OK);
	assert_non_null(strstr(fake.sent[0], "\"check\":true"));
	assert_non_null(strstr(fake.out, "hub-1 can be imported\ncan be imported 1, "));
	fake_ctl_clear(&fake);
}

static void the_id_can_be_the_file_s_name_and_must_be_one(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {ANSWER(ROW("0", DONE))}};

	put_pem(p, "hub-9.pem", "not an id", false);
	assert_int_equal(run(p, &fake, "", ""), KT_CTL_EXIT_REFUSED);
	assert_int_equal(fake.sent_count, 0);
	assert_non_null(
		strstr(fake.err, "json.field: its common name 'not an id' is no device id"));
	fake_ctl_clear(&fake);
	fake = (struct fake_ctl){.text = {ANSWER(ROW("0", DONE))}};
	assert_int_equal(run(p, &fake, "--id-from san ", ""), KT_CTL_EXIT_REFUSED);
	assert_non_null(strstr(fake.err, "json.field: it has not exactly one DNS name"));
	fake_ctl_clear(&fake);
	fake = (struct fake_ctl){.text = {ANSWER(ROW("0", DONE))}};
	assert_int_equal(run(p, &fake, "--id-from filename ", ""), KT_CTL_EXIT_OK);
	assert_non_null(strstr(fake.sent[0], "\"device\":\"hub-9\""));
	fake_ctl_clear(&fake);
}

static void of_two_for_one_device_the_second_one_is_not_sent(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {ANSWER(ROW("0", DONE))}};

	put_pem(p, "a.pem", "hub-1", false);
	put_pem(p, "b.pem", "HUB-1", false);
	put_pem(p, "c.pem", "hub-1", false);
	assert_int_equal(run(p, &fake, "", ""), KT_CTL_EXIT_REFUSED);
	assert_non_null(strstr(fake.out, "imported 1, known already 0, refused 2, skipped 0\n"));
	assert_non_null(strstr(fake.err, "/c.pem: exists: hub-1 is in "));
	fake_ctl_clear(&fake);
}

static void more_than_a_hundred_go_in_several_batches(void **state)
{
	struct place *p = *state;
	char *text = calloc(101, 256);
	struct fake_ctl fake = {.text = {text, ANSWER(ROW("0", DONE))}};
	size_t len = 0;

	for (int i = 0; i < 101; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "hub-%03d", i);
		put_pem(p, "all.pem", name, false);
	}
	for (int i = 0; i < 2000; i++) /* as large as a fleet's file is */
		put(p, "all.pem", "what openssl x509 -text writes in front of a certificate\n", 57,
		    "a");
	len = (size_t)snprintf(text, 256, "{\"responses\":[");
	for (int i = 0; i < 100; i++)
		len += (size_t)snprintf(text + len, 256, ROW("%d", "%s") "%s", i, DONE,
					i < 99 ? "," : "]}");
	assert_int_equal(run(p, &fake, "", ""), KT_CTL_EXIT_OK);
	assert_int_equal(fake.sent_count, 2);
	assert_non_null(strstr(fake.sent[0], "\"hub-099\""));
	assert_null(strstr(fake.sent[0], "\"hub-100\""));
	assert_non_null(strstr(fake.sent[1], "\"hub-100\""));
	assert_non_null(strstr(fake.out, "imported 101, known already 0, refused 0, skipped 0\n"));
	fake_ctl_clear(&fake);
	free(text);
}

static void what_was_done_is_told_also_when_an_answer_is_missing(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {NULL}};

	put_pem(p, "a.pem", "hub-1", false);
	assert_int_equal(run(p, &fake, "", ""), KT_CTL_EXIT_TIMEOUT);
	assert_non_null(strstr(fake.out, "imported 0, known already 0, refused 0, skipped 0\n"));
	fake_ctl_clear(&fake);
	fake = (struct fake_ctl){.text = {ANSWER(ROW("0", "\"data\":{\"fp\":\"" FP "\"}"))}};
	assert_int_equal(run(p, &fake, "", ""), KT_CTL_EXIT_LOCAL);
	fake_ctl_clear(&fake);
}

static void a_file_that_is_not_there_is_named(void **state)
{
	struct place *p = *state;
	struct fake_ctl fake = {.text = {NULL}};

	assert_int_equal(run(p, &fake, "", "/none.pem"), KT_CTL_EXIT_REFUSED);
	assert_int_equal(fake.sent_count, 0);
	assert_non_null(strstr(fake.err, "/none.pem: file: "));
	fake_ctl_clear(&fake);
	fake = (struct fake_ctl){.text = {NULL}};
	assert_int_equal(run(p, &fake, "--id-from serial ", ""), KT_CTL_EXIT_USAGE);
	assert_non_null(strstr(fake.err, "--id-from serial: not cn, filename or san"));
	fake_ctl_clear(&fake);
}

static int make_key(void **state)
{
	(void)state;
	return kt_crypto_new(&crypto) == KT_ERR_OK &&
			       kt_key_new(crypto, KT_ALG_ES256, &key) == KT_ERR_OK
		       ? 0
		       : -1;
}

static int free_key(void **state)
{
	(void)state;
	kt_key_free(key);
	kt_crypto_free(crypto);
	return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_directory_is_sent_in_one_batch_and_each_is_told_of),
		T(what_is_known_already_is_no_failure),
		T(a_check_asks_for_no_more_than_that),
		T(the_id_can_be_the_file_s_name_and_must_be_one),
		T(of_two_for_one_device_the_second_one_is_not_sent),
		T(more_than_a_hundred_go_in_several_batches),
		T(what_was_done_is_told_also_when_an_answer_is_missing),
		T(a_file_that_is_not_there_is_named),
	};
#undef T
	return cmocka_run_group_tests(tests, make_key, free_key);
}
