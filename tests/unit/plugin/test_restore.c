/* An operator puts a ledger back, or accepts that the newest one is lost. */
#include "restore.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dying_fs.h"
#include "encoding.h"
#include "fake_fs.h"
#include "index.h"
#include "records.h"
#include "registry_dump.h"
#include "store.h"
#include "temp_dir.h"

enum { RECORDS_MAX = 96, PATH_LEN = 128 };

/*
 * The story: six hubs and a ticket, then a backup, then all that can be lost with what comes after
 * it. The base is what the backup has.
 */
struct world {
	char root[64];
	char state_dir[80];
	char ledger_dir[80];
	char backup_dir[80];
	char why[512];
	struct kt_record records[RECORDS_MAX];
	size_t count;
	size_t base; /* records in the backup */
	struct kt_registry *now;
	struct kt_ledger_state base_state;
	struct kt_ledger_state state;
	struct kt_restore_report report;
	struct dying_fs fs;
};

/* --- making it ---------------------------------------------------------------------------------
 */

static void record(struct world *w, const struct kt_record *rec)
{
	assert_true(w->count < RECORDS_MAX);
	w->records[w->count++] = *rec;
	take(w->now, rec);
}

static void event(struct world *w, enum kt_record_kind kind, const char *device, uint32_t n)
{
	struct kt_record rec = record_for(w->now, kind, device, n);

	record(w, &rec);
}

static void operator_event(struct world *w, enum kt_record_kind kind, const char *name, uint32_t n)
{
	struct kt_record rec = record_of_operator(w->now, kind, name, KT_ROLE_ADMIN, n);

	record(w, &rec);
}

static void enrolled(struct world *w, const char *device, uint32_t n)
{
	struct kt_record rec;

	event(w, KT_RECORD_TICKET_CREATE, device, n);
	rec = record_for(w->now, KT_RECORD_ISSUE, device, n);
	rec.has_ticket = true;
	record(w, &rec);
	event(w, KT_RECORD_COMMIT, device, n);
}

static void tell_story(struct world *w)
{
	static const char *const hubs[] = {"hub-1", "hub-2", "hub-3", "hub-4", "hub-5", "hub-6"};
	struct kt_record rec = record_begin();

	record(w, &rec);
	for (uint32_t i = 0; i < 6; i++)
		enrolled(w, hubs[i], i + 1);
	event(w, KT_RECORD_TICKET_CREATE, "hub-8", 8);
	rec = record_for(w->now, KT_RECORD_DEVICE_CREATE, "hub-9", 9);
	rec.has_key_id = true;
	rec.alg = KT_ALG_ES256;
	record(w, &rec);
	operator_event(w, KT_RECORD_OPERATOR_ADD, "ann", 40);
	operator_event(w, KT_RECORD_OPERATOR_ADD, "ben", 41);
	operator_event(w, KT_RECORD_OPERATOR_ADD, "cay", 42);
	operator_event(w, KT_RECORD_OPERATOR_REMOVE, "cay", 0);
	w->base = w->count;
	operator_event(w, KT_RECORD_OPERATOR_REMOVE, "ann", 0);
	operator_event(w, KT_RECORD_OPERATOR_ADD, "dan", 43);
	event(w, KT_RECORD_OP_OPEN, "hub-1", 11);
	event(w, KT_RECORD_ISSUE, "hub-1", 11);
	event(w, KT_RECORD_COMMIT, "hub-1", 11);
	event(w, KT_RECORD_REVOKE, "hub-2", 0);
	event(w, KT_RECORD_DELETE, "hub-3", 0);
	event(w, KT_RECORD_QUARANTINE, "hub-4", 0);
	event(w, KT_RECORD_OP_OPEN, "hub-5", 12);
	event(w, KT_RECORD_FREEZE, "hub-5", 12);
	event(w, KT_RECORD_OP_OPEN, "hub-6", 13);
	event(w, KT_RECORD_ISSUE, "hub-6", 13);
	rec = record_for(w->now, KT_RECORD_ISSUE, "hub-8", 8); /* its ticket is used */
	rec.has_ticket = true;
	record(w, &rec);
	enrolled(w, "hub-7", 7);
	event(w, KT_RECORD_DENY, NULL, 30);
	event(w, KT_RECORD_APPROVE, "hub-9", 31); /* another key instead of its registered one */
}

