#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access.h"
#include "fake_crypto.h"
#include "fleet.h"

#define END   "|1600000000|253402300799"
#define LEAF  "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define NEXT  "spiffe://" FLEET_TD "/device/hub-17" END "|g2"
#define OTHER "spiffe://" FLEET_TD "/device/hub-18" END "|g1"
#define THIRD "spiffe://" FLEET_TD "/device/keyturn" END "|g1"
#define ALICE "spiffe://" FLEET_TD "/operator/alice" END
#define CLAIM "spiffe://" FLEET_TD "/claim/batch-7" END
#define CID   "claim:abcdefghijklmnopqrstuv"

struct world {
	struct kt_config config;
	struct kt_registry *registry;
	struct kt_access access;
	struct kt_admission out;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)snprintf(w->config.trust_domain, sizeof(w->config.trust_domain), FLEET_TD);
	w->config.claim_without_certificate = true;
	w->config.acl.other = KT_FALLBACK_DEFER;
	w->registry = fleet_new();
	(void)fleet_active(w->registry, "hub-17", "west", LEAF);
	(void)fleet_active(w->registry, "hub-18", "", OTHER);
	w->access = (struct kt_access){
		.config = &w->config,
		.acl = &w->config.acl,
		.registry = w->registry,
		.durable_seq = kt_registry_seq(w->registry),
		.now = {.wall_us = INT64_C(1000000) * (FLEET_TIME_S + 10), .mono_ms = 10000},
	};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kt_registry_free(w->registry);
	free(w);
	return 0;
}

static void durable(struct world *w)
{
	w->access.durable_seq = kt_registry_seq(w->registry);
}

static void add_operator(struct world *w, enum kt_operator_kind kind, const char *name,
			 enum kt_role role)
{
	struct kt_operator *op = &w->config.operators[w->config.operator_count++];

	op->kind = kind;
	op->role = role;
	(void)snprintf(op->name, sizeof(op->name), "%s", name);
}

static enum kt_reason ask(struct world *w, const char *id, const char *user, const char *cert)
{
	struct kt_connect connect = {.client = 16,
				     .client_id = id,
				     .username = user,
				     .address = "127.0.0.1",
				     .clean_start = true};

	if (cert != NULL)
		connect.cert = fake_cert(cert);
	kt_access_connect(&w->access, &connect, &w->out);
	return w->out.reason;
}

static void assert_refused(struct world *w, enum kt_answer answer, enum kt_reason reason)
{
	assert_int_equal(w->out.answer, answer);
	assert_string_equal(kt_reason_name(w->out.reason), kt_reason_name(reason));
	assert_string_equal(w->out.username, "");
}

/* --- connect: devices --- */

static void lets_a_device_in_under_its_own_names(void **state)
{
	static const struct {
		const char *id;
		enum kt_session_kind kind;
	} names[] = {{"hub-17", KT_SESSION_DEVICE},
		     {"hub-17:log", KT_SESSION_DEVICE},
		     {"hub-17:agent", KT_SESSION_AGENT},
		     {"hub-17:trial", KT_SESSION_TRIAL}};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)ask(w, names[i].id, NULL, LEAF);
		assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
		assert_int_equal(w->out.kind, names[i].kind);
		assert_string_equal(w->out.username, "hub-17");
		assert_string_equal(w->out.actor, "device:hub-17");
		assert_ptr_equal(w->out.credential, w->out.device->current);
	}
}

static void refuses_a_device_under_another_client_id(void **state)
{
	static const char *const names[] = {"hub-18",	  "hub-18:agent", "HUB-17",
					    "hub-17:a:b", "site",	  CID,
					    "op:alice",	  "hub-17:"};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)ask(w, names[i], NULL, LEAF);
		assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	}
	(void)ask(w, NULL, NULL, LEAF);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
}

static void refuses_a_device_with_another_ones_user_name(void **state)
{
	struct world *w = *state;

	(void)ask(w, "hub-17", "hub-18", LEAF);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
	(void)ask(w, "hub-17", "op:alice", LEAF);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
	(void)ask(w, "hub-17", "hub-17", LEAF);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
}

