/*
 * bench_hub - a hub's side of the protocol, as far as a benchmark drives it. Trusts its broker and
 * checks no signature: what is measured is the plugin.
 *
 * A benchmark that cannot go on ends: no error is handed back. One thread.
 */
#ifndef BENCH_HUB_H
#define BENCH_HUB_H

#include "bench_client.h"
#include "crypto.h"
#include "message.h"

enum { BENCH_PATH = 512 };

struct bench_hubs { /* what all of them have in common */
	uint16_t port;
	const char *trust_domain;
	const char *dir; /* identities: <i>.pem */
	struct kt_crypto *crypto;
};

struct bench_identity {
	char device[KT_DEVICE_ID_MAX + 1];
	char path[BENCH_PATH];
	struct kt_key *key; /* owned */
	struct kt_fingerprint fp;
	uint32_t generation;
};

struct bench_session {		     /* :agent or :trial, after its welcome */
	struct bench_client *client; /* owned */
	const struct bench_identity *identity;
	struct kt_nonce dn;
	struct kt_nonce sn;
};

void bench_hubs_init(struct bench_hubs *hubs, uint16_t port, const char *trust_domain,
		     const char *dir);

/* Device bench-<i> with DIR/<i>.pem. */
void bench_identity_load(const struct bench_hubs *hubs, size_t i, struct bench_identity *out);
/* What a `cert` brings for @key (moved), written to DIR/<device>.new.pem. */
void bench_identity_take(const struct bench_hubs *hubs, const struct bench_identity *old,
			 struct kt_key *key, const struct kt_chain *chain,
			 struct bench_identity *out);
void bench_identity_clear(struct bench_identity *identity);

/* Connects as <device><tag> and waits for the CONNACK; @tag "" or ":something". */
struct bench_client *bench_program(const struct bench_hubs *hubs,
				   const struct bench_identity *identity, const char *tag);
/* The same for ":agent" and ":trial", with hello and welcome. */
void bench_session_open(const struct bench_hubs *hubs, const struct bench_identity *identity,
			const char *tag, enum kt_device_phase phase, uint64_t op,
			struct bench_session *out);
/* Zeroed but for what every message has; kt_message_free or bench_session_send. */
struct kt_message *bench_session_message(const struct bench_hubs *hubs,
					 const struct bench_session *session,
					 enum kt_message_type type);
/* @message moved. What would be published; free(). */
char *bench_session_seal(const struct bench_hubs *hubs, const struct bench_session *session,
			 struct kt_message *message, size_t *len);
/* @message moved. The moment before it left. */
int64_t bench_session_send(const struct bench_hubs *hubs, const struct bench_session *session,
			   struct kt_message *message);
/* The message of @type, later ones stay; kt_message_free. *at_us: when it was there (may be NULL).
 */
struct kt_message *bench_session_expect(struct bench_session *session, enum kt_message_type type,
					int64_t *at_us);
/* Closes it without a word. */
void bench_session_clear(struct bench_session *session);

/* --- the operator --- */

/* A client of op.sock. */
struct bench_client *bench_operator(const char *socket);
/* The answer of a command has come in @client; false: not yet. Ends the benchmark if it is an
 * error. */
bool bench_has_answer(struct bench_client *client, int64_t *at_us);
void bench_await_answer(struct bench_client *client);
/* Sends one command, {"command":"@name","device":"@device"@more}; the moment before it left. */
int64_t bench_order(struct bench_client *client, const char *name, const char *device,
		    const char *more);
/* The gaps between the broker's ticks while nothing happens for @wait_ms: one line, as of a figure.
 */
void bench_print_ticks(struct bench_client *operator_client, int wait_ms);

#endif
