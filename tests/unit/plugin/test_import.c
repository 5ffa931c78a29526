/* An existing fleet's certificates become generation 0 of their devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"

#define END   "|1600000000|1900000000|"
#define OLD   "urn:plant:1" END "es256 cn=hub-1"
#define OTHER "urn:plant:2" END "es256 cn=hub-2"
#define RSA   "urn:plant:3" END "cn=hub-3"
#define NEXT  "spiffe://" FLEET_TD "/device/hub-1|1600000000|253402300799|g1"
#define LEAF  "spiffe://" FLEET_TD "/device/hub-17|1600000000|253402300799|g1"

enum { ONE = 16, TWO = 32 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	*state = fake_new(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static const struct kt_device *device_of(const struct fake *f, const char *id)
{
	return kt_registry_find_device(f->registry, id);
}

static struct kt_outcome import(struct fake *f, const char *device, const char *cert,
				struct kt_imported *out)
{
	const struct kt_import import = {
		.device = device, .group = "old", .certificate = fake_cert(cert)};

	return kt_device_import(f->core, &import, "op:test", out);
}

static void imports(struct fake *f, const char *device, const char *cert)
{
	struct kt_imported out;

	assert_int_equal(import(f, device, cert, &out).reason, KT_REASON_NONE);
	assert_false(out.is_known);
}

/* And nothing is written. */
static void refuses(struct fake *f, const char *device, const char *cert, enum kt_reason reason)
{
	const size_t records = f->appended_count;
	struct kt_imported out;

	assert_string_equal(kt_reason_name(import(f, device, cert, &out).reason),
			    kt_reason_name(reason));
	assert_non_null(out.why);
	assert_int_equal(f->appended_count, records);
}

static void an_imported_certificate_is_generation_0_and_in_force(void **state)
{
	struct fake *f = *state;
	const struct kt_device *device;
	struct kt_imported out;
	struct kt_outcome outcome;

	f->sync_at_once = false;
	outcome = import(f, "hub-1", OLD, &out);
	assert_int_equal(outcome.reason, KT_REASON_NONE);
	assert_int_equal(f->appended[0], KT_RECORD_IMPORT);
	assert_true(outcome.seq == kt_registry_seq(f->registry));
	assert_int_equal(out.alg, KT_ALG_ES256);
	assert_true(out.not_after_s == 1900000000);
	device = device_of(f, "hub-1");
	assert_int_equal(device->state, KT_DEVICE_ACTIVE);
	assert_string_equal(device->group, "old");
	assert_int_equal(device->current->generation, 0);
	assert_int_equal(device->generation, 0);
	assert_int_equal(device->proven_generation, 0);
	assert_true(device->committed_us == f->now.wall_us); /* its age begins here */
	assert_int_equal(f->logged[KT_EVENT_DEVICE_IMPORTED], 1);
	assert_null(fake_event(f, "device.imported"));
	assert_int_equal(fake_connect(f, ONE, "hub-1", NULL, OLD), KT_ANSWER_NO_ANSWER);
	assert_int_equal(fake_connect(f, ONE, "hub-1:trial", NULL, OLD), KT_ANSWER_NO_ANSWER);
	fake_durable(f);
	assert_non_null(fake_event(f, "device.imported"));
	assert_int_equal(fake_connect(f, ONE, "hub-1", NULL, OLD), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, TWO, "hub-1:agent", NULL, OLD), KT_ANSWER_ACCEPT);
}

static void the_same_certificate_again_changes_nothing(void **state)
{
	struct fake *f = *state;
	struct kt_imported out;
	uint64_t seq;
	struct kt_outcome outcome;

	imports(f, "hub-1", OLD);
	seq = kt_registry_seq(f->registry);
	imports(f, "hub-2", OTHER);
	outcome = import(f, "hub-1", OLD, &out);
	assert_int_equal(outcome.reason, KT_REASON_NONE);
	assert_true(out.is_known);
	assert_true(outcome.seq == seq); /* the answer waits for the record of then */
	assert_int_equal(f->appended_count, 2);
}

