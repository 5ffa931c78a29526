#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define A50  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A300 A50 A50 A50 A50 A50 A50

static enum kt_err parse(const char *text, struct kt_agent_config **out,
			 char why[static KT_OPTION_WHY_MAX])
{
	return kt_agent_config_parse(
		"a.conf", (struct kt_bytes){(const uint8_t *)text, strlen(text)}, out, why);
}

static struct kt_agent_config *parsed(const char *text)
{
	struct kt_agent_config *config = NULL;
	char why[KT_OPTION_WHY_MAX];

	if (parse(text, &config, why) != KT_ERR_OK)
		fail_msg("%s", why);
	assert_string_equal(why, "");
	return config;
}

static void an_empty_file_gives_every_default(void **state)
{
	struct kt_agent_config *c = parsed("");

	(void)state;
	assert_string_equal(c->broker, "");
	assert_string_equal(c->trust_domain, "");
	assert_string_equal(c->state_dir, "/var/lib/keyturn");
	assert_string_equal(c->root_cert, "");
	assert_string_equal(c->device, "");
	assert_string_equal(c->claim_identity, "");
	assert_string_equal(c->ticket_file, "");
	assert_string_equal(c->key_store, "file");
	assert_string_equal(c->key_group, "");
	assert_int_equal(c->tls_min, KT_TLS_1_3);
	assert_int_equal(c->hook_count, 0);
	assert_int_equal(c->hook_timeout_ms, 30000);
	assert_int_equal(c->keep_alive_ms, 60000);
	assert_int_equal(c->connect_timeout_ms, 30000);
	assert_int_equal(c->timers.repeat_first, 10000);
	assert_int_equal(c->timers.repeat_max, 600000);
	assert_int_equal(c->timers.trial_timeout, 30000);
	assert_int_equal(c->timers.silence_min, 60000);
	assert_int_equal(c->timers.backoff_min, 1000);
	assert_int_equal(c->timers.backoff_max, 300000);
	assert_int_equal(c->timers.hook_retry, 60000);
	kt_agent_config_free(c);
}

static void every_option_can_be_given(void **state)
{
	struct kt_agent_config *c = parsed("broker = [::1]:8883\n"
					   "trust_domain = example.org\n"
					   "state_dir = /s//x/./\n"
					   "root_cert = /p/root.pem\n"
					   "device = hub-17\n"
					   "claim_identity = /p/claim.pem\n"
					   "key_store = file\n"
					   "key_group = tls\n"
					   "tls_min = 1.2\n"
					   "hook = /bin/reload a  b\n"
					   "hook = /bin/other\n"
					   "hook_timeout = 5s\n"
					   "hook_retry = 2s\n"
					   "keep_alive = 10s\n"
					   "connect_timeout = 3s\n"
					   "repeat_first = 1s\n"
					   "repeat_max = 1m\n"
					   "trial_timeout = 4s\n"
					   "silence_min = 6s\n"
					   "backoff_min = 2s\n"
					   "backoff_max = 8s\n");

	(void)state;
	assert_string_equal(c->broker, "[::1]:8883");
	assert_string_equal(c->trust_domain, "example.org");
	assert_string_equal(c->state_dir, "/s/x");
	assert_string_equal(c->root_cert, "/p/root.pem");
	assert_string_equal(c->device, "hub-17");
	assert_string_equal(c->claim_identity, "/p/claim.pem");
	assert_string_equal(c->key_group, "tls");
	assert_int_equal(c->tls_min, KT_TLS_1_2);
	assert_int_equal(c->hook_count, 2);
	assert_string_equal(c->hooks[0].argv[0], "/bin/reload");
	assert_string_equal(c->hooks[0].argv[1], "a");
	assert_string_equal(c->hooks[0].argv[2], "b");
	assert_null(c->hooks[0].argv[3]);
	assert_string_equal(c->hooks[1].argv[0], "/bin/other");
	assert_null(c->hooks[1].argv[1]);
	assert_int_equal(c->hook_timeout_ms, 5000);
	assert_int_equal(c->timers.hook_retry, 2000);
	assert_int_equal(c->keep_alive_ms, 10000);
	assert_int_equal(c->connect_timeout_ms, 3000);
	assert_int_equal(c->timers.repeat_first, 1000);
	assert_int_equal(c->timers.repeat_max, 60000);
	assert_int_equal(c->timers.trial_timeout, 4000);
	assert_int_equal(c->timers.silence_min, 6000);
	assert_int_equal(c->timers.backoff_min, 2000);
	assert_int_equal(c->timers.backoff_max, 8000);
	kt_agent_config_free(c);
}

