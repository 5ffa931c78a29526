#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"
#include "encoding.h"

enum { PEM_LINE = 64, PEM_LABEL_MAX = 32, PEM_FRAME_MAX = PEM_LABEL_MAX + 20 };

/* "-----BEGIN X-----" or END; 0 if the label is too long. */
static size_t frame_of(const char *word, const char *label, char out[static PEM_FRAME_MAX])
{
	int n = snprintf(out, PEM_FRAME_MAX, "-----%s %s-----", word, label);

	return n > 0 && n < PEM_FRAME_MAX ? (size_t)n : 0;
}

/* First line that begins with @frame; NULL if there is none. */
static const uint8_t *find_line(struct kt_bytes text, const char *frame, size_t len)
{
	const uint8_t *at = text.p;
	size_t left = text.len;

	while (left >= len) {
		const uint8_t *hit = memmem(at, left, frame, len);

		if (hit == NULL)
			return NULL;
		if (hit == text.p || hit[-1] == '\n')
			return hit;
		left -= (size_t)(hit + 1 - at);
		at = hit + 1;
	}
	return NULL;
}

/* Base64 text without its line ends (RFC 7468 section 3): KT_ERR_INVALID for anything else. */
static enum kt_err decode_body(struct kt_bytes body, uint8_t *out, size_t cap, size_t *out_len)
{
	enum kt_err err;
	char *text = NULL;
	size_t len = 0;

	if (body.len / 2 > cap) /* even with a line end behind each character */
		return KT_ERR_TOO_LONG;
	text = malloc(body.len + 1);
	if (text == NULL)
		return KT_ERR_NOMEM;
	for (size_t i = 0; i < body.len; i++) {
		char ch = (char)body.p[i];

		if (ch != '\n' && ch != '\r' && ch != ' ' && ch != '\t')
			text[len++] = ch;
	}
	err = len == 0 ? KT_ERR_INVALID : kt_b64_decode(text, len, out, cap, out_len);
	kt_wipe(text, body.len + 1); /* it may have been a private key */
	free(text);
	return err;
}

enum kt_err kt_pem_take(struct kt_bytes *pem, const char *label, uint8_t *out, size_t cap,
			size_t *out_len)
{
	char begin[PEM_FRAME_MAX];
	char end[PEM_FRAME_MAX];
	size_t begin_len = frame_of("BEGIN", label, begin);
	size_t end_len = frame_of("END", label, end);
	struct kt_bytes body;
	const uint8_t *stop;
	const uint8_t *start;

	*out_len = 0;
	if (begin_len == 0 || end_len == 0)
		return KT_ERR_INTERNAL;
	start = find_line(*pem, begin, begin_len);
	if (start == NULL)
		return KT_ERR_NOT_FOUND;
	body.p = start + begin_len;
	body.len = (size_t)(pem->p + pem->len - body.p);
	stop = find_line(body, end, end_len);
	if (stop == NULL)
		return KT_ERR_INVALID;
	body.len = (size_t)(stop - body.p);
	pem->len = (size_t)(pem->p + pem->len - (stop + end_len));
	pem->p = stop + end_len;
	return decode_body(body, out, cap, out_len);
}

size_t kt_pem_len(const char *label, size_t der_len)
{
	size_t base64 = (der_len + 2) / 3 * 4;

	return base64 + (base64 + PEM_LINE - 1) / PEM_LINE + 2 * strlen(label) + 32;
}

enum kt_err kt_pem_put(const char *label, const uint8_t *der, size_t len, char *out, size_t cap)
{
	const size_t line_bytes = (size_t)PEM_LINE / 4 * 3;
	char begin[PEM_FRAME_MAX];
	char end[PEM_FRAME_MAX];
	size_t begin_len = frame_of("BEGIN", label, begin);
	size_t end_len = frame_of("END", label, end);
	size_t at = 0;

	if (begin_len == 0 || end_len == 0)
		return KT_ERR_INTERNAL;
	if (cap <= kt_pem_len(label, len))
		return KT_ERR_TOO_LONG;
	memcpy(out, begin, begin_len);
	at = begin_len;
	out[at++] = '\n';
	while (len > 0) {
		size_t part = len < line_bytes ? len : line_bytes;
		enum kt_err err = kt_b64_encode(der, part, out + at, cap - at);

		if (err != KT_ERR_OK)
			return err;
		at += (part + 2) / 3 * 4;
		out[at++] = '\n';
		der += part;
		len -= part;
	}
	memcpy(out + at, end, end_len);
	at += end_len;
	out[at++] = '\n';
	out[at] = '\0';
	return KT_ERR_OK;
}

enum kt_err kt_pem_certs(const uint8_t *pem, size_t len, struct kt_bytes *out, size_t max,
			 size_t *out_count, uint8_t **storage)
{
	struct kt_bytes rest = {pem, len};
	enum kt_err err = KT_ERR_INTERNAL;
	uint8_t *bytes = NULL;
	size_t used = 0;
	size_t count = 0;

	*out_count = 0;
	*storage = NULL;
	bytes = malloc(max * (size_t)KT_CERT_MAX + 1);
	if (bytes == NULL)
		return KT_ERR_NOMEM;
	for (;;) {
		uint8_t extra[1];
		bool is_full = count == max;
		size_t cert_len = 0;

		err = kt_pem_take(&rest, "CERTIFICATE", is_full ? extra : bytes + used,
				  is_full ? 0 : KT_CERT_MAX, &cert_len);
		if (err == KT_ERR_NOT_FOUND)
			break;
		if (is_full && err != KT_ERR_NOMEM)
			err = KT_ERR_TOO_LONG;
		if (err != KT_ERR_OK)
			goto out;
		out[count].p = bytes + used;
		out[count].len = cert_len;
		used += cert_len;
		count++;
	}
	if (count == 0)
		goto out;
	*out_count = count;
	*storage = bytes;
	bytes = NULL; /* moved */
	err = KT_ERR_OK;
out:
	free(bytes);
	return err;
}

static enum kt_err pem_new(const char *label, const uint8_t *der, size_t len, char **out)
{
	size_t cap = kt_pem_len(label, len) + 1;
	enum kt_err err;
	char *pem;

	*out = NULL;
	pem = malloc(cap);
	if (pem == NULL)
		return KT_ERR_NOMEM;
	err = kt_pem_put(label, der, len, pem, cap);
	if (err != KT_ERR_OK) {
		free(pem);
		return err;
	}
	*out = pem;
	return KT_ERR_OK;
}

enum kt_err kt_pem_from_cert(const uint8_t *der, size_t len, char **out)
{
	return pem_new("CERTIFICATE", der, len, out);
}

enum kt_err kt_pem_from_crl(const uint8_t *der, size_t len, char **out)
{
	return pem_new("X509 CRL", der, len, out);
}
