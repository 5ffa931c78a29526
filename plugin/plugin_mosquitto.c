/*
 * plugin_mosquitto - the adapter: the broker's events in, the core's verdicts and effects out.
 *
 * No rules. Broker's thread only: no broker function is called from any other. Kicks that the core
 * orders are carried out after its call has returned, because the broker tells of the end of a
 * session inside the kick.
 */
#include "plugin_mosquitto.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"
#include "setup.h"
#include "topic.h"

enum {
	KICKS_MAX = 65536,
	MQTT_5 = 5,				    /* as the broker numbers its versions */
	DRAIN_BUDGET_MS = 5,			    /* for results of the workers, in one tick */
	CLOSE_WITHOUT_CONNACK = MOSQ_ERR_ACL_DENIED /* any code that names no CONNACK */
};

struct kick {
	struct kick *next;
	char client_id[];
};

/* --- time and log --- */

struct kt_now kt_plugin_now(struct kt_plugin *plugin)
{
	struct timespec wall;
	struct timespec mono;
	struct kt_now now;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	now.wall_us = (int64_t)wall.tv_sec * 1000000 + wall.tv_nsec / 1000;
	now.mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000;
	plugin->log.now_ms = now.mono_ms;
	return now;
}

static void write_line(void *ctx, enum kt_log_level level, const char *line)
{
	static const int levels[] = {
		[KT_LOG_ERROR] = MOSQ_LOG_ERR,
		[KT_LOG_WARN] = MOSQ_LOG_WARNING,
		[KT_LOG_INFO] = MOSQ_LOG_INFO,
		[KT_LOG_DEBUG] = MOSQ_LOG_DEBUG,
	};

	(void)ctx;
	mosquitto_log_printf(levels[level], "%s", line);
}

/* --- the broker's port --- */

static enum kt_err publish(void *ctx, const char *client_id, const char *topic,
			   struct kt_bytes payload, bool retain)
{
	struct kt_plugin *plugin = ctx;
	/* A command must arrive; an event may be queued; a gauge is overwritten anyway. */
	int qos = retain ? 0 : 1;
	void *copy = NULL;
	int rc;

	if (payload.len > INT32_MAX)
		return KT_ERR_TOO_LONG;
	if (payload.len > 0) {
		/* The broker's own allocator: it counts what it frees. */
		copy = mosquitto_malloc(payload.len);
		if (copy == NULL)
			return KT_ERR_NOMEM;
		memcpy(copy, payload.p, payload.len);
	}
	rc = mosquitto_broker_publish(client_id, topic, (int)payload.len, copy, qos, retain, NULL);
	if (rc != MOSQ_ERR_SUCCESS) {
		mosquitto_free(copy);
		return rc == MOSQ_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_SYS;
	}
	plugin->has_published = true;
	return KT_ERR_OK;
}

static enum kt_err order_kick(void *ctx, const char *client_id)
{
	struct kt_plugin *plugin = ctx;
	size_t len = strlen(client_id) + 1;
	struct kick *kick;

	if (len > KICKS_MAX)
		return KT_ERR_TOO_LONG;
	kick = malloc(sizeof(*kick) + len);
	if (kick == NULL)
		return KT_ERR_NOMEM;
	kick->next = NULL;
	memcpy(kick->client_id, client_id, len);
	*plugin->kicks_end = kick;
	plugin->kicks_end = &kick->next;
	return KT_ERR_OK;
}

static struct kick *next_kick(struct kt_plugin *plugin)
{
	struct kick *kick = plugin->kicks;

	if (kick == NULL)
		return NULL;
	plugin->kicks = kick->next;
	if (plugin->kicks == NULL)
		plugin->kicks_end = &plugin->kicks;
	return kick;
}

/* Never from BASIC_AUTH or ACL_CHECK; never with the will; never by user name. */
static void carry_out_kicks(struct kt_plugin *plugin)
{
	struct kick *kick;

	while ((kick = next_kick(plugin)) != NULL) {
		(void)mosquitto_kick_client_by_clientid(kick->client_id, false);
		free(kick);
	}
}

/* Kicks first: a revoke is in force before it is durable. */
static void carry_out(struct kt_plugin *plugin)
{
	carry_out_kicks(plugin);
	kt_store_hand_over(plugin->setup->store);
}

/* --- who connects --- */

