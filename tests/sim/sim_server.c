/* The server's machine: the core with its ports, the store's own code on a disk that fails. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "registry_dump.h"
#include "restore.h"
#include "sim.h"

#define STATE_DIR  "/state"
#define LEDGER_DIR "/ledger"

enum {
	START_WALL_S = 1800000000,
	DIE_WITHIN = 24, /* calls */
	FAIL_WITHIN = 10,
	CALLS_OF_A_START = 150,
	KICK_AGAIN_MS = 60000,
	ROW_BEFORE = 64, /* bytes around a fingerprint that are of its row */
	ROW_AFTER = 192,
	TABLE_TEXTS = 2000
};

struct kt_now sim_server_now(const struct sim *sim)
{
	return (struct kt_now){.wall_us = INT64_C(1000000) * START_WALL_S + sim->now_ms * 1000 +
					  sim->server.clock_off_us,
			       .mono_ms = sim->now_ms + 1000};
}

/* --- ports --- */

/* A call of the server's machine. 0: it runs. */
static int gate(void *ctx, const char *call)
{
	struct sim *sim = ctx;
	struct sim_server *s = &sim->server;

	if (s->is_dying)
		return EIO;
	if (s->die_in > 0 && --s->die_in == 0) {
		s->is_dying = true;
		sim_trace(sim, "server", "server", "POWER FAILS in %s", call);
		return EIO;
	}
	if (s->fail_in > 0 && --s->fail_in == 0) {
		sim_trace(sim, "server", "server", "%s fails: %s", call, strerror(s->fail_err));
		s->is_index_doubtful = true;
		return s->fail_err;
	}
	return 0;
}

static enum kt_err port_publish(void *ctx, const char *client_id, const char *topic,
				struct kt_bytes payload, bool retain)
{
	struct sim *sim = ctx;
	int err = gate(sim, "publish");

	(void)retain;
	if (err != 0)
		return err == ENOMEM ? KT_ERR_NOMEM : KT_ERR_SYS;
	if (client_id != NULL)
		sim_net_publish(sim, client_id, topic, payload);
	return KT_ERR_OK;
}

/* Carried out when the call into the core has returned, as the plugin does. */
static enum kt_err port_kick(void *ctx, const char *client_id)
{
	struct sim *sim = ctx;
	struct sim_server *s = &sim->server;

	/* not twice in a row: the sweep makes it good at the next tick */
	if (gate(sim, "kick") != 0 || (sim->now_ms > s->kick_refused_ms + KICK_AGAIN_MS &&
				       sim_fault(sim, SIM_KICK_REFUSED))) {
		sim_trace(sim, "server", "server", "no kick of %s", client_id);
		s->kick_refused_ms = sim->now_ms;
		return KT_ERR_NOMEM;
	}
	if (s->kick_count < SIM_CONNS)
		(void)strncpy(s->kicks[s->kick_count++], client_id, KT_CLIENT_ID_MAX - 1);
	return KT_ERR_OK;
}

static void keep_record(struct sim *sim, const struct kt_record *record)
{
	struct sim_server *s = &sim->server;
	struct kt_record *copy;

	if (record->seq != s->record_count + 1) {
		sim_break(sim, "X", "record %" PRIu64 " after %zu", record->seq, s->record_count);
		return;
	}
	s->records = sim_alloc(s->records, s->record_count + 1, sizeof(*s->records));
	copy = &s->records[s->record_count++];
	*copy = *record;
	copy->storage = NULL;
	if (record->der.len > 0) {
		copy->storage = sim_alloc(NULL, record->der.len, 1);
		memcpy(copy->storage, record->der.p, record->der.len);
		copy->der.p = copy->storage;
	}
	if (record->text != NULL) {
		copy->storage = sim_alloc(NULL, strlen(record->text) + 1, 1);
		memcpy(copy->storage, record->text, strlen(record->text) + 1);
		copy->text = (const char *)copy->storage;
	}
}

static enum kt_err port_reserve(void *ctx, const struct kt_record *record)
{
	struct sim *sim = ctx;

	kt_store_items_free(sim->server.reserved);
	return kt_store_item_new(record, &sim->server.reserved);
}

static enum kt_err port_append(void *ctx, const struct kt_record *record,
			       struct kt_registry *registry)
{
	struct sim *sim = ctx;
	struct sim_server *s = &sim->server;
	struct kt_index_batch *batch = NULL;
	struct kt_store_item *item = s->reserved;
	enum kt_err err = gate(sim, "append") != 0 ? KT_ERR_NOMEM : KT_ERR_OK;

