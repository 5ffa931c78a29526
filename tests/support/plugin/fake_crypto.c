#include "fake_crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kt_err __wrap_kt_cert_decode(const uint8_t *der, size_t len, struct kt_cert *out);
enum kt_err __wrap_kt_chain_verify(struct kt_bytes root, const struct kt_bytes *certs,
				   size_t cert_count, int64_t time_s, enum kt_dates *dates);

/* What stands behind the dates. */
static void read_rest(const char *rest, struct kt_cert *out)
{
	const unsigned long generation = rest[0] == 'g' ? strtoul(rest + 1, NULL, 10) : 0;

	if (generation > 0) {
		out->serial_len = 19;
		out->serial[0] = 0x4b;
		for (size_t i = 0; i < 4; i++)
			out->serial[4 - i] = (uint8_t)(generation >> (8 * i));
	}
	out->is_ca = strstr(rest, "ca") != NULL;
	if (strstr(rest, "es256") != NULL)
		out->key.alg = KT_ALG_ES256;
	if (strstr(rest, "server") != NULL)
		out->eku = KT_EKU_SERVER;
	if (strstr(rest, "client") != NULL)
		out->eku |= KT_EKU_CLIENT;
	rest = strstr(rest, "cn=");
	if (rest != NULL)
		(void)snprintf(out->common_name, sizeof(out->common_name), "%s", rest + 3);
}

enum kt_err __wrap_kt_cert_decode(const uint8_t *der, size_t len, struct kt_cert *out)
{
	char text[1024];
	char *rest;
	char *end;

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(text))
		return KT_ERR_TOO_LONG;
	memcpy(text, der, len);
	text[len] = '\0';
	rest = strchr(text, '|');
	if (rest == NULL || (size_t)(rest - text) > KT_URI_MAX)
		return KT_ERR_INVALID;
	memcpy(out->uri, text, (size_t)(rest - text));
	out->not_before_s = strtoll(rest + 1, &end, 10);
	if (*end != '|')
		return KT_ERR_INVALID;
	out->not_after_s = strtoll(end + 1, &end, 10);
	if (*end == '|')
		read_rest(end + 1, out);
	out->fingerprint = kt_fingerprint_of(der, len);
	memcpy(out->key_id.b, out->fingerprint.b, sizeof(out->key_id.b));
	return KT_ERR_OK;
}

enum kt_err __wrap_kt_chain_verify(struct kt_bytes root, const struct kt_bytes *certs,
				   size_t cert_count, int64_t time_s, enum kt_dates *dates)
{
	*dates = KT_DATES_GOOD;
	(void)time_s;
	if (cert_count != 1 || root.len != strlen("issuer") ||
	    memcmp(root.p, "issuer", root.len) != 0)
		return KT_ERR_VERIFY;
	return memmem(certs[0].p, certs[0].len, "forged", strlen("forged")) == NULL ? KT_ERR_OK
										    : KT_ERR_VERIFY;
}

struct kt_bytes fake_cert(const char *text)
{
	return (struct kt_bytes){(const uint8_t *)text, strlen(text)};
}

struct kt_fingerprint fake_fingerprint(const char *text)
{
	return kt_fingerprint_of((const uint8_t *)text, strlen(text));
}