static void the_agents_own_sessions_must_start_clean(void **state)
{
	struct world *w = *state;
	struct kt_connect connect = {
		.client = 16, .client_id = "hub-17:agent", .cert = fake_cert(LEAF)};

	kt_access_connect(&w->access, &connect, &w->out);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CLEAN_START);
	connect.client_id = "hub-17";
	kt_access_connect(&w->access, &connect, &w->out);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
}

static void a_pending_credential_serves_as_trial_only(void **state)
{
	struct world *w = *state;

	fleet_open(w->registry, "hub-17", 5);
	fleet_issue(w->registry, "hub-17", NEXT);
	(void)ask(w, "hub-17:trial", NULL, NEXT);
	assert_refused(w, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	durable(w);
	(void)ask(w, "hub-17:trial", NULL, NEXT);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_int_equal(w->out.kind, KT_SESSION_TRIAL);
	(void)ask(w, "hub-17:agent", NULL, NEXT);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_PENDING);
	(void)ask(w, "hub-17", NULL, NEXT);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_PENDING);
	(void)ask(w, "hub-18:trial", NULL, NEXT);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
}

static void an_unsynced_commit_gives_no_verdict_that_depends_on_it(void **state)
{
	struct world *w = *state;

	fleet_open(w->registry, "hub-17", 5);
	fleet_issue(w->registry, "hub-17", NEXT);
	durable(w);
	fleet_commit(w->registry, "hub-17");
	(void)ask(w, "hub-17:agent", NULL, LEAF);
	assert_refused(w, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	(void)ask(w, "hub-17:agent", NULL, NEXT);
	assert_refused(w, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	(void)ask(w, "hub-17:trial", NULL, NEXT); /* the same either way */
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	durable(w);
	(void)ask(w, "hub-17:agent", NULL, LEAF);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_SUPERSEDED);
	assert_non_null(w->out.credential);
	(void)ask(w, "hub-17:agent", NULL, NEXT);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
}

static void refuses_what_was_revoked_abandoned_or_deleted(void **state)
{
	struct world *w = *state;

	fleet_open(w->registry, "hub-17", 5);
	fleet_issue(w->registry, "hub-17", NEXT);
	fleet_simple(w->registry, KT_RECORD_OP_CLOSE, "hub-17", 5);
	durable(w);
	(void)ask(w, "hub-17:trial", NULL, NEXT);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_OP_CLOSED);
	fleet_simple(w->registry, KT_RECORD_REVOKE, "hub-17", 0);
	(void)ask(w, "hub-17", NULL, LEAF);
	assert_refused(w, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	durable(w);
	(void)ask(w, "hub-17", NULL, LEAF);
	assert_refused(w, KT_ANSWER_BANNED, KT_REASON_CERT_REVOKED);
	fleet_simple(w->registry, KT_RECORD_DELETE, "hub-18", 0);
	durable(w);
	(void)ask(w, "hub-18", NULL, OTHER);
	assert_refused(w, KT_ANSWER_BANNED, KT_REASON_CERT_REVOKED);
}

static void judges_the_dates_of_a_finite_certificate(void **state)
{
	static const char cert[] = "spiffe://" FLEET_TD "/device/hub-17|1700000005|1700000015|x";
	struct world *w = *state;

	fleet_open(w->registry, "hub-17", 5);
	fleet_issue_until(w->registry, "hub-17", cert, 1700000015);
	fleet_commit(w->registry, "hub-17");
	durable(w);
	(void)ask(w, "hub-17", NULL, cert);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	w->access.now.wall_us = INT64_C(1700000016) * 1000000;
	(void)ask(w, "hub-17", NULL, cert);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_DATES);
	w->access.now.wall_us = INT64_C(1700000004) * 1000000;
	(void)ask(w, "hub-17", NULL, cert);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_DATES);
}

