#include "durable_file.h"

#include <errno.h>
#include <fcntl.h>
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

#include "fake_fs.h"

static const struct kt_file_mode private_file = {0600, (gid_t)-1};
static const struct kt_file_mode private_dir = {0700, (gid_t)-1};

static struct kt_bytes bytes_of(const char *text)
{
	return (struct kt_bytes){(const uint8_t *)text, strlen(text)};
}

/* --- what an operation does, and what may be seen of it --- */

typedef enum kt_err operation(const struct kt_fs *fs);
/* 'o' the old state, 'n' the new one, '?' anything else. Does not change @fs. */
typedef char judge(struct fake_fs *fs);

struct scenario {
	const char *name;
	void (*prepare)(struct fake_fs *fs);
	operation *run;
	judge *judge;
	bool is_repeatable; /* a second run after a failed one */
};

static char judge_content(struct fake_fs *fs, const char *path, const char *old, const char *new)
{
	size_t len;
	char *content = fake_fs_content(fs, path, &len);
	char verdict = '?';

	if (content == NULL)
		verdict = old == NULL ? 'o' : '?';
	else if (len == strlen(new) && strcmp(content, new) == 0)
		verdict = 'n';
	else if (old != NULL && len == strlen(old) && strcmp(content, old) == 0)
		verdict = 'o';
	free(content);
	return verdict;
}

static void prepare_old_file(struct fake_fs *fs)
{
	fake_fs_put(fs, "/s/record", "the old content");
}

static void prepare_directory(struct fake_fs *fs)
{
	fake_fs_put(fs, "/s/other", "x");
}

static void prepare_stale_temporary(struct fake_fs *fs)
{
	fake_fs_put(fs, "/s/record", "the old content");
	fake_fs_put(fs, "/s/record.tmp", "half of something that is longer than either content");
}

static enum kt_err write_record(const struct kt_fs *fs)
{
	return kt_file_write(fs, "/s/record", bytes_of("the new and longer content"), private_file);
}

static char judge_replaced(struct fake_fs *fs)
{
	return judge_content(fs, "/s/record", "the old content", "the new and longer content");
}

static char judge_first(struct fake_fs *fs)
{
	return judge_content(fs, "/s/record", NULL, "the new and longer content");
}

static void prepare_link(struct fake_fs *fs)
{
	const struct kt_fs *t = fake_fs_table(fs);

	fake_fs_put(fs, "/s/1/key", "the old content");
	fake_fs_put(fs, "/s/2/key", "the new and longer content");
	assert_int_equal(t->symlink(t->ctx, "1", "/s/current"), 0);
	fake_fs_sync(fs);
}

static void prepare_no_link(struct fake_fs *fs)
{
	fake_fs_put(fs, "/s/2/key", "the new and longer content");
}

static void prepare_stale_link(struct fake_fs *fs)
{
	const struct kt_fs *t = fake_fs_table(fs);

	prepare_link(fs);
	assert_int_equal(t->symlink(t->ctx, "nowhere", "/s/current.tmp"), 0);
	fake_fs_sync(fs);
}

static enum kt_err switch_link(const struct kt_fs *fs)
{
	return kt_link_switch(fs, "/s/current", "2");
}

static char judge_link(struct fake_fs *fs)
{
	return judge_content(fs, "/s/current/key", "the old content", "the new and longer content");
}

static char judge_first_link(struct fake_fs *fs)
{
	return judge_content(fs, "/s/current/key", NULL, "the new and longer content");
}

/* An identity: built aside, then published. Both files, or no directory. */
static enum kt_err publish_directory(const struct kt_fs *fs)
{
	enum kt_err err = kt_dir_sweep(fs, "/s");

	if (err == KT_ERR_OK)
		err = kt_dir_make(fs, "/s/7.tmp", private_dir);
	if (err == KT_ERR_OK)
		err = kt_file_write(fs, "/s/7.tmp/key", bytes_of("the key"), private_file);
	if (err == KT_ERR_OK)
		err = kt_file_write(fs, "/s/7.tmp/meta", bytes_of("its data"), private_file);
	if (err == KT_ERR_OK)
		err = kt_path_publish(fs, "/s/7.tmp", "/s/7");
	return err;
}

