/*
 * message - what plugin and device say to each other: typed, with limits, encoded and decoded.
 *
 * The payload inside a JWS (jws.h), never sent bare. Names and rules: docs/PROTOCOL.md. Decoding is
 * strict: unknown type or field, wrong length, a number out of range is refused with a reason.
 * Owns shapes only, no state and no meaning. Any thread.
 */
#ifndef KT_MESSAGE_H
#define KT_MESSAGE_H

#include "err.h"
#include "reason.h"
#include "types.h"

enum {
	KT_MESSAGE_MAX = 16384, /* bytes of one JWS as published */
	KT_PAYLOAD_MAX = 12288, /* bytes of one payload */
	KT_PROTOCOL_VERSION = 1,
	KT_AGENT_NAME_MAX = 32, /* characters of hello.agent ("1.0.0") and hello.store ("file") */
	KT_RETRY_MAX_S = 86400
};

#define KT_OP_MAX ((uint64_t)INT64_MAX) /* what every store can hold */

/* X(CODE, "type", from device) */
#define KT_MESSAGE_LIST(X)                                                                         \
	X(HELLO, "hello", true)                                                                    \
	X(WELCOME, "welcome", false)                                                               \
	X(CHALLENGE, "challenge", false)                                                           \
	X(ANSWER, "answer", true)                                                                  \
	X(ROTATE, "rotate", false)                                                                 \
	X(CSR, "csr", true)                                                                        \
	X(CERT, "cert", false)                                                                     \
	X(CONFIRM, "confirm", true)                                                                \
	X(COMMITTED, "committed", false)                                                           \
	X(PROMOTED, "promoted", true)                                                              \
	X(FAILED, "failed", true)                                                                  \
	X(NOTED, "noted", false)                                                                   \
	X(REJECT, "reject", false)                                                                 \
	X(REVOKED, "revoked", false)                                                               \
	X(ENROLL, "enroll", true)                                                                  \
	X(ENROLLED, "enrolled", false)                                                             \
	X(PENDING, "pending", false)

enum kt_message_type {
#define KT_MESSAGE_ENUM(code, name, from_device) KT_MESSAGE_##code,
	KT_MESSAGE_LIST(KT_MESSAGE_ENUM) KT_MESSAGE_COUNT
#undef KT_MESSAGE_ENUM
};

enum kt_device_phase { KT_PHASE_STABLE, KT_PHASE_KEY, KT_PHASE_CERT };

enum kt_next {
	KT_NEXT_NONE,
	KT_NEXT_ROTATE,
	KT_NEXT_CERT,
	KT_NEXT_CONFIRM,
	KT_NEXT_COMMITTED,
	KT_NEXT_CLOSED
};

struct kt_chain { /* DER certificates, leaf first, without the root */
	size_t count;
	struct {
		size_t len;
		uint8_t der[KT_CERT_MAX];
	} cert[KT_CHAIN_MAX];
};

struct kt_report { /* in `answer`: how the device sees itself */
	char agent[KT_AGENT_NAME_MAX + 1];
	char store[KT_AGENT_NAME_MAX + 1];
	uint32_t generation;
	enum kt_device_phase phase;
};

