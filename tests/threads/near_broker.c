#include "near_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "core.h"
#include "fleet_loop.h"
#include "setup.h"
#include "topic.h"

enum { EVENTS_MAX = 128, EVENT_NAME_MAX = 40, CMDLINE_CAP = 1024 };

struct kick {
	struct kick *next;
	char client_id[BROKER_CLIENT_ID_MAX];
};

struct broker {
	const char *conf;
	const char *mosquitto_conf;
	struct kt_log log;
	struct kt_setup *setup;
	struct kt_core *core;
	struct kt_broker port;
	struct kt_ports ports;
	struct broker_client *clients;
	uintptr_t last_number;
	struct kick *kicks;
	struct kick **kicks_end;
	uint64_t durable_seq;
	bool is_failed;
	struct {
		char name[EVENT_NAME_MAX];
		unsigned count;
	} events[EVENTS_MAX];
};

static struct kt_now now(void)
{
	struct timespec wall;

	(void)clock_gettime(CLOCK_REALTIME, &wall);
	return (struct kt_now){.wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000,
			       .mono_ms = fleet_now_ms()};
}

/* --- the log --- */

static void on_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct broker *broker = ctx;
	const char *at = strstr(line, "event=");
	size_t len;

	(void)level;
	fprintf(stderr, "%s\n", line);
	if (at == NULL)
		return;
	at += strlen("event=");
	len = strcspn(at, " ");
	for (size_t i = 0; i < EVENTS_MAX && len < EVENT_NAME_MAX; i++) {
		if (broker->events[i].count == 0)
			memcpy(broker->events[i].name, at, len);
		if (strlen(broker->events[i].name) == len &&
		    strncmp(broker->events[i].name, at, len) == 0) {
			broker->events[i].count++;
			return;
		}
	}
}

unsigned broker_events(const struct broker *broker, const char *event)
{
	for (size_t i = 0; i < EVENTS_MAX; i++) {
		if (strcmp(broker->events[i].name, event) == 0)
			return broker->events[i].count;
	}
	return 0;
}

/* --- clients --- */

static struct broker_client *find(const struct broker *broker, const char *client_id)
{
	struct broker_client *client = broker->clients;

	while (client != NULL && strcmp(client->client_id, client_id) != 0)
		client = client->next;
	return client;
}

static void leave(struct broker *broker, struct broker_client *client)
{
	struct broker_client **at = &broker->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	kt_core_disconnect(broker->core, now(), client->number);
	client->number = 0;
}

static void throw_out(struct broker *broker, struct broker_client *client, bool was_kicked)
{
	leave(broker, client);
	client->ended(client->ctx, was_kicked);
}

static void carry_out_kicks(struct broker *broker)
{
	struct kick *kick;

	while ((kick = broker->kicks) != NULL) {
		struct broker_client *client = find(broker, kick->client_id);

		broker->kicks = kick->next;
		if (broker->kicks == NULL)
			broker->kicks_end = &broker->kicks;
		if (client != NULL)
			throw_out(broker, client, true);
		free(kick);
	}
}

/* --- the core's port --- */

static enum kt_err port_publish(void *ctx, const char *client_id, const char *topic,
				struct kt_bytes payload, bool retain)
{
	const struct broker *broker = ctx;
	struct broker_client *client = client_id == NULL ? NULL : find(broker, client_id);

	(void)topic;
	(void)retain;
	if (client != NULL)
		client->message(client->ctx, payload);
	return KT_ERR_OK;
}

static enum kt_err port_kick(void *ctx, const char *client_id)
{
	struct broker *broker = ctx;
	struct kick *kick = fleet_alloc(NULL, 1, sizeof(*kick));

	(void)snprintf(kick->client_id, sizeof(kick->client_id), "%s", client_id);
	*broker->kicks_end = kick;
	broker->kicks_end = &kick->next;
	return KT_ERR_OK;
}

/* --- life: as plugin_mosquitto_init.c does --- */

static void start(struct broker *broker)
{
	char cmdline[CMDLINE_CAP];
	int len = snprintf(cmdline, sizeof(cmdline), "mosquitto%c-c%c%s", 0, 0,
			   broker->mosquitto_conf);
	char why[512] = "";
	const struct kt_setup_request request = {
		.config_path = broker->conf,
		.now_us = now().wall_us,
		.log = &broker->log,
		.cmdline = {(const uint8_t *)cmdline, (size_t)len + 1}};
	struct kt_core_setup core_setup = {.ports = &broker->ports};
	struct kt_store_status status;

	if (kt_setup_new(&request, &broker->setup, why) != KT_ERR_OK)
		fleet_fail("setup", why);
	kt_store_poll(broker->setup->store, &status);
	broker->durable_seq = status.durable_seq;
	broker->ports = (struct kt_ports){.broker = &broker->port,
					  .journal = kt_store_journal(broker->setup->store),
					  .jobs = kt_worker_pool_jobs(broker->setup->pool),
					  .entropy = &broker->setup->entropy,
					  .log = &broker->log};
	core_setup.config = broker->setup->config;
	core_setup.registry = broker->setup->registry;
	core_setup.durable_seq = status.durable_seq;
	core_setup.issuer_cert_der = broker->setup->issuer_cert_der;
	core_setup.last_crl = broker->setup->last_crl;
	memcpy(core_setup.root_sha256, broker->setup->root_sha256, sizeof(core_setup.root_sha256));
	if (kt_core_new(&core_setup, now(), &broker->core) != KT_ERR_OK)
		fleet_fail("core", "no memory");
}

