/*
 * bench_client - one MQTT 5 connection of a benchmark: over TLS with a device's certificate, or
 * over a Unix socket. Times of what comes in are taken when the kernel has it.
 *
 * A benchmark that cannot go on ends: no error is handed back. One thread.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	BENCH_CONNACK = 2,
	BENCH_PUBLISH = 3,
	BENCH_PUBACK = 4,
	BENCH_SUBACK = 9,
	BENCH_PATIENCE_MS = 20000
};

struct bench_client; /* opaque, owned */

struct bench_packet { /* views into the client's buffer, valid until its next bench_take */
	int kind;
	int64_t at_us;	/* monotonic: when it was there */
	uint8_t reason; /* CONNACK, PUBACK */
	const char *topic;
	size_t topic_len;
	const uint8_t *payload;
	size_t payload_len;
};

_Noreturn void bench_fail(const char *what, const char *detail);
/* Of an argument; ends the benchmark if @text is none, or more than @max. */
size_t bench_number(const char *text, size_t max);
int64_t bench_mono_us(void);
int64_t bench_wall_us(void);

/* TCP and a full TLS handshake with the chain and key of @identity (PEM). */
struct bench_client *bench_tls(uint16_t port, const char *identity);
struct bench_client *bench_unix(const char *path);
/* CONNECT with clean start and without keep-alive; ends the benchmark unless it is accepted. */
void bench_connect(struct bench_client *client, const char *client_id);
/* QoS 1. The moment before the first byte left. */
int64_t bench_publish(struct bench_client *client, const char *topic, const char *payload,
		      size_t len);
/* QoS 0; does not wait for the answer. */
void bench_subscribe(struct bench_client *client, const char *filter);
/* Waits until one of @clients has something, or its end has come; false: nothing within @wait_ms.
 */
bool bench_wait(struct bench_client *const *clients, size_t count, int wait_ms);
/* The next whole packet of what has come; false: none. PUBLISH is acknowledged by itself. */
bool bench_take(struct bench_client *client, struct bench_packet *out);
/* When the broker closed it; 0: it has not. */
int64_t bench_closed_us(const struct bench_client *client);
/* Its socket, still the client's. */
int bench_socket(const struct bench_client *client);
/* Waits for @kind, dropping others; ends the benchmark if it does not come. */
void bench_expect(struct bench_client *client, int kind, struct bench_packet *out);
/* Waits for the end; ends the benchmark if it does not come. */
int64_t bench_await_end(struct bench_client *client);
/* Without a word. NULL is fine. */
void bench_client_free(struct bench_client *client);
/* Forgets all but the connection, which stays open until this program ends. */
void bench_leave_open(struct bench_client *client);

/* As many descriptors as the machine allows. */
void bench_raise_limits(void);
/*
 * @count sessions, bench-<first>..., each with DIR/<i>.pem, many on their way at once. @out: their
 * clients, owned; NULL: they are left open.
 */
void bench_hold(uint16_t port, const char *dir, size_t first, size_t count,
		struct bench_client **out);

/* --- figures --- */

struct bench_figure { /* times in microseconds */
	const char *name;
	int64_t *us;
	size_t count;
	size_t room;
};

void bench_note(struct bench_figure *figure, int64_t us);
/* One line: NAME COUNT P50 P99 MAX; sorts. */
void bench_print(struct bench_figure *figure);

#endif
