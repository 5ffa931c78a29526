/*
 * hooks - tells the hub's other programs to reload: runs what the owner configured, bounded in
 * time.
 *
 * Each hook is an argument vector (no shell), run with a clean environment (KEYTURN_EVENT,
 * KEYTURN_DEVICE, KEYTURN_CURRENT: path of the current identity), killed with its process group
 * after its time. Never blocks: start, then poll from the main loop. One thread.
 */
#ifndef KT_HOOKS_H
#define KT_HOOKS_H

#include "err.h"
#include "log.h"
#include "types.h"

enum { KT_HOOKS_MAX = 16, KT_HOOK_ARGS_MAX = 16 };

struct kt_hook {
	char *argv[KT_HOOK_ARGS_MAX + 1]; /* absolute path first; NULL-terminated */
};

struct kt_hooks;

enum kt_hooks_state { KT_HOOKS_IDLE, KT_HOOKS_RUNNING, KT_HOOKS_DONE, KT_HOOKS_FAILED };

/* @hooks (borrowed as long as the result lives): at most KT_HOOKS_MAX, each argv[0] absolute.
 * KT_ERR_INVALID, KT_ERR_TOO_LONG, KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_hooks_new(const struct kt_hook *hooks, size_t count,
				       int64_t timeout_ms, struct kt_log *log,
				       struct kt_hooks **out);
void kt_hooks_free(struct kt_hooks *hooks); /* kills what runs */
/* Starts the first; the others follow, in order, each only after the one before succeeded. One that
 * cannot be started is a FAILED of the next poll. KT_ERR_BUSY: they run. KT_ERR_TOO_LONG. */
KT_MUST_CHECK enum kt_err kt_hooks_start(struct kt_hooks *hooks, const char *event,
					 const char *device, const char *current);
/* Reaps and goes on. DONE and FAILED are told once, then IDLE. With no hooks: DONE at once. */
enum kt_hooks_state kt_hooks_poll(struct kt_hooks *hooks, int64_t now_ms);
/* When to poll at the latest (its clock starts at the first poll after a start: 0 until then);
 * INT64_MAX: nothing runs. */
int64_t kt_hooks_next_ms(const struct kt_hooks *hooks);
/* A descriptor that becomes readable when there is something to poll (pidfd); -1 if none. */
int kt_hooks_fd(const struct kt_hooks *hooks);

#endif
