#include "clone.h"

#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "worker.h"

_Static_assert((int)KT_CLONE_SIGNAL_COUNT <= (int)KT_VARIANTS, "a variant for each signal");

enum { TURNS_WINDOW_MS = 60000 };

const char *kt_clone_signal_name(enum kt_clone_signal signal)
{
	static const char *const names[KT_CLONE_SIGNAL_COUNT] = {
#define CLONE_SIGNAL_NAME(code, name) [KT_CLONE_##code] = (name),
		KT_CLONE_SIGNAL_LIST(CLONE_SIGNAL_NAME)
#undef CLONE_SIGNAL_NAME
	};

	return (unsigned)signal < KT_CLONE_SIGNAL_COUNT ? names[signal] : "?";
}

/* --- what follows --- */

/*
 * A refused credential is out already, and whoever has found an old one may show it at any time: if
 * that cost the device its topics, he could take them from the honest hub.
 */
static enum kt_policy policy_of(const struct kt_group_policy *policy, enum kt_clone_signal signal)
{
	switch (signal) {
	case KT_CLONE_SUPERSEDED:
	case KT_CLONE_REVOKED:
	case KT_CLONE_SIGNAL_COUNT:
		return KT_POLICY_REPORT;
	case KT_CLONE_SECOND_KEY:
		return policy->clone_second_key;
	case KT_CLONE_CONTENDED:
		return policy->clone_contended;
	case KT_CLONE_OLD_ANSWER:
		return policy->clone_old_answer;
	case KT_CLONE_OP_RANGE:
		return policy->clone_op_range;
	}
	return KT_POLICY_REPORT;
}

/* Told first: the events arrive in the order of cause and effect. */
static void act(struct kt_core *core, const struct kt_device *device, enum kt_clone_signal signal)
{
	const struct kt_group_policy policy = kt_core_policy(core, device);
	struct kt_outcome outcome;
	char note[64];

	if (policy_of(&policy, signal) != KT_POLICY_QUARANTINE || device->quarantined)
		return;
	(void)snprintf(note, sizeof(note), "clone signal %s", kt_clone_signal_name(signal));
	outcome = kt_device_quarantine(core, device, "keyturn", note);
	(void)outcome; /* refused: no memory; the signal was told, and its next one tries again */
}

static void hex_of(const struct kt_fingerprint *fp, char out[static 65])
{
	if (kt_hex_encode(fp->b, sizeof(fp->b), out, 65) != KT_ERR_OK)
		out[0] = '\0';
}

/* --- a refused credential --- */

/*
 * Rule 7: the hub's own programs may still use the superseded credential until it says `promoted`,
 * and what they sent just before may come in just after; later only a copy does.
 */
static bool is_after_promoted(const struct kt_core *core, const struct kt_credential *credential)
{
	const struct kt_device *device = credential->device;
	int64_t said_ms = device->promoted_before_op >= credential->superseded_by
				  ? device->promoted_before_ms
				  : device->promoted_ms;

	return device->promoted_op >= credential->superseded_by &&
	       (said_ms == 0 || core->now.mono_ms - said_ms >= core->config->superseded_drain_ms);
}

void kt_clone_on_refused(struct kt_core *core, const struct kt_admission *admission)
{
	const struct kt_credential *credential = admission->credential;
	const struct kt_device *device =
		credential != NULL ? credential->device : admission->left_behind;
	const enum kt_clone_signal signal = admission->reason == KT_REASON_CERT_REVOKED
						    ? KT_CLONE_REVOKED
						    : KT_CLONE_SUPERSEDED;
	enum kt_event event = KT_EVENT_CLONE_SUSPECTED;
	char fp[65];
	const struct kt_field fields[] = {{"signal", kt_clone_signal_name(signal)},
					  {"fp", fp},
					  {"reason", kt_reason_name(admission->reason)}};

	if (admission->left_behind == NULL && admission->reason != KT_REASON_CERT_SUPERSEDED &&
	    admission->reason != KT_REASON_CERT_REVOKED)
		return;
	if (credential != NULL && admission->reason == KT_REASON_CERT_SUPERSEDED &&
	    is_after_promoted(core, credential))
		event = KT_EVENT_CLONE_ALARMED;
	hex_of(&admission->fp, fp);
	kt_core_alarm(core, (struct kt_alarm){event, signal}, device, fields, 3, 0);
	act(core, device, signal);
}

/* --- one client id, in turn from two addresses --- */

/*
 * A broken link makes a hub take itself over from the address that it had; another network, from
 * another one, and back again perhaps. Two parties throw each other out, each as soon as it
 * notices. True: one turn more, from @old's address to @session's and back.
 */
static bool is_turn(struct kt_contention *contention, const struct kt_session *session,
		    const struct kt_session *old)
{
	if (old->address[0] == '\0' || session->address[0] == '\0' ||
	    strcmp(old->address, session->address) == 0)
		return false;
	if (strcmp(contention->other, session->address) != 0)
		memset(contention, 0, sizeof(*contention)); /* a third one: the count begins anew */
	memcpy(contention->other, old->address, sizeof(contention->other));
	return true;
}

