/* The fold of what an operator's restore writes, and of adoptions: the table in registry_check.c.
 */
#include "registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static void begin_restore(struct kt_registry *r)
{
	take_kind(r, KT_RECORD_RESTORE, NULL, 0);
}

/* What was known of certificate @n of DEV. */
static struct kt_record known(const struct kt_registry *r, uint32_t n, uint32_t generation,
			      enum kt_credential_status status)
{
	struct kt_record rec = record_for(r, KT_RECORD_RESTORE_CREDENTIAL, DEV, n);

	rec.generation = generation;
	rec.status = status;
	return rec;
}

static void take_known(struct kt_registry *r, uint32_t n, uint32_t generation,
		       enum kt_credential_status status)
{
	struct kt_record rec = known(r, n, generation, status);

	take(r, &rec);
}

static struct kt_record adoption(const struct kt_registry *r, const char *device, uint32_t n,
				 uint32_t generation)
{
	struct kt_record rec = record_for(r, KT_RECORD_ADOPT, device, n);

	rec.generation = generation;
	return rec;
}

static void take_adopted(struct kt_registry *r, uint32_t n, uint32_t generation)
{
	struct kt_record rec = adoption(r, DEV, n, generation);

	take(r, &rec);
}

static void a_restore_closes_every_op_and_can_be_ended_once(void **state)
{
	struct kt_registry *r = *state;
	uint64_t at;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	take_enrolled(r, "hub-2", 3);
	take_kind(r, KT_RECORD_OP_OPEN, "hub-2", 4);
	take_enrolled(r, "hub-3", 5);
	assert_int_equal(kt_registry_restore_seq(r), 0);
	refuses(r, KT_RECORD_RECONCILE_END, NULL, 0);
	begin_restore(r);
	at = kt_registry_seq(r);
	assert_int_equal(kt_registry_restore_seq(r), at);
	assert_int_equal(kt_registry_counts(r).open_ops, 0);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	assert_null(dev(r)->pending);
	assert_true(dev(r)->op == 2 && dev(r)->closed_op == 2);
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_LOST);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_CURRENT);
	assert_true(cred(r, 2)->changed_seq == at);
	assert_true(kt_registry_find_device(r, "hub-2")->closed_op == 4);
	assert_true(kt_registry_find_device(r, "hub-3")->changed_seq < at);
	begin_restore(r); /* once more, a second loss */
	assert_int_equal(kt_registry_restore_seq(r), at + 1);
	take_kind(r, KT_RECORD_RECONCILE_END, NULL, 0);
	assert_int_equal(kt_registry_restore_seq(r), 0);
	refuses(r, KT_RECORD_RECONCILE_END, NULL, 0);
}

static void a_pending_enrolment_is_lost_too_but_its_hub_can_come_back(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 1);
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 1);
	rec.has_ticket = true;
	take(r, &rec);
	begin_restore(r);
	assert_false(dev(r)->enrolling);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_LOST);
	take_adopted(r, 1, 1);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	assert_ptr_equal(dev(r)->current, cred(r, 1));
	assert_true(cred(r, 1)->op == 1);
}

static void nothing_of_it_is_taken_outside_a_restore(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_TICKET_CREATE, "hub-2", 5);
	refuses(r, KT_RECORD_RESTORE_DEVICE, DEV, 9);
	refuses(r, KT_RECORD_RESTORE_DEVICE, "hub-7", 9);
	rec = known(r, 1, 1, KT_CREDENTIAL_REVOKED);
	refuses_record(r, &rec);
	refuses(r, KT_RECORD_TICKET_VOID, NULL, 5);
	rec = adoption(r, DEV, 9, 2);
	refuses_record(r, &rec);
	begin_restore(r);
	take_kind(r, KT_RECORD_RECONCILE_END, NULL, 0);
	rec = adoption(r, DEV, 9, 2);
	refuses_record(r, &rec);
}

