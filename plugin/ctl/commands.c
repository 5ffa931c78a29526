#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "confirm.h"
#include "print.h"

/* --- what is common --------------------------------------------------------------------------- */

static void put_option(struct kt_json_writer *w, const struct kt_ctl *ctl, const char *name,
		       enum kt_ctl_option option)
{
	if (kt_ctl_has(ctl->args, option))
		kt_json_put_string(w, name, ctl->args->values[option]);
}

static void put_flag(struct kt_json_writer *w, const struct kt_ctl *ctl, const char *name,
		     enum kt_ctl_option option)
{
	if (kt_ctl_has(ctl->args, option))
		kt_json_put_bool(w, name, true);
}

static void complain(const struct kt_ctl *ctl, const char *subject, const struct kt_reply *reply)
{
	kt_print(ctl->env->err, "keyturnctl: %s%s%s%s%s", subject, subject[0] != '\0' ? ": " : "",
		 reply->error, reply->detail[0] != '\0' ? ": " : "", reply->detail);
}

static enum kt_ctl_exit no_memory(const struct kt_ctl *ctl)
{
	kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
	return KT_CTL_EXIT_LOCAL;
}

/* What was written to @w is the output. */
static enum kt_ctl_exit finish_document(const struct kt_ctl *ctl, struct kt_json_writer *w,
					enum kt_ctl_exit code)
{
	char *text = NULL;
	size_t len;

	if (kt_json_writer_take(w, &text, &len) != KT_ERR_OK)
		return no_memory(ctl);
	kt_print_json_text(ctl->env->out, text);
	free(text);
	return code;
}

enum kt_ctl_exit kt_ctl_report_error(const struct kt_ctl *ctl, const char *subject,
				     const struct kt_reply *reply)
{
	struct kt_json_writer *w = NULL;
	enum kt_ctl_exit code = KT_CTL_EXIT_REFUSED;

	complain(ctl, subject, reply);
	if (!kt_ctl_has(ctl->args, KT_CTL_JSON))
		return code;
	if (kt_json_writer_new(&w) != KT_ERR_OK)
		return no_memory(ctl);
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "error", reply->error);
	kt_json_put_string(w, "detail", reply->detail);
	kt_json_close_object(w);
	code = finish_document(ctl, w, code);
	kt_json_writer_free(w);
	return code;
}

enum kt_ctl_exit kt_ctl_print_data(const struct kt_ctl *ctl, const struct kt_json_value *data)
{
	return kt_print_json(ctl->env->out, data) == KT_ERR_OK ? KT_CTL_EXIT_OK : no_memory(ctl);
}

/* One command was sent: its error, or its data as JSON, or that it is done. */
static enum kt_ctl_exit report_one(const struct kt_ctl *ctl, const struct kt_answer *answer,
				   const char *subject)
{
	const struct kt_reply reply = kt_answer_reply(answer, 0);

	if (reply.error != NULL)
		return kt_ctl_report_error(ctl, subject, &reply);
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, reply.data);
	kt_print(ctl->env->out, "%s%s%s", subject, subject[0] != '\0' ? ": " : "",
		 ctl->args->command->done);
	return KT_CTL_EXIT_OK;
}

/* --- one command per device ------------------------------------------------------------------- */

static void put_reply(struct kt_json_writer *w, const char *device, const struct kt_reply *reply)
{
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "device", device);
	if (reply->error != NULL) {
		kt_json_put_string(w, "error", reply->error);
		kt_json_put_string(w, "detail", reply->detail);
	}
	kt_json_close_object(w);
}

/* Several commands: every failure is named, whatever the others did. */
static enum kt_ctl_exit report_each(const struct kt_ctl *ctl, const struct kt_answer *answer)
{
	const bool is_json = kt_ctl_has(ctl->args, KT_CTL_JSON);
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;
	struct kt_json_writer *w = NULL;

	if (is_json && kt_json_writer_new(&w) != KT_ERR_OK)
		return no_memory(ctl);
	if (is_json) {
		kt_json_open_object(w, NULL);
		kt_json_open_array(w, "devices");
	}
	for (size_t i = 0; i < ctl->args->operand_count; i++) {
		const char *device = ctl->args->operands[i];
		const struct kt_reply reply = kt_answer_reply(answer, i);

		if (reply.error != NULL) {
			complain(ctl, device, &reply);
			code = KT_CTL_EXIT_REFUSED;
		} else if (!is_json) {
			kt_print(ctl->env->out, "%s: %s", device, ctl->args->command->done);
		}
		if (is_json)
			put_reply(w, device, &reply);
	}
	if (is_json) {
		kt_json_close_array(w);
		kt_json_close_object(w);
		code = finish_document(ctl, w, code);
	}
	kt_json_writer_free(w);
	return code;
}