void kt_clone_on_takeover(struct kt_core *core, struct kt_session *session,
			  const struct kt_session *old)
{
	struct kt_contention *contention = &session->contention;
	const struct kt_field fields[] = {{"signal", kt_clone_signal_name(KT_CLONE_CONTENDED)},
					  {"client", session->client_id},
					  {"address", session->address},
					  {"other", old->address}};
	int64_t *turns = contention->turns_ms;

	if (session->credential == NULL || session->credential != old->credential)
		return;
	*contention = old->contention;
	if (!is_turn(contention, session, old))
		return;
	memmove(turns, turns + 1, (KT_TURNS_MAX - 1) * sizeof(turns[0]));
	turns[KT_TURNS_MAX - 1] = core->now.mono_ms;
	if (turns[0] == 0 || core->now.mono_ms - turns[0] > TURNS_WINDOW_MS) {
		contention->told = false; /* what was told before is over */
		return;
	}
	if (contention->told)
		return;
	contention->told = true;
	kt_core_alarm(core, (struct kt_alarm){KT_EVENT_SESSION_CONTENDED, KT_CLONE_CONTENDED},
		      session->device, fields, 4, 0);
	act(core, session->device, KT_CLONE_CONTENDED);
}

/* --- messages --- */

void kt_clone_on_second_key(struct kt_core *core, const struct kt_device *device, uint64_t op,
			    uint64_t after_seq)
{
	char text[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {{"signal", kt_clone_signal_name(KT_CLONE_SECOND_KEY)},
					  {"op", text},
					  {"reason", kt_reason_name(KT_REASON_KEY_SECOND)}};

	kt_u64_encode(op, text);
	kt_core_alarm(core, (struct kt_alarm){KT_EVENT_CLONE_ALARMED, KT_CLONE_SECOND_KEY}, device,
		      fields, 3, after_seq);
	act(core, device, KT_CLONE_SECOND_KEY);
}

/* Once for each connection: who repeats himself has been told of. */
static bool is_news(struct kt_session *session, enum kt_clone_signal signal)
{
	const unsigned bit = 1u << signal;
	const bool is_new = (session->signals_told & bit) == 0;

	session->signals_told |= bit;
	return is_new;
}

/* The older credential of the session's own device that @job's message was signed with, or NULL. */
static const struct kt_credential *
signer_of(const struct kt_core *core, const struct kt_session *session, const struct kt_job *job)
{
	for (size_t i = 0; i < job->signed_by_count; i++) {
		const struct kt_credential *credential =
			kt_registry_find_credential(core->registry, &job->signed_by[i]);

		if (credential != NULL && credential->device == session->device &&
		    (credential->status == KT_CREDENTIAL_SUPERSEDED ||
		     credential->status == KT_CREDENTIAL_REVOKED))
			return credential;
	}
	return NULL;
}

void kt_clone_on_wrong_key(struct kt_core *core, struct kt_session *session,
			   const struct kt_job *job)
{
	const struct kt_credential *signer =
		session->device == NULL ? NULL : signer_of(core, session, job);
	char fp[65];
	char generation[12];
	const struct kt_field fields[] = {{"signal", kt_clone_signal_name(KT_CLONE_OLD_ANSWER)},
					  {"client", session->client_id},
					  {"gen", generation},
					  {"fp", fp},
					  {"reason", kt_reason_name(KT_REASON_JWS_SIG)}};

	/* the session's own credential may have been put out since: then it is nobody's fault */
	if (signer == NULL ||
	    (session->credential != session->device->current &&
	     session->credential != session->device->pending) ||
	    !is_news(session, KT_CLONE_OLD_ANSWER))
		return;
	hex_of(&signer->fp, fp);
	(void)snprintf(generation, sizeof(generation), "%lu", (unsigned long)signer->generation);
	kt_core_alarm(core, (struct kt_alarm){KT_EVENT_CLONE_ALARMED, KT_CLONE_OLD_ANSWER},
		      session->device, fields, 5, 0);
	act(core, session->device, KT_CLONE_OLD_ANSWER);
}

void kt_clone_on_op_range(struct kt_core *core, struct kt_session *session, uint64_t op)
{
	/* what the lost records of a registry that was restored said, nobody knows */
	const bool is_restored = kt_registry_restore_seq(core->registry) != 0;
	const struct kt_alarm alarm = {
		is_restored ? KT_EVENT_CLONE_SUSPECTED : KT_EVENT_CLONE_ALARMED, KT_CLONE_OP_RANGE};
	char text[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {{"signal", kt_clone_signal_name(KT_CLONE_OP_RANGE)},
					  {"client", session->client_id},
					  {"op", op == 0 ? NULL : text},
					  {"reason", kt_reason_name(KT_REASON_OP_RANGE)}};

	if (session->device == NULL || !is_news(session, KT_CLONE_OP_RANGE))
		return;
	kt_u64_encode(op, text);
	kt_core_alarm(core, alarm, session->device, fields, 4, 0);
	if (!is_restored)
		act(core, session->device, KT_CLONE_OP_RANGE);
}
