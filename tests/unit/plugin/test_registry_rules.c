/* The fold, rule by rule: the table in registry_check.c. */
#include "registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "records.h"
#include "registry_dump.h"

#define DEV "hub-1"

static int setup(void **state)
{
	*state = registry_begun();
	return 0;
}

static int teardown(void **state)
{
	registry_audit(*state);
	kt_registry_free(*state);
	return 0;
}

static void refuses_record(struct kt_registry *r, const struct kt_record *rec)
{
	char *before = registry_dump(r);
	char *after;

	assert_int_equal(kt_registry_check(r, rec), KT_ERR_STATE);
	assert_int_equal(kt_registry_apply(r, rec), KT_ERR_STATE);
	after = registry_dump(r);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void refuses(struct kt_registry *r, enum kt_record_kind kind, const char *device, uint32_t n)
{
	struct kt_record rec = record_for(r, kind, device, n);

	refuses_record(r, &rec);
}

static const struct kt_device *dev(const struct kt_registry *r)
{
	return kt_registry_find_device(r, DEV);
}

static const struct kt_credential *cred(const struct kt_registry *r, uint32_t n)
{
	struct kt_fingerprint fp = fp_of(n);

	return kt_registry_find_fingerprint(r, &fp);
}

static struct kt_record ticket_issue(const struct kt_registry *r, const char *device, uint32_t n)
{
	struct kt_record rec = record_for(r, KT_RECORD_ISSUE, device, n);

	rec.has_ticket = true;
	return rec;
}

static void take_enrolling(struct kt_registry *r, uint32_t n)
{
	struct kt_record rec;

	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, n);
	rec = ticket_issue(r, DEV, n);
	take(r, &rec);
}

static void first_record_is_ledger_begin_once(void **state)
{
	struct kt_registry *empty = NULL;
	struct kt_record begin = record_begin();
	struct kt_record rec;

	assert_int_equal(kt_registry_new(&empty), KT_ERR_OK);
	rec = record_for(empty, KT_RECORD_DEVICE_CREATE, DEV, 1);
	refuses_record(empty, &rec);
	begin.trust_domain[0] = '\0';
	refuses_record(empty, &begin);
	kt_registry_free(empty);
	begin = record_begin();
	begin.seq = 2;
	refuses_record(*state, &begin);
	assert_string_equal(kt_registry_trust_domain(*state), "example.org");
}

static void refuses_a_gap_and_a_repeat_in_seq(void **state)
{
	struct kt_record rec = record_for(*state, KT_RECORD_DEVICE_CREATE, DEV, 1);

	rec.seq = 3;
	refuses_record(*state, &rec);
	rec.seq = 1;
	refuses_record(*state, &rec);
	rec.seq = 2;
	rec.kind = KT_RECORD_COUNT;
	refuses_record(*state, &rec);
}

static void create_makes_a_new_device_with_its_key(void **state)
{
	struct kt_record rec = record_for(*state, KT_RECORD_DEVICE_CREATE, DEV, 1);
	struct kt_key_id key = key_of(1);

	rec.has_key_id = true;
	memcpy(rec.group, "north", sizeof("north"));
	take(*state, &rec);
	assert_int_equal(dev(*state)->state, KT_DEVICE_NEW);
	assert_int_equal(dev(*state)->phase, KT_SERVER_IDLE);
	assert_string_equal(dev(*state)->group, "north");
	assert_true(dev(*state)->created_us == rec.time_us);
	assert_true(dev(*state)->changed_seq == 2);
	assert_ptr_equal(kt_registry_find_key(*state, &key), dev(*state));
	assert_false(kt_registry_is_key_used(*state, &key));
	rec = record_for(*state, KT_RECORD_DEVICE_CREATE, "hub-2", 1);
	rec.has_key_id = true;
	refuses_record(*state, &rec);
	refuses(*state, KT_RECORD_DEVICE_CREATE, DEV, 2);
	refuses(*state, KT_RECORD_DEVICE_CREATE, "HUB-1", 2);
	refuses(*state, KT_RECORD_DEVICE_CREATE, "", 2);
	refuses(*state, KT_RECORD_DEVICE_CREATE, "claim", 2);
}

