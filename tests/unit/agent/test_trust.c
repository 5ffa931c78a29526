#include "trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent_pki.h"
#include "bytes.h"
#include "crypto_asn1.h"
#include "head.h"
#include "mutate.h"

#define NUMBER_5 "spiffe://" PKI_TD "/controller/5"

enum {
	YEAR_S = 31536000,
	T2020_S = 1577836800, /* what cert_maker's plans begin with */
	T2024_S = T2020_S + 4 * YEAR_S,
	T2026_S = T2020_S + 6 * YEAR_S
};

struct world {
	struct agent_pki *pki;
	struct kt_key *key;
	struct kt_key *other_key;
	uint8_t eku[96]; /* Extension: the controller's EKU */
	size_t eku_len;
	struct cert_plan plan; /* of the controller's certificate */
	struct kt_trust trust;
	struct kt_device_id device;
	struct kt_opened opened; /* of the last open */
};

/* The extension out of the vector's certificate, so that its OID stands in one place. */
static void take_eku(struct world *w)
{
	static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1d, 0x25};
	struct kt_bytes cert;
	uint8_t *storage = NULL;
	size_t count = 0;
	size_t len = 0;
	size_t at = 0;
	uint8_t *pem = read_file(KT_VECTORS "/pki/controller.pem", &len);

	assert_int_equal(kt_pem_certs(pem, len, &cert, 1, &count, &storage), KT_ERR_OK);
	at = offset_of(cert.p, cert.len, oid, sizeof(oid)) - 2;
	w->eku_len = (size_t)cert.p[at + 1] + 2;
	assert_true(w->eku_len <= sizeof(w->eku));
	memcpy(w->eku, cert.p + at, w->eku_len);
	free(storage);
	free(pem);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->pki = agent_pki_new();
	assert_int_equal(kt_key_new(w->pki->crypto, KT_ALG_ES256, &w->key), KT_ERR_OK);
	assert_int_equal(kt_key_new(w->pki->crypto, KT_ALG_ES256, &w->other_key), KT_ERR_OK);
	take_eku(w);
	w->plan = cert_plan_leaf("controller-5", w->key, "Root", w->pki->root_key);
	w->plan.uri[0] = NUMBER_5;
	w->plan.extra = (struct kt_bytes){w->eku, w->eku_len};
	w->trust = (struct kt_trust){
		.trust_domain = PKI_TD,
		.root_der = cert_view(&w->pki->root),
		.controller_n = 5,
		.floor_s = T2024_S,
		.system_s = T2026_S,
	};
	(void)snprintf(w->device.s, sizeof(w->device.s), "hub-17");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kt_message_free(w->opened.message);
	kt_key_free(w->key);
	kt_key_free(w->other_key);
	agent_pki_free(w->pki);
	free(w);
	return 0;
}

/* --- the plugin's side --- */

struct signing {
	struct kt_crypto *crypto;
	struct kt_key *key;
};

static enum kt_err sign(void *ctx, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	const struct signing *s = ctx;

	return kt_key_sign(s->crypto, s->key, msg, len, sig);
}

static char *seal(struct world *w, struct kt_bytes x5c, struct kt_key *key,
		  const struct kt_message *message)
{
	struct signing signing = {w->pki->crypto, key};
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign, .ctx = &signing};
	char *payload = NULL;
	char *text = NULL;
	size_t payload_len = 0;
	size_t len = 0;

	assert_int_equal(kt_message_encode(message, &payload, &payload_len), KT_ERR_OK);
	assert_int_equal(
		kt_jws_sign(&signer, x5c.len > 0 ? KT_JWS_FROM_CONTROLLER : KT_JWS_FROM_DEVICE, x5c,
			    (struct kt_bytes){(uint8_t *)payload, payload_len}, &text, &len),
		KT_ERR_OK);
	free(payload);
	return text;
}

static struct kt_message *noted(void)
{
	struct kt_message *m = kt_message_new(KT_MESSAGE_NOTED);

	assert_non_null(m);
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), PKI_TD);
	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-17");
	memset(m->dn.b, 7, sizeof(m->dn.b));
	m->u.noted.op = 42;
	m->u.noted.of = KT_MESSAGE_PROMOTED;
	return m;
}

