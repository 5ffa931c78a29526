/*
 * transport_paho - the transport of transport.h over Eclipse Paho's MQTTClient, a thread per link.
 *
 * Only transport_paho.c includes Paho. Its callbacks and threads touch nothing but a queue of
 * events, which the main thread drains; an eventfd says when. No reconnecting, no persistence, no
 * will, clean start, session expiry 0 (MQTT 5 section 3.1.2.11.2). Paho calls are made by the
 * link's own thread.
 */
#ifndef KT_TRANSPORT_PAHO_H
#define KT_TRANSPORT_PAHO_H

#include "tls_openssl.h"
#include "transport.h"

struct kt_paho;

struct kt_paho_address {
	char host[256]; /* a name or an address, IPv6 without brackets */
	char port[6];
};

struct kt_paho_config {		       /* borrowed for the life of the transport */
	struct kt_paho_address broker; /* of :agent and :trial */
	struct kt_paho_address claim;  /* of a claimant */
	const char *root_pem;	       /* path of the pinned root */
	enum kt_tls_version min_tls;
	int connect_timeout_s;
	int keep_alive_s;
};

KT_MUST_CHECK enum kt_err kt_paho_new(const struct kt_paho_config *config, struct kt_paho **out);
/* Says goodbye on all links and ends their threads. False: one is in the middle of a connect and
 * was not waited for any longer; it and all it uses are left, and the process must end by _exit.
 * NULL is fine. */
bool kt_paho_free(struct kt_paho *paho);
/* Splits host:port or [address]:port. False: not of that form. */
bool kt_paho_address(const char *host_port, struct kt_paho_address *out);
const struct kt_transport *kt_paho_transport(struct kt_paho *paho);
/* Readable when kt_paho_take has something. */
int kt_paho_fd(const struct kt_paho *paho);
/* False: nothing there. kt_link_event_clear when done. */
bool kt_paho_take(struct kt_paho *paho, struct kt_link_event *out);
/* What broker certificates are judged by at the next open; @trust is borrowed until it is replaced.
 */
void kt_paho_trust(struct kt_paho *paho, const struct kt_trust *trust);
/* The floor that broker certificates have raised so far; *clock_ahead: one was judged at the floor.
 */
int64_t kt_paho_floor_s(struct kt_paho *paho, bool *clock_ahead);

/*
 * When (CLOCK_MONOTONIC) a link will have been at one call of Paho for longer than any network
 * takes: past that it will not come back, and only another process will. INT64_MAX: all are idle.
 */
int64_t kt_paho_stuck_at_ms(struct kt_paho *paho);

#endif
