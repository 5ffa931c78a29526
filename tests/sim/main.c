/* sim - runs seeds; prints what broke, how often everything was reached, and how fast it went. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"
#include "sim_shrink.h"

enum { REAL_EVERY = 100, JOBS_MAX = 64, ALONE_CPU_S = 20 };

struct arguments {
	uint64_t first;
	uint64_t last;
	bool has_trace;
	bool is_json;
	bool wants_cells;
	uint64_t fail_max;  /* stop after so many */
	unsigned jobs;	    /* processes */
	bool has_policies;  /* other options of keyturn.conf than the defaults, by the seed */
	uint64_t rotations; /* until so many are committed; 0: all seeds */
	bool is_alone;	    /* each seed in a process of its own: a crash or a hang is a verdict */
};

struct totals {
	uint64_t seeds;
	uint64_t real;
	uint64_t steps;
	uint64_t faults;
	uint64_t rotations;
	uint64_t commits;
	uint64_t clones;
	uint64_t rolled_back;
	uint64_t reconciled;
	uint64_t rotated;
	uint64_t alarms;
	uint64_t suspicions;
	uint64_t false_alarms;
	uint64_t silences;
	uint64_t failed;
	double seconds;
};

static int usage(void)
{
	(void)fputs("usage: sim --seeds A..B [--json] [--no-cells] [--stop-after N] [--jobs N]\n"
		    "           [--alone] [--policies]\n"
		    "       sim --rotations N [--json] [--stop-after N] [--jobs N]\n"
		    "       sim --seed N [--trace] [--policies]\n",
		    stderr);
	return 2;
}

static bool parse_range(const char *text, struct arguments *args)
{
	char *end;

	args->first = strtoull(text, &end, 10);
	if (end == text || strncmp(end, "..", 2) != 0)
		return false;
	text = end + 2;
	args->last = strtoull(text, &end, 10);
	return end != text && *end == '\0' && args->first <= args->last;
}

static bool parse(int argc, char **argv, struct arguments *args)
{
	bool has_seeds = false;

	*args = (struct arguments){.wants_cells = true, .fail_max = 20, .jobs = 1};
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--trace") == 0) {
			args->has_trace = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			args->is_json = true;
		} else if (strcmp(argv[i], "--no-cells") == 0) {
			args->wants_cells = false;
		} else if (strcmp(argv[i], "--alone") == 0) {
			args->is_alone = true;
			args->wants_cells = false; /* the children keep what they reached */
		} else if (strcmp(argv[i], "--policies") == 0) {
			args->has_policies = true;
		} else if (strcmp(argv[i], "--rotations") == 0) {
			args->rotations = strtoull(value, NULL, 10);
			if (args->rotations == 0)
				return false;
			args->first = 1;
			args->last = UINT64_MAX - JOBS_MAX;
			args->has_policies = true;
			args->wants_cells = false;
			has_seeds = true;
			i++;
		} else if (strcmp(argv[i], "--stop-after") == 0) {
			args->fail_max = strtoull(value, NULL, 10);
			i++;
		} else if (strcmp(argv[i], "--jobs") == 0) {
			args->jobs = (unsigned)strtoul(value, NULL, 10);
			i++;
		} else if (strcmp(argv[i], "--seeds") == 0 && parse_range(value, args)) {
			has_seeds = true;
			i++;
		} else if (strcmp(argv[i], "--seed") == 0 && *value >= '0' && *value <= '9') {
			args->first = strtoull(value, NULL, 10);
			args->last = args->first;
			args->wants_cells = false;
			has_seeds = true;
			i++;
		} else {
			return false;
		}
	}
	return has_seeds && args->jobs > 0 && args->jobs <= JOBS_MAX &&
	       (!args->has_trace || args->first == args->last);
}

static struct sim_options options_of(uint64_t seed, const struct arguments *args)
{
	return (struct sim_options){.seed = seed,
				    .has_trace = args->has_trace,
				    .has_policies = args->has_policies,
				    .is_real_crypto = seed % REAL_EVERY == 0};
}

/* The same once more with as few faults as will do, as a diagram. */
static void explain(const struct sim_options *options, const struct sim_result *failed)
{
	struct sim_options small = *options;
	struct sim_result result;
	size_t count = 0;
	size_t left = 0;
	uint8_t *skip = sim_shrink(options, failed, &count);

	for (size_t i = 0; i < count; i++)
		left += skip[i] == 0 ? 1 : 0;
	printf("seed %" PRIu64 ": %zu of %zu faults are enough:\n", options->seed, left, count);
	small.skip = skip;
	small.skip_count = count;
	small.has_trace = true;
	(void)sim_run(&small, &result);
	printf("seed %" PRIu64 ": %s: %s\n", options->seed, result.invariant, result.why);
	free(skip);
}

