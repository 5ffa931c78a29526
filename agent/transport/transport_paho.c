#include "transport_paho_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <MQTTClient.h>

enum {
	DISCONNECT_TIMEOUT_MS = 500,
	CONNECTS_TO_FREE = 2,
	RC_SESSION_TAKEN_OVER = 0x8e,
	RC_ADMINISTRATIVE = 0x98,
	RC_BAD_CLIENT_ID = 0x85,
	RC_NOT_AUTHORIZED = 0x87,
	RC_BANNED = 0x8a
};

static void push_down(struct kt_paho_link *link, enum kt_link_cause cause, int code,
		      const char *detail)
{
	struct kt_link_event event = {
		.kind = KT_LINK_DOWN, .link = link->name, .cause = cause, .code = code};

	snprintf(event.detail, sizeof(event.detail), "%s", detail);
	kt_paho_push_event(link->paho, &event);
}

/* --- Paho's callbacks: on its thread; they queue and return --- */

/*
 * Of this connection, not of the link's present one: the broker may kick a hub's old connection
 * while the hub itself opens the next, and whoever took that kick for the new one's would give a
 * connection up that lives, be thrown out by it at the next connect, and so on for ever.
 */
static void gone(const struct kt_paho_client *client, int code)
{
	const struct kt_paho_command command = {
		.kind = KT_PAHO_GONE, .connection = client->connection, .code = code};

	pthread_mutex_lock(&client->link->paho->lock);
	(void)kt_paho_push_command(client->link, &command);
	pthread_mutex_unlock(&client->link->paho->lock);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): Paho's signature */
static void on_connection_lost(void *context, char *cause)
{
	(void)cause;
	gone(context, 0);
}

static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes code)
{
	(void)properties;
	gone(context, (int)code);
}

static int on_message(void *context, char *topic, int topic_len, MQTTClient_message *message)
{
	const struct kt_paho_client *client = context;
	struct kt_paho_link *link = client->link;
	struct kt_link_event event = {.kind = KT_LINK_MESSAGE, .link = link->name};

	(void)topic_len;
	if (message->payloadlen > 0 && message->payloadlen <= KT_MESSAGE_MAX)
		event.text = malloc((size_t)message->payloadlen);
	if (event.text != NULL) {
		memcpy(event.text, message->payload, (size_t)message->payloadlen);
		event.text_len = (size_t)message->payloadlen;
		kt_paho_push_event(link->paho, &event);
	}
	MQTTClient_freeMessage(&message);
	MQTTClient_free(topic);
	return 1;
}

/* --- the link's thread --- */

/*
 * Paho's thread delivers a message without its lock, and works on the handle when on_message has
 * returned; MQTTClient_destroy does not wait for that. So a handle that was connected is put aside.
 * It is disconnected: that thread cannot come back to it, and has left it when it has answered a
 * later connect. (A second one, because the thread that Paho starts for on_disconnected reads the
 * handle, too.) Under the door.
 */
static void part(struct kt_paho *paho, struct kt_paho_client *client)
{
	if (paho->parted_count < KT_PAHO_PARTED_MAX) /* else lost: better than freed too early */
		paho->parted[paho->parted_count++] = (struct kt_paho_parted){.client = client};
}

/* Under the door. NULL is fine. */
static void destroy(struct kt_paho_client *client)
{
	if (client != NULL && client->handle != NULL)
		MQTTClient_destroy(&client->handle);
	free(client);
}

/* After a connect that succeeded, under the door. */
static void free_parted(struct kt_paho *paho)
{
	size_t kept = 0;

	for (size_t i = 0; i < paho->parted_count; i++) {
		struct kt_paho_parted *parted = &paho->parted[i];

		if (++parted->connects < CONNECTS_TO_FREE)
			paho->parted[kept++] = *parted;
		else
			destroy(parted->client);
	}
	paho->parted_count = kept;
}

/* A connection. Under the door. */
static void end_client(struct kt_paho_link *link, bool say_goodbye)
{
	if (say_goodbye)
		(void)MQTTClient_disconnect5(link->client->handle, DISCONNECT_TIMEOUT_MS,
					     MQTTREASONCODE_SUCCESS, NULL);
	part(link->paho, link->client);
	link->client = NULL;
}