	if (record->kind == KT_RECORD_PROMOTED && sim_fault(sim, SIM_PROMOTED_REFUSED))
		err = KT_ERR_NOMEM;
	s->reserved = NULL; /* moved */
	sim_check_change(sim, record);
	if (kt_index_collect(registry, &batch) != KT_ERR_OK)
		s->index_failed = true;
	if (err != KT_ERR_OK)
		s->has_failed = true;
	else if (s->has_failed)
		err = KT_ERR_STATE;
	if (err != KT_ERR_OK) {
		kt_store_items_free(item);
		kt_index_batch_free(batch);
		return err;
	}
	keep_record(sim, record);
	sim_check_record(sim, record);
	item->batch = batch;
	if (s->last != NULL)
		s->last->next = item;
	else
		s->first = item;
	s->last = item;
	if (!s->is_ledger_due) {
		s->is_ledger_due = true;
		sim_later(sim, sim_fault(sim, SIM_SLOW_DISK) ? sim_some_ms(sim, 20000) : 1,
			  &(struct sim_event){.kind = SIM_EV_LEDGER, .number = s->life});
	}
	return KT_ERR_OK;
}

static enum kt_err port_submit(void *ctx, struct kt_job *job)
{
	struct sim *sim = ctx;
	struct sim_server *s = &sim->server;
	int64_t delay_ms;

	if (gate(sim, "submit") != 0 || s->job_count == SIM_JOBS || sim_fault(sim, SIM_QUEUE_FULL))
		return KT_ERR_BUSY;
	delay_ms = sim_some_ms(sim, sim_fault(sim, SIM_SLOW_WORKER) ? 30000 : 3);
	s->job_due_ms[s->job_count] = sim->now_ms + delay_ms;
	s->job[s->job_count++] = job; /* moved */
	sim_later(sim, delay_ms, &(struct sim_event){.kind = SIM_EV_JOB, .number = s->life});
	return KT_ERR_OK;
}

static enum kt_err port_bytes(void *ctx, uint8_t *out, size_t len)
{
	struct sim *sim = ctx;

	if (gate(sim, "entropy") != 0)
		return KT_ERR_CRYPTO;
	sim_fill(&sim->entropy, out, len);
	return KT_ERR_OK;
}

static void sink(void *ctx, enum kt_log_level level, const char *line)
{
	struct sim *sim = ctx;

	(void)level;
	sim_check_server_log(sim, line);
}

/* --- plans: the n-th call of what follows fails, or is the last --- */

static void plan(struct sim *sim, unsigned within)
{
	struct sim_server *s = &sim->server;

	s->die_in = 0;
	s->fail_in = 0;
	if (sim_fault(sim, SIM_SERVER_POWER))
		s->die_in = 1 + (unsigned)sim_below(&sim->chance, within);
	if (sim_fault(sim, SIM_SERVER_EIO)) {
		s->fail_in = 1 + (unsigned)sim_below(&sim->chance, FAIL_WITHIN);
		s->fail_err = EIO;
	}
	if (sim_fault(sim, SIM_SERVER_ENOSPC)) {
		s->fail_in = 1 + (unsigned)sim_below(&sim->chance, FAIL_WITHIN);
		s->fail_err = ENOSPC;
	}
}

void sim_server_begin(struct sim *sim)
{
	plan(sim, DIE_WITHIN);
	sim->server.active_ms = sim->now_ms;
	sim_vfs_use(&sim->server.disk);
	sim_enter(sim, SIM_SERVER_ENOMEM);
}

/* --- life --- */

static void free_records(struct sim_server *s, size_t keep)
{
	while (s->record_count > keep)
		free(s->records[--s->record_count].storage);
}

static void plan_tick(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	int64_t idle_ms = sim->now_ms - s->active_ms;
	int64_t delay = idle_ms < 300 ? 100 : idle_ms < 5000 ? 1000 : 10000;

	if (s->tick_at_ms > sim->now_ms && s->tick_at_ms <= sim->now_ms + delay)
		return;
	s->tick_at_ms = sim->now_ms + delay;
	sim_later(sim, delay, &(struct sim_event){.kind = SIM_EV_SERVER_TICK, .number = s->life});
}

static void carry_out_kicks(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	for (size_t i = 0; i < s->kick_count; i++) {
		for (unsigned c = 0; c < SIM_CONNS; c++) {
			struct sim_conn *conn = &sim->conns[c];

			if (conn->is_used && conn->at_broker &&
			    strcmp(conn->client_id, s->kicks[i]) == 0) {
				sim_check_kick(sim, conn);
				sim_net_end(sim, conn, KT_CAUSE_KICKED);
			}
		}
	}
	s->kick_count = 0;
}

void sim_server_after(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	sim_leave();
	if (!s->is_up)
		return;
	if (s->die_in > 0 && !s->is_dying) {
		s->is_dying = true; /* between two calls */
		sim_trace(sim, "server", "server", "POWER FAILS");
	}
	if (s->is_dying) {
		sim_server_stop(sim, false);
		return;
	}
	s->fail_in = 0;
	sim_check_promoted(sim, false);
	carry_out_kicks(sim);
	plan_tick(sim);
}

static void free_process(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	kt_core_free(s->core);
	s->core = NULL;
	kt_registry_free(s->registry);
	s->registry = NULL;
	kt_store_items_free(s->first);
	kt_store_items_free(s->reserved);
	s->first = NULL;
	s->last = NULL;
	s->reserved = NULL;
	sim_vfs_use(&s->disk);
	kt_store_writer_close(&s->writer);
	memset(&s->writer, 0, sizeof(s->writer));
	while (s->job_count > 0)
		kt_job_free(s->job[--s->job_count]);
	s->kick_count = 0;
	s->is_ledger_due = false;
	s->is_index_due = false;
}

