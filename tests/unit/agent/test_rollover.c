#include "rollover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"

static struct kt_agent_record record_in(enum kt_agent_phase phase)
{
	struct kt_agent_record record = {.phase = phase, .op = 100};

	record.active.dir = 1;
	memset(record.active.fp.b, 0xaa, sizeof(record.active.fp.b));
	if (phase == KT_AGENT_CERT || phase == KT_AGENT_KEY)
		record.pending.dir = 2;
	if (phase == KT_AGENT_CERT)
		memset(record.pending.fp.b, 0xbb, sizeof(record.pending.fp.b));
	return record;
}

static struct kt_msg_rotate rotate_to(uint64_t op, uint8_t cur)
{
	struct kt_msg_rotate rotate = {.op = op, .alg = KT_ALG_ES256};

	memset(rotate.cur.b, cur, sizeof(rotate.cur.b));
	return rotate;
}

static struct kt_fingerprint session_of(uint8_t byte)
{
	struct kt_fingerprint fp;

	memset(fp.b, byte, sizeof(fp.b));
	return fp;
}

static void every_cell_has_names(void **state)
{
	(void)state;
	for (int phase = KT_AGENT_NEW; phase <= (int)KT_AGENT_CERT; phase++) {
		for (int event = 0; event < (int)KT_EV_COUNT; event++) {
			struct kt_rollover_cell cell = kt_rollover((enum kt_agent_phase)phase,
								   (enum kt_rollover_event)event);

			assert_string_not_equal(kt_rollover_action_name(cell.action), "?");
			assert_string_not_equal(kt_agent_phase_name(cell.next), "?");
		}
	}
}

static void only_commit_leads_from_a_pending_credential_to_stable(void **state)
{
	(void)state;
	for (int event = 0; event < (int)KT_EV_COUNT; event++) {
		struct kt_rollover_cell cell =
			kt_rollover(KT_AGENT_CERT, (enum kt_rollover_event)event);

		if (cell.next == KT_AGENT_STABLE)
			assert_int_equal(event, KT_EV_COMMITTED);
	}
	assert_int_equal(kt_rollover(KT_AGENT_CERT, KT_EV_COMMITTED).action, KT_ACT_COMMIT);
}

static void an_ignored_event_changes_no_phase(void **state)
{
	(void)state;
	for (int phase = KT_AGENT_NEW; phase <= (int)KT_AGENT_CERT; phase++) {
		for (int event = 0; event < (int)KT_EV_COUNT; event++) {
			struct kt_rollover_cell cell = kt_rollover((enum kt_agent_phase)phase,
								   (enum kt_rollover_event)event);

			if (cell.action == KT_ACT_IGNORE)
				assert_int_equal(cell.next, phase);
		}
	}
}

static void a_bad_rotate_is_ignored_everywhere(void **state)
{
	(void)state;
	for (int phase = KT_AGENT_NEW; phase <= (int)KT_AGENT_CERT; phase++) {
		struct kt_rollover_cell cell =
			kt_rollover((enum kt_agent_phase)phase, KT_EV_ROTATE_BAD);

		assert_int_equal(cell.action, KT_ACT_IGNORE);
	}
}

static void closed_never_drops_a_key(void **state)
{
	(void)state;
	assert_int_equal(kt_rollover(KT_AGENT_KEY, KT_EV_CLOSED).next, KT_AGENT_KEY);
	assert_int_equal(kt_rollover(KT_AGENT_CERT, KT_EV_CLOSED).next, KT_AGENT_CERT);
}

static void a_rotate_with_an_older_op_is_bad(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_STABLE);
	struct kt_fingerprint session = session_of(0xaa);
	struct kt_msg_rotate rotate = rotate_to(99, 0xaa);

	(void)state;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
	rotate.op = 0;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
	record.op = 0; /* a certificate that was there before: no op yet, and none is 0 */
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
}

static void a_rotate_for_another_key_than_the_sessions_is_bad(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_CERT);
	struct kt_fingerprint session = session_of(0xaa);
	struct kt_msg_rotate rotate = rotate_to(101, 0xbb);

	(void)state;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
}

static void a_rotate_for_a_key_we_do_not_hold_is_bad(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_STABLE);
	struct kt_fingerprint session = session_of(0xcc);
	struct kt_msg_rotate rotate = rotate_to(101, 0xcc);

	(void)state;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
}

