#include "crypto_wolfssl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto_asn1.h"
#include "crypto_openssl.h"

/* FIPS 186-4 D.1.2.3: order n and prime p of P-256, big endian. */
static const uint8_t p256_order[KT_SCALAR_LEN] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
						  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
						  0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
						  0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
static const uint8_t p256_prime[KT_SCALAR_LEN] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
						  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
						  0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff,
						  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* SubjectPublicKeyInfo of an uncompressed P-256 key up to the point (RFC 5480 section 2). */
static const uint8_t p256_spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
					 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
					 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
enum { P256_SPKI_LEN = sizeof(p256_spki_head) + KT_POINT_LEN };

/* OIDs, content only: id-ecPublicKey, prime256v1. */
static const uint8_t oid_ec[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

enum { PEM_KEY_MAX = 512, STACK_WIPED = 16384, HASH_LEN = 32 };

/* The library leaves private values in dead stack frames. */
static void __attribute__((noinline)) wipe_dead_stack(void)
{
	uint8_t frames[STACK_WIPED];

	kt_wipe(frames, sizeof(frames));
}

/* --- public keys --- */

bool kt_is_p256_scalar(const uint8_t scalar[static KT_SCALAR_LEN])
{
	static const uint8_t zero[KT_SCALAR_LEN];
	unsigned borrow = 0;

	/* In the time of one subtraction, whatever the value: scalars can be private. */
	for (size_t i = KT_SCALAR_LEN; i-- > 0;) {
		unsigned diff = (unsigned)scalar[i] - p256_order[i] - borrow;

		borrow = diff >> 8 & 1;
	}
	return borrow == 1 && !kt_ct_equal(scalar, zero, sizeof(zero));
}

bool kt_is_es256_range(const uint8_t sig[static KT_SIGNATURE_MAX])
{
	return kt_is_p256_scalar(sig) && kt_is_p256_scalar(sig + KT_SCALAR_LEN);
}

/* wc_ecc_check_key would answer the same, at 10 times the price of the signature itself. */
static bool is_on_curve(ecc_key *key)
{
	mp_int a;
	mp_int b;
	mp_int prime;
	bool is_on = false;

	if (mp_init(&a) != MP_OKAY || mp_init(&b) != MP_OKAY || mp_init(&prime) != MP_OKAY)
		return false;
	if (mp_read_radix(&a, key->dp->Af, MP_RADIX_HEX) == MP_OKAY &&
	    mp_read_radix(&b, key->dp->Bf, MP_RADIX_HEX) == MP_OKAY &&
	    mp_read_radix(&prime, key->dp->prime, MP_RADIX_HEX) == MP_OKAY)
		is_on = wc_ecc_is_point(&key->pubkey, &a, &b, &prime) == 0;
	mp_clear(&a);
	mp_clear(&b);
	mp_clear(&prime);
	return is_on;
}

/* @key is initialised here and, where this succeeds, freed by the caller. */
static enum kt_err import_point(const uint8_t point[static KT_POINT_LEN], ecc_key *key)
{
	enum kt_err err = KT_ERR_INVALID;
	int ret = 0;

	if (point[0] != 0x04 || memcmp(point + 1, p256_prime, KT_SCALAR_LEN) >= 0 ||
	    memcmp(point + 1 + KT_SCALAR_LEN, p256_prime, KT_SCALAR_LEN) >= 0)
		return KT_ERR_INVALID;
	errno = 0;
	ret = wc_ecc_init(key);
	if (ret != 0)
		return kt_wolfssl_is_nomem(ret) ? KT_ERR_NOMEM : KT_ERR_INVALID;
	ret = wc_ecc_import_x963_ex(point, KT_POINT_LEN, key, ECC_SECP256R1);
	if (ret == 0 && is_on_curve(key))
		return KT_ERR_OK;
	if (kt_wolfssl_is_nomem(ret))
		err = KT_ERR_NOMEM;
	(void)wc_ecc_free(key);
	return err;
}

static void put_point(const uint8_t point[static KT_POINT_LEN], struct kt_public_key *out)
{
	memset(out, 0, sizeof(*out));
	out->alg = KT_ALG_ES256;
	out->spki_len = P256_SPKI_LEN;
	memcpy(out->spki, p256_spki_head, sizeof(p256_spki_head));
	memcpy(out->spki + sizeof(p256_spki_head), point, KT_POINT_LEN);
}

enum kt_err kt_public_key_from_point(const uint8_t point[static KT_POINT_LEN],
				     struct kt_public_key *out)
{
	ecc_key key;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	err = import_point(point, &key);
	if (err != KT_ERR_OK)
		return err;
	(void)wc_ecc_free(&key);
	put_point(point, out);
	return KT_ERR_OK;
}

const uint8_t *kt_public_key_point(const struct kt_public_key *key)
{
	return key->spki + sizeof(p256_spki_head);
}

enum kt_err kt_public_key_from_spki(const uint8_t *spki, size_t len, struct kt_public_key *out)
{
	struct kt_bytes bytes = {spki, len};
	struct kt_der outer = kt_der_of(bytes);
	struct kt_der info;
	struct kt_der algorithm;
	struct kt_bytes point;

	memset(out, 0, sizeof(*out));
	if (len == P256_SPKI_LEN && memcmp(spki, p256_spki_head, sizeof(p256_spki_head)) == 0)
		return kt_public_key_from_point(spki + sizeof(p256_spki_head), out);
	if (len == KT_POINT_LEN && spki[0] == 0x04)
		return kt_public_key_from_point(spki, out);
	/* Not ours: say whether it is another kind of key (also a compressed point) or nonsense. */
	info = kt_der_enter(&outer, KT_DER_SEQUENCE);
	algorithm = kt_der_enter(&info, KT_DER_SEQUENCE);
	(void)kt_der_take(&algorithm, KT_DER_OID);
	if (kt_der_has_more(&algorithm))
		(void)kt_der_take_any(&algorithm, NULL);
	point = kt_der_take_bytes(&info);
	return kt_der_is_done(&outer) && kt_der_is_done(&info) && kt_der_is_done(&algorithm) &&
			       point.len > 0
		       ? KT_ERR_UNSUPPORTED
		       : KT_ERR_INVALID;
}

/* --- private keys --- */

static enum kt_err key_alloc(struct kt_crypto *c, struct kt_key **out)
{
	struct kt_key *key = calloc(1, sizeof(*key));
	int ret;

	*out = NULL;
	if (key == NULL)
		return KT_ERR_NOMEM;
	key->ec = calloc(1, sizeof(*key->ec));
	if (key->ec == NULL) {
		free(key);
		return KT_ERR_NOMEM;
	}
	errno = 0;
	ret = wc_ecc_init(key->ec);
	if (ret != 0) {
		enum kt_err err = kt_wolfssl_note(c, ret);

		free(key->ec);
		free(key);
		return err;
	}
	*out = key;
	return KT_ERR_OK;
}

void kt_key_free(struct kt_key *key)
{
	if (key == NULL)
		return;
	kt_openssl_key_free(key->fast);
	(void)wc_ecc_free(key->ec);
	kt_wipe(key->ec, sizeof(*key->ec));
	free(key->ec);
	free(key);
}

static enum kt_err note_public(struct kt_crypto *c, struct kt_key *key)
{
	uint8_t point[KT_POINT_LEN];
	word32 len = sizeof(point);
	int ret;

	errno = 0;
	ret = wc_ecc_export_x963(key->ec, point, &len);
	if (ret != 0)
		return kt_wolfssl_note(c, ret);
	if (len != sizeof(point))
		return KT_ERR_CRYPTO;
	return kt_public_key_from_point(point, &key->public_key);
}

enum kt_err kt_key_new(struct kt_crypto *c, enum kt_alg alg, struct kt_key **out)
{
	struct kt_key *key = NULL;
	enum kt_err err;
	int ret;

	*out = NULL;
	if (alg != KT_ALG_ES256)
		return KT_ERR_UNSUPPORTED;
	err = key_alloc(c, &key);
	if (err != KT_ERR_OK)
		return err;
	errno = 0;
	ret = wc_ecc_make_key_ex(&c->rng, KT_SCALAR_LEN, key->ec, ECC_SECP256R1);
	if (ret != 0) {
		err = kt_wolfssl_note(c, ret);
		goto out;
	}
	err = note_public(c, key);
	if (err != KT_ERR_OK)
		goto out;
	*out = key;
	key = NULL; /* moved */
out:
	kt_key_free(key);
	kt_wolfssl_drop_tables();
	wipe_dead_stack();
	return err;
}

const struct kt_public_key *kt_key_public(const struct kt_key *key)
{
	return &key->public_key;
}

static bool take_scalar(const struct kt_key *key, uint8_t scalar[static KT_SCALAR_LEN])
{
	word32 len = KT_SCALAR_LEN;

	return wc_ecc_export_private_only(key->ec, scalar, &len) == 0 && len == KT_SCALAR_LEN;
}

bool kt_key_speed_up(struct kt_key *key)
{
	uint8_t scalar[KT_SCALAR_LEN] = {0};

	if (key->fast == NULL && take_scalar(key, scalar))
		key->fast = kt_openssl_key_new(kt_public_key_point(&key->public_key), scalar);
	kt_wipe(scalar, sizeof(scalar));
	wipe_dead_stack();
	return key->fast != NULL;
}

/* PrivateKeyInfo (RFC 5958) around ECPrivateKey (RFC 5915), with the public key. */
static void put_private(struct kt_der_writer *w, const uint8_t scalar[static KT_SCALAR_LEN],
			const struct kt_public_key *public_key)
{
	static const uint8_t zero = 0;
	static const uint8_t one = 1;
	size_t info = kt_der_open(w, KT_DER_SEQUENCE);
	size_t mark;
	size_t octets;
	size_t ec;
	size_t bits;

	kt_der_put_unsigned(w, &zero, 1);
	mark = kt_der_open(w, KT_DER_SEQUENCE);
	kt_der_put(w, KT_DER_OID, oid_ec, sizeof(oid_ec));
	kt_der_put(w, KT_DER_OID, oid_p256, sizeof(oid_p256));
	kt_der_close(w, mark);
	octets = kt_der_open(w, KT_DER_OCTET_STRING);
	ec = kt_der_open(w, KT_DER_SEQUENCE);
	kt_der_put_unsigned(w, &one, 1);
	kt_der_put(w, KT_DER_OCTET_STRING, scalar, KT_SCALAR_LEN);
	mark = kt_der_open(w, KT_DER_EXPLICIT + 1);
	bits = kt_der_open(w, KT_DER_BIT_STRING);
	kt_der_put_raw(w, &zero, 1);
	kt_der_put_raw(w, kt_public_key_point(public_key), KT_POINT_LEN);
	kt_der_close(w, bits);
	kt_der_close(w, mark);
	kt_der_close(w, ec);
	kt_der_close(w, octets);
	kt_der_close(w, info);
}

enum kt_err kt_key_to_pem(const struct kt_key *key, struct kt_secret **out)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_secret *pem = NULL;
	uint8_t scalar[KT_SCALAR_LEN];
	uint8_t der[PEM_KEY_MAX];
	struct kt_der_writer w = kt_der_writer_of(der, sizeof(der));
	size_t pem_len;

	*out = NULL;
	if (!take_scalar(key, scalar)) {
		err = KT_ERR_CRYPTO;
		goto out;
	}
	put_private(&w, scalar, &key->public_key);
	if (w.bad)
		goto out;
	pem_len = kt_pem_len("PRIVATE KEY", w.len);
	err = kt_secret_new(pem_len + 1, &pem);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_pem_put("PRIVATE KEY", der, w.len, (char *)kt_secret_bytes(pem), pem_len + 1);
	if (err != KT_ERR_OK)
		goto out;
	kt_secret_truncate(pem, pem_len); /* without the NUL: it goes to a file as it is */
	*out = pem;
	pem = NULL; /* moved */
out:
	kt_secret_free(pem);
	kt_wipe(scalar, sizeof(scalar));
	kt_wipe(der, sizeof(der));
	wipe_dead_stack();
	return err;
}

