/*
 * played - the core's actions as control.c calls them, played by the test.
 *
 * Each call is written down, and says what the test has set. Registry and sessions are the real
 * ones; the fixture has three active devices and an operator of the role admin, "op:alice".
 */
#ifndef PLAYED_H
#define PLAYED_H

#include "control.h"
#include "core_internal.h"

struct played {
	char calls[65536]; /* "action(arguments) " in order */
	struct kt_outcome outcome;
	struct kt_outcome second; /* from the second action on, if has_second */
	bool has_second;
	unsigned actions;
	const struct kt_session *asker; /* whom every answer must go to */
	char *answer;
	uint64_t answer_seq;
	unsigned answers;
	unsigned done;
	char done_fields[512];
	enum kt_reason refused[128];
	unsigned refused_count;
	char refused_fields[512];
	size_t claims;
	struct kt_imported imported;
};

struct fixture {
	struct played played;
	struct kt_core core;
	struct kt_config config;
	struct kt_session *operator; /* in the core's table */
};

int played_set_up(void **state);
int played_tear_down(void **state);
/* The answer to a batch, when all of it is done; one is given, always. */
const char *ask(struct fixture *f, const char *text);
/* The first piece of a batch. */
void send(struct fixture *f, const char *text);
/* More devices, active: "x0" and on. */
void add_devices(struct fixture *f, unsigned count);
/* The same of a batch of one command, @members after "command". */
const char *ask_one(struct fixture *f, const char *command, const char *members);

#define OK(command)	 "{\"responses\":[{\"command\":\"" command "\",\"data\":{}}]}"
#define KEY		 "00000000000000000000000000000000000000000000000000000000000000ab"
#define WITH_FLEET(test) cmocka_unit_test_setup_teardown(test, played_set_up, played_tear_down)

#endif
