#include "control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet.h"
#include "played.h"

#define OK_SET "{\"responses\":[{\"command\":\"setDevice\",\"data\":{}}]}"

/* --- what is done --- */

static void each_plain_command_calls_its_action_with_its_fields(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *command;
		const char *members;
		const char *call;
	} cases[] = {
		{"cancel", "\"device\":\"hub-1\"", "cancel(hub-1,op:alice) "},
		{"challenge", "\"device\":\"hub-1\"", "challenge(hub-1,op:alice) "},
		{"quarantine", "\"device\":\"hub-2\"", "quarantine(hub-2,op:alice,) "},
		{"quarantine", "\"device\":\"hub-2\",\"note\":\"odd\"",
		 "quarantine(hub-2,op:alice,odd) "},
		{"release", "\"device\":\"hub-2\"", "release(hub-2,op:alice) "},
		{"release", "\"device\":\"hub-2\",\"freeze\":false", "release(hub-2,op:alice) "},
		{"release", "\"device\":\"hub-2\",\"freeze\":true", "unfreeze(hub-2,op:alice) "},
		{"confirmClock", "", "clock(op:alice) "},
		{"endReconcile", "", "reconciled(op:alice,) "},
		{"endReconcile", "\"note\":\"done\"", "reconciled(op:alice,done) "},
		{"revoke", "\"device\":\"hub-1\"", "revoke(hub-1,op:alice,0,0,) "},
		{"revoke", "\"device\":\"hub-1\",\"emergency\":true,\"wipe\":true,\"note\":\"n\"",
		 "revoke(hub-1,op:alice,1,1,n) "},
		{"deleteDevice", "\"device\":\"hub-3\"", "delete(hub-3,op:alice) "},
		{"deny", "\"keyId\":\"" KEY "\"", "deny(ab,op:alice) "},
		{"addOperator", "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"revoker\"",
		 "addOperator(carol,ab,revoker,op:alice,) "},
		{"addOperator",
		 "\"name\":\"carol\",\"fp\":\"" KEY "\",\"role\":\"admin\",\"note\":\"day\"",
		 "addOperator(carol,ab,admin,op:alice,day) "},
		{"removeOperator", "\"name\":\"carol\"", "removeOperator(carol,) "},
		{"removeOperator", "\"name\":\"carol\",\"note\":\"left\"",
		 "removeOperator(carol,left) "},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[128];
		const char *answer = ask_one(f, cases[i].command, cases[i].members);
		(void)snprintf(expected, sizeof(expected), OK("%s"), cases[i].command);
		assert_string_equal(answer, expected);
		assert_string_equal(f->played.calls, cases[i].call);
		assert_int_equal(f->played.answer_seq, 40);
		assert_int_equal(f->played.done, 1);
		assert_int_equal(f->played.refused_count, 0);
		(void)snprintf(expected, sizeof(expected), "command=%s actor=op:alice ",
			       cases[i].command);
		assert_string_equal(f->played.done_fields, expected);
	}
}

static void devices_are_created_and_approved(void **state)
{
	struct fixture *f = *state;
	assert_string_equal(ask_one(f, "createDevice", "\"device\":\"hub-9\""),
			    "{\"responses\":[{\"command\":\"createDevice\",\"data\":"
			    "{\"device\":\"hub-9\"}}]}");
	assert_string_equal(f->played.calls, "create(hub-9,,00,op:alice) ");
	(void)ask_one(f, "createDevice",
		      "\"device\":\"hub-9\",\"group\":\"g\",\"keyId\":\"" KEY "\"");
	assert_string_equal(f->played.calls, "create(hub-9,g,ab,op:alice) ");
	assert_string_equal(
		ask_one(f, "approve", "\"device\":\"hub-9\",\"keyId\":\"" KEY "\",\"group\":\"g\""),
		"{\"responses\":[{\"command\":\"approve\",\"data\":{\"device\":\"hub-9\"}}]}");
	assert_string_equal(f->played.calls, "approve(hub-9,ab,g,op:alice) ");
}

