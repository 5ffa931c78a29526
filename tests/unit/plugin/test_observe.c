/* enforce = observe: what an old fleet may go on doing, and what nobody may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"

#define NO_END	"|1600000000|253402300799|"
#define LEAF	"spiffe://" FLEET_TD "/device/hub-17" NO_END "g1 cn=hub-17"
#define NEXT	"spiffe://" FLEET_TD "/device/hub-17" NO_END "g2 cn=hub-17"
#define SECOND	"spiffe://" FLEET_TD "/device/hub-18" NO_END "g1 cn=hub-18"
#define UNKNOWN "spiffe://" FLEET_TD "/device/hub-19" NO_END "g1 cn=hub-19"
#define ALICE	"spiffe://" FLEET_TD "/operator/alice" NO_END
#define BATCH	"spiffe://" FLEET_TD "/claim/batch-7" NO_END
#define FOREIGN "urn:plant:1" NO_END "es256 cn=pump"
#define ENDED	"urn:plant:2|1600000000|1600000001|es256 cn=pump"
#define CID	"claim:abcdefghijklmnopqrstuv"

enum { ONE = 16, TWO = 32, THREE = 48 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();
	struct fake *f;

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	(void)fleet_active(registry, "hub-18", "", SECOND);
	f = fake_new(registry);
	f->config.enforce = KT_ENFORCE_OBSERVE;
	f->config.acl.other = KT_FALLBACK_DEFER;
	f->config.foreign_cert = KT_FALLBACK_DENY;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static uint64_t would(const struct fake *f, enum kt_reason reason)
{
	return f->core->would_refuse[reason];
}

struct client {
	const char *id;
	const char *user;
	const char *cert;
	enum kt_reason reason; /* for which enforce = on refuses it; NONE: it does not */
};

/* In both modes: let in by others and counted, or (on) refused. */
static void is_observed(struct fake *f, const struct client *c)
{
	const uint64_t before = would(f, c->reason);
	enum kt_answer answer;

	f->config.enforce = KT_ENFORCE_OBSERVE;
	assert_int_equal(fake_connect(f, ONE, c->id, c->user, c->cert), KT_ANSWER_DEFER);
	assert_true(would(f, c->reason) == before + (c->reason != KT_REASON_NONE));
	kt_core_disconnect(f->core, f->now, ONE);
	fake_tick(f);
	f->config.enforce = KT_ENFORCE_ON;
	answer = fake_connect(f, ONE, c->id, c->user, c->cert);
	if (c->reason == KT_REASON_NONE)
		assert_true(answer == KT_ANSWER_ACCEPT || answer == KT_ANSWER_DEFER);
	else
		assert_true(kt_core_count(f->core, c->reason) > 0);
	kt_core_disconnect(f->core, f->now, ONE);
	fake_tick(f);
	f->config.enforce = KT_ENFORCE_OBSERVE;
}

/* In both modes, for the same reason. */
static void is_refused(struct fake *f, const struct client *c)
{
	static const enum kt_enforce modes[] = {KT_ENFORCE_ON, KT_ENFORCE_OBSERVE};

	for (size_t i = 0; i < 2; i++) {
		const uint64_t before = kt_core_count(f->core, c->reason);
		enum kt_answer answer;

		f->config.enforce = modes[i];
		answer = fake_connect(f, ONE, c->id, c->user, c->cert);
		assert_true(answer == KT_ANSWER_DENY || answer == KT_ANSWER_BANNED ||
			    answer == KT_ANSWER_BAD_ID);
		assert_true(kt_core_count(f->core, c->reason) == before + 1);
		assert_null(fake_session(f, ONE));
	}
}

