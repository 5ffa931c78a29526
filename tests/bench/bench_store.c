/*
 * bench_store - what the disk and SQLite cost by themselves, beside the ledger.
 *
 *   bench_store rows DATABASE
 *   bench_store commits DIR ROUNDS GROUPS GROUP DEVICES
 *
 * rows: reads every column of every row of every table once, as whoever wants them in memory must.
 * One line: rows TABLES ROWS WALL_US CPU_US.
 *
 * commits: GROUPS groups of GROUP records are made durable in ways that take turns, ROUNDS times:
 *
 *   ledger      kt_ledger_append
 *   sqlite      the registry in SQLite: each record changes the row of its device, one of DEVICES
 *   sqlite_log  the ledger in SQLite: each record is one more row
 *   fdatasync   write and fdatasync alone
 *
 * SQLite: WAL, synchronous = FULL, one transaction a group. The records are those of rotations; all
 * but the ledger get them as the text that the ledger writes, made beforehand. One line a turn: WAY
 * RECORDS WALL_US CPU_US P50_US P99_US (of a group).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "crypto.h"
#include "durable_file.h"
#include "record.h"
#include "store/ledger.h"

enum { GROUP_MAX = 1024, GROUPS_MAX = 100000, DER_LEN = 520, PATH_LEN = 512, LINE_HEAD = 66 };

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, why);
	exit(1);
}

static void need(const char *what, enum kt_err err)
{
	if (err != KT_ERR_OK)
		fail(what, kt_err_text(err));
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void run_sql(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(sql, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail(sql, sqlite3_errmsg(db));
	return statement;
}

/* --- rows */

static size_t touch(sqlite3_stmt *row, int columns)
{
	size_t sum = 0;

	for (int i = 0; i < columns; i++) {
		const uint8_t *bytes = NULL;

		if (sqlite3_column_type(row, i) == SQLITE_INTEGER) {
			sum += (size_t)sqlite3_column_int64(row, i);
			continue;
		}
		bytes = sqlite3_column_blob(row, i);
		if (bytes != NULL)
			sum += bytes[0] + (size_t)sqlite3_column_bytes(row, i);
	}
	return sum;
}

static size_t read_table(sqlite3 *db, const char *name, size_t *sum)
{
	char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", name);
	sqlite3_stmt *row = prepare(db, sql);
	const int columns = sqlite3_column_count(row);
	size_t rows = 0;

	for (; sqlite3_step(row) == SQLITE_ROW; rows++)
		*sum += touch(row, columns);
	if (sqlite3_finalize(row) != SQLITE_OK)
		fail(name, sqlite3_errmsg(db));
	sqlite3_free(sql);
	return rows;
}

static int read_rows(const char *path)
{
	const int64_t wall_us = clock_us(CLOCK_MONOTONIC);
	const int64_t cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	sqlite3 *db = NULL;
	sqlite3_stmt *table = NULL;
	size_t tables = 0;
	size_t rows = 0;
	size_t sum = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		fail(path, sqlite3_errmsg(db));
	table = prepare(db, "SELECT name FROM sqlite_master WHERE type = 'table'");
	for (; sqlite3_step(table) == SQLITE_ROW; tables++)
		rows += read_table(db, (const char *)sqlite3_column_text(table, 0), &sum);
	(void)sqlite3_finalize(table);
	printf("rows %zu %zu %lld %lld\n", tables, rows,
	       (long long)(clock_us(CLOCK_MONOTONIC) - wall_us),
	       (long long)(clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us));
	(void)sqlite3_close(db);
	return sum == 0; /* so that no row may be left unread */
}

/* --- commits */

struct commits {
	const char *dir;
	size_t groups;
	size_t group;
	size_t devices;
	uint64_t seq;
	struct kt_ledger *ledger;
	struct kt_ledger_state state;
	sqlite3 *db;
	sqlite3_stmt *change;
	sqlite3_stmt *insert;
	size_t changed;
	int plain_fd;
	struct kt_record records[GROUP_MAX];
	const struct kt_record *refs[GROUP_MAX];
	char *texts[GROUP_MAX]; /* of the records, as in the ledger */
	size_t lens[GROUP_MAX];
	uint8_t der[DER_LEN];
	int64_t *took_us; /* each group of a turn */
};

