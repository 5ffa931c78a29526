#include "campaign.h"

#include <stdio.h>
#include <string.h>

#include "rotation.h"

enum {
	LOOKS_A_TICK = 4096,
	ORDERS_A_TICK = 32, /* and what ends of others: a record each */
	AGAIN_MS = 60000,   /* a device that failed has so long for its second thoughts */
	ORDER_COST = 60000, /* of the rate: an order a minute fills in one of this a millisecond */
	BURST_MS = 1000
};

#define SECOND_US INT64_C(1000000)

/* --- records and events ----------------------------------------------------------------------- */

static struct kt_record new_record(enum kt_record_kind kind, const struct kt_device_id *campaign)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.kind = kind;
	record.campaign = *campaign;
	return record;
}

static struct kt_outcome change(struct kt_core *core, struct kt_record *record, const char *actor)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};

	if (kt_core_change(core, record, actor, &outcome.reason) == KT_ERR_OK)
		outcome.seq = record->seq;
	return outcome;
}

static void tell(struct kt_core *core, enum kt_event event, const struct kt_campaign *campaign,
		 const char *actor, uint64_t seq)
{
	char counts[KT_MEMBER_STATUS_COUNT][24];
	struct kt_field fields[4 + KT_MEMBER_STATUS_COUNT] = {
		{"campaign", campaign->name.s},
		{"action", kt_campaign_action_name(campaign->plan.action)},
		{"actor", actor},
		{"why", campaign->why[0] != '\0' ? campaign->why : NULL}};
	size_t count = 4;

	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++) {
		if (campaign->count[i] == 0)
			continue;
		(void)snprintf(counts[i], sizeof(counts[i]), "%zu", campaign->count[i]);
		fields[count++] = (struct kt_field){kt_member_status_name((enum kt_member_status)i),
						    counts[i]};
	}
	kt_core_fact(core, event, NULL, fields, count, seq);
}

/* One that changes the state, and has nothing but a note. */
static struct kt_outcome turn(struct kt_core *core, struct kt_campaign *campaign,
			      enum kt_record_kind kind, const char *actor, const char *note)
{
	static const enum kt_event events[KT_RECORD_COUNT] = {
		[KT_RECORD_CAMPAIGN_START] = KT_EVENT_CAMPAIGN_STARTED,
		[KT_RECORD_CAMPAIGN_WAVE] = KT_EVENT_CAMPAIGN_ADVANCED,
		[KT_RECORD_CAMPAIGN_PAUSE] = KT_EVENT_CAMPAIGN_PAUSED,
		[KT_RECORD_CAMPAIGN_RESUME] = KT_EVENT_CAMPAIGN_RESUMED,
		[KT_RECORD_CAMPAIGN_ABORT] = KT_EVENT_CAMPAIGN_ABORTED,
		[KT_RECORD_CAMPAIGN_END] = KT_EVENT_CAMPAIGN_ENDED};
	struct kt_record record = new_record(kind, &campaign->name);
	struct kt_outcome outcome;

	if (note != NULL)
		(void)snprintf(record.note, sizeof(record.note), "%s", note);
	outcome = change(core, &record, actor);
	if (outcome.reason == KT_REASON_NONE)
		tell(core, events[kind], campaign, actor, outcome.seq);
	return outcome;
}

static bool settle(struct kt_core *core, struct kt_campaign *campaign, struct kt_member *member,
		   enum kt_member_status result, enum kt_reason reason)
{
	const struct kt_device *device = kt_member_device(core->registry, member);
	struct kt_record record = new_record(KT_RECORD_CAMPAIGN_DEVICE, &campaign->name);
	const struct kt_field fields[] = {
		{"campaign", campaign->name.s},
		{"result", kt_member_status_name(result)},
		{"reason", reason != KT_REASON_NONE ? kt_reason_name(reason) : NULL}};
	struct kt_outcome outcome;

	record.device = device->id;
	record.result = result;
	record.reason = reason;
	outcome = change(core, &record, "keyturn");
	if (outcome.reason != KT_REASON_NONE)
		return false;
	kt_core_fact(core, KT_EVENT_CAMPAIGN_SETTLED, device, fields, 3, outcome.seq);
	return true;
}