static void ticket_enrolment_goes_to_active_in_two_records(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;
	uint8_t sha[32];

	ticket_of(7, sha);
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 7);
	assert_null(dev(r));
	rec = ticket_issue(r, DEV, 7);
	take(r, &rec);
	assert_int_equal(dev(r)->state, KT_DEVICE_NEW);
	assert_int_equal(dev(r)->phase, KT_SERVER_ISSUED);
	assert_true(dev(r)->enrolling);
	assert_true(dev(r)->op == 7 && dev(r)->op_deadline_us == 0);
	assert_int_equal(dev(r)->generation, 1);
	assert_int_equal(dev(r)->pending_der_len, 5);
	assert_ptr_not_equal(dev(r)->pending_der, rec.der.p);
	assert_memory_equal(dev(r)->pending_der, rec.der.p, 5);
	assert_int_equal(cred(r, 7)->status, KT_CREDENTIAL_PENDING);
	assert_true(kt_registry_find_ticket(r, sha)->used);
	assert_true(kt_key_id_eq(&kt_registry_find_ticket(r, sha)->used_by, &rec.key_id));
	assert_string_equal(kt_registry_find_ticket(r, sha)->used_for.s, DEV);
	take_kind(r, KT_RECORD_COMMIT, DEV, 7);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	assert_false(dev(r)->enrolling);
	assert_ptr_equal(dev(r)->current, cred(r, 7));
	assert_null(dev(r)->pending);
	assert_null(dev(r)->pending_der);
	assert_int_equal(dev(r)->pending_der_len, 0);
	assert_int_equal(cred(r, 7)->status, KT_CREDENTIAL_CURRENT);
	assert_true(cred(r, 7)->changed_seq == 4 && cred(r, 7)->superseded_by == 0);
	assert_true(dev(r)->last_committed_op == 7);
}

static void refuses_an_enrolment_without_a_right_to_it(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	refuses(r, KT_RECORD_ISSUE, DEV, 1); /* neither ticket nor registered key */
	rec = ticket_issue(r, DEV, 1);
	refuses_record(r, &rec); /* unknown ticket */
	take_kind(r, KT_RECORD_TICKET_CREATE, "hub-2", 1);
	rec = ticket_issue(r, DEV, 1);
	refuses_record(r, &rec); /* another device's ticket */
	take_enrolled(r, DEV, 2);
	rec = ticket_issue(r, DEV, 3);
	ticket_of(2, rec.ticket_sha256);
	refuses_record(r, &rec); /* used */
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 3);
	rec = ticket_issue(r, DEV, 3);
	rec.op = 2;
	refuses_record(r, &rec); /* op not newer */
	rec.op = 3;
	rec.generation = 3;
	refuses_record(r, &rec);
	rec.generation = 1;
	refuses_record(r, &rec);
	rec.generation = 2;
	rec.key_id = key_of(2);
	refuses_record(r, &rec); /* I4: a key is used once */
	rec.key_id = key_of(3);
	rec.fp = fp_of(2);
	refuses_record(r, &rec);
	rec.fp = fp_of(3);
	rec.der.len = 0;
	refuses_record(r, &rec);
	rec.der.len = KT_CERT_MAX + 1;
	refuses_record(r, &rec);
	rec.der.len = 5;
	assert_int_equal(kt_registry_check(r, &rec), KT_ERR_OK);
}

static void group_ticket_serves_ids_of_its_pattern_once(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec = record_for(r, KT_RECORD_TICKET_CREATE, NULL, 1);

	refuses_record(r, &rec); /* neither device nor pattern */
	memcpy(rec.pattern, "hub-*", sizeof("hub-*"));
	memcpy(rec.group, "north", sizeof("north"));
	take(r, &rec);
	refuses_record(r, &rec);
	rec = ticket_issue(r, "cam-1", 1);
	refuses_record(r, &rec);
	rec = ticket_issue(r, DEV, 1);
	memcpy(rec.group, "north", sizeof("north"));
	take(r, &rec);
	assert_string_equal(dev(r)->group, "north");
	rec = ticket_issue(r, "hub-2", 2);
	ticket_of(1, rec.ticket_sha256);
	refuses_record(r, &rec);
	assert_int_equal(kt_registry_counts(r).tickets_open, 0);
}

