#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"

enum { KEY_ID_LEN = 20, TBS_MAX = 1536 };

enum kt_err kt_issuer_new(struct kt_crypto *c, const uint8_t *cert_der, size_t len,
			  struct kt_key *key, struct kt_issuer **out)
{
	struct kt_bytes der = {cert_der, len};
	struct kt_cert_parts cert;
	struct kt_issuer *issuer;
	enum kt_err err;

	(void)c;
	*out = NULL;
	err = kt_cert_take_apart(der, &cert);
	if (err != KT_ERR_OK)
		return err;
	/* Without a subject key id our leaves would lack theirs of the issuer (RFC 5280 4.2.1.1).
	 */
	if (!kt_cert_is_issuer(&cert) || cert.extensions.key_id.len == 0 ||
	    cert.extensions.key_id.len > sizeof(issuer->key_id))
		return KT_ERR_VERIFY;
	if (cert.key.spki_len != kt_key_public(key)->spki_len ||
	    memcmp(cert.key.spki, kt_key_public(key)->spki, cert.key.spki_len) != 0)
		return KT_ERR_VERIFY;
	issuer = calloc(1, sizeof(*issuer) + cert.subject.len);
	if (issuer == NULL)
		return KT_ERR_NOMEM;
	issuer->key = key; /* moved */
	issuer->not_before_s = cert.not_before_s;
	issuer->subject_len = cert.subject.len;
	memcpy(issuer->subject, cert.subject.p, cert.subject.len);
	issuer->key_id_len = cert.extensions.key_id.len;
	memcpy(issuer->key_id, cert.extensions.key_id.p, cert.extensions.key_id.len);
	*out = issuer;
	return KT_ERR_OK;
}

void kt_issuer_free(struct kt_issuer *issuer)
{
	if (issuer == NULL)
		return;
	kt_key_free(issuer->key);
	free(issuer);
}

void kt_issuer_put_key_id(struct kt_der_writer *w, const struct kt_issuer *issuer)
{
	uint8_t buffer[64];
	struct kt_der_writer value = kt_der_writer_of(buffer, sizeof(buffer));
	size_t mark = kt_der_open(&value, KT_DER_SEQUENCE);

	kt_der_put(&value, KT_DER_CONTEXT, issuer->key_id, issuer->key_id_len);
	kt_der_close(&value, mark);
	kt_extension_put_ce(w, 0x23, false, &value);
}

static void put_key_ids(struct kt_der_writer *w, const struct kt_issuer *issuer,
			const struct kt_public_key *key)
{
	uint8_t buffer[64];
	uint8_t hash[32];
	struct kt_der_writer value = kt_der_writer_of(buffer, sizeof(buffer));

	/* RFC 7093 section 2 method 1: the left 160 bits of SHA-256 over the key's bits. */
	kt_sha256(kt_public_key_point(key), KT_POINT_LEN, hash);
	kt_der_put(&value, KT_DER_OCTET_STRING, hash, KEY_ID_LEN);
	kt_extension_put_ce(w, 0x0e, false, &value);
	kt_issuer_put_key_id(w, issuer);
}

static void put_extensions(struct kt_der_writer *w, const struct kt_issuer *issuer,
			   const struct kt_leaf_request *request)
{
	static const uint8_t digital_signature[] = {0x03, 0x02, 0x07, 0x80};
	static const uint8_t client_auth[] = {0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06,
					      0x01, 0x05, 0x05, 0x07, 0x03, 0x02};
	char uri[KT_URI_MAX + 1];
	uint8_t buffer[KT_URI_MAX + 16];
	struct kt_der_writer value;
	size_t list_outer = kt_der_open(w, KT_DER_EXPLICIT + 3);
	size_t list = kt_der_open(w, KT_DER_SEQUENCE);
	size_t mark;
	int n = snprintf(uri, sizeof(uri), "spiffe://%s/device/%s", request->trust_domain,
			 request->device);

	w->bad |= n < 0 || (size_t)n >= sizeof(uri);
	value = kt_der_writer_of(buffer, sizeof(buffer));
	mark = kt_der_open(&value, KT_DER_SEQUENCE);
	kt_der_close(&value, mark);
	kt_extension_put_ce(w, 0x13, true, &value); /* basic constraints: CA:FALSE is the default */
	value = kt_der_writer_of(buffer, sizeof(buffer));
	kt_der_put_raw(&value, digital_signature, sizeof(digital_signature));
	kt_extension_put_ce(w, 0x0f, true, &value);
	value = kt_der_writer_of(buffer, sizeof(buffer));
	kt_der_put_raw(&value, client_auth, sizeof(client_auth));
	kt_extension_put_ce(w, 0x25, false, &value);
	put_key_ids(w, issuer, request->key);
	value = kt_der_writer_of(buffer, sizeof(buffer));
	mark = kt_der_open(&value, KT_DER_SEQUENCE);
	kt_der_put(&value, KT_DER_CONTEXT + 6, uri, strlen(uri));
	kt_der_close(&value, mark);
	kt_extension_put_ce(w, 0x11, false, &value);
	kt_der_close(w, list);
	kt_der_close(w, list_outer);
}