/* --- what operators do ------------------------------------------------------------------------ */

struct kt_outcome kt_campaign_begin(struct kt_core *core, const struct kt_new_campaign *fresh,
				    const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_CAMPAIGN_BEGIN, fresh->name);
	struct kt_outcome outcome;

	if (kt_registry_find_campaign(core->registry, fresh->name->s) != NULL)
		return (struct kt_outcome){.reason = KT_REASON_EXISTS};
	record.plan = *fresh->plan;
	record.text = fresh->select;
	(void)snprintf(record.note, sizeof(record.note), "%s", fresh->note);
	outcome = change(core, &record, actor);
	if (outcome.reason == KT_REASON_STATE) /* as many as may run do */
		outcome.reason = KT_REASON_BUSY;
	return outcome;
}

struct kt_outcome kt_campaign_add(struct kt_core *core, struct kt_campaign *campaign,
				  const char *devices, const char *actor)
{
	struct kt_record record = new_record(KT_RECORD_CAMPAIGN_ADD, &campaign->name);

	record.text = devices;
	return change(core, &record, actor);
}

struct kt_outcome kt_campaign_start(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor)
{
	return turn(core, campaign, KT_RECORD_CAMPAIGN_START, actor, NULL);
}

struct kt_outcome kt_campaign_pause(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *note)
{
	return turn(core, campaign, KT_RECORD_CAMPAIGN_PAUSE, actor, note);
}

struct kt_outcome kt_campaign_resume(struct kt_core *core, struct kt_campaign *campaign,
				     const char *actor, const char *note)
{
	return turn(core, campaign, KT_RECORD_CAMPAIGN_RESUME, actor, note);
}

struct kt_outcome kt_campaign_abort(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *note)
{
	return turn(core, campaign, KT_RECORD_CAMPAIGN_ABORT, actor, note);
}

/* --- how far it may go ------------------------------------------------------------------------ */

/* How many may be ordered in the wave in hand. */
static size_t quota_of(const struct kt_campaign *campaign)
{
	return (size_t)kt_plan_amount(&campaign->plan,
				      campaign->wave == 0 ? KT_PLAN_CANARY : KT_PLAN_WAVE,
				      (int64_t)campaign->member_count);
}

static bool is_patient(const struct kt_core *core, const struct kt_campaign *campaign)
{
	return core->now.mono_ms < campaign->run.until_ms;
}

static bool is_wave_full(const struct kt_campaign *campaign)
{
	return campaign->wave_done + campaign->count[KT_MEMBER_ORDERED] >= quota_of(campaign);
}

static bool may_order(const struct kt_core *core, const struct kt_campaign *campaign)
{
	return campaign->state == KT_CAMPAIGN_RUNNING && is_patient(core, campaign) &&
	       !is_wave_full(campaign) &&
	       campaign->count[KT_MEMBER_ORDERED] < (size_t)campaign->plan.of[KT_PLAN_IN_FLIGHT] &&
	       campaign->run.orders_left >= ORDER_COST;
}

/* In this run of the broker for the first time: what is left of its patience, by the clock. */
static void see(const struct kt_core *core, struct kt_campaign *campaign)
{
	const int64_t until_us = campaign->began_us + campaign->plan.of[KT_PLAN_UNTIL] * SECOND_US;

	campaign->run.is_seen = true;
	campaign->run.until_ms = core->now.mono_ms + (until_us - core->now.wall_us) / 1000;
	campaign->run.orders_left = ORDER_COST;
	campaign->run.orders_at_ms = core->now.mono_ms;
}

/* Of the rate: a second's worth at most is kept, and one order always. */
static void fill_rate(const struct kt_core *core, struct kt_campaign *campaign)
{
	struct kt_campaign_run *run = &campaign->run;
	const int64_t rate = campaign->plan.of[KT_PLAN_RATE];
	const int64_t most = rate * BURST_MS > ORDER_COST ? rate * BURST_MS : ORDER_COST;

	run->orders_left += (core->now.mono_ms - run->orders_at_ms) * rate;
	run->orders_at_ms = core->now.mono_ms;
	if (run->orders_left > most)
		run->orders_left = most;
}

