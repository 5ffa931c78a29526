/* Who may command, as far as it stands in the ledger: made and ended by those who may. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "outbox.h"

enum { ANSWER_MS = 1000 }; /* an answer that is not out by then is not waited for */

static struct kt_outcome refused(enum kt_reason reason)
{
	return (struct kt_outcome){.reason = reason};
}

static const char *name_of(const struct kt_config *config, const struct kt_operator *configured)
{
	const char *name = configured->name;

	if (configured->kind == KT_OPERATOR_UNIX)
		return "unix";
	if (configured->kind == KT_OPERATOR_CERT)
		(void)kt_uri_decode(configured->name, config->trust_domain, &name);
	return name;
}

/* The same name in the ledger would stand for somebody else behind one actor. */
static bool is_configured(const struct kt_config *config, const char *name)
{
	if (strcasecmp(name, "unix") == 0)
		return true;
	for (size_t i = 0; i < config->operator_count; i++) {
		if (strcasecmp(name_of(config, &config->operators[i]), name) == 0)
			return true;
	}
	return false;
}

static size_t count_admins(const struct kt_core *core)
{
	const struct kt_operator_entry *entry;
	size_t cursor = 0;
	size_t count = 0;

	for (size_t i = 0; i < core->config->operator_count; i++)
		count += core->config->operators[i].role == KT_ROLE_ADMIN ? 1 : 0;
	while ((entry = kt_registry_next_operator(core->registry, &cursor)) != NULL)
		count += !entry->is_removed && entry->role == KT_ROLE_ADMIN ? 1 : 0;
	return count;
}

static struct kt_outcome change(struct kt_core *core, struct kt_record *record, const char *actor,
				const char *note)
{
	enum kt_reason reason;

	(void)snprintf(record->note, sizeof(record->note), "%s", note);
	if (kt_core_change(core, record, actor, &reason) != KT_ERR_OK)
		return refused(reason);
	return (struct kt_outcome){.reason = reason,
				   .seq = reason == KT_REASON_NONE ? record->seq : 0};
}

static void tell(struct kt_core *core, enum kt_event event, const struct kt_operator_entry *entry,
		 const struct kt_outcome *outcome)
{
	const struct kt_field fields[] = {{"operator", entry->name.s},
					  {"role", kt_role_name(entry->role)},
					  {"actor", entry->by},
					  {"reason", outcome->reason == KT_REASON_NONE
							     ? NULL
							     : kt_reason_name(outcome->reason)}};

	kt_core_fact(core, event, NULL, fields, sizeof(fields) / sizeof(fields[0]), outcome->seq);
}

struct kt_outcome kt_operator_add(struct kt_core *core, const struct kt_new_operator *new_operator,
				  const char *actor, const char *note)
{
	const char *name = new_operator->name.s;
	const struct kt_operator_entry *entry =
		kt_registry_find_operator_nocase(core->registry, name);
	struct kt_record record = {.kind = KT_RECORD_OPERATOR_ADD,
				   .name = new_operator->name,
				   .fp = new_operator->fp,
				   .role = new_operator->role};
	struct kt_outcome outcome;

	if (is_configured(core->config, name) ||
	    (entry != NULL && (!entry->is_removed || strcmp(entry->name.s, name) != 0)))
		return refused(KT_REASON_EXISTS);
	outcome = change(core, &record, actor, note);
	entry = kt_registry_find_operator(core->registry, name);
	if (outcome.reason == KT_REASON_NONE && entry != NULL)
		tell(core, KT_EVENT_OPERATOR_ADDED, entry, &outcome);
	return outcome;
}

/* All at once, but for who asked: that session is told first, and may do nothing meanwhile. */
static void end_sessions(struct kt_core *core, const struct kt_operator_entry *entry,
			 const struct kt_session *asker)
{
	struct kt_session *session;
	size_t cursor = 0;

	while ((session = kt_sessions_next(core->sessions, &cursor)) != NULL) {
		if (session->operator_entry != entry)
			continue;
		if (session == asker)
			kt_outbox_plan_kick(core, session, KT_REASON_CERT_REVOKED, UINT64_MAX,
					    core->now.mono_ms + ANSWER_MS);
		else
			kt_core_kick_now(core, session, KT_REASON_CERT_REVOKED);
	}
}

struct kt_outcome kt_operator_remove(struct kt_core *core, const char *name,
				     const struct kt_session *asker, const char *note)
{
	const struct kt_operator_entry *entry = kt_registry_find_operator(core->registry, name);
	struct kt_record record = {.kind = KT_RECORD_OPERATOR_REMOVE};
	struct kt_outcome outcome;

	if (entry == NULL || entry->is_removed)
		return refused(is_configured(core->config, name) ? KT_REASON_STATE
								 : KT_REASON_NOT_FOUND);
	if (entry->role == KT_ROLE_ADMIN && count_admins(core) == 1)
		return refused(KT_REASON_ADMIN_LAST);
	record.name = entry->name;
	outcome = change(core, &record, asker->actor, note);
	if (outcome.reason != KT_REASON_NONE && outcome.reason != KT_REASON_NOT_DURABLE)
		return outcome;
	tell(core, KT_EVENT_OPERATOR_REMOVED, entry, &outcome);
	end_sessions(core, entry, asker);
	return outcome;
}