static enum kt_err open_text(struct world *w, const char *text)
{
	kt_message_free(w->opened.message);
	memset(&w->opened, 0x55, sizeof(w->opened));
	return kt_trust_open(&w->trust, &w->device,
			     (struct kt_bytes){(const uint8_t *)text, strlen(text)}, &w->opened);
}

/* The message under the certificate of w->plan, signed by w->key. */
static enum kt_err open_message(struct world *w, struct kt_message *message)
{
	const struct made_cert cert = make_cert(w->pki->crypto, &w->plan);
	char *text = seal(w, cert_view(&cert), w->key, message);
	enum kt_err err = open_text(w, text);

	kt_message_free(message);
	free(text);
	return err;
}

static void assert_nothing_came_out(const struct world *w, const char *reason)
{
	assert_null(w->opened.message);
	assert_string_equal(kt_reason_name(w->opened.reason), reason);
}

static void assert_untrusted(struct world *w)
{
	assert_int_equal(open_message(w, noted()), KT_ERR_VERIFY);
	assert_nothing_came_out(w, "cert.chain");
}

/* --- the controller --- */

static void opens_what_the_controller_signed(void **state)
{
	struct world *w = *state;

	assert_int_equal(open_message(w, noted()), KT_ERR_OK);
	assert_int_equal(w->opened.reason, KT_REASON_NONE);
	assert_int_equal(w->opened.message->type, KT_MESSAGE_NOTED);
	assert_int_equal(w->opened.message->u.noted.op, 42);
	assert_int_equal(w->opened.verdict.controller_n, 5);
	assert_int_equal(w->opened.verdict.floor_s, T2024_S);
	assert_false(w->opened.verdict.clock_ahead);
}

static void a_higher_number_is_told_a_lower_one_refused(void **state)
{
	struct world *w = *state;

	w->trust.controller_n = 4;
	assert_int_equal(open_message(w, noted()), KT_ERR_OK);
	assert_int_equal(w->opened.verdict.controller_n, 5);
	w->trust.controller_n = 0;
	assert_int_equal(open_message(w, noted()), KT_ERR_OK);
	w->trust.controller_n = 6;
	assert_untrusted(w);
	w->trust.controller_n = UINT32_MAX;
	assert_untrusted(w);
}

static void only_the_roots_own_signature_counts(void **state)
{
	struct world *w = *state;
	const struct made_cert root = w->pki->root;
	struct kt_message *m = noted();
	char *text = NULL;

	/* the online issuing CA's name, whoever has its key */
	w->plan.issuer = "Issuing";
	w->plan.issuer_key = w->other_key;
	assert_untrusted(w);
	/* the root's name, another key */
	w->plan.issuer = "Root";
	assert_untrusted(w);
	/* by itself */
	w->plan.issuer = w->plan.subject;
	w->plan.issuer_key = w->key;
	assert_untrusted(w);
	/* the root certificate in the controller's place */
	text = seal(w, cert_view(&root), w->pki->root_key, m);
	assert_int_equal(open_text(w, text), KT_ERR_VERIFY);
	assert_nothing_came_out(w, "cert.chain");
	kt_message_free(m);
	free(text);
}

static void a_certificate_for_another_purpose_is_no_controllers(void **state)
{
	static const uint8_t client[] = {0x30, 0x13, 0x06, 0x03, 0x55, 0x1d, 0x25,
					 0x04, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b,
					 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02};
	uint8_t both[128];
	struct world *w = *state;
	const struct cert_plan good = w->plan;

	w->plan.extra = (struct kt_bytes){NULL, 0};
	assert_untrusted(w);
	w->plan.extra = (struct kt_bytes){client, sizeof(client)};
	assert_untrusted(w);
	/* its own and client authentication: "no other" */
	memcpy(both, w->eku, w->eku_len);
	memcpy(both + w->eku_len, client + 11, 10);
	both[1] = (uint8_t)(both[1] + 10);
	both[8] = (uint8_t)(both[8] + 10);
	both[10] = (uint8_t)(both[10] + 10);
	w->plan.extra = (struct kt_bytes){both, w->eku_len + 10};
	assert_untrusted(w);
	w->plan = good;
	w->plan.is_ca = true;
	assert_untrusted(w);
	w->plan = good;
	w->plan.key_usage = KT_KU_DIGITAL_SIGNATURE | KT_KU_KEY_CERT_SIGN;
	assert_untrusted(w);
	w->plan.key_usage = KT_KU_CRL_SIGN;
	assert_untrusted(w);
	w->plan = good;
	assert_int_equal(open_message(w, noted()), KT_ERR_OK);
}

