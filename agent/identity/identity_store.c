#include "identity_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encoding.h"
#include "identity_internal.h"
#include "jws.h"
#include "topic.h"

const char *const kt_identity_copies[2] = {"record.0", "record.1"};
const char *const kt_identity_private[] = {"key.pem", "identity.pem", NULL};

static enum kt_err path_join(struct kt_identity_path *out, const char *const parts[4])
{
	size_t len = 0;

	for (size_t i = 0; i < 4; i++) {
		size_t more = strlen(parts[i]);

		if (more >= sizeof(out->s) - len)
			return KT_ERR_TOO_LONG;
		memcpy(out->s + len, parts[i], more);
		len += more;
	}
	out->s[len] = '\0';
	return KT_ERR_OK;
}

enum kt_err kt_identity_path(const struct kt_identity_store *store, const char *name,
			     struct kt_identity_path *out)
{
	const char *const parts[4] = {store->state_dir, "/", name, ""};

	return path_join(out, parts);
}

enum kt_err kt_identity_dir(const struct kt_identity_store *store, uint64_t dir, const char *suffix,
			    struct kt_identity_path *out)
{
	char digits[KT_U64_DIGITS_MAX + 1];
	const char *const parts[4] = {store->state_dir, "/identity/", digits, suffix};

	kt_u64_encode(dir, digits);
	return path_join(out, parts);
}

static bool has_group(const struct kt_identity_store *store)
{
	return store->config.key_group != (gid_t)-1;
}

struct kt_file_mode kt_identity_key_mode(const struct kt_identity_store *store)
{
	mode_t mode = S_IRUSR | S_IWUSR | (has_group(store) ? S_IRGRP : 0);

	return (struct kt_file_mode){mode, store->config.key_group};
}

struct kt_file_mode kt_identity_dir_mode(const struct kt_identity_store *store)
{
	mode_t mode = S_IRWXU | (has_group(store) ? S_IRGRP | S_IXGRP : 0);

	return (struct kt_file_mode){mode, store->config.key_group};
}

bool kt_identity_names(const struct kt_agent_record *record, uint64_t dir)
{
	return dir != 0 && (dir == record->active.dir || dir == record->pending.dir ||
			    dir == record->retired.dir);
}

const struct kt_agent_record *kt_identity_record(const struct kt_identity_store *store)
{
	return &store->record;
}

/* --- the record --- */

/* The file keeps its size and its place: nothing but its bytes changes, so nothing else is synced.
 */