static void a_known_device_brings_its_counters_and_its_freeze(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 5);
	begin_restore(r);
	rec = record_for(r, KT_RECORD_RESTORE_DEVICE, DEV, 3); /* lower: nothing goes back */
	rec.generation = 0;
	rec.frozen = false;
	take(r, &rec);
	assert_true(dev(r)->op == 5 && dev(r)->generation == 1 && !dev(r)->frozen);
	rec = record_for(r, KT_RECORD_RESTORE_DEVICE, DEV, 9);
	rec.generation = 4;
	memcpy(rec.group, "north", sizeof("north"));
	take(r, &rec);
	assert_true(dev(r)->op == 9 && dev(r)->generation == 4 && dev(r)->frozen);
	assert_int_equal(dev(r)->proven_generation, 1);
	assert_string_equal(dev(r)->group, "north");
	assert_int_equal(kt_registry_counts(r).frozen, 1);
	refuses(r, KT_RECORD_RESTORE_DEVICE, "HUB-1", 9); /* another case */
	take_kind(r, KT_RECORD_RESTORE_DEVICE, "hub-2", 7);
	assert_int_equal(kt_registry_find_device(r, "hub-2")->state, KT_DEVICE_NEW);
	assert_true(kt_registry_find_device(r, "hub-2")->op == 7);
	take_kind(r, KT_RECORD_DELETE, "hub-2", 0);
	take_kind(r, KT_RECORD_RESTORE_DEVICE, "hub-2", 8); /* a tombstone stays one, unfrozen */
	assert_int_equal(kt_registry_find_device(r, "hub-2")->state, KT_DEVICE_DELETED);
	assert_false(kt_registry_find_device(r, "hub-2")->frozen);
}

static void a_known_device_with_an_open_op_is_left_alone(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	refuses(r, KT_RECORD_RESTORE_DEVICE, DEV, 9);
}

static void what_was_put_out_stays_out(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_known(r, 1, 1, KT_CREDENTIAL_SUPERSEDED);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
	assert_true(cred(r, 1)->superseded_by == 2); /* the next op */
	assert_null(dev(r)->current);
	assert_int_equal(dev(r)->state, KT_DEVICE_NEW);
	assert_true(dev(r)->committed_us == 0);
	assert_int_equal(kt_registry_counts(r).active, 0);
	take_known(r, 2, 2, KT_CREDENTIAL_REVOKED);
	take_known(r, 3, 3, KT_CREDENTIAL_LOST);
	take_known(r, 4, 4, KT_CREDENTIAL_ABANDONED);
	assert_int_equal(dev(r)->generation, 4);
	assert_int_equal(dev(r)->proven_generation, 2);
	assert_ptr_equal(kt_registry_find_key(r, &(struct kt_key_id){.b = {0}}), NULL);
	for (uint32_t n = 1; n <= 4; n++) {
		struct kt_key_id key = key_of(n);

		assert_true(kt_registry_is_key_used(r, &key));
		assert_ptr_equal(kt_registry_find_key(r, &key), dev(r));
	}
}

static void no_restored_certificate_is_a_right(void **state)
{
	static const enum kt_credential_status rights[] = {KT_CREDENTIAL_CURRENT,
							   KT_CREDENTIAL_PENDING};
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	for (size_t i = 0; i < 2; i++) {
		rec = known(r, 2, 2, rights[i]);
		refuses_record(r, &rec);
		rec = known(r, 1, 1, rights[i]);
		refuses_record(r, &rec);
	}
	rec = known(r, 1, 1, KT_CREDENTIAL_LOST); /* in force: it stays so, or is put out */
	refuses_record(r, &rec);
	rec = known(r, 1, 1, KT_CREDENTIAL_ABANDONED);
	refuses_record(r, &rec);
	take_known(r, 1, 1, KT_CREDENTIAL_SUPERSEDED);
	for (int s = KT_CREDENTIAL_PENDING; s <= KT_CREDENTIAL_LOST; s++) {
		rec = known(r, 1, 1, (enum kt_credential_status)s); /* and never comes back */
		refuses_record(r, &rec);
	}
}

static void a_lost_one_can_only_be_put_out(void **state)
{
	static const enum kt_credential_status outs[] = {
		KT_CREDENTIAL_SUPERSEDED, KT_CREDENTIAL_REVOKED, KT_CREDENTIAL_ABANDONED};
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	for (uint32_t i = 0; i < 3; i++) {
		take_known(r, 10 + i, 2 + i, KT_CREDENTIAL_LOST);
		rec = known(r, 10 + i, 2 + i, KT_CREDENTIAL_LOST);
		refuses_record(r, &rec);
		take_known(r, 10 + i, 2 + i, outs[i]);
		assert_int_equal(cred(r, 10 + i)->status, outs[i]);
	}
}