static void a_certificate_is_imported_in_pem_or_base64(void **state)
{
	struct fixture *f = *state;
	f->played.imported = (struct kt_imported){.alg = KT_ALG_ES256, .not_after_s = 1700000160};
	f->played.imported.fp.b[31] = 0xcd;
	f->played.imported.key_id.b[31] = 0xab;
	assert_string_equal(
		ask_one(f, "importCertificate", "\"device\":\"hub-9\",\"certificate\":\"YWJj\""),
		"{\"responses\":[{\"command\":\"importCertificate\",\"data\":{\"device\":\"hub-9\","
		"\"fp\":\"00000000000000000000000000000000000000000000000000000000000000cd\","
		"\"keyId\":\"" KEY "\",\"canRotate\":true,\"known\":false,"
		"\"notAfter\":\"2023-11-14T22:16:00.000000Z\"}}]}");
	assert_string_equal(f->played.calls, "import(hub-9,,abc,0,op:alice) ");
	f->played.imported.alg = KT_ALG_NONE;
	f->played.imported.is_known = true;
	f->played.imported.not_after_s = KT_CERT_NO_END;
	(void)ask_one(f, "importCertificate",
		      "\"device\":\"hub-9\",\"group\":\"g\",\"check\":true,\"certificate\":"
		      "\"-----BEGIN CERTIFICATE-----\\nYWJj\\n-----END CERTIFICATE-----\\n\"");
	assert_string_equal(f->played.calls, "import(hub-9,g,abc,1,op:alice) ");
	assert_non_null(strstr(f->played.answer, "\"canRotate\":false,\"known\":true}"));
}

static void what_is_no_certificate_is_not_imported(void **state)
{
	static const char *const bad[] = {
		"\"certificate\":\"\"", "\"certificate\":\"a b\"",
		"\"certificate\":\"-----BEGIN CERTIFICATE-----\"",
		"\"certificate\":\"-----BEGIN CERTIFICATE-----\\nYWJj\\n-----END "
		"CERTIFICATE-----\\n"
		"-----BEGIN CERTIFICATE-----\\nYWJj\\n-----END CERTIFICATE-----\\n\""};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char members[256];
		(void)snprintf(members, sizeof(members), "\"device\":\"hub-9\",%s", bad[i]);
		(void)ask_one(f, "importCertificate", members);
		assert_string_equal(f->played.calls, "");
		assert_non_null(strstr(f->played.answer, "\"error\":\"cert.syntax\""));
	}
	f->played.imported.why = "the certificate has ended";
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_CERT_USE};
	(void)ask_one(f, "importCertificate", "\"device\":\"hub-9\",\"certificate\":\"YWJj\"");
	assert_non_null(strstr(f->played.answer, "\"error\":\"cert.use\",\"detail\":\"the "
						 "certificate has ended\""));
}

static void a_ticket_comes_back_once_and_in_the_answer_alone(void **state)
{
	struct fixture *f = *state;
	struct kt_ticket ticket;
	char *start = NULL;
	(void)ask_one(f, "createTicket", "\"device\":\"hub-1\"");
	assert_string_equal(f->played.calls, "ticket(hub-1,,,b:8883,1700604900000000,op:alice) ");
	start = strstr(f->played.answer, "keyturn-ticket-1.");
	assert_non_null(start);
	char *end = strchr(start, '"');
	assert_string_equal(end, "\",\"expires\":\"2023-11-21T22:15:00.000000Z\"}}]}");
	*end = '\0';
	assert_int_equal(kt_ticket_decode(start, &ticket), KT_ERR_OK);
	assert_int_equal(ticket.secret[0], 0x77);
	assert_string_equal(ticket.device, "hub-1");
	assert_null(strstr(f->played.done_fields, "keyturn-ticket"));

	(void)ask_one(f, "createTicket",
		      "\"group\":\"g\",\"pattern\":\"hub-*\",\"validFor\":60,"
		      "\"broker\":\"c.example:1\"");
	assert_string_equal(f->played.calls,
			    "ticket(,g,hub-*,c.example:1,1700000160000000,op:alice) ");
}

static void a_refused_ticket_is_not_in_the_answer(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_STORE_FAILED};
	(void)ask_one(f, "createTicket", "\"device\":\"hub-1\"");
	assert_null(strstr(f->played.answer, "keyturn-ticket"));
	assert_non_null(strstr(f->played.answer, "\"error\":\"store.failed\""));
}

