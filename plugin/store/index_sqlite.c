#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "index_rows.h"
#include "index_sqlite_row.h"

struct kt_index {
	sqlite3 *db;
	sqlite3_stmt *put[KT_INDEX_PUT_COUNT];
};

static enum kt_err run(struct kt_index *index, const char *sql)
{
	return kt_index_from_sqlite(index->db, sqlite3_exec(index->db, sql, NULL, NULL, NULL));
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
	err = kt_index_from_sqlite(index->db, rc);
	if (err == KT_ERR_OK && rc == SQLITE_ROW) {
		const unsigned char *said = sqlite3_column_text(stmt, 0);

		*out = sqlite3_column_int64(stmt, 0);
		if (text != NULL && (said == NULL || strcmp((const char *)said, text) != 0))
			err = KT_ERR_CORRUPT;
	}
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

/*
 * Are the tables as they were made? SQLite reads a damaged word as another column: what is written
 * would then go astray, and nothing say so.
 */
static enum kt_err check_schema(struct kt_index *index)
{
	char *sql = sqlite3_mprintf("SELECT count(*) = %d AND sum(instr(%Q, sql || ';') > 0) = %d"
				    " FROM sqlite_master",
				    KT_INDEX_TABLES, kt_index_schema, KT_INDEX_TABLES);
	int64_t is_whole = 0;
	enum kt_err err = KT_ERR_NOMEM;

	if (sql != NULL)
		err = ask(index, sql, NULL, &is_whole);
	sqlite3_free(sql);
	return err == KT_ERR_OK && is_whole == 0 ? KT_ERR_CORRUPT : err;
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
	return version == KT_INDEX_VERSION ? check_schema(index) : KT_ERR_CORRUPT;
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
		err = kt_index_from_sqlite(index->db,
					   sqlite3_prepare_v3(index->db, kt_index_put_text[i], -1,
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
	err = kt_index_from_sqlite(
		NULL, sqlite3_open_v2(path, &index->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				      NULL));
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

static enum kt_err put_done(struct kt_index *index, struct kt_row_out *row)
{
	kt_put_digest(row);
	if (row->rc == SQLITE_OK)
		row->rc = sqlite3_step(row->stmt);
	(void)sqlite3_reset(row->stmt); /* its code repeats the step's */
	return kt_index_from_sqlite(index->db, row->rc);
}

static enum kt_err write_device(struct kt_index *index, const struct kt_device_image *image)
{
	const struct kt_device *d = &image->d;
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_DEVICE]};

	kt_put_i64(&row, image->row);
	kt_put_text(&row, d->id.s);
	kt_put_text(&row, image->group != NULL ? image->group : "");
	kt_put_text(&row, image->labels != NULL ? image->labels : "");
	kt_put_text(&row, kt_device_state_name(d->state));
	kt_put_i64(&row, d->quarantined);
	kt_put_i64(&row, d->frozen);
	kt_put_i64(&row, d->wipe);
	kt_put_i64(&row, d->generation);
	kt_put_text(&row, kt_server_phase_name(d->phase));
	kt_put_i64(&row, d->enrolling);
	kt_put_u64(&row, d->op);
	kt_put_blob(&row, d->op_nonce.b, sizeof(d->op_nonce.b));
	kt_put_text(&row, kt_alg_name(d->op_alg));
	kt_put_i64(&row, d->op_deadline_us);
	kt_put_u64(&row, d->last_committed_op);
	kt_put_u64(&row, d->promoted_op);
	kt_put_u64(&row, d->closed_op);
	kt_put_text(&row, kt_reason_name(d->failed_reason));
	kt_put_u64(&row, d->failed_op);
	kt_put_blob(&row, d->has_registered_key ? d->registered_key.b : NULL,
		    sizeof(d->registered_key.b));
	kt_put_i64(&row, d->created_us);
	kt_put_i64(&row, d->committed_us);
	kt_put_i64(&row, d->revoked_us);
	kt_put_u64(&row, d->changed_seq);
	kt_put_i64(&row, d->adopted);
	kt_put_i64(&row, d->proven_generation);
	kt_put_blob(&row, image->der, d->pending_der_len);
	return put_done(index, &row);
}

static enum kt_err write_credential(struct kt_index *index, const struct kt_credential_image *image)
{
	const struct kt_credential *c = &image->c;
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_CREDENTIAL]};

