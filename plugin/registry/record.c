#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "record_fields.h"

static const struct kt_record_kind_row kinds[KT_RECORD_COUNT] = {
#define KT_RECORD_ROW(code, name, fields, text)                                                    \
	[KT_RECORD_##code] = {{name, sizeof(name) - 1}, (unsigned)(fields)},
	KT_RECORD_LIST(KT_RECORD_ROW)
#undef KT_RECORD_ROW
};

#define MEMBER(bit, name)                                                                          \
	{                                                                                          \
		bit,                                                                               \
		{                                                                                  \
			name, sizeof(name) - 1                                                     \
		}                                                                                  \
	}
const struct kt_record_member kt_record_members[KT_RECORD_MEMBERS] = {
	MEMBER(KT_F_TRUST_DOMAIN, "trust_domain"),
	MEMBER(KT_F_DEVICE, "device"),
	MEMBER(KT_F_NAME, "name"),
	MEMBER(KT_F_GROUP, "group"),
	MEMBER(KT_F_PATTERN, "pattern"),
	MEMBER(KT_F_LABELS, "labels"),
	MEMBER(KT_F_CAMPAIGN, "campaign"),
	MEMBER(KT_F_PLAN, "plan"),
	MEMBER(KT_F_SELECT, "select"),
	MEMBER(KT_F_DEVICES, "devices"),
	MEMBER(KT_F_RESULT, "result"),
	MEMBER(KT_F_OP, "op"),
	MEMBER(KT_F_NONCE, "nonce"),
	MEMBER(KT_F_ALG, "alg"),
	MEMBER(KT_F_DEADLINE, "deadline"),
	MEMBER(KT_F_FP, "fp"),
	MEMBER(KT_F_KEY_ID, "key_id"),
	MEMBER(KT_F_GENERATION, "generation"),
	MEMBER(KT_F_NOT_AFTER, "not_after"),
	MEMBER(KT_F_TICKET, "ticket"),
	MEMBER(KT_F_EXPIRES, "expires"),
	MEMBER(KT_F_REASON, "reason"),
	MEMBER(KT_F_WIPE, "wipe"),
	MEMBER(KT_F_HEAD, "head"),
	MEMBER(KT_F_INDEX_SEQ, "index_seq"),
	MEMBER(KT_F_STATUS, "status"),
	MEMBER(KT_F_FROZEN, "frozen"),
	MEMBER(KT_F_ROLE, "role"),
	MEMBER(KT_F_NOTE, "note"),
	MEMBER(KT_F_DER, "der"),
};

const struct kt_record_kind_row *kt_record_kind_row(enum kt_record_kind kind)
{
	return &kinds[kind];
}

const char *kt_record_kind_name(enum kt_record_kind kind)
{
	return (unsigned)kind < KT_RECORD_COUNT ? kinds[kind].name.s : "?";
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

static const char *const member_names[KT_MEMBER_STATUS_COUNT] = {
	[KT_MEMBER_WAITING] = "waiting", [KT_MEMBER_ORDERED] = "ordered",
	[KT_MEMBER_DONE] = "done",	 [KT_MEMBER_FAILED] = "failed",
	[KT_MEMBER_SILENT] = "silent",	 [KT_MEMBER_SKIPPED] = "skipped",
	[KT_MEMBER_MISSED] = "missed",	 [KT_MEMBER_LEFT] = "left",
};

const char *kt_member_status_name(enum kt_member_status s)
{
	return (unsigned)s < KT_MEMBER_STATUS_COUNT ? member_names[s] : "?";
}

bool kt_member_status_from_name(const char *name, enum kt_member_status *out)
{
	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++) {
		if (strcmp(member_names[i], name) == 0) {
			*out = (enum kt_member_status)i;
			return true;
		}
	}
	return false;
}

unsigned kt_record_optional(enum kt_record_kind kind)
{
	unsigned optional = KT_F_GROUP | KT_F_PATTERN | KT_F_LABELS | KT_F_NOTE;

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
	if (kind == KT_RECORD_OP_OPEN)
		optional |= KT_F_CAMPAIGN;
	if (kind == KT_RECORD_CAMPAIGN_DEVICE)
		optional |= KT_F_REASON;
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
	case KT_F_LABELS:
		return r->labels.s[0] != '\0';
	case KT_F_NOTE:
		return r->note[0] != '\0';
	case KT_F_OP:
		return r->op > 0 || (kt_record_optional(r->kind) & KT_F_OP) == 0;
	case KT_F_GENERATION:
		return r->generation > 0 || (kt_record_optional(r->kind) & KT_F_GENERATION) == 0;
	case KT_F_KEY_ID: /* elsewhere it is not a choice */
		return r->has_key_id || r->kind != KT_RECORD_DEVICE_CREATE;
	case KT_F_ALG:
		return r->alg != KT_ALG_NONE;
	case KT_F_CAMPAIGN:
		return r->campaign.s[0] != '\0';
	case KT_F_REASON:
		return r->reason != KT_REASON_NONE;
	case KT_F_TICKET:
		return r->has_ticket || r->kind != KT_RECORD_ISSUE;
	default:
		return true;
	}
}

