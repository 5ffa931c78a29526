#include "fleet_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fleet_seed.h"
#include "ticket.h"

enum {
	/* the first address that a hub connects from: 127.16.0.1, as others are in use by tests */
	FIRST_ADDRESS = 0x7f100001,
	LUCK_SEED = 20261130,
	WORD_MAX = 28,
	COUNT_NAME_MAX = 64,
	PATIENCE_MS = 10000
};

struct fleet_event { /* of a link, in the order in which they came */
	struct kt_link_event event;
	struct fleet_event *next;
};

struct fleet_hub {
	struct fleet_world *world;
	char source[sizeof("127.255.255.255")];
	struct fake_fs *fs;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	struct kt_agent_ports ports;
	struct kt_agent_hooks hooks;
	struct kt_transport transport;
	struct kt_log log;
	struct kt_ticket ticket;
	bool has_ticket;
	bool is_stopping;
	struct kt_agent *agent;
	struct fleet_link links[KT_LINK_COUNT];
	struct fleet_event *first;
	struct fleet_event **last;
	bool is_hook_due;
	bool was_settled; /* at the end of the last call of the agent */
	bool is_started;
	struct fleet_habits habits;
	uint64_t luck;	    /* of what is lost: a stream of its own for each hub */
	bool is_refused;    /* at least once */
	bool is_dropped;    /* and not yet back */
	int64_t dropped_us; /* when */
	bool is_slow_due;   /* it is thinking */
	struct fleet_timer slow;
	struct fleet_task task;
	struct fleet_timer timer;
	struct fleet_gate_place place;
	struct fleet_timer patience; /* a hub that gets nowhere gives its place to the next one */
	struct {		     /* for the figures: how it was when we looked last */
		uint64_t op;
		uint64_t active_dir;
		enum kt_agent_step step;
		bool had_session;
		int64_t began_us; /* its enrolment, or the op in hand */
		bool is_enrolment;
	} seen;
};

static struct kt_agent_now now(void)
{
	return (struct kt_agent_now){.wall_s = time(NULL), .mono_ms = fleet_now_ms()};
}

/* --- figures --- */

static void span(struct fleet_hub *hub, enum fleet_span what, int64_t from_us)
{
	fleet_stats_span(hub->world->net.stats, what, from_us, fleet_now_us());
}

/* The first one; a later one begins while another link has the session. */
static void look_at_session(struct fleet_hub *hub)
{
	struct kt_agent_status status;

	if (hub->seen.had_session)
		return;
	kt_agent_status(hub->agent, &status);
	if (status.health != KT_HEALTH_IN_SESSION)
		return;
	hub->seen.had_session = true;
	if (hub->links[KT_LINK_TRIAL].state == FLEET_LINK_DOWN)
		span(hub, FLEET_SPAN_SESSION, hub->links[KT_LINK_AGENT].started_us);
}

/* In session, over :agent alone, with nothing half done. */
static bool is_settled(const struct fleet_hub *hub)
{
	struct kt_agent_status status;

	kt_agent_status(hub->agent, &status);
	return status.health == KT_HEALTH_IN_SESSION &&
	       hub->links[KT_LINK_AGENT].state == FLEET_LINK_UP &&
	       hub->links[KT_LINK_TRIAL].state == FLEET_LINK_DOWN &&
	       hub->links[KT_LINK_CLAIM].state == FLEET_LINK_DOWN;
}

/* What the last call has moved. */
static void look(struct fleet_hub *hub)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);

	if (record->op != hub->seen.op && !hub->seen.is_enrolment)
		hub->seen.began_us = fleet_now_us();
	if (record->active.dir != hub->seen.active_dir && record->active.dir != 0)
		span(hub, hub->seen.is_enrolment ? FLEET_SPAN_ENROL : FLEET_SPAN_COMMIT,
		     hub->seen.began_us);
	if (record->step == KT_STEP_NONE && hub->seen.step != KT_STEP_NONE) {
		if (!hub->seen.is_enrolment)
			span(hub, FLEET_SPAN_PROMOTE, hub->seen.began_us);
		hub->seen.is_enrolment = false;
	}
	hub->seen.op = record->op;
	hub->seen.active_dir = record->active.dir;
	hub->seen.step = record->step;
	look_at_session(hub);
	hub->was_settled = is_settled(hub);
	if (hub->is_dropped && hub->was_settled) {
		hub->is_dropped = false;
		span(hub, FLEET_SPAN_BACK, hub->dropped_us);
	}
}