struct private_parts { /* borrowed from the DER */
	struct kt_bytes scalar;
	struct kt_bytes point; /* empty if the file has none */
};

/* RFC 5915 section 3. @needs_curve: a bare SEC1 key must name its curve itself. */
static enum kt_err read_sec1(struct kt_bytes der, bool needs_curve, struct private_parts *out)
{
	struct kt_der outer = kt_der_of(der);
	struct kt_der d = kt_der_enter(&outer, KT_DER_SEQUENCE);
	bool is_p256 = !needs_curve;

	if (kt_der_take_small(&d) != 1)
		kt_der_fail(&d);
	out->scalar = kt_der_take(&d, KT_DER_OCTET_STRING);
	if (kt_der_is_next(&d, KT_DER_EXPLICIT)) {
		struct kt_der curve = kt_der_enter(&d, KT_DER_EXPLICIT);

		is_p256 = kt_der_is_next(&curve, KT_DER_OID) &&
			  kt_bytes_are(kt_der_take(&curve, KT_DER_OID), oid_p256, sizeof(oid_p256));
	}
	if (kt_der_is_next(&d, KT_DER_EXPLICIT + 1)) {
		struct kt_der bits = kt_der_enter(&d, KT_DER_EXPLICIT + 1);

		out->point = kt_der_take_bytes(&bits);
		if (!kt_der_is_done(&bits))
			kt_der_fail(&d);
	}
	if (!kt_der_is_done(&d) || !kt_der_is_done(&outer))
		return KT_ERR_INVALID;
	return is_p256 ? KT_ERR_OK : KT_ERR_UNSUPPORTED;
}