static void write_ledger(const struct kt_fs *fs, const char *dir, const struct world *w,
			 size_t count, struct kt_ledger_state *state)
{
	const struct kt_record *list[RECORDS_MAX];
	struct kt_ledger *ledger = NULL;

	memset(state, 0, sizeof(*state));
	for (size_t i = 0; i < count; i++)
		list[i] = &w->records[i];
	assert_int_equal(kt_ledger_open(fs, dir, state, &ledger), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(ledger, list, count, state), KT_ERR_OK);
	kt_ledger_close(ledger);
}

/* An index that knows the first @count records. */
static void write_index(struct world *w, size_t count)
{
	struct kt_registry *r = NULL;
	struct kt_index *index = NULL;
	struct kt_index_batch *batch = NULL;
	struct kt_ledger_state state;
	char path[PATH_LEN];
	char scratch[PATH_LEN];

	(void)snprintf(scratch, sizeof(scratch), "%s/scratch", w->root);
	write_ledger(kt_fs_posix(), scratch, w, count, &state);
	assert_int_equal(kt_dir_remove(kt_fs_posix(), scratch, NULL), KT_ERR_OK);
	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	for (size_t i = 0; i < count; i++)
		take(r, &w->records[i]);
	(void)snprintf(path, sizeof(path), "%s/index.sqlite", w->state_dir);
	(void)unlink(path);
	assert_int_equal(kt_index_open(kt_fs_posix(), path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_collect(r, &batch), KT_ERR_OK);
	assert_int_equal(kt_index_write(index, &batch, 1, count, state.head), KT_ERR_OK);
	kt_index_batch_free(batch);
	kt_index_close(index);
	kt_registry_free(r);
}

static void remove_file(const char *dir, const char *name)
{
	char path[PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

/* The newest ledger is gone, the older one in its place; the index knows it all. */
static void roll_back(struct world *w)
{
	write_index(w, w->count);
	assert_int_equal(kt_dir_remove(kt_fs_posix(), w->ledger_dir, NULL), KT_ERR_OK);
	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->base, &w->base_state);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	temp_dir_make(w->root);
	(void)snprintf(w->state_dir, sizeof(w->state_dir), "%s/state", w->root);
	(void)snprintf(w->ledger_dir, sizeof(w->ledger_dir), "%s/ledger", w->root);
	(void)snprintf(w->backup_dir, sizeof(w->backup_dir), "%s/backup", w->root);
	assert_int_equal(mkdir(w->state_dir, 0700), 0);
	assert_int_equal(kt_registry_new(&w->now), KT_ERR_OK);
	tell_story(w);
	dying_fs_init(&w->fs, 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kt_registry_free(w->now);
	for (size_t i = 0; i < 3; i++) {
		const char *const dirs[] = {w->state_dir, w->ledger_dir, w->backup_dir};
		char aside[PATH_LEN];

		(void)snprintf(aside, sizeof(aside), "%s/restore.tmp", dirs[i]);
		assert_int_equal(kt_dir_remove(kt_fs_posix(), aside, NULL), KT_ERR_OK);
		assert_int_equal(kt_dir_remove(kt_fs_posix(), dirs[i], NULL), KT_ERR_OK);
	}
	assert_int_equal(rmdir(w->root), 0);
	free(w);
	return 0;
}

/* --- asking ------------------------------------------------------------------------------------
 */

static enum kt_err ask(struct world *w, const char *backup, const uint8_t *head)
{
	struct kt_restore_request req = {.fs = &w->fs.table,
					 .state_dir = w->state_dir,
					 .ledger_dir = w->ledger_dir,
					 .trust_domain = "example.org",
					 .backup_dir = backup,
					 .is_accepted = head != NULL,
					 .now_us = TIME_0 + 99000000,
					 .actor = "op:test",
					 .note = "disk died"};

	if (head != NULL)
		memcpy(req.head, head, sizeof(req.head));
	return kt_restore(&req, &w->report, w->why);
}

static void no_sink(void *ctx, enum kt_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

/* What a broker's start says. @out: the registry it would go on with; NULL after an error. */
static enum kt_err start(struct world *w, struct kt_registry **out)
{
	const struct kt_store_config config = {.state_dir = w->state_dir,
					       .ledger_dir = w->ledger_dir,
					       .trust_domain = "example.org"};
	struct kt_store *store = NULL;
	struct kt_log log;
	enum kt_err err;

	kt_log_init(&log, no_sink, NULL, KT_LOG_ERROR);
	assert_int_equal(kt_registry_new(out), KT_ERR_OK);
	err = kt_store_open(&config, &log, TIME_0 + 99000000, *out, &store, w->why);
	kt_store_close(store);
	if (err != KT_ERR_OK) {
		kt_registry_free(*out);
		*out = NULL;
	}
	return err;
}

static const struct kt_device *hub(const struct kt_registry *r, const char *id)
{
	const struct kt_device *d = kt_registry_find_device(r, id);

	assert_non_null(d);
	return d;
}

static void has_status(const struct kt_registry *r, uint32_t n, enum kt_credential_status status)
{
	const struct kt_fingerprint fp = fp_of(n);
	const struct kt_credential *c = kt_registry_find_fingerprint(r, &fp);

	assert_non_null(c);
	assert_string_equal(kt_credential_status_name(c->status),
			    kt_credential_status_name(status));
}

/* Neither who was removed in the lost records nor who may have been. */
static void has_no_operator(const struct kt_registry *r)
{
	const struct kt_operator_entry *entry;
	size_t cursor = 0;

	while ((entry = kt_registry_next_operator(r, &cursor)) != NULL)
		assert_true(entry->is_removed);
}

/* Everything that takes a right away is in force again, and nothing else is. */
static void knows_what_was_taken_away(const struct kt_registry *r)
{
	const struct kt_key_id denied = key_of(30);
	const struct kt_key_id replaced = key_of(9);
	uint8_t ticket[32];

	registry_audit(r);
	assert_true(kt_registry_restore_seq(r) > 0);
	has_no_operator(r);
	has_status(r, 1, KT_CREDENTIAL_SUPERSEDED);
	has_status(r, 11, KT_CREDENTIAL_LOST);
	assert_int_equal(hub(r, "hub-1")->state, KT_DEVICE_NEW);
	assert_int_equal(hub(r, "hub-1")->generation, 2);
	assert_true(hub(r, "hub-1")->op == 11);
	has_status(r, 2, KT_CREDENTIAL_REVOKED);
	assert_int_equal(hub(r, "hub-2")->state, KT_DEVICE_REVOKED);
	has_status(r, 3, KT_CREDENTIAL_REVOKED);
	assert_int_equal(hub(r, "hub-3")->state, KT_DEVICE_DELETED);
	has_status(r, 4, KT_CREDENTIAL_CURRENT);
	assert_true(hub(r, "hub-4")->quarantined);
	assert_true(hub(r, "hub-5")->frozen);
	assert_true(hub(r, "hub-5")->op == 12);
	has_status(r, 6, KT_CREDENTIAL_CURRENT);
	has_status(r, 13, KT_CREDENTIAL_LOST);
	assert_int_equal(hub(r, "hub-6")->phase, KT_SERVER_IDLE);
	assert_true(hub(r, "hub-6")->op == 13);
	has_status(r, 7, KT_CREDENTIAL_LOST);
	has_status(r, 8, KT_CREDENTIAL_LOST);
	assert_int_equal(hub(r, "hub-7")->state, KT_DEVICE_NEW);
	ticket_of(8, ticket);
	assert_true(kt_registry_find_ticket(r, ticket)->used);
	assert_true(kt_registry_is_key_denied(r, &denied));
	assert_true(kt_registry_is_key_denied(r, &replaced));
	assert_null(kt_registry_find_key(r, &replaced));
}

static void assert_starts_reconciling(struct world *w)
{
	struct kt_registry *r = NULL;

	assert_int_equal(start(w, &r), KT_ERR_OK);
	knows_what_was_taken_away(r);
	kt_registry_free(r);
}

static void assert_start_refuses(struct world *w, const uint8_t head[static 32])
{
	struct kt_registry *r = NULL;
	char hex[65] = "lost";

	assert_int_equal(start(w, &r), KT_ERR_ROLLED_BACK);
	if (head[0] != 0 || head[1] != 0)
		assert_int_equal(kt_hex_encode(head, 32, hex, sizeof(hex)), KT_ERR_OK);
	assert_non_null(strstr(w->why, "keyturnctl restore --accept-rollback "));
	assert_non_null(strstr(w->why, hex));
}

static char *slurp(const char *dir, const char *name, size_t *len)
{
	char path[PATH_LEN];
	char *text = calloc(1, 1 << 20);
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	assert_non_null(f);
	*len = fread(text, 1, (1 << 20) - 1, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void assert_ledger_untouched(const struct world *w, const char *before, size_t before_len)
{
	size_t len;
	char *now = slurp(w->ledger_dir, "ledger.kt", &len);

	assert_int_equal(len, before_len);
	assert_memory_equal(now, before, len);
	free(now);
}

/* --- an older ledger, a newer index -------------------------------------------------------------
 */

static void what_the_index_knows_comes_back(void **state)
{
	struct world *w = *state;

	roll_back(w);
	assert_start_refuses(w, w->base_state.head);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.base.seq == w->base);
	assert_true(w->report.has_index && w->report.is_index_ahead);
	assert_true(w->report.index_seq == w->count);
	assert_true(w->report.found.revoked == 1 && w->report.found.deleted == 1);
	assert_true(w->report.found.quarantined == 1 && w->report.found.tickets == 1);
	assert_true(w->report.found.denied == 2 && w->report.found.left_out == 0);
	assert_true(w->report.found.devices == 5);     /* 1, 5, 6, 7, 8 */
	assert_true(w->report.found.credentials == 7); /* 1 twice, 2, 3, 6, 7, 8 */
	assert_true(w->report.found.operators == 2);   /* ann and ben */
	assert_string_equal(w->report.kept, "");
	assert_starts_reconciling(w);
	assert_starts_reconciling(w); /* from the index, too */
}

static void a_wrong_head_is_refused_and_nothing_is_touched(void **state)
{
	struct world *w = *state;
	uint8_t wrong[32] = {1};
	size_t len;
	char *before;

	roll_back(w);
	before = slurp(w->ledger_dir, "ledger.kt", &len);
	assert_int_equal(ask(w, NULL, wrong), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "not the head"));
	assert_int_equal(ask(w, NULL, (uint8_t[32]){0}), KT_ERR_ROLLED_BACK);
	assert_ledger_untouched(w, before, len);
	assert_start_refuses(w, w->base_state.head);
	free(before);
}

static void without_the_word_a_rollback_is_refused(void **state)
{
	struct world *w = *state;

	roll_back(w);
	assert_int_equal(ask(w, NULL, NULL), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "the index knows records"));
	assert_start_refuses(w, w->base_state.head);
}

static void without_an_index_the_ledger_alone_is_accepted(void **state)
{
	struct world *w = *state;
	struct kt_registry *r = NULL;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->base, &w->base_state);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_OK);
	assert_false(w->report.has_index);
	assert_true(w->report.state.seq == w->base + 1);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	assert_true(kt_registry_restore_seq(r) == w->base + 1);
	has_no_operator(r);
	assert_true(kt_registry_find_operator(r, "ann")->is_removed);
	has_status(r, 1, KT_CREDENTIAL_CURRENT);
	kt_registry_free(r);
}

static void a_damaged_index_tells_nothing_and_stands_in_no_way(void **state)
{
	struct world *w = *state;
	struct kt_registry *r = NULL;
	char path[PATH_LEN];
	FILE *f;

	roll_back(w);
	(void)snprintf(path, sizeof(path), "%s/index.sqlite", w->state_dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs("this is no database, and never was one: it is too long for it", f) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.is_index_damaged && !w->report.is_index_ahead);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	assert_true(kt_registry_restore_seq(r) > 0);
	kt_registry_free(r);
}

/* What it knew cannot be told, but that it knew more: that has to be accepted, and then it goes. */
static void a_damaged_index_that_knew_more_has_to_be_accepted(void **state)
{
	struct world *w = *state;
	struct kt_registry *r = NULL;
	char path[PATH_LEN];
	FILE *f;

	roll_back(w);
	(void)snprintf(path, sizeof(path), "%s/index.sqlite", w->state_dir);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, 63, SEEK_SET), 0); /* user_version: of the version before */
	assert_int_equal(fputc(3, f), 3);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(ask(w, NULL, NULL), KT_ERR_ROLLED_BACK);
	assert_true(w->report.is_index_damaged && w->report.is_index_ahead);
	assert_int_equal(start(w, &r), KT_ERR_ROLLED_BACK);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.is_index_damaged && w->report.is_index_ahead);
	assert_true(w->report.found.revoked == 0 && w->report.found.devices == 0);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	assert_true(kt_registry_restore_seq(r) > 0);
	kt_registry_free(r);
}

