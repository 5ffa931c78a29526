/* keyturnctl backup and restore: what an operator reads, and what he ends with. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "encoding.h"
#include "fake_ctl.h"
#include "ledger.h"
#include "records.h"
#include "store.h"
#include "temp_dir.h"

enum { TEXT_CAP = 600 };

struct world {
	char root[64];
	char conf[128];
	struct kt_registry *registry;
	struct kt_record records[8];
	struct kt_ledger_state state; /* of the whole ledger */
	struct kt_ledger_state early; /* of its first three records */
};

static void path_of(const struct world *w, const char *name, char out[static 128])
{
	(void)snprintf(out, 128, "%s/%s", w->root, name);
}

static void write_ledger(struct world *w, const char *name, size_t count,
			 struct kt_ledger_state *state)
{
	const struct kt_record *list[8];
	struct kt_ledger *ledger = NULL;
	char dir[128];

	path_of(w, name, dir);
	memset(state, 0, sizeof(*state));
	for (size_t i = 0; i < count; i++)
		list[i] = &w->records[i];
	assert_int_equal(kt_ledger_open(kt_fs_posix(), dir, state, &ledger), KT_ERR_OK);
	assert_int_equal(kt_ledger_append(ledger, list, count, state), KT_ERR_OK);
	kt_ledger_close(ledger);
}

static void remove_ledger(const struct world *w)
{
	char path[128];

	path_of(w, "ledger/ledger.kt", path);
	assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char dir[128];
	FILE *f;

	temp_dir_make(w->root);
	path_of(w, "state", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	path_of(w, "keyturn.conf", w->conf);
	f = fopen(w->conf, "we");
	assert_non_null(f);
	assert_true(fprintf(f,
			    "trust_domain = example.org\nstate_dir = %s/state\n"
			    "ledger_dir = %s/ledger\nroot_cert = /r\nissuer_cert = /i\n"
			    "issuer_key = /k\ncontroller_cert = /c\ncontroller_key = /d\n",
			    w->root, w->root) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(w->conf, 0600), 0);
	w->records[0] = record_begin();
	w->registry = registry_begun();
	for (uint32_t n = 1; n < 6; n++) {
		char id[8];

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		w->records[n] = record_for(w->registry, KT_RECORD_DEVICE_CREATE, id, n);
		take(w->registry, &w->records[n]);
	}
	write_ledger(w, "ledger", 6, &w->state);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	static const char *const dirs[] = {"state", "ledger", "backup", "early"};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char dir[128];

		path_of(w, dirs[i], dir);
		assert_int_equal(kt_dir_remove(kt_fs_posix(), dir, NULL), KT_ERR_OK);
	}
	kt_registry_free(w->registry);
	assert_int_equal(unlink(w->conf), 0);
	assert_int_equal(rmdir(w->root), 0);
	free(w);
	return 0;
}

/* "--config ... <before> <root>/<name> <after>" */
static enum kt_ctl_exit run(const struct world *w, struct fake_ctl *fake, const char *before,
			    const char *name, const char *after)
{
	char line[TEXT_CAP];

	(void)snprintf(line, sizeof(line), "--config %s %s%s%s%s%s%s%s", w->conf, before,
		       name != NULL ? " " : "", name != NULL ? w->root : "",
		       name != NULL ? "/" : "", name != NULL ? name : "",
		       after[0] != '\0' ? " " : "", after);
	memset(fake, 0, sizeof(*fake));
	return fake_ctl_run(fake, line);
}

static void hex_of(const struct kt_ledger_state *state, char out[static 65])
{
	assert_int_equal(kt_hex_encode(state->head, 32, out, 65), KT_ERR_OK);
}

static void says(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("'%s' is not in: %s", part, text);
}

static void a_backup_tells_its_head(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	char head[65];

	hex_of(&w->state, head);
	assert_int_equal(run(w, &fake, "backup", "backup", ""), KT_CTL_EXIT_OK);
	says(fake.out, "records                6\n");
	says(fake.out, head);
	says(fake.out, "last record            2023-11-14T22:13:26Z\n");
	assert_string_equal(fake.broker, ""); /* asks none */
	fake_ctl_clear(&fake);
	assert_int_equal(run(w, &fake, "audit verify", "backup", ""), KT_CTL_EXIT_OK);
	says(fake.out, head);
	fake_ctl_clear(&fake);
	assert_int_equal(run(w, &fake, "backup", "backup", ""), KT_CTL_EXIT_LOCAL);
	says(fake.err, "no backup was made: ");
	assert_string_equal(fake.out, "");
	fake_ctl_clear(&fake);
}

static void a_rollback_is_refused_with_its_remedy(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	char head[65];

	write_ledger(w, "early", 3, &w->early);
	hex_of(&w->early, head);
	assert_int_equal(run(w, &fake, "restore", "early", ""), KT_CTL_EXIT_FAILED);
	says(fake.err, "nothing was restored: the present ledger has records");
	says(fake.err, head);
	assert_string_equal(fake.out, "");
	fake_ctl_clear(&fake);
}

