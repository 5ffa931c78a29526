/* The scheduler, the faults, and the phases of one run: enrolment, trouble, calm. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_alloc.h"
#include "sim.h"
#include "sim_crypto.h"

enum {
	STEPS_MIN = 250,    /* of trouble */
	STEPS_MAX = 3000,   /* then it is calm, whatever was reached */
	PRESS_STEPS = 8000, /* and what is missing is done in calm */
	CALM_STEPS = 20000, /* LV: everything is well within these */
	CALM_MS = 6 * 3600 * 1000,
	SETUP_MS = 600000,
	HELP_MS = 600000, /* at the latest */
	LOSSES = 350,	  /* in a thousand messages */
	LOSSES_MS = 40000,
	WELCOMES = 150,
	START_ENOMEM = 500,
	SPOILT_TICKETS = 4,
	SPOILT_MS = 21000,
	SPOILT_SOON_MS = 600,
	ENOMEM_WITHIN = 150, /* allocations */
	CLOCK_JUMPS = 8,
	EVERY_MS = 300000, /* between two challenges, at the most, beside their deadline */
	FOCUS_APPS = 0,	   /* seeds modulo 8 */
	FOCUS_MUTE = 1,
	FOCUS_LOSSES = 2,
	FOCUS_LINKS = 3,
	FOCUS_DISKS = 4,
	FOCUS_CLONES = 5,
	FOCUS_LEDGER = 6,
	FOCUS_CLAIMS = 7,
	UNCUT = 2 /* modulo 4: in calm nobody's connection is cut once more */
};

static const char *const fault_texts[SIM_FAULT_COUNT] = {
#define SIM_FAULT_TEXT(code, text) [SIM_##code] = (text),
	SIM_FAULT_LIST(SIM_FAULT_TEXT)
#undef SIM_FAULT_TEXT
};

const char *sim_fault_text(enum sim_fault fault)
{
	return fault_texts[fault];
}

void *sim_alloc(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count > 0 ? count : 1, size);

	if (p == NULL)
		abort();
	return p;
}

/* --- events: a heap by time, then by order --- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
	struct sim_event c = *a;

	*a = *b;
	*b = c;
}

void sim_later(struct sim *sim, int64_t delay_ms, const struct sim_event *event)
{
	size_t i = sim->heap_count++;

	if (sim->heap_count > sim->heap_cap) {
		sim->heap_cap = sim->heap_cap == 0 ? 256 : 2 * sim->heap_cap;
		sim->heap = sim_alloc(sim->heap, sim->heap_cap, sizeof(*sim->heap));
	}
	sim->heap[i] = *event;
	sim->heap[i].at_ms = sim->now_ms + delay_ms;
	sim->heap[i].order = sim->order++;
	while (i > 0 && is_before(&sim->heap[i], &sim->heap[(i - 1) / 2])) {
		swap(&sim->heap[i], &sim->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
}

static bool next_event(struct sim *sim, struct sim_event *out)
{
	size_t i = 0;

	if (sim->heap_count == 0)
		return false;
	*out = sim->heap[0];
	sim->heap[0] = sim->heap[--sim->heap_count];
	for (;;) {
		size_t least = i;

		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < sim->heap_count; c++) {
			if (is_before(&sim->heap[c], &sim->heap[least]))
				least = c;
		}
		if (least == i)
			return true;
		swap(&sim->heap[i], &sim->heap[least]);
		i = least;
	}
}

int64_t sim_some_ms(struct sim *sim, int64_t max_ms)
{
	return (int64_t)sim_below(&sim->schedule, (uint64_t)max_ms + 1);
}

/* --- faults --- */

/* How often, in a thousand occasions, at the most. Occasions differ: a call, a message, a trouble.
 */
