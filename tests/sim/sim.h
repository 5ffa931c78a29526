/*
 * sim - one world: a server, hubs, operators, a network, disks and clocks, under one seeded
 * scheduler.
 *
 * Everything that decides is the product: server core, registry, store writer and recovery, agent
 * core, identity store, message and certificate codecs. The simulator brings what they stand on,
 * and what can go wrong there. One seed is one run, to the byte. Parts: sim_world.c (events,
 * faults, phases of a run), sim_server.c, sim_hub.c, sim_net.c (the broker's connections),
 * sim_operator.c, sim_check.c (invariants), sim_cover.c (what was reached), sim_trace.c. One
 * thread.
 */
#ifndef SIM_H
#define SIM_H

#include "agent_ports.h"
#include "core.h"
#include "rollover.h"
#include "rotation.h"
#include "sim_disk.h"
#include "sim_random.h"
#include "store_start.h"
#include "store_writer.h"

#define SIM_TD "fleet.example"

enum {
	SIM_HUBS = 4, /* honest ones; a clone has a slot of its own */
	SIM_SLOTS = SIM_HUBS + 1,
	SIM_OPERATORS = 2,
	SIM_CONNS = 64,
	SIM_JOBS = 256,
	SIM_BACKUPS = 4,
	SIM_ROTATIONS = 10, /* begun in every run at the least */
	SIM_GHOSTS = 512,
	SIM_WHY = 400
};

/* --- what may go wrong --- */

#define SIM_FAULT_LIST(X)                                                                          \
	X(LOSE, "message lost")                                                                    \
	X(DUPLICATE, "message twice")                                                              \
	X(DELAY, "message late")                                                                   \
	X(CUT, "connection cut")                                                                   \
	X(NO_CONNECT, "connect unanswered")                                                        \
	X(ANSWER_LOST, "connack lost")                                                             \
	X(LATE_DOWN, "end of a connection noticed late")                                           \
	X(HUB_POWER, "hub loses power in a call")                                                  \
	X(HUB_KILL, "agent killed")                                                                \
	X(HUB_EIO, "hub: EIO")                                                                     \
	X(HUB_ENOSPC, "hub: ENOSPC")                                                               \
	X(HUB_ENOMEM, "hub: ENOMEM")                                                               \
	X(HUB_KEY_EIO, "hub: EIO where a key is there already")                                    \
	X(HUB_START_ENOMEM, "hub: ENOMEM in a start")                                              \
	X(HUB_CLOCK, "hub: clock jumps")                                                           \
	X(HUB_SPOILT, "hub: a copy of the record cannot be read")                                  \
	X(HOOK_FAILS, "hub: a hook fails")                                                         \
	X(SERVER_POWER, "server loses power in a call")                                            \
	X(SERVER_KILL, "broker killed")                                                            \
	X(SERVER_EIO, "server: EIO")                                                               \
	X(SERVER_ENOSPC, "server: ENOSPC")                                                         \
	X(SERVER_ENOMEM, "server: ENOMEM")                                                         \
	X(SERVER_CLOCK, "server: clock jumps")                                                     \
	X(SERVER_RELOAD, "SIGHUP")                                                                 \
	X(KICK_REFUSED, "broker cannot take a kick")                                               \
	X(PROMOTED_REFUSED, "ledger gives up at a promoted")                                       \
	X(QUEUE_FULL, "workers' queue full")                                                       \
	X(SLOW_DISK, "ledger late")                                                                \
	X(INDEX_OLD, "index of a backup")                                                          \
	X(INDEX_LOST, "index lost")                                                                \
	X(INDEX_DAMAGED, "index damaged")                                                          \
	X(INDEX_FOREIGN, "index of a history that is given up")                                    \
	X(LEDGER_OLD, "ledger of a backup")                                                        \
	X(LEDGER_CUT, "ledger's tail cut")                                                         \
	X(LEDGER_DAMAGED, "ledger damaged")                                                        \
	X(BOTH_OLD, "ledger and index of a backup")                                                \
	X(ACCEPT, "a rolled back ledger accepted")                                                 \
	X(CLONE, "hub's disk copied")                                                              \
	X(ROTATE, "operator: rotate")                                                              \
	X(CANCEL, "operator: cancel")                                                              \
	X(REVOKE, "operator: revoke")                                                              \
	X(QUARANTINE, "operator: quarantine")                                                      \
	X(RELEASE, "operator: release")                                                            \
	X(DELETE, "operator: delete")                                                              \
	X(CHALLENGE, "operator: challenge")                                                        \
	X(CAMPAIGN, "operator: a campaign")                                                        \
	X(STEER, "operator: pauses, resumes or aborts a campaign")                                 \
	X(TICKET, "operator: ticket for a device that exists")                                     \
	X(WRONG_TICKET, "a ticket that the plugin never gave")                                     \
	X(STRANGE, "authentic message of another time")                                            \
	X(WELCOME, "welcome of another time before the true one")                                  \
	X(SLOW_WORKER, "worker late")                                                              \
	X(WAKE_APP, "hub's program reconnects")

