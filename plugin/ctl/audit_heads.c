/* Signed heads against a ledger: is what was signed once still there? */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "config.h"
#include "crypto.h"
#include "durable_file.h"
#include "encoding.h"
#include "head.h"
#include "places.h"
#include "print.h"

enum { FILE_MAX_LEN = 1 << 26, ROOT_MAX = 65536, FIRST_ROOM = 64, TOLD_MAX = 20 };

struct entry {
	const char *file; /* borrowed from argv */
	size_t line;
	struct kt_head head;
	enum kt_err err; /* kt_head_open's */
	bool is_there;	 /* the ledger has a record of that number */
	uint8_t hash[32];
	/* the newest record up to there that says that an operator accepted an older ledger */
	uint64_t restore_seq;
	int64_t restore_us;
};

struct kt_audit_heads {
	struct entry *entries;
	size_t count;
	size_t room;
	size_t next; /* the first that the walk has not come to */
	uint8_t *root_storage;
	struct kt_bytes root;
	char root_path[KT_AUDIT_PATH_MAX];
	uint64_t restore_seq;
	int64_t restore_us;
	const struct kt_head *newest;
};

const char *kt_head_verdict_name(enum kt_head_verdict verdict)
{
	static const char *const names[] = {[KT_HEAD_HOLDS] = "holds",
					    [KT_HEAD_FOREIGN] = "foreign",
					    [KT_HEAD_FORGED] = "forged",
					    [KT_HEAD_TRUNCATED] = "truncated",
					    [KT_HEAD_REWRITTEN] = "rewritten"};

	return names[verdict];
}

/* --- reading --- */

static enum kt_ctl_exit fail(const struct kt_ctl *ctl, const char *path, enum kt_err err)
{
	char buf[KT_ERR_CAUSE_MAX];

	kt_print(ctl->env->err, "keyturnctl: %s: %s", path, kt_err_cause(err, errno, buf));
	return KT_CTL_EXIT_LOCAL;
}

static bool root_path(const struct kt_ctl *ctl, char out[static KT_AUDIT_PATH_MAX])
{
	const char *given = ctl->args->values[KT_CTL_ROOT];
	struct kt_config *config;
	int len;

	if (given != NULL) {
		len = snprintf(out, KT_AUDIT_PATH_MAX, "%s", given);
	} else {
		config = kt_ctl_config(ctl);
		if (config == NULL)
			return false;
		len = snprintf(out, KT_AUDIT_PATH_MAX, "%s", config->root_cert);
		kt_config_free(config);
	}
	if (len > 0 && len < KT_AUDIT_PATH_MAX)
		return true;
	kt_print(ctl->env->err, "keyturnctl: --root: the name is too long");
	return false;
}

static enum kt_ctl_exit read_root(const struct kt_ctl *ctl, struct kt_audit_heads *heads)
{
	struct kt_secret *file = NULL;
	struct kt_bytes pem;
	size_t count = 0;
	enum kt_err err;

	if (!root_path(ctl, heads->root_path))
		return KT_CTL_EXIT_LOCAL;
	err = kt_file_read(kt_fs_posix(), heads->root_path, ROOT_MAX, &file);
	if (err != KT_ERR_OK)
		return fail(ctl, heads->root_path, err);
	pem = kt_secret_view(file);
	err = kt_pem_certs(pem.p, pem.len, &heads->root, 1, &count, &heads->root_storage);
	kt_secret_free(file);
	if (err == KT_ERR_OK)
		return KT_CTL_EXIT_OK;
	kt_print(ctl->env->err, "keyturnctl: %s: must hold exactly one certificate in PEM: %s",
		 heads->root_path, kt_err_text(err));
	return KT_CTL_EXIT_LOCAL;
}

static struct entry *new_entry(struct kt_audit_heads *heads)
{
	if (heads->count == heads->room) {
		const size_t room = heads->room == 0 ? FIRST_ROOM : heads->room * 2;
		struct entry *grown = realloc(heads->entries, room * sizeof(*grown));

		if (grown == NULL)
			return NULL;
		heads->entries = grown;
		heads->room = room;
	}
	memset(&heads->entries[heads->count], 0, sizeof(*heads->entries));
	return &heads->entries[heads->count++];
}

/* Only a whole line counts; one that lacks its end may be what a power cut has left. */
static enum kt_err take_line(struct kt_audit_heads *heads, struct kt_bytes line, size_t number,
			     const char *file, bool is_whole)
{
	struct entry *entry = new_entry(heads);
	uint32_t controller_n;

	if (entry == NULL)
		return KT_ERR_NOMEM;
	entry->file = file;
	entry->line = number;
	entry->err = kt_head_open(line, heads->root, &entry->head, &controller_n);
	if (!is_whole && entry->err == KT_ERR_INVALID)
		heads->count--;
	return entry->err == KT_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_OK;
}

