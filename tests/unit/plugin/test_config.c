#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUIRED                                                                                   \
	"trust_domain = example.org\n"                                                             \
	"state_dir = /s/state\n"                                                                   \
	"ledger_dir = /s/ledger\n"                                                                 \
	"root_cert = /p/root.pem\n"                                                                \
	"issuer_cert = /p/issuing.pem\n"                                                           \
	"issuer_key = /p/issuing.key\n"                                                            \
	"controller_cert = /p/controller.pem\n"                                                    \
	"controller_key = /p/controller.key\n"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define A50   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define D8    "%d%d%d%d%d%d%d%d"
#define G8    "%g%g%g%g%g%g%g%g"
#define A300  A50 A50 A50 A50 A50 A50

static enum kt_err parse(const char *text, struct kt_config **out, char why[static 512])
{
	return kt_config_parse("k.conf",
			       (struct kt_bytes){.p = (const uint8_t *)text, .len = strlen(text)},
			       out, why);
}

static struct kt_config *parsed(const char *text)
{
	struct kt_config *config = NULL;
	char why[512];
	enum kt_err err = parse(text, &config, why);
	if (err != KT_ERR_OK) {
		fail_msg("%s", why);
	}
	assert_string_equal(why, "");
	return config;
}

static void the_required_lines_alone_give_every_default(void **state)
{
	(void)state;
	struct kt_config *c = parsed(REQUIRED);
	assert_string_equal(c->trust_domain, "example.org");
	assert_string_equal(c->state_dir, "/s/state");
	assert_string_equal(c->controller_key, "/p/controller.key");
	assert_false(c->ledger_same_dir);
	assert_string_equal(c->mosquitto_conf, "");
	assert_string_equal(c->broker_address, "");
	assert_int_equal(c->operator_count, 0);
	assert_int_equal(c->acl.rule_count, 0);
	assert_int_equal(c->acl.device, KT_FALLBACK_DENY);
	assert_int_equal(c->acl.other, KT_FALLBACK_DEFER);
	assert_int_equal(c->foreign_cert, KT_FALLBACK_DENY);
	assert_true(c->claim_without_certificate);
	assert_int_equal(c->wakeup, KT_WAKEUP_AUTO);
	assert_int_equal(c->workers, 1);
	assert_int_equal(c->hello_timeout_ms, 30000);
	assert_int_equal(c->claim_idle_ms, 60000);
	assert_int_equal(c->superseded_drain_ms, 30000);
	assert_int_equal(c->challenge_timeout_ms, 60000);
	assert_int_equal(c->challenge_every_ms, 0);
	assert_int_equal(c->challenge_silence, KT_POLICY_REPORT);
	assert_int_equal(c->clone_second_key, KT_POLICY_REPORT);
	assert_int_equal(c->clone_contended, KT_POLICY_REPORT);
	assert_int_equal(c->clone_old_answer, KT_POLICY_REPORT);
	assert_int_equal(c->clone_op_range, KT_POLICY_REPORT);
	assert_int_equal(c->promote_overdue_ms, 600000);
	assert_int_equal(c->op_deadline_ms, 86400000);
	assert_int_equal(c->pending_give_up_ms, 604800000);
	assert_int_equal(c->max_key_age_ms, 0);
	assert_int_equal(c->certificate_lifetime_ms, 0);
	assert_string_equal(c->crl_file, "");
	assert_int_equal(c->crl_validity_ms, 604800000);
	assert_int_equal(c->head_every_ms, 3600000);
	assert_int_equal(c->enroll_retry_s, 30);
	assert_int_equal(c->enroll_rate, 100);
	assert_int_equal(c->message_rate, 5);
	assert_int_equal(c->message_burst, 10);
	kt_config_free(c);
}