static const unsigned usual[SIM_FAULT_COUNT] = {
	[SIM_LOSE] = 80,
	[SIM_DUPLICATE] = 80,
	[SIM_DELAY] = 80,
	[SIM_CUT] = 400,
	[SIM_NO_CONNECT] = 80,
	[SIM_ANSWER_LOST] = 80,
	[SIM_LATE_DOWN] = 150,
	[SIM_HUB_POWER] = 12,
	[SIM_HUB_KILL] = 200,
	[SIM_HUB_EIO] = 12,
	[SIM_HUB_ENOSPC] = 12,
	[SIM_HUB_ENOMEM] = 15,
	[SIM_HUB_CLOCK] = 150,
	[SIM_HOOK_FAILS] = 200,
	[SIM_SERVER_POWER] = 4,
	[SIM_SERVER_KILL] = 120,
	[SIM_SERVER_EIO] = 3,
	[SIM_SERVER_ENOSPC] = 3,
	[SIM_SERVER_ENOMEM] = 8,
	[SIM_SERVER_CLOCK] = 150,
	[SIM_SERVER_RELOAD] = 200,
	[SIM_QUEUE_FULL] = 20,
	[SIM_SLOW_DISK] = 100,
	[SIM_INDEX_OLD] = 60,
	[SIM_INDEX_LOST] = 60,
	[SIM_INDEX_DAMAGED] = 60,
	[SIM_LEDGER_OLD] = 60,
	[SIM_LEDGER_CUT] = 60,
	[SIM_ACCEPT] = 500,
	[SIM_BOTH_OLD] = 20,
	[SIM_CLONE] = 60,
	[SIM_ROTATE] = 1000,
	[SIM_CANCEL] = 250,
	[SIM_REVOKE] = 50,
	[SIM_QUARANTINE] = 100,
	[SIM_RELEASE] = 150,
	[SIM_DELETE] = 25,
	[SIM_CHALLENGE] = 150,
	[SIM_CAMPAIGN] = 700,
	[SIM_STEER] = 500,
	[SIM_TICKET] = 60,
	[SIM_WAKE_APP] = 300,
	[SIM_STRANGE] = 1000,
	[SIM_SLOW_WORKER] = 40,
	[SIM_WELCOME] = 20,
	[SIM_INDEX_FOREIGN] = 300,
	[SIM_LEDGER_DAMAGED] = 60,
	[SIM_HUB_SPOILT] = 50,
	[SIM_WRONG_TICKET] = 200,
	[SIM_KICK_REFUSED] = 50,
	[SIM_PROMOTED_REFUSED] = 5,
	[SIM_HUB_START_ENOMEM] = 30,
	[SIM_HUB_KEY_EIO] = 1000,
};

/* Some runs look into a corner that the others hardly see. */
static void focus(struct sim *sim)
{
	switch (sim->options.seed % 8) {
	case FOCUS_APPS: /* the hubs' own programs, while the ledger gives up */
		sim->per_mille[SIM_WAKE_APP] = 1000;
		sim->per_mille[SIM_HOOK_FAILS] = 300;
		sim->per_mille[SIM_PROMOTED_REFUSED] = 80;
		sim->per_mille[SIM_DELAY] = 200;
		break;
	case FOCUS_MUTE: /* something between hub and broker hides every refusal */
		sim->is_mute = true;
		sim->per_mille[SIM_CANCEL] = 400;
		break;
	case FOCUS_LINKS: /* wiped hubs whose links live on, claims that do */
		sim->per_mille[SIM_REVOKE] = 500;
		sim->per_mille[SIM_LATE_DOWN] = 700;
		sim->per_mille[SIM_LOSE] = 250;
		sim->per_mille[SIM_STRANGE] = 1000;
		break;
	case FOCUS_LOSSES: /* messages get lost, and no new connection helps */
		sim->per_mille[SIM_LOSE] = 250;
		sim->per_mille[SIM_CUT] = 20;
		sim->per_mille[SIM_SERVER_KILL] = 20;
		break;
	case FOCUS_DISKS:
		sim->per_mille[SIM_HUB_SPOILT] = 400;
		sim->per_mille[SIM_HUB_KILL] = 1000;
		sim->per_mille[SIM_SERVER_EIO] = 12;
		sim->per_mille[SIM_SERVER_ENOSPC] = 8;
		sim->per_mille[SIM_INDEX_DAMAGED] = 500;
		sim->per_mille[SIM_HUB_POWER] = 40;
		sim->per_mille[SIM_HUB_EIO] = 50;
		sim->per_mille[SIM_HUB_ENOSPC] = 30;
		sim->per_mille[SIM_HUB_ENOMEM] = 60;
		sim->per_mille[SIM_HUB_KEY_EIO] = 500;
		sim->per_mille[SIM_HUB_START_ENOMEM] = 300;
		sim->per_mille[SIM_TICKET] = 600;
		sim->per_mille[SIM_WRONG_TICKET] = 500;
		break;
	case FOCUS_CLAIMS: /* enrolment in the middle of everything */
		sim->per_mille[SIM_TICKET] = 700;
		sim->per_mille[SIM_WRONG_TICKET] = 300;
		sim->per_mille[SIM_LOSE] = 200;
		sim->per_mille[SIM_DELAY] = 200;
		sim->per_mille[SIM_DUPLICATE] = 200;
		sim->per_mille[SIM_SLOW_WORKER] = 300;
		sim->per_mille[SIM_LATE_DOWN] = 700;
		break;
	case FOCUS_CLONES: /* two hubs with one identity, and slow workers */
		sim->per_mille[SIM_CLONE] = 500;
		sim->per_mille[SIM_SLOW_WORKER] = 200;
		sim->per_mille[SIM_CANCEL] = 300;
		break;
	case FOCUS_LEDGER: /* ledgers of old, and what an accepted one brings */
		sim->per_mille[SIM_LEDGER_OLD] = 300;
		sim->per_mille[SIM_LEDGER_CUT] = 200;
		sim->per_mille[SIM_ACCEPT] = 900;
		sim->per_mille[SIM_CLONE] = 700;
		sim->per_mille[SIM_INDEX_LOST] = 300;
		sim->per_mille[SIM_SERVER_POWER] = 15;
		break;
	default:
		break;
	}
}