void sim_server_stop(struct sim *sim, bool has_power)
{
	struct sim_server *s = &sim->server;
	bool was_up = s->is_up;

	s->is_dying = true; /* whatever is closed now writes nothing */
	s->disk.is_off = true;
	free_process(sim);
	s->disk.is_off = false;
	if (has_power)
		fake_fs_kill(s->disk.fs);
	else
		fake_fs_crash(s->disk.fs, sim_next(&sim->chance));
	s->is_dying = false;
	s->die_in = 0;
	s->fail_in = 0;
	s->is_up = false;
	s->life++;
	if (was_up)
		sim_net_server_gone(sim);
	sim_later(sim, 50 + sim_some_ms(sim, 5000),
		  &(struct sim_event){.kind = SIM_EV_SERVER_START, .number = s->life});
}

static void fold(struct sim *sim, uint64_t seq);

/* What the disk kept beyond what was told: the shadow follows. */
static void follow_shadow(struct sim *sim, uint64_t seq)
{
	struct sim_server *s = &sim->server;

	free_records(s, (size_t)seq);
	fold(sim, seq);
	s->durable_seq = seq;
	s->told_seq = seq;
}

static void free_backup(struct sim_backup *b);

/* The newest index that knows of records behind @seq, where the histories part. */
static void keep_foreign(struct sim_server *s, uint64_t seq)
{
	struct sim_backup *last = &s->newest;

	for (unsigned i = 0; i < SIM_BACKUPS; i++) {
		if (s->backups[i].is_used && s->backups[i].index_seq > last->index_seq)
			last = &s->backups[i];
	}
	free_backup(&s->foreign);
	if (!last->is_used || last->index_seq <= seq)
		return;
	s->foreign = *last;
	memset(last, 0, sizeof(*last)); /* moved */
}

/* Its ledger ends at @seq, and goes on otherwise than the one before. */
static void new_shadow(struct sim *sim, uint64_t seq)
{
	struct sim_server *s = &sim->server;

	keep_foreign(s, seq);
	for (unsigned i = 0; i < SIM_BACKUPS; i++)
		free_backup(&s->backups[i]); /* of another history now */
	kt_registry_free(s->shadow);
	if (kt_registry_new(&s->shadow) != KT_ERR_OK)
		abort();
}

/* The server is as it was once, and nobody has told it: what it forgot is not promised any more. */
static void roll_shadow_back(struct sim *sim, uint64_t seq)
{
	struct sim_server *s = &sim->server;

	sim_trace(sim, "server", "server", "ROLLED BACK from %" PRIu64 " to %" PRIu64,
		  s->durable_seq, seq);
	s->is_rolled_back = true;
	new_shadow(sim, seq);
	sim->ghost_count = 0;
	for (unsigned i = 0; i < SIM_HUBS; i++)
		sim->devices[i].is_revoked = false;
}

/* Once in a while: what was loaded is what the records say. */
static void compare_fold(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	char *is;
	char *should_be;

	if (s->starts++ % 4 != 0 && !s->is_index_damaged)
		return;
	is = registry_dump(s->registry);
	should_be = registry_dump(s->shadow);
	if (strcmp(is, should_be) != 0)
		sim_break(sim, "D", "the registry at start is not what its ledger says");
	free(is);
	free(should_be);
}

static enum kt_err recover(struct kt_store_start *start)
{
	enum kt_err err = kt_store_check_dirs(start);

	return err == KT_ERR_OK ? kt_store_recover(start) : err;
}

static enum kt_err make_core(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	struct kt_core_setup setup = {.config = sim->config,
				      .ports = &s->ports,
				      .registry = s->registry,
				      .durable_seq = s->durable_seq,
				      .issuer_cert_der = sim_pki_issuer(sim->pki)};
	struct kt_bytes root = sim_pki_root(sim->pki);

	kt_sha256(root.p, root.len, setup.root_sha256);
	return kt_core_new(&setup, sim_server_now(sim), &s->core);
}

/* The ledger as it lies there, record by record, is what counts from here on. */
static enum kt_err keep_visited(void *arg, const struct kt_record *record,
				const uint8_t hash[static 32])
{
	struct sim *sim = arg;

	(void)hash;
	keep_record(sim, record);
	return KT_ERR_OK;
}

static void forget_what_is_lost(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	size_t left = 0;

	for (size_t i = 0; i < sim->ghost_count; i++) {
		const struct kt_credential *c =
			kt_registry_find_fingerprint(s->shadow, &sim->ghosts[i].fp);

		if (c != NULL &&
		    (c->status == KT_CREDENTIAL_SUPERSEDED || c->status == KT_CREDENTIAL_REVOKED))
			sim->ghosts[left++] = sim->ghosts[i];
	}
	sim->ghost_count = left;
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		const struct kt_device *d = kt_registry_find_device(s->shadow, sim->devices[i].id);
		const struct sim_hub *hub = &sim->hubs[i];

		if (d == NULL || (d->state != KT_DEVICE_REVOKED && d->state != KT_DEVICE_DELETED))
			sim->devices[i].is_revoked = false;
		/* a hub that holds nothing yet needs another ticket, if its own is lost */
		if (hub->exists &&
		    (!hub->is_up || kt_identity_record(hub->store)->phase == KT_AGENT_NEW))
			sim->devices[i].needs_ticket = true;
	}
}

