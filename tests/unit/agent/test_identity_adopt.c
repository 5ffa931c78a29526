/* A certificate and key from elsewhere become the hub's first credential, or nothing has happened.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent_pki.h"
#include "fake_fs.h"
#include "identity_store.h"

#define STATE "/var/lib/keyturn"

enum { SEED = 7 };

struct place {
	struct agent_pki *pki;
	struct kt_chain *chain;
	struct kt_secret *key_pem;
	struct kt_device_id device;
	struct kt_fingerprint fp;
	struct fake_fs *fs;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
	char why[512];
	unsigned states;
};

static char *content_of(const struct fake_fs *fs, const char *path)
{
	size_t len = 0;

	return fake_fs_content(fs, path, &len);
}

static enum kt_err open_in(struct place *p, struct fake_fs *fs)
{
	struct kt_identity_config config = {.state_dir = STATE,
					    .key_group = (gid_t)-1,
					    .fs = fake_fs_table(fs),
					    .crypto = p->pki->crypto};
	enum kt_err err = kt_key_store_file_new(config.fs, p->pki->crypto, &p->keys);

	assert_int_equal(err, KT_ERR_OK);
	config.keys = p->keys;
	return kt_identity_open(&config, &p->store, p->why);
}

static void close_it(struct place *p)
{
	kt_identity_close(p->store);
	kt_key_store_close(p->keys);
	p->store = NULL;
	p->keys = NULL;
}

static void make_outside(struct place *p)
{
	struct kt_key *key = NULL;

	p->chain = calloc(1, sizeof(*p->chain));
	assert_int_equal(kt_key_new(p->pki->crypto, KT_ALG_ES256, &key), KT_ERR_OK);
	assert_int_equal(kt_key_to_pem(key, &p->key_pem), KT_ERR_OK);
	agent_pki_chain(p->pki, kt_key_public(key), "some-name", 3, p->chain);
	p->fp = kt_fingerprint_of(p->chain->cert[0].der, p->chain->cert[0].len);
	kt_key_free(key);
}

/* As the hub's configuration has left it: trust domain, root. */
static void settle(struct place *p)
{
	struct kt_agent_record next = *kt_identity_record(p->store);

	memcpy(next.trust_domain, PKI_TD, sizeof(PKI_TD));
	assert_int_equal(kt_identity_save(p->store, &next), KT_ERR_OK);
	assert_int_equal(kt_identity_save_root(p->store, cert_view(&p->pki->root)), KT_ERR_OK);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->pki = agent_pki_new();
	make_outside(p);
	assert_true(kt_device_id_set(&p->device, "hub-17", 6));
	p->fs = fake_fs_new();
	fake_fs_put(p->fs, "/var/lib/.keep", "");
	assert_int_equal(open_in(p, p->fs), KT_ERR_OK);
	settle(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	close_it(p);
	fake_fs_free(p->fs);
	kt_secret_free(p->key_pem);
	free(p->chain);
	agent_pki_free(p->pki);
	free(p);
	return 0;
}

static enum kt_err adopt(struct place *p, enum kt_reason *reason)
{
	return kt_identity_adopt(p->store, &p->device, p->chain, kt_secret_view(p->key_pem),
				 reason);
}

static void refuses(struct place *p, enum kt_err err, enum kt_reason reason)
{
	enum kt_reason said = KT_REASON_BUSY;
	const struct kt_agent_record *record = kt_identity_record(p->store);

	assert_int_equal(adopt(p, &said), err);
	assert_string_equal(kt_reason_name(said), kt_reason_name(reason));
	assert_int_equal(record->phase, KT_AGENT_NEW);
	assert_true(record->active.dir == 0);
	assert_null(content_of(p->fs, STATE "/identity/1/key.pem"));
	assert_null(content_of(p->fs, STATE "/identity/1.tmp/key.pem"));
}

static void it_is_active_as_generation_0_of_no_op(void **state)
{
	struct place *p = *state;
	const struct kt_agent_record *record;
	enum kt_reason reason;
	char *identity;

	assert_int_equal(adopt(p, &reason), KT_ERR_OK);
	assert_int_equal(reason, KT_REASON_NONE);
	close_it(p);
	assert_int_equal(open_in(p, p->fs), KT_ERR_OK);
	assert_string_equal(p->why, "");
	record = kt_identity_record(p->store);
	assert_int_equal(record->phase, KT_AGENT_STABLE);
	assert_string_equal(record->device.s, "hub-17");
	assert_true(record->op == 0 && record->active.op == 0);
	assert_int_equal(record->active.generation, 0);
	assert_int_equal(record->active.alg, KT_ALG_ES256);
	assert_true(kt_fingerprint_eq(&record->active.fp, &p->fp));
	identity = content_of(p->fs, STATE "/current/identity.pem");
	assert_non_null(identity);
	assert_non_null(strstr(identity, "-----BEGIN PRIVATE KEY-----"));
	free(identity);
	assert_int_equal(adopt(p, &reason), KT_ERR_STATE); /* once */
}

static void refuses_what_does_not_fit_and_leaves_no_key_behind(void **state)
{
	struct place *p = *state;
	struct kt_secret *key_pem = p->key_pem;
	struct kt_chain good = *p->chain;
	struct made_cert ca = p->pki->issuing;

	p->chain->count = 0;
	refuses(p, KT_ERR_INVALID, KT_REASON_CERT_SYNTAX);
	*p->chain = good;
	p->chain->cert[0].len--;
	refuses(p, KT_ERR_INVALID, KT_REASON_CERT_SYNTAX);
	*p->chain = good;
	p->chain->cert[0].len = ca.len;
	memcpy(p->chain->cert[0].der, ca.der, ca.len);
	refuses(p, KT_ERR_VERIFY, KT_REASON_CERT_USE);
	*p->chain = good;
	p->key_pem = NULL;
	assert_int_equal(kt_key_to_pem(p->pki->root_key, &p->key_pem), KT_ERR_OK);
	refuses(p, KT_ERR_VERIFY, KT_REASON_CERT_KEY);
	kt_secret_free(p->key_pem);
	assert_int_equal(kt_secret_new(4, &p->key_pem), KT_ERR_OK);
	memcpy(kt_secret_bytes(p->key_pem), "junk", 4);
	refuses(p, KT_ERR_INVALID, KT_REASON_KEY_STORE);
	kt_secret_free(p->key_pem);
	p->key_pem = key_pem;
}

static void nothing_is_adopted_beside_an_enrolment_or_without_a_root(void **state)
{
	struct place *p = *state;
	struct kt_agent_record next = *kt_identity_record(p->store);

	next.has_root = false;
	assert_int_equal(kt_identity_save(p->store, &next), KT_ERR_OK);
	refuses(p, KT_ERR_STATE, KT_REASON_STATE);
	next = *kt_identity_record(p->store);
	next.has_root = true;
	assert_int_equal(kt_identity_new_key(p->store, 9, KT_ALG_ES256), KT_ERR_OK);
	next.pending = (struct kt_slot){.dir = 9, .alg = KT_ALG_ES256};
	assert_int_equal(kt_identity_save(p->store, &next), KT_ERR_OK);
	refuses(p, KT_ERR_STATE, KT_REASON_STATE);
}

/* Another key lies where this one would: with a copy of the record lost, it may be asked for. */
static void a_key_that_lies_there_is_not_replaced(void **state)
{
	struct place *p = *state;
	enum kt_reason reason;
	char *before;
	char *after;

	assert_int_equal(kt_identity_new_key(p->store, 1, KT_ALG_ES256), KT_ERR_OK);
	before = content_of(p->fs, STATE "/identity/1/key.pem");
	assert_int_equal(adopt(p, &reason), KT_ERR_EXISTS);
	after = content_of(p->fs, STATE "/identity/1/key.pem");
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* --- at every call --- */

/* What is there is the whole credential, or none; and none is no dead end. */
static void check_after(void *ctx, struct fake_fs *after)
{
	struct place *p = ctx;
	struct place look = {.pki = p->pki};
	const struct kt_agent_record *record;
	char *identity;

	p->states++;
	assert_int_equal(open_in(&look, after), KT_ERR_OK);
	record = kt_identity_record(look.store);
	identity = content_of(after, STATE "/current/identity.pem");
	if (record->phase == KT_AGENT_STABLE) {
		assert_true(kt_fingerprint_eq(&record->active.fp, &p->fp));
		assert_non_null(identity);
	} else {
		enum kt_reason reason;

		assert_int_equal(record->phase, KT_AGENT_NEW);
		assert_null(identity);
		assert_null(content_of(after, STATE "/identity/1/key.pem"));
		assert_int_equal(kt_identity_adopt(look.store, &p->device, p->chain,
						   kt_secret_view(p->key_pem), &reason),
				 KT_ERR_OK);
	}
	free(identity);
	close_it(&look);
}

static void crash_here(void *ctx, struct fake_fs *fs)
{
	(void)fake_fs_each_crash(fs, SEED, check_after, ctx);
}

static void a_power_cut_at_any_call_leaves_all_or_nothing(void **state)
{
	struct place *p = *state;
	enum kt_reason reason;

	fake_fs_watch(p->fs, crash_here, p);
	assert_int_equal(adopt(p, &reason), KT_ERR_OK);
	fake_fs_watch(p->fs, NULL, NULL);
	assert_true(p->states > 50);
}

static void a_call_that_fails_leaves_all_or_nothing(void **state)
{
	struct place *p = *state;
	unsigned failed = 0;
	enum kt_err err = KT_ERR_SYS;

	for (unsigned n = 1; err != KT_ERR_OK || fake_fs_calls(p->fs) >= n; n++) {
		struct fake_fs *fs = fake_fs_new();
		struct place one = *p;
		enum kt_reason reason;

		fake_fs_put(fs, "/var/lib/.keep", "");
		one.fs = fs;
		one.store = NULL;
		assert_int_equal(open_in(&one, fs), KT_ERR_OK);
		settle(&one);
		fake_fs_fail_at(fs, n, EIO);
		err = adopt(&one, &reason);
		failed += err != KT_ERR_OK;
		fake_fs_kill(fs);
		close_it(&one);
		check_after(p, fs);
		if (err == KT_ERR_OK && fake_fs_calls(fs) < n) {
			fake_fs_free(fs);
			break;
		}
		fake_fs_free(fs);
		assert_true(n < 1000);
	}
	assert_true(failed > 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_is_active_as_generation_0_of_no_op),
		T(refuses_what_does_not_fit_and_leaves_no_key_behind),
		T(nothing_is_adopted_beside_an_enrolment_or_without_a_root),
		T(a_key_that_lies_there_is_not_replaced),
		T(a_power_cut_at_any_call_leaves_all_or_nothing),
		T(a_call_that_fails_leaves_all_or_nothing),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
