/*
 * keyturn-agent - argv, the commands, what is printed, exit codes. Only file of the agent that
 * prints and ends the process.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adopt.h"
#include "agent.h"
#include "agent_ports.h"
#include "config.h"
#include "daemon.h"
#include "encoding.h"
#include "hub.h"
#include "rollover.h"
#include "status.h"

enum exit_code { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_NOT_YET = 3 };

enum { WAIT_MAX_S = 7 * 24 * 3600, TIME_MAX = 32 };

struct arguments {
	const char *command;
	const char *config_path;
	const char *ticket_file; /* NULL: the configuration's */
	const char *cert_file;	 /* adopt */
	const char *key_file;
	int64_t wait_ms;
	bool again;
	bool as_json;
};

/* --- the process --- */

/* A key that is in memory goes into no core file, and nobody attaches a debugger to it. What could
 * steer Paho from outside goes. */
static bool harden_process(void)
{
	static const char *const unwanted[] = {
		"http_proxy",	 "https_proxy", "HTTP_PROXY",	       "HTTPS_PROXY",
		"all_proxy",	 "ALL_PROXY",	"MQTT_C_CLIENT_TRACE", "MQTT_C_CLIENT_TRACE_LEVEL",
		"SSLKEYLOGFILE",
	};
	const struct rlimit none = {0, 0};

	(void)umask(S_IRWXG | S_IRWXO);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* the configuration is read once */
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		(void)unsetenv(unwanted[i]); /* NOLINT(concurrency-mt-unsafe): no thread yet */
	return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* To stderr; under journald with the priority in front (sd-daemon(3)). */
static void print_line(void *ctx, enum kt_log_level level, const char *line)
{
	static const int priorities[] = {
		[KT_LOG_ERROR] = 3, [KT_LOG_WARN] = 4, [KT_LOG_INFO] = 6, [KT_LOG_DEBUG] = 7};
	const bool *is_journal = ctx;

	if (*is_journal)
		(void)fprintf(stderr, "<%d>%s\n", priorities[level], line);
	else
		(void)fprintf(stderr, "%s\n", line);
}

static int complain(const char *why)
{
	(void)fprintf(stderr, "keyturn-agent: %s\n", why);
	return EXIT_BAD;
}

/* --- run, enroll --- */

static int end_of_enrolment(enum kt_daemon_end end, const struct kt_agent_record *record)
{
	switch (end) {
	case KT_DAEMON_ENROLLED:
		(void)printf("%s is enrolled\n", record->device.s);
		return EXIT_GOOD;
	case KT_DAEMON_TIMED_OUT:
		(void)fprintf(stderr, "keyturn-agent: not enrolled yet (the claim stands: repeat "
				      "this, or run the agent)\n");
		return EXIT_NOT_YET;
	case KT_DAEMON_STOPPED:
		break;
	}
	return EXIT_NOT_YET;
}

static struct kt_hub_claim claim_of(const struct arguments *args, bool is_enrolment)
{
	return (struct kt_hub_claim){.is_enrolment = is_enrolment,
				     .again = args->again,
				     .ticket_file = args->ticket_file};
}

/* The core without links, for what is done to the record before there are any. */
static enum kt_err with_core(struct kt_hub *hub, struct kt_log *log,
			     enum kt_err (*act)(struct kt_agent *agent, const struct kt_hub *hub))
{
	struct kt_agent_ports ports;
	struct kt_agent *agent = NULL;
	struct kt_agent_setup setup = {.disk = &ports.disk,
				       .hooks = &ports.hooks,
				       .entropy = &ports.entropy,
				       .log = log,
				       .timers = hub->config->timers,
				       .key_store = hub->config->key_store};
	enum kt_err err = KT_ERR_INTERNAL;

	kt_agent_ports_init(&ports, hub->store, hub->crypto, NULL);
	err = kt_agent_new(&setup, (struct kt_agent_now){0, 0}, &agent);
	if (err == KT_ERR_OK)
		err = act(agent, hub);
	kt_agent_free(agent);
	return err;
}

static enum kt_err start_again(struct kt_agent *agent, const struct kt_hub *hub)
{
	uint8_t hash[32];

	kt_hub_ticket_hash(hub, hash);
	return kt_agent_enroll_again(agent, hub->has_ticket ? hash : NULL);
}

static enum kt_err make_key(struct kt_agent *agent, const struct kt_hub *hub)
{
	(void)hub;
	return kt_agent_enroll_key(agent);
}

enum { KEY_ID_TEXT = 2 * KT_KEY_ID_LEN + 1 };

static bool key_id_text(struct kt_hub *hub, char out[static KEY_ID_TEXT])
{
	struct kt_key_id id;

	return kt_hub_key_id(hub, &id) == KT_ERR_OK &&
	       kt_hex_encode(id.b, sizeof(id.b), out, KEY_ID_TEXT) == KT_ERR_OK;
}

static enum kt_err begin_claim(struct kt_hub *hub, struct kt_log *log)
{
	enum kt_err err = KT_ERR_OK;

	if (hub->starts_again)
		err = with_core(hub, log, start_again);
	else if (hub->has_claim) /* its key can be shown before anybody is asked */
		err = with_core(hub, log, make_key);
	if (err == KT_ERR_STATE)
		(void)complain(
			"the last rotation is not complete on this disk: run the agent first");
	else if (err != KT_ERR_OK)
		(void)complain(kt_err_text(err));
	return err;
}

static bool may_enroll(struct kt_hub *hub)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	char key_id[KEY_ID_TEXT];

	if (record->phase == KT_AGENT_STABLE) {
		(void)fprintf(stderr,
			      "keyturn-agent: this hub is %s already (a new ticket, or --again, "
			      "gives it another key)\n",
			      record->device.s);
		return false;
	}
	if (kt_rollover_is_claim(record) && !hub->has_ticket && !hub->has_claim) {
		(void)complain("neither a ticket (--ticket-file) nor a claim_identity to enrol "
			       "with");
		return false;
	}
	if (kt_rollover_is_claim(record) && hub->has_claim && key_id_text(hub, key_id))
		(void)fprintf(stderr, "keyturn-agent: the key to approve is %s\n", key_id);
	return true;
}

