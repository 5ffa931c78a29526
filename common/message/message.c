#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "message_rules.h"
#include "secmem.h"

#define AT(member) offsetof(struct kt_message, u.member)
#define FIELDS(m)                                                                                  \
	.field_count = sizeof(m##_fields) / sizeof((m##_fields)[0]), .fields = (m##_fields),       \
	.size = AT(m) + sizeof(((struct kt_message *)0)->u.m)

static const struct kt_field hello_fields[] = {
	{.name = "agent", .kind = KT_FIELD_NAME, .offset = AT(hello.agent)},
	{.name = "generation", .kind = KT_FIELD_GENERATION, .offset = AT(hello.generation)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(hello.fp)},
	{.name = "phase", .kind = KT_FIELD_PHASE, .offset = AT(hello.phase)},
	{.name = "op", .kind = KT_FIELD_OP_OR_NONE, .offset = AT(hello.op)},
	{.name = "store", .kind = KT_FIELD_NAME, .offset = AT(hello.store)},
};

static const struct kt_field welcome_fields[] = {
	{.name = "time", .kind = KT_FIELD_TIME, .offset = AT(welcome.time_us)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(welcome.fp)},
	{.name = "next", .kind = KT_FIELD_NEXT, .offset = AT(welcome.next)},
	{.name = "op", .kind = KT_FIELD_OP_OR_NONE, .offset = AT(welcome.op)},
};

static const struct kt_field challenge_fields[] = {
	{.name = "nonce", .kind = KT_FIELD_CHALLENGE, .offset = AT(challenge.nonce)},
	{.name = "deadline", .kind = KT_FIELD_TIME, .offset = AT(challenge.deadline_us)},
};

static const struct kt_field answer_fields[] = {
	{.name = "nonce", .kind = KT_FIELD_CHALLENGE, .offset = AT(answer.nonce)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(answer.fp)},
};

const struct kt_field kt_report_fields[KT_REPORT_FIELD_COUNT] = {
	{.name = "agent", .kind = KT_FIELD_NAME, .offset = offsetof(struct kt_report, agent)},
	{.name = "store", .kind = KT_FIELD_NAME, .offset = offsetof(struct kt_report, store)},
	{.name = "generation",
	 .kind = KT_FIELD_GENERATION,
	 .offset = offsetof(struct kt_report, generation)},
	{.name = "phase", .kind = KT_FIELD_PHASE, .offset = offsetof(struct kt_report, phase)},
};

static const struct kt_field rotate_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(rotate.op)},
	{.name = "nonce", .kind = KT_FIELD_NONCE, .offset = AT(rotate.nonce)},
	{.name = "alg", .kind = KT_FIELD_ALG, .offset = AT(rotate.alg)},
	{.name = "deadline", .kind = KT_FIELD_TIME, .offset = AT(rotate.deadline_us)},
	{.name = "cur", .kind = KT_FIELD_FP, .offset = AT(rotate.cur)},
};

static const struct kt_field csr_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(csr.op)},
	{.name = "nonce", .kind = KT_FIELD_NONCE, .offset = AT(csr.nonce)},
	{.name = "csr", .kind = KT_FIELD_CSR, .offset = AT(csr.csr), .aux = AT(csr.csr_len)},
};

static const struct kt_field cert_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(cert.op)},
	{.name = "chain", .kind = KT_FIELD_CHAIN, .offset = AT(cert.chain)},
};

static const struct kt_field confirm_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(confirm.op)},
	{.name = "nonce", .kind = KT_FIELD_NONCE, .offset = AT(confirm.nonce)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(confirm.fp)},
};

static const struct kt_field committed_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(committed.op)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(committed.fp)},
};

static const struct kt_field promoted_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(promoted.op)},
	{.name = "fp", .kind = KT_FIELD_FP, .offset = AT(promoted.fp)},
};

static const struct kt_field failed_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(failed.op)},
	{.name = "reason", .kind = KT_FIELD_REASON, .offset = AT(failed.reason)},
};

static const struct kt_field noted_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(noted.op)},
	{.name = "of", .kind = KT_FIELD_OF, .offset = AT(noted.of)},
};

static const struct kt_field reject_fields[] = {
	{.name = "reason", .kind = KT_FIELD_REASON, .offset = AT(reject.reason)},
	{.name = "retry_s", .kind = KT_FIELD_RETRY, .offset = AT(reject.retry_s)},
	{.name = "op", .kind = KT_FIELD_OP, .is_optional = true, .offset = AT(reject.op)},
};

static const struct kt_field revoked_fields[] = {
	{.name = "reason", .kind = KT_FIELD_REASON, .offset = AT(revoked.reason)},
	{.name = "wipe", .kind = KT_FIELD_WIPE, .offset = AT(revoked.wipe)},
};

static const struct kt_field enroll_fields[] = {
	{.name = "csr", .kind = KT_FIELD_CSR, .offset = AT(enroll.csr), .aux = AT(enroll.csr_len)},
	{.name = "ticket",
	 .kind = KT_FIELD_TICKET,
	 .is_optional = true,
	 .offset = AT(enroll.ticket),
	 .aux = AT(enroll.has_ticket)},
};

