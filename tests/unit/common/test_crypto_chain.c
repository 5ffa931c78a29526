#include "crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "cert_maker.h"
#include "crypto_asn1.h"

static const int64_t in_2020_s = 1577836800;
static const int64_t in_2026_s = 1767225600;
static const int64_t in_2040_s = 2208988800;

static struct kt_crypto *c;
static struct kt_key *root_key;
static struct kt_key *mid_key;
static struct kt_key *low_key;
static struct kt_key *leaf_key;

static int start(void **state)
{
	struct kt_key **keys[] = {&root_key, &mid_key, &low_key, &leaf_key};

	(void)state;
	if (kt_crypto_new(&c) != KT_ERR_OK)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		if (kt_key_new(c, KT_ALG_ES256, keys[i]) != KT_ERR_OK)
			return -1;
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kt_key_free(root_key);
	kt_key_free(mid_key);
	kt_key_free(low_key);
	kt_key_free(leaf_key);
	kt_crypto_free(c);
	return 0;
}

struct plans { /* root > mid > leaf, each to be spoilt */
	struct cert_plan root;
	struct cert_plan mid;
	struct cert_plan leaf;
};

static struct plans good_plans(void)
{
	struct plans plans = {
		.root = cert_plan_ca("root", root_key, "root", root_key),
		.mid = cert_plan_ca("mid", mid_key, "root", root_key),
		.leaf = cert_plan_leaf("hub-1", leaf_key, "mid", mid_key),
	};

	return plans;
}

static enum kt_err verify_at(const struct plans *plans, int64_t time_s, enum kt_dates *dates)
{
	struct made_cert root = make_cert(c, &plans->root);
	struct made_cert mid = make_cert(c, &plans->mid);
	struct made_cert leaf = make_cert(c, &plans->leaf);
	struct kt_bytes certs[2] = {cert_view(&leaf), cert_view(&mid)};

	return kt_chain_verify(cert_view(&root), certs, 2, time_s, dates);
}

static enum kt_err verify(const struct plans *plans)
{
	enum kt_dates dates = KT_DATES_EXPIRED;
	enum kt_err err = verify_at(plans, in_2026_s, &dates);

	assert_int_equal(dates, KT_DATES_GOOD);
	return err;
}

static void verifies_a_leaf_under_two_cas(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	assert_int_equal(verify(&plans), KT_ERR_OK);
}

static void verifies_a_leaf_right_under_the_root(void **state)
{
	struct plans plans = good_plans();
	struct cert_plan plan = cert_plan_leaf("controller", leaf_key, "root", root_key);
	struct made_cert root = make_cert(c, &plans.root);
	struct made_cert leaf = make_cert(c, &plan);
	struct kt_bytes one = cert_view(&leaf);
	enum kt_dates dates;

	(void)state;
	assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, in_2026_s, &dates), KT_ERR_OK);
}