/* Each run has its own mixture: some kinds not at all, others more or less often. */
static void mix_faults(struct sim *sim)
{
	struct sim_random mix = sim_stream(sim->options.seed, 0x6d6978);
	static const unsigned shares[] = {25, 50, 100, 100};

	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
		bool is_in = i == SIM_ROTATE || sim_chance(&mix, 650);
		unsigned share = shares[sim_below(&mix, 4)];

		sim->per_mille[i] = is_in ? usual[i] * (i == SIM_ROTATE ? 100 : share) / 100 : 0;
		if (is_in && usual[i] > 0 && sim->per_mille[i] == 0)
			sim->per_mille[i] = 1;
	}
	focus(sim);
}

bool sim_fault(struct sim *sim, enum sim_fault fault)
{
	uint64_t number;

	if (sim->is_calm || sim->per_mille[fault] == 0 ||
	    !sim_chance(&sim->chance, sim->per_mille[fault]))
		return false;
	number = sim->fault_number++;
	if (number < sim->options.skip_count && sim->options.skip[number] != 0)
		return false;
	sim_cover_fault(fault);
	return true;
}

void sim_enter(struct sim *sim, enum sim_fault enomem)
{
	if (sim_fault(sim, enomem))
		failing_alloc_set(1 + sim_below(&sim->chance, ENOMEM_WITHIN));
}

void sim_leave(void)
{
	(void)failing_alloc_end();
}

void sim_pause(bool is_paused)
{
	failing_alloc_pause(is_paused);
}

/* --- verdicts --- */

bool sim_is_broken(const struct sim *sim)
{
	return !sim->result->is_good;
}

void sim_break(struct sim *sim, const char *invariant, const char *format, ...)
{
	va_list args;

	if (sim_is_broken(sim))
		return; /* the first one counts */
	sim->result->is_good = false;
	(void)snprintf(sim->result->invariant, sizeof(sim->result->invariant), "%s", invariant);
	va_start(args, format);
	(void)vsnprintf(sim->result->why, sizeof(sim->result->why), format, args);
	va_end(args);
	sim_trace(sim, "check", "check", "%s BROKEN: %s", invariant, sim->result->why);
}

/* --- troubles: faults without an occasion --- */

static struct sim_hub *some_hub(struct sim *sim)
{
	unsigned i = (unsigned)sim_below(&sim->chance, SIM_SLOTS);

	return sim->hubs[i].exists ? &sim->hubs[i] : &sim->hubs[sim_below(&sim->chance, SIM_HUBS)];
}

static void cut_some_connection(struct sim *sim)
{
	unsigned start = (unsigned)sim_below(&sim->chance, SIM_CONNS);

	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[(start + i) % SIM_CONNS];

		if (!conn->is_used || !conn->at_broker || !conn->at_client)
			continue;
		if (sim_chance(&sim->chance, 500)) {
			sim_net_end(sim, conn, KT_CAUSE_LOST);
			sim_server_after(sim);
		} else {
			struct sim_event down = {.kind = SIM_EV_DOWN,
						 .slot = (start + i) % SIM_CONNS,
						 .number = conn->number,
						 .cause = KT_CAUSE_LOST};

			sim_net_down(sim, &down);
		}
		return;
	}
}

static int64_t some_clock_s(struct sim *sim)
{
	static const int64_t jumps[CLOCK_JUMPS] = {
		-1800000000, -31536000, -86400, -3600, 3600, 86400, 31536000, INT64_C(2302128000)};

	return sim_chance(&sim->chance, 300) ? 0 : jumps[sim_below(&sim->chance, CLOCK_JUMPS)];
}

