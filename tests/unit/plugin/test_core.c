#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "outbox.h"

#define END  "|1600000000|253402300799"
#define LEAF "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define NEXT "spiffe://" FLEET_TD "/device/hub-17" END "|g2"
#define NEAR "spiffe://" FLEET_TD "/device/hub-18" END "|g1"
#define LAST "spiffe://" FLEET_TD "/device/hub-17" END "|g3"

enum { AGENT = 16, TRIAL = 32, APP = 48, LOG = 64, SITE = 80 };

/* --- look-ups of a certificate, counted: linked with --wrap --- */

static unsigned looked_up;

const struct kt_credential *__real_kt_registry_find_fingerprint(const struct kt_registry *registry,
								const struct kt_fingerprint *fp);
const struct kt_credential *__wrap_kt_registry_find_fingerprint(const struct kt_registry *registry,
								const struct kt_fingerprint *fp);

const struct kt_credential *__wrap_kt_registry_find_fingerprint(const struct kt_registry *registry,
								const struct kt_fingerprint *fp)
{
	looked_up++;
	return __real_kt_registry_find_fingerprint(registry, fp);
}

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

static const struct kt_device *hub(struct fake *f)
{
	return kt_registry_find_device(f->registry, "hub-17");
}

static void rotate(struct fake *f, uint64_t op, const char *cert)
{
	fleet_open(f->registry, "hub-17", op);
	fleet_issue(f->registry, "hub-17", cert);
	fleet_commit(f->registry, "hub-17");
	fake_durable(f);
}

static void rotate_to_next(struct fake *f, uint64_t op)
{
	rotate(f, op, NEXT);
}

static void assert_rejected(const struct fake *f, const char *client_id, const char *reason)
{
	const char *text = fake_sent(f, client_id, "reject");
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "reject reason=%s ", reason);
	assert_non_null(text);
	assert_memory_equal(text, expected, strlen(expected));
}

/* --- the door --- */

static void a_device_is_let_in_and_gets_its_id_as_user_name(void **state)
{
	struct fake *f = *state;
	const struct kt_connect connect = {.client = APP,
					   .client_id = "hub-17",
					   .username = "anything",
					   .cert = fake_cert(LEAF)};
	struct kt_connect_answer answer;

	kt_core_connect(f->core, f->now, &connect, &answer);
	assert_int_equal(answer.answer, KT_ANSWER_ACCEPT);
	assert_string_equal(answer.username, "hub-17");
	assert_ptr_equal(fake_session(f, APP)->device, hub(f));
	assert_null(fake_session(f, APP)->cert_der); /* verifies no messages: no copy */
}

static void a_refusal_is_counted_and_logged(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, SITE, "hub-17", "user", NULL), KT_ANSWER_BAD_ID);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CLIENTID), 1);
	assert_int_equal(f->logged[KT_EVENT_CLIENT_REFUSED], 1);
	assert_non_null(strstr(f->last_log, "reason=clientid client=hub-17 user=user"));
	assert_null(fake_session(f, SITE));
	kt_core_extended_auth(f->core, f->now, "x", NULL);
	assert_int_equal(kt_core_count(f->core, KT_REASON_AUTH_METHOD), 1);
}

/* What a broker of 2.1 tells after the CONNACK. */
static void who_came_past_the_door_is_kicked(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	kt_core_connected(f->core, f->now, APP, "hub-17", "127.0.0.1");
	assert_int_equal(fake_connect(f, SITE, "visitor", "user", NULL), KT_ANSWER_DEFER);
	kt_core_connected(f->core, f->now, SITE, "visitor", "127.0.0.1");
	assert_int_equal(kt_core_count(f->core, KT_REASON_NOT_ASKED), 0);
	assert_false(fake_was_kicked(f, "hub-17"));
	assert_false(fake_was_kicked(f, "visitor"));

	kt_core_connected(f->core, f->now, 99, NULL, NULL);
	assert_int_equal(kt_core_count(f->core, KT_REASON_NOT_ASKED), 0);
	kt_core_connected(f->core, f->now, 99, "hub-18", "192.0.2.1");
	assert_int_equal(kt_core_count(f->core, KT_REASON_NOT_ASKED), 1);
	assert_non_null(strstr(f->last_log, "reason=not.asked client=hub-18 address=192.0.2.1"));
	assert_true(fake_was_kicked(f, "hub-18"));

	/* the pointer of a session that is over, used again before the tick */
	kt_core_disconnect(f->core, f->now, SITE);
	kt_core_connected(f->core, f->now, SITE, "visitor", NULL);
	assert_int_equal(kt_core_count(f->core, KT_REASON_NOT_ASKED), 2);
	assert_true(fake_was_kicked(f, "visitor"));
}

static void a_superseded_credential_is_suspect_before_promoted_and_an_alarm_after(void **state)
{
	struct fake *f = *state;

	rotate_to_next(f, 5);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_non_null(fake_event(f, "clone.suspected"));
	assert_null(fake_event(f, "clone.alarmed"));
	fleet_simple(f->registry, KT_RECORD_PROMOTED, "hub-17", 5);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_non_null(fake_event(f, "clone.alarmed"));
	assert_false(hub(f)->frozen); /* an alarm changes nothing by itself */
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
}

