#include "issues.h"

#include <stdlib.h>
#include <string.h>

struct kt_issues {
	struct kt_issue issue[KT_JOBS_MAX];
	size_t count;
};

enum kt_err kt_issues_new(struct kt_issues **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? KT_ERR_NOMEM : KT_ERR_OK;
}

void kt_issues_free(struct kt_issues *issues)
{
	free(issues);
}

struct kt_issue *kt_issues_find(struct kt_issues *issues, const struct kt_device_id *device,
				uint64_t op)
{
	for (size_t i = 0; i < issues->count; i++) {
		struct kt_issue *issue = &issues->issue[i];

		if (issue->is_claim == (op == 0) && (issue->is_claim || issue->op == op) &&
		    strcmp(issue->device.s, device->s) == 0)
			return issue;
	}
	return NULL;
}

static void add(struct kt_issues *issues, const struct kt_job *job)
{
	if (issues->count >= KT_JOBS_MAX)
		return;
	issues->issue[issues->count++] = (struct kt_issue){.device = job->device,
							   .op = job->op,
							   .is_claim = job->is_claim,
							   .key_id = job->key_id,
							   .session = job->session};
}

uint64_t kt_issues_take(struct kt_issues *issues, const struct kt_job *job)
{
	struct kt_issue *issue = kt_issues_find(issues, &job->device, job->is_claim ? 0 : job->op);
	uint64_t session = job->session;

	if (issue == NULL)
		return session;
	session = issue->session;
	*issue = issues->issue[--issues->count];
	return session;
}

enum kt_err kt_issues_submit(struct kt_issues *issues, const struct kt_jobs *jobs,
			     struct kt_job *job)
{
	enum kt_err err;

	add(issues, job); /* first: it is the workers' afterwards */
	err = jobs->submit(jobs->ctx, job);
	if (err != KT_ERR_OK)
		(void)kt_issues_take(issues, job);
	return err;
}
