#include "record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mutate.h"
#include "records.h"
#include "vector_file.h"

#define PREV "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD_REST(kind)                                                                            \
	",\"seq\":\"7\",\"prev\":\"" PREV "\",\"time\":\"5\",\"actor\":\"op:x\",\"kind\":\"" kind  \
	"\""
#define PLAN                                                                                       \
	"rotate canary=5% hold=600s wave=25% in-flight=100 rate=600 deadline=3600s retries=1 "     \
	"failures=5% silence=20% sample=20 until=604800s"
#define HEAD(kind) "{\"v\":1" HEAD_REST(kind)

static const uint8_t prev_bytes[32] = {
	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
	0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
	0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
};

/* A full record of @kind: every member that the kind can have. */
static struct kt_record full_record(enum kt_record_kind kind, const struct kt_registry *r)
{
	const char *device = kind == KT_RECORD_TICKET_CREATE ? NULL : "hub-1";
	struct kt_record rec = record_for(r, kind, device, 9);

	rec.has_key_id = true;
	rec.has_ticket = true;
	rec.alg = KT_ALG_ES256;
	rec.wipe = true;
	memcpy(rec.group, "north", sizeof("north"));
	memcpy(rec.pattern, "hub-*", sizeof("hub-*"));
	memcpy(rec.labels.s, "a,b", sizeof("a,b"));
	memcpy(rec.note, "said \"so\"\n", sizeof("said \"so\"\n"));
	memcpy(rec.campaign.s, "roll", sizeof("roll"));
	return rec;
}

static void writes_members_in_the_documented_order(void **state)
{
	struct kt_record rec = {.seq = 7, .time_us = 5, .kind = KT_RECORD_REVOKE, .wipe = true};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	memcpy(rec.actor, "op:x", sizeof("op:x"));
	memcpy(rec.device.s, "hub-1", sizeof("hub-1"));
	memcpy(rec.note, "lost", sizeof("lost"));
	assert_int_equal(kt_record_encode(&rec, prev_bytes, &text, &len), KT_ERR_OK);
	assert_string_equal(
		text, HEAD("revoke") ",\"device\":\"hub-1\",\"wipe\":true,\"note\":\"lost\"}");
	assert_int_equal(len, strlen(text));
	free(text);
}

static void every_kind_comes_back_as_it_was(void **state)
{
	struct kt_registry *r = registry_begun();

	(void)state;
	for (int kind = 0; kind < KT_RECORD_COUNT; kind++) {
		struct kt_record rec = full_record((enum kt_record_kind)kind, r);
		struct kt_record back;
		uint8_t prev[32];
		char *text = NULL;
		char *again = NULL;
		size_t len = 0;

		assert_int_equal(kt_record_encode(&rec, prev_bytes, &text, &len), KT_ERR_OK);
		assert_int_equal(kt_record_decode(text, len, &back, prev), KT_ERR_OK);
		assert_memory_equal(prev, prev_bytes, 32);
		assert_int_equal(back.kind, kind);
		assert_string_equal(back.actor, rec.actor);
		assert_int_equal(kt_record_encode(&back, prev, &again, &len), KT_ERR_OK);
		assert_string_equal(text, again);
		kt_record_clear(&back);
		assert_null(back.storage);
		free(text);
		free(again);
	}
	kt_registry_free(r);
}

static void issue_brings_back_each_member(void **state)
{
	struct kt_registry *r = registry_begun();
	struct kt_record rec = full_record(KT_RECORD_ISSUE, r);
	struct kt_record back;
	uint8_t prev[32];
	char *text = NULL;
	size_t len = 0;

	(void)state;
	rec.op = UINT64_MAX;
	rec.generation = UINT32_MAX;
	assert_int_equal(kt_record_encode(&rec, prev_bytes, &text, &len), KT_ERR_OK);
	assert_int_equal(kt_record_decode(text, len, &back, prev), KT_ERR_OK);
	assert_string_equal(back.device.s, "hub-1");
	assert_true(back.op == UINT64_MAX && back.generation == UINT32_MAX);
	assert_true(kt_nonce_eq(&back.nonce, &rec.nonce));
	assert_true(kt_fingerprint_eq(&back.fp, &rec.fp));
	assert_true(kt_key_id_eq(&back.key_id, &rec.key_id) && back.has_key_id);
	assert_true(back.has_ticket);
	assert_memory_equal(back.ticket_sha256, rec.ticket_sha256, 32);
	assert_int_equal(back.der.len, rec.der.len);
	assert_ptr_equal(back.der.p, back.storage);
	assert_memory_equal(back.der.p, rec.der.p, rec.der.len);
	assert_true(back.not_after_s == rec.not_after_s && back.alg == KT_ALG_ES256);
	assert_string_equal(back.group, "north");
	assert_string_equal(back.note, ""); /* not a member of issue */
	kt_record_clear(&back);
	free(text);
	kt_registry_free(r);
}

