#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "encoding.h"
#include "failing_alloc.h"
#include "index.h"
#include "ledger.h"
#include "records.h"
#include "registry_dump.h"
#include "registry_internal.h"

struct world {
	char root[64];
	char state_dir[80];
	char ledger_dir[80];
	char why[512];
	char lines[4096]; /* what was logged */
	struct kt_log log;
	struct kt_store_config config;
	struct kt_registry *registry;
	struct kt_store *store;
	pthread_mutex_t mutex;
	pthread_cond_t woken;
	unsigned wakes;
};

static void sink(void *ctx, enum kt_log_level level, const char *line)
{
	struct world *w = ctx;
	size_t len = strlen(w->lines);

	(void)level;
	(void)snprintf(w->lines + len, sizeof(w->lines) - len, "%s\n", line);
}

static void wake(void *ctx)
{
	struct world *w = ctx;

	(void)pthread_mutex_lock(&w->mutex);
	w->wakes++;
	(void)pthread_cond_signal(&w->woken);
	(void)pthread_mutex_unlock(&w->mutex);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	memcpy(w->root, "/tmp/kt-store-XXXXXX", sizeof("/tmp/kt-store-XXXXXX"));
	assert_non_null(mkdtemp(w->root));
	(void)snprintf(w->state_dir, sizeof(w->state_dir), "%s/state", w->root);
	(void)snprintf(w->ledger_dir, sizeof(w->ledger_dir), "%s/ledger", w->root);
	kt_log_init(&w->log, sink, w, KT_LOG_DEBUG);
	w->config.state_dir = w->state_dir;
	w->config.ledger_dir = w->ledger_dir;
	w->config.trust_domain = "example.org";
	w->config.wake = wake;
	w->config.wake_ctx = w;
	assert_int_equal(pthread_mutex_init(&w->mutex, NULL), 0);
	assert_int_equal(pthread_cond_init(&w->woken, NULL), 0);
	*state = w;
	return 0;
}

static void remove_dir(const char *dir)
{
	char name[512];
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		(void)snprintf(name, sizeof(name), "%s/%s", dir, e->d_name);
		(void)unlink(name);
	}
	(void)closedir(d);
	(void)rmdir(dir);
}

static void close_world(struct world *w)
{
	kt_store_close(w->store);
	kt_registry_free(w->registry);
	w->store = NULL;
	w->registry = NULL;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close_world(w);
	remove_dir(w->state_dir);
	remove_dir(w->ledger_dir);
	assert_int_equal(rmdir(w->root), 0);
	(void)pthread_cond_destroy(&w->woken);
	(void)pthread_mutex_destroy(&w->mutex);
	free(w);
	return 0;
}

static enum kt_err open_world(struct world *w)
{
	enum kt_err err;

	assert_int_equal(kt_registry_new(&w->registry), KT_ERR_OK);
	w->lines[0] = '\0';
	err = kt_store_open(&w->config, &w->log, TIME_0 + 1000000, w->registry, &w->store, w->why);
	if (err != KT_ERR_OK) {
		assert_null(w->store);
		assert_true(strlen(w->why) > 10);
		kt_registry_free(w->registry);
		w->registry = NULL;
	}
	return err;
}

static enum kt_err append(struct world *w, const struct kt_record *record)
{
	const struct kt_journal *journal = kt_store_journal(w->store);

	assert_int_equal(journal->reserve(journal->ctx, record), KT_ERR_OK);
	take(w->registry, record);
	return journal->append(journal->ctx, record, w->registry);
}

static void append_kind(struct world *w, enum kt_record_kind kind, const char *device, uint32_t n)
{
	struct kt_record rec = record_for(w->registry, kind, device, n);

	assert_int_equal(append(w, &rec), KT_ERR_OK);
}

/* Until all that was appended is durable, or the ledger has failed. */
static struct kt_store_status wait_durable(struct world *w)
{
	struct kt_store_status status;