static void every_option_can_be_given(void **state)
{
	(void)state;
	struct kt_config *c = parsed(REQUIRED "ledger_same_dir=accept\n"
					      "\t mosquitto_conf  =  /etc/m.conf \t\n"
					      "broker_address = [::1]:8883\n"
					      "device_acl = defer\nother_acl = allow\n"
					      "foreign_cert = defer\n"
					      "claim_without_certificate = refuse\n"
					      "wakeup = off\nworkers = 16\nhello_timeout = 5s\n"
					      "claim_idle = 2m\nsuperseded_drain = 0\n"
					      "challenge_timeout = 10s\npromote_overdue = 1h\n"
					      "challenge_every = 11s\n"
					      "challenge_silence = disconnect\n"
					      "clone_second_key = quarantine\n"
					      "clone_contended = quarantine\n"
					      "clone_old_answer = quarantine\n"
					      "clone_op_range = quarantine\n"
					      "op_deadline = 2d\npending_give_up = 30d\n"
					      "max_key_age = 90d\ncertificate_lifetime = 365d\n"
					      "crl_file = /c/crl.pem\ncrl_validity = 10m\n"
					      "head_every = 0\n"
					      "enroll_retry = 2m\nenroll_rate = 10000\n"
					      "message_rate = 50\r\n"
					      "message_burst = 100");
	assert_true(c->ledger_same_dir);
	assert_string_equal(c->mosquitto_conf, "/etc/m.conf");
	assert_string_equal(c->broker_address, "[::1]:8883");
	assert_int_equal(c->acl.device, KT_FALLBACK_DEFER);
	assert_int_equal(c->acl.other, KT_FALLBACK_ALLOW);
	assert_int_equal(c->foreign_cert, KT_FALLBACK_DEFER);
	assert_false(c->claim_without_certificate);
	assert_int_equal(c->wakeup, KT_WAKEUP_OFF);
	assert_int_equal(c->workers, 16);
	assert_int_equal(c->hello_timeout_ms, 5000);
	assert_int_equal(c->claim_idle_ms, 120000);
	assert_int_equal(c->superseded_drain_ms, 0);
	assert_int_equal(c->challenge_every_ms, 11000);
	assert_int_equal(c->challenge_silence, KT_POLICY_DISCONNECT);
	assert_int_equal(c->clone_second_key, KT_POLICY_QUARANTINE);
	assert_int_equal(c->clone_contended, KT_POLICY_QUARANTINE);
	assert_int_equal(c->clone_old_answer, KT_POLICY_QUARANTINE);
	assert_int_equal(c->clone_op_range, KT_POLICY_QUARANTINE);
	assert_int_equal(c->promote_overdue_ms, 3600000);
	assert_int_equal(c->op_deadline_ms, 172800000);
	assert_int_equal(c->max_key_age_ms, INT64_C(7776000000));
	assert_int_equal(c->certificate_lifetime_ms, INT64_C(31536000000));
	assert_string_equal(c->crl_file, "/c/crl.pem");
	assert_int_equal(c->crl_validity_ms, 600000);
	assert_int_equal(c->head_every_ms, 0);
	assert_int_equal(c->enroll_retry_s, 120);
	assert_int_equal(c->enroll_rate, 10000);
	assert_int_equal(c->message_rate, 50);
	assert_int_equal(c->message_burst, 100);
	kt_config_free(c);
}

static void an_operator_has_one_of_five_roles(void **state)
{
	static const struct {
		const char *word;
		enum kt_role role;
	} roles[] = {{"viewer", KT_ROLE_VIEWER},
		     {"rotator", KT_ROLE_ROTATOR},
		     {"enroller", KT_ROLE_ENROLLER},
		     {"revoker", KT_ROLE_REVOKER},
		     {"admin", KT_ROLE_ADMIN}};

	(void)state;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		char text[1024];
		(void)snprintf(text, sizeof(text), "operator = user:bob %s\n%s", roles[i].word,
			       REQUIRED);
		struct kt_config *c = parsed(text);
		assert_int_equal(c->operators[0].role, roles[i].role);
		kt_config_free(c);
	}
}

static void operators_come_in_three_kinds(void **state)
{
	(void)state;
	/* the URI is judged against a trust domain that stands further down */
	struct kt_config *c =
		parsed("operator = cert:spiffe://example.org/operator/alice sha256:" HEX64
		       "   viewer\noperator = unix:/run/op.sock admin\n"
		       "operator = user:bob viewer\n" REQUIRED);
	assert_int_equal(c->operator_count, 3);
	assert_int_equal(c->operators[0].kind, KT_OPERATOR_CERT);
	assert_string_equal(c->operators[0].name, "spiffe://example.org/operator/alice");
	assert_int_equal(c->operators[0].fp.b[1], 0x11);
	assert_int_equal(c->operators[0].role, KT_ROLE_VIEWER);
	assert_int_equal(c->operators[1].kind, KT_OPERATOR_UNIX);
	assert_string_equal(c->operators[1].name, "/run/op.sock");
	assert_int_equal(c->operators[1].role, KT_ROLE_ADMIN);
	assert_int_equal(c->operators[2].kind, KT_OPERATOR_USER);
	assert_string_equal(c->operators[2].name, "bob");
	kt_config_free(c);
}

