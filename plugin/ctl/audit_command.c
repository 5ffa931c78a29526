/* What a ledger says, record by record: in words, or as JSON lines. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "commands.h"
#include "crypto.h"
#include "encoding.h"
#include "json.h"
#include "places.h"
#include "print.h"

struct listing {
	FILE *out;
	struct kt_audit_filter filter;
	bool is_export;
	uint8_t prev[32]; /* hash of the record before */
};

/* {"hash":"<64 hex>","record":<the record's own text>} */
static enum kt_err export_record(const struct listing *list, const char *text,
				 const uint8_t hash[static 32])
{
	struct kt_json_writer *w = NULL;
	char *line = NULL;
	size_t len;
	enum kt_err err = kt_json_writer_new(&w);

	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_hex(w, "hash", hash, 32);
	kt_json_put_raw(w, "record", text);
	kt_json_close_object(w);
	err = kt_json_writer_take(w, &line, &len);
	kt_json_writer_free(w);
	if (err == KT_ERR_OK)
		kt_print_json_text(list->out, line);
	free(line);
	return err;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* Members whose value is a time are written as one; what a person has no use for is left out. */
static void put_member(struct kt_json_writer *w, const struct kt_json_value *value)
{
	static const char *const left_out[] = {"v",	"seq",	"prev", "time",
					       "actor", "kind", "der",	NULL};
	static const char *const times[] = {"deadline", "expires", NULL};
	const char *name = kt_json_name(value);
	const char *text;
	uint64_t number = 0;
	char shown[48];

	if (is_one_of(name, left_out))
		return;
	if (!kt_json_is(value, KT_JSON_STRING)) {
		kt_json_put_bool(w, name, kt_json_value_bool(value));
		return;
	}
	text = kt_json_value_string(value);
	if (!is_one_of(name, times) && strcmp(name, "not_after") != 0) {
		kt_json_put_string(w, name, text);
		return;
	}
	if (kt_u64_decode(text, strlen(text), &number) != KT_ERR_OK || number > INT64_MAX)
		number = 0;
	if (strcmp(name, "not_after") == 0)
		number = number > INT64_MAX / 1000000 ? 0 : number * 1000000;
	kt_ctl_show_time((int64_t)number, shown);
	kt_json_put_string(w, name, shown);
}

static enum kt_err members_of(const struct kt_record *record, const struct kt_json_value *object,
			      char **out, size_t *out_len)
{
	struct kt_json_writer *w = NULL;
	enum kt_err err = kt_json_writer_new(&w);

	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "actor", record->actor);
	kt_json_put_string(w, "kind", kt_record_kind_name(record->kind));
	if (record->device.s[0] != '\0')
		kt_json_put_string(w, "device", record->device.s);
	for (const struct kt_json_value *v = kt_json_first(object); v != NULL;
	     v = kt_json_next(v)) {
		if (strcmp(kt_json_name(v), "device") != 0)
			put_member(w, v);
	}
	kt_json_close_object(w);
	err = kt_json_writer_take(w, out, out_len);
	kt_json_writer_free(w);
	return err;
}

static enum kt_err show_record(const struct listing *list, const struct kt_record *record,
			       const char *text)
{
	static const struct kt_json_limits limits = {(size_t)2 * KT_RECORD_TEXT_MAX,
						     KT_JSON_DEPTH_MAX, KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	struct kt_json *shown = NULL;
	char *members = NULL;
	size_t len = 0;
	char time[48];
	char head[80];
	enum kt_err err = kt_json_parse((const uint8_t *)text, strlen(text), &limits, &json);

	if (err == KT_ERR_OK)
		err = members_of(record, kt_json_root(json), &members, &len);
	if (err == KT_ERR_OK)
		err = kt_json_parse((const uint8_t *)members, len, &limits, &shown);
	if (err == KT_ERR_OK) {
		kt_ctl_show_time(record->time_us, time);
		(void)snprintf(head, sizeof(head), "%s %" PRIu64, time, record->seq);
		kt_print_members(list->out, head, kt_json_root(shown), NULL);
	}
	kt_json_free(shown);
	free(members);
	kt_json_free(json);
	return err;
}

static enum kt_err visit(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	struct listing *list = arg;
	char *text = NULL;
	size_t len = 0;
	uint8_t own[32];
	enum kt_err err = KT_ERR_OK;

	if (kt_audit_wants(&list->filter, record)) {
		err = kt_record_encode(record, list->prev, &text, &len);
		/* a text that is not written as we write it has another hash: then it is not ours
		 */
		if (err == KT_ERR_OK) {
			kt_sha256(text, len, own);
			err = memcmp(own, hash, sizeof(own)) == 0 ? KT_ERR_OK : KT_ERR_CORRUPT;
		}
		if (err == KT_ERR_OK)
			err = list->is_export ? export_record(list, text, hash)
					      : show_record(list, record, text);
		free(text);
	}
	memcpy(list->prev, hash, sizeof(list->prev));
	return err;
}

enum kt_ctl_exit kt_ctl_audit_list(struct kt_ctl *ctl)
{
	struct listing list = {.out = ctl->env->out,
			       .filter = kt_audit_filter_of(ctl->args),
			       .is_export = kt_ctl_has(ctl->args, KT_CTL_JSON) ||
					    strcmp(ctl->args->operands[0], "export") == 0};
	struct kt_ledger_state state = {0};
	char path[KT_AUDIT_PATH_MAX];
	struct kt_audit_fault fault = {.path = path, .state = &state};
	enum kt_err err;

	if (!kt_audit_find(ctl, path))
		return KT_CTL_EXIT_LOCAL;
	err = kt_ledger_scan_file(kt_fs_posix(), path, visit, &list, &state, &fault.bad_line);
	return err == KT_ERR_OK ? KT_CTL_EXIT_OK : kt_audit_report_bad(ctl, err, &fault);
}
