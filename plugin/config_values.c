#include "config_parser.h"

#include <string.h>

#include "encoding.h"
#include "topic.h"

enum { SOCKET_PATH_MAX = 107 }; /* sun_path without its NUL */

static void *member(const struct kt_config_parser *parser)
{
	return (char *)parser->config + parser->option->offset;
}

/* --- setters, one per shape of a value --- */

enum kt_err kt_config_set_trust_domain(struct kt_config_parser *parser, const char *value)
{
	size_t len = strlen(value);
	if (!kt_is_trust_domain(value, len)) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"trust_domain is not a trust domain (1 to 255 of a-z 0-9 . -)");
	}
	memcpy(parser->config->trust_domain, value, len + 1);
	return KT_ERR_OK;
}

static bool is_parent_step(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

/* Absolute, without "..", "//" and "/./" and without a slash at its end, so that paths compare. */
enum kt_err kt_config_set_path(struct kt_config_parser *parser, const char *value)
{
	char *out = member(parser);
	size_t out_len = 0;
	if (value[0] != '/') {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "%s is not an absolute path (start it with /)",
					  parser->option->name);
	}
	if (strlen(value) >= KT_PATH_MAX) {
		return kt_config_complain(parser, KT_ERR_RANGE, "%s is longer than %d characters",
					  parser->option->name, KT_PATH_MAX - 1);
	}
	for (const char *part = value; *part != '\0';) {
		part += strspn(part, "/");
		size_t len = strcspn(part, "/");
		if (is_parent_step(part, len)) {
			return kt_config_complain(parser, KT_ERR_INVALID,
						  "%s has a .. in it (write the path it leads to)",
						  parser->option->name);
		}
		if (len > 0 && !(len == 1 && part[0] == '.')) {
			out[out_len++] = '/';
			memcpy(out + out_len, part, len);
			out_len += len;
		}
		part += len;
	}
	if (out_len == 0) {
		out[out_len++] = '/';
	}
	out[out_len] = '\0';
	return KT_ERR_OK;
}

static bool number_of(const char *text, size_t len, int64_t *out)
{
	uint64_t number = 0;
	*out = 0;
	if (len == 0 || kt_u64_decode(text, len, &number) != KT_ERR_OK || number > INT32_MAX) {
		return false;
	}
	*out = (int64_t)number;
	return true;
}

static bool duration_of(const char *value, int64_t *out)
{
	size_t len = strlen(value);
	int64_t unit = 0;
	*out = 0;
	if (strcmp(value, "0") == 0) {
		return true;
	}
	if (len < 2) {
		return false;
	}
	switch (value[len - 1]) {
	case 's':
		unit = KT_SECOND_MS;
		break;
	case 'm':
		unit = KT_MINUTE_MS;
		break;
	case 'h':
		unit = KT_HOUR_MS;
		break;
	case 'd':
		unit = KT_DAY_MS;
		break;
	default:
		return false;
	}
	int64_t number = 0;
	if (!number_of(value, len - 1, &number)) {
		return false;
	}
	*out = number * unit;
	return true;
}

/* A zero minimum with a gap above it: 0 is "never", anything else is at least a second. */
enum kt_err kt_config_set_duration(struct kt_config_parser *parser, const char *value)
{
	int64_t ms = 0;
	if (!duration_of(value, &ms)) {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "%s is not a duration (write 30s, 10m, 24h, 7d or 0)",
					  parser->option->name);
	}
	if (ms < parser->option->min || ms > parser->option->max) {
		return kt_config_complain(
			parser, KT_ERR_RANGE, "%s is out of range (%lld to %lld seconds)",
			parser->option->name, (long long)(parser->option->min / KT_SECOND_MS),
			(long long)(parser->option->max / KT_SECOND_MS));
	}
	memcpy(member(parser), &ms, sizeof(ms));
	return KT_ERR_OK;
}

enum kt_err kt_config_set_enroll_retry(struct kt_config_parser *parser, const char *value)
{
	enum kt_err err = kt_config_set_duration(parser, value);
	if (err == KT_ERR_OK) {
		parser->config->enroll_retry_s /= KT_SECOND_MS;
	}
	return err;
}

