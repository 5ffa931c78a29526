/* What the plugin knows, for a person: lists page by page, one device, the whole. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "print.h"

static enum kt_ctl_exit no_memory(const struct kt_ctl *ctl)
{
	kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
	return KT_CTL_EXIT_LOCAL;
}

static enum kt_ctl_exit malformed(const struct kt_ctl *ctl)
{
	kt_print(ctl->env->err, "keyturnctl: the answer cannot be understood (is this keyturnctl "
				"as new as the plugin?)");
	return KT_CTL_EXIT_LOCAL;
}

/* --- lists ------------------------------------------------------------------------------------ */

struct list { /* a command whose answer comes in pages of rows */
	const char *command;
	const char *rows; /* the member that holds them */
	const char *const *columns;
	const char *const *members; /* of a row, column by column */
};

static const char *const device_columns[] = {"DEVICE",	    "STATE",  "PHASE", "GEN",	 "ONLINE",
					     "QUARANTINED", "FROZEN", "GROUP", "LABELS", NULL};
static const char *const device_members[] = {"device", "state",	      "phase",	"generation",
					     "online", "quarantined", "frozen", "group",
					     "labels", NULL};
static const char *const pending_columns[] = {"KEY ID", "DEVICE", "BATCH", "ADDRESS",
					      "FIRST",	"LAST",	  "TRIES", NULL};
static const char *const pending_members[] = {"keyId", "device", "batch", "address",
					      "first", "last",	 "tries", NULL};

static const char *const operator_columns[] = {"NAME",	"ROLE", "SOURCE",      "KIND",
					       "SINCE", "BY",	"FINGERPRINT", NULL};
static const char *const operator_members[] = {"name",	"role", "source", "kind",
					       "since", "by",	"fp",	  NULL};

static const struct list device_list = {"listDevices", "devices", device_columns, device_members};
static const struct list pending_list = {"listPending", "pending", pending_columns,
					 pending_members};
static const struct list operator_list = {"listOperators", "operators", operator_columns,
					  operator_members};

struct pages { /* what has come so far */
	struct kt_ctl_table *table;
	struct kt_json_writer *writer; /* NULL: a table is wanted */
	int64_t count;
	int64_t total;
};

static enum kt_ctl_exit add_row(const struct kt_ctl *ctl, const struct list *list,
				const struct kt_json_value *row, struct pages *pages)
{
	char cell[KT_CELL_MAX];
	char *text = NULL;

	if (!kt_json_is(row, KT_JSON_OBJECT))
		return malformed(ctl);
	if (pages->writer != NULL) {
		if (kt_json_print(row, &text) != KT_ERR_OK)
			return no_memory(ctl);
		kt_json_put_raw(pages->writer, NULL, text);
		free(text);
		return KT_CTL_EXIT_OK;
	}
	for (size_t i = 0; list->members[i] != NULL; i++) {
		kt_cell_of(kt_json_member(row, list->members[i]), cell);
		kt_ctl_table_add(pages->table, cell);
	}
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit add_page(const struct kt_ctl *ctl, const struct list *list,
				 const struct kt_json_value *data, struct pages *pages)
{
	const struct kt_json_value *rows = kt_json_member(data, list->rows);
	const struct kt_json_value *total = kt_json_member(data, "total");
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	if (rows == NULL || !kt_json_is(rows, KT_JSON_ARRAY) || total == NULL ||
	    !kt_json_is(total, KT_JSON_NUMBER))
		return malformed(ctl);
	for (const struct kt_json_value *row = kt_json_first(rows);
	     code == KT_CTL_EXIT_OK && row != NULL; row = kt_json_next(row))
		code = add_row(ctl, list, row, pages);
	pages->count += (int64_t)kt_json_array_len(rows);
	/* a page without rows is the last one, whatever the total says: some may have been deleted
	 * in between */
	pages->total = kt_json_array_len(rows) > 0 ? kt_json_value_number(total) : pages->count;
	return code;
}

static enum kt_ctl_exit fetch_page(struct kt_ctl *ctl, const struct list *list, struct pages *pages)
{
	struct kt_answer answer = {0};
	struct kt_batch batch;
	enum kt_ctl_exit code = kt_batch_begin(ctl, &batch);

	if (code == KT_CTL_EXIT_OK) {
		struct kt_json_writer *w = kt_batch_add(&batch, list->command);

		kt_json_put_number(w, "offset", pages->count);
		if (kt_ctl_selects(ctl->args))
			kt_ctl_put_selection(w, ctl);
		if (kt_ctl_has(ctl->args, KT_CTL_STATE))
			kt_json_put_string(w, "state", ctl->args->values[KT_CTL_STATE]);
		if (kt_ctl_has(ctl->args, KT_CTL_REMOVED))
			kt_json_put_bool(w, "removed", true);
		kt_batch_end(&batch);
		code = kt_batch_exchange(&batch, &answer);
	}
	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL ? kt_ctl_report_error(ctl, "", &reply)
					   : add_page(ctl, list, reply.data, pages);
	}
	kt_answer_clear(&answer);
	kt_batch_free(&batch);
	return code;
}

static enum kt_ctl_exit print_pages(const struct kt_ctl *ctl, struct pages *pages)
{
	char *text = NULL;
	size_t len;