static enum kt_err write_in_place(const struct kt_fs *fs, const char *path, const uint8_t *block)
{
	size_t done = 0;
	enum kt_err err = KT_ERR_SYS;
	int saved = 0;
	int fd = fs->open(fs->ctx, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return KT_ERR_SYS;
	while (done < KT_AGENT_RECORD_BLOCK) {
		ssize_t n = fs->pwrite(fs->ctx, fd, block + done, KT_AGENT_RECORD_BLOCK - done,
				       (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			goto out;
		done += (size_t)n;
	}
	if (fs->fsync(fs->ctx, fd) == 0)
		err = KT_ERR_OK;
out:
	saved = errno;
	if (fs->close(fs->ctx, fd) != 0 && err == KT_ERR_OK) {
		err = KT_ERR_SYS;
		saved = errno;
	}
	errno = saved;
	return err;
}

enum kt_err kt_identity_save(struct kt_identity_store *store, const struct kt_agent_record *record)
{
	unsigned target = 1 - store->newest;
	struct kt_agent_record next = *record;
	struct kt_identity_path path;
	uint8_t block[KT_AGENT_RECORD_BLOCK];
	enum kt_err err = kt_identity_path(store, kt_identity_copies[target], &path);

	next.seq = store->record.seq + 1;
	if (err == KT_ERR_OK)
		err = kt_agent_record_encode(&next, block);
	if (err != KT_ERR_OK)
		return err;
	/*
	 * A new file where there is none, so that a copy that exists was whole once; and where a
	 * write failed, because what the kernel dropped then is not written by a second fsync.
	 */
	if (store->copy[target] == KT_COPY_GOOD)
		err = write_in_place(store->config.fs, path.s, block);
	else
		err = kt_file_write(store->config.fs, path.s,
				    (struct kt_bytes){block, sizeof(block)},
				    (struct kt_file_mode){S_IRUSR | S_IWUSR, (gid_t)-1});
	if (err != KT_ERR_OK) {
		store->copy[target] = KT_COPY_DOUBTFUL;
		store->in_doubt = true;
		return err;
	}
	store->copy[target] = KT_COPY_GOOD;
	store->in_doubt = false;
	store->newest = target;
	store->record = next;
	return KT_ERR_OK;
}

/*
 * After a failed save the disk may say the new or the old record. Before anything is deleted or
 * made on the strength of the old one, the disk has to say so too.
 */
static enum kt_err end_doubt(struct kt_identity_store *store)
{
	struct kt_agent_record same = store->record;

	return store->in_doubt ? kt_identity_save(store, &same) : KT_ERR_OK;
}

/* --- keys --- */

/* A key that nobody has heard of yet may go at any time. */
static void drop_quietly(struct kt_identity_store *store, const char *path)
{
	int saved = errno;

	(void)!kt_dir_remove(store->config.fs, path, kt_identity_private);
	errno = saved;
}

/*
 * A directory is published with its key whole, and bears the number of the op that it was made for.
 * If the record that named it was lost, the server may have seen this key: another one for the same
 * op would be a second key, which freezes the hub. So it is taken, KT_ERR_OK; KT_ERR_EXISTS: it is
 * none; else it could not be read this time.
 */
static enum kt_err take_key(struct kt_identity_store *store, uint64_t dir, enum kt_alg alg)
{
	struct kt_public_key key;
	enum kt_err err = KT_ERR_EXISTS;

	if (kt_identity_names(&store->record, dir))
		return err;
	err = kt_identity_public_key(store, dir, &key);
	if (err != KT_ERR_OK)
		return kt_identity_is_gone(err) ? KT_ERR_EXISTS : err;
	return key.alg == alg ? KT_ERR_OK : KT_ERR_EXISTS;
}

enum kt_err kt_identity_new_key(struct kt_identity_store *store, uint64_t dir, enum kt_alg alg)
{
	const struct kt_fs *fs = store->config.fs;
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path tmp;
	struct kt_identity_path path;
	struct stat st;
	enum kt_err err = kt_identity_dir(store, dir, "", &path);

	if (err == KT_ERR_OK)
		err = kt_identity_dir(store, dir, ".tmp", &tmp);
	if (err == KT_ERR_OK)
		err = end_doubt(store);
	if (err != KT_ERR_OK)
		return err;
	if (dir == 0)
		return KT_ERR_INVALID;
	if (fs->lstat(fs->ctx, path.s, &st) == 0)
		return take_key(store, dir, alg);
	if (errno != ENOENT)
		return KT_ERR_SYS;
	err = kt_dir_remove(fs, tmp.s, kt_identity_private);
	if (err == KT_ERR_OK)
		err = kt_dir_make(fs, tmp.s, kt_identity_dir_mode(store));
	if (err == KT_ERR_OK)
		err = keys->make(keys->ctx, tmp.s, alg, kt_identity_key_mode(store));
	if (err == KT_ERR_OK)
		err = kt_path_publish(fs, tmp.s, path.s);
	if (err != KT_ERR_OK) {
		drop_quietly(store, tmp.s);
		drop_quietly(store, path.s);
	}
	return err;
}

enum kt_err kt_identity_public_key(struct kt_identity_store *store, uint64_t dir,
				   struct kt_public_key *out)
{
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path path;
	enum kt_err err = kt_identity_dir(store, dir, "", &path);

	memset(out, 0, sizeof(*out));
	return err == KT_ERR_OK ? keys->public_key(keys->ctx, path.s, out) : err;
}

enum kt_err kt_identity_csr(struct kt_identity_store *store, uint64_t dir, const char *common_name,
			    const char *challenge, uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	struct kt_key_store *keys = store->config.keys;
	struct kt_identity_path path;
	enum kt_err err = kt_identity_dir(store, dir, "", &path);

	*out_len = 0;
	if (err != KT_ERR_OK)
		return err;
	return keys->csr(keys->ctx, path.s, common_name, challenge, out, out_len);
}

struct dir_signer {
	struct kt_key_store *keys;
	struct kt_identity_path path;
};

static enum kt_err sign_with(void *ctx, const uint8_t *msg, size_t len,
			     uint8_t sig[static KT_SIGNATURE_MAX])
{
	const struct dir_signer *signer = ctx;

	return signer->keys->sign(signer->keys->ctx, signer->path.s, msg, len, sig);
}

enum kt_err kt_identity_seal(struct kt_identity_store *store, uint64_t dir, const char *payload,
			     size_t payload_len, char **out, size_t *out_len)
{
	struct dir_signer by = {.keys = store->config.keys};
	const struct kt_signer signer = {.alg = KT_ALG_ES256, .sign = sign_with, .ctx = &by};
	enum kt_err err = kt_identity_dir(store, dir, "", &by.path);

	*out = NULL;
	*out_len = 0;
	if (err != KT_ERR_OK)
		return err;
	return kt_jws_sign(&signer, KT_JWS_FROM_DEVICE, (struct kt_bytes){NULL, 0},
			   (struct kt_bytes){(const uint8_t *)payload, payload_len}, out, out_len);
}

/* --- certificates --- */

/* Ours, for this device, of the shape of DESIGN section 2. */
static enum kt_err check_leaf(struct kt_identity_store *store, const char *dir,
			      const struct kt_agent_record *record, const struct kt_cert *leaf,
			      enum kt_reason *reason)
{
	struct kt_key_store *keys = store->config.keys;
	struct kt_public_key key;
	const char *name = NULL;
	enum kt_err err = keys->public_key(keys->ctx, dir, &key);

	*reason = KT_REASON_KEY_STORE;
	if (err != KT_ERR_OK)
		return err;
	*reason = KT_REASON_CERT_KEY;
	if (leaf->key.alg != key.alg || leaf->key.spki_len != key.spki_len ||
	    memcmp(leaf->key.spki, key.spki, key.spki_len) != 0)
		return KT_ERR_VERIFY;
	*reason = KT_REASON_CERT_CHAIN;
	if (leaf->is_ca || leaf->may_sign_certs || !leaf->may_sign || leaf->eku != KT_EKU_CLIENT)
		return KT_ERR_VERIFY;
	*reason = KT_REASON_ID_MISMATCH;
	if (kt_uri_decode(leaf->uri, record->trust_domain, &name) != KT_URI_DEVICE ||
	    strcmp(name, record->device.s) != 0 || strcmp(leaf->common_name, name) != 0)
		return KT_ERR_VERIFY;
	*reason = KT_REASON_NONE;
	return KT_ERR_OK;
}

struct pem_texts { /* of one chain; owned */
	char *cert[KT_CHAIN_MAX];
	size_t len[KT_CHAIN_MAX];
	size_t count;
};

static void pem_texts_clear(struct pem_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->cert[i]);
	texts->count = 0;
}

static enum kt_err pem_texts_of(const struct kt_chain *chain, struct pem_texts *out)
{
	memset(out, 0, sizeof(*out));
	while (out->count < chain->count) {
		enum kt_err err =
			kt_pem_from_cert(chain->cert[out->count].der, chain->cert[out->count].len,
					 &out->cert[out->count]);

		if (err != KT_ERR_OK)
			return err;
		out->len[out->count] = strlen(out->cert[out->count]);
		out->count++;
	}
	return KT_ERR_OK;
}

/* The certificates from @first on, then @tail (may be NULL), as one secret. */
static enum kt_err join(const struct pem_texts *texts, size_t first, const struct kt_secret *tail,
			struct kt_secret **out)
{
	struct kt_bytes end = tail != NULL ? kt_secret_view(tail) : (struct kt_bytes){NULL, 0};
	size_t len = end.len;
	uint8_t *at = NULL;
	enum kt_err err;

	for (size_t i = first; i < texts->count; i++)
		len += texts->len[i];
	err = kt_secret_new(len, out);
	if (err != KT_ERR_OK)
		return err;
	at = kt_secret_bytes(*out);
	for (size_t i = first; i < texts->count; i++) {
		memcpy(at, texts->cert[i], texts->len[i]);
		at += texts->len[i];
	}
	if (end.len > 0)
		memcpy(at, end.p, end.len);
	return KT_ERR_OK;
}

static enum kt_err write_joined(struct kt_identity_store *store, const char *dir, const char *name,
				const struct kt_secret *content, struct kt_file_mode mode)
{
	struct kt_identity_path path;
	const char *const parts[4] = {dir, "/", name, ""};
	enum kt_err err = path_join(&path, parts);

	if (err != KT_ERR_OK)
		return err;
	return kt_file_write(store->config.fs, path.s, kt_secret_view(content), mode);
}

enum kt_err kt_identity_write_cert(struct kt_identity_store *store, const char *dir,
				   const struct kt_chain *chain)
{
	const struct kt_file_mode readable = {S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, (gid_t)-1};
	struct kt_key_store *keys = store->config.keys;
	struct pem_texts texts;
	struct pem_texts leaf_alone;
	struct kt_secret *key = NULL;
	struct kt_secret *cert = NULL;
	struct kt_secret *issuers = NULL;
	struct kt_secret *identity = NULL;
	enum kt_err err = pem_texts_of(chain, &texts);

	if (err != KT_ERR_OK)
		goto out;
	leaf_alone = texts;
	leaf_alone.count = 1;
	err = keys->pem(keys->ctx, dir, &key);
	if (err == KT_ERR_OK)
		err = join(&leaf_alone, 0, NULL, &cert);
	if (err == KT_ERR_OK)
		err = join(&texts, 1, NULL, &issuers);
	if (err == KT_ERR_OK)
		err = join(&texts, 0, key, &identity);
	if (err == KT_ERR_OK)
		err = write_joined(store, dir, "cert.pem", cert, readable);
	if (err == KT_ERR_OK)
		err = write_joined(store, dir, "chain.pem", issuers, readable);
	if (err == KT_ERR_OK)
		err = write_joined(store, dir, "identity.pem", identity,
				   kt_identity_key_mode(store));
out:
	kt_secret_free(identity);
	kt_secret_free(issuers);
	kt_secret_free(cert);
	kt_secret_free(key);
	pem_texts_clear(&texts);
	return err;
}

enum kt_err kt_identity_save_cert(struct kt_identity_store *store, uint64_t dir,
				  const struct kt_agent_record *record,
				  const struct kt_chain *chain, struct kt_cert *leaf,
				  enum kt_reason *reason)
{
	struct kt_identity_path path;
	enum kt_err err = kt_identity_dir(store, dir, "", &path);

	memset(leaf, 0, sizeof(*leaf));
	*reason = KT_REASON_CERT_CHAIN;
	if (err != KT_ERR_OK)
		return err;
	if (chain->count == 0 || chain->count > KT_CHAIN_MAX)
		return KT_ERR_INVALID;
	err = kt_cert_decode(chain->cert[0].der, chain->cert[0].len, leaf);
	if (err == KT_ERR_OK)
		err = check_leaf(store, path.s, record, leaf, reason);
	if (err != KT_ERR_OK)
		return err;
	*reason = KT_REASON_DISK;
	err = kt_identity_write_cert(store, path.s, chain);
	if (err == KT_ERR_OK)
		*reason = KT_REASON_NONE;
	return err;
}

/* --- the rest --- */

enum kt_err kt_identity_link(struct kt_identity_store *store, uint64_t dir)
{
	struct kt_identity_path path;
	char target[64];
	enum kt_err err = kt_identity_path(store, "current", &path);

	if (err != KT_ERR_OK)
		return err;
	if (dir == 0)
		return KT_ERR_INVALID;
	(void)snprintf(target, sizeof(target), "identity/%llu", (unsigned long long)dir);
	return kt_link_switch(store->config.fs, path.s, target);
}

enum kt_err kt_identity_wipe(struct kt_identity_store *store, uint64_t dir)
{
	struct kt_identity_path path;
	enum kt_err err = kt_identity_dir(store, dir, "", &path);

	if (err != KT_ERR_OK)
		return err;
	if (dir == 0)
		return KT_ERR_INVALID;
	if (dir == store->record.active.dir || dir == store->record.pending.dir)
		return KT_ERR_STATE;
	err = end_doubt(store);
	if (err == KT_ERR_OK)
		err = kt_dir_remove(store->config.fs, path.s, kt_identity_private);
	return err;
}

bool kt_identity_pem_path(const struct kt_identity_store *store, uint64_t dir, char *out,
			  size_t cap)
{
	struct kt_identity_path path;
	int len = 0;

	if (cap > 0)
		out[0] = '\0';
	if (dir == 0 || kt_identity_dir(store, dir, "/identity.pem", &path) != KT_ERR_OK)
		return false;
	len = snprintf(out, cap, "%s", path.s);
	return len > 0 && (size_t)len < cap;
}

bool kt_identity_current_path(const struct kt_identity_store *store, char *out, size_t cap)
{
	struct kt_identity_path path;
	int len = 0;

	if (cap > 0)
		out[0] = '\0';
	if (kt_identity_path(store, "current", &path) != KT_ERR_OK)
		return false;
	len = snprintf(out, cap, "%s", path.s);
	return len > 0 && (size_t)len < cap;
}

enum kt_err kt_identity_save_root(struct kt_identity_store *store, struct kt_bytes der)
{
	struct kt_agent_record next = store->record;
	struct kt_identity_path path;
	struct kt_cert cert;
	char *pem = NULL;
	enum kt_err err = kt_identity_path(store, "root.pem", &path);

	if (err == KT_ERR_OK)
		err = kt_cert_decode(der.p, der.len, &cert);
	if (err != KT_ERR_OK)
		return err;
	if (!cert.is_ca)
		return KT_ERR_VERIFY;
	if (next.has_root &&
	    memcmp(next.root_sha256, cert.fingerprint.b, sizeof(next.root_sha256)) != 0)
		return KT_ERR_EXISTS;
	err = kt_pem_from_cert(der.p, der.len, &pem);
	if (err == KT_ERR_OK)
		err = kt_file_write(
			store->config.fs, path.s,
			(struct kt_bytes){(const uint8_t *)pem, strlen(pem)},
			(struct kt_file_mode){S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, (gid_t)-1});
	free(pem);
	if (err != KT_ERR_OK || next.has_root)
		return err;
	next.has_root = true;
	memcpy(next.root_sha256, cert.fingerprint.b, sizeof(next.root_sha256));
	return kt_identity_save(store, &next);
}

enum kt_err kt_identity_root(struct kt_identity_store *store, uint8_t out[static KT_CERT_MAX],
			     size_t *out_len)
{
	struct kt_identity_path path;
	struct kt_secret *pem = NULL;
	struct kt_bytes view;
	struct kt_bytes cert;
	uint8_t *storage = NULL;
	size_t count = 0;
	struct kt_fingerprint fp;
	enum kt_err err = KT_ERR_NOT_FOUND;

	*out_len = 0;
	if (!store->record.has_root)
		return err;
	err = kt_identity_path(store, "root.pem", &path);
	if (err == KT_ERR_OK)
		err = kt_file_read(store->config.fs, path.s, KT_IDENTITY_PEM_MAX, &pem);
	if (err != KT_ERR_OK)
		return err == KT_ERR_NOT_FOUND ? KT_ERR_CORRUPT : err;
	view = kt_secret_view(pem);
	err = kt_pem_certs(view.p, view.len, &cert, 1, &count, &storage);
	if (err != KT_ERR_OK)
		goto out;
	err = KT_ERR_CORRUPT;
	fp = kt_fingerprint_of(cert.p, cert.len);
	if (cert.len > KT_CERT_MAX ||
	    memcmp(fp.b, store->record.root_sha256, sizeof(store->record.root_sha256)) != 0)
		goto out;
	memcpy(out, cert.p, cert.len);
	*out_len = cert.len;
	err = KT_ERR_OK;
out:
	free(storage);
	kt_secret_free(pem);
	return err;
}
