/*
 * store - the registry on disk: ledger first, index later, on one thread of its own.
 *
 * Owns the ledger thread, the group commit (one fdatasync for all that waits) and the start-up:
 * open, lock, check, replay or rebuild. Durable means: in the ledger, synced. After a failed write
 * nothing is retried until restart; what there is no memory for waits for it. Broker's thread calls
 * everything here; results are polled.
 */
#ifndef KT_STORE_H
#define KT_STORE_H

#include "broker.h"
#include "err.h"
#include "log.h"
#include "types.h"

struct kt_store;

struct kt_store_config {	/* borrowed for kt_store_open */
	const char *state_dir;	/* index.sqlite and the lock; created 0700 */
	const char *ledger_dir; /* ledger files; created 0700 */
	const char *trust_domain;
	/* Called on the ledger thread when there is something to poll; may be NULL. */
	void (*wake)(void *ctx);
	void *wake_ctx;
};

/*
 * Opens (or begins) the ledger, cuts an incomplete tail (event ledger.cut), brings the index up to
 * date, fills @registry, starts the thread. *why (static or inside the store; a sentence for a
 * person, with the path) is set on error. KT_ERR_BUSY: another broker holds the lock.
 * KT_ERR_CORRUPT, KT_ERR_ROLLED_BACK: ledger altered, truncated, or missing while the index has
 * records. KT_ERR_VERSION: written by a newer version. KT_ERR_INSECURE, KT_ERR_SYS, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_store_open(const struct kt_store_config *config, struct kt_log *log,
					int64_t now_us, struct kt_registry *registry,
					struct kt_store **out, char why[static 512]);
/* Writes what waits, stops the thread, releases the lock. NULL is fine. */
void kt_store_close(struct kt_store *store);
/*
 * The port; valid as long as the store. What is appended waits for kt_store_hand_over: to wake the
 * ledger thread takes longer than the change itself, and a kick is to come first.
 */
const struct kt_journal *kt_store_journal(struct kt_store *store);

/* Wakes the ledger thread, if anything was appended since. */
void kt_store_hand_over(struct kt_store *store);

struct kt_store_status {
	uint64_t durable_seq;
	bool failed;	   /* the ledger: nothing becomes durable any more */
	bool index_failed; /* the index alone: rebuilt at the next start */
	uint8_t head[32];  /* hash of the record durable_seq */
};
/* Hands over, too. */
void kt_store_poll(struct kt_store *store, struct kt_store_status *out);

#endif