/* I4: one key belongs to one device for ever. */
static void refuses_a_certificate_that_is_another_ones(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_enrolled(r, "hub-2", 2);
	rec = record_for(r, KT_RECORD_DEVICE_CREATE, "hub-3", 3);
	rec.has_key_id = true;
	take(r, &rec);
	begin_restore(r);
	rec = known(r, 2, 1, KT_CREDENTIAL_REVOKED); /* hub-2's fingerprint */
	refuses_record(r, &rec);
	rec = known(r, 9, 2, KT_CREDENTIAL_REVOKED);
	rec.key_id = key_of(2);
	refuses_record(r, &rec);
	rec.key_id = key_of(3); /* registered for hub-3 */
	refuses_record(r, &rec);
	rec = known(r, 1, 2, KT_CREDENTIAL_REVOKED); /* of another generation */
	refuses_record(r, &rec);
	rec = known(r, 1, 1, KT_CREDENTIAL_REVOKED); /* for another key */
	rec.key_id = key_of(9);
	refuses_record(r, &rec);
	rec = record_for(r, KT_RECORD_RESTORE_CREDENTIAL, "hub-9", 9);
	refuses_record(r, &rec);
	take_known(r, 1, 1, KT_CREDENTIAL_REVOKED);
}

static void a_used_ticket_stays_used(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 1);
	begin_restore(r);
	refuses(r, KT_RECORD_TICKET_VOID, NULL, 2);
	take_kind(r, KT_RECORD_TICKET_VOID, NULL, 1);
	assert_int_equal(kt_registry_counts(r).tickets_open, 0);
	refuses(r, KT_RECORD_TICKET_VOID, NULL, 1);
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 1);
	rec.has_ticket = true;
	refuses_record(r, &rec);
}

static void the_newer_certificate_wins_and_puts_the_lower_one_out(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 2);
	take_kind(r, KT_RECORD_ISSUE, DEV, 2);
	take_adopted(r, 9, 3);
	assert_ptr_equal(dev(r)->current, cred(r, 9));
	assert_int_equal(cred(r, 9)->status, KT_CREDENTIAL_CURRENT);
	assert_int_equal(cred(r, 9)->generation, 3);
	assert_true(cred(r, 9)->op == 0);
	assert_int_equal(cred(r, 1)->status, KT_CREDENTIAL_SUPERSEDED);
	assert_true(cred(r, 1)->superseded_by == 3); /* what comes next */
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_ABANDONED);
	assert_int_equal(dev(r)->phase, KT_SERVER_IDLE);
	assert_true(dev(r)->adopted && !dev(r)->quarantined);
	assert_int_equal(dev(r)->generation, 3);
	assert_int_equal(dev(r)->proven_generation, 3);
	assert_true(dev(r)->last_committed_op == 1);
	assert_true(dev(r)->committed_us == TIME_0 + (int64_t)kt_registry_seq(r) * 1000000);
	assert_int_equal(kt_registry_counts(r).adopted, 1);
	take_adopted(r, 10, 4); /* and a newer one still */
	assert_int_equal(cred(r, 9)->status, KT_CREDENTIAL_SUPERSEDED);
}

static void adopts_a_device_that_it_never_knew(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	begin_restore(r);
	take_adopted(r, 9, 7);
	assert_int_equal(dev(r)->state, KT_DEVICE_ACTIVE);
	assert_int_equal(kt_registry_counts(r).devices, 1);
	rec = adoption(r, "HUB-1", 10, 1); /* but not twice in another case */
	refuses_record(r, &rec);
}

static void adopts_nothing_that_is_not_newer(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_rotated(r, DEV, 2);
	begin_restore(r);
	rec = adoption(r, DEV, 9, 2);
	refuses_record(r, &rec);
	rec = adoption(r, DEV, 9, 1);
	refuses_record(r, &rec);
	take_known(r, 3, 5, KT_CREDENTIAL_SUPERSEDED);
	rec = adoption(r, DEV, 9, 5);
	refuses_record(r, &rec);
	take_adopted(r, 9, 6);
}

