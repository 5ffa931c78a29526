#include "agent_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "crypto.h"
#include "mutate.h"

#define V1 KT_VECTORS "/formats/agent-record-v1.block"
#define V2 KT_VECTORS "/formats/agent-record-v2.block"

static struct kt_slot slot_of(uint64_t dir, uint32_t generation, uint8_t fill)
{
	struct kt_slot slot = {.dir = dir, .op = dir, .generation = generation};

	slot.alg = KT_ALG_ES256;
	memset(slot.fp.b, fill, sizeof(slot.fp.b));
	return slot;
}

/* What the file of version 1 says; every member has a value of its own. */
static struct kt_agent_record sample(void)
{
	struct kt_agent_record r = {
		.seq = 42,
		.trust_domain = "fleet.example",
		.device = {"hub-17"},
		.phase = KT_AGENT_CERT,
		.active = slot_of(1750000000000001, 3, 0xa1),
		.pending = slot_of(1750000000000002, 4, 0xb2),
		.retired = slot_of(7, 2, 0xc3),
		.op = 1750000000000002,
		.step = KT_STEP_WIPE,
		.step_op = 1750000000000001,
		.controller_n = 5,
		.floor_s = 1700000000,
		.has_root = true,
		.has_ticket = true,
	};

	memset(r.op_nonce.b, 0xd4, sizeof(r.op_nonce.b));
	memset(r.root_sha256, 0xe5, sizeof(r.root_sha256));
	memset(r.ticket_sha256, 0xf6, sizeof(r.ticket_sha256));
	return r;
}

static void assert_same_slot(const struct kt_slot *a, const struct kt_slot *b)
{
	assert_int_equal(a->dir, b->dir);
	assert_int_equal(a->op, b->op);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->alg, b->alg);
	assert_memory_equal(a->fp.b, b->fp.b, sizeof(a->fp.b));
}

static void assert_same(const struct kt_agent_record *a, const struct kt_agent_record *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_string_equal(a->trust_domain, b->trust_domain);
	assert_string_equal(a->device.s, b->device.s);
	assert_int_equal(a->phase, b->phase);
	assert_same_slot(&a->active, &b->active);
	assert_same_slot(&a->pending, &b->pending);
	assert_same_slot(&a->retired, &b->retired);
	assert_int_equal(a->op, b->op);
	assert_memory_equal(a->op_nonce.b, b->op_nonce.b, sizeof(a->op_nonce.b));
	assert_int_equal(a->step, b->step);
	assert_int_equal(a->step_op, b->step_op);
	assert_int_equal(a->controller_n, b->controller_n);
	assert_int_equal(a->floor_s, b->floor_s);
	assert_int_equal(a->has_root, b->has_root);
	assert_memory_equal(a->root_sha256, b->root_sha256, sizeof(a->root_sha256));
	assert_int_equal(a->has_ticket, b->has_ticket);
	assert_memory_equal(a->ticket_sha256, b->ticket_sha256, sizeof(a->ticket_sha256));
}

/* A block around any text, with the hash that belongs to it. */
static void seal_block(const char *json, uint8_t out[static KT_AGENT_RECORD_BLOCK])
{
	uint8_t hash[32];
	char hex[65];
	size_t len = strlen(json);

	memset(out, ' ', KT_AGENT_RECORD_BLOCK);
	assert_true(len < KT_AGENT_RECORD_BLOCK - 67);
	kt_sha256((const uint8_t *)json, len, hash);
	assert_int_equal(kt_hex_encode(hash, sizeof(hash), hex, sizeof(hex)), KT_ERR_OK);
	memcpy(out, json, len);
	out[len] = '\n';
	memcpy(out + len + 1, hex, 64);
	out[len + 65] = '\n';
	out[KT_AGENT_RECORD_BLOCK - 1] = '\n';
}

static enum kt_err decode_json(const char *json)
{
	uint8_t block[KT_AGENT_RECORD_BLOCK];
	struct kt_agent_record r;

	seal_block(json, block);
	return kt_agent_record_decode(block, sizeof(block), &r);
}

/* The sample as JSON with @from replaced by @to once. */
static enum kt_err decode_edited(const char *from, const char *to)
{
	const struct kt_agent_record r = sample();
	uint8_t block[KT_AGENT_RECORD_BLOCK];
	char edited[KT_AGENT_RECORD_BLOCK];
	char *at = NULL;
	char *end = NULL;

	assert_int_equal(kt_agent_record_encode(&r, block), KT_ERR_OK);
	end = memchr(block, '\n', sizeof(block));
	assert_non_null(end);
	*end = '\0';
	at = strstr((char *)block, from);
	assert_non_null(at);
	(void)snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - (char *)block), (char *)block,
		       to, at + strlen(from));
	return decode_json(edited);
}