/* The broker ends the old credential's :agent when the new one is committed. */
static bool is_superseded(const struct fleet_hub *hub, const struct kt_link_event *event)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);

	return event->link == KT_LINK_AGENT && event->cause != KT_CAUSE_REFUSED &&
	       (record->phase == KT_AGENT_CERT || record->step != KT_STEP_NONE);
}

/* What a hub's ill fortune is called; "failed" where it had none to expect. */
static const char *kind_of(const struct fleet_hub *hub)
{
	if (hub->habits.is_copy)
		return "copy";
	if (hub->habits.is_full)
		return "full";
	return hub->is_dropped ? "storm" : "failed";
}

static bool is_by_habit(const struct fleet_hub *hub, const struct kt_link_event *event)
{
	return hub->habits.lost_percent > 0 && event->cause == KT_CAUSE_LOST;
}

static void count_down(struct fleet_hub *hub, const struct kt_link_event *event)
{
	static const char *const links[] = {"agent", "trial", "claim"};
	static const char *const causes[] = {
		[KT_CAUSE_LOST] = "lost",
		[KT_CAUSE_REFUSED] = "refused",
		[KT_CAUSE_NO_ANSWER] = "no_answer",
		[KT_CAUSE_UNTRUSTED] = "untrusted",
		[KT_CAUSE_TAKEN_OVER] = "taken_over",
		[KT_CAUSE_KICKED] = "kicked",
	};
	char name[COUNT_NAME_MAX];

	if (event->cause == KT_CAUSE_CLOSED)
		return;
	hub->is_refused |= event->cause == KT_CAUSE_REFUSED;
	if (is_superseded(hub, event)) {
		fleet_stats_count(hub->world->net.stats, "superseded.agent");
		return;
	}
	(void)snprintf(name, sizeof(name), "%s.%s.%s",
		       is_by_habit(hub, event) ? "lossy" : kind_of(hub), links[event->link],
		       causes[event->cause]);
	fleet_stats_count(hub->world->net.stats, name);
	if (hub->world->verbose > 0)
		fprintf(stderr, "%s: %s: code %d: %s\n", hub->source, name, event->code,
			event->detail);
}

/* The word that follows @key in @line; "" if there is none. */
static void word_after(const char *line, const char *key, char out[static WORD_MAX])
{
	const char *found = strstr(line, key);
	size_t len = 0;

	out[0] = '\0';
	if (found == NULL)
		return;
	found += strlen(key);
	len = strcspn(found, " ");
	if (len >= WORD_MAX)
		len = WORD_MAX - 1;
	memcpy(out, found, len);
	out[len] = '\0';
}

/* A line of the agent: what is worth a warning is a failure, with its reason. */
static void on_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct fleet_hub *hub = ctx;
	char event[WORD_MAX];
	char reason[WORD_MAX];
	char name[COUNT_NAME_MAX];
	bool is_failure = false;

	word_after(line, "event=", event);
	word_after(line, " reason=", reason);
	/* links are counted as such */
	is_failure = level <= KT_LOG_WARN && strncmp(event, "link.", strlen("link.")) != 0;
	if (hub->world->verbose > 1 || (hub->world->verbose == 1 && is_failure))
		fprintf(stderr, "%s %s\n", kt_identity_record(hub->store)->device.s, line);
	if (!is_failure)
		return;
	(void)snprintf(name, sizeof(name), "%s.%s.%s", kind_of(hub), event, reason);
	fleet_stats_count(hub->world->net.stats, name);
}

/* --- events --- */

/* In session again: somebody else can begin something. */
static void leave_gate(struct fleet_hub *hub)
{
	struct kt_agent_status status;

	if (!hub->place.is_inside || hub->first != NULL || hub->is_hook_due)
		return;
	kt_agent_status(hub->agent, &status);
	if (status.health != KT_HEALTH_IN_SESSION)
		return;
	fleet_timer_set(hub->world->net.loop, &hub->patience, INT64_MAX);
	fleet_gate_leave(&hub->world->gate, &hub->place);
}

