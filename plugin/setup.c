#include "setup.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config_reload.h"
#include "durable_file.h"
#include "setup_crl.h"
#include "topic.h"

enum {
	KEEP_ALIVE_OVER_MS = 90000, /* keyturn-agent's, and half of it again */
	WHY_MAX = 512,
	CERT_FILE_MAX = 65536,
	KEY_FILE_MAX = 16384,
	KEY_FILE_MODE = 0640 /* the group may read: a broker that runs as its own user */
};

enum cert_role { CERT_ROOT, CERT_ISSUER, CERT_CONTROLLER };

struct credentials { /* during the start only */
	struct kt_bytes der[3];
	struct kt_cert cert[3];
	struct kt_secret *issuer_key;
	struct kt_secret *controller_key;
};

/* --- sentences --- */

static void __attribute__((format(printf, 2, 3)))
explain(char why[static WHY_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, WHY_MAX, format, args); /* a long path may be cut */
	va_end(args);
}

static void __attribute__((format(printf, 2, 3))) warn(struct kt_log *log, const char *format, ...)
{
	char text[WHY_MAX];
	struct kt_field field = {"why", text};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	kt_log_event(log, KT_EVENT_CONFIG_WARNED, &field, 1);
}

static void warn_of_setting(void *ctx, const char *sentence)
{
	warn(ctx, "%s", sentence);
}

/* --- the broker's own configuration --- */

/* Of the broker's file as it was at the start: nobody knows what else it has read since. */
static bool is_left_to_nobody(const struct kt_setup *setup, enum kt_fallback other)
{
	return other == KT_FALLBACK_DEFER && setup->has_broker_conf &&
	       !setup->broker_conf.has_acl_file && !setup->broker_conf.has_plugin_after;
}

static void warn_of_others(const struct kt_setup *setup, enum kt_fallback other, struct kt_log *log)
{
	if (is_left_to_nobody(setup, other))
		warn(log, "other_acl = defer, but there is neither an acl_file nor a plugin behind "
			  "this one: clients that are not devices are denied every topic; add one "
			  "of them, or set other_acl = allow");
}

/* What an old fleet does must go on: with nobody behind us that answers, its topics would not. */
static enum kt_err check_observing(const struct kt_setup *setup, enum kt_fallback other,
				   char why[static WHY_MAX])
{
	if (setup->config->enforce != KT_ENFORCE_OBSERVE || !is_left_to_nobody(setup, other))
		return KT_ERR_OK;
	explain(why,
		"enforce = observe with other_acl = defer, but there is neither an acl_file nor a "
		"plugin behind this one: the broker would deny the whole fleet every topic; set "
		"other_acl = allow, which is what it did without Keyturn");
	return KT_ERR_DENIED;
}

static enum kt_err start_observing(const struct kt_setup_request *request,
				   const struct kt_setup *setup, char why[static WHY_MAX])
{
	if (setup->config->enforce == KT_ENFORCE_OBSERVE)
		warn(request->log,
		     "enforce = observe: clients that are not registered are let in as if Keyturn "
		     "were not there; look at client.would_refuse, then set enforce = on");
	return check_observing(setup, setup->config->acl.other, why);
}

static enum kt_err check_broker_conf(const struct kt_setup_request *request, struct kt_setup *setup,
				     char why[static WHY_MAX])
{
	const struct kt_config *config = setup->config;
	const char *path = config->mosquitto_conf;
	enum kt_err err;

	if (path[0] == '\0')
		path = kt_broker_conf_from_cmdline((const char *)request->cmdline.p,
						   request->cmdline.len);
	if (path == NULL) {
		explain(why, "the broker was started without -c");
		err = KT_ERR_SYS;
	} else {
		err = kt_broker_conf_check(path, request->plugin_path, warn_of_setting,
					   request->log, &setup->broker_conf, why);
	}
	if (err == KT_ERR_SYS) {
		warn(request->log,
		     "%s: the broker's settings are not checked, and clients that never passed "
		     "our door are judged by user name and client id alone; set mosquitto_conf",
		     why);
		return KT_ERR_OK;
	}
	if (err != KT_ERR_OK)
		return err;
	setup->has_broker_conf = true;
	warn_of_others(setup, config->acl.other, request->log);
	return KT_ERR_OK;
}