/* Both came from one backup: nothing shows that anything is missing, but the operator knows. */
static void an_index_of_the_same_age_adds_nothing(void **state)
{
	struct world *w = *state;
	struct kt_registry *r = NULL;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->base, &w->base_state);
	write_index(w, w->base - 2);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.has_index && !w->report.is_index_ahead);
	assert_true(w->report.state.seq == w->base + 1);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	assert_true(kt_registry_restore_seq(r) > 0);
	kt_registry_free(r);
}

static void another_trust_domain_is_refused(void **state)
{
	struct world *w = *state;
	struct kt_restore_request req = {.fs = &w->fs.table,
					 .state_dir = w->state_dir,
					 .ledger_dir = w->ledger_dir,
					 .trust_domain = "example.com",
					 .is_accepted = true,
					 .now_us = TIME_0,
					 .actor = "op:test"};

	roll_back(w);
	memcpy(req.head, w->base_state.head, sizeof(req.head));
	assert_int_equal(kt_restore(&req, &w->report, w->why), KT_ERR_STATE);
	assert_non_null(strstr(w->why, "trust domain"));
	assert_start_refuses(w, w->base_state.head);
}

static void a_damaged_ledger_is_not_accepted(void **state)
{
	struct world *w = *state;
	char path[PATH_LEN];
	FILE *f;

	roll_back(w);
	(void)snprintf(path, sizeof(path), "%s/ledger.kt", w->ledger_dir);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, 100, SEEK_SET), 0);
	assert_int_equal(fputc('X', f), 'X');
	assert_int_equal(fclose(f), 0);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_CORRUPT);
	assert_non_null(strstr(w->why, "line 1 of"));
	assert_non_null(strstr(w->why, "its hash is not that of its text"));
}

