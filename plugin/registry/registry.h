/*
 * registry - who is who: the fleet in memory, as the fold of the ledger's records.
 *
 * The only function that changes it is kt_registry_apply, at start (replay) and live alike; so what
 * memory says is what the ledger says. Open-addressing tables by fingerprint, key id, device id
 * (bytewise; unique ignoring case), ticket and operator: a look-up costs one probe. Decides nothing
 * about sessions or rights. Broker's thread only. kt_registry_dirty feeds the index (store/).
 */
#ifndef KT_REGISTRY_H
#define KT_REGISTRY_H

#include "err.h"
#include "record.h"
#include "types.h"

struct kt_registry; /* owned, opaque */

enum kt_device_state {
	KT_DEVICE_NEW,	   /* no credential was ever proven */
	KT_DEVICE_ACTIVE,  /* has a current credential */
	KT_DEVICE_REVOKED, /* an operator ended all its credentials */
	KT_DEVICE_DELETED  /* a tombstone: keys and fingerprints stay known */
};

enum kt_server_phase { KT_SERVER_IDLE, KT_SERVER_OPEN, KT_SERVER_ISSUED };

struct kt_device;

struct kt_credential { /* read-only outside the registry */
	struct kt_fingerprint fp;
	struct kt_key_id key_id;
	struct kt_device *device;
	uint32_t generation;
	enum kt_credential_status status;
	int64_t not_after_s;
	uint64_t op;		/* the op that issued it; 0: unknown (adopted) */
	uint64_t superseded_by; /* op that superseded it (or the next one, by an adoption); 0 if
				   none */
	uint64_t changed_seq;	/* record that set the status: not durable yet => no verdict */
};

struct kt_device { /* read-only outside the registry */
	struct kt_device_id id;
	const char *group;  /* "" if it is in none */
	const char *labels; /* labels.h; "" if it has none */
	enum kt_device_state state;
	bool quarantined;
	bool frozen;
	bool wipe;			     /* of the revoke */
	bool adopted;			     /* Keyturn topics only until a commit or a release */
	uint32_t generation;		     /* highest ever issued */
	uint32_t proven_generation;	     /* highest that was ever current */
	const struct kt_credential *current; /* NULL unless ACTIVE */
	const struct kt_credential *pending; /* NULL unless ISSUED */
	const uint8_t *pending_der;	     /* certificate of pending */
	enum kt_server_phase phase;
	enum kt_alg op_alg;
	enum kt_reason failed_reason; /* last `failed`, NONE if none */
	bool enrolling;		      /* ISSUED by an enrolment, not by a rotation */
	bool has_registered_key;
	uint16_t pending_der_len; /* at most KT_CERT_MAX */
	uint64_t op; /* highest op ever used for this device; the open one unless IDLE */
	struct kt_nonce op_nonce;
	int64_t op_deadline_us;	    /* OPEN and ISSUED: when it is given up; 0 = never */
	uint64_t last_committed_op; /* 0: none */
	uint64_t promoted_op;	    /* highest op whose promoted is on record */
	uint64_t closed_op;	    /* highest op that ended without commit */
	uint64_t failed_op;
	struct kt_key_id registered_key; /* may enrol as this device */
	int64_t created_us;
	int64_t committed_us; /* of the current credential */
	int64_t revoked_us;
	/*
	 * mono, when it said promoted_op, and what it had said before that; 0: before this run.
	 * kt_registry_note_promoted; not indexed.
	 */
	int64_t promoted_ms;
	uint64_t promoted_before_op;
	int64_t promoted_before_ms;
	uint64_t
		agent_version; /* of its last hello (kt_version_decode); 0: not heard in this run */
	int64_t told_us;       /* when it made us write news of its own; not indexed */
	uint64_t grouped_seq;  /* record that set the group of one that was there; not indexed */
	uint64_t released_seq; /* record that ended the last quarantine or adoption; not indexed */
	uint64_t changed_seq;  /* last record about it */
};

struct kt_ticket_entry { /* read-only */
	uint8_t sha256[32];
	struct kt_device_id device; /* empty: group ticket */
	char group[KT_GROUP_MAX + 1];
	char pattern[KT_DEVICE_ID_MAX + 1];
	int64_t expires_us;
	bool used;
	struct kt_key_id used_by; /* key id of the enrolment that used it */
	struct kt_device_id used_for;
};

/* An operator of the ledger; those of the configuration are not here. Read-only. */
struct kt_operator_entry {
	struct kt_device_id name; /* of the certificate's URI; has the form of a device id */
	struct kt_fingerprint fp;
	enum kt_role role;
	bool is_removed; /* the name stays known, and with it what was there */
	int64_t since_us;
	char by[KT_ACTOR_MAX + 1]; /* who added or removed it */
	uint64_t changed_seq;	   /* another one: all that rests on the entry is over */
};

KT_MUST_CHECK enum kt_err kt_registry_new(struct kt_registry **out);
void kt_registry_free(struct kt_registry *registry);
/*
 * From here on serials of certificates and the moments of their ends are kept, at 24 bytes each:
 * for the revocation list, and only where there is one. Before the first record.
 */
