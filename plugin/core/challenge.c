/*
 * A proof made now that a session's private key is there: one nonce per session, used once; on an
 * operator's demand, or by challenge_every; and what silence is answered with.
 */
#include <stdio.h>
#include <string.h>

#include "campaign.h"
#include "encoding.h"
#include "secmem.h"

enum { AGAIN_MS = 5000 };

static void forget(struct kt_session *session)
{
	session->has_challenge = false;
	session->is_challenge_out = false;
	session->challenge_again_ms = 0;
	memset(&session->challenge, 0, sizeof(session->challenge));
}

static enum kt_reason send(struct kt_core *core, struct kt_session *session)
{
	struct kt_message *message;

	if (!session->has_hello || session->credential != session->device->current)
		return KT_REASON_STATE;
	if (session->has_challenge && core->now.mono_ms < session->challenge_until_ms)
		return KT_REASON_BUSY;
	message = kt_core_message(core, session, KT_MESSAGE_CHALLENGE);
	if (message == NULL ||
	    core->ports.entropy->bytes(core->ports.entropy->ctx, session->challenge.b,
				       sizeof(session->challenge.b)) != KT_ERR_OK) {
		kt_message_free(message);
		forget(session);
		return KT_REASON_BUSY;
	}
	session->has_challenge = true;
	session->is_challenge_out = false;
	session->challenge_until_ms = core->now.mono_ms + core->config->challenge_timeout_ms;
	message->u.challenge.nonce = session->challenge;
	message->u.challenge.deadline_us =
		(uint64_t)(core->now.wall_us + core->config->challenge_timeout_ms * 1000);
	kt_core_send(core, session, message, 0);
	return KT_REASON_NONE;
}

struct kt_outcome kt_challenge_send(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	struct kt_session *session = kt_core_session_of(core, device, KT_SESSION_AGENT);

	(void)actor;
	return (struct kt_outcome){.reason =
					   session == NULL ? KT_REASON_STATE : send(core, session)};
}

void kt_challenge_left(struct kt_core *core, struct kt_session *session)
{
	if (!session->has_challenge || session->is_challenge_out)
		return;
	session->is_challenge_out = true;
	session->challenge_until_ms = core->now.mono_ms + core->config->challenge_timeout_ms;
}

/* --- by itself --- */

/*
 * A device's moments are a grid of its own in the machine's time: whoever reconnects often has the
 * same ones, a restart does not bring the whole fleet's together, and no table is needed.
 */
static int64_t next_moment_ms(const struct kt_core *core, const struct kt_device *device)
{
	const int64_t every_ms = kt_core_policy(core, device).challenge_every_ms;
	uint8_t hash[32];
	uint64_t share = 0;
	int64_t phase_ms;

	kt_sha256(device->id.s, strlen(device->id.s), hash);
	for (size_t i = 0; i < sizeof(share); i++)
		share = share << 8 | hash[i];
	if (every_ms == 0)
		return 0; /* on demand alone, from now on */
	phase_ms = (int64_t)(share % (uint64_t)every_ms);
	return core->now.mono_ms +
	       (every_ms - (core->now.mono_ms % every_ms - phase_ms + every_ms) % every_ms);
}

void kt_challenge_plan(struct kt_core *core, struct kt_session *session)
{
	if (session->kind == KT_SESSION_AGENT)
		session->challenge_due_ms = next_moment_ms(core, session->device);
}

bool kt_challenge_if_due(struct kt_core *core, struct kt_session *session)
{
	enum kt_reason reason = KT_REASON_NONE;

	if (session->challenge_due_ms == 0 || core->now.mono_ms < session->challenge_due_ms ||
	    !session->has_hello)
		return false;
	/* one that an operator has asked for is under way: it proves the same */
	if (!session->has_challenge)
		reason = send(core, session);
	if (reason == KT_REASON_BUSY)
		return false; /* no memory now: the next walk */
	session->challenge_due_ms = next_moment_ms(core, session->device);
	return session->has_challenge && reason == KT_REASON_NONE;
}

/* --- answers, or none --- */

void kt_challenge_on_answer(struct kt_core *core, struct kt_session *session, struct kt_message *m)
{
	const struct kt_msg_answer *answer = &m->u.answer;
	char fp[KT_HEX_LEN(KT_FINGERPRINT_LEN) + 1] = "";
	char generation[12];
	const struct kt_field fields[] = {{"fp", fp},
					  {"gen", generation},
					  {"agent", answer->report.agent},
					  {"store", answer->report.store},
					  {"phase", kt_phase_name(answer->report.phase)}};

	if (!session->has_challenge || core->now.mono_ms >= session->challenge_until_ms ||
	    !kt_ct_equal(&answer->nonce, &session->challenge, sizeof(answer->nonce))) {
		kt_core_reject(core, session, KT_REASON_NONCE_WRONG, 0, 0);
		return;
	}
	if (!kt_fingerprint_eq(&answer->fp, &session->credential->fp)) {
		kt_core_reject(core, session, KT_REASON_FP_WRONG, 0, 0);
		return;
	}
	forget(session);
	kt_campaign_on_proof(core, session->device, true);
	if (kt_hex_encode(answer->fp.b, sizeof(answer->fp.b), fp, sizeof(fp)) != KT_ERR_OK)
		/* cppcheck-suppress unreadVariable ; a field points to it */
		fp[0] = '\0';
	(void)snprintf(generation, sizeof(generation), "%lu",
		       (unsigned long)answer->report.generation);
	kt_core_fact(core, KT_EVENT_CHALLENGE_ANSWERED, session->device, fields, 5, 0);
}

void kt_challenge_unheard(struct kt_core *core, struct kt_session *session)
{
	if (session->has_challenge && session->challenge_again_ms == 0)
		session->challenge_again_ms = core->now.mono_ms + AGAIN_MS;
}

void kt_challenge_expire(struct kt_core *core, struct kt_session *session)
{
	const bool was_out = session->is_challenge_out;
	struct kt_outcome outcome;

	if (session->challenge_again_ms != 0 &&
	    (core->now.mono_ms >= session->challenge_again_ms ||
	     core->now.mono_ms >= session->challenge_until_ms)) {
		forget(session);
		(void)send(core, session); /* no memory now, or none of its any more: no silence */
		return;
	}
	if (!session->has_challenge || core->now.mono_ms < session->challenge_until_ms)
		return;
	forget(session);
	if (!was_out)
		return; /* it never left us: nobody is silent */
	kt_core_fact(core, KT_EVENT_CHALLENGE_MISSED, session->device, NULL, 0, 0);
	kt_campaign_on_proof(core, session->device, false);
	switch (kt_core_policy(core, session->device).challenge_silence) {
	case KT_POLICY_REPORT:
		break;
	case KT_POLICY_QUARANTINE:
		if (session->device->quarantined)
			break;
		outcome =
			kt_device_quarantine(core, session->device, "keyturn", "challenge missed");
		(void)outcome; /* refused: no memory; the next silence tries again */
		break;
	case KT_POLICY_DISCONNECT:
		core->refusals[KT_REASON_CHALLENGE_TIMEOUT]++;
		kt_core_kick_now(core, session, KT_REASON_CHALLENGE_TIMEOUT);
		break;
	}
}
