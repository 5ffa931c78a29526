/*
 * session - the live clients of the broker, by client pointer; each with a number never used again.
 *
 * Owns the table and what is known about one connection. Pointers are keys and never followed: the
 * broker re-uses them. An entry goes in the tick after its DISCONNECT, so that a will sent right
 * after it still finds it. Decides nothing. Broker's thread only.
 */
#ifndef KT_SESSION_H
#define KT_SESSION_H

#include "broker.h"
#include "config.h"
#include "err.h"
#include "limit.h"
#include "registry.h"
#include "topic.h"
#include "types.h"

enum kt_session_kind {
	KT_SESSION_AGENT,    /* <device-id>:agent */
	KT_SESSION_TRIAL,    /* <device-id>:trial */
	KT_SESSION_DEVICE,   /* <device-id> and <device-id>:<tag> */
	KT_SESSION_CLAIM,    /* a claimant */
	KT_SESSION_OPERATOR, /* by certificate or socket */
	KT_SESSION_OTHER     /* left to the plugins and files behind us */
};

enum { KT_SESSION_WAITING_MAX = 4, KT_ADDRESS_MAX = 64, KT_TURNS_MAX = 5 };

struct kt_waiting { /* a device message that waits for its turn */
	uint8_t *text;
	size_t len;
};

/* Two addresses that take one client id from each other; passed on to the session that takes over.
 */
struct kt_contention {
	char other[KT_ADDRESS_MAX];	/* whose turn it was before this session's */
	int64_t turns_ms[KT_TURNS_MAX]; /* the last turns; 0: there were none */
	bool told;
};

struct kt_session {
	uintptr_t client;
	uint64_t number;
	enum kt_session_kind kind;
	char client_id[KT_CLIENT_ID_MAX];
	char address[KT_ADDRESS_MAX];
	bool gone;		  /* DISCONNECT seen, erased at the next tick */
	bool deferred;		  /* others have let it in: they are asked again at a SIGHUP */
	struct kt_fingerprint fp; /* of the certificate shown; zero without one */
	int64_t started_ms;
	/* AGENT, TRIAL, DEVICE */
	const struct kt_device *device; /* borrowed from the registry */
	const struct kt_credential *credential;
	uint8_t *cert_der; /* owned; AGENT, TRIAL and CLAIM: whose key signs */
	size_t cert_der_len;
	int64_t not_after_s;	/* ends with its certificate */
	bool end_told;		/* while observing it does not: said once */
	int64_t drain_until_ms; /* DEVICE on a superseded credential; 0: not draining */
	/* OPERATOR, OTHER with a user role */
	enum kt_role role; /* as given at the door; kt_session_role says what it is worth */
	/* OPERATOR of the ledger, else NULL: borrowed from the registry, and as it was then */
	const struct kt_operator_entry *operator_entry;
	uint64_t operator_seq;
	char actor[KT_ACTOR_MAX + 1]; /* "op:<name>", "op:unix", "device:<id>", "claim:<batch>" */
	/* OTHER: its user name, "" if it is none that a device could have */
	char username[KT_DEVICE_ID_MAX + 1];
	/* the conversation of AGENT, TRIAL, CLAIM */
	bool has_hello;
	struct kt_nonce dn;
	struct kt_nonce sn;
	struct kt_bucket messages; /* a device has another one, for all its sessions */
	bool is_over_rate;	   /* CLAIM: what is in work is looked at only to be told so */
	int64_t told_until_ms;	   /* it was told to come back then */
	int64_t last_message_ms;
	bool in_work;
	struct kt_waiting waiting[KT_SESSION_WAITING_MAX];
	size_t waiting_count;
	int64_t rotate_due_ms;	/* `rotate` is said again then, if its op is still open */
	int64_t rotate_wait_ms; /* and so long after that; 0: not said yet */
	bool has_challenge;
	struct kt_challenge_nonce challenge;
	int64_t challenge_until_ms;
	bool is_challenge_out;	  /* it was published: from then on the time counts */
	int64_t challenge_due_ms; /* AGENT: the next one by challenge_every; 0: none */
	/* a message of its came while we had no time to look at it: asked anew then; 0: none did */
	int64_t challenge_again_ms;
	uint64_t kick_at_tick; /* 0: stays; else the tick number from which on it is kicked */
	enum kt_reason kick_reason;
	bool kicked; /* once only: the broker's own record of it may outlive ours */
	struct kt_contention contention;
	unsigned signals_told; /* bits of enum kt_clone_signal */
};

struct kt_sessions; /* owned, opaque */

KT_MUST_CHECK enum kt_err kt_sessions_new(struct kt_sessions **out);
void kt_sessions_free(struct kt_sessions *sessions);
/*
 * A new entry with a fresh number; an entry of the same pointer is marked gone and not found any
 * more. @client_id NULL or over KT_CLIENT_ID_MAX - 1: stored as "", never found by it.
 * KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_sessions_add(struct kt_sessions *sessions, uintptr_t client,
					  const char *client_id, struct kt_session **out);
/*
 * Marks live entries of the same client id on other pointers gone. Only for a session that we let
 * in ourselves: the broker drops the old one in the same step. One that was left to others may
 * still be refused, and then the old one lives on (facts of the broker: takeover comes after all
 * checks).
 */
void kt_sessions_take_over(struct kt_sessions *sessions, const struct kt_session *session);
/* Sets session->device, so that kt_sessions_next_of finds it. Once per session. */
void kt_sessions_set_device(struct kt_sessions *sessions, struct kt_session *session,
			    const struct kt_device *device);
/* Borrowed, valid until the entry is erased; gone ones included. NULL if unknown. */
struct kt_session *kt_sessions_find(struct kt_sessions *sessions, uintptr_t client);
/* Only live ones (not gone); of several with one client id the newest. */
struct kt_session *kt_sessions_by_number(struct kt_sessions *sessions, uint64_t number);
struct kt_session *kt_sessions_by_client_id(struct kt_sessions *sessions, const char *client_id);
/* Live sessions of a device: *cursor NULL to start; NULL at the end. */
struct kt_session *kt_sessions_next_of(struct kt_sessions *sessions, const struct kt_device *device,
				       struct kt_session *cursor);
/* All live sessions: *cursor 0 to start. No session may be added meanwhile. */
struct kt_session *kt_sessions_next(struct kt_sessions *sessions, size_t *cursor);
void kt_sessions_mark_gone(struct kt_sessions *sessions, uintptr_t client);
/* Erases what is gone. Once a tick, before anything else. */
void kt_sessions_sweep(struct kt_sessions *sessions);
/* What the session may now: nothing once the record that it rests on is not the last one. */
enum kt_role kt_session_role(const struct kt_session *session);
size_t kt_sessions_count(const struct kt_sessions *sessions);

#endif
