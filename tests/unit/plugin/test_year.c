/*
 * A fleet that is left alone for a year with keys of thirty days, in steps of five minutes: the
 * real core, hubs that do at once what they are told, and nobody who orders anything.
 *
 *   test_year [FILE]   FILE: a line "DAY ORDERS" for each day, of the fleet with the shipped spread
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hubs.h"
#include "schedule.h"

enum {
	HUBS = 200,
	DAYS = 365,
	STEP_MS = 300000,
	STEPS_A_DAY = 86400000 / STEP_MS,
	STEPS_AN_HOUR = 3600000 / STEP_MS
};

#define DAY_US (INT64_C(86400) * 1000000)

static const char *csv_path;

struct year {
	struct fake *f;
	struct kt_group_policy policy;
	int64_t began_us[HUBS]; /* of the key in force */
	unsigned orders[DAYS + 1];
	unsigned in_hour;
	unsigned most_an_hour;
	unsigned most_a_step;
	unsigned rotations;
	int64_t earliest_us; /* ages at which a rotation was ordered */
	int64_t latest_us;
};

/* All are enrolled at the same moment: the worst that can be. */
static struct year *year_new(const struct kt_policies *policies)
{
	struct year *y = calloc(1, sizeof(*y));

	if (y == NULL)
		abort();
	y->f = hubs_new(HUBS);
	kt_core_set_policies(y->f->core, y->f->now, policies);
	y->policy = kt_policies_for(policies, &y->f->config, "west");
	y->earliest_us = INT64_MAX;
	for (unsigned n = 0; n < HUBS; n++) {
		y->began_us[n] = hubs_device(y->f, n)->committed_us;
		hubs_connect(y->f, n);
	}
	return y;
}

static void year_free(struct year *y)
{
	fake_free(y->f);
	free(y);
}

static void note_order(struct year *y, unsigned n, int64_t age_us)
{
	if (kt_schedule_is_quiet(&y->policy, y->f->now.wall_us))
		fail_msg("hub %u is rotated in quiet hours", n);
	if (age_us < y->earliest_us)
		y->earliest_us = age_us;
	if (age_us > y->latest_us)
		y->latest_us = age_us;
}

/* Who was told to rotates at once. */
static unsigned obey(struct year *y)
{
	unsigned count = 0;

	for (unsigned n = 0; n < HUBS; n++) {
		const struct kt_device *device = hubs_device(y->f, n);

		if (device->phase != KT_SERVER_OPEN)
			continue;
		note_order(y, n, y->f->now.wall_us - y->began_us[n]);
		hubs_commit(y->f, n);
		assert_int_equal(device->phase, KT_SERVER_IDLE);
		y->began_us[n] = device->committed_us;
		count++;
	}
	return count;
}

static void step(struct year *y, unsigned at)
{
	unsigned count;

	fake_later(y->f, STEP_MS - 100);
	fake_tick(y->f);
	fake_forget(y->f);
	count = obey(y);
	y->rotations += count;
	y->orders[at / STEPS_A_DAY] += count;
	y->in_hour = at % STEPS_AN_HOUR == 0 ? count : y->in_hour + count;
	if (y->in_hour > y->most_an_hour)
		y->most_an_hour = y->in_hour;
	if (count > y->most_a_step)
		y->most_a_step = count;
}

static void pass(struct year *y)
{
	for (unsigned at = 0; at < DAYS * STEPS_A_DAY; at++)
		step(y, at);
}

static struct kt_policies policies_of(const char *text)
{
	static const struct kt_config config = {.challenge_timeout_ms = 60000};
	struct kt_policies policies;
	char why[512];

	assert_int_equal(kt_policies_parse("year.conf",
					   (struct kt_bytes){(const uint8_t *)text, strlen(text)},
					   &config, &policies, why),
			 KT_ERR_OK);
	return policies;
}

