/*
 * tls_openssl - our rules inside Paho's TLS, and the one look at a broker's chain before enrolment.
 *
 * Only agent file with OpenSSL headers. Paho owns its SSL_CTX and shows it to nobody; so this file
 * defines three OpenSSL functions that Paho calls (the executable's symbols come first), forwards
 * them and, on the way, sets the minimum version, our verification of the broker's chain (trust.h's
 * time rule) and a callback that records a received alert. Never signs, never reads a key by
 * itself. Standards: RFC 8446 section 6.2 (alerts), RFC 6125 (names; Paho checks those).
 */
#ifndef KT_TLS_OPENSSL_H
#define KT_TLS_OPENSSL_H

#include "err.h"
#include "trust.h"
#include "types.h"

#include <stdatomic.h>

enum kt_tls_version { KT_TLS_1_3, KT_TLS_1_2 };

/* What one connection should obey and what became of it. Outlives the connection. */
struct kt_tls_watch {
	/* in; borrowed */
	enum kt_tls_version min_version;
	struct kt_trust trust;
	/* out */
	atomic_bool has_alert;		    /* the broker sent a fatal alert ... */
	atomic_int alert;		    /* ... with this number (RFC 8446 section 6) */
	atomic_bool is_alert_authenticated; /* ... under TLS 1.3 handshake or traffic keys */
	atomic_bool is_untrusted;	    /* the broker's chain does not verify */
	atomic_bool is_clock_ahead;
	_Atomic int64_t floor_s; /* raised by the broker's chain; 0: nothing learned */
};

/*
 * The next TLS context that this thread makes through Paho obeys @watch; NULL: none may be made (a
 * connection without a watch fails). Clears the out members.
 */
void kt_tls_watch_next(struct kt_tls_watch *watch);

/* Is it an answer about our credential (RFC 8446: 42-46, 48, 49, 51, 116), under the right keys? */
bool kt_tls_is_refusal(const struct kt_tls_watch *watch);

/*
 * Connects to @host:@port, sends nothing beyond the handshake, and takes the certificate whose
 * SHA-256 is @sha256 out of the chain shown. Nothing else is believed. KT_ERR_NOT_FOUND: no such
 * certificate in the chain; KT_ERR_SYS, KT_ERR_CLOSED: no connection; KT_ERR_NOMEM. *der:
 * malloc'ed.
 */
KT_MUST_CHECK enum kt_err kt_tls_fetch_root(const char *host, const char *port, int timeout_ms,
					    const uint8_t sha256[static 32], uint8_t **der,
					    size_t *der_len);

#endif
