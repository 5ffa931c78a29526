#include "identity_store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "failing_alloc.h"
#include "identity_world.h"
#include "jws.h"
#include "temp_dir.h"

/* On the kernel's file system: modes, owners, the lock, what lies there at a start. Power cuts are
 * test_identity_crash's. */

enum { OLDER = 5, FIRST = WORLD_FIRST, SECOND = 200, STRANGER = 54321 };

/* --- the first start, modes --- */

static void the_first_start_makes_a_private_place(void **state)
{
	struct world *w = *state;
	const struct kt_agent_record *r = NULL;
	struct stat st;

	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_string_equal(w->why, "");
	r = kt_identity_record(w->store);
	assert_int_equal(r->phase, KT_AGENT_NEW);
	assert_int_equal(r->seq, 1);
	assert_int_equal(r->active.dir, 0);
	world_assert_mode(w, "", 0700);
	world_assert_mode(w, "identity", 0700);
	world_assert_mode(w, "record.0", 0600);
	world_assert_mode(w, "lock", 0600);
	assert_false(world_has(w, "record.1"));
	assert_false(world_has(w, "current"));
	assert_int_equal(stat(world_at(w, "record.0").s, &st), 0);
	assert_int_equal(st.st_size, 4096);
}

static void keys_are_the_owners_alone(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_assert_mode(w, "identity/7", 0700);
	world_assert_mode(w, "identity/7/key.pem", 0600);
	world_assert_mode(w, "identity/7/identity.pem", 0600);
	world_assert_mode(w, "identity/7/cert.pem", 0644);
	world_assert_mode(w, "identity/7/chain.pem", 0644);
	world_assert_mode(w, "record.1", 0600);
	world_assert_link(w, "identity/7");
}

static gid_t some_group(void)
{
	return geteuid() == 0 ? STRANGER : getegid();
}

static void a_key_group_may_read_and_no_more(void **state)
{
	struct world *w = *state;
	struct stat st;

	w->config.key_group = some_group();
	world_stable(w);
	world_assert_mode(w, "", 0750);
	world_assert_mode(w, "identity", 0750);
	world_assert_mode(w, "identity/7", 0750);
	world_assert_mode(w, "identity/7/key.pem", 0640);
	world_assert_mode(w, "identity/7/identity.pem", 0640);
	world_assert_mode(w, "record.0", 0600); /* nobody else's business */
	assert_int_equal(stat(world_at(w, "identity/7/key.pem").s, &st), 0);
	assert_int_equal(st.st_gid, some_group());
	assert_int_equal(world_open(w), KT_ERR_OK);
}

static void a_key_group_that_comes_and_goes_is_followed(void **state)
{
	struct world *w = *state;

	world_stable(w);
	w->config.key_group = some_group();
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_assert_mode(w, "identity/7", 0750);
	world_assert_mode(w, "identity/7/key.pem", 0640);
	world_assert_mode(w, "identity/7/identity.pem", 0640);
	w->config.key_group = (gid_t)-1;
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_assert_mode(w, "", 0700);
	world_assert_mode(w, "identity/7", 0700);
	world_assert_mode(w, "identity/7/key.pem", 0600);
	world_assert_mode(w, "identity/7/identity.pem", 0600);
}

/* --- insecure --- */

static void assert_insecure(struct world *w, const char *what)
{
	assert_int_equal(world_open(w), KT_ERR_INSECURE);
	assert_null(w->store);
	assert_non_null(strstr(w->why, what));
	assert_non_null(strstr(w->why, "too open"));
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
	static const mode_t modes[] = {0777, 0770, 0702, 0720};
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(w->state_dir, modes[i]), 0);
		assert_insecure(w, w->state_dir);
		assert_int_equal(chmod(w->state_dir, 0700), 0);
		assert_int_equal(chmod(world_at(w, "identity").s, modes[i]), 0);
		assert_insecure(w, "/identity");
		assert_int_equal(chmod(world_at(w, "identity").s, 0700), 0);
	}
	assert_int_equal(chmod(w->state_dir, 0755), 0); /* readable: nothing can have been put */
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_assert_mode(w, "", 0700);
}

static void a_key_or_record_that_others_may_read_is_refused(void **state)
{
	static const char *const names[] = {"record.0", "record.1", "identity/7/key.pem",
					    "identity/7/identity.pem"};
	static const mode_t modes[] = {0604, 0602, 0666, 0620};
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (size_t j = 0; j < sizeof(modes) / sizeof(modes[0]); j++) {
			assert_int_equal(chmod(world_at(w, names[i]).s, modes[j]), 0);
			assert_insecure(w, w->state_dir);
		}
		assert_int_equal(chmod(world_at(w, names[i]).s, 0600), 0);
		assert_int_equal(world_open(w), KT_ERR_OK);
		world_close(w);
	}
}

