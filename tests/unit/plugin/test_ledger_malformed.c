/*
 * Ledgers of which one record is not what it must be, while hashes and chain are right: whoever can
 * write the file can make those. Each has exactly its refusal, and its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "encoding.h"
#include "fake_fs.h"
#include "ledger.h"
#include "records.h"
#include "vector_file.h"

#define DIR	  "/ledger"
#define FILE_PATH DIR "/ledger.kt"

enum { HEX = 64, BODY_MAX = 8192, IMAGE_MAX = 262144, IMAGES_AT_LEAST = 200 };

struct story {
	char *text; /* of the vector */
	const char *body[STORY_COUNT];
	size_t body_len[STORY_COUNT];
};

static struct story story;
static size_t images;

static int load(void **state)
{
	char *at;

	(void)state;
	story.text = vector_file_load("formats/ledger-v1.kt");
	assert_non_null(story.text);
	at = story.text;
	for (size_t i = 0; i < STORY_COUNT; i++) {
		char *end = strchrnul(at, '\n');

		assert_true(end - at > HEX + 1);
		story.body[i] = at + HEX + 1;
		story.body_len[i] = (size_t)(end - story.body[i]);
		at = end + 1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	free(story.text);
	return 0;
}

/* --- changes of one body; false: it does not have what they change --- */

typedef bool change(const char *body, size_t len, char out[static BODY_MAX]);

static void join(const char *front, size_t front_len, const char *middle, struct kt_bytes back,
		 char out[static BODY_MAX])
{
	const size_t middle_len = strlen(middle);

	assert_in_range(front_len + middle_len + back.len, 0, BODY_MAX - 1);
	memcpy(out, front, front_len);
	memcpy(out + front_len, middle, middle_len);
	if (back.len > 0)
		memcpy(out + front_len + middle_len, back.p, back.len);
	out[front_len + middle_len + back.len] = '\0';
}

static bool replace(const char *body, size_t len, const char *what, const char *by,
		    char out[static BODY_MAX])
{
	const char *hit = memmem(body, len, what, strlen(what));
	const size_t front = hit == NULL ? 0 : (size_t)(hit - body);

	if (hit == NULL)
		return false;
	join(body, front, by,
	     (struct kt_bytes){(const uint8_t *)hit + strlen(what), len - front - strlen(what)},
	     out);
	return true;
}

static bool with_unknown_member(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"actor\":", "\"extra\":1,\"actor\":", out);
}

static bool without_actor(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"actor\":", "\"Actor\":", out);
}

static bool with_member_twice(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"actor\":", "\"actor\":\"op:x\",\"actor\":", out);
}

static bool with_unknown_kind(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"kind\":\"", "\"kind\":\"x.", out);
}

static bool with_kind_as_number(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"kind\":\"", "\"kind\":1,\"x\":\"", out);
}

static bool with_later_seq(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"seq\":\"", "\"seq\":\"9", out);
}

static bool with_seq_as_number(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"seq\":\"", "\"seq\":1,\"s\":\"", out);
}

static bool with_long_seq(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"seq\":\"", "\"seq\":\"0", out);
}

static bool with_negative_time(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"time\":\"", "\"time\":\"-", out);
}

static bool with_huge_time(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"time\":\"", "\"time\":\"99999", out);
}

static bool with_null(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"actor\":\"", "\"actor\":null,\"a\":\"", out);
}

static bool with_array_around(const char *body, size_t len, char out[static BODY_MAX])
{
	join("[", 1, "", (struct kt_bytes){(const uint8_t *)body, len}, out);
	len = strlen(out);
	out[len] = ']';
	out[len + 1] = '\0';
	return true;
}

static bool with_tail(const char *body, size_t len, char out[static BODY_MAX])
{
	join(body, len, "{}", (struct kt_bytes){NULL, 0}, out);
	return true;
}

static bool cut(const char *body, size_t len, char out[static BODY_MAX])
{
	join(body, len - 1, "", (struct kt_bytes){NULL, 0}, out);
	return true;
}

static bool with_upper_case_prev(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"prev\":\"", "\"prev\":\"A", out);
}

static bool without_device(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"device\":", "\"Device\":", out);
}

static bool with_bad_device(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"device\":\"", "\"device\":\"+/", out);
}

static bool with_short_hash(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"fp\":\"0", "\"fp\":\"", out) ||
	       replace(body, len, "\"key_id\":\"0", "\"key_id\":\"", out);
}

static bool of_next_version(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"v\":1", "\"v\":2", out);
}

static bool of_no_version(const char *body, size_t len, char out[static BODY_MAX])
{
	return replace(body, len, "\"v\":1", "\"v\":0", out);
}

