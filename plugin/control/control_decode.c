#include "control.h"

#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "selector.h"

enum { KEY_ID_DIGITS = 2 * KT_KEY_ID_LEN };

#define COMMON                                                                                     \
	{"command", KT_JSON_STRING, true, KT_CONTROL_NAME_MAX},                                    \
	{                                                                                          \
		"correlationData", KT_JSON_STRING, false, KT_CONTROL_CORRELATION_MAX               \
	}
#define FIELD_DEVICE                                                                               \
	{                                                                                          \
		"device", KT_JSON_STRING, true, KT_DEVICE_ID_MAX                                   \
	}
#define FIELD_MAYBE_DEVICE                                                                         \
	{                                                                                          \
		"device", KT_JSON_STRING, false, KT_DEVICE_ID_MAX                                  \
	}
/* Which devices: control_select.c. */
#define SELECTION                                                                                  \
	FIELD_MAYBE_DEVICE, {"devices", KT_JSON_ARRAY, false, KT_CONTROL_DEVICES_MAX},             \
		{"all", KT_JSON_BOOL, false, 0}, FIELD_SELECT,                                     \
		{"expect", KT_JSON_NUMBER, false, 0},                                              \
	{                                                                                          \
		"dryRun", KT_JSON_BOOL, false, 0                                                   \
	}
#define FIELD_SELECT                                                                               \
	{                                                                                          \
		"select", KT_JSON_ARRAY, false, KT_SELECTOR_WORDS_MAX                              \
	}
#define FIELD_NAME                                                                                 \
	{                                                                                          \
		"name", KT_JSON_STRING, true, KT_DEVICE_ID_MAX                                     \
	}
#define FIELD_CAMPAIGN                                                                             \
	{                                                                                          \
		"campaign", KT_JSON_STRING, true, KT_DEVICE_ID_MAX                                 \
	}
#define FIELD_GROUP                                                                                \
	{                                                                                          \
		"group", KT_JSON_STRING, false, 63                                                 \
	}
#define FIELD_NOTE                                                                                 \
	{                                                                                          \
		"note", KT_JSON_STRING, false, 127                                                 \
	}
#define FIELD_KEY_ID(required)                                                                     \
	{                                                                                          \
		"keyId", KT_JSON_STRING, required, KEY_ID_DIGITS                                   \
	}
#define FIELD_OFFSET                                                                               \
	{                                                                                          \
		"offset", KT_JSON_NUMBER, false, 0                                                 \
	}
#define FIELD_COUNT                                                                                \
	{                                                                                          \
		"count", KT_JSON_NUMBER, false, 0                                                  \
	}

static const struct kt_json_rule create_device[] = {COMMON, FIELD_DEVICE, FIELD_GROUP,
						    FIELD_KEY_ID(false)};
static const struct kt_json_rule import_certificate[] = {
	COMMON,
	FIELD_DEVICE,
	FIELD_GROUP,
	{"certificate", KT_JSON_STRING, true, KT_CONTROL_CERTIFICATE_MAX},
	{"check", KT_JSON_BOOL, false, 0}};
static const struct kt_json_rule create_ticket[] = {COMMON,
						    FIELD_MAYBE_DEVICE,
						    FIELD_GROUP,
						    {"pattern", KT_JSON_STRING, false, 63},
						    {"validFor", KT_JSON_NUMBER, false, 0},
						    {"broker", KT_JSON_STRING, false, 260}};
static const struct kt_json_rule list_devices[] = {
	COMMON, FIELD_OFFSET, FIELD_COUNT, {"state", KT_JSON_STRING, false, 16}, FIELD_SELECT};
static const struct kt_json_rule list_pending[] = {COMMON, FIELD_OFFSET, FIELD_COUNT};
static const struct kt_json_rule approve[] = {COMMON, FIELD_KEY_ID(true), FIELD_DEVICE,
					      FIELD_GROUP};
static const struct kt_json_rule deny[] = {COMMON, FIELD_KEY_ID(true)};
static const struct kt_json_rule set_device[] = {
	COMMON,
	SELECTION,
	FIELD_GROUP,
	{"addLabels", KT_JSON_ARRAY, false, KT_CONTROL_LABELS_MAX},
	{"removeLabels", KT_JSON_ARRAY, false, KT_CONTROL_LABELS_MAX}};
static const struct kt_json_rule one_device[] = {COMMON, FIELD_DEVICE};
static const struct kt_json_rule selected[] = {COMMON, SELECTION};
static const struct kt_json_rule selected_note[] = {COMMON, SELECTION, FIELD_NOTE};
static const struct kt_json_rule release[] = {
	COMMON, SELECTION, {"freeze", KT_JSON_BOOL, false, 0}};