static char judge_directory(struct fake_fs *fs)
{
	char key = judge_content(fs, "/s/7/key", NULL, "the key");
	char meta = judge_content(fs, "/s/7/meta", NULL, "its data");
	struct stat st;

	/* An empty /s/7 would be a mix as well. Counted as a call, but of a copy or after the run.
	 */
	if (key == 'o' && meta == 'o') {
		struct fake_fs *copy = fake_fs_clone(fs);
		const struct kt_fs *t = fake_fs_table(copy);

		if (t->lstat(t->ctx, "/s/7", &st) == 0)
			key = '?';
		fake_fs_free(copy);
	}
	return key == meta ? key : '?';
}

static void prepare_unsynced_file(struct fake_fs *fs)
{
	const struct kt_fs *t = fake_fs_table(fs);
	int fd;

	fake_fs_put(fs, "/s/record", "the old content");
	fd = t->open(t->ctx, "/s/made", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(t->write(t->ctx, fd, "the new and longer content", 26), 26);
	assert_int_equal(t->close(t->ctx, fd), 0);
}

static enum kt_err publish_file(const struct kt_fs *fs)
{
	return kt_path_publish(fs, "/s/made", "/s/record");
}

static const struct scenario scenarios[] = {
	{"kt_file_write over a file", prepare_old_file, write_record, judge_replaced, true},
	{"kt_file_write of a first file", prepare_directory, write_record, judge_first, true},
	{"kt_file_write with a stale .tmp", prepare_stale_temporary, write_record, judge_replaced,
	 true},
	{"kt_link_switch", prepare_link, switch_link, judge_link, true},
	{"kt_link_switch of a first link", prepare_no_link, switch_link, judge_first_link, true},
	{"kt_link_switch with a stale .tmp", prepare_stale_link, switch_link, judge_link, true},
	{"kt_path_publish of a directory", prepare_directory, publish_directory, judge_directory,
	 false},
	{"kt_path_publish of an unsynced file", prepare_unsynced_file, publish_file, judge_replaced,
	 false},
};

enum { SCENARIO_COUNT = sizeof(scenarios) / sizeof(scenarios[0]) };

struct crash_watch {
	const struct scenario *scenario;
	unsigned states;
	unsigned old_count;
	unsigned new_count;
	unsigned calls;
};

static void judge_state(void *ctx, struct fake_fs *after)
{
	struct crash_watch *watch = ctx;
	char verdict = watch->scenario->judge(after);

	watch->states++;
	watch->old_count += verdict == 'o' ? 1 : 0;
	watch->new_count += verdict == 'n' ? 1 : 0;
	if (verdict == '?')
		fail_msg("%s: a mix after call %u", watch->scenario->name, watch->calls);
}

static void crash_here(void *ctx, struct fake_fs *fs)
{
	struct crash_watch *watch = ctx;

	watch->calls++;
	(void)fake_fs_each_crash(fs, watch->calls, judge_state, watch);
}

static void a_power_cut_at_any_call_leaves_old_or_new(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCENARIO_COUNT; i++) {
		struct fake_fs *fs = fake_fs_new();
		struct crash_watch watch = {.scenario = &scenarios[i]};

		scenarios[i].prepare(fs);
		fake_fs_watch(fs, crash_here, &watch);
		assert_int_equal(scenarios[i].run(fake_fs_table(fs)), KT_ERR_OK);
		fake_fs_watch(fs, NULL, NULL);
		print_message("%s: %u calls, %u crash states, %u old, %u new\n", scenarios[i].name,
			      watch.calls, watch.states, watch.old_count, watch.new_count);
		assert_true(watch.old_count > 0);
		assert_true(watch.new_count > 0);
		assert_int_equal(fake_fs_open_count(fs), 0);
		/* When it has returned, nothing is left to lose. */
		watch.old_count = 0;
		(void)fake_fs_each_crash(fs, 1, judge_state, &watch);
		assert_int_equal(watch.old_count, 0);
		fake_fs_free(fs);
	}
}

