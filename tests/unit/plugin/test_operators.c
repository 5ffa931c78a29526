/* Operators of the ledger at the door, at the topics and at CONTROL: the real commands on a core.
 */
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

#define END	   "|1600000000|253402300799"
#define ROOT	   "spiffe://" FLEET_TD "/operator/root" END
#define CAROL	   "spiffe://" FLEET_TD "/operator/carol" END
#define CAROL_TWO  "spiffe://" FLEET_TD "/operator/carol" END "|2"
#define DAVE	   "spiffe://" FLEET_TD "/operator/dave" END
#define CLAIM	   "spiffe://" FLEET_TD "/claim/batch-7" END
#define CONTROLLER "spiffe://" FLEET_TD "/controller/7" END
#define LEAF	   "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define CID	   "op:carol"

enum { BOSS = 16, SHE = 32, ALSO_SHE = 48, HE = 64 };

/* @role of the configuration's only operator. */
static void configure(struct fake *f, enum kt_operator_kind kind, const char *name,
		      const char *cert, enum kt_role role)
{
	struct kt_operator *op = &f->config.operators[f->config.operator_count++];

	*op = (struct kt_operator){.kind = kind, .role = role};
	(void)snprintf(op->name, sizeof(op->name), "%s", name);
	if (cert != NULL)
		op->fp = fake_fingerprint(cert);
}

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();
	struct fake *f;

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	f = fake_new(registry);
	configure(f, KT_OPERATOR_CERT, "spiffe://" FLEET_TD "/operator/root", ROOT, KT_ROLE_ADMIN);
	assert_int_equal(fake_connect(f, BOSS, "op:root", NULL, ROOT), KT_ANSWER_ACCEPT);
	f->sync_at_once = false;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static void say(struct fake *f, uintptr_t client, const char *commands)
{
	char text[2048];
	int len = snprintf(text, sizeof(text), "{\"commands\":[%s]}", commands);

	assert_in_range(len, 1, sizeof(text) - 1);
	kt_core_control(f->core, f->now, client,
			(struct kt_bytes){(const uint8_t *)text, (size_t)len});
}

/* What @client_id was told last, once everything is durable. */
static const char *told(struct fake *f, uintptr_t client, const char *client_id,
			const char *commands)
{
	const char *answer;

	say(f, client, commands);
	fake_durable(f);
	answer = fake_sent(f, client_id, "{\"responses\"");
	assert_non_null(answer);
	return answer;
}

