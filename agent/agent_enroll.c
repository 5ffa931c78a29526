#include "agent_internal.h"

#include <stdio.h>
#include <string.h>

enum { RETRY_AFTER_REFUSAL_S = 60 };

/* Directories of enrolment keys are small numbers, those of rotations are ops (microseconds). */
static uint64_t enrolment_dir(const struct kt_agent_record *record)
{
	return record->seq + 1;
}

enum kt_err kt_agent_enroll_key(struct kt_agent *agent)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_agent_record next = *kt_agent_record(agent);
	enum kt_err err = KT_ERR_INTERNAL;
	char text[24];
	const struct kt_field fields[] = {{"what", "enrolment"}, {"dir", text}};

	if (!kt_rollover_is_claim(&next))
		return KT_ERR_STATE;
	if (next.pending.dir != 0)
		return KT_ERR_OK;
	next.pending = (struct kt_slot){.dir = enrolment_dir(&next), .alg = KT_ALG_ES256};
	snprintf(text, sizeof(text), "%llu", (unsigned long long)next.pending.dir);
	err = disk->new_key(disk->ctx, next.pending.dir, KT_ALG_ES256);
	if (err == KT_ERR_OK)
		err = kt_agent_save(agent, &next);
	if (err != KT_ERR_OK) {
		(void)disk->wipe(disk->ctx, next.pending.dir);
		return err;
	}
	kt_agent_log(agent, KT_EVENT_KEY_MADE, fields, 2);
	return KT_ERR_OK;
}

/*
 * The identity that the record holds is kept and tried on. A rotation's key is put aside, for the
 * case that nothing comes of the enrolment. With a certificate it may be the one that is in force:
 * it is tried in turn with the active one, whose place it takes where there is none; but beside
 * another such it was never confirmed (kt_rollover_has_aside). What had been retired goes, as at a
 * commit. *unnamed: the directory that goes, 0 for none. False: `current` is not switched yet.
 */
static bool make_room(struct kt_agent_record *next, uint64_t *unnamed)
{
	const bool is_rotation = next->phase == KT_AGENT_CERT ||
				 (next->phase == KT_AGENT_KEY && !kt_rollover_is_claim(next));

	*unnamed = next->pending.dir;
	if (is_rotation && next->active.dir == 0) {
		next->active = next->pending;
		*unnamed = 0;
	} else if (is_rotation && !kt_rollover_has_aside(next)) {
		if (next->step == KT_STEP_LINK)
			return false;
		*unnamed = next->retired.dir;
		next->retired = next->pending;
		next->step = KT_STEP_NONE; /* taken up when the claim is given up */
	}
	next->phase = next->active.dir != 0 ? KT_AGENT_KEY : KT_AGENT_NEW;
	return true;
}

enum kt_err kt_agent_enroll_again(struct kt_agent *agent, const uint8_t *ticket_sha256)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_agent_record next = *kt_agent_record(agent);
	uint64_t unnamed = 0;
	enum kt_err err = KT_ERR_STATE;
	char text[24];
	const struct kt_field fields[] = {{"what", "enrolment"}, {"dir", text}};

	if (!make_room(&next, &unnamed))
		return err;
	next.pending = (struct kt_slot){.dir = enrolment_dir(&next), .alg = KT_ALG_ES256};
	next.has_ticket = ticket_sha256 != NULL;
	if (next.has_ticket)
		memcpy(next.ticket_sha256, ticket_sha256, sizeof(next.ticket_sha256));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)next.pending.dir);
	err = disk->new_key(disk->ctx, next.pending.dir, KT_ALG_ES256);
	if (err == KT_ERR_OK)
		err = kt_agent_save(agent, &next);
	if (err != KT_ERR_OK) {
		(void)disk->wipe(disk->ctx, next.pending.dir);
		return err;
	}
	kt_agent_log(agent, KT_EVENT_KEY_MADE, fields, 2);
	if (unnamed != 0)
		(void)disk->wipe(disk->ctx, unnamed);
	return KT_ERR_OK;
}

bool kt_agent_enroll_prepare(struct kt_agent *agent)
{
	if (kt_agent_enroll_key(agent) == KT_ERR_OK)
		return true;
	kt_agent_link_retry_in(agent, KT_LINK_CLAIM,
			       kt_agent_backoff_ms(agent, agent->link[KT_LINK_CLAIM].tries));
	return false;
}

/* The id to ask for: the ticket's, else the configured one, else none. */
static void wanted_device(const struct kt_agent *agent, struct kt_device_id *out)
{
	const struct kt_ticket *ticket = agent->setup.ticket;
	const struct kt_agent_record *record = kt_agent_record(agent);
	const char *id = agent->setup.claim_device;

	if (record->phase != KT_AGENT_NEW)
		id = record->device.s; /* again: it is who it is */
	else if (ticket != NULL && ticket->device[0] != '\0')
		id = ticket->device;
	if (id == NULL || !kt_device_id_set(out, id, strlen(id)))
		memset(out, 0, sizeof(*out));
}