/* --- one device ------------------------------------------------------------------------------- */

/* Its agent, with the credential in force, that has said hello; NULL: it is not there. */
static const struct kt_session *agent_of(struct kt_core *core, const struct kt_device *device)
{
	const struct kt_session *session = kt_core_session_of(core, device, KT_SESSION_AGENT);

	return session != NULL && session->has_hello && session->credential == device->current
		       ? session
		       : NULL;
}

static bool is_online(struct kt_core *core, const struct kt_device *device)
{
	return agent_of(core, device) != NULL;
}

static bool is_asked(struct kt_core *core, const struct kt_device *device)
{
	const struct kt_session *session = agent_of(core, device);

	return session != NULL && session->has_challenge;
}

static enum kt_reason order(struct kt_core *core, struct kt_campaign *campaign,
			    struct kt_member *member)
{
	const struct kt_device *device = kt_member_device(core->registry, member);
	enum kt_reason reason;

	if (campaign->plan.action == KT_CAMPAIGN_ROTATE && !kt_core_may_order(core))
		return KT_REASON_BUSY; /* the fleet's ceiling */
	if (campaign->plan.action == KT_CAMPAIGN_ROTATE) {
		reason = kt_rotation_order_for(core, device, campaign).reason;
	} else {
		reason = kt_challenge_send(core, device, campaign->by).reason;
		if (reason == KT_REASON_NONE)
			kt_member_note_order(campaign, member, true);
	}
	if (reason != KT_REASON_NONE)
		return reason;
	member->due_ms = core->now.mono_ms + campaign->plan.of[KT_PLAN_DEADLINE] * 1000;
	campaign->run.orders_left -= ORDER_COST;
	return KT_REASON_NONE;
}

/* What its time, or its own word, says of one under way; NONE: it goes on. */
static enum kt_reason trouble_of(const struct kt_core *core, const struct kt_campaign *campaign,
				 struct kt_member *member)
{
	const struct kt_device *device = kt_member_device(core->registry, member);

	if (member->reason != KT_REASON_NONE)
		return (enum kt_reason)member->reason;
	if (campaign->plan.action == KT_CAMPAIGN_ROTATE &&
	    (device->phase == KT_SERVER_IDLE || device->op != member->op))
		return KT_REASON_OP_CLOSED;
	if (member->due_ms == 0) /* the order is of an earlier run */
		member->due_ms = core->now.mono_ms + campaign->plan.of[KT_PLAN_DEADLINE] * 1000;
	return core->now.mono_ms >= member->due_ms ? KT_REASON_OP_CLOSED : KT_REASON_NONE;
}

/* Also while it is paused: then when that is over. */
static bool may_try_again(struct kt_core *core, const struct kt_campaign *campaign,
			  const struct kt_member *member)
{
	return campaign->state != KT_CAMPAIGN_ABORTED && is_patient(core, campaign) &&
	       member->tries <= campaign->plan.of[KT_PLAN_RETRIES] &&
	       is_online(core, kt_member_device(core->registry, member));
}

/* Its op is nobody's any more: the hub is to stop, and try no longer. */
static void call_off(struct kt_core *core, const struct kt_member *member)
{
	const struct kt_device *device = kt_member_device(core->registry, member);
	struct kt_outcome outcome;

	if (member->op == 0 || device->phase == KT_SERVER_IDLE || device->op != member->op)
		return;
	outcome = kt_rotation_cancel(core, device, "keyturn");
	(void)outcome; /* refused: the op has a deadline of its own */
}

/* True: it was settled, or tried again. */
static bool visit_ordered(struct kt_core *core, struct kt_campaign *campaign,
			  struct kt_member *member)
{
	const bool is_challenge = campaign->plan.action == KT_CAMPAIGN_CHALLENGE;
	enum kt_reason reason;

