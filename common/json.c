#include "json.h"

#include "encoding.h"
#include "secmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/*
 * cJSON accepts much that is not JSON, and some that is dangerous: a lexical pass of our own stands
 * before it, and a walk over its tree behind it. What neither sees is grammar, which cJSON does.
 */

enum {
	NESTING_MAX = 64,	/* of any limits: bounds the walk's stack */
	NUMBER_DIGITS_MAX = 16, /* of 2^53 - 1 */
	RULES_MAX = 64		/* bits of the mask of seen members */
};

#define NUMBER_MAX INT64_C(9007199254740991) /* 2^53 - 1: exact in a double */

struct kt_json {
	cJSON *root;
};

struct lexer {
	const uint8_t *text;
	size_t len;
	size_t at;
	size_t depth;
	size_t tokens;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex_digit(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What stands at @lexer->at is a whole escape, and not \u0000 (cJSON would cut the string there,
 * and takes \uZZZZ for it). */
static enum kt_err lex_escape(struct lexer *lexer)
{
	static const char letters[] = "\"\\/bfnrtu";
	const uint8_t *p = lexer->text + lexer->at;
	size_t left = lexer->len - lexer->at;

	if (left < 2 || memchr(letters, p[1], sizeof(letters) - 1) == NULL)
		return KT_ERR_INVALID;
	if (p[1] != 'u') {
		lexer->at += 2;
		return KT_ERR_OK;
	}
	if (left < 6)
		return KT_ERR_INVALID;
	for (size_t i = 2; i < 6; i++) {
		if (!is_hex_digit(p[i]))
			return KT_ERR_INVALID;
	}
	if (memcmp(p + 2, "0000", 4) == 0)
		return KT_ERR_INVALID;
	lexer->at += 6;
	return KT_ERR_OK;
}

static enum kt_err lex_string(struct lexer *lexer)
{
	lexer->at++;
	while (lexer->at < lexer->len) {
		uint8_t c = lexer->text[lexer->at];

		if (c < 0x20)
			return KT_ERR_INVALID;
		if (c == '\\') {
			enum kt_err err = lex_escape(lexer);

			if (err != KT_ERR_OK)
				return err;
			continue;
		}
		lexer->at++;
		if (c == '"')
			return KT_ERR_OK;
	}
	return KT_ERR_INVALID;
}

/* Numbers and literals end where a value may end. */
static bool is_at_end_of_value(const struct lexer *lexer)
{
	uint8_t c;

	if (lexer->at >= lexer->len)
		return true;
	c = lexer->text[lexer->at];
	return is_space(c) || c == ',' || c == ']' || c == '}';
}

static enum kt_err lex_number(struct lexer *lexer)
{
	const uint8_t *first;
	int64_t value = 0;
	size_t digits = 0;

	if (lexer->text[lexer->at] == '-')
		lexer->at++;
	first = lexer->text + lexer->at;
	while (lexer->at < lexer->len && is_digit(lexer->text[lexer->at])) {
		if (++digits > NUMBER_DIGITS_MAX)
			return KT_ERR_INVALID;
		value = value * 10 + (lexer->text[lexer->at++] - '0');
	}
	if (digits == 0 || (digits > 1 && first[0] == '0') || value > NUMBER_MAX)
		return KT_ERR_INVALID;
	return is_at_end_of_value(lexer) ? KT_ERR_OK : KT_ERR_INVALID;
}

static enum kt_err lex_literal(struct lexer *lexer)
{
	static const char *const literals[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		size_t len = strlen(literals[i]);

		if (len <= lexer->len - lexer->at &&
		    memcmp(lexer->text + lexer->at, literals[i], len) == 0) {
			lexer->at += len;
			return is_at_end_of_value(lexer) ? KT_ERR_OK : KT_ERR_INVALID;
		}
	}
	return KT_ERR_INVALID;
}

/* One token that counts: a string, number, literal or opening bracket. */
static enum kt_err lex_token(struct lexer *lexer, const struct kt_json_limits *limits)
{
	uint8_t c = lexer->text[lexer->at];

	if (++lexer->tokens > limits->tokens_max)
		return KT_ERR_TOO_LONG;
	if (c == '"')
		return lex_string(lexer);
	if (c == '-' || is_digit(c))
		return lex_number(lexer);
	if (c != '{' && c != '[')
		return lex_literal(lexer);
	lexer->at++;
	if (++lexer->depth > limits->depth_max || lexer->depth > NESTING_MAX)
		return KT_ERR_TOO_LONG;
	return KT_ERR_OK;
}

/* Characters, tokens, nesting; not the grammar. */
static enum kt_err lex(const uint8_t *text, size_t len, const struct kt_json_limits *limits)
{
	struct lexer lexer = {.text = text, .len = len};

	while (lexer.at < len) {
		uint8_t c = text[lexer.at];
		enum kt_err err;

		if (is_space(c) || c == ':' || c == ',') {
			lexer.at++;
		} else if (c == '}' || c == ']') {
			if (lexer.depth == 0)
				return KT_ERR_INVALID;
			lexer.depth--;
			lexer.at++;
		} else {
			err = lex_token(&lexer, limits);
			if (err != KT_ERR_OK)
				return err;
		}
	}
	return lexer.depth == 0 ? KT_ERR_OK : KT_ERR_INVALID;
}

/* Parents of the value that a walk stands at. */
struct walk {
	const cJSON *above[NESTING_MAX];
	size_t depth;
};

/*
 * The value after @value, parents before children; NULL at the end. *closed: how many objects and
 * arrays ended between the two.
 */
static const cJSON *walk_next(struct walk *walk, const cJSON *value, size_t *closed)
{
	*closed = 0;
	if (value->child != NULL && walk->depth < NESTING_MAX) {
		walk->above[walk->depth++] = value;
		return value->child;
	}
	if (cJSON_IsObject(value) || cJSON_IsArray(value))
		(*closed)++;
	while (walk->depth > 0 && value->next == NULL) {
		value = walk->above[--walk->depth];
		(*closed)++;
	}
	return walk->depth > 0 ? value->next : NULL;
}

static int compare_names(const void *a, const void *b)
{
	const char *one = *(const char *const *)a;
	const char *other = *(const char *const *)b;

	return one[0] != other[0] ? (one[0] < other[0] ? -1 : 1) : strcmp(one, other);
}

/* @names has room for every member. Sorted, so that a large object costs no square. */
static bool has_repeated_member(const cJSON *object, const char **names)
{
	size_t count = 0;

	for (const cJSON *member = object->child; member != NULL; member = member->next)
		names[count++] = member->string;
	qsort(names, count, sizeof(names[0]), compare_names);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(names[i - 1], names[i]) == 0)
			return true;
	}
	return false;
}

