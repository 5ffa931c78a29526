#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mutate.h"

static const struct kt_json_limits limits = {16384, KT_JSON_DEPTH_MAX, KT_JSON_TOKENS_MAX};

struct document {
	const char *text;
	size_t len;
};

#define DOCUMENT(text)                                                                             \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

/* All of these are KT_ERR_INVALID; what is too long is tested apart. */
static const struct document malformed[] = {
	/* no object */
	DOCUMENT(""),
	DOCUMENT(" "),
	DOCUMENT("\n"),
	DOCUMENT("null"),
	DOCUMENT("true"),
	DOCUMENT("1"),
	DOCUMENT("\"a\""),
	DOCUMENT("[]"),
	DOCUMENT("[{}]"),
	DOCUMENT("{"),
	DOCUMENT("}"),
	DOCUMENT("]"),
	DOCUMENT("{]"),
	DOCUMENT("{}}"),
	DOCUMENT("{{}"),
	DOCUMENT("{{}}"),
	DOCUMENT(":"),
	DOCUMENT(","),
	/* something behind or before it */
	DOCUMENT("{}x"),
	DOCUMENT("{} {}"),
	DOCUMENT("{},"),
	DOCUMENT("{}:"),
	DOCUMENT("{}\"\""),
	DOCUMENT("{}0"),
	DOCUMENT("{}null"),
	DOCUMENT("{}\0"),
	DOCUMENT("{}\0{}"),
	DOCUMENT("{}\v"),
	DOCUMENT("{}\f"),
	DOCUMENT("{}\x01"),
	DOCUMENT("x{}"),
	DOCUMENT("\0{}"),
	DOCUMENT(",{}"),
	DOCUMENT("\xef\xbb\xbf{}"),
	DOCUMENT("//\n{}"),
	DOCUMENT("/**/{}"),
	DOCUMENT("{}//"),
	DOCUMENT("{/**/}"),
	DOCUMENT("{}#"),
	/* white space that is none */
	DOCUMENT("{\v}"),
	DOCUMENT("{\f\"a\":1}"),
	DOCUMENT("{\"a\":\x01"
		 "1}"),
	DOCUMENT("{\"a\"\x1f:1}"),
	DOCUMENT("{\"a\":\xc2\xa0"
		 "1}"),
	DOCUMENT("{\"a\":1\0}"),
	DOCUMENT("{\x7f}"),
	/* commas, colons, brackets */
	DOCUMENT("{,}"),
	DOCUMENT("{:}"),
	DOCUMENT("{\"a\"}"),
	DOCUMENT("{\"a\":}"),
	DOCUMENT("{\"a\":,}"),
	DOCUMENT("{\"a\" 1}"),
	DOCUMENT("{\"a\",1}"),
	DOCUMENT("{\"a\"::1}"),
	DOCUMENT("{\"a\":1,}"),
	DOCUMENT("{,\"a\":1}"),
	DOCUMENT("{\"a\":1,,\"b\":2}"),
	DOCUMENT("{\"a\":1 \"b\":2}"),
	DOCUMENT("{\"a\":1;\"b\":2}"),
	DOCUMENT("{\"a\":1:\"b\":2}"),
	DOCUMENT("{\"a\":[1,]}"),
	DOCUMENT("{\"a\":[,1]}"),
	DOCUMENT("{\"a\":[,]}"),
	DOCUMENT("{\"a\":[1 2]}"),
	DOCUMENT("{\"a\":[1,,2]}"),
	DOCUMENT("{\"a\":[\"b\":1]}"),
	DOCUMENT("{\"a\":[1}"),
	DOCUMENT("{\"a\":[1}]"),
	DOCUMENT("{\"a\":{\"b\":1]}"),
	DOCUMENT("{\"a\":(1)}"),
	DOCUMENT("{\"1\":1,"),
	DOCUMENT("{\"a\":"),
	DOCUMENT("{\"a\""),
	/* names */
	DOCUMENT("{a:1}"),
	DOCUMENT("{'a':1}"),
	DOCUMENT("{1:1}"),
	DOCUMENT("{null:1}"),
	DOCUMENT("{[]:1}"),
	DOCUMENT("{\"a\":1,\"a\":1}"),
	DOCUMENT("{\"a\":1,\"b\":2,\"a\":3}"),
	DOCUMENT("{\"a\":1,\"\\u0061\":2}"),
	DOCUMENT("{\"a\":{\"b\":1,\"b\":2}}"),
	DOCUMENT("{\"a\":[{},{\"b\":1,\"b\":2}]}"),
	DOCUMENT("{\"a\":{},\"c\":{\"b\":{},\"b\":{}}}"),
	DOCUMENT("{\"\":1,\"\":2}"),
	DOCUMENT("{\"a\\u0000\":1}"),
	DOCUMENT("{\"a\0\":1}"),
	/* strings */
	DOCUMENT("{\"a\":'b'}"),
	DOCUMENT("{\"a\":\"b}"),
	DOCUMENT("{\"a\":\"b\\\"}"),
	DOCUMENT("{\"a\":\"\\\"}"),
	DOCUMENT("{\"a\":\"\0\"}"),
	DOCUMENT("{\"a\":\"b\0c\"}"),
	DOCUMENT("{\"a\":\"\n\"}"),
	DOCUMENT("{\"a\":\"\t\"}"),
	DOCUMENT("{\"a\":\"\x1f\"}"),
	DOCUMENT("{\"a\":\"\\u0000\"}"),
	DOCUMENT("{\"a\":\"b\\u0000c\"}"),
	DOCUMENT("{\"a\":\"\\\\\\u0000\"}"),
	DOCUMENT("{\"a\":\"\\a\"}"),
	DOCUMENT("{\"a\":\"\\x41\"}"),
	DOCUMENT("{\"a\":\"\\'\"}"),
	DOCUMENT("{\"a\":\"\\0\"}"),
	DOCUMENT("{\"a\":\"\\U0041\"}"),
	DOCUMENT("{\"a\":\"\\\n\"}"),
	DOCUMENT("{\"a\":\"\\\0\"}"),
	DOCUMENT("{\"a\":\"\\u\"}"),
	DOCUMENT("{\"a\":\"\\u004\"}"),
	DOCUMENT("{\"a\":\"\\u00g0\"}"),
	DOCUMENT("{\"a\":\"\\uZZZZ\"}"),
	DOCUMENT("{\"a\":\"\\u 041\"}"),
	DOCUMENT("{\"a\":\"\\u-041\"}"),
	DOCUMENT("{\"a\":\"\\u00"),
	DOCUMENT("{\"a\":\"\\"),
	DOCUMENT("{\"a\":\"\\ud800\"}"),
	DOCUMENT("{\"a\":\"\\udc00\"}"),
	DOCUMENT("{\"a\":\"\\ud800x\"}"),
	DOCUMENT("{\"a\":\"\\ud800\\n\"}"),
	DOCUMENT("{\"a\":\"\\ud800\\ud800\"}"),
	DOCUMENT("{\"a\":\"\\ud800\\u0041\"}"),
	DOCUMENT("{\"a\":\"\\udc00\\ud800\"}"),
	/* UTF-8 */
	DOCUMENT("{\"a\":\"\x80\"}"),
	DOCUMENT("{\"a\":\"\xbf\"}"),
	DOCUMENT("{\"a\":\"\xc3\"}"),
	DOCUMENT("{\"a\":\"\xc0\x80\"}"),
	DOCUMENT("{\"a\":\"\xc1\xbf\"}"),
	DOCUMENT("{\"a\":\"\xc3(\"}"),
	DOCUMENT("{\"a\":\"\xe0\x80\x80\"}"),
	DOCUMENT("{\"a\":\"\xe0\x9f\xbf\"}"),
	DOCUMENT("{\"a\":\"\xe2\x82\"}"),
	DOCUMENT("{\"a\":\"\xe2(\xac\"}"),
	DOCUMENT("{\"a\":\"\xed\xa0\x80\"}"),
	DOCUMENT("{\"a\":\"\xed\xbf\xbf\"}"),
	DOCUMENT("{\"a\":\"\xf0\x80\x80\x80\"}"),
	DOCUMENT("{\"a\":\"\xf0\x9f\x98\"}"),
	DOCUMENT("{\"a\":\"\xf4\x90\x80\x80\"}"),
	DOCUMENT("{\"a\":\"\xf5\x80\x80\x80\"}"),
	DOCUMENT("{\"a\":\"\xfe\xff\"}"),
	DOCUMENT("{\"\xff\":1}"),
	DOCUMENT("{\"a\":\xc3\xbc}"),
	/* numbers */
	DOCUMENT("{\"a\":007}"),
	DOCUMENT("{\"a\":00}"),
	DOCUMENT("{\"a\":-01}"),
	DOCUMENT("{\"a\":+1}"),
	DOCUMENT("{\"a\":-}"),
	DOCUMENT("{\"a\":--1}"),
	DOCUMENT("{\"a\":1-}"),
	DOCUMENT("{\"a\":1.}"),
	DOCUMENT("{\"a\":1.0}"),
	DOCUMENT("{\"a\":.5}"),
	DOCUMENT("{\"a\":1.5}"),
	DOCUMENT("{\"a\":1e3}"),
	DOCUMENT("{\"a\":1E3}"),
	DOCUMENT("{\"a\":1e400}"),
	DOCUMENT("{\"a\":-1e400}"),
	DOCUMENT("{\"a\":0x10}"),
	DOCUMENT("{\"a\":1a}"),
	DOCUMENT("{\"a\":1\"\"}"),
	DOCUMENT("{\"a\":1[}"),
	DOCUMENT("{\"a\":1_000}"),
	DOCUMENT("{\"a\":9007199254740992}"),
	DOCUMENT("{\"a\":-9007199254740992}"),
	DOCUMENT("{\"a\":9007199254740993}"),
	DOCUMENT("{\"a\":9999999999999999}"),
	DOCUMENT("{\"a\":10000000000000000}"),
	DOCUMENT("{\"a\":18446744073709551616}"),
	DOCUMENT("{\"a\":1111111111111111111111111111111111111111111111111111111111111111}"),
	/* literals */
	DOCUMENT("{\"a\":True}"),
	DOCUMENT("{\"a\":TRUE}"),
	DOCUMENT("{\"a\":tru}"),
	DOCUMENT("{\"a\":truee}"),
	DOCUMENT("{\"a\":true1}"),
	DOCUMENT("{\"a\":truefalse}"),
	DOCUMENT("{\"a\":nul"),
	DOCUMENT("{\"a\":None}"),
	DOCUMENT("{\"a\":nil}"),
	DOCUMENT("{\"a\":undefined}"),
	DOCUMENT("{\"a\":NaN}"),
	DOCUMENT("{\"a\":-NaN}"),
	DOCUMENT("{\"a\":Infinity}"),
	DOCUMENT("{\"a\":-Infinity}"),
	DOCUMENT("{\"a\":b}"),
	DOCUMENT("{\"a\":@}"),
};

