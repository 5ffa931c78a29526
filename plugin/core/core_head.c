/*
 * core_head - when a head of the ledger is signed, and where it goes.
 *
 * The newest durable record, once in head_every where there is a new one, and soon after the start:
 * a worker signs and appends to the file, then it is published, retained. One at a time. What fails
 * is told, and done again when the next one is due.
 */
#include <stdlib.h>

#include "core_internal.h"
#include "encoding.h"
#include "topic.h"

enum { FIRST_MS = 1000 };

struct kt_heads {
	uint64_t signed_seq; /* of the last one that is kept; 0: none since the start */
	int64_t due_ms;
	bool in_work;
};

enum kt_err kt_heads_new(struct kt_now now, struct kt_heads **out)
{
	struct kt_heads *heads = calloc(1, sizeof(*heads));

	*out = NULL;
	if (heads == NULL)
		return KT_ERR_NOMEM;
	heads->due_ms = now.mono_ms + FIRST_MS;
	*out = heads;
	return KT_ERR_OK;
}

void kt_heads_free(struct kt_heads *heads)
{
	free(heads);
}

void kt_heads_tick(struct kt_core *core)
{
	struct kt_heads *heads = core->heads;
	struct kt_job *job;

	if (core->config->head_every_ms == 0 || heads->in_work ||
	    core->now.mono_ms < heads->due_ms || core->durable_seq == heads->signed_seq)
		return;
	job = kt_job_new(KT_JOB_HEAD, 0);
	if (job == NULL)
		return; /* the next tick tries again */
	job->head.seq = core->ports.journal->head(core->ports.journal->ctx, job->head.hash);
	job->head.time_us = core->now.wall_us > 0 ? core->now.wall_us : 0;
	if (job->head.seq == 0 ||
	    core->ports.jobs->submit(core->ports.jobs->ctx, job) != KT_ERR_OK) {
		kt_job_free(job);
		return;
	}
	heads->in_work = true; /* job moved */
}

static void tell_failed(struct kt_core *core, const char *seq, const char *why)
{
	const struct kt_field fields[] = {{"seq", seq}, {"why", why}};

	kt_core_fact(core, KT_EVENT_LEDGER_UNSIGNED, NULL, fields, 2, 0);
}

void kt_heads_done(struct kt_core *core, const struct kt_job *job)
{
	struct kt_heads *heads = core->heads;
	const struct kt_broker *broker = core->ports.broker;
	char seq[KT_U64_DIGITS_MAX + 1];
	char hash[65];
	const struct kt_field fields[] = {{"seq", seq}, {"head", hash}};
	const struct kt_bytes sealed = {(const uint8_t *)job->sealed, job->sealed_len};
	enum kt_err err;

	heads->in_work = false;
	heads->due_ms = core->now.mono_ms + core->config->head_every_ms;
	kt_u64_encode(job->head.seq, seq);
	if (job->err != KT_ERR_OK) {
		tell_failed(core, seq, job->file_why);
		return;
	}
	err = broker->publish(broker->ctx, NULL, KT_TOPIC_HEAD, sealed, true);
	if (err != KT_ERR_OK || job->file_err != KT_ERR_OK) {
		tell_failed(core, seq, err != KT_ERR_OK ? kt_err_text(err) : job->file_why);
		return;
	}
	heads->signed_seq = job->head.seq;
	if (kt_hex_encode(job->head.hash, sizeof(job->head.hash), hash, sizeof(hash)) == KT_ERR_OK)
		(void)kt_log_event(core->ports.log, KT_EVENT_LEDGER_SIGNED, fields, 2);
}
