/*
 * near_link - fleet_link.h without a network: a link is a client of the broker in this process
 * (near_broker.h).
 *
 * What TLS would show of a hub, its leaf certificate, is taken out of the identity that it would
 * have used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet_link.h"
#include "near_broker.h"
#include "near_link.h"
#include "secmem.h"

struct wire { /* in the place of libmosquitto's client */
	struct broker_client client;
	struct fleet_task task; /* connects, or tells of the end: never within a call of this file's
				   functions */
	enum kt_link_cause cause;
};

static struct wire *wire_of(const struct fleet_link *link)
{
	return (struct wire *)link->client;
}

static struct broker *broker_of(const struct fleet_link *link)
{
	return link->setup.net->tls->broker;
}

static void end_later(struct fleet_link *link, enum kt_link_cause cause)
{
	link->state = FLEET_LINK_ENDING;
	wire_of(link)->cause = cause;
	fleet_task_queue(link->setup.net->loop, &wire_of(link)->task);
}

/* --- the broker's side --- */

static void on_message(void *ctx, struct kt_bytes payload)
{
	struct fleet_link *link = ctx;
	struct kt_link_event event = {.kind = KT_LINK_MESSAGE, .link = link->setup.name};

	if (link->setup.is_lost != NULL && link->setup.is_lost(link->setup.ctx)) {
		fleet_link_break(link);
		return;
	}
	event.text_len = payload.len;
	event.text = fleet_alloc(NULL, payload.len, 1);
	memcpy(event.text, payload.p, payload.len);
	link->setup.event(link->setup.ctx, &event);
}

static void on_ended(void *ctx, bool was_kicked)
{
	end_later(ctx, was_kicked ? KT_CAUSE_KICKED : KT_CAUSE_LOST);
}

/* --- ours --- */

static void tell_down(struct fleet_link *link)
{
	struct kt_link_event event = {
		.kind = KT_LINK_DOWN, .link = link->setup.name, .cause = wire_of(link)->cause};

	if (link->identity != NULL)
		kt_wipe(link->identity, link->identity_len);
	free(link->identity);
	link->identity = NULL;
	link->state = FLEET_LINK_DOWN;
	link->setup.event(link->setup.ctx, &event);
}

static void connect_now(struct fleet_link *link)
{
	const struct kt_link_event up = {.kind = KT_LINK_UP, .link = link->setup.name};
	struct kt_bytes chain[KT_CHAIN_MAX] = {{NULL, 0}};
	uint8_t *storage = NULL;
	size_t count = 0;
	enum kt_answer answer;

	if (link->identity != NULL &&
	    kt_pem_certs((const uint8_t *)link->identity, link->identity_len, chain, KT_CHAIN_MAX,
			 &count, &storage) != KT_ERR_OK)
		fleet_fail(link->client_id, "its identity is none");
	answer = broker_connect(broker_of(link), &wire_of(link)->client, link->client_id,
				link->setup.source, chain[0]);
	free(storage);
	if (answer != KT_ANSWER_ACCEPT) {
		wire_of(link)->cause =
			answer == KT_ANSWER_NO_ANSWER ? KT_CAUSE_NO_ANSWER : KT_CAUSE_REFUSED;
		tell_down(link);
		return;
	}
	if (!broker_may_subscribe(broker_of(link), &wire_of(link)->client, link->topic))
		fleet_fail(link->client_id, "may not subscribe to its own topic");
	link->state = FLEET_LINK_UP;
	link->setup.event(link->setup.ctx, &up);
}

static void on_task(void *ctx)
{
	struct fleet_link *link = ctx;

	if (link->state == FLEET_LINK_CONNECTING)
		connect_now(link);
	else if (link->state == FLEET_LINK_ENDING)
		tell_down(link);
}

void fleet_link_init(struct fleet_link *link, const struct fleet_link_setup *setup)
{
	struct wire *wire = fleet_alloc(NULL, 1, sizeof(*wire));

	wire->client =
		(struct broker_client){.ctx = link, .message = on_message, .ended = on_ended};
	wire->task = (struct fleet_task){.run = on_task, .ctx = link};
	link->setup = *setup;
	link->client = (struct mosquitto *)wire;
}

void fleet_link_clear(struct fleet_link *link)
{
	broker_disconnect(broker_of(link), &wire_of(link)->client);
	free(link->identity);
	free(wire_of(link));
	link->client = NULL;
}

enum kt_err fleet_link_open(struct fleet_link *link, const char *client_id, char *identity,
			    const char *topic)
{
	if (link->state != FLEET_LINK_DOWN) {
		free(identity);
		return KT_ERR_STATE;
	}
	link->identity = identity;
	link->identity_len = identity != NULL ? strlen(identity) : 0;
	(void)snprintf(link->client_id, sizeof(link->client_id), "%s", client_id);
	(void)snprintf(link->topic, sizeof(link->topic), "%s", topic);
	link->state = FLEET_LINK_CONNECTING;
	link->started_us = fleet_now_us();
	fleet_task_queue(link->setup.net->loop, &wire_of(link)->task);
	return KT_ERR_OK;
}

enum kt_err fleet_link_send(struct fleet_link *link, const char *text, size_t len)
{
	if (link->state != FLEET_LINK_UP)
		return KT_ERR_CLOSED;
	broker_publish(broker_of(link), &wire_of(link)->client, KT_TOPIC_DEVICE_IN,
		       (struct kt_bytes){(const uint8_t *)text, len});
	return link->state == FLEET_LINK_UP ? KT_ERR_OK : KT_ERR_CLOSED;
}

static void leave(struct fleet_link *link, enum kt_link_cause cause)
{
	if (link->state == FLEET_LINK_DOWN || link->state == FLEET_LINK_ENDING)
		return;
	broker_disconnect(broker_of(link), &wire_of(link)->client);
	end_later(link, cause);
}

void fleet_link_close(struct fleet_link *link)
{
	leave(link, KT_CAUSE_CLOSED);
}

void fleet_link_break(struct fleet_link *link)
{
	leave(link, KT_CAUSE_LOST);
}
