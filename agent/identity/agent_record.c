#include "agent_record.h"

#include "crypto.h"
#include "encoding.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { HASH_HEX = 64, JSON_MAX = KT_AGENT_RECORD_BLOCK - HASH_HEX - 3 };

static const char *const phases[] = {
	[KT_AGENT_NEW] = "new",
	[KT_AGENT_STABLE] = "stable",
	[KT_AGENT_KEY] = "key",
	[KT_AGENT_CERT] = "cert",
};
static const char *const steps[] = {
	[KT_STEP_NONE] = "none", [KT_STEP_LINK] = "link",	  [KT_STEP_HOOKS] = "hooks",
	[KT_STEP_WIPE] = "wipe", [KT_STEP_PROMOTED] = "promoted",
};

static bool is_distinct(const struct kt_agent_record *r)
{
	uint64_t a = r->active.dir;
	uint64_t p = r->pending.dir;
	uint64_t t = r->retired.dir;

	return (a == 0 || (a != p && a != t)) && (p == 0 || p != t);
}

static bool has_names(const struct kt_agent_record *r)
{
	return kt_is_trust_domain(r->trust_domain, strlen(r->trust_domain)) &&
	       kt_is_device_id(r->device.s, strlen(r->device.s));
}

/* What every record that was ever saved fulfils; also the last defence against our own mistakes. */
static bool is_consistent(const struct kt_agent_record *r)
{
	bool has_active = r->active.dir != 0;
	bool has_pending = r->pending.dir != 0;

	if (r->seq == 0 || !is_distinct(r) || r->op > KT_OP_MAX)
		return false;
	switch (r->phase) {
	case KT_AGENT_NEW:
		return !has_active &&
		       (r->trust_domain[0] == '\0' ||
			kt_is_trust_domain(r->trust_domain, strlen(r->trust_domain)));
	case KT_AGENT_STABLE:
		return has_active && !has_pending && has_names(r);
	case KT_AGENT_KEY:
		return has_active && has_pending && has_names(r);
	case KT_AGENT_CERT: /* without an active one: an enrolment's */
		return has_pending && has_names(r);
	}
	return false;
}

static void put_slot(struct kt_json_writer *w, const char *name, const struct kt_slot *slot)
{
	kt_json_open_object(w, name);
	kt_json_put_u64(w, "dir", slot->dir);
	kt_json_put_u64(w, "op", slot->op);
	kt_json_put_number(w, "generation", slot->generation);
	kt_json_put_string(w, "alg", kt_alg_name(slot->alg));
	kt_json_put_hex(w, "fp", slot->fp.b, sizeof(slot->fp.b));
	kt_json_close_object(w);
}

static void put_record(struct kt_json_writer *w, const struct kt_agent_record *r)
{
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", KT_AGENT_RECORD_VERSION);
	kt_json_put_u64(w, "seq", r->seq);
	kt_json_put_string(w, "td", r->trust_domain);
	kt_json_put_string(w, "device", r->device.s);
	kt_json_put_string(w, "phase", phases[r->phase]);
	put_slot(w, "active", &r->active);
	put_slot(w, "pending", &r->pending);
	put_slot(w, "retired", &r->retired);
	kt_json_put_u64(w, "op", r->op);
	kt_json_put_b64url(w, "nonce", r->op_nonce.b, sizeof(r->op_nonce.b));
	kt_json_put_string(w, "step", steps[r->step]);
	kt_json_put_u64(w, "step_op", r->step_op);
	kt_json_put_number(w, "controller", r->controller_n);
	kt_json_put_number(w, "floor", r->floor_s);
	if (r->has_root)
		kt_json_put_hex(w, "root", r->root_sha256, sizeof(r->root_sha256));
	if (r->has_ticket)
		kt_json_put_hex(w, "ticket", r->ticket_sha256, sizeof(r->ticket_sha256));
	kt_json_close_object(w);
}

static enum kt_err hash_hex(const uint8_t *text, size_t len, char out[static HASH_HEX + 1])
{
	uint8_t hash[32];

	kt_sha256(text, len, hash);
	return kt_hex_encode(hash, sizeof(hash), out, HASH_HEX + 1);
}

