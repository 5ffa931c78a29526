#include "identity_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ENROL_DIR = 5, FIRST_OP = 100, SECOND_OP = 200 };

struct identity_script *identity_script_new(struct agent_pki *pki)
{
	struct identity_script *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->pki = pki;
	s->fs = fake_fs_new();
	fake_fs_put(s->fs, "/var/lib/other", "x");
	return s;
}

static void close_store(struct identity_script *s)
{
	kt_identity_close(s->store);
	kt_key_store_close(s->keys);
	s->store = NULL;
	s->keys = NULL;
}

void identity_script_free(struct identity_script *s)
{
	close_store(s);
	fake_fs_free(s->fs);
	free(s);
}

/* --- a key store that remembers what it has read before --- */

struct quick_store {
	struct kt_key_store store;
	struct kt_key_store *real;
	struct identity_script *script;
};

static enum kt_err known_public_key(struct identity_script *s, struct kt_bytes pem,
				    struct kt_public_key *out)
{
	uint8_t hash[32];
	struct kt_key *key = NULL;
	enum kt_err err = KT_ERR_OK;

	kt_sha256(pem.p, pem.len, hash);
	for (size_t i = 0; i < s->known_count; i++) {
		if (memcmp(s->known[i].pem_sha256, hash, sizeof(hash)) == 0) {
			*out = s->known[i].key;
			return KT_ERR_OK;
		}
	}
	err = kt_key_from_pem(s->pki->crypto, pem.p, pem.len, &key);
	if (err != KT_ERR_OK)
		return err;
	*out = *kt_key_public(key);
	kt_key_free(key);
	if (s->known_count < KNOWN_KEYS) {
		memcpy(s->known[s->known_count].pem_sha256, hash, sizeof(hash));
		s->known[s->known_count++].key = *out;
	}
	return KT_ERR_OK;
}

static enum kt_err quick_make(void *ctx, const char *dir, enum kt_alg alg, struct kt_file_mode mode)
{
	const struct quick_store *q = ctx;

	return q->real->make(q->real->ctx, dir, alg, mode);
}

static enum kt_err quick_public_key(void *ctx, const char *dir, struct kt_public_key *out)
{
	const struct quick_store *q = ctx;
	struct kt_secret *pem = NULL;
	enum kt_err err = q->real->pem(q->real->ctx, dir, &pem);

	if (err == KT_ERR_OK)
		err = known_public_key(q->script, kt_secret_view(pem), out);
	kt_secret_free(pem);
	return err;
}

static enum kt_err quick_pem(void *ctx, const char *dir, struct kt_secret **out)
{
	const struct quick_store *q = ctx;

	return q->real->pem(q->real->ctx, dir, out);
}

static void quick_close(struct kt_key_store *store)
{
	struct quick_store *q = store->ctx;

	kt_key_store_close(q->real);
	free(q);
}

static enum kt_err quick_store_new(struct identity_script *s, const struct kt_fs *fs,
				   struct kt_key_store **out)
{
	struct quick_store *q = calloc(1, sizeof(*q));
	enum kt_err err = KT_ERR_NOMEM;

	assert_non_null(q);
	err = kt_key_store_file_new(fs, s->pki->crypto, &q->real);
	q->script = s;
	q->store = (struct kt_key_store){.ctx = q,
					 .name = "file",
					 .make = quick_make,
					 .public_key = quick_public_key,
					 .pem = quick_pem,
					 .close = quick_close};
	*out = &q->store;
	return err;
}

enum kt_err identity_script_open(struct identity_script *s, struct fake_fs *fs,
				 struct kt_key_store **keys, struct kt_identity_store **out,
				 char why[static 512])
{
	struct kt_identity_config config = {.state_dir = SCRIPT_STATE_DIR,
					    .key_group = (gid_t)-1,
					    .fs = fake_fs_table(fs),
					    .crypto = s->pki->crypto};
	enum kt_err err = KT_ERR_OK;

	assert_int_equal(quick_store_new(s, config.fs, keys), KT_ERR_OK);
	config.keys = *keys;
	err = kt_identity_open(&config, out, why);
	if (err != KT_ERR_OK) {
		kt_key_store_close(*keys);
		*keys = NULL;
	}
	return err;
}

/* --- the steps: what the core does, in its order --- */

