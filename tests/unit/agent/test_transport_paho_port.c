/* What the broker sends waits for the main thread: how much of it? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "transport_paho_internal.h"

enum { FLOOD = 10000, MESSAGE_LEN = 100 };

/* In place of the thread that calls Paho. */
void *kt_paho_run_link(void *arg)
{
	struct kt_paho_command command;

	do {
		command = kt_paho_wait_command(arg);
		kt_paho_free_text(&command);
	} while (command.kind != KT_PAHO_QUIT);
	return NULL;
}

static int setup(void **state)
{
	static const struct kt_paho_config config;
	struct kt_paho *paho = NULL;

	if (kt_paho_new(&config, &paho) != KT_ERR_OK)
		return -1;
	*state = paho;
	return 0;
}

static int teardown(void **state)
{
	return kt_paho_free(*state) ? 0 : -1;
}

static void push_message(struct kt_paho *paho, uint8_t first)
{
	struct kt_link_event event = {
		.kind = KT_LINK_MESSAGE, .link = KT_LINK_AGENT, .text_len = MESSAGE_LEN};

	event.text = calloc(1, MESSAGE_LEN);
	assert_non_null(event.text);
	event.text[0] = first;
	kt_paho_push_event(paho, &event);
}

static void a_flood_of_messages_takes_bounded_memory_and_hides_no_end(void **state)
{
	struct kt_paho *paho = *state;
	struct kt_link_event event = {.kind = KT_LINK_DOWN, .link = KT_LINK_AGENT};
	unsigned messages = 0;

	for (unsigned i = 0; i < FLOOD; i++)
		push_message(paho, 0);
	kt_paho_push_event(paho, &event);
	while (kt_paho_take(paho, &event) && event.kind == KT_LINK_MESSAGE) {
		messages++;
		kt_link_event_clear(&event);
	}
	assert_int_equal(messages, KT_PAHO_MESSAGES_MAX);
	assert_int_equal(event.kind, KT_LINK_DOWN);
	assert_false(kt_paho_take(paho, &event));
}

static void messages_pass_again_when_those_before_were_taken(void **state)
{
	struct kt_paho *paho = *state;
	struct kt_link_event event;

	for (uint8_t i = 0; i < KT_PAHO_MESSAGES_MAX; i++)
		push_message(paho, i);
	assert_true(kt_paho_take(paho, &event));
	assert_int_equal(event.text[0], 0);
	kt_link_event_clear(&event);
	push_message(paho, 200);
	push_message(paho, 201); /* lost */
	for (unsigned i = 1; i < KT_PAHO_MESSAGES_MAX; i++) {
		assert_true(kt_paho_take(paho, &event));
		assert_int_equal(event.text[0], i);
		kt_link_event_clear(&event);
	}
	assert_true(kt_paho_take(paho, &event));
	assert_int_equal(event.text[0], 200);
	kt_link_event_clear(&event);
	assert_false(kt_paho_take(paho, &event));
}

/* The core opens a link again when it has heard that it is down, and not before. */
static void without_memory_a_message_is_lost_but_not_that_a_link_is_down(void **state)
{
	struct kt_paho *paho = *state;
	struct kt_link_event event = {.kind = KT_LINK_MESSAGE, .link = KT_LINK_AGENT};

	failing_alloc_set(1);
	kt_paho_push_event(paho, &event);
	assert_true(failing_alloc_end());
	assert_false(kt_paho_take(paho, &event));
	event = (struct kt_link_event){.kind = KT_LINK_DOWN, .link = KT_LINK_AGENT};
	failing_alloc_set(1);
	kt_paho_push_event(paho, &event);
	assert_true(failing_alloc_end());
	assert_true(kt_paho_take(paho, &event));
	assert_int_equal(event.kind, KT_LINK_DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_flood_of_messages_takes_bounded_memory_and_hides_no_end, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_pass_again_when_those_before_were_taken,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			without_memory_a_message_is_lost_but_not_that_a_link_is_down, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
