#include "broker_conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
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

static enum kt_err __attribute__((format(printf, 2, 3)))
refuse(struct reading *r, const char *format, ...)
{
	int n = snprintf(r->why, WHY_MAX, "%s:%u: ", r->file, r->line);
	if (n < 0 || n >= WHY_MAX) {
		n = 0; /* a path that long leaves no room for the sentence: drop it */
	}
	va_list args;
	va_start(args, format);
	int rest = vsnprintf(r->why + n, (size_t)(WHY_MAX - n), format, args);
	va_end(args);
	if (rest < 0) {
		r->why[n] = '\0';
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
	return refuse(r, "%s true: %s (remove the line)", name, opens);
}

static enum kt_err on_identity_as_username(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "the broker then lets in every certificate of its CA and never asks "
			      "the plugin");
}

static enum kt_err on_username_as_clientid(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "the user name of a stranger would become his client id");
}

static enum kt_err on_per_listener_settings(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest,
			      "clients of other listeners would pass the plugin by, and on 2.0 its "
			      "timers may never run");
}

static enum kt_err on_date_checks(struct reading *r, const char *name, char *rest)
{
	return refuse_if_true(r, name, rest, "certificates past their end would be let in");
}

static enum kt_err on_memory_limit(struct reading *r, const char *name, char *rest)
{
	return refuse(r,
		      "%s %.40s: a broker of the 2.0 series counts a plugin's memory wrongly and "
		      "stops serving (remove the line, limit the service's memory instead)",
		      name, rest_of_line(rest));
}

static enum kt_err on_protocol(struct reading *r, const char *name, char *rest)
{
	const char *word = next_word(&rest);
	if (word == NULL || strcmp(word, "websockets") != 0) {
		return KT_ERR_OK;
	}
	return refuse(r,
		      "%s websockets: the plugin cannot see client certificates there (put web "
		      "clients on a broker of their own, bridged to this one)",
		      name);
}

static enum kt_err on_listener(struct reading *r, const char *name, char *rest)
{
	(void)name;
	if (rest_of_line(rest)[0] == '\0') {
		return KT_ERR_OK;
	}
	if (r->listener_count == LISTENERS_MAX) {
		return refuse(r, "listener: more than %d of them cannot be checked",
			      LISTENERS_MAX - 1);
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
		return refuse(r, "%s: Keyturn is loaded twice (keep one line)", name);
	}
	if (ours && strcmp(name, "plugin_load") == 0) {
		return refuse(
			r,
			"%s: Keyturn would see the clients of some listeners only (load it by "
			"a line \"plugin %s\")",
			name, path);
	}
	if (!ours && !r->has_ours) {
		return refuse(
			r,
			"%s: this plugin is asked before Keyturn and could let a device's id in "
			"(move Keyturn's plugin line before it)",
			name);
	}
	r->has_ours = true;
	r->out->has_plugin_after = r->out->has_plugin_after || !ours;
	return KT_ERR_OK;
}

static enum kt_err on_noted(struct reading *r, const char *name, char *rest)
{
	if (strcmp(name, "check_retain_source") == 0) {
		r->out->checks_retain_source = is_true(rest);
	} else if (strcmp(name, "set_tcp_nodelay") == 0) {
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
	{{"memory_limit", NULL}, on_memory_limit},
	{{"protocol", NULL}, on_protocol},
	{{"listener", NULL}, on_listener},
	{{"cafile", "capath", NULL}, on_listener_file},
	{{"certfile", "keyfile", NULL}, on_listener_file},
	{{"require_certificate", NULL}, on_require_certificate},
	{{"plugin", "auth_plugin", "global_plugin", NULL}, on_plugin},
	{{"plugin_load", NULL}, on_plugin},
	{{"check_retain_source", "set_tcp_nodelay", "max_packet_size", NULL}, on_noted},
	{{"crlfile", "acl_file", NULL}, on_noted},
};

/* --- files --- */

typedef enum kt_err line_reader(struct reading *r, char *line);

static enum kt_err read_lines(struct reading *r, const char *path, line_reader *on_line);
static enum kt_err read_setting(struct reading *r, char *line);

/* The broker's order: letters without regard to case first, then with. */
static int compare_paths(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;
	const char *s1 = *left;
	const char *s2 = *right;
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

struct listing {
	char **paths;
	size_t count;
	size_t cap;
};

static void listing_clear(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		free(listing->paths[i]);
	}
	free(listing->paths);
	*listing = (struct listing){.paths = NULL};
}

static enum kt_err listing_add(struct listing *listing, const char *dir, const char *name)
{
	if (listing->count == listing->cap) {
		size_t cap = listing->cap == 0 ? 16 : listing->cap * 2;
		char **paths = reallocarray(listing->paths, cap, sizeof(*paths));
		if (paths == NULL) {
			return KT_ERR_NOMEM;
		}
		listing->paths = paths;
		listing->cap = cap;
	}
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		return KT_ERR_NOMEM;
	}
	listing->paths[listing->count++] = path;
	return KT_ERR_OK;
}

static bool ends_in_conf(const char *name)
{
	size_t len = strlen(name);
	return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static enum kt_err list_dir(struct reading *r, const char *dir, struct listing *out)
{
	enum kt_err err = KT_ERR_OK;
	DIR *handle = opendir(dir);
	if (handle == NULL) {
		int saved = errno;
		(void)refuse(r, "include_dir: cannot be read: %s", errno_text());
		errno = saved;
		return KT_ERR_SYS;
	}
	for (;;) {
		const struct dirent *entry = readdir(handle);
		if (entry == NULL) {
			break;
		}
		if (ends_in_conf(entry->d_name)) {
			err = listing_add(out, dir, entry->d_name);
		}
		if (err != KT_ERR_OK) {
			break;
		}
	}
	(void)closedir(handle);
	if (out->count > 0) {
		qsort(out->paths, out->count, sizeof(out->paths[0]), compare_paths);
	}
	return err;
}

/* Followed from the main file alone; a file in it begins with the default listener again. */
static enum kt_err include_dir(struct reading *r, const char *dir)
{
	struct listing listing = {.paths = NULL};
	const char *file = r->file;
	unsigned line = r->line;
	size_t listener = r->current;
	enum kt_err err = list_dir(r, dir, &listing);
	for (size_t i = 0; err == KT_ERR_OK && i < listing.count; i++) {
		r->current = 0;
		err = read_lines(r, listing.paths[i], read_setting);
	}
	r->file = file;
	r->line = line;
	r->current = listener;
	listing_clear(&listing);
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
		return refuse(r, "a line that is too long or has a NUL byte cannot be checked");
	}
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
		line[--len] = '\0';
	}
	return line[0] == '#' ? KT_ERR_OK : on_line(r, line);
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
	if (err == KT_ERR_OK && ferror(file)) {
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
		return refuse(r, "plugin: no line of this file loads Keyturn (is it the file that "
				 "the broker reads? set mosquitto_conf)");
	}
	if (!r->out->has_certificate_listener) {
		return refuse(r, "require_certificate: no listener with certfile and keyfile asks "
				 "for certificates, so no device can come in (set it true there)");
	}
	return KT_ERR_OK;
}

static void warn_missing(struct reading *r, const char *path)
{
	if (!r->out->checks_retain_source) {
		warn_whole(r, path,
			   "check_retain_source true is missing: retained messages of a revoked "
			   "device go on being delivered");
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
