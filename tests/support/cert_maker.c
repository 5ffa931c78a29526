#include "cert_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto_asn1.h"

enum { NOT_BEFORE_S = 1577836800 }; /* 2020-01-01 */

struct cert_plan cert_plan_ca(const char *subject, const struct kt_key *key, const char *issuer,
			      const struct kt_key *issuer_key)
{
	struct cert_plan plan = {.subject = subject,
				 .issuer = issuer,
				 .key = key,
				 .issuer_key = issuer_key,
				 .not_before_s = NOT_BEFORE_S,
				 .not_after_s = KT_CERT_NO_END,
				 .is_ca = true,
				 .path_len = -1,
				 .key_usage = KT_KU_KEY_CERT_SIGN | KT_KU_CRL_SIGN};

	return plan;
}

struct cert_plan cert_plan_leaf(const char *subject, const struct kt_key *key, const char *issuer,
				const struct kt_key *issuer_key)
{
	struct cert_plan plan = cert_plan_ca(subject, key, issuer, issuer_key);

	plan.is_ca = false;
	plan.key_usage = KT_KU_DIGITAL_SIGNATURE;
	return plan;
}

static void put(struct kt_der_writer *w, uint8_t id, bool is_critical,
		const struct kt_der_writer *value)
{
	const uint8_t oid[3] = {0x55, 0x1d, id};

	kt_extension_put(w, oid, is_critical, value);
}

static void put_basic(struct kt_der_writer *w, const struct cert_plan *plan)
{
	static const uint8_t yes = 0xff;
	uint8_t buffer[32];
	struct kt_der_writer value = kt_der_writer_of(buffer, sizeof(buffer));
	size_t mark = kt_der_open(&value, KT_DER_SEQUENCE);

	if (plan->is_ca)
		kt_der_put(&value, KT_DER_BOOLEAN, &yes, 1);
	if (plan->path_len >= 0) {
		uint8_t number = (uint8_t)plan->path_len;

		kt_der_put_unsigned(&value, &number, 1);
	}
	kt_der_close(&value, mark);
	put(w, 0x13, true, &value);
}

static void put_extensions(struct kt_der_writer *w, const struct cert_plan *plan)
{
	uint8_t buffer[1200];
	struct kt_der_writer value;
	size_t outer = kt_der_open(w, KT_DER_EXPLICIT + 3);
	size_t list = kt_der_open(w, KT_DER_SEQUENCE);

	if (!plan->without_basic)
		put_basic(w, plan);
	if (plan->key_usage >= 0) {
		uint8_t bits[2] = {0, (uint8_t)plan->key_usage};

		value = kt_der_writer_of(buffer, sizeof(buffer));
		kt_der_put(&value, KT_DER_BIT_STRING, bits, 2);
		put(w, 0x0f, true, &value);
	}
	if (plan->is_ca) {
		value = kt_der_writer_of(buffer, sizeof(buffer));
		kt_der_put(&value, KT_DER_OCTET_STRING,
			   kt_public_key_point(kt_key_public(plan->key)), 20);
		put(w, 0x0e, false, &value);
	}
	if (plan->uri[0] != NULL) {
		size_t mark;

		value = kt_der_writer_of(buffer, sizeof(buffer));
		mark = kt_der_open(&value, KT_DER_SEQUENCE);
		for (size_t i = 0; i < 2 && plan->uri[i] != NULL; i++)
			kt_der_put(&value, KT_DER_CONTEXT + 6, plan->uri[i],
				   plan->uri_len[i] != 0 ? plan->uri_len[i] : strlen(plan->uri[i]));
		kt_der_close(&value, mark);
		put(w, 0x11, false, &value);
	}
	if (plan->extra.len > 0)
		kt_der_put_raw(w, plan->extra.p, plan->extra.len);
	kt_der_close(w, list);
	kt_der_close(w, outer);
}

static void put_name(struct kt_der_writer *w, const char *common_name)
{
	if (common_name != NULL)
		kt_name_put(w, common_name);
	else
		kt_der_put(w, KT_DER_SEQUENCE, NULL, 0);
}

struct made_cert make_cert(struct kt_crypto *c, const struct cert_plan *plan)
{
	static const uint8_t serial = 0x11;
	static const uint8_t sha384[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
					 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
	const struct kt_public_key *key = kt_key_public(plan->key);
	uint8_t version = (uint8_t)(plan->version == 0 ? 2 : plan->version - 1);
	uint8_t tbs[2048];
	struct kt_der_writer w = kt_der_writer_of(tbs, sizeof(tbs));
	struct kt_bytes body = {tbs, 0};
	struct made_cert out = {{0}, 0};
	size_t whole = kt_der_open(&w, KT_DER_SEQUENCE);
	size_t mark;

	if (version > 0) {
		mark = kt_der_open(&w, KT_DER_EXPLICIT);
		kt_der_put_unsigned(&w, &version, 1);
		kt_der_close(&w, mark);
	}
	kt_der_put_unsigned(&w, &serial, 1);
	if (plan->breaks_inner_algorithm)
		kt_der_put_raw(&w, sha384, sizeof(sha384));
	else
		kt_der_put_es256(&w);
	put_name(&w, plan->issuer);
	mark = kt_der_open(&w, KT_DER_SEQUENCE);
	kt_der_put_time(&w, plan->not_before_s);
	kt_der_put_time(&w, plan->not_after_s);
	kt_der_close(&w, mark);
	put_name(&w, plan->subject);
	if (plan->spki.len > 0)
		kt_der_put_raw(&w, plan->spki.p, plan->spki.len);
	else
		kt_der_put_raw(&w, key->spki, key->spki_len);
	if (version == 2)
		put_extensions(&w, plan);
	kt_der_close(&w, whole);
	assert_false(w.bad);
	body.len = w.len;
	assert_int_equal(kt_signed_encode(c, plan->issuer_key, body, out.der, &out.len), KT_ERR_OK);
	return out;
}

struct kt_bytes cert_view(const struct made_cert *cert)
{
	struct kt_bytes view = {cert->der, cert->len};

	return view;
}