static void each_malformed_line_is_refused_with_its_number(void **state)
{
	static const struct {
		const char *line;
		enum kt_err err;
		const char *says;
	} cases[] = {
		{"broker", KT_ERR_INVALID, "no = in this line"},
		{"broker =", KT_ERR_INVALID, "has no value"},
		{"= x", KT_ERR_UNKNOWN_FIELD, "there is no option ''"},
		{"brokers = a:1", KT_ERR_UNKNOWN_FIELD, "keyturn-agent.conf(5)"},
		{"password = x", KT_ERR_UNKNOWN_FIELD, "there is no option 'password'"},
		{"Broker = a:1", KT_ERR_UNKNOWN_FIELD, "there is no option"},
		{"broker = a", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = a:0", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = a:65536", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = a:08883", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = :8883", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = ssl://a:8883", KT_ERR_INVALID, "broker is not host:port"},
		{"broker = " A300 ":1", KT_ERR_RANGE, "longer than 260"},
		{"trust_domain = Example.org", KT_ERR_INVALID, "not a trust domain"},
		{"trust_domain = " A300, KT_ERR_INVALID, "not a trust domain"},
		{"state_dir = var/lib", KT_ERR_INVALID, "not an absolute path"},
		{"state_dir = /a/../b", KT_ERR_INVALID, "has a .. in it"},
		{"root_cert = root.pem", KT_ERR_INVALID, "root_cert is not an absolute path"},
		{"claim_identity = x", KT_ERR_INVALID, "claim_identity is not an absolute path"},
		{"ticket_file = -", KT_ERR_INVALID, "ticket_file is not an absolute path"},
		{"device = -hub", KT_ERR_INVALID, "no device id"},
		{"device = Claim", KT_ERR_INVALID, "no device id"},
		{"device = a b", KT_ERR_INVALID, "no device id"},
		{"device = " A50 A50, KT_ERR_INVALID, "no device id"},
		{"key_store = tpm2", KT_ERR_INVALID, "where keys live: file"},
		{"key_store = fileee", KT_ERR_INVALID, "where keys live: file"},
		{"key_group = a b", KT_ERR_INVALID, "no group's name"},
		{"key_group = " A50, KT_ERR_INVALID, "no group's name"},
		{"tls_min = 1.1", KT_ERR_INVALID, "1.3 or 1.2"},
		{"tls_min = 1.30", KT_ERR_INVALID, "1.3 or 1.2"},
		{"hook = reload", KT_ERR_INVALID, "absolute path"},
		{"hook = ./reload", KT_ERR_INVALID, "absolute path"},
		{"hook = /a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", KT_ERR_RANGE,
		 "more than 16 words"},
		{"hook_timeout = 0", KT_ERR_RANGE, "1 to 3600 seconds"},
		{"hook_timeout = 30", KT_ERR_INVALID, "not a duration"},
		{"hook_timeout = 30 s", KT_ERR_INVALID, "not a duration"},
		{"hook_timeout = -1s", KT_ERR_INVALID, "not a duration"},
		{"hook_timeout = 99999999999s", KT_ERR_INVALID, "not a duration"},
		{"keep_alive = 1s", KT_ERR_RANGE, "5 to 64800 seconds"},
		{"keep_alive = 19h", KT_ERR_RANGE, "5 to 64800 seconds"},
		{"connect_timeout = 6m", KT_ERR_RANGE, "1 to 300 seconds"},
		{"backoff_min = 500ms", KT_ERR_INVALID, "not a duration"},
		{"backoff_max = 2d", KT_ERR_RANGE, "out of range"},
		{"state_dir = /a\x01", KT_ERR_INVALID, "control character"},
		{"hook = /" A300 A300 A300 A300 A300 A300 A300, KT_ERR_RANGE, "the line is longer"},
		{"hook = /" A300 A300 A300 A300, KT_ERR_RANGE, "longer than 1023"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_agent_config *config = NULL;
		char text[4096];
		char why[KT_OPTION_WHY_MAX];
		enum kt_err err = KT_ERR_OK;

		snprintf(text, sizeof(text), "# first\n\n%s\n", cases[i].line);
		err = parse(text, &config, why);
		if (err != cases[i].err || strncmp(why, "a.conf:3: ", 10) != 0 ||
		    strstr(why, cases[i].says) == NULL)
			fail_msg("%.60s: %s, \"%s\"", cases[i].line, kt_err_name(err), why);
		assert_null(config);
	}
}

static void what_only_the_whole_file_tells_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum kt_err err;
		const char *why;
	} cases[] = {
		{"broker = a:1\nbroker = a:1\n", KT_ERR_EXISTS,
		 "a.conf:2: broker is given twice (keep one line)"},
		{"repeat_first = 2m\nrepeat_max = 1m\n", KT_ERR_RANGE,
		 "a.conf: repeat_max is less than repeat_first (raise it)"},
		{"backoff_min = 2s\nbackoff_max = 1s\n", KT_ERR_RANGE,
		 "a.conf: backoff_max is less than backoff_min (raise it)"},
		{"ticket_file = /t\nclaim_identity = /c\n", KT_ERR_INVALID,
		 "a.conf: ticket_file and claim_identity: a hub enrols with one of them"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_agent_config *config = NULL;
		char why[KT_OPTION_WHY_MAX];

		assert_int_equal(parse(cases[i].text, &config, why), cases[i].err);
		assert_string_equal(why, cases[i].why);
		assert_null(config);
	}
}

#define HOOKS4 "hook = /h\nhook = /h 1\nhook = /h 2\nhook = /h 3\n"

static void the_seventeenth_hook_is_refused(void **state)
{
	struct kt_agent_config *config = parsed(HOOKS4 HOOKS4 HOOKS4 HOOKS4);
	char why[KT_OPTION_WHY_MAX];

	(void)state;
	assert_int_equal(config->hook_count, KT_HOOKS_MAX);
	kt_agent_config_free(config);
	assert_int_equal(parse(HOOKS4 HOOKS4 HOOKS4 HOOKS4 "hook = /h\n", &config, why),
			 KT_ERR_RANGE);
	assert_string_equal(why, "a.conf:17: more than 16 hooks");
}

static char *load_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void the_example_is_accepted_and_means_the_defaults(void **state)
{
	struct kt_agent_config *config = NULL;
	char *text = load_text(KT_SOURCE "/agent/keyturn-agent.conf");

	(void)state;
	config = parsed(text);
	assert_string_equal(config->broker, "");
	kt_agent_config_free(config);
	free(text);
}

/* Each option stands in the example, with its default behind it where it has one. */
static void the_example_shows_every_option(void **state)
{
	char *text = load_text(KT_SOURCE "/agent/keyturn-agent.conf");
	const char *name = NULL;
	const char *preset = NULL;

	(void)state;
	for (size_t i = 0; kt_agent_config_option(i, &name, &preset); i++) {
		char line[128];

		snprintf(line, sizeof(line), "\n# %s = %s%s", name, preset != NULL ? preset : "",
			 preset != NULL ? "\n" : "");
		if (strstr(text, line) == NULL)
			fail_msg("not in the example: %s", line);
	}
	free(text);
}

/* The page has one .It Ic NAME per option, with its default, in the order of the table; no other.
 */
static void the_manual_lists_exactly_the_options(void **state)
{
	char *text = load_text(KT_SOURCE "/docs/keyturn-agent.conf.5");
	const char *at = text;
	const char *name = NULL;
	const char *preset = NULL;

	(void)state;
	for (size_t i = 0; kt_agent_config_option(i, &name, &preset); i++) {
		char item[64];
		char dflt[64];
		const char *end = NULL;
		const char *found = NULL;

		snprintf(item, sizeof(item), "\n.It Ic %s ", name);
		found = strstr(at, "\n.It Ic ");
		if (found == NULL || strncmp(found, item, strlen(item)) != 0)
			fail_msg("the next option of the page is not %s", name);
		at = found + 1;
		end = strstr(at, "\n.It Ic ");
		snprintf(dflt, sizeof(dflt), "\nDefault: %s.", preset != NULL ? preset : "none");
		found = strstr(at, dflt);
		if (found == NULL || (end != NULL && found > end))
			fail_msg("%s: the page does not say \"Default: %s.\"", name,
				 preset != NULL ? preset : "none");
	}
	assert_null(strstr(at, "\n.It Ic "));
	free(text);
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	char dir[] = "/tmp/keyturn.XXXXXX";
	char path[64];
	char why[KT_OPTION_WHY_MAX];
	struct kt_agent_config *config = NULL;
	FILE *file = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.conf", dir);
	assert_int_equal(kt_agent_config_load(path, &config, why), KT_ERR_SYS);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("broker = a:1\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0664), 0);
	assert_int_equal(kt_agent_config_load(path, &config, why), KT_ERR_INSECURE);
	assert_non_null(strstr(why, "can be written by others"));
	assert_null(config);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(kt_agent_config_load(path, &config, why), KT_ERR_OK);
	assert_string_equal(config->broker, "a:1");
	kt_agent_config_free(config);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_gives_every_default),
		cmocka_unit_test(every_option_can_be_given),
		cmocka_unit_test(each_malformed_line_is_refused_with_its_number),
		cmocka_unit_test(what_only_the_whole_file_tells_is_refused),
		cmocka_unit_test(the_seventeenth_hook_is_refused),
		cmocka_unit_test(the_example_is_accepted_and_means_the_defaults),
		cmocka_unit_test(the_example_shows_every_option),
		cmocka_unit_test(the_manual_lists_exactly_the_options),
		cmocka_unit_test(a_file_that_others_can_write_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