	if (member->is_again) {
		if (core->now.mono_ms < member->due_ms)
			return false;
		if (may_try_again(core, campaign, member)) /* else its trouble is its end */
			return campaign->state == KT_CAMPAIGN_RUNNING &&
			       campaign->run.orders_left >= ORDER_COST &&
			       order(core, campaign, member) == KT_REASON_NONE;
	}
	reason = trouble_of(core, campaign, member);
	if (reason == KT_REASON_NONE) {
		/* its question went with its session: its turn comes again */
		if (is_challenge && !is_asked(core, kt_member_device(core->registry, member)))
			kt_member_note_order(campaign, member, false);
		return false;
	}
	if (!member->is_again && may_try_again(core, campaign, member)) {
		member->reason = (uint16_t)reason;
		member->is_again = true;
		member->due_ms = core->now.mono_ms + AGAIN_MS;
		return false;
	}
	if (!settle(core, campaign, member,
		    reason == KT_REASON_OP_CLOSED || reason == KT_REASON_CHALLENGE_TIMEOUT
			    ? KT_MEMBER_SILENT
			    : KT_MEMBER_FAILED,
		    reason))
		return false;
	call_off(core, member);
	return true;
}

/* Such a device can never be asked. */
static enum kt_reason skip_reason(const struct kt_campaign *campaign,
				  const struct kt_device *device)
{
	if (device->state != KT_DEVICE_ACTIVE)
		return KT_REASON_STATE;
	if (campaign->plan.action == KT_CAMPAIGN_ROTATE && device->frozen)
		return KT_REASON_FROZEN;
	return KT_REASON_NONE;
}

/* True: something was done. */
static bool visit_waiting(struct kt_core *core, struct kt_campaign *campaign,
			  struct kt_member *member)
{
	const struct kt_device *device = kt_member_device(core->registry, member);
	const enum kt_reason skip = skip_reason(campaign, device);

	if (campaign->state != KT_CAMPAIGN_RUNNING)
		return false;
	if (skip != KT_REASON_NONE)
		return settle(core, campaign, member, KT_MEMBER_SKIPPED, skip);
	/* an op that is open already, of whomever: its commit settles this member, too */
	if (!may_order(core, campaign) || device->phase != KT_SERVER_IDLE ||
	    !is_online(core, device))
		return false;
	return order(core, campaign, member) == KT_REASON_NONE;
}

