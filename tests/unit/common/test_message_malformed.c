#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector_file.h"

/*
 * Damages the committed vectors, member by member, by the tables below, and expects the exact
 * reason for each. The vectors are compact JSON, which makes cutting them into members simple.
 */

enum { MEMBERS_MAX = 16, PAYLOAD_SIZE = 40000, CASES_AT_LEAST = 200 };

struct member {
	char name[32];
	const char *value; /* as written, not terminated */
	size_t len;
};

struct object {
	struct member member[MEMBERS_MAX];
	size_t count;
};

static size_t value_end(const char *text)
{
	size_t depth = 0;
	bool is_string = false;
	size_t i = 0;

	for (; text[i] != '\0'; i++) {
		if (text[i] == '"')
			is_string = !is_string;
		if (is_string)
			continue;
		if (text[i] == '{' || text[i] == '[')
			depth++;
		if ((text[i] == '}' || text[i] == ']') && depth-- == 0)
			break;
		if (text[i] == ',' && depth == 0)
			break;
	}
	return i;
}

static void split(const char *text, struct object *out)
{
	out->count = 0;
	while (*text == '{' || *text == ',') {
		struct member *m = &out->member[out->count++];
		const char *quote = strchr(text + 2, '"');
		size_t name_len;

		assert_true(out->count <= MEMBERS_MAX && text[1] == '"' && quote != NULL);
		name_len = (size_t)(quote - text) - 2;
		assert_true(name_len < sizeof(m->name));
		memcpy(m->name, text + 2, name_len);
		m->name[name_len] = '\0';
		m->value = quote + 2;
		m->len = value_end(m->value);
		text = m->value + m->len;
	}
	assert_int_equal(*text, '}');
}

static void append(char *out, const char *text, size_t len)
{
	size_t at = strlen(out);

	assert_true(at + len < PAYLOAD_SIZE);
	memcpy(out + at, text, len);
	out[at + len] = '\0';
}

static void append_member(char *out, const char *name, const char *value, size_t len)
{
	append(out, out[strlen(out) - 1] == '{' ? "\"" : ",\"",
	       out[strlen(out) - 1] == '{' ? 1 : 2);
	append(out, name, strlen(name));
	append(out, "\":", 2);
	append(out, value, len);
}

/* Member @index gets @value, or goes if that is NULL; @extra follows behind it. */
static void join(const struct object *object, size_t index, const char *value,
		 const struct member *extra, char *out)
{
	(void)strcpy(out, "{");
	for (size_t i = 0; i < object->count; i++) {
		const struct member *m = &object->member[i];

		if (i != index)
			append_member(out, m->name, m->value, m->len);
		else if (value != NULL)
			append_member(out, m->name, value, strlen(value));
		if (i == index && extra != NULL)
			append_member(out, extra->name, extra->value, extra->len);
	}
	append(out, "}", 1);
}

#define HEX_63	 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define CHARS_32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHARS_64 CHARS_32 CHARS_32
#define B64_4097 "<4097 bytes>" /* stands for a string of that many bytes in base64url */

struct damage {
	const char *member;
	const char *value;
	enum kt_reason reason;
};

