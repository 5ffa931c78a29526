/*
 * record - one change of the registry, as it stands in the ledger.
 *
 * Owns the kinds, which fields each has, and the JSON text of one record (without the hash chain,
 * which is store/ledger.h's). A flat struct: fields_of says which members a kind uses, all others
 * are zero. Pure. Any thread.
 */
#ifndef KT_RECORD_H
#define KT_RECORD_H

#include "err.h"
#include "labels.h"
#include "plan.h"
#include "reason.h"
#include "role.h"
#include "ticket.h"
#include "types.h"

enum { KT_RECORD_VERSION = 1, KT_ACTOR_MAX = 80, KT_RECORD_TEXT_MAX = 16384 };

/* Members of struct kt_record that a kind may use. */
enum kt_record_field {
	KT_F_DEVICE = 1 << 0,
	KT_F_OP = 1 << 1, /* optional in restore.* */
	KT_F_NONCE = 1 << 2,
	KT_F_ALG = 1 << 3, /* optional in device.create and credential.import */
	KT_F_DEADLINE = 1 << 4,
	KT_F_FP = 1 << 5,
	KT_F_KEY_ID = 1 << 6,	  /* optional in device.create */
	KT_F_GENERATION = 1 << 7, /* optional in restore.*: none is 0 */
	KT_F_NOT_AFTER = 1 << 8,
	KT_F_DER = 1 << 9,
	KT_F_TICKET = 1 << 10, /* SHA-256 of a ticket's secret; optional in issue */
	KT_F_GROUP = 1 << 11,  /* optional */
	KT_F_PATTERN = 1 << 12,
	KT_F_EXPIRES = 1 << 13,
	KT_F_REASON = 1 << 14,
	KT_F_WIPE = 1 << 15,
	KT_F_TRUST_DOMAIN = 1 << 16,
	KT_F_NOTE = 1 << 17, /* optional, an operator's words */
	KT_F_HEAD = 1 << 18, /* hash of the last record that was accepted; zeros: none was left */
	KT_F_INDEX_SEQ = 1 << 19,
	KT_F_STATUS = 1 << 20,
	KT_F_FROZEN = 1 << 21,
	KT_F_NAME = 1 << 22, /* an operator's; has the form of a device id */
	KT_F_ROLE = 1 << 23,
	KT_F_LABELS = 1 << 24,	 /* optional */
	KT_F_CAMPAIGN = 1 << 25, /* has the form of a device id; optional in op.open */
	KT_F_PLAN = 1 << 26,
	KT_F_SELECT = 1 << 27,	/* the words that chose them, as they were given */
	KT_F_DEVICES = 1 << 28, /* ids, a blank between each two */
	KT_F_RESULT = 1 << 29
};

/*
 * X(CODE, "kind", fields, "what it means")
 * ledger.begin is the first record. issue: for a rotation or an enrolment (op, nonce then are the
 * enrolment's); ticket or registered key is used up by the same record.
 * ledger.restore and what follows it (restore.device, restore.credential, ticket.void, and ordinary
 * records) are written by an operator's `keyturnctl restore` alone, in one group.
 */
