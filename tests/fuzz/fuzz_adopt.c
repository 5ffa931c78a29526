/*
 * An identity from elsewhere: two bytes of length, certificates in PEM, then a key in PEM, into an
 * empty store. What was taken over is whole and for one another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_fs.h"
#include "fuzz_input.h"
#include "identity_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define STATE_DIR "/hub"

static bool read_chain(struct kt_bytes pem, struct kt_chain *out)
{
	struct kt_bytes certs[KT_CHAIN_MAX];
	uint8_t *storage = NULL;

	memset(out, 0, sizeof(*out));
	if (kt_pem_certs(pem.p, pem.len, certs, KT_CHAIN_MAX, &out->count, &storage) != KT_ERR_OK)
		return false;
	for (size_t i = 0; i < out->count; i++) {
		FUZZ_REQUIRE(certs[i].len <= KT_CERT_MAX);
		out->cert[i].len = certs[i].len;
		memcpy(out->cert[i].der, certs[i].p, certs[i].len);
	}
	free(storage);
	return true;
}

/* Read once. */
static struct kt_bytes root_get(void)
{
	static uint8_t text[4096];
	static uint8_t *storage;
	static struct kt_bytes root;
	size_t count = 0;
	FILE *file;

	if (storage != NULL)
		return root;
	file = fopen(KT_VECTORS "/pki/root.pem", "rb");
	FUZZ_REQUIRE(file != NULL);
	FUZZ_REQUIRE(kt_pem_certs(text, fread(text, 1, sizeof(text), file), &root, 1, &count,
				  &storage) == KT_ERR_OK);
	FUZZ_REQUIRE(fclose(file) == 0);
	return root;
}

static void check_taken(struct kt_identity_store *store, const struct kt_chain *chain)
{
	const struct kt_agent_record *r = kt_identity_record(store);
	struct kt_public_key key;
	struct kt_cert leaf;

	FUZZ_REQUIRE(r->phase == KT_AGENT_STABLE && r->active.dir != 0);
	FUZZ_REQUIRE(kt_cert_decode(chain->cert[0].der, chain->cert[0].len, &leaf) == KT_ERR_OK);
	FUZZ_REQUIRE(kt_identity_public_key(store, r->active.dir, &key) == KT_ERR_OK);
	FUZZ_REQUIRE(key.spki_len == leaf.key.spki_len &&
		     memcmp(key.spki, leaf.key.spki, key.spki_len) == 0);
	FUZZ_REQUIRE(kt_fingerprint_eq(&r->active.fp, &leaf.fingerprint));
}

static void try_adopt(struct kt_identity_store *store, struct kt_bytes cert_pem,
		      struct kt_bytes key_pem)
{
	static const struct kt_device_id device = {"hub-17"};
	struct kt_chain *chain = malloc(sizeof(*chain));
	struct kt_agent_record record = *kt_identity_record(store);
	enum kt_reason reason = KT_REASON_NONE;

	FUZZ_REQUIRE(chain != NULL);
	(void)memcpy(record.trust_domain, "example.test", sizeof("example.test"));
	FUZZ_REQUIRE(kt_identity_save(store, &record) == KT_ERR_OK);
	FUZZ_REQUIRE(kt_identity_save_root(store, root_get()) == KT_ERR_OK);
	if (read_chain(cert_pem, chain)) {
		if (kt_identity_adopt(store, &device, chain, key_pem, &reason) == KT_ERR_OK)
			check_taken(store, chain);
		else
			FUZZ_REQUIRE(kt_identity_record(store)->phase == KT_AGENT_NEW);
	}
	free(chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	const struct kt_bytes cert_pem = fuzz_take(&in, fuzz_u16(&in));
	struct fake_fs *fs = fake_fs_new();
	struct kt_identity_config config = {
		.state_dir = STATE_DIR, .key_group = (gid_t)-1, .fs = fake_fs_table(fs)};
	struct kt_identity_store *store = NULL;
	char why[512];

	FUZZ_REQUIRE(kt_crypto_new(&config.crypto) == KT_ERR_OK);
	FUZZ_REQUIRE(kt_key_store_file_new(config.fs, config.crypto, &config.keys) == KT_ERR_OK);
	FUZZ_REQUIRE(kt_identity_open(&config, &store, why) == KT_ERR_OK);
	try_adopt(store, cert_pem, (struct kt_bytes){in.p, in.left});
	kt_identity_close(store);
	kt_key_store_close(config.keys);
	kt_crypto_free(config.crypto);
	FUZZ_REQUIRE(fake_fs_open_count(fs) == 0);
	fake_fs_free(fs);
	return 0;
}