enum sim_fault {
#define SIM_FAULT_ENUM(code, text) SIM_##code,
	SIM_FAULT_LIST(SIM_FAULT_ENUM) SIM_FAULT_COUNT
#undef SIM_FAULT_ENUM
};

/* --- time and events --- */

enum sim_event_kind {
	SIM_EV_HUB_START,
	SIM_EV_HUB_TICK,
	SIM_EV_HOOK_DONE,
	SIM_EV_SERVER_START,
	SIM_EV_SERVER_TICK,
	SIM_EV_JOB,
	SIM_EV_LEDGER,
	SIM_EV_INDEX,
	SIM_EV_CONNECT,	  /* reaches the broker */
	SIM_EV_ANSWER,	  /* reaches the hub: UP or DOWN */
	SIM_EV_TO_SERVER, /* a message reaches the broker */
	SIM_EV_TO_HUB,
	SIM_EV_DOWN,	 /* the client notices the end */
	SIM_EV_END,	 /* the broker notices it */
	SIM_EV_APP,	 /* the hub's own program does something */
	SIM_EV_OPERATOR, /* an operator's session is (re)made */
	SIM_EV_TROUBLE	 /* a fault that needs no occasion */
};

struct sim_event {
	int64_t at_ms;
	uint64_t order; /* of equals: as they were made */
	enum sim_event_kind kind;
	unsigned slot;	 /* hub, or connection, or operator */
	uint64_t number; /* of the connection, or of the life of what it is for */
	int cause;  /* ANSWER, DOWN: enum kt_link_cause; ANSWER: -1 is UP; HOOK_DONE: was early */
	char *text; /* owned */
	size_t len;
};

/* --- the parts --- */

enum sim_conn_kind { SIM_CONN_LINK, SIM_CONN_APP, SIM_CONN_OPERATOR };

struct sim_conn { /* one connection, as broker and client see it */
	bool is_used;
	bool at_client; /* the client believes in it */
	bool at_broker; /* a client of the broker, known to the core */
	uint64_t number;
	enum sim_conn_kind kind;
	unsigned owner; /* hub slot or operator */
	enum kt_link link;
	uintptr_t pointer; /* the broker's, used again after its end */
	char client_id[KT_CLIENT_ID_MAX];
	char topic[KT_TOPIC_MAX];
	uint8_t cert[KT_CERT_MAX];
	size_t cert_len;
	struct kt_fingerprint fp;
	int64_t started_ms;
	struct kt_nonce dn;  /* of its hello or enroll */
	int64_t last_due_ms; /* of the message before: in order, unless a fault says otherwise */
	int64_t given_up_ms; /* its credential was seen to be; 0: it is not */
};

/* What the messages on the way are, by their text: for trace and checks, never for the product. */
struct sim_note {
	uint64_t hash;
	enum kt_message_type type;
	uint64_t op;
	struct kt_fingerprint fp;
	struct kt_device_id device;
	struct kt_nonce dn;
	enum kt_reason reason;
	enum kt_next next;
	bool wipe;
	enum kt_message_type of;
	bool is_strange;
};
enum { SIM_NOTES = 512 };