static enum kt_err take_lines(struct kt_audit_heads *heads, struct kt_bytes text, const char *file)
{
	enum kt_err err = KT_ERR_OK;
	size_t at = 0;

	for (size_t number = 1; err == KT_ERR_OK && at < text.len; number++) {
		const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
		size_t len = end != NULL ? (size_t)(end - (text.p + at)) : text.len - at;
		const struct kt_bytes line = {text.p + at, len};

		at += len + 1;
		if (len > 0)
			err = take_line(heads, line, number, file, end != NULL);
	}
	return err;
}

static enum kt_ctl_exit read_heads(const struct kt_ctl *ctl, struct kt_audit_heads *heads,
				   const char *path)
{
	const size_t before = heads->count;
	struct kt_secret *file = NULL;
	enum kt_err err = kt_file_read(kt_fs_posix(), path, FILE_MAX_LEN, &file);

	if (err != KT_ERR_OK)
		return fail(ctl, path, err);
	err = take_lines(heads, kt_secret_view(file), path);
	kt_secret_free(file);
	if (err != KT_ERR_OK)
		return fail(ctl, path, err);
	if (heads->count > before)
		return KT_CTL_EXIT_OK;
	kt_print(ctl->env->err, "keyturnctl: %s: there is no signed head in it", path);
	return KT_CTL_EXIT_LOCAL;
}

static int by_seq(const void *a, const void *b)
{
	const uint64_t x = ((const struct entry *)a)->head.seq;
	const uint64_t y = ((const struct entry *)b)->head.seq;

	return x < y ? -1 : x > y;
}

enum kt_ctl_exit kt_audit_heads_load(const struct kt_ctl *ctl, struct kt_audit_heads **out)
{
	struct kt_audit_heads *heads = NULL;
	enum kt_ctl_exit code;

	*out = NULL;
	if (ctl->args->head_count == 0)
		return KT_CTL_EXIT_OK;
	heads = calloc(1, sizeof(*heads));
	if (heads == NULL)
		return fail(ctl, ctl->args->heads[0], KT_ERR_NOMEM);
	code = read_root(ctl, heads);
	for (size_t i = 0; code == KT_CTL_EXIT_OK && i < ctl->args->head_count; i++)
		code = read_heads(ctl, heads, ctl->args->heads[i]);
	if (code == KT_CTL_EXIT_OK) {
		qsort(heads->entries, heads->count, sizeof(*heads->entries), by_seq);
		*out = heads;
		heads = NULL; /* moved */
	}
	kt_audit_heads_free(heads);
	return code;
}

void kt_audit_heads_free(struct kt_audit_heads *heads)
{
	if (heads == NULL)
		return;
	free(heads->entries);
	free(heads->root_storage);
	free(heads);
}

/* --- walking --- */

void kt_audit_heads_note(struct kt_audit_heads *heads, const struct kt_record *record,
			 const uint8_t hash[static 32])
{
	if (record->kind == KT_RECORD_RESTORE) {
		heads->restore_seq = record->seq;
		heads->restore_us = record->time_us;
	}
	for (; heads->next < heads->count && heads->entries[heads->next].head.seq <= record->seq;
	     heads->next++) {
		struct entry *entry = &heads->entries[heads->next];

		entry->is_there = entry->head.seq == record->seq;
		memcpy(entry->hash, hash, sizeof(entry->hash));
		entry->restore_seq = heads->restore_seq;
		entry->restore_us = heads->restore_us;
	}
}

/* --- judging --- */

static enum kt_head_verdict verdict_of(const struct entry *entry, const char *trust_domain,
				       const struct kt_ledger_state *state)
{
	const bool is_head = entry->err == KT_ERR_OK || entry->err == KT_ERR_VERIFY;

	/* the domain first: a root of another one verifies nothing of ours */
	if (is_head && state->seq > 0 && strcmp(entry->head.trust_domain, trust_domain) != 0)
		return KT_HEAD_FOREIGN;
	if (entry->err != KT_ERR_OK)
		return KT_HEAD_FORGED;
	if (!entry->is_there)
		return KT_HEAD_TRUNCATED;
	return memcmp(entry->hash, entry->head.hash, sizeof(entry->hash)) == 0 ? KT_HEAD_HOLDS
									       : KT_HEAD_REWRITTEN;
}