enum { MALFORMED_COUNT = sizeof(malformed) / sizeof(malformed[0]) };

static struct kt_json *parse(const char *text)
{
	struct kt_json *json = NULL;

	assert_int_equal(kt_json_parse((const uint8_t *)text, strlen(text), &limits, &json),
			 KT_ERR_OK);
	assert_non_null(json);
	return json;
}

static enum kt_err error_of(const void *text, size_t len, const struct kt_json_limits *within)
{
	struct kt_json *json = (struct kt_json *)&json;
	/* An exact block: a byte read behind the text is seen by ASan. */
	uint8_t *copy = malloc(len > 0 ? len : 1);
	enum kt_err err;

	assert_non_null(copy);
	memcpy(copy, text, len);
	err = kt_json_parse(copy, len, within, &json);
	free(copy);
	if (err != KT_ERR_OK)
		assert_null(json);
	else
		kt_json_free(json);
	return err;
}

static void refuses_every_malformed_document(void **state)
{
	(void)state;
	assert_true(MALFORMED_COUNT >= 100);
	for (size_t i = 0; i < MALFORMED_COUNT; i++) {
		enum kt_err err = error_of(malformed[i].text, malformed[i].len, &limits);

		if (err != KT_ERR_INVALID)
			fail_msg("%zu: %s gives %s", i, malformed[i].text, kt_err_name(err));
	}
}