/* Returns false once the n-th call was never made. What is published is not repeated: a second try
 * finds nothing to rename, or a file whose fsync failed for good. */
static bool fail_nth(const struct scenario *scenario, unsigned n, int failure)
{
	struct fake_fs *fs = fake_fs_new();
	struct crash_watch watch = {.scenario = scenario};
	bool touched;
	enum kt_err err;

	scenario->prepare(fs);
	fake_fs_fail_at(fs, n, failure);
	errno = 0;
	err = scenario->run(fake_fs_table(fs));
	touched = fake_fs_calls(fs) >= n;
	if (touched) {
		assert_int_equal(err, KT_ERR_SYS);
		assert_int_equal(errno, failure);
	} else {
		assert_int_equal(err, KT_ERR_OK);
	}
	fake_fs_fail_at(fs, 0, 0);
	assert_int_equal(fake_fs_open_count(fs), 0);
	assert_int_not_equal(scenario->judge(fs), '?');
	(void)fake_fs_each_crash(fs, n, judge_state, &watch);
	if (scenario->is_repeatable) {
		/* The next try succeeds, whatever the failed one left, and is durable. */
		assert_int_equal(scenario->run(fake_fs_table(fs)), KT_ERR_OK);
		watch.old_count = 0;
		(void)fake_fs_each_crash(fs, n, judge_state, &watch);
		assert_int_equal(watch.old_count, 0);
	}
	fake_fs_free(fs);
	return touched;
}

static void any_failing_call_is_reported_and_can_be_tried_again(void **state)
{
	static const int failures[] = {EIO, ENOSPC, EROFS};

	(void)state;
	for (size_t i = 0; i < SCENARIO_COUNT; i++) {
		for (size_t k = 0; k < sizeof(failures) / sizeof(failures[0]); k++) {
			unsigned n = 1;

			while (fail_nth(&scenarios[i], n, failures[k]))
				n++;
			assert_true(n > 4);
		}
	}
}

static void any_failing_call_of_building_aside_leaves_all_or_nothing(void **state)
{
	unsigned n = 1;
	bool touched = true;

	(void)state;
	for (; touched; n++) {
		struct fake_fs *fs = fake_fs_new();
		struct crash_watch watch = {.scenario = &scenarios[6]};
		enum kt_err err;

		prepare_directory(fs);
		fake_fs_fail_at(fs, n, EIO);
		err = publish_directory(fake_fs_table(fs));
		touched = fake_fs_calls(fs) >= n;
		assert_int_equal(err, touched ? KT_ERR_SYS : KT_ERR_OK);
		fake_fs_fail_at(fs, 0, 0);
		assert_int_equal(fake_fs_open_count(fs), 0);
		(void)fake_fs_each_crash(fs, n, judge_state, &watch);
		if (judge_directory(fs) == 'o') {
			assert_int_equal(publish_directory(fake_fs_table(fs)), KT_ERR_OK);
			assert_int_equal(judge_directory(fs), 'n');
		}
		fake_fs_free(fs);
	}
	assert_true(n > 30);
}

static void a_power_cut_in_the_middle_and_a_restart_end_in_the_new_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCENARIO_COUNT; i++) {
		for (unsigned n = 1; n < 20; n++) {
			struct fake_fs *fs = fake_fs_new();

			if (scenarios[i].prepare == prepare_unsynced_file) {
				fake_fs_free(fs);
				continue;
			}
			scenarios[i].prepare(fs);
			fake_fs_fail_from(fs, n, EIO);
			(void)!scenarios[i].run(fake_fs_table(fs));
			fake_fs_crash(fs, n);
			if (scenarios[i].judge(fs) == 'o')
				assert_int_equal(scenarios[i].run(fake_fs_table(fs)), KT_ERR_OK);
			assert_int_equal(scenarios[i].judge(fs), 'n');
			fake_fs_free(fs);
		}
	}
}