struct sim_hub {
	unsigned slot;
	char id[16];
	bool exists;
	bool is_up;
	bool is_dying; /* the power went in the call that runs */
	bool is_clone;
	bool is_cloned; /* there is a clone: no promise of I1, LV */
	uint64_t life;
	struct sim_disk disk;
	unsigned die_in;  /* calls until the power goes; 0: no plan */
	unsigned fail_in; /* calls until one fails */
	int fail_err;
	int64_t clock_off_s;
	struct kt_crypto *crypto;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	struct kt_agent_ports ports;
	struct kt_agent_disk agent_disk; /* ports.disk with an ear */
	struct kt_agent_hooks hooks;
	struct kt_agent_entropy entropy;
	struct kt_transport transport;
	struct kt_log log;
	struct kt_agent *agent;
	bool has_ticket;
	bool starts_again; /* the ticket is new: what it begins is not on disk yet */
	struct kt_ticket ticket;
	char why[512];
	int64_t tick_at_ms; /* planned; INT64_MAX: none */
	/* its own program: one MQTT client with the hub's identity */
	uint8_t app_cert[KT_CERT_MAX];
	size_t app_cert_len;
	struct kt_fingerprint app_fp;
	uint64_t to_wipe; /* directory of the key that goes before `promoted` */
	uint64_t over_op; /* a reject said that it is closed, or that none knows it; 0: none did */
	unsigned network; /* where it is: each has an address for it */
	int64_t moved_ms;
};

struct sim_backup {
	bool is_used;
	char *ledger;
	size_t ledger_len;
	char *index; /* main file and WAL, in turn */
	size_t index_len;
	char *wal;
	size_t wal_len;
	uint64_t seq;
	uint64_t index_seq; /* of its index, at the least */
};

enum { SIM_GHOST_COMMITS = 8 };
struct sim_ghost_commit {
	uint64_t seq; /* of its record */
	int64_t at_ms;
};

enum { SIM_GHOST_CAMPAIGNS = 64 };
struct sim_ghost_campaign { /* what durable records have said of its devices; began_us 0: none */
	struct kt_device_id name;
	int64_t began_us;
	uint8_t end[SIM_HUBS]; /* enum kt_member_status; 0: not yet */
};

struct sim_ghost_device { /* what the world was told about a device */
	char id[16];
	bool is_revoked; /* acknowledged, durable */
	int64_t revoked_ms;
	bool revoke_wanted; /* ordered, whether acknowledged or not */
	bool is_reenrolled; /* a certificate was issued after a revoke was ordered */
	bool may_forget;   /* an enrolment: a wrong ticket came, or a copy of the record was lost */
	bool needs_ticket; /* an enrolment ended without a word, or its ticket is forgotten */
	uint64_t csr_op;   /* of the first request, and its key */
	struct kt_key_id csr_key;
	bool is_behind; /* its hello named a newer op: that must be said before it is served */
	unsigned alarms;
	unsigned suspicions;
	uint64_t promoted_op; /* that the plugin has in memory */
	uint8_t ticket[32];   /* hash of the last one that was seen */
	unsigned refusals;    /* of credentials that the registry knows as ended */
	struct sim_ghost_commit commit[SIM_GHOST_COMMITS]; /* the last ones */
	unsigned commit_count;
};

struct sim_ghost { /* a credential whose end was told */
	struct kt_fingerprint fp;
	unsigned device;
	uint64_t op; /* that superseded it */
	int64_t at_ms;
};

struct sim_server {
	bool is_up;
	bool is_dying;
	uint64_t life;
	struct sim_disk disk;
	unsigned die_in;
	unsigned fail_in;
	int fail_err;
	int64_t clock_off_us;
	struct kt_registry *registry;
	struct kt_store_writer writer;
	struct kt_store_config store_config;
	struct kt_core *core;
	struct kt_bench *bench;
	struct kt_ports ports;
	struct kt_broker broker;
	struct kt_journal journal;
	struct kt_jobs jobs;
	struct kt_entropy entropy;
	struct kt_log log;
	struct kt_store_item *first; /* records on their way to the disk */
	struct kt_store_item *last;
	struct kt_store_item *reserved; /* for the next one */
	bool is_ledger_due;
	bool is_index_due;
	bool has_failed; /* the ledger: nothing becomes durable any more */
	bool index_failed;
	uint64_t durable_seq;
	bool told_failed;
	uint64_t told_seq;
	struct kt_job *job[SIM_JOBS];
	int64_t job_due_ms[SIM_JOBS];
	size_t job_count;
	int64_t tick_at_ms;
	int64_t active_ms; /* the last thing that happened */
	char kicks[SIM_CONNS][KT_CLIENT_ID_MAX];
	size_t kick_count;
	int64_t kick_refused_ms; /* the last one */
	/* shadow: the records that are durable, folded by themselves */
	struct kt_registry *shadow;
	struct kt_record *records; /* all that were ever appended, by seq - 1 */
	size_t record_count;
	struct sim_backup backups[SIM_BACKUPS];
	struct sim_backup newest;  /* put aside before a restore */
	struct sim_backup foreign; /* of before a rolled back ledger was taken */
	bool has_foreign;	   /* its index lies there: no start may take it */
	uint64_t index_seq;	   /* a power cut leaves the index with these records */
	bool may_roll_back;	   /* a ledger of old lies there */
	bool is_ledger_damaged;	   /* a line of it is not what was written: no start may take it */
	bool is_index_damaged;
	bool is_index_doubtful; /* a call has failed: of what SQLite makes of it nothing is promised
				 */
	bool is_rolled_back;	/* it was taken for the newest: only what it knows is promised */
	bool is_reconciling;	/* an operator has accepted it: I1 and LV hold all the same */
	unsigned starts;
};

