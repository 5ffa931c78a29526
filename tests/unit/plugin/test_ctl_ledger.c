/* What keyturnctl says of a ledger that is whole, torn, altered, empty or not there. */
#include "ctl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "fake_ctl.h"
#include "ledger.h"
#include "records.h"
#include "temp_dir.h"
#include "vector_file.h"

enum { LINES = 52, NAME_MAX_LEN = 80, LINE_CAP = 256 };

#define HEAD "e457269a6706acb9c58270c126d4ee007ad577cac02778bdc1c8202337bcacda"
/* of the record before the last one: the last one's "prev" */
#define HEAD_BEFORE "59a09d38e"
#define ALTERED	    ". The ledger was altered, or its disk is damaged\n"

/* --- a ledger on the disk --------------------------------------------------------------------- */

/* A vector with its last line end. */
static char *load_ledger(const char *path)
{
	char *text = vector_file_load(path);
	size_t len = 0;

	assert_non_null(text);
	len = strlen(text);
	assert_in_range(len, 1, VECTOR_FILE_MAX - 2);
	text[len] = '\n';
	text[len + 1] = '\0';
	return text;
}

struct world {
	char dir[64];
	char file[NAME_MAX_LEN];
	char verify[NAME_MAX_LEN]; /* the command line */
	char *text;		   /* LINES records, each with its line end */
	size_t len;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	temp_dir_make(w->dir);
	(void)snprintf(w->file, sizeof(w->file), "%s/ledger.kt", w->dir);
	(void)snprintf(w->verify, sizeof(w->verify), "ledger verify %s", w->dir);
	w->text = load_ledger("formats/ledger-v1.kt");
	w->len = strlen(w->text);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	temp_dir_remove(w->dir);
	free(w->text);
	free(w);
	return 0;
}

