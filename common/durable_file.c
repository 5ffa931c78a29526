#include "durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_CAP = 4096, WIPE_BLOCK = 512 };

static const char tmp_suffix[] = ".tmp";

struct path {
	char s[PATH_CAP];
};

static enum kt_err path_join(struct path *out, const char *a, const char *b, const char *c)
{
	int len = snprintf(out->s, sizeof(out->s), "%s%s%s", a, b, c);

	return len >= 0 && (size_t)len < sizeof(out->s) ? KT_ERR_OK : KT_ERR_TOO_LONG;
}

/* The directory that holds @path: "." for a bare name, "/" for a name at the root. */
static enum kt_err path_parent(struct path *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len;

	if (slash == NULL)
		return path_join(out, ".", "", "");
	if (slash == path)
		return path_join(out, "/", "", "");
	len = (size_t)(slash - path);
	if (len >= sizeof(out->s))
		return KT_ERR_TOO_LONG;
	memcpy(out->s, path, len);
	out->s[len] = '\0';
	return KT_ERR_OK;
}

static enum kt_err sys(int result)
{
	return result == 0 ? KT_ERR_OK : KT_ERR_SYS;
}

/* Closes without hiding why we are here. */
static void close_quietly(const struct kt_fs *fs, int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)fs->close(fs->ctx, fd);
	errno = saved;
}

static void unlink_quietly(const struct kt_fs *fs, const char *path)
{
	int saved = errno;

	(void)fs->unlink(fs->ctx, path);
	errno = saved;
}

static enum kt_err unlink_if_there(const struct kt_fs *fs, const char *path)
{
	if (fs->unlink(fs->ctx, path) == 0 || errno == ENOENT)
		return KT_ERR_OK;
	return KT_ERR_SYS;
}

/* An fsync that fails is never tried again: the kernel may have dropped the dirty pages. */
static enum kt_err sync_path(const struct kt_fs *fs, const char *path, int flags)
{
	int fd = fs->open(fs->ctx, path, O_RDONLY | O_CLOEXEC | flags, 0);

	if (fd < 0)
		return KT_ERR_SYS;
	if (fs->fsync(fs->ctx, fd) != 0) {
		close_quietly(fs, fd);
		return KT_ERR_SYS;
	}
	return sys(fs->close(fs->ctx, fd));
}

enum kt_err kt_dir_sync(const struct kt_fs *fs, const char *path)
{
	return sync_path(fs, path, O_DIRECTORY);
}

static enum kt_err sync_parent(const struct kt_fs *fs, const char *path)
{
	struct path parent;
	enum kt_err err = path_parent(&parent, path);

	return err == KT_ERR_OK ? kt_dir_sync(fs, parent.s) : err;
}

enum kt_err kt_write_all(const struct kt_fs *fs, int fd, struct kt_bytes bytes)
{
	size_t done = 0;

	while (done < bytes.len) {
		ssize_t n = fs->write(fs->ctx, fd, bytes.p + done, bytes.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return KT_ERR_SYS;
		done += (size_t)n;
	}
	return KT_ERR_OK;
}

/* Group before mode: the file is never open to a group that it is not meant for. */
static enum kt_err set_mode(const struct kt_fs *fs, int fd, struct kt_file_mode mode)
{
	if (mode.gid != (gid_t)-1 && fs->fchown(fs->ctx, fd, (uid_t)-1, mode.gid) != 0)
		return KT_ERR_SYS;
	return sys(fs->fchmod(fs->ctx, fd, mode.mode));
}

/* A new file at @path with all of @content, synced; nothing is left there on failure. */
static enum kt_err write_new(const struct kt_fs *fs, const char *path, struct kt_bytes content,
			     struct kt_file_mode mode)
{
	enum kt_err err;
	int fd = fs->open(fs->ctx, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  S_IRUSR | S_IWUSR);

	if (fd < 0)
		return KT_ERR_SYS;
	err = set_mode(fs, fd, mode);
	if (err == KT_ERR_OK)
		err = kt_write_all(fs, fd, content);
	if (err == KT_ERR_OK)
		err = sys(fs->fsync(fs->ctx, fd));
	if (err == KT_ERR_OK)
		err = sys(fs->close(fs->ctx, fd));
	else
		close_quietly(fs, fd);
	if (err != KT_ERR_OK)
		unlink_quietly(fs, path);
	return err;
}

/* One rename makes @tmp to @path; after a power cut either the old or the new one is there. */
static enum kt_err switch_to(const struct kt_fs *fs, const char *tmp, const char *path)
{
	if (fs->rename(fs->ctx, tmp, path) != 0) {
		unlink_quietly(fs, tmp);
		return KT_ERR_SYS;
	}
	return sync_parent(fs, path);
}

enum kt_err kt_file_write(const struct kt_fs *fs, const char *path, struct kt_bytes content,
			  struct kt_file_mode mode)
{
	struct path tmp;
	enum kt_err err = path_join(&tmp, path, tmp_suffix, "");