/* `keyturnctl restore --accept-rollback HEAD`: what the index still knows comes back as records. */
static void accept_rollback(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	struct kt_restore_request request = {.fs = &s->disk.table,
					     .state_dir = STATE_DIR,
					     .ledger_dir = LEDGER_DIR,
					     .trust_domain = SIM_TD,
					     .is_accepted = true,
					     .now_us = sim_server_now(sim).wall_us,
					     .actor = "op:unix"};
	struct kt_restore_report *report = sim_alloc(NULL, 1, sizeof(*report));
	struct kt_ledger_state state;
	uint64_t parted = 0;
	uint64_t bad_line;
	char why[512] = "";
	enum kt_err err;

	sim_vfs_use(&s->disk);
	err = kt_ledger_scan(&s->disk.table, LEDGER_DIR, NULL, NULL, &state, &bad_line);
	if (err == KT_ERR_OK) {
		memcpy(request.head, state.head, sizeof(request.head));
		parted = state.seq;
		err = kt_restore(&request, report, why);
	}
	free(report);
	if (err != KT_ERR_OK) {
		sim_break(sim, "X", "a rolled back ledger is not accepted: %s", why);
		return;
	}
	free_records(s, 0);
	new_shadow(sim, parted);
	s->index_seq = 0;
	if (kt_ledger_scan(&s->disk.table, LEDGER_DIR, keep_visited, sim, &state, &bad_line) !=
	    KT_ERR_OK)
		sim_break(sim, "D", "what restore wrote does not verify");
	fold(sim, state.seq);
	s->durable_seq = state.seq;
	forget_what_is_lost(sim);
	s->is_reconciling = true;
	s->may_roll_back = false;
	s->is_ledger_damaged = false; /* in its last line, which was cut */
	sim_trace(sim, "server", "server", "ROLLBACK ACCEPTED, %" PRIu64 " records", state.seq);
	free_backup(&s->newest);
}

/* A start that was refused for what lies on the disk: somebody must act, and does. */
static void put_newest_back(struct sim *sim);
static void remove_index(struct sim *sim);

static void start_failed(struct sim *sim, enum kt_err err, const char *why, bool was_disturbed)
{
	struct sim_server *s = &sim->server;

	sim_trace(sim, "server", "server", "start refused: %s", why);
	sim_server_stop(sim, !s->is_dying);
	if (err == KT_ERR_VERSION && s->is_index_damaged)
		remove_index(sim); /* a changed number looks like a newer version's */
	if (err != KT_ERR_ROLLED_BACK && err != KT_ERR_CORRUPT)
		return; /* again, a little later */
	if (s->has_foreign || (s->is_index_damaged && err == KT_ERR_ROLLED_BACK))
		remove_index(sim);
	else if (s->newest.is_used && err == KT_ERR_ROLLED_BACK && sim_fault(sim, SIM_ACCEPT))
		accept_rollback(sim);
	else if (s->newest.is_used)
		put_newest_back(sim);
	else if (!was_disturbed)
		sim_break(sim, "D", "the start is refused without a cause: %s", why);
}

/* What the index says is all that a rolled back ledger is noticed by. */
static void check_index(struct sim *sim, const struct kt_store_start *start, bool was_disturbed)
{
	struct sim_server *s = &sim->server;

	if (!was_disturbed && s->has_foreign)
		sim_break(sim, "D", "the index of another history is taken");
	if (!was_disturbed && start->index_seq < s->index_seq)
		sim_break(sim, "D",
			  "the index knows of %" PRIu64 " records, %" PRIu64 " were in it",
			  start->index_seq, s->index_seq);
	s->has_foreign = false;
	s->index_seq = start->index_failed ? start->index_seq : start->state.seq;
	if (s->is_index_doubtful)
		s->index_seq = 0;
}

