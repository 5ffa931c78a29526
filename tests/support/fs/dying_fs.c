#include "dying_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* True: this call is the last one, or comes after it. */
static bool dies(struct dying_fs *d)
{
	if (!d->is_dead && ++d->changes == d->dies_at)
		d->is_dead = true;
	if (d->is_dead)
		errno = EIO;
	return d->is_dead;
}

static int do_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct dying_fs *d = ctx;

	if ((flags & O_CREAT) != 0 ? dies(d) : d->is_dead) {
		errno = EIO;
		return -1;
	}
	return kt_fs_posix()->open(NULL, path, flags, mode);
}

static ssize_t do_write(void *ctx, int fd, const void *buf, size_t len)
{
	struct dying_fs *d = ctx;
	const bool was_dead = d->is_dead;

	if (!dies(d))
		return kt_fs_posix()->write(NULL, fd, buf, len);
	if (!was_dead)
		(void)!kt_fs_posix()->write(NULL, fd, buf, len / 2);
	errno = EIO;
	return -1;
}

static int do_ftruncate(void *ctx, int fd, off_t len)
{
	return dies(ctx) ? -1 : kt_fs_posix()->ftruncate(NULL, fd, len);
}

static int do_fsync(void *ctx, int fd)
{
	return dies(ctx) ? -1 : kt_fs_posix()->fsync(NULL, fd);
}

static int do_fdatasync(void *ctx, int fd)
{
	return dies(ctx) ? -1 : kt_fs_posix()->fdatasync(NULL, fd);
}

static int do_fchown(void *ctx, int fd, uid_t uid, gid_t gid)
{
	return dies(ctx) ? -1 : kt_fs_posix()->fchown(NULL, fd, uid, gid);
}

static int do_mkdir(void *ctx, const char *path, mode_t mode)
{
	return dies(ctx) ? -1 : kt_fs_posix()->mkdir(NULL, path, mode);
}

static int do_rename(void *ctx, const char *from, const char *to)
{
	return dies(ctx) ? -1 : kt_fs_posix()->rename(NULL, from, to);
}

static int do_unlink(void *ctx, const char *path)
{
	return dies(ctx) ? -1 : kt_fs_posix()->unlink(NULL, path);
}

static int do_rmdir(void *ctx, const char *path)
{
	return dies(ctx) ? -1 : kt_fs_posix()->rmdir(NULL, path);
}

void dying_fs_init(struct dying_fs *d, unsigned dies_at)
{
	memset(d, 0, sizeof(*d));
	d->table = *kt_fs_posix();
	d->table.ctx = d;
	d->table.open = do_open;
	d->table.write = do_write;
	d->table.ftruncate = do_ftruncate;
	d->table.fsync = do_fsync;
	d->table.fdatasync = do_fdatasync;
	d->table.fchown = do_fchown;
	d->table.mkdir = do_mkdir;
	d->table.rename = do_rename;
	d->table.unlink = do_unlink;
	d->table.rmdir = do_rmdir;
	d->dies_at = dies_at;
}