struct sim_operator {
	unsigned slot;
	uint64_t asked; /* correlation of the last command */
	struct {
		uint64_t correlation;
		enum sim_fault command;
		unsigned hub;
	} open[64];
	size_t open_count;
};

struct sim_options {
	uint64_t seed;
	bool is_real_crypto;
	bool has_trace;
	bool has_policies; /* of the seed's own: clone signals, challenges; else the defaults */
	uint64_t max_steps;
	const uint8_t *skip; /* faults left out, by number; NULL: none */
	size_t skip_count;
};

struct sim_result {
	bool is_good;
	char invariant[8]; /* "I1" ... "LV", or "D" (durability), "X" (the simulator's own) */
	char why[SIM_WHY];
	uint64_t steps;
	uint64_t faults;
	unsigned rotations; /* begun */
	unsigned commits;
	unsigned rotated; /* of those: no enrolments */
	unsigned alarms;  /* clone.alarmed, session.contended; with a clone */
	unsigned suspicions;
	unsigned false_alarms; /* without one */
	unsigned silences;     /* challenge.missed */
	bool is_rolled_back;
	bool is_reconciled;
	bool has_clone;
};

struct sim_pki; /* root, issuer, controller: the same in every run of one kind of crypto */

struct sim {
	struct sim_options options;
	struct sim_random schedule; /* delays, order */
	struct sim_random chance;   /* faults */
	struct sim_random entropy;  /* nonces, back-off */
	struct sim_random places;   /* where hubs are */
	int64_t now_ms;
	uint64_t order;
	struct sim_event *heap;
	size_t heap_count;
	size_t heap_cap;
	unsigned per_mille[SIM_FAULT_COUNT]; /* of this run */
	bool is_calm;			     /* the faults have stopped */
	bool is_mute;			     /* no refusal reaches a hub: all are silence */
	int64_t help_due_ms;
	uint64_t fault_number;
	uint64_t conn_number;
	uintptr_t next_pointer;
	uintptr_t free_pointer[SIM_CONNS];
	size_t free_count;
	struct sim_conn conns[SIM_CONNS];
	struct sim_hub hubs[SIM_SLOTS];
	struct sim_server server;
	struct sim_operator operators[SIM_OPERATORS];
	struct sim_ghost_device devices[SIM_HUBS];
	struct sim_ghost_campaign campaigns[SIM_GHOST_CAMPAIGNS];
	uint64_t campaigns_seq; /* of the shadow, when they were looked at */
	struct sim_ghost ghosts[SIM_GHOSTS];
	size_t ghost_count;
	struct sim_note notes[SIM_NOTES];
	size_t note_count;
	unsigned rotations;
	unsigned commits;
	unsigned clones;
	struct kt_config *config;
	const struct sim_pki *pki;
	struct sim_result *result;
};

/* --- sim_world.c --- */

