/* A hub's machine: the agent's core and identity store on a disk that fails, and its own program.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_record.h"
#include "sim.h"

#define STATE_DIR "/hub"

enum {
	START_WALL_S = 1800000000,
	DIE_WITHIN = 40, /* calls */
	FAIL_WITHIN = 16,
	KEY_CALLS = 6,
	PEM_CERTS_MAX = 4
};

static const char *const record_copies[] = {STATE_DIR "/record.0", STATE_DIR "/record.1"};

static struct kt_agent_now now_of(const struct sim *sim, const struct sim_hub *hub)
{
	return (struct kt_agent_now){.wall_s = START_WALL_S + sim->now_ms / 1000 + hub->clock_off_s,
				     .mono_ms = sim->now_ms + 1000};
}

/* The world that a hub lives in: ports get the hub alone. */
static struct sim *world;

static int gate(void *ctx, const char *call)
{
	struct sim_hub *hub = ctx;

	if (hub->is_dying)
		return EIO;
	if (hub->die_in > 0 && --hub->die_in == 0) {
		hub->is_dying = true;
		sim_trace(world, hub->id, hub->id, "POWER FAILS in %s", call);
		return EIO;
	}
	if (hub->fail_in > 0 && --hub->fail_in == 0) {
		sim_trace(world, hub->id, hub->id, "%s fails: %s", call, strerror(hub->fail_err));
		return hub->fail_err;
	}
	return 0;
}

/* --- plans --- */

static void plan(struct sim *sim, struct sim_hub *hub)
{
	hub->die_in = 0;
	hub->fail_in = 0;
	if (sim_fault(sim, SIM_HUB_POWER)) /* most have few calls */
		hub->die_in = 1 + (unsigned)sim_below(&sim->chance, sim_chance(&sim->chance, 500)
									    ? DIE_WITHIN / 5
									    : DIE_WITHIN);
	if (sim_fault(sim, SIM_HUB_EIO)) {
		hub->fail_in = 1 + (unsigned)sim_below(&sim->chance, FAIL_WITHIN);
		hub->fail_err = EIO;
	}
	if (sim_fault(sim, SIM_HUB_ENOSPC)) {
		hub->fail_in = 1 + (unsigned)sim_below(&sim->chance, FAIL_WITHIN);
		hub->fail_err = ENOSPC;
	}
}

static void begin(struct sim *sim, struct sim_hub *hub)
{
	plan(sim, hub);
	sim_enter(sim, SIM_HUB_ENOMEM);
}

static void plan_tick(struct sim *sim, struct sim_hub *hub)
{
	int64_t next_ms = kt_agent_next_tick_ms(hub->agent);
	int64_t at_ms = next_ms == INT64_MAX ? INT64_MAX : next_ms - 1000;

	if (at_ms < sim->now_ms)
		at_ms = sim->now_ms + 1;
	if (at_ms == INT64_MAX || (hub->tick_at_ms > sim->now_ms && hub->tick_at_ms <= at_ms))
		return;
	hub->tick_at_ms = at_ms;
	sim_later(sim, at_ms - sim->now_ms,
		  &(struct sim_event){
			  .kind = SIM_EV_HUB_TICK, .slot = hub->slot, .number = hub->life});
}

void sim_hub_after(struct sim *sim, struct sim_hub *hub)
{
	sim_leave();
	if (!hub->is_up)
		return;
	if (hub->die_in > 0 && !hub->is_dying) {
		hub->is_dying = true; /* between two calls */
		sim_trace(sim, hub->id, hub->id, "POWER FAILS");
	}
	hub->fail_in = 0;
	if (hub->is_dying)
		sim_hub_stop(sim, hub, false);
	else
		plan_tick(sim, hub);
}

/* --- ports --- */

