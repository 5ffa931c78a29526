/* Is a ledger whole, and all there that was signed once? Without changing a byte of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit.h"
#include "commands.h"
#include "head.h"
#include "json.h"
#include "places.h"
#include "print.h"
#include "registry.h"

struct walk {
	struct kt_registry *registry;
	struct kt_audit_heads *heads; /* NULL: none were given */
};

struct verdict {
	const struct kt_ledger_state *state;
	const struct kt_audit_heads *heads;
	enum kt_head_verdict of_heads;
};

/* As strict as the plugin's start: a record that does not fit those before it was not ours. */
static enum kt_err apply(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct walk *walk = arg;
	const enum kt_err err = kt_registry_apply(walk->registry, record);

	if (walk->heads != NULL)
		kt_audit_heads_note(walk->heads, record, hash);
	return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
}

static const char *word_of(const struct verdict *v)
{
	if (v->of_heads != KT_HEAD_HOLDS)
		return kt_head_verdict_name(v->of_heads);
	return v->state->cut_bytes > 0 ? "torn" : "whole";
}

static enum kt_ctl_exit exit_of(const struct verdict *v)
{
	switch (v->of_heads) {
	case KT_HEAD_HOLDS:
		return KT_CTL_EXIT_OK;
	case KT_HEAD_FOREIGN:
	case KT_HEAD_FORGED:
		return KT_CTL_EXIT_FORGED;
	case KT_HEAD_TRUNCATED:
	case KT_HEAD_REWRITTEN:
		return KT_CTL_EXIT_DISPROVED;
	}
	return KT_CTL_EXIT_LOCAL;
}

static void put_heads(struct kt_json_writer *w, const struct kt_audit_heads *heads)
{
	const struct kt_head *newest = kt_audit_heads_newest(heads);

	kt_json_put_u64(w, "heads", kt_audit_heads_count(heads));
	kt_json_put_u64(w, "signedUpTo", newest != NULL ? newest->seq : 0);
	kt_json_put_u64(w, "signedTime", newest != NULL ? (uint64_t)newest->time_us : 0);
}

static enum kt_ctl_exit report_json(const struct kt_ctl *ctl, const struct verdict *v)
{
	const struct kt_ledger_state *state = v->state;
	struct kt_json_writer *w = NULL;
	enum kt_err err = kt_json_writer_new(&w);
	char *text = NULL;
	size_t len;

	if (err == KT_ERR_OK) {
		kt_json_open_object(w, NULL);
		kt_json_put_string(w, "verdict", word_of(v));
		kt_json_put_u64(w, "records", state->seq);
		kt_json_put_hex(w, "head", state->head, sizeof(state->head));
		kt_json_put_u64(w, "time", (uint64_t)state->time_us);
		kt_json_put_u64(w, "bytes", state->size_bytes);
		kt_json_put_u64(w, "tornBytes", state->cut_bytes);
		if (v->heads != NULL)
			put_heads(w, v->heads);
		kt_json_close_object(w);
		err = kt_json_writer_take(w, &text, &len);
	}
	kt_json_writer_free(w);
	if (err != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(err));
		return KT_CTL_EXIT_LOCAL;
	}
	kt_print_json_text(ctl->env->out, text);
	free(text);
	return exit_of(v);
}

static void report_heads(FILE *out, const struct kt_audit_heads *heads)
{
	const struct kt_head *newest = kt_audit_heads_newest(heads);
	char time[48];
	char text[96];

	(void)snprintf(text, sizeof(text), "%zu", kt_audit_heads_count(heads));
	kt_print_pair(out, "signed heads", text);
	if (newest == NULL)
		return;
	kt_ctl_show_time(newest->time_us, time);
	(void)snprintf(text, sizeof(text), "record %" PRIu64 ", %s", newest->seq, time);
	kt_print_pair(out, "proven up to", text);
}

static enum kt_ctl_exit report(const struct kt_ctl *ctl, const struct verdict *v)
{
	const struct kt_ledger_state *state = v->state;
	char text[96];
	FILE *out = ctl->env->out;

	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return report_json(ctl, v);
	kt_print_pair(out, "verdict", word_of(v));
	(void)snprintf(text, sizeof(text), "%" PRIu64, state->seq);
	kt_print_pair(out, "records", text);
	kt_ctl_show_head(state->head, text);
	kt_print_pair(out, "head", text);
	kt_ctl_show_time(state->time_us, text);
	kt_print_pair(out, "last record", text);
	(void)snprintf(text, sizeof(text), "%" PRIu64, state->size_bytes);
	kt_print_pair(out, "bytes", text);
	if (v->heads != NULL)
		report_heads(out, v->heads);
	if (state->cut_bytes > 0) {
		kt_print(out,
			 "%" PRIu64 " bytes behind the last record are no record: a write that was "
			 "not finished, and was never acknowledged. The next start cuts them off",
			 state->cut_bytes);
	}
	return exit_of(v);
}

