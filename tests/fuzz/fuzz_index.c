/*
 * The store's start over an index that anybody may have changed, beside a ledger that is whole, or
 * cut.
 *
 * The first byte says how: bit 0 the rest is the index itself, else patches of the vector; bit 1
 * the ledger lacks its last line; bit 2 the index has a WAL, half of the rest; bit 3 an operator
 * restores. A patch: two bytes where, one how many, then the bytes. Whatever the index says, what a
 * start holds is what the ledger says, or it refuses.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "registry_dump.h"
#include "restore.h"
#include "sim_disk.h"
#include "store_start.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define STATE_DIR  "/state"
#define LEDGER_DIR "/ledger"

enum { FILE_MAX = 65536, MODE_RAW = 1, MODE_CUT = 2, MODE_WAL = 4, MODE_RESTORE = 8 };

struct vectors { /* read once */
	uint8_t index[FILE_MAX];
	size_t index_len;
	uint8_t ledger[FILE_MAX];
	size_t ledger_len;
	size_t cut_len; /* without the last line */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	char *dump; /* of all of it */
	char *cut_dump;
};

static int no_gate(void *ctx, const char *call)
{
	(void)ctx;
	(void)call;
	return 0;
}

static size_t read_vector(const char *name, uint8_t out[static FILE_MAX])
{
	char path[4096];
	FILE *file;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/formats/%s", KT_VECTORS, name);
	file = fopen(path, "rb");
	FUZZ_REQUIRE(file != NULL);
	len = fread(out, 1, FILE_MAX, file);
	FUZZ_REQUIRE(len > 0 && len < FILE_MAX && fclose(file) == 0);
	return len;
}