static void rotate_names_one_device_and_answers_its_op(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.seq = 41, .op = 1700000000000001};
	assert_string_equal(ask_one(f, "rotate", "\"device\":\"hub-1\",\"note\":\"why\""),
			    "{\"responses\":[{\"command\":\"rotate\",\"data\":{\"device\":"
			    "\"hub-1\",\"op\":\"1700000000000001\"}}]}");
	assert_string_equal(f->played.calls, "rotate(hub-1,op:alice,why) ");
	assert_int_equal(f->played.answer_seq, 41);
	assert_string_equal(f->played.done_fields,
			    "command=rotate actor=op:alice op=1700000000000001 ");
	(void)ask_one(f, "rotate", "\"device\":\"hub-1\",\"expect\":1");
	assert_int_equal(f->played.done, 1);
}

static void rotate_names_several_and_says_how_many(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.seq = 41, .op = 7};
	f->played.second = (struct kt_outcome){.reason = KT_REASON_FROZEN};
	f->played.has_second = true;
	assert_string_equal(
		ask_one(f, "rotate", "\"devices\":[\"hub-1\",\"hub-3\"],\"expect\":2"),
		"{\"responses\":[{\"command\":\"rotate\",\"data\":{\"devices\":[{\"device\":"
		"\"hub-1\",\"op\":\"7\"},{\"device\":\"hub-3\",\"error\":\"frozen\"}],"
		"\"ordered\":1,\"refused\":1}}]}");
	assert_int_equal(f->played.answer_seq, 41);
	(void)ask_one(f, "rotate", "\"devices\":[\"hub-2\"]");
	assert_string_equal(f->played.calls, "rotate(hub-2,op:alice,) ");
	(void)ask_one(f, "rotate", "\"all\":true,\"expect\":3");
	assert_string_equal(f->played.calls, "rotate(hub-1,op:alice,) rotate(hub-2,op:alice,) "
					     "rotate(hub-3,op:alice,) ");
}

static void all_means_active_devices(void **state)
{
	struct fixture *f = *state;
	fleet_simple(f->core.registry, KT_RECORD_REVOKE, "hub-2", 0);
	(void)ask_one(f, "rotate", "\"all\":true,\"expect\":2");
	assert_string_equal(f->played.calls, "rotate(hub-1,op:alice,) rotate(hub-3,op:alice,) ");
}

/* hub-1 is in the group north, the others are in none. */
static void a_selector_means_whom_it_says(void **state)
{
	struct fixture *f = *state;

	(void)ask_one(f, "rotate", "\"select\":[\"group=north\"],\"expect\":1");
	assert_string_equal(f->played.calls, "rotate(hub-1,op:alice,) ");
	fleet_simple(f->core.registry, KT_RECORD_REVOKE, "hub-2", 0);
	(void)ask_one(f, "revoke", "\"select\":[\"older-than=0\"],\"expect\":2,\"wipe\":true");
	assert_string_equal(f->played.calls,
			    "revoke(hub-1,op:alice,0,1,) revoke(hub-3,op:alice,0,1,) ");
	(void)ask_one(f, "deleteDevice", "\"select\":[\"state=revoked\"],\"expect\":1");
	assert_string_equal(f->played.calls, "delete(hub-2,op:alice) ");
	assert_string_equal(ask_one(f, "quarantine", "\"select\":[\"group=south\"],\"expect\":0"),
			    "{\"responses\":[{\"command\":\"quarantine\",\"data\":{\"devices\":[],"
			    "\"ordered\":0,\"refused\":0}}]}");
	assert_int_equal(f->played.actions, 0);
}

static void every_command_for_devices_takes_many(void **state)
{
	static const struct {
		const char *command;
		const char *calls;
	} cases[] = {
		{"cancel", "cancel(hub-1,op:alice) cancel(hub-2,op:alice) "},
		{"challenge", "challenge(hub-1,op:alice) challenge(hub-2,op:alice) "},
		{"quarantine", "quarantine(hub-1,op:alice,) quarantine(hub-2,op:alice,) "},
		{"release", "release(hub-1,op:alice) release(hub-2,op:alice) "},
		{"revoke", "revoke(hub-1,op:alice,0,0,) revoke(hub-2,op:alice,0,0,) "},
		{"deleteDevice", "delete(hub-1,op:alice) delete(hub-2,op:alice) "},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[256];

		(void)snprintf(expected, sizeof(expected),
			       "{\"responses\":[{\"command\":\"%s\",\"data\":{\"devices\":[{"
			       "\"device\":\"hub-1\"},{\"device\":\"hub-2\"}],\"ordered\":2,"
			       "\"refused\":0}}]}",
			       cases[i].command);
		assert_string_equal(ask_one(f, cases[i].command,
					    "\"devices\":[\"hub-1\",\"hub-2\"],\"expect\":2"),
				    expected);
		assert_string_equal(f->played.calls, cases[i].calls);
		assert_int_equal(f->played.answer_seq, 40);
	}
}

