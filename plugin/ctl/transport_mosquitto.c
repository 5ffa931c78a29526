#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <mosquitto.h>

#include "clock.h"

enum { KEEP_ALIVE_S = 60, WHY_MAX = 200, CLIENT_ID_MAX = 64, STEP_MS = 1000 };

enum state { STATE_DOWN, STATE_CONNECTING, STATE_UP, STATE_REFUSED };

struct queued {
	struct kt_ctl_message message;
	struct queued *next;
};

struct connection {
	struct mosquitto *mosq;
	struct kt_ctl_address address;
	enum state state;
	bool is_subscribed;
	bool is_denied;	   /* a subscription or a publish */
	bool has_lost;	   /* a message, for want of memory */
	unsigned hang_ups; /* seen before there was a session */
	struct queued *first;
	struct queued **last;
	char why[WHY_MAX];
};

static int64_t now_ms(void *ctx)
{
	(void)ctx;
	return kt_mono_ms();
}

static void explain(struct connection *c, const char *text)
{
	(void)snprintf(c->why, sizeof(c->why), "%s", text);
}

/* --- callbacks: all inside mosquitto_loop, on the one thread ------------------------------------
 */

static void on_connect(struct mosquitto *mosq, void *ctx, int code, int flags,
		       const mosquitto_property *properties)
{
	struct connection *c = ctx;

	(void)mosq;
	(void)flags;
	(void)properties;
	c->state = code == 0 ? STATE_UP : STATE_REFUSED;
	if (code != 0)
		(void)snprintf(c->why, sizeof(c->why), "the broker refuses: %s",
			       mosquitto_reason_string(code));
}

static void on_disconnect(struct mosquitto *mosq, void *ctx, int code,
			  const mosquitto_property *properties)
{
	struct connection *c = ctx;

	(void)mosq;
	(void)properties;
	if (c->state == STATE_UP && code > 0x80)
		(void)snprintf(c->why, sizeof(c->why), "the broker ended the session: %s",
			       mosquitto_reason_string(code));
	if (c->state != STATE_REFUSED)
		c->state = STATE_DOWN;
}

static void on_subscribe(struct mosquitto *mosq, void *ctx, int mid, int count, const int *granted,
			 const mosquitto_property *properties)
{
	struct connection *c = ctx;

	(void)mosq;
	(void)mid;
	(void)properties;
	c->is_subscribed = true;
	if (count < 1 || granted[0] >= 0x80) {
		c->is_denied = true;
		explain(c, "the broker does not allow it (which role does this operator have?)");
	}
}

static void on_publish(struct mosquitto *mosq, void *ctx, int mid, int code,
		       const mosquitto_property *properties)
{
	struct connection *c = ctx;

	(void)mosq;
	(void)mid;
	(void)properties;
	if (code >= 0x80) {
		c->is_denied = true;
		(void)snprintf(c->why, sizeof(c->why),
			       "the broker refuses the command: %s (is this an operator?)",
			       mosquitto_reason_string(code));
	}
}

static void on_message(struct mosquitto *mosq, void *ctx, const struct mosquitto_message *message,
		       const mosquitto_property *properties)
{
	struct connection *c = ctx;
	struct queued *queued = calloc(1, sizeof(*queued));

	(void)mosq;
	(void)properties;
	if (queued == NULL)
		goto lost;
	queued->message.topic = strdup(message->topic);
	queued->message.len = message->payloadlen > 0 ? (size_t)message->payloadlen : 0;
	queued->message.payload = malloc(queued->message.len + 1);
	if (queued->message.topic == NULL || queued->message.payload == NULL)
		goto lost;
	if (queued->message.len > 0)
		memcpy(queued->message.payload, message->payload, queued->message.len);
	*c->last = queued;
	c->last = &queued->next;
	return;
lost:
	c->has_lost = true;
	if (queued != NULL) {
		free(queued->message.topic);
		free(queued->message.payload);
	}
	free(queued);
}

/* OpenSSL's own words are in no return code. */
static void on_log(struct mosquitto *mosq, void *ctx, int level, const char *text)
{
	struct connection *c = ctx;

	(void)mosq;
	if (level == MOSQ_LOG_ERR)
		explain(c, text);
}

/* --- steps ---------------------------------------------------------------------------------------
 */

/*
 * Ended before there was a session? libmosquitto 2.0 takes a failed TLS write for "not yet", and
 * tries it in a tight loop until our time is up. Seen twice: what lay there has been read.
 */
static bool is_hung_up(struct connection *c)
{
	struct pollfd socket = {.fd = mosquitto_socket(c->mosq), .events = POLLOUT};

	if (c->state != STATE_CONNECTING || socket.fd < 0 || poll(&socket, 1, 0) != 1 ||
	    (socket.revents & POLLHUP) == 0)
		return false;
	c->hang_ups++;
	return c->hang_ups > 1;
}

