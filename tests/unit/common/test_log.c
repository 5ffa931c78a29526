#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct recorder {
	char last[KT_LOG_LINE_MAX + 100];
	enum kt_log_level level;
	unsigned count;
};

static void record(void *ctx, enum kt_log_level level, const char *line)
{
	struct recorder *recorder = ctx;

	assert_true(strlen(line) <= KT_LOG_LINE_MAX);
	strcpy(recorder->last, line);
	recorder->level = level;
	recorder->count++;
}

static void write_value(struct kt_log *log, const char *value)
{
	struct kt_field field = {"device", value};

	assert_true(kt_log_event(log, KT_EVENT_DEVICE_CREATED, &field, 1));
}

static void writes_event_and_fields_in_order(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;
	struct kt_field fields[] = {{"device", "hub-17"}, {"gen", "7"}, {"uri", "spiffe://a/b_c"}};

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	assert_true(kt_log_event(&log, KT_EVENT_ROTATION_COMMITTED, fields, 3));
	assert_string_equal(recorder.last,
			    "event=rotation.committed device=hub-17 gen=7 uri=spiffe://a/b_c");
	assert_int_equal(recorder.level, KT_LOG_INFO);
	assert_int_equal(recorder.count, 1);
}

static void an_event_may_have_no_fields(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	assert_true(kt_log_event(&log, KT_EVENT_PLUGIN_REFUSED, NULL, 0));
	assert_string_equal(recorder.last, "event=plugin.refused");
	assert_int_equal(recorder.level, KT_LOG_ERROR);
}

static void leaves_out_fields_without_a_value(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;
	struct kt_field fields[] = {{"a", NULL}, {"b", "1"}, {"c", NULL}};

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	assert_true(kt_log_event(&log, KT_EVENT_LINK_UP, fields, 3));
	assert_string_equal(recorder.last, "event=link.up b=1");
}

static void a_value_cannot_forge_a_line_or_a_field(void **state)
{
	static const struct {
		const char *value;
		const char *line;
	} cases[] = {
		{"", "event=device.created device=\"\""},
		{"a b", "event=device.created device=\"a b\""},
		{"x reason=denied", "event=device.created device=\"x reason=denied\""},
		{"a=b", "event=device.created device=\"a=b\""},
		{"a\nevent=x", "event=device.created device=\"a\\x0aevent=x\""},
		{"\r", "event=device.created device=\"\\x0d\""},
		{"\x1b[2J", "event=device.created device=\"\\x1b[2J\""},
		{"say \"hi\"", "event=device.created device=\"say \\\"hi\\\"\""},
		{"back\\slash", "event=device.created device=\"back\\\\slash\""},
		{"h\xc3\xbc", "event=device.created device=\"h\\xc3\\xbc\""},
		{"\x7f", "event=device.created device=\"\\x7f\""},
		{"%s%n", "event=device.created device=\"%s%n\""},
		{"A-Z.a_z:0/9@+-", "event=device.created device=A-Z.a_z:0/9@+-"},
	};
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_value(&log, cases[i].value);
		assert_string_equal(recorder.last, cases[i].line);
	}
}

static void every_byte_leaves_one_printable_line(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	for (int byte = 1; byte < 256; byte++) {
		char value[2] = {(char)byte, '\0'};

		write_value(&log, value);
		for (const char *p = recorder.last; *p != '\0'; p++)
			assert_true(*p >= 0x20 && *p < 0x7f);
	}
}

static void lines_above_the_level_are_not_written(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_WARN);
	assert_true(kt_log_event(&log, KT_EVENT_LINK_UP, NULL, 0));
	assert_int_equal(recorder.count, 0);
	assert_true(kt_log_event(&log, KT_EVENT_LINK_DOWN, NULL, 0));
	assert_int_equal(recorder.count, 1);
}

/* The line's length with a value of @len characters; its tail is left in the recorder. */
static size_t line_with_value_of(struct recorder *recorder, size_t len)
{
	static char value[KT_LOG_LINE_MAX + 50];
	struct kt_log log;
	struct kt_field fields[] = {{"a", "1"}, {"b", value}};

	memset(value, 'x', len);
	value[len] = '\0';
	kt_log_init(&log, record, recorder, KT_LOG_DEBUG);
	assert_true(kt_log_event(&log, KT_EVENT_LINK_UP, fields, 2));
	return strlen(recorder->last);
}

static void a_line_of_the_limit_is_whole_and_one_more_is_cut_at_a_field(void **state)
{
	struct recorder recorder = {.count = 0};
	size_t fixed = strlen("event=link.up a=1 b=");

	(void)state;
	for (size_t len = KT_LOG_LINE_MAX - fixed - 8; len <= KT_LOG_LINE_MAX - fixed; len++) {
		assert_int_equal(line_with_value_of(&recorder, len), fixed + len);
		assert_null(strstr(recorder.last, "cut=1"));
	}
	for (size_t over = 1; over < 20; over++) {
		(void)line_with_value_of(&recorder, KT_LOG_LINE_MAX - fixed + over);
		assert_string_equal(recorder.last, "event=link.up a=1 cut=1");
	}
}

