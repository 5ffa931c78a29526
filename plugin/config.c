#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_parser.h"
#include "topic.h"

enum { FILE_MAX = 256 * 1024, LINE_MAX_LEN = 2048 };

enum kt_err kt_config_complain(struct kt_config_parser *parser, enum kt_err err, const char *format,
			       ...)
{
	int n = parser->line > 0 ? snprintf(parser->why, KT_CONFIG_WHY_MAX, "%s:%u: ", parser->file,
					    parser->line)
				 : snprintf(parser->why, KT_CONFIG_WHY_MAX, "%s: ", parser->file);
	if (n < 0 || n >= KT_CONFIG_WHY_MAX) {
		n = 0; /* a path that long leaves no room for the sentence: drop it */
	}
	va_list args;
	va_start(args, format);
	int rest = vsnprintf(parser->why + n, (size_t)(KT_CONFIG_WHY_MAX - n), format, args);
	va_end(args);
	if (rest < 0) {
		parser->why[n] = '\0';
	}
	return err;
}

/* --- the table --- */

#define AT(m) offsetof(struct kt_config, m)

static const struct kt_config_option options[] = {
	{"trust_domain", kt_config_set_trust_domain, AT(trust_domain), 0, 0, NULL,
	 "the fleet's SPIFFE trust domain", true, false},
	{"state_dir", kt_config_set_path, AT(state_dir), 0, 0, NULL,
	 "directory of the index and the lock", true, false},
	{"ledger_dir", kt_config_set_path, AT(ledger_dir), 0, 0, NULL,
	 "directory of the ledger, not under state_dir", true, false},
	{"ledger_same_dir", kt_config_set_ledger_same_dir, AT(ledger_same_dir), 0, 0, "refuse",
	 "refuse or accept a ledger_dir under state_dir", false, false},
	{"root_cert", kt_config_set_path, AT(root_cert), 0, 0, NULL, "the root's certificate, PEM",
	 true, false},
	{"issuer_cert", kt_config_set_path, AT(issuer_cert), 0, 0, NULL,
	 "the issuing CA's certificate, PEM", true, false},
	{"issuer_key", kt_config_set_path, AT(issuer_key), 0, 0, NULL,
	 "the issuing CA's private key, PEM", true, false},
	{"controller_cert", kt_config_set_path, AT(controller_cert), 0, 0, NULL,
	 "the controller's certificate, PEM", true, false},
	{"controller_key", kt_config_set_path, AT(controller_key), 0, 0, NULL,
	 "the controller's private key, PEM", true, false},
	{"mosquitto_conf", kt_config_set_path, AT(mosquitto_conf), 0, 0, NULL,
	 "the broker's own file, if not the one of its -c", false, false},
	{"broker_address", kt_config_set_broker_address, AT(broker_address), 0, 0, NULL,
	 "host:port that goes into tickets", false, false},
	{"operator", kt_config_add_operator, AT(operators), 0, 0, NULL,
	 "who may command: cert:URI sha256:HEX ROLE, unix:PATH ROLE or user:NAME ROLE", false,
	 true},
	{"acl", kt_config_add_acl, AT(acl), 0, 0, NULL,
	 "a device's site topics: read, write, readwrite or deny, and a pattern with %d, %g", false,
	 true},
	{"device_acl", kt_config_set_device_acl, AT(device_acl), 0, 0, "deny",
	 "a device's topics that no acl line names: deny or defer", false, false},
	{"other_acl", kt_config_set_other_acl, AT(other_acl), 0, 0, "defer",
	 "topics of clients that are not ours: defer or allow", false, false},
	{"foreign_cert", kt_config_set_foreign_cert, AT(foreign_cert), 0, 0, "refuse",
	 "clients with a certificate of another trust domain: refuse or defer", false, false},
	{"claim_without_certificate", kt_config_set_claim_without_certificate,
	 AT(claim_without_certificate), 0, 0, "accept",
	 "claimants without a certificate: accept or refuse", false, false},
	{"wakeup", kt_config_set_wakeup, AT(wakeup), 0, 0, "auto",
	 "wake the broker's loop for results: auto, on or off", false, false},
	{"workers", kt_config_set_count, AT(workers), 1, 16, "1", "signing threads", false, false},
	{"hello_timeout", kt_config_set_duration, AT(hello_timeout_ms), KT_SECOND_MS, KT_HOUR_MS,
	 "30s", "a device session without a hello ends after this", false, false},
	{"claim_idle", kt_config_set_duration, AT(claim_idle_ms), KT_SECOND_MS, KT_DAY_MS, "60s",
	 "an idle claimant is ended after this", false, false},
	{"superseded_drain", kt_config_set_duration, AT(superseded_drain_ms), 0, 300 * KT_SECOND_MS,
	 "30s", "how long sessions of a superseded credential keep their site topics", false,
	 false},
	{"challenge_timeout", kt_config_set_duration, AT(challenge_timeout_ms), KT_SECOND_MS,
	 KT_HOUR_MS, "60s", "a challenge without an answer is missed after this", false, false},
	{"promote_overdue", kt_config_set_duration, AT(promote_overdue_ms), KT_SECOND_MS,
	 KT_YEAR_MS, "10m", "a commit without a promoted is reported after this", false, false},
	{"op_deadline", kt_config_set_duration, AT(op_deadline_ms), KT_SECOND_MS, KT_YEAR_MS, "24h",
	 "an op without a csr is closed after this", false, false},
	{"pending_give_up", kt_config_set_duration, AT(pending_give_up_ms), KT_SECOND_MS,
	 KT_YEAR_MS, "7d", "a rotation's certificate without a confirm is given up after this",
	 false, false},
	{"max_key_age", kt_config_set_duration, AT(max_key_age_ms), 0, 100 * KT_YEAR_MS, "0",
	 "an older key gets a rotate-only session; 0: never", false, false},
	{"certificate_lifetime", kt_config_set_duration, AT(certificate_lifetime_ms), 0,
	 100 * KT_YEAR_MS, "0", "lifetime of device certificates; 0: without end", false, false},
	{"enroll_retry", kt_config_set_enroll_retry, AT(enroll_retry_s), KT_SECOND_MS, KT_DAY_MS,
	 "30s", "a waiting claimant is told to ask again after this", false, false},
	{"message_rate", kt_config_set_count, AT(message_rate), 1, 1000, "5",
	 "device messages a second and session", false, false},
	{"message_burst", kt_config_set_count, AT(message_burst), 1, 10000, "10",
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

static const struct kt_config_option *option_named(const char *name, size_t *index)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(options[i].name, name) == 0) {
			*index = i;
			return &options[i];
		}
	}
	*index = 0;
	return NULL;
}