static void what_the_old_fleet_does_is_left_to_others_and_counted(void **state)
{
	static const struct client clients[] = {
		{"pump", NULL, FOREIGN, KT_REASON_CERT_FOREIGN},
		{"pump", "bob", FOREIGN, KT_REASON_CERT_FOREIGN},
		{"pump", NULL, "no certificate that we can read", KT_REASON_CERT_UNKNOWN},
		{"pump", NULL, ENDED, KT_REASON_CERT_DATES},
		/* of a device, and not as Keyturn would have it */
		{"reader", NULL, LEAF, KT_REASON_CLIENTID},
		{"hub-18", NULL, LEAF, KT_REASON_CLIENTID},
		{"hub-17", "hub-18", LEAF, KT_REASON_USERNAME},
		/* without a certificate, and under a device's name */
		{"hub-17", "bob", NULL, KT_REASON_CLIENTID},
		{"hub-17:log", NULL, NULL, KT_REASON_CLIENTID},
		{"HUB-17", NULL, NULL, KT_REASON_CLIENTID},
		{"hub-17:a:b", NULL, NULL, KT_REASON_CLIENTID},
		{"reader", "hub-17", NULL, KT_REASON_USERNAME},
		/* and what is well */
		{"hub-17", NULL, LEAF, KT_REASON_NONE},
		{"hub-17:log", "bob", LEAF, KT_REASON_NONE},
		{"reader", "bob", NULL, KT_REASON_NONE},
	};

	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		is_observed(*state, &clients[i]);
}

static void what_is_keyturns_own_is_judged_as_ever(void **state)
{
	static const struct client clients[] = {
		{"hub-17:agent", NULL, SECOND, KT_REASON_CLIENTID},
		{"hub-17:trial", NULL, SECOND, KT_REASON_CLIENTID},
		{"hub-17:agent", "hub-17", NULL, KT_REASON_CLIENTID},
		{"hub-99:agent", "bob", NULL, KT_REASON_CLIENTID},
		{"hub-17:trial", NULL, FOREIGN, KT_REASON_CERT_FOREIGN},
		{CID, NULL, LEAF, KT_REASON_CLIENTID},
		{"claim:short", NULL, NULL, KT_REASON_CLIENTID},
		{"op:alice", NULL, NULL, KT_REASON_CLIENTID},
		{"OP:alice", NULL, NULL, KT_REASON_CLIENTID},
		{"op:alice", NULL, FOREIGN, KT_REASON_CERT_FOREIGN},
		{"op:alice", NULL, LEAF, KT_REASON_CLIENTID},
		{"reader", "op:alice", NULL, KT_REASON_USERNAME},
		{"reader", "claim", NULL, KT_REASON_USERNAME},
		{"reader", "OP:x", FOREIGN, KT_REASON_CERT_FOREIGN},
		/* certificates of ours that the registry does not hold */
		{"hub-19", NULL, UNKNOWN, KT_REASON_CERT_UNKNOWN},
		{"reader", NULL, UNKNOWN, KT_REASON_CERT_UNKNOWN},
		{"reader", NULL, ALICE, KT_REASON_CERT_UNKNOWN},
		{"reader", NULL, BATCH, KT_REASON_CLIENTID},
	};
	struct fake *f = *state;

	f->config.claim_without_certificate = true;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		is_refused(f, &clients[i]);
	assert_int_equal(fake_connect(f, ONE, "hub-17:agent", NULL, LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, TWO, CID, NULL, NULL), KT_ANSWER_ACCEPT);
}

static void what_was_put_out_comes_in_by_no_name(void **state)
{
	struct fake *f = *state;
	static const struct client superseded = {"hub-17", NULL, LEAF, KT_REASON_CERT_SUPERSEDED};
	static const struct client pending = {"hub-17", NULL, NEXT, KT_REASON_CERT_PENDING};
	static const struct client as_another = {"reader", "bob", LEAF, KT_REASON_CERT_SUPERSEDED};
	static const struct client revoked[] = {
		{"hub-17", NULL, NEXT, KT_REASON_CERT_REVOKED},
		{"reader", "bob", NEXT, KT_REASON_CERT_REVOKED},
		{"hub-17", "bob", NULL, KT_REASON_CLIENTID},
		{"HUB-17:log", "bob", NULL, KT_REASON_CLIENTID},
		{"reader", "hub-17", NULL, KT_REASON_USERNAME},
		{"hub-17", NULL, FOREIGN, KT_REASON_CERT_FOREIGN},
	};

	fleet_open(f->registry, "hub-17", 5);
	fleet_issue(f->registry, "hub-17", NEXT);
	fake_durable(f);
	is_refused(f, &pending);
	fleet_commit(f->registry, "hub-17");
	fake_durable(f);
	is_refused(f, &superseded);
	is_refused(f, &as_another);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	fake_durable(f);
	for (size_t i = 0; i < sizeof(revoked) / sizeof(revoked[0]); i++)
		is_refused(f, &revoked[i]);
	fleet_simple(f->registry, KT_RECORD_DELETE, "hub-17", 0);
	fake_durable(f);
	for (size_t i = 0; i < sizeof(revoked) / sizeof(revoked[0]); i++)
		is_refused(f, &revoked[i]);
}