/* Times are microseconds since 1970, UTC. op 0 means "none". */
struct kt_msg_hello {
	char agent[KT_AGENT_NAME_MAX + 1];
	char store[KT_AGENT_NAME_MAX + 1];
	uint32_t generation;
	struct kt_fingerprint fp;
	enum kt_device_phase phase;
	uint64_t op;
};
struct kt_msg_welcome {
	uint64_t time_us;
	struct kt_fingerprint
		fp; /* the credential current at the server; zero if there is none yet */
	enum kt_next next;
	uint64_t op;
};
struct kt_msg_challenge {
	struct kt_challenge_nonce nonce;
	uint64_t deadline_us;
};
struct kt_msg_answer {
	struct kt_challenge_nonce nonce;
	struct kt_fingerprint fp;
	struct kt_report report;
};
struct kt_msg_rotate {
	uint64_t op;
	struct kt_nonce nonce;
	enum kt_alg alg;
	uint64_t deadline_us;
	struct kt_fingerprint cur;
};
struct kt_msg_csr {
	uint64_t op;
	struct kt_nonce nonce;
	size_t csr_len;
	uint8_t csr[KT_CSR_MAX];
};
struct kt_msg_cert {
	uint64_t op;
	struct kt_chain chain;
};
struct kt_msg_confirm {
	uint64_t op;
	struct kt_nonce nonce;
	struct kt_fingerprint fp;
};
struct kt_msg_committed {
	uint64_t op;
	struct kt_fingerprint fp;
};
struct kt_msg_promoted {
	uint64_t op;
	struct kt_fingerprint fp;
};
struct kt_msg_failed {
	uint64_t op;
	enum kt_reason reason;
};
struct kt_msg_noted {
	uint64_t op;
	enum kt_message_type of; /* KT_MESSAGE_PROMOTED or KT_MESSAGE_FAILED */
};
struct kt_msg_reject {
	enum kt_reason reason;
	uint32_t retry_s;
	uint64_t op; /* 0: left out */
};
struct kt_msg_revoked {
	enum kt_reason reason;
	bool wipe;
};
struct kt_msg_enroll {
	bool has_ticket;
	uint8_t ticket[KT_TICKET_SECRET_LEN];
	size_t csr_len;
	uint8_t csr[KT_CSR_MAX];
};
struct kt_msg_enrolled {
	uint64_t op;
	struct kt_nonce nonce;
	struct kt_chain chain;
};
struct kt_msg_pending {
	uint32_t retry_s;
};

struct kt_message {		   /* made by kt_message_new alone: no longer than its type needs */
	enum kt_message_type type; /* never changed */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	struct kt_device_id device; /* may be empty in `enroll`, `pending` and `reject` only */
	/*
	 * Freshness. From the device: dn in hello and enroll, sn in all others. From the plugin: dn
	 * in all, and in welcome the new sn. The one that does not belong to the type must be
	 * absent and is zero here.
	 */
	struct kt_nonce dn;
	struct kt_nonce sn;
	union {
		struct kt_msg_hello hello;
		struct kt_msg_welcome welcome;
		struct kt_msg_challenge challenge;
		struct kt_msg_answer answer;
		struct kt_msg_rotate rotate;
		struct kt_msg_csr csr;
		struct kt_msg_cert cert;
		struct kt_msg_confirm confirm;
		struct kt_msg_committed committed;
		struct kt_msg_promoted promoted;
		struct kt_msg_failed failed;
		struct kt_msg_noted noted;
		struct kt_msg_reject reject;
		struct kt_msg_revoked revoked;
		struct kt_msg_enroll enroll;
		struct kt_msg_enrolled enrolled;
		struct kt_msg_pending pending;
	} u;
};

/* Payload JSON, malloc'ed, NUL-terminated; free(). KT_ERR_NOMEM, KT_ERR_TOO_LONG, KT_ERR_INVALID.
 */
KT_MUST_CHECK enum kt_err kt_message_encode(const struct kt_message *message, char **out,
					    size_t *out_len);
/*
 * @from_device: which direction is allowed. *out: heap, free with kt_message_free.
 * KT_ERR_INVALID and *reason: JSON_SYNTAX, JSON_FIELD, MSG_SIZE, MSG_TYPE, MSG_VERSION, OP_RANGE.
 * KT_ERR_NOMEM with BUSY.
 */
KT_MUST_CHECK enum kt_err kt_message_decode(const uint8_t *payload, size_t len, bool from_device,
					    struct kt_message **out, enum kt_reason *reason);
/* Bytes of it that there are: what comes behind them belongs to longer types. 0: no type at all. */
size_t kt_message_size(const struct kt_message *message);
/* Zeroed, or NULL. Wiped on free (a ticket may be in it); NULL is fine. */
struct kt_message *kt_message_new(enum kt_message_type type);
void kt_message_free(struct kt_message *message);

/* "hello"; "?" outside the list. */
const char *kt_message_type_name(enum kt_message_type type);
const char *kt_phase_name(enum kt_device_phase phase); /* stable key cert */
const char *kt_next_name(enum kt_next next); /* none rotate cert confirm committed closed */

#endif
