#include "hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENV_COUNT = 4, ENV_MAX = PATH_MAX + 32 };

struct kt_hooks {
	const struct kt_hook *hooks;
	size_t count;
	int64_t timeout_ms;
	struct kt_log *log;
	enum kt_hooks_state state;
	size_t next; /* hook that runs, or is to be started */
	pid_t pid;   /* 0: none */
	int pidfd;
	int64_t deadline_ms; /* 0: its clock has not started */
	bool is_killed;
	char env[ENV_COUNT][ENV_MAX];
};

enum kt_err kt_hooks_new(const struct kt_hook *hooks, size_t count, int64_t timeout_ms,
			 struct kt_log *log, struct kt_hooks **out)
{
	struct kt_hooks *h = NULL;

	*out = NULL;
	if (count > KT_HOOKS_MAX)
		return KT_ERR_TOO_LONG;
	for (size_t i = 0; i < count; i++) {
		/* cppcheck-suppress nullPointer ; argv is an array in the struct */
		if (hooks[i].argv[0] == NULL || hooks[i].argv[0][0] != '/')
			return KT_ERR_INVALID;
	}
	if (timeout_ms <= 0)
		return KT_ERR_INVALID;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return KT_ERR_NOMEM;
	h->hooks = hooks;
	h->count = count;
	h->timeout_ms = timeout_ms;
	h->log = log;
	h->pidfd = -1;
	*out = h;
	return KT_ERR_OK;
}

static void close_pidfd(struct kt_hooks *h)
{
	if (h->pidfd >= 0)
		(void)close(h->pidfd);
	h->pidfd = -1;
}

/* The child is not reaped yet, so its number and its group's are nobody else's. */
static void kill_group(const struct kt_hooks *h)
{
	(void)kill(-h->pid, SIGKILL);
	(void)kill(h->pid, SIGKILL);
}

void kt_hooks_free(struct kt_hooks *h)
{
	if (h == NULL)
		return;
	if (h->pid > 0) {
		kill_group(h);
		while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close_pidfd(h);
	free(h);
}

static void log_hook(struct kt_hooks *h, enum kt_event event, const char *why, int code)
{
	char number[16];
	const struct kt_field fields[] = {
		{"hook", h->hooks[h->next].argv[0]}, {"why", why}, {"code", number}};

	(void)snprintf(number, sizeof(number), "%d", code);
	(void)kt_log_event(h->log, event, fields, 3);
}

/* Default signals, nothing blocked, a group of its own, no input, output to our stderr. */
static int prepare(posix_spawnattr_t *attr, posix_spawn_file_actions_t *actions)
{
	sigset_t none;
	sigset_t all;
	int failed = 0;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGKILL);
	(void)sigdelset(&all, SIGSTOP);
	failed |= posix_spawnattr_setpgroup(attr, 0);
	failed |= posix_spawnattr_setsigmask(attr, &none);
	failed |= posix_spawnattr_setsigdefault(attr, &all);
	failed |= posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
							 POSIX_SPAWN_SETSIGDEF);
	failed |= posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	failed |= posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
	/* nothing of ours stays open there, whatever a library forgot to mark */
	failed |= posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
	return failed;
}

/* posix_spawn, not posix_spawnp: no search, no shell. 0 or an errno. */
static int spawn(struct kt_hooks *h)
{
	posix_spawnattr_t attr;
	posix_spawn_file_actions_t actions;
	char *env[ENV_COUNT + 1] = {NULL};
	int failed = posix_spawnattr_init(&attr);

	if (failed != 0)
		return failed;
	failed = posix_spawn_file_actions_init(&actions);
	if (failed != 0)
		goto out;
	for (size_t i = 0; i < ENV_COUNT; i++)
		env[i] = h->env[i];
	failed = prepare(&attr, &actions);
	if (failed == 0)
		failed = posix_spawn(&h->pid, h->hooks[h->next].argv[0], &actions, &attr,
				     h->hooks[h->next].argv, env);
	if (failed != 0)
		h->pid = 0;
	(void)posix_spawn_file_actions_destroy(&actions);
out:
	(void)posix_spawnattr_destroy(&attr);
	return failed;
}

