#include "ticket.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "json.h"
#include "secmem.h"

#define PREFIX_WORD "keyturn-ticket-" /* then the version, then a dot */

enum {
	TICKET_VERSION = 1,
	BODY_MAX = KT_TICKET_MAX /* bytes of the JSON: base64url only makes it longer */
};

/* A name, an IPv4 address or an IPv6 one in brackets; a colon; 1-65535. */
static bool is_broker(const char *s)
{
	const char *colon = strrchr(s, ':');
	uint64_t port = 0;

	if (colon == NULL || colon == s)
		return false;
	if (!kt_is_name(s, (size_t)(colon - s), s[0] == '[' ? "[]:" : ""))
		return false;
	if (s[0] == '[' && (colon[-1] != ']' || colon - s < 4))
		return false;
	return kt_u64_decode(colon + 1, strlen(colon + 1), &port) == KT_ERR_OK && port >= 1 &&
	       port <= UINT16_MAX;
}

/* One of the two kinds, whole. All strings are terminated. */
static bool is_complete(const struct kt_ticket *t)
{
	const bool is_for_device = t->device[0] != '\0';

	if (!is_broker(t->broker) || !kt_is_trust_domain(t->trust_domain, strlen(t->trust_domain)))
		return false;
	if (t->expires_us <= 0)
		return false;
	if (is_for_device)
		return kt_is_device_id(t->device, strlen(t->device)) && t->group[0] == '\0' &&
		       t->pattern[0] == '\0';
	return kt_is_name(t->group, strlen(t->group), "") &&
	       kt_is_name(t->pattern, strlen(t->pattern), "*");
}

static bool is_terminated(const struct kt_ticket *t)
{
	return memchr(t->broker, '\0', sizeof(t->broker)) != NULL &&
	       memchr(t->trust_domain, '\0', sizeof(t->trust_domain)) != NULL &&
	       memchr(t->device, '\0', sizeof(t->device)) != NULL &&
	       memchr(t->group, '\0', sizeof(t->group)) != NULL &&
	       memchr(t->pattern, '\0', sizeof(t->pattern)) != NULL;
}

static void put_ticket(struct kt_json_writer *w, const struct kt_ticket *t)
{
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", TICKET_VERSION);
	kt_json_put_string(w, "broker", t->broker);
	kt_json_put_string(w, "td", t->trust_domain);
	kt_json_put_hex(w, "root", t->root_sha256, sizeof(t->root_sha256));
	if (t->device[0] != '\0') {
		kt_json_put_string(w, "device", t->device);
	} else {
		kt_json_put_string(w, "group", t->group);
		kt_json_put_string(w, "pattern", t->pattern);
	}
	kt_json_put_u64(w, "expires", (uint64_t)t->expires_us);
	kt_json_put_b64url(w, "secret", t->secret, sizeof(t->secret));
	kt_json_close_object(w);
}

enum kt_err kt_ticket_encode(const struct kt_ticket *ticket, char out[static KT_TICKET_MAX])
{
	const size_t prefix_len = strlen(KT_TICKET_PREFIX);
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;

	out[0] = '\0';
	if (!is_terminated(ticket) || !is_complete(ticket))
		return KT_ERR_INVALID;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		goto out;
	put_ticket(w, ticket);
	err = kt_json_writer_take(w, &text, &len);
	if (err != KT_ERR_OK)
		goto out;
	memcpy(out, KT_TICKET_PREFIX, prefix_len);
	err = kt_b64url_encode((const uint8_t *)text, len, out + prefix_len,
			       KT_TICKET_MAX - prefix_len);
	if (err != KT_ERR_OK)
		out[0] = '\0';
out:
	if (text != NULL)
		kt_wipe(text, len);
	free(text);
	kt_json_writer_free(w);
	return err;
}

/* Cuts off what a copy-and-paste leaves around a line. */
static struct kt_bytes trimmed(const char *text)
{
	static const char blanks[] = " \t\r\n";
	size_t len = 0;

	text += strspn(text, blanks);
	len = strlen(text);
	while (len > 0 && strchr(blanks, text[len - 1]) != NULL)
		len--;
	return (struct kt_bytes){(const uint8_t *)text, len};
}

/* Takes the prefix off; tells a ticket of a later version from what is none. */
static enum kt_err strip_prefix(struct kt_bytes *text)
{
	const size_t word_len = strlen(PREFIX_WORD);
	const char *digits = (const char *)text->p + word_len;
	const char *dot = NULL;
	uint64_t version = 0;

	if (text->len <= word_len || memcmp(text->p, PREFIX_WORD, word_len) != 0)
		return KT_ERR_INVALID;
	dot = memchr(digits, '.', text->len - word_len);
	if (dot == NULL || kt_u64_decode(digits, (size_t)(dot - digits), &version) != KT_ERR_OK ||
	    version == 0)
		return KT_ERR_INVALID;
	if (version > TICKET_VERSION)
		return KT_ERR_VERSION;
	text->len -= strlen(KT_TICKET_PREFIX);
	text->p += strlen(KT_TICKET_PREFIX);
	return KT_ERR_OK;
}