static void put(struct sim_disk *disk, const char *path, const void *content, size_t len)
{
	const struct kt_fs *fs = fake_fs_table(disk->fs);
	const int fd = fs->open(fs->ctx, path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	FUZZ_REQUIRE(fd >= 0 && (len == 0 || fs->write(fs->ctx, fd, content, len) == (ssize_t)len));
	(void)fs->close(fs->ctx, fd);
	fake_fs_sync(disk->fs);
}

static void make_disk(struct sim_disk *disk, const struct vectors *v, unsigned mode)
{
	const struct kt_fs *fs;

	sim_disk_init(disk, no_gate, NULL);
	fs = fake_fs_table(disk->fs);
	FUZZ_REQUIRE(fs->mkdir(fs->ctx, STATE_DIR, 0700) == 0 &&
		     fs->mkdir(fs->ctx, LEDGER_DIR, 0700) == 0);
	put(disk, LEDGER_DIR "/ledger.kt", v->ledger,
	    (mode & MODE_CUT) != 0 ? v->cut_len : v->ledger_len);
	sim_vfs_use(disk);
}

static void log_nothing(void *ctx, enum kt_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

/* One start. *dump: what it holds, for the caller to free, or NULL. */
static enum kt_err start(struct sim_disk *disk, const struct vectors *v, char **dump)
{
	const struct kt_store_config config = {
		.state_dir = STATE_DIR, .ledger_dir = LEDGER_DIR, .trust_domain = v->trust_domain};
	struct kt_registry *registry = NULL;
	struct kt_log log;
	char why[512] = "";
	struct kt_store_start start = {.config = &config,
				       .fs = &disk->table,
				       .log = &log,
				       .now_us = INT64_C(1800000000000000),
				       .why = why,
				       .lock_fd = -1,
				       .ledger_lock_fd = -1};
	enum kt_err err;

	*dump = NULL;
	kt_log_init(&log, log_nothing, NULL, KT_LOG_DEBUG);
	FUZZ_REQUIRE(kt_registry_new(&registry) == KT_ERR_OK);
	start.registry = registry;
	err = kt_store_recover(&start);
	if (err == KT_ERR_OK) {
		*dump = registry_dump(registry);
		registry_audit(registry);
		kt_ledger_close(start.ledger);
		kt_index_close(start.index);
	} else {
		FUZZ_REQUIRE(why[0] != '\0');
	}
	kt_registry_free(registry);
	return err;
}

static const struct vectors *vectors_get(void)
{
	static struct vectors *v;
	static const char field[] = "\"trust_domain\":\"";
	struct sim_disk disk;
	const char *at;

	if (v != NULL)
		return v;
	sim_vfs_register();
	sim_vfs_begin(1);
	v = calloc(1, sizeof(*v));
	FUZZ_REQUIRE(v != NULL);
	v->index_len = read_vector("index-v5.sqlite", v->index);
	v->ledger_len = read_vector("ledger-v1.kt", v->ledger);
	at = memmem(v->ledger, v->ledger_len, field, strlen(field));
	FUZZ_REQUIRE(at != NULL);
	at += strlen(field);
	memcpy(v->trust_domain, at, strcspn(at, "\""));
	v->cut_len = v->ledger_len - 1;
	while (v->ledger[v->cut_len - 1] != '\n')
		v->cut_len--;
	for (unsigned mode = 0; mode <= MODE_CUT; mode += MODE_CUT) {
		make_disk(&disk, v, mode);
		FUZZ_REQUIRE(start(&disk, v, mode == 0 ? &v->dump : &v->cut_dump) == KT_ERR_OK);
		sim_disk_clear(&disk);
	}
	return v;
}

static void put_index(struct sim_disk *disk, const struct vectors *v, struct fuzz_input *in,
		      unsigned mode)
{
	struct fuzz_input wal = {NULL, 0};
	uint8_t *index = malloc(v->index_len);

	FUZZ_REQUIRE(index != NULL);
	memcpy(index, v->index, v->index_len);
	if ((mode & MODE_WAL) != 0) {
		const struct kt_bytes half = fuzz_take(in, in->left / 2);

		wal = (struct fuzz_input){half.p, half.len};
		put(disk, STATE_DIR "/index.sqlite-wal", wal.p, wal.left);
	}
	if ((mode & MODE_RAW) != 0) {
		put(disk, STATE_DIR "/index.sqlite", in->p, in->left);
		free(index);
		return;
	}
	while (fuzz_has_more(in)) {
		const size_t at = fuzz_u16(in) % v->index_len;
		const struct kt_bytes patch = fuzz_take(in, fuzz_u8(in));
		const size_t room = v->index_len - at;

		memcpy(index + at, patch.p, patch.len < room ? patch.len : room);
	}
	put(disk, STATE_DIR "/index.sqlite", index, v->index_len);
	free(index);
}

/* All or nothing; where it is done, a start takes it. */
static void restore(struct sim_disk *disk, const struct vectors *v)
{
	struct kt_restore_request request = {.fs = &disk->table,
					     .state_dir = STATE_DIR,
					     .ledger_dir = LEDGER_DIR,
					     .trust_domain = v->trust_domain,
					     .is_accepted = true,
					     .now_us = INT64_C(1800000000000000),
					     .actor = "op:unix"};
	struct kt_restore_report *report = calloc(1, sizeof(*report));
	struct kt_ledger_state state;
	uint64_t bad_line = 0;
	char why[512] = "";
	char *dump = NULL;

	FUZZ_REQUIRE(report != NULL);
	FUZZ_REQUIRE(kt_ledger_scan(&disk->table, LEDGER_DIR, NULL, NULL, &state, &bad_line) ==
		     KT_ERR_OK);
	memcpy(request.head, state.head, sizeof(request.head));
	if (kt_restore(&request, report, why) == KT_ERR_OK)
		FUZZ_REQUIRE(start(disk, v, &dump) == KT_ERR_OK);
	else
		FUZZ_REQUIRE(why[0] != '\0');
	free(dump);
	free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct vectors *v = vectors_get();
	struct fuzz_input in = {bytes, len};
	const unsigned mode = fuzz_u8(&in);
	const char *expected = (mode & MODE_CUT) != 0 ? v->cut_dump : v->dump;
	struct sim_disk disk;
	char *first = NULL;
	char *again = NULL;
	enum kt_err err;

	make_disk(&disk, v, mode);
	put_index(&disk, v, &in, mode);
	if ((mode & MODE_RESTORE) != 0) {
		restore(&disk, v);
		sim_disk_clear(&disk);
		return 0;
	}
	err = start(&disk, v, &first);
	FUZZ_REQUIRE(err == KT_ERR_OK || err == KT_ERR_ROLLED_BACK || err == KT_ERR_VERSION ||
		     err == KT_ERR_SYS);
	FUZZ_REQUIRE(err != KT_ERR_OK || strcmp(first, expected) == 0);
	/* what it left lying there is as good */
	if (err == KT_ERR_OK)
		FUZZ_REQUIRE(start(&disk, v, &again) == KT_ERR_OK && strcmp(again, expected) == 0);
	free(first);
	free(again);
	sim_disk_clear(&disk);
	return 0;
}
