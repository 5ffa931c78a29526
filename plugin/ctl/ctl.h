/*
 * ctl - keyturnctl: the operator's command line, one command from argv to exit code.
 *
 * Owns what every command holds in its hand. Knows no MQTT library (transport.h)
 * and touches no terminal but through the streams it is given, so that tests can be both ends. One
 * thread.
 */
#ifndef KT_CTL_H
#define KT_CTL_H

#include <stdio.h>

#include "options.h"
#include "transport.h"
#include "types.h"

enum { KT_CTL_TOKEN_LEN = 16 };

struct kt_ctl_env { /* where a command runs; all borrowed */
	FILE *in;
	FILE *out;
	FILE *err;
	bool has_terminal;		  /* somebody can be asked */
	char token[KT_CTL_TOKEN_LEN + 1]; /* random: the client id and the correlation data */
	/* Gives a transport that is not connected yet; the caller closes it. */
	enum kt_err (*open_transport)(const struct kt_ctl_address *address, const char *token,
				      struct kt_transport *out);
};

struct kt_ctl { /* one command in hand */
	const struct kt_ctl_env *env;
	const struct kt_ctl_args *args;
	struct kt_transport transport; /* close NULL: none was opened */
};

/* One whole run, from arguments to exit code; all output is flushed and checked. */
enum kt_ctl_exit kt_ctl_main(int argc, char *const argv[], const struct kt_ctl_env *env);

#endif
