/*
 * message_rules - the one table that says what every message consists of.
 *
 * Encoder and decoder walk the same rows, so that they cannot disagree. Internal to message*.c.
 */
#ifndef KT_MESSAGE_RULES_H
#define KT_MESSAGE_RULES_H

#include "message.h"

/* How a field is written and which C type stands behind it. */
enum kt_field_kind {
	KT_FIELD_OP,	     /* digits, 1 .. KT_OP_MAX; uint64_t */
	KT_FIELD_OP_OR_NONE, /* the same, or "0" for none */
	KT_FIELD_TIME,	     /* digits, microseconds; uint64_t */
	KT_FIELD_GENERATION, /* digits, 1 .. 2^32-1; uint32_t */
	KT_FIELD_RETRY,	     /* number, 0 .. KT_RETRY_MAX_S; uint32_t */
	KT_FIELD_FP,	     /* 64 hex; struct kt_fingerprint */
	KT_FIELD_NONCE,	     /* base64url of 16; struct kt_nonce */
	KT_FIELD_CHALLENGE,  /* base64url of 32; struct kt_challenge_nonce */
	KT_FIELD_TICKET,     /* base64url of 32; uint8_t[32], aux: bool, is it there? */
	KT_FIELD_CSR,	     /* base64url; uint8_t[KT_CSR_MAX], aux: size_t, its length */
	KT_FIELD_CHAIN,	     /* array of base64url; struct kt_chain */
	KT_FIELD_NAME,	     /* 1-32 printable ASCII; char[KT_AGENT_NAME_MAX + 1] */
	KT_FIELD_PHASE,	     /* token; enum kt_device_phase */
	KT_FIELD_NEXT,	     /* token; enum kt_next */
	KT_FIELD_ALG,	     /* token; enum kt_alg */
	KT_FIELD_REASON,     /* token of a reason that a peer may be told; enum kt_reason */
	KT_FIELD_OF,	     /* "promoted" or "failed"; enum kt_message_type */
	KT_FIELD_WIPE,	     /* true or false; bool */
	KT_FIELD_KIND_COUNT
};

struct kt_field {
	const char *name;
	enum kt_field_kind kind;
	bool is_optional; /* left out: its C value is zero, aux too */
	size_t offset;	  /* in struct kt_message; in a report: in struct kt_report */
	size_t aux;	  /* of the second C value, if the kind has one */
};

struct kt_message_rule {
	bool has_dn;
	bool has_sn;
	bool may_lack_device; /* `device` may be "" */
	bool has_report;      /* an object `report`, by kt_report_fields */
	size_t size;	      /* bytes of such a message */
	size_t field_count;
	const struct kt_field *fields;
};

enum { KT_REPORT_FIELD_COUNT = 4, KT_MESSAGE_RULES_MAX = 16 };
extern const struct kt_field kt_report_fields[KT_REPORT_FIELD_COUNT];

/* @type must be in the list. Static. */
const struct kt_message_rule *kt_message_rule_of(enum kt_message_type type);
bool kt_message_is_from_device(enum kt_message_type type);
/* Where the report of an `answer` lies. */
struct kt_report *kt_message_report(struct kt_message *message);

/* What both directions check alike. */
bool kt_field_is_name(const char *s);
bool kt_field_is_peer_reason(enum kt_reason reason);

#endif
