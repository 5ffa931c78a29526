/*
 * issues - the certificates that the workers are making: one for each op, whoever asks again.
 *
 * Owns which op of which device is with the workers, for which key, and who is told. So a request
 * that is repeated before its certificate is there, on this connection or on another one, costs no
 * second signature of the CA. No more than the workers take. Broker's thread.
 */
#ifndef KT_ISSUES_H
#define KT_ISSUES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "types.h"
#include "worker.h"

struct kt_issue { /* of a KT_JOB_ISSUE between submit and its return */
	struct kt_device_id device;
	uint64_t op;
	bool is_claim;
	struct kt_key_id key_id;
	uint64_t session; /* who asked last, and gets the answer */
};

struct kt_issues; /* owned, opaque */

KT_MUST_CHECK enum kt_err kt_issues_new(struct kt_issues **out);
void kt_issues_free(struct kt_issues *issues);
/* A rotation's @op of @device, or (@op 0) its enrolment. NULL: none is in work. Until the next
 * submit or take. */
struct kt_issue *kt_issues_find(struct kt_issues *issues, const struct kt_device_id *device,
				uint64_t op);
/* Hands @job to @jobs and notes it; with an error, jobs->submit's, it stays the caller's. */
KT_MUST_CHECK enum kt_err kt_issues_submit(struct kt_issues *issues, const struct kt_jobs *jobs,
					   struct kt_job *job);
/* @job came back. The number of the session that is to be told. */
uint64_t kt_issues_take(struct kt_issues *issues, const struct kt_job *job);

#endif