static void put_tbs(struct kt_der_writer *w, const struct kt_issuer *issuer,
		    const struct kt_leaf_request *request,
		    const uint8_t serial[static KT_SERIAL_LEN])
{
	static const uint8_t version_3 = 2;
	size_t tbs = kt_der_open(w, KT_DER_SEQUENCE);
	size_t mark = kt_der_open(w, KT_DER_EXPLICIT);

	kt_der_put_unsigned(w, &version_3, 1);
	kt_der_close(w, mark);
	kt_der_put_unsigned(w, serial, KT_SERIAL_LEN);
	kt_der_put_es256(w);
	kt_der_put_raw(w, issuer->subject, issuer->subject_len);
	mark = kt_der_open(w, KT_DER_SEQUENCE);
	kt_der_put_time(w, issuer->not_before_s);
	kt_der_put_time(w, request->not_after_s);
	kt_der_close(w, mark);
	kt_name_put(w, request->device);
	kt_der_put_raw(w, request->key->spki, request->key->spki_len);
	put_extensions(w, issuer, request);
	kt_der_close(w, tbs);
}

/* Reads back what was made, as a stranger would. */
static enum kt_err check_leaf(struct kt_bytes der, const struct kt_issuer *issuer,
			      const struct kt_leaf_request *request)
{
	struct kt_cert_parts cert;
	enum kt_err err = kt_cert_take_apart(der, &cert);

	if (err != KT_ERR_OK)
		return err == KT_ERR_NOMEM ? err : KT_ERR_INTERNAL;
	if (strcmp(cert.common_name, request->device) != 0 || cert.extensions.is_ca ||
	    cert.extensions.uri_count != 1 || cert.not_after_s != request->not_after_s ||
	    cert.key.spki_len != request->key->spki_len ||
	    memcmp(cert.key.spki, request->key->spki, cert.key.spki_len) != 0)
		return KT_ERR_INTERNAL;
	return kt_signed_verify(&cert.signature, kt_key_public(issuer->key));
}

enum kt_err kt_leaf_issue(struct kt_crypto *c, const struct kt_issuer *issuer,
			  const struct kt_leaf_request *request, uint8_t out[static KT_CERT_MAX],
			  size_t *out_len)
{
	uint8_t serial[KT_SERIAL_LEN];
	uint8_t tbs[TBS_MAX];
	struct kt_der_writer w = kt_der_writer_of(tbs, sizeof(tbs));
	struct kt_bytes body = {tbs, 0};
	struct kt_bytes made = {out, 0};
	enum kt_err err;

	*out_len = 0;
	if (!kt_is_device_id(request->device, strlen(request->device)) ||
	    !kt_is_trust_domain(request->trust_domain, strlen(request->trust_domain)) ||
	    request->key->alg != KT_ALG_ES256)
		return KT_ERR_INVALID;
	if (request->generation == 0 || request->not_after_s < issuer->not_before_s ||
	    request->not_after_s > KT_CERT_NO_END)
		return KT_ERR_RANGE;
	serial[0] = 0x4b;
	for (size_t i = 0; i < 4; i++)
		serial[1 + i] = (uint8_t)(request->generation >> (24 - 8 * i));
	err = kt_random(c, serial + 5, sizeof(serial) - 5);
	if (err != KT_ERR_OK)
		return err;
	put_tbs(&w, issuer, request, serial);
	if (w.bad)
		return KT_ERR_TOO_LONG;
	body.len = w.len;
	err = kt_signed_encode(c, issuer->key, body, out, &made.len);
	if (err != KT_ERR_OK)
		return err;
	err = check_leaf(made, issuer, request);
	if (err != KT_ERR_OK)
		return err;
	*out_len = made.len;
	return KT_ERR_OK;
}
