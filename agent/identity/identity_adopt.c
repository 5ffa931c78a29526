/* A credential that another CA has issued becomes the hub's first one: generation 0, of no op. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "identity_internal.h"

enum { FIRST_DIR = 1 };

/* The server's certificate of this hub must be for this very key, and a client's. */
static enum kt_err check_leaf(const struct kt_cert *leaf, const struct kt_public_key *key,
			      enum kt_reason *reason)
{
	*reason = KT_REASON_CERT_USE;
	if (leaf->is_ca || (leaf->eku != KT_EKU_NONE && (leaf->eku & KT_EKU_CLIENT) == 0))
		return KT_ERR_VERIFY;
	*reason = KT_REASON_CERT_KEY;
	if (key->alg == KT_ALG_NONE || leaf->key.alg != key->alg ||
	    leaf->key.spki_len != key->spki_len ||
	    memcmp(leaf->key.spki, key->spki, key->spki_len) != 0)
		return KT_ERR_VERIFY;
	*reason = KT_REASON_NONE;
	return KT_ERR_OK;
}

/*
 * Built aside, then renamed. What lies there already is no leftover of ours: those went at the
 * start, unless a copy of the record was lost, and then it may be a key that somebody waits for.
 */
static enum kt_err put_key(struct kt_identity_store *store, struct kt_bytes key_pem,
			   struct kt_identity_path *out)
{
	const struct kt_fs *fs = store->config.fs;
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path tmp;
	struct stat st;
	enum kt_err err = kt_identity_dir(store, FIRST_DIR, "", out);

	if (err == KT_ERR_OK)
		err = kt_identity_dir(store, FIRST_DIR, ".tmp", &tmp);
	if (err == KT_ERR_OK && fs->lstat(fs->ctx, out->s, &st) == 0)
		return KT_ERR_EXISTS;
	if (err == KT_ERR_OK)
		err = kt_dir_remove(fs, tmp.s, kt_identity_private);
	if (err == KT_ERR_OK)
		err = kt_dir_make(fs, tmp.s, kt_identity_dir_mode(store));
	if (err == KT_ERR_OK)
		err = keys->take(keys->ctx, tmp.s, key_pem, kt_identity_key_mode(store));
	if (err == KT_ERR_OK)
		err = kt_path_publish(fs, tmp.s, out->s);
	return err;
}

/* Nobody knows of it yet, and the next start deletes it, too. */
static void drop(struct kt_identity_store *store)
{
	struct kt_identity_path dir;
	int saved = errno;

	if (kt_identity_dir(store, FIRST_DIR, "", &dir) == KT_ERR_OK)
		(void)!kt_dir_remove(store->config.fs, dir.s, kt_identity_private);
	errno = saved;
}

static enum kt_err put_credential(struct kt_identity_store *store, const struct kt_chain *chain,
				  struct kt_bytes key_pem, struct kt_cert *leaf,
				  enum kt_reason *reason)
{
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path dir;
	struct kt_public_key key;
	enum kt_err err = put_key(store, key_pem, &dir);

	*reason = KT_REASON_KEY_STORE;
	if (err == KT_ERR_OK)
		err = keys->public_key(keys->ctx, dir.s, &key);
	if (err == KT_ERR_OK)
		err = check_leaf(leaf, &key, reason);
	if (err != KT_ERR_OK) {
		if (err != KT_ERR_EXISTS)
			drop(store);
		return err;
	}
	*reason = KT_REASON_DISK;
	err = kt_identity_write_cert(store, dir.s, chain);
	if (err != KT_ERR_OK)
		drop(store);
	return err;
}

enum kt_err kt_identity_adopt(struct kt_identity_store *store, const struct kt_device_id *device,
			      const struct kt_chain *chain, struct kt_bytes key_pem,
			      enum kt_reason *reason)
{
	struct kt_agent_record next = store->record;
	struct kt_cert leaf;
	enum kt_err err = KT_ERR_STATE;

	*reason = KT_REASON_STATE;
	if (next.phase != KT_AGENT_NEW || next.pending.dir != 0 || next.trust_domain[0] == '\0' ||
	    !next.has_root)
		return err;
	*reason = KT_REASON_CERT_SYNTAX;
	if (chain->count == 0 || chain->count > KT_CHAIN_MAX)
		return KT_ERR_INVALID;
	err = kt_cert_decode(chain->cert[0].der, chain->cert[0].len, &leaf);
	if (err != KT_ERR_OK)
		return err;
	err = put_credential(store, chain, key_pem, &leaf, reason);
	if (err == KT_ERR_OK) {
		next.phase = KT_AGENT_STABLE;
		next.device = *device;
		next.active = (struct kt_slot){
			.dir = FIRST_DIR, .alg = leaf.key.alg, .fp = leaf.fingerprint};
		*reason = KT_REASON_DISK;
		err = kt_identity_save(store, &next);
	}
	if (err != KT_ERR_OK)
		return err;
	*reason = KT_REASON_NONE;
	/* the next start repairs it from the record */
	(void)!kt_identity_link(store, FIRST_DIR);
	return KT_ERR_OK;
}