static enum kt_err open_store(struct identity_script *s)
{
	char why[512];
	enum kt_err err = KT_ERR_OK;

	close_store(s);
	err = identity_script_open(s, s->fs, &s->keys, &s->store, why);
	s->was_told = s->was_told || why[0] != '\0';
	return err;
}

static enum kt_err provision(struct identity_script *s)
{
	struct kt_agent_record next = *kt_identity_record(s->store);

	(void)snprintf(next.trust_domain, sizeof(next.trust_domain), "%s", PKI_TD);
	return kt_identity_save(s->store, &next);
}

static enum kt_err pin_root(struct identity_script *s)
{
	return kt_identity_save_root(s->store, cert_view(&s->pki->root));
}

static enum kt_err new_key_in(struct identity_script *s, uint64_t dir)
{
	enum kt_err err = kt_identity_new_key(s->store, dir, KT_ALG_ES256);

	if (err == KT_ERR_EXISTS) {
		err = kt_identity_wipe(s->store, dir);
		if (err == KT_ERR_OK)
			err = kt_identity_new_key(s->store, dir, KT_ALG_ES256);
	}
	return err;
}

static enum kt_err save_key(struct identity_script *s, uint64_t dir, enum kt_agent_phase phase)
{
	struct kt_agent_record next = *kt_identity_record(s->store);
	enum kt_err err = KT_ERR_OK;

	next.pending = (struct kt_slot){.dir = dir, .op = dir, .alg = KT_ALG_ES256};
	next.phase = phase;
	if (phase == KT_AGENT_KEY)
		next.op = dir;
	err = kt_identity_save(s->store, &next);
	if (err != KT_ERR_OK)
		(void)!kt_identity_wipe(s->store, dir);
	return err;
}

static enum kt_err enrol_key(struct identity_script *s)
{
	enum kt_err err = new_key_in(s, ENROL_DIR);

	return err == KT_ERR_OK ? save_key(s, ENROL_DIR, KT_AGENT_NEW) : err;
}

static enum kt_err first_key(struct identity_script *s)
{
	enum kt_err err = new_key_in(s, FIRST_OP);

	return err == KT_ERR_OK ? save_key(s, FIRST_OP, KT_AGENT_KEY) : err;
}

static enum kt_err second_key(struct identity_script *s)
{
	enum kt_err err = new_key_in(s, SECOND_OP);

	return err == KT_ERR_OK ? save_key(s, SECOND_OP, KT_AGENT_KEY) : err;
}

/* The server issues once, for the key of the CSR; from then on it accepts both. */
static enum kt_err server_issues(struct identity_script *s)
{
	const struct kt_agent_record *record = kt_identity_record(s->store);
	char dir[128];
	struct kt_public_key key;
	enum kt_err err = KT_ERR_OK;

	(void)snprintf(dir, sizeof(dir), SCRIPT_STATE_DIR "/identity/%llu",
		       (unsigned long long)record->pending.dir);
	err = s->keys->public_key(s->keys->ctx, dir, &key);
	if (err != KT_ERR_OK)
		return err;
	agent_pki_chain(s->pki, &key, SCRIPT_DEVICE, record->active.generation + 1, &s->chain);
	s->accepted[1] = kt_fingerprint_of(s->chain.cert[0].der, s->chain.cert[0].len);
	return KT_ERR_OK;
}

static enum kt_err save_cert(struct identity_script *s)
{
	struct kt_agent_record next = *kt_identity_record(s->store);
	struct kt_cert leaf;
	enum kt_reason reason = KT_REASON_NONE;
	enum kt_err err = KT_ERR_OK;

	assert_true(kt_device_id_set(&next.device, SCRIPT_DEVICE, strlen(SCRIPT_DEVICE)));
	err = kt_identity_save_cert(s->store, next.pending.dir, &next, &s->chain, &leaf, &reason);
	if (err != KT_ERR_OK) {
		assert_true(reason == KT_REASON_DISK || reason == KT_REASON_KEY_STORE);
		return err;
	}
	next.pending.fp = leaf.fingerprint;
	next.pending.generation = next.active.generation + 1;
	next.phase = KT_AGENT_CERT;
	return kt_identity_save(s->store, &next);
}

