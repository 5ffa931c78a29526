/* The ledger's copies: made beside a running broker, put back without one. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "encoding.h"
#include "places.h"
#include "print.h"
#include "restore.h"
#include "store_start.h"

enum { WHY_CAP = 512, ACTOR_CAP = KT_ACTOR_MAX + 1 };

static void print_number(FILE *file, const char *name, uint64_t number)
{
	char text[KT_U64_DIGITS_MAX + 1];

	kt_u64_encode(number, text);
	kt_print_pair(file, name, text);
}

static void print_state(FILE *file, const struct kt_ledger_state *state)
{
	char text[65];

	print_number(file, "records", state->seq);
	kt_ctl_show_head(state->head, text);
	kt_print_pair(file, "head", text);
	kt_ctl_show_time(state->time_us, text);
	kt_print_pair(file, "last record", text);
}

/* --- backup ------------------------------------------------------------------------------------
 */

enum kt_ctl_exit kt_ctl_backup(struct kt_ctl *ctl)
{
	const char *to = ctl->args->operands[0];
	struct kt_ledger_state state;
	char from[KT_PATH_MAX];
	char why[WHY_CAP];
	enum kt_err err;

	if (!kt_ctl_ledger_dir(ctl, from))
		return KT_CTL_EXIT_LOCAL;
	err = kt_backup(kt_fs_posix(), from, to, &state, why);
	if (err != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: no backup was made: %s", why);
		return err == KT_ERR_CORRUPT ? KT_CTL_EXIT_FAILED : KT_CTL_EXIT_LOCAL;
	}
	print_state(ctl->env->out, &state);
	kt_print_pair(ctl->env->out, "backup", to);
	return KT_CTL_EXIT_OK;
}

/* --- restore: in words ---------------------------------------------------------------------------
 */

