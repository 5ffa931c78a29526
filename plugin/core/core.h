/*
 * core - owns everything the plugin decides: event in, verdict and effects out.
 *
 * Single-threaded, on the broker's thread. Knows no Mosquitto, no clock, no disk: they come as
 * events with their time, and go through the ports of broker.h. No call signs, waits or reads a
 * disk.
 */
#ifndef KT_CORE_H
#define KT_CORE_H

#include "access.h"
#include "broker.h"
#include "config.h"
#include "err.h"
#include "policies.h"
#include "registry.h"
#include "types.h"
#include "worker.h"

struct kt_core;

struct kt_core_setup { /* all borrowed for the life of the core */
	const struct kt_config *config;
	const struct kt_ports *ports;
	const struct kt_policies *policies; /* copied; NULL: there is no policy file */
	struct kt_registry *registry;	    /* filled by the store */
	uint64_t durable_seq;
	struct kt_bytes issuer_cert_der; /* second of every chain handed out */
	uint8_t root_sha256[32];	 /* goes into tickets */
	struct kt_crl_head last_crl;	 /* of the file at crl_file; zeros: there is none */
};

KT_MUST_CHECK enum kt_err kt_core_new(const struct kt_core_setup *setup, struct kt_now now,
				      struct kt_core **out);
void kt_core_free(struct kt_core *core);

/* BASIC_AUTH. On ACCEPT and DEFER the session is in the table when it returns. */
struct kt_connect_answer {
	enum kt_answer answer;
	char username[KT_ACTOR_MAX + 1]; /* to set; "" = leave */
};
void kt_core_connect(struct kt_core *core, struct kt_now now, const struct kt_connect *connect,
		     struct kt_connect_answer *out);
/* EXT_AUTH_START: always refused; counted and logged. */
void kt_core_extended_auth(struct kt_core *core, struct kt_now now, const char *client_id,
			   const char *address);

/*
 * CONNECT, where the broker tells of it (2.1): @client has its CONNACK. Whoever came past
 * kt_core_connect is told of and kicked, at the next tick.
 */
void kt_core_connected(struct kt_core *core, struct kt_now now, uintptr_t client,
		       const char *client_id, const char *address);

/*
 * ACL_CHECK. @cert_now is called only for a pointer that is not in the table: does the client show
 * a certificate at this moment?
 */
struct kt_acl_event {
	uintptr_t client;
	const char *client_id;
	const char *username;
	enum kt_acl_action action;
	const char *topic;
	bool (*cert_now)(void *ctx);
	void *cert_now_ctx;
};
enum kt_right kt_core_acl(struct kt_core *core, struct kt_now now,
			  const struct kt_acl_event *event);

/* $CONTROL/keyturn/v1: an operator's batch. Authorised by the session and, for an operator of the
 * ledger, by what the registry says of him now (kt_session_role); by nothing in the payload. */
void kt_core_control(struct kt_core *core, struct kt_now now, uintptr_t client,
		     struct kt_bytes payload);
/* $CONTROL/keyturn/v1/dev: a device's or claimant's message. */
void kt_core_device_message(struct kt_core *core, struct kt_now now, uintptr_t client,
			    struct kt_bytes payload);
void kt_core_disconnect(struct kt_core *core, struct kt_now now, uintptr_t client);
/* SIGHUP: until the next tick BASIC_AUTH answers from the table and promotes nothing. */
void kt_core_reload(struct kt_core *core, struct kt_now now);
/* No certificate is looked at then: kt_core_connect can do without. */
bool kt_core_is_reloading(const struct kt_core *core);
/*
 * The site's topics from now on, instead of those of the setup or of the last call: whole, from the
 * next question on. Copied; cannot fail. Sessions and subscriptions stay: what is delivered is
 * asked for each time.
 */
void kt_core_set_acl(struct kt_core *core, struct kt_now now, const struct kt_site_acl *acl);
/* The same of what holds for groups: keys are judged by it from the next question on. */
void kt_core_set_policies(struct kt_core *core, struct kt_now now,
			  const struct kt_policies *policies);
/* A result (moved). */
void kt_core_job_done(struct kt_core *core, struct kt_now now, struct kt_job *job);
/* Records up to @seq are durable; @failed: no further one will ever be. */
void kt_core_durable(struct kt_core *core, struct kt_now now, uint64_t seq, bool failed);
/* Last of each loop turn: timers, sweeps, kicks. */
void kt_core_tick(struct kt_core *core, struct kt_now now);
/* There is more to do at once: the next tick should not wait. */
bool kt_core_has_work(const struct kt_core *core);

/* Refusals so far, by reason: for tests, $SYS and `status`. */
uint64_t kt_core_count(const struct kt_core *core, enum kt_reason reason);

#endif