static void a_certificate_with_another_name_is_no_controllers(void **state)
{
	static const char *const names[] = {
		"spiffe://" PKI_TD "/device/5",
		"spiffe://" PKI_TD "/operator/5",
		"spiffe://other.example/controller/5",
		"spiffe://" PKI_TD "/controller/0",
		"spiffe://" PKI_TD "/controller/05",
		"spiffe://" PKI_TD "/controller/+5",
		"spiffe://" PKI_TD "/controller/5x",
		"spiffe://" PKI_TD "/controller/",
		"spiffe://" PKI_TD "/controller",
		"spiffe://" PKI_TD "/controller/5/6",
		"spiffe://" PKI_TD "/controller/4294967301",	       /* 5 in 32 bits */
		"spiffe://" PKI_TD "/controller/18446744073709551621", /* 5 in 64 bits */
		"spiffe://" PKI_TD "/Controller/5",
		"SPIFFE://" PKI_TD "/controller/5",
		"https://" PKI_TD "/controller/5",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		w->plan.uri[0] = names[i];
		assert_untrusted(w);
	}
	w->plan.uri[0] = NUMBER_5;
	w->plan.uri[1] = NUMBER_5; /* two of them */
	assert_untrusted(w);
	w->plan.uri[0] = NULL;
	w->plan.uri[1] = NULL;
	assert_untrusted(w);
}

static void another_keys_signature_is_refused(void **state)
{
	struct world *w = *state;
	const struct made_cert cert = make_cert(w->pki->crypto, &w->plan);
	struct kt_message *m = noted();
	char *text = seal(w, cert_view(&cert), w->other_key, m);

	assert_int_equal(open_text(w, text), KT_ERR_VERIFY);
	assert_nothing_came_out(w, "jws.sig");
	kt_message_free(m);
	free(text);
}

struct damage {
	struct world *w;
	unsigned count;
};

static void expect_refused(void *ctx, const uint8_t *bytes, size_t len)
{
	struct damage *d = ctx;
	struct kt_opened opened;

	assert_int_not_equal(
		kt_trust_open(&d->w->trust, &d->w->device, (struct kt_bytes){bytes, len}, &opened),
		KT_ERR_OK);
	assert_null(opened.message);
	assert_int_not_equal(opened.reason, KT_REASON_NONE);
	d->count++;
}

static void no_damaged_message_is_opened(void **state)
{
	struct world *w = *state;
	const struct made_cert cert = make_cert(w->pki->crypto, &w->plan);
	struct kt_message *m = noted();
	char *text = seal(w, cert_view(&cert), w->key, m);
	size_t len = strlen(text);
	struct damage d = {.w = w};

	mutate_truncate((const uint8_t *)text, len, expect_refused, &d);
	mutate_drop_bytes((const uint8_t *)text, len, expect_refused, &d);
	assert_int_equal(d.count, 2 * len);
	kt_message_free(m);
	free(text);
}

static void a_devices_message_is_not_the_plugins(void **state)
{
	struct world *w = *state;
	struct kt_message *m = noted();
	char *text = seal(w, (struct kt_bytes){NULL, 0}, w->key, m);

	assert_int_equal(open_text(w, text), KT_ERR_INVALID);
	assert_nothing_came_out(w, "jws.header");
	kt_message_free(m);
	free(text);
	m = kt_message_new(KT_MESSAGE_HELLO);
	assert_non_null(m);
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), PKI_TD);
	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-17");
	(void)snprintf(m->u.hello.agent, sizeof(m->u.hello.agent), "1");
	(void)snprintf(m->u.hello.store, sizeof(m->u.hello.store), "file");
	m->u.hello.generation = 1;
	assert_int_equal(open_message(w, m), KT_ERR_INVALID);
	assert_nothing_came_out(w, "msg.type");
}

/* A head of the ledger, which the same key signs: neither as it is, nor with the typ of a message.
 */
