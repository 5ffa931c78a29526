/* An operator's batch arrives: tests of the core look at who got that far. */
#include <stdlib.h>
#include <string.h>

#include "core_internal.h"

void kt_control_batch(struct kt_core *core, struct kt_session *session, struct kt_bytes payload)
{
	char *json = NULL;

	(void)payload;
	json = calloc(1, 3);
	if (json != NULL)
		memcpy(json, "{}", 2);
	kt_core_reply(core, session, json, 0);
}

void kt_control_tick(struct kt_core *core)
{
	(void)core;
}

bool kt_control_is_busy(const struct kt_core *core)
{
	(void)core;
	return false;
}

enum kt_err kt_batches_new(struct kt_batches **out)
{
	*out = NULL;
	return KT_ERR_OK;
}

void kt_batches_free(struct kt_batches *batches)
{
	(void)batches;
}