static void a_dry_run_names_them_and_does_nothing(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask_one(f, "revoke", "\"all\":true,\"dryRun\":true"),
			    "{\"responses\":[{\"command\":\"revoke\",\"data\":{\"devices\":[{"
			    "\"device\":\"hub-1\"},{\"device\":\"hub-2\"},{\"device\":\"hub-3\"}],"
			    "\"meant\":3,\"refused\":0}}]}");
	assert_int_equal(f->played.actions, 0);
	assert_string_equal(ask_one(f, "rotate", "\"device\":\"hub-2\",\"dryRun\":true"),
			    "{\"responses\":[{\"command\":\"rotate\",\"data\":{\"device\":"
			    "\"hub-2\"}}]}");
	assert_int_equal(f->played.actions, 0);
	assert_string_equal(ask_one(f, "rotate", "\"select\":[\"group=south\"],\"dryRun\":true"),
			    "{\"responses\":[{\"command\":\"rotate\",\"data\":{\"devices\":[],"
			    "\"meant\":0,\"refused\":0}}]}");
	assert_int_equal(f->played.actions, 0);
	assert_int_equal(f->played.answer_seq, 0);
}

static void a_device_is_set_to_what_results(void **state)
{
	static const struct {
		const char *members;
		const char *call;
	} cases[] = {
		{"\"group\":\"south\"", "set(hub-1,south,b,d,op:alice) "},
		{"\"group\":\"\"", "set(hub-1,,b,d,op:alice) "},
		{"\"addLabels\":[\"c\",\"a\",\"b\"]", "set(hub-1,north,a,b,c,d,op:alice) "},
		{"\"removeLabels\":[\"b\",\"x\"]", "set(hub-1,north,d,op:alice) "},
		{"\"removeLabels\":[\"b\",\"d\"],\"addLabels\":[\"b\"],\"group\":\"g\"",
		 "set(hub-1,g,b,op:alice) "},
	};
	struct fixture *f = *state;
	struct kt_record rec = fleet_record(f->core.registry, KT_RECORD_DEVICE_SET, "hub-1");

	(void)snprintf(rec.group, sizeof(rec.group), "north");
	(void)snprintf(rec.labels.s, sizeof(rec.labels.s), "b,d");
	fleet_apply(f->core.registry, &rec);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char members[160];

		(void)snprintf(members, sizeof(members), "\"device\":\"hub-1\",%s",
			       cases[i].members);
		assert_string_equal(ask_one(f, "setDevice", members), OK_SET);
		assert_string_equal(f->played.calls, cases[i].call);
	}
	(void)ask_one(f, "setDevice", "\"all\":true,\"expect\":3,\"addLabels\":[\"q\"]");
	assert_string_equal(f->played.calls, "set(hub-1,north,b,d,q,op:alice) "
					     "set(hub-2,,q,op:alice) set(hub-3,,q,op:alice) ");
}

/* What one has no room for is refused for that one. */
static void labels_that_have_no_room_are_an_error_of_the_row(void **state)
{
	struct fixture *f = *state;
	struct kt_record rec = fleet_record(f->core.registry, KT_RECORD_DEVICE_SET, "hub-1");
	char label[KT_LABEL_MAX + 1];

	for (char c = 'a'; c <= 'd'; c++) {
		memset(label, c, KT_LABEL_MAX);
		label[KT_LABEL_MAX] = '\0';
		assert_int_equal(kt_labels_add(&rec.labels, label), KT_ERR_OK);
	}
	fleet_apply(f->core.registry, &rec);
	assert_string_equal(
		ask_one(f, "setDevice",
			"\"devices\":[\"hub-1\",\"hub-2\"],\"expect\":2,\"addLabels\":[\"q\"]"),
		"{\"responses\":[{\"command\":\"setDevice\",\"data\":{\"devices\":[{\"device\":"
		"\"hub-1\",\"error\":\"msg.size\"},{\"device\":\"hub-2\"}],\"ordered\":1,"
		"\"refused\":1}}]}");
	assert_string_equal(f->played.calls, "set(hub-2,,q,op:alice) ");
}

/* --- what is shown --- */