static void anothers_files_are_refused(void **state)
{
	struct world *w = *state;

	if (geteuid() != 0)
		skip();
	world_stable(w);
	world_close(w);
	assert_int_equal(chown(w->state_dir, STRANGER, (gid_t)-1), 0);
	assert_insecure(w, w->state_dir);
	assert_int_equal(chown(w->state_dir, 0, (gid_t)-1), 0);
	assert_int_equal(chown(world_at(w, "record.1").s, STRANGER, (gid_t)-1), 0);
	assert_insecure(w, "record.1");
	assert_int_equal(chown(world_at(w, "record.1").s, 0, (gid_t)-1), 0);
	assert_int_equal(chown(world_at(w, "identity/7/key.pem").s, STRANGER, (gid_t)-1), 0);
	assert_insecure(w, w->state_dir);
}

/* Whoever could plant a link would choose what is read, or where a key is written. */
static void links_are_not_followed(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	assert_int_equal(rename(world_at(w, "record.1").s, world_at(w, "elsewhere").s), 0);
	assert_int_equal(symlink("elsewhere", world_at(w, "record.1").s), 0);
	assert_int_not_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(unlink(world_at(w, "record.1").s), 0);
	assert_int_equal(rename(world_at(w, "elsewhere").s, world_at(w, "record.1").s), 0);
	assert_int_equal(rename(world_at(w, "identity/7/key.pem").s, world_at(w, "elsewhere").s),
			 0);
	assert_int_equal(symlink("../../elsewhere", world_at(w, "identity/7/key.pem").s), 0);
	assert_int_not_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(unlink(world_at(w, "identity/7/key.pem").s), 0);
	assert_int_equal(rename(world_at(w, "elsewhere").s, world_at(w, "identity/7/key.pem").s),
			 0);
	assert_int_equal(rename(world_at(w, "identity").s, world_at(w, "there").s), 0);
	assert_int_equal(symlink("there", world_at(w, "identity").s), 0);
	assert_int_not_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(unlink(world_at(w, "identity").s), 0);
	assert_int_equal(rename(world_at(w, "there").s, world_at(w, "identity").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
}

static void one_agent_at_a_time(void **state)
{
	struct world *w = *state;
	struct kt_identity_store *second = NULL;
	char why[512];

	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_open(&w->config, &second, why), KT_ERR_BUSY);
	assert_null(second);
	assert_non_null(strstr(why, "another agent uses"));
	assert_int_equal(world_open(w), KT_ERR_OK); /* which closes the first */
}

static void a_state_dir_that_cannot_be_is_refused(void **state)
{
	struct world *w = *state;
	char name[5000];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	w->config.state_dir = "";
	assert_int_equal(world_open(w), KT_ERR_TOO_LONG);
	w->config.state_dir = name;
	assert_int_equal(world_open(w), KT_ERR_TOO_LONG);
	w->config.state_dir = "/nonexistent/state";
	assert_int_equal(world_open(w), KT_ERR_SYS);
	assert_non_null(strstr(w->why, "/nonexistent/state"));
}

/* --- recovery --- */

static void the_newer_copy_counts(void **state)
{
	struct world *w = *state;
	uint64_t seq = 0;

	world_stable(w);
	seq = kt_identity_record(w->store)->seq;
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->seq, seq);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	assert_int_equal(kt_identity_record(w->store)->active.dir, FIRST);
	assert_string_equal(kt_identity_record(w->store)->device.s, "hub-17");
}

static void with_one_copy_damaged_the_other_counts_and_both_are_made_whole(void **state)
{
	struct world *w = *state;
	const char *newest = NULL;
	uint64_t seq = 0;

	world_stable(w);
	seq = kt_identity_record(w->store)->seq; /* 1 is in record.0 */
	newest = seq % 2 == 1 ? "record.0" : "record.1";
	world_close(w);
	world_damage(w, newest);
	assert_int_equal(world_open(w), KT_ERR_OK);
	/* the one before: CERT of the same credential; saved once more where the damage was */
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, FIRST);
	assert_int_equal(kt_identity_record(w->store)->seq, seq);
	world_close(w);
	world_damage(w, newest[7] == '0' ? "record.1" : "record.0");
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, FIRST);
}

static void with_both_copies_damaged_it_stops_and_deletes_nothing(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	world_damage(w, "record.0");
	world_damage(w, "record.1");
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
	assert_null(w->store);
	assert_non_null(strstr(w->why, "enrol again with a ticket"));
	assert_true(world_has(w, "identity/7/key.pem"));
	assert_true(world_has(w, "identity/7/identity.pem"));
	world_assert_link(w, "identity/7");
}

static void without_a_record_credentials_are_not_guessed_from(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	assert_int_equal(unlink(world_at(w, "record.0").s), 0);
	assert_int_equal(unlink(world_at(w, "record.1").s), 0);
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
	assert_non_null(strstr(w->why, "are gone"));
	assert_true(world_has(w, "identity/7/key.pem"));
	assert_false(world_has(w, "record.0"));
}

/* --- a copy that the disk does not give back --- */

/* From the next open on reads of these files fail with @error. */
static void bad_disk(struct world *w, const char *first, const char *second, int error)
{
	world_close(w);
	bad_fs_init(&w->bad, first, second, error);
	w->config.fs = &w->bad.table;
}

static void good_disk(struct world *w)
{
	world_close(w);
	w->config.fs = kt_fs_posix();
}

static const char *newest_of(const struct world *w)
{
	return kt_identity_record(w->store)->seq % 2 == 1 ? "record.0" : "record.1";
}