static void a_key_over_its_age_gets_a_rotate_only_session(void **state)
{
	struct world *w = *state;

	w->config.max_key_age_ms = 9000;
	(void)ask(w, "hub-17", NULL, LEAF);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_true(w->out.rotate_only);
	w->config.max_key_age_ms = 11000;
	(void)ask(w, "hub-17", NULL, LEAF);
	assert_false(w->out.rotate_only);
	w->config.max_key_age_ms = 9000;
	fleet_open(w->registry, "hub-17", 5);
	fleet_simple(w->registry, KT_RECORD_FREEZE, "hub-17", 5);
	(void)ask(w, "hub-17", NULL, LEAF);
	assert_false(w->out.rotate_only);
}

/* --- connect: others --- */

static void nobody_else_gets_a_reserved_client_id(void **state)
{
	static const char *const names[] = {"hub-17",	   "HUB-17",	"hub-17:log", "Hub-17:log",
					    "new:agent",   "new:trial", "op:alice",   "claim:x",
					    "CLAIM:abc",   "OP:x",	"hub-17:a:b", "claim",
					    "hub-17:agent"};
	struct world *w = *state;

	w->config.foreign_cert = KT_FALLBACK_DEFER;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)ask(w, names[i], "user", NULL);
		assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
		(void)ask(w, names[i], NULL, "spiffe://elsewhere/x" END);
		assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
		assert_true(kt_access_is_reserved(w->registry, names[i], NULL));
	}
}

static void nobody_else_gets_a_reserved_user_name(void **state)
{
	static const char *const names[] = {"hub-17", "HUB-17", "claim", "op:alice", "OP:x"};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)ask(w, "site", names[i], NULL);
		assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
		assert_true(kt_access_is_reserved(w->registry, "site", names[i]));
	}
	assert_false(kt_access_is_reserved(w->registry, "site", "user"));
}

static void leaves_all_other_names_to_those_behind(void **state)
{
	static const char *const names[] = {"site", "hub-19", "hub-19:log", "auto-123", "", NULL};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)ask(w, names[i], "user", NULL);
		assert_int_equal(w->out.answer, KT_ANSWER_DEFER);
		assert_int_equal(w->out.role, KT_ROLE_NONE);
	}
}

static void a_configured_user_has_a_role_once_others_let_him_in(void **state)
{
	struct world *w = *state;

	add_operator(w, KT_OPERATOR_USER, "bob", KT_ROLE_VIEWER);
	(void)ask(w, "cli", "bob", NULL);
	assert_int_equal(w->out.answer, KT_ANSWER_DEFER);
	assert_int_equal(w->out.role, KT_ROLE_VIEWER);
	assert_string_equal(w->out.actor, "op:bob");
	(void)ask(w, "hub-17", "bob", NULL);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
}

static void an_operator_needs_uri_fingerprint_and_client_id(void **state)
{
	struct world *w = *state;

	add_operator(w, KT_OPERATOR_CERT, "spiffe://" FLEET_TD "/operator/alice", KT_ROLE_ADMIN);
	(void)ask(w, "op:alice", NULL, ALICE);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_UNKNOWN); /* fingerprint not configured */
	w->config.operators[0].fp = fake_fingerprint(ALICE);
	(void)ask(w, "op:alice", NULL, ALICE);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_int_equal(w->out.kind, KT_SESSION_OPERATOR);
	assert_int_equal(w->out.role, KT_ROLE_ADMIN);
	assert_string_equal(w->out.username, "op:alice");
	(void)ask(w, "hub-17", NULL, ALICE);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	(void)ask(w, "cli", NULL, ALICE);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	(void)ask(w, "op:alice", "hub-17", ALICE);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
	(void)snprintf(w->config.operators[0].name, sizeof(w->config.operators[0].name),
		       "spiffe://" FLEET_TD "/operator/bob");
	(void)ask(w, "op:alice", NULL, ALICE);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_UNKNOWN);
}

