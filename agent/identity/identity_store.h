/*
 * identity_store - what the hub keeps on disk: one record, and a directory per credential.
 *
 * The record is the truth: two alternating checksummed copies (record.0, record.1), the newer valid
 * one counts. Nothing is decided from which files exist. identity/<dir>/ holds key.pem (or the key
 * store's reference), then cert.pem, chain.pem and identity.pem (chain + key in one file: what
 * other programs use). A KEY directory is built aside, synced, renamed; each file of CERT is temp +
 * fsync + rename; the record comes last. The link `current` is repaired from the record at every
 * start. Does not decide when: rollover.h does. One thread.
 */
#ifndef KT_IDENTITY_STORE_H
#define KT_IDENTITY_STORE_H

#include "crypto.h"
#include "durable_file.h"
#include "err.h"
#include "key_store.h"
#include "message.h"
#include "types.h"

enum { KT_AGENT_RECORD_VERSION = 1 };

enum kt_agent_phase {
	KT_AGENT_NEW,	 /* no credential: enrolment to come or under way */
	KT_AGENT_STABLE, /* one credential, in force */
	KT_AGENT_KEY, /* a new key is on disk, its CSR may be out; pending.op 0: to enrol again */
	KT_AGENT_CERT /* a new credential is on disk, not proven yet */
};

enum kt_agent_step { /* what is still to do after `committed`, in this order */
		     KT_STEP_NONE,
		     KT_STEP_LINK,
		     KT_STEP_HOOKS,
		     KT_STEP_WIPE,
		     KT_STEP_PROMOTED /* promoted is repeated until noted */
};

struct kt_slot {      /* one credential on disk */
	uint64_t dir; /* identity/<dir>; 0: no such credential */
	uint64_t op;  /* that issued it; 0: not known yet (enrolment before `enrolled`) */
	uint32_t generation;
	enum kt_alg alg;
	struct kt_fingerprint fp; /* zero while there is a key alone */
};

static inline bool kt_slot_has_cert(const struct kt_slot *slot)
{
	const struct kt_fingerprint none = {{0}};

	return !kt_fingerprint_eq(&slot->fp, &none);
}

struct kt_agent_record {
	uint64_t seq; /* grows with each save */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
	struct kt_device_id device; /* empty before enrolment gave one */
	enum kt_agent_phase phase;
	struct kt_slot active;	  /* NEW: none */
	struct kt_slot pending;	  /* KEY, CERT; NEW: the enrolment's key, then its credential */
	struct kt_slot retired;	  /* superseded, not wiped yet (step LINK .. WIPE) */
	uint64_t op;		  /* highest op ever obeyed */
	struct kt_nonce op_nonce; /* of the op in hand */
	enum kt_agent_step step;
	uint64_t step_op;      /* the op `promoted` will name */
	uint32_t controller_n; /* highest controller number seen */
	int64_t floor_s;       /* verification time never below this */
	bool has_root;
	uint8_t root_sha256[32]; /* of the pinned root */
	bool has_ticket;
	uint8_t ticket_sha256[32]; /* of the last ticket used, or in use */
};

struct kt_identity_store;

/*
 * Opens (and, the first time, makes) @state_dir, 0700. Recovers: sweeps temporaries, loads the
 * newer valid record, deletes directories that the record does not name, repairs `current`. Where
 * one copy of the record is damaged, gone or on a bad medium, the other one may be the older:
 * nothing is deleted then before the next start, and a certificate that lies with the pending key
 * is a candidate (CERT), because the server may have committed it.
 * @key_group: (gid_t)-1, or the one group that may read keys (0640/0750). *why: a sentence with the
 * path; after KT_ERR_OK it is "" or says what could not be tidied up (the next start tries again).
 * KT_ERR_CORRUPT: both copies are damaged, or no credential that the record names is usable;
 * nothing is deleted then. KT_ERR_SYS also where a copy cannot be read and there is no other good
 * one. KT_ERR_VERSION, KT_ERR_INSECURE, KT_ERR_BUSY (another agent holds the
 * lock), KT_ERR_SYS, KT_ERR_NOMEM.
 */
struct kt_identity_config {
	const char *state_dir;
	gid_t key_group;
	const struct kt_fs *fs;
	struct kt_key_store *keys; /* borrowed */
	struct kt_crypto *crypto;  /* borrowed */
};
KT_MUST_CHECK enum kt_err kt_identity_open(const struct kt_identity_config *config,
					   struct kt_identity_store **out, char why[static 512]);
