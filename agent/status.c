#include "status.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable_file.h"
#include "json.h"
#include "option_file.h"
#include "rollover.h"

enum { FILE_MAX = 1024, VERSION = 1, PATH_LEN = KT_PATH_MAX + 8 };

static bool file_path(const char *state_dir, char out[static PATH_LEN])
{
	int len = snprintf(out, PATH_LEN, "%s/status", state_dir);

	return len > 0 && len < PATH_LEN;
}

enum kt_err kt_status_save(const char *state_dir, const struct kt_agent_status *now)
{
	char path[PATH_LEN];
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;
	enum kt_err err = KT_ERR_TOO_LONG;

	if (!file_path(state_dir, path))
		return err;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", VERSION);
	kt_json_put_number(w, "pid", getpid());
	kt_json_put_string(w, "health", kt_agent_health_name(now->health));
	kt_json_put_string(w, "reason", now->last_reason);
	kt_json_put_number(w, "session", now->last_session_s);
	kt_json_close_object(w);
	err = kt_json_writer_take(w, &text, &len);
	if (err == KT_ERR_OK)
		err = kt_file_write(kt_fs_posix(), path,
				    (struct kt_bytes){(const uint8_t *)text, len},
				    (struct kt_file_mode){S_IRUSR | S_IWUSR, (gid_t)-1});
	free(text);
	kt_json_writer_free(w);
	return err;
}

/* The one that wrote the file; a later one may hold the lock and not have written yet. */
static bool is_alive(int64_t pid)
{
	return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* What the last agent wrote; nothing is believed but text to show. */
static void load_file(const char *state_dir, struct kt_status *out)
{
	static const struct kt_json_limits limits = {FILE_MAX, 2, 32};
	static const struct kt_json_rule rules[] = {
		{"v", KT_JSON_NUMBER, true, 0},
		{"pid", KT_JSON_NUMBER, true, 0},
		{"health", KT_JSON_STRING, true, sizeof(out->health) - 1},
		{"reason", KT_JSON_STRING, true, sizeof(out->last_reason) - 1},
		{"session", KT_JSON_NUMBER, true, 0},
	};
	char path[PATH_LEN];
	const char *bad = NULL;
	struct kt_secret *file = NULL;
	struct kt_json *json = NULL;
	const struct kt_json_value *root = NULL;
	struct kt_bytes view;

	if (!file_path(state_dir, path) ||
	    kt_file_read(kt_fs_posix(), path, FILE_MAX, &file) != KT_ERR_OK)
		return;
	view = kt_secret_view(file);
	if (kt_json_parse(view.p, view.len, &limits, &json) != KT_ERR_OK)
		goto out;
	root = kt_json_root(json);
	if (kt_json_check(root, rules, sizeof(rules) / sizeof(rules[0]), &bad) != KT_ERR_OK ||
	    kt_json_number(root, "v") != VERSION)
		goto out;
	if (is_alive(kt_json_number(root, "pid")))
		(void)snprintf(out->health, sizeof(out->health), "%s",
			       kt_json_string(root, "health"));
	(void)snprintf(out->last_reason, sizeof(out->last_reason), "%s",
		       kt_json_string(root, "reason"));
	out->last_session_s = kt_json_number(root, "session");
out:
	kt_json_free(json);
	kt_secret_free(file);
}

enum kt_err kt_status_load(const char *state_dir, struct kt_status *out)
{
	enum kt_err err = KT_ERR_INTERNAL;

	memset(out, 0, sizeof(*out));
	err = kt_identity_peek(state_dir, &out->record, &out->is_running);
	if (err != KT_ERR_OK)
		return err;
	(void)snprintf(out->health, sizeof(out->health), "%s",
		       kt_agent_health_name(KT_HEALTH_CONNECTING));
	load_file(state_dir, out);
	if (!out->is_running)
		(void)snprintf(out->health, sizeof(out->health), "stopped");
	return KT_ERR_OK;
}

bool kt_status_is_good(const struct kt_status *status)
{
	return status->is_running &&
	       (strcmp(status->health, kt_agent_health_name(KT_HEALTH_IN_SESSION)) == 0 ||
		strcmp(status->health, kt_agent_health_name(KT_HEALTH_ROTATING)) == 0);
}

enum kt_err kt_status_json(const struct kt_status *status, char **out)
{
	const struct kt_agent_record *record = &status->record;
	struct kt_json_writer *w = NULL;
	size_t len = 0;
	enum kt_err err = kt_json_writer_new(&w);

	*out = NULL;
	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "device", record->device.s);
	kt_json_put_string(w, "trustDomain", record->trust_domain);
	kt_json_put_bool(w, "running", status->is_running);
	kt_json_put_string(w, "health", status->health);
	kt_json_put_string(w, "phase", kt_agent_phase_name(record->phase));
	kt_json_put_string(w, "step", kt_agent_step_name(record->step));
	kt_json_put_number(w, "generation", record->active.generation);
	if (record->active.dir != 0)
		kt_json_put_hex(w, "fingerprint", record->active.fp.b, sizeof(record->active.fp.b));
	kt_json_put_u64(w, "op", record->op);
	kt_json_put_string(w, "lastReason", status->last_reason);
	kt_json_put_number(w, "lastSession", status->last_session_s);
	kt_json_close_object(w);
	err = kt_json_writer_take(w, out, &len);
	kt_json_writer_free(w);
	return err;
}