static void the_configured_socket_is_an_operator_and_never_deferred(void **state)
{
	struct world *w = *state;
	struct kt_connect connect = {.client = 16, .client_id = "cli", .address = "/run/kt.sock"};

	add_operator(w, KT_OPERATOR_UNIX, "/run/kt.sock", KT_ROLE_ADMIN);
	kt_access_connect(&w->access, &connect, &w->out);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_string_equal(w->out.actor, "op:unix");
	assert_string_equal(w->out.username, "op:unix");
	connect.client_id = "hub-17:agent";
	kt_access_connect(&w->access, &connect, &w->out);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	connect.client_id = CID;
	kt_access_connect(&w->access, &connect, &w->out);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	connect.client_id = "cli";
	connect.username = "hub-17";
	kt_access_connect(&w->access, &connect, &w->out);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
	connect.username = NULL;
	connect.address = "/run/other.sock";
	kt_access_connect(&w->access, &connect, &w->out);
	assert_int_equal(w->out.answer, KT_ANSWER_DEFER);
}

static void the_claim_lane_is_for_claiming_alone(void **state)
{
	struct world *w = *state;
	struct kt_connect connect = {.client = 16, .client_id = CID, .cert = fake_cert(CLAIM)};

	(void)ask(w, CID, NULL, CLAIM);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_int_equal(w->out.kind, KT_SESSION_CLAIM);
	assert_string_equal(w->out.actor, "claim:batch-7");
	assert_string_equal(w->out.username, "claim");
	(void)ask(w, "hub-17", NULL, CLAIM);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	(void)ask(w, "site", NULL, CLAIM);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	(void)ask(w, CID, "hub-17", CLAIM);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_USERNAME);
	kt_access_connect(&w->access, &connect, &w->out);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CLEAN_START);
}

static void a_claimant_without_certificate_is_a_matter_of_config(void **state)
{
	struct world *w = *state;

	(void)ask(w, CID, NULL, NULL);
	assert_int_equal(w->out.answer, KT_ANSWER_ACCEPT);
	assert_string_equal(w->out.actor, "claim");
	w->config.claim_without_certificate = false;
	(void)ask(w, CID, NULL, NULL);
	assert_refused(w, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
}

static void a_certificate_of_ours_that_is_not_on_record_is_never_deferred(void **state)
{
	static const char *const certs[] = {
		"spiffe://" FLEET_TD "/device/hub-17" END "|forged", "spiffe://" FLEET_TD "/x" END,
		"SPIFFE://Example.Test/device/hub-17" END, "spiffe://" FLEET_TD "/broker/b" END,
		"no certificate at all"};
	struct world *w = *state;

	w->config.foreign_cert = KT_FALLBACK_DEFER;
	for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++) {
		(void)ask(w, "hub-17", NULL, certs[i]);
		assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_UNKNOWN);
		(void)ask(w, "site", NULL, certs[i]);
		assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_UNKNOWN);
	}
}

static void a_foreign_certificate_is_refused_unless_the_config_defers_it(void **state)
{
	struct world *w = *state;

	(void)ask(w, "site", NULL, "spiffe://elsewhere/x" END);
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_FOREIGN);
	w->config.foreign_cert = KT_FALLBACK_DEFER;
	(void)ask(w, "site", NULL, "spiffe://elsewhere/x" END);
	assert_int_equal(w->out.answer, KT_ANSWER_DEFER);
	(void)ask(w, "site", NULL, "spiffe://elsewhere/x|0|1600000000");
	assert_refused(w, KT_ANSWER_DENY, KT_REASON_CERT_DATES);
}

/* --- acl --- */

static enum kt_right may(struct world *w, const struct kt_session *session,
			 enum kt_acl_action action, const char *topic)
{
	struct kt_acl_question question = {.session = session,
					   .client_id = session != NULL ? session->client_id : NULL,
					   .action = action,
					   .topic = topic};
	enum kt_reason reason;

	return kt_access_acl(&w->access, &question, &reason);
}

static struct kt_session session_of(struct world *w, enum kt_session_kind kind)
{
	struct kt_session session;

	memset(&session, 0, sizeof(session));
	session.kind = kind;
	if (kind == KT_SESSION_AGENT || kind == KT_SESSION_TRIAL || kind == KT_SESSION_DEVICE) {
		session.device = kt_registry_find_device(w->registry, "hub-17");
		session.credential = session.device->current;
	}
	return session;
}

