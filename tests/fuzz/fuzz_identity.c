/*
 * A hub's state directory that somebody has changed: the first byte says how far an enrolment and
 * two rotations had come, then come edits of its files. What opens is complete, opens once more
 * alike, and what is refused for damage is left as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>

#include "agent_record.h"
#include "encoding.h"
#include "fuzz_input.h"
#include "identity_script.h"
#include "rollover.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { STATES_MAX = 64, EDITS_MAX = 16, HASH_HEX = 64, PATH_LEN = 160 };

struct states { /* made once */
	struct agent_pki *pki;
	struct identity_script *script;
	struct fake_fs *at[STATES_MAX];
	unsigned count;
};

static const char *const files[] = {"record.0",
				    "record.1",
				    "root.pem",
				    "current",
				    "identity/5/key.pem",
				    "identity/5/cert.pem",
				    "identity/5/chain.pem",
				    "identity/5/identity.pem",
				    "identity/100/key.pem",
				    "identity/100/cert.pem",
				    "identity/100/identity.pem",
				    "identity/200/key.pem",
				    "identity/200/cert.pem",
				    "identity/200/identity.pem",
				    "identity/7/key.pem",
				    "identity/200.tmp"};

static const struct states *states_get(void)
{
	static struct states s;

	if (s.count > 0)
		return &s;
	s.pki = agent_pki_new();
	s.script = identity_script_new(s.pki);
	s.at[s.count++] = fake_fs_clone(s.script->fs);
	while (s.script->step < identity_script_count() && s.count < STATES_MAX) {
		FUZZ_REQUIRE(identity_script_step(s.script));
		s.at[s.count++] = fake_fs_clone(s.script->fs);
	}
	return &s;
}

static void path_of(unsigned file, char out[static PATH_LEN])
{
	(void)snprintf(out, PATH_LEN, SCRIPT_STATE_DIR "/%s",
		       files[file % (sizeof(files) / sizeof(files[0]))]);
}