static int run_daemon(const struct arguments *args, const struct kt_agent_config *config,
		      struct kt_log *log, bool is_enrolment)
{
	struct kt_hub hub;
	struct kt_daemon_result result;
	const struct kt_hub_claim claim = claim_of(args, is_enrolment);
	struct kt_daemon_request request = {
		.hub = &hub, .log = log, .is_enrolment = is_enrolment, .wait_ms = args->wait_ms};
	char why[KT_HUB_WHY_MAX];
	int code = EXIT_GOOD;

	if (kt_hub_open(config, &claim, &hub, why) != KT_ERR_OK)
		return complain(why);
	if (why[0] != '\0')
		(void)complain(why);
	if (begin_claim(&hub, log) != KT_ERR_OK || (is_enrolment && !may_enroll(&hub))) {
		kt_hub_close(&hub);
		return EXIT_BAD;
	}
	if (kt_daemon_run(&request, &result) != KT_ERR_OK)
		code = complain(result.why);
	else if (is_enrolment)
		code = end_of_enrolment(result.end, kt_identity_record(hub.store));
	if (!result.is_clean) {
		(void)fflush(NULL);
		_exit(code);
	}
	kt_hub_close(&hub);
	return code;
}

static int command_run(const struct arguments *args, const struct kt_agent_config *config,
		       struct kt_log *log)
{
	return run_daemon(args, config, log, false);
}

static int command_enroll(const struct arguments *args, const struct kt_agent_config *config,
			  struct kt_log *log)
{
	return run_daemon(args, config, log, true);
}

/* --- key-id --- */

/* Makes the key if there is none: what an operator registers before the hub is switched on. */
static int command_key_id(const struct arguments *args, const struct kt_agent_config *config,
			  struct kt_log *log)
{
	const struct kt_hub_claim claim = claim_of(args, false);
	struct kt_hub hub;
	char key_id[KEY_ID_TEXT] = "";
	char why[KT_HUB_WHY_MAX];
	enum kt_err err = kt_hub_open(config, &claim, &hub, why);

	if (err != KT_ERR_OK)
		return complain(why);
	err = with_core(&hub, log, make_key);
	if (err == KT_ERR_OK && !key_id_text(&hub, key_id))
		err = KT_ERR_INTERNAL;
	kt_hub_close(&hub);
	if (err == KT_ERR_STATE)
		return complain("this hub has its identity already; `status` shows it");
	if (err != KT_ERR_OK)
		return complain(kt_err_text(err));
	return printf("%s\n", key_id) > 0 ? EXIT_GOOD : EXIT_BAD;
}

/* --- adopt --- */