static const char *oldest_of(const struct world *w)
{
	return kt_identity_record(w->store)->seq % 2 == 1 ? "record.1" : "record.0";
}

static void with_the_older_copy_unreadable_nothing_is_lost(void **state)
{
	static const int errors[] = {EIO, EUCLEAN, EBADMSG};
	struct world *w = *state;

	world_stable(w);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		uint64_t seq = kt_identity_record(w->store)->seq;

		bad_disk(w, oldest_of(w), NULL, errors[i]);
		assert_int_equal(world_open(w), KT_ERR_OK);
		assert_non_null(strstr(w->why, "could not be read"));
		assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
		assert_int_equal(kt_identity_record(w->store)->seq, seq + 1); /* written anew */
		good_disk(w);
		assert_int_equal(world_open(w), KT_ERR_OK);
		assert_string_equal(w->why, "");
		assert_int_equal(kt_identity_record(w->store)->seq, seq + 1);
	}
}

/* The server may have committed what the lost copy knew and the other one does not. */
static void with_the_newer_copy_unreadable_its_certificate_is_a_candidate(void **state)
{
	struct world *w = *state;
	struct kt_agent_record cert;

	world_stable(w);
	cert = world_with_cert(w, SECOND);
	bad_disk(w, newest_of(w), NULL, EIO);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_non_null(strstr(w->why, "could not be read"));
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
	assert_int_equal(kt_identity_record(w->store)->active.dir, FIRST);
	assert_memory_equal(&kt_identity_record(w->store)->pending, &cert.pending,
			    sizeof(cert.pending));
	good_disk(w);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
}

/* Once overlooked it would be for good: the lost copy is written anew. */
static void for_want_of_memory_a_candidate_is_not_overlooked(void **state)
{
	struct world *w = *state;
	char older[16];
	char newer[16];
	uint8_t *bytes;
	size_t len = 0;
	enum kt_err err = KT_ERR_NOMEM;
	size_t refused = 0;

	world_stable(w);
	(void)world_with_cert(w, SECOND);
	(void)snprintf(older, sizeof(older), "%s", oldest_of(w));
	(void)snprintf(newer, sizeof(newer), "%s", newest_of(w));
	bytes = read_file(world_at(w, older).s, &len);
	world_close(w);
	for (size_t n = 1;; n++) {
		world_put(w, older, bytes, len, 0600);
		(void)unlink(world_at(w, newer).s);
		failing_alloc_set(n);
		err = world_open(w);
		if (!failing_alloc_end())
			break;
		if (err == KT_ERR_OK)
			assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
		else
			refused++;
		world_close(w);
	}
	assert_int_equal(err, KT_ERR_OK);
	assert_in_range(refused, 3, 1000);
	free(bytes);
}

/* A ticket is good for this key alone, once it was used. */
static void for_want_of_memory_the_key_of_an_enrolment_stays(void **state)
{
	struct world *w = *state;
	size_t refused = 0;
	enum kt_err err;

	(void)world_with_key(w, FIRST);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_NEW);
	world_close(w);
	for (size_t n = 1;; n++) {
		failing_alloc_set(n);
		err = world_open(w);
		if (!failing_alloc_end())
			break;
		if (err == KT_ERR_OK)
			assert_int_equal(kt_identity_record(w->store)->pending.dir, FIRST);
		else
			refused++;
		world_close(w);
	}
	assert_int_equal(err, KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, FIRST);
	assert_in_range(refused, 3, 1000);
}

/* Without doubt the record says what is there: KEY, and the server gives the certificate again. */
static void a_certificate_beside_a_whole_record_is_no_candidate(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;
	enum kt_reason reason = KT_REASON_BUSY;
	struct kt_fingerprint fp;

	world_stable(w);
	next = world_with_key(w, SECOND);
	world_chain_for(w, SECOND, "hub-17", 2);
	assert_int_equal(world_save_cert(w, &next, &reason, &fp), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_KEY);
	/* nor is one of another device, in doubt */
	world_chain_for(w, SECOND, "hub-18", 2);
	(void)snprintf(next.device.s, sizeof(next.device.s), "hub-18");
	assert_int_equal(world_save_cert(w, &next, &reason, &fp), KT_ERR_OK);
	bad_disk(w, oldest_of(w), NULL, EIO);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_KEY);
}

/* A key of an op that only the lost copy named: the server may have its CSR. */
static void with_a_copy_lost_no_directory_goes_and_its_key_is_taken_again(void **state)
{
	struct world *w = *state;
	struct kt_public_key before;
	struct kt_public_key after;
	struct kt_agent_record next;

	world_stable(w);
	(void)world_with_key(w, SECOND);
	assert_int_equal(kt_identity_public_key(w->store, SECOND, &before), KT_ERR_OK);
	bad_disk(w, newest_of(w), NULL, EIO);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	assert_true(world_has(w, "identity/200/key.pem"));
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_OK);
	assert_int_equal(kt_identity_public_key(w->store, SECOND, &after), KT_ERR_OK);
	assert_memory_equal(before.spki, after.spki, before.spki_len);
	good_disk(w); /* both copies are whole again, and neither names it */
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_true(world_has(w, "identity/200/key.pem"));
	next = *kt_identity_record(w->store);
	next.op = SECOND + 1; /* nobody asks for that key any more */
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_false(world_has(w, "identity/200"));
}