static void say_promoted(struct fake *f, uint64_t op, const char *cert)
{
	struct kt_message *m = fake_message(f, AGENT, KT_MESSAGE_PROMOTED);

	m->u.promoted.op = op;
	m->u.promoted.fp = fake_fingerprint(cert);
	fake_say(f, AGENT, m, NULL);
	assert_int_equal(hub(f)->promoted_op, op);
}

/* What the hub's own program sent just before it reloaded may come in just after. */
static void come_under_way_at_promoted(struct fake *f)
{
	say_promoted(f, 5, NEXT);
	fake_later(f, 29999);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	fake_later(f, 1);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
}

static void what_was_under_way_at_promoted_is_a_suspicion(void **state)
{
	struct fake *f = *state;

	rotate_to_next(f, 5);
	(void)fake_hello(f, AGENT, "hub-17:agent", NEXT);
	come_under_way_at_promoted(f);
}

static void also_where_the_ledger_does_not_take_promoted(void **state)
{
	struct fake *f = *state;

	rotate_to_next(f, 5);
	(void)fake_hello(f, AGENT, "hub-17:agent", NEXT);
	f->journal_fails = true;
	come_under_way_at_promoted(f);
}

static void an_older_key_has_no_grace_by_a_newer_promoted(void **state)
{
	struct fake *f = *state;

	rotate_to_next(f, 5);
	(void)fake_hello(f, AGENT, "hub-17:agent", NEXT);
	say_promoted(f, 5, NEXT);
	fake_later(f, 30000);
	rotate(f, 6, LAST);
	(void)fake_hello(f, AGENT, "hub-17:agent", LAST);
	say_promoted(f, 6, LAST);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, NEXT), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
}

static void a_key_that_was_skipped_has_the_grace_of_the_promoted_that_counts(void **state)
{
	struct fake *f = *state;

	rotate_to_next(f, 5); /* and no promoted of it */
	rotate(f, 6, LAST);
	(void)fake_hello(f, AGENT, "hub-17:agent", LAST);
	say_promoted(f, 6, LAST);
	fake_later(f, 29999);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 0);
	fake_later(f, 1);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_DENY);
	assert_int_equal(f->logged[KT_EVENT_CLONE_ALARMED], 1);
}

static void a_kick_that_the_broker_could_not_take_is_made_again(void **state)
{
	struct fake *f = *state;
	const struct kt_revoke_order at_once = {.emergency = true};

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->kick_fails = true;
	(void)kt_device_revoke(f->core, hub(f), "op:test", &at_once);
	fake_durable(f);
	assert_false(fake_session(f, AGENT)->gone);
	fake_later(f, 1000);
	fake_tick(f);
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	f->kick_fails = false;
	fake_later(f, 1000);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_int_equal(f->logged[KT_EVENT_SESSION_ENDED], 1);
}

static void a_revoked_credential_is_told_and_banned(void **state)
{
	struct fake *f = *state;

	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	fake_durable(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_BANNED);
	assert_int_equal(f->logged[KT_EVENT_CLONE_SUSPECTED], 1);
}

static void reload_disturbs_nobody_and_promotes_nothing(void **state)
{
	struct fake *f = *state;

	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_connect(f, SITE, "site", "user", NULL);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-17", 0);
	fake_durable(f);
	kt_core_reload(f->core, f->now);
	assert_int_equal(fake_connect(f, APP, "hub-17", "hub-17", LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, SITE, "site", "user", NULL), KT_ANSWER_DEFER);
	/* offline: no certificate, and a pointer that we do not know */
	assert_int_equal(fake_connect(f, 4096, "hub-17:log", "hub-17", NULL), KT_ANSWER_ACCEPT);
	assert_null(fake_session(f, 4096));
	assert_int_equal(f->kicked_count, 0);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17"));
	assert_int_equal(fake_connect(f, 4096, "hub-17:log", "hub-17", NULL), KT_ANSWER_BAD_ID);
}

static void a_verdict_that_is_not_durable_is_not_given(void **state)
{
	struct fake *f = *state;

	f->sync_at_once = false;
	fleet_open(f->registry, "hub-17", 5);
	fleet_issue(f->registry, "hub-17", NEXT);
	assert_int_equal(fake_connect(f, TRIAL, "hub-17:trial", NULL, NEXT), KT_ANSWER_NO_ANSWER);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_UNDURABLE), 1);
	fake_durable(f);
	assert_int_equal(fake_connect(f, TRIAL, "hub-17:trial", NULL, NEXT), KT_ANSWER_ACCEPT);
}

/* --- rights --- */

static bool say_true(void *ctx)
{
	(*(unsigned *)ctx)++;
	return true;
}

static enum kt_right may_write(struct fake *f, uintptr_t client, const char *topic, unsigned *asked)
{
	const struct kt_acl_event event = {.client = client,
					   .client_id = "hub-17",
					   .username = "hub-17",
					   .action = KT_ACL_DO_WRITE,
					   .topic = topic,
					   .cert_now = say_true,
					   .cert_now_ctx = asked};

	return kt_core_acl(f->core, f->now, &event);
}

static void a_pointer_is_known_until_the_tick_after_its_end(void **state)
{
	struct fake *f = *state;
	unsigned asked = 0;

	fake_site_topics(f);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x", &asked), KT_RIGHT_ALLOW);
	kt_core_disconnect(f->core, f->now, APP);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x", &asked), KT_RIGHT_ALLOW);
	assert_int_equal(asked, 0);
	fake_tick(f);
	assert_int_equal(may_write(f, APP, "devices/hub-17/x", &asked), KT_RIGHT_DENY);
	assert_int_equal(asked, 1);
	assert_int_equal(kt_core_count(f->core, KT_REASON_ACL_POINTER), 1);
}

