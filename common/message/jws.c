#include "jws.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "json.h"
#include "message.h"
#include "secmem.h"
#include "topic.h"

enum {
	SIGNATURE_TEXT = KT_B64URL_LEN(KT_SIGNATURE_MAX),
	HEADER_MAX = KT_CERT_MAX / 3 * 4 + 128, /* bytes of a protected header */
	HEADER_DEPTH = 2,
	HEADER_TOKENS = 8
};

static const char *const typs[] = {[KT_JWS_FROM_DEVICE] = KT_JWS_TYP_DEVICE,
				   [KT_JWS_FROM_CONTROLLER] = KT_JWS_TYP_CONTROLLER,
				   [KT_JWS_HEAD] = KT_JWS_TYP_HEAD};

/* Signed by the controller: with its certificate. */
static bool has_x5c(enum kt_jws_from from)
{
	return from != KT_JWS_FROM_DEVICE;
}

/* --- signing --- */

static enum kt_err header_of(enum kt_alg alg, enum kt_jws_from from, struct kt_bytes x5c,
			     char **out, size_t *out_len)
{
	char *cert = NULL;
	struct kt_json_writer *w = NULL;
	enum kt_err err = kt_json_writer_new(&w);

	if (err != KT_ERR_OK)
		return err;
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "alg", kt_alg_name(alg));
	kt_json_put_string(w, "typ", typs[from]);
	if (has_x5c(from)) {
		size_t cap = (x5c.len + 2) / 3 * 4 + 1;

		cert = malloc(cap);
		if (cert == NULL) {
			err = KT_ERR_NOMEM;
			goto out;
		}
		err = kt_b64_encode(x5c.p, x5c.len, cert, cap);
		if (err != KT_ERR_OK)
			goto out;
		kt_json_open_array(w, "x5c");
		kt_json_put_string(w, NULL, cert);
		kt_json_close_array(w);
	}
	kt_json_close_object(w);
	err = kt_json_writer_take(w, out, out_len);
out:
	kt_json_writer_free(w);
	free(cert);
	return err;
}

/* base64url(header) "." base64url(payload), NUL-terminated (RFC 7515 section 5.1). */
static enum kt_err signing_input_of(struct kt_bytes header, struct kt_bytes payload, char **out)
{
	size_t header_len = KT_B64URL_LEN(header.len);
	size_t cap = header_len + 1 + KT_B64URL_LEN(payload.len) + 1;
	char *text = malloc(cap);
	enum kt_err err;

	*out = NULL;
	if (text == NULL)
		return KT_ERR_NOMEM;
	err = kt_b64url_encode(header.p, header.len, text, cap);
	if (err == KT_ERR_OK) {
		text[header_len] = '.';
		err = kt_b64url_encode(payload.p, payload.len, text + header_len + 1,
				       cap - header_len - 1);
	}
	if (err != KT_ERR_OK) {
		free(text);
		return err;
	}
	*out = text;
	return KT_ERR_OK;
}

/* Splits @input at its dot for the two members. */
static enum kt_err flatten(char *input, const uint8_t sig[static KT_SIGNATURE_MAX], char **out,
			   size_t *out_len)
{
	char *dot = strchr(input, '.');
	struct kt_json_writer *w = NULL;
	enum kt_err err = kt_json_writer_new(&w);

	if (err != KT_ERR_OK)
		return err;
	if (dot == NULL) {
		kt_json_writer_free(w);
		return KT_ERR_INTERNAL;
	}
	*dot = '\0';
	kt_json_open_object(w, NULL);
	kt_json_put_string(w, "protected", input);
	kt_json_put_string(w, "payload", dot + 1);
	kt_json_put_b64url(w, "signature", sig, KT_SIGNATURE_MAX);
	kt_json_close_object(w);
	err = kt_json_writer_take(w, out, out_len);
	kt_json_writer_free(w);
	return err;
}

static enum kt_err check_request(const struct kt_signer *signer, enum kt_jws_from from,
				 size_t x5c_len, size_t payload_len)
{
	if (signer->alg != KT_ALG_ES256)
		return KT_ERR_UNSUPPORTED;
	if (payload_len > KT_PAYLOAD_MAX || x5c_len > KT_CERT_MAX)
		return KT_ERR_TOO_LONG;
	if (payload_len == 0 || has_x5c(from) != (x5c_len > 0))
		return KT_ERR_INVALID;
	return KT_ERR_OK;
}

enum kt_err kt_jws_sign(const struct kt_signer *signer, enum kt_jws_from from, struct kt_bytes x5c,
			struct kt_bytes payload, char **out, size_t *out_len)
{
	struct kt_bytes header_view = {NULL, 0};
	enum kt_err err = KT_ERR_INTERNAL;
	uint8_t sig[KT_SIGNATURE_MAX];
	char *header = NULL;
	char *input = NULL;
	char *text = NULL;
	size_t input_len = 0;
	size_t text_len = 0;