static void a_copy_that_is_gone_is_a_lost_one(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_key(w, SECOND);
	(void)unlink(world_at(w, newest_of(w)).s);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_non_null(strstr(w->why, "was gone"));
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	assert_true(world_has(w, "identity/200/key.pem"));
}

/* The hub's programs must not go back to what the server has superseded. */
static void a_link_that_is_ahead_of_the_record_stays(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;

	world_stable(w);
	next = world_with_cert(w, SECOND);
	next.retired = next.active;
	next.active = next.pending;
	next.pending = (struct kt_slot){0};
	next.phase = KT_AGENT_STABLE;
	next.step = KT_STEP_LINK;
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(kt_identity_link(w->store, SECOND), KT_ERR_OK);
	bad_disk(w, newest_of(w), NULL, EIO);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
	world_assert_link(w, "identity/200");
}

static void until_the_lost_copy_is_written_anew_nothing_is_deleted(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_key(w, SECOND);
	bad_disk(w, newest_of(w), NULL, EIO);
	w->bad.no_rename = true; /* the lost copy cannot be replaced */
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_non_null(strstr(w->why, "repair the record"));
	assert_int_equal(kt_identity_wipe(w->store, SECOND), KT_ERR_SYS);
	assert_true(world_has(w, "identity/200/key.pem"));
	w->bad.no_rename = false;
	assert_int_equal(kt_identity_wipe(w->store, SECOND), KT_ERR_OK);
	assert_false(world_has(w, "identity/200"));
}

static void without_any_good_copy_it_stops_and_deletes_nothing(void **state)
{
	struct world *w = *state;

	world_stable(w);
	bad_disk(w, "record.0", "record.1", EIO);
	assert_int_equal(world_open(w), KT_ERR_SYS);
	assert_non_null(strstr(w->why, "no other good copy"));
	bad_disk(w, "record.0", NULL, EIO);
	world_damage(w, "record.1");
	assert_int_equal(world_open(w), KT_ERR_SYS);
	(void)unlink(world_at(w, "record.1").s);
	assert_int_equal(world_open(w), KT_ERR_SYS);
	assert_false(world_has(w, "record.1")); /* no first record beside it */
	assert_true(world_has(w, "identity/7/key.pem"));
	world_assert_link(w, "identity/7");
	good_disk(w);
	assert_int_equal(world_open(w), KT_ERR_OK);
}

/* What may be gone the next time is no lost copy. */
static void an_error_that_is_not_the_disks_stops_it(void **state)
{
	static const int errors[] = {EACCES, EINVAL, ENOMEM};
	struct world *w = *state;

	world_stable(w);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		bad_disk(w, "record.0", NULL, errors[i]);
		assert_int_equal(world_open(w), KT_ERR_SYS);
		assert_non_null(strstr(w->why, "record.0"));
	}
}

static void a_newer_versions_record_is_refused(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	world_put_vector(w, "record.0", KT_VECTORS "/formats/agent-record-v2.block");
	assert_int_equal(world_open(w), KT_ERR_VERSION);
	assert_non_null(strstr(w->why, "record.0"));
	assert_non_null(strstr(w->why, "newer version of Keyturn"));
	assert_true(world_has(w, "identity/7/key.pem"));
	world_put_vector(w, "record.1", KT_VECTORS "/formats/agent-record-v2.block");
	assert_int_equal(world_open(w), KT_ERR_VERSION);
}

static void a_record_longer_than_a_block_is_a_damaged_one(void **state)
{
	static const char zeros[8192];
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	world_put(w, "record.0", zeros, sizeof(zeros), 0600);
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_close(w);
	world_put(w, "record.0", zeros, sizeof(zeros), 0600);
	world_put(w, "record.1", "", 0, 0600);
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
}

static void what_no_record_names_goes(void **state)
{
	struct world *w = *state;

	world_stable(w);
	assert_int_equal(kt_identity_new_key(w->store, OLDER, KT_ALG_ES256), KT_ERR_OK);
	assert_int_equal(mkdir(world_at(w, "identity/300.tmp").s, 0700), 0);
	world_put(w, "identity/300.tmp/key.pem", "half", 4, 0600);
	world_put(w, "record.0.tmp", "half", 4, 0600);
	world_put(w, "identity/7/cert.pem.tmp", "half", 4, 0600);
	world_put(w, "identity/notes", "mine", 4, 0600);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_string_equal(w->why, "");
	assert_false(world_has(w, "identity/5"));
	assert_false(world_has(w, "identity/300.tmp"));
	assert_false(world_has(w, "record.0.tmp"));
	assert_false(world_has(w, "identity/7/cert.pem.tmp"));
	assert_true(world_has(w, "identity/7/key.pem"));
	assert_true(world_has(w, "identity/notes")); /* not of our making */
}