static void write_csv(const struct year *y)
{
	FILE *file = csv_path != NULL ? fopen(csv_path, "we") : NULL;

	if (csv_path == NULL)
		return;
	assert_non_null(file);
	for (unsigned day = 0; day < DAYS; day++)
		(void)fprintf(file, "%u %u\n", day, y->orders[day]);
	assert_int_equal(fclose(file), 0);
}

/* Between the 18th and the 24th day of each key, and a few an hour where all began in one moment.
 */
static void every_hub_rotates_in_its_window_and_no_herd_comes(void **state)
{
	const struct kt_policies policies = policies_of("[default]\n"
							"max_key_age = 30d\n"
							"rotate_at = 80%\n"
							"jitter = 20%\n"
							"quiet_hours = 22:00-06:00\n");
	struct year *y = year_new(&policies);

	(void)state;
	pass(y);
	assert_true(y->earliest_us >= 18 * DAY_US);
	assert_true(y->latest_us <= 25 * DAY_US); /* quiet hours put off, to the next open ones */
	/* a year has 15.2 to 20.3 such keys */
	assert_in_range(y->rotations, HUBS * 15, HUBS * 20);
	for (unsigned n = 0; n < HUBS; n++)
		assert_in_range(hubs_device(y->f, n)->current->generation, 16, 21);

	assert_in_range(y->most_an_hour, 1, HUBS / 10);
	for (unsigned day = 0; day < DAYS; day++)
		assert_in_range(y->orders[day], 0, HUBS / 4);
	assert_int_equal(y->f->logged[KT_EVENT_DEVICE_AGING], 0);
	write_csv(y);
	year_free(y);
}

/* Without any spread the ceiling alone holds them back, and none grows over its age. */
static void the_ceiling_holds_where_all_are_due_at_once(void **state)
{
	const struct kt_policies policies = policies_of("[fleet]\n"
							"rotations_per_minute = 1\n"
							"[default]\n"
							"max_key_age = 30d\n"
							"rotate_at = 80%\n"
							"jitter = 0%\n");
	struct year *y = year_new(&policies);

	(void)state;
	for (unsigned at = 0; at < 60 * STEPS_A_DAY; at++)
		step(y, at);
	assert_int_equal(y->rotations, HUBS * 2);
	assert_true(y->earliest_us >= 24 * DAY_US);
	assert_true(y->latest_us <= 30 * DAY_US);
	assert_int_equal(y->most_a_step, 1); /* nothing is saved up */
	assert_in_range(y->most_an_hour, STEPS_AN_HOUR - 1, 60);
	year_free(y);
}

/* A hub that is away is told of three times, and is rotated when it comes back. */
static void who_is_away_is_told_of(void **state)
{
	const struct kt_policies policies = policies_of("[default]\nmax_key_age = 30d\n");
	struct fake *f = hubs_new(2);

	(void)state;
	kt_core_set_policies(f->core, f->now, &policies);
	hubs_connect(f, 0);
	for (unsigned at = 0; at < 31 * STEPS_A_DAY; at++) {
		const unsigned day = at / STEPS_A_DAY;

		fake_later(f, STEP_MS - 100);
		fake_tick(f);
		if (at % STEPS_A_DAY == STEPS_A_DAY - 1)
			assert_int_equal(f->logged[KT_EVENT_DEVICE_AGING],
					 (day >= 14) + (day >= 23) + (day >= 28));
		fake_forget(f);
		if (hubs_device(f, 0)->phase == KT_SERVER_OPEN)
			hubs_commit(f, 0);
	}
	assert_int_equal(f->logged[KT_EVENT_DEVICE_AGING], 3);
	assert_int_equal(hubs_device(f, 0)->current->generation, 2);
	assert_int_equal(hubs_device(f, 1)->phase, KT_SERVER_IDLE);
	hubs_connect(f, 1);
	assert_int_equal(hubs_device(f, 1)->phase, KT_SERVER_OPEN);
	fake_free(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_hub_rotates_in_its_window_and_no_herd_comes),
		cmocka_unit_test(the_ceiling_holds_where_all_are_due_at_once),
		cmocka_unit_test(who_is_away_is_told_of),
	};

	csv_path = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