/* Applies to every message that has a member of the name, a report's included. */
static const struct damage damages[] = {
	{"v", "0", KT_REASON_MSG_VERSION},
	{"v", "2", KT_REASON_MSG_VERSION},
	{"v", "-1", KT_REASON_MSG_VERSION},
	{"v", "9007199254740991", KT_REASON_MSG_VERSION},
	{"v", "\"1\"", KT_REASON_JSON_FIELD},
	{"v", "true", KT_REASON_JSON_FIELD},
	{"v", "1.0", KT_REASON_JSON_SYNTAX},
	{"v", "1e0", KT_REASON_JSON_SYNTAX},
	{"v", "01", KT_REASON_JSON_SYNTAX},
	{"v", "9007199254740992", KT_REASON_JSON_SYNTAX},
	{"type", "\"unknown\"", KT_REASON_MSG_TYPE},
	{"type", "\"\"", KT_REASON_MSG_TYPE},
	{"type", "\"Hello\"", KT_REASON_MSG_TYPE},
	{"type", "\"hello \"", KT_REASON_MSG_TYPE},
	{"td", "\"\"", KT_REASON_JSON_FIELD},
	{"td", "\"Fleet.example\"", KT_REASON_JSON_FIELD},
	{"td", "\"fleet/example\"", KT_REASON_JSON_FIELD},
	{"td", "\"" CHARS_64 CHARS_64 CHARS_64 CHARS_64 "\"", KT_REASON_MSG_SIZE},
	{"device", "\"op\"", KT_REASON_JSON_FIELD},
	{"device", "\"CLAIM\"", KT_REASON_JSON_FIELD},
	{"device", "\"-hub\"", KT_REASON_JSON_FIELD},
	{"device", "\"hub/17\"", KT_REASON_JSON_FIELD},
	{"device", "\"hub:agent\"", KT_REASON_JSON_FIELD},
	{"device",
	 "\"h\xc3\xbc"
	 "b\"",
	 KT_REASON_JSON_FIELD},
	{"device", "\"h\xc3(b\"", KT_REASON_JSON_SYNTAX},
	{"device", "\"hub\\u0000\"", KT_REASON_JSON_SYNTAX},
	{"device", "\"" CHARS_64 "\"", KT_REASON_MSG_SIZE},
	{"dn", "\"\"", KT_REASON_JSON_FIELD},
	{"dn", "\"AAECAwQFBgcICQoLDA0O\"", KT_REASON_JSON_FIELD},
	{"dn", "\"AAECAwQFBgcICQoLDA0ODw==\"", KT_REASON_JSON_FIELD},
	{"dn", "\"AAECAwQFBgcICQoLDA0ODx\"", KT_REASON_JSON_FIELD},
	{"dn", "\"AAECAwQFBgcICQoLDA0OD+\"", KT_REASON_JSON_FIELD},
	{"dn", "\"AAECAwQFBgcICQoLDA0ODxA\"", KT_REASON_JSON_FIELD},
	{"sn", "\"\"", KT_REASON_JSON_FIELD},
	{"sn", "\"EBESExQVFhcYGRobHB0e\"", KT_REASON_JSON_FIELD},
	{"sn", "\"EBESExQVFhcYGRobHB0eHw==\"", KT_REASON_JSON_FIELD},
	{"sn", "\"EBESExQVFhcYGRobHB0eHx\"", KT_REASON_JSON_FIELD},
	{"sn", "\"EBESExQVFhcYGRobHB0eHyA\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"AAECAwQFBgcICQoLDA0O\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"AAECAwQFBgcICQoLDA0ODw==\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\"", KT_REASON_JSON_FIELD},
	{"nonce", "\"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9g\"", KT_REASON_JSON_FIELD},
	{"op", "\"01\"", KT_REASON_JSON_FIELD},
	{"op", "\"\"", KT_REASON_JSON_FIELD},
	{"op", "\" 1\"", KT_REASON_JSON_FIELD},
	{"op", "\"+1\"", KT_REASON_JSON_FIELD},
	{"op", "\"-1\"", KT_REASON_JSON_FIELD},
	{"op", "\"1a\"", KT_REASON_JSON_FIELD},
	{"op", "\"0x1\"", KT_REASON_JSON_FIELD},
	{"op", "1753000000000001", KT_REASON_JSON_FIELD},
	{"op", "\"9223372036854775808\"", KT_REASON_OP_RANGE},
	{"op", "\"18446744073709551616\"", KT_REASON_OP_RANGE},
	{"time", "\"01\"", KT_REASON_JSON_FIELD},
	{"time", "\"\"", KT_REASON_JSON_FIELD},
	{"time", "\"18446744073709551616\"", KT_REASON_JSON_FIELD},
	{"time", "1", KT_REASON_JSON_FIELD},
	{"deadline", "\"01\"", KT_REASON_JSON_FIELD},
	{"deadline", "\"-1\"", KT_REASON_JSON_FIELD},
	{"deadline", "\"18446744073709551616\"", KT_REASON_JSON_FIELD},
	{"deadline", "1", KT_REASON_JSON_FIELD},
	{"generation", "\"00\"", KT_REASON_JSON_FIELD},
	{"generation", "\"07\"", KT_REASON_JSON_FIELD},
	{"generation", "\"4294967296\"", KT_REASON_JSON_FIELD},
	{"generation", "7", KT_REASON_JSON_FIELD},
	{"fp", "\"\"", KT_REASON_JSON_FIELD},
	{"fp", "\"" HEX_63 "\"", KT_REASON_JSON_FIELD},
	{"fp", "\"" HEX_63 "F\"", KT_REASON_JSON_FIELD},
	{"fp", "\"" HEX_63 "g\"", KT_REASON_JSON_FIELD},
	{"fp", "\"" HEX_63 "ff\"", KT_REASON_JSON_FIELD},
	{"cur", "\"" HEX_63 "\"", KT_REASON_JSON_FIELD},
	{"cur", "\"" HEX_63 "F\"", KT_REASON_JSON_FIELD},
	{"cur", "\"" HEX_63 "ff\"", KT_REASON_JSON_FIELD},
	{"csr", "\"\"", KT_REASON_JSON_FIELD},
	{"csr", "\"AA==\"", KT_REASON_JSON_FIELD},
	{"csr", "\"AB\"", KT_REASON_JSON_FIELD},
	{"csr", "\"A\"", KT_REASON_JSON_FIELD},
	{"csr", "\"-----BEGIN CERTIFICATE REQUEST-----\"", KT_REASON_JSON_FIELD},
	{"csr", B64_4097, KT_REASON_MSG_SIZE},
	{"chain", "[\"\"]", KT_REASON_JSON_FIELD},
	{"chain", "[\"AA==\"]", KT_REASON_JSON_FIELD},
	{"chain", "[\"AA\",\"AB\"]", KT_REASON_JSON_FIELD},
	{"chain", "[\"AA\",1]", KT_REASON_JSON_FIELD},
	{"chain", "[\"AA\",null]", KT_REASON_JSON_FIELD},
	{"chain", "[[\"AA\"]]", KT_REASON_JSON_FIELD},
	{"chain", "[\"AA\",\"AA\",\"AA\",\"AA\",\"AA\"]", KT_REASON_MSG_SIZE},
	{"chain", "[[[[[[[[\"AA\"]]]]]]]]", KT_REASON_MSG_SIZE},
	{"chain", "[" B64_4097 "]", KT_REASON_MSG_SIZE},
	{"agent", "\"\"", KT_REASON_JSON_FIELD},
	{"agent", "\"1.0 beta\"", KT_REASON_JSON_FIELD},
	{"agent", "\"1.0\\n\"", KT_REASON_JSON_FIELD},
	{"agent", "\"\xc3\xbc\"", KT_REASON_JSON_FIELD},
	{"agent", "\"" CHARS_32 "a\"", KT_REASON_MSG_SIZE},
	{"store", "\"\"", KT_REASON_JSON_FIELD},
	{"store", "\"a b\"", KT_REASON_JSON_FIELD},
	{"store", "\"" CHARS_32 "a\"", KT_REASON_MSG_SIZE},
	{"phase", "\"\"", KT_REASON_JSON_FIELD},
	{"phase", "\"Stable\"", KT_REASON_JSON_FIELD},
	{"phase", "\"trial\"", KT_REASON_JSON_FIELD},
	{"next", "\"\"", KT_REASON_JSON_FIELD},
	{"next", "\"reboot\"", KT_REASON_JSON_FIELD},
	{"next", "\"?\"", KT_REASON_JSON_FIELD},
	{"alg", "\"none\"", KT_REASON_JSON_FIELD},
	{"alg", "\"es256\"", KT_REASON_JSON_FIELD},
	{"alg", "\"ES384\"", KT_REASON_JSON_FIELD},
	{"reason", "\"\"", KT_REASON_JSON_FIELD},
	{"reason", "\"none\"", KT_REASON_JSON_FIELD},
	{"reason", "\"?\"", KT_REASON_JSON_FIELD},
	{"reason", "\"no.such\"", KT_REASON_JSON_FIELD},
	{"reason", "\"cert.unknown\"", KT_REASON_JSON_FIELD},
	{"of", "\"committed\"", KT_REASON_JSON_FIELD},
	{"of", "\"csr\"", KT_REASON_JSON_FIELD},
	{"of", "\"\"", KT_REASON_JSON_FIELD},
	{"retry_s", "-1", KT_REASON_JSON_FIELD},
	{"retry_s", "86401", KT_REASON_JSON_FIELD},
	{"retry_s", "4294967296", KT_REASON_JSON_FIELD},
	{"retry_s", "\"60\"", KT_REASON_JSON_FIELD},
	{"retry_s", "1.5", KT_REASON_JSON_SYNTAX},
	{"wipe", "1", KT_REASON_JSON_FIELD},
	{"wipe", "\"true\"", KT_REASON_JSON_FIELD},
	{"ticket", "\"\"", KT_REASON_JSON_FIELD},
	{"ticket", "\"YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fg\"", KT_REASON_JSON_FIELD},
	{"ticket", "\"YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=\"", KT_REASON_JSON_FIELD},
	{"ticket", "\"YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn-A\"", KT_REASON_JSON_FIELD},
	{"report", "\"\"", KT_REASON_JSON_FIELD},
	{"report", "{\"agent\":\"1.0.0\"}", KT_REASON_JSON_FIELD},
};

