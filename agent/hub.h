/*
 * hub - what the agent stands on, opened: random source, key store, identity store, trust, ticket.
 *
 * Reads the files that the configuration names and checks them against each other and against the
 * record; pins the root. Decides nothing about the rollover. One thread.
 */
#ifndef KT_HUB_H
#define KT_HUB_H

#include "config.h"
#include "crypto.h"
#include "err.h"
#include "identity_store.h"
#include "key_store.h"
#include "ticket.h"
#include "transport_paho.h"

enum { KT_HUB_WHY_MAX = 512 };

struct kt_hub_claim {		 /* what an operator asked for; zero: nothing */
	bool is_enrolment;	 /* `enroll` */
	bool again;		 /* `enroll --again`: also where there is an identity */
	const char *ticket_file; /* NULL: the configuration's */
};

struct kt_hub { /* caller's storage: kt_hub_open, kt_hub_close; do not move */
	const struct kt_agent_config *config; /* borrowed */
	struct kt_crypto *crypto;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	bool has_ticket;
	struct kt_ticket ticket;
	bool has_claim;
	bool starts_again; /* with this ticket or claim certificate, and nothing is begun yet */
	struct kt_paho_address broker;
	struct kt_paho_address claim;
	char root_pem[KT_PATH_MAX + sizeof("/root.pem")]; /* path of the pinned root */
};

/*
 * A ticket and a claim certificate are looked at only as long as the hub has no identity, goes on
 * with an enrolment that was begun, or is asked to begin one again. A ticket on the command line is
 * such a request, unless it is the one that was used last. *why: on error a sentence that names the
 * file; after KT_ERR_OK "" or what could not be tidied up. KT_ERR_MISSING_FIELD, KT_ERR_INVALID,
 * KT_ERR_STATE (two of them contradict each other), what kt_identity_open and the readers of files
 * return. After an error nothing is held.
 */
KT_MUST_CHECK enum kt_err kt_hub_open(const struct kt_agent_config *config,
				      const struct kt_hub_claim *claim, struct kt_hub *hub,
				      char why[static KT_HUB_WHY_MAX]);
void kt_hub_close(struct kt_hub *hub); /* also of a zeroed one */

bool kt_hub_has_root(const struct kt_hub *hub);
/*
 * Without root_cert the root comes out of the broker's chain, if its SHA-256 is the ticket's: one
 * connection, for at most @timeout_ms. KT_ERR_OK also where it is pinned already.
 * KT_ERR_MISSING_FIELD (neither root_cert nor a ticket), KT_ERR_NOT_FOUND (not in that chain),
 * KT_ERR_SYS, KT_ERR_CLOSED, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_hub_fetch_root(struct kt_hub *hub, int timeout_ms,
					    char why[static KT_HUB_WHY_MAX]);
/* SHA-256 of the ticket's secret, as the record keeps it. */
void kt_hub_ticket_hash(const struct kt_hub *hub, uint8_t out[static 32]);
/* Id of the enrolment's key. KT_ERR_NOT_FOUND: there is none (yet, or no more). */
KT_MUST_CHECK enum kt_err kt_hub_key_id(struct kt_hub *hub, struct kt_key_id *out);

#endif
