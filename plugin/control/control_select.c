/* Which devices a command means, and the command for each of them. */
#include <stdlib.h>
#include <string.h>

#include "control_internal.h"
#include "selector.h"

/* One more; false and a refusal: one too many, or no memory. */
static bool take_device(struct kt_control *c, const struct kt_device *device)
{
	struct kt_selection *selection = c->work;

	if (selection->count == selection->max)
		return kt_refuse(&c->refusal, KT_REASON_MSG_SIZE, selection->field,
				 "would be more than 1000 devices: name them in parts");
	if (selection->count == selection->room) {
		const size_t room = 2 * selection->room;
		struct kt_selection *grown = realloc(
			selection, sizeof(*selection) + room * sizeof(selection->devices[0]));

		if (grown == NULL)
			return kt_refuse(&c->refusal, KT_REASON_BUSY, "",
					 "out of memory, try again");
		grown->room = room;
		c->work = grown;
		selection = grown;
	}
	selection->devices[selection->count++] = device;
	return true;
}

static bool is_taken(const struct kt_selection *selection, const struct kt_device *device)
{
	for (size_t i = 0; i < selection->count; i++) {
		if (selection->devices[i] == device)
			return true;
	}
	return false;
}

static bool select_list(struct kt_control *c)
{
	const struct kt_json_value *list = kt_json_member(c->item, "devices");

	for (const struct kt_json_value *value = kt_json_first(list); value != NULL;
	     value = kt_json_next(value)) {
		const struct kt_device *device;

		if (!kt_json_is(value, KT_JSON_STRING))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices",
					 "holds something that is no string");
		device = kt_registry_find_device(c->core->registry, kt_json_value_string(value));
		if (device == NULL)
			return kt_refuse(&c->refusal, KT_REASON_NOT_FOUND, "devices",
					 "names one that does not exist");
		if (is_taken(c->work, device))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices",
					 "names one twice");
		if (!take_device(c, device))
			return false;
	}
	if (((const struct kt_selection *)c->work)->count == 0)
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices", "is empty");
	return true;
}

bool kt_control_selector(struct kt_control *c, struct kt_selector *out)
{
	const struct kt_json_value *words = kt_json_member(c->item, "select");
	const char *why = "";

	memset(out, 0, sizeof(*out));
	for (const struct kt_json_value *word = words != NULL ? kt_json_first(words) : NULL;
	     word != NULL; word = kt_json_next(word)) {
		if (!kt_json_is(word, KT_JSON_STRING))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "select",
					 "holds something that is no string");
		if (!kt_selector_add(out, kt_json_value_string(word), &why))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "select", why);
	}
	if (words != NULL && out->count == 0)
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "select", "is empty");
	return true;
}

static bool check_expect(struct kt_control *c, int64_t count, bool is_needed)
{
	const struct kt_json_value *expect = kt_json_member(c->item, "expect");

	if (expect == NULL)
		return is_needed ? kt_refuse(&c->refusal, KT_REASON_EXPECT, "expect",
					     "is missing: say how many devices you mean")
				 : true;
	if (kt_json_value_number(expect) == count)
		return true;
	return kt_refuse(&c->refusal, KT_REASON_EXPECT, "expect",
			 "is not the number of devices that this would be done to");
}

bool kt_control_is_dry_run(const struct kt_control *c)
{
	return kt_json_bool(c->item, "dryRun");
}

static void run_one(struct kt_control *c, kt_device_action *action)
{
	const struct kt_device *device = kt_control_device(c);

	if (device == NULL || !check_expect(c, 1, false))
		return;
	if (kt_control_is_dry_run(c)) {
		kt_json_put_string(kt_control_data(c), "device", device->id.s);
		return;
	}
	if (kt_control_outcome(c, action(c, device)) && c->tells_op) {
		kt_json_put_string(kt_control_data(c), "device", device->id.s);
		kt_json_put_u64(kt_control_data(c), "op", c->op);
	}
}

/* False: the command was refused for this device. */
static bool run_row(struct kt_control *c, kt_device_action *action, const struct kt_device *device)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};

	if (!kt_control_is_dry_run(c))
		outcome = action(c, device);
	kt_json_open_object(c->writer, NULL);
	kt_json_put_string(c->writer, "device", device->id.s);
	if (outcome.reason != KT_REASON_NONE)
		kt_json_put_string(c->writer, "error", kt_reason_name(outcome.reason));
	else if (c->tells_op && !kt_control_is_dry_run(c))
		kt_json_put_u64(c->writer, "op", outcome.op);
	if (outcome.reason == KT_REASON_NONE && outcome.seq > c->seq)
		c->seq = outcome.seq;
	kt_json_close_object(c->writer);
	return outcome.reason == KT_REASON_NONE;
}