static void a_newer_rotate_over_the_active_key_is_new(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_CERT);
	struct kt_fingerprint session = session_of(0xaa);
	struct kt_msg_rotate rotate = rotate_to(101, 0xaa);

	(void)state;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_NEW);
}

static void a_newer_rotate_over_the_pending_key_settles(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_CERT);
	struct kt_fingerprint session = session_of(0xbb);
	struct kt_msg_rotate rotate = rotate_to(101, 0xbb);

	(void)state;
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_SETTLE);
	record.phase = KT_AGENT_KEY; /* a key without a certificate settles nothing */
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
}

static void the_op_in_hand_once_more_is_the_same(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_KEY);
	struct kt_fingerprint session = session_of(0xaa);
	struct kt_msg_rotate rotate = rotate_to(100, 0xaa);

	(void)state;
	record.pending.op = 100;
	assert_false(kt_rollover_is_claim(&record));
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_SAME);
}

/* To answer an op with it would be a second key of that op. */
static void a_key_to_enrol_with_is_no_answer_to_the_op_in_hand(void **state)
{
	struct kt_agent_record record = record_in(KT_AGENT_KEY);
	struct kt_fingerprint session = session_of(0xaa);
	struct kt_msg_rotate rotate = rotate_to(100, 0xaa);

	(void)state;
	record.pending.op = 0;
	assert_true(kt_rollover_is_claim(&record));
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
	rotate = rotate_to(101, 0xaa);
	assert_int_equal(kt_rollover_rotate_event(&record, &session, &rotate), KT_EV_ROTATE_BAD);
	record.phase = KT_AGENT_CERT;
	assert_false(kt_rollover_is_claim(&record));
	record.phase = KT_AGENT_STABLE;
	assert_false(kt_rollover_is_claim(&record));
	record.phase = KT_AGENT_NEW;
	assert_true(kt_rollover_is_claim(&record));
}

static void cell_text(enum kt_agent_phase phase, enum kt_rollover_event event, char out[48])
{
	const struct kt_rollover_cell cell = kt_rollover(phase, event);

	if (cell.action == KT_ACT_IGNORE)
		(void)snprintf(out, 48, "-");
	else if (cell.next == phase)
		(void)snprintf(out, 48, "%s", kt_rollover_action_name(cell.action));
	else
		(void)snprintf(out, 48, "%s: %s", kt_rollover_action_name(cell.action),
			       kt_agent_phase_name(cell.next));
}

static void the_protocol_page_prints_the_table_that_runs(void **state)
{
	char *page = vector_file_load("../../docs/PROTOCOL.md");

	(void)state;
	for (int e = 0; e < (int)KT_EV_COUNT; e++) {
		char cells[4][48];
		char row[256];

		for (int p = (int)KT_AGENT_NEW; p <= (int)KT_AGENT_CERT; p++)
			cell_text((enum kt_agent_phase)p, (enum kt_rollover_event)e, cells[p]);
		(void)snprintf(row, sizeof(row), "\n| %s | %s | %s | %s | %s |\n",
			       kt_rollover_event_name((enum kt_rollover_event)e), cells[0],
			       cells[1], cells[2], cells[3]);
		if (strstr(page, row) == NULL)
			fail_msg("docs/PROTOCOL.md does not say: %s", row);
	}
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_has_names),
		cmocka_unit_test(the_protocol_page_prints_the_table_that_runs),
		cmocka_unit_test(only_commit_leads_from_a_pending_credential_to_stable),
		cmocka_unit_test(an_ignored_event_changes_no_phase),
		cmocka_unit_test(a_bad_rotate_is_ignored_everywhere),
		cmocka_unit_test(closed_never_drops_a_key),
		cmocka_unit_test(a_rotate_with_an_older_op_is_bad),
		cmocka_unit_test(a_rotate_for_another_key_than_the_sessions_is_bad),
		cmocka_unit_test(a_rotate_for_a_key_we_do_not_hold_is_bad),
		cmocka_unit_test(a_newer_rotate_over_the_active_key_is_new),
		cmocka_unit_test(a_newer_rotate_over_the_pending_key_settles),
		cmocka_unit_test(the_op_in_hand_once_more_is_the_same),
		cmocka_unit_test(a_key_to_enrol_with_is_no_answer_to_the_op_in_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
