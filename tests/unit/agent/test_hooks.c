#include "hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Real processes, but no waiting for time: the clock is what a test says it is. */

enum { TIMEOUT_MS = 30000, EXIT_WAIT_MS = 20000 };

struct world {
	char dir[64];
	char script[KT_HOOKS_MAX + 1][512];
	struct kt_hook hook[KT_HOOKS_MAX + 1];
	size_t count;
	struct kt_log log;
	char lines[4096];
	struct kt_hooks *hooks;
	int64_t now_ms;
};

static void write_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct world *w = ctx;
	size_t len = strlen(w->lines);

	(void)level;
	(void)snprintf(w->lines + len, sizeof(w->lines) - len, "%s\n", line);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/keyturn-hooks.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	kt_log_init(&w->log, write_line, w, KT_LOG_DEBUG);
	w->now_ms = 5000;
	/* what a hook leaves behind comes to us, so that its end can be seen */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"out", "pid", NULL};
	struct world *w = *state;
	char path[128];

	kt_hooks_free(w->hooks);
	for (size_t i = 0; names[i] != NULL; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

/* Adds a hook: a line of shell, with the directory of the test as $1. */
static void add(struct world *w, const char *line)
{
	struct kt_hook *hook = &w->hook[w->count];
	static char sh[] = "/bin/sh";
	static char c[] = "-c";

	(void)snprintf(w->script[w->count], sizeof(w->script[0]), "%s", line);
	hook->argv[0] = sh;
	hook->argv[1] = c;
	hook->argv[2] = w->script[w->count];
	hook->argv[3] = sh;
	hook->argv[4] = w->dir;
	w->count++;
}

static void start(struct world *w)
{
	assert_int_equal(kt_hooks_new(w->hook, w->count, TIMEOUT_MS, &w->log, &w->hooks),
			 KT_ERR_OK);
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", "/state/current"),
			 KT_ERR_OK);
}

/* Polls until the hooks are through, at one moment of their clock. */
static enum kt_hooks_state finish(struct world *w)
{
	for (;;) {
		enum kt_hooks_state state = kt_hooks_poll(w->hooks, w->now_ms);
		struct pollfd fd = {.fd = kt_hooks_fd(w->hooks), .events = POLLIN};

		if (state != KT_HOOKS_RUNNING)
			return state;
		assert_true(fd.fd >= 0);
		assert_int_equal(poll(&fd, 1, EXIT_WAIT_MS), 1);
	}
}

static void read_out(const struct world *w, const char *name, char *out, size_t cap)
{
	char path[128];
	FILE *file = NULL;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	file = fopen(path, "re");
	assert_non_null(file);
	len = fread(out, 1, cap - 1, file);
	out[len] = '\0';
	assert_int_equal(fclose(file), 0);
}

static void assert_out(const struct world *w, const char *want)
{
	char got[4096];

	read_out(w, "out", got, sizeof(got));
	assert_string_equal(got, want);
}

static bool has_out(const struct world *w)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/out", w->dir);
	return access(path, F_OK) == 0;
}

/* --- what is accepted --- */

static void refuses_what_it_could_not_run(void **state)
{
	struct world *w = *state;
	static char relative[] = "sh";
	struct kt_hook bad = {{relative, NULL}};
	struct kt_hook none = {{NULL}};

	for (int i = 0; i <= KT_HOOKS_MAX; i++)
		add(w, "true");
	assert_int_equal(kt_hooks_new(&bad, 1, TIMEOUT_MS, &w->log, &w->hooks), KT_ERR_INVALID);
	assert_int_equal(kt_hooks_new(&none, 1, TIMEOUT_MS, &w->log, &w->hooks), KT_ERR_INVALID);
	assert_int_equal(kt_hooks_new(w->hook, 1, 0, &w->log, &w->hooks), KT_ERR_INVALID);
	assert_int_equal(kt_hooks_new(w->hook, 1, -1, &w->log, &w->hooks), KT_ERR_INVALID);
	assert_int_equal(kt_hooks_new(w->hook, KT_HOOKS_MAX + 1, TIMEOUT_MS, &w->log, &w->hooks),
			 KT_ERR_TOO_LONG);
	assert_null(w->hooks);
	assert_int_equal(kt_hooks_new(w->hook, KT_HOOKS_MAX, TIMEOUT_MS, &w->log, &w->hooks),
			 KT_ERR_OK);
}

static void without_hooks_it_is_done_at_once_and_says_so_once(void **state)
{
	struct world *w = *state;

	start(w);
	assert_int_equal(kt_hooks_next_ms(w->hooks), 0);
	assert_int_equal(kt_hooks_fd(w->hooks), -1);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_DONE);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_IDLE);
	assert_int_equal(kt_hooks_next_ms(w->hooks), INT64_MAX);
}

