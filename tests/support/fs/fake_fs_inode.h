/*
 * fake_fs_inode - the two halves of the fake file system: inodes, names, what is pending.
 *
 * Shared by fake_fs.c (calls on descriptors), fake_fs_names.c (calls on names), fake_fs_path.c
 * (paths, failures) and fake_fs_crash.c (power cuts); not for tests.
 */
#ifndef KT_TEST_FAKE_FS_INODE_H
#define KT_TEST_FAKE_FS_INODE_H

#include "fake_fs.h"

enum { FAKE_NAME_MAX = 255, FAKE_PATH_MAX = 4096, FAKE_FD_FIRST = 1000, FAKE_FD_COUNT = 64 };

#define FAKE_NONE SIZE_MAX /* no inode: the name is not there */
#define FAKE_ROOT 0u

enum fake_kind { FAKE_FREE, FAKE_FILE, FAKE_DIR, FAKE_LINK };

struct fake_buffer {
	uint8_t *p;
	size_t len;
};

struct fake_entry {
	char name[FAKE_NAME_MAX + 1];
	size_t inode;
};

struct fake_names {
	struct fake_entry *list;
	size_t count;
};

struct fake_inode {
	enum fake_kind kind;
	mode_t mode;
	mode_t durable_mode;
	gid_t gid;
	gid_t durable_gid;
	bool is_dirty;	   /* content or mode differ from the durable half */
	size_t dirty_from; /* the bytes that may differ, up to dirty_to; none: equal */
	size_t dirty_to;
	bool is_lost;		    /* an fsync failed: nothing here becomes durable any more */
	bool is_spoilt;		    /* reads fail */
	size_t parent;		    /* of a directory: where ".." leads */
	struct fake_buffer content; /* of a link: its target */
	struct fake_buffer durable;
	struct fake_names names;
	struct fake_names durable_names;
};

struct fake_half { /* of a change: @name in @dir becomes @inode, or FAKE_NONE */
	size_t dir;
	char name[FAKE_NAME_MAX + 1];
	size_t inode;
};

struct fake_change { /* of names, kept or dropped as one */
	struct fake_half half[2];
	unsigned half_count;
};

struct fake_fd {
	size_t inode; /* FAKE_NONE: closed */
	int flags;
	size_t offset;
};

struct fake_fs {
	struct kt_fs table;
	struct fake_inode *inodes;
	size_t inode_count;
	struct fake_change *changes; /* in the order of the calls */
	size_t change_count;
	struct fake_fd fds[FAKE_FD_COUNT];
	unsigned calls;
	unsigned fail_at;
	int fail_err;
	bool fails_on;
	size_t io_max;
	size_t space_max;
	fake_fs_each *watch;
	void *watch_ctx;
};

struct fake_place { /* where a path leads */
	size_t dir;
	char name[FAKE_NAME_MAX + 1]; /* "" for the root itself */
	size_t inode;		      /* FAKE_NONE if there is nothing of that name */
};

/* --- fake_fs_crash.c --- */

void *fake_alloc(void *old, size_t count, size_t size);
void fake_buffer_set(struct fake_buffer *buffer, const void *bytes, size_t len);
/* Notes that bytes @from up to @to of the content may differ from the durable ones. */
void fake_dirty(struct fake_inode *inode, size_t from, size_t to);
/* The durable content becomes what the volatile one is. */
void fake_keep_content(struct fake_inode *inode);
size_t fake_names_find(const struct fake_names *names, const char *name);
/* FAKE_NONE removes. */
void fake_names_set(struct fake_names *names, const char *name, size_t inode);
size_t fake_inode_new(struct fake_fs *fs, enum fake_kind kind, mode_t mode);
/* Records a change and applies it to the volatile half. */
void fake_change_names(struct fake_fs *fs, const struct fake_half *halves, unsigned count);
/* Makes all changes of names in @dir durable. */
void fake_sync_names(struct fake_fs *fs, size_t dir);

/* --- fake_fs_path.c --- */

int fake_fail(int err);
/* Counts a call; false (and errno) if it is to fail. */
bool fake_may_run(struct fake_fs *fs);
/* The last thing of every call that changes something: @result passes through, with errno. */
int fake_finish(struct fake_fs *fs, int result);
/* Follows links on the way; the last one too if @follow. False (errno) if the way is not there. */
bool fake_resolve(const struct fake_fs *fs, const char *path, bool follow, struct fake_place *out);
bool fake_is_special(const struct fake_place *place);
struct fake_half fake_half_of(const struct fake_place *place, size_t inode);
void fake_change_one(struct fake_fs *fs, const struct fake_place *place, size_t inode);
size_t fake_create(struct fake_fs *fs, const struct fake_place *place, enum fake_kind kind,
		   mode_t mode);
int fake_create_at(struct fake_fs *fs, const char *path, enum fake_kind kind, mode_t mode,
		   size_t *out);

/* --- fake_fs.c, fake_fs_names.c --- */

void fake_fill_names(struct kt_fs *table);
void fake_fill_table(struct fake_fs *fs);

#endif
