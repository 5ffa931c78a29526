/*
 * The one text that kt_record_encode has for a record, and no other: members in their order, no
 * blanks, no second spelling of anything. A start reads millions of these.
 */
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "record_fields.h"

enum {
	HASH_LEN = KT_RECORD_HASH_LEN,
	DER_TEXT_MAX = KT_B64URL_LEN(KT_CERT_MAX),
	WORD_CAP = 64 /* names of algorithms, reasons, roles, states */
};

struct cursor {
	const char *p;
	const char *end;
};

struct word {
	const char *p;
	size_t len;
};

/* --- what stands there ------------------------------------------------------------------------ */

static bool take(struct cursor *in, const char *text, size_t len)
{
	if ((size_t)(in->end - in->p) < len || memcmp(in->p, text, len) != 0)
		return false;
	in->p += len;
	return true;
}

#define TAKE(in, literal) take(in, literal, sizeof(literal) - 1)

/* A string without escapes; the caller refuses what may not be in it, a backslash included. */
static bool take_word(struct cursor *in, struct word *out)
{
	const char *quote;

	if (!TAKE(in, "\""))
		return false;
	quote = memchr(in->p, '"', (size_t)(in->end - in->p));
	if (quote == NULL)
		return false;
	out->p = in->p;
	out->len = (size_t)(quote - in->p);
	in->p = quote + 1;
	return true;
}

/* The character of an escape that the writer makes; '\0': it makes no such one. */
static char take_escape(struct cursor *in)
{
	static const char shorts[] = "\b\f\n\r\t\"\\";
	static const char letters[] = "bfnrt\"\\";
	const char *found;
	uint8_t c;

	if (in->p == in->end)
		return '\0';
	found = memchr(letters, *in->p, sizeof(letters) - 1);
	if (found != NULL) {
		in->p++;
		return shorts[found - letters];
	}
	if (!TAKE(in, "u00") || in->end - in->p < 2 ||
	    kt_hex_decode(in->p, 2, &c, 1) != KT_ERR_OK || c >= ' ' ||
	    memchr(shorts, c, sizeof(shorts) - 1) != NULL)
		return '\0';
	in->p += 2;
	return (char)c;
}

/* @out is zeroed and holds @cap bytes; an empty string is refused: it would have been left out. */
static bool take_text(struct cursor *in, char *out, size_t cap)
{
	size_t len = 0;

	if (!TAKE(in, "\""))
		return false;
	while (in->p < in->end && *in->p != '"') {
		char c = *in->p++;

		if ((uint8_t)c < ' ' || len + 1 >= cap)
			return false;
		if (c == '\\')
			c = take_escape(in);
		if (c == '\0')
			return false;
		out[len++] = c;
	}
	return len > 0 && kt_is_utf8((const uint8_t *)out, len) && TAKE(in, "\"");
}

/* As a string, to be compared with names; "" for what is none of them. */
static bool take_name(struct cursor *in, char out[static WORD_CAP])
{
	struct word word;

	memset(out, 0, WORD_CAP);
	if (!take_word(in, &word) || word.len >= WORD_CAP)
		return false;
	memcpy(out, word.p, word.len);
	return true;
}

static bool take_u64(struct cursor *in, uint64_t max, uint64_t *out)
{
	struct word word;

	return take_word(in, &word) && kt_u64_decode(word.p, word.len, out) == KT_ERR_OK &&
	       *out <= max;
}

static bool take_i64(struct cursor *in, int64_t *out)
{
	uint64_t value;

	if (!take_u64(in, INT64_MAX, &value))
		return false;
	*out = (int64_t)value;
	return true;
}

static bool take_hash(struct cursor *in, uint8_t out[static HASH_LEN])
{
	struct word word;

	return take_word(in, &word) && kt_hex_decode(word.p, word.len, out, HASH_LEN) == KT_ERR_OK;
}

static bool take_bool(struct cursor *in, bool *out)
{
	*out = TAKE(in, "true");
	return *out || TAKE(in, "false");
}

/* --- members ---------------------------------------------------------------------------------- */

static bool take_generation(struct cursor *in, struct kt_record *r)
{
	uint64_t value;

	if (!take_u64(in, UINT32_MAX, &value))
		return false;
	r->generation = (uint32_t)value;
	return value > 0;
}

