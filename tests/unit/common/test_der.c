#include "der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct kt_der reader(const void *bytes, size_t len)
{
	struct kt_bytes view = {bytes, len};

	return kt_der_of(view);
}

#define READER(text) reader(text, sizeof(text) - 1)

static void takes_an_element_and_knows_that_it_is_done(void **state)
{
	struct kt_der d = READER("\x04\x02hi");
	struct kt_bytes body = kt_der_take(&d, KT_DER_OCTET_STRING);

	(void)state;
	assert_int_equal(body.len, 2);
	assert_memory_equal(body.p, "hi", 2);
	assert_true(kt_der_is_done(&d));
	assert_false(kt_der_has_more(&d));
}

static void bytes_behind_an_element_are_seen(void **state)
{
	struct kt_der d = READER("\x04\x01h\x00");

	(void)state;
	(void)kt_der_take(&d, KT_DER_OCTET_STRING);
	assert_false(kt_der_is_done(&d));
	assert_true(kt_der_has_more(&d));
}

static void an_error_sticks(void **state)
{
	struct kt_der d = READER("\x04\x01h");
	struct kt_der inner;

	(void)state;
	assert_int_equal(kt_der_take(&d, KT_DER_INTEGER).len, 0);
	assert_false(kt_der_is_done(&d));
	assert_int_equal(kt_der_take(&d, KT_DER_OCTET_STRING).len, 0);
	inner = kt_der_enter(&d, KT_DER_OCTET_STRING);
	assert_true(inner.bad);
	assert_false(kt_der_is_done(&inner));
}

static void lengths_are_in_their_shortest_definite_form(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"", 0},
		{"\x04", 1},
		{"\x04\x01", 2},
		{"\x04\x80\x00\x00", 4},
		{"\x04\x81\x01h", 4},
		{"\x04\x81", 2},
		{"\x04\x82\x00\x01h", 5},
		{"\x04\x82\x01", 3},
		{"\x04\x83\x00\x00\x01h", 6},
		{"\x04\x83\x01\x00", 4},
		{"\x04\x84\x00\x01\x00\x00", 6},
		{"\x04\x85\x01\x00\x00\x00\x00", 7},
		{"\x04\x84\xff\xff\xff\xff", 6},
		{"\x04\x89\xff\xff\xff\xff", 6},
		{"\x04\x7fh", 3},
		{"\x1f\x04\x01h", 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kt_der d = reader(bad[i].bytes, bad[i].len);

		(void)kt_der_take_any(&d, NULL);
		assert_true(d.bad);
	}
}

static void reads_one_and_two_byte_lengths(void **state)
{
	uint8_t bytes[4 + 0x1234] = {0x04, 0x82, 0x12, 0x34};
	struct kt_der d = reader(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(kt_der_take(&d, KT_DER_OCTET_STRING).len, 0x1234);
	assert_true(kt_der_is_done(&d));
	bytes[1] = 0x81;
	bytes[2] = 0x80;
	d = reader(bytes, 3 + 0x80);
	assert_int_equal(kt_der_take(&d, KT_DER_OCTET_STRING).len, 0x80);
	assert_true(kt_der_is_done(&d));
}

static void reads_and_writes_three_and_four_byte_lengths(void **state)
{
	static const struct {
		size_t len;
		const char *head;
		size_t head_len;
	} lengths[] = {
		{0x7f, "\x04\x7f", 2},
		{0x80, "\x04\x81\x80", 3},
		{0xff, "\x04\x81\xff", 3},
		{0x100, "\x04\x82\x01\x00", 4},
		{0xffff, "\x04\x82\xff\xff", 4},
		{0x10000, "\x04\x83\x01\x00\x00", 5},
		{0xffffff, "\x04\x83\xff\xff\xff", 5},
		{0x1000000, "\x04\x84\x01\x00\x00\x00", 6},
	};
	uint8_t *content = calloc(1, 0x1000000);
	uint8_t *out = malloc(0x1000000 + 6);

	(void)state;
	assert_non_null(content);
	assert_non_null(out);
	content[0] = 0x5a;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct kt_der_writer w = kt_der_writer_of(out, 0x1000000 + 6);
		struct kt_der d;

		kt_der_put(&w, KT_DER_OCTET_STRING, content, lengths[i].len);
		assert_false(w.bad);
		assert_int_equal(w.len, lengths[i].head_len + lengths[i].len);
		assert_memory_equal(out, lengths[i].head, lengths[i].head_len);
		assert_int_equal(out[lengths[i].head_len], 0x5a);
		d = reader(out, w.len);
		assert_int_equal(kt_der_take(&d, KT_DER_OCTET_STRING).len, lengths[i].len);
		assert_true(kt_der_is_done(&d));
		d = reader(out, w.len - 1);
		(void)kt_der_take(&d, KT_DER_OCTET_STRING);
		assert_true(d.bad);
		w = kt_der_writer_of(out, lengths[i].head_len + lengths[i].len - 1);
		kt_der_put(&w, KT_DER_OCTET_STRING, content, lengths[i].len);
		assert_true(w.bad);
	}
	free(content);
	free(out);
}

