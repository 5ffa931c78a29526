#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encoding.h"
#include "index.h"
#include "registry.h"
#include "restore_plan.h"

enum { WHY_CAP = 512, HASH_LEN = 32, KEPT_MAX = 1000 };

struct path {
	char s[KT_RESTORE_PATH_MAX];
};

struct witness {		      /* what else knows records of this ledger */
	struct kt_registry *registry; /* owned */
	uint64_t seq;
	uint8_t head[HASH_LEN];
	bool is_contained; /* the ledger has its last record */
};

struct restore {
	const struct kt_restore_request *req;
	struct kt_restore_report *report;
	char *why;
	struct path source;  /* the ledger to be accepted */
	struct path present; /* the ledger's place */
	struct kt_registry *registry;
	struct kt_index *index;
	struct witness index_witness;
	struct witness present_witness;
	struct kt_restore_plan plan;
};

__attribute__((format(printf, 3, 4))) static enum kt_err
refuse(const struct restore *r, enum kt_err err, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(r->why, WHY_CAP, format, args);
	va_end(args);
	errno = saved;
	return err;
}

static enum kt_err refuse_err(const struct restore *r, enum kt_err err, const char *what,
			      const char *path)
{
	char buf[KT_ERR_CAUSE_MAX];

	return refuse(r, err, "%s %s: %s", what, path, kt_err_cause(err, errno, buf));
}

static bool join(char out[static KT_RESTORE_PATH_MAX], const char *a, const char *b)
{
	const size_t a_len = strlen(a);
	const size_t b_len = strlen(b);

	if (a_len >= KT_RESTORE_PATH_MAX || b_len >= KT_RESTORE_PATH_MAX - a_len)
		return false;
	memcpy(out, a, a_len);
	memcpy(out + a_len, b, b_len);
	out[a_len + b_len] = '\0';
	return true;
}

static bool make_path(struct path *out, const char *dir, const char *name)
{
	return join(out->s, dir, name);
}

/* --- looking -----------------------------------------------------------------------------------
 */

static enum kt_err refuse_bad(const struct restore *r, const char *path, enum kt_err err,
			      uint64_t bad_line, const struct kt_ledger_state *state)
{
	if (err == KT_ERR_CORRUPT)
		return refuse(r, err, "line %" PRIu64 " of %s does not verify: %s", bad_line, path,
			      state->fault != NULL ? state->fault : "?");
	return refuse_err(r, err, "cannot read", path);
}

/* Only the chain: enough to know which ledger it is. */
static enum kt_err look_at_source(struct restore *r)
{
	struct kt_ledger_state *base = &r->report->base;
	uint64_t bad_line = 0;
	enum kt_err err = kt_ledger_scan_file(r->req->fs, r->source.s, NULL, NULL, base, &bad_line);

	if (err == KT_ERR_NOT_FOUND && r->req->backup_dir == NULL) {
		memset(base, 0, sizeof(*base));
		return KT_ERR_OK; /* lost */
	}
	return err == KT_ERR_OK ? err : refuse_bad(r, r->source.s, err, bad_line, base);
}

static enum kt_err refuse_rollback(const struct restore *r, const char *what)
{
	char hex[KT_HEX_LEN(HASH_LEN) + 1];

	if (kt_hex_encode(r->report->base.head, HASH_LEN, hex, sizeof(hex)) != KT_ERR_OK)
		hex[0] = '\0';
	return refuse(r, KT_ERR_ROLLED_BACK,
		      "%s; if what is newer is lost for good, say so with --accept-rollback %s",
		      what, r->report->base.seq == 0 ? "lost" : hex);
}

static enum kt_err check_head(const struct restore *r)
{
	if (!r->req->is_accepted)
		return KT_ERR_OK;
	if (memcmp(r->req->head, r->report->base.head, HASH_LEN) != 0)
		return refuse_rollback(r, "that is not the head of the ledger that is there");
	return KT_ERR_OK;
}

/* A registry that stops where the ledger stops fitting. */
static enum kt_err fold(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct witness *w = arg;
	enum kt_err err = kt_registry_apply(w->registry, record);

	if (err != KT_ERR_OK)
		return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
	w->seq = record->seq;
	memcpy(w->head, hash, HASH_LEN);
	return KT_ERR_OK;
}

