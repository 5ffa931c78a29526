#include "encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
	const char *bytes;
	const char *text;
};

/* RFC 4648 section 10, and the two alphabets' own digits. */
static const struct pair b64_vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff", "+/8="},
};
static const struct pair b64url_vectors[] = {
	{"", ""},	    {"f", "Zg"},	  {"fo", "Zm8"},	  {"foo", "Zm9v"},
	{"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"},
};

enum { VECTOR_COUNT = sizeof(b64_vectors) / sizeof(b64_vectors[0]) };

static void base64_meets_its_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		const struct pair *v = &b64_vectors[i];
		size_t len = strlen(v->bytes);
		char text[16];
		uint8_t bytes[16];
		size_t out_len = 99;

		assert_int_equal(kt_b64_encode((const uint8_t *)v->bytes, len, text, sizeof(text)),
				 KT_ERR_OK);
		assert_string_equal(text, v->text);
		assert_int_equal(
			kt_b64_decode(v->text, strlen(v->text), bytes, sizeof(bytes), &out_len),
			KT_ERR_OK);
		assert_int_equal(out_len, len);
		assert_memory_equal(bytes, v->bytes, len);
	}
}

static void base64url_meets_its_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		const struct pair *v = &b64url_vectors[i];
		size_t len = strlen(v->bytes);
		char text[16];
		uint8_t bytes[16];
		size_t out_len = 99;

		assert_int_equal(
			kt_b64url_encode((const uint8_t *)v->bytes, len, text, sizeof(text)),
			KT_ERR_OK);
		assert_string_equal(text, v->text);
		assert_int_equal(strlen(text), KT_B64URL_LEN(len));
		assert_int_equal(
			kt_b64url_decode(v->text, strlen(v->text), bytes, sizeof(bytes), &out_len),
			KT_ERR_OK);
		assert_int_equal(out_len, len);
		assert_memory_equal(bytes, v->bytes, len);
	}
}

static void base64url_refuses_what_it_would_not_write(void **state)
{
	static const char *const bad[] = {
		"Z",   "Zg==",	    "Zg=",   "Zh",   "Z/",	  "Zm-=",  "+_8",
		"-/8", "Zm9v Zm9v", "Zm8=",  " Zg",  "Zg\n",	  "Zm\n9", "Zm9v\r\n",
		"=",   "==",	    "Zm9vY", "Zm.v", "Z\xc3\xbc",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t bytes[16];
		size_t out_len = 99;

		assert_int_equal(
			kt_b64url_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes), &out_len),
			KT_ERR_INVALID);
		assert_int_equal(out_len, 0);
	}
}

static void base64_refuses_what_it_would_not_write(void **state)
{
	static const char *const bad[] = {
		"Zg",	  "Zg=",	"Zg===",    "Zh==", "Zm9=", "====",
		"A===",	  "=",		"Zg==Zg==", "Z=g=", "-_8=", "+_8=",
		"Zg==\n", "Zm9v\nZm9v", " Zm9v",    "Zm9",  "Zm=9", "Zm8=====",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t bytes[16];
		size_t out_len = 99;

		assert_int_equal(
			kt_b64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes), &out_len),
			KT_ERR_INVALID);
		assert_int_equal(out_len, 0);
	}
}

static void base64url_refuses_a_nul_in_the_text(void **state)
{
	uint8_t bytes[8];
	size_t out_len;

	(void)state;
	assert_int_equal(kt_b64url_decode("Zm\0v", 4, bytes, sizeof(bytes), &out_len),
			 KT_ERR_INVALID);
	assert_int_equal(kt_b64_decode("Zm\0v", 4, bytes, sizeof(bytes), &out_len), KT_ERR_INVALID);
}

