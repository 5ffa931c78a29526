/*
 * limit - how often: a bucket, and a table of buckets by device.
 *
 * A bucket fills at a rate up to its burst, and each event takes one out. The table has a fixed
 * size: whoever was silent for longest makes room, so that who floods stays known and nobody can
 * make it grow. It says how often, never what follows. Pure; broker's thread.
 */
#ifndef KT_LIMIT_H
#define KT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct kt_device;

enum { KT_LIMITS_MAX = 512 };

struct kt_rate {
	unsigned per_1000s; /* events in a thousand seconds */
	unsigned burst;	    /* events at once */
};

struct kt_bucket { /* zeroed: full */
	bool is_used;
	int64_t left; /* millionths of an event */
	int64_t at_ms;
};

/* Is there one left? Changes nothing but the bucket's time. */
bool kt_bucket_has(struct kt_bucket *bucket, struct kt_rate rate, int64_t now_ms);
/* Takes one out; false: it was empty. */
bool kt_bucket_take(struct kt_bucket *bucket, struct kt_rate rate, int64_t now_ms);

struct kt_limit { /* of one device and one kind of event */
	const struct kt_device *device;
	unsigned what;
	struct kt_bucket bucket;
	uint32_t dropped; /* since it was last told */
};

struct kt_limits; /* owned, opaque */

KT_MUST_CHECK enum kt_err kt_limits_new(struct kt_limits **out);
void kt_limits_free(struct kt_limits *limits);
/*
 * Never NULL; valid until the next call. Of two that have nothing to tell the one silent for longer
 * makes room; where all have, what it dropped is added to kt_limits_lost.
 */
struct kt_limit *kt_limits_of(struct kt_limits *limits, const struct kt_device *device,
			      unsigned what, int64_t now_ms);
/* Those that dropped something: *cursor 0 to start; NULL at the end. */
struct kt_limit *kt_limits_next_dropped(struct kt_limits *limits, size_t *cursor);
/* What was dropped by those that made room before it was told; and forgets it. */
uint32_t kt_limits_lost(struct kt_limits *limits);

#endif