	for (;;) {
		unsigned wakes;

		(void)pthread_mutex_lock(&w->mutex);
		wakes = w->wakes;
		(void)pthread_mutex_unlock(&w->mutex);
		kt_store_poll(w->store, &status);
		if (status.failed || status.durable_seq == kt_registry_seq(w->registry))
			return status;
		(void)pthread_mutex_lock(&w->mutex);
		while (w->wakes == wakes)
			(void)pthread_cond_wait(&w->woken, &w->mutex);
		(void)pthread_mutex_unlock(&w->mutex);
	}
}

/* Until the ledger thread has told of something, and nobody asks for it in between. */
static void wait_woken(struct world *w)
{
	(void)pthread_mutex_lock(&w->mutex);
	while (w->wakes == 0)
		(void)pthread_cond_wait(&w->woken, &w->mutex);
	(void)pthread_mutex_unlock(&w->mutex);
}

static void fill(struct world *w)
{
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	append_kind(w, KT_RECORD_TICKET_CREATE, "hub-2", 2);
	append_kind(w, KT_RECORD_DENY, NULL, 3);
	append_kind(w, KT_RECORD_QUARANTINE, "hub-1", 4);
}

/* Opens again and compares with @expected (moved). */
static void reopens_as(struct world *w, char *expected)
{
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	registry_audit(w->registry);
	dump = registry_dump(w->registry);
	assert_string_equal(dump, expected);
	free(dump);
	free(expected);
}

static void path_of(const char *dir, const char *name, char out[static 128])
{
	(void)snprintf(out, 128, "%s/%s", dir, name);
}

static void copy_file(const char *from, const char *to)
{
	char bytes[65536];
	FILE *in = fopen(from, "re");
	FILE *out = fopen(to, "we");
	size_t len;

	assert_non_null(in);
	assert_non_null(out);
	while ((len = fread(bytes, 1, sizeof(bytes), in)) > 0)
		assert_int_equal(fwrite(bytes, 1, len, out), len);
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
}

static void remove_index(const struct world *w)
{
	char path[128];

	path_of(w->state_dir, "index.sqlite", path);
	assert_int_equal(unlink(path), 0);
}

