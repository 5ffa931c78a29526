/* What stands on a command line becomes what a command is given, or is refused in one sentence. */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY_ID "abababababababababababababababababababababababababababababababab"
#define ID_63  "a23456789012345678901234567890123456789012345678901234567890123"

enum { WORDS_MAX = 12, TEXT_MAX = 600, MANY_MAX = KT_CTL_ROTATE_MAX + 1 };

struct parsed { /* a command line, and what came of it */
	char text[TEXT_MAX];
	char *words[WORDS_MAX + 1];
	int count;
	struct kt_ctl_args args;
	char why[KT_CTL_WHY_MAX];
	enum kt_err err;
};

/* Splits at blanks; "''" is an empty word. */
static void parse(struct parsed *p, const char *line)
{
	char *at = p->text;

	assert_in_range(snprintf(p->text, sizeof(p->text), "keyturnctl %s", line), 1, TEXT_MAX - 1);
	p->count = 0;
	while (*at != '\0') {
		const size_t len = strcspn(at, " ");
		const bool is_last = at[len] == '\0';

		assert_in_range(p->count, 0, WORDS_MAX - 1);
		at[len] = '\0';
		p->words[p->count] = strcmp(at, "''") == 0 ? at + 2 : at;
		p->count += len > 0;
		at += is_last ? len : len + 1;
	}
	p->words[p->count] = NULL;
	p->err = kt_ctl_args_parse(p->count, p->words, &p->args, p->why);
}

static void parse_well(struct parsed *p, const char *line)
{
	parse(p, line);
	if (p->err != KT_ERR_OK)
		fail_msg("'%s': %s", line, p->why);
	assert_string_equal(p->why, "");
}

static void must_refuse(const char *line, const char *why)
{
	struct parsed p;

	parse(&p, line);
	if (p.err != KT_ERR_INVALID || strcmp(p.why, why) != 0)
		fail_msg("'%s': error %d: %s", line, (int)p.err, p.why);
	kt_ctl_args_clear(&p.args);
}

/* --- what is read ----------------------------------------------------------------------------- */

static void what_is_not_given_has_its_default(void **state)
{
	struct parsed p;

	(void)state;
	parse_well(&p, "list");
	assert_string_equal(p.args.command->name, "list");
	assert_int_equal(p.args.operand_count, 0);
	assert_int_equal(p.args.timeout_ms, 10000);
	assert_int_equal(p.args.valid_for_s, 0);
	assert_int_equal(p.args.expect, -1);
	assert_string_equal(p.args.address.unix_path, "/run/mosquitto/keyturn.sock");
	assert_null(p.args.address.host);
	for (int i = 0; i < (int)KT_CTL_OPTION_COUNT; i++)
		assert_false(kt_ctl_has(&p.args, (enum kt_ctl_option)i));
	kt_ctl_args_clear(&p.args);
	assert_null(p.args.operands);
}

static void values_are_read_in_their_units(void **state)
{
	static const struct {
		const char *line;
		int64_t timeout_ms;
		int64_t valid_for_s;
		int64_t expect;
	} cases[] = {
		{"list --timeout 1s", 1000, 0, -1},
		{"list --timeout=2m", 120000, 0, -1},
		{"list --timeout 1d", 86400000, 0, -1},
		{"create-ticket a --valid-for 12h", 10000, 43200, -1},
		{"create-ticket a --valid-for 365d", 10000, 31536000, -1},
		{"rotate --all --expect 1", 10000, 0, 1},
		{"rotate --all --expect 1000", 10000, 0, 1000},
		{"rotate a --expect 7", 10000, 0, 7},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct parsed p;

		parse_well(&p, cases[i].line);
		assert_int_equal(p.args.timeout_ms, cases[i].timeout_ms);
		assert_int_equal(p.args.valid_for_s, cases[i].valid_for_s);
		assert_int_equal(p.args.expect, cases[i].expect);
		kt_ctl_args_clear(&p.args);
	}
}