static void refuses_a_ticket_for_what_cannot_be(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec = record_for(r, KT_RECORD_TICKET_CREATE, DEV, 1);

	memcpy(rec.pattern, "*", sizeof("*"));
	refuses_record(r, &rec); /* both */
	take_enrolled(r, DEV, 1);
	refuses(r, KT_RECORD_TICKET_CREATE, "HUB-1", 2);
	refuses(r, KT_RECORD_TICKET_CREATE, DEV, 1); /* the same ticket */
	take_kind(r, KT_RECORD_DELETE, DEV, 1);
	refuses(r, KT_RECORD_TICKET_CREATE, DEV, 2); /* a tombstone: device.create first */
}

static void approve_makes_a_device_and_lifts_a_denial(void **state)
{
	struct kt_registry *r = *state;
	struct kt_key_id key = key_of(1);
	struct kt_record rec;

	take_kind(r, KT_RECORD_DENY, NULL, 1);
	assert_true(kt_registry_is_key_denied(r, &key));
	rec = record_for(r, KT_RECORD_DEVICE_CREATE, "hub-9", 1);
	rec.has_key_id = true;
	refuses_record(r, &rec); /* denied: only an approval lifts that */
	take_kind(r, KT_RECORD_APPROVE, DEV, 1);
	assert_false(kt_registry_is_key_denied(r, &key));
	assert_int_equal(dev(r)->state, KT_DEVICE_NEW);
	assert_ptr_equal(kt_registry_find_key(r, &key), dev(r));
	refuses(r, KT_RECORD_APPROVE, "hub-2", 1);
	take_kind(r, KT_RECORD_APPROVE, DEV, 1); /* again: fine */
	take_kind(r, KT_RECORD_APPROVE, DEV, 2); /* in place of the older one */
	assert_null(kt_registry_find_key(r, &key));
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 2);
	take(r, &rec);
	assert_true(dev(r)->enrolling);
	assert_true(dev(r)->has_registered_key);
	refuses(r, KT_RECORD_APPROVE, DEV, 2); /* used up */
	refuses(r, KT_RECORD_APPROVE, "HUB-1", 3);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
	refuses(r, KT_RECORD_ISSUE, DEV, 3); /* another key has no right */
}

static void deny_ends_pending_enrolment_and_registration(void **state)
{
	struct kt_registry *r = *state;
	struct kt_key_id key = key_of(1);
	struct kt_record rec;

	take_enrolling(r, 1);
	take_kind(r, KT_RECORD_DENY, NULL, 1);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_ABANDONED);
	assert_true(cred(r, 1)->changed_seq == 4 && dev(r)->changed_seq == 4);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	assert_true(dev(r)->closed_op == 1);
	refuses(r, KT_RECORD_COMMIT, DEV, 1);
	take_kind(r, KT_RECORD_APPROVE, DEV, 2);
	take_kind(r, KT_RECORD_DENY, NULL, 2);
	assert_false(dev(r)->has_registered_key);
	refuses(r, KT_RECORD_ISSUE, DEV, 2);
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 2);
	rec = ticket_issue(r, DEV, 2);
	refuses_record(r, &rec);				 /* denied, though with a ticket */
	assert_ptr_equal(kt_registry_find_key(r, &key), dev(r)); /* for good */
}

static void deny_of_a_rotation_s_key_leaves_the_rotation(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	take_kind(r, KT_RECORD_DENY, NULL, 2);
	assert_int_equal(dev(r)->phase, KT_SERVER_ISSUED);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
}

static void rotation_supersedes_the_old_credential(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	rec = record_for(r, KT_RECORD_OP_OPEN, DEV, 2);
	take(r, &rec);
	assert_int_equal(dev(r)->phase, KT_SERVER_OPEN);
	assert_true(dev(r)->op == 2 && dev(r)->op_deadline_us == rec.deadline_us);
	assert_true(kt_nonce_eq(&dev(r)->op_nonce, &rec.nonce));
	refuses(r, KT_RECORD_COMMIT, DEV, 2);
	refuses(r, KT_RECORD_ISSUE, DEV, 3); /* another op: an enrolment without a right */
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 2);
	rec.alg = KT_ALG_NONE;
	refuses_record(r, &rec);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	assert_false(dev(r)->enrolling);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
	refuses(r, KT_RECORD_ISSUE, DEV, 2); /* the first CSR wins */
	rec = record_for(r, KT_RECORD_COMMIT, DEV, 2);
	rec.fp = fp_of(1);
	refuses_record(r, &rec);
	rec.fp = fp_of(2);
	rec.op = 1;
	refuses_record(r, &rec);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
	assert_true(cred(r, 1)->superseded_by == 2 && cred(r, 1)->changed_seq == 7);
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_CURRENT);
	assert_int_equal(cred(r, 2)->generation, 2);
	refuses(r, KT_RECORD_COMMIT, DEV, 2);
}

