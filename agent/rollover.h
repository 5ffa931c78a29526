/*
 * rollover - the device's state table: what each message means in each phase. Pure, no ports.
 *
 * DESIGN section 5; docs/PROTOCOL.md prints the table, a test compares the two. agent.c carries the
 * actions out, in the order persist, act, speak.
 */
#ifndef KT_ROLLOVER_H
#define KT_ROLLOVER_H

#include "identity_store.h"
#include "message.h"
#include "types.h"

enum kt_rollover_event {
	KT_EV_ROTATE_NEW,    /* op higher than ours; cur = this session's key = our active */
	KT_EV_ROTATE_SETTLE, /* op higher; cur = this session's key = our pending: it was committed
			      */
	KT_EV_ROTATE_SAME,   /* the op in hand once more */
	KT_EV_ROTATE_BAD,    /* stale op, or cur is not this session's key */
	KT_EV_CERT_GOOD,     /* for the op in hand, verified, for our key */
	KT_EV_CERT_BAD,
	KT_EV_ENROLLED,	       /* an enrolment's certificate, verified */
	KT_EV_CONFIRM_DUE,     /* welcome.next = confirm on the new credential's session */
	KT_EV_COMMITTED,       /* op in hand, fp of pending */
	KT_EV_COMMITTED_OTHER, /* any other committed */
	KT_EV_CLOSED, /* welcome.next = closed: keep the key, try old first until a newer rotate */
	KT_EV_NOTED_PROMOTED, /* of step_op */
	KT_EV_NOTED_OTHER,
	KT_EV_COUNT
};

enum kt_rollover_action {
	KT_ACT_IGNORE,		/* drop, count */
	KT_ACT_NEW_KEY,		/* make a key, save KEY, send csr */
	KT_ACT_SETTLE_NEW_KEY,	/* pending becomes active first, then as NEW_KEY */
	KT_ACT_SEND_CSR,	/* the same CSR's key again */
	KT_ACT_OPEN_TRIAL,	/* the credential is on disk: open :trial */
	KT_ACT_SAVE_CERT,	/* write CERT, save, open :trial */
	KT_ACT_REPORT_BAD_CERT, /* failed cert.chain or cert.key; the key stays */
	KT_ACT_SEND_CONFIRM,
	KT_ACT_COMMIT, /* save active = pending, retired = old, step LINK; go through the steps */
	KT_ACT_OLD_FIRST,     /* keep both, prefer the old one */
	KT_ACT_SEND_PROMOTED, /* the server missed it */
	KT_ACT_FINISH	      /* step NONE */
};

struct kt_rollover_cell {
	enum kt_rollover_action action;
	enum kt_agent_phase next;
};

/* Total: every pair has a cell. */
struct kt_rollover_cell kt_rollover(enum kt_agent_phase phase, enum kt_rollover_event event);
const char *kt_agent_phase_name(enum kt_agent_phase phase); /* new stable key cert */
const char *kt_agent_step_name(enum kt_agent_step step);    /* none link hooks wipe promoted */
const char *kt_rollover_event_name(enum kt_rollover_event event); /* rotate.new ... */
const char *kt_rollover_action_name(enum kt_rollover_action action);

/* Is the pending key one to enrol with? In NEW; and in KEY, where no op asked for it. */
bool kt_rollover_is_claim(const struct kt_agent_record *record);

/*
 * Did an enrolment put a credential aside (retired), not a key alone, which may be the one in
 * force? Until `confirm` of the enrolment's own: so that one, while there is something aside, is
 * not.
 */
bool kt_rollover_has_aside(const struct kt_agent_record *record);

/* Without the claim: what it had put aside goes on, and the last commit's steps from the start. */
void kt_rollover_end_claim(struct kt_agent_record *record);

/* Which event a rotate is, by the record and the fingerprint of the session it came over. */
enum kt_rollover_event kt_rollover_rotate_event(const struct kt_agent_record *record,
						const struct kt_fingerprint *session_fp,
						const struct kt_msg_rotate *rotate);

#endif