static void lists_come_in_pages_with_a_total(void **state)
{
	struct fixture *f = *state;
	static const char row1[] =
		"{\"device\":\"hub-1\",\"group\":\"north\",\"state\":\"active\",\"phase\":\"idle\","
		"\"generation\":1,\"quarantined\":false,\"frozen\":false,\"adopted\":false,"
		"\"online\":false}";
	char expected[512];
	(void)snprintf(expected, sizeof(expected),
		       "{\"responses\":[{\"command\":\"listDevices\",\"data\":{\"devices\":[%s],"
		       "\"offset\":0,\"total\":3}}]}",
		       row1);
	assert_string_equal(ask_one(f, "listDevices", "\"count\":1"), expected);
	assert_int_equal(f->played.answer_seq, 0);
	assert_int_equal(f->played.done, 0); /* who looks leaves no line */
	const char *answer = ask_one(f, "listDevices", "\"offset\":1,\"count\":200");
	assert_null(strstr(answer, "hub-1"));
	assert_non_null(strstr(answer, "hub-2"));
	assert_non_null(strstr(answer, "hub-3"));
	assert_non_null(strstr(answer, "\"offset\":1,\"total\":3"));
	answer = ask_one(f, "listDevices", "\"offset\":3");
	assert_non_null(strstr(answer, "\"devices\":[],\"offset\":3,\"total\":3"));
}