static void on_patience(void *ctx)
{
	struct fleet_hub *hub = ctx;

	fleet_gate_leave(&hub->world->gate, &hub->place);
}

static void on_enter(void *ctx)
{
	struct fleet_hub *hub = ctx;

	fleet_timer_set(hub->world->net.loop, &hub->patience, fleet_now_ms() + PATIENCE_MS);
	fleet_task_queue(hub->world->net.loop, &hub->task);
}

static void on_slow(void *ctx)
{
	struct fleet_hub *hub = ctx;

	hub->is_slow_due = false;
	fleet_stats_count(hub->world->net.stats, "slow.thought");
	fleet_task_queue(hub->world->net.loop, &hub->task);
}

/*
 * What is begun goes on; what would begin something waits at the gate. A slow one takes its time
 * outside of it: who thinks uses no processor that the others could want.
 */
static void wake(struct fleet_hub *hub)
{
	if (hub->habits.slow_ms > 0) {
		if (!hub->is_slow_due)
			fleet_timer_set(hub->world->net.loop, &hub->slow,
					fleet_now_ms() + hub->habits.slow_ms);
		hub->is_slow_due = true;
	} else if (hub->was_settled && !hub->place.is_inside)
		fleet_gate_enter(&hub->world->gate, &hub->place);
	else
		fleet_task_queue(hub->world->net.loop, &hub->task);
}

static void plan(struct fleet_hub *hub)
{
	fleet_timer_set(hub->world->net.loop, &hub->timer, kt_agent_next_tick_ms(hub->agent));
	leave_gate(hub);
}

static void on_link_event(void *ctx, const struct kt_link_event *event)
{
	struct fleet_hub *hub = ctx;
	struct fleet_event *item = fleet_alloc(NULL, 1, sizeof(*item));

	item->event = *event;
	*hub->last = item;
	hub->last = &item->next;
	wake(hub);
}

/* xorshift64: the same hub loses the same ones in every run. */
static bool is_lost(void *ctx)
{
	struct fleet_hub *hub = ctx;

	if (hub->habits.lost_percent == 0)
		return false;
	hub->luck ^= hub->luck << 13;
	hub->luck ^= hub->luck >> 7;
	hub->luck ^= hub->luck << 17;
	if (hub->luck % 100 >= hub->habits.lost_percent)
		return false;
	fleet_stats_count(hub->world->net.stats, "lost.reply");
	return true;
}

static bool take_event(struct fleet_hub *hub, struct kt_link_event *out)
{
	struct fleet_event *item = hub->first;

	if (item == NULL)
		return false;
	*out = item->event;
	hub->first = item->next;
	if (hub->first == NULL)
		hub->last = &hub->first;
	free(item);
	return true;
}

/* The end of a turn: what the links brought, then the hook. */
static void on_task(void *ctx)
{
	struct fleet_hub *hub = ctx;
	struct kt_link_event event;

	while (take_event(hub, &event)) {
		if (!hub->is_stopping) {
			if (event.kind == KT_LINK_DOWN)
				count_down(hub, &event);
			kt_agent_link_event(hub->agent, now(), &event);
			look(hub);
		}
		free(event.text);
	}
	if (hub->is_stopping)
		return;
	if (!hub->is_started) {
		hub->is_started = true;
		hub->seen.began_us = fleet_now_us();
		kt_agent_start(hub->agent, now());
		look(hub);
	}
	if (hub->is_hook_due) {
		hub->is_hook_due = false;
		kt_agent_hooks_done(hub->agent, now(), true);
		look(hub);
	}
	plan(hub);
}

static void on_timer(void *ctx)
{
	struct fleet_hub *hub = ctx;

	if (hub->is_stopping)
		return;
	kt_agent_tick(hub->agent, now());
	look(hub);
	plan(hub);
}

/* --- ports --- */