static const char *add_text(const char *name, const char *cert, const char *role)
{
	static char text[512];
	const struct kt_fingerprint fp = fake_fingerprint(cert);
	char hex[65];

	for (size_t i = 0; i < sizeof(fp.b); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", fp.b[i]);
	(void)snprintf(
		text, sizeof(text),
		"{\"command\":\"addOperator\",\"name\":\"%s\",\"fp\":\"%s\",\"role\":\"%s\"}", name,
		hex, role);
	return text;
}

#define REMOVE_CAROL "{\"command\":\"removeOperator\",\"name\":\"carol\"}"
#define STATUS	     "{\"command\":\"status\"}"
#define DONE_ADD     "{\"responses\":[{\"command\":\"addOperator\",\"data\":{}}]}"
#define DONE_REMOVE  "{\"responses\":[{\"command\":\"removeOperator\",\"data\":{}}]}"

static void add(struct fake *f, const char *name, const char *cert, const char *role)
{
	assert_string_equal(told(f, BOSS, "op:root", add_text(name, cert, role)), DONE_ADD);
}

static void assert_error(const char *answer, const char *error)
{
	char expected[64];

	(void)snprintf(expected, sizeof(expected), "\"error\":\"%s\"", error);
	if (strstr(answer, expected) == NULL)
		fail_msg("not %s: %s", error, answer);
}

static enum kt_right may(struct fake *f, uintptr_t client, enum kt_acl_action action,
			 const char *topic)
{
	const struct kt_acl_event event = {
		.client = client, .client_id = CID, .action = action, .topic = topic};

	return kt_core_acl(f->core, f->now, &event);
}

static void assert_topics(struct fake *f, uintptr_t client, enum kt_right right)
{
	assert_int_equal(may(f, client, KT_ACL_DO_WRITE, KT_TOPIC_CONTROL), right);
	assert_int_equal(may(f, client, KT_ACL_DO_READ, KT_TOPIC_CONTROL_RESPONSE), right);
	assert_int_equal(may(f, client, KT_ACL_DO_READ, "keyturn/v1/events/device.revoked"), right);
	assert_int_equal(may(f, client, KT_ACL_DO_SUBSCRIBE, "keyturn/v1/events/#"), right);
}

/* --- added ------------------------------------------------------------------------------------ */

static void nobody_is_let_in_before_the_record_is_on_disk(void **state)
{
	struct fake *f = *state;

	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_DENY);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_UNKNOWN), 1);
	say(f, BOSS, add_text("carol", CAROL, "rotator"));
	assert_null(fake_sent(f, "op:root", ""));
	assert_null(fake_event(f, "operator.added"));
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_NO_ANSWER);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_UNDURABLE), 1);
	assert_null(fake_session(f, SHE));
	fake_durable(f);
	assert_string_equal(fake_sent(f, "op:root", ""), DONE_ADD);
	assert_string_equal(fake_event(f, "operator.added"),
			    "{\"event\":\"operator.added\",\"time\":\"1700000010000000\","
			    "\"operator\":\"carol\",\"role\":\"rotator\",\"actor\":\"op:root\"}");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_string_equal(fake_session(f, SHE)->actor, CID);
	assert_int_equal(kt_session_role(fake_session(f, SHE)), KT_ROLE_ROTATOR);
	assert_topics(f, SHE, KT_RIGHT_ALLOW);
}

static void certificate_name_and_client_id_must_all_be_right(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL_TWO), KT_ANSWER_DENY);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, DAVE), KT_ANSWER_DENY);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_UNKNOWN), 2);
	assert_int_equal(fake_connect(f, SHE, "carol", NULL, CAROL), KT_ANSWER_BAD_ID);
	assert_int_equal(fake_connect(f, SHE, "hub-17", NULL, CAROL), KT_ANSWER_BAD_ID);
	assert_int_equal(fake_connect(f, SHE, CID, "hub-17", CAROL), KT_ANSWER_DENY);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, NULL), KT_ANSWER_BAD_ID);
	assert_null(fake_session(f, SHE));
	/* nor does it make one of a certificate that is for something else */
	add(f, "7", CONTROLLER, "admin");
	add(f, "batch-7", CLAIM, "admin");
	assert_int_equal(fake_connect(f, HE, "op:7", NULL, CONTROLLER), KT_ANSWER_DENY);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_UNKNOWN), 3);
	assert_int_equal(fake_connect(f, HE, "op:batch-7", NULL, CLAIM), KT_ANSWER_BAD_ID);
	/* the fingerprint alone is nobody's: it was added under another name */
	add(f, "dave", CAROL_TWO, "admin");
	assert_int_equal(fake_connect(f, HE, "op:dave", NULL, CAROL_TWO), KT_ANSWER_DENY);
}

static void a_name_that_is_there_is_not_given_again(void **state)
{
	static const char *const taken[] = {"carol", "Carol", "root", "ROOT", "unix", "bob", "Bob"};
	struct fake *f = *state;
	size_t appended;

	configure(f, KT_OPERATOR_USER, "bob", NULL, KT_ROLE_VIEWER);
	configure(f, KT_OPERATOR_UNIX, "/run/kt.sock", NULL, KT_ROLE_VIEWER);
	add(f, "carol", CAROL, "viewer");
	appended = f->appended_count;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		assert_error(told(f, BOSS, "op:root", add_text(taken[i], DAVE, "admin")), "exists");
	assert_int_equal(f->appended_count, appended);
	(void)told(f, BOSS, "op:root", REMOVE_CAROL);
	assert_error(told(f, BOSS, "op:root", add_text("CAROL", DAVE, "admin")), "exists");
}