/* `confirm` arrived: from here on the old credential opens no session. */
static enum kt_err server_commits(struct identity_script *s)
{
	s->accepted[0] = s->accepted[1];
	memset(&s->accepted[1], 0, sizeof(s->accepted[1]));
	return KT_ERR_OK;
}

static enum kt_err commit(struct identity_script *s)
{
	struct kt_agent_record next = *kt_identity_record(s->store);

	next.retired = next.active;
	next.active = next.pending;
	next.pending = (struct kt_slot){0};
	next.phase = KT_AGENT_STABLE;
	next.step = KT_STEP_LINK;
	return kt_identity_save(s->store, &next);
}

static enum kt_err save_step(struct identity_script *s, enum kt_agent_step step)
{
	struct kt_agent_record next = *kt_identity_record(s->store);

	next.step = step;
	if (step == KT_STEP_PROMOTED)
		next.retired = (struct kt_slot){0};
	return kt_identity_save(s->store, &next);
}

static enum kt_err link_current(struct identity_script *s)
{
	enum kt_err err = kt_identity_link(s->store, kt_identity_record(s->store)->active.dir);

	return err == KT_ERR_OK ? save_step(s, KT_STEP_HOOKS) : err;
}

static enum kt_err hooks_ran(struct identity_script *s)
{
	return save_step(s, KT_STEP_WIPE);
}

static enum kt_err wipe_old(struct identity_script *s)
{
	uint64_t dir = kt_identity_record(s->store)->retired.dir;
	enum kt_err err = dir != 0 ? kt_identity_wipe(s->store, dir) : KT_ERR_OK;

	return err == KT_ERR_OK ? save_step(s, KT_STEP_PROMOTED) : err;
}

static enum kt_err noted(struct identity_script *s)
{
	return save_step(s, KT_STEP_NONE);
}

static const struct {
	const char *name;
	enum kt_err (*run)(struct identity_script *s);
} steps[] = {
	{"open", open_store},
	{"provision", provision},
	{"pin root", pin_root},
	{"enrolment key", enrol_key},
	{"issue", server_issues},
	{"save cert", save_cert},
	{"server commits", server_commits},
	{"commit", commit},
	{"link", link_current},
	{"hooks", hooks_ran},
	{"wipe", wipe_old},
	{"noted", noted},
	{"first key", first_key},
	{"issue", server_issues},
	{"save cert", save_cert},
	{"server commits", server_commits},
	{"commit", commit},
	{"link", link_current},
	{"hooks", hooks_ran},
	{"wipe", wipe_old},
	{"noted", noted},
	{"restart", open_store},
	{"second key", second_key},
	{"issue", server_issues},
	{"save cert", save_cert},
	{"restart", open_store},
	{"server commits", server_commits},
	{"commit", commit},
	{"restart", open_store},
	{"link", link_current},
	{"hooks", hooks_ran},
	{"wipe", wipe_old},
	{"noted", noted},
	{"restart", open_store},
};

size_t identity_script_count(void)
{
	return sizeof(steps) / sizeof(steps[0]);
}

const char *identity_script_name(size_t step)
{
	return steps[step].name;
}

bool identity_script_step(struct identity_script *s)
{
	if (steps[s->step].run(s) != KT_ERR_OK) {
		s->failures++;
		return false;
	}
	s->step++;
	return true;
}

void identity_script_run(struct identity_script *s, unsigned tries)
{
	unsigned left = tries;

	while (s->step < identity_script_count()) {
		size_t step = s->step;

		if (!identity_script_step(s) && left-- == 0)
			fail_msg("step %zu, %s, does not succeed", step, steps[step].name);
		if (s->step != step)
			left = tries;
	}
}

/* --- the question --- */

static bool is_accepted(const struct identity_script *s, const struct kt_slot *slot)
{
	static const struct kt_fingerprint none;

	return slot->dir != 0 && !kt_fingerprint_eq(&slot->fp, &none) &&
	       (kt_fingerprint_eq(&slot->fp, &s->accepted[0]) ||
		kt_fingerprint_eq(&slot->fp, &s->accepted[1]));
}