/* One row per device, in the order of the selection. */
static void run_rows(struct kt_control *c)
{
	struct kt_selection *selection = c->work;

	for (; selection->at < selection->count && c->budget > 0; selection->at++) {
		c->budget -= KT_CONTROL_ACTION;
		if (run_row(c, selection->action, selection->devices[selection->at]))
			selection->done++;
	}
	if (selection->at < selection->count)
		return;
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, kt_control_is_dry_run(c) ? "meant" : "ordered",
			   (int64_t)selection->done);
	kt_json_put_number(c->writer, "refused", (int64_t)(selection->count - selection->done));
	c->step = NULL;
}

static void begin_rows(struct kt_control *c)
{
	kt_json_open_array(kt_control_data(c), "devices");
	c->step = run_rows;
	run_rows(c);
}

/* All who are meant are known. */
static void go_on(struct kt_control *c, bool is_expect_needed)
{
	struct kt_selection *selection = c->work;

	c->step = NULL;
	if (check_expect(c, (int64_t)selection->count,
			 is_expect_needed && !kt_control_is_dry_run(c)))
		selection->then(c);
}

/* Without a word of the selector: all active devices. */
static void select_by(struct kt_control *c)
{
	const struct kt_device *device;

	while (c->budget > 0) {
		struct kt_selection *selection = c->work;

		device = kt_registry_next_device(c->core->registry, &selection->cursor);
		if (device == NULL) {
			go_on(c, true);
			return;
		}
		c->budget -= KT_CONTROL_LOOK;
		if (kt_selector_means(&selection->selector, device, c->core->now.wall_us, true) &&
		    !take_device(c, device)) {
			c->step = NULL;
			return;
		}
	}
}

static bool names_them_once(struct kt_control *c)
{
	static const char *const ways[] = {"device", "devices", "all", "select"};
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		count += kt_json_member(c->item, ways[i]) != NULL ? 1 : 0;
	if (count != 1)
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "device",
				 "or devices or all or select: exactly one of them");
	if (kt_json_member(c->item, "all") != NULL && !kt_json_bool(c->item, "all"))
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "all", "can only be true");
	return true;
}

/* NULL and a refusal: no memory. c->work has it. */
static struct kt_selection *new_selection(struct kt_control *c, size_t max, kt_control_step *then)
{
	struct kt_selection *selection =
		calloc(1, sizeof(*selection) + KT_SELECTION_ROOM * sizeof(selection->devices[0]));

	if (selection == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
		return NULL;
	}
	selection->room = KT_SELECTION_ROOM;
	selection->max = max;
	selection->then = then;
	selection->field = kt_json_member(c->item, "all") != NULL ? "all" : "select";
	c->work = selection;
	return selection;
}

static void gather(struct kt_control *c, struct kt_selection *selection)
{
	if (kt_json_member(c->item, "devices") != NULL) {
		if (select_list(c))
			go_on(c, ((const struct kt_selection *)c->work)->count > 1);
	} else if (kt_control_selector(c, &selection->selector)) {
		c->step = select_by;
		select_by(c);
	}
}

void kt_control_gather(struct kt_control *c, size_t max, kt_control_step *then)
{
	struct kt_selection *selection;
	const struct kt_device *device;

	if (!names_them_once(c))
		return;
	selection = new_selection(c, max, then);
	if (selection == NULL)
		return;
	if (kt_json_member(c->item, "device") == NULL) {
		gather(c, selection);
		return;
	}
	device = kt_control_device(c);
	if (device != NULL && take_device(c, device))
		go_on(c, false);
}

void kt_control_each(struct kt_control *c, kt_device_action *action)
{
	struct kt_selection *selection;

	if (!names_them_once(c))
		return;
	if (kt_json_member(c->item, "device") != NULL) {
		run_one(c, action);
		return;
	}
	selection = new_selection(c, KT_CONTROL_DEVICES_MAX, begin_rows);
	if (selection == NULL)
		return;
	selection->action = action;
	gather(c, selection);
}
