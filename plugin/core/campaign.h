/*
 * campaign - whom a campaign orders next, when it goes on, and when it stops.
 *
 * Canaries first, then wave after wave; never more under way than the plan says, and no further
 * order once more of them failed, or fell silent, than it allows. Who is offline is ordered when he
 * comes, for as long as the plan waits. What became of whom is the registry's (campaigns.h): a
 * broker that dies at any moment goes on where the ledger ends. Broker's thread.
 */
#ifndef KT_CAMPAIGN_H
#define KT_CAMPAIGN_H

#include "campaigns.h"
#include "core_internal.h"

struct kt_new_campaign { /* borrowed */
	const struct kt_device_id *name;
	const struct kt_plan *plan;
	const char *select; /* the words that chose whom it means, or "devices" or "all" */
	const char *note;
};
/* EXISTS; BUSY: as many as may run do. Whom it means is added until kt_campaign_start. */
struct kt_outcome kt_campaign_begin(struct kt_core *core, const struct kt_new_campaign *fresh,
				    const char *actor);
/* @devices: ids with a blank between each two, in the order of their rows, behind those before. */
struct kt_outcome kt_campaign_add(struct kt_core *core, struct kt_campaign *campaign,
				  const char *devices, const char *actor);
struct kt_outcome kt_campaign_start(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor);
/* STATE: it is not running, not paused, or has ended. */
struct kt_outcome kt_campaign_pause(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *note);
struct kt_outcome kt_campaign_resume(struct kt_core *core, struct kt_campaign *campaign,
				     const char *actor, const char *note);
struct kt_outcome kt_campaign_abort(struct kt_core *core, struct kt_campaign *campaign,
				    const char *actor, const char *note);

void kt_campaign_tick(struct kt_core *core);
/* A challenge of @device was answered, or was not in time. */
void kt_campaign_on_proof(struct kt_core *core, const struct kt_device *device, bool is_answered);

#endif
