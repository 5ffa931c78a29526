#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto.h"
#include "encoding.h"

enum {
	HASH_LEN = 32,
	HASH_HEX = 64,
	BODY_AT = HASH_HEX + 1, /* hash, blank, body */
	LEDGER_LINE_MAX = BODY_AT + KT_RECORD_TEXT_MAX,
	BLOCK = 65536,
	GROUP_MAX = 1 << 20, /* bytes of one write with its fdatasync */
	SECTOR = 512,
	HOLE_MIN = 16, /* zero bytes in a row that no damaged text explains */
	PATH_CAP = 4096
};

static const char file_name[] = "ledger.kt";
static const char wrong_number[] = "its number is not the next one";

struct path {
	char s[PATH_CAP];
};

static enum kt_err ledger_path(struct path *out, const char *dir)
{
	int len = snprintf(out->s, sizeof(out->s), "%s/%s", dir, file_name);

	return len > 0 && (size_t)len < sizeof(out->s) ? KT_ERR_OK : KT_ERR_TOO_LONG;
}

static void close_quietly(const struct kt_fs *fs, int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)fs->close(fs->ctx, fd);
	errno = saved;
}

/* --- lines out of the file -------------------------------------------------------------------- */

struct reader {
	const struct kt_fs *fs;
	int fd;
	uint8_t *buf; /* LEDGER_LINE_MAX + 1 + BLOCK bytes */
	size_t at;    /* first byte not handed out */
	size_t end;
	uint64_t offset; /* of that byte in the file */
	bool is_at_eof;
};

struct line {
	const uint8_t *p; /* without the LF */
	size_t len;
	uint64_t size;	  /* bytes in the file, with the LF */
	bool is_complete; /* ends in LF */
	bool is_too_long; /* then p and len are gone */
	bool has_hole;	  /* has bytes that never reached the disk */
};

/* More bytes behind what is there; false at the end of the file or on an error. */
static enum kt_err fill(struct reader *in)
{
	ssize_t n;

	memmove(in->buf, in->buf + in->at, in->end - in->at);
	in->end -= in->at;
	in->at = 0;
	do {
		n = in->fs->read(in->fs->ctx, in->fd, in->buf + in->end, BLOCK);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return KT_ERR_SYS;
	in->is_at_eof = n == 0;
	in->end += (size_t)n;
	return KT_ERR_OK;
}

/*
 * A group is one write of many pages, and a power cut may keep a later page without an earlier one:
 * what is missing then reads as zeros, which our text never has, from the last byte that was synced
 * (@offset: where the line begins) to the end of a sector, or for a good while.
 */
static bool has_hole(const uint8_t *p, size_t len, uint64_t offset)
{
	size_t run = 0;

	if (memchr(p, 0, len) == NULL)
		return false;
	while (run < len && p[run] == 0)
		run++;
	if (run > 0 && (offset + run) % SECTOR == 0)
		return true;
	run = 0;
	for (size_t i = 0; i < len && run < HOLE_MIN; i++)
		run = p[i] == 0 ? run + 1 : 0;
	return run == HOLE_MIN;
}

/* Steps over the rest of a line that is longer than any of ours. */
static enum kt_err skip_line(struct reader *in, struct line *out)
{
	for (;;) {
		const uint8_t *lf = memchr(in->buf + in->at, '\n', in->end - in->at);
		size_t len = lf != NULL ? (size_t)(lf - (in->buf + in->at)) + 1 : in->end - in->at;
		enum kt_err err;

		in->at += len;
		in->offset += len;
		out->size += len;
		out->is_complete = lf != NULL;
		if (lf != NULL || in->is_at_eof)
			return KT_ERR_OK;
		err = fill(in);
		if (err != KT_ERR_OK)
			return err;
	}
}

/* The next line, valid until the next call. KT_ERR_NOT_FOUND at the end. */
static enum kt_err next_line(struct reader *in, struct line *out)
{
	memset(out, 0, sizeof(*out));
	for (;;) {
		size_t len = in->end - in->at;
		const uint8_t *lf = memchr(in->buf + in->at, '\n', len);
		enum kt_err err;

		if (lf == NULL && len <= LEDGER_LINE_MAX && !in->is_at_eof) {
			err = fill(in);
			if (err != KT_ERR_OK)
				return err;
			continue;
		}
		if (len == 0)
			return KT_ERR_NOT_FOUND;
		out->p = in->buf + in->at;
		out->len = lf != NULL ? (size_t)(lf - out->p) : len;
		out->has_hole = has_hole(out->p, out->len, in->offset);
		if (out->len > LEDGER_LINE_MAX) {
			out->is_too_long = true;
			return skip_line(in, out);
		}
		out->is_complete = lf != NULL;
		out->size = out->len + (lf != NULL ? 1 : 0);
		in->at += (size_t)out->size;
		in->offset += out->size;
		return KT_ERR_OK;
	}
}

/* --- the chain -------------------------------------------------------------------------------- */

/* Does the line bear the hash of its own body? */
static bool is_self_verified(const struct line *line, uint8_t hash[static HASH_LEN])
{
	uint8_t body_hash[HASH_LEN];

	if (!line->is_complete || line->is_too_long || line->len <= BODY_AT ||
	    line->p[HASH_HEX] != ' ' ||
	    kt_hex_decode((const char *)line->p, HASH_HEX, hash, HASH_LEN) != KT_ERR_OK)
		return false;
	kt_sha256(line->p + BODY_AT, line->len - BODY_AT, body_hash);
	return memcmp(hash, body_hash, HASH_LEN) == 0;
}

/* A line with its right hash is the next record, or the ledger was altered. */
static enum kt_err take_line(const struct line *line, const uint8_t hash[static HASH_LEN],
			     struct kt_ledger_state *state, kt_ledger_visit *each, void *arg)
{
	struct kt_record record;
	uint8_t prev[HASH_LEN];
	enum kt_err err = kt_record_decode((const char *)line->p + BODY_AT, line->len - BODY_AT,
					   &record, prev);