/* --- the site's topics, read again --- */

static enum kt_right may(struct fake *f, enum kt_acl_action action, const char *topic)
{
	const struct kt_acl_event event = {.client = APP,
					   .client_id = "hub-17",
					   .username = "hub-17",
					   .action = action,
					   .topic = topic};

	return kt_core_acl(f->core, f->now, &event);
}

static void new_site_topics_hold_from_the_next_question_on(void **state)
{
	struct fake *f = *state;
	struct kt_site_acl acl = {.rules = {{KT_ACL_READ, "news/#"}}, .rule_count = 1};

	fake_site_topics(f);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "devices/hub-17/x"), KT_RIGHT_ALLOW);
	assert_int_equal(may(f, KT_ACL_DO_READ, "devices/hub-17/x"), KT_RIGHT_ALLOW);
	assert_int_equal(may(f, KT_ACL_DO_SUBSCRIBE, "news/#"), KT_RIGHT_DENY);

	kt_core_set_acl(f->core, f->now, &acl);
	memset(&acl, 0, sizeof(acl)); /* it was copied */
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "devices/hub-17/x"), KT_RIGHT_DENY);
	assert_int_equal(may(f, KT_ACL_DO_READ, "devices/hub-17/x"), KT_RIGHT_DENY);
	assert_int_equal(may(f, KT_ACL_DO_SUBSCRIBE, "devices/hub-17/x"), KT_RIGHT_DENY);
	assert_int_equal(may(f, KT_ACL_DO_SUBSCRIBE, "news/#"), KT_RIGHT_ALLOW);
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "news/x"), KT_RIGHT_DENY);
	assert_int_equal(f->kicked_count, 0);
}

static void the_defaults_are_read_again_with_the_patterns(void **state)
{
	struct fake *f = *state;
	const struct kt_site_acl acl = {.device = KT_FALLBACK_DEFER, .other = KT_FALLBACK_ALLOW};
	const struct kt_acl_event other = {
		.client = SITE, .client_id = "x", .action = KT_ACL_DO_WRITE, .topic = "t"};

	fake_site_topics(f);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "t"), KT_RIGHT_DENY);
	assert_int_equal(kt_core_acl(f->core, f->now, &other), KT_RIGHT_DEFER);
	kt_core_set_acl(f->core, f->now, &acl);
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "t"), KT_RIGHT_DEFER);
	assert_int_equal(may(f, KT_ACL_DO_WRITE, "keyturn/v1/events/x"), KT_RIGHT_DENY);
	assert_int_equal(kt_core_acl(f->core, f->now, &other), KT_RIGHT_ALLOW);
}

static void the_log_says_what_holds_now_and_whether_it_is_new(void **state)
{
	struct fake *f = *state;
	struct kt_site_acl acl = f->core->acl;
	static const struct {
		const char *pattern;
		enum kt_acl_access access;
		enum kt_fallback device;
		enum kt_fallback other;
		const char *line;
	} steps[] = {
		{"a", KT_ACL_READ, KT_FALLBACK_DENY, KT_FALLBACK_DEFER,
		 "changed=yes acl_lines=1 device_acl=deny other_acl=defer"},
		{"a", KT_ACL_READ, KT_FALLBACK_DENY, KT_FALLBACK_DEFER,
		 "changed=no acl_lines=1 device_acl=deny other_acl=defer"},
		{"b", KT_ACL_READ, KT_FALLBACK_DENY, KT_FALLBACK_DEFER, "changed=yes "},
		{"b", KT_ACL_DENY, KT_FALLBACK_DENY, KT_FALLBACK_DEFER, "changed=yes "},
		{"b", KT_ACL_DENY, KT_FALLBACK_DEFER, KT_FALLBACK_DEFER,
		 "changed=yes acl_lines=1 device_acl=defer other_acl=defer"},
		{"b", KT_ACL_DENY, KT_FALLBACK_DEFER, KT_FALLBACK_ALLOW,
		 "changed=yes acl_lines=1 device_acl=defer other_acl=allow"},
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		acl.rule_count = 1;
		acl.rules[0].access = steps[i].access;
		(void)snprintf(acl.rules[0].pattern, sizeof(acl.rules[0].pattern), "%s",
			       steps[i].pattern);
		acl.device = steps[i].device;
		acl.other = steps[i].other;
		kt_core_set_acl(f->core, f->now, &acl);
		assert_non_null(strstr(f->last_log, steps[i].line));
	}
	assert_int_equal(f->logged[KT_EVENT_CONFIG_RELOADED], 6);
}

static void commands_are_authorised_by_the_session_alone(void **state)
{
	struct fake *f = *state;
	const struct kt_bytes batch = {(const uint8_t *)"{}", 2};

	f->config.operators[0].kind = KT_OPERATOR_USER;
	f->config.operators[0].role = KT_ROLE_VIEWER;
	(void)snprintf(f->config.operators[0].name, sizeof(f->config.operators[0].name), "bob");
	f->config.operator_count = 1;
	(void)fake_connect(f, SITE, "cli", "bob", NULL);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_connect(f, LOG, "other", "eve", NULL);
	kt_core_control(f->core, f->now, APP, batch);
	kt_core_control(f->core, f->now, LOG, batch);
	kt_core_control(f->core, f->now, 4711, batch);
	assert_int_equal(kt_core_count(f->core, KT_REASON_DENIED), 3);
	assert_int_equal(f->published_count, 0);
	kt_core_control(f->core, f->now, SITE, batch);
	assert_int_equal(f->published_count, 1);
	assert_string_equal(f->published[0].to, "cli");
	assert_string_equal(f->published[0].topic, KT_TOPIC_CONTROL_RESPONSE);
	kt_core_disconnect(f->core, f->now, SITE);
	kt_core_control(f->core, f->now, SITE, batch);
	assert_int_equal(kt_core_count(f->core, KT_REASON_DENIED), 4);
}

