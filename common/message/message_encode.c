#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "message_rules.h"
#include "secmem.h"

struct source { /* one field's C values */
	const void *value;
	const void *aux;
};

/* Each returns false for a value that the decoder would refuse. */
typedef bool put_fn(struct kt_json_writer *w, const char *name, struct source from);

static bool put_op_or_none(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint64_t *op = from.value;

	kt_json_put_u64(w, name, *op);
	return *op <= KT_OP_MAX;
}

static bool put_op(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint64_t *op = from.value;

	return *op != 0 && put_op_or_none(w, name, from);
}

static bool put_time(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint64_t *time_us = from.value;

	kt_json_put_u64(w, name, *time_us);
	return true;
}

static bool put_generation(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint32_t *generation = from.value;

	kt_json_put_u64(w, name, *generation);
	return true; /* 0: of a credential that was taken over */
}

static bool put_retry(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint32_t *retry_s = from.value;

	kt_json_put_number(w, name, *retry_s);
	return *retry_s <= KT_RETRY_MAX_S;
}

static bool put_fp(struct kt_json_writer *w, const char *name, struct source from)
{
	const struct kt_fingerprint *fp = from.value;

	kt_json_put_hex(w, name, fp->b, sizeof(fp->b));
	return true;
}

static bool put_nonce(struct kt_json_writer *w, const char *name, struct source from)
{
	const struct kt_nonce *nonce = from.value;

	kt_json_put_b64url(w, name, nonce->b, sizeof(nonce->b));
	return true;
}

static bool put_challenge(struct kt_json_writer *w, const char *name, struct source from)
{
	const struct kt_challenge_nonce *nonce = from.value;

	kt_json_put_b64url(w, name, nonce->b, sizeof(nonce->b));
	return true;
}

static bool put_ticket(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint8_t *ticket = from.value;

	kt_json_put_b64url(w, name, ticket, KT_TICKET_SECRET_LEN);
	return true;
}

static bool put_csr(struct kt_json_writer *w, const char *name, struct source from)
{
	const uint8_t *csr = from.value;
	const size_t *len = from.aux;

	if (*len == 0 || *len > KT_CSR_MAX)
		return false;
	kt_json_put_b64url(w, name, csr, *len);
	return true;
}

static bool put_chain(struct kt_json_writer *w, const char *name, struct source from)
{
	const struct kt_chain *chain = from.value;

	if (chain->count == 0 || chain->count > KT_CHAIN_MAX)
		return false;
	kt_json_open_array(w, name);
	for (size_t i = 0; i < chain->count; i++) {
		if (chain->cert[i].len == 0 || chain->cert[i].len > KT_CERT_MAX)
			return false;
		kt_json_put_b64url(w, NULL, chain->cert[i].der, chain->cert[i].len);
	}
	kt_json_close_array(w);
	return true;
}

static bool put_name(struct kt_json_writer *w, const char *name, struct source from)
{
	const char *text = from.value;

	if (!kt_field_is_name(text))
		return false;
	kt_json_put_string(w, name, text);
	return true;
}

static bool put_phase(struct kt_json_writer *w, const char *name, struct source from)
{
	const enum kt_device_phase *phase = from.value;

	kt_json_put_string(w, name, kt_phase_name(*phase));
	return (unsigned)*phase <= KT_PHASE_CERT;
}

static bool put_next(struct kt_json_writer *w, const char *name, struct source from)
{
	const enum kt_next *next = from.value;

	kt_json_put_string(w, name, kt_next_name(*next));
	return (unsigned)*next <= KT_NEXT_CLOSED;
}

static bool put_alg(struct kt_json_writer *w, const char *name, struct source from)
{
	const enum kt_alg *alg = from.value;

	kt_json_put_string(w, name, kt_alg_name(*alg));
	return kt_alg_from_name(kt_alg_name(*alg)) != KT_ALG_NONE;
}

static bool put_reason(struct kt_json_writer *w, const char *name, struct source from)
{
	const enum kt_reason *reason = from.value;

	if (!kt_field_is_peer_reason(*reason))
		return false;
	kt_json_put_string(w, name, kt_reason_name(*reason));
	return true;
}

static bool put_of(struct kt_json_writer *w, const char *name, struct source from)
{
	const enum kt_message_type *of = from.value;

	kt_json_put_string(w, name, kt_message_type_name(*of));
	return *of == KT_MESSAGE_PROMOTED || *of == KT_MESSAGE_FAILED;
}

