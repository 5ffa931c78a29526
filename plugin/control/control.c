#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control_internal.h"
#include "encoding.h"

static kt_command_run *const runs[KT_COMMAND_COUNT] = {
	[KT_COMMAND_CREATE_DEVICE] = kt_command_create_device,
	[KT_COMMAND_IMPORT_CERTIFICATE] = kt_command_import_certificate,
	[KT_COMMAND_CREATE_TICKET] = kt_command_create_ticket,
	[KT_COMMAND_LIST_DEVICES] = kt_command_list_devices,
	[KT_COMMAND_GET_DEVICE] = kt_command_get_device,
	[KT_COMMAND_LIST_PENDING] = kt_command_list_pending,
	[KT_COMMAND_APPROVE] = kt_command_approve,
	[KT_COMMAND_DENY] = kt_command_deny,
	[KT_COMMAND_SET_DEVICE] = kt_command_set_device,
	[KT_COMMAND_ROTATE] = kt_command_rotate,
	[KT_COMMAND_CANCEL] = kt_command_cancel,
	[KT_COMMAND_CHALLENGE] = kt_command_challenge,
	[KT_COMMAND_QUARANTINE] = kt_command_quarantine,
	[KT_COMMAND_RELEASE] = kt_command_release,
	[KT_COMMAND_CONFIRM_CLOCK] = kt_command_confirm_clock,
	[KT_COMMAND_END_RECONCILE] = kt_command_end_reconcile,
	[KT_COMMAND_REVOKE] = kt_command_revoke,
	[KT_COMMAND_DELETE_DEVICE] = kt_command_delete_device,
	[KT_COMMAND_STATUS] = kt_command_status,
	[KT_COMMAND_ADD_OPERATOR] = kt_command_add_operator,
	[KT_COMMAND_REMOVE_OPERATOR] = kt_command_remove_operator,
	[KT_COMMAND_LIST_OPERATORS] = kt_command_list_operators,
};

struct kt_json_writer *kt_control_data(struct kt_control *c)
{
	if (!c->has_data) {
		c->has_data = true;
		kt_json_open_object(c->writer, "data");
	}
	return c->writer;
}

bool kt_control_outcome(struct kt_control *c, struct kt_outcome outcome)
{
	if (outcome.reason != KT_REASON_NONE) {
		/* What is in memory alone has no record that will ever be durable: nothing to wait
		 * for. */
		return kt_refuse(&c->refusal, outcome.reason, "", kt_reason_text(outcome.reason));
	}
	if (outcome.seq > c->seq) {
		c->seq = outcome.seq;
	}
	c->op = outcome.op;
	return true;
}

const struct kt_device *kt_control_device(struct kt_control *c)
{
	struct kt_device_id id;
	if (!kt_field_device(c->item, &id, &c->refusal)) {
		return NULL;
	}
	c->device = kt_registry_find_device(c->core->registry, id.s);
	if (c->device == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_NOT_FOUND, "device", "does not exist");
	}
	return c->device;
}

const char *kt_control_note(const struct kt_control *c)
{
	const char *note = kt_json_string(c->item, "note");
	return note != NULL ? note : "";
}

void kt_control_put_time(struct kt_json_writer *w, const char *name, int64_t time_us)
{
	char day[32];
	char text[48];
	struct tm tm;
	time_t seconds = (time_t)(time_us / 1000000);
	if (time_us <= 0 || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0 ||
	    snprintf(text, sizeof(text), "%s.%06dZ", day, (int)(time_us % 1000000)) < 0) {
		return;
	}
	kt_json_put_string(w, name, text);
}

/* --- log lines --- */

/* Who looks is not worth a line; who changes is. */
static bool is_worth_a_line(enum kt_command command)
{
	return kt_command_permit(command) != KT_PERMIT_LOOK;
}

static void log_done(const struct kt_control *c, const struct kt_command_head *head)
{
	char op[KT_U64_DIGITS_MAX + 1];
	kt_u64_encode(c->op, op);
	const struct kt_field fields[] = {
		{"command", kt_command_name(head->command)},
		{"actor", c->session->actor},
		{"op", c->op != 0 ? op : NULL},
	};
	if (is_worth_a_line(head->command)) {
		kt_core_fact(c->core, KT_EVENT_COMMAND_DONE, c->device, fields,
			     sizeof(fields) / sizeof(fields[0]), c->seq);
	}
}