static void adopts_nothing_where_a_right_was_taken_away(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_enrolled(r, "hub-2", 2);
	take_kind(r, KT_RECORD_DENY, NULL, 9);
	begin_restore(r);
	rec = adoption(r, DEV, 9, 2); /* a denied key */
	refuses_record(r, &rec);
	take_known(r, 7, 7, KT_CREDENTIAL_REVOKED);
	rec = adoption(r, DEV, 7, 8); /* a revoked certificate */
	refuses_record(r, &rec);
	take_known(r, 8, 9, KT_CREDENTIAL_ABANDONED);
	rec = adoption(r, DEV, 8, 9);
	refuses_record(r, &rec);
	take_kind(r, KT_RECORD_REVOKE, DEV, 0);
	rec = adoption(r, DEV, 10, 10);
	refuses_record(r, &rec);
	take_kind(r, KT_RECORD_DELETE, "hub-2", 0);
	rec = adoption(r, "hub-2", 11, 10);
	refuses_record(r, &rec);
}

static void adopts_nothing_for_a_key_that_is_not_its_own(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	take_enrolled(r, "hub-2", 2);
	rec = record_for(r, KT_RECORD_DEVICE_CREATE, "hub-3", 3);
	rec.has_key_id = true;
	take(r, &rec);
	begin_restore(r);
	rec = adoption(r, DEV, 9, 2);
	rec.key_id = key_of(2);
	refuses_record(r, &rec);
	rec.key_id = key_of(3);
	refuses_record(r, &rec);
	rec.key_id = key_of(1); /* its own, but of another certificate: made with a stolen CA */
	refuses_record(r, &rec);
	take_known(r, 7, 4, KT_CREDENTIAL_LOST);
	rec = adoption(r, DEV, 7, 5); /* a lost one, of another generation than known */
	refuses_record(r, &rec);
	rec = adoption(r, "hub-2", 7, 4);
	refuses_record(r, &rec);
	rec = adoption(r, "hub-3", 12, 1); /* its registered key is its own */
	rec.key_id = key_of(3);
	take(r, &rec);
	take_adopted(r, 7, 4);
}

static void a_rotation_ends_an_adoption(void **state)
{
	struct kt_registry *r = *state;
	uint64_t at;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_adopted(r, 9, 3);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 10);
	take_kind(r, KT_RECORD_ISSUE, DEV, 10);
	assert_true(dev(r)->adopted);
	take_kind(r, KT_RECORD_COMMIT, DEV, 10);
	at = kt_registry_seq(r);
	assert_false(dev(r)->adopted);
	assert_true(dev(r)->released_seq == at);
	assert_int_equal(dev(r)->current->generation, 4);
	assert_int_equal(dev(r)->proven_generation, 4);
	take_kind(r, KT_RECORD_PROMOTED, DEV, 10);
	assert_true(dev(r)->promoted_op >= cred(r, 1)->superseded_by);
	take_rotated(r, DEV, 11);
	assert_true(dev(r)->released_seq == at); /* not again */
}

static void an_operator_s_release_ends_an_adoption_and_a_revoke_too(void **state)
{
	struct kt_registry *r = *state;

	begin_restore(r);
	take_adopted(r, 9, 3);
	take_kind(r, KT_RECORD_RELEASE, DEV, 0);
	assert_false(dev(r)->adopted);
	assert_true(dev(r)->released_seq == kt_registry_seq(r));
	refuses(r, KT_RECORD_RELEASE, DEV, 0);
	take_adopted(r, 10, 4);
	take_kind(r, KT_RECORD_QUARANTINE, DEV, 0);
	take_kind(r, KT_RECORD_OP_OPEN, DEV, 11);
	take_kind(r, KT_RECORD_ISSUE, DEV, 11);
	take_kind(r, KT_RECORD_COMMIT, DEV, 11);
	assert_true(dev(r)->quarantined && !dev(r)->adopted); /* an operator's own word stays */
	take_adopted(r, 12, 9);
	take_kind(r, KT_RECORD_REVOKE, DEV, 0);
	assert_false(dev(r)->adopted);
	assert_int_equal(kt_registry_counts(r).adopted, 0);
}