static bool put_wipe(struct kt_json_writer *w, const char *name, struct source from)
{
	const bool *wipe = from.value;

	kt_json_put_bool(w, name, *wipe);
	return true;
}

static put_fn *const puts_of_kind[KT_FIELD_KIND_COUNT] = {
	[KT_FIELD_OP] = put_op,		[KT_FIELD_OP_OR_NONE] = put_op_or_none,
	[KT_FIELD_TIME] = put_time,	[KT_FIELD_GENERATION] = put_generation,
	[KT_FIELD_RETRY] = put_retry,	[KT_FIELD_FP] = put_fp,
	[KT_FIELD_NONCE] = put_nonce,	[KT_FIELD_CHALLENGE] = put_challenge,
	[KT_FIELD_TICKET] = put_ticket, [KT_FIELD_CSR] = put_csr,
	[KT_FIELD_CHAIN] = put_chain,	[KT_FIELD_NAME] = put_name,
	[KT_FIELD_PHASE] = put_phase,	[KT_FIELD_NEXT] = put_next,
	[KT_FIELD_ALG] = put_alg,	[KT_FIELD_REASON] = put_reason,
	[KT_FIELD_OF] = put_of,		[KT_FIELD_WIPE] = put_wipe,
};

/* The optional fields are `op` of a reject and the ticket: left out by 0 and by has_ticket. */
static bool is_left_out(const struct kt_field *field, struct source from)
{
	if (!field->is_optional)
		return false;
	if (field->kind == KT_FIELD_TICKET)
		return !*(const bool *)from.aux;
	return *(const uint64_t *)from.value == 0;
}

static bool put_fields(struct kt_json_writer *w, const struct kt_field *fields, size_t count,
		       const void *base)
{
	const char *bytes = base;

	for (size_t i = 0; i < count; i++) {
		const struct source from = {bytes + fields[i].offset, bytes + fields[i].aux};

		if (is_left_out(&fields[i], from))
			continue;
		if (!puts_of_kind[fields[i].kind](w, fields[i].name, from))
			return false;
	}
	return true;
}

static bool put_common(struct kt_json_writer *w, const struct kt_message *message,
		       const struct kt_message_rule *rule)
{
	const size_t device_len = strnlen(message->device.s, sizeof(message->device.s));

	if (!kt_is_trust_domain(message->trust_domain,
				strnlen(message->trust_domain, sizeof(message->trust_domain))))
		return false;
	if (!(device_len == 0 && rule->may_lack_device) &&
	    !kt_is_device_id(message->device.s, device_len))
		return false;
	kt_json_put_number(w, "v", KT_PROTOCOL_VERSION);
	kt_json_put_string(w, "type", kt_message_type_name(message->type));
	kt_json_put_string(w, "td", message->trust_domain);
	kt_json_put_string(w, "device", message->device.s);
	if (rule->has_dn)
		kt_json_put_b64url(w, "dn", message->dn.b, sizeof(message->dn.b));
	if (rule->has_sn)
		kt_json_put_b64url(w, "sn", message->sn.b, sizeof(message->sn.b));
	return true;
}

static bool put_message(struct kt_json_writer *w, const struct kt_message *message)
{
	const struct kt_message_rule *rule = kt_message_rule_of(message->type);

	kt_json_open_object(w, NULL);
	if (!put_common(w, message, rule) ||
	    !put_fields(w, rule->fields, rule->field_count, message))
		return false;
	if (rule->has_report) {
		kt_json_open_object(w, "report");
		if (!put_fields(w, kt_report_fields, KT_REPORT_FIELD_COUNT,
				&message->u.answer.report))
			return false;
		kt_json_close_object(w);
	}
	kt_json_close_object(w);
	return true;
}

enum kt_err kt_message_encode(const struct kt_message *message, char **out, size_t *out_len)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;

	*out = NULL;
	*out_len = 0;
	if ((unsigned)message->type >= KT_MESSAGE_COUNT)
		return KT_ERR_INVALID;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		goto out;
	err = KT_ERR_INVALID;
	if (!put_message(w, message))
		goto out;
	err = kt_json_writer_take(w, &text, &len);
	if (err != KT_ERR_OK)
		goto out;
	err = KT_ERR_TOO_LONG;
	if (len > KT_PAYLOAD_MAX)
		goto out;
	err = KT_ERR_OK;
	*out_len = len;
	*out = text;
	text = NULL; /* moved */
out:
	if (text != NULL)
		kt_wipe(text, len);
	free(text);
	kt_json_writer_free(w);
	return err;
}
