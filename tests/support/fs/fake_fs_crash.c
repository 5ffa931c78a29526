#include "fake_fs_inode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENUMERATED_MAX = 6, SAMPLES = 200, SECTOR = 512 };

/*
 * What becomes of one pending unit. A change of names knows DROP and KEEP only; enumerations leave
 * SECTORS out, which has too many forms.
 */
enum fate { DROP, KEEP, TORN_BACK, TORN_FRONT, SECTORS, FATE_COUNT };

void *fake_alloc(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count > 0 ? count : 1, size);

	if (p == NULL) {
		(void)fputs("fake_fs: out of memory\n", stderr);
		abort();
	}
	return p;
}

void fake_buffer_set(struct fake_buffer *buffer, const void *bytes, size_t len)
{
	uint8_t *p = fake_alloc(NULL, len, 1);

	if (len > 0)
		memcpy(p, bytes, len);
	free(buffer->p);
	buffer->p = p;
	buffer->len = len;
}

void fake_dirty(struct fake_inode *inode, size_t from, size_t to)
{
	bool is_first = inode->dirty_from >= inode->dirty_to;

	inode->is_dirty = true;
	if (is_first || from < inode->dirty_from)
		inode->dirty_from = from;
	if (is_first || to > inode->dirty_to)
		inode->dirty_to = to;
}

void fake_keep_content(struct fake_inode *inode)
{
	size_t from = inode->dirty_from;
	size_t to = inode->dirty_to < inode->content.len ? inode->dirty_to : inode->content.len;

	if (inode->durable.len != inode->content.len)
		inode->durable.p = fake_alloc(inode->durable.p, inode->content.len, 1);
	inode->durable.len = inode->content.len;
	if (to > from)
		memcpy(inode->durable.p + from, inode->content.p + from, to - from);
	inode->dirty_from = 0;
	inode->dirty_to = 0;
}

size_t fake_names_find(const struct fake_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->list[i].name, name) == 0)
			return names->list[i].inode;
	}
	return FAKE_NONE;
}

void fake_names_set(struct fake_names *names, const char *name, size_t inode)
{
	size_t i = 0;

	while (i < names->count && strcmp(names->list[i].name, name) != 0)
		i++;
	if (inode == FAKE_NONE) {
		if (i < names->count)
			names->list[i] = names->list[--names->count];
		return;
	}
	if (i == names->count) {
		names->list = fake_alloc(names->list, ++names->count, sizeof(*names->list));
		memset(&names->list[i], 0, sizeof(names->list[i]));
		(void)snprintf(names->list[i].name, sizeof(names->list[i].name), "%s", name);
	}
	names->list[i].inode = inode;
}

static void inode_clear(struct fake_inode *inode)
{
	free(inode->content.p);
	free(inode->durable.p);
	free(inode->names.list);
	free(inode->durable_names.list);
	memset(inode, 0, sizeof(*inode));
}

size_t fake_inode_new(struct fake_fs *fs, enum fake_kind kind, mode_t mode)
{
	struct fake_inode *inode;
	size_t index = 0;

	/* What a crash freed; the root is never free. */
	while (index < fs->inode_count && fs->inodes[index].kind != FAKE_FREE)
		index++;
	if (index == fs->inode_count)
		fs->inodes = fake_alloc(fs->inodes, ++fs->inode_count, sizeof(*fs->inodes));
	else
		inode_clear(&fs->inodes[index]);
	inode = &fs->inodes[index];
	memset(inode, 0, sizeof(*inode));
	inode->kind = kind;
	inode->mode = mode;
	inode->durable_mode = mode;
	return index;
}

static void apply(struct fake_fs *fs, const struct fake_change *change, bool durable)
{
	for (unsigned i = 0; i < change->half_count; i++) {
		const struct fake_half *half = &change->half[i];
		struct fake_inode *dir = &fs->inodes[half->dir];

		fake_names_set(durable ? &dir->durable_names : &dir->names, half->name,
			       half->inode);
	}
}

void fake_change_names(struct fake_fs *fs, const struct fake_half *halves, unsigned count)
{
	struct fake_change *change;

	fs->changes = fake_alloc(fs->changes, fs->change_count + 1, sizeof(*fs->changes));
	change = &fs->changes[fs->change_count++];
	memset(change, 0, sizeof(*change));
	memcpy(change->half, halves, count * sizeof(*halves));
	change->half_count = count;
	apply(fs, change, false);
}

static bool touches(const struct fake_change *change, size_t dir)
{
	for (unsigned i = 0; i < change->half_count; i++) {
		if (change->half[i].dir == dir)
			return true;
	}
	return false;
}

void fake_sync_names(struct fake_fs *fs, size_t dir)
{
	size_t left = 0;

	for (size_t i = 0; i < fs->change_count; i++) {
		if (touches(&fs->changes[i], dir))
			apply(fs, &fs->changes[i], true);
		else
			fs->changes[left++] = fs->changes[i];
	}
	fs->change_count = left;
}

