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
	[KT_COMMAND_BEGIN_CAMPAIGN] = kt_command_begin_campaign,
	[KT_COMMAND_PAUSE_CAMPAIGN] = kt_command_pause_campaign,
	[KT_COMMAND_RESUME_CAMPAIGN] = kt_command_resume_campaign,
	[KT_COMMAND_ABORT_CAMPAIGN] = kt_command_abort_campaign,
	[KT_COMMAND_LIST_CAMPAIGNS] = kt_command_list_campaigns,
	[KT_COMMAND_GET_CAMPAIGN] = kt_command_get_campaign,
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
		{"actor", c->actor},
		{"op", c->op != 0 ? op : NULL},
	};
	if (is_worth_a_line(head->command)) {
		kt_core_fact(c->core, KT_EVENT_COMMAND_DONE, c->device, fields,
			     sizeof(fields) / sizeof(fields[0]), c->seq);
	}
}

static void log_refused(struct kt_core *core, const char *actor, const struct kt_command_head *head,
			const struct kt_refusal *refusal, const struct kt_device *device)
{
	const struct kt_field fields[] = {
		{"command", head->command != KT_COMMAND_COUNT ? head->name : NULL},
		{"actor", actor},
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

/* --- a batch, in pieces --- */

/*
 * What an operator asks for may be a thousand actions, or a look at a million devices: the broker's
 * loop goes on in between. Batches are carried out in the order in which they came.
 */
struct batch {
	struct batch *next;
	struct kt_json *json;
	const struct kt_json_value *item; /* the next one; NULL: none is left */
	struct kt_json_writer *writer;
	uint64_t session; /* its number */
	char actor[KT_ACTOR_MAX + 1];
	uint64_t seq;	     /* the highest that the answer rests on */
	struct kt_control c; /* the command in hand, if is_in_hand */
	struct kt_command_head head;
	bool is_in_hand;
};

struct kt_batches {
	struct batch *first;
	struct batch *last;
	size_t count;
};

static void free_batch(struct batch *batch)
{
	if (batch == NULL)
		return;
	free(batch->c.work);
	kt_json_writer_free(batch->writer);
	kt_json_free(batch->json);
	free(batch);
}

/* Nobody may do what he may not now: an earlier command, or somebody else, may have ended it. */
static enum kt_role role_now(const struct kt_session *session)
{
	return session != NULL ? kt_session_role(session) : KT_ROLE_NONE;
}

static void begin_command(struct batch *batch, struct kt_core *core,
			  const struct kt_session *session, int64_t budget)
{
	struct kt_control *c = &batch->c;
	bool is_selected;

	*c = (struct kt_control){.core = core,
				 .session = session,
				 .actor = batch->actor,
				 .item = batch->item,
				 .writer = batch->writer,
				 .budget = budget - KT_CONTROL_ACTION};
	batch->item = kt_json_next(batch->item);
	batch->is_in_hand = true;
	kt_json_open_object(batch->writer, NULL);
	is_selected = kt_control_select(c->item, role_now(session), &batch->head, &c->refusal);
	put_head(batch->writer, &batch->head);
	if (is_selected)
		runs[batch->head.command](c);
}

static void end_command(struct batch *batch)
{
	struct kt_control *c = &batch->c;

	free(c->work);
	c->work = NULL;
	if (c->refusal.reason == KT_REASON_NONE)
		(void)kt_control_data(c);
	if (c->has_data)
		kt_json_close_object(c->writer);
	if (c->refusal.reason == KT_REASON_NONE) {
		log_done(c, &batch->head);
	} else {
		put_refusal(c->writer, &c->refusal);
		log_refused(c->core, c->actor, &batch->head, &c->refusal, c->device);
	}
	kt_json_close_object(c->writer);
	batch->seq = c->seq > batch->seq ? c->seq : batch->seq;
	batch->is_in_hand = false;
}

/*
 * Whose right ends is refused the rest at once: he is to have the answer before he is disconnected.
 */
static bool goes_on(const struct batch *batch, const struct kt_session *session, int64_t budget)
{
	if (batch->is_in_hand)
		return budget > 0;
	return batch->item != NULL && (budget > 0 || role_now(session) == KT_ROLE_NONE);
}

/* A piece of it. True: all of it is done. */
static bool run_piece(struct batch *batch, struct kt_core *core, const struct kt_session *session)
{
	int64_t budget = KT_CONTROL_PIECE;

	while (goes_on(batch, session, budget)) {
		if (batch->is_in_hand) {
			batch->c.session = session;
			batch->c.budget = budget;
			batch->c.step(&batch->c);
		} else {
			begin_command(batch, core, session, budget);
		}
		budget = batch->c.budget;
		if (batch->c.step == NULL)
			end_command(batch);
	}
	return !batch->is_in_hand && batch->item == NULL;
}

/* The whole batch could not be read: one response, which names no command. */
static void answer_unreadable(struct kt_core *core, const char *actor,
			      const struct kt_refusal *refusal, struct kt_json_writer *w)
{
	const struct kt_command_head nobody = {.command = KT_COMMAND_COUNT};
	kt_json_open_object(w, NULL);
	put_refusal(w, refusal);
	kt_json_close_object(w);
	log_refused(core, actor, &nobody, refusal, NULL);
}

/* Something must be said even when there is no memory to say it well. */
static void answer_poorly(struct kt_core *core, const struct kt_session *session, const char *text)
{
	char *copy = strdup(text);

	if (copy != NULL)
		kt_core_reply(core, session, copy, 0); /* moved */
}

static const char no_memory[] =
	"{\"responses\":[{\"error\":\"busy\",\"detail\":\"no memory for the "
	"answer: look what was done\"}]}";
static const char too_many[] = "{\"responses\":[{\"error\":\"busy\",\"detail\":\"too many batches "
			       "are waiting, try again\"}]}";

/* To who asked, if he is still there. */
static void answer(struct batch *batch, struct kt_core *core, const struct kt_session *session)
{
	char *text = NULL;
	size_t len = 0;

	kt_json_close_array(batch->writer);
	kt_json_close_object(batch->writer);
	if (session == NULL)
		return;
	if (kt_json_writer_take(batch->writer, &text, &len) == KT_ERR_OK)
		kt_core_reply(core, session, text, batch->seq); /* moved */
	else
		answer_poorly(core, session, no_memory);
}

static void put_last(struct kt_batches *batches, struct batch *batch)
{
	if (batches->last == NULL)
		batches->first = batch;
	else
		batches->last->next = batch;
	batches->last = batch;
	batches->count++;
}

static void drop_first(struct kt_batches *batches)
{
	struct batch *first = batches->first;

	batches->first = first->next;
	if (batches->first == NULL)
		batches->last = NULL;
	batches->count--;
	free_batch(first);
}

/* NULL, and an answer was given. */
static struct batch *new_batch(struct kt_core *core, const struct kt_session *session,
			       struct kt_bytes payload)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	const struct kt_json_value *commands = NULL;
	struct kt_refusal refusal;

	/* Before anything is done: without a writer nobody could be told. */
	if (batch == NULL || kt_json_writer_new(&batch->writer) != KT_ERR_OK) {
		free_batch(batch);
		answer_poorly(core, session, no_memory);
		return NULL;
	}
	batch->session = session->number;
	memcpy(batch->actor, session->actor, sizeof(batch->actor));
	kt_json_open_object(batch->writer, NULL);
	kt_json_open_array(batch->writer, "responses");
	if (kt_control_decode(payload, &batch->json, &commands, &refusal))
		batch->item = kt_json_first(commands);
	else
		answer_unreadable(core, batch->actor, &refusal, batch->writer);
	return batch;
}

void kt_control_batch(struct kt_core *core, struct kt_session *session, struct kt_bytes payload)
{
	struct batch *batch = NULL;

	if (core->batches->count == KT_CONTROL_BATCHES_MAX) {
		answer_poorly(core, session, too_many);
		return;
	}
	batch = new_batch(core, session, payload);
	if (batch == NULL)
		return;
	if (core->batches->count == 0 && run_piece(batch, core, session)) {
		answer(batch, core, session);
		free_batch(batch);
		return;
	}
	put_last(core->batches, batch);
}

/* Who is gone has what he ordered finished, and nothing more begun. */
void kt_control_tick(struct kt_core *core)
{
	struct batch *batch = core->batches->first;
	const struct kt_session *session;

	if (batch == NULL)
		return;
	session = kt_sessions_by_number(core->sessions, batch->session);
	if (!run_piece(batch, core, session))
		return;
	answer(batch, core, session);
	drop_first(core->batches);
}

bool kt_control_is_busy(const struct kt_core *core)
{
	return core->batches->count > 0;
}

enum kt_err kt_batches_new(struct kt_batches **out)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
}

void kt_batches_free(struct kt_batches *batches)
{
	if (batches == NULL)
		return;
	while (batches->first != NULL)
		drop_first(batches);
	free(batches);
}
