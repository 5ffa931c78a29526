/*
 * store_writer - what the ledger's thread does, without the thread: group commits, then the index.
 *
 * Owns ledger and index while they are written, and the images that wait for the index. For
 * store.c, and for tests that let the same steps happen in an order of their own. One thread at a
 * time.
 */
#ifndef KT_STORE_WRITER_H
#define KT_STORE_WRITER_H

#include "index.h"
#include "ledger.h"

enum {
	KT_STORE_GROUP = 512,  /* records of one ledger append */
	KT_STORE_IMAGES = 1024 /* batches that may wait while the ledger is busy */
};

struct kt_store_item { /* one record on its way to the disk */
	struct kt_store_item *next;
	struct kt_record record; /* its DER is in storage */
	struct kt_index_batch *batch;
};

struct kt_store_writer { /* zeroed to begin with; ledger and index are set by the owner (moved) */
	struct kt_ledger *ledger;
	struct kt_index *index;
	struct kt_index_batch *waiting[KT_STORE_IMAGES];
	size_t waiting_count;
	uint64_t indexed_seq; /* of the newest of them */
	uint8_t indexed_head[32];
};

/* A copy of @record, without images. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_store_item_new(const struct kt_record *record,
					    struct kt_store_item **out);
void kt_store_items_free(struct kt_store_item *first); /* the whole list */

/*
 * The records of a list of @count, at most KT_STORE_GROUP, into the ledger. *state: what is durable
 * now, also after an error (kt_ledger_append's). The images of what is durable wait for the index.
 */
KT_MUST_CHECK enum kt_err kt_store_writer_append(struct kt_store_writer *writer,
						 struct kt_store_item *group, size_t count,
						 struct kt_ledger_state *state);
/* No room for the images of another group: kt_store_writer_index or _drop comes first. */
bool kt_store_writer_is_full(const struct kt_store_writer *writer);
/* All that waits, into the index; after an error (kt_index_write's) it is dropped: never again. */
KT_MUST_CHECK enum kt_err kt_store_writer_index(struct kt_store_writer *writer);
void kt_store_writer_drop(struct kt_store_writer *writer);
/* Closes both, drops what waits. */
void kt_store_writer_close(struct kt_store_writer *writer);

#endif
