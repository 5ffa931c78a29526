#include "identity_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "temp_dir.h"

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->umask = umask(0); /* the modes are the store's own, whatever the shell's mask is */
	temp_dir_make(w->root);
	(void)snprintf(w->state_dir, sizeof(w->state_dir), "%s/state", w->root);
	w->pki = agent_pki_new();
	w->chain = calloc(1, sizeof(*w->chain));
	assert_non_null(w->chain);
	assert_int_equal(kt_key_store_file_new(kt_fs_posix(), w->pki->crypto, &w->keys), KT_ERR_OK);
	w->config = (struct kt_identity_config){.state_dir = w->state_dir,
						.key_group = (gid_t)-1,
						.fs = kt_fs_posix(),
						.keys = w->keys,
						.crypto = w->pki->crypto};
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	kt_identity_close(w->store);
	kt_key_store_close(w->keys);
	agent_pki_free(w->pki);
	(void)umask(w->umask);
	temp_dir_remove(w->root);
	free(w->chain);
	free(w);
	return 0;
}

enum kt_err world_open(struct world *w)
{
	kt_identity_close(w->store);
	w->store = NULL;
	return kt_identity_open(&w->config, &w->store, w->why);
}

void world_close(struct world *w)
{
	kt_identity_close(w->store);
	w->store = NULL;
}

/* --- files --- */

struct world_path world_at(const struct world *w, const char *name)
{
	struct world_path path;

	(void)snprintf(path.s, sizeof(path.s), "%s%s%s", w->state_dir, name[0] != '\0' ? "/" : "",
		       name);
	return path;
}

void world_assert_mode(const struct world *w, const char *name, mode_t mode)
{
	struct stat st;

	assert_int_equal(lstat(world_at(w, name).s, &st), 0);
	if ((st.st_mode & 07777) != mode)
		print_error("%s\n", name);
	assert_int_equal(st.st_mode & 07777, mode);
}

bool world_has(const struct world *w, const char *name)
{
	struct stat st;

	return lstat(world_at(w, name).s, &st) == 0;
}

void world_put(const struct world *w, const char *name, const void *bytes, size_t len, mode_t mode)
{
	int fd = open(world_at(w, name).s, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
}

void world_put_vector(const struct world *w, const char *name, const char *vector)
{
	size_t len = 0;
	uint8_t *bytes = read_file(vector, &len);

	world_put(w, name, bytes, len, 0600);
	free(bytes);
}

void world_damage(const struct world *w, const char *name)
{
	int fd = open(world_at(w, name).s, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, 3), 1);
	assert_int_equal(close(fd), 0);
}

void world_assert_link(const struct world *w, const char *want)
{
	char got[64] = "";

	assert_true(readlink(world_at(w, "current").s, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, want);
}

/* --- credentials --- */

void world_chain_for(struct world *w, uint64_t dir, const char *device, uint32_t generation)
{
	char name[64];
	struct kt_public_key key;

	(void)snprintf(name, sizeof(name), "identity/%llu", (unsigned long long)dir);
	assert_int_equal(w->keys->public_key(w->keys->ctx, world_at(w, name).s, &key), KT_ERR_OK);
	agent_pki_chain(w->pki, &key, device, generation, w->chain);
}

enum kt_err world_save_cert(struct world *w, const struct kt_agent_record *record,
			    enum kt_reason *reason, struct kt_fingerprint *fp)
{
	struct kt_cert leaf;
	enum kt_err err = kt_identity_save_cert(w->store, record->pending.dir, record, w->chain,
						&leaf, reason);

	*fp = leaf.fingerprint;
	return err;
}

struct kt_agent_record world_with_key(struct world *w, uint64_t dir)
{
	struct kt_agent_record next;

	if (w->store == NULL)
		assert_int_equal(world_open(w), KT_ERR_OK);
	assert_int_equal(kt_identity_new_key(w->store, dir, KT_ALG_ES256), KT_ERR_OK);
	next = *kt_identity_record(w->store);
	(void)snprintf(next.trust_domain, sizeof(next.trust_domain), PKI_TD);
	next.pending = (struct kt_slot){.dir = dir, .op = dir, .alg = KT_ALG_ES256};
	next.phase = next.active.dir != 0 ? KT_AGENT_KEY : KT_AGENT_NEW;
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	(void)snprintf(next.device.s, sizeof(next.device.s), "hub-17");
	return next;
}

struct kt_agent_record world_with_cert(struct world *w, uint64_t dir)
{
	struct kt_agent_record next = world_with_key(w, dir);
	enum kt_reason reason = KT_REASON_BUSY;

	world_chain_for(w, dir, "hub-17", next.active.generation + 1);
	assert_int_equal(world_save_cert(w, &next, &reason, &next.pending.fp), KT_ERR_OK);
	assert_int_equal(reason, KT_REASON_NONE);
	next.pending.generation = next.active.generation + 1;
	next.phase = KT_AGENT_CERT;
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	return *kt_identity_record(w->store);
}

void world_stable(struct world *w)
{
	struct kt_agent_record next = world_with_cert(w, WORLD_FIRST);

	next.active = next.pending;
	next.pending = (struct kt_slot){0};
	next.op = WORLD_FIRST;
	next.phase = KT_AGENT_STABLE;
	assert_int_equal(kt_identity_save(w->store, &next), KT_ERR_OK);
	assert_int_equal(kt_identity_link(w->store, WORLD_FIRST), KT_ERR_OK);
}
