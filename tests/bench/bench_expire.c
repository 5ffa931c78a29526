/*
 * bench_expire - how long a session outlives its certificate, and site topics outlive a key's age.
 *
 *   bench_expire ends|age PORT SOCKET IDENTITY_DIR SESSIONS COUNT FIRST_S PER_SECOND
 *
 * SESSIONS sessions stand beside (bench-0 ...); the COUNT after them are the victims, whose moments
 * are FIRST_S (seconds since 1970) + i / PER_SECOND. ends: the last second of the certificate is
 * over then; from that moment on until the socket is closed (closed). age: the key has reached
 * max_key_age then; each victim publishes to a site topic all the time, from that moment on until
 * the first one is refused (refused). One line for each figure: NAME COUNT P50 P99 MAX, in
 * microseconds. Exit 1 if a session was closed, or a message refused, before its moment; 3 if the
 * first moment was over before all were connected.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_client.h"
#include "bench_hub.h"

enum {
	TICK_WATCH_MS = 12000,
	LEAD_US = 400000,
	PACE_MS = 10,
	PATIENCE_US = 15000000,
	TOO_LATE = 3
};

struct victim {
	int64_t at_us; /* its moment, wall clock */
	int64_t over_us;
	char topic[64];
};

struct bench {
	bool is_age;
	size_t count;
	struct victim *victims;
	struct bench_client **clients;
	struct bench_figure figure;
};

/* The moments that the fleet was made with (bench_fleet). */
static int64_t moment_of(int64_t first_s, size_t per_second, size_t i, bool is_age)
{
	if (is_age)
		return first_s * 1000000 + (int64_t)(i * 1000000 / per_second);
	return (first_s + (int64_t)(i / per_second)) * 1000000;
}

/* Wall time of a monotonic one of just now. */
static int64_t to_wall_us(int64_t mono_us)
{
	return mono_us + bench_wall_us() - bench_mono_us();
}

static void look_at(struct bench *bench, size_t i)
{
	struct victim *victim = &bench->victims[i];
	struct bench_packet packet;

	while (bench_take(bench->clients[i], &packet)) {
		if (bench->is_age && packet.kind == BENCH_PUBACK && packet.reason == 0x87 &&
		    victim->over_us == 0)
			victim->over_us = to_wall_us(packet.at_us);
	}
	if (bench_closed_us(bench->clients[i]) == 0)
		return;
	if (bench->is_age)
		bench_fail(victim->topic, "its session was closed");
	if (victim->over_us == 0)
		victim->over_us = to_wall_us(bench_closed_us(bench->clients[i]));
}

/* One round: those whose moment is near speak; false when all is over. */
static bool go_round(struct bench *bench)
{
	const int64_t now = bench_wall_us();
	bool is_over = true;

	for (size_t i = 0; i < bench->count; i++) {
		struct victim *victim = &bench->victims[i];

		if (victim->over_us != 0)
			continue;
		is_over = false;
		if (now > victim->at_us + PATIENCE_US)
			bench_fail(victim->topic, "it goes on and on");
		if (bench->is_age && now > victim->at_us - LEAD_US)
			(void)bench_publish(bench->clients[i], victim->topic, "x", 1);
	}
	if (bench_wait(bench->clients, bench->count, PACE_MS)) {
		for (size_t i = 0; i < bench->count; i++)
			look_at(bench, i);
	}
	if (bench->is_age)
		(void)usleep(PACE_MS * 1000);
	return !is_over;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	struct bench_client *operator_client;
	int64_t first_s;
	size_t held;
	size_t too_early = 0;

	if (argc != 9)
		return 2;
	bench.is_age = strcmp(argv[1], "age") == 0;
	bench.figure.name = bench.is_age ? "refused" : "closed";
	held = strtoul(argv[5], NULL, 10);
	bench.count = strtoul(argv[6], NULL, 10);
	first_s = (int64_t)strtoll(argv[7], NULL, 10);
	bench.victims = calloc(bench.count, sizeof(*bench.victims));
	bench.clients = calloc(bench.count, sizeof(struct bench_client *));
	if (bench.victims == NULL || bench.clients == NULL)
		bench_fail("victims", "no memory");
	bench_raise_limits();
	for (size_t i = 0; i < bench.count; i++) {
		bench.victims[i].at_us =
			moment_of(first_s, strtoul(argv[8], NULL, 10), i, bench.is_age);
		snprintf(bench.victims[i].topic, sizeof(bench.victims[i].topic),
			 "devices/bench-%zu/x", held + i);
	}
	bench_hold((uint16_t)strtoul(argv[2], NULL, 10), argv[4], held, bench.count, bench.clients);
	bench_hold((uint16_t)strtoul(argv[2], NULL, 10), argv[4], 0, held, NULL);
	operator_client = bench_operator(argv[3]);
	bench_print_ticks(operator_client, TICK_WATCH_MS);
	if (bench_wall_us() > first_s * 1000000 - LEAD_US)
		return TOO_LATE;
	while (go_round(&bench))
		;
	for (size_t i = 0; i < bench.count; i++) {
		too_early += bench.victims[i].over_us < bench.victims[i].at_us ? 1 : 0;
		bench_note(&bench.figure, bench.victims[i].over_us - bench.victims[i].at_us);
	}
	bench_print(&bench.figure);
	if (too_early > 0)
		fprintf(stderr, "bench: %zu of them too early\n", too_early);
	return too_early > 0 ? 1 : 0;
}
