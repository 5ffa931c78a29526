#include "limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "registry.h"

static const struct kt_rate rate = {.per_1000s = 5000, .burst = 10}; /* five a second */

static unsigned taken(struct kt_bucket *bucket, struct kt_rate r, unsigned tries, int64_t now_ms)
{
	unsigned count = 0;

	for (unsigned i = 0; i < tries; i++)
		count += kt_bucket_take(bucket, r, now_ms) ? 1 : 0;
	return count;
}

static void a_new_bucket_is_full_and_no_more(void **state)
{
	struct kt_bucket bucket = {.is_used = false};

	(void)state;
	assert_int_equal(taken(&bucket, rate, 100, 0), 10);
	assert_int_equal(taken(&bucket, rate, 100, 0), 0);
}

static void it_fills_at_its_rate_up_to_its_burst(void **state)
{
	struct kt_bucket bucket = {.is_used = false};

	(void)state;
	assert_int_equal(taken(&bucket, rate, 100, 5000), 10);
	assert_int_equal(taken(&bucket, rate, 100, 5199), 0);
	assert_int_equal(taken(&bucket, rate, 100, 5200), 1);
	assert_int_equal(taken(&bucket, rate, 100, 6200), 5);
	assert_int_equal(taken(&bucket, rate, 100, 8200), 10);
	assert_int_equal(taken(&bucket, rate, 100, INT64_MAX / 2), 10);
}

/* Asked every millisecond it gives as much as asked every second: no fraction is lost. */
static void no_fraction_is_lost(void **state)
{
	const struct kt_rate slow = {.per_1000s = 1, .burst = 1}; /* one in 1000 s */
	struct kt_bucket bucket = {.is_used = false};
	unsigned count = 0;

	(void)state;
	for (int64_t ms = 0; ms < 3000000; ms++)
		count += kt_bucket_take(&bucket, slow, ms) ? 1 : 0;
	assert_int_equal(count, 3); /* at 0, 1000 and 2000 s */
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
	struct kt_bucket bucket = {.is_used = false};

	(void)state;
	assert_int_equal(taken(&bucket, rate, 100, 5000), 10);
	assert_int_equal(taken(&bucket, rate, 100, 1000), 0);
	assert_int_equal(taken(&bucket, rate, 100, 1200), 1);
}

static void to_look_takes_nothing(void **state)
{
	struct kt_bucket bucket = {.is_used = false};

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(kt_bucket_has(&bucket, rate, 0));
	assert_int_equal(taken(&bucket, rate, 100, 0), 10);
	assert_false(kt_bucket_has(&bucket, rate, 0));
}

/* --- the table --- */

static struct kt_limits *new_limits(void)
{
	struct kt_limits *limits = NULL;

	assert_int_equal(kt_limits_new(&limits), KT_ERR_OK);
	return limits;
}

static void each_device_and_kind_has_its_own(void **state)
{
	struct kt_limits *limits = new_limits();
	const struct kt_device a = {.op = 1};
	const struct kt_device b = {.op = 2};
	struct kt_limit *first = kt_limits_of(limits, &a, 1, 0);

	(void)state;
	assert_ptr_equal(kt_limits_of(limits, &a, 1, 50), first);
	assert_ptr_not_equal(kt_limits_of(limits, &a, 2, 0), first);
	assert_ptr_not_equal(kt_limits_of(limits, &b, 1, 0), first);
	assert_ptr_equal(kt_limits_of(limits, &a, 1, 99), first);
	kt_limits_free(limits);
}

static void whoever_floods_stays_known(void **state)
{
	struct kt_limits *limits = new_limits();
	struct kt_device *devices = calloc(4 * KT_LIMITS_MAX, sizeof(*devices));
	const struct kt_device flood = {.op = 1};
	unsigned passed = 0;

	(void)state;
	assert_non_null(devices);
	for (size_t i = 0; i < (size_t)4 * KT_LIMITS_MAX; i++) {
		struct kt_limit *limit = kt_limits_of(limits, &flood, 0, (int64_t)i);

		passed += kt_bucket_take(&limit->bucket, rate, (int64_t)i) ? 1 : 0;
		limit = kt_limits_of(limits, &devices[i], 0, (int64_t)i);
		assert_true(kt_bucket_take(&limit->bucket, rate, (int64_t)i));
	}
	assert_int_equal(passed, 10 + 4 * KT_LIMITS_MAX * 5 / 1000);
	kt_limits_free(limits);
	free(devices);
}

static void what_was_dropped_is_never_forgotten(void **state)
{
	struct kt_limits *limits = new_limits();
	struct kt_device *devices = calloc(2 * KT_LIMITS_MAX, sizeof(*devices));
	struct kt_limit *limit;
	uint32_t told = 0;
	size_t cursor = 0;

	(void)state;
	assert_non_null(devices);
	for (size_t i = 0; i < (size_t)2 * KT_LIMITS_MAX; i++)
		kt_limits_of(limits, &devices[i], 0, (int64_t)i)->dropped = 3;
	while ((limit = kt_limits_next_dropped(limits, &cursor)) != NULL)
		told += limit->dropped;
	assert_int_equal(told, 3 * KT_LIMITS_MAX);
	assert_int_equal(kt_limits_lost(limits), 3 * KT_LIMITS_MAX);
	assert_int_equal(kt_limits_lost(limits), 0);
	kt_limits_free(limits);
	free(devices);
}

static void who_has_nothing_to_tell_makes_room_first(void **state)
{
	struct kt_limits *limits = new_limits();
	struct kt_device *devices = calloc(2 * KT_LIMITS_MAX, sizeof(*devices));

	(void)state;
	assert_non_null(devices);
	kt_limits_of(limits, &devices[0], 0, 0)->dropped = 7; /* the oldest of all */
	for (size_t i = 1; i < (size_t)2 * KT_LIMITS_MAX; i++)
		(void)kt_limits_of(limits, &devices[i], 0, (int64_t)i);
	assert_int_equal(kt_limits_lost(limits), 0);
	assert_int_equal(kt_limits_of(limits, &devices[0], 0, 0)->dropped, 7);
	kt_limits_free(limits);
	free(devices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_bucket_is_full_and_no_more),
		cmocka_unit_test(it_fills_at_its_rate_up_to_its_burst),
		cmocka_unit_test(no_fraction_is_lost),
		cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
		cmocka_unit_test(to_look_takes_nothing),
		cmocka_unit_test(each_device_and_kind_has_its_own),
		cmocka_unit_test(whoever_floods_stays_known),
		cmocka_unit_test(what_was_dropped_is_never_forgotten),
		cmocka_unit_test(who_has_nothing_to_tell_makes_room_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
