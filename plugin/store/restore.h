/*
 * restore - an operator puts a ledger back, or accepts that the newest one is lost. Offline.
 *
 * Owns the order of it: what the index and the present ledger know and that takes rights away goes
 * into the accepted ledger as records, all of it or nothing; then the index starts anew. A start
 * that comes in between still refuses. Takes no lock and says nothing: the caller does
 * (kt_store_take_locks first). Any one thread.
 */
#ifndef KT_RESTORE_H
#define KT_RESTORE_H

#include "durable_file.h"
#include "err.h"
#include "ledger.h"
#include "types.h"

enum { KT_RESTORE_PATH_MAX = 4096 };

struct kt_restore_request { /* all borrowed */
	const struct kt_fs *fs;
	const char *state_dir;
	const char *ledger_dir;
	const char *trust_domain; /* of a new ledger; any other ledger's must be the same */
	const char *backup_dir; /* whose ledger is put back; NULL: accepts the one that is there */
	/* The operator says that records are lost, and which ledger he accepts: the hash of its
	 * last record; zeros: none is left. Without it a rollback is refused. */
	bool is_accepted;
	uint8_t head[32];
	int64_t now_us;
	const char *actor;
	const char *note; /* may be NULL */
};

struct kt_restore_found { /* what came back from index and present ledger */
	uint64_t devices; /* counters or a freeze of a device */
	uint64_t credentials;
	uint64_t revoked;
	uint64_t deleted;
	uint64_t quarantined;
	uint64_t tickets;
	uint64_t denied;
	uint64_t operators; /* that the accepted ledger has, and that are none any more */
	uint64_t left_out;  /* does not fit the accepted ledger: of another history */
};

struct kt_restore_report {
	struct kt_ledger_state base; /* the ledger that was put back or accepted, as it was */
	bool has_index;
	bool is_index_damaged;
	uint64_t index_seq;    /* how far it knew */
	bool is_index_ahead;   /* it knew records that the ledger does not have */
	bool has_present;      /* with a backup: a ledger was in the ledger's place */
	bool is_present_bad;   /* and does not verify as a whole */
	uint64_t present_seq;  /* its last good record */
	bool is_present_ahead; /* it has good records that the backup does not have */
	struct kt_restore_found found;
	struct kt_ledger_state state;	/* the ledger now */
	char kept[KT_RESTORE_PATH_MAX]; /* where the earlier ledger is; "" if there was none */
};

/*
 * On an error *why is a sentence for a person, and what a start says is what it said before (after
 * KT_ERR_SYS too). KT_ERR_ROLLED_BACK: records would be lost and is_accepted is false, or @head is
 * another one. KT_ERR_NOT_FOUND (the backup), KT_ERR_CORRUPT, KT_ERR_VERSION, KT_ERR_BUSY (index),
 * KT_ERR_STATE (trust domain), KT_ERR_SYS, KT_ERR_NOMEM, KT_ERR_TOO_LONG.
 */
KT_MUST_CHECK enum kt_err kt_restore(const struct kt_restore_request *request,
				     struct kt_restore_report *report, char why[static 512]);

/*
 * Copies the ledger of a running broker into the new directory @to (0700), as far as it is whole
 * and durable. @to appears last: half a backup is never taken for one. KT_ERR_EXISTS: @to, or
 * "<to>.tmp" of an interrupted one, is there. KT_ERR_NOT_FOUND, KT_ERR_CORRUPT, KT_ERR_VERSION,
 * KT_ERR_SYS, KT_ERR_NOMEM, KT_ERR_TOO_LONG; *why is a sentence then.
 */
KT_MUST_CHECK enum kt_err kt_backup(const struct kt_fs *fs, const char *ledger_dir, const char *to,
				    struct kt_ledger_state *out, char why[static 512]);

#endif