static void add_rule(struct world *w, enum kt_acl_access rule_access, const char *pattern)
{
	struct kt_acl_rule *rule = &w->config.acl.rules[w->config.acl.rule_count++];

	rule->access = rule_access;
	(void)snprintf(rule->pattern, sizeof(rule->pattern), "%s", pattern);
}

#define ASSERT_RIGHT(right, session, action, topic)                                                \
	assert_int_equal(may(w, session, KT_ACL_DO_##action, topic), KT_RIGHT_##right)

static void the_agent_has_keyturn_topics_and_no_others(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_AGENT);

	add_rule(w, KT_ACL_READWRITE, "#");
	w->config.acl.device = KT_FALLBACK_DEFER;
	ASSERT_RIGHT(ALLOW, &s, WRITE, KT_TOPIC_DEVICE_IN);
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(ALLOW, &s, READ, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/device/hub-18/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/device/+/cmd");
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/claim/cmd");
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_CONTROL);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "#");
	ASSERT_RIGHT(DENY, &s, WRITE, "$CONTROL/dynamic-security/v1");
	w->config.acl.device = KT_FALLBACK_DENY;
	s.kind = KT_SESSION_TRIAL;
	ASSERT_RIGHT(ALLOW, &s, WRITE, KT_TOPIC_DEVICE_IN);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
}

static void a_claimant_has_the_claim_topics_and_no_others(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_CLAIM);

	w->config.acl.other = KT_FALLBACK_ALLOW;
	ASSERT_RIGHT(ALLOW, &s, WRITE, KT_TOPIC_DEVICE_IN);
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, KT_TOPIC_CLAIM_CMD);
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/#");
	ASSERT_RIGHT(DENY, &s, WRITE, "site/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "$CONTROL/#");
	ASSERT_RIGHT(DENY, &s, WRITE, "$CONTROL/dynamic-security/v1");
}

static void a_device_has_its_site_topics(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_DENY, "devices/%d/secret/#");
	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	add_rule(w, KT_ACL_READ, "groups/%g/news");
	add_rule(w, KT_ACL_READWRITE, "$SYS/#");
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/state");
	ASSERT_RIGHT(ALLOW, &s, READ, "devices/hub-17/state");
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "devices/hub-17/cmd/+");
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "$share/g/devices/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "devices/hub-17/#"); /* would reach the denied part */
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/secret/x");
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-18/state");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "devices/+/state");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "$share/g/devices/hub-18/cmd");
	ASSERT_RIGHT(ALLOW, &s, READ, "groups/west/news");
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/west/news");
	ASSERT_RIGHT(DENY, &s, READ, "$SYS/broker/version");
	ASSERT_RIGHT(DENY, &s, WRITE, "other");
	ASSERT_RIGHT(ALLOW, &s, UNSUBSCRIBE, "anything");
	w->config.acl.device = KT_FALLBACK_DEFER;
	ASSERT_RIGHT(DEFER, &s, WRITE, "other");
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/secret/x");
	ASSERT_RIGHT(DENY, &s, WRITE, "$CONTROL/dynamic-security/v1");
}

/* "%d/#" is a usual pattern, and a hub may have any name. */
static void without_a_group_no_line_with_one_stands_for_a_device(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	s.device = kt_registry_find_device(w->registry, "hub-18");
	s.credential = s.device->current;
	add_rule(w, KT_ACL_READWRITE, "groups/%g/news");
	add_rule(w, KT_ACL_READWRITE, "%g#");
	ASSERT_RIGHT(DENY, &s, WRITE, "groups//news");
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/west/news");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "#");
	s.device = kt_registry_find_device(w->registry, "hub-17");
	s.credential = s.device->current;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "groups/west/news");
}