static void a_key_and_a_certificate_belong_to_one_device_for_ever(void **state)
{
	struct fake *f = *state;
	struct kt_record record;

	imports(f, "hub-1", OLD);
	refuses(f, "hub-2", OLD, KT_REASON_EXISTS);
	refuses(f, "HUB-1", OLD, KT_REASON_EXISTS);
	refuses(f, "hub-1", OTHER, KT_REASON_EXISTS); /* it has one */
	refuses(f, "hub-17", OTHER, KT_REASON_EXISTS);
	refuses(f, "Hub-17", OTHER, KT_REASON_EXISTS);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-1", 0);
	refuses(f, "hub-1", OLD, KT_REASON_EXISTS);
	refuses(f, "hub-1", OTHER, KT_REASON_EXISTS); /* a ticket is the way back */
	fleet_simple(f->registry, KT_RECORD_DELETE, "hub-1", 0);
	refuses(f, "hub-1", OLD, KT_REASON_EXISTS);
	imports(f, "hub-1", OTHER); /* a tombstone comes back with another one alone */
	record = fleet_record(f->registry, KT_RECORD_DENY, NULL);
	record.key_id = fleet_key(RSA);
	fleet_apply(f->registry, &record);
	refuses(f, "hub-3", RSA, KT_REASON_DENIED);
}

static void a_key_that_is_registered_or_used_is_not_taken_over(void **state)
{
	struct fake *f = *state;
	struct kt_record record = fleet_record(f->registry, KT_RECORD_DEVICE_CREATE, "hub-5");

	record.has_key_id = true;
	record.key_id = fleet_key(OLD);
	record.alg = KT_ALG_ES256;
	fleet_apply(f->registry, &record);
	refuses(f, "hub-1", OLD, KT_REASON_KEY_KNOWN);
	refuses(f, "hub-5", OTHER, KT_REASON_EXISTS); /* it waits for its own */
	fleet_simple(f->registry, KT_RECORD_DEVICE_CREATE, "hub-6", 0);
	imports(f, "hub-6", OTHER); /* one that waits for nothing may get it */
}

static void what_no_client_of_another_ca_has_is_refused(void **state)
{
	struct fake *f = *state;

	refuses(f, "hub-1", "nonsense", KT_REASON_CERT_SYNTAX);
	refuses(f, "hub-1", "urn:x" END "ca", KT_REASON_CERT_USE);
	refuses(f, "hub-1", "urn:x" END "server", KT_REASON_CERT_USE);
	imports(f, "hub-4", "urn:x" END "server client");
	refuses(f, "hub-1", "urn:x|1600000000|1700000000|es256", KT_REASON_CERT_USE); /* ended */
	/* ours, and not on record: only the registry's own ways lead there */
	refuses(f, "hub-1", NEXT, KT_REASON_CERT_USE);
	refuses(f, "hub-1", "spiffe://" FLEET_TD "/operator/alice" END "es256", KT_REASON_CERT_USE);
}

static void nothing_is_taken_over_while_reconciling(void **state)
{
	struct fake *f = *state;
	struct kt_imported out;
	struct kt_record record = fleet_record(f->registry, KT_RECORD_RESTORE, NULL);

	imports(f, "hub-1", OLD);
	record = fleet_record(f->registry, KT_RECORD_RESTORE, NULL);
	fleet_apply(f->registry, &record);
	refuses(f, "hub-2", OTHER, KT_REASON_STATE);
	assert_int_equal(import(f, "hub-1", OLD, &out).reason, KT_REASON_NONE);
	assert_true(out.is_known);
	record = fleet_record(f->registry, KT_RECORD_RECONCILE_END, NULL);
	fleet_apply(f->registry, &record);
	imports(f, "hub-2", OTHER);
}

static void one_that_a_restore_lost_can_be_imported_again(void **state)
{
	struct fake *f = *state;
	struct kt_record record = fleet_record(f->registry, KT_RECORD_RESTORE, NULL);

	fleet_apply(f->registry, &record);
	record = fleet_record(f->registry, KT_RECORD_RESTORE_DEVICE, "hub-1");
	fleet_apply(f->registry, &record);
	record = fleet_record(f->registry, KT_RECORD_RESTORE_CREDENTIAL, "hub-1");
	record.fp = fake_fingerprint(OLD);
	record.key_id = fleet_key(OLD);
	record.status = KT_CREDENTIAL_LOST;
	fleet_apply(f->registry, &record);
	refuses(f, "hub-1", OLD, KT_REASON_STATE);
	record = fleet_record(f->registry, KT_RECORD_RECONCILE_END, NULL);
	fleet_apply(f->registry, &record);
	refuses(f, "hub-2", OLD, KT_REASON_EXISTS); /* not as another one */
	imports(f, "hub-1", OLD);
	assert_int_equal(device_of(f, "hub-1")->current->generation, 0);
}