struct fake_fs *fake_fs_new(void)
{
	struct fake_fs *fs = fake_alloc(NULL, 1, sizeof(*fs));

	memset(fs, 0, sizeof(*fs));
	fake_fill_table(fs);
	for (size_t i = 0; i < FAKE_FD_COUNT; i++)
		fs->fds[i].inode = FAKE_NONE;
	(void)fake_inode_new(fs, FAKE_DIR, 0755);
	return fs;
}

void fake_fs_free(struct fake_fs *fs)
{
	if (fs == NULL)
		return;
	for (size_t i = 0; i < fs->inode_count; i++)
		inode_clear(&fs->inodes[i]);
	free(fs->inodes);
	free(fs->changes);
	free(fs);
}

static void names_copy(struct fake_names *to, const struct fake_names *from)
{
	struct fake_entry *list = fake_alloc(NULL, from->count, sizeof(*list));

	if (from->count > 0)
		memcpy(list, from->list, from->count * sizeof(*list));
	free(to->list);
	to->list = list;
	to->count = from->count;
}

struct fake_fs *fake_fs_clone(const struct fake_fs *fs)
{
	struct fake_fs *clone = fake_fs_new();

	clone->inodes = fake_alloc(clone->inodes, fs->inode_count, sizeof(*clone->inodes));
	clone->inode_count = fs->inode_count;
	for (size_t i = 0; i < fs->inode_count; i++) {
		const struct fake_inode *from = &fs->inodes[i];
		struct fake_inode *to = &clone->inodes[i];

		*to = *from;
		to->content = (struct fake_buffer){.p = NULL};
		to->durable = (struct fake_buffer){.p = NULL};
		to->names = (struct fake_names){.list = NULL};
		to->durable_names = (struct fake_names){.list = NULL};
		fake_buffer_set(&to->content, from->content.p, from->content.len);
		fake_buffer_set(&to->durable, from->durable.p, from->durable.len);
		names_copy(&to->names, &from->names);
		names_copy(&to->durable_names, &from->durable_names);
	}
	clone->changes = fake_alloc(NULL, fs->change_count, sizeof(*clone->changes));
	if (fs->change_count > 0)
		memcpy(clone->changes, fs->changes, fs->change_count * sizeof(*clone->changes));
	clone->change_count = fs->change_count;
	clone->calls = fs->calls;
	return clone;
}

/* --- power cuts --- */

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool is_pending(const struct fake_inode *inode)
{
	return inode->kind != FAKE_FREE && inode->is_dirty;
}

size_t fake_fs_pending(const struct fake_fs *fs)
{
	size_t count = fs->change_count;

	for (size_t i = 0; i < fs->inode_count; i++)
		count += is_pending(&fs->inodes[i]) ? 1 : 0;
	return count;
}

/* The new length; one half of the bytes new, the other as it was (zero where nothing was). */
static void tear(struct fake_inode *inode, bool keep_front)
{
	size_t len = inode->content.len;
	size_t from = keep_front ? len / 2 : 0;
	size_t to = keep_front ? len : len / 2;
	struct fake_buffer torn = {.p = NULL};

	fake_buffer_set(&torn, inode->content.p, len);
	for (size_t i = from; i < to; i++)
		torn.p[i] = i < inode->durable.len ? inode->durable.p[i] : 0;
	free(inode->durable.p);
	inode->durable = torn;
}

/* Each sector that was written is new or as it was. */
static void mix_sectors(struct fake_inode *inode, uint64_t seed)
{
	struct fake_buffer mixed = {.p = NULL};
	size_t len = inode->content.len;
	uint64_t bits = 0;

	fake_buffer_set(&mixed, inode->content.p, len);
	for (size_t at = 0; at < len; at += SECTOR) {
		size_t end = at + SECTOR < len ? at + SECTOR : len;

		bits = bits < 2 ? next_random(&seed) | UINT64_C(1) << 63 : bits >> 1;
		for (size_t i = at; i < end && (bits & 1) == 0; i++)
			mixed.p[i] = i < inode->durable.len ? inode->durable.p[i] : 0;
	}
	free(inode->durable.p);
	inode->durable = mixed;
}

static void settle_content(struct fake_inode *inode, enum fate fate, uint64_t seed)
{
	if (fate == KEEP)
		fake_keep_content(inode);
	else if (fate == TORN_BACK || fate == TORN_FRONT)
		tear(inode, fate == TORN_BACK);
	else if (fate == SECTORS)
		mix_sectors(inode, seed);
	if (fate != DROP) {
		inode->durable_mode = inode->mode;
		inode->durable_gid = inode->gid;
	}
}

static void revert(struct fake_inode *inode)
{
	if (inode->is_dirty || inode->is_lost || inode->content.len != inode->durable.len)
		fake_buffer_set(&inode->content, inode->durable.p, inode->durable.len);
	names_copy(&inode->names, &inode->durable_names);
	inode->dirty_from = 0;
	inode->dirty_to = 0;
	inode->mode = inode->durable_mode;
	inode->gid = inode->durable_gid;
	inode->is_dirty = false;
	inode->is_lost = false;
}

