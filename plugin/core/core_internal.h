/*
 * core_internal - what the parts of the core share: its state, and the few ways to change the
 * world.
 *
 * For core*.c, rotation.c, enroll.c, challenge.c and control*.c only. The order is law: a change is
 * recorded (kt_core_change), then its effects are queued behind it (after_seq) and leave when it is
 * durable. Broker's thread.
 */
#ifndef KT_CORE_INTERNAL_H
#define KT_CORE_INTERNAL_H

#include "core.h"
#include "message.h"
#include "policies.h"
#include "session.h"

struct kt_batches;
struct kt_outbox;
struct kt_claims;
struct kt_crl;
struct kt_heads;
struct kt_issues;
struct kt_limits;
struct kt_metrics;

enum {
	KT_GAUGE_COUNT = 16,
	KT_VARIANTS = 8,
	KT_BUSY_RETRY_S = 5 /* what a device is told that comes while there is no room */
};

struct kt_sweep { /* one walk over all of something, a piece per tick */
	size_t cursor;
	size_t rows;	  /* how far the last walk went; 0: none yet */
	int64_t next_ms;  /* when the next piece, or the next walk, is due */
	int64_t start_us; /* when this walk began, and the one before it */
	int64_t before_us;
};

enum { KT_AGE_BUCKETS = 5 };
struct kt_ages {			 /* of keys, in seconds */
	uint64_t bucket[KT_AGE_BUCKETS]; /* each with those below it */
	uint64_t count;
	int64_t sum_s;
};
struct kt_age_walk {
	struct kt_ages in_hand;
	struct kt_ages done; /* of the last whole walk over all devices */
};

struct kt_core {
	const struct kt_config *config;
	struct kt_site_acl acl;	     /* in force; config->acl is as of the start */
	struct kt_policies policies; /* in force */
	struct kt_bucket rotations;  /* that we order by ourselves, of the whole fleet */
	struct kt_ports ports;
	struct kt_registry *registry;
	struct kt_sessions *sessions;
	struct kt_outbox *outbox;
	struct kt_claims *claims;   /* claimants that wait for approval: memory only, bounded */
	struct kt_issues *issues;   /* certificates that are being made */
	struct kt_limits *messages; /* of each device, however many sessions it has */
	struct kt_limits *alarms;   /* what was told of each device */
	size_t alarms_cursor;	    /* of the walk that tells which were left out */
	int64_t alarms_due_ms;	    /* when the next one begins */
	struct kt_crl *crl;	    /* the revocation list, if there is one */
	struct kt_heads *heads;	    /* of the ledger, signed */
	struct kt_batches *batches; /* of operators, that are not done yet */
	struct kt_bytes issuer_cert_der;
	uint8_t root_sha256[32];
	struct kt_now now; /* of the event in hand */
	uint64_t durable_seq;
	uint64_t tick; /* number of the tick in hand */
	bool journal_failed;
	bool reloading;
	bool clock_jumped; /* finite certificates pause until clock.confirm */
	uint64_t refusals[KT_REASON_COUNT];
	uint64_t facts[KT_EVENT_COUNT];
	struct kt_age_walk ages;  /* since the commit */
	struct kt_age_walk lives; /* to the end, where there is one */
	struct kt_metrics *metrics;
	uint64_t would_refuse[KT_REASON_COUNT]; /* what enforce = on would have refused */
	struct kt_sweep sessions_sweep;
	struct kt_sweep devices_sweep;
	int64_t gauges_at_ms;
	uint64_t gauge[KT_GAUGE_COUNT]; /* as last published, plus one; 0: never */
};

/*
 * Stamps seq and time, checks, applies, appends. @actor as in struct kt_record. KT_ERR_STATE with
 * *reason STATE; KT_ERR_BUSY with STORE_FAILED (the ledger failed: only records that take rights
 * away are still applied, in memory; *reason NOT_DURABLE and KT_ERR_OK then). Effects wait for
 * record->seq.
 */
KT_MUST_CHECK enum kt_err kt_core_change(struct kt_core *core, struct kt_record *record,
					 const char *actor, enum kt_reason *reason);

/* Effects. @after_seq: leave when this record is durable (0: at once). */

/* Signs and publishes to the session's client id, if it is still live then. @message moved. */
void kt_core_send(struct kt_core *core, const struct kt_session *session,
		  struct kt_message *message, uint64_t after_seq);
/* A new message to @session with td, device and dn filled in; NULL: out of memory. */
struct kt_message *kt_core_message(struct kt_core *core, const struct kt_session *session,
				   enum kt_message_type type);