static void a_head_of_the_ledger_is_no_message(void **state)
{
	static const enum kt_jws_from as[] = {KT_JWS_HEAD, KT_JWS_FROM_CONTROLLER};
	static const char *const reasons[] = {"jws.header", "msg.type"};
	struct world *w = *state;
	const struct made_cert cert = make_cert(w->pki->crypto, &w->plan);
	struct signing signing = {w->pki->crypto, w->key};
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign, .ctx = &signing};
	struct kt_head head = {.trust_domain = PKI_TD, .seq = 42, .time_us = 1};
	struct kt_bytes body = {NULL, 0};
	char *payload = NULL;

	assert_int_equal(kt_head_encode(&head, &payload, &body.len), KT_ERR_OK);
	body.p = (const uint8_t *)payload;
	for (size_t i = 0; i < 2; i++) {
		char *text = NULL;
		size_t len = 0;

		assert_int_equal(kt_jws_sign(&signer, as[i], cert_view(&cert), body, &text, &len),
				 KT_ERR_OK);
		assert_int_equal(open_text(w, text), KT_ERR_INVALID);
		assert_nothing_came_out(w, reasons[i]);
		free(text);
	}
	free(payload);
}

static void a_message_for_another_hub_or_domain_is_refused(void **state)
{
	struct world *w = *state;
	struct kt_message *m = noted();

	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-18");
	assert_int_equal(open_message(w, m), KT_ERR_VERIFY);
	assert_nothing_came_out(w, "id.mismatch");
	m = noted();
	(void)snprintf(m->device.s, sizeof(m->device.s), "HUB-17");
	assert_int_equal(open_message(w, m), KT_ERR_VERIFY);
	m = noted();
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), "other.example");
	assert_int_equal(open_message(w, m), KT_ERR_VERIFY);
	assert_nothing_came_out(w, "id.mismatch");
	w->device.s[0] = '\0'; /* a claimant does not know its id yet */
	m = noted();
	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-18");
	assert_int_equal(open_message(w, m), KT_ERR_OK);
}

/* --- time --- */

static void limit(struct world *w, int64_t not_before_s, int64_t not_after_s)
{
	w->plan.not_before_s = not_before_s;
	w->plan.not_after_s = not_after_s;
}

/* Of a controller certificate valid from 2024 to 2026, with these clocks. */
static enum kt_err judge(struct world *w, int64_t floor_s, int64_t system_s)
{
	w->trust.floor_s = floor_s;
	w->trust.system_s = system_s;
	return open_message(w, noted());
}

static void within_its_dates_all_is_well(void **state)
{
	struct world *w = *state;

	limit(w, T2024_S, T2026_S);
	assert_int_equal(judge(w, T2020_S, T2024_S), KT_ERR_OK);
	assert_int_equal(w->opened.verdict.floor_s, T2024_S);
	assert_false(w->opened.verdict.clock_ahead);
	assert_int_equal(judge(w, T2020_S, T2026_S), KT_ERR_OK);
	assert_int_equal(judge(w, T2026_S, T2020_S), KT_ERR_OK); /* the floor is the time */
	assert_int_equal(w->opened.verdict.floor_s, T2026_S);
}

/* Our clock may be ahead: the floor is the latest time that is known for sure. */
static void expired_by_the_clock_alone_is_believed_and_told(void **state)
{
	struct world *w = *state;

	limit(w, T2020_S, T2024_S);
	assert_int_equal(judge(w, T2024_S, T2026_S), KT_ERR_OK);
	assert_true(w->opened.verdict.clock_ahead);
	assert_int_equal(w->opened.verdict.floor_s, T2024_S);
	assert_int_equal(w->opened.verdict.controller_n, 5);
}

static void expired_at_the_floor_is_expired(void **state)
{
	struct world *w = *state;

	limit(w, T2020_S, T2024_S);
	assert_int_equal(judge(w, T2024_S + 1, T2026_S), KT_ERR_DATES);
	assert_nothing_came_out(w, "cert.chain");
	assert_false(w->opened.verdict.clock_ahead);
	assert_int_equal(w->opened.verdict.floor_s, 0);
	assert_int_equal(judge(w, T2024_S + 1, T2020_S), KT_ERR_DATES);
	assert_int_equal(judge(w, T2024_S + 1, T2024_S + 1), KT_ERR_DATES);
}