static void a_newer_op_closes_the_older_one(void **state)
{
	struct kt_registry *r = *state;

	refuses(r, KT_RECORD_OP_OPEN, DEV, 1);
	take_enrolled(r, DEV, 5);
	refuses(r, KT_RECORD_OP_OPEN, DEV, 5);
	refuses(r, KT_RECORD_OP_OPEN, DEV, 4);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 6);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 7);
	assert_true(dev(r)->closed_op == 6);
	take_kind(r, KT_RECORD_ISSUE, DEV, 7);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 8);
	assert_int_equal(cred(r, 7)->status, KT_CREDENTIAL_ABANDONED);
	assert_true(dev(r)->closed_op == 7 && dev(r)->op == 8);
	assert_int_equal(dev(r)->phase, KT_SERVER_OPEN);
	assert_null(dev(r)->pending);
	refuses(r, KT_RECORD_OP_CLOSE, DEV, 7);
	take_kind(r, KT_RECORD_OP_CLOSE, DEV, 8);
	assert_true(dev(r)->closed_op == 8);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	refuses(r, KT_RECORD_OP_CLOSE, DEV, 8);
	take_kind(r, KT_RECORD_OP_RAISE, DEV, 20);
	assert_true(dev(r)->op == 20 && dev(r)->closed_op == 8);
	refuses(r, KT_RECORD_OP_RAISE, DEV, 20);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 21);
	take_kind(r, KT_RECORD_OP_RAISE, DEV, 30);
	assert_true(dev(r)->op == 30 && dev(r)->closed_op == 21);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
}

static void the_old_hub_cannot_end_a_pending_enrolment(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	take_enrolling(r, 2);
	refuses(r, KT_RECORD_OP_OPEN, DEV, 3);
	refuses(r, KT_RECORD_OP_RAISE, DEV, 3);
	refuses(r, KT_RECORD_FREEZE, DEV, 2);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
}

static void an_enrolment_ends_open_ops_and_older_enrolments(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_enrolling(r, 3);
	assert_true(dev(r)->closed_op == 2 && dev(r)->op == 3 && dev(r)->enrolling);
	/* A second ticket, older than the issue: its enrolment replaces the first. */
	take_kind(r, KT_RECORD_APPROVE, DEV, 4);
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 4);
	take(r, &rec);
	assert_int_equal(cred(r, 3)->status, KT_CREDENTIAL_ABANDONED);
	assert_true(dev(r)->closed_op == 3 && dev(r)->pending == cred(r, 4));
	/* A newer ticket alone ends it too. */
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 5);
	assert_int_equal(cred(r, 4)->status, KT_CREDENTIAL_ABANDONED);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	assert_false(dev(r)->enrolling);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
}

static void a_ticket_leaves_a_rotation_alone(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 3);
	assert_int_equal(dev(r)->phase, KT_SERVER_ISSUED);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
}

static void freeze_stops_rotation_until_unfreeze_or_enrolment(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	refuses(r, KT_RECORD_FREEZE, DEV, 1); /* no open op */
	refuses(r, KT_RECORD_UNFREEZE, DEV, 1);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	refuses(r, KT_RECORD_FREEZE, DEV, 1);
	take_kind(r, KT_RECORD_FREEZE, DEV, 2);
	assert_true(dev(r)->frozen && dev(r)->closed_op == 2);
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_ABANDONED);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
	refuses(r, KT_RECORD_OP_OPEN, DEV, 3);
	take_kind(r, KT_RECORD_UNFREEZE, DEV, 3);
	assert_false(dev(r)->frozen);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 3);
	take_kind(r, KT_RECORD_FREEZE, DEV, 3);
	take_enrolling(r, 4);
	assert_true(dev(r)->frozen);
	take_kind(r, KT_RECORD_COMMIT, DEV, 4);
	assert_false(dev(r)->frozen);
}

