#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"
#include "encoding.h"

/* PKCS #9 attributes (RFC 2985 sections 5.4.1 and 5.4.2). */
static const uint8_t oid_challenge_password[] = {0x2a, 0x86, 0x48, 0x86, 0xf7,
						 0x0d, 0x01, 0x09, 0x07};
static const uint8_t oid_extension_request[] = {0x2a, 0x86, 0x48, 0x86, 0xf7,
						0x0d, 0x01, 0x09, 0x0e};

static void put_info(struct kt_der_writer *w, const struct kt_public_key *key,
		     const char *common_name, const char *challenge)
{
	static const uint8_t version_1 = 0;
	size_t info = kt_der_open(w, KT_DER_SEQUENCE);
	size_t attributes;

	kt_der_put_unsigned(w, &version_1, 1);
	kt_name_put(w, common_name);
	kt_der_put_raw(w, key->spki, key->spki_len);
	attributes = kt_der_open(w, KT_DER_EXPLICIT);
	if (challenge[0] != '\0') {
		size_t attribute = kt_der_open(w, KT_DER_SEQUENCE);
		size_t values;

		kt_der_put(w, KT_DER_OID, oid_challenge_password, sizeof(oid_challenge_password));
		values = kt_der_open(w, KT_DER_SET);
		kt_der_put(w, KT_DER_UTF8_STRING, challenge, strlen(challenge));
		kt_der_close(w, values);
		kt_der_close(w, attribute);
	}
	kt_der_close(w, attributes);
	kt_der_close(w, info);
}

enum kt_err kt_csr_new(struct kt_crypto *c, const struct kt_key *key, const char *common_name,
		       const char *challenge, uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	uint8_t info[512];
	struct kt_der_writer w = kt_der_writer_of(info, sizeof(info));
	struct kt_bytes body = {info, 0};

	*out_len = 0;
	if (common_name[0] == '\0')
		return KT_ERR_INVALID;
	if (strlen(common_name) > KT_DEVICE_ID_MAX || strlen(challenge) > KT_DEVICE_ID_MAX)
		return KT_ERR_TOO_LONG;
	put_info(&w, kt_key_public(key), common_name, challenge);
	if (w.bad)
		return KT_ERR_TOO_LONG;
	body.len = w.len;
	return kt_signed_encode(c, key, body, out, out_len);
}

/* --- reading --- */

static void read_challenge(struct kt_der *values, struct kt_csr *out)
{
	unsigned tag = 0;
	struct kt_bytes text = kt_der_take_any(values, &tag);

	if ((tag != KT_DER_UTF8_STRING && tag != KT_DER_PRINTABLE_STRING &&
	     tag != KT_DER_IA5_STRING) ||
	    text.len == 0 || text.len > KT_DEVICE_ID_MAX || memchr(text.p, 0, text.len) != NULL) {
		kt_der_fail(values);
		return;
	}
	memcpy(out->challenge_password, text.p, text.len);
}

/* Attributes, each at most once; one that we do not know is refused. */
static void read_attributes(struct kt_der *d, struct kt_csr *out, struct kt_extensions *asked)
{
	struct kt_der list = kt_der_enter(d, KT_DER_EXPLICIT);
	bool has_challenge = false;
	bool has_request = false;

	while (kt_der_has_more(&list)) {
		struct kt_der attribute = kt_der_enter(&list, KT_DER_SEQUENCE);
		struct kt_bytes oid = kt_der_take(&attribute, KT_DER_OID);
		struct kt_der values = kt_der_enter(&attribute, KT_DER_SET);

		if (!has_challenge &&
		    kt_bytes_are(oid, oid_challenge_password, sizeof(oid_challenge_password))) {
			has_challenge = true;
			read_challenge(&values, out);
		} else if (!has_request && kt_bytes_are(oid, oid_extension_request,
							sizeof(oid_extension_request))) {
			has_request = true;
			kt_extensions_take(&values, asked);
		} else {
			kt_der_fail(&list);
		}
		if (!kt_der_is_done(&attribute) || !kt_der_is_done(&values))
			kt_der_fail(&list);
	}
	if (!kt_der_is_done(&list))
		kt_der_fail(d);
}