/* RFC 5958 section 2, version 1 without attributes that matter. */
static enum kt_err read_pkcs8(struct kt_bytes der, struct private_parts *out)
{
	struct kt_der outer = kt_der_of(der);
	struct kt_der d = kt_der_enter(&outer, KT_DER_SEQUENCE);
	struct kt_der algorithm;
	struct kt_bytes octets;

	if (kt_der_take_small(&d) != 0)
		kt_der_fail(&d);
	algorithm = kt_der_enter(&d, KT_DER_SEQUENCE);
	octets = kt_der_take(&d, KT_DER_OCTET_STRING);
	if (kt_der_is_next(&d, KT_DER_EXPLICIT))
		(void)kt_der_take(&d, KT_DER_EXPLICIT);
	if (!kt_der_is_done(&d) || !kt_der_is_done(&outer))
		return KT_ERR_INVALID;
	if (!kt_bytes_are(kt_der_take(&algorithm, KT_DER_OID), oid_ec, sizeof(oid_ec)) ||
	    !kt_bytes_are(kt_der_take(&algorithm, KT_DER_OID), oid_p256, sizeof(oid_p256)) ||
	    !kt_der_is_done(&algorithm))
		return KT_ERR_UNSUPPORTED;
	return read_sec1(octets, false, out);
}