	if (err == KT_ERR_OK)
		err = unlink_if_there(fs, tmp.s);
	if (err == KT_ERR_OK)
		err = write_new(fs, tmp.s, content, mode);
	if (err == KT_ERR_OK)
		err = switch_to(fs, tmp.s, path);
	return err;
}

/* Up to @len bytes, fewer only at the end of the file. */
static enum kt_err read_all(const struct kt_fs *fs, int fd, uint8_t *buf, size_t len, size_t *done)
{
	*done = 0;
	while (*done < len) {
		ssize_t n = fs->read(fs->ctx, fd, buf + *done, len - *done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KT_ERR_SYS;
		if (n == 0)
			return KT_ERR_OK;
		*done += (size_t)n;
	}
	return KT_ERR_OK;
}

/* The open file whole, with its size checked before anything is allocated. */
static enum kt_err read_open(const struct kt_fs *fs, int fd, off_t size, size_t max,
			     struct kt_secret **out)
{
	struct kt_secret *secret = NULL;
	uint8_t more;
	size_t done;
	enum kt_err err;

	if (size < 0 || (uintmax_t)size > max)
		return KT_ERR_TOO_LONG;
	err = kt_secret_new((size_t)size, &secret);
	if (err != KT_ERR_OK)
		return err;
	err = read_all(fs, fd, kt_secret_bytes(secret), (size_t)size, &done);
	if (err != KT_ERR_OK)
		goto out;
	kt_secret_truncate(secret, done);
	if (done == (size_t)size)
		err = read_all(fs, fd, &more, sizeof(more), &done);
	else
		done = 0;
	if (err == KT_ERR_OK && done > 0)
		err = KT_ERR_TOO_LONG; /* it grew while we read */
	kt_wipe(&more, sizeof(more));
	if (err != KT_ERR_OK)
		goto out;
	*out = secret;
	secret = NULL; /* moved */
out:
	kt_secret_free(secret);
	return err;
}

static bool is_private(const struct stat *st, mode_t allowed)
{
	mode_t open_to_others = st->st_mode & (S_IRWXG | S_IRWXO);

	return S_ISREG(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
	       (open_to_others & ~allowed) == 0;
}

/* Owner and mode are those of the very file that is read: fstat, not stat. */
static enum kt_err read_file(const struct kt_fs *fs, const char *path, size_t max,
			     const mode_t *allowed, struct kt_secret **out)
{
	struct stat st;
	enum kt_err err = KT_ERR_SYS;
	int nofollow = allowed != NULL ? O_NOFOLLOW : 0;
	int fd;

	*out = NULL;
	/* O_NONBLOCK: opening a FIFO must not wait for its writer */
	fd = fs->open(fs->ctx, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | nofollow, 0);
	if (fd < 0 && errno == ENOENT)
		return KT_ERR_NOT_FOUND;
	if (fd < 0)
		return allowed != NULL && errno == ELOOP ? KT_ERR_INSECURE : KT_ERR_SYS;
	if (fs->fstat(fs->ctx, fd, &st) != 0)
		goto out;
	if (allowed != NULL && !is_private(&st, *allowed)) {
		err = KT_ERR_INSECURE;
	} else if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	} else {
		err = read_open(fs, fd, st.st_size, max, out);
	}
out:
	close_quietly(fs, fd);
	return err;
}

enum kt_err kt_file_read(const struct kt_fs *fs, const char *path, size_t max,
			 struct kt_secret **out)
{
	return read_file(fs, path, max, NULL, out);
}

enum kt_err kt_file_read_private(const struct kt_fs *fs, const char *path, size_t max,
				 mode_t allowed, struct kt_secret **out)
{
	return read_file(fs, path, max, &allowed, out);
}

static enum kt_err set_dir_mode(const struct kt_fs *fs, const char *path, struct kt_file_mode mode)
{
	enum kt_err err;
	int fd = fs->open(fs->ctx, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return KT_ERR_SYS;
	err = set_mode(fs, fd, mode);
	if (err == KT_ERR_OK)
		err = sys(fs->fsync(fs->ctx, fd));
	if (err == KT_ERR_OK)
		return sys(fs->close(fs->ctx, fd));
	close_quietly(fs, fd);
	return err;
}

enum kt_err kt_dir_make(const struct kt_fs *fs, const char *path, struct kt_file_mode mode)
{
	enum kt_err err;

