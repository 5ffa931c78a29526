/*
 * batch - one batch of control commands to the plugin, and its answer.
 *
 * Owns the connection of the run (made with the first batch), the correlation of answer and
 * question, and the strict reading of the answer. Says what went wrong; says nothing of what went
 * well. docs/PROTOCOL.md, "Control commands".
 */
#ifndef KT_CTL_BATCH_H
#define KT_CTL_BATCH_H

#include "ctl.h"
#include "json.h"

struct kt_batch {
	struct kt_json_writer *writer;
	struct kt_ctl *ctl;
	size_t count;
};

/* KT_CTL_EXIT_LOCAL without memory. To be freed in any case. */
enum kt_ctl_exit kt_batch_begin(struct kt_ctl *ctl, struct kt_batch *batch);
/* The next command; its fields go to the writer that is returned, then kt_batch_end. */
struct kt_json_writer *kt_batch_add(struct kt_batch *batch, const char *command);
void kt_batch_end(struct kt_batch *batch);
void kt_batch_free(struct kt_batch *batch);

struct kt_reply {			  /* to one command; all borrowed from the answer */
	const char *error;		  /* NULL: it was done */
	const char *detail;		  /* "" if there is none */
	const struct kt_json_value *data; /* an object; NULL with an error that has none */
};

struct kt_answer {
	struct kt_json *json; /* owned */
	const struct kt_json_value *responses;
	size_t count;
	bool is_whole; /* the batch as a whole was refused: one reply, and it is an error */
};

/*
 * Connects if need be, sends the batch, waits for its answer. CONNECTION, TIMEOUT and LOCAL have
 * been explained on the error stream. On OK every reply has been checked; errors in them are the
 * caller's.
 */
enum kt_ctl_exit kt_batch_exchange(struct kt_batch *batch, struct kt_answer *out);
void kt_answer_clear(struct kt_answer *answer);
/* Of command @index; the same error for each if the batch as a whole was refused. */
struct kt_reply kt_answer_reply(const struct kt_answer *answer, size_t index);

/*
 * What commands.c and reports.c share: an error of the plugin goes to the error stream, and with
 * --json as {"error","detail"} to the output, too.
 */
enum kt_ctl_exit kt_ctl_report_error(const struct kt_ctl *ctl, const char *subject,
				     const struct kt_reply *reply);
/* The answer is none to what was asked; says so. KT_CTL_EXIT_LOCAL. */
enum kt_ctl_exit kt_ctl_not_understood(const struct kt_ctl *ctl);
/* The data as it is. */
enum kt_ctl_exit kt_ctl_print_data(const struct kt_ctl *ctl, const struct kt_json_value *data);

/* Writes the fields of one command. */
typedef void kt_ctl_put_fields(struct kt_json_writer *w, const struct kt_ctl *ctl);
/* One command in a batch of its own; @fields may be NULL. @answer is to be cleared in any case. */
enum kt_ctl_exit kt_ctl_send_one(struct kt_ctl *ctl, const char *command, kt_ctl_put_fields *fields,
				 struct kt_answer *answer);
/* The same, and says what became of it: "<subject>: <done>", its data, or its error. */
enum kt_ctl_exit kt_ctl_run_one(struct kt_ctl *ctl, const char *command, kt_ctl_put_fields *fields,
				const char *subject);
/* --note, if it is given. */
kt_ctl_put_fields kt_ctl_put_note;
/* "device", "devices", "all" or "select", as the command line has it (select_command.c). */
kt_ctl_put_fields kt_ctl_put_selection;

struct kt_ctl_order { /* one command for the devices that are meant */
	const char *command;
	const char *what;	   /* for who is asked: "This revokes" */
	kt_ctl_put_fields *fields; /* beside them; may be NULL */
	bool is_final;		   /* cannot be undone: somebody has to confirm it */
	bool has_op;		   /* an answer without an op is none */
	bool is_dry_run;
	int64_t expect; /* -1: any number */
};
/* is_dry_run and expect are as the command line has them. */
enum kt_ctl_exit kt_ctl_order(struct kt_ctl *ctl, struct kt_ctl_order order);

/* Connects, once. */
enum kt_ctl_exit kt_ctl_connect(struct kt_ctl *ctl);
/* Explains an error of the transport after a wait of @wait_ms; the exit code for it. */
enum kt_ctl_exit kt_ctl_explain(const struct kt_ctl *ctl, enum kt_err err, const char *what,
				int64_t wait_ms);
/* When the wait that begins now ends. */
int64_t kt_ctl_until(const struct kt_ctl *ctl, int64_t wait_ms);

#endif
