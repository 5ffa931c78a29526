#include "key_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "fake_fs.h"

/* A private key in a file: its mode, and what it signs. */

struct world {
	char dir[64];
	char path[80];
	struct kt_crypto *crypto;
	struct kt_key_store *keys;
};

static const struct kt_file_mode owner_alone = {0600, (gid_t)-1};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/keyturn-key.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/key.pem", w->dir);
	assert_int_equal(kt_crypto_new(&w->crypto), KT_ERR_OK);
	assert_int_equal(kt_key_store_file_new(kt_fs_posix(), w->crypto, &w->keys), KT_ERR_OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	(void)unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0); /* no temporary is left */
	kt_key_store_close(w->keys);
	kt_crypto_free(w->crypto);
	free(w);
	return 0;
}

static void make(struct world *w)
{
	assert_int_equal(w->keys->make(w->keys->ctx, w->dir, KT_ALG_ES256, owner_alone), KT_ERR_OK);
}

static enum kt_err sign(struct world *w, const char *msg, size_t len, uint8_t *sig)
{
	return w->keys->sign(w->keys->ctx, w->dir, (const uint8_t *)msg, len, sig);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static void a_key_is_the_owners_alone_whatever_the_umask_is(void **state)
{
	static const mode_t masks[] = {0, 0022, 0077};
	struct world *w = *state;
	struct stat st;

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t before = umask(masks[i]);

		make(w);
		(void)umask(before);
		assert_int_equal(lstat(w->path, &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
	}
	assert_string_equal(w->keys->name, "file");
}

static void a_key_group_gets_the_mode_it_is_given(void **state)
{
	struct world *w = *state;
	const struct kt_file_mode mode = {0640, getegid()};
	struct stat st;
	struct kt_public_key key;

	assert_int_equal(w->keys->make(w->keys->ctx, w->dir, KT_ALG_ES256, mode), KT_ERR_OK);
	assert_int_equal(lstat(w->path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &key), KT_ERR_OK);
}

static void no_other_algorithm_and_no_file_of_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->keys->make(w->keys->ctx, w->dir, KT_ALG_NONE, owner_alone),
			 KT_ERR_UNSUPPORTED);
	assert_int_equal(access(w->path, F_OK), -1);
}

static void every_key_is_another(void **state)
{
	struct world *w = *state;
	struct kt_public_key first;
	struct kt_public_key second;

	make(w);
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &first), KT_ERR_OK);
	make(w);
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &second), KT_ERR_OK);
	assert_int_equal(first.alg, KT_ALG_ES256);
	assert_int_equal(first.spki_len, 91);
	assert_memory_not_equal(first.spki, second.spki, 91);
}

static void signs_what_begins_as_a_jws_does(void **state)
{
	static const char msg[] = "eyJhbGciOiJFUzI1NiJ9.e30";
	struct world *w = *state;
	struct kt_public_key key;
	uint8_t sig[KT_SIGNATURE_MAX];

	make(w);
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &key), KT_ERR_OK);
	assert_int_equal(sign(w, msg, sizeof(msg) - 1, sig), KT_ERR_OK);
	assert_int_equal(kt_verify(&key, (const uint8_t *)msg, sizeof(msg) - 1, sig, sizeof(sig)),
			 KT_ERR_OK);
	assert_int_equal(kt_verify(&key, (const uint8_t *)msg, sizeof(msg) - 2, sig, sizeof(sig)),
			 KT_ERR_VERIFY);
}