static void the_link_is_repaired(void **state)
{
	struct world *w = *state;

	world_stable(w);
	world_close(w);
	assert_int_equal(unlink(world_at(w, "current").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_assert_link(w, "identity/7");
	assert_int_equal(unlink(world_at(w, "current").s), 0);
	assert_int_equal(symlink("identity/999", world_at(w, "current").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
	world_assert_link(w, "identity/7");
	/* there is none where nothing is in force */
	(void)snprintf(w->state_dir + strlen(w->state_dir),
		       sizeof(w->state_dir) - strlen(w->state_dir), "/new");
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(symlink("identity/7", world_at(w, "current").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_false(world_has(w, "current"));
}

static void a_pending_certificate_that_is_lost_is_asked_for_again(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_cert(w, SECOND);
	world_close(w);
	world_damage(w, "identity/200/identity.pem");
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_KEY);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, SECOND);
	assert_int_equal(kt_identity_record(w->store)->active.dir, FIRST);
}

static void one_credential_that_works_is_enough(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_cert(w, SECOND);
	world_close(w);
	assert_int_equal(unlink(world_at(w, "identity/7/key.pem").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
	world_close(w);
	assert_int_equal(unlink(world_at(w, "identity/200/key.pem").s), 0);
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
	assert_non_null(strstr(w->why, "enrol again with a ticket"));
	assert_true(world_has(w, "identity/200/identity.pem"));
}

/* identity.pem with another key behind the certificate than key.pem's. */
static void a_credential_whose_parts_do_not_match_is_none(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_cert(w, SECOND);
	world_close(w);
	assert_int_equal(rename(world_at(w, "identity/200/identity.pem").s,
				world_at(w, "identity/7/identity.pem").s),
			 0);
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
}

static void an_enrolments_lost_key_is_made_anew(void **state)
{
	struct world *w = *state;

	(void)world_with_key(w, FIRST);
	world_close(w);
	assert_int_equal(unlink(world_at(w, "identity/7/key.pem").s), 0);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_NEW);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, 0);
}

/* --- operations --- */

static void identity_pem_is_the_chain_and_the_key(void **state)
{
	struct world *w = *state;
	size_t len[4] = {0};
	uint8_t *part[4];
	char want[16384];

	world_stable(w);
	part[0] = read_file(world_at(w, "identity/7/cert.pem").s, &len[0]);
	part[1] = read_file(world_at(w, "identity/7/chain.pem").s, &len[1]);
	part[2] = read_file(world_at(w, "identity/7/key.pem").s, &len[2]);
	part[3] = read_file(world_at(w, "identity/7/identity.pem").s, &len[3]);
	(void)snprintf(want, sizeof(want), "%s%s%s", (char *)part[0], (char *)part[1],
		       (char *)part[2]);
	assert_string_equal((char *)part[3], want);
	assert_non_null(strstr((char *)part[2], "PRIVATE KEY"));
	assert_null(strstr((char *)part[0], "PRIVATE KEY"));
	assert_null(strstr((char *)part[1], "PRIVATE KEY"));
	for (size_t i = 0; i < 4; i++)
		free(part[i]);
}

static void assert_cert_refused(struct world *w, const struct kt_agent_record *record,
				const char *want)
{
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_fingerprint fp;

	assert_int_not_equal(world_save_cert(w, record, &reason, &fp), KT_ERR_OK);
	assert_string_equal(kt_reason_name(reason), want);
	assert_false(world_has(w, "identity/7/cert.pem"));
	assert_false(world_has(w, "identity/7/identity.pem"));
}

static void a_certificate_that_is_not_for_us_is_not_written(void **state)
{
	struct world *w = *state;
	struct kt_agent_record record = world_with_key(w, FIRST);
	struct kt_agent_record other = record;
	struct kt_chain *chain = w->chain;

	agent_pki_chain(w->pki, kt_key_public(w->pki->root_key), "hub-17", 1, chain);
	assert_cert_refused(w, &record, "cert.key");
	world_chain_for(w, FIRST, "hub-18", 1);
	assert_cert_refused(w, &record, "id.mismatch");
	world_chain_for(w, FIRST, "HUB-17", 1);
	assert_cert_refused(w, &record, "id.mismatch");
	world_chain_for(w, FIRST, "hub-17", 1);
	(void)snprintf(other.trust_domain, sizeof(other.trust_domain), "other.example");
	assert_cert_refused(w, &other, "id.mismatch");
	chain->cert[0].len--;
	assert_cert_refused(w, &record, "cert.chain");
	world_chain_for(w, FIRST, "hub-17", 1);
	chain->count = 0;
	assert_cert_refused(w, &record, "cert.chain");
	chain->count = KT_CHAIN_MAX + 1;
	assert_cert_refused(w, &record, "cert.chain");
	/* the issuing CA in the leaf's place */
	world_chain_for(w, FIRST, "hub-17", 1);
	chain->cert[0] = chain->cert[1];
	assert_cert_refused(w, &record, "cert.key");
}

static void a_key_is_made_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_new_key(w->store, 0, KT_ALG_ES256), KT_ERR_INVALID);
	assert_int_equal(kt_identity_new_key(w->store, FIRST, KT_ALG_NONE), KT_ERR_UNSUPPORTED);
	assert_false(world_has(w, "identity/7"));
	assert_false(world_has(w, "identity/7.tmp"));
	(void)world_with_key(w, FIRST);
	assert_int_equal(kt_identity_new_key(w->store, FIRST, KT_ALG_ES256), KT_ERR_EXISTS);
	/* one that no record names is taken, unless it is none any more */
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_OK);
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_OK);
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_NONE), KT_ERR_EXISTS);
	world_damage(w, "identity/200/key.pem");
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_EXISTS);
}

