/*
 * registry_internal - the registry's rows and tables, for registry*.c and the index alone.
 *
 * Rows live in chunks and never move or go. Tables hold row numbers (4 bytes a slot), so that a
 * device with one credential costs about 500 bytes in all (test_registry measures it). Every row
 * has a mark for the index: rows that changed since the last collection form a list, which needs no
 * memory of its own. Broker's thread only.
 */
#ifndef KT_REGISTRY_INTERNAL_H
#define KT_REGISTRY_INTERNAL_H

#include "campaigns.h"
#include "registry.h"

/* Rows in chunks: a row's address holds for the life of the registry. */
struct kt_slab {
	uint8_t **chunks;
	size_t chunk_count;
	size_t row_size;
	uint32_t count;
};

enum { KT_SLAB_CHUNK_ROWS = 128, KT_SLAB_ROWS_MAX = 1 << 30 };

/* Room for @extra more rows. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_slab_reserve(struct kt_slab *slab, uint32_t extra);
void *kt_slab_at(const struct kt_slab *slab, uint32_t row);
/* A zeroed row; room must have been reserved. */
uint32_t kt_slab_add(struct kt_slab *slab);
void kt_slab_clear(struct kt_slab *slab);

/*
 * Open addressing, linear probing, power of two, at most 7/10 full. A slot is a row number + 1.
 *
 * It grows by one rehash of all rows, within the change that passes the limit: only changes that an
 * operator's ticket, approval or rotation paid for add rows, so a stranger's connect never waits
 * for it, and doubling makes it rare (100,000 rows: below 10 ms, 17 times in a fleet's life).
 *
 * Hashes: fingerprints, key ids and ticket hashes are SHA-256 values already, their first 8 bytes
 * serve; whoever grinds such a prefix only moves his own entry. Device ids take FNV-1a without a
 * secret seed: an id enters the table only by an operator's ticket, approval or command, one at a
 * time, and a look-up with a hostile id walks a run that it could not have made longer.
 */
struct kt_table {
	uint32_t *slots;
	size_t mask;
	size_t used;
};

typedef uint64_t kt_table_hash(const struct kt_registry *registry, uint32_t row);

KT_MUST_CHECK enum kt_err kt_table_reserve(struct kt_table *table, const struct kt_registry *r,
					   kt_table_hash *hash);
void kt_table_add(struct kt_table *table, uint64_t hash, uint32_t row);
/* Closes the gap (backward shift), so that look-ups never meet tombstones. */
void kt_table_remove(struct kt_table *table, const struct kt_registry *r, kt_table_hash *hash,
		     uint32_t row);
void kt_table_clear(struct kt_table *table);
/* Rows that may have @hash, one by one: false at the end. *cursor starts at (size_t)@hash. */
bool kt_table_next(const struct kt_table *table, size_t *cursor, uint32_t *row);

/*
 * next_dirty of a row: 0 = as the index has it; else the list's next row + 1, or KT_DIRTY_END.
 */
#define KT_DIRTY_END UINT32_MAX

struct kt_device_row {
	struct kt_device d; /* first */
	uint8_t *der;	    /* owned: what d.pending_der shows */
	char *group;	    /* owned, or NULL: what d.group shows */
	char *labels;	    /* the same of d.labels */
	uint32_t row;
	uint32_t next_dirty;
};

struct kt_credential_row {
	struct kt_credential c; /* first */
	uint32_t row;
	uint32_t next_dirty;
};

/* What kt_registry_keep_endings keeps of the credential in the same row; not indexed. */
struct kt_ending_row {
	int64_t ended_s;
	uint8_t tail[KT_SERIAL_LEN - 5]; /* of the serial, behind 4B and generation; zeros: none */
};

struct kt_ticket_row {
	struct kt_ticket_entry t; /* first */
	uint32_t row;
	uint32_t next_dirty;
};

struct kt_denied_row {
	struct kt_key_id key_id;
	bool denied; /* false again after an approve */
	uint32_t row;
	uint32_t next_dirty;
};

struct kt_operator_row {
	struct kt_operator_entry o; /* first */
	uint32_t row;
	uint32_t next_dirty;
};

struct kt_registry {
	struct kt_slab devices, credentials, tickets, denied, operators;
	struct kt_slab endings; /* one row per credential, or none at all */
	bool keeps_endings;
	struct kt_table by_id;	       /* devices, by id in lower case */
	struct kt_table by_fp;	       /* credentials */
	struct kt_table by_key;	       /* credentials */
	struct kt_table by_registered; /* devices with a registered key */
	struct kt_table by_ticket;     /* tickets */
	struct kt_table by_bound;      /* tickets for one device, by that device's id; repeats */
	struct kt_table by_denied;
	struct kt_table by_operator; /* operators, by name in lower case */
	/* list heads */
	uint32_t dirty_devices, dirty_credentials, dirty_tickets, dirty_denied, dirty_operators;
	struct kt_campaign *campaigns[KT_CAMPAIGNS_MAX]; /* owned; in the order of their making */
	size_t campaign_count;
	struct kt_campaign *campaign_reserved; /* of the record on its way in */
	struct kt_registry_counts counts;
	uint64_t seq;
	uint64_t ended_seq;   /* of the last record that put a credential out */
	uint64_t restore_seq; /* of the ledger.restore in force; 0: not reconciling */
	int64_t time_us;
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
};