static void the_file_of_version_1_reads_as_it_was_written(void **state)
{
	const struct kt_agent_record want = sample();
	struct kt_agent_record got;
	uint8_t written[KT_AGENT_RECORD_BLOCK];
	size_t len = 0;
	uint8_t *file = read_file(V1, &len);

	(void)state;
	assert_int_equal(len, KT_AGENT_RECORD_BLOCK);
	assert_int_equal(kt_agent_record_decode(file, len, &got), KT_ERR_OK);
	assert_same(&got, &want);
	/* and every byte of it is written today as it was then */
	assert_int_equal(kt_agent_record_encode(&want, written), KT_ERR_OK);
	assert_memory_equal(written, file, KT_AGENT_RECORD_BLOCK);
	free(file);
}

static void a_newer_version_is_refused_and_named_as_such(void **state)
{
	struct kt_agent_record zero;
	struct kt_agent_record got;
	size_t len = 0;
	uint8_t *file = read_file(V2, &len);

	(void)state;
	memset(&zero, 0, sizeof(zero));
	memset(&got, 0x55, sizeof(got));
	assert_int_equal(kt_agent_record_decode(file, len, &got), KT_ERR_VERSION);
	assert_memory_equal(&got, &zero, sizeof(got));
	free(file);
	assert_int_equal(decode_json("{\"v\":2}"), KT_ERR_VERSION);
	assert_int_equal(decode_edited("{\"v\":1,", "{\"v\":2,"), KT_ERR_VERSION);
	assert_int_equal(decode_edited("{\"v\":1,", "{\"v\":0,"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("{\"v\":1,", "{\"v\":-1,"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("{\"v\":1,", "{\"v\":\"2\","), KT_ERR_INVALID);
	assert_int_equal(decode_edited("{\"v\":1,", "{"), KT_ERR_INVALID);
}

static void expect_corrupt(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_agent_record got;
	unsigned *count = ctx;

	assert_int_equal(kt_agent_record_decode(bytes, len, &got), KT_ERR_CORRUPT);
	assert_int_equal(got.seq, 0);
	(*count)++;
}

static void no_damage_gets_through(void **state)
{
	size_t len = 0;
	unsigned count = 0;
	uint8_t *file = read_file(V1, &len);

	(void)state;
	mutate_flip_bits(file, len, expect_corrupt, &count);
	mutate_truncate(file, len, expect_corrupt, &count);
	mutate_drop_bytes(file, len, expect_corrupt, &count);
	assert_int_equal(count, 10 * len);
	free(file);
}

/* A block that a power cut tears in the middle: the front new, the back old. */
static void two_records_torn_together_are_corrupt(void **state)
{
	struct kt_agent_record r = sample();
	uint8_t old[KT_AGENT_RECORD_BLOCK];
	uint8_t new[KT_AGENT_RECORD_BLOCK];
	uint8_t torn[KT_AGENT_RECORD_BLOCK];
	struct kt_agent_record got;

	(void)state;
	assert_int_equal(kt_agent_record_encode(&r, old), KT_ERR_OK);
	r.seq++;
	r.step = KT_STEP_PROMOTED;
	assert_int_equal(kt_agent_record_encode(&r, new), KT_ERR_OK);
	for (size_t cut = 512; cut < sizeof(torn); cut += 512) {
		memcpy(torn, new, cut);
		memcpy(torn + cut, old + cut, sizeof(torn) - cut);
		if (memcmp(torn, new, sizeof(torn)) != 0)
			assert_int_equal(kt_agent_record_decode(torn, sizeof(torn), &got),
					 KT_ERR_CORRUPT);
	}
}

static void whole_but_not_ours_is_invalid(void **state)
{
	(void)state;
	assert_int_equal(decode_json(""), KT_ERR_INVALID);
	assert_int_equal(decode_json("{}"), KT_ERR_INVALID);
	assert_int_equal(decode_json("[1]"), KT_ERR_INVALID);
	assert_int_equal(decode_json("{\"v\":1}"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"seq\":\"42\"", "\"seq\":42"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"seq\":\"42\"", "\"seq\":\"042\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"seq\":\"42\"", "\"seq\":\"0\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"phase\":\"cert\"", "\"phase\":\"CERT\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"step\":\"wipe\"", "\"step\":\"\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"controller\":5", "\"controller\":-5"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"controller\":5", "\"controller\":4294967296"),
			 KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"hub-17\"", "\"hub 17\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"hub-17\"", "\"\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"fleet.example\"", "\"Fleet.example\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"ES256\"", "\"RS256\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("a1a1a1", "A1a1a1"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"root\":\"e5", "\"root\":\""), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"v\":1,", "\"v\":1,\"more\":1,"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"v\":1,", "\"v\":1,\"v\":1,"), KT_ERR_INVALID);
	assert_int_equal(decode_edited("\"op\":\"1750000000000002\",\"nonce\"",
				       "\"op\":\"9223372036854775808\",\"nonce\""),
			 KT_ERR_INVALID);
	/* the sample itself passes this way */
	assert_int_equal(decode_edited("\"v\":1,", "\"v\":1,"), KT_ERR_OK);
}

