#include "head.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "json.h"
#include "jws.h"
#include "message.h"

#define HEAD_TYPE "head"

static bool is_complete(const struct kt_head *head)
{
	return memchr(head->trust_domain, '\0', sizeof(head->trust_domain)) != NULL &&
	       kt_is_trust_domain(head->trust_domain, strlen(head->trust_domain)) &&
	       head->seq >= 1 && head->seq <= KT_OP_MAX && head->time_us >= 0;
}

enum kt_err kt_head_encode(const struct kt_head *head, char **out, size_t *out_len)
{
	struct kt_json_writer *w = NULL;
	enum kt_err err;

	*out = NULL;
	*out_len = 0;
	if (!is_complete(head))
		return KT_ERR_INVALID;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", KT_PROTOCOL_VERSION);
	kt_json_put_string(w, "type", HEAD_TYPE);
	kt_json_put_string(w, "td", head->trust_domain);
	kt_json_put_u64(w, "seq", head->seq);
	kt_json_put_hex(w, "hash", head->hash, sizeof(head->hash));
	kt_json_put_u64(w, "time", (uint64_t)head->time_us);
	kt_json_close_object(w);
	err = kt_json_writer_take(w, out, out_len);
	kt_json_writer_free(w);
	return err;
}

/* Looked at first, as in a message: whatever else a newer one holds. */
static enum kt_err check_version(const struct kt_json_value *root)
{
	const struct kt_json_value *v = kt_json_member(root, "v");

	if (v == NULL || !kt_json_is(v, KT_JSON_NUMBER))
		return KT_ERR_INVALID;
	return kt_json_value_number(v) == KT_PROTOCOL_VERSION ? KT_ERR_OK : KT_ERR_VERSION;
}

static enum kt_err read_members(const struct kt_json_value *root, struct kt_head *out)
{
	static const struct kt_json_rule rules[] = {
		{"v", KT_JSON_NUMBER, true, 0},
		{"type", KT_JSON_STRING, true, sizeof(HEAD_TYPE) - 1},
		{"td", KT_JSON_STRING, true, KT_TRUST_DOMAIN_MAX},
		{"seq", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"hash", KT_JSON_STRING, true, KT_HEX_LEN(sizeof(out->hash))},
		{"time", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}};
	const char *bad_field = NULL;
	const char *seq;
	const char *hash;
	const char *time;
	uint64_t time_us = 0;

	if (kt_json_check(root, rules, sizeof(rules) / sizeof(rules[0]), &bad_field) != KT_ERR_OK ||
	    strcmp(kt_json_string(root, "type"), HEAD_TYPE) != 0)
		return KT_ERR_INVALID;
	memcpy(out->trust_domain, kt_json_string(root, "td"),
	       strlen(kt_json_string(root, "td")) + 1);
	seq = kt_json_string(root, "seq");
	hash = kt_json_string(root, "hash");
	time = kt_json_string(root, "time");
	if (kt_u64_decode(seq, strlen(seq), &out->seq) != KT_ERR_OK ||
	    kt_hex_decode(hash, strlen(hash), out->hash, sizeof(out->hash)) != KT_ERR_OK ||
	    kt_u64_decode(time, strlen(time), &time_us) != KT_ERR_OK || time_us > INT64_MAX)
		return KT_ERR_INVALID;
	out->time_us = (int64_t)time_us;
	return is_complete(out) ? KT_ERR_OK : KT_ERR_INVALID;
}

enum kt_err kt_head_decode(const uint8_t *payload, size_t len, struct kt_head *out)
{
	static const struct kt_json_limits limits = {KT_PAYLOAD_MAX, KT_JSON_DEPTH_MAX,
						     KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	err = kt_json_parse(payload, len, &limits, &json);
	if (err == KT_ERR_OK && !kt_json_is(kt_json_root(json), KT_JSON_OBJECT))
		err = KT_ERR_INVALID;
	if (err == KT_ERR_OK)
		err = check_version(kt_json_root(json));
	if (err == KT_ERR_OK)
		err = read_members(kt_json_root(json), out);
	kt_json_free(json);
	if (err == KT_ERR_OK)
		return KT_ERR_OK;
	memset(out, 0, sizeof(*out));
	return err == KT_ERR_TOO_LONG ? KT_ERR_INVALID : err;
}

/* Who signed it. */
static enum kt_err verify(const struct kt_jws *jws, struct kt_bytes root_der,
			  const char *trust_domain, uint32_t *controller_n)
{
	const struct kt_bytes chain = {jws->x5c, jws->x5c_len};
	struct kt_public_key key;
	enum kt_reason reason;
	enum kt_dates dates;
	enum kt_err err;

	err = kt_chain_verify(root_der, &chain, 1, -1, &dates);
	if (err == KT_ERR_OK)
		err = kt_jws_controller(jws, trust_domain, &key, controller_n);
	if (err == KT_ERR_OK)
		err = kt_jws_verify(jws, &key, &reason);
	return err == KT_ERR_OK || err == KT_ERR_NOMEM ? err : KT_ERR_VERIFY;
}

enum kt_err kt_head_open(struct kt_bytes text, struct kt_bytes root_der, struct kt_head *out,
			 uint32_t *controller_n)
{
	struct kt_jws jws;
	enum kt_reason reason;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	*controller_n = 0;
	err = kt_jws_decode(text.p, text.len, KT_JWS_HEAD, &jws, &reason);
	if (err != KT_ERR_OK)
		return err;
	err = kt_head_decode(jws.payload, jws.payload_len, out);
	if (err == KT_ERR_OK)
		err = verify(&jws, root_der, out->trust_domain, controller_n);
	kt_jws_clear(&jws);
	return err;
}