/* --- no ledger at all ---------------------------------------------------------------------------
 */

static void a_lost_ledger_begins_anew_with_what_the_index_knows(void **state)
{
	static const uint8_t zeros[32];
	struct world *w = *state;
	struct kt_registry *r = NULL;

	roll_back(w);
	remove_file(w->ledger_dir, "ledger.kt");
	assert_start_refuses(w, zeros);
	assert_int_equal(ask(w, NULL, w->base_state.head), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "--accept-rollback lost"));
	assert_int_equal(ask(w, NULL, zeros), KT_ERR_OK);
	assert_true(w->report.base.seq == 0);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	registry_audit(r);
	assert_true(kt_registry_restore_seq(r) == 2);
	for (uint32_t n = 1; n <= 13; n++) { /* every key stays its device's for ever */
		const struct kt_key_id key = key_of(n);

		if (n != 9 && n != 10 && n != 12)
			assert_true(kt_registry_is_key_used(r, &key));
	}
	has_status(r, 1, KT_CREDENTIAL_SUPERSEDED);
	has_status(r, 11, KT_CREDENTIAL_LOST);
	has_status(r, 4, KT_CREDENTIAL_LOST);
	assert_int_equal(hub(r, "hub-2")->state, KT_DEVICE_REVOKED);
	assert_int_equal(hub(r, "hub-3")->state, KT_DEVICE_DELETED);
	assert_true(hub(r, "hub-4")->quarantined && hub(r, "hub-5")->frozen);
	assert_int_equal(kt_registry_counts(r).active, 0);
	kt_registry_free(r);
}

