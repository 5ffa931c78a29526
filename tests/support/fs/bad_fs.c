#include "bad_fs.h"

#include <errno.h>
#include <string.h>

static bool is_bad_path(const struct bad_fs *fs, int i, const char *path)
{
	size_t len = strlen(path);
	size_t tail = fs->end[i] != NULL ? strlen(fs->end[i]) : len + 1;

	return tail <= len && strcmp(path + len - tail, fs->end[i]) == 0;
}

static int bad_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct bad_fs *fs = ctx;
	int fd = kt_fs_posix()->open(NULL, path, flags, mode);

	for (int i = 0; i < 2; i++) {
		if (is_bad_path(fs, i, path))
			fs->fd[i] = fd;
		else if (fs->fd[i] == fd)
			fs->fd[i] = -1; /* the number was given away anew */
	}
	return fd;
}

static ssize_t bad_read(void *ctx, int fd, void *buf, size_t len)
{
	const struct bad_fs *fs = ctx;

	if (fd >= 0 && (fd == fs->fd[0] || fd == fs->fd[1])) {
		errno = fs->error;
		return -1;
	}
	return kt_fs_posix()->read(NULL, fd, buf, len);
}

static int bad_rename(void *ctx, const char *from, const char *to)
{
	const struct bad_fs *fs = ctx;

	errno = EIO;
	return fs->no_rename ? -1 : kt_fs_posix()->rename(NULL, from, to);
}

void bad_fs_init(struct bad_fs *fs, const char *first, const char *second, int error)
{
	*fs = (struct bad_fs){
		.table = *kt_fs_posix(), .end = {first, second}, .fd = {-1, -1}, .error = error};
	fs->table.ctx = fs;
	fs->table.open = bad_open;
	fs->table.read = bad_read;
	fs->table.rename = bad_rename;
}
