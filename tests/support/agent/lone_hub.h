/*
 * lone_hub - the agent's core with every port faked, under the test's hand.
 *
 * Nothing happens by itself: the test brings links up and down, says what the plugin says, lets
 * time pass, tells how the hooks went. What the core does is read from the trace.
 */
#ifndef KT_TEST_LONE_HUB_H
#define KT_TEST_LONE_HUB_H

#include "agent.h"
#include "fake_disk.h"
#include "fake_transport.h"
#include "trace.h"

enum {
	HUB_START_S = 1800000000,
	HUB_START_MS = 5000000,
	HUB_OLD = 0xaa, /* fills the fingerprint of the credential in force at the start */
	HUB_NEW = 0xbb,
	HUB_LATER = 0xcc
};

struct hub {
	struct trace trace;
	struct fake_transport transport;
	struct fake_disk disk;
	struct kt_agent_hooks hooks;
	struct kt_agent_entropy entropy;
	struct kt_agent_setup setup;
	struct kt_ticket ticket;
	struct kt_log log;
	struct kt_agent *agent;
	struct kt_agent_now now;
	struct kt_nonce dn[KT_LINK_COUNT]; /* of the last hello or enroll of each link */
	uint8_t entropy_next;
	uint32_t jitter;    /* what the back-off draws */
	bool entropy_fails; /* nonces; the jitter then has none either */
	bool hooks_fail_to_start;
	unsigned refused;	 /* events reply.refused */
	char log_line[1024];	 /* the last one */
	char refused_line[1024]; /* the last reply.refused */
};

/* STABLE with directory 1 (op 100, generation 1, fingerprint HUB_OLD). Not started. */
struct hub *hub_new(void);
/* Without a credential; with a ticket for @device ("" a group's), or with none at all. */
struct hub *hub_new_unenrolled(bool has_ticket, const char *device);
void hub_free(struct hub *h);
void hub_start(struct hub *h);
/* As after a restart of the process: the record stays, all else is forgotten. */
void hub_restart(struct hub *h);

void hub_up(struct hub *h, enum kt_link link);
void hub_down(struct hub *h, enum kt_link link, enum kt_link_cause cause);
/* Later by @ms, ticking whenever the core wants to be called. */
void hub_pass(struct hub *h, int64_t ms);
void hub_hooks_done(struct hub *h, bool succeeded);

/* A message as the plugin would send it over @link: td, device, and the dn of the connection. */
struct kt_message *hub_message(struct hub *h, enum kt_link link, enum kt_message_type type);
void hub_say(struct hub *h, enum kt_link link, struct kt_message *message); /* moved */
/* A text in which nothing verifies. */
void hub_say_rubbish(struct hub *h, enum kt_link link);

void hub_welcome(struct hub *h, enum kt_link link, enum kt_next next);
void hub_rotate(struct hub *h, enum kt_link link, uint64_t op, uint8_t cur);
void hub_cert(struct hub *h, enum kt_link link, uint64_t op, uint8_t leaf);
void hub_committed(struct hub *h, enum kt_link link, uint64_t op, uint8_t fp);
void hub_noted(struct hub *h, enum kt_link link, uint64_t op, enum kt_message_type of);
void hub_reject(struct hub *h, enum kt_link link, enum kt_reason reason, uint32_t retry_s,
		uint64_t op);
/* `revoked`, its keys are to go. */
void hub_wipe(struct hub *h, enum kt_link link);

/* Up to a session of the stable credential; the trace is empty then. */
void hub_in_session(struct hub *h);
/* And on to a pending credential of op 200 (HUB_NEW), its trial up and confirmed. */
void hub_confirmed(struct hub *h);

struct kt_fingerprint hub_fp(uint8_t fill);
enum kt_agent_health hub_health(const struct hub *h);
/* The last message sealed. */
const struct kt_message *hub_sent(const struct hub *h);

#endif