/* @command for each device on the command line, in one batch. */
static enum kt_ctl_exit order_each(struct kt_ctl *ctl, const char *command,
				   kt_ctl_put_fields *fields, struct kt_answer *answer)
{
	struct kt_batch batch;
	enum kt_ctl_exit code = kt_batch_begin(ctl, &batch);

	memset(answer, 0, sizeof(*answer));
	if (code == KT_CTL_EXIT_OK) {
		for (size_t i = 0; i < ctl->args->operand_count; i++) {
			struct kt_json_writer *w = kt_batch_add(&batch, command);

			kt_json_put_string(w, "device", ctl->args->operands[i]);
			if (fields != NULL)
				fields(w, ctl);
			kt_batch_end(&batch);
		}
		code = kt_batch_exchange(&batch, answer);
	}
	kt_batch_free(&batch);
	return code;
}

/* Of devices that are named each has its own error, with a sentence. */
static enum kt_ctl_exit run_each(struct kt_ctl *ctl, const struct kt_ctl_order *order)
{
	struct kt_answer answer;
	enum kt_ctl_exit code;

	if (kt_ctl_has(ctl->args, KT_CTL_ALL) || kt_ctl_has(ctl->args, KT_CTL_DRY_RUN) ||
	    kt_ctl_selects(ctl->args))
		return kt_ctl_order(ctl, *order);
	code = order->is_final ? kt_ctl_confirm(ctl, order->what) : KT_CTL_EXIT_OK;
	if (code != KT_CTL_EXIT_OK)
		return code;
	code = order_each(ctl, order->command, order->fields, &answer);

	if (code == KT_CTL_EXIT_OK) {
		code = ctl->args->operand_count == 1
			       ? report_one(ctl, &answer, ctl->args->operands[0])
			       : report_each(ctl, &answer);
	}
	kt_answer_clear(&answer);
	return code;
}

void kt_ctl_put_note(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	put_option(w, ctl, "note", KT_CTL_NOTE);
}

static void put_freeze(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	put_flag(w, ctl, "freeze", KT_CTL_FREEZE);
}

static void put_revoke(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	put_flag(w, ctl, "emergency", KT_CTL_EMERGENCY);
	put_flag(w, ctl, "wipe", KT_CTL_WIPE);
	kt_ctl_put_note(w, ctl);
}

enum kt_ctl_exit kt_ctl_cancel(struct kt_ctl *ctl)
{
	return run_each(ctl,
			&(struct kt_ctl_order){.command = "cancel", .what = "This cancels for"});
}

enum kt_ctl_exit kt_ctl_quarantine(struct kt_ctl *ctl)
{
	return run_each(ctl, &(struct kt_ctl_order){.command = "quarantine",
						    .what = "This quarantines",
						    .fields = kt_ctl_put_note});
}

enum kt_ctl_exit kt_ctl_release(struct kt_ctl *ctl)
{
	return run_each(ctl, &(struct kt_ctl_order){.command = "release",
						    .what = "This releases",
						    .fields = put_freeze});
}

/* --- what cannot be undone -------------------------------------------------------------------- */

enum kt_ctl_exit kt_ctl_revoke(struct kt_ctl *ctl)
{
	return run_each(ctl, &(struct kt_ctl_order){.command = "revoke",
						    .what = "This revokes",
						    .fields = put_revoke,
						    .is_final = true});
}

enum kt_ctl_exit kt_ctl_delete_device(struct kt_ctl *ctl)
{
	return run_each(ctl, &(struct kt_ctl_order){.command = "deleteDevice",
						    .what = "This deletes, for good,",
						    .is_final = true});
}

/* --- challenge -------------------------------------------------------------------------------- */

/* The devices that were challenged indeed are waited for, also when others could not be. */
static enum kt_ctl_exit await(struct kt_ctl *ctl, const struct kt_answer *answer)
{
	const char **devices = calloc(ctl->args->operand_count, sizeof(*devices));
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;
	size_t count = 0;

	if (devices == NULL)
		return no_memory(ctl);
	for (size_t i = 0; i < ctl->args->operand_count; i++) {
		if (kt_answer_reply(answer, i).error == NULL)
			devices[count++] = ctl->args->operands[i];
	}
	if (count > 0)
		code = kt_ctl_await_outcomes(ctl, devices, count);
	free(devices);
	return code;
}

/* With --wait the outcome is what is said of a device that was challenged. */
static enum kt_ctl_exit name_failures(const struct kt_ctl *ctl, const struct kt_answer *answer)
{
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	for (size_t i = 0; i < ctl->args->operand_count; i++) {
		const struct kt_reply reply = kt_answer_reply(answer, i);

		if (reply.error != NULL) {
			complain(ctl, ctl->args->operands[i], &reply);
			code = KT_CTL_EXIT_REFUSED;
		}
	}
	return code;
}

enum kt_ctl_exit kt_ctl_challenge(struct kt_ctl *ctl)
{
	struct kt_answer answer;
	enum kt_ctl_exit refused;
	enum kt_ctl_exit code;

