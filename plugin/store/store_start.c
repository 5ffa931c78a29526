#include "store_start.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable_file.h"
#include "encoding.h"
#include "registry_internal.h"

enum { WHY_CAP = 512, PATH_CAP = 4096 };

__attribute__((format(printf, 3, 4))) static enum kt_err
refuse(const struct kt_store_start *s, enum kt_err err, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(s->why, WHY_CAP, format, args);
	va_end(args);
	errno = saved;
	return err;
}

/* What the operating system said, or our own text. */
static enum kt_err refuse_err(const struct kt_store_start *s, enum kt_err err, const char *what,
			      const char *path)
{
	char buf[KT_ERR_CAUSE_MAX];

	return refuse(s, err, "%s %s: %s", what, path, kt_err_cause(err, errno, buf));
}

static bool make_path(char out[static PATH_CAP], const char *dir, const char *name)
{
	int len = snprintf(out, PATH_CAP, "%s/%s", dir, name);

	return len > 0 && len < PATH_CAP;
}

enum kt_err kt_store_start_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	sigset_t all;
	sigset_t before;
	int rc;

	(void)sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return KT_ERR_SYS;
	rc = pthread_create(thread, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = rc;
	return rc == 0 ? KT_ERR_OK : KT_ERR_SYS;
}

/* --- directories and the lock ----------------------------------------------------------------- */

static enum kt_err check_dir(const struct kt_store_start *s, const char *path)
{
	struct stat st;
	int fd;
	enum kt_err err =
		kt_dir_make(s->fs, path, (struct kt_file_mode){.mode = S_IRWXU, .gid = (gid_t)-1});

	if (err != KT_ERR_OK)
		return refuse_err(s, err, "cannot make the directory", path);
	fd = s->fs->open(s->fs->ctx, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return refuse_err(s, KT_ERR_SYS, "cannot open the directory", path);
	err = s->fs->fstat(s->fs->ctx, fd, &st) == 0 ? KT_ERR_OK : KT_ERR_SYS;
	(void)s->fs->close(s->fs->ctx, fd); /* was only read */
	if (err != KT_ERR_OK)
		return refuse_err(s, err, "cannot read the mode of", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 || (st.st_uid != geteuid() && st.st_uid != 0))
		return refuse(s, KT_ERR_INSECURE,
			      "%s can be written by others; run: chown to the broker's user, "
			      "chmod 0700",
			      path);
	return KT_ERR_OK;
}

/* Held until *fd is closed; what was opened stays with the caller also on an error. */
static enum kt_err take_lock(const struct kt_store_start *s, const char *path, int flags, int *fd)
{
	*fd = open(path, flags | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (*fd < 0)
		return refuse_err(s, KT_ERR_SYS, "cannot open the lock", path);
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return KT_ERR_OK;
	if (errno == EWOULDBLOCK)
		return refuse(s, KT_ERR_BUSY,
			      "%s is held: another broker (or keyturnctl) uses this registry; one "
			      "broker per registry",
			      path);
	return refuse_err(s, KT_ERR_SYS, "cannot lock", path);
}

enum kt_err kt_store_check_dirs(struct kt_store_start *start)
{
	enum kt_err err = check_dir(start, start->config->state_dir);

	return err == KT_ERR_OK ? check_dir(start, start->config->ledger_dir) : err;
}

static void release_lock(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* the lock goes with it */
	*fd = -1;
}

void kt_store_release_locks(struct kt_store_start *start)
{
	release_lock(&start->ledger_lock_fd);
	release_lock(&start->lock_fd);
}

/* Each by itself: two registries with one ledger between them would ruin it for both. */
enum kt_err kt_store_take_locks(struct kt_store_start *s)
{
	char path[PATH_CAP];
	enum kt_err err;

