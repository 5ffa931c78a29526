#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"

static void take_version(struct kt_der *d, unsigned *version)
{
	struct kt_der inner;

	*version = 1;
	if (!kt_der_is_next(d, KT_DER_EXPLICIT))
		return;
	inner = kt_der_enter(d, KT_DER_EXPLICIT);
	*version = kt_der_take_small(&inner) + 1;
	if (!kt_der_is_done(&inner) || *version > 3)
		kt_der_fail(d);
}

/* Unique ids (RFC 5280 section 4.1.2.8) are passed over, extensions are read. */
static void take_tail(struct kt_der *d, struct kt_cert_parts *out)
{
	struct kt_der inner;

	if (out->version >= 2 && kt_der_is_next(d, KT_DER_CONTEXT + 1))
		(void)kt_der_take(d, KT_DER_CONTEXT + 1);
	if (out->version >= 2 && kt_der_is_next(d, KT_DER_CONTEXT + 2))
		(void)kt_der_take(d, KT_DER_CONTEXT + 2);
	if (out->version != 3 || !kt_der_is_next(d, KT_DER_EXPLICIT + 3))
		return;
	inner = kt_der_enter(d, KT_DER_EXPLICIT + 3);
	kt_extensions_take(&inner, &out->extensions);
	if (!kt_der_is_done(&inner))
		kt_der_fail(d);
}

enum kt_err kt_cert_take_apart(struct kt_bytes der, struct kt_cert_parts *out)
{
	char issuer_name[KT_DEVICE_ID_MAX + 1];
	struct kt_bytes spki;
	struct kt_der validity;
	struct kt_der body;
	struct kt_der d;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	if (der.len > KT_CERT_MAX)
		return KT_ERR_TOO_LONG;
	if (kt_signed_decode(der, &out->signature) != KT_ERR_OK)
		return KT_ERR_INVALID;
	body = kt_der_of(out->signature.body);
	d = kt_der_enter(&body, KT_DER_SEQUENCE);
	take_version(&d, &out->version);
	out->serial = kt_der_take_unsigned(&d);
	out->inner_algorithm = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	out->issuer = kt_name_take(&d, issuer_name);
	validity = kt_der_enter(&d, KT_DER_SEQUENCE);
	out->not_before_s = kt_der_take_time(&validity);
	out->not_after_s = kt_der_take_time(&validity);
	out->subject = kt_name_take(&d, out->common_name);
	spki = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	take_tail(&d, out);
	if (!kt_der_is_done(&d) || !kt_der_is_done(&validity) || out->serial.len > 20)
		return KT_ERR_INVALID;
	out->spki = spki;
	err = kt_public_key_from_spki(spki.p, spki.len, &out->key);
	return err == KT_ERR_UNSUPPORTED ? KT_ERR_OK : err;
}

bool kt_cert_is_issuer(const struct kt_cert_parts *cert)
{
	return cert->version == 3 && cert->extensions.is_ca &&
	       (cert->extensions.key_usage & KT_KU_KEY_CERT_SIGN) != 0;
}

enum kt_err kt_cert_decode(const uint8_t *der, size_t len, struct kt_cert *out)
{
	struct kt_bytes bytes = {der, len};
	struct kt_cert_parts parts;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	err = kt_cert_take_apart(bytes, &parts);
	if (err != KT_ERR_OK)
		return err;
	out->fingerprint = kt_fingerprint_of(der, len);
	out->key = parts.key;
	if (parts.key.alg != KT_ALG_NONE)
		out->key_id = kt_key_id_of(&parts.key);
	else
		kt_sha256(parts.spki.p, parts.spki.len, out->key_id.b);
	out->not_before_s = parts.not_before_s;
	out->not_after_s = parts.not_after_s;
	memcpy(out->common_name, parts.common_name, sizeof(out->common_name));
	if (parts.extensions.uri_count == 1)
		memcpy(out->uri, parts.extensions.uri, sizeof(out->uri));
	if (parts.extensions.dns_count == 1)
		memcpy(out->dns_name, parts.extensions.dns_name, sizeof(out->dns_name));
	memcpy(out->serial, parts.serial.p, parts.serial.len);
	out->serial_len = parts.serial.len;
	out->is_ca = parts.extensions.is_ca;
	out->may_sign_certs = (parts.extensions.key_usage & KT_KU_KEY_CERT_SIGN) != 0;
	out->may_sign_crls = (parts.extensions.key_usage & KT_KU_CRL_SIGN) != 0;
	out->may_sign = (parts.extensions.key_usage & KT_KU_DIGITAL_SIGNATURE) != 0;
	out->eku = parts.extensions.eku;
	return KT_ERR_OK;
}