	*out = NULL;
	*out_len = 0;
	err = check_request(signer, from, x5c.len, payload.len);
	if (err != KT_ERR_OK)
		return err;
	err = header_of(signer->alg, from, x5c, &header, &header_view.len);
	if (err != KT_ERR_OK)
		goto out;
	header_view.p = (const uint8_t *)header;
	err = signing_input_of(header_view, payload, &input);
	if (err != KT_ERR_OK)
		goto out;
	/* A header begins with {" and so the input with eyJ: never a TLS or PKCS #10 input. */
	if (strncmp(input, "eyJ", 3) != 0) {
		err = KT_ERR_INTERNAL;
		goto out;
	}
	input_len = strlen(input);
	err = signer->sign(signer->ctx, (const uint8_t *)input, input_len, sig);
	if (err != KT_ERR_OK)
		goto out;
	err = flatten(input, sig, &text, &text_len);
	if (err != KT_ERR_OK)
		goto out;
	if (text_len > KT_MESSAGE_MAX) {
		err = KT_ERR_TOO_LONG;
		goto out;
	}
	*out = text;
	*out_len = text_len;
	text = NULL; /* moved */
out:
	if (input != NULL)
		kt_wipe(input, input_len); /* a payload can hold a ticket */
	free(header);
	free(input);
	free(text);
	return err;
}

/* --- reading --- */

static enum kt_err refuse(enum kt_reason why, enum kt_reason *reason)
{
	*reason = why;
	return KT_ERR_INVALID;
}

static enum kt_err no_memory(enum kt_reason *reason)
{
	*reason = KT_REASON_BUSY;
	return KT_ERR_NOMEM;
}

/* A member's bytes, allocated; @why where it is not canonical base64url. */
static enum kt_err decode_member(const char *text, enum kt_reason why, uint8_t **out,
				 size_t *out_len, enum kt_reason *reason)
{
	size_t len = strlen(text);
	size_t cap = len / 4 * 3 + 3;
	uint8_t *bytes;

	*out = NULL;
	if (len == 0)
		return refuse(why, reason);
	bytes = malloc(cap);
	if (bytes == NULL)
		return no_memory(reason);
	if (kt_b64url_decode(text, len, bytes, cap, out_len) != KT_ERR_OK) {
		free(bytes);
		return refuse(why, reason);
	}
	*out = bytes;
	return KT_ERR_OK;
}

/* Exactly one certificate: the chain ends at the pinned root (RFC 7515 section 4.1.6). */
static enum kt_err decode_x5c(const struct kt_json_value *header, struct kt_jws *out,
			      enum kt_reason *reason)
{
	const struct kt_json_value *list = kt_json_member(header, "x5c");
	const struct kt_json_value *item;
	const char *text;

	if (list == NULL || kt_json_array_len(list) != 1)
		return refuse(KT_REASON_JWS_HEADER, reason);
	item = kt_json_array_item(list, 0);
	if (!kt_json_is(item, KT_JSON_STRING))
		return refuse(KT_REASON_JWS_HEADER, reason);
	text = kt_json_value_string(item);
	out->x5c = malloc(KT_CERT_MAX);
	if (out->x5c == NULL)
		return no_memory(reason);
	if (kt_b64_decode(text, strlen(text), out->x5c, KT_CERT_MAX, &out->x5c_len) != KT_ERR_OK ||
	    out->x5c_len == 0)
		return refuse(KT_REASON_JWS_HEADER, reason);
	return KT_ERR_OK;
}

static enum kt_err read_header(const struct kt_json_value *header, enum kt_jws_from from,
			       struct kt_jws *out, enum kt_reason *reason)
{
	static const struct kt_json_rule rules[] = {{"alg", KT_JSON_STRING, true, 16},
						    {"typ", KT_JSON_STRING, true, 32},
						    {"x5c", KT_JSON_ARRAY, true, 1}};
	const char *bad_field = NULL;

	if (kt_json_check(header, rules, has_x5c(from) ? 3 : 2, &bad_field) != KT_ERR_OK ||
	    strcmp(kt_json_string(header, "typ"), typs[from]) != 0)
		return refuse(KT_REASON_JWS_HEADER, reason);
	out->alg = kt_alg_from_name(kt_json_string(header, "alg"));
	if (out->alg == KT_ALG_NONE)
		return refuse(KT_REASON_JWS_ALG, reason);
	return has_x5c(from) ? decode_x5c(header, out, reason) : KT_ERR_OK;
}

static enum kt_err decode_header(const char *text, enum kt_jws_from from, struct kt_jws *out,
				 enum kt_reason *reason)
{
	static const struct kt_json_limits limits = {HEADER_MAX, HEADER_DEPTH, HEADER_TOKENS};
	struct kt_json *json = NULL;
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum kt_err err = decode_member(text, KT_REASON_JWS_HEADER, &bytes, &len, reason);

	if (err != KT_ERR_OK)
		return err;
	err = kt_json_parse(bytes, len, &limits, &json);
	if (err == KT_ERR_OK)
		err = read_header(kt_json_root(json), from, out, reason);
	else if (err == KT_ERR_NOMEM)
		err = no_memory(reason);
	else
		err = refuse(KT_REASON_JWS_HEADER, reason);
	kt_json_free(json);
	free(bytes);
	return err;
}

