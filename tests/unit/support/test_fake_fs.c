#include "fake_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static int open_new(const struct kt_fs *t, const char *path)
{
	return t->open(t->ctx, path, O_RDWR | O_CREAT | O_EXCL, 0600);
}

static void sync_dir(const struct kt_fs *t, const char *path)
{
	int fd = t->open(t->ctx, path, O_RDONLY | O_DIRECTORY, 0);

	assert_true(fd >= 0);
	assert_int_equal(t->fsync(t->ctx, fd), 0);
	assert_int_equal(t->close(t->ctx, fd), 0);
}

struct seen { /* states of /f, counted by their content */
	unsigned absent;
	unsigned empty;
	unsigned whole;
	unsigned torn;
};

static void look(void *ctx, struct fake_fs *after)
{
	struct seen *seen = ctx;
	size_t len;
	char *content = fake_fs_content(after, "/f", &len);

	if (content == NULL)
		seen->absent++;
	else if (len == 0)
		seen->empty++;
	else if (memcmp(content, "abcd", len) == 0)
		seen->whole++;
	else
		seen->torn++;
	assert_int_equal(fake_fs_pending(after), 0);
	free(content);
}

static void nothing_survives_without_fsync_but_may(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	int fd = open_new(t, "/f");

	(void)state;
	assert_int_equal(t->write(t->ctx, fd, "abcd", 4), 4);
	assert_int_equal(fake_fs_pending(fs), 2);
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 2 * 4);
	assert_int_equal(seen.absent, 4);
	assert_int_equal(seen.empty, 1);
	assert_int_equal(seen.whole, 1);
	assert_int_equal(seen.torn, 2);
	fake_fs_free(fs);
}

static void fsync_of_a_file_keeps_its_content_but_not_its_name(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	int fd = open_new(t, "/f");

	(void)state;
	assert_int_equal(t->write(t->ctx, fd, "abcd", 4), 4);
	assert_int_equal(t->fsync(t->ctx, fd), 0);
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 2);
	assert_int_equal(seen.absent, 1);
	assert_int_equal(seen.whole, 1);
	fake_fs_free(fs);
}

static void fsync_of_a_directory_keeps_names_but_not_content(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	int fd = open_new(t, "/f");

	(void)state;
	assert_int_equal(t->write(t->ctx, fd, "abcd", 4), 4);
	sync_dir(t, "/");
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 4);
	assert_int_equal(seen.absent, 0);
	assert_int_equal(seen.empty, 1);
	assert_int_equal(seen.torn, 2);
	fake_fs_free(fs);
}

static void both_fsyncs_leave_one_state(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	int fd = open_new(t, "/f");

	(void)state;
	assert_int_equal(t->write(t->ctx, fd, "abcd", 4), 4);
	assert_int_equal(t->fdatasync(t->ctx, fd), 0);
	sync_dir(t, "/");
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 1);
	assert_int_equal(seen.whole, 1);
	fake_fs_free(fs);
}

