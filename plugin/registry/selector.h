/*
 * selector - words that say which devices a command means: "group=north", "older-than=30d".
 *
 * Every word narrows: a device is meant if all of them hold for it. Owns the grammar and what a
 * word asks of a device. Pure. docs/PROTOCOL.md, "Which devices".
 */
#ifndef KT_SELECTOR_H
#define KT_SELECTOR_H

#include "registry.h"

enum { KT_SELECTOR_WORDS_MAX = 16, KT_SELECTOR_WORD_MAX = 95 /* bytes of one */ };

/* X(CODE, "what a word begins with", "what stands behind it") */
#define KT_SELECTOR_LIST(X)                                                                        \
	X(GROUP, "group=", "a group: 1 to 63 of A-Z a-z 0-9 . _ -")                                \
	X(LABEL, "label=", "a label: 1 to 63 of A-Z a-z 0-9 . _ : / -")                            \
	X(STATE, "state=", "new, active, revoked, deleted, quarantined, frozen or adopted")        \
	X(OLDER_THAN, "older-than=", "how long its key is in force at least: 12h, 30d")            \
	X(AGENT_VERSION, "agent-version<", "a version that its agent is below: 1.4, 1.4.2")

enum kt_selector_kind {
#define KT_SELECTOR_ENUM(code, prefix, text) KT_SELECTOR_##code,
	KT_SELECTOR_LIST(KT_SELECTOR_ENUM) KT_SELECTOR_COUNT
#undef KT_SELECTOR_ENUM
};

struct kt_selector_word {
	enum kt_selector_kind kind;
	const char *text; /* behind the prefix; borrowed */
	int64_t age_us;
	uint64_t version;
};

struct kt_selector {
	struct kt_selector_word words[KT_SELECTOR_WORDS_MAX];
	size_t count;
};

/* "group=" ...; "?" outside the list. Static. */
const char *kt_selector_prefix(enum kt_selector_kind kind);
/* False, and a sentence about it in *why (static): @word is none, or one too many. Borrowed. */
bool kt_selector_add(struct kt_selector *selector, const char *word, const char **why);
/*
 * Without a word on its state, a device that was deleted is never meant, and with @only_active
 * only one that has a credential in force.
 */
bool kt_selector_means(const struct kt_selector *selector, const struct kt_device *device,
		       int64_t now_us, bool only_active);

#endif
