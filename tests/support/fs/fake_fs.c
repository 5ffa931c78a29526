#include "fake_fs_inode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- descriptors --- */

static struct fake_fd *fd_find(struct fake_fs *fs, int fd)
{
	size_t index = (size_t)fd - FAKE_FD_FIRST;

	if (fd < FAKE_FD_FIRST || index >= FAKE_FD_COUNT || fs->fds[index].inode == FAKE_NONE) {
		errno = EBADF;
		return NULL;
	}
	return &fs->fds[index];
}

static int fd_new(struct fake_fs *fs, size_t inode, int flags)
{
	for (int i = 0; i < FAKE_FD_COUNT; i++) {
		if (fs->fds[i].inode != FAKE_NONE)
			continue;
		fs->fds[i] = (struct fake_fd){.inode = inode, .flags = flags};
		return FAKE_FD_FIRST + i;
	}
	return fake_fail(EMFILE);
}

static int check_open(const struct fake_inode *inode, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return EEXIST;
	if (inode->kind == FAKE_LINK)
		return ELOOP;
	if (inode->kind == FAKE_DIR)
		return writes || (flags & O_CREAT) != 0 ? EISDIR : 0;
	return (flags & O_DIRECTORY) != 0 ? ENOTDIR : 0;
}

static int do_open(struct fake_fs *fs, const char *path, int flags, mode_t mode)
{
	bool follow =
		(flags & O_NOFOLLOW) == 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	struct fake_place place;
	int err;

	if (!fake_resolve(fs, path, follow, &place))
		return -1;
	if (place.inode == FAKE_NONE) {
		if ((flags & O_CREAT) == 0)
			return fake_fail(ENOENT);
		return fd_new(fs, fake_create(fs, &place, FAKE_FILE, mode), flags);
	}
	err = check_open(&fs->inodes[place.inode], flags);
	if (err != 0)
		return fake_fail(err);
	if ((flags & O_TRUNC) != 0) {
		fake_buffer_set(&fs->inodes[place.inode].content, NULL, 0);
		fake_dirty(&fs->inodes[place.inode], 0, 0);
	}
	return fd_new(fs, place.inode, flags);
}

static int fake_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_open(fs, path, flags, mode) : -1);
}

static int fake_close(void *ctx, int fd)
{
	struct fake_fs *fs = ctx;
	bool runs = fake_may_run(fs);
	int saved = errno;
	struct fake_fd *open_fd = fd_find(fs, fd);

	if (open_fd == NULL)
		return -1;
	open_fd->inode = FAKE_NONE;
	errno = saved;
	return runs ? 0 : -1;
}

static size_t limited(const struct fake_fs *fs, size_t len)
{
	return fs->io_max > 0 && len > fs->io_max ? fs->io_max : len;
}

static ssize_t fake_read(void *ctx, int fd, void *buf, size_t len)
{
	struct fake_fs *fs = ctx;
	struct fake_fd *from;
	const struct fake_inode *inode;

	if (!fake_may_run(fs))
		return -1;
	from = fd_find(fs, fd);
	if (from == NULL)
		return -1;
	inode = &fs->inodes[from->inode];
	if (inode->kind == FAKE_DIR || (from->flags & O_ACCMODE) == O_WRONLY)
		return fake_fail(inode->kind == FAKE_DIR ? EISDIR : EBADF);
	if (inode->is_spoilt)
		return fake_fail(EIO);
	if (from->offset >= inode->content.len)
		return 0;
	len = limited(fs, len);
	if (len > inode->content.len - from->offset)
		len = inode->content.len - from->offset;
	memcpy(buf, inode->content.p + from->offset, len);
	from->offset += len;
	return (ssize_t)len;
}

ssize_t fake_fs_pread(struct fake_fs *fs, int fd, void *buf, size_t len, size_t offset)
{
	const struct fake_fd *from;
	const struct fake_inode *inode;

	if (!fake_may_run(fs))
		return -1;
	from = fd_find(fs, fd);
	if (from == NULL)
		return -1;
	inode = &fs->inodes[from->inode];
	if (offset >= inode->content.len)
		return 0;
	if (len > inode->content.len - offset)
		len = inode->content.len - offset;
	memcpy(buf, inode->content.p + offset, len);
	return (ssize_t)len;
}