enum kt_err kt_agent_record_encode(const struct kt_agent_record *record,
				   uint8_t out[static KT_AGENT_RECORD_BLOCK])
{
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;
	char hash[HASH_HEX + 1];
	enum kt_err err = KT_ERR_INVALID;

	memset(out, ' ', KT_AGENT_RECORD_BLOCK);
	if (!is_consistent(record) || (size_t)record->step >= sizeof(steps) / sizeof(steps[0]))
		goto out;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		goto out;
	put_record(w, record);
	err = kt_json_writer_take(w, &text, &len);
	if (err != KT_ERR_OK)
		goto out;
	err = KT_ERR_INVALID;
	if (len > JSON_MAX)
		goto out;
	err = hash_hex((const uint8_t *)text, len, hash);
	if (err != KT_ERR_OK)
		goto out;
	memcpy(out, text, len);
	out[len] = '\n';
	memcpy(out + len + 1, hash, HASH_HEX);
	out[len + 1 + HASH_HEX] = '\n';
	out[KT_AGENT_RECORD_BLOCK - 1] = '\n';
out:
	free(text);
	kt_json_writer_free(w);
	return err;
}

/* The JSON of a whole block; false if a byte is not as it was written. */
static bool check_block(const uint8_t *block, size_t len, size_t *json_len)
{
	const uint8_t *end =
		len == KT_AGENT_RECORD_BLOCK ? memchr(block, '\n', JSON_MAX + 1) : NULL;
	char hash[HASH_HEX + 1];
	size_t at = 0;

	if (end == NULL)
		return false;
	*json_len = (size_t)(end - block);
	if (hash_hex(block, *json_len, hash) != KT_ERR_OK || memcmp(end + 1, hash, HASH_HEX) != 0 ||
	    end[1 + HASH_HEX] != '\n')
		return false;
	for (at = *json_len + HASH_HEX + 2; at < KT_AGENT_RECORD_BLOCK - 1; at++) {
		if (block[at] != ' ')
			return false;
	}
	return block[KT_AGENT_RECORD_BLOCK - 1] == '\n';
}

static bool get_u64(const struct kt_json_value *object, const char *name, uint64_t *out)
{
	const char *text = kt_json_string(object, name);

	return text != NULL && kt_u64_decode(text, strlen(text), out) == KT_ERR_OK;
}