static void an_address_over_tls_has_no_socket(void **state)
{
	struct parsed p;

	(void)state;
	parse_well(&p, "--host h --cafile a --cert b --key c status");
	assert_null(p.args.address.unix_path);
	assert_string_equal(p.args.address.host, "h");
	assert_string_equal(p.args.address.cafile, "a");
	assert_string_equal(p.args.address.cert, "b");
	assert_string_equal(p.args.address.key, "c");
	assert_int_equal(p.args.address.port, 8883);
	kt_ctl_args_clear(&p.args);
	parse_well(&p, "--host h --cafile a --cert b --key c status --port 65535");
	assert_int_equal(p.args.address.port, 65535);
	kt_ctl_args_clear(&p.args);
}

static void options_may_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"--json --note x quarantine a b",
		"quarantine --json a --note x b",
		"quarantine a b --json --note x",
		"quarantine a b --note=x --json",
		"quarantine --json --note x -- a b",
		"quarantine a --no x b --js", /* unique prefixes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct parsed p;

		parse_well(&p, lines[i]);
		assert_string_equal(p.args.command->name, "quarantine");
		assert_int_equal(p.args.operand_count, 2);
		assert_string_equal(p.args.operands[0], "a");
		assert_string_equal(p.args.operands[1], "b");
		assert_true(kt_ctl_has(&p.args, KT_CTL_JSON));
		assert_string_equal(p.args.values[KT_CTL_NOTE], "x");
		kt_ctl_args_clear(&p.args);
	}
}

static void the_environment_does_not_change_the_order(void **state)
{
	struct parsed p;

	(void)state;
	assert_int_equal(setenv("POSIXLY_CORRECT", "1", 1), 0);
	parse_well(&p, "quarantine a --json");
	assert_true(kt_ctl_has(&p.args, KT_CTL_JSON));
	assert_int_equal(p.args.operand_count, 1);
	kt_ctl_args_clear(&p.args);
	assert_int_equal(unsetenv("POSIXLY_CORRECT"), 0);
}

static void who_asks_for_help_is_not_judged(void **state)
{
	static const char *const lines[] = {
		"--help",    "rotate --help", "list a b c --help", "-h", "rotate -h --port 0",
		"--version", "show --version"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct parsed p;

		parse_well(&p, lines[i]);
		assert_true(kt_ctl_has(&p.args, KT_CTL_HELP) ||
			    kt_ctl_has(&p.args, KT_CTL_VERSION));
		kt_ctl_args_clear(&p.args);
	}
	must_refuse("explode --help", "there is no command 'explode'");
	must_refuse("--help --frob", "'--frob' is no option, or short for several");
}

static void no_word_at_all_is_no_crash(void **state)
{
	struct kt_ctl_args args;
	char why[KT_CTL_WHY_MAX];
	char *none[] = {NULL};

	(void)state;
	assert_int_equal(kt_ctl_args_parse(0, none, &args, why), KT_ERR_INVALID);
	assert_string_equal(why, "which command?");
	kt_ctl_args_clear(&args);
}

/* --- which command takes which option --------------------------------------------------------- */

static const char common_options[] = " unix host port cafile cert key timeout json help version ";

static const struct {
	const char *command;
	const char *options; /* its own */
} own_options[] = {
	{"create-device", " group key-id "},
	{"create-ticket", " group pattern valid-for broker raw "},
	{"import", " group id-from check "},
	{"list", " state "},
	{"show", ""},
	{"pending", ""},
	{"approve", " group "},
	{"deny", ""},
	{"set", " group ungroup label unlabel all expect dry-run yes "},
	{"rotate", " all expect dry-run note yes "},
	{"cancel", " all expect dry-run yes "},
	{"challenge", " wait all expect dry-run yes "},
	{"campaign", " note state all expect dry-run yes "},
	{"quarantine", " note all expect dry-run yes "},
	{"release", " freeze all expect dry-run yes "},
	{"confirm-clock", ""},
	{"revoke", " emergency wipe note all expect dry-run yes "},
	{"delete-device", " all expect dry-run yes "},
	{"operator", " note removed "},
	{"status", ""},
	{"events", " follow "},
	{"policy", " config "},
	{"audit", " config ledger-dir heads root device actor kind since until "},
	{"ledger", ""},
	{"backup", " config ledger-dir "},
	{"restore", " config accept-rollback note "},
	{"reconcile", " note "},
};