static void without_a_ledger_nobody_is_added(void **state)
{
	struct fake *f = *state;

	fake_fail(f);
	say(f, BOSS, add_text("carol", CAROL, "viewer"));
	assert_error(fake_sent(f, "op:root", ""), "store.failed");
	assert_null(kt_registry_find_operator(f->registry, "carol"));
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_DENY);
}

/* --- removed ---------------------------------------------------------------------------------- */

static void a_removal_ends_rights_and_sessions_before_it_is_durable(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	add(f, "dave", DAVE, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, ALSO_SHE, "op:second", NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, HE, "op:dave", NULL, DAVE), KT_ANSWER_ACCEPT);
	fake_forget(f);
	say(f, BOSS, REMOVE_CAROL);
	assert_true(fake_was_kicked(f, CID));
	assert_true(fake_was_kicked(f, "op:second"));
	assert_int_equal(f->kicked_count, 2);
	assert_null(fake_sent(f, "op:root", ""));
	assert_topics(f, SHE, KT_RIGHT_DENY);
	say(f, SHE, STATUS);
	say(f, ALSO_SHE, STATUS);
	assert_int_equal(kt_core_count(f->core, KT_REASON_DENIED), 2);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_BANNED);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_REVOKED), 1);
	assert_topics(f, HE, KT_RIGHT_ALLOW);
	fake_durable(f);
	assert_string_equal(fake_sent(f, "op:root", ""), DONE_REMOVE);
	assert_string_equal(fake_event(f, "operator.removed"),
			    "{\"event\":\"operator.removed\",\"time\":\"1700000010000000\","
			    "\"operator\":\"carol\",\"role\":\"admin\",\"actor\":\"op:root\"}");
	fake_ticks(f, 5);
	assert_int_equal(f->kicked_count, 2);
	assert_int_equal(f->appended[f->appended_count - 1], KT_RECORD_OPERATOR_REMOVE);
}

static void what_was_asked_before_the_removal_is_not_told_after_it(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	say(f, SHE, "{\"command\":\"createTicket\",\"device\":\"hub-17\"}");
	say(f, BOSS, REMOVE_CAROL);
	fake_durable(f);
	assert_null(fake_sent(f, CID, ""));
}

static void also_without_a_ledger_and_then_it_says_so(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "viewer");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	fake_fail(f);
	fake_forget(f);
	say(f, BOSS, REMOVE_CAROL);
	assert_error(fake_sent(f, "op:root", ""), "not_durable");
	assert_true(fake_was_kicked(f, CID));
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_BANNED);
}

static void who_is_none_cannot_be_removed(void **state)
{
	struct fake *f = *state;
	const size_t appended = f->appended_count;

	configure(f, KT_OPERATOR_USER, "bob", NULL, KT_ROLE_ADMIN);
	assert_error(told(f, BOSS, "op:root", REMOVE_CAROL), "not.found");
	assert_error(told(f, BOSS, "op:root", "{\"command\":\"removeOperator\",\"name\":\"root\"}"),
		     "state");
	assert_non_null(strstr(fake_sent(f, "op:root", ""), "stands in keyturn.conf"));
	assert_error(told(f, BOSS, "op:root", "{\"command\":\"removeOperator\",\"name\":\"bob\"}"),
		     "state");
	assert_error(told(f, BOSS, "op:root", "{\"command\":\"removeOperator\",\"name\":\"unix\"}"),
		     "state");
	assert_int_equal(f->appended_count, appended);
	add(f, "carol", CAROL, "viewer");
	assert_string_equal(told(f, BOSS, "op:root", REMOVE_CAROL), DONE_REMOVE);
	assert_error(told(f, BOSS, "op:root", REMOVE_CAROL), "not.found");
}

/* --- other role, other certificate -------------------------------------------------------------
 */