/* `reject`, counted and logged as message.refused. */
void kt_core_reject(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
		    uint32_t retry_s, uint64_t op);
/* The answer to a batch: @json moved (malloc'ed), to the session's client id alone. */
void kt_core_reply(struct kt_core *core, const struct kt_session *session, char *json,
		   uint64_t after_seq);
/* Ends a session now (@in_ticks 0: from the next tick on; never inside BASIC_AUTH or ACL). */
void kt_core_kick(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
		  unsigned in_ticks);
/* The same, within this call: for CONTROL and TICK alone, never a session that is being served. */
void kt_core_kick_now(struct kt_core *core, struct kt_session *session, enum kt_reason reason);
/*
 * The same, once @after_seq is durable; where it never will be, at once, or (CERT_SUPERSEDED) not
 * at all.
 */
void kt_core_kick_after(struct kt_core *core, const struct kt_session *session,
			enum kt_reason reason, uint64_t after_seq);
/* A fact: log line now, event on keyturn/v1/events/<name> once durable. @device may be NULL. */
void kt_core_fact(struct kt_core *core, enum kt_event event, const struct kt_device *device,
		  const struct kt_field *fields, size_t field_count, uint64_t after_seq);
struct kt_alarm { /* of what sort it is */
	enum kt_event event;
	unsigned variant; /* below KT_VARIANTS */
};
/*
 * The same of what strangers can cause about @device: a few at once and then one in a while of each
 * device and sort, so that none hides another; how many were left out is told.
 */
void kt_core_alarm(struct kt_core *core, struct kt_alarm alarm, const struct kt_device *device,
		   const struct kt_field *fields, size_t field_count, uint64_t after_seq);
/* Is a line of @event about @device within that limit? It counts, and is told of if it is not. */
bool kt_core_is_worth_a_line(struct kt_core *core, enum kt_event event,
			     const struct kt_device *device);
/* Once a tick: tells what was left out. */
void kt_core_settle_drops(struct kt_core *core);
/* Counts and logs a refusal (@event CLIENT_REFUSED, ACCESS_DENIED, COMMAND_REFUSED ...). */
void kt_core_refused(struct kt_core *core, enum kt_event event, enum kt_reason reason,
		     const struct kt_field *fields, size_t field_count);

/* The same of what enforce = on would refuse: counted apart, and an event, too. */
void kt_core_would_refuse(struct kt_core *core, enum kt_event event, enum kt_reason reason,
			  const struct kt_field *fields, size_t field_count);
/* Does the site's own client in @session stay whatever our rules for such clients say? */
bool kt_core_is_observed(const struct kt_core *core, const struct kt_session *session);

/* What holds for @device, by its group. */
struct kt_group_policy kt_core_policy(const struct kt_core *core, const struct kt_device *device);
/* May a rotation be ordered by ourselves now? Takes it off the fleet's ceiling. */
bool kt_core_may_order(struct kt_core *core);
/* The seq that an effect of @device's present state must wait for. */
uint64_t kt_core_seq_of(const struct kt_device *device);
/*
 * Ends live sessions that others let in under a name which is @device's now. While observing they
 * stay, but for those of a device that was put out.
 */
void kt_core_evict(struct kt_core *core, const struct kt_device *device);
/* The clock against the ledger, where certificates have an end: sets clock_jumped. */
void kt_core_watch_clock(struct kt_core *core);
/*
 * May the CA sign for @session now? Not what an end by a wrong clock would get, nor what a ledger
 * that failed could not keep: false, and @session is told.
 */
bool kt_core_may_issue(struct kt_core *core, struct kt_session *session, uint64_t op);
/* The next op number of a device: only grows, never used again. @device may be NULL. */
uint64_t kt_core_next_op(const struct kt_core *core, const struct kt_device *device);
/* The leaf that a chain starts with, then the issuing CA. False: too long. */
bool kt_core_chain(const struct kt_core *core, struct kt_bytes leaf, struct kt_chain *out);
/* notAfter of a certificate issued now. */
int64_t kt_core_not_after(const struct kt_core *core);

/* The live session of this kind and device, or NULL. */
struct kt_session *kt_core_session_of(struct kt_core *core, const struct kt_device *device,
				      enum kt_session_kind kind);

/* --- actions: each decides, records, applies and queues effects; for operators and timers --- */

struct kt_outcome {	       /* of an action */
	enum kt_reason reason; /* NONE: done (or NOT_DURABLE: done in memory) */
	uint64_t seq;	       /* the answer waits for this record; 0: for none */
	uint64_t op;	       /* rotate: the op opened */
};

