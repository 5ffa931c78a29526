/* tests/model/rollover.pml has the state tables that run: every cell, every event, every name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rollover.h"
#include "rotation.h"
#include "vector_file.h"

static int load_model(void **state)
{
	*state = vector_file_load("../model/rollover.pml");
	return *state == NULL ? -1 : 0;
}

static int free_model(void **state)
{
	free(*state);
	return 0;
}

/* "second key", "rotate.new" -> SECOND_KEY, ROTATE_NEW */
static void constant_of(const char *name, char out[32])
{
	size_t i = 0;

	for (; name[i] != '\0' && i < 31; i++) {
		char c = name[i];

		out[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : '_';
	}
	out[i] = '\0';
}

/* How often the model says @text. */
static int count_of(const char *model, const char *text)
{
	int count = 0;

	for (const char *at = model; (at = strstr(at, text)) != NULL; at += strlen(text))
		count++;
	return count;
}

/* "KEY new.key" of "#define DEVICE_STABLE_ROTATE_NEW KEY    / * new.key * /"; false: not there
 * once. */
static bool find_cell(const char *model, const char *side, const char *phase, const char *event,
		      char out[64])
{
	char start[128];
	const char *line;
	size_t len = 0;

	(void)snprintf(start, sizeof(start), "\n#define %s_%s_%s ", side, phase, event);
	if (count_of(model, start) != 1)
		return false;
	line = strstr(model, start) + strlen(start);
	for (; *line != '\n' && *line != '\0' && len < 63; line++) {
		if (*line == '/' || *line == '*' || *line == ' ') {
			if (len > 0 && out[len - 1] != ' ')
				out[len++] = ' ';
		} else {
			out[len++] = *line;
		}
	}
	while (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
	return true;
}

static bool is_not_modelled(const char *model, const char *side, const char *event)
{
	char text[128];
	const char *at;

	(void)snprintf(text, sizeof(text), "\n * not modelled: %s %s: ", side, event);
	at = strstr(model, text);
	return at != NULL && at[strlen(text)] >= 'a' && at[strlen(text)] <= 'z'; /* a reason */
}

/* A cell whose event no step looks at would be a table for its own sake. */
static bool has_step(const char *model, const char *side, const char *event)
{
	char text[128];
	int count;

	if (strcmp(side, "DEVICE") == 0)
		(void)snprintf(text, sizeof(text), "DEVICE(p, %s)", event);
	else
		(void)snprintf(text, sizeof(text), "SERVER(%s)", event);
	count = count_of(model, text);
	(void)snprintf(text, sizeof(text), "AT3(W.ph, %s)", event); /* of an enrolment too */
	return count + count_of(model, text) > 0;
}

struct side { /* one of the two tables in the model */
	const char *model;
	const char *name; /* SERVER, DEVICE */
	const char *const *phases;
	size_t count;
	bool is_quiet; /* what is wrong is expected to be */
};

static void complain(const struct side *s, const char *phase, const char *event, const char *what)
{
	if (!s->is_quiet)
		print_error("%s %s %s: %s\n", s->name, phase, event, what);
}

/* One event of one side. @want has a cell for each phase. False: it is said what is wrong. */
static bool is_event_there(const struct side *s, const char *event, char (*want)[64])
{
	const bool is_device = strcmp(s->name, "DEVICE") == 0;
	char constant[32];
	bool fine = true;
	char cell[64];

	constant_of(event, constant);
	if (is_not_modelled(s->model, is_device ? "device" : "server", event)) {
		for (size_t i = 0; i < s->count; i++)
			fine = fine && !find_cell(s->model, s->name, s->phases[i], constant, cell);
		fine = fine && !has_step(s->model, s->name, constant);
		if (!fine)
			complain(s, "any", event, "said not to be modelled, and is");
		return fine;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (!find_cell(s->model, s->name, s->phases[i], constant, cell)) {
			complain(s, s->phases[i], event, "no cell, or two");
			fine = false;
		} else if (strcmp(cell, want[i]) != 0) {
			complain(s, s->phases[i], event, "not what the code says");
			fine = false;
		}
	}
	if (!has_step(s->model, s->name, constant)) {
		complain(s, "any", event, "no step of the model looks at it");
		fine = false;
	}
	return fine;
}

static const char *const server_phases[] = {"IDLE", "OPEN", "ISSUED"};
static const char *const device_phases[] = {"NEW", "STABLE", "KEY", "CERT"};

static bool is_server_there(const char *model, bool is_quiet)
{
	const struct side side = {model, "SERVER", server_phases, 3, is_quiet};
	bool fine = true;

	for (int e = 0; e < (int)KT_ROTATION_EVENT_COUNT; e++) {
		char want[3][64];

		for (int p = 0; p < 3; p++) {
			const struct kt_rotation_cell cell = kt_rotation_step(
				(enum kt_server_phase)p, (enum kt_rotation_event)e);

			if (cell.refusal != KT_REASON_NONE)
				(void)snprintf(want[p], sizeof(want[p]), "NO %s",
					       kt_reason_name(cell.refusal));
			else
				(void)snprintf(want[p], sizeof(want[p]), "%s",
					       server_phases[cell.next]);
		}
		fine = is_event_there(&side, kt_rotation_event_name((enum kt_rotation_event)e),
				      want) &&
		       fine;
	}
	return fine;
}

static bool is_device_there(const char *model, bool is_quiet)
{
	const struct side side = {model, "DEVICE", device_phases, 4, is_quiet};
	bool fine = true;

	for (int e = 0; e < (int)KT_EV_COUNT; e++) {
		char want[4][64];

		for (int p = 0; p < 4; p++) {
			const struct kt_rollover_cell cell =
				kt_rollover((enum kt_agent_phase)p, (enum kt_rollover_event)e);

			if (cell.action == KT_ACT_IGNORE)
				(void)snprintf(want[p], sizeof(want[p]), "NO");
			else
				(void)snprintf(want[p], sizeof(want[p]), "%s %s",
					       device_phases[cell.next],
					       kt_rollover_action_name(cell.action));
		}
		fine = is_event_there(&side, kt_rollover_event_name((enum kt_rollover_event)e),
				      want) &&
		       fine;
	}
	return fine;
}

static void the_model_has_the_servers_table(void **state)
{
	assert_true(is_server_there(*state, false));
}

static void the_model_has_the_devices_table(void **state)
{
	assert_true(is_device_there(*state, false));
}

/* The phases' numbers are the code's too: a cell is used as a number. */
static void the_phases_are_the_codes(void **state)
{
	char text[64];
	char constant[32];

	for (int p = 0; p < 3; p++) {
		constant_of(kt_server_phase_name((enum kt_server_phase)p), constant);
		assert_string_equal(constant, server_phases[p]);
		(void)snprintf(text, sizeof(text), "\n#define %s %d\n", constant, p);
		assert_int_equal(count_of(*state, text), 1);
	}
	for (int p = 0; p < 4; p++) {
		constant_of(kt_agent_phase_name((enum kt_agent_phase)p), constant);
		assert_string_equal(constant, device_phases[p]);
		(void)snprintf(text, sizeof(text), "\n#define %s %d\n", constant, p);
		assert_int_equal(count_of(*state, text), 1);
	}
}

/* Nothing in the model's tables that the code does not have. */
static void the_model_has_no_cell_more(void **state)
{
	const char *model = *state;
	int cells = count_of(model, "\n#define SERVER_") + count_of(model, "\n#define DEVICE_");
	int events = (int)KT_ROTATION_EVENT_COUNT * 3 + (int)KT_EV_COUNT * 4;

	for (int e = 0; e < (int)KT_ROTATION_EVENT_COUNT; e++)
		events -= is_not_modelled(model, "server",
					  kt_rotation_event_name((enum kt_rotation_event)e))
				  ? 3
				  : 0;
	for (int e = 0; e < (int)KT_EV_COUNT; e++)
		events -= is_not_modelled(model, "device",
					  kt_rollover_event_name((enum kt_rollover_event)e))
				  ? 4
				  : 0;
	assert_int_equal(cells, events);
}

/* Every cell changed, one after the other, to a phase that no table has: each must be found. */
static void a_cell_that_differs_is_found(void **state)
{
	static const char *const sides[] = {"\n#define SERVER_", "\n#define DEVICE_"};
	char *model = *state;
	int cells = 0;

	for (int side = 0; side < 2; side++) {
		for (char *at = model; (at = strstr(at, sides[side])) != NULL; at++) {
			char *value = strchr(at + 9, ' ') + 1;
			const char before = *value;

			*value = 'X';
			assert_false(side == 0 ? is_server_there(model, true)
					       : is_device_there(model, true));
			*value = before;
			cells++;
		}
	}
	assert_true(cells > 50);
	assert_true(is_server_there(model, false) && is_device_there(model, false));
}

static void an_event_without_cells_or_reason_is_found(void **state)
{
	char *model = *state;
	char *line = strstr(model, " * not modelled: server failed: ");

	assert_non_null(line);
	line[3] = 'X';
	assert_false(is_server_there(model, true));
	line[3] = 'n';
	assert_true(is_server_there(model, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_phases_are_the_codes),
		cmocka_unit_test(the_model_has_the_servers_table),
		cmocka_unit_test(the_model_has_the_devices_table),
		cmocka_unit_test(the_model_has_no_cell_more),
		cmocka_unit_test(a_cell_that_differs_is_found),
		cmocka_unit_test(an_event_without_cells_or_reason_is_found),
	};
	return cmocka_run_group_tests(tests, load_model, free_model);
}
