/*
 * transport - port: what keyturnctl needs of an MQTT connection.
 *
 * Times are of the transport's own monotonic clock. Every call that waits has a moment after which
 * it gives up. One thread.
 */
#ifndef KT_CTL_TRANSPORT_H
#define KT_CTL_TRANSPORT_H

#include "err.h"
#include "types.h"

struct kt_ctl_address {	       /* of the broker; borrowed */
	const char *unix_path; /* NULL: over TLS */
	const char *host;
	uint16_t port;
	const char *cafile;
	const char *cert;
	const char *key;
};

struct kt_ctl_message { /* owned by whom it was given to */
	char *topic;
	uint8_t *payload;
	size_t len;
};

/* Wipes: an answer can hold a ticket. */
void kt_ctl_message_clear(struct kt_ctl_message *message);

/*
 * KT_ERR_AGAIN: not in time. KT_ERR_DENIED: the broker said no. KT_ERR_CLOSED: there is no
 * connection (any more). KT_ERR_NOMEM. why() says more after an error, in one line; borrowed.
 */
struct kt_transport {
	void *ctx;
	enum kt_err (*connect)(void *ctx, int64_t until_ms);
	enum kt_err (*subscribe)(void *ctx, const char *filter, int64_t until_ms);
	/* QoS 1; a refusal of the broker is told by the next receive. */
	enum kt_err (*publish)(void *ctx, const char *topic, struct kt_bytes payload);
	enum kt_err (*receive)(void *ctx, int64_t until_ms, struct kt_ctl_message *out);
	int64_t (*now_ms)(void *ctx);
	const char *(*why)(void *ctx);
	void (*close)(void *ctx);
};

/* Over libmosquitto. KT_ERR_NOMEM. @address is borrowed for the life of the transport. */
KT_MUST_CHECK enum kt_err kt_transport_mosquitto(const struct kt_ctl_address *address,
						 const char *token, struct kt_transport *out);

#endif