/* Of three credentials two are damaged: what an enrolment had put aside is still one. */
static void what_was_put_aside_counts_where_nothing_else_can_be_used(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;

	world_stable(w);
	next = world_with_cert(w, SECOND);
	assert_int_equal(kt_identity_new_key(w->store, 13, KT_ALG_ES256), KT_ERR_OK);
	next.retired = next.pending;
	next.phase = KT_AGENT_KEY;
	next.pending = (struct kt_slot){.dir = 13, .alg = KT_ALG_ES256};
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	world_close(w);
	world_damage(w, "identity/7/identity.pem");
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->active.dir, SECOND);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, 13);
	assert_int_equal(kt_identity_record(w->store)->step, KT_STEP_LINK);
	world_assert_link(w, "identity/200");
	world_close(w);
	world_damage(w, "identity/200/identity.pem");
	assert_int_equal(world_open(w), KT_ERR_CORRUPT);
}

static enum kt_err unreadable_key(void *ctx, const char *dir, struct kt_public_key *out)
{
	(void)ctx;
	(void)dir;
	(void)out;
	return KT_ERR_SYS;
}

static void a_key_that_cannot_be_read_is_not_made_anew(void **state)
{
	struct world *w = *state;
	const struct kt_key_store keys = *w->keys;

	world_stable(w);
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_OK);
	w->keys->public_key = unreadable_key;
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_SYS);
	*w->keys = keys;
	assert_int_equal(kt_identity_new_key(w->store, SECOND, KT_ALG_ES256), KT_ERR_OK);
}

/* The lost copy said that another claim's key had taken this one's place. */
static void a_claim_whose_key_is_gone_is_given_up(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;

	world_stable(w);
	next = *kt_identity_record(w->store);
	next.phase = KT_AGENT_KEY;
	next.pending = (struct kt_slot){.dir = 12, .alg = KT_ALG_ES256};
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	next = world_with_cert(w, SECOND);
	next.retired = next.pending;
	next.phase = KT_AGENT_KEY;
	next.pending = (struct kt_slot){.dir = 13, .alg = KT_ALG_ES256};
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_CERT);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, SECOND);
}

static void a_rotation_s_key_put_aside_for_a_claim_whose_key_is_gone_is_taken_up(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;

	world_stable(w);
	next = world_with_key(w, SECOND);
	next.pending.op = next.op;
	next.retired = next.pending;
	next.pending = (struct kt_slot){.dir = 13, .alg = KT_ALG_ES256};
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_KEY);
	assert_int_equal(kt_identity_record(w->store)->pending.dir, SECOND);
	assert_int_equal(kt_identity_record(w->store)->pending.op, next.op);
	assert_int_equal(kt_identity_record(w->store)->retired.dir, 0);
}

/* It must not go on, either: it would keep rotations out for as long as the agent runs. */
static void for_want_of_memory_a_claim_whose_key_is_gone_is_no_start(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;
	size_t refused = 0;
	enum kt_err err;

	world_stable(w);
	for (size_t n = 1;; n++) {
		next = *kt_identity_record(w->store);
		next.phase = KT_AGENT_KEY;
		next.pending = (struct kt_slot){.dir = 12, .alg = KT_ALG_ES256};
		assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
		world_close(w);
		failing_alloc_set(n);
		err = world_open(w);
		if (!failing_alloc_end())
			break;
		if (err != KT_ERR_OK) {
			refused++;
			assert_int_equal(world_open(w), KT_ERR_OK);
		}
		assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	}
	assert_int_equal(err, KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->phase, KT_AGENT_STABLE);
	assert_in_range(refused, 3, 1000);
}

static void a_key_in_use_cannot_be_wiped(void **state)
{
	struct world *w = *state;

	world_stable(w);
	(void)world_with_key(w, SECOND);
	assert_int_equal(kt_identity_wipe(w->store, FIRST), KT_ERR_STATE);
	assert_int_equal(kt_identity_wipe(w->store, SECOND), KT_ERR_STATE);
	assert_int_equal(kt_identity_wipe(w->store, 0), KT_ERR_INVALID);
	assert_int_equal(kt_identity_wipe(w->store, 999), KT_ERR_OK); /* absent */
	assert_true(world_has(w, "identity/7/key.pem"));
	assert_true(world_has(w, "identity/200/key.pem"));
}

