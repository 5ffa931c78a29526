#include "ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "encoding.h"
#include "fake_fs.h"
#include "records.h"
#include "vector_file.h"

#define DIR	  "/ledger"
#define FILE_PATH DIR "/ledger.kt"

enum { RECORDS = 5 };

/* ledger.begin, an enrolment, an op. */
static void make_records(struct kt_record out[static RECORDS])
{
	struct kt_registry *r = registry_begun();

	out[0] = record_begin();
	out[1] = record_for(r, KT_RECORD_TICKET_CREATE, "hub-1", 7);
	take(r, &out[1]);
	out[2] = record_for(r, KT_RECORD_ISSUE, "hub-1", 7);
	out[2].has_ticket = true;
	take(r, &out[2]);
	out[3] = record_for(r, KT_RECORD_COMMIT, "hub-1", 7);
	take(r, &out[3]);
	out[4] = record_for(r, KT_RECORD_OP_OPEN, "hub-1", 8);
	kt_registry_free(r);
}

/* Appends records [from, to) in one group. */
static enum kt_err append(struct kt_ledger *ledger, const struct kt_record *records, size_t from,
			  size_t to, struct kt_ledger_state *state)
{
	const struct kt_record *group[RECORDS];

	for (size_t i = from; i < to; i++)
		group[i - from] = &records[i];
	return kt_ledger_append(ledger, group, to - from, state);
}

/* A file system with a ledger of all records; *text is its content. */
static struct fake_fs *whole_ledger(char **text, size_t *len)
{
	struct fake_fs *fs = fake_fs_new();
	struct kt_record records[RECORDS];
	struct kt_ledger_state state = {0};
	struct kt_ledger *ledger = NULL;

	make_records(records);
	assert_int_equal(kt_ledger_open(fake_fs_table(fs), DIR, &state, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 0, RECORDS, &state), KT_ERR_OK);
	assert_true(state.seq == RECORDS);
	kt_ledger_close(ledger);
	assert_int_equal(fake_fs_open_count(fs), 0);
	*text = fake_fs_content(fs, FILE_PATH, len);
	return fs;
}

static enum kt_err scan_text(const char *text, size_t len, struct kt_ledger_state *state,
			     uint64_t *bad_line)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *table = fake_fs_table(fs);
	enum kt_err err;
	int fd;

	fake_fs_put(fs, FILE_PATH, "");
	fd = table->open(table->ctx, FILE_PATH, 1 /* O_WRONLY */, 0);
	assert_true(fd >= 0);
	if (len > 0)
		assert_int_equal(table->write(table->ctx, fd, text, len), len);
	assert_int_equal(table->close(table->ctx, fd), 0);
	err = kt_ledger_scan(table, DIR, NULL, NULL, state, bad_line);
	assert_int_equal(fake_fs_open_count(fs), 0);
	fake_fs_free(fs);
	return err;
}

static size_t start_of_line(const char *text, size_t line)
{
	const char *p = text;

	for (size_t i = 1; i < line; i++)
		p = strchr(p, '\n') + 1;
	return (size_t)(p - text);
}

struct seen {
	uint64_t count;
	uint8_t hash[32];
	enum kt_err answer;
};

static enum kt_err see(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct seen *seen = arg;

	seen->count++;
	assert_true(record->seq == seen->count);
	memcpy(seen->hash, hash, 32);
	return seen->count == 3 ? seen->answer : KT_ERR_OK;
}

static void a_scan_hands_out_every_record_in_order(void **state)
{
	struct kt_ledger_state s;
	struct seen seen = {.answer = KT_ERR_OK};
	uint64_t bad_line = 9;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);

	(void)state;
	assert_int_equal(kt_ledger_scan(fake_fs_table(fs), DIR, see, &seen, &s, &bad_line),
			 KT_ERR_OK);
	assert_true(seen.count == RECORDS && s.seq == RECORDS && bad_line == 0);
	assert_true(s.size_bytes == len && s.cut_bytes == 0);
	assert_memory_equal(s.head, seen.hash, 32);
	assert_true(s.time_us == TIME_0 + 5000000);
	seen = (struct seen){.answer = KT_ERR_ROLLED_BACK};
	assert_int_equal(kt_ledger_scan(fake_fs_table(fs), DIR, see, &seen, &s, &bad_line),
			 KT_ERR_ROLLED_BACK);
	assert_true(seen.count == 3 && bad_line == 0);
	free(text);
	fake_fs_free(fs);
}

