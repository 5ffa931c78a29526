/*
 * status - where the hub stands, for `keyturn-agent status` and for monitoring.
 *
 * Owns the file "status" in state_dir: what only the running agent knows, rewritten when it
 * changes. The rest comes from the record. A wrong or absent file is no error: the agent may never
 * have run. One thread.
 */
#ifndef KT_STATUS_H
#define KT_STATUS_H

#include "agent.h"
#include "err.h"

struct kt_status {
	struct kt_agent_record record;
	bool is_running;      /* an agent holds the lock */
	char health[16];      /* kt_agent_health_name; "stopped" if none runs */
	char last_reason[40]; /* "" if none */
	int64_t last_session_s;
};

/* Writes the file. KT_ERR_SYS, KT_ERR_NOMEM, KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_status_save(const char *state_dir, const struct kt_agent_status *now);
/* Record, lock and file. What kt_identity_peek returns. */
KT_MUST_CHECK enum kt_err kt_status_load(const char *state_dir, struct kt_status *out);
/* In session with nothing at fault: what `status` ends with 0 for. */
bool kt_status_is_good(const struct kt_status *status);
/* One compact JSON object, malloc'ed. KT_ERR_NOMEM, KT_ERR_INVALID. */
KT_MUST_CHECK enum kt_err kt_status_json(const struct kt_status *status, char **out);

#endif