/* What no member may be, whatever its own type. */
static const char *const foreign_values[] = {"null", "{}", "[]", "{\"a\":1}", "[null]"};

/* What only some types may not have. */
static const struct {
	enum kt_message_type type;
	const char *member;
	const char *value;
	enum kt_reason reason;
} damages_of_type[] = {
	{KT_MESSAGE_ANSWER, "op", "\"1\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ROTATE, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_CSR, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_CERT, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_CONFIRM, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_COMMITTED, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_PROMOTED, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_FAILED, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_NOTED, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_REJECT, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_ENROLLED, "op", "\"0\"", KT_REASON_OP_RANGE},
	{KT_MESSAGE_HELLO, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_WELCOME, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_CSR, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_CERT, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_REVOKED, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ENROLLED, "device", "\"\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_HELLO, "sn", "\"EBESExQVFhcYGRobHB0eHw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ENROLL, "sn", "\"EBESExQVFhcYGRobHB0eHw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ENROLL, "op", "\"0\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_CSR, "dn", "\"AAECAwQFBgcICQoLDA0ODw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ANSWER, "dn", "\"AAECAwQFBgcICQoLDA0ODw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_CERT, "sn", "\"EBESExQVFhcYGRobHB0eHw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_REJECT, "sn", "\"EBESExQVFhcYGRobHB0eHw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_CHALLENGE, "nonce", "\"AAECAwQFBgcICQoLDA0ODw\"", KT_REASON_JSON_FIELD},
	{KT_MESSAGE_ANSWER, "nonce", "\"AAECAwQFBgcICQoLDA0ODw\"", KT_REASON_JSON_FIELD},
};

