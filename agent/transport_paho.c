#include "transport_paho.h"

#include "secmem.h"
#include "topic.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <MQTTClient.h>

enum {
	SENDS_MAX = 12, /* messages that wait; what opens and closes has room beside them */
	COMMANDS_MAX = 16,
	DISCONNECT_TIMEOUT_MS = 500,
	QUIT_TIMEOUT_S = 3,
	RC_SESSION_TAKEN_OVER = 0x8e,
	RC_ADMINISTRATIVE = 0x98,
	RC_BAD_CLIENT_ID = 0x85,
	RC_NOT_AUTHORIZED = 0x87,
	RC_BANNED = 0x8a
};

enum command_kind { COMMAND_OPEN, COMMAND_SEND, COMMAND_CLOSE, COMMAND_GONE, COMMAND_QUIT };

struct command {
	enum command_kind kind;
	uint64_t connection; /* SEND, GONE: of which connection it speaks */
	int code;	     /* GONE */
	char *text;	     /* SEND: owned */
	size_t len;
};

struct link {
	struct kt_paho *paho;
	enum kt_link name;
	pthread_t thread;
	bool has_thread;
	pthread_cond_t wake;
	struct command queue[COMMANDS_MAX]; /* under paho->lock, as all below up to the marker */
	size_t queue_len;
	uint64_t connection;
	char client_id[KT_CLIENT_ID_MAX];
	char identity_pem[1024];
	char topic[KT_TOPIC_MAX];
	struct kt_trust trust;
	/* --- the link's thread alone --- */
	MQTTClient client;
	uint64_t connected; /* the connection that client is, 0: none */
	struct kt_tls_watch watch;
};

struct queued_event {
	struct kt_link_event event;
	struct queued_event *next;
};

struct kt_paho {
	struct kt_paho_config config;
	struct kt_transport port;
	struct kt_trust trust;
	pthread_mutex_t lock;
	/*
	 * One thread at a time connects or disconnects: with its last connection Paho ends the
	 * thread that serves all of them, and a connect that begins in that moment waits for it
	 * until the time-out.
	 */
	pthread_mutex_t door;
	struct link link[KT_LINK_COUNT];
	struct queued_event *first;
	struct queued_event **last;
	int event_fd;
	uint64_t connections;
	int64_t floor_s;
	bool clock_ahead;
};

void kt_link_event_clear(struct kt_link_event *event)
{
	free(event->text);
	memset(event, 0, sizeof(*event));
}

/* --- events to the main thread --- */

