/*
 * keyturn-fleet - many simulated hubs in one process, against a real broker with the real plugin.
 *
 *   keyturn-fleet --address A --port P --trust-domain TD --root FILE --count N [--first N]
 *                 (--identities DIR | --tickets FILE --claim-port P) [--at-a-time N] [--verbose]
 *                 [--offline SHARE] [--slow SHARE] [--lost SHARE] [--clone SHARE]
 *
 * Hub i (from --first on) has the identity DIR/<i>.pem, or the ticket of line i of FILE (from 0).
 * At most --at-a-time of them (8) are in the middle of something: connecting, enrolling, rolling
 * over. SHAREs are percent of the hubs, the same ones in every run: --offline are not there until
 * `come`; --slow think 1.5 s about whatever comes; --lost lose a tenth of what the broker says,
 * each time with the connection; of --clone there are copies, made of what the hub had at the
 * start, with an address of their own, which appear at `copies`.
 *
 * Commands on stdin, one a line, one line of JSON on stdout for each: `status`, `report`, `come`,
 * `copies`, `drop` (all connections are lost at this moment, and all may come back at once: no
 * more --at-a-time), `quit`. The end of stdin is `quit`: it does not outlive who started it.
 * tests/fleet/drive.py gives the commands.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mosquitto.h>

#include "fleet_hub.h"

enum {
	FILE_MAX = 65536,
	LINE_MAX_LEN = 256,
	GENERATIONS_MAX = 64,
	GOODBYE_MS = 10000,
	OTHER_DESCRIPTORS = 32,
	KEEP_ALIVE_S = 60, /* of docs/keyturn-agent.conf.5 */
	CONNECT_TIMEOUT_MS = 30000,
	SLOW_MS = 1500,
	LOST_PERCENT = 10,
	COPY_NUMBERS = 0x800000 /* of a copy: its hub's and this */
};

enum habit { OFFLINE, SLOW, LOSSY, CLONED, FAILING, HABIT_COUNT };

struct options {
	const char *address;
	const char *trust_domain;
	const char *root;
	const char *identities;
	const char *tickets;
	uint32_t port;
	uint32_t claim_port;
	uint32_t first;
	uint32_t count;
	uint32_t at_a_time;
	uint32_t share[HABIT_COUNT]; /* percent */
	int verbose;
};

struct fleet {
	struct options options;
	struct fleet_world world;
	struct fleet_tls *tls;
	uint8_t *root_storage;
	struct fleet_hub **hubs;
	struct fleet_hub **copies;
	uint32_t copy_count;
	bool have_come;	 /* who was offline */
	bool are_copied; /* the copies are there */
	struct fleet_watch input;
	char line[LINE_MAX_LEN];
	size_t line_len;
	bool is_over;
};

static void need(const char *what, enum kt_err err)
{
	if (err != KT_ERR_OK)
		fleet_fail(what, err == KT_ERR_SYS ? strerror(errno) : kt_err_text(err));
}

/* --- options --- */

static _Noreturn void usage(void)
{
	fputs("usage: keyturn-fleet --address A --port P --trust-domain TD --root FILE --count N "
	      "[--first N]\n    (--identities DIR | --tickets FILE --claim-port P) [--at-a-time N] "
	      "[--verbose]\n    [--offline SHARE] [--slow SHARE] [--lost SHARE] [--clone SHARE]\n"
	      "    [--failing SHARE]\n",
	      stderr);
	exit(2);
}

static uint32_t number(const char *text, uint32_t max)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > max)
		usage();
	return (uint32_t)value;
}

