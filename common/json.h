/*
 * json - strict JSON in, plain JSON out (RFC 8259, and stricter). Only file that includes cJSON.
 *
 * Refused, on top of what the grammar refuses: a NUL byte, bad UTF-8, \u0000, control characters in
 * strings, repeated keys, anything after the value, a root that is not an object, numbers that are
 * not -?(0|[1-9][0-9]*) within +-(2^53-1), nesting, tokens or size over the limits. Numbers that
 * can be larger travel as strings of digits. Any thread; one owner per document or writer.
 */
#ifndef KT_JSON_H
#define KT_JSON_H

#include "err.h"

struct kt_json;	      /* a parsed document: owned, opaque */
struct kt_json_value; /* part of one: borrowed, valid until kt_json_free */

enum { KT_JSON_DEPTH_MAX = 8, KT_JSON_TOKENS_MAX = 256 };

struct kt_json_limits {
	size_t size_max;   /* bytes */
	size_t depth_max;  /* nested arrays and objects */
	size_t tokens_max; /* strings, numbers, literals, and opening brackets */
};

/*
 * Device messages: 16 KiB, 8, 256. @text need not be NUL-terminated.
 * KT_ERR_TOO_LONG (size, depth, tokens), KT_ERR_INVALID (everything else), KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_json_parse(const uint8_t *text, size_t len,
					const struct kt_json_limits *limits, struct kt_json **out);
void kt_json_free(struct kt_json *json); /* NULL is fine */
const struct kt_json_value *kt_json_root(const struct kt_json *json);

enum kt_json_type { KT_JSON_STRING, KT_JSON_NUMBER, KT_JSON_BOOL, KT_JSON_OBJECT, KT_JSON_ARRAY };

struct kt_json_rule { /* one member that an object may have */
	const char *name;
	enum kt_json_type type;
	bool required;
	size_t max_len; /* bytes of a string, items of an array; 0 = no further limit */
};

/*
 * Every member of @object is in @rules once, of its type, and no required one is missing.
 * KT_ERR_UNKNOWN_FIELD, KT_ERR_MISSING_FIELD, KT_ERR_INVALID (repeated or of another type, or
 * @object is not an object), KT_ERR_TOO_LONG. *@bad_field: the member's name where a rule names it,
 * else "" (a peer's own text is not handed out). At most 64 rules.
 */
KT_MUST_CHECK enum kt_err kt_json_check(const struct kt_json_value *object,
					const struct kt_json_rule *rules, size_t rule_count,
					const char **bad_field);

/* NULL if there is no such member. Exact, case-sensitive. */
const struct kt_json_value *kt_json_member(const struct kt_json_value *object, const char *name);
/* Of a member that kt_json_check passed as a string; NULL if absent. Borrowed, NUL-terminated. */
const char *kt_json_string(const struct kt_json_value *object, const char *name);
/* 0 if absent. */
int64_t kt_json_number(const struct kt_json_value *object, const char *name);
/* false if absent. */
bool kt_json_bool(const struct kt_json_value *object, const char *name);
size_t kt_json_array_len(const struct kt_json_value *array);
/* Counts from the first one on: to walk a whole array, kt_json_first and kt_json_next. */
const struct kt_json_value *kt_json_array_item(const struct kt_json_value *array, size_t index);
/* First and next member of an object, or item of an array (iteration); NULL at the end. */
const struct kt_json_value *kt_json_first(const struct kt_json_value *object);
const struct kt_json_value *kt_json_next(const struct kt_json_value *value);
/* The member's own name; "" for an array item. */
const char *kt_json_name(const struct kt_json_value *value);
bool kt_json_is(const struct kt_json_value *value, enum kt_json_type type);
/* The text of a string value, the number of a number value. */
const char *kt_json_value_string(const struct kt_json_value *value);
int64_t kt_json_value_number(const struct kt_json_value *value);
bool kt_json_value_bool(const struct kt_json_value *value);
/* Compact text of any value, malloc'ed; free with free(). KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_json_print(const struct kt_json_value *value, char **out);

/*
 * The writer: members in the order of the calls, compact, escaped. Errors stick and are reported
 * by kt_json_writer_take alone. @name is NULL inside an array (and for the root).
 */
struct kt_json_writer;
KT_MUST_CHECK enum kt_err kt_json_writer_new(struct kt_json_writer **out);
void kt_json_writer_free(struct kt_json_writer *w); /* wipes what it holds; NULL is fine */
void kt_json_open_object(struct kt_json_writer *w, const char *name);
void kt_json_close_object(struct kt_json_writer *w);
void kt_json_open_array(struct kt_json_writer *w, const char *name);
void kt_json_close_array(struct kt_json_writer *w);
void kt_json_put_string(struct kt_json_writer *w, const char *name, const char *value);
void kt_json_put_number(struct kt_json_writer *w, const char *name, int64_t value);
void kt_json_put_bool(struct kt_json_writer *w, const char *name, bool value);
/* As a string of digits. */
void kt_json_put_u64(struct kt_json_writer *w, const char *name, uint64_t value);
/* As lower-case hex, as base64url. */
void kt_json_put_hex(struct kt_json_writer *w, const char *name, const uint8_t *bytes, size_t len);
void kt_json_put_b64url(struct kt_json_writer *w, const char *name, const uint8_t *bytes,
			size_t len);
/* @json: compact JSON that we wrote ourselves. */
void kt_json_put_raw(struct kt_json_writer *w, const char *name, const char *json);
/*
 * Hands out the text (NUL-terminated, malloc'ed, owned by the caller) and empties the writer.
 * KT_ERR_NOMEM, KT_ERR_INVALID (brackets do not match, or a string is not UTF-8).
 */
KT_MUST_CHECK enum kt_err kt_json_writer_take(struct kt_json_writer *w, char **out,
					      size_t *out_len);

#endif