static void reload_server(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	if (!s->is_up)
		return;
	sim_trace(sim, "server", "server", "SIGHUP");
	sim_server_begin(sim);
	kt_core_reload(s->core, sim_server_now(sim));
	for (unsigned i = 0; i < SIM_CONNS && !s->is_dying; i++) {
		const struct sim_conn *conn = &sim->conns[i];
		const struct kt_connect connect = {.client = conn->pointer,
						   .client_id = conn->client_id,
						   .cert = {conn->cert, conn->cert_len},
						   .clean_start = true};
		struct kt_connect_answer answer;

		if (!conn->is_used || !conn->at_broker)
			continue;
		kt_core_connect(s->core, sim_server_now(sim), &connect, &answer);
		if (answer.answer != KT_ANSWER_ACCEPT)
			sim_break(sim, "X", "SIGHUP throws %s out", conn->client_id);
	}
	kt_core_tick(s->core, sim_server_now(sim));
	sim_server_after(sim);
}

static void copy_card(struct sim *sim)
{
	struct sim_hub *hub = &sim->hubs[sim_below(&sim->chance, SIM_HUBS)];

	if (sim->clones > 0 || !hub->exists)
		return;
	sim->clones++;
	sim_hub_clone(sim, hub);
}

static void disaster(struct sim *sim, enum sim_fault fault)
{
	if (!sim->server.is_up)
		return;
	sim_trace(sim, "server", "server", "broker killed");
	sim_server_stop(sim, true);
	sim_server_disaster(sim, fault);
}

static void make_trouble(struct sim *sim, enum sim_fault fault)
{
	struct sim_hub *hub = some_hub(sim);

	switch ((int)fault) {
	case SIM_CUT:
		cut_some_connection(sim);
		break;
	case SIM_HUB_KILL:
		if (hub->is_up) {
			sim_trace(sim, hub->id, hub->id, "agent killed");
			sim_hub_stop(sim, hub, true);
		}
		break;
	case SIM_HUB_CLOCK:
		hub->clock_off_s = some_clock_s(sim);
		sim_trace(sim, hub->id, hub->id, "clock %+lld s", (long long)hub->clock_off_s);
		break;
	case SIM_SERVER_KILL:
		if (sim->server.is_up) {
			sim_trace(sim, "server", "server", "broker killed");
			sim_server_stop(sim, true);
		}
		break;
	case SIM_SERVER_CLOCK:
		sim->server.clock_off_us = some_clock_s(sim) * 1000000;
		sim_trace(sim, "server", "server", "clock %+lld s",
			  (long long)sim->server.clock_off_us / 1000000);
		break;
	case SIM_SERVER_RELOAD:
		reload_server(sim);
		break;
	case SIM_INDEX_OLD:
	case SIM_INDEX_LOST:
	case SIM_INDEX_DAMAGED:
	case SIM_LEDGER_OLD:
	case SIM_LEDGER_CUT:
	case SIM_BOTH_OLD:
	case SIM_INDEX_FOREIGN:
	case SIM_LEDGER_DAMAGED:
		disaster(sim, fault);
		break;
	case SIM_CLONE:
		copy_card(sim);
		break;
	case SIM_WAKE_APP:
		sim_hub_app(sim, hub);
		break;
	case SIM_STRANGE:
		sim_net_strange(sim);
		break;
	default:
		break;
	}
}

/* Half of the hubs are never revoked: somebody must be left to rotate. */
static unsigned some_target(struct sim *sim, enum sim_fault command)
{
	if (command == SIM_REVOKE || command == SIM_DELETE)
		return SIM_HUBS / 2 + (unsigned)sim_below(&sim->chance, SIM_HUBS / 2);
	if (command == SIM_TICKET && sim->options.seed % 8 == FOCUS_CLAIMS)
		return sim_chance(&sim->chance, 600) ? 0 : 1; /* one after the other */
	return (unsigned)sim_below(&sim->chance, SIM_HUBS);
}

