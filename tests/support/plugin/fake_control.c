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