void sim_server_start(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	char why[512] = "";
	struct kt_store_start start = {.config = &s->store_config,
				       .fs = &s->disk.table,
				       .log = &s->log,
				       .now_us = sim_server_now(sim).wall_us,
				       .lock_fd = -1,
				       .ledger_lock_fd = -1,
				       .why = why};
	bool is_disturbed;
	enum kt_err err;

	s->life++;
	s->has_failed = false;
	s->index_failed = false;
	s->told_failed = false;
	plan(sim, CALLS_OF_A_START);
	is_disturbed = s->die_in > 0 || s->fail_in > 0;
	if (is_disturbed)
		s->index_seq = 0; /* it may begin to make it anew */
	sim_vfs_use(&s->disk);
	sim_enter(sim, SIM_SERVER_ENOMEM);
	err = kt_registry_new(&s->registry);
	start.registry = s->registry;
	if (err == KT_ERR_OK)
		err = recover(&start);
	if (err == KT_ERR_OK) {
		s->writer.ledger = start.ledger;
		s->writer.index = start.index;
		s->index_failed = start.index_failed;
		if (start.state.seq == 1 && s->record_count == 0) {
			struct kt_record first = {.seq = 1,
						  .time_us = start.now_us,
						  .kind = KT_RECORD_LEDGER_BEGIN,
						  .actor = "keyturn",
						  .trust_domain = SIM_TD};

			keep_record(sim, &first);
		}
		if (s->is_ledger_damaged)
			sim_break(sim, "D", "a damaged ledger is taken");
		check_index(sim, &start, is_disturbed);
		if (s->may_roll_back && start.state.seq < s->durable_seq)
			roll_shadow_back(sim, start.state.seq);
		else
			sim_check_recovered(sim, start.state.seq);
		s->may_roll_back = false;
		free_backup(&s->newest);
		if (!sim_is_broken(sim))
			follow_shadow(sim, start.state.seq);
		err = make_core(sim);
	}
	sim_leave();
	if (sim_is_broken(sim))
		return;
	if (s->die_in > 0 && !s->is_dying)
		s->is_dying = true;
	if (err != KT_ERR_OK || s->is_dying) {
		start_failed(sim, err, why, is_disturbed);
		return;
	}
	s->fail_in = 0;
	s->is_up = true;
	s->active_ms = sim->now_ms;
	s->tick_at_ms = 0;
	compare_fold(sim);
	sim_check_promoted(sim, true);
	s->is_index_damaged = false;
	sim_trace(sim, "server", "server", "up, seq %" PRIu64, s->durable_seq);
	plan_tick(sim);
}

/* --- its threads and its loop --- */

static void fold(struct sim *sim, uint64_t seq)
{
	struct sim_server *s = &sim->server;

	sim_pause(true);
	while (kt_registry_seq(s->shadow) < seq) {
		const struct kt_record *record = &s->records[kt_registry_seq(s->shadow)];

		if (kt_registry_apply(s->shadow, record) != KT_ERR_OK) {
			sim_break(sim, "X", "the shadow refuses record %" PRIu64, record->seq);
			break;
		}
	}
	sim_pause(false);
}

static struct kt_store_item *take_group(struct sim *sim, size_t *count)
{
	struct sim_server *s = &sim->server;
	struct kt_store_item *first = s->first;
	struct kt_store_item *last = first;
	size_t most = 1 + sim_below(&sim->schedule, 8);

	*count = 1;
	while (last->next != NULL && *count < most) {
		last = last->next;
		(*count)++;
	}
	s->first = last->next;
	if (s->first == NULL)
		s->last = NULL;
	last->next = NULL;
	return first;
}

void sim_server_ledger(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	struct kt_ledger_state state;
	struct kt_store_item *group;
	size_t count;
	enum kt_err err;

	s->is_ledger_due = false;
	if (!s->is_up || s->first == NULL)
		return;
	sim_server_begin(sim);
	if (kt_store_writer_is_full(&s->writer))
		kt_store_writer_drop(&s->writer);
	group = take_group(sim, &count);
	err = kt_store_writer_append(&s->writer, group, count, &state);
	kt_store_items_free(group);
	if (!s->is_dying) {
		s->durable_seq = state.seq;
		fold(sim, state.seq);
		if (err != KT_ERR_OK) {
			s->has_failed = true;
			sim_trace(sim, "server", "server", "LEDGER FAILED at %" PRIu64, state.seq);
		}
	}
	if (s->first != NULL) {
		s->is_ledger_due = true;
		sim_later(sim, sim_some_ms(sim, 5),
			  &(struct sim_event){.kind = SIM_EV_LEDGER, .number = s->life});
	}
	if (!s->is_index_due && s->writer.waiting_count > 0) {
		s->is_index_due = true;
		sim_later(sim, sim_some_ms(sim, 4000),
			  &(struct sim_event){.kind = SIM_EV_INDEX, .number = s->life});
	}
	sim_server_after(sim);
}

void sim_server_index(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	s->is_index_due = false;
	if (!s->is_up || s->writer.waiting_count == 0)
		return;
	sim_server_begin(sim);
	if (s->index_failed)
		kt_store_writer_drop(&s->writer);
	else if (kt_store_writer_index(&s->writer) == KT_ERR_OK)
		s->index_seq = s->is_index_doubtful ? 0 : s->writer.indexed_seq;
	else
		s->index_failed = true;
	sim_server_after(sim);
}

/* A request for another key than the first one of its op. */
static bool is_second_key(struct sim *sim, const struct kt_device *device, uint64_t op,
			  const struct kt_key_id *key_id)
{
	int i = sim_device_of(sim, device->id.s);
	struct sim_ghost_device *ghost = i < 0 ? NULL : &sim->devices[i];

	if (ghost == NULL || op < ghost->csr_op)
		return false;
	if (op == ghost->csr_op)
		return !kt_key_id_eq(key_id, &ghost->csr_key);
	ghost->csr_op = op;
	ghost->csr_key = *key_id;
	return false;
}