static void print_counts(FILE *out, const struct kt_restore_found *found)
{
	const struct {
		const char *name;
		uint64_t count;
	} rows[] = {
		{"devices revoked", found->revoked},  {"devices deleted", found->deleted},
		{"quarantined", found->quarantined},  {"devices' counters", found->devices},
		{"certificates", found->credentials}, {"used tickets", found->tickets},
		{"denied keys", found->denied},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_number(out, rows[i].name, rows[i].count);
	if (found->left_out > 0)
		print_number(out, "LEFT OUT", found->left_out);
}

/* The last record that anything here knows of. */
static uint64_t known_until(const struct kt_restore_report *report)
{
	uint64_t seq = report->base.seq;

	if (report->is_index_ahead && report->index_seq > seq)
		seq = report->index_seq;
	if (report->is_present_ahead && report->present_seq > seq)
		seq = report->present_seq;
	return seq;
}

static void print_lost(FILE *out, const struct kt_restore_report *report, uint64_t from,
		       uint64_t until)
{
	if (!report->is_present_ahead && report->is_index_damaged) {
		kt_print(out,
			 "Records %" PRIu64 " to %" PRIu64
			 " are lost. The index had them, but it is "
			 "damaged: nothing of it was taken.",
			 from, until);
		return;
	}
	kt_print(out,
		 "Records %" PRIu64 " to %" PRIu64 " are lost, but %s knew them. What took rights "
		 "away in them is in force again:",
		 from, until, report->is_present_ahead ? "the earlier ledger" : "the index");
	print_counts(out, &report->found);
}

static void print_promises(FILE *out, const struct kt_restore_report *report)
{
	const uint64_t from = report->base.seq + 1;
	const uint64_t until = known_until(report);
	char when[48];

	kt_ctl_show_time(report->base.time_us, when);
	if (until >= from) {
		print_lost(out, report, from, until);
	} else {
		kt_print(out, "Nothing here knows of a record after %" PRIu64 " (%s).", until,
			 when);
	}
	if (report->found.operators > 0)
		kt_print(out,
			 "%" PRIu64
			 " operators that this ledger names are none any more, since who "
			 "was removed later is not known: add again who shall be one. Who they "
			 "were: keyturnctl operator list --removed",
			 report->found.operators);
	kt_print(out, "What cannot be promised, of all that was recorded after %" PRIu64 ":",
		 until);
	kt_print(out, "  revokes: a device that was revoked then can come back until it is revoked "
		      "again (I3)");
	kt_print(out, "  commits: a certificate that was replaced then is let in until its hub "
		      "shows the newer one (I2)");
	kt_print(out,
		 "  tickets: one that was used then can be used once more; quarantines, denied "
		 "keys: order them again");
	kt_print(out, "Revoke again what was revoked since then, before hubs connect. The registry "
		      "reconciles from now on: a hub with a newer certificate is taken over, with "
		      "Keyturn's topics only until it has rotated. When the fleet is back: "
		      "keyturnctl reconcile end");
}

static void print_done(const struct kt_ctl *ctl, const struct kt_restore_report *report)
{
	FILE *out = ctl->env->out;

	print_state(out, &report->state);
	if (report->kept[0] != '\0')
		kt_print_pair(out, "earlier ledger", report->kept);
	if (report->is_index_damaged)
		kt_print(out, "The index is damaged; the start makes it anew.");
	if (kt_ctl_has(ctl->args, KT_CTL_ACCEPT_ROLLBACK))
		print_promises(out, report);
}

/* --- restore -------------------------------------------------------------------------------------
 */

static void fill_actor(char out[static ACTOR_CAP])
{
	struct passwd entry;
	struct passwd *found = NULL;
	char buf[4096];

	if (getpwuid_r(getuid(), &entry, buf, sizeof(buf), &found) == 0 && found != NULL)
		(void)snprintf(out, ACTOR_CAP, "op:%.*s", KT_ACTOR_MAX - 3, entry.pw_name);
	else
		(void)snprintf(out, ACTOR_CAP, "op:uid-%lu", (unsigned long)getuid());
}

static int64_t now_us(void)
{
	struct timespec now = {0, 0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool read_head(const struct kt_ctl *ctl, struct kt_restore_request *request)
{
	const char *text = ctl->args->values[KT_CTL_ACCEPT_ROLLBACK];

	request->is_accepted = text != NULL;
	if (text == NULL || strcmp(text, "lost") == 0) /* 64 zeros, in a word */
		return true;
	if (kt_hex_decode(text, strlen(text), request->head, sizeof(request->head)) == KT_ERR_OK)
		return true;
	kt_print(ctl->env->err,
		 "keyturnctl: --accept-rollback %s: neither 64 lower-case hex digits nor 'lost'",
		 text);
	return false;
}

/* Half of what an operator says is not what he says. */
static bool check_note(const struct kt_ctl *ctl)
{
	const char *note = ctl->args->values[KT_CTL_NOTE];
	const size_t max = sizeof(((struct kt_record *)NULL)->note) - 1;

	if (note == NULL ||
	    (strlen(note) <= max && kt_is_utf8((const uint8_t *)note, strlen(note))))
		return true;
	kt_print(ctl->env->err, "keyturnctl: --note: at most %zu bytes of UTF-8", max);
	return false;
}

/*
 * A lock that root makes must not keep the broker's user out. False: what lies in its place has
 * another name, too, and is not to be given to whoever put it there.
 */
static bool give_lock_away(const char *state_dir, int fd)
{
	struct stat dir;
	struct stat lock;

	if (stat(state_dir, &dir) != 0 || fstat(fd, &lock) != 0 || !S_ISREG(lock.st_mode) ||
	    lock.st_nlink != 1)
		return false;
	if (fchown(fd, dir.st_uid, dir.st_gid) != 0)
		errno = 0; /* not root: then it is the broker's user's already */
	return true;
}

static enum kt_ctl_exit exit_of(enum kt_err err)
{
	return err == KT_ERR_ROLLED_BACK || err == KT_ERR_CORRUPT ? KT_CTL_EXIT_FAILED
								  : KT_CTL_EXIT_LOCAL;
}

static enum kt_ctl_exit restore_locked(struct kt_ctl *ctl, struct kt_restore_request *request)
{
	struct kt_restore_report *report = calloc(1, sizeof(*report));
	char why[WHY_CAP] = "out of memory";
	enum kt_err err = report == NULL ? KT_ERR_NOMEM : kt_restore(request, report, why);

	if (err == KT_ERR_OK)
		print_done(ctl, report);
	else
		kt_print(ctl->env->err, "keyturnctl: the restore failed: %s", why);
	free(report);
	return err == KT_ERR_OK ? KT_CTL_EXIT_OK : exit_of(err);
}

static enum kt_ctl_exit restore_at(struct kt_ctl *ctl, const struct kt_config *config,
				   struct kt_restore_request *request)
{
	const struct kt_store_config store = {.state_dir = config->state_dir,
					      .ledger_dir = config->ledger_dir,
					      .trust_domain = config->trust_domain};
	char why[WHY_CAP] = "";
	struct kt_store_start locks = {.config = &store,
				       .fs = kt_fs_posix(),
				       .why = why,
				       .lock_fd = -1,
				       .ledger_lock_fd = -1};
	enum kt_ctl_exit code;

	if (kt_store_take_locks(&locks) != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: stop the broker first: %s", why);
		return KT_CTL_EXIT_LOCAL;
	}
	request->state_dir = config->state_dir;
	request->ledger_dir = config->ledger_dir;
	request->trust_domain = config->trust_domain;
	if (give_lock_away(config->state_dir, locks.lock_fd)) {
		code = restore_locked(ctl, request);
	} else {
		kt_print(ctl->env->err, "keyturnctl: %s/lock is not a file of its own: remove it",
			 config->state_dir);
		code = KT_CTL_EXIT_LOCAL;
	}
	kt_store_release_locks(&locks);
	return code;
}

enum kt_ctl_exit kt_ctl_restore(struct kt_ctl *ctl)
{
	char actor[ACTOR_CAP];
	struct kt_restore_request request = {
		.fs = kt_fs_posix(),
		.backup_dir = ctl->args->operand_count > 0 ? ctl->args->operands[0] : NULL,
		.now_us = now_us(),
		.actor = actor,
		.note = ctl->args->values[KT_CTL_NOTE]};
	struct kt_config *config;
	enum kt_ctl_exit code;

	if (!read_head(ctl, &request) || !check_note(ctl))
		return KT_CTL_EXIT_USAGE;
	fill_actor(actor);
	config = kt_ctl_config(ctl);
	if (config == NULL)
		return KT_CTL_EXIT_LOCAL;
	code = restore_at(ctl, config, &request);
	kt_config_free(config);
	return code;
}
