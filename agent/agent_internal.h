/*
 * agent_internal - what the parts of the agent's core share. For agent*.c only.
 *
 * agent.c: events and timers. agent_link.c: which link to open with which credential, back-off.
 * agent_message.c: messages in and out, freshness, repeats. agent_rollover.c: carries the table's
 * actions out and walks the steps after a commit. agent_enroll.c: the claim.
 */
#ifndef KT_AGENT_INTERNAL_H
#define KT_AGENT_INTERNAL_H

#include "agent.h"
#include "message.h"
#include "rollover.h"

enum kt_link_state {
	KT_LINK_STATE_DOWN,
	KT_LINK_STATE_CONNECTING,
	KT_LINK_STATE_UP,   /* connected, hello (or enroll) sent */
	KT_LINK_STATE_READY /* welcome received */
};

struct kt_agent_link {
	enum kt_link_state state;
	bool is_closing;     /* close was called, DOWN is to come */
	struct kt_slot slot; /* the credential of this connection; dir 0: none or a claim's */
	struct kt_nonce dn;
	struct kt_nonce sn;
	int64_t retry_at_ms; /* DOWN: not before */
	int64_t up_at_ms;
	uint32_t tries; /* since the last welcome */
};

/* A message that is repeated until it is answered. */
struct kt_repeat {
	bool is_due;
	enum kt_message_type type; /* CSR, CONFIRM, PROMOTED, FAILED, HELLO */
	enum kt_link link;
	uint64_t op;
	enum kt_reason reason; /* FAILED */
	int64_t next_ms;
	int64_t interval_ms;
};

enum {
	KT_REPEAT_WORK,
	KT_REPEAT_PROMOTED,
	KT_REPEAT_FAILED,
	KT_REPEAT_HELLO, /* after `closed`, or what led nowhere: is it so still? */
	KT_REPEAT_COUNT
};

struct kt_agent {
	struct kt_agent_setup setup;
	struct kt_agent_now now;
	struct kt_agent_link link[KT_LINK_COUNT];
	struct kt_repeat repeat[KT_REPEAT_COUNT];
	/* rule 6: with two credentials the new one is tried first, the old one once, and again */
	bool old_first;	 /* `closed` was the server's last word on the op in hand */
	bool other_turn; /* the one that is not first may be tried once */
	bool aside_turn; /* as :agent, of the active one and what an enrolment put aside */
	uint32_t silent; /* tries of the new one without an answer, since its last turn */
	int64_t silent_since_ms;
	bool hooks_running;
	bool hooks_outdated;   /* they run for an op that a newer commit has overtaken */
	int64_t step_retry_ms; /* 0: no retry due */
	/* the order whose key our disk refused: tried again while its session lasts */
	struct kt_msg_rotate unmade;
	int64_t unmade_retry_ms; /* 0: none */
	bool is_revoked;	 /* told so, and to wipe: stays down */
	int64_t last_session_s;
	char last_reason[40];
};

/* --- agent_link.c --- */
/* Opens what should be open and is due. Called after every event. */
void kt_agent_links_drive(struct kt_agent *agent);
void kt_agent_link_is_down(struct kt_agent *agent, const struct kt_link_event *event);
void kt_agent_link_close(struct kt_agent *agent, enum kt_link link);
/*
 * Is it the trial of the op before, or of a claim that gave way to a rotation? It may still be on
 * its way: it is closed, and what is said on it is not of the credential that is to be confirmed
 * now.
 */
bool kt_agent_is_old_trial(const struct kt_agent *agent, enum kt_link link);
/* Is there something to enrol with? */
bool kt_agent_has_claim(const struct kt_agent *agent);
/* Not before @delay_ms from now. */
void kt_agent_link_retry_in(struct kt_agent *agent, enum kt_link link, int64_t delay_ms);
/* What the server says, and up to half of it more: those told together do not come back together.
 */
int64_t kt_agent_told_ms(struct kt_agent *agent, uint32_t retry_s);
/* Full jitter over the back-off of so many tries. */
int64_t kt_agent_backoff_ms(struct kt_agent *agent, uint32_t tries);
int64_t kt_agent_links_next_ms(const struct kt_agent *agent);

/* --- agent_message.c --- */
/* Sends hello on a link that came up; closes it if that fails. */
void kt_agent_send_hello(struct kt_agent *agent, enum kt_link link);
void kt_agent_receive(struct kt_agent *agent, enum kt_link link, const uint8_t *text, size_t len);
/* A message of @type with td, device and sn filled in; NULL: out of memory. */
struct kt_message *kt_agent_message(struct kt_agent *agent, enum kt_link link,
				    enum kt_message_type type);
/* Seals by the key of @dir and sends. @message is freed. */
enum kt_err kt_agent_send(struct kt_agent *agent, enum kt_link link, uint64_t dir,
			  struct kt_message *message);
/* Sends now (if the link is ready) and again until kt_agent_repeat_stop. */
void kt_agent_repeat_start(struct kt_agent *agent, unsigned which, const struct kt_repeat *what);
/* The same, but not now: the answer is said to be on its way. */
void kt_agent_repeat_later(struct kt_agent *agent, unsigned which, const struct kt_repeat *what);
void kt_agent_repeat_stop(struct kt_agent *agent, unsigned which);
void kt_agent_repeats_tick(struct kt_agent *agent);
int64_t kt_agent_repeats_next_ms(const struct kt_agent *agent);
/* `closed` is no longer the server's last word: a newer op, or ours is open after all. */
void kt_agent_closed_is_over(struct kt_agent *agent);
/* The hello is said again, until something comes of it. */
void kt_agent_ask_again(struct kt_agent *agent);
/* The link that is ready and holds the active credential; KT_LINK_COUNT: none. */
enum kt_link kt_agent_active_link(const struct kt_agent *agent);

/* --- agent_rollover.c --- */
struct kt_rollover_input { /* what an event brings along; the rest NULL */
	enum kt_link link;
	const struct kt_message *message;
};
void kt_agent_roll(struct kt_agent *agent, enum kt_rollover_event event,
		   const struct kt_rollover_input *input);
/*
 * Is the credential that an enrolment had put aside in force? Then it becomes the active one, else
 * it goes. Saved before that.
 */
enum kt_err kt_agent_settle_aside(struct kt_agent *agent, bool is_in_force);
/* Asks for the certificate of the pending key. */
void kt_agent_send_csr(struct kt_agent *agent);
/* Tries a key again that the disk refused, when it is time. */
void kt_agent_unmade_drive(struct kt_agent *agent);
/* Goes on with the steps after a commit. */
void kt_agent_steps_drive(struct kt_agent *agent);
/* Saves, logs what fails. */
enum kt_err kt_agent_save(struct kt_agent *agent, const struct kt_agent_record *record);
void kt_agent_report(struct kt_agent *agent, uint64_t op, enum kt_reason reason);
/* `revoked` with wipe. */
void kt_agent_wipe_all(struct kt_agent *agent);

/* --- agent_enroll.c --- */
/* Makes the enrolment's key where there is none; false: not possible now. */
bool kt_agent_enroll_prepare(struct kt_agent *agent);
void kt_agent_enroll_send(struct kt_agent *agent);
void kt_agent_enroll_receive(struct kt_agent *agent, const struct kt_message *message);

const struct kt_agent_record *kt_agent_record(const struct kt_agent *agent);
void kt_agent_log(struct kt_agent *agent, enum kt_event event, const struct kt_field *fields,
		  size_t count);

#endif
