/* A registry that was restored from a backup, and hubs that have rotated since. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "rotation.h"

#define END    "|1600000000|253402300799"
#define HUB    "spiffe://" FLEET_TD "/device/hub-17"
#define LEAF   HUB END "|g1"
#define NEXT   HUB END "|g2"
#define LAST   HUB END "|g3"
#define NEW    "spiffe://" FLEET_TD "/device/hub-20" END "|g1"
#define AGENT  "hub-17:agent"
#define TRIAL  "hub-17:trial"
#define LATEST HUB END "|g9"

enum { ONE = 16, TWO = 32, APP = 48 };

static void restore(struct kt_registry *registry)
{
	struct kt_record record = fleet_record(registry, KT_RECORD_RESTORE, "hub-17");

	record.device.s[0] = '\0';
	fleet_apply(registry, &record);
}

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	restore(registry);
	*state = fake_new(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static const struct kt_device *hub(const struct fake *f)
{
	return kt_registry_find_device(f->registry, "hub-17");
}

static enum kt_credential_status status_of(const struct fake *f, const char *cert)
{
	const struct kt_fingerprint fp = fake_fingerprint(cert);

	return kt_registry_find_fingerprint(f->registry, &fp)->status;
}

static bool is_held(const struct fake *f, const char *cert)
{
	const struct kt_fingerprint fp = fake_fingerprint(cert);

	return kt_registry_find_fingerprint(f->registry, &fp) != NULL;
}

/* Refused, and not a byte is written because of it. */
static void refuses(struct fake *f, const char *id, const char *cert, enum kt_reason reason)
{
	const uint64_t before = kt_core_count(f->core, reason);
	const size_t records = f->appended_count;
	const enum kt_answer answer = fake_connect(f, ONE, id, NULL, cert);

	assert_true(answer == KT_ANSWER_DENY || answer == KT_ANSWER_BANNED ||
		    answer == KT_ANSWER_BAD_ID);
	assert_true(kt_core_count(f->core, reason) == before + 1);
	assert_int_equal(f->appended_count, records);
}

static void adopts(struct fake *f, const char *id, const char *cert)
{
	const size_t records = f->appended_count;

	assert_int_equal(fake_connect(f, ONE, id, NULL, cert), KT_ANSWER_NO_ANSWER);
	assert_int_equal(f->appended_count, records + 1);
	assert_int_equal(f->appended[records], KT_RECORD_ADOPT);
}

static enum kt_right may_write(struct fake *f, uintptr_t client, const char *topic)
{
	const struct kt_acl_event event = {.client = client,
					   .client_id = fake_session(f, client)->client_id,
					   .username = "hub-17",
					   .action = KT_ACL_DO_WRITE,
					   .topic = topic};

	return kt_core_acl(f->core, f->now, &event);
}

/* --- who is adopted --- */

static void a_newer_certificate_of_ours_is_adopted_once(void **state)
{
	struct fake *f = *state;
	size_t records;

	adopts(f, AGENT, NEXT);
	assert_int_equal(f->logged[KT_EVENT_DEVICE_ADOPTED], 1);
	assert_non_null(fake_event(f, "device.adopted"));
	assert_int_equal(status_of(f, NEXT), KT_CREDENTIAL_CURRENT);
	assert_int_equal(status_of(f, LEAF), KT_CREDENTIAL_SUPERSEDED);
	assert_true(hub(f)->adopted);
	records = f->appended_count;
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, NEXT), KT_ANSWER_ACCEPT);
	assert_int_equal(f->appended_count, records);
}

static void it_comes_back_until_the_adoption_is_durable(void **state)
{
	struct fake *f = *state;

	f->sync_at_once = false;
	adopts(f, AGENT, NEXT);
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, NEXT), KT_ANSWER_NO_ANSWER);
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, LEAF), KT_ANSWER_NO_ANSWER);
	fake_durable(f);
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, NEXT), KT_ANSWER_ACCEPT);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_SUPERSEDED);
}

static void the_trial_connection_shows_it_as_well(void **state)
{
	adopts(*state, TRIAL, NEXT);
	assert_int_equal(fake_connect(*state, ONE, TRIAL, NULL, NEXT), KT_ANSWER_ACCEPT);
}

static void a_device_made_after_the_backup_is_adopted(void **state)
{
	struct fake *f = *state;
	const struct kt_device *device;

	/* whoever was let in under its names meanwhile has to go */
	assert_int_equal(fake_connect(f, APP, "hub-20", NULL, NULL), KT_ANSWER_DEFER);
	adopts(f, "hub-20:agent", NEW);
	device = kt_registry_find_device(f->registry, "hub-20");
	assert_true(device->adopted && device->state == KT_DEVICE_ACTIVE);
	fake_ticks(f, 2);
	assert_true(fake_was_kicked(f, "hub-20"));
}