static void acl_lines_keep_their_order_and_inner_blanks(void **state)
{
	(void)state;
	struct kt_config *c = parsed(REQUIRED "acl = deny #\nacl = read a b/%g/+\n"
					      "acl = readwrite devices/%d/#\nacl = write x\n");
	assert_int_equal(c->acl.rule_count, 4);
	assert_int_equal(c->acl.rules[0].access, KT_ACL_DENY);
	assert_string_equal(c->acl.rules[1].pattern, "a b/%g/+");
	assert_int_equal(c->acl.rules[2].access, KT_ACL_READWRITE);
	assert_string_equal(c->acl.rules[2].pattern, "devices/%d/#");
	assert_int_equal(c->acl.rules[3].access, KT_ACL_WRITE);
	kt_config_free(c);
}

static void an_acl_pattern_may_be_just_so_long_that_every_device_fits(void **state)
{
	(void)state;
	struct kt_config *c = parsed(REQUIRED "acl = deny " D8 "/aaaaaa\n");
	assert_int_equal(c->acl.rule_count, 1);
	kt_config_free(c);
}

static void paths_are_brought_to_one_form(void **state)
{
	(void)state;
	struct kt_config *c = parsed(REQUIRED "mosquitto_conf = //etc/./m//m.conf/\n");
	assert_string_equal(c->mosquitto_conf, "/etc/m/m.conf");
	kt_config_free(c);
}

struct bad {
	const char *line; /* stands on line 9, after the required ones */
	enum kt_err err;
	const char *says;
};