/* Takes @event over; out of memory loses it, as the network may. */
static void push_event(struct kt_paho *paho, struct kt_link_event *event)
{
	struct queued_event *queued = calloc(1, sizeof(*queued));
	const uint64_t one = 1;

	if (queued == NULL) {
		kt_link_event_clear(event);
		return;
	}
	queued->event = *event;
	pthread_mutex_lock(&paho->lock);
	*paho->last = queued;
	paho->last = &queued->next;
	pthread_mutex_unlock(&paho->lock);
	if (write(paho->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		return; /* the counter is full: it is readable anyway */
}

static void push_down(struct link *link, enum kt_link_cause cause, int code, const char *detail)
{
	struct kt_link_event event = {
		.kind = KT_LINK_DOWN, .link = link->name, .cause = cause, .code = code};

	snprintf(event.detail, sizeof(event.detail), "%s", detail);
	push_event(link->paho, &event);
}

/* --- commands to a link's thread --- */

/* Is the same thing waiting already? Once is enough, and so they cannot fill the queue. */
static bool is_queued(const struct link *link, const struct command *command)
{
	for (size_t i = 0; i < link->queue_len; i++) {
		if (link->queue[i].kind == command->kind &&
		    link->queue[i].connection == command->connection)
			return true;
	}
	return false;
}

/* Under the lock. KT_ERR_BUSY: the queue is full; @text stays the caller's. */
static enum kt_err push_command(struct link *link, const struct command *command)
{
	bool is_send = command->kind == COMMAND_SEND;

	if (!is_send && is_queued(link, command))
		return KT_ERR_OK;
	if (link->queue_len >= (is_send ? (size_t)SENDS_MAX : (size_t)COMMANDS_MAX))
		return KT_ERR_BUSY;
	link->queue[link->queue_len++] = *command;
	pthread_cond_signal(&link->wake);
	return KT_ERR_OK;
}

/* An `enroll` carries the ticket's secret. */
static void free_text(struct command *command)
{
	if (command->text != NULL)
		kt_wipe(command->text, command->len);
	free(command->text);
	command->text = NULL;
}

static struct command wait_command(struct link *link)
{
	struct command command;

	pthread_mutex_lock(&link->paho->lock);
	while (link->queue_len == 0)
		pthread_cond_wait(&link->wake, &link->paho->lock);
	command = link->queue[0];
	link->queue_len--;
	memmove(&link->queue[0], &link->queue[1], link->queue_len * sizeof(link->queue[0]));
	pthread_mutex_unlock(&link->paho->lock);
	return command;
}

/* --- Paho's callbacks: on its thread; they queue and return --- */

static void gone(struct link *link, int code)
{
	struct command command = {.kind = COMMAND_GONE, .code = code};

	pthread_mutex_lock(&link->paho->lock);
	command.connection = link->connection;
	(void)push_command(link, &command);
	pthread_mutex_unlock(&link->paho->lock);
}

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
	struct link *link = context;
	struct kt_link_event event = {.kind = KT_LINK_MESSAGE, .link = link->name};

	(void)topic_len;
	if (message->payloadlen > 0 && message->payloadlen <= KT_MESSAGE_MAX)
		event.text = malloc((size_t)message->payloadlen);
	if (event.text != NULL) {
		memcpy(event.text, message->payload, (size_t)message->payloadlen);
		event.text_len = (size_t)message->payloadlen;
		push_event(link->paho, &event);
	}
	MQTTClient_freeMessage(&message);
	MQTTClient_free(topic);
	return 1;
}

/* --- the link's thread --- */

static void drop_client(struct link *link, bool say_goodbye)
{
	if (link->client == NULL)
		return;
	pthread_mutex_lock(&link->paho->door);
	if (say_goodbye)
		(void)MQTTClient_disconnect5(link->client, DISCONNECT_TIMEOUT_MS,
					     MQTTREASONCODE_SUCCESS, NULL);
	MQTTClient_destroy(&link->client);
	pthread_mutex_unlock(&link->paho->door);
	link->client = NULL;
	link->connected = 0;
}

/*
 * Only an authenticated no counts as a refusal (DESIGN section 5 rule 6): a CONNACK came through
 * the verified TLS connection; an alert counts under TLS 1.3 keys alone.
 */
static enum kt_link_cause cause_of_failure(const struct link *link, int code)
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

static int create_client(struct link *link)
{
	const struct kt_paho_config *config = &link->paho->config;
	const struct kt_paho_address *to =
		link->name == KT_LINK_CLAIM ? &config->claim : &config->broker;
	MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
	bool is_ipv6 = strchr(to->host, ':') != NULL;
	char uri[400];
	int rc = 0;

	options.MQTTVersion = MQTTVERSION_5;
	snprintf(uri, sizeof(uri), is_ipv6 ? "ssl://[%s]:%s" : "ssl://%s:%s", to->host, to->port);
	rc = MQTTClient_createWithOptions(&link->client, uri, link->client_id,
					  MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
	if (rc != MQTTCLIENT_SUCCESS)
		return rc;
	rc = MQTTClient_setCallbacks(link->client, link, on_connection_lost, on_message, NULL);
	if (rc != MQTTCLIENT_SUCCESS)
		return rc;
	return MQTTClient_setDisconnected(link->client, link, on_disconnected);
}

static int connect_client(struct link *link)
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
	response = MQTTClient_connect5(link->client, &options, NULL, NULL);
	kt_tls_watch_next(NULL);
	rc = (int)response.reasonCode;
	MQTTResponse_free(response);
	return rc;
}

/* The plugin publishes to the client id, subscribed or not; the subscription is for the books. */
static void subscribe(struct link *link)
{
	MQTTResponse response = MQTTClient_subscribe5(link->client, link->topic, 1, NULL, NULL);

	MQTTResponse_free(response);
}

static void learn_time(struct link *link)
{
	struct kt_paho *paho = link->paho;

	pthread_mutex_lock(&paho->lock);
	if (link->watch.floor_s > paho->floor_s)
		paho->floor_s = link->watch.floor_s;
	paho->clock_ahead = paho->clock_ahead || link->watch.is_clock_ahead;
	pthread_mutex_unlock(&paho->lock);
}

static void run_open(struct link *link)
{
	struct kt_link_event up = {.kind = KT_LINK_UP, .link = link->name};
	char detail[64];
	int rc = 0;

	pthread_mutex_lock(&link->paho->lock);
	link->connected = link->connection;
	link->watch.min_version = link->paho->config.min_tls;
	link->watch.trust = link->trust;
	pthread_mutex_unlock(&link->paho->lock);
	pthread_mutex_lock(&link->paho->door);
	rc = create_client(link);
	if (rc == MQTTCLIENT_SUCCESS)
		rc = connect_client(link);
	pthread_mutex_unlock(&link->paho->door);
	if (rc != MQTTCLIENT_SUCCESS) {
		enum kt_link_cause cause = cause_of_failure(link, rc);

		snprintf(detail, sizeof(detail), "connect rc %d, tls alert %d", rc,
			 link->watch.has_alert ? (int)link->watch.alert : -1);
		drop_client(link, false);
		push_down(link, cause, rc, detail);
		return;
	}
	learn_time(link);
	subscribe(link);
	push_event(link->paho, &up);
}

static void run_send(struct link *link, const struct command *command)
{
	MQTTResponse response = MQTTResponse_initializer;

	if (link->client == NULL || command->connection != link->connected)
		return;
	response = MQTTClient_publish5(link->client, KT_TOPIC_DEVICE_IN, (int)command->len,
				       command->text, 1, 0, NULL, NULL);
	MQTTResponse_free(response); /* a failure shows as a lost connection, and repeats heal it */
}

static void run_gone(struct link *link, const struct command *command)
{
	enum kt_link_cause cause = cause_of_loss(command->code);

	if (link->client == NULL || command->connection != link->connected)
		return;
	if (command->code == 0 && kt_tls_is_refusal(&link->watch))
		cause = KT_CAUSE_REFUSED; /* TLS 1.3: the broker's no can come after our handshake
					   */
	drop_client(link, false);
	push_down(link, cause, command->code, "connection lost");
}

static void *run_link(void *arg)
{
	struct link *link = arg;

	for (;;) {
		struct command command = wait_command(link);

		switch (command.kind) {
		case COMMAND_OPEN:
			run_open(link);
			break;
		case COMMAND_SEND:
			run_send(link, &command);
			break;
		case COMMAND_GONE:
			run_gone(link, &command);
			break;
		case COMMAND_CLOSE:
			if (link->client != NULL) {
				drop_client(link, true);
				push_down(link, KT_CAUSE_CLOSED, 0, "");
			}
			break;
		case COMMAND_QUIT:
			drop_client(link, true);
			return NULL;
		}
		free_text(&command);
	}
}

/* --- the port: main thread --- */

static enum kt_err port_open(void *ctx, enum kt_link name, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct kt_paho *paho = ctx;
	struct link *link = &paho->link[name];
	const struct command command = {.kind = COMMAND_OPEN};
	enum kt_err err = KT_ERR_TOO_LONG;

	pthread_mutex_lock(&paho->lock);
	if (strlen(request->client_id) >= sizeof(link->client_id) ||
	    (request->identity_pem != NULL &&
	     strlen(request->identity_pem) >= sizeof(link->identity_pem)))
		goto out;
	snprintf(link->client_id, sizeof(link->client_id), "%s", request->client_id);
	snprintf(link->identity_pem, sizeof(link->identity_pem), "%s",
		 request->identity_pem != NULL ? request->identity_pem : "");
	snprintf(link->topic, sizeof(link->topic), "%s", cmd_topic);
	link->trust = paho->trust;
	link->connection = ++paho->connections;
	err = push_command(link, &command);
out:
	pthread_mutex_unlock(&paho->lock);
	return err;
}

static enum kt_err port_send(void *ctx, enum kt_link name, const char *text, size_t len)
{
	struct kt_paho *paho = ctx;
	struct link *link = &paho->link[name];
	struct command command = {.kind = COMMAND_SEND, .len = len};
	enum kt_err err = KT_ERR_NOMEM;

	command.text = malloc(len);
	if (command.text == NULL)
		return err;
	memcpy(command.text, text, len);
	pthread_mutex_lock(&paho->lock);
	command.connection = link->connection;
	err = push_command(link, &command);
	pthread_mutex_unlock(&paho->lock);
	if (err != KT_ERR_OK)
		free_text(&command);
	return err;
}

static void port_close(void *ctx, enum kt_link name)
{
	struct kt_paho *paho = ctx;
	const struct command command = {.kind = COMMAND_CLOSE};

	pthread_mutex_lock(&paho->lock);
	(void)push_command(&paho->link[name], &command);
	pthread_mutex_unlock(&paho->lock);
}

/* --- life --- */

bool kt_paho_address(const char *host_port, struct kt_paho_address *out)
{
	const char *colon = strrchr(host_port, ':');
	const char *host = host_port;
	size_t host_len = 0;

	memset(out, 0, sizeof(*out));
	if (colon == NULL)
		return false;
	host_len = (size_t)(colon - host_port);
	if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
		host++;
		host_len -= 2;
	}
	if (host_len == 0 || host_len >= sizeof(out->host) || colon[1] == '\0' ||
	    strlen(colon + 1) >= sizeof(out->port))
		return false;
	memcpy(out->host, host, host_len);
	memcpy(out->port, colon + 1, strlen(colon + 1) + 1);
	return true;
}

