#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reason.h"
#include "rotation.h"
#include "vector_file.h"

static void cell_text(enum kt_server_phase phase, enum kt_rotation_event event, char out[32])
{
	const struct kt_rotation_cell cell = kt_rotation_step(phase, event);

	if (cell.refusal != KT_REASON_NONE)
		(void)snprintf(out, 32, "`%s`", kt_reason_name(cell.refusal));
	else
		(void)snprintf(out, 32, "%s%s", kt_server_phase_name(cell.next),
			       event == KT_ROTATION_SECOND_KEY ? ", frozen" : "");
}

static void the_protocol_page_prints_the_table_that_runs(void **state)
{
	char *page = vector_file_load("../../docs/PROTOCOL.md");

	(void)state;
	for (int e = 0; e < KT_ROTATION_EVENT_COUNT; e++) {
		char cells[3][32];
		char row[160];

		for (int p = 0; p < 3; p++)
			cell_text((enum kt_server_phase)p, (enum kt_rotation_event)e, cells[p]);
		(void)snprintf(row, sizeof(row), "\n| %s | %s | %s | %s |\n",
			       kt_rotation_event_name((enum kt_rotation_event)e), cells[0],
			       cells[1], cells[2]);
		if (strstr(page, row) == NULL)
			fail_msg("docs/PROTOCOL.md does not say: %s", row);
	}
	free(page);
}

static void nothing_outside_the_table_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(kt_rotation_step((enum kt_server_phase)3, KT_ROTATION_ORDER).refusal,
			 KT_REASON_STATE);
	assert_int_equal(kt_rotation_step(KT_SERVER_IDLE, KT_ROTATION_EVENT_COUNT).refusal,
			 KT_REASON_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_protocol_page_prints_the_table_that_runs),
		cmocka_unit_test(nothing_outside_the_table_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
