#include "broker_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LISTENER "listener 8883\ncafile /ca\ncertfile /c\nkeyfile /k\nrequire_certificate true\n"
#define OURS	 "plugin /lib/mosquitto_keyturn.so\nplugin_opt_config /etc/k.conf\n"
#define QUIET	 "check_retain_source true\nset_tcp_nodelay true\nmax_packet_size 262144\n"

struct fixture {
	char dir[64];
	char main[96]; /* mosquitto.conf */
	struct kt_broker_conf out;
	char why[512];
	char warnings[4096];
	int warning_count;
};

static void on_warning(void *ctx, const char *sentence)
{
	struct fixture *f = ctx;
	size_t len = strlen(f->warnings);
	(void)snprintf(f->warnings + len, sizeof(f->warnings) - len, "%s\n", sentence);
	f->warning_count++;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/kt-broker-conf-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->main, sizeof(f->main), "%s/m.conf", f->dir);
	*state = f;
	return 0;
}

static const char *const included[] = {"B.conf", "a.conf", "c.conf", ".conf", "d.conf.bak"};

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[128];
	(void)unlink(f->main);
	for (size_t i = 0; i < sizeof(included) / sizeof(included[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/d/%s", f->dir, included[i]);
		(void)unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/d", f->dir);
	(void)rmdir(path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void include(struct fixture *f, const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/d", f->dir);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/d/%s", f->dir, name);
	put(path, text);
}

static enum kt_err check(struct fixture *f, const char *text)
{
	put(f->main, text);
	f->warnings[0] = '\0';
	f->warning_count = 0;
	return kt_broker_conf_check(f->main, NULL, on_warning, f, &f->out, f->why);
}

static void a_good_file_passes_without_a_word(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(check(f, QUIET OURS LISTENER), KT_ERR_OK);
	assert_string_equal(f->why, "");
	assert_string_equal(f->warnings, "");
	assert_true(f->out.has_certificate_listener);
	assert_true(f->out.checks_retain_source);
	assert_true(f->out.sets_tcp_nodelay);
	assert_false(f->out.has_acl_file);
	assert_false(f->out.has_plugin_after);
	assert_false(f->out.has_crlfile);
}

static void what_is_behind_us_is_noted(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(check(f, QUIET OURS "plugin /lib/dynsec.so\nacl_file /acl\n" LISTENER
					     "crlfile /crl\n"),
			 KT_ERR_OK);
	assert_true(f->out.has_acl_file);
	assert_true(f->out.has_plugin_after);
	assert_true(f->out.has_crlfile);
}

struct refusal {
	const char *text;
	const char *says; /* after the path */
};

static const struct refusal refusals[] = {
	{QUIET OURS LISTENER "use_identity_as_username true\n",
	 ":11: use_identity_as_username true: "},
	{QUIET OURS LISTENER "use_identity_as_username 1\n",
	 ":11: use_identity_as_username true: "},
	{QUIET OURS LISTENER "  use_identity_as_username   true  x\n",
	 ":11: use_identity_as_username true: "},
	{QUIET OURS LISTENER "use_subject_as_username true\r\n",
	 ":11: use_subject_as_username true: "},
	{QUIET OURS LISTENER "use_username_as_clientid true",
	 ":11: use_username_as_clientid true: "},
	{"per_listener_settings true\n" OURS LISTENER, ":1: per_listener_settings true: "},
	{"per_listener_settings 1\n" OURS LISTENER, ":1: per_listener_settings true: "},
	{"set_tcp_nodelay true\ncheck_retain_source false\n" OURS LISTENER,
	 ":2: check_retain_source false: retained messages of a revoked device would"},
	{QUIET OURS LISTENER "check_retain_source 0\n", ":11: check_retain_source false: "},
	{OURS LISTENER "disable_client_cert_date_checks true\n",
	 ":8: disable_client_cert_date_checks true: "},
	{OURS LISTENER "enable_proxy_protocol 2\n", ":8: enable_proxy_protocol 2: "},
	{OURS LISTENER "listener 1883\nenable_proxy_protocol 1\n", ":9: enable_proxy_protocol 1: "},
	{"# a comment\n\nmemory_limit 100000000\n" OURS LISTENER, ":3: memory_limit 100000000: "},
	{"memory_limit 0\n" OURS LISTENER, ":1: memory_limit 0: "},
	{OURS LISTENER OURS, ":8: plugin: Keyturn is loaded twice"},
	{OURS "auth_plugin /other/mosquitto_keyturn.so\n" LISTENER,
	 ":3: auth_plugin: Keyturn is loaded twice"},
	{"plugin /lib/dynsec.so\n" OURS LISTENER, ":1: plugin: this plugin is asked before"},
	{"auth_plugin /lib/dynsec.so\n" OURS LISTENER, ":1: auth_plugin: this plugin is asked"},
	{"global_plugin /lib/dynsec.so\n" OURS LISTENER, ":1: global_plugin: this plugin is asked"},
	{"plugin_load x /lib/dynsec.so\n" OURS LISTENER, ":1: plugin_load: this plugin is asked"},
	{"plugin_load x /lib/mosquitto_keyturn.so\n" LISTENER,
	 ":1: plugin_load: Keyturn would see the clients of some listeners only"},
	{"plugin /lib/not_mosquitto_keyturn.so\n" OURS LISTENER,
	 ":1: plugin: this plugin is asked"},
	{LISTENER, ":5: plugin: no line of this file loads Keyturn"},
	{"#" OURS LISTENER, ": plugin: no line of this file loads Keyturn"},
	{"", ": plugin: no line of this file loads Keyturn"},
	{OURS, ": require_certificate: no listener"},
	{OURS "listener 1883\n", ": require_certificate: no listener"},
	{OURS "listener 8883\ncertfile /c\nkeyfile /k\nrequire_certificate false\n",
	 ": require_certificate: no listener"},
	{OURS LISTENER "require_certificate false\n", ": require_certificate: no listener"},
	{OURS "listener 8883\nrequire_certificate true\n", ": require_certificate: no listener"},
	{OURS "listener 8883\ncertfile /c\nkeyfile /k\nlistener 1883\nrequire_certificate true\n",
	 ": require_certificate: no listener"},
	{OURS "listener 8883\ncertfile /c\nkeyfile /k\nrequire_certificate True\n",
	 ": require_certificate: no listener"},
	{OURS LISTENER "listener 9001\nprotocol websockets\n", ":9: protocol websockets: "},
};

static void each_dangerous_setting_is_refused_with_file_and_line(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		enum kt_err err = check(f, refusals[i].text);
		size_t path_len = strlen(f->main);
		if (err != KT_ERR_DENIED || strncmp(f->why, f->main, path_len) != 0 ||
		    strstr(f->why + path_len, refusals[i].says) == NULL) {
			fail_msg("%zu: %s \"%s\"", i, kt_err_name(err), f->why);
		}
	}
}

static void what_the_broker_would_not_obey_is_let_pass(void **state)
{
	struct fixture *f = *state;
	static const char *const harmless[] = {
		"use_identity_as_username false\n",
		"use_identity_as_username 0\n",
		"use_identity_as_username TRUE\n",
		"Use_Identity_As_Username true\n",
		"#use_identity_as_username true\n",
		"use_identity_as_usernames true\n",
		"per_listener_settings false\n",
		"disable_client_cert_date_checks false\n",
		"check_retain_source 1\n",
		"#check_retain_source false\n",
		"protocol mqtt\n",
		"connection bridge\nbridge_cafile /x\n",
	};
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		char text[1024];
		(void)snprintf(text, sizeof(text), QUIET OURS LISTENER "%s", harmless[i]);
		if (check(f, text) != KT_ERR_OK) {
			fail_msg("%s: %s", harmless[i], f->why);
		}
	}
}

static void a_listener_before_any_listener_line_counts(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(check(f, QUIET OURS "cafile /ca\ncertfile /c\nkeyfile /k\n"
					     "require_certificate 1\nlistener 1883\n"),
			 KT_ERR_OK);
}

static void missing_settings_are_warned_of(void **state)
{
	struct fixture *f = *state;
	char says[256];
	assert_int_equal(check(f, OURS "\nlistener 8883\ncertfile /c\n"
				       "keyfile /k\nrequire_certificate true\n"),
			 KT_ERR_OK);
	assert_int_equal(f->warning_count, 4);
	assert_non_null(strstr(f->warnings, "check_retain_source true is missing"));
	assert_false(f->out.checks_retain_source);
	assert_non_null(strstr(f->warnings, "set_tcp_nodelay true is missing"));
	assert_non_null(strstr(f->warnings, "max_packet_size is missing"));
	(void)snprintf(says, sizeof(says), "%s:7: require_certificate without a cafile", f->main);
	assert_non_null(strstr(f->warnings, says));
}

static void refusals_come_without_warnings(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(check(f, OURS LISTENER "memory_limit 1\n"), KT_ERR_DENIED);
	assert_int_equal(f->warning_count, 0);
}

static void include_dir_is_followed_in_the_brokers_order(void **state)
{
	struct fixture *f = *state;
	char text[512];
	char says[256];
	/* a before B before c, ignoring case; .conf alone and .bak are left out */
	include(f, "B.conf", OURS);
	include(f, "a.conf", QUIET);
	include(f, "c.conf", "plugin /lib/dynsec.so\n" LISTENER);
	include(f, ".conf", "memory_limit 1\n");
	include(f, "d.conf.bak", "memory_limit 1\n");
	(void)snprintf(text, sizeof(text), "include_dir %s/d\n", f->dir);
	assert_int_equal(check(f, text), KT_ERR_OK);
	assert_true(f->out.has_plugin_after);
	assert_string_equal(f->warnings, "");

	include(f, "a.conf", "plugin /lib/dynsec.so\n");
	assert_int_equal(check(f, text), KT_ERR_DENIED);
	(void)snprintf(says, sizeof(says), "%s/d/a.conf:1: plugin: this plugin is asked", f->dir);
	assert_ptr_equal(strstr(f->why, says), f->why);
}

static void lines_after_an_include_are_numbered_in_their_own_file(void **state)
{
	struct fixture *f = *state;
	char text[512];
	char says[256];
	include(f, "a.conf", QUIET OURS);
	(void)snprintf(text, sizeof(text), LISTENER "include_dir %s/d\nmemory_limit 1\n", f->dir);
	assert_int_equal(check(f, text), KT_ERR_DENIED);
	(void)snprintf(says, sizeof(says), "%s:7: memory_limit", f->main);
	assert_ptr_equal(strstr(f->why, says), f->why);
}

/* The broker starts each included file at the default listener and comes back to its own. */
static void an_included_file_does_not_change_the_listener_in_hand(void **state)
{
	struct fixture *f = *state;
	char text[512];
	include(f, "a.conf", "listener 1883\n");
	(void)snprintf(text, sizeof(text),
		       QUIET OURS "listener 8883\ncafile /ca\ncertfile /c\nkeyfile /k\n"
				  "include_dir %s/d\nrequire_certificate true\n",
		       f->dir);
	assert_int_equal(check(f, text), KT_ERR_OK);
	include(f, "a.conf", "require_certificate true\n");
	(void)snprintf(text, sizeof(text),
		       QUIET OURS "listener 8883\ncafile /ca\ncertfile /c\nkeyfile /k\n"
				  "include_dir %s/d\n",
		       f->dir);
	assert_int_equal(check(f, text), KT_ERR_DENIED);
}

static void include_dir_in_an_included_file_is_not_followed(void **state)
{
	struct fixture *f = *state;
	char text[512];
	include(f, "a.conf", "include_dir /does/not/exist\n");
	(void)snprintf(text, sizeof(text), QUIET OURS LISTENER "include_dir %s/d\n", f->dir);
	assert_int_equal(check(f, text), KT_ERR_OK);
}

static void what_cannot_be_read_is_said(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(
		kt_broker_conf_check("/does/not/exist", NULL, on_warning, f, &f->out, f->why),
		KT_ERR_SYS);
	assert_string_equal(f->why, "/does/not/exist: cannot be read: No such file or directory");
	assert_int_equal(check(f, OURS LISTENER "include_dir /does/not/exist\n"), KT_ERR_SYS);
	assert_non_null(strstr(f->why, "/does/not/exist: cannot be read: No such file"));
	assert_int_equal(kt_broker_conf_check(f->dir, NULL, on_warning, f, &f->out, f->why),
			 KT_ERR_SYS);
}

static void a_nul_in_a_line_cannot_be_judged(void **state)
{
	struct fixture *f = *state;
	FILE *file = fopen(f->main, "we");
	assert_non_null(file);
	assert_int_equal(fwrite("x\0memory_limit 1\n", 1, 17, file), 17);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(kt_broker_conf_check(f->main, NULL, on_warning, f, &f->out, f->why),
			 KT_ERR_DENIED);
	assert_non_null(strstr(f->why, ":1: a line: too long, or with a NUL byte"));
}

static void our_own_path_is_recognised_by_any_name(void **state)
{
	struct fixture *f = *state;
	put(f->main, QUIET "plugin /build/keyturn-test.so\n" LISTENER);
	assert_int_equal(kt_broker_conf_check(f->main, "/build/keyturn-test.so", on_warning, f,
					      &f->out, f->why),
			 KT_ERR_OK);
	/* through a link: the same file under another name is the second load */
	char real[96];
	char text[512];
	(void)snprintf(real, sizeof(real), "%s/d/a.conf", f->dir);
	include(f, "a.conf", "");
	(void)snprintf(text, sizeof(text), OURS "plugin %s/./d/../d/a.conf\n" LISTENER, f->dir);
	put(f->main, text);
	assert_int_equal(kt_broker_conf_check(f->main, real, on_warning, f, &f->out, f->why),
			 KT_ERR_DENIED);
	assert_non_null(strstr(f->why, "loaded twice"));
}

#define FROM(text) kt_broker_conf_from_cmdline(text, sizeof(text) - 1)

static void the_command_line_gives_the_last_c(void **state)
{
	(void)state;
	assert_string_equal(FROM("mosquitto\0-c\0/etc/m.conf\0"), "/etc/m.conf");
	assert_string_equal(FROM("mosquitto\0-v\0--config-file\0/m\0-d\0"), "/m");
	assert_string_equal(FROM("mosquitto\0-c\0a\0-c\0b\0"), "b");
	assert_null(FROM("mosquitto\0"));
	assert_null(FROM("mosquitto\0-v\0"));
	assert_null(FROM("mosquitto\0-c\0"));
	assert_null(FROM("mosquitto\0-p\0-c\0"));
	assert_string_equal(FROM("mosquitto\0--tls-keylog\0-c\0-c\0/m\0"), "/m");
	assert_string_equal(FROM("mosquitto\0-c\0/m\0--tls-keylog\0-c\0"), "/m");
	assert_null(FROM("-c\0/x\0"));
	assert_null(FROM(""));
	/* cut off: not terminated, not believed */
	assert_null(FROM("mosquitto\0-c\0/etc/m.co"));
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FILES(a_good_file_passes_without_a_word),
		WITH_FILES(what_is_behind_us_is_noted),
		WITH_FILES(each_dangerous_setting_is_refused_with_file_and_line),
		WITH_FILES(what_the_broker_would_not_obey_is_let_pass),
		WITH_FILES(a_listener_before_any_listener_line_counts),
		WITH_FILES(missing_settings_are_warned_of),
		WITH_FILES(refusals_come_without_warnings),
		WITH_FILES(include_dir_is_followed_in_the_brokers_order),
		WITH_FILES(lines_after_an_include_are_numbered_in_their_own_file),
		WITH_FILES(an_included_file_does_not_change_the_listener_in_hand),
		WITH_FILES(include_dir_in_an_included_file_is_not_followed),
		WITH_FILES(what_cannot_be_read_is_said),
		WITH_FILES(a_nul_in_a_line_cannot_be_judged),
		WITH_FILES(our_own_path_is_recognised_by_any_name),
		cmocka_unit_test(the_command_line_gives_the_last_c),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
