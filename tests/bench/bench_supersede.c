/*
 * bench_supersede - how long what a rotation replaced stays in session.
 *
 *   bench_supersede PORT SOCKET IDENTITY_DIR TRUST_DOMAIN SESSIONS COUNT DRAIN_MS
 *
 * SESSIONS sessions stand beside. COUNT devices rotate, one after the other, with the agent and a
 * program of the hub in session. From `confirm` on: until `committed` has come (acknowledged) and
 * until the old :agent is closed (agent_closed). From `promoted` on: until `noted` has come (noted)
 * and until the program is closed (program_closed). As many more say no `promoted`: until the
 * program is closed, from the commit's drain (DRAIN_MS after `committed`) on (drained). One line
 * for each figure: NAME COUNT P50 P99 MAX, in microseconds.
 */
#include <stdlib.h>
#include <string.h>
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
	int64_t drain_us;
};

struct waiting { /* programs whose drain runs */
	struct bench_client **client;
	int64_t *from_us;
	size_t count;
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

/* @waiting: NULL, or where the program goes that is left to its drain. */
static void rotate_one(struct bench *bench, size_t device, struct waiting *waiting)
{
	struct hub hub;
	int64_t committed_us;

	memset(&hub, 0, sizeof(hub));
	bench_identity_load(&bench->hubs, device, &hub.old);
	hub.program = bench_program(&bench->hubs, &hub.old, "");
	bench_session_open(&bench->hubs, &hub.old, ":agent", KT_PHASE_STABLE, 0, &hub.agent);
	issue(bench, &hub);
	committed_us = commit(bench, &hub);
	if (waiting != NULL) {
		waiting->client[waiting->count] = hub.program;
		waiting->from_us[waiting->count++] = committed_us + bench->drain_us;
	} else {
		promote(bench, &hub);
		bench_client_free(hub.program);
	}
	bench_session_clear(&hub.agent);
	bench_identity_clear(&hub.old);
	bench_identity_clear(&hub.fresh);
}

static size_t still_open(const struct waiting *waiting)
{
	size_t open = 0;

	for (size_t i = 0; i < waiting->count; i++)
		open += bench_closed_us(waiting->client[i]) == 0 ? 1 : 0;
	return open;
}

/*
 * Some rotations, as many as fit into half a drain: nobody looks at the programs before all of them
 * are made. How many it were.
 */
static size_t drain_some(struct bench *bench, size_t first, size_t count, struct waiting *waiting)
{
	int64_t until_us;

	waiting->count = 0;
	do {
		rotate_one(bench, first + waiting->count, waiting);
	} while (waiting->count < count &&
		 bench_mono_us() < waiting->from_us[0] - bench->drain_us / 2);
	until_us = bench_mono_us() + bench->drain_us + (int64_t)BENCH_PATIENCE_MS * 1000;
	while (still_open(waiting) > 0) {
		if (bench_mono_us() > until_us)
			bench_fail("drain", "a program stays");
		(void)bench_wait(waiting->client, waiting->count, BENCH_PATIENCE_MS);
	}
	for (size_t i = 0; i < waiting->count; i++) {
		bench_note(&bench->drained,
			   bench_closed_us(waiting->client[i]) - waiting->from_us[i]);
		bench_client_free(waiting->client[i]);
	}
	return waiting->count;
}

int main(int argc, char **argv)
{
	enum { AT_ONCE = 100 };
	static struct bench bench = {.acknowledged = {.name = "acknowledged"},
				     .agent_closed = {.name = "agent_closed"},
				     .noted = {.name = "noted"},
				     .program_closed = {.name = "program_closed"},
				     .drained = {.name = "drained"}};
	struct bench_client *clients[AT_ONCE];
	int64_t from_us[AT_ONCE];
	struct waiting waiting = {.client = clients, .from_us = from_us};
	size_t held;
	size_t count;

	if (argc != 8)
		return 2;
	bench_raise_limits();
	bench_hubs_init(&bench.hubs, (uint16_t)strtoul(argv[1], NULL, 10), argv[4], argv[3]);
	held = strtoul(argv[5], NULL, 10);
	count = strtoul(argv[6], NULL, 10);
	bench.drain_us = (int64_t)strtoul(argv[7], NULL, 10) * 1000;
	bench_hold(bench.hubs.port, bench.hubs.dir, 0, held, NULL);
	bench.operator_client = bench_operator(argv[2]);
	bench_print_ticks(bench.operator_client, TICK_WATCH_MS);
	for (size_t i = 0; i < count; i++)
		rotate_one(&bench, held + i, NULL);
	for (size_t i = 0; i < count;)
		i += drain_some(&bench, held + count + i, count - i < AT_ONCE ? count - i : AT_ONCE,
				&waiting);
	bench_print(&bench.acknowledged);
	bench_print(&bench.agent_closed);
	bench_print(&bench.noted);
	bench_print(&bench.program_closed);
	bench_print(&bench.drained);
	return 0;
}