struct vector {
	enum kt_message_type type;
	bool from_device;
	char *text;
	struct object object;
};

struct fixture {
	struct vector vector[KT_MESSAGE_COUNT];
	char *payload; /* PAYLOAD_SIZE */
	char *value;
	size_t cases;
};

static int load_vectors(void **state)
{
	static const bool from_device[] = {
#define KT_DIRECTION(code, name, from_device) [KT_MESSAGE_##code] = (from_device),
		KT_MESSAGE_LIST(KT_DIRECTION)
#undef KT_DIRECTION
	};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->payload = malloc(PAYLOAD_SIZE);
	f->value = malloc(PAYLOAD_SIZE);
	assert_true(f->payload != NULL && f->value != NULL);
	for (int i = 0; i < (int)KT_MESSAGE_COUNT; i++) {
		struct vector *v = &f->vector[i];
		char path[64];

		v->type = (enum kt_message_type)i;
		v->from_device = from_device[i];
		(void)snprintf(path, sizeof(path), "messages/%s.json",
			       kt_message_type_name(v->type));
		v->text = vector_file_load(path);
		assert_non_null(v->text);
		split(v->text, &v->object);
	}
	*state = f;
	return 0;
}

static int free_vectors(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++)
		free(f->vector[i].text);
	free(f->payload);
	free(f->value);
	free(f);
	return 0;
}

static void refused_as(struct fixture *f, const char *payload, size_t len, bool from_device,
		       enum kt_reason expected)
{
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_message *message = NULL;
	enum kt_err err;

	/* An exact copy on the heap, so that the sanitizer sees a read past its end. */
	uint8_t *copy = malloc(len + (len == 0));

	assert_non_null(copy);
	memcpy(copy, payload, len);
	err = kt_message_decode(copy, len, from_device, &message, &reason);
	free(copy);
	assert_null(message);
	if (err != KT_ERR_INVALID || reason != expected)
		fail_msg("%s instead of %s: %.*s", kt_reason_name(reason), kt_reason_name(expected),
			 len > 400 ? 400 : (int)len, payload);
	f->cases++;
}

