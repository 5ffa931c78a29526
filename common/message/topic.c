#include "topic.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SPIFFE_SCHEME "spiffe://"
#define SHARE_PREFIX  "$share/"

enum { FILTER_MAX = 65535 }; /* bytes of an MQTT string */

struct level { /* one level of a topic or filter; text == NULL: there is none */
	const char *text;
	size_t len;
};

void kt_topic_device_cmd(const struct kt_device_id *device, char out[static KT_TOPIC_MAX])
{
	(void)snprintf(out, KT_TOPIC_MAX, KT_TOPIC_DEVICE_PREFIX "%.*s/cmd", KT_DEVICE_ID_MAX,
		       device->s);
}

void kt_client_id_of(const struct kt_device_id *device, const char *tag,
		     char out[static KT_CLIENT_ID_MAX])
{
	(void)snprintf(out, KT_CLIENT_ID_MAX, "%.*s:%.*s", KT_DEVICE_ID_MAX, device->s, KT_TAG_MAX,
		       tag);
}

static bool is_alnum_ascii(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_base64url_char(char c)
{
	return is_alnum_ascii(c) || c == '-' || c == '_';
}

static bool is_claim_random(const char *s)
{
	if (strlen(s) != KT_CLAIM_RANDOM_LEN)
		return false;
	for (size_t i = 0; i < KT_CLAIM_RANDOM_LEN; i++) {
		if (!is_base64url_char(s[i]))
			return false;
	}
	return true;
}

/* What stands before the colon is "op" or "claim" in some case; only lower case is the real one. */
static enum kt_client_kind reserved_kind(const char *client_id, size_t word_len)
{
	const char *rest = client_id + word_len;

	if (*rest != ':')
		return KT_CLIENT_RESERVED;
	rest++;
	if (strncmp(client_id, "claim:", 6) == 0)
		return is_claim_random(rest) ? KT_CLIENT_CLAIM : KT_CLIENT_RESERVED;
	if (strncmp(client_id, "op:", 3) == 0)
		return kt_is_device_id(rest, strlen(rest)) ? KT_CLIENT_OPERATOR
							   : KT_CLIENT_RESERVED;
	return KT_CLIENT_RESERVED;
}

static enum kt_client_kind tag_kind(const char *tag)
{
	if (!kt_is_tag(tag, strlen(tag)))
		return KT_CLIENT_RESERVED;
	if (strcmp(tag, KT_TAG_AGENT) == 0)
		return KT_CLIENT_AGENT;
	return strcmp(tag, KT_TAG_TRIAL) == 0 ? KT_CLIENT_TRIAL : KT_CLIENT_TAGGED;
}

void kt_client_name_decode(const char *client_id, struct kt_client_name *out)
{
	size_t word_len;

	memset(out, 0, sizeof(*out));
	out->kind = KT_CLIENT_OTHER;
	if (client_id == NULL)
		return;
	word_len = strcspn(client_id, ":");
	if ((word_len == 2 && strncasecmp(client_id, "op", 2) == 0) ||
	    (word_len == 5 && strncasecmp(client_id, "claim", 5) == 0)) {
		out->kind = reserved_kind(client_id, word_len);
		return;
	}
	if (!kt_device_id_set(&out->device, client_id, word_len))
		return;
	out->kind =
		client_id[word_len] == '\0' ? KT_CLIENT_DEVICE : tag_kind(client_id + word_len + 1);
}

static bool is_uri_name(const char *s)
{
	if (!is_alnum_ascii(s[0]))
		return false;
	for (; *s != '\0'; s++) {
		if (!is_base64url_char(*s) && *s != '.')
			return false;
	}
	return true;
}

bool kt_uri_is_ours(const char *uri, const char *trust_domain)
{
	const size_t scheme_len = strlen(SPIFFE_SCHEME);
	const size_t td_len = strlen(trust_domain);
	char next;

	/*
	 * Looser than kt_uri_decode on purpose: what only looks like ours must not be handed to
	 * another authenticator. The end of the name is anything that cannot go on one.
	 */
	if (strncasecmp(uri, SPIFFE_SCHEME, scheme_len) != 0 ||
	    strncasecmp(uri + scheme_len, trust_domain, td_len) != 0)
		return false;
	next = uri[scheme_len + td_len];
	return !is_base64url_char(next) && next != '.';
}

enum kt_uri_kind kt_uri_decode(const char *uri, const char *trust_domain, const char **name)
{
	static const struct {
		const char *path;
		enum kt_uri_kind kind;
	} kinds[] = {
		{"/device/", KT_URI_DEVICE},	     {"/claim/", KT_URI_CLAIM},
		{"/operator/", KT_URI_OPERATOR},     {"/broker/", KT_URI_BROKER},
		{"/controller/", KT_URI_CONTROLLER},
	};
	const size_t scheme_len = strlen(SPIFFE_SCHEME);
	const size_t td_len = strlen(trust_domain);
	const char *path;

	*name = "";
	if (strncmp(uri, SPIFFE_SCHEME, scheme_len) != 0 ||
	    strncmp(uri + scheme_len, trust_domain, td_len) != 0)
		return KT_URI_OTHER;
	path = uri + scheme_len + td_len;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const size_t path_len = strlen(kinds[i].path);

		if (strncmp(path, kinds[i].path, path_len) != 0)
			continue;
		if (!is_uri_name(path + path_len))
			return KT_URI_OTHER;
		if (kinds[i].kind == KT_URI_DEVICE &&
		    !kt_is_device_id(path + path_len, strlen(path + path_len)))
			return KT_URI_OTHER;
		*name = path + path_len;
		return kinds[i].kind;
	}
	return KT_URI_OTHER;
}