/* A clock below the floor never knew the time: it learns from what verifies. */
static void not_yet_valid_passes_while_the_clock_is_below_the_floor(void **state)
{
	struct world *w = *state;

	limit(w, T2026_S, KT_CERT_NO_END);
	assert_int_equal(judge(w, T2024_S, T2024_S - 1), KT_ERR_OK);
	assert_int_equal(w->opened.verdict.floor_s, T2026_S);
	assert_false(w->opened.verdict.clock_ahead);
	assert_int_equal(judge(w, T2024_S, 0), KT_ERR_OK);
	assert_int_equal(w->opened.verdict.floor_s, T2026_S);
}

static void not_yet_valid_by_a_clock_that_runs_is_refused(void **state)
{
	struct world *w = *state;

	limit(w, T2026_S, KT_CERT_NO_END);
	assert_int_equal(judge(w, T2024_S, T2024_S), KT_ERR_DATES);
	assert_nothing_came_out(w, "cert.chain");
	assert_int_equal(judge(w, T2024_S, T2026_S - 1), KT_ERR_DATES);
	assert_int_equal(judge(w, T2024_S, T2026_S), KT_ERR_OK);
}

/*
 * All that the two clocks can say about a window. The floor proves that the true time is not before
 * it, and no more: what begins after it may be in force, whatever a clock says that is ahead.
 */
static void every_order_of_clock_floor_and_window_has_its_verdict(void **state)
{
	enum { A = T2020_S, B = A + YEAR_S, C = B + YEAR_S, D = C + YEAR_S };
	static const struct {
		int64_t floor_s, begin_s, end_s, system_s;
		bool is_good, is_ahead;
		int64_t new_floor_s;
	} rows[] = {
		/* floor <= system */
		{A, A, D, B, true, false, A},
		{A, B, D, C, true, false, B},
		{A, B, C, C, true, false, B},
		{B, A, D, C, true, false, B},
		{A, A, B, C, true, true, A},
		{B, A, B, C, true, true, B},
		{A, B, C, D, true, true, B}, /* renewed after the floor: in doubt for the hub */
		{A, B, B, D, true, true, B},
		{A, B, C, C + 1, true, true, B},
		{A, A + 1, A + 2, D, true, true, A + 1},
		{B, A, A, C, false, false, 0},
		{B, A, B - 1, C, false, false, 0},
		{C, A, B, D, false, false, 0},
		{C, A, B, C, false, false, 0},
		{A, C, D, B, false, false, 0}, /* the clock runs: not yet */
		{A, C, D, C - 1, false, false, 0},
		{A, C, D, A, false, false, 0},
		{B, C, D, B, false, false, 0},
		/* system < floor: it never knew the time */
		{B, A, D, 0, true, false, B},
		{B, A, B, A, true, false, B},
		{B, B, C, A, true, false, B},
		{B, C, D, A, true, false, C},
		{B, C, C, 0, true, false, C},
		{C, A, B, 0, false, false, 0},
		{C, A, C - 1, B, false, false, 0},
		/* no moment fits */
		{A, C, B, D, false, false, 0},
		{B, D, C, A, false, false, 0},
		{B, D, C, D, false, false, 0},
		{A, C, B, B, false, false, 0},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum kt_err err;

		limit(w, rows[i].begin_s, rows[i].end_s);
		err = judge(w, rows[i].floor_s, rows[i].system_s);
		if (err != (rows[i].is_good ? KT_ERR_OK : KT_ERR_DATES) ||
		    w->opened.verdict.clock_ahead != rows[i].is_ahead ||
		    w->opened.verdict.floor_s != rows[i].new_floor_s)
			fail_msg("row %zu: %s, ahead %d, floor %lld", i, kt_err_name(err),
				 (int)w->opened.verdict.clock_ahead,
				 (long long)w->opened.verdict.floor_s);
	}
}

static void with_the_floor_raised_the_older_certificate_is_over(void **state)
{
	struct world *w = *state;

	limit(w, T2024_S, T2024_S + YEAR_S);
	assert_int_equal(judge(w, T2020_S, T2026_S), KT_ERR_OK);
	assert_true(w->opened.verdict.clock_ahead);
	assert_int_equal(w->opened.verdict.floor_s, T2024_S);
	limit(w, T2020_S, T2024_S - 1);
	assert_int_equal(judge(w, w->opened.verdict.floor_s, T2026_S), KT_ERR_DATES);
}

