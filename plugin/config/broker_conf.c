#include "broker_conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lines are taken apart as the broker's own reader does: a comment only where # is the first
 * character, blanks (not tabs) between words, names and words case-sensitive. What the broker would
 * not start with is not judged here.
 */
enum { WHY_MAX = 512, LISTENERS_MAX = 128, LINE_MAX_LEN = 65536, NAME_MAX_LEN = 1024 };

struct listener {
	bool requires_certificate;
	bool has_certfile;
	bool has_keyfile;
	bool has_ca;
	char where[NAME_MAX_LEN]; /* file:line of its require_certificate */
};

struct reading {
	struct kt_broker_conf *out;
	const char *plugin_path;
	kt_broker_conf_warn *warn;
	void *warn_ctx;
	char *why;
	const char *file; /* of the line in hand */
	unsigned line;
	bool has_ours;
	bool has_max_packet_size;
	struct listener listeners[LISTENERS_MAX]; /* 0: the default one */
	size_t listener_count;
	size_t current; /* of the file in hand */
};

static const char *errno_text(void)
{
	const char *text = strerrordesc_np(errno);
	return text != NULL ? text : "unknown error";
}

/* "file:line: setting value: sentence" */
static enum kt_err refuse(struct reading *r, const char *name, const char *value,
			  const char *sentence)
{
	const char *blank = value[0] != '\0' ? " " : "";
	if (snprintf(r->why, WHY_MAX, "%s:%u: %s%s%.40s: %s", r->file, r->line, name, blank, value,
		     sentence) < 0) {
		r->why[0] = '\0';
	}
	return KT_ERR_DENIED;
}

/* A sentence about the file as a whole. */
static void warn_whole(struct reading *r, const char *path, const char *sentence)
{
	char text[WHY_MAX];
	if (snprintf(text, sizeof(text), "%s: %s", path, sentence) > 0) {
		r->warn(r->warn_ctx, text);
	}
}

/* --- words --- */

/* The next blank-separated word; NULL: none left. Cuts @rest in place. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " ");
	if (word[0] == '\0') {
		*rest = word;
		return NULL;
	}
	size_t len = strcspn(word, " ");
	*rest = word[len] != '\0' ? word + len + 1 : word + len;
	word[len] = '\0';
	return word;
}

/* The rest of the line, blanks at both ends removed. */
static char *rest_of_line(char *rest)
{
	while (isspace((unsigned char)rest[0])) {
		rest++;
	}
	size_t len = strlen(rest);
	while (len > 0 && isspace((unsigned char)rest[len - 1])) {
		len--;
	}
	rest[len] = '\0';
	return rest;
}

static bool is_true(char *rest)
{
	const char *word = next_word(&rest);
	return word != NULL && (strcmp(word, "true") == 0 || strcmp(word, "1") == 0);
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(name, *names) == 0) {
			return true;
		}
	}
	return false;
}

/* --- settings --- */

static struct listener *current(struct reading *r)
{
	return &r->listeners[r->current];
}

static enum kt_err refuse_if_true(struct reading *r, const char *name, char *rest,
				  const char *opens)
{
	if (!is_true(rest)) {
		return KT_ERR_OK;
	}
	return refuse(r, name, "true", opens);
}

static enum kt_err on_identity_as_username(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "the broker then lets in every certificate of its CA and never asks "
			      "the plugin (remove the line)");
}

static enum kt_err on_username_as_clientid(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(
		r, name, rest,
		"the user name of a stranger would become his client id (remove the line)");
}

static enum kt_err on_per_listener_settings(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "clients of other listeners would pass the plugin by, and on 2.0 its "
			      "timers may never run (remove the line)");
}

static enum kt_err on_date_checks(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "certificates past their end would be let in (remove the line)");
}

/* A header of the PROXY protocol may name any address, that of the operators' socket as well. */
static enum kt_err on_proxy_protocol(struct reading *r, const char *name, char *rest)
{
	return refuse(r, name, rest_of_line(rest),
		      "whoever reaches that listener says what his address is, and the operators' "
		      "socket is known by it (remove the line)");
}

