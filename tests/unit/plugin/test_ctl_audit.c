/* What keyturnctl proves with signed heads, and what it shows of a ledger. */
#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "encoding.h"
#include "failing_alloc.h"
#include "fake_ctl.h"
#include "ledger.h"
#include "records.h"
#include "temp_dir.h"
#include "vector_file.h"
#include "worker.h"

#define TD   "fleet.example"
#define ROOT KT_VECTORS "/pki/root.pem"

enum { RECORDS = 5, NAME_LEN = 96, LINE_CAP = 640, TEXT_CAP = 8192 };

struct world {
	char dir[64];
	char ledger[NAME_LEN];
	char heads[NAME_LEN];
	uint8_t hash[RECORDS + 1][32]; /* of record n */
	struct kt_bench *bench;
	struct fake_ctl fake;
};

/* --- what the tests stand on --- */

static void write_file(const char *path, const char *mode, const char *text)
{
	FILE *file = fopen(path, mode);

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static char *read_text(const char *path)
{
	char *text = calloc(1, TEXT_CAP);
	FILE *file = fopen(path, "r");

	assert_non_null(text);
	assert_non_null(file);
	assert_in_range(fread(text, 1, TEXT_CAP - 1, file), 1, TEXT_CAP - 2);
	assert_int_equal(fclose(file), 0);
	return text;
}

static struct kt_bench *new_bench(const char *trust_domain)
{
	struct kt_signing signing = {.trust_domain = trust_domain};
	struct kt_secret *keys[2];
	uint8_t *storage[2];
	struct kt_bench *bench = NULL;
	static const char *const names[] = {"pki/issuing", "pki/controller"};

	for (size_t i = 0; i < 2; i++) {
		struct kt_bytes *der =
			i == 0 ? &signing.issuer_cert_der : &signing.controller_cert_der;
		char name[64];
		char *text;
		size_t count = 0;

		(void)snprintf(name, sizeof(name), "%s.pem", names[i]);
		text = vector_file_load(name);
		assert_non_null(text);
		assert_int_equal(kt_pem_certs((const uint8_t *)text, strlen(text), der, 1, &count,
					      &storage[i]),
				 KT_ERR_OK);
		free(text);
		(void)snprintf(name, sizeof(name), "%s.key", names[i]);
		text = vector_file_load(name);
		assert_non_null(text);
		assert_int_equal(kt_secret_copy((const uint8_t *)text, strlen(text), &keys[i]),
				 KT_ERR_OK);
		free(text);
	}
	signing.issuer_key_pem = keys[0];
	signing.controller_key_pem = keys[1];
	assert_int_equal(kt_bench_new(&signing, &bench), KT_ERR_OK);
	for (size_t i = 0; i < 2; i++) {
		kt_secret_free(keys[i]);
		free(storage[i]);
	}
	return bench;
}

static enum kt_err keep_hash(void *arg, const struct kt_record *record,
			     const uint8_t hash[static 32])
{
	struct world *w = arg;

	assert_in_range(record->seq, 1, RECORDS);
	memcpy(w->hash[record->seq], hash, 32);
	return KT_ERR_OK;
}

/* ledger.begin, hub-1 and hub-2, one quarantined and released; @note makes it another one. */
static void write_ledger(struct world *w, const char *note)
{
	struct kt_registry *registry = registry_begun();
	struct kt_record records[RECORDS] = {record_begin()};
	const struct kt_record *list[RECORDS];
	struct kt_ledger_state state = {0};
	struct kt_ledger *ledger = NULL;
	uint64_t bad_line = 0;

	(void)snprintf(records[0].trust_domain, sizeof(records[0].trust_domain), TD);
	for (size_t i = 1; i < RECORDS; i++) {
		static const enum kt_record_kind kinds[RECORDS] = {
			KT_RECORD_LEDGER_BEGIN, KT_RECORD_DEVICE_CREATE, KT_RECORD_DEVICE_CREATE,
			KT_RECORD_QUARANTINE, KT_RECORD_RELEASE};
		static const char *const ids[RECORDS] = {NULL, "hub-1", "hub-2", "hub-1", "hub-1"};

		records[i] = record_for(registry, kinds[i], ids[i], (uint32_t)i);
		(void)snprintf(records[i].actor, sizeof(records[i].actor),
			       i == 3 ? "op:alice" : "op:bob");
		if (kinds[i] == KT_RECORD_QUARANTINE)
			(void)snprintf(records[i].note, sizeof(records[i].note), "%s", note);
		take(registry, &records[i]);
	}
	for (size_t i = 0; i < RECORDS; i++)
		list[i] = &records[i];
	(void)unlink(w->ledger);
	assert_int_equal(kt_ledger_open(kt_fs_posix(), w->dir, &state, &ledger), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(ledger, list, RECORDS, &state), KT_ERR_OK);
	kt_ledger_close(ledger);
	kt_registry_free(registry);
	assert_int_equal(kt_ledger_scan(kt_fs_posix(), w->dir, keep_hash, w, &state, &bad_line),
			 KT_ERR_OK);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	temp_dir_make(w->dir);
	(void)snprintf(w->ledger, sizeof(w->ledger), "%s/ledger.kt", w->dir);
	(void)snprintf(w->heads, sizeof(w->heads), "%s/heads.jsonl", w->dir);
	w->bench = new_bench(TD);
	write_ledger(w, "a look");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	fake_ctl_clear(&w->fake);
	kt_bench_free(w->bench);
	temp_dir_remove(w->dir);
	free(w);
	return 0;
}

/* A head of record @seq with @hash, made @after_s seconds after the records' beginning. */
static char *signed_head(struct kt_bench *bench, uint64_t seq, const uint8_t hash[static 32],
			 int64_t after_s)
{
	struct kt_job *job = kt_job_new(KT_JOB_HEAD, 0);
	char *text;

	assert_non_null(job);
	job->head.seq = seq;
	memcpy(job->head.hash, hash, 32);
	job->head.time_us = TIME_0 + after_s * 1000000;
	kt_job_run(bench, job);
	assert_int_equal(job->err, KT_ERR_OK);
	text = strdup(job->sealed);
	assert_non_null(text);
	kt_job_free(job);
	return text;
}

static void add_head(const struct world *w, uint64_t seq)
{
	char *text = signed_head(w->bench, seq, w->hash[seq], (int64_t)seq);

	write_file(w->heads, "a", text);
	write_file(w->heads, "a", "\n");
	free(text);
}

static enum kt_ctl_exit run(struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static enum kt_ctl_exit run(struct world *w, const char *format, ...)
{
	char line[LINE_CAP];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fake_ctl_clear(&w->fake);
	w->fake = (struct fake_ctl){0};
	return fake_ctl_run(&w->fake, line);
}

static enum kt_ctl_exit verify(struct world *w)
{
	return run(w, "audit verify %s --heads %s --root " ROOT, w->dir, w->heads);
}

static void assert_out(const struct world *w, const char *text)
{
	if (strstr(w->fake.out, text) == NULL)
		fail_msg("not on stdout: %s\nbut: %s", text, w->fake.out);
}

static void assert_err(const struct world *w, const char *text)
{
	if (strstr(w->fake.err, text) == NULL)
		fail_msg("not on stderr: %s\nbut: %s", text, w->fake.err);
}

/* Line @number of the ledger is gone; its text. */
static char *take_line_out(const struct world *w, size_t number)
{
	char *text = read_text(w->ledger);
	char *at = text;
	char *end;
	char *line;

	for (size_t i = 1; i < number; i++)
		at = strchr(at, '\n') + 1;
	end = strchr(at, '\n') + 1;
	line = strndup(at, (size_t)(end - at));
	assert_non_null(line);
	memmove(at, end, strlen(end) + 1);
	write_file(w->ledger, "w", text);
	free(text);
	return line;
}

/* --- heads that hold --- */

static void every_head_that_was_signed_holds(void **state)
{
	struct world *w = *state;

	add_head(w, 2);
	add_head(w, 4);
	add_head(w, 1); /* in any order */
	assert_int_equal(verify(w), KT_CTL_EXIT_OK);
	assert_string_equal(w->fake.err, "");
	assert_out(w, "verdict                whole\n");
	assert_out(w, "signed heads           3\n");
	assert_out(w, "proven up to           record 4, 2023-11-14T22:13:24Z\n");
	assert_int_equal(
		run(w, "audit verify %s --heads %s --root " ROOT " --json", w->dir, w->heads),
		KT_CTL_EXIT_OK);
	assert_out(w, "{\"verdict\":\"whole\",\"records\":\"5\",");
	assert_out(w,
		   ",\"heads\":\"3\",\"signedUpTo\":\"4\",\"signedTime\":\"1700000004000000\"}\n");
}

static void several_files_are_read_and_blank_lines_passed_over(void **state)
{
	struct world *w = *state;
	char other[NAME_LEN];
	char *text = signed_head(w->bench, 5, w->hash[5], 5);

	(void)snprintf(other, sizeof(other), "%s/one.json", w->dir);
	write_file(other, "w", text); /* as a client saved it, without a line end */
	free(text);
	add_head(w, 2);
	write_file(w->heads, "a", "\n\n");
	add_head(w, 3);
	assert_int_equal(run(w, "audit verify --heads %s --heads %s --root " ROOT " %s", other,
			     w->heads, w->dir),
			 KT_CTL_EXIT_OK);
	assert_out(w, "signed heads           3\n");
	assert_out(w, "proven up to           record 5, ");
}

/* What a power cut leaves; in the middle it is no power cut. */
static void half_a_line_at_the_end_is_no_alarm(void **state)
{
	struct world *w = *state;

	add_head(w, 2);
	write_file(w->heads, "a", "{\"protected\":\"eyJhbG");
	assert_int_equal(verify(w), KT_CTL_EXIT_OK);
	assert_out(w, "signed heads           1\n");
	write_file(w->heads, "a", "\n");
	assert_int_equal(verify(w), KT_CTL_EXIT_FORGED);
	assert_err(w, "heads.jsonl, line 2: forged: it is no signed head\n");
}

static void no_head_proves_nothing_and_is_said(void **state)
{
	struct world *w = *state;

	write_file(w->heads, "w", "");
	assert_int_equal(verify(w), KT_CTL_EXIT_LOCAL);
	assert_err(w, "heads.jsonl: there is no signed head in it\n");
	assert_string_equal(w->fake.out, "");
	assert_int_equal(unlink(w->heads), 0);
	assert_int_equal(verify(w), KT_CTL_EXIT_LOCAL);
	assert_string_equal(w->fake.out, "");
	add_head(w, 1);
	assert_int_equal(run(w, "audit verify %s --heads %s --root /no/such", w->dir, w->heads),
			 KT_CTL_EXIT_LOCAL);
	assert_int_equal(run(w, "audit verify %s --heads %s --root %s", w->dir, w->heads, w->heads),
			 KT_CTL_EXIT_LOCAL);
	assert_err(w, "heads.jsonl: must hold exactly one certificate in PEM: ");
	assert_int_equal(run(w, "audit verify %s --heads %s --config /no/such", w->dir, w->heads),
			 KT_CTL_EXIT_LOCAL);
}

/* --- what was done to the ledger --- */

static void a_ledger_without_its_end_is_found_out(void **state)
{
	struct world *w = *state;

	add_head(w, 3);
	add_head(w, 5);
	free(take_line_out(w, 5));
	free(take_line_out(w, 4));
	assert_int_equal(run(w, "audit verify %s", w->dir), KT_CTL_EXIT_OK);
	assert_int_equal(verify(w), KT_CTL_EXIT_DISPROVED);
	assert_out(w, "verdict                truncated\n");
	assert_out(w, "proven up to           record 3, ");
	assert_err(w, "heads.jsonl, line 2: truncated: the signed head says that record 5 existed "
		      "on 2023-11-14T22:13:25Z; the ledger ends at record 3\n");
	assert_null(strstr(w->fake.err, "line 1"));
}

static void a_ledger_of_which_nothing_is_left_is_found_out(void **state)
{
	struct world *w = *state;

	add_head(w, 1);
	write_file(w->ledger, "w", "");
	assert_int_equal(verify(w), KT_CTL_EXIT_DISPROVED);
	assert_err(w, "record 1 existed on 2023-11-14T22:13:21Z; the ledger ends at record 0\n");
}

/* The last line, changed, looks like a write that was not finished. */
static void a_changed_last_record_is_found_out(void **state)
{
	struct world *w = *state;
	char *text = read_text(w->ledger);

	add_head(w, 5);
	memcpy(strrchr(text, '}') - 2, "x", 1);
	write_file(w->ledger, "w", text);
	free(text);
	assert_int_equal(run(w, "audit verify %s", w->dir), KT_CTL_EXIT_OK);
	assert_int_equal(verify(w), KT_CTL_EXIT_DISPROVED);
	assert_err(w, "; the ledger ends at record 4\n");
}

static void a_ledger_written_anew_is_found_out(void **state)
{
	struct world *w = *state;
	char was[65];
	char is[65];
	char text[LINE_CAP];

	add_head(w, 3);
	add_head(w, 4);
	assert_int_equal(kt_hex_encode(w->hash[4], 32, was, sizeof(was)), KT_ERR_OK);
	write_ledger(w, "nothing happened");
	assert_int_equal(kt_hex_encode(w->hash[4], 32, is, sizeof(is)), KT_ERR_OK);
	assert_int_equal(run(w, "audit verify %s", w->dir), KT_CTL_EXIT_OK);
	assert_int_equal(verify(w), KT_CTL_EXIT_DISPROVED);
	assert_out(w, "verdict                rewritten\n");
	assert_out(w, "proven up to           record 3, ");
	(void)snprintf(text, sizeof(text),
		       "heads.jsonl, line 2: rewritten: the signed head says that record 4 had the "
		       "hash %s on 2023-11-14T22:13:24Z; the ledger's has %s\n",
		       was, is);
	assert_err(w, text);
}

/* The chain alone shows these, and each in other words. */
static void edited_removed_and_reordered_have_their_own_words(void **state)
{
	struct world *w = *state;
	char *whole = read_text(w->ledger);
	char *line;
	char *at;

	add_head(w, 5);
	line = take_line_out(w, 3);
	assert_int_equal(verify(w), KT_CTL_EXIT_FAILED);
	assert_err(w, "line 3 of ");
	assert_err(w, "(record 3) does not verify: its number is not the next one, which is "
		      "nowhere: a record was removed, or one was put in. ");
	write_file(w->ledger, "a", line);
	free(line);
	assert_int_equal(verify(w), KT_CTL_EXIT_FAILED);
	assert_err(w, "(record 3) does not verify: its number is not the next one, which stands "
		      "further behind: records were put in another order. ");
	at = strstr(whole, "hub-1");
	assert_non_null(at);
	at[4] = '7';
	write_file(w->ledger, "w", whole);
	assert_int_equal(verify(w), KT_CTL_EXIT_FAILED);
	assert_err(w, "(record 2) does not verify: its hash is not that of its text. ");
	free(whole);
}

/* --- what was done to a head --- */

static void a_head_under_another_root_is_forged(void **state)
{
	struct world *w = *state;

	add_head(w, 5);
	assert_int_equal(run(w,
			     "audit verify %s --heads %s --root " KT_VECTORS "/pki/other-root.pem",
			     w->dir, w->heads),
			 KT_CTL_EXIT_FORGED);
	assert_out(w, "verdict                forged\n");
	assert_err(w, "heads.jsonl, line 1: forged: the head of record 5 is not signed by a "
		      "controller of " TD " under " KT_VECTORS "/pki/other-root.pem\n");
	assert_null(strstr(w->fake.out, "proven up to"));
}

static void a_head_with_another_signature_is_forged(void **state)
{
	struct world *w = *state;
	char *a = signed_head(w->bench, 5, w->hash[5], 5);
	char *b = signed_head(w->bench, 4, w->hash[4], 4);
	char *sig_a = strstr(a, "\"signature\"");
	const char *sig_b = strstr(b, "\"signature\"");

	memcpy(sig_a, sig_b, strlen(sig_b));
	write_file(w->heads, "w", a);
	assert_int_equal(verify(w), KT_CTL_EXIT_FORGED);
	assert_err(w, "line 1: forged: the head of record 5 is not signed by a controller of ");
	free(a);
	free(b);
}

static void a_head_of_another_domain_is_foreign(void **state)
{
	struct world *w = *state;
	struct kt_bench *bench = new_bench("other.example");
	char *text = signed_head(bench, 5, w->hash[5], 5);

	write_file(w->heads, "w", text);
	assert_int_equal(verify(w), KT_CTL_EXIT_FORGED);
	assert_out(w, "verdict                foreign\n");
	assert_err(w, "heads.jsonl, line 1: foreign: the head is of trust domain other.example, "
		      "the ledger of " TD "\n");
	free(text);
	kt_bench_free(bench);
}

static void something_else_is_no_head(void **state)
{
	struct world *w = *state;

	write_file(w->heads, "w",
		   "{\"protected\":\"\",\"payload\":\"\",\"signature\":\"\"}\nyes\n");
	assert_int_equal(verify(w), KT_CTL_EXIT_FORGED);
	assert_err(w, "heads.jsonl, line 1: forged: it is no signed head\n");
	assert_err(w, "heads.jsonl, line 2: forged: it is no signed head\n");
}

/* A forged head beside a ledger that was cut: the worse one is the verdict, both are told. */
static void the_worst_is_the_verdict(void **state)
{
	struct world *w = *state;

	add_head(w, 5);
	write_file(w->heads, "a", "x\n");
	free(take_line_out(w, 5));
	assert_int_equal(verify(w), KT_CTL_EXIT_DISPROVED);
	assert_out(w, "verdict                truncated\n");
	assert_err(w, "line 1: truncated: ");
	assert_err(w, "line 2: forged: ");
	assert_int_equal(run(w, "--json audit verify %s --heads %s --root " ROOT, w->dir, w->heads),
			 KT_CTL_EXIT_DISPROVED);
	assert_out(w, "{\"verdict\":\"truncated\",\"records\":\"4\",");
	assert_out(w, ",\"heads\":\"2\",\"signedUpTo\":\"0\",\"signedTime\":\"0\"}\n");
}

static void thousands_that_do_not_hold_are_counted(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 100; i++)
		write_file(w->heads, "a", "x\n");
	assert_int_equal(verify(w), KT_CTL_EXIT_FORGED);
	assert_err(w, "keyturnctl: and 80 heads more that do not hold\n");
}

/* --- show, export --- */

static void shows_a_record_in_a_line(void **state)
{
	struct world *w = *state;

	assert_int_equal(run(w, "audit show %s", w->dir), KT_CTL_EXIT_OK);
	assert_string_equal(w->fake.err, "");
	assert_out(w, "2023-11-14T22:13:21Z 1 actor=keyturn kind=ledger.begin "
		      "trust_domain=" TD "\n");
	assert_out(w, "\n2023-11-14T22:13:24Z 4 actor=op:alice kind=quarantine device=hub-1 "
		      "note=\"a look\"\n");
	assert_null(strstr(w->fake.out, "prev="));
	assert_null(strstr(w->fake.out, "seq="));
}

static void shows_times_as_times(void **state)
{
	struct world *w = *state;

	assert_int_equal(run(w, "audit show " KT_VECTORS "/formats/ledger-v1.kt --kind issue"),
			 KT_CTL_EXIT_OK);
	assert_out(w, " not_after=9999-12-31T23:59:59Z");
	assert_null(strstr(w->fake.out, "der="));
	assert_int_equal(run(w, "audit show " KT_VECTORS "/formats/ledger-v1.kt"), KT_CTL_EXIT_OK);
	assert_out(w, " deadline=2");
	assert_out(w, " expires=2");
}

static unsigned count_lines(const char *text)
{
	unsigned count = 0;

	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

static void each_filter_leaves_its_own(void **state)
{
	static const struct {
		const char *filter;
		unsigned count;
	} cases[] = {
		{"--since 1970-01-01", 5},
		{"--device hub-1", 3},
		{"--device hub-2", 1},
		{"--device hub-3", 0},
		{"--device hub", 0},
		{"--actor op:alice", 1},
		{"--actor op:bob", 3},
		{"--actor op:Bob", 0},
		{"--kind device.create", 2},
		{"--kind revoke", 0},
		{"--device hub-1 --kind device.create", 1},
		{"--device hub-1 --actor op:bob", 2},
		{"--since 2023-11-14T22:13:23Z", 3}, /* record n is of second n */
		{"--until 2023-11-14T22:13:23Z", 2},
		{"--since 2023-11-14T22:13:22Z --until 2023-11-14T22:13:23Z", 1},
		{"--since 2023-11-14", 5},
		{"--since 2023-11-15", 0},
		{"--until 2023-11-14", 0},
		{"--until 2023-11-15", 5},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (run(w, "audit show %s %s", w->dir, cases[i].filter) != KT_CTL_EXIT_OK)
			fail_msg("%s: %s", cases[i].filter, w->fake.err);
		if (count_lines(w->fake.out) != cases[i].count)
			fail_msg("%s: %s", cases[i].filter, w->fake.out);
		assert_int_equal(run(w, "audit export %s %s", w->dir, cases[i].filter),
				 KT_CTL_EXIT_OK);
		assert_int_equal(count_lines(w->fake.out), cases[i].count);
	}
}

static void a_member_of_a_campaign_is_about_its_device(void **state)
{
	struct world *w = *state;

	assert_int_equal(run(w, "audit show " KT_VECTORS
				"/formats/ledger-v1.kt --kind campaign.add --device hub"),
			 KT_CTL_EXIT_OK);
	assert_string_equal(w->fake.out, "");
}

/* Hash, blank, text of the ledger's line: the same bytes. */
static void exports_the_records_own_text_and_hash(void **state)
{
	struct world *w = *state;
	char *line;
	char expected[LINE_CAP * 2];

	assert_int_equal(run(w, "audit export %s --kind quarantine", w->dir), KT_CTL_EXIT_OK);
	line = take_line_out(w, 4);
	line[strlen(line) - 1] = '\0';
	(void)snprintf(expected, sizeof(expected), "{\"hash\":\"%.64s\",\"record\":%s}\n", line,
		       line + 65);
	assert_string_equal(w->fake.out, expected);
	free(line);
}

static void json_of_show_is_the_export(void **state)
{
	struct world *w = *state;
	char *exported;

	assert_int_equal(run(w, "audit export %s", w->dir), KT_CTL_EXIT_OK);
	exported = strdup(w->fake.out);
	assert_non_null(exported);
	assert_int_equal(run(w, "--json audit show %s", w->dir), KT_CTL_EXIT_OK);
	assert_string_equal(w->fake.out, exported);
	free(exported);
}

static void every_kind_of_record_is_shown_and_exported(void **state)
{
	struct world *w = *state;

	assert_int_equal(run(w, "audit show " KT_VECTORS "/formats/ledger-v1.kt"), KT_CTL_EXIT_OK);
	assert_int_equal(count_lines(w->fake.out), STORY_COUNT);
	assert_int_equal(run(w, "audit export " KT_VECTORS "/formats/ledger-v1.kt"),
			 KT_CTL_EXIT_OK);
	assert_int_equal(count_lines(w->fake.out), STORY_COUNT);
}

/* What stands before the fault is shown, and nobody takes it for all. */
static void a_ledger_that_is_not_whole_is_shown_up_to_there(void **state)
{
	struct world *w = *state;

	free(take_line_out(w, 3));
	assert_int_equal(run(w, "audit show %s", w->dir), KT_CTL_EXIT_FAILED);
	assert_int_equal(count_lines(w->fake.out), 2);
	assert_err(w, "(record 3) does not verify: ");
	assert_int_equal(run(w, "audit export /no/such/dir"), KT_CTL_EXIT_LOCAL);
	assert_err(w, "there is no ledger");
}

static void without_memory_nothing_is_proven(void **state)
{
	struct world *w = *state;
	const char *const verbs[] = {"verify", "show", "export"};

	add_head(w, 2);
	add_head(w, 5);
	for (size_t i = 0; i < 3; i++) {
		bool has_failed = true;
		char *whole = NULL;

		for (size_t n = 0; has_failed; n++) {
			enum kt_ctl_exit code;

			assert_in_range(n, 0, 5000);
			if (n > 0)
				failing_alloc_set(n);
			code = i == 0 ? verify(w) : run(w, "audit %s %s", verbs[i], w->dir);
			if (n > 0)
				has_failed = failing_alloc_end();
			else
				whole = strdup(w->fake.out);
			if (code == KT_CTL_EXIT_LOCAL
				    ? w->fake.err[0] == '\0'
				    : code != KT_CTL_EXIT_OK || strcmp(w->fake.out, whole) != 0)
				fail_msg("%s, allocation %zu: exit %d: %s%s", verbs[i], n,
					 (int)code, w->fake.out, w->fake.err);
		}
		free(whole);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_head_that_was_signed_holds),
		T(several_files_are_read_and_blank_lines_passed_over),
		T(half_a_line_at_the_end_is_no_alarm),
		T(no_head_proves_nothing_and_is_said),
		T(a_ledger_without_its_end_is_found_out),
		T(a_ledger_of_which_nothing_is_left_is_found_out),
		T(a_changed_last_record_is_found_out),
		T(a_ledger_written_anew_is_found_out),
		T(edited_removed_and_reordered_have_their_own_words),
		T(a_head_under_another_root_is_forged),
		T(a_head_with_another_signature_is_forged),
		T(a_head_of_another_domain_is_foreign),
		T(something_else_is_no_head),
		T(the_worst_is_the_verdict),
		T(thousands_that_do_not_hold_are_counted),
		T(shows_a_record_in_a_line),
		T(shows_times_as_times),
		T(each_filter_leaves_its_own),
		T(a_member_of_a_campaign_is_about_its_device),
		T(exports_the_records_own_text_and_hash),
		T(json_of_show_is_the_export),
		T(every_kind_of_record_is_shown_and_exported),
		T(a_ledger_that_is_not_whole_is_shown_up_to_there),
		T(without_memory_nothing_is_proven),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_audit", tests, NULL, NULL);
}