static void a_verdict_that_is_not_durable_is_still_none(void **state)
{
	struct fake *f = *state;

	f->sync_at_once = false;
	fleet_open(f->registry, "hub-17", 5);
	fleet_issue(f->registry, "hub-17", NEXT);
	fleet_commit(f->registry, "hub-17");
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, LEAF), KT_ANSWER_NO_ANSWER);
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, NEXT), KT_ANSWER_NO_ANSWER);
}

static void connect_answer(struct fake *f, const struct client *c, struct kt_connect_answer *out)
{
	const struct kt_connect connect = {.client = ONE,
					   .client_id = c->id,
					   .username = c->user,
					   .cert = fake_cert(c->cert),
					   .clean_start = true};

	kt_core_connect(f->core, f->now, &connect, out);
}

static void the_common_name_can_stand_for_the_user_name(void **state)
{
	struct fake *f = *state;
	static const struct client clients[] = {
		{"pump", NULL, FOREIGN, KT_REASON_CERT_FOREIGN},
		{"pump", "bob", FOREIGN, KT_REASON_CERT_FOREIGN},
		{"hub-17", NULL, LEAF, KT_REASON_NONE},
	};
	static const char *const names[] = {"pump", "pump", "hub-17"};
	static const struct client nameless = {"pump", NULL, "urn:x" NO_END, KT_REASON_NONE};
	static const struct client bad = {"pump", NULL, "urn:x" NO_END "cn=op:alice",
					  KT_REASON_NONE};
	static const struct client gone = {"pump", NULL, "urn:x" NO_END "cn=hub-18",
					   KT_REASON_USERNAME};
	struct kt_connect_answer answer;

	f->config.observe_common_name = true;
	for (size_t i = 0; i < 3; i++) {
		connect_answer(f, &clients[i], &answer);
		assert_int_equal(answer.answer, KT_ANSWER_ACCEPT);
		assert_string_equal(answer.username, names[i]);
	}
	connect_answer(f, &nameless, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DEFER);
	connect_answer(f, &bad, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DEFER);
	assert_string_equal(answer.username, "");
	connect_answer(f, &gone, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_ACCEPT);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-18", 0);
	fake_durable(f);
	connect_answer(f, &gone, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DENY);
}

/* The config gives a role to the name of a user whose password somebody behind us has checked. */
static void nobody_commands_by_a_name_that_nobody_checked(void **state)
{
	struct fake *f = *state;
	static const struct client bob = {"pump", "bob", FOREIGN, KT_REASON_NONE};
	struct kt_connect_answer answer;

	f->config.operator_count = 1;
	f->config.operators[0].kind = KT_OPERATOR_USER;
	f->config.operators[0].role = KT_ROLE_ADMIN;
	(void)snprintf(f->config.operators[0].name, sizeof(f->config.operators[0].name), "bob");
	f->config.observe_common_name = true;
	f->config.foreign_cert = KT_FALLBACK_DEFER;
	connect_answer(f, &bob, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_ACCEPT);
	assert_int_equal(fake_session(f, ONE)->role, KT_ROLE_NONE);
	f->config.observe_common_name = false;
	connect_answer(f, &bob, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DEFER);
	assert_int_equal(fake_session(f, ONE)->role, KT_ROLE_ADMIN);
	/* refused by on, let in by observe: without it */
	f->config.foreign_cert = KT_FALLBACK_DENY;
	connect_answer(f, &bob, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_DEFER);
	assert_int_equal(fake_session(f, ONE)->role, KT_ROLE_NONE);
	assert_int_equal(fake_connect(f, TWO, "hub-17", "bob", LEAF), KT_ANSWER_DEFER);
	assert_int_equal(fake_session(f, TWO)->role, KT_ROLE_NONE);
}