/* --- images --- */

static size_t put_line(char *image, size_t len, const char *body, char hex[static HEX + 1])
{
	uint8_t hash[32];

	kt_sha256(body, strlen(body), hash);
	assert_int_equal(kt_hex_encode(hash, sizeof(hash), hex, HEX + 1), KT_ERR_OK);
	assert_in_range(len, 0, IMAGE_MAX - BODY_MAX);
	return len + (size_t)snprintf(image + len, IMAGE_MAX - len, "%s %s\n", hex, body);
}

/* All lines, the @line-th with another body; each names the hash of the one before it. */
static char *make_image(size_t line, const char *body)
{
	static const char prev[] = "\"prev\":\"";
	char *image = malloc(IMAGE_MAX);
	char hex[HEX + 1] = "";
	size_t len = 0;

	assert_non_null(image);
	for (size_t i = 0; i < STORY_COUNT; i++) {
		char copy[BODY_MAX];
		char *at;

		if (i == line)
			join(body, strlen(body), "", (struct kt_bytes){NULL, 0}, copy);
		else
			join(story.body[i], story.body_len[i], "", (struct kt_bytes){NULL, 0},
			     copy);
		at = strstr(copy, prev);
		if (i > line && at != NULL)
			memcpy(at + strlen(prev), hex, HEX);
		len = put_line(image, len, copy, hex);
	}
	return image;
}

static enum kt_err scan(const char *image, uint64_t *bad_line)
{
	struct kt_ledger_state state;
	struct fake_fs *fs = fake_fs_new();
	enum kt_err err;

	fake_fs_put(fs, FILE_PATH, image);
	err = kt_ledger_scan(fake_fs_table(fs), DIR, NULL, NULL, &state, bad_line);
	fake_fs_free(fs);
	return err;
}

static void check(const char *name, change *make, enum kt_err expected)
{
	size_t count = 0;

	for (size_t i = 0; i < STORY_COUNT; i++) {
		char body[BODY_MAX];
		uint64_t bad_line = 0;
		char *image;
		enum kt_err err;

		if (!make(story.body[i], story.body_len[i], body))
			continue;
		image = make_image(i, body);
		err = scan(image, &bad_line);
		if (err != expected || bad_line != (err == KT_ERR_VERSION ? 0 : i + 1))
			fail_msg("%s in line %zu: %s in line %llu", name, i + 1, kt_err_name(err),
				 (unsigned long long)bad_line);
		free(image);
		count++;
	}
	if (count == 0)
		fail_msg("%s: no line has it", name);
	images += count;
}

static void the_story_itself_is_whole(void **state)
{
	uint64_t bad_line = 0;
	char body[BODY_MAX];
	char *image;

	(void)state;
	join(story.body[3], story.body_len[3], "", (struct kt_bytes){NULL, 0}, body);
	image = make_image(3, body);
	assert_int_equal(scan(image, &bad_line), KT_ERR_OK);
	free(image);
}

static void each_record_that_cannot_be_is_damage_in_its_line(void **state)
{
	static const struct {
		const char *name;
		change *make;
	} changes[] = {{"an unknown member", with_unknown_member},
		       {"no actor", without_actor},
		       {"a member twice", with_member_twice},
		       {"an unknown kind", with_unknown_kind},
		       {"kind as a number", with_kind_as_number},
		       {"a later seq", with_later_seq},
		       {"seq as a number", with_seq_as_number},
		       {"seq with a zero in front", with_long_seq},
		       {"a negative time", with_negative_time},
		       {"a time beyond all", with_huge_time},
		       {"null", with_null},
		       {"an array around it", with_array_around},
		       {"a second document", with_tail},
		       {"its last byte missing", cut},
		       {"prev of another length", with_upper_case_prev},
		       {"no device", without_device},
		       {"a device that cannot be", with_bad_device},
		       {"a hash of 63 digits", with_short_hash},
		       {"version 0", of_no_version}};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		check(changes[i].name, changes[i].make, KT_ERR_CORRUPT);
}

static void a_record_of_a_newer_version_is_told_as_such(void **state)
{
	(void)state;
	check("version 2", of_next_version, KT_ERR_VERSION);
}

/* Last: the tables above must go on making this many. */
static void there_are_enough_images(void **state)
{
	(void)state;
	print_message("%zu malformed ledgers\n", images);
	assert_true(images >= IMAGES_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_story_itself_is_whole),
		cmocka_unit_test(each_record_that_cannot_be_is_damage_in_its_line),
		cmocka_unit_test(a_record_of_a_newer_version_is_told_as_such),
		cmocka_unit_test(there_are_enough_images),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