	if (!make_path(path, s->config->state_dir, "lock"))
		return refuse(s, KT_ERR_TOO_LONG, "state_dir is too long");
	err = take_lock(s, path, O_RDWR | O_CREAT | O_NOFOLLOW, &s->lock_fd);
	if (err == KT_ERR_OK)
		err = take_lock(s, s->config->ledger_dir, O_RDONLY | O_DIRECTORY,
				&s->ledger_lock_fd);
	if (err != KT_ERR_OK)
		kt_store_release_locks(s);
	return err;
}

static enum kt_err refuse_rollback(const struct kt_store_start *s, const char *what)
{
	char head[KT_HEX_LEN(32) + 1] = "lost";

	if (s->state.seq > 0 &&
	    kt_hex_encode(s->state.head, sizeof(s->state.head), head, sizeof(head)) != KT_ERR_OK)
		head[0] = '\0';
	return refuse(
		s, KT_ERR_ROLLED_BACK,
		"the ledger in %s %s: revoked credentials could come back. Put the newest "
		"ledger back; if it is lost for good: keyturnctl restore --accept-rollback %s",
		s->config->ledger_dir, what, head);
}

/* --- the index -------------------------------------------------------------------------------- */

/*
 * A damaged index still tells that there was a registry. Where the ledger has nothing it may not be
 * thrown away for that: the next start would take both for a first one.
 */
static enum kt_err check_ledger_is_there(const struct kt_store_start *s)
{
	char path[PATH_CAP];
	struct stat st;

	if (!make_path(path, s->config->ledger_dir, "ledger.kt"))
		return refuse(s, KT_ERR_TOO_LONG, "ledger_dir is too long");
	if (s->fs->lstat(s->fs->ctx, path, &st) == 0 ? st.st_size > 0 : errno != ENOENT)
		return KT_ERR_OK;
	return refuse_rollback(s, "is missing, but there is an index, though a damaged one");
}

/*
 * Its rows are read, to find out that it is damaged, and not believed: a changed byte that still
 * makes sense would lock a hub out, and the ledger is read anyway. At the same time, on a thread of
 * its own: each of the two takes seconds for a large fleet.
 */
struct index_check {
	pthread_t thread;
	bool is_on_thread;
	struct kt_index *index;
	enum kt_err err;
	int saved_errno;
};

static void *run_check(void *arg)
{
	struct index_check *check = arg;

	check->err = kt_index_check(check->index);
	check->saved_errno = errno;
	return NULL;
}

static void begin_check(const struct kt_store_start *s, struct index_check *check)
{
	*check = (struct index_check){.index = s->index, .err = KT_ERR_OK};
	if (s->index == NULL || s->is_index_void || s->index_seq == 0)
		return;
	check->is_on_thread = kt_store_start_thread(&check->thread, run_check, check) == KT_ERR_OK;
	if (check->is_on_thread)
		(void)pthread_setname_np(check->thread, "keyturn-index");
	else
		(void)run_check(check);
}

static enum kt_err end_check(struct index_check *check)
{
	if (check->is_on_thread)
		(void)pthread_join(check->thread, NULL); /* it is ours, and joined once */
	check->is_on_thread = false;
	errno = check->saved_errno;
	return check->err;
}

/* What is left of it is a witness, if that much can be read; it is made anew from the ledger. */
static enum kt_err take_as_witness(struct kt_store_start *s, const char *path)
{
	enum kt_err err;

	kt_index_close(s->index);
	s->index = NULL;
	s->is_index_void = true;
	err = kt_index_peek(path, &s->index_seq, s->index_head);
	if (err == KT_ERR_CORRUPT)
		err = KT_ERR_OK;
	return err == KT_ERR_OK && s->index_seq == 0 ? check_ledger_is_there(s) : err;
}

static enum kt_err open_index(struct kt_store_start *s)
{
	char path[PATH_CAP];
	enum kt_err err;