static const struct kt_json_rule revoke[] = {COMMON,
					     SELECTION,
					     {"emergency", KT_JSON_BOOL, false, 0},
					     {"wipe", KT_JSON_BOOL, false, 0},
					     FIELD_NOTE};
static const struct kt_json_rule end_reconcile[] = {COMMON, FIELD_NOTE};
static const struct kt_json_rule add_operator[] = {COMMON,
						   FIELD_NAME,
						   {"fp", KT_JSON_STRING, true, 64},
						   {"role", KT_JSON_STRING, true, 16},
						   FIELD_NOTE};
static const struct kt_json_rule remove_operator[] = {COMMON, FIELD_NAME, FIELD_NOTE};
static const struct kt_json_rule list_operators[] = {
	COMMON, FIELD_OFFSET, FIELD_COUNT, {"removed", KT_JSON_BOOL, false, 0}};
static const struct kt_json_rule begin_campaign[] = {
	COMMON,
	SELECTION,
	FIELD_CAMPAIGN,
	{"action", KT_JSON_STRING, true, 16},
	{"plan", KT_JSON_ARRAY, false, KT_CONTROL_PLAN_MAX},
	FIELD_NOTE};
static const struct kt_json_rule one_campaign[] = {COMMON, FIELD_CAMPAIGN, FIELD_NOTE};
static const struct kt_json_rule get_campaign[] = {
	COMMON, FIELD_CAMPAIGN, FIELD_OFFSET, FIELD_COUNT, {"state", KT_JSON_STRING, false, 16}};
static const struct kt_json_rule no_fields[] = {COMMON};

#define RULES(array)                                                                               \
	{                                                                                          \
		array, sizeof(array) / sizeof((array)[0])                                          \
	}

static const struct {
	const struct kt_json_rule *rules;
	size_t count;
} rules_of[KT_COMMAND_COUNT] = {
	[KT_COMMAND_CREATE_DEVICE] = RULES(create_device),
	[KT_COMMAND_IMPORT_CERTIFICATE] = RULES(import_certificate),
	[KT_COMMAND_CREATE_TICKET] = RULES(create_ticket),
	[KT_COMMAND_LIST_DEVICES] = RULES(list_devices),
	[KT_COMMAND_GET_DEVICE] = RULES(one_device),
	[KT_COMMAND_LIST_PENDING] = RULES(list_pending),
	[KT_COMMAND_APPROVE] = RULES(approve),
	[KT_COMMAND_DENY] = RULES(deny),
	[KT_COMMAND_SET_DEVICE] = RULES(set_device),
	[KT_COMMAND_ROTATE] = RULES(selected_note),
	[KT_COMMAND_CANCEL] = RULES(selected),
	[KT_COMMAND_CHALLENGE] = RULES(selected),
	[KT_COMMAND_QUARANTINE] = RULES(selected_note),
	[KT_COMMAND_RELEASE] = RULES(release),
	[KT_COMMAND_CONFIRM_CLOCK] = RULES(no_fields),
	[KT_COMMAND_END_RECONCILE] = RULES(end_reconcile),
	[KT_COMMAND_REVOKE] = RULES(revoke),
	[KT_COMMAND_DELETE_DEVICE] = RULES(selected),
	[KT_COMMAND_STATUS] = RULES(no_fields),
	[KT_COMMAND_ADD_OPERATOR] = RULES(add_operator),
	[KT_COMMAND_REMOVE_OPERATOR] = RULES(remove_operator),
	[KT_COMMAND_LIST_OPERATORS] = RULES(list_operators),
	[KT_COMMAND_BEGIN_CAMPAIGN] = RULES(begin_campaign),
	[KT_COMMAND_PAUSE_CAMPAIGN] = RULES(one_campaign),
	[KT_COMMAND_RESUME_CAMPAIGN] = RULES(one_campaign),
	[KT_COMMAND_ABORT_CAMPAIGN] = RULES(one_campaign),
	[KT_COMMAND_LIST_CAMPAIGNS] = RULES(no_fields),
	[KT_COMMAND_GET_CAMPAIGN] = RULES(get_campaign),
};

static const char *const names[KT_COMMAND_COUNT] = {
#define NAME(code, name, permit) [KT_COMMAND_##code] = (name),
	KT_COMMAND_LIST(NAME)
#undef NAME
};

static const enum kt_permit permits[KT_COMMAND_COUNT] = {
#define PERMIT(code, name, permit) [KT_COMMAND_##code] = KT_PERMIT_##permit,
	KT_COMMAND_LIST(PERMIT)
#undef PERMIT
};

static bool is_command(enum kt_command command)
{
	return (unsigned)command < KT_COMMAND_COUNT;
}