static void the_registry_s_own_certificate_gets_its_full_session(void **state)
{
	struct fake *f = *state;

	fake_site_topics(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x"), KT_RIGHT_ALLOW);
	assert_false(hub(f)->adopted);
	assert_int_equal(f->appended_count, 0);
}

static void a_lost_pending_certificate_is_adopted(void **state)
{
	struct fake *f = *state;

	fleet_open(f->registry, "hub-17", 50);
	fleet_issue(f->registry, "hub-17", NEXT);
	restore(f->registry);
	assert_int_equal(status_of(f, NEXT), KT_CREDENTIAL_LOST);
	refuses(f, "hub-17", NEXT, KT_REASON_OP_CLOSED);
	adopts(f, TRIAL, NEXT);
	assert_true(hub(f)->current->op == 50);
}

/* --- who is not --- */

static void nothing_is_adopted_without_a_restore(void **state)
{
	struct fake *f = *state;
	const struct kt_outcome outcome = kt_reconcile_end(f->core, "op:alice", "done");

	assert_int_equal(outcome.reason, KT_REASON_NONE);
	fake_durable(f);
	assert_int_equal(f->logged[KT_EVENT_REGISTRY_RECONCILED], 1);
	refuses(f, AGENT, NEXT, KT_REASON_CERT_UNKNOWN);
	assert_int_equal(kt_reconcile_end(f->core, "op:alice", NULL).reason, KT_REASON_STATE);
}

static void nothing_that_another_ca_has_signed(void **state)
{
	refuses(*state, AGENT, HUB END "|g2 forged", KT_REASON_CERT_UNKNOWN);
	refuses(*state, AGENT, HUB END "|g2 ca", KT_REASON_CERT_UNKNOWN);
}

static void nothing_that_is_not_newer_or_has_no_generation(void **state)
{
	refuses(*state, AGENT, HUB END "|g1 another", KT_REASON_CERT_UNKNOWN);
	refuses(*state, AGENT, HUB END "|x", KT_REASON_CERT_UNKNOWN);
	refuses(*state, AGENT, HUB END, KT_REASON_CERT_UNKNOWN);
}

static void nothing_of_another_name_or_trust_domain(void **state)
{
	struct fake *f = *state;

	refuses(f, AGENT, "spiffe://" FLEET_TD "/device/hub-18" END "|g2", KT_REASON_CERT_UNKNOWN);
	refuses(f, AGENT, "spiffe://other.test/device/hub-17" END "|g2", KT_REASON_CERT_FOREIGN);
	refuses(f, AGENT, "spiffe://" FLEET_TD "/claim/hub-17" END "|g2", KT_REASON_CLIENTID);
	refuses(f, "HUB-17:agent", "spiffe://" FLEET_TD "/device/HUB-17" END "|g2",
		KT_REASON_CERT_UNKNOWN);
	refuses(f, AGENT, HUB "/x" END "|g2", KT_REASON_CERT_UNKNOWN);
}

static void nothing_outside_its_dates(void **state)
{
	refuses(*state, AGENT, HUB "|1600000000|1700000009|g2", KT_REASON_CERT_DATES);
	refuses(*state, AGENT, HUB "|1700000011|253402300799|g2", KT_REASON_CERT_DATES);
}

static void only_the_agent_s_own_connections_show_it(void **state)
{
	struct fake *f = *state;
	struct kt_connect connect = {.client = ONE, .client_id = AGENT, .cert = fake_cert(NEXT)};
	struct kt_connect_answer answer;

	refuses(f, "hub-17", NEXT, KT_REASON_CERT_UNKNOWN);
	refuses(f, "hub-17:log", NEXT, KT_REASON_CERT_UNKNOWN);
	kt_core_connect(f->core, f->now, &connect, &answer); /* not a clean start */
	assert_int_equal(answer.answer, KT_ANSWER_DENY);
	connect.clean_start = true;
	connect.username = "op:alice";
	kt_core_connect(f->core, f->now, &connect, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DENY);
	assert_false(is_held(f, NEXT));
}

static void nobody_who_was_revoked_deleted_or_denied(void **state)
{
	struct fake *f = *state;
	const struct kt_key_id key = fleet_key(NEXT);

	assert_int_equal(kt_enroll_deny(f->core, &key, "op:alice").reason, KT_REASON_NONE);
	refuses(f, AGENT, NEXT, KT_REASON_CERT_UNKNOWN);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	refuses(f, AGENT, LAST, KT_REASON_CERT_UNKNOWN);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_REVOKED);
	fleet_simple(f->registry, KT_RECORD_DELETE, "hub-17", 0);
	refuses(f, AGENT, LAST, KT_REASON_CERT_UNKNOWN);
}

