#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "json.h"

enum {
	HASH_LEN = 32,
	HASH_HEX = 64,
	HEAD_RULES = 6, /* v, seq, prev, time, actor, kind */
	DER_TEXT_MAX = KT_B64URL_LEN(KT_CERT_MAX),
	NOTE_MAX = sizeof(((struct kt_record *)NULL)->note) - 1
};

static const struct {
	const char *name;
	unsigned fields;
} kinds[KT_RECORD_COUNT] = {
#define KT_RECORD_ROW(code, name, fields, text) [KT_RECORD_##code] = {name, (unsigned)(fields)},
	KT_RECORD_LIST(KT_RECORD_ROW)
#undef KT_RECORD_ROW
};

/* The members in the order in which they are written. */
static const struct {
	unsigned bit;
	struct kt_json_rule rule;
} members[] = {
	{KT_F_TRUST_DOMAIN, {"trust_domain", KT_JSON_STRING, true, KT_TRUST_DOMAIN_MAX}},
	{KT_F_DEVICE, {"device", KT_JSON_STRING, true, KT_DEVICE_ID_MAX}},
	{KT_F_NAME, {"name", KT_JSON_STRING, true, KT_DEVICE_ID_MAX}},
	{KT_F_GROUP, {"group", KT_JSON_STRING, false, KT_GROUP_MAX}},
	{KT_F_PATTERN, {"pattern", KT_JSON_STRING, false, KT_DEVICE_ID_MAX}},
	{KT_F_OP, {"op", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_NONCE, {"nonce", KT_JSON_STRING, true, KT_B64URL_LEN(KT_NONCE_LEN)}},
	{KT_F_ALG, {"alg", KT_JSON_STRING, true, 16}},
	{KT_F_DEADLINE, {"deadline", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_FP, {"fp", KT_JSON_STRING, true, HASH_HEX}},
	{KT_F_KEY_ID, {"key_id", KT_JSON_STRING, true, HASH_HEX}},
	{KT_F_GENERATION, {"generation", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_NOT_AFTER, {"not_after", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_TICKET, {"ticket", KT_JSON_STRING, true, HASH_HEX}},
	{KT_F_EXPIRES, {"expires", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_REASON, {"reason", KT_JSON_STRING, true, 64}},
	{KT_F_WIPE, {"wipe", KT_JSON_BOOL, true, 0}},
	{KT_F_HEAD, {"head", KT_JSON_STRING, true, HASH_HEX}},
	{KT_F_INDEX_SEQ, {"index_seq", KT_JSON_STRING, true, KT_U64_DIGITS_MAX}},
	{KT_F_STATUS, {"status", KT_JSON_STRING, true, 16}},
	{KT_F_FROZEN, {"frozen", KT_JSON_BOOL, true, 0}},
	{KT_F_ROLE, {"role", KT_JSON_STRING, true, 16}},
	{KT_F_NOTE, {"note", KT_JSON_STRING, false, NOTE_MAX}},
	{KT_F_DER, {"der", KT_JSON_STRING, true, DER_TEXT_MAX}},
};
enum { MEMBER_COUNT = sizeof(members) / sizeof(members[0]) };

const char *kt_record_kind_name(enum kt_record_kind kind)
{
	return (unsigned)kind < KT_RECORD_COUNT ? kinds[kind].name : "?";
}

static const char *const status_names[] = {"pending", "current",   "superseded",
					   "revoked", "abandoned", "lost"};

const char *kt_credential_status_name(enum kt_credential_status s)
{
	return (unsigned)s <= KT_CREDENTIAL_LOST ? status_names[s] : "?";
}

bool kt_credential_status_from_name(const char *name, enum kt_credential_status *out)
{
	for (unsigned i = 0; i <= KT_CREDENTIAL_LOST; i++) {
		if (strcmp(status_names[i], name) == 0) {
			*out = (enum kt_credential_status)i;
			return true;
		}
	}
	return false;
}

/* Members that a kind has, but that this kind may leave out. */
static unsigned optional_fields(enum kt_record_kind kind)
{
	unsigned optional = KT_F_GROUP | KT_F_PATTERN | KT_F_NOTE;

	if (kind == KT_RECORD_DEVICE_CREATE)
		optional |= KT_F_KEY_ID | KT_F_ALG;
	if (kind == KT_RECORD_TICKET_CREATE)
		optional |= KT_F_DEVICE;
	if (kind == KT_RECORD_ISSUE)
		optional |= KT_F_TICKET;
	if (kind == KT_RECORD_RESTORE_DEVICE)
		optional |= KT_F_OP | KT_F_GENERATION;
	if (kind == KT_RECORD_RESTORE_CREDENTIAL)
		optional |= KT_F_OP | KT_F_GENERATION;
	if (kind == KT_RECORD_IMPORT)
		optional |= KT_F_ALG;
	return optional;
}

/* Is an optional (or required) member there? Numbers and hashes always are where they are used. */
static bool has_member(const struct kt_record *r, unsigned bit)
{
	switch (bit) {
	case KT_F_DEVICE:
		return r->device.s[0] != '\0';
	case KT_F_GROUP:
		return r->group[0] != '\0';
	case KT_F_PATTERN:
		return r->pattern[0] != '\0';
	case KT_F_NOTE:
		return r->note[0] != '\0';
	case KT_F_OP:
		return r->op > 0 || (optional_fields(r->kind) & KT_F_OP) == 0;
	case KT_F_GENERATION:
		return r->generation > 0 || (optional_fields(r->kind) & KT_F_GENERATION) == 0;
	case KT_F_KEY_ID: /* elsewhere it is not a choice */
		return r->has_key_id || r->kind != KT_RECORD_DEVICE_CREATE;
	case KT_F_ALG:
		return r->alg != KT_ALG_NONE;
	case KT_F_TICKET:
		return r->has_ticket || r->kind != KT_RECORD_ISSUE;
	default:
		return true;
	}
}

/* Characters of an id; in a pattern also '*', which stands for any run of them. */
static bool is_name(const char *s, bool is_pattern)
{
	static const char alphabet[] = "*ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789._-";

	return strspn(s, is_pattern ? alphabet : alphabet + 1) == strlen(s);
}

static bool is_member_valid(const struct kt_record *r, unsigned bit)
{
	switch (bit) {
	case KT_F_DEVICE:
		return kt_is_device_id(r->device.s, strnlen(r->device.s, sizeof(r->device.s)));
	case KT_F_NAME:
		return kt_is_device_id(r->name.s, strnlen(r->name.s, sizeof(r->name.s)));
	case KT_F_ROLE:
		return r->role > KT_ROLE_NONE && r->role < KT_ROLE_COUNT;
	case KT_F_GROUP:
		return is_name(r->group, false);
	case KT_F_PATTERN:
		return is_name(r->pattern, true);
	case KT_F_OP:
		return r->op > 0;
	case KT_F_ALG:
		return r->alg == KT_ALG_ES256;
	case KT_F_DEADLINE:
		return r->deadline_us >= 0;
	case KT_F_GENERATION:
		return r->generation > 0;
	case KT_F_NOT_AFTER:
		return r->not_after_s >= 0;
	case KT_F_EXPIRES:
		return r->expires_us >= 0;
	case KT_F_REASON:
		return r->reason > KT_REASON_NONE && r->reason < KT_REASON_COUNT;
	case KT_F_STATUS:
		return (unsigned)r->status <= KT_CREDENTIAL_LOST;
	case KT_F_TRUST_DOMAIN:
		return kt_is_trust_domain(r->trust_domain, strlen(r->trust_domain));
	case KT_F_DER:
		return r->der.p != NULL && r->der.len > 0 && r->der.len <= KT_CERT_MAX;
	default:
		return true;
	}
}

/*
 * One rule set for both directions: what could not be read back is never written. A key comes with
 * its algorithm; a ticket is for one device, or for a pattern.
 */
static bool is_valid(const struct kt_record *r)
{
	unsigned fields;

	if ((unsigned)r->kind >= KT_RECORD_COUNT || r->seq == 0 || r->time_us < 0 ||
	    r->actor[0] == '\0')
		return false;
	fields = kinds[r->kind].fields;
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		unsigned bit = members[i].bit;

		if ((fields & bit) == 0)
			continue;
		if (has_member(r, bit) ? !is_member_valid(r, bit)
				       : (optional_fields(r->kind) & bit) == 0)
			return false;
	}
	if (r->kind == KT_RECORD_DEVICE_CREATE && r->has_key_id != (r->alg != KT_ALG_NONE))
		return false;
	if (r->kind == KT_RECORD_TICKET_CREATE &&
	    (r->device.s[0] != '\0') == (r->pattern[0] != '\0'))
		return false;
	return true;
}

/* NULL: the member is no hash. */
static const uint8_t *hash_of(const struct kt_record *r, unsigned bit)
{
	switch (bit) {
	case KT_F_FP:
		return r->fp.b;
	case KT_F_KEY_ID:
		return r->key_id.b;
	case KT_F_TICKET:
		return r->ticket_sha256;
	case KT_F_HEAD:
		return r->head;
	default:
		return NULL;
	}
}

/* NULL: the member is no text. */
static const char *text_of(const struct kt_record *r, unsigned bit)
{
	switch (bit) {
	case KT_F_TRUST_DOMAIN:
		return r->trust_domain;
	case KT_F_DEVICE:
		return r->device.s;
	case KT_F_NAME:
		return r->name.s;
	case KT_F_ROLE:
		return kt_role_name(r->role);
	case KT_F_GROUP:
		return r->group;
	case KT_F_PATTERN:
		return r->pattern;
	case KT_F_ALG:
		return kt_alg_name(r->alg);
	case KT_F_REASON:
		return kt_reason_name(r->reason);
	case KT_F_STATUS:
		return kt_credential_status_name(r->status);
	case KT_F_NOTE:
		return r->note;
	default:
		return NULL;
	}
}

static uint64_t number_of(const struct kt_record *r, unsigned bit)
{
	switch (bit) {
	case KT_F_OP:
		return r->op;
	case KT_F_DEADLINE:
		return (uint64_t)r->deadline_us;
	case KT_F_GENERATION:
		return r->generation;
	case KT_F_NOT_AFTER:
		return (uint64_t)r->not_after_s;
	case KT_F_EXPIRES:
		return (uint64_t)r->expires_us;
	default:
		return r->index_seq;
	}
}

static void put_member(struct kt_json_writer *w, const struct kt_record *r, size_t member)
{
	const char *name = members[member].rule.name;
	const unsigned bit = members[member].bit;

	if (text_of(r, bit) != NULL)
		kt_json_put_string(w, name, text_of(r, bit));
	else if (hash_of(r, bit) != NULL)
		kt_json_put_hex(w, name, hash_of(r, bit), HASH_LEN);
	else if (bit == KT_F_NONCE)
		kt_json_put_b64url(w, name, r->nonce.b, sizeof(r->nonce.b));
	else if (bit == KT_F_DER)
		kt_json_put_b64url(w, name, r->der.p, r->der.len);
	else if (members[member].rule.type == KT_JSON_BOOL)
		kt_json_put_bool(w, name, bit == KT_F_WIPE ? r->wipe : r->frozen);
	else
		kt_json_put_u64(w, name, number_of(r, bit));
}

enum kt_err kt_record_encode(const struct kt_record *record, const uint8_t prev[static 32],
			     char **out, size_t *out_len)
{
	struct kt_json_writer *w = NULL;
	char *text = NULL;
	size_t len = 0;
	enum kt_err err;

	*out = NULL;
	*out_len = 0;
	if (!is_valid(record))
		return KT_ERR_INVALID;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		goto out;
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", KT_RECORD_VERSION);
	kt_json_put_u64(w, "seq", record->seq);
	kt_json_put_hex(w, "prev", prev, HASH_LEN);
	kt_json_put_u64(w, "time", (uint64_t)record->time_us);
	kt_json_put_string(w, "actor", record->actor);
	kt_json_put_string(w, "kind", kt_record_kind_name(record->kind));
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		if ((kinds[record->kind].fields & members[i].bit) != 0 &&
		    has_member(record, members[i].bit))
			put_member(w, record, i);
	}
	kt_json_close_object(w);
	err = kt_json_writer_take(w, &text, &len);
	if (err != KT_ERR_OK)
		goto out;
	if (len > KT_RECORD_TEXT_MAX) {
		err = KT_ERR_INVALID;
		goto out;
	}
	*out = text;
	*out_len = len;
	text = NULL; /* moved */
out:
	free(text);
	kt_json_writer_free(w);
	return err;
}

/* --- decode ---------------------------------------------------------------------------------- */

static enum kt_err get_u64(const struct kt_json_value *v, uint64_t max, uint64_t *out)
{
	const char *text = kt_json_value_string(v);

	if (kt_u64_decode(text, strlen(text), out) != KT_ERR_OK || *out > max)
		return KT_ERR_INVALID;
	return KT_ERR_OK;
}

static enum kt_err get_i64(const struct kt_json_value *v, int64_t *out)
{
	uint64_t value;

	if (get_u64(v, INT64_MAX, &value) != KT_ERR_OK)
		return KT_ERR_INVALID;
	*out = (int64_t)value;
	return KT_ERR_OK;
}

static enum kt_err get_hash(const struct kt_json_value *v, uint8_t out[static HASH_LEN])
{
	const char *text = kt_json_value_string(v);

	return kt_hex_decode(text, strlen(text), out, HASH_LEN);
}

/* @out is zeroed and holds @cap bytes; an empty string is refused: it would have been left out. */
static enum kt_err get_text(const struct kt_json_value *v, char *out, size_t cap)
{
	const char *text = kt_json_value_string(v);
	size_t len = strlen(text);

	if (len == 0 || len >= cap)
		return KT_ERR_INVALID;
	memcpy(out, text, len + 1);
	return KT_ERR_OK;
}

static enum kt_err get_generation(const struct kt_json_value *v, struct kt_record *r)
{
	uint64_t value;

	if (get_u64(v, UINT32_MAX, &value) != KT_ERR_OK || value == 0)
		return KT_ERR_INVALID;
	r->generation = (uint32_t)value;
	return KT_ERR_OK;
}

static enum kt_err get_nonce(const struct kt_json_value *v, struct kt_record *r)
{
	const char *text = kt_json_value_string(v);
	size_t len;

	if (kt_b64url_decode(text, strlen(text), r->nonce.b, sizeof(r->nonce.b), &len) !=
		    KT_ERR_OK ||
	    len != sizeof(r->nonce.b))
		return KT_ERR_INVALID;
	return KT_ERR_OK;
}

static enum kt_err get_der(const struct kt_json_value *v, struct kt_record *r)
{
	const char *text = kt_json_value_string(v);
	size_t cap = strlen(text); /* more than the bytes need */
	size_t len = 0;

	r->storage = malloc(cap + 1);
	if (r->storage == NULL)
		return KT_ERR_NOMEM;
	if (kt_b64url_decode(text, cap, r->storage, cap + 1, &len) != KT_ERR_OK)
		return KT_ERR_INVALID;
	r->der = (struct kt_bytes){r->storage, len};
	return KT_ERR_OK;
}

#define TEXT(bit, member)                                                                          \
	{                                                                                          \
		bit, offsetof(struct kt_record, member), sizeof(((struct kt_record *)0)->member)   \
	}
static const struct {
	unsigned bit;
	size_t offset;
	size_t size;
} texts[] = {
	TEXT(KT_F_TRUST_DOMAIN, trust_domain),
	TEXT(KT_F_DEVICE, device.s),
	TEXT(KT_F_NAME, name.s),
	TEXT(KT_F_GROUP, group),
	TEXT(KT_F_PATTERN, pattern),
	TEXT(KT_F_NOTE, note),
};

static enum kt_err get_member(const struct kt_json_value *v, unsigned bit, struct kt_record *r)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].bit == bit)
			return get_text(v, (char *)r + texts[i].offset, texts[i].size);
	}
	switch (bit) {
	case KT_F_ROLE:
		r->role = kt_role_from_name(kt_json_value_string(v));
		return KT_ERR_OK; /* NONE is refused by is_valid */
	case KT_F_OP:
		/* none is written by leaving it out */
		return get_u64(v, UINT64_MAX, &r->op) == KT_ERR_OK && r->op > 0 ? KT_ERR_OK
										: KT_ERR_INVALID;
	case KT_F_NONCE:
		return get_nonce(v, r);
	case KT_F_ALG:
		r->alg = kt_alg_from_name(kt_json_value_string(v));
		return r->alg == KT_ALG_NONE ? KT_ERR_INVALID : KT_ERR_OK;
	case KT_F_DEADLINE:
		return get_i64(v, &r->deadline_us);
	case KT_F_FP:
		return get_hash(v, r->fp.b);
	case KT_F_KEY_ID:
		r->has_key_id = true;
		return get_hash(v, r->key_id.b);
	case KT_F_GENERATION:
		return get_generation(v, r);
	case KT_F_NOT_AFTER:
		return get_i64(v, &r->not_after_s);
	case KT_F_TICKET:
		r->has_ticket = true;
		return get_hash(v, r->ticket_sha256);
	case KT_F_EXPIRES:
		return get_i64(v, &r->expires_us);
	case KT_F_REASON:
		r->reason = kt_reason_from_name(kt_json_value_string(v));
		return KT_ERR_OK; /* NONE is refused by is_valid */
	case KT_F_WIPE:
		r->wipe = kt_json_value_bool(v);
		return KT_ERR_OK;
	case KT_F_HEAD:
		return get_hash(v, r->head);
	case KT_F_INDEX_SEQ:
		return get_u64(v, UINT64_MAX, &r->index_seq);
	case KT_F_STATUS:
		return kt_credential_status_from_name(kt_json_value_string(v), &r->status)
			       ? KT_ERR_OK
			       : KT_ERR_INVALID;
	case KT_F_FROZEN:
		r->frozen = kt_json_value_bool(v);
		return KT_ERR_OK;
	default:
		return get_der(v, r);
	}
}