enum kt_ctl_exit kt_audit_report_bad(const struct kt_ctl *ctl, enum kt_err err,
				     const struct kt_audit_fault *bad)
{
	const uint64_t seq = bad->state->seq + 1; /* of the record that should be there */
	const char *fault = bad->state->fault != NULL ? bad->state->fault : "?";
	char reason[128];

	if (err == KT_ERR_CORRUPT) {
		if (kt_ctl_has(ctl->args, KT_CTL_JSON))
			kt_print(ctl->env->out,
				 "{\"verdict\":\"bad\",\"line\":\"%" PRIu64
				 "\",\"record\":\"%" PRIu64 "\",\"fault\":\"%s\"}",
				 bad->bad_line, seq, fault);
		kt_print(ctl->env->err,
			 "keyturnctl: line %" PRIu64 " of %s (record %" PRIu64 ") does not verify: "
			 "%s. The ledger was altered, or its disk is damaged",
			 bad->bad_line, bad->path, seq, fault);
		return KT_CTL_EXIT_FAILED;
	}
	if (err == KT_ERR_SYS) {
		kt_print(ctl->env->err, "keyturnctl: %s: %s", bad->path,
			 strerror_r(errno, reason, sizeof(reason)));
		return KT_CTL_EXIT_LOCAL;
	}
	kt_print(ctl->env->err, "keyturnctl: %s: %s", bad->path,
		 err == KT_ERR_NOT_FOUND ? "there is no ledger" : kt_err_text(err));
	return KT_CTL_EXIT_LOCAL;
}

/* A file as it is; else the ledger in that directory. */
bool kt_audit_find(const struct kt_ctl *ctl, char out[static KT_AUDIT_PATH_MAX])
{
	char dir[KT_PATH_MAX];
	struct stat st;
	int len;

	if (ctl->args->operand_count > 1) {
		const char *named = ctl->args->operands[1];
		const bool is_file = lstat(named, &st) == 0 && S_ISREG(st.st_mode);

		len = snprintf(out, KT_AUDIT_PATH_MAX, is_file ? "%s" : "%s/ledger.kt", named);
	} else {
		if (!kt_ctl_ledger_dir(ctl, dir))
			return false;
		len = snprintf(out, KT_AUDIT_PATH_MAX, "%s/ledger.kt", dir);
	}
	if (len > 0 && len < KT_AUDIT_PATH_MAX)
		return true;
	kt_print(ctl->env->err, "keyturnctl: the ledger's name is too long");
	return false;
}

static enum kt_ctl_exit verify(struct kt_ctl *ctl, struct walk *walk)
{
	struct kt_ledger_state state = {0};
	char path[KT_AUDIT_PATH_MAX];
	struct kt_audit_fault bad = {.path = path, .state = &state};
	struct verdict v = {.state = &state, .heads = walk->heads};
	enum kt_err err;

	if (!kt_audit_find(ctl, path))
		return KT_CTL_EXIT_LOCAL;
	err = kt_registry_new(&walk->registry);
	if (err == KT_ERR_OK)
		err = kt_ledger_scan_file(kt_fs_posix(), path, apply, walk, &state, &bad.bad_line);
	if (err != KT_ERR_OK)
		return kt_audit_report_bad(ctl, err, &bad);
	if (walk->heads != NULL)
		v.of_heads = kt_audit_heads_judge(ctl, walk->heads,
						  kt_registry_trust_domain(walk->registry), &state);
	return report(ctl, &v);
}

enum kt_ctl_exit kt_ctl_audit(struct kt_ctl *ctl)
{
	struct walk walk = {NULL, NULL};
	enum kt_ctl_exit code;

	if (strcmp(ctl->args->operands[0], "verify") != 0)
		return kt_ctl_audit_list(ctl);
	code = kt_audit_heads_load(ctl, &walk.heads);
	if (code == KT_CTL_EXIT_OK)
		code = verify(ctl, &walk);
	kt_registry_free(walk.registry);
	kt_audit_heads_free(walk.heads);
	return code;
}