static void a_wiped_key_is_overwritten(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;
	size_t len = 0;
	uint8_t *left = NULL;

	world_stable(w);
	next = world_with_cert(w, SECOND);
	next.retired = next.active;
	next.active = next.pending;
	next.pending = (struct kt_slot){0};
	next.phase = KT_AGENT_STABLE;
	next.step = KT_STEP_WIPE;
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	/* another name for the same bytes: what a look at the disk would find */
	assert_int_equal(link(world_at(w, "identity/7/key.pem").s, world_at(w, "seen").s), 0);
	assert_int_equal(kt_identity_wipe(w->store, FIRST), KT_ERR_OK);
	assert_false(world_has(w, "identity/7"));
	left = read_file(world_at(w, "seen").s, &len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(left[i], 0);
	free(left);
}

static void seals_and_requests_with_the_key_of_the_directory(void **state)
{
	struct world *w = *state;
	struct kt_public_key key;
	struct kt_jws jws;
	struct kt_csr decoded;
	uint8_t csr[KT_CSR_MAX];
	size_t csr_len = 0;
	char *text = NULL;
	size_t len = 0;
	enum kt_reason reason = KT_REASON_NONE;

	world_stable(w);
	assert_int_equal(w->keys->public_key(w->keys->ctx, world_at(w, "identity/7").s, &key),
			 KT_ERR_OK);
	assert_int_equal(kt_identity_seal(w->store, FIRST, "{\"v\":1}", 7, &text, &len), KT_ERR_OK);
	assert_int_equal(
		kt_jws_decode((const uint8_t *)text, len, KT_JWS_FROM_DEVICE, &jws, &reason),
		KT_ERR_OK);
	assert_int_equal(kt_jws_verify(&jws, &key, &reason), KT_ERR_OK);
	kt_jws_clear(&jws);
	free(text);
	assert_int_equal(kt_identity_csr(w->store, FIRST, "hub-17", "bound", csr, &csr_len),
			 KT_ERR_OK);
	assert_int_equal(kt_csr_decode(csr, csr_len, &decoded, &reason), KT_ERR_OK);
	assert_string_equal(decoded.common_name, "hub-17");
	assert_string_equal(decoded.challenge_password, "bound");
	assert_memory_equal(decoded.key.spki, key.spki, key.spki_len);
	assert_int_equal(kt_identity_seal(w->store, 999, "{}", 2, &text, &len), KT_ERR_NOT_FOUND);
	assert_null(text);
	assert_int_equal(kt_identity_csr(w->store, 999, "x", "y", csr, &csr_len), KT_ERR_NOT_FOUND);
	assert_int_equal(csr_len, 0);
}

static void a_record_that_cannot_be_is_not_saved(void **state)
{
	struct world *w = *state;
	struct kt_agent_record next;

	world_stable(w);
	next = *kt_identity_record(w->store);
	next.active = (struct kt_slot){0};
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_INVALID);
	assert_int_equal(kt_identity_record(w->store)->active.dir, FIRST);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_record(w->store)->active.dir, FIRST);
}

static void the_root_is_pinned_once(void **state)
{
	struct world *w = *state;
	struct cert_plan plan = cert_plan_ca("Root", w->pki->root_key, "Root", w->pki->root_key);
	struct made_cert other;
	struct made_cert leaf;
	uint8_t der[KT_CERT_MAX];
	size_t len = 1;

	plan.not_before_s++;
	other = make_cert(w->pki->crypto, &plan); /* same name, same key, another certificate */
	plan = cert_plan_leaf("leaf", w->pki->root_key, "Root", w->pki->root_key);
	leaf = make_cert(w->pki->crypto, &plan);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_root(w->store, der, &len), KT_ERR_NOT_FOUND);
	assert_int_equal(len, 0);
	assert_int_equal(kt_identity_save_root(w->store, cert_view(&leaf)), KT_ERR_VERIFY);
	assert_int_equal(kt_identity_save_root(w->store, (struct kt_bytes){leaf.der, leaf.len - 1}),
			 KT_ERR_INVALID);
	assert_int_equal(kt_identity_save_root(w->store, cert_view(&w->pki->root)), KT_ERR_OK);
	assert_int_equal(kt_identity_save_root(w->store, cert_view(&w->pki->root)), KT_ERR_OK);
	assert_int_equal(kt_identity_save_root(w->store, cert_view(&other)), KT_ERR_EXISTS);
	assert_int_equal(kt_identity_root(w->store, der, &len), KT_ERR_OK);
	assert_int_equal(len, w->pki->root.len);
	assert_memory_equal(der, w->pki->root.der, len);
}

static void a_root_that_is_not_the_pinned_one_is_not_used(void **state)
{
	struct world *w = *state;
	uint8_t der[KT_CERT_MAX];
	size_t len = 1;
	char *pem = NULL;

	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_save_root(w->store, cert_view(&w->pki->root)), KT_ERR_OK);
	assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_pem_from_cert(w->pki->issuing.der, w->pki->issuing.len, &pem),
			 KT_ERR_OK);
	world_put(w, "root.pem", pem, strlen(pem), 0644);
	free(pem);
	assert_int_equal(kt_identity_root(w->store, der, &len), KT_ERR_CORRUPT);
	assert_int_equal(len, 0);
	assert_int_equal(unlink(world_at(w, "root.pem").s), 0);
	assert_int_equal(kt_identity_root(w->store, der, &len), KT_ERR_CORRUPT);
}

/* --- a look from outside --- */

