#include "message.h"

#include <assert.h>
#include <string.h>

#include "encoding.h"
#include "json.h"
#include "message_rules.h"

struct target { /* one field's C values */
	void *value;
	void *aux;
};

/* KT_REASON_NONE: well. */
typedef enum kt_reason decode_fn(const struct kt_json_value *value, struct target to);

static enum kt_err digits_of(const struct kt_json_value *value, uint64_t *out)
{
	const char *text = kt_json_value_string(value);

	return kt_u64_decode(text, strlen(text), out);
}

static enum kt_reason decode_op_or_none(const struct kt_json_value *value, struct target to)
{
	uint64_t *op = to.value;
	const enum kt_err err = digits_of(value, op);

	if (err == KT_ERR_RANGE || (err == KT_ERR_OK && *op > KT_OP_MAX))
		return KT_REASON_OP_RANGE;
	return err == KT_ERR_OK ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_op(const struct kt_json_value *value, struct target to)
{
	const uint64_t *op = to.value;
	const enum kt_reason reason = decode_op_or_none(value, to);

	if (reason != KT_REASON_NONE)
		return reason;
	return *op != 0 ? KT_REASON_NONE : KT_REASON_OP_RANGE;
}

static enum kt_reason decode_time(const struct kt_json_value *value, struct target to)
{
	uint64_t *time_us = to.value;

	return digits_of(value, time_us) == KT_ERR_OK ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_generation(const struct kt_json_value *value, struct target to)
{
	uint32_t *generation = to.value;
	uint64_t number = 0;

	if (digits_of(value, &number) != KT_ERR_OK || number > UINT32_MAX)
		return KT_REASON_JSON_FIELD;
	*generation = (uint32_t)number;
	return KT_REASON_NONE;
}

static enum kt_reason decode_retry(const struct kt_json_value *value, struct target to)
{
	uint32_t *retry_s = to.value;
	const int64_t number = kt_json_value_number(value);

	if (number < 0 || number > KT_RETRY_MAX_S)
		return KT_REASON_JSON_FIELD;
	*retry_s = (uint32_t)number;
	return KT_REASON_NONE;
}

static enum kt_reason decode_fp(const struct kt_json_value *value, struct target to)
{
	struct kt_fingerprint *fp = to.value;
	const char *text = kt_json_value_string(value);

