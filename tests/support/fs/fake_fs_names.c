#include "fake_fs_inode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

static int do_mkdir(struct fake_fs *fs, const char *path, mode_t mode)
{
	size_t made;

	return fake_create_at(fs, path, FAKE_DIR, mode, &made);
}

static int fake_mkdir(void *ctx, const char *path, mode_t mode)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_mkdir(fs, path, mode) : -1);
}

static int do_symlink(struct fake_fs *fs, const char *target, const char *path)
{
	struct fake_inode *link;
	size_t made;

	if (target[0] == '\0')
		return fake_fail(ENOENT);
	if (fake_create_at(fs, path, FAKE_LINK, 0777, &made) != 0)
		return -1;
	link = &fs->inodes[made];
	fake_buffer_set(&link->content, target, strlen(target));
	fake_buffer_set(&link->durable, target, strlen(target));
	return 0;
}

static int fake_symlink(void *ctx, const char *target, const char *path)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_symlink(fs, target, path) : -1);
}

static ssize_t fake_readlink(void *ctx, const char *path, char *buf, size_t len)
{
	struct fake_fs *fs = ctx;
	struct fake_place place;
	const struct fake_inode *link;

	if (!fake_may_run(fs) || !fake_resolve(fs, path, false, &place))
		return -1;
	if (place.inode == FAKE_NONE || fs->inodes[place.inode].kind != FAKE_LINK)
		return fake_fail(place.inode == FAKE_NONE ? ENOENT : EINVAL);
	link = &fs->inodes[place.inode];
	if (len > link->content.len)
		len = link->content.len;
	memcpy(buf, link->content.p, len);
	return (ssize_t)len;
}

static int do_remove(struct fake_fs *fs, const char *path, bool is_rmdir)
{
	struct fake_place place;
	const struct fake_inode *inode;

	if (!fake_resolve(fs, path, false, &place))
		return -1;
	if (place.inode == FAKE_NONE)
		return fake_fail(ENOENT);
	if (fake_is_special(&place))
		return fake_fail(is_rmdir ? EBUSY : EISDIR);
	inode = &fs->inodes[place.inode];
	if ((inode->kind == FAKE_DIR) != is_rmdir)
		return fake_fail(is_rmdir ? ENOTDIR : EISDIR);
	if (is_rmdir && inode->names.count > 0)
		return fake_fail(ENOTEMPTY);
	fake_change_one(fs, &place, FAKE_NONE);
	return 0;
}

static int fake_unlink(void *ctx, const char *path)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_remove(fs, path, false) : -1);
}

static int fake_rmdir(void *ctx, const char *path)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_remove(fs, path, true) : -1);
}

static bool is_below(const struct fake_fs *fs, size_t dir, size_t above)
{
	while (dir != FAKE_ROOT && dir != above)
		dir = fs->inodes[dir].parent;
	return dir == above;
}

/* 0, or the errno of a rename that POSIX refuses. */
static int check_rename(const struct fake_fs *fs, const struct fake_place *from,
			const struct fake_place *to)
{
	const struct fake_inode *source = &fs->inodes[from->inode];
	const struct fake_inode *target;

	if (fake_is_special(from) || fake_is_special(to))
		return EBUSY;
	if (source->kind == FAKE_DIR && is_below(fs, to->dir, from->inode))
		return EINVAL;
	if (to->inode == FAKE_NONE)
		return 0;
	target = &fs->inodes[to->inode];
	if (target->kind == FAKE_DIR && source->kind != FAKE_DIR)
		return EISDIR;
	if (target->kind != FAKE_DIR && source->kind == FAKE_DIR)
		return ENOTDIR;
	return target->names.count > 0 ? ENOTEMPTY : 0;
}

static int do_rename(struct fake_fs *fs, const char *from_path, const char *to_path)
{
	struct fake_place from;
	struct fake_place to;
	struct fake_half halves[2];
	int err;

	if (!fake_resolve(fs, from_path, false, &from) || !fake_resolve(fs, to_path, false, &to))
		return -1;
	if (from.inode == FAKE_NONE)
		return fake_fail(ENOENT);
	err = check_rename(fs, &from, &to);
	if (err != 0)
		return fake_fail(err);
	if (from.inode == to.inode)
		return 0;
	halves[0] = fake_half_of(&from, FAKE_NONE);
	halves[1] = fake_half_of(&to, from.inode);
	fake_change_names(fs, halves, 2);
	if (fs->inodes[from.inode].kind == FAKE_DIR)
		fs->inodes[from.inode].parent = to.dir;
	return 0;
}

static int fake_rename(void *ctx, const char *from, const char *to)
{
	struct fake_fs *fs = ctx;

	return fake_finish(fs, fake_may_run(fs) ? do_rename(fs, from, to) : -1);
}

static int fake_list(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
		     void *arg)
{
	struct fake_fs *fs = ctx;
	struct fake_place place;
	struct fake_entry *copy;
	size_t count;

	if (!fake_may_run(fs) || !fake_resolve(fs, path, true, &place))
		return -1;
	if (place.inode == FAKE_NONE || fs->inodes[place.inode].kind != FAKE_DIR)
		return fake_fail(place.inode == FAKE_NONE ? ENOENT : ENOTDIR);
	/* A copy: @each may change the directory. */
	count = fs->inodes[place.inode].names.count;
	copy = fake_alloc(NULL, count, sizeof(*copy));
	if (count > 0)
		memcpy(copy, fs->inodes[place.inode].names.list, count * sizeof(*copy));
	for (size_t i = 0; i < count && each(arg, copy[i].name); i++)
		;
	free(copy);
	return 0;
}

void fake_fill_names(struct kt_fs *table)
{
	table->mkdir = fake_mkdir;
	table->rename = fake_rename;
	table->unlink = fake_unlink;
	table->rmdir = fake_rmdir;
	table->symlink = fake_symlink;
	table->readlink = fake_readlink;
	table->list = fake_list;
}
