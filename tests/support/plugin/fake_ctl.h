/*
 * fake_ctl - a broker with a plugin as keyturnctl sees it: canned messages, recorded ones.
 */
#ifndef FAKE_CTL_H
#define FAKE_CTL_H

#include "ctl.h"

#define FAKE_CTL_TOKEN "0123456789abcdef"

enum { FAKE_CTL_MESSAGES = 12 };

struct fake_ctl {
	/* what the broker does */
	enum kt_err open_err;
	enum kt_err connect_err;
	enum kt_err subscribe_err;
	enum kt_err publish_err;
	const char *topic[FAKE_CTL_MESSAGES]; /* NULL: the topic of answers */
	const char *text[FAKE_CTL_MESSAGES];  /* borrowed; NULL ends them */
	enum kt_err end_err;		      /* of a receive after the last one */
	/* what keyturnctl did */
	char *sent[FAKE_CTL_MESSAGES];
	size_t sent_count;
	char filter[64];
	char broker[64]; /* the address */
	size_t taken;
	bool is_closed;
	int64_t now_ms;
	/* how it ended */
	const char *in;	      /* what the operator types, then EOF; NULL: there is no terminal */
	const char *out_path; /* a file for its output, and @out stays empty; NULL: @out */
	char *out;
	char *err;
};

/* Runs one command line (a copy of @line is split at blanks; '|' stands for a blank in a word). */
enum kt_ctl_exit fake_ctl_run(struct fake_ctl *fake, const char *line);
void fake_ctl_clear(struct fake_ctl *fake);

#endif