/* Whatever two characters decode, they are the only ones that do. */
static void every_pair_of_digits_decodes_only_if_it_is_canonical(void **state)
{
	unsigned accepted = 0;

	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char text[2] = {(char)a, (char)b};
			char again[3];
			uint8_t byte;
			size_t out_len;

			if (kt_b64url_decode(text, 2, &byte, 1, &out_len) != KT_ERR_OK)
				continue;
			accepted++;
			assert_int_equal(out_len, 1);
			assert_int_equal(kt_b64url_encode(&byte, 1, again, sizeof(again)),
					 KT_ERR_OK);
			assert_memory_equal(again, text, 2);
		}
	}
	assert_int_equal(accepted, 256);
}

static void every_length_goes_there_and_back(void **state)
{
	uint8_t bytes[100];
	uint8_t back[100];
	char text[140];
	size_t out_len;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 151 + 13);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		assert_int_equal(kt_b64url_encode(bytes, len, text, KT_B64URL_LEN(len) + 1),
				 KT_ERR_OK);
		assert_int_equal(kt_b64url_decode(text, strlen(text), back, len, &out_len),
				 KT_ERR_OK);
		assert_int_equal(out_len, len);
		assert_memory_equal(back, bytes, len);
		assert_int_equal(kt_b64_encode(bytes, len, text, (len + 2) / 3 * 4 + 1), KT_ERR_OK);
		assert_int_equal(kt_b64_decode(text, strlen(text), back, len, &out_len), KT_ERR_OK);
		assert_int_equal(out_len, len);
		assert_memory_equal(back, bytes, len);
	}
}

static void too_little_room_writes_nothing(void **state)
{
	uint8_t bytes[3] = {9, 9, 9};
	char text[5] = "zzzz";
	size_t out_len = 99;

	(void)state;
	assert_int_equal(kt_b64url_encode(bytes, 3, text, 4), KT_ERR_TOO_LONG);
	assert_string_equal(text, "");
	assert_int_equal(kt_b64_encode(bytes, 1, text, 4), KT_ERR_TOO_LONG);
	assert_int_equal(kt_b64url_encode(bytes, 0, text, 0), KT_ERR_TOO_LONG);
	assert_int_equal(kt_b64_encode(bytes, 0, text, 0), KT_ERR_TOO_LONG);
	assert_int_equal(kt_b64url_encode(bytes, SIZE_MAX, text, 5), KT_ERR_TOO_LONG);
	assert_int_equal(kt_b64_encode(bytes, SIZE_MAX, text, 5), KT_ERR_TOO_LONG);
	assert_int_equal(kt_b64url_decode("Zm9v", 4, bytes, 2, &out_len), KT_ERR_TOO_LONG);
	assert_int_equal(out_len, 0);
	assert_int_equal(kt_b64_decode("Zm8=", 4, bytes, 1, &out_len), KT_ERR_TOO_LONG);
	assert_int_equal(bytes[0], 9);
}

static void hex_is_lower_case(void **state)
{
	static const uint8_t bytes[4] = {0x00, 0x9a, 0xbc, 0xff};
	char text[9];
	uint8_t back[4];

	(void)state;
	assert_int_equal(kt_hex_encode(bytes, 4, text, sizeof(text)), KT_ERR_OK);
	assert_string_equal(text, "009abcff");
	assert_int_equal(kt_hex_decode(text, 8, back, 4), KT_ERR_OK);
	assert_memory_equal(back, bytes, 4);
	assert_int_equal(kt_hex_encode(bytes, 4, text, 8), KT_ERR_TOO_LONG);
	assert_string_equal(text, "");
	assert_int_equal(kt_hex_encode(bytes, 0, text, 0), KT_ERR_TOO_LONG);
	assert_int_equal(kt_hex_encode(bytes, SIZE_MAX, text, 9), KT_ERR_TOO_LONG);
	assert_int_equal(kt_hex_encode(bytes, 0, text, 1), KT_ERR_OK);
	assert_string_equal(text, "");
}