static void quarantine_outlives_a_commit(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	refuses(r, KT_RECORD_RELEASE, DEV, 1);
	take_kind(r, KT_RECORD_QUARANTINE, DEV, 1);
	refuses(r, KT_RECORD_QUARANTINE, DEV, 1);
	take_rotated(r, DEV, 2);
	assert_true(dev(r)->quarantined);
	assert_int_equal(kt_registry_counts(r).quarantined, 1);
	take_kind(r, KT_RECORD_RELEASE, DEV, 1);
	assert_false(dev(r)->quarantined);
}

static void promoted_and_failed_are_remembered(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 4);
	take_rotated(r, DEV, 6);
	refuses(r, KT_RECORD_PROMOTED, DEV, 7);
	refuses(r, KT_RECORD_PROMOTED, DEV, 0);
	take_kind(r, KT_RECORD_PROMOTED, DEV, 6);
	take_kind(r, KT_RECORD_PROMOTED, DEV, 4); /* late: lowers nothing */
	assert_true(dev(r)->promoted_op == 6);
	refuses(r, KT_RECORD_FAILED, DEV, 7);
	refuses(r, KT_RECORD_FAILED, DEV, 0);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 8);
	take_kind(r, KT_RECORD_FAILED, DEV, 8);
	assert_int_equal(dev(r)->failed_reason, KT_REASON_DISK);
	assert_true(dev(r)->failed_op == 8);
	assert_int_equal(dev(r)->phase, KT_SERVER_OPEN); /* closes nothing */
}

static void revoke_ends_everything_that_could_let_it_in(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;
	uint8_t sha[32];

	take_enrolled(r, DEV, 1);
	take_rotated(r, DEV, 2);
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 9);
	take_kind(r, KT_RECORD_TICKET_CREATE, "hub-2", 10);
	take_kind(r, KT_RECORD_APPROVE, DEV, 8);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 3);
	take_kind(r, KT_RECORD_ISSUE, DEV, 3);
	rec = record_for(r, KT_RECORD_REVOKE, DEV, 1);
	rec.wipe = true;
	take(r, &rec);
	assert_int_equal(dev(r)->state, KT_DEVICE_REVOKED);
	assert_true(dev(r)->wipe && dev(r)->revoked_us == rec.time_us && dev(r)->closed_op == 3);
	assert_null(dev(r)->current);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_REVOKED);
	assert_int_equal(cred(r, 3)->status, KT_CREDENTIAL_REVOKED);
	assert_false(dev(r)->has_registered_key);
	ticket_of(9, sha);
	assert_true(kt_registry_find_ticket(r, sha)->used);
	ticket_of(10, sha);
	assert_false(kt_registry_find_ticket(r, sha)->used);
	rec = ticket_issue(r, DEV, 9);
	refuses_record(r, &rec);
	refuses(r, KT_RECORD_ISSUE, DEV, 8);
	refuses(r, KT_RECORD_COMMIT, DEV, 3);
	refuses(r, KT_RECORD_OP_OPEN, DEV, 11);
	refuses(r, KT_RECORD_PROMOTED, DEV, 2);
	refuses(r, KT_RECORD_OP_RAISE, DEV, 11);
	take_kind(r, KT_RECORD_REVOKE, DEV, 1); /* again: fine, and says so in the ledger */
}

static void a_revoked_device_recovers_by_enrolment(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	rec = record_for(r, KT_RECORD_REVOKE, DEV, 1);
	rec.wipe = true;
	take(r, &rec);
	take_enrolling(r, 2);
	assert_int_equal(dev(r)->state, KT_DEVICE_REVOKED);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	assert_false(dev(r)->wipe);
	assert_true(dev(r)->revoked_us == 0);
	assert_int_equal(dev(r)->generation, 2);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_REVOKED);
}

