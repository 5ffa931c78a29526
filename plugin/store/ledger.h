/*
 * ledger - the truth on disk: append-only lines, each with the hash of the one before.
 *
 * One line: <64 hex: SHA-256 of the body> SP <body: kt_record_encode's JSON, with prev> LF.
 * File <ledger_dir>/ledger.kt. Owns the format, the chain and the tail rule: the first line that
 * does not verify begins an incomplete tail, to be cut, unless a later whole line bears its own
 * right hash, or it does so itself without being the next record: then the ledger was altered. (A
 * later whole line is debris too where a hole of unwritten bytes lies before it, within one write.)
 * Does no locking and starts no thread (store.h does). Also used offline by keyturnctl to verify.
 */
#ifndef KT_LEDGER_H
#define KT_LEDGER_H

#include "durable_file.h"
#include "err.h"
#include "record.h"
#include "types.h"

struct kt_ledger;

struct kt_ledger_state {
	uint64_t seq; /* of the last record; 0: empty */
	uint8_t head[32];
	int64_t time_us;     /* of the last record */
	uint64_t cut_bytes;  /* incomplete tail that was (or, read-only, would be) cut */
	uint64_t size_bytes; /* of the valid records */
	const char *fault;   /* after KT_ERR_CORRUPT: what is wrong with the bad line; static */
};

/* @each gets every record in order with its hash; an error of it ends the scan and is returned. */
typedef enum kt_err kt_ledger_visit(void *arg, const struct kt_record *record,
				    const uint8_t hash[static 32]);

/*
 * Verifies the whole chain, calling @each (may be NULL). Read-only: never cuts. KT_ERR_NOT_FOUND,
 * KT_ERR_CORRUPT (*bad_line: 1-based), KT_ERR_VERSION, KT_ERR_SYS.
 */
KT_MUST_CHECK enum kt_err kt_ledger_scan(const struct kt_fs *fs, const char *dir,
					 kt_ledger_visit *each, void *arg,
					 struct kt_ledger_state *out, uint64_t *bad_line);
/* The same of the file at @path, whatever it is called. */
KT_MUST_CHECK enum kt_err kt_ledger_scan_file(const struct kt_fs *fs, const char *path,
					      kt_ledger_visit *each, void *arg,
					      struct kt_ledger_state *out, uint64_t *bad_line);
/*
 * Copies the first @size bytes of the file @from into the new file @to (0600), synced; the
 * directory is the caller's. KT_ERR_STATE: @from is shorter. KT_ERR_SYS, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_ledger_copy(const struct kt_fs *fs, const char *from, const char *to,
					 uint64_t size);
/*
 * Opens for appending after a scan that gave @state (zeroed: there is none yet): creates file
 * (0600) and directory (0700), cuts the tail, syncs all of it. KT_ERR_STATE: the file is not as
 * long as the scan found it. KT_ERR_SYS, KT_ERR_NOMEM, KT_ERR_TOO_LONG.
 */
KT_MUST_CHECK enum kt_err kt_ledger_open(const struct kt_fs *fs, const char *dir,
					 const struct kt_ledger_state *state,
					 struct kt_ledger **out);
/*
 * Appends @count records, which must follow the last one, in one write and one fdatasync (one per
 * MiB). *state: what is durable now, also after an error. KT_ERR_SYS: the ledger is failed for
 * good, every later call gives KT_ERR_STATE (what the disk holds is unknown; the next start cuts an
 * incomplete tail). KT_ERR_STATE also for a record out of order; KT_ERR_INVALID, KT_ERR_NOMEM: that
 * record was not written.
 */
KT_MUST_CHECK enum kt_err kt_ledger_append(struct kt_ledger *ledger,
					   const struct kt_record *const *records, size_t count,
					   struct kt_ledger_state *state);
void kt_ledger_close(struct kt_ledger *ledger);

#endif
