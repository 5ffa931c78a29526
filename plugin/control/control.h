/*
 * control - an operator's batch of commands: decoded strictly, decided by the core's actions,
 * reported in one answer.
 *
 * Owns the list of commands, who may give which, and what fields each has. Decides nothing about
 * devices: that is what the actions of core_internal.h do. This half knows no core: it can be
 * fuzzed and tested alone. docs/PROTOCOL.md, "Control commands". Broker's thread.
 */
#ifndef KT_CONTROL_H
#define KT_CONTROL_H

#include "config.h"
#include "err.h"
#include "json.h"
#include "reason.h"
#include "role.h"
#include "types.h"

enum {
	KT_CONTROL_SIZE_MAX = 256 * 1024, /* bytes of a batch */
	KT_CONTROL_TOKENS_MAX = 4096,
	KT_CONTROL_COMMANDS_MAX = 100, /* commands of a batch */
	KT_CONTROL_BATCHES_MAX = 16,   /* that are not done yet; further ones are refused */
	KT_CONTROL_DEVICES_MAX = 1000, /* devices that one command may mean */
	KT_CONTROL_PLAN_MAX = 16,      /* words of a plan */
	KT_CONTROL_LABELS_MAX = 16,    /* labels that one command may add, or remove */
	KT_CONTROL_PAGE_MAX = 200,     /* rows of one page */
	KT_CONTROL_CORRELATION_MAX = 128,
	KT_CONTROL_NAME_MAX = 32,
	KT_CONTROL_CERTIFICATE_MAX = 6144, /* characters, PEM or base64 of KT_CERT_MAX bytes */
	KT_CONTROL_DETAIL_MAX = 160
};

/* X(CODE, "name", what a role must permit: role.h) */
#define KT_COMMAND_LIST(X)                                                                         \
	X(CREATE_DEVICE, "createDevice", ENROLL)                                                   \
	X(IMPORT_CERTIFICATE, "importCertificate", ENROLL)                                         \
	X(CREATE_TICKET, "createTicket", ENROLL)                                                   \
	X(LIST_DEVICES, "listDevices", LOOK)                                                       \
	X(GET_DEVICE, "getDevice", LOOK)                                                           \
	X(LIST_PENDING, "listPending", LOOK)                                                       \
	X(APPROVE, "approve", ENROLL)                                                              \
	X(DENY, "deny", ENROLL)                                                                    \
	X(SET_DEVICE, "setDevice", ADMIN)                                                          \
	X(ROTATE, "rotate", ROTATE)                                                                \
	X(CANCEL, "cancel", ROTATE)                                                                \
	X(CHALLENGE, "challenge", ROTATE)                                                          \
	X(QUARANTINE, "quarantine", REVOKE)                                                        \
	X(RELEASE, "release", ADMIN)                                                               \
	X(CONFIRM_CLOCK, "confirmClock", ADMIN)                                                    \
	X(END_RECONCILE, "endReconcile", ADMIN)                                                    \
	X(REVOKE, "revoke", REVOKE)                                                                \
	X(DELETE_DEVICE, "deleteDevice", ADMIN)                                                    \
	X(STATUS, "status", LOOK)                                                                  \
	X(ADD_OPERATOR, "addOperator", ADMIN)                                                      \
	X(REMOVE_OPERATOR, "removeOperator", ADMIN)                                                \
	X(LIST_OPERATORS, "listOperators", LOOK)                                                   \
	X(BEGIN_CAMPAIGN, "beginCampaign", ROTATE)                                                 \
	X(PAUSE_CAMPAIGN, "pauseCampaign", ROTATE)                                                 \
	X(RESUME_CAMPAIGN, "resumeCampaign", ROTATE)                                               \
	X(ABORT_CAMPAIGN, "abortCampaign", ROTATE)                                                 \
	X(LIST_CAMPAIGNS, "listCampaigns", LOOK)                                                   \
	X(GET_CAMPAIGN, "getCampaign", LOOK)

enum kt_command {
#define KT_COMMAND_ENUM(code, name, permit) KT_COMMAND_##code,
	KT_COMMAND_LIST(KT_COMMAND_ENUM) KT_COMMAND_COUNT
#undef KT_COMMAND_ENUM
};

/* "?" outside the list. Static string. */
const char *kt_command_name(enum kt_command command);
/* ADMIN outside the list. */
enum kt_permit kt_command_permit(enum kt_command command);
/* Fields of a command, "command" and "correlationData" included. *count is 0 outside the list. */
const struct kt_json_rule *kt_command_rules(enum kt_command command, size_t *count);

struct kt_refusal {
	enum kt_reason reason; /* NONE: none */
	char detail[KT_CONTROL_DETAIL_MAX];
};

/* One sentence; a refusal that is there already stays (the first one counts). Returns false. */
bool kt_refuse(struct kt_refusal *refusal, enum kt_reason reason, const char *field,
	       const char *sentence);

/*
 * A batch: {"commands":[...]}, 1 to KT_CONTROL_COMMANDS_MAX. True: *commands is its array,
 * borrowed from *out, which the caller frees. False: *refusal is JSON_SYNTAX, JSON_FIELD, MSG_SIZE
 * or BUSY (no memory).
 */
bool kt_control_decode(struct kt_bytes payload, struct kt_json **out,
		       const struct kt_json_value **commands, struct kt_refusal *refusal);

struct kt_command_head { /* of one command; strings borrowed from the document, NULL if absent */
	const char *name;
	const char *correlation;
	enum kt_command command; /* COUNT: unknown */
};

/*
 * Which command, may @role give it, are its fields of their types and lengths? False: *refusal is
 * JSON_FIELD, MSG_SIZE, COMMAND_UNKNOWN or DENIED. *head is filled in as far as it goes, always.
 */
bool kt_control_select(const struct kt_json_value *item, enum kt_role role,
		       struct kt_command_head *head, struct kt_refusal *refusal);

/*
 * Fields of a selected command, by their form. An absent one is an empty id, an empty string, or
 * what *out was before (a number), and true; false and *refusal where the form is wrong.
 */
bool kt_field_device(const struct kt_json_value *item, struct kt_device_id *out,
		     struct kt_refusal *refusal);
bool kt_field_key_id(const struct kt_json_value *item, struct kt_key_id *out,
		     struct kt_refusal *refusal);
/* 1-63 of [A-Za-z0-9._-], with @wildcard also '*'; "" if absent. Borrowed. */
bool kt_field_name(const struct kt_json_value *item, const char *name, bool wildcard,
		   const char **out, struct kt_refusal *refusal);
bool kt_field_fingerprint(const struct kt_json_value *item, struct kt_fingerprint *out,
			  struct kt_refusal *refusal);
/* An operator's: the form of a device id. */
bool kt_field_operator(const struct kt_json_value *item, struct kt_device_id *out,
		       struct kt_refusal *refusal);
/* A campaign's: the same form. */
bool kt_field_campaign(const struct kt_json_value *item, struct kt_device_id *out,
		       struct kt_refusal *refusal);
bool kt_field_number(const struct kt_json_value *item, const char *name, const int64_t range[2],
		     int64_t *out, struct kt_refusal *refusal);

#endif