/* A link that has just died looks like silence until the broker gives it up. */
static void warn_of_silence(const struct kt_setup_request *request, const struct kt_config *config)
{
	if (config->challenge_silence != KT_POLICY_REPORT &&
	    config->challenge_timeout_ms <= KEEP_ALIVE_OVER_MS)
		warn(request->log,
		     "challenge_silence is not report, and challenge_timeout is not over 90s: a "
		     "hub whose link has just died is noticed after one and a half keep_alive "
		     "(90s), and counts as silent before; raise challenge_timeout to 2m");
}

/* --- certificates and keys --- */

static enum kt_err read_cert(struct kt_setup *setup, struct credentials *c, enum cert_role role,
			     const char *path, char why[static WHY_MAX])
{
	static const char *const options[] = {
		[CERT_ROOT] = "root_cert",
		[CERT_ISSUER] = "issuer_cert",
		[CERT_CONTROLLER] = "controller_cert",
	};
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_secret *file = NULL;
	struct kt_bytes pem;
	size_t count = 0;
	char buf[KT_ERR_CAUSE_MAX];

	err = kt_file_read(kt_fs_posix(), path, CERT_FILE_MAX, &file);
	if (err != KT_ERR_OK) {
		explain(why, "%s: %s cannot be read: %s; correct the path or the file's mode",
			options[role], path, kt_err_cause(err, errno, buf));
		goto out;
	}
	pem = kt_secret_view(file);
	err = kt_pem_certs(pem.p, pem.len, &c->der[role], 1, &count, &setup->storage[role]);
	if (err == KT_ERR_OK)
		err = kt_cert_decode(c->der[role].p, c->der[role].len, &c->cert[role]);
	if (err != KT_ERR_OK)
		explain(why, "%s: %s must hold exactly one certificate in PEM: %s", options[role],
			path, kt_err_text(err));
out:
	kt_secret_free(file);
	return err;
}

static enum kt_err read_key(const char *option, const char *path, struct kt_secret **out,
			    char why[static WHY_MAX])
{
	enum kt_err err =
		kt_file_read_private(kt_fs_posix(), path, KEY_FILE_MAX, KEY_FILE_MODE, out);
	char buf[KT_ERR_CAUSE_MAX];

	if (err == KT_ERR_OK)
		return KT_ERR_OK;
	explain(why,
		"%s: %s cannot be used: %s; it must be a regular file of the broker's user or of "
		"root, mode 0600 or 0640",
		option, path, kt_err_cause(err, errno, buf));
	return err;
}

static enum kt_err check_authorities(const struct kt_config *config, const struct credentials *c,
				     char why[static WHY_MAX])
{
	const struct kt_cert *root = &c->cert[CERT_ROOT];
	const struct kt_cert *issuer = &c->cert[CERT_ISSUER];
	enum kt_dates dates;
	enum kt_err err;

	if (!root->is_ca || !root->may_sign_certs) {
		explain(why, "root_cert: %s is not a CA certificate", config->root_cert);
		return KT_ERR_VERIFY;
	}
	if (!issuer->is_ca || !issuer->may_sign_certs) {
		explain(why, "issuer_cert: %s is not a CA certificate", config->issuer_cert);
		return KT_ERR_VERIFY;
	}
	if (kt_fingerprint_eq(&root->fingerprint, &issuer->fingerprint) ||
	    kt_key_id_eq(&root->key_id, &issuer->key_id)) {
		explain(why,
			"issuer_cert: %s is the root: its key belongs offline; make an issuing CA "
			"(keyturn-pki init does)",
			config->issuer_cert);
		return KT_ERR_VERIFY;
	}
	err = kt_chain_verify(c->der[CERT_ROOT], &c->der[CERT_ISSUER], 1, -1, &dates);
	if (err == KT_ERR_NOMEM)
		return err;
	if (err != KT_ERR_OK) {
		explain(why, "issuer_cert: %s was not issued by root_cert %s", config->issuer_cert,
			config->root_cert);
		return KT_ERR_VERIFY;
	}
	return KT_ERR_OK;
}

/*
 * The root itself must have issued it: otherwise whoever takes the issuing key from this machine
 * could command every hub.
 */