static void lists_can_be_of_one_state(void **state)
{
	struct fixture *f = *state;
	fleet_simple(f->core.registry, KT_RECORD_REVOKE, "hub-2", 0);
	fleet_simple(f->core.registry, KT_RECORD_DELETE, "hub-3", 0);
	fleet_simple(f->core.registry, KT_RECORD_QUARANTINE, "hub-1", 0);
	static const struct {
		const char *state;
		const char *device;
	} cases[] = {{"active", "hub-1"},
		     {"revoked", "hub-2"},
		     {"deleted", "hub-3"},
		     {"quarantined", "hub-1"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char members[64];
		char row[64];
		(void)snprintf(members, sizeof(members), "\"state\":\"%s\"", cases[i].state);
		(void)snprintf(row, sizeof(row), "{\"device\":\"%s\"", cases[i].device);
		const char *answer = ask_one(f, "listDevices", members);
		assert_non_null(strstr(answer, row));
		assert_non_null(strstr(answer, "\"total\":1"));
	}
	assert_non_null(strstr(ask_one(f, "listDevices", "\"state\":\"new\""), "\"total\":0"));
	assert_non_null(strstr(ask_one(f, "listDevices", "\"state\":\"frozen\""), "\"total\":0"));
	assert_non_null(strstr(ask_one(f, "listDevices", "\"state\":\"adopted\""), "\"total\":0"));
	/* without a filter the deleted one is left out */
	assert_non_null(strstr(ask_one(f, "listDevices", ""), "\"total\":2"));
}

static void a_device_is_shown_with_credentials_op_and_sessions(void **state)
{
	struct fixture *f = *state;
	struct kt_session *session = NULL;
	fleet_open(f->core.registry, "hub-1", 9);
	fleet_issue(f->core.registry, "hub-1", "cert-1b");
	assert_int_equal(kt_sessions_add(f->core.sessions, 1, "hub-1:agent", &session), KT_ERR_OK);
	session->kind = KT_SESSION_AGENT;
	session->started_ms = 60000;
	(void)snprintf(session->address, sizeof(session->address), "192.0.2.7");
	kt_sessions_set_device(f->core.sessions, session,
			       kt_registry_find_device(f->core.registry, "hub-1"));
	const char *answer = ask_one(f, "getDevice", "\"device\":\"hub-1\"");
	assert_non_null(strstr(answer, "\"phase\":\"issued\""));
	assert_non_null(strstr(answer, "\"online\":true"));
	assert_non_null(strstr(answer, "\"current\":{\"fp\":\""));
	assert_non_null(strstr(answer, "\"generation\":1,\"status\":\"current\",\"op\":\"1\"}"));
	assert_non_null(strstr(answer, "\"pending\":{\"fp\":\""));
	assert_non_null(strstr(answer, "\"generation\":2,\"status\":\"pending\",\"op\":\"9\"}"));
	assert_non_null(strstr(answer, "\"op\":\"9\",\"enrolling\":false"));
	assert_non_null(strstr(answer, "\"sessions\":[{\"clientId\":\"hub-1:agent\",\"kind\":"
				       "\"agent\",\"address\":\"192.0.2.7\",\"since\":"
				       "\"2023-11-14T22:14:30.000000Z\"}]"));
}

static void claimants_are_listed(void **state)
{
	struct fixture *f = *state;
	f->played.claims = 250;
	const char *answer = ask_one(f, "listPending", "\"offset\":249");
	assert_non_null(strstr(answer, "\"pending\":[{\"keyId\":\"f9"));
	assert_non_null(strstr(answer, "\"batch\":\"b1\",\"address\":\"192.0.2.1\",\"first\":"
				       "\"2023-11-14T22:13:20.000000Z\",\"last\":"
				       "\"2023-11-14T22:13:21.500000Z\",\"tries\":3}"));
	assert_non_null(strstr(answer, "\"offset\":249,\"total\":250"));
	answer = ask_one(f, "listPending", "");
	size_t rows = 0;
	for (const char *at = answer; (at = strstr(at, "keyId")) != NULL; at++) {
		rows++;
	}
	assert_int_equal(rows, 200);
}

static void put_operator(struct fixture *f, enum kt_record_kind kind, const char *name,
			 enum kt_role role)
{
	struct kt_record record = fleet_record(f->core.registry, kind, NULL);

	(void)kt_device_id_set(&record.name, name, strlen(name));
	record.role = role;
	memset(record.fp.b, 0xcd, sizeof(record.fp.b));
	fleet_apply(f->core.registry, &record);
}

#define CD32 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
#define ROW_UNIX                                                                                   \
	"{\"name\":\"/run/kt.sock\",\"role\":\"admin\",\"source\":\"config\","                     \
	"\"kind\":\"socket\"}"
#define ROW_CERT                                                                                   \
	"{\"name\":\"ann\",\"role\":\"viewer\",\"source\":\"config\",\"kind\":"                    \
	"\"certificate\",\"fp\":"                                                                  \
	"\"0000000000000000000000000000000000000000000000000000000000000000\"}"
#define ROW_OF(name, role)                                                                         \
	"{\"name\":\"" name "\",\"role\":\"" role "\",\"source\":\"ledger\",\"kind\":"             \
	"\"certificate\",\"fp\":\"" CD32 "\",\"since\":\"2023-11-14T22:13:20.000000Z\",\"by\":"    \
	"\"op:test\"}"
#define LIST(rows, offset, total)                                                                  \
	"{\"responses\":[{\"command\":\"listOperators\",\"data\":{\"operators\":[" rows "],"       \
	"\"offset\":" offset ",\"total\":" total "}}]}"

static void operators_are_listed_with_where_they_come_from(void **state)
{
	struct fixture *f = *state;

	f->config.operators[0] =
		(struct kt_operator){.kind = KT_OPERATOR_UNIX, .role = KT_ROLE_ADMIN};
	(void)snprintf(f->config.operators[0].name, sizeof(f->config.operators[0].name),
		       "/run/kt.sock");
	f->config.operators[1] =
		(struct kt_operator){.kind = KT_OPERATOR_CERT, .role = KT_ROLE_VIEWER};
	(void)snprintf(f->config.operators[1].name, sizeof(f->config.operators[1].name),
		       "spiffe://" FLEET_TD "/operator/ann");
	f->config.operator_count = 2;
	put_operator(f, KT_RECORD_OPERATOR_ADD, "carol", KT_ROLE_REVOKER);
	put_operator(f, KT_RECORD_OPERATOR_ADD, "dave", KT_ROLE_ROTATOR);
	put_operator(f, KT_RECORD_OPERATOR_REMOVE, "dave", KT_ROLE_NONE);
	assert_string_equal(ask_one(f, "listOperators", ""),
			    LIST(ROW_UNIX "," ROW_CERT "," ROW_OF("carol", "revoker"), "0", "3"));
	assert_int_equal(f->played.done, 0); /* who looks leaves no line */
	assert_string_equal(ask_one(f, "listOperators", "\"offset\":1,\"count\":1"),
			    LIST(ROW_CERT, "1", "3"));
	assert_string_equal(ask_one(f, "listOperators", "\"offset\":2"),
			    LIST(ROW_OF("carol", "revoker"), "2", "3"));
	assert_string_equal(ask_one(f, "listOperators", "\"offset\":3"), LIST("", "3", "3"));
	assert_string_equal(ask_one(f, "listOperators", "\"removed\":false"),
			    LIST(ROW_UNIX "," ROW_CERT "," ROW_OF("carol", "revoker"), "0", "3"));
	assert_string_equal(ask_one(f, "listOperators", "\"removed\":true"),
			    LIST(ROW_OF("dave", "rotator"), "0", "1"));
}

static void who_stands_in_the_configuration_is_said_to(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_STATE};
	assert_string_equal(ask_one(f, "removeOperator", "\"name\":\"ann\""),
			    "{\"responses\":[{\"command\":\"removeOperator\",\"error\":\"state\","
			    "\"detail\":\"name stands in keyturn.conf: take its line out there and "
			    "restart the broker\"}]}");
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_ADMIN_LAST};
	assert_string_equal(ask_one(f, "removeOperator", "\"name\":\"ann\""),
			    "{\"responses\":[{\"command\":\"removeOperator\",\"error\":"
			    "\"admin.last\",\"detail\":\"the last admin cannot be removed\"}]}");
}

