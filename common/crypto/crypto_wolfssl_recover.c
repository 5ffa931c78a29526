/*
 * crypto_wolfssl_recover - of which keys may an ES256 signature be? (SEC 1, version 2, 4.1.6)
 *
 * Q = 1/r (s R - e G), for both points R whose x is r. That x may also have been r + n is left out:
 * it is for one signature in 2^128. Nothing here is secret, and no right rests on the outcome.
 */
#include "crypto_wolfssl.h"

#include <string.h>

#include "crypto_asn1.h"

struct recovery {
	int curve;
	ecc_point *common; /* -e/r G, which both keys have in common */
	ecc_point *sum;
	mp_int order;
	mp_int prime;
	mp_int a;
	mp_int r;
	mp_int s;
	mp_int e;
	mp_int slope;
	mp_int run;
};

static bool begin(struct recovery *n, const ecc_set_type *curve, const uint8_t *msg, size_t len,
		  const uint8_t sig[static KT_SIGNATURE_MAX])
{
	uint8_t hash[KT_SCALAR_LEN];

	kt_sha256(msg, len, hash);
	return mp_init_multi(&n->order, &n->prime, &n->a, &n->r, &n->s, &n->e) == MP_OKAY &&
	       mp_init_multi(&n->slope, &n->run, NULL, NULL, NULL, NULL) == MP_OKAY &&
	       mp_read_radix(&n->order, curve->order, MP_RADIX_HEX) == MP_OKAY &&
	       mp_read_radix(&n->prime, curve->prime, MP_RADIX_HEX) == MP_OKAY &&
	       mp_read_radix(&n->a, curve->Af, MP_RADIX_HEX) == MP_OKAY &&
	       mp_read_unsigned_bin(&n->r, sig, KT_SCALAR_LEN) == MP_OKAY &&
	       mp_read_unsigned_bin(&n->s, sig + KT_SCALAR_LEN, KT_SCALAR_LEN) == MP_OKAY &&
	       mp_read_unsigned_bin(&n->e, hash, sizeof(hash)) == MP_OKAY;
}

/* s becomes s/r, e becomes -e/r, modulo the order. False where one of them is 0. */
static bool divide(struct recovery *n)
{
	return mp_invmod(&n->r, &n->order, &n->run) == MP_OKAY &&
	       mp_mulmod(&n->s, &n->run, &n->order, &n->s) == MP_OKAY &&
	       mp_mod(&n->e, &n->order, &n->e) == MP_OKAY &&
	       mp_mulmod(&n->e, &n->run, &n->order, &n->e) == MP_OKAY && !mp_iszero(&n->e) &&
	       mp_sub(&n->order, &n->e, &n->e) == MP_OKAY;
}

/* @p becomes @p + @q, both affine. False where their x is the same: no key is worth that case. */
static bool add(struct recovery *n, ecc_point *p, ecc_point *q)
{
	mp_int x;

	if (mp_cmp(p->x, q->x) == MP_EQ || mp_init(&x) != MP_OKAY)
		return false;
	return mp_submod(q->x, p->x, &n->prime, &n->run) == MP_OKAY &&
	       mp_invmod(&n->run, &n->prime, &n->run) == MP_OKAY &&
	       mp_submod(q->y, p->y, &n->prime, &n->slope) == MP_OKAY &&
	       mp_mulmod(&n->slope, &n->run, &n->prime, &n->slope) == MP_OKAY &&
	       mp_mulmod(&n->slope, &n->slope, &n->prime, &x) == MP_OKAY &&
	       mp_submod(&x, p->x, &n->prime, &x) == MP_OKAY &&
	       mp_submod(&x, q->x, &n->prime, &x) == MP_OKAY &&
	       mp_submod(p->x, &x, &n->prime, &n->run) == MP_OKAY &&
	       mp_mulmod(&n->run, &n->slope, &n->prime, &n->run) == MP_OKAY &&
	       mp_submod(&n->run, p->y, &n->prime, p->y) == MP_OKAY && mp_copy(&x, p->x) == MP_OKAY;
}

static bool start(struct recovery *n)
{
	return wc_ecc_get_generator(n->common, n->curve) == 0 &&
	       wc_ecc_mulmod(&n->e, n->common, n->common, &n->a, &n->prime, 1) == 0;
}

/* @sign: 2 or 3, which of the two points R. */
static bool recover_one(struct recovery *n, uint8_t sign, const uint8_t r[static KT_SCALAR_LEN],
			struct kt_public_key *out)
{
	uint8_t point[KT_POINT_LEN];
	word32 len = sizeof(point);

	point[0] = sign;
	memcpy(point + 1, r, KT_SCALAR_LEN);
	/* the last argument: the length given is that of one coordinate, not of two */
	if (wc_ecc_import_point_der_ex(point, 1 + KT_SCALAR_LEN, n->curve, n->sum, 0) != 0 ||
	    wc_ecc_mulmod(&n->s, n->sum, n->sum, &n->a, &n->prime, 1) != 0 ||
	    !add(n, n->sum, n->common))
		return false;
	/* the point is checked as any that comes from outside */
	return wc_ecc_export_point_der(n->curve, n->sum, point, &len) == 0 &&
	       len == sizeof(point) && kt_public_key_from_point(point, out) == KT_ERR_OK;
}

size_t kt_recover(const uint8_t *msg, size_t len, const uint8_t sig[static KT_SIGNATURE_MAX],
		  struct kt_public_key out[static KT_RECOVERED_MAX])
{
	struct recovery n = {.curve = wc_ecc_get_curve_idx(ECC_SECP256R1)};
	size_t count = 0;

	memset(out, 0, KT_RECOVERED_MAX * sizeof(out[0]));
	if (n.curve < 0 || !kt_is_es256_range(sig))
		return 0;
	n.common = wc_ecc_new_point();
	n.sum = wc_ecc_new_point();
	if (n.common != NULL && n.sum != NULL &&
	    begin(&n, wc_ecc_get_curve_params(n.curve), msg, len, sig) && divide(&n) && start(&n)) {
		for (uint8_t sign = 2; sign <= 3; sign++) {
			if (recover_one(&n, sign, sig, &out[count]))
				count++;
		}
	}
	wc_ecc_del_point(n.sum);
	wc_ecc_del_point(n.common);
	kt_wolfssl_drop_tables();
	return count;
}
