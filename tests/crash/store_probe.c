/*
 * store_probe - what a registry is worth after a power cut: opens each as the plugin does, and
 * tells.
 *
 *   store_probe TRUST_DOMAIN      "STATE_DIR LEDGER_DIR" on stdin, one pair a line
 *
 * Prints for each one line: "ok SEQ HEAD", where the registry that kt_store_open filled says the
 * same as the fold of its ledger, the tables hold together, and a second open (from the index) says
 * the same again; else "bad ERROR SENTENCE". Each pair has a process of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"
#include "log.h"
#include "registry_dump.h"
#include "store.h"

enum { LINE_CAP = 8400 };

static const char *trust_domain;

static void drop_line(void *ctx, enum kt_log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static _Noreturn void bad(const char *error, const char *sentence)
{
	(void)printf("bad %s %s\n", error, sentence);
	(void)fflush(stdout);
	_exit(0);
}

static enum kt_err fold(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	(void)hash;
	return kt_registry_apply(arg, record);
}

/* What the ledger alone says. */
static char *dump_of_ledger(const char *dir, struct kt_ledger_state *state)
{
	struct kt_registry *registry = NULL;
	uint64_t bad_line = 0;
	char *text = NULL;
	enum kt_err err = kt_registry_new(&registry);

	if (err == KT_ERR_OK)
		err = kt_ledger_scan(kt_fs_posix(), dir, fold, registry, state, &bad_line);
	if (err != KT_ERR_OK)
		bad(kt_err_name(err), "the ledger does not fold");
	text = registry_dump(registry);
	kt_registry_free(registry);
	return text;
}

/* What the plugin would work with; closed again as a broker closes it. */
static char *dump_of_store(const char *state_dir, const char *ledger_dir)
{
	const struct kt_store_config config = {
		.state_dir = state_dir, .ledger_dir = ledger_dir, .trust_domain = trust_domain};
	struct kt_registry *registry = NULL;
	struct kt_store *store = NULL;
	struct kt_store_status status;
	struct kt_log log;
	char why[512] = "";
	char *text = NULL;
	enum kt_err err = kt_registry_new(&registry);

	kt_log_init(&log, drop_line, NULL, KT_LOG_ERROR);
	if (err == KT_ERR_OK)
		err = kt_store_open(&config, &log, INT64_C(1900000000000000), registry, &store,
				    why);
	if (err != KT_ERR_OK)
		bad(kt_err_name(err), why);
	kt_store_poll(store, &status);
	if (status.failed || status.index_failed)
		bad("failed", "the store cannot be written");
	registry_audit(registry);
	text = registry_dump(registry);
	kt_store_close(store);
	kt_registry_free(registry);
	return text;
}

static _Noreturn void tell(const char *state_dir, const char *ledger_dir)
{
	struct kt_ledger_state state;
	char *first = dump_of_store(state_dir, ledger_dir);
	char *truth = dump_of_ledger(ledger_dir, &state);
	char *second = NULL;

	if (strcmp(first, truth) != 0)
		bad("differs", "registry and ledger do not say the same");
	second = dump_of_store(state_dir, ledger_dir);
	if (strcmp(second, truth) != 0)
		bad("differs", "the index and the ledger do not say the same");
	(void)printf("ok %" PRIu64 " ", state.seq);
	for (size_t i = 0; i < sizeof(state.head); i++)
		(void)printf("%02x", state.head[i]);
	(void)printf("\n");
	(void)fflush(stdout);
	free(first);
	free(truth);
	free(second);
	_exit(0);
}

int main(int argc, char **argv)
{
	char line[LINE_CAP];

	if (argc != 2)
		return 2;
	trust_domain = argv[1];
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *space = strchr(line, ' ');
		int status = 0;
		pid_t pid = 0;

		line[strcspn(line, "\n")] = '\0';
		if (space == NULL)
			return 2;
		*space = '\0';
		pid = fork();
		if (pid == 0)
			tell(line, space + 1);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (status != 0) {
			(void)printf("bad died %d\n", status);
			(void)fflush(stdout);
		}
	}
	return 0;
}