static void at_a_sighup_those_who_let_them_in_are_asked_again(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, ONE, "hub-17", "bob", LEAF), KT_ANSWER_DEFER);
	f->config.observe_common_name = true;
	assert_int_equal(fake_connect(f, TWO, "pump", NULL, FOREIGN), KT_ANSWER_ACCEPT);
	kt_core_reload(f->core, f->now);
	assert_int_equal(fake_connect(f, ONE, "hub-17", "bob", LEAF), KT_ANSWER_DEFER);
	assert_int_equal(fake_connect(f, TWO, "pump", "pump", FOREIGN), KT_ANSWER_ACCEPT);
}

/* --- topics --- */

static enum kt_right ask(struct fake *f, uintptr_t client, const char *id, const char *user,
			 enum kt_acl_action action, const char *topic)
{
	const struct kt_acl_event event = {.client = client,
					   .client_id = id,
					   .username = user,
					   .action = action,
					   .topic = topic};

	return kt_core_acl(f->core, f->now, &event);
}

static enum kt_right may_write(struct fake *f, uintptr_t client, const char *topic)
{
	return ask(f, client, fake_session(f, client)->client_id, NULL, KT_ACL_DO_WRITE, topic);
}

static void site_topics(struct fake *f)
{
	struct kt_acl_rule *rule = &f->core->acl.rules[0];

	f->core->acl.rule_count = 1;
	rule->access = KT_ACL_READWRITE;
	(void)snprintf(rule->pattern, sizeof(rule->pattern), "devices/%%d/#");
}

static void a_device_s_site_topics_are_left_to_others_and_counted(void **state)
{
	struct fake *f = *state;

	site_topics(f);
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, LEAF), KT_ANSWER_DEFER);
	assert_int_equal(may_write(f, ONE, "devices/hub-17/x"), KT_RIGHT_ALLOW);
	assert_true(would(f, KT_REASON_ACL_TOPIC) == 0);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DEFER);
	assert_true(would(f, KT_REASON_ACL_TOPIC) == 1);
	assert_int_equal(f->logged[KT_EVENT_ACCESS_WOULD_DENY], 1);
	assert_int_equal(kt_core_count(f->core, KT_REASON_ACL_TOPIC), 0);
	f->core->acl.other = KT_FALLBACK_ALLOW;
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_ALLOW);
	assert_int_equal(may_write(f, ONE, "$CONTROL/dynamic-security/v1"), KT_RIGHT_DEFER);
	assert_int_equal(ask(f, ONE, "hub-17", NULL, KT_ACL_DO_SUBSCRIBE,
			     "$share/g/$CONTROL/dynamic-security/#"),
			 KT_RIGHT_DEFER);
	f->config.enforce = KT_ENFORCE_ON;
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
}

