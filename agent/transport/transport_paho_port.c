#include "transport_paho_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "secmem.h"

enum { QUIT_TIMEOUT_S = 3, STUCK_MS = 60000, STUCK_CONNECTS = 20 };

void kt_link_event_clear(struct kt_link_event *event)
{
	free(event->text);
	memset(event, 0, sizeof(*event));
}

/* --- events to the main thread --- */

static void append(struct kt_paho *paho, struct kt_paho_event *queued)
{
	*paho->last = queued;
	paho->last = &queued->next;
}

/*
 * A message may be lost, it is asked for again. That a link came up or went down may not: the core
 * would wait for it for ever, and the hub would be out for good. So that waits for memory, on the
 * link's own thread, unless all of it ends.
 */
static struct kt_paho_event *event_new(struct kt_paho *paho, bool may_be_lost)
{
	const struct timespec pause = {.tv_nsec = 50000000};
	struct kt_paho_event *event = calloc(1, sizeof(*event));

	while (event == NULL && !may_be_lost) {
		bool is_quitting = false;

		pthread_mutex_lock(&paho->lock);
		is_quitting = paho->is_quitting;
		pthread_mutex_unlock(&paho->lock);
		if (is_quitting)
			return NULL;
		(void)nanosleep(&pause, NULL);
		event = calloc(1, sizeof(*event));
	}
	return event;
}

void kt_paho_push_event(struct kt_paho *paho, struct kt_link_event *event)
{
	const bool is_message = event->kind == KT_LINK_MESSAGE;
	struct kt_paho_event *queued = event_new(paho, is_message);
	const uint64_t one = 1;
	bool has_room = false;

	pthread_mutex_lock(&paho->lock);
	has_room = queued != NULL && !(is_message && paho->messages >= KT_PAHO_MESSAGES_MAX);
	if (has_room) {
		queued->event = *event;
		append(paho, queued);
		paho->messages += is_message ? 1 : 0;
	}
	pthread_mutex_unlock(&paho->lock);
	if (!has_room) {
		free(queued);
		kt_link_event_clear(event);
		return;
	}
	if (write(paho->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		return; /* the counter is full: it is readable anyway */
}

/* --- commands to a link's thread --- */

/* Is the same thing waiting already? Once is enough, and so they cannot fill the queue. */
static bool is_queued(const struct kt_paho_link *link, const struct kt_paho_command *command)
{
	for (size_t i = 0; i < link->queue_len; i++) {
		if (link->queue[i].kind == command->kind &&
		    link->queue[i].connection == command->connection)
			return true;
	}
	return false;
}

enum kt_err kt_paho_push_command(struct kt_paho_link *link, const struct kt_paho_command *command)
{
	bool is_send = command->kind == KT_PAHO_SEND;

	if (!is_send && is_queued(link, command))
		return KT_ERR_OK;
	if (link->queue_len >= (is_send ? (size_t)KT_PAHO_SENDS_MAX : (size_t)KT_PAHO_COMMANDS_MAX))
		return KT_ERR_BUSY;
	link->queue[link->queue_len++] = *command;
	if (link->busy_since_ms == 0)
		link->busy_since_ms = kt_mono_ms();
	pthread_cond_signal(&link->wake);
	return KT_ERR_OK;
}

/* An `enroll` carries the ticket's secret. */
void kt_paho_free_text(struct kt_paho_command *command)
{
	if (command->text != NULL)
		kt_wipe(command->text, command->len);
	free(command->text);
	command->text = NULL;
}

struct kt_paho_command kt_paho_wait_command(struct kt_paho_link *link)
{
	struct kt_paho_command command;

	pthread_mutex_lock(&link->paho->lock);
	link->busy_since_ms = link->queue_len == 0 ? 0 : kt_mono_ms();
	while (link->queue_len == 0)
		pthread_cond_wait(&link->wake, &link->paho->lock);
	command = link->queue[0];
	link->queue_len--;
	memmove(&link->queue[0], &link->queue[1], link->queue_len * sizeof(link->queue[0]));
	pthread_mutex_unlock(&link->paho->lock);
	return command;
}

/* --- the port: main thread --- */

static enum kt_err port_open(void *ctx, enum kt_link name, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct kt_paho *paho = ctx;
	struct kt_paho_link *link = &paho->link[name];
	const struct kt_paho_command command = {.kind = KT_PAHO_OPEN};
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
	err = kt_paho_push_command(link, &command);
out:
	pthread_mutex_unlock(&paho->lock);
	return err;
}

static enum kt_err port_send(void *ctx, enum kt_link name, const char *text, size_t len)
{
	struct kt_paho *paho = ctx;
	struct kt_paho_link *link = &paho->link[name];
	struct kt_paho_command command = {.kind = KT_PAHO_SEND, .len = len};
	enum kt_err err = KT_ERR_NOMEM;

	command.text = malloc(len);
	if (command.text == NULL)
		return err;
	memcpy(command.text, text, len);
	pthread_mutex_lock(&paho->lock);
	command.connection = link->connection;
	err = kt_paho_push_command(link, &command);
	pthread_mutex_unlock(&paho->lock);
	if (err != KT_ERR_OK)
		kt_paho_free_text(&command);
	return err;
	/* analyzer-suppress -Wanalyzer-malloc-leak ; kt_paho_push_command keeps it */
}

static void port_close(void *ctx, enum kt_link name)
{
	struct kt_paho *paho = ctx;
	const struct kt_paho_command command = {.kind = KT_PAHO_CLOSE};

	pthread_mutex_lock(&paho->lock);
	(void)kt_paho_push_command(&paho->link[name], &command);
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

static enum kt_err start_link(struct kt_paho_link *link)
{
	sigset_t all;
	sigset_t before;
	int rc = 0;

	/* Paho's threads inherit the mask: signals are the main thread's */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&link->thread, NULL, kt_paho_run_link, link);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	link->has_thread = rc == 0;
	if (rc != 0)
		errno = rc; /* pthread_create says it there alone */
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

static void tell_to_quit(struct kt_paho_link *link)
{
	const struct kt_paho_command quit = {.kind = KT_PAHO_QUIT};

	pthread_mutex_lock(&link->paho->lock);
	link->paho->is_quitting = true;
	for (size_t i = 0; i < link->queue_len; i++)
		kt_paho_free_text(&link->queue[i]);
	link->queue_len = 0;
	(void)kt_paho_push_command(link, &quit);
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
	struct kt_paho_event *first = NULL;
	uint64_t count = 0;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&paho->lock);
	first = paho->first;
	if (first != NULL) {
		paho->first = first->next;
		if (paho->first == NULL)
			paho->last = &paho->first;
		paho->messages -= first->event.kind == KT_LINK_MESSAGE ? 1 : 0;
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

int64_t kt_paho_stuck_at_ms(struct kt_paho *paho)
{
	const int64_t limit_ms =
		STUCK_MS + (int64_t)STUCK_CONNECTS * paho->config.connect_timeout_s * 1000;
	int64_t at_ms = INT64_MAX;

	pthread_mutex_lock(&paho->lock);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		const int64_t since_ms = paho->link[i].busy_since_ms;

		if (since_ms != 0 && since_ms + limit_ms < at_ms)
			at_ms = since_ms + limit_ms;
	}
	pthread_mutex_unlock(&paho->lock);
	return at_ms;
}