static void short_writes_and_reads_are_gone_on_with(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	struct kt_secret *content = NULL;

	(void)state;
	prepare_old_file(fs);
	fake_fs_limit_io(fs, 1);
	assert_int_equal(write_record(fake_fs_table(fs)), KT_ERR_OK);
	assert_int_equal(judge_replaced(fs), 'n');
	assert_int_equal(kt_file_read(fake_fs_table(fs), "/s/record", 100, &content), KT_ERR_OK);
	assert_int_equal(kt_secret_len(content), 26);
	assert_memory_equal(kt_secret_bytes(content), "the new and longer content", 26);
	kt_secret_free(content);
	fake_fs_free(fs);
}

static void an_interrupted_write_is_gone_on_with(void **state)
{
	(void)state;
	/* unlink, open, fchmod, write */
	for (unsigned n = 1; n < 20; n++) {
		struct fake_fs *fs = fake_fs_new();
		enum kt_err err;

		prepare_old_file(fs);
		fake_fs_fail_at(fs, n, EINTR);
		err = write_record(fake_fs_table(fs));
		if (n == 4)
			assert_int_equal(err, KT_ERR_OK);
		assert_int_equal(fake_fs_open_count(fs), 0);
		assert_int_not_equal(judge_replaced(fs), '?');
		fake_fs_free(fs);
	}
}

static void a_full_disk_keeps_the_old_file_and_leaves_no_temporary(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct stat st;

	(void)state;
	prepare_old_file(fs);
	fake_fs_limit_space(fs, 30);
	assert_int_equal(write_record(t), KT_ERR_SYS);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(judge_replaced(fs), 'o');
	assert_int_equal(t->lstat(t->ctx, "/s/record.tmp", &st), -1);
	fake_fs_free(fs);
}

static void paths_that_do_not_fit_are_refused(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	char path[4200];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	path[0] = '/';
	assert_int_equal(kt_file_write(t, path, bytes_of("x"), private_file), KT_ERR_TOO_LONG);
	assert_int_equal(kt_link_switch(t, path, "x"), KT_ERR_TOO_LONG);
	path[4093] = '\0'; /* fits, but not with its .tmp */
	assert_int_equal(kt_file_write(t, path, bytes_of("x"), private_file), KT_ERR_TOO_LONG);
	assert_int_equal(fake_fs_calls(fs), 0);
	fake_fs_free(fs);
}

/* --- removing, on the fake --- */

static const char *const key_names[] = {"key", NULL};

static void prepare_identity(struct fake_fs *fs)
{
	fake_fs_put(fs, "/s/1/key", "the old private key");
	fake_fs_put(fs, "/s/1/cert", "its certificate");
	fake_fs_put(fs, "/s/2/key", "another");
}

struct removal_watch {
	bool may_be_there;
};

/* The key is whole, wiped or gone; the neighbour is untouched. */
static void judge_removal(void *ctx, struct fake_fs *after)
{
	const struct removal_watch *watch = ctx;
	size_t len;
	char *key = fake_fs_content(after, "/s/1/key", &len);
	char *other = fake_fs_content(after, "/s/2/key", &len);

	assert_string_equal(other, "another");
	if (!watch->may_be_there)
		assert_null(key);
	free(key);
	free(other);
}

static void removes_a_directory_for_good(void **state)
{
	unsigned n = 1;
	bool touched = true;

	(void)state;
	for (; touched; n++) {
		struct fake_fs *fs = fake_fs_new();
		struct removal_watch watch = {.may_be_there = true};
		enum kt_err err;

		prepare_identity(fs);
		fake_fs_fail_at(fs, n, EIO);
		err = kt_dir_remove(fake_fs_table(fs), "/s/1", key_names);
		touched = fake_fs_calls(fs) >= n;
		assert_int_equal(err, touched ? KT_ERR_SYS : KT_ERR_OK);
		if (touched)
			assert_int_equal(errno, EIO);
		assert_int_equal(fake_fs_open_count(fs), 0);
		(void)fake_fs_each_crash(fs, n, judge_removal, &watch);
		fake_fs_fail_at(fs, 0, 0);
		assert_int_equal(kt_dir_remove(fake_fs_table(fs), "/s/1", key_names), KT_ERR_OK);
		watch.may_be_there = false;
		(void)fake_fs_each_crash(fs, n, judge_removal, &watch);
		fake_fs_free(fs);
	}
	assert_true(n > 10);
}