static void log_refused(struct kt_core *core, const struct kt_session *session,
			const struct kt_command_head *head, const struct kt_refusal *refusal,
			const struct kt_device *device)
{
	const struct kt_field fields[] = {
		{"command", head->command != KT_COMMAND_COUNT ? head->name : NULL},
		{"actor", session->actor},
		{"device", device != NULL ? device->id.s : NULL},
	};
	kt_core_refused(core, KT_EVENT_COMMAND_REFUSED, refusal->reason, fields,
			sizeof(fields) / sizeof(fields[0]));
}

/* --- answers --- */

static void put_refusal(struct kt_json_writer *w, const struct kt_refusal *refusal)
{
	kt_json_put_string(w, "error", kt_reason_name(refusal->reason));
	kt_json_put_string(w, "detail", refusal->detail);
}

static void put_head(struct kt_json_writer *w, const struct kt_command_head *head)
{
	if (head->name != NULL) {
		kt_json_put_string(w, "command", head->name);
	}
	if (head->correlation != NULL) {
		kt_json_put_string(w, "correlationData", head->correlation);
	}
}

/* One command: the highest seq that its answer rests on. */
static uint64_t answer_one(struct kt_core *core, const struct kt_session *session,
			   const struct kt_json_value *item, struct kt_json_writer *w)
{
	struct kt_control c = {.core = core, .session = session, .item = item, .writer = w};
	struct kt_command_head head;

	kt_json_open_object(w, NULL);
	/* as it is now: an earlier command of the batch may have ended it */
	bool selected = kt_control_select(item, kt_session_role(session), &head, &c.refusal);
	put_head(w, &head);
	if (selected) {
		runs[head.command](&c);
	}
	if (c.refusal.reason == KT_REASON_NONE) {
		(void)kt_control_data(&c);
	}
	if (c.has_data) {
		kt_json_close_object(w);
	}
	if (c.refusal.reason == KT_REASON_NONE) {
		log_done(&c, &head);
	} else {
		put_refusal(w, &c.refusal);
		log_refused(core, session, &head, &c.refusal, c.device);
	}
	kt_json_close_object(w);
	return c.seq;
}

/* The whole batch could not be read: one response, which names no command. */
static void answer_unreadable(struct kt_core *core, const struct kt_session *session,
			      const struct kt_refusal *refusal, struct kt_json_writer *w)
{
	const struct kt_command_head nobody = {.command = KT_COMMAND_COUNT};
	kt_json_open_object(w, NULL);
	put_refusal(w, refusal);
	kt_json_close_object(w);
	log_refused(core, session, &nobody, refusal, NULL);
}

/* Something must be said even when there is no memory to say it well. */
static char *poor_answer(void)
{
	return strdup("{\"responses\":[{\"error\":\"busy\",\"detail\":\"no memory for the answer: "
		      "look what was done\"}]}");
}

void kt_control_batch(struct kt_core *core, struct kt_session *session, struct kt_bytes payload)
{
	struct kt_json *json = NULL;
	struct kt_json_writer *w = NULL;
	const struct kt_json_value *commands = NULL;
	struct kt_refusal refusal;
	char *text = NULL;
	size_t len = 0;
	uint64_t seq = 0;

	/* Before anything is done: without a writer nobody could be told. */
	if (kt_json_writer_new(&w) != KT_ERR_OK) {
		text = poor_answer();
		goto out;
	}
	kt_json_open_object(w, NULL);
	kt_json_open_array(w, "responses");
	if (kt_control_decode(payload, &json, &commands, &refusal)) {
		for (const struct kt_json_value *item = kt_json_first(commands); item != NULL;
		     item = kt_json_next(item)) {
			uint64_t one = answer_one(core, session, item, w);
			seq = one > seq ? one : seq;
		}
	} else {
		answer_unreadable(core, session, &refusal, w);
	}
	kt_json_close_array(w);
	kt_json_close_object(w);
	if (kt_json_writer_take(w, &text, &len) != KT_ERR_OK) {
		text = poor_answer();
	}
out:
	if (text != NULL) {
		kt_core_reply(core, session, text, seq); /* moved */
	}
	kt_json_writer_free(w);
	kt_json_free(json);
}