static void integers_are_not_negative_and_shortest(void **state)
{
	struct kt_der d = READER("\x02\x01\x00");
	struct kt_bytes zero = kt_der_take_unsigned(&d);

	(void)state;
	assert_int_equal(zero.len, 1);
	d = READER("\x02\x02\x00\x80");
	assert_int_equal(kt_der_take_small(&d), 0x80);
	d = READER("\x02\x03\x00\xff\xff");
	assert_int_equal(kt_der_take_small(&d), 0xffff);
	assert_true(kt_der_is_done(&d));
	d = READER("\x02\x01\x80");
	(void)kt_der_take_unsigned(&d);
	assert_true(d.bad);
	d = READER("\x02\x02\x00\x7f");
	(void)kt_der_take_unsigned(&d);
	assert_true(d.bad);
	d = READER("\x02\x00");
	(void)kt_der_take_unsigned(&d);
	assert_true(d.bad);
	d = READER("\x02\x03\x01\x00\x00");
	(void)kt_der_take_small(&d);
	assert_true(d.bad);
}

static void booleans_are_00_or_ff(void **state)
{
	struct kt_der d = READER("\x01\x01\xff\x01\x01\x00");

	(void)state;
	assert_true(kt_der_take_bool(&d));
	assert_false(kt_der_take_bool(&d));
	assert_true(kt_der_is_done(&d));
	d = READER("\x01\x01\x01");
	assert_false(kt_der_take_bool(&d));
	assert_true(d.bad);
	d = READER("\x01\x00");
	(void)kt_der_take_bool(&d);
	assert_true(d.bad);
}

static void bit_strings_of_broken_bytes_are_refused(void **state)
{
	struct kt_der d = READER("\x03\x02\x00h");

	(void)state;
	assert_int_equal(kt_der_take_bytes(&d).len, 1);
	d = READER("\x03\x02\x01h");
	(void)kt_der_take_bytes(&d);
	assert_true(d.bad);
	d = READER("\x03\x00");
	(void)kt_der_take_bytes(&d);
	assert_true(d.bad);
}

static int64_t time_of(const char *der, size_t len, bool *is_bad)
{
	struct kt_der d = reader(der, len);
	int64_t out = kt_der_take_time(&d);

	*is_bad = d.bad;
	return out;
}

