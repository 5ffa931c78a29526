/*
 * fleet_link - one link of transport.h over libmosquitto, on the loop of the process.
 *
 * MQTT 5, TLS 1.3 with a context of fleet_tls.h; clean start, session expiry 0, no will, no
 * reconnecting of its own. Three descriptors while it is connected (libmosquitto has two of its
 * own for each client). What happens is told through setup->event, never within a call of this
 * file's functions. Only this file knows libmosquitto. One thread.
 */
#ifndef FLEET_LINK_H
#define FLEET_LINK_H

#include "err.h"
#include "fleet_gate.h"
#include "fleet_loop.h"
#include "fleet_stats.h"
#include "fleet_tls.h"
#include "topic.h"
#include "transport.h"

enum { FLEET_DESCRIPTORS_A_LINK = 3 };

struct fleet_net { /* what all links of a process share; borrowed */
	struct fleet_loop *loop;
	struct fleet_gate gate;
	struct fleet_stats *stats;
	const struct fleet_tls *tls;
	const char *address; /* of the broker: an IP address */
	int port;
	int claim_port;
	int keep_alive_s;
	int64_t connect_timeout_ms;
};

struct fleet_link_setup { /* all borrowed for the life of the link */
	struct fleet_net *net;
	enum kt_link name;
	const char *source; /* the address that it connects from */
	void *ctx;
	/* Takes the event's text over. */
	void (*event)(void *ctx, const struct kt_link_event *event);
	/* Asked for each message that comes: true: it is lost, and the connection with it. NULL:
	 * none is. */
	bool (*is_lost)(void *ctx);
};

enum fleet_link_state {
	FLEET_LINK_DOWN,
	FLEET_LINK_WAITING,    /* at the gate */
	FLEET_LINK_CONNECTING, /* TCP, TLS, CONNECT */
	FLEET_LINK_UP,
	FLEET_LINK_ENDING /* our DISCONNECT is on its way */
};

struct fleet_link { /* private but for @state and @started_us */
	struct fleet_link_setup setup;
	enum fleet_link_state state;
	int64_t started_us; /* connect(2) of this connection */
	struct mosquitto *client;
	struct fleet_watch watch;
	struct fleet_timer timer; /* connect and goodbye: the time-out; up: keep alive */
	struct fleet_gate_place place;
	struct fleet_alert alert;
	char client_id[KT_CLIENT_ID_MAX];
	char topic[KT_TOPIC_MAX];
	char *identity; /* owned, while it waits; NULL: none */
	size_t identity_len;
	bool is_tcp_up;
	bool is_accepted; /* a CONNACK with 0 came and is not told yet */
	bool is_broken;	  /* a message was lost */
	int connack;	  /* reason code, 0: none or good */
	int disconnect;	  /* reason code of the broker's DISCONNECT, 0: none */
};

/* @link is zeroed, and does not move from here on. */
void fleet_link_init(struct fleet_link *link, const struct fleet_link_setup *setup);
/* Without a goodbye. */
void fleet_link_clear(struct fleet_link *link);
/*
 * @identity: PEM, malloc'ed, taken over in any case; NULL: none. KT_ERR_STATE: it is open.
 */
KT_MUST_CHECK enum kt_err fleet_link_open(struct fleet_link *link, const char *client_id,
					  char *identity, const char *topic);
/* KT_ERR_CLOSED. */
KT_MUST_CHECK enum kt_err fleet_link_send(struct fleet_link *link, const char *text, size_t len);
void fleet_link_close(struct fleet_link *link);
/* The network goes away: without a goodbye, and told as a lost connection. Fine where it is down.
 */
void fleet_link_break(struct fleet_link *link);

#endif
