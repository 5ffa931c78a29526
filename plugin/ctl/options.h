/*
 * options - what can stand on keyturnctl's command line.
 *
 * Owns the table of options, the table of commands, and every check that needs no broker: what is
 * wrong here is wrong before anything is sent. docs/keyturnctl.1 is compared with both tables by a
 * test. One thread (getopt_long).
 */
#ifndef KT_CTL_OPTIONS_H
#define KT_CTL_OPTIONS_H

#include <stdio.h>

#include "err.h"
#include "exit_code.h"
#include "transport.h"
#include "types.h"

#define KT_CTL_SOCKET "/run/mosquitto/keyturn.sock"

enum {
	KT_CTL_PORT_DEFAULT = 8883,
	KT_CTL_TIMEOUT_MS = 10000,
	KT_CTL_WAIT_MS = 75000, /* for the outcome of a challenge: its 60 s, and some */
	KT_CTL_BATCH_MAX = 100, /* devices of a command that the plugin takes one by one */
	KT_CTL_ROTATE_MAX = 1000,
	KT_CTL_CAMPAIGN_MAX = 1030, /* words: devices, and what a campaign needs beside them */
	KT_CTL_IMPORT_MAX = 1000    /* files and directories on one command line */
};

/* X(CODE, "name", "ARGUMENT" or NULL, "help") */
#define KT_CTL_OPTION_LIST(X)                                                                      \
	X(UNIX, "unix", "PATH", "the broker's local socket (default " KT_CTL_SOCKET ")")           \
	X(HOST, "host", "NAME", "the broker over TLS; with --cafile, --cert and --key")            \
	X(PORT, "port", "NUMBER", "its port (default 8883)")                                       \
	X(CAFILE, "cafile", "FILE", "the root that the broker's certificate must come from")       \
	X(CERT, "cert", "FILE", "the operator's certificate")                                      \
	X(KEY, "key", "FILE", "its private key")                                                   \
	X(TIMEOUT, "timeout", "TIME", "how long to wait: 10s, 2m (default 10s)")                   \
	X(JSON, "json", NULL, "print what the plugin says as one JSON document")                   \
	X(YES, "yes", NULL, "do not ask")                                                          \
	X(HELP, "help", NULL, "print this")                                                        \
	X(VERSION, "version", NULL, "print the version")                                           \
	X(GROUP, "group", "NAME", "the group of a device, or that a ticket is for")                \
	X(UNGROUP, "ungroup", NULL, "the device is in no group any more")                          \
	X(LABEL, "label", "LABEL[,LABEL...]", "labels to give the device")                         \
	X(UNLABEL, "unlabel", "LABEL[,LABEL...]", "labels to take from it")                        \
	X(KEY_ID, "key-id", "KEY_ID", "the key that may enrol as this device")                     \
	X(PATTERN, "pattern", "PATTERN", "the ids that a group's ticket allows, * for any run")    \
	X(VALID_FOR, "valid-for", "TIME", "how long a ticket is good: 12h, 7d (default 7d)")       \
	X(BROKER, "broker", "HOST:PORT", "where the new hub shall connect to")                     \
	X(RAW, "raw", NULL, "print the ticket and nothing else")                                   \
	X(ID_FROM, "id-from", "SOURCE",                                                            \
	  "where the device id of a certificate stands: cn, filename or san (default cn)")         \
	X(CHECK, "check", NULL, "say what would be imported, do nothing")                          \
	X(STATE, "state", "STATE",                                                                 \
	  "only new, active, revoked, deleted, quarantined, frozen or adopted devices; of a "      \
	  "campaign those waiting, ordered, done, failed, silent, skipped, missed or left")        \
	X(NOTE, "note", "TEXT", "why, for the ledger")                                             \
	X(ALL, "all", NULL, "all active devices; with --expect, --yes or an answer")               \
	X(EXPECT, "expect", "NUMBER", "how many devices are meant: any other number is refused")   \
	X(DRY_RUN, "dry-run", NULL, "say which devices are meant, do nothing")                     \
	X(WAIT, "wait", NULL, "wait for the outcome; exit 5 if a device did not answer")           \
	X(FREEZE, "freeze", NULL, "end the freeze of its rotation instead")                        \
	X(EMERGENCY, "emergency", NULL, "end the sessions at once, without a notice")              \
	X(WIPE, "wipe", NULL, "ask the device to delete its keys")                                 \
	X(FOLLOW, "follow", NULL, "go on until interrupted")                                       \
	X(REMOVED, "removed", NULL, "those who are none any more instead")                         \
	X(CONFIG_FILE, "config", "FILE",                                                           \
	  "the plugin's configuration (default /etc/keyturn/keyturn.conf)")                        \
	X(LEDGER_DIR, "ledger-dir", "DIRECTORY", "where the ledger is, instead")                   \
	X(HEADS, "heads", "FILE", "signed heads of this ledger, one a line; may be repeated")      \
	X(ROOT, "root", "FILE", "the root that they come from (default: the configuration's)")     \
	X(DEVICE, "device", "DEVICE", "only records about this device")                            \
	X(ACTOR, "actor", "ACTOR", "only what this one did: op:alice, device:hub-1, keyturn")      \
	X(KIND, "kind", "KIND", "only records of this kind: revoke, issue")                        \
	X(SINCE, "since", "TIME", "only from then on: 2026-11-22 or 2026-11-22T12:00:00Z")         \
	X(UNTIL, "until", "TIME", "only before that")                                              \
	X(ACCEPT_ROLLBACK, "accept-rollback", "HEAD",                                              \
	  "what is newer than this ledger is lost for good; 'lost': all of it")

