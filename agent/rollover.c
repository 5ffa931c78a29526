#include "rollover.h"

#include <stddef.h>

#define CELL(act, phase)                                                                           \
	{                                                                                          \
		.action = KT_ACT_##act, .next = KT_AGENT_##phase                                   \
	}

/*
 * Why the less obvious cells are as they are:
 * - A newer rotate with cur = our active key settles the older op: it was not committed and never
 *   will be (the server closed it when it opened the newer one), so its key or credential may go.
 * - A newer rotate with cur = our pending key says that the older op WAS committed and only the
 *   answer was lost: pending becomes active before anything else happens.
 * - `closed` drops nothing: a server restored from a backup may say so by mistake.
 * - A certificate that does not verify keeps the key: the server gives the same bytes again.
 * - `enrolled` in KEY: a hub that enrols again (kt_rollover_is_claim); its old credential is kept
 *   and tried until the new one is committed, as in a rotation.
 */
static const struct kt_rollover_cell table[KT_AGENT_CERT + 1][KT_EV_COUNT] =
	{
		[KT_AGENT_NEW] =
			{
				[KT_EV_ROTATE_NEW] = CELL(IGNORE, NEW),
				[KT_EV_ROTATE_SETTLE] = CELL(IGNORE, NEW),
				[KT_EV_ROTATE_SAME] = CELL(IGNORE, NEW),
				[KT_EV_ROTATE_BAD] = CELL(IGNORE, NEW),
				[KT_EV_CERT_GOOD] = CELL(IGNORE, NEW),
				[KT_EV_CERT_BAD] = CELL(IGNORE, NEW),
				[KT_EV_ENROLLED] = CELL(SAVE_CERT, CERT),
				[KT_EV_CONFIRM_DUE] = CELL(IGNORE, NEW),
				[KT_EV_COMMITTED] = CELL(IGNORE, NEW),
				[KT_EV_COMMITTED_OTHER] = CELL(IGNORE, NEW),
				[KT_EV_CLOSED] = CELL(IGNORE, NEW),
				[KT_EV_NOTED_PROMOTED] = CELL(IGNORE, NEW),
				[KT_EV_NOTED_OTHER] = CELL(IGNORE, NEW),
			},
		[KT_AGENT_STABLE] =
			{
				[KT_EV_ROTATE_NEW] = CELL(NEW_KEY, KEY),
				[KT_EV_ROTATE_SETTLE] = CELL(IGNORE, STABLE),
				[KT_EV_ROTATE_SAME] = CELL(IGNORE, STABLE),
				[KT_EV_ROTATE_BAD] = CELL(IGNORE, STABLE),
				[KT_EV_CERT_GOOD] = CELL(IGNORE, STABLE),
				[KT_EV_CERT_BAD] = CELL(IGNORE, STABLE),
				[KT_EV_ENROLLED] = CELL(IGNORE, STABLE),
				[KT_EV_CONFIRM_DUE] = CELL(IGNORE, STABLE),
				[KT_EV_COMMITTED] = CELL(SEND_PROMOTED, STABLE),
				[KT_EV_COMMITTED_OTHER] = CELL(IGNORE, STABLE),
				[KT_EV_CLOSED] = CELL(IGNORE, STABLE),
				[KT_EV_NOTED_PROMOTED] = CELL(FINISH, STABLE),
				[KT_EV_NOTED_OTHER] = CELL(IGNORE, STABLE),
			},
		[KT_AGENT_KEY] =
			{
				[KT_EV_ROTATE_NEW] = CELL(NEW_KEY, KEY),
				[KT_EV_ROTATE_SETTLE] = CELL(IGNORE, KEY),
				[KT_EV_ROTATE_SAME] = CELL(SEND_CSR, KEY),
				[KT_EV_ROTATE_BAD] = CELL(IGNORE, KEY),
				[KT_EV_CERT_GOOD] = CELL(SAVE_CERT, CERT),
				[KT_EV_CERT_BAD] = CELL(REPORT_BAD_CERT, KEY),
				[KT_EV_ENROLLED] = CELL(SAVE_CERT, CERT),
				[KT_EV_CONFIRM_DUE] = CELL(IGNORE, KEY),
				[KT_EV_COMMITTED] = CELL(IGNORE, KEY),
				[KT_EV_COMMITTED_OTHER] = CELL(IGNORE, KEY),
				[KT_EV_CLOSED] = CELL(OLD_FIRST, KEY),
				[KT_EV_NOTED_PROMOTED] = CELL(FINISH, KEY),
				[KT_EV_NOTED_OTHER] = CELL(IGNORE, KEY),
			},
		[KT_AGENT_CERT] =
			{
				[KT_EV_ROTATE_NEW] = CELL(NEW_KEY, KEY),
				[KT_EV_ROTATE_SETTLE] = CELL(SETTLE_NEW_KEY, KEY),
				[KT_EV_ROTATE_SAME] = CELL(OPEN_TRIAL, CERT),
				[KT_EV_ROTATE_BAD] = CELL(IGNORE, CERT),
				[KT_EV_CERT_GOOD] = CELL(OPEN_TRIAL, CERT),
				[KT_EV_CERT_BAD] = CELL(IGNORE, CERT),
				[KT_EV_ENROLLED] = CELL(OPEN_TRIAL, CERT),
				[KT_EV_CONFIRM_DUE] = CELL(SEND_CONFIRM, CERT),
				[KT_EV_COMMITTED] = CELL(COMMIT, STABLE),
				[KT_EV_COMMITTED_OTHER] = CELL(IGNORE, CERT),
				[KT_EV_CLOSED] = CELL(OLD_FIRST, CERT),
				[KT_EV_NOTED_PROMOTED] = CELL(FINISH, CERT),
				[KT_EV_NOTED_OTHER] = CELL(IGNORE, CERT),
			},
};