static enum kt_err get_kind(const struct kt_json_value *root, enum kt_record_kind *out)
{
	const struct kt_json_value *v = kt_json_member(root, "kind");

	if (v == NULL || !kt_json_is(v, KT_JSON_STRING))
		return KT_ERR_INVALID;
	for (size_t i = 0; i < KT_RECORD_COUNT; i++) {
		if (strcmp(kinds[i].name, kt_json_value_string(v)) == 0) {
			*out = (enum kt_record_kind)i;
			return KT_ERR_OK;
		}
	}
	return KT_ERR_INVALID;
}

/* Exactly the members of this kind, each of its type and size. */
static enum kt_err check_members(const struct kt_json_value *root, enum kt_record_kind kind)
{
	struct kt_json_rule rules[HEAD_RULES + MEMBER_COUNT] = {
		{"v", KT_JSON_NUMBER, true, 0},
		{"seq", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"prev", KT_JSON_STRING, true, HASH_HEX},
		{"time", KT_JSON_STRING, true, KT_U64_DIGITS_MAX},
		{"actor", KT_JSON_STRING, true, KT_ACTOR_MAX},
		{"kind", KT_JSON_STRING, true, 32},
	};
	const char *bad_field = NULL;
	size_t count = HEAD_RULES;

	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		if ((kinds[kind].fields & members[i].bit) == 0)
			continue;
		rules[count] = members[i].rule;
		rules[count].required = (optional_fields(kind) & members[i].bit) == 0;
		count++;
	}
	return kt_json_check(root, rules, count, &bad_field) == KT_ERR_OK ? KT_ERR_OK
									  : KT_ERR_INVALID;
}

