/*
 * clone - the signs that a second party holds a device's identity, and what each is answered with.
 *
 * Owns the list of signals, their names (`signal=` of an event) and the policy of each. A signal is
 * told; with the policy quarantine it also ends the device's site topics, by a record of its own.
 * No signal revokes: whoever can raise one could lock the honest hub out. Broker's thread.
 */
#ifndef KT_CLONE_H
#define KT_CLONE_H

#include "core_internal.h"

/* X(CODE, "name"). The first two are of who was not let in, and have no policy: see policy_of. */
#define KT_CLONE_SIGNAL_LIST(X)                                                                    \
	X(SUPERSEDED, "superseded")                                                                \
	X(REVOKED, "revoked")                                                                      \
	X(SECOND_KEY, "second_key")                                                                \
	X(CONTENDED, "contended")                                                                  \
	X(OLD_ANSWER, "old_answer")                                                                \
	X(OP_RANGE, "op_range")

enum kt_clone_signal {
#define KT_CLONE_SIGNAL_ENUM(code, name) KT_CLONE_##code,
	KT_CLONE_SIGNAL_LIST(KT_CLONE_SIGNAL_ENUM) KT_CLONE_SIGNAL_COUNT
#undef KT_CLONE_SIGNAL_ENUM
};

const char *kt_clone_signal_name(enum kt_clone_signal signal); /* "?" outside the list */

/* A credential that was replaced or revoked was refused; any other refusal is none of ours. */
void kt_clone_on_refused(struct kt_core *core, const struct kt_admission *admission);
/* @session was let in and takes the client id of @old, which is live, over. */
void kt_clone_on_takeover(struct kt_core *core, struct kt_session *session,
			  const struct kt_session *old);
/* A second key came for @op, and the device is frozen by the record @after_seq. */
void kt_clone_on_second_key(struct kt_core *core, const struct kt_device *device, uint64_t op,
			    uint64_t after_seq);
/* A message of @session whose signature is not of its key; @job says of which it may be. */
void kt_clone_on_wrong_key(struct kt_core *core, struct kt_session *session,
			   const struct kt_job *job);
/* A signed message of @session named an op that cannot be; 0: not even a number of ours. */
void kt_clone_on_op_range(struct kt_core *core, struct kt_session *session, uint64_t op);

#endif