/* --- lines --- */

static char *trimmed(char *text)
{
	text += strspn(text, " \t");
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
		len--;
	}
	text[len] = '\0';
	return text;
}

static bool has_control_character(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return true;
		}
	}
	return false;
}

static enum kt_err parse_line(struct kt_config_parser *parser, char *line, bool *seen)
{
	char *text = trimmed(line);
	if (text[0] == '\0' || text[0] == '#') {
		return KT_ERR_OK;
	}
	char *equals = strchr(text, '=');
	if (equals == NULL) {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "no = in this line (name = value)");
	}
	*equals = '\0';
	const char *name = trimmed(text);
	const char *value = trimmed(equals + 1);
	size_t index = 0;
	parser->option = option_named(name, &index);
	if (parser->option == NULL) {
		return kt_config_complain(parser, KT_ERR_UNKNOWN_FIELD,
					  "there is no option '%.40s' (see keyturn-plugin(5))",
					  name);
	}
	if (value[0] == '\0') {
		return kt_config_complain(parser, KT_ERR_INVALID,
					  "%s has no value (remove the line for the default)",
					  name);
	}
	if (seen[index] && !parser->option->is_list) {
		return kt_config_complain(parser, KT_ERR_EXISTS,
					  "%s is given twice (keep one line)", name);
	}
	seen[index] = true;
	return parser->option->set(parser, value);
}

static enum kt_err parse_lines(struct kt_config_parser *parser, struct kt_bytes text, bool *seen)
{
	const char *at = (const char *)text.p;
	size_t left = text.len;
	while (left > 0) {
		char line[LINE_MAX_LEN];
		const char *end = memchr(at, '\n', left);
		size_t len = end != NULL ? (size_t)(end - at) : left;
		size_t step = end != NULL ? len + 1 : len;
		parser->line++;
		if (len > 0 && at[len - 1] == '\r') {
			len--;
		}
		if (len >= sizeof(line)) {
			return kt_config_complain(parser, KT_ERR_RANGE,
						  "the line is longer than %d characters",
						  LINE_MAX_LEN - 1);
		}
		if (has_control_character(at, len)) {
			return kt_config_complain(parser, KT_ERR_INVALID,
						  "a control character in this line");
		}
		memcpy(line, at, len);
		line[len] = '\0';
		enum kt_err err = parse_line(parser, line, seen);
		if (err != KT_ERR_OK) {
			return err;
		}
		at += step;
		left -= step;
	}
	return KT_ERR_OK;
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

static enum kt_err check_operators(struct kt_config_parser *parser)
{
	const struct kt_config *config = parser->config;
	for (size_t i = 0; i < config->operator_count; i++) {
		const struct kt_operator *operator= & config->operators[i];
		const char *name = NULL;
		if (operator->kind != KT_OPERATOR_CERT) {
			continue;
		}
		parser->line = parser->operator_line[i];
		if (kt_uri_decode(operator->name, config->trust_domain, &name) != KT_URI_OPERATOR ||
		    strlen(name) > KT_OPERATOR_NAME_MAX) {
			return kt_config_complain(
				parser, KT_ERR_INVALID,
				"operator: the URI is not spiffe://%.100s/operator/<name>",
				config->trust_domain);
		}
	}
	return KT_ERR_OK;
}

static enum kt_err check_whole(struct kt_config_parser *parser, const bool *seen)
{
	const struct kt_config *config = parser->config;
	parser->line = 0;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (options[i].is_required && !seen[i]) {
			return kt_config_complain(parser, KT_ERR_MISSING_FIELD,
						  "%s is missing (%s)", options[i].name,
						  options[i].help);
		}
	}
	/* One restore of a backup must not roll both back: then nobody would notice it. */
	if (!config->ledger_same_dir && (is_inside(config->ledger_dir, config->state_dir) ||
					 is_inside(config->state_dir, config->ledger_dir))) {
		return kt_config_complain(
			parser, KT_ERR_INVALID,
			"ledger_dir and state_dir lie one in the other (put the ledger "
			"elsewhere, or write ledger_same_dir = accept)");
	}
	if (config->message_burst < config->message_rate) {
		return kt_config_complain(parser, KT_ERR_RANGE,
					  "message_burst is less than message_rate (raise it)");
	}
	return check_operators(parser);
}

