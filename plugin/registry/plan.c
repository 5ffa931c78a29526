#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "option_file.h"

struct item {
	const char *prefix;
	enum kt_plan_form form;
	int64_t least;
	int64_t most;
	int64_t preset;
	const char *why; /* a word with this prefix is none */
};

static const struct item items[KT_PLAN_ITEM_COUNT] = {
#define ITEM(code, prefix, form, least, most, preset, text)                                        \
	[KT_PLAN_##code] = {prefix,                                                                \
			    KT_PLAN_##form,                                                        \
			    least,                                                                 \
			    most,                                                                  \
			    preset,                                                                \
			    "has " prefix " with something else than " text                        \
			    ", or out of range (" #least " to " #most ")"},
	KT_PLAN_LIST(ITEM)
#undef ITEM
};

static const char *const actions[KT_CAMPAIGN_ACTION_COUNT] = {
	[KT_CAMPAIGN_ROTATE] = "rotate",
	[KT_CAMPAIGN_CHALLENGE] = "challenge",
};

const char *kt_campaign_action_name(enum kt_campaign_action action)
{
	return (unsigned)action < KT_CAMPAIGN_ACTION_COUNT ? actions[action] : "?";
}

bool kt_campaign_action_from_name(const char *name, enum kt_campaign_action *out)
{
	for (unsigned i = 0; i < KT_CAMPAIGN_ACTION_COUNT; i++) {
		if (strcmp(actions[i], name) == 0) {
			*out = (enum kt_campaign_action)i;
			return true;
		}
	}
	return false;
}

const char *kt_plan_prefix(enum kt_plan_item item)
{
	return (unsigned)item < KT_PLAN_ITEM_COUNT ? items[item].prefix : "?";
}

bool kt_plan_is_valid(const struct kt_plan *plan)
{
	if ((unsigned)plan->action >= KT_CAMPAIGN_ACTION_COUNT)
		return false;
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++) {
		const int64_t most = plan->is_share[i] ? 100 : items[i].most;

		if (plan->of[i] < items[i].least || plan->of[i] > most ||
		    (plan->is_share[i] && items[i].form != KT_PLAN_AMOUNT))
			return false;
	}
	return true;
}

void kt_plan_preset(struct kt_plan *plan, enum kt_campaign_action action)
{
	memset(plan, 0, sizeof(*plan));
	plan->action = action;
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++) {
		plan->of[i] = items[i].preset;
		plan->is_share[i] = items[i].form == KT_PLAN_AMOUNT;
	}
}

/* @len bytes of digits. */
static bool take_number(const char *text, size_t len, int64_t *out)
{
	uint64_t number;

	if (kt_u64_decode(text, len, &number) != KT_ERR_OK || number > INT32_MAX)
		return false;
	*out = (int64_t)number;
	return true;
}

static bool take_value(enum kt_plan_form form, const char *text, int64_t *out, bool *is_share)
{
	const size_t len = strlen(text);
	int64_t ms = 0;

	*is_share = len > 0 && text[len - 1] == '%' &&
		    (form == KT_PLAN_AMOUNT || form == KT_PLAN_SHARE);
	if (form == KT_PLAN_LASTING) {
		if (!kt_duration_decode(text, &ms))
			return false;
		*out = ms / 1000;
		return true;
	}
	if (form == KT_PLAN_SHARE && !*is_share)
		return false;
	return take_number(text, len - (*is_share ? 1 : 0), out) && (!*is_share || *out <= 100);
}

bool kt_plan_take(struct kt_plan *plan, const char *word, const char **why)
{
	unsigned i = 0;
	int64_t value;
	bool is_share;

	*why = "has a word that is none of canary= hold= wave= in-flight= rate= deadline= "
	       "retries= failures= silence= sample= until=";
	if (strlen(word) > KT_PLAN_WORD_MAX)
		return false;
	while (i < KT_PLAN_ITEM_COUNT &&
	       strncmp(word, items[i].prefix, strlen(items[i].prefix)) != 0)
		i++;
	if (i == KT_PLAN_ITEM_COUNT)
		return false;
	*why = items[i].why;
	if (!take_value(items[i].form, word + strlen(items[i].prefix), &value, &is_share) ||
	    value < items[i].least || value > items[i].most)
		return false;
	plan->of[i] = value;
	plan->is_share[i] = items[i].form == KT_PLAN_AMOUNT && is_share;
	return true;
}

int64_t kt_plan_amount(const struct kt_plan *plan, enum kt_plan_item item, int64_t all)
{
	const int64_t amount =
		plan->is_share[item] ? (all * plan->of[item] + 99) / 100 : plan->of[item];

	return amount > 0 ? amount : 1;
}

static const char *unit_of(const struct kt_plan *plan, unsigned i)
{
	switch (items[i].form) {
	case KT_PLAN_AMOUNT:
		return plan->is_share[i] ? "%" : "";
	case KT_PLAN_SHARE:
		return "%";
	case KT_PLAN_LASTING:
		return plan->of[i] > 0 ? "s" : "";
	case KT_PLAN_COUNTED:
		break;
	}
	return "";
}

void kt_plan_encode(const struct kt_plan *plan, char out[static KT_PLAN_TEXT_MAX + 1])
{
	size_t len = strlen(kt_campaign_action_name(plan->action));

	memcpy(out, kt_campaign_action_name(plan->action), len + 1);
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++) {
		int n = snprintf(out + len, KT_PLAN_TEXT_MAX + 1 - len, " %s%lld%s",
				 items[i].prefix, (long long)plan->of[i], unit_of(plan, i));

		len += n > 0 ? (size_t)n : 0; /* the limits of the list keep it below the end */
	}
}

bool kt_plan_decode(const char *text, struct kt_plan *out)
{
	char again[KT_PLAN_TEXT_MAX + 1];
	char word[KT_PLAN_WORD_MAX + 1];
	const char *rest = text;
	const char *why;
	enum kt_campaign_action action;

	if (!kt_option_next_word(&rest, word, sizeof(word)) ||
	    !kt_campaign_action_from_name(word, &action))
		return false;
	kt_plan_preset(out, action);
	while (kt_option_next_word(&rest, word, sizeof(word))) {
		if (!kt_plan_take(out, word, &why))
			return false;
	}
	kt_plan_encode(out, again);
	return strcmp(text, again) == 0;
}