static size_t space_used(const struct fake_fs *fs)
{
	size_t used = 0;

	for (size_t i = 0; i < fs->inode_count; i++)
		used += fs->inodes[i].content.len;
	return used;
}

static void resize(struct fake_inode *inode, size_t len)
{
	size_t was = inode->content.len;

	inode->content.p = fake_alloc(inode->content.p, len, 1);
	if (len > was)
		memset(inode->content.p + was, 0, len - was);
	inode->content.len = len;
	fake_dirty(inode, was < len ? was : len, was < len ? len : was);
}

static ssize_t put(struct fake_fs *fs, int fd, struct kt_bytes bytes, const size_t *at)
{
	struct fake_fd *to = fd_find(fs, fd);
	struct fake_inode *inode;
	size_t offset;
	size_t len = limited(fs, bytes.len);
	size_t grown;

	if (to == NULL)
		return -1;
	if ((to->flags & O_ACCMODE) == O_RDONLY)
		return fake_fail(EBADF);
	inode = &fs->inodes[to->inode];
	offset = at != NULL ? *at : to->offset;
	if (at == NULL && (to->flags & O_APPEND) != 0)
		offset = inode->content.len;
	grown = offset + len > inode->content.len ? offset + len - inode->content.len : 0;
	if (fs->space_max > 0 && grown > 0 && space_used(fs) + grown > fs->space_max)
		return fake_fail(ENOSPC);
	if (grown > 0)
		resize(inode, offset + len);
	if (len > 0)
		memcpy(inode->content.p + offset, bytes.p, len);
	fake_dirty(inode, offset, offset + len);
	if (at == NULL)
		to->offset = offset + len;
	return (ssize_t)len;
}

static ssize_t fake_write(void *ctx, int fd, const void *buf, size_t len)
{
	struct fake_fs *fs = ctx;
	struct kt_bytes bytes = {buf, len};

	return fake_finish(fs, fake_may_run(fs) ? (int)put(fs, fd, bytes, NULL) : -1);
}

static ssize_t fake_pwrite(void *ctx, int fd, const void *buf, size_t len, off_t offset)
{
	struct fake_fs *fs = ctx;
	struct kt_bytes bytes = {buf, len};
	size_t at = (size_t)offset;

	return fake_finish(fs, fake_may_run(fs) ? (int)put(fs, fd, bytes, &at) : -1);
}

static int do_ftruncate(struct fake_fs *fs, int fd, off_t len)
{
	const struct fake_fd *to = fd_find(fs, fd);

	if (to == NULL)
		return -1;
	if (len < 0 || (to->flags & O_ACCMODE) == O_RDONLY)
		return fake_fail(EINVAL);
	resize(&fs->inodes[to->inode], (size_t)len);
	return 0;
}

static int fake_ftruncate(void *ctx, int fd, off_t len)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_ftruncate(fs, fd, len) : -1);
}

static int sync_fd(struct fake_fs *fs, int fd, bool data_only)
{
	bool runs = fake_may_run(fs);
	int saved = errno;
	const struct fake_fd *of = fd_find(fs, fd);
	struct fake_inode *inode;

	if (of == NULL)
		return -1;
	inode = &fs->inodes[of->inode];
	if (!runs) {
		/* A directory's names stay pending: its journal is written again or not at all. */
		if (inode->kind == FAKE_FILE && inode->is_dirty)
			inode->is_lost = true;
		return fake_fail(saved);
	}
	if (inode->kind == FAKE_DIR)
		fake_sync_names(fs, of->inode);
	if (inode->is_lost)
		return 0;
	fake_keep_content(inode);
	if (!data_only) {
		inode->durable_mode = inode->mode;
		inode->durable_gid = inode->gid;
	}
	inode->is_dirty = inode->mode != inode->durable_mode || inode->gid != inode->durable_gid;
	return 0;
}

