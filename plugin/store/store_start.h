/*
 * store_start - what kt_store_open does before the thread runs: directories, lock, index, ledger.
 *
 * For store.c, and for tests that bring a file system of their own. Recovery is the normal start:
 * there is no other path. In this order: kt_store_check_dirs, kt_store_take_locks,
 * kt_store_recover.
 */
#ifndef KT_STORE_START_H
#define KT_STORE_START_H

#include <pthread.h>

#include "index.h"
#include "ledger.h"
#include "store.h"

struct kt_store_start {
	/* in, borrowed */
	const struct kt_store_config *config;
	const struct kt_fs *fs;
	struct kt_log *log;
	int64_t now_us;
	struct kt_registry *registry;
	char *why; /* 512 bytes */
	/* out, owned by the caller after KT_ERR_OK; the locks -1 where none was taken */
	int lock_fd;
	int ledger_lock_fd;
	struct kt_ledger *ledger;
	struct kt_index *index; /* NULL: index_failed */
	struct kt_ledger_state state;
	bool index_failed; /* the index lags behind and is not written in this run */
	/* between */
	uint64_t index_seq;
	uint8_t index_head[32];
	bool is_index_void;  /* damaged, or of an older version: a witness at most */
	bool is_rolled_back; /* the record index_seq is another one */
};

/* The thread takes no signal: they are the broker's. KT_ERR_SYS. */
KT_MUST_CHECK enum kt_err kt_store_start_thread(pthread_t *thread, void *(*run)(void *arg),
						void *arg);

/* On an error @why says what to do. Errors: those of kt_store_open. */

/* Both directories exist and nobody else can write to them. */
KT_MUST_CHECK enum kt_err kt_store_check_dirs(struct kt_store_start *start);
/* The kernel's locks, whatever @fs is. On an error none is held. */
KT_MUST_CHECK enum kt_err kt_store_take_locks(struct kt_store_start *start);
void kt_store_release_locks(struct kt_store_start *start);
/* Fills the registry, opens ledger and index. On an error neither is open; locks are left alone. */
KT_MUST_CHECK enum kt_err kt_store_recover(struct kt_store_start *start);

#endif