static void trouble(struct sim *sim)
{
	static const enum sim_fault kinds[] = {
		SIM_CUT,	   SIM_HUB_KILL,      SIM_HUB_CLOCK,	 SIM_SERVER_KILL,
		SIM_SERVER_CLOCK,  SIM_SERVER_RELOAD, SIM_INDEX_OLD,	 SIM_INDEX_LOST,
		SIM_INDEX_DAMAGED, SIM_LEDGER_OLD,    SIM_LEDGER_CUT,	 SIM_BOTH_OLD,
		SIM_CLONE,	   SIM_WAKE_APP,      SIM_ROTATE,	 SIM_ROTATE,
		SIM_ROTATE,	   SIM_ROTATE,	      SIM_ROTATE,	 SIM_ROTATE,
		SIM_ROTATE,	   SIM_CANCEL,	      SIM_REVOKE,	 SIM_QUARANTINE,
		SIM_RELEASE,	   SIM_DELETE,	      SIM_CHALLENGE,	 SIM_CAMPAIGN,
		SIM_CAMPAIGN,	   SIM_STEER,	      SIM_TICKET,	 SIM_STRANGE,
		SIM_STRANGE,	   SIM_INDEX_FOREIGN, SIM_LEDGER_DAMAGED};
	enum sim_fault kind = kinds[sim_below(&sim->chance, sizeof(kinds) / sizeof(kinds[0]))];

	if (sim_chance(&sim->chance, 60))
		sim_server_backup(sim);
	if (sim->server.is_up && sim->server.has_failed && sim_chance(&sim->chance, 300)) {
		sim_trace(sim, "server", "server", "broker restarted after ledger.failed");
		sim_server_stop(sim, true);
	}
	if (sim->options.seed % 8 == FOCUS_LINKS && sim_chance(&sim->chance, 350))
		kind = SIM_STRANGE;
	if (sim->options.seed % 8 == FOCUS_DISKS && sim_chance(&sim->chance, 250))
		kind = sim_chance(&sim->chance, 600)   ? SIM_HUB_KILL
		       : sim_chance(&sim->chance, 500) ? SIM_INDEX_DAMAGED
						       : SIM_TICKET;
	if (sim->options.seed % 8 == FOCUS_CLAIMS && sim_chance(&sim->chance, 200))
		kind = SIM_TICKET;
	if (sim->options.seed % 8 == FOCUS_APPS && sim_chance(&sim->chance, 300))
		kind = SIM_WAKE_APP;
	if (sim->options.seed % 8 == FOCUS_LEDGER && sim_chance(&sim->chance, 100))
		kind = SIM_INDEX_LOST;
	if (sim_fault(sim, kind)) {
		if (kind >= SIM_ROTATE && kind <= SIM_TICKET)
			(void)sim_operator_say(sim, kind, some_target(sim, kind));
		else
			make_trouble(sim, kind);
	}
	sim_later(sim, 20 + sim_some_ms(sim, sim_chance(&sim->schedule, 100) ? 40000 : 1500),
		  &(struct sim_event){.kind = SIM_EV_TROUBLE});
}

/* --- one step --- */

static void hub_event(struct sim *sim, const struct sim_event *event)
{
	struct sim_hub *hub = &sim->hubs[event->slot];

	if (event->number != hub->life)
		return;
	switch ((int)event->kind) {
	case SIM_EV_HUB_START:
		sim_hub_start(sim, hub);
		break;
	case SIM_EV_HUB_TICK:
		sim_hub_tick(sim, hub);
		break;
	case SIM_EV_HOOK_DONE:
		sim_hub_hook_done(sim, hub, event->cause != 0, !sim_fault(sim, SIM_HOOK_FAILS));
		break;
	default:
		sim_hub_app(sim, hub);
		break;
	}
}

static void server_event(struct sim *sim, const struct sim_event *event)
{
	if (event->number != sim->server.life)
		return;
	switch ((int)event->kind) {
	case SIM_EV_SERVER_START:
		sim_server_start(sim);
		break;
	case SIM_EV_SERVER_TICK:
		sim_server_tick(sim);
		break;
	case SIM_EV_JOB:
		sim_server_job(sim);
		break;
	case SIM_EV_LEDGER:
		sim_server_ledger(sim);
		break;
	default:
		sim_server_index(sim);
		break;
	}
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
	switch (event->kind) {
	case SIM_EV_HUB_START:
	case SIM_EV_HUB_TICK:
	case SIM_EV_HOOK_DONE:
	case SIM_EV_APP:
		hub_event(sim, event);
		break;
	case SIM_EV_SERVER_START:
	case SIM_EV_SERVER_TICK:
	case SIM_EV_JOB:
	case SIM_EV_LEDGER:
	case SIM_EV_INDEX:
		server_event(sim, event);
		break;
	case SIM_EV_CONNECT:
		sim_net_connect(sim, event);
		break;
	case SIM_EV_ANSWER:
		sim_net_answer(sim, event);
		break;
	case SIM_EV_TO_SERVER:
		sim_net_to_server(sim, event);
		break;
	case SIM_EV_TO_HUB:
		sim_net_to_hub(sim, event);
		break;
	case SIM_EV_DOWN:
		sim_net_down(sim, event);
		break;
	case SIM_EV_END:
		sim_net_broker_down(sim, event);
		break;
	case SIM_EV_OPERATOR:
		sim_operator_connect(sim, event->slot);
		break;
	case SIM_EV_TROUBLE:
		if (!sim->is_calm)
			trouble(sim);
		break;
	}
}