static void drop_client(struct kt_paho_link *link, bool say_goodbye)
{
	if (link->client == NULL)
		return;
	pthread_mutex_lock(&link->paho->door);
	end_client(link, say_goodbye);
	pthread_mutex_unlock(&link->paho->door);
}

/*
 * Only an authenticated no counts as a refusal (DESIGN section 5 rule 6): a CONNACK came through
 * the verified TLS connection; an alert counts under TLS 1.3 keys alone.
 */
static enum kt_link_cause cause_of_failure(const struct kt_paho_link *link, int code)
{
	if (code == RC_NOT_AUTHORIZED || code == RC_BANNED || code == RC_BAD_CLIENT_ID)
		return KT_CAUSE_REFUSED;
	if (link->watch.is_untrusted)
		return KT_CAUSE_UNTRUSTED;
	if (code < 0 && kt_tls_is_refusal(&link->watch))
		return KT_CAUSE_REFUSED;
	return KT_CAUSE_NO_ANSWER;
}

static enum kt_link_cause cause_of_loss(int code)
{
	if (code == RC_SESSION_TAKEN_OVER)
		return KT_CAUSE_TAKEN_OVER;
	if (code == RC_ADMINISTRATIVE)
		return KT_CAUSE_KICKED;
	return KT_CAUSE_LOST;
}