bool kt_cert_generation(const struct kt_cert *cert, uint32_t *out)
{
	*out = 0;
	if (cert->serial_len != KT_SERIAL_LEN || cert->serial[0] != 0x4b)
		return false;
	for (size_t i = 1; i <= 4; i++)
		*out = *out << 8 | cert->serial[i];
	return true;
}

bool kt_cert_serial(struct kt_bytes der, uint8_t out[static KT_SERIAL_LEN])
{
	struct kt_der outer = kt_der_of(der);
	struct kt_der cert = kt_der_enter(&outer, KT_DER_SEQUENCE);
	struct kt_der d = kt_der_enter(&cert, KT_DER_SEQUENCE);
	struct kt_bytes serial;
	unsigned version;

	memset(out, 0, KT_SERIAL_LEN);
	take_version(&d, &version);
	serial = kt_der_take_unsigned(&d);
	if (serial.len != KT_SERIAL_LEN)
		return false;
	memcpy(out, serial.p, KT_SERIAL_LEN);
	return true;
}

/* --- chains --- */

/*
 * One step: @cert was signed by @issuer. @below: certificates of ours under @issuer that sign.
 * KT_ERR_VERIFY, KT_ERR_NOMEM.
 */
static enum kt_err check_issued_by(const struct kt_cert_parts *cert,
				   const struct kt_cert_parts *issuer, size_t below)
{
	if (!kt_cert_is_issuer(issuer) || issuer->key.alg == KT_ALG_NONE)
		return KT_ERR_VERIFY;
	if (issuer->extensions.has_path_len && below > issuer->extensions.path_len)
		return KT_ERR_VERIFY;
	if (!kt_bytes_are(cert->issuer, issuer->subject.p, issuer->subject.len))
		return KT_ERR_VERIFY;
	if (!kt_bytes_are(cert->signature.algorithm, cert->inner_algorithm.p,
			  cert->inner_algorithm.len))
		return KT_ERR_VERIFY;
	return kt_signed_verify(&cert->signature, &issuer->key);
}

/* What we do not understand and must not ignore (RFC 5280 section 4.2). */
static bool is_understood(const struct kt_cert_parts *cert)
{
	return !cert->extensions.has_unknown_critical && !cert->extensions.has_name_constraints;
}

static void judge_dates(const struct kt_cert_parts *cert, int64_t time_s, enum kt_dates *dates)
{
	if (time_s < 0)
		return;
	/* One that ended stays ended: the later answer is the one to tell. */
	if (time_s > cert->not_after_s)
		*dates = KT_DATES_EXPIRED;
	else if (time_s < cert->not_before_s && *dates == KT_DATES_GOOD)
		*dates = KT_DATES_NOT_YET;
}

enum kt_err kt_chain_verify(struct kt_bytes root, const struct kt_bytes *certs, size_t cert_count,
			    int64_t time_s, enum kt_dates *dates)
{
	struct kt_cert_parts *parts = NULL; /* the root first, then down to the leaf */
	enum kt_dates found = KT_DATES_GOOD;
	enum kt_err err = KT_ERR_VERIFY;

	*dates = KT_DATES_GOOD;
	if (cert_count == 0 || cert_count > KT_CHAIN_MAX)
		return KT_ERR_VERIFY;
	parts = calloc(cert_count + 1, sizeof(*parts));
	if (parts == NULL)
		return KT_ERR_NOMEM;
	for (size_t i = 0; i <= cert_count; i++) {
		struct kt_bytes der = i == 0 ? root : certs[cert_count - i];

		err = kt_cert_take_apart(der, &parts[i]);
		if (err == KT_ERR_OK && !is_understood(&parts[i]))
			err = KT_ERR_VERIFY;
		if (err == KT_ERR_OK && i > 0)
			err = check_issued_by(&parts[i], &parts[i - 1], cert_count - i);
		if (err != KT_ERR_OK)
			goto out;
		judge_dates(&parts[i], time_s, &found);
	}
	*dates = found;
	err = found == KT_DATES_GOOD ? KT_ERR_OK : KT_ERR_DATES;
out:
	free(parts);
	return err == KT_ERR_OK || err == KT_ERR_DATES || err == KT_ERR_NOMEM ? err : KT_ERR_VERIFY;
}