	if (err == KT_ERR_INVALID) {
		state->fault = "its text is no record";
		return KT_ERR_CORRUPT;
	}
	if (err != KT_ERR_OK)
		return err;
	if (record.seq != state->seq + 1)
		state->fault = wrong_number;
	else if (memcmp(prev, state->head, HASH_LEN) != 0)
		state->fault = "it was made for another record before it";
	if (state->fault != NULL)
		err = KT_ERR_CORRUPT;
	else if (each != NULL)
		err = each(arg, &record, hash);
	if (err == KT_ERR_CORRUPT && state->fault == NULL)
		state->fault = "it does not fit the records before it";
	if (err == KT_ERR_OK) {
		state->seq = record.seq;
		state->time_us = record.time_us;
		memcpy(state->head, hash, HASH_LEN);
		state->size_bytes += line->size;
	}
	kt_record_clear(&record);
	return err;
}

/*
 * Does a whole line stand at the end of this one? Then the LF between the two was damaged. A body
 * begins with '{'.
 */
static bool bears_line(const struct line *line)
{
	struct line inner = *line;
	uint8_t hash[HASH_LEN];

	for (size_t at = 1; !line->is_too_long && at + BODY_AT < line->len; at++) {
		if (line->p[at + HASH_HEX] != ' ' || line->p[at + BODY_AT] != '{')
			continue;
		inner.p = line->p + at;
		inner.len = line->len - at;
		if (is_self_verified(&inner, hash))
			return true;
	}
	return false;
}

/*
 * All that follows the first bad line must be debris of one write that was never acknowledged. Only
 * where that write has a hole may whole lines follow, and no more of them than one write can hold.
 */
static enum kt_err scan_tail(struct reader *in, const struct line *bad,
			     struct kt_ledger_state *state)
{
	struct line line;
	uint8_t hash[HASH_LEN];
	bool has_whole_lines = bears_line(bad);
	bool is_one_write = bad->has_hole;
	enum kt_err err;

