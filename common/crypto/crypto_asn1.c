#include "crypto_asn1.h"

#include <string.h>

/* OIDs, content only. */
static const uint8_t oid_ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t oid_common_name[] = {0x55, 0x04, 0x03};
static const uint8_t oid_client_auth[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02};
static const uint8_t oid_server_auth[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
/* KT_EKU_CONTROLLER_OID. */
static const uint8_t oid_controller[] = {0x69, 0x82, 0xb8, 0xab, 0xd1, 0xe0, 0xaf,
					 0x98, 0x8b, 0xb9, 0x9c, 0xcf, 0xb8, 0xa9,
					 0xa3, 0x89, 0x8d, 0xe9, 0xd6, 0x4b};

/* id-ce: the extensions that we understand all begin with 55 1d (RFC 5280 section 4.2.1). */
enum {
	CE_SUBJECT_KEY_ID = 0x0e,
	CE_KEY_USAGE = 0x0f,
	CE_SUBJECT_ALT_NAME = 0x11,
	CE_BASIC_CONSTRAINTS = 0x13,
	CE_NAME_CONSTRAINTS = 0x1e,
	CE_AUTHORITY_KEY_ID = 0x23,
	CE_EXTENDED_KEY_USAGE = 0x25
};

bool kt_bytes_are(struct kt_bytes bytes, const uint8_t *want, size_t len)
{
	return bytes.len == len && memcmp(bytes.p, want, len) == 0;
}

/* --- what is signed, and how --- */

void kt_der_put_es256(struct kt_der_writer *w)
{
	size_t mark = kt_der_open(w, KT_DER_SEQUENCE);

	kt_der_put(w, KT_DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
	kt_der_close(w, mark);
}

bool kt_is_es256_algorithm(struct kt_bytes whole)
{
	struct kt_der outer = kt_der_of(whole);
	struct kt_der d = kt_der_enter(&outer, KT_DER_SEQUENCE);
	struct kt_bytes oid = kt_der_take(&d, KT_DER_OID);

	/* RFC 5758 section 3.2: no parameters, not even NULL. */
	return kt_der_is_done(&d) && kt_der_is_done(&outer) &&
	       kt_bytes_are(oid, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
}

enum kt_err kt_signed_decode(struct kt_bytes der, struct kt_signed *out)
{
	struct kt_der outer = kt_der_of(der);
	struct kt_der d = kt_der_enter(&outer, KT_DER_SEQUENCE);

	memset(out, 0, sizeof(*out));
	out->body = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	out->algorithm = kt_der_take_whole(&d, KT_DER_SEQUENCE);
	out->signature = kt_der_take_bytes(&d);
	return kt_der_is_done(&d) && kt_der_is_done(&outer) ? KT_ERR_OK : KT_ERR_INVALID;
}

/* Right-aligned into 32 bytes; false if it does not fit. */
static bool take_scalar(struct kt_der *d, uint8_t out[static KT_SCALAR_LEN])
{
	struct kt_bytes number = kt_der_take_unsigned(d);

	if (number.len == 0 || number.len > KT_SCALAR_LEN)
		return false;
	memcpy(out + KT_SCALAR_LEN - number.len, number.p, number.len);
	return true;
}

bool kt_ecdsa_take(struct kt_bytes der, uint8_t sig[static KT_SIGNATURE_MAX])
{
	struct kt_der outer = kt_der_of(der);
	struct kt_der d = kt_der_enter(&outer, KT_DER_SEQUENCE);

	memset(sig, 0, KT_SIGNATURE_MAX);
	return take_scalar(&d, sig) && take_scalar(&d, sig + KT_SCALAR_LEN) && kt_der_is_done(&d) &&
	       kt_der_is_done(&outer);
}

void kt_ecdsa_put(struct kt_der_writer *w, const uint8_t sig[static KT_SIGNATURE_MAX])
{
	size_t pair = kt_der_open(w, KT_DER_SEQUENCE);

	kt_der_put_unsigned(w, sig, KT_SCALAR_LEN);
	kt_der_put_unsigned(w, sig + KT_SCALAR_LEN, KT_SCALAR_LEN);
	kt_der_close(w, pair);
}

enum kt_err kt_signed_verify(const struct kt_signed *s, const struct kt_public_key *key)
{
	uint8_t sig[KT_SIGNATURE_MAX];

	if (!kt_is_es256_algorithm(s->algorithm) || !kt_ecdsa_take(s->signature, sig))
		return KT_ERR_VERIFY;
	return kt_verify(key, s->body.p, s->body.len, sig, sizeof(sig));
}

enum kt_err kt_signed_put(struct kt_crypto *c, const struct kt_key *key, struct kt_bytes body,
			  struct kt_der_writer *w)
{
	static const uint8_t no_unused_bits = 0;
	uint8_t sig[KT_SIGNATURE_MAX];
	enum kt_err err = kt_key_sign(c, key, body.p, body.len, sig);
	size_t whole;
	size_t bits;

	if (err != KT_ERR_OK)
		return err;
	whole = kt_der_open(w, KT_DER_SEQUENCE);
	kt_der_put_raw(w, body.p, body.len);
	kt_der_put_es256(w);
	bits = kt_der_open(w, KT_DER_BIT_STRING);
	kt_der_put_raw(w, &no_unused_bits, 1);
	kt_ecdsa_put(w, sig);
	kt_der_close(w, bits);
	kt_der_close(w, whole);
	return w->bad ? KT_ERR_TOO_LONG : KT_ERR_OK;
}

enum kt_err kt_signed_encode(struct kt_crypto *c, const struct kt_key *key, struct kt_bytes body,
			     uint8_t *out, size_t *out_len)
{
	struct kt_der_writer w = kt_der_writer_of(out, KT_CERT_MAX);
	enum kt_err err = kt_signed_put(c, key, body, &w);

	*out_len = err == KT_ERR_OK ? w.len : 0;
	return err;
}

/* --- names --- */

static bool is_printable(struct kt_bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < 0x20 || text.p[i] > 0x7e)
			return false;
	}
	return true;
}

struct kt_bytes kt_name_take(struct kt_der *d, char common_name[static KT_DEVICE_ID_MAX + 1])
{
	struct kt_bytes whole = kt_der_take_whole(d, KT_DER_SEQUENCE);
	struct kt_der outer = kt_der_of(whole);
	struct kt_der rdns = kt_der_enter(&outer, KT_DER_SEQUENCE);
	struct kt_bytes found = {NULL, 0};
	size_t count = 0;

	memset(common_name, 0, KT_DEVICE_ID_MAX + 1);
	while (kt_der_has_more(&rdns)) {
		struct kt_der set = kt_der_enter(&rdns, KT_DER_SET);

		do {
			struct kt_der pair = kt_der_enter(&set, KT_DER_SEQUENCE);
			struct kt_bytes oid = kt_der_take(&pair, KT_DER_OID);
			unsigned tag = 0;
			struct kt_bytes value = kt_der_take_any(&pair, &tag);

			if (!kt_der_is_done(&pair))
				kt_der_fail(&set);
			if (!kt_bytes_are(oid, oid_common_name, sizeof(oid_common_name)))
				continue;
			count++;
			if (tag == KT_DER_UTF8_STRING || tag == KT_DER_PRINTABLE_STRING)
				found = value;
		} while (kt_der_has_more(&set));
		if (!kt_der_is_done(&set))
			kt_der_fail(&rdns);
	}
	if (!kt_der_is_done(&rdns))
		kt_der_fail(d);
	else if (count == 1 && found.len > 0 && found.len <= KT_DEVICE_ID_MAX &&
		 is_printable(found))
		memcpy(common_name, found.p, found.len);
	return whole;
}

void kt_name_put(struct kt_der_writer *w, const char *common_name)
{
	size_t name = kt_der_open(w, KT_DER_SEQUENCE);
	size_t set = kt_der_open(w, KT_DER_SET);
	size_t pair = kt_der_open(w, KT_DER_SEQUENCE);

	kt_der_put(w, KT_DER_OID, oid_common_name, sizeof(oid_common_name));
	kt_der_put(w, KT_DER_UTF8_STRING, common_name, strlen(common_name));
	kt_der_close(w, pair);
	kt_der_close(w, set);
	kt_der_close(w, name);
}

/* --- extensions --- */

static void read_basic_constraints(struct kt_der *value, struct kt_extensions *out)
{
	struct kt_der d = kt_der_enter(value, KT_DER_SEQUENCE);

	out->has_basic_constraints = true;
	if (kt_der_is_next(&d, KT_DER_BOOLEAN))
		out->is_ca = kt_der_take_bool(&d);
	if (kt_der_is_next(&d, KT_DER_INTEGER)) {
		out->has_path_len = true;
		out->path_len = kt_der_take_small(&d);
	}
	if (!kt_der_is_done(&d))
		kt_der_fail(value);
}

static void read_key_usage(struct kt_der *value, struct kt_extensions *out)
{
	struct kt_bytes bits = kt_der_take(value, KT_DER_BIT_STRING);

	/* Unused bits first; a second byte holds decipherOnly, which nobody here asks for. */
	if (bits.len < 2 || bits.len > 3 || bits.p[0] > 7) {
		kt_der_fail(value);
		return;
	}
	out->has_key_usage = true;
	out->key_usage = bits.p[1];
}

static void read_extended_key_usage(struct kt_der *value, struct kt_extensions *out)
{
	struct kt_der d = kt_der_enter(value, KT_DER_SEQUENCE);

	do {
		struct kt_bytes oid = kt_der_take(&d, KT_DER_OID);

		if (kt_bytes_are(oid, oid_client_auth, sizeof(oid_client_auth)))
			out->eku |= KT_EKU_CLIENT;
		else if (kt_bytes_are(oid, oid_server_auth, sizeof(oid_server_auth)))
			out->eku |= KT_EKU_SERVER;
		else if (kt_bytes_are(oid, oid_controller, sizeof(oid_controller)))
			out->eku |= KT_EKU_CONTROLLER;
		else
			out->eku |= KT_EKU_OTHER;
	} while (kt_der_has_more(&d));
	if (!kt_der_is_done(&d))
		kt_der_fail(value);
}

static void read_alt_names(struct kt_der *value, struct kt_extensions *out)
{
	struct kt_der d = kt_der_enter(value, KT_DER_SEQUENCE);

	do {
		unsigned tag = 0;
		struct kt_bytes name = kt_der_take_any(&d, &tag);

		if (tag == KT_DER_CONTEXT + 2 && out->dns_count++ == 0 &&
		    name.len <= KT_DEVICE_ID_MAX && is_printable(name))
			memcpy(out->dns_name, name.p, name.len);
		if (tag != KT_DER_CONTEXT + 6)
			continue;
		if (name.len == 0 || !is_printable(name)) /* a NUL would hide the rest */
			kt_der_fail(&d);
		else if (out->uri_count++ == 0 && name.len <= KT_URI_MAX)
			memcpy(out->uri, name.p, name.len);
	} while (kt_der_has_more(&d));
	if (!kt_der_is_done(&d))
		kt_der_fail(value);
}

static void read_authority_key_id(struct kt_der *value, struct kt_extensions *out)
{
	struct kt_der d = kt_der_enter(value, KT_DER_SEQUENCE);

	while (kt_der_has_more(&d)) {
		unsigned tag = 0;
		struct kt_bytes part = kt_der_take_any(&d, &tag);

		if (tag == KT_DER_CONTEXT)
			out->issuer_id = part;
	}
	if (!kt_der_is_done(&d))
		kt_der_fail(value);
}

/* False for an extension that we do not know. */
static bool read_known(unsigned id, struct kt_der *value, struct kt_extensions *out)
{
	switch (id) {
	case CE_SUBJECT_KEY_ID:
		out->key_id = kt_der_take(value, KT_DER_OCTET_STRING);
		return true;
	case CE_KEY_USAGE:
		read_key_usage(value, out);
		return true;
	case CE_SUBJECT_ALT_NAME:
		read_alt_names(value, out);
		return true;
	case CE_BASIC_CONSTRAINTS:
		read_basic_constraints(value, out);
		return true;
	case CE_AUTHORITY_KEY_ID:
		read_authority_key_id(value, out);
		return true;
	case CE_EXTENDED_KEY_USAGE:
		read_extended_key_usage(value, out);
		return true;
	default:
		return false;
	}
}

void kt_extensions_take(struct kt_der *d, struct kt_extensions *out)
{
	struct kt_der list = kt_der_enter(d, KT_DER_SEQUENCE);
	uint64_t seen = 0; /* ids below 64: all that we know */

	memset(out, 0, sizeof(*out));
	do {
		struct kt_der extension = kt_der_enter(&list, KT_DER_SEQUENCE);
		struct kt_bytes oid = kt_der_take(&extension, KT_DER_OID);
		bool is_critical =
			kt_der_is_next(&extension, KT_DER_BOOLEAN) && kt_der_take_bool(&extension);
		struct kt_der value = kt_der_of(kt_der_take(&extension, KT_DER_OCTET_STRING));
		unsigned id = 0;

		if (!kt_der_is_done(&extension)) {
			kt_der_fail(&list);
			break;
		}
		if (oid.len == 3 && oid.p[0] == 0x55 && oid.p[1] == 0x1d && oid.p[2] < 64)
			id = oid.p[2];
		if (id != 0 && (seen & UINT64_C(1) << id) != 0) {
			kt_der_fail(&list);
			break;
		}
		seen |= UINT64_C(1) << id;
		if (id == CE_NAME_CONSTRAINTS)
			out->has_name_constraints = true;
		if (!read_known(id, &value, out))
			out->has_unknown_critical |= is_critical;
		else if (!kt_der_is_done(&value))
			kt_der_fail(&list);
	} while (kt_der_has_more(&list));
	if (!kt_der_is_done(&list))
		kt_der_fail(d);
}

void kt_extension_put(struct kt_der_writer *w, const uint8_t oid[static 3], bool is_critical,
		      const struct kt_der_writer *value)
{
	static const uint8_t yes = 0xff;
	size_t mark = kt_der_open(w, KT_DER_SEQUENCE);

	kt_der_put(w, KT_DER_OID, oid, 3);
	if (is_critical)
		kt_der_put(w, KT_DER_BOOLEAN, &yes, 1);
	kt_der_put(w, KT_DER_OCTET_STRING, value->p, value->len);
	kt_der_close(w, mark);
	w->bad |= value->bad;
}

void kt_extension_put_ce(struct kt_der_writer *w, uint8_t oid_end, bool is_critical,
			 const struct kt_der_writer *value)
{
	const uint8_t oid[3] = {0x55, 0x1d, oid_end};

	kt_extension_put(w, oid, is_critical, value);
}