static void refuses_to_write(struct kt_record *rec)
{
	char *text = NULL;
	size_t len = 1;

	assert_int_equal(kt_record_encode(rec, prev_bytes, &text, &len), KT_ERR_INVALID);
	assert_null(text);
	assert_int_equal(len, 0);
}

static void refuses_to_write_what_could_not_be_read(void **state)
{
	struct kt_registry *r = registry_begun();
	struct kt_record good = full_record(KT_RECORD_ISSUE, r);
	struct kt_record rec;

	(void)state;
#define BAD(change)                                                                                \
	do {                                                                                       \
		rec = good;                                                                        \
		change;                                                                            \
		refuses_to_write(&rec);                                                            \
	} while (0)
	BAD(rec.seq = 0);
	BAD(rec.time_us = -1);
	BAD(rec.kind = KT_RECORD_COUNT);
	BAD(rec.actor[0] = '\0');
	BAD(rec.actor[0] = '\xff');
	BAD(rec.device.s[0] = '\0');
	BAD(rec.device.s[0] = '/');
	BAD(rec.op = 0);
	BAD(rec.alg = KT_ALG_NONE);
	BAD(rec.generation = 0);
	BAD(rec.not_after_s = -1);
	BAD(rec.der.len = 0);
	BAD(rec.der.len = KT_CERT_MAX + 1);
	BAD(rec.group[0] = '*');
	good = full_record(KT_RECORD_DEVICE_SET, r);
	BAD(rec.labels.s[0] = 'c');
	BAD(rec.labels.s[1] = '\n');
	BAD(rec.group[0] = '*');
	good = full_record(KT_RECORD_TICKET_CREATE, r);
	BAD(rec.pattern[0] = '\0');
	BAD(rec.pattern[0] = '?');
	BAD(rec.expires_us = -1);
	BAD(memcpy(rec.device.s, "hub-1", 6));
	good = full_record(KT_RECORD_DEVICE_CREATE, r);
	BAD(rec.has_key_id = false);
	BAD(rec.alg = KT_ALG_NONE);
	good = full_record(KT_RECORD_OP_OPEN, r);
	BAD(rec.deadline_us = -1);
	good = full_record(KT_RECORD_FAILED, r);
	BAD(rec.reason = KT_REASON_NONE);
	BAD(rec.reason = KT_REASON_COUNT);
	good = full_record(KT_RECORD_RESTORE_CREDENTIAL, r);
	BAD(rec.status = (enum kt_credential_status)(KT_CREDENTIAL_LOST + 1));
	good = full_record(KT_RECORD_IMPORT, r);
	BAD(rec.device.s[0] = '\0');
	BAD(rec.alg = (enum kt_alg)7);
	BAD(rec.not_after_s = -1);
	good = full_record(KT_RECORD_ADOPT, r);
	BAD(rec.generation = 0);
	good = full_record(KT_RECORD_OP_OPEN, r);
	BAD(rec.campaign.s[0] = '*');
	good = full_record(KT_RECORD_CAMPAIGN_BEGIN, r);
	BAD(rec.campaign.s[0] = '\0');
	BAD(rec.plan.of[KT_PLAN_RATE] = 0);
	BAD(rec.plan.action = KT_CAMPAIGN_ACTION_COUNT);
	BAD(rec.plan.is_share[KT_PLAN_RATE] = true);
	BAD(rec.text = NULL);
	BAD(rec.text = "");
	BAD(rec.text = "group=\n");
	BAD(rec.text = "group=\x7f");
	good = full_record(KT_RECORD_CAMPAIGN_ADD, r);
	BAD(rec.text = NULL);
	BAD(rec.text = "");
	BAD(rec.text = "hub-1 ");
	BAD(rec.text = " hub-1");
	BAD(rec.text = "hub-1  hub-2");
	BAD(rec.text = "hub-1 hub/2");
	good = full_record(KT_RECORD_CAMPAIGN_DEVICE, r);
	BAD(rec.result = KT_MEMBER_WAITING);
	BAD(rec.result = KT_MEMBER_ORDERED);
	BAD(rec.result = KT_MEMBER_MISSED);
	BAD(rec.result = KT_MEMBER_STATUS_COUNT);
	BAD(rec.device.s[0] = '\0');
	good = full_record(KT_RECORD_LEDGER_BEGIN, r);
	BAD(rec.trust_domain[0] = 'E');
#undef BAD
	kt_registry_free(r);
}