static void remember_wiped(void *ctx, struct fake_fs *fs)
{
	bool *was_wiped = ctx;
	size_t len;
	char *key = fake_fs_content(fs, "/s/1/key", &len);

	/* zeros of the same length, and durable before the name goes */
	if (key != NULL && len == 19 && key[0] == '\0' && memcmp(key, key + 1, 18) == 0 &&
	    fake_fs_pending(fs) == 0)
		*was_wiped = true;
	free(key);
}

static void overwrites_a_key_before_its_name_goes(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	bool was_wiped = false;

	(void)state;
	prepare_identity(fs);
	fake_fs_watch(fs, remember_wiped, &was_wiped);
	assert_int_equal(kt_dir_remove(fake_fs_table(fs), "/s/1", key_names), KT_ERR_OK);
	assert_true(was_wiped);
	fake_fs_free(fs);

	fs = fake_fs_new();
	was_wiped = false;
	prepare_identity(fs);
	fake_fs_watch(fs, remember_wiped, &was_wiped);
	assert_int_equal(kt_dir_remove(fake_fs_table(fs), "/s/1", NULL), KT_ERR_OK);
	assert_false(was_wiped);
	fake_fs_free(fs);
}

static void removing_what_is_absent_is_fine(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);

	(void)state;
	prepare_identity(fs);
	assert_int_equal(kt_dir_remove(t, "/s/9", key_names), KT_ERR_OK);
	assert_int_equal(kt_dir_remove(t, "/none/9", key_names), KT_ERR_OK);
	assert_int_equal(kt_dir_remove(t, "/s/1/key", key_names), KT_ERR_SYS);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(kt_dir_sweep(t, "/none"), KT_ERR_OK);
	fake_fs_free(fs);
}

static void a_nested_directory_is_not_removed(void **state)
{
	struct fake_fs *fs = fake_fs_new();

	(void)state;
	fake_fs_put(fs, "/s/1/deep/file", "x");
	assert_int_equal(kt_dir_remove(fake_fs_table(fs), "/s/1", NULL), KT_ERR_SYS);
	assert_int_equal(judge_content(fs, "/s/1/deep/file", NULL, "x"), 'n');
	fake_fs_free(fs);
}

static void a_sweep_removes_temporaries_and_nothing_else(void **state)
{
	struct fake_fs *fs = fake_fs_new();
	const struct kt_fs *t = fake_fs_table(fs);
	struct stat st;

	(void)state;
	fake_fs_put(fs, "/s/record", "r");
	fake_fs_put(fs, "/s/record.tmp", "half");
	fake_fs_put(fs, "/s/7.tmp/key", "half a key");
	fake_fs_put(fs, "/s/7.tmp/key.tmp", "half");
	fake_fs_put(fs, "/s/tmp", "stays");
	fake_fs_put(fs, "/s/x.tmpl", "stays");
	assert_int_equal(t->symlink(t->ctx, "record", "/s/current.tmp"), 0);
	assert_int_equal(kt_dir_sweep(t, "/s"), KT_ERR_OK);
	fake_fs_crash(fs, 5);
	assert_int_equal(t->lstat(t->ctx, "/s/record.tmp", &st), -1);
	assert_int_equal(t->lstat(t->ctx, "/s/7.tmp", &st), -1);
	assert_int_equal(t->lstat(t->ctx, "/s/current.tmp", &st), -1);
	assert_int_equal(judge_content(fs, "/s/record", NULL, "r"), 'n');
	assert_int_equal(judge_content(fs, "/s/tmp", NULL, "stays"), 'n');
	assert_int_equal(judge_content(fs, "/s/x.tmpl", NULL, "stays"), 'n');
	fake_fs_free(fs);
}

