/*
 * fleet_hub - a simulated hub: the agent's core over the real identity store, on a disk in memory.
 *
 * The product's agent, rollover table, trust, identity store, key store and codecs, with wolfCrypt;
 * in place of its process: the loop of fleet_loop.h, the links of fleet_link.h, a disk of
 * tests/support/fs, and a hook that succeeds at once. One thread.
 */
#ifndef FLEET_HUB_H
#define FLEET_HUB_H

#include "agent_ports.h"
#include "fake_fs.h"
#include "fleet_link.h"
#include "key_store.h"

struct fleet_world { /* what all hubs of a process share; borrowed */
	struct fleet_net net;
	struct fleet_gate gate; /* hubs in the middle of something */
	struct kt_crypto *crypto;
	const char *trust_domain;
	struct kt_bytes root; /* DER */
	int verbose;	      /* 1: lines of warnings to stderr, 2: all */
};

struct fleet_habits {	       /* of a hub that does not do as it should; zeroed: it does */
	int64_t slow_ms;       /* so long it thinks about whatever comes */
	uint32_t lost_percent; /* of what the broker says: the connection breaks in its place */
	bool is_full;	       /* its disk has no room for another key */
	bool is_copy;	       /* of another one: its failures are counted apart, as copy.* */
};

struct fleet_hub;

/* @number: counts through the whole fleet, and makes the address that the hub connects from. */
struct fleet_hub *fleet_hub_new(struct fleet_world *world, uint32_t number);
void fleet_hub_free(struct fleet_hub *hub);
/* Before the start. */
void fleet_hub_misbehave(struct fleet_hub *hub, const struct fleet_habits *habits);
/* A disk with this identity (PEM: chain and key); or an empty one and a ticket. Once, before the
 * start. */
KT_MUST_CHECK enum kt_err fleet_hub_be_enrolled(struct fleet_hub *hub, struct kt_bytes identity);
KT_MUST_CHECK enum kt_err fleet_hub_be_new(struct fleet_hub *hub, const char *ticket);
/* When it is its turn. */
KT_MUST_CHECK enum kt_err fleet_hub_start(struct fleet_hub *hub);
/* All its connections are lost at this moment. */
void fleet_hub_drop(struct fleet_hub *hub);
/* Says goodbye on all links. */
void fleet_hub_stop(struct fleet_hub *hub);
bool fleet_hub_is_down(const struct fleet_hub *hub);

struct fleet_hub_status {
	enum kt_agent_health health;
	uint32_t generation; /* of the active credential; 0: none */
	bool is_started;
	bool is_settled; /* in session, over :agent alone, with nothing half done */
	bool is_refused; /* it was told so at least once */
	const char *device;
};
void fleet_hub_status(const struct fleet_hub *hub, struct fleet_hub_status *out);

#endif