void kt_registry_keep_endings(struct kt_registry *registry);

/*
 * Applies a record whose seq is exactly the next one. KT_ERR_STATE: it does not fit what is there
 * (a defect, or an altered ledger; nothing was changed). KT_ERR_NOMEM (nothing was changed).
 */
KT_MUST_CHECK enum kt_err kt_registry_apply(struct kt_registry *registry,
					    const struct kt_record *record);
/* KT_ERR_OK if kt_registry_apply would accept it. Changes nothing. */
KT_MUST_CHECK enum kt_err kt_registry_check(const struct kt_registry *registry,
					    const struct kt_record *record);

/* NULL if unknown. Borrowed, valid for the life of the registry (entries never move or go). */
const struct kt_credential *kt_registry_find_fingerprint(const struct kt_registry *registry,
							 const struct kt_fingerprint *fp);
const struct kt_device *kt_registry_find_device(const struct kt_registry *registry, const char *id);
/* Ignoring case: is there already a device whose id differs in case alone (tombstones included)? */
const struct kt_device *kt_registry_find_nocase(const struct kt_registry *registry, const char *id);
/* The device that a key id belongs to, by registration or by any certificate ever; NULL if free. */
const struct kt_device *kt_registry_find_key(const struct kt_registry *registry,
					     const struct kt_key_id *key_id);
/* The credential of this key, whatever has become of it. */
const struct kt_credential *kt_registry_find_credential(const struct kt_registry *registry,
							const struct kt_key_id *key_id);
/* True if any certificate was ever issued for the key. */
bool kt_registry_is_key_used(const struct kt_registry *registry, const struct kt_key_id *key_id);
bool kt_registry_is_key_denied(const struct kt_registry *registry, const struct kt_key_id *key_id);
const struct kt_ticket_entry *kt_registry_find_ticket(const struct kt_registry *registry,
						      const uint8_t sha256[static 32]);
/* Devices in order of creation, tombstones included; *cursor starts at 0; NULL at the end. */
const struct kt_device *kt_registry_next_device(const struct kt_registry *registry, size_t *cursor);

/* Removed ones, too; NULL if unknown. Borrowed, as above. */
const struct kt_operator_entry *kt_registry_find_operator(const struct kt_registry *registry,
							  const char *name);
/* Ignoring case. */
const struct kt_operator_entry *kt_registry_find_operator_nocase(const struct kt_registry *registry,
								 const char *name);
/* In the order in which the names were first added, removed ones included; *cursor starts at 0. */
const struct kt_operator_entry *kt_registry_next_operator(const struct kt_registry *registry,
							  size_t *cursor);

/* Credentials in order of issue; *cursor starts at 0; NULL at the end. */
const struct kt_credential *kt_registry_next_credential(const struct kt_registry *registry,
							size_t *cursor);

struct kt_ending {	 /* of a credential that was put out: superseded, revoked or abandoned */
	bool has_serial; /* false: its certificate was never seen (restored, adopted, imported) */
	uint8_t serial[KT_SERIAL_LEN];
	int64_t ended_s; /* seconds since 1970, of the record that put it out */
};
/* False: it was not put out, or endings are not kept. */
bool kt_registry_ending(const struct kt_registry *registry, const struct kt_credential *credential,
			struct kt_ending *out);
/* seq of the last record that put a credential out; 0: none did. */
uint64_t kt_registry_ended_seq(const struct kt_registry *registry);

/*
 * The time at which @device said promoted_op, and what its promoted_op was until then. No record,
 * not kept over a restart.
 */
void kt_registry_note_promoted(struct kt_registry *registry, const struct kt_device *device,
			       uint64_t before_op, int64_t mono_ms);

/* What its agent says that it is. No record, not kept over a restart. */
void kt_registry_note_agent(struct kt_registry *registry, const struct kt_device *device,
			    uint64_t version);

struct kt_registry_counts {
	size_t devices; /* without tombstones */
	size_t active;
	size_t revoked;
	size_t quarantined;
	size_t frozen;
	size_t adopted;
	size_t open_ops;
	size_t credentials;
	size_t tickets_open;
};
struct kt_registry_counts kt_registry_counts(const struct kt_registry *registry);

uint64_t kt_registry_seq(const struct kt_registry *registry); /* of the last record applied */
/* seq of the ledger.restore in force; 0: not reconciling. */
uint64_t kt_registry_restore_seq(const struct kt_registry *registry);
/* Newest time of any record, or of the last clock.confirm if that is later in order. */
int64_t kt_registry_time_us(const struct kt_registry *registry);
/* Trust domain of ledger.begin; "" before it. */
const char *kt_registry_trust_domain(const struct kt_registry *registry);
const char *kt_device_state_name(enum kt_device_state state); /* new active revoked deleted */
const char *kt_server_phase_name(enum kt_server_phase phase); /* idle open issued */

#endif
