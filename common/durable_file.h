/*
 * durable_file - the only module that writes files that must survive a power cut.
 *
 * temp + write + fsync + rename + fsync of the directory; links switched by one rename. All calls
 * go through struct kt_fs, so that tests can lose what was not synced and fail the n-th call. Does
 * not decide what is written. Any thread. Stale temporaries (".tmp") are swept at start.
 */
#ifndef KT_DURABLE_FILE_H
#define KT_DURABLE_FILE_H

#include "err.h"
#include "secmem.h"
#include "types.h"

#include <sys/types.h>

struct stat;

/* A table of system calls; each returns as the call does (-1 and errno). */
struct kt_fs {
	void *ctx;
	int (*open)(void *ctx, const char *path, int flags, mode_t mode);
	ssize_t (*read)(void *ctx, int fd, void *buf, size_t len);
	ssize_t (*write)(void *ctx, int fd, const void *buf, size_t len);
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t len, off_t offset);
	int (*ftruncate)(void *ctx, int fd, off_t len);
	int (*fsync)(void *ctx, int fd);
	int (*fdatasync)(void *ctx, int fd);
	/* Reads of the file that @fd is open for come from the disk from here on, as far as the
	 * kernel follows advice. What is not written yet is not given up. */
	int (*drop_cache)(void *ctx, int fd);
	int (*close)(void *ctx, int fd);
	int (*fstat)(void *ctx, int fd, struct stat *st);
	int (*lstat)(void *ctx, const char *path, struct stat *st);
	int (*fchmod)(void *ctx, int fd, mode_t mode);
	int (*fchown)(void *ctx, int fd, uid_t uid, gid_t gid);
	int (*mkdir)(void *ctx, const char *path, mode_t mode);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*rmdir)(void *ctx, const char *path);
	int (*symlink)(void *ctx, const char *target, const char *path);
	ssize_t (*readlink)(void *ctx, const char *path, char *buf, size_t len);
	/* Names in @path, one call of @each per entry ("." and ".." left out); stops if it is
	 * false. */
	int (*list)(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		    void *arg);
};

/* The kernel's. Static. */
const struct kt_fs *kt_fs_posix(void);

/*
 * Whole file, durable when it returns KT_ERR_OK; before that the old content stays. @gid (gid_t)-1
 * leaves the group alone. KT_ERR_SYS (errno intact), KT_ERR_TOO_LONG (path).
 */
struct kt_file_mode {
	mode_t mode;
	gid_t gid;
};
KT_MUST_CHECK enum kt_err kt_file_write(const struct kt_fs *fs, const char *path,
					struct kt_bytes content, struct kt_file_mode mode);
/* Reads at most @max bytes into a secret. KT_ERR_NOT_FOUND, KT_ERR_TOO_LONG, KT_ERR_SYS. */
KT_MUST_CHECK enum kt_err kt_file_read(const struct kt_fs *fs, const char *path, size_t max,
				       struct kt_secret **out);
/* The same for a key file: a regular file (no link), ours or root's, not open to group or others
 * beyond @allowed (e.g. 0640). KT_ERR_INSECURE. */
KT_MUST_CHECK enum kt_err kt_file_read_private(const struct kt_fs *fs, const char *path, size_t max,
					       mode_t allowed, struct kt_secret **out);
/* All of @bytes, or KT_ERR_SYS (errno); synced is none of it. */
KT_MUST_CHECK enum kt_err kt_write_all(const struct kt_fs *fs, int fd, struct kt_bytes bytes);
/* Makes a directory (and syncs its parent). An existing one is fine. */
KT_MUST_CHECK enum kt_err kt_dir_make(const struct kt_fs *fs, const char *path,
				      struct kt_file_mode mode);
KT_MUST_CHECK enum kt_err kt_dir_sync(const struct kt_fs *fs, const char *path);
/* Renames a finished directory or file to its place and syncs the parent. */
KT_MUST_CHECK enum kt_err kt_path_publish(const struct kt_fs *fs, const char *from, const char *to);
/* Points the link @path at @target by one rename; clears a stale temporary first. */
KT_MUST_CHECK enum kt_err kt_link_switch(const struct kt_fs *fs, const char *path,
					 const char *target);
/*
 * Deletes a directory and the files in it (one level deep), after overwriting and syncing each file
 * named in @wipe (NULL-terminated; what flash keeps cannot be promised). Absent is fine.
 */
KT_MUST_CHECK enum kt_err kt_dir_remove(const struct kt_fs *fs, const char *path,
					const char *const *wipe);
/* Removes *.tmp entries of @path (files and one-level directories), each file overwritten first: it
 * may hold half a key. An absent @path is fine. */
KT_MUST_CHECK enum kt_err kt_dir_sweep(const struct kt_fs *fs, const char *path);

#endif
