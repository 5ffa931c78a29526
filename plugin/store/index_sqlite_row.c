#include "index_sqlite_row.h"

#include <string.h>

/* --- the digest: FNV-1a, 64 bits, of types and values --- */

static const uint64_t digest_start = UINT64_C(0xcbf29ce484222325);
static const uint64_t digest_prime = UINT64_C(0x100000001b3);

static void digest_byte(uint64_t *digest, uint8_t byte)
{
	*digest = (*digest ^ byte) * digest_prime;
}

static void digest_value(uint64_t *digest, int type, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	if (*digest == 0)
		*digest = digest_start;
	digest_byte(digest, (uint8_t)type);
	for (size_t i = 0; i < len; i++)
		digest_byte(digest, b[i]);
}

bool kt_row_is_whole(sqlite3_stmt *stmt)
{
	int last = sqlite3_column_count(stmt) - 1;
	uint64_t digest = 0;

	for (int i = 0; i < last; i++) {
		int type = sqlite3_column_type(stmt, i);

		if (type == SQLITE_INTEGER) {
			int64_t number = sqlite3_column_int64(stmt, i);

			digest_value(&digest, type, &number, sizeof(number));
		} else {
			const void *bytes = sqlite3_column_blob(stmt, i);

			digest_value(&digest, type, bytes, (size_t)sqlite3_column_bytes(stmt, i));
		}
	}
	return (uint64_t)sqlite3_column_int64(stmt, last) == digest;
}

/* --- writing --- */

void kt_put_i64(struct kt_row_out *row, int64_t value)
{
	row->at++;
	digest_value(&row->digest, SQLITE_INTEGER, &value, sizeof(value));
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_bind_int64(row->stmt, row->at, value);
}

void kt_put_u64(struct kt_row_out *row, uint64_t value)
{
	kt_put_i64(row, (int64_t)value);
}

void kt_put_text(struct kt_row_out *row, const char *value)
{
	row->at++;
	digest_value(&row->digest, SQLITE_TEXT, value, strlen(value));
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_bind_text(row->stmt, row->at, value, -1, NULL);
}

void kt_put_blob(struct kt_row_out *row, const uint8_t *bytes, size_t len)
{
	row->at++;
	digest_value(&row->digest, bytes == NULL ? SQLITE_NULL : SQLITE_BLOB, bytes,
		     bytes == NULL ? 0 : len);
	if (row->rc != SQLITE_OK)
		return;
	row->rc = bytes == NULL ? sqlite3_bind_null(row->stmt, row->at)
				: sqlite3_bind_blob(row->stmt, row->at, bytes, (int)len, NULL);
}

void kt_put_digest(struct kt_row_out *row)
{
	row->at++;
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_bind_int64(row->stmt, row->at, (int64_t)row->digest);
}

/* --- reading --- */

int64_t kt_get_i64(struct kt_row_in *row, int64_t min, int64_t max)
{
	int column = row->at++;
	int64_t value = sqlite3_column_int64(row->stmt, column);

	if (sqlite3_column_type(row->stmt, column) != SQLITE_INTEGER || value < min || value > max)
		row->is_bad = true;
	return value;
}

uint64_t kt_get_u64(struct kt_row_in *row)
{
	return (uint64_t)kt_get_i64(row, INT64_MIN, INT64_MAX);
}

uint32_t kt_get_u32(struct kt_row_in *row)
{
	return (uint32_t)kt_get_i64(row, 0, UINT32_MAX);
}

bool kt_get_bool(struct kt_row_in *row)
{
	return kt_get_i64(row, 0, 1) == 1;
}

const char *kt_get_string(struct kt_row_in *row)
{
	int column = row->at++;
	const char *text = (const char *)sqlite3_column_text(row->stmt, column);

	if (sqlite3_column_type(row->stmt, column) == SQLITE_TEXT && text != NULL &&
	    strlen(text) == (size_t)sqlite3_column_bytes(row->stmt, column))
		return text;
	row->is_bad = true;
	return "";
}

void kt_get_text(struct kt_row_in *row, char *out, size_t cap)
{
	const char *text = kt_get_string(row);

	if (strlen(text) < cap)
		memcpy(out, text, strlen(text) + 1);
	else
		row->is_bad = true;
}

bool kt_get_blob(struct kt_row_in *row, uint8_t *out, size_t len)
{
	int column = row->at++;
	const void *bytes = sqlite3_column_blob(row->stmt, column);

	if (sqlite3_column_type(row->stmt, column) == SQLITE_NULL)
		return false;
	if (bytes == NULL || (size_t)sqlite3_column_bytes(row->stmt, column) != len) {
		row->is_bad = true;
		return false;
	}
	memcpy(out, bytes, len);
	return true;
}

void kt_get_hash(struct kt_row_in *row, uint8_t out[32])
{
	if (!kt_get_blob(row, out, 32))
		row->is_bad = true;
}