static off_t ledger_size(const struct world *w)
{
	char path[128];
	struct stat st;

	path_of(w->ledger_dir, "ledger.kt", path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void truncate_ledger(const struct world *w, off_t size)
{
	char path[128];

	path_of(w->ledger_dir, "ledger.kt", path);
	assert_int_equal(truncate(path, size), 0);
}

static void a_first_start_begins_the_ledger(void **state)
{
	struct world *w = *state;
	struct kt_store_status status;
	struct stat st;

	assert_int_equal(open_world(w), KT_ERR_OK);
	assert_true(kt_registry_seq(w->registry) == 1);
	assert_string_equal(kt_registry_trust_domain(w->registry), "example.org");
	kt_store_poll(w->store, &status);
	assert_true(status.durable_seq == 1 && !status.failed && !status.index_failed);
	assert_string_equal(w->lines, "");
	assert_int_equal(stat(w->state_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(w->ledger_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void what_was_appended_is_there_after_a_restart(void **state)
{
	struct world *w = *state;
	struct kt_store_status status;
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	status = wait_durable(w);
	assert_true(status.durable_seq == 5 && !status.failed);
	dump = registry_dump(w->registry);
	close_world(w);
	reopens_as(w, dump);
	assert_string_equal(w->lines, "");
}

static void close_flushes_what_waits(void **state)
{
	struct world *w = *state;
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	dump = registry_dump(w->registry);
	close_world(w); /* without waiting */
	reopens_as(w, dump);
}

static void ten_thousand_records_go_in_groups(void **state)
{
	enum { COUNT = 10000 };
	struct world *w = *state;
	struct kt_store_status status;
	char id[16];
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	for (uint32_t n = 1; n <= COUNT; n++) {
		(void)snprintf(id, sizeof(id), "hub-%u", n);
		append_kind(w, KT_RECORD_DEVICE_CREATE, id, n);
	}
	status = wait_durable(w);
	assert_true(status.durable_seq == COUNT + 1 && !status.failed);
	assert_true(w->wakes < COUNT / 2); /* a wake per group, not per record */
	dump = registry_dump(w->registry);
	close_world(w);
	reopens_as(w, dump);
}

static void a_second_open_is_refused_while_the_first_lives(void **state)
{
	struct world *w = *state;
	struct kt_registry *other = NULL;
	struct kt_store *second = NULL;
	char why[512];

	assert_int_equal(open_world(w), KT_ERR_OK);
	assert_int_equal(kt_registry_new(&other), KT_ERR_OK);
	assert_int_equal(kt_store_open(&w->config, &w->log, TIME_0, other, &second, why),
			 KT_ERR_BUSY);
	assert_null(second);
	assert_non_null(strstr(why, "/state/lock"));
	kt_registry_free(other);
	close_world(w);
	assert_int_equal(open_world(w), KT_ERR_OK);
}

/* Two lines of records in one file would be one that nobody can read. */
static void two_registries_cannot_share_a_ledger(void **state)
{
	struct world *w = *state;
	char other_state[96];
	char why[512];
	struct kt_store_config other = w->config;
	struct kt_registry *registry = NULL;
	struct kt_store *store = NULL;

	assert_int_equal(open_world(w), KT_ERR_OK);
	(void)snprintf(other_state, sizeof(other_state), "%s/other", w->root);
	other.state_dir = other_state;
	assert_int_equal(kt_registry_new(&registry), KT_ERR_OK);
	assert_int_equal(kt_store_open(&other, &w->log, TIME_0, registry, &store, why),
			 KT_ERR_BUSY);
	assert_null(store);
	assert_non_null(strstr(why, "/ledger"));
	close_world(w);
	assert_int_equal(kt_store_open(&other, &w->log, TIME_0, registry, &store, why), KT_ERR_OK);
	kt_store_close(store);
	kt_registry_free(registry);
	remove_dir(other_state);
}

static void a_lost_index_is_rebuilt(void **state)
{
	struct world *w = *state;
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	dump = registry_dump(w->registry);
	close_world(w);
	remove_index(w);
	reopens_as(w, dump);
	assert_non_null(strstr(w->lines, "event=index.rebuilt"));
	dump = registry_dump(w->registry);
	close_world(w);
	reopens_as(w, dump); /* now from the index */
	assert_string_equal(w->lines, "");
}

static void a_corrupt_index_is_rebuilt(void **state)
{
	struct world *w = *state;
	char path[128];
	FILE *f;
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	dump = registry_dump(w->registry);
	close_world(w);
	path_of(w->state_dir, "index.sqlite", path);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fwrite("broken broken broken", 1, 20, f), 20);
	assert_int_equal(fclose(f), 0);
	reopens_as(w, dump);
	assert_non_null(strstr(w->lines, "event=index.rebuilt"));
}

static void an_index_that_lags_is_caught_up(void **state)
{
	struct world *w = *state;
	char index[128];
	char saved[128];
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-9", 9);
	close_world(w);
	path_of(w->state_dir, "index.sqlite", index);
	path_of(w->state_dir, "saved", saved);
	copy_file(index, saved);
	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	dump = registry_dump(w->registry);
	close_world(w);
	assert_int_equal(rename(saved, index), 0);
	reopens_as(w, dump);
	assert_string_equal(w->lines, ""); /* nothing to tell */
}

/* One byte of the index, or as many as @len, at @at; or where @text is first. */
static void damage_index(const struct world *w, long at, const char *text, const char *bytes,
			 size_t len)
{
	static uint8_t file[1 << 20];
	const uint8_t *found = NULL;
	char path[128];
	size_t size;
	FILE *f;

	path_of(w->state_dir, "index.sqlite", path);
	f = fopen(path, "r+e");
	assert_non_null(f);
	size = fread(file, 1, sizeof(file), f);
	if (text != NULL) {
		found = memmem(file, size, text, strlen(text));
		assert_non_null(found);
		at = (long)(found - file);
	}
	assert_true((size_t)at + len <= size);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* All of it stands in the index. @dump is not given back. */
static void index_holds(const struct world *w, const char *dump)
{
	struct kt_registry *loaded = NULL;
	struct kt_index *index = NULL;
	char path[128];
	char *got;

	path_of(w->state_dir, "index.sqlite", path);
	assert_int_equal(kt_registry_new(&loaded), KT_ERR_OK);
	assert_int_equal(kt_index_open(kt_fs_posix(), path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_load(index, loaded), KT_ERR_OK);
	kt_index_close(index);
	got = registry_dump(loaded);
	assert_string_equal(got, dump);
	free(got);
	kt_registry_free(loaded);
}

/* How far it knew is told also by one whose rows, pages or schema are of no more use. */
static void a_damaged_index_is_a_witness_still(void **state)
{
	static const struct {
		long at;
		const char *text;
		const char *bytes;
		size_t len;
	} damages[] = {
		{0, "hub-39", "hub-93", 6},		  /* a row */
		{2L * 4096, NULL, "\x77\x77\x77\x77", 4}, /* the root page of the devices */
		{63, NULL, "\x03", 1},			  /* user_version: of the version before */
	};
	struct world *w = *state;
	char ledger[128];
	char old[128];
	char new[128];
	char *dump;

	path_of(w->ledger_dir, "ledger.kt", ledger);
	path_of(w->root, "old", old);
	path_of(w->root, "new", new);
	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	close_world(w);
	copy_file(ledger, old);
	assert_int_equal(open_world(w), KT_ERR_OK);
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-39", 39);
	(void)wait_durable(w);
	dump = registry_dump(w->registry);
	close_world(w);
	copy_file(ledger, new);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		damage_index(w, damages[i].at, damages[i].text, damages[i].bytes, damages[i].len);
		copy_file(old, ledger);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
			assert_non_null(strstr(w->why, "is older than the index"));
		}
		assert_int_equal(unlink(ledger), 0);
		assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
		copy_file(new, ledger);
		reopens_as(w, strdup(dump));
		assert_non_null(strstr(w->lines, "event=index.rebuilt"));
		close_world(w);
		index_holds(w, dump);
		reopens_as(w, strdup(dump)); /* whole again */
		assert_string_equal(w->lines, "");
		close_world(w);
	}
	assert_int_equal(unlink(old) + unlink(new), 0);
	free(dump);
}

/* --- an index that is lost, damaged, older, or half of it: nobody notices -----------------------
 */

/* Copies of the index and its WAL: A early, B later, both while it was open; C after the close. */
static void put_index(const struct world *w, const char *name, const char *from)
{
	char path[128];
	char copy[128];

	path_of(w->state_dir, name, path);
	(void)unlink(path);
	if (from == NULL)
		return;
	path_of(w->root, from, copy);
	copy_file(copy, path);
}

static void take_index(const struct world *w, const char *to, const char *to_wal)
{
	char path[128];
	char copy[128];

	path_of(w->state_dir, "index.sqlite", path);
	path_of(w->root, to, copy);
	copy_file(path, copy);
	if (to_wal == NULL)
		return;
	path_of(w->state_dir, "index.sqlite-wal", path);
	path_of(w->root, to_wal, copy);
	copy_file(path, copy);
}

static void write_text(const struct world *w, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	path_of(w->root, name, path);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void make_history(struct world *w)
{
	char id[16];

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	(void)wait_durable(w);
	close_world(w);
	assert_int_equal(open_world(w), KT_ERR_OK);
	for (uint32_t n = 10; n < 40; n++) {
		(void)snprintf(id, sizeof(id), "hub-%u", n);
		append_kind(w, KT_RECORD_DEVICE_CREATE, id, n);
	}
	close_world(w);
	assert_int_equal(open_world(w), KT_ERR_OK);
	append_kind(w, KT_RECORD_RELEASE, "hub-1", 0);
	(void)wait_durable(w);
	take_index(w, "A", "A-wal");
	append_kind(w, KT_RECORD_REVOKE, "hub-10", 0);
	append_kind(w, KT_RECORD_DELETE, "hub-11", 0);
	append_kind(w, KT_RECORD_QUARANTINE, "hub-12", 0);
	(void)wait_durable(w);
	take_index(w, "B", "B-wal");
	close_world(w);
	take_index(w, "C", NULL);
	write_text(w, "empty", "");
	write_text(w, "garbage",
		   "a text that is longer than the header of a database would be, and "
		   "that has nothing to do with one, whoever wrote it to this place");
}

static void whatever_became_of_the_index_the_ledger_decides(void **state)
{
	static const char *const mains[] = {NULL, "empty", "garbage", "A", "B", "C"};
	static const char *const wals[] = {NULL, "empty", "garbage", "A-wal", "B-wal"};
	static const char *const made[] = {"A", "A-wal", "B", "B-wal", "C", "empty", "garbage"};
	struct world *w = *state;
	char *expected;

	make_history(w);
	assert_int_equal(open_world(w), KT_ERR_OK);
	expected = registry_dump(w->registry);
	close_world(w);
	for (size_t m = 0; m < sizeof(mains) / sizeof(mains[0]); m++) {
		for (size_t v = 0; v < sizeof(wals) / sizeof(wals[0]); v++) {
			put_index(w, "index.sqlite", mains[m]);
			put_index(w, "index.sqlite-wal", wals[v]);
			reopens_as(w, strdup(expected));
			close_world(w);
			reopens_as(w, strdup(expected)); /* and what it left is right */
			close_world(w);
		}
	}
	free(expected);
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		char path[128];

		path_of(w->root, made[i], path);
		assert_int_equal(unlink(path), 0);
	}
}

/* Rows of later records under the number of an earlier one: files of two moments, put together. */
static void an_index_of_two_moments_is_not_believed(void **state)
{
	struct world *w = *state;
	struct kt_store_status early;
	struct kt_registry *later = NULL;
	struct kt_index *index = NULL;
	struct kt_index_batch *batch = NULL;
	char path[128];
	char *expected;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	early = wait_durable(w);
	append_kind(w, KT_RECORD_DELETE, "hub-1", 0);
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-3", 3);
	(void)wait_durable(w);
	expected = registry_dump(w->registry);
	later = w->registry;
	w->registry = NULL;
	close_world(w);
	for (const char *id = "hub-1"; id != NULL; id = strcmp(id, "hub-1") == 0 ? "hub-3" : NULL)
		kt_row_mark_device(later, kt_row_device(later, id));
	path_of(w->state_dir, "index.sqlite", path);
	assert_int_equal(kt_index_open(kt_fs_posix(), path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_collect(later, &batch), KT_ERR_OK);
	assert_int_equal(kt_index_write(index, &batch, 1, early.durable_seq, early.head),
			 KT_ERR_OK);
	kt_index_batch_free(batch);
	kt_index_close(index);
	kt_registry_free(later);
	reopens_as(w, expected);
}

/* A row that was altered, and makes sense all the same: the ledger is what counts. */
static void an_altered_row_of_the_index_is_not_believed(void **state)
{
	struct world *w = *state;
	struct kt_device_row *row;
	struct kt_store_status status;
	struct kt_index *index = NULL;
	struct kt_index_batch *batch = NULL;
	char path[128];
	char *expected;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	status = wait_durable(w);
	expected = registry_dump(w->registry);
	row = kt_row_device(w->registry, "hub-1");
	row->d.op += 1000;
	row->d.frozen = true;
	kt_row_mark_device(w->registry, row);
	assert_int_equal(kt_index_collect(w->registry, &batch), KT_ERR_OK);
	close_world(w);
	path_of(w->state_dir, "index.sqlite", path);
	assert_int_equal(kt_index_open(kt_fs_posix(), path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_write(index, &batch, 1, status.durable_seq, status.head),
			 KT_ERR_OK);
	kt_index_batch_free(batch);
	kt_index_close(index);
	reopens_as(w, expected);
}

static void an_older_ledger_is_a_rollback(void **state)
{
	struct world *w = *state;
	struct kt_store_status status;
	char head[65];
	off_t size;

	assert_int_equal(open_world(w), KT_ERR_OK);
	status = wait_durable(w);
	assert_int_equal(kt_hex_encode(status.head, 32, head, sizeof(head)), KT_ERR_OK);
	size = ledger_size(w);
	fill(w);
	close_world(w);
	truncate_ledger(w, size);
	assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "is older than the index"));
	assert_non_null(strstr(w->why, "keyturnctl restore --accept-rollback "));
	assert_non_null(strstr(w->why, head));
	assert_int_equal(ledger_size(w), size);
}

static void a_cut_that_would_lose_indexed_records_is_a_rollback(void **state)
{
	struct world *w = *state;
	off_t size;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	close_world(w);
	size = ledger_size(w);
	truncate_ledger(w, size - 1);
	assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
	assert_int_equal(ledger_size(w), size - 1); /* refused before anything is cut */
}

static void a_missing_ledger_is_a_rollback(void **state)
{
	struct world *w = *state;
	char path[128];

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	close_world(w);
	path_of(w->ledger_dir, "ledger.kt", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "is missing"));
	assert_int_equal(access(path, F_OK), -1); /* and stays so */
}

/* That there was a registry is all it tells, and enough: at every start, until somebody decides. */
static void a_damaged_index_without_a_ledger_is_no_fresh_start(void **state)
{
	static const char *const lost[] = {NULL, "empty"};
	struct world *w = *state;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	close_world(w);
	write_text(w, "garbage", "no database, and long enough to be one's first page: 0123456789");
	write_text(w, "empty", "");
	for (size_t i = 0; i < 2; i++) {
		char ledger[128];
		char from[128];

		path_of(w->ledger_dir, "ledger.kt", ledger);
		assert_true(unlink(ledger) == 0 || i > 0);
		if (lost[i] != NULL) {
			path_of(w->root, lost[i], from);
			copy_file(from, ledger);
		}
		put_index(w, "index.sqlite", "garbage");
		put_index(w, "index.sqlite-wal", NULL);
		for (int start = 0; start < 2; start++) {
			assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
			assert_non_null(strstr(w->why, "--accept-rollback lost"));
		}
	}
	put_index(w, "index.sqlite", NULL); /* nothing at all: a first start */
	assert_int_equal(open_world(w), KT_ERR_OK);
	{
		char path[128];

		path_of(w->root, "garbage", path);
		assert_int_equal(unlink(path), 0);
		path_of(w->root, "empty", path);
		assert_int_equal(unlink(path), 0);
	}
}

static void another_history_is_a_rollback(void **state)
{
	struct world *w = *state;
	struct kt_ledger_state s = {0};
	struct kt_ledger *other = NULL;
	struct kt_record records[2];
	const struct kt_record *group[2] = {&records[0], &records[1]};
	struct kt_registry *r = registry_begun();
	char path[128];

	records[0] = record_begin();
	records[1] = record_for(r, KT_RECORD_DEVICE_CREATE, "hub-2", 2);
	kt_registry_free(r);
	assert_int_equal(open_world(w), KT_ERR_OK);
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	close_world(w);
	/* A whole ledger of as many records, but not the one that the index knows. */
	path_of(w->ledger_dir, "ledger.kt", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kt_ledger_open(kt_fs_posix(), w->ledger_dir, &s, &other), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(other, group, 2, &s), KT_ERR_OK);
	kt_ledger_close(other);
	assert_int_equal(open_world(w), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "another record"));
}

static void an_unindexed_tail_is_cut_with_an_event(void **state)
{
	struct world *w = *state;
	char path[128];
	char *dump;
	FILE *f;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	dump = registry_dump(w->registry);
	close_world(w);
	path_of(w->ledger_dir, "ledger.kt", path);
	f = fopen(path, "ae");
	assert_non_null(f);
	assert_int_equal(fwrite("0123456789", 1, 10, f), 10);
	assert_int_equal(fclose(f), 0);
	reopens_as(w, dump);
	assert_string_equal(w->lines, "event=ledger.cut bytes=10\n");
}

static void an_altered_ledger_is_corrupt_and_names_the_line(void **state)
{
	struct world *w = *state;
	char path[128];
	FILE *f;

	assert_int_equal(open_world(w), KT_ERR_OK);
	fill(w);
	close_world(w);
	path_of(w->ledger_dir, "ledger.kt", path);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, 100, SEEK_SET), 0);
	assert_int_equal(fwrite("X", 1, 1, f), 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(open_world(w), KT_ERR_CORRUPT);
	assert_non_null(strstr(w->why, "line 1 of"));
}

static void another_trust_domain_is_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(open_world(w), KT_ERR_OK);
	close_world(w);
	w->config.trust_domain = "example.com";
	assert_int_equal(open_world(w), KT_ERR_STATE);
	assert_non_null(strstr(w->why, "example.org"));
	assert_non_null(strstr(w->why, "example.com"));
}

static void newer_files_are_refused(void **state)
{
	static const uint8_t newer[] = {0, 0, 0, KT_INDEX_VERSION + 1};
	struct world *w = *state;
	char path[128];
	FILE *f;

	assert_int_equal(open_world(w), KT_ERR_OK);
	close_world(w);
	path_of(w->state_dir, "index.sqlite", path);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, 60, SEEK_SET), 0);
	assert_int_equal(fwrite(newer, 1, 4, f), 4);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(open_world(w), KT_ERR_VERSION);
	assert_int_equal(unlink(path), 0);
	path_of(w->ledger_dir, "ledger.kt", path);
	copy_file(KT_VECTORS "/formats/ledger-v2.kt", path);
	assert_int_equal(open_world(w), KT_ERR_VERSION);
}