static void reads_times_of_both_kinds(void **state)
{
	static const struct {
		const char *der;
		int64_t want;
	} good[] = {
		{"\x17\x0d"
		 "700101000000Z",
		 0},
		{"\x17\x0d"
		 "500101000000Z",
		 -631152000},
		{"\x17\x0d"
		 "491231235959Z",
		 2524607999},
		{"\x17\x0d"
		 "200229120000Z",
		 1582977600},
		{"\x18\x0f"
		 "20500101000000Z",
		 2524608000},
		{"\x18\x0f"
		 "20000229000000Z",
		 951782400},
		{"\x18\x0f"
		 "99991231235959Z",
		 INT64_C(253402300799)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		bool is_bad = true;

		assert_int_equal(time_of(good[i].der, strlen(good[i].der), &is_bad), good[i].want);
		assert_false(is_bad);
	}
}

static void refuses_times_that_do_not_exist(void **state)
{
	static const char *const bad[] = {
		"\x17\x0d"
		"210229000000Z",
		"\x17\x0d"
		"211301000000Z",
		"\x17\x0d"
		"210001000000Z",
		"\x17\x0d"
		"210100000000Z",
		"\x17\x0d"
		"210132000000Z",
		"\x17\x0d"
		"210101240000Z",
		"\x17\x0d"
		"210101006000Z",
		"\x17\x0d"
		"210101000060Z",
		"\x17\x0d"
		"21010100000aZ",
		"\x17\x0d"
		"2101010000000",
		"\x17\x0b"
		"2101010000Z",
		"\x17\x0c"
		"21010100000Z",
		"\x17\x0d"
		"-10101000000Z",
		"\x17\x11"
		"210101000000+0000",
		"\x18\x0f"
		"19491231235959Z",
		"\x18\x0f"
		"21000229000000Z",
		"\x18\x0d"
		"210101000000Z",
		"\x18\x11"
		"20500101000000.5Z",
		"\x16\x0d"
		"210101000000Z",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool is_bad = false;

		(void)time_of(bad[i], strlen(bad[i]), &is_bad);
		assert_true(is_bad);
	}
}

static void every_time_it_writes_it_reads_back(void **state)
{
	static const int64_t times[] = {-631152000,
					-1,
					0,
					951782399,
					951782400,
					951868799,
					951868800,
					1582977600,
					2524607999,
					2524608000,
					4107542399,
					4107542400,
					INT64_C(253402300799)};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		uint8_t out[32];
		struct kt_der_writer w = kt_der_writer_of(out, sizeof(out));
		struct kt_der d;

		kt_der_put_time(&w, times[i]);
		assert_false(w.bad);
		assert_int_equal(out[0],
				 times[i] < 2524608000 ? KT_DER_UTC_TIME : KT_DER_GENERALIZED_TIME);
		d = reader(out, w.len);
		assert_int_equal(kt_der_take_time(&d), times[i]);
		assert_true(kt_der_is_done(&d));
	}
}

static void writes_no_time_outside_the_calendar(void **state)
{
	static const int64_t times[] = {-631152001, INT64_C(253402300800), INT64_MIN, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		uint8_t out[32];
		struct kt_der_writer w = kt_der_writer_of(out, sizeof(out));

		kt_der_put_time(&w, times[i]);
		assert_true(w.bad);
	}
}

static void writes_lengths_in_their_shortest_form(void **state)
{
	static const uint8_t content[300];
	uint8_t out[400];
	struct kt_der_writer w = kt_der_writer_of(out, sizeof(out));

	(void)state;
	kt_der_put(&w, KT_DER_OCTET_STRING, content, 0x7f);
	assert_memory_equal(out, "\x04\x7f\x00", 3);
	w = kt_der_writer_of(out, sizeof(out));
	kt_der_put(&w, KT_DER_OCTET_STRING, content, 0x80);
	assert_memory_equal(out, "\x04\x81\x80\x00", 4);
	w = kt_der_writer_of(out, sizeof(out));
	kt_der_put(&w, KT_DER_OCTET_STRING, content, 0x100);
	assert_memory_equal(out, "\x04\x82\x01\x00\x00", 5);
	assert_int_equal(w.len, 4 + 0x100);
}

