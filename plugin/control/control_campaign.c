/* Campaigns: made of whom a command means, steered, and shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaign.h"
#include "control_internal.h"

enum {
	DEVICES_A_RECORD = KT_RECORD_DEVICES_MAX,
	RECORD_COST = 6 * KT_CONTROL_ACTION /* of one that adds so many */
};

struct order { /* what a command says of a campaign to be made */
	struct kt_device_id name;
	struct kt_plan plan;
	char select[KT_RECORD_SELECT_MAX + 1];
};

/* --- beginCampaign --- */

static bool take_plan(struct kt_control *c, struct kt_plan *out)
{
	const struct kt_json_value *words = kt_json_member(c->item, "plan");
	enum kt_campaign_action action;
	const char *why = "";

	if (!kt_campaign_action_from_name(kt_json_string(c->item, "action"), &action))
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "action",
				 "is neither rotate nor challenge");
	kt_plan_preset(out, action);
	for (const struct kt_json_value *word = words != NULL ? kt_json_first(words) : NULL;
	     word != NULL; word = kt_json_next(word)) {
		if (!kt_json_is(word, KT_JSON_STRING))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "plan",
					 "holds something that is no string");
		if (!kt_plan_take(out, kt_json_value_string(word), &why))
			return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "plan", why);
	}
	return true;
}

/* The words, as they were given; each is one of the selector's already. */
static void take_select(const struct kt_control *c, char out[static KT_RECORD_SELECT_MAX + 1])
{
	const struct kt_json_value *words = kt_json_member(c->item, "select");
	size_t len = 0;

	(void)snprintf(out, KT_RECORD_SELECT_MAX + 1, "%s",
		       kt_json_member(c->item, "all") != NULL ? "all" : "devices");
	for (const struct kt_json_value *word = words != NULL ? kt_json_first(words) : NULL;
	     word != NULL; word = kt_json_next(word)) {
		int n = snprintf(out + len, KT_RECORD_SELECT_MAX + 1 - len, "%s%s",
				 len > 0 ? " " : "", kt_json_value_string(word));

		len += n > 0 ? (size_t)n : 0; /* sixteen of 95 bytes at most: they fit */
	}
}

static bool take_order(struct kt_control *c, struct order *out)
{
	memset(out, 0, sizeof(*out));
	return kt_field_campaign(c->item, &out->name, &c->refusal) && take_plan(c, &out->plan);
}

static void put_plan(struct kt_json_writer *w, const struct kt_plan *plan, size_t devices)
{
	char text[KT_PLAN_TEXT_MAX + 1];

	kt_plan_encode(plan, text);
	kt_json_put_string(w, "plan", text);
	kt_json_put_number(w, "devices", (int64_t)devices);
	kt_json_put_number(w, "canaries", kt_plan_amount(plan, KT_PLAN_CANARY, (int64_t)devices));
	kt_json_put_number(w, "wave", kt_plan_amount(plan, KT_PLAN_WAVE, (int64_t)devices));
}

static int by_row(const void *a, const void *b)
{
	const uint32_t x = kt_device_row(*(const struct kt_device *const *)a);
	const uint32_t y = kt_device_row(*(const struct kt_device *const *)b);

	return (x > y) - (x < y);
}

/* Who would be touched: the first page of them, and how many they are. */
static void show_meant(struct kt_control *c, const struct order *order)
{
	const struct kt_selection *selection = c->work;

	put_plan(kt_control_data(c), &order->plan, selection->count);
	kt_json_open_array(c->writer, "meant");
	for (size_t i = 0; i < selection->count && i < KT_CONTROL_PAGE_MAX; i++)
		kt_json_put_string(c->writer, NULL, selection->devices[i]->id.s);
	kt_json_close_array(c->writer);
}

static void refuse_outcome(struct kt_control *c, struct kt_campaign *campaign,
			   struct kt_outcome outcome)
{
	if (campaign != NULL)
		campaign->run.is_gathering = false; /* the next tick ends it */
	c->step = NULL;
	(void)kt_control_outcome(c, outcome);
}

/* The ids of the next ones, with a blank between each two. */
static void next_ids(struct kt_selection *selection,
		     char out[static DEVICES_A_RECORD * (KT_DEVICE_ID_MAX + 1)])
{
	size_t len = 0;

	for (size_t i = 0; i < DEVICES_A_RECORD && selection->at < selection->count; i++) {
		const char *id = selection->devices[selection->at++]->id.s;
		const size_t id_len = strlen(id);

		if (len > 0)
			out[len++] = ' ';
		memcpy(out + len, id, id_len);
		len += id_len;
	}
	out[len] = '\0';
}