static enum kt_err import_private(struct kt_crypto *c, const struct private_parts *parts,
				  struct kt_key *key)
{
	enum kt_err err;
	int ret;

	if (parts->scalar.len != KT_SCALAR_LEN || !kt_is_p256_scalar(parts->scalar.p))
		return KT_ERR_INVALID;
	errno = 0;
	ret = wc_ecc_import_private_key_ex(parts->scalar.p, KT_SCALAR_LEN, NULL, 0, key->ec,
					   ECC_SECP256R1);
	if (ret == 0)
		ret = wc_ecc_make_pub_ex(key->ec, NULL, &c->rng);
	if (ret != 0)
		return kt_wolfssl_note(c, ret);
	err = note_public(c, key);
	if (err != KT_ERR_OK)
		return err;
	/* A public key that is not the private one's would go unnoticed into every request. */
	if (parts->point.len > 0 &&
	    !kt_bytes_are(parts->point, kt_public_key_point(&key->public_key), KT_POINT_LEN))
		return KT_ERR_INVALID;
	return KT_ERR_OK;
}

static enum kt_err read_key_pem(struct kt_bytes pem, uint8_t der[static PEM_KEY_MAX],
				struct private_parts *out)
{
	struct kt_bytes at = pem;
	struct kt_bytes view = {der, 0};
	enum kt_err err = kt_pem_take(&at, "PRIVATE KEY", der, PEM_KEY_MAX, &view.len);

	if (err == KT_ERR_OK)
		return read_pkcs8(view, out);
	if (err != KT_ERR_NOT_FOUND)
		/* No P-256 key is that long. */
		return err == KT_ERR_TOO_LONG ? KT_ERR_UNSUPPORTED : err;
	at = pem;
	err = kt_pem_take(&at, "EC PRIVATE KEY", der, PEM_KEY_MAX, &view.len);
	if (err == KT_ERR_OK)
		return read_sec1(view, true, out);
	return err == KT_ERR_TOO_LONG || memmem(pem.p, pem.len, "PRIVATE KEY-----", 16) != NULL
		       ? KT_ERR_UNSUPPORTED
		       : KT_ERR_INVALID;
}

