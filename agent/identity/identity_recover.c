#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encoding.h"
#include "identity_internal.h"
#include "topic.h"

enum { DIRS_MAX = 64 };

void kt_identity_say(char why[static KT_IDENTITY_WHY], const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, KT_IDENTITY_WHY, format, args);
	va_end(args);
	errno = saved;
}

void kt_identity_say_err(char why[static KT_IDENTITY_WHY], const char *what, const char *path,
			 enum kt_err err)
{
	char reason[KT_ERR_CAUSE_MAX];

	kt_identity_say(why, "cannot %s %s: %s", what, path, kt_err_cause(err, errno, reason));
}

/* --- the lock --- */

/* On the kernel's file system alone: the tests' file system in memory has one process. */
static enum kt_err take_lock(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct kt_identity_path path;
	enum kt_err err = kt_identity_path(store, "lock", &path);

	if (err != KT_ERR_OK || store->config.fs != kt_fs_posix())
		return err;
	store->lock_fd = open(path.s, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (store->lock_fd < 0) {
		kt_identity_say_err(why, "open", path.s, KT_ERR_SYS);
		return KT_ERR_SYS;
	}
	if (fcntl(store->lock_fd, F_OFD_SETLK, &whole_file) == 0)
		return KT_ERR_OK;
	err = errno == EAGAIN || errno == EACCES ? KT_ERR_BUSY : KT_ERR_SYS;
	if (err == KT_ERR_BUSY)
		kt_identity_say(why, "another agent uses %s", store->state_dir);
	else
		kt_identity_say_err(why, "lock", path.s, err);
	return err;
}

/* --- directories and modes --- */

/* Gives a file or directory of ours the mode it should have: key_group may have been set since. */
static enum kt_err fit_mode(const struct kt_identity_store *store, const char *path,
			    struct kt_file_mode want)
{
	const struct kt_fs *fs = store->config.fs;
	struct stat st;
	enum kt_err err = KT_ERR_SYS;
	int saved = 0;
	int fd = fs->open(fs->ctx, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return errno == ENOENT ? KT_ERR_OK : KT_ERR_SYS;
	if (fs->fstat(fs->ctx, fd, &st) != 0)
		goto out;
	if ((st.st_uid != geteuid() && st.st_uid != 0) ||
	    (S_ISDIR(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
		err = KT_ERR_INSECURE; /* others could have put anything there */
		goto out;
	}
	err = KT_ERR_OK;
	if ((st.st_mode & 07777) == want.mode && (want.gid == (gid_t)-1 || st.st_gid == want.gid))
		goto out;
	if ((want.gid != (gid_t)-1 && fs->fchown(fs->ctx, fd, (uid_t)-1, want.gid) != 0) ||
	    fs->fchmod(fs->ctx, fd, want.mode) != 0 || fs->fsync(fs->ctx, fd) != 0)
		err = KT_ERR_SYS;
out:
	saved = errno;
	(void)fs->close(fs->ctx, fd);
	errno = saved;
	return err;
}

static enum kt_err make_dirs(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	struct kt_identity_path identity;
	const char *paths[2];
	enum kt_err err = kt_identity_path(store, "identity", &identity);

	if (err != KT_ERR_OK)
		return err;
	paths[0] = store->state_dir;
	paths[1] = identity.s;
	for (size_t i = 0; i < 2; i++) {
		err = kt_dir_make(store->config.fs, paths[i], kt_identity_dir_mode(store));
		if (err == KT_ERR_OK)
			err = fit_mode(store, paths[i], kt_identity_dir_mode(store));
		if (err != KT_ERR_OK) {
			kt_identity_say_err(why, "use the directory", paths[i], err);
			return err;
		}
	}
	return KT_ERR_OK;
}

/* --- the record --- */

/* What a disk says of a block that it has lost; all other errors may be gone the next time. */
static bool is_medium_bad(enum kt_err err)
{
	return err == KT_ERR_SYS && (errno == EIO || errno == EUCLEAN || errno == EBADMSG);
}

/*
 * What a failed sync of an earlier process lost may still be read from the cache: a record must not
 * count as durable on the strength of that.
 */
static void forget_cache(const struct kt_fs *fs, const char *path)
{
	int fd = fs->open(fs->ctx, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return; /* the read that follows says why */
	(void)fs->drop_cache(fs->ctx, fd);
	(void)fs->close(fs->ctx, fd);
}

/* One copy. OK with its *state; else nothing can be said at all. */
static enum kt_err load_copy(struct kt_identity_store *store, const char *path,
			     struct kt_agent_record *out, enum kt_copy_state *state)
{
	struct kt_secret *text = NULL;
	struct kt_bytes view;
	enum kt_err err = KT_ERR_OK;

	forget_cache(store->config.fs, path);
	err = kt_file_read_private(store->config.fs, path, KT_AGENT_RECORD_BLOCK, 0, &text);
	*state = KT_COPY_ABSENT;
	if (err == KT_ERR_NOT_FOUND)
		return KT_ERR_OK;
	*state = KT_COPY_DOUBTFUL;
	if (is_medium_bad(err))
		*state = KT_COPY_UNREADABLE;
	if (err == KT_ERR_TOO_LONG || is_medium_bad(err))
		return KT_ERR_OK;
	if (err != KT_ERR_OK)
		return err;
	view = kt_secret_view(text);
	err = kt_agent_record_decode(view.p, view.len, out);
	kt_secret_free(text);
	if (err == KT_ERR_OK)
		*state = KT_COPY_GOOD;
	else if (err == KT_ERR_CORRUPT || err == KT_ERR_INVALID)
		err = KT_ERR_OK;
	return err;
}

static bool see_digits(void *arg, const char *name)
{
	uint64_t dir = 0;

	if (kt_u64_decode(name, strlen(name), &dir) != KT_ERR_OK)
		return true;
	*(bool *)arg = true;
	return false;
}

/* The first start: but never where credentials lie that a lost record may have named. */
static enum kt_err first_record(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	const struct kt_fs *fs = store->config.fs;
	struct kt_agent_record fresh = {.phase = KT_AGENT_NEW};
	struct kt_identity_path identity;
	bool has_credentials = false;
	enum kt_err err = kt_identity_path(store, "identity", &identity);

	if (err != KT_ERR_OK)
		return err;
	if (fs->list(fs->ctx, identity.s, see_digits, &has_credentials) != 0) {
		kt_identity_say_err(why, "list", identity.s, KT_ERR_SYS);
		return KT_ERR_SYS;
	}
	if (has_credentials) {
		kt_identity_say(why, "%s has credentials, but record.0 and record.1 are gone",
				store->state_dir);
		return KT_ERR_CORRUPT;
	}
	store->newest = 1;
	err = kt_identity_save(store, &fresh);
	if (err != KT_ERR_OK)
		kt_identity_say_err(why, "write the first record in", store->state_dir, err);
	return err;
}

static enum kt_err no_good_copy(const struct kt_identity_store *store,
				char why[static KT_IDENTITY_WHY])
{
	for (unsigned i = 0; i < 2; i++) {
		if (store->copy[i] != KT_COPY_UNREADABLE)
			continue;
		/* a disk may give it back the next time: nothing is begun anew in its place */
		errno = EIO;
		kt_identity_say(why, "cannot read %s in %s, and there is no other good copy",
				kt_identity_copies[i], store->state_dir);
		return KT_ERR_SYS;
	}
	kt_identity_say(why, "record.0 and record.1 in %s are damaged: enrol again with a ticket",
			store->state_dir);
	return KT_ERR_CORRUPT;
}

static enum kt_err load_record(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	struct kt_agent_record record[2];

	for (unsigned i = 0; i < 2; i++) {
		struct kt_identity_path path;
		enum kt_err err = kt_identity_path(store, kt_identity_copies[i], &path);

		if (err == KT_ERR_OK)
			err = load_copy(store, path.s, &record[i], &store->copy[i]);
		if (err != KT_ERR_OK) {
			kt_identity_say_err(why, "read", path.s, err);
			return err;
		}
	}
	if (store->copy[0] == KT_COPY_ABSENT && store->copy[1] == KT_COPY_ABSENT)
		return first_record(store, why);
	if (store->copy[0] != KT_COPY_GOOD && store->copy[1] != KT_COPY_GOOD)
		return no_good_copy(store, why);
	store->newest = store->copy[1] == KT_COPY_GOOD &&
			(store->copy[0] != KT_COPY_GOOD || record[1].seq > record[0].seq);
	store->record = record[store->newest];
	/* the first record of all has no other copy */
	store->is_alone =
		store->copy[1 - store->newest] != KT_COPY_GOOD &&
		(store->copy[1 - store->newest] != KT_COPY_ABSENT || store->record.seq > 1);
	return KT_ERR_OK;
}

/* --- tidying up: what fails here is said and done at the next start --- */

struct unnamed {
	const struct kt_agent_record *record;
	uint64_t dir[DIRS_MAX];
	size_t count;
};

/*
 * The key of an op that is newer than any on record: the copy that named it was lost, perhaps long
 * ago, or never written. The server may have its request; a newer op ends that.
 */
static bool may_be_asked_for(const struct kt_agent_record *record, uint64_t dir)
{
	return record->phase != KT_AGENT_NEW && dir > record->op;
}

static bool take_unnamed(void *arg, const char *name)
{
	struct unnamed *u = arg;
	uint64_t dir = 0;

	if (kt_u64_decode(name, strlen(name), &dir) == KT_ERR_OK &&
	    !kt_identity_names(u->record, dir) && !may_be_asked_for(u->record, dir))
		u->dir[u->count++] = dir;
	return u->count < DIRS_MAX;
}

static void drop_unnamed(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	const struct kt_fs *fs = store->config.fs;
	struct unnamed unnamed = {.record = &store->record};
	struct kt_identity_path path;

	if (kt_identity_path(store, "identity", &path) != KT_ERR_OK)
		return;
	if (fs->list(fs->ctx, path.s, take_unnamed, &unnamed) != 0 && unnamed.count == 0) {
		kt_identity_say_err(why, "list", path.s, KT_ERR_SYS);
		return;
	}
	for (size_t i = 0; i < unnamed.count; i++) {
		enum kt_err err = kt_identity_dir(store, unnamed.dir[i], "", &path);

		if (err == KT_ERR_OK)
			err = kt_dir_remove(fs, path.s, kt_identity_private);
		if (err != KT_ERR_OK)
			kt_identity_say_err(why, "delete", path.s, err);
	}
}

static void tidy_dir(struct kt_identity_store *store, uint64_t dir,
		     char why[static KT_IDENTITY_WHY])
{
	struct kt_identity_path path;
	enum kt_err err = KT_ERR_OK;

	if (dir == 0 || kt_identity_dir(store, dir, "", &path) != KT_ERR_OK)
		return;
	err = kt_dir_sweep(store->config.fs, path.s);
	if (err == KT_ERR_OK)
		err = fit_mode(store, path.s, kt_identity_dir_mode(store));
	for (size_t i = 0; err == KT_ERR_OK && kt_identity_private[i] != NULL; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "/%s", kt_identity_private[i]);
		err = kt_identity_dir(store, dir, name, &path);
		if (err == KT_ERR_OK)
			err = fit_mode(store, path.s, kt_identity_key_mode(store));
	}
	if (err != KT_ERR_OK)
		kt_identity_say_err(why, "tidy up", path.s, err);
}

/* Does the link's target lead to a directory that the record names? */
static bool is_named(const struct kt_identity_store *store, const char *target)
{
	static const char prefix[] = "identity/";
	size_t len = sizeof(prefix) - 1;
	uint64_t dir = 0;

	return strncmp(target, prefix, len) == 0 &&
	       kt_u64_decode(target + len, strlen(target + len), &dir) == KT_ERR_OK &&
	       kt_identity_names(&store->record, dir);
}

/*
 * With a copy lost the link may be ahead of the record, and right: it stays until the record has
 * caught up, or the hub's programs would go back to what the server has superseded.
 */
static void repair_link(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	const struct kt_fs *fs = store->config.fs;
	uint64_t dir = store->record.active.dir;
	struct kt_identity_path path;
	char want[64];
	char is[64];
	ssize_t len = 0;
	enum kt_err err = kt_identity_path(store, "current", &path);

	if (err != KT_ERR_OK)
		return;
	len = fs->readlink(fs->ctx, path.s, is, sizeof(is) - 1);
	is[len > 0 ? len : 0] = '\0';
	(void)snprintf(want, sizeof(want), "identity/%llu", (unsigned long long)dir);
	if (dir == 0) {
		if (len < 0 && errno == ENOENT)
			return;
		err = fs->unlink(fs->ctx, path.s) == 0 ? kt_dir_sync(fs, store->state_dir)
						       : KT_ERR_SYS;
	} else if (strcmp(is, want) != 0 && !(store->is_alone && is_named(store, is))) {
		err = kt_identity_link(store, dir);
	}
	if (err != KT_ERR_OK)
		kt_identity_say_err(why, "repair the link", path.s, err);
}

static void tidy_up(struct kt_identity_store *store, char why[static KT_IDENTITY_WHY])
{
	struct kt_agent_record same = store->record;
	struct kt_identity_path identity;
	enum kt_err err = kt_dir_sweep(store->config.fs, store->state_dir);

	if (err == KT_ERR_OK)
		err = kt_identity_path(store, "identity", &identity);
	if (err == KT_ERR_OK)
		err = kt_dir_sweep(store->config.fs, identity.s);
	if (err != KT_ERR_OK)
		kt_identity_say_err(why, "sweep", store->state_dir, err);
	/*
	 * With one copy lost (a write was cut, it rotted, the disk does not give it back) the other
	 * one may be the older, and name less than there is: both are made whole first, and what no
	 * record names goes at the next start.
	 */
	if (!store->is_alone) {
		drop_unnamed(store, why);
	} else if (store->copy[1 - store->newest] != KT_COPY_GOOD &&
		   kt_identity_save(store, &same) != KT_ERR_OK) {
		kt_identity_say_err(why, "repair the record in", store->state_dir, KT_ERR_SYS);
	}
	tidy_dir(store, store->record.active.dir, why);
	tidy_dir(store, store->record.pending.dir, why);
	repair_link(store, why);
}

enum kt_err kt_identity_open(const struct kt_identity_config *config,
			     struct kt_identity_store **out, char why[static 512])
{
	struct kt_identity_store *store = calloc(1, sizeof(*store));
	size_t len = strlen(config->state_dir);
	enum kt_copy_state lost = KT_COPY_GOOD;
	enum kt_err err = KT_ERR_NOMEM;

	*out = NULL;
	why[0] = '\0';
	if (store == NULL)
		goto out;
	store->config = *config;
	store->lock_fd = -1;
	err = KT_ERR_TOO_LONG;
	if (len == 0 || len >= sizeof(store->state_dir))
		goto out;
	memcpy(store->state_dir, config->state_dir, len + 1);
	err = make_dirs(store, why);
	if (err == KT_ERR_OK)
		err = take_lock(store, why);
	if (err == KT_ERR_OK)
		err = load_record(store, why);
	if (err == KT_ERR_OK && store->is_alone)
		lost = store->copy[1 - store->newest];
	if (err == KT_ERR_OK)
		err = kt_identity_check_credentials(store, why);
	if (err != KT_ERR_OK)
		goto out;
	tidy_up(store, why);
	if (why[0] == '\0' && lost != KT_COPY_GOOD && lost != KT_COPY_DOUBTFUL)
		kt_identity_say(
			why,
			"%s: one copy of the record %s; went on with the other one, which may be "
			"older, and deleted nothing",
			config->state_dir,
			lost == KT_COPY_UNREADABLE ? "could not be read" : "was gone");
	*out = store;
	store = NULL; /* moved */
out:
	if (err != KT_ERR_OK && why[0] == '\0')
		kt_identity_say_err(why, "open", config->state_dir, err);
	kt_identity_close(store);
	return err;
}

void kt_identity_close(struct kt_identity_store *store)
{
	int saved = errno;

	if (store == NULL)
		return;
	if (store->lock_fd >= 0)
		(void)close(store->lock_fd);
	kt_wipe(store, sizeof(*store));
	free(store);
	errno = saved;
}
