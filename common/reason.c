#include "reason.h"

#include <string.h>

struct reason_entry {
	const char *token;
	const char *text;
	enum kt_reason_scope scope;
};

static const struct reason_entry reason_table[KT_REASON_COUNT] = {
#define REASON_ENTRY(code, token, scope, text)                                                     \
	[KT_REASON_##code] = {token, text, KT_REASON_SCOPE_##scope},
	KT_REASON_LIST(REASON_ENTRY)
#undef REASON_ENTRY
};

static const struct reason_entry *reason_find(enum kt_reason reason)
{
	static const struct reason_entry outside = {"?", "a reason outside the list",
						    KT_REASON_SCOPE_LOG};
	size_t index = (size_t)reason;

	return index < KT_REASON_COUNT ? &reason_table[index] : &outside;
}

const char *kt_reason_name(enum kt_reason reason)
{
	return reason_find(reason)->token;
}

const char *kt_reason_text(enum kt_reason reason)
{
	return reason_find(reason)->text;
}

bool kt_reason_is_for_peer(enum kt_reason reason)
{
	return reason_find(reason)->scope == KT_REASON_SCOPE_PEER;
}

enum kt_reason kt_reason_from_name(const char *token)
{
	for (size_t i = 0; i < KT_REASON_COUNT; i++) {
		if (strcmp(reason_table[i].token, token) == 0)
			return (enum kt_reason)i;
	}
	return KT_REASON_NONE;
}