/* --- device messages --- */

static void messages_are_for_the_agents_sessions_alone(void **state)
{
	struct fake *f = *state;

	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_connect(f, SITE, "site", "user", NULL);
	fake_raw(f, APP, "{}");
	fake_raw(f, SITE, "{}");
	fake_raw(f, 4711, "{}");
	assert_int_equal(kt_core_count(f->core, KT_REASON_DENIED), 3);
	assert_int_equal(f->waiting_count, 0);
}

static void a_message_is_verified_with_its_sessions_certificate(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	fake_raw(f, AGENT, "hello");
	job = fake_take_job(f, KT_JOB_OPEN);
	assert_int_equal(job->text_len, 5);
	assert_memory_equal(job->text, "hello", 5);
	assert_int_equal(job->cert_der_len, strlen(LEAF));
	assert_memory_equal(job->cert_der, LEAF, strlen(LEAF));
	assert_false(job->is_claim);
	kt_job_free(job);
}

static void size_comes_before_the_signature(void **state)
{
	struct fake *f = *state;
	char *big = calloc(1, KT_MESSAGE_MAX + 2);

	memset(big, 'x', KT_MESSAGE_MAX + 1);
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_raw(f, AGENT, big);
	assert_rejected(f, "hub-17:agent", "msg.size");
	fake_raw(f, AGENT, "");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_SIZE), 2);
	big[KT_MESSAGE_MAX] = '\0';
	fake_raw(f, AGENT, big);
	assert_int_equal(f->waiting_count, 1);
	free(big);
}

static void one_is_in_work_four_wait_and_the_next_is_told_busy(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	for (int i = 0; i < 5; i++)
		fake_raw(f, AGENT, (char[]){(char)('a' + i), '\0'});
	assert_int_equal(f->waiting_count, 1);
	assert_null(fake_sent(f, "hub-17:agent", "reject"));
	fake_raw(f, AGENT, "f");
	assert_rejected(f, "hub-17:agent", "busy");
	for (int i = 0; i < 5; i++) {
		job = fake_take_job(f, KT_JOB_OPEN);
		assert_non_null(job);
		assert_int_equal(job->text[0], 'a' + i);
		assert_null(fake_take_job(f, KT_JOB_OPEN));
		job->err = KT_ERR_VERIFY;
		job->reason = KT_REASON_JWS_SIG;
		kt_core_job_done(f->core, f->now, job);
	}
	assert_int_equal(kt_core_count(f->core, KT_REASON_JWS_SIG), 5);
	assert_null(fake_take_job(f, KT_JOB_OPEN));
}

static void a_flood_costs_no_signature(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->jobs_are_full = false;
	for (int i = 0; i < 30; i++)
		fake_raw(f, AGENT, "x");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 21);
	fake_later(f, 1000);
	for (int i = 0; i < 10; i++)
		fake_raw(f, AGENT, "x");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 26);
}

static void a_flood_of_what_is_too_large_costs_no_signature_of_ours(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	for (int i = 0; i < 30; i++)
		fake_raw(f, AGENT, "");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_SIZE), 9);
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 21);
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 9 + 1); /* and when to come back */
}

static void who_sends_too_much_is_told_once_when_to_come_back(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	for (int i = 0; i < 30; i++)
		fake_raw(f, AGENT, "");
	assert_string_equal(fake_sent(f, "hub-17:agent", "reject"),
			    "reject reason=msg.rate retry=2 op=0");
	fake_forget(f);
	fake_later(f, 1999);
	for (int i = 0; i < 30; i++)
		fake_raw(f, AGENT, "");
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 9); /* msg.size */
	assert_string_equal(fake_sent(f, "hub-17:agent", "reject"),
			    "reject reason=msg.size retry=0 op=0");
	fake_later(f, 1);
	for (int i = 0; i < 2; i++)
		fake_raw(f, AGENT, "");
	assert_string_equal(fake_sent(f, "hub-17:agent", "reject"),
			    "reject reason=msg.rate retry=2 op=0");
	fake_forget(f);
	fake_later(f, 2000); /* it obeys */
	fake_raw(f, AGENT, "x");
	assert_int_equal(f->waiting_count, 1);
}

static void to_connect_again_is_no_way_round_the_rate(void **state)
{
	struct fake *f = *state;

	for (uintptr_t i = 0; i < 20; i++) {
		(void)fake_connect(f, AGENT + i * 256, "hub-17:agent", NULL, LEAF);
		for (int k = 0; k < 5; k++)
			fake_raw(f, AGENT + i * 256, "");
	}
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_SIZE), 40);
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 60);
	(void)fake_connect(f, TRIAL, "hub-17:trial", NULL, LEAF); /* nor is another session */
	fake_raw(f, TRIAL, "");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 61);
	fake_later(f, 1000);
	for (int k = 0; k < 10; k++)
		fake_raw(f, TRIAL, "");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_SIZE), 45);
}