static enum kt_err start_link(struct link *link)
{
	sigset_t all;
	sigset_t before;
	int rc = 0;

	/* Paho's threads inherit the mask: signals are the main thread's */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&link->thread, NULL, run_link, link);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	link->has_thread = rc == 0;
	return rc == 0 ? KT_ERR_OK : KT_ERR_SYS;
}

enum kt_err kt_paho_new(const struct kt_paho_config *config, struct kt_paho **out)
{
	struct kt_paho *paho = calloc(1, sizeof(*paho));
	enum kt_err err = KT_ERR_INTERNAL;

	*out = NULL;
	if (paho == NULL)
		return KT_ERR_NOMEM;
	paho->config = *config;
	paho->last = &paho->first;
	paho->port = (struct kt_transport){
		.ctx = paho, .open = port_open, .send = port_send, .close = port_close};
	(void)pthread_mutex_init(&paho->lock, NULL);
	(void)pthread_mutex_init(&paho->door, NULL);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		paho->link[i].paho = paho;
		paho->link[i].name = (enum kt_link)i;
		(void)pthread_cond_init(&paho->link[i].wake, NULL);
	}
	err = KT_ERR_SYS;
	paho->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (paho->event_fd < 0)
		goto out;
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		err = start_link(&paho->link[i]);
		if (err != KT_ERR_OK)
			goto out;
	}
	*out = paho;
	paho = NULL; /* moved */