static void status_tells_what_the_plugin_is_worth(void **state)
{
	struct fixture *f = *state;
	f->core.journal_failed = true;
	f->core.refusals[KT_REASON_CERT_UNKNOWN] = 12;
	const char *answer = ask_one(f, "status", "");
	assert_non_null(strstr(answer, "\"version\":\"" KT_VERSION "\""));
	assert_non_null(strstr(answer, "\"durableSeq\":\"3\",\"ledgerOk\":false"));
	assert_non_null(
		strstr(answer, "\"clockJumped\":false,\"enforce\":\"on\",\"reconciling\":false,"));
	assert_non_null(strstr(answer, "\"counts\":{\"devices\":3,\"active\":3,"));
	assert_non_null(
		strstr(answer, "\"refusals\":{\"cert.unknown\":\"12\"},\"wouldRefuse\":{}"));
	f->config.enforce = KT_ENFORCE_OBSERVE;
	f->core.would_refuse[KT_REASON_CERT_FOREIGN] = 3;
	answer = ask_one(f, "status", "");
	assert_non_null(strstr(answer, "\"enforce\":\"observe\""));
	assert_non_null(strstr(answer, "\"wouldRefuse\":{\"cert.foreign\":\"3\"}"));
}

static void status_tells_of_the_revocation_list_where_there_is_one(void **state)
{
	struct fixture *f = *state;
	const struct kt_crl_head last = {.number = 1700000000000001,
					 .this_update_s = 1700000000,
					 .next_update_s = 1700604800,
					 .entry_count = 7};
	struct kt_config config = *f->core.config;
	const char *answer = ask_one(f, "status", "");
	assert_null(strstr(answer, "\"crl\""));
	assert_int_equal(kt_crl_new(&last, &f->core.crl), KT_ERR_OK);
	(void)snprintf(config.crl_file, sizeof(config.crl_file), "/crl/crl.pem");
	f->core.config = &config;
	answer = ask_one(f, "status", "");
	assert_non_null(strstr(answer, "\"crl\":{\"ok\":true,\"number\":\"1700000000000001\","
				       "\"entries\":7,\"leftOut\":0,"
				       "\"thisUpdate\":\"2023-11-14T22:13:20.000000Z\","
				       "\"nextUpdate\":\"2023-11-21T22:13:20.000000Z\"},"));
	kt_crl_free(f->core.crl);
	f->core.crl = NULL;
}

/* --- batches --- */

static void a_batch_is_answered_in_order_and_half_a_batch_is_done(void **state)
{
	struct fixture *f = *state;
	f->played.has_second = true;
	f->played.second.seq = 39; /* the answer waits for the highest, whatever the order */
	assert_string_equal(
		ask(f, "{\"commands\":[{\"command\":\"cancel\",\"device\":\"hub-1\","
		       "\"correlationData\":\"a\"},{\"command\":\"cancel\"},{\"command\":\"nope\","
		       "\"correlationData\":\"c\"},7,{\"command\":\"challenge\",\"device\":"
		       "\"hub-2\"}]}"),
		"{\"responses\":[{\"command\":\"cancel\",\"correlationData\":\"a\",\"data\":{}},"
		"{\"command\":\"cancel\",\"error\":\"json.field\",\"detail\":\"device or devices "
		"or all or select: exactly one of them\"}"
		",{\"command\":\"nope\",\"correlationData\":\"c\",\"error\":\"command.unknown\","
		"\"detail\":\"command names none that there is\"},{\"error\":\"json.field\","
		"\"detail\":\"commands holds something that is no object\"},{\"command\":"
		"\"challenge\",\"data\":{}}]}");
	assert_string_equal(f->played.calls, "cancel(hub-1,op:alice) challenge(hub-2,op:alice) ");
	assert_int_equal(f->played.answer_seq, 40);
	assert_int_equal(f->played.done, 2);
	assert_int_equal(f->played.refused_count, 3);
	assert_int_equal(f->played.refused[0], KT_REASON_JSON_FIELD);
	assert_int_equal(f->played.refused[1], KT_REASON_COMMAND_UNKNOWN);
}

