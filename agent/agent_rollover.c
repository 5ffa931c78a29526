#include "agent_internal.h"

#include <stdio.h>
#include <string.h>

/* Persist, then act, then speak: in every function below the save comes before what others can see.
 */

enum kt_err kt_agent_save(struct kt_agent *agent, const struct kt_agent_record *record)
{
	enum kt_err err = agent->setup.disk->save(agent->setup.disk->ctx, record);
	const struct kt_field fields[] = {{"what", "record"}, {"err", kt_err_name(err)}};

	if (err != KT_ERR_OK)
		kt_agent_log(agent, KT_EVENT_AGENT_FAILED, fields, 2);
	return err;
}

void kt_agent_report(struct kt_agent *agent, uint64_t op, enum kt_reason reason)
{
	const struct kt_repeat failed = {
		.type = KT_MESSAGE_FAILED, .link = KT_LINK_AGENT, .op = op, .reason = reason};

	kt_agent_repeat_start(agent, KT_REPEAT_FAILED, &failed);
}

static void log_phase(struct kt_agent *agent, enum kt_rollover_event event)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	char op[24];
	const struct kt_field fields[] = {{"device", record->device.s},
					  {"phase", kt_agent_phase_name(record->phase)},
					  {"op", op},
					  {"why", kt_rollover_event_name(event)}};

	snprintf(op, sizeof(op), "%llu", (unsigned long long)record->op);
	kt_agent_log(agent, KT_EVENT_PHASE_CHANGED, fields, 4);
}

/* Deletes a directory that the record does not name any more; at worst the next start does it. */
static void drop_dir(struct kt_agent *agent, uint64_t dir)
{
	char text[24];
	const struct kt_field fields[] = {{"dir", text}};

	if (dir == 0)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)dir);
	if (agent->setup.disk->wipe(agent->setup.disk->ctx, dir) == KT_ERR_OK)
		kt_agent_log(agent, KT_EVENT_KEY_WIPED, fields, 1);
}

void kt_agent_send_csr(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_repeat csr = {
		.type = KT_MESSAGE_CSR, .link = KT_LINK_AGENT, .op = record->op};

	kt_agent_repeat_start(agent, KT_REPEAT_WORK, &csr);
}

/* The server hears of it and gives the order again, but in minutes: we try sooner. */
static void key_refused(struct kt_agent *agent, const struct kt_msg_rotate *rotate)
{
	agent->unmade = *rotate;
	agent->unmade_retry_ms = agent->now.mono_ms + agent->setup.timers.hook_retry;
	kt_agent_report(agent, rotate->op, KT_REASON_DISK);
}

/* A registry that was restored may give an op's number once more, with another nonce. */
static bool keep_nonce(struct kt_agent *agent, const struct kt_msg_rotate *rotate)
{
	struct kt_agent_record next = *kt_agent_record(agent);

	if (kt_nonce_eq(&next.op_nonce, &rotate->nonce))
		return true;
	next.op_nonce = rotate->nonce;
	return kt_agent_save(agent, &next) == KT_ERR_OK;
}

/*
 * A key for a newer op. With @settle the pending credential was committed and only the answer was
 * lost: it becomes active in the same record, so that no state between the two can be left behind.
 */