static bool step(struct sim *sim)
{
	struct sim_event event;

	if (!next_event(sim, &event))
		return false;
	sim->now_ms = event.at_ms;
	sim->result->steps++;
	dispatch(sim, &event);
	free(event.text);
	sim_check_step(sim);
	return !sim_is_broken(sim);
}

/* --- the phases --- */

/* Tickets for all, by hand and without trouble: what follows is the hubs' own affair. */
static bool set_up(struct sim *sim)
{
	sim->is_calm = true;
	for (unsigned i = 0; i < SIM_OPERATORS; i++)
		sim_operator_connect(sim, i);
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		while (!sim_operator_say(sim, SIM_TICKET, i)) {
			if (!step(sim) || sim->now_ms > SETUP_MS)
				return false;
		}
		while (!sim->hubs[i].exists) {
			if (!step(sim) || sim->now_ms > SETUP_MS)
				return false;
		}
	}
	sim->is_calm = false;
	sim_later(sim, sim_some_ms(sim, 5000), &(struct sim_event){.kind = SIM_EV_TROUBLE});
	return true;
}

/*
 * Rotations are ordered and the hubs killed in the middle of them; then messages get lost and first
 * words err, and nothing else happens that would bring what is missing by itself. False: an
 * invariant is broken.
 */
static bool end_with_losses(struct sim *sim)
{
	const int64_t from_ms = sim->now_ms;
	bool are_killed = false;

	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
		sim->per_mille[i] = i == SIM_LOSE ? LOSSES : 0;
	sim->per_mille[SIM_HUB_START_ENOMEM] = START_ENOMEM;
	sim->per_mille[SIM_WELCOME] = WELCOMES;
	for (unsigned i = 0; i < SIM_HUBS; i++)
		(void)sim_operator_say(sim, SIM_ROTATE, i);
	while (sim->now_ms < from_ms + LOSSES_MS) {
		if (!step(sim))
			return false;
		if (are_killed || sim->now_ms < from_ms + LOSSES_MS / 20)
			continue;
		are_killed = true;
		for (unsigned i = 0; i < SIM_HUBS; i++) {
			if (sim->hubs[i].is_up && sim_chance(&sim->chance, 700))
				sim_hub_stop(sim, &sim->hubs[i], true);
		}
	}
	return true;
}

/*
 * Hubs get one ticket after the other, before the claim by the last one has an answer: every second
 * one finds the agent down and starts it at once. Then they are killed and lose a copy of their
 * record; nothing else happens that would mend it. False: an invariant is broken.
 */
static bool end_with_spoilt_claims(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
		sim->per_mille[i] = 0;
	sim->per_mille[SIM_WRONG_TICKET] = 500;
	for (unsigned round = 0; round <= SPOILT_TICKETS; round++) {
		bool is_last = round == SPOILT_TICKETS;
		int64_t until_ms = sim->now_ms + 100 +
				   (is_last ? SPOILT_MS : sim_some_ms(sim, SPOILT_SOON_MS));

		sim->per_mille[SIM_HUB_SPOILT] = is_last ? 700 : 0;
		for (unsigned i = 0; i < SIM_HUBS; i++) {
			if (!is_last)
				(void)sim_operator_say(sim, SIM_TICKET, i);
			else if (sim->hubs[i].is_up)
				sim_hub_stop(sim, &sim->hubs[i], true);
		}
		while (sim->now_ms < until_ms) {
			if (!step(sim))
				return false;
		}
	}
	return true;
}

static void be_calm(struct sim *sim)
{
	sim->is_calm = true;
	sim_trace(sim, "world", "world", "--- the faults have stopped ---");
	sim->server.clock_off_us = 0;
	if (sim->server.is_up && sim->server.has_failed)
		sim_server_stop(sim, true); /* what an operator does about ledger.failed */
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		sim->hubs[i].clock_off_s = 0;
	if (sim->hubs[SIM_HUBS].is_up) /* the copy's machine is found and taken away */
		sim_hub_stop(sim, &sim->hubs[SIM_HUBS], true);
	sim->hubs[SIM_HUBS].exists = false;
	for (unsigned i = 0; i < SIM_CONNS; i++) { /* the last cut: everybody connects once more */
		if (sim->options.seed % 4 == UNCUT)
			break;
		if (sim->conns[i].is_used && sim->conns[i].at_broker)
			sim_net_end(sim, &sim->conns[i], KT_CAUSE_LOST);
	}
	sim_server_after(sim);
}