static void with_neither_it_is_a_fresh_ledger_that_reconciles(void **state)
{
	static const uint8_t zeros[32];
	struct world *w = *state;
	struct kt_registry *r = NULL;

	assert_int_equal(mkdir(w->ledger_dir, 0700), 0);
	assert_int_equal(ask(w, NULL, zeros), KT_ERR_OK);
	assert_true(w->report.state.seq == 2);
	assert_int_equal(start(w, &r), KT_ERR_OK);
	assert_true(kt_registry_restore_seq(r) == 2);
	kt_registry_free(r);
}

/* --- from a backup ------------------------------------------------------------------------------
 */

static void a_backup_that_has_everything_is_put_back(void **state)
{
	struct world *w = *state;
	struct kt_registry *r = NULL;
	char *expected = registry_dump(w->now);
	char *dump;

	write_ledger(kt_fs_posix(), w->backup_dir, w, w->count, &w->state);
	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->base, &w->base_state);
	write_index(w, w->count);
	assert_int_equal(ask(w, w->backup_dir, NULL), KT_ERR_OK);
	assert_true(w->report.has_present && !w->report.is_present_ahead);
	assert_true(w->report.state.seq == w->count);
	assert_non_null(strstr(w->report.kept, "ledger.kt.before-restore-1"));
	assert_int_equal(start(w, &r), KT_ERR_OK);
	dump = registry_dump(r);
	assert_string_equal(dump, expected);
	free(dump);
	free(expected);
	kt_registry_free(r);
}