static void a_tombstone_knows_its_keys_and_can_come_back(void **state)
{
	struct kt_registry *r = *state;
	struct kt_key_id key = key_of(1);
	struct kt_record rec;

	take_enrolled(r, DEV, 5);
	take_kind(r, KT_RECORD_APPROVE, DEV, 1);
	take_kind(r, KT_RECORD_QUARANTINE, DEV, 1);
	take_kind(r, KT_RECORD_DELETE, DEV, 1);
	assert_int_equal(dev(r)->state, KT_DEVICE_DELETED);
	assert_int_equal(cred(r, 5)->status, KT_CREDENTIAL_REVOKED);
	assert_null(kt_registry_find_key(r, &key));
	assert_int_equal(kt_registry_counts(r).devices, 0);
	for (int kind = KT_RECORD_APPROVE; kind <= KT_RECORD_OP_RAISE; kind++) {
		if (kind != KT_RECORD_DENY)
			refuses(r, (enum kt_record_kind)kind, DEV, 6);
	}
	key = key_of(5);
	assert_ptr_equal(kt_registry_find_key(r, &key), dev(r));
	rec = record_for(r, KT_RECORD_DEVICE_CREATE, "hub-2", 5);
	rec.has_key_id = true;
	refuses_record(r, &rec); /* I4 */
	take_kind(r, KT_RECORD_DEVICE_CREATE, DEV, 1);
	assert_int_equal(dev(r)->state, KT_DEVICE_NEW);
	assert_true(dev(r)->op == 5 && dev(r)->generation == 1 && !dev(r)->quarantined);
	assert_int_equal(kt_registry_counts(r).devices, 1);
	refuses(r, KT_RECORD_DEVICE_CREATE, DEV, 1);
	take_enrolled(r, DEV, 6);
	assert_int_equal(cred(r, 6)->generation, 2);
}

static void set_device(struct kt_registry *r, const char *group, const char *labels)
{
	struct kt_record rec = record_for(r, KT_RECORD_DEVICE_SET, DEV, 1);

	(void)snprintf(rec.group, sizeof(rec.group), "%s", group);
	(void)snprintf(rec.labels.s, sizeof(rec.labels.s), "%s", labels);
	take(r, &rec);
}

static void a_device_has_the_group_and_labels_that_were_said_last(void **state)
{
	struct kt_registry *r = *state;

	refuses(r, KT_RECORD_DEVICE_SET, DEV, 1);
	take_kind(r, KT_RECORD_DEVICE_CREATE, DEV, 1);
	assert_string_equal(dev(r)->labels, "");
	set_device(r, "north", "a,b");
	assert_string_equal(dev(r)->group, "north");
	assert_string_equal(dev(r)->labels, "a,b");
	assert_true(dev(r)->grouped_seq == kt_registry_seq(r));
	set_device(r, "north", "b");
	assert_string_equal(dev(r)->labels, "b");
	assert_true(dev(r)->grouped_seq == kt_registry_seq(r) - 1);
	set_device(r, "", "");
	assert_string_equal(dev(r)->group, "");
	assert_string_equal(dev(r)->labels, "");
	set_device(r, "north", "a");
	take_kind(r, KT_RECORD_DELETE, DEV, 1);
	refuses(r, KT_RECORD_DEVICE_SET, DEV, 1);
	take_kind(r, KT_RECORD_DEVICE_CREATE, DEV, 1); /* another one, of the same name */
	assert_string_equal(dev(r)->group, "");
	assert_string_equal(dev(r)->labels, "");
}

