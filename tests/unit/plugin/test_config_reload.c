/* What SIGHUP takes over from the file, what it only names, and what it refuses as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_reload.h"
#include "failing_alloc.h"
#include "temp_dir.h"

#define REQUIRED                                                                                   \
	"trust_domain = example.org\n"                                                             \
	"state_dir = /s/state\n"                                                                   \
	"ledger_dir = /s/ledger\n"                                                                 \
	"root_cert = /p/root.pem\n"                                                                \
	"issuer_cert = /p/issuing.pem\n"                                                           \
	"issuer_key = /p/issuing.key\n"                                                            \
	"controller_cert = /p/controller.pem\n"                                                    \
	"controller_key = /p/controller.key\n"

#define SITE REQUIRED "acl = readwrite devices/%d/#\nacl = read groups/%g/#\n"
#define D8   "%d%d%d%d%d%d%d%d"

struct fixture {
	char dir[64];
	char path[96];
	struct kt_config *running;
	struct kt_log log;
	char lines[8192];
	unsigned line_count;
};

static void record_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct fixture *f = ctx;
	size_t len = strlen(f->lines);

	(void)level;
	(void)snprintf(f->lines + len, sizeof(f->lines) - len, "%s\n", line);
	f->line_count++;
}

static void write_file(const struct fixture *f, const char *text, mode_t mode)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(f->path, mode), 0);
}

static struct kt_config *parsed(const char *text)
{
	struct kt_config *config = NULL;
	char why[512];
	enum kt_err err = kt_config_parse(
		"k.conf", (struct kt_bytes){(const uint8_t *)text, strlen(text)}, &config, why);

	if (err != KT_ERR_OK)
		fail_msg("%s", why);
	return config;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	temp_dir_make(f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/k.conf", f->dir);
	f->running = parsed(SITE);
	kt_log_init(&f->log, record_line, f, KT_LOG_DEBUG);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	kt_config_free(f->running);
	temp_dir_remove(f->dir);
	free(f);
	return 0;
}

static enum kt_err reload(struct fixture *f, struct kt_site_acl *out)
{
	f->lines[0] = '\0';
	f->line_count = 0;
	memset(out, 0x5a, sizeof(*out));
	return kt_config_reload(f->path, f->running, &f->log, out);
}

static bool is_zero(const struct kt_site_acl *acl)
{
	static const struct kt_site_acl zero;

	return memcmp(acl, &zero, sizeof(zero)) == 0;
}

static void an_unchanged_file_gives_the_same_topics_and_says_nothing(void **state)
{
	struct fixture *f = *state;
	struct kt_site_acl acl;

	write_file(f, SITE, 0600);
	assert_int_equal(reload(f, &acl), KT_ERR_OK);
	assert_memory_equal(&acl, &f->running->acl, sizeof(acl));
	assert_int_equal(f->line_count, 0);
}

static void the_sites_topics_are_taken_whole(void **state)
{
	struct fixture *f = *state;
	struct kt_site_acl acl;

	write_file(f,
		   REQUIRED
		   "acl = deny a/#\nacl = write b/%d\ndevice_acl = defer\nother_acl = allow\n",
		   0600);
	assert_int_equal(reload(f, &acl), KT_ERR_OK);
	assert_int_equal(acl.rule_count, 2);
	assert_int_equal(acl.rules[0].access, KT_ACL_DENY);
	assert_string_equal(acl.rules[0].pattern, "a/#");
	assert_int_equal(acl.rules[1].access, KT_ACL_WRITE);
	assert_string_equal(acl.rules[1].pattern, "b/%d");
	assert_int_equal(acl.device, KT_FALLBACK_DEFER);
	assert_int_equal(acl.other, KT_FALLBACK_ALLOW);
	assert_int_equal(f->line_count, 0); /* nothing waits for a restart */

	write_file(f, REQUIRED, 0600);
	assert_int_equal(reload(f, &acl), KT_ERR_OK);
	assert_int_equal(acl.rule_count, 0);
	assert_int_equal(acl.device, KT_FALLBACK_DENY);
	assert_int_equal(acl.other, KT_FALLBACK_DEFER);
}