static void a_made_directory_stays_and_keeps_its_mode(void **state)
{
	struct kt_file_mode mode = {0750, 1234};
	unsigned n = 1;
	bool touched = true;

	(void)state;
	for (; touched; n++) {
		struct fake_fs *fs = fake_fs_new();
		const struct kt_fs *t = fake_fs_table(fs);
		struct stat st;
		enum kt_err err;

		prepare_directory(fs);
		fake_fs_fail_at(fs, n, EIO);
		err = kt_dir_make(t, "/s/d", mode);
		touched = fake_fs_calls(fs) >= n;
		assert_int_equal(err, touched ? KT_ERR_SYS : KT_ERR_OK);
		assert_int_equal(fake_fs_open_count(fs), 0);
		fake_fs_fail_at(fs, 0, 0);
		assert_int_equal(kt_dir_make(t, "/s/d", mode), KT_ERR_OK);
		fake_fs_crash(fs, n);
		assert_int_equal(t->lstat(t->ctx, "/s/d", &st), 0);
		/* never more open than asked for */
		assert_int_equal(st.st_mode & ~(mode_t)0750, S_IFDIR);
		if (!touched) {
			assert_int_equal(st.st_mode, S_IFDIR | 0750);
			assert_int_equal(st.st_gid, 1234);
		}
		fake_fs_free(fs);
	}
}

static void a_file_in_the_way_is_no_directory(void **state)
{
	struct fake_fs *fs = fake_fs_new();

	(void)state;
	prepare_old_file(fs);
	assert_int_equal(kt_dir_make(fake_fs_table(fs), "/s/record", private_dir), KT_ERR_SYS);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(kt_dir_sync(fake_fs_table(fs), "/s/none"), KT_ERR_SYS);
	assert_int_equal(errno, ENOENT);
	fake_fs_free(fs);
}

/* --- on the kernel's file system --- */

struct tmp_dir {
	char path[64];
	char file[80];
};

static int make_tmp_dir(void **state)
{
	struct tmp_dir *dir = calloc(1, sizeof(*dir));

	if (dir == NULL)
		return -1;
	strcpy(dir->path, "/tmp/kt-durable-XXXXXX");
	if (mkdtemp(dir->path) == NULL) {
		free(dir);
		return -1;
	}
	(void)snprintf(dir->file, sizeof(dir->file), "%s/file", dir->path);
	*state = dir;
	return 0;
}

static int drop_tmp_dir(void **state)
{
	struct tmp_dir *dir = *state;
	int result = kt_dir_remove(kt_fs_posix(), dir->path, NULL) == KT_ERR_OK ? 0 : -1;

	free(dir);
	return result;
}

static void writes_and_reads_back_on_a_real_file_system(void **state)
{
	const struct tmp_dir *dir = *state;
	static const uint8_t content[] = {0, 1, 0xff, '\n', 0};
	struct kt_secret *back = NULL;
	struct stat st;
	mode_t old_umask = umask(0);

	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file,
				       (struct kt_bytes){content, sizeof(content)}, private_file),
			 KT_ERR_OK);
	(void)umask(old_umask);
	assert_int_equal(stat(dir->file, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(kt_file_read_private(kt_fs_posix(), dir->file, 5, 0600, &back), KT_ERR_OK);
	assert_int_equal(kt_secret_len(back), 5);
	assert_memory_equal(kt_secret_bytes(back), content, 5);
	kt_secret_free(back);
	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of(""), private_file),
			 KT_ERR_OK);
	assert_int_equal(kt_file_read(kt_fs_posix(), dir->file, 0, &back), KT_ERR_OK);
	assert_int_equal(kt_secret_len(back), 0);
	kt_secret_free(back);
}