/* A TLS 1.3 CertificateVerify is 64 blanks and a text, a request begins with a SEQUENCE. */
static void signs_nothing_else(void **state)
{
	static const char tls[] = "                                                                "
				  "TLS 1.3, client CertificateVerify";
	static const struct {
		const char *msg;
		size_t len;
	} inputs[] = {
		{tls, sizeof(tls) - 1},
		{"\x30\x82\x01\x02", 4},
		{"", 0},
		{"e", 1},
		{"ey", 2},
		{"eyK", 3},
		{"EyJ", 3},
		{" eyJ", 4},
		{"\0eyJ", 4},
		{"{\"v\":1}", 7},
	};
	struct world *w = *state;
	uint8_t sig[KT_SIGNATURE_MAX];

	make(w);
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		memset(sig, 0x55, sizeof(sig));
		assert_int_equal(sign(w, inputs[i].msg, inputs[i].len, sig), KT_ERR_DENIED);
		assert_true(is_zero(sig, sizeof(sig)));
	}
}

static void makes_a_request_for_its_key(void **state)
{
	struct world *w = *state;
	struct kt_public_key key;
	struct kt_csr csr;
	uint8_t der[KT_CSR_MAX];
	size_t len = 0;
	enum kt_reason reason = KT_REASON_NONE;

	make(w);
	assert_int_equal(w->keys->csr(w->keys->ctx, w->dir, "hub-17", "bound", der, &len),
			 KT_ERR_OK);
	assert_int_equal(kt_csr_decode(der, len, &csr, &reason), KT_ERR_OK);
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &key), KT_ERR_OK);
	assert_memory_equal(csr.key.spki, key.spki, key.spki_len);
	assert_string_equal(csr.common_name, "hub-17");
	assert_string_equal(csr.challenge_password, "bound");
}

static void hands_out_the_file_as_it_is(void **state)
{
	struct world *w = *state;
	struct kt_secret *pem = NULL;
	size_t len = 0;
	uint8_t *file = NULL;

	make(w);
	file = read_file(w->path, &len);
	assert_int_equal(w->keys->pem(w->keys->ctx, w->dir, &pem), KT_ERR_OK);
	assert_int_equal(kt_secret_len(pem), len);
	assert_memory_equal(kt_secret_bytes(pem), file, len);
	kt_secret_free(pem);
	free(file);
}

/* Whatever is asked of the key: the error, and nothing comes out. */
static void assert_all_fail(struct world *w, enum kt_err want)
{
	struct kt_public_key key;
	struct kt_secret *pem = NULL;
	uint8_t der[KT_CSR_MAX];
	uint8_t sig[KT_SIGNATURE_MAX];
	size_t len = 1;

	memset(&key, 0x55, sizeof(key));
	memset(sig, 0x55, sizeof(sig));
	assert_int_equal(w->keys->public_key(w->keys->ctx, w->dir, &key), want);
	assert_int_equal(key.alg, KT_ALG_NONE);
	assert_int_equal(key.spki_len, 0);
	assert_int_equal(sign(w, "eyJ", 3, sig), want);
	assert_true(is_zero(sig, sizeof(sig)));
	assert_int_equal(w->keys->csr(w->keys->ctx, w->dir, "x", "y", der, &len), want);
	assert_int_equal(len, 0);
	if (want == KT_ERR_INSECURE || want == KT_ERR_NOT_FOUND) {
		assert_int_equal(w->keys->pem(w->keys->ctx, w->dir, &pem), want);
		assert_null(pem);
	}
}

static void a_key_that_others_may_read_is_not_used(void **state)
{
	static const mode_t modes[] = {0604, 0644, 0660, 0666, 0602, 0620, 0601, 0610};
	struct world *w = *state;

	make(w);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(w->path, modes[i]), 0);
		assert_all_fail(w, KT_ERR_INSECURE);
	}
	assert_int_equal(chmod(w->path, 0640), 0); /* one group may, the store sees to which */
	assert_int_equal(sign(w, "eyJ", 3, (uint8_t[KT_SIGNATURE_MAX]){0}), KT_ERR_OK);
	assert_int_equal(chmod(w->path, 0400), 0);
	assert_int_equal(sign(w, "eyJ", 3, (uint8_t[KT_SIGNATURE_MAX]){0}), KT_ERR_OK);
}

