#include "limit.h"

#include <stdlib.h>

#define ONE INT64_C(1000000)

enum { HOUR_MS = 3600000 };

struct kt_limits {
	struct kt_limit limit[KT_LIMITS_MAX];
	size_t count;
	uint32_t lost;
};

/* A rate of n in 1000 s is n millionths of an event in a millisecond. */
static void fill(struct kt_bucket *bucket, struct kt_rate rate, int64_t now_ms)
{
	const int64_t full = (int64_t)rate.burst * ONE;
	int64_t elapsed_ms = now_ms - bucket->at_ms;

	if (elapsed_ms < 0)
		elapsed_ms = 0;
	if (elapsed_ms > HOUR_MS)
		elapsed_ms = HOUR_MS;
	bucket->left += elapsed_ms * (int64_t)rate.per_1000s;
	if (bucket->left > full || !bucket->is_used)
		bucket->left = full;
	bucket->is_used = true;
	bucket->at_ms = now_ms;
}

bool kt_bucket_has(struct kt_bucket *bucket, struct kt_rate rate, int64_t now_ms)
{
	fill(bucket, rate, now_ms);
	return bucket->left >= ONE;
}

bool kt_bucket_take(struct kt_bucket *bucket, struct kt_rate rate, int64_t now_ms)
{
	if (!kt_bucket_has(bucket, rate, now_ms))
		return false;
	bucket->left -= ONE;
	return true;
}

enum kt_err kt_limits_new(struct kt_limits **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? KT_ERR_NOMEM : KT_ERR_OK;
}

void kt_limits_free(struct kt_limits *limits)
{
	free(limits);
}

static uint32_t sum(uint32_t a, uint32_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + b;
}

static bool makes_room_before(const struct kt_limit *a, const struct kt_limit *b)
{
	if ((a->dropped > 0) != (b->dropped > 0))
		return a->dropped == 0;
	return a->bucket.at_ms < b->bucket.at_ms;
}

struct kt_limit *kt_limits_of(struct kt_limits *limits, const struct kt_device *device,
			      unsigned what, int64_t now_ms)
{
	struct kt_limit *oldest = &limits->limit[0];

	for (size_t i = 0; i < limits->count; i++) {
		struct kt_limit *limit = &limits->limit[i];

		if (limit->device == device && limit->what == what)
			return limit;
		if (makes_room_before(limit, oldest))
			oldest = limit;
	}
	if (limits->count < KT_LIMITS_MAX)
		oldest = &limits->limit[limits->count++];
	limits->lost = sum(limits->lost, oldest->dropped);
	*oldest = (struct kt_limit){.device = device, .what = what, .bucket = {.at_ms = now_ms}};
	return oldest;
}

struct kt_limit *kt_limits_next_dropped(struct kt_limits *limits, size_t *cursor)
{
	while (*cursor < limits->count) {
		struct kt_limit *limit = &limits->limit[(*cursor)++];

		if (limit->dropped > 0)
			return limit;
	}
	return NULL;
}

uint32_t kt_limits_lost(struct kt_limits *limits)
{
	const uint32_t lost = limits->lost;

	limits->lost = 0;
	return lost;
}