	if (pages->writer == NULL) {
		return kt_ctl_table_print(pages->table, ctl->env->out) == KT_ERR_OK
			       ? KT_CTL_EXIT_OK
			       : no_memory(ctl);
	}
	kt_json_close_array(pages->writer);
	kt_json_put_number(pages->writer, "total", pages->count);
	kt_json_close_object(pages->writer);
	if (kt_json_writer_take(pages->writer, &text, &len) != KT_ERR_OK)
		return no_memory(ctl);
	kt_print_json_text(ctl->env->out, text);
	free(text);
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit run_list(struct kt_ctl *ctl, const struct list *list)
{
	struct pages pages = {.total = 1};
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;
	enum kt_err err = kt_ctl_table_new(list->columns, &pages.table);

	if (err == KT_ERR_OK && kt_ctl_has(ctl->args, KT_CTL_JSON)) {
		err = kt_json_writer_new(&pages.writer);
		if (err == KT_ERR_OK) {
			kt_json_open_object(pages.writer, NULL);
			kt_json_open_array(pages.writer, list->rows);
		}
	}
	if (err != KT_ERR_OK)
		code = no_memory(ctl);
	while (code == KT_CTL_EXIT_OK && pages.count < pages.total)
		code = fetch_page(ctl, list, &pages);
	if (code == KT_CTL_EXIT_OK)
		code = print_pages(ctl, &pages);
	kt_json_writer_free(pages.writer);
	kt_ctl_table_free(pages.table);
	return code;
}

enum kt_ctl_exit kt_ctl_list(struct kt_ctl *ctl)
{
	return run_list(ctl, &device_list);
}

enum kt_ctl_exit kt_ctl_pending(struct kt_ctl *ctl)
{
	return run_list(ctl, &pending_list);
}

enum kt_ctl_exit kt_ctl_list_operators(struct kt_ctl *ctl)
{
	return run_list(ctl, &operator_list);
}

/* --- one object ------------------------------------------------------------------------------- */

/* An item of an array, on one line: its value, or name=value name=value. */
static void print_item(FILE *file, const char *name, const struct kt_json_value *item)
{
	char text[KT_CELL_MAX];

	if (kt_json_is(item, KT_JSON_OBJECT)) {
		(void)snprintf(text, sizeof(text), "%-22s", name);
		kt_print_members(file, text, item, NULL);
	} else {
		kt_cell_of(item, text);
		kt_print_pair(file, name, text);
	}
}

static void print_member(FILE *file, const struct kt_json_value *member)
{
	char cell[KT_CELL_MAX];
	char name[KT_CELL_MAX];

	if (kt_json_is(member, KT_JSON_ARRAY)) {
		for (const struct kt_json_value *v = kt_json_first(member); v != NULL;
		     v = kt_json_next(v))
			print_item(file, kt_json_name(member), v);
	} else if (kt_json_is(member, KT_JSON_OBJECT)) {
		for (const struct kt_json_value *v = kt_json_first(member); v != NULL;
		     v = kt_json_next(v)) {
			(void)snprintf(name, sizeof(name), "%s.%s", kt_json_name(member),
				       kt_json_name(v));
			kt_cell_of(v, cell);
			kt_print_pair(file, name, cell);
		}
	} else {
		kt_cell_of(member, cell);
		kt_print_pair(file, kt_json_name(member), cell);
	}
}

void kt_ctl_print_object(const struct kt_ctl *ctl, const struct kt_json_value *object,
			 const char *const *except)
{
	for (const struct kt_json_value *v = kt_json_first(object); v != NULL;
	     v = kt_json_next(v)) {
		bool is_left_out = false;

		for (size_t i = 0; except[i] != NULL; i++)
			is_left_out = is_left_out || strcmp(kt_json_name(v), except[i]) == 0;
		if (!is_left_out)
			print_member(ctl->env->out, v);
	}
}

/* Whatever the plugin tells is shown, by the names of the protocol: a newer one may tell more. */
static enum kt_ctl_exit run_object(struct kt_ctl *ctl, const char *command, const char *device)
{
	struct kt_answer answer = {0};
	struct kt_reply reply = {0};
	struct kt_batch batch;
	enum kt_ctl_exit code = kt_batch_begin(ctl, &batch);

	if (code == KT_CTL_EXIT_OK) {
		struct kt_json_writer *w = kt_batch_add(&batch, command);

		if (device[0] != '\0')
			kt_json_put_string(w, "device", device);
		kt_batch_end(&batch);
		code = kt_batch_exchange(&batch, &answer);
	}
	if (code != KT_CTL_EXIT_OK)
		goto out;
	reply = kt_answer_reply(&answer, 0);
	if (reply.error != NULL) {
		code = kt_ctl_report_error(ctl, device, &reply);
	} else if (kt_ctl_has(ctl->args, KT_CTL_JSON)) {
		code = kt_ctl_print_data(ctl, reply.data);
	} else {
		kt_ctl_print_object(ctl, reply.data, (const char *const[]){NULL});
	}
out:
	kt_answer_clear(&answer);
	kt_batch_free(&batch);
	return code;
}

enum kt_ctl_exit kt_ctl_show(struct kt_ctl *ctl)
{
	return run_object(ctl, "getDevice", ctl->args->operands[0]);
}

enum kt_ctl_exit kt_ctl_status(struct kt_ctl *ctl)
{
	return run_object(ctl, "status", "");
}