/* Ids with a blank between each two, and nothing else. */
static bool are_devices(const char *text)
{
	size_t count = 0;

	for (;;) {
		const size_t len = strcspn(text, " ");

		if (!kt_is_device_id(text, len) || ++count > KT_RECORD_DEVICES_MAX)
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

/* Words of a selector: printable, so that whoever reads a ledger sees what was asked for. */
static bool are_words(const char *text)
{
	const size_t len = strnlen(text, KT_RECORD_SELECT_MAX + 1);

	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return len > 0 && len <= KT_RECORD_SELECT_MAX;
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
		return kt_is_name(r->group, strlen(r->group), "");
	case KT_F_PATTERN:
		return kt_is_name(r->pattern, strlen(r->pattern), "*");
	case KT_F_LABELS:
		return kt_labels_are_valid(r->labels.s);
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
	case KT_F_CAMPAIGN:
		return kt_is_device_id(r->campaign.s,
				       strnlen(r->campaign.s, sizeof(r->campaign.s)));
	case KT_F_PLAN:
		return kt_plan_is_valid(&r->plan);
	case KT_F_SELECT:
		return r->text != NULL && are_words(r->text);
	case KT_F_DEVICES:
		return r->text != NULL && are_devices(r->text);
	case KT_F_RESULT:
		return r->result >= KT_MEMBER_DONE && r->result <= KT_MEMBER_SKIPPED;
	case KT_F_DER:
		return r->der.p != NULL && r->der.len > 0 && r->der.len <= KT_CERT_MAX;
	default:
		return true;
	}
}

bool kt_record_is_valid(const struct kt_record *r)
{
	unsigned fields;

	if ((unsigned)r->kind >= KT_RECORD_COUNT || r->seq == 0 || r->time_us < 0 ||
	    r->actor[0] == '\0')
		return false;
	fields = kinds[r->kind].fields;
	for (size_t i = 0; i < KT_RECORD_MEMBERS; i++) {
		unsigned bit = kt_record_members[i].bit;

		if ((fields & bit) == 0)
			continue;
		if (has_member(r, bit) ? !is_member_valid(r, bit)
				       : (kt_record_optional(r->kind) & bit) == 0)
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
	case KT_F_LABELS:
		return r->labels.s;
	case KT_F_ALG:
		return kt_alg_name(r->alg);
	case KT_F_REASON:
		return kt_reason_name(r->reason);
	case KT_F_STATUS:
		return kt_credential_status_name(r->status);
	case KT_F_NOTE:
		return r->note;
	case KT_F_CAMPAIGN:
		return r->campaign.s;
	case KT_F_SELECT:
	case KT_F_DEVICES:
		return r->text;
	case KT_F_RESULT:
		return kt_member_status_name(r->result);
	default:
		return NULL;
	}
}

static void put_plan(struct kt_json_writer *w, const char *name, const struct kt_plan *plan)
{
	char text[KT_PLAN_TEXT_MAX + 1];

	kt_plan_encode(plan, text);
	kt_json_put_string(w, name, text);
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
	const char *name = kt_record_members[member].name.s;
	const unsigned bit = kt_record_members[member].bit;

	if (text_of(r, bit) != NULL)
		kt_json_put_string(w, name, text_of(r, bit));
	else if (hash_of(r, bit) != NULL)
		kt_json_put_hex(w, name, hash_of(r, bit), KT_RECORD_HASH_LEN);
	else if (bit == KT_F_NONCE)
		kt_json_put_b64url(w, name, r->nonce.b, sizeof(r->nonce.b));
	else if (bit == KT_F_PLAN)
		put_plan(w, name, &r->plan);
	else if (bit == KT_F_DER)
		kt_json_put_b64url(w, name, r->der.p, r->der.len);
	else if ((bit & KT_RECORD_BOOLS) != 0)
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
	if (!kt_record_is_valid(record))
		return KT_ERR_INVALID;
	err = kt_json_writer_new(&w);
	if (err != KT_ERR_OK)
		goto out;
	kt_json_open_object(w, NULL);
	kt_json_put_number(w, "v", KT_RECORD_VERSION);
	kt_json_put_u64(w, "seq", record->seq);
	kt_json_put_hex(w, "prev", prev, KT_RECORD_HASH_LEN);
	kt_json_put_u64(w, "time", (uint64_t)record->time_us);
	kt_json_put_string(w, "actor", record->actor);
	kt_json_put_string(w, "kind", kt_record_kind_name(record->kind));
	for (size_t i = 0; i < KT_RECORD_MEMBERS; i++) {
		if ((kinds[record->kind].fields & kt_record_members[i].bit) != 0 &&
		    has_member(record, kt_record_members[i].bit))
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

void kt_record_clear(struct kt_record *record)
{
	free(record->storage);
	memset(record, 0, sizeof(*record));
}
