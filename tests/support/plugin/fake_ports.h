/*
 * fake_ports - broker, journal, workers and entropy for tests of the core, under the test's hand.
 *
 * The broker records what was published and whom it kicked. The journal takes records, tells
 * nothing durable by itself, and fails when told. Jobs wait until the test completes them: seals
 * come back as readable text ("type key=value ..."), requests to open as the message that the test
 * gives, issues as a certificate named by the test.
 */
#ifndef FAKE_PORTS_H
#define FAKE_PORTS_H

#include "core_internal.h"
#include "fake_crypto.h"
#include "fleet.h"

enum { FAKE_MAX = 256 };

struct fake_publish {
	char to[KT_CLIENT_ID_MAX]; /* "": by topic */
	char topic[KT_TOPIC_MAX];
	char text[4096];
	bool retain;
};

struct fake {
	struct kt_core *core;
	struct kt_registry *registry;
	struct kt_config config;
	struct kt_ports ports;
	struct kt_broker broker;
	struct kt_journal journal;
	struct kt_jobs jobs;
	struct kt_entropy entropy;
	struct kt_log log;
	struct kt_now now;
	/* what happened */
	struct fake_publish published[FAKE_MAX];
	size_t published_count;
	char kicked[FAKE_MAX][KT_CLIENT_ID_MAX];
	size_t kicked_count;
	enum kt_record_kind appended[FAKE_MAX];
	size_t appended_count;
	struct kt_job *waiting[FAKE_MAX];
	size_t waiting_count;
	char last_log[KT_LOG_LINE_MAX + 1];
	unsigned logged[KT_EVENT_COUNT];
	/* what shall happen */
	bool journal_fails;
	bool journal_has_no_room;
	bool jobs_are_full;
	bool kick_fails;
	const char *address; /* of who connects; NULL: 127.0.0.1 */
	bool sync_at_once;   /* each event ends with everything durable and every seal done */
	uint8_t entropy_next;
	/* what was sealed */
	struct kt_nonce last_sealed_sn;
};

/* A core over @registry (moved), at FLEET_TIME_S + 10. */
struct fake *fake_new(struct kt_registry *registry);
void fake_free(struct fake *f);
void fake_later(struct fake *f, int64_t ms); /* no tick */
void fake_tick(struct fake *f);		     /* 100 ms later */
void fake_ticks(struct fake *f, unsigned count);
void fake_durable(struct fake *f);
void fake_fail(struct fake *f);
void fake_seal_all(struct fake *f); /* completes seals, leaves other jobs */
void fake_forget(struct fake *f);   /* publishes, kicks */
/* acl = readwrite devices/%d/#, and nothing else, in force from now on. */
void fake_site_topics(struct fake *f);

enum kt_answer fake_connect(struct fake *f, uintptr_t client, const char *client_id,
			    const char *username, const char *cert);
struct kt_session *fake_session(struct fake *f, uintptr_t client);
/* Connects and says hello (phase stable); forgets what was published. */
struct kt_session *fake_hello(struct fake *f, uintptr_t client, const char *client_id,
			      const char *cert);
/* A message as the session's device would send it, with td, device and freshness right. */
struct kt_message *fake_message(struct fake *f, uintptr_t client, enum kt_message_type type);
/* Sends it: the CONTROL event, then the worker's answer. @message moved; @key names a CSR's key. */
void fake_say(struct fake *f, uintptr_t client, struct kt_message *message, const char *key);
void fake_raw(struct fake *f, uintptr_t client, const char *text);
/* The oldest waiting job of a kind, taken out; NULL if none. */
struct kt_job *fake_take_job(struct fake *f, enum kt_job_kind kind);
/* Completes the oldest KT_JOB_ISSUE with this certificate. */
void fake_issue(struct fake *f, const char *cert);

/* The text of the last publish to @client_id that starts with @type; NULL if there is none. */
const char *fake_sent(const struct fake *f, const char *client_id, const char *type);
size_t fake_sent_count(const struct fake *f, const char *client_id);
bool fake_was_kicked(const struct fake *f, const char *client_id);
/* The JSON of the last event of this name; NULL if there is none. */
const char *fake_event(const struct fake *f, const char *name);

#endif