/* The ledger that is to be replaced, as far as it is good. */
static enum kt_err look_at_present(struct restore *r)
{
	struct kt_ledger_state state = {0};
	uint64_t bad_line = 0;
	enum kt_err err;

	if (r->req->backup_dir == NULL)
		return KT_ERR_OK;
	err = kt_registry_new(&r->present_witness.registry);
	if (err == KT_ERR_OK)
		err = kt_ledger_scan_file(r->req->fs, r->present.s, fold, &r->present_witness,
					  &state, &bad_line);
	if (err == KT_ERR_NOT_FOUND)
		return KT_ERR_OK;
	r->report->is_present_bad = err == KT_ERR_CORRUPT;
	if (err != KT_ERR_OK && err != KT_ERR_CORRUPT)
		return refuse_bad(r, r->present.s, err, bad_line, &state);
	r->report->has_present = true;
	r->report->present_seq = r->present_witness.seq;
	return KT_ERR_OK;
}

static enum kt_err load_index(struct restore *r, const char *path)
{
	struct witness *w = &r->index_witness;
	enum kt_err err = kt_registry_new(&w->registry);

	if (err == KT_ERR_OK)
		err = kt_index_open(r->req->fs, path, &r->index);
	if (err == KT_ERR_OK)
		err = kt_index_head(r->index, &w->seq, w->head);
	if (err == KT_ERR_OK && w->seq > 0)
		err = kt_index_load(r->index, w->registry);
	return err;
}

/* Of a damaged one no row is believed, but how far it knew, if that can be read. */
static enum kt_err take_as_witness(struct restore *r, const char *path)
{
	struct witness *w = &r->index_witness;
	enum kt_err err;

	r->report->is_index_damaged = true;
	kt_index_close(r->index);
	r->index = NULL;
	kt_registry_free(w->registry);
	w->registry = NULL;
	err = kt_index_peek(path, &w->seq, w->head);
	return err == KT_ERR_CORRUPT ? KT_ERR_OK : err;
}

static enum kt_err look_at_index(struct restore *r)
{
	struct path path;
	struct stat st;
	enum kt_err err;

	if (!make_path(&path, r->req->state_dir, "/index.sqlite"))
		return refuse(r, KT_ERR_TOO_LONG, "state_dir is too long");
	if (r->req->fs->lstat(r->req->fs->ctx, path.s, &st) != 0)
		return errno == ENOENT ? KT_ERR_OK
				       : refuse_err(r, KT_ERR_SYS, "cannot look at", path.s);
	err = load_index(r, path.s);
	r->report->has_index = err == KT_ERR_OK;
	if (err == KT_ERR_CORRUPT)
		err = take_as_witness(r, path.s);
	if (err != KT_ERR_OK)
		return refuse_err(r, err, "cannot read the index", path.s);
	r->report->index_seq = r->index_witness.seq;
	return KT_ERR_OK;
}

static void look_for(struct witness *w, const struct kt_record *record, const uint8_t *hash)
{
	if (record->seq == w->seq && memcmp(hash, w->head, HASH_LEN) == 0)
		w->is_contained = true;
}

static enum kt_err take_base(void *arg, const struct kt_record *record,
			     const uint8_t hash[static 32])
{
	struct restore *r = arg;
	enum kt_err err = kt_registry_apply(r->registry, record);

	look_for(&r->index_witness, record, hash);
	look_for(&r->present_witness, record, hash);
	return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
}

/* The second reading: what it says, and whether it has what the others know. */
static enum kt_err read_base(struct restore *r)
{
	struct kt_restore_report *report = r->report;
	struct kt_ledger_state state = {0};
	uint64_t bad_line = 0;
	enum kt_err err = kt_registry_new(&r->registry);

	if (err == KT_ERR_OK && report->base.seq > 0) {
		err = kt_ledger_scan_file(r->req->fs, r->source.s, take_base, r, &state, &bad_line);
		if (err != KT_ERR_OK)
			return refuse_bad(r, r->source.s, err, bad_line, &state);
	}
	report->is_index_ahead = r->index_witness.seq > 0 && !r->index_witness.is_contained;
	report->is_present_ahead = r->present_witness.seq > 0 && !r->present_witness.is_contained;
	return err;
}

