/*
 * core_world - the plugin's core between ports that know what must hold.
 *
 * The broker, the ledger, the workers and the operators are the fuzzer's: it says what comes next.
 * Beside the core's own registry there is a shadow that holds the durable records alone.
 * Certificates are readable text (fake_crypto). An invariant that is broken aborts: I2 superseded
 * is out, I3 revoked is out, I4 one key one device, one certificate an op, I7 nothing leaves that
 * is not durable, I8 a pending credential opens a trial and no topic of the site's.
 */
#ifndef CORE_WORLD_H
#define CORE_WORLD_H

#include "core_internal.h"
#include "fake_crypto.h"
#include "fleet.h"

#define WORLD_CAROL                                                                                \
	"spiffe://" FLEET_TD "/operator/carol|1600000000|253402300799" /* no operator yet */

enum {
	WORLD_DEVICES = 4, /* the last one does not exist at first */
	WORLD_CONNS = 10,
	WORLD_CERTS = 48,
	WORLD_CERT_TEXT = 160,
	WORLD_RECORDS = 512,
	WORLD_JOBS = 64,
	WORLD_NOTES = 256,
	WORLD_SIGNED = 128,
	WORLD_GHOSTS = 64,
	WORLD_TICKETS = 8
};

struct world_cert {
	char text[WORLD_CERT_TEXT];
	struct kt_fingerprint fp;
	bool is_device;
};

struct world_conn { /* a client of the broker */
	bool is_used;
	bool is_deferred;
	char client_id[KT_CLIENT_ID_MAX];
	unsigned cert; /* WORLD_CERTS: none */
	const char *address;
	/* since when its credential is out for all to see, in ms and in ticks; 0: it is not */
	int64_t out_ms;
	unsigned out_ticks;
};

struct world_note { /* what a sealed message says */
	enum kt_message_type type;
	struct kt_device_id device;
	uint64_t op;
	struct kt_fingerprint fp;
	struct kt_nonce dn;
	enum kt_message_type of;
};

struct world_signed { /* a certificate that the workers have signed */
	struct kt_device_id device;
	uint64_t op;
	struct kt_key_id key_id;
	unsigned life;
};

struct core_world {
	struct kt_core *core;
	struct kt_registry *registry;
	struct kt_registry *shadow;
	unsigned variant;
	struct kt_config config;
	struct kt_ports ports;
	struct kt_broker broker;
	struct kt_journal journal;
	struct kt_jobs jobs;
	struct kt_entropy entropy;
	struct kt_log log;
	struct kt_now now;
	unsigned life;
	/* the ledger */
	struct kt_record records[WORLD_RECORDS]; /* behind the fixture's */
	size_t record_count;
	size_t durable_count;
	uint64_t fixture_seq;
	uint64_t reserved_seq;
	bool has_failed;
	bool told_failed;
	/* who is there, and with what */
	struct world_cert certs[WORLD_CERTS];
	unsigned cert_count;
	struct world_conn conns[WORLD_CONNS];
	char kicks[WORLD_CONNS][KT_CLIENT_ID_MAX];
	unsigned kick_count;
	int64_t kick_refused_ms;
	struct kt_job *waiting[WORLD_JOBS];
	unsigned waiting_count;
	struct world_note notes[WORLD_NOTES];
	unsigned note_count;
	struct world_signed signatures[WORLD_SIGNED];
	unsigned signed_count;
	struct kt_fingerprint ghosts[WORLD_GHOSTS]; /* superseded, and told so */
	unsigned ghost_count;
	struct kt_ticket tickets[WORLD_TICKETS];
	unsigned ticket_count;
	unsigned replies; /* to operators, so far */
	char *last_reply; /* owned */
	/* what shall fail */
	bool jobs_are_full;
	bool kick_fails;
	bool entropy_fails;
	bool publish_fails;
	uint8_t entropy_next;
	bool is_traced; /* KT_FUZZ_TRACE is set: what the core logs goes to stderr */
};

/* @variant: bits that choose the configuration and the registry at the start. */
struct core_world *core_world_new(unsigned variant);
void core_world_free(struct core_world *w);
const char *core_world_device(unsigned i);

/* Each is one event, with what the broker does after it. */
enum kt_answer core_world_connect(struct core_world *w, unsigned slot, unsigned cert,
				  const char *client_id, const char *username);
void core_world_disconnect(struct core_world *w, unsigned slot);
void core_world_say(struct core_world *w, unsigned slot, struct kt_bytes text);
void core_world_control(struct core_world *w, unsigned slot, struct kt_bytes text);
void core_world_durable(struct core_world *w, size_t count); /* so many records more */
void core_world_ledger_fails(struct core_world *w);
void core_world_tick(struct core_world *w, int64_t ms);
void core_world_reload(struct core_world *w);
/* The process ends; of the records that were on their way @kept more are on the disk. */
void core_world_restart(struct core_world *w, size_t kept);
/* The job at @index, or none. */
struct kt_job *core_world_take_job(struct core_world *w, unsigned index);
/* Moved. */
void core_world_job_done(struct core_world *w, struct kt_job *job);
/* As a worker does it: SEAL and ISSUE and CRL. */
void core_world_do_job(struct core_world *w, struct kt_job *job, bool fails);
enum kt_right core_world_acl(struct core_world *w, unsigned slot, enum kt_acl_action action,
			     const char *topic);
unsigned core_world_add_cert(struct core_world *w, const char *text, bool is_device);
/* After every event: nobody lives on who is out. */
void core_world_check(struct core_world *w);

#endif