/*
 * An enrolment that its hub gave up, or forgot: nobody comes for it any more. Or a rotation whose
 * key had to go for a newer one, which only the lost copy of the record knew, and no server.
 */
static bool is_left_alone(const struct sim *sim, const struct sim_hub *hub)
{
	const struct kt_agent_record *record;
	const struct kt_device *d;

	if (!sim->server.is_up || !hub->is_up || hub->starts_again ||
	    !sim->devices[hub->slot].may_forget)
		return false;
	d = kt_registry_find_device(sim->server.registry, hub->id);
	record = kt_identity_record(hub->store);
	if (d == NULL)
		return false;
	if (d->phase == KT_SERVER_OPEN && record->phase == KT_AGENT_KEY && record->op == d->op &&
	    !sim_hub_has_file(hub, record->pending.dir, "key.pem", false))
		return true;
	return d->enrolling && d->current != NULL && !kt_rollover_is_claim(record) &&
	       (record->phase != KT_AGENT_CERT || record->op != d->op);
}

/* Its ticket gave way to a newer one, which never came, or its enrolment was closed. */
static bool has_dead_ticket(const struct sim *sim, const struct sim_hub *hub)
{
	static const struct kt_key_id nobody; /* void: a newer one was given */
	const struct kt_ticket_entry *ticket;
	const struct kt_device *d;
	uint8_t hash[32];

	if (!sim->server.is_up || !hub->is_up || !hub->has_ticket ||
	    !kt_rollover_is_claim(kt_identity_record(hub->store)))
		return false;
	kt_sha256(hub->ticket.secret, sizeof(hub->ticket.secret), hash);
	ticket = kt_registry_find_ticket(sim->server.registry, hash);
	d = kt_registry_find_device(sim->server.registry, hub->id);
	return ticket == NULL || ticket->expires_us <= sim_server_now(sim).wall_us ||
	       (ticket->used && kt_key_id_eq(&ticket->used_by, &nobody)) ||
	       (ticket->used && d != NULL && !d->enrolling);
}

/*
 * Whose ticket was lost on the way, or wrong, is handed another one, if it does not get in without;
 * a new ticket put in is used at a start.
 */
static void help(struct sim *sim)
{
	if (sim->result->steps % 100 != 0 && sim->now_ms < sim->help_due_ms)
		return;
	sim->help_due_ms = sim->now_ms + HELP_MS;
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		struct sim_hub *hub = &sim->hubs[i];

		if (hub->exists && !sim_check_is_taken(sim, hub) &&
		    (sim->devices[i].needs_ticket || has_dead_ticket(sim, hub)))
			(void)sim_operator_say(sim, SIM_TICKET, i);
		if (is_left_alone(sim, hub))
			(void)sim_operator_say(sim, SIM_CANCEL, i);
		if (hub->is_up && hub->starts_again)
			sim_hub_stop(sim, hub, true);
	}
}

/* The run has had its trouble and too few rotations: they are ordered until there are enough. */
static bool press_on(struct sim *sim)
{
	uint64_t first = sim->result->steps;

	be_calm(sim);
	while (sim->rotations < SIM_ROTATIONS && sim->result->steps - first < PRESS_STEPS) {
		if (sim->result->steps % 50 == 0)
			(void)sim_operator_say(sim, SIM_ROTATE,
					       (unsigned)sim_below(&sim->chance, SIM_HUBS));
		if (!step(sim))
			return false;
	}
	return true;
}

static void run_phases(struct sim *sim)
{
	char why[SIM_WHY] = "";
	uint64_t first;
	int64_t calm_ms;

	if (!set_up(sim)) {
		sim_break(sim, "X", "the set-up does not end");
		return;
	}
	first = sim->result->steps;
	while (sim->result->steps - first < STEPS_MAX &&
	       (sim->rotations < SIM_ROTATIONS || sim->result->steps - first < STEPS_MIN)) {
		if (!step(sim))
			return;
	}
	if (sim->options.seed % 8 == FOCUS_LOSSES && !end_with_losses(sim))
		return;
	if (sim->options.seed % 8 == FOCUS_DISKS && !end_with_spoilt_claims(sim))
		return;
	if (!press_on(sim))
		return;
	first = sim->result->steps;
	calm_ms = sim->now_ms;
	while (!sim_check_settled(sim, why)) {
		help(sim);
		if (sim->result->steps - first > CALM_STEPS || sim->now_ms - calm_ms > CALM_MS) {
			sim_break(sim, "LV", "%s", why);
			return;
		}
		if (!step(sim)) {
			sim_break(sim, "LV", "nothing happens any more: %s", why);
			return;
		}
	}
	/* who forgot its devices has none to rotate */
	if (sim->rotations < SIM_ROTATIONS && sim->options.skip_count == 0 &&
	    !sim->server.is_rolled_back && !sim->server.is_reconciling)
		sim_break(sim, "X", "only %u rotations were begun", sim->rotations);
}

