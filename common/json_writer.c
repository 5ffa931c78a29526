#include "json.h"

#include "encoding.h"
#include "secmem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NESTING_MAX = 64, /* bits of the masks below */
	FIRST_CAP = 256
};

#define NUMBER_MAX INT64_C(9007199254740991) /* 2^53 - 1: what any reader keeps exact */

struct kt_json_writer {
	char *text;
	size_t len;
	size_t cap;
	enum kt_err err; /* the first that happened */
	unsigned depth;
	uint64_t is_array;  /* bit n: the n-th open bracket is [ */
	uint64_t has_items; /* bit n: it has one already */
	bool is_done;	    /* the root is written */
};

enum kt_err kt_json_writer_new(struct kt_json_writer **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? KT_ERR_NOMEM : KT_ERR_OK;
}

static void reset(struct kt_json_writer *w)
{
	kt_wipe(w->text, w->len);
	free(w->text);
	memset(w, 0, sizeof(*w));
}

void kt_json_writer_free(struct kt_json_writer *w)
{
	if (w == NULL)
		return;
	reset(w);
	free(w);
}

static void fail(struct kt_json_writer *w, enum kt_err err)
{
	if (w->err == KT_ERR_OK)
		w->err = err;
}

/* Room for @len more bytes and a NUL. Not realloc: what it leaves behind would not be wiped. */
static bool reserve(struct kt_json_writer *w, size_t len)
{
	size_t cap = w->cap == 0 ? FIRST_CAP : w->cap;
	char *text;

	if (w->err != KT_ERR_OK)
		return false;
	if (len < w->cap - w->len)
		return true;
	while (len >= cap - w->len) {
		if (cap > SIZE_MAX / 2) {
			fail(w, KT_ERR_NOMEM);
			return false;
		}
		cap *= 2;
	}
	text = malloc(cap);
	if (text == NULL) {
		fail(w, KT_ERR_NOMEM);
		return false;
	}
	if (w->len > 0)
		memcpy(text, w->text, w->len);
	kt_wipe(w->text, w->len);
	free(w->text);
	w->text = text;
	w->cap = cap;
	return true;
}

static void put(struct kt_json_writer *w, const char *bytes, size_t len)
{
	if (!reserve(w, len))
		return;
	memcpy(w->text + w->len, bytes, len);
	w->len += len;
}

static void put_escaped(struct kt_json_writer *w, char c)
{
	static const char shorts[] = "\b\f\n\r\t\"\\";
	static const char letters[] = "bfnrt\"\\";
	const char *found = strchr(shorts, c);
	char escape[7];

	if (found != NULL)
		(void)snprintf(escape, sizeof(escape), "\\%c", letters[found - shorts]);
	else
		(void)snprintf(escape, sizeof(escape), "\\u00%02x", (uint8_t)c);
	put(w, escape, strlen(escape));
}

static void put_quoted(struct kt_json_writer *w, const char *value)
{
	size_t plain = 0;

	if (value == NULL || !kt_is_utf8((const uint8_t *)value, strlen(value))) {
		fail(w, KT_ERR_INVALID);
		return;
	}
	put(w, "\"", 1);
	for (; *value != '\0'; value += plain) {
		plain = 0;
		while ((uint8_t)value[plain] >= 0x20 && value[plain] != '"' && value[plain] != '\\')
			plain++;
		put(w, value, plain);
		if (value[plain] != '\0')
			put_escaped(w, value[plain++]);
	}
	put(w, "\"", 1);
}

static uint64_t innermost(const struct kt_json_writer *w)
{
	return UINT64_C(1) << (w->depth - 1);
}

/* Comma and name before a value; false if no value, or none of that shape, may stand here. */
static bool begin_value(struct kt_json_writer *w, const char *name)
{
	bool wants_name = w->depth > 0 && (w->is_array & innermost(w)) == 0;

	if (w->err != KT_ERR_OK)
		return false;
	if ((w->depth == 0 && w->is_done) || wants_name != (name != NULL)) {
		fail(w, KT_ERR_INVALID);
		return false;
	}
	if (w->depth == 0) {
		w->is_done = true;
		return true;
	}
	if ((w->has_items & innermost(w)) != 0)
		put(w, ",", 1);
	w->has_items |= innermost(w);
	if (name != NULL) {
		put_quoted(w, name);
		put(w, ":", 1);
	}
	return w->err == KT_ERR_OK;
}