static void an_enrolment_in_a_box_outlives_an_adoption(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, 2);
	rec = record_for(r, KT_RECORD_ISSUE, DEV, 2);
	rec.has_ticket = true;
	take(r, &rec);
	take_adopted(r, 9, 5);
	assert_true(dev(r)->enrolling);
	assert_int_equal(cred(r, 2)->status, KT_CREDENTIAL_PENDING);
	take_kind(r, KT_RECORD_COMMIT, DEV, 2);
	assert_ptr_equal(dev(r)->current, cred(r, 2));
	assert_int_equal(dev(r)->current->generation, 2);
	assert_int_equal(dev(r)->proven_generation, dev(r)->generation);
	assert_false(dev(r)->adopted);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* By ticket, as an operator orders it for other hardware. */
static void take_enrolled_anew(struct kt_registry *r, uint32_t n)
{
	struct kt_record rec;

	take_kind(r, KT_RECORD_TICKET_CREATE, DEV, n);
	rec = record_for(r, KT_RECORD_ISSUE, DEV, n);
	rec.has_ticket = true;
	take(r, &rec);
	take_kind(r, KT_RECORD_COMMIT, DEV, n);
}

static void refuses_lost(struct kt_registry *r, uint32_t n, uint32_t generation)
{
	struct kt_record rec = adoption(r, DEV, n, generation);

	refuses_record(r, &rec);
}

/* The hub that an operator has put out does not come back with a key that the registry forgot. */
static void what_an_operator_puts_out_now_is_not_adopted_later(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_kind(r, KT_RECORD_REVOKE, DEV, 0);
	take_enrolled_anew(r, 2);
	refuses_lost(r, 9, 7);
	take_kind(r, KT_RECORD_DELETE, DEV, 0);
	take_kind(r, KT_RECORD_DEVICE_CREATE, DEV, 3);
	refuses_lost(r, 9, 7);
	begin_restore(r); /* for good: not even another backup brings it back */
	refuses_lost(r, 9, 7);
	/* but what was issued behind it, and lost, is the new hub's */
	take_adopted(r, 10, dev(r)->generation + 1);
}

static void an_enrolment_puts_out_what_its_device_had(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	begin_restore(r);
	take_enrolled_anew(r, 2); /* without a revoke: the hub was replaced */
	assert_int_equal(dev(r)->current->generation, 2);
	refuses_lost(r, 9, 7);
	take_adopted(r, 10, dev(r)->generation + 1);
}

static void outside_a_restore_no_generation_is_left_out(void **state)
{
	struct kt_registry *r = *state;

	take_enrolled(r, DEV, 1);
	take_kind(r, KT_RECORD_REVOKE, DEV, 0);
	take_enrolled_anew(r, 2);
	assert_int_equal(dev(r)->generation, 2);
	assert_int_equal(dev(r)->proven_generation, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_restore_closes_every_op_and_can_be_ended_once),
		T(a_pending_enrolment_is_lost_too_but_its_hub_can_come_back),
		T(nothing_of_it_is_taken_outside_a_restore),
		T(a_known_device_brings_its_counters_and_its_freeze),
		T(a_known_device_with_an_open_op_is_left_alone),
		T(what_was_put_out_stays_out),
		T(no_restored_certificate_is_a_right),
		T(a_lost_one_can_only_be_put_out),
		T(refuses_a_certificate_that_is_another_ones),
		T(a_used_ticket_stays_used),
		T(the_newer_certificate_wins_and_puts_the_lower_one_out),
		T(adopts_a_device_that_it_never_knew),
		T(adopts_nothing_that_is_not_newer),
		T(adopts_nothing_where_a_right_was_taken_away),
		T(adopts_nothing_for_a_key_that_is_not_its_own),
		T(a_rotation_ends_an_adoption),
		T(an_operator_s_release_ends_an_adoption_and_a_revoke_too),
		T(an_enrolment_in_a_box_outlives_an_adoption),
		T(what_an_operator_puts_out_now_is_not_adopted_later),
		T(an_enrolment_puts_out_what_its_device_had),
		T(outside_a_restore_no_generation_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