static enum kt_err port_open(void *ctx, enum kt_link link, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct fleet_hub *hub = ctx;
	char *identity = NULL;
	size_t len = 0;

	if (request->identity_pem != NULL) {
		identity = fake_fs_content(hub->fs, request->identity_pem, &len);
		if (identity == NULL)
			return KT_ERR_NOT_FOUND;
	}
	return fleet_link_open(&hub->links[link], request->client_id, identity, cmd_topic);
}

static enum kt_err port_send(void *ctx, enum kt_link link, const char *text, size_t len)
{
	struct fleet_hub *hub = ctx;

	return fleet_link_send(&hub->links[link], text, len);
}

static void port_close(void *ctx, enum kt_link link)
{
	struct fleet_hub *hub = ctx;

	fleet_link_close(&hub->links[link]);
}

static enum kt_err port_hooks(void *ctx, const char *event)
{
	struct fleet_hub *hub = ctx;

	(void)event;
	hub->is_hook_due = true;
	wake(hub);
	return KT_ERR_OK;
}

/* --- life --- */

struct fleet_hub *fleet_hub_new(struct fleet_world *world, uint32_t number)
{
	struct fleet_hub *hub = fleet_alloc(NULL, 1, sizeof(*hub));
	const uint32_t address = FIRST_ADDRESS + number;

	hub->world = world;
	hub->last = &hub->first;
	(void)snprintf(hub->source, sizeof(hub->source), "%u.%u.%u.%u", address >> 24,
		       (address >> 16) & 0xff, (address >> 8) & 0xff, address & 0xff);
	hub->fs = fake_fs_new();
	hub->task = (struct fleet_task){.run = on_task, .ctx = hub};
	hub->timer = (struct fleet_timer){.due = on_timer, .ctx = hub};
	hub->patience = (struct fleet_timer){.due = on_patience, .ctx = hub};
	hub->slow = (struct fleet_timer){.due = on_slow, .ctx = hub};
	hub->luck = LUCK_SEED + number;
	hub->place = (struct fleet_gate_place){.enter = on_enter, .ctx = hub};
	hub->hooks = (struct kt_agent_hooks){.ctx = hub, .start = port_hooks};
	hub->transport = (struct kt_transport){
		.ctx = hub, .open = port_open, .send = port_send, .close = port_close};
	kt_log_init(&hub->log, on_line, hub, KT_LOG_INFO);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		fleet_link_init(&hub->links[i], &(struct fleet_link_setup){.net = &world->net,
									   .name = (enum kt_link)i,
									   .source = hub->source,
									   .ctx = hub,
									   .event = on_link_event,
									   .is_lost = is_lost});
	return hub;
}

void fleet_hub_free(struct fleet_hub *hub)
{
	struct kt_link_event event;

	if (hub == NULL)
		return;
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		fleet_link_clear(&hub->links[i]);
	while (take_event(hub, &event))
		free(event.text);
	kt_agent_free(hub->agent);
	kt_identity_close(hub->store);
	kt_key_store_close(hub->keys);
	fake_fs_free(hub->fs);
	kt_wipe(&hub->ticket, sizeof(hub->ticket));
	free(hub);
}

static enum kt_err open_store(struct fleet_hub *hub)
{
	const struct kt_fs *fs = fake_fs_table(hub->fs);
	struct kt_identity_config config = {.state_dir = FLEET_STATE_DIR,
					    .key_group = (gid_t)-1,
					    .fs = fs,
					    .crypto = hub->world->crypto};
	char why[512] = "";
	enum kt_err err = kt_key_store_file_new(fs, hub->world->crypto, &hub->keys);

	config.keys = hub->keys;
	if (err == KT_ERR_OK)
		err = kt_identity_open(&config, &hub->store, why);
	if (why[0] != '\0')
		fprintf(stderr, "%s: %s\n", hub->source, why);
	return err;
}

enum kt_err fleet_hub_be_enrolled(struct fleet_hub *hub, struct kt_bytes identity)
{
	const struct fleet_seed seed = {.fs = fake_fs_table(hub->fs),
					.crypto = hub->world->crypto,
					.trust_domain = hub->world->trust_domain,
					.root = hub->world->root,
					.identity = identity};
	struct kt_device_id device;
	enum kt_err err = fleet_seed_enrolled(&seed, &device);

