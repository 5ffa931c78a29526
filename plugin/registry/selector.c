#include "selector.h"

#include <string.h>

#include "encoding.h"
#include "option_file.h"

struct prefix {
	const char *text;
	const char *why; /* a word with this prefix is none */
};

static const struct prefix prefixes[KT_SELECTOR_COUNT] = {
#define PREFIX(code, prefix, text) [KT_SELECTOR_##code] = {prefix, "has " prefix " without " text},
	KT_SELECTOR_LIST(PREFIX)
#undef PREFIX
};

static const char *const states[] = {"new",	    "active", "revoked", "deleted",
				     "quarantined", "frozen", "adopted"};

const char *kt_selector_prefix(enum kt_selector_kind kind)
{
	return (unsigned)kind < KT_SELECTOR_COUNT ? prefixes[kind].text : "?";
}

static bool is_state(const char *text)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(text, states[i]) == 0)
			return true;
	}
	return false;
}

/* What stands behind the prefix. */
static bool take_value(struct kt_selector_word *word)
{
	const size_t len = strlen(word->text);
	int64_t age_ms;

	switch (word->kind) {
	case KT_SELECTOR_GROUP:
		return len <= KT_GROUP_MAX && kt_is_name(word->text, len, "");
	case KT_SELECTOR_LABEL:
		return kt_is_label(word->text, len);
	case KT_SELECTOR_STATE:
		return is_state(word->text);
	case KT_SELECTOR_OLDER_THAN:
		if (!kt_duration_decode(word->text, &age_ms) || age_ms > INT64_MAX / 1000)
			return false;
		word->age_us = age_ms * 1000;
		return true;
	case KT_SELECTOR_AGENT_VERSION:
		return kt_version_decode(word->text, &word->version);
	case KT_SELECTOR_COUNT:
		break;
	}
	return false;
}

bool kt_selector_add(struct kt_selector *selector, const char *text, const char **why)
{
	struct kt_selector_word word = {.kind = KT_SELECTOR_GROUP};

	*why = "has a word that is none of group= label= state= older-than= agent-version<";
	if (strlen(text) > KT_SELECTOR_WORD_MAX)
		return false;
	while (word.kind < KT_SELECTOR_COUNT &&
	       strncmp(text, prefixes[word.kind].text, strlen(prefixes[word.kind].text)) != 0)
		word.kind++;
	if (word.kind == KT_SELECTOR_COUNT)
		return false;
	*why = prefixes[word.kind].why;
	word.text = text + strlen(prefixes[word.kind].text);
	if (!take_value(&word))
		return false;
	*why = "has more than 16 words";
	if (selector->count == KT_SELECTOR_WORDS_MAX)
		return false;
	selector->words[selector->count++] = word;
	return true;
}

static bool has_state(const struct kt_device *device, const char *state)
{
	if (strcmp(state, "quarantined") == 0)
		return device->quarantined;
	if (strcmp(state, "frozen") == 0)
		return device->frozen;
	if (strcmp(state, "adopted") == 0)
		return device->adopted;
	return strcmp(state, kt_device_state_name(device->state)) == 0;
}

static bool holds(const struct kt_selector_word *word, const struct kt_device *device,
		  int64_t now_us)
{
	switch (word->kind) {
	case KT_SELECTOR_GROUP:
		return strcmp(device->group, word->text) == 0;
	case KT_SELECTOR_LABEL:
		return kt_labels_have(device->labels, word->text);
	case KT_SELECTOR_STATE:
		return has_state(device, word->text);
	case KT_SELECTOR_OLDER_THAN:
		return device->current != NULL && device->committed_us <= now_us - word->age_us;
	case KT_SELECTOR_AGENT_VERSION:
		return device->agent_version != 0 && device->agent_version < word->version;
	case KT_SELECTOR_COUNT:
		break;
	}
	return false;
}

bool kt_selector_means(const struct kt_selector *selector, const struct kt_device *device,
		       int64_t now_us, bool only_active)
{
	bool names_state = false;

	for (size_t i = 0; i < selector->count; i++) {
		if (!holds(&selector->words[i], device, now_us))
			return false;
		names_state = names_state || selector->words[i].kind == KT_SELECTOR_STATE;
	}
	if (names_state)
		return true;
	return only_active ? device->state == KT_DEVICE_ACTIVE : device->state != KT_DEVICE_DELETED;
}