static const struct bad bad_lines[] = {
	{"x", KT_ERR_INVALID, "no = in this line"},
	{"workers", KT_ERR_INVALID, "no = in this line"},
	{"workers 2", KT_ERR_INVALID, "no = in this line"},
	{"= 2", KT_ERR_UNKNOWN_FIELD, "no option ''"},
	{"Workers = 2", KT_ERR_UNKNOWN_FIELD, "no option 'Workers'"},
	{"worker = 2", KT_ERR_UNKNOWN_FIELD, "no option 'worker'"},
	{"workers: = 2", KT_ERR_UNKNOWN_FIELD, "no option 'workers:'"},
	{"plugin_opt_config = /x", KT_ERR_UNKNOWN_FIELD, "keyturn-plugin(5)"},
	{"workers =", KT_ERR_INVALID, "workers has no value"},
	{"workers =   \t", KT_ERR_INVALID, "workers has no value"},
	{"workers = 0", KT_ERR_RANGE, "workers is out of range (1 to 16)"},
	{"workers = 17", KT_ERR_RANGE, "out of range"},
	{"workers = -1", KT_ERR_INVALID, "not a number"},
	{"workers = +1", KT_ERR_INVALID, "not a number"},
	{"workers = 01", KT_ERR_INVALID, "not a number"},
	{"workers = 1.0", KT_ERR_INVALID, "not a number"},
	{"workers = 0x1", KT_ERR_INVALID, "not a number"},
	{"workers = 1 2", KT_ERR_INVALID, "not a number"},
	{"workers = two", KT_ERR_INVALID, "not a number"},
	{"workers = 99999999999999999999999", KT_ERR_INVALID, "not a number"},
	{"workers = 1 # one", KT_ERR_INVALID, "not a number"},
	{"crl_validity = 599s", KT_ERR_RANGE, "crl_validity is out of range (600 to 31536000"},
	{"crl_validity = 0", KT_ERR_RANGE, "out of range"},
	{"crl_validity = 366d", KT_ERR_RANGE, "out of range"},
	{"crl_file = crl.pem", KT_ERR_INVALID, "crl_file"},
	{"enroll_rate = 0", KT_ERR_RANGE, "out of range"},
	{"enroll_rate = 10001", KT_ERR_RANGE, "out of range"},
	{"enroll_rate = 1s", KT_ERR_INVALID, "enroll_rate"},
	{"message_rate = 0", KT_ERR_RANGE, "out of range"},
	{"message_rate = 1001", KT_ERR_RANGE, "out of range"},
	{"message_burst = 10001", KT_ERR_RANGE, "out of range"},
	{"hello_timeout = 30", KT_ERR_INVALID, "write 30s, 10m, 24h, 7d or 0"},
	{"hello_timeout = 30 s", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = s", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 30S", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 30ms", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 1w", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 1h30m", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = -5s", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 5.5s", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 007s", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 0", KT_ERR_RANGE, "out of range (1 to 3600 seconds)"},
	{"hello_timeout = 0s", KT_ERR_RANGE, "out of range"},
	{"hello_timeout = 61m", KT_ERR_RANGE, "out of range"},
	{"hello_timeout = 99999999999d", KT_ERR_INVALID, "not a duration"},
	{"hello_timeout = 2147483647d", KT_ERR_RANGE, "out of range"},
	{"claim_idle = 0", KT_ERR_RANGE, "out of range"},
	{"claim_idle = 2d", KT_ERR_RANGE, "out of range"},
	{"superseded_drain = 301s", KT_ERR_RANGE, "out of range (0 to 300 seconds)"},
	{"superseded_drain = 6m", KT_ERR_RANGE, "out of range"},
	{"challenge_timeout = 0", KT_ERR_RANGE, "out of range"},
	{"challenge_timeout = 2h", KT_ERR_RANGE, "out of range"},
	{"head_every = 366d", KT_ERR_RANGE, "out of range"},
	{"head_every = never", KT_ERR_INVALID, "not a duration"},
	{"challenge_every = 366d", KT_ERR_RANGE, "out of range"},
	{"challenge_every = never", KT_ERR_INVALID, "not a duration"},
	{"challenge_silence = revoke", KT_ERR_INVALID, "report, quarantine or disconnect"},
	{"clone_second_key = revoke", KT_ERR_INVALID, "report or quarantine"},
	{"clone_second_key = disconnect", KT_ERR_INVALID, "report or quarantine"},
	{"clone_contended = off", KT_ERR_INVALID, "report or quarantine"},
	{"clone_old_answer = yes", KT_ERR_INVALID, "report or quarantine"},
	{"clone_op_range = Quarantine", KT_ERR_INVALID, "report or quarantine"},
	{"clone_superseded = quarantine", KT_ERR_UNKNOWN_FIELD, "clone_superseded"},
	{"promote_overdue = 0", KT_ERR_RANGE, "out of range"},
	{"op_deadline = 0", KT_ERR_RANGE, "out of range"},
	{"op_deadline = 366d", KT_ERR_RANGE, "out of range"},
	{"pending_give_up = 0", KT_ERR_RANGE, "out of range"},
	{"max_key_age = never", KT_ERR_INVALID, "not a duration"},
	{"max_key_age = 40000d", KT_ERR_RANGE, "out of range"},
	{"certificate_lifetime = 1y", KT_ERR_INVALID, "not a duration"},
	{"enroll_retry = 0", KT_ERR_RANGE, "out of range"},
	{"enroll_retry = 25h", KT_ERR_RANGE, "out of range"},
	{"trust_domain = other.org", KT_ERR_EXISTS, "trust_domain is given twice"},
	{"state_dir = /other", KT_ERR_EXISTS, "given twice"},
	{"mosquitto_conf = etc/m.conf", KT_ERR_INVALID, "not an absolute path"},
	{"mosquitto_conf = ./m.conf", KT_ERR_INVALID, "not an absolute path"},
	{"mosquitto_conf = ~/m.conf", KT_ERR_INVALID, "not an absolute path"},
	{"mosquitto_conf = \"/etc/m.conf\"", KT_ERR_INVALID, "not an absolute path"},
	{"mosquitto_conf = /etc/../m.conf", KT_ERR_INVALID, "has a .. in it"},
	{"mosquitto_conf = /etc/..", KT_ERR_INVALID, "has a .. in it"},
	{"mosquitto_conf = /" A300 A300 A300 A300, KT_ERR_RANGE, "longer than 1023"},
	{"ledger_same_dir = true", KT_ERR_INVALID, "refuse or accept"},
	{"ledger_same_dir = Accept", KT_ERR_INVALID, "refuse or accept"},
	{"device_acl = allow", KT_ERR_INVALID, "deny or defer"},
	{"device_acl = DENY", KT_ERR_INVALID, "deny or defer"},
	{"other_acl = deny", KT_ERR_INVALID, "defer or allow"},
	{"foreign_cert = allow", KT_ERR_INVALID, "refuse or defer"},
	{"foreign_cert = deny", KT_ERR_INVALID, "refuse or defer"},
	{"claim_without_certificate = yes", KT_ERR_INVALID, "accept or refuse"},
	{"wakeup = true", KT_ERR_INVALID, "auto, on or off"},
	{"broker_address = broker", KT_ERR_INVALID, "not host:port"},
	{"broker_address = :8883", KT_ERR_INVALID, "not host:port"},
	{"broker_address = broker:", KT_ERR_INVALID, "not host:port"},
	{"broker_address = broker:0", KT_ERR_INVALID, "not host:port"},
	{"broker_address = broker:65536", KT_ERR_INVALID, "not host:port"},
	{"broker_address = broker:mqtts", KT_ERR_INVALID, "not host:port"},
	{"broker_address = a b:8883", KT_ERR_INVALID, "not host:port"},
	{"broker_address = mqtts://b:8883", KT_ERR_INVALID, "not host:port"},
	{"broker_address = " A300 ":8883", KT_ERR_RANGE, "longer than 260"},
	{"operator = alice admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = cert:alice sha256:" HEX64 " admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = cert:spiffe://example.org/operator/a admin", KT_ERR_INVALID, "sha256:"},
	{"operator = cert:spiffe://example.org/operator/a", KT_ERR_INVALID, "sha256:"},
	{"operator = cert:spiffe://example.org/operator/a sha256:00 admin", KT_ERR_INVALID,
	 "64 lower-case hex"},
	{"operator = cert:spiffe://example.org/operator/a sha256:" HEX64 "00 admin", KT_ERR_INVALID,
	 "64 lower-case hex"},
	{"operator = cert:spiffe://example.org/operator/a sha256:"
	 "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF admin",
	 KT_ERR_INVALID, "64 lower-case hex"},
	{"operator = cert:spiffe://example.org/operator/a sha1:" HEX64 " admin", KT_ERR_INVALID,
	 "64 lower-case hex"},
	{"operator = cert:spiffe://example.org/operator/a sha256:" HEX64, KT_ERR_INVALID,
	 "one role"},
	{"operator = cert:spiffe://example.org/operator/a sha256:" HEX64 " root", KT_ERR_INVALID,
	 "one role"},
	{"operator = cert:spiffe://other.org/operator/a sha256:" HEX64 " admin", KT_ERR_INVALID,
	 "the URI is not spiffe://example.org/operator/"},
	{"operator = cert:spiffe://example.org/device/a sha256:" HEX64 " admin", KT_ERR_INVALID,
	 "the URI is not"},
	{"operator = cert:spiffe://example.org/operator/ sha256:" HEX64 " admin", KT_ERR_INVALID,
	 "the URI is not"},
	{"operator = cert:spiffe://example.org/operator/a/b sha256:" HEX64 " admin", KT_ERR_INVALID,
	 "the URI is not"},
	{"operator = cert:spiffe://example.org/operator/" A50 A50 " sha256:" HEX64 " admin",
	 KT_ERR_INVALID, "the URI is not"},
	{"operator = unix:op.sock admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = unix:/" A50 A50 A50 " admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = unix:/run/op.sock", KT_ERR_INVALID, "one role"},
	{"operator = unix:/run/op.sock Admin", KT_ERR_INVALID, "one role"},
	{"operator = unix:/run/op.sock admin viewer", KT_ERR_INVALID, "one role"},
	{"operator = user: admin", KT_ERR_INVALID, "begins with neither"},
	{"operator = user:op:alice admin", KT_ERR_INVALID, "neither claim nor op:"},
	{"operator = user:claim admin", KT_ERR_INVALID, "neither claim nor op:"},
	{"operator = user:" A50 A50 " admin", KT_ERR_INVALID, "at most 76"},
	{"operator = user:" A300 A300 " admin", KT_ERR_INVALID, "too long"},
	{"acl = allow a", KT_ERR_INVALID, "neither read, write"},
	{"acl = rw a", KT_ERR_INVALID, "neither read, write"},
	{"acl = readwritereadwritereadwrite a", KT_ERR_INVALID, "neither read, write"},
	{"acl = read", KT_ERR_INVALID, "no topic pattern"},
	{"acl = devices/%d/#", KT_ERR_INVALID, "neither read, write"},
	{"acl = read " A300, KT_ERR_INVALID, "no topic pattern of 1 to 255"},
	{"acl = read devices/%u/#", KT_ERR_INVALID, "%d (device id)"},
	{"acl = read devices/100%", KT_ERR_INVALID, "%d (device id)"},
	{"acl = read a/#/b", KT_ERR_INVALID, "no MQTT topic filter"},
	{"acl = read a#", KT_ERR_INVALID, "no MQTT topic filter"},
	{"acl = read a/b+", KT_ERR_INVALID, "no MQTT topic filter"},
	{"acl = readwrite #", KT_ERR_DENIED, "may not match keyturn/"},
	{"acl = readwrite +/#", KT_ERR_DENIED, "may not match keyturn/"},
	{"acl = read keyturn/v1/events/#", KT_ERR_DENIED, "may not match keyturn/"},
	{"acl = write +/v1/device/x/cmd", KT_ERR_DENIED, "may not match keyturn/"},
	{"acl = read $SYS/#", KT_ERR_DENIED, "may not match keyturn/ or $"},
	{"acl = write $CONTROL/dynamic-security/v1", KT_ERR_DENIED, "or $"},
	{"acl = deny $SYS/#", KT_ERR_DENIED, "or $"},
	{"acl = deny $share/g/x", KT_ERR_DENIED, "or $"},
	{"acl = read %", KT_ERR_INVALID, "%d (device id)"},
	{"acl = read %%d", KT_ERR_INVALID, "%d (device id)"},
	{"acl = read %D/x", KT_ERR_INVALID, "%d (device id)"},
	{"acl = read devices/%d+/x", KT_ERR_INVALID, "no MQTT topic filter"},
	{"acl = deny " D8 "/%d", KT_ERR_RANGE, "has 568 characters, of 511"},
	{"acl = read " G8 "/aaaaaaa", KT_ERR_RANGE, "has 512 characters, of 511"},
	{"workers = 1\x01", KT_ERR_INVALID, "control character"},
	{"# comment \x1b[31m", KT_ERR_INVALID, "control character"},
	{"workers = 1\x7f", KT_ERR_INVALID, "control character"},
	{"a\rworkers = 1", KT_ERR_INVALID, "control character"},
};

static void each_malformed_line_is_refused_with_its_number(void **state)
{
	(void)state;
	size_t count = sizeof(bad_lines) / sizeof(bad_lines[0]);
	assert_true(count >= 100);
	for (size_t i = 0; i < count; i++) {
		char text[4096];
		char why[512];
		struct kt_config *config = NULL;
		(void)snprintf(text, sizeof(text), REQUIRED "%s\n", bad_lines[i].line);
		enum kt_err err = parse(text, &config, why);
		if (err != bad_lines[i].err || config != NULL ||
		    strstr(why, bad_lines[i].says) == NULL || strncmp(why, "k.conf:9: ", 10) != 0) {
			fail_msg("%.60s: %s, \"%s\"", bad_lines[i].line, kt_err_name(err), why);
		}
	}
}

static void each_required_option_is_missed(void **state)
{
	(void)state;
	static const char *const names[] = {"trust_domain",    "state_dir",	"ledger_dir",
					    "root_cert",       "issuer_cert",	"issuer_key",
					    "controller_cert", "controller_key"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[] = REQUIRED;
		char why[512];
		char says[80];
		struct kt_config *config = NULL;
		*strstr(text, names[i]) = '#';
		assert_int_equal(parse(text, &config, why), KT_ERR_MISSING_FIELD);
		(void)snprintf(says, sizeof(says), "k.conf: %s is missing", names[i]);
		assert_ptr_equal(strstr(why, says), why);
		assert_null(config);
	}
}

static void ledger_and_state_may_not_lie_one_in_the_other(void **state)
{
	(void)state;
	static const char rest[] = "trust_domain = e\nroot_cert = /r\nissuer_cert = /i\n"
				   "issuer_key = /k\ncontroller_cert = /c\ncontroller_key = /d\n";
	static const struct {
		const char *dirs;
		enum kt_err err;
	} cases[] = {
		{"state_dir = /a\nledger_dir = /a\n", KT_ERR_INVALID},
		{"state_dir = /a\nledger_dir = /a/b\n", KT_ERR_INVALID},
		{"state_dir = /a/\nledger_dir = //a/./b\n", KT_ERR_INVALID},
		{"state_dir = /a/b\nledger_dir = /a\n", KT_ERR_INVALID},
		{"state_dir = /a/b\nledger_dir = /\n", KT_ERR_INVALID},
		{"state_dir = /a\nledger_dir = /ab\n", KT_ERR_OK},
		{"state_dir = /a\nledger_dir = /a/b\nledger_same_dir = accept\n", KT_ERR_OK},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		char why[512];
		struct kt_config *config = NULL;
		(void)snprintf(text, sizeof(text), "%s%s", cases[i].dirs, rest);
		enum kt_err err = parse(text, &config, why);
		assert_int_equal(err, cases[i].err);
		kt_config_free(config);
	}
}

static void burst_is_not_less_than_rate(void **state)
{
	(void)state;
	struct kt_config *config = NULL;
	char why[512];
	assert_int_equal(parse(REQUIRED "message_rate = 11\n", &config, why), KT_ERR_RANGE);
	assert_non_null(strstr(why, "message_burst is less"));
	assert_null(config);
}

static void the_next_challenge_comes_after_the_last_ones_deadline(void **state)
{
	(void)state;
	static const char *const bad[] = {"challenge_every = 60s\n", "challenge_every = 1s\n",
					  "challenge_every = 10m\nchallenge_timeout = 10m\n"};
	struct kt_config *config = NULL;
	char why[512];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[2048];
		(void)snprintf(text, sizeof(text), REQUIRED "%s", bad[i]);
		assert_int_equal(parse(text, &config, why), KT_ERR_RANGE);
		assert_non_null(
			strstr(why, "challenge_every is not longer than challenge_timeout"));
		assert_null(config);
	}
	kt_config_free(parsed(REQUIRED "challenge_every = 61s\n"));
	kt_config_free(parsed(REQUIRED "challenge_every = 0\n"));
}