static void take_option(struct options *options, int name, const char *value)
{
	switch (name) {
	case 'a':
		options->address = value;
		break;
	case 'd':
		options->trust_domain = value;
		break;
	case 'r':
		options->root = value;
		break;
	case 'i':
		options->identities = value;
		break;
	case 't':
		options->tickets = value;
		break;
	case 'p':
		options->port = number(value, UINT16_MAX);
		break;
	case 'c':
		options->claim_port = number(value, UINT16_MAX);
		break;
	case 'f':
		options->first = number(value, 1000000);
		break;
	case 'n':
		options->count = number(value, 1000000);
		break;
	case 's':
		options->at_a_time = number(value, 1000000);
		break;
	case 'O':
		options->share[OFFLINE] = number(value, 100);
		break;
	case 'S':
		options->share[SLOW] = number(value, 100);
		break;
	case 'L':
		options->share[LOSSY] = number(value, 100);
		break;
	case 'F':
		options->share[FAILING] = number(value, 100);
		break;
	case 'C':
		options->share[CLONED] = number(value, 100);
		break;
	case 'v':
		options->verbose++;
		break;
	default:
		usage();
	}
}

static void read_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{"address", required_argument, NULL, 'a'},
		{"trust-domain", required_argument, NULL, 'd'},
		{"root", required_argument, NULL, 'r'},
		{"identities", required_argument, NULL, 'i'},
		{"tickets", required_argument, NULL, 't'},
		{"port", required_argument, NULL, 'p'},
		{"claim-port", required_argument, NULL, 'c'},
		{"first", required_argument, NULL, 'f'},
		{"count", required_argument, NULL, 'n'},
		{"at-a-time", required_argument, NULL, 's'},
		{"offline", required_argument, NULL, 'O'},
		{"slow", required_argument, NULL, 'S'},
		{"lost", required_argument, NULL, 'L'},
		{"clone", required_argument, NULL, 'C'},
		{"failing", required_argument, NULL, 'F'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int name = 0;

	*options = (struct options){.at_a_time = 8};
	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
		take_option(options, name, optarg);
	if (optind != argc || options->address == NULL || options->trust_domain == NULL ||
	    options->root == NULL || options->port == 0 || options->count == 0 ||
	    options->at_a_time == 0 ||
	    (options->identities == NULL) == (options->tickets == NULL) ||
	    (options->tickets != NULL && (options->claim_port == 0 || options->share[CLONED] > 0)))
		usage();
}

/* Two links of a hub are up at a time, and one of a copy. */
static void check_descriptors(const struct options *options)
{
	const rlim_t wanted = (rlim_t)options->count * (options->share[CLONED] > 0 ? 3 : 2) *
				      FLEET_DESCRIPTORS_A_LINK +
			      OTHER_DESCRIPTORS;
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		fleet_fail("descriptors", strerror(errno));
	if (limit.rlim_cur < wanted && limit.rlim_max >= wanted) {
		limit.rlim_cur = wanted;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < wanted)
		fleet_fail("descriptors", "the limit is too low for so many hubs in one process");
}

/* --- the hubs --- */

static void read_root(struct fleet *fleet)
{
	struct kt_secret *pem = NULL;
	size_t count = 0;

	need(fleet->options.root, kt_file_read(kt_fs_posix(), fleet->options.root, FILE_MAX, &pem));
	need(fleet->options.root,
	     kt_pem_certs(kt_secret_bytes(pem), kt_secret_len(pem), &fleet->world.root, 1, &count,
			  &fleet->root_storage));
	kt_secret_free(pem);
}

static void open_world(struct fleet *fleet)
{
	const struct options *options = &fleet->options;

	need("crypto", kt_crypto_new(&fleet->world.crypto));
	read_root(fleet);
	need(options->root, fleet_tls_new(options->root, options->address, &fleet->tls));
	fleet->world.trust_domain = options->trust_domain;
	fleet->world.verbose = options->verbose;
	fleet->world.gate.limit = options->at_a_time;
	fleet->world.net = (struct fleet_net){
		.loop = fleet_loop_new(),
		.gate = {.limit = options->at_a_time},
		.stats = fleet_stats_new(),
		.tls = fleet->tls,
		.address = options->address,
		.port = (int)options->port,
		.claim_port = (int)options->claim_port,
		.keep_alive_s = KEEP_ALIVE_S,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
	};
	(void)mosquitto_lib_init();
}

