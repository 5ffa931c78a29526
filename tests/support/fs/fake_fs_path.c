#include "fake_fs_inode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKS_MAX = 16 };

int fake_fail(int err)
{
	errno = err;
	return -1;
}

bool fake_may_run(struct fake_fs *fs)
{
	fs->calls++;
	if (fs->fail_at == 0 || fs->calls < fs->fail_at)
		return true;
	if (fs->calls > fs->fail_at && !fs->fails_on)
		return true;
	errno = fs->fail_err;
	return false;
}

int fake_finish(struct fake_fs *fs, int result)
{
	int saved = errno;

	if (fs->watch != NULL)
		fs->watch(fs->watch_ctx, fs);
	errno = saved;
	return result;
}

/* --- paths --- */

/* Takes the next name off @rest; false (errno) if it is too long. "" at the end. */
static bool take_name(const char **rest, char name[static FAKE_NAME_MAX + 1])
{
	size_t len;

	*rest += strspn(*rest, "/");
	len = strcspn(*rest, "/");
	if (len > FAKE_NAME_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(name, *rest, len);
	name[len] = '\0';
	*rest += len;
	return true;
}

static size_t look_up(const struct fake_fs *fs, size_t dir, const char *name)
{
	if (strcmp(name, ".") == 0)
		return dir;
	if (strcmp(name, "..") == 0)
		return fs->inodes[dir].parent;
	return fake_names_find(&fs->inodes[dir].names, name);
}

/* @text becomes the link's target followed by @rest. */
static bool splice_link(const struct fake_inode *link, const char *rest,
			char text[static FAKE_PATH_MAX])
{
	char joined[FAKE_PATH_MAX];
	size_t target_len = link->content.len;
	size_t rest_len = strlen(rest);

	if (target_len + rest_len + 2 > sizeof(joined)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(joined, link->content.p, target_len);
	joined[target_len] = '/';
	memcpy(joined + target_len + 1, rest, rest_len + 1);
	memcpy(text, joined, target_len + rest_len + 2);
	return true;
}

bool fake_resolve(const struct fake_fs *fs, const char *path, bool follow, struct fake_place *out)
{
	char text[FAKE_PATH_MAX];
	const char *rest = text;
	unsigned links = 0;

	if (path[0] == '\0' || strlen(path) >= sizeof(text)) {
		errno = path[0] == '\0' ? ENOENT : ENAMETOOLONG;
		return false;
	}
	(void)snprintf(text, sizeof(text), "%s", path);
	*out = (struct fake_place){.dir = FAKE_ROOT, .inode = FAKE_ROOT};
	for (;;) {
		char name[FAKE_NAME_MAX + 1];
		bool is_last;

		if (!take_name(&rest, name))
			return false;
		if (name[0] == '\0')
			return true;
		if (out->inode == FAKE_NONE || fs->inodes[out->inode].kind != FAKE_DIR) {
			errno = out->inode == FAKE_NONE ? ENOENT : ENOTDIR;
			return false;
		}
		out->dir = out->inode;
		memcpy(out->name, name, sizeof(name));
		out->inode = look_up(fs, out->dir, name);
		is_last = rest[strspn(rest, "/")] == '\0';
		if (out->inode == FAKE_NONE || fs->inodes[out->inode].kind != FAKE_LINK ||
		    (is_last && !follow))
			continue;
		if (++links > LINKS_MAX) {
			errno = ELOOP;
			return false;
		}
		if (!splice_link(&fs->inodes[out->inode], rest, text))
			return false;
		rest = text;
		out->inode = text[0] == '/' ? FAKE_ROOT : out->dir;
	}
}

bool fake_is_special(const struct fake_place *place)
{
	return place->name[0] == '\0' || strcmp(place->name, ".") == 0 ||
	       strcmp(place->name, "..") == 0;
}

struct fake_half fake_half_of(const struct fake_place *place, size_t inode)
{
	struct fake_half half = {.dir = place->dir, .inode = inode};

	memcpy(half.name, place->name, sizeof(half.name));
	return half;
}

void fake_change_one(struct fake_fs *fs, const struct fake_place *place, size_t inode)
{
	struct fake_half half = fake_half_of(place, inode);

	fake_change_names(fs, &half, 1);
}

/* A new name at @place. */
size_t fake_create(struct fake_fs *fs, const struct fake_place *place, enum fake_kind kind,
		   mode_t mode)
{
	size_t inode = fake_inode_new(fs, kind, mode & 07777);

	fs->inodes[inode].parent = place->dir;
	fake_change_one(fs, place, inode);
	return inode;
}

int fake_create_at(struct fake_fs *fs, const char *path, enum fake_kind kind, mode_t mode,
		   size_t *out)
{
	struct fake_place place;

	if (!fake_resolve(fs, path, false, &place))
		return -1;
	if (place.inode != FAKE_NONE)
		return fake_fail(EEXIST);
	*out = fake_create(fs, &place, kind, mode);
	return 0;
}

/* --- what tests steer and see --- */

unsigned fake_fs_calls(const struct fake_fs *fs)
{
	return fs->calls;
}

void fake_fs_fail_at(struct fake_fs *fs, unsigned n, int err)
{
	fs->calls = 0;
	fs->fail_at = n;
	fs->fail_err = err;
	fs->fails_on = false;
}

void fake_fs_fail_from(struct fake_fs *fs, unsigned n, int err)
{
	fake_fs_fail_at(fs, n, err);
	fs->fails_on = true;
}

void fake_fs_limit_io(struct fake_fs *fs, size_t bytes)
{
	fs->io_max = bytes;
}

void fake_fs_limit_space(struct fake_fs *fs, size_t bytes)
{
	fs->space_max = bytes;
}

unsigned fake_fs_open_count(const struct fake_fs *fs)
{
	unsigned count = 0;

	for (size_t i = 0; i < FAKE_FD_COUNT; i++)
		count += fs->fds[i].inode != FAKE_NONE ? 1 : 0;
	return count;
}

void fake_fs_watch(struct fake_fs *fs, fake_fs_each *watch, void *ctx)
{
	fs->watch = watch;
	fs->watch_ctx = ctx;
}

static char *copy_of(const struct fake_fs *fs, const char *path, bool durable, size_t *len)
{
	const struct fake_buffer *buffer;
	struct fake_place place;
	char *text;

	*len = 0;
	if (!fake_resolve(fs, path, true, &place) || place.inode == FAKE_NONE ||
	    fs->inodes[place.inode].kind != FAKE_FILE)
		return NULL;
	buffer = durable ? &fs->inodes[place.inode].durable : &fs->inodes[place.inode].content;
	text = fake_alloc(NULL, buffer->len + 1, 1);
	if (buffer->len > 0)
		memcpy(text, buffer->p, buffer->len);
	text[buffer->len] = '\0';
	*len = buffer->len;
	return text;
}

char *fake_fs_content(const struct fake_fs *fs, const char *path, size_t *len)
{
	return copy_of(fs, path, false, len);
}

char *fake_fs_durable_content(const struct fake_fs *fs, const char *path, size_t *len)
{
	return copy_of(fs, path, true, len);
}

bool fake_fs_spoil(struct fake_fs *fs, const char *path)
{
	struct fake_place place;

	if (!fake_resolve(fs, path, true, &place) || place.inode == FAKE_NONE ||
	    fs->inodes[place.inode].kind != FAKE_FILE)
		return false;
	fs->inodes[place.inode].is_spoilt = true;
	return true;
}

void fake_fs_put(struct fake_fs *fs, const char *path, const char *content)
{
	char part[FAKE_PATH_MAX];
	struct fake_place place;
	struct fake_inode *inode;
	size_t made;

	if (strlen(path) >= sizeof(part))
		abort();
	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		memset(part, 0, sizeof(part));
		memcpy(part, path, (size_t)(slash - path));
		(void)fake_create_at(fs, part, FAKE_DIR, 0700, &made);
	}
	if (!fake_resolve(fs, path, true, &place))
		abort();
	if (place.inode == FAKE_NONE)
		place.inode = fake_create(fs, &place, FAKE_FILE, 0600);
	inode = &fs->inodes[place.inode];
	fake_buffer_set(&inode->content, content, strlen(content));
	fake_dirty(inode, 0, strlen(content));
	fake_fs_sync(fs);
}
