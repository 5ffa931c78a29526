/*
 * daemon - the agent as a process: the core, its ports and one loop over what can happen.
 *
 * Owns the loop, the signals SIGTERM and SIGINT (both end it), the service manager's notices and
 * the status file. Does not print and does not end the process: main.c does. Main thread alone.
 */
#ifndef KT_DAEMON_H
#define KT_DAEMON_H

#include "err.h"
#include "hub.h"
#include "log.h"

enum kt_daemon_end {
	KT_DAEMON_STOPPED,  /* by a signal, or because of the error that came with it */
	KT_DAEMON_ENROLLED, /* asked for alone, and reached */
	KT_DAEMON_TIMED_OUT /* not enrolled in the time given */
};

struct kt_daemon_request { /* all borrowed */
	struct kt_hub *hub;
	struct kt_log *log;
	bool is_enrolment; /* end when the hub is enrolled */
	int64_t wait_ms;   /* with is_enrolment: at most so long; 0: as long as it takes */
};

struct kt_daemon_result {
	enum kt_daemon_end end;
	/* False: a thread was left in the middle of a connect; end the process by _exit. */
	bool is_clean;
	char why[KT_HUB_WHY_MAX]; /* after an error */
};

/* Runs until it ends. KT_ERR_OK, or what kept it from running: KT_ERR_MISSING_FIELD (no way to the
 * root), KT_ERR_NOMEM, KT_ERR_SYS, KT_ERR_INVALID. */
KT_MUST_CHECK enum kt_err kt_daemon_run(const struct kt_daemon_request *request,
					struct kt_daemon_result *result);

#endif
