/*
 * The broker throws the only connection out while Paho makes the next one; for test_links.sh.
 *
 *   link_kicked PORT PLAIN_PORT ROOT_PEM ROOT_DER TOPIC
 *
 * The thread that serves Paho's connections ends with the last of them, and one whose TLS handshake
 * has just ended does not count, until its own thread has looked (every 10 ms). That one then is
 * up, and nobody reads what comes over it. This program holds that thread up, there, until the
 * other connection has been taken over. Prints "heard" when the link under test has had a message,
 * after "lost: ..." for each time it went down.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link_program.h"

enum { WAIT_MS = 20000, SETTLE_MS = 300 };

static const char first_id[] = "kicked-1";
static const char next_id[] = "kicked-2";
static const char *plain_port;
static atomic_bool is_armed;

/* MQTT 5, section 3.1: the first link's client id again, so that the broker ends the first. */
static void take_over(void)
{
	static const uint8_t head[] = {
		0x10, 13 + sizeof(first_id) - 1, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0,
		0,    sizeof(first_id) - 1};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t answer[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_port = htons((uint16_t)strtoul(plain_port, NULL, 10));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
	    send(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    send(fd, first_id, sizeof(first_id) - 1, 0) != (ssize_t)sizeof(first_id) - 1 ||
	    recv(fd, answer, sizeof(answer), 0) < 4 || answer[0] != 0x20 || answer[3] != 0) {
		(void)printf("lost: the take-over\n");
		exit(1);
	}
	(void)poll(NULL, 0, SETTLE_MS); /* Paho's own thread reads the broker's good-bye */
	(void)close(fd);
}

/* In place of the C library's: Paho's connect learns that its socket, or TLS, is ready. */
__attribute__((visibility("default"))) int sem_trywait(sem_t *sem)
{
	int (*real)(sem_t *) = NULL;
	void *found = dlsym(RTLD_NEXT, "sem_trywait");
	int rc = 0;

	memcpy(&real, &found, sizeof(real));
	rc = real(sem);
	if (rc == 0 && atomic_exchange(&is_armed, false))
		take_over();
	return rc;
}

static bool next_event(struct kt_paho *paho, struct kt_link_event *event, int64_t until_ms)
{
	while (!kt_paho_take(paho, event)) {
		struct pollfd fd = {.fd = kt_paho_fd(paho), .events = POLLIN};

		if (link_program_now_ms() >= until_ms)
			return false;
		(void)poll(&fd, 1, 100);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct kt_paho *paho = NULL;
	struct kt_link_event event;
	const int64_t until_ms = link_program_now_ms() + WAIT_MS;
	bool is_up = false;

	if (argc != 6)
		return 2;
	plain_port = argv[2];
	paho = link_program_begin(argv[1], argv[3], argv[4]);
	if (paho == NULL || !link_program_open(paho, KT_LINK_TRIAL, first_id, argv[5]))
		return 1;
	while (next_event(paho, &event, until_ms)) {
		const enum kt_link link = event.link;
		const enum kt_link_event_kind kind = event.kind;

		kt_link_event_clear(&event);
		if (link == KT_LINK_TRIAL && kind == KT_LINK_UP) {
			atomic_store(&is_armed, true);
			(void)link_program_open(paho, KT_LINK_AGENT, next_id, argv[5]);
		}
		if (link != KT_LINK_AGENT)
			continue;
		is_up = kind == KT_LINK_UP || (is_up && kind != KT_LINK_DOWN);
		if (kind == KT_LINK_DOWN) {
			(void)printf("lost: %s\n", event.detail);
			(void)link_program_open(paho, KT_LINK_AGENT, next_id, argv[5]);
		}
		if (kind == KT_LINK_MESSAGE && is_up && !atomic_load(&is_armed)) {
			(void)printf("heard\n");
			return kt_paho_free(paho) ? 0 : 1;
		}
	}
	(void)printf("lost: it is %s and hears nothing\n", is_up ? "up" : "down");
	return 1;
}
