/*
 * enroll - how a device without an identity gets one: ticket, registered key, or approval.
 *
 * DESIGN section 6, "Enrolment". A claim certificate alone gets nobody an id. A claimant is told
 * claim.refused for whatever is wrong with ticket, id or key; the log has the reason. The handlers
 * are declared in core_internal.h; here is what they share with enroll_claims.c: claimants that
 * wait and the rate of each batch and address, both in memory and bounded. Broker's thread.
 */
#ifndef KT_ENROLL_H
#define KT_ENROLL_H

#include "core_internal.h"

enum {
	KT_CLAIMS_MAX = 256,
	KT_LANES_MAX = 256,
	KT_LANE_BURST = 5, /* of one batch and address; then one a second */
	KT_TRY_AGAIN_S = 5 /* who tries too often is told to come back after this */
};

enum kt_try {
	KT_TRY_TAKEN,
	KT_TRY_TOLD,   /* too often: only to be told when to come back */
	KT_TRY_DROPPED /* and has been told often enough */
};
/*
 * One more enroll of this batch and address, and of all claimants: @rate a second, a second's worth
 * at once, counted apart for those that show a certificate and those that do not.
 */
enum kt_try kt_claims_try(struct kt_claims *claims, const struct kt_session *session, unsigned rate,
			  int64_t now_ms);
/* Notes a waiting claimant; true if it is a new one. The one silent for longest makes room. */
bool kt_claims_wait(struct kt_claims *claims, const struct kt_claim *claim, uint64_t session);
/* Drops the claim of this key; *session: its number (0: none). False: there is none. */
bool kt_claims_take(struct kt_claims *claims, const struct kt_key_id *key_id, uint64_t *session);

#endif