static enum kt_err port_seal(void *ctx, uint64_t dir, const struct kt_message *message, char **out,
			     size_t *out_len)
{
	struct sim_hub *hub = ctx;
	const struct kt_agent_disk *disk = &hub->ports.disk;
	enum kt_err err = disk->seal(disk->ctx, dir, message, out, out_len);

	if (err == KT_ERR_OK)
		(void)sim_note(world, *out, *out_len, message);
	return err;
}

/* The table of agent_ports.c gets its own ctx back. */
#define DISK(hub) (&(hub)->ports.disk)

static const struct kt_agent_record *port_record(void *ctx)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->record(DISK(hub)->ctx);
}

static enum kt_err port_save(void *ctx, const struct kt_agent_record *record)
{
	struct sim_hub *hub = ctx;

	if (record->step == KT_STEP_WIPE)
		hub->to_wipe = record->retired.dir;
	return DISK(hub)->save(DISK(hub)->ctx, record);
}

char *sim_hub_file(const struct sim_hub *hub, uint64_t dir, const char *name, bool is_durable,
		   size_t *len)
{
	char path[128];
	char *bytes;

	(void)snprintf(path, sizeof(path), STATE_DIR "/identity/%" PRIu64 "/%s", dir, name);
	bytes = is_durable ? fake_fs_durable_content(hub->disk.fs, path, len)
			   : fake_fs_content(hub->disk.fs, path, len);
	if (bytes != NULL && (*len == 0 || bytes[0] == '\0')) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

bool sim_hub_has_file(const struct sim_hub *hub, uint64_t dir, const char *name, bool is_durable)
{
	size_t len = 0;
	char *bytes = sim_hub_file(hub, dir, name, is_durable, &len);

	free(bytes);
	return bytes != NULL;
}

/* I5: the server may know the key that is there; another one for its op would freeze the hub. */
static enum kt_err port_new_key(void *ctx, uint64_t dir, enum kt_alg alg)
{
	struct sim_hub *hub = ctx;
	size_t before_len = 0;
	size_t after_len = 0;
	char *before;
	char *after;
	enum kt_err err;

	sim_pause(true);
	before = sim_hub_file(hub, dir, "key.pem", false, &before_len);
	sim_pause(false);
	if (before != NULL && sim_fault(world, SIM_HUB_KEY_EIO)) {
		hub->fail_in = 1 + (unsigned)sim_below(&world->chance, KEY_CALLS);
		hub->fail_err = EIO;
	}
	err = DISK(hub)->new_key(DISK(hub)->ctx, dir, alg);
	sim_pause(true);
	after = sim_hub_file(hub, dir, "key.pem", false, &after_len);
	if (before != NULL && !hub->is_dying &&
	    (after == NULL || after_len != before_len || memcmp(before, after, after_len) != 0))
		sim_break(world, "I5", "%s makes a key anew that is there", hub->id);
	free(before);
	free(after);
	sim_pause(false);
	return err;
}

static enum kt_err port_csr(void *ctx, uint64_t dir, const char *common_name, const char *challenge,
			    uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->csr(DISK(hub)->ctx, dir, common_name, challenge, out, out_len);
}

static enum kt_err port_save_cert(void *ctx, const struct kt_cert_request *request,
				  struct kt_cert_result *out)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->save_cert(DISK(hub)->ctx, request, out);
}

static enum kt_err port_link_dir(void *ctx, uint64_t dir)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->link(DISK(hub)->ctx, dir);
}

static enum kt_err port_wipe(void *ctx, uint64_t dir)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->wipe(DISK(hub)->ctx, dir);
}

static bool port_pem_path(void *ctx, uint64_t dir, char *out, size_t cap)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->pem_path(DISK(hub)->ctx, dir, out, cap);
}

static enum kt_err port_open_text(void *ctx, const struct kt_agent_record *record, int64_t system_s,
				  struct kt_bytes text, struct kt_opened *out)
{
	struct sim_hub *hub = ctx;

	return DISK(hub)->open(DISK(hub)->ctx, record, system_s, text, out);
}

static void load_app(struct sim *sim, struct sim_hub *hub);