/* OpenSSL's only place. *out is OpenSSL's memory; false: there is one, but it cannot be read. */
static bool certificate_of(const struct mosquitto *client, unsigned char **out, size_t *out_len)
{
	X509 *x509 = mosquitto_client_certificate(client);
	int len;

	*out = NULL;
	*out_len = 0;
	if (x509 == NULL)
		return true;
	len = i2d_X509(x509, out);
	X509_free(x509);
	if (len <= 0)
		return false;
	*out_len = (size_t)len;
	return true;
}

static bool has_certificate_now(void *ctx)
{
	X509 *x509 = mosquitto_client_certificate(ctx);

	X509_free(x509);
	return x509 != NULL;
}

static int set_username(struct mosquitto *client, const char *username)
{
	const char *present = mosquitto_client_username(client);

	if (username[0] == '\0' || (present != NULL && strcmp(present, username) == 0))
		return MOSQ_ERR_SUCCESS;
	return mosquitto_set_username(client, username);
}

/*
 * Refusals that MQTT 3.1.1 has no code for become its "not authorized" in a broker of 2.1: right
 * for those, but not for "come back".
 */
static int return_code(const struct kt_plugin *plugin, const struct mosquitto *client,
		       enum kt_answer answer)
{
	switch (answer) {
	case KT_ANSWER_ACCEPT:
		return MOSQ_ERR_SUCCESS;
	case KT_ANSWER_DENY:
		return MOSQ_ERR_AUTH;
	case KT_ANSWER_BANNED:
		return plugin->is_2_1 ? KT_CONNACK_BANNED : MOSQ_ERR_AUTH;
	case KT_ANSWER_BAD_ID:
		return plugin->is_2_1 ? KT_CONNACK_BAD_ID : MOSQ_ERR_AUTH;
	case KT_ANSWER_NO_ANSWER:
		return plugin->is_2_1 && mosquitto_client_protocol_version(client) == MQTT_5
			       ? KT_CONNACK_BUSY
			       : CLOSE_WITHOUT_CONNACK;
	case KT_ANSWER_DEFER:
		return MOSQ_ERR_PLUGIN_DEFER;
	}
	return MOSQ_ERR_AUTH;
}

static int on_basic_auth(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_basic_auth *ed = event_data;
	struct kt_connect connect = {
		.client = (uintptr_t)ed->client,
		.client_id = mosquitto_client_id(ed->client),
		.username = mosquitto_client_username(ed->client),
		.address = mosquitto_client_address(ed->client),
		.clean_start = mosquitto_client_clean_session(ed->client),
	};
	struct kt_connect_answer answer = {.answer = KT_ANSWER_DENY};
	struct kt_now now = kt_plugin_now(plugin);
	unsigned char *der = NULL;

	(void)event;
	/* asked again at SIGHUP, it is not looked at, and a lack of memory must throw nobody out */
	if (!kt_core_is_reloading(plugin->core) &&
	    !certificate_of(ed->client, &der, &connect.cert.len))
		return CLOSE_WITHOUT_CONNACK; /* never as if it had shown none */
	connect.cert.p = der;
	kt_core_connect(plugin->core, now, &connect, &answer);
	kt_store_hand_over(plugin->setup->store);
	OPENSSL_free(der);
	if (answer.answer == KT_ANSWER_ACCEPT &&
	    set_username(ed->client, answer.username) != MOSQ_ERR_SUCCESS) {
		kt_core_disconnect(plugin->core, now, connect.client);
		return CLOSE_WITHOUT_CONNACK;
	}
	return return_code(plugin, ed->client, answer.answer);
}

static int on_extended_auth(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_extended_auth *ed = event_data;

	(void)event;
	kt_core_extended_auth(plugin->core, kt_plugin_now(plugin), mosquitto_client_id(ed->client),
			      mosquitto_client_address(ed->client));
	return MOSQ_ERR_AUTH;
}

/* Never a kick in here: the broker is not done with the client's CONNECT. The next tick does it. */
static int on_connect(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct kt_mosq_evt_connect *ed = event_data;

	(void)event;
	kt_core_connected(plugin->core, kt_plugin_now(plugin), (uintptr_t)ed->client,
			  mosquitto_client_id(ed->client), mosquitto_client_address(ed->client));
	return MOSQ_ERR_SUCCESS;
}

/* --- what they may --- */

