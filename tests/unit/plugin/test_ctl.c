#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ctl.h"

#define R0     "\"correlationData\":\"" FAKE_CTL_TOKEN "-0\""
#define R1     "\"correlationData\":\"" FAKE_CTL_TOKEN "-1\""
#define ONE(x) "{\"responses\":[{\"command\":\"c\"," R0 "," x "}]}"
#define DONE   ONE("\"data\":{}")
#define EVENTS "keyturn/v1/events/"
#define KEY_ID "abababababababababababababababababababababababababababababababab"

struct run { /* one command line against one answer */
	const char *line;
	const char *answer; /* NULL: none comes */
	enum kt_ctl_exit code;
	const char *out;
	const char *err;
};

static void assert_run(const struct run *run)
{
	struct fake_ctl fake = {.text = {run->answer}};
	enum kt_ctl_exit code = fake_ctl_run(&fake, run->line);

	if (code != run->code)
		fail_msg("%s: exit %d, expected %d: %s%s", run->line, (int)code, (int)run->code,
			 fake.out, fake.err);
	if (run->out != NULL)
		assert_string_equal(fake.out, run->out);
	if (run->err != NULL && strcmp(fake.err, run->err) != 0)
		fail_msg("%s: said: %s", run->line, fake.err);
	fake_ctl_clear(&fake);
}

#define USAGE(sentence) "keyturnctl: " sentence "\nkeyturnctl --help says what there is\n"

static void what_is_wrong_on_the_command_line_is_said_and_nothing_is_sent(void **state)
{
	static const struct {
		const char *line;
		const char *sentence;
	} cases[] = {
		{"", "which command?"},
		{"explode", "there is no command 'explode'"},
		{"show", "usage: keyturnctl show DEVICE"},
		{"show a b", "usage: keyturnctl show DEVICE"},
		{"list a",
		 "selector 'a' has a word that is none of group= label= state= older-than= "
		 "agent-version<"},
		{"pending a", "pending takes options only"},
		{"status a", "status takes options only"},
		{"show a/b", "'a/b' is no device id (1 to 63 of A-Z a-z 0-9 . _ -)"},
		{"show claim", "'claim' is no device id (1 to 63 of A-Z a-z 0-9 . _ -)"},
		{"deny xyz", "'xyz' is no key id (64 lower-case hex digits)"},
		{"approve hub-1 " KEY_ID, "'hub-1' is no key id (64 lower-case hex digits)"},
		{"create-device a --key-id 12", "'12' is no key id (64 lower-case hex digits)"},
		{"rotate", "usage: keyturnctl rotate DEVICE...|SELECTOR..., or --all"},
		{"rotate a --all --expect 1", "rotate: name devices, or give a selector, or --all"},
		{"revoke", "usage: keyturnctl revoke DEVICE...|SELECTOR..., or --all"},
		{"cancel group=a --all", "cancel: name devices, or give a selector, or --all"},
		{"rotate a group=b", "'group=b': name devices, or give a selector, not both"},
		{"rotate group=b a", "'a': name devices, or give a selector, not both"},
		{"rotate group=",
		 "selector 'group=' has group= without a group: 1 to 63 of A-Z a-z "
		 "0-9 . _ -"},
		{"challenge group=a --wait", "challenge: --wait goes with devices that are named"},
		{"challenge --all --wait", "challenge: --wait goes with devices that are named"},
		{"set a", "set: --group, --ungroup, --label or --unlabel"},
		{"set a --group g --ungroup", "set: --group or --ungroup, not both"},
		{"set a --label x,", "--label x,: a label is 1 to 63 of A-Z a-z 0-9 . _ : / -"},
		{"set a --unlabel =", "--unlabel =: a label is 1 to 63 of A-Z a-z 0-9 . _ : / -"},
		{"rotate --all --expect 0", "--expect 0: not a number from 1 to 1000"},
		{"rotate --all --expect 1001", "--expect 1001: not a number from 1 to 1000"},
		{"rotate --all --expect 1x", "--expect 1x: not a number from 1 to 1000"},
		{"rotate a a", "'a' is named twice"},
		{"list --wipe", "list does not take --wipe"},
		{"list --yes", "list does not take --yes"},
		{"list --json --json", "--json is given twice"},
		{"list --timeout", "--timeout needs a value"},
		{"list --timeout 0s",
		 "--timeout 0s: not a time from 1s to 86400s (s, m, h and d are known)"},
		{"list --timeout soon",
		 "--timeout soon: not a time from 1s to 86400s (s, m, h and d are known)"},
		{"list --unix=", "--unix has an empty value"},
		{"list --frob", "'--frob' is no option, or short for several"},
		{"list -x", "'-x' is no option, or short for several"},
		{"list --unix a --host b", "--unix or --host, not both"},
		{"list --port 1", "--port goes with --host"},
		{"list --cert a", "--cert goes with --host"},
		{"list --host a", "--host needs --cafile, too"},
		{"list --host a --cafile b --cert c", "--host needs --key, too"},
		{"list --host a --cafile b --cert c --key d --port 65536",
		 "--port 65536: not a number from 1 to 65535"},
		{"create-ticket", "create-ticket: a device, or --group and --pattern"},
		{"create-ticket a --group g --pattern p",
		 "create-ticket: a device, or --group and --pattern"},
		{"create-ticket --group g", "create-ticket: a device, or --group and --pattern"},
		{"create-ticket a --raw --json", "--raw or --json, not both"},
		{"create-ticket a --valid-for 2y",
		 "--valid-for 2y: not a time from 1s to 31536000s (s, m, h and d are known)"},
		{"ledger check /x", "usage: keyturnctl ledger verify DIRECTORY"},
		{"ledger verify", "usage: keyturnctl ledger verify DIRECTORY"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {0};
		char expected[512];

		(void)snprintf(expected, sizeof(expected), USAGE("%s"), cases[i].sentence);
		assert_int_equal(fake_ctl_run(&fake, cases[i].line), KT_CTL_EXIT_USAGE);
		assert_string_equal(fake.err, expected);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.broker, "");
		fake_ctl_clear(&fake);
	}
}