static bool take_nonce(struct cursor *in, struct kt_record *r)
{
	struct word word;
	size_t len;

	return take_word(in, &word) &&
	       kt_b64url_decode(word.p, word.len, r->nonce.b, sizeof(r->nonce.b), &len) ==
		       KT_ERR_OK &&
	       len == sizeof(r->nonce.b);
}

static enum kt_err take_der(struct cursor *in, struct kt_record *r)
{
	struct word word;
	size_t len = 0;

	if (!take_word(in, &word) || word.len == 0 || word.len > DER_TEXT_MAX)
		return KT_ERR_INVALID;
	r->storage = malloc(word.len); /* more than the bytes need */
	if (r->storage == NULL)
		return KT_ERR_NOMEM;
	if (kt_b64url_decode(word.p, word.len, r->storage, word.len, &len) != KT_ERR_OK)
		return KT_ERR_INVALID;
	r->der = (struct kt_bytes){r->storage, len};
	return KT_ERR_OK;
}

/* As a der, but a text. */
static enum kt_err take_long_text(struct cursor *in, struct kt_record *r)
{
	const size_t cap = KT_RECORD_TEXT_MAX;
	char *text = calloc(1, cap);

	if (text == NULL)
		return KT_ERR_NOMEM;
	r->storage = (uint8_t *)text;
	r->text = text;
	return take_text(in, text, cap) ? KT_ERR_OK : KT_ERR_INVALID;
}

static bool take_plan(struct cursor *in, struct kt_record *r)
{
	char text[KT_PLAN_TEXT_MAX + 1] = "";

	return take_text(in, text, sizeof(text)) && kt_plan_decode(text, &r->plan);
}

/* Of names that do not exist NONE comes back, which kt_record_is_valid refuses. */
static bool take_named(struct cursor *in, unsigned bit, struct kt_record *r)
{
	char name[WORD_CAP];

	if (!take_name(in, name))
		return false;
	switch (bit) {
	case KT_F_ROLE:
		r->role = kt_role_from_name(name);
		return true;
	case KT_F_ALG:
		r->alg = kt_alg_from_name(name);
		return r->alg != KT_ALG_NONE; /* where it may be left out, NONE is that */
	case KT_F_REASON:
		r->reason = kt_reason_from_name(name);
		return r->reason != KT_REASON_NONE; /* as with alg */
	case KT_F_RESULT:
		return kt_member_status_from_name(name, &r->result);
	default:
		return kt_credential_status_from_name(name, &r->status);
	}
}

static bool take_member(struct cursor *in, unsigned bit, struct kt_record *r)
{
	switch (bit) {
	case KT_F_TRUST_DOMAIN:
		return take_text(in, r->trust_domain, sizeof(r->trust_domain));
	case KT_F_DEVICE:
		return take_text(in, r->device.s, sizeof(r->device.s));
	case KT_F_NAME:
		return take_text(in, r->name.s, sizeof(r->name.s));
	case KT_F_GROUP:
		return take_text(in, r->group, sizeof(r->group));
	case KT_F_PATTERN:
		return take_text(in, r->pattern, sizeof(r->pattern));
	case KT_F_LABELS:
		return take_text(in, r->labels.s, sizeof(r->labels.s));
	case KT_F_NOTE:
		return take_text(in, r->note, sizeof(r->note));
	case KT_F_CAMPAIGN:
		return take_text(in, r->campaign.s, sizeof(r->campaign.s));
	case KT_F_PLAN:
		return take_plan(in, r);
	case KT_F_OP: /* none is written by leaving it out */
		return take_u64(in, UINT64_MAX, &r->op) && r->op > 0;
	case KT_F_NONCE:
		return take_nonce(in, r);
	case KT_F_DEADLINE:
		return take_i64(in, &r->deadline_us);
	case KT_F_FP:
		return take_hash(in, r->fp.b);
	case KT_F_KEY_ID:
		r->has_key_id = true;
		return take_hash(in, r->key_id.b);
	case KT_F_GENERATION:
		return take_generation(in, r);
	case KT_F_NOT_AFTER:
		return take_i64(in, &r->not_after_s);
	case KT_F_TICKET:
		r->has_ticket = true;
		return take_hash(in, r->ticket_sha256);
	case KT_F_EXPIRES:
		return take_i64(in, &r->expires_us);
	case KT_F_WIPE:
		return take_bool(in, &r->wipe);
	case KT_F_HEAD:
		return take_hash(in, r->head);
	case KT_F_INDEX_SEQ:
		return take_u64(in, UINT64_MAX, &r->index_seq);
	case KT_F_FROZEN:
		return take_bool(in, &r->frozen);
	default:
		return take_named(in, bit, r);
	}
}