static void keyturns_topics_are_nobody_elses(void **state)
{
	static const char *const topics[] = {KT_TOPIC_DEVICE_IN, KT_TOPIC_CONTROL,
					     "keyturn/v1/device/hub-17/cmd", "keyturn/x",
					     "$CONTROL/keyturn/v1/response"};
	static const char *const filters[] = {
		"keyturn/v1/device/hub-17/cmd", "#",	   "+/v1/#", "$share/g/keyturn/#",
		"$SYS/broker/keyturn/#",	"$share/g"};
	struct fake *f = *state;

	f->core->acl.other = KT_FALLBACK_ALLOW;
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, LEAF), KT_ANSWER_DEFER);
	assert_int_equal(fake_connect(f, TWO, "hub-18", "hub-17", NULL), KT_ANSWER_DEFER);
	assert_int_equal(fake_connect(f, THREE, "pump", NULL, FOREIGN), KT_ANSWER_DEFER);
	for (uintptr_t client = ONE; client <= THREE; client += ONE) {
		for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
			assert_int_equal(may_write(f, client, topics[i]), KT_RIGHT_DENY);
		for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
			assert_int_equal(ask(f, client, "x", NULL, KT_ACL_DO_SUBSCRIBE, filters[i]),
					 KT_RIGHT_DENY);
	}
	assert_int_equal(fake_connect(f, ONE, "hub-17:agent", NULL, LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(may_write(f, ONE, KT_TOPIC_DEVICE_IN), KT_RIGHT_ALLOW);
}

static void what_holds_a_device_back_by_order_does_so_while_observing(void **state)
{
	struct fake *f = *state;
	const struct kt_device *hub = kt_registry_find_device(f->registry, "hub-17");

	f->core->acl.other = KT_FALLBACK_ALLOW;
	f->config.max_key_age_ms = 1;
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, LEAF), KT_ANSWER_DEFER);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_ALLOW); /* its age is observed */
	assert_true(would(f, KT_REASON_ACL_TOPIC) == 1);
	assert_int_equal(kt_device_quarantine(f->core, hub, "op:test", "").reason, KT_REASON_NONE);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(kt_device_release(f->core, hub, "op:test").reason, KT_REASON_NONE);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
	fake_durable(f);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_ALLOW);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
}

static void a_superseded_credential_loses_its_topics_when_it_has_drained(void **state)
{
	struct fake *f = *state;

	f->core->acl.other = KT_FALLBACK_ALLOW;
	assert_int_equal(fake_connect(f, ONE, "hub-17", NULL, LEAF), KT_ANSWER_DEFER);
	fleet_open(f->registry, "hub-17", 5);
	fleet_issue(f->registry, "hub-17", NEXT);
	fleet_commit(f->registry, "hub-17");
	fake_durable(f);
	assert_int_equal(may_write(f, ONE, "plant/x"), KT_RIGHT_DENY);
	fake_ticks(f, 20);
	assert_true(fake_was_kicked(f, "hub-17"));
}