enum kt_ctl_option {
#define KT_CTL_OPTION_ENUM(code, name, argument, help) KT_CTL_##code,
	KT_CTL_OPTION_LIST(KT_CTL_OPTION_ENUM) KT_CTL_OPTION_COUNT
#undef KT_CTL_OPTION_ENUM
};

struct kt_ctl;
typedef enum kt_ctl_exit kt_ctl_command_run(struct kt_ctl *ctl);

/* What the words after a command are. */
enum kt_ctl_operand {
	KT_CTL_TAKES_NOTHING,
	KT_CTL_TAKES_DEVICES,
	KT_CTL_TAKES_SELECTION, /* devices, or the words of a selector (selector.h) */
	KT_CTL_TAKES_SELECTOR,
	KT_CTL_TAKES_KEY,
	KT_CTL_TAKES_KEY_AND_DEVICE,
	KT_CTL_TAKES_WORDS
};

struct kt_ctl_command {
	const char *name;
	const char *operands; /* for a person: "DEVICE..." */
	const char *help;
	const char *done; /* "ordered": what is said of a device when it went well */
	kt_ctl_command_run *run;
	uint64_t options; /* bit n: takes option n, beside the common ones */
	enum kt_ctl_operand kind;
	unsigned min;
	unsigned max;
};

/* NULL at the end. Static. */
const struct kt_ctl_command *kt_ctl_command_at(size_t index);
/* "?" outside the list. Static. */
const char *kt_ctl_option_name(enum kt_ctl_option option);
/* NULL: it takes none. */
const char *kt_ctl_option_argument(enum kt_ctl_option option);

struct kt_ctl_args {
	const struct kt_ctl_command *command; /* NULL: --help or --version was asked for */
	const char
		*values[KT_CTL_OPTION_COUNT]; /* borrowed from argv; "" for a flag; NULL: absent */
	const char **operands;		      /* the array owned, the words borrowed from argv */
	size_t operand_count;
	const char **heads; /* as given; part of the same array */
	size_t head_count;
	struct kt_ctl_address address;
	int64_t timeout_ms;
	int64_t valid_for_s; /* 0: the plugin's default */
	int64_t expect;	     /* -1: not given */
};

enum { KT_CTL_WHY_MAX = 256 };

/* @out is to be cleared in any case. KT_ERR_INVALID with a sentence in @why; KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_ctl_args_parse(int argc, char *const argv[], struct kt_ctl_args *out,
					    char why[static KT_CTL_WHY_MAX]);
void kt_ctl_args_clear(struct kt_ctl_args *args);
/* Are the words after the command a selector? */
bool kt_ctl_selects(const struct kt_ctl_args *args);
/* One device is named, by its id. */
bool kt_ctl_names_one(const struct kt_ctl_args *args);
bool kt_ctl_has(const struct kt_ctl_args *args, enum kt_ctl_option option);

/* The whole usage; with @command (may be NULL) what it alone takes. */
void kt_ctl_usage(FILE *file, const struct kt_ctl_command *command);

#endif