static bool is_listed(const char *list, const char *name)
{
	char word[40];

	(void)snprintf(word, sizeof(word), " %s ", name);
	return strstr(list, word) != NULL;
}

static void each_option_is_taken_by_its_commands_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(own_options) / sizeof(own_options[0]); i++) {
		const struct kt_ctl_command *command = kt_ctl_command_at(i);

		assert_non_null(command);
		assert_string_equal(command->name, own_options[i].command);
		for (int k = 0; k < (int)KT_CTL_OPTION_COUNT; k++) {
			const char *name = kt_ctl_option_name((enum kt_ctl_option)k);
			const bool has_value =
				kt_ctl_option_argument((enum kt_ctl_option)k) != NULL;
			const bool is_taken = is_listed(common_options, name) ||
					      is_listed(own_options[i].options, name);
			struct parsed p;
			char text[128];

			(void)snprintf(text, sizeof(text), "%s --%s%s", command->name, name,
				       has_value ? " 1" : "");
			parse(&p, text);
			(void)snprintf(text, sizeof(text), "%s does not take --%s", command->name,
				       name);
			if ((strcmp(p.why, text) != 0) != is_taken)
				fail_msg("%s --%s: %s", command->name, name, p.why);
			kt_ctl_args_clear(&p.args);
		}
	}
	assert_null(kt_ctl_command_at(sizeof(own_options) / sizeof(own_options[0])));
}

static void no_option_is_taken_twice_or_empty_or_half(void **state)
{
	(void)state;
	for (int i = 0; i < (int)KT_CTL_OPTION_COUNT; i++) {
		const char *name = kt_ctl_option_name((enum kt_ctl_option)i);
		const char *value =
			kt_ctl_option_argument((enum kt_ctl_option)i) != NULL ? "=1" : "";
		char line[128];
		char why[128];

		(void)snprintf(line, sizeof(line), "list --%s%s --%s%s", name, value, name, value);
		(void)snprintf(why, sizeof(why), "--%s is given twice", name);
		if (i == KT_CTL_HEADS) /* the one that may be repeated */
			(void)snprintf(why, sizeof(why), "list does not take --heads");
		must_refuse(line, why);
		if (value[0] == '\0') {
			(void)snprintf(line, sizeof(line), "list --%s=1", name);
			(void)snprintf(why, sizeof(why),
				       "'--%s=1' is no option, or short for several", name);
			must_refuse(line, why);
			continue;
		}
		(void)snprintf(line, sizeof(line), "list --%s=", name);
		(void)snprintf(why, sizeof(why), "--%s has an empty value", name);
		must_refuse(line, why);
		(void)snprintf(line, sizeof(line), "list --%s", name);
		(void)snprintf(why, sizeof(why), "--%s needs a value", name);
		must_refuse(line, why);
	}
}

static void what_is_outside_the_lists_has_no_name(void **state)
{
	(void)state;
	assert_string_equal(kt_ctl_option_name(KT_CTL_OPTION_COUNT), "?");
	assert_null(kt_ctl_option_argument(KT_CTL_OPTION_COUNT));
	assert_string_equal(kt_ctl_option_name((enum kt_ctl_option) - 1), "?");
	assert_null(kt_ctl_command_at(SIZE_MAX));
}

/* --- what is refused -------------------------------------------------------------------------- */