	if (fs->mkdir(fs->ctx, path, S_IRWXU) == 0)
		err = set_dir_mode(fs, path, mode);
	else if (errno == EEXIST)
		err = kt_dir_sync(fs, path); /* ENOTDIR if it is something else */
	else
		err = KT_ERR_SYS;
	/* Also for one that is there: who made it may have been killed before this. */
	return err == KT_ERR_OK ? sync_parent(fs, path) : err;
}

enum kt_err kt_path_publish(const struct kt_fs *fs, const char *from, const char *to)
{
	struct path from_parent;
	struct path to_parent;
	enum kt_err err = path_parent(&from_parent, from);

	if (err == KT_ERR_OK)
		err = path_parent(&to_parent, to);
	/* Before the name shows it, the thing itself: a new name must never show old bytes. */
	if (err == KT_ERR_OK)
		err = sync_path(fs, from, O_NOFOLLOW);
	if (err == KT_ERR_OK)
		err = sys(fs->rename(fs->ctx, from, to));
	if (err == KT_ERR_OK)
		err = kt_dir_sync(fs, to_parent.s);
	if (err == KT_ERR_OK && strcmp(from_parent.s, to_parent.s) != 0)
		err = kt_dir_sync(fs, from_parent.s);
	return err;
}

enum kt_err kt_link_switch(const struct kt_fs *fs, const char *path, const char *target)
{
	struct path tmp;
	enum kt_err err = path_join(&tmp, path, tmp_suffix, "");

	/* A power cut between the two calls below leaves one; the next switch must not fail on it.
	 */
	if (err == KT_ERR_OK)
		err = unlink_if_there(fs, tmp.s);
	if (err == KT_ERR_OK)
		err = sys(fs->symlink(fs->ctx, target, tmp.s));
	if (err == KT_ERR_OK)
		err = switch_to(fs, tmp.s, path);
	return err;
}

/* --- removing --- */

struct names { /* of a directory, taken before anything in it changes */
	char **list;
	size_t count;
	size_t cap;
	bool is_short; /* out of memory */
};

static bool take_name(void *arg, const char *name)
{
	struct names *names = arg;

	if (names->count == names->cap) {
		size_t cap = names->cap == 0 ? 16 : names->cap * 2;
		char **list = reallocarray(names->list, cap, sizeof(*list));

		names->is_short = list == NULL;
		if (list == NULL)
			return false;
		names->list = list;
		names->cap = cap;
	}
	names->list[names->count] = strdup(name);
	/* analyzer-suppress -Wanalyzer-malloc-leak ; it is in the list, which @arg holds */
	names->is_short = names->list[names->count] == NULL;
	if (names->is_short)
		return false;
	names->count++;
	return true;
}

static void names_clear(struct names *names)
{
	int saved = errno;

	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	memset(names, 0, sizeof(*names));
	errno = saved;
}

/* KT_ERR_NOT_FOUND if there is no such directory. */
static enum kt_err names_of(const struct kt_fs *fs, const char *path, struct names *out)
{
	memset(out, 0, sizeof(*out));
	if (fs->list(fs->ctx, path, take_name, out) == 0 && !out->is_short)
		return KT_ERR_OK;
	if (out->is_short)
		return KT_ERR_NOMEM;
	return errno == ENOENT ? KT_ERR_NOT_FOUND : KT_ERR_SYS;
}

static enum kt_err overwrite(const struct kt_fs *fs, int fd, off_t size)
{
	static const uint8_t zeros[WIPE_BLOCK];
	off_t at = 0;

	while (at < size) {
		size_t len = size - at < WIPE_BLOCK ? (size_t)(size - at) : WIPE_BLOCK;
		ssize_t n = fs->pwrite(fs->ctx, fd, zeros, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return KT_ERR_SYS;
		at += n;
	}
	return sys(fs->fsync(fs->ctx, fd));
}

/* Zeros over the whole of a regular file, synced; anything else has nothing to wipe. */
static enum kt_err wipe_file(const struct kt_fs *fs, const char *path)
{
	struct stat st;
	enum kt_err err = KT_ERR_SYS;
	int fd;

