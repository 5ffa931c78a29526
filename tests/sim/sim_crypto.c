#include "sim_crypto.h"

#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "crypto_asn1.h"
#include "sim_random.h"

enum { SEED_LEN = 32, LINE_MAX_PEM = 256 };

struct kt_crypto { /* fast: nothing to keep, but an address of its own */
	int last;
};

struct kt_key { /* fast */
	uint8_t seed[SEED_LEN];
	struct kt_public_key public_key;
};

static bool is_real;
static struct sim_random randoms;

void sim_crypto_begin(bool real, uint64_t seed)
{
	is_real = real;
	randoms = sim_stream(seed, 0x637279);
}

/* wolfCrypt's own source of entropy, in real runs: the library calls this one instead. */
int wc_GenerateSeed(void *os, uint8_t *output, uint32_t len);
int wc_GenerateSeed(void *os, uint8_t *output, uint32_t len)
{
	(void)os;
	sim_fill(&randoms, output, len);
	return 0;
}

#define WRAP(type, name, params)                                                                   \
	type __real_##name params;                                                                 \
	type __wrap_##name params

WRAP(enum kt_err, kt_crypto_new, (struct kt_crypto * *out));
WRAP(void, kt_crypto_free, (struct kt_crypto * c));
WRAP(enum kt_err, kt_random, (struct kt_crypto * c, uint8_t *out, size_t len));
WRAP(enum kt_err, kt_key_new, (struct kt_crypto * c, enum kt_alg alg, struct kt_key **out));
WRAP(void, kt_key_free, (struct kt_key * key));
WRAP(enum kt_err, kt_key_to_pem, (const struct kt_key *key, struct kt_secret **out));
WRAP(enum kt_err, kt_key_from_pem,
     (struct kt_crypto * c, const uint8_t *pem, size_t len, struct kt_key **out));
WRAP(const struct kt_public_key *, kt_key_public, (const struct kt_key *key));
WRAP(enum kt_err, kt_key_sign,
     (struct kt_crypto * c, const struct kt_key *key, const uint8_t *msg, size_t len,
      uint8_t sig[static KT_SIGNATURE_MAX]));
WRAP(enum kt_err, kt_verify,
     (const struct kt_public_key *key, const uint8_t *msg, size_t len, const uint8_t *sig,
      size_t sig_len));
WRAP(size_t, kt_recover,
     (const uint8_t *msg, size_t len, const uint8_t sig[static KT_SIGNATURE_MAX],
      struct kt_public_key out[static KT_RECOVERED_MAX]));
WRAP(enum kt_err, kt_public_key_from_spki,
     (const uint8_t *spki, size_t len, struct kt_public_key *out));
WRAP(enum kt_err, kt_public_key_from_point,
     (const uint8_t point[static KT_POINT_LEN], struct kt_public_key *out));

WRAP(void, kt_sha256, (const void *bytes, size_t len, uint8_t out[static 32]));
WRAP(struct kt_fingerprint, kt_fingerprint_of, (const uint8_t *cert_der, size_t len));
WRAP(struct kt_key_id, kt_key_id_of, (const struct kt_public_key *key));

enum kt_err __wrap_kt_crypto_new(struct kt_crypto **out)
{
	if (is_real)
		return __real_kt_crypto_new(out);
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? KT_ERR_NOMEM : KT_ERR_OK;
}

void __wrap_kt_crypto_free(struct kt_crypto *c)
{
	if (is_real)
		__real_kt_crypto_free(c);
	else
		free(c);
}

enum kt_err __wrap_kt_random(struct kt_crypto *c, uint8_t *out, size_t len)
{
	if (is_real)
		return __real_kt_random(c, out, len);
	sim_fill(&randoms, out, len);
	return KT_ERR_OK;
}

/* --- keys --- */

static const uint8_t spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
				    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static void mix(uint64_t seed, const uint8_t *bytes, size_t len, uint8_t out[static 32])
{
	uint64_t h = seed ^ len * UINT64_C(0x9e3779b97f4a7c15);
	struct sim_random r;

	while (len >= 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
		bytes += 8;
		len -= 8;
	}
	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	r = sim_stream(h, 1);
	sim_fill(&r, out, 32);
	out[0] = (uint8_t)((out[0] & 0x3f) | 0x01); /* a scalar below the order, and not zero */
}

void __wrap_kt_sha256(const void *bytes, size_t len, uint8_t out[static 32])
{
	if (is_real)
		__real_kt_sha256(bytes, len, out);
	else
		mix(4, bytes, len, out);
}

struct kt_fingerprint __wrap_kt_fingerprint_of(const uint8_t *cert_der, size_t len)
{
	struct kt_fingerprint fp;

	__wrap_kt_sha256(cert_der, len, fp.b);
	return fp;
}

struct kt_key_id __wrap_kt_key_id_of(const struct kt_public_key *key)
{
	struct kt_key_id id;

	__wrap_kt_sha256(key->spki, key->spki_len, id.b);
	return id;
}

static void public_of(const uint8_t seed[static SEED_LEN], struct kt_public_key *out)
{
	uint8_t *point = out->spki + sizeof(spki_head);

	memset(out, 0, sizeof(*out));
	out->alg = KT_ALG_ES256;
	out->spki_len = sizeof(spki_head) + KT_POINT_LEN;
	memcpy(out->spki, spki_head, sizeof(spki_head));
	point[0] = 0x04;
	mix(2, seed, SEED_LEN, point + 1);
	mix(3, point + 1, 32, point + 33);
}

enum kt_err __wrap_kt_public_key_from_point(const uint8_t point[static KT_POINT_LEN],
					    struct kt_public_key *out)
{
	uint8_t y[32];