static void new_key(struct kt_agent *agent, const struct kt_msg_rotate *rotate, bool settle,
		    enum kt_rollover_event event)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_agent_record next = *kt_agent_record(agent);
	uint64_t unnamed[2] = {next.pending.dir, 0};
	enum kt_err err;
	char op[24];
	const struct kt_field fields[] = {{"device", next.device.s}, {"op", op}};

	snprintf(op, sizeof(op), "%llu", (unsigned long long)rotate->op);
	agent->unmade_retry_ms = 0;
	err = disk->new_key(disk->ctx, rotate->op, rotate->alg);
	if (err == KT_ERR_EXISTS)
		drop_dir(agent, rotate->op); /* what is there is no key */
	if (err != KT_ERR_OK)		     /* once more: it may have been a passing failure */
		err = disk->new_key(disk->ctx, rotate->op, rotate->alg);
	if (err != KT_ERR_OK) {
		key_refused(agent, rotate);
		return;
	}
	if (settle) {
		unnamed[0] = next.retired.dir;
		next.retired = next.active;
		next.active = next.pending;
		next.step = KT_STEP_LINK;
		next.step_op = next.op;
	} else if (kt_rollover_has_aside(&next)) { /* this session's credential is in force */
		unnamed[1] = next.retired.dir;
		next.retired = (struct kt_slot){0};
	}
	next.pending = (struct kt_slot){.dir = rotate->op, .op = rotate->op, .alg = rotate->alg};
	next.op = rotate->op;
	next.op_nonce = rotate->nonce;
	next.phase = KT_AGENT_KEY;
	if (kt_agent_save(agent, &next) != KT_ERR_OK) {
		key_refused(agent, rotate); /* the key stays: it may be one that was asked for */
		return;
	}
	if (settle && agent->hooks_running)
		agent->hooks_outdated = true;
	kt_agent_closed_is_over(agent);
	agent->other_turn = false;
	kt_agent_repeat_stop(agent, KT_REPEAT_FAILED);
	if (settle)
		kt_agent_repeat_stop(agent, KT_REPEAT_PROMOTED);
	drop_dir(agent, unnamed[0]);
	drop_dir(agent, unnamed[1]);
	kt_agent_log(agent, KT_EVENT_KEY_MADE, fields, 2);
	log_phase(agent, event);
	kt_agent_send_csr(agent);
	kt_agent_steps_drive(agent);
}

void kt_agent_unmade_drive(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_msg_rotate rotate = agent->unmade;
	enum kt_link link = kt_agent_active_link(agent);
	enum kt_rollover_event event = KT_EV_ROTATE_BAD;
	enum kt_rollover_action action = KT_ACT_IGNORE;

	if (agent->unmade_retry_ms == 0 || agent->now.mono_ms < agent->unmade_retry_ms)
		return;
	agent->unmade_retry_ms = 0;
	if (link == KT_LINK_COUNT)
		return; /* the next welcome steers on */
	event = kt_rollover_rotate_event(record, &agent->link[link].slot.fp, &rotate);
	action = kt_rollover(record->phase, event).action;
	if (action == KT_ACT_NEW_KEY || action == KT_ACT_SETTLE_NEW_KEY)
		new_key(agent, &rotate, action == KT_ACT_SETTLE_NEW_KEY, event);
}

/* The certificate could not be taken: says why, where there is a session to say it in. */
static void bad_cert(struct kt_agent *agent, enum kt_reason reason)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	if (kt_rollover(record->phase, KT_EV_CERT_BAD).action == KT_ACT_REPORT_BAD_CERT)
		kt_agent_report(agent, record->op, reason);
}

static void save_cert(struct kt_agent *agent, const struct kt_message *m,
		      enum kt_rollover_event event)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	bool is_enrolment = m->type == KT_MESSAGE_ENROLLED;
	const struct kt_chain *chain = is_enrolment ? &m->u.enrolled.chain : &m->u.cert.chain;
	struct kt_agent_record next = *kt_agent_record(agent);
	struct kt_cert_request request = {.chain = chain, .system_s = agent->now.wall_s};
	struct kt_cert_result result = {0};

	if (is_enrolment) {
		next.device = m->device;
		next.op = m->u.enrolled.op;
		next.op_nonce = m->u.enrolled.nonce;
		next.pending.op = m->u.enrolled.op;
	}
	request.dir = next.pending.dir;
	request.record = &next;
	if (disk->save_cert(disk->ctx, &request, &result) != KT_ERR_OK) {
		bad_cert(agent, result.reason);
		return;
	}
	next.pending.fp = result.leaf.fingerprint;
	if (!kt_cert_generation(&result.leaf, &next.pending.generation))
		next.pending.generation = next.active.generation + 1;
	if (result.verdict.floor_s > next.floor_s)
		next.floor_s = result.verdict.floor_s;
	next.phase = KT_AGENT_CERT;
	if (kt_agent_save(agent, &next) != KT_ERR_OK) {
		if (!is_enrolment)
			kt_agent_report(agent, next.op, KT_REASON_DISK);
		return;
	}
	kt_agent_repeat_stop(agent, KT_REPEAT_WORK);
	agent->silent = 0;
	kt_agent_closed_is_over(agent);
	agent->other_turn = false;
	kt_agent_link_retry_in(agent, KT_LINK_TRIAL, 0);
	log_phase(agent, event);
}