static void start(struct kt_control *c, struct kt_campaign *campaign)
{
	const struct kt_outcome outcome = kt_campaign_start(c->core, campaign, c->actor);

	campaign->run.is_gathering = false;
	c->step = NULL;
	if (!kt_control_outcome(c, outcome))
		return;
	kt_json_put_string(kt_control_data(c), "campaign", campaign->name.s);
	put_plan(c->writer, &campaign->plan, campaign->member_count);
}

static void add_some(struct kt_control *c)
{
	struct kt_selection *selection = c->work;
	char ids[DEVICES_A_RECORD * (KT_DEVICE_ID_MAX + 1)];
	struct kt_campaign *campaign =
		kt_registry_find_campaign(c->core->registry, kt_json_string(c->item, "campaign"));
	struct kt_outcome outcome;

	if (campaign == NULL) { /* never: nobody ends one that gathers */
		refuse_outcome(c, NULL, (struct kt_outcome){.reason = KT_REASON_NOT_FOUND});
		return;
	}
	while (selection->at < selection->count && c->budget > 0) {
		next_ids(selection, ids);
		c->budget -= RECORD_COST;
		outcome = kt_campaign_add(c->core, campaign, ids, c->actor);
		if (outcome.reason != KT_REASON_NONE) {
			refuse_outcome(c, campaign, outcome);
			return;
		}
	}
	if (selection->at == selection->count)
		start(c, campaign);
}

/* All are known whom it means. */
static void begin(struct kt_control *c)
{
	struct kt_selection *selection = c->work;
	struct order order;
	const struct kt_new_campaign fresh = {.name = &order.name,
					      .plan = &order.plan,
					      .select = order.select,
					      .note = kt_control_note(c)};
	struct kt_outcome outcome;

	if (!take_order(c, &order))
		return;
	if (selection->count == 0) {
		(void)kt_refuse(&c->refusal, KT_REASON_NOT_FOUND, selection->field,
				"means no device");
		return;
	}
	take_select(c, order.select);
	if (kt_json_member(c->item, "devices") != NULL) /* a walk has them in their order */
		qsort(selection->devices, selection->count, sizeof(struct kt_device *), by_row);
	if (kt_control_is_dry_run(c)) {
		show_meant(c, &order);
		return;
	}
	outcome = kt_campaign_begin(c->core, &fresh, c->actor);
	if (!kt_control_outcome(c, outcome))
		return;
	kt_registry_find_campaign(c->core->registry, order.name.s)->run.is_gathering = true;
	c->step = add_some;
	add_some(c);
}

void kt_command_begin_campaign(struct kt_control *c)
{
	struct order order;

	if (take_order(c, &order))
		kt_control_gather(c, SIZE_MAX, begin);
}

/* --- steering --- */

static struct kt_campaign *named(struct kt_control *c)
{
	struct kt_campaign *campaign = NULL;
	struct kt_device_id name;

	if (!kt_field_campaign(c->item, &name, &c->refusal))
		return NULL;
	campaign = kt_registry_find_campaign(c->core->registry, name.s);
	if (campaign == NULL)
		(void)kt_refuse(&c->refusal, KT_REASON_NOT_FOUND, "campaign", "does not exist");
	return campaign;
}

typedef struct kt_outcome turn(struct kt_core *core, struct kt_campaign *campaign,
			       const char *actor, const char *note);

static void steer(struct kt_control *c, turn *action)
{
	struct kt_campaign *campaign = named(c);

	if (campaign == NULL ||
	    !kt_control_outcome(c, action(c->core, campaign, c->actor, kt_control_note(c))))
		return;
	kt_json_put_string(kt_control_data(c), "campaign", campaign->name.s);
	kt_json_put_string(c->writer, "state", kt_campaign_state_name(campaign->state));
}

void kt_command_pause_campaign(struct kt_control *c)
{
	steer(c, kt_campaign_pause);
}

void kt_command_resume_campaign(struct kt_control *c)
{
	steer(c, kt_campaign_resume);
}

void kt_command_abort_campaign(struct kt_control *c)
{
	steer(c, kt_campaign_abort);
}

/* --- showing --- */