static enum kt_err check_controller(const struct kt_config *config, const struct credentials *c,
				    char why[static WHY_MAX])
{
	const struct kt_cert *controller = &c->cert[CERT_CONTROLLER];
	const char *path = config->controller_cert;
	const char *number;
	enum kt_dates dates;
	enum kt_err err;

	err = kt_chain_verify(c->der[CERT_ROOT], &c->der[CERT_CONTROLLER], 1, -1, &dates);
	if (err == KT_ERR_NOMEM)
		return err;
	if (err != KT_ERR_OK) {
		explain(why, "controller_cert: %s was not issued by root_cert %s itself", path,
			config->root_cert);
		return KT_ERR_VERIFY;
	}
	if (controller->is_ca || !controller->may_sign || controller->eku != KT_EKU_CONTROLLER) {
		explain(why,
			"controller_cert: %s is no controller certificate (key usage, extended key "
			"usage " KT_EKU_CONTROLLER_OID "); make one with keyturn-pki controller",
			path);
		return KT_ERR_VERIFY;
	}
	if (kt_uri_decode(controller->uri, config->trust_domain, &number) != KT_URI_CONTROLLER) {
		explain(why, "controller_cert: %s is for '%s', not spiffe://%s/controller/<n>",
			path, controller->uri, config->trust_domain);
		return KT_ERR_VERIFY;
	}
	if (kt_key_id_eq(&controller->key_id, &c->cert[CERT_ISSUER].key_id)) {
		explain(why, "controller_cert: %s has the issuing CA's key; it needs its own",
			path);
		return KT_ERR_VERIFY;
	}
	return KT_ERR_OK;
}

