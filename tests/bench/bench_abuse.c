/*
 * bench_abuse - clients that a broker has let in: two that mind their own business, and who floods.
 *
 *   bench_abuse pair PORT IDENTITY TOPIC RATE SECONDS
 *   bench_abuse devices PORT TRUST_DOMAIN IDENTITIES FIRST COUNT RATE SECONDS [plain]
 *   bench_abuse operator SOCKET CLIENT_ID RATE SECONDS
 *
 * pair: RATE messages a second from <prefix> to <prefix>:sub, QoS 1 in and QoS 0 out; one line of
 * JSON at the end: each message's microseconds from PUBLISH to delivery. devices: COUNT devices,
 * from IDENTITIES/FIRST.pem on, send RATE messages a second together, in turn a signed request for
 * an op that is not open and JSON of the largest size, nested as deep as goes. With `plain` the
 * same bytes without a hello, for a broker that would not answer it. operator: JSON that is no
 * batch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_hub.h"
#include "topic.h"

enum { DEVICES_MAX = 64, JSON_LEN = 12000, BATCH_LEN = 8192 };

/* --- pace --- */

struct pace {
	int64_t start_us;
	size_t rate;
	size_t total;
	size_t done;
};

static struct pace new_pace(const char *rate, const char *seconds)
{
	struct pace pace = {.start_us = bench_mono_us(), .rate = bench_number(rate, 100000)};

	pace.total = pace.rate * bench_number(seconds, 86400);
	return pace;
}