	kt_put_i64(&row, image->row);
	kt_put_i64(&row, image->device_row);
	kt_put_blob(&row, c->fp.b, sizeof(c->fp.b));
	kt_put_blob(&row, c->key_id.b, sizeof(c->key_id.b));
	kt_put_i64(&row, c->generation);
	kt_put_text(&row, kt_credential_status_name(c->status));
	kt_put_i64(&row, c->not_after_s);
	kt_put_u64(&row, c->op);
	kt_put_u64(&row, c->superseded_by);
	kt_put_u64(&row, c->changed_seq);
	return put_done(index, &row);
}

static enum kt_err write_ticket(struct kt_index *index, const struct kt_ticket_row *image)
{
	const struct kt_ticket_entry *t = &image->t;
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_TICKET]};

	kt_put_i64(&row, image->row);
	kt_put_blob(&row, t->sha256, sizeof(t->sha256));
	kt_put_text(&row, t->device.s);
	kt_put_text(&row, t->group);
	kt_put_text(&row, t->pattern);
	kt_put_i64(&row, t->expires_us);
	kt_put_i64(&row, t->used);
	kt_put_blob(&row, t->used_by.b, sizeof(t->used_by.b));
	kt_put_text(&row, t->used_for.s);
	return put_done(index, &row);
}

static enum kt_err write_denied(struct kt_index *index, const struct kt_denied_row *image)
{
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_DENIED]};

	kt_put_i64(&row, image->row);
	kt_put_blob(&row, image->key_id.b, sizeof(image->key_id.b));
	kt_put_i64(&row, image->denied);
	return put_done(index, &row);
}

static enum kt_err write_operator(struct kt_index *index, const struct kt_operator_row *image)
{
	const struct kt_operator_entry *o = &image->o;
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_OPERATOR]};

	kt_put_i64(&row, image->row);
	kt_put_text(&row, o->name.s);
	kt_put_blob(&row, o->fp.b, sizeof(o->fp.b));
	kt_put_text(&row, kt_role_name(o->role));
	kt_put_i64(&row, o->is_removed);
	kt_put_i64(&row, o->since_us);
	kt_put_text(&row, o->by);
	kt_put_u64(&row, o->changed_seq);
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
	for (size_t i = 0; err == KT_ERR_OK && i < batch->operator_count; i++)
		err = write_operator(index, &batch->operators[i]);
	return err;
}

static enum kt_err write_meta(struct kt_index *index, const struct kt_index_batch *last,
			      uint64_t seq, const uint8_t head[static 32])
{
	struct kt_row_out row = {.stmt = index->put[KT_INDEX_PUT_META]};

	kt_put_u64(&row, seq);
	kt_put_blob(&row, head, 32);
	kt_put_i64(&row, last->time_us);
	kt_put_text(&row, last->trust_domain);
	kt_put_u64(&row, last->restore_seq);
	return put_done(index, &row);
}

#define CLEAR                                                                                      \
	"DELETE FROM device; DELETE FROM credential; DELETE FROM ticket; DELETE FROM denied;"      \
	"DELETE FROM operator; DELETE FROM meta;" KT_INDEX_FIRST_META

