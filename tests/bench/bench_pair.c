/*
 * bench_pair - two clients of a broker that mind their own business, until they are told to stop.
 *
 *   bench_pair PORT IDENTITY TOPIC RATE
 *
 * RATE messages a second from <id> to <id>:pair over mutual TLS, QoS 1 in and QoS 0 out; <id> is
 * what follows the last slash of TOPIC. Waits for the broker, where it is not there yet. "ready" on
 * stdout when both are connected; when stdin ends, and all that was sent has come, one line of
 * JSON: when both were in, when each message was published (monotonic, microseconds), and how long
 * it took to its delivery.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_client.h"

enum { WAIT_FOR_BROKER_MS = 180000, TRY_EVERY_US = 2000 };

struct pair {
	struct bench_client *publisher;
	struct bench_client *subscriber;
	const char *topic;
	int64_t ready_us;
	struct bench_figure at; /* when it left */
	struct bench_figure us; /* until it came */
};

static bool is_there(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool is_up;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		bench_fail("socket", strerror(errno));
	is_up = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	(void)close(fd);
	return is_up;
}

static void await_broker(uint16_t port)
{
	const int64_t until_us = bench_mono_us() + (int64_t)WAIT_FOR_BROKER_MS * 1000;

	while (!is_there(port)) {
		if (bench_mono_us() > until_us)
			bench_fail("broker", "does not listen");
		(void)usleep(TRY_EVERY_US);
	}
}

static void enter(struct pair *pair, uint16_t port, const char *identity)
{
	const char *id = strrchr(pair->topic, '/') + 1;
	char subscriber_id[96];
	struct bench_packet packet;

	snprintf(subscriber_id, sizeof(subscriber_id), "%s:pair", id);
	pair->publisher = bench_tls(port, identity);
	bench_connect(pair->publisher, id);
	pair->subscriber = bench_tls(port, identity);
	bench_connect(pair->subscriber, subscriber_id);
	bench_subscribe(pair->subscriber, pair->topic);
	bench_expect(pair->subscriber, BENCH_SUBACK, &packet);
	pair->ready_us = bench_mono_us();
}

static void publish(struct pair *pair)
{
	const int64_t now_us = bench_mono_us();

	(void)bench_publish(pair->publisher, pair->topic, (const char *)&now_us, sizeof(now_us));
}

static void take(struct pair *pair)
{
	struct bench_packet packet;
	int64_t sent_us;

	while (bench_take(pair->publisher, &packet))
		;
	while (bench_take(pair->subscriber, &packet)) {
		if (packet.kind != BENCH_PUBLISH || packet.payload_len != sizeof(sent_us))
			continue;
		memcpy(&sent_us, packet.payload, sizeof(sent_us));
		bench_note(&pair->at, sent_us);
		bench_note(&pair->us, packet.at_us - sent_us);
	}
}

/* Nobody writes to stdin: what can be read there is its end. */
static bool is_over(void)
{
	struct pollfd polled = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&polled, 1, 0) > 0;
}

static void run(struct pair *pair, size_t rate)
{
	struct bench_client *both[2] = {pair->publisher, pair->subscriber};
	size_t sent = 0;
	bool has_end = false;

	while (!(has_end = has_end || is_over()) || pair->us.count < sent) {
		const int64_t due_us = pair->ready_us + (int64_t)(sent * 1000000 / rate);
		const int64_t left_us = due_us - bench_mono_us();

		if (!has_end && left_us <= 0) {
			publish(pair);
			sent++;
		}
		if (!bench_wait(both, 2,
				has_end	       ? BENCH_PATIENCE_MS
				: left_us <= 0 ? 0
					       : (int)((left_us + 999) / 1000)) &&
		    has_end)
			bench_fail("pair", "a message was not delivered");
		if (bench_closed_us(pair->publisher) != 0 || bench_closed_us(pair->subscriber) != 0)
			bench_fail("pair", "the broker has closed a connection");
		take(pair);
	}
}

static void print(const char *name, const struct bench_figure *figure)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < figure->count; i++)
		printf("%s%lld", i == 0 ? "" : ",", (long long)figure->us[i]);
	printf("]");
}

int main(int argc, char **argv)
{
	struct pair pair = {.at = {.name = "at"}, .us = {.name = "us"}};
	uint16_t port;
	size_t rate;

	if (argc != 5 || strchr(argv[3], '/') == NULL) {
		(void)fputs("usage: bench_pair PORT IDENTITY TOPIC RATE\n", stderr);
		return 2;
	}
	port = (uint16_t)bench_number(argv[1], UINT16_MAX);
	pair.topic = argv[3];
	rate = bench_number(argv[4], 100000);
	if (rate == 0)
		bench_fail("rate", "none");
	await_broker(port);
	enter(&pair, port, argv[2]);
	puts("ready");
	(void)fflush(stdout);
	run(&pair, rate);
	printf("{\"ready_us\":%lld", (long long)pair.ready_us);
	print("at_us", &pair.at);
	print("us", &pair.us);
	puts("}");
	free(pair.at.us);
	free(pair.us.us);
	bench_client_free(pair.publisher);
	bench_client_free(pair.subscriber);
	return 0;
}
