/* import: an existing fleet's certificates, in batches; what became of each is told. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "encoding.h"
#include "import_files.h"
#include "print.h"

/* A broker as we ship its settings takes packets of 256 KiB. */
enum { BATCH_BYTES = 190000, COMMAND_BYTES = 512, BASE64_CAP = (KT_CERT_MAX + 2) / 3 * 4 + 1 };

struct totals {
	size_t imported;
	size_t known;
	size_t refused;
	size_t skipped;
};

struct run {
	struct kt_ctl *ctl;
	struct kt_found_list list;
	struct kt_json_writer *json; /* NULL: for a person */
	struct totals totals;
};

static enum kt_ctl_exit no_memory(const struct kt_ctl *ctl)
{
	kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
	return KT_CTL_EXIT_LOCAL;
}

static enum kt_id_source source_of(const struct kt_ctl_args *args)
{
	const char *word = args->values[KT_CTL_ID_FROM];

	if (word != NULL && strcmp(word, "filename") == 0)
		return KT_ID_FROM_FILENAME;
	return word != NULL && strcmp(word, "san") == 0 ? KT_ID_FROM_SAN : KT_ID_FROM_CN;
}

/* --- what is told --- */

static void open_row(const struct run *run, const struct kt_found *found)
{
	kt_json_open_object(run->json, NULL);
	kt_json_put_string(run->json, "file", found->file);
	if (found->device.s[0] != '\0')
		kt_json_put_string(run->json, "device", found->device.s);
}

static void tell_refused(struct run *run, const struct kt_found *found, const char *error,
			 const char *detail)
{
	run->totals.refused++;
	kt_print(run->ctl->env->err, "keyturnctl: %s: %s%s%s", found->file, error,
		 detail[0] != '\0' ? ": " : "", detail);
	if (run->json == NULL)
		return;
	open_row(run, found);
	kt_json_put_string(run->json, "error", error);
	kt_json_put_string(run->json, "detail", detail);
	kt_json_close_object(run->json);
}

static void tell_skipped(struct run *run, const struct kt_found *found)
{
	run->totals.skipped++;
	if (run->json == NULL) {
		kt_print(run->ctl->env->out, "%s: skipped: %s", found->file, found->detail);
		return;
	}
	open_row(run, found);
	kt_json_put_string(run->json, "skipped", found->detail);
	kt_json_close_object(run->json);
}

static bool is_flag(const struct kt_json_value *data, const char *name)
{
	const struct kt_json_value *value = kt_json_member(data, name);

	return value != NULL && kt_json_is(value, KT_JSON_BOOL);
}

static bool is_import(const struct kt_json_value *data)
{
	const struct kt_json_value *fp = kt_json_member(data, "fp");

	return is_flag(data, "known") && is_flag(data, "canRotate") && fp != NULL &&
	       kt_json_is(fp, KT_JSON_STRING);
}

/* False: the answer cannot be understood. */
static bool tell_done(struct run *run, const struct kt_found *found,
		      const struct kt_json_value *data)
{
	const bool is_check = kt_ctl_has(run->ctl->args, KT_CTL_CHECK);
	bool is_known;
	bool can_rotate;

	if (!is_import(data))
		return false;
	is_known = kt_json_bool(data, "known");
	can_rotate = kt_json_bool(data, "canRotate");
	if (is_known)
		run->totals.known++;
	else
		run->totals.imported++;
	if (run->json != NULL) {
		open_row(run, found);
		kt_json_put_string(run->json, "fp", kt_json_string(data, "fp"));
		kt_json_put_bool(run->json, "known", is_known);
		kt_json_put_bool(run->json, "canRotate", can_rotate);
		kt_json_close_object(run->json);
		return true;
	}
	kt_print(run->ctl->env->out, "%s: %s %s%s", found->file, found->device.s,
		 is_known   ? "is known already"
		 : is_check ? "can be imported"
			    : "imported",
		 can_rotate ? "" : ", moves over with a ticket alone (its key is no P-256 key)");
	return true;
}

/* --- batches --- */

static bool put_command(struct kt_batch *batch, const struct run *run, const struct kt_found *found)
{
	const struct kt_ctl_args *args = run->ctl->args;
	struct kt_json_writer *w;
	char text[BASE64_CAP];

	if (kt_b64_encode(found->der, found->der_len, text, sizeof(text)) != KT_ERR_OK)
		return false;
	w = kt_batch_add(batch, "importCertificate");
	kt_json_put_string(w, "device", found->device.s);
	if (kt_ctl_has(args, KT_CTL_GROUP))
		kt_json_put_string(w, "group", args->values[KT_CTL_GROUP]);
	kt_json_put_string(w, "certificate", text);
	if (kt_ctl_has(args, KT_CTL_CHECK))
		kt_json_put_bool(w, "check", true);
	kt_batch_end(batch);
	return true;
}