void kt_agent_enroll_send(struct kt_agent *agent)
{
	const struct kt_agent_record *record = kt_agent_record(agent);
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_agent_link *l = &agent->link[KT_LINK_CLAIM];
	struct kt_message *message = NULL;
	struct kt_msg_enroll *enroll = NULL;
	char binding[44];

	if (agent->setup.entropy->bytes(agent->setup.entropy->ctx, l->dn.b, sizeof(l->dn.b)) !=
	    KT_ERR_OK)
		goto fail;
	message = kt_agent_message(agent, KT_LINK_CLAIM, KT_MESSAGE_ENROLL);
	if (message == NULL)
		goto fail;
	wanted_device(agent, &message->device);
	enroll = &message->u.enroll;
	kt_csr_binding(record->trust_domain, message->device.s, 0, &l->dn, binding);
	if (disk->csr(disk->ctx, record->pending.dir,
		      message->device.s[0] != '\0' ? message->device.s : "keyturn", binding,
		      enroll->csr, &enroll->csr_len) != KT_ERR_OK) {
		kt_message_free(message);
		goto fail;
	}
	if (agent->setup.ticket != NULL) {
		enroll->has_ticket = true;
		memcpy(enroll->ticket, agent->setup.ticket->secret, sizeof(enroll->ticket));
	}
	if (kt_agent_send(agent, KT_LINK_CLAIM, record->pending.dir, message) == KT_ERR_OK)
		return;
fail:
	kt_agent_link_retry_in(agent, KT_LINK_CLAIM, kt_agent_backoff_ms(agent, l->tries));
	kt_agent_link_close(agent, KT_LINK_CLAIM);
}

/* Hangs up and comes back later: a claimant's connection is not kept while an operator thinks. */
static void come_back_in(struct kt_agent *agent, uint32_t retry_s)
{
	kt_agent_link_retry_in(agent, KT_LINK_CLAIM, kt_agent_told_ms(agent, retry_s));
	kt_agent_link_close(agent, KT_LINK_CLAIM);
}

static bool is_wanted(const struct kt_agent *agent, const struct kt_device_id *given)
{
	struct kt_device_id wanted;

	wanted_device(agent, &wanted);
	if (given->s[0] == '\0')
		return false;
	if (kt_agent_record(agent)->phase != KT_AGENT_NEW)
		return strcmp(given->s, wanted.s) == 0;
	/* an operator may name it otherwise; a ticket for one device may not */
	if (agent->setup.ticket != NULL && agent->setup.ticket->device[0] != '\0')
		return strcmp(given->s, wanted.s) == 0;
	return true;
}

/*
 * The hub is in session with what it has, and nobody wants the claim: without it rotations go on,
 * also the one whose key was put aside, if no later op has closed it. The ticket's hash stays in
 * the record, so that the next start does not begin with it once more.
 */
static void give_claim_up(struct kt_agent *agent)
{
	const struct kt_agent_disk *disk = agent->setup.disk;
	struct kt_agent_record next = *kt_agent_record(agent);
	uint64_t unnamed[] = {next.pending.dir, 0};

	kt_rollover_end_claim(&next);
	if (next.pending.dir != 0 && next.pending.op != next.op) {
		unnamed[1] = next.pending.dir;
		next.pending = (struct kt_slot){0};
		next.phase = KT_AGENT_STABLE;
	}
	kt_agent_link_retry_in(agent, KT_LINK_CLAIM, RETRY_AFTER_REFUSAL_S * INT64_C(1000));
	kt_agent_link_close(agent, KT_LINK_CLAIM);
	if (kt_agent_save(agent, &next) != KT_ERR_OK)
		return;
	for (size_t i = 0; i < sizeof(unnamed) / sizeof(unnamed[0]); i++) {
		if (unnamed[i] != 0)
			(void)disk->wipe(disk->ctx, unnamed[i]);
	}
	if (next.phase == KT_AGENT_KEY) { /* no `rotate` was heard meanwhile: is its op open yet? */
		kt_agent_send_csr(agent);
		kt_agent_ask_again(agent);
	}
	kt_agent_steps_drive(agent);
}

void kt_agent_enroll_receive(struct kt_agent *agent, const struct kt_message *message)
{
	const struct kt_rollover_input input = {.link = KT_LINK_CLAIM, .message = message};
	const struct kt_field fields[] = {{"type", kt_message_type_name(message->type)},
					  {"reason", "id.mismatch"}};

	if (!kt_rollover_is_claim(kt_agent_record(agent)))
		return; /* the link is about to be closed */
	if (message->type == KT_MESSAGE_ENROLLED) {
		if (is_wanted(agent, &message->device))
			kt_agent_roll(agent, KT_EV_ENROLLED, &input);
		else
			kt_agent_log(agent, KT_EVENT_REPLY_REFUSED, fields, 2);
	} else if (message->type == KT_MESSAGE_PENDING) {
		snprintf(agent->last_reason, sizeof(agent->last_reason), "pending");
		come_back_in(agent, message->u.pending.retry_s);
	} else if (message->type == KT_MESSAGE_REJECT) {
		if (message->u.reject.reason == KT_REASON_CLAIM_REFUSED &&
		    kt_agent_active_link(agent) != KT_LINK_COUNT) {
			give_claim_up(agent);
			return;
		}
		snprintf(agent->last_reason, sizeof(agent->last_reason), "%s",
			 kt_reason_name(message->u.reject.reason));
		come_back_in(agent, message->u.reject.retry_s > 0 ? message->u.reject.retry_s
								  : RETRY_AFTER_REFUSAL_S);
	}
}
