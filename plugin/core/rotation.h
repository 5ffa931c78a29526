/*
 * rotation - the server's side of the rollover: a total table [phase][event], and what follows.
 *
 * DESIGN section 5. The table is printed in docs/PROTOCOL.md ("State tables", server) and compared
 * with it by a test. The handlers (kt_rotation_order, kt_rotation_on_csr ...) are declared in
 * core_internal.h with the other parts of the core. Broker's thread.
 */
#ifndef KT_ROTATION_H
#define KT_ROTATION_H

#include "core_internal.h"

enum kt_rotation_event {
	KT_ROTATION_ORDER,	/* an operator, or a policy, wants a new credential */
	KT_ROTATION_CSR,	/* the first request of the op, or the same key again */
	KT_ROTATION_CERTIFIED,	/* a worker has made the certificate */
	KT_ROTATION_SECOND_KEY, /* a request for another key */
	KT_ROTATION_CONFIRM,	/* over the new credential; in IDLE: the same once more */
	KT_ROTATION_PROMOTED,	/* of this op or an older one */
	KT_ROTATION_FAILED,
	KT_ROTATION_CANCEL,
	KT_ROTATION_DEADLINE,
	KT_ROTATION_BEHIND, /* the device knows a newer op */
	KT_ROTATION_EVENT_COUNT
};

struct kt_rotation_cell {
	enum kt_reason refusal; /* NONE: accepted */
	enum kt_server_phase next;
};

/* Total: every pair has a cell. */
struct kt_rotation_cell kt_rotation_step(enum kt_server_phase phase, enum kt_rotation_event event);
const char *kt_rotation_event_name(enum kt_rotation_event event);

/* The phase of a rotation: an enrolment in progress is none of it. */
enum kt_server_phase kt_rotation_phase(const struct kt_device *device);

/* Opens an op, as kt_rotation_order does, but tells the device nothing: its `hello` is answered. */
struct kt_outcome kt_rotation_open(struct kt_core *core, const struct kt_device *device,
				   const char *actor, const char *note);

/* Ends the op without commit; the device finds out by itself. */
struct kt_outcome kt_rotation_close(struct kt_core *core, const struct kt_device *device,
				    const char *actor);

struct kt_campaign;
/* As kt_rotation_order, for a campaign, which looks after its deadline itself. */
struct kt_outcome kt_rotation_order_for(struct kt_core *core, const struct kt_device *device,
					const struct kt_campaign *campaign);

/* --- rotation_sessions.c: who is ended when @after_seq is durable --- */

void kt_rotation_end_trials(struct kt_core *core, const struct kt_device *device,
			    uint64_t after_seq);
void kt_rotation_retire(struct kt_core *core, const struct kt_device *device, uint64_t after_seq);
void kt_rotation_end_drain(struct kt_core *core, const struct kt_device *device,
			   uint64_t after_seq);

/* --- rotation_messages.c --- */

/*
 * Opens a rotation that policy wants and nobody has ordered (actor "keyturn"): the key is over its
 * age, or was adopted after a restore. For an :agent session of the current credential; false:
 * nothing was opened. Whoever calls it sends `rotate`. Once per op: while one is open it opens
 * none.
 */
bool kt_rotation_order_due(struct kt_core *core, const struct kt_session *session);

/*
 * May this device make us write news of its own (`failed`, a newer op) now? Each is a record with
 * its sync, and a hub must not be able to fill the ledger's disk. KT_NEWS_EVERY_S in between.
 */
enum { KT_NEWS_EVERY_S = 10 };
bool kt_rotation_may_write_news(const struct kt_core *core, const struct kt_device *device);

/* op=, fp= and gen= of a log line; fp and generation may be left out. */
struct kt_rotation_words {
	char op[24];
	char fp[72];
	char gen[12];
	struct kt_field fields[4];
	size_t count;
};
void kt_rotation_describe(struct kt_rotation_words *words, uint64_t op,
			  const struct kt_credential *credential, enum kt_reason reason);
/* What a record of an issue says of the certificate that @job has made. Its DER is borrowed. */
void kt_rotation_fill_issue(const struct kt_job *job, struct kt_record *record);
void kt_rotation_send_rotate(struct kt_core *core, struct kt_session *session);
/* One session of the sweep: a `rotate` that found no ear is said again. */
void kt_rotation_repeat(struct kt_core *core, struct kt_session *session);
void kt_rotation_send_cert(struct kt_core *core, const struct kt_session *session);
void kt_rotation_send_committed(struct kt_core *core, const struct kt_session *session, uint64_t op,
				uint64_t after_seq);
void kt_rotation_send_noted(struct kt_core *core, const struct kt_session *session, uint64_t op,
			    enum kt_message_type of);
/* As kt_core_reject, but not before @after_seq is durable. */
void kt_rotation_reject_after(struct kt_core *core, struct kt_session *session,
			      enum kt_reason reason, uint64_t op, uint64_t after_seq);

#endif
