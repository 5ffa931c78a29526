/*
 * keyturn-threads - the plugin's threads at work, without a broker: for the thread sanitizer.
 *
 *   keyturn-threads CONF MOSQUITTO_CONF ROOT_PEM TRUST_DOMAIN OP_SOCK HUBS
 *
 * One process: the real setup, core, store and workers (near_broker.h), and HUBS hubs with the
 * product's agent core (fleet_hub.h), over links that are function calls (near_link.c). Hubs enrol
 * by ticket, all rotate, the configuration is read again, the plugin ends and starts again, in the
 * middle of a rotation too, all rotate once more, half of the hubs are revoked, with notice and at
 * once, and revocation lists are written all the time.
 * Prints how many lines of the plugin's log had which event.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable_file.h"
#include "fleet_hub.h"
#include "near_broker.h"
#include "near_link.h"
#include "secmem.h"
#include "topic.h"

enum {
	TICK_MS = 20,
	PATIENCE_MS = 150000,
	ANSWER_CAP = 65536,
	COMMAND_CAP = 512,
	FILE_CAP = 65536,
	AT_A_TIME = 16
};

struct harness {
	struct broker *broker;
	struct fleet_loop *loop;
	struct fleet_tls way;
	struct fleet_world world;
	struct fleet_hub **hubs;
	size_t hub_count;
	struct fleet_timer tick;
	struct broker_client operator_client;
	const char *socket;
	char answer[ANSWER_CAP]; /* "": none yet */
	int64_t deadline_ms;
};

static void on_tick_timer(void *ctx)
{
	struct harness *h = ctx;

	fleet_timer_set(h->loop, &h->tick, fleet_now_ms() + TICK_MS);
}

static void turn(struct harness *h, const char *what)
{
	fleet_loop_turn(h->loop);
	broker_tick(h->broker);
	if (fleet_now_ms() > h->deadline_ms)
		fleet_fail(what, "takes too long");
}

/* --- the operator --- */

static void on_answer(void *ctx, struct kt_bytes payload)
{
	struct harness *h = ctx;

	if (payload.len >= sizeof(h->answer))
		fleet_fail("answer", "is too long");
	memcpy(h->answer, payload.p, payload.len);
	h->answer[payload.len] = '\0';
}

static void on_operator_ended(void *ctx, bool was_kicked)
{
	(void)ctx;
	(void)was_kicked; /* the plugin was started anew: he comes again */
}

/* One command, and its answer in @h->answer. */
static void command(struct harness *h, const char *name, const char *more)
{
	char text[COMMAND_CAP];
	int len =
		snprintf(text, sizeof(text), "{\"commands\":[{\"command\":\"%s\"%s}]}", name, more);
	const struct kt_bytes none = {NULL, 0};

	if (h->operator_client.number == 0 &&
	    broker_connect(h->broker, &h->operator_client, "op:threads", h->socket, none) !=
		    KT_ANSWER_ACCEPT)
		fleet_fail("operator", "is refused");
	h->answer[0] = '\0';
	broker_publish(h->broker, &h->operator_client, KT_TOPIC_CONTROL,
		       (struct kt_bytes){(const uint8_t *)text, (size_t)len});
	while (h->answer[0] == '\0')
		turn(h, name);
	if (strstr(h->answer, "\"error\"") != NULL)
		fleet_fail(name, h->answer);
}

static void command_for(struct harness *h, const char *name, size_t hub, const char *more)
{
	char text[COMMAND_CAP / 2];

	(void)snprintf(text, sizeof(text), ",\"device\":\"thread-%zu\"%s", hub, more);
	command(h, name, text);
}

static void rotate_all(struct harness *h)
{
	char text[COMMAND_CAP / 2];

	(void)snprintf(text, sizeof(text), ",\"all\":true,\"expect\":%zu", h->hub_count);
	command(h, "rotate", text);
}

/* --- the hubs --- */

static bool are_settled(const struct harness *h, uint32_t generation)
{
	for (size_t i = 0; i < h->hub_count; i++) {
		struct fleet_hub_status status;

		fleet_hub_status(h->hubs[i], &status);
		if (!status.is_settled || status.generation != generation)
			return false;
	}
	return true;
}

static void await_generation(struct harness *h, uint32_t generation)
{
	while (!are_settled(h, generation))
		turn(h, "generation");
}

static void await_events(struct harness *h, const char *event, unsigned count)
{
	while (broker_events(h->broker, event) < count)
		turn(h, event);
}