static bool action_of(int access, enum kt_acl_action *out)
{
	switch (access) {
	case MOSQ_ACL_READ:
		*out = KT_ACL_DO_READ;
		return true;
	case MOSQ_ACL_WRITE:
		*out = KT_ACL_DO_WRITE;
		return true;
	case MOSQ_ACL_SUBSCRIBE:
		*out = KT_ACL_DO_SUBSCRIBE;
		return true;
	case MOSQ_ACL_UNSUBSCRIBE:
		*out = KT_ACL_DO_UNSUBSCRIBE;
		return true;
	default:
		return false;
	}
}

static int on_acl_check(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_acl_check *ed = event_data;
	struct kt_acl_event acl = {
		.client = (uintptr_t)ed->client,
		.client_id = mosquitto_client_id(ed->client),
		.username = mosquitto_client_username(ed->client),
		.topic = ed->topic,
		.cert_now = has_certificate_now,
		.cert_now_ctx = ed->client,
	};

	(void)event;
	if (!action_of(ed->access, &acl.action))
		return MOSQ_ERR_ACL_DENIED;
	switch (kt_core_acl(plugin->core, kt_plugin_now(plugin), &acl)) {
	case KT_RIGHT_ALLOW:
		return MOSQ_ERR_SUCCESS;
	case KT_RIGHT_DEFER:
		return MOSQ_ERR_PLUGIN_DEFER;
	case KT_RIGHT_DENY:
		return MOSQ_ERR_ACL_DENIED;
	}
	return MOSQ_ERR_ACL_DENIED;
}

/* --- what they say; any other answer than success would end the sender's session --- */

static int on_control(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_control *ed = event_data;
	struct kt_bytes payload = {ed->payload, ed->payload == NULL ? 0 : ed->payloadlen};

	(void)event;
	kt_core_control(plugin->core, kt_plugin_now(plugin), (uintptr_t)ed->client, payload);
	carry_out(plugin);
	if (plugin->setup->waker != NULL && kt_core_has_work(plugin->core))
		kt_waker_wake(plugin->setup->waker);
	return MOSQ_ERR_SUCCESS;
}

static int on_device_message(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_control *ed = event_data;
	struct kt_bytes payload = {ed->payload, ed->payload == NULL ? 0 : ed->payloadlen};

	(void)event;
	kt_core_device_message(plugin->core, kt_plugin_now(plugin), (uintptr_t)ed->client, payload);
	carry_out(plugin);
	return MOSQ_ERR_SUCCESS;
}

/* --- the loop --- */

/* Also CLIENT_OFFLINE, which has the same shape. */
static int on_disconnect(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	const struct mosquitto_evt_disconnect *ed = event_data;

	(void)event;
	kt_core_disconnect(plugin->core, kt_plugin_now(plugin), (uintptr_t)ed->client);
	return MOSQ_ERR_SUCCESS;
}

/* Success whatever happens: 2.1 exits on anything else, 2.0 dies at the next SIGHUP. */
static int on_reload(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	struct kt_reloaded fresh;

	(void)event;
	(void)event_data;
	kt_core_reload(plugin->core, kt_plugin_now(plugin));
	if (kt_setup_reload(plugin->setup, &plugin->log, &fresh) != KT_ERR_OK)
		return MOSQ_ERR_SUCCESS;
	kt_core_set_acl(plugin->core, kt_plugin_now(plugin), &fresh.acl);
	if (fresh.policies.count > 0)
		kt_core_set_policies(plugin->core, kt_plugin_now(plugin), &fresh.policies);
	return MOSQ_ERR_SUCCESS;
}

/* False: the time was up before the queue was empty. */
static bool drain_results(struct kt_plugin *plugin, int64_t start_ms)
{
	struct kt_now now;
	struct kt_job *job;

	while ((job = kt_worker_pool_take(plugin->setup->pool)) != NULL) {
		now = kt_plugin_now(plugin);
		kt_core_job_done(plugin->core, now, job); /* moved */
		if (now.mono_ms - start_ms >= DRAIN_BUDGET_MS)
			return false;
	}
	return true;
}

static void tell_durable(struct kt_plugin *plugin)
{
	struct kt_store_status status;

	kt_store_poll(plugin->setup->store, &status);
	if (status.durable_seq == plugin->durable_seq && status.failed == plugin->journal_failed)
		return;
	plugin->durable_seq = status.durable_seq;
	plugin->journal_failed = status.failed;
	kt_core_durable(plugin->core, kt_plugin_now(plugin), status.durable_seq, status.failed);
}