static void a_device_called_keyturn_gets_nothing_by_its_name(void **state)
{
	struct world *w = *state;
	const struct kt_device *hub = fleet_active(w->registry, "keyturn", "keyturn", THIRD);
	struct kt_session s = {
		.kind = KT_SESSION_DEVICE, .device = hub, .credential = hub->current};

	add_rule(w, KT_ACL_READWRITE, "%d/#");
	add_rule(w, KT_ACL_READWRITE, "%g/#");
	w->access.durable_seq = kt_registry_seq(w->registry);
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/device/keyturn/cmd");
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/x");
	ASSERT_RIGHT(DENY, &s, READ, "keyturn/v1/events/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/device/hub-17/cmd");
	add_rule(w, KT_ACL_READWRITE, "site/%d");
	ASSERT_RIGHT(ALLOW, &s, WRITE, "site/keyturn"); /* its other topics it has */
}

static void no_pattern_opens_keyturns_own_topics_to_a_device(void **state)
{
	static const char *const topics[] = {"keyturn/v1/device/hub-17/cmd",
					     "keyturn/v1/events/x",
					     "keyturn",
					     "keyturn/x",
					     KT_TOPIC_DEVICE_IN,
					     KT_TOPIC_CONTROL,
					     KT_TOPIC_CONTROL_RESPONSE,
					     "$CONTROL/x/v1"};
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_READWRITE, "#");
	w->config.acl.device = KT_FALLBACK_DEFER;
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
		ASSERT_RIGHT(DENY, &s, WRITE, topics[i]);
		ASSERT_RIGHT(DENY, &s, READ, topics[i]);
		ASSERT_RIGHT(DENY, &s, SUBSCRIBE, topics[i]);
	}
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "+/v1/#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "$share/g/keyturn/#");
}

static void quarantine_age_and_revoke_take_the_site_topics(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);
	struct kt_session agent = session_of(w, KT_SESSION_AGENT);

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	w->config.max_key_age_ms = 11000;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	w->access.now.wall_us += 1000000;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	w->access.now.wall_us += 1; /* in session when it grew old */
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &s, READ, "devices/hub-17/x");
	ASSERT_RIGHT(ALLOW, &agent, WRITE, KT_TOPIC_DEVICE_IN);
	w->config.max_key_age_ms = 0;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	fleet_simple(w->registry, KT_RECORD_QUARANTINE, "hub-17", 0);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "devices/hub-17/x");
	ASSERT_RIGHT(ALLOW, &agent, WRITE, KT_TOPIC_DEVICE_IN);
	fleet_simple(w->registry, KT_RECORD_RELEASE, "hub-17", 0);
	durable(w);
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	fleet_simple(w->registry, KT_RECORD_REVOKE, "hub-17", 0);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &agent, WRITE, KT_TOPIC_DEVICE_IN);
	ASSERT_RIGHT(DENY, &agent, SUBSCRIBE, "keyturn/v1/device/hub-17/cmd");
}

static void a_release_gives_nothing_back_before_it_is_durable(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	fleet_simple(w->registry, KT_RECORD_QUARANTINE, "hub-17", 0);
	durable(w);
	fleet_simple(w->registry, KT_RECORD_RELEASE, "hub-17", 0);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "devices/hub-17/x");
	durable(w);
	fleet_open(w->registry, "hub-17", 5); /* another record about it takes nothing away */
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
}

static void regroup(struct world *w, const char *group)
{
	struct kt_record rec = fleet_record(w->registry, KT_RECORD_DEVICE_SET, "hub-17");

	(void)snprintf(rec.group, sizeof(rec.group), "%s", group);
	fleet_apply(w->registry, &rec);
}

static void a_new_group_gives_its_topics_when_it_is_durable(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_READWRITE, "groups/%g/#");
	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	regroup(w, "south");
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/south/x");
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	durable(w);
	ASSERT_RIGHT(ALLOW, &s, WRITE, "groups/south/x");
	regroup(w, "east");
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/south/x"); /* it has left that one */
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/east/x");
	durable(w);
	ASSERT_RIGHT(ALLOW, &s, WRITE, "groups/east/x");
	regroup(w, "");
	durable(w);
	ASSERT_RIGHT(DENY, &s, WRITE, "groups/east/x");
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
}

