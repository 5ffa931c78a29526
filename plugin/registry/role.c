#include "role.h"

#include <string.h>

static const struct {
	const char *name;
	unsigned permits;
} roles[KT_ROLE_COUNT] = {[KT_ROLE_NONE] = {"none", 0},
#define KT_ROLE_ROW(code, name, permits) [KT_ROLE_##code] = {name, (unsigned)(permits)},
			  KT_ROLE_LIST(KT_ROLE_ROW)
#undef KT_ROLE_ROW
};

bool kt_role_may(enum kt_role role, enum kt_permit permit)
{
	return (unsigned)role < KT_ROLE_COUNT && (roles[role].permits & (unsigned)permit) != 0;
}

const char *kt_role_name(enum kt_role role)
{
	return (unsigned)role < KT_ROLE_COUNT ? roles[role].name : "?";
}

enum kt_role kt_role_from_name(const char *word)
{
	for (unsigned i = KT_ROLE_NONE + 1; i < KT_ROLE_COUNT; i++) {
		if (strcmp(roles[i].name, word) == 0)
			return (enum kt_role)i;
	}
	return KT_ROLE_NONE;
}
