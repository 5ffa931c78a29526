#include "fleet_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/ssl.h>

#include "secmem.h"

enum { GOODBYE_MS = 2000, MISC_EVERY_MS = 5000, PACKETS = 16 };

static void settle(struct fleet_link *link, int rc);

static void tell(struct fleet_link *link, const struct kt_link_event *event)
{
	link->setup.event(link->setup.ctx, event);
}

static void drop_identity(struct fleet_link *link)
{
	if (link->identity != NULL)
		kt_wipe(link->identity, link->identity_len);
	free(link->identity);
	link->identity = NULL;
	link->identity_len = 0;
}

/* --- the end of a connection --- */

static enum kt_link_cause cause_of(const struct fleet_link *link, int *code)
{
	*code = link->connack != 0 ? link->connack : link->disconnect;
	if (link->state == FLEET_LINK_WAITING || link->state == FLEET_LINK_ENDING)
		return KT_CAUSE_CLOSED;
	if (link->connack == MQTT_RC_NOT_AUTHORIZED || link->connack == MQTT_RC_BANNED ||
	    link->connack == MQTT_RC_CLIENTID_NOT_VALID)
		return KT_CAUSE_REFUSED;
	if (link->connack != 0)
		return KT_CAUSE_NO_ANSWER;
	if (link->disconnect == MQTT_RC_SESSION_TAKEN_OVER)
		return KT_CAUSE_TAKEN_OVER;
	if (link->disconnect == MQTT_RC_ADMINISTRATIVE_ACTION)
		return KT_CAUSE_KICKED;
	if (link->alert.is_there)
		*code = link->alert.number;
	if (fleet_alert_is_refusal(&link->alert))
		return KT_CAUSE_REFUSED;
	return link->state == FLEET_LINK_UP ? KT_CAUSE_LOST : KT_CAUSE_NO_ANSWER;
}

static bool is_broker_untrusted(const struct fleet_link *link)
{
	const SSL *ssl = mosquitto_ssl_get(link->client);

	return ssl != NULL && SSL_get_verify_result(ssl) != X509_V_OK;
}

static void finish(struct fleet_link *link, const char *detail)
{
	struct kt_link_event event = {.kind = KT_LINK_DOWN, .link = link->setup.name};

	event.cause = cause_of(link, &event.code);
	(void)snprintf(event.detail, sizeof(event.detail), "%s", detail);
	if (link->client != NULL) {
		if (event.cause == KT_CAUSE_NO_ANSWER && is_broker_untrusted(link))
			event.cause = KT_CAUSE_UNTRUSTED;
		fleet_watch_off(link->setup.net->loop, &link->watch,
				mosquitto_socket(link->client) != link->watch.fd);
		mosquitto_destroy(link->client);
		link->client = NULL;
	}
	drop_identity(link);
	fleet_timer_set(link->setup.net->loop, &link->timer, INT64_MAX);
	link->state = FLEET_LINK_DOWN;
	tell(link, &event);
	fleet_gate_leave(&link->setup.net->gate, &link->place);
}

/* --- libmosquitto's callbacks: they note; settle() acts when the call has returned --- */

static void on_connect(struct mosquitto *client, void *ctx, int code, int flags,
		       const mosquitto_property *properties)
{
	struct fleet_link *link = ctx;

	(void)client;
	(void)flags;
	(void)properties;
	link->connack = code;
	link->is_accepted = code == 0;
}

/* Codes below 0x80 are the library's own. */
static void on_disconnect(struct mosquitto *client, void *ctx, int code,
			  const mosquitto_property *properties)
{
	struct fleet_link *link = ctx;

	(void)client;
	(void)properties;
	if (code >= MQTT_RC_UNSPECIFIED)
		link->disconnect = code;
}

