/*
 * Two links that open and close in the middle of a flood of messages; for test_links.sh, under
 * valgrind.
 *
 *   link_storm PORT ROOT_PEM ROOT_DER TOPIC ROUNDS
 *
 * Prints "ROUNDS rounds, N messages, N lost". One link lives for up to 1.2 s, the other for up to
 * 60 ms.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport_paho.h"

enum { LINKS = 2, FACTOR = 20, LIFE_MS = 60, WAIT_MS = 60000, SEED = 1 };

enum state { DOWN, OPENING, UP, CLOSING };

struct storm {
	struct kt_paho *paho;
	const struct kt_transport *port;
	const char *topic;
	enum state state[LINKS];
	int64_t until_ms[LINKS];
	unsigned rounds, messages, lost;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void open_links(struct storm *s)
{
	static const char *const ids[LINKS] = {"storm-a", "storm-b"};

	for (int i = 0; i < LINKS; i++) {
		const struct kt_link_request request = {.client_id = ids[i],
							.time_s = (int64_t)time(NULL)};

		if (s->state[i] == DOWN &&
		    s->port->open(s->port->ctx, (enum kt_link)i, &request, s->topic) == KT_ERR_OK)
			s->state[i] = OPENING;
	}
}

static void close_links(struct storm *s)
{
	for (int i = 0; i < LINKS; i++) {
		if (s->state[i] != UP || now_ms() < s->until_ms[i])
			continue;
		s->port->close(s->port->ctx, (enum kt_link)i);
		s->state[i] = CLOSING;
	}
}

static void take_event(struct storm *s)
{
	struct pollfd fd = {.fd = kt_paho_fd(s->paho), .events = POLLIN};
	struct kt_link_event event;

	(void)poll(&fd, 1, 1);
	while (kt_paho_take(s->paho, &event)) {
		switch (event.kind) {
		case KT_LINK_UP:
			s->state[event.link] = UP;
			s->until_ms[event.link] =
				now_ms() + rand() % LIFE_MS * (event.link == 0 ? FACTOR : 1);
			break;
		case KT_LINK_DOWN:
			s->state[event.link] = DOWN;
			s->rounds++;
			if (event.cause != KT_CAUSE_CLOSED) {
				s->lost++;
				(void)printf("lost: link %d, cause %d, code %d: %s\n",
					     (int)event.link, (int)event.cause, event.code,
					     event.detail);
			}
			break;
		case KT_LINK_MESSAGE:
			s->messages++;
			break;
		}
		kt_link_event_clear(&event);
	}
}

static size_t read_file(const char *path, uint8_t *out, size_t cap)
{
	FILE *file = fopen(path, "rb");
	size_t len = 0;

	if (file != NULL) {
		len = fread(out, 1, cap, file);
		(void)fclose(file);
	}
	return len;
}

int main(int argc, char **argv)
{
	static uint8_t root[4096];
	static struct kt_paho_config config;
	struct storm s = {0};
	struct kt_trust trust = {.trust_domain = "storm.example", .system_s = (int64_t)time(NULL)};
	int64_t deadline_ms = now_ms() + WAIT_MS;
	unsigned rounds;

	if (argc != 6)
		return 2;
	(void)snprintf(config.broker.host, sizeof(config.broker.host), "localhost");
	(void)snprintf(config.broker.port, sizeof(config.broker.port), "%s", argv[1]);
	config.root_pem = argv[2];
	config.min_tls = KT_TLS_1_3;
	config.connect_timeout_s = 20;
	config.keep_alive_s = 60;
	trust.root_der = (struct kt_bytes){root, read_file(argv[3], root, sizeof(root))};
	s.topic = argv[4];
	rounds = (unsigned)strtoul(argv[5], NULL, 10);
	if (kt_paho_new(&config, &s.paho) != KT_ERR_OK)
		return 1;
	srand(SEED);
	kt_paho_trust(s.paho, &trust);
	s.port = kt_paho_transport(s.paho);
	while (s.rounds < rounds && now_ms() < deadline_ms) {
		open_links(&s);
		take_event(&s);
		close_links(&s);
	}
	(void)printf("%u rounds, %u messages, %u lost\n", s.rounds, s.messages, s.lost);
	return kt_paho_free(s.paho) && s.rounds >= rounds ? 0 : 1;
}
