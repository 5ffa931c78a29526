/*
 * agent - the core of the hub's side: event in, calls on ports out. No Paho, no clock, no files.
 *
 * Owns the conversation (links, hello, freshness, repeats, back-off) and drives the rollover table
 * (rollover.h). Persist, then act, then speak. Single-threaded; the simulator and the daemon run
 * the same code.
 */
#ifndef KT_AGENT_H
#define KT_AGENT_H

#include "err.h"
#include "hooks.h"
#include "identity_store.h"
#include "log.h"
#include "ticket.h"
#include "transport.h"
#include "trust.h"
#include "types.h"

struct kt_agent;

struct kt_agent_now {
	int64_t wall_s;	 /* seconds since 1970 */
	int64_t mono_ms; /* never goes back */
};

struct kt_agent_timers {       /* milliseconds; defaults of DESIGN section 4 */
	int64_t repeat_first;  /* 10 s, doubling */
	int64_t repeat_max;    /* 10 min */
	int64_t trial_timeout; /* 30 s without `committed` */
	int64_t silence_min;   /* 60 s and 3 tries, then the old key once; 60 s for a welcome */
	int64_t backoff_min;   /* 1 s */
	int64_t backoff_max;   /* 300 s, full jitter */
	int64_t hook_retry;    /* 60 s after a failed hook */
};

struct kt_cert_request { /* a chain for the key of @dir; all borrowed for the call */
	uint64_t dir;
	const struct kt_agent_record *record; /* device and trust domain it must name */
	const struct kt_chain *chain;
	int64_t system_s;
};

struct kt_cert_result {
	struct kt_cert leaf;
	struct kt_verdict verdict;
	enum kt_reason reason; /* why not: CERT_CHAIN, CERT_KEY, ID_MISMATCH, DISK */
};

/* The disk and key side as a table, so that the simulator can stand in (agent_ports.c wraps
 * identity_store.h; the semantics are those of the functions of the same name there). */
struct kt_agent_disk {
	void *ctx;
	const struct kt_agent_record *(*record)(void *ctx);
	enum kt_err (*save)(void *ctx, const struct kt_agent_record *record);
	enum kt_err (*new_key)(void *ctx, uint64_t dir, enum kt_alg alg);
	enum kt_err (*csr)(void *ctx, uint64_t dir, const char *common_name, const char *challenge,
			   uint8_t out[static KT_CSR_MAX], size_t *out_len);
	enum kt_err (*seal)(void *ctx, uint64_t dir, const struct kt_message *message, char **out,
			    size_t *out_len);
	/* Chain verified under the root (time rule), then kt_identity_save_cert. */
	enum kt_err (*save_cert)(void *ctx, const struct kt_cert_request *request,
				 struct kt_cert_result *out);
	enum kt_err (*link)(void *ctx, uint64_t dir);
	enum kt_err (*wipe)(void *ctx, uint64_t dir);
	/* Path of identity.pem of @dir. */
	bool (*pem_path)(void *ctx, uint64_t dir, char *out, size_t cap);
	/* kt_trust_open under the pinned root. */
	enum kt_err (*open)(void *ctx, const struct kt_agent_record *record, int64_t system_s,
			    struct kt_bytes text, struct kt_opened *out);
};

struct kt_agent_hooks {
	void *ctx;
	/* Runs all hooks; kt_agent_hooks_done follows. */
	enum kt_err (*start)(void *ctx, const char *event);
};

struct kt_agent_entropy {
	void *ctx;
	enum kt_err (*bytes)(void *ctx, uint8_t *out, size_t len);
};

struct kt_agent_setup { /* all borrowed for the life of the agent */
	const struct kt_transport *transport;
	const struct kt_agent_disk *disk;
	const struct kt_agent_hooks *hooks;
	const struct kt_agent_entropy *entropy;
	struct kt_log *log;
	struct kt_agent_timers timers;
	const char *key_store;		/* "file" */
	const char *claim_pem;		/* identity of a claim credential, or NULL */
	const struct kt_ticket *ticket; /* or NULL */
	const char *claim_device;	/* id to ask for, or "" */
};

KT_MUST_CHECK enum kt_err kt_agent_new(const struct kt_agent_setup *setup, struct kt_agent_now now,
				       struct kt_agent **out);
void kt_agent_free(struct kt_agent *agent);

/* Each may call any port before it returns. */
void kt_agent_start(struct kt_agent *agent, struct kt_agent_now now);
void kt_agent_link_event(struct kt_agent *agent, struct kt_agent_now now,
			 const struct kt_link_event *event);
void kt_agent_hooks_done(struct kt_agent *agent, struct kt_agent_now now, bool succeeded);
void kt_agent_tick(struct kt_agent *agent, struct kt_agent_now now);
/* Makes the enrolment's key where there is none; needs no link, so that its id can be told before.
 * KT_ERR_STATE: enrolled already; else the disk's or the key store's. */
KT_MUST_CHECK enum kt_err kt_agent_enroll_key(struct kt_agent *agent);
/*
 * Begins an enrolment of a hub that has an identity, or whose key has had its ticket: a fresh key
 * beside what there is, which is kept, and tried, until the new credential is committed. @ticket:
 * SHA-256 of the ticket to come, or NULL. Where there is no identity the key is made anew.
 * KT_ERR_STATE: `current` does not lead to what was committed last yet; else the disk's or the key
 * store's. Nothing has changed after an error.
 */
KT_MUST_CHECK enum kt_err kt_agent_enroll_again(struct kt_agent *agent,
						const uint8_t *ticket_sha256);
/* When kt_agent_tick wants to be called next, mono_ms; INT64_MAX: never. */
int64_t kt_agent_next_tick_ms(const struct kt_agent *agent);

enum kt_agent_health {
	KT_HEALTH_CONNECTING,
	KT_HEALTH_ENROLLING,
	KT_HEALTH_IN_SESSION,
	KT_HEALTH_ROTATING,
	KT_HEALTH_REVOKED,
	KT_HEALTH_STUCK
};
struct kt_agent_status {
	enum kt_agent_health health;
	const struct kt_agent_record *record; /* borrowed */
	char last_reason[40];		      /* last refusal by the broker or plugin; "" if none */
	int64_t last_session_s;		      /* wall time of the last welcome; 0: none yet */
};
void kt_agent_status(const struct kt_agent *agent, struct kt_agent_status *out);
const char *kt_agent_health_name(enum kt_agent_health health);

#endif
