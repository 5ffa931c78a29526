/*
 * fake_fs - a file system in memory that can lose power: the whole struct kt_fs table.
 *
 * Two halves. The volatile one is what calls see. The durable one is what a power cut leaves, and
 * only fsync moves things there:
 *   - content and mode of a file: fsync of a descriptor of that file (fdatasync: content alone);
 *   - a name (create, mkdir, symlink, rename, unlink, rmdir): fsync of a descriptor of the
 *     directory. fsync of a file does not persist its name, and fsync of a new directory does not
 *     persist the directory's own name.
 * Until then each file's content, and each change of a name, is pending on its own: a crash keeps
 * any subset. A rename is one change (both names or neither), made durable through either
 * directory. The target of a symbolic link is part of its name. Pending content may be dropped
 * (what was synced before, or an empty file), kept, or torn: the front new and the back old, the
 * other way round, or (in crashes drawn from a seed) each sector new or old by itself. What a crash
 * drops or keeps does not follow the order of the calls. After an fsync that failed, a file's
 * content can never become durable any more (the kernel has dropped the dirty pages): a caller that
 * tries again and believes it is found out. Reads still show it, until drop_cache; then what is
 * durable is there again. drop_cache is no call that counts.
 *
 * Not modelled: permissions (all is allowed; owner is the caller's), hard links, time.
 * Paths: absolute, or taken from "/"; symbolic links are followed as the kernel does; ".." works.
 * One thread. Out of memory aborts.
 */
#ifndef KT_TEST_FAKE_FS_H
#define KT_TEST_FAKE_FS_H

#include "durable_file.h"

struct fake_fs;

/* An empty root directory, durable. */
struct fake_fs *fake_fs_new(void);
void fake_fs_free(struct fake_fs *fs);
/* Both halves, what is pending, the counters; not the open descriptors, failures and watchers. */
struct fake_fs *fake_fs_clone(const struct fake_fs *fs);
/* The table: valid as long as @fs. */
const struct kt_fs *fake_fs_table(struct fake_fs *fs);

/* --- failures --- */

/* Calls of the table since the start, or since the last fake_fs_fail_*. */
unsigned fake_fs_calls(const struct fake_fs *fs);
/*
 * The @n-th call from now (1 = the next) fails with @err and does nothing; a close still closes.
 * 0: none. Restarts the count.
 */
void fake_fs_fail_at(struct fake_fs *fs, unsigned n, int err);
/* That call and all after it, as if the process were dead. Lifted by a crash or fake_fs_fail_at. */
void fake_fs_fail_from(struct fake_fs *fs, unsigned n, int err);
/* Reads and writes move at most @bytes a call (short writes). 0: no limit. */
void fake_fs_limit_io(struct fake_fs *fs, size_t bytes);
/* Writes that would make all content larger than @bytes fail with ENOSPC. 0: no limit. */
void fake_fs_limit_space(struct fake_fs *fs, size_t bytes);
/* The one call that the table lacks; counts as one of its calls. */
ssize_t fake_fs_pread(struct fake_fs *fs, int fd, void *buf, size_t len, size_t offset);
/* The process is killed: descriptors closed, failures lifted, nothing lost. */
void fake_fs_kill(struct fake_fs *fs);
/*
 * From now on the medium does not give the content of the file at @path back: reads fail with EIO,
 * writes do not mend it. A new file in its place is good. False: there is no such file.
 */
bool fake_fs_spoil(struct fake_fs *fs, const char *path);
/* Descriptors that were not closed. */
unsigned fake_fs_open_count(const struct fake_fs *fs);

/* --- power cuts --- */

/* Changes that a crash could lose now. */
size_t fake_fs_pending(const struct fake_fs *fs);
/* One crash, drawn from @seed; descriptors are closed, failures lifted. What is left is durable. */
void fake_fs_crash(struct fake_fs *fs, uint64_t seed);
/* Nothing is lost: as after sync(1). */
void fake_fs_sync(struct fake_fs *fs);

/* @after: a file system of its own, freed after the call. */
typedef void fake_fs_each(void *ctx, struct fake_fs *after);
/*
 * Calls @each with every state that a crash may leave now: all combinations if at most 6 changes
 * are pending, else nothing kept, all kept, and 200 drawn from @seed. Returns how many.
 */
unsigned fake_fs_each_crash(const struct fake_fs *fs, uint64_t seed, fake_fs_each *each, void *ctx);
/*
 * @watch is called after every call of the table that changed something or failed, with @fs
 * itself; it may clone and crash, not change. NULL: none.
 */
void fake_fs_watch(struct fake_fs *fs, fake_fs_each *watch, void *ctx);

/* --- for assertions --- */

/* Content of the file at @path, links followed: malloc'ed, NUL-terminated; NULL if there is none.
 * Not counted as a call. */
char *fake_fs_content(const struct fake_fs *fs, const char *path, size_t *len);
/* The same of what was synced, under the name that the file has now. */
char *fake_fs_durable_content(const struct fake_fs *fs, const char *path, size_t *len);
/* As if it had always been there: a durable file, with its directories. */
void fake_fs_put(struct fake_fs *fs, const char *path, const char *content);

#endif