	if (!make_path(path, s->config->state_dir, "index.sqlite"))
		return refuse(s, KT_ERR_TOO_LONG, "state_dir is too long");
	err = kt_index_open(s->fs, path, &s->index);
	if (err == KT_ERR_OK)
		err = kt_index_head(s->index, &s->index_seq, s->index_head);
	if (err == KT_ERR_CORRUPT)
		err = take_as_witness(s, path);
	/* SQLite syncs the name of no database: without this a power cut could cost the witness */
	if (err == KT_ERR_OK)
		err = kt_dir_sync(s->fs, s->config->state_dir);
	if (err == KT_ERR_ROLLED_BACK || err == KT_ERR_TOO_LONG)
		return err; /* said already */
	if (err == KT_ERR_VERSION)
		return refuse(s, err,
			      "%s was written by a newer version; run that version, or remove "
			      "index.sqlite* to have it rebuilt from the ledger",
			      path);
	return err == KT_ERR_OK ? err : refuse_err(s, err, "cannot open the index", path);
}

/* In place where that works: so no moment is without a witness. */
static enum kt_err make_index_anew(struct kt_store_start *s, struct kt_index_batch *batch)
{
	char path[PATH_CAP];
	enum kt_err err;

	if (!make_path(path, s->config->state_dir, "index.sqlite"))
		return KT_ERR_TOO_LONG;
	err = kt_index_open(s->fs, path, &s->index);
	if (err == KT_ERR_OK)
		err = kt_index_rewrite(s->index, batch, s->state.seq, s->state.head);
	if (err != KT_ERR_CORRUPT)
		return err;
	kt_index_close(s->index);
	s->index = NULL;
	err = kt_index_remove(s->fs, path);
	if (err == KT_ERR_OK)
		err = kt_index_open(s->fs, path, &s->index);
	if (err == KT_ERR_OK)
		err = kt_index_rewrite(s->index, batch, s->state.seq, s->state.head);
	return err == KT_ERR_OK ? kt_dir_sync(s->fs, s->config->state_dir) : err;
}

/* --- the ledger ------------------------------------------------------------------------------- */

/* The index has these changes already. */
static void forget_changes(struct kt_registry *registry)
{
	while (kt_row_take_device(registry) != NULL)
		;
	while (kt_row_take_credential(registry) != NULL)
		;
	while (kt_row_take_ticket(registry) != NULL)
		;
	while (kt_row_take_denied(registry) != NULL)
		;
	while (kt_row_take_operator(registry) != NULL)
		;
}

static enum kt_err replay(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct kt_store_start *s = arg;
	enum kt_err err;

	if (record->seq == s->index_seq && memcmp(hash, s->index_head, 32) != 0)
		s->is_rolled_back = true; /* and on: the remedy names the last record */
	err = kt_registry_apply(s->registry, record);
	if (err == KT_ERR_OK && record->seq == s->index_seq && !s->is_index_void)
		forget_changes(s->registry);
	return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
}

static enum kt_err scan(struct kt_store_start *s)
{
	uint64_t bad_line = 0;
	enum kt_err err =
		kt_ledger_scan(s->fs, s->config->ledger_dir, replay, s, &s->state, &bad_line);

	if (err == KT_ERR_CORRUPT)
		return refuse(s, err,
			      "line %" PRIu64 " of %s/ledger.kt does not verify: the ledger was "
			      "altered or the disk is damaged; put a good copy back "
			      "(keyturnctl restore)",
			      bad_line, s->config->ledger_dir);
	if (err == KT_ERR_VERSION)
		return refuse(s, err, "%s/ledger.kt was written by a newer version; run that one",
			      s->config->ledger_dir);
	if (err == KT_ERR_NOT_FOUND && s->index_seq > 0)
		return refuse_rollback(s, "is missing, but the index has records");
	if (err == KT_ERR_NOT_FOUND) {
		memset(&s->state, 0, sizeof(s->state));
		return KT_ERR_OK;
	}
	if (err != KT_ERR_OK)
		return refuse_err(s, err, "cannot read the ledger in", s->config->ledger_dir);
	if (s->is_rolled_back)
		return refuse_rollback(s, "has another record where the index has one");
	if (s->state.seq < s->index_seq)
		return refuse_rollback(s, "is older than the index");
	return KT_ERR_OK;
}

/*
 * Ledger and index, each by itself. A damaged index, whose head is whole, has been the witness all
 * the same; it is written anew.
 */
static enum kt_err scan_beside_check(struct kt_store_start *s)
{
	struct index_check check;
	enum kt_err checked;
	enum kt_err err;