static void another_root_of_the_same_name_does_not_verify(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.root = cert_plan_ca("root", low_key, "root", low_key);
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void a_root_of_another_name_does_not_verify(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.root.subject = "Root";
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void a_root_that_is_no_ca_does_not_verify(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.root.is_ca = false;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.root.key_usage = KT_KU_DIGITAL_SIGNATURE;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.root.version = 1;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void a_missing_intermediate_does_not_verify(void **state)
{
	struct plans plans = good_plans();
	struct made_cert root = make_cert(c, &plans.root);
	struct made_cert leaf = make_cert(c, &plans.leaf);
	struct kt_bytes one = cert_view(&leaf);
	enum kt_dates dates;

	(void)state;
	assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, in_2026_s, &dates),
			 KT_ERR_VERIFY);
}

static void a_swapped_chain_does_not_verify(void **state)
{
	struct plans plans = good_plans();
	struct made_cert root = make_cert(c, &plans.root);
	struct made_cert mid = make_cert(c, &plans.mid);
	struct made_cert leaf = make_cert(c, &plans.leaf);
	struct kt_bytes certs[2] = {cert_view(&mid), cert_view(&leaf)};
	enum kt_dates dates;

	(void)state;
	assert_int_equal(kt_chain_verify(cert_view(&root), certs, 2, in_2026_s, &dates),
			 KT_ERR_VERIFY);
}

static void an_intermediate_must_be_a_ca_that_may_sign(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.mid.is_ca = false; /* a leaf that signs */
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.mid.without_basic = true;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.mid.key_usage = KT_KU_DIGITAL_SIGNATURE | KT_KU_CRL_SIGN;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.mid.key_usage = -1;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.mid.version = 1;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void an_intermediate_must_come_from_the_root(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.mid.issuer_key = low_key;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.leaf.issuer_key = low_key;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
	plans = good_plans();
	plans.leaf.issuer = "root";
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static enum kt_err verify_three(int root_len, int mid_len, int low_len)
{
	struct plans plans = good_plans();
	struct cert_plan low = cert_plan_ca("low", low_key, "mid", mid_key);
	struct made_cert certs[4];
	struct kt_bytes chain[3];
	enum kt_dates dates;

	plans.root.path_len = root_len;
	plans.mid.path_len = mid_len;
	low.path_len = low_len;
	plans.leaf.issuer = "low";
	plans.leaf.issuer_key = low_key;
	certs[0] = make_cert(c, &plans.root);
	certs[1] = make_cert(c, &plans.mid);
	certs[2] = make_cert(c, &low);
	certs[3] = make_cert(c, &plans.leaf);
	for (size_t i = 0; i < 3; i++)
		chain[i] = cert_view(&certs[3 - i]);
	return kt_chain_verify(cert_view(&certs[0]), chain, 3, in_2026_s, &dates);
}

static void path_lengths_count_the_cas_below(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	assert_int_equal(verify_three(-1, -1, -1), KT_ERR_OK);
	assert_int_equal(verify_three(2, 1, 0), KT_ERR_OK);
	assert_int_equal(verify_three(1, -1, -1), KT_ERR_VERIFY);
	assert_int_equal(verify_three(-1, 0, -1), KT_ERR_VERIFY);
	assert_int_equal(verify_three(0, -1, 0), KT_ERR_VERIFY);
	plans.mid.path_len = 0;
	assert_int_equal(verify(&plans), KT_ERR_OK);
	plans.root.path_len = 0;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void dates_of_every_certificate_count(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct plans plans = good_plans();
		struct cert_plan *plan[3] = {&plans.root, &plans.mid, &plans.leaf};
		enum kt_dates dates;

		plan[i]->not_after_s = in_2026_s;
		assert_int_equal(verify_at(&plans, in_2026_s, &dates), KT_ERR_OK);
		assert_int_equal(verify_at(&plans, in_2026_s + 1, &dates), KT_ERR_DATES);
		assert_int_equal(dates, KT_DATES_EXPIRED);
		assert_int_equal(verify_at(&plans, -1, &dates), KT_ERR_OK);
		assert_int_equal(dates, KT_DATES_GOOD);
		plan[i]->not_before_s = in_2026_s;
		plan[i]->not_after_s = in_2040_s;
		assert_int_equal(verify_at(&plans, in_2026_s, &dates), KT_ERR_OK);
		assert_int_equal(verify_at(&plans, in_2026_s - 1, &dates), KT_ERR_DATES);
		assert_int_equal(dates, KT_DATES_NOT_YET);
	}
}

static void an_end_counts_more_than_a_beginning(void **state)
{
	struct plans plans = good_plans();
	enum kt_dates dates;

	(void)state;
	plans.root.not_after_s = in_2026_s - 1;
	plans.leaf.not_before_s = in_2040_s;
	assert_int_equal(verify_at(&plans, in_2026_s, &dates), KT_ERR_DATES);
	assert_int_equal(dates, KT_DATES_EXPIRED);
	plans = good_plans();
	plans.leaf.not_after_s = in_2026_s - 1;
	plans.root.not_before_s = in_2040_s;
	assert_int_equal(verify_at(&plans, in_2026_s, &dates), KT_ERR_DATES);
	assert_int_equal(dates, KT_DATES_EXPIRED);
}

static void a_bad_signature_is_told_before_bad_dates(void **state)
{
	struct plans plans = good_plans();
	enum kt_dates dates;

	(void)state;
	plans.mid.not_after_s = in_2020_s + 1;
	plans.leaf.issuer_key = low_key;
	assert_int_equal(verify_at(&plans, in_2026_s, &dates), KT_ERR_VERIFY);
	assert_int_equal(dates, KT_DATES_GOOD);
}

static void without_end_is_good_at_any_time(void **state)
{
	struct plans plans = good_plans();
	enum kt_dates dates;

	(void)state;
	assert_int_equal(verify_at(&plans, KT_CERT_NO_END, &dates), KT_ERR_OK);
	assert_int_equal(verify_at(&plans, INT64_MAX, &dates), KT_ERR_DATES);
	assert_int_equal(verify_at(&plans, 0, &dates), KT_ERR_DATES);
	assert_int_equal(dates, KT_DATES_NOT_YET);
}

static void critical_extensions_that_we_do_not_know_are_refused_anywhere(void **state)
{
	/* 2.5.29.99 */
	static const uint8_t critical[] = {0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x63,
					   0x01, 0x01, 0xff, 0x04, 0x02, 0x05, 0x00};
	static const uint8_t plain[] = {0x30, 0x09, 0x06, 0x03, 0x55, 0x1d,
					0x63, 0x04, 0x02, 0x05, 0x00};
	/* nameConstraints, not critical: what it says would be passed over */
	static const uint8_t names[] = {0x30, 0x09, 0x06, 0x03, 0x55, 0x1d,
					0x1e, 0x04, 0x02, 0x30, 0x00};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct plans plans = good_plans();
		struct cert_plan *plan[3] = {&plans.root, &plans.mid, &plans.leaf};

		plan[i]->extra.p = critical;
		plan[i]->extra.len = sizeof(critical);
		assert_int_equal(verify(&plans), KT_ERR_VERIFY);
		plan[i]->extra.p = names;
		plan[i]->extra.len = sizeof(names);
		assert_int_equal(verify(&plans), KT_ERR_VERIFY);
		plan[i]->extra.p = plain;
		plan[i]->extra.len = sizeof(plain);
		assert_int_equal(verify(&plans), KT_ERR_OK);
	}
}

static void inner_and_outer_algorithm_must_agree(void **state)
{
	struct plans plans = good_plans();

	(void)state;
	plans.leaf.breaks_inner_algorithm = true;
	assert_int_equal(verify(&plans), KT_ERR_VERIFY);
}

static void every_flipped_bit_of_a_leaf_is_refused(void **state)
{
	struct plans plans = good_plans();
	struct made_cert root = make_cert(c, &plans.root);
	struct cert_plan plan = cert_plan_leaf("hub-1", leaf_key, "root", root_key);
	struct made_cert leaf = make_cert(c, &plan);
	struct kt_bytes one = cert_view(&leaf);
	enum kt_dates dates;

	(void)state;
	for (size_t bit = 0; bit < 8 * leaf.len; bit++) {
		leaf.der[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, -1, &dates),
				 KT_ERR_VERIFY);
		leaf.der[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (one.len = 0; one.len < leaf.len; one.len++)
		assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, -1, &dates),
				 KT_ERR_VERIFY);
	assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, -1, &dates), KT_ERR_OK);
	one.len++;
	assert_int_equal(kt_chain_verify(cert_view(&root), &one, 1, -1, &dates), KT_ERR_VERIFY);
}

