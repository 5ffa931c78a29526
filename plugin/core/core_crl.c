/*
 * core_crl - what stands in the certificate revocation list, and when there is a new one.
 *
 * Collects who is out, a piece per tick, and hands it to a worker that signs and writes; never more
 * than one list at a time. Follows durable records only. A list is due when somebody was put out
 * (a mass revoke makes a few lists, not thousands), when half of its time is over, when the clock
 * went back, when writing failed, and once at every start. RFC 5280 section 5.
 */
#include <stdlib.h>
#include <string.h>

#include "core_internal.h"
#include "encoding.h"

enum {
	ROWS_A_TICK = 65536,
	GAP_MS = 5000,	/* between the end of one list and the next one */
	GAP_TIMES = 10, /* or this many times as long as it took, if that is more */
	GAP_MAX_MS = 60000,
	RETRY_MS = 10000, /* after a failure; doubles */
	RETRY_MAX_MS = 300000,
	BACKDATE_S = 300, /* a server whose clock is a little behind must not refuse everybody */
	ENTRIES_FIRST = 64
};

struct kt_crl {
	struct kt_crl_status status; /* of the list on disk */
	uint64_t number;	     /* the highest one ever given, written or not */
	bool is_wanted;		     /* at start, and after a failure */
	uint64_t pending_seq;	     /* the first record that somebody is not listed for; 0: none */
	int64_t rest_until_ms;
	int64_t retry_ms;
	/* the list in hand */
	bool is_walking;
	bool in_work;
	struct kt_job *job; /* ready, but the queue was full */
	size_t cursor;
	uint64_t at_seq; /* it holds what was durable then */
	int64_t keep_from_s;
	struct kt_crl_entry *entries;
	size_t count;
	size_t left_out;
	int64_t started_ms;
	int64_t started_us; /* by its own clock */
};

static bool is_on(const struct kt_core *core)
{
	return core->config->crl_file[0] != '\0';
}

enum kt_err kt_crl_new(const struct kt_crl_head *last, struct kt_crl **out)
{
	struct kt_crl *crl = calloc(1, sizeof(*crl));

	*out = NULL;
	if (crl == NULL)
		return KT_ERR_NOMEM;
	crl->number = last->number;
	crl->status.head = *last;
	crl->is_wanted = true;
	crl->retry_ms = RETRY_MS;
	*out = crl;
	return KT_ERR_OK;
}

void kt_crl_free(struct kt_crl *crl)
{
	if (crl == NULL)
		return;
	kt_job_free(crl->job);
	free(crl->entries);
	free(crl);
}

void kt_crl_status(const struct kt_core *core, struct kt_crl_status *out)
{
	memset(out, 0, sizeof(*out));
	if (!is_on(core))
		return;
	*out = core->crl->status;
	out->is_on = true;
}

/*
 * A clock that was set back would make lists that are over before they are written: the ledger's
 * newest time is nearer to the truth.
 */
static int64_t time_us(const struct kt_core *core)
{
	const int64_t newest_us = kt_registry_time_us(core->registry);
	const int64_t us = core->now.wall_us > newest_us ? core->now.wall_us : newest_us;

	return us > 0 ? us : 1;
}

/* --- when --- */

void kt_crl_note(struct kt_core *core, const struct kt_record *record)
{
	if (kt_registry_ended_seq(core->registry) == record->seq && core->crl->pending_seq == 0)
		core->crl->pending_seq = record->seq;
}

static bool is_due(const struct kt_core *core)
{
	const struct kt_crl *crl = core->crl;
	const int64_t half_ms = core->config->crl_validity_ms / 2;

	if (core->now.mono_ms < crl->rest_until_ms)
		return false;
	if (crl->is_wanted || (crl->pending_seq != 0 && crl->pending_seq <= core->durable_seq))
		return true;
	return core->now.mono_ms - crl->started_ms >= half_ms ||
	       time_us(core) >= crl->started_us + half_ms * 1000 || time_us(core) < crl->started_us;
}

