/* Commands for devices that are not named one by one: all of them, or what a selector means. */
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "confirm.h"
#include "labels.h"
#include "print.h"

/* --- the question ----------------------------------------------------------------------------- */

static void put_words(struct kt_json_writer *w, const char *name, const struct kt_ctl_args *args)
{
	kt_json_open_array(w, name);
	for (size_t i = 0; i < args->operand_count; i++)
		kt_json_put_string(w, NULL, args->operands[i]);
	kt_json_close_array(w);
}

void kt_ctl_put_selection(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;

	if (kt_ctl_has(args, KT_CTL_ALL))
		kt_json_put_bool(w, "all", true);
	else if (kt_ctl_selects(args))
		put_words(w, "select", args);
	else if (args->operand_count == 1)
		kt_json_put_string(w, "device", args->operands[0]);
	else
		put_words(w, "devices", args);
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool is_text(const struct kt_json_value *row, const char *name)
{
	const struct kt_json_value *value = kt_json_member(row, name);

	return value != NULL && kt_json_is(value, KT_JSON_STRING);
}

/* A device, and its op where there must be one, or why nothing was done to it. */
static bool is_row(const struct kt_ctl_order *order, const struct kt_json_value *row)
{
	if (!kt_json_is(row, KT_JSON_OBJECT) || !is_text(row, "device"))
		return false;
	if (kt_json_member(row, "error") != NULL)
		return is_text(row, "error");
	return order->is_dry_run || !order->has_op || is_text(row, "op");
}

/* Of one device that was named the data is its row, of several it has rows: as many as were meant,
 * or nobody knows what was done. */
static bool are_rows(const struct kt_ctl *ctl, const struct kt_ctl_order *order,
		     const struct kt_json_value *data)
{
	const struct kt_json_value *rows = kt_json_member(data, "devices");

	if (kt_ctl_names_one(ctl->args))
		return is_row(order, data);
	if (rows == NULL || !kt_json_is(rows, KT_JSON_ARRAY) ||
	    (order->expect >= 0 && kt_json_array_len(rows) != (size_t)order->expect))
		return false;
	for (const struct kt_json_value *row = kt_json_first(rows); row != NULL;
	     row = kt_json_next(row)) {
		if (!is_row(order, row))
			return false;
	}
	return true;
}

static enum kt_ctl_exit report_row(const struct kt_ctl *ctl, const struct kt_ctl_order *order,
				   const struct kt_json_value *row)
{
	const char *device = kt_json_string(row, "device");
	const char *op = is_text(row, "op") ? kt_json_string(row, "op") : NULL;

	if (kt_json_member(row, "error") != NULL) {
		kt_print(ctl->env->err, "keyturnctl: %s: %s", device, kt_json_string(row, "error"));
		return KT_CTL_EXIT_REFUSED;
	}
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return KT_CTL_EXIT_OK;
	if (order->is_dry_run)
		kt_print(ctl->env->out, "%s", device);
	else
		kt_print(ctl->env->out, "%s: %s%s%s", device, ctl->args->command->done,
			 op != NULL ? ", op " : "", op != NULL ? op : "");
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit report_rows(const struct kt_ctl *ctl, const struct kt_ctl_order *order,
				    const struct kt_json_value *data)
{
	const struct kt_json_value *rows = kt_json_member(data, "devices");
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;
	size_t count = 1;

	if (!are_rows(ctl, order, data))
		return kt_ctl_not_understood(ctl);
	if (kt_ctl_names_one(ctl->args)) {
		code = report_row(ctl, order, data);
	} else {
		count = kt_json_array_len(rows);
		for (const struct kt_json_value *row = kt_json_first(rows); row != NULL;
		     row = kt_json_next(row)) {
			if (report_row(ctl, order, row) != KT_CTL_EXIT_OK)
				code = KT_CTL_EXIT_REFUSED;
		}
	}
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, data) == KT_CTL_EXIT_OK ? code : KT_CTL_EXIT_LOCAL;
	if (order->is_dry_run)
		kt_print(ctl->env->err, "keyturnctl: %zu device%s, nothing was done", count,
			 count == 1 ? "" : "s");
	return code;
}

static enum kt_ctl_exit send_order(struct kt_ctl *ctl, const struct kt_ctl_order *order)
{
	const char *subject = kt_ctl_names_one(ctl->args) ? ctl->args->operands[0] : "";
	struct kt_answer answer = {0};
	struct kt_batch batch;
	enum kt_ctl_exit code = kt_batch_begin(ctl, &batch);

	if (code == KT_CTL_EXIT_OK) {
		struct kt_json_writer *w = kt_batch_add(&batch, order->command);

		kt_ctl_put_selection(w, ctl);
		if (order->is_dry_run)
			kt_json_put_bool(w, "dryRun", true);
		if (order->expect >= 0)
			kt_json_put_number(w, "expect", order->expect);
		if (order->fields != NULL)
			order->fields(w, ctl);
		kt_batch_end(&batch);
		code = kt_batch_exchange(&batch, &answer);
	}
	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL ? kt_ctl_report_error(ctl, subject, &reply)
					   : report_rows(ctl, order, reply.data);
	}
	kt_answer_clear(&answer);
	kt_batch_free(&batch);
	return code;
}

