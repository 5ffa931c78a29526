/* docs/PROTOCOL.md, "Control commands", and the tables of the decoder say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control.h"
#include "vector_file.h"

enum { ROW_MAX = 400 };

/* The role that is there for it: the first one that may. */
static const char *role_for(enum kt_command command)
{
	enum kt_role role = KT_ROLE_VIEWER;

	while (role < KT_ROLE_COUNT && !kt_role_may(role, kt_command_permit(command)))
		role++;
	return kt_role_name(role);
}

/* What "which devices" stands for, in a row. */
static const char selection[] = "`device` `devices` `all` `select` `expect` `dryRun`";

/* The third cell of the command's row: its fields. */
static void fields_cell(const char *page, enum kt_command command, char out[static ROW_MAX])
{
	char start[96];
	const char *at = NULL;
	size_t len = 0;

	(void)snprintf(start, sizeof(start), "\n| `%s` | %s |", kt_command_name(command),
		       role_for(command));
	at = strstr(page, start);
	if (at == NULL)
		fail_msg("docs/PROTOCOL.md does not say: %s", start);
	at += strlen(start);
	len = strcspn(at, "|\n");
	assert_in_range(len, 1, ROW_MAX - 1);
	if (strncmp(at, " which devices", strlen(" which devices")) == 0) {
		at += strlen(" which devices");
		len -= strlen(" which devices");
		memcpy(out, selection, sizeof(selection));
		out += sizeof(selection) - 1;
		assert_in_range(len, 0, ROW_MAX - sizeof(selection));
	}
	memcpy(out, at, len);
	out[len] = '\0';
}

static bool is_field(enum kt_command command, const char *name, size_t len)
{
	size_t count = 0;
	const struct kt_json_rule *rules = kt_command_rules(command, &count);

	for (size_t i = 0; i < count; i++) {
		if (strlen(rules[i].name) == len && memcmp(rules[i].name, name, len) == 0)
			return true;
	}
	return false;
}

static void every_field_stands_in_its_commands_row(void **state)
{
	char *page = vector_file_load("../../docs/PROTOCOL.md");

	(void)state;
	assert_non_null(page);
	for (int c = 0; c < (int)KT_COMMAND_COUNT; c++) {
		char cell[ROW_MAX];
		size_t count = 0;
		const struct kt_json_rule *rules = kt_command_rules((enum kt_command)c, &count);

		fields_cell(page, (enum kt_command)c, cell);
		for (size_t i = 0; i < count; i++) {
			char word[64];

			if (strcmp(rules[i].name, "command") == 0 ||
			    strcmp(rules[i].name, "correlationData") == 0)
				continue;
			(void)snprintf(word, sizeof(word), "`%s`", rules[i].name);
			if (strstr(cell, word) == NULL)
				fail_msg("%s: its row does not have %s",
					 kt_command_name((enum kt_command)c), word);
		}
	}
	free(page);
}

static void a_row_has_nothing_that_is_no_field(void **state)
{
	char *page = vector_file_load("../../docs/PROTOCOL.md");

	(void)state;
	assert_non_null(page);
	for (int c = 0; c < (int)KT_COMMAND_COUNT; c++) {
		char cell[ROW_MAX];
		const char *at = cell;

		fields_cell(page, (enum kt_command)c, cell);
		while ((at = strchr(at, '`')) != NULL) {
			size_t len = strcspn(at + 1, "`");

			if (!is_field((enum kt_command)c, at + 1, len))
				fail_msg("%s has no field %.*s",
					 kt_command_name((enum kt_command)c), (int)len, at + 1);
			at += len + 2;
		}
	}
	free(page);
}

static void the_page_has_no_other_command(void **state)
{
	char *page = vector_file_load("../../docs/PROTOCOL.md");
	const char *at = page == NULL ? NULL : strstr(page, "\n## Control commands\n");
	char *end = at == NULL ? NULL : strstr(at, "\n## Campaigns\n");
	size_t rows = 0;

	(void)state;
	if (at == NULL || end == NULL)
		fail_msg("a heading is missing");
	else
		*end = '\0';
	while (at != NULL && (at = strstr(at, "\n| `")) != NULL) {
		rows++;
		at++;
	}
	assert_int_equal(rows, KT_COMMAND_COUNT);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_stands_in_its_commands_row),
		cmocka_unit_test(a_row_has_nothing_that_is_no_field),
		cmocka_unit_test(the_page_has_no_other_command),
	};

	return cmocka_run_group_tests_name("control_page", tests, NULL, NULL);
}