static void commit(struct kt_agent *agent, enum kt_rollover_event event)
{
	struct kt_agent_record next = *kt_agent_record(agent);
	uint64_t unnamed = next.retired.dir; /* its hooks never succeeded; the server refuses it */

	next.retired = next.active;
	next.active = next.pending;
	next.pending = (struct kt_slot){0};
	next.phase = KT_AGENT_STABLE;
	next.step = KT_STEP_LINK;
	next.step_op = next.op;
	if (kt_agent_save(agent, &next) != KT_ERR_OK)
		return; /* both keys are still here; the server says committed again */
	agent->hooks_outdated = agent->hooks_running;
	kt_agent_repeat_stop(agent, KT_REPEAT_WORK);
	kt_agent_repeat_stop(agent, KT_REPEAT_PROMOTED); /* of an op before: this one's says more */
	kt_agent_closed_is_over(agent);
	agent->other_turn = false;
	drop_dir(agent, unnamed);
	kt_agent_link_retry_in(agent, KT_LINK_AGENT, 0);
	log_phase(agent, event);
	kt_agent_steps_drive(agent);
}

enum kt_err kt_agent_settle_aside(struct kt_agent *agent, bool is_in_force)
{
	struct kt_agent_record next = *kt_agent_record(agent);
	const struct kt_slot aside = next.retired;
	enum kt_err err;

	next.retired = (struct kt_slot){0};
	if (is_in_force) { /* as after `committed`, which was lost */
		next.retired = next.active;
		next.active = aside;
		next.step = KT_STEP_LINK;
		next.step_op = aside.op;
	}
	err = kt_agent_save(agent, &next);
	if (err != KT_ERR_OK)
		return err;
	agent->aside_turn = false;
	if (!is_in_force)
		drop_dir(agent, aside.dir);
	return KT_ERR_OK;
}

static void finish(struct kt_agent *agent)
{
	struct kt_agent_record next = *kt_agent_record(agent);

	next.step = KT_STEP_NONE;
	if (kt_agent_save(agent, &next) == KT_ERR_OK)
		kt_agent_repeat_stop(agent, KT_REPEAT_PROMOTED);
}

static void send_promoted(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_repeat promoted = {
		.type = KT_MESSAGE_PROMOTED, .link = KT_LINK_AGENT, .op = record->step_op};

	if (record->step == KT_STEP_NONE || record->step == KT_STEP_PROMOTED)
		kt_agent_repeat_start(agent, KT_REPEAT_PROMOTED, &promoted);
}

void kt_agent_ask_again(struct kt_agent *agent)
{
	const struct kt_repeat hello = {
		.type = KT_MESSAGE_HELLO, .link = KT_LINK_AGENT, .op = kt_agent_record(agent)->op};

	if (!agent->repeat[KT_REPEAT_HELLO].is_due)
		kt_agent_repeat_later(agent, KT_REPEAT_HELLO, &hello);
}

void kt_agent_roll(struct kt_agent *agent, enum kt_rollover_event event,
		   const struct kt_rollover_input *input)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	struct kt_rollover_cell cell = kt_rollover(record->phase, event);
	const struct kt_repeat confirm = {
		.type = KT_MESSAGE_CONFIRM, .link = input->link, .op = record->op};

	switch (cell.action) {
	case KT_ACT_IGNORE:
		break;
	case KT_ACT_NEW_KEY:
		new_key(agent, &input->message->u.rotate, false, event);
		break;
	case KT_ACT_SETTLE_NEW_KEY:
		new_key(agent, &input->message->u.rotate, true, event);
		break;
	case KT_ACT_SEND_CSR:
		kt_agent_closed_is_over(agent);
		if (keep_nonce(agent, &input->message->u.rotate))
			kt_agent_send_csr(agent);
		break;
	case KT_ACT_OPEN_TRIAL:
		kt_agent_closed_is_over(agent);
		kt_agent_link_retry_in(agent, KT_LINK_TRIAL, 0);
		break;
	case KT_ACT_SAVE_CERT:
		save_cert(agent, input->message, event);
		break;
	case KT_ACT_REPORT_BAD_CERT: /* save_cert's own */
		break;
	case KT_ACT_SEND_CONFIRM:
		kt_agent_repeat_start(agent, KT_REPEAT_WORK, &confirm);
		break;
	case KT_ACT_COMMIT:
		commit(agent, event);
		break;
	case KT_ACT_OLD_FIRST:
		agent->old_first = record->active.dir != 0;
		kt_agent_repeat_stop(agent, KT_REPEAT_WORK);
		kt_agent_ask_again(agent);
		break;
	case KT_ACT_SEND_PROMOTED:
		send_promoted(agent);
		break;
	case KT_ACT_FINISH:
		finish(agent);
		break;
	}
}

