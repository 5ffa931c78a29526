/* The fold of operator.add and operator.remove, and what a restore makes of operators. */
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
#include "registry_internal.h"

#define ADD    KT_RECORD_OPERATOR_ADD
#define REMOVE KT_RECORD_OPERATOR_REMOVE

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

static void refuses(struct kt_registry *r, enum kt_record_kind kind, const char *name)
{
	struct kt_record rec = record_of_operator(r, kind, name, KT_ROLE_ADMIN, 9);

	refuses_record(r, &rec);
}

static void takes(struct kt_registry *r, enum kt_record_kind kind, const char *name,
		  enum kt_role role, uint32_t n)
{
	struct kt_record rec = record_of_operator(r, kind, name, role, n);

	take(r, &rec);
}

static const struct kt_operator_entry *find(const struct kt_registry *r, const char *name)
{
	const struct kt_operator_entry *entry = kt_registry_find_operator(r, name);

	assert_non_null(entry);
	return entry;
}

static void an_operator_is_there_with_all_that_was_said(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_fingerprint fp = fp_of(4);

	assert_null(kt_registry_find_operator(r, "ann"));
	takes(r, ADD, "ann", KT_ROLE_ENROLLER, 4);
	assert_string_equal(find(r, "ann")->name.s, "ann");
	assert_true(kt_fingerprint_eq(&find(r, "ann")->fp, &fp));
	assert_int_equal(find(r, "ann")->role, KT_ROLE_ENROLLER);
	assert_false(find(r, "ann")->is_removed);
	assert_string_equal(find(r, "ann")->by, "op:test");
	assert_true(find(r, "ann")->since_us == TIME_0 + 2000000);
	assert_true(find(r, "ann")->changed_seq == 2);
	assert_null(kt_registry_find_operator(r, "Ann"));
	assert_ptr_equal(kt_registry_find_operator_nocase(r, "ANN"), find(r, "ann"));
	assert_null(kt_registry_find_operator(r, ""));
	assert_int_equal(kt_registry_counts(r).devices, 0);
}

static void a_name_is_given_once_whatever_its_case(void **state)
{
	struct kt_registry *r = *state;

	takes(r, ADD, "ann", KT_ROLE_VIEWER, 4);
	refuses(r, ADD, "ann");
	refuses(r, ADD, "Ann");
	takes(r, REMOVE, "ann", KT_ROLE_NONE, 0);
	refuses(r, ADD, "ANN");
	takes(r, ADD, "ann", KT_ROLE_ADMIN, 5);
}

static void a_bad_name_or_role_is_no_operator(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_record good = record_of_operator(r, ADD, "ann", KT_ROLE_ADMIN, 4);
	static const char *const names[] = {"", "op", "claim", "-a", "a b", "a/b"};
	struct kt_record rec;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		rec = good;
		(void)snprintf(rec.name.s, sizeof(rec.name.s), "%s", names[i]);
		refuses_record(r, &rec);
	}
	rec = good;
	rec.role = KT_ROLE_NONE;
	refuses_record(r, &rec);
	rec.role = KT_ROLE_COUNT;
	refuses_record(r, &rec);
	take(r, &good);
}

static void only_who_is_there_is_removed_and_the_name_stays_known(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_fingerprint fp = fp_of(4);

	refuses(r, REMOVE, "ann");
	takes(r, ADD, "ann", KT_ROLE_ADMIN, 4);
	refuses(r, REMOVE, "Ann");
	refuses(r, REMOVE, "ben");
	takes(r, REMOVE, "ann", KT_ROLE_NONE, 0);
	assert_true(find(r, "ann")->is_removed);
	assert_true(kt_fingerprint_eq(&find(r, "ann")->fp, &fp));
	assert_int_equal(find(r, "ann")->role, KT_ROLE_ADMIN);
	assert_true(find(r, "ann")->changed_seq == 3);
	refuses(r, REMOVE, "ann");
}

