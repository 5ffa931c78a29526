/*
 * sim_vfs - SQLite's files on a sim_disk, so that the real SQLite writes, syncs and recovers there.
 *
 * For an index that one process holds exclusively (locking_mode=EXCLUSIVE): locks always succeed
 * and there is no shared memory. Deleting a file syncs its directory when SQLite asks for it.
 */
#include "sim_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "sim_random.h"

struct vfs_file {
	sqlite3_file base;
	struct sim_disk *disk;
	int fd;
};

static struct sim_disk *in_use;
static struct sim_random randoms; /* salts of the WAL */

static int io_error(int code)
{
	return errno == ENOSPC ? SQLITE_FULL : code;
}

static int file_close(sqlite3_file *file)
{
	struct vfs_file *f = (struct vfs_file *)file;
	int rc = f->disk->table.close(f->disk, f->fd);

	return rc == 0 ? SQLITE_OK : SQLITE_IOERR_CLOSE;
}

static int gate(struct sim_disk *disk, const char *call)
{
	int err = disk->gate(disk->gate_ctx, call);

	errno = err;
	return err;
}

static int file_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 offset)
{
	struct vfs_file *f = (struct vfs_file *)file;
	ssize_t n;

	if (gate(f->disk, "pread") != 0)
		return SQLITE_IOERR_READ;
	n = fake_fs_pread(f->disk->fs, f->fd, buf, (size_t)len, (size_t)offset);
	if (n < 0)
		return SQLITE_IOERR_READ;
	if (n == len)
		return SQLITE_OK;
	memset((char *)buf + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *buf, int len, sqlite3_int64 offset)
{
	struct vfs_file *f = (struct vfs_file *)file;
	ssize_t n = f->disk->table.pwrite(f->disk, f->fd, buf, (size_t)len, (off_t)offset);

	return n == len ? SQLITE_OK : io_error(SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct vfs_file *f = (struct vfs_file *)file;

	return f->disk->table.ftruncate(f->disk, f->fd, (off_t)size) == 0 ? SQLITE_OK
									  : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *file, int flags)
{
	struct vfs_file *f = (struct vfs_file *)file;

	(void)flags;
	return f->disk->table.fsync(f->disk, f->fd) == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *out)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct stat st;

	if (f->disk->table.fstat(f->disk, f->fd, &st) != 0)
		return SQLITE_IOERR_FSTAT;
	*out = st.st_size;
	return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
	(void)file;
	(void)level;
	return SQLITE_OK;
}

static int file_check_lock(sqlite3_file *file, int *out)
{
	(void)file;
	*out = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
	(void)file;
	return 512;
}

/* Nothing is promised: neither atomic pages nor order nor power-safe overwriting. */
static int file_device(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
};

static int sync_parent(const char *path)
{
	char dir[4096];
	char *slash;

	(void)strncpy(dir, path, sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return -1;
	slash[slash == dir ? 1 : 0] = '\0';
	return kt_dir_sync(&in_use->table, dir) == KT_ERR_OK ? 0 : -1;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct stat st;
	bool is_new;
	int fd;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	if (path == NULL)
		return SQLITE_CANTOPEN; /* a temporary file: the index needs none */
	is_new = (flags & SQLITE_OPEN_CREATE) != 0 && in_use->table.lstat(in_use, path, &st) != 0;
	fd = in_use->table.open(in_use, path, is_new ? O_RDWR | O_CREAT : O_RDWR, 0600);
	if (fd < 0)
		return SQLITE_CANTOPEN;
	f->disk = in_use;
	f->fd = fd;
	f->base.pMethods = &methods;
	if (is_new)
		(void)sync_parent(path); /* as unixOpen does for a journal */
	if (out != NULL)
		*out = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	(void)vfs;
	if (in_use->table.unlink(in_use, path) != 0)
		return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
	return sync_dir != 0 && sync_parent(path) != 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
	struct stat st;

	(void)vfs;
	(void)flags;
	*out = in_use->table.lstat(in_use, path, &st) == 0 && st.st_size > 0;
	return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *path, int cap, char *out)
{
	(void)vfs;
	if (strlen(path) >= (size_t)cap)
		return SQLITE_CANTOPEN;
	memcpy(out, path, strlen(path) + 1);
	return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	sim_fill(&randoms, (uint8_t *)out, (size_t)len);
	return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time(sqlite3_vfs *vfs, double *out)
{
	(void)vfs;
	*out = 2461000.0;
	return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int cap, char *out)
{
	(void)vfs;
	(void)cap;
	(void)out;
	return errno;
}

void sim_vfs_register(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 1,
		.szOsFile = sizeof(struct vfs_file),
		.mxPathname = 512,
		.zName = "sim",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_path,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
		.xGetLastError = vfs_error,
	};

	(void)sqlite3_vfs_register(&vfs, 1);
}

void sim_vfs_begin(uint64_t seed)
{
	randoms = sim_stream(seed, 0x766673);
	in_use = NULL;
}

void sim_vfs_use(struct sim_disk *disk)
{
	in_use = disk;
}