static void no_chain_and_too_long_a_chain_are_refused(void **state)
{
	struct plans plans = good_plans();
	struct made_cert root = make_cert(c, &plans.root);
	struct kt_bytes certs[KT_CHAIN_MAX + 1];
	enum kt_dates dates;

	(void)state;
	for (size_t i = 0; i <= KT_CHAIN_MAX; i++)
		certs[i] = cert_view(&root);
	assert_int_equal(kt_chain_verify(cert_view(&root), certs, 0, -1, &dates), KT_ERR_VERIFY);
	assert_int_equal(kt_chain_verify(cert_view(&root), certs, KT_CHAIN_MAX + 1, -1, &dates),
			 KT_ERR_VERIFY);
}

static struct kt_bytes load(const char *name, uint8_t **storage)
{
	struct kt_bytes view;
	char path[512];
	size_t count;
	size_t len;
	uint8_t *pem;

	(void)snprintf(path, sizeof(path), KT_VECTORS "/pki/%s", name);
	pem = read_file(path, &len);
	assert_int_equal(kt_pem_certs(pem, len, &view, 1, &count, storage), KT_ERR_OK);
	assert_int_equal(count, 1);
	free(pem);
	return view;
}

static void verifies_what_openssl_made(void **state)
{
	uint8_t *storage[4];
	struct kt_bytes root = load("root.pem", &storage[0]);
	struct kt_bytes issuing = load("issuing.pem", &storage[1]);
	struct kt_bytes controller = load("controller.pem", &storage[2]);
	struct kt_bytes other = load("other-root.pem", &storage[3]);
	enum kt_dates dates;

	(void)state;
	assert_int_equal(kt_chain_verify(root, &issuing, 1, in_2026_s, &dates), KT_ERR_OK);
	assert_int_equal(kt_chain_verify(root, &controller, 1, in_2026_s, &dates), KT_ERR_OK);
	assert_int_equal(kt_chain_verify(other, &controller, 1, in_2026_s, &dates), KT_ERR_VERIFY);
	assert_int_equal(kt_chain_verify(issuing, &controller, 1, in_2026_s, &dates),
			 KT_ERR_VERIFY);
	for (size_t i = 0; i < 4; i++)
		free(storage[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_a_leaf_under_two_cas),
		cmocka_unit_test(verifies_a_leaf_right_under_the_root),
		cmocka_unit_test(another_root_of_the_same_name_does_not_verify),
		cmocka_unit_test(a_root_of_another_name_does_not_verify),
		cmocka_unit_test(a_root_that_is_no_ca_does_not_verify),
		cmocka_unit_test(a_missing_intermediate_does_not_verify),
		cmocka_unit_test(a_swapped_chain_does_not_verify),
		cmocka_unit_test(an_intermediate_must_be_a_ca_that_may_sign),
		cmocka_unit_test(an_intermediate_must_come_from_the_root),
		cmocka_unit_test(path_lengths_count_the_cas_below),
		cmocka_unit_test(dates_of_every_certificate_count),
		cmocka_unit_test(an_end_counts_more_than_a_beginning),
		cmocka_unit_test(a_bad_signature_is_told_before_bad_dates),
		cmocka_unit_test(without_end_is_good_at_any_time),
		cmocka_unit_test(critical_extensions_that_we_do_not_know_are_refused_anywhere),
		cmocka_unit_test(inner_and_outer_algorithm_must_agree),
		cmocka_unit_test(every_flipped_bit_of_a_leaf_is_refused),
		cmocka_unit_test(no_chain_and_too_long_a_chain_are_refused),
		cmocka_unit_test(verifies_what_openssl_made),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