static enum kt_err decode_root(const struct kt_json_value *root, struct kt_record *out,
			       uint8_t prev[static HASH_LEN])
{
	enum kt_err err;

	/* The version first: a newer record may have members that we do not know. */
	if (kt_json_member(root, "v") == NULL ||
	    !kt_json_is(kt_json_member(root, "v"), KT_JSON_NUMBER))
		return KT_ERR_INVALID;
	if (kt_json_number(root, "v") > KT_RECORD_VERSION)
		return KT_ERR_VERSION;
	if (kt_json_number(root, "v") != KT_RECORD_VERSION ||
	    get_kind(root, &out->kind) != KT_ERR_OK ||
	    check_members(root, out->kind) != KT_ERR_OK ||
	    get_u64(kt_json_member(root, "seq"), UINT64_MAX, &out->seq) != KT_ERR_OK ||
	    get_hash(kt_json_member(root, "prev"), prev) != KT_ERR_OK ||
	    get_i64(kt_json_member(root, "time"), &out->time_us) != KT_ERR_OK ||
	    get_text(kt_json_member(root, "actor"), out->actor, sizeof(out->actor)) != KT_ERR_OK)
		return KT_ERR_INVALID;
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		const struct kt_json_value *v = kt_json_member(root, members[i].rule.name);

		if (v == NULL)
			continue;
		err = get_member(v, members[i].bit, out);
		if (err != KT_ERR_OK)
			return err == KT_ERR_NOMEM ? err : KT_ERR_INVALID;
	}
	return is_valid(out) ? KT_ERR_OK : KT_ERR_INVALID;
}

enum kt_err kt_record_decode(const char *text, size_t len, struct kt_record *out,
			     uint8_t prev[static 32])
{
	static const struct kt_json_limits limits = {.size_max = KT_RECORD_TEXT_MAX,
						     .depth_max = KT_JSON_DEPTH_MAX,
						     .tokens_max = KT_JSON_TOKENS_MAX};
	struct kt_json *json = NULL;
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	memset(prev, 0, HASH_LEN);
	err = kt_json_parse((const uint8_t *)text, len, &limits, &json);
	if (err != KT_ERR_OK)
		return err == KT_ERR_NOMEM ? err : KT_ERR_INVALID;
	err = decode_root(kt_json_root(json), out, prev);
	kt_json_free(json);
	if (err != KT_ERR_OK)
		kt_record_clear(out);
	return err;
}

void kt_record_clear(struct kt_record *record)
{
	free(record->storage);
	memset(record, 0, sizeof(*record));
}
