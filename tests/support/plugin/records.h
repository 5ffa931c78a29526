/*
 * records - short ways to make records and to let a registry take them.
 *
 * Hashes are made of a number: fp_of(n), key_of(n) and ticket_of(n) differ for every n and from
 * each other. A record's seq is the registry's next one, its time TIME_0 + seq seconds.
 */
#ifndef KT_TEST_RECORDS_H
#define KT_TEST_RECORDS_H

#include "record.h"
#include "registry.h"

#define TIME_0 INT64_C(1700000000000000)

struct kt_fingerprint fp_of(uint32_t n);
struct kt_key_id key_of(uint32_t n);
void ticket_of(uint32_t n, uint8_t out[static 32]);

/* A record of @kind for @device (NULL: none), with every member of the kind set to something good
 * that depends on @n: op = n, fp_of(n), key_of(n), ticket_of(n), generation = the next one. */
struct kt_record record_for(const struct kt_registry *registry, enum kt_record_kind kind,
			    const char *device, uint32_t n);
struct kt_record record_begin(void);
/* operator.add (with fp_of(n), as @role) or operator.remove. */
struct kt_record record_of_operator(const struct kt_registry *registry, enum kt_record_kind kind,
				    const char *name, enum kt_role role, uint32_t n);

/* Applies; aborts with the kind's name when it is refused. */
void take(struct kt_registry *registry, const struct kt_record *record);
void take_kind(struct kt_registry *registry, enum kt_record_kind kind, const char *device,
	       uint32_t n);
/* device.ticket n, issue n, commit n: an active device with op n. */
void take_enrolled(struct kt_registry *registry, const char *device, uint32_t n);
/* op.open n, issue n, commit n */
void take_rotated(struct kt_registry *registry, const char *device, uint32_t n);
/* A registry that holds ledger.begin. */
struct kt_registry *registry_begun(void);

/*
 * A story with every kind of record, always the same: ledger-v1.kt holds it, index-v5.sqlite what
 * its first STORY_INDEXED ones make: no campaign is in an index.
 * At its end hub-1 is active with two generations, hub-2's pending enrolment was lost by a restore,
 * hub-3 is revoked, hub-5 adopted, hub-6 has a pending enrolment, hub-7 imported and labelled,
 * hub-9 deleted, one group ticket is open and one key denied; ann is an operator, ben was one. A
 * campaign has failed hub-1, left hub-7 and ended.
 */
enum { STORY_COUNT = 52, STORY_INDEXED = 42 };
void story_records(struct kt_record out[static STORY_COUNT]);

#endif