void kt_identity_close(struct kt_identity_store *store);
/*
 * The record as it lies there, for a look from outside: no lock, nothing made or repaired, any
 * owner. *is_used: an agent holds its lock. KT_ERR_NOT_FOUND: there is none; KT_ERR_CORRUPT,
 * KT_ERR_VERSION, KT_ERR_SYS, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_identity_peek(const char *state_dir, struct kt_agent_record *out,
					   bool *is_used);
/* The record as loaded or last saved. Borrowed. */
const struct kt_agent_record *kt_identity_record(const struct kt_identity_store *store);
/*
 * Durable when it returns OK; else the old one stays in force (KT_ERR_SYS with errno). seq is the
 * store's own. A save that failed may still be what a power cut leaves: nothing that it names is
 * deleted before a later save has succeeded. KT_ERR_INVALID: a record that cannot be.
 */
KT_MUST_CHECK enum kt_err kt_identity_save(struct kt_identity_store *store,
					   const struct kt_agent_record *record);
/*
 * Makes a key in a new directory, durable. A key that lies there and that the record does not name
 * was made for the same op: it is taken. KT_ERR_EXISTS (named, or unusable), KT_ERR_SYS, the key
 * store's.
 */
KT_MUST_CHECK enum kt_err kt_identity_new_key(struct kt_identity_store *store, uint64_t dir,
					      enum kt_alg alg);
/* The public half of the key of @dir. */
KT_MUST_CHECK enum kt_err kt_identity_public_key(struct kt_identity_store *store, uint64_t dir,
						 struct kt_public_key *out);
/* PKCS#10 by the key of @dir. */
KT_MUST_CHECK enum kt_err kt_identity_csr(struct kt_identity_store *store, uint64_t dir,
					  const char *common_name, const char *challenge,
					  uint8_t out[static KT_CSR_MAX], size_t *out_len);
/* JWS by the key of @dir (JWS signing input only). Malloc'ed text. */
KT_MUST_CHECK enum kt_err kt_identity_seal(struct kt_identity_store *store, uint64_t dir,
					   const char *payload, size_t payload_len, char **out,
					   size_t *out_len);
/*
 * Checks that the chain's leaf is for the key of @dir and for device and trust domain, then writes
 * the CERT files durably. *reason: CERT_CHAIN, CERT_KEY, ID_MISMATCH, DISK. The chain itself was
 * verified under the root by the caller (kt_trust_chain).
 */
KT_MUST_CHECK enum kt_err kt_identity_save_cert(struct kt_identity_store *store, uint64_t dir,
						const struct kt_agent_record *record,
						const struct kt_chain *chain, struct kt_cert *leaf,
						enum kt_reason *reason);
/*
 * A credential from elsewhere is the hub's first one: active, generation 0, of no op. All or
 * nothing: until the record says so, the files are deleted at the next start. The chain is not
 * verified, the broker does that. Trust domain and root must be in the record. KT_ERR_STATE: there
 * is an identity, or one is under way; KT_ERR_VERIFY with *reason CERT_KEY or CERT_USE; the key
 * store's; KT_ERR_INVALID, KT_ERR_SYS, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_identity_adopt(struct kt_identity_store *store,
					    const struct kt_device_id *device,
					    const struct kt_chain *chain, struct kt_bytes key_pem,
					    enum kt_reason *reason);
/* `current` -> identity/<dir>, by one rename. */
KT_MUST_CHECK enum kt_err kt_identity_link(struct kt_identity_store *store, uint64_t dir);
/* Overwrites the key, removes the directory. Absent is fine. KT_ERR_STATE: the record names it as
 * active or pending. */
KT_MUST_CHECK enum kt_err kt_identity_wipe(struct kt_identity_store *store, uint64_t dir);
/* Path of identity.pem of @dir: what the transport loads. False if it does not fit. */
bool kt_identity_pem_path(const struct kt_identity_store *store, uint64_t dir, char *out,
			  size_t cap);
/* Path of the link `current`: what other programs are told. False if it does not fit. */
bool kt_identity_current_path(const struct kt_identity_store *store, char *out, size_t cap);
/* Pins the root: root.pem, then its SHA-256 in the record. KT_ERR_EXISTS: another one is pinned. */
KT_MUST_CHECK enum kt_err kt_identity_save_root(struct kt_identity_store *store,
						struct kt_bytes der);
/* The pinned root's DER. KT_ERR_NOT_FOUND: none yet. KT_ERR_CORRUPT: root.pem is not the one that
 * the record pins. */
KT_MUST_CHECK enum kt_err kt_identity_root(struct kt_identity_store *store,
					   uint8_t out[static KT_CERT_MAX], size_t *out_len);

#endif
