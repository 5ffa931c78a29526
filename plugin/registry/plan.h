/*
 * plan - words that say how a campaign goes: "canary=5%", "in-flight=100", "failures=2%".
 *
 * Owns the grammar, the limits and what is meant where a word is left out: no campaign is without a
 * threshold. Pure. docs/PROTOCOL.md, "Campaigns".
 */
#ifndef KT_PLAN_H
#define KT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KT_PLAN_WORD_MAX = 31, KT_PLAN_TEXT_MAX = 383 /* bytes of all, as they are written */ };

enum kt_campaign_action { KT_CAMPAIGN_ROTATE, KT_CAMPAIGN_CHALLENGE, KT_CAMPAIGN_ACTION_COUNT };

enum kt_plan_form {
	KT_PLAN_AMOUNT,	 /* a number, or a share of all in per cent: 20, 5% */
	KT_PLAN_COUNTED, /* a number */
	KT_PLAN_SHARE,	 /* per cent */
	KT_PLAN_LASTING	 /* a duration in seconds: 30s, 10m, 24h, 7d, 0 */
};

/* X(CODE, "what it begins with", FORM, least, most, what it is if nobody says, "what it is") */
#define KT_PLAN_LIST(X)                                                                            \
	X(CANARY, "canary=", AMOUNT, 1, 1000000, 5, "the devices that go first")                   \
	X(HOLD, "hold=", LASTING, 0, 2592000, 600, "how long nothing follows them")                \
	X(WAVE, "wave=", AMOUNT, 1, 1000000, 25, "the devices of each step behind them")           \
	X(IN_FLIGHT, "in-flight=", COUNTED, 1, 10000, 100, "devices under way at once")            \
	X(RATE, "rate=", COUNTED, 1, 60000, 600, "orders in a minute")                             \
	X(DEADLINE, "deadline=", LASTING, 10, 2592000, 3600, "how long a device may take")         \
	X(RETRIES, "retries=", COUNTED, 0, 10, 1, "further orders to a device that failed")        \
	X(FAILURES, "failures=", SHARE, 0, 100, 5, "more of them that failed end it")              \
	X(SILENCE, "silence=", SHARE, 0, 100, 20, "more of them that never finished end it")       \
	X(SAMPLE, "sample=", COUNTED, 1, 1000000, 20, "of how many at least a share is one")       \
	X(UNTIL, "until=", LASTING, 60, 31536000, 604800, "how long it waits for who is offline")

enum kt_plan_item {
#define KT_PLAN_ENUM(code, prefix, form, least, most, preset, text) KT_PLAN_##code,
	KT_PLAN_LIST(KT_PLAN_ENUM) KT_PLAN_ITEM_COUNT
#undef KT_PLAN_ENUM
};

struct kt_plan {
	enum kt_campaign_action action;
	int64_t of[KT_PLAN_ITEM_COUNT];
	bool is_share[KT_PLAN_ITEM_COUNT]; /* of AMOUNT: per cent of all */
};

/* "rotate", "challenge"; "?" outside the list. Static. */
const char *kt_campaign_action_name(enum kt_campaign_action action);
/* False: no such action; *out is left alone. */
bool kt_campaign_action_from_name(const char *name, enum kt_campaign_action *out);
/* "canary=" ...; "?" outside the list. Static. */
const char *kt_plan_prefix(enum kt_plan_item item);

/* Every number within its limits, and no share where none may be. */
bool kt_plan_is_valid(const struct kt_plan *plan);
/* What is meant where nobody says a word. */
void kt_plan_preset(struct kt_plan *plan, enum kt_campaign_action action);
/* False, and a sentence about it in *why (static): @word is none. The last one of its kind counts.
 */
bool kt_plan_take(struct kt_plan *plan, const char *word, const char **why);
/* AMOUNT as a number of @all devices, at least one. */
int64_t kt_plan_amount(const struct kt_plan *plan, enum kt_plan_item item, int64_t all);

/* All of it as one text, "rotate canary=5% hold=600s ...": every word, in the order of the list. */
void kt_plan_encode(const struct kt_plan *plan, char out[static KT_PLAN_TEXT_MAX + 1]);
/* Strict inverse. */
bool kt_plan_decode(const char *text, struct kt_plan *out);

#endif
