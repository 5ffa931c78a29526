#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "message.h"
#include "reason.h"
#include "vector_file.h"

/* docs/PROTOCOL.md against the lists in the code. */

static int load_page(void **state)
{
	*state = vector_file_load("../../docs/PROTOCOL.md");
	return *state == NULL;
}

static int free_page(void **state)
{
	free(*state);
	return 0;
}

static void must_say(const char *page, const char *text)
{
	if (strstr(page, text) == NULL)
		fail_msg("docs/PROTOCOL.md does not say: %s", text);
}

static void every_reason_is_explained_in_the_words_of_the_list(void **state)
{
	const char *page = *state;
	const char *log_table = strstr(page, "| log and counters only |");

	assert_non_null(log_table);
	for (int i = (int)KT_REASON_NONE + 1; i < (int)KT_REASON_COUNT; i++) {
		const enum kt_reason reason = (enum kt_reason)i;
		char row[256];

		(void)snprintf(row, sizeof(row), "\n| `%s` | %s |", kt_reason_name(reason),
			       kt_reason_text(reason));
		must_say(page, row);
		if (kt_reason_is_for_peer(reason) != (strstr(page, row) < log_table))
			fail_msg("%s stands in the wrong table", kt_reason_name(reason));
	}
}

static void every_message_type_has_its_row_and_its_section(void **state)
{
	static const bool from_device[] = {
#define KT_DIRECTION(code, name, from_device) [KT_MESSAGE_##code] = (from_device),
		KT_MESSAGE_LIST(KT_DIRECTION)
#undef KT_DIRECTION
	};
	const char *page = *state;

	for (int i = 0; i < (int)KT_MESSAGE_COUNT; i++) {
		const char *name = kt_message_type_name((enum kt_message_type)i);
		char text[128];

		(void)snprintf(text, sizeof(text), "\n| `%s` | %s | ", name,
			       from_device[i] ? "device → plugin" : "plugin → device");
		must_say(page, text);
		(void)snprintf(text, sizeof(text), "\n### %s\n", name);
		must_say(page, text);
	}
}

/* The names of a vector's members, which are those of the code (test_message.c), stand in its
 * section or among the common members. */
static void every_member_of_a_message_is_explained(void **state)
{
	static const char common[] = " v type td device dn sn ";
	const char *page = *state;

	for (int i = 0; i < (int)KT_MESSAGE_COUNT; i++) {
		const char *name = kt_message_type_name((enum kt_message_type)i);
		char text[128];
		char *vector = NULL;
		const char *section = NULL;

		(void)snprintf(text, sizeof(text), "\n### %s\n", name);
		section = strstr(page, text);
		assert_non_null(section);
		(void)snprintf(text, sizeof(text), "messages/%s.json", name);
		vector = vector_file_load(text);
		assert_non_null(vector);
		for (char *at = strstr(vector, "\":"); at != NULL; at = strstr(at + 1, "\":")) {
			const char *found = NULL;
			const char *from = at;

			while (from[-1] != '"')
				from--;
			(void)snprintf(text, sizeof(text), " %.*s ", (int)(at - from) & 31, from);
			if (strstr(common, text) != NULL)
				continue;
			(void)snprintf(text, sizeof(text), "`%.*s`", (int)(at - from) & 31, from);
			found = strstr(section, text);
			if (found == NULL || found > strstr(section + 1, "\n##"))
				fail_msg("### %s does not explain %s", name, text);
		}
		free(vector);
	}
}

static void the_limits_are_those_of_the_code(void **state)
{
	const char *page = *state;

	assert_int_equal(KT_MESSAGE_MAX, 16384);
	must_say(page, "| one message as published | 16,384 bytes |");
	assert_int_equal(KT_PAYLOAD_MAX, 12288);
	must_say(page, "| its payload | 12,288 bytes |");
	assert_int_equal(KT_CSR_MAX, 4096);
	must_say(page, "| CSR (DER) | 4,096 bytes |");
	assert_int_equal(KT_CERT_MAX, 4096);
	assert_int_equal(KT_CHAIN_MAX, 4);
	must_say(page, "| chain | 4 certificates of 4,096 bytes |");
	assert_int_equal(KT_RETRY_MAX_S, 86400);
	must_say(page, "| seconds | number, 0 … 86400 |");
	assert_int_equal(KT_AGENT_NAME_MAX, 32);
	must_say(page, "| name | string of 1–32 printable ASCII");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_is_explained_in_the_words_of_the_list),
		cmocka_unit_test(every_message_type_has_its_row_and_its_section),
		cmocka_unit_test(every_member_of_a_message_is_explained),
		cmocka_unit_test(the_limits_are_those_of_the_code),
	};
	return cmocka_run_group_tests(tests, load_page, free_page);
}