static enum kt_err refuse_repeated_members(const cJSON *root, size_t len)
{
	/* A member is at least "":0, so there are never more than this. */
	const char **names = malloc((len / 4 + 1) * sizeof(*names));
	struct walk walk = {.depth = 0};
	enum kt_err err = KT_ERR_OK;
	size_t closed;

	if (names == NULL)
		return KT_ERR_NOMEM;
	for (const cJSON *value = root; value != NULL && err == KT_ERR_OK;
	     value = walk_next(&walk, value, &closed)) {
		if (cJSON_IsObject(value) && has_repeated_member(value, names))
			err = KT_ERR_INVALID;
	}
	free(names);
	return err;
}

static bool is_all_space(const char *from, const char *to)
{
	for (; from < to; from++) {
		if (!is_space((uint8_t)*from))
			return false;
	}
	return true;
}

/* @text has passed lex(), is NUL-terminated at @len and has no other NUL. */
static enum kt_err parse_tree(const char *text, size_t len, struct kt_json **out)
{
	const char *end = NULL;
	struct kt_json *json = calloc(1, sizeof(*json));
	enum kt_err err = KT_ERR_INVALID;

	if (json == NULL)
		return KT_ERR_NOMEM;
	/* The NUL is counted in: cJSON 1.7.15 reads one byte past a text cut after a comma. */
	errno = 0; /* cJSON says no more than that it failed; the allocator says why */
	json->root = cJSON_ParseWithLengthOpts(text, len + 1, &end, 0);
	if (json->root == NULL || end == NULL) {
		if (errno == ENOMEM)
			err = KT_ERR_NOMEM;
		goto out;
	}
	if (!is_all_space(end, text + len) || !cJSON_IsObject(json->root))
		goto out;
	err = refuse_repeated_members(json->root, len);
	if (err != KT_ERR_OK)
		goto out;
	*out = json;
	json = NULL; /* moved */
out:
	kt_json_free(json);
	return err;
}

enum kt_err kt_json_parse(const uint8_t *text, size_t len, const struct kt_json_limits *limits,
			  struct kt_json **out)
{
	char *copy;
	enum kt_err err;