/* The next group: rotations of devices, four records each. */
static void make_group(struct commits *commits)
{
	static const enum kt_record_kind kinds[] = {KT_RECORD_OP_OPEN, KT_RECORD_ISSUE,
						    KT_RECORD_COMMIT, KT_RECORD_PROMOTED};

	for (size_t i = 0; i < commits->group; i++) {
		struct kt_record *record = &commits->records[i];
		char id[32];

		memset(record, 0, sizeof(*record));
		record->seq = ++commits->seq;
		record->time_us = INT64_C(1700000000000000) + (int64_t)record->seq;
		record->kind = kinds[record->seq % 4];
		snprintf(record->actor, sizeof(record->actor), "op:bench");
		snprintf(id, sizeof(id), "bench-%llu", (unsigned long long)record->seq / 4);
		if (!kt_device_id_set(&record->device, id, strlen(id)))
			fail(id, "no device id");
		record->op = record->seq / 4 + 1;
		record->alg = KT_ALG_ES256;
		record->deadline_us = record->time_us;
		record->generation = 1;
		record->not_after_s = KT_CERT_NO_END;
		record->has_key_id = true;
		record->der = (struct kt_bytes){commits->der, DER_LEN};
		memcpy(record->fp.b, &record->seq, sizeof(record->seq));
		memcpy(record->key_id.b, &record->seq, sizeof(record->seq));
		commits->refs[i] = record;
	}
}

/* Also the hash in front of each line, and the line's end. */
static void make_texts(struct commits *commits)
{
	for (size_t i = 0; i < commits->group; i++) {
		char *body = NULL;
		size_t len = 0;

		free(commits->texts[i]);
		need("record",
		     kt_record_encode(&commits->records[i], commits->state.head, &body, &len));
		commits->lens[i] = LINE_HEAD + len;
		commits->texts[i] = malloc(commits->lens[i]);
		if (commits->texts[i] == NULL)
			fail("record", "no memory");
		memset(commits->texts[i], 'x', LINE_HEAD);
		memcpy(commits->texts[i] + LINE_HEAD - 1, body, len);
		commits->texts[i][commits->lens[i] - 1] = '\n';
		free(body);
	}
}

static void by_ledger(struct commits *commits)
{
	need("ledger",
	     kt_ledger_append(commits->ledger, commits->refs, commits->group, &commits->state));
}

static void step(struct commits *commits, sqlite3_stmt *statement)
{
	if (sqlite3_step(statement) != SQLITE_DONE || sqlite3_reset(statement) != SQLITE_OK)
		fail("SQLite", sqlite3_errmsg(commits->db));
}

static void change_row(struct commits *commits, size_t device, size_t text)
{
	char id[32];
	const int len = snprintf(id, sizeof(id), "bench-%zu", device);

	(void)sqlite3_bind_text(commits->change, 1, id, len, SQLITE_STATIC);
	(void)sqlite3_bind_blob(commits->change, 2, commits->texts[text], (int)commits->lens[text],
				SQLITE_STATIC);
	step(commits, commits->change);
}

static void by_sqlite(struct commits *commits)
{
	run_sql(commits->db, "BEGIN");
	for (size_t i = 0; i < commits->group; i++) /* neighbours in time are none on the disk */
		change_row(commits, commits->changed++ * 7919 % commits->devices, i);
	run_sql(commits->db, "COMMIT");
}

static void by_sqlite_log(struct commits *commits)
{
	run_sql(commits->db, "BEGIN");
	for (size_t i = 0; i < commits->group; i++) {
		(void)sqlite3_bind_blob(commits->insert, 1, commits->texts[i],
					(int)commits->lens[i], SQLITE_STATIC);
		step(commits, commits->insert);
	}
	run_sql(commits->db, "COMMIT");
}