static int on_tick(int event, void *event_data, void *userdata)
{
	struct kt_plugin *plugin = userdata;
	struct kt_waker *waker = plugin->setup->waker;
	bool is_drained;

	(void)event;
	(void)event_data;
	plugin->has_published = false;
	if (waker != NULL)
		kt_waker_seen(waker); /* before the queues are read: what comes later wakes again */
	is_drained = drain_results(plugin, kt_plugin_now(plugin).mono_ms);
	tell_durable(plugin);
	kt_core_tick(plugin->core, kt_plugin_now(plugin));
	carry_out(plugin);
	/* 2.1 ticks before it waits and sends what was published only after the wait. */
	if (waker != NULL && (!is_drained || kt_core_has_work(plugin->core) ||
			      (plugin->has_published && plugin->is_2_1)))
		kt_waker_wake(waker);
	return MOSQ_ERR_SUCCESS;
}

/* --- registration --- */

struct callback {
	MOSQ_FUNC_generic_callback call;
	const char *topic; /* CONTROL only */
	int event;
	bool is_optional; /* not known to 2.0 */
};

/* BASIC_AUTH last: nobody is let in before all else is in place. */
static const struct callback callbacks[] = {
	{.event = MOSQ_EVT_TICK, .call = on_tick},
	{.event = MOSQ_EVT_DISCONNECT, .call = on_disconnect},
	{.event = KT_MOSQ_EVT_CONNECT, .call = on_connect, .is_optional = true},
	{.event = KT_MOSQ_EVT_CLIENT_OFFLINE, .call = on_disconnect, .is_optional = true},
	{.event = MOSQ_EVT_RELOAD, .call = on_reload},
	{.event = MOSQ_EVT_CONTROL, .call = on_control, .topic = KT_TOPIC_CONTROL},
	{.event = MOSQ_EVT_CONTROL, .call = on_device_message, .topic = KT_TOPIC_DEVICE_IN},
	{.event = MOSQ_EVT_ACL_CHECK, .call = on_acl_check},
	{.event = MOSQ_EVT_EXT_AUTH_START, .call = on_extended_auth},
	{.event = MOSQ_EVT_BASIC_AUTH, .call = on_basic_auth},
};
enum { CALLBACK_COUNT = sizeof(callbacks) / sizeof(callbacks[0]) };

static void unregister(struct kt_plugin *plugin, size_t count)
{
	while (count > 0) {
		const struct callback *c = &callbacks[--count];

		(void)mosquitto_callback_unregister(plugin->identifier, c->event, c->call,
						    c->topic);
	}
}

bool kt_plugin_register(struct kt_plugin *plugin)
{
	for (size_t i = 0; i < CALLBACK_COUNT; i++) {
		const struct callback *c = &callbacks[i];
		int rc = mosquitto_callback_register(plugin->identifier, c->event, c->call,
						     c->topic, plugin);

		if (rc != MOSQ_ERR_SUCCESS && !c->is_optional) {
			unregister(plugin, i);
			return false;
		}
	}
	return true;
}

void kt_plugin_unregister(struct kt_plugin *plugin)
{
	unregister(plugin, CALLBACK_COUNT);
}

/* --- the instance --- */

void kt_plugin_free(struct kt_plugin *plugin)
{
	struct kick *kick;

	if (plugin == NULL)
		return;
	while ((kick = next_kick(plugin)) != NULL)
		free(kick);
	/* The setup joins the threads; what they were doing is dropped. */
	kt_core_free(plugin->core);
	kt_setup_free(plugin->setup);
	free(plugin);
}

struct kt_plugin *kt_plugin_new(mosquitto_plugin_id_t *identifier)
{
	struct kt_plugin *plugin = calloc(1, sizeof(*plugin));

	if (plugin == NULL)
		return NULL;
	plugin->identifier = identifier;
	plugin->kicks_end = &plugin->kicks;
	plugin->is_2_1 = mosquitto_plugin_set_info != NULL;
	plugin->broker.ctx = plugin;
	plugin->broker.publish = publish;
	plugin->broker.kick = order_kick;
	kt_log_init(&plugin->log, write_line, plugin, KT_LOG_DEBUG);
	return plugin;
}