static void who_comes_back_has_what_is_said_now_in_the_same_place(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_fingerprint fp = fp_of(5);
	const struct kt_operator_entry *before;

	takes(r, ADD, "ann", KT_ROLE_ADMIN, 4);
	before = find(r, "ann");
	takes(r, REMOVE, "ann", KT_ROLE_NONE, 0);
	takes(r, ADD, "ann", KT_ROLE_VIEWER, 5);
	assert_ptr_equal(find(r, "ann"), before);
	assert_false(before->is_removed);
	assert_true(kt_fingerprint_eq(&before->fp, &fp));
	assert_int_equal(before->role, KT_ROLE_VIEWER);
	assert_true(before->changed_seq == 4);
}

static void they_come_in_the_order_of_their_names_first_day(void **state)
{
	struct kt_registry *r = *state;
	size_t cursor = 0;

	assert_null(kt_registry_next_operator(r, &cursor));
	takes(r, ADD, "zoe", KT_ROLE_ADMIN, 1);
	takes(r, ADD, "ann", KT_ROLE_ADMIN, 2);
	takes(r, REMOVE, "zoe", KT_ROLE_NONE, 0);
	takes(r, ADD, "zoe", KT_ROLE_ADMIN, 3);
	assert_string_equal(kt_registry_next_operator(r, &cursor)->name.s, "zoe");
	assert_string_equal(kt_registry_next_operator(r, &cursor)->name.s, "ann");
	assert_null(kt_registry_next_operator(r, &cursor));
}

static void a_thousand_are_found(void **state)
{
	struct kt_registry *r = *state;
	char name[32];

	for (uint32_t i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "op-%u", i);
		takes(r, ADD, name, KT_ROLE_VIEWER, i);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		const struct kt_fingerprint fp = fp_of(i);

		(void)snprintf(name, sizeof(name), "op-%u", i);
		assert_true(kt_fingerprint_eq(&find(r, name)->fp, &fp));
	}
}

static void a_restore_ends_every_operator(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record restore;

	takes(r, ADD, "ann", KT_ROLE_ADMIN, 4);
	takes(r, ADD, "ben", KT_ROLE_VIEWER, 5);
	takes(r, REMOVE, "ben", KT_ROLE_NONE, 0);
	restore = record_for(r, KT_RECORD_RESTORE, NULL, 6);
	memcpy(restore.actor, "op:root", sizeof("op:root"));
	take(r, &restore);
	assert_true(find(r, "ann")->is_removed);
	assert_string_equal(find(r, "ann")->by, "op:root");
	assert_true(find(r, "ann")->changed_seq == restore.seq);
	assert_true(find(r, "ben")->is_removed);
	assert_string_equal(find(r, "ben")->by, "op:test"); /* was out before */
	assert_true(find(r, "ben")->changed_seq == 4);
	takes(r, ADD, "ann", KT_ROLE_ADMIN, 4); /* somebody who may says so */
	take_kind(r, KT_RECORD_RECONCILE_END, NULL, 0);
	assert_false(find(r, "ann")->is_removed);
}

static void each_change_is_written_to_the_index_once(void **state)
{
	struct kt_registry *r = *state;

	assert_null(kt_row_take_operator(r));
	takes(r, ADD, "ann", KT_ROLE_ADMIN, 4);
	takes(r, ADD, "ben", KT_ROLE_ADMIN, 5);
	takes(r, REMOVE, "ann", KT_ROLE_NONE, 0);
	assert_string_equal(kt_row_take_operator(r)->o.name.s, "ben");
	assert_string_equal(kt_row_take_operator(r)->o.name.s, "ann");
	assert_null(kt_row_take_operator(r));
	take_kind(r, KT_RECORD_RESTORE, NULL, 6);
	assert_string_equal(kt_row_take_operator(r)->o.name.s, "ben");
	assert_null(kt_row_take_operator(r));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_operator_is_there_with_all_that_was_said),
		T(a_name_is_given_once_whatever_its_case),
		T(a_bad_name_or_role_is_no_operator),
		T(only_who_is_there_is_removed_and_the_name_stays_known),
		T(who_comes_back_has_what_is_said_now_in_the_same_place),
		T(they_come_in_the_order_of_their_names_first_day),
		T(a_thousand_are_found),
		T(a_restore_ends_every_operator),
		T(each_change_is_written_to_the_index_once),
	};

	return cmocka_run_group_tests_name("registry_operator", tests, NULL, NULL);
}