#define NO_OPTION(word) "'" word "' is no option, or short for several"
#define NO_DEVICE(word) "'" word "' is no device id (1 to 63 of A-Z a-z 0-9 . _ -)"
#define NO_KEY(word)	"'" word "' is no key id (64 lower-case hex digits)"
#define NO_TIME(option, value, max)                                                                \
	"--" option " " value ": not a time from 1s to " max " (s, m, h and d are known)"

static void what_is_no_option_is_named(void **state)
{
	(void)state;
	must_refuse("list --frob", NO_OPTION("--frob"));
	must_refuse("list --frob=1", NO_OPTION("--frob=1"));
	must_refuse("rotate --e 1", NO_OPTION("--e")); /* expect, emergency */
	must_refuse("list -x", NO_OPTION("-x"));
	must_refuse("-x", NO_OPTION("-x"));
	must_refuse("-xy", NO_OPTION("-x")); /* and not the program or the word before it */
	must_refuse("list -xy", NO_OPTION("-x"));
	must_refuse("list -hx", NO_OPTION("-x"));
	must_refuse("list -1", NO_OPTION("-1"));
	must_refuse("show -- --json", NO_DEVICE("--json"));
	must_refuse("pending -", "pending takes options only");
}

static void words_are_refused_before_they_are_sent(void **state)
{
	(void)state;
	must_refuse("''", "there is no command ''");
	must_refuse("List", "there is no command 'List'");
	must_refuse("delete a", "there is no command 'delete'");
	must_refuse("show ''", NO_DEVICE(""));
	must_refuse("show " ID_63 "4", NO_DEVICE(ID_63 "4"));
	must_refuse("show op", NO_DEVICE("op"));
	must_refuse("show a:agent", NO_DEVICE("a:agent"));
	must_refuse("show a#", NO_DEVICE("a#"));
	must_refuse("cancel a b a/b", NO_DEVICE("a/b"));
	must_refuse("cancel a b a", "'a' is named twice");
	must_refuse("deny ''", NO_KEY(""));
	must_refuse("deny a" KEY_ID, NO_KEY("a" KEY_ID));
	must_refuse("deny AB" KEY_ID, NO_KEY("AB" KEY_ID));
	must_refuse("approve a " KEY_ID, NO_KEY("a"));
	must_refuse("approve " KEY_ID " a/b", NO_DEVICE("a/b"));
	must_refuse("approve " KEY_ID, "usage: keyturnctl approve KEY_ID DEVICE");
	must_refuse("approve " KEY_ID " a b", "usage: keyturnctl approve KEY_ID DEVICE");
	must_refuse("create-ticket a b", "usage: keyturnctl create-ticket [DEVICE]");
	must_refuse("ledger", "usage: keyturnctl ledger verify DIRECTORY");
	must_refuse("ledger Verify /x", "usage: keyturnctl ledger verify DIRECTORY");
	must_refuse("ledger verify /x /y", "usage: keyturnctl ledger verify DIRECTORY");
	must_refuse("audit", "usage: keyturnctl audit verify|show|export [PATH]");
	must_refuse("audit /x", "usage: keyturnctl audit verify|show|export [PATH]");
	must_refuse("audit verify /x --ledger-dir /y",
		    "audit verify: a directory or --ledger-dir, not both");
	must_refuse("ledger show /x", "usage: keyturnctl ledger verify DIRECTORY");
	must_refuse("audit verify /x --root /r", "--root goes with --heads");
	must_refuse("audit verify /x --kind revoke", "audit verify does not take --kind");
	must_refuse("audit show /x --heads /h", "audit show does not take --heads");
	must_refuse("audit export /x --root /r", "audit export does not take --root");
	must_refuse("audit show /x --device a/b", NO_DEVICE("a/b"));
	must_refuse("audit show /x --kind Revoke",
		    "--kind Revoke: there is no record of that kind");
	must_refuse("audit show /x --since 2026",
		    "--since 2026: not a time (2026-11-22 or 2026-11-22T12:00:00Z)");
	must_refuse("audit show /x --until 2026-02-30",
		    "--until 2026-02-30: not a time (2026-11-22 or 2026-11-22T12:00:00Z)");
	must_refuse("backup", "usage: keyturnctl backup DIRECTORY");
	must_refuse("backup /x /y", "usage: keyturnctl backup DIRECTORY");
	must_refuse("restore", "usage: keyturnctl restore DIRECTORY, or --accept-rollback HEAD");
	must_refuse("restore /x /y", "usage: keyturnctl restore [DIRECTORY]");
	must_refuse("reconcile", "usage: keyturnctl reconcile end");
	must_refuse("reconcile begin", "usage: keyturnctl reconcile end");
	must_refuse("operator", "usage: keyturnctl operator add|remove|list [WORD...]");
	must_refuse("operator Add", "usage: keyturnctl operator add|remove|list [WORD...]");
	must_refuse("operator list x", "usage: keyturnctl operator list");
	must_refuse("operator list --note n", "operator list does not take --note");
	must_refuse("operator remove", "usage: keyturnctl operator remove NAME");
	must_refuse("operator remove a b", "usage: keyturnctl operator remove NAME");
	must_refuse("operator remove a --removed", "operator remove does not take --removed");
	must_refuse("operator remove a/b",
		    "'a/b' is no operator's name (1 to 63 of A-Z a-z 0-9 . _ -)");
	must_refuse("operator add a", "usage: keyturnctl operator add NAME FINGERPRINT ROLE");
	must_refuse("operator add a " KEY_ID,
		    "usage: keyturnctl operator add NAME FINGERPRINT ROLE");
	must_refuse("operator add op " KEY_ID " admin",
		    "'op' is no operator's name (1 to 63 of A-Z a-z 0-9 . _ -)");
	must_refuse("operator add a sha256: admin",
		    "'sha256:' is no fingerprint (64 lower-case hex digits)");
	must_refuse("operator add a sha1:" KEY_ID " admin",
		    "'sha1:" KEY_ID "' is no fingerprint (64 lower-case hex digits)");
	must_refuse("operator add a " KEY_ID " root",
		    "'root' is no role (viewer, rotator, enroller, revoker, admin)");
	must_refuse("operator add a " KEY_ID " none",
		    "'none' is no role (viewer, rotator, enroller, revoker, admin)");
}