	state->cut_bytes = bad->size;
	for (;;) {
		err = next_line(in, &line);
		if (err == KT_ERR_NOT_FOUND)
			break;
		if (err != KT_ERR_OK)
			return err;
		has_whole_lines =
			has_whole_lines || is_self_verified(&line, hash) || bears_line(&line);
		state->cut_bytes += line.size;
		is_one_write = is_one_write && state->cut_bytes <= GROUP_MAX;
	}
	if (!has_whole_lines || is_one_write)
		return KT_ERR_OK;
	state->fault = "its hash is not that of its text";
	return KT_ERR_CORRUPT;
}

/*
 * A record came in place of the next one. Is that one gone, or further behind? Out of memory, or an
 * error of the disk: then it is not told.
 */
static const char *fault_of_order(struct reader *in, uint64_t expected)
{
	struct line line;
	struct kt_record record;
	uint8_t hash[HASH_LEN];
	uint8_t prev[HASH_LEN];
	enum kt_err err;
	bool is_it;

	while ((err = next_line(in, &line)) == KT_ERR_OK) {
		if (!is_self_verified(&line, hash))
			continue;
		err = kt_record_decode((const char *)line.p + BODY_AT, line.len - BODY_AT, &record,
				       prev);
		if (err == KT_ERR_NOMEM)
			break;
		is_it = err == KT_ERR_OK && record.seq == expected;
		if (err == KT_ERR_OK)
			kt_record_clear(&record);
		if (is_it)
			return "its number is not the next one, which stands further behind: "
			       "records were put in another order";
	}
	return err == KT_ERR_NOT_FOUND ? "its number is not the next one, which is nowhere: a "
					 "record was removed, or one was put in"
				       : wrong_number;
}

static enum kt_err scan_lines(struct reader *in, kt_ledger_visit *each, void *arg,
			      struct kt_ledger_state *state, uint64_t *bad_line)
{
	struct line line;
	uint8_t hash[HASH_LEN];
	enum kt_err err;