out:
	(void)kt_paho_free(paho);
	return err;
}

static void tell_to_quit(struct link *link)
{
	const struct command quit = {.kind = COMMAND_QUIT};

	pthread_mutex_lock(&link->paho->lock);
	for (size_t i = 0; i < link->queue_len; i++)
		free_text(&link->queue[i]);
	link->queue_len = 0;
	(void)push_command(link, &quit);
	pthread_mutex_unlock(&link->paho->lock);
}

bool kt_paho_free(struct kt_paho *paho)
{
	struct timespec deadline;
	struct kt_link_event event;

	if (paho == NULL)
		return true;
	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += QUIT_TIMEOUT_S;
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		if (paho->link[i].has_thread)
			tell_to_quit(&paho->link[i]);
	}
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		if (paho->link[i].has_thread &&
		    pthread_timedjoin_np(paho->link[i].thread, NULL, &deadline) != 0)
			return false;
	}
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		(void)pthread_cond_destroy(&paho->link[i].wake);
	while (kt_paho_take(paho, &event))
		kt_link_event_clear(&event);
	if (paho->event_fd >= 0)
		(void)close(paho->event_fd);
	(void)pthread_mutex_destroy(&paho->door);
	(void)pthread_mutex_destroy(&paho->lock);
	free(paho);
	return true;
}

const struct kt_transport *kt_paho_transport(struct kt_paho *paho)
{
	return &paho->port;
}

int kt_paho_fd(const struct kt_paho *paho)
{
	return paho->event_fd;
}

bool kt_paho_take(struct kt_paho *paho, struct kt_link_event *out)
{
	struct queued_event *first = NULL;
	uint64_t count = 0;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&paho->lock);
	first = paho->first;
	if (first != NULL) {
		paho->first = first->next;
		if (paho->first == NULL)
			paho->last = &paho->first;
	} else if (paho->event_fd >= 0 && read(paho->event_fd, &count, sizeof(count)) < 0) {
		count = 0; /* nothing was signalled */
	}
	pthread_mutex_unlock(&paho->lock);
	if (first == NULL)
		return false;
	*out = first->event;
	free(first);
	return true;
}

void kt_paho_trust(struct kt_paho *paho, const struct kt_trust *trust)
{
	pthread_mutex_lock(&paho->lock);
	paho->trust = *trust;
	pthread_mutex_unlock(&paho->lock);
}

int64_t kt_paho_floor_s(struct kt_paho *paho, bool *clock_ahead)
{
	int64_t floor_s = 0;

	pthread_mutex_lock(&paho->lock);
	*clock_ahead = paho->clock_ahead;
	floor_s = paho->floor_s;
	pthread_mutex_unlock(&paho->lock);
	return floor_s;
}