/* What is malformed by itself is so inside of something that is not, wherever it stands. */
static void refuses_every_malformed_document_inside_of_a_good_one(void **state)
{
	static const struct {
		const char *before;
		const char *behind;
		size_t skipped; /* of the document: its own opening bracket */
	} contexts[] = {{"{\"n\":", "}", 0},
			{"{\"n\":[", "]}", 0},
			{"{\"n\":{\"m\":[0,{},", "]}}", 0},
			{"{\"y\":[{}],\"z\":\"\",", "", 1}};
	size_t count = MALFORMED_COUNT;

	(void)state;
	for (size_t i = 0; i < MALFORMED_COUNT; i++) {
		if (malformed[i].len < 2 || malformed[i].text[0] != '{')
			continue;
		for (size_t k = 0; k < sizeof(contexts) / sizeof(contexts[0]); k++) {
			char text[512];
			size_t len = strlen(contexts[k].before);
			enum kt_err err;

			if (contexts[k].skipped == 1 && malformed[i].text[1] != '"')
				continue; /* without a member of its own */
			memcpy(text, contexts[k].before, len);
			memcpy(text + len, malformed[i].text + contexts[k].skipped,
			       malformed[i].len - contexts[k].skipped);
			len += malformed[i].len - contexts[k].skipped;
			memcpy(text + len, contexts[k].behind, strlen(contexts[k].behind));
			len += strlen(contexts[k].behind);
			err = error_of(text, len, &limits);
			if (err != KT_ERR_INVALID)
				fail_msg("%zu in %zu: %.*s gives %s", i, k, (int)len, text,
					 kt_err_name(err));
			count++;
		}
	}
	print_message("%zu malformed documents\n", count);
	assert_true(count >= 500);
}