static void numbers_and_times_have_bounds(void **state)
{
	static const char *const ports[] = {"0",  "65536", "-1",   "+1",
					    "08", "1.0",   "0x10", "99999999999999999999"};
	static const char *const times[] = {"0s", "86401s", "25h", "2d",  "10",
					    "s",  "-1s",    "1w",  "1s1", "99999999999999999999d"};
	char line[128];
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		(void)snprintf(line, sizeof(line),
			       "list --host h --cafile a --cert b --key c --port=%s", ports[i]);
		(void)snprintf(why, sizeof(why), "--port %s: not a number from 1 to 65535",
			       ports[i]);
		must_refuse(line, why);
		(void)snprintf(line, sizeof(line), "rotate --all --expect=%s", ports[i]);
		(void)snprintf(why, sizeof(why), "--expect %s: not a number from 1 to 1000",
			       ports[i]);
		must_refuse(line, why);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		(void)snprintf(line, sizeof(line), "list --timeout=%s", times[i]);
		(void)snprintf(
			why, sizeof(why),
			"--timeout %s: not a time from 1s to 86400s (s, m, h and d are known)",
			times[i]);
		must_refuse(line, why);
	}
	must_refuse("create-ticket a --valid-for 366d", NO_TIME("valid-for", "366d", "31536000s"));
	must_refuse("create-ticket a --valid-for 0s", NO_TIME("valid-for", "0s", "31536000s"));
}