static void an_accepted_one_says_what_cannot_be_promised(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	char head[65];
	char option[100];

	write_ledger(w, "early", 3, &w->early);
	hex_of(&w->early, head);
	(void)snprintf(option, sizeof(option), "--accept-rollback %s", head);
	assert_int_equal(run(w, &fake, "restore", "early", option), KT_CTL_EXIT_OK);
	says(fake.out, "earlier ledger");
	says(fake.out, "Records 4 to 6 are lost, but the earlier ledger knew them.");
	says(fake.out, "devices' counters      3\n");
	says(fake.out, "of all that was recorded after 6:");
	says(fake.out, "(I3)");
	says(fake.out, "(I2)");
	says(fake.out, "keyturnctl reconcile end\n");
	fake_ctl_clear(&fake);
}

static void the_word_lost_stands_for_no_ledger(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;

	remove_ledger(w);
	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback lost"), KT_CTL_EXIT_OK);
	says(fake.out, "records                2\n");
	says(fake.out, "Nothing here knows of a record after 0 (-).");
	fake_ctl_clear(&fake);
	/* and no word for one that is there */
	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback lost"),
			 KT_CTL_EXIT_FAILED);
	says(fake.err, "that is not the head of the ledger that is there");
	fake_ctl_clear(&fake);
}

static void a_head_that_is_none_is_a_wrong_argument(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;

	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback 12"), KT_CTL_EXIT_USAGE);
	says(fake.err, "neither 64 lower-case hex digits nor 'lost'");
	fake_ctl_clear(&fake);
}

static void a_running_broker_is_left_alone(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	char lock[128];
	int fd;

	path_of(w, "state/lock", lock);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback lost"),
			 KT_CTL_EXIT_LOCAL);
	says(fake.err, "stop the broker first: ");
	says(fake.err, "/state/lock is held");
	assert_int_equal(close(fd), 0);
	fake_ctl_clear(&fake);
}

/* Whoever owns state_dir decides what lies there: root must not give him a file of its own. */
static void a_lock_that_is_another_file_s_name_is_not_given_away(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	struct stat st;
	char dir[128];
	char lock[128];

	if (geteuid() != 0)
		skip();
	path_of(w, "state", dir);
	assert_int_equal(chown(dir, 65534, 65534), 0);
	path_of(w, "state/lock", lock);
	assert_int_equal(link(w->conf, lock), 0);
	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback lost"),
			 KT_CTL_EXIT_LOCAL);
	says(fake.err, "/state/lock is not a file of its own");
	assert_int_equal(stat(w->conf, &st), 0);
	assert_int_equal(st.st_uid, 0);
	fake_ctl_clear(&fake);
	/* one that it has just made is */
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(run(w, &fake, "restore", NULL, "--accept-rollback lost"),
			 KT_CTL_EXIT_FAILED);
	assert_int_equal(stat(lock, &st), 0);
	assert_int_equal(st.st_uid, 65534);
	fake_ctl_clear(&fake);
}

static void a_note_that_no_record_can_hold_is_a_wrong_argument(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake;
	char line[TEXT_CAP];
	char note[129];
	char head[65];

	memset(note, 'n', 128);
	note[128] = '\0';
	hex_of(&w->state, head);
	(void)snprintf(line, sizeof(line), "--accept-rollback %s --note %s", head, note);
	assert_int_equal(run(w, &fake, "restore", NULL, line), KT_CTL_EXIT_USAGE);
	says(fake.err, "--note: at most 127 bytes of UTF-8");
	fake_ctl_clear(&fake);
	(void)snprintf(line, sizeof(line), "--accept-rollback %s --note \xc3", head);
	assert_int_equal(run(w, &fake, "restore", NULL, line), KT_CTL_EXIT_USAGE);
	fake_ctl_clear(&fake);
	note[127] = '\0';
	(void)snprintf(line, sizeof(line), "--accept-rollback %s --note %s", head, note);
	assert_int_equal(run(w, &fake, "restore", NULL, line), KT_CTL_EXIT_OK);
	fake_ctl_clear(&fake);
}

static void without_a_configuration_nothing_is_done(void **state)
{
	struct world *w = *state;
	struct fake_ctl fake = {0};

	(void)w;
	assert_int_equal(fake_ctl_run(&fake, "restore /x --config /no/such"), KT_CTL_EXIT_LOCAL);
	says(fake.err, "/no/such: cannot be opened");
	fake_ctl_clear(&fake);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_backup_tells_its_head),
		T(a_rollback_is_refused_with_its_remedy),
		T(an_accepted_one_says_what_cannot_be_promised),
		T(the_word_lost_stands_for_no_ledger),
		T(a_head_that_is_none_is_a_wrong_argument),
		T(a_running_broker_is_left_alone),
		T(a_lock_that_is_another_file_s_name_is_not_given_away),
		T(a_note_that_no_record_can_hold_is_a_wrong_argument),
		T(without_a_configuration_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
