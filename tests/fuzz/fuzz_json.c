#include "json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What was accepted prints, no longer than it came, and comes back as the same text. */
static void check_round_trip(const struct kt_json *json, const struct kt_json_limits *limits,
			     size_t len)
{
	struct kt_json *again = NULL;
	char *text = NULL;
	char *text_again = NULL;

	if (kt_json_print(kt_json_root(json), &text) != KT_ERR_OK)
		abort();
	if (strlen(text) > len)
		abort();
	if (kt_json_parse((const uint8_t *)text, strlen(text), limits, &again) != KT_ERR_OK)
		abort();
	if (kt_json_print(kt_json_root(again), &text_again) != KT_ERR_OK)
		abort();
	if (strcmp(text, text_again) != 0)
		abort();
	free(text);
	free(text_again);
	kt_json_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kt_json_limits limits = {16384, KT_JSON_DEPTH_MAX, KT_JSON_TOKENS_MAX};
	static const struct kt_json_rule rules[] = {{"v", KT_JSON_NUMBER, true, 0},
						    {"type", KT_JSON_STRING, true, 16},
						    {"chain", KT_JSON_ARRAY, false, 4},
						    {"wipe", KT_JSON_BOOL, false, 0}};
	struct kt_json *json = NULL;
	const char *bad_field = NULL;

	if (kt_json_parse(bytes, len, &limits, &json) != KT_ERR_OK) {
		if (json != NULL)
			abort();
		return 0;
	}
	if (kt_json_check(kt_json_root(json), rules, 4, &bad_field) == KT_ERR_OK &&
	    (kt_json_string(kt_json_root(json), "type") == NULL ||
	     kt_json_array_len(kt_json_member(kt_json_root(json), "chain")) > 4))
		abort();
	check_round_trip(json, &limits, len);
	kt_json_free(json);
	return 0;
}