static bool get_u32(const struct kt_json_value *object, const char *name, uint32_t *out)
{
	int64_t n = kt_json_number(object, name);

	if (n < 0 || n > (int64_t)UINT32_MAX)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool get_hash(const struct kt_json_value *object, const char *name, uint8_t out[static 32],
		     bool *has)
{
	const char *text = kt_json_string(object, name);

	*has = text != NULL;
	return text == NULL || kt_hex_decode(text, strlen(text), out, 32) == KT_ERR_OK;
}

static bool get_name(const struct kt_json_value *object, const char *name, const char *const *names,
		     size_t count, size_t *out)
{
	const char *text = kt_json_string(object, name);

	for (*out = 0; text != NULL && *out < count; (*out)++) {
		if (strcmp(text, names[*out]) == 0)
			return true;
	}
	return false;
}

static bool get_slot(const struct kt_json_value *root, const char *name, struct kt_slot *out)
{
	static const struct kt_json_rule rules[] = {
		{"dir", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"op", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"generation", KT_JSON_NUMBER, true, 0},
		{"alg", KT_JSON_STRING, true, 16},
		{"fp", KT_JSON_STRING, true, HASH_HEX},
	};
	const struct kt_json_value *slot = kt_json_member(root, name);
	const char *bad = NULL;
	const char *alg = NULL;
	bool has_fp = false;

	if (kt_json_check(slot, rules, sizeof(rules) / sizeof(rules[0]), &bad) != KT_ERR_OK)
		return false;
	alg = kt_json_string(slot, "alg");
	out->alg = kt_alg_from_name(alg);
	return strcmp(kt_alg_name(out->alg), alg) == 0 && get_u64(slot, "dir", &out->dir) &&
	       get_u64(slot, "op", &out->op) && get_u32(slot, "generation", &out->generation) &&
	       get_hash(slot, "fp", out->fp.b, &has_fp);
}

static bool get_texts(const struct kt_json_value *root, struct kt_agent_record *out)
{
	const char *td = kt_json_string(root, "td");
	const char *device = kt_json_string(root, "device");
	const char *nonce = kt_json_string(root, "nonce");
	size_t nonce_len = 0;

	if (td == NULL || device == NULL || nonce == NULL)
		return false;
	memcpy(out->trust_domain, td, strlen(td) + 1);
	if (device[0] != '\0' && !kt_device_id_set(&out->device, device, strlen(device)))
		return false;
	return kt_b64url_decode(nonce, strlen(nonce), out->op_nonce.b, sizeof(out->op_nonce.b),
				&nonce_len) == KT_ERR_OK &&
	       nonce_len == sizeof(out->op_nonce.b);
}

static bool get_record(const struct kt_json_value *root, struct kt_agent_record *out)
{
	size_t phase = 0;
	size_t step = 0;

	if (!get_texts(root, out) ||
	    !get_name(root, "phase", phases, sizeof(phases) / sizeof(phases[0]), &phase) ||
	    !get_name(root, "step", steps, sizeof(steps) / sizeof(steps[0]), &step) ||
	    !get_slot(root, "active", &out->active) || !get_slot(root, "pending", &out->pending) ||
	    !get_slot(root, "retired", &out->retired) || !get_u64(root, "seq", &out->seq) ||
	    !get_u64(root, "op", &out->op) || !get_u64(root, "step_op", &out->step_op) ||
	    !get_u32(root, "controller", &out->controller_n) ||
	    !get_hash(root, "root", out->root_sha256, &out->has_root) ||
	    !get_hash(root, "ticket", out->ticket_sha256, &out->has_ticket))
		return false;
	out->floor_s = kt_json_number(root, "floor");
	out->phase = (enum kt_agent_phase)phase;
	out->step = (enum kt_agent_step)step;
	return is_consistent(out);
}

enum kt_err kt_agent_record_decode(const uint8_t *block, size_t len, struct kt_agent_record *out)
{
	static const struct kt_json_rule rules[] = {
		{"v", KT_JSON_NUMBER, true, 0},
		{"seq", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"td", KT_JSON_STRING, true, KT_TRUST_DOMAIN_MAX},
		{"device", KT_JSON_STRING, true, KT_DEVICE_ID_MAX},
		{"phase", KT_JSON_STRING, true, 16},
		{"active", KT_JSON_OBJECT, true, 0},
		{"pending", KT_JSON_OBJECT, true, 0},
		{"retired", KT_JSON_OBJECT, true, 0},
		{"op", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"nonce", KT_JSON_STRING, true, KT_B64URL_LEN(KT_NONCE_LEN)},
		{"step", KT_JSON_STRING, true, 16},
		{"step_op", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"controller", KT_JSON_NUMBER, true, 0},
		{"floor", KT_JSON_NUMBER, true, 0},
		{"root", KT_JSON_STRING, false, HASH_HEX},
		{"ticket", KT_JSON_STRING, false, HASH_HEX},
	};
	static const struct kt_json_limits limits = {JSON_MAX, KT_JSON_DEPTH_MAX,
						     KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	const struct kt_json_value *version = NULL;
	const char *bad = NULL;
	size_t json_len = 0;
	enum kt_err err = KT_ERR_CORRUPT;

	memset(out, 0, sizeof(*out));
	if (!check_block(block, len, &json_len))
		return KT_ERR_CORRUPT;
	err = kt_json_parse(block, json_len, &limits, &json);
	if (err == KT_ERR_NOMEM)
		return err;
	if (err != KT_ERR_OK)
		return KT_ERR_INVALID;
	/* before the members: a newer version may have others */
	version = kt_json_member(kt_json_root(json), "v");
	err = KT_ERR_INVALID;
	if (version != NULL && kt_json_is(version, KT_JSON_NUMBER) &&
	    kt_json_value_number(version) > KT_AGENT_RECORD_VERSION)
		err = KT_ERR_VERSION;
	else if (version != NULL &&
		 kt_json_check(kt_json_root(json), rules, sizeof(rules) / sizeof(rules[0]), &bad) ==
			 KT_ERR_OK &&
		 kt_json_value_number(version) == KT_AGENT_RECORD_VERSION &&
		 get_record(kt_json_root(json), out))
		err = KT_ERR_OK;
	kt_json_free(json);
	if (err != KT_ERR_OK)
		memset(out, 0, sizeof(*out));
	return err;
}