/* What it starts may read the identity at once and be done late: some later than the next rotation.
 */
static enum kt_err port_hooks(void *ctx, const char *event)
{
	struct sim_hub *hub = ctx;
	bool is_early = sim_chance(&world->schedule, 300);

	(void)event;
	if (gate(hub, "hook") != 0)
		return KT_ERR_SYS;
	sim_pause(true);
	if (is_early)
		load_app(world, hub);
	sim_pause(false);
	sim_later(world, sim_some_ms(world, sim_chance(&world->schedule, 150) ? 300000 : 20000),
		  &(struct sim_event){.kind = SIM_EV_HOOK_DONE,
				      .slot = hub->slot,
				      .number = hub->life,
				      .cause = is_early});
	return KT_ERR_OK;
}

static enum kt_err port_bytes(void *ctx, uint8_t *out, size_t len)
{
	struct sim_hub *hub = ctx;

	if (gate(hub, "entropy") != 0)
		return KT_ERR_CRYPTO;
	sim_fill(&world->entropy, out, len);
	return KT_ERR_OK;
}

/* --- the transport: what Paho does, as seen from the core --- */

/* What TLS would load: chain and key out of one file, which must fit each other. */
static bool load_identity(const struct sim_hub *hub, const char *path,
			  uint8_t cert[static KT_CERT_MAX], size_t *cert_len)
{
	struct kt_bytes certs[PEM_CERTS_MAX];
	struct kt_key *key = NULL;
	struct kt_cert decoded;
	uint8_t *storage = NULL;
	size_t count = 0;
	size_t len = 0;
	char *pem = fake_fs_content(hub->disk.fs, path, &len);
	bool is_good = false;

	if (pem != NULL &&
	    kt_pem_certs((const uint8_t *)pem, len, certs, PEM_CERTS_MAX, &count, &storage) ==
		    KT_ERR_OK &&
	    count > 0 && certs[0].len <= KT_CERT_MAX &&
	    kt_cert_decode(certs[0].p, certs[0].len, &decoded) == KT_ERR_OK &&
	    kt_key_from_pem(hub->crypto, (const uint8_t *)pem, len, &key) == KT_ERR_OK) {
		memcpy(cert, certs[0].p, certs[0].len);
		*cert_len = certs[0].len;
		is_good = memcmp(kt_key_public(key)->spki, decoded.key.spki,
				 decoded.key.spki_len) == 0;
	}
	kt_key_free(key);
	free(storage);
	free(pem);
	return is_good;
}

static enum kt_err port_open(void *ctx, enum kt_link link, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct sim_hub *hub = ctx;
	struct sim_conn *conn;
	bool is_loaded = true;

	if (gate(hub, "connect") != 0)
		return KT_ERR_SYS;
	if (sim_conn_of_link(world, hub->slot, link) != NULL) {
		sim_break(world, "X", "%s opens an open link", hub->id);
		return KT_ERR_STATE;
	}
	conn = sim_conn_new(world, SIM_CONN_LINK, hub->slot, request->client_id);
	conn->link = link;
	(void)snprintf(conn->topic, sizeof(conn->topic), "%s", cmd_topic);
	if (request->identity_pem != NULL)
		is_loaded = load_identity(hub, request->identity_pem, conn->cert, &conn->cert_len);
	if (!is_loaded || sim_fault(world, SIM_NO_CONNECT)) {
		sim_later(world, sim_some_ms(world, 5000),
			  &(struct sim_event){.kind = SIM_EV_ANSWER,
					      .slot = (unsigned)(conn - world->conns),
					      .number = conn->number,
					      .cause = KT_CAUSE_NO_ANSWER});
		return KT_ERR_OK;
	}
	if (conn->cert_len > 0)
		conn->fp = kt_fingerprint_of(conn->cert, conn->cert_len);
	sim_later(world, sim_some_ms(world, 400),
		  &(struct sim_event){.kind = SIM_EV_CONNECT,
				      .slot = (unsigned)(conn - world->conns),
				      .number = conn->number});
	return KT_ERR_OK;
}