/* --- what is sent -------------------------------------------------------------------------------
 */

static void each_command_line_is_the_command_it_means(void **state)
{
	static const struct {
		const char *line;
		const char *fields; /* behind correlationData */
	} cases[] = {
		{"create-device a --group g --key-id " KEY_ID,
		 ",\"device\":\"a\",\"group\":\"g\",\"keyId\":\"" KEY_ID "\""},
		{"approve " KEY_ID " a", ",\"keyId\":\"" KEY_ID "\",\"device\":\"a\""},
		{"deny " KEY_ID, ",\"keyId\":\"" KEY_ID "\""},
		{"rotate a", ",\"device\":\"a\",\"expect\":1"},
		{"rotate a b --note why|not",
		 ",\"devices\":[\"a\",\"b\"],\"expect\":2,\"note\":\"why not\""},
		{"rotate --all --expect 7", ",\"all\":true,\"expect\":7"},
		{"rotate group=g older-than=30d --expect 7",
		 ",\"select\":[\"group=g\",\"older-than=30d\"],\"expect\":7"},
		{"revoke label=x --expect 7 --yes --wipe",
		 ",\"select\":[\"label=x\"],\"expect\":7,\"wipe\":true"},
		{"rotate --all --dry-run", ",\"all\":true,\"dryRun\":true"},
		{"cancel a b --dry-run", ",\"devices\":[\"a\",\"b\"],\"dryRun\":true"},
		{"set a --group g --label x,y --unlabel z",
		 ",\"device\":\"a\",\"expect\":1,\"group\":\"g\",\"addLabels\":[\"x\",\"y\"],"
		 "\"removeLabels\":[\"z\"]"},
		{"set a b --ungroup", ",\"devices\":[\"a\",\"b\"],\"expect\":2,\"group\":\"\""},
		{"cancel a", ",\"device\":\"a\""},
		{"quarantine a --note x", ",\"device\":\"a\",\"note\":\"x\""},
		{"release a", ",\"device\":\"a\""},
		{"release a --freeze", ",\"device\":\"a\",\"freeze\":true"},
		{"confirm-clock", ""},
		{"operator add carol sha256:" KEY_ID " revoker",
		 ",\"name\":\"carol\",\"fp\":\"" KEY_ID "\",\"role\":\"revoker\""},
		{"operator add carol " KEY_ID " admin --note n",
		 ",\"name\":\"carol\",\"fp\":\"" KEY_ID "\",\"role\":\"admin\",\"note\":\"n\""},
		{"operator remove carol --note n", ",\"name\":\"carol\",\"note\":\"n\""},
		{"operator list", ",\"offset\":0"},
		{"operator list --removed", ",\"offset\":0,\"removed\":true"},
		{"reconcile end", ""},
		{"reconcile end --note n", ",\"note\":\"n\""},
		{"revoke a --yes", ",\"device\":\"a\""},
		{"revoke a --yes --emergency --wipe --note n",
		 ",\"device\":\"a\",\"emergency\":true,\"wipe\":true,\"note\":\"n\""},
		{"delete-device a --yes", ",\"device\":\"a\""},
		{"create-ticket a --valid-for 2h --broker h:1",
		 ",\"device\":\"a\",\"broker\":\"h:1\",\"validFor\":7200"},
		{"create-ticket --group g --pattern n-*", ",\"group\":\"g\",\"pattern\":\"n-*\""},
		{"show a", ",\"device\":\"a\""},
		{"status", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.text = {DONE}};
		char expected[512];

		(void)fake_ctl_run(&fake, cases[i].line);
		assert_int_equal(fake.sent_count, 1);
		(void)snprintf(expected, sizeof(expected), R0 "%s}]}", cases[i].fields);
		if (strstr(fake.sent[0], expected) == NULL)
			fail_msg("%s sends %s", cases[i].line, fake.sent[0]);
		assert_true(fake.is_closed);
		fake_ctl_clear(&fake);
	}
}

static void several_devices_are_one_batch(void **state)
{
	struct fake_ctl fake = {.text = {"{\"responses\":[{" R0 ",\"data\":{}},{" R1
					 ",\"error\":\"state\",\"detail\":\"no\"}]}"}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "cancel a b"), KT_CTL_EXIT_REFUSED);
	assert_string_equal(fake.sent[0],
			    "{\"commands\":[{\"command\":\"cancel\"," R0 ",\"device\":\"a\"},"
			    "{\"command\":\"cancel\"," R1 ",\"device\":\"b\"}]}");
	assert_string_equal(fake.out, "a: cancelled\n");
	assert_string_equal(fake.err, "keyturnctl: b: state: no\n");
	fake_ctl_clear(&fake);
}