static void put_file(const struct world *w, const char *text, size_t len)
{
	FILE *file = fopen(w->file, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* The file holds just this. */
static void assert_file(const struct world *w, const char *text, size_t len)
{
	FILE *file = fopen(w->file, "r");
	char *found = malloc(len + 2);

	assert_non_null(file);
	assert_non_null(found);
	assert_int_equal(fread(found, 1, len + 1, file), len);
	assert_memory_equal(found, text, len);
	assert_int_equal(fclose(file), 0);
	free(found);
}

/* Where line @number (from 1) begins; one more than there are: the end. */
static size_t line_at(const struct world *w, size_t number)
{
	const char *at = w->text;

	for (size_t i = 1; i < number; i++) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	return (size_t)(at - w->text);
}

/* The lines whose numbers stand in @numbers (ends in 0), in that order, are the ledger. */
static void put_lines(const struct world *w, const size_t *numbers)
{
	char *text = malloc(w->len * 2);
	size_t len = 0;

	assert_non_null(text);
	for (; *numbers != 0; numbers++) {
		const size_t from = line_at(w, *numbers);
		const size_t size = line_at(w, *numbers + 1) - from;

		memcpy(text + len, w->text + from, size);
		len += size;
	}
	put_file(w, text, len);
	free(text);
}

/* One run, which asks no broker. */
static void assert_verdict(const char *line, enum kt_ctl_exit code, const char *out,
			   const char *err)
{
	struct fake_ctl fake = {0};
	const enum kt_ctl_exit got = fake_ctl_run(&fake, line);

	if (got != code || strcmp(fake.out, out) != 0 || strcmp(fake.err, err) != 0)
		fail_msg("%s: exit %d: %s%s", line, (int)got, fake.out, fake.err);
	assert_string_equal(fake.broker, "");
	fake_ctl_clear(&fake);
}

/* Line @number is the first bad one, in words that begin with @fault ("": any). */
static void assert_bad(const struct world *w, size_t number, const char *fault)
{
	struct fake_ctl fake = {0};
	char line[LINE_CAP];
	char start[LINE_CAP];
	const size_t altered = strlen(ALTERED);

	(void)snprintf(start, sizeof(start),
		       "keyturnctl: line %zu of %s (record %zu) does not verify: %s", number,
		       w->file, number, fault);
	assert_int_equal(fake_ctl_run(&fake, w->verify), KT_CTL_EXIT_FAILED);
	assert_string_equal(fake.out, "");
	if (strncmp(fake.err, start, strlen(start)) != 0 || strlen(fake.err) < altered ||
	    strcmp(fake.err + strlen(fake.err) - altered, ALTERED) != 0)
		fail_msg("not '%s': %s", start, fake.err);
	fake_ctl_clear(&fake);
	(void)snprintf(line, sizeof(line), "--json %s", w->verify);
	(void)snprintf(start, sizeof(start),
		       "{\"verdict\":\"bad\",\"line\":\"%zu\",\"record\":\"%zu\",\"fault\":\"%s",
		       number, number, fault);
	assert_int_equal(fake_ctl_run(&fake, line), KT_CTL_EXIT_FAILED);
	assert_memory_equal(fake.out, start, strlen(start));
	assert_string_equal(fake.broker, "");
	fake_ctl_clear(&fake);
}

static void assert_altered(const struct world *w, size_t number)
{
	assert_bad(w, number, "");
}

/* --- whole ------------------------------------------------------------------------------------ */

static void a_whole_ledger_is_known_by_its_head(void **state)
{
	const struct world *w = *state;
	char line[LINE_CAP];

	put_file(w, w->text, w->len);
	assert_verdict(w->verify, KT_CTL_EXIT_OK,
		       "verdict                whole\n"
		       "records                52\n"
		       "head                   " HEAD "\n"
		       "last record            2023-11-14T22:14:12Z\n"
		       "bytes                  16618\n",
		       "");
	(void)snprintf(line, sizeof(line), "%s --json", w->verify);
	assert_verdict(
		line, KT_CTL_EXIT_OK,
		"{\"verdict\":\"whole\",\"records\":\"52\",\"head\":\"" HEAD
		"\",\"time\":\"1700000052000000\",\"bytes\":\"16618\",\"tornBytes\":\"0\"}\n",
		"");
	assert_file(w, w->text, w->len);
}

/* Nobody can see that from the file alone: the head is for whoever wrote it down. */
static void without_its_last_record_it_has_another_head(void **state)
{
	const struct world *w = *state;
	struct fake_ctl fake = {0};

	put_file(w, w->text, line_at(w, LINES));
	assert_int_equal(fake_ctl_run(&fake, w->verify), KT_CTL_EXIT_OK);
	assert_non_null(strstr(fake.out, "verdict                whole\n"));
	assert_non_null(strstr(fake.out, "records                51\n"));
	assert_non_null(strstr(fake.out, "head                   " HEAD_BEFORE));
	fake_ctl_clear(&fake);
}

static void one_without_any_record_has_no_last_one(void **state)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	const struct world *w = *state;
	char out[LINE_CAP];

	put_file(w, "", 0);
	(void)snprintf(out, sizeof(out),
		       "verdict                whole\n"
		       "records                0\n"
		       "head                   %s\n"
		       "last record            -\n"
		       "bytes                  0\n",
		       zeros);
	assert_verdict(w->verify, KT_CTL_EXIT_OK, out, "");
}

/* --- torn ------------------------------------------------------------------------------------- */

static void a_write_that_was_not_finished_is_no_alarm(void **state)
{
	const struct world *w = *state;
	const size_t last = line_at(w, LINES);
	char line[LINE_CAP];

	(void)snprintf(line, sizeof(line), "%s --json", w->verify);
	for (size_t len = last + 1; len < w->len; len++) {
		struct fake_ctl fake = {0};
		char torn[64];

		put_file(w, w->text, len);
		assert_int_equal(fake_ctl_run(&fake, line), KT_CTL_EXIT_OK);
		assert_non_null(strstr(fake.out, "{\"verdict\":\"torn\",\"records\":\"51\","));
		(void)snprintf(torn, sizeof(torn), "\"tornBytes\":\"%zu\"}\n", len - last);
		assert_non_null(strstr(fake.out, torn));
		assert_string_equal(fake.err, "");
		assert_file(w, w->text, len);
		fake_ctl_clear(&fake);
	}
}

static void what_a_torn_one_means_is_said(void **state)
{
	const struct world *w = *state;
	struct fake_ctl fake = {0};

	put_file(w, w->text, line_at(w, LINES) + 3);
	assert_int_equal(fake_ctl_run(&fake, w->verify), KT_CTL_EXIT_OK);
	assert_non_null(
		strstr(fake.out, "verdict                torn\nrecords                51\n"));
	assert_non_null(strstr(fake.out, "last record            2023-11-14T22:14:11Z\n"));
	assert_non_null(strstr(fake.out,
			       "\n3 bytes behind the last record are no record: a write that was "
			       "not finished, and was never acknowledged. The next start cuts "
			       "them off\n"));
	assert_string_equal(fake.err, "");
	fake_ctl_clear(&fake);
}

/* --- altered ---------------------------------------------------------------------------------- */

static void a_changed_byte_is_found_in_its_line(void **state)
{
	enum { STEP = 97 };
	const struct world *w = *state;
	size_t number = 1;

	for (size_t at = 0; at < line_at(w, LINES); at += STEP) {
		while (at >= line_at(w, number + 1))
			number++;
		w->text[at] ^= 1;
		put_file(w, w->text, w->len);
		w->text[at] ^= 1;
		assert_bad(w, number, "its hash is not that of its text");
	}
	assert_int_equal(number, LINES - 1);
}

static void a_line_end_that_is_gone_is_found(void **state)
{
	const struct world *w = *state;

	for (size_t number = 1; number < LINES; number++) {
		const size_t end = line_at(w, number + 1) - 1;

		w->text[end] = ' ';
		put_file(w, w->text, w->len);
		w->text[end] = '\n';
		assert_altered(w, number);
	}
}

static void records_stand_in_their_order_and_once(void **state)
{
	static const struct {
		size_t numbers[6];
		size_t bad;
	} cases[] = {
		{{2, 3}, 1},	      /* without the first */
		{{1, 3, 4}, 2},	      /* one taken out */
		{{1, 2, 4, 3}, 3},    /* swapped */
		{{1, 2, 2, 3}, 3},    /* twice */
		{{1, 2, 3, 1}, 4},    /* begun again */
		{{1, 2, 3, 5}, 4},    /* one taken out before the last */
		{{1, 2, 3, 4, 2}, 5}, /* said again at the end */
	};
	static const char wrong_number[] = "its number is not the next one";
	const struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_lines(w, cases[i].numbers);
		assert_bad(w, cases[i].bad, wrong_number);
	}
}