static enum kt_err on_memory_limit(struct reading *r, const char *name, char *rest)
{
	return refuse(r, name, rest_of_line(rest),
		      "a broker of the 2.0 series counts a plugin's memory wrongly and stops "
		      "serving (remove the line, limit the service's memory instead)");
}

/* Who published it is asked for at each delivery: without that a revoke cannot reach it. */
static enum kt_err on_retain_source(struct reading *r, const char *name, char *rest)
{
	r->out->checks_retain_source = is_true(rest);
	if (r->out->checks_retain_source) {
		return KT_ERR_OK;
	}
	return refuse(r, name, "false",
		      "retained messages of a revoked device would go on being delivered (write "
		      "true)");
}

static enum kt_err on_protocol(struct reading *r, const char *name, char *rest)
{
	const char *word = next_word(&rest);
	if (word == NULL || strcmp(word, "websockets") != 0) {
		return KT_ERR_OK;
	}
	return refuse(r, name, word,
		      "the plugin cannot see client certificates there (put web clients on a "
		      "broker of their own, bridged to this one)");
}

static enum kt_err on_listener(struct reading *r, const char *name, char *rest)
{
	if (rest_of_line(rest)[0] == '\0') {
		return KT_ERR_OK;
	}
	if (r->listener_count == LISTENERS_MAX) {
		return refuse(r, name, "", "there are too many listeners to check them all");
	}
	r->current = r->listener_count++;
	return KT_ERR_OK;
}

static enum kt_err on_listener_file(struct reading *r, const char *name, char *rest)
{
	struct listener *listener = current(r);
	if (rest_of_line(rest)[0] == '\0') {
		return KT_ERR_OK;
	}
	if (strcmp(name, "certfile") == 0) {
		listener->has_certfile = true;
	} else if (strcmp(name, "keyfile") == 0) {
		listener->has_keyfile = true;
	} else {
		listener->has_ca = true;
	}
	return KT_ERR_OK;
}