static void a_superseded_credential_keeps_its_topics_while_it_drains(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	fleet_open(w->registry, "hub-17", 5);
	fleet_issue(w->registry, "hub-17", NEXT);
	fleet_commit(w->registry, "hub-17");
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x"); /* the disk still calls it current */
	durable(w);
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
	s.drain_until_ms = w->access.now.mono_ms + 1;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/x");
	w->access.now.mono_ms++;
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-17/x");
}

static void operators_command_and_read(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_OPERATOR);

	s.role = KT_ROLE_VIEWER;
	ASSERT_RIGHT(ALLOW, &s, WRITE, KT_TOPIC_CONTROL);
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, KT_TOPIC_CONTROL_RESPONSE);
	ASSERT_RIGHT(ALLOW, &s, READ, KT_TOPIC_CONTROL_RESPONSE);
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "keyturn/v1/events/#");
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "keyturn/v1/events/device.revoked");
	ASSERT_RIGHT(ALLOW, &s, SUBSCRIBE, "$SYS/broker/keyturn/#");
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_CONTROL_RESPONSE);
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_DEVICE_IN);
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/events/x");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "$share/g/keyturn/v1/events/#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "$CONTROL/#");
	ASSERT_RIGHT(DEFER, &s, WRITE, "site/x");
	s.gone = true; /* what is left to say is a will */
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_CONTROL);
	s.gone = false;
	s.role = KT_ROLE_NONE;
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_CONTROL);
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/events/#");
}

static void others_are_left_alone_outside_keyturns_namespace(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_OTHER);

	ASSERT_RIGHT(DEFER, &s, WRITE, "site/x");
	ASSERT_RIGHT(DEFER, &s, SUBSCRIBE, "site/#");
	ASSERT_RIGHT(DEFER, &s, WRITE, "$CONTROL/dynamic-security/v1");
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "keyturn/v1/events/#");
	ASSERT_RIGHT(DENY, &s, SUBSCRIBE, "#");
	w->config.acl.other = KT_FALLBACK_ALLOW;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "site/x");
	ASSERT_RIGHT(DEFER, &s, WRITE, "$CONTROL/dynamic-security/v1");
	ASSERT_RIGHT(DENY, &s, WRITE, KT_TOPIC_CONTROL);
}

static void a_will_of_the_agent_or_a_claimant_is_denied(void **state)
{
	static const enum kt_session_kind kinds[] = {KT_SESSION_AGENT, KT_SESSION_TRIAL,
						     KT_SESSION_CLAIM};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct kt_session s = session_of(w, kinds[i]);
		struct kt_acl_question question = {
			.session = &s, .action = KT_ACL_DO_WRITE, .topic = KT_TOPIC_DEVICE_IN};
		enum kt_reason reason;

		s.gone = true;
		assert_int_equal(kt_access_acl(&w->access, &question, &reason), KT_RIGHT_DENY);
		assert_int_equal(reason, KT_REASON_ACL_WILL);
	}
}

static void a_will_of_a_device_follows_its_site_topics(void **state)
{
	struct world *w = *state;
	struct kt_session s = session_of(w, KT_SESSION_DEVICE);

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	s.gone = true;
	ASSERT_RIGHT(ALLOW, &s, WRITE, "devices/hub-17/gone");
	ASSERT_RIGHT(DENY, &s, WRITE, "devices/hub-18/gone");
	ASSERT_RIGHT(DENY, &s, WRITE, "keyturn/v1/device/hub-17/cmd");
	ASSERT_RIGHT(DENY, &s, WRITE, "$CONTROL/keyturn/v1/response");
}

static enum kt_right unknown_may(struct world *w, const char *id, const char *user, bool cert,
				 const char *topic)
{
	struct kt_acl_question question = {.has_cert_now = cert,
					   .client_id = id,
					   .username = user,
					   .action = KT_ACL_DO_WRITE,
					   .topic = topic};
	enum kt_reason reason;

	return kt_access_acl(&w->access, &question, &reason);
}

