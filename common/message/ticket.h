/*
 * ticket - what an operator hands to a new hub: one string.
 *
 * "keyturn-ticket-1." + base64url of JSON {v, broker, td, root, device | group + pattern, expires,
 * secret}. Whoever holds it can enrol once; only the SHA-256 of the secret is stored by the plugin.
 * Both sides use this one codec. Any thread.
 */
#ifndef KT_TICKET_H
#define KT_TICKET_H

#include "err.h"
#include "types.h"

#define KT_TICKET_PREFIX "keyturn-ticket-1."

enum { KT_TICKET_MAX = 1400, KT_BROKER_MAX = 260, KT_GROUP_MAX = 63 };

struct kt_ticket {			/* holds a secret: kt_wipe it when done */
	char broker[KT_BROKER_MAX + 1]; /* host:port */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	uint8_t root_sha256[32];	    /* of the root certificate's DER */
	char device[KT_DEVICE_ID_MAX + 1];  /* "" for a group ticket */
	char group[KT_GROUP_MAX + 1];	    /* "" for a device ticket */
	char pattern[KT_DEVICE_ID_MAX + 1]; /* group ticket: ids allowed, with * for any run */
	int64_t expires_us;
	uint8_t secret[KT_TICKET_SECRET_LEN];
};

/* @out holds KT_TICKET_MAX. KT_ERR_INVALID, KT_ERR_TOO_LONG, KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_ticket_encode(const struct kt_ticket *ticket,
					   char out[static KT_TICKET_MAX]);
/*
 * Blanks and newlines around it are fine. KT_ERR_INVALID, KT_ERR_VERSION (a newer one),
 * KT_ERR_NOMEM;
 * @out is zeroed then.
 */
KT_MUST_CHECK enum kt_err kt_ticket_decode(const char *text, struct kt_ticket *out);
/* Is @device allowed by a pattern with '*'? Whole id, case-sensitive. */
bool kt_ticket_pattern_matches(const char *pattern, const char *device);

#endif