static enum kt_err refuse(struct kt_csr *out, enum kt_reason why, enum kt_reason *reason)
{
	memset(out, 0, sizeof(*out));
	*reason = why;
	if (why == KT_REASON_BUSY)
		return KT_ERR_NOMEM;
	return why == KT_REASON_CSR_SIG ? KT_ERR_VERIFY : KT_ERR_INVALID;
}

enum kt_err kt_csr_decode(const uint8_t *der, size_t len, struct kt_csr *out,
			  enum kt_reason *reason)
{
	struct kt_bytes bytes = {der, len};
	struct kt_extensions asked = {0};
	struct kt_bytes spki;
	struct kt_signed s;
	struct kt_der body;
	struct kt_der d;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	*reason = KT_REASON_NONE;
	if (len > KT_CSR_MAX)
		return refuse(out, KT_REASON_MSG_SIZE, reason);
	if (kt_signed_decode(bytes, &s) != KT_ERR_OK)
		return refuse(out, KT_REASON_CSR_SYNTAX, reason);
	body = kt_der_of(s.body);
	d = kt_der_enter(&body, KT_DER_SEQUENCE);
	if (kt_der_take_small(&d) != 0)
		kt_der_fail(&d);
	(void)kt_name_take(&d, out->common_name);
	spki = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	read_attributes(&d, out, &asked);
	if (!kt_der_is_done(&d))
		return refuse(out, KT_REASON_CSR_SYNTAX, reason);
	err = kt_public_key_from_spki(spki.p, spki.len, &out->key);
	if (err != KT_ERR_OK)
		return refuse(out, err == KT_ERR_NOMEM ? KT_REASON_BUSY : KT_REASON_CSR_KEY,
			      reason);
	err = kt_signed_verify(&s, &out->key);
	if (err != KT_ERR_OK)
		return refuse(out, err == KT_ERR_NOMEM ? KT_REASON_BUSY : KT_REASON_CSR_SIG,
			      reason);
	if (asked.is_ca || asked.has_unknown_critical || asked.has_name_constraints ||
	    (asked.key_usage & (KT_KU_KEY_CERT_SIGN | KT_KU_CRL_SIGN)) != 0)
		return refuse(out, KT_REASON_CSR_EXTENSION, reason);
	out->key_id = kt_key_id_of(&out->key);
	return KT_ERR_OK;
}

void kt_csr_binding(const char *trust_domain, const char *device, uint64_t op,
		    const struct kt_nonce *nonce, char out[static 44])
{
	static const char label[] = "keyturn csr v1";
	uint8_t text[sizeof(label) + KT_TRUST_DOMAIN_MAX + 1 + KT_DEVICE_ID_MAX + 1 +
		     KT_U64_DIGITS_MAX + 1 + KT_NONCE_LEN];
	char digits[KT_U64_DIGITS_MAX + 1];
	uint8_t hash[32];
	size_t at = 0;
	const char *parts[4] = {label, trust_domain, device, digits};

	memset(out, 0, 44);
	kt_u64_encode(op, digits);
	for (size_t i = 0; i < 4; i++) {
		size_t len = strlen(parts[i]) + 1; /* with its NUL: the separator */

		/* Longer names do not exist; "" binds nothing and never matches. */
		if (len > sizeof(text) - KT_NONCE_LEN - at)
			return;
		memcpy(text + at, parts[i], len);
		at += len;
	}
	memcpy(text + at, nonce->b, KT_NONCE_LEN);
	kt_sha256(text, at + KT_NONCE_LEN, hash);
	if (kt_b64url_encode(hash, sizeof(hash), out, 44) != KT_ERR_OK)
		out[0] = '\0';
}
