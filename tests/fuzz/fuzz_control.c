#include "control.h"

#include <stdlib.h>
#include <string.h>

#include "selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A word that is taken asks something of a device; none reads past its text. */
static void check_selector(const struct kt_json_value *item)
{
	static const struct kt_device device = {.labels = "a,b", .group = "north"};
	const struct kt_json_value *words = kt_json_member(item, "select");
	struct kt_selector selector = {.count = 0};
	const char *why = NULL;

	for (const struct kt_json_value *word = words == NULL ? NULL : kt_json_first(words);
	     word != NULL; word = kt_json_next(word)) {
		if (kt_json_is(word, KT_JSON_STRING))
			(void)kt_selector_add(&selector, kt_json_value_string(word), &why);
	}
	if (selector.count > KT_SELECTOR_WORDS_MAX)
		abort();
	(void)kt_selector_means(&selector, &device, INT64_MAX, true);
}

static void check_fields(const struct kt_json_value *item)
{
	static const int64_t range[2] = {1, 200};
	struct kt_refusal refusal = {.reason = KT_REASON_NONE};
	struct kt_device_id device;
	struct kt_key_id key_id;
	const char *name = NULL;
	int64_t number = 7;
	check_selector(item);
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
