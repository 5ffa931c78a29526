/*
 * bench_kick - the smallest plugin that ends a session: what Keyturn's revoke is measured against.
 * And a clock of the broker's ticks.
 *
 *   $CONTROL/bench/v1, payload a client id: that client is kicked, without its will
 *   $CONTROL/bench/v1, empty: the gaps between ticks since the last such question, to the asker:
 *       "COUNT P50 P99 MAX", in microseconds, on $CONTROL/bench/v1/response
 *
 * Whoever is let in may ask it. For benchmarks on 127.0.0.1 alone.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#define TOPIC	 "$CONTROL/bench/v1"
#define EXPORTED __attribute__((visibility("default")))

enum { GAPS_MAX = 1 << 20 };

struct clockwork {
	mosquitto_plugin_id_t *identifier;
	int64_t last_us;
	size_t count;
	int64_t gap_us[GAPS_MAX];
};

static int64_t mono_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a;
	const int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t percentile(const struct clockwork *clockwork, size_t percent)
{
	const size_t rank = (clockwork->count * percent + 99) / 100;

	return rank == 0 ? 0 : clockwork->gap_us[rank - 1];
}

static void report(struct clockwork *clockwork, const char *client_id)
{
	char text[128];
	void *payload;
	int len;

	qsort(clockwork->gap_us, clockwork->count, sizeof(clockwork->gap_us[0]), by_value);
	len = snprintf(text, sizeof(text), "%zu %lld %lld %lld", clockwork->count,
		       (long long)percentile(clockwork, 50), (long long)percentile(clockwork, 99),
		       (long long)percentile(clockwork, 100));
	clockwork->count = 0;
	payload = mosquitto_malloc((size_t)len);
	if (payload == NULL)
		return;
	memcpy(payload, text, (size_t)len);
	if (mosquitto_broker_publish(client_id, TOPIC "/response", len, payload, 1, false, NULL) !=
	    MOSQ_ERR_SUCCESS)
		mosquitto_free(payload);
}

static int on_control(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_control *ed = event_data;
	char client_id[256];

	(void)event;
	if (ed->payloadlen == 0) {
		report(userdata, mosquitto_client_id(ed->client));
	} else if (ed->payloadlen < sizeof(client_id)) {
		memcpy(client_id, ed->payload, ed->payloadlen);
		client_id[ed->payloadlen] = '\0';
		(void)mosquitto_kick_client_by_clientid(client_id, false);
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *event_data, void *userdata)
{
	struct clockwork *clockwork = userdata;
	const int64_t now = mono_us();

	(void)event;
	(void)event_data;
	if (clockwork->last_us != 0 && clockwork->count < GAPS_MAX)
		clockwork->gap_us[clockwork->count++] = now - clockwork->last_us;
	clockwork->last_us = now;
	return MOSQ_ERR_SUCCESS;
}

/* Behind Keyturn: what that leaves to others. */
static int on_acl_check(int event, void *event_data, void *userdata)
{
	const struct mosquitto_evt_acl_check *ed = event_data;

	(void)event;
	(void)userdata;
	return strcmp(ed->topic, TOPIC) == 0 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

EXPORTED int mosquitto_plugin_version(int count, const int *versions)
{
	for (int i = 0; i < count; i++) {
		if (versions[i] == 5)
			return 5;
	}
	return -1;
}

EXPORTED int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
				   struct mosquitto_opt *options, int count)
{
	struct clockwork *clockwork = calloc(1, sizeof(*clockwork));

	(void)options;
	(void)count;
	if (clockwork == NULL)
		return MOSQ_ERR_NOMEM;
	clockwork->identifier = identifier;
	*userdata = clockwork;
	if (mosquitto_callback_register(identifier, MOSQ_EVT_CONTROL, on_control, TOPIC,
					clockwork) != MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(identifier, MOSQ_EVT_TICK, on_tick, NULL, clockwork) !=
		    MOSQ_ERR_SUCCESS ||
	    mosquitto_callback_register(identifier, MOSQ_EVT_ACL_CHECK, on_acl_check, NULL,
					clockwork) != MOSQ_ERR_SUCCESS)
		return MOSQ_ERR_UNKNOWN;
	return MOSQ_ERR_SUCCESS;
}

EXPORTED int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int count)
{
	struct clockwork *clockwork = userdata;

	(void)options;
	(void)count;
	(void)mosquitto_callback_unregister(clockwork->identifier, MOSQ_EVT_CONTROL, on_control,
					    TOPIC);
	(void)mosquitto_callback_unregister(clockwork->identifier, MOSQ_EVT_TICK, on_tick, NULL);
	(void)mosquitto_callback_unregister(clockwork->identifier, MOSQ_EVT_ACL_CHECK, on_acl_check,
					    NULL);
	free(clockwork);
	return MOSQ_ERR_SUCCESS;
}