static void what_is_in_memory_alone_is_said_at_once(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_NOT_DURABLE, .seq = 99};
	assert_string_equal(ask_one(f, "revoke", "\"device\":\"hub-1\""),
			    "{\"responses\":[{\"command\":\"revoke\",\"error\":\"not_durable\","
			    "\"detail\":\"in force, but not on disk\"}]}");
	assert_int_equal(f->played.answer_seq, 0);
	assert_int_equal(f->played.refused[0], KT_REASON_NOT_DURABLE);
	assert_string_equal(f->played.refused_fields,
			    "command=revoke actor=op:alice device=hub-1 ");
}

static void the_reason_of_an_action_is_told_in_its_words(void **state)
{
	struct fixture *f = *state;
	f->played.outcome = (struct kt_outcome){.reason = KT_REASON_STATE};
	assert_string_equal(ask_one(f, "challenge", "\"device\":\"hub-1\""),
			    "{\"responses\":[{\"command\":\"challenge\",\"error\":\"state\","
			    "\"detail\":\"not possible in the present state\"}]}");
}

static void a_hundred_commands_pass_and_one_more_does_not(void **state)
{
	struct fixture *f = *state;
	for (int count = 100; count <= 101; count++) {
		char text[8192] = "{\"commands\":[";
		size_t len = strlen(text);
		for (int i = 0; i < count; i++) {
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s{\"command\":\"confirmClock\"}",
						i > 0 ? "," : "");
		}
		(void)snprintf(text + len, sizeof(text) - len, "]}");
		const char *answer = ask(f, text);
		assert_int_equal(f->played.actions, count == 100 ? 100 : 0);
		if (count > 100) {
			assert_string_equal(answer,
					    "{\"responses\":[{\"error\":\"msg.size\",\"detail\":"
					    "\"commands is longer than its limit\"}]}");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FLEET(each_plain_command_calls_its_action_with_its_fields),
		WITH_FLEET(devices_are_created_and_approved),
		WITH_FLEET(a_certificate_is_imported_in_pem_or_base64),
		WITH_FLEET(what_is_no_certificate_is_not_imported),
		WITH_FLEET(a_ticket_comes_back_once_and_in_the_answer_alone),
		WITH_FLEET(a_refused_ticket_is_not_in_the_answer),
		WITH_FLEET(rotate_names_one_device_and_answers_its_op),
		WITH_FLEET(rotate_names_several_and_says_how_many),
		WITH_FLEET(a_selector_means_whom_it_says),
		WITH_FLEET(every_command_for_devices_takes_many),
		WITH_FLEET(a_dry_run_names_them_and_does_nothing),
		WITH_FLEET(a_device_is_set_to_what_results),
		WITH_FLEET(labels_that_have_no_room_are_an_error_of_the_row),
		WITH_FLEET(all_means_active_devices),
		WITH_FLEET(lists_come_in_pages_with_a_total),
		WITH_FLEET(lists_can_be_of_one_state),
		WITH_FLEET(a_device_is_shown_with_credentials_op_and_sessions),
		WITH_FLEET(claimants_are_listed),
		WITH_FLEET(operators_are_listed_with_where_they_come_from),
		WITH_FLEET(who_stands_in_the_configuration_is_said_to),
		WITH_FLEET(status_tells_what_the_plugin_is_worth),
		WITH_FLEET(status_tells_of_the_revocation_list_where_there_is_one),
		WITH_FLEET(a_batch_is_answered_in_order_and_half_a_batch_is_done),
		WITH_FLEET(what_is_in_memory_alone_is_said_at_once),
		WITH_FLEET(the_reason_of_an_action_is_told_in_its_words),
		WITH_FLEET(a_hundred_commands_pass_and_one_more_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