	if (!kt_ctl_has(ctl->args, KT_CTL_WAIT))
		return run_each(ctl, &(struct kt_ctl_order){.command = "challenge",
							    .what = "This challenges"});
	code = kt_ctl_watch_outcomes(ctl);
	if (code != KT_CTL_EXIT_OK)
		return code;
	code = order_each(ctl, "challenge", NULL, &answer);
	if (code == KT_CTL_EXIT_OK) {
		refused = name_failures(ctl, &answer);
		code = await(ctl, &answer);
		code = code == KT_CTL_EXIT_OK ? refused : code;
	}
	kt_answer_clear(&answer);
	return code;
}

/* --- one command ------------------------------------------------------------------------------ */

enum kt_ctl_exit kt_ctl_send_one(struct kt_ctl *ctl, const char *command, kt_ctl_put_fields *fields,
				 struct kt_answer *answer)
{
	struct kt_batch batch;
	enum kt_ctl_exit code = kt_batch_begin(ctl, &batch);

	memset(answer, 0, sizeof(*answer));
	if (code == KT_CTL_EXIT_OK) {
		struct kt_json_writer *w = kt_batch_add(&batch, command);

		if (fields != NULL)
			fields(w, ctl);
		kt_batch_end(&batch);
		code = kt_batch_exchange(&batch, answer);
	}
	kt_batch_free(&batch);
	return code;
}

enum kt_ctl_exit kt_ctl_run_one(struct kt_ctl *ctl, const char *command, kt_ctl_put_fields *fields,
				const char *subject)
{
	struct kt_answer answer;
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, command, fields, &answer);

	if (code == KT_CTL_EXIT_OK)
		code = report_one(ctl, &answer, subject);
	kt_answer_clear(&answer);
	return code;
}

static void put_new_device(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	kt_json_put_string(w, "device", ctl->args->operands[0]);
	put_option(w, ctl, "group", KT_CTL_GROUP);
	put_option(w, ctl, "keyId", KT_CTL_KEY_ID);
}

static void put_approval(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	kt_json_put_string(w, "keyId", ctl->args->operands[0]);
	kt_json_put_string(w, "device", ctl->args->operands[1]);
	put_option(w, ctl, "group", KT_CTL_GROUP);
}

static void put_key(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	kt_json_put_string(w, "keyId", ctl->args->operands[0]);
}

enum kt_ctl_exit kt_ctl_create_device(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "createDevice", put_new_device, ctl->args->operands[0]);
}

enum kt_ctl_exit kt_ctl_approve(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "approve", put_approval, ctl->args->operands[1]);
}

enum kt_ctl_exit kt_ctl_deny(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "deny", put_key, ctl->args->operands[0]);
}

enum kt_ctl_exit kt_ctl_confirm_clock(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "confirmClock", NULL, "");
}

enum kt_ctl_exit kt_ctl_reconcile(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "endReconcile", kt_ctl_put_note, "");
}

/* --- tickets ---------------------------------------------------------------------------------- */

static void put_ticket(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	if (ctl->args->operand_count == 1)
		kt_json_put_string(w, "device", ctl->args->operands[0]);
	put_option(w, ctl, "group", KT_CTL_GROUP);
	put_option(w, ctl, "pattern", KT_CTL_PATTERN);
	put_option(w, ctl, "broker", KT_CTL_BROKER);
	if (ctl->args->valid_for_s > 0)
		kt_json_put_number(w, "validFor", ctl->args->valid_for_s);
}

/* The ticket alone goes to the output: keyturnctl create-ticket hub-17 > ticket. */
static enum kt_ctl_exit print_ticket(const struct kt_ctl *ctl, const struct kt_json_value *data)
{
	const struct kt_json_value *ticket = kt_json_member(data, "ticket");
	char expires[KT_CELL_MAX];

	if (ticket == NULL || !kt_json_is(ticket, KT_JSON_STRING)) {
		kt_print(ctl->env->err, "keyturnctl: the answer has no ticket");
		return KT_CTL_EXIT_LOCAL;
	}
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, data);
	kt_print_text(ctl->env->out, kt_json_value_string(ticket));
	kt_cell_of(kt_json_member(data, "expires"), expires);
	if (!kt_ctl_has(ctl->args, KT_CTL_RAW))
		kt_print(ctl->env->err, "usable once, until %s; a secret until then", expires);
	return KT_CTL_EXIT_OK;
}

enum kt_ctl_exit kt_ctl_create_ticket(struct kt_ctl *ctl)
{
	const char *subject = ctl->args->operand_count == 1 ? ctl->args->operands[0]
							    : ctl->args->values[KT_CTL_GROUP];
	struct kt_answer answer;
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, "createTicket", put_ticket, &answer);

	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL ? kt_ctl_report_error(ctl, subject, &reply)
					   : print_ticket(ctl, reply.data);
	}
	kt_answer_clear(&answer);
	return code;
}