static void each_file_of_tls_is_needed_and_needs_the_host(void **state)
{
	(void)state;
	must_refuse("list --host h --cert b --key c", "--host needs --cafile, too");
	must_refuse("list --host h --cafile a --key c", "--host needs --cert, too");
	must_refuse("list --host h --cafile a --cert b", "--host needs --key, too");
	must_refuse("list --cafile a", "--cafile goes with --host");
	must_refuse("list --cert a --unix /x", "--cert goes with --host");
	must_refuse("list --key a", "--key goes with --host");
	must_refuse("list --unix /x --port 1", "--port goes with --host");
	must_refuse("list --unix /x --host h --cafile a --cert b --key c",
		    "--unix or --host, not both");
}

/* @count different devices for @command. */
static enum kt_err parse_many(const char *command, int count, char why[static KT_CTL_WHY_MAX])
{
	char(*names)[16] = calloc(MANY_MAX, sizeof(*names));
	char **words = calloc(MANY_MAX + 3, sizeof(*words));
	char name[32];
	struct kt_ctl_args args;
	enum kt_err err = KT_ERR_INTERNAL;

	assert_non_null(names);
	assert_non_null(words);
	(void)snprintf(name, sizeof(name), "%s", command);
	words[0] = name;
	words[1] = name;
	for (int i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "d%d", i);
		words[i + 2] = names[i];
	}
	err = kt_ctl_args_parse(count + 2, words, &args, why);
	if (err == KT_ERR_OK)
		assert_int_equal(args.operand_count, count);
	kt_ctl_args_clear(&args);
	free(words);
	free(names);
	return err;
}

static void a_batch_has_a_size(void **state)
{
	char why[KT_CTL_WHY_MAX];

	(void)state;
	assert_int_equal(parse_many("cancel", KT_CTL_BATCH_MAX, why), KT_ERR_OK);
	assert_int_equal(parse_many("cancel", KT_CTL_BATCH_MAX + 1, why), KT_ERR_INVALID);
	assert_string_equal(why,
			    "usage: keyturnctl cancel DEVICE...|SELECTOR... (too many at once)");
	assert_int_equal(parse_many("rotate", KT_CTL_ROTATE_MAX, why), KT_ERR_OK);
	assert_int_equal(parse_many("rotate", KT_CTL_ROTATE_MAX + 1, why), KT_ERR_INVALID);
	assert_string_equal(why,
			    "usage: keyturnctl rotate DEVICE...|SELECTOR... (too many at once)");
}

static void a_long_word_does_not_burst_the_sentence(void **state)
{
	struct parsed p;
	char line[500];

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	parse(&p, line);
	assert_int_equal(p.err, KT_ERR_INVALID);
	assert_int_equal(strlen(p.why), KT_CTL_WHY_MAX - 1);
	kt_ctl_args_clear(&p.args);
}

static void the_longest_id_is_one(void **state)
{
	struct parsed p;

	(void)state;
	parse_well(&p, "show " ID_63);
	assert_string_equal(p.args.operands[0], ID_63);
	kt_ctl_args_clear(&p.args);
}

int main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(what_is_not_given_has_its_default),
		T(values_are_read_in_their_units),
		T(an_address_over_tls_has_no_socket),
		T(options_may_stand_anywhere),
		T(the_environment_does_not_change_the_order),
		T(who_asks_for_help_is_not_judged),
		T(no_word_at_all_is_no_crash),
		T(each_option_is_taken_by_its_commands_alone),
		T(no_option_is_taken_twice_or_empty_or_half),
		T(what_is_outside_the_lists_has_no_name),
		T(what_is_no_option_is_named),
		T(words_are_refused_before_they_are_sent),
		T(numbers_and_times_have_bounds),
		T(each_file_of_tls_is_needed_and_needs_the_host),
		T(a_batch_has_a_size),
		T(a_long_word_does_not_burst_the_sentence),
		T(the_longest_id_is_one),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_options", tests, NULL, NULL);
}