	if (is_real)
		return __real_kt_public_key_from_point(point, out);
	memset(out, 0, sizeof(*out));
	mix(3, point + 1, 32, y);
	if (point[0] != 0x04 || memcmp(point + 33, y, sizeof(y)) != 0)
		return KT_ERR_INVALID;
	out->alg = KT_ALG_ES256;
	out->spki_len = sizeof(spki_head) + KT_POINT_LEN;
	memcpy(out->spki, spki_head, sizeof(spki_head));
	memcpy(out->spki + sizeof(spki_head), point, KT_POINT_LEN);
	return KT_ERR_OK;
}

enum kt_err __wrap_kt_public_key_from_spki(const uint8_t *spki, size_t len,
					   struct kt_public_key *out)
{
	if (is_real)
		return __real_kt_public_key_from_spki(spki, len, out);
	memset(out, 0, sizeof(*out));
	if (len == KT_POINT_LEN)
		return __wrap_kt_public_key_from_point(spki, out);
	if (len != sizeof(spki_head) + KT_POINT_LEN ||
	    memcmp(spki, spki_head, sizeof(spki_head)) != 0)
		return KT_ERR_INVALID;
	return __wrap_kt_public_key_from_point(spki + sizeof(spki_head), out);
}

static enum kt_err key_of(const uint8_t seed[static SEED_LEN], struct kt_key **out)
{
	struct kt_key *key = calloc(1, sizeof(*key));

	*out = key;
	if (key == NULL)
		return KT_ERR_NOMEM;
	memcpy(key->seed, seed, SEED_LEN);
	public_of(seed, &key->public_key);
	return KT_ERR_OK;
}

enum kt_err __wrap_kt_key_new(struct kt_crypto *c, enum kt_alg alg, struct kt_key **out)
{
	uint8_t seed[SEED_LEN];

	if (is_real)
		return __real_kt_key_new(c, alg, out);
	*out = NULL;
	if (alg != KT_ALG_ES256)
		return KT_ERR_UNSUPPORTED;
	sim_fill(&randoms, seed, sizeof(seed));
	return key_of(seed, out);
}

void __wrap_kt_key_free(struct kt_key *key)
{
	if (is_real)
		__real_kt_key_free(key);
	else
		free(key);
}

const struct kt_public_key *__wrap_kt_key_public(const struct kt_key *key)
{
	return is_real ? __real_kt_key_public(key) : &key->public_key;
}

enum kt_err __wrap_kt_key_to_pem(const struct kt_key *key, struct kt_secret **out)
{
	struct kt_secret *pem = NULL;
	size_t len = kt_pem_len("PRIVATE KEY", SEED_LEN);
	enum kt_err err;

	if (is_real)
		return __real_kt_key_to_pem(key, out);
	*out = NULL;
	err = kt_secret_new(len + 1, &pem);
	if (err != KT_ERR_OK)
		return err;
	err = kt_pem_put("PRIVATE KEY", key->seed, SEED_LEN, (char *)kt_secret_bytes(pem), len + 1);
	kt_secret_truncate(pem, len);
	*out = pem;
	return err;
}

enum kt_err __wrap_kt_key_from_pem(struct kt_crypto *c, const uint8_t *pem, size_t len,
				   struct kt_key **out)
{
	struct kt_bytes at = {pem, len};
	uint8_t seed[LINE_MAX_PEM];
	size_t seed_len = 0;
	enum kt_err err;

	if (is_real)
		return __real_kt_key_from_pem(c, pem, len, out);
	*out = NULL;
	err = kt_pem_take(&at, "PRIVATE KEY", seed, sizeof(seed), &seed_len);
	if (err == KT_ERR_OK && seed_len != SEED_LEN)
		err = KT_ERR_INVALID;
	return err == KT_ERR_OK ? key_of(seed, out) : err;
}

/* --- signatures --- */

static void sign_with(const struct kt_public_key *key, const uint8_t *msg, size_t len,
		      uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint64_t mac;

	memcpy(&mac, key->spki + sizeof(spki_head) + 1, sizeof(mac));
	mix(mac, msg, len, sig);
	mix(mac ^ UINT64_C(0x5bf03635), sig, 32, sig + 32);
}

enum kt_err __wrap_kt_key_sign(struct kt_crypto *c, const struct kt_key *key, const uint8_t *msg,
			       size_t len, uint8_t sig[static KT_SIGNATURE_MAX])
{
	if (is_real)
		return __real_kt_key_sign(c, key, msg, len, sig);
	sign_with(&key->public_key, msg, len, sig);
	return KT_ERR_OK;
}

enum kt_err __wrap_kt_verify(const struct kt_public_key *key, const uint8_t *msg, size_t len,
			     const uint8_t *sig, size_t sig_len)
{
	uint8_t expected[KT_SIGNATURE_MAX];

	if (is_real)
		return __real_kt_verify(key, msg, len, sig, sig_len);
	if (key->alg != KT_ALG_ES256 || sig_len != KT_SIGNATURE_MAX)
		return KT_ERR_VERIFY;
	sign_with(key, msg, len, expected);
	return memcmp(expected, sig, sizeof(expected)) == 0 ? KT_ERR_OK : KT_ERR_VERIFY;
}

/* A keyed hash does not tell whose it is. */
size_t __wrap_kt_recover(const uint8_t *msg, size_t len, const uint8_t sig[static KT_SIGNATURE_MAX],
			 struct kt_public_key out[static KT_RECOVERED_MAX])
{
	if (is_real)
		return __real_kt_recover(msg, len, sig, out);
	memset(out, 0, KT_RECOVERED_MAX * sizeof(out[0]));
	return 0;
}
