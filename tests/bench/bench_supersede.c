/*
 * bench_supersede - how long what a rotation replaced stays in session.
 *
 *   bench_supersede PORT SOCKET IDENTITY_DIR TRUST_DOMAIN SESSIONS COUNT DRAIN_MS
 *
 * SESSIONS sessions stand beside. COUNT devices rotate, one after the other, with the agent and a
 * program of the hub in session. From `confirm` on: until `committed` has come (acknowledged) and
 * until the old :agent is closed (agent_closed). From `promoted` on: until `noted` has come (noted)
 * and until the program is closed (program_closed). As many more say no `promoted`: until the
 * program is closed, from the commit's drain (DRAIN_MS after `committed`) on (drained); a thread
 * looks at those programs, so that the rotations go on meanwhile. One line for each figure: NAME
 * COUNT P50 P99 MAX, in microseconds.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench_hub.h"

enum { SETTLE_US = 5000, TICK_WATCH_MS = 12000 };

struct bench {
	struct bench_hubs hubs;
	struct bench_client *operator_client;
	struct bench_figure acknowledged;
	struct bench_figure agent_closed;
	struct bench_figure noted;
	struct bench_figure program_closed;
	struct bench_figure drained;
	int drain_ms;
};

struct left { /* a program that is left to its drain */
	struct bench_client *client;
	int64_t from_us;
	int64_t closed_us; /* the watch's */
};

struct watch {
	struct left *left;
	size_t count;
	int epoll;
	int patience_ms;
	pthread_t thread;
};

struct hub {
	struct bench_identity old;
	struct bench_identity fresh;
	struct bench_session agent;
	struct bench_client *program;
	uint64_t op;
	struct kt_nonce nonce;
};

/* Up to the certificate. */
static void issue(struct bench *bench, struct hub *hub)
{
	struct kt_key *key = NULL;
	struct kt_message *message;
	char challenge[44];
	enum kt_err err = kt_key_new(bench->hubs.crypto, KT_ALG_ES256, &key);

	(void)bench_order(bench->operator_client, "rotate", hub->old.device, "");
	message = bench_session_expect(&hub->agent, KT_MESSAGE_ROTATE, NULL);
	hub->op = message->u.rotate.op;
	hub->nonce = message->u.rotate.nonce;
	kt_message_free(message);
	bench_await_answer(bench->operator_client);
	message = bench_session_message(&bench->hubs, &hub->agent, KT_MESSAGE_CSR);
	message->u.csr.op = hub->op;
	message->u.csr.nonce = hub->nonce;
	kt_csr_binding(bench->hubs.trust_domain, hub->old.device, hub->op, &hub->nonce, challenge);
	if (err == KT_ERR_OK)
		err = kt_csr_new(bench->hubs.crypto, key, hub->old.device, challenge,
				 message->u.csr.csr, &message->u.csr.csr_len);
	if (err != KT_ERR_OK)
		bench_fail("csr", kt_err_text(err));
	(void)bench_session_send(&bench->hubs, &hub->agent, message);
	message = bench_session_expect(&hub->agent, KT_MESSAGE_CERT, NULL);
	bench_identity_take(&bench->hubs, &hub->old, key, &message->u.cert.chain, &hub->fresh);
	kt_message_free(message);
}

/* Trial and commit: the old :agent must go. When the `committed` came. */
static int64_t commit(struct bench *bench, struct hub *hub)
{
	struct bench_session trial;
	struct bench_client *both[2];
	struct kt_message *message;
	int64_t sent_us;
	int64_t committed_us;

	bench_session_open(&bench->hubs, &hub->fresh, ":trial", KT_PHASE_CERT, hub->op, &trial);
	(void)usleep(SETTLE_US);
	message = bench_session_message(&bench->hubs, &trial, KT_MESSAGE_CONFIRM);
	message->u.confirm.op = hub->op;
	message->u.confirm.nonce = hub->nonce;
	message->u.confirm.fp = hub->fresh.fp;
	sent_us = bench_session_send(&bench->hubs, &trial, message);
	both[0] = hub->agent.client;
	both[1] = trial.client;
	while (bench_closed_us(hub->agent.client) == 0) {
		if (!bench_wait(both, 2, BENCH_PATIENCE_MS))
			bench_fail(hub->old.device, "its old agent stays");
	}
	message = bench_session_expect(&trial, KT_MESSAGE_COMMITTED, &committed_us);
	kt_message_free(message);
	bench_note(&bench->acknowledged, committed_us - sent_us);
	bench_note(&bench->agent_closed, bench_closed_us(hub->agent.client) - sent_us);
	bench_session_clear(&hub->agent);
	bench_session_open(&bench->hubs, &hub->fresh, ":agent", KT_PHASE_STABLE, 0, &hub->agent);
	bench_session_clear(&trial);
	return committed_us;
}