/* As sim_run, but what kills it, or never ends, breaks invariant X. */
static bool run_alone(const struct sim_options *options, struct sim_result *result)
{
	const struct rlimit cpu = {.rlim_cur = ALONE_CPU_S, .rlim_max = ALONE_CPU_S + 1};
	const struct rlimit core = {.rlim_cur = 0, .rlim_max = 0};
	int ends[2];
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	if (pipe(ends) != 0)
		abort();
	pid = fork();
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CPU, &cpu);
		(void)setrlimit(RLIMIT_CORE, &core);
		(void)sim_run(options, result);
		_exit(write(ends[1], result, sizeof(*result)) == (ssize_t)sizeof(*result) ? 0 : 1);
	}
	(void)close(ends[1]);
	memset(result, 0, sizeof(*result));
	if (pid < 0 || read(ends[0], result, sizeof(*result)) != (ssize_t)sizeof(*result))
		result->is_good = false;
	(void)close(ends[0]);
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	if (!result->is_good && result->invariant[0] == '\0') {
		(void)snprintf(result->invariant, sizeof(result->invariant), "X");
		(void)snprintf(result->why, sizeof(result->why),
			       WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU
				       ? "it does not end (signal %d)"
				       : "the process died (signal %d)",
			       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	return result->is_good;
}

static void run_one(uint64_t seed, const struct arguments *args, struct totals *totals)
{
	const struct sim_options options = options_of(seed, args);
	struct sim_result result;
	bool is_good = args->is_alone ? run_alone(&options, &result) : sim_run(&options, &result);

	totals->seeds++;
	totals->real += options.is_real_crypto ? 1 : 0;
	totals->steps += result.steps;
	totals->faults += result.faults;
	totals->rotations += result.rotations;
	totals->commits += result.commits;
	totals->rotated += result.rotated;
	totals->alarms += result.alarms;
	totals->suspicions += result.suspicions;
	totals->false_alarms += result.false_alarms;
	totals->silences += result.silences;
	totals->clones += result.has_clone ? 1 : 0;
	totals->rolled_back += result.is_rolled_back ? 1 : 0;
	totals->reconciled += result.is_reconciled ? 1 : 0;
	if (is_good)
		return;
	totals->failed++;
	if (args->is_json)
		(void)fprintf(stderr, "seed %" PRIu64 ": %s: %s\n", seed, result.invariant,
			      result.why);
	else
		printf("seed %" PRIu64 ": %s: %s (step %" PRIu64 ")\n", seed, result.invariant,
		       result.why, result.steps);
	if (!args->is_json && !args->has_trace && !args->is_alone && totals->failed == 1)
		explain(&options, &result);
}

/* Every @step-th seed from @first on. */
static void run_share(uint64_t first, uint64_t step, const struct arguments *args,
		      struct totals *totals)
{
	struct timespec cpu;

	const uint64_t wanted = (args->rotations + step - 1) / step; /* of each share */

	for (uint64_t seed = first; seed <= args->last && totals->failed < args->fail_max &&
				    (wanted == 0 || totals->rotated < wanted);
	     seed += step)
		run_one(seed, args, totals);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	totals->seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

static void add_totals(struct totals *to, const struct totals *from)
{
	to->seeds += from->seeds;
	to->real += from->real;
	to->steps += from->steps;
	to->faults += from->faults;
	to->rotations += from->rotations;
	to->commits += from->commits;
	to->rotated += from->rotated;
	to->alarms += from->alarms;
	to->suspicions += from->suspicions;
	to->false_alarms += from->false_alarms;
	to->silences += from->silences;
	to->clones += from->clones;
	to->rolled_back += from->rolled_back;
	to->reconciled += from->reconciled;
	to->failed += from->failed;
	to->seconds += from->seconds;
}

/* What a child has found, over a pipe: it is smaller than what a pipe holds. */
struct share {
	struct totals totals;
	struct sim_cover cover;
};

static bool collect(int fd, struct totals *totals)
{
	struct share *share = sim_alloc(NULL, 1, sizeof(*share));
	size_t done = 0;
	bool is_whole;

	while (done < sizeof(*share)) {
		ssize_t n = read(fd, (char *)share + done, sizeof(*share) - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	is_whole = done == sizeof(*share);
	if (is_whole) {
		add_totals(totals, &share->totals);
		sim_cover_add(&share->cover);
	}
	free(share);
	return is_whole;
}

__attribute__((noreturn)) static void be_child(int fd, unsigned job, const struct arguments *args)
{
	struct share *share = sim_alloc(NULL, 1, sizeof(*share));

	memset(share, 0, sizeof(*share));
	run_share(args->first + job, args->jobs, args, &share->totals);
	share->cover = *sim_cover_get();
	(void)fflush(stdout);
	_exit(write(fd, share, sizeof(*share)) == (ssize_t)sizeof(*share) ? 0 : 1);
}

/* A child that dies has found something, too: it counts as a failure. */
static void run_jobs(const struct arguments *args, struct totals *totals)
{
	int fds[JOBS_MAX];

	for (unsigned job = 0; job < args->jobs; job++) {
		int ends[2];

		if (pipe(ends) != 0)
			abort();
		(void)fflush(stdout);
		if (fork() == 0)
			be_child(ends[1], job, args);
		(void)close(ends[1]);
		fds[job] = ends[0];
	}
	for (unsigned job = 0; job < args->jobs; job++) {
		if (!collect(fds[job], totals)) {
			printf("job %u died\n", job);
			totals->failed++;
		}
		(void)close(fds[job]);
		(void)wait(NULL);
	}
}

/* A run of so many rotations is about alarms: none without a clone, and some with one. */
static void report_alarms(const struct arguments *args, const struct totals *t, unsigned *failed)
{
	const struct {
		const char *what;
		bool is_good;
	} checks[] = {{"too few rotations were committed", t->rotated >= args->rotations},
		      {"an alarm without a clone", t->false_alarms == 0},
		      {"no clone was noticed", t->alarms > 0 && t->suspicions > 0},
		      {"no challenge was missed", t->silences > 0},
		      {"nothing went wrong", t->faults > 0}};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (checks[i].is_good)
			continue;
		(*failed)++;
		(void)fprintf(stderr, "not ok %s\n", checks[i].what);
	}
}

static void report(const struct arguments *args, const struct totals *t, unsigned *passed,
		   unsigned *failed)
{
	double per_second = t->seconds > 0 ? (double)t->steps / t->seconds : 0;

	if (args->is_json)
		printf("{\"seeds\": %" PRIu64 ", \"real_crypto\": %" PRIu64 ", \"failed\": %" PRIu64
		       ", \"steps\": %" PRIu64
		       ", \"steps_per_cpu_second\": %.0f, \"faults\": %" PRIu64
		       ", \"rotations\": %" PRIu64 ", \"commits\": %" PRIu64
		       ", \"clones\": %" PRIu64 ", \"rolled_back\": %" PRIu64
		       ", \"reconciled\": %" PRIu64 ", \"rotations_committed\": %" PRIu64
		       ", \"clone_alarms\": %" PRIu64 ", \"clone_suspicions\": %" PRIu64
		       ", \"clone_alarms_without_clone\": %" PRIu64
		       ", \"challenges_missed\": %" PRIu64 ", \"reached\": [",
		       t->seeds, t->real, t->failed, t->steps, per_second, t->faults, t->rotations,
		       t->commits, t->clones, t->rolled_back, t->reconciled, t->rotated, t->alarms,
		       t->suspicions, t->false_alarms, t->silences);
	else
		printf("%" PRIu64 " seeds (%" PRIu64 " with wolfCrypt, %" PRIu64
		       " with a clone, %" PRIu64 " rolled back, %" PRIu64 " reconciled), %" PRIu64
		       " steps, %.0f a second of CPU, %" PRIu64 " faults, %" PRIu64
		       " rotations begun, %" PRIu64 " commits\n%" PRIu64
		       " rotations committed, %" PRIu64 " clone alarms without a clone (%" PRIu64
		       " with one, %" PRIu64 " suspicions), %" PRIu64 " challenges missed\n",
		       t->seeds, t->real, t->clones, t->rolled_back, t->reconciled, t->steps,
		       per_second, t->faults, t->rotations, t->commits, t->rotated, t->false_alarms,
		       t->alarms, t->suspicions, t->silences);
	if (args->wants_cells)
		(void)sim_cover_report(args->is_json, passed, failed);
	if (args->is_json)
		printf("]}\n");
}

int main(int argc, char **argv)
{
	struct arguments args;
	struct totals totals = {0};
	unsigned passed;
	unsigned failed;

	if (!parse(argc, argv, &args))
		return usage();
	sim_vfs_register();
	if (args.jobs > 1)
		run_jobs(&args, &totals);
	else
		run_share(args.first, 1, &args, &totals);
	failed = (unsigned)totals.failed;
	passed = totals.seeds > totals.failed ? (unsigned)(totals.seeds - totals.failed) : 0;
	report(&args, &totals, &passed, &failed);
	if (args.rotations > 0)
		report_alarms(&args, &totals, &failed);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0 ? 1 : 0;
}