static void stop(struct broker *broker)
{
	struct kick *kick;

	while ((kick = broker->kicks) != NULL) {
		broker->kicks = kick->next;
		free(kick);
	}
	broker->kicks_end = &broker->kicks;
	kt_core_free(broker->core);
	kt_setup_free(broker->setup);
}

struct broker *broker_new(const char *conf, const char *mosquitto_conf)
{
	struct broker *broker = fleet_alloc(NULL, 1, sizeof(*broker));

	broker->conf = conf;
	broker->mosquitto_conf = mosquitto_conf;
	broker->kicks_end = &broker->kicks;
	broker->port =
		(struct kt_broker){.ctx = broker, .publish = port_publish, .kick = port_kick};
	kt_log_init(&broker->log, on_line, broker, KT_LOG_INFO);
	start(broker);
	return broker;
}

void broker_free(struct broker *broker)
{
	stop(broker);
	free(broker);
}

void broker_restart(struct broker *broker)
{
	while (broker->clients != NULL)
		throw_out(broker, broker->clients, false);
	stop(broker);
	start(broker);
}

void broker_reload(struct broker *broker)
{
	struct kt_reloaded fresh;

	kt_core_reload(broker->core, now());
	if (kt_setup_reload(broker->setup, &broker->log, &fresh) == KT_ERR_OK)
		kt_core_set_acl(broker->core, now(), &fresh.acl);
}

/* --- the loop --- */

void broker_tick(struct broker *broker)
{
	struct kt_store_status status;
	struct kt_job *job;

	if (broker->setup->waker != NULL)
		kt_waker_seen(broker->setup->waker);
	while ((job = kt_worker_pool_take(broker->setup->pool)) != NULL)
		kt_core_job_done(broker->core, now(), job); /* moved */
	kt_store_poll(broker->setup->store, &status);
	if (status.durable_seq != broker->durable_seq || status.failed != broker->is_failed) {
		broker->durable_seq = status.durable_seq;
		broker->is_failed = status.failed;
		kt_core_durable(broker->core, now(), status.durable_seq, status.failed);
	}
	kt_core_tick(broker->core, now());
	carry_out_kicks(broker);
}

enum kt_answer broker_connect(struct broker *broker, struct broker_client *client,
			      const char *client_id, const char *address, struct kt_bytes cert)
{
	struct kt_connect connect = {
		.client_id = client_id, .address = address, .cert = cert, .clean_start = true};
	struct kt_connect_answer answer;
	struct broker_client *old;

	client->number = ++broker->last_number;
	connect.client = client->number;
	kt_core_connect(broker->core, now(), &connect, &answer);
	if (answer.answer != KT_ANSWER_ACCEPT) {
		kt_core_disconnect(broker->core, now(), client->number);
		client->number = 0;
		return answer.answer;
	}
	old = find(broker, client_id);
	if (old != NULL)
		throw_out(broker, old, false);
	(void)snprintf(client->client_id, sizeof(client->client_id), "%s", client_id);
	(void)snprintf(client->username, sizeof(client->username), "%s", answer.username);
	client->next = broker->clients;
	broker->clients = client;
	return KT_ANSWER_ACCEPT;
}

static bool may(struct broker *broker, const struct broker_client *client,
		enum kt_acl_action action, const char *topic)
{
	const struct kt_acl_event event = {.client = client->number,
					   .client_id = client->client_id,
					   .username = client->username,
					   .action = action,
					   .topic = topic};

	return kt_core_acl(broker->core, now(), &event) == KT_RIGHT_ALLOW;
}

bool broker_may_subscribe(struct broker *broker, const struct broker_client *client,
			  const char *topic)
{
	return may(broker, client, KT_ACL_DO_SUBSCRIBE, topic);
}

void broker_publish(struct broker *broker, const struct broker_client *client, const char *topic,
		    struct kt_bytes payload)
{
	if (!may(broker, client, KT_ACL_DO_WRITE, topic))
		return;
	if (strcmp(topic, KT_TOPIC_CONTROL) == 0)
		kt_core_control(broker->core, now(), client->number, payload);
	else if (strcmp(topic, KT_TOPIC_DEVICE_IN) == 0)
		kt_core_device_message(broker->core, now(), client->number, payload);
	carry_out_kicks(broker);
}

void broker_disconnect(struct broker *broker, struct broker_client *client)
{
	if (client->number != 0)
		leave(broker, client);
}