static void promote(struct bench *bench, struct hub *hub)
{
	struct kt_message *message =
		bench_session_message(&bench->hubs, &hub->agent, KT_MESSAGE_PROMOTED);
	struct bench_client *both[2] = {hub->agent.client, hub->program};
	int64_t noted_us;
	int64_t sent_us;

	(void)usleep(SETTLE_US);
	message->u.promoted.op = hub->op;
	message->u.promoted.fp = hub->fresh.fp;
	sent_us = bench_session_send(&bench->hubs, &hub->agent, message);
	while (bench_closed_us(hub->program) == 0) {
		if (!bench_wait(both, 2, BENCH_PATIENCE_MS))
			bench_fail(hub->old.device, "its program stays");
	}
	message = bench_session_expect(&hub->agent, KT_MESSAGE_NOTED, &noted_us);
	kt_message_free(message);
	bench_note(&bench->noted, noted_us - sent_us);
	bench_note(&bench->program_closed, bench_closed_us(hub->program) - sent_us);
}

/* @left: NULL, or what is to be known of the program, which is left to its drain. */
static void rotate_one(struct bench *bench, size_t device, struct left *left)
{
	struct hub hub;
	int64_t committed_us;

	memset(&hub, 0, sizeof(hub));
	bench_identity_load(&bench->hubs, device, &hub.old);
	hub.program = bench_program(&bench->hubs, &hub.old, "");
	bench_session_open(&bench->hubs, &hub.old, ":agent", KT_PHASE_STABLE, 0, &hub.agent);
	issue(bench, &hub);
	committed_us = commit(bench, &hub);
	if (left != NULL) {
		left->client = hub.program;
		left->from_us = committed_us + (int64_t)bench->drain_ms * 1000;
	} else {
		promote(bench, &hub);
		bench_client_free(hub.program);
	}
	bench_session_clear(&hub.agent);
	bench_identity_clear(&hub.old);
	bench_identity_clear(&hub.fresh);
}

/* --- the watch over those that are left to their drain --- */

static void *watch_closes(void *ctx)
{
	struct watch *watch = ctx;

	for (size_t closed = 0; closed < watch->count; closed++) {
		struct epoll_event event;
		struct left *left;

		if (epoll_wait(watch->epoll, &event, 1, watch->patience_ms) != 1)
			bench_fail("drain", "a program stays");
		left = event.data.ptr;
		left->closed_us = bench_mono_us();
		if (epoll_ctl(watch->epoll, EPOLL_CTL_DEL, bench_socket(left->client), NULL) != 0)
			bench_fail("drain", "epoll");
	}
	return NULL;
}

static void watch_start(struct watch *watch, size_t count, int drain_ms)
{
	watch->left = calloc(count, sizeof(*watch->left));
	watch->count = count;
	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	watch->patience_ms = drain_ms + BENCH_PATIENCE_MS;
	if (watch->left == NULL || watch->epoll < 0 ||
	    pthread_create(&watch->thread, NULL, watch_closes, watch) != 0)
		bench_fail("drain", "no watch");
}

static void watch_add(const struct watch *watch, struct left *left)
{
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = left};

	if (epoll_ctl(watch->epoll, EPOLL_CTL_ADD, bench_socket(left->client), &event) != 0)
		bench_fail("drain", "epoll");
}

static void watch_end(struct watch *watch, struct bench_figure *figure)
{
	(void)pthread_join(watch->thread, NULL);
	for (size_t i = 0; i < watch->count; i++) {
		bench_note(figure, watch->left[i].closed_us - watch->left[i].from_us);
		bench_client_free(watch->left[i].client);
	}
	free(watch->left);
	(void)close(watch->epoll);
}

int main(int argc, char **argv)
{
	static struct bench bench = {.acknowledged = {.name = "acknowledged"},
				     .agent_closed = {.name = "agent_closed"},
				     .noted = {.name = "noted"},
				     .program_closed = {.name = "program_closed"},
				     .drained = {.name = "drained"}};
	struct watch watch;
	size_t held;
	size_t count;

	if (argc != 8)
		return 2;
	bench_raise_limits();
	bench_hubs_init(&bench.hubs, (uint16_t)strtoul(argv[1], NULL, 10), argv[4], argv[3]);
	held = strtoul(argv[5], NULL, 10);
	count = strtoul(argv[6], NULL, 10);
	bench.drain_ms = (int)strtol(argv[7], NULL, 10);
	bench_hold(bench.hubs.port, bench.hubs.dir, 0, held, NULL);
	bench.operator_client = bench_operator(argv[2]);
	bench_print_ticks(bench.operator_client, TICK_WATCH_MS);
	for (size_t i = 0; i < count; i++)
		rotate_one(&bench, held + i, NULL);
	watch_start(&watch, count, bench.drain_ms);
	for (size_t i = 0; i < count; i++) {
		rotate_one(&bench, held + count + i, &watch.left[i]);
		watch_add(&watch, &watch.left[i]);
	}
	watch_end(&watch, &bench.drained);
	bench_print(&bench.acknowledged);
	bench_print(&bench.agent_closed);
	bench_print(&bench.noted);
	bench_print(&bench.program_closed);
	bench_print(&bench.drained);
	return 0;
}
