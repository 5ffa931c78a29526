#include "schedule.h"

#include "crypto.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)

enum { SHARES = 10000 }; /* a jitter is so many steps */

/* FNV-1a: spread evenly, and nobody's secret. */
static uint32_t hash_of(const char *id)
{
	uint32_t hash = UINT32_C(2166136261);

	for (; *id != '\0'; id++)
		hash = (hash ^ (uint8_t)*id) * UINT32_C(16777619);
	return hash ^ hash >> 16; /* its low bits follow the last character */
}

static bool has_age(const struct kt_group_policy *policy, const struct kt_device *device)
{
	return policy->max_key_age_ms > 0 && device->current != NULL && !device->frozen;
}

/* Who falls into quiet hours is spread over the open ones behind them: else all came at their end.
 */
static int64_t put_off(const struct kt_group_policy *policy, int64_t due_us, int64_t share)
{
	const int64_t minute = due_us / MINUTE_US % KT_DAY_MINUTES;
	const int64_t left =
		((int64_t)policy->quiet_until - minute + KT_DAY_MINUTES) % KT_DAY_MINUTES;
	const int64_t open = ((int64_t)policy->quiet_from - policy->quiet_until + KT_DAY_MINUTES) %
			     KT_DAY_MINUTES;

	return due_us + left * MINUTE_US + open * MINUTE_US / SHARES * share;
}

int64_t kt_schedule_due_us(const struct kt_group_policy *policy, const struct kt_device *device)
{
	const int64_t age_us = policy->max_key_age_ms * 1000;
	const uint32_t hash = hash_of(device->id.s);
	const int64_t end_us = device->committed_us + age_us;
	int64_t due_us;

	if (!has_age(policy, device))
		return 0;
	due_us = device->committed_us + age_us / 100 * policy->rotate_at -
		 age_us / 100 * policy->jitter / SHARES * (int64_t)(hash % SHARES);
	if (kt_schedule_is_quiet(policy, due_us))
		due_us = put_off(policy, due_us, (int64_t)(hash / SHARES % SHARES));
	return due_us < end_us ? due_us : end_us;
}

bool kt_schedule_is_over(const struct kt_group_policy *policy, const struct kt_device *device,
			 int64_t now_us)
{
	return has_age(policy, device) &&
	       now_us - device->committed_us > policy->max_key_age_ms * 1000;
}

bool kt_schedule_is_quiet(const struct kt_group_policy *policy, int64_t now_us)
{
	const unsigned minute = (unsigned)(now_us / MINUTE_US % KT_DAY_MINUTES);

	if (policy->quiet_from == policy->quiet_until)
		return false;
	if (policy->quiet_from < policy->quiet_until)
		return minute >= policy->quiet_from && minute < policy->quiet_until;
	return minute >= policy->quiet_from || minute < policy->quiet_until; /* over midnight */
}

bool kt_schedule_wants(const struct kt_group_policy *policy, const struct kt_device *device,
		       int64_t now_us)
{
	if (!has_age(policy, device) || now_us < kt_schedule_due_us(policy, device))
		return false;
	return kt_schedule_is_over(policy, device, now_us) || !kt_schedule_is_quiet(policy, now_us);
}

int64_t kt_schedule_end_us(const struct kt_group_policy *policy, const struct kt_device *device)
{
	int64_t end_us = 0;

	if (has_age(policy, device))
		end_us = device->committed_us + policy->max_key_age_ms * 1000;
	if (device->current != NULL && device->current->not_after_s < KT_CERT_NO_END &&
	    device->current->not_after_s > 0 &&
	    (end_us == 0 || device->current->not_after_s * SECOND_US < end_us))
		end_us = device->current->not_after_s * SECOND_US;
	return end_us;
}