static enum kt_err port_send(void *ctx, enum kt_link link, const char *text, size_t len)
{
	struct sim_hub *hub = ctx;
	struct sim_conn *conn = sim_conn_of_link(world, hub->slot, link);

	if (gate(hub, "send") != 0)
		return KT_ERR_SYS;
	if (conn == NULL || !conn->at_client)
		return KT_ERR_CLOSED;
	sim_net_send(world, conn, text, len);
	return KT_ERR_OK;
}

static void port_close(void *ctx, enum kt_link link)
{
	struct sim_hub *hub = ctx;
	struct sim_conn *conn = sim_conn_of_link(world, hub->slot, link);

	(void)gate(hub, "disconnect"); /* it cannot fail, but the power can */
	if (hub->is_dying || conn == NULL)
		return;
	sim_later(world,
		  sim_fault(world, SIM_LATE_DOWN) ? sim_some_ms(world, 60000)
						  : sim_some_ms(world, 100),
		  &(struct sim_event){.kind = SIM_EV_DOWN,
				      .slot = (unsigned)(conn - world->conns),
				      .number = conn->number,
				      .cause = KT_CAUSE_CLOSED});
}

static void sink(void *ctx, enum kt_log_level level, const char *line)
{
	struct sim_hub *hub = ctx;

	(void)level;
	sim_trace(world, hub->id, hub->id, "%s", line);
}

/* --- life --- */

/* As hub.c settles record, ticket and root, in that order. */
static enum kt_err settle(struct sim *sim, struct sim_hub *hub)
{
	struct kt_agent_record next = *kt_identity_record(hub->store);
	uint8_t hash[32];
	bool is_last;
	enum kt_err err = KT_ERR_OK;

	kt_sha256(hub->ticket.secret, sizeof(hub->ticket.secret), hash);
	is_last = next.has_ticket && memcmp(next.ticket_sha256, hash, sizeof(hash)) == 0;
	if (is_last || (next.phase == KT_AGENT_NEW && (next.pending.dir == 0 || !next.has_ticket)))
		hub->starts_again = false; /* the first one, or begun already */
	if (is_last && !kt_rollover_is_claim(&next))
		hub->has_ticket = false; /* that one is over */
	if (hub->has_ticket && !hub->starts_again && !is_last) {
		(void)snprintf(next.trust_domain, sizeof(next.trust_domain), SIM_TD);
		next.has_ticket = true;
		memcpy(next.ticket_sha256, hash, sizeof(hash));
		err = kt_identity_save(hub->store, &next);
	}
	return err == KT_ERR_OK ? kt_identity_save_root(hub->store, sim_pki_root(sim->pki)) : err;
}

static enum kt_err open_process(struct sim *sim, struct sim_hub *hub)
{
	const struct kt_identity_config config = {
		.state_dir = STATE_DIR, .key_group = (gid_t)-1, .fs = &hub->disk.table};
	struct kt_identity_config with_keys = config;
	enum kt_err err = kt_crypto_new(&hub->crypto);

	if (err == KT_ERR_OK)
		err = kt_key_store_file_new(&hub->disk.table, hub->crypto, &hub->keys);
	with_keys.keys = hub->keys;
	with_keys.crypto = hub->crypto;
	if (err == KT_ERR_OK)
		err = kt_identity_open(&with_keys, &hub->store, hub->why);
	return err == KT_ERR_OK ? settle(sim, hub) : err;
}