static void accepts_what_is_strict(void **state)
{
	static const char *const good[] = {
		"{}",
		" {} ",
		"\t\r\n{\t\r\n}\t\r\n",
		"{\"a\":0}",
		"{\"a\":-0}",
		"{\"a\":-1}",
		"{\"a\":9007199254740991}",
		"{\"a\":-9007199254740991}",
		"{\"a\":true,\"b\":false,\"c\":null}",
		"{\"a\":[],\"b\":{},\"c\":[[],{}]}",
		"{\"a\":\"\"}",
		"{\"\":\"\"}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"}",
		"{\"a\":\"\\\\u0000\"}",
		"{\"a\":\"\\u0001\\uFFFF\\ud83d\\ude00\"}",
		"{\"a\":\"\x7f\xc3\xbc\xe2\x82\xac\xed\x9f\xbf\xee\x80\x80\"}",
		"{\"a\":\"\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"}",
		"{\"a\":1,\"A\":2}",
		"{\"a\":{\"a\":{\"a\":1}}}",
		"{\"a\":[{\"b\":1},{\"b\":1}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(error_of(good[i], strlen(good[i]), &limits), KT_ERR_OK);
}

static void every_control_byte_in_a_string_is_refused(void **state)
{
	char text[] = "{\"a\":\"x\"}";

	(void)state;
	for (int c = 0; c < 0x20; c++) {
		text[6] = (char)c;
		assert_int_equal(error_of(text, sizeof(text) - 1, &limits), KT_ERR_INVALID);
	}
}

static void only_four_bytes_are_white_space(void **state)
{
	static const char *const frames[] = {"_{}", "{_}", "{}_", "{\"a\"_:1}", "{\"a\":1_}"};
	unsigned accepted = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		for (int c = 0; c < 256; c++) {
			char text[16];
			size_t len = strlen(frames[i]);
			char *hole;

			memcpy(text, frames[i], len);
			hole = memchr(text, '_', len);
			*hole = (char)c;
			if (error_of(text, len, &limits) == KT_ERR_OK) {
				accepted++;
				if (i < 4)
					assert_non_null(memchr(" \t\r\n", c, 4));
			}
		}
	}
	/* four bytes in five places, and ten digits behind the 1 */
	assert_int_equal(accepted, 4 * 5 + 10);
}

static void size_is_limited(void **state)
{
	struct kt_json_limits ten = {10, 8, 256};

	(void)state;
	assert_int_equal(error_of("{\"a\":1234}", 10, &ten), KT_ERR_OK);
	assert_int_equal(error_of("{\"a\":12345}", 11, &ten), KT_ERR_TOO_LONG);
	assert_int_equal(error_of("{}         ", 11, &ten), KT_ERR_TOO_LONG);
	/* never looked at */
	assert_int_equal(error_of("\0\0\0\0\0\0\0\0\0\0\0", 11, &ten), KT_ERR_TOO_LONG);
}

static void depth_is_limited(void **state)
{
	struct kt_json_limits two = {100, 2, 256};

	(void)state;
	assert_int_equal(error_of("{\"a\":[[[[[[[1]]]]]]]}", 21, &limits), KT_ERR_OK);
	assert_int_equal(error_of("{\"a\":[[[[[[[[1]]]]]]]]}", 23, &limits), KT_ERR_TOO_LONG);
	assert_int_equal(error_of("{\"a\":[],\"b\":[]}", 15, &two), KT_ERR_OK);
	assert_int_equal(error_of("{\"a\":[{}]}", 10, &two), KT_ERR_TOO_LONG);
	/* brackets inside a string do not nest */
	assert_int_equal(error_of("{\"a\":[\"[[[{{{\"]}", 16, &two), KT_ERR_OK);
}

static void depth_has_a_ceiling_of_its_own(void **state)
{
	struct kt_json_limits none = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
	char text[200];
	size_t len = 0;

	(void)state;
	memcpy(text, "{\"a\":", 5);
	for (size_t nested = 63; nested <= 64; nested++) {
		len = 5;
		memset(text + len, '[', nested);
		len += nested;
		memset(text + len, ']', nested);
		len += nested;
		text[len++] = '}';
		assert_int_equal(error_of(text, len, &none),
				 nested == 63 ? KT_ERR_OK : KT_ERR_TOO_LONG);
	}
}

static void tokens_are_limited(void **state)
{
	/* "{" "a" "[" and n numbers */
	char text[2000] = "{\"a\":[1";
	size_t len = strlen(text);

	(void)state;
	for (size_t tokens = 5; tokens <= 256; tokens++) {
		memcpy(text + len, ",1", 2);
		len += 2;
	}
	memcpy(text + len, "]}", 2);
	assert_int_equal(error_of(text, len + 2, &limits), KT_ERR_OK);
	memcpy(text + len, ",1]}", 4);
	assert_int_equal(error_of(text, len + 4, &limits), KT_ERR_TOO_LONG);
}

static void a_repeated_name_is_found_among_thousands(void **state)
{
	struct kt_json_limits large = {1024 * 1024, 8, 100000};
	enum { NAMES = 5000 };
	char *text = malloc(NAMES * 12);
	size_t len = 1;

	(void)state;
	assert_non_null(text);
	text[0] = '{';
	for (unsigned i = 0; i < NAMES; i++)
		len += (size_t)snprintf(text + len, 16, "\"%05u\":%u,", i * 7919 % NAMES, i % 10);
	text[len - 1] = '}';
	assert_int_equal(error_of(text, len, &large), KT_ERR_OK);
	memcpy(text + len - 9, text + 2, 5); /* the last takes the first one's name */
	assert_int_equal(error_of(text, len, &large), KT_ERR_INVALID);
	free(text);
}