static void a_line_is_hash_blank_body(void **state)
{
	uint8_t hash[32];
	char hex[65];
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	size_t second = start_of_line(text, 2);

	(void)state;
	kt_sha256(text + 65, second - 66, hash);
	assert_int_equal(kt_hex_encode(hash, 32, hex, sizeof(hex)), KT_ERR_OK);
	assert_memory_equal(text, hex, 64);
	assert_int_equal(text[64], ' ');
	assert_int_equal(text[second - 1], '\n');
	assert_non_null(strstr(text + second, hex)); /* prev of the next */
	free(text);
	fake_fs_free(fs);
}

static void an_absent_ledger_is_not_found_and_an_empty_one_is_empty(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	struct kt_ledger_state s;
	uint64_t bad_line;

	(void)state;
	assert_int_equal(kt_ledger_scan(fake_fs_table(fs), DIR, NULL, NULL, &s, &bad_line),
			 KT_ERR_NOT_FOUND);
	assert_int_equal(scan_text("", 0, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == 0 && s.size_bytes == 0 && s.cut_bytes == 0);
	fake_fs_free(fs);
}

static void no_flipped_byte_passes(void **state)
{
	static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0};
	struct kt_ledger_state s;
	uint64_t bad_line;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	size_t last = start_of_line(text, RECORDS);

	(void)state;
	for (size_t at = 0; at < len; at++) {
		char good = text[at];

		for (size_t m = 0; m < sizeof(masks); m++) {
			enum kt_err err;

			/* Mask 0 stands for the zero byte itself: what an unwritten one reads as.
			 */
			text[at] = masks[m] == 0 ? '\0' : (char)((uint8_t)good ^ masks[m]);
			err = scan_text(text, len, &s, &bad_line);
			if (at >= last) {
				assert_int_equal(err, KT_ERR_OK);
				assert_true(s.seq == RECORDS - 1 && s.cut_bytes == len - last);
			} else {
				assert_int_equal(err, KT_ERR_CORRUPT);
				assert_true(start_of_line(text, (size_t)bad_line) <= at);
			}
		}
		text[at] = good;
	}
	free(text);
	fake_fs_free(fs);
}

static void a_truncation_loses_the_broken_line_alone(void **state)
{
	struct kt_ledger_state s;
	uint64_t bad_line;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	uint64_t lines = 0;
	size_t whole = 0;

	(void)state;
	for (size_t at = 0; at < len; at++) {
		if (at > 0 && text[at - 1] == '\n') {
			lines++;
			whole = at;
		}
		assert_int_equal(scan_text(text, at, &s, &bad_line), KT_ERR_OK);
		assert_true(s.seq == lines && s.size_bytes == whole && s.cut_bytes == at - whole);
	}
	free(text);
	fake_fs_free(fs);
}

static void garbage_at_the_end_is_cut(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} garbage[] = {
		{"x", 1},	{"\n", 1},	   {"\0\0\0\0", 4},
		{"a\nb\nc", 5}, {"\xff\xfe\n", 3}, {" {\"v\":1}\n", 9},
	};
	struct kt_ledger_state s;
	uint64_t bad_line;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	char *longer = malloc(len + 200000);

	(void)state;
	memcpy(longer, text, len);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		memcpy(longer + len, garbage[i].bytes, garbage[i].len);
		assert_int_equal(scan_text(longer, len + garbage[i].len, &s, &bad_line), KT_ERR_OK);
		assert_true(s.seq == RECORDS && s.cut_bytes == garbage[i].len);
	}
	memset(longer + len, 'y', 200000); /* longer than any line of ours */
	assert_int_equal(scan_text(longer, len + 200000, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == RECORDS && s.cut_bytes == 200000);
	free(longer);
	free(text);
	fake_fs_free(fs);
}

/* Lines of @text in the given order; ends with 0. */
static void refuses_order(const char *text, const size_t *order, uint64_t expected)
{
	struct kt_ledger_state s;
	uint64_t bad_line;
	char *out = malloc(strlen(text) * 2 + 1);
	size_t len = 0;

	for (; *order != 0; order++) {
		size_t from = start_of_line(text, *order);
		size_t to = start_of_line(text, *order + 1);

		memcpy(out + len, text + from, to - from);
		len += to - from;
	}
	assert_int_equal(scan_text(out, len, &s, &bad_line), KT_ERR_CORRUPT);
	assert_true(bad_line == expected);
	free(out);
}

