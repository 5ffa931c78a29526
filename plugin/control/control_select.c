/* Which devices a command means, and the command for each of them. */
#include <stdlib.h>
#include <string.h>

#include "control_internal.h"
#include "selector.h"

/* Settled before anything is done to the first one: a slip in a list of a thousand must not leave
 * half a fleet revoked. */
struct selection {
	kt_device_action *action;
	struct kt_selector selector;
	const char *field; /* that says whom */
	size_t cursor;	   /* of the walk over all devices */
	size_t at;	   /* the next one that something is done to */
	size_t done;
	size_t count;
	const struct kt_device *devices[KT_CONTROL_DEVICES_MAX];
};

static bool select_add(struct kt_control *c, struct selection *selection,
		       const struct kt_device *device)
{
	for (size_t i = 0; i < selection->count; i++) {
		if (selection->devices[i] == device)
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices",
					 "names one twice");
	}
	selection->devices[selection->count++] = device;
	return true;
}

static bool select_list(struct kt_control *c, struct selection *selection)
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
		if (!select_add(c, selection, device))
			return false;
	}
	if (selection->count == 0)
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

static bool is_dry_run(const struct kt_control *c)
{
	return kt_json_bool(c->item, "dryRun");
}

static void run_one(struct kt_control *c, kt_device_action *action)
{
	const struct kt_device *device = kt_control_device(c);

	if (device == NULL || !check_expect(c, 1, false))
		return;
	if (is_dry_run(c)) {
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

	if (!is_dry_run(c))
		outcome = action(c, device);
	kt_json_open_object(c->writer, NULL);
	kt_json_put_string(c->writer, "device", device->id.s);
	if (outcome.reason != KT_REASON_NONE)
		kt_json_put_string(c->writer, "error", kt_reason_name(outcome.reason));
	else if (c->tells_op && !is_dry_run(c))
		kt_json_put_u64(c->writer, "op", outcome.op);
	if (outcome.reason == KT_REASON_NONE && outcome.seq > c->seq)
		c->seq = outcome.seq;
	kt_json_close_object(c->writer);
	return outcome.reason == KT_REASON_NONE;
}

/* One row per device, in the order of the selection. */
static void run_rows(struct kt_control *c)
{
	struct selection *selection = c->work;

	for (; selection->at < selection->count && c->budget > 0; selection->at++) {
		c->budget -= KT_CONTROL_ACTION;
		if (run_row(c, selection->action, selection->devices[selection->at]))
			selection->done++;
	}
	if (selection->at < selection->count)
		return;
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, is_dry_run(c) ? "meant" : "ordered",
			   (int64_t)selection->done);
	kt_json_put_number(c->writer, "refused", (int64_t)(selection->count - selection->done));
	c->step = NULL;
}

/* All who are meant are known. */
static void begin_rows(struct kt_control *c, bool is_expect_needed)
{
	const struct selection *selection = c->work;

	c->step = NULL;
	if (!check_expect(c, (int64_t)selection->count, is_expect_needed && !is_dry_run(c)))
		return;
	kt_json_open_array(kt_control_data(c), "devices");
	c->step = run_rows;
	run_rows(c);
}

/* Without a word of the selector: all active devices. */
static void select_by(struct kt_control *c)
{
	struct selection *selection = c->work;
	const struct kt_device *device;

	while (c->budget > 0) {
		device = kt_registry_next_device(c->core->registry, &selection->cursor);
		if (device == NULL) {
			begin_rows(c, true);
			return;
		}
		c->budget -= KT_CONTROL_LOOK;
		if (!kt_selector_means(&selection->selector, device, c->core->now.wall_us, true))
			continue;
		if (selection->count == KT_CONTROL_DEVICES_MAX) {
			(void)kt_refuse(&c->refusal, KT_REASON_MSG_SIZE, selection->field,
					"would be more than 1000 devices: name them in parts");
			c->step = NULL;
			return;
		}
		selection->devices[selection->count++] = device;
	}
}

void kt_control_each(struct kt_control *c, kt_device_action *action)
{
	const bool is_one = kt_json_member(c->item, "device") != NULL;
	const bool is_list = kt_json_member(c->item, "devices") != NULL;
	const bool is_all = kt_json_member(c->item, "all") != NULL;
	const bool is_select = kt_json_member(c->item, "select") != NULL;
	struct selection *selection = NULL;

	if ((int)is_one + (int)is_list + (int)is_all + (int)is_select != 1) {
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "device",
				"or devices or all or select: exactly one of them");
		return;
	}
	if (is_one) {
		run_one(c, action);
		return;
	}
	if (is_all && !kt_json_bool(c->item, "all")) {
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "all", "can only be true");
		return;
	}
	selection = calloc(1, sizeof(*selection));
	if (selection == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
		return;
	}
	selection->action = action;
	selection->field = is_all ? "all" : "select";
	c->work = selection;
	if (is_list) {
		if (select_list(c, selection))
			begin_rows(c, selection->count > 1);
	} else if (kt_control_selector(c, &selection->selector)) {
		c->step = select_by;
		select_by(c);
	}
}