static void start_hub(struct harness *h, size_t i)
{
	char *ticket;

	command_for(h, "createTicket", i, "");
	ticket = strstr(h->answer, "keyturn-ticket-1.");
	if (ticket == NULL)
		fleet_fail("ticket", h->answer);
	ticket[strcspn(ticket, "\"")] = '\0';
	h->hubs[i] = fleet_hub_new(&h->world, (uint32_t)i);
	if (fleet_hub_be_new(h->hubs[i], ticket) != KT_ERR_OK ||
	    fleet_hub_start(h->hubs[i]) != KT_ERR_OK)
		fleet_fail("hub", "does not start");
}

/* --- what happens --- */

static void play(struct harness *h)
{
	const size_t half = h->hub_count / 2;
	unsigned lists;

	for (size_t i = 0; i < h->hub_count; i++)
		start_hub(h, i);
	await_generation(h, 1);

	rotate_all(h);
	broker_reload(h->broker);
	for (size_t i = 0; i < half; i++)
		command_for(h, "quarantine", i, "");
	await_generation(h, 2);
	for (size_t i = 0; i < half; i++)
		command_for(h, "release", i, "");

	broker_restart(h->broker);
	await_generation(h, 2);
	rotate_all(h);
	await_events(h, "rotation.issued", (unsigned)(2 * h->hub_count + half));
	broker_restart(h->broker); /* some have their certificate, some do not */
	await_generation(h, 3);
	for (size_t i = 0; i < h->hub_count; i++)
		command_for(h, "challenge", i, "");
	await_events(h, "challenge.answered", (unsigned)h->hub_count);

	lists = broker_events(h->broker, "crl.written");
	for (size_t i = 0; i < half; i++)
		command_for(h, "revoke", i, i % 2 == 0 ? "" : ",\"emergency\":true");
	await_events(h, "client.refused", (unsigned)half);
	await_events(h, "crl.written", lists + 1);
}

static void print_figures(const struct harness *h)
{
	static const char *const events[] = {
		"plugin.refused",    "device.enrolled",	   "rotation.committed",
		"rotation.promoted", "challenge.answered", "device.revoked",
		"config.reloaded",   "clone.alarmed",	   "ledger.failed"};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		printf("%s %u\n", events[i], broker_events(h->broker, events[i]));
}

/* --- life --- */

static uint8_t *read_root(const char *path, struct kt_bytes *out)
{
	struct kt_secret *pem = NULL;
	uint8_t *storage = NULL;
	size_t count = 0;

	if (kt_file_read(kt_fs_posix(), path, FILE_CAP, &pem) != KT_ERR_OK ||
	    kt_pem_certs(kt_secret_bytes(pem), kt_secret_len(pem), out, 1, &count, &storage) !=
		    KT_ERR_OK)
		fleet_fail(path, "holds no certificate");
	kt_secret_free(pem);
	return storage;
}

int main(int argc, char **argv)
{
	static struct harness h;
	uint8_t *root;

	if (argc != 7) {
		fputs("usage: keyturn-threads CONF MOSQUITTO_CONF ROOT_PEM TRUST_DOMAIN OP_SOCK "
		      "HUBS\n",
		      stderr);
		return 2;
	}
	h.deadline_ms = fleet_now_ms() + PATIENCE_MS;
	h.broker = broker_new(argv[1], argv[2]);
	h.loop = fleet_loop_new();
	h.way.broker = h.broker;
	h.socket = argv[5];
	h.hub_count = strtoul(argv[6], NULL, 10);
	h.hubs = (struct fleet_hub **)fleet_alloc(NULL, h.hub_count, sizeof(*h.hubs));
	h.operator_client =
		(struct broker_client){.ctx = &h, .message = on_answer, .ended = on_operator_ended};
	h.world.net.loop = h.loop;
	h.world.net.gate.limit = AT_A_TIME;
	h.world.net.stats = fleet_stats_new();
	h.world.net.tls = &h.way;
	h.world.gate.limit = AT_A_TIME;
	h.world.trust_domain = argv[4];
	if (kt_crypto_new(&h.world.crypto) != KT_ERR_OK)
		fleet_fail("crypto", "no memory");
	root = read_root(argv[3], &h.world.root);
	h.tick = (struct fleet_timer){.due = on_tick_timer, .ctx = &h};
	on_tick_timer(&h);

	play(&h);
	print_figures(&h);

	for (size_t i = 0; i < h.hub_count; i++)
		fleet_hub_free(h.hubs[i]);
	broker_disconnect(h.broker, &h.operator_client);
	broker_free(h.broker);
	fleet_loop_free(h.loop);
	fleet_stats_free(h.world.net.stats);
	kt_crypto_free(h.world.crypto);
	free((void *)h.hubs);
	free(root);
	return 0;
}