/* A piece of a walk over all of them. */
static void walk(struct kt_core *core, struct kt_campaign *campaign)
{
	struct kt_campaign_run *run = &campaign->run;
	const size_t looks =
		campaign->member_count < LOOKS_A_TICK ? campaign->member_count : LOOKS_A_TICK;
	unsigned done = 0;

	if (campaign->count[KT_MEMBER_ORDERED] == 0 && !may_order(core, campaign))
		return;
	for (size_t i = 0; i < looks && done < ORDERS_A_TICK && !core->journal_failed; i++) {
		struct kt_member *member = kt_campaign_member(campaign, run->cursor);

		run->cursor = (run->cursor + 1) % campaign->member_count;
		if (member->status == KT_MEMBER_ORDERED)
			done += visit_ordered(core, campaign, member) ? 1 : 0;
		else if (member->status == KT_MEMBER_WAITING)
			done += visit_waiting(core, campaign, member) ? 1 : 0;
	}
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool is_over(const struct kt_campaign *campaign, enum kt_plan_item share,
		    enum kt_member_status status, size_t settled)
{
	return campaign->count[status] * 100 > (size_t)campaign->plan.of[share] * settled;
}

/* The canaries are a sample whatever their number. True: it was ended. */
static bool judge(struct kt_core *core, struct kt_campaign *campaign, bool is_canary_done)
{
	const size_t settled = campaign->count[KT_MEMBER_DONE] + campaign->count[KT_MEMBER_FAILED] +
			       campaign->count[KT_MEMBER_SILENT];
	enum kt_member_status status = KT_MEMBER_FAILED;
	enum kt_plan_item share = KT_PLAN_FAILURES;
	char why[96];

	if (settled == 0 ||
	    (settled < (size_t)campaign->plan.of[KT_PLAN_SAMPLE] && !is_canary_done))
		return false;
	if (!is_over(campaign, share, status, settled)) {
		status = KT_MEMBER_SILENT;
		share = KT_PLAN_SILENCE;
		if (!is_over(campaign, share, status, settled))
			return false;
	}
	(void)snprintf(why, sizeof(why), "%s: %zu of %zu, at most %lld%% may be",
		       kt_member_status_name(status), campaign->count[status], settled,
		       (long long)campaign->plan.of[share]);
	return kt_campaign_abort(core, campaign, "keyturn", why).reason == KT_REASON_NONE;
}

/* A wave is over when all of it is settled; the canaries have to hold, too. */
static void advance(struct kt_core *core, struct kt_campaign *campaign)
{
	struct kt_campaign_run *run = &campaign->run;
	struct kt_outcome outcome;

	if (campaign->count[KT_MEMBER_ORDERED] > 0 || !is_wave_full(campaign))
		return;
	if (campaign->wave == 0) {
		if (run->settled_ms == 0) {
			if (judge(core, campaign, true))
				return;
			run->settled_ms = core->now.mono_ms;
		}
		if (core->now.mono_ms - run->settled_ms < campaign->plan.of[KT_PLAN_HOLD] * 1000)
			return;
	}
	outcome = turn(core, campaign, KT_RECORD_CAMPAIGN_WAVE, "keyturn", NULL);
	(void)outcome; /* refused: the next tick tries again */
}

static bool has_ended(const struct kt_core *core, const struct kt_campaign *campaign)
{
	if (campaign->count[KT_MEMBER_ORDERED] > 0 || campaign->state == KT_CAMPAIGN_PAUSED)
		return false;
	return campaign->count[KT_MEMBER_WAITING] == 0 || !is_patient(core, campaign);
}

static void tick(struct kt_core *core, struct kt_campaign *campaign)
{
	struct kt_outcome outcome = {.reason = KT_REASON_NONE};

	if (campaign->state == KT_CAMPAIGN_GATHERING) {
		if (!campaign->run.is_gathering)
			outcome = kt_campaign_abort(core, campaign, "keyturn",
						    "broken off before it was started");
		(void)outcome; /* refused: the next tick tries again */
		return;
	}
	if (!campaign->run.is_seen)
		see(core, campaign);
	fill_rate(core, campaign);
	walk(core, campaign);
	if (campaign->state == KT_CAMPAIGN_RUNNING && judge(core, campaign, false))
		return;
	if (has_ended(core, campaign))
		outcome = turn(core, campaign, KT_RECORD_CAMPAIGN_END, "keyturn", NULL);
	else if (campaign->state == KT_CAMPAIGN_RUNNING)
		advance(core, campaign);
	(void)outcome;
}

void kt_campaign_tick(struct kt_core *core)
{
	struct kt_campaign *campaign;

	if (core->journal_failed)
		return; /* nothing new is ordered that could not be kept */
	for (size_t i = 0; (campaign = kt_registry_campaign(core->registry, i)) != NULL; i++) {
		if (campaign->state != KT_CAMPAIGN_ENDED)
			tick(core, campaign);
	}
}

void kt_campaign_on_proof(struct kt_core *core, const struct kt_device *device, bool is_answered)
{
	struct kt_campaign *campaign;

	for (size_t i = 0; (campaign = kt_registry_campaign(core->registry, i)) != NULL; i++) {
		struct kt_member *member = NULL;

		if (campaign->plan.action == KT_CAMPAIGN_CHALLENGE &&
		    campaign->state != KT_CAMPAIGN_ENDED)
			member = kt_campaign_find(campaign, device);
		if (member == NULL || member->status != KT_MEMBER_ORDERED)
			continue;
		if (!is_answered)
			member->reason = KT_REASON_CHALLENGE_TIMEOUT;
		else
			(void)settle(core, campaign, member, KT_MEMBER_DONE, KT_REASON_NONE);
	}
}