/*
 * What OpenSSL itself objects to is in the library's log, and so is c->why before this is asked.
 * Who breaks off in the handshake is MOSQ_ERR_TLS to a newer library, or EPROTO, as the moment is.
 */
static const char *text_of(int rc)
{
	return rc == MOSQ_ERR_TLS || (rc == MOSQ_ERR_ERRNO && errno == EPROTO)
		       ? "the connection was ended before TLS was up"
		       : mosquitto_strerror(rc);
}

/* Lets the network happen, for a moment or until @until_ms. */
static enum kt_err step(struct connection *c, int64_t until_ms)
{
	int64_t left = until_ms - now_ms(NULL);
	int rc = 0;

	if (left <= 0)
		return KT_ERR_AGAIN;
	rc = mosquitto_loop(c->mosq, left < STEP_MS ? (int)left : STEP_MS, 1);
	if (c->has_lost || rc == MOSQ_ERR_NOMEM)
		return KT_ERR_NOMEM;
	if (c->is_denied || c->state == STATE_REFUSED)
		return KT_ERR_DENIED;
	if (rc == MOSQ_ERR_SUCCESS && c->state != STATE_DOWN) {
		if (!is_hung_up(c))
			return KT_ERR_OK;
		if (c->why[0] == '\0')
			explain(c, "the connection was ended before TLS was up");
		return KT_ERR_CLOSED;
	}
	if (c->why[0] == '\0' && c->state == STATE_UP)
		explain(c, "the broker closed the connection");
	else if (c->why[0] == '\0')
		explain(c, rc == MOSQ_ERR_CONN_LOST || rc == MOSQ_ERR_SUCCESS
				   ? "the broker hung up without a word"
				   : text_of(rc));
	return KT_ERR_CLOSED;
}

/* An operator's key that everybody can read is everybody's. */
static enum kt_err check_key(struct connection *c)
{
	struct stat st;

	if (stat(c->address.key, &st) == 0 && (st.st_mode & (S_IWGRP | S_IRWXO)) == 0)
		return KT_ERR_OK;
	(void)snprintf(c->why, sizeof(c->why), "%s: others can read or change it: chmod 0600",
		       c->address.key);
	return KT_ERR_CLOSED;
}

static enum kt_err set_tls(struct connection *c)
{
	const char *const files[] = {c->address.cafile, c->address.cert, c->address.key};
	char reason[100];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (access(files[i], R_OK) == 0)
			continue;
		(void)snprintf(c->why, sizeof(c->why), "%s: %s", files[i],
			       strerror_r(errno, reason, sizeof(reason)));
		return KT_ERR_CLOSED;
	}
	if (check_key(c) != KT_ERR_OK)
		return KT_ERR_CLOSED;
	if (mosquitto_tls_set(c->mosq, c->address.cafile, NULL, c->address.cert, c->address.key,
			      NULL) == MOSQ_ERR_SUCCESS)
		return KT_ERR_OK;
	explain(c, "the certificate files cannot be used");
	return KT_ERR_CLOSED;
}

static void on_alarm(int number)
{
	(void)number;
}

/*
 * libmosquitto waits for a TCP connection as long as the kernel does, which is minutes where nobody
 * answers. A signal ends that wait (connect(2): EINTR); it comes again, because a name can have
 * several addresses and each is tried.
 */
static int connect_in_time(struct connection *c, const char *host, int port, int64_t left_ms)
{
	const struct itimerval timer = {
		.it_interval = {.tv_sec = 0, .tv_usec = 100000},
		.it_value = {.tv_sec = (time_t)(left_ms / 1000),
			     .tv_usec = (suseconds_t)(left_ms % 1000 * 1000)},
	};
	const struct itimerval none = {.it_interval = {0}, .it_value = {0}};
	const struct sigaction action = {.sa_handler = on_alarm};
	struct sigaction before;
	int saved = 0;
	int rc = 0;

	(void)sigaction(SIGALRM, &action, &before);
	(void)setitimer(ITIMER_REAL, &timer, NULL);
	errno = 0;
	rc = mosquitto_connect_bind_v5(c->mosq, host, port, KEEP_ALIVE_S, NULL, NULL);
	saved = errno;
	(void)setitimer(ITIMER_REAL, &none, NULL);
	(void)sigaction(SIGALRM, &before, NULL);
	errno = saved;
	return rc;
}

static enum kt_err port_connect(void *ctx, int64_t until_ms)
{
	struct connection *c = ctx;
	bool is_unix = c->address.unix_path != NULL;
	enum kt_err err = is_unix ? KT_ERR_OK : set_tls(c);
	const int64_t left_ms = until_ms - now_ms(NULL);
	char reason[100];
	int rc = 0;

