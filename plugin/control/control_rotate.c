#include "control_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a rotate names, settled before the first op is opened: a slip in a list of a thousand must
 * not leave half a fleet rotating. */
struct selection {
	size_t count;
	const struct kt_device *devices[KT_CONTROL_DEVICES_MAX];
};

static bool select_add(struct kt_control *c, struct selection *selection,
		       const struct kt_device *device)
{
	for (size_t i = 0; i < selection->count; i++) {
		if (selection->devices[i] == device) {
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices",
					 "names one twice");
		}
	}
	selection->devices[selection->count++] = device;
	return true;
}

static bool select_list(struct kt_control *c, struct selection *selection)
{
	const struct kt_json_value *list = kt_json_member(c->item, "devices");
	for (const struct kt_json_value *value = kt_json_first(list); value != NULL;
	     value = kt_json_next(value)) {
		if (!kt_json_is(value, KT_JSON_STRING)) {
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices",
					 "holds something that is no string");
		}
		const struct kt_device *device =
			kt_registry_find_device(c->core->registry, kt_json_value_string(value));
		if (device == NULL) {
			return kt_refuse(&c->refusal, KT_REASON_NOT_FOUND, "devices",
					 "names one that does not exist");
		}
		if (!select_add(c, selection, device)) {
			return false;
		}
	}
	if (selection->count == 0) {
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "devices", "is empty");
	}
	return true;
}

static bool select_all(struct kt_control *c, struct selection *selection)
{
	size_t cursor = 0;
	if (!kt_json_bool(c->item, "all")) {
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "all", "can only be true");
	}
	for (;;) {
		const struct kt_device *device =
			kt_registry_next_device(c->core->registry, &cursor);
		if (device == NULL) {
			return true;
		}
		if (device->state != KT_DEVICE_ACTIVE) {
			continue;
		}
		if (selection->count == KT_CONTROL_DEVICES_MAX) {
			return kt_refuse(&c->refusal, KT_REASON_MSG_SIZE, "all",
					 "would be more than 1000 devices: name them in parts");
		}
		selection->devices[selection->count++] = device;
	}
}

static bool check_expect(struct kt_control *c, const struct selection *selection, bool all)
{
	const struct kt_json_value *expect = kt_json_member(c->item, "expect");
	if (expect == NULL) {
		return all || selection->count > 1
			       ? kt_refuse(&c->refusal, KT_REASON_EXPECT, "expect",
					   "is missing: say how many devices you mean")
			       : true;
	}
	if (kt_json_value_number(expect) != (int64_t)selection->count) {
		return kt_refuse(&c->refusal, KT_REASON_EXPECT, "expect",
				 "is not the number of devices that this would rotate");
	}
	return true;
}

static void rotate_one(struct kt_control *c, const char *note)
{
	const struct kt_device *device = kt_control_device(c);
	if (device == NULL) {
		return;
	}
	const struct kt_json_value *expect = kt_json_member(c->item, "expect");
	if (expect != NULL && kt_json_value_number(expect) != 1) {
		(void)kt_refuse(&c->refusal, KT_REASON_EXPECT, "expect",
				"is not the number of devices that this would rotate");
		return;
	}
	if (kt_control_outcome(c, kt_rotation_order(c->core, device, c->session->actor, note))) {
		kt_json_put_string(kt_control_data(c), "device", device->id.s);
		kt_json_put_u64(kt_control_data(c), "op", c->op);
	}
}

/* One row per device, in the order of the selection; who could not be rotated has an error. */
static void rotate_each(struct kt_control *c, const struct selection *selection, const char *note)
{
	size_t refused = 0;
	kt_json_open_array(kt_control_data(c), "devices");
	for (size_t i = 0; i < selection->count; i++) {
		const struct kt_device *device = selection->devices[i];
		struct kt_outcome outcome =
			kt_rotation_order(c->core, device, c->session->actor, note);
		kt_json_open_object(c->writer, NULL);
		kt_json_put_string(c->writer, "device", device->id.s);
		if (outcome.reason == KT_REASON_NONE) {
			kt_json_put_u64(c->writer, "op", outcome.op);
			c->seq = outcome.seq > c->seq ? outcome.seq : c->seq;
		} else {
			kt_json_put_string(c->writer, "error", kt_reason_name(outcome.reason));
			refused++;
		}
		kt_json_close_object(c->writer);
	}
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, "ordered", (int64_t)(selection->count - refused));
	kt_json_put_number(c->writer, "refused", (int64_t)refused);
}

void kt_command_rotate(struct kt_control *c)
{
	bool one = kt_json_member(c->item, "device") != NULL;
	bool list = kt_json_member(c->item, "devices") != NULL;
	bool all = kt_json_member(c->item, "all") != NULL;
	const char *note = kt_control_note(c);

	if ((int)one + (int)list + (int)all != 1) {
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "device",
				"or devices or all: exactly one of them");
		return;
	}
	if (one) {
		rotate_one(c, note);
		return;
	}
	struct selection *selection = calloc(1, sizeof(*selection));
	if (selection == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
		return;
	}
	bool settled = list ? select_list(c, selection) : select_all(c, selection);
	if (settled && check_expect(c, selection, all)) {
		rotate_each(c, selection, note);
	}
	free(selection);
}