static void a_look_sees_the_record_and_whether_it_is_used(void **state)
{
	struct world *w = *state;
	struct kt_agent_record seen;
	bool is_used = true;

	assert_int_equal(kt_identity_peek(w->state_dir, &seen, &is_used), KT_ERR_NOT_FOUND);
	assert_false(is_used);
	assert_false(world_has(w, "")); /* nothing is made */
	world_stable(w);
	assert_int_equal(kt_identity_peek(w->state_dir, &seen, &is_used), KT_ERR_OK);
	assert_true(is_used);
	assert_int_equal(seen.seq, kt_identity_record(w->store)->seq);
	assert_int_equal(seen.active.dir, FIRST);
	world_close(w);
	assert_int_equal(kt_identity_peek(w->state_dir, &seen, &is_used), KT_ERR_OK);
	assert_false(is_used);
	world_damage(w, "record.0");
	world_damage(w, "record.1");
	assert_int_equal(kt_identity_peek(w->state_dir, &seen, &is_used), KT_ERR_CORRUPT);
	assert_int_equal(seen.seq, 0);
}

static void a_look_refuses_a_newer_version_as_the_agent_does(void **state)
{
	static const char *const copies[] = {"record.0", "record.1"};
	struct world *w = *state;
	struct kt_agent_record seen;
	bool is_used = true;

	for (size_t i = 0; i < 2; i++) {
		world_stable(w);
		world_close(w);
		world_put_vector(w, copies[i], KT_VECTORS "/formats/agent-record-v2.block");
		assert_int_equal(kt_identity_peek(w->state_dir, &seen, &is_used), KT_ERR_VERSION);
		assert_int_equal(seen.seq, 0);
		assert_string_equal(seen.device.s, "");
		temp_dir_remove(w->state_dir);
	}
}

static void a_path_that_does_not_fit_is_none(void **state)
{
	struct world *w = *state;
	char out[160];
	size_t len = strlen(world_at(w, "identity/7/identity.pem").s);

	world_stable(w);
	assert_true(kt_identity_pem_path(w->store, FIRST, out, len + 1));
	assert_string_equal(out, world_at(w, "identity/7/identity.pem").s);
	assert_false(kt_identity_pem_path(w->store, FIRST, out, len));
	assert_false(kt_identity_pem_path(w->store, 0, out, sizeof(out)));
	assert_string_equal(out, "");
	assert_true(kt_identity_current_path(w->store, out, sizeof(out)));
	assert_string_equal(out, world_at(w, "current").s);
	assert_false(kt_identity_current_path(w->store, out, strlen(out)));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_start_makes_a_private_place),
		T(keys_are_the_owners_alone),
		T(a_key_group_may_read_and_no_more),
		T(a_key_group_that_comes_and_goes_is_followed),
		T(a_directory_that_others_may_write_is_refused),
		T(a_key_or_record_that_others_may_read_is_refused),
		T(anothers_files_are_refused),
		T(links_are_not_followed),
		T(one_agent_at_a_time),
		T(a_state_dir_that_cannot_be_is_refused),
		T(the_newer_copy_counts),
		T(with_one_copy_damaged_the_other_counts_and_both_are_made_whole),
		T(with_both_copies_damaged_it_stops_and_deletes_nothing),
		T(without_a_record_credentials_are_not_guessed_from),
		T(with_the_older_copy_unreadable_nothing_is_lost),
		T(with_the_newer_copy_unreadable_its_certificate_is_a_candidate),
		T(for_want_of_memory_a_candidate_is_not_overlooked),
		T(for_want_of_memory_the_key_of_an_enrolment_stays),
		T(a_certificate_beside_a_whole_record_is_no_candidate),
		T(with_a_copy_lost_no_directory_goes_and_its_key_is_taken_again),
		T(a_copy_that_is_gone_is_a_lost_one),
		T(a_link_that_is_ahead_of_the_record_stays),
		T(until_the_lost_copy_is_written_anew_nothing_is_deleted),
		T(without_any_good_copy_it_stops_and_deletes_nothing),
		T(an_error_that_is_not_the_disks_stops_it),
		T(a_newer_versions_record_is_refused),
		T(a_record_longer_than_a_block_is_a_damaged_one),
		T(what_no_record_names_goes),
		T(the_link_is_repaired),
		T(a_pending_certificate_that_is_lost_is_asked_for_again),
		T(one_credential_that_works_is_enough),
		T(a_credential_whose_parts_do_not_match_is_none),
		T(an_enrolments_lost_key_is_made_anew),
		T(identity_pem_is_the_chain_and_the_key),
		T(a_certificate_that_is_not_for_us_is_not_written),
		T(a_key_is_made_once),
		T(a_key_that_cannot_be_read_is_not_made_anew),
		T(a_claim_whose_key_is_gone_is_given_up),
		T(a_rotation_s_key_put_aside_for_a_claim_whose_key_is_gone_is_taken_up),
		T(for_want_of_memory_a_claim_whose_key_is_gone_is_no_start),
		T(what_was_put_aside_counts_where_nothing_else_can_be_used),
		T(a_key_in_use_cannot_be_wiped),
		T(a_wiped_key_is_overwritten),
		T(seals_and_requests_with_the_key_of_the_directory),
		T(a_record_that_cannot_be_is_not_saved),
		T(the_root_is_pinned_once),
		T(a_root_that_is_not_the_pinned_one_is_not_used),
		T(a_look_sees_the_record_and_whether_it_is_used),
		T(a_look_refuses_a_newer_version_as_the_agent_does),
		T(a_path_that_does_not_fit_is_none),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