	*out = NULL;
	if (len > limits->size_max)
		return KT_ERR_TOO_LONG;
	if (len == 0 || memchr(text, '\0', len) != NULL || !kt_is_utf8(text, len))
		return KT_ERR_INVALID;
	err = lex(text, len, limits);
	if (err != KT_ERR_OK)
		return err;
	copy = malloc(len + 1);
	if (copy == NULL)
		return KT_ERR_NOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	err = parse_tree(copy, len, out);
	kt_wipe(copy, len);
	free(copy);
	return err;
}

/* Strings may hold a ticket's secret: cJSON frees without wiping. */
void kt_json_free(struct kt_json *json)
{
	struct walk walk = {.depth = 0};
	size_t closed;

	if (json == NULL)
		return;
	for (const cJSON *value = json->root; value != NULL;
	     value = walk_next(&walk, value, &closed)) {
		if (value->valuestring != NULL)
			kt_wipe(value->valuestring, strlen(value->valuestring));
	}
	cJSON_Delete(json->root);
	free(json);
}

/* struct kt_json_value is cJSON's struct under another name: nobody else sees cJSON. */
static const cJSON *tree_of(const struct kt_json_value *value)
{
	return (const cJSON *)(const void *)value;
}

static const struct kt_json_value *value_of(const cJSON *tree)
{
	return (const struct kt_json_value *)(const void *)tree;
}

const struct kt_json_value *kt_json_root(const struct kt_json *json)
{
	return value_of(json->root);
}

bool kt_json_is(const struct kt_json_value *value, enum kt_json_type type)
{
	const cJSON *tree = tree_of(value);

	switch (type) {
	case KT_JSON_STRING:
		return cJSON_IsString(tree);
	case KT_JSON_NUMBER:
		return cJSON_IsNumber(tree);
	case KT_JSON_BOOL:
		return cJSON_IsBool(tree);
	case KT_JSON_OBJECT:
		return cJSON_IsObject(tree);
	case KT_JSON_ARRAY:
		return cJSON_IsArray(tree);
	}
	return false;
}

static size_t length_of(const cJSON *tree)
{
	if (cJSON_IsString(tree))
		return strlen(tree->valuestring);
	return cJSON_IsArray(tree) ? (size_t)cJSON_GetArraySize(tree) : 0;
}

static enum kt_err check_member(const cJSON *member, const struct kt_json_rule *rule)
{
	if (!kt_json_is(value_of(member), rule->type))
		return KT_ERR_INVALID;
	if (rule->max_len > 0 && length_of(member) > rule->max_len)
		return KT_ERR_TOO_LONG;
	return KT_ERR_OK;
}

/* Most names differ in their first letter, and a start reads millions of them. */
static bool is_name(const char *is, const char *wanted)
{
	return is[0] == wanted[0] && strcmp(is, wanted) == 0;
}

static size_t find_rule(const struct kt_json_rule *rules, size_t rule_count, const char *name)
{
	size_t i = 0;

	while (i < rule_count && !is_name(rules[i].name, name))
		i++;
	return i;
}

enum kt_err kt_json_check(const struct kt_json_value *object, const struct kt_json_rule *rules,
			  size_t rule_count, const char **bad_field)
{
	const cJSON *tree = tree_of(object);
	uint64_t seen = 0;

	*bad_field = "";
	if (rule_count > RULES_MAX)
		return KT_ERR_INTERNAL;
	if (!cJSON_IsObject(tree))
		return KT_ERR_INVALID;
	for (const cJSON *member = tree->child; member != NULL; member = member->next) {
		size_t i = find_rule(rules, rule_count, member->string);
		enum kt_err err;

		if (i == rule_count)
			return KT_ERR_UNKNOWN_FIELD;
		err = (seen >> i & 1) != 0 ? KT_ERR_INVALID : check_member(member, &rules[i]);
		if (err != KT_ERR_OK) {
			*bad_field = rules[i].name;
			return err;
		}
		seen |= UINT64_C(1) << i;
	}
	for (size_t i = 0; i < rule_count; i++) {
		if (rules[i].required && (seen >> i & 1) == 0) {
			*bad_field = rules[i].name;
			return KT_ERR_MISSING_FIELD;
		}
	}
	return KT_ERR_OK;
}