static void a_flood_of_one_device_costs_no_other_its_turn(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fleet_active(f->registry, "hub-18", "west", NEAR);
	fake_durable(f);
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_hello(f, SITE, "hub-18:agent", NEAR);
	for (int i = 0; i < 3000; i++) {
		fake_forget(f);
		fake_raw(f, AGENT, "x");
	}
	assert_int_equal(f->waiting_count, 1); /* one in work, four wait, whatever it sends */
	fake_raw(f, SITE, "y");
	job = fake_take_job(f, KT_JOB_OPEN);
	kt_job_free(job);
	job = fake_take_job(f, KT_JOB_OPEN);
	assert_non_null(job);
	assert_int_equal(job->text[0], 'y');
	kt_job_free(job);
}

static void lines_about_one_devices_sessions_are_bounded(void **state)
{
	struct fake *f = *state;

	for (uintptr_t i = 0; i < 500; i++)
		(void)fake_connect(f, AGENT + i * 256, "hub-17:agent", NULL, LEAF);
	assert_int_equal(f->logged[KT_EVENT_SESSION_STARTED], 20);
	fake_later(f, 10000);
	fake_tick(f);
	assert_non_null(strstr(fake_event(f, "log.dropped"),
			       "\"of\":\"session.started\",\"count\":\"480\""));
}

/* Its certificate is one of our CA, or not even that: the registry is asked once, and that is all.
 */
static void who_is_unknown_costs_one_look_up_and_no_disk(void **state)
{
	static const char *const unknown[] = {
		"spiffe://" FLEET_TD "/device/hub-17" END "|g9",
		"spiffe://" FLEET_TD "/device/nobody" END "|g1",
		"spiffe://other.test/device/hub-17" END "|g1",
		"not a certificate",
	};
	struct fake *f = *state;

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		looked_up = 0;
		assert_int_equal(fake_connect(f, AGENT, "hub-17:agent", NULL, unknown[i]),
				 KT_ANSWER_DENY);
		assert_int_equal(looked_up, 1);
	}
	assert_int_equal(f->appended_count, 0);
	assert_int_equal(f->waiting_count, 0);
	assert_int_equal(f->published_count, 0);
	assert_null(kt_sessions_find(f->core->sessions, AGENT));
	assert_int_equal(kt_sessions_count(f->core->sessions), 0);
}

static void a_bad_signature_is_told_to_who_said_hello(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	for (int i = 0; i < 2; i++) {
		fake_raw(f, AGENT, "x");
		job = fake_take_job(f, KT_JOB_OPEN);
		job->err = KT_ERR_VERIFY;
		job->reason = KT_REASON_JWS_SIG;
		kt_core_job_done(f->core, f->now, job);
		fake_seal_all(f);
		if (i == 0) {
			assert_null(fake_sent(f, "hub-17:agent", "reject"));
			fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL);
		}
	}
	assert_rejected(f, "hub-17:agent", "jws.sig");
}

static void what_a_superseded_credential_says_is_not_heard(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_raw(f, AGENT, "in work");
	rotate_to_next(f, 5);
	fake_raw(f, AGENT, "{}");
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_SUPERSEDED), 1);
	assert_int_equal(f->waiting_count, 1);
	{ /* nor what was in work */
		struct kt_job *job = fake_take_job(f, KT_JOB_OPEN);

		job->message = fake_message(f, AGENT, KT_MESSAGE_FAILED);
		job->err = KT_ERR_OK;
		kt_core_job_done(f->core, f->now, job);
	}
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_SUPERSEDED), 2);
}

static void a_message_must_be_of_its_session(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	m = fake_message(f, AGENT, KT_MESSAGE_FAILED);
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), "elsewhere");
	fake_say(f, AGENT, m, NULL);
	assert_rejected(f, "hub-17:agent", "id.mismatch");
	fake_forget(f);
	m = fake_message(f, AGENT, KT_MESSAGE_FAILED);
	(void)kt_device_id_set(&m->device, "hub-18", 6);
	fake_say(f, AGENT, m, NULL);
	assert_rejected(f, "hub-17:agent", "id.mismatch");
}

static void a_message_must_be_of_this_connection(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_FAILED), NULL);
	assert_int_equal(kt_core_count(f->core, KT_REASON_SESSION_NONCE), 1); /* no hello yet */
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL);
	assert_non_null(fake_sent(f, "hub-17:agent", "welcome"));
	m = fake_message(f, AGENT, KT_MESSAGE_FAILED);
	m->sn.b[0] ^= 1;
	fake_say(f, AGENT, m, NULL);
	assert_rejected(f, "hub-17:agent", "session.nonce");
	fake_forget(f);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->dn.b[0] ^= 1;
	fake_say(f, AGENT, m, NULL);
	assert_rejected(f, "hub-17:agent", "session.nonce");
	fake_forget(f);
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL); /* repeated as it was */
	assert_non_null(fake_sent(f, "hub-17:agent", "welcome"));
}

static void a_welcome_brings_the_nonce_that_this_connection_must_show(void **state)
{
	static const struct kt_nonce zero;
	struct fake *f = *state;
	struct kt_session *session = fake_hello(f, AGENT, "hub-17:agent", LEAF);

	assert_false(kt_nonce_eq(&session->sn, &zero));
	assert_true(kt_nonce_eq(&f->last_sealed_sn, &session->sn));
}

