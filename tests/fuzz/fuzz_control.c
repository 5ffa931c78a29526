#include "control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_fields(const struct kt_json_value *item)
{
	static const int64_t range[2] = {1, 200};
	struct kt_refusal refusal = {.reason = KT_REASON_NONE};
	struct kt_device_id device;
	struct kt_key_id key_id;
	const char *name = NULL;
	int64_t number = 7;
	(void)kt_field_key_id(item, &key_id, &refusal);
	(void)kt_field_name(item, "group", false, &name, &refusal);
	if (name == NULL) {
		abort();
	}
	if (kt_field_device(item, &device, &refusal) && device.s[0] != '\0' &&
	    !kt_is_device_id(device.s, strlen(device.s))) {
		abort();
	}
	if (kt_json_member(item, "count") != NULL &&
	    kt_field_number(item, "count", range, &number, &refusal) &&
	    (number < 1 || number > 200)) {
		abort();
	}
}

/* Every refusal has a reason that an operator may be told; nobody without a role gets through. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_json *json = NULL;
	const struct kt_json_value *commands = NULL;
	struct kt_refusal refusal;
	struct kt_command_head head;

	if (!kt_control_decode((struct kt_bytes){.p = bytes, .len = len}, &json, &commands,
			       &refusal)) {
		if (json != NULL || !kt_reason_is_for_peer(refusal.reason)) {
			abort();
		}
		return 0;
	}
	for (size_t i = 0; i < kt_json_array_len(commands); i++) {
		const struct kt_json_value *item = kt_json_array_item(commands, i);
		if (kt_control_select(item, KT_ROLE_NONE, &head, &refusal)) {
			abort();
		}
		if (kt_control_select(item, KT_ROLE_ADMIN, &head, &refusal)) {
			check_fields(item);
		} else if (!kt_reason_is_for_peer(refusal.reason)) {
			abort();
		}
	}
	kt_json_free(json);
	return 0;
}