struct kt_rollover_cell kt_rollover(enum kt_agent_phase phase, enum kt_rollover_event event)
{
	return table[phase][event];
}

const char *kt_agent_phase_name(enum kt_agent_phase phase)
{
	static const char *const names[] = {
		[KT_AGENT_NEW] = "new",
		[KT_AGENT_STABLE] = "stable",
		[KT_AGENT_KEY] = "key",
		[KT_AGENT_CERT] = "cert",
	};
	return (size_t)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "?";
}

const char *kt_agent_step_name(enum kt_agent_step step)
{
	static const char *const names[] = {
		[KT_STEP_NONE] = "none", [KT_STEP_LINK] = "link",	  [KT_STEP_HOOKS] = "hooks",
		[KT_STEP_WIPE] = "wipe", [KT_STEP_PROMOTED] = "promoted",
	};
	return (size_t)step < sizeof(names) / sizeof(names[0]) ? names[step] : "?";
}

const char *kt_rollover_event_name(enum kt_rollover_event event)
{
	static const char *const names[KT_EV_COUNT] = {
		[KT_EV_ROTATE_NEW] = "rotate.new",   [KT_EV_ROTATE_SETTLE] = "rotate.settle",
		[KT_EV_ROTATE_SAME] = "rotate.same", [KT_EV_ROTATE_BAD] = "rotate.bad",
		[KT_EV_CERT_GOOD] = "cert.good",     [KT_EV_CERT_BAD] = "cert.bad",
		[KT_EV_ENROLLED] = "enrolled",	     [KT_EV_CONFIRM_DUE] = "confirm.due",
		[KT_EV_COMMITTED] = "committed",     [KT_EV_COMMITTED_OTHER] = "committed.other",
		[KT_EV_CLOSED] = "closed",	     [KT_EV_NOTED_PROMOTED] = "noted.promoted",
		[KT_EV_NOTED_OTHER] = "noted.other",
	};
	return (size_t)event < KT_EV_COUNT ? names[event] : "?";
}

const char *kt_rollover_action_name(enum kt_rollover_action action)
{
	static const char *const names[] = {
		[KT_ACT_IGNORE] = "ignore",
		[KT_ACT_NEW_KEY] = "new.key",
		[KT_ACT_SETTLE_NEW_KEY] = "settle.new.key",
		[KT_ACT_SEND_CSR] = "send.csr",
		[KT_ACT_OPEN_TRIAL] = "open.trial",
		[KT_ACT_SAVE_CERT] = "save.cert",
		[KT_ACT_REPORT_BAD_CERT] = "report.bad.cert",
		[KT_ACT_SEND_CONFIRM] = "send.confirm",
		[KT_ACT_COMMIT] = "commit",
		[KT_ACT_OLD_FIRST] = "old.first",
		[KT_ACT_SEND_PROMOTED] = "send.promoted",
		[KT_ACT_FINISH] = "finish",
	};
	return (size_t)action < sizeof(names) / sizeof(names[0]) ? names[action] : "?";
}

bool kt_rollover_is_claim(const struct kt_agent_record *record)
{
	return record->phase == KT_AGENT_NEW ||
	       (record->phase == KT_AGENT_KEY && record->pending.op == 0);
}

bool kt_rollover_has_aside(const struct kt_agent_record *record)
{
	return record->retired.dir != 0 && record->step == KT_STEP_NONE &&
	       kt_slot_has_cert(&record->retired) &&
	       (record->phase == KT_AGENT_CERT || record->phase == KT_AGENT_KEY);
}

void kt_rollover_end_claim(struct kt_agent_record *record)
{
	record->phase = KT_AGENT_STABLE;
	record->pending = (struct kt_slot){0};
	if (record->retired.dir == 0 || record->step != KT_STEP_NONE)
		return;
	record->phase = kt_slot_has_cert(&record->retired) ? KT_AGENT_CERT : KT_AGENT_KEY;
	record->pending = record->retired;
	record->retired = (struct kt_slot){0};
	record->step = KT_STEP_LINK; /* the enrolment had cut them off, nobody knows where */
	record->step_op = record->active.op;
}

enum kt_rollover_event kt_rollover_rotate_event(const struct kt_agent_record *record,
						const struct kt_fingerprint *session_fp,
						const struct kt_msg_rotate *rotate)
{
	/* who enrols again has asked for another credential already, and not in vain (a ticket) */
	if (kt_rollover_is_claim(record))
		return KT_EV_ROTATE_BAD;
	if (rotate->op == record->op && record->op != 0)
		return KT_EV_ROTATE_SAME;
	if (rotate->op < record->op || rotate->op == 0)
		return KT_EV_ROTATE_BAD;
	if (!kt_fingerprint_eq(&rotate->cur, session_fp))
		return KT_EV_ROTATE_BAD;
	if (record->active.dir != 0 && kt_fingerprint_eq(&rotate->cur, &record->active.fp))
		return KT_EV_ROTATE_NEW;
	if (record->phase == KT_AGENT_CERT && record->pending.dir != 0 &&
	    kt_fingerprint_eq(&rotate->cur, &record->pending.fp))
		return KT_EV_ROTATE_SETTLE;
	return KT_EV_ROTATE_BAD;
}