static const struct kt_field enrolled_fields[] = {
	{.name = "op", .kind = KT_FIELD_OP, .offset = AT(enrolled.op)},
	{.name = "nonce", .kind = KT_FIELD_NONCE, .offset = AT(enrolled.nonce)},
	{.name = "chain", .kind = KT_FIELD_CHAIN, .offset = AT(enrolled.chain)},
};

static const struct kt_field pending_fields[] = {
	{.name = "retry_s", .kind = KT_FIELD_RETRY, .offset = AT(pending.retry_s)},
};

static const struct kt_message_rule rules[KT_MESSAGE_COUNT] = {
	[KT_MESSAGE_HELLO] = {.has_dn = true, FIELDS(hello)},
	[KT_MESSAGE_WELCOME] = {.has_dn = true, .has_sn = true, FIELDS(welcome)},
	[KT_MESSAGE_CHALLENGE] = {.has_dn = true, FIELDS(challenge)},
	[KT_MESSAGE_ANSWER] = {.has_sn = true, .has_report = true, FIELDS(answer)},
	[KT_MESSAGE_ROTATE] = {.has_dn = true, FIELDS(rotate)},
	[KT_MESSAGE_CSR] = {.has_sn = true, FIELDS(csr)},
	[KT_MESSAGE_CERT] = {.has_dn = true, FIELDS(cert)},
	[KT_MESSAGE_CONFIRM] = {.has_sn = true, FIELDS(confirm)},
	[KT_MESSAGE_COMMITTED] = {.has_dn = true, FIELDS(committed)},
	[KT_MESSAGE_PROMOTED] = {.has_sn = true, FIELDS(promoted)},
	[KT_MESSAGE_FAILED] = {.has_sn = true, FIELDS(failed)},
	[KT_MESSAGE_NOTED] = {.has_dn = true, FIELDS(noted)},
	[KT_MESSAGE_REJECT] = {.has_dn = true, .may_lack_device = true, FIELDS(reject)},
	[KT_MESSAGE_REVOKED] = {.has_dn = true, FIELDS(revoked)},
	[KT_MESSAGE_ENROLL] = {.has_dn = true, .may_lack_device = true, FIELDS(enroll)},
	[KT_MESSAGE_ENROLLED] = {.has_dn = true, FIELDS(enrolled)},
	[KT_MESSAGE_PENDING] = {.has_dn = true, .may_lack_device = true, FIELDS(pending)},
};

static const struct {
	const char *name;
	bool from_device;
} types[KT_MESSAGE_COUNT] = {
#define KT_MESSAGE_ROW(code, name, from_device) [KT_MESSAGE_##code] = {name, from_device},
	KT_MESSAGE_LIST(KT_MESSAGE_ROW)
#undef KT_MESSAGE_ROW
};

const struct kt_message_rule *kt_message_rule_of(enum kt_message_type type)
{
	return &rules[type];
}

bool kt_message_is_from_device(enum kt_message_type type)
{
	return types[type].from_device;
}

struct kt_report *kt_message_report(struct kt_message *message)
{
	return &message->u.answer.report;
}

bool kt_field_is_name(const char *s)
{
	size_t len = strnlen(s, KT_AGENT_NAME_MAX + 1);

	if (len == 0 || len > KT_AGENT_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	}
	return true;
}

bool kt_field_is_peer_reason(enum kt_reason reason)
{
	return reason > KT_REASON_NONE && reason < KT_REASON_COUNT && kt_reason_is_for_peer(reason);
}

size_t kt_message_size(const struct kt_message *message)
{
	return (unsigned)message->type < KT_MESSAGE_COUNT ? rules[message->type].size : 0;
}

/* Of what the type needs: a chain takes 16 KiB, and few messages have one. */
struct kt_message *kt_message_new(enum kt_message_type type)
{
	struct kt_message *message = calloc(1, rules[type].size);

	if (message != NULL)
		message->type = type;
	return message;
}

void kt_message_free(struct kt_message *message)
{
	if (message == NULL)
		return;
	kt_wipe(message, kt_message_size(message));
	free(message);
}

const char *kt_message_type_name(enum kt_message_type type)
{
	return (unsigned)type < KT_MESSAGE_COUNT ? types[type].name : "?";
}

const char *kt_phase_name(enum kt_device_phase phase)
{
	static const char *const names[] = {
		[KT_PHASE_STABLE] = "stable", [KT_PHASE_KEY] = "key", [KT_PHASE_CERT] = "cert"};

	return (unsigned)phase <= KT_PHASE_CERT ? names[phase] : "?";
}

const char *kt_next_name(enum kt_next next)
{
	static const char *const names[] = {
		[KT_NEXT_NONE] = "none",	   [KT_NEXT_ROTATE] = "rotate",
		[KT_NEXT_CERT] = "cert",	   [KT_NEXT_CONFIRM] = "confirm",
		[KT_NEXT_COMMITTED] = "committed", [KT_NEXT_CLOSED] = "closed"};

	return (unsigned)next <= KT_NEXT_CLOSED ? names[next] : "?";
}