const char *kt_command_name(enum kt_command command)
{
	return is_command(command) ? names[command] : "?";
}

enum kt_permit kt_command_permit(enum kt_command command)
{
	return is_command(command) ? permits[command] : KT_PERMIT_ADMIN;
}

const struct kt_json_rule *kt_command_rules(enum kt_command command, size_t *count)
{
	*count = 0;
	if (!is_command(command)) {
		return NULL;
	}
	*count = rules_of[command].count;
	return rules_of[command].rules;
}

static enum kt_command command_named(const char *name)
{
	for (unsigned i = 0; i < KT_COMMAND_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			return (enum kt_command)i;
		}
	}
	return KT_COMMAND_COUNT;
}

bool kt_refuse(struct kt_refusal *refusal, enum kt_reason reason, const char *field,
	       const char *sentence)
{
	if (refusal->reason != KT_REASON_NONE) {
		return false;
	}
	refusal->reason = reason;
	if (snprintf(refusal->detail, sizeof(refusal->detail), "%s%s%s", field,
		     field[0] != '\0' ? " " : "", sentence) < 0) {
		refusal->detail[0] = '\0';
	}
	return false;
}

/* What kt_json_check and kt_json_parse found, in words. @field "" where no rule names it. */
static bool refuse_json(struct kt_refusal *refusal, enum kt_err err, const char *field)
{
	const char *subject = field != NULL && field[0] != '\0' ? field : "a field";
	if (err == KT_ERR_UNKNOWN_FIELD) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, subject, "does not belong here");
	}
	if (err == KT_ERR_MISSING_FIELD) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, subject, "is missing");
	}
	if (err == KT_ERR_TOO_LONG) {
		return kt_refuse(refusal, KT_REASON_MSG_SIZE, subject, "is longer than its limit");
	}
	return kt_refuse(refusal, KT_REASON_JSON_FIELD, subject,
			 "is of another type, or given twice");
}

static bool refuse_text(struct kt_refusal *refusal, enum kt_err err)
{
	if (err == KT_ERR_TOO_LONG) {
		return kt_refuse(refusal, KT_REASON_MSG_SIZE, "",
				 "the batch is too large, too deep or has too many parts");
	}
	if (err == KT_ERR_NOMEM) {
		return kt_refuse(refusal, KT_REASON_BUSY, "", "out of memory, try again");
	}
	return kt_refuse(refusal, KT_REASON_JSON_SYNTAX, "", "the batch is not strict JSON");
}

bool kt_control_decode(struct kt_bytes payload, struct kt_json **out,
		       const struct kt_json_value **commands, struct kt_refusal *refusal)
{
	static const struct kt_json_limits limits = {KT_CONTROL_SIZE_MAX, KT_JSON_DEPTH_MAX,
						     KT_CONTROL_TOKENS_MAX};
	static const struct kt_json_rule rules[] = {
		{"commands", KT_JSON_ARRAY, true, KT_CONTROL_COMMANDS_MAX}};
	const char *field = NULL;
	struct kt_json *json = NULL;

	*out = NULL;
	*commands = NULL;
	*refusal = (struct kt_refusal){.reason = KT_REASON_NONE};
	if (payload.p == NULL || payload.len == 0) {
		return kt_refuse(refusal, KT_REASON_JSON_SYNTAX, "", "the batch is empty");
	}
	enum kt_err err = kt_json_parse(payload.p, payload.len, &limits, &json);
	if (err != KT_ERR_OK) {
		return refuse_text(refusal, err);
	}
	err = kt_json_check(kt_json_root(json), rules, 1, &field);
	if (err != KT_ERR_OK) {
		kt_json_free(json);
		return refuse_json(refusal, err, field);
	}
	const struct kt_json_value *array = kt_json_member(kt_json_root(json), "commands");
	if (kt_json_array_len(array) == 0) {
		kt_json_free(json);
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "commands", "is empty");
	}
	*out = json;
	*commands = array;
	return true;
}

/* A member that is echoed even where the rest of its command is wrong. */
static const char *short_string(const struct kt_json_value *item, const char *name, size_t max)
{
	const struct kt_json_value *value = kt_json_member(item, name);
	if (value == NULL || !kt_json_is(value, KT_JSON_STRING)) {
		return NULL;
	}
	const char *text = kt_json_value_string(value);
	return strlen(text) <= max ? text : NULL;
}

bool kt_control_select(const struct kt_json_value *item, enum kt_role role,
		       struct kt_command_head *head, struct kt_refusal *refusal)
{
	const char *field = NULL;
	size_t count = 0;