static void who_may_say_what(void **state)
{
	static const struct {
		uintptr_t client;
		enum kt_message_type type;
		const char *reason;
	} cases[] = {
		{AGENT, KT_MESSAGE_ENROLL, "msg.type"},
		{AGENT, KT_MESSAGE_WELCOME, "msg.type"},
		{AGENT, KT_MESSAGE_ROTATE, "msg.type"},
		{AGENT, KT_MESSAGE_REVOKED, "msg.type"},
		{TRIAL, KT_MESSAGE_ENROLL, "msg.type"},
		{TRIAL, KT_MESSAGE_ANSWER, "msg.type"},
		{AGENT, KT_MESSAGE_CONFIRM, "confirm.session"},
	};
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_forget(f);
		fake_later(f, 1000);
		fake_say(f, cases[i].client, fake_message(f, cases[i].client, cases[i].type), NULL);
		assert_rejected(f, cases[i].client == AGENT ? "hub-17:agent" : "hub-17:trial",
				cases[i].reason);
	}
}

static void an_answer_for_a_session_that_is_gone_reaches_nobody(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	fake_say(f, AGENT, fake_message(f, AGENT, KT_MESSAGE_HELLO), NULL);
	fake_raw(f, AGENT, "x");
	/* taken over: the same client id, another session */
	(void)fake_connect(f, LOG, "hub-17:agent", NULL, LEAF);
	fake_seal_all(f);
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 0);
	job = fake_take_job(f, KT_JOB_OPEN);
	job->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, job);
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 0);
}

/* --- time --- */

static void strangers_cannot_fill_the_log_by_coming_and_going(void **state)
{
	struct fake *f = *state;
	char client_id[KT_CLIENT_ID_MAX];

	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(client_id, sizeof(client_id), "claim:AAAAAAAAAAAAAAAAAAA%03u", i);
		assert_int_equal(fake_connect(f, 4096 + i * 16, client_id, NULL, NULL),
				 KT_ANSWER_ACCEPT);
	}
	fake_later(f, 60000);
	fake_ticks(f, 2);
	assert_int_equal(f->kicked_count, 100);
	assert_int_equal(f->logged[KT_EVENT_SESSION_STARTED], 0);
	assert_int_equal(f->logged[KT_EVENT_SESSION_ENDED], 0);
	assert_int_equal(f->logged[KT_EVENT_CLAIM_STARTED], KT_LOG_BURST);
	assert_int_equal(f->logged[KT_EVENT_CLAIM_ENDED], KT_LOG_BURST);
}

static void who_says_no_hello_is_ended(void **state)
{
	struct fake *f = *state;

	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	fake_later(f, 28000);
	fake_ticks(f, 12);
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	fake_later(f, 1000);
	fake_ticks(f, 12);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_false(fake_was_kicked(f, "hub-17"));
	assert_int_equal(kt_core_count(f->core, KT_REASON_HELLO_TIMEOUT), 1);
}

static void a_session_ends_with_its_certificate(void **state)
{
	static const char cert[] = "spiffe://" FLEET_TD "/device/hub-17|0|1700000020|finite";
	struct fake *f = *state;

	fleet_open(f->registry, "hub-17", 5);
	fleet_issue_until(f->registry, "hub-17", cert, 1700000020);
	fleet_commit(f->registry, "hub-17");
	fake_durable(f);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, cert), KT_ANSWER_ACCEPT);
	fake_later(f, 9000);
	fake_ticks(f, 5);
	assert_false(fake_was_kicked(f, "hub-17"));
	fake_ticks(f, 20);
	assert_true(fake_was_kicked(f, "hub-17"));
}

static void gauges_are_retained_and_told_when_they_change(void **state)
{
	struct fake *f = *state;
	size_t first;

	fake_tick(f);
	first = f->published_count;
	assert_int_equal(first, KT_GAUGE_COUNT);
	assert_string_equal(f->published[0].topic, "$SYS/broker/keyturn/devices");
	assert_string_equal(f->published[0].text, "1");
	assert_true(f->published[0].retain);
	fake_later(f, 10000);
	fake_tick(f);
	assert_int_equal(f->published_count, first);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	fake_ticks(f, 5);
	assert_int_equal(f->published_count, first);
	fake_later(f, 10000);
	fake_tick(f);
	assert_int_equal(f->published_count, first + 1);
	assert_string_equal(f->published[first].topic, "$SYS/broker/keyturn/sessions");
}

/* --- revoke --- */

static struct kt_outcome revoke(struct fake *f, bool emergency)
{
	const struct kt_revoke_order order = {.emergency = emergency, .wipe = !emergency};

	return kt_device_revoke(f->core, hub(f), "op:test", &order);
}

static void an_emergency_revoke_ends_everything_in_the_same_call(void **state)
{
	struct fake *f = *state;
	struct kt_outcome outcome;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_connect(f, LOG, "hub-17:log", NULL, LEAF);
	(void)fake_connect(f, SITE, "site", "user", NULL);
	f->sync_at_once = false;
	outcome = revoke(f, true);
	assert_int_equal(outcome.reason, KT_REASON_NONE);
	assert_int_equal(outcome.seq, kt_registry_seq(f->registry));
	assert_int_equal(f->kicked_count, 3);
	assert_false(fake_was_kicked(f, "site"));
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_NO_ANSWER);
	fake_durable(f);
	fake_seal_all(f);
	assert_null(fake_sent(f, "hub-17:agent", "revoked"));
	assert_non_null(fake_event(f, "device.revoked"));
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_BANNED);
}