static enum kt_err join(const char *header, const char *payload, struct kt_jws *out,
			enum kt_reason *reason)
{
	size_t header_len = strlen(header);
	size_t payload_len = strlen(payload);

	out->signing_input_len = header_len + 1 + payload_len;
	out->signing_input = malloc(out->signing_input_len);
	if (out->signing_input == NULL)
		return no_memory(reason);
	memcpy(out->signing_input, header, header_len);
	out->signing_input[header_len] = '.';
	memcpy(out->signing_input + header_len + 1, payload, payload_len);
	return KT_ERR_OK;
}

static enum kt_err read_members(const struct kt_json_value *root, enum kt_jws_from from,
				struct kt_jws *out, enum kt_reason *reason)
{
	static const struct kt_json_rule rules[] = {{"protected", KT_JSON_STRING, true, 0},
						    {"payload", KT_JSON_STRING, true, 0},
						    {"signature", KT_JSON_STRING, true, 0}};
	const char *bad_field = NULL;
	const char *sig;
	size_t sig_len = 0;
	enum kt_err err;

	if (kt_json_check(root, rules, 3, &bad_field) != KT_ERR_OK)
		return refuse(KT_REASON_JSON_FIELD, reason);
	err = decode_header(kt_json_string(root, "protected"), from, out, reason);
	if (err != KT_ERR_OK)
		return err;
	err = decode_member(kt_json_string(root, "payload"), KT_REASON_JSON_FIELD, &out->payload,
			    &out->payload_len, reason);
	if (err != KT_ERR_OK)
		return err;
	if (out->payload_len > KT_PAYLOAD_MAX)
		return refuse(KT_REASON_MSG_SIZE, reason);
	sig = kt_json_string(root, "signature");
	if (strlen(sig) != SIGNATURE_TEXT ||
	    kt_b64url_decode(sig, SIGNATURE_TEXT, out->signature, KT_SIGNATURE_MAX, &sig_len) !=
		    KT_ERR_OK ||
	    sig_len != KT_SIGNATURE_MAX)
		return refuse(KT_REASON_JWS_SIG, reason);
	return join(kt_json_string(root, "protected"), kt_json_string(root, "payload"), out,
		    reason);
}

enum kt_err kt_jws_decode(const uint8_t *text, size_t len, enum kt_jws_from from,
			  struct kt_jws *out, enum kt_reason *reason)
{
	static const struct kt_json_limits limits = {KT_MESSAGE_MAX, KT_JSON_DEPTH_MAX,
						     KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	*reason = KT_REASON_NONE;
	if (len > KT_MESSAGE_MAX)
		return refuse(KT_REASON_MSG_SIZE, reason);
	err = kt_json_parse(text, len, &limits, &json);
	if (err == KT_ERR_NOMEM)
		return no_memory(reason);
	if (err != KT_ERR_OK)
		return refuse(KT_REASON_JSON_SYNTAX, reason);
	out->from = from;
	err = read_members(kt_json_root(json), from, out, reason);
	kt_json_free(json);
	if (err != KT_ERR_OK)
		kt_jws_clear(out);
	return err;
}

enum kt_err kt_jws_verify(const struct kt_jws *jws, const struct kt_public_key *key,
			  enum kt_reason *reason)
{
	enum kt_err err;

	*reason = KT_REASON_NONE;
	if (jws->alg != key->alg || jws->alg == KT_ALG_NONE) {
		*reason = KT_REASON_JWS_ALG;
		return KT_ERR_VERIFY;
	}
	err = kt_verify(key, jws->signing_input, jws->signing_input_len, jws->signature,
			sizeof(jws->signature));
	if (err != KT_ERR_OK)
		*reason = err == KT_ERR_NOMEM ? KT_REASON_BUSY : KT_REASON_JWS_SIG;
	return err;
}

enum kt_err kt_jws_controller(const struct kt_jws *jws, const char *trust_domain,
			      struct kt_public_key *key, uint32_t *number)
{
	struct kt_cert cert;
	const char *name = NULL;
	uint64_t n = 0;
	enum kt_err err = kt_cert_decode(jws->x5c, jws->x5c_len, &cert);

	if (err != KT_ERR_OK)
		return err;
	if (cert.is_ca || cert.may_sign_certs || !cert.may_sign || cert.eku != KT_EKU_CONTROLLER)
		return KT_ERR_VERIFY;
	if (kt_uri_decode(cert.uri, trust_domain, &name) != KT_URI_CONTROLLER ||
	    kt_u64_decode(name, strlen(name), &n) != KT_ERR_OK || n == 0 || n > UINT32_MAX)
		return KT_ERR_VERIFY;
	*key = cert.key;
	*number = (uint32_t)n;
	return KT_ERR_OK;
}

void kt_jws_clear(struct kt_jws *jws)
{
	/* A payload can hold a ticket. */
	if (jws->payload != NULL)
		kt_wipe(jws->payload, jws->payload_len);
	if (jws->signing_input != NULL)
		kt_wipe(jws->signing_input, jws->signing_input_len);
	free(jws->payload);
	free(jws->signing_input);
	free(jws->x5c);
	memset(jws, 0, sizeof(*jws));
}