static void hex_refuses_other_digits_and_lengths(void **state)
{
	static const char *const bad[] = {"",	  "0",	  "00",	  "000",  "00000", "000000",
					  "0G00", "00AB", "00aB", " 000", "0x00",  "00 0",
					  "00:0", "0/00", "00`0", "0g00", "-000"};
	uint8_t out[2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kt_hex_decode(bad[i], strlen(bad[i]), out, 2), KT_ERR_INVALID);
	assert_int_equal(kt_hex_decode("00\0000", 4, out, 2), KT_ERR_INVALID);
	assert_int_equal(kt_hex_decode("0000", 4, out, SIZE_MAX / 2 + 3), KT_ERR_INVALID);
}

static void digits_go_there_and_back(void **state)
{
	static const uint64_t values[] = {
		0, 1, 9, 10, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX, UINT64_C(1) << 53};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char text[KT_U64_DIGITS_MAX + 1];
		uint64_t back = 77;

		kt_u64_encode(values[i], text);
		assert_int_equal(kt_u64_decode(text, strlen(text), &back), KT_ERR_OK);
		assert_true(back == values[i]);
	}
}

static void digits_refuse_what_they_would_not_write(void **state)
{
	static const char *const bad[] = {"",
					  "00",
					  "01",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "1.0",
					  "1e3",
					  "0x1",
					  "1,0",
					  "\xd9\xa1",
					  "-",
					  "a",
					  "1a",
					  "1\n",
					  "/",
					  ":",
					  "00000000000000000000000"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t out = 77;

		assert_int_equal(kt_u64_decode(bad[i], strlen(bad[i]), &out), KT_ERR_INVALID);
		assert_int_equal(out, 0);
	}
}

static void digits_past_64_bits_are_out_of_range(void **state)
{
	static const char *const big[] = {"18446744073709551616", "18446744073709551620",
					  "99999999999999999999", "184467440737095516150",
					  "1000000000000000000000000000000000000000"};

	(void)state;
	for (size_t i = 0; i < sizeof(big) / sizeof(big[0]); i++) {
		uint64_t out = 77;

		assert_int_equal(kt_u64_decode(big[i], strlen(big[i]), &out), KT_ERR_RANGE);
		assert_int_equal(out, 0);
	}
}

/* RFC 3629: 128 code points of one byte, 1,920 of two, 61,440 of three (no surrogates). */
static void utf8_of_three_bytes_is_counted_exactly(void **state)
{
	uint8_t text[3];
	unsigned long count = 0;

	(void)state;
	for (unsigned long n = 0; n < 256ul * 256 * 256; n++) {
		text[0] = (uint8_t)(n >> 16);
		text[1] = (uint8_t)(n >> 8);
		text[2] = (uint8_t)n;
		if (kt_is_utf8(text, 3))
			count++;
	}
	assert_int_equal(count, 128ul * 128 * 128 + 2ul * 128 * 1920 + 61440);
}

/* Wherever it stands among letters, and however many of them are behind it. */
static void utf8_is_seen_between_letters(void **state)
{
	enum { LEN = 40 };

	(void)state;
	for (size_t len = 2; len <= LEN; len++) {
		for (size_t at = 0; at < len; at++) {
			uint8_t *text = malloc(len); /* a byte read behind it is seen by ASan */

			assert_non_null(text);
			memset(text, 'a', len);
			assert_true(kt_is_utf8(text, len));
			text[at] = 0xc3;
			assert_false(kt_is_utf8(text, len));
			if (at + 1 < len) {
				text[at + 1] = 0xa9;
				assert_true(kt_is_utf8(text, len));
			}
			text[at] = 'a'; /* only the second byte of one, or none at all */
			assert_int_equal(kt_is_utf8(text, len), at + 1 == len);
			free(text);
		}
	}
}