/* Who can write the file can make a chain; not one that means something else. */
static void a_record_that_does_not_fit_is_as_bad(void **state)
{
	const struct world *w = *state;
	struct kt_registry *registry = registry_begun();
	const struct kt_record begin = record_begin();
	const struct kt_record create = record_for(registry, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	struct kt_record again = create;
	const struct kt_record *const records[] = {&begin, &create, &again};
	struct kt_ledger_state ledger_state = {0};
	struct kt_ledger *ledger = NULL;

	again.seq++;
	assert_int_equal(kt_ledger_open(kt_fs_posix(), w->dir, &ledger_state, &ledger), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(ledger, records, 3, &ledger_state), KT_ERR_OK);
	kt_ledger_close(ledger);
	kt_registry_free(registry);
	assert_bad(w, 3, "it does not fit the records before it");
}

/* --- not there, not for us -------------------------------------------------------------------- */

static void assert_no_verdict(const struct world *w, const char *sentence)
{
	char line[LINE_CAP];
	char err[LINE_CAP];

	(void)snprintf(err, sizeof(err), "keyturnctl: %s: %s\n", w->file, sentence);
	assert_verdict(w->verify, KT_CTL_EXIT_LOCAL, "", err);
	(void)snprintf(line, sizeof(line), "--json %s", w->verify);
	assert_verdict(line, KT_CTL_EXIT_LOCAL, "", err);
}

static void what_cannot_be_read_has_no_verdict(void **state)
{
	const struct world *w = *state;

	assert_no_verdict(w, "there is no ledger");
	assert_int_equal(mkdir(w->file, 0700), 0);
	assert_no_verdict(w, "Is a directory");
	assert_int_equal(rmdir(w->file), 0);
	assert_int_equal(symlink("/dev/null", w->file), 0);
	assert_no_verdict(w, strerror(ELOOP));
	assert_int_equal(unlink(w->file), 0);
	assert_verdict("ledger verify /dev/null", KT_CTL_EXIT_LOCAL, "",
		       "keyturnctl: /dev/null/ledger.kt: Not a directory\n");
	assert_verdict("ledger verify no\x1b[2Jwhere", KT_CTL_EXIT_LOCAL, "",
		       "keyturnctl: no\\x1b[2Jwhere/ledger.kt: there is no ledger\n");
}

/* The directory, the file, the option, and the older name. */
static void a_ledger_is_named_in_any_way(void **state)
{
	const struct world *w = *state;
	char line[LINE_CAP];
	char moved[NAME_MAX_LEN];
	const struct {
		const char *before;
		const char *after;
	} forms[] = {{"audit verify ", ""},
		     {"audit verify ", "/ledger.kt"},
		     {"audit verify --ledger-dir ", ""},
		     {"ledger verify ", ""}};

	put_file(w, w->text, w->len);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct fake_ctl fake = {0};

		(void)snprintf(line, sizeof(line), "%s%s%s", forms[i].before, w->dir,
			       forms[i].after);
		assert_int_equal(fake_ctl_run(&fake, line), KT_CTL_EXIT_OK);
		assert_non_null(strstr(fake.out, "head                   " HEAD "\n"));
		fake_ctl_clear(&fake);
	}
	(void)snprintf(moved, sizeof(moved), "%s/copy", w->dir);
	assert_int_equal(rename(w->file, moved), 0);
	(void)snprintf(line, sizeof(line), "audit verify %s", moved);
	{
		struct fake_ctl fake = {0};

		assert_int_equal(fake_ctl_run(&fake, line), KT_CTL_EXIT_OK);
		fake_ctl_clear(&fake);
	}
	assert_verdict("audit verify --config /no/such/file", KT_CTL_EXIT_LOCAL, "",
		       "keyturnctl: /no/such/file: cannot be opened: No such file or directory\n");
}

