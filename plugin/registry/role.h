/*
 * role - what an operator may do: a set of permits, and the roles that have them.
 *
 * Owns both tables. A role is a set and no rank: a rotator may not what a revoker may, nor the
 * other way round. Pure. Any thread.
 */
#ifndef KT_ROLE_H
#define KT_ROLE_H

#include <stdbool.h>

/* One kind of command; control.h says of which kind each is. */
enum kt_permit {
	KT_PERMIT_LOOK = 1 << 0,
	KT_PERMIT_ROTATE = 1 << 1,
	KT_PERMIT_ENROLL = 1 << 2,
	KT_PERMIT_REVOKE = 1 << 3,
	KT_PERMIT_ADMIN = 1 << 4 /* what undoes another's work, or makes operators */
};

/* X(CODE, "name", permits); everybody may look */
#define KT_ROLE_LIST(X)                                                                            \
	X(VIEWER, "viewer", KT_PERMIT_LOOK)                                                        \
	X(ROTATOR, "rotator", KT_PERMIT_LOOK | KT_PERMIT_ROTATE)                                   \
	X(ENROLLER, "enroller", KT_PERMIT_LOOK | KT_PERMIT_ENROLL)                                 \
	X(REVOKER, "revoker", KT_PERMIT_LOOK | KT_PERMIT_REVOKE)                                   \
	X(ADMIN, "admin",                                                                          \
	  KT_PERMIT_LOOK | KT_PERMIT_ROTATE | KT_PERMIT_ENROLL | KT_PERMIT_REVOKE |                \
		  KT_PERMIT_ADMIN)

enum kt_role {
	KT_ROLE_NONE, /* no operator */
#define KT_ROLE_ENUM(code, name, permits) KT_ROLE_##code,
	KT_ROLE_LIST(KT_ROLE_ENUM) KT_ROLE_COUNT
#undef KT_ROLE_ENUM
};

/* False for NONE and for what is no role. */
bool kt_role_may(enum kt_role role, enum kt_permit permit);
/* "none" for NONE, "?" outside the list. Static. */
const char *kt_role_name(enum kt_role role);
/* KT_ROLE_NONE for a word that names none. */
enum kt_role kt_role_from_name(const char *word);

#endif
