#include "schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define T0	(INT64_C(1700000000) * 1000000)

static const struct kt_credential credential = {.not_after_s = KT_CERT_NO_END};

static struct kt_device hub(const char *id)
{
	struct kt_device d;

	memset(&d, 0, sizeof(d));
	assert_true(kt_device_id_set(&d.id, id, strlen(id)));
	d.current = &credential;
	d.committed_us = T0;
	return d;
}

static const struct kt_group_policy hundred_hours = {
	.max_key_age_ms = 360000000, .rotate_at = 80, .jitter = 20};

static void a_device_has_a_moment_of_its_own(void **state)
{
	unsigned in_part[4] = {0};

	(void)state;
	for (unsigned n = 0; n < 1000; n++) {
		char id[16];
		struct kt_device d;
		int64_t due_us;

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		d = hub(id);
		due_us = kt_schedule_due_us(&hundred_hours, &d);
		assert_int_equal(due_us, kt_schedule_due_us(&hundred_hours, &d));
		assert_true(due_us > T0 + 60 * HOUR_US && due_us <= T0 + 80 * HOUR_US);
		in_part[(due_us - T0 - 60 * HOUR_US - 1) / (5 * HOUR_US)]++;
	}
	for (size_t i = 0; i < 4; i++)
		assert_in_range(in_part[i], 200, 300); /* of a thousand, in each quarter */
}

static void without_jitter_it_is_rotate_at(void **state)
{
	struct kt_group_policy policy = hundred_hours;
	struct kt_device d = hub("a");

	(void)state;
	policy.jitter = 0;
	assert_int_equal(kt_schedule_due_us(&policy, &d), T0 + 80 * HOUR_US);
	assert_false(kt_schedule_wants(&policy, &d, T0 + 80 * HOUR_US - 1));
	assert_true(kt_schedule_wants(&policy, &d, T0 + 80 * HOUR_US));
}

static void who_has_no_age_is_never_due(void **state)
{
	struct kt_group_policy policy = hundred_hours;
	struct kt_device d = hub("a");

	(void)state;
	policy.max_key_age_ms = 0;
	assert_int_equal(kt_schedule_due_us(&policy, &d), 0);
	assert_false(kt_schedule_wants(&policy, &d, INT64_MAX));
	assert_false(kt_schedule_is_over(&policy, &d, INT64_MAX));
	d.frozen = true; /* it cannot rotate: its age must not cost it its topics */
	assert_false(kt_schedule_is_over(&hundred_hours, &d, T0 + 200 * HOUR_US));
	assert_false(kt_schedule_wants(&hundred_hours, &d, T0 + 200 * HOUR_US));
	d.frozen = false;
	d.current = NULL;
	assert_false(kt_schedule_wants(&hundred_hours, &d, T0 + 200 * HOUR_US));
}

static void over_is_later_than_the_age(void **state)
{
	struct kt_device d = hub("a");

	(void)state;
	assert_false(kt_schedule_is_over(&hundred_hours, &d, T0 + 100 * HOUR_US));
	assert_true(kt_schedule_is_over(&hundred_hours, &d, T0 + 100 * HOUR_US + 1));
}

static void quiet_hours_go_over_midnight(void **state)
{
	const struct kt_group_policy night = {.quiet_from = 22 * 60, .quiet_until = 6 * 60};
	const struct kt_group_policy noon = {.quiet_from = 12 * 60, .quiet_until = 13 * 60};
	const struct kt_group_policy none = {.quiet_from = 0, .quiet_until = 0};
	const int64_t midnight = INT64_C(19675) * 24 * HOUR_US;

	(void)state;
	assert_true(kt_schedule_is_quiet(&night, midnight));
	assert_true(kt_schedule_is_quiet(&night, midnight + 6 * HOUR_US - 1));
	assert_false(kt_schedule_is_quiet(&night, midnight + 6 * HOUR_US));
	assert_false(kt_schedule_is_quiet(&night, midnight + 22 * HOUR_US - 1));
	assert_true(kt_schedule_is_quiet(&night, midnight + 22 * HOUR_US));
	assert_false(kt_schedule_is_quiet(&noon, midnight + 12 * HOUR_US - 1));
	assert_true(kt_schedule_is_quiet(&noon, midnight + 12 * HOUR_US));
	assert_false(kt_schedule_is_quiet(&noon, midnight + 13 * HOUR_US));
	for (int64_t h = 0; h < 24; h++)
		assert_false(kt_schedule_is_quiet(&none, midnight + h * HOUR_US));
}

static void quiet_hours_put_off_but_not_over_the_age(void **state)
{
	struct kt_group_policy policy = hundred_hours;
	struct kt_device d = hub("a");
	const int64_t at = T0 + 90 * HOUR_US;
	const unsigned hour = (unsigned)(at / HOUR_US % 24);

	(void)state;
	assert_true(kt_schedule_wants(&policy, &d, at));
	policy.quiet_from = hour * 60;
	policy.quiet_until = (hour + 2) % 24 * 60;
	assert_false(kt_schedule_wants(&policy, &d, at));
	d.committed_us -= 20 * HOUR_US;
	assert_true(kt_schedule_wants(&policy, &d, at));
}

static void the_end_is_the_earlier_one(void **state)
{
	const struct kt_credential finite = {.not_after_s = T0 / 1000000 + 3600};
	const struct kt_group_policy no_age = {.max_key_age_ms = 0};
	struct kt_device d = hub("a");

	(void)state;
	assert_int_equal(kt_schedule_end_us(&no_age, &d), 0);
	assert_int_equal(kt_schedule_end_us(&hundred_hours, &d), T0 + 100 * HOUR_US);
	d.current = &finite;
	assert_int_equal(kt_schedule_end_us(&no_age, &d), T0 + HOUR_US);
	assert_int_equal(kt_schedule_end_us(&hundred_hours, &d), T0 + HOUR_US);
	d.current = NULL;
	assert_int_equal(kt_schedule_end_us(&hundred_hours, &d), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_has_a_moment_of_its_own),
		cmocka_unit_test(without_jitter_it_is_rotate_at),
		cmocka_unit_test(who_has_no_age_is_never_due),
		cmocka_unit_test(over_is_later_than_the_age),
		cmocka_unit_test(quiet_hours_go_over_midnight),
		cmocka_unit_test(quiet_hours_put_off_but_not_over_the_age),
		cmocka_unit_test(the_end_is_the_earlier_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