/* rotation.c */
struct kt_outcome kt_rotation_order(struct kt_core *core, const struct kt_device *device,
				    const char *actor, const char *note);
struct kt_outcome kt_rotation_cancel(struct kt_core *core, const struct kt_device *device,
				     const char *actor);
/* core_device.c */
struct kt_outcome kt_device_quarantine(struct kt_core *core, const struct kt_device *device,
				       const char *actor, const char *note);
struct kt_outcome kt_device_release(struct kt_core *core, const struct kt_device *device,
				    const char *actor);
/* Its rotation was frozen: ordered again, it may. */
struct kt_outcome kt_device_unfreeze(struct kt_core *core, const struct kt_device *device,
				     const char *actor);
struct kt_revoke_order {
	bool emergency; /* kick at once, no notice */
	bool wipe;	/* the notice asks the hub to delete its keys */
	const char *note;
};
struct kt_outcome kt_device_revoke(struct kt_core *core, const struct kt_device *device,
				   const char *actor, const struct kt_revoke_order *order);
struct kt_outcome kt_device_delete(struct kt_core *core, const struct kt_device *device,
				   const char *actor);
/* @key_id NULL: without a registered key. *device: the new one. */
struct kt_outcome kt_device_create(struct kt_core *core, const char *id, const char *group,
				   const struct kt_key_id *key_id, const char *actor);
/* What its group and labels are from now on; "" for none. Nothing is recorded if they are so. */
struct kt_outcome kt_device_set(struct kt_core *core, const struct kt_device *device,
				const char *group, const char *labels, const char *actor);
/* import.c: a certificate of another CA as @device's generation 0. */
struct kt_import {
	const char *device;
	const char *group; /* "" for none */
	struct kt_bytes certificate;
	bool is_check; /* say what would be done, do nothing */
};
struct kt_imported {
	struct kt_fingerprint fp;
	struct kt_key_id key_id;
	enum kt_alg alg; /* NONE: its key cannot sign messages, so its agent needs a ticket */
	int64_t not_after_s;
	bool is_known;	 /* it was the device's already: nothing was done */
	const char *why; /* of a refusal, a sentence; static, NULL: the reason's own */
};
struct kt_outcome kt_device_import(struct kt_core *core, const struct kt_import *import,
				   const char *actor, struct kt_imported *out);
struct kt_outcome kt_clock_confirm(struct kt_core *core, const char *actor);
/* core_operator.c: EXISTS: the ledger or the configuration has the name. */
struct kt_new_operator {
	struct kt_device_id name; /* of that form, and good */
	struct kt_fingerprint fp;
	enum kt_role role;
};
struct kt_outcome kt_operator_add(struct kt_core *core, const struct kt_new_operator *new_operator,
				  const char *actor, const char *note);
/*
 * NOT_FOUND; STATE: it stands in the configuration; ADMIN_LAST. Its rights end now, its sessions
 * too, but for @asker, who is told first.
 */
struct kt_outcome kt_operator_remove(struct kt_core *core, const char *name,
				     const struct kt_session *asker, const char *note);
/* adoption.c: ends reconciling; STATE if it is not on. */
struct kt_outcome kt_reconcile_end(struct kt_core *core, const char *actor, const char *note);
/* challenge.c: STATE if the device has no live :agent session. */
struct kt_outcome kt_challenge_send(struct kt_core *core, const struct kt_device *device,
				    const char *actor);
/* enroll.c. @ticket: device or group + pattern, expires_us; broker, td, root and secret filled in.
 */
struct kt_ticket;
struct kt_outcome kt_enroll_ticket(struct kt_core *core, struct kt_ticket *ticket,
				   const char *actor);
struct kt_outcome kt_enroll_approve(struct kt_core *core, const char *device_id,
				    const struct kt_key_id *key_id, const char *group,
				    const char *actor);
struct kt_outcome kt_enroll_deny(struct kt_core *core, const struct kt_key_id *key_id,
				 const char *actor);

struct kt_claim { /* a claimant that waits, as `listPending` shows it */
	struct kt_key_id key_id;
	struct kt_device_id device; /* asked for; may be empty */
	char batch[64];
	char address[KT_ADDRESS_MAX];
	int64_t first_us;
	int64_t last_us;
	uint32_t tries;
};
/* In order of first arrival; false at the end. */
bool kt_enroll_claim_at(const struct kt_core *core, size_t index, struct kt_claim *out);

/* --- adoption.c: a registry that was restored from a backup --- */

/* Records what access found; the client's answer stays, whatever comes of it. */
void kt_adoption_take(struct kt_core *core, struct kt_admission *admission);
/* The start says that reconciling is on. */
void kt_adoption_tell_start(struct kt_core *core);