/* A device of the lost records cannot be revoked, for nobody knows it: it is made first. */
static void one_that_was_made_to_be_revoked_is_not_adopted(void **state)
{
	static const struct kt_revoke_order at_once = {.emergency = true};
	struct fake *f = *state;

	assert_int_equal(kt_device_create(f->core, "hub-20", NULL, NULL, "op:alice").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_device_revoke(f->core, kt_registry_find_device(f->registry, "hub-20"),
					  "op:alice", &at_once)
				 .reason,
			 KT_REASON_NONE);
	fake_durable(f);
	refuses(f, "hub-20:agent", NEW, KT_REASON_CERT_UNKNOWN);
}

static void a_ledger_that_failed_takes_nobody_over(void **state)
{
	struct fake *f = *state;

	fake_fail(f);
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, NEXT), KT_ANSWER_NO_ANSWER);
	assert_true(kt_core_count(f->core, KT_REASON_STORE_FAILED) == 1);
	assert_false(is_held(f, NEXT));
	assert_int_equal(fake_connect(f, ONE, AGENT, NULL, LEAF), KT_ANSWER_ACCEPT);
}

/* --- what it may do then, and how it ends --- */

static void sessions_of_the_lower_one_are_ended(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, TWO, AGENT, LEAF);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	adopts(f, TRIAL, NEXT);
	fake_ticks(f, 2);
	assert_true(fake_was_kicked(f, AGENT));
	assert_false(fake_was_kicked(f, "hub-17")); /* drains, as after a commit */
	fake_later(f, f->config.superseded_drain_ms);
	fake_ticks(f, 12);
	assert_true(fake_was_kicked(f, "hub-17"));
}

static void an_adopted_device_has_keyturn_topics_only(void **state)
{
	struct fake *f = *state;

	fake_site_topics(f);
	adopts(f, AGENT, NEXT);
	(void)fake_hello(f, TWO, AGENT, NEXT);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, NEXT), KT_ANSWER_ACCEPT);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x"), KT_RIGHT_DENY);
	assert_int_equal(may_write(f, TWO, KT_TOPIC_DEVICE_IN), KT_RIGHT_ALLOW);
	assert_int_equal(kt_device_release(f->core, hub(f), "op:alice").reason, KT_REASON_NONE);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x"), KT_RIGHT_DENY); /* not durable */
	fake_durable(f);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x"), KT_RIGHT_ALLOW);
}

static void rotate(struct fake *f, const char *cert)
{
	struct kt_message *m = fake_message(f, TWO, KT_MESSAGE_CSR);

	m->u.csr.op = hub(f)->op;
	m->u.csr.nonce = hub(f)->op_nonce;
	fake_say(f, TWO, m, "new key");
	fake_issue(f, cert);
	(void)fake_hello(f, ONE, TRIAL, cert);
	m = fake_message(f, ONE, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = hub(f)->op;
	m->u.confirm.nonce = hub(f)->op_nonce;
	m->u.confirm.fp = fake_fingerprint(cert);
	fake_say(f, ONE, m, NULL);
}

static void its_hello_is_answered_with_a_rotation_that_ends_it(void **state)
{
	struct fake *f = *state;
	uint64_t op;

	fake_site_topics(f);
	adopts(f, AGENT, NEXT);
	assert_int_equal(fake_connect(f, TWO, AGENT, NULL, NEXT), KT_ANSWER_ACCEPT);
	fake_say(f, TWO, fake_message(f, TWO, KT_MESSAGE_HELLO), NULL);
	op = hub(f)->op;
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
	assert_non_null(strstr(fake_sent(f, AGENT, "welcome"), "next=rotate"));
	assert_non_null(fake_sent(f, AGENT, "rotate"));
	assert_int_equal(fake_sent_count(f, AGENT), 2); /* told once */
	fake_say(f, TWO, fake_message(f, TWO, KT_MESSAGE_HELLO), NULL);
	assert_true(hub(f)->op == op); /* one op, however often it says hello */
	rotate(f, LAST);
	assert_false(hub(f)->adopted);
	assert_int_equal(hub(f)->current->generation, 3);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LAST), KT_ANSWER_ACCEPT);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x"), KT_RIGHT_ALLOW);
	refuses(f, AGENT, NEXT, KT_REASON_CERT_SUPERSEDED);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_SUPERSEDED);
	adopts(f, AGENT, LATEST); /* reconciling is still on */
}