static enum kt_err make_agent(struct sim *sim, struct sim_hub *hub)
{
	const struct kt_agent_setup setup = {
		.transport = &hub->transport,
		.disk = &hub->agent_disk,
		.hooks = &hub->hooks,
		.entropy = &hub->entropy,
		.log = &hub->log,
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

	uint8_t hash[32];
	enum kt_err err;

	kt_agent_ports_init(&hub->ports, hub->store, hub->crypto, NULL);
	err = kt_agent_new(&setup, now_of(sim, hub), &hub->agent);
	if (err != KT_ERR_OK || !hub->starts_again)
		return err;
	kt_sha256(hub->ticket.secret, sizeof(hub->ticket.secret), hash);
	err = kt_agent_enroll_again(hub->agent, hash);
	hub->starts_again = err != KT_ERR_OK;
	/* a rotation's last steps come first: its owner tries once more at the next start */
	return err == KT_ERR_STATE ? KT_ERR_OK : err;
}

static void free_process(struct sim_hub *hub)
{
	kt_agent_free(hub->agent);
	hub->agent = NULL;
	kt_identity_close(hub->store);
	hub->store = NULL;
	kt_key_store_close(hub->keys);
	hub->keys = NULL;
	kt_crypto_free(hub->crypto);
	hub->crypto = NULL;
}

static void load_app(struct sim *sim, struct sim_hub *hub)
{
	uint8_t cert[KT_CERT_MAX];
	size_t len = 0;

	if (!load_identity(hub, STATE_DIR "/current/identity.pem", cert, &len))
		return;
	memcpy(hub->app_cert, cert, len);
	hub->app_cert_len = len;
	hub->app_fp = kt_fingerprint_of(cert, len);
	sim_later(sim, sim_some_ms(sim, 3000),
		  &(struct sim_event){.kind = SIM_EV_APP, .slot = hub->slot, .number = hub->life});
}

void sim_hub_stop(struct sim *sim, struct sim_hub *hub, bool has_power)
{
	hub->is_dying = true; /* whatever is closed now writes nothing */
	hub->disk.is_off = true;
	free_process(hub);
	hub->disk.is_off = false;
	if (has_power)
		fake_fs_kill(hub->disk.fs);
	else
		fake_fs_crash(hub->disk.fs, sim_next(&sim->chance));
	hub->is_dying = false;
	hub->is_up = false;
	hub->die_in = 0;
	hub->fail_in = 0;
	hub->life++;
	hub->app_cert_len = 0;
	hub->over_op = 0;
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[i];

		if (conn->is_used && conn->kind != SIM_CONN_OPERATOR && conn->owner == hub->slot)
			sim_net_client_gone(sim, conn);
	}
	sim_later(sim, 50 + sim_some_ms(sim, 20000),
		  &(struct sim_event){
			  .kind = SIM_EV_HUB_START, .slot = hub->slot, .number = hub->life});
}

/* As it is on the medium, too, and with a credential: a first enrolment is promised nothing. */
static bool is_copy_good(const struct sim_hub *hub, const char *path, bool *is_claim)
{
	const struct kt_fs *fs = fake_fs_table(hub->disk.fs);
	struct kt_agent_record record;
	uint8_t bytes[KT_AGENT_RECORD_BLOCK];
	size_t len = 0;
	char *durable = fake_fs_durable_content(hub->disk.fs, path, &len);
	int fd = fs->open(fs->ctx, path, O_RDONLY, 0);
	bool is_good = durable != NULL && fd >= 0 && len == sizeof(bytes) &&
		       fs->read(fs->ctx, fd, bytes, len) == (ssize_t)len &&
		       memcmp(bytes, durable, len) == 0 &&
		       kt_agent_record_decode(bytes, len, &record) == KT_ERR_OK &&
		       record.phase != KT_AGENT_NEW &&
		       (record.active.dir != 0 || !kt_rollover_is_claim(&record));

	if (fd >= 0)
		(void)fs->close(fs->ctx, fd);
	free(durable);
	*is_claim = is_good && kt_rollover_is_claim(&record);
	return is_good;
}

/*
 * The medium loses one of two good copies: of one alone nothing is promised, nor of a claim beside
 * what it led to.
 */