#define KT_RECORD_LIST(X)                                                                          \
	X(LEDGER_BEGIN, "ledger.begin", KT_F_TRUST_DOMAIN, "a new ledger")                         \
	X(DEVICE_CREATE, "device.create", KT_F_DEVICE | KT_F_GROUP | KT_F_KEY_ID | KT_F_ALG,       \
	  "a device exists; with a key id: that key may enrol as it")                              \
	X(DEVICE_SET, "device.set", KT_F_DEVICE | KT_F_GROUP | KT_F_LABELS,                        \
	  "an operator says its group and its labels; what is left out is none")                   \
	X(TICKET_CREATE, "ticket.create",                                                          \
	  KT_F_DEVICE | KT_F_GROUP | KT_F_PATTERN | KT_F_TICKET | KT_F_EXPIRES, "a ticket exists") \
	X(APPROVE, "device.approve", KT_F_DEVICE | KT_F_KEY_ID | KT_F_ALG | KT_F_GROUP,            \
	  "an operator lets this key enrol as this device")                                        \
	X(DENY, "device.deny", KT_F_KEY_ID,                                                        \
	  "this key shall not enrol; ends its pending enrolment")                                  \
	X(OP_OPEN, "op.open",                                                                      \
	  KT_F_DEVICE | KT_F_OP | KT_F_NONCE | KT_F_ALG | KT_F_DEADLINE | KT_F_NOTE |              \
		  KT_F_CAMPAIGN,                                                                   \
	  "a rotation is ordered; closes an older op")                                             \
	X(OP_CLOSE, "op.close", KT_F_DEVICE | KT_F_OP | KT_F_REASON,                               \
	  "an op ended without commit; its pending credential is abandoned")                       \
	X(ISSUE, "issue",                                                                          \
	  KT_F_DEVICE | KT_F_OP | KT_F_NONCE | KT_F_ALG | KT_F_FP | KT_F_KEY_ID |                  \
		  KT_F_GENERATION | KT_F_NOT_AFTER | KT_F_DER | KT_F_TICKET | KT_F_GROUP,          \
	  "a certificate was issued, pending")                                                     \
	X(COMMIT, "commit", KT_F_DEVICE | KT_F_OP | KT_F_FP,                                       \
	  "pending became current, the older one superseded")                                      \
	X(PROMOTED, "promoted", KT_F_DEVICE | KT_F_OP, "the device has dropped the old key")       \
	X(FAILED, "failed", KT_F_DEVICE | KT_F_OP | KT_F_REASON, "the device reports a failure")   \
	X(FREEZE, "freeze", KT_F_DEVICE | KT_F_OP,                                                 \
	  "a second key for one op: op closed, rotation frozen")                                   \
	X(UNFREEZE, "unfreeze", KT_F_DEVICE, "an operator ends the freeze")                        \
	X(QUARANTINE, "quarantine", KT_F_DEVICE | KT_F_NOTE, "Keyturn topics only")                \
	X(RELEASE, "release", KT_F_DEVICE | KT_F_NOTE, "quarantine ends")                          \
	X(REVOKE, "revoke", KT_F_DEVICE | KT_F_WIPE | KT_F_NOTE, "all credentials end, op closed") \
	X(DELETE, "device.delete", KT_F_DEVICE | KT_F_NOTE,                                        \
	  "the device is gone; its keys and fingerprints stay known for good")                     \
	X(OP_RAISE, "op.raise", KT_F_DEVICE | KT_F_OP,                                             \
	  "the device knew a newer op: counter raised, open op closed")                            \
	X(CLOCK_CONFIRM, "clock.confirm", KT_F_NOTE, "an operator says that the clock is right")   \
	X(RESTORE, "ledger.restore", KT_F_HEAD | KT_F_INDEX_SEQ | KT_F_NOTE,                       \
	  "an operator accepts an older ledger; closes every op, ends every operator of the "      \
	  "ledger, reconciling begins")                                                            \
	X(RESTORE_DEVICE, "restore.device",                                                        \
	  KT_F_DEVICE | KT_F_GROUP | KT_F_OP | KT_F_GENERATION | KT_F_FROZEN | KT_F_LABELS,        \
	  "what was known of a device: its counters, its freeze")                                  \
	X(RESTORE_CREDENTIAL, "restore.credential",                                                \
	  KT_F_DEVICE | KT_F_OP | KT_F_FP | KT_F_KEY_ID | KT_F_GENERATION | KT_F_NOT_AFTER |       \
		  KT_F_STATUS,                                                                     \
	  "what was known of a certificate; gives no right")                                       \
	X(TICKET_VOID, "ticket.void", KT_F_TICKET, "a ticket that was used up already")            \
	X(ADOPT, "credential.adopt",                                                               \
	  KT_F_DEVICE | KT_F_FP | KT_F_KEY_ID | KT_F_GENERATION | KT_F_NOT_AFTER,                  \
	  "while reconciling: a newer certificate of ours is current, with Keyturn topics only")   \
	X(IMPORT, "credential.import",                                                             \
	  KT_F_DEVICE | KT_F_GROUP | KT_F_ALG | KT_F_FP | KT_F_KEY_ID | KT_F_NOT_AFTER,            \
	  "a certificate of another CA is current, as generation 0; without alg its key cannot "   \
	  "sign messages")                                                                         \
	X(RECONCILE_END, "reconcile.end", KT_F_NOTE, "an operator ends reconciling")               \
	X(OPERATOR_ADD, "operator.add", KT_F_NAME | KT_F_FP | KT_F_ROLE | KT_F_NOTE,               \
	  "who shows this certificate of this name is an operator")                                \
	X(OPERATOR_REMOVE, "operator.remove", KT_F_NAME | KT_F_NOTE,                               \
	  "the operator of this name is none any more")                                            \
	X(CAMPAIGN_BEGIN, "campaign.begin", KT_F_CAMPAIGN | KT_F_PLAN | KT_F_SELECT | KT_F_NOTE,   \
	  "a campaign is made; whom it means follows")                                             \
	X(CAMPAIGN_ADD, "campaign.add", KT_F_CAMPAIGN | KT_F_DEVICES, "it means these, too")       \
	X(CAMPAIGN_START, "campaign.start", KT_F_CAMPAIGN, "all whom it means are there, it runs") \
	X(CAMPAIGN_WAVE, "campaign.wave", KT_F_CAMPAIGN, "its next wave begins")                   \
	X(CAMPAIGN_PAUSE, "campaign.pause", KT_F_CAMPAIGN | KT_F_NOTE, "no further orders")        \
	X(CAMPAIGN_RESUME, "campaign.resume", KT_F_CAMPAIGN | KT_F_NOTE, "further orders again")   \
	X(CAMPAIGN_ABORT, "campaign.abort", KT_F_CAMPAIGN | KT_F_NOTE,                             \
	  "no further orders for good; who has one may finish")                                    \
	X(CAMPAIGN_DEVICE, "campaign.device",                                                      \
	  KT_F_CAMPAIGN | KT_F_DEVICE | KT_F_RESULT | KT_F_REASON,                                 \
	  "what became of one device; done by a commit has no record of its own")                  \
	X(CAMPAIGN_END, "campaign.end", KT_F_CAMPAIGN, "nobody is under way any more")

