/*
 * restore_plan - the records that an accepted older ledger gets: what was lost and takes rights
 * away.
 *
 * For restore.c alone. Pure: one registry is what the older ledger says, others are what an index
 * or a newer ledger still knows. Nothing in the plan lets anybody in; whatever it says is applied
 * to the registry as it is planned, so that a plan always fits.
 */
#ifndef KT_RESTORE_PLAN_H
#define KT_RESTORE_PLAN_H

#include "registry.h"
#include "restore.h"

struct kt_restore_plan {
	/* in, borrowed */
	struct kt_registry *registry; /* changed as the plan grows */
	int64_t now_us;
	const char *actor;
	struct kt_restore_found *found; /* counted up */
	/* out */
	struct kt_record *records; /* owned */
	size_t count;
	size_t room;
};

/* KT_ERR_NOMEM; KT_ERR_STATE: it does not fit. Seq, time and actor are filled in. */
KT_MUST_CHECK enum kt_err kt_restore_plan_add(struct kt_restore_plan *plan,
					      const struct kt_record *record);
/* All that @known knows. What does not fit is counted and left out. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_restore_plan_known(struct kt_restore_plan *plan,
						const struct kt_registry *known);
void kt_restore_plan_clear(struct kt_restore_plan *plan);

#endif