static void spoil(struct sim *sim, struct sim_hub *hub)
{
	const char *path = record_copies[sim_below(&sim->chance, 2)];
	bool is_claim[2];

	if (!is_copy_good(hub, record_copies[0], &is_claim[0]) ||
	    !is_copy_good(hub, record_copies[1], &is_claim[1]) || is_claim[0] != is_claim[1] ||
	    !sim_fault(sim, SIM_HUB_SPOILT))
		return;
	(void)fake_fs_spoil(hub->disk.fs, path);
	if (hub->slot < SIM_HUBS) {
		sim->devices[hub->slot].may_forget = true;
		if (is_claim[0]) /* forgotten, it needs another ticket */
			sim->devices[hub->slot].needs_ticket = true;
	}
	sim_trace(sim, hub->id, hub->id, "%s CANNOT BE READ any more", path);
}

void sim_hub_start(struct sim *sim, struct sim_hub *hub)
{
	struct kt_agent_record before;
	bool is_disturbed;
	enum kt_err err;

	if (hub->is_up || !hub->exists)
		return;
	hub->life++;
	spoil(sim, hub);
	if (!sim_hub_durable_record(hub, &before))
		memset(&before, 0, sizeof(before));
	begin(sim, hub);
	sim_enter(sim, SIM_HUB_START_ENOMEM);
	is_disturbed = hub->die_in > 0 || hub->fail_in > 0 || !sim->is_calm;
	hub->why[0] = '\0';
	err = open_process(sim, hub);
	if (err == KT_ERR_OK)
		sim_check_opened(sim, hub, &before);
	if (err == KT_ERR_OK)
		err = make_agent(sim, hub);
	if (err == KT_ERR_OK) {
		hub->is_up = true;
		hub->tick_at_ms = 0;
		kt_agent_start(hub->agent, now_of(sim, hub));
		sim_hub_after(sim, hub);
		if (hub->is_up)
			load_app(sim, hub);
		return;
	}
	sim_leave();
	sim_trace(sim, hub->id, hub->id, "start failed: %s: %s", kt_err_name(err), hub->why);
	if (!hub->is_dying && (err == KT_ERR_CORRUPT || err == KT_ERR_INVALID) && !is_disturbed)
		sim_break(sim, "I1", "%s cannot open its store: %s", hub->id, hub->why);
	sim_hub_stop(sim, hub, !hub->is_dying && hub->die_in == 0);
}

void sim_hub_tick(struct sim *sim, struct sim_hub *hub)
{
	if (!hub->is_up || sim->now_ms < hub->tick_at_ms)
		return;
	begin(sim, hub);
	kt_agent_tick(hub->agent, now_of(sim, hub));
	sim_hub_after(sim, hub);
}

void sim_hub_link_event(struct sim *sim, struct sim_hub *hub, struct kt_link_event *event)
{
	if (!hub->is_up)
		return;
	begin(sim, hub);
	kt_agent_link_event(hub->agent, now_of(sim, hub), event);
	sim_hub_after(sim, hub);
}

/* The hub's own program has the new identity exactly where its hook succeeded. */
void sim_hub_hook_done(struct sim *sim, struct sim_hub *hub, bool was_early, bool succeeded)
{
	if (!hub->is_up)
		return;
	sim_trace(sim, hub->id, hub->id, "hook %s", succeeded ? "done" : "FAILED");
	if (succeeded && !was_early)
		load_app(sim, hub);
	begin(sim, hub);
	kt_agent_hooks_done(hub->agent, now_of(sim, hub), succeeded);
	sim_hub_after(sim, hub);
}

/* (Re)connects with what it loaded, whatever has become of that. */
void sim_hub_app(struct sim *sim, struct sim_hub *hub)
{
	struct sim_conn *conn;

	if (!hub->is_up || hub->app_cert_len == 0)
		return;
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		conn = &sim->conns[i];
		if (conn->is_used && conn->kind == SIM_CONN_APP && conn->owner == hub->slot &&
		    conn->at_client)
			sim_net_client_gone(sim, conn);
	}
	conn = sim_conn_new(sim, SIM_CONN_APP, hub->slot, hub->id);
	memcpy(conn->cert, hub->app_cert, hub->app_cert_len);
	conn->cert_len = hub->app_cert_len;
	conn->fp = hub->app_fp;
	sim_later(sim, sim_some_ms(sim, 300),
		  &(struct sim_event){.kind = SIM_EV_CONNECT,
				      .slot = (unsigned)(conn - sim->conns),
				      .number = conn->number});
}

