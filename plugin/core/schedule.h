/*
 * schedule - when a device's key is due, by its group's policy: a moment of its own, and not in
 * quiet hours.
 *
 * Deterministic: the same device, key and policy have the same moment, whoever asks and however
 * often the broker was started. Pure.
 */
#ifndef KT_SCHEDULE_H
#define KT_SCHEDULE_H

#include "policies.h"
#include "registry.h"

/*
 * From when on its rotation should be ordered, in microseconds since 1970: within policy->jitter
 * before policy->rotate_at, or, where that is in quiet hours, in the open ones behind them, but not
 * later than the end of its age. 0: never. A frozen device cannot rotate, so its age must not cost
 * it its topics.
 */
int64_t kt_schedule_due_us(const struct kt_group_policy *policy, const struct kt_device *device);
/* Is the key older than max_key_age? */
bool kt_schedule_is_over(const struct kt_group_policy *policy, const struct kt_device *device,
			 int64_t now_us);
bool kt_schedule_is_quiet(const struct kt_group_policy *policy, int64_t now_us);
/* Should one be ordered now? Over its age it is ordered in quiet hours, too. */
bool kt_schedule_wants(const struct kt_group_policy *policy, const struct kt_device *device,
		       int64_t now_us);
/*
 * The end of the device's credential, by the policy or by its certificate, whichever comes first;
 * 0: it has none.
 */
int64_t kt_schedule_end_us(const struct kt_group_policy *policy, const struct kt_device *device);

#endif