static void leaves_out_optional_members(void **state)
{
	static const char *const good[] = {
		HEAD("device.create") ",\"device\":\"a\"}",
		HEAD("device.create") ",\"device\":\"a\",\"alg\":\"ES256\",\"key_id\":\"" PREV
				      "\"}",
		HEAD("ticket.create") ",\"device\":\"a\",\"ticket\":\"" PREV
				      "\",\"expires\":\"0\"}",
		HEAD("quarantine") ",\"device\":\"a\"}",
		HEAD("clock.confirm") "}",
		HEAD("ledger.restore") ",\"head\":\"" PREV "\",\"index_seq\":\"0\"}",
		HEAD("restore.device") ",\"device\":\"a\",\"frozen\":false}",
		HEAD("restore.credential") ",\"device\":\"a\",\"fp\":\"" PREV
					   "\",\"key_id\":\"" PREV
					   "\",\"generation\":\"2\",\"not_after\":\"9\","
					   "\"status\":\"lost\"}",
		HEAD("restore.credential") ",\"device\":\"a\",\"fp\":\"" PREV
					   "\",\"key_id\":\"" PREV
					   "\",\"not_after\":\"9\",\"status\":\"lost\"}",
		HEAD("credential.import") ",\"device\":\"a\",\"fp\":\"" PREV "\",\"key_id\":\"" PREV
					  "\",\"not_after\":\"9\"}",
		HEAD("credential.import") ",\"device\":\"a\",\"group\":\"g\",\"alg\":\"ES256\","
					  "\"fp\":\"" PREV "\",\"key_id\":\"" PREV
					  "\",\"not_after\":\"9\"}",
		HEAD("reconcile.end") "}",
		HEAD("campaign.begin") ",\"campaign\":\"roll\",\"plan\":\"" PLAN "\",\"select\":"
				       "\"group=north\"}",
		HEAD("campaign.device") ",\"device\":\"a\",\"campaign\":\"roll\",\"result\":"
					"\"done\"}",
		HEAD("campaign.abort") ",\"campaign\":\"roll\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct kt_record rec;
		uint8_t prev[32];
		char *text = NULL;
		size_t len = 0;

		assert_int_equal(kt_record_decode(good[i], strlen(good[i]), &rec, prev), KT_ERR_OK);
		assert_int_equal(kt_record_encode(&rec, prev, &text, &len), KT_ERR_OK);
		assert_string_equal(text, good[i]);
		kt_record_clear(&rec);
		free(text);
	}
}

static void refuses_to_read(const char *text, size_t len)
{
	struct kt_record rec;
	uint8_t prev[32];

	if (kt_record_decode(text, len, &rec, prev) != KT_ERR_INVALID)
		fail_msg("accepted: %s", text);
	assert_null(rec.storage);
}