	return kt_hex_decode(text, strlen(text), fp->b, sizeof(fp->b)) == KT_ERR_OK
		       ? KT_REASON_NONE
		       : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_exactly(const struct kt_json_value *value, uint8_t *out, size_t len)
{
	const char *text = kt_json_value_string(value);
	size_t out_len = 0;

	return kt_b64url_decode(text, strlen(text), out, len, &out_len) == KT_ERR_OK &&
			       out_len == len
		       ? KT_REASON_NONE
		       : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_nonce(const struct kt_json_value *value, struct target to)
{
	struct kt_nonce *nonce = to.value;

	return decode_exactly(value, nonce->b, sizeof(nonce->b));
}

static enum kt_reason decode_challenge(const struct kt_json_value *value, struct target to)
{
	struct kt_challenge_nonce *nonce = to.value;

	return decode_exactly(value, nonce->b, sizeof(nonce->b));
}

static enum kt_reason decode_ticket(const struct kt_json_value *value, struct target to)
{
	bool *has_ticket = to.aux;

	*has_ticket = true;
	return decode_exactly(value, to.value, KT_TICKET_SECRET_LEN);
}

/* 1 .. @max bytes. */
static enum kt_reason decode_der(const struct kt_json_value *value, uint8_t *out, size_t max,
				 size_t *out_len)
{
	const char *text = kt_json_value_string(value);
	const enum kt_err err = kt_b64url_decode(text, strlen(text), out, max, out_len);

	if (err == KT_ERR_TOO_LONG)
		return KT_REASON_MSG_SIZE;
	return err == KT_ERR_OK && *out_len > 0 ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_csr(const struct kt_json_value *value, struct target to)
{
	return decode_der(value, to.value, KT_CSR_MAX, to.aux);
}

static enum kt_reason decode_chain(const struct kt_json_value *value, struct target to)
{
	struct kt_chain *chain = to.value;
	const size_t count = kt_json_array_len(value);

	if (count == 0)
		return KT_REASON_JSON_FIELD;
	if (count > KT_CHAIN_MAX)
		return KT_REASON_MSG_SIZE;
	for (size_t i = 0; i < count; i++) {
		const struct kt_json_value *item = kt_json_array_item(value, i);
		enum kt_reason reason = KT_REASON_NONE;

		if (!kt_json_is(item, KT_JSON_STRING))
			return KT_REASON_JSON_FIELD;
		reason = decode_der(item, chain->cert[i].der, KT_CERT_MAX, &chain->cert[i].len);
		if (reason != KT_REASON_NONE)
			return reason;
	}
	chain->count = count;
	return KT_REASON_NONE;
}

static enum kt_reason decode_name(const struct kt_json_value *value, struct target to)
{
	const char *text = kt_json_value_string(value);

	if (!kt_field_is_name(text))
		return KT_REASON_JSON_FIELD;
	memcpy(to.value, text, strlen(text) + 1);
	return KT_REASON_NONE;
}

static enum kt_reason decode_phase(const struct kt_json_value *value, struct target to)
{
	enum kt_device_phase *phase = to.value;

	for (int i = 0; i <= (int)KT_PHASE_CERT; i++) {
		*phase = (enum kt_device_phase)i;
		if (strcmp(kt_json_value_string(value), kt_phase_name(*phase)) == 0)
			return KT_REASON_NONE;
	}
	return KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_next(const struct kt_json_value *value, struct target to)
{
	enum kt_next *next = to.value;

	for (int i = 0; i <= (int)KT_NEXT_CLOSED; i++) {
		*next = (enum kt_next)i;
		if (strcmp(kt_json_value_string(value), kt_next_name(*next)) == 0)
			return KT_REASON_NONE;
	}
	return KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_alg(const struct kt_json_value *value, struct target to)
{
	enum kt_alg *alg = to.value;

	*alg = kt_alg_from_name(kt_json_value_string(value));
	return *alg != KT_ALG_NONE ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_reason(const struct kt_json_value *value, struct target to)
{
	enum kt_reason *reason = to.value;

	*reason = kt_reason_from_name(kt_json_value_string(value));
	return kt_field_is_peer_reason(*reason) ? KT_REASON_NONE : KT_REASON_JSON_FIELD;
}

/* False: no such type. */
static bool find_type(const char *name, enum kt_message_type *out)
{
	for (int i = 0; i < (int)KT_MESSAGE_COUNT; i++) {
		*out = (enum kt_message_type)i;
		if (strcmp(name, kt_message_type_name(*out)) == 0)
			return true;
	}
	return false;
}

static enum kt_reason decode_of(const struct kt_json_value *value, struct target to)
{
	enum kt_message_type *of = to.value;

	if (!find_type(kt_json_value_string(value), of) ||
	    (*of != KT_MESSAGE_PROMOTED && *of != KT_MESSAGE_FAILED))
		return KT_REASON_JSON_FIELD;
	return KT_REASON_NONE;
}

static enum kt_reason decode_wipe(const struct kt_json_value *value, struct target to)
{
	bool *wipe = to.value;

	*wipe = kt_json_value_bool(value);
	return KT_REASON_NONE;
}

/* max_len as in struct kt_json_rule: over it is msg.size; a wrong fixed length is json.field. */
static const struct {
	enum kt_json_type type;
	size_t max_len;
	decode_fn *decode;
} kinds[KT_FIELD_KIND_COUNT] = {
	[KT_FIELD_OP] = {KT_JSON_STRING, 0, decode_op},
	[KT_FIELD_OP_OR_NONE] = {KT_JSON_STRING, 0, decode_op_or_none},
	[KT_FIELD_TIME] = {KT_JSON_STRING, 0, decode_time},
	[KT_FIELD_GENERATION] = {KT_JSON_STRING, 0, decode_generation},
	[KT_FIELD_RETRY] = {KT_JSON_NUMBER, 0, decode_retry},
	[KT_FIELD_FP] = {KT_JSON_STRING, 0, decode_fp},
	[KT_FIELD_NONCE] = {KT_JSON_STRING, 0, decode_nonce},
	[KT_FIELD_CHALLENGE] = {KT_JSON_STRING, 0, decode_challenge},
	[KT_FIELD_TICKET] = {KT_JSON_STRING, 0, decode_ticket},
	[KT_FIELD_CSR] = {KT_JSON_STRING, KT_B64URL_LEN(KT_CSR_MAX), decode_csr},
	[KT_FIELD_CHAIN] = {KT_JSON_ARRAY, KT_CHAIN_MAX, decode_chain},
	[KT_FIELD_NAME] = {KT_JSON_STRING, KT_AGENT_NAME_MAX, decode_name},
	[KT_FIELD_PHASE] = {KT_JSON_STRING, 0, decode_phase},
	[KT_FIELD_NEXT] = {KT_JSON_STRING, 0, decode_next},
	[KT_FIELD_ALG] = {KT_JSON_STRING, 0, decode_alg},
	[KT_FIELD_REASON] = {KT_JSON_STRING, 0, decode_reason},
	[KT_FIELD_OF] = {KT_JSON_STRING, 0, decode_of},
	[KT_FIELD_WIPE] = {KT_JSON_BOOL, 0, decode_wipe},
};

struct rule_list {
	struct kt_json_rule rules[KT_MESSAGE_RULES_MAX];
	size_t count;
};

static void add_rule(struct rule_list *list, const char *name, enum kt_json_type type,
		     size_t max_len)
{
	assert(list->count < KT_MESSAGE_RULES_MAX);
	list->rules[list->count++] = (struct kt_json_rule){
		.name = name, .type = type, .required = true, .max_len = max_len};
}

static void add_field_rules(struct rule_list *list, const struct kt_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		add_rule(list, fields[i].name, kinds[fields[i].kind].type,
			 kinds[fields[i].kind].max_len);
		list->rules[list->count - 1].required = !fields[i].is_optional;
	}
}

static enum kt_reason check(const struct kt_json_value *object, const struct rule_list *list)
{
	const char *bad_field = NULL;
	const enum kt_err err = kt_json_check(object, list->rules, list->count, &bad_field);

	if (err == KT_ERR_OK)
		return KT_REASON_NONE;
	return err == KT_ERR_TOO_LONG ? KT_REASON_MSG_SIZE : KT_REASON_JSON_FIELD;
}

static enum kt_reason decode_fields(const struct kt_json_value *object,
				    const struct kt_field *fields, size_t count, void *base)
{
	char *bytes = base;

	for (size_t i = 0; i < count; i++) {
		const struct kt_json_value *value = kt_json_member(object, fields[i].name);
		const struct target to = {bytes + fields[i].offset, bytes + fields[i].aux};
		enum kt_reason reason = KT_REASON_NONE;

		if (value == NULL)
			continue; /* optional: kt_json_check has seen to the others */
		reason = kinds[fields[i].kind].decode(value, to);
		if (reason != KT_REASON_NONE)
			return reason;
	}
	return KT_REASON_NONE;
}

/*
 * Version and type come before everything else: a newer version may have other fields, and which
 * fields are right depends on the type.
 */
static enum kt_reason decode_type(const struct kt_json_value *root, bool from_device,
				  enum kt_message_type *type)
{
	const struct kt_json_value *v = kt_json_member(root, "v");
	const struct kt_json_value *name = kt_json_member(root, "type");

	if (v == NULL || !kt_json_is(v, KT_JSON_NUMBER))
		return KT_REASON_JSON_FIELD;
	if (kt_json_value_number(v) != KT_PROTOCOL_VERSION)
		return KT_REASON_MSG_VERSION;
	if (name == NULL || !kt_json_is(name, KT_JSON_STRING))
		return KT_REASON_JSON_FIELD;
	if (!find_type(kt_json_value_string(name), type) ||
	    kt_message_is_from_device(*type) != from_device)
		return KT_REASON_MSG_TYPE;
	return KT_REASON_NONE;
}

static enum kt_reason decode_common(const struct kt_json_value *root,
				    const struct kt_message_rule *rule, struct kt_message *message)
{
	const char *td = kt_json_string(root, "td");
	const char *device = kt_json_string(root, "device");
	enum kt_reason reason = KT_REASON_NONE;

	if (!kt_is_trust_domain(td, strlen(td)))
		return KT_REASON_JSON_FIELD;
	memcpy(message->trust_domain, td, strlen(td) + 1);
	if (!kt_device_id_set(&message->device, device, strlen(device)) &&
	    !(device[0] == '\0' && rule->may_lack_device))
		return KT_REASON_JSON_FIELD;
	if (rule->has_dn)
		reason = decode_exactly(kt_json_member(root, "dn"), message->dn.b,
					sizeof(message->dn.b));
	if (reason == KT_REASON_NONE && rule->has_sn)
		reason = decode_exactly(kt_json_member(root, "sn"), message->sn.b,
					sizeof(message->sn.b));
	return reason;
}

static enum kt_reason decode_report(const struct kt_json_value *root, struct kt_message *message)
{
	const struct kt_json_value *report = kt_json_member(root, "report");
	struct rule_list list = {.count = 0};
	enum kt_reason reason = KT_REASON_NONE;

	add_field_rules(&list, kt_report_fields, KT_REPORT_FIELD_COUNT);
	reason = check(report, &list);
	if (reason != KT_REASON_NONE)
		return reason;
	return decode_fields(report, kt_report_fields, KT_REPORT_FIELD_COUNT,
			     kt_message_report(message));
}

static enum kt_reason decode_message(const struct kt_json_value *root, struct kt_message *message)
{
	const struct kt_message_rule *rule = kt_message_rule_of(message->type);
	struct rule_list list = {.count = 0};
	enum kt_reason reason = KT_REASON_NONE;

	add_rule(&list, "v", KT_JSON_NUMBER, 0);
	add_rule(&list, "type", KT_JSON_STRING, 0);
	add_rule(&list, "td", KT_JSON_STRING, KT_TRUST_DOMAIN_MAX);
	add_rule(&list, "device", KT_JSON_STRING, KT_DEVICE_ID_MAX);
	if (rule->has_dn)
		add_rule(&list, "dn", KT_JSON_STRING, 0);
	if (rule->has_sn)
		add_rule(&list, "sn", KT_JSON_STRING, 0);
	if (rule->has_report)
		add_rule(&list, "report", KT_JSON_OBJECT, 0);
	add_field_rules(&list, rule->fields, rule->field_count);

	reason = check(root, &list);
	if (reason == KT_REASON_NONE)
		reason = decode_common(root, rule, message);
	if (reason == KT_REASON_NONE)
		reason = decode_fields(root, rule->fields, rule->field_count, message);
	if (reason == KT_REASON_NONE && rule->has_report)
		reason = decode_report(root, message);
	return reason;
}

static enum kt_reason reason_of_parse(enum kt_err err)
{
	if (err == KT_ERR_NOMEM)
		return KT_REASON_BUSY;
	return err == KT_ERR_TOO_LONG ? KT_REASON_MSG_SIZE : KT_REASON_JSON_SYNTAX;
}

enum kt_err kt_message_decode(const uint8_t *payload, size_t len, bool from_device,
			      struct kt_message **out, enum kt_reason *reason)
{
	const struct kt_json_limits limits = {KT_PAYLOAD_MAX, KT_JSON_DEPTH_MAX,
					      KT_JSON_TOKENS_MAX};
	enum kt_err err = KT_ERR_INTERNAL;
	enum kt_message_type type = KT_MESSAGE_HELLO;
	struct kt_message *message = NULL;
	struct kt_json *json = NULL;

	*out = NULL;
	*reason = KT_REASON_NONE;
	err = kt_json_parse(payload, len, &limits, &json);
	if (err != KT_ERR_OK) {
		*reason = reason_of_parse(err);
		err = err == KT_ERR_NOMEM ? KT_ERR_NOMEM : KT_ERR_INVALID;
		goto out;
	}
	err = KT_ERR_INVALID;
	*reason = decode_type(kt_json_root(json), from_device, &type);
	if (*reason != KT_REASON_NONE)
		goto out;
	message = kt_message_new(type);
	if (message == NULL) {
		*reason = KT_REASON_BUSY;
		err = KT_ERR_NOMEM;
		goto out;
	}
	*reason = decode_message(kt_json_root(json), message);
	if (*reason != KT_REASON_NONE)
		goto out;
	err = KT_ERR_OK;
	*out = message;
	message = NULL; /* moved */
out:
	kt_message_free(message);
	kt_json_free(json);
	return err;
}