static void the_same_operator_twice_is_refused(void **state)
{
	(void)state;
	struct kt_config *config = NULL;
	char why[512];
	assert_int_equal(parse(REQUIRED "operator = unix:/a admin\noperator = unix:/a viewer\n",
			       &config, why),
			 KT_ERR_EXISTS);
	assert_string_equal(why, "k.conf:10: this operator is named twice (keep one line)");
	/* two certificates of one operator overlap when one replaces the other */
	config = parsed(REQUIRED "operator = cert:spiffe://example.org/operator/a sha256:" HEX64
				 " admin\noperator = cert:spiffe://example.org/operator/a sha256:f"
				 "f112233445566778899aabbccddeeff00112233445566778899aabbccddeeff "
				 "admin\n");
	assert_int_equal(config->operator_count, 2);
	kt_config_free(config);
}

static void lists_end_at_their_limits(void **state)
{
	(void)state;
	struct kt_config *config = NULL;
	char why[512];
	char text[8192] = REQUIRED;
	size_t len = strlen(text);
	for (int i = 0; i < 64; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "acl = read a/%d\n", i);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"operator = user:u%d viewer\n", i);
	}
	config = parsed(text);
	assert_int_equal(config->acl.rule_count, 64);
	assert_int_equal(config->operator_count, 64);
	kt_config_free(config);
	size_t full = len;
	(void)snprintf(text + full, sizeof(text) - full, "acl = read b\n");
	assert_int_equal(parse(text, &config, why), KT_ERR_RANGE);
	(void)snprintf(text + full, sizeof(text) - full, "operator = user:z viewer\n");
	assert_int_equal(parse(text, &config, why), KT_ERR_RANGE);
	assert_non_null(strstr(why, "more than 64 operators"));
}