/* One run. False: an invariant is broken, see @result. */
bool sim_run(const struct sim_options *options, struct sim_result *result);
/* After @delay_ms; takes @event->text over. */
void sim_later(struct sim *sim, int64_t delay_ms, const struct sim_event *event);
/* Shall this fault happen here and now? Counted, numbered; never when it is calm. */
bool sim_fault(struct sim *sim, enum sim_fault fault);
/* A number of ms of the usual size, out of the schedule. */
int64_t sim_some_ms(struct sim *sim, int64_t max_ms);
void sim_break(struct sim *sim, const char *invariant, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool sim_is_broken(const struct sim *sim);
/* Around each call into the product: the plan for ENOMEM. Not while a check runs inside of it. */
void sim_enter(struct sim *sim, enum sim_fault enomem);
void sim_leave(void);
void sim_pause(bool is_paused);
void *sim_alloc(void *old, size_t count, size_t size); /* the simulator's own: never fails */
const char *sim_fault_text(enum sim_fault fault);

/* --- sim_pki.c --- */

const struct sim_pki *sim_pki_get(bool is_real);
struct kt_bytes sim_pki_root(const struct sim_pki *pki);
struct kt_bytes sim_pki_issuer(const struct sim_pki *pki);
/* KT_ERR_NOMEM and the like, as the plugin's start has them. */
enum kt_err sim_pki_bench(const struct sim_pki *pki, struct kt_bench **out);

/* --- sim_server.c --- */

void sim_server_init(struct sim *sim);
void sim_server_clear(struct sim *sim);
void sim_server_start(struct sim *sim);
/* @has_power: the process is gone, the disk keeps its cache. */
void sim_server_stop(struct sim *sim, bool has_power);
struct kt_now sim_server_now(const struct sim *sim);
void sim_server_tick(struct sim *sim);
void sim_server_job(struct sim *sim);
void sim_server_ledger(struct sim *sim);
void sim_server_index(struct sim *sim);
/* Before every call into the core: what fails in it is planned. */
void sim_server_begin(struct sim *sim);
/* After it: kicks are carried out, ticks planned, a death completed. */
void sim_server_after(struct sim *sim);
void sim_server_backup(struct sim *sim);
/* A disaster of the kind INDEX_OLD ... BOTH_OLD, with the broker down. */
void sim_server_disaster(struct sim *sim, enum sim_fault fault);

/* --- sim_hub.c --- */

void sim_hub_init(struct sim *sim, unsigned slot, const char *id);
void sim_hub_clear(struct sim_hub *hub);
void sim_hub_start(struct sim *sim, struct sim_hub *hub);
void sim_hub_stop(struct sim *sim, struct sim_hub *hub, bool has_power);
void sim_hub_tick(struct sim *sim, struct sim_hub *hub);
void sim_hub_hook_done(struct sim *sim, struct sim_hub *hub, bool was_early, bool succeeded);
void sim_hub_link_event(struct sim *sim, struct sim_hub *hub, struct kt_link_event *event);
void sim_hub_after(struct sim *sim, struct sim_hub *hub);
void sim_hub_clone(struct sim *sim, struct sim_hub *hub);
void sim_hub_app(struct sim *sim, struct sim_hub *hub);
/*
 * What a file of an identity's directory holds, for the caller to free; NULL: it is not there, or
 * empty, or was wiped.
 */
char *sim_hub_file(const struct sim_hub *hub, uint64_t dir, const char *name, bool is_durable,
		   size_t *len);
bool sim_hub_has_file(const struct sim_hub *hub, uint64_t dir, const char *name, bool is_durable);
/* The record as a start would find it with all that is synced and nothing else. */
bool sim_hub_durable_record(const struct sim_hub *hub, struct kt_agent_record *out);

/* --- sim_net.c --- */

struct sim_conn *sim_conn_new(struct sim *sim, enum sim_conn_kind kind, unsigned owner,
			      const char *client_id);
struct sim_conn *sim_conn_of(struct sim *sim, unsigned index, uint64_t number);
struct sim_conn *sim_conn_of_link(struct sim *sim, unsigned hub, enum kt_link link);
void sim_net_connect(struct sim *sim, struct sim_event *event);
void sim_net_answer(struct sim *sim, struct sim_event *event);
void sim_net_to_server(struct sim *sim, struct sim_event *event);
void sim_net_to_hub(struct sim *sim, struct sim_event *event);
void sim_net_down(struct sim *sim, struct sim_event *event);
void sim_net_broker_down(struct sim *sim, struct sim_event *event);
/* A message leaves the client. */
void sim_net_send(struct sim *sim, struct sim_conn *conn, const char *text, size_t len);
/* One of our controller's messages reaches a hub that it was not meant for any more, or not yet. */
void sim_net_strange(struct sim *sim);
/* The plugin publishes. */
void sim_net_publish(struct sim *sim, const char *client_id, const char *topic,
		     struct kt_bytes payload);
/* The broker ends a connection; the core is told at once, the client later (@cause). */
void sim_net_end(struct sim *sim, struct sim_conn *conn, enum kt_link_cause cause);
/* The client hangs up, or its machine is gone. */
void sim_net_client_gone(struct sim *sim, struct sim_conn *conn);
void sim_net_server_gone(struct sim *sim);
/* Both ends are gone. */
void sim_conn_settle(struct sim *sim, struct sim_conn *conn);

/* --- sim_operator.c --- */

void sim_operator_connect(struct sim *sim, unsigned slot);
/* One command; false: there is no session to say it in. */
bool sim_operator_say(struct sim *sim, enum sim_fault command, unsigned hub);
/* The operator hands it to the hub's owner, who puts it in and starts the hub. */
void sim_hub_take_ticket(struct sim *sim, struct sim_hub *hub, const struct kt_ticket *ticket);
void sim_operator_heard(struct sim *sim, unsigned slot, const char *json);

/* --- sim_check.c --- */

struct sim_note *sim_note(struct sim *sim, const char *text, size_t len,
			  const struct kt_message *message);
const struct sim_note *sim_noted(const struct sim *sim, const char *text, size_t len);
/* After a call into the core, and after a start. */
void sim_check_promoted(struct sim *sim, bool is_start);
void sim_check_campaigns(struct sim *sim);
/* The fields of a command about campaigns. */
void sim_campaign_say(struct sim *sim, enum sim_fault command, char *out, size_t cap);
void sim_check_step(struct sim *sim);
void sim_check_accept(struct sim *sim, const struct sim_conn *conn,
		      const struct kt_connect *connect, enum kt_answer answer);
void sim_check_to_hub(struct sim *sim, const struct sim_conn *conn, const struct sim_note *note);
/* After a start of @hub; @before: what its disk said, zeros for nothing. */
void sim_check_opened(struct sim *sim, const struct sim_hub *hub,
		      const struct kt_agent_record *before);
void sim_check_from_hub(struct sim *sim, const struct sim_conn *conn, const struct sim_note *note);
/* Of the registry, whether or not its record will be written. */
void sim_check_change(struct sim *sim, const struct kt_record *record);
void sim_check_record(struct sim *sim, const struct kt_record *record);
void sim_check_recovered(struct sim *sim, uint64_t seq);
void sim_check_server_log(struct sim *sim, const char *line);
void sim_check_asked(struct sim *sim, enum sim_fault command, unsigned hub);
/* Before a connection is ended by the core's kick. */
void sim_check_kick(struct sim *sim, const struct sim_conn *conn);
void sim_check_ack(struct sim *sim, enum sim_fault command, unsigned hub, bool is_done);
/* Does the server take something that the hub holds? */
bool sim_check_is_taken(const struct sim *sim, const struct sim_hub *hub);
/* LV: is all well? *why: what is not. */
bool sim_check_settled(struct sim *sim, char why[static SIM_WHY]);
int sim_device_of(const struct sim *sim, const char *id); /* -1: none */

/* --- sim_cover.c --- */

/* All counts, for one process to hand to another. */
struct sim_cover {
	uint64_t faults[SIM_FAULT_COUNT];
	uint64_t server[KT_SERVER_ISSUED + 1][KT_ROTATION_EVENT_COUNT];
	uint64_t device[KT_AGENT_CERT + 1][KT_EV_COUNT];
};
const struct sim_cover *sim_cover_get(void);
void sim_cover_add(const struct sim_cover *other);
void sim_cover_fault(enum sim_fault fault);
void sim_cover_server(enum kt_server_phase phase, enum kt_rotation_event event);
/* Text table on stdout or JSON; false: something that must be reached was not. */
bool sim_cover_report(bool is_json, unsigned *passed, unsigned *failed);

/* --- sim_trace.c --- */

/* @from, @to: "server", "hub-1", "op-0", "net"; one line of the diagram. */
void sim_trace(const struct sim *sim, const char *from, const char *to, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void sim_trace_note(const struct sim *sim, const char *from, const char *to,
		    const struct sim_note *note, const char *what);

#endif