/* Dates are judged by TLS and by the hubs; a broker with a wrong clock must still start. */
static void warn_of_dates(const struct kt_setup_request *request, const char *what,
			  const struct kt_cert *cert)
{
	int64_t now_s = request->now_us / 1000000;
	time_t end = (time_t)cert->not_after_s;
	char text[32] = "?";
	struct tm tm;

	if (now_s < cert->not_before_s || now_s > cert->not_after_s)
		warn(request->log, "%s is outside its dates by this machine's clock", what);
	if (cert->not_after_s == KT_CERT_NO_END)
		return;
	if (gmtime_r(&end, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	warn(request->log, "%s ends at %s: replace it before, or the fleet is locked out then",
	     what, text);
}

static enum kt_err read_credentials(const struct kt_setup_request *request, struct kt_setup *setup,
				    struct credentials *c, char why[static WHY_MAX])
{
	const struct kt_config *config = setup->config;
	enum kt_err err;

	err = read_cert(setup, c, CERT_ROOT, config->root_cert, why);
	if (err == KT_ERR_OK)
		err = read_cert(setup, c, CERT_ISSUER, config->issuer_cert, why);
	if (err == KT_ERR_OK)
		err = read_cert(setup, c, CERT_CONTROLLER, config->controller_cert, why);
	if (err == KT_ERR_OK)
		err = check_authorities(config, c, why);
	if (err == KT_ERR_OK)
		err = check_controller(config, c, why);
	if (err == KT_ERR_OK)
		err = read_key("issuer_key", config->issuer_key, &c->issuer_key, why);
	if (err == KT_ERR_OK)
		err = read_key("controller_key", config->controller_key, &c->controller_key, why);
	if (err != KT_ERR_OK)
		return err;
	warn_of_dates(request, "root_cert", &c->cert[CERT_ROOT]);
	warn_of_dates(request, "issuer_cert", &c->cert[CERT_ISSUER]);
	warn_of_dates(request, "controller_cert", &c->cert[CERT_CONTROLLER]);
	setup->issuer_cert_der = c->der[CERT_ISSUER];
	setup->controller_cert_der = c->der[CERT_CONTROLLER];
	kt_sha256(c->der[CERT_ROOT].p, c->der[CERT_ROOT].len, setup->root_sha256);
	return KT_ERR_OK;
}

/* --- directories --- */

/*
 * Free of links as far as it exists; the rest as written. @path is absolute, without "..", "//" or
 * a slash at its end: the configuration takes no other. False: a part cannot be looked at.
 */
static bool resolve(const char *path, char out[static PATH_MAX])
{
	char head[PATH_MAX];
	char real[PATH_MAX];
	size_t len = strlen(path);
	size_t real_len;
	size_t rest_len;

	if (len >= sizeof(head))
		return false;
	memcpy(head, path, len + 1);
	while (realpath(head, real) == NULL) {
		if (errno != ENOENT || len <= 1)
			return false;
		while (len > 1 && path[len - 1] != '/')
			len--;
		if (len > 1)
			len--; /* the slash as well, but not that of the root */
		head[len] = '\0';
	}
	if (strcmp(real, "/") == 0)
		real[0] = '\0';
	if (len == 1)
		len = 0; /* "/" was all there is: the rest begins with it */
	real_len = strlen(real);
	rest_len = strlen(path + len);
	if (real_len + rest_len >= PATH_MAX)
		return false;
	memcpy(out, real, real_len);
	memcpy(out + real_len, path + len, rest_len + 1);
	return true;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* By way of links; what the paths themselves say was judged with the configuration. */
static enum kt_err check_dirs(const struct kt_config *config, char why[static WHY_MAX])
{
	char state[PATH_MAX];
	char ledger[PATH_MAX];

	if (config->ledger_same_dir)
		return KT_ERR_OK;
	if (!resolve(config->state_dir, state)) {
		explain(why, "state_dir: %s cannot be reached", config->state_dir);
		return KT_ERR_INVALID;
	}
	if (!resolve(config->ledger_dir, ledger)) {
		explain(why, "ledger_dir: %s cannot be reached", config->ledger_dir);
		return KT_ERR_INVALID;
	}
	if (is_inside(ledger, state) || is_inside(state, ledger)) {
		explain(why,
			"ledger_dir %s and state_dir %s lie one in the other: restoring one backup "
			"would roll both back unnoticed; move one, or set ledger_same_dir = accept",
			config->ledger_dir, config->state_dir);
		return KT_ERR_DENIED;
	}
	return KT_ERR_OK;
}

/* --- threads and store --- */

static enum kt_err entropy_bytes(void *ctx, uint8_t *out, size_t len)
{
	return kt_random(ctx, out, len);
}

static void start_waker(const struct kt_setup_request *request, struct kt_setup *setup)
{
	enum kt_err err;

	if (setup->config->wakeup == KT_WAKEUP_OFF)
		return;
	err = kt_waker_new(&setup->waker);
	if (err != KT_ERR_OK)
		warn(request->log, "wakeup: off, answers take up to 100 ms longer: %s",
		     kt_err_text(err));
}

static enum kt_err start_pool(struct kt_setup *setup, const struct credentials *c,
			      char why[static WHY_MAX])
{
	const struct kt_config *config = setup->config;
	char heads_file[KT_PATH_MAX + sizeof("/" KT_HEADS_FILE)];
	struct kt_signing signing = {
		.trust_domain = config->trust_domain,
		.issuer_cert_der = c->der[CERT_ISSUER],
		.controller_cert_der = c->der[CERT_CONTROLLER],
		.issuer_key_pem = c->issuer_key,
		.controller_key_pem = c->controller_key,
		.crl_file = config->crl_file,
		.heads_file = config->head_every_ms > 0 ? heads_file : NULL,
		.metrics_file = config->metrics_file,
	};
	char buf[KT_ERR_CAUSE_MAX];
	enum kt_err err;

	(void)snprintf(heads_file, sizeof(heads_file), "%s/" KT_HEADS_FILE, config->state_dir);
	err = kt_worker_pool_new(&signing, config->workers,
				 setup->waker != NULL ? kt_waker_wake : NULL, setup->waker,
				 &setup->pool);
	if (err == KT_ERR_VERIFY)
		explain(why, "%s and %s, or %s and %s, are not a certificate and its key",
			config->issuer_cert, config->issuer_key, config->controller_cert,
			config->controller_key);
	else if (err == KT_ERR_INVALID || err == KT_ERR_UNSUPPORTED)
		explain(why, "%s or %s is not an unencrypted P-256 key in PEM", config->issuer_key,
			config->controller_key);
	else if (err != KT_ERR_OK)
		explain(why, "the workers cannot start: %s", kt_err_cause(err, errno, buf));
	return err;
}

static enum kt_err open_store(const struct kt_setup_request *request, struct kt_setup *setup,
			      char why[static WHY_MAX])
{
	const struct kt_config *config = setup->config;
	const struct kt_store_config store_config = {
		.state_dir = config->state_dir,
		.ledger_dir = config->ledger_dir,
		.trust_domain = config->trust_domain,
		.wake = setup->waker != NULL ? kt_waker_wake : NULL,
		.wake_ctx = setup->waker,
	};
	enum kt_err err = kt_registry_new(&setup->registry);

	if (err != KT_ERR_OK) {
		explain(why, "%s", kt_err_text(err));
		return err;
	}
	if (config->crl_file[0] != '\0')
		kt_registry_keep_endings(setup->registry);
	err = kt_store_open(&store_config, request->log, request->now_us, setup->registry,
			    &setup->store, why);
	if (err != KT_ERR_OK)
		return err;
	if (strcmp(kt_registry_trust_domain(setup->registry), config->trust_domain) != 0) {
		explain(why, "trust_domain: the ledger in %s is of '%s', not of '%s'",
			config->ledger_dir, kt_registry_trust_domain(setup->registry),
			config->trust_domain);
		return KT_ERR_DENIED;
	}
	return KT_ERR_OK;
}

static enum kt_err load_policies(const struct kt_config *config, struct kt_policies *out,
				 char why[static WHY_MAX])
{
	memset(out, 0, sizeof(*out));
	return config->policy_file[0] == '\0'
		       ? KT_ERR_OK
		       : kt_policies_load(config->policy_file, config, out, why);
}

/* What touches the disk comes last: a refused start has changed nothing. */
static enum kt_err build(const struct kt_setup_request *request, struct kt_setup *setup,
			 struct credentials *c, char why[static WHY_MAX])
{
	enum kt_err err;

	setup->config_path = strdup(request->config_path);
	if (setup->config_path == NULL)
		return KT_ERR_NOMEM;
	err = kt_config_load(setup->config_path, &setup->config, why);
	if (err == KT_ERR_OK)
		err = load_policies(setup->config, &setup->policies, why);
	if (err == KT_ERR_OK)
		err = check_broker_conf(request, setup, why);
	if (err == KT_ERR_OK)
		err = start_observing(request, setup, why);
	if (err == KT_ERR_OK)
		err = check_dirs(setup->config, why);
	if (err == KT_ERR_OK)
		err = read_credentials(request, setup, c, why);
	if (err == KT_ERR_OK)
		err = kt_setup_crl(request, setup, &c->cert[CERT_ISSUER], why);
	if (err != KT_ERR_OK)
		return err;
	warn_of_silence(request, setup->config);
	err = kt_crypto_new(&setup->crypto);
	if (err != KT_ERR_OK) {
		explain(why, "no entropy: %s", kt_err_text(err));
		return err;
	}
	setup->entropy.ctx = setup->crypto;
	setup->entropy.bytes = entropy_bytes;
	start_waker(request, setup);
	err = start_pool(setup, c, why);
	if (err == KT_ERR_OK)
		err = open_store(request, setup, why);
	return err;
}

enum kt_err kt_setup_new(const struct kt_setup_request *request, struct kt_setup **out,
			 char why[static WHY_MAX])
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_setup *setup = NULL;
	struct credentials *c = NULL;

	*out = NULL;
	explain(why, "out of memory");
	setup = calloc(1, sizeof(*setup));
	c = calloc(1, sizeof(*c));
	if (setup == NULL || c == NULL) {
		err = KT_ERR_NOMEM;
		goto out;
	}
	err = build(request, setup, c, why);
	if (err != KT_ERR_OK)
		goto out;
	why[0] = '\0';
	*out = setup;
	setup = NULL; /* moved */
out:
	if (c != NULL) {
		kt_secret_free(c->issuer_key);
		kt_secret_free(c->controller_key);
		free(c);
	}
	kt_setup_free(setup);
	return err;
}

enum kt_err kt_setup_reload(const struct kt_setup *setup, struct kt_log *log,
			    struct kt_reloaded *out)
{
	char why[WHY_MAX];
	enum kt_err err;

	memset(&out->policies, 0, sizeof(out->policies));
	err = kt_config_reload(setup->config_path, setup->config, log, &out->acl);
	if (err != KT_ERR_OK)
		return err;
	err = check_observing(setup, out->acl.other, why);
	if (err == KT_ERR_OK)
		err = load_policies(setup->config, &out->policies, why);
	if (err != KT_ERR_OK) {
		kt_config_tell_refused(log, err, why);
		memset(&out->acl, 0, sizeof(out->acl));
		return err;
	}
	warn_of_others(setup, out->acl.other, log);
	return KT_ERR_OK;
}

void kt_setup_free(struct kt_setup *setup)
{
	if (setup == NULL)
		return;
	kt_store_close(setup->store);
	kt_registry_free(setup->registry);
	kt_worker_pool_free(setup->pool);
	kt_waker_free(setup->waker);
	kt_crypto_free(setup->crypto);
	for (size_t i = 0; i < sizeof(setup->storage) / sizeof(setup->storage[0]); i++)
		free(setup->storage[i]);
	kt_config_free(setup->config);
	free(setup->config_path);
	free(setup);
}
