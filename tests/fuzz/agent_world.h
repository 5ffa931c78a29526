/*
 * agent_world - the agent's core between ports that know what must hold.
 *
 * Disk, links, hooks and what the server has decided are in memory; the fuzzer says what comes
 * next. The server may lose, repeat, delay, refuse and forget, but it does not lie about which
 * credential is in force. An invariant that is broken aborts: I1 the credential in force is on the
 * disk and in the record, also after a power cut; I5 a key that the server knows of is not made
 * anew; I7 nothing is said that the disk does not carry; R5 a rotate is obeyed only over a session
 * of the key that it names; R8 `promoted` comes after hooks and wipe; a message of another
 * connection changes nothing.
 */
#ifndef AGENT_WORLD_H
#define AGENT_WORLD_H

#include "agent_internal.h"

enum { WORLD_DIRS = 64, WORLD_TEXT = 8 };

struct world_dir { /* identity/<dir> */
	uint64_t dir;
	bool has_key;
	bool has_cert;
	bool is_known; /* the server has seen a request with this key */
	bool is_issued;
	uint64_t op; /* that it was issued for */
};

struct world_link {
	bool is_open;
	bool is_up;
	uint64_t dir; /* whose identity it shows; 0: none */
};

struct agent_world {
	struct kt_agent *agent;
	struct kt_agent_setup setup;
	struct kt_transport transport;
	struct kt_agent_disk disk;
	struct kt_agent_hooks hooks;
	struct kt_agent_entropy entropy;
	struct kt_log log;
	struct kt_ticket ticket;
	struct kt_agent_now now;
	/* the disk */
	struct kt_agent_record record; /* as saved last */
	struct kt_agent_record doubt;  /* of a save that failed */
	bool is_in_doubt;
	struct world_dir dirs[WORLD_DIRS];
	unsigned dir_count;
	uint64_t linked;
	uint64_t hooked;   /* what the hub's programs have loaded for sure */
	uint64_t hook_saw; /* what those that run have seen */
	bool hooks_run;
	/* the server */
	uint64_t in_force; /* directory; 0: none (new, revoked) */
	uint64_t op;	   /* the last one that it gave */
	bool is_op_open;
	struct kt_nonce op_nonce;
	uint64_t committed_op;
	uint64_t confirmed; /* directory that `confirm` came for; 0: none */
	struct world_link links[KT_LINK_COUNT];
	struct kt_nonce dn[KT_LINK_COUNT];
	bool is_wiped; /* a revoke with wipe was delivered */
	/* the message in hand */
	struct kt_message *incoming;
	struct kt_verdict verdict;
	enum kt_reason bad_cert;
	const struct kt_message *now_delivered;
	enum kt_link now_link;
	bool is_stranger; /* of another connection, or for another device */
	/* what shall fail */
	bool saves_fail;
	bool keys_fail;
	bool wipes_fail;
	bool links_fail;
	bool opens_fail;
	bool sends_fail;
	bool entropy_fails;
	uint8_t entropy_next;
	bool enrolls_again; /* the last start began with a new ticket */
	bool is_traced;
};

enum agent_start { AGENT_STABLE, AGENT_NEW_TICKET, AGENT_NEW_CLAIM, AGENT_BARE, AGENT_START_COUNT };

struct agent_world *agent_world_new(enum agent_start start);
void agent_world_free(struct agent_world *w);
struct world_dir *agent_world_dir(struct agent_world *w, uint64_t dir); /* NULL: none */
struct kt_fingerprint agent_world_fp(uint64_t dir);
/* A text reaches the hub on @link. @message moved; NULL: nothing in it verifies. */
void agent_world_deliver(struct agent_world *w, enum kt_link link, struct kt_message *message,
			 bool is_stranger);
void agent_world_up(struct agent_world *w, enum kt_link link);
void agent_world_down(struct agent_world *w, enum kt_link link, enum kt_link_cause cause);
void agent_world_hooks_done(struct agent_world *w, bool succeeded);
void agent_world_pass(struct agent_world *w, int64_t ms);
/* @takes_doubt: a save that failed is what the disk has; @again: a new ticket was put in. */
void agent_world_restart(struct agent_world *w, bool takes_doubt, bool again);
/* After every event. */
void agent_world_check(const struct agent_world *w);

#endif
