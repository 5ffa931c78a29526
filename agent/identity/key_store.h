/*
 * key_store - where private keys live: files now, TPM 2.0 and PKCS#11 later, behind one table.
 *
 * The private key leaves none of them: a store makes keys, signs our own messages, makes CSRs. Keys
 * are named by the directory that holds their file or reference. One thread.
 */
#ifndef KT_KEY_STORE_H
#define KT_KEY_STORE_H

#include "crypto.h"
#include "durable_file.h"
#include "err.h"
#include "types.h"

struct kt_key_store {
	void *ctx;
	const char *name; /* "file": goes into hello.store */
	/* Makes a key and writes its file or reference into the directory @dir (which exists). */
	enum kt_err (*make)(void *ctx, const char *dir, enum kt_alg alg, struct kt_file_mode mode);
	/* Takes a key from outside (PEM). KT_ERR_INVALID, KT_ERR_UNSUPPORTED. */
	enum kt_err (*take)(void *ctx, const char *dir, struct kt_bytes pem,
			    struct kt_file_mode mode);
	/* The public half. */
	enum kt_err (*public_key)(void *ctx, const char *dir, struct kt_public_key *out);
	/* ES256 over @msg, which must begin with "eyJ" (a JWS signing input), else KT_ERR_DENIED.
	 */
	enum kt_err (*sign)(void *ctx, const char *dir, const uint8_t *msg, size_t len,
			    uint8_t sig[static KT_SIGNATURE_MAX]);
	enum kt_err (*csr)(void *ctx, const char *dir, const char *common_name,
			   const char *challenge, uint8_t out[static KT_CSR_MAX], size_t *out_len);
	/* PEM to put behind the chain in identity.pem; a reference for hardware stores. */
	enum kt_err (*pem)(void *ctx, const char *dir, struct kt_secret **out);
	void (*close)(struct kt_key_store *store);
};

/* key.pem, 0600 (or 0640 for the key group). @fs and @crypto borrowed. */
KT_MUST_CHECK enum kt_err kt_key_store_file_new(const struct kt_fs *fs, struct kt_crypto *crypto,
						struct kt_key_store **out);
/* NULL is fine. */
void kt_key_store_close(struct kt_key_store *store);

#endif