static void a_normal_revoke_gives_notice_when_durable_and_kicks_two_ticks_later(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	f->sync_at_once = false;
	assert_int_equal(revoke(f, false).reason, KT_REASON_NONE);
	assert_true(fake_was_kicked(f, "hub-17"));
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	fake_tick(f);
	fake_seal_all(f);
	assert_null(fake_sent(f, "hub-17:agent", "revoked"));
	fake_durable(f);
	fake_seal_all(f);
	assert_string_equal(fake_sent(f, "hub-17:agent", "revoked"),
			    "revoked reason=revoked wipe=1");
	fake_ticks(f, 2); /* the rest of this turn, and one more */
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
}

static void a_notice_that_is_not_out_in_a_second_is_not_waited_for(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	(void)revoke(f, false);
	fake_ticks(f, 9);
	assert_false(fake_was_kicked(f, "hub-17:agent"));
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_null(fake_sent(f, "hub-17:agent", "revoked"));
}

static void a_revoke_without_a_ledger_kicks_and_says_so(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	fake_fail(f);
	f->sync_at_once = false;
	assert_int_equal(revoke(f, false).reason, KT_REASON_NOT_DURABLE);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_int_equal(kt_rotation_order(f->core, hub(f), "op:test", NULL).reason,
			 KT_REASON_STATE);
	assert_int_equal(kt_device_create(f->core, "new", NULL, NULL, "op:test").reason,
			 KT_REASON_STORE_FAILED);
	assert_null(kt_registry_find_device(f->registry, "new"));
}

