#include "config_parser.h"

#include <string.h>

#include "encoding.h"
#include "ticket.h"
#include "topic.h"

enum { SOCKET_PATH_MAX = 107 }; /* sun_path without its NUL */

/* --- setters, one per shape of a value --- */

enum kt_err kt_config_set_enroll_retry(struct kt_option_parser *parser, const char *value)
{
	enum kt_err err = kt_option_set_duration(parser, value);
	if (err == KT_ERR_OK) {
		((struct kt_config *)parser->target)->enroll_retry_s /= KT_SECOND_MS;
	}
	return err;
}

enum kt_err kt_config_set_ledger_same_dir(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {{"refuse", false}, {"accept", true}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->ledger_same_dir = chosen != 0;
	return err;
}

enum kt_err kt_config_set_claim_without_certificate(struct kt_option_parser *parser,
						    const char *value)
{
	static const struct kt_choice choices[] = {{"accept", true}, {"refuse", false}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->claim_without_certificate = chosen != 0;
	return err;
}

enum kt_err kt_config_set_device_acl(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"deny", KT_FALLBACK_DENY}, {"defer", KT_FALLBACK_DEFER}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->acl.device = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_other_acl(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"defer", KT_FALLBACK_DEFER}, {"allow", KT_FALLBACK_ALLOW}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->acl.other = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_foreign_cert(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"refuse", KT_FALLBACK_DENY}, {"defer", KT_FALLBACK_DEFER}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->foreign_cert = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_enforce(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"on", KT_ENFORCE_ON}, {"observe", KT_ENFORCE_OBSERVE}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->enforce = (enum kt_enforce)chosen;
	return err;
}

enum kt_err kt_config_set_observe_username(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {{"keep", false}, {"cn", true}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->observe_common_name = chosen != 0;
	return err;
}

enum kt_err kt_config_set_wakeup(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"auto", KT_WAKEUP_AUTO}, {"on", KT_WAKEUP_ON}, {"off", KT_WAKEUP_OFF}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->wakeup = (enum kt_wakeup)chosen;
	return err;
}

/* --- policies --- */

static enum kt_err choose_clone_policy(struct kt_option_parser *parser, const char *value,
				       enum kt_policy *policy)
{
	static const struct kt_choice choices[] = {
		{"report", KT_POLICY_REPORT}, {"quarantine", KT_POLICY_QUARANTINE}, {NULL, 0}};
	int chosen = KT_POLICY_REPORT;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	*policy = (enum kt_policy)chosen;
	return err;
}

enum kt_err kt_config_set_clone_second_key(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	return choose_clone_policy(parser, value, &config->clone_second_key);
}

enum kt_err kt_config_set_clone_contended(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	return choose_clone_policy(parser, value, &config->clone_contended);
}

enum kt_err kt_config_set_clone_old_answer(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	return choose_clone_policy(parser, value, &config->clone_old_answer);
}

enum kt_err kt_config_set_clone_op_range(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	return choose_clone_policy(parser, value, &config->clone_op_range);
}

enum kt_err kt_config_set_challenge_silence(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {{"report", KT_POLICY_REPORT},
						   {"quarantine", KT_POLICY_QUARANTINE},
						   {"disconnect", KT_POLICY_DISCONNECT},
						   {NULL, 0}};
	int chosen = KT_POLICY_REPORT;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	((struct kt_config *)parser->target)->challenge_silence = (enum kt_policy)chosen;
	return err;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum kt_err operator_name(struct kt_option_parser *parser, const char *word,
				 struct kt_operator *out)
{
	const char *name = strchr(word, ':');
	if (starts_with(word, "cert:spiffe://")) {
		out->kind = KT_OPERATOR_CERT;
	} else if (starts_with(word, "unix:/") && strlen(word + 5) <= SOCKET_PATH_MAX) {
		out->kind = KT_OPERATOR_UNIX;
	} else if (starts_with(word, "user:") && word[5] != '\0') {
		out->kind = KT_OPERATOR_USER;
	} else {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"operator begins with neither cert:spiffe://..., unix:/path nor "
			"user:name");
	}
	name++;
	if (out->kind == KT_OPERATOR_USER &&
	    (strlen(name) > KT_OPERATOR_NAME_MAX || starts_with(name, "op:") ||
	     strcmp(name, "claim") == 0)) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"operator: a user name of at most %d characters, neither claim nor "
			"op:..., please",
			KT_OPERATOR_NAME_MAX);
	}
	memcpy(out->name, name, strlen(name) + 1);
	return KT_ERR_OK;
}

static enum kt_err operator_fingerprint(struct kt_option_parser *parser, const char **rest,
					struct kt_operator *out)
{
	char word[96];
	if (!kt_option_next_word(rest, word, sizeof(word)) || !starts_with(word, "sha256:") ||
	    kt_hex_decode(word + 7, strlen(word + 7), out->fp.b, sizeof(out->fp.b)) != KT_ERR_OK) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"operator: the URI is not followed by sha256:<64 lower-case hex "
			"digits> (keyturn-pki operator prints it)");
	}
	return KT_ERR_OK;
}

static bool is_same_operator(const struct kt_operator *a, const struct kt_operator *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 &&
	       kt_fingerprint_eq(&a->fp, &b->fp);
}