static void cover_message(struct sim *sim, const struct kt_device *device, const struct kt_job *job)
{
	const struct kt_message *m = job->message;
	enum kt_server_phase phase = kt_rotation_phase(device);

	switch ((int)m->type) {
	case KT_MESSAGE_CSR:
		if (is_second_key(sim, device, m->u.csr.op, &job->csr.key_id))
			sim_cover_server(phase, KT_ROTATION_SECOND_KEY);
		else
			sim_cover_server(phase, KT_ROTATION_CSR);
		break;
	case KT_MESSAGE_CONFIRM:
		sim_cover_server(phase, KT_ROTATION_CONFIRM);
		break;
	case KT_MESSAGE_PROMOTED:
		sim_cover_server(phase, KT_ROTATION_PROMOTED);
		break;
	case KT_MESSAGE_FAILED:
		sim_cover_server(phase, KT_ROTATION_FAILED);
		break;
	case KT_MESSAGE_HELLO:
		if (m->u.hello.op > device->op)
			sim_cover_server(phase, KT_ROTATION_BEHIND);
		if (sim_device_of(sim, device->id.s) >= 0)
			sim->devices[sim_device_of(sim, device->id.s)].is_behind =
				m->u.hello.op > device->op;
		break;
	default:
		break;
	}
}

/* Which cell of the table an opened message or a certificate comes to. */
static void cover_job(struct sim *sim, const struct kt_job *job)
{
	const struct kt_registry *registry = sim->server.registry;
	const struct kt_device *device;

	if (job->err != KT_ERR_OK || job->kind == KT_JOB_SEAL || job->is_claim)
		return;
	device = kt_registry_find_device(
		registry, job->kind == KT_JOB_ISSUE ? job->device.s : job->message->device.s);
	if (device == NULL)
		return;
	if (job->kind == KT_JOB_ISSUE)
		sim_cover_server(kt_rotation_phase(device), KT_ROTATION_CERTIFIED);
	else
		cover_message(sim, device, job);
}

static unsigned alarms_of_all(const struct sim *sim)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SIM_HUBS; i++)
		count += sim->devices[i].alarms;
	return count;
}

/* I5: where a second key is refused, there is an alarm. */
static void finish_job(struct sim *sim, struct kt_job *job)
{
	struct sim_server *s = &sim->server;
	uint64_t refusals = kt_core_count(s->core, KT_REASON_KEY_SECOND);
	unsigned alarms = alarms_of_all(sim);

	kt_core_job_done(s->core, sim_server_now(sim), job); /* moved */
	if (kt_core_count(s->core, KT_REASON_KEY_SECOND) != refusals &&
	    alarms_of_all(sim) == alarms)
		sim_break(sim, "I5", "a second key was refused, and nobody was told");
}

void sim_server_job(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	struct kt_job *job;
	size_t i = 0;

	if (!s->is_up)
		return;
	while (i < s->job_count && s->job_due_ms[i] > sim->now_ms)
		i++;
	if (i == s->job_count)
		return;
	job = s->job[i];
	s->job_count--;
	memmove(s->job + i, s->job + i + 1, (s->job_count - i) * sizeof(s->job[0]));
	memmove(s->job_due_ms + i, s->job_due_ms + i + 1,
		(s->job_count - i) * sizeof(s->job_due_ms[0]));
	sim_server_begin(sim);
	kt_job_run(s->bench, job);
	if (job->kind == KT_JOB_SEAL && job->err == KT_ERR_OK)
		(void)sim_note(sim, job->sealed, job->sealed_len, job->message);
	cover_job(sim, job);
	finish_job(sim, job); /* moved */
	sim_server_after(sim);
}

void sim_server_tick(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	int64_t active_ms = s->active_ms;

	if (!s->is_up || sim->now_ms < s->tick_at_ms)
		return;
	sim_server_begin(sim);
	s->active_ms = active_ms; /* a tick alone is no activity */
	if (s->told_seq != s->durable_seq || s->told_failed != s->has_failed) {
		s->told_seq = s->durable_seq;
		s->told_failed = s->has_failed;
		s->active_ms = sim->now_ms;
		kt_core_durable(s->core, sim_server_now(sim), s->told_seq, s->told_failed);
	}
	kt_core_tick(s->core, sim_server_now(sim));
	sim_server_after(sim);
}

/* --- backups and disasters --- */

static void free_backup(struct sim_backup *b)
{
	free(b->ledger);
	free(b->index);
	free(b->wal);
	memset(b, 0, sizeof(*b));
}

/* Of what the disk has: what a failed sync left in the cache alone is no part of a backup. */
static void take_backup(struct sim *sim, struct sim_backup *b)
{
	const struct sim_server *s = &sim->server;
	const struct fake_fs *fs = s->disk.fs;

	free_backup(b);
	b->ledger = fake_fs_durable_content(fs, LEDGER_DIR "/ledger.kt", &b->ledger_len);
	b->index = fake_fs_durable_content(fs, STATE_DIR "/index.sqlite", &b->index_len);
	b->wal = fake_fs_durable_content(fs, STATE_DIR "/index.sqlite-wal", &b->wal_len);
	b->is_used = b->ledger != NULL && b->index != NULL;
	b->seq = s->durable_seq;
	b->index_seq = s->index_seq;
}