static void put_campaign(struct kt_json_writer *w, const struct kt_campaign *campaign)
{
	kt_json_put_string(w, "campaign", campaign->name.s);
	kt_json_put_string(w, "action", kt_campaign_action_name(campaign->plan.action));
	kt_json_put_string(w, "state", kt_campaign_state_name(campaign->state));
	kt_json_put_bool(w, "aborted", campaign->is_aborted);
	if (campaign->why[0] != '\0')
		kt_json_put_string(w, "why", campaign->why);
	kt_json_put_string(w, "by", campaign->by);
	if (campaign->note[0] != '\0')
		kt_json_put_string(w, "note", campaign->note);
	kt_json_put_string(w, "select", campaign->select);
	put_plan(w, &campaign->plan, campaign->member_count);
	kt_control_put_time(w, "began", campaign->began_us);
	kt_control_put_time(w, "ended", campaign->ended_us);
	kt_json_put_number(w, "waves", campaign->wave);
	kt_json_open_object(w, "counts");
	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++)
		kt_json_put_number(w, kt_member_status_name((enum kt_member_status)i),
				   (int64_t)campaign->count[i]);
	kt_json_close_object(w);
}

void kt_command_list_campaigns(struct kt_control *c)
{
	const struct kt_campaign *campaign;

	kt_json_open_array(kt_control_data(c), "campaigns");
	for (size_t i = 0; (campaign = kt_registry_campaign(c->core->registry, i)) != NULL; i++) {
		kt_json_open_object(c->writer, NULL);
		put_campaign(c->writer, campaign);
		kt_json_close_object(c->writer);
	}
	kt_json_close_array(c->writer);
}

static void put_member(struct kt_control *c, const struct kt_member *member)
{
	kt_json_open_object(c->writer, NULL);
	kt_json_put_string(c->writer, "device", kt_member_device(c->core->registry, member)->id.s);
	kt_json_put_string(c->writer, "state",
			   kt_member_status_name((enum kt_member_status)member->status));
	if (member->reason != KT_REASON_NONE)
		kt_json_put_string(c->writer, "reason",
				   kt_reason_name((enum kt_reason)member->reason));
	kt_json_put_number(c->writer, "orders", member->tries);
	if (member->op != 0)
		kt_json_put_u64(c->writer, "op", member->op);
	kt_control_put_time(c->writer, "since", member->since_us);
	kt_json_close_object(c->writer);
}

struct members { /* c->work: a page of them */
	struct kt_control_page page;
	bool is_by_status;
	enum kt_member_status status;
	size_t at;
	int64_t total; /* of those meant so far */
};

/* To the end of them, a piece at a time; no campaign is dropped but for a new one. */
static void show_some(struct kt_control *c)
{
	struct members *members = c->work;
	const struct kt_campaign *campaign = named(c);

	for (; campaign != NULL && members->at < campaign->member_count && c->budget > 0;
	     members->at++) {
		const struct kt_member *member = kt_campaign_member(campaign, members->at);

		c->budget -= KT_CONTROL_LOOK;
		if (members->is_by_status && member->status != members->status)
			continue;
		if (kt_control_is_on_page(&members->page, members->total)) {
			c->budget -= KT_CONTROL_ROW;
			put_member(c, member);
		}
		members->total++;
	}
	if (campaign != NULL && members->at < campaign->member_count)
		return;
	kt_json_close_array(c->writer);
	kt_json_put_number(c->writer, "offset", members->page.offset);
	kt_json_put_number(c->writer, "total", members->total);
	c->step = NULL;
}

void kt_command_get_campaign(struct kt_control *c)
{
	const struct kt_campaign *campaign = named(c);
	const char *state = kt_json_string(c->item, "state");
	struct members *members;

	if (campaign == NULL)
		return;
	members = calloc(1, sizeof(*members));
	if (members == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "", "out of memory, try again");
		return;
	}
	c->work = members;
	members->is_by_status = state != NULL;
	if (state != NULL && !kt_member_status_from_name(state, &members->status)) {
		(void)kt_refuse(
			&c->refusal, KT_REASON_JSON_FIELD, "state",
			"is none of waiting ordered done failed silent skipped missed left");
		return;
	}
	if (!kt_control_page(c, &members->page))
		return;
	put_campaign(kt_control_data(c), campaign);
	kt_json_open_array(c->writer, "members");
	c->step = show_some;
	show_some(c);
}