static void on_message(struct mosquitto *client, void *ctx, const struct mosquitto_message *message,
		       const mosquitto_property *properties)
{
	struct fleet_link *link = ctx;
	struct kt_link_event event = {.kind = KT_LINK_MESSAGE, .link = link->setup.name};

	(void)client;
	(void)properties;
	if (message->payloadlen <= 0 || link->is_broken)
		return;
	link->is_broken = link->setup.is_lost != NULL && link->setup.is_lost(link->setup.ctx);
	if (link->is_broken)
		return;
	event.text_len = (size_t)message->payloadlen;
	event.text = fleet_alloc(NULL, event.text_len, 1);
	memcpy(event.text, message->payload, event.text_len);
	tell(link, &event);
}

/* --- the loop --- */

/* As long as the handshake lasts libmosquitto_want_write() says yes for no reason. */
static uint32_t wanted_events(const struct fleet_link *link)
{
	const SSL *ssl = mosquitto_ssl_get(link->client);
	bool is_tls_up = ssl == NULL || SSL_is_init_finished(ssl);

	if (!link->is_tcp_up)
		return EPOLLIN | EPOLLOUT;
	if (is_tls_up && mosquitto_want_write(link->client))
		return EPOLLIN | EPOLLOUT;
	return EPOLLIN;
}

static void welcome(struct fleet_link *link)
{
	const struct kt_link_event up = {.kind = KT_LINK_UP, .link = link->setup.name};
	struct fleet_net *net = link->setup.net;

	link->is_accepted = false;
	if (link->state != FLEET_LINK_CONNECTING)
		return;
	link->state = FLEET_LINK_UP;
	fleet_stats_span(net->stats, FLEET_SPAN_CONNECT, link->started_us, fleet_now_us());
	fleet_timer_set(net->loop, &link->timer, fleet_now_ms() + MISC_EVERY_MS);
	/* a failure shows as a lost connection */
	(void)mosquitto_subscribe(link->client, NULL, link->topic, 1);
	tell(link, &up);
	fleet_gate_leave(&net->gate, &link->place);
}

/* After every call of the library that may have ended the connection. */
static void settle(struct fleet_link *link, int rc)
{
	if (link->client == NULL)
		return;
	if (link->is_accepted)
		welcome(link);
	if (link->is_broken)
		rc = MOSQ_ERR_CONN_LOST;
	if (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(link->client) < 0) {
		finish(link, rc == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(rc));
		return;
	}
	fleet_watch_events(link->setup.net->loop, &link->watch, wanted_events(link));
}