static void the_address_is_the_one_that_was_given(void **state)
{
	static const struct {
		const char *line;
		const char *broker;
	} cases[] = {
		{"status", KT_CTL_SOCKET ":0"},
		{"status --unix /x", "/x:0"},
		{"--host h --cafile a --cert b --key c status", "h:8883"},
		{"status --host h --cafile a --cert b --key c --port 9", "h:9"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.text = {DONE}};

		assert_int_equal(fake_ctl_run(&fake, cases[i].line), KT_CTL_EXIT_OK);
		assert_string_equal(fake.broker, cases[i].broker);
		fake_ctl_clear(&fake);
	}
}

/* --- what is answered ---------------------------------------------------------------------------
 */

#define NOT_UNDERSTOOD                                                                             \
	"keyturnctl: the answer cannot be understood; was the command carried out? (is this "      \
	"keyturnctl as new as the plugin?)\n"

static void an_answer_is_told_as_what_it_is(void **state)
{
	static const struct run runs[] = {
		{"cancel a", DONE, KT_CTL_EXIT_OK, "a: cancelled\n", ""},
		{"cancel a --json", DONE, KT_CTL_EXIT_OK, "{}\n", ""},
		{"challenge a", DONE, KT_CTL_EXIT_OK, "a: challenged\n", ""},
		{"confirm-clock", DONE, KT_CTL_EXIT_OK, "the clock is confirmed\n", ""},
		{"operator add carol " KEY_ID " admin", DONE, KT_CTL_EXIT_OK, "carol: done\n", ""},
		{"operator remove carol", DONE, KT_CTL_EXIT_OK, "carol: done\n", ""},
		{"operator remove carol --json", DONE, KT_CTL_EXIT_OK, "{}\n", ""},
		{"operator remove carol",
		 ONE("\"error\":\"admin.last\",\"detail\":\"the last admin cannot be removed\""),
		 KT_CTL_EXIT_REFUSED, "",
		 "keyturnctl: carol: admin.last: the last admin cannot be removed\n"},
		{"operator list",
		 ONE("\"data\":{\"operators\":[{\"name\":\"/run/s\",\"role\":\"admin\",\"source\":"
		     "\"config\",\"kind\":\"socket\"},{\"name\":\"ann\",\"role\":\"viewer\","
		     "\"source\":\"ledger\",\"kind\":\"certificate\",\"fp\":\"ab\",\"since\":\"t\","
		     "\"by\":\"op:x\"}],\"offset\":0,\"total\":2}"),
		 KT_CTL_EXIT_OK,
		 "NAME    ROLE    SOURCE  KIND         SINCE  BY    FINGERPRINT\n"
		 "/run/s  admin   config  socket       -      -     -\n"
		 "ann     viewer  ledger  certificate  t      op:x  ab\n",
		 ""},
		{"operator list --json",
		 ONE("\"data\":{\"operators\":[{\"name\":\"ann\"}],\"offset\":0,\"total\":1}"),
		 KT_CTL_EXIT_OK, "{\"operators\":[{\"name\":\"ann\"}],\"total\":1}\n", ""},
		{"reconcile end", DONE, KT_CTL_EXIT_OK, "reconciling is over\n", ""},
		{"approve " KEY_ID " a", DONE, KT_CTL_EXIT_OK, "a: approved\n", ""},
		{"deny " KEY_ID, DONE, KT_CTL_EXIT_OK, KEY_ID ": denied\n", ""},
		{"rotate a", ONE("\"data\":{\"device\":\"a\",\"op\":\"7\"}"), KT_CTL_EXIT_OK,
		 "a: rotation ordered, op 7\n", ""},
		{"rotate a b",
		 ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"7\"},"
		     "{\"device\":\"b\",\"error\":\"frozen\"}]}"),
		 KT_CTL_EXIT_REFUSED, "a: rotation ordered, op 7\n", "keyturnctl: b: frozen\n"},
		{"cancel a", ONE("\"error\":\"state\",\"detail\":\"not now\""), KT_CTL_EXIT_REFUSED,
		 "", "keyturnctl: a: state: not now\n"},
		{"cancel a --json", ONE("\"error\":\"state\",\"detail\":\"not now\""),
		 KT_CTL_EXIT_REFUSED, "{\"error\":\"state\",\"detail\":\"not now\"}\n", NULL},
		{"show a --json", ONE("\"data\":{\"device\":\"a\",\"n\":[1,true,\"x\"]}"),
		 KT_CTL_EXIT_OK, "{\"device\":\"a\",\"n\":[1,true,\"x\"]}\n", ""},
		{"show a",
		 ONE("\"data\":{\"device\":\"a\",\"ok\":true,\"c\":{\"x\":1},\"s\":[{\"y\":2}]}"),
		 KT_CTL_EXIT_OK,
		 "device                 a\nok                     yes\n"
		 "c.x                    1\ns                      y=2\n",
		 ""},
		{"show a", ONE("\"error\":\"not.found\""), KT_CTL_EXIT_REFUSED, "",
		 "keyturnctl: a: not.found\n"},
		{"status", ONE("\"error\":\"busy\",\"detail\":\"\""), KT_CTL_EXIT_REFUSED, "",
		 "keyturnctl: busy\n"},
		/* the whole batch is refused in one word */
		{"cancel a b", "{\"responses\":[{\"error\":\"denied\",\"detail\":\"no\"}]}",
		 KT_CTL_EXIT_REFUSED, "", "keyturnctl: a: denied: no\nkeyturnctl: b: denied: no\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

static void what_is_no_answer_to_this_question_is_not_believed(void **state)
{
	static const char *const answers[] = {
		"",
		"x",
		"[]",
		"{}",
		"{\"responses\":{}}",
		"{\"responses\":[]}",
		"{\"responses\":[1]}",
		"{\"responses\":[{}]}",
		"{\"responses\":[{" R0 "}]}",
		"{\"responses\":[{" R1 ",\"data\":{}}]}",
		"{\"responses\":[{\"data\":{}}]}",
		"{\"responses\":[{" R0 ",\"data\":[]}]}",
		"{\"responses\":[{" R0 ",\"error\":1}]}",
		"{\"responses\":[{" R0 ",\"data\":{},\"detail\":2}]}",
		"{\"responses\":[{" R0 ",\"data\":{}},{" R1 ",\"data\":{}}]}",
		"{\"responses\":[{" R0 ",\"data\":{}}]}{}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct run run = {"cancel a", answers[i], KT_CTL_EXIT_LOCAL, "",
					NOT_UNDERSTOOD};

		assert_run(&run);
	}
}

/* So a broker of 2.1 answers where no plugin has the endpoint. */
static void the_word_of_a_broker_without_the_plugin_is_understood(void **state)
{
	static const struct run runs[] = {
		{"cancel a", "{\"error\": \"endpoint not available\"}", KT_CTL_EXIT_CONNECTION, "",
		 "keyturnctl: the broker says: endpoint not available; nothing was carried out. "
		 "Does the broker load the plugin?\n"},
		{"cancel a", "{\"error\":1}", KT_CTL_EXIT_LOCAL, "", NOT_UNDERSTOOD},
		{"cancel a", "[{\"error\":\"x\"}]", KT_CTL_EXIT_LOCAL, "", NOT_UNDERSTOOD},
		{"cancel a", "{\"error\":\"x\",\"responses\":[]}", KT_CTL_EXIT_LOCAL, "",
		 NOT_UNDERSTOOD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

static void an_event_before_the_answer_is_passed_over(void **state)
{
	struct fake_ctl fake = {.topic = {EVENTS "device.created", NULL}, .text = {"{}", DONE}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "cancel a"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, "a: cancelled\n");
	fake_ctl_clear(&fake);
}

static void what_goes_wrong_on_the_way_has_its_exit_code(void **state)
{
	static const struct {
		enum kt_err connect;
		enum kt_err publish;
		enum kt_err end;
		enum kt_ctl_exit code;
		const char *err;
	} cases[] = {
		{KT_ERR_CLOSED, KT_ERR_OK, KT_ERR_OK, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: " KT_CTL_SOCKET ": the broker said why\n"},
		{KT_ERR_DENIED, KT_ERR_OK, KT_ERR_OK, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: " KT_CTL_SOCKET ": the broker said why\n"},
		{KT_ERR_AGAIN, KT_ERR_OK, KT_ERR_OK, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: " KT_CTL_SOCKET ": nothing within 10 s\n"},
		{KT_ERR_NOMEM, KT_ERR_OK, KT_ERR_OK, KT_CTL_EXIT_LOCAL, NULL},
		{KT_ERR_OK, KT_ERR_CLOSED, KT_ERR_OK, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: the answer: the broker said why\n"},
		{KT_ERR_OK, KT_ERR_OK, KT_ERR_DENIED, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: the answer: the broker said why\n"},
		{KT_ERR_OK, KT_ERR_OK, KT_ERR_CLOSED, KT_CTL_EXIT_CONNECTION,
		 "keyturnctl: the answer: the broker said why\n"},
		{KT_ERR_OK, KT_ERR_OK, KT_ERR_AGAIN, KT_CTL_EXIT_TIMEOUT,
		 "keyturnctl: the command was sent; whether it was carried out is not known. Does "
		 "the broker load the plugin?\nkeyturnctl: the answer: nothing within 10 s\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.connect_err = cases[i].connect,
					.publish_err = cases[i].publish,
					.end_err = cases[i].end};

		assert_int_equal(fake_ctl_run(&fake, "cancel a"), cases[i].code);
		assert_string_equal(fake.out, "");
		if (cases[i].err != NULL)
			assert_string_equal(fake.err, cases[i].err);
		assert_true(fake.is_closed);
		fake_ctl_clear(&fake);
	}
}

static void no_byte_of_a_peer_moves_the_cursor(void **state)
{
	static const struct run runs[] = {
		{"cancel a", ONE("\"error\":\"x\\u001b[2J\",\"detail\":\"\\u00e4\\\\\""),
		 KT_CTL_EXIT_REFUSED, "", "keyturnctl: a: x\\x1b[2J: \\xc3\\xa4\\\\\n"},
		{"show a", ONE("\"data\":{\"n\\u0007\":\"a\\nb\"}"), KT_CTL_EXIT_OK,
		 "n\\x07                     a\\x0ab\n", ""},
		{"show a --json", ONE("\"data\":{\"n\":\"\\u001b\\u00e4\\ud83d\\ude00\"}"),
		 KT_CTL_EXIT_OK, "{\"n\":\"\\u001b\\u00e4\\ud83d\\ude00\"}\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

/* --- lists --------------------------------------------------------------------------------------
 */

#define PAGE(rows, total) ONE("\"data\":{\"devices\":[" rows "],\"offset\":0,\"total\":" total "}")
#define ROW(id)                                                                                    \
	"{\"device\":\"" id "\",\"state\":\"active\",\"phase\":\"idle\",\"generation\":1,"         \
	"\"quarantined\":false,\"frozen\":false,\"online\":true}"

static void a_list_is_fetched_to_its_end(void **state)
{
	struct fake_ctl fake = {.text = {PAGE(ROW("a") "," ROW("b"), "3"), PAGE(ROW("c"), "3")}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "list --state active"), KT_CTL_EXIT_OK);
	assert_int_equal(fake.sent_count, 2);
	assert_non_null(strstr(fake.sent[0], "\"offset\":0,\"state\":\"active\"}"));
	assert_non_null(strstr(fake.sent[1], "\"offset\":2,\"state\":\"active\"}"));
	assert_string_equal(
		fake.out, "DEVICE  STATE   PHASE  GEN  ONLINE  QUARANTINED  FROZEN  GROUP  LABELS\n"
			  "a       active  idle   1    yes     no           no      -      -\n"
			  "b       active  idle   1    yes     no           no      -      -\n"
			  "c       active  idle   1    yes     no           no      -      -\n");
	fake_ctl_clear(&fake);
}

static void keys_that_wait_are_a_list_of_their_own(void **state)
{
	static const char answer[] =
		ONE("\"data\":{\"pending\":[{\"keyId\":\"" KEY_ID "\",\"batch\":\"b-1\","
		    "\"address\":\"192.0.2.7\",\"first\":\"1\",\"last\":\"2\",\"tries\":3}],"
		    "\"offset\":0,\"total\":1}");
	static const struct run runs[] = {
		{"pending", answer, KT_CTL_EXIT_OK,
		 "KEY ID                                                            DEVICE  BATCH  "
		 "ADDRESS    FIRST  LAST  TRIES\n" KEY_ID
		 "  -       b-1    192.0.2.7  1      2     3\n",
		 ""},
		/* of devices, not of keys */
		{"pending", PAGE(ROW("a"), "1"), KT_CTL_EXIT_LOCAL, "",
		 "keyturnctl: the answer cannot be understood (is this keyturnctl as new as the "
		 "plugin?)\n"},
		{"pending", ONE("\"data\":{\"pending\":[],\"total\":0}"), KT_CTL_EXIT_OK,
		 "KEY ID  DEVICE  BATCH  ADDRESS  FIRST  LAST  TRIES\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

static void a_list_that_shrinks_meanwhile_ends(void **state)
{
	struct fake_ctl fake = {.text = {PAGE(ROW("a"), "5"), PAGE("", "5")}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "list --json"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, "{\"devices\":[" ROW("a") "],\"total\":1}\n");
	fake_ctl_clear(&fake);
}

static void half_a_list_is_not_printed(void **state)
{
	static const char *const second[] = {
		ONE("\"error\":\"busy\",\"detail\":\"later\""),
		ONE("\"data\":{\"devices\":{},\"total\":3}"),
		ONE("\"data\":{\"devices\":[1],\"total\":3}"),
		ONE("\"data\":{\"devices\":[]}"),
		NULL,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		struct fake_ctl fake = {.text = {PAGE(ROW("a"), "3"), second[i]}};

		assert_int_not_equal(fake_ctl_run(&fake, "list"), KT_CTL_EXIT_OK);
		assert_string_equal(fake.out, "");
		fake_ctl_clear(&fake);
	}
}

/* --- tickets ------------------------------------------------------------------------------------
 */

#define TICKET ONE("\"data\":{\"ticket\":\"keyturn-ticket-1.abc\",\"expires\":\"2026-12-01\"}")

static void the_ticket_alone_goes_to_the_output(void **state)
{
	static const struct run runs[] = {
		{"create-ticket a", TICKET, KT_CTL_EXIT_OK, "keyturn-ticket-1.abc\n",
		 "usable once, until 2026-12-01; a secret until then\n"},
		{"create-ticket a --raw", TICKET, KT_CTL_EXIT_OK, "keyturn-ticket-1.abc\n", ""},
		{"create-ticket a --json", TICKET, KT_CTL_EXIT_OK,
		 "{\"ticket\":\"keyturn-ticket-1.abc\",\"expires\":\"2026-12-01\"}\n", ""},
		{"create-ticket a", ONE("\"data\":{}"), KT_CTL_EXIT_LOCAL, "",
		 "keyturnctl: the answer has no ticket\n"},
		{"create-ticket a", ONE("\"data\":{\"ticket\":1}"), KT_CTL_EXIT_LOCAL, "",
		 "keyturnctl: the answer has no ticket\n"},
		{"create-ticket --group g --pattern p", ONE("\"error\":\"busy\""),
		 KT_CTL_EXIT_REFUSED, "", "keyturnctl: g: busy\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

/* --- what is asked first ------------------------------------------------------------------------
 */

static void what_cannot_be_undone_is_confirmed(void **state)
{
	static const struct {
		const char *line;
		const char *in;
		enum kt_ctl_exit code;
		size_t sent;
	} cases[] = {
		{"revoke hub-1", NULL, KT_CTL_EXIT_USAGE, 0},
		{"delete-device hub-1", NULL, KT_CTL_EXIT_USAGE, 0},
		{"revoke hub-1 --yes", NULL, KT_CTL_EXIT_OK, 1},
		{"revoke hub-1", "hub-1\n", KT_CTL_EXIT_OK, 1},
		{"revoke hub-1", "hub-1", KT_CTL_EXIT_OK, 1},
		{"revoke hub-1", "hub-1\r\n", KT_CTL_EXIT_OK, 1},
		{"revoke hub-1", "hub-10\n", KT_CTL_EXIT_USAGE, 0},
		{"revoke hub-1", "yes\n", KT_CTL_EXIT_USAGE, 0},
		{"revoke hub-1", "\n", KT_CTL_EXIT_USAGE, 0},
		{"revoke hub-1", "", KT_CTL_EXIT_USAGE, 0},
		{"delete-device hub-1 hub-2", "1\n", KT_CTL_EXIT_USAGE, 0},
		{"delete-device hub-1 hub-2", "hub-1\n", KT_CTL_EXIT_USAGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.in = cases[i].in, .text = {DONE}};

		if (fake_ctl_run(&fake, cases[i].line) != cases[i].code ||
		    fake.sent_count != cases[i].sent)
			fail_msg("%s, typed %s: sent %zu: %s", cases[i].line,
				 cases[i].in != NULL ? cases[i].in : "nothing", fake.sent_count,
				 fake.err);
		fake_ctl_clear(&fake);
	}
}

static void several_are_confirmed_by_their_number(void **state)
{
	struct fake_ctl fake = {
		.in = "2\n",
		.text = {"{\"responses\":[{" R0 ",\"data\":{}},{" R1 ",\"data\":{}}]}"}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "delete-device a b"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, "a: deleted\nb: deleted\n");
	fake_ctl_clear(&fake);
}

#define COUNTED(total) ONE("\"data\":{\"devices\":[],\"offset\":0,\"total\":" total "}")
#define ROTATED                                                                                    \
	ONE("\"data\":{\"devices\":[{\"device\":\"a\",\"op\":\"1\"},{\"device\":\"b\",\"op\":"     \
	    "\"2\"}],\"ordered\":2,\"refused\":0}")
#define ASKED "This rotates all active devices: 2. To go on, type how many there are once more:\n"

static void all_are_counted_and_then_confirmed_by_their_number(void **state)
{
	static const struct {
		const char *line;
		const char *in;
		enum kt_ctl_exit code;
		size_t sent;
		const char *err;
	} cases[] = {
		{"rotate --all --yes", NULL, KT_CTL_EXIT_OK, 2, ""},
		{"rotate --all", "2\n", KT_CTL_EXIT_OK, 2, ASKED},
		{"rotate --all", "3\n", KT_CTL_EXIT_USAGE, 1,
		 ASKED "keyturnctl: not confirmed, nothing was done\n"},
		{"rotate --all", "yes\n", KT_CTL_EXIT_USAGE, 1,
		 ASKED "keyturnctl: not confirmed, nothing was done\n"},
		{"rotate --all", "", KT_CTL_EXIT_USAGE, 1,
		 ASKED "keyturnctl: not confirmed, nothing was done\n"},
		{"rotate --all", NULL, KT_CTL_EXIT_USAGE, 0,
		 "keyturnctl: --all needs --expect: say how many devices you mean, or --yes: as "
		 "many "
		 "as there are\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.in = cases[i].in, .text = {COUNTED("2"), ROTATED}};

		assert_int_equal(fake_ctl_run(&fake, cases[i].line), cases[i].code);
		assert_int_equal(fake.sent_count, cases[i].sent);
		assert_string_equal(fake.err, cases[i].err);
		if (cases[i].sent > 0)
			assert_non_null(strstr(fake.sent[0], "\"state\":\"active\",\"count\":1"));
		if (cases[i].sent > 1)
			assert_non_null(strstr(fake.sent[1], ",\"all\":true,\"expect\":2}"));
		fake_ctl_clear(&fake);
	}
}

#define CHOSEN                                                                                     \
	"This rotates all selected devices: 2. To go on, type how many there are once more:\n"

static void what_a_selector_means_is_counted_and_confirmed(void **state)
{
	static const struct {
		const char *line;
		const char *in;
		enum kt_ctl_exit code;
		size_t sent;
		const char *err;
		const char *counted; /* what the count asks for */
	} cases[] = {
		{"rotate group=g --yes", NULL, KT_CTL_EXIT_OK, 2, "",
		 "\"select\":[\"group=g\"],\"state\":\"active\",\"count\":1"},
		{"rotate state=frozen label=x --yes", NULL, KT_CTL_EXIT_OK, 2, "",
		 "\"select\":[\"state=frozen\",\"label=x\"],\"count\":1"},
		{"rotate group=g", "2\n", KT_CTL_EXIT_OK, 2, CHOSEN, "\"count\":1"},
		{"rotate group=g", "1\n", KT_CTL_EXIT_USAGE, 1,
		 CHOSEN "keyturnctl: not confirmed, nothing was done\n", "\"count\":1"},
		{"rotate group=g", NULL, KT_CTL_EXIT_USAGE, 0,
		 "keyturnctl: a selector needs --expect: say how many devices you mean, or --yes: "
		 "as "
		 "many as there are\n",
		 NULL},
		/* what cannot be undone is asked for though the number is given */
		{"revoke group=g --expect 2", NULL, KT_CTL_EXIT_USAGE, 0,
		 "keyturnctl: revoke cannot be undone, and nobody can be asked here: give --yes\n",
		 NULL},
		{"revoke group=g --expect 2", "3\n", KT_CTL_EXIT_USAGE, 0,
		 "This revokes all selected devices: 2. To go on, type how many there are once "
		 "more:\nkeyturnctl: not confirmed, nothing was done\n",
		 NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.in = cases[i].in, .text = {COUNTED("2"), ROTATED}};

		assert_int_equal(fake_ctl_run(&fake, cases[i].line), cases[i].code);
		assert_int_equal(fake.sent_count, cases[i].sent);
		assert_string_equal(fake.err, cases[i].err);
		if (cases[i].sent > 0)
			assert_non_null(strstr(fake.sent[0], cases[i].counted));
		if (cases[i].sent > 1)
			assert_non_null(strstr(fake.sent[1], ",\"expect\":2}"));
		fake_ctl_clear(&fake);
	}
}

static void a_dry_run_prints_who_is_meant(void **state)
{
	static const char meant[] =
		ONE("\"data\":{\"devices\":[{\"device\":\"a\"},{\"device\":\"b\"}],\"meant\":2,"
		    "\"refused\":0}");
	static const struct run runs[] = {
		{"revoke group=g --dry-run", meant, KT_CTL_EXIT_OK, "a\nb\n",
		 "keyturnctl: 2 devices, nothing was done\n"},
		{"delete-device a --dry-run", ONE("\"data\":{\"device\":\"a\"}"), KT_CTL_EXIT_OK,
		 "a\n", "keyturnctl: 1 device, nothing was done\n"},
		{"set group=g --label x --expect 2", meant, KT_CTL_EXIT_OK, "a: set\nb: set\n", ""},
		{"cancel group=g --expect 3", meant, KT_CTL_EXIT_LOCAL, "", NULL},
		{"rotate group=g --expect 2", meant, KT_CTL_EXIT_LOCAL, "", NULL}, /* no ops */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		assert_run(&runs[i]);
}

static void who_may_not_count_may_not_rotate(void **state)
{
	static const char *const answers[] = {ONE("\"error\":\"denied\",\"detail\":\"no\""),
					      ONE("\"data\":{\"devices\":[],\"total\":\"2\"}"),
					      DONE};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct fake_ctl fake = {.text = {answers[i], ROTATED}};

		assert_int_equal(fake_ctl_run(&fake, "rotate --all --yes"),
				 i == 0 ? KT_CTL_EXIT_REFUSED : KT_CTL_EXIT_LOCAL);
		assert_int_equal(fake.sent_count, 1);
		fake_ctl_clear(&fake);
	}
}

/* --- events, challenges -------------------------------------------------------------------------
 */

#define ANSWERED                                                                                   \
	"{\"event\":\"challenge.answered\",\"time\":\"1753000000000001\",\"device\":\"a\","        \
	"\"gen\":\"3\"}"
#define MISSED "{\"event\":\"challenge.missed\",\"time\":\"1\",\"device\":\"a\"}"
#define OTHER  "{\"event\":\"challenge.answered\",\"time\":\"1\",\"device\":\"b\"}"

static void a_challenge_is_waited_for(void **state)
{
	static const struct {
		const char *events[3];
		enum kt_ctl_exit code;
		const char *out;
		const char *err;
	} cases[] = {
		{{ANSWERED}, KT_CTL_EXIT_OK, "a: answered, generation 3\n", ""},
		{{OTHER, ANSWERED}, KT_CTL_EXIT_OK, "a: answered, generation 3\n", ""},
		{{MISSED}, KT_CTL_EXIT_FAILED, "", "keyturnctl: a: did not answer\n"},
		{{"{\"event\":\"link.up\",\"device\":\"a\"}", "[]", "{"},
		 KT_CTL_EXIT_TIMEOUT,
		 "",
		 NULL},
		{{OTHER}, KT_CTL_EXIT_TIMEOUT, "", NULL},
		{{NULL}, KT_CTL_EXIT_TIMEOUT, "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_ctl fake = {.text = {DONE}};

		for (size_t k = 0; k < 3; k++) {
			fake.topic[k + 1] = EVENTS "x";
			fake.text[k + 1] = cases[i].events[k];
		}
		assert_int_equal(fake_ctl_run(&fake, "challenge a --wait"), cases[i].code);
		assert_string_equal(fake.filter, EVENTS "#");
		assert_string_equal(fake.out, cases[i].out);
		if (cases[i].err != NULL)
			assert_string_equal(fake.err, cases[i].err);
		else
			assert_non_null(strstr(fake.err, "keyturnctl: a: no outcome\n"));
		fake_ctl_clear(&fake);
	}
}

static void a_challenge_that_was_not_sent_is_not_waited_for(void **state)
{
	struct fake_ctl fake = {.text = {ONE("\"error\":\"state\",\"detail\":\"offline\"")}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "challenge a --wait"), KT_CTL_EXIT_REFUSED);
	assert_string_equal(fake.err, "keyturnctl: a: state: offline\n");
	fake_ctl_clear(&fake);
}

static void who_may_not_watch_sends_no_challenge(void **state)
{
	struct fake_ctl fake = {.subscribe_err = KT_ERR_DENIED};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "challenge a --wait"), KT_CTL_EXIT_CONNECTION);
	assert_int_equal(fake.sent_count, 0);
	fake_ctl_clear(&fake);
}

static void events_are_shown_with_their_time(void **state)
{
	struct fake_ctl fake = {.topic = {EVENTS "x", EVENTS "y"},
				.text = {ANSWERED, MISSED},
				.end_err = KT_ERR_CLOSED};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events --follow"), KT_CTL_EXIT_CONNECTION);
	assert_string_equal(fake.out,
			    "2025-07-20T08:26:40.000001Z challenge.answered device=a gen=3\n"
			    "1970-01-01T00:00:00.000001Z challenge.missed device=a\n");
	assert_string_equal(fake.err, "keyturnctl: events: the broker said why\n");
	fake_ctl_clear(&fake);
}

static void nobody_watches_a_broker_that_is_not_there(void **state)
{
	static const char *const lines[] = {"events", "events --follow", "challenge a --wait"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fake_ctl fake = {.connect_err = KT_ERR_CLOSED, .text = {DONE}};

		assert_int_equal(fake_ctl_run(&fake, lines[i]), KT_CTL_EXIT_CONNECTION);
		assert_string_equal(fake.out, "");
		assert_string_equal(fake.err,
				    "keyturnctl: " KT_CTL_SOCKET ": the broker said why\n");
		assert_string_equal(fake.filter, "");
		assert_int_equal(fake.sent_count, 0);
		assert_true(fake.is_closed);
		fake_ctl_clear(&fake);
	}
}

static void without_follow_one_event_is_enough(void **state)
{
	struct fake_ctl fake = {.topic = {EVENTS "x", EVENTS "y"}, .text = {ANSWERED, MISSED}};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events --json"), KT_CTL_EXIT_OK);
	assert_string_equal(fake.out, ANSWERED "\n");
	assert_int_equal(fake.taken, 1);
	fake_ctl_clear(&fake);
}

static void no_event_in_time_is_a_time_out(void **state)
{
	struct fake_ctl fake = {0};

	(void)state;
	assert_int_equal(fake_ctl_run(&fake, "events --timeout 3s"), KT_CTL_EXIT_TIMEOUT);
	assert_int_equal(fake.now_ms, 3000);
	fake_ctl_clear(&fake);
}

static void help_needs_no_broker(void **state)
{
	static const char *const lines[] = {"--help", "-h", "rotate --help", "--version"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fake_ctl fake = {0};

		assert_int_equal(fake_ctl_run(&fake, lines[i]), KT_CTL_EXIT_OK);
		assert_true(strlen(fake.out) > 10);
		assert_string_equal(fake.err, "");
		assert_string_equal(fake.broker, "");
		fake_ctl_clear(&fake);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(what_is_wrong_on_the_command_line_is_said_and_nothing_is_sent),
		T(each_command_line_is_the_command_it_means),
		T(several_devices_are_one_batch),
		T(the_address_is_the_one_that_was_given),
		T(an_answer_is_told_as_what_it_is),
		T(what_is_no_answer_to_this_question_is_not_believed),
		T(the_word_of_a_broker_without_the_plugin_is_understood),
		T(an_event_before_the_answer_is_passed_over),
		T(what_goes_wrong_on_the_way_has_its_exit_code),
		T(no_byte_of_a_peer_moves_the_cursor),
		T(a_list_is_fetched_to_its_end),
		T(keys_that_wait_are_a_list_of_their_own),
		T(a_list_that_shrinks_meanwhile_ends),
		T(half_a_list_is_not_printed),
		T(the_ticket_alone_goes_to_the_output),
		T(what_cannot_be_undone_is_confirmed),
		T(several_are_confirmed_by_their_number),
		T(all_are_counted_and_then_confirmed_by_their_number),
		T(what_a_selector_means_is_counted_and_confirmed),
		T(a_dry_run_prints_who_is_meant),
		T(who_may_not_count_may_not_rotate),
		T(a_challenge_is_waited_for),
		T(a_challenge_that_was_not_sent_is_not_waited_for),
		T(who_may_not_watch_sends_no_challenge),
		T(events_are_shown_with_their_time),
		T(nobody_watches_a_broker_that_is_not_there),
		T(without_follow_one_event_is_enough),
		T(no_event_in_time_is_a_time_out),
		T(help_needs_no_broker),
	};
#undef T

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