static enum kt_err on_require_certificate(struct reading *r, const char *name, char *rest)
{
	struct listener *listener = current(r);
	(void)name;
	listener->requires_certificate = is_true(rest);
	if (snprintf(listener->where, sizeof(listener->where), "%s:%u", r->file, r->line) < 0) {
		listener->where[0] = '\0';
	}
	return KT_ERR_OK;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

static bool is_same_file(const char *a, const char *b)
{
	char *real_a = realpath(a, NULL);
	char *real_b = realpath(b, NULL);
	bool same = real_a != NULL && real_b != NULL && strcmp(real_a, real_b) == 0;
	free(real_a);
	free(real_b);
	return same;
}

static bool is_ours(const struct reading *r, const char *path)
{
	if (strcmp(base_name(path), "mosquitto_keyturn.so") == 0) {
		return true;
	}
	return r->plugin_path != NULL &&
	       (strcmp(path, r->plugin_path) == 0 || is_same_file(path, r->plugin_path));
}

static enum kt_err on_plugin(struct reading *r, const char *name, char *rest)
{
	const char *path = rest_of_line(rest);
	if (strcmp(name, "plugin_load") == 0) { /* 2.1: NAME PATH */
		next_word(&rest);
		path = rest_of_line(rest);
	}
	bool ours = is_ours(r, path);
	if (ours && r->has_ours) {
		return refuse(r, name, "", "Keyturn is loaded twice (keep one line)");
	}
	if (ours && strcmp(name, "plugin_load") == 0) {
		return refuse(r, name, "",
			      "Keyturn would see the clients of some listeners only (load it by a "
			      "plugin line)");
	}
	if (!ours && !r->has_ours) {
		return refuse(r, name, "",
			      "this plugin is asked before Keyturn and could let a device's id in "
			      "(move Keyturn's plugin line before it)");
	}
	r->has_ours = true;
	r->out->has_plugin_after = r->out->has_plugin_after || !ours;
	return KT_ERR_OK;
}

static enum kt_err on_noted(struct reading *r, const char *name, char *rest)
{
	if (strcmp(name, "set_tcp_nodelay") == 0) {
		r->out->sets_tcp_nodelay = is_true(rest);
	} else if (strcmp(name, "max_packet_size") == 0) {
		r->has_max_packet_size = true;
	} else if (strcmp(name, "crlfile") == 0) {
		r->out->has_crlfile = true;
	} else {
		r->out->has_acl_file = true;
	}
	return KT_ERR_OK;
}

static const struct setting {
	const char *names[4];
	enum kt_err (*on)(struct reading *r, const char *name, char *rest);
} settings[] = {
	{{"use_identity_as_username", "use_subject_as_username", NULL}, on_identity_as_username},
	{{"use_username_as_clientid", NULL}, on_username_as_clientid},
	{{"per_listener_settings", NULL}, on_per_listener_settings},
	{{"disable_client_cert_date_checks", NULL}, on_date_checks},
	{{"enable_proxy_protocol", NULL}, on_proxy_protocol},
	{{"memory_limit", NULL}, on_memory_limit},
	{{"check_retain_source", NULL}, on_retain_source},
	{{"protocol", NULL}, on_protocol},
	{{"listener", NULL}, on_listener},
	{{"cafile", "capath", NULL}, on_listener_file},
	{{"certfile", "keyfile", NULL}, on_listener_file},
	{{"require_certificate", NULL}, on_require_certificate},
	{{"plugin", "auth_plugin", "global_plugin", NULL}, on_plugin},
	{{"plugin_load", NULL}, on_plugin},
	{{"set_tcp_nodelay", "max_packet_size", NULL}, on_noted},
	{{"crlfile", "acl_file", NULL}, on_noted},
};

/* --- files --- */

typedef enum kt_err line_reader(struct reading *r, char *line);

static enum kt_err read_lines(struct reading *r, const char *path, line_reader *on_line);
static enum kt_err read_setting(struct reading *r, char *line);

/* The broker's order: letters without regard to case first, then with. */
static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	const char *s1 = (*a)->d_name;
	const char *s2 = (*b)->d_name;
	for (; *s1 != '\0' && *s2 != '\0'; s1++, s2++) {
		int folded = (toupper)((unsigned char)*s1) - (toupper)((unsigned char)*s2);
		if (folded != 0) {
			return folded;
		}
		if (*s1 != *s2) {
			return *s1 - *s2;
		}
	}
	return *s1 - *s2;
}

static bool ends_in_conf(const char *name)
{
	size_t len = strlen(name);
	return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static int is_included(const struct dirent *entry)
{
	return ends_in_conf(entry->d_name) ? 1 : 0;
}

static enum kt_err cannot_read(struct reading *r, const char *path)
{
	int saved = errno;
	if (snprintf(r->why, WHY_MAX, "%s: cannot be read: %s", path, errno_text()) < 0) {
		r->why[0] = '\0';
	}
	errno = saved;
	return KT_ERR_SYS;
}

static enum kt_err read_included(struct reading *r, const char *dir, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		return KT_ERR_NOMEM;
	}
	r->current = 0;
	enum kt_err err = read_lines(r, path, read_setting);
	free(path);
	return err;
}

/* Followed from the main file alone; a file in it begins with the default listener again. */
static enum kt_err include_dir(struct reading *r, const char *dir)
{
	struct dirent **entries = NULL;
	const char *file = r->file;
	unsigned line = r->line;
	size_t listener = r->current;
	enum kt_err err = KT_ERR_OK;
	int count = scandir(dir, &entries, is_included, compare_entries);
	if (count < 0) {
		return cannot_read(r, dir);
	}
	for (int i = 0; i < count; i++) {
		if (err == KT_ERR_OK) {
			err = read_included(r, dir, entries[i]->d_name);
		}
		free(entries[i]);
	}
	free(entries);
	r->file = file;
	r->line = line;
	r->current = listener;
	return err;
}

static enum kt_err read_setting(struct reading *r, char *line)
{
	char *rest = line;
	const char *name = next_word(&rest);
	if (name == NULL) {
		return KT_ERR_OK;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (is_one_of(name, settings[i].names)) {
			return settings[i].on(r, name, rest);
		}
	}
	return KT_ERR_OK;
}