static enum kt_err check_version(const struct kt_json_value *root)
{
	const struct kt_json_value *v = kt_json_member(root, "v");

	if (v == NULL || !kt_json_is(v, KT_JSON_NUMBER) || kt_json_value_number(v) < 1)
		return KT_ERR_INVALID;
	return kt_json_value_number(v) > TICKET_VERSION ? KT_ERR_VERSION : KT_ERR_OK;
}

/* Absent is "", which kt_json_check has allowed for optional members only. */
static void copy_string(const struct kt_json_value *root, const char *name, char *out)
{
	const char *text = kt_json_string(root, name);

	if (text != NULL)
		memcpy(out, text, strlen(text) + 1);
}

static enum kt_err read_fields(const struct kt_json_value *root, struct kt_ticket *t)
{
	static const struct kt_json_rule rules[] = {
		{"v", KT_JSON_NUMBER, true, 0},
		{"broker", KT_JSON_STRING, true, KT_BROKER_MAX},
		{"td", KT_JSON_STRING, true, KT_TRUST_DOMAIN_MAX},
		{"root", KT_JSON_STRING, true, KT_HEX_LEN(sizeof(t->root_sha256))},
		{"device", KT_JSON_STRING, false, KT_DEVICE_ID_MAX},
		{"group", KT_JSON_STRING, false, KT_GROUP_MAX},
		{"pattern", KT_JSON_STRING, false, KT_DEVICE_ID_MAX},
		{"expires", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"secret", KT_JSON_STRING, true, KT_B64URL_LEN(KT_TICKET_SECRET_LEN)},
	};
	const char *bad_field = NULL;
	const char *text = NULL;
	uint64_t expires = 0;
	size_t len = 0;

	if (kt_json_check(root, rules, sizeof(rules) / sizeof(rules[0]), &bad_field) != KT_ERR_OK)
		return KT_ERR_INVALID;
	/* One kind or the other: a member of the other kind, even an empty one, is no ticket. */
	if ((kt_json_member(root, "device") != NULL) == (kt_json_member(root, "group") != NULL) ||
	    (kt_json_member(root, "group") != NULL) != (kt_json_member(root, "pattern") != NULL))
		return KT_ERR_INVALID;
	copy_string(root, "broker", t->broker);
	copy_string(root, "td", t->trust_domain);
	copy_string(root, "device", t->device);
	copy_string(root, "group", t->group);
	copy_string(root, "pattern", t->pattern);
	text = kt_json_string(root, "root");
	if (kt_hex_decode(text, strlen(text), t->root_sha256, sizeof(t->root_sha256)) != KT_ERR_OK)
		return KT_ERR_INVALID;
	text = kt_json_string(root, "expires");
	if (kt_u64_decode(text, strlen(text), &expires) != KT_ERR_OK || expires > INT64_MAX)
		return KT_ERR_INVALID;
	t->expires_us = (int64_t)expires;
	text = kt_json_string(root, "secret");
	if (kt_b64url_decode(text, strlen(text), t->secret, sizeof(t->secret), &len) != KT_ERR_OK ||
	    len != sizeof(t->secret))
		return KT_ERR_INVALID;
	return is_complete(t) ? KT_ERR_OK : KT_ERR_INVALID;
}

enum kt_err kt_ticket_decode(const char *text, struct kt_ticket *out)
{
	const struct kt_json_limits limits = {BODY_MAX, 2, 32};
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_bytes encoded = trimmed(text);
	struct kt_json *json = NULL;
	uint8_t body[BODY_MAX];
	size_t body_len = 0;

	memset(out, 0, sizeof(*out));
	memset(body, 0, sizeof(body));
	err = strip_prefix(&encoded);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_b64url_decode((const char *)encoded.p, encoded.len, body, sizeof(body), &body_len);
	if (err != KT_ERR_OK) {
		err = KT_ERR_INVALID;
		goto out;
	}
	err = kt_json_parse(body, body_len, &limits, &json);
	if (err != KT_ERR_OK) {
		err = err == KT_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_INVALID;
		goto out;
	}
	err = check_version(kt_json_root(json));
	if (err != KT_ERR_OK)
		goto out;
	err = read_fields(kt_json_root(json), out);
out:
	if (err != KT_ERR_OK)
		kt_wipe(out, sizeof(*out));
	kt_json_free(json);
	kt_wipe(body, sizeof(body));
	return err;
}

bool kt_ticket_pattern_matches(const char *pattern, const char *device)
{
	const char *star = NULL;   /* the last * seen */
	const char *resume = NULL; /* where its run ends so far */

	while (*device != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = device;
		} else if (*pattern == *device) {
			pattern++;
			device++;
		} else if (star != NULL) {
			/* The run of the last * takes one more; earlier ones need no retry. */
			pattern = star + 1;
			device = ++resume;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}