static int create_client(struct kt_paho_link *link)
{
	struct kt_paho_client *client = link->client;
	const struct kt_paho_config *config = &link->paho->config;
	const struct kt_paho_address *to =
		link->name == KT_LINK_CLAIM ? &config->claim : &config->broker;
	MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
	bool is_ipv6 = strchr(to->host, ':') != NULL;
	char uri[400];
	int rc = 0;

	options.MQTTVersion = MQTTVERSION_5;
	snprintf(uri, sizeof(uri), is_ipv6 ? "ssl://[%s]:%s" : "ssl://%s:%s", to->host, to->port);
	rc = MQTTClient_createWithOptions(&client->handle, uri, link->client_id,
					  MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
	if (rc != MQTTCLIENT_SUCCESS)
		return rc;
	rc = MQTTClient_setCallbacks(client->handle, client, on_connection_lost, on_message, NULL);
	if (rc != MQTTCLIENT_SUCCESS)
		return rc;
	return MQTTClient_setDisconnected(client->handle, client, on_disconnected);
}

static int connect_client(struct kt_paho_link *link)
{
	const struct kt_paho_config *config = &link->paho->config;
	MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
	MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
	MQTTResponse response = MQTTResponse_initializer;
	int rc = 0;

	ssl.trustStore = config->root_pem;
	ssl.keyStore = link->identity_pem[0] != '\0' ? link->identity_pem : NULL;
	ssl.enableServerCertAuth = 1;
	ssl.verify = 1;
	ssl.disableDefaultTrustStore = 1;
	options.ssl = &ssl;
	options.cleanstart = 1;
	options.keepAliveInterval = config->keep_alive_s;
	options.connectTimeout = config->connect_timeout_s;
	kt_tls_watch_next(&link->watch);
	response = MQTTClient_connect5(link->client->handle, &options, NULL, NULL);
	kt_tls_watch_next(NULL);
	rc = (int)response.reasonCode;
	MQTTResponse_free(response);
	return rc;
}

/*
 * Paho reads all connections on one thread, which ends with the last of them; and one whose TLS
 * handshake is just over does not count until its own thread has looked (every 10 ms). So the
 * broker's good-bye to the other link can leave this one open with nobody who reads it, or keeps it
 * alive: the hub would think itself in session for ever. MQTTClient_receive is refused where that
 * thread runs, and says DISCONNECTED where the callbacks have told what became of the connection.
 * Under the door, connected: no thread ends, or begins, meanwhile.
 */
static bool is_read(const struct kt_paho_client *client)
{
	char *topic = NULL;
	int topic_len = 0;
	MQTTClient_message *message = NULL;
	int rc = MQTTClient_receive(client->handle, &topic, &topic_len, &message, 0);

	if (message != NULL)
		MQTTClient_freeMessage(&message);
	if (topic != NULL)
		MQTTClient_free(topic);
	return rc == MQTTCLIENT_FAILURE || rc == MQTTCLIENT_DISCONNECTED;
}

/* The plugin publishes to the client id, subscribed or not; the subscription is for the books. */
static void subscribe(struct kt_paho_link *link)
{
	MQTTResponse response =
		MQTTClient_subscribe5(link->client->handle, link->topic, 1, NULL, NULL);

	MQTTResponse_free(response);
}

static void learn_time(struct kt_paho_link *link)
{
	struct kt_paho *paho = link->paho;

	pthread_mutex_lock(&paho->lock);
	if (link->watch.floor_s > paho->floor_s)
		paho->floor_s = link->watch.floor_s;
	paho->clock_ahead = paho->clock_ahead || link->watch.is_clock_ahead;
	pthread_mutex_unlock(&paho->lock);
}

/* A handle that never was connected can go: nothing was delivered for it. */
static int open_client(struct kt_paho_link *link, bool *is_deaf)
{
	int rc = MQTTCLIENT_FAILURE;

	pthread_mutex_lock(&link->paho->door);
	if (link->client != NULL)
		rc = create_client(link);
	if (rc == MQTTCLIENT_SUCCESS)
		rc = connect_client(link);
	*is_deaf = rc == MQTTCLIENT_SUCCESS && !is_read(link->client);
	if (*is_deaf) {
		end_client(link, true);
	} else if (rc == MQTTCLIENT_SUCCESS) {
		free_parted(link->paho);
	} else {
		destroy(link->client);
		link->client = NULL;
	}
	pthread_mutex_unlock(&link->paho->door);
	return rc;
}

static void run_open(struct kt_paho_link *link)
{
	struct kt_link_event up = {.kind = KT_LINK_UP, .link = link->name};
	char detail[64];
	bool is_deaf = false;
	int rc = MQTTCLIENT_FAILURE;

	link->client = calloc(1, sizeof(*link->client));
	pthread_mutex_lock(&link->paho->lock);
	if (link->client != NULL) {
		link->client->link = link;
		link->client->connection = link->connection;
	}
	link->watch.min_version = link->paho->config.min_tls;
	link->watch.trust = link->trust;
	pthread_mutex_unlock(&link->paho->lock);
	rc = open_client(link, &is_deaf);
	if (is_deaf) {
		push_down(link, KT_CAUSE_NO_ANSWER, 0, "nobody reads this connection");
		return;
	}
	if (rc != MQTTCLIENT_SUCCESS) {
		snprintf(detail, sizeof(detail), "connect rc %d, tls alert %d", rc,
			 link->watch.has_alert ? (int)link->watch.alert : -1);
		push_down(link, cause_of_failure(link, rc), rc, detail);
		return;
	}
	learn_time(link);
	subscribe(link);
	kt_paho_push_event(link->paho, &up);
}

static void run_send(struct kt_paho_link *link, const struct kt_paho_command *command)
{
	MQTTResponse response = MQTTResponse_initializer;

	if (link->client == NULL || command->connection != link->client->connection)
		return;
	response = MQTTClient_publish5(link->client->handle, KT_TOPIC_DEVICE_IN, (int)command->len,
				       command->text, 1, 0, NULL, NULL);
	MQTTResponse_free(response); /* a failure shows as a lost connection, and repeats heal it */
}

static void run_gone(struct kt_paho_link *link, const struct kt_paho_command *command)
{
	enum kt_link_cause cause = cause_of_loss(command->code);

	if (link->client == NULL || command->connection != link->client->connection)
		return;
	if (command->code == 0 && kt_tls_is_refusal(&link->watch))
		cause = KT_CAUSE_REFUSED; /* TLS 1.3: the broker's no can come after our handshake
					   */
	drop_client(link, false);
	push_down(link, cause, command->code, "connection lost");
}

void *kt_paho_run_link(void *arg)
{
	struct kt_paho_link *link = arg;

	for (;;) {
		struct kt_paho_command command = kt_paho_wait_command(link);

		switch (command.kind) {
		case KT_PAHO_OPEN:
			run_open(link);
			break;
		case KT_PAHO_SEND:
			run_send(link, &command);
			break;
		case KT_PAHO_GONE:
			run_gone(link, &command);
			break;
		case KT_PAHO_CLOSE:
			if (link->client != NULL) {
				drop_client(link, true);
				push_down(link, KT_CAUSE_CLOSED, 0, "");
			}
			break;
		case KT_PAHO_QUIT:
			drop_client(link, true);
			return NULL;
		}
		kt_paho_free_text(&command);
	}
}