	begin_check(s, &check);
	err = scan(s);
	checked = end_check(&check);
	if (err != KT_ERR_OK || checked == KT_ERR_OK)
		return err;
	if (checked != KT_ERR_CORRUPT)
		return refuse_err(s, checked, "cannot read the index in", s->config->state_dir);
	kt_index_close(s->index);
	s->index = NULL;
	s->is_index_void = true;
	kt_registry_mark_all(s->registry);
	return KT_ERR_OK;
}

static enum kt_err check_trust_domain(const struct kt_store_start *s)
{
	const char *has = kt_registry_trust_domain(s->registry);

	if (s->state.seq == 0 || strcmp(has, s->config->trust_domain) == 0)
		return KT_ERR_OK;
	return refuse(s, KT_ERR_STATE,
		      "the ledger in %s is of the trust domain %s, the configuration says %s",
		      s->config->ledger_dir, has, s->config->trust_domain);
}

static enum kt_err begin_ledger(struct kt_store_start *s)
{
	struct kt_record record = {
		.seq = 1, .time_us = s->now_us, .kind = KT_RECORD_LEDGER_BEGIN, .actor = "keyturn"};
	const struct kt_record *const records[] = {&record};
	size_t len = strlen(s->config->trust_domain);
	enum kt_err err;

	if (len > KT_TRUST_DOMAIN_MAX)
		return KT_ERR_INVALID;
	memcpy(record.trust_domain, s->config->trust_domain, len + 1);
	err = kt_registry_check(s->registry, &record);
	if (err == KT_ERR_OK)
		err = kt_ledger_append(s->ledger, records, 1, &s->state);
	return err == KT_ERR_OK ? kt_registry_apply(s->registry, &record) : err;
}

static enum kt_err open_ledger(struct kt_store_start *s)
{
	char bytes[KT_U64_DIGITS_MAX + 1];
	uint64_t cut = s->state.cut_bytes;
	enum kt_err err = kt_ledger_open(s->fs, s->config->ledger_dir, &s->state, &s->ledger);

	if (err == KT_ERR_OK && cut > 0) {
		kt_u64_encode(cut, bytes);
		(void)kt_log_event(s->log, KT_EVENT_LEDGER_CUT, &(struct kt_field){"bytes", bytes},
				   1);
	}
	if (err == KT_ERR_OK && s->state.seq == 0)
		err = begin_ledger(s);
	if (err != KT_ERR_OK)
		return refuse_err(s, err, "cannot write the ledger in", s->config->ledger_dir);
	return KT_ERR_OK;
}

/* The index catches up. That it cannot is no reason to keep a fleet out. */
static void update_index(struct kt_store_start *s)
{
	struct kt_index_batch *batch = NULL;
	char seq[KT_U64_DIGITS_MAX + 1];
	enum kt_err err;

	if (s->index_seq == s->state.seq && !s->is_index_void)
		return;
	kt_u64_encode(s->state.seq, seq);
	if (s->is_index_void || (s->index_seq == 0 && s->state.seq > 1))
		(void)kt_log_event(s->log, KT_EVENT_INDEX_REBUILT, &(struct kt_field){"seq", seq},
				   1);
	err = kt_index_collect(s->registry, &batch);
	if (err == KT_ERR_OK && s->is_index_void)
		err = make_index_anew(s, batch);
	else if (err == KT_ERR_OK)
		err = kt_index_write(s->index, &batch, 1, s->state.seq, s->state.head);
	kt_index_batch_free(batch);
	s->index_failed = err != KT_ERR_OK;
}

enum kt_err kt_store_recover(struct kt_store_start *start)
{
	enum kt_err err = open_index(start);

	if (err == KT_ERR_OK)
		err = scan_beside_check(start);
	if (err == KT_ERR_OK)
		err = check_trust_domain(start);
	if (err == KT_ERR_OK)
		err = open_ledger(start);
	if (err == KT_ERR_OK) {
		update_index(start);
		return KT_ERR_OK;
	}
	kt_index_close(start->index);
	kt_ledger_close(start->ledger);
	start->index = NULL;
	start->ledger = NULL;
	return err;
}