/* --- hashes of rows and keys --- */
uint64_t kt_hash_sha256(const uint8_t sha256[static 32]);
uint64_t kt_hash_id(const char *id); /* ignoring case */
kt_table_hash kt_hash_device_row, kt_hash_registered_row, kt_hash_fp_row, kt_hash_key_row,
	kt_hash_ticket_row, kt_hash_bound_row, kt_hash_denied_row, kt_hash_operator_row;

/* --- rows by key, changeable; NULL if there is none --- */
struct kt_device_row *kt_row_device(const struct kt_registry *r, const char *id);
struct kt_device_row *kt_row_device_nocase(const struct kt_registry *r, const char *id);
struct kt_device_row *kt_row_registered(const struct kt_registry *r, const struct kt_key_id *key);
struct kt_credential_row *kt_row_credential(const struct kt_registry *r,
					    const struct kt_fingerprint *fp);
struct kt_credential_row *kt_row_key(const struct kt_registry *r, const struct kt_key_id *key);
struct kt_ticket_row *kt_row_ticket(const struct kt_registry *r, const uint8_t sha256[static 32]);
struct kt_denied_row *kt_row_denied(const struct kt_registry *r, const struct kt_key_id *key);
struct kt_operator_row *kt_row_operator(const struct kt_registry *r, const char *name);
struct kt_operator_row *kt_row_operator_nocase(const struct kt_registry *r, const char *name);

/* Does this issue answer @d's open rotation (else it is an enrolment)? @d may be NULL. */
bool kt_registry_is_rotation(const struct kt_record *record, const struct kt_device *d);

/* --- adding rows; kt_registry_reserve first, then nothing here fails --- */

/* Room for one more row of each kind and its table slots. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_registry_reserve(struct kt_registry *r);
struct kt_device_row *kt_row_add_device(struct kt_registry *r, const struct kt_device_id *id);
struct kt_credential_row *kt_row_add_credential(struct kt_registry *r,
						const struct kt_credential *c);
struct kt_ticket_row *kt_row_add_ticket(struct kt_registry *r, const struct kt_ticket_entry *t);
struct kt_denied_row *kt_row_add_denied(struct kt_registry *r, const struct kt_key_id *key);
struct kt_operator_row *kt_row_add_operator(struct kt_registry *r, const struct kt_device_id *name);
/* Take over a text (malloc'ed, or NULL for none). */
void kt_row_set_group(struct kt_device_row *row, char *group);
void kt_row_set_labels(struct kt_device_row *row, char *labels);
/* Sets or (NULL) drops the key that may enrol as the device; keeps by_registered in step. */
void kt_row_register(struct kt_registry *r, struct kt_device_row *row, const struct kt_key_id *key);
/* Adds (+1) or takes away (-1) what the device contributes to the counts. */
void kt_row_count(struct kt_registry *r, const struct kt_device_row *row, int sign);

/* --- endings; nothing where they are not kept --- */
/* The serial of the certificate @der, if it is one of ours and of the row's generation. */
void kt_row_keep_serial(struct kt_registry *r, const struct kt_credential_row *row,
			struct kt_bytes der);
/* @status was set by the record @seq of @time_us. */
void kt_row_keep_ending(struct kt_registry *r, const struct kt_credential_row *row, uint64_t seq,
			int64_t time_us);

/* --- what the index has to write --- */
void kt_dirty_mark(uint32_t *head, uint32_t *next_dirty, uint32_t row);
void kt_dirty_take(uint32_t *head, uint32_t *next_dirty);
void kt_row_mark_device(struct kt_registry *r, struct kt_device_row *row);
void kt_row_mark_credential(struct kt_registry *r, struct kt_credential_row *row);
void kt_row_mark_ticket(struct kt_registry *r, struct kt_ticket_row *row);
void kt_row_mark_denied(struct kt_registry *r, struct kt_denied_row *row);
void kt_row_mark_operator(struct kt_registry *r, struct kt_operator_row *row);
/* As if all of it had changed: the index is to be written anew. */
void kt_registry_mark_all(struct kt_registry *r);
/* Takes the first row off a dirty list (newest change first); NULL when it is empty. */
struct kt_device_row *kt_row_take_device(struct kt_registry *r);
struct kt_credential_row *kt_row_take_credential(struct kt_registry *r);
struct kt_ticket_row *kt_row_take_ticket(struct kt_registry *r);
struct kt_denied_row *kt_row_take_denied(struct kt_registry *r);
struct kt_operator_row *kt_row_take_operator(struct kt_registry *r);

/* --- registry_copies.c: what a record brings and a row keeps; owned, NULL where there is none ---
 */
/* "" is NULL. False: no memory. */
bool kt_copy_text(const char *text, char **out);
struct kt_copies {
	char *group;
	char *labels;
	uint8_t *der;
};
/* @copies is zeroed. KT_ERR_NOMEM: it still is. */
KT_MUST_CHECK enum kt_err kt_copies_make(struct kt_copies *copies, const struct kt_record *record);
void kt_copies_free(struct kt_copies *copies);

/* --- registry_ticket.c --- */
void kt_ticket_use(struct kt_registry *r, struct kt_ticket_row *row);
/* All open tickets for @device alone are used, by nobody. */
void kt_ticket_void_all(struct kt_registry *r, const char *device);

/* --- registry_operator.c: what records make of operators; the check has been made --- */
void kt_operator_apply_add(struct kt_registry *r, const struct kt_record *record);
void kt_operator_apply_remove(struct kt_registry *r, const struct kt_record *record);
/* An older ledger was accepted: who was removed since is not known, so all are. */
void kt_operator_apply_restore(struct kt_registry *r, const struct kt_record *record);

#endif