static void utf8_of_four_bytes_ends_at_10ffff(void **state)
{
	unsigned long count = 0;

	(void)state;
	for (unsigned lead = 0xf0; lead <= 0xff; lead++) {
		for (unsigned n = 0; n < 256 * 256; n++) {
			uint8_t text[4] = {(uint8_t)lead, (uint8_t)(n >> 8), (uint8_t)n, 0x80};

			if (kt_is_utf8(text, 4))
				count++;
		}
	}
	/* 0x100000 code points from U+10000 on, 64 to a last byte */
	assert_int_equal(count, 0x100000 / 64);
	assert_false(kt_is_utf8((const uint8_t *)"\xf0\x9f\x98\x7f", 4));
	assert_false(kt_is_utf8((const uint8_t *)"\xf0\x9f\x98\xc0", 4));
	assert_false(kt_is_utf8((const uint8_t *)"\xf0\x9f\x98", 3));
	assert_true(kt_is_utf8((const uint8_t *)"a\0b", 3));
	assert_true(kt_is_utf8(NULL, 0));
}

static void versions_order_as_numbers_do(void **state)
{
	static const char *const rising[] = {
		"0.0.1",   "0.1",  "0.9.9",   "0.10", "1",	"1.0.1",      "1.2.3",
		"1.2.3.4", "1.10", "2.0-rc1", "9",    "10.0.0", "10.0.65535", "65535.65535"};
	static const char *const none[] = {"", "v1", "-1", " 1", ".1", "65536", "1.65536", "one"};
	uint64_t before = 0;
	uint64_t version;

	(void)state;
	for (size_t i = 0; i < sizeof(rising) / sizeof(rising[0]); i++) {
		assert_true(kt_version_decode(rising[i], &version));
		if (version <= before)
			fail_msg("%s is not above the one before", rising[i]);
		before = version;
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (kt_version_decode(none[i], &version))
			fail_msg("accepted: %s", none[i]);
		assert_true(version == 0);
	}
}

static void versions_are_written_with_three_numbers_or_four(void **state)
{
	static const struct {
		const char *text;
		const char *written;
	} cases[] = {
		{"1", "1.0.0"},		{"1.2", "1.2.0"},
		{"1.2.3", "1.2.3"},	{"1.2.3.4", "1.2.3.4"},
		{"1.0.0.7", "1.0.0.7"}, {"1.2.3-rc4", "1.2.3"},
		{"1.2.", "1.2.0"},	{"65535.65535.65535.65535", "65535.65535.65535.65535"}};
	char out[KT_VERSION_TEXT_MAX + 1];
	uint64_t version;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(kt_version_decode(cases[i].text, &version));
		kt_version_encode(version, out);
		assert_string_equal(out, cases[i].written);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_meets_its_vectors),
		cmocka_unit_test(base64url_meets_its_vectors),
		cmocka_unit_test(base64url_refuses_what_it_would_not_write),
		cmocka_unit_test(base64_refuses_what_it_would_not_write),
		cmocka_unit_test(base64url_refuses_a_nul_in_the_text),
		cmocka_unit_test(every_pair_of_digits_decodes_only_if_it_is_canonical),
		cmocka_unit_test(every_length_goes_there_and_back),
		cmocka_unit_test(too_little_room_writes_nothing),
		cmocka_unit_test(hex_is_lower_case),
		cmocka_unit_test(hex_refuses_other_digits_and_lengths),
		cmocka_unit_test(digits_go_there_and_back),
		cmocka_unit_test(digits_refuse_what_they_would_not_write),
		cmocka_unit_test(digits_past_64_bits_are_out_of_range),
		cmocka_unit_test(versions_order_as_numbers_do),
		cmocka_unit_test(versions_are_written_with_three_numbers_or_four),
		cmocka_unit_test(utf8_of_three_bytes_is_counted_exactly),
		cmocka_unit_test(utf8_is_seen_between_letters),
		cmocka_unit_test(utf8_of_four_bytes_ends_at_10ffff),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
