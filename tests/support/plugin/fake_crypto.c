#include "fake_crypto.h"

#include <stdlib.h>
#include <string.h>

enum kt_err __wrap_kt_cert_decode(const uint8_t *der, size_t len, struct kt_cert *out);

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
	out->fingerprint = kt_fingerprint_of(der, len);
	return KT_ERR_OK;
}

struct kt_bytes fake_cert(const char *text)
{
	return (struct kt_bytes){(const uint8_t *)text, strlen(text)};
}

struct kt_fingerprint fake_fingerprint(const char *text)
{
	return kt_fingerprint_of((const uint8_t *)text, strlen(text));
}
