#include "identity_script.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Power cuts and failing disks, at every call of a whole life: enrolment and two rotations. */

enum { SEED = 20240229 };

static int make_pki(void **state)
{
	/* file systems come and go by the thousand: giving memory back costs more than the test */
	(void)mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
	*state = agent_pki_new();
	return 0;
}

static int free_pki(void **state)
{
	agent_pki_free(*state);
	return 0;
}

/* The sanitizers make each state ten times as dear: they see every twelfth, the plain build all.
 */
#if defined(__SANITIZE_ADDRESS__)
enum { STRIDE = 12 };
#else
enum { STRIDE = 1 };
#endif

struct crashes {
	struct identity_script *script;
	unsigned states;
	unsigned calls;
};

static void check_one(void *ctx, struct fake_fs *after)
{
	struct crashes *c = ctx;

	if (c->states++ % STRIDE == 0)
		identity_script_check(c->script, after);
}

static void crash_here(void *ctx, struct fake_fs *fs)
{
	struct crashes *c = ctx;

	(void)fake_fs_each_crash(fs, SEED, check_one, c);
}

static void a_power_cut_at_any_call_leaves_a_credential_that_gets_in(void **state)
{
	struct identity_script *script = identity_script_new(*state);
	struct crashes c = {.script = script};

	fake_fs_watch(script->fs, crash_here, &c);
	identity_script_run(script, 0);
	assert_int_equal(script->failures, 0);
	print_message("%u crash states\n", c.states);
	assert_true(c.states > 1000);
	fake_fs_watch(script->fs, NULL, NULL);
	identity_script_free(script);
}

/* What recovery itself writes can be cut as well. */
static void recover_and_crash(void *ctx, struct fake_fs *after)
{
	struct crashes *c = ctx;
	struct kt_identity_store *store = NULL;
	struct kt_key_store *keys = NULL;
	char why[512];

	fake_fs_watch(after, crash_here, c);
	assert_int_equal(identity_script_open(c->script, after, &keys, &store, why), KT_ERR_OK);
	fake_fs_watch(after, NULL, NULL);
	kt_identity_close(store);
	kt_key_store_close(keys);
}

static void crash_once_in_a_while(void *ctx, struct fake_fs *fs)
{
	struct crashes *c = ctx;
	struct fake_fs *after = NULL;

	if (++c->calls % 5 != 0)
		return;
	after = fake_fs_clone(fs);
	fake_fs_crash(after, SEED + c->calls);
	recover_and_crash(c, after);
	fake_fs_free(after);
}

static void a_power_cut_during_recovery_is_recovered_from(void **state)
{
	struct identity_script *script = identity_script_new(*state);
	struct crashes c = {.script = script};

	fake_fs_watch(script->fs, crash_once_in_a_while, &c);
	identity_script_run(script, 0);
	print_message("%u crash states\n", c.states);
	assert_true(c.states > 500);
	fake_fs_watch(script->fs, NULL, NULL);
	identity_script_free(script);
}

/* --- a copy of the record that the disk does not give back --- */

static void spoil_and_check(void *ctx, struct fake_fs *after)
{
	struct crashes *c = ctx;
	char path[64];

	if (c->states++ % (3 * STRIDE) != 0)
		return;
	for (int i = 0; i < 2; i++) {
		struct fake_fs *fs = fake_fs_clone(after);

		(void)snprintf(path, sizeof(path), SCRIPT_STATE_DIR "/record.%d", i);
		if (fake_fs_spoil(fs, path) && identity_script_check_alone(c->script, fs))
			c->calls++;
		fake_fs_free(fs);
	}
}

static void spoil_here(void *ctx, struct fake_fs *fs)
{
	(void)fake_fs_each_crash(fs, SEED, spoil_and_check, ctx);
}

static void without_one_copy_the_other_one_gets_in(void **state)
{
	struct identity_script *script = identity_script_new(*state);
	struct crashes c = {.script = script};

	fake_fs_watch(script->fs, spoil_here, &c);
	identity_script_run(script, 0);
	print_message("%u crash states, %u times one copy was enough\n", c.states, c.calls);
	assert_true(c.calls > 500);
	fake_fs_watch(script->fs, NULL, NULL);
	identity_script_free(script);
}