static void an_unknown_pointer_is_judged_by_its_names(void **state)
{
	struct world *w = *state;

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	assert_int_equal(unknown_may(w, "hub-17", "hub-17", false, "devices/hub-17/x"),
			 KT_RIGHT_ALLOW);
	assert_int_equal(unknown_may(w, "hub-17:log", "hub-17", false, "devices/hub-18/x"),
			 KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "site", "user", false, "site/x"), KT_RIGHT_DEFER);
	assert_int_equal(unknown_may(w, "bridge.x", NULL, false, "site/x"), KT_RIGHT_DEFER);
	assert_int_equal(unknown_may(w, "site", "user", false, KT_TOPIC_CONTROL), KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "op:alice", "op:alice", false, KT_TOPIC_CONTROL),
			 KT_RIGHT_DENY);
	fleet_simple(w->registry, KT_RECORD_QUARANTINE, "hub-17", 0);
	assert_int_equal(unknown_may(w, "hub-17", "hub-17", false, "devices/hub-17/x"),
			 KT_RIGHT_DENY);
}

static void an_unknown_pointer_with_a_certificate_or_half_a_name_is_denied(void **state)
{
	struct world *w = *state;

	add_rule(w, KT_ACL_READWRITE, "devices/%d/#");
	w->config.acl.other = KT_FALLBACK_ALLOW;
	assert_int_equal(unknown_may(w, "hub-17", "hub-17", true, "devices/hub-17/x"),
			 KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "site", "user", true, "site/x"), KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "hub-17", "user", false, "site/x"), KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "hub-17", NULL, false, "site/x"), KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "site", "hub-17", false, "devices/hub-17/x"),
			 KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "hub-18", "hub-17", false, "devices/hub-17/x"),
			 KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, "hub-17:agent", "hub-17", false, KT_TOPIC_DEVICE_IN),
			 KT_RIGHT_DENY);
	assert_int_equal(unknown_may(w, CID, "claim", false, KT_TOPIC_DEVICE_IN), KT_RIGHT_DENY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lets_a_device_in_under_its_own_names),
		T(refuses_a_device_under_another_client_id),
		T(refuses_a_device_with_another_ones_user_name),
		T(the_agents_own_sessions_must_start_clean),
		T(a_pending_credential_serves_as_trial_only),
		T(an_unsynced_commit_gives_no_verdict_that_depends_on_it),
		T(refuses_what_was_revoked_abandoned_or_deleted),
		T(judges_the_dates_of_a_finite_certificate),
		T(a_key_over_its_age_gets_a_rotate_only_session),
		T(nobody_else_gets_a_reserved_client_id),
		T(nobody_else_gets_a_reserved_user_name),
		T(leaves_all_other_names_to_those_behind),
		T(a_configured_user_has_a_role_once_others_let_him_in),
		T(an_operator_needs_uri_fingerprint_and_client_id),
		T(the_configured_socket_is_an_operator_and_never_deferred),
		T(the_claim_lane_is_for_claiming_alone),
		T(a_claimant_without_certificate_is_a_matter_of_config),
		T(a_certificate_of_ours_that_is_not_on_record_is_never_deferred),
		T(a_foreign_certificate_is_refused_unless_the_config_defers_it),
		T(the_agent_has_keyturn_topics_and_no_others),
		T(a_claimant_has_the_claim_topics_and_no_others),
		T(a_device_has_its_site_topics),
		T(no_pattern_opens_keyturns_own_topics_to_a_device),
		T(quarantine_age_and_revoke_take_the_site_topics),
		T(a_release_gives_nothing_back_before_it_is_durable),
		T(a_new_group_gives_its_topics_when_it_is_durable),
		T(a_superseded_credential_keeps_its_topics_while_it_drains),
		T(operators_command_and_read),
		T(without_a_group_no_line_with_one_stands_for_a_device),
		T(a_device_called_keyturn_gets_nothing_by_its_name),
		T(others_are_left_alone_outside_keyturns_namespace),
		T(a_will_of_the_agent_or_a_claimant_is_denied),
		T(a_will_of_a_device_follows_its_site_topics),
		T(an_unknown_pointer_is_judged_by_its_names),
		T(an_unknown_pointer_with_a_certificate_or_half_a_name_is_denied),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
