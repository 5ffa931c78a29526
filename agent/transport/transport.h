/*
 * transport - MQTT 5 over TLS, as the agent's core sees it: two links, no reconnecting of its own.
 *
 * Calls never block; what happens comes back as events, taken one by one on the main thread. The
 * real one is transport_paho.c. A link has at most one connection; opening an open link is an
 * error.
 */
#ifndef KT_TRANSPORT_H
#define KT_TRANSPORT_H

#include "err.h"
#include "message.h"
#include "types.h"

enum kt_link { KT_LINK_AGENT, KT_LINK_TRIAL, KT_LINK_CLAIM, KT_LINK_COUNT };

enum kt_link_cause {
	KT_CAUSE_CLOSED,    /* we closed it */
	KT_CAUSE_LOST,	    /* an open connection went away */
	KT_CAUSE_REFUSED,   /* authenticated: CONNACK 0x87, 0x8A, 0x85, or a TLS 1.3 alert after the
			       handshake keys */
	KT_CAUSE_NO_ANSWER, /* anything else: reset, time-out, TLS 1.2 alert, 0x88, 0x89 ... */
	KT_CAUSE_UNTRUSTED, /* the broker's certificate or name does not verify */
	KT_CAUSE_TAKEN_OVER, /* DISCONNECT 0x8E */
	KT_CAUSE_KICKED	     /* DISCONNECT 0x98 */
};

struct kt_link_request { /* all borrowed for the call */
	const char *client_id;
	const char
		*identity_pem; /* chain + key in one file; NULL: none (a claimant with a ticket) */
	int64_t time_s;	       /* verification time: max(system clock, floor) */
};

enum kt_link_event_kind { KT_LINK_UP, KT_LINK_DOWN, KT_LINK_MESSAGE };

struct kt_link_event { /* text owned by the event: kt_link_event_clear */
	enum kt_link_event_kind kind;
	enum kt_link link;
	enum kt_link_cause cause; /* DOWN */
	int code;		  /* DOWN: MQTT reason code or TLS alert, 0 if none */
	char detail[160];	  /* DOWN: for the log */
	uint8_t *text;		  /* MESSAGE */
	size_t text_len;
};
void kt_link_event_clear(struct kt_link_event *event);

struct kt_transport {
	void *ctx;
	/* Starts connecting (clean start, session expiry 0, no will) and subscribing to @cmd_topic.
	 */
	enum kt_err (*open)(void *ctx, enum kt_link link, const struct kt_link_request *request,
			    const char *cmd_topic);
	/* QoS 1 to $CONTROL/keyturn/v1/dev; queued. KT_ERR_CLOSED. */
	enum kt_err (*send)(void *ctx, enum kt_link link, const char *text, size_t len);
	/* A DOWN event with KT_CAUSE_CLOSED follows, unless it was down. */
	void (*close)(void *ctx, enum kt_link link);
};

#endif