/* --- what needs a restart --- */

/* The first of these that the option takes and that is not its default. */
static const char *const values[] = {"/other/file", "41s",     "8d",
				     "3",	    "11",      "accept",
				     "refuse",	    "defer",   "deny",
				     "allow",	    "on",      "off",
				     "auto",	    "other",   "report",
				     "quarantine",  "observe", "disconnect",
				     "0",	    "host:1",  "unix:/run/x.sock admin",
				     "read x",	    "cn"};

static bool other_text(size_t index, const char *name, char out[static 2048])
{
	struct kt_config *before = parsed(REQUIRED);
	bool found = false;

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]) && !found; v++) {
		struct kt_config *after = NULL;
		char why[512];
		size_t len = 0;
		const char *line;

		for (line = REQUIRED; *line != '\0'; line = strchr(line, '\n') + 1) {
			size_t line_len = (size_t)(strchr(line, '\n') + 1 - line);
			if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
				continue;
			memcpy(out + len, line, line_len);
			len += line_len;
		}
		(void)snprintf(out + len, 2048 - len, "%s = %s\n", name, values[v]);
		if (kt_config_parse("k.conf", (struct kt_bytes){(const uint8_t *)out, strlen(out)},
				    &after, why) != KT_ERR_OK)
			continue;
		found = !kt_config_is_same(before, after, index);
		kt_config_free(after);
	}
	kt_config_free(before);
	return found;
}

static void each_other_option_that_differs_is_named_and_no_other(void **state)
{
	struct fixture *f = *state;
	const char *name = NULL;
	const char *help = NULL;
	unsigned named = 0;

	kt_config_free(f->running);
	f->running = parsed(REQUIRED);
	for (size_t i = 0; kt_config_option(i, &name, &help); i++) {
		struct kt_site_acl acl;
		char text[2048];
		char want[128];

		if (!other_text(i, name, text))
			fail_msg("no value of this test is another one for %s", name);
		write_file(f, text, 0600);
		assert_int_equal(reload(f, &acl), KT_ERR_OK);
		if (strcmp(name, "acl") == 0 || strcmp(name, "device_acl") == 0 ||
		    strcmp(name, "other_acl") == 0) {
			assert_int_equal(f->line_count, 0);
			assert_false(memcmp(&acl, &f->running->acl, sizeof(acl)) == 0);
			continue;
		}
		(void)snprintf(want, sizeof(want),
			       "event=config.warned options=%s why=\"they differ", name);
		if (f->line_count != 1 || strstr(f->lines, want) == NULL)
			fail_msg("%s: %s", name, f->lines);
		assert_memory_equal(&acl, &f->running->acl, sizeof(acl));
		named++;
	}
	assert_true(named > 25);
}

static void several_that_differ_stand_in_one_line_and_the_topics_are_taken(void **state)
{
	struct fixture *f = *state;
	struct kt_site_acl acl;

	write_file(f,
		   REQUIRED "workers = 2\nacl = read x\nwakeup = off\noperator = unix:/s admin\n",
		   0600);
	assert_int_equal(reload(f, &acl), KT_ERR_OK);
	assert_int_equal(acl.rule_count, 1);
	assert_int_equal(f->line_count, 1);
	assert_non_null(strstr(f->lines, "options=\"operator,wakeup,workers\" why="));
	assert_non_null(strstr(f->lines, "restart the broker"));
}

/* --- what is refused --- */

static void expect_refused(struct fixture *f, enum kt_err err, const char *sentence)
{
	struct kt_site_acl acl;

	assert_int_equal(reload(f, &acl), err);
	assert_true(is_zero(&acl));
	assert_int_equal(f->line_count, 1);
	if (strstr(f->lines, "event=config.refused err=") != f->lines ||
	    strstr(f->lines, "in_force=\"as before\"") == NULL ||
	    strstr(f->lines, sentence) == NULL)
		fail_msg("%s\nhas not: %s", f->lines, sentence);
}

static void a_file_that_is_gone_is_refused(void **state)
{
	expect_refused(*state, KT_ERR_SYS, "k.conf: cannot be opened: No such file");
}