/* The message with its member @index replaced; where that is the report's, inside the report. */
static void refuses_member(struct fixture *f, const struct vector *v, size_t index,
			   const char *value, const struct member *extra, enum kt_reason expected)
{
	join(&v->object, index, value, extra, f->payload);
	refused_as(f, f->payload, strlen(f->payload), v->from_device, expected);
}

static size_t find_member(const struct object *object, const char *name)
{
	size_t i = 0;

	while (i < object->count && strcmp(object->member[i].name, name) != 0)
		i++;
	return i;
}

static void expand(const char *value, char *out)
{
	const char *mark = strstr(value, B64_4097);

	if (mark == NULL) {
		(void)strcpy(out, value);
		return;
	}
	memcpy(out, value, (size_t)(mark - value));
	out += mark - value;
	*out++ = '"';
	memset(out, 'A', 5463); /* 4097 bytes and no bits too many */
	out += 5463;
	*out++ = '"';
	(void)strcpy(out, mark + strlen(B64_4097));
}

static void each_malformed_member_has_its_reason(void **state)
{
	struct fixture *f = *state;

	for (size_t d = 0; d < sizeof(damages) / sizeof(damages[0]); d++) {
		const size_t before = f->cases;

		expand(damages[d].value, f->value);
		for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++) {
			const struct vector *v = &f->vector[i];
			const size_t at = find_member(&v->object, damages[d].member);

			if (at < v->object.count)
				refuses_member(f, v, at, f->value, NULL, damages[d].reason);
		}
		if (f->cases == before)
			fail_msg("no message has a member %s", damages[d].member);
	}
}

static void each_malformed_member_of_a_report_has_its_reason(void **state)
{
	struct fixture *f = *state;
	const struct vector *v = &f->vector[KT_MESSAGE_ANSWER];
	const size_t at = find_member(&v->object, "report");
	const struct member extra = {"extra", "1", 1};
	struct object report;
	size_t count = 0;

	split(v->object.member[at].value, &report);
	assert_int_equal(report.count, 4);
	for (size_t d = 0; d < sizeof(damages) / sizeof(damages[0]); d++) {
		const size_t inner = find_member(&report, damages[d].member);

		if (inner == report.count)
			continue;
		join(&report, inner, damages[d].value, NULL, f->value);
		refuses_member(f, v, at, f->value, NULL, damages[d].reason);
		count++;
	}
	assert_true(count >= 15);
	for (size_t i = 0; i < report.count; i++) {
		join(&report, i, NULL, NULL, f->value);
		refuses_member(f, v, at, f->value, NULL, KT_REASON_JSON_FIELD);
		join(&report, i, "null", NULL, f->value);
		refuses_member(f, v, at, f->value, NULL, KT_REASON_JSON_FIELD);
		join(&report, i, "\"1\"", &report.member[i], f->value);
		refuses_member(f, v, at, f->value, NULL, KT_REASON_JSON_SYNTAX);
	}
	join(&report, report.count - 1, "\"key\"", &extra, f->value);
	refuses_member(f, v, at, f->value, NULL, KT_REASON_JSON_FIELD);
}

static void what_only_some_types_may_have_is_refused_in_the_others(void **state)
{
	struct fixture *f = *state;

	for (size_t d = 0; d < sizeof(damages_of_type) / sizeof(damages_of_type[0]); d++) {
		const struct vector *v = &f->vector[damages_of_type[d].type];
		const char *value = damages_of_type[d].value;
		const size_t at = find_member(&v->object, damages_of_type[d].member);
		struct member extra = {"", value, strlen(value)};

		(void)snprintf(extra.name, sizeof(extra.name), "%s", damages_of_type[d].member);
		if (at < v->object.count) {
			refuses_member(f, v, at, value, NULL, damages_of_type[d].reason);
			continue;
		}
		join(&v->object, v->object.count, NULL, NULL, f->payload);
		f->payload[strlen(f->payload) - 1] = '\0';
		append_member(f->payload, extra.name, extra.value, extra.len);
		append(f->payload, "}", 1);
		refused_as(f, f->payload, strlen(f->payload), v->from_device,
			   damages_of_type[d].reason);
	}
}

