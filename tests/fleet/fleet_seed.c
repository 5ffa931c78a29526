#include "fleet_seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "identity_store.h"
#include "key_store.h"

/* Where the identity lies, and the op that the hub remembers: lower than any that is to come. */
enum { SEED_DIR = 1, SEED_OP = 1 };

/* A key store that takes the key from the identity in place of making one. */
struct given_keys {
	struct kt_key_store store;
	struct kt_key_store *file; /* does all the rest */
	const struct kt_fs *fs;
	struct kt_secret *key_pem;
};

static enum kt_err given_make(void *ctx, const char *dir, enum kt_alg alg, struct kt_file_mode mode)
{
	struct given_keys *keys = ctx;
	char path[256];

	if (alg != KT_ALG_ES256)
		return KT_ERR_UNSUPPORTED;
	(void)snprintf(path, sizeof(path), "%s/key.pem", dir);
	return kt_file_write(keys->fs, path, kt_secret_view(keys->key_pem), mode);
}

static enum kt_err given_public_key(void *ctx, const char *dir, struct kt_public_key *out)
{
	struct given_keys *keys = ctx;

	return keys->file->public_key(keys->file->ctx, dir, out);
}

static enum kt_err given_pem(void *ctx, const char *dir, struct kt_secret **out)
{
	struct given_keys *keys = ctx;

	return keys->file->pem(keys->file->ctx, dir, out);
}

/* Re-encoded, so that the file is as the key store writes it. */
static enum kt_err open_keys(const struct fleet_seed *seed, struct given_keys *keys)
{
	struct kt_key *key = NULL;
	enum kt_err err = kt_key_from_pem(seed->crypto, seed->identity.p, seed->identity.len, &key);

	if (err == KT_ERR_OK)
		err = kt_key_to_pem(key, &keys->key_pem);
	kt_key_free(key);
	if (err == KT_ERR_OK)
		err = kt_key_store_file_new(seed->fs, seed->crypto, &keys->file);
	keys->fs = seed->fs;
	keys->store = (struct kt_key_store){.ctx = keys,
					    .name = "file",
					    .make = given_make,
					    .public_key = given_public_key,
					    .pem = given_pem};
	return err;
}

static enum kt_err read_chain(const struct fleet_seed *seed, struct kt_chain *chain,
			      struct kt_cert *leaf)
{
	struct kt_bytes certs[KT_CHAIN_MAX];
	uint8_t *storage = NULL;
	enum kt_err err = kt_pem_certs(seed->identity.p, seed->identity.len, certs, KT_CHAIN_MAX,
				       &chain->count, &storage);

	for (size_t i = 0; err == KT_ERR_OK && i < chain->count; i++) {
		chain->cert[i].len = certs[i].len;
		memcpy(chain->cert[i].der, certs[i].p, certs[i].len);
	}
	if (err == KT_ERR_OK)
		err = kt_cert_decode(certs[0].p, certs[0].len, leaf);
	free(storage);
	return err;
}

/* What the store says of an enrolment, step by step as the agent goes. */
static enum kt_err write_identity(struct kt_identity_store *store, struct kt_agent_record *record,
				  const struct kt_chain *chain)
{
	struct kt_cert leaf;
	enum kt_reason reason = KT_REASON_NONE;
	struct kt_slot slot = {.dir = SEED_DIR, .alg = KT_ALG_ES256};
	enum kt_err err = kt_identity_new_key(store, SEED_DIR, KT_ALG_ES256);

	record->phase = KT_AGENT_NEW;
	record->pending = slot;
	if (err == KT_ERR_OK)
		err = kt_identity_save(store, record);
	if (err == KT_ERR_OK)
		err = kt_identity_save_cert(store, SEED_DIR, record, chain, &leaf, &reason);
	if (err != KT_ERR_OK)
		return err;
	slot.op = SEED_OP;
	slot.fp = leaf.fingerprint;
	if (!kt_cert_generation(&leaf, &slot.generation))
		return KT_ERR_INVALID;
	record->phase = KT_AGENT_STABLE;
	record->active = slot;
	record->pending = (struct kt_slot){0};
	record->op = SEED_OP;
	err = kt_identity_save(store, record);
	return err == KT_ERR_OK ? kt_identity_link(store, SEED_DIR) : err;
}

static enum kt_err seed_store(const struct fleet_seed *seed, struct kt_identity_store *store,
			      const struct kt_chain *chain, const struct kt_device_id *device)
{
	struct kt_agent_record record = *kt_identity_record(store);
	enum kt_err err = KT_ERR_OK;

	(void)snprintf(record.trust_domain, sizeof(record.trust_domain), "%s", seed->trust_domain);
	record.device = *device;
	err = kt_identity_save(store, &record);
	if (err == KT_ERR_OK)
		err = kt_identity_save_root(store, seed->root);
	record = *kt_identity_record(store);
	return err == KT_ERR_OK ? write_identity(store, &record, chain) : err;
}

enum kt_err fleet_seed_enrolled(const struct fleet_seed *seed, struct kt_device_id *device)
{
	struct given_keys keys = {.fs = seed->fs};
	struct kt_identity_config config = {.state_dir = FLEET_STATE_DIR,
					    .key_group = (gid_t)-1,
					    .fs = seed->fs,
					    .keys = &keys.store,
					    .crypto = seed->crypto};
	struct kt_chain *chain = calloc(1, sizeof(*chain));
	struct kt_identity_store *store = NULL;
	struct kt_cert leaf;
	char why[512];
	enum kt_err err = chain == NULL ? KT_ERR_NOMEM : read_chain(seed, chain, &leaf);

	if (err == KT_ERR_OK &&
	    !kt_device_id_set(device, leaf.common_name, strlen(leaf.common_name)))
		err = KT_ERR_INVALID;
	if (err == KT_ERR_OK)
		err = open_keys(seed, &keys);
	if (err == KT_ERR_OK)
		err = kt_identity_open(&config, &store, why);
	if (err == KT_ERR_OK)
		err = seed_store(seed, store, chain, device);
	kt_identity_close(store);
	kt_key_store_close(keys.file);
	kt_secret_free(keys.key_pem);
	free(chain);
	return err;
}