static void tell_failed(struct kt_core *core, const char *why)
{
	struct kt_crl *crl = core->crl;
	char until[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {
		{"file", core->config->crl_file}, {"why", why}, {"next_update_s", until}};

	kt_u64_encode((uint64_t)crl->status.head.next_update_s, until);
	crl->status.has_failed = true;
	crl->is_wanted = true;
	crl->rest_until_ms = core->now.mono_ms + crl->retry_ms;
	crl->retry_ms *= 2;
	if (crl->retry_ms > RETRY_MAX_MS)
		crl->retry_ms = RETRY_MAX_MS;
	kt_core_fact(core, KT_EVENT_CRL_FAILED, NULL, fields, 3, 0);
}

/* --- what --- */

static void begin(struct kt_core *core)
{
	struct kt_crl *crl = core->crl;
	const int64_t last_s = crl->status.head.this_update_s;

	crl->is_walking = true;
	crl->is_wanted = false;
	crl->cursor = 0;
	crl->count = 0;
	crl->left_out = 0;
	crl->at_seq = core->durable_seq;
	crl->pending_seq = 0; /* the walk meets those that have to wait */
	crl->started_ms = core->now.mono_ms;
	crl->started_us = time_us(core);
	/* RFC 5280 section 3.3: none goes before it was on a list made after its certificate's end.
	 */
	crl->keep_from_s = (crl->started_us - core->config->crl_validity_ms * 1000) / 1000000;
	if (last_s != 0 && last_s < crl->keep_from_s)
		crl->keep_from_s = last_s;
}

static bool push(struct kt_crl *crl, const struct kt_crl_entry *entry)
{
	struct kt_crl_entry *grown;
	size_t room = crl->count == 0 ? ENTRIES_FIRST : crl->count * 2;

	if (crl->count == 0 ||
	    (crl->count >= ENTRIES_FIRST && (crl->count & (crl->count - 1)) == 0)) {
		grown = realloc(crl->entries, room * sizeof(*grown));
		if (grown == NULL)
			return false;
		crl->entries = grown;
	}
	crl->entries[crl->count++] = *entry;
	return true;
}

/*
 * RFC 5280 section 5.3.1: no reason is better than "unspecified", but all three have one. A revoke
 * is an operator's word that the device shall not get in; that its key is known to somebody else
 * ("keyCompromise") no record says.
 */
static enum kt_crl_reason reason_of(const struct kt_credential *credential)
{
	if (credential->status == KT_CREDENTIAL_SUPERSEDED)
		return KT_CRL_SUPERSEDED;
	return credential->status == KT_CREDENTIAL_REVOKED ? KT_CRL_PRIVILEGE_WITHDRAWN
							   : KT_CRL_CESSATION;
}

/* False: out of memory. */
static bool take(struct kt_core *core, const struct kt_credential *credential)
{
	struct kt_crl *crl = core->crl;
	struct kt_crl_entry entry = {.reason = reason_of(credential)};
	struct kt_ending ending;

	if (credential->not_after_s < crl->keep_from_s ||
	    !kt_registry_ending(core->registry, credential, &ending))
		return true;
	if (credential->changed_seq > crl->at_seq) {
		if (crl->pending_seq == 0 || credential->changed_seq < crl->pending_seq)
			crl->pending_seq = credential->changed_seq;
		return true;
	}
	if (!ending.has_serial) {
		crl->left_out++;
		return true;
	}
	memcpy(entry.serial, ending.serial, sizeof(entry.serial));
	entry.revoked_s = ending.ended_s;
	return push(crl, &entry);
}

static void make_job(struct kt_core *core)
{
	struct kt_crl *crl = core->crl;
	struct kt_job *job = kt_job_new(KT_JOB_CRL, 0);
	const int64_t now_s = crl->started_us / 1000000;

	if (job == NULL) {
		tell_failed(core, kt_err_text(KT_ERR_NOMEM));
		return;
	}
	crl->number = crl->number < (uint64_t)crl->started_us ? (uint64_t)crl->started_us
							      : crl->number + 1;
	job->crl.number = crl->number;
	job->crl.this_update_s = now_s - BACKDATE_S;
	job->crl.next_update_s = now_s + core->config->crl_validity_ms / 1000;
	job->crl.entry_count = crl->count;
	job->crl_entries = crl->entries;
	crl->entries = NULL; /* moved */
	crl->job = job;
}

static void walk(struct kt_core *core)
{
	struct kt_crl *crl = core->crl;

	for (unsigned i = 0; i < ROWS_A_TICK; i++) {
		const struct kt_credential *credential =
			kt_registry_next_credential(core->registry, &crl->cursor);

		if (credential == NULL) {
			crl->is_walking = false;
			make_job(core);
			return;
		}
		if (!take(core, credential)) {
			crl->is_walking = false;
			tell_failed(core, kt_err_text(KT_ERR_NOMEM));
			return;
		}
	}
}

void kt_crl_tick(struct kt_core *core)
{
	struct kt_crl *crl = core->crl;

	if (!is_on(core) || crl->in_work)
		return;
	if (!crl->is_walking && crl->job == NULL) {
		if (!is_due(core))
			return;
		begin(core);
	}
	if (crl->is_walking)
		walk(core);
	if (crl->job == NULL ||
	    core->ports.jobs->submit(core->ports.jobs->ctx, crl->job) != KT_ERR_OK)
		return;
	crl->job = NULL; /* moved */
	crl->in_work = true;
}

/* --- done --- */

static void tell_written(struct kt_core *core)
{
	const struct kt_crl_status *status = &core->crl->status;
	char number[KT_U64_DIGITS_MAX + 1];
	char entries[KT_U64_DIGITS_MAX + 1];
	char until[KT_U64_DIGITS_MAX + 1];
	char left_out[KT_U64_DIGITS_MAX + 1];
	const struct kt_field fields[] = {{"number", number},
					  {"entries", entries},
					  {"next_update_s", until},
					  {"left_out", left_out}};

	kt_u64_encode(status->head.number, number);
	kt_u64_encode(status->head.entry_count, entries);
	kt_u64_encode((uint64_t)status->head.next_update_s, until);
	kt_u64_encode(status->left_out, left_out);
	kt_core_fact(core, KT_EVENT_CRL_WRITTEN, NULL, fields, status->left_out > 0 ? 4 : 3, 0);
}

static int64_t gap_ms(int64_t took_ms)
{
	if (took_ms > GAP_MAX_MS / GAP_TIMES)
		return GAP_MAX_MS;
	return took_ms > GAP_MS / GAP_TIMES ? took_ms * GAP_TIMES : GAP_MS;
}

void kt_crl_done(struct kt_core *core, const struct kt_job *job)
{
	struct kt_crl *crl = core->crl;

	crl->in_work = false;
	if (job->err != KT_ERR_OK) {
		tell_failed(core, job->file_why);
		return;
	}
	crl->status.head = job->crl;
	crl->status.left_out = crl->left_out;
	crl->status.has_failed = false;
	crl->retry_ms = RETRY_MS;
	crl->rest_until_ms = core->now.mono_ms + gap_ms(core->now.mono_ms - crl->started_ms);
	tell_written(core);
}
