/* Does the start come to all or nothing, and does each refusal name what is wrong? */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "setup.h"
#include "setup_crl.h"

enum { PATH_LEN = 256, CONF_LEN = 4096 };

struct fixture {
	char dir[PATH_LEN];
	char conf[CONF_LEN]; /* of the plugin */
	char log[CONF_LEN];  /* lines so far */
	struct kt_log logger;
};

static void record_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct fixture *f = ctx;
	size_t len = strlen(f->log);

	(void)level;
	(void)snprintf(f->log + len, sizeof(f->log) - len, "%s\n", line);
}

static void write_file(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
	char path[2 * PATH_LEN];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* Keys are copied: git keeps no modes. */
static void copy_vector(const struct fixture *f, const char *name)
{
	char path[2 * PATH_LEN];
	size_t len = 0;
	uint8_t *text;

	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s", name);
	text = read_file(path, &len);
	write_file(f, name, (const char *)text, 0600);
	free(text);
}

static int set_up(void **state)
{
	static const char *const files[] = {"root.pem",	      "issuing.pem",	"issuing.key",
					    "controller.pem", "controller.key", "root.key",
					    "other-root.pem", "other-root.key"};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/keyturn-setup.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		copy_vector(f, files[i]);
	write_file(f, "mosquitto.conf",
		   "listener 8883\ncafile a\ncertfile b\nkeyfile c\nrequire_certificate true\n"
		   "plugin /x/mosquitto_keyturn.so\nplugin_opt_config /x/keyturn.conf\n",
		   0600);
	(void)snprintf(f->conf, sizeof(f->conf),
		       "trust_domain = fleet.example\nstate_dir = %s/state\n"
		       "ledger_dir = %s/ledger\nroot_cert = %s/root.pem\n"
		       "issuer_cert = %s/issuing.pem\nissuer_key = %s/issuing.key\n"
		       "controller_cert = %s/controller.pem\n"
		       "controller_key = %s/controller.key\nwakeup = off\n",
		       f->dir, f->dir, f->dir, f->dir, f->dir, f->dir, f->dir);
	kt_log_init(&f->logger, record_line, f, KT_LOG_DEBUG);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);

	free(f);
	return rc;
}

/* "NAME = ..." becomes "NAME = VALUE"; a path lies in the test's directory. */
static void set_option(struct fixture *f, const char *name, const char *value)
{
	char line[2 * PATH_LEN];
	char *at;
	char rest[CONF_LEN];

	(void)snprintf(line, sizeof(line), "\n%s = ", name);
	at = strstr(f->conf, line);
	assert_non_null(at);
	at += strlen(line);
	(void)snprintf(rest, sizeof(rest), "%s", strchr(at, '\n'));
	(void)snprintf(at, sizeof(f->conf) - (size_t)(at - f->conf), "%s%s%s",
		       value[0] == '/' ? f->dir : "", value, rest);
}

static void add_line(struct fixture *f, const char *line)
{
	size_t len = strlen(f->conf);

	(void)snprintf(f->conf + len, sizeof(f->conf) - len, "%s\n", line);
}

static enum kt_err start(struct fixture *f, struct kt_setup **out, char why[static 512])
{
	char path[2 * PATH_LEN];
	char cmdline[3 * PATH_LEN];
	int len = snprintf(cmdline, sizeof(cmdline), "mosquitto%c-c%c%s/mosquitto.conf", 0, 0,
			   f->dir);
	struct kt_setup_request request = {
		.config_path = path,
		.cmdline = {(const uint8_t *)cmdline, (size_t)len + 1},
		.now_us = INT64_C(1700000000000000),
		.log = &f->logger,
	};

	write_file(f, "keyturn.conf", f->conf, 0600);
	(void)snprintf(path, sizeof(path), "%s/keyturn.conf", f->dir);
	return kt_setup_new(&request, out, why);
}