static void put(struct fake_fs *fs, const char *path, const void *content, size_t len)
{
	const struct kt_fs *table = fake_fs_table(fs);
	const int fd = table->open(table->ctx, path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		return; /* its directory is not there */
	FUZZ_REQUIRE(len == 0 || table->write(table->ctx, fd, content, len) == (ssize_t)len);
	(void)table->close(table->ctx, fd);
}

/* The JSON of a record, with a hash that is right. */
static void put_record(struct fake_fs *fs, const char *path, struct kt_bytes json)
{
	uint8_t block[KT_AGENT_RECORD_BLOCK];
	char hex[HASH_HEX + 1];
	uint8_t hash[32];

	if (json.len > sizeof(block) - HASH_HEX - 3)
		return;
	memset(block, ' ', sizeof(block));
	kt_sha256(json.p, json.len, hash);
	FUZZ_REQUIRE(kt_hex_encode(hash, sizeof(hash), hex, sizeof(hex)) == KT_ERR_OK);
	memcpy(block, json.p, json.len);
	block[json.len] = '\n';
	memcpy(block + json.len + 1, hex, HASH_HEX);
	block[json.len + 1 + HASH_HEX] = '\n';
	block[sizeof(block) - 1] = '\n';
	put(fs, path, block, sizeof(block));
}

/* Bytes of it are other ones; of a record the hash is made right again. */
static void patch(struct fake_fs *fs, const char *path, struct fuzz_input *in, bool is_record)
{
	size_t len = 0;
	char *content = fake_fs_content(fs, path, &len);
	const size_t at = fuzz_u16(in);
	const struct kt_bytes bytes = fuzz_take(in, fuzz_u8(in) % 64);
	const char *end;

	if (content != NULL && len > 0) {
		const size_t from = at % len;

		memcpy(content + from, bytes.p, bytes.len < len - from ? bytes.len : len - from);
		end = memchr(content, '\n', len);
		if (is_record && end != NULL)
			put_record(fs, path,
				   (struct kt_bytes){(const uint8_t *)content,
						     (size_t)(end - content)});
		else
			put(fs, path, content, len);
	}
	free(content);
}

static void copy(struct fake_fs *fs, const char *from, const char *to)
{
	size_t len = 0;
	char *content = fake_fs_content(fs, from, &len);

	if (content != NULL)
		put(fs, to, content, len);
	free(content);
}

static void edit(struct fake_fs *fs, struct fuzz_input *in)
{
	const struct kt_fs *table = fake_fs_table(fs);
	const unsigned kind = fuzz_below(in, 8);
	char path[PATH_LEN];
	char other[PATH_LEN];
	struct kt_bytes text;
	size_t len = 0;
	char *content;

	path_of(fuzz_u8(in), path);
	switch (kind) {
	case 0:
		(void)table->unlink(table->ctx, path);
		break;
	case 1:
		text = fuzz_take(in, fuzz_u16(in));
		put(fs, path, text.p, text.len);
		break;
	case 2:
		text = fuzz_take(in, fuzz_u16(in));
		put_record(fs, path, text);
		break;
	case 3:
		content = fake_fs_content(fs, path, &len);
		put(fs, path, content, content == NULL ? 0 : fuzz_u16(in) % (len + 1));
		free(content);
		break;
	case 4:
		path_of(fuzz_u8(in), other);
		copy(fs, path, other);
		break;
	case 5:
		(void)fake_fs_spoil(fs, path);
		break;
	default:
		patch(fs, path, in, kind == 6);
		break;
	}
}

static bool is_whole(struct fake_fs *fs, struct kt_identity_store *store, uint64_t dir)
{
	struct kt_public_key key;
	char path[PATH_LEN];
	size_t len = 0;
	char *content;

	if (dir == 0 || !kt_identity_pem_path(store, dir, path, sizeof(path)))
		return false;
	content = fake_fs_content(fs, path, &len);
	free(content);
	return content != NULL && len > 0 && kt_identity_public_key(store, dir, &key) == KT_ERR_OK;
}

/* I1 as far as one store can judge: of what the record names one credential can be used. */
static void check_complete(struct fake_fs *fs, struct kt_identity_store *store)
{
	const struct kt_agent_record *r = kt_identity_record(store);

	FUZZ_REQUIRE(r->phase == KT_AGENT_NEW || is_whole(fs, store, r->active.dir) ||
		     (r->phase == KT_AGENT_CERT && is_whole(fs, store, r->pending.dir)));
}

static enum kt_err open_once(const struct states *s, struct fake_fs *fs, uint64_t *seq)
{
	struct kt_key_store *keys = NULL;
	struct kt_identity_store *store = NULL;
	char why[512] = "";
	const enum kt_err err = identity_script_open(s->script, fs, &keys, &store, why);

	FUZZ_REQUIRE((err == KT_ERR_OK) == (store != NULL));
	FUZZ_REQUIRE(err == KT_ERR_OK || why[0] != '\0');
	*seq = 0;
	if (err == KT_ERR_OK) {
		*seq = kt_identity_record(store)->seq;
		check_complete(fs, store);
	}
	kt_identity_close(store);
	kt_key_store_close(keys);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct states *s = states_get();
	struct fuzz_input in = {bytes, len};
	struct fake_fs *fs = fake_fs_clone(s->at[fuzz_below(&in, s->count)]);
	uint64_t seq = 0;
	uint64_t again = 0;
	enum kt_err err;

	for (unsigned i = 0; i < EDITS_MAX && fuzz_has_more(&in); i++)
		edit(fs, &in);
	err = open_once(s, fs, &seq);
	if (err == KT_ERR_OK)
		FUZZ_REQUIRE(open_once(s, fs, &again) == KT_ERR_OK && again >= seq);
	else if (err == KT_ERR_CORRUPT || err == KT_ERR_VERSION)
		FUZZ_REQUIRE(open_once(s, fs, &again) == err);
	FUZZ_REQUIRE(fake_fs_open_count(fs) == 0);
	fake_fs_free(fs);
	return 0;
}
