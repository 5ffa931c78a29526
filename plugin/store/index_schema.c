#include "index_rows.h"

/*
 * Enumerators go in by name: their numbers may change with the next release. Unsigned 64-bit
 * numbers go in as the signed ones of the same bits. current, pending and the counts follow from
 * the credentials' status and are not stored. The last column is the digest of those before it
 * (index_sqlite_row.h).
 */
const char kt_index_schema[] =
	"PRAGMA application_id = 1263814008;" /* "KTix" */
	"PRAGMA user_version = 5;"
	"CREATE TABLE meta(id INTEGER PRIMARY KEY, ledger_seq INTEGER NOT NULL,"
	" ledger_head BLOB NOT NULL, time_us INTEGER NOT NULL, trust_domain TEXT NOT NULL,"
	" restore_seq INTEGER NOT NULL,"
	" digest INTEGER NOT NULL);" KT_INDEX_FIRST_META
	"CREATE TABLE device(row INTEGER PRIMARY KEY, id TEXT NOT NULL, device_group TEXT NOT NULL,"
	" labels TEXT NOT NULL, state TEXT NOT NULL, quarantined INTEGER NOT NULL, frozen INTEGER "
	"NOT NULL,"
	" wipe INTEGER NOT NULL, generation INTEGER NOT NULL, phase TEXT NOT NULL,"
	" enrolling INTEGER NOT NULL, op INTEGER NOT NULL, op_nonce BLOB NOT NULL,"
	" op_alg TEXT NOT NULL, op_deadline_us INTEGER NOT NULL,"
	" last_committed_op INTEGER NOT NULL, promoted_op INTEGER NOT NULL,"
	" closed_op INTEGER NOT NULL, failed_reason TEXT NOT NULL, failed_op INTEGER NOT NULL,"
	" registered_key BLOB, created_us INTEGER NOT NULL, committed_us INTEGER NOT NULL,"
	" revoked_us INTEGER NOT NULL, changed_seq INTEGER NOT NULL, adopted INTEGER NOT NULL,"
	" proven_generation INTEGER NOT NULL, pending_der BLOB, digest INTEGER NOT NULL);"
	"CREATE TABLE credential(row INTEGER PRIMARY KEY, device_row INTEGER NOT NULL,"
	" fp BLOB NOT NULL, key_id BLOB NOT NULL, generation INTEGER NOT NULL,"
	" status TEXT NOT NULL, not_after_s INTEGER NOT NULL, op INTEGER NOT NULL,"
	" superseded_by INTEGER NOT NULL, changed_seq INTEGER NOT NULL,"
	" digest INTEGER NOT NULL);"
	"CREATE TABLE ticket(row INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, device TEXT NOT NULL,"
	" device_group TEXT NOT NULL, pattern TEXT NOT NULL, expires_us INTEGER NOT NULL,"
	" used INTEGER NOT NULL, used_by BLOB NOT NULL, used_for TEXT NOT NULL,"
	" digest INTEGER NOT NULL);"
	"CREATE TABLE denied(row INTEGER PRIMARY KEY, key_id BLOB NOT NULL,"
	" denied INTEGER NOT NULL, digest INTEGER NOT NULL);"
	"CREATE TABLE operator(row INTEGER PRIMARY KEY, name TEXT NOT NULL, fp BLOB NOT NULL,"
	" role TEXT NOT NULL, removed INTEGER NOT NULL, since_us INTEGER NOT NULL,"
	" changed_by TEXT NOT NULL, changed_seq INTEGER NOT NULL, digest INTEGER NOT NULL);";

const char *const kt_index_put_text[KT_INDEX_PUT_COUNT] = {
	[KT_INDEX_PUT_META] = "UPDATE meta SET ledger_seq = ?, ledger_head = ?, time_us = ?,"
			      " trust_domain = ?, restore_seq = ?, digest = ? WHERE id = 1",
	[KT_INDEX_PUT_DEVICE] = "INSERT OR REPLACE INTO device VALUES"
				"(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[KT_INDEX_PUT_CREDENTIAL] =
		"INSERT OR REPLACE INTO credential VALUES(?,?,?,?,?,?,?,?,?,?,?)",
	[KT_INDEX_PUT_TICKET] = "INSERT OR REPLACE INTO ticket VALUES(?,?,?,?,?,?,?,?,?,?)",
	[KT_INDEX_PUT_DENIED] = "INSERT OR REPLACE INTO denied VALUES(?,?,?,?)",
	[KT_INDEX_PUT_OPERATOR] = "INSERT OR REPLACE INTO operator VALUES(?,?,?,?,?,?,?,?,?)",
};