static void close_world(struct fleet *fleet)
{
	fleet_loop_free(fleet->world.net.loop);
	fleet_stats_free(fleet->world.net.stats);
	fleet_tls_free(fleet->tls);
	kt_crypto_free(fleet->world.crypto);
	free(fleet->root_storage);
	(void)mosquitto_lib_cleanup();
}

/* Of a hundred hubs in a row exactly SHARE, spread, and other ones for each habit. */
static bool has_habit(const struct fleet *fleet, enum habit habit, uint32_t i)
{
	static const uint32_t starts[HABIT_COUNT] = {
		[OFFLINE] = 0, [SLOW] = 17, [LOSSY] = 43, [CLONED] = 71, [FAILING] = 29};

	return ((fleet->options.first + i) * 61 + starts[habit]) % 100 <
	       fleet->options.share[habit];
}

static struct fleet_hub *make_copy(struct fleet *fleet, uint32_t number)
{
	const struct fleet_habits habits = {.is_copy = true};
	struct fleet_hub *copy = fleet_hub_new(&fleet->world, number + COPY_NUMBERS);

	fleet_hub_misbehave(copy, &habits);
	fleet->copies[fleet->copy_count++] = copy;
	return copy;
}

static void load_identities(struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->options.count; i++) {
		const uint32_t number = fleet->options.first + i;
		struct kt_secret *pem = NULL;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/%" PRIu32 ".pem", fleet->options.identities,
			       number);
		need(path, kt_file_read(kt_fs_posix(), path, FILE_MAX, &pem));
		need(path, fleet_hub_be_enrolled(fleet->hubs[i], kt_secret_view(pem)));
		if (has_habit(fleet, CLONED, i))
			need(path,
			     fleet_hub_be_enrolled(make_copy(fleet, number), kt_secret_view(pem)));
		kt_secret_free(pem);
	}
}

static void load_tickets(struct fleet *fleet)
{
	FILE *file = fopen(fleet->options.tickets, "re");
	char ticket[KT_TICKET_MAX + 2];
	uint32_t line = 0;

	if (file == NULL)
		fleet_fail(fleet->options.tickets, strerror(errno));
	while (fgets(ticket, sizeof(ticket), file) != NULL &&
	       line < fleet->options.first + fleet->options.count) {
		if (line >= fleet->options.first)
			need("ticket",
			     fleet_hub_be_new(fleet->hubs[line - fleet->options.first], ticket));
		line++;
	}
	kt_wipe(ticket, sizeof(ticket));
	(void)fclose(file);
	if (line < fleet->options.first + fleet->options.count)
		fleet_fail(fleet->options.tickets, "not enough tickets");
}

static void make_hubs(struct fleet *fleet)
{
	const uint32_t count = fleet->options.count;

	fleet->hubs = (struct fleet_hub **)fleet_alloc(NULL, count, sizeof(*fleet->hubs));
	fleet->copies = (struct fleet_hub **)fleet_alloc(NULL, count, sizeof(*fleet->copies));
	for (uint32_t i = 0; i < count; i++) {
		const struct fleet_habits habits = {
			.slow_ms = has_habit(fleet, SLOW, i) ? SLOW_MS : 0,
			.lost_percent = has_habit(fleet, LOSSY, i) ? LOST_PERCENT : 0,
			.is_full = has_habit(fleet, FAILING, i),
		};

		fleet->hubs[i] = fleet_hub_new(&fleet->world, fleet->options.first + i);
		fleet_hub_misbehave(fleet->hubs[i], &habits);
	}
	if (fleet->options.identities != NULL)
		load_identities(fleet);
	else
		load_tickets(fleet);
}

/* --- commands --- */