static int command_adopt(const struct arguments *args, const struct kt_agent_config *config,
			 struct kt_log *log)
{
	const struct kt_hub_claim claim = claim_of(args, false);
	const struct kt_adopt_files files = {args->cert_file, args->key_file};
	struct kt_hub hub;
	char device[KT_DEVICE_ID_MAX + 1] = "";
	char why[KT_HUB_WHY_MAX];
	enum kt_err err = KT_ERR_OK;

	(void)log;
	if (files.cert == NULL || files.key == NULL) {
		(void)complain("adopt needs --cert and --key");
		return EXIT_USAGE;
	}
	if (kt_hub_open(config, &claim, &hub, why) != KT_ERR_OK)
		return complain(why);
	err = kt_adopt(&hub, &files, why);
	if (err == KT_ERR_OK)
		memcpy(device, kt_identity_record(hub.store)->device.s, sizeof(device));
	kt_hub_close(&hub);
	if (err != KT_ERR_OK && err != KT_ERR_EXISTS)
		return complain(why);
	return (err == KT_ERR_OK ? printf("%s is adopted\n", device) : printf("%s\n", why)) > 0
		       ? EXIT_GOOD
		       : EXIT_BAD;
}

/* --- check --- */

static int command_check(const struct arguments *args, const struct kt_agent_config *config,
			 struct kt_log *log)
{
	const struct kt_hub_claim claim = claim_of(args, false);
	struct kt_hub hub;
	struct stat st;
	char why[KT_HUB_WHY_MAX];
	enum kt_err err = KT_ERR_OK;

	(void)log;
	if (stat(config->state_dir, &st) != 0) {
		(void)printf("%s: fine; %s does not exist yet\n", args->config_path,
			     config->state_dir);
		return EXIT_GOOD;
	}
	err = kt_hub_open(config, &claim, &hub, why);
	if (err == KT_ERR_BUSY) {
		(void)printf("%s: fine; an agent runs in %s\n", args->config_path,
			     config->state_dir);
		return EXIT_GOOD;
	}
	if (err != KT_ERR_OK)
		return complain(why);
	if (why[0] != '\0')
		(void)complain(why);
	(void)printf("%s: fine; %s: %s\n", args->config_path, config->state_dir,
		     kt_agent_phase_name(kt_identity_record(hub.store)->phase));
	kt_hub_close(&hub);
	return EXIT_GOOD;
}

/* --- status --- */

static void print_status(const struct kt_status *status)
{
	const struct kt_agent_record *record = &status->record;
	char fingerprint[2 * KT_FINGERPRINT_LEN + 1] = "none";
	char session[TIME_MAX] = "none";
	struct tm utc;
	time_t at = (time_t)status->last_session_s;

	if (record->active.dir != 0)
		(void)!kt_hex_encode(record->active.fp.b, sizeof(record->active.fp.b), fingerprint,
				     sizeof(fingerprint));
	if (at != 0 && gmtime_r(&at, &utc) != NULL)
		(void)strftime(session, sizeof(session), "%Y-%m-%dT%H:%M:%SZ", &utc);
	(void)printf("device        %s\n"
		     "trust domain  %s\n"
		     "health        %s\n"
		     "phase         %s\n"
		     "generation    %lu\n"
		     "fingerprint   %s\n"
		     "last session  %s\n"
		     "last refusal  %s\n",
		     record->device.s[0] != '\0' ? record->device.s : "none",
		     record->trust_domain[0] != '\0' ? record->trust_domain : "none",
		     status->health, kt_agent_phase_name(record->phase),
		     (unsigned long)record->active.generation, fingerprint, session,
		     status->last_reason[0] != '\0' ? status->last_reason : "none");
	if (record->step != KT_STEP_NONE)
		(void)printf("step          %s\n", kt_agent_step_name(record->step));
}

static int command_status(const struct arguments *args, const struct kt_agent_config *config,
			  struct kt_log *log)
{
	struct kt_status status;
	char *json = NULL;
	enum kt_err err = kt_status_load(config->state_dir, &status);

	(void)log;
	if (err == KT_ERR_NOT_FOUND)
		return complain("no agent has run here yet");
	if (err != KT_ERR_OK) {
		(void)fprintf(stderr, "keyturn-agent: %s: %s\n", config->state_dir,
			      kt_err_text(err));
		return EXIT_BAD;
	}
	if (args->as_json) {
		err = kt_status_json(&status, &json);
		if (err != KT_ERR_OK)
			return complain(kt_err_text(err));
		(void)printf("%s\n", json);
		free(json);
	} else {
		print_status(&status);
	}
	return kt_status_is_good(&status) ? EXIT_GOOD : EXIT_BAD;
}

