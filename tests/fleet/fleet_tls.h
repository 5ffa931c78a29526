/*
 * fleet_tls - TLS contexts of simulated hubs, made of what lies in memory.
 *
 * One context per connection, because it holds the credential; the root is shared. TLS 1.3 alone,
 * the broker's chain and address verified, no tickets: as the agent does it. Only this file and
 * fleet_link.c know OpenSSL. One thread.
 */
#ifndef FLEET_TLS_H
#define FLEET_TLS_H

#include "err.h"
#include "types.h"

struct fleet_tls;

struct fleet_alert { /* the fatal alert that the broker sent; outlives the connection */
	bool is_there;
	bool is_authenticated; /* after the handshake's keys: RFC 8446 section 5 */
	int number;
};

/* @root_path: PEM. @address: what the broker's certificate must be for, an IP address. KT_ERR_SYS,
 * KT_ERR_INVALID, KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err fleet_tls_new(const char *root_path, const char *address,
					struct fleet_tls **out);
void fleet_tls_free(struct fleet_tls *tls);
/*
 * An SSL_CTX for one connection: SSL_CTX_free. @identity: chain and key, PEM, borrowed for the
 * call; empty: none. NULL: that is no identity.
 */
void *fleet_tls_context(const struct fleet_tls *tls, struct kt_bytes identity,
			struct fleet_alert *alert);
/* Is it a no to our credential, said by the broker? (agent/transport/tls_openssl.h) */
bool fleet_alert_is_refusal(const struct fleet_alert *alert);

#endif