static void refuses_what_names_an_unknown_device(void **state)
{
	static const enum kt_record_kind kinds[] = {
		KT_RECORD_OP_OPEN, KT_RECORD_OP_CLOSE, KT_RECORD_COMMIT,   KT_RECORD_PROMOTED,
		KT_RECORD_FAILED,  KT_RECORD_FREEZE,   KT_RECORD_UNFREEZE, KT_RECORD_QUARANTINE,
		KT_RECORD_RELEASE, KT_RECORD_REVOKE,   KT_RECORD_DELETE,   KT_RECORD_OP_RAISE,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		refuses(*state, kinds[i], "nobody", 1);
}

static void registry_time_is_the_newest_or_the_confirmed_one(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec = record_for(r, KT_RECORD_DEVICE_CREATE, DEV, 1);

	rec.time_us = TIME_0 * 2;
	take(r, &rec);
	assert_true(kt_registry_time_us(r) == TIME_0 * 2);
	take_kind(r, KT_RECORD_QUARANTINE, DEV, 1);
	assert_true(kt_registry_time_us(r) == TIME_0 * 2);
	take_kind(r, KT_RECORD_CLOCK_CONFIRM, NULL, 1);
	assert_true(kt_registry_time_us(r) == TIME_0 + 4000000);
}

static void an_import_makes_an_active_device_of_generation_0(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec = record_for(r, KT_RECORD_IMPORT, DEV, 1);

	memcpy(rec.group, "old", sizeof("old"));
	rec.generation = 7; /* not a member of its */
	take(r, &rec);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	assert_string_equal(dev(r)->group, "old");
	assert_ptr_equal(dev(r)->current, cred(r, 1));
	assert_int_equal(cred(r, 1)->generation, 0);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
	assert_true(cred(r, 1)->op == 0 && dev(r)->op == 0);
	assert_true(dev(r)->generation == 0 && dev(r)->proven_generation == 0);
	assert_true(dev(r)->committed_us == rec.time_us && dev(r)->created_us == rec.time_us);
	take_rotated(r, DEV, 2);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
	assert_int_equal(dev(r)->current->generation, 1);
}

static void refuses_an_import_of_what_is_known_or_for_who_has_one(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_kind(r, KT_RECORD_IMPORT, DEV, 1);
	refuses(r, KT_RECORD_IMPORT, DEV, 1);
	refuses(r, KT_RECORD_IMPORT, DEV, 2);
	refuses(r, KT_RECORD_IMPORT, "HUB-1", 2);
	refuses(r, KT_RECORD_IMPORT, "hub-2", 1);
	rec = record_for(r, KT_RECORD_IMPORT, "hub-2", 2);
	rec.key_id = key_of(1);
	refuses_record(r, &rec);
	take_kind(r, KT_RECORD_DENY, NULL, 3);
	refuses(r, KT_RECORD_IMPORT, "hub-2", 3);
	take_kind(r, KT_RECORD_TICKET_CREATE, "hub-4", 4);
	rec = record_for(r, KT_RECORD_ISSUE, "hub-4", 4);
	rec.has_ticket = true;
	take(r, &rec);
	refuses(r, KT_RECORD_IMPORT, "hub-4", 5); /* an enrolment is under way */
	take_kind(r, KT_RECORD_APPROVE, "hub-5", 6);
	refuses(r, KT_RECORD_IMPORT, "hub-5", 7); /* it waits for its registered key */
	take_kind(r, KT_RECORD_REVOKE, DEV, 0);
	refuses(r, KT_RECORD_IMPORT, DEV, 8);
	take_kind(r, KT_RECORD_DELETE, DEV, 0);
	take_kind(r, KT_RECORD_IMPORT, DEV, 9);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	take_kind(r, KT_RECORD_RESTORE, NULL, 0);
	refuses(r, KT_RECORD_IMPORT, "hub-9", 10);
	take_kind(r, KT_RECORD_RECONCILE_END, NULL, 0);
	take_kind(r, KT_RECORD_IMPORT, "hub-9", 10);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(first_record_is_ledger_begin_once),
		T(refuses_a_gap_and_a_repeat_in_seq),
		T(create_makes_a_new_device_with_its_key),
		T(ticket_enrolment_goes_to_active_in_two_records),
		T(refuses_an_enrolment_without_a_right_to_it),
		T(group_ticket_serves_ids_of_its_pattern_once),
		T(refuses_a_ticket_for_what_cannot_be),
		T(approve_makes_a_device_and_lifts_a_denial),
		T(deny_ends_pending_enrolment_and_registration),
		T(deny_of_a_rotation_s_key_leaves_the_rotation),
		T(rotation_supersedes_the_old_credential),
		T(a_newer_op_closes_the_older_one),
		T(the_old_hub_cannot_end_a_pending_enrolment),
		T(an_enrolment_ends_open_ops_and_older_enrolments),
		T(a_ticket_leaves_a_rotation_alone),
		T(freeze_stops_rotation_until_unfreeze_or_enrolment),
		T(quarantine_outlives_a_commit),
		T(promoted_and_failed_are_remembered),
		T(revoke_ends_everything_that_could_let_it_in),
		T(a_revoked_device_recovers_by_enrolment),
		T(a_tombstone_knows_its_keys_and_can_come_back),
		T(a_device_has_the_group_and_labels_that_were_said_last),
		T(refuses_what_names_an_unknown_device),
		T(an_import_makes_an_active_device_of_generation_0),
		T(refuses_an_import_of_what_is_known_or_for_who_has_one),
		T(registry_time_is_the_newest_or_the_confirmed_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