static void an_older_backup_needs_the_word(void **state)
{
	struct world *w = *state;
	size_t len;
	char *before;
	char *kept;
	size_t kept_len;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	write_ledger(kt_fs_posix(), w->backup_dir, w, w->base, &w->base_state);
	before = slurp(w->ledger_dir, "ledger.kt", &len);
	assert_int_equal(ask(w, w->backup_dir, NULL), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "the present ledger has records"));
	assert_int_equal(ask(w, w->backup_dir, w->state.head), KT_ERR_ROLLED_BACK);
	assert_ledger_untouched(w, before, len);
	assert_int_equal(ask(w, w->backup_dir, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.is_present_ahead && w->report.present_seq == w->count);
	kept = slurp(w->ledger_dir, "ledger.kt.before-restore-1", &kept_len);
	assert_int_equal(kept_len, len); /* kept as it was */
	assert_memory_equal(kept, before, len);
	assert_starts_reconciling(w); /* what the replaced ledger knew is not forgotten */
	assert_int_equal(ask(w, w->backup_dir, w->base_state.head), KT_ERR_OK);
	assert_non_null(strstr(w->report.kept, "before-restore-2"));
	free(kept);
	free(before);
}

/* What stood behind the damage is not known. */
static void over_a_damaged_ledger_it_needs_the_word_too(void **state)
{
	struct world *w = *state;
	char path[PATH_LEN];
	struct stat st;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	write_ledger(kt_fs_posix(), w->backup_dir, w, w->base, &w->base_state);
	(void)snprintf(path, sizeof(path), "%s/ledger.kt", w->ledger_dir);
	assert_int_equal(stat(path, &st), 0);
	{
		FILE *f = fopen(path, "r+e");

		assert_non_null(f);
		assert_int_equal(fseek(f, 100, SEEK_SET), 0);
		assert_int_equal(fputc('X', f), 'X');
		assert_int_equal(fclose(f), 0);
	}
	assert_int_equal(ask(w, w->backup_dir, NULL), KT_ERR_ROLLED_BACK);
	assert_non_null(strstr(w->why, "is damaged"));
	assert_int_equal(ask(w, w->backup_dir, w->base_state.head), KT_ERR_OK);
	assert_true(w->report.is_present_bad && w->report.present_seq == 0);
}

static void a_backup_that_is_none_is_refused(void **state)
{
	struct world *w = *state;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->base, &w->base_state);
	assert_int_equal(ask(w, w->backup_dir, NULL), KT_ERR_NOT_FOUND);
	assert_non_null(strstr(w->why, "backup/ledger.kt"));
}

/* --- killed -------------------------------------------------------------------------------------
 */

static void prepare_older(struct world *w)
{
	roll_back(w);
}

static void prepare_backup(struct world *w)
{
	write_ledger(kt_fs_posix(), w->backup_dir, w, w->base, &w->base_state);
	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	write_index(w, w->count);
}

/*
 * At every change that it makes: a start says what it said before, or reconciling is in force with
 * all that was known. And another try, with the head that is there then, always gets there.
 */
static bool is_killed_at(unsigned n, bool has_backup)
{
	struct world *w = NULL;
	struct kt_registry *r = NULL;
	void *state = NULL;
	uint8_t head[32];
	enum kt_err err;
	bool was_killed;

	assert_int_equal(setup(&state), 0);
	w = state;
	if (has_backup)
		prepare_backup(w);
	else
		prepare_older(w);
	dying_fs_init(&w->fs, n);
	err = ask(w, has_backup ? w->backup_dir : NULL, w->base_state.head);
	was_killed = w->fs.is_dead;
	assert_true(was_killed || err == KT_ERR_OK);
	dying_fs_init(&w->fs, 0);
	err = start(w, &r);
	if (err == KT_ERR_OK && kt_registry_restore_seq(r) > 0) {
		knows_what_was_taken_away(r);
	} else if (has_backup && err == KT_ERR_OK) {
		assert_true(kt_registry_seq(r) == w->count); /* the present one, untouched */
	} else {
		struct kt_ledger_state now;
		uint64_t bad_line;

		assert_int_equal(err, KT_ERR_ROLLED_BACK);
		assert_int_equal(
			kt_ledger_scan(kt_fs_posix(), w->ledger_dir, NULL, NULL, &now, &bad_line),
			KT_ERR_OK);
		memcpy(head, now.head, sizeof(head));
		assert_start_refuses(w, head);
		assert_int_equal(ask(w, NULL, head), KT_ERR_OK);
		assert_starts_reconciling(w);
	}
	kt_registry_free(r);
	assert_int_equal(teardown(&state), 0);
	return was_killed;
}

