#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_parser.h"
#include "topic.h"

/* --- the table --- */

#define AT(m) offsetof(struct kt_config, m)

static const struct kt_option options[] = {
	{"trust_domain", kt_option_set_trust_domain, AT(trust_domain), 0, 0, NULL,
	 "the fleet's SPIFFE trust domain", true, false},
	{"state_dir", kt_option_set_path, AT(state_dir), 0, 0, NULL,
	 "directory of the index and the lock", true, false},
	{"ledger_dir", kt_option_set_path, AT(ledger_dir), 0, 0, NULL,
	 "directory of the ledger, not under state_dir", true, false},
	{"ledger_same_dir", kt_config_set_ledger_same_dir, AT(ledger_same_dir), 0, 0, "refuse",
	 "refuse or accept a ledger_dir under state_dir", false, false},
	{"root_cert", kt_option_set_path, AT(root_cert), 0, 0, NULL, "the root's certificate, PEM",
	 true, false},
	{"issuer_cert", kt_option_set_path, AT(issuer_cert), 0, 0, NULL,
	 "the issuing CA's certificate, PEM", true, false},
	{"issuer_key", kt_option_set_path, AT(issuer_key), 0, 0, NULL,
	 "the issuing CA's private key, PEM", true, false},
	{"controller_cert", kt_option_set_path, AT(controller_cert), 0, 0, NULL,
	 "the controller's certificate, PEM", true, false},
	{"controller_key", kt_option_set_path, AT(controller_key), 0, 0, NULL,
	 "the controller's private key, PEM", true, false},
	{"mosquitto_conf", kt_option_set_path, AT(mosquitto_conf), 0, 0, NULL,
	 "the broker's own file, if not the one of its -c", false, false},
	{"policy_file", kt_option_set_path, AT(policy_file), 0, 0, NULL,
	 "what holds for the devices of each group; read again at SIGHUP", false, false},
	{"broker_address", kt_option_set_host_port, AT(broker_address), 0, 0, NULL,
	 "host:port that goes into tickets", false, false},
	{"operator", kt_config_add_operator, AT(operators), 0, 0, NULL,
	 "who may command: cert:URI sha256:HEX ROLE, unix:PATH ROLE or user:NAME ROLE", false,
	 true},
	{"acl", kt_config_add_acl, AT(acl.rules), 0, 0, NULL,
	 "a device's site topics: read, write, readwrite or deny, and a pattern with %d, %g", false,
	 true},
	{"device_acl", kt_config_set_device_acl, AT(acl.device), 0, 0, "deny",
	 "a device's topics that no acl line names: deny or defer", false, false},
	{"other_acl", kt_config_set_other_acl, AT(acl.other), 0, 0, "defer",
	 "topics of clients that are not ours: defer or allow", false, false},
	{"foreign_cert", kt_config_set_foreign_cert, AT(foreign_cert), 0, 0, "refuse",
	 "clients with a certificate of another trust domain: refuse or defer", false, false},
	{"enforce", kt_config_set_enforce, AT(enforce), 0, 0, "on",
	 "clients that are not registered: on refuses them, observe counts them", false, false},
	{"observe_username", kt_config_set_observe_username, AT(observe_common_name), 0, 0, "keep",
	 "user name of a client with a certificate, while observing: keep or cn", false, false},
	{"claim_without_certificate", kt_config_set_claim_without_certificate,
	 AT(claim_without_certificate), 0, 0, "accept",
	 "claimants without a certificate: accept or refuse", false, false},
	{"wakeup", kt_config_set_wakeup, AT(wakeup), 0, 0, "auto",
	 "wake the broker's loop for results: auto, on or off", false, false},
	{"workers", kt_option_set_count, AT(workers), 1, 16, "1", "signing threads", false, false},
	{"hello_timeout", kt_option_set_duration, AT(hello_timeout_ms), KT_SECOND_MS, KT_HOUR_MS,
	 "30s", "a device session without a hello ends after this", false, false},
	{"claim_idle", kt_option_set_duration, AT(claim_idle_ms), KT_SECOND_MS, KT_DAY_MS, "60s",
	 "an idle claimant is ended after this", false, false},
	{"superseded_drain", kt_option_set_duration, AT(superseded_drain_ms), 0, 300 * KT_SECOND_MS,
	 "30s", "how long sessions of a superseded credential keep their site topics", false,
	 false},
	{"challenge_timeout", kt_option_set_duration, AT(challenge_timeout_ms), KT_SECOND_MS,
	 KT_HOUR_MS, "60s", "a challenge without an answer is missed after this", false, false},
	{"challenge_every", kt_option_set_duration, AT(challenge_every_ms), 0, KT_YEAR_MS, "0",
	 "each connected hub is challenged once in this; 0: on demand alone", false, false},
	{"challenge_silence", kt_config_set_challenge_silence, AT(challenge_silence), 0, 0,
	 "report", "a missed challenge: report, quarantine or disconnect", false, false},
	{"clone_second_key", kt_config_set_clone_second_key, AT(clone_second_key), 0, 0, "report",
	 "a second key for one op: report or quarantine", false, false},
	{"clone_contended", kt_config_set_clone_contended, AT(clone_contended), 0, 0, "report",
	 "two addresses with one client id in turn: report or quarantine", false, false},
	{"clone_old_answer", kt_config_set_clone_old_answer, AT(clone_old_answer), 0, 0, "report",
	 "a message signed with an older key: report or quarantine", false, false},
	{"clone_op_range", kt_config_set_clone_op_range, AT(clone_op_range), 0, 0, "report",
	 "an op number that cannot be: report or quarantine", false, false},
	{"promote_overdue", kt_option_set_duration, AT(promote_overdue_ms), KT_SECOND_MS,
	 KT_YEAR_MS, "10m", "a commit without a promoted is reported after this", false, false},
	{"op_deadline", kt_option_set_duration, AT(op_deadline_ms), KT_SECOND_MS, KT_YEAR_MS, "24h",
	 "an op without a csr is closed after this", false, false},
	{"pending_give_up", kt_option_set_duration, AT(pending_give_up_ms), KT_SECOND_MS,
	 KT_YEAR_MS, "7d", "a rotation's certificate without a confirm is given up after this",
	 false, false},
	{"max_key_age", kt_option_set_duration, AT(max_key_age_ms), 0, 100 * KT_YEAR_MS, "0",
	 "with an older key a hub can only rotate; 0: never", false, false},
	{"certificate_lifetime", kt_option_set_duration, AT(certificate_lifetime_ms), 0,
	 100 * KT_YEAR_MS, "0", "lifetime of device certificates; 0: without end", false, false},
	{"crl_file", kt_option_set_path, AT(crl_file), 0, 0, NULL,
	 "certificate revocation list for other servers, PEM; none without it", false, false},
	{"crl_validity", kt_option_set_duration, AT(crl_validity_ms), 10 * KT_MINUTE_MS, KT_YEAR_MS,
	 "7d", "how long a revocation list is good for; a new one comes at half of it", false,
	 false},
	{"head_every", kt_option_set_duration, AT(head_every_ms), 0, KT_YEAR_MS, "1h",
	 "the ledger's newest record is signed once in this, if there is a new one; 0: never",
	 false, false},
	{"metrics_file", kt_option_set_path, AT(metrics_file), 0, 0, NULL,
	 "metrics for a collector of text files; none without it", false, false},
	{"enroll_retry", kt_config_set_enroll_retry, AT(enroll_retry_s), KT_SECOND_MS, KT_DAY_MS,
	 "30s", "a waiting claimant is told to ask again after this", false, false},
	{"enroll_rate", kt_option_set_count, AT(enroll_rate), 1, 10000, "100",
	 "tries to enrol a second, of all claimants together", false, false},
	{"message_rate", kt_option_set_count, AT(message_rate), 1, 1000, "5",
	 "device messages a second, of a session and of a device", false, false},
	{"message_burst", kt_option_set_count, AT(message_burst), 1, 10000, "10",
	 "device messages at once and session", false, false},
};

enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

bool kt_config_option(size_t index, const char **name, const char **help)
{
	*name = NULL;
	*help = NULL;
	if (index >= OPTION_COUNT) {
		return false;
	}
	*name = options[index].name;
	*help = options[index].help;
	return true;
}

/* What an option sets reaches to the next one's: so nothing can be added and not be compared. */
bool kt_config_is_same(const struct kt_config *a, const struct kt_config *b, size_t index)
{
	const size_t begin = options[index].offset;
	size_t end = sizeof(*a);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (options[i].offset > begin && options[i].offset < end) {
			end = options[i].offset;
		}
	}
	return memcmp((const char *)a + begin, (const char *)b + begin, end - begin) == 0;
}

/* --- what only the whole file can tell --- */

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	if (len == 1) { /* the root directory holds everything */
		return true;
	}
	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static enum kt_err check_operators(struct kt_option_parser *parser)
{
	const struct kt_config *config = parser->target;
	const struct kt_config_lines *lines = parser->ctx;
	for (size_t i = 0; i < config->operator_count; i++) {
		const struct kt_operator *operator= & config->operators[i];
		const char *name = NULL;
		if (operator->kind != KT_OPERATOR_CERT) {
			continue;
		}
		parser->line = lines->operator_line[i];
		if (kt_uri_decode(operator->name, config->trust_domain, &name) != KT_URI_OPERATOR ||
		    strlen(name) > KT_OPERATOR_NAME_MAX) {
			return kt_option_complain(
				parser, KT_ERR_INVALID,
				"operator: the URI is not spiffe://%.100s/operator/<name>",
				config->trust_domain);
		}
	}
	return KT_ERR_OK;
}

