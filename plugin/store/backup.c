#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "restore.h"

enum { WHY_CAP = 512 };

struct backup {
	const struct kt_fs *fs;
	char from[KT_RESTORE_PATH_MAX]; /* the ledger */
	char tmp[KT_RESTORE_PATH_MAX];	/* the directory, until it is whole */
	char made[KT_RESTORE_PATH_MAX]; /* the ledger in it */
};

static bool make_paths(struct backup *b, const char *ledger_dir, const char *to)
{
	const int max = KT_RESTORE_PATH_MAX;

	return snprintf(b->from, sizeof(b->from), "%s/ledger.kt", ledger_dir) < max &&
	       snprintf(b->tmp, sizeof(b->tmp), "%s.tmp", to) < max &&
	       snprintf(b->made, sizeof(b->made), "%s.tmp/ledger.kt", to) < max;
}

static enum kt_err check_free(const struct backup *b, const char *path)
{
	struct stat st;

	if (b->fs->lstat(b->fs->ctx, path, &st) == 0)
		return KT_ERR_EXISTS;
	return errno == ENOENT ? KT_ERR_OK : KT_ERR_SYS;
}

/* What the broker has written but not synced yet must not be in a backup, and be lost here. */
static enum kt_err sync_source(const struct backup *b)
{
	int fd = b->fs->open(b->fs->ctx, b->from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	enum kt_err err = KT_ERR_OK;

	if (fd < 0)
		return KT_ERR_SYS;
	if (b->fs->fdatasync(b->fs->ctx, fd) != 0)
		err = KT_ERR_SYS;
	(void)b->fs->close(b->fs->ctx, fd); /* was only read */
	return err;
}

static enum kt_err scan(const struct backup *b, const char *path, struct kt_ledger_state *out,
			char *why)
{
	uint64_t bad_line;
	enum kt_err err = kt_ledger_scan_file(b->fs, path, NULL, NULL, out, &bad_line);

	if (err == KT_ERR_CORRUPT)
		(void)snprintf(why, WHY_CAP, "line %" PRIu64 " of %.300s does not verify: %s",
			       bad_line, path, out->fault);
	return err;
}

static enum kt_err copy(const struct backup *b, const struct kt_ledger_state *state,
			char why[static WHY_CAP])
{
	struct kt_ledger_state copied;
	enum kt_err err = sync_source(b);

	if (err == KT_ERR_OK)
		err = b->fs->mkdir(b->fs->ctx, b->tmp, S_IRWXU) == 0 ? KT_ERR_OK : KT_ERR_SYS;
	if (err == KT_ERR_OK)
		err = kt_ledger_copy(b->fs, b->from, b->made, state->size_bytes);
	if (err == KT_ERR_OK)
		err = kt_dir_sync(b->fs, b->tmp);
	if (err == KT_ERR_OK)
		err = scan(b, b->made, &copied, why);
	if (err == KT_ERR_OK && (copied.seq != state->seq || copied.cut_bytes > 0 ||
				 memcmp(copied.head, state->head, sizeof(copied.head)) != 0))
		err = KT_ERR_STATE;
	return err;
}

enum kt_err kt_backup(const struct kt_fs *fs, const char *ledger_dir, const char *to,
		      struct kt_ledger_state *out, char why[static 512])
{
	struct backup b = {.fs = fs};
	const char *about = to;
	char buf[KT_ERR_CAUSE_MAX];
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	err = make_paths(&b, ledger_dir, to) ? check_free(&b, to) : KT_ERR_TOO_LONG;
	if (err == KT_ERR_OK) {
		about = b.tmp;
		err = check_free(&b, b.tmp);
	}
	if (err == KT_ERR_OK) {
		about = b.from;
		err = scan(&b, b.from, out, why);
	}
	if (err == KT_ERR_OK) {
		about = to;
		err = copy(&b, out, why);
	}
	if (err == KT_ERR_OK)
		err = kt_path_publish(fs, b.tmp, to);
	if (err != KT_ERR_OK && why[0] == '\0')
		(void)snprintf(why, WHY_CAP, "%.300s: %s", about, kt_err_cause(err, errno, buf));
	return err;
}