static void expect_refused(struct fixture *f, enum kt_err err, const char *says)
{
	struct kt_setup *setup = NULL;
	char path[2 * PATH_LEN];
	char why[512];

	assert_int_equal(start(f, &setup, why), err);
	assert_null(setup);
	if (strstr(why, says) == NULL)
		fail_msg("'%s' does not say '%s'", why, says);
	(void)snprintf(path, sizeof(path), "%s/ledger", f->dir);
	assert_int_not_equal(access(path, F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/state", f->dir);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void builds_all_and_takes_it_down_again(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	for (int i = 0; i < 2; i++) { /* the second one over the state of the first */
		assert_int_equal(start(f, &setup, why), KT_ERR_OK);
		assert_string_equal(why, "");
		assert_non_null(setup->config);
		assert_non_null(setup->store);
		assert_non_null(setup->pool);
		assert_non_null(setup->crypto);
		assert_null(setup->waker); /* wakeup = off */
		assert_true(setup->has_broker_conf);
		assert_true(setup->broker_conf.has_certificate_listener);
		assert_int_equal(kt_registry_seq(setup->registry), 1);
		assert_string_equal(kt_registry_trust_domain(setup->registry), "fleet.example");
		kt_setup_free(setup);
	}
	kt_setup_free(NULL);
}

static void knows_the_hash_of_the_root(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	struct kt_bytes der;
	uint8_t *storage = NULL;
	uint8_t want[32];
	char why[512];
	size_t count = 0;
	size_t len = 0;
	uint8_t *pem = read_file(KT_VECTORS "/pki/root.pem", &len);

	assert_int_equal(kt_pem_certs(pem, len, &der, 1, &count, &storage), KT_ERR_OK);
	kt_sha256(der.p, der.len, want);
	free(pem);
	free(storage);
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_memory_equal(setup->root_sha256, want, sizeof(want));
	kt_setup_free(setup);
}

static void warns_of_a_broker_configuration_that_it_cannot_read(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	add_line(f, "mosquitto_conf = /nowhere/mosquitto.conf");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_false(setup->has_broker_conf);
	assert_non_null(strstr(f->log, "event=config.warned"));
	assert_non_null(strstr(f->log, "/nowhere/mosquitto.conf"));
	kt_setup_free(setup);
}

static void warns_that_nobody_decides_about_other_clients(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_non_null(strstr(f->log, "other_acl = defer"));
	kt_setup_free(setup);
	f->log[0] = '\0';
	add_line(f, "other_acl = allow");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_null(strstr(f->log, "other_acl = defer"));
	kt_setup_free(setup);
}

static void reads_the_sites_topics_again(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	struct kt_reloaded fresh;
	char why[512];

	add_line(f, "other_acl = allow");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	f->log[0] = '\0';
	assert_int_equal(kt_setup_reload(setup, &f->logger, &fresh), KT_ERR_OK);
	assert_memory_equal(&fresh.acl, &setup->config->acl, sizeof(fresh.acl));
	assert_string_equal(f->log, "");

	f->conf[strlen(f->conf) - strlen("other_acl = allow\n")] = '\0';
	add_line(f, "acl = read news/#");
	write_file(f, "keyturn.conf", f->conf, 0600);
	assert_int_equal(kt_setup_reload(setup, &f->logger, &fresh), KT_ERR_OK);
	assert_string_equal(fresh.acl.rules[fresh.acl.rule_count - 1].pattern, "news/#");
	assert_int_equal(fresh.acl.other, KT_FALLBACK_DEFER);
	assert_non_null(strstr(f->log, "neither an acl_file nor a plugin behind"));

	f->log[0] = '\0';
	add_line(f, "acl = read keyturn/#");
	write_file(f, "keyturn.conf", f->conf, 0600);
	assert_int_equal(kt_setup_reload(setup, &f->logger, &fresh), KT_ERR_DENIED);
	assert_int_equal(fresh.acl.rule_count, 0);
	assert_non_null(strstr(f->log, "event=config.refused err=denied"));
	kt_setup_free(setup);
}

/* The whole fleet would be denied every topic: the start refuses it, and so does a reload. */
static void leaves_an_observed_fleet_to_nobody_by_no_reload(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	struct kt_reloaded fresh;
	char why[512];

	add_line(f, "enforce = observe");
	assert_int_equal(start(f, &setup, why), KT_ERR_DENIED);
	add_line(f, "other_acl = allow");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	f->conf[strlen(f->conf) - strlen("other_acl = allow\n")] = '\0';
	write_file(f, "keyturn.conf", f->conf, 0600);
	f->log[0] = '\0';
	assert_int_equal(kt_setup_reload(setup, &f->logger, &fresh), KT_ERR_DENIED);
	assert_int_equal(fresh.acl.rule_count, 0);
	assert_non_null(strstr(f->log, "event=config.refused err=denied"));
	assert_non_null(strstr(f->log, "enforce = observe with other_acl = defer"));
	kt_setup_free(setup);
}

static void warns_of_a_deadline_that_a_dead_link_would_miss(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_null(strstr(f->log, "challenge_silence"));
	kt_setup_free(setup);
	add_line(f, "challenge_silence = quarantine");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_non_null(strstr(f->log, "raise challenge_timeout to 2m"));
	kt_setup_free(setup);
	f->log[0] = '\0';
	add_line(f, "challenge_timeout = 91s");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	assert_null(strstr(f->log, "challenge_silence"));
	kt_setup_free(setup);
}

static void refuses_a_broker_that_opens_another_door(void **state)
{
	struct fixture *f = *state;

	write_file(f, "mosquitto.conf",
		   "listener 8883\ncafile a\ncertfile b\nkeyfile c\nrequire_certificate true\n"
		   "use_identity_as_username true\nplugin /x/mosquitto_keyturn.so\n",
		   0600);
	expect_refused(f, KT_ERR_DENIED, "use_identity_as_username");
}

static void refuses_an_unknown_option(void **state)
{
	struct fixture *f = *state;

	add_line(f, "colour = blue");
	expect_refused(f, KT_ERR_UNKNOWN_FIELD, "keyturn.conf:10");
}

static void refuses_keys_that_are_missing_open_or_of_somebody_else(void **state)
{
	struct fixture *f = *state;

	set_option(f, "issuer_key", "/none.key");
	expect_refused(f, KT_ERR_NOT_FOUND, "issuer_key: ");
	set_option(f, "issuer_key", "/other-root.key");
	expect_refused(f, KT_ERR_VERIFY, "other-root.key");
	set_option(f, "issuer_key", "/issuing.pem");
	expect_refused(f, KT_ERR_INVALID, "P-256");
	set_option(f, "issuer_key", "/issuing.key");
	copy_vector(f, "controller.key");
	write_file(f, "open.key", "x", 0604);
	set_option(f, "controller_key", "/open.key");
	expect_refused(f, KT_ERR_INSECURE, "controller_key: ");
}

static void refuses_certificates_in_the_wrong_place(void **state)
{
	struct fixture *f = *state;

	set_option(f, "issuer_cert", "/root.pem");
	expect_refused(f, KT_ERR_VERIFY, "offline");
	set_option(f, "issuer_cert", "/controller.pem");
	expect_refused(f, KT_ERR_VERIFY, "issuer_cert: ");
	set_option(f, "issuer_cert", "/issuing.pem");
	set_option(f, "controller_cert", "/issuing.pem");
	expect_refused(f, KT_ERR_VERIFY, "no controller certificate");
	set_option(f, "controller_cert", "/controller.pem");
	set_option(f, "root_cert", "/other-root.pem");
	expect_refused(f, KT_ERR_VERIFY, "issuer_cert: ");
	set_option(f, "root_cert", "/controller.pem");
	expect_refused(f, KT_ERR_VERIFY, "root_cert: ");
	set_option(f, "root_cert", "/root.key");
	expect_refused(f, KT_ERR_NOT_FOUND, "exactly one certificate");
}

static void refuses_a_file_of_two_certificates(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;
	uint8_t *pem = read_file(KT_VECTORS "/pki/issuing.pem", &len);
	char both[2 * CONF_LEN];

	(void)snprintf(both, sizeof(both), "%s%s", (const char *)pem, (const char *)pem);
	free(pem);
	write_file(f, "both.pem", both, 0600);
	set_option(f, "issuer_cert", "/both.pem");
	expect_refused(f, KT_ERR_TOO_LONG, "exactly one certificate");
}

static void refuses_a_controller_of_another_trust_domain(void **state)
{
	struct fixture *f = *state;

	(void)memcpy(f->conf, "trust_domain = field.example", 28);
	expect_refused(f, KT_ERR_VERIFY, "spiffe://field.example/controller/<n>");
}

static void refuses_directories_that_lie_one_in_the_other(void **state)
{
	struct fixture *f = *state;
	char link[2 * PATH_LEN];
	char target[2 * PATH_LEN];

	set_option(f, "ledger_dir", "/state/ledger");
	expect_refused(f, KT_ERR_INVALID, "ledger_same_dir = accept");
	/* By way of a link to a directory that exists. */
	(void)snprintf(target, sizeof(target), "%s/real", f->dir);
	assert_int_equal(mkdir(target, 0700), 0);
	(void)snprintf(link, sizeof(link), "%s/link", f->dir);
	assert_int_equal(symlink(target, link), 0);
	set_option(f, "state_dir", "/real");
	set_option(f, "ledger_dir", "/link/new");
	expect_refused(f, KT_ERR_DENIED, "ledger_same_dir = accept");
}

static void lets_an_operator_accept_one_directory(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	set_option(f, "ledger_dir", "/state/ledger");
	add_line(f, "ledger_same_dir = accept");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	kt_setup_free(setup);
}

static void directories_that_only_begin_alike_are_two(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *setup = NULL;
	char why[512];

	set_option(f, "ledger_dir", "/state-ledger");
	assert_int_equal(start(f, &setup, why), KT_ERR_OK);
	kt_setup_free(setup);
}

static void a_second_one_over_the_same_state_is_refused(void **state)
{
	struct fixture *f = *state;
	struct kt_setup *first = NULL;
	struct kt_setup *second = NULL;
	char why[512];

	assert_int_equal(start(f, &first, why), KT_ERR_OK);
	assert_int_equal(start(f, &second, why), KT_ERR_BUSY);
	assert_null(second);
	assert_true(strlen(why) > 0);
	kt_setup_free(first);
}

/* --- the revocation list --- */

static struct kt_bytes vector_cert(const char *path, uint8_t **storage)
{
	struct kt_bytes der = {NULL, 0};
	size_t count = 0;
	size_t len = 0;
	uint8_t *pem = read_file(path, &len);

	assert_int_equal(kt_pem_certs(pem, len, &der, 1, &count, storage), KT_ERR_OK);
	free(pem);
	return der;
}

/* crl.pem: of the issuing CA @name, with this number. */
static void write_list(const struct fixture *f, const char *name, uint64_t number)
{
	const struct kt_crl_head head = {
		.number = number, .this_update_s = 1700000000, .next_update_s = 1700000600};
	struct kt_crypto *crypto = NULL;
	struct kt_issuer *issuer = NULL;
	struct kt_key *key = NULL;
	char path[2 * PATH_LEN];
	uint8_t *storage = NULL;
	uint8_t *der = NULL;
	char *pem = NULL;
	struct kt_bytes cert;
	size_t len = 0;
	uint8_t *text;

	assert_int_equal(kt_crypto_new(&crypto), KT_ERR_OK);
	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s.pem", name);
	cert = vector_cert(path, &storage);
	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s.key", name);
	text = read_file(path, &len);
	assert_int_equal(kt_key_from_pem(crypto, text, len, &key), KT_ERR_OK);
	free(text);
	assert_int_equal(kt_issuer_new(crypto, cert.p, cert.len, key, &issuer), KT_ERR_OK);
	assert_int_equal(kt_crl_issue(crypto, issuer, &head, NULL, &der, &len), KT_ERR_OK);
	assert_int_equal(kt_pem_from_crl(der, len, &pem), KT_ERR_OK);
	write_file(f, "crl.pem", pem, 0644);
	free(pem);
	free(der);
	kt_issuer_free(issuer);
	free(storage);
	kt_crypto_free(crypto);
}

static void set_list(struct fixture *f)
{
	char line[2 * PATH_LEN];

	(void)snprintf(line, sizeof(line), "crl_file = %s/crl.pem", f->dir);
	add_line(f, line);
}

/* Starts; the number that the next list goes on from. */
static uint64_t number_seen(struct fixture *f)
{
	struct kt_setup *setup = NULL;
	char why[512];
	uint64_t number;

	f->log[0] = '\0';
	if (start(f, &setup, why) != KT_ERR_OK)
		fail_msg("%s", why);
	number = setup->last_crl.number;
	kt_setup_free(setup);
	return number;
}

static void goes_on_from_the_list_that_is_there(void **state)
{
	struct fixture *f = *state;

	write_list(f, "issuing", 7);
	assert_true(number_seen(f) == 0); /* not asked for: not read */
	set_list(f);
	assert_true(number_seen(f) == 7);
	assert_null(strstr(f->log, "is damaged"));
	write_list(f, "issuing", INT64_MAX - 1);
	assert_true(number_seen(f) == INT64_MAX - 1);
}

static void refuses_a_list_after_which_there_is_no_number(void **state)
{
	struct fixture *f = *state;

	set_list(f);
	write_list(f, "issuing", INT64_MAX);
	expect_refused(f, KT_ERR_RANGE, "from which none of ours can go on");
}

static void without_a_list_it_begins_anew(void **state)
{
	struct fixture *f = *state;

	set_list(f);
	assert_true(number_seen(f) == 0);
	write_file(f, "crl.pem", "", 0644);
	assert_true(number_seen(f) == 0);
	assert_null(strstr(f->log, "is damaged"));
}

static void a_list_that_is_not_ours_costs_its_number_alone(void **state)
{
	struct fixture *f = *state;

	set_list(f);
	write_list(f, "other-root", 7);
	assert_true(number_seen(f) == 0);
	assert_non_null(strstr(f->log, "crl.pem is damaged or another CA's"));
	write_file(f, "crl.pem", "-----BEGIN X509 CRL-----\nMIIB", 0644);
	assert_true(number_seen(f) == 0);
	assert_non_null(strstr(f->log, "crl.pem is damaged or another CA's"));
}

static void refuses_to_overwrite_what_is_no_list(void **state)
{
	struct fixture *f = *state;
	char path[2 * PATH_LEN];

	set_list(f);
	copy_vector(f, "root.pem");
	(void)snprintf(path, sizeof(path), "%s/crl.pem", f->dir);
	write_file(f, "crl.pem", "my diary", 0600);
	expect_refused(f, KT_ERR_EXISTS, "is no revocation list and would be lost");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused(f, KT_ERR_EXISTS, "is no file of ours");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(f, KT_ERR_EXISTS, "is no file of ours");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere", path), 0);
	expect_refused(f, KT_ERR_SYS, "crl_file: ");
}

static void refuses_a_ca_that_may_sign_no_lists(void **state)
{
	struct fixture *f = *state;
	struct kt_setup_request request = {.log = &f->logger};
	struct kt_setup setup = {0};
	struct kt_cert issuer = {.may_sign_certs = true};
	char why[512] = "";

	setup.config = calloc(1, sizeof(*setup.config));
	assert_non_null(setup.config);
	assert_int_equal(kt_setup_crl(&request, &setup, &issuer, why), KT_ERR_OK);
	(void)snprintf(setup.config->crl_file, sizeof(setup.config->crl_file), "%s/crl.pem",
		       f->dir);
	assert_int_equal(kt_setup_crl(&request, &setup, &issuer, why), KT_ERR_VERIFY);
	assert_non_null(strstr(why, "cRLSign"));
	issuer.may_sign_crls = true;
	assert_int_equal(kt_setup_crl(&request, &setup, &issuer, why), KT_ERR_OK);
	kt_config_free(setup.config);
}

static void warns_of_a_list_that_grows_for_ever(void **state)
{
	struct fixture *f = *state;

	set_list(f);
	(void)number_seen(f);
	assert_non_null(strstr(f->log, "crl_file with certificate_lifetime = 0"));
	add_line(f, "certificate_lifetime = 90d");
	(void)number_seen(f);
	assert_null(strstr(f->log, "crl_file with certificate_lifetime = 0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(builds_all_and_takes_it_down_again),
		TEST(knows_the_hash_of_the_root),
		TEST(warns_of_a_broker_configuration_that_it_cannot_read),
		TEST(warns_that_nobody_decides_about_other_clients),
		TEST(reads_the_sites_topics_again),
		TEST(leaves_an_observed_fleet_to_nobody_by_no_reload),
		TEST(warns_of_a_deadline_that_a_dead_link_would_miss),
		TEST(refuses_a_broker_that_opens_another_door),
		TEST(refuses_an_unknown_option),
		TEST(refuses_keys_that_are_missing_open_or_of_somebody_else),
		TEST(refuses_certificates_in_the_wrong_place),
		TEST(refuses_a_file_of_two_certificates),
		TEST(refuses_a_controller_of_another_trust_domain),
		TEST(refuses_directories_that_lie_one_in_the_other),
		TEST(lets_an_operator_accept_one_directory),
		TEST(directories_that_only_begin_alike_are_two),
		TEST(a_second_one_over_the_same_state_is_refused),
		TEST(goes_on_from_the_list_that_is_there),
		TEST(refuses_a_list_after_which_there_is_no_number),
		TEST(without_a_list_it_begins_anew),
		TEST(a_list_that_is_not_ours_costs_its_number_alone),
		TEST(refuses_to_overwrite_what_is_no_list),
		TEST(refuses_a_ca_that_may_sign_no_lists),
		TEST(warns_of_a_list_that_grows_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
