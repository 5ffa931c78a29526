#include "types.h"

#include <string.h>
#include <strings.h>

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

static bool is_alnum_ascii(char c)
{
	return is_name_char(c) && c != '.' && c != '_' && c != '-';
}

static bool is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

const char *kt_alg_name(enum kt_alg alg)
{
	return alg == KT_ALG_ES256 ? "ES256" : "none";
}

enum kt_alg kt_alg_from_name(const char *name)
{
	return strcmp(name, "ES256") == 0 ? KT_ALG_ES256 : KT_ALG_NONE;
}

bool kt_fingerprint_eq(const struct kt_fingerprint *a, const struct kt_fingerprint *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool kt_key_id_eq(const struct kt_key_id *a, const struct kt_key_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool kt_nonce_eq(const struct kt_nonce *a, const struct kt_nonce *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool kt_is_name(const char *s, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_name_char(s[i]) && (s[i] == '\0' || strchr(more, s[i]) == NULL))
			return false;
	}
	return len > 0;
}

bool kt_is_device_id(const char *s, size_t len)
{
	if (len > KT_DEVICE_ID_MAX || !kt_is_name(s, len, "") || !is_alnum_ascii(s[0]))
		return false;
	return !is_word(s, len, "op") && !is_word(s, len, "claim");
}

bool kt_device_id_set(struct kt_device_id *out, const char *s, size_t len)
{
	memset(out, 0, sizeof(*out));
	if (!kt_is_device_id(s, len))
		return false;
	memcpy(out->s, s, len);
	return true;
}

bool kt_is_tag(const char *s, size_t len)
{
	return len <= KT_TAG_MAX && kt_is_name(s, len, "");
}

bool kt_is_trust_domain(const char *s, size_t len)
{
	if (len == 0 || len > KT_TRUST_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '.' ||
		      s[i] == '-'))
			return false;
	}
	return true;
}