	*head = (struct kt_command_head){.command = KT_COMMAND_COUNT};
	*refusal = (struct kt_refusal){.reason = KT_REASON_NONE};
	if (!kt_json_is(item, KT_JSON_OBJECT)) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "commands",
				 "holds something that is no object");
	}
	head->name = short_string(item, "command", KT_CONTROL_NAME_MAX);
	head->correlation = short_string(item, "correlationData", KT_CONTROL_CORRELATION_MAX);
	if (head->name == NULL) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "command",
				 "is missing, no string, or too long");
	}
	head->command = command_named(head->name);
	if (head->command == KT_COMMAND_COUNT) {
		return kt_refuse(refusal, KT_REASON_COMMAND_UNKNOWN, "command",
				 "names none that there is");
	}
	if (!kt_role_may(role, kt_command_permit(head->command))) {
		return kt_refuse(refusal, KT_REASON_DENIED, "", "your role may not do this");
	}
	const struct kt_json_rule *rules = kt_command_rules(head->command, &count);
	enum kt_err err = kt_json_check(item, rules, count, &field);
	return err == KT_ERR_OK ? true : refuse_json(refusal, err, field);
}

bool kt_field_device(const struct kt_json_value *item, struct kt_device_id *out,
		     struct kt_refusal *refusal)
{
	const char *id = kt_json_string(item, "device");
	memset(out, 0, sizeof(*out));
	if (id == NULL) {
		return true;
	}
	if (!kt_device_id_set(out, id, strlen(id))) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "device",
				 "is no device id (1 to 63 of A-Z a-z 0-9 . _ -)");
	}
	return true;
}

bool kt_field_key_id(const struct kt_json_value *item, struct kt_key_id *out,
		     struct kt_refusal *refusal)
{
	const char *hex = kt_json_string(item, "keyId");
	memset(out, 0, sizeof(*out));
	if (hex == NULL) {
		return true;
	}
	if (kt_hex_decode(hex, strlen(hex), out->b, sizeof(out->b)) != KT_ERR_OK) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "keyId",
				 "is not 64 lower-case hex digits");
	}
	return true;
}

bool kt_field_fingerprint(const struct kt_json_value *item, struct kt_fingerprint *out,
			  struct kt_refusal *refusal)
{
	const char *hex = kt_json_string(item, "fp");
	memset(out, 0, sizeof(*out));
	if (hex == NULL) {
		return true;
	}
	if (kt_hex_decode(hex, strlen(hex), out->b, sizeof(out->b)) != KT_ERR_OK) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, "fp",
				 "is not 64 lower-case hex digits");
	}
	return true;
}

/* A name that has the form of a device id. */
static bool field_id(const struct kt_json_value *item, const char *field, const char *why,
		     struct kt_device_id *out, struct kt_refusal *refusal)
{
	const char *name = kt_json_string(item, field);

	memset(out, 0, sizeof(*out));
	if (name == NULL || kt_device_id_set(out, name, strlen(name)))
		return true;
	return kt_refuse(refusal, KT_REASON_JSON_FIELD, field, why);
}

bool kt_field_operator(const struct kt_json_value *item, struct kt_device_id *out,
		       struct kt_refusal *refusal)
{
	return field_id(item, "name", "is no operator's name (1 to 63 of A-Z a-z 0-9 . _ -)", out,
			refusal);
}

bool kt_field_campaign(const struct kt_json_value *item, struct kt_device_id *out,
		       struct kt_refusal *refusal)
{
	return field_id(item, "campaign", "is no campaign's name (1 to 63 of A-Z a-z 0-9 . _ -)",
			out, refusal);
}

bool kt_field_name(const struct kt_json_value *item, const char *name, bool wildcard,
		   const char **out, struct kt_refusal *refusal)
{
	const char *text = kt_json_string(item, name);
	*out = "";
	if (text == NULL) {
		return true;
	}
	if (!kt_is_name(text, strlen(text), wildcard ? "*" : "")) {
		return kt_refuse(refusal, KT_REASON_JSON_FIELD, name,
				 wildcard ? "is not 1 to 63 of A-Z a-z 0-9 . _ - *"
					  : "is not 1 to 63 of A-Z a-z 0-9 . _ -");
	}
	*out = text;
	return true;
}

bool kt_field_number(const struct kt_json_value *item, const char *name, const int64_t range[2],
		     int64_t *out, struct kt_refusal *refusal)
{
	char sentence[80];
	if (kt_json_member(item, name) == NULL) {
		return true;
	}
	*out = kt_json_number(item, name);
	if (*out >= range[0] && *out <= range[1]) {
		return true;
	}
	if (snprintf(sentence, sizeof(sentence), "is not from %lld to %lld", (long long)range[0],
		     (long long)range[1]) < 0) {
		sentence[0] = '\0';
	}
	return kt_refuse(refusal, KT_REASON_JSON_FIELD, name, sentence);
}
