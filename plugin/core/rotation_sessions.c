/* Sessions that a rotation ends. */
#include "rotation.h"

/* Trials of a pending credential that was given up. */
void kt_rotation_end_trials(struct kt_core *core, const struct kt_device *device,
			    uint64_t after_seq)
{
	struct kt_session *session = NULL;

	while ((session = kt_sessions_next_of(core->sessions, device, session)) != NULL) {
		if (session->credential->status == KT_CREDENTIAL_ABANDONED)
			kt_core_kick_after(core, session, KT_REASON_OP_CLOSED, after_seq);
	}
}

/* After a commit the old credential's agent goes at once, the hub's programs when they reloaded. */
void kt_rotation_retire(struct kt_core *core, const struct kt_device *device, uint64_t after_seq)
{
	struct kt_session *session = NULL;

	while ((session = kt_sessions_next_of(core->sessions, device, session)) != NULL) {
		if (session->credential->status != KT_CREDENTIAL_SUPERSEDED)
			continue;
		if (session->kind == KT_SESSION_DEVICE && core->config->superseded_drain_ms > 0 &&
		    session->drain_until_ms == 0)
			session->drain_until_ms =
				core->now.mono_ms + core->config->superseded_drain_ms;
		else if (session->kind != KT_SESSION_DEVICE || session->drain_until_ms == 0)
			kt_core_kick_after(core, session, KT_REASON_CERT_SUPERSEDED, after_seq);
	}
}

/* The hub's own programs have reloaded: what still uses an older credential is done. */
void kt_rotation_end_drain(struct kt_core *core, const struct kt_device *device, uint64_t after_seq)
{
	struct kt_session *session = NULL;

	while ((session = kt_sessions_next_of(core->sessions, device, session)) != NULL) {
		if (session->credential->status == KT_CREDENTIAL_SUPERSEDED &&
		    session->credential->superseded_by <= device->promoted_op)
			kt_core_kick_after(core, session, KT_REASON_CERT_SUPERSEDED, after_seq);
	}
}