static void a_chain_that_no_moment_fits_is_refused(void **state)
{
	struct world *w = *state;
	struct kt_verdict verdict;
	struct made_cert issuing;
	struct made_cert leaf;
	struct kt_bytes chain[2];
	struct cert_plan plan = cert_plan_ca("Issuing", w->other_key, "Root", w->pki->root_key);

	plan.not_before_s = T2026_S;
	issuing = make_cert(w->pki->crypto, &plan);
	plan = cert_plan_leaf("leaf", w->key, "Issuing", w->other_key);
	plan.not_after_s = T2026_S - 1;
	leaf = make_cert(w->pki->crypto, &plan);
	chain[0] = cert_view(&leaf);
	chain[1] = cert_view(&issuing);
	w->trust.floor_s = T2024_S;
	w->trust.system_s = 0; /* "not yet" may pass here */
	assert_int_equal(kt_trust_chain(&w->trust, chain, 2, &verdict), KT_ERR_DATES);
	assert_int_equal(verdict.floor_s, 0);
	w->trust.system_s = T2026_S;
	assert_int_equal(kt_trust_chain(&w->trust, chain, 2, &verdict), KT_ERR_DATES);
	w->trust.system_s = T2026_S + YEAR_S; /* and "over" may pass here */
	assert_int_equal(kt_trust_chain(&w->trust, chain, 2, &verdict), KT_ERR_DATES);
	assert_false(verdict.clock_ahead);
	assert_int_equal(verdict.floor_s, 0);
}

static void wrong_dates_excuse_no_wrong_signature(void **state)
{
	struct world *w = *state;

	w->plan.issuer_key = w->other_key;
	limit(w, T2026_S, KT_CERT_NO_END);
	assert_int_equal(judge(w, T2024_S, 0), KT_ERR_VERIFY);
	limit(w, T2020_S, T2024_S);
	assert_int_equal(judge(w, T2020_S, T2026_S), KT_ERR_VERIFY);
	limit(w, T2024_S, T2024_S + YEAR_S);
	assert_int_equal(judge(w, T2020_S, T2026_S), KT_ERR_VERIFY);
	assert_int_equal(w->opened.verdict.floor_s, 0);
}

static void a_devices_chain_goes_over_the_issuing_ca(void **state)
{
	struct world *w = *state;
	struct kt_verdict verdict;
	struct kt_chain *chain = calloc(1, sizeof(*chain));
	struct kt_bytes certs[2];

	assert_non_null(chain);
	agent_pki_chain(w->pki, kt_key_public(w->key), "hub-17", 3, chain);
	for (size_t i = 0; i < 2; i++)
		certs[i] = (struct kt_bytes){chain->cert[i].der, chain->cert[i].len};
	assert_int_equal(kt_trust_chain(&w->trust, certs, 2, &verdict), KT_ERR_OK);
	assert_int_equal(verdict.floor_s, T2024_S);
	assert_int_equal(verdict.controller_n, 5);
	assert_int_equal(kt_trust_chain(&w->trust, certs, 1, &verdict), KT_ERR_VERIFY);
	w->trust.root_der = cert_view(&w->pki->issuing); /* not a root of ours */
	assert_int_not_equal(kt_trust_chain(&w->trust, certs, 2, &verdict), KT_ERR_OK);
	free(chain);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(opens_what_the_controller_signed),
		T(a_higher_number_is_told_a_lower_one_refused),
		T(only_the_roots_own_signature_counts),
		T(a_certificate_for_another_purpose_is_no_controllers),
		T(a_certificate_with_another_name_is_no_controllers),
		T(another_keys_signature_is_refused),
		T(no_damaged_message_is_opened),
		T(a_devices_message_is_not_the_plugins),
		T(a_head_of_the_ledger_is_no_message),
		T(a_message_for_another_hub_or_domain_is_refused),
		T(within_its_dates_all_is_well),
		T(expired_by_the_clock_alone_is_believed_and_told),
		T(expired_at_the_floor_is_expired),
		T(not_yet_valid_passes_while_the_clock_is_below_the_floor),
		T(not_yet_valid_by_a_clock_that_runs_is_refused),
		T(every_order_of_clock_floor_and_window_has_its_verdict),
		T(with_the_floor_raised_the_older_certificate_is_over),
		T(a_chain_that_no_moment_fits_is_refused),
		T(wrong_dates_excuse_no_wrong_signature),
		T(a_devices_chain_goes_over_the_issuing_ca),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