static void a_mode_is_exact_whatever_the_umask(void **state)
{
	const struct tmp_dir *dir = *state;
	struct kt_file_mode mode = {0640, getegid()};
	struct stat st;
	mode_t old_umask = umask(077);

	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of("x"), mode), KT_ERR_OK);
	(void)umask(old_umask);
	assert_int_equal(stat(dir->file, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_gid, getegid());
}

static void size_limits_and_absence_are_told_apart(void **state)
{
	const struct tmp_dir *dir = *state;
	struct kt_secret *back = (struct kt_secret *)&back;

	assert_int_equal(kt_file_read(kt_fs_posix(), dir->file, 10, &back), KT_ERR_NOT_FOUND);
	assert_null(back);
	assert_int_equal(kt_file_read_private(kt_fs_posix(), dir->file, 10, 0600, &back),
			 KT_ERR_NOT_FOUND);
	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of("12345"), private_file),
			 KT_ERR_OK);
	assert_int_equal(kt_file_read(kt_fs_posix(), dir->file, 4, &back), KT_ERR_TOO_LONG);
	assert_null(back);
	assert_int_equal(kt_file_read(kt_fs_posix(), dir->path, 4096, &back), KT_ERR_SYS);
	assert_int_equal(errno, EISDIR);
}

static void a_key_file_open_to_others_is_refused(void **state)
{
	const struct tmp_dir *dir = *state;
	static const struct {
		mode_t mode;
		mode_t allowed;
		enum kt_err err;
	} cases[] = {
		{0600, 0600, KT_ERR_OK},       {0400, 0600, KT_ERR_OK},
		{0640, 0640, KT_ERR_OK},       {0640, 0600, KT_ERR_INSECURE},
		{0604, 0600, KT_ERR_INSECURE}, {0644, 0640, KT_ERR_INSECURE},
		{0660, 0640, KT_ERR_INSECURE}, {0602, 0640, KT_ERR_INSECURE},
		{0601, 0600, KT_ERR_INSECURE}, {0777, 0640, KT_ERR_INSECURE},
	};

	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of("key"), private_file),
			 KT_ERR_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_secret *back = NULL;

		assert_int_equal(chmod(dir->file, cases[i].mode), 0);
		assert_int_equal(
			kt_file_read_private(kt_fs_posix(), dir->file, 10, cases[i].allowed, &back),
			cases[i].err);
		assert_int_equal(back != NULL, cases[i].err == KT_ERR_OK);
		kt_secret_free(back);
	}
}

static void a_key_file_must_be_a_file_itself(void **state)
{
	const struct tmp_dir *dir = *state;
	char path[100];
	struct kt_secret *back = NULL;

	(void)snprintf(path, sizeof(path), "%s/link", dir->path);
	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of("key"), private_file),
			 KT_ERR_OK);
	assert_int_equal(symlink("file", path), 0);
	assert_int_equal(kt_file_read_private(kt_fs_posix(), path, 10, 0600, &back),
			 KT_ERR_INSECURE);
	assert_int_equal(kt_file_read(kt_fs_posix(), path, 10, &back), KT_ERR_OK);
	kt_secret_free(back);
	(void)snprintf(path, sizeof(path), "%s/fifo", dir->path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(kt_file_read_private(kt_fs_posix(), path, 10, 0600, &back),
			 KT_ERR_INSECURE);
	assert_int_equal(kt_file_read(kt_fs_posix(), path, 10, &back), KT_ERR_SYS);
	assert_int_equal(errno, EINVAL);
	assert_null(back);
}

static void switches_links_on_a_real_file_system(void **state)
{
	const struct tmp_dir *dir = *state;
	char link[100];
	char target[16];

	(void)snprintf(link, sizeof(link), "%s/current", dir->path);
	for (int i = 1; i <= 3; i++) {
		char name[16];
		ssize_t len;

		(void)snprintf(name, sizeof(name), "%06d", i);
		assert_int_equal(kt_link_switch(kt_fs_posix(), link, name), KT_ERR_OK);
		len = readlink(link, target, sizeof(target));
		assert_int_equal(len, 6);
		assert_memory_equal(target, name, 6);
	}
}