static void a_path_that_does_not_fit_starts_nothing(void **state)
{
	struct world *w = *state;
	char *longest = malloc(2 * PATH_MAX);

	assert_non_null(longest);
	memset(longest, 'x', 2 * PATH_MAX - 1);
	longest[2 * PATH_MAX - 1] = '\0';
	add(w, "touch $1/out");
	assert_int_equal(kt_hooks_new(w->hook, 1, TIMEOUT_MS, &w->log, &w->hooks), KT_ERR_OK);
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", longest), KT_ERR_TOO_LONG);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_IDLE);
	assert_false(has_out(w));
	free(longest);
}

/* --- running --- */

static void they_run_in_order_each_after_the_one_before(void **state)
{
	struct world *w = *state;

	add(w, "sleep 0.2; echo one >>$1/out");
	add(w, "echo two >>$1/out");
	add(w, "echo three >>$1/out");
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_out(w, "one\ntwo\nthree\n");
	assert_string_equal(w->lines, "event=hook.ran hook=/bin/sh code=0\n"
				      "event=hook.ran hook=/bin/sh code=0\n"
				      "event=hook.ran hook=/bin/sh code=0\n");
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_IDLE);
	assert_int_equal(kt_hooks_fd(w->hooks), -1);
}

static void they_can_run_again(void **state)
{
	struct world *w = *state;

	add(w, "echo x >>$1/out");
	start(w);
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", "/c"), KT_ERR_BUSY);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", "/c"), KT_ERR_OK);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_out(w, "x\nx\n");
}

static void a_result_that_was_not_fetched_keeps_the_next_run_out(void **state)
{
	struct world *w = *state;

	start(w); /* none: done already */
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", "/c"), KT_ERR_BUSY);
}

static void a_failure_ends_the_run(void **state)
{
	struct world *w = *state;

	add(w, "exit 3");
	add(w, "touch $1/out");
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_FAILED);
	assert_false(has_out(w));
	assert_string_equal(w->lines, "event=hook.failed hook=/bin/sh why=exit code=3\n");
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_IDLE);
}

static void a_hook_that_dies_has_failed(void **state)
{
	struct world *w = *state;

	add(w, "kill -KILL $$");
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_FAILED);
	assert_string_equal(w->lines, "event=hook.failed hook=/bin/sh why=signal code=9\n");
}

static void a_program_that_is_not_there_has_failed(void **state)
{
	struct world *w = *state;
	static char missing[] = "/nonexistent/program";

	add(w, "true");
	w->hook[0].argv[0] = missing;
	start(w);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_FAILED);
	assert_string_equal(w->lines,
			    "event=hook.failed hook=/nonexistent/program why=start code=2\n");
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_IDLE);
}

/* --- what a hook gets --- */

static void a_hook_knows_these_four_variables_and_no_others(void **state)
{
	struct world *w = *state;

	assert_int_equal(setenv("KT_TEST_SECRET", "x", 1), 0);
	add(w, "tr '\\0' '\\n' </proc/$$/environ >$1/out");
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_int_equal(unsetenv("KT_TEST_SECRET"), 0);
	assert_out(w, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
		      "KEYTURN_EVENT=committed\n"
		      "KEYTURN_DEVICE=hub-17\n"
		      "KEYTURN_CURRENT=/state/current\n");
}

static void a_hook_has_no_input_and_none_of_our_descriptors(void **state)
{
	struct world *w = *state;
	int fd = fcntl(STDERR_FILENO, F_DUPFD, 50); /* not close-on-exec, on purpose */
	int low = dup(STDERR_FILENO);

	assert_true(fd >= 50);
	assert_true(low > 2);
	/* 10 is what the shell keeps for itself; no pipe: while it makes one it has both ends */
	add(w, "readlink /proc/$$/fd/0 >$1/out; cat >>$1/out; ls /proc/$$/fd >$1/pid; "
	       "grep -vx 10 $1/pid >>$1/out");
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(low), 0);
	assert_out(w, "/dev/null\n0\n1\n2\n");
}