static void a_kill_at_any_change_leaves_the_old_refusal_or_the_whole(void **state)
{
	unsigned older = 1;
	unsigned backup = 1;

	(void)state;
	while (is_killed_at(older, false))
		older++;
	while (is_killed_at(backup, true))
		backup++;
	assert_true(older > 4);
	assert_true(backup > 10);
}

/* --- power cuts: the ledger's name always holds a whole ledger -----------------------------------
 */

struct cuts {
	const char *before;
	char *after; /* NULL while it is not known */
	unsigned states;
	unsigned done; /* states with the new ledger */
};

static void look(void *ctx, struct fake_fs *fs)
{
	struct cuts *cuts = ctx;
	size_t len;
	char *text = fake_fs_content(fs, "/l/ledger.kt", &len);

	cuts->states++;
	assert_non_null(text);
	if (strcmp(text, cuts->before) != 0) {
		if (cuts->after == NULL)
			cuts->after = strdup(text);
		assert_string_equal(text, cuts->after);
		cuts->done++;
	}
	free(text);
}

static void look_after_each(void *ctx, struct fake_fs *fs)
{
	(void)fake_fs_each_crash(fs, 7, look, ctx);
}

static void a_power_cut_leaves_one_whole_ledger_or_the_other(void **state)
{
	struct world *w = *state;
	struct fake_fs *fs = fake_fs_new();
	struct kt_restore_request req = {.fs = fake_fs_table(fs),
					 .state_dir = "/s",
					 .ledger_dir = "/l",
					 .trust_domain = "example.org",
					 .backup_dir = "/b",
					 .is_accepted = true,
					 .now_us = TIME_0,
					 .actor = "op:test"};
	struct cuts cuts = {0};
	char *final;
	size_t len;

	write_ledger(req.fs, "/b", w, w->base, &w->base_state);
	write_ledger(req.fs, "/l", w, w->count, &w->state);
	fake_fs_sync(fs);
	cuts.before = fake_fs_content(fs, "/l/ledger.kt", &len);
	memcpy(req.head, w->base_state.head, sizeof(req.head));
	fake_fs_watch(fs, look_after_each, &cuts);
	assert_int_equal(kt_restore(&req, &w->report, w->why), KT_ERR_OK);
	fake_fs_watch(fs, NULL, NULL);
	assert_int_equal(fake_fs_open_count(fs), 0);
	final = fake_fs_content(fs, "/l/ledger.kt", &len);
	assert_true(cuts.states > 20 && cuts.done > 0);
	assert_string_equal(final, cuts.after);
	fake_fs_crash(fs, 1);
	free(final);
	final = fake_fs_content(fs, "/l/ledger.kt", &len);
	assert_string_equal(final, cuts.after); /* what was told done, is */
	free(final);
	free((char *)(uintptr_t)cuts.before);
	free(cuts.after);
	fake_fs_free(fs);
}

/* --- backups ------------------------------------------------------------------------------------
 */