enum kt_credential_status {
	KT_CREDENTIAL_PENDING,
	KT_CREDENTIAL_CURRENT,
	KT_CREDENTIAL_SUPERSEDED,
	KT_CREDENTIAL_REVOKED,
	KT_CREDENTIAL_ABANDONED, /* pending, given up */
	KT_CREDENTIAL_LOST	 /* was in force, or pending, in records that are lost: adoptable */
};

enum kt_member_status { /* of a device in a campaign */
			KT_MEMBER_WAITING,
			KT_MEMBER_ORDERED, /* under way */
			/* final ones: */
			KT_MEMBER_DONE,
			KT_MEMBER_FAILED,  /* it said so, or its rotation was frozen */
			KT_MEMBER_SILENT,  /* it had its order, and never finished */
			KT_MEMBER_SKIPPED, /* it could not be asked: revoked, deleted, frozen; or an
					      operator cancelled */
			KT_MEMBER_MISSED,  /* it was offline to the end */
			KT_MEMBER_LEFT,	   /* the campaign was ended before its turn */
			KT_MEMBER_STATUS_COUNT
};

enum { KT_RECORD_DEVICES_MAX = 128, KT_RECORD_SELECT_MAX = 1600 /* bytes */ };

enum kt_record_kind {
#define KT_RECORD_ENUM(code, name, fields, text) KT_RECORD_##code,
	KT_RECORD_LIST(KT_RECORD_ENUM) KT_RECORD_COUNT
#undef KT_RECORD_ENUM
};

struct kt_record {
	uint64_t seq; /* 1, 2, 3 ... */
	int64_t time_us;
	enum kt_record_kind kind;
	char actor[KT_ACTOR_MAX +
		   1]; /* "op:unix", "op:<name>", "device:<id>", "claim", "keyturn" */
	struct kt_device_id device;
	uint64_t op;
	struct kt_nonce nonce;
	enum kt_alg alg;
	int64_t deadline_us;
	struct kt_fingerprint fp;
	struct kt_key_id key_id;
	bool has_key_id;
	uint32_t generation;
	int64_t not_after_s;
	struct kt_bytes der; /* borrowed; after a decode owned by storage */
	uint8_t *storage;    /* owned, or NULL */
	uint8_t ticket_sha256[32];
	bool has_ticket;
	char group[KT_GROUP_MAX + 1];
	char pattern[KT_DEVICE_ID_MAX + 1];
	struct kt_labels labels;
	int64_t expires_us;
	enum kt_reason reason;
	bool wipe;
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	char note[128];
	uint8_t head[32];
	uint64_t index_seq; /* how far an index knew; 0: there was none */
	enum kt_credential_status status;
	bool frozen;
	struct kt_device_id name; /* an operator's */
	enum kt_role role;
	struct kt_device_id campaign; /* its name */
	struct kt_plan plan;
	const char *text; /* SELECT or DEVICES; borrowed as der is, and never beside it; or NULL */
	enum kt_member_status result;
};

/*
 * Compact JSON without a newline, malloc'ed: {"v":1,"seq":"7","prev":"<64 hex>","time":"...",
 * "actor":...,"kind":...,<fields>}. @prev: hash of the record before. KT_ERR_NOMEM, KT_ERR_INVALID.
 */
KT_MUST_CHECK enum kt_err kt_record_encode(const struct kt_record *record,
					   const uint8_t prev[static 32], char **out,
					   size_t *out_len);
/*
 * Strict inverse; kt_record_clear when done. KT_ERR_INVALID, KT_ERR_VERSION (newer), KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_record_decode(const char *text, size_t len, struct kt_record *out,
					   uint8_t prev[static 32]);
void kt_record_clear(struct kt_record *record);
const char *kt_record_kind_name(enum kt_record_kind kind);
const char *kt_credential_status_name(enum kt_credential_status s); /* pending current ... */
const char *kt_member_status_name(enum kt_member_status s);	    /* waiting ordered done ... */
/* False: no such status; *out is left alone. */
bool kt_member_status_from_name(const char *name, enum kt_member_status *out);
/* The same. */
bool kt_credential_status_from_name(const char *name, enum kt_credential_status *out);

#endif