struct generations {
	uint32_t number[GENERATIONS_MAX];
	uint32_t hubs[GENERATIONS_MAX];
	size_t count;
};

static void count_generation(struct generations *generations, uint32_t number)
{
	size_t i = 0;

	while (i < generations->count && generations->number[i] != number)
		i++;
	if (i == GENERATIONS_MAX)
		return;
	if (i == generations->count)
		generations->number[generations->count++] = number;
	generations->hubs[i]++;
}

static uint32_t refused_copies(const struct fleet *fleet)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < fleet->copy_count; i++) {
		struct fleet_hub_status status;

		fleet_hub_status(fleet->copies[i], &status);
		count += status.is_refused ? 1 : 0;
	}
	return count;
}

/* `generations`: of the settled ones. `absent`: offline. */
static void say_status(const struct fleet *fleet)
{
	struct generations generations = {0};
	uint32_t settled = 0;
	uint32_t absent = 0;

	for (uint32_t i = 0; i < fleet->options.count; i++) {
		struct fleet_hub_status status;

		fleet_hub_status(fleet->hubs[i], &status);
		absent += status.is_started ? 0 : 1;
		if (!status.is_settled)
			continue;
		settled++;
		count_generation(&generations, status.generation);
	}
	printf("{\"hubs\":%" PRIu32 ",\"settled\":%" PRIu32 ",\"absent\":%" PRIu32
	       ",\"copies\":%" PRIu32 ",\"copies_refused\":%" PRIu32 ",\"generations\":{",
	       fleet->options.count, settled, absent, fleet->copy_count, refused_copies(fleet));
	for (size_t i = 0; i < generations.count; i++)
		printf("%s\"%" PRIu32 "\":%" PRIu32, i > 0 ? "," : "", generations.number[i],
		       generations.hubs[i]);
	puts("}}");
}

static void say_devices(const struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->options.count; i++) {
		struct fleet_hub_status status;

		fleet_hub_status(fleet->hubs[i], &status);
		printf("%s{\"device\":\"%s\",\"health\":\"%s\",\"settled\":%s,\"absent\":%s,"
		       "\"generation\":%" PRIu32 "}",
		       i > 0 ? "," : "", status.device, kt_agent_health_name(status.health),
		       status.is_settled ? "true" : "false", status.is_started ? "false" : "true",
		       status.generation);
	}
}

/* By name: a copy says of itself whether it was refused, and whether it is in session. */
static void say_copies(const struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->copy_count; i++) {
		struct fleet_hub_status status;

		fleet_hub_status(fleet->copies[i], &status);
		printf("%s{\"device\":\"%s\",\"refused\":%s,\"settled\":%s}", i > 0 ? "," : "",
		       status.device, status.is_refused ? "true" : "false",
		       status.is_settled ? "true" : "false");
	}
}

static void say_report(const struct fleet *fleet)
{
	printf("{\"devices\":[");
	say_devices(fleet);
	printf("],\"copies\":[");
	say_copies(fleet);
	printf("],");
	fleet_stats_write(fleet->world.net.stats, stdout);
	puts("}");
}

static void start(struct fleet_hub *hub)
{
	need("start", fleet_hub_start(hub));
}

/* Who is offline until now; once. */
static void come(struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->options.count && !fleet->have_come; i++) {
		if (has_habit(fleet, OFFLINE, i))
			start(fleet->hubs[i]);
	}
	fleet->have_come = true;
	say_status(fleet);
}

static void bring_copies(struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->copy_count && !fleet->are_copied; i++)
		start(fleet->copies[i]);
	fleet->are_copied = true;
	say_status(fleet);
}

static void drop(struct fleet *fleet)
{
	fleet->world.gate.limit = SIZE_MAX;
	fleet->world.net.gate.limit = SIZE_MAX;
	for (uint32_t i = 0; i < fleet->options.count; i++)
		fleet_hub_drop(fleet->hubs[i]);
	say_status(fleet);
}