static void a_key_that_is_not_there_is_not_found(void **state)
{
	assert_all_fail(*state, KT_ERR_NOT_FOUND);
}

static void put(const struct world *w, const char *text, size_t len)
{
	int fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(close(fd), 0);
}

static void what_is_no_key_is_invalid(void **state)
{
	struct world *w = *state;
	size_t len = 0;
	uint8_t *pem = NULL;

	put(w, "", 0);
	assert_all_fail(w, KT_ERR_INVALID);
	put(w, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 57);
	assert_all_fail(w, KT_ERR_INVALID);
	make(w);
	pem = read_file(w->path, &len);
	put(w, (char *)pem, len / 2); /* half a key */
	assert_all_fail(w, KT_ERR_INVALID);
	free(pem);
}

static void a_key_of_another_curve_is_not_ours(void **state)
{
	struct world *w = *state;
	size_t len = 0;
	uint8_t *pem = read_file(KT_VECTORS "/keys/p384.key", &len);

	put(w, (char *)pem, len);
	free(pem);
	assert_all_fail(w, KT_ERR_UNSUPPORTED);
}

static void a_path_too_long_is_refused(void **state)
{
	struct world *w = *state;
	struct kt_public_key key;
	char dir[5000];

	memset(dir, 'x', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	assert_int_equal(w->keys->make(w->keys->ctx, dir, KT_ALG_ES256, owner_alone),
			 KT_ERR_TOO_LONG);
	assert_int_equal(w->keys->public_key(w->keys->ctx, dir, &key), KT_ERR_TOO_LONG);
}

/* A disk that fails at the n-th call: the key is whole and in its place, or is not there at all. */
static void a_key_is_whole_or_not_there(void **state)
{
	struct world *w = *state;
	unsigned failures = 0;

	for (unsigned n = 1;; n++) {
		struct fake_fs *fs = fake_fs_new();
		struct kt_key_store *keys = NULL;
		struct kt_public_key key;
		size_t len = 0;
		char *content = NULL;
		enum kt_err err;

		assert_int_equal(kt_key_store_file_new(fake_fs_table(fs), w->crypto, &keys),
				 KT_ERR_OK);
		assert_int_equal(kt_dir_make(fake_fs_table(fs), "/k",
					     (struct kt_file_mode){0700, (gid_t)-1}),
				 KT_ERR_OK);
		fake_fs_fail_at(fs, n, 28 /* ENOSPC */);
		err = keys->make(keys->ctx, "/k", KT_ALG_ES256, owner_alone);
		fake_fs_fail_at(fs, 0, 0);
		content = fake_fs_content(fs, "/k/key.pem", &len);
		if (content != NULL)
			assert_int_equal(keys->public_key(keys->ctx, "/k", &key), KT_ERR_OK);
		else
			assert_int_equal(err, KT_ERR_SYS);
		assert_int_equal(fake_fs_open_count(fs), 0);
		free(content);
		kt_key_store_close(keys);
		fake_fs_free(fs);
		if (err == KT_ERR_OK)
			break;
		failures++;
	}
	assert_true(failures >= 5); /* open, write, fsync, rename, fsync of the directory */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_key_is_the_owners_alone_whatever_the_umask_is),
		T(a_key_group_gets_the_mode_it_is_given),
		T(no_other_algorithm_and_no_file_of_it),
		T(every_key_is_another),
		T(signs_what_begins_as_a_jws_does),
		T(signs_nothing_else),
		T(makes_a_request_for_its_key),
		T(hands_out_the_file_as_it_is),
		T(a_key_that_others_may_read_is_not_used),
		T(a_key_that_is_not_there_is_not_found),
		T(what_is_no_key_is_invalid),
		T(a_key_of_another_curve_is_not_ours),
		T(a_path_too_long_is_refused),
		T(a_key_is_whole_or_not_there),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