/* A line of the file that -c names: the only one whose include_dir the broker follows. */
static enum kt_err read_main_line(struct reading *r, char *line)
{
	static const char include[] = "include_dir ";
	char *rest = line + strspn(line, " ");
	if (strncmp(rest, include, sizeof(include) - 1) != 0) {
		return read_setting(r, line);
	}
	return include_dir(r, rest + sizeof(include) - 1);
}

static enum kt_err read_line(struct reading *r, char *line, size_t len, line_reader *on_line)
{
	if (len > LINE_MAX_LEN || strlen(line) != len) {
		return refuse(r, "a line", "",
			      "too long, or with a NUL byte: it cannot be checked");
	}
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
		line[--len] = '\0';
	}
	return line[0] == '#' ? KT_ERR_OK : on_line(r, line);
}

static enum kt_err read_lines(struct reading *r, const char *path, line_reader *on_line)
{
	enum kt_err err = KT_ERR_OK;
	char *line = NULL;
	size_t cap = 0;

	r->file = path;
	r->line = 0;
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return cannot_read(r, path);
	}
	while (err == KT_ERR_OK) {
		ssize_t len = getline(&line, &cap, file);
		if (len < 0) {
			break;
		}
		r->line++;
		err = read_line(r, line, (size_t)len, on_line);
	}
	if (err == KT_ERR_OK && !feof(file)) { /* or there was no memory for a line */
		err = cannot_read(r, path);
	}
	free(line);
	(void)fclose(file);
	return err;
}

/* --- what only the whole can tell --- */

static enum kt_err judge(struct reading *r, const char *path)
{
	for (size_t i = 0; i < r->listener_count; i++) {
		const struct listener *listener = &r->listeners[i];
		bool is_tls = listener->has_certfile && listener->has_keyfile;
		if (!listener->requires_certificate || !is_tls) {
			continue;
		}
		r->out->has_certificate_listener = true;
		if (!listener->has_ca) {
			warn_whole(
				r, listener->where,
				"require_certificate without a cafile: no certificate can verify");
		}
	}
	r->file = path;
	if (!r->has_ours) {
		return refuse(r, "plugin", "",
			      "no line of this file loads Keyturn (is it the file that the broker "
			      "reads? set mosquitto_conf)");
	}
	if (!r->out->has_certificate_listener) {
		return refuse(r, "require_certificate", "",
			      "no listener with certfile and keyfile asks for certificates, so no "
			      "device can come in (set it true there)");
	}
	return KT_ERR_OK;
}

static void warn_missing(struct reading *r, const char *path)
{
	if (!r->out->checks_retain_source) {
		warn_whole(r, path,
			   "check_retain_source true is missing, and is not the default, whatever "
			   "mosquitto.conf(5) says: retained messages of a revoked device go on "
			   "being delivered");
	}
	if (!r->out->sets_tcp_nodelay) {
		warn_whole(r, path,
			   "set_tcp_nodelay true is missing: each TLS 1.3 connect takes "
			   "40 ms longer");
	}
	if (!r->has_max_packet_size) {
		warn_whole(r, path,
			   "max_packet_size is missing: any client may send 256 MB at once "
			   "(262144 is enough for Keyturn)");
	}
}

enum kt_err kt_broker_conf_check(const char *path, const char *plugin_path,
				 kt_broker_conf_warn *warn, void *warn_ctx,
				 struct kt_broker_conf *out, char why[static 512])
{
	enum kt_err err = KT_ERR_INTERNAL;

	*out = (struct kt_broker_conf){.has_certificate_listener = false};
	why[0] = '\0';
	struct reading *r = calloc(1, sizeof(*r));
	if (r == NULL) {
		return KT_ERR_NOMEM;
	}
	*r = (struct reading){.out = out,
			      .plugin_path = plugin_path,
			      .warn = warn,
			      .warn_ctx = warn_ctx,
			      .why = why,
			      .listener_count = 1};
	err = read_lines(r, path, read_main_line);
	if (err == KT_ERR_OK) {
		err = judge(r, path);
	}
	if (err == KT_ERR_OK) {
		warn_missing(r, path);
	}
	free(r);
	return err;
}
