#include "option_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encoding.h"

enum { FILE_MAX = 256 * 1024, LINE_MAX_LEN = 2048, HOST_PORT_MAX = 260 };

enum kt_err kt_option_complain(struct kt_option_parser *parser, enum kt_err err, const char *format,
			       ...)
{
	int n = parser->line > 0 ? snprintf(parser->why, KT_OPTION_WHY_MAX, "%s:%u: ", parser->file,
					    parser->line)
				 : snprintf(parser->why, KT_OPTION_WHY_MAX, "%s: ", parser->file);
	if (n < 0 || n >= KT_OPTION_WHY_MAX) {
		n = 0; /* a path that long leaves no room for the sentence: drop it */
	}
	va_list args;
	va_start(args, format);
	int rest = vsnprintf(parser->why + n, (size_t)(KT_OPTION_WHY_MAX - n), format, args);
	va_end(args);
	if (rest < 0) {
		parser->why[n] = '\0';
	}
	return err;
}

void *kt_option_member(const struct kt_option_parser *parser)
{
	return (char *)parser->target + parser->option->offset;
}

/* --- lines --- */

struct table {
	const struct kt_option *options;
	size_t count;
	bool seen[KT_OPTIONS_MAX];
};

static bool find_option(const struct table *table, const char *name, size_t *index)
{
	for (*index = 0; *index < table->count; (*index)++) {
		if (strcmp(table->options[*index].name, name) == 0) {
			return true;
		}
	}
	*index = 0;
	return false;
}

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

static enum kt_err parse_line(struct kt_option_parser *parser, struct table *table, char *line)
{
	char *text = trimmed(line);
	if (text[0] == '\0' || text[0] == '#') {
		return KT_ERR_OK;
	}
	char *equals = strchr(text, '=');
	if (equals == NULL) {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "no = in this line (name = value)");
	}
	*equals = '\0';
	const char *name = trimmed(text);
	const char *value = trimmed(equals + 1);
	size_t index = 0;
	if (!find_option(table, name, &index)) {
		return kt_option_complain(parser, KT_ERR_UNKNOWN_FIELD,
					  "there is no option '%.40s' (see %s)", name,
					  parser->manual);
	}
	parser->option = &table->options[index];
	if (value[0] == '\0') {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "%s has no value (remove the line for the default)",
					  name);
	}
	if (table->seen[index] && !parser->option->is_list) {
		return kt_option_complain(parser, KT_ERR_EXISTS,
					  "%s is given twice (keep one line)", name);
	}
	table->seen[index] = true;
	return parser->option->set(parser, value);
}

static enum kt_err parse_lines(struct kt_option_parser *parser, struct table *table,
			       struct kt_bytes text)
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
			return kt_option_complain(parser, KT_ERR_RANGE,
						  "the line is longer than %d characters",
						  LINE_MAX_LEN - 1);
		}
		if (has_control_character(at, len)) {
			return kt_option_complain(parser, KT_ERR_INVALID,
						  "a control character in this line");
		}
		memcpy(line, at, len);
		line[len] = '\0';
		enum kt_err err = parse_line(parser, table, line);
		if (err != KT_ERR_OK) {
			return err;
		}
		at += step;
		left -= step;
	}
	return KT_ERR_OK;
}

static enum kt_err set_presets(struct kt_option_parser *parser, const struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		parser->option = &table->options[i];
		if (table->options[i].preset == NULL) {
			continue;
		}
		enum kt_err err = table->options[i].set(parser, table->options[i].preset);
		if (err != KT_ERR_OK) {
			return err;
		}
	}
	return KT_ERR_OK;
}

enum kt_err kt_options_parse(struct kt_option_parser *parser, const struct kt_option *options,
			     size_t count, struct kt_bytes text)
{
	struct table table = {.options = options, .count = count};
	if (count > KT_OPTIONS_MAX) {
		return KT_ERR_INTERNAL;
	}
	parser->line = 0;
	enum kt_err err = set_presets(parser, &table);
	parser->line = parser->lines_before;
	if (err == KT_ERR_OK) {
		err = parse_lines(parser, &table, text);
	}
	if (err != KT_ERR_OK) {
		return err;
	}
	parser->line = 0;
	for (size_t i = 0; i < count; i++) {
		if (options[i].is_required && !table.seen[i]) {
			return kt_option_complain(parser, KT_ERR_MISSING_FIELD,
						  "%s is missing (%s)", options[i].name,
						  options[i].help);
		}
	}
	return KT_ERR_OK;
}

/* --- values --- */

enum kt_err kt_option_set_trust_domain(struct kt_option_parser *parser, const char *value)
{
	size_t len = strlen(value);
	if (!kt_is_trust_domain(value, len)) {
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"trust_domain is not a trust domain (1 to 255 of a-z 0-9 . -)");
	}
	memcpy(kt_option_member(parser), value, len + 1);
	return KT_ERR_OK;
}