void kt_uri_device(const char *trust_domain, const char *device, char out[static KT_URI_MAX + 1])
{
	(void)snprintf(out, KT_URI_MAX + 1, SPIFFE_SCHEME "%.*s/device/%.*s", KT_TRUST_DOMAIN_MAX,
		       trust_domain, KT_DEVICE_ID_MAX, device);
}

static struct level level_first(const char *text)
{
	return (struct level){text, strcspn(text, "/")};
}

static struct level level_next(struct level level)
{
	const char *end = level.text + level.len;

	return *end == '/' ? level_first(end + 1) : (struct level){NULL, 0};
}

static bool level_is(struct level level, char wildcard)
{
	return level.len == 1 && level.text[0] == wildcard;
}

/* MQTT 5 section 4.7.1: # is a whole level and the last one, + is a whole level. */
static bool is_filter(const char *filter)
{
	if (filter == NULL || filter[0] == '\0' || strnlen(filter, FILTER_MAX + 1) > FILTER_MAX)
		return false;
	for (struct level l = level_first(filter); l.text != NULL; l = level_next(l)) {
		if (level_is(l, '#'))
			return l.text[1] == '\0';
		if (!level_is(l, '+') && strcspn(l.text, "+#") < l.len)
			return false;
	}
	return true;
}

/* Can @filter match something that "<root>/#" matches too? Both are filters, @root has no wildcard.
 */
static bool overlaps(const char *filter, const char *root)
{
	struct level f = level_first(filter);
	struct level r = level_first(root);

	/* Section 4.7.2: a wildcard in front does not match a topic that begins with $. */
	if (root[0] == '$' && (level_is(f, '#') || level_is(f, '+')))
		return false;
	while (r.text != NULL) {
		if (f.text == NULL)
			return false;
		if (level_is(f, '#'))
			return true;
		if (!level_is(f, '+') && (f.len != r.len || strncmp(f.text, r.text, r.len) != 0))
			return false;
		f = level_next(f);
		r = level_next(r);
	}
	return true;
}

/* NULL if the shared subscription is malformed (section 4.8.2). */
static const char *without_share(const char *filter)
{
	const char *group;
	size_t group_len;

	if (strncmp(filter, "$share", 6) != 0 || (filter[6] != '/' && filter[6] != '\0'))
		return filter;
	if (filter[6] == '\0')
		return NULL;
	group = filter + strlen(SHARE_PREFIX);
	group_len = strcspn(group, "/");
	if (group_len == 0 || strcspn(group, "+#") < group_len || group[group_len] == '\0')
		return NULL;
	filter = group + group_len + 1;
	return strncmp(filter, SHARE_PREFIX, strlen(SHARE_PREFIX)) == 0 ? NULL : filter;
}

bool kt_filter_touches_keyturn(const char *filter)
{
	static const char *const roots[] = {"keyturn", "$CONTROL/keyturn", "$SYS/broker/keyturn"};

	/* The caller refuses what touches us: so a filter that we do not understand does, too. */
	if (filter == NULL)
		return true;
	filter = without_share(filter);
	if (!is_filter(filter))
		return true;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (overlaps(filter, roots[i]))
			return true;
	}
	return false;
}

bool kt_filter_matches(const char *filter, const char *topic)
{
	struct level f;
	struct level t;

	if (!is_filter(filter) || !is_filter(topic))
		return false;
	f = level_first(filter);
	t = level_first(topic);
	if (topic[0] == '$' && (level_is(f, '#') || level_is(f, '+')))
		return false;
	while (f.text != NULL) {
		/* Also where the topic has just ended: "a/#" matches "a". */
		if (level_is(f, '#'))
			return true;
		if (t.text == NULL || level_is(t, '#'))
			break;
		if (!level_is(f, '+') && (f.len != t.len || strncmp(f.text, t.text, t.len) != 0))
			return false;
		f = level_next(f);
		t = level_next(t);
	}
	return f.text == NULL && t.text == NULL;
}