static void refuses_malformed_records(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"{\"v\":0}",
		"{\"v\":\"1\"}",
		"{\"v\":1}",
		HEAD("clock.confirm"),
		HEAD("clock.confirm") "}x",
		HEAD("clock.confirm") ",\"x\":1}",
		HEAD("clock.confirm") ",\"note\":\"\"}",
		HEAD("clock.confirm") ",\"note\":1}",
		HEAD("clock.confirm") ",\"device\":\"a\"}",
		HEAD("clock.denied") "}",
		HEAD("revoke") ",\"device\":\"a\"}",
		HEAD("revoke") ",\"device\":\"op\",\"wipe\":true}",
		HEAD("revoke") ",\"device\":\"a\",\"wipe\":1}",
		HEAD("revoke") ",\"device\":\"a\",\"wipe\":true,\"wipe\":true}",
		HEAD("promoted") ",\"device\":\"a\",\"op\":1}",
		HEAD("promoted") ",\"device\":\"a\",\"op\":\"0\"}",
		HEAD("promoted") ",\"device\":\"a\",\"op\":\"01\"}",
		HEAD("promoted") ",\"device\":\"a\",\"op\":\"18446744073709551616\"}",
		HEAD("promoted") ",\"op\":\"1\"}",
		HEAD("failed") ",\"device\":\"a\",\"op\":\"1\",\"reason\":\"none\"}",
		HEAD("failed") ",\"device\":\"a\",\"op\":\"1\",\"reason\":\"nonsense\"}",
		HEAD("device.deny") ",\"key_id\":\"00\"}",
		HEAD("device.deny") ",\"key_id\":\"X0112233445566778899aabbccddeeff00112233445566"
				    "778899aabbccddeeff\"}",
		HEAD("device.create") ",\"device\":\"a\",\"alg\":\"ES256\"}",
		HEAD("device.create") ",\"device\":\"a\",\"key_id\":\"" PREV "\"}",
		HEAD("device.create") ",\"device\":\"a\",\"alg\":\"none\",\"key_id\":\"" PREV "\"}",
		HEAD("ticket.create") ",\"ticket\":\"" PREV "\",\"expires\":\"0\"}",
		HEAD("ledger.begin") ",\"trust_domain\":\"A\"}",
		HEAD("ledger.restore") ",\"index_seq\":\"0\"}",
		HEAD("ledger.restore") ",\"head\":\"" PREV "\"}",
		HEAD("ledger.restore") ",\"head\":\"00\",\"index_seq\":\"0\"}",
		HEAD("ledger.restore") ",\"head\":\"" PREV "\",\"index_seq\":0}",
		HEAD("restore.device") ",\"device\":\"a\"}",
		HEAD("restore.device") ",\"device\":\"a\",\"op\":\"0\",\"frozen\":false}",
		HEAD("restore.device") ",\"device\":\"a\",\"frozen\":0}",
		HEAD("restore.credential") ",\"device\":\"a\",\"fp\":\"" PREV
					   "\",\"key_id\":\"" PREV
					   "\",\"generation\":\"2\",\"not_after\":\"9\","
					   "\"status\":\"good\"}",
		HEAD("credential.adopt") ",\"device\":\"a\",\"fp\":\"" PREV "\",\"key_id\":\"" PREV
					 "\",\"not_after\":\"9\"}",
		HEAD("campaign.begin") ",\"campaign\":\"roll\",\"plan\":\"rotate\",\"select\":"
				       "\"all\"}",
		HEAD("campaign.begin") ",\"campaign\":\"roll\",\"plan\":\"" PLAN " \",\"select\":"
				       "\"all\"}",
		HEAD("campaign.begin") ",\"campaign\":\"roll\",\"plan\":\"" PLAN "\"}",
		HEAD("campaign.add") ",\"campaign\":\"roll\",\"devices\":\"\"}",
		HEAD("campaign.add") ",\"campaign\":\"roll\",\"devices\":\"a,b\"}",
		HEAD("campaign.add") ",\"campaign\":\"roll\",\"devices\":[\"a\"]}",
		HEAD("campaign.device") ",\"device\":\"a\",\"campaign\":\"roll\",\"result\":"
					"\"ordered\"}",
		HEAD("campaign.device") ",\"device\":\"a\",\"campaign\":\"roll\",\"result\":"
					"\"well\"}",
		HEAD("campaign.device") ",\"device\":\"a\",\"campaign\":\"roll\",\"reason\":"
					"\"none\",\"result\":\"done\"}",
		HEAD("campaign.start") "}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses_to_read(bad[i], strlen(bad[i]));
}