static const char *const valid[] = {
	"{\"v\":1,\"type\":\"cert\",\"td\":\"fleet.example\",\"device\":\"hub-17\",\"op\":"
	"\"1700000000000000\",\"chain\":[\"MIIB\",\"MIIC\"],\"wipe\":true}",
	" { \"a\" : [ -1 , { \"b\\u00e9\" : [ [ ] , { } ] } ] , \"\\ud83d\\ude00\" : null } ",
	"{\"commands\":[{\"command\":\"rotate\",\"device\":\"h\xc3\xbc\","
	"\"correlationData\":\"\xf0\x9f\x98\x80\\n\"}]}",
};

static void a_damaged_document_never_crashes(void *ctx, const uint8_t *bytes, size_t len)
{
	struct kt_json *json = NULL;
	char *text = NULL;
	unsigned *count = ctx;

	(*count)++;
	if (kt_json_parse(bytes, len, &limits, &json) != KT_ERR_OK) {
		assert_null(json);
		return;
	}
	assert_int_equal(kt_json_print(kt_json_root(json), &text), KT_ERR_OK);
	assert_true(strlen(text) <= len);
	assert_int_equal(error_of(text, strlen(text), &limits), KT_ERR_OK);
	free(text);
	kt_json_free(json);
}

static void a_cut_document_is_refused(void *ctx, const uint8_t *bytes, size_t len)
{
	(void)ctx;
	/* the last brace and the space behind it */
	if (memchr(bytes + (len > 0 ? len - 1 : 0), '}', len > 0) == NULL)
		assert_int_equal(error_of(bytes, len, &limits), KT_ERR_INVALID);
}

static void damaged_documents_never_crash(void **state)
{
	unsigned count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		const uint8_t *bytes = (const uint8_t *)valid[i];
		size_t len = strlen(valid[i]);

		assert_int_equal(error_of(bytes, len, &limits), KT_ERR_OK);
		mutate_truncate(bytes, len, a_cut_document_is_refused, NULL);
		mutate_truncate(bytes, len, a_damaged_document_never_crashes, &count);
		mutate_flip_bits(bytes, len, a_damaged_document_never_crashes, &count);
		mutate_drop_bytes(bytes, len, a_damaged_document_never_crashes, &count);
	}
	assert_true(count > 2000);
}

static void hands_out_every_value(void **state)
{
	struct kt_json *json = parse("{\"s\":\"a\\u00fc\\n\",\"n\":-9007199254740991,\"t\":true,"
				     "\"f\":false,\"z\":null,\"a\":[1,\"x\",{\"b\":2}],\"o\":{}}");
	const struct kt_json_value *root = kt_json_root(json);
	const struct kt_json_value *array = kt_json_member(root, "a");

	(void)state;
	assert_string_equal(kt_json_string(root, "s"), "a\xc3\xbc\n");
	assert_true(kt_json_number(root, "n") == INT64_C(-9007199254740991));
	assert_true(kt_json_bool(root, "t"));
	assert_false(kt_json_bool(root, "f"));
	assert_int_equal(kt_json_array_len(array), 3);
	assert_int_equal(kt_json_value_number(kt_json_array_item(array, 0)), 1);
	assert_string_equal(kt_json_value_string(kt_json_array_item(array, 1)), "x");
	assert_int_equal(kt_json_number(kt_json_array_item(array, 2), "b"), 2);
	assert_string_equal(kt_json_name(kt_json_array_item(array, 0)), "");
	assert_string_equal(kt_json_name(array), "a");
	assert_true(kt_json_is(kt_json_member(root, "o"), KT_JSON_OBJECT));
	kt_json_free(json);
}

static void null_is_of_no_type(void **state)
{
	struct kt_json *json = parse("{\"z\":null}");
	const struct kt_json_value *z = kt_json_member(kt_json_root(json), "z");

	(void)state;
	assert_non_null(z);
	for (int type = KT_JSON_STRING; type <= KT_JSON_ARRAY; type++)
		assert_false(kt_json_is(z, (enum kt_json_type)type));
	kt_json_free(json);
}