static enum kt_err check_whole(struct kt_option_parser *parser)
{
	const struct kt_config *config = parser->target;
	parser->line = 0;
	/* One restore of a backup must not roll both back: then nobody would notice it. */
	if (!config->ledger_same_dir && (is_inside(config->ledger_dir, config->state_dir) ||
					 is_inside(config->state_dir, config->ledger_dir))) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"ledger_dir and state_dir lie one in the other (put the ledger "
			"elsewhere, or write ledger_same_dir = accept)");
	}
	if (config->message_burst < config->message_rate) {
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "message_burst is less than message_rate (raise it)");
	}
	if (config->challenge_every_ms > 0 &&
	    config->challenge_every_ms <= config->challenge_timeout_ms) {
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "challenge_every is not longer than challenge_timeout "
					  "(raise it)");
	}
	return check_operators(parser);
}

enum kt_err kt_config_parse(const char *name, struct kt_bytes text, struct kt_config **out,
			    char why[static 512])
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_config_lines lines = {{0}};
	struct kt_config *config = calloc(1, sizeof(*config));
	struct kt_option_parser parser = {.target = config,
					  .ctx = &lines,
					  .manual = "keyturn-plugin(5)",
					  .file = name,
					  .why = why};

	*out = NULL;
	why[0] = '\0';
	if (config == NULL) {
		return kt_option_complain(&parser, KT_ERR_NOMEM, "out of memory");
	}
	err = kt_options_parse(&parser, options, OPTION_COUNT, text);
	if (err == KT_ERR_OK) {
		err = check_whole(&parser);
	}
	if (err != KT_ERR_OK) {
		kt_config_free(config);
		return err;
	}
	*out = config;
	return KT_ERR_OK;
}

enum kt_err kt_config_load(const char *path, struct kt_config **out, char why[static 512])
{
	struct kt_option_parser parser = {.file = path, .why = why};
	char *text = NULL;
	size_t len = 0;

	*out = NULL;
	why[0] = '\0';
	enum kt_err err = kt_option_file_read(&parser, &text, &len);
	if (err == KT_ERR_OK) {
		err = kt_config_parse(
			path, (struct kt_bytes){.p = (const uint8_t *)text, .len = len}, out, why);
	}
	free(text);
	return err;
}

void kt_config_free(struct kt_config *config)
{
	free(config);
}