static void a_newer_one_is_not_judged(void **state)
{
	const struct world *w = *state;
	char *newer = load_ledger("formats/ledger-v2.kt");

	put_file(w, newer, strlen(newer));
	assert_no_verdict(w, "written by a newer version of Keyturn");
	free(newer);
}

static void a_verdict_that_cannot_be_written_down_is_none(void **state)
{
	const struct world *w = *state;
	struct fake_ctl fake = {.out_path = "/dev/full"};

	put_file(w, w->text, w->len);
	assert_int_equal(fake_ctl_run(&fake, w->verify), KT_CTL_EXIT_LOCAL);
	assert_string_equal(fake.err, "keyturnctl: the output could not be written\n");
	fake_ctl_clear(&fake);
}

static void without_memory_no_ledger_is_called_good_or_bad(void **state)
{
	const struct world *w = *state;
	char json[LINE_CAP];
	const char *const lines[] = {w->verify, json};

	(void)snprintf(json, sizeof(json), "%s --json", w->verify);
	put_file(w, w->text, w->len);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fake_ctl whole = {0};
		bool has_failed = true;

		assert_int_equal(fake_ctl_run(&whole, lines[i]), KT_CTL_EXIT_OK);
		for (size_t n = 1; has_failed; n++) {
			struct fake_ctl fake = {0};
			enum kt_ctl_exit code = KT_CTL_EXIT_OK;

			assert_in_range(n, 1, 5000);
			failing_alloc_set(n);
			code = fake_ctl_run(&fake, lines[i]);
			has_failed = failing_alloc_end();
			if (code == KT_CTL_EXIT_LOCAL
				    ? fake.err[0] == '\0'
				    : code != KT_CTL_EXIT_OK || strcmp(fake.out, whole.out) != 0)
				fail_msg("%s, allocation %zu: exit %d: %s%s", lines[i], n,
					 (int)code, fake.out, fake.err);
			fake_ctl_clear(&fake);
		}
		fake_ctl_clear(&whole);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_whole_ledger_is_known_by_its_head),
		T(without_its_last_record_it_has_another_head),
		T(one_without_any_record_has_no_last_one),
		T(a_write_that_was_not_finished_is_no_alarm),
		T(what_a_torn_one_means_is_said),
		T(a_changed_byte_is_found_in_its_line),
		T(a_line_end_that_is_gone_is_found),
		T(records_stand_in_their_order_and_once),
		T(a_record_that_does_not_fit_is_as_bad),
		T(what_cannot_be_read_has_no_verdict),
		T(a_ledger_is_named_in_any_way),
		T(a_newer_one_is_not_judged),
		T(a_verdict_that_cannot_be_written_down_is_none),
		T(without_memory_no_ledger_is_called_good_or_bad),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_ledger", tests, NULL, NULL);
}