static void refuses(const struct kt_agent_record *r)
{
	uint8_t block[KT_AGENT_RECORD_BLOCK];

	assert_int_equal(kt_agent_record_encode(r, block), KT_ERR_INVALID);
}

static void a_record_that_contradicts_itself_is_not_written(void **state)
{
	struct kt_agent_record r = sample();

	(void)state;
	r.seq = 0;
	refuses(&r);
	r = sample();
	r.pending.dir = r.active.dir; /* one directory, two credentials */
	refuses(&r);
	r = sample();
	r.retired.dir = r.active.dir;
	refuses(&r);
	r = sample();
	r.retired.dir = r.pending.dir;
	refuses(&r);
	r = sample();
	r.op = (uint64_t)INT64_MAX + 1;
	refuses(&r);
	r = sample();
	r.device.s[0] = '\0';
	refuses(&r);
	r = sample();
	r.trust_domain[0] = '\0';
	refuses(&r);
	r = sample();
	r.phase = KT_AGENT_STABLE; /* with a pending one */
	refuses(&r);
	r.pending = (struct kt_slot){0};
	r.active = (struct kt_slot){0}; /* with none */
	refuses(&r);
	r = sample();
	r.phase = KT_AGENT_KEY;
	r.active = (struct kt_slot){0};
	refuses(&r);
	r = sample();
	r.phase = KT_AGENT_NEW; /* with an active one */
	refuses(&r);
	r = sample();
	r.phase = (enum kt_agent_phase)4;
	refuses(&r);
	r = sample();
	r.step = (enum kt_agent_step)5;
	refuses(&r);
}

static void the_first_record_and_an_enrolments_are_fine(void **state)
{
	struct kt_agent_record r = {.seq = 1, .phase = KT_AGENT_NEW};
	struct kt_agent_record got;
	uint8_t block[KT_AGENT_RECORD_BLOCK];

	(void)state;
	assert_int_equal(kt_agent_record_encode(&r, block), KT_ERR_OK);
	assert_int_equal(kt_agent_record_decode(block, sizeof(block), &got), KT_ERR_OK);
	assert_same(&got, &r);
	r = sample();
	r.active = (struct kt_slot){0};
	r.retired = (struct kt_slot){0};
	r.has_root = false;
	memset(r.root_sha256, 0, sizeof(r.root_sha256));
	assert_int_equal(kt_agent_record_encode(&r, block), KT_ERR_OK);
	assert_int_equal(kt_agent_record_decode(block, sizeof(block), &got), KT_ERR_OK);
	assert_same(&got, &r);
}

static void the_longest_names_fit_the_block(void **state)
{
	struct kt_agent_record r = sample();
	struct kt_agent_record got;
	uint8_t block[KT_AGENT_RECORD_BLOCK];

	(void)state;
	memset(r.trust_domain, 'a', KT_TRUST_DOMAIN_MAX);
	memset(r.device.s, 'h', KT_DEVICE_ID_MAX);
	r.seq = UINT64_MAX;
	r.op = (uint64_t)INT64_MAX;
	r.step_op = UINT64_MAX;
	r.active.dir = UINT64_MAX;
	r.active.op = UINT64_MAX;
	r.controller_n = UINT32_MAX;
	r.step = KT_STEP_PROMOTED;
	assert_int_equal(kt_agent_record_encode(&r, block), KT_ERR_OK);
	assert_int_equal(kt_agent_record_decode(block, sizeof(block), &got), KT_ERR_OK);
	assert_same(&got, &r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_of_version_1_reads_as_it_was_written),
		cmocka_unit_test(a_newer_version_is_refused_and_named_as_such),
		cmocka_unit_test(no_damage_gets_through),
		cmocka_unit_test(two_records_torn_together_are_corrupt),
		cmocka_unit_test(whole_but_not_ours_is_invalid),
		cmocka_unit_test(a_record_that_contradicts_itself_is_not_written),
		cmocka_unit_test(the_first_record_and_an_enrolments_are_fine),
		cmocka_unit_test(the_longest_names_fit_the_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
