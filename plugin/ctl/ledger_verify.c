/* Is a ledger whole? Without a broker, and without changing a byte of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "encoding.h"
#include "json.h"
#include "ledger.h"
#include "print.h"
#include "registry.h"

/* As strict as the plugin's start: a record that does not fit those before it was not ours. */
static enum kt_err apply(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct kt_registry *registry = arg;
	const enum kt_err err = kt_registry_apply(registry, record);

	(void)hash;
	return err == KT_ERR_STATE ? KT_ERR_CORRUPT : err;
}

static void show_time(int64_t time_us, char out[static 48])
{
	const time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 48, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
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
	char head[KT_HEX_LEN(32) + 1] = "";
	char text[96];
	FILE *out = ctl->env->out;

	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return report_json(ctl, state);
	if (kt_hex_encode(state->head, sizeof(state->head), head, sizeof(head)) != KT_ERR_OK)
		head[0] = '\0';
	kt_print_pair(out, "verdict", state->cut_bytes > 0 ? "torn" : "whole");
	(void)snprintf(text, sizeof(text), "%" PRIu64, state->seq);
	kt_print_pair(out, "records", text);
	kt_print_pair(out, "head", head);
	(void)snprintf(text, sizeof(text), "-");
	if (state->seq > 0)
		show_time(state->time_us, text);
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

static enum kt_ctl_exit report_bad(const struct kt_ctl *ctl, enum kt_err err, uint64_t bad_line)
{
	const char *dir = ctl->args->operands[1];
	char reason[128];

	if (err == KT_ERR_CORRUPT) {
		if (kt_ctl_has(ctl->args, KT_CTL_JSON))
			kt_print(ctl->env->out, "{\"verdict\":\"bad\",\"line\":\"%" PRIu64 "\"}",
				 bad_line);
		kt_print(ctl->env->err,
			 "keyturnctl: line %" PRIu64 " of %s/ledger.kt does not verify: the ledger "
			 "was altered, or its disk is damaged",
			 bad_line, dir);
		return KT_CTL_EXIT_FAILED;
	}
	if (err == KT_ERR_SYS) {
		kt_print(ctl->env->err, "keyturnctl: %s/ledger.kt: %s", dir,
			 strerror_r(errno, reason, sizeof(reason)));
		return KT_CTL_EXIT_LOCAL;
	}
	kt_print(ctl->env->err, "keyturnctl: %s/ledger.kt: %s", dir,
		 err == KT_ERR_NOT_FOUND ? "there is no ledger" : kt_err_text(err));
	return KT_CTL_EXIT_LOCAL;
}

enum kt_ctl_exit kt_ctl_ledger(struct kt_ctl *ctl)
{
	struct kt_registry *registry = NULL;
	struct kt_ledger_state state = {0};
	uint64_t bad_line = 0;
	enum kt_err err = kt_registry_new(&registry);

	if (err == KT_ERR_OK)
		err = kt_ledger_scan(kt_fs_posix(), ctl->args->operands[1], apply, registry, &state,
				     &bad_line);
	kt_registry_free(registry); /* leaves errno alone: it only frees */
	return err == KT_ERR_OK ? report_whole(ctl, &state) : report_bad(ctl, err, bad_line);
}