static void directories_open_to_others_are_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(w->state_dir, 0700), 0);
	assert_int_equal(mkdir(w->ledger_dir, 0700), 0);
	assert_int_equal(chmod(w->ledger_dir, 0720), 0);
	assert_int_equal(open_world(w), KT_ERR_INSECURE);
	assert_non_null(strstr(w->why, w->ledger_dir));
	assert_int_equal(chmod(w->ledger_dir, 0700), 0);
	assert_int_equal(chmod(w->state_dir, 0702), 0);
	assert_int_equal(open_world(w), KT_ERR_INSECURE);
	assert_int_equal(chmod(w->state_dir, 0755), 0); /* may be read */
	assert_int_equal(open_world(w), KT_ERR_OK);
}

static void a_missing_parent_directory_is_named(void **state)
{
	struct world *w = *state;

	w->config.state_dir = "/nonexistent/keyturn/state";
	assert_int_equal(open_world(w), KT_ERR_SYS);
	assert_non_null(strstr(w->why, "/nonexistent/keyturn/state"));
}

/* The disk is full: RLIMIT_FSIZE stands in for it (EFBIG instead of ENOSPC). */
static void after_a_failed_write_nothing_becomes_durable(void **state)
{
	struct world *w = *state;
	struct rlimit before;
	struct rlimit small;
	struct kt_store_status status;
	struct kt_record rec;
	char *dump;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(open_world(w), KT_ERR_OK);
	dump = registry_dump(w->registry);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = (rlim_t)ledger_size(w) + 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	status = wait_durable(w);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(status.failed && status.durable_seq == 1);
	assert_string_equal(w->lines, "event=ledger.failed durable_seq=1\n");
	rec = record_for(w->registry, KT_RECORD_QUARANTINE, "hub-1", 1);
	assert_int_equal(append(w, &rec), KT_ERR_STATE);
	kt_store_poll(w->store, &status);
	assert_true(status.failed && status.durable_seq == 1);
	assert_string_equal(w->lines, "event=ledger.failed durable_seq=1\n"); /* told once */
	close_world(w);
	reopens_as(w, dump);
	assert_non_null(strstr(w->lines, "event=ledger.cut bytes=10"));
}