static bool is_of(const struct kt_registry *registry, const char *trust_domain)
{
	return registry == NULL || kt_registry_seq(registry) == 0 ||
	       strcmp(kt_registry_trust_domain(registry), trust_domain) == 0;
}

static enum kt_err check_trust_domain(const struct restore *r)
{
	const char *ours = r->req->trust_domain;

	if (is_of(r->registry, ours) && is_of(r->index_witness.registry, ours) &&
	    is_of(r->present_witness.registry, ours))
		return KT_ERR_OK;
	return refuse(r, KT_ERR_STATE,
		      "ledger, index and configuration are not of one trust domain (%s)", ours);
}

/* A ledger that broke in the middle may have had any number of records more. */
static enum kt_err check_rollback(const struct restore *r)
{
	const struct kt_restore_report *report = r->report;

	if (r->req->is_accepted)
		return KT_ERR_OK;
	if (report->is_index_ahead)
		return refuse_rollback(r, "the index knows records that this ledger does not have");
	if (report->is_present_ahead)
		return refuse_rollback(r, "the present ledger has records that this one does not "
					  "have");
	if (report->is_present_bad)
		return refuse_rollback(r, "the present ledger is damaged, and what it had behind "
					  "the damage is not known");
	return KT_ERR_OK;
}

/* --- planning ----------------------------------------------------------------------------------
 */

static enum kt_err plan_begin(struct restore *r)
{
	struct kt_record record;
	size_t len = strlen(r->req->trust_domain);

	if (r->report->base.seq > 0)
		return KT_ERR_OK;
	if (len > KT_TRUST_DOMAIN_MAX)
		return KT_ERR_INVALID;
	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_LEDGER_BEGIN;
	memcpy(record.trust_domain, r->req->trust_domain, len + 1);
	return kt_restore_plan_add(&r->plan, &record);
}

static enum kt_err plan_restore(struct restore *r)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = KT_RECORD_RESTORE;
	record.index_seq = r->report->index_seq;
	memcpy(record.head, r->report->base.head, HASH_LEN);
	if (r->req->note != NULL)
		(void)snprintf(record.note, sizeof(record.note), "%s", r->req->note);
	return kt_restore_plan_add(&r->plan, &record);
}

/* ledger.restore ends them all: who was removed in records that nobody has is not known. */
static uint64_t count_operators(const struct kt_registry *registry)
{
	const struct kt_operator_entry *entry;
	uint64_t count = 0;
	size_t cursor = 0;

	while ((entry = kt_registry_next_operator(registry, &cursor)) != NULL)
		count += entry->is_removed ? 0 : 1;
	return count;
}

static enum kt_err plan_all(struct restore *r)
{
	enum kt_err err = KT_ERR_OK;

	r->plan = (struct kt_restore_plan){.registry = r->registry,
					   .now_us = r->req->now_us,
					   .actor = r->req->actor,
					   .found = &r->report->found};
	if (!r->req->is_accepted)
		return KT_ERR_OK;
	r->report->found.operators = count_operators(r->registry);
	err = plan_begin(r);
	if (err == KT_ERR_OK)
		err = plan_restore(r);
	if (err == KT_ERR_OK && r->report->is_present_ahead)
		err = kt_restore_plan_known(&r->plan, r->present_witness.registry);
	if (err == KT_ERR_OK && r->report->is_index_ahead && !r->report->is_index_damaged)
		err = kt_restore_plan_known(&r->plan, r->index_witness.registry);
	return err == KT_ERR_OK ? err : refuse(r, err, "cannot plan it: %s", kt_err_text(err));
}

/* --- doing -------------------------------------------------------------------------------------
 */