	for (uint64_t number = 1;; number++) {
		err = next_line(in, &line);
		if (err == KT_ERR_NOT_FOUND)
			return KT_ERR_OK;
		if (err != KT_ERR_OK)
			return err;
		if (is_self_verified(&line, hash))
			err = take_line(&line, hash, state, each, arg);
		else
			err = scan_tail(in, &line, state);
		if (err == KT_ERR_CORRUPT)
			*bad_line = number;
		if (err == KT_ERR_CORRUPT && state->fault == wrong_number)
			state->fault = fault_of_order(in, state->seq + 1);
		if (err != KT_ERR_OK || state->cut_bytes > 0)
			return err;
	}
}

enum kt_err kt_ledger_scan_file(const struct kt_fs *fs, const char *path, kt_ledger_visit *each,
				void *arg, struct kt_ledger_state *out, uint64_t *bad_line)
{
	struct reader in = {.fs = fs, .fd = -1};
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	*bad_line = 0;
	in.fd = fs->open(fs->ctx, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (in.fd < 0)
		return errno == ENOENT ? KT_ERR_NOT_FOUND : KT_ERR_SYS;
	/*
	 * What a failed sync of an earlier process lost may still be read from the cache, and no
	 * later sync writes it: a record must not count as durable on the strength of that.
	 */
	(void)fs->drop_cache(fs->ctx, in.fd);
	in.buf = malloc(LEDGER_LINE_MAX + 1 + BLOCK);
	if (in.buf == NULL) {
		err = KT_ERR_NOMEM;
		goto out;
	}
	err = scan_lines(&in, each, arg, out, bad_line);
out:
	free(in.buf);
	close_quietly(fs, in.fd);
	return err;
}

enum kt_err kt_ledger_scan(const struct kt_fs *fs, const char *dir, kt_ledger_visit *each,
			   void *arg, struct kt_ledger_state *out, uint64_t *bad_line)
{
	struct path path;
	enum kt_err err = ledger_path(&path, dir);

	memset(out, 0, sizeof(*out));
	*bad_line = 0;
	if (err != KT_ERR_OK)
		return err;
	return kt_ledger_scan_file(fs, path.s, each, arg, out, bad_line);
}

/* --- appending -------------------------------------------------------------------------------- */

struct kt_ledger {
	const struct kt_fs *fs;
	int fd;
	bool has_failed;
	struct kt_ledger_state state;
};

/* The tail goes, and file and name are on disk, before anything is appended. */
static enum kt_err settle_file(const struct kt_fs *fs, int fd, const char *dir,
			       const struct kt_ledger_state *state)
{
	struct stat st;

	if (fs->fstat(fs->ctx, fd, &st) != 0)
		return KT_ERR_SYS;
	if ((uint64_t)st.st_size != state->size_bytes + state->cut_bytes)
		return KT_ERR_STATE;
	if (state->cut_bytes > 0 && fs->ftruncate(fs->ctx, fd, (off_t)state->size_bytes) != 0)
		return KT_ERR_SYS;
	if (fs->fsync(fs->ctx, fd) != 0)
		return KT_ERR_SYS;
	return kt_dir_sync(fs, dir);
}

enum kt_err kt_ledger_open(const struct kt_fs *fs, const char *dir,
			   const struct kt_ledger_state *state, struct kt_ledger **out)
{
	struct kt_ledger *ledger = NULL;
	struct path path;
	enum kt_err err;

	*out = NULL;
	err = ledger_path(&path, dir);
	if (err == KT_ERR_OK)
		err = kt_dir_make(fs, dir,
				  (struct kt_file_mode){.mode = S_IRWXU, .gid = (gid_t)-1});
	if (err != KT_ERR_OK)
		return err;
	ledger = calloc(1, sizeof(*ledger));
	if (ledger == NULL)
		return KT_ERR_NOMEM;
	ledger->fs = fs;
	ledger->state = *state;
	ledger->fd =
		fs->open(fs->ctx, path.s, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			 S_IRUSR | S_IWUSR);
	err = ledger->fd < 0 ? KT_ERR_SYS : settle_file(fs, ledger->fd, dir, state);
	if (err != KT_ERR_OK)
		goto out;
	ledger->state.cut_bytes = 0;
	*out = ledger;
	ledger = NULL; /* moved */
out:
	kt_ledger_close(ledger);
	return err;
}

void kt_ledger_close(struct kt_ledger *ledger)
{
	if (ledger == NULL)
		return;
	close_quietly(ledger->fs, ledger->fd);
	free(ledger);
}

struct text { /* lines on their way to the disk */
	char *p;
	size_t len;
	size_t cap;
};

static enum kt_err text_reserve(struct text *text, size_t extra)
{
	size_t cap = text->cap == 0 ? BLOCK : text->cap;
	char *p;

	while (cap - text->len < extra)
		cap *= 2;
	if (cap == text->cap)
		return KT_ERR_OK;
	p = realloc(text->p, cap);
	if (p == NULL)
		return KT_ERR_NOMEM;
	text->p = p;
	text->cap = cap;
	return KT_ERR_OK;
}

static enum kt_err add_line(struct text *text, const struct kt_record *record,
			    struct kt_ledger_state *state)
{
	uint8_t hash[HASH_LEN];
	char *body = NULL;
	size_t body_len = 0;
	size_t line_len;
	enum kt_err err;

	if (record->seq != state->seq + 1)
		return KT_ERR_STATE;
	err = kt_record_encode(record, state->head, &body, &body_len);
	if (err != KT_ERR_OK)
		return err;
	line_len = BODY_AT + body_len + 1;
	err = text_reserve(text, line_len);
	if (err != KT_ERR_OK)
		goto out;
	kt_sha256(body, body_len, hash);
	err = kt_hex_encode(hash, HASH_LEN, text->p + text->len, text->cap - text->len);
	if (err != KT_ERR_OK)
		goto out;
	text->p[text->len + HASH_HEX] = ' ';
	memcpy(text->p + text->len + BODY_AT, body, body_len);
	text->p[text->len + BODY_AT + body_len] = '\n';
	text->len += line_len;
	state->seq = record->seq;
	state->time_us = record->time_us;
	state->size_bytes += line_len;
	memcpy(state->head, hash, HASH_LEN);
out:
	free(body);
	return err;
}

/* What stands in @text becomes durable, or the ledger is failed for good. */
static enum kt_err commit(struct kt_ledger *ledger, struct text *text,
			  const struct kt_ledger_state *next)
{
	const struct kt_bytes bytes = {(const uint8_t *)text->p, text->len};
	enum kt_err err = kt_write_all(ledger->fs, ledger->fd, bytes);

	text->len = 0;
	/* Never tried again: after a failure the kernel may have dropped the pages and forgotten.
	 */
	if (err == KT_ERR_OK && ledger->fs->fdatasync(ledger->fs->ctx, ledger->fd) != 0)
		err = KT_ERR_SYS;
	if (err == KT_ERR_OK)
		ledger->state = *next;
	else
		ledger->has_failed = true;
	return err;
}

enum kt_err kt_ledger_append(struct kt_ledger *ledger, const struct kt_record *const *records,
			     size_t count, struct kt_ledger_state *state)
{
	struct kt_ledger_state next = ledger->state;
	struct text text = {0};
	enum kt_err err = ledger->has_failed ? KT_ERR_STATE : KT_ERR_OK;
	int saved;

	for (size_t i = 0; err == KT_ERR_OK && i < count; i++) {
		err = add_line(&text, records[i], &next);
		if (err == KT_ERR_OK &&
		    (i + 1 == count || text.len > GROUP_MAX - LEDGER_LINE_MAX - 1))
			err = commit(ledger, &text, &next);
	}
	*state = ledger->state;
	saved = errno;
	free(text.p);
	errno = saved;
	return err;
}