static enum kt_err set_presets(struct kt_config_parser *parser)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		parser->option = &options[i];
		if (options[i].preset == NULL) {
			continue;
		}
		enum kt_err err = options[i].set(parser, options[i].preset);
		if (err != KT_ERR_OK) {
			return err;
		}
	}
	return KT_ERR_OK;
}

enum kt_err kt_config_parse(const char *name, struct kt_bytes text, struct kt_config **out,
			    char why[static 512])
{
	enum kt_err err = KT_ERR_INTERNAL;
	bool seen[OPTION_COUNT] = {false};
	struct kt_config_parser parser = {.file = name, .why = why};

	*out = NULL;
	why[0] = '\0';
	parser.config = calloc(1, sizeof(*parser.config));
	if (parser.config == NULL) {
		return kt_config_complain(&parser, KT_ERR_NOMEM, "out of memory");
	}
	err = set_presets(&parser);
	if (err != KT_ERR_OK) {
		goto out;
	}
	err = parse_lines(&parser, text, seen);
	if (err != KT_ERR_OK) {
		goto out;
	}
	err = check_whole(&parser, seen);
	if (err != KT_ERR_OK) {
		goto out;
	}
	*out = parser.config;
	parser.config = NULL; /* moved */
out:
	kt_config_free(parser.config);
	return err;
}

/* --- the one read --- */

static const char *errno_text(void)
{
	const char *text = strerrordesc_np(errno);
	return text != NULL ? text : "unknown error";
}

/* Whoever can write this file names operators and key files: nobody but root and we. */
static enum kt_err check_file(struct kt_config_parser *parser, int fd, size_t *size)
{
	struct stat st;
	if (fstat(fd, &st) != 0) {
		return kt_config_complain(parser, KT_ERR_SYS, "cannot be read: %s", errno_text());
	}
	if (!S_ISREG(st.st_mode)) {
		return kt_config_complain(parser, KT_ERR_INVALID, "is not a regular file");
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		return kt_config_complain(parser, KT_ERR_INSECURE,
					  "can be written by others (chmod go-w it)");
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		return kt_config_complain(
			parser, KT_ERR_INSECURE,
			"belongs neither to root nor to the broker's user (chown it)");
	}
	if (st.st_size > FILE_MAX) {
		return kt_config_complain(parser, KT_ERR_RANGE, "is larger than %d KiB",
					  FILE_MAX / 1024);
	}
	*size = (size_t)st.st_size;
	return KT_ERR_OK;
}

static enum kt_err read_all(struct kt_config_parser *parser, int fd, char *text, size_t cap,
			    size_t *len)
{
	*len = 0;
	while (*len < cap) {
		ssize_t n = read(fd, text + *len, cap - *len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return kt_config_complain(parser, KT_ERR_SYS, "cannot be read: %s",
						  errno_text());
		}
		if (n == 0) {
			break;
		}
		*len += (size_t)n;
	}
	return KT_ERR_OK;
}

enum kt_err kt_config_load(const char *path, struct kt_config **out, char why[static 512])
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_config_parser parser = {.file = path, .why = why};
	char *text = NULL;
	size_t size = 0;
	size_t len = 0;

	*out = NULL;
	why[0] = '\0';
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return kt_config_complain(&parser, KT_ERR_SYS, "cannot be opened: %s",
					  errno_text());
	}
	err = check_file(&parser, fd, &size);
	if (err != KT_ERR_OK) {
		goto out;
	}
	text = malloc(size + 1);
	if (text == NULL) {
		err = kt_config_complain(&parser, KT_ERR_NOMEM, "out of memory");
		goto out;
	}
	err = read_all(&parser, fd, text, size, &len);
	if (err != KT_ERR_OK) {
		goto out;
	}
	err = kt_config_parse(path, (struct kt_bytes){.p = (const uint8_t *)text, .len = len}, out,
			      why);
out:
	free(text);
	(void)close(fd);
	return err;
}

void kt_config_free(struct kt_config *config)
{
	free(config);
}