static void what_is_absent_or_of_another_type_is_nothing(void **state)
{
	struct kt_json *json = parse("{\"s\":\"x\",\"n\":5,\"a\":[1],\"b\":true}");
	const struct kt_json_value *root = kt_json_root(json);

	(void)state;
	assert_null(kt_json_member(root, "S"));
	assert_null(kt_json_member(root, ""));
	assert_null(kt_json_member(kt_json_member(root, "s"), "s"));
	assert_null(kt_json_member(kt_json_member(root, "a"), "1"));
	assert_null(kt_json_member(NULL, "s"));
	assert_null(kt_json_string(root, "n"));
	assert_null(kt_json_string(root, "absent"));
	assert_int_equal(kt_json_number(root, "s"), 0);
	assert_int_equal(kt_json_number(root, "absent"), 0);
	assert_false(kt_json_bool(root, "n"));
	assert_false(kt_json_bool(root, "absent"));
	assert_int_equal(kt_json_array_len(root), 0);
	assert_int_equal(kt_json_array_len(NULL), 0);
	assert_null(kt_json_array_item(kt_json_member(root, "a"), 1));
	assert_null(kt_json_array_item(root, 0));
	assert_null(kt_json_array_item(NULL, 0));
	kt_json_free(json);
}

static void members_can_be_walked_in_order(void **state)
{
	struct kt_json *json = parse("{\"c\":1,\"a\":2,\"b\":3}");
	char names[8] = "";
	size_t count = 0;

	(void)state;
	for (const struct kt_json_value *member = kt_json_first(kt_json_root(json)); member != NULL;
	     member = kt_json_next(member))
		names[count++] = kt_json_name(member)[0];
	assert_string_equal(names, "cab");
	assert_null(kt_json_first(kt_json_first(kt_json_root(json))));
	assert_null(kt_json_first(NULL));
	kt_json_free(json);
}

static const struct kt_json_rule rules[] = {
	{"v", KT_JSON_NUMBER, true, 0},	     {"type", KT_JSON_STRING, true, 5},
	{"chain", KT_JSON_ARRAY, false, 2},  {"wipe", KT_JSON_BOOL, false, 0},
	{"inner", KT_JSON_OBJECT, false, 0},
};