static void a_failed_fsync_is_not_mended_by_the_next(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	int fd = open_new(t, "/f");

	(void)state;
	sync_dir(t, "/");
	assert_int_equal(t->write(t->ctx, fd, "abcd", 4), 4);
	fake_fs_fail_at(fs, 1, EIO);
	assert_int_equal(t->fsync(t->ctx, fd), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(t->fsync(t->ctx, fd), 0);
	(void)fake_fs_each_crash(fs, 1, look, &seen);
	assert_int_equal(seen.empty, 1);
	fake_fs_free(fs);
}

static void a_new_directory_needs_its_parent_synced(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct stat st;
	unsigned absent = 0;

	(void)state;
	assert_int_equal(t->mkdir(t->ctx, "/d", 0700), 0);
	sync_dir(t, "/d");
	for (uint64_t seed = 0; seed < 16; seed++) {
		struct fake_fs *after = fake_fs_clone(fs);

		fake_fs_crash(after, seed);
		absent += fake_fs_table(after)->lstat(after, "/d", &st) != 0 ? 1 : 0;
		fake_fs_free(after);
	}
	assert_true(absent > 0 && absent < 16);
	sync_dir(t, "/");
	fake_fs_crash(fs, 1);
	assert_int_equal(t->lstat(t->ctx, "/d", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	fake_fs_free(fs);
}

struct rename_seen {
	unsigned old_state;
	unsigned new_state;
	unsigned other;
};

static void look_at_rename(void *ctx, struct fake_fs *after)
{
	struct rename_seen *seen = ctx;
	size_t len;
	char *a = fake_fs_content(after, "/a", &len);
	char *b = fake_fs_content(after, "/d/b", &len);

	if (a != NULL && strcmp(a, "new") == 0 && b != NULL && strcmp(b, "old") == 0)
		seen->old_state++;
	else if (a == NULL && b != NULL && strcmp(b, "new") == 0)
		seen->new_state++;
	else
		seen->other++;
	free(a);
	free(b);
}

static void a_rename_is_both_names_or_neither(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct rename_seen seen = {.other = 0};

	(void)state;
	fake_fs_put(fs, "/a", "new");
	fake_fs_put(fs, "/d/b", "old");
	assert_int_equal(t->rename(t->ctx, "/a", "/d/b"), 0);
	assert_int_equal(fake_fs_each_crash(fs, 1, look_at_rename, &seen), 2);
	assert_int_equal(seen.old_state, 1);
	assert_int_equal(seen.new_state, 1);
	assert_int_equal(seen.other, 0);
	fake_fs_free(fs);
}

static void many_pending_changes_are_sampled(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct seen seen = {.absent = 0};
	char path[] = "/x0";

	(void)state;
	for (int i = 0; i < 8; i++) {
		path[2] = (char)('0' + i);
		assert_int_equal(t->mkdir(t->ctx, path, 0700), 0);
	}
	assert_int_equal(fake_fs_pending(fs), 8);
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 202);
	fake_fs_sync(fs);
	assert_int_equal(fake_fs_pending(fs), 0);
	assert_int_equal(fake_fs_each_crash(fs, 1, look, &seen), 1);
	fake_fs_free(fs);
}

static void links_and_dots_lead_where_the_kernel_leads(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	size_t len;
	char target[8] = "";
	char *content;
	static const char *const ways[] = {"/s/7/key",	      "/s/current/key",	     "/abs/key",
					   "/s/../s/./7/key", "/s/current/../7/key", "s//7///key"};

	(void)state;
	fake_fs_put(fs, "/s/7/key", "k");
	assert_int_equal(t->symlink(t->ctx, "7", "/s/current"), 0);
	assert_int_equal(t->symlink(t->ctx, "/s/7", "/abs"), 0);
	assert_int_equal(t->symlink(t->ctx, "loop", "/loop"), 0);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		content = fake_fs_content(fs, ways[i], &len);
		assert_non_null(content);
		assert_string_equal(content, "k");
		free(content);
	}
	assert_int_equal(t->open(t->ctx, "/loop", O_RDONLY, 0), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(t->open(t->ctx, "/s/current", O_RDONLY | O_NOFOLLOW, 0), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(t->readlink(t->ctx, "/s/current", target, sizeof(target)), 1);
	assert_string_equal(target, "7");
	fake_fs_free(fs);
}

/* What the kernel says to the same calls. */
static void wrong_calls_get_the_errno_of_the_kernel(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	char byte;
	int fd;

	(void)state;
	fake_fs_put(fs, "/d/f", "x");
	fake_fs_put(fs, "/e/f", "x");
#define REFUSED(call, err)                                                                         \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, err);                                                      \
	} while (0)
	REFUSED(t->open(t->ctx, "/none", O_RDONLY, 0), ENOENT);
	REFUSED(t->open(t->ctx, "/none/f", O_RDWR | O_CREAT, 0600), ENOENT);
	REFUSED(t->open(t->ctx, "/d/f/g", O_RDONLY, 0), ENOTDIR);
	REFUSED(t->open(t->ctx, "/d", O_WRONLY, 0), EISDIR);
	REFUSED(t->open(t->ctx, "/d/f", O_RDONLY | O_DIRECTORY, 0), ENOTDIR);
	REFUSED(open_new(t, "/d/f"), EEXIST);
	REFUSED(t->mkdir(t->ctx, "/d", 0700), EEXIST);
	REFUSED(t->symlink(t->ctx, "x", "/d"), EEXIST);
	REFUSED(t->unlink(t->ctx, "/d"), EISDIR);
	REFUSED(t->unlink(t->ctx, "/none"), ENOENT);
	REFUSED(t->rmdir(t->ctx, "/d"), ENOTEMPTY);
	REFUSED(t->rmdir(t->ctx, "/d/f"), ENOTDIR);
	REFUSED(t->rename(t->ctx, "/d", "/e"), ENOTEMPTY);
	REFUSED(t->rename(t->ctx, "/d", "/d/x"), EINVAL);
	REFUSED(t->rename(t->ctx, "/d", "/e/f"), ENOTDIR);
	REFUSED(t->rename(t->ctx, "/d/f", "/e"), EISDIR);
	REFUSED(t->rename(t->ctx, "/none", "/x"), ENOENT);
	REFUSED(t->close(t->ctx, 3), EBADF);
	REFUSED((int)t->read(t->ctx, 1000, &byte, 1), EBADF);
	fd = t->open(t->ctx, "/d/f", O_RDONLY, 0);
	REFUSED((int)t->write(t->ctx, fd, "y", 1), EBADF);
	assert_int_equal(t->close(t->ctx, fd), 0);
	REFUSED(t->close(t->ctx, fd), EBADF);
#undef REFUSED
	assert_int_equal(fake_fs_open_count(fs), 0);
	fake_fs_free(fs);
}

static void failures_come_at_their_call_and_go(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);

	(void)state;
	fake_fs_fail_at(fs, 2, ENOSPC);
	assert_int_equal(t->mkdir(t->ctx, "/a", 0700), 0);
	assert_int_equal(t->mkdir(t->ctx, "/b", 0700), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(t->mkdir(t->ctx, "/b", 0700), 0);
	assert_int_equal(fake_fs_calls(fs), 3);
	fake_fs_fail_from(fs, 1, EIO);
	assert_int_equal(t->mkdir(t->ctx, "/c", 0700), -1);
	assert_int_equal(t->mkdir(t->ctx, "/c", 0700), -1);
	fake_fs_crash(fs, 7);
	assert_int_equal(t->mkdir(t->ctx, "/c", 0700), 0);
	fake_fs_free(fs);
}

static void writes_can_be_short_and_space_can_end(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	int fd = open_new(t, "/f");

	(void)state;
	fake_fs_limit_io(fs, 3);
	assert_int_equal(t->write(t->ctx, fd, "abcdef", 6), 3);
	fake_fs_limit_io(fs, 0);
	fake_fs_limit_space(fs, 5);
	assert_int_equal(t->write(t->ctx, fd, "def", 3), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(t->pwrite(t->ctx, fd, "xyz", 3, 0), 3);
	assert_int_equal(t->ftruncate(t->ctx, fd, 1), 0);
	assert_int_equal(t->pwrite(t->ctx, fd, "pq", 2, 3), 2);
	fake_fs_free(fs);
}

static void modes_are_durable_with_fsync_alone(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct stat st;
	int fd;

	(void)state;
	fake_fs_put(fs, "/f", "x");
	fd = t->open(t->ctx, "/f", O_RDWR, 0);
	assert_int_equal(t->fchmod(t->ctx, fd, 0640), 0);
	assert_int_equal(t->fdatasync(t->ctx, fd), 0);
	assert_int_equal(fake_fs_pending(fs), 1);
	assert_int_equal(t->fsync(t->ctx, fd), 0);
	assert_int_equal(fake_fs_pending(fs), 0);
	fake_fs_crash(fs, 3);
	assert_int_equal(t->lstat(t->ctx, "/f", &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	fake_fs_free(fs);
}

static void a_spoilt_file_is_not_read_until_another_takes_its_place(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	char byte = 'y';
	int fd;

	(void)state;
	fake_fs_put(fs, "/f", "x");
	fake_fs_put(fs, "/g", "z");
	assert_false(fake_fs_spoil(fs, "/h"));
	assert_true(fake_fs_spoil(fs, "/f"));
	fake_fs_crash(fs, 1);
	fd = t->open(t->ctx, "/f", O_RDWR, 0);
	assert_int_equal(t->pwrite(t->ctx, fd, &byte, 1, 0), 1);
	assert_int_equal(t->read(t->ctx, fd, &byte, 1), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(t->close(t->ctx, fd), 0);
	assert_int_equal(t->rename(t->ctx, "/g", "/f"), 0);
	fd = t->open(t->ctx, "/f", O_RDONLY, 0);
	assert_int_equal(t->read(t->ctx, fd, &byte, 1), 1);
	assert_int_equal(byte, 'z');
	assert_int_equal(t->close(t->ctx, fd), 0);
	fake_fs_free(fs);
}

static void crashes_free_what_no_name_leads_to_and_use_it_again(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct fake_fs *clone;

		assert_int_equal(t->mkdir(t->ctx, "/d", 0700), 0);
		assert_int_equal(t->symlink(t->ctx, "d", "/l"), 0);
		assert_int_equal(t->unlink(t->ctx, "/l"), 0);
		assert_int_equal(t->rmdir(t->ctx, "/d"), 0);
		fake_fs_sync(fs);
		fake_fs_crash(fs, (uint64_t)i);
		clone = fake_fs_clone(fs);
		fake_fs_free(fs);
		fs = clone;
		t = fake_fs_table(fs);
	}
	fake_fs_free(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_survives_without_fsync_but_may),
		cmocka_unit_test(fsync_of_a_file_keeps_its_content_but_not_its_name),
		cmocka_unit_test(fsync_of_a_directory_keeps_names_but_not_content),
		cmocka_unit_test(both_fsyncs_leave_one_state),
		cmocka_unit_test(a_failed_fsync_is_not_mended_by_the_next),
		cmocka_unit_test(a_new_directory_needs_its_parent_synced),
		cmocka_unit_test(a_rename_is_both_names_or_neither),
		cmocka_unit_test(many_pending_changes_are_sampled),
		cmocka_unit_test(links_and_dots_lead_where_the_kernel_leads),
		cmocka_unit_test(wrong_calls_get_the_errno_of_the_kernel),
		cmocka_unit_test(failures_come_at_their_call_and_go),
		cmocka_unit_test(writes_can_be_short_and_space_can_end),
		cmocka_unit_test(modes_are_durable_with_fsync_alone),
		cmocka_unit_test(a_spoilt_file_is_not_read_until_another_takes_its_place),
		cmocka_unit_test(crashes_free_what_no_name_leads_to_and_use_it_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