enum kt_err kt_config_add_operator(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	struct kt_config_lines *lines = parser->ctx;
	struct kt_operator operator;
	char word[KT_URI_MAX + 1];
	const char *rest = value;
	enum kt_err err = KT_ERR_INTERNAL;

	memset(&operator, 0, sizeof(operator)); /* a reload compares all of its bytes */
	if (config->operator_count == KT_OPERATORS_MAX) {
		return kt_option_complain(parser, KT_ERR_RANGE, "more than %d operators",
					  KT_OPERATORS_MAX);
	}
	if (!kt_option_next_word(&rest, word, sizeof(word))) {
		return kt_option_complain(parser, KT_ERR_INVALID, "operator is too long");
	}
	err = operator_name(parser, word, &operator);
	if (err == KT_ERR_OK && operator.kind == KT_OPERATOR_CERT) {
		err = operator_fingerprint(parser, &rest, &operator);
	}
	if (err != KT_ERR_OK) {
		return err;
	}
	if (kt_option_next_word(&rest, word, sizeof(word))) {
		operator.role = kt_role_from_name(word);
	}
	if (operator.role == KT_ROLE_NONE || kt_option_next_word(&rest, word, sizeof(word))) {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "operator does not end in one role (viewer, rotator, "
					  "enroller, revoker or admin)");
	}
	for (size_t i = 0; i < config->operator_count; i++) {
		if (is_same_operator(&config->operators[i], &operator)) {
			return kt_option_complain(parser, KT_ERR_EXISTS,
						  "this operator is named twice (keep one line)");
		}
	}
	lines->operator_line[config->operator_count] = parser->line;
	config->operators[config->operator_count++] = operator;
	return KT_ERR_OK;
}

static enum kt_acl_access acl_access_of(const char *word)
{
	static const struct {
		const char *word;
		enum kt_acl_access access;
	} words[] = {{"read", KT_ACL_READ},
		     {"write", KT_ACL_WRITE},
		     {"readwrite", KT_ACL_READWRITE},
		     {"deny", KT_ACL_DENY}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) == 0) {
			return words[i].access;
		}
	}
	return (enum kt_acl_access)0;
}

_Static_assert((int)KT_GROUP_MAX == (int)KT_DEVICE_ID_MAX, "%d and %g may become as long");

/*
 * The pattern with %d and %g replaced by a plain letter: what can be judged before any device.
 * *expanded_len: its length for the device whose names are the longest.
 */
static bool acl_sample(const char *pattern, char *out, size_t *expanded_len)
{
	size_t len = 0;
	*expanded_len = 0;
	for (const char *c = pattern; *c != '\0'; c++) {
		*expanded_len += 1;
		if (*c == '%') {
			c++;
			if (*c != 'd' && *c != 'g') {
				return false;
			}
			*expanded_len += KT_DEVICE_ID_MAX - 1;
		}
		out[len++] = *c;
	}
	out[len] = '\0';
	return true;
}

/* What the broker would match, and nothing of Keyturn's or of the broker's own. */
static enum kt_err check_acl_rule(struct kt_option_parser *parser, const struct kt_acl_rule *rule)
{
	char sample[sizeof(rule->pattern)];
	size_t expanded_len = 0;

	if (!acl_sample(rule->pattern, sample, &expanded_len)) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"acl: %% stands for nothing but %%d (device id) and %%g (group)");
	}
	if (!kt_filter_matches(sample, sample)) {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "acl: this is no MQTT topic filter (+ and # each need a "
					  "level of their own, # the last one)");
	}
	/* one that does not fit would be passed over, a deny as well */
	if (expanded_len > KT_ACL_EXPANDED_MAX) {
		return kt_option_complain(
			parser, KT_ERR_RANGE,
			"acl: with the longest device id and group the pattern has %zu characters, "
			"of %d at the most (use %%d and %%g less often)",
			expanded_len, KT_ACL_EXPANDED_MAX);
	}
	if (sample[0] == '$' ||
	    (rule->access != KT_ACL_DENY && kt_filter_touches_keyturn(sample))) {
		return kt_option_complain(
			parser, KT_ERR_DENIED,
			"acl: a site pattern may not match keyturn/ or $ topics (begin it "
			"with the site's own first level)");
	}
	return KT_ERR_OK;
}

enum kt_err kt_config_add_acl(struct kt_option_parser *parser, const char *value)
{
	struct kt_config *config = parser->target;
	struct kt_acl_rule rule = {.access = KT_ACL_DENY};
	char word[16];
	const char *rest = value;

	if (config->acl.rule_count == KT_ACL_RULES_MAX) {
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "more than %d acl lines (let one pattern with + or # "
					  "stand for several)",
					  KT_ACL_RULES_MAX);
	}
	bool has_access = kt_option_next_word(&rest, word, sizeof(word));
	rule.access = acl_access_of(word);
	if (!has_access || (int)rule.access == 0) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"acl begins with neither read, write, readwrite nor deny (acl = readwrite "
			"devices/%%d/#)");
	}
	rest += strspn(rest, " \t");
	size_t len = strlen(rest);
	if (len == 0 || len >= sizeof(rule.pattern)) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"acl names no topic pattern of 1 to %zu characters (acl = "
			"readwrite devices/%%d/#)",
			sizeof(rule.pattern) - 1);
	}
	memcpy(rule.pattern, rest, len + 1);
	enum kt_err err = check_acl_rule(parser, &rule);
	if (err == KT_ERR_OK) {
		config->acl.rules[config->acl.rule_count++] = rule;
	}
	return err;
}