static void open_bracket(struct kt_json_writer *w, const char *name, bool is_array)
{
	if (!begin_value(w, name))
		return;
	if (w->depth == NESTING_MAX) {
		fail(w, KT_ERR_INVALID);
		return;
	}
	put(w, is_array ? "[" : "{", 1);
	w->depth++;
	w->has_items &= ~innermost(w);
	w->is_array &= ~innermost(w);
	if (is_array)
		w->is_array |= innermost(w);
}

static void close_bracket(struct kt_json_writer *w, bool is_array)
{
	if (w->depth == 0 || ((w->is_array & innermost(w)) != 0) != is_array) {
		fail(w, KT_ERR_INVALID);
		return;
	}
	put(w, is_array ? "]" : "}", 1);
	w->depth--;
}

void kt_json_open_object(struct kt_json_writer *w, const char *name)
{
	open_bracket(w, name, false);
}

void kt_json_close_object(struct kt_json_writer *w)
{
	close_bracket(w, false);
}

void kt_json_open_array(struct kt_json_writer *w, const char *name)
{
	open_bracket(w, name, true);
}

void kt_json_close_array(struct kt_json_writer *w)
{
	close_bracket(w, true);
}

void kt_json_put_string(struct kt_json_writer *w, const char *name, const char *value)
{
	if (begin_value(w, name))
		put_quoted(w, value);
}

void kt_json_put_number(struct kt_json_writer *w, const char *name, int64_t value)
{
	char digits[24];

	if (value > NUMBER_MAX || value < -NUMBER_MAX) {
		fail(w, KT_ERR_INVALID);
		return;
	}
	(void)snprintf(digits, sizeof(digits), "%lld", (long long)value);
	if (begin_value(w, name))
		put(w, digits, strlen(digits));
}

void kt_json_put_bool(struct kt_json_writer *w, const char *name, bool value)
{
	kt_json_put_raw(w, name, value ? "true" : "false");
}

void kt_json_put_u64(struct kt_json_writer *w, const char *name, uint64_t value)
{
	char digits[KT_U64_DIGITS_MAX + 1];

	kt_u64_encode(value, digits);
	kt_json_put_string(w, name, digits);
}

typedef enum kt_err encoder(const uint8_t *bytes, size_t len, char *out, size_t cap);

/* @text_len characters, written by @encode straight into the text between two quotes. */
static void put_encoded(struct kt_json_writer *w, encoder *encode, struct kt_bytes bytes,
			size_t text_len)
{
	enum kt_err err;

	put(w, "\"", 1);
	if (!reserve(w, text_len))
		return;
	err = encode(bytes.p, bytes.len, w->text + w->len, w->cap - w->len);
	if (err != KT_ERR_OK) {
		fail(w, err);
		return;
	}
	w->len += text_len;
	put(w, "\"", 1);
}

void kt_json_put_hex(struct kt_json_writer *w, const char *name, const uint8_t *bytes, size_t len)
{
	if (begin_value(w, name))
		put_encoded(w, kt_hex_encode, (struct kt_bytes){bytes, len}, KT_HEX_LEN(len));
}

void kt_json_put_b64url(struct kt_json_writer *w, const char *name, const uint8_t *bytes,
			size_t len)
{
	if (begin_value(w, name))
		put_encoded(w, kt_b64url_encode, (struct kt_bytes){bytes, len}, KT_B64URL_LEN(len));
}

void kt_json_put_raw(struct kt_json_writer *w, const char *name, const char *json)
{
	if (json == NULL || json[0] == '\0') {
		fail(w, KT_ERR_INVALID);
		return;
	}
	if (begin_value(w, name))
		put(w, json, strlen(json));
}

enum kt_err kt_json_writer_take(struct kt_json_writer *w, char **out, size_t *out_len)
{
	enum kt_err err = w->err;

	*out = NULL;
	*out_len = 0;
	if (err == KT_ERR_OK && (w->depth > 0 || !w->is_done))
		err = KT_ERR_INVALID;
	if (err == KT_ERR_OK) {
		w->text[w->len] = '\0';
		*out = w->text;
		*out_len = w->len;
		w->text = NULL; /* moved */
		w->len = 0;
	}
	reset(w);
	return err;
}