static void a_check_says_what_would_be_done_and_does_nothing(void **state)
{
	struct fake *f = *state;
	struct kt_import import = {
		.device = "hub-1", .group = "", .certificate = fake_cert(RSA), .is_check = true};
	struct kt_imported out;
	struct kt_outcome outcome = kt_device_import(f->core, &import, "op:test", &out);

	assert_int_equal(outcome.reason, KT_REASON_NONE);
	assert_int_equal(out.alg, KT_ALG_NONE);
	assert_false(out.is_known);
	assert_null(device_of(f, "hub-1"));
	import.device = "HUB-17";
	outcome = kt_device_import(f->core, &import, "op:test", &out);
	assert_int_equal(outcome.reason, KT_REASON_EXISTS);
	assert_int_equal(f->appended_count, 0);
}

static void the_first_rotation_supersedes_it_by_generation_1(void **state)
{
	struct fake *f = *state;

	imports(f, "hub-1", OLD);
	fake_durable(f);
	fleet_open(f->registry, "hub-1", 5);
	fleet_issue(f->registry, "hub-1", NEXT);
	assert_int_equal(device_of(f, "hub-1")->pending->generation, 1);
	fleet_commit(f->registry, "hub-1");
	fake_durable(f);
	assert_int_equal(device_of(f, "hub-1")->current->generation, 1);
	assert_int_equal(fake_connect(f, ONE, "hub-1", NULL, OLD), KT_ANSWER_DENY);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_SUPERSEDED), 1);
	assert_int_equal(fake_connect(f, ONE, "hub-1", NULL, NEXT), KT_ANSWER_ACCEPT);
}

static void sessions_of_it_that_others_let_in_come_again_as_the_device(void **state)
{
	struct fake *f = *state;

	f->config.foreign_cert = KT_FALLBACK_DEFER;
	assert_int_equal(fake_connect(f, ONE, "anything", NULL, OLD), KT_ANSWER_DEFER);
	assert_int_equal(fake_connect(f, TWO, "another", NULL, OTHER), KT_ANSWER_DEFER);
	imports(f, "hub-1", OLD);
	fake_ticks(f, 2);
	assert_true(fake_was_kicked(f, "anything"));
	assert_false(fake_was_kicked(f, "another"));
}

static void while_observing_they_stay_and_end_with_the_device(void **state)
{
	static const struct kt_revoke_order order = {.emergency = true, .note = ""};
	struct fake *f = *state;

	f->config.enforce = KT_ENFORCE_OBSERVE;
	assert_int_equal(fake_connect(f, ONE, "anything", "bob", OLD), KT_ANSWER_DEFER);
	imports(f, "hub-1", OLD);
	fake_ticks(f, 3);
	assert_int_equal(f->kicked_count, 0);
	assert_int_equal(fake_session(f, ONE)->kind, KT_SESSION_DEVICE);
	assert_ptr_equal(fake_session(f, ONE)->device, device_of(f, "hub-1"));
	assert_ptr_equal(fake_session(f, ONE)->credential, device_of(f, "hub-1")->current);
	assert_int_equal(kt_device_revoke(f->core, device_of(f, "hub-1"), "op:test", &order).reason,
			 KT_REASON_NONE);
	assert_true(fake_was_kicked(f, "anything"));
}

static void nothing_is_taken_over_without_a_ledger(void **state)
{
	struct fake *f = *state;
	struct kt_imported out;

	fake_fail(f);
	assert_int_equal(import(f, "hub-1", OLD, &out).reason, KT_REASON_STORE_FAILED);
	assert_null(device_of(f, "hub-1"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_imported_certificate_is_generation_0_and_in_force),
		T(the_same_certificate_again_changes_nothing),
		T(a_key_and_a_certificate_belong_to_one_device_for_ever),
		T(a_key_that_is_registered_or_used_is_not_taken_over),
		T(what_no_client_of_another_ca_has_is_refused),
		T(nothing_is_taken_over_while_reconciling),
		T(one_that_a_restore_lost_can_be_imported_again),
		T(a_check_says_what_would_be_done_and_does_nothing),
		T(the_first_rotation_supersedes_it_by_generation_1),
		T(sessions_of_it_that_others_let_in_come_again_as_the_device),
		T(while_observing_they_stay_and_end_with_the_device),
		T(nothing_is_taken_over_without_a_ledger),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