static void a_hook_begins_with_default_signals(void **state)
{
	struct world *w = *state;
	static char sed[] = "/bin/sed";
	static char quiet[] = "-n";
	static char status[] = "/proc/self/status";
	sigset_t block;
	sigset_t before;
	char got[64];
	char *second = NULL;

	assert_int_equal(sigemptyset(&block), 0);
	assert_int_equal(sigaddset(&block, SIGTERM), 0);
	assert_int_equal(sigprocmask(SIG_BLOCK, &block, &before), 0);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	/* no shell in between: it has a way with signals of its own */
	add(w, "");
	(void)snprintf(w->script[0], sizeof(w->script[0]),
		       "s/^Sig\\(Blk\\|Ign\\):.*\\(........\\)/\\2/w %s/out", w->dir);
	w->hook[0] = (struct kt_hook){{sed, quiet, w->script[0], status, NULL}};
	start(w);
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	/* the first 31: the C library keeps 32 and 33 for itself */
	read_out(w, "out", got, sizeof(got));
	assert_int_equal(strtoul(got, &second, 16) & 0x7fffffff, 0);
	assert_int_equal(*second, '\n');
	assert_int_equal(strtoul(second + 1, &second, 16) & 0x7fffffff, 0);
	assert_int_equal(*second, '\n');
}

/* --- time --- */

/* The number that a hook wrote to the file "pid" (with its newline). */
static pid_t written_pid(const struct world *w)
{
	char text[32] = "";
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/pid", w->dir);
	for (int i = 0; i < 2000 && strchr(text, '\n') == NULL; i++) {
		if (access(path, F_OK) == 0)
			read_out(w, "pid", text, sizeof(text));
		(void)poll(NULL, 0, 10);
	}
	assert_non_null(strchr(text, '\n'));
	return (pid_t)strtol(text, NULL, 10);
}

/* A grandchild, ours to wait for once its parent is gone. */
static void assert_was_killed(pid_t pid)
{
	int status = 0;
	pid_t got = 0;

	for (int i = 0; i < 1000 && got == 0; i++) {
		got = waitpid(pid, &status, WNOHANG);
		if (got == 0)
			(void)poll(NULL, 0, 10);
	}
	if (got == 0)
		(void)kill(pid, SIGKILL);
	assert_int_equal(got, pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void a_hook_that_takes_too_long_goes_with_all_it_started(void **state)
{
	struct world *w = *state;
	pid_t grandchild = 0;

	add(w, "trap '' TERM; sleep 1000 & echo $! >$1/pid; wait");
	add(w, "touch $1/out");
	start(w);
	assert_int_equal(kt_hooks_next_ms(w->hooks), 0); /* its clock starts at the first poll */
	grandchild = written_pid(w);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_RUNNING);
	assert_int_equal(kt_hooks_next_ms(w->hooks), w->now_ms + TIMEOUT_MS);
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms + TIMEOUT_MS - 1), KT_HOOKS_RUNNING);
	assert_string_equal(w->lines, "");
	w->now_ms += TIMEOUT_MS;
	assert_int_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_RUNNING);
	assert_int_equal(kt_hooks_next_ms(w->hooks), w->now_ms + 100);
	assert_int_equal(finish(w), KT_HOOKS_FAILED);
	assert_string_equal(w->lines, "event=hook.failed hook=/bin/sh why=timeout code=0\n");
	assert_was_killed(grandchild);
	assert_false(has_out(w));
}

static void each_hook_has_its_own_time(void **state)
{
	struct world *w = *state;

	add(w, "true");
	add(w, "true");
	start(w);
	assert_int_not_equal(kt_hooks_poll(w->hooks, w->now_ms), KT_HOOKS_FAILED);
	w->now_ms += TIMEOUT_MS - 1;
	assert_int_equal(finish(w), KT_HOOKS_DONE);
	assert_int_equal(kt_hooks_start(w->hooks, "committed", "hub-17", "/c"), KT_ERR_OK);
	w->now_ms += 10 * TIMEOUT_MS; /* between start and first poll: does not count */
	assert_int_equal(finish(w), KT_HOOKS_DONE);
}

static void freeing_ends_what_runs(void **state)
{
	struct world *w = *state;
	pid_t grandchild = 0;

	add(w, "sleep 1000 & echo $! >$1/pid; wait");
	start(w);
	grandchild = written_pid(w);
	kt_hooks_free(w->hooks);
	w->hooks = NULL;
	assert_was_killed(grandchild);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	kt_hooks_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(refuses_what_it_could_not_run),
		T(without_hooks_it_is_done_at_once_and_says_so_once),
		T(a_path_that_does_not_fit_starts_nothing),
		T(they_run_in_order_each_after_the_one_before),
		T(they_can_run_again),
		T(a_result_that_was_not_fetched_keeps_the_next_run_out),
		T(a_failure_ends_the_run),
		T(a_hook_that_dies_has_failed),
		T(a_program_that_is_not_there_has_failed),
		T(a_hook_knows_these_four_variables_and_no_others),
		T(a_hook_has_no_input_and_none_of_our_descriptors),
		T(a_hook_begins_with_default_signals),
		T(a_hook_that_takes_too_long_goes_with_all_it_started),
		T(each_hook_has_its_own_time),
		T(freeing_ends_what_runs),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
