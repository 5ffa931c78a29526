/*
 * trust - what the hub believes: chains under the pinned root, the controller, and the floor time.
 *
 * Pure: no clock, no files. DESIGN section 7, TLS time: max(system clock, floor); a chain that
 * fails on its dates alone is judged once more ('expired' again at the floor; 'not yet valid'
 * passes only where the system clock is known to be wrong: below the floor, or past the end of a
 * chain that begins after it; then it raises the floor). Any thread.
 */
#ifndef KT_TRUST_H
#define KT_TRUST_H

#include "crypto.h"
#include "err.h"
#include "jws.h"
#include "message.h"
#include "reason.h"
#include "types.h"

struct kt_trust {
	const char *trust_domain;
	struct kt_bytes root_der; /* pinned */
	uint32_t controller_n;	  /* highest seen: a lower one is refused */
	int64_t floor_s;
	int64_t system_s; /* the clock now */
};

struct kt_verdict {	       /* what a success taught us */
	uint32_t controller_n; /* open: of this message */
	int64_t floor_s;       /* raised where a notBefore is above it */
	bool clock_ahead;      /* judged at the floor: event clock.ahead */
};

struct kt_opened {		    /* a plugin's message, or why it is none */
	struct kt_message *message; /* owned: kt_message_free; NULL unless KT_ERR_OK */
	struct kt_verdict verdict;
	enum kt_reason reason; /* KT_REASON_NONE after KT_ERR_OK */
};

/* Chain under the root with the time rule above. KT_ERR_VERIFY, KT_ERR_DATES. */
KT_MUST_CHECK enum kt_err kt_trust_chain(const struct kt_trust *trust, const struct kt_bytes *certs,
					 size_t count, struct kt_verdict *verdict);
/*
 * A plugin's message: JWS shape, x5c[0] directly under the root, CA:FALSE, its EKU and no other,
 * its URI, number not below the highest; signature; payload; td and (unless empty) device.
 * KT_ERR_INVALID, KT_ERR_VERIFY, KT_ERR_DATES with @out->reason.
 */
KT_MUST_CHECK enum kt_err kt_trust_open(const struct kt_trust *trust,
					const struct kt_device_id *device, struct kt_bytes text,
					struct kt_opened *out);

#endif
