/*
 * index - SQLite over the ledger: a faster start, never the truth. Only index_sqlite.c has SQLite.
 *
 * Holds the rows of devices, credentials, tickets, denied keys and operators as of ledger_seq,
 * ledger_head. May lag behind the ledger, may be deleted: it is rebuilt. One thread at a time.
 */
#ifndef KT_INDEX_H
#define KT_INDEX_H

#include "durable_file.h"
#include "err.h"
#include "registry.h"
#include "types.h"

struct kt_index;
struct kt_index_batch; /* images of changed rows, made on the broker's thread, written on the
			  ledger's */

enum { KT_INDEX_VERSION = 5 };

/*
 * Creates it (0600, through @fs) if need be; the rest is SQLite's, through its default VFS. WAL,
 * synchronous FULL, integrity checked. KT_ERR_CORRUPT (remove
 * and rebuild it), KT_ERR_VERSION, KT_ERR_BUSY (somebody else has it open), KT_ERR_SYS,
 * KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_index_open(const struct kt_fs *fs, const char *path,
					struct kt_index **out);
void kt_index_close(struct kt_index *index);
/* 0 and zeros for a fresh one. */
KT_MUST_CHECK enum kt_err kt_index_head(struct kt_index *index, uint64_t *seq,
					uint8_t head[static 32]);
/*
 * The same of a file that kt_index_open calls damaged, or of another version: what its head says is
 * whole, or KT_ERR_CORRUPT. KT_ERR_SYS, KT_ERR_BUSY, KT_ERR_NOMEM. On an error 0 and zeros.
 */
KT_MUST_CHECK enum kt_err kt_index_peek(const char *path, uint64_t *seq, uint8_t head[static 32]);
/* Deletes it with all that SQLite keeps beside it. KT_ERR_SYS, KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_index_remove(const struct kt_fs *fs, const char *path);
/*
 * Reads every row: is each as it was written, and none missing between two? What they say together
 * is looked at by kt_index_load. Any thread, if no other uses @index meanwhile. KT_ERR_CORRUPT,
 * KT_ERR_NOMEM, KT_ERR_SYS.
 */
KT_MUST_CHECK enum kt_err kt_index_check(struct kt_index *index);
/* Fills an empty registry. KT_ERR_CORRUPT, KT_ERR_NOMEM, KT_ERR_SYS: its content is undefined. */
KT_MUST_CHECK enum kt_err kt_index_load(struct kt_index *index, struct kt_registry *registry);
/*
 * Takes images of all rows that changed in @registry since the last call (and marks them clean).
 * KT_ERR_NOMEM: images were lost, nothing more may be written to the index in this run; what it
 * holds stays right, and the next start brings it up to date.
 */
KT_MUST_CHECK enum kt_err kt_index_collect(struct kt_registry *registry,
					   struct kt_index_batch **out);
void kt_index_batch_free(struct kt_index_batch *batch);
/* Writes batches, in order, in one transaction that also sets seq and head. */
KT_MUST_CHECK enum kt_err kt_index_write(struct kt_index *index,
					 struct kt_index_batch *const *batches, size_t count,
					 uint64_t seq, const uint8_t head[static 32]);
/* Replaces all that it holds by @batch, in one transaction. */
KT_MUST_CHECK enum kt_err kt_index_rewrite(struct kt_index *index, struct kt_index_batch *batch,
					   uint64_t seq, const uint8_t head[static 32]);
/* Empties all tables (rebuild from the ledger follows). */
KT_MUST_CHECK enum kt_err kt_index_clear(struct kt_index *index);

#endif