static void tell_forged(const struct kt_ctl *ctl, const struct kt_audit_heads *heads,
			const struct entry *entry)
{
	if (entry->err == KT_ERR_VERIFY)
		kt_print(ctl->env->err,
			 "keyturnctl: %s, line %zu: forged: the head of record %" PRIu64
			 " is not signed by a controller of %s under %s",
			 entry->file, entry->line, entry->head.seq, entry->head.trust_domain,
			 heads->root_path);
	else
		kt_print(ctl->env->err, "keyturnctl: %s, line %zu: forged: it is no signed head%s",
			 entry->file, entry->line,
			 entry->err == KT_ERR_VERSION ? " of a version that is known here" : "");
}

static void tell_missing(const struct kt_ctl *ctl, const struct entry *entry,
			 enum kt_head_verdict verdict, const struct kt_ledger_state *state)
{
	char time[48];
	char signed_hash[65];
	char own_hash[65];

	kt_ctl_show_time(entry->head.time_us, time);
	if (verdict == KT_HEAD_TRUNCATED) {
		kt_print(ctl->env->err,
			 "keyturnctl: %s, line %zu: truncated: the signed head says that record "
			 "%" PRIu64 " existed on %s; the ledger ends at record %" PRIu64,
			 entry->file, entry->line, entry->head.seq, time, state->seq);
		return;
	}
	kt_ctl_show_head(entry->head.hash, signed_hash);
	kt_ctl_show_head(entry->hash, own_hash);
	kt_print(ctl->env->err,
		 "keyturnctl: %s, line %zu: rewritten: the signed head says that record %" PRIu64
		 " had the hash %s on %s; the ledger's has %s",
		 entry->file, entry->line, entry->head.seq, signed_hash, time, own_hash);
}

/* It explains the loss, if it is true: whoever forges a ledger can write it, too. */
static void tell_restore(const struct kt_ctl *ctl, uint64_t seq, int64_t time_us)
{
	char time[48];

	if (seq == 0)
		return;
	kt_ctl_show_time(time_us, time);
	kt_print(ctl->env->err,
		 "keyturnctl: record %" PRIu64 " says that an operator accepted an older ledger on "
		 "%s: if that is so, what was signed before is lost on purpose",
		 seq, time);
}

static void tell(const struct kt_ctl *ctl, const struct kt_audit_heads *heads,
		 const struct entry *entry, enum kt_head_verdict verdict, const char *trust_domain,
		 const struct kt_ledger_state *state)
{
	switch (verdict) {
	case KT_HEAD_HOLDS:
		break;
	case KT_HEAD_FOREIGN:
		kt_print(ctl->env->err,
			 "keyturnctl: %s, line %zu: foreign: the head is of trust domain %s, the "
			 "ledger of %s",
			 entry->file, entry->line, entry->head.trust_domain, trust_domain);
		break;
	case KT_HEAD_FORGED:
		tell_forged(ctl, heads, entry);
		break;
	case KT_HEAD_TRUNCATED:
	case KT_HEAD_REWRITTEN:
		tell_missing(ctl, entry, verdict, state);
		break;
	}
}

enum kt_head_verdict kt_audit_heads_judge(const struct kt_ctl *ctl, struct kt_audit_heads *heads,
					  const char *trust_domain,
					  const struct kt_ledger_state *state)
{
	enum kt_head_verdict worst = KT_HEAD_HOLDS;
	const struct entry *lost = NULL;
	size_t told = 0;

	for (size_t i = 0; i < heads->count; i++) {
		struct entry *entry = &heads->entries[i];
		const enum kt_head_verdict verdict = verdict_of(entry, trust_domain, state);

		if (i >= heads->next) {
			entry->restore_seq = heads->restore_seq;
			entry->restore_us = heads->restore_us;
		}
		if (verdict == KT_HEAD_HOLDS) {
			heads->newest = &entry->head;
			continue;
		}
		if (verdict >= KT_HEAD_TRUNCATED && entry->restore_us >= entry->head.time_us)
			lost = entry;
		worst = verdict > worst ? verdict : worst;
		if (++told <= TOLD_MAX)
			tell(ctl, heads, entry, verdict, trust_domain, state);
	}
	if (told > TOLD_MAX)
		kt_print(ctl->env->err, "keyturnctl: and %zu heads more that do not hold",
			 told - TOLD_MAX);
	if (lost != NULL)
		tell_restore(ctl, lost->restore_seq, lost->restore_us);
	return worst;
}

size_t kt_audit_heads_count(const struct kt_audit_heads *heads)
{
	return heads->count;
}

const struct kt_head *kt_audit_heads_newest(const struct kt_audit_heads *heads)
{
	return heads->newest;
}
