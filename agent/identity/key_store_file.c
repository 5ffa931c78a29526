#include "key_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_CAP = 4096, PEM_MAX = 4096, PREFIX_LEN = 3 };

struct file_store {
	struct kt_key_store store;
	const struct kt_fs *fs;
	struct kt_crypto *crypto;
};

static enum kt_err key_path(char out[static PATH_CAP], const char *dir)
{
	int len = snprintf(out, PATH_CAP, "%s/key.pem", dir);

	return len > 0 && len < PATH_CAP ? KT_ERR_OK : KT_ERR_TOO_LONG;
}

static enum kt_err make(void *ctx, const char *dir, enum kt_alg alg, struct kt_file_mode mode)
{
	const struct file_store *s = ctx;
	struct kt_key *key = NULL;
	struct kt_secret *pem = NULL;
	char path[PATH_CAP];
	enum kt_err err = key_path(path, dir);

	if (err == KT_ERR_OK)
		err = kt_key_new(s->crypto, alg, &key);
	if (err == KT_ERR_OK)
		err = kt_key_to_pem(key, &pem);
	if (err == KT_ERR_OK)
		err = kt_file_write(s->fs, path, kt_secret_view(pem), mode);
	kt_secret_free(pem);
	kt_key_free(key);
	return err;
}

static enum kt_err take(void *ctx, const char *dir, struct kt_bytes pem, struct kt_file_mode mode)
{
	const struct file_store *s = ctx;
	struct kt_key *key = NULL;
	struct kt_secret *own = NULL; /* as we write it, whatever else stood in the file */
	char path[PATH_CAP];
	enum kt_err err = key_path(path, dir);

	if (err == KT_ERR_OK)
		err = kt_key_from_pem(s->crypto, pem.p, pem.len, &key);
	if (err == KT_ERR_OK)
		err = kt_key_to_pem(key, &own);
	if (err == KT_ERR_OK)
		err = kt_file_write(s->fs, path, kt_secret_view(own), mode);
	kt_secret_free(own);
	kt_key_free(key);
	return err;
}

/* Read for each use: no private key stays in memory while nothing is to be signed. */
static enum kt_err load_pem(const struct file_store *s, const char *dir, struct kt_secret **out)
{
	char path[PATH_CAP];
	enum kt_err err = key_path(path, dir);

	*out = NULL;
	if (err != KT_ERR_OK)
		return err;
	return kt_file_read_private(s->fs, path, PEM_MAX, S_IRGRP, out);
}

static enum kt_err load(const struct file_store *s, const char *dir, struct kt_key **out)
{
	struct kt_secret *pem = NULL;
	struct kt_bytes view;
	enum kt_err err = load_pem(s, dir, &pem);

	*out = NULL;
	if (err != KT_ERR_OK)
		return err;
	view = kt_secret_view(pem);
	err = kt_key_from_pem(s->crypto, view.p, view.len, out);
	kt_secret_free(pem);
	return err;
}

static enum kt_err public_key(void *ctx, const char *dir, struct kt_public_key *out)
{
	const struct file_store *s = ctx;
	struct kt_key *key = NULL;
	enum kt_err err = load(s, dir, &key);

	memset(out, 0, sizeof(*out));
	if (err == KT_ERR_OK)
		*out = *kt_key_public(key);
	kt_key_free(key);
	return err;
}

static enum kt_err sign(void *ctx, const char *dir, const uint8_t *msg, size_t len,
			uint8_t sig[static KT_SIGNATURE_MAX])
{
	const struct file_store *s = ctx;
	struct kt_key *key = NULL;
	enum kt_err err = KT_ERR_DENIED;

	memset(sig, 0, KT_SIGNATURE_MAX);
	/* base64url of '{"': neither a TLS handshake nor a certificate request begins so */
	if (len < PREFIX_LEN || memcmp(msg, "eyJ", PREFIX_LEN) != 0)
		return err;
	err = load(s, dir, &key);
	if (err == KT_ERR_OK)
		err = kt_key_sign(s->crypto, key, msg, len, sig);
	kt_key_free(key);
	return err;
}

static enum kt_err csr(void *ctx, const char *dir, const char *common_name, const char *challenge,
		       uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	const struct file_store *s = ctx;
	struct kt_key *key = NULL;
	enum kt_err err = load(s, dir, &key);

	*out_len = 0;
	if (err == KT_ERR_OK)
		err = kt_csr_new(s->crypto, key, common_name, challenge, out, out_len);
	kt_key_free(key);
	return err;
}

static enum kt_err pem_of(void *ctx, const char *dir, struct kt_secret **out)
{
	const struct file_store *s = ctx;

	return load_pem(s, dir, out);
}

static void close_store(struct kt_key_store *store)
{
	free(store->ctx);
}

enum kt_err kt_key_store_file_new(const struct kt_fs *fs, struct kt_crypto *crypto,
				  struct kt_key_store **out)
{
	struct file_store *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (s == NULL)
		return KT_ERR_NOMEM;
	s->fs = fs;
	s->crypto = crypto;
	s->store = (struct kt_key_store){
		.ctx = s,
		.name = "file",
		.make = make,
		.take = take,
		.public_key = public_key,
		.sign = sign,
		.csr = csr,
		.pem = pem_of,
		.close = close_store,
	};
	*out = &s->store;
	return KT_ERR_OK;
}

void kt_key_store_close(struct kt_key_store *store)
{
	if (store != NULL)
		store->close(store);
}
