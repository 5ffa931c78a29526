/* Is a ledger whole? Without a broker, and without changing a byte of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "json.h"
#include "ledger.h"
#include "places.h"
#include "print.h"
#include "registry.h"

enum { PATH_CAP = 4096 };

/* As strict as the plugin's start: a record that does not fit those before it was not ours. */
static enum kt_err apply(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct kt_registry *registry = arg;
	const enum kt_err err = kt_registry_apply(registry, record);

	(void)hash;
	return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
}

static enum kt_ctl_exit report_json(const struct kt_ctl *ctl, const struct kt_ledger_state *state)
{
	struct kt_json_writer *w = NULL;
	enum kt_err err = kt_json_writer_new(&w);
	char *text = NULL;
	size_t len;

	if (err == KT_ERR_OK) {
		kt_json_open_object(w, NULL);
		kt_json_put_string(w, "verdict", state->cut_bytes > 0 ? "torn" : "whole");
		kt_json_put_u64(w, "records", state->seq);
		kt_json_put_hex(w, "head", state->head, sizeof(state->head));
		kt_json_put_u64(w, "time", (uint64_t)state->time_us);
		kt_json_put_u64(w, "bytes", state->size_bytes);
		kt_json_put_u64(w, "tornBytes", state->cut_bytes);
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
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit report_whole(const struct kt_ctl *ctl, const struct kt_ledger_state *state)
{
	char text[96];
	FILE *out = ctl->env->out;

	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return report_json(ctl, state);
	kt_print_pair(out, "verdict", state->cut_bytes > 0 ? "torn" : "whole");
	(void)snprintf(text, sizeof(text), "%" PRIu64, state->seq);
	kt_print_pair(out, "records", text);
	kt_ctl_show_head(state->head, text);
	kt_print_pair(out, "head", text);
	kt_ctl_show_time(state->time_us, text);
	kt_print_pair(out, "last record", text);
	(void)snprintf(text, sizeof(text), "%" PRIu64, state->size_bytes);
	kt_print_pair(out, "bytes", text);
	if (state->cut_bytes > 0) {
		kt_print(out,
			 "%" PRIu64 " bytes behind the last record are no record: a write that was "
			 "not finished, and was never acknowledged. The next start cuts them off",
			 state->cut_bytes);
	}
	return KT_CTL_EXIT_OK;
}

struct verdict { /* of a ledger that is not whole */
	const char *path;
	const struct kt_ledger_state *state;
	uint64_t bad_line;
};

static enum kt_ctl_exit report_bad(const struct kt_ctl *ctl, enum kt_err err,
				   const struct verdict *bad)
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
static bool find_ledger(const struct kt_ctl *ctl, char out[static PATH_CAP])
{
	char dir[KT_PATH_MAX];
	struct stat st;
	int len;

	if (ctl->args->operand_count > 1) {
		const char *named = ctl->args->operands[1];
		const bool is_file = lstat(named, &st) == 0 && S_ISREG(st.st_mode);

		len = snprintf(out, PATH_CAP, is_file ? "%s" : "%s/ledger.kt", named);
	} else {
		if (!kt_ctl_ledger_dir(ctl, dir))
			return false;
		len = snprintf(out, PATH_CAP, "%s/ledger.kt", dir);
	}
	if (len > 0 && len < PATH_CAP)
		return true;
	kt_print(ctl->env->err, "keyturnctl: the ledger's name is too long");
	return false;
}

enum kt_ctl_exit kt_ctl_audit(struct kt_ctl *ctl)
{
	struct kt_registry *registry = NULL;
	struct kt_ledger_state state = {0};
	char path[PATH_CAP];
	struct verdict bad = {.path = path, .state = &state};
	enum kt_err err;

	if (!find_ledger(ctl, path))
		return KT_CTL_EXIT_LOCAL;
	err = kt_registry_new(&registry);
	if (err == KT_ERR_OK)
		err = kt_ledger_scan_file(kt_fs_posix(), path, apply, registry, &state,
					  &bad.bad_line);
	kt_registry_free(registry); /* leaves errno alone: it only frees */
	return err == KT_ERR_OK ? report_whole(ctl, &state) : report_bad(ctl, err, &bad);
}