	if (err != KT_ERR_OK)
		return err;
	if (left_ms <= 0)
		return KT_ERR_AGAIN;
	c->state = STATE_CONNECTING;
	/* port 0: the host is the path of a socket (libmosquitto 2.0) */
	rc = connect_in_time(c, is_unix ? c->address.unix_path : c->address.host,
			     is_unix ? 0 : c->address.port, left_ms);
	if (rc != MOSQ_ERR_SUCCESS && now_ms(NULL) >= until_ms)
		return KT_ERR_AGAIN;
	if (rc != MOSQ_ERR_SUCCESS) {
		if (c->why[0] == '\0')
			explain(c, rc == MOSQ_ERR_ERRNO && errno != EPROTO
					   ? strerror_r(errno, reason, sizeof(reason))
					   : text_of(rc));
		return rc == MOSQ_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_CLOSED;
	}
	while (err == KT_ERR_OK && c->state == STATE_CONNECTING)
		err = step(c, until_ms);
	return err;
}

static enum kt_err port_subscribe(void *ctx, const char *filter, int64_t until_ms)
{
	struct connection *c = ctx;
	enum kt_err err = KT_ERR_OK;
	int rc = mosquitto_subscribe_v5(c->mosq, NULL, filter, 1, 0, NULL);

	if (rc != MOSQ_ERR_SUCCESS) {
		explain(c, mosquitto_strerror(rc));
		return rc == MOSQ_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_CLOSED;
	}
	c->is_subscribed = false;
	while (err == KT_ERR_OK && !c->is_subscribed)
		err = step(c, until_ms);
	return err;
}

static enum kt_err port_publish(void *ctx, const char *topic, struct kt_bytes payload)
{
	struct connection *c = ctx;
	int rc = payload.len > INT32_MAX
			 ? MOSQ_ERR_PAYLOAD_SIZE
			 : mosquitto_publish_v5(c->mosq, NULL, topic, (int)payload.len, payload.p,
						1, false, NULL);

	if (rc == MOSQ_ERR_SUCCESS)
		return KT_ERR_OK;
	explain(c, mosquitto_strerror(rc));
	return rc == MOSQ_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_CLOSED;
}

static enum kt_err port_receive(void *ctx, int64_t until_ms, struct kt_ctl_message *out)
{
	struct connection *c = ctx;
	struct queued *first = NULL;
	enum kt_err err = KT_ERR_OK;

	memset(out, 0, sizeof(*out));
	while (err == KT_ERR_OK && c->first == NULL)
		err = step(c, until_ms);
	if (c->first == NULL)
		return err;
	first = c->first;
	c->first = first->next;
	if (c->first == NULL)
		c->last = &c->first;
	*out = first->message; /* moved */
	free(first);
	return KT_ERR_OK;
}

static const char *port_why(void *ctx)
{
	const struct connection *c = ctx;

	return c->why;
}

static void port_close(void *ctx)
{
	struct connection *c = ctx;

	if (c->state == STATE_UP)
		(void)mosquitto_disconnect_v5(c->mosq, 0, NULL);
	mosquitto_destroy(c->mosq);
	while (c->first != NULL) {
		struct queued *next = c->first->next;

		kt_ctl_message_clear(&c->first->message);
		free(c->first);
		c->first = next;
	}
	free(c);
	(void)mosquitto_lib_cleanup();
}

enum kt_err kt_transport_mosquitto(const struct kt_ctl_address *address, const char *token,
				   struct kt_transport *out)
{
	struct connection *c = calloc(1, sizeof(*c));
	char client_id[CLIENT_ID_MAX];

	memset(out, 0, sizeof(*out));
	if (c == NULL)
		return KT_ERR_NOMEM;
	c->address = *address;
	c->last = &c->first;
	(void)snprintf(client_id, sizeof(client_id), "op:ctl-%s", token);
	if (mosquitto_lib_init() != MOSQ_ERR_SUCCESS)
		goto fail;
	c->mosq = mosquitto_new(client_id, true, c);
	if (c->mosq == NULL)
		goto fail;
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
	(void)mosquitto_int_option(c->mosq, MOSQ_OPT_TCP_NODELAY, 1);
	mosquitto_connect_v5_callback_set(c->mosq, on_connect);
	mosquitto_disconnect_v5_callback_set(c->mosq, on_disconnect);
	mosquitto_subscribe_v5_callback_set(c->mosq, on_subscribe);
	mosquitto_publish_v5_callback_set(c->mosq, on_publish);
	mosquitto_message_v5_callback_set(c->mosq, on_message);
	mosquitto_log_callback_set(c->mosq, on_log);
	*out = (struct kt_transport){.ctx = c,
				     .connect = port_connect,
				     .subscribe = port_subscribe,
				     .publish = port_publish,
				     .receive = port_receive,
				     .now_ms = now_ms,
				     .why = port_why,
				     .close = port_close};
	return KT_ERR_OK;
fail:
	free(c);
	return KT_ERR_NOMEM;
}