static void a_check_names_what_is_wrong(void **state)
{
	static const struct {
		const char *text;
		enum kt_err err;
		const char *field;
	} cases[] = {
		{"{\"v\":1,\"type\":\"hello\"}", KT_ERR_OK, ""},
		{"{\"type\":\"\",\"wipe\":false,\"v\":0,\"inner\":{\"x\":1},\"chain\":[1,2]}",
		 KT_ERR_OK, ""},
		{"{}", KT_ERR_MISSING_FIELD, "v"},
		{"{\"v\":1}", KT_ERR_MISSING_FIELD, "type"},
		{"{\"type\":\"a\"}", KT_ERR_MISSING_FIELD, "v"},
		{"{\"v\":1,\"type\":\"a\",\"more\":1}", KT_ERR_UNKNOWN_FIELD, ""},
		{"{\"v\":1,\"Type\":\"a\"}", KT_ERR_UNKNOWN_FIELD, ""},
		{"{\"v\":1,\"type \":\"a\"}", KT_ERR_UNKNOWN_FIELD, ""},
		{"{\"v\":1,\"\":\"a\"}", KT_ERR_UNKNOWN_FIELD, ""},
		{"{\"v\":\"1\",\"type\":\"a\"}", KT_ERR_INVALID, "v"},
		{"{\"v\":null,\"type\":\"a\"}", KT_ERR_INVALID, "v"},
		{"{\"v\":true,\"type\":\"a\"}", KT_ERR_INVALID, "v"},
		{"{\"v\":[1],\"type\":\"a\"}", KT_ERR_INVALID, "v"},
		{"{\"v\":1,\"type\":1}", KT_ERR_INVALID, "type"},
		{"{\"v\":1,\"type\":[\"a\"]}", KT_ERR_INVALID, "type"},
		{"{\"v\":1,\"type\":\"a\",\"wipe\":0}", KT_ERR_INVALID, "wipe"},
		{"{\"v\":1,\"type\":\"a\",\"wipe\":\"true\"}", KT_ERR_INVALID, "wipe"},
		{"{\"v\":1,\"type\":\"a\",\"chain\":{}}", KT_ERR_INVALID, "chain"},
		{"{\"v\":1,\"type\":\"a\",\"inner\":[]}", KT_ERR_INVALID, "inner"},
		{"{\"v\":1,\"type\":\"abcdef\"}", KT_ERR_TOO_LONG, "type"},
		{"{\"v\":1,\"type\":\"a\xc3\xbc\xc3\xbc\xc3\xbc\"}", KT_ERR_TOO_LONG, "type"},
		{"{\"v\":1,\"type\":\"a\",\"chain\":[1,2,3]}", KT_ERR_TOO_LONG, "chain"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_json *json = parse(cases[i].text);
		const char *field = NULL;

		assert_int_equal(kt_json_check(kt_json_root(json), rules,
					       sizeof(rules) / sizeof(rules[0]), &field),
				 cases[i].err);
		assert_string_equal(field, cases[i].field);
		kt_json_free(json);
	}
}

static void only_an_object_can_be_checked(void **state)
{
	struct kt_json *json = parse("{\"a\":[]}");
	const char *field = NULL;

	(void)state;
	assert_int_equal(kt_json_check(NULL, rules, 1, &field), KT_ERR_INVALID);
	assert_string_equal(field, "");
	assert_int_equal(kt_json_check(kt_json_member(kt_json_root(json), "a"), rules, 1, &field),
			 KT_ERR_INVALID);
	assert_int_equal(kt_json_check(kt_json_root(json), NULL, 0, &field), KT_ERR_UNKNOWN_FIELD);
	assert_int_equal(kt_json_check(kt_json_root(json), rules, 65, &field), KT_ERR_INTERNAL);
	kt_json_free(json);
}

static void prints_compactly_and_exactly(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{"{}", "{}"},
		{" { \"a\" : 1 } ", "{\"a\":1}"},
		{"{\"a\":9007199254740991,\"b\":-9007199254740991}",
		 "{\"a\":9007199254740991,\"b\":-9007199254740991}"},
		{"{\"a\":-0}", "{\"a\":0}"},
		{"{\"a\":[[],{},[{}],{\"b\":[]},1]}", "{\"a\":[[],{},[{}],{\"b\":[]},1]}"},
		{"{\"a\":null,\"b\":true,\"c\":false}", "{\"a\":null,\"b\":true,\"c\":false}"},
		{"{\"\\u0061\":\"\\/\\u0022\\\\\\n\\u0001\x7f\\u00fc\"}",
		 "{\"a\":\"/\\\"\\\\\\n\\u0001\x7f\xc3\xbc\"}"},
		{"{\"a\":{\"b\":{\"c\":{}}},\"d\":1}", "{\"a\":{\"b\":{\"c\":{}}},\"d\":1}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_json *json = parse(cases[i].in);
		char *text = NULL;

		assert_int_equal(kt_json_print(kt_json_root(json), &text), KT_ERR_OK);
		assert_string_equal(text, cases[i].out);
		free(text);
		kt_json_free(json);
	}
}

static void prints_a_part_without_its_neighbours(void **state)
{
	struct kt_json *json = parse("{\"a\":{\"b\":[1,2]},\"c\":3}");
	const struct kt_json_value *part = kt_json_member(kt_json_root(json), "a");
	char *text = NULL;

	(void)state;
	assert_int_equal(kt_json_print(part, &text), KT_ERR_OK);
	assert_string_equal(text, "{\"b\":[1,2]}");
	free(text);
	assert_int_equal(kt_json_print(kt_json_member(part, "b"), &text), KT_ERR_OK);
	assert_string_equal(text, "[1,2]");
	free(text);
	assert_int_equal(kt_json_print(kt_json_member(kt_json_root(json), "c"), &text), KT_ERR_OK);
	assert_string_equal(text, "3");
	free(text);
	kt_json_free(json);
}

static void writes_members_in_the_order_of_the_calls(void **state)
{
	static const uint8_t bytes[] = {0xff, 0x00, 0xfb};
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(kt_json_writer_new(&w), KT_ERR_OK);
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "s", "a\"\\/\b\f\n\r\t\x01\x7f\xc3\xbc");
	kt_json_put_number(w, "n", -5);
	kt_json_put_bool(w, "t", true);
	kt_json_put_u64(w, "u", UINT64_MAX);
	kt_json_put_hex(w, "h", bytes, sizeof(bytes));
	kt_json_put_b64url(w, "b", bytes, sizeof(bytes));
	kt_json_put_b64url(w, "e", NULL, 0);
	kt_json_put_raw(w, "r", "{\"x\":1}");
	kt_json_open_array(w, "a");
	kt_json_put_number(w, NULL, 1);
	kt_json_open_object(w, NULL);
	kt_json_close_object(w);
	kt_json_open_array(w, NULL);
	kt_json_close_array(w);
	kt_json_put_string(w, NULL, "");
	kt_json_close_array(w);
	kt_json_put_bool(w, "f\n", false);
	kt_json_close_object(w);
	assert_int_equal(kt_json_writer_take(w, &text, &len), KT_ERR_OK);
	assert_string_equal(text,
			    "{\"s\":\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xbc\",\"n\":-5,"
			    "\"t\":true,\"u\":\"18446744073709551615\",\"h\":\"ff00fb\","
			    "\"b\":\"_wD7\",\"e\":\"\",\"r\":{\"x\":1},"
			    "\"a\":[1,{},[],\"\"],\"f\\n\":false}");
	assert_int_equal(len, strlen(text));
	assert_int_equal(error_of(text, len, &limits), KT_ERR_OK);
	free(text);
	kt_json_writer_free(w);
}

static void a_taken_writer_is_empty_and_writes_again(void **state)
{
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(kt_json_writer_new(&w), KT_ERR_OK);
	assert_int_equal(kt_json_writer_take(w, &text, &len), KT_ERR_INVALID);
	for (int i = 0; i < 2; i++) {
		kt_json_open_array(w, NULL);
		kt_json_close_array(w);
		assert_int_equal(kt_json_writer_take(w, &text, &len), KT_ERR_OK);
		assert_string_equal(text, "[]");
		assert_int_equal(len, 2);
		free(text);
	}
	assert_int_equal(kt_json_writer_take(w, &text, &len), KT_ERR_INVALID);
	assert_null(text);
	assert_int_equal(len, 0);
	kt_json_writer_free(w);
	kt_json_writer_free(NULL);
}