/*
 * control.c: one batch from an operator session. A long one is done in pieces, the first one now;
 * one that comes meanwhile waits behind it.
 */
void kt_control_batch(struct kt_core *core, struct kt_session *session, struct kt_bytes payload);
/* The next piece, if there is one. */
void kt_control_tick(struct kt_core *core);
bool kt_control_is_busy(const struct kt_core *core);
KT_MUST_CHECK enum kt_err kt_batches_new(struct kt_batches **out);
void kt_batches_free(struct kt_batches *batches);

/* --- device messages, by type (after a KT_JOB_OPEN) --- */
struct kt_job;
void kt_rotation_on_hello(struct kt_core *core, struct kt_session *session, struct kt_message *m);
void kt_rotation_on_csr(struct kt_core *core, struct kt_session *session, struct kt_job *job);
void kt_rotation_on_issued(struct kt_core *core, struct kt_job *job);
void kt_rotation_on_confirm(struct kt_core *core, struct kt_session *session, struct kt_message *m);
void kt_rotation_on_promoted(struct kt_core *core, struct kt_session *session,
			     struct kt_message *m);
void kt_rotation_on_failed(struct kt_core *core, struct kt_session *session, struct kt_message *m);
void kt_core_walk_devices(struct kt_core *core); /* core_walk.c: deadlines, what is overdue */
void kt_challenge_on_answer(struct kt_core *core, struct kt_session *session, struct kt_message *m);
/* A new session: when it is challenged by itself, if ever. */
void kt_challenge_plan(struct kt_core *core, struct kt_session *session);
/* The challenge to @session was published: its time begins. */
void kt_challenge_left(struct kt_core *core, struct kt_session *session);
/* One session of the sweep: a challenge whose time is over. */
void kt_challenge_expire(struct kt_core *core, struct kt_session *session);
/* A message of its could not be looked at for want of time of ours: it may have been the answer. */
void kt_challenge_unheard(struct kt_core *core, struct kt_session *session);
/* One session of the sweep: one that is due by challenge_every. True: it was sent. */
bool kt_challenge_if_due(struct kt_core *core, struct kt_session *session);
void kt_enroll_on_enroll(struct kt_core *core, struct kt_session *session, struct kt_job *job);
void kt_enroll_on_issued(struct kt_core *core, struct kt_job *job);
KT_MUST_CHECK enum kt_err kt_claims_new(struct kt_claims **out);
void kt_claims_free(struct kt_claims *claims);

/* --- core_crl.c: the revocation list for other servers --- */

struct kt_crl_status {
	bool is_on;
	bool has_failed;	 /* the last try */
	struct kt_crl_head head; /* of the list that is there; zeros: none yet */
	size_t left_out;	 /* certificates that are out and whose serial is not known */
};
void kt_crl_status(const struct kt_core *core, struct kt_crl_status *out);
/* @last: the list that the start found, or zeros. */
KT_MUST_CHECK enum kt_err kt_crl_new(const struct kt_crl_head *last, struct kt_crl **out);
void kt_crl_free(struct kt_crl *crl);
/* A record was applied. */
void kt_crl_note(struct kt_core *core, const struct kt_record *record);
void kt_crl_tick(struct kt_core *core);
/* A KT_JOB_CRL came back. */
void kt_crl_done(struct kt_core *core, const struct kt_job *job);

/* core_head.c: the ledger's heads, signed */
KT_MUST_CHECK enum kt_err kt_heads_new(struct kt_now now, struct kt_heads **out);
void kt_heads_free(struct kt_heads *heads);
void kt_heads_tick(struct kt_core *core);
/* A KT_JOB_HEAD came back. */
void kt_heads_done(struct kt_core *core, const struct kt_job *job);

/* --- core_metrics.c: the file for a collector --- */
KT_MUST_CHECK enum kt_err kt_metrics_new(struct kt_metrics **out);
void kt_metrics_free(struct kt_metrics *metrics);
void kt_metrics_age(struct kt_ages *ages, int64_t seconds);
void kt_metrics_tick(struct kt_core *core);
/* A KT_JOB_METRICS came back. */
void kt_metrics_done(struct kt_core *core, const struct kt_job *job);

/* core_message.c: a KT_JOB_OPEN came back. */
void kt_core_opened(struct kt_core *core, struct kt_job *job);
/* core_sweep.c: a piece of the walks over sessions and devices; the gauges. */
void kt_core_sweep_sessions(struct kt_core *core);
void kt_core_publish_gauges(struct kt_core *core);

#endif
