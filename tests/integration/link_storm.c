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

#include "link_program.h"

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

static void open_links(struct storm *s)
{
	static const char *const ids[LINKS] = {"storm-a", "storm-b"};

	for (int i = 0; i < LINKS; i++) {
		if (s->state[i] == DOWN &&
		    link_program_open(s->paho, (enum kt_link)i, ids[i], s->topic))
			s->state[i] = OPENING;
	}
}

static void close_links(struct storm *s)
{
	for (int i = 0; i < LINKS; i++) {
		if (s->state[i] != UP || link_program_now_ms() < s->until_ms[i])
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
			s->until_ms[event.link] = link_program_now_ms() +
						  rand() % LIFE_MS * (event.link == 0 ? FACTOR : 1);
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

int main(int argc, char **argv)
{
	struct storm s = {0};
	int64_t deadline_ms = link_program_now_ms() + WAIT_MS;
	unsigned rounds = 0;

	if (argc != 6)
		return 2;
	s.topic = argv[4];
	rounds = (unsigned)strtoul(argv[5], NULL, 10);
	s.paho = link_program_begin(argv[1], argv[2], argv[3]);
	if (s.paho == NULL)
		return 1;
	srand(SEED);
	s.port = kt_paho_transport(s.paho);
	while (s.rounds < rounds && link_program_now_ms() < deadline_ms) {
		open_links(&s);
		take_event(&s);
		close_links(&s);
	}
	(void)printf("%u rounds, %u messages, %u lost\n", s.rounds, s.messages, s.lost);
	return kt_paho_free(s.paho) && s.rounds >= rounds ? 0 : 1;
}