static void removed_repeated_and_swapped_lines_are_damage(void **state)
{
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);

	(void)state;
	refuses_order(text, (const size_t[]){2, 3, 4, 5, 0}, 1);
	refuses_order(text, (const size_t[]){1, 3, 4, 5, 0}, 2);
	refuses_order(text, (const size_t[]){1, 2, 3, 5, 0}, 4);
	refuses_order(text, (const size_t[]){1, 2, 2, 3, 4, 5, 0}, 3);
	refuses_order(text, (const size_t[]){1, 2, 3, 4, 5, 5, 0}, 6);
	refuses_order(text, (const size_t[]){1, 2, 3, 5, 4, 0}, 4);
	refuses_order(text, (const size_t[]){1, 2, 3, 4, 5, 1, 0}, 6);
	free(text);
	fake_fs_free(fs);
}

/* One line with @body and its right hash. */
static size_t make_line(char *out, size_t cap, const char *body)
{
	uint8_t hash[32];
	char hex[65];

	kt_sha256(body, strlen(body), hash);
	assert_int_equal(kt_hex_encode(hash, 32, hex, sizeof(hex)), KT_ERR_OK);
	return (size_t)snprintf(out, cap, "%s %s\n", hex, body);
}

static void a_right_hash_over_a_wrong_body_is_damage(void **state)
{
	static const char *const bodies[] = {"", "{}", "nonsense", "{\"v\":1}"};
	struct kt_ledger_state s;
	uint64_t bad_line;
	char line[256];

	(void)state;
	for (size_t i = 1; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		size_t len = make_line(line, sizeof(line), bodies[i]);

		assert_int_equal(scan_text(line, len, &s, &bad_line), KT_ERR_CORRUPT);
		assert_true(bad_line == 1);
	}
	assert_int_equal(scan_text(line, make_line(line, sizeof(line), "{\"v\":2}"), &s, &bad_line),
			 KT_ERR_VERSION);
}