/* What no name leads to is gone; ".." of the others is where they hang now. */
static void drop_unreachable(struct fake_fs *fs)
{
	size_t *todo = fake_alloc(NULL, fs->inode_count, sizeof(*todo));
	bool *seen = fake_alloc(NULL, fs->inode_count, sizeof(*seen));
	size_t count = 1;

	memset(seen, 0, fs->inode_count * sizeof(*seen));
	todo[0] = FAKE_ROOT;
	seen[FAKE_ROOT] = true;
	while (count > 0) {
		size_t dir = todo[--count];
		const struct fake_names *names = &fs->inodes[dir].names;

		for (size_t i = 0; i < names->count; i++) {
			size_t child = names->list[i].inode;

			if (seen[child])
				continue;
			seen[child] = true;
			fs->inodes[child].parent = dir;
			todo[count++] = child;
		}
	}
	for (size_t i = 0; i < fs->inode_count; i++) {
		if (!seen[i])
			inode_clear(&fs->inodes[i]);
	}
	free(todo);
	free(seen);
}

/* @fates: one for each change of names, then one for each pending inode. */
static void crash_with(struct fake_fs *fs, const enum fate *fates, uint64_t seed)
{
	size_t at = 0;

	for (size_t i = 0; i < fs->change_count; i++) {
		if (fates[at++] != DROP)
			apply(fs, &fs->changes[i], true);
	}
	for (size_t i = 0; i < fs->inode_count; i++) {
		if (is_pending(&fs->inodes[i]))
			settle_content(&fs->inodes[i], fates[at++], next_random(&seed));
	}
	for (size_t i = 0; i < fs->inode_count; i++) {
		if (fs->inodes[i].kind != FAKE_FREE)
			revert(&fs->inodes[i]);
	}
	fs->change_count = 0;
	fake_fs_kill(fs);
	drop_unreachable(fs);
}

void fake_fs_kill(struct fake_fs *fs)
{
	for (size_t i = 0; i < FAKE_FD_COUNT; i++)
		fs->fds[i].inode = FAKE_NONE;
	fake_fs_fail_at(fs, 0, 0);
}

static enum fate *fates_new(size_t count, enum fate fate)
{
	enum fate *fates = fake_alloc(NULL, count, sizeof(*fates));

	for (size_t i = 0; i < count; i++)
		fates[i] = fate;
	return fates;
}

static void draw(const struct fake_fs *fs, enum fate *fates, size_t count, uint64_t *seed)
{
	for (size_t i = 0; i < count; i++)
		fates[i] = (enum fate)(next_random(seed) %
				       (i < fs->change_count ? 2u : (unsigned)FATE_COUNT));
}

void fake_fs_crash(struct fake_fs *fs, uint64_t seed)
{
	size_t count = fake_fs_pending(fs);
	enum fate *fates = fates_new(count, DROP);

	draw(fs, fates, count, &seed);
	crash_with(fs, fates, seed);
	free(fates);
}

void fake_fs_sync(struct fake_fs *fs)
{
	for (size_t i = 0; i < fs->change_count; i++)
		apply(fs, &fs->changes[i], true);
	fs->change_count = 0;
	for (size_t i = 0; i < fs->inode_count; i++) {
		if (is_pending(&fs->inodes[i]))
			settle_content(&fs->inodes[i], KEEP, 0);
		fs->inodes[i].is_dirty = false;
	}
}

static void visit(const struct fake_fs *fs, const enum fate *fates, fake_fs_each *each, void *ctx)
{
	struct fake_fs *after = fake_fs_clone(fs);

	crash_with(after, fates, fs->calls);
	each(ctx, after);
	fake_fs_free(after);
}

/* The next combination, like an odometer; false after the last. */
static bool advance(const struct fake_fs *fs, enum fate *fates, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned wheel = i < fs->change_count ? 2u : (unsigned)SECTORS;

		if ((unsigned)fates[i] + 1 < wheel) {
			fates[i] = (enum fate)(fates[i] + 1);
			return true;
		}
		fates[i] = DROP;
	}
	return false;
}

unsigned fake_fs_each_crash(const struct fake_fs *fs, uint64_t seed, fake_fs_each *each, void *ctx)
{
	size_t count = fake_fs_pending(fs);
	enum fate *fates = fates_new(count, DROP);
	unsigned visited = 0;

	if (count <= ENUMERATED_MAX) {
		do {
			visit(fs, fates, each, ctx);
			visited++;
		} while (advance(fs, fates, count));
	} else {
		visit(fs, fates, each, ctx);
		for (size_t i = 0; i < count; i++)
			fates[i] = KEEP;
		visit(fs, fates, each, ctx);
		for (visited = 2; visited < SAMPLES + 2; visited++) {
			draw(fs, fates, count, &seed);
			visit(fs, fates, each, ctx);
		}
	}
	free(fates);
	return visited;
}