static void an_overlong_line_and_a_nul_are_refused(void **state)
{
	(void)state;
	static char text[8192];
	struct kt_config *config = NULL;
	char why[512];
	size_t len = strlen(REQUIRED);
	memcpy(text, REQUIRED, len);
	memset(text + len, '#', 2048);
	text[len + 2048] = '\0';
	assert_int_equal(parse(text, &config, why), KT_ERR_RANGE);
	assert_string_equal(why, "k.conf:9: the line is longer than 2047 characters");
	struct kt_bytes nul = {.p = (const uint8_t *)"a\0b\n", .len = 4};
	assert_int_equal(kt_config_parse("k.conf", nul, &config, why), KT_ERR_INVALID);
	assert_string_equal(why, "k.conf:1: a control character in this line");
}

/* --- the file itself --- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void a_file_is_read_unless_others_can_write_it(void **state)
{
	(void)state;
	char dir[] = "/tmp/kt-config-XXXXXX";
	char path[64];
	char why[512];
	struct kt_config *config = NULL;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/k.conf", dir);

	assert_int_equal(kt_config_load(path, &config, why), KT_ERR_SYS);
	assert_non_null(strstr(why, "No such file"));
	write_file(path, REQUIRED, 0640);
	assert_int_equal(kt_config_load(path, &config, why), KT_ERR_OK);
	kt_config_free(config);
	write_file(path, REQUIRED, 0660);
	assert_int_equal(kt_config_load(path, &config, why), KT_ERR_INSECURE);
	assert_null(config);
	write_file(path, REQUIRED, 0602);
	assert_int_equal(kt_config_load(path, &config, why), KT_ERR_INSECURE);
	assert_non_null(strstr(why, "chmod go-w"));
	write_file(path, "workers = 0\n", 0600);
	assert_int_equal(kt_config_load(path, &config, why), KT_ERR_RANGE);
	assert_non_null(strstr(why, "k.conf:1: workers is out of range"));
	assert_int_equal(kt_config_load(dir, &config, why), KT_ERR_INVALID);
	assert_non_null(strstr(why, "not a regular file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	char *text = calloc(1, 65536);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void the_example_parses_and_names_every_option(void **state)
{
	(void)state;
	char *text = slurp(KT_SOURCE "/plugin/keyturn.conf");
	struct kt_config *c = parsed(text);
	assert_int_equal(c->operator_count, 1);
	assert_int_equal(c->acl.rule_count, 1);
	kt_config_free(c);
	const char *name = NULL;
	const char *help = NULL;
	for (size_t i = 0; kt_config_option(i, &name, &help); i++) {
		char at_start[64];
		char commented[64];
		(void)snprintf(at_start, sizeof(at_start), "\n%s = ", name);
		(void)snprintf(commented, sizeof(commented), "\n# %s = ", name);
		if (strstr(text, at_start) == NULL && strstr(text, commented) == NULL) {
			fail_msg("keyturn.conf does not show %s", name);
		}
	}
	free(text);
}

/* Every "# option = value" is what the option is without the line. */
static void the_defaults_that_the_example_shows_are_the_defaults(void **state)
{
	(void)state;
	char *text = slurp(KT_SOURCE "/plugin/keyturn.conf");
	struct kt_config *before = parsed(text);
	const char *const not_defaults[] = {"operator",	      "acl",	  "broker_address",
					    "mosquitto_conf", "crl_file", "policy_file",
					    "metrics_file"};
	for (char *at = strstr(text, "\n# "); at != NULL; at = strstr(at + 1, "\n# ")) {
		const char *name = NULL;
		const char *help = NULL;
		for (size_t i = 0; kt_config_option(i, &name, &help); i++) {
			bool skip = strncmp(at + 3, name, strlen(name)) != 0 ||
				    strncmp(at + 3 + strlen(name), " = ", 3) != 0;
			for (size_t n = 0; n < sizeof(not_defaults) / sizeof(not_defaults[0]);
			     n++) {
				skip = skip || strcmp(name, not_defaults[n]) == 0;
			}
			if (!skip) {
				at[1] = ' ';
				at[2] = ' ';
			}
		}
	}
	struct kt_config *after = parsed(text);
	assert_memory_equal(before, after, sizeof(*before));
	kt_config_free(before);
	kt_config_free(after);
	free(text);
}