static enum kt_ctl_exit tell_batch(struct run *run, const struct kt_answer *answer, size_t from,
				   size_t to)
{
	size_t index = 0;

	for (size_t i = from; i < to; i++) {
		const struct kt_found *found = &run->list.at[i];
		struct kt_reply reply;

		if (found->der == NULL)
			continue;
		reply = kt_answer_reply(answer, index++);
		if (reply.error != NULL)
			tell_refused(run, found, reply.error, reply.detail);
		else if (!tell_done(run, found, reply.data))
			return kt_ctl_not_understood(run->ctl);
	}
	return KT_CTL_EXIT_OK;
}

/* From *@at on as many as one batch takes; *@at is the first that is left. */
static enum kt_ctl_exit send_batch(struct run *run, size_t *at)
{
	const size_t from = *at;
	struct kt_answer answer = {0};
	struct kt_batch batch;
	size_t bytes = 0;
	enum kt_ctl_exit code = kt_batch_begin(run->ctl, &batch);

	for (; code == KT_CTL_EXIT_OK && *at < run->list.count; (*at)++) {
		const struct kt_found *found = &run->list.at[*at];

		if (found->der == NULL)
			continue;
		bytes += found->der_len / 3 * 4 + COMMAND_BYTES;
		if (batch.count == KT_CTL_BATCH_MAX || (batch.count > 0 && bytes > BATCH_BYTES))
			break;
		if (!put_command(&batch, run, found))
			code = no_memory(run->ctl);
	}
	if (code == KT_CTL_EXIT_OK && batch.count > 0)
		code = kt_batch_exchange(&batch, &answer);
	if (code == KT_CTL_EXIT_OK)
		code = tell_batch(run, &answer, from, *at);
	kt_answer_clear(&answer);
	kt_batch_free(&batch);
	return code;
}

static enum kt_ctl_exit collect(struct run *run)
{
	const struct kt_ctl_args *args = run->ctl->args;

	for (size_t i = 0; i < args->operand_count; i++) {
		if (kt_found_add(&run->list, args->operands[i], source_of(args)) != KT_ERR_OK)
			return no_memory(run->ctl);
	}
	kt_found_mark_twins(&run->list);
	for (size_t i = 0; i < run->list.count; i++) {
		const struct kt_found *found = &run->list.at[i];

		if (found->is_skipped)
			tell_skipped(run, found);
		else if (found->der == NULL)
			tell_refused(run, found,
				     found->reason == KT_REASON_NONE
					     ? "file"
					     : kt_reason_name(found->reason),
				     found->detail);
	}
	return KT_CTL_EXIT_OK;
}

/* Also after a batch that failed: what was done before it was done. */
static enum kt_ctl_exit finish(struct run *run, enum kt_ctl_exit code)
{
	const struct totals *totals = &run->totals;
	char *text = NULL;
	size_t len;

	if (code == KT_CTL_EXIT_OK && totals->refused > 0)
		code = KT_CTL_EXIT_REFUSED;
	if (run->json == NULL) {
		kt_print(run->ctl->env->out, "%s %zu, known already %zu, refused %zu, skipped %zu",
			 kt_ctl_has(run->ctl->args, KT_CTL_CHECK) ? "can be imported" : "imported",
			 totals->imported, totals->known, totals->refused, totals->skipped);
		return code;
	}
	kt_json_close_array(run->json);
	kt_json_put_number(run->json, "imported", (int64_t)totals->imported);
	kt_json_put_number(run->json, "known", (int64_t)totals->known);
	kt_json_put_number(run->json, "refused", (int64_t)totals->refused);
	kt_json_put_number(run->json, "skipped", (int64_t)totals->skipped);
	kt_json_close_object(run->json);
	if (kt_json_writer_take(run->json, &text, &len) != KT_ERR_OK)
		return no_memory(run->ctl);
	kt_print_json_text(run->ctl->env->out, text);
	free(text);
	return code;
}

enum kt_ctl_exit kt_ctl_import(struct kt_ctl *ctl)
{
	struct run run = {.ctl = ctl};
	enum kt_ctl_exit code;
	size_t at = 0;

	if (kt_ctl_has(ctl->args, KT_CTL_JSON)) {
		if (kt_json_writer_new(&run.json) != KT_ERR_OK)
			return no_memory(ctl);
		kt_json_open_object(run.json, NULL);
		kt_json_open_array(run.json, "certificates");
	}
	code = collect(&run);
	while (code == KT_CTL_EXIT_OK && at < run.list.count)
		code = send_batch(&run, &at);
	code = finish(&run, code);
	kt_json_writer_free(run.json);
	kt_found_clear(&run.list);
	return code;
}