static void start_next(struct kt_hooks *h)
{
	int failed = 0;

	h->deadline_ms = 0;
	h->is_killed = false;
	if (h->next == h->count) {
		h->state = KT_HOOKS_DONE;
		return;
	}
	failed = spawn(h);
	if (failed != 0) {
		log_hook(h, KT_EVENT_HOOK_FAILED, "start", failed);
		h->state = KT_HOOKS_FAILED;
		return;
	}
	h->pidfd = pidfd_open(h->pid, 0); /* -1 on an old kernel: polled by time alone */
	h->state = KT_HOOKS_RUNNING;
}

static bool set_env(char out[static ENV_MAX], const char *name, const char *value)
{
	int len = snprintf(out, ENV_MAX, "%s=%s", name, value);

	return len > 0 && len < ENV_MAX;
}

enum kt_err kt_hooks_start(struct kt_hooks *hooks, const char *event, const char *device,
			   const char *current)
{
	if (hooks->state != KT_HOOKS_IDLE)
		return KT_ERR_BUSY;
	if (!set_env(hooks->env[0], "PATH", "/usr/sbin:/usr/bin:/sbin:/bin") ||
	    !set_env(hooks->env[1], "KEYTURN_EVENT", event) ||
	    !set_env(hooks->env[2], "KEYTURN_DEVICE", device) ||
	    !set_env(hooks->env[3], "KEYTURN_CURRENT", current))
		return KT_ERR_TOO_LONG;
	hooks->next = 0;
	start_next(hooks);
	return KT_ERR_OK;
}

/* True if the child is gone; then *@succeeded. */
static bool reap(struct kt_hooks *h, bool *succeeded)
{
	int status = 0;
	pid_t got = waitpid(h->pid, &status, WNOHANG);

	*succeeded = false;
	if (got == 0 || (got < 0 && errno == EINTR))
		return false;
	h->pid = 0;
	close_pidfd(h);
	if (got > 0 && !h->is_killed && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		*succeeded = true;
		log_hook(h, KT_EVENT_HOOK_RAN, NULL, 0);
	} else if (h->is_killed) {
		log_hook(h, KT_EVENT_HOOK_FAILED, "timeout", 0);
	} else if (got > 0 && WIFSIGNALED(status)) {
		log_hook(h, KT_EVENT_HOOK_FAILED, "signal", WTERMSIG(status));
	} else {
		log_hook(h, KT_EVENT_HOOK_FAILED, "exit", got > 0 ? WEXITSTATUS(status) : -1);
	}
	return true;
}

enum kt_hooks_state kt_hooks_poll(struct kt_hooks *hooks, int64_t now_ms)
{
	enum kt_hooks_state state = KT_HOOKS_IDLE;
	bool succeeded = false;

	if (hooks->state == KT_HOOKS_RUNNING && reap(hooks, &succeeded)) {
		hooks->state = KT_HOOKS_FAILED;
		if (succeeded) {
			hooks->next++;
			start_next(hooks);
		}
	}
	if (hooks->state == KT_HOOKS_RUNNING && hooks->deadline_ms == 0)
		hooks->deadline_ms = now_ms + hooks->timeout_ms;
	if (hooks->state == KT_HOOKS_RUNNING && now_ms >= hooks->deadline_ms) {
		if (!hooks->is_killed)
			kill_group(hooks);
		hooks->is_killed = true;
		hooks->deadline_ms = now_ms;
	}
	state = hooks->state;
	if (state == KT_HOOKS_DONE || state == KT_HOOKS_FAILED)
		hooks->state = KT_HOOKS_IDLE; /* told once */
	return state;
}

int64_t kt_hooks_next_ms(const struct kt_hooks *hooks)
{
	enum { KILLED_POLL_MS = 100 };

	switch (hooks->state) {
	case KT_HOOKS_IDLE:
		return INT64_MAX;
	case KT_HOOKS_RUNNING:
		/* killed: soon gone; without a pidfd nothing else would wake us */
		if (hooks->is_killed)
			return hooks->deadline_ms + KILLED_POLL_MS;
		return hooks->deadline_ms;
	case KT_HOOKS_DONE:
	case KT_HOOKS_FAILED:
		return 0;
	}
	return INT64_MAX;
}

int kt_hooks_fd(const struct kt_hooks *hooks)
{
	return hooks->pidfd;
}
