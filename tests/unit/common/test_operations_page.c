#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"
#include "reason.h"
#include "vector_file.h"

/* docs/OPERATIONS.md against the lists in the code: whoever sees a token must find what to do. */

static const char *const levels[] = {
	[KT_LOG_ERROR] = "error",
	[KT_LOG_WARN] = "warn",
	[KT_LOG_INFO] = "info",
	[KT_LOG_DEBUG] = "debug",
};

static const struct {
	const char *name;
	const char *text;
	enum kt_log_level level;
} events[] = {
#define EVENT(code, name, level, limited, text) {name, text, KT_LOG_##level},
	KT_EVENT_LIST(EVENT)
#undef EVENT
};

enum { EVENT_COUNT = sizeof(events) / sizeof(events[0]) };

static int load_page(void **state)
{
	*state = vector_file_load("../../docs/OPERATIONS.md");
	return *state == NULL;
}

static int free_page(void **state)
{
	free(*state);
	return 0;
}

/* The place behind @row, where what to do begins. */
static const char *advice_after(const char *page, const char *row)
{
	const char *found = strstr(page, row);

	if (found == NULL)
		fail_msg("docs/OPERATIONS.md has no row: %s", row + 1);
	assert_null(strstr(found + 1, row));
	return found + strlen(row);
}

static void must_advise(const char *page, const char *row)
{
	const char *advice = advice_after(page, row);
	const size_t len = strcspn(advice, "\n");

	/* "Nothing |" is the shortest there is */
	if (len < strlen("Nothing |") || advice[len - 1] != '|')
		fail_msg("docs/OPERATIONS.md says nothing about what to do: %s", row + 1);
}

static void every_reason_says_what_to_do(void **state)
{
	const char *page = *state;
	const char *log_table = strstr(page, "\nIn the log and the counters alone:\n");

	assert_non_null(log_table);
	for (int i = (int)KT_REASON_NONE + 1; i < (int)KT_REASON_COUNT; i++) {
		const enum kt_reason reason = (enum kt_reason)i;
		char row[256];

		(void)snprintf(row, sizeof(row), "\n| `%s` | %s | ", kt_reason_name(reason),
			       kt_reason_text(reason));
		must_advise(page, row);
		if (kt_reason_is_for_peer(reason) != (strstr(page, row) < log_table))
			fail_msg("%s stands in the wrong table", kt_reason_name(reason));
	}
}

static void every_event_says_what_to_do(void **state)
{
	const char *page = *state;

	assert_int_equal(EVENT_COUNT, KT_EVENT_COUNT);
	for (size_t i = 0; i < EVENT_COUNT; i++) {
		char row[256];

		(void)snprintf(row, sizeof(row), "\n| `%s` | %s | %s | ", events[i].name,
			       levels[events[i].level], events[i].text);
		must_advise(page, row);
	}
}

static bool is_event(const char *name)
{
	for (size_t i = 0; i < EVENT_COUNT; i++) {
		if (strcmp(events[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Rows of things that the code does not have (any more). */
static void must_know_all_rows(const char *section, bool (*is_known)(const char *name))
{
	const char *end = strstr(section + 1, "\n## ");
	size_t rows = 0;

	for (const char *at = strstr(section, "\n| `"); at != NULL && (end == NULL || at < end);
	     at = strstr(at + 1, "\n| `")) {
		char name[64];
		const size_t len = strcspn(at + 4, "`");

		assert_true(len < sizeof(name));
		memcpy(name, at + 4, len);
		name[len] = '\0';
		if (!is_known(name))
			fail_msg("docs/OPERATIONS.md explains what the code does not have: %s",
				 name);
		rows++;
	}
	assert_true(rows > 10);
}

static bool is_reason(const char *name)
{
	return kt_reason_from_name(name) != KT_REASON_NONE;
}

static void explains_nothing_that_the_code_does_not_have(void **state)
{
	const char *page = *state;
	const char *event_section = strstr(page, "\n## Events\n");
	const char *reason_section = strstr(page, "\n## Reasons\n");

	assert_non_null(event_section);
	assert_non_null(reason_section);
	must_know_all_rows(event_section, is_event);
	must_know_all_rows(reason_section, is_reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_says_what_to_do),
		cmocka_unit_test(every_event_says_what_to_do),
		cmocka_unit_test(explains_nothing_that_the_code_does_not_have),
	};
	return cmocka_run_group_tests(tests, load_page, free_page);
}