static void a_stale_temporary_link_is_not_written_through(void **state)
{
	const struct tmp_dir *dir = *state;
	char tmp[100];
	char victim[100];
	struct stat st;

	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", dir->file);
	(void)snprintf(victim, sizeof(victim), "%s/victim", dir->path);
	assert_int_equal(symlink(victim, tmp), 0);
	assert_int_equal(kt_file_write(kt_fs_posix(), dir->file, bytes_of("x"), private_file),
			 KT_ERR_OK);
	assert_int_equal(lstat(victim, &st), -1);
}

static void builds_aside_and_publishes_on_a_real_file_system(void **state)
{
	const struct tmp_dir *dir = *state;
	const struct kt_fs *fs = kt_fs_posix();
	char tmp[100];
	char path[100];
	char file[120];
	struct kt_secret *back = NULL;

	(void)snprintf(tmp, sizeof(tmp), "%s/7.tmp", dir->path);
	(void)snprintf(path, sizeof(path), "%s/7", dir->path);
	(void)snprintf(file, sizeof(file), "%s/key", tmp);
	assert_int_equal(kt_dir_make(fs, tmp, private_dir), KT_ERR_OK);
	assert_int_equal(kt_dir_make(fs, tmp, private_dir), KT_ERR_OK);
	assert_int_equal(kt_file_write(fs, file, bytes_of("k"), private_file), KT_ERR_OK);
	assert_int_equal(kt_path_publish(fs, tmp, path), KT_ERR_OK);
	(void)snprintf(file, sizeof(file), "%s/key", path);
	assert_int_equal(kt_file_read_private(fs, file, 10, 0600, &back), KT_ERR_OK);
	kt_secret_free(back);
	assert_int_equal(kt_dir_make(fs, tmp, private_dir), KT_ERR_OK);
	assert_int_equal(kt_path_publish(fs, tmp, path), KT_ERR_SYS); /* not over a full one */
	assert_int_equal(kt_dir_sweep(fs, dir->path), KT_ERR_OK);
	assert_int_equal(access(tmp, F_OK), -1);
	assert_int_equal(kt_dir_remove(fs, path, key_names), KT_ERR_OK);
	assert_int_equal(access(path, F_OK), -1);
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_tmp_dir, drop_tmp_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_power_cut_at_any_call_leaves_old_or_new),
		cmocka_unit_test(any_failing_call_is_reported_and_can_be_tried_again),
		cmocka_unit_test(any_failing_call_of_building_aside_leaves_all_or_nothing),
		cmocka_unit_test(a_power_cut_in_the_middle_and_a_restart_end_in_the_new_state),
		cmocka_unit_test(short_writes_and_reads_are_gone_on_with),
		cmocka_unit_test(an_interrupted_write_is_gone_on_with),
		cmocka_unit_test(a_full_disk_keeps_the_old_file_and_leaves_no_temporary),
		cmocka_unit_test(paths_that_do_not_fit_are_refused),
		cmocka_unit_test(removes_a_directory_for_good),
		cmocka_unit_test(overwrites_a_key_before_its_name_goes),
		cmocka_unit_test(removing_what_is_absent_is_fine),
		cmocka_unit_test(a_nested_directory_is_not_removed),
		cmocka_unit_test(a_sweep_removes_temporaries_and_nothing_else),
		cmocka_unit_test(a_made_directory_stays_and_keeps_its_mode),
		cmocka_unit_test(a_file_in_the_way_is_no_directory),
		ON_DISK(writes_and_reads_back_on_a_real_file_system),
		ON_DISK(a_mode_is_exact_whatever_the_umask),
		ON_DISK(size_limits_and_absence_are_told_apart),
		ON_DISK(a_key_file_open_to_others_is_refused),
		ON_DISK(a_key_file_must_be_a_file_itself),
		ON_DISK(switches_links_on_a_real_file_system),
		ON_DISK(a_stale_temporary_link_is_not_written_through),
		ON_DISK(builds_aside_and_publishes_on_a_real_file_system),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