/* Each says what a record says, and the writer would say it otherwise. */
static void refuses_a_second_spelling(void **state)
{
	static const char *const bad[] = {
		" " HEAD("reconcile.end") "}",
		HEAD("reconcile.end") "} ",
		HEAD("reconcile.end") ", \"note\":\"so\"}",
		HEAD("reconcile.end") ",\"note\": \"so\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\u006f\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\/o\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\u000ao\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\u001Fo\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\u0000o\"}",
		HEAD("reconcile.end") ",\"note\":\"s\\",
		HEAD("reconcile.end") ",\"note\":\"s\\u00",
		HEAD("reconcile.end") ",\"note\":\"s\xff\"}",
		HEAD("reconcile.end") ",\"note\":\"s\n\"}",
		HEAD("reconcile.end") ",\"n\\u006fte\":\"so\"}",
		HEAD("promoted") ",\"op\":\"1\",\"device\":\"a\"}",
		HEAD("promoted") ",\"device\":\"\\u0061\",\"op\":\"1\"}",
		HEAD("promot\\u0065d") ",\"device\":\"a\",\"op\":\"1\"}",
		HEAD("failed") ",\"device\":\"a\",\"op\":\"1\",\"reason\":\"bus\\u0079\"}",
		"{\"v\":01" HEAD_REST("reconcile.end") "}",
		"{\"v\":1.0" HEAD_REST("reconcile.end") "}",
		"{\"v\":+1" HEAD_REST("reconcile.end") "}",
		"{\"v\":" HEAD_REST("reconcile.end") "}",
		"{\"v\":99999999999999999999" HEAD_REST("reconcile.end") "}",
	};
	static const char nul[] = HEAD("promoted") ",\"device\":\"a\0b\",\"op\":\"1\"}";
	static const char good[] = HEAD("reconcile.end") ",\"note\":\"s\\u001f\\n\"}";
	struct kt_record rec;
	uint8_t prev[32];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses_to_read(bad[i], strlen(bad[i]));
	refuses_to_read(nul, sizeof(nul) - 1);
	assert_int_equal(kt_record_decode(good, sizeof(good) - 1, &rec, prev), KT_ERR_OK);
	assert_string_equal(rec.note, "s\x1f\n");
	kt_record_clear(&rec);
}

