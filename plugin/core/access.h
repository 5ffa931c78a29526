/*
 * access - may this client connect, publish, subscribe? Pure rules, no state of their own.
 *
 * DESIGN section 3 (client ids, rights, unknown pointers) and section 6 (BASIC_AUTH). Called by
 * core; one SHA-256 and one look-up for a device that is known. Broker's thread.
 */
#ifndef KT_ACCESS_H
#define KT_ACCESS_H

#include "config.h"
#include "crypto.h"
#include "policies.h"
#include "reason.h"
#include "registry.h"
#include "session.h"
#include "types.h"

enum kt_answer {
	KT_ANSWER_ACCEPT,
	KT_ANSWER_DENY,	     /* CONNACK 0x87 (v3: 5) */
	KT_ANSWER_BANNED,    /* 0x8A where the broker can, else as DENY: revoked */
	KT_ANSWER_BAD_ID,    /* 0x85 where the broker can, else as DENY */
	KT_ANSWER_NO_ANSWER, /* close without CONNACK (2.1: 0x89): come back */
	KT_ANSWER_DEFER	     /* not ours: those behind us decide */
};

struct kt_connect { /* what the broker knows at CONNECT; all borrowed */
	uintptr_t client;
	const char *client_id; /* may be NULL */
	const char *username;  /* may be NULL */
	struct kt_bytes cert;  /* DER; empty without one */
	const char *address;   /* may be NULL; a path for a local socket */
	bool clean_start;
};

struct kt_adoption { /* what a record would take over; generation 0: nothing */
	struct kt_device_id device;
	struct kt_key_id key_id;
	uint32_t generation;
};

struct kt_admission { /* the verdict */
	enum kt_answer answer;
	enum kt_reason reason; /* of a refusal */
	enum kt_reason would;  /* NONE, or what enforce = on would have refused it for */
	enum kt_session_kind kind;
	enum kt_role role;
	const struct kt_operator_entry *operator_entry; /* that the role is from; NULL: none */
	const struct kt_device *device;
	const struct kt_credential
		*credential; /* also of a refused one that we know: clone signals */
	bool rotate_only;
	struct kt_fingerprint fp; /* zero without a certificate */
	int64_t not_after_s;	  /* of the certificate shown; KT_CERT_NO_END without one */
	char actor[KT_ACTOR_MAX + 1];
	char username[KT_ACTOR_MAX + 1]; /* to set on ACCEPT; "" = leave */
	struct kt_adoption adoption;	 /* on NO_ANSWER: to be recorded now */
	/* of a refusal while reconciling: we have signed it, but this device's is a later one */
	const struct kt_device *left_behind;
};

struct kt_access { /* what rules look at; borrowed */
	const struct kt_config *config;
	const struct kt_site_acl *acl;	    /* the one in force */
	const struct kt_policies *policies; /* in force; NULL: there is no policy file */
	const struct kt_registry *registry;
	uint64_t durable_seq;
	struct kt_now now;
	struct kt_bytes issuer_cert_der; /* who must have signed what is adopted */
};

/*
 * Never fails: a doubt is a refusal. While reconciling, a certificate that the registry does not
 * hold and that could be adopted costs one signature more, here and once: after that it is held.
 * One that is too low for it costs the same at each try; none but a device's own can be shown.
 */
void kt_access_connect(const struct kt_access *access, const struct kt_connect *connect,
		       struct kt_admission *out);

enum kt_acl_action { KT_ACL_DO_READ, KT_ACL_DO_WRITE, KT_ACL_DO_SUBSCRIBE, KT_ACL_DO_UNSUBSCRIBE };
enum kt_right { KT_RIGHT_ALLOW, KT_RIGHT_DENY, KT_RIGHT_DEFER };

struct kt_acl_question {		  /* all borrowed */
	const struct kt_session *session; /* NULL: the pointer is not in our table */
	bool has_cert_now;		  /* asked only for unknown pointers */
	const char *client_id;		  /* may be NULL */
	const char *username;		  /* may be NULL */
	enum kt_acl_action action;
	const char *topic; /* or the filter of a subscription */
};

/* *reason says why not; where it is not DENY, what enforce = on would have denied it for. */
enum kt_right kt_access_acl(const struct kt_access *access, const struct kt_acl_question *question,
			    enum kt_reason *reason);

/* Is the current key older than max_key_age? A frozen device cannot rotate: never. */
bool kt_access_is_over_age(const struct kt_access *access, const struct kt_device *device);

/* Is this client id or user name in the namespace of a device that exists, a claimant's or
 * operator's? */
bool kt_access_is_reserved(const struct kt_registry *registry, const char *client_id,
			   const char *username);

#endif
