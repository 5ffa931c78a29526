/* How far an index knows, read also where it is of no more use: the witness against an older
 * ledger. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "index.h"
#include "index_sqlite_row.h"

enum { NAME_CAP = 4096 + 16 };

enum kt_err kt_index_from_sqlite(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return KT_ERR_OK;
	case SQLITE_NOMEM:
		return KT_ERR_NOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return KT_ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table or column is missing: not the file that we made */
		return KT_ERR_CORRUPT;
	default:
		errno = db != NULL ? sqlite3_system_errno(db) : EIO;
		return KT_ERR_SYS;
	}
}

enum kt_err kt_index_read_head(sqlite3 *db, uint64_t *seq, uint8_t head[static 32])
{
	sqlite3_stmt *stmt = NULL;
	struct kt_row_in row = {0};
	enum kt_err err;
	int rc;

	*seq = 0;
	memset(head, 0, 32);
	rc = sqlite3_prepare_v2(db, KT_INDEX_META_SQL, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	err = kt_index_from_sqlite(db, rc);
	if (err == KT_ERR_OK && rc == SQLITE_ROW) {
		row.stmt = stmt;
		*seq = kt_get_u64(&row);
		kt_get_hash(&row, head);
	}
	if (err == KT_ERR_OK && (rc != SQLITE_ROW || row.is_bad || !kt_row_is_whole(stmt)))
		err = KT_ERR_CORRUPT;
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

enum kt_err kt_index_peek(const char *path, uint64_t *seq, uint8_t head[static 32])
{
	sqlite3 *db = NULL;
	enum kt_err err = kt_index_from_sqlite(
		NULL,
		sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));

	*seq = 0;
	if (err == KT_ERR_OK) /* without it a WAL could not be read beside a lost -shm file */
		err = kt_index_from_sqlite(
			db, sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL));
	if (err == KT_ERR_OK)
		err = kt_index_read_head(db, seq, head);
	if (err != KT_ERR_OK) {
		*seq = 0;
		memset(head, 0, 32);
	}
	(void)sqlite3_close(db); /* no statement is left: it cannot be busy */
	return err;
}

enum kt_err kt_index_remove(const struct kt_fs *fs, const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[NAME_CAP];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		int len = snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);

		if (len <= 0 || (size_t)len >= sizeof(name))
			return KT_ERR_TOO_LONG;
		if (fs->unlink(fs->ctx, name) != 0 && errno != ENOENT)
			return KT_ERR_SYS;
	}
	return KT_ERR_OK;
}
