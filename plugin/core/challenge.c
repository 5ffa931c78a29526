/* A proof made now that a session's private key is there: one nonce per session, used once. */
#include <stdio.h>
#include <string.h>

#include "core_internal.h"
#include "encoding.h"
#include "secmem.h"

static void forget(struct kt_session *session)
{
	session->has_challenge = false;
	memset(&session->challenge, 0, sizeof(session->challenge));
}

struct kt_outcome kt_challenge_send(struct kt_core *core, const struct kt_device *device,
				    const char *actor)
{
	struct kt_session *session = kt_core_session_of(core, device, KT_SESSION_AGENT);
	struct kt_message *message;

	(void)actor;
	if (session == NULL || !session->has_hello || session->credential != device->current)
		return (struct kt_outcome){.reason = KT_REASON_STATE};
	if (session->has_challenge && core->now.mono_ms < session->challenge_until_ms)
		return (struct kt_outcome){.reason = KT_REASON_BUSY};
	message = kt_core_message(core, session, KT_MESSAGE_CHALLENGE);
	if (message == NULL ||
	    core->ports.entropy->bytes(core->ports.entropy->ctx, session->challenge.b,
				       sizeof(session->challenge.b)) != KT_ERR_OK) {
		kt_message_free(message);
		forget(session);
		return (struct kt_outcome){.reason = KT_REASON_BUSY};
	}
	session->has_challenge = true;
	session->challenge_until_ms = core->now.mono_ms + core->config->challenge_timeout_ms;
	message->u.challenge.nonce = session->challenge;
	message->u.challenge.deadline_us =
		(uint64_t)(core->now.wall_us + core->config->challenge_timeout_ms * 1000);
	kt_core_send(core, session, message, 0);
	return (struct kt_outcome){.reason = KT_REASON_NONE};
}

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
	if (kt_hex_encode(answer->fp.b, sizeof(answer->fp.b), fp, sizeof(fp)) != KT_ERR_OK)
		fp[0] = '\0';
	(void)snprintf(generation, sizeof(generation), "%lu",
		       (unsigned long)answer->report.generation);
	kt_core_fact(core, KT_EVENT_CHALLENGE_ANSWERED, session->device, fields, 5, 0);
}

void kt_challenge_expire(struct kt_core *core, struct kt_session *session)
{
	if (!session->has_challenge || core->now.mono_ms < session->challenge_until_ms)
		return;
	forget(session);
	kt_core_fact(core, KT_EVENT_CHALLENGE_MISSED, session->device, NULL, 0, 0);
}
