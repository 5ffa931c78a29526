/*
 * agent_probe - what a hub's store is worth after a power cut: opens each as the agent does, and
 * tells.
 *
 *   agent_probe            paths of state directories on stdin, one a line
 *
 * Prints for each one line of JSON: what kt_identity_open said, the record, and of each credential
 * that it names whether key, certificate and fingerprint fit together, twice: the second open must
 * find what the first one left. Each directory has a process of its own, so that one that breaks it
 * does not end the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto.h"
#include "durable_file.h"
#include "encoding.h"
#include "identity_store.h"
#include "rollover.h"

enum { PEM_MAX = 65536, LINE_CAP = 4200 };

struct probe {
	struct kt_crypto *crypto;
	struct kt_key_store *keys;
	struct kt_identity_store *store;
};

/* Is there a certificate of this slot for this key? Read afresh: the store's own word is what is
 * tested. */
static bool has_certificate(const struct probe *probe, const struct kt_slot *slot,
			    const struct kt_public_key *key)
{
	struct kt_bytes certs[KT_CHAIN_MAX + 1];
	char path[LINE_CAP + 64];
	struct kt_secret *text = NULL;
	struct kt_cert leaf;
	uint8_t *storage = NULL;
	size_t count = 0;
	bool is_good = false;
	struct kt_bytes view;

	if (!kt_identity_pem_path(probe->store, slot->dir, path, sizeof(path)) ||
	    kt_file_read(kt_fs_posix(), path, PEM_MAX, &text) != KT_ERR_OK)
		return false;
	view = kt_secret_view(text);
	if (kt_pem_certs(view.p, view.len, certs, KT_CHAIN_MAX + 1, &count, &storage) ==
		    KT_ERR_OK &&
	    count > 0 && kt_cert_decode(certs[0].p, certs[0].len, &leaf) == KT_ERR_OK)
		is_good = kt_fingerprint_eq(&leaf.fingerprint, &slot->fp) &&
			  leaf.key.spki_len == key->spki_len &&
			  memcmp(leaf.key.spki, key->spki, key->spki_len) == 0;
	free(storage);
	kt_secret_free(text);
	return is_good;
}

static void put_hex(FILE *out, const char *name, const uint8_t *bytes, size_t len)
{
	(void)fprintf(out, "\"%s\":\"", name);
	for (size_t i = 0; i < len; i++)
		(void)fprintf(out, "%02x", bytes[i]);
	(void)fputs("\",", out);
}

static void put_slot(FILE *out, const struct probe *probe, const char *name,
		     const struct kt_slot *slot)
{
	struct kt_public_key key = {0};
	uint8_t key_id[32] = {0};
	bool has_key = slot->dir != 0 &&
		       kt_identity_public_key(probe->store, slot->dir, &key) == KT_ERR_OK;

	if (has_key)
		kt_sha256(key.spki, key.spki_len, key_id);
	(void)fprintf(out, "\"%s\":{", name);
	put_hex(out, "fp", slot->fp.b, sizeof(slot->fp.b));
	put_hex(out, "key", key_id, sizeof(key_id));
	(void)fprintf(out, "\"dir\":\"%llu\",\"op\":\"%llu\",\"hasKey\":%s,\"hasCert\":%s},",
		      (unsigned long long)slot->dir, (unsigned long long)slot->op,
		      has_key ? "true" : "false",
		      has_key && has_certificate(probe, slot, &key) ? "true" : "false");
}

static void put_record(FILE *out, const struct probe *probe)
{
	const struct kt_agent_record *record = kt_identity_record(probe->store);

	put_slot(out, probe, "active", &record->active);
	put_slot(out, probe, "pending", &record->pending);
	put_slot(out, probe, "retired", &record->retired);
	(void)fprintf(out,
		      "\"phase\":\"%s\",\"step\":\"%s\",\"op\":\"%llu\",\"stepOp\":\"%llu\","
		      "\"device\":\"%s\",\"root\":%s,",
		      kt_agent_phase_name(record->phase), kt_agent_step_name(record->step),
		      (unsigned long long)record->op, (unsigned long long)record->step_op,
		      record->device.s, record->has_root ? "true" : "false");
}

static void put_open(FILE *out, struct probe *probe, const char *name, const char *state_dir)
{
	const struct kt_identity_config config = {.state_dir = state_dir,
						  .key_group = (gid_t)-1,
						  .fs = kt_fs_posix(),
						  .keys = probe->keys,
						  .crypto = probe->crypto};
	char why[512];
	enum kt_err err = kt_identity_open(&config, &probe->store, why);

	for (char *c = why; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '?';
	}
	(void)fprintf(out, "\"%s\":{\"err\":\"%s\",", name, kt_err_name(err));
	if (err == KT_ERR_OK)
		put_record(out, probe);
	(void)fprintf(out, "\"why\":\"%s\"}", why);
	kt_identity_close(probe->store);
	probe->store = NULL;
}

static _Noreturn void tell(const char *state_dir)
{
	struct probe probe = {0};

	if (kt_crypto_new(&probe.crypto) != KT_ERR_OK ||
	    kt_key_store_file_new(kt_fs_posix(), probe.crypto, &probe.keys) != KT_ERR_OK)
		abort();
	(void)fputc('{', stdout);
	put_open(stdout, &probe, "first", state_dir);
	(void)fputc(',', stdout);
	put_open(stdout, &probe, "second", state_dir);
	(void)fputs("}\n", stdout);
	(void)fflush(stdout);
	_exit(0);
}

int main(void)
{
	char line[LINE_CAP];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		int status = 0;
		pid_t pid = 0;

		line[strcspn(line, "\n")] = '\0';
		pid = fork();
		if (pid == 0)
			tell(line);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (status != 0) {
			(void)printf("{\"died\":%d}\n", status);
			(void)fflush(stdout);
		}
	}
	return 0;
}