void sim_server_backup(struct sim *sim)
{
	struct sim_backup *b = &sim->server.backups[sim_below(&sim->chance, SIM_BACKUPS)];

	if (!sim->server.is_up)
		return; /* what lies there now may be of two moments */
	take_backup(sim, b);
	sim_trace(sim, "server", "server", "backup at seq %" PRIu64, b->seq);
}

/* Over the table, synced: as a person with a backup does it. */
static void put_file(struct sim *sim, const char *path, const char *content, size_t len)
{
	struct sim_server *s = &sim->server;
	const struct kt_fs *fs = fake_fs_table(s->disk.fs);
	int fd;

	if (content == NULL) {
		(void)fs->unlink(fs->ctx, path);
	} else {
		fd = fs->open(fs->ctx, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		(void)fs->write(fs->ctx, fd, content, len);
		(void)fs->close(fs->ctx, fd);
	}
	fake_fs_sync(s->disk.fs);
}

static void put_index(struct sim *sim, const struct sim_backup *b)
{
	put_file(sim, STATE_DIR "/index.sqlite", b->index, b->index_len);
	put_file(sim, STATE_DIR "/index.sqlite-wal", b->wal, b->wal_len);
}

/* As the operator does when the start says that ledger and index are of two histories. */
static void remove_index(struct sim *sim)
{
	sim->server.has_foreign = false;
	sim->server.index_seq = 0;
	put_file(sim, STATE_DIR "/index.sqlite", NULL, 0);
	put_file(sim, STATE_DIR "/index.sqlite-wal", NULL, 0);
	sim_trace(sim, "server", "server", "the index is removed");
}

static void put_newest_back(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	put_file(sim, LEDGER_DIR "/ledger.kt", s->newest.ledger, s->newest.ledger_len);
	s->may_roll_back = false;
	s->is_ledger_damaged = false;
	sim_trace(sim, "server", "server", "the newest ledger is put back");
	free_backup(&s->newest);
}

static void cut_tail(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	size_t cut = 1 + sim_below(&sim->chance,
				   s->newest.ledger_len > 4000 ? 4000 : s->newest.ledger_len);

	put_file(sim, LEDGER_DIR "/ledger.kt", s->newest.ledger, s->newest.ledger_len - cut);
}

/* Another digit in one of its older lines: each line is a record still, with the wrong hash. */
static void damage_ledger(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	size_t at = sim_below(&sim->chance, s->newest.ledger_len / 2 + 1);
	char *bytes = sim_alloc(NULL, s->newest.ledger_len + 1, 1);

	memcpy(bytes, s->newest.ledger, s->newest.ledger_len);
	while (at > 0 && (bytes[at] < '0' || bytes[at] > '9'))
		at--;
	if (at > 0) {
		bytes[at] = bytes[at] == '9' ? '1' : (char)(bytes[at] + 1);
		s->is_ledger_damaged = true;
	}
	put_file(sim, LEDGER_DIR "/ledger.kt", bytes, s->newest.ledger_len);
	free(bytes);
}

/* All rows in the one file, as after a clean end. False: it does not open. */
static bool checkpoint(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	struct kt_index *index;

	sim_vfs_use(&s->disk);
	if (kt_index_open(&s->disk.table, STATE_DIR "/index.sqlite", &index) != KT_ERR_OK)
		return false;
	kt_index_close(index);
	fake_fs_sync(s->disk.fs);
	take_backup(sim, &s->newest);
	return s->newest.index != NULL && s->newest.index_len > 0;
}

/* A bit in the row of some credential: what SQLite reads may make sense all the same. */
static char *some_row(struct sim *sim, size_t *len)
{
	const struct sim_server *s = &sim->server;
	const struct sim_hub *hub = &sim->hubs[sim_below(&sim->chance, SIM_HUBS)];
	const struct kt_device *d = kt_registry_find_device(s->shadow, hub->id);
	char *bytes = s->newest.index;
	char *at = NULL;

	*len = ROW_AFTER;
	if (d != NULL && d->current != NULL)
		at = memmem(bytes, s->newest.index_len, &d->current->fp, sizeof(d->current->fp));
	return at == NULL || at - bytes < ROW_BEFORE ? at : at - ROW_BEFORE;
}

/* A letter of what says how the tables are made: a type may become another. */
static char *some_table(const struct sim *sim, size_t *len)
{
	static const char table[] = "CREATE TABLE ";
	const struct sim_server *s = &sim->server;

	*len = TABLE_TEXTS;
	return memmem(s->newest.index, s->newest.index_len, table, strlen(table));
}

static void change_bit(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	size_t len = 0;
	char *at = sim_chance(&sim->chance, 300) ? some_table(sim, &len) : some_row(sim, &len);

	if (at == NULL)
		return;
	at += sim_below(&sim->chance, len);
	if (at < s->newest.index + s->newest.index_len)
		*at ^= (char)(1 << sim_below(&sim->chance, 8));
	put_file(sim, STATE_DIR "/index.sqlite", s->newest.index, s->newest.index_len);
}

static void damage_index(struct sim *sim)
{
	struct sim_server *s = &sim->server;
	size_t len;
	char *bytes;

	if (sim_chance(&sim->chance, 500) && checkpoint(sim)) {
		change_bit(sim);
		return;
	}
	len = s->newest.index_len;
	bytes = sim_alloc(NULL, len + 1, 1);
	memcpy(bytes, s->newest.index, len);
	for (uint64_t i = sim_chance(&sim->chance, 500) ? 1 : 4; i > 0 && len > 0; i--)
		bytes[sim_below(&sim->chance, len)] ^= (char)(1 + sim_below(&sim->chance, 255));
	put_file(sim, STATE_DIR "/index.sqlite", bytes,
		 sim_chance(&sim->chance, 300) ? sim_below(&sim->chance, len + 1) : len);
	free(bytes);
}

void sim_server_disaster(struct sim *sim, enum sim_fault fault)
{
	struct sim_server *s = &sim->server;
	const struct sim_backup *b = &s->backups[sim_below(&sim->chance, SIM_BACKUPS)];

	fake_fs_sync(s->disk.fs);
	take_backup(sim, &s->newest);
	if (!s->newest.is_used || (fault == SIM_INDEX_FOREIGN && !s->foreign.is_used) ||
	    ((fault == SIM_INDEX_OLD || fault == SIM_LEDGER_OLD || fault == SIM_BOTH_OLD) &&
	     !b->is_used)) {
		free_backup(&s->newest);
		return;
	}
	sim_trace(sim, "server", "server", "%s", sim_fault_text(fault));
	switch ((int)fault) {
	case SIM_INDEX_OLD:
		put_index(sim, b);
		s->index_seq = b->index_seq;
		break;
	case SIM_INDEX_FOREIGN:
		put_index(sim, &s->foreign);
		s->has_foreign = true;
		break;
	case SIM_INDEX_LOST:
		s->index_seq = 0;
		put_file(sim, STATE_DIR "/index.sqlite", NULL, 0);
		if (sim_chance(&sim->chance, 500))
			put_file(sim, STATE_DIR "/index.sqlite-wal", NULL, 0);
		break;
	case SIM_INDEX_DAMAGED:
		s->index_seq = 0;
		s->is_index_damaged = true;
		damage_index(sim);
		break;
	case SIM_BOTH_OLD:
		put_index(sim, b);
		s->index_seq = b->index_seq;
		s->may_roll_back = true;
		put_file(sim, LEDGER_DIR "/ledger.kt", b->ledger, b->ledger_len);
		break;
	case SIM_LEDGER_OLD:
		s->may_roll_back = true;
		put_file(sim, LEDGER_DIR "/ledger.kt", b->ledger, b->ledger_len);
		return; /* the newest stays at hand */
	case SIM_LEDGER_CUT:
		s->may_roll_back = true;
		cut_tail(sim);
		return;
	case SIM_LEDGER_DAMAGED:
		damage_ledger(sim);
		return;
	default:
		break;
	}
	free_backup(&s->newest);
}

/* --- the machine --- */

void sim_server_init(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	sim_disk_init(&s->disk, gate, sim);
	s->store_config = (struct kt_store_config){
		.state_dir = STATE_DIR, .ledger_dir = LEDGER_DIR, .trust_domain = SIM_TD};
	s->broker = (struct kt_broker){.ctx = sim, .publish = port_publish, .kick = port_kick};
	s->journal =
		(struct kt_journal){.ctx = sim, .reserve = port_reserve, .append = port_append};
	s->jobs = (struct kt_jobs){.ctx = sim, .submit = port_submit};
	s->entropy = (struct kt_entropy){.ctx = sim, .bytes = port_bytes};
	kt_log_init(&s->log, sink, sim, KT_LOG_DEBUG);
	s->ports = (struct kt_ports){.broker = &s->broker,
				     .journal = &s->journal,
				     .jobs = &s->jobs,
				     .entropy = &s->entropy,
				     .log = &s->log};
	if (sim_pki_bench(sim->pki, &s->bench) != KT_ERR_OK ||
	    kt_registry_new(&s->shadow) != KT_ERR_OK)
		sim_break(sim, "X", "no bench, or no shadow");
}

void sim_server_clear(struct sim *sim)
{
	struct sim_server *s = &sim->server;

	s->is_dying = true;
	free_process(sim);
	kt_registry_free(s->shadow);
	kt_bench_free(s->bench);
	free_records(s, 0);
	free(s->records);
	for (unsigned i = 0; i < SIM_BACKUPS; i++)
		free_backup(&s->backups[i]);
	free_backup(&s->newest);
	free_backup(&s->foreign);
	sim_disk_clear(&s->disk);
}