/* --- the command line --- */

typedef int command_fn(const struct arguments *args, const struct kt_agent_config *config,
		       struct kt_log *log);

static const struct {
	const char *name;
	command_fn *run;
	const char *help;
} commands[] = {
	{"run", command_run, "keep this hub's identity fresh, in the foreground"},
	{"enroll", command_enroll, "get an identity, then end"},
	{"adopt", command_adopt, "take over the certificate and key this hub has already"},
	{"status", command_status, "say where this hub stands; 0 only if it is in session"},
	{"check", command_check, "look at the configuration and the files it names"},
	{"key-id", command_key_id, "print the id of the key this hub will enrol with"},
};

static void print_usage(FILE *to)
{
	(void)fprintf(to, "usage: keyturn-agent COMMAND [OPTION ...]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		(void)fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	(void)fprintf(to, "\n"
			  "  -c, --config FILE       instead of " KT_AGENT_CONFIG_PATH "\n"
			  "      --ticket-file FILE  enroll, run: a ticket for this hub\n"
			  "      --cert FILE         adopt: the certificate, PEM\n"
			  "      --key FILE          adopt: its private key, PEM\n"
			  "      --again             enroll: also a hub that has an identity\n"
			  "      --wait SECONDS      enroll: end with 3 if it takes longer\n"
			  "      --json              status: one JSON object\n"
			  "  -h, --help\n"
			  "  -V, --version\n");
}

static bool parse_wait(const char *text, int64_t *out_ms)
{
	uint64_t seconds = 0;

	if (kt_u64_decode(text, strlen(text), &seconds) != KT_ERR_OK || seconds == 0 ||
	    seconds > WAIT_MAX_S)
		return false;
	*out_ms = (int64_t)seconds * 1000;
	return true;
}

/* False: *code is what to end with. */
static bool parse_arguments(int argc, char *argv[], struct arguments *args, int *code)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"ticket-file", required_argument, NULL, 't'},
		{"cert", required_argument, NULL, 'r'},
		{"key", required_argument, NULL, 'k'},
		{"again", no_argument, NULL, 'a'},
		{"wait", required_argument, NULL, 'w'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option = 0;

	*code = EXIT_USAGE;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread yet */
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		if (option == 'c') {
			args->config_path = optarg;
		} else if (option == 't') {
			args->ticket_file = optarg;
		} else if (option == 'r') {
			args->cert_file = optarg;
		} else if (option == 'k') {
			args->key_file = optarg;
		} else if (option == 'a') {
			args->again = true;
		} else if (option == 'j') {
			args->as_json = true;
		} else if (option == 'w') {
			if (!parse_wait(optarg, &args->wait_ms)) {
				(void)complain("--wait: not a number of seconds");
				return false;
			}
		} else if (option == 'h') {
			print_usage(stdout);
			*code = EXIT_GOOD;
			return false;
		} else if (option == 'V') {
			(void)printf("keyturn-agent %s\n", KT_VERSION);
			*code = EXIT_GOOD;
			return false;
		} else {
			return false;
		}
	}
	if (argc - optind != 1) {
		print_usage(stderr);
		return false;
	}
	args->command = argv[optind];
	return true;
}

int main(int argc, char *argv[])
{
	struct arguments args = {.config_path = KT_AGENT_CONFIG_PATH};
	struct kt_agent_config *config = NULL;
	struct kt_log log;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread yet */
	bool is_journal = getenv("JOURNAL_STREAM") != NULL;
	char why[KT_OPTION_WHY_MAX];
	int code = EXIT_USAGE;

	if (!parse_arguments(argc, argv, &args, &code))
		return code;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(args.command, commands[i].name) != 0)
			continue;
		if (!harden_process())
			return complain("cannot keep the process out of core files");
		if (kt_agent_config_load(args.config_path, &config, why) != KT_ERR_OK)
			return complain(why);
		kt_log_init(&log, print_line, &is_journal, KT_LOG_INFO);
		code = commands[i].run(&args, config, &log);
		kt_agent_config_free(config);
		return code;
	}
	(void)fprintf(stderr, "keyturn-agent: no command %s\n", args.command);
	print_usage(stderr);
	return EXIT_USAGE;
}