const struct kt_json_value *kt_json_member(const struct kt_json_value *object, const char *name)
{
	const cJSON *tree = tree_of(object);

	if (!cJSON_IsObject(tree))
		return NULL;
	for (const cJSON *member = tree->child; member != NULL; member = member->next) {
		if (is_name(member->string, name))
			return value_of(member);
	}
	return NULL;
}

const char *kt_json_string(const struct kt_json_value *object, const char *name)
{
	return kt_json_value_string(kt_json_member(object, name));
}

int64_t kt_json_number(const struct kt_json_value *object, const char *name)
{
	return kt_json_value_number(kt_json_member(object, name));
}

bool kt_json_bool(const struct kt_json_value *object, const char *name)
{
	return kt_json_value_bool(kt_json_member(object, name));
}

size_t kt_json_array_len(const struct kt_json_value *array)
{
	return kt_json_is(array, KT_JSON_ARRAY) ? length_of(tree_of(array)) : 0;
}

const struct kt_json_value *kt_json_array_item(const struct kt_json_value *array, size_t index)
{
	const cJSON *item;

	if (!kt_json_is(array, KT_JSON_ARRAY))
		return NULL;
	item = tree_of(array)->child;
	while (item != NULL && index > 0) {
		item = item->next;
		index--;
	}
	return value_of(item);
}

const struct kt_json_value *kt_json_first(const struct kt_json_value *object)
{
	return object == NULL ? NULL : value_of(tree_of(object)->child);
}

const struct kt_json_value *kt_json_next(const struct kt_json_value *value)
{
	return value_of(tree_of(value)->next);
}

const char *kt_json_name(const struct kt_json_value *value)
{
	const char *name = tree_of(value)->string;

	return name == NULL ? "" : name;
}

const char *kt_json_value_string(const struct kt_json_value *value)
{
	/* analyzer-suppress -Wanalyzer-null-dereference ; kt_json_is() is false for NULL */
	return kt_json_is(value, KT_JSON_STRING) ? tree_of(value)->valuestring : NULL;
}

int64_t kt_json_value_number(const struct kt_json_value *value)
{
	/* analyzer-suppress -Wanalyzer-null-dereference ; kt_json_is() is false for NULL */
	return kt_json_is(value, KT_JSON_NUMBER) ? (int64_t)tree_of(value)->valuedouble : 0;
}

bool kt_json_value_bool(const struct kt_json_value *value)
{
	return cJSON_IsTrue(tree_of(value));
}

static void print_one(struct kt_json_writer *w, const cJSON *value, const char *name)
{
	if (cJSON_IsObject(value))
		kt_json_open_object(w, name);
	else if (cJSON_IsArray(value))
		kt_json_open_array(w, name);
	else if (cJSON_IsString(value))
		kt_json_put_string(w, name, value->valuestring);
	else if (cJSON_IsNumber(value))
		kt_json_put_number(w, name, (int64_t)value->valuedouble);
	else if (cJSON_IsBool(value))
		kt_json_put_bool(w, name, cJSON_IsTrue(value));
	else
		kt_json_put_raw(w, name, "null");
}

/* Closes @count brackets, the innermost first: @value's own if it is empty, then its parents'. */
static void print_closing(struct kt_json_writer *w, const struct walk *walk, const cJSON *value,
			  size_t count)
{
	size_t depth = walk->depth + count;

	if (cJSON_IsObject(value) || cJSON_IsArray(value)) {
		if (cJSON_IsObject(value))
			kt_json_close_object(w);
		else
			kt_json_close_array(w);
		depth--;
	}
	while (depth > walk->depth) {
		if (cJSON_IsObject(walk->above[--depth]))
			kt_json_close_object(w);
		else
			kt_json_close_array(w);
	}
}

enum kt_err kt_json_print(const struct kt_json_value *value, char **out)
{
	struct kt_json_writer *w = NULL;
	struct walk walk = {.depth = 0};
	const cJSON *at = tree_of(value);
	size_t len;
	enum kt_err err;

	*out = NULL;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		return err;
	while (at != NULL) {
		const cJSON *here = at;
		bool in_object = walk.depth > 0 && cJSON_IsObject(walk.above[walk.depth - 1]);
		size_t closed;

		print_one(w, here, in_object ? here->string : NULL);
		at = walk_next(&walk, here, &closed);
		if (closed > 0)
			print_closing(w, &walk, here, closed);
	}
	err = kt_json_writer_take(w, out, &len);
	kt_json_writer_free(w);
	return err;
}