static bool is_parent_step(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

/* Absolute, without "..", "//" and "/./" and without a slash at its end, so that paths compare. */
enum kt_err kt_option_set_path(struct kt_option_parser *parser, const char *value)
{
	char *out = kt_option_member(parser);
	size_t out_len = 0;
	if (value[0] != '/') {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "%s is not an absolute path (start it with /)",
					  parser->option->name);
	}
	if (strlen(value) >= KT_PATH_MAX) {
		return kt_option_complain(parser, KT_ERR_RANGE, "%s is longer than %d characters",
					  parser->option->name, KT_PATH_MAX - 1);
	}
	for (const char *part = value; *part != '\0';) {
		part += strspn(part, "/");
		size_t len = strcspn(part, "/");
		if (is_parent_step(part, len)) {
			return kt_option_complain(parser, KT_ERR_INVALID,
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

bool kt_duration_decode(const char *value, int64_t *out)
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
enum kt_err kt_option_set_duration(struct kt_option_parser *parser, const char *value)
{
	int64_t ms = 0;
	if (!kt_duration_decode(value, &ms)) {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "%s is not a duration (write 30s, 10m, 24h, 7d or 0)",
					  parser->option->name);
	}
	if (ms < parser->option->min || ms > parser->option->max) {
		return kt_option_complain(
			parser, KT_ERR_RANGE, "%s is out of range (%lld to %lld seconds)",
			parser->option->name, (long long)(parser->option->min / KT_SECOND_MS),
			(long long)(parser->option->max / KT_SECOND_MS));
	}
	memcpy(kt_option_member(parser), &ms, sizeof(ms));
	return KT_ERR_OK;
}

enum kt_err kt_option_set_count(struct kt_option_parser *parser, const char *value)
{
	int64_t number = 0;
	if (!number_of(value, strlen(value), &number)) {
		return kt_option_complain(parser, KT_ERR_INVALID, "%s is not a number",
					  parser->option->name);
	}
	if (number < parser->option->min || number > parser->option->max) {
		return kt_option_complain(parser, KT_ERR_RANGE, "%s is out of range (%lld to %lld)",
					  parser->option->name, (long long)parser->option->min,
					  (long long)parser->option->max);
	}
	unsigned count = (unsigned)number;
	memcpy(kt_option_member(parser), &count, sizeof(count));
	return KT_ERR_OK;
}

enum kt_err kt_option_choose(struct kt_option_parser *parser, const char *value,
			     const struct kt_choice *choices, int *out)
{
	for (const struct kt_choice *choice = choices; choice->word != NULL; choice++) {
		if (strcmp(value, choice->word) == 0) {
			*out = choice->value;
			return KT_ERR_OK;
		}
	}
	*out = 0;
	return kt_option_complain(parser, KT_ERR_INVALID, "%s cannot be that (%s)",
				  parser->option->name, parser->option->help);
}

enum kt_err kt_option_set_host_port(struct kt_option_parser *parser, const char *value)
{
	const char *colon = strrchr(value, ':');
	int64_t port = 0;
	if (colon == NULL || colon == value || strpbrk(value, " \t/") != NULL ||
	    !number_of(colon + 1, strlen(colon + 1), &port) || port < 1 || port > UINT16_MAX) {
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "%s is not host:port (broker.example.org:8883)",
					  parser->option->name);
	}
	if (strlen(value) > HOST_PORT_MAX) {
		return kt_option_complain(parser, KT_ERR_RANGE, "%s is longer than %d characters",
					  parser->option->name, HOST_PORT_MAX);
	}
	memcpy(kt_option_member(parser), value, strlen(value) + 1);
	return KT_ERR_OK;
}

bool kt_option_next_word(const char **rest, char *out, size_t cap)
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

/* --- the one read --- */

static const char *errno_text(void)
{
	const char *text = strerrordesc_np(errno);
	return text != NULL ? text : "unknown error";
}

/* Whoever can write this file names operators and key files: nobody but root and we. */
static enum kt_err check_file(struct kt_option_parser *parser, int fd, size_t *size)
{
	struct stat st;
	if (fstat(fd, &st) != 0) {
		return kt_option_complain(parser, KT_ERR_SYS, "cannot be read: %s", errno_text());
	}
	if (!S_ISREG(st.st_mode)) {
		return kt_option_complain(parser, KT_ERR_INVALID, "is not a regular file");
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		return kt_option_complain(parser, KT_ERR_INSECURE,
					  "can be written by others (chmod go-w it)");
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		return kt_option_complain(parser, KT_ERR_INSECURE,
					  "belongs neither to root nor to our own user (chown it)");
	}
	if (st.st_size > FILE_MAX) {
		return kt_option_complain(parser, KT_ERR_RANGE, "is larger than %d KiB",
					  FILE_MAX / 1024);
	}
	*size = (size_t)st.st_size;
	return KT_ERR_OK;
}

static enum kt_err read_all(struct kt_option_parser *parser, int fd, char *text, size_t cap,
			    size_t *len)
{
	*len = 0;
	while (*len < cap) {
		ssize_t n = read(fd, text + *len, cap - *len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return kt_option_complain(parser, KT_ERR_SYS, "cannot be read: %s",
						  errno_text());
		}
		if (n == 0) {
			break;
		}
		*len += (size_t)n;
	}
	return KT_ERR_OK;
}

enum kt_err kt_option_file_read(struct kt_option_parser *parser, char **text, size_t *len)
{
	enum kt_err err = KT_ERR_INTERNAL;
	char *buf = NULL;
	size_t size = 0;

	*text = NULL;
	*len = 0;
	parser->line = 0;
	int fd = open(parser->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return kt_option_complain(parser, KT_ERR_SYS, "cannot be opened: %s", errno_text());
	}
	err = check_file(parser, fd, &size);
	if (err != KT_ERR_OK) {
		goto out;
	}
	buf = malloc(size + 1);
	if (buf == NULL) {
		err = kt_option_complain(parser, KT_ERR_NOMEM, "out of memory");
		goto out;
	}
	err = read_all(parser, fd, buf, size, len);
	if (err != KT_ERR_OK) {
		goto out;
	}
	*text = buf;
	buf = NULL; /* moved */
out:
	free(buf);
	(void)close(fd);
	return err;
}