static void what_is_handed_over_becomes_durable_without_a_poll(void **state)
{
	struct world *w = *state;
	struct kt_store_status status;

	assert_int_equal(open_world(w), KT_ERR_OK);
	kt_store_hand_over(w->store); /* nothing to hand over is fine */
	append_kind(w, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	kt_store_hand_over(w->store);
	wait_woken(w);
	kt_store_poll(w->store, &status);
	assert_false(status.failed);
	assert_int_equal(status.durable_seq, kt_registry_seq(w->registry));
}

/* Room for a record comes first: without it nothing is applied, and the ledger is as good as ever.
 */
static void a_record_without_memory_does_not_fail_the_ledger(void **state)
{
	struct world *w = *state;
	const struct kt_journal *journal;
	struct kt_store_status status;
	struct kt_record rec;
	size_t n = 0;
	bool has_failed;

	assert_int_equal(open_world(w), KT_ERR_OK);
	journal = kt_store_journal(w->store);
	(void)wait_durable(w);
	rec = record_for(w->registry, KT_RECORD_DEVICE_CREATE, "hub-1", 1);
	do {
		enum kt_err err;

		failing_alloc_set(++n);
		err = journal->reserve(journal->ctx, &rec);
		has_failed = failing_alloc_end();
		assert_int_equal(err, has_failed ? KT_ERR_NOMEM : KT_ERR_OK);
	} while (has_failed);
	assert_true(n > 1);
	take(w->registry, &rec);
	assert_int_equal(journal->append(journal->ctx, &rec, w->registry), KT_ERR_OK);
	status = wait_durable(w);
	assert_false(status.failed);
	assert_int_equal(status.durable_seq, 2);
}

/* What was taken waits for memory, and becomes durable: nothing of it had been written. */
static void a_record_waits_for_memory(void **state)
{
	struct world *w = *state;
	const struct kt_journal *journal;
	unsigned failures = 0;
	char *dump;

	assert_int_equal(open_world(w), KT_ERR_OK);
	journal = kt_store_journal(w->store);
	(void)wait_durable(w);
	for (uint32_t n = 1; n <= 40; n++) {
		char name[16];
		struct kt_record rec;

		(void)snprintf(name, sizeof(name), "hub-%u", n);
		rec = record_for(w->registry, KT_RECORD_DEVICE_CREATE, name, n);
		assert_int_equal(journal->reserve(journal->ctx, &rec), KT_ERR_OK);
		take(w->registry, &rec);
		failing_alloc_set(n); /* here, or in the ledger's thread */
		assert_int_equal(journal->append(journal->ctx, &rec, w->registry), KT_ERR_OK);
		assert_false(wait_durable(w).failed);
		failures += failing_alloc_end() ? 1 : 0;
	}
	assert_true(failures > 3);
	dump = registry_dump(w->registry);
	close_world(w);
	reopens_as(w, dump);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_first_start_begins_the_ledger),
		T(what_was_appended_is_there_after_a_restart),
		T(close_flushes_what_waits),
		T(ten_thousand_records_go_in_groups),
		T(a_second_open_is_refused_while_the_first_lives),
		T(two_registries_cannot_share_a_ledger),
		T(a_lost_index_is_rebuilt),
		T(a_corrupt_index_is_rebuilt),
		T(a_damaged_index_is_a_witness_still),
		T(an_index_that_lags_is_caught_up),
		T(whatever_became_of_the_index_the_ledger_decides),
		T(an_index_of_two_moments_is_not_believed),
		T(an_altered_row_of_the_index_is_not_believed),
		T(an_older_ledger_is_a_rollback),
		T(a_cut_that_would_lose_indexed_records_is_a_rollback),
		T(a_missing_ledger_is_a_rollback),
		T(a_damaged_index_without_a_ledger_is_no_fresh_start),
		T(another_history_is_a_rollback),
		T(an_unindexed_tail_is_cut_with_an_event),
		T(an_altered_ledger_is_corrupt_and_names_the_line),
		T(another_trust_domain_is_refused),
		T(newer_files_are_refused),
		T(directories_open_to_others_are_refused),
		T(a_missing_parent_directory_is_named),
		T(after_a_failed_write_nothing_becomes_durable),
		T(what_is_handed_over_becomes_durable_without_a_poll),
		T(a_record_without_memory_does_not_fail_the_ledger),
		T(a_record_waits_for_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