static int fake_fsync(void *ctx, int fd)
{
	return fake_finish(ctx, sync_fd(ctx, fd, false));
}

static int fake_fdatasync(void *ctx, int fd)
{
	return fake_finish(ctx, sync_fd(ctx, fd, true));
}

/* The pages that an fsync lost are clean: the kernel lets go of them. */
static int fake_drop_cache(void *ctx, int fd)
{
	struct fake_fs *fs = ctx;
	const struct fake_fd *of = fd_find(fs, fd);
	struct fake_inode *inode;

	if (of == NULL)
		return -1;
	inode = &fs->inodes[of->inode];
	if (!inode->is_lost)
		return 0;
	fake_buffer_set(&inode->content, inode->durable.p, inode->durable.len);
	inode->dirty_from = 0;
	inode->dirty_to = 0;
	inode->is_lost = false;
	inode->is_dirty = inode->mode != inode->durable_mode || inode->gid != inode->durable_gid;
	return 0;
}

/* --- attributes --- */

static void fill_stat(const struct fake_fs *fs, size_t index, struct stat *st)
{
	static const mode_t kinds[] = {
		[FAKE_FILE] = S_IFREG, [FAKE_DIR] = S_IFDIR, [FAKE_LINK] = S_IFLNK};
	const struct fake_inode *inode = &fs->inodes[index];

	memset(st, 0, sizeof(*st));
	st->st_mode = kinds[inode->kind] | inode->mode;
	st->st_ino = index + 1;
	st->st_nlink = 1;
	st->st_uid = geteuid();
	st->st_gid = inode->gid;
	st->st_size = (off_t)inode->content.len;
}

static int fake_fstat(void *ctx, int fd, struct stat *st)
{
	struct fake_fs *fs = ctx;
	const struct fake_fd *of;

	if (!fake_may_run(fs))
		return -1;
	of = fd_find(fs, fd);
	if (of == NULL)
		return -1;
	fill_stat(fs, of->inode, st);
	return 0;
}

static int fake_lstat(void *ctx, const char *path, struct stat *st)
{
	struct fake_fs *fs = ctx;
	struct fake_place place;

	if (!fake_may_run(fs) || !fake_resolve(fs, path, false, &place))
		return -1;
	if (place.inode == FAKE_NONE)
		return fake_fail(ENOENT);
	fill_stat(fs, place.inode, st);
	return 0;
}

static int do_change_mode(struct fake_fs *fs, int fd, const mode_t *mode, const gid_t *gid)
{
	const struct fake_fd *of = fd_find(fs, fd);

	if (of == NULL)
		return -1;
	if (mode != NULL)
		fs->inodes[of->inode].mode = *mode & 07777;
	if (gid != NULL && *gid != (gid_t)-1)
		fs->inodes[of->inode].gid = *gid;
	fs->inodes[of->inode].is_dirty = true;
	return 0;
}

static int fake_fchmod(void *ctx, int fd, mode_t mode)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_change_mode(fs, fd, &mode, NULL) : -1);
}

static int fake_fchown(void *ctx, int fd, uid_t uid, gid_t gid)
{
	struct fake_fs *fs = ctx;

	(void)uid;
	return fake_finish(fs, fake_may_run(fs) ? do_change_mode(fs, fd, NULL, &gid) : -1);
}

void fake_fill_table(struct fake_fs *fs)
{
	fs->table = (struct kt_fs){
		.ctx = fs,
		.open = fake_open,
		.read = fake_read,
		.write = fake_write,
		.pwrite = fake_pwrite,
		.ftruncate = fake_ftruncate,
		.fsync = fake_fsync,
		.fdatasync = fake_fdatasync,
		.drop_cache = fake_drop_cache,
		.close = fake_close,
		.fstat = fake_fstat,
		.lstat = fake_lstat,
		.fchmod = fake_fchmod,
		.fchown = fake_fchown,
	};
	fake_fill_names(&fs->table);
}

const struct kt_fs *fake_fs_table(struct fake_fs *fs)
{
	return &fs->table;
}