static void writes_integers_with_one_sign_byte_where_needed(void **state)
{
	uint8_t out[16];
	struct kt_der_writer w = kt_der_writer_of(out, sizeof(out));

	(void)state;
	kt_der_put_unsigned(&w, (const uint8_t *)"\x00\x00\x80", 3);
	kt_der_put_unsigned(&w, (const uint8_t *)"\x00\x7f", 2);
	kt_der_put_unsigned(&w, (const uint8_t *)"\x00", 1);
	assert_int_equal(w.len, 4 + 3 + 3);
	assert_memory_equal(out, "\x02\x02\x00\x80\x02\x01\x7f\x02\x01\x00", 10);
}

static void a_writer_never_writes_past_its_end(void **state)
{
	static const uint8_t content[200];

	(void)state;
	for (size_t cap = 0; cap < 207; cap++) {
		uint8_t out[256];
		struct kt_der_writer w = kt_der_writer_of(out, cap);
		size_t mark;

		memset(out, 0xaa, sizeof(out));
		mark = kt_der_open(&w, KT_DER_SEQUENCE);
		kt_der_put(&w, KT_DER_OCTET_STRING, content, sizeof(content));
		kt_der_close(&w, mark);
		assert_int_equal(w.bad, cap < 206);
		for (size_t i = cap; i < sizeof(out); i++)
			assert_int_equal(out[i], 0xaa);
	}
}

/* Reads everything in @d as every kind, three levels deep: for the sanitizers' eyes. */
static void read_all(struct kt_der d)
{
	struct kt_der copy = d;

	(void)kt_der_take_time(&copy);
	copy = d;
	(void)kt_der_take_small(&copy);
	copy = d;
	(void)kt_der_take_bytes(&copy);
	copy = d;
	(void)kt_der_take_bool(&copy);
	while (kt_der_has_more(&d)) {
		struct kt_der inner = kt_der_of(kt_der_take_any(&d, NULL));

		while (kt_der_has_more(&inner)) {
			struct kt_der last = kt_der_of(kt_der_take_any(&inner, NULL));

			while (kt_der_has_more(&last))
				(void)kt_der_take_any(&last, NULL);
		}
	}
}

static void damaged_input_is_read_within_its_bounds(void **state)
{
	static const uint8_t good[] = "\x30\x18\x17\x0d"
				      "210101000000Z\x30\x07\x02\x02\x00\x80\x01\x01\xff";
	uint8_t *exact;

	(void)state;
	for (size_t len = 0; len < sizeof(good); len++) {
		exact = test_malloc(len + 1);
		memcpy(exact, good, len);
		read_all(reader(exact, len));
		test_free(exact);
	}
	for (size_t bit = 0; bit < 8 * (sizeof(good) - 1); bit++) {
		exact = test_malloc(sizeof(good) - 1);
		memcpy(exact, good, sizeof(good) - 1);
		exact[bit / 8] ^= (uint8_t)(1u << bit % 8);
		read_all(reader(exact, sizeof(good) - 1));
		test_free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_an_element_and_knows_that_it_is_done),
		cmocka_unit_test(bytes_behind_an_element_are_seen),
		cmocka_unit_test(an_error_sticks),
		cmocka_unit_test(lengths_are_in_their_shortest_definite_form),
		cmocka_unit_test(reads_one_and_two_byte_lengths),
		cmocka_unit_test(reads_and_writes_three_and_four_byte_lengths),
		cmocka_unit_test(integers_are_not_negative_and_shortest),
		cmocka_unit_test(booleans_are_00_or_ff),
		cmocka_unit_test(bit_strings_of_broken_bytes_are_refused),
		cmocka_unit_test(reads_times_of_both_kinds),
		cmocka_unit_test(refuses_times_that_do_not_exist),
		cmocka_unit_test(every_time_it_writes_it_reads_back),
		cmocka_unit_test(writes_no_time_outside_the_calendar),
		cmocka_unit_test(writes_lengths_in_their_shortest_form),
		cmocka_unit_test(writes_integers_with_one_sign_byte_where_needed),
		cmocka_unit_test(a_writer_never_writes_past_its_end),
		cmocka_unit_test(damaged_input_is_read_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