	if (err == KT_ERR_OK)
		err = open_store(hub);
	if (err == KT_ERR_OK && hub->habits.is_full)
		fake_fs_limit_space(hub->fs, 1);
	return err;
}

/* As hub.c settles a ticket, the record and the root. */
enum kt_err fleet_hub_be_new(struct fleet_hub *hub, const char *ticket)
{
	struct kt_agent_record next;
	struct kt_fingerprint root = kt_fingerprint_of(hub->world->root.p, hub->world->root.len);
	enum kt_err err = kt_ticket_decode(ticket, &hub->ticket);

	if (err == KT_ERR_OK && memcmp(root.b, hub->ticket.root_sha256, sizeof(root.b)) != 0)
		err = KT_ERR_VERIFY;
	if (err == KT_ERR_OK)
		err = open_store(hub);
	if (err != KT_ERR_OK)
		return err;
	hub->has_ticket = true;
	hub->seen.is_enrolment = true;
	next = *kt_identity_record(hub->store);
	(void)snprintf(next.trust_domain, sizeof(next.trust_domain), "%s",
		       hub->ticket.trust_domain);
	next.has_ticket = true;
	kt_sha256(hub->ticket.secret, sizeof(hub->ticket.secret), next.ticket_sha256);
	err = kt_identity_save(hub->store, &next);
	return err == KT_ERR_OK ? kt_identity_save_root(hub->store, hub->world->root) : err;
}

enum kt_err fleet_hub_start(struct fleet_hub *hub)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	const struct kt_agent_setup setup = {
		.transport = &hub->transport,
		.disk = &hub->ports.disk,
		.hooks = &hub->hooks,
		.entropy = &hub->ports.entropy,
		.log = &hub->log,
		/* those of docs/keyturn-agent.conf.5 */
		.timers = {.repeat_first = 10000,
			   .repeat_max = 600000,
			   .trial_timeout = 30000,
			   .silence_min = 60000,
			   .backoff_min = 1000,
			   .backoff_max = 300000,
			   .hook_retry = 60000},
		.key_store = "file",
		.ticket = hub->has_ticket ? &hub->ticket : NULL,
		.claim_device = "",
	};
	enum kt_err err = KT_ERR_OK;

	kt_agent_ports_init(&hub->ports, hub->store, hub->world->crypto, NULL);
	err = kt_agent_new(&setup, now(), &hub->agent);
	if (err != KT_ERR_OK)
		return err;
	hub->seen.op = record->op;
	hub->seen.active_dir = record->active.dir;
	hub->seen.step = record->step;
	fleet_gate_enter(&hub->world->gate, &hub->place);
	return KT_ERR_OK;
}

void fleet_hub_misbehave(struct fleet_hub *hub, const struct fleet_habits *habits)
{
	hub->habits = *habits;
}

void fleet_hub_drop(struct fleet_hub *hub)
{
	if (hub->agent == NULL)
		return;
	hub->is_dropped = true;
	hub->dropped_us = fleet_now_us();
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		fleet_link_break(&hub->links[i]);
}

void fleet_hub_stop(struct fleet_hub *hub)
{
	hub->is_stopping = true;
	fleet_timer_set(hub->world->net.loop, &hub->timer, INT64_MAX);
	fleet_timer_set(hub->world->net.loop, &hub->patience, INT64_MAX);
	fleet_timer_set(hub->world->net.loop, &hub->slow, INT64_MAX);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		fleet_link_close(&hub->links[i]);
}

bool fleet_hub_is_down(const struct fleet_hub *hub)
{
	for (int i = 0; i < (int)KT_LINK_COUNT; i++) {
		if (hub->links[i].state != FLEET_LINK_DOWN)
			return false;
	}
	return true;
}

void fleet_hub_status(const struct fleet_hub *hub, struct fleet_hub_status *out)
{
	struct kt_agent_status status;

	*out = (struct fleet_hub_status){.device = kt_identity_record(hub->store)->device.s,
					 .is_refused = hub->is_refused};
	if (hub->agent == NULL)
		return;
	kt_agent_status(hub->agent, &status);
	out->is_started = true;
	out->health = status.health;
	out->is_settled = is_settled(hub);
	out->generation = status.record->active.generation;
	out->device = status.record->device.s;
}
