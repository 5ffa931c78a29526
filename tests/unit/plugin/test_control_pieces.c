/* Long batches: done in pieces, so that the broker's loop goes on in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control.h"
#include "fleet.h"
#include "played.h"

enum { MANY = 300, PIECE_ACTIONS = 100 /* more than any piece has */ };

#define ROTATE_ALL	"{\"command\":\"rotate\",\"all\":true,\"expect\":303}"
#define CLOCK		"{\"command\":\"confirmClock\"}"
#define BATCH(commands) "{\"commands\":[" commands "]}"

static unsigned rest(struct fixture *f)
{
	unsigned pieces = 0;

	while (kt_control_is_busy(&f->core)) {
		const unsigned before = f->played.actions;

		kt_control_tick(&f->core);
		assert_in_range(f->played.actions - before, 0, PIECE_ACTIONS);
		pieces++;
	}
	return pieces;
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		count++;
	return count;
}

static void a_thousand_orders_are_given_in_pieces(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL));
	assert_in_range(f->played.actions, 1, PIECE_ACTIONS);
	assert_true(kt_control_is_busy(&f->core));
	assert_int_equal(f->played.answers, 0);
	assert_in_range(rest(f), 3, 10);
	assert_int_equal(f->played.actions, MANY + 3);
	assert_int_equal(f->played.answers, 1);
	assert_int_equal(count_of(f->played.answer, "\"device\":"), MANY + 3);
	assert_non_null(strstr(f->played.answer, "\"ordered\":303,\"refused\":0}}]}"));
	assert_int_equal(f->played.answer_seq, 40);
	assert_int_equal(f->played.done, 1);
}

static void a_hundred_commands_are_given_in_pieces(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	(void)fputs("{\"commands\":[", out);
	for (int i = 0; i < KT_CONTROL_COMMANDS_MAX; i++)
		(void)fprintf(out, "%s{\"command\":\"revoke\",\"device\":\"hub-1\"}",
			      i > 0 ? "," : "");
	(void)fputs("]}", out);
	assert_int_equal(fclose(out), 0);
	send(f, text);
	free(text);
	assert_in_range(f->played.actions, 1, KT_CONTROL_COMMANDS_MAX - 1);
	assert_in_range(rest(f), 1, 10);
	assert_int_equal(f->played.actions, KT_CONTROL_COMMANDS_MAX);
	assert_int_equal(count_of(f->played.answer, "\"command\":"), KT_CONTROL_COMMANDS_MAX);
}

static void a_large_fleet_is_looked_through_in_pieces(void **state)
{
	struct fixture *f = *state;

	add_devices(f, 25000);
	send(f, BATCH("{\"command\":\"listDevices\",\"offset\":25001,\"count\":2}"));
	assert_int_equal(f->played.answers, 0);
	assert_in_range(rest(f), 2, 4);
	assert_non_null(strstr(f->played.answer, "\"device\":\"x24998\""));
	assert_non_null(strstr(f->played.answer, "\"device\":\"x24999\""));
	assert_non_null(strstr(f->played.answer, "\"offset\":25001,\"total\":25003}"));
	send(f, BATCH("{\"command\":\"rotate\",\"select\":[\"group=north\"],\"expect\":1}"));
	assert_int_equal(f->played.actions, 0);
	(void)rest(f);
	assert_string_equal(f->played.calls, "rotate(hub-1,op:alice,) ");
}

static void who_comes_meanwhile_waits_for_his_turn(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL));
	send(f, BATCH(CLOCK));
	assert_null(strstr(f->played.calls, "clock"));
	(void)rest(f);
	assert_int_equal(f->played.answers, 2);
	assert_string_equal(f->played.answer, OK("confirmClock"));
	assert_string_equal(f->played.calls + strlen(f->played.calls) - strlen("clock(op:alice) "),
			    "clock(op:alice) ");
}

/* Half a fleet is worse than all of it; what comes after it is another matter. */
static void who_leaves_has_his_order_finished_and_nothing_more_begun(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL "," CLOCK));
	kt_sessions_mark_gone(f->core.sessions, f->operator->client);
	kt_sessions_sweep(f->core.sessions);
	(void)rest(f);
	assert_int_equal(f->played.actions, MANY + 3);
	assert_null(strstr(f->played.calls, "clock"));
	assert_int_equal(f->played.answers, 0);
	assert_int_equal(f->played.refused_count, 1);
	assert_int_equal(f->played.refused[0], KT_REASON_DENIED);
	assert_string_equal(f->played.refused_fields, "command=confirmClock actor=op:alice ");
}

static void whose_right_ends_begins_nothing_more(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL "," CLOCK));
	f->operator->role = KT_ROLE_ROTATOR;
	(void)rest(f);
	assert_null(strstr(f->played.calls, "clock"));
	assert_int_equal(f->played.answers, 1);
	assert_non_null(
		strstr(f->played.answer, "\"command\":\"confirmClock\",\"error\":\"denied\""));
}

static void more_than_can_wait_are_told_to_come_back(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL));
	for (int i = 1; i < KT_CONTROL_BATCHES_MAX; i++)
		send(f, BATCH(CLOCK));
	assert_int_equal(f->played.answers, 0);
	send(f, BATCH(CLOCK));
	assert_int_equal(f->played.answers, 1);
	assert_non_null(strstr(f->played.answer, "\"error\":\"busy\""));
	(void)rest(f);
	assert_int_equal(f->played.answers, 1 + KT_CONTROL_BATCHES_MAX);
	assert_int_equal(count_of(f->played.calls, "clock"), KT_CONTROL_BATCHES_MAX - 1);
}

/* The sanitizer sees whether it is. */
static void what_is_not_done_at_the_end_is_given_back(void **state)
{
	struct fixture *f = *state;

	add_devices(f, MANY);
	send(f, BATCH(ROTATE_ALL));
	send(f, BATCH("{\"command\":\"listDevices\"}"));
	assert_true(kt_control_is_busy(&f->core));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FLEET(a_thousand_orders_are_given_in_pieces),
		WITH_FLEET(a_hundred_commands_are_given_in_pieces),
		WITH_FLEET(a_large_fleet_is_looked_through_in_pieces),
		WITH_FLEET(who_comes_meanwhile_waits_for_his_turn),
		WITH_FLEET(who_leaves_has_his_order_finished_and_nothing_more_begun),
		WITH_FLEET(whose_right_ends_begins_nothing_more),
		WITH_FLEET(more_than_can_wait_are_told_to_come_back),
		WITH_FLEET(what_is_not_done_at_the_end_is_given_back),
	};

	return cmocka_run_group_tests_name("control_pieces", tests, NULL, NULL);
}