/* The plan, behind the ledger in @dir that ends as @state says. */
static enum kt_err append_plan(struct restore *r, const char *dir,
			       const struct kt_ledger_state *state)
{
	const struct kt_record **list = calloc(r->plan.count + 1, sizeof(*list));
	struct kt_ledger *ledger = NULL;
	enum kt_err err =
		list == NULL ? KT_ERR_NOMEM : kt_ledger_open(r->req->fs, dir, state, &ledger);

	for (size_t i = 0; err == KT_ERR_OK && i < r->plan.count; i++)
		list[i] = &r->plan.records[i];
	r->report->state = *state;
	r->report->state.cut_bytes = 0;
	if (err == KT_ERR_OK)
		err = kt_ledger_append(ledger, list, r->plan.count, &r->report->state);
	kt_ledger_close(ledger);
	free(list);
	return err == KT_ERR_OK ? err : refuse_err(r, err, "cannot write the ledger in", dir);
}

/* Run by root, the broker's user must be able to open it. */
static enum kt_err give_away(const struct restore *r, const char *path)
{
	const struct kt_fs *fs = r->req->fs;
	struct stat dir;
	struct stat st;
	enum kt_err err = KT_ERR_SYS;
	int fd;

	if (fs->lstat(fs->ctx, r->req->ledger_dir, &dir) != 0)
		return KT_ERR_SYS;
	fd = fs->open(fs->ctx, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return KT_ERR_SYS;
	if (fs->fstat(fs->ctx, fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    ((st.st_uid == dir.st_uid && st.st_gid == dir.st_gid) ||
	     (fs->fchown(fs->ctx, fd, dir.st_uid, dir.st_gid) == 0 && fs->fsync(fs->ctx, fd) == 0)))
		err = KT_ERR_OK;
	(void)fs->close(fs->ctx, fd); /* was only read */
	return err;
}

/* A name beside the ledger that nobody has. */
static enum kt_err free_name(const struct restore *r, char out[static KT_RESTORE_PATH_MAX])
{
	const struct kt_fs *fs = r->req->fs;
	struct stat st;

	for (int i = 1; i <= KEPT_MAX; i++) {
		char suffix[32];

		(void)snprintf(suffix, sizeof(suffix), ".before-restore-%d", i);
		if (!join(out, r->present.s, suffix))
			return KT_ERR_TOO_LONG;
		if (fs->lstat(fs->ctx, out, &st) != 0)
			return errno == ENOENT ? KT_ERR_OK : KT_ERR_SYS;
	}
	return KT_ERR_EXISTS;
}

/* A copy: the ledger's own name always holds a whole ledger, the earlier or the new one. */
static enum kt_err keep_present(struct restore *r)
{
	const struct kt_fs *fs = r->req->fs;
	struct stat st;
	enum kt_err err;

	r->report->kept[0] = '\0';
	if (fs->lstat(fs->ctx, r->present.s, &st) != 0)
		return errno == ENOENT ? KT_ERR_OK : KT_ERR_SYS;
	if (st.st_size == 0)
		return KT_ERR_OK;
	err = free_name(r, r->report->kept);
	if (err == KT_ERR_OK)
		err = kt_ledger_copy(fs, r->present.s, r->report->kept, (uint64_t)st.st_size);
	if (err == KT_ERR_OK)
		err = give_away(r, r->report->kept);
	return err == KT_ERR_OK ? kt_dir_sync(fs, r->req->ledger_dir) : err;
}

static enum kt_err copy_base(struct restore *r, const char *to)
{
	struct kt_ledger_state state = {0};
	uint64_t bad_line = 0;
	enum kt_err err = kt_ledger_copy(r->req->fs, r->source.s, to, r->report->base.size_bytes);

	if (err == KT_ERR_OK)
		err = kt_ledger_scan_file(r->req->fs, to, NULL, NULL, &state, &bad_line);
	if (err == KT_ERR_OK && memcmp(state.head, r->report->base.head, HASH_LEN) != 0)
		err = KT_ERR_STATE;
	return err;
}

/* A whole new ledger, made aside and put in its place by one rename. */
static enum kt_err replace_ledger(struct restore *r)
{
	const struct kt_fs *fs = r->req->fs;
	struct kt_ledger_state from = r->report->base;
	struct path aside;
	struct path made;
	enum kt_err err = KT_ERR_TOO_LONG;

	from.cut_bytes = 0;
	if (!make_path(&aside, r->req->ledger_dir, "/restore.tmp") ||
	    !make_path(&made, aside.s, "/ledger.kt"))
		goto out;
	err = kt_dir_remove(fs, aside.s, NULL); /* of an interrupted one */
	if (err == KT_ERR_OK)
		err = kt_dir_make(fs, aside.s,
				  (struct kt_file_mode){.mode = S_IRWXU, .gid = (gid_t)-1});
	if (err == KT_ERR_OK && from.seq > 0)
		err = copy_base(r, made.s);
	if (err != KT_ERR_OK)
		goto out;
	err = append_plan(r, aside.s, &from);
	if (err != KT_ERR_OK)
		return err; /* why is set */
	err = give_away(r, made.s);
	if (err == KT_ERR_OK)
		err = keep_present(r);
	if (err == KT_ERR_OK)
		err = kt_path_publish(fs, made.s, r->present.s);
	if (err == KT_ERR_OK)
		(void)fs->rmdir(fs->ctx, aside.s); /* empty: harmless if it stays */
out:
	return err == KT_ERR_OK ? err
				: refuse_err(r, err, "cannot make a ledger in", r->req->ledger_dir);
}

/*
 * The last step, and one transaction (a damaged one is deleted): as long as the index knows another
 * history, every start refuses.
 */
static enum kt_err forget_index(const struct restore *r)
{
	struct path path;
	enum kt_err err = KT_ERR_OK;

	if (!r->report->is_index_ahead)
		return KT_ERR_OK;
	if (r->index != NULL)
		err = kt_index_clear(r->index);
	else
		err = make_path(&path, r->req->state_dir, "/index.sqlite")
			      ? kt_index_remove(r->req->fs, path.s)
			      : KT_ERR_TOO_LONG;
	return err == KT_ERR_OK
		       ? err
		       : refuse(r, err,
				"the ledger is in place, but the index could not be emptied (%s): "
				"the broker will go on refusing; run this again with the head "
				"that the start shows",
				kt_err_text(err));
}

static enum kt_err do_it(struct restore *r)
{
	const bool is_in_place = r->req->backup_dir == NULL && r->report->base.seq > 0;
	enum kt_err err = is_in_place ? append_plan(r, r->req->ledger_dir, &r->report->base)
				      : replace_ledger(r);

	return err == KT_ERR_OK ? forget_index(r) : err;
}

static enum kt_err run(struct restore *r)
{
	const struct kt_restore_request *req = r->req;
	enum kt_err err = KT_ERR_OK;

	if (!make_path(&r->present, req->ledger_dir, "/ledger.kt") ||
	    !make_path(&r->source, req->backup_dir != NULL ? req->backup_dir : req->ledger_dir,
		       "/ledger.kt"))
		return refuse(r, KT_ERR_TOO_LONG, "a directory's name is too long");
	err = look_at_source(r);
	if (err == KT_ERR_OK)
		err = check_head(r);
	if (err == KT_ERR_OK)
		err = look_at_present(r);
	if (err == KT_ERR_OK)
		err = look_at_index(r);
	if (err == KT_ERR_OK)
		err = read_base(r);
	if (err == KT_ERR_OK)
		err = check_trust_domain(r);
	if (err == KT_ERR_OK)
		err = check_rollback(r);
	if (err == KT_ERR_OK)
		err = plan_all(r);
	return err == KT_ERR_OK ? do_it(r) : err;
}

enum kt_err kt_restore(const struct kt_restore_request *request, struct kt_restore_report *report,
		       char why[static 512])
{
	struct restore r = {.req = request, .report = report, .why = why};
	enum kt_err err;

	memset(report, 0, sizeof(*report));
	why[0] = '\0';
	err = run(&r);
	/* cppcheck-suppress knownConditionTrueFalse ; what run() calls writes to it through r.why
	 */
	if (err != KT_ERR_OK && why[0] == '\0')
		(void)snprintf(why, WHY_CAP, "%s", kt_err_text(err));
	kt_restore_plan_clear(&r.plan);
	kt_index_close(r.index);
	kt_registry_free(r.registry);
	kt_registry_free(r.index_witness.registry);
	kt_registry_free(r.present_witness.registry);
	return err;
}
