#include "durable_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int posix_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	return open(path, flags, mode);
}

static ssize_t posix_read(void *ctx, int fd, void *buf, size_t len)
{
	(void)ctx;
	return read(fd, buf, len);
}

static ssize_t posix_write(void *ctx, int fd, const void *buf, size_t len)
{
	(void)ctx;
	return write(fd, buf, len);
}

static ssize_t posix_pwrite(void *ctx, int fd, const void *buf, size_t len, off_t offset)
{
	(void)ctx;
	return pwrite(fd, buf, len, offset);
}

static int posix_ftruncate(void *ctx, int fd, off_t len)
{
	(void)ctx;
	return ftruncate(fd, len);
}

static int posix_fsync(void *ctx, int fd)
{
	(void)ctx;
	return fsync(fd);
}

static int posix_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd);
}

static int posix_drop_cache(void *ctx, int fd)
{
	(void)ctx;
	errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return errno == 0 ? 0 : -1;
}

static int posix_close(void *ctx, int fd)
{
	(void)ctx;
	return close(fd);
}

static int posix_fstat(void *ctx, int fd, struct stat *st)
{
	(void)ctx;
	return fstat(fd, st);
}

static int posix_lstat(void *ctx, const char *path, struct stat *st)
{
	(void)ctx;
	return lstat(path, st);
}

static int posix_fchmod(void *ctx, int fd, mode_t mode)
{
	(void)ctx;
	return fchmod(fd, mode);
}

static int posix_fchown(void *ctx, int fd, uid_t uid, gid_t gid)
{
	(void)ctx;
	return fchown(fd, uid, gid);
}

static int posix_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	return mkdir(path, mode);
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to);
}

static int posix_unlink(void *ctx, const char *path)
{
	(void)ctx;
	return unlink(path);
}

static int posix_rmdir(void *ctx, const char *path)
{
	(void)ctx;
	return rmdir(path);
}

static int posix_symlink(void *ctx, const char *target, const char *path)
{
	(void)ctx;
	return symlink(target, path);
}

static ssize_t posix_readlink(void *ctx, const char *path, char *buf, size_t len)
{
	(void)ctx;
	return readlink(path, buf, len);
}

static int posix_list(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		      void *arg)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int failed;

	(void)ctx;
	if (dir == NULL)
		return -1;
	for (;;) {
		errno = 0;
		entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): this call's own stream */
		if (entry == NULL)
			break;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!each(arg, entry->d_name)) {
			errno = 0;
			break;
		}
	}
	failed = errno;
	(void)closedir(dir);
	errno = failed;
	return failed == 0 ? 0 : -1;
}

const struct kt_fs *kt_fs_posix(void)
{
	static const struct kt_fs posix = {
		.open = posix_open,
		.read = posix_read,
		.write = posix_write,
		.pwrite = posix_pwrite,
		.ftruncate = posix_ftruncate,
		.fsync = posix_fsync,
		.fdatasync = posix_fdatasync,
		.drop_cache = posix_drop_cache,
		.close = posix_close,
		.fstat = posix_fstat,
		.lstat = posix_lstat,
		.fchmod = posix_fchmod,
		.fchown = posix_fchown,
		.mkdir = posix_mkdir,
		.rename = posix_rename,
		.unlink = posix_unlink,
		.rmdir = posix_rmdir,
		.symlink = posix_symlink,
		.readlink = posix_readlink,
		.list = posix_list,
	};

	return &posix;
}
