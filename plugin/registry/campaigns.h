/*
 * campaigns - rotations, or challenges, of many devices under one plan: what records make of them.
 *
 * A part of the registry's fold: who is meant, what became of each, how far it has gone. Decides
 * nothing: whom to order, and when to stop, is core/campaign.c's. Not in the index: every start
 * reads the ledger. Broker's thread.
 */
#ifndef KT_CAMPAIGNS_H
#define KT_CAMPAIGNS_H

#include "registry.h"

enum {
	KT_CAMPAIGNS_MAX = 32,	     /* known; of those that ended the oldest makes room */
	KT_CAMPAIGNS_RUNNING_MAX = 8 /* not ended; another one is refused */
};

enum kt_campaign_state {
	KT_CAMPAIGN_GATHERING, /* whom it means is being written */
	KT_CAMPAIGN_RUNNING,
	KT_CAMPAIGN_PAUSED,
	KT_CAMPAIGN_ABORTED, /* no further orders; who is under way may finish */
	KT_CAMPAIGN_ENDED
};

struct kt_member {	  /* a device of a campaign; 40 bytes */
	uint64_t op;	  /* ORDERED: what it has to finish; 0: a challenge */
	int64_t since_us; /* of its status */
	int64_t due_ms;	  /* the core's own: until when it may take, or waits for its next try */
	uint32_t device;  /* row */
	uint16_t reason;  /* of its end, or ORDERED: of the trouble that it has */
	uint8_t status;	  /* enum kt_member_status */
	uint8_t tries;	  /* orders that it had */
	bool is_again;	  /* the core's own: due_ms is that of its next try */
};

struct kt_campaign_run {     /* the core's own: not recorded, zeroed by a restart */
	size_t cursor;	     /* of its walk over the members */
	int64_t orders_left; /* thousandths of an order, of the rate */
	int64_t orders_at_ms;
	int64_t settled_ms; /* when the canaries were done; 0: they are not */
	int64_t until_ms;   /* the end of its patience; 0: not reckoned yet */
	bool is_gathering;  /* by a command in hand */
	bool is_seen;
};

struct kt_campaign { /* read-only but for run and what is the core's own of members */
	struct kt_device_id name;
	struct kt_plan plan;
	char *select;		   /* owned */
	char by[KT_ACTOR_MAX + 1]; /* who made it */
	char note[128];
	char why[128]; /* it was aborted, or paused: the note of that; "" if there is none */
	enum kt_campaign_state state;
	bool is_aborted;  /* also once it has ended */
	unsigned wave;	  /* 0: the canaries */
	size_t wave_done; /* devices that were ordered in this wave and are not under way any more
			   */
	int64_t began_us;
	int64_t ended_us;
	size_t count[KT_MEMBER_STATUS_COUNT]; /* members by status */
	struct kt_member **chunks;	      /* owned; kt_campaign_member */
	size_t chunk_count;
	size_t member_count;
	struct kt_campaign_run run;
};

/* "gathering" "running" "paused" "aborted" "ended". Static. */
const char *kt_campaign_state_name(enum kt_campaign_state state);

/* In the order in which they were made; NULL at the end. Valid until the next record. */
struct kt_campaign *kt_registry_campaign(const struct kt_registry *registry, size_t index);
struct kt_campaign *kt_registry_find_campaign(const struct kt_registry *registry, const char *name);
/* In the order of their rows; @index is below member_count. */
struct kt_member *kt_campaign_member(const struct kt_campaign *campaign, size_t index);
/* NULL: it is not meant. */
struct kt_member *kt_campaign_find(const struct kt_campaign *campaign,
				   const struct kt_device *device);
/* Its place in the order of devices. */
uint32_t kt_device_row(const struct kt_device *device);
const struct kt_device *kt_member_device(const struct kt_registry *registry,
					 const struct kt_member *member);
/* Orders it in memory alone (@is_ordered), or takes that back: a challenge leaves no record. */
void kt_member_note_order(struct kt_campaign *campaign, struct kt_member *member, bool is_ordered);

/* --- for registry*.c: the fold --- */

bool kt_campaigns_check(const struct kt_registry *registry, const struct kt_record *record,
			const struct kt_device *device);
/* Room for what kt_campaigns_apply will need. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_campaigns_reserve(struct kt_registry *registry,
					       const struct kt_record *record);
/* Of every record, behind its effect on @device (NULL: it has none). Cannot fail. */
void kt_campaigns_apply(struct kt_registry *registry, const struct kt_record *record,
			const struct kt_device *device);
void kt_campaigns_clear(struct kt_registry *registry);

#endif