enum kt_err kt_key_from_pem(struct kt_crypto *c, const uint8_t *pem, size_t len,
			    struct kt_key **out)
{
	struct kt_bytes view = {pem, len};
	struct private_parts parts = {{NULL, 0}, {NULL, 0}};
	struct kt_key *key = NULL;
	uint8_t der[PEM_KEY_MAX];
	enum kt_err err;

	*out = NULL;
	err = read_key_pem(view, der, &parts);
	if (err != KT_ERR_OK)
		goto out;
	err = key_alloc(c, &key);
	if (err != KT_ERR_OK)
		goto out;
	err = import_private(c, &parts, key);
	if (err != KT_ERR_OK)
		goto out;
	*out = key;
	key = NULL; /* moved */
out:
	kt_key_free(key);
	kt_wipe(der, sizeof(der));
	kt_wolfssl_drop_tables();
	wipe_dead_stack();
	return err;
}

/* --- signatures --- */

enum kt_err kt_wolfssl_sign(struct kt_crypto *c, const struct kt_key *key,
			    const uint8_t hash[static 32], uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t der[KT_ECDSA_DER_MAX];
	uint8_t r[KT_SCALAR_LEN];
	uint8_t s[KT_SCALAR_LEN];
	word32 der_len = sizeof(der);
	word32 r_len = sizeof(r);
	word32 s_len = sizeof(s);
	int ret;

	memset(sig, 0, KT_SIGNATURE_MAX);
	errno = 0;
	ret = wc_ecc_sign_hash(hash, HASH_LEN, der, &der_len, &c->rng, key->ec);
	if (ret == 0)
		ret = wc_ecc_sig_to_rs(der, der_len, r, &r_len, s, &s_len);
	kt_wolfssl_drop_tables();
	wipe_dead_stack();
	if (ret != 0)
		return kt_wolfssl_note(c, ret);
	memcpy(sig + KT_SCALAR_LEN - r_len, r, r_len);
	memcpy(sig + KT_SIGNATURE_MAX - s_len, s, s_len);
	return KT_ERR_OK;
}

enum kt_err kt_key_sign(struct kt_crypto *c, const struct kt_key *key, const uint8_t *msg,
			size_t len, uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t hash[HASH_LEN];

	kt_sha256(msg, len, hash);
	if (key->fast != NULL && kt_openssl_sign(key->fast, hash, sig))
		return KT_ERR_OK;
	return kt_wolfssl_sign(c, key, hash, sig);
}

enum kt_err kt_wolfssl_verify(const struct kt_public_key *key, const uint8_t hash[static 32],
			      const uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t der[KT_ECDSA_DER_MAX];
	word32 der_len = sizeof(der);
	ecc_key ec;
	enum kt_err err;
	int is_good = 0;
	int ret;

	errno = 0;
	ret = wc_ecc_rs_raw_to_sig(sig, KT_SCALAR_LEN, sig + KT_SCALAR_LEN, KT_SCALAR_LEN, der,
				   &der_len);
	if (ret != 0)
		return kt_wolfssl_is_nomem(ret) ? KT_ERR_NOMEM : KT_ERR_VERIFY;
	err = import_point(kt_public_key_point(key), &ec);
	if (err != KT_ERR_OK)
		return err == KT_ERR_NOMEM ? err : KT_ERR_VERIFY;
	errno = 0;
	/* 0 means that it was computed, not that it is good. */
	ret = wc_ecc_verify_hash(der, der_len, hash, HASH_LEN, &is_good, &ec);
	err = ret != 0 && kt_wolfssl_is_nomem(ret) ? KT_ERR_NOMEM : KT_ERR_VERIFY;
	(void)wc_ecc_free(&ec);
	kt_wolfssl_drop_tables();
	return ret == 0 && is_good == 1 ? KT_ERR_OK : err;
}

enum kt_err kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
		      const uint8_t *sig, size_t sig_len)
{
	uint8_t hash[HASH_LEN];

	if (key->alg != KT_ALG_ES256 || key->spki_len != P256_SPKI_LEN ||
	    sig_len != KT_SIGNATURE_MAX || !kt_is_es256_range(sig))
		return KT_ERR_VERIFY;
	kt_sha256(msg, len, hash);
	if (kt_openssl_is_good(kt_public_key_point(key), hash, sig))
		return KT_ERR_OK;
	return kt_wolfssl_verify(key, hash, sig);
}
