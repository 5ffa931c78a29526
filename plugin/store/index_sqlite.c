#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "index_rows.h"

struct kt_index {
	sqlite3 *db;
	sqlite3_stmt *put[KT_INDEX_PUT_COUNT];
};

static enum kt_err from_sqlite(sqlite3 *db, int rc)
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

static enum kt_err run(struct kt_index *index, const char *sql)
{
	return from_sqlite(index->db, sqlite3_exec(index->db, sql, NULL, NULL, NULL));
}

/* The first column of the first row, as an integer; @text, if given, must be what it says. */
static enum kt_err ask(struct kt_index *index, const char *sql, const char *text, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(index->db, sql, -1, &stmt, NULL);
	enum kt_err err;

	*out = 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	err = from_sqlite(index->db, rc);
	if (err == KT_ERR_OK && rc == SQLITE_ROW) {
		const unsigned char *said = sqlite3_column_text(stmt, 0);

		*out = sqlite3_column_int64(stmt, 0);
		if (text != NULL && (said == NULL || strcmp((const char *)said, text) != 0))
			err = KT_ERR_CORRUPT;
	}
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

/* A fresh file gets the schema; an older or foreign one is rebuilt, a newer one left alone. */
static enum kt_err check_version(struct kt_index *index)
{
	int64_t version = 0;
	int64_t application = 0;
	int64_t tables = 0;
	enum kt_err err = ask(index, "PRAGMA user_version", NULL, &version);

	if (err == KT_ERR_OK)
		err = ask(index, "PRAGMA application_id", NULL, &application);
	if (err == KT_ERR_OK)
		err = ask(index, "SELECT count(*) FROM sqlite_master", NULL, &tables);
	if (err != KT_ERR_OK)
		return err;
	if (version == 0 && application == 0 && tables == 0) {
		err = run(index, "BEGIN IMMEDIATE");
		if (err == KT_ERR_OK)
			err = run(index, kt_index_schema);
		return err == KT_ERR_OK ? run(index, "COMMIT") : err;
	}
	if (application != KT_INDEX_APPLICATION_ID)
		return KT_ERR_CORRUPT;
	if (version > KT_INDEX_VERSION)
		return KT_ERR_VERSION;
	return version == KT_INDEX_VERSION ? KT_ERR_OK : KT_ERR_CORRUPT;
}

static enum kt_err set_up(struct kt_index *index)
{
	int64_t ignored = 0;
	enum kt_err err = run(index, "PRAGMA locking_mode = EXCLUSIVE");

	if (err == KT_ERR_OK)
		err = ask(index, "PRAGMA journal_mode = WAL", "wal", &ignored);
	if (err == KT_ERR_OK)
		err = run(index, "PRAGMA synchronous = FULL");
	if (err == KT_ERR_OK)
		err = ask(index, "PRAGMA integrity_check(1)", "ok", &ignored);
	if (err == KT_ERR_OK)
		err = check_version(index);
	for (size_t i = 0; err == KT_ERR_OK && i < KT_INDEX_PUT_COUNT; i++)
		err = from_sqlite(index->db, sqlite3_prepare_v3(index->db, kt_index_put_text[i], -1,
								SQLITE_PREPARE_PERSISTENT,
								&index->put[i], NULL));
	return err;
}

/* Ours alone: SQLite gives its WAL the mode that the database has. */
static enum kt_err create_private(const struct kt_fs *fs, const char *path)
{
	int fd = fs->open(fs->ctx, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  S_IRUSR | S_IWUSR);

	if (fd < 0)
		return KT_ERR_SYS;
	return fs->close(fs->ctx, fd) == 0 ? KT_ERR_OK : KT_ERR_SYS;
}

enum kt_err kt_index_open(const struct kt_fs *fs, const char *path, struct kt_index **out)
{
	struct kt_index *index = NULL;
	enum kt_err err;

	*out = NULL;
	err = create_private(fs, path);
	if (err != KT_ERR_OK)
		return err;
	index = calloc(1, sizeof(*index));
	if (index == NULL)
		return KT_ERR_NOMEM;
	err = from_sqlite(NULL, sqlite3_open_v2(path, &index->db,
						SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	if (err == KT_ERR_OK)
		err = set_up(index);
	if (err != KT_ERR_OK)
		goto out;
	*out = index;
	index = NULL; /* moved */
out:
	kt_index_close(index);
	return err;
}

void kt_index_close(struct kt_index *index)
{
	int saved = errno;

	if (index == NULL)
		return;
	for (size_t i = 0; i < KT_INDEX_PUT_COUNT; i++)
		(void)sqlite3_finalize(index->put[i]);
	(void)sqlite3_close(index->db); /* no statement is left: it cannot be busy */
	free(index);
	errno = saved;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Binds one parameter after the other; the first error sticks. */
struct row_out {
	sqlite3_stmt *stmt;
	int at;
	int rc;
};

static void put_i64(struct row_out *row, int64_t value)
{
	row->at++;
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_bind_int64(row->stmt, row->at, value);
}

static void put_u64(struct row_out *row, uint64_t value)
{
	put_i64(row, (int64_t)value);
}

/* Borrowed until the statement is reset. */
static void put_text(struct row_out *row, const char *value)
{
	row->at++;
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_bind_text(row->stmt, row->at, value, -1, NULL);
}

static void put_blob(struct row_out *row, const uint8_t *bytes, size_t len)
{
	row->at++;
	if (row->rc != SQLITE_OK)
		return;
	row->rc = bytes == NULL ? sqlite3_bind_null(row->stmt, row->at)
				: sqlite3_bind_blob(row->stmt, row->at, bytes, (int)len, NULL);
}

static enum kt_err put_done(struct kt_index *index, struct row_out *row)
{
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_step(row->stmt);
	(void)sqlite3_reset(row->stmt); /* its code repeats the step's */
	return from_sqlite(index->db, row->rc);
}

static enum kt_err write_device(struct kt_index *index, const struct kt_device_image *image)
{
	const struct kt_device *d = &image->d;
	struct row_out row = {.stmt = index->put[KT_INDEX_PUT_DEVICE]};

	put_i64(&row, image->row);
	put_text(&row, d->id.s);
	put_text(&row, d->group);
	put_text(&row, kt_device_state_name(d->state));
	put_i64(&row, d->quarantined);
	put_i64(&row, d->frozen);
	put_i64(&row, d->wipe);
	put_i64(&row, d->generation);
	put_text(&row, kt_server_phase_name(d->phase));
	put_i64(&row, d->enrolling);
	put_u64(&row, d->op);
	put_blob(&row, d->op_nonce.b, sizeof(d->op_nonce.b));
	put_text(&row, kt_alg_name(d->op_alg));
	put_i64(&row, d->op_deadline_us);
	put_u64(&row, d->last_committed_op);
	put_u64(&row, d->promoted_op);
	put_u64(&row, d->closed_op);
	put_text(&row, kt_reason_name(d->failed_reason));
	put_u64(&row, d->failed_op);
	put_blob(&row, d->has_registered_key ? d->registered_key.b : NULL,
		 sizeof(d->registered_key.b));
	put_i64(&row, d->created_us);
	put_i64(&row, d->committed_us);
	put_i64(&row, d->revoked_us);
	put_u64(&row, d->changed_seq);
	put_i64(&row, d->adopted);
	put_i64(&row, d->proven_generation);
	put_blob(&row, image->der, d->pending_der_len);
	return put_done(index, &row);
}

static enum kt_err write_credential(struct kt_index *index, const struct kt_credential_image *image)
{
	const struct kt_credential *c = &image->c;
	struct row_out row = {.stmt = index->put[KT_INDEX_PUT_CREDENTIAL]};

	put_i64(&row, image->row);
	put_i64(&row, image->device_row);
	put_blob(&row, c->fp.b, sizeof(c->fp.b));
	put_blob(&row, c->key_id.b, sizeof(c->key_id.b));
	put_i64(&row, c->generation);
	put_text(&row, kt_credential_status_name(c->status));
	put_i64(&row, c->not_after_s);
	put_u64(&row, c->op);
	put_u64(&row, c->superseded_by);
	put_u64(&row, c->changed_seq);
	return put_done(index, &row);
}

static enum kt_err write_ticket(struct kt_index *index, const struct kt_ticket_row *image)
{
	const struct kt_ticket_entry *t = &image->t;
	struct row_out row = {.stmt = index->put[KT_INDEX_PUT_TICKET]};

	put_i64(&row, image->row);
	put_blob(&row, t->sha256, sizeof(t->sha256));
	put_text(&row, t->device.s);
	put_text(&row, t->group);
	put_text(&row, t->pattern);
	put_i64(&row, t->expires_us);
	put_i64(&row, t->used);
	put_blob(&row, t->used_by.b, sizeof(t->used_by.b));
	put_text(&row, t->used_for.s);
	return put_done(index, &row);
}

static enum kt_err write_denied(struct kt_index *index, const struct kt_denied_row *image)
{
	struct row_out row = {.stmt = index->put[KT_INDEX_PUT_DENIED]};

	put_i64(&row, image->row);
	put_blob(&row, image->key_id.b, sizeof(image->key_id.b));
	put_i64(&row, image->denied);
	return put_done(index, &row);
}

static enum kt_err write_batch(struct kt_index *index, const struct kt_index_batch *batch)
{
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 0; err == KT_ERR_OK && i < batch->device_count; i++)
		err = write_device(index, &batch->devices[i]);
	for (size_t i = 0; err == KT_ERR_OK && i < batch->credential_count; i++)
		err = write_credential(index, &batch->credentials[i]);
	for (size_t i = 0; err == KT_ERR_OK && i < batch->ticket_count; i++)
		err = write_ticket(index, &batch->tickets[i]);
	for (size_t i = 0; err == KT_ERR_OK && i < batch->denied_count; i++)
		err = write_denied(index, &batch->denied[i]);
	return err;
}

static enum kt_err write_meta(struct kt_index *index, const struct kt_index_batch *last,
			      uint64_t seq, const uint8_t head[static 32])
{
	struct row_out row = {.stmt = index->put[KT_INDEX_PUT_META]};

	put_u64(&row, seq);
	put_blob(&row, head, 32);
	put_i64(&row, last->time_us);
	put_text(&row, last->trust_domain);
	put_u64(&row, last->restore_seq);
	return put_done(index, &row);
}

enum kt_err kt_index_write(struct kt_index *index, struct kt_index_batch *const *batches,
			   size_t count, uint64_t seq, const uint8_t head[static 32])
{
	enum kt_err err;

	if (count == 0)
		return KT_ERR_OK;
	err = run(index, "BEGIN IMMEDIATE");
	if (err != KT_ERR_OK)
		return err;
	for (size_t i = 0; err == KT_ERR_OK && i < count; i++)
		err = write_batch(index, batches[i]);
	if (err == KT_ERR_OK)
		err = write_meta(index, batches[count - 1], seq, head);
	if (err == KT_ERR_OK)
		err = run(index, "COMMIT");
	if (err != KT_ERR_OK && sqlite3_get_autocommit(index->db) == 0)
		(void)sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL); /* err tells already */
	return err;
}

enum kt_err kt_index_clear(struct kt_index *index)
{
	return run(index, "BEGIN IMMEDIATE;"
			  "DELETE FROM device; DELETE FROM credential; DELETE FROM ticket;"
			  "DELETE FROM denied; DELETE FROM meta;"
			  "INSERT INTO meta VALUES(1, 0, zeroblob(32), 0, '', 0);"
			  "COMMIT");
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads one column after the other; a wrong type, length or name sticks as is_bad. */
struct row_in {
	sqlite3_stmt *stmt;
	int at;
	bool is_bad;
};

static int64_t get_i64(struct row_in *row, int64_t min, int64_t max)
{
	int column = row->at++;
	int64_t value = sqlite3_column_int64(row->stmt, column);

	if (sqlite3_column_type(row->stmt, column) != SQLITE_INTEGER || value < min || value > max)
		row->is_bad = true;
	return value;
}

static uint64_t get_u64(struct row_in *row)
{
	return (uint64_t)get_i64(row, INT64_MIN, INT64_MAX);
}

static uint32_t get_u32(struct row_in *row)
{
	return (uint32_t)get_i64(row, 0, UINT32_MAX);
}

static bool get_bool(struct row_in *row)
{
	return get_i64(row, 0, 1) == 1;
}

static const char *get_string(struct row_in *row)
{
	int column = row->at++;
	const char *text = (const char *)sqlite3_column_text(row->stmt, column);

	if (sqlite3_column_type(row->stmt, column) == SQLITE_TEXT && text != NULL &&
	    strlen(text) == (size_t)sqlite3_column_bytes(row->stmt, column))
		return text;
	row->is_bad = true;
	return "";
}

/* @out holds @cap bytes, zeroed. */
static void get_text(struct row_in *row, char *out, size_t cap)
{
	const char *text = get_string(row);

	if (strlen(text) < cap)
		memcpy(out, text, strlen(text) + 1);
	else
		row->is_bad = true;
}

/* Exactly @len bytes; NULL leaves @out alone and gives false. */
static bool get_blob(struct row_in *row, uint8_t *out, size_t len)
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

static void get_hash(struct row_in *row, uint8_t out[static 32])
{
	if (!get_blob(row, out, 32))
		row->is_bad = true;
}

static enum kt_err read_device(struct kt_registry *registry, struct row_in *row)
{
	struct kt_device_image image = {.row = get_u32(row)};
	struct kt_device *d = &image.d;
	const char *state;
	const char *phase;
	enum kt_err err;

	get_text(row, d->id.s, sizeof(d->id.s));
	get_text(row, d->group, sizeof(d->group));
	state = get_string(row);
	while (d->state <= KT_DEVICE_DELETED && strcmp(kt_device_state_name(d->state), state) != 0)
		d->state++;
	d->quarantined = get_bool(row);
	d->frozen = get_bool(row);
	d->wipe = get_bool(row);
	d->generation = get_u32(row);
	phase = get_string(row);
	while (d->phase <= KT_SERVER_ISSUED && strcmp(kt_server_phase_name(d->phase), phase) != 0)
		d->phase++;
	d->enrolling = get_bool(row);
	d->op = get_u64(row);
	if (!get_blob(row, d->op_nonce.b, sizeof(d->op_nonce.b)))
		row->is_bad = true;
	d->op_alg = kt_alg_from_name(get_string(row));
	d->op_deadline_us = get_i64(row, 0, INT64_MAX);
	d->last_committed_op = get_u64(row);
	d->promoted_op = get_u64(row);
	d->closed_op = get_u64(row);
	d->failed_reason = kt_reason_from_name(get_string(row));
	d->failed_op = get_u64(row);
	d->has_registered_key = get_blob(row, d->registered_key.b, sizeof(d->registered_key.b));
	d->created_us = get_i64(row, 0, INT64_MAX);
	d->committed_us = get_i64(row, 0, INT64_MAX);
	d->revoked_us = get_i64(row, 0, INT64_MAX);
	d->changed_seq = get_u64(row);
	d->adopted = get_bool(row);
	d->proven_generation = get_u32(row);
	d->pending_der_len = (size_t)sqlite3_column_bytes(row->stmt, row->at);
	if (d->pending_der_len > KT_CERT_MAX)
		return KT_ERR_CORRUPT;
	if (d->pending_der_len > 0) {
		image.der = malloc(d->pending_der_len);
		if (image.der == NULL)
			return KT_ERR_NOMEM;
		if (!get_blob(row, image.der, d->pending_der_len))
			row->is_bad = true;
	}
	if (row->is_bad || d->state > KT_DEVICE_DELETED || d->phase > KT_SERVER_ISSUED)
		err = KT_ERR_CORRUPT;
	else
		err = kt_index_restore_device(registry, &image);
	free(image.der);
	return err;
}

static enum kt_err read_credential(struct kt_registry *registry, struct row_in *row)
{
	struct kt_credential_image image = {.row = get_u32(row)};
	struct kt_credential *c = &image.c;

	image.device_row = get_u32(row);
	get_hash(row, c->fp.b);
	get_hash(row, c->key_id.b);
	c->generation = get_u32(row);
	if (!kt_credential_status_from_name(get_string(row), &c->status))
		row->is_bad = true;
	c->not_after_s = get_i64(row, 0, INT64_MAX);
	c->op = get_u64(row);
	c->superseded_by = get_u64(row);
	c->changed_seq = get_u64(row);
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_credential(registry, &image);
}

static enum kt_err read_ticket(struct kt_registry *registry, struct row_in *row)
{
	struct kt_ticket_row image = {.row = get_u32(row)};
	struct kt_ticket_entry *t = &image.t;

	get_hash(row, t->sha256);
	get_text(row, t->device.s, sizeof(t->device.s));
	get_text(row, t->group, sizeof(t->group));
	get_text(row, t->pattern, sizeof(t->pattern));
	t->expires_us = get_i64(row, 0, INT64_MAX);
	t->used = get_bool(row);
	get_hash(row, t->used_by.b);
	get_text(row, t->used_for.s, sizeof(t->used_for.s));
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_ticket(registry, &image);
}

static enum kt_err read_denied(struct kt_registry *registry, struct row_in *row)
{
	struct kt_denied_row image = {.row = get_u32(row)};

	get_hash(row, image.key_id.b);
	image.denied = get_bool(row);
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_denied(registry, &image);
}

static enum kt_err read_meta(struct kt_registry *registry, struct row_in *row)
{
	uint8_t head[32];

	registry->seq = get_u64(row);
	get_hash(row, head);
	registry->time_us = get_i64(row, 0, INT64_MAX);
	get_text(row, registry->trust_domain, sizeof(registry->trust_domain));
	registry->restore_seq = get_u64(row);
	return row->is_bad ? KT_ERR_CORRUPT : KT_ERR_OK;
}

static enum kt_err read_all(struct kt_index *index, struct kt_registry *registry, const char *sql,
			    enum kt_err (*read)(struct kt_registry *registry, struct row_in *row))
{
	sqlite3_stmt *stmt = NULL;
	enum kt_err err =
		from_sqlite(index->db, sqlite3_prepare_v2(index->db, sql, -1, &stmt, NULL));

	while (err == KT_ERR_OK) {
		struct row_in row = {.stmt = stmt};
		int rc = sqlite3_step(stmt);

		if (rc == SQLITE_DONE)
			break;
		err = from_sqlite(index->db, rc);
		if (err == KT_ERR_OK)
			err = read(registry, &row);
	}
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

enum kt_err kt_index_head(struct kt_index *index, uint64_t *seq, uint8_t head[static 32])
{
	sqlite3_stmt *stmt = NULL;
	struct row_in row = {0};
	enum kt_err err;
	int rc;

	*seq = 0;
	memset(head, 0, 32);
	rc = sqlite3_prepare_v2(index->db, "SELECT ledger_seq, ledger_head FROM meta", -1, &stmt,
				NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	err = from_sqlite(index->db, rc);
	if (err == KT_ERR_OK && rc == SQLITE_ROW) {
		row.stmt = stmt;
		*seq = get_u64(&row);
		get_hash(&row, head);
	}
	if (err == KT_ERR_OK && (rc != SQLITE_ROW || row.is_bad))
		err = KT_ERR_CORRUPT;
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

enum kt_err kt_index_load(struct kt_index *index, struct kt_registry *registry)
{
	static const struct {
		const char *sql;
		enum kt_err (*read)(struct kt_registry *registry, struct row_in *row);
	} tables[] = {
		{"SELECT ledger_seq, ledger_head, time_us, trust_domain, restore_seq FROM meta",
		 read_meta},
		{"SELECT * FROM device ORDER BY row", read_device},
		{"SELECT * FROM credential ORDER BY row", read_credential},
		{"SELECT * FROM ticket ORDER BY row", read_ticket},
		{"SELECT * FROM denied ORDER BY row", read_denied},
	};
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 0; err == KT_ERR_OK && i < sizeof(tables) / sizeof(tables[0]); i++)
		err = read_all(index, registry, tables[i].sql, tables[i].read);
	return err == KT_ERR_OK ? kt_index_restore_end(registry) : err;
}