static void fill_ports(struct sim_hub *hub)
{
	hub->agent_disk = (struct kt_agent_disk){
		.ctx = hub,
		.record = port_record,
		.save = port_save,
		.new_key = port_new_key,
		.csr = port_csr,
		.seal = port_seal,
		.save_cert = port_save_cert,
		.link = port_link_dir,
		.wipe = port_wipe,
		.pem_path = port_pem_path,
		.open = port_open_text,
	};
	hub->hooks = (struct kt_agent_hooks){.ctx = hub, .start = port_hooks};
	hub->entropy = (struct kt_agent_entropy){.ctx = hub, .bytes = port_bytes};
	hub->transport = (struct kt_transport){
		.ctx = hub, .open = port_open, .send = port_send, .close = port_close};
	kt_log_init(&hub->log, sink, hub, KT_LOG_DEBUG);
}

void sim_hub_init(struct sim *sim, unsigned slot, const char *id)
{
	struct sim_hub *hub = &sim->hubs[slot];

	world = sim;
	hub->slot = slot;
	(void)snprintf(hub->id, sizeof(hub->id), "%s", id);
	sim_disk_init(&hub->disk, gate, hub);
	fill_ports(hub);
}

void sim_hub_clear(struct sim_hub *hub)
{
	hub->is_dying = true;
	free_process(hub);
	sim_disk_clear(&hub->disk);
}

void sim_hub_take_ticket(struct sim *sim, struct sim_hub *hub, const struct kt_ticket *ticket)
{
	hub->ticket = *ticket;
	hub->has_ticket = true;
	hub->starts_again = hub->exists;
	hub->exists = true;
	if (hub->is_up)
		sim_hub_stop(sim, hub, true); /* `enroll TICKET` is another process */
	else
		sim_later(sim, 1,
			  &(struct sim_event){.kind = SIM_EV_HUB_START,
					      .slot = hub->slot,
					      .number = hub->life});
}

/* The card is copied as it is at this moment, what is not synced included or not. */
void sim_hub_clone(struct sim *sim, struct sim_hub *hub)
{
	struct sim_hub *clone = &sim->hubs[SIM_HUBS];
	struct fake_fs *copy = fake_fs_clone(hub->disk.fs);

	fake_fs_kill(copy);
	(void)snprintf(clone->id, sizeof(clone->id), "%s", hub->id);
	sim_disk_replace(&clone->disk, copy);
	clone->has_ticket = hub->has_ticket;
	clone->ticket = hub->ticket;
	clone->exists = true;
	clone->is_clone = true;
	hub->is_cloned = true;
	sim_trace(sim, hub->id, hub->id, "CARD COPIED");
	sim_later(sim, sim_some_ms(sim, 120000),
		  &(struct sim_event){
			  .kind = SIM_EV_HUB_START, .slot = clone->slot, .number = clone->life});
}

/* --- what is on disk for certain --- */

bool sim_hub_durable_record(const struct sim_hub *hub, struct kt_agent_record *out)
{
	bool has_one = false;

	for (size_t i = 0; i < 2; i++) {
		struct kt_agent_record record;
		size_t len = 0;
		char *bytes = fake_fs_durable_content(hub->disk.fs, record_copies[i], &len);

		if (bytes != NULL &&
		    kt_agent_record_decode((const uint8_t *)bytes, len, &record) == KT_ERR_OK &&
		    (!has_one || record.seq > out->seq)) {
			*out = record;
			has_one = true;
		}
		free(bytes);
	}
	return has_one;
}