enum kt_err kt_config_set_count(struct kt_config_parser *parser, const char *value)
{
	int64_t number = 0;
	if (!number_of(value, strlen(value), &number)) {
		return kt_config_complain(parser, KT_ERR_INVALID, "%s is not a number",
					  parser->option->name);
	}
	if (number < parser->option->min || number > parser->option->max) {
		return kt_config_complain(parser, KT_ERR_RANGE, "%s is out of range (%lld to %lld)",
					  parser->option->name, (long long)parser->option->min,
					  (long long)parser->option->max);
	}
	unsigned count = (unsigned)number;
	memcpy(member(parser), &count, sizeof(count));
	return KT_ERR_OK;
}

struct choice {
	const char *word;
	int value;
};

static enum kt_err choose(struct kt_config_parser *parser, const char *value,
			  const struct choice *choices, int *out)
{
	for (const struct choice *choice = choices; choice->word != NULL; choice++) {
		if (strcmp(value, choice->word) == 0) {
			*out = choice->value;
			return KT_ERR_OK;
		}
	}
	*out = 0;
	return kt_config_complain(parser, KT_ERR_INVALID, "%s cannot be that (%s)",
				  parser->option->name, parser->option->help);
}

enum kt_err kt_config_set_ledger_same_dir(struct kt_config_parser *parser, const char *value)
{
	static const struct choice choices[] = {{"refuse", false}, {"accept", true}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->ledger_same_dir = chosen != 0;
	return err;
}

enum kt_err kt_config_set_claim_without_certificate(struct kt_config_parser *parser,
						    const char *value)
{
	static const struct choice choices[] = {{"accept", true}, {"refuse", false}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->claim_without_certificate = chosen != 0;
	return err;
}

enum kt_err kt_config_set_device_acl(struct kt_config_parser *parser, const char *value)
{
	static const struct choice choices[] = {
		{"deny", KT_FALLBACK_DENY}, {"defer", KT_FALLBACK_DEFER}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->device_acl = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_other_acl(struct kt_config_parser *parser, const char *value)
{
	static const struct choice choices[] = {
		{"defer", KT_FALLBACK_DEFER}, {"allow", KT_FALLBACK_ALLOW}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->other_acl = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_foreign_cert(struct kt_config_parser *parser, const char *value)
{
	static const struct choice choices[] = {
		{"refuse", KT_FALLBACK_DENY}, {"defer", KT_FALLBACK_DEFER}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->foreign_cert = (enum kt_fallback)chosen;
	return err;
}

enum kt_err kt_config_set_wakeup(struct kt_config_parser *parser, const char *value)
{
	static const struct choice choices[] = {
		{"auto", KT_WAKEUP_AUTO}, {"on", KT_WAKEUP_ON}, {"off", KT_WAKEUP_OFF}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = choose(parser, value, choices, &chosen);
	parser->config->wakeup = (enum kt_wakeup)chosen;
	return err;
}

enum kt_err kt_config_set_broker_address(struct kt_config_parser *parser, const char *value)
{
	const char *colon = strrchr(value, ':');
	int64_t port = 0;
	if (colon == NULL || colon == value || strpbrk(value, " \t/") != NULL ||
	    !number_of(colon + 1, strlen(colon + 1), &port) || port < 1 || port > UINT16_MAX) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"broker_address is not host:port (broker.example.org:8883)");
	}
	if (strlen(value) > 260) {
		return kt_config_complain(parser, KT_ERR_RANGE,
					  "broker_address is longer than 260 characters");
	}
	memcpy(parser->config->broker_address, value, strlen(value) + 1);
	return KT_ERR_OK;
}

/* Splits the next blank-separated word off *rest into @out; false: none left, or it does not fit.
 */
static bool next_word(const char **rest, char *out, size_t cap)
{
	const char *word = *rest + strspn(*rest, " \t");
	size_t len = strcspn(word, " \t");
	out[0] = '\0';
	*rest = word + len;
	if (len == 0 || len >= cap) {
		return false;
	}
	memcpy(out, word, len);
	out[len] = '\0';
	return true;
}

static enum kt_role role_of(const char *word)
{
	if (strcmp(word, "viewer") == 0) {
		return KT_ROLE_VIEWER;
	}
	return strcmp(word, "admin") == 0 ? KT_ROLE_ADMIN : KT_ROLE_NONE;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum kt_err operator_name(struct kt_config_parser *parser, const char *word,
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
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"operator begins with neither cert:spiffe://..., unix:/path nor "
			"user:name");
	}
	name++;
	if (out->kind == KT_OPERATOR_USER &&
	    (strlen(name) > KT_OPERATOR_NAME_MAX || starts_with(name, "op:") ||
	     strcmp(name, "claim") == 0)) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"operator: a user name of at most %d characters, neither claim nor "
			"op:..., please",
			KT_OPERATOR_NAME_MAX);
	}
	memcpy(out->name, name, strlen(name) + 1);
	return KT_ERR_OK;
}

static enum kt_err operator_fingerprint(struct kt_config_parser *parser, const char **rest,
					struct kt_operator *out)
{
	char word[96];
	if (!next_word(rest, word, sizeof(word)) || !starts_with(word, "sha256:") ||
	    kt_hex_decode(word + 7, strlen(word + 7), out->fp.b, sizeof(out->fp.b)) != KT_ERR_OK) {
		return kt_config_complain(
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

enum kt_err kt_config_add_operator(struct kt_config_parser *parser, const char *value)
{
	struct kt_config *config = parser->config;
	struct kt_operator operator= {.kind = KT_OPERATOR_CERT};
	char word[KT_URI_MAX + 1];
	const char *rest = value;
	enum kt_err err = KT_ERR_INTERNAL;

	if (config->operator_count == KT_OPERATORS_MAX) {
		return kt_config_complain(parser, KT_ERR_RANGE, "more than %d operators",
					  KT_OPERATORS_MAX);
	}
	if (!next_word(&rest, word, sizeof(word))) {
		return kt_config_complain(parser, KT_ERR_INVALID, "operator is too long");
	}
	err = operator_name(parser, word, &operator);
	if (err == KT_ERR_OK && operator.kind == KT_OPERATOR_CERT) {
		err = operator_fingerprint(parser, &rest, &operator);
	}
	if (err != KT_ERR_OK) {
		return err;
	}
	if (next_word(&rest, word, sizeof(word))) {
		operator.role = role_of(word);
	}
	if (operator.role == KT_ROLE_NONE || next_word(&rest, word, sizeof(word))) {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "operator does not end in one role (viewer or admin)");
	}
	for (size_t i = 0; i < config->operator_count; i++) {
		if (is_same_operator(&config->operators[i], &operator)) {
			return kt_config_complain(parser, KT_ERR_EXISTS,
						  "this operator is named twice (keep one line)");
		}
	}
	parser->operator_line[config->operator_count] = parser->line;
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

/* The pattern with %d and %g replaced by a plain letter: what can be judged before any device. */
static bool acl_sample(const char *pattern, char *out)
{
	size_t len = 0;
	for (const char *c = pattern; *c != '\0'; c++) {
		if (*c == '%') {
			c++;
			if (*c != 'd' && *c != 'g') {
				return false;
			}
		}
		out[len++] = *c;
	}
	out[len] = '\0';
	return true;
}

enum kt_err kt_config_add_acl(struct kt_config_parser *parser, const char *value)
{
	struct kt_config *config = parser->config;
	struct kt_acl_rule rule = {.access = KT_ACL_DENY};
	char word[16];
	char sample[sizeof(rule.pattern)];
	const char *rest = value;

	if (config->acl_count == KT_ACL_RULES_MAX) {
		return kt_config_complain(parser, KT_ERR_RANGE, "more than %d acl lines",
					  KT_ACL_RULES_MAX);
	}
	bool has_access = next_word(&rest, word, sizeof(word));
	rule.access = acl_access_of(word);
	if (!has_access || (int)rule.access == 0) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"acl begins with neither read, write, readwrite nor deny");
	}
	rest += strspn(rest, " \t");
	size_t len = strlen(rest);
	if (len == 0 || len >= sizeof(rule.pattern)) {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "acl names no topic pattern of 1 to %zu characters",
					  sizeof(rule.pattern) - 1);
	}
	if (!acl_sample(rest, sample)) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"acl: %% stands for nothing but %%d (device id) and %%g (group)");
	}
	if (!kt_filter_matches(sample, sample)) {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "acl: this is no MQTT topic filter");
	}
	if (rest[0] == '$' || (rule.access != KT_ACL_DENY && kt_filter_touches_keyturn(sample))) {
		return kt_config_complain(
			parser, KT_ERR_DENIED,
			"acl: a site pattern may not match keyturn/ or $ topics (begin it "
			"with the site's own first level)");
	}
	memcpy(rule.pattern, rest, len + 1);
	config->acl[config->acl_count++] = rule;
	return KT_ERR_OK;
}
