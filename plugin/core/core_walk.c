/* What time does to devices, a piece of a walk over all of them each tick: deadlines, what is
 * overdue. */
#include <string.h>

#include "rotation.h"
#include "schedule.h"

#define SECOND_US INT64_C(1000000)

enum { DEVICES_A_PIECE_MIN = 64, DEVICES_EVERY_MS = 100, DEVICES_WALK_MS = 60000 };

/* OPEN: the op's own deadline. ISSUED: as long from the order on as the config gives a pending. */
static bool is_overdue(const struct kt_core *core, const struct kt_device *device)
{
	const int64_t opened_us = device->op_deadline_us - core->config->op_deadline_ms * 1000;

	switch (kt_rotation_phase(device)) {
	case KT_SERVER_IDLE:
		return false;
	case KT_SERVER_OPEN:
		return core->now.wall_us >= device->op_deadline_us;
	case KT_SERVER_ISSUED:
		return core->now.wall_us >= opened_us + core->config->pending_give_up_ms * 1000;
	}
	return false;
}

/* In the first walk after that moment, whichever restart lies between. */
static bool is_due_now(const struct kt_core *core, int64_t due_us)
{
	return due_us > core->devices_sweep.before_us && due_us <= core->devices_sweep.start_us;
}

static bool is_promote_overdue(const struct kt_core *core, const struct kt_device *device)
{
	const int64_t due_us = device->committed_us + core->config->promote_overdue_ms * 1000;

	return device->state == KT_DEVICE_ACTIVE &&
	       device->last_committed_op > device->promoted_op && is_due_now(core, due_us);
}

/* A hub that cannot be reached: at half of its key's life, a fifth, a twentieth. */
static void tell_aging(struct kt_core *core, const struct kt_device *device)
{
	static const struct {
		int64_t left; /* per cent */
		const char *text;
	} shares[] = {{50, "50%"}, {20, "20%"}, {5, "5%"}};
	const struct kt_group_policy policy = kt_core_policy(core, device);
	const int64_t end_us = kt_schedule_end_us(&policy, device);

	for (size_t i = 0; end_us != 0 && i < sizeof(shares) / sizeof(shares[0]); i++) {
		const int64_t life_us = end_us - device->committed_us;
		const struct kt_field field = {"left", shares[i].text};

		if (is_due_now(core, end_us - life_us / 100 * shares[i].left) &&
		    kt_core_session_of(core, device, KT_SESSION_AGENT) == NULL)
			kt_core_fact(core, KT_EVENT_DEVICE_AGING, device, &field, 1, 0);
	}
}

/* For the metrics: how old its key is, and how long it has. */
static void count_age(struct kt_core *core, const struct kt_device *device)
{
	const struct kt_group_policy policy = kt_core_policy(core, device);
	const int64_t end_us = kt_schedule_end_us(&policy, device);
	const int64_t now_us = core->now.wall_us;

	if (device->current == NULL)
		return;
	kt_metrics_age(&core->ages.in_hand, now_us > device->committed_us
						    ? (now_us - device->committed_us) / SECOND_US
						    : 0);
	if (end_us != 0)
		kt_metrics_age(&core->lives.in_hand,
			       end_us > now_us ? (end_us - now_us) / SECOND_US : 0);
}

/* A whole walk is what the metrics tell. */
static void take_ages(struct kt_age_walk *walk)
{
	walk->done = walk->in_hand;
	memset(&walk->in_hand, 0, sizeof(walk->in_hand));
}

static void visit(struct kt_core *core, const struct kt_device *device)
{
	struct kt_rotation_words words;

	if (device->state == KT_DEVICE_DELETED)
		return;
	if (is_overdue(core, device)) {
		const struct kt_outcome closed = kt_rotation_close(core, device, "keyturn");

		(void)closed; /* refused: the next walk tries again */
	}
	tell_aging(core, device);
	count_age(core, device);
	if (is_promote_overdue(core, device)) {
		kt_rotation_describe(&words, device->last_committed_op, device->current,
				     KT_REASON_NONE);
		kt_core_fact(core, KT_EVENT_PROMOTE_OVERDUE, device, words.fields, words.count, 0);
	}
}

/* What is looked for is due in minutes at the earliest: a walk over a large fleet takes a minute.
 */
static size_t piece_of(const struct kt_core *core)
{
	size_t devices = kt_registry_counts(core->registry).devices;
	size_t last = core->devices_sweep.rows; /* with tombstones */
	size_t rows = devices > last ? devices : last;
	size_t piece = rows / (DEVICES_WALK_MS / DEVICES_EVERY_MS) + 1;

	return piece < DEVICES_A_PIECE_MIN ? DEVICES_A_PIECE_MIN : piece;
}

void kt_core_walk_devices(struct kt_core *core)
{
	struct kt_sweep *sweep = &core->devices_sweep;
	const size_t piece = piece_of(core);

	if (core->now.mono_ms < sweep->next_ms)
		return;
	sweep->next_ms = core->now.mono_ms + DEVICES_EVERY_MS;
	if (sweep->cursor == 0) {
		sweep->before_us = sweep->start_us;
		sweep->start_us = core->now.wall_us;
	}
	for (size_t i = 0; i < piece; i++) {
		const struct kt_device *device =
			kt_registry_next_device(core->registry, &sweep->cursor);

		if (device == NULL) {
			sweep->rows = sweep->cursor;
			sweep->cursor = 0;
			take_ages(&core->ages);
			take_ages(&core->lives);
			return;
		}
		visit(core, device);
	}
}