	if (fs->lstat(fs->ctx, path, &st) != 0)
		return KT_ERR_SYS;
	if (!S_ISREG(st.st_mode))
		return KT_ERR_OK;
	fd = fs->open(fs->ctx, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return KT_ERR_SYS;
	if (fs->fstat(fs->ctx, fd, &st) == 0)
		err = overwrite(fs, fd, st.st_size);
	if (err == KT_ERR_OK)
		return sys(fs->close(fs->ctx, fd));
	close_quietly(fs, fd);
	return err;
}

static bool is_named(const char *name, const char *const *names)
{
	for (; names != NULL && *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/*
 * A failed overwrite (a full copy-on-write file system) does not keep the file: to be gone by name
 * is the better half. It is reported all the same.
 */
static enum kt_err remove_file(const struct kt_fs *fs, const char *path, bool wipe)
{
	enum kt_err err = wipe ? wipe_file(fs, path) : KT_ERR_OK;
	int saved = errno;

	if (fs->unlink(fs->ctx, path) != 0 && errno != ENOENT)
		return KT_ERR_SYS;
	errno = saved;
	return err;
}

/* @wipe_all: every file, whatever its name. Does not sync the parent. */
static enum kt_err remove_tree(const struct kt_fs *fs, const char *path, const char *const *wipe,
			       bool wipe_all)
{
	struct names names;
	enum kt_err err = names_of(fs, path, &names);
	enum kt_err first = KT_ERR_OK;
	int saved = 0;

	for (size_t i = 0; err == KT_ERR_OK && i < names.count; i++) {
		struct path file;

		err = path_join(&file, path, "/", names.list[i]);
		if (err == KT_ERR_OK)
			err = remove_file(fs, file.s, wipe_all || is_named(names.list[i], wipe));
		if (err != KT_ERR_OK && first == KT_ERR_OK) {
			first = err;
			saved = errno;
		}
		err = KT_ERR_OK;
	}
	if (err == KT_ERR_OK)
		err = sys(fs->rmdir(fs->ctx, path));
	names_clear(&names);
	if (first == KT_ERR_OK || err == KT_ERR_NOT_FOUND)
		return err;
	errno = saved;
	return first;
}

enum kt_err kt_dir_remove(const struct kt_fs *fs, const char *path, const char *const *wipe)
{
	enum kt_err err = remove_tree(fs, path, wipe, false);
	int saved = errno;
	enum kt_err sync_err;

	if (err != KT_ERR_OK && err != KT_ERR_NOT_FOUND && err != KT_ERR_SYS)
		return err;
	/* Also if it is gone: who removed it may have been killed before this. */
	sync_err = sync_parent(fs, path);
	if (err == KT_ERR_NOT_FOUND)
		return sync_err == KT_ERR_SYS && errno == ENOENT ? KT_ERR_OK : sync_err;
	if (err == KT_ERR_OK)
		return sync_err;
	errno = saved;
	return err;
}

static bool is_temporary(const char *name)
{
	size_t len = strlen(name);
	size_t suffix_len = sizeof(tmp_suffix) - 1;

	return len >= suffix_len && strcmp(name + len - suffix_len, tmp_suffix) == 0;
}

/* What is half made may hold a key: wiped, whatever its name. */
static enum kt_err remove_temporary(const struct kt_fs *fs, const char *path)
{
	struct stat st;

	if (fs->lstat(fs->ctx, path, &st) != 0)
		return errno == ENOENT ? KT_ERR_OK : KT_ERR_SYS;
	return S_ISDIR(st.st_mode) ? remove_tree(fs, path, NULL, true)
				   : remove_file(fs, path, true);
}

enum kt_err kt_dir_sweep(const struct kt_fs *fs, const char *path)
{
	struct names names;
	size_t removed = 0;
	enum kt_err err = names_of(fs, path, &names);

	for (size_t i = 0; err == KT_ERR_OK && i < names.count; i++) {
		struct path entry;

		if (!is_temporary(names.list[i]))
			continue;
		err = path_join(&entry, path, "/", names.list[i]);
		if (err == KT_ERR_OK)
			err = remove_temporary(fs, entry.s);
		removed++;
	}
	names_clear(&names);
	if (err == KT_ERR_OK && removed > 0)
		err = kt_dir_sync(fs, path);
	return err == KT_ERR_NOT_FOUND ? KT_ERR_OK : err;
}