/* --- the n-th call fails --- */

static unsigned fail_each(struct agent_pki *pki, int error)
{
	unsigned silent = 0;

	for (unsigned n = 1;; n++) {
		struct identity_script *script = identity_script_new(pki);
		struct crashes c = {.script = script};
		bool was_hit = false;

		fake_fs_fail_at(script->fs, n, error);
		while (script->failures == 0 && script->step < identity_script_count())
			(void)identity_script_step(script);
		was_hit = fake_fs_calls(script->fs) >= n;
		if (was_hit && script->failures == 0 && !script->was_told)
			silent++;
		/* power goes right after the error ... */
		if (script->step < identity_script_count())
			(void)fake_fs_each_crash(script->fs, SEED, check_one, &c);
		/* ... or the agent goes on */
		identity_script_run(script, 2);
		fake_fs_fail_at(script->fs, 0, 0);
		script->step = identity_script_count() - 1;
		fake_fs_sync(script->fs);
		identity_script_check(script, script->fs);
		identity_script_free(script);
		if (!was_hit)
			return silent;
	}
}

/*
 * The sync of a save fails, the process ends, the power stays: the cache still shows the new
 * record, and the disk does not have it. What the next process reads must be what a power cut
 * leaves.
 */
static void a_record_that_only_the_cache_has_is_none(void **state)
{
	struct identity_script *script = identity_script_new(*state);
	struct kt_agent_record next;
	struct kt_key_store *keys = NULL;
	struct kt_identity_store *store = NULL;
	char why[512];
	uint64_t seq;

	identity_script_run(script, 1);
	next = *kt_identity_record(script->store);
	seq = next.seq;
	next.controller_n++;
	fake_fs_fail_at(script->fs, 3, EIO); /* open, pwrite, fsync */
	assert_int_equal(kt_identity_save(script->store, &next), KT_ERR_SYS);
	fake_fs_kill(script->fs);
	assert_int_equal(identity_script_open(script, script->fs, &keys, &store, why), KT_ERR_OK);
	assert_int_equal(kt_identity_record(store)->controller_n, next.controller_n - 1);
	assert_true(kt_identity_record(store)->seq <= seq + 1);
	kt_identity_close(store);
	kt_key_store_close(keys);
	identity_script_free(script);
}

static void one_call_that_fails_costs_nothing(void **state)
{
	unsigned silent = fail_each(*state, EIO);

	print_message("%u failures were of no consequence\n", silent);
}

static void one_write_without_space_costs_nothing(void **state)
{
	(void)fail_each(*state, ENOSPC);
}

static void a_disk_that_fails_for_good_locks_nobody_out(void **state)
{
	unsigned n = 1;
	bool was_hit = true;

	for (; was_hit; n += 3) {
		struct identity_script *script = identity_script_new(*state);
		struct crashes c = {.script = script};

		fake_fs_fail_from(script->fs, n, EIO);
		while (script->failures < 3 && script->step < identity_script_count())
			(void)identity_script_step(script);
		was_hit = fake_fs_calls(script->fs) >= n;
		if (script->step < identity_script_count())
			(void)fake_fs_each_crash(script->fs, SEED, check_one, &c);
		identity_script_free(script);
	}
	assert_true(n > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_power_cut_at_any_call_leaves_a_credential_that_gets_in),
		cmocka_unit_test(a_power_cut_during_recovery_is_recovered_from),
		cmocka_unit_test(without_one_copy_the_other_one_gets_in),
		cmocka_unit_test(a_record_that_only_the_cache_has_is_none),
		cmocka_unit_test(one_call_that_fails_costs_nothing),
		cmocka_unit_test(one_write_without_space_costs_nothing),
		cmocka_unit_test(a_disk_that_fails_for_good_locks_nobody_out),
	};
	return cmocka_run_group_tests(tests, make_pki, free_pki);
}
