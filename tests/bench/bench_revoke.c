/*
 * bench_revoke - how long a revoke takes, with so many sessions live.
 *
 *   bench_revoke PORT SOCKET KICK_PORT KICK_SOCKET IDENTITY_DIR TRUST_DOMAIN SYNC_FILE SESSIONS
 * COUNT
 *
 * PORT, SOCKET: a broker with Keyturn; KICK_*: one with bench_kick alone. Both hold SESSIONS - 1
 * sessions all the time (bench-0 ...); the last one is the victim, which is connected just before.
 * COUNT times in turn, from the operator's PUBLISH on: a bare kick until the victim's socket is
 * closed; an append and fdatasync of one line as long as a revoke's in the ledger; a revoke at once
 * until closed and until answered; a revoke with notice until closed and answered. Each revokes
 * another device: SESSIONS - 1 + 2 * COUNT of them. One line for each figure: NAME COUNT P50 P99
 * MAX, in microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_hub.h"

enum { LINE_LEN = 330, SETTLE_US = 5000, TICK_WATCH_MS = 12000 };

struct bench {
	struct bench_hubs hubs;
	uint16_t kick_port;
	struct bench_client *operator_client;
	struct bench_client *kicker;
	int sync_fd;
	struct bench_figure kick;
	struct bench_figure sync;
	struct bench_figure closed;
	struct bench_figure acknowledged;
	struct bench_figure notice_closed;
	struct bench_figure notice_acknowledged;
};

static void kick_one(struct bench *bench, size_t device)
{
	char path[BENCH_PATH];
	char id[64];
	struct bench_client *victim;
	int64_t sent_us;

	snprintf(path, sizeof(path), "%s/%zu.pem", bench->hubs.dir, device);
	snprintf(id, sizeof(id), "bench-%zu:agent", device);
	victim = bench_tls(bench->kick_port, path);
	bench_connect(victim, id);
	(void)usleep(SETTLE_US);
	sent_us = bench_publish(bench->kicker, "$CONTROL/bench/v1", id, strlen(id));
	bench_note(&bench->kick, bench_await_end(victim) - sent_us);
	bench_client_free(victim);
}

static void sync_one(struct bench *bench)
{
	char line[LINE_LEN];
	int64_t start_us;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	start_us = bench_mono_us();
	if (write(bench->sync_fd, line, sizeof(line)) != (ssize_t)sizeof(line) ||
	    fdatasync(bench->sync_fd) != 0)
		bench_fail("fdatasync", strerror(errno));
	bench_note(&bench->sync, bench_mono_us() - start_us);
}

/* Its agent is in session, and has said hello. */
static void revoke_one(struct bench *bench, size_t device, const char *form,
		       struct bench_figure *closed, struct bench_figure *acknowledged)
{
	struct bench_identity identity;
	struct bench_session agent;
	struct bench_client *both[2];
	struct bench_packet packet;
	int64_t answered_us = 0;
	int64_t sent_us;
	bool is_answered = false;

	bench_identity_load(&bench->hubs, device, &identity);
	bench_session_open(&bench->hubs, &identity, ":agent", KT_PHASE_STABLE, 0, &agent);
	(void)usleep(SETTLE_US);
	both[0] = agent.client;
	both[1] = bench->operator_client;
	sent_us = bench_order(bench->operator_client, "revoke", identity.device, form);
	while (!is_answered || bench_closed_us(agent.client) == 0) {
		if (!bench_wait(both, 2, BENCH_PATIENCE_MS))
			bench_fail(identity.device, "nothing comes of its revoke");
		is_answered = is_answered || bench_has_answer(bench->operator_client, &answered_us);
		while (bench_take(agent.client, &packet)) /* the notice is acknowledged by it */
			;
	}
	bench_note(closed, bench_closed_us(agent.client) - sent_us);
	bench_note(acknowledged, answered_us - sent_us);
	bench_session_clear(&agent);
	bench_identity_clear(&identity);
}

int main(int argc, char **argv)
{
	static struct bench bench = {.kick = {.name = "kick"},
				     .sync = {.name = "fdatasync"},
				     .closed = {.name = "closed"},
				     .acknowledged = {.name = "acknowledged"},
				     .notice_closed = {.name = "notice_closed"},
				     .notice_acknowledged = {.name = "notice_acknowledged"}};
	size_t held;
	size_t count;

	if (argc != 10)
		return 2;
	bench_raise_limits();
	bench_hubs_init(&bench.hubs, (uint16_t)strtoul(argv[1], NULL, 10), argv[6], argv[5]);
	bench.kick_port = (uint16_t)strtoul(argv[3], NULL, 10);
	held = strtoul(argv[8], NULL, 10) - 1;
	count = strtoul(argv[9], NULL, 10);
	bench.sync_fd = open(argv[7], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (bench.sync_fd < 0)
		bench_fail(argv[7], strerror(errno));
	bench_hold(bench.hubs.port, bench.hubs.dir, 0, held, NULL);
	bench_hold(bench.kick_port, bench.hubs.dir, 0, held, NULL);
	bench.operator_client = bench_operator(argv[2]);
	bench.kicker = bench_operator(argv[4]);
	bench_print_ticks(bench.operator_client, TICK_WATCH_MS);
	for (size_t i = 0; i < count; i++) {
		sync_one(&bench); /* the broker has long written its ledger, and its index */
		/* neither of the two is always the one that comes after a long wait */
		if (i % 2 == 0)
			kick_one(&bench, held + i);
		revoke_one(&bench, held + i, ",\"emergency\":true", &bench.closed,
			   &bench.acknowledged);
		if (i % 2 == 1)
			kick_one(&bench, held + i);
		revoke_one(&bench, held + count + i, "", &bench.notice_closed,
			   &bench.notice_acknowledged);
	}
	bench_print(&bench.kick);
	bench_print(&bench.sync);
	bench_print(&bench.closed);
	bench_print(&bench.acknowledged);
	bench_print(&bench.notice_closed);
	bench_print(&bench.notice_acknowledged);
	return 0;
}