/* ,"name": */
static bool take_member_name(struct cursor *in, const struct kt_record_name *name)
{
	struct cursor at = *in;

	if (!TAKE(&at, ",\"") || !take(&at, name->s, name->len) || !TAKE(&at, "\":"))
		return false;
	*in = at;
	return true;
}

static enum kt_err take_members(struct cursor *in, struct kt_record *r)
{
	const unsigned fields = kt_record_kind_row(r->kind)->fields;
	enum kt_err err = KT_ERR_OK;

	for (size_t i = 0; err == KT_ERR_OK && i < KT_RECORD_MEMBERS; i++) {
		const struct kt_record_member *member = &kt_record_members[i];

		/* which of them may be missing, kt_record_is_valid knows, but for the numbers */
		if ((fields & member->bit) == 0)
			continue;
		if (!take_member_name(in, &member->name)) {
			if ((kt_record_optional(r->kind) & member->bit) == 0)
				err = KT_ERR_INVALID;
		} else if (member->bit == KT_F_DER) {
			err = take_der(in, r);
		} else if ((member->bit & (KT_F_SELECT | KT_F_DEVICES)) != 0) {
			err = take_long_text(in, r);
		} else if (!take_member(in, member->bit, r)) {
			err = KT_ERR_INVALID;
		}
	}
	return err;
}

/* --- the head --------------------------------------------------------------------------------- */

/* The version first: a newer record may have members that we do not know. */
static enum kt_err take_version(struct cursor *in)
{
	const char *digits;
	uint64_t version;

	if (!TAKE(in, "{\"v\":"))
		return KT_ERR_INVALID;
	digits = in->p;
	while (in->p < in->end && *in->p >= '0' && *in->p <= '9')
		in->p++;
	if (kt_u64_decode(digits, (size_t)(in->p - digits), &version) != KT_ERR_OK ||
	    version < KT_RECORD_VERSION)
		return KT_ERR_INVALID;
	return version == KT_RECORD_VERSION ? KT_ERR_OK : KT_ERR_VERSION;
}

static bool take_kind(struct cursor *in, enum kt_record_kind *out)
{
	struct word word;

	if (!take_word(in, &word))
		return false;
	for (unsigned i = 0; i < KT_RECORD_COUNT; i++) {
		const struct kt_record_name *name =
			&kt_record_kind_row((enum kt_record_kind)i)->name;

		if (name->len == word.len && memcmp(name->s, word.p, word.len) == 0) {
			*out = (enum kt_record_kind)i;
			return true;
		}
	}
	return false;
}

static bool take_head(struct cursor *in, struct kt_record *r, uint8_t prev[static HASH_LEN])
{
	return TAKE(in, ",\"seq\":") && take_u64(in, UINT64_MAX, &r->seq) &&
	       TAKE(in, ",\"prev\":") && take_hash(in, prev) && TAKE(in, ",\"time\":") &&
	       take_i64(in, &r->time_us) && TAKE(in, ",\"actor\":") &&
	       take_text(in, r->actor, sizeof(r->actor)) && TAKE(in, ",\"kind\":") &&
	       take_kind(in, &r->kind);
}

enum kt_err kt_record_decode(const char *text, size_t len, struct kt_record *out,
			     uint8_t prev[static 32])
{
	struct cursor in = {text, text + len};
	enum kt_err err;

	memset(out, 0, sizeof(*out));
	memset(prev, 0, HASH_LEN);
	if (len == 0 || len > KT_RECORD_TEXT_MAX || memchr(text, '\0', len) != NULL)
		return KT_ERR_INVALID;
	err = take_version(&in);
	if (err == KT_ERR_OK && !take_head(&in, out, prev))
		err = KT_ERR_INVALID;
	if (err == KT_ERR_OK)
		err = take_members(&in, out);
	if (err == KT_ERR_OK && (!TAKE(&in, "}") || in.p != in.end || !kt_record_is_valid(out)))
		err = KT_ERR_INVALID;
	if (err != KT_ERR_OK)
		kt_record_clear(out);
	return err;
}