static void say_hello(struct fake *f, enum kt_device_phase phase, uint64_t op)
{
	struct kt_message *m = fake_message(f, TWO, KT_MESSAGE_HELLO);

	m->u.hello.phase = phase;
	m->u.hello.op = op;
	fake_say(f, TWO, m, NULL);
}

/* An operator let it in before its rotation: what it tries is in force, under an op of its own. */
static void an_approved_trial_of_a_lost_op_is_committed(void **state)
{
	struct fake *f = *state;
	const uint64_t lost = (uint64_t)f->now.wall_us - 5;

	adopts(f, TRIAL, NEXT);
	fleet_simple(f->registry, KT_RECORD_RELEASE, "hub-17", 0);
	assert_false(hub(f)->adopted);
	assert_int_equal(fake_connect(f, TWO, TRIAL, NULL, NEXT), KT_ANSWER_ACCEPT);
	say_hello(f, KT_PHASE_CERT, lost);
	assert_non_null(strstr(fake_sent(f, TRIAL, "welcome"), "next=committed"));
	assert_non_null(fake_sent(f, TRIAL, "committed"));
}

/* The hub was in the middle of an op that this registry does not know. */
static void a_hello_of_a_lost_op_leads_to_a_rotation(void **state)
{
	static const enum kt_device_phase phases[] = {KT_PHASE_STABLE, KT_PHASE_KEY, KT_PHASE_CERT};
	struct fake *f = *state;
	const uint64_t lost = (uint64_t)f->now.wall_us - 5;

	adopts(f, TRIAL, NEXT);
	assert_int_equal(fake_connect(f, TWO, TRIAL, NULL, NEXT), KT_ANSWER_ACCEPT);
	for (size_t i = 0; i < 3; i++) {
		fake_forget(f);
		say_hello(f, phases[i], lost);
		assert_non_null(strstr(fake_sent(f, TRIAL, "welcome"), "next=rotate"));
		assert_true(hub(f)->op > lost);
	}
	assert_int_equal(f->logged[KT_EVENT_REGISTRY_BEHIND], 1);
	assert_int_equal(f->logged[KT_EVENT_ROTATION_OPENED], 1);
}

static void a_confirm_of_a_lost_op_is_answered_committed(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;

	adopts(f, TRIAL, NEXT);
	(void)fake_hello(f, TWO, TRIAL, NEXT);
	m = fake_message(f, TWO, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = 77;
	m->u.confirm.nonce = fleet_nonce(1);
	m->u.confirm.fp = fake_fingerprint(NEXT);
	fake_say(f, TWO, m, NULL);
	assert_string_equal(fake_sent(f, TRIAL, "committed"), "committed op=77");
	m = fake_message(f, TWO, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = 77;
	m->u.confirm.fp = fake_fingerprint(LEAF);
	fake_say(f, TWO, m, NULL);
	assert_non_null(strstr(fake_sent(f, TRIAL, "reject"), "reason=fp.wrong"));
}

static void a_frozen_device_is_adopted_and_waits_for_its_operator(void **state)
{
	struct fake *f = *state;

	fleet_open(f->registry, "hub-17", 50);
	fleet_simple(f->registry, KT_RECORD_FREEZE, "hub-17", 50);
	adopts(f, AGENT, NEXT);
	(void)fake_hello(f, TWO, AGENT, NEXT);
	assert_int_equal(hub(f)->phase, KT_SERVER_IDLE);
	assert_int_equal(kt_device_unfreeze(f->core, hub(f), "op:alice").reason, KT_REASON_NONE);
	fake_say(f, TWO, fake_message(f, TWO, KT_MESSAGE_HELLO), NULL);
	assert_int_equal(hub(f)->phase, KT_SERVER_OPEN);
}

/* --- suspicion and alarm --- */

static void the_lower_one_is_a_suspicion_until_promoted(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;

	fleet_simple(f->registry, KT_RECORD_PROMOTED, "hub-17", 1);
	adopts(f, AGENT, NEXT);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_SUPERSEDED);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
	(void)fake_hello(f, TWO, AGENT, NEXT);
	rotate(f, LAST);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_SUPERSEDED);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 2);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	(void)fake_hello(f, ONE, TRIAL, LAST);
	m = fake_message(f, ONE, KT_MESSAGE_PROMOTED);
	m->u.promoted.op = hub(f)->last_committed_op;
	m->u.promoted.fp = fake_fingerprint(LAST);
	fake_say(f, ONE, m, NULL);
	fake_later(f, 30000);
	refuses(f, AGENT, LEAF, KT_REASON_CERT_SUPERSEDED);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
}