/* @first: SQL that goes before, in the same transaction. */
static enum kt_err write_after(struct kt_index *index, const char *first,
			       struct kt_index_batch *const *batches, size_t count, uint64_t seq,
			       const uint8_t head[static 32])
{
	enum kt_err err = run(index, "BEGIN IMMEDIATE");

	if (err != KT_ERR_OK)
		return err;
	err = run(index, first);
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

enum kt_err kt_index_write(struct kt_index *index, struct kt_index_batch *const *batches,
			   size_t count, uint64_t seq, const uint8_t head[static 32])
{
	return count == 0 ? KT_ERR_OK : write_after(index, "", batches, count, seq, head);
}

enum kt_err kt_index_rewrite(struct kt_index *index, struct kt_index_batch *batch, uint64_t seq,
			     const uint8_t head[static 32])
{
	return write_after(index, CLEAR, &batch, 1, seq, head);
}

enum kt_err kt_index_clear(struct kt_index *index)
{
	return run(index, "BEGIN IMMEDIATE;" CLEAR "COMMIT");
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum kt_err read_group(struct kt_row_in *row, char **out)
{
	const char *group = kt_get_string(row);

	if (strlen(group) > KT_GROUP_MAX)
		return KT_ERR_CORRUPT;
	return kt_copy_text(group, out) ? KT_ERR_OK : KT_ERR_NOMEM;
}

static enum kt_err read_labels(struct kt_row_in *row, char **out)
{
	const char *labels = kt_get_string(row);

	if (!kt_labels_are_valid(labels))
		return KT_ERR_CORRUPT;
	return kt_copy_text(labels, out) ? KT_ERR_OK : KT_ERR_NOMEM;
}

static enum kt_err read_pending_der(struct kt_row_in *row, struct kt_device_image *image)
{
	const size_t len = (size_t)sqlite3_column_bytes(row->stmt, row->at);

	if (len > KT_CERT_MAX)
		return KT_ERR_CORRUPT;
	image->d.pending_der_len = (uint16_t)len;
	if (len == 0)
		return KT_ERR_OK;
	image->der = malloc(len);
	if (image->der == NULL)
		return KT_ERR_NOMEM;
	if (!kt_get_blob(row, image->der, len))
		row->is_bad = true;
	return KT_ERR_OK;
}

static enum kt_err read_device(struct kt_registry *registry, struct kt_row_in *row)
{
	struct kt_device_image image = {.row = kt_get_u32(row)};
	struct kt_device *d = &image.d;
	const char *state;
	const char *phase;
	enum kt_err err;

	kt_get_text(row, d->id.s, sizeof(d->id.s));
	err = read_group(row, &image.group);
	if (err == KT_ERR_OK)
		err = read_labels(row, &image.labels);
	state = kt_get_string(row);
	while (d->state <= KT_DEVICE_DELETED && strcmp(kt_device_state_name(d->state), state) != 0)
		d->state++;
	d->quarantined = kt_get_bool(row);
	d->frozen = kt_get_bool(row);
	d->wipe = kt_get_bool(row);
	d->generation = kt_get_u32(row);
	phase = kt_get_string(row);
	while (d->phase <= KT_SERVER_ISSUED && strcmp(kt_server_phase_name(d->phase), phase) != 0)
		d->phase++;
	d->enrolling = kt_get_bool(row);
	d->op = kt_get_u64(row);
	if (!kt_get_blob(row, d->op_nonce.b, sizeof(d->op_nonce.b)))
		row->is_bad = true;
	d->op_alg = kt_alg_from_name(kt_get_string(row));
	d->op_deadline_us = kt_get_i64(row, 0, INT64_MAX);
	d->last_committed_op = kt_get_u64(row);
	d->promoted_op = kt_get_u64(row);
	d->closed_op = kt_get_u64(row);
	d->failed_reason = kt_reason_from_name(kt_get_string(row));
	d->failed_op = kt_get_u64(row);
	d->has_registered_key = kt_get_blob(row, d->registered_key.b, sizeof(d->registered_key.b));
	d->created_us = kt_get_i64(row, 0, INT64_MAX);
	d->committed_us = kt_get_i64(row, 0, INT64_MAX);
	d->revoked_us = kt_get_i64(row, 0, INT64_MAX);
	d->changed_seq = kt_get_u64(row);
	d->adopted = kt_get_bool(row);
	d->proven_generation = kt_get_u32(row);
	if (err == KT_ERR_OK)
		err = read_pending_der(row, &image);
	if (err == KT_ERR_OK &&
	    (row->is_bad || d->state > KT_DEVICE_DELETED || d->phase > KT_SERVER_ISSUED))
		err = KT_ERR_CORRUPT;
	if (err == KT_ERR_OK)
		err = kt_index_restore_device(registry, &image);
	kt_device_image_clear(&image);
	return err;
}

static enum kt_err read_credential(struct kt_registry *registry, struct kt_row_in *row)
{
	struct kt_credential_image image = {.row = kt_get_u32(row)};
	struct kt_credential *c = &image.c;

	image.device_row = kt_get_u32(row);
	kt_get_hash(row, c->fp.b);
	kt_get_hash(row, c->key_id.b);
	c->generation = kt_get_u32(row);
	if (!kt_credential_status_from_name(kt_get_string(row), &c->status))
		row->is_bad = true;
	c->not_after_s = kt_get_i64(row, 0, INT64_MAX);
	c->op = kt_get_u64(row);
	c->superseded_by = kt_get_u64(row);
	c->changed_seq = kt_get_u64(row);
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_credential(registry, &image);
}

static enum kt_err read_ticket(struct kt_registry *registry, struct kt_row_in *row)
{
	struct kt_ticket_row image = {.row = kt_get_u32(row)};
	struct kt_ticket_entry *t = &image.t;

	kt_get_hash(row, t->sha256);
	kt_get_text(row, t->device.s, sizeof(t->device.s));
	kt_get_text(row, t->group, sizeof(t->group));
	kt_get_text(row, t->pattern, sizeof(t->pattern));
	t->expires_us = kt_get_i64(row, 0, INT64_MAX);
	t->used = kt_get_bool(row);
	kt_get_hash(row, t->used_by.b);
	kt_get_text(row, t->used_for.s, sizeof(t->used_for.s));
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_ticket(registry, &image);
}

static enum kt_err read_denied(struct kt_registry *registry, struct kt_row_in *row)
{
	struct kt_denied_row image = {.row = kt_get_u32(row)};

	kt_get_hash(row, image.key_id.b);
	image.denied = kt_get_bool(row);
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_denied(registry, &image);
}

static enum kt_err read_operator(struct kt_registry *registry, struct kt_row_in *row)
{
	struct kt_operator_row image = {.row = kt_get_u32(row)};
	struct kt_operator_entry *o = &image.o;

	kt_get_text(row, o->name.s, sizeof(o->name.s));
	kt_get_hash(row, o->fp.b);
	o->role = kt_role_from_name(kt_get_string(row));
	o->is_removed = kt_get_bool(row);
	o->since_us = kt_get_i64(row, 0, INT64_MAX);
	kt_get_text(row, o->by, sizeof(o->by));
	o->changed_seq = kt_get_u64(row);
	return row->is_bad ? KT_ERR_CORRUPT : kt_index_restore_operator(registry, &image);
}

static enum kt_err read_meta(struct kt_registry *registry, struct kt_row_in *row)
{
	uint8_t head[32];

	registry->seq = kt_get_u64(row);
	kt_get_hash(row, head);
	registry->time_us = kt_get_i64(row, 0, INT64_MAX);
	kt_get_text(row, registry->trust_domain, sizeof(registry->trust_domain));
	registry->restore_seq = kt_get_u64(row);
	return row->is_bad ? KT_ERR_CORRUPT : KT_ERR_OK;
}

static enum kt_err read_all(struct kt_index *index, struct kt_registry *registry, const char *sql,
			    enum kt_err (*read)(struct kt_registry *registry,
						struct kt_row_in *row))
{
	sqlite3_stmt *stmt = NULL;
	enum kt_err err = kt_index_from_sqlite(index->db,
					       sqlite3_prepare_v2(index->db, sql, -1, &stmt, NULL));

	while (err == KT_ERR_OK) {
		struct kt_row_in row = {.stmt = stmt};
		int rc = sqlite3_step(stmt);

		if (rc == SQLITE_DONE)
			break;
		err = kt_index_from_sqlite(index->db, rc);
		if (err == KT_ERR_OK)
			err = kt_row_is_whole(stmt) ? read(registry, &row) : KT_ERR_CORRUPT;
	}
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

enum kt_err kt_index_head(struct kt_index *index, uint64_t *seq, uint8_t head[static 32])
{
	return kt_index_read_head(index->db, seq, head);
}

static const struct {
	const char *sql;
	enum kt_err (*read)(struct kt_registry *registry, struct kt_row_in *row);
} tables[] = {
	{KT_INDEX_META_SQL, read_meta},
	{"SELECT * FROM device ORDER BY row", read_device},
	{"SELECT * FROM credential ORDER BY row", read_credential},
	{"SELECT * FROM ticket ORDER BY row", read_ticket},
	{"SELECT * FROM denied ORDER BY row", read_denied},
	{"SELECT * FROM operator ORDER BY row", read_operator},
};
enum { TABLE_COUNT = sizeof(tables) / sizeof(tables[0]) };

enum kt_err kt_index_load(struct kt_index *index, struct kt_registry *registry)
{
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 0; err == KT_ERR_OK && i < TABLE_COUNT; i++)
		err = read_all(index, registry, tables[i].sql, tables[i].read);
	return err == KT_ERR_OK ? kt_index_restore_end(registry) : err;
}

/* @sql is SELECT * FROM a table ORDER BY row, which counts from 0. */
static enum kt_err check_rows(struct kt_index *index, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	enum kt_err err = kt_index_from_sqlite(index->db,
					       sqlite3_prepare_v2(index->db, sql, -1, &stmt, NULL));

	for (int64_t number = 0; err == KT_ERR_OK; number++) {
		int rc = sqlite3_step(stmt);

		if (rc == SQLITE_DONE)
			break;
		err = kt_index_from_sqlite(index->db, rc);
		if (err == KT_ERR_OK &&
		    (!kt_row_is_whole(stmt) || sqlite3_column_int64(stmt, 0) != number))
			err = KT_ERR_CORRUPT;
	}
	(void)sqlite3_finalize(stmt); /* its code repeats the step's */
	return err;
}

enum kt_err kt_index_check(struct kt_index *index)
{
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 1; err == KT_ERR_OK && i < TABLE_COUNT; i++) /* 0 is the head */
		err = check_rows(index, tables[i].sql);
	return err;
}