/* --- the steps after a commit: link, hooks, wipe, promoted; each saved before the next --- */

static bool save_step(struct kt_agent *agent, enum kt_agent_step step)
{
	struct kt_agent_record next = *kt_agent_record(agent);

	next.step = step;
	if (step == KT_STEP_PROMOTED)
		next.retired = (struct kt_slot){0};
	return kt_agent_save(agent, &next) == KT_ERR_OK;
}

static void retry_step(struct kt_agent *agent)
{
	agent->step_retry_ms = agent->now.mono_ms + agent->setup.timers.hook_retry;
}

/* One step; true if the next one can follow at once. */
static bool take_step(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_agent_disk *disk = agent->setup.disk;

	switch (record->step) {
	case KT_STEP_LINK:
		if (disk->link(disk->ctx, record->active.dir) != KT_ERR_OK)
			break;
		return save_step(agent, KT_STEP_HOOKS);
	case KT_STEP_HOOKS:
		if (agent->hooks_running)
			return false;
		if (agent->setup.hooks->start(agent->setup.hooks->ctx, "committed") != KT_ERR_OK)
			break;
		agent->hooks_running = true;
		return false;
	case KT_STEP_WIPE:
		if (record->retired.dir != 0 &&
		    disk->wipe(disk->ctx, record->retired.dir) != KT_ERR_OK)
			break;
		return save_step(agent, KT_STEP_PROMOTED);
	case KT_STEP_PROMOTED:
		if (!agent->repeat[KT_REPEAT_PROMOTED].is_due)
			send_promoted(agent);
		return false;
	case KT_STEP_NONE:
		return false;
	}
	kt_agent_report(agent, record->step_op, KT_REASON_DISK);
	retry_step(agent);
	return false;
}

void kt_agent_steps_drive(struct kt_agent *agent)
{
	if (agent->step_retry_ms != 0 && agent->now.mono_ms < agent->step_retry_ms)
		return;
	agent->step_retry_ms = 0;
	while (take_step(agent))
		;
}

void kt_agent_hooks_done(struct kt_agent *agent, struct kt_agent_now now, bool succeeded)
{
	const struct kt_agent_record *record = kt_agent_record(agent);

	agent->now = now;
	agent->hooks_running = false;
	if (agent->hooks_outdated) {
		agent->hooks_outdated = false; /* they saw the identity before this one */
		kt_agent_steps_drive(agent);
		return;
	}
	if (record->step != KT_STEP_HOOKS)
		return;
	if (!succeeded) {
		kt_agent_report(agent, record->step_op, KT_REASON_HOOK);
		retry_step(agent);
		return;
	}
	if (save_step(agent, KT_STEP_WIPE))
		kt_agent_steps_drive(agent);
	else
		retry_step(agent);
}

void kt_agent_wipe_all(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const uint64_t dirs[] = {record->active.dir, record->pending.dir, record->retired.dir};
	struct kt_agent_record next = *record;

	next.phase = KT_AGENT_NEW;
	next.active = (struct kt_slot){0};
	next.pending = (struct kt_slot){0};
	next.retired = (struct kt_slot){0};
	next.step = KT_STEP_NONE;
	if (kt_agent_save(agent, &next) != KT_ERR_OK)
		return;
	agent->is_revoked = true;
	agent->step_retry_ms = 0;
	for (unsigned i = 0; i < KT_REPEAT_COUNT; i++)
		kt_agent_repeat_stop(agent, i);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		drop_dir(agent, dirs[i]);
	for (int i = 0; i < (int)KT_LINK_COUNT; i++)
		kt_agent_link_close(agent, (enum kt_link)i);
}