static void another_role_begins_with_another_session(void **state)
{
	struct fake *f = *state;
	char batch[1024];

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	(void)snprintf(batch, sizeof(batch), REMOVE_CAROL ",%s",
		       add_text("carol", CAROL, "viewer"));
	f->kick_fails = true; /* whatever becomes of the disconnection: the rights are over */
	say(f, BOSS, batch);
	assert_topics(f, SHE, KT_RIGHT_DENY);
	say(f, SHE, STATUS);
	assert_int_equal(kt_core_count(f->core, KT_REASON_DENIED), 1);
	assert_null(fake_sent(f, CID, "")); /* who is no operator gets no answer */
	fake_durable(f);
	assert_topics(f, SHE, KT_RIGHT_DENY); /* the one of before stays without */
	assert_int_equal(kt_session_role(fake_session(f, SHE)), KT_ROLE_NONE);
	f->kick_fails = false;
	fake_ticks(f, 12);
	assert_true(fake_was_kicked(f, CID));
	assert_int_equal(fake_connect(f, ALSO_SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_int_equal(kt_session_role(fake_session(f, ALSO_SHE)), KT_ROLE_VIEWER);
	say(f, ALSO_SHE, "{\"command\":\"rotate\",\"device\":\"hub-17\"}");
	assert_error(fake_sent(f, CID, ""), "denied");
}

static void another_certificate_ends_who_holds_the_one_before(void **state)
{
	struct fake *f = *state;
	char batch[1024];

	add(f, "carol", CAROL, "viewer");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	(void)snprintf(batch, sizeof(batch), REMOVE_CAROL ",%s",
		       add_text("carol", CAROL_TWO, "viewer"));
	(void)told(f, BOSS, "op:root", batch);
	assert_true(fake_was_kicked(f, CID));
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_DENY);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL_TWO), KT_ANSWER_ACCEPT);
}

/* --- the last admin -----------------------------------------------------------------------------
 */

static void the_last_admin_stays(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	add(f, "dave", DAVE, "viewer");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	f->config.operator_count = 0; /* as after a restart with an empty configuration */
	assert_error(told(f, SHE, CID, REMOVE_CAROL), "admin.last");
	assert_topics(f, SHE, KT_RIGHT_ALLOW);
	assert_string_equal(told(f, SHE, CID, "{\"command\":\"removeOperator\",\"name\":\"dave\"}"),
			    DONE_REMOVE);
	/* neither a viewer nor one that was removed counts */
	assert_string_equal(told(f, SHE, CID, add_text("dave", DAVE, "revoker")), DONE_ADD);
	assert_error(told(f, SHE, CID, REMOVE_CAROL), "admin.last");
	configure(f, KT_OPERATOR_UNIX, "/run/kt.sock", NULL, KT_ROLE_VIEWER);
	assert_error(told(f, SHE, CID, REMOVE_CAROL), "admin.last");
	f->config.operators[0].role = KT_ROLE_ADMIN; /* the socket's is what it is */
	assert_string_equal(told(f, SHE, CID, REMOVE_CAROL), DONE_REMOVE);
}

static void one_of_two_admins_of_the_ledger_may_go(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	add(f, "dave", DAVE, "admin");
	assert_int_equal(fake_connect(f, HE, "op:dave", NULL, DAVE), KT_ANSWER_ACCEPT);
	f->config.operator_count = 0;
	assert_string_equal(told(f, HE, "op:dave", REMOVE_CAROL), DONE_REMOVE);
	assert_error(told(f, HE, "op:dave", "{\"command\":\"removeOperator\",\"name\":\"dave\"}"),
		     "admin.last");
}

/* --- oneself ------------------------------------------------------------------------------------
 */

