/*
 * index_sqlite_row - one row's values on their way into SQLite and back, with a digest behind them.
 *
 * The digest is there for a bit that has changed where SQLite does not notice: no check but this
 * one sees a row that still makes sense. It keeps nobody out who means to write one.
 */
#ifndef KT_INDEX_SQLITE_ROW_H
#define KT_INDEX_SQLITE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "err.h"

/* One row. Its columns are the same in every version: the next one reads how far this one knew. */
#define KT_INDEX_META_SQL                                                                          \
	"SELECT ledger_seq, ledger_head, time_us, trust_domain, restore_seq, digest FROM meta"

/* KT_ERR_SYS sets errno, from @db where there is one. */
enum kt_err kt_index_from_sqlite(sqlite3 *db, int rc);
/* As kt_index_head. */
KT_MUST_CHECK enum kt_err kt_index_read_head(sqlite3 *db, uint64_t *seq, uint8_t head[static 32]);

/* Binds one parameter after the other; the first error sticks. */
struct kt_row_out {
	sqlite3_stmt *stmt;
	int at;
	int rc;
	uint64_t digest;
};

void kt_put_i64(struct kt_row_out *row, int64_t value);
void kt_put_u64(struct kt_row_out *row, uint64_t value);
/* Texts and blobs are borrowed until the statement is reset; a blob may be NULL. */
void kt_put_text(struct kt_row_out *row, const char *value);
void kt_put_blob(struct kt_row_out *row, const uint8_t *bytes, size_t len);
/* The last parameter. */
void kt_put_digest(struct kt_row_out *row);

/* Is the last column of the row that @stmt stands on the digest of those before it? */
bool kt_row_is_whole(sqlite3_stmt *stmt);

/* Reads one column after the other; a wrong type, length or name sticks as is_bad. */
struct kt_row_in {
	sqlite3_stmt *stmt;
	int at;
	bool is_bad;
};

int64_t kt_get_i64(struct kt_row_in *row, int64_t min, int64_t max);
uint64_t kt_get_u64(struct kt_row_in *row);
uint32_t kt_get_u32(struct kt_row_in *row);
bool kt_get_bool(struct kt_row_in *row);
/* SQLite's, until the next row. */
const char *kt_get_string(struct kt_row_in *row);
/* @out holds @cap bytes, zeroed. */
void kt_get_text(struct kt_row_in *row, char *out, size_t cap);
/* Exactly @len bytes; NULL leaves @out alone and gives false. */
bool kt_get_blob(struct kt_row_in *row, uint8_t *out, size_t len);
void kt_get_hash(struct kt_row_in *row, uint8_t out[static 32]);

#endif