/* The page has one .It Ic NAME per option, in the order of the table; no other. */
static void the_manual_lists_exactly_the_options(void **state)
{
	char *text = slurp(KT_SOURCE "/docs/keyturn-plugin.5");
	const char *at = text;
	const char *name = NULL;
	const char *help = NULL;

	(void)state;
	for (size_t i = 0; kt_config_option(i, &name, &help); i++) {
		char item[64];
		const char *found = strstr(at, "\n.It Ic ");

		snprintf(item, sizeof(item), "\n.It Ic %s ", name);
		if (found == NULL || strncmp(found, item, strlen(item)) != 0)
			fail_msg("the next option of the page is not %s", name);
		at = found + 1;
	}
	assert_null(strstr(at, "\n.It Ic "));
	free(text);
}

static void the_table_ends(void **state)
{
	(void)state;
	const char *name = "x";
	const char *help = "x";
	size_t count = 0;
	while (kt_config_option(count, &name, &help)) {
		assert_true(strlen(name) > 0 && strlen(help) > 0);
		count++;
	}
	assert_int_equal(count, 45);
	assert_null(name);
	assert_null(help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_required_lines_alone_give_every_default),
		cmocka_unit_test(every_option_can_be_given),
		cmocka_unit_test(operators_come_in_three_kinds),
		cmocka_unit_test(an_operator_has_one_of_five_roles),
		cmocka_unit_test(acl_lines_keep_their_order_and_inner_blanks),
		cmocka_unit_test(an_acl_pattern_may_be_just_so_long_that_every_device_fits),
		cmocka_unit_test(paths_are_brought_to_one_form),
		cmocka_unit_test(each_malformed_line_is_refused_with_its_number),
		cmocka_unit_test(each_required_option_is_missed),
		cmocka_unit_test(ledger_and_state_may_not_lie_one_in_the_other),
		cmocka_unit_test(burst_is_not_less_than_rate),
		cmocka_unit_test(the_next_challenge_comes_after_the_last_ones_deadline),
		cmocka_unit_test(the_same_operator_twice_is_refused),
		cmocka_unit_test(lists_end_at_their_limits),
		cmocka_unit_test(an_overlong_line_and_a_nul_are_refused),
		cmocka_unit_test(a_file_is_read_unless_others_can_write_it),
		cmocka_unit_test(the_example_parses_and_names_every_option),
		cmocka_unit_test(the_defaults_that_the_example_shows_are_the_defaults),
		cmocka_unit_test(the_manual_lists_exactly_the_options),
		cmocka_unit_test(the_table_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
