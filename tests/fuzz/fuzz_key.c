/*
 * Keys and signatures. The first byte says what the rest is: a private key in PEM, a public key in
 * DER, a point, or point, signature and message in a row.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "crypto_asn1.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What was accepted is written as we write it, and reads as the same key. */
static void check_public(enum kt_err err, const struct kt_public_key *key)
{
	static const struct kt_public_key none;
	struct kt_public_key again;

	if (err != KT_ERR_OK) {
		FUZZ_REQUIRE(err == KT_ERR_INVALID || err == KT_ERR_UNSUPPORTED);
		FUZZ_REQUIRE(key->alg == none.alg && key->spki_len == 0);
		return;
	}
	FUZZ_REQUIRE(key->alg == KT_ALG_ES256 && key->spki_len <= KT_SPKI_MAX);
	FUZZ_REQUIRE(kt_public_key_from_spki(key->spki, key->spki_len, &again) == KT_ERR_OK);
	FUZZ_REQUIRE(again.spki_len == key->spki_len &&
		     memcmp(again.spki, key->spki, key->spki_len) == 0);
}

static void try_private(struct kt_bytes pem)
{
	struct kt_crypto *crypto = NULL;
	struct kt_secret *text = NULL;
	struct kt_key *key = NULL;
	struct kt_key *again = NULL;

	FUZZ_REQUIRE(kt_crypto_new(&crypto) == KT_ERR_OK);
	if (kt_key_from_pem(crypto, pem.p, pem.len, &key) == KT_ERR_OK) {
		check_public(KT_ERR_OK, kt_key_public(key));
		FUZZ_REQUIRE(kt_key_to_pem(key, &text) == KT_ERR_OK);
		FUZZ_REQUIRE(kt_key_from_pem(crypto, kt_secret_view(text).p,
					     kt_secret_view(text).len, &again) == KT_ERR_OK);
		FUZZ_REQUIRE(memcmp(kt_key_public(again)->spki, kt_key_public(key)->spki,
				    kt_key_public(key)->spki_len) == 0);
	} else {
		FUZZ_REQUIRE(key == NULL);
	}
	kt_secret_free(text);
	kt_key_free(again);
	kt_key_free(key);
	kt_crypto_free(crypto);
}

/* Of whom a signature may be, of those it is. */
static void try_signature(struct fuzz_input *in)
{
	const struct kt_bytes point = fuzz_take(in, KT_POINT_LEN);
	const struct kt_bytes sig = fuzz_take(in, KT_SIGNATURE_MAX);
	struct kt_public_key recovered[KT_RECOVERED_MAX];
	struct kt_public_key key;
	uint8_t whole[KT_SIGNATURE_MAX] = {0};
	bool is_found = false;
	bool holds = false;
	size_t count;

	memcpy(whole, sig.p, sig.len);
	if (point.len == KT_POINT_LEN && kt_public_key_from_point(point.p, &key) == KT_ERR_OK)
		holds = kt_verify(&key, in->p, in->left, sig.p, sig.len) == KT_ERR_OK;
	count = kt_recover(in->p, in->left, whole, recovered);
	FUZZ_REQUIRE(count <= KT_RECOVERED_MAX);
	for (size_t i = 0; i < count; i++) {
		check_public(KT_ERR_OK, &recovered[i]);
		FUZZ_REQUIRE(kt_verify(&recovered[i], in->p, in->left, whole, sizeof(whole)) ==
			     KT_ERR_OK);
		FUZZ_REQUIRE(kt_verify(&recovered[i], in->p, in->left, whole, sizeof(whole) - 1) ==
			     KT_ERR_VERIFY);
		is_found = is_found ||
			   (holds && memcmp(recovered[i].spki, key.spki, key.spki_len) == 0);
	}
	FUZZ_REQUIRE(!holds || is_found);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	struct kt_public_key key;

	switch (fuzz_below(&in, 4)) {
	case 0:
		try_private((struct kt_bytes){in.p, in.left});
		break;
	case 1:
		check_public(kt_public_key_from_spki(in.p, in.left, &key), &key);
		break;
	case 2:
		if (in.left >= KT_POINT_LEN)
			check_public(kt_public_key_from_point(in.p, &key), &key);
		break;
	default:
		try_signature(&in);
		break;
	}
	return 0;
}