/* identity.pem: the leaf with that fingerprint, its key behind the chain. */
static bool is_complete(struct identity_script *s, struct fake_fs *fs, const struct kt_slot *slot)
{
	char path[256];
	struct kt_bytes certs[3];
	uint8_t *storage = NULL;
	size_t count = 0;
	size_t len = 0;
	char *text = NULL;
	const char *key_text = NULL;
	struct kt_public_key key;
	struct kt_cert leaf;
	bool is_good = false;

	(void)snprintf(path, sizeof(path), SCRIPT_STATE_DIR "/identity/%llu/identity.pem",
		       (unsigned long long)slot->dir);
	text = fake_fs_content(fs, path, &len);
	if (text == NULL)
		return false;
	if (kt_pem_certs((const uint8_t *)text, len, certs, 3, &count, &storage) == KT_ERR_OK &&
	    count == 2 && kt_cert_decode(certs[0].p, certs[0].len, &leaf) == KT_ERR_OK &&
	    kt_fingerprint_eq(&leaf.fingerprint, &slot->fp))
		key_text = strstr(text, "-----BEGIN PRIVATE KEY-----");
	if (key_text != NULL && known_public_key(s,
						 (struct kt_bytes){(const uint8_t *)key_text,
								   len - (size_t)(key_text - text)},
						 &key) == KT_ERR_OK)
		is_good = memcmp(key.spki, leaf.key.spki, leaf.key.spki_len) == 0;
	free(storage);
	free(text);
	return is_good;
}

static void check_link(struct fake_fs *fs, const struct kt_slot *active)
{
	const struct kt_fs *table = fake_fs_table(fs);
	char want[64];
	char is[64] = "";
	ssize_t len = table->readlink(table->ctx, SCRIPT_STATE_DIR "/current", is, sizeof(is) - 1);

	if (active->dir == 0) {
		assert_int_equal(len, -1);
		return;
	}
	(void)snprintf(want, sizeof(want), "identity/%llu", (unsigned long long)active->dir);
	assert_string_equal(is, want);
}

/* Nothing is wanted before the server accepts anything. */
static bool has_a_way_in(struct identity_script *s, struct fake_fs *fs,
			 const struct kt_agent_record *record)
{
	static const struct kt_fingerprint none;

	if (kt_fingerprint_eq(&s->accepted[0], &none))
		return true;
	if (is_accepted(s, &record->active) && is_complete(s, fs, &record->active))
		return true;
	return record->phase == KT_AGENT_CERT && is_accepted(s, &record->pending) &&
	       is_complete(s, fs, &record->pending);
}

bool identity_script_check_alone(struct identity_script *s, struct fake_fs *fs)
{
	struct kt_identity_store *store = NULL;
	struct kt_key_store *keys = NULL;
	const struct kt_agent_record *record = NULL;
	char why[512];
	enum kt_err err = identity_script_open(s, fs, &keys, &store, why);

	if (err != KT_ERR_OK) { /* it is the only good one: the disk may give it back */
		assert_int_equal(err, KT_ERR_SYS);
		assert_non_null(strstr(why, "no other good copy"));
		return false;
	}
	assert_string_not_equal(why, "");
	record = kt_identity_record(store);
	/* an enrolment that had not reached the record yet: a new ticket */
	if (record->phase != KT_AGENT_NEW && !has_a_way_in(s, fs, record))
		fail_msg("in step %zu, %s: locked out in phase %d", s->step, steps[s->step].name,
			 (int)record->phase);
	kt_identity_close(store);
	kt_key_store_close(keys);
	assert_int_equal(fake_fs_open_count(fs), 0);
	return true;
}

void identity_script_check(struct identity_script *s, struct fake_fs *fs)
{
	struct kt_identity_store *store = NULL;
	struct kt_key_store *keys = NULL;
	const struct kt_agent_record *record = NULL;
	char why[512];
	enum kt_err err = identity_script_open(s, fs, &keys, &store, why);

	if (err != KT_ERR_OK)
		fail_msg("in step %zu, %s: does not open: %s: %s", s->step, steps[s->step].name,
			 kt_err_name(err), why);
	assert_string_equal(why, "");
	record = kt_identity_record(store);
	if (!has_a_way_in(s, fs, record))
		fail_msg("in step %zu, %s: locked out in phase %d", s->step, steps[s->step].name,
			 (int)record->phase);
	check_link(fs, &record->active);
	kt_identity_close(store);
	kt_key_store_close(keys);
	assert_int_equal(fake_fs_open_count(fs), 0);
}