static void who_removes_himself_is_told_and_then_ended(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_int_equal(fake_connect(f, ALSO_SHE, "op:second", NULL, CAROL), KT_ANSWER_ACCEPT);
	fake_forget(f);
	say(f, SHE, REMOVE_CAROL ",{\"command\":\"revoke\",\"device\":\"hub-17\"}");
	assert_true(fake_was_kicked(f, "op:second"));
	assert_false(fake_was_kicked(f, CID));
	assert_topics(f, SHE, KT_RIGHT_DENY);
	fake_ticks(f, 4); /* the disk takes its time */
	assert_false(fake_was_kicked(f, CID));
	fake_durable(f);
	assert_string_equal(
		fake_sent(f, CID, ""),
		"{\"responses\":[{\"command\":\"removeOperator\",\"data\":{}},"
		"{\"command\":\"revoke\",\"error\":\"denied\",\"detail\":\"your role may "
		"not do this\"}]}");
	assert_int_equal(kt_registry_find_device(f->registry, "hub-17")->state, KT_DEVICE_ACTIVE);
	fake_ticks(f, 2);
	assert_false(fake_was_kicked(f, CID)); /* the answer is on its way */
	fake_tick(f);
	assert_true(fake_was_kicked(f, CID));
}

static void an_answer_that_never_leaves_does_not_keep_him(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	say(f, SHE, REMOVE_CAROL);
	fake_ticks(f, 9);
	assert_false(fake_was_kicked(f, CID));
	fake_ticks(f, 2); /* a second is over */
	assert_true(fake_was_kicked(f, CID));
}

/* --- whatever else ------------------------------------------------------------------------------
 */

static void sighup_gives_nothing_back(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	f->kick_fails = true;
	(void)told(f, BOSS, "op:root", REMOVE_CAROL);
	kt_core_reload(f->core, f->now);
	(void)fake_connect(f, SHE, CID, NULL, NULL);
	assert_topics(f, SHE, KT_RIGHT_DENY);
	fake_tick(f);
	assert_topics(f, SHE, KT_RIGHT_DENY);
	assert_int_equal(fake_connect(f, ALSO_SHE, CID, NULL, CAROL), KT_ANSWER_BANNED);
}

static void the_ledgers_of_yesterday_are_operators_at_the_start(void **state)
{
	struct kt_registry *registry = fleet_new();
	struct kt_record record = fleet_record(registry, KT_RECORD_OPERATOR_ADD, NULL);
	struct fake *f;

	(void)state;
	assert_true(kt_device_id_set(&record.name, "carol", 5));
	record.fp = fake_fingerprint(CAROL);
	record.role = KT_ROLE_REVOKER;
	fleet_apply(registry, &record);
	f = fake_new(registry);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
	assert_int_equal(kt_session_role(fake_session(f, SHE)), KT_ROLE_REVOKER);
	fake_free(f);
}

static void after_a_restore_none_of_them_is(void **state)
{
	struct fake *f = *state;

	add(f, "carol", CAROL, "admin");
	fleet_simple(f->registry, KT_RECORD_RESTORE, NULL, 0);
	fake_durable(f);
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_BANNED);
	assert_int_equal(kt_core_count(f->core, KT_REASON_CERT_REVOKED), 1);
	assert_int_equal(fake_connect(f, BOSS, "op:root", NULL, ROOT), KT_ANSWER_ACCEPT);
	add(f, "carol", CAROL, "admin");
	assert_int_equal(fake_connect(f, SHE, CID, NULL, CAROL), KT_ANSWER_ACCEPT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nobody_is_let_in_before_the_record_is_on_disk),
		T(certificate_name_and_client_id_must_all_be_right),
		T(a_name_that_is_there_is_not_given_again),
		T(without_a_ledger_nobody_is_added),
		T(a_removal_ends_rights_and_sessions_before_it_is_durable),
		T(what_was_asked_before_the_removal_is_not_told_after_it),
		T(also_without_a_ledger_and_then_it_says_so),
		T(who_is_none_cannot_be_removed),
		T(another_role_begins_with_another_session),
		T(another_certificate_ends_who_holds_the_one_before),
		T(the_last_admin_stays),
		T(one_of_two_admins_of_the_ledger_may_go),
		T(who_removes_himself_is_told_and_then_ended),
		T(an_answer_that_never_leaves_does_not_keep_him),
		T(sighup_gives_nothing_back),
		cmocka_unit_test(the_ledgers_of_yesterday_are_operators_at_the_start),
		T(after_a_restore_none_of_them_is),
	};

	return cmocka_run_group_tests_name("operators", tests, NULL, NULL);
}
