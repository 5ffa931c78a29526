#include "sim_disk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Asks the gate. A call that fails still reaches the fake: a failed fsync loses pages there. */
static void ask(struct sim_disk *disk, const char *call)
{
	int err = disk->gate(disk->gate_ctx, call);

	if (err != 0)
		fake_fs_fail_at(disk->fs, 1, err);
}

/* No sync of ours fails when the process is killed: none is called. */
static bool is_on(const struct sim_disk *disk)
{
	if (disk->is_off)
		errno = EIO;
	return !disk->is_off;
}

#define PASS(call) (ask(disk, #call), fake_fs_table(disk->fs)->call)
#define CTX	   fake_fs_table(disk->fs)->ctx

static int disk_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct sim_disk *disk = ctx;

	return PASS(open)(CTX, path, flags, mode);
}

static ssize_t disk_read(void *ctx, int fd, void *buf, size_t len)
{
	struct sim_disk *disk = ctx;

	return PASS(read)(CTX, fd, buf, len);
}

static ssize_t disk_write(void *ctx, int fd, const void *buf, size_t len)
{
	struct sim_disk *disk = ctx;

	return PASS(write)(CTX, fd, buf, len);
}

static ssize_t disk_pwrite(void *ctx, int fd, const void *buf, size_t len, off_t offset)
{
	struct sim_disk *disk = ctx;

	return PASS(pwrite)(CTX, fd, buf, len, offset);
}

static int disk_ftruncate(void *ctx, int fd, off_t len)
{
	struct sim_disk *disk = ctx;

	return PASS(ftruncate)(CTX, fd, len);
}

static int disk_fsync(void *ctx, int fd)
{
	struct sim_disk *disk = ctx;

	return is_on(disk) ? PASS(fsync)(CTX, fd) : -1;
}

static int disk_fdatasync(void *ctx, int fd)
{
	struct sim_disk *disk = ctx;

	return is_on(disk) ? PASS(fdatasync)(CTX, fd) : -1;
}

static int disk_drop_cache(void *ctx, int fd)
{
	struct sim_disk *disk = ctx;

	return fake_fs_table(disk->fs)->drop_cache(CTX, fd); /* advice: never fails */
}

static int disk_close(void *ctx, int fd)
{
	struct sim_disk *disk = ctx;

	return PASS(close)(CTX, fd);
}

static int disk_fstat(void *ctx, int fd, struct stat *st)
{
	struct sim_disk *disk = ctx;

	return PASS(fstat)(CTX, fd, st);
}

static int disk_lstat(void *ctx, const char *path, struct stat *st)
{
	struct sim_disk *disk = ctx;

	return PASS(lstat)(CTX, path, st);
}

static int disk_fchmod(void *ctx, int fd, mode_t mode)
{
	struct sim_disk *disk = ctx;

	return PASS(fchmod)(CTX, fd, mode);
}

static int disk_fchown(void *ctx, int fd, uid_t uid, gid_t gid)
{
	struct sim_disk *disk = ctx;

	return PASS(fchown)(CTX, fd, uid, gid);
}

static int disk_mkdir(void *ctx, const char *path, mode_t mode)
{
	struct sim_disk *disk = ctx;

	return PASS(mkdir)(CTX, path, mode);
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
	struct sim_disk *disk = ctx;

	return PASS(rename)(CTX, from, to);
}

static int disk_unlink(void *ctx, const char *path)
{
	struct sim_disk *disk = ctx;

	return PASS(unlink)(CTX, path);
}

static int disk_rmdir(void *ctx, const char *path)
{
	struct sim_disk *disk = ctx;

	return PASS(rmdir)(CTX, path);
}

static int disk_symlink(void *ctx, const char *target, const char *path)
{
	struct sim_disk *disk = ctx;

	return PASS(symlink)(CTX, target, path);
}

static ssize_t disk_readlink(void *ctx, const char *path, char *buf, size_t len)
{
	struct sim_disk *disk = ctx;

	return PASS(readlink)(CTX, path, buf, len);
}

static int disk_list(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		     void *arg)
{
	struct sim_disk *disk = ctx;

	return PASS(list)(CTX, path, each, arg);
}

void sim_disk_init(struct sim_disk *disk, int (*gate)(void *ctx, const char *call), void *ctx)
{
	*disk = (struct sim_disk){
		.table = {.ctx = disk,
			  .open = disk_open,
			  .read = disk_read,
			  .write = disk_write,
			  .pwrite = disk_pwrite,
			  .ftruncate = disk_ftruncate,
			  .fsync = disk_fsync,
			  .fdatasync = disk_fdatasync,
			  .drop_cache = disk_drop_cache,
			  .close = disk_close,
			  .fstat = disk_fstat,
			  .lstat = disk_lstat,
			  .fchmod = disk_fchmod,
			  .fchown = disk_fchown,
			  .mkdir = disk_mkdir,
			  .rename = disk_rename,
			  .unlink = disk_unlink,
			  .rmdir = disk_rmdir,
			  .symlink = disk_symlink,
			  .readlink = disk_readlink,
			  .list = disk_list},
		.fs = fake_fs_new(),
		.gate = gate,
		.gate_ctx = ctx,
	};
}

void sim_disk_replace(struct sim_disk *disk, struct fake_fs *fs)
{
	fake_fs_free(disk->fs);
	disk->fs = fs;
}

void sim_disk_clear(struct sim_disk *disk)
{
	fake_fs_free(disk->fs);
	disk->fs = NULL;
}