static void make_config(struct sim *sim)
{
	static const char text[] = "trust_domain = " SIM_TD "\n"
				   "state_dir = /state\n"
				   "ledger_dir = /ledger\n"
				   "root_cert = /pki/root.pem\n"
				   "issuer_cert = /pki/issuer.pem\n"
				   "issuer_key = /pki/issuer.key\n"
				   "controller_cert = /pki/controller.pem\n"
				   "controller_key = /pki/controller.key\n"
				   "operator = unix:/run/op admin\n"
				   "head_every = 0\n" /* nobody here looks at heads */
				   "acl = readwrite devices/%d/#\n";
	char why[512] = "";

	if (kt_config_parse("sim.conf", (struct kt_bytes){(const uint8_t *)text, sizeof(text) - 1},
			    &sim->config, why) != KT_ERR_OK)
		sim_break(sim, "X", "%s", why);
}

/* What an operator may have set, of a stream of its own: a seed's faults stay what they were. */
static void set_policies(struct sim *sim)
{
	static const enum kt_policy silences[] = {KT_POLICY_REPORT, KT_POLICY_QUARANTINE,
						  KT_POLICY_DISCONNECT};
	struct sim_random r = sim_stream(sim->options.seed, 0x706f6c);
	struct kt_config *config = sim->config;

	if (!sim->options.has_policies || config == NULL)
		return;
	if (sim_chance(&r, 700))
		config->clone_second_key = KT_POLICY_QUARANTINE;
	if (sim_chance(&r, 700))
		config->clone_contended = KT_POLICY_QUARANTINE;
	if (sim_chance(&r, 700))
		config->clone_old_answer = KT_POLICY_QUARANTINE;
	if (sim_chance(&r, 700))
		config->clone_op_range = KT_POLICY_QUARANTINE;
	config->challenge_silence = silences[sim_below(&r, 3)];
	if (sim_chance(&r, 700))
		config->challenge_every_ms =
			config->challenge_timeout_ms + 1 + (int64_t)sim_below(&r, EVERY_MS);
}

static void make_world(struct sim *sim)
{
	static const char *const ids[SIM_SLOTS] = {"hub-1", "hub-2", "hub-3", "hub-4", "clone"};

	sim->pki = sim_pki_get(sim->options.is_real_crypto);
	sim_crypto_begin(sim->options.is_real_crypto, sim->options.seed);
	sim_vfs_begin(sim->options.seed);
	sim->schedule = sim_stream(sim->options.seed, 1);
	sim->chance = sim_stream(sim->options.seed, 2);
	sim->entropy = sim_stream(sim->options.seed, 3);
	sim->places = sim_stream(sim->options.seed, 0x706c63);
	mix_faults(sim);
	make_config(sim);
	set_policies(sim);
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		sim_hub_init(sim, i, ids[i]);
	for (unsigned i = 0; i < SIM_HUBS; i++)
		(void)snprintf(sim->devices[i].id, sizeof(sim->devices[i].id), "%s", ids[i]);
	sim->is_calm = true;
	sim_server_init(sim);
	if (!sim_is_broken(sim))
		sim_server_start(sim);
}

bool sim_run(const struct sim_options *options, struct sim_result *result)
{
	struct sim *sim = sim_alloc(NULL, 1, sizeof(*sim));

	memset(sim, 0, sizeof(*sim));
	memset(result, 0, sizeof(*result));
	result->is_good = true;
	sim->options = *options;
	sim->result = result;
	make_world(sim);
	if (!sim_is_broken(sim))
		run_phases(sim);
	result->faults = sim->fault_number;
	result->rotations = sim->rotations;
	result->commits = sim->commits;
	result->has_clone = sim->clones > 0;
	result->is_rolled_back = sim->server.is_rolled_back;
	result->is_reconciled = sim->server.is_reconciling;
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		sim_hub_clear(&sim->hubs[i]);
	sim_server_clear(sim);
	kt_config_free(sim->config);
	for (size_t i = 0; i < sim->heap_count; i++)
		free(sim->heap[i].text);
	free(sim->heap);
	free(sim);
	return result->is_good;
}