static void a_directory_in_its_place_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->path, 0700), 0);
	expect_refused(f, KT_ERR_INVALID, "k.conf: is not a regular file");
	assert_int_equal(rmdir(f->path), 0);
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, SITE, 0620);
	expect_refused(f, KT_ERR_INSECURE, "k.conf: can be written by others (chmod go-w it)");
	write_file(f, SITE, 0602);
	expect_refused(f, KT_ERR_INSECURE, "chmod go-w it");
}

static void each_wrong_line_is_refused_with_its_number(void **state)
{
	static const struct {
		const char *line;
		enum kt_err err;
		const char *sentence;
	} cases[] = {
		{"acl readwrite x", KT_ERR_INVALID, "no = in this line (name = value)"},
		{"acls = read x", KT_ERR_UNKNOWN_FIELD, "there is no option 'acls'"},
		{"workers = 17", KT_ERR_RANGE, "workers is out of range (1 to 16)"},
		{"workers =", KT_ERR_INVALID, "workers has no value"},
		{"trust_domain = a.example", KT_ERR_EXISTS, "trust_domain is given twice"},
		{"device_acl = allow", KT_ERR_INVALID, "device_acl cannot be that"},
		{"other_acl = deny", KT_ERR_INVALID, "other_acl cannot be that"},
		{"acl = admit x", KT_ERR_INVALID, "neither read, write, readwrite nor deny"},
		{"acl = read %u/x", KT_ERR_INVALID, "nothing but %d (device id) and %g (group)"},
		{"acl = read a/#/b", KT_ERR_INVALID, "no MQTT topic filter"},
		{"acl = read keyturn/#", KT_ERR_DENIED, "may not match keyturn/ or $ topics"},
		{"acl = readwrite #", KT_ERR_DENIED, "may not match keyturn/ or $ topics"},
		{"acl = deny $SYS/#", KT_ERR_DENIED, "may not match keyturn/ or $ topics"},
		{"acl = deny " D8 "/%d", KT_ERR_RANGE, "has 568 characters, of 511 at the most"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[2048];
		char want[256];

		(void)snprintf(text, sizeof(text), "%s%s\n", SITE, cases[i].line);
		(void)snprintf(want, sizeof(want), "k.conf:11: ");
		write_file(f, text, 0600);
		expect_refused(f, cases[i].err, want);
		expect_refused(f, cases[i].err, cases[i].sentence);
	}
}

static void a_missing_option_is_refused(void **state)
{
	struct fixture *f = *state;

	write_file(f, "acl = read x\n", 0600);
	expect_refused(f, KT_ERR_MISSING_FIELD, "k.conf: trust_domain is missing");
}

static void without_memory_nothing_is_taken_over(void **state)
{
	struct fixture *f = *state;
	bool has_failed = true;
	unsigned failures = 0;

	write_file(f, REQUIRED "acl = read other\n", 0600);
	for (size_t n = 1; has_failed; n++) {
		struct kt_site_acl acl;
		enum kt_err err;

		failing_alloc_set(n);
		err = reload(f, &acl);
		has_failed = failing_alloc_end();
		if (!has_failed) {
			assert_int_equal(err, KT_ERR_OK);
			break;
		}
		failures++;
		assert_int_equal(err, KT_ERR_NOMEM);
		assert_true(is_zero(&acl));
		assert_non_null(
			strstr(f->lines, "event=config.refused err=nomem in_force=\"as before\""));
	}
	assert_true(failures >= 2);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_unchanged_file_gives_the_same_topics_and_says_nothing),
		T(the_sites_topics_are_taken_whole),
		T(each_other_option_that_differs_is_named_and_no_other),
		T(several_that_differ_stand_in_one_line_and_the_topics_are_taken),
		T(a_file_that_is_gone_is_refused),
		T(a_directory_in_its_place_is_refused),
		T(a_file_that_others_can_write_is_refused),
		T(each_wrong_line_is_refused_with_its_number),
		T(a_missing_option_is_refused),
		T(without_memory_nothing_is_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