/* Who names devices has counted them, and --expect says it once more; the others are counted here.
 */
enum kt_ctl_exit kt_ctl_order(struct kt_ctl *ctl, struct kt_ctl_order order)
{
	const struct kt_ctl_args *args = ctl->args;
	const bool is_named = !kt_ctl_has(args, KT_CTL_ALL) && !kt_ctl_selects(args);
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	order.is_dry_run = kt_ctl_has(args, KT_CTL_DRY_RUN);
	order.expect = args->expect;
	if (order.is_dry_run)
		return send_order(ctl, &order);
	if (is_named) {
		order.expect = args->expect >= 0 ? args->expect : (int64_t)args->operand_count;
		if (order.is_final)
			code = kt_ctl_confirm(ctl, order.what);
	} else if (args->expect < 0 || order.is_final) {
		code = kt_ctl_confirm_count(ctl, &order);
	}
	return code == KT_CTL_EXIT_OK ? send_order(ctl, &order) : code;
}

enum kt_ctl_exit kt_ctl_rotate(struct kt_ctl *ctl)
{
	return kt_ctl_order(ctl, (struct kt_ctl_order){.command = "rotate",
						       .what = "This rotates",
						       .fields = kt_ctl_put_note,
						       .has_op = true});
}

/* --- set -------------------------------------------------------------------------------------- */

/* "a,b,c" as an array. */
static void put_list(struct kt_json_writer *w, const struct kt_ctl *ctl, const char *name,
		     enum kt_ctl_option option)
{
	const char *at = ctl->args->values[option];

	if (at == NULL)
		return;
	kt_json_open_array(w, name);
	for (;;) {
		const size_t len = strcspn(at, ",");
		char word[KT_LABEL_MAX + 1] = "";

		memcpy(word, at, len); /* its length was looked at */
		kt_json_put_string(w, NULL, word);
		if (at[len] == '\0')
			break;
		at += len + 1;
	}
	kt_json_close_array(w);
}

static void put_set(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	if (kt_ctl_has(ctl->args, KT_CTL_UNGROUP))
		kt_json_put_string(w, "group", "");
	else if (kt_ctl_has(ctl->args, KT_CTL_GROUP))
		kt_json_put_string(w, "group", ctl->args->values[KT_CTL_GROUP]);
	put_list(w, ctl, "addLabels", KT_CTL_LABEL);
	put_list(w, ctl, "removeLabels", KT_CTL_UNLABEL);
}

enum kt_ctl_exit kt_ctl_set(struct kt_ctl *ctl)
{
	return kt_ctl_order(ctl, (struct kt_ctl_order){.command = "setDevice",
						       .what = "This changes",
						       .fields = put_set});
}