/* Milliseconds until the next one is due; 0: now. */
static int due_in_ms(const struct pace *pace)
{
	const int64_t due_us = pace->start_us + (int64_t)(pace->done * 1000000 / pace->rate);
	const int64_t left_us = due_us - bench_mono_us();

	return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

/* --- two that mind their own business --- */

static void take_deliveries(struct bench_client *subscriber, struct bench_figure *figure)
{
	struct bench_packet packet;
	int64_t sent_us;

	while (bench_take(subscriber, &packet)) {
		if (packet.kind != BENCH_PUBLISH || packet.payload_len != sizeof(sent_us))
			continue;
		memcpy(&sent_us, packet.payload, sizeof(sent_us));
		bench_note(figure, packet.at_us - sent_us);
	}
}

static void drop_all(struct bench_client *client)
{
	struct bench_packet packet;

	while (bench_take(client, &packet))
		;
}

/* A broker that is in trouble delivers late, and this ends late: all are waited for. */
static void run_pair_at(struct bench_client *publisher, struct bench_client *subscriber,
			const char *topic, struct pace *pace, struct bench_figure *figure)
{
	struct bench_client *both[2] = {publisher, subscriber};

	while (figure->count < pace->total) {
		const bool is_done = pace->done == pace->total;

		if (!is_done && due_in_ms(pace) == 0) {
			const int64_t now_us = bench_mono_us();

			(void)bench_publish(publisher, topic, (const char *)&now_us,
					    sizeof(now_us));
			pace->done++;
		}
		if (!bench_wait(both, 2, is_done ? BENCH_PATIENCE_MS : due_in_ms(pace)) && is_done)
			bench_fail("pair", "a message was not delivered");
		if (bench_closed_us(publisher) != 0 || bench_closed_us(subscriber) != 0)
			bench_fail("pair", "the broker has closed a connection");
		take_deliveries(subscriber, figure);
		drop_all(publisher);
	}
}

static int run_pair(char **args)
{
	const uint16_t port = (uint16_t)bench_number(args[0], UINT16_MAX);
	struct bench_client *subscriber = bench_tls(port, args[1]);
	struct bench_client *publisher = bench_tls(port, args[1]);
	struct bench_figure figure = {.name = "pair"};
	const char *id = strrchr(args[2], '/') + 1;
	char subscriber_id[64];
	struct bench_packet packet;
	struct pace pace;

	snprintf(subscriber_id, sizeof(subscriber_id), "%s:sub", id);
	bench_connect(publisher, id);
	bench_connect(subscriber, subscriber_id);
	bench_subscribe(subscriber, args[2]);
	bench_expect(subscriber, BENCH_SUBACK, &packet);
	pace = new_pace(args[3], args[4]);
	run_pair_at(publisher, subscriber, args[2], &pace, &figure);
	printf("{\"us\":[");
	for (size_t i = 0; i < figure.count; i++)
		printf("%s%lld", i == 0 ? "" : ",", (long long)figure.us[i]);
	puts("]}");
	free(figure.us);
	bench_client_free(publisher);
	bench_client_free(subscriber);
	return 0;
}

/* --- devices --- */

struct rogue {
	struct bench_identity identity;
	struct bench_session session;
	char *request; /* signed once, for this session: to sign costs us more than to send */
	size_t request_len;
};

static void enter(const struct bench_hubs *hubs, struct rogue *rogue, bool is_plain)
{
	if (is_plain) {
		rogue->session.identity = &rogue->identity;
		rogue->session.client = bench_program(hubs, &rogue->identity, ":agent");
	} else {
		bench_session_open(hubs, &rogue->identity, ":agent", KT_PHASE_STABLE, 0,
				   &rogue->session);
	}
}

/* For op 1, which is not open; bound to it, and good but for that. */
static void make_request(const struct bench_hubs *hubs, struct rogue *rogue)
{
	struct kt_message *message = bench_session_message(hubs, &rogue->session, KT_MESSAGE_CSR);
	struct kt_key *key = NULL;
	char challenge[44];

	message->u.csr.op = 1;
	kt_csr_binding(hubs->trust_domain, rogue->identity.device, 1, &message->u.csr.nonce,
		       challenge);
	if (kt_key_new(hubs->crypto, KT_ALG_ES256, &key) != KT_ERR_OK ||
	    kt_csr_new(hubs->crypto, key, rogue->identity.device, challenge, message->u.csr.csr,
		       &message->u.csr.csr_len) != KT_ERR_OK)
		bench_fail("csr", "cannot be made");
	kt_key_free(key);
	rogue->request = bench_session_seal(hubs, &rogue->session, message, &rogue->request_len);
}

static void send_request(const struct rogue *rogue)
{
	(void)bench_publish(rogue->session.client, KT_TOPIC_DEVICE_IN, rogue->request,
			    rogue->request_len);
}

static void send_json(const struct rogue *rogue)
{
	static char json[JSON_LEN];

	memset(json, '[', JSON_LEN);
	(void)bench_publish(rogue->session.client, KT_TOPIC_DEVICE_IN, json, JSON_LEN);
}

/* What comes back is counted and dropped; a broker may hang up on them, and then they are gone. */
static size_t drain(struct rogue *rogues, size_t count)
{
	struct bench_client *clients[DEVICES_MAX];
	struct bench_packet packet;
	size_t told = 0;

	for (size_t i = 0; i < count; i++)
		clients[i] = rogues[i].session.client;
	(void)bench_wait(clients, count, 0);
	for (size_t i = 0; i < count; i++) {
		while (bench_take(clients[i], &packet))
			told += packet.kind == BENCH_PUBLISH ? 1 : 0;
	}
	return told;
}

static int run_devices(int argc, char **args)
{
	static struct rogue rogues[DEVICES_MAX];
	const bool is_plain = argc == 8;
	const size_t first = bench_number(args[3], 100000);
	const size_t count = bench_number(args[4], DEVICES_MAX);
	struct bench_hubs hubs;
	struct pace pace;
	size_t told = 0;

	if (count == 0 || (is_plain && strcmp(args[7], "plain") != 0))
		bench_fail("devices", "see the head of bench_abuse.c");
	bench_hubs_init(&hubs, (uint16_t)bench_number(args[0], UINT16_MAX), args[1], args[2]);
	for (size_t i = 0; i < count; i++) {
		bench_identity_load(&hubs, first + i, &rogues[i].identity);
		enter(&hubs, &rogues[i], is_plain);
		make_request(&hubs, &rogues[i]);
	}
	for (pace = new_pace(args[5], args[6]); pace.done < pace.total; pace.done++) {
		const int wait_ms = due_in_ms(&pace);

		if (wait_ms > 0)
			(void)usleep((useconds_t)wait_ms * 1000);
		if (pace.done / count % 2 == 0)
			send_request(&rogues[pace.done % count]);
		else
			send_json(&rogues[pace.done % count]);
		told += drain(rogues, count);
	}
	printf("{\"sent\":%zu,\"told\":%zu}\n", pace.done, told);
	for (size_t i = 0; i < count; i++) {
		free(rogues[i].request);
		bench_session_clear(&rogues[i].session);
		bench_identity_clear(&rogues[i].identity);
	}
	kt_crypto_free(hubs.crypto);
	return 0;
}

/* --- an operator --- */

static int run_operator(char **args)
{
	struct bench_client *client = bench_unix(args[0]);
	static char batch[BATCH_LEN];
	size_t answers = 0;
	struct bench_packet packet;
	struct pace pace;

	bench_connect(client, args[1]);
	memset(batch, '{', sizeof(batch));
	for (pace = new_pace(args[2], args[3]); pace.done < pace.total; pace.done++) {
		const int wait_ms = due_in_ms(&pace);

		if (wait_ms > 0)
			(void)usleep((useconds_t)wait_ms * 1000);
		(void)bench_publish(client, KT_TOPIC_CONTROL, batch, sizeof(batch));
		(void)bench_wait(&client, 1, 0);
		while (bench_take(client, &packet))
			answers += packet.kind == BENCH_PUBLISH ? 1 : 0;
	}
	printf("{\"sent\":%zu,\"told\":%zu}\n", pace.done, answers);
	bench_client_free(client);
	return 0;
}

int main(int argc, char **argv)
{
	bench_raise_limits();
	if (argc == 7 && strcmp(argv[1], "pair") == 0 && strchr(argv[4], '/') != NULL)
		return run_pair(argv + 2);
	if ((argc == 9 || argc == 10) && strcmp(argv[1], "devices") == 0)
		return run_devices(argc - 2, argv + 2);
	if (argc == 6 && strcmp(argv[1], "operator") == 0)
		return run_operator(argv + 2);
	(void)fputs("usage: bench_abuse pair PORT IDENTITY TOPIC RATE SECONDS |\n"
		    "  devices PORT TRUST_DOMAIN IDENTITIES FIRST COUNT RATE SECONDS [plain] |\n"
		    "  operator SOCKET CLIENT_ID RATE SECONDS\n",
		    stderr);
	return 2;
}