/* A thief with a lower one came first and has rotated: the hub itself is who is left outside. */
static void one_that_a_rotation_has_left_behind_is_a_suspicion(void **state)
{
	struct fake *f = *state;

	adopts(f, AGENT, NEXT);
	(void)fake_hello(f, TWO, AGENT, NEXT);
	rotate(f, LAST);
	refuses(f, AGENT, HUB END "|g3 another", KT_REASON_CERT_UNKNOWN);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
	assert_non_null(strstr(fake_event(f, "clone.suspected"), "cert.unknown"));
	refuses(f, "hub-17", HUB END "|g2 another", KT_REASON_CERT_UNKNOWN);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 2);
	/* but neither a hub's program that is ahead of its agent, nor what we have not signed */
	refuses(f, "hub-17", LATEST, KT_REASON_CERT_UNKNOWN);
	refuses(f, AGENT, HUB END "|g3 forged", KT_REASON_CERT_UNKNOWN);
	refuses(f, AGENT, "spiffe://" FLEET_TD "/device/hub-20" END "|g3", KT_REASON_CERT_UNKNOWN);
	assert_int_equal(kt_reconcile_end(f->core, "op:alice", NULL).reason, KT_REASON_NONE);
	refuses(f, AGENT, HUB END "|g1 another", KT_REASON_CERT_UNKNOWN);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 2);
}

/* --- what is told --- */

static void every_start_says_that_reconciling_is_on(void **state)
{
	struct fake *f = *state;
	struct kt_registry *registry = fleet_new();
	struct fake *calm = fake_new(registry);

	assert_int_equal(f->logged[KT_EVENT_REGISTRY_RECONCILING], 1);
	assert_int_equal(calm->logged[KT_EVENT_REGISTRY_RECONCILING], 0);
	fake_free(calm);
}

static const char *gauge(const struct fake *f, const char *name)
{
	for (size_t i = f->published_count; i > 0; i--) {
		if (strcmp(f->published[i - 1].topic, name) == 0)
			return f->published[i - 1].text;
	}
	return NULL;
}

static void gauges_show_it(void **state)
{
	struct fake *f = *state;

	adopts(f, AGENT, NEXT);
	fake_tick(f);
	assert_string_equal(gauge(f, KT_TOPIC_SYS_PREFIX "reconciling"), "1");
	assert_string_equal(gauge(f, KT_TOPIC_SYS_PREFIX "devices/adopted"), "1");
	assert_int_equal(kt_reconcile_end(f->core, "op:alice", NULL).reason, KT_REASON_NONE);
	fake_later(f, 10000);
	fake_tick(f);
	assert_string_equal(gauge(f, KT_TOPIC_SYS_PREFIX "reconciling"), "0");
	assert_true(hub(f)->adopted); /* until its rotation, or a release */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_newer_certificate_of_ours_is_adopted_once),
		T(it_comes_back_until_the_adoption_is_durable),
		T(the_trial_connection_shows_it_as_well),
		T(a_device_made_after_the_backup_is_adopted),
		T(the_registry_s_own_certificate_gets_its_full_session),
		T(a_lost_pending_certificate_is_adopted),
		T(nothing_is_adopted_without_a_restore),
		T(nothing_that_another_ca_has_signed),
		T(nothing_that_is_not_newer_or_has_no_generation),
		T(nothing_of_another_name_or_trust_domain),
		T(nothing_outside_its_dates),
		T(only_the_agent_s_own_connections_show_it),
		T(nobody_who_was_revoked_deleted_or_denied),
		T(one_that_was_made_to_be_revoked_is_not_adopted),
		T(a_ledger_that_failed_takes_nobody_over),
		T(sessions_of_the_lower_one_are_ended),
		T(an_adopted_device_has_keyturn_topics_only),
		T(its_hello_is_answered_with_a_rotation_that_ends_it),
		T(a_hello_of_a_lost_op_leads_to_a_rotation),
		T(an_approved_trial_of_a_lost_op_is_committed),
		T(a_confirm_of_a_lost_op_is_answered_committed),
		T(a_frozen_device_is_adopted_and_waits_for_its_operator),
		T(the_lower_one_is_a_suspicion_until_promoted),
		T(one_that_a_rotation_has_left_behind_is_a_suspicion),
		T(every_start_says_that_reconciling_is_on),
		T(gauges_show_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