static void a_cut_line_has_room_for_its_mark(void **state)
{
	static char value[KT_LOG_LINE_MAX];
	size_t fixed = strlen("event=link.up a=1 b=");
	struct recorder recorder = {.count = 0};
	struct kt_log log;
	struct kt_field fields[] = {{"a", "1"}, {"b", value}, {"c", "0123456789"}};

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	memset(value, 'x', KT_LOG_LINE_MAX - fixed); /* fills the line: no room for " cut=1" */
	assert_true(kt_log_event(&log, KT_EVENT_LINK_UP, fields, 3));
	assert_string_equal(recorder.last, "event=link.up a=1 cut=1");
	value[KT_LOG_LINE_MAX - fixed - 6] = '\0'; /* exactly the room */
	assert_true(kt_log_event(&log, KT_EVENT_LINK_UP, fields, 3));
	assert_int_equal(strlen(recorder.last), KT_LOG_LINE_MAX);
	assert_string_equal(recorder.last + KT_LOG_LINE_MAX - 8, "xx cut=1");
}

static void strangers_get_a_burst_and_then_silence(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	log.now_ms = 5000000;
	for (int i = 0; i < KT_LOG_BURST; i++)
		assert_true(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	for (int i = 0; i < 7; i++)
		assert_false(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	assert_int_equal(recorder.count, KT_LOG_BURST);
	log.now_ms += KT_LOG_WINDOW_MS - 1;
	assert_false(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	log.now_ms += 1;
	assert_true(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	assert_string_equal(recorder.last, "event=client.refused dropped=8");
	assert_true(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	assert_string_equal(recorder.last, "event=client.refused");
}

static void what_was_dropped_is_told_where_no_line_follows(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	log.now_ms = 5000000;
	for (int i = 0; i < KT_LOG_BURST + 123; i++)
		(void)kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0);
	log.now_ms += KT_LOG_WINDOW_MS - 1;
	kt_log_settle(&log); /* the window is not over */
	assert_int_equal(recorder.count, KT_LOG_BURST);
	log.now_ms += 1;
	kt_log_settle(&log);
	assert_int_equal(recorder.count, KT_LOG_BURST + 1);
	assert_string_equal(recorder.last, "event=log.dropped of=client.refused count=123");
	assert_int_equal(recorder.level, KT_LOG_WARN);
	kt_log_settle(&log); /* once */
	assert_int_equal(recorder.count, KT_LOG_BURST + 1);
	assert_true(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	assert_string_equal(recorder.last, "event=client.refused");
}

static void where_nothing_was_dropped_nothing_is_told(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	for (int i = 0; i < KT_LOG_BURST; i++)
		(void)kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0);
	log.now_ms += 10 * KT_LOG_WINDOW_MS;
	kt_log_settle(&log);
	assert_int_equal(recorder.count, KT_LOG_BURST);
}

static void one_limited_event_does_not_silence_another(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	for (int i = 0; i <= KT_LOG_BURST; i++)
		(void)kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0);
	assert_false(kt_log_event(&log, KT_EVENT_CLIENT_REFUSED, NULL, 0));
	assert_true(kt_log_event(&log, KT_EVENT_MESSAGE_REFUSED, NULL, 0));
}

static void our_own_events_are_never_dropped(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	for (int i = 0; i < 10 * KT_LOG_BURST; i++)
		assert_true(kt_log_event(&log, KT_EVENT_ROTATION_COMMITTED, NULL, 0));
	assert_int_equal(recorder.count, 10 * KT_LOG_BURST);
}

static void events_outside_the_list_are_not_written(void **state)
{
	struct recorder recorder = {.count = 0};
	struct kt_log log;

	(void)state;
	kt_log_init(&log, record, &recorder, KT_LOG_DEBUG);
	assert_false(kt_log_event(&log, KT_EVENT_COUNT, NULL, 0));
	assert_false(kt_log_event(&log, (enum kt_event) - 1, NULL, 0));
	assert_int_equal(recorder.count, 0);
	assert_string_equal(kt_event_name(KT_EVENT_COUNT), "?");
	assert_string_equal(kt_log_level_name((enum kt_log_level)4), "?");
}

static void event_names_are_unique(void **state)
{
	(void)state;
	for (int i = 0; i < KT_EVENT_COUNT; i++) {
		assert_true(strlen(kt_event_text((enum kt_event)i)) > 0);
		assert_non_null(strchr(kt_event_name((enum kt_event)i), '.'));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(kt_event_name((enum kt_event)i),
						kt_event_name((enum kt_event)j));
	}
	assert_int_equal(kt_event_level(KT_EVENT_CLIENT_REFUSED), KT_LOG_WARN);
	assert_string_equal(kt_log_level_name(KT_LOG_ERROR), "error");
	assert_string_equal(kt_log_level_name(KT_LOG_DEBUG), "debug");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_event_and_fields_in_order),
		cmocka_unit_test(an_event_may_have_no_fields),
		cmocka_unit_test(leaves_out_fields_without_a_value),
		cmocka_unit_test(a_value_cannot_forge_a_line_or_a_field),
		cmocka_unit_test(every_byte_leaves_one_printable_line),
		cmocka_unit_test(lines_above_the_level_are_not_written),
		cmocka_unit_test(a_line_of_the_limit_is_whole_and_one_more_is_cut_at_a_field),
		cmocka_unit_test(a_cut_line_has_room_for_its_mark),
		cmocka_unit_test(strangers_get_a_burst_and_then_silence),
		cmocka_unit_test(what_was_dropped_is_told_where_no_line_follows),
		cmocka_unit_test(where_nothing_was_dropped_nothing_is_told),
		cmocka_unit_test(one_limited_event_does_not_silence_another),
		cmocka_unit_test(our_own_events_are_never_dropped),
		cmocka_unit_test(events_outside_the_list_are_not_written),
		cmocka_unit_test(event_names_are_unique),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