static void a_backup_is_the_ledger_up_to_its_last_whole_record(void **state)
{
	struct world *w = *state;
	struct kt_ledger_state copied;
	struct stat st;
	char path[PATH_LEN];
	char *text;
	size_t len;
	FILE *f;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	(void)snprintf(path, sizeof(path), "%s/ledger.kt", w->ledger_dir);
	f = fopen(path, "ae"); /* the broker is in the middle of a write */
	assert_non_null(f);
	assert_true(fputs("0123456789abcdef {\"v\":1", f) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why),
			 KT_ERR_OK);
	assert_true(copied.seq == w->count);
	assert_memory_equal(copied.head, w->state.head, 32);
	text = slurp(w->backup_dir, "ledger.kt", &len);
	assert_true(len == w->state.size_bytes);
	free(text);
	assert_int_equal(stat(w->backup_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)snprintf(path, sizeof(path), "%s/ledger.kt", w->backup_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_backup_never_goes_over_another(void **state)
{
	struct world *w = *state;
	struct kt_ledger_state copied;
	char tmp[PATH_LEN];

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", w->backup_dir);
	assert_int_equal(mkdir(tmp, 0700), 0);
	assert_int_equal(kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why),
			 KT_ERR_EXISTS);
	assert_non_null(strstr(w->why, "backup.tmp"));
	assert_int_equal(rmdir(tmp), 0);
	assert_int_equal(mkdir(w->backup_dir, 0700), 0);
	assert_int_equal(kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why),
			 KT_ERR_EXISTS);
}

static void no_backup_is_made_of_a_ledger_that_is_none(void **state)
{
	struct world *w = *state;
	struct kt_ledger_state copied;
	char path[PATH_LEN];
	FILE *f;

	assert_int_equal(kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why),
			 KT_ERR_NOT_FOUND);
	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	(void)snprintf(path, sizeof(path), "%s/ledger.kt", w->ledger_dir);
	f = fopen(path, "r+e");
	assert_non_null(f);
	assert_int_equal(fseek(f, 400, SEEK_SET), 0);
	assert_int_equal(fputc('X', f), 'X');
	assert_int_equal(fclose(f), 0);
	assert_int_equal(kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why),
			 KT_ERR_CORRUPT);
	assert_non_null(strstr(w->why, "line 2 of"));
	assert_int_equal(access(w->backup_dir, F_OK), -1);
}

static void an_interrupted_backup_has_no_name(void **state)
{
	struct world *w = *state;
	struct kt_ledger_state copied;
	char tmp[PATH_LEN];
	unsigned n = 1;
	bool is_done = false;

	write_ledger(kt_fs_posix(), w->ledger_dir, w, w->count, &w->state);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", w->backup_dir);
	for (; !is_done; n++) {
		enum kt_err err;

		dying_fs_init(&w->fs, n);
		err = kt_backup(&w->fs.table, w->ledger_dir, w->backup_dir, &copied, w->why);
		is_done = !w->fs.is_dead;
		if (is_done)
			assert_int_equal(err, KT_ERR_OK);
		else if (access(w->backup_dir, F_OK) == 0) {
			uint64_t bad_line; /* killed at the very last sync: the name is there, whole
					    */

			assert_int_equal(kt_ledger_scan(kt_fs_posix(), w->backup_dir, NULL, NULL,
							&copied, &bad_line),
					 KT_ERR_OK);
			assert_true(copied.seq == w->count);
			assert_int_equal(kt_dir_remove(kt_fs_posix(), w->backup_dir, NULL),
					 KT_ERR_OK);
		}
		assert_int_equal(kt_dir_remove(kt_fs_posix(), tmp, NULL), KT_ERR_OK);
	}
	assert_true(n > 6);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_the_index_knows_comes_back),
		T(a_wrong_head_is_refused_and_nothing_is_touched),
		T(without_the_word_a_rollback_is_refused),
		T(without_an_index_the_ledger_alone_is_accepted),
		T(a_damaged_index_tells_nothing_and_stands_in_no_way),
		T(a_damaged_index_that_knew_more_has_to_be_accepted),
		T(an_index_of_the_same_age_adds_nothing),
		T(another_trust_domain_is_refused),
		T(a_damaged_ledger_is_not_accepted),
		T(a_lost_ledger_begins_anew_with_what_the_index_knows),
		T(with_neither_it_is_a_fresh_ledger_that_reconciles),
		T(a_backup_that_has_everything_is_put_back),
		T(an_older_backup_needs_the_word),
		T(over_a_damaged_ledger_it_needs_the_word_too),
		T(a_backup_that_is_none_is_refused),
		cmocka_unit_test(a_kill_at_any_change_leaves_the_old_refusal_or_the_whole),
		T(a_power_cut_leaves_one_whole_ledger_or_the_other),
		T(a_backup_is_the_ledger_up_to_its_last_whole_record),
		T(a_backup_never_goes_over_another),
		T(no_backup_is_made_of_a_ledger_that_is_none),
		T(an_interrupted_backup_has_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