static void by_fdatasync(struct commits *commits)
{
	static char block[GROUP_MAX * 2048];
	size_t len = 0;

	for (size_t i = 0; i < commits->group && len + commits->lens[i] <= sizeof(block); i++) {
		memcpy(block + len, commits->texts[i], commits->lens[i]);
		len += commits->lens[i];
	}
	if (write(commits->plain_fd, block, len) != (ssize_t)len ||
	    fdatasync(commits->plain_fd) != 0)
		fail("fdatasync", strerror(errno));
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a;
	const int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void turn(struct commits *commits, const char *name, void (*way)(struct commits *))
{
	int64_t wall_us = 0;
	int64_t cpu_us = 0;

	for (size_t i = 0; i < commits->groups; i++) {
		int64_t start_us = 0;
		int64_t start_cpu_us = 0;

		make_group(commits);
		if (way != by_ledger) {
			commits->seq -= commits->group; /* the ledger does not see these */
			make_texts(commits);
		}
		start_us = clock_us(CLOCK_MONOTONIC);
		start_cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
		way(commits);
		cpu_us += clock_us(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_us;
		commits->took_us[i] = clock_us(CLOCK_MONOTONIC) - start_us;
		wall_us += commits->took_us[i];
	}
	qsort(commits->took_us, commits->groups, sizeof(*commits->took_us), by_value);
	printf("%s %zu %lld %lld %lld %lld\n", name, commits->groups * commits->group,
	       (long long)wall_us, (long long)cpu_us,
	       (long long)commits->took_us[(commits->groups - 1) / 2],
	       (long long)commits->took_us[(commits->groups * 99 + 99) / 100 - 1]);
	(void)fflush(stdout);
}

/* The registry's rows stand there, as long as records are. */
static void open_sqlite(struct commits *commits)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/rows.sqlite", commits->dir);
	if (sqlite3_open(path, &commits->db) != SQLITE_OK)
		fail(path, sqlite3_errmsg(commits->db));
	run_sql(commits->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
			     "PRAGMA synchronous = FULL;"
			     "CREATE TABLE record(seq INTEGER PRIMARY KEY, body BLOB NOT NULL);"
			     "CREATE TABLE device(id TEXT PRIMARY KEY, body BLOB NOT NULL)");
	commits->insert = prepare(commits->db, "INSERT INTO record(body) VALUES(?1)");
	commits->change = prepare(commits->db, "INSERT INTO device(id, body) VALUES(?1, ?2) ON "
					       "CONFLICT(id) DO UPDATE SET body = excluded.body");
	make_group(commits);
	commits->seq -= commits->group;
	make_texts(commits);
	run_sql(commits->db, "BEGIN");
	for (size_t i = 0; i < commits->devices; i++)
		change_row(commits, i, i % commits->group);
	run_sql(commits->db, "COMMIT");
}

static void open_all(struct commits *commits)
{
	char path[PATH_LEN];
	struct kt_record begin = {.seq = 1, .kind = KT_RECORD_LEDGER_BEGIN};
	const struct kt_record *ref = &begin;

	snprintf(path, sizeof(path), "%s/ledger", commits->dir);
	need(path, kt_ledger_open(kt_fs_posix(), path, &commits->state, &commits->ledger));
	snprintf(begin.actor, sizeof(begin.actor), "keyturn");
	snprintf(begin.trust_domain, sizeof(begin.trust_domain), "bench.test");
	begin.time_us = INT64_C(1700000000000000);
	need("ledger", kt_ledger_append(commits->ledger, &ref, 1, &commits->state));
	commits->seq = 1;
	open_sqlite(commits);
	snprintf(path, sizeof(path), "%s/plain", commits->dir);
	commits->plain_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (commits->plain_fd < 0)
		fail(path, strerror(errno));
}

static void check_rows(const struct commits *commits, const char *sql, size_t want)
{
	sqlite3_stmt *count = prepare(commits->db, sql);

	if (sqlite3_step(count) != SQLITE_ROW ||
	    sqlite3_column_int64(count, 0) != (sqlite3_int64)want)
		fail(sql, "not as many as were written");
	(void)sqlite3_finalize(count);
}

/* What was written is there. */
static void check_all(const struct commits *commits, size_t rounds)
{
	const size_t want = rounds * commits->groups * commits->group;

	check_rows(commits, "SELECT count(*) FROM record", want);
	check_rows(commits, "SELECT count(*) FROM device", commits->devices);
	if (commits->changed != want || commits->state.seq != want + 1)
		fail("ledger", "not as many records as were written");
}

static int run_commits(const char *dir, size_t rounds, size_t groups, size_t group, size_t devices)
{
	static struct commits commits;

	if (rounds == 0 || devices == 0 || groups == 0 || groups > GROUPS_MAX || group == 0 ||
	    group > GROUP_MAX)
		return 2;
	commits.dir = dir;
	commits.groups = groups;
	commits.group = group;
	commits.devices = devices;
	commits.took_us = calloc(groups, sizeof(*commits.took_us));
	if (commits.took_us == NULL)
		fail("commits", "no memory");
	open_all(&commits);
	for (size_t i = 0; i < rounds; i++) {
		turn(&commits, "ledger", by_ledger);
		turn(&commits, "sqlite", by_sqlite);
		turn(&commits, "sqlite_log", by_sqlite_log);
		turn(&commits, "fdatasync", by_fdatasync);
	}
	check_all(&commits, rounds);
	(void)sqlite3_finalize(commits.insert);
	(void)sqlite3_finalize(commits.change);
	(void)sqlite3_close(commits.db);
	kt_ledger_close(commits.ledger);
	(void)close(commits.plain_fd);
	for (size_t i = 0; i < group; i++)
		free(commits.texts[i]);
	free(commits.took_us);
	return 0;
}

int main(int argc, char **argv)
{
	int status = 2;

	if (argc == 3 && strcmp(argv[1], "rows") == 0)
		status = read_rows(argv[2]);
	else if (argc == 7 && strcmp(argv[1], "commits") == 0)
		status =
			run_commits(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10),
				    strtoul(argv[5], NULL, 10), strtoul(argv[6], NULL, 10));
	if (status == 2)
		fprintf(stderr, "usage: bench_store rows DATABASE | commits DIR ROUNDS GROUPS "
				"GROUP DEVICES\n");
	return status;
}
