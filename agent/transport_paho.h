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

struct kt_paho_config { /* borrowed for the life of the transport */
	const char *host;
	const char *port;
	const char *root_pem; /* path of the pinned root */
	enum kt_tls_version min_tls;
	int connect_timeout_s;
	int keep_alive_s;
};

KT_MUST_CHECK enum kt_err kt_paho_new(const struct kt_paho_config *config, struct kt_paho **out);
/* Ends all links, joins their threads. NULL is fine. */
void kt_paho_free(struct kt_paho *paho);
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

#endif