static void long_texts_grow(void **state)
{
	struct kt_json_writer *w = NULL;
	char value[1000];
	uint8_t bytes[700] = {0};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(kt_json_writer_new(&w), KT_ERR_OK);
	kt_json_open_array(w, NULL);
	for (int i = 0; i < 100; i++) {
		kt_json_put_string(w, NULL, value);
		kt_json_put_hex(w, NULL, bytes, sizeof(bytes));
		kt_json_put_b64url(w, NULL, bytes, sizeof(bytes));
	}
	kt_json_close_array(w);
	assert_int_equal(kt_json_writer_take(w, &text, &len), KT_ERR_OK);
	assert_int_equal(len, 2 + 100 * (1001 + 1402 + 936) + 299);
	assert_int_equal(strlen(text), len);
	free(text);
	kt_json_writer_free(w);
}

/* Each leaves the writer in error; what follows cannot mend it. */
static void misuse(struct kt_json_writer *w, int which)
{
	kt_json_open_object(w, which == 0 ? "named root" : NULL);
	switch (which) {
	case 1:
		kt_json_put_number(w, NULL, 1);
		break;
	case 2:
		kt_json_close_array(w);
		break;
	case 3:
		kt_json_open_array(w, "a");
		kt_json_put_number(w, "named item", 1);
		kt_json_close_array(w);
		break;
	case 4:
		kt_json_put_string(w, "a", "\xff");
		break;
	case 5:
		kt_json_put_string(w, "\xc0\x80", "a");
		break;
	case 6:
		kt_json_put_string(w, "a", NULL);
		break;
	case 7:
		kt_json_put_number(w, "a", INT64_C(9007199254740992));
		break;
	case 8:
		kt_json_put_number(w, "a", INT64_MIN);
		break;
	case 9:
		kt_json_put_raw(w, "a", "");
		break;
	case 10:
		kt_json_put_raw(w, "a", NULL);
		break;
	case 11:
		kt_json_close_object(w);
		kt_json_open_object(w, NULL);
		break;
	case 12:
		kt_json_close_object(w);
		kt_json_close_object(w);
		break;
	case 13:
		kt_json_open_object(w, "a");
		break;
	case 14:
		kt_json_open_array(w, "a");
		for (int i = 0; i < 64; i++)
			kt_json_open_array(w, NULL);
		for (int i = 0; i < 65; i++)
			kt_json_close_array(w);
		break;
	case 15:
		kt_json_open_array(w, "a");
		kt_json_close_object(w);
		break;
	default:
		break;
	}
	kt_json_close_object(w);
}

static void misuse_of_the_writer_is_reported_at_the_end(void **state)
{
	(void)state;
	for (int which = 0; which <= 16; which++) {
		struct kt_json_writer *w = NULL;
		char *text = (char *)&text;
		size_t len = 99;

		assert_int_equal(kt_json_writer_new(&w), KT_ERR_OK);
		misuse(w, which);
		/* the 16th does nothing wrong */
		assert_int_equal(kt_json_writer_take(w, &text, &len),
				 which == 16 ? KT_ERR_OK : KT_ERR_INVALID);
		if (which != 16)
			assert_null(text);
		free(text);
		kt_json_writer_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_every_malformed_document),
		cmocka_unit_test(refuses_every_malformed_document_inside_of_a_good_one),
		cmocka_unit_test(accepts_what_is_strict),
		cmocka_unit_test(every_control_byte_in_a_string_is_refused),
		cmocka_unit_test(only_four_bytes_are_white_space),
		cmocka_unit_test(size_is_limited),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(depth_has_a_ceiling_of_its_own),
		cmocka_unit_test(tokens_are_limited),
		cmocka_unit_test(a_repeated_name_is_found_among_thousands),
		cmocka_unit_test(damaged_documents_never_crash),
		cmocka_unit_test(hands_out_every_value),
		cmocka_unit_test(null_is_of_no_type),
		cmocka_unit_test(what_is_absent_or_of_another_type_is_nothing),
		cmocka_unit_test(members_can_be_walked_in_order),
		cmocka_unit_test(a_check_names_what_is_wrong),
		cmocka_unit_test(only_an_object_can_be_checked),
		cmocka_unit_test(prints_compactly_and_exactly),
		cmocka_unit_test(prints_a_part_without_its_neighbours),
		cmocka_unit_test(writes_members_in_the_order_of_the_calls),
		cmocka_unit_test(a_taken_writer_is_empty_and_writes_again),
		cmocka_unit_test(long_texts_grow),
		cmocka_unit_test(misuse_of_the_writer_is_reported_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