/* Cut and long texts: of each member one byte more than it has room for. */
static void refuses_members_that_are_too_long(void **state)
{
	static const struct {
		const char *before;
		size_t room;
		const char *behind;
	} members[] = {
		{HEAD("promoted") ",\"device\":\"", KT_DEVICE_ID_MAX, "\",\"op\":\"1\"}"},
		{HEAD("device.create") ",\"device\":\"a\",\"group\":\"", KT_GROUP_MAX, "\"}"},
		{HEAD("reconcile.end") ",\"note\":\"", 127, "\"}"},
		{"{\"v\":1,\"seq\":\"7\",\"prev\":\"" PREV "\",\"time\":\"5\",\"actor\":\"",
		 KT_ACTOR_MAX, "\",\"kind\":\"reconcile.end\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const int room = (int)members[i].room;
		char fill[256];
		char text[1024];
		struct kt_record rec;
		uint8_t prev[32];
		int len;

		memset(fill, 'a', sizeof(fill));
		len = snprintf(text, sizeof(text), "%s%.*s%s", members[i].before, room, fill,
			       members[i].behind);
		assert_int_equal(kt_record_decode(text, (size_t)len, &rec, prev), KT_ERR_OK);
		kt_record_clear(&rec);
		len = snprintf(text, sizeof(text), "%s%.*s%s", members[i].before, room + 1, fill,
			       members[i].behind);
		refuses_to_read(text, (size_t)len);
	}
}

static void a_newer_version_is_named_as_such(void **state)
{
	static const char newer[] = "{\"v\":2,\"what\":{\"we\":[\"cannot\",\"know\"]}}";
	struct kt_record rec;
	uint8_t prev[32];

	(void)state;
	assert_int_equal(kt_record_decode(newer, sizeof(newer) - 1, &rec, prev), KT_ERR_VERSION);
}

/* --- docs/DESIGN.md, "Registry, ledger, index" --- */

/* The row of a kind: its members in their order, its meaning as in the code. */
static void expected_row(const struct kt_registry *r, enum kt_record_kind kind, const char *meaning,
			 char out[static 512])
{
	struct kt_record rec = full_record(kind, r);
	char *text = NULL;
	const char *at;
	size_t len = 0;
	int used;

	assert_int_equal(kt_record_encode(&rec, prev_bytes, &text, &len), KT_ERR_OK);
	/* a ticket is for a device, or for a group and a pattern */
	used = snprintf(out, 512, "\n| `%s` |%s", kt_record_kind_name(kind),
			kind == KT_RECORD_TICKET_CREATE ? " `device`" : "");
	at = strstr(text, "\"kind\":");
	assert_non_null(at);
	for (at = strstr(at, ",\""); at != NULL; at = strstr(at, ",\"")) {
		const size_t name = strcspn(at + 2, "\"");

		used += snprintf(out + used, 512 - (size_t)used, " `%.*s`", (int)name, at + 2);
		at += 2 + name;
	}
	(void)snprintf(out + used, 512 - (size_t)used, " | %s |\n", meaning);
	free(text);
}

/* Without the commas between members, and the marks of those that may be left out. */
static char *plain_page(void)
{
	char *page = vector_file_load("../../docs/DESIGN.md");
	char *to = page;

	if (page == NULL)
		abort();
	for (const char *from = page; *from != '\0'; from++) {
		const bool is_mark = from > page && from[-1] == '`' &&
				     (*from == '?' || (*from == ',' && from[1] == ' '));
		const bool is_comma =
			from > page + 1 && from[-1] == '?' && from[-2] == '`' && *from == ',';

		if (!is_mark && !is_comma)
			*to++ = *from;
	}
	*to = '\0';
	return page;
}

static void the_design_page_lists_every_kind(void **state)
{
	static const char *const meanings[] = {
#define MEANING(code, name, fields, text) text,
		KT_RECORD_LIST(MEANING)
#undef MEANING
	};
	struct kt_registry *r = registry_begun();
	char *page = plain_page();

	(void)state;
	for (int kind = 0; kind < KT_RECORD_COUNT; kind++) {
		char row[512];

		expected_row(r, (enum kt_record_kind)kind, meanings[kind], row);
		if (strstr(page, row) == NULL)
			fail_msg("docs/DESIGN.md does not say: %s", row + 1);
	}
	free(page);
	kt_registry_free(r);
}

/* A damaged record may read as another one; then its text is the only one of that record. */
static void try_damaged(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_record rec;
	uint8_t prev[32];
	char *text = NULL;
	size_t text_len = 0;

	(void)ctx;
	if (kt_record_decode((const char *)bytes, len, &rec, prev) != KT_ERR_OK)
		return;
	assert_int_equal(kt_record_encode(&rec, prev, &text, &text_len), KT_ERR_OK);
	assert_int_equal(text_len, len);
	assert_memory_equal(text, bytes, len);
	kt_record_clear(&rec);
	free(text);
}

static void survives_damage_at_every_byte(void **state)
{
	struct kt_registry *r = registry_begun();

	(void)state;
	for (int kind = 0; kind < KT_RECORD_COUNT; kind++) {
		struct kt_record rec = full_record((enum kt_record_kind)kind, r);
		char *text = NULL;
		size_t len = 0;

		assert_int_equal(kt_record_encode(&rec, prev_bytes, &text, &len), KT_ERR_OK);
		mutate_truncate((const uint8_t *)text, len, try_damaged, NULL);
		mutate_flip_bits((const uint8_t *)text, len, try_damaged, NULL);
		mutate_drop_bytes((const uint8_t *)text, len, try_damaged, NULL);
		free(text);
	}
	kt_registry_free(r);
}

static void kinds_have_stable_names(void **state)
{
	(void)state;
	assert_string_equal(kt_record_kind_name(KT_RECORD_LEDGER_BEGIN), "ledger.begin");
	assert_string_equal(kt_record_kind_name(KT_RECORD_CLOCK_CONFIRM), "clock.confirm");
	assert_string_equal(kt_record_kind_name(KT_RECORD_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_members_in_the_documented_order),
		cmocka_unit_test(every_kind_comes_back_as_it_was),
		cmocka_unit_test(issue_brings_back_each_member),
		cmocka_unit_test(refuses_to_write_what_could_not_be_read),
		cmocka_unit_test(leaves_out_optional_members),
		cmocka_unit_test(refuses_malformed_records),
		cmocka_unit_test(refuses_a_second_spelling),
		cmocka_unit_test(refuses_members_that_are_too_long),
		cmocka_unit_test(a_newer_version_is_named_as_such),
		cmocka_unit_test(the_design_page_lists_every_kind),
		cmocka_unit_test(survives_damage_at_every_byte),
		cmocka_unit_test(kinds_have_stable_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
