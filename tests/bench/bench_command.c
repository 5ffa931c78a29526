/*
 * bench_command - what an operator's command costs the broker's own thread, one after the other.
 *
 *   bench_command keyturn|dynsec SOCKET PID COUNT FIRST DEVICES TURN [SYNC_FILE]
 *
 * Over the local socket, each awaited before the next: COUNT new devices (clients) are made, named
 * by TURN; COUNT others, of bench-<FIRST> to bench-<DEVICES - 1>, are quarantined (disabled), and
 * released (enabled) again. One line for each of the three kinds: MAIN_NS ALL_NS NAME COUNT P50 P99
 * MAX: the processor's time of PID's main thread, and of all its threads, from the first PUBLISH to
 * the last answer, and the microseconds to an answer. With SYNC_FILE each command is followed by
 * one append of a line as long as its record and fdatasync, and there is one line more: 0 0
 * fdatasync COUNT P50 P99 MAX.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_cpu.h"
#include "bench_hub.h"
#include "topic.h"

enum { LINE_LEN = 330, TEXT_MAX = 512, COUNT_MAX = 100000, TOPIC_MAX = 64 };

struct operation {
	const char *name;
	const char *keyturn;
	const char *dynsec;
	bool is_new; /* of devices that are not there yet */
};

static const struct operation operations[] = {
	{"create", "createDevice", "createClient", true},
	{"disable", "quarantine", "disableClient", false},
	{"enable", "release", "enableClient", false},
};

struct command_bench {
	bool is_dynsec;
	long pid;
	size_t count;
	size_t first;
	size_t devices;
	size_t turn;
	int sync_fd; /* -1: none */
	struct bench_client *client;
	struct bench_figure answers;
	struct bench_figure syncs;
};

static uint64_t main_ns(long pid)
{
	char tid[24];

	snprintf(tid, sizeof(tid), "%ld", pid);
	return bench_cpu_thread_ns(pid, tid);
}

static void sync_one(struct command_bench *bench)
{
	char line[LINE_LEN];
	int64_t start_us = 0;

	memset(line, 'x', sizeof(line));
	start_us = bench_mono_us();
	if (write(bench->sync_fd, line, sizeof(line)) != (ssize_t)sizeof(line) ||
	    fdatasync(bench->sync_fd) != 0)
		bench_fail("fdatasync", strerror(errno));
	bench_note(&bench->syncs, bench_mono_us() - start_us);
}

static void device_of(const struct command_bench *bench, const struct operation *operation,
		      size_t i, char *out, size_t cap)
{
	/* a large odd step: neighbours in time are none in memory */
	const size_t span = bench->devices - bench->first;
	const size_t device = bench->first + (i * 7919 + bench->turn) % span;

	if (operation->is_new)
		snprintf(out, cap, "new-%zu-%zu", bench->turn, i);
	else
		snprintf(out, cap, "bench-%zu", device);
}

static void command(struct command_bench *bench, const struct operation *operation, size_t i)
{
	const char *topic = bench->is_dynsec ? "$CONTROL/dynamic-security/v1" : KT_TOPIC_CONTROL;
	char device[64];
	char text[TEXT_MAX];
	int64_t sent_us = 0;
	int64_t at_us = 0;
	int len = 0;

	device_of(bench, operation, i, device, sizeof(device));
	len = snprintf(text, sizeof(text), "{\"commands\":[{\"command\":\"%s\",\"%s\":\"%s\"}]}",
		       bench->is_dynsec ? operation->dynsec : operation->keyturn,
		       bench->is_dynsec ? "username" : "device", device);
	sent_us = bench_publish(bench->client, topic, text, (size_t)len);
	while (!bench_has_answer(bench->client, &at_us)) {
		if (!bench_wait(&bench->client, 1, BENCH_PATIENCE_MS))
			bench_fail(operation->name, "no answer");
	}
	bench_note(&bench->answers, at_us - sent_us);
}

static void run(struct command_bench *bench, const struct operation *operation)
{
	uint64_t main_before = main_ns(bench->pid);
	uint64_t all_before = bench_cpu_ns(bench->pid);

	bench->answers.name = operation->name;
	for (size_t i = 0; i < bench->count; i++) {
		command(bench, operation, i);
		if (bench->sync_fd >= 0)
			sync_one(bench);
	}
	printf("%llu %llu ", (unsigned long long)(main_ns(bench->pid) - main_before),
	       (unsigned long long)(bench_cpu_ns(bench->pid) - all_before));
	bench_print(&bench->answers);
}

static void subscribe(struct command_bench *bench)
{
	struct bench_packet packet;

	bench_subscribe(bench->client, "$CONTROL/dynamic-security/v1/response");
	bench_expect(bench->client, BENCH_SUBACK, &packet);
}

int main(int argc, char **argv)
{
	static struct command_bench bench = {.syncs = {.name = "fdatasync"}, .sync_fd = -1};

	if (argc < 8 || argc > 9 ||
	    (strcmp(argv[1], "keyturn") != 0 && strcmp(argv[1], "dynsec") != 0)) {
		fprintf(stderr, "usage: bench_command keyturn|dynsec SOCKET PID COUNT FIRST DEVICES"
				" TURN [SYNC_FILE]\n");
		return 2;
	}
	bench.is_dynsec = strcmp(argv[1], "dynsec") == 0;
	bench.pid = strtol(argv[3], NULL, 10);
	bench.count = bench_number(argv[4], COUNT_MAX);
	bench.first = bench_number(argv[5], SIZE_MAX);
	bench.devices = bench_number(argv[6], SIZE_MAX);
	bench.turn = bench_number(argv[7], SIZE_MAX);
	if (bench.devices < bench.first + bench.count)
		bench_fail("DEVICES", "not so many");
	if (argc == 9) {
		bench.sync_fd = open(argv[8], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (bench.sync_fd < 0)
			bench_fail(argv[8], strerror(errno));
	}
	bench.client = bench_operator(argv[2]);
	if (bench.is_dynsec)
		subscribe(&bench);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		run(&bench, &operations[i]);
	if (bench.sync_fd >= 0) {
		printf("0 0 ");
		bench_print(&bench.syncs);
	}
	bench_client_free(bench.client);
	return 0;
}