static void the_offline_are_judged_as_others_by_their_names(void **state)
{
	struct fake *f = *state;
	const struct kt_device *hub = kt_registry_find_device(f->registry, "hub-17");

#define MAY(id, user, topic) ask(f, 99, id, user, KT_ACL_DO_READ, topic)
	assert_int_equal(MAY("hub-17", NULL, "plant/x"), KT_RIGHT_DEFER);
	assert_int_equal(MAY("hub-17", "bob", "plant/x"), KT_RIGHT_DEFER);
	assert_int_equal(MAY("hub-17", "hub-17", "plant/x"), KT_RIGHT_DEFER);
	assert_int_equal(MAY("reader", "hub-17", "plant/x"), KT_RIGHT_DEFER);
	assert_true(would(f, KT_REASON_ACL_POINTER) == 3);
	assert_int_equal(MAY("hub-17", "bob", "keyturn/v1/device/hub-17/cmd"), KT_RIGHT_DENY);
	assert_int_equal(MAY("hub-17:agent", "bob", "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(MAY("reader", "op:alice", "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(kt_device_quarantine(f->core, hub, "op:test", "").reason, KT_REASON_NONE);
	assert_int_equal(MAY("hub-17", "bob", "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(MAY("hub-17", "hub-17", "plant/x"), KT_RIGHT_DENY);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-18", 0);
	assert_int_equal(MAY("hub-18", "bob", "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(MAY("hub-18", "hub-18", "plant/x"), KT_RIGHT_DENY);
	assert_int_equal(MAY("reader", "hub-18", "plant/x"), KT_RIGHT_DENY);
#undef MAY
}

static bool shows_a_certificate(void *ctx)
{
	(void)ctx;
	return true;
}

/* Whoever never passed our door and shows one could be anybody, the revoked included. */
static void a_certificate_that_was_never_judged_has_no_topics(void **state)
{
	struct fake *f = *state;
	const struct kt_acl_event event = {.client = 99,
					   .client_id = "pump",
					   .action = KT_ACL_DO_WRITE,
					   .topic = "plant/x",
					   .cert_now = shows_a_certificate};

	assert_int_equal(kt_core_acl(f->core, f->now, &event), KT_RIGHT_DENY);
}

/* --- in time --- */

static void an_end_is_told_once_and_the_session_stays(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, ONE, "pump", NULL, ENDED), KT_ANSWER_DEFER);
	assert_true(would(f, KT_REASON_CERT_DATES) == 1);
	fake_ticks(f, 30);
	assert_true(would(f, KT_REASON_CERT_DATES) == 2);
	assert_int_equal(f->kicked_count, 0);
	f->config.enforce = KT_ENFORCE_ON;
	fake_ticks(f, 30);
	assert_true(fake_was_kicked(f, "pump"));
}

static void who_has_a_device_s_names_stays_until_it_is_put_out(void **state)
{
	static const struct kt_revoke_order order = {.emergency = true, .note = ""};
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, ONE, "hub-20", "bob", NULL), KT_ANSWER_DEFER);
	assert_int_equal(fake_connect(f, TWO, "reader", "hub-20", NULL), KT_ANSWER_DEFER);
	assert_int_equal(kt_device_create(f->core, "hub-20", "", NULL, "op:test").reason,
			 KT_REASON_NONE);
	fake_ticks(f, 3);
	assert_int_equal(f->kicked_count, 0);
	assert_int_equal(kt_device_revoke(f->core, kt_registry_find_device(f->registry, "hub-20"),
					  "op:test", &order)
				 .reason,
			 KT_REASON_NONE);
	fake_ticks(f, 2);
	assert_true(fake_was_kicked(f, "hub-20"));
	assert_true(fake_was_kicked(f, "reader"));
}

static void who_came_past_the_door_is_told_of_and_stays(void **state)
{
	struct fake *f = *state;

	kt_core_connected(f->core, f->now, ONE, "pump", "192.0.2.1");
	assert_int_equal(f->logged[KT_EVENT_CLIENT_WOULD_REFUSE], 1);
	assert_int_equal(f->logged[KT_EVENT_CLIENT_REFUSED], 0);
	fake_ticks(f, 2);
	assert_int_equal(f->kicked_count, 0);
}

static void the_gauge_counts_what_would_be_refused(void **state)
{
	struct fake *f = *state;
	bool is_there = false;

	(void)fake_connect(f, ONE, "pump", NULL, FOREIGN);
	fake_durable(f);
	assert_non_null(fake_event(f, "client.would_refuse"));
	assert_int_equal(f->logged[KT_EVENT_CLIENT_WOULD_REFUSE], 1);
	fake_ticks(f, 120);
	for (size_t i = 0; i < f->published_count; i++) {
		if (strcmp(f->published[i].topic, "$SYS/broker/keyturn/would_refuse") == 0 &&
		    strcmp(f->published[i].text, "1") == 0)
			is_there = true;
	}
	assert_true(is_there);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_the_old_fleet_does_is_left_to_others_and_counted),
		T(what_is_keyturns_own_is_judged_as_ever),
		T(what_was_put_out_comes_in_by_no_name),
		T(a_verdict_that_is_not_durable_is_still_none),
		T(the_common_name_can_stand_for_the_user_name),
		T(nobody_commands_by_a_name_that_nobody_checked),
		T(at_a_sighup_those_who_let_them_in_are_asked_again),
		T(a_device_s_site_topics_are_left_to_others_and_counted),
		T(keyturns_topics_are_nobody_elses),
		T(what_holds_a_device_back_by_order_does_so_while_observing),
		T(a_superseded_credential_loses_its_topics_when_it_has_drained),
		T(the_offline_are_judged_as_others_by_their_names),
		T(a_certificate_that_was_never_judged_has_no_topics),
		T(an_end_is_told_once_and_the_session_stays),
		T(who_has_a_device_s_names_stays_until_it_is_put_out),
		T(who_came_past_the_door_is_told_of_and_stays),
		T(the_gauge_counts_what_would_be_refused),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
