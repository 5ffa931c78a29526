/* Does the file of the heads keep whole lines, whatever fails and whenever the power goes? */
#include "head_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_fs.h"

#define AT "/state/heads.jsonl"

static int setup(void **state)
{
	struct fake_fs *fs = fake_fs_new();

	fake_fs_put(fs, "/state/lock", "");
	*state = fs;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(fake_fs_open_count(*state), 0);
	fake_fs_free(*state);
	return 0;
}

static enum kt_err append(struct fake_fs *fs, const char *line, uint64_t *known)
{
	return kt_head_file_append(fake_fs_table(fs), AT,
				   (struct kt_bytes){(const uint8_t *)line, strlen(line)}, known);
}

static void assert_durable(struct fake_fs *fs, const char *expected)
{
	size_t len = 0;
	char *text = fake_fs_durable_content(fs, AT, &len);

	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static void lines_are_durable_one_behind_the_other(void **state)
{
	struct fake_fs *fs = *state;
	uint64_t known = 0;

	assert_int_equal(append(fs, "one", &known), KT_ERR_OK);
	assert_true(known == 4);
	assert_int_equal(fake_fs_pending(fs), 0);
	assert_durable(fs, "one\n");
	assert_int_equal(append(fs, "two", &known), KT_ERR_OK);
	assert_true(known == 8);
	assert_durable(fs, "one\ntwo\n");
	assert_int_equal(fake_fs_pending(fs), 0);
}

static void what_was_there_before_the_start_stays(void **state)
{
	struct fake_fs *fs = *state;
	uint64_t known = 0;

	fake_fs_put(fs, AT, "old\nolder\n");
	assert_int_equal(append(fs, "new", &known), KT_ERR_OK);
	assert_durable(fs, "old\nolder\nnew\n");
}

static void half_a_line_goes_before_the_next_one(void **state)
{
	struct fake_fs *fs = *state;
	uint64_t known = 0;

	fake_fs_put(fs, AT, "old\nhal");
	assert_int_equal(append(fs, "new", &known), KT_ERR_OK);
	assert_durable(fs, "old\nnew\n");
	assert_true(known == 8);
	fake_fs_put(fs, AT, "only half");
	known = 0;
	assert_int_equal(append(fs, "new", &known), KT_ERR_OK);
	assert_durable(fs, "new\n");
}

/* Somebody else has written: the size that was known is not believed. */
static void another_size_than_known_is_looked_at(void **state)
{
	struct fake_fs *fs = *state;
	uint64_t known = 4;

	fake_fs_put(fs, AT, "one\ntwo\nhal");
	assert_int_equal(append(fs, "new", &known), KT_ERR_OK);
	assert_durable(fs, "one\ntwo\nnew\n");
	assert_true(known == 12);
}

static void every_failure_is_told_and_the_next_try_mends_it(void **state)
{
	bool has_failed = true;

	(void)state;
	for (unsigned n = 1; has_failed; n++) {
		struct fake_fs *fs = fake_fs_new();
		uint64_t known = 0;
		enum kt_err err;

		assert_in_range(n, 1, 40);
		fake_fs_put(fs, AT, "old\nhal");
		fake_fs_fail_at(fs, n, EIO);
		err = append(fs, "new", &known);
		has_failed = fake_fs_calls(fs) >= n;
		fake_fs_fail_at(fs, 0, 0);
		if (err != KT_ERR_OK) {
			char *text;
			size_t len = 0;

			assert_int_equal(err, KT_ERR_SYS);
			assert_true(known == 0);
			assert_int_equal(append(fs, "again", &known), KT_ERR_OK);
			text = fake_fs_content(fs, AT, &len);
			assert_true(strcmp(text, "old\nagain\n") == 0 ||
				    strcmp(text, "old\nnew\nagain\n") == 0);
			free(text);
		} else {
			assert_durable(fs, "old\nnew\n");
		}
		assert_int_equal(fake_fs_open_count(fs), 0);
		fake_fs_free(fs);
	}
}

static void a_full_disk_leaves_no_half_line_for_good(void **state)
{
	struct fake_fs *fs = *state;
	uint64_t known = 0;

	fake_fs_put(fs, AT, "old\n");
	fake_fs_limit_io(fs, 3);
	fake_fs_limit_space(fs, 8);
	assert_int_equal(append(fs, "a long line", &known), KT_ERR_SYS);
	fake_fs_limit_space(fs, 0);
	assert_int_equal(append(fs, "a long line", &known), KT_ERR_OK);
	assert_durable(fs, "old\na long line\n");
}

static void mend(void *ctx, struct fake_fs *after)
{
	uint64_t known = 0;
	size_t len = 0;
	char *text;

	(void)ctx;
	assert_int_equal(append(after, "next", &known), KT_ERR_OK);
	text = fake_fs_content(after, AT, &len);
	assert_true(strcmp(text, "old\nnext\n") == 0 || strcmp(text, "old\nnew\nnext\n") == 0 ||
		    strcmp(text, "next\n") == 0);
	free(text);
}

static void cut_power(void *ctx, struct fake_fs *fs)
{
	unsigned *states = ctx;

	*states += fake_fs_each_crash(fs, 1, mend, NULL);
}

static void no_power_cut_makes_two_lines_one(void **state)
{
	struct fake_fs *fs = *state;
	unsigned states = 0;
	uint64_t known = 0;

	fake_fs_put(fs, AT, "old\n");
	fake_fs_watch(fs, cut_power, &states);
	assert_int_equal(append(fs, "new", &known), KT_ERR_OK);
	fake_fs_watch(fs, NULL, NULL);
	assert_in_range(states, 3, 1000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lines_are_durable_one_behind_the_other),
		T(what_was_there_before_the_start_stays),
		T(half_a_line_goes_before_the_next_one),
		T(another_size_than_known_is_looked_at),
		cmocka_unit_test(every_failure_is_told_and_the_next_try_mends_it),
		T(a_full_disk_leaves_no_half_line_for_good),
		T(no_power_cut_makes_two_lines_one),
	};
#undef T

	return cmocka_run_group_tests_name("head_file", tests, NULL, NULL);
}
