/*
 * outbox - effects that wait until the change they rest on is durable, then leave in order.
 *
 * Owns what waits: messages to be signed, answers, events, kicks. A message goes to a worker for
 * its signature and leaves in the order of the calls, whatever order the workers finish in.
 * Claimants have a queue of their own, so that no hub waits behind a stranger. Bounded: what does
 * not fit is dropped (the device repeats, the log line was written), but never a kick. Decides
 * nothing. Broker's thread.
 */
#ifndef KT_OUTBOX_H
#define KT_OUTBOX_H

#include "core_internal.h"

enum { KT_OUTBOX_MAX = 8192, KT_OUTBOX_CLAIMS_MAX = 512 };

KT_MUST_CHECK enum kt_err kt_outbox_new(struct kt_outbox **out);
void kt_outbox_free(struct kt_outbox *outbox);

/* @message, @json moved. @after_seq 0: at once. */
void kt_outbox_send(struct kt_core *core, uint64_t session, struct kt_message *message,
		    uint64_t after_seq);
void kt_outbox_reply(struct kt_core *core, uint64_t session, char *json, uint64_t after_seq);
void kt_outbox_event(struct kt_core *core, enum kt_event event, char *json, uint64_t after_seq);
void kt_outbox_kick(struct kt_core *core, uint64_t session, enum kt_reason reason,
		    uint64_t after_seq);
/*
 * Plans a kick: at tick @at_tick, or at @by_ms (mono), whichever comes first. A second plan for the
 * same session can only make it earlier.
 */
void kt_outbox_plan_kick(struct kt_core *core, struct kt_session *session, enum kt_reason reason,
			 uint64_t at_tick, int64_t by_ms);

/* core->durable_seq or core->journal_failed changed. */
void kt_outbox_release(struct kt_core *core);
/* A KT_JOB_SEAL came back (moved). */
void kt_outbox_sealed(struct kt_core *core, struct kt_job *job);
/* Kicks that are due; jobs that found the queue full. */
void kt_outbox_tick(struct kt_core *core);

#endif