static void a_hole_in_the_last_group_is_cut_with_all_behind_it(void **state)
{
	struct kt_ledger_state s;
	uint64_t bad_line;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	size_t third = start_of_line(text, 3);

	(void)state;
	memset(text + third, 0, 40);
	assert_int_equal(scan_text(text, len, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == 2 && s.cut_bytes == len - third);
	free(text);
	fake_fs_free(fs);
}

static void a_hole_with_more_behind_it_than_one_write_is_damage(void **state)
{
	enum { COPIES = 9000 };
	struct kt_ledger_state s;
	uint64_t bad_line;
	size_t len;
	char *text;
	struct fake_fs *fs = whole_ledger(&text, &len);
	size_t last = start_of_line(text, RECORDS);
	size_t line_len = len - last;
	char *longer = calloc(1, last + 40 + COPIES * line_len);
	size_t long_len = last + 40;

	(void)state;
	memcpy(longer, text, last);
	for (int i = 0; i < COPIES; i++) {
		memcpy(longer + long_len, text + last, line_len);
		long_len += line_len;
	}
	assert_true(long_len > 1 << 20);
	assert_int_equal(scan_text(longer, long_len, &s, &bad_line), KT_ERR_CORRUPT);
	assert_true(bad_line == RECORDS);
	free(longer);
	free(text);
	fake_fs_free(fs);
}

static void open_cuts_the_tail_and_goes_on(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *table = fake_fs_table(fs);
	struct kt_record records[RECORDS];
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;
	uint64_t bad_line;
	size_t len;
	char *text;

	(void)state;
	make_records(records);
	assert_int_equal(kt_ledger_open(table, DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 0, 2, &s), KT_ERR_OK);
	kt_ledger_close(ledger);
	text = fake_fs_content(fs, FILE_PATH, &len);
	fake_fs_free(fs);
	fs = fake_fs_new();
	table = fake_fs_table(fs);
	memcpy(text + len - 1, "x", 1);
	fake_fs_put(fs, FILE_PATH, text);
	assert_int_equal(kt_ledger_scan(table, DIR, NULL, NULL, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == 1 && s.cut_bytes > 0);
	assert_int_equal(kt_ledger_open(table, DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 2, 3, &s), KT_ERR_STATE); /* a gap */
	assert_int_equal(append(ledger, records, 1, RECORDS, &s), KT_ERR_OK);
	assert_true(s.seq == RECORDS && s.cut_bytes == 0);
	kt_ledger_close(ledger);
	assert_int_equal(kt_ledger_scan(table, DIR, NULL, NULL, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == RECORDS && s.cut_bytes == 0);
	s.size_bytes--;
	assert_int_equal(kt_ledger_open(table, DIR, &s, &ledger), KT_ERR_STATE);
	assert_null(ledger);
	free(text);
	fake_fs_free(fs);
}

static void short_writes_are_continued(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	struct kt_record records[RECORDS];
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;
	uint64_t bad_line;

	(void)state;
	make_records(records);
	fake_fs_limit_io(fs, 7);
	assert_int_equal(kt_ledger_open(fake_fs_table(fs), DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 0, RECORDS, &s), KT_ERR_OK);
	kt_ledger_close(ledger);
	assert_int_equal(kt_ledger_scan(fake_fs_table(fs), DIR, NULL, NULL, &s, &bad_line),
			 KT_ERR_OK);
	assert_true(s.seq == RECORDS);
	fake_fs_free(fs);
}

static void an_interrupted_write_is_repeated_and_a_failed_sync_is_not(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	struct kt_record records[RECORDS];
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;

	(void)state;
	make_records(records);
	assert_int_equal(kt_ledger_open(fake_fs_table(fs), DIR, &s, &ledger), KT_ERR_OK);
	fake_fs_fail_at(fs, 1, EINTR);
	assert_int_equal(append(ledger, records, 0, 1, &s), KT_ERR_OK);
	fake_fs_fail_at(fs, 2, EIO); /* write, then fdatasync */
	assert_int_equal(append(ledger, records, 1, 2, &s), KT_ERR_SYS);
	assert_int_equal(errno, EIO);
	assert_true(s.seq == 1);
	fake_fs_fail_at(fs, 0, 0);
	assert_int_equal(append(ledger, records, 1, 2, &s), KT_ERR_STATE);
	assert_true(s.seq == 1);
	kt_ledger_close(ledger);
	fake_fs_free(fs);
}

/* The page cache still shows what never reached the disk, also to the next process. */
static void a_start_after_a_failed_sync_believes_the_disk_alone(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *table = fake_fs_table(fs);
	struct kt_record records[RECORDS];
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;
	uint64_t bad_line = 0;

	(void)state;
	make_records(records);
	assert_int_equal(kt_ledger_open(table, DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 0, 1, &s), KT_ERR_OK);
	fake_fs_fail_at(fs, 2, EIO); /* write, then fdatasync */
	assert_int_equal(append(ledger, records, 1, 2, &s), KT_ERR_SYS);
	kt_ledger_close(ledger);
	fake_fs_fail_at(fs, 0, 0);
	assert_int_equal(kt_ledger_scan(table, DIR, NULL, NULL, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == 1);
	assert_int_equal(kt_ledger_open(table, DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(append(ledger, records, 1, RECORDS, &s), KT_ERR_OK);
	kt_ledger_close(ledger);
	fake_fs_crash(fs, 1);
	assert_int_equal(kt_ledger_scan(table, DIR, NULL, NULL, &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == RECORDS);
	fake_fs_free(fs);
}

/* --- power cuts --------------------------------------------------------------------------------
 */

struct crash {
	uint64_t acknowledged;
	unsigned states;
};

static void check_after_crash(void *ctx, struct fake_fs *after)
{
	struct crash *crash = ctx;
	struct kt_ledger_state s;
	struct kt_ledger *ledger = NULL;
	struct kt_record records[RECORDS];
	uint64_t bad_line;
	enum kt_err err = kt_ledger_scan(fake_fs_table(after), DIR, NULL, NULL, &s, &bad_line);

	crash->states++;
	if (err == KT_ERR_NOT_FOUND)
		memset(&s, 0, sizeof(s));
	else
		assert_int_equal(err, KT_ERR_OK);
	assert_true(s.seq >= crash->acknowledged);
	make_records(records);
	assert_int_equal(kt_ledger_open(fake_fs_table(after), DIR, &s, &ledger), KT_ERR_OK);
	if (s.seq < RECORDS)
		assert_int_equal(append(ledger, records, (size_t)s.seq, RECORDS, &s), KT_ERR_OK);
	kt_ledger_close(ledger);
	assert_int_equal(kt_ledger_scan(fake_fs_table(after), DIR, NULL, NULL, &s, &bad_line),
			 KT_ERR_OK);
	assert_true(s.seq == RECORDS && s.cut_bytes == 0);
}

static void crash_here(void *ctx, struct fake_fs *fs)
{
	(void)fake_fs_each_crash(fs, 1, check_after_crash, ctx);
}

/* Groups of 1, 3 and 1; stops at the first error. */
static void write_groups(struct fake_fs *fs, struct crash *crash)
{
	static const size_t ends[] = {1, 4, 5};
	struct kt_record records[RECORDS];
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;
	size_t from = 0;

	make_records(records);
	if (kt_ledger_open(fake_fs_table(fs), DIR, &s, &ledger) != KT_ERR_OK)
		return;
	for (size_t i = 0; i < 3; i++) {
		if (append(ledger, records, from, ends[i], &s) != KT_ERR_OK)
			break;
		crash->acknowledged = ends[i];
		from = ends[i];
	}
	kt_ledger_close(ledger);
}

static void no_power_cut_loses_an_acknowledged_record(void **state)
{
	static const size_t limits[] = {0, 900, 100};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct fake_fs *fs = fake_fs_new();
		struct crash crash = {0};

		fake_fs_watch(fs, crash_here, &crash);
		fake_fs_limit_io(fs, limits[i]);
		write_groups(fs, &crash);
		assert_true(crash.acknowledged == RECORDS && crash.states > 20);
		fake_fs_free(fs);
	}
}

static void no_failed_call_loses_an_acknowledged_record(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EINTR};
	struct fake_fs *clean = fake_fs_new();
	struct crash untouched = {0};
	unsigned calls;

	(void)state;
	write_groups(clean, &untouched);
	calls = fake_fs_calls(clean);
	fake_fs_free(clean);
	assert_true(calls >= 10);
	for (unsigned n = 1; n <= calls; n++) {
		for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
			struct fake_fs *fs = fake_fs_new();
			struct crash crash = {0};

			fake_fs_fail_at(fs, n, errors[e]);
			write_groups(fs, &crash);
			assert_int_equal(fake_fs_open_count(fs), 0);
			fake_fs_fail_at(fs, 0, 0);
			(void)fake_fs_each_crash(fs, n, check_after_crash, &crash);
			fake_fs_free(fs);
		}
	}
}

/* --- the format --------------------------------------------------------------------------------
 */

static char *ledger_vector(const char *path)
{
	char *text = vector_file_load(path);
	char *whole = NULL;

	assert_non_null(text);
	assert_true(asprintf(&whole, "%s\n", text) > 0); /* the loader takes the last one off */
	free(text);
	return whole;
}

static void writes_version_1_as_it_always_did(void **state)
{
	struct kt_record records[STORY_COUNT];
	const struct kt_record *group[STORY_COUNT];
	struct fake_fs *fs = fake_fs_new();
	struct kt_ledger_state s = {0};
	struct kt_ledger *ledger = NULL;
	char *v1 = ledger_vector("formats/ledger-v1.kt");
	char *text;
	size_t len;

	(void)state;
	story_records(records);
	for (size_t i = 0; i < STORY_COUNT; i++)
		group[i] = &records[i];
	assert_int_equal(kt_ledger_open(fake_fs_table(fs), DIR, &s, &ledger), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(ledger, group, STORY_COUNT, &s), KT_ERR_OK);
	kt_ledger_close(ledger);
	text = fake_fs_content(fs, FILE_PATH, &len);
	assert_string_equal(text, v1);
	free(text);
	free(v1);
	fake_fs_free(fs);
}

static void reads_version_1_and_refuses_version_2(void **state)
{
	struct kt_ledger_state s;
	uint64_t bad_line;
	char *v1 = ledger_vector("formats/ledger-v1.kt");
	char *v2 = ledger_vector("formats/ledger-v2.kt");

	(void)state;
	assert_int_equal(scan_text(v1, strlen(v1), &s, &bad_line), KT_ERR_OK);
	assert_true(s.seq == STORY_COUNT && s.cut_bytes == 0);
	assert_int_equal(scan_text(v2, strlen(v2), &s, &bad_line), KT_ERR_VERSION);
	free(v1);
	free(v2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scan_hands_out_every_record_in_order),
		cmocka_unit_test(a_line_is_hash_blank_body),
		cmocka_unit_test(an_absent_ledger_is_not_found_and_an_empty_one_is_empty),
		cmocka_unit_test(no_flipped_byte_passes),
		cmocka_unit_test(a_truncation_loses_the_broken_line_alone),
		cmocka_unit_test(garbage_at_the_end_is_cut),
		cmocka_unit_test(removed_repeated_and_swapped_lines_are_damage),
		cmocka_unit_test(a_right_hash_over_a_wrong_body_is_damage),
		cmocka_unit_test(a_hole_in_the_last_group_is_cut_with_all_behind_it),
		cmocka_unit_test(a_hole_with_more_behind_it_than_one_write_is_damage),
		cmocka_unit_test(open_cuts_the_tail_and_goes_on),
		cmocka_unit_test(short_writes_are_continued),
		cmocka_unit_test(an_interrupted_write_is_repeated_and_a_failed_sync_is_not),
		cmocka_unit_test(a_start_after_a_failed_sync_believes_the_disk_alone),
		cmocka_unit_test(no_power_cut_loses_an_acknowledged_record),
		cmocka_unit_test(no_failed_call_loses_an_acknowledged_record),
		cmocka_unit_test(writes_version_1_as_it_always_did),
		cmocka_unit_test(reads_version_1_and_refuses_version_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
