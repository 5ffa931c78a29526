#include "adopt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 65536 };

__attribute__((format(printf, 3, 4))) static enum kt_err
complain(char why[static KT_HUB_WHY_MAX], enum kt_err err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, KT_HUB_WHY_MAX, format, args);
	va_end(args);
	return err;
}

static enum kt_err complain_file(char why[static KT_HUB_WHY_MAX], enum kt_err err, const char *path)
{
	char text[KT_ERR_CAUSE_MAX];

	return complain(why, err, "%s: %s", path, kt_err_cause(err, errno, text));
}

static enum kt_err read_chain(const char *path, struct kt_chain *out,
			      char why[static KT_HUB_WHY_MAX])
{
	struct kt_bytes certs[KT_CHAIN_MAX];
	struct kt_secret *text = NULL; /* a key may stand behind it */
	uint8_t *storage = NULL;
	enum kt_err err = kt_file_read(kt_fs_posix(), path, PEM_MAX, &text);

	if (err == KT_ERR_OK)
		err = kt_pem_certs(kt_secret_view(text).p, kt_secret_view(text).len, certs,
				   KT_CHAIN_MAX, &out->count, &storage);
	for (size_t i = 0; err == KT_ERR_OK && i < out->count; i++) {
		out->cert[i].len = certs[i].len;
		memcpy(out->cert[i].der, certs[i].p, certs[i].len);
	}
	free(storage);
	kt_secret_free(text);
	return err == KT_ERR_OK ? err : complain_file(why, err, path);
}

static enum kt_err find_device(const struct kt_hub *hub, const struct kt_cert *leaf,
			       const char *path, struct kt_device_id *out,
			       char why[static KT_HUB_WHY_MAX])
{
	const char *name = hub->config->device[0] != '\0' ? hub->config->device : leaf->common_name;

	if (kt_device_id_set(out, name, strlen(name)))
		return KT_ERR_OK;
	return complain(why, KT_ERR_INVALID,
			"%s: its common name is no device id: set device to the one that it was "
			"imported for",
			path);
}

static enum kt_err check_state(const struct kt_hub *hub, const struct kt_cert *leaf,
			       char why[static KT_HUB_WHY_MAX])
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);

	if (record->phase == KT_AGENT_STABLE &&
	    kt_fingerprint_eq(&record->active.fp, &leaf->fingerprint))
		return complain(why, KT_ERR_EXISTS, "this hub has it already, as %s",
				record->device.s);
	if (record->phase != KT_AGENT_NEW || record->pending.dir != 0)
		return complain(why, KT_ERR_STATE,
				"this hub has an identity, or is about to get one; `status` shows "
				"it");
	if (hub->has_ticket)
		return complain(why, KT_ERR_STATE,
				"ticket_file is set: enrol with it, or leave it out");
	if (!record->has_root)
		return complain(why, KT_ERR_MISSING_FIELD,
				"root_cert is missing: the root that Keyturn's commands come from");
	return KT_ERR_OK;
}

static enum kt_err store(struct kt_hub *hub, const struct kt_adopt_files *files,
			 const struct kt_device_id *device, const struct kt_chain *chain,
			 char why[static KT_HUB_WHY_MAX])
{
	struct kt_secret *key = NULL;
	enum kt_reason reason;
	enum kt_err err = kt_file_read_private(kt_fs_posix(), files->key, PEM_MAX, 040, &key);

	if (err != KT_ERR_OK)
		return complain_file(why, err, files->key);
	err = kt_identity_adopt(hub->store, device, chain, kt_secret_view(key), &reason);
	kt_secret_free(key);
	if (err == KT_ERR_VERIFY)
		return complain(why, err, "%s: %s", files->cert,
				reason == KT_REASON_CERT_KEY ? "is not for this key"
							     : "is not a client's certificate");
	if (err == KT_ERR_UNSUPPORTED || err == KT_ERR_INVALID)
		return complain(why, err,
				"%s: is no P-256 key in PEM: this hub moves over with a ticket "
				"(enroll)",
				files->key);
	return err == KT_ERR_OK ? err : complain_file(why, err, hub->config->state_dir);
}

enum kt_err kt_adopt(struct kt_hub *hub, const struct kt_adopt_files *files,
		     char why[static KT_HUB_WHY_MAX])
{
	struct kt_chain *chain = calloc(1, sizeof(*chain));
	struct kt_device_id device;
	struct kt_cert leaf;
	enum kt_err err = KT_ERR_NOMEM;

	why[0] = '\0';
	if (chain == NULL)
		return complain(why, err, "out of memory");
	err = read_chain(files->cert, chain, why);
	if (err != KT_ERR_OK)
		goto out;
	err = kt_cert_decode(chain->cert[0].der, chain->cert[0].len, &leaf);
	if (err != KT_ERR_OK)
		(void)complain_file(why, err, files->cert);
	if (err == KT_ERR_OK)
		err = check_state(hub, &leaf, why);
	if (err == KT_ERR_OK)
		err = find_device(hub, &leaf, files->cert, &device, why);
	if (err == KT_ERR_OK)
		err = store(hub, files, &device, chain, why);
out:
	free(chain);
	return err;
}