static void a_ledger_that_fails_meanwhile_ends_the_wait_for_the_notice(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	(void)revoke(f, false);
	fake_fail(f);
	fake_tick(f);
	fake_seal_all(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_null(fake_sent(f, "hub-17:agent", "revoked"));
	assert_int_equal(f->logged[KT_EVENT_LEDGER_FAILED], 1);
}

static void an_answer_that_waits_for_a_lost_ledger_says_so(void **state)
{
	struct fake *f = *state;
	struct kt_outcome outcome;
	struct kt_session *session;

	f->config.operators[0].kind = KT_OPERATOR_USER;
	f->config.operators[0].role = KT_ROLE_ADMIN;
	(void)snprintf(f->config.operators[0].name, sizeof(f->config.operators[0].name), "bob");
	f->config.operator_count = 1;
	(void)fake_connect(f, SITE, "cli", "bob", NULL);
	session = fake_session(f, SITE);
	f->sync_at_once = false;
	outcome = kt_rotation_order(f->core, hub(f), "op:bob", NULL);
	kt_core_reply(f->core, session, strdup("{\"done\":true}"), outcome.seq);
	assert_null(fake_sent(f, "cli", ""));
	fake_fail(f);
	assert_non_null(strstr(fake_sent(f, "cli", ""), "not_durable"));
	assert_null(fake_sent(f, "cli", "{\"done\""));
}

/* --- devices --- */

static void a_new_device_ends_who_squats_on_its_names(void **state)
{
	struct fake *f = *state;

	(void)fake_connect(f, SITE, "HUB-19", "user", NULL);
	(void)fake_connect(f, LOG, "hub-19:log", "user", NULL);
	(void)fake_connect(f, TRIAL, "hub-190", "user", NULL);
	(void)fake_connect(f, APP, "hub-17", NULL, LEAF);
	(void)fake_connect(f, AGENT, "namesake", "Hub-19", NULL);
	assert_int_equal(kt_device_create(f->core, "hub-19", "east", NULL, "op:test").reason,
			 KT_REASON_NONE);
	fake_tick(f);
	assert_int_equal(f->kicked_count, 3);
	assert_true(fake_was_kicked(f, "namesake"));
	assert_true(fake_was_kicked(f, "HUB-19"));
	assert_true(fake_was_kicked(f, "hub-19:log"));
	assert_int_equal(fake_connect(f, SITE, "hub-19", "user", NULL), KT_ANSWER_BAD_ID);
}

static void refuses_to_create_what_cannot_be(void **state)
{
	struct fake *f = *state;
	struct kt_key_id used = fleet_key(LEAF);
	struct kt_key_id denied = fleet_key("denied");

	assert_int_equal(kt_device_create(f->core, "hub-17", NULL, NULL, "op:test").reason,
			 KT_REASON_EXISTS);
	assert_int_equal(kt_device_create(f->core, "Hub-17", NULL, NULL, "op:test").reason,
			 KT_REASON_EXISTS);
	assert_int_equal(kt_device_create(f->core, "a b", NULL, NULL, "op:test").reason,
			 KT_REASON_JSON_FIELD);
	assert_int_equal(kt_device_create(f->core, "op", NULL, NULL, "op:test").reason,
			 KT_REASON_JSON_FIELD);
	assert_int_equal(kt_device_create(f->core, "hub-19", NULL, &used, "op:test").reason,
			 KT_REASON_KEY_KNOWN);
	assert_int_equal(kt_enroll_deny(f->core, &denied, "op:test").reason, KT_REASON_NONE);
	assert_int_equal(kt_device_create(f->core, "hub-19", NULL, &denied, "op:test").reason,
			 KT_REASON_DENIED);
}

static void quarantine_begins_and_ends(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(kt_device_release(f->core, hub(f), "op:test").reason, KT_REASON_STATE);
	assert_int_equal(kt_device_quarantine(f->core, hub(f), "op:test", "looks odd").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_device_quarantine(f->core, hub(f), "op:test", NULL).reason,
			 KT_REASON_STATE);
	assert_true(hub(f)->quarantined);
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(f->kicked_count, 0);
	assert_int_equal(kt_device_release(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	assert_false(hub(f)->quarantined);
}

static void a_deleted_device_is_gone_but_known(void **state)
{
	struct fake *f = *state;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(kt_device_delete(f->core, hub(f), "op:test").reason, KT_REASON_NONE);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	fake_durable(f);
	assert_non_null(fake_event(f, "device.deleted"));
	assert_int_equal(fake_connect(f, APP, "hub-17", NULL, LEAF), KT_ANSWER_BANNED);
	assert_int_equal(kt_device_delete(f->core, hub(f), "op:test").reason, KT_REASON_STATE);
}

static void an_event_is_json_with_name_time_and_device(void **state)
{
	struct fake *f = *state;

	(void)kt_device_quarantine(f->core, hub(f), "op:test", NULL);
	fake_durable(f);
	assert_string_equal(fake_event(f, "device.quarantined"),
			    "{\"event\":\"device.quarantined\",\"time\":\"1700000010000000\","
			    "\"device\":\"hub-17\",\"actor\":\"op:test\"}");
	assert_string_equal(f->published[0].to, "");
	assert_false(f->published[0].retain);
}

/* For want of memory nothing is done, and nothing is broken: the next try goes through. */
static void a_record_that_there_is_no_room_for_is_not_applied(void **state)
{
	struct fake *f = *state;
	uint64_t seq = kt_registry_seq(f->registry);

	f->journal_has_no_room = true;
	assert_int_equal(kt_rotation_order(f->core, hub(f), "op:test", NULL).reason,
			 KT_REASON_BUSY);
	assert_int_equal(kt_registry_seq(f->registry), seq);
	assert_int_equal(f->logged[KT_EVENT_LEDGER_FAILED], 0);
	f->journal_has_no_room = false;
	assert_int_equal(kt_rotation_order(f->core, hub(f), "op:test", NULL).reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_registry_seq(f->registry), seq + 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_device_is_let_in_and_gets_its_id_as_user_name),
		T(a_refusal_is_counted_and_logged),
		T(who_came_past_the_door_is_kicked),
		T(a_superseded_credential_is_suspect_before_promoted_and_an_alarm_after),
		T(what_was_under_way_at_promoted_is_a_suspicion),
		T(also_where_the_ledger_does_not_take_promoted),
		T(a_record_that_there_is_no_room_for_is_not_applied),
		T(an_older_key_has_no_grace_by_a_newer_promoted),
		T(a_key_that_was_skipped_has_the_grace_of_the_promoted_that_counts),
		T(a_kick_that_the_broker_could_not_take_is_made_again),
		T(a_revoked_credential_is_told_and_banned),
		T(reload_disturbs_nobody_and_promotes_nothing),
		T(a_verdict_that_is_not_durable_is_not_given),
		T(a_pointer_is_known_until_the_tick_after_its_end),
		T(new_site_topics_hold_from_the_next_question_on),
		T(the_defaults_are_read_again_with_the_patterns),
		T(the_log_says_what_holds_now_and_whether_it_is_new),
		T(commands_are_authorised_by_the_session_alone),
		T(messages_are_for_the_agents_sessions_alone),
		T(a_message_is_verified_with_its_sessions_certificate),
		T(size_comes_before_the_signature),
		T(one_is_in_work_four_wait_and_the_next_is_told_busy),
		T(who_sends_too_much_is_told_once_when_to_come_back),
		T(to_connect_again_is_no_way_round_the_rate),
		T(a_flood_of_one_device_costs_no_other_its_turn),
		T(lines_about_one_devices_sessions_are_bounded),
		T(who_is_unknown_costs_one_look_up_and_no_disk),
		T(a_flood_costs_no_signature),
		T(a_flood_of_what_is_too_large_costs_no_signature_of_ours),
		T(a_bad_signature_is_told_to_who_said_hello),
		T(what_a_superseded_credential_says_is_not_heard),
		T(a_message_must_be_of_its_session),
		T(a_message_must_be_of_this_connection),
		T(a_welcome_brings_the_nonce_that_this_connection_must_show),
		T(who_may_say_what),
		T(an_answer_for_a_session_that_is_gone_reaches_nobody),
		T(who_says_no_hello_is_ended),
		T(strangers_cannot_fill_the_log_by_coming_and_going),
		T(a_session_ends_with_its_certificate),
		T(gauges_are_retained_and_told_when_they_change),
		T(an_emergency_revoke_ends_everything_in_the_same_call),
		T(a_normal_revoke_gives_notice_when_durable_and_kicks_two_ticks_later),
		T(a_notice_that_is_not_out_in_a_second_is_not_waited_for),
		T(a_revoke_without_a_ledger_kicks_and_says_so),
		T(a_ledger_that_fails_meanwhile_ends_the_wait_for_the_notice),
		T(an_answer_that_waits_for_a_lost_ledger_says_so),
		T(a_new_device_ends_who_squats_on_its_names),
		T(refuses_to_create_what_cannot_be),
		T(quarantine_begins_and_ends),
		T(a_deleted_device_is_gone_but_known),
		T(an_event_is_json_with_name_time_and_device),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
