/*
 * config - the agent's own file: key = value, one line each.
 *
 * Owns the option table and what only the whole file can tell. Does not touch the files that the
 * options name: they are checked where they are used. Any thread.
 */
#ifndef KT_AGENT_CONFIG_H
#define KT_AGENT_CONFIG_H

#include "agent.h"
#include "err.h"
#include "hooks.h"
#include "option_file.h"
#include "tls_openssl.h"
#include "types.h"

#define KT_AGENT_CONFIG_PATH "/etc/keyturn/keyturn-agent.conf"

enum { KT_GROUP_NAME_MAX = 32 };

struct kt_agent_config {
	char broker[264];			    /* host:port; "" = the ticket's */
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1]; /* "" = the ticket's */
	char state_dir[KT_PATH_MAX];
	char root_cert[KT_PATH_MAX];	       /* PEM to pin; "" = the ticket's */
	char device[KT_DEVICE_ID_MAX + 1];     /* id to ask for; "" = none */
	char claim_identity[KT_PATH_MAX];      /* chain and key in one PEM file; "" = none */
	char ticket_file[KT_PATH_MAX];	       /* "" = none */
	char key_store[8];		       /* "file" */
	char key_group[KT_GROUP_NAME_MAX + 1]; /* "" = none */
	enum kt_tls_version tls_min;
	struct kt_hook hooks[KT_HOOKS_MAX]; /* owned strings */
	size_t hook_count;
	int64_t hook_timeout_ms;
	int64_t keep_alive_ms;
	int64_t connect_timeout_ms;
	struct kt_agent_timers timers;
};

/*
 * On error *why is "path:line: what is wrong (what to do)". KT_ERR_SYS, KT_ERR_INVALID,
 * KT_ERR_UNKNOWN_FIELD, KT_ERR_EXISTS (given twice), KT_ERR_RANGE, KT_ERR_INSECURE (the file is
 * writable by others), KT_ERR_NOMEM. *out is heap; kt_agent_config_free.
 */
KT_MUST_CHECK enum kt_err kt_agent_config_load(const char *path, struct kt_agent_config **out,
					       char why[static KT_OPTION_WHY_MAX]);
/* The same for a text at hand; @name stands for the path in *why. */
KT_MUST_CHECK enum kt_err kt_agent_config_parse(const char *name, struct kt_bytes text,
						struct kt_agent_config **out,
						char why[static KT_OPTION_WHY_MAX]);
void kt_agent_config_free(struct kt_agent_config *config); /* NULL is fine */

/* The option table, for the man page's test: index 0, 1, ... until false. */
bool kt_agent_config_option(size_t index, const char **name, const char **preset);

#endif