static bool is_optional(enum kt_message_type type, const char *member)
{
	return (type == KT_MESSAGE_REJECT && strcmp(member, "op") == 0) ||
	       (type == KT_MESSAGE_ENROLL && strcmp(member, "ticket") == 0);
}

static void every_member_is_there_once_and_none_besides(void **state)
{
	static const struct member extras[] = {
		{"extra", "1", 1}, {"V", "1", 1}, {"", "1", 1}, {"Type", "\"hello\"", 7}};
	struct fixture *f = *state;

	for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++) {
		const struct vector *v = &f->vector[i];

		for (size_t m = 0; m < v->object.count; m++) {
			const struct member *member = &v->object.member[m];

			if (!is_optional(v->type, member->name))
				refuses_member(f, v, m, NULL, NULL, KT_REASON_JSON_FIELD);
			expand("1", f->value);
			refuses_member(f, v, m, f->value, member, KT_REASON_JSON_SYNTAX);
			for (size_t n = 0; n < sizeof(foreign_values) / sizeof(*foreign_values);
			     n++)
				refuses_member(f, v, m, foreign_values[n], NULL,
					       KT_REASON_JSON_FIELD);
		}
		for (size_t n = 0; n < sizeof(extras) / sizeof(extras[0]); n++)
			refuses_member(f, v, 0, "1", &extras[n], KT_REASON_JSON_FIELD);
	}
}

static void a_message_of_the_other_direction_is_of_a_wrong_type(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++) {
		const struct vector *v = &f->vector[i];

		refused_as(f, v->text, strlen(v->text), !v->from_device, KT_REASON_MSG_TYPE);
	}
}

static void a_message_cut_off_anywhere_is_no_json(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++) {
		const struct vector *v = &f->vector[i];

		for (size_t len = 0; len < strlen(v->text); len++)
			refused_as(f, v->text, len, v->from_device, KT_REASON_JSON_SYNTAX);
	}
}

static void what_follows_the_object_is_refused(void **state)
{
	static const char *const tails[] = {"{}", "x", ",", "}", "\x01", "\xff"};
	struct fixture *f = *state;

	for (size_t i = 0; i < (size_t)KT_MESSAGE_COUNT; i++) {
		const struct vector *v = &f->vector[i];

		for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
			(void)strcpy(f->payload, v->text);
			append(f->payload, tails[t], strlen(tails[t]));
			refused_as(f, f->payload, strlen(f->payload), v->from_device,
				   KT_REASON_JSON_SYNTAX);
		}
		refused_as(f, v->text, strlen(v->text) + 1, v->from_device, KT_REASON_JSON_SYNTAX);
	}
}

static void a_payload_over_the_limit_is_refused_for_its_size(void **state)
{
	struct fixture *f = *state;
	const char *text = f->vector[KT_MESSAGE_HELLO].text;
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_message *message = NULL;

	memset(f->payload, ' ', KT_PAYLOAD_MAX + 1);
	memcpy(f->payload, text, strlen(text));
	refused_as(f, f->payload, KT_PAYLOAD_MAX + 1, true, KT_REASON_MSG_SIZE);
	assert_int_equal(kt_message_decode((const uint8_t *)f->payload, KT_PAYLOAD_MAX, true,
					   &message, &reason),
			 KT_ERR_OK);
	kt_message_free(message);
}

/* Last: the tables above must go on making this many cases. */
static void there_are_enough_cases(void **state)
{
	const struct fixture *f = *state;

	print_message("%zu malformed payloads\n", f->cases);
	assert_true(f->cases >= CASES_AT_LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_malformed_member_has_its_reason),
		cmocka_unit_test(each_malformed_member_of_a_report_has_its_reason),
		cmocka_unit_test(what_only_some_types_may_have_is_refused_in_the_others),
		cmocka_unit_test(every_member_is_there_once_and_none_besides),
		cmocka_unit_test(a_message_of_the_other_direction_is_of_a_wrong_type),
		cmocka_unit_test(a_message_cut_off_anywhere_is_no_json),
		cmocka_unit_test(what_follows_the_object_is_refused),
		cmocka_unit_test(a_payload_over_the_limit_is_refused_for_its_size),
		cmocka_unit_test(there_are_enough_cases),
	};
	return cmocka_run_group_tests(tests, load_vectors, free_vectors);
}