static void obey(struct fleet *fleet, const char *line)
{
	if (strcmp(line, "status") == 0)
		say_status(fleet);
	else if (strcmp(line, "report") == 0)
		say_report(fleet);
	else if (strcmp(line, "come") == 0)
		come(fleet);
	else if (strcmp(line, "copies") == 0)
		bring_copies(fleet);
	else if (strcmp(line, "drop") == 0)
		drop(fleet);
	else if (strcmp(line, "quit") == 0)
		fleet->is_over = true;
	else
		fleet_fail(line, "no such command");
	(void)fflush(stdout);
}

static void take_char(struct fleet *fleet, char c)
{
	if (c != '\n') {
		if (fleet->line_len + 1 == sizeof(fleet->line))
			fleet_fail("stdin", "the line is too long");
		fleet->line[fleet->line_len++] = c;
		return;
	}
	fleet->line[fleet->line_len] = '\0';
	fleet->line_len = 0;
	obey(fleet, fleet->line);
}

static void on_input(void *ctx, uint32_t events)
{
	struct fleet *fleet = ctx;
	char text[LINE_MAX_LEN];
	ssize_t len = read(STDIN_FILENO, text, sizeof(text));

	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0)
		fleet->is_over = true;
	for (ssize_t i = 0; i < len && !fleet->is_over; i++)
		take_char(fleet, text[i]);
}

/* --- life --- */

static void start_hubs(struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->options.count && !fleet->is_over; i++) {
		if (!has_habit(fleet, OFFLINE, i))
			start(fleet->hubs[i]);
	}
}

static bool is_down(const struct fleet *fleet)
{
	for (uint32_t i = 0; i < fleet->options.count; i++) {
		if (!fleet_hub_is_down(fleet->hubs[i]))
			return false;
	}
	for (uint32_t i = 0; i < fleet->copy_count; i++) {
		if (!fleet_hub_is_down(fleet->copies[i]))
			return false;
	}
	return true;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void stop_hubs(struct fleet *fleet)
{
	struct fleet_loop *loop = fleet->world.net.loop;
	struct fleet_timer wake = {.due = nothing};
	const int64_t until_ms = fleet_now_ms() + GOODBYE_MS;

	fleet_watch_off(loop, &fleet->input, false);
	for (uint32_t i = 0; i < fleet->options.count; i++)
		fleet_hub_stop(fleet->hubs[i]);
	for (uint32_t i = 0; i < fleet->copy_count; i++)
		fleet_hub_stop(fleet->copies[i]);
	while (!is_down(fleet) && fleet_now_ms() < until_ms) {
		fleet_timer_set(loop, &wake, fleet_now_ms() + 50);
		fleet_loop_turn(loop);
	}
	for (uint32_t i = 0; i < fleet->options.count; i++)
		fleet_hub_free(fleet->hubs[i]);
	for (uint32_t i = 0; i < fleet->copy_count; i++)
		fleet_hub_free(fleet->copies[i]);
	free((void *)fleet->hubs);
	free((void *)fleet->copies);
}

int main(int argc, char **argv)
{
	struct fleet fleet = {0};
	const pid_t parent = getppid();

	read_options(&fleet.options, argc, argv);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		fleet_fail("parent", "gone");
	check_descriptors(&fleet.options);
	open_world(&fleet);
	make_hubs(&fleet);
	(void)fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	fleet.input = (struct fleet_watch){.ready = on_input, .ctx = &fleet};
	fleet_watch_on(fleet.world.net.loop, &fleet.input, STDIN_FILENO, EPOLLIN);
	puts("{\"ready\":true}");
	(void)fflush(stdout);
	start_hubs(&fleet);
	while (!fleet.is_over)
		fleet_loop_turn(fleet.world.net.loop);
	stop_hubs(&fleet);
	close_world(&fleet);
	return 0;
}
