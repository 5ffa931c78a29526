/*
 * powercut - what a hub's disk would still hold if its power went now. For LD_PRELOAD (soak.py).
 *
 * Owns the note of what was synced, in $KT_POWERCUT_NOTE, of the tree $KT_POWERCUT_ROOT:
 *   file/<key>  the bytes of a file at its last fsync
 *   live/<key>  a hard link to it: its number is not given to another file, and what was written
 *               since can be read
 *   dir/<key>   the names of a directory at its last fsync, a line each: type key mode name target
 * A key is inode number and time of birth. An empty note begins with all that is there: what a disk
 * holds when the power comes back is on it. powercut.py makes disks out of notes. A process that is
 * killed between its fsync and our note of it has not seen fsync return: not noted is right then.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 512, LINE_LEN = 1024, WALK_FDS = 16 };

static const char *note_dir;

/* Without a note the run would prove nothing: better none. */
static void need(bool is_good, const char *what)
{
	if (is_good)
		return;
	(void)fprintf(stderr, "powercut: %s: errno %d\n", what, errno);
	_exit(99);
}

static void key_of(int dir_fd, const char *name, char out[static 64], struct statx *st)
{
	const int flags = name[0] == '\0' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;

	need(statx(dir_fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, st) == 0, "statx");
	(void)snprintf(out, 64, "%llu.%lld.%09u", (unsigned long long)st->stx_ino,
		       (long long)st->stx_btime.tv_sec, st->stx_btime.tv_nsec);
}

static void path_of(char out[static PATH_LEN], const char *kind, const char *key)
{
	need(snprintf(out, PATH_LEN, "%s/%s/%s", note_dir, kind, key) < PATH_LEN, "path");
}

/* @temp holds the new note; it takes the place of the old one in one step. */
static void put(const char *temp, const char *kind, const char *key)
{
	char path[PATH_LEN];

	path_of(path, kind, key);
	need(rename(temp, path) == 0, path);
}

static int begin(char temp[static PATH_LEN])
{
	int fd;

	path_of(temp, "file", ".new");
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	need(fd >= 0, temp);
	return fd;
}

static void note_file(int fd)
{
	char key[64], temp[PATH_LEN], from[64], buf[8192];
	struct statx st;
	off_t at = 0;
	ssize_t n;
	int to;

	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	key_of(fd, "", key, &st);
	path_of(temp, "live", key);
	need(linkat(AT_FDCWD, from, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST,
	     temp);
	fd = open(from, O_RDONLY | O_CLOEXEC); /* the program's own may be for writing alone */
	need(fd >= 0, from);
	to = begin(temp);
	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		need(write(to, buf, (size_t)n) == n, temp);
		at += n;
	}
	need(n == 0, "read");
	(void)close(fd);
	(void)close(to);
	put(temp, "file", key);
}

static void note_name(int dir_fd, const char *name, int to)
{
	char key[64], line[LINE_LEN], target[PATH_LEN] = "";
	struct statx st;
	ssize_t n;
	char type = 'f';

	key_of(dir_fd, name, key, &st);
	if (S_ISDIR(st.stx_mode)) {
		type = 'd';
	} else if (S_ISLNK(st.stx_mode)) {
		type = 'l';
		n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
		need(n > 0, "readlink");
		target[n] = '\0';
	}
	n = snprintf(line, sizeof(line), "%c %s %o %s %s\n", type, key, st.stx_mode & 07777U, name,
		     target);
	need(n > 0 && (size_t)n < sizeof(line) && write(to, line, (size_t)n) == n, "write");
}

static void note_names(int fd)
{
	char key[64], temp[PATH_LEN];
	const struct dirent *entry;
	struct statx st;
	DIR *dir;
	int to;
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	need(again >= 0, "openat");
	key_of(fd, "", key, &st);
	to = begin(temp);
	dir = fdopendir(again);
	need(dir != NULL, "fdopendir");
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			note_name(fd, entry->d_name, to);
	}
	(void)closedir(dir);
	(void)close(to);
	put(temp, "dir", key);
}

static void note(int fd)
{
	const int kept = errno;
	struct stat st;

	if (note_dir != NULL && fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode))
			note_file(fd);
		else if (S_ISDIR(st.st_mode))
			note_names(fd);
	}
	errno = kept;
}

static int note_found(const char *path, const struct stat *st, int type, struct FTW *where)
{
	int fd;

	(void)st;
	(void)where;
	if (type != FTW_F && type != FTW_D)
		return 0;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	need(fd >= 0, path);
	note(fd);
	(void)close(fd);
	return 0;
}

__attribute__((constructor)) static void start(void)
{
	static const char *const kinds[] = {"file", "live", "dir"};
	const char *root = getenv("KT_POWERCUT_ROOT");
	char path[PATH_LEN];

	note_dir = getenv("KT_POWERCUT_NOTE");
	if (note_dir == NULL || root == NULL) {
		note_dir = NULL;
		return;
	}
	path_of(path, "dir", "");
	if (access(path, F_OK) == 0)
		return; /* killed, but the power stayed */
	need(mkdir(note_dir, 0700) == 0 || errno == EEXIST, note_dir);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		path_of(path, kinds[i], "");
		need(mkdir(path, 0700) == 0, path);
	}
	if (access(root, F_OK) == 0)
		need(nftw(root, note_found, WALK_FDS, FTW_PHYS) == 0, root);
}

static int sync_and_note(const char *name, int fd)
{
	int (*real)(int);
	int result;

	*(void **)&real = dlsym(RTLD_NEXT, name);
	need(real != NULL, name);
	result = real(fd);
	if (result == 0)
		note(fd);
	return result;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	return sync_and_note("fsync", fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	return sync_and_note("fdatasync", fd);
}
