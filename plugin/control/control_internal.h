/*
 * control_internal - what the parts of control share: one command in hand, and its functions.
 *
 * For control*.c only. Broker's thread.
 */
#ifndef KT_CONTROL_INTERNAL_H
#define KT_CONTROL_INTERNAL_H

#include "control.h"
#include "core_internal.h"
#include "selector.h"

/*
 * What a command costs the broker's loop, in units of some 100 ns; a piece of a batch is worth
 * KT_CONTROL_PIECE of them, so that it holds the loop for a millisecond or so.
 */
enum {
	KT_CONTROL_PIECE = 10000,
	KT_CONTROL_LOOK = 1,	/* one device is looked at */
	KT_CONTROL_ROW = 25,	/* one row of an answer is written */
	KT_CONTROL_ACTION = 150 /* something is done to a device */
};

struct kt_control;
/*
 * A command that goes on in the next piece: returns when the budget is used up, with c->step still
 * set, or when it is done.
 */
typedef void kt_control_step(struct kt_control *c);

struct kt_control { /* one command in hand; borrowed but for work */
	struct kt_core *core;
	const struct kt_session *session; /* NULL: it is gone meanwhile; first piece: never */
	const char *actor;
	const struct kt_json_value *item;
	struct kt_json_writer *writer; /* data of the answer */
	struct kt_refusal refusal;
	uint64_t seq; /* the answer waits for this record */
	const struct kt_device *device;
	uint64_t op;   /* for the log line */
	bool tells_op; /* the answer names the op */
	bool has_data;
	kt_control_step *step; /* NULL: done */
	void *work;	       /* owned, of step; freed with free() when the command is done */
	int64_t budget;	       /* what is left of the piece; may be overdrawn */
};

/* A command either refuses or opens its data; without either its data is empty. */
typedef void kt_command_run(struct kt_control *c);

/* Opens "data" at the first call. */
struct kt_json_writer *kt_control_data(struct kt_control *c);
/* Takes over what an action said. True if it was done and the answer can say so. */
bool kt_control_outcome(struct kt_control *c, struct kt_outcome outcome);
/* The device that the command names; NULL and a refusal if there is none. */
const struct kt_device *kt_control_device(struct kt_control *c);
/* Whole seconds and microseconds since 1970 as "2026-11-22T12:00:00.000000Z"; nothing for 0. */
void kt_control_put_time(struct kt_json_writer *w, const char *name, int64_t time_us);

/* What the command says beside it, "" if nothing. */
const char *kt_control_note(const struct kt_control *c);

/* A page of a list, as the command asks for it; false and a refusal. */
struct kt_control_page {
	int64_t offset;
	int64_t count;
};
bool kt_control_page(struct kt_control *c, struct kt_control_page *out);
bool kt_control_is_on_page(const struct kt_control_page *page, int64_t index);

/* What "select" says: without a word if it is absent. False and a refusal. */
bool kt_control_selector(struct kt_control *c, struct kt_selector *out);

/* What a command does to one device. */
typedef struct kt_outcome kt_device_action(struct kt_control *c, const struct kt_device *device);
/*
 * @action for each device that the command names by "device", "devices", "all" or "select", or a
 * refusal before the first one.
 */
void kt_control_each(struct kt_control *c, kt_device_action *action);

/*
 * Who is meant: settled before anything is done to the first one, for a slip in a list of a
 * thousand must not leave half a fleet revoked.
 */
enum { KT_SELECTION_ROOM = 64 /* to begin with */ };
struct kt_selection { /* c->work, while a command gathers, and then */
	kt_device_action *action;
	kt_control_step *then; /* when all are known */
	struct kt_selector selector;
	const char *field; /* that says whom */
	size_t max;
	size_t cursor; /* of the walk over all devices */
	size_t at;     /* the next one that something is done to */
	size_t done;
	size_t count;
	size_t room;
	const struct kt_device *devices[];
};
/*
 * The devices that the command names, in a struct kt_selection, then @then; or a refusal, as of a
 * count that is not the one expected.
 */
void kt_control_gather(struct kt_control *c, size_t max, kt_control_step *then);
bool kt_control_is_dry_run(const struct kt_control *c);

/* control_campaign.c */
kt_command_run kt_command_begin_campaign;
kt_command_run kt_command_pause_campaign;
kt_command_run kt_command_resume_campaign;
kt_command_run kt_command_abort_campaign;
kt_command_run kt_command_list_campaigns;
kt_command_run kt_command_get_campaign;
/* control_device.c */
kt_command_run kt_command_create_device;
kt_command_run kt_command_create_ticket;
kt_command_run kt_command_approve;
kt_command_run kt_command_deny;
kt_command_run kt_command_cancel;
kt_command_run kt_command_challenge;
kt_command_run kt_command_quarantine;
kt_command_run kt_command_release;
kt_command_run kt_command_confirm_clock;
kt_command_run kt_command_end_reconcile;
kt_command_run kt_command_revoke;
kt_command_run kt_command_delete_device;
kt_command_run kt_command_rotate;
kt_command_run kt_command_set_device;
/* control_import.c */
kt_command_run kt_command_import_certificate;
/* control_operator.c */
kt_command_run kt_command_add_operator;
kt_command_run kt_command_remove_operator;
kt_command_run kt_command_list_operators;
/* control_report.c */
kt_command_run kt_command_list_devices;
kt_command_run kt_command_get_device;
kt_command_run kt_command_list_pending;
kt_command_run kt_command_status;

#endif