static void on_ready(void *ctx, uint32_t events)
{
	struct fleet_link *link = ctx;
	bool is_connecting = link->state == FLEET_LINK_CONNECTING;
	int rc = MOSQ_ERR_SUCCESS;

	if ((events & EPOLLOUT) != 0)
		link->is_tcp_up = true;
	if (is_connecting || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		rc = mosquitto_loop_read(link->client, PACKETS);
	if (rc == MOSQ_ERR_SUCCESS && mosquitto_want_write(link->client))
		rc = mosquitto_loop_write(link->client, PACKETS);
	/* the library takes the end of a connection in the handshake for nothing at all */
	if (rc == MOSQ_ERR_SUCCESS && (events & (EPOLLHUP | EPOLLERR)) != 0)
		rc = MOSQ_ERR_CONN_LOST;
	settle(link, rc);
}

static void on_time(void *ctx)
{
	struct fleet_link *link = ctx;

	if (link->state != FLEET_LINK_UP) {
		finish(link, "timed out");
		return;
	}
	fleet_timer_set(link->setup.net->loop, &link->timer, fleet_now_ms() + MISC_EVERY_MS);
	settle(link, mosquitto_loop_misc(link->client)); /* keep alive */
}

/* --- the beginning of a connection --- */

static bool make_client(struct fleet_link *link)
{
	void *ctx = NULL;
	bool is_good = false;

	link->client = mosquitto_new(link->client_id, true, link);
	if (link->client == NULL)
		return false;
	mosquitto_connect_v5_callback_set(link->client, on_connect);
	mosquitto_disconnect_v5_callback_set(link->client, on_disconnect);
	mosquitto_message_v5_callback_set(link->client, on_message);
	ctx = fleet_tls_context(
		link->setup.net->tls,
		(struct kt_bytes){(const uint8_t *)link->identity, link->identity_len},
		&link->alert);
	is_good = ctx != NULL &&
		  mosquitto_int_option(link->client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5) ==
			  MOSQ_ERR_SUCCESS &&
		  mosquitto_int_option(link->client, MOSQ_OPT_TCP_NODELAY, 1) == MOSQ_ERR_SUCCESS &&
		  mosquitto_int_option(link->client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) ==
			  MOSQ_ERR_SUCCESS &&
		  mosquitto_void_option(link->client, MOSQ_OPT_SSL_CTX, ctx) == MOSQ_ERR_SUCCESS;
	SSL_CTX_free(ctx); /* the client has its own reference */
	return is_good;
}

static void begin(void *ctx)
{
	struct fleet_link *link = ctx;
	struct fleet_net *net = link->setup.net;
	int rc = MOSQ_ERR_INVAL;

	link->state = FLEET_LINK_CONNECTING;
	link->is_tcp_up = false;
	link->is_accepted = false;
	link->is_broken = false;
	link->connack = 0;
	link->disconnect = 0;
	if (!make_client(link)) {
		finish(link, "no client, or no identity");
		return;
	}
	drop_identity(link);
	link->started_us = fleet_now_us();
	rc = mosquitto_connect_bind_async(link->client, net->address,
					  link->setup.name == KT_LINK_CLAIM ? net->claim_port
									    : net->port,
					  net->keep_alive_s, link->setup.source);
	if (rc == MOSQ_ERR_CONN_PENDING)
		rc = MOSQ_ERR_SUCCESS;
	if (rc == MOSQ_ERR_SUCCESS && mosquitto_socket(link->client) >= 0) {
		fleet_watch_on(net->loop, &link->watch, mosquitto_socket(link->client),
			       EPOLLIN | EPOLLOUT);
		fleet_timer_set(net->loop, &link->timer, fleet_now_ms() + net->connect_timeout_ms);
	}
	settle(link, rc);
}

/* --- what is offered --- */

void fleet_link_init(struct fleet_link *link, const struct fleet_link_setup *setup)
{
	link->setup = *setup;
	link->watch = (struct fleet_watch){.ready = on_ready, .ctx = link};
	link->timer = (struct fleet_timer){.due = on_time, .ctx = link};
	link->place = (struct fleet_gate_place){.enter = begin, .ctx = link};
}

void fleet_link_clear(struct fleet_link *link)
{
	if (link->client != NULL) {
		fleet_watch_off(link->setup.net->loop, &link->watch, false);
		mosquitto_destroy(link->client);
		link->client = NULL;
	}
	drop_identity(link);
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
	link->state = FLEET_LINK_WAITING;
	fleet_gate_enter(&link->setup.net->gate, &link->place);
	return KT_ERR_OK;
}

enum kt_err fleet_link_send(struct fleet_link *link, const char *text, size_t len)
{
	int rc = MOSQ_ERR_SUCCESS;

	if (link->state != FLEET_LINK_UP)
		return KT_ERR_CLOSED;
	rc = mosquitto_publish(link->client, NULL, KT_TOPIC_DEVICE_IN, (int)len, text, 1, false);
	settle(link, rc);
	return rc == MOSQ_ERR_SUCCESS ? KT_ERR_OK : KT_ERR_CLOSED;
}

void fleet_link_close(struct fleet_link *link)
{
	enum fleet_link_state was = link->state;

	if (was == FLEET_LINK_DOWN || was == FLEET_LINK_ENDING)
		return;
	if (was == FLEET_LINK_WAITING) {
		finish(link, "");
		return;
	}
	link->state = FLEET_LINK_ENDING;
	if (was == FLEET_LINK_CONNECTING) {
		finish(link, "");
		return;
	}
	fleet_timer_set(link->setup.net->loop, &link->timer, fleet_now_ms() + GOODBYE_MS);
	settle(link, mosquitto_disconnect(link->client));
}

void fleet_link_break(struct fleet_link *link)
{
	if (link->state != FLEET_LINK_DOWN)
		finish(link, "the network went away");
}
