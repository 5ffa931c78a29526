#include "hub.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable_file.h"
#include "rollover.h"
#include "tls_openssl.h"

enum { PEM_MAX = 65536, GROUP_BUFFER = 16384 };

/* A sentence, and @err handed on, so that a step can end in it. errno is used and kept. */
__attribute__((format(printf, 3, 4))) static enum kt_err
complain(char why[static KT_HUB_WHY_MAX], enum kt_err err, const char *format, ...)
{
	int saved = errno;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, KT_HUB_WHY_MAX, format, args);
	va_end(args);
	errno = saved;
	return err;
}

static enum kt_err complain_file(char why[static KT_HUB_WHY_MAX], enum kt_err err,
				 const char *option, const char *path)
{
	char text[KT_ERR_CAUSE_MAX];

	return complain(why, err, "%s: %s: %s", option, path, kt_err_cause(err, errno, text));
}

/* --- steps of open, in order --- */

static enum kt_err find_group(const char *name, gid_t *gid, char why[static KT_HUB_WHY_MAX])
{
	struct group entry;
	struct group *found = NULL;
	char *buffer = NULL;

	*gid = (gid_t)-1;
	if (name[0] == '\0')
		return KT_ERR_OK;
	buffer = malloc(GROUP_BUFFER);
	if (buffer == NULL)
		return complain(why, KT_ERR_NOMEM, "key_group: out of memory");
	if (getgrnam_r(name, &entry, buffer, GROUP_BUFFER, &found) == 0 && found != NULL)
		*gid = entry.gr_gid;
	free(buffer);
	if (found == NULL)
		return complain(why, KT_ERR_NOT_FOUND, "key_group: there is no group %s", name);
	return KT_ERR_OK;
}

static enum kt_err open_store(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	struct kt_identity_config config = {
		.state_dir = hub->config->state_dir, .fs = kt_fs_posix(), .key_group = (gid_t)-1};
	enum kt_err err = kt_crypto_new(&hub->crypto);

	if (err != KT_ERR_OK)
		return complain(why, err, "no random source: %s", kt_err_text(err));
	err = kt_key_store_file_new(config.fs, hub->crypto, &hub->keys);
	if (err != KT_ERR_OK)
		return complain(why, err, "key store: %s", kt_err_text(err));
	err = find_group(hub->config->key_group, &config.key_group, why);
	if (err != KT_ERR_OK)
		return err;
	config.keys = hub->keys;
	config.crypto = hub->crypto;
	return kt_identity_open(&config, &hub->store, why);
}

static enum kt_err read_ticket(struct kt_hub *hub, const char *path,
			       char why[static KT_HUB_WHY_MAX])
{
	struct kt_secret *file = NULL;
	struct kt_bytes view;
	char text[KT_TICKET_MAX + 2]; /* a newline, and the end */
	enum kt_err err = kt_file_read_private(kt_fs_posix(), path, KT_TICKET_MAX + 1, 0, &file);

	if (err != KT_ERR_OK)
		return complain_file(why, err, "ticket", path);
	view = kt_secret_view(file);
	memcpy(text, view.p, view.len);
	text[view.len] = '\0';
	kt_secret_free(file);
	err = kt_ticket_decode(text, &hub->ticket);
	kt_wipe(text, sizeof(text));
	if (err != KT_ERR_OK)
		return complain_file(why, err, "ticket", path);
	hub->has_ticket = true;
	return KT_ERR_OK;
}

static enum kt_err check_claim(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	const char *path = hub->config->claim_identity;
	struct kt_secret *file = NULL;
	enum kt_err err = kt_file_read_private(kt_fs_posix(), path, PEM_MAX, 0, &file);

	kt_secret_free(file);
	if (err != KT_ERR_OK)
		return complain_file(why, err, "claim_identity", path);
	hub->has_claim = true;
	return KT_ERR_OK;
}

void kt_hub_ticket_hash(const struct kt_hub *hub, uint8_t out[static 32])
{
	kt_sha256(hub->ticket.secret, sizeof(hub->ticket.secret), out);
}

static bool is_last_ticket(const struct kt_hub *hub)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	uint8_t hash[32];

	kt_hub_ticket_hash(hub, hash);
	return record->has_ticket && kt_ct_equal(hash, record->ticket_sha256, sizeof(hash));
}

static void drop_ticket(struct kt_hub *hub)
{
	kt_wipe(&hub->ticket, sizeof(hub->ticket));
	hub->has_ticket = false;
}

/* A ticket where there is an identity, or a claim under way: it must be this hub's. */
static enum kt_err read_again(struct kt_hub *hub, const struct kt_hub_claim *claim,
			      const char *ticket_file, char why[static KT_HUB_WHY_MAX])
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	const bool is_asked = record->phase == KT_AGENT_NEW ||
			      (claim->is_enrolment && (claim->again || claim->ticket_file != NULL));
	enum kt_err err = read_ticket(hub, ticket_file, why);

	if (err != KT_ERR_OK)
		return err;
	if (is_last_ticket(hub)) { /* one that is under way goes on; one that is over stays so */
		if (!kt_rollover_is_claim(record))
			drop_ticket(hub);
		return KT_ERR_OK;
	}
	if (!is_asked) { /* an old one in the configuration */
		drop_ticket(hub);
		return KT_ERR_OK;
	}
	if (record->phase != KT_AGENT_NEW && strcmp(hub->ticket.device, record->device.s) != 0)
		return complain(why, KT_ERR_STATE, "the ticket is for %s, but this hub is %s",
				hub->ticket.device[0] != '\0' ? hub->ticket.device : "a group",
				record->device.s);
	hub->starts_again = true;
	return KT_ERR_OK;
}

static enum kt_err read_claim(struct kt_hub *hub, const struct kt_hub_claim *claim,
			      char why[static KT_HUB_WHY_MAX])
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	const char *configured = hub->config->ticket_file;
	const char *ticket_file = claim->ticket_file;
	const bool is_claim = kt_rollover_is_claim(record);
	const bool is_first =
		record->phase == KT_AGENT_NEW && (record->pending.dir == 0 || !record->has_ticket);
	enum kt_err err = KT_ERR_OK;

	if (ticket_file == NULL && configured[0] != '\0' && (is_claim || claim->again))
		ticket_file = configured;
	if (is_first && ticket_file != NULL)
		return read_ticket(hub, ticket_file, why);
	if (ticket_file != NULL && (is_claim || claim->is_enrolment))
		return read_again(hub, claim, ticket_file, why);
	if (hub->config->claim_identity[0] == '\0')
		return KT_ERR_OK;
	if (is_claim && (record->phase == KT_AGENT_NEW || !record->has_ticket))
		return check_claim(hub, why);
	if (!claim->is_enrolment || !claim->again)
		return KT_ERR_OK;
	err = check_claim(hub, why);
	hub->starts_again = err == KT_ERR_OK;
	return err;
}

/*
 * The record, the configuration and the ticket must mean the same fleet. And a hub that has no
 * clock and has seen no certificate yet knows at least that this program was built.
 */
static enum kt_err settle_record(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	const struct {
		const char *who;
		const char *name;
	} sources[] = {
		{"trust_domain", hub->config->trust_domain},
		{"the ticket", hub->ticket.trust_domain},
	};
	struct kt_agent_record next = *kt_identity_record(hub->store);
	bool is_changed = next.floor_s < KT_BUILD_TIME_S;
	uint8_t hash[32];
	enum kt_err err = KT_ERR_OK;

	if (is_changed)
		next.floor_s = KT_BUILD_TIME_S;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (sources[i].name[0] == '\0')
			continue;
		if (next.trust_domain[0] == '\0') {
			memcpy(next.trust_domain, sources[i].name, strlen(sources[i].name) + 1);
			is_changed = true;
		} else if (strcmp(next.trust_domain, sources[i].name) != 0) {
			return complain(why, KT_ERR_STATE, "%s is %s, but this hub is one of %s",
					sources[i].who, sources[i].name, next.trust_domain);
		}
	}
	if (next.trust_domain[0] == '\0')
		return complain(why, KT_ERR_MISSING_FIELD,
				"trust_domain is missing, and there is no ticket that says it");
	/* of one that begins something anew, the key's record says so */
	if (hub->has_ticket && !hub->starts_again && !is_last_ticket(hub)) {
		kt_hub_ticket_hash(hub, hash);
		next.has_ticket = true;
		memcpy(next.ticket_sha256, hash, sizeof(hash));
		is_changed = true;
	}
	if (is_changed)
		err = kt_identity_save(hub->store, &next);
	return err == KT_ERR_OK ? err
				: complain_file(why, err, "state_dir", hub->config->state_dir);
}

static enum kt_err set_addresses(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	const char *broker = hub->config->broker;
	const char *claim = hub->has_ticket ? hub->ticket.broker : broker;

	if (broker[0] == '\0')
		return complain(why, KT_ERR_MISSING_FIELD,
				"broker is missing: the listener for hubs with their certificate");
	if (!kt_paho_address(broker, &hub->broker))
		return complain(why, KT_ERR_INVALID, "broker is not host:port: %s", broker);
	if (!kt_paho_address(claim, &hub->claim))
		return complain(why, KT_ERR_INVALID, "the ticket's broker is not host:port");
	return KT_ERR_OK;
}

static enum kt_err pin_root_file(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	const char *path = hub->config->root_cert;
	struct kt_secret *file = NULL;
	struct kt_bytes view;
	struct kt_bytes cert;
	struct kt_fingerprint fp;
	uint8_t *storage = NULL;
	size_t count = 0;
	enum kt_err err = kt_file_read(kt_fs_posix(), path, PEM_MAX, &file);

	if (err != KT_ERR_OK)
		return complain_file(why, err, "root_cert", path);
	view = kt_secret_view(file);
	err = kt_pem_certs(view.p, view.len, &cert, 1, &count, &storage);
	if (err != KT_ERR_OK)
		goto out;
	fp = kt_fingerprint_of(cert.p, cert.len);
	if (hub->has_ticket && memcmp(fp.b, hub->ticket.root_sha256, sizeof(fp.b)) != 0) {
		err = complain(why, KT_ERR_STATE, "root_cert: %s is not the root of the ticket",
			       path);
		goto out;
	}
	err = kt_identity_save_root(hub->store, cert);
	if (err == KT_ERR_EXISTS)
		(void)complain(why, err, "root_cert: %s: another root is pinned", path);
out:
	if (err != KT_ERR_OK && why[0] == '\0')
		(void)complain_file(why, err, "root_cert", path);
	free(storage);
	kt_secret_free(file);
	return err;
}

/* root_cert may be gone once the root is pinned. */
static enum kt_err settle_root(struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	uint8_t der[KT_CERT_MAX];
	size_t len = 0;
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	enum kt_err err = KT_ERR_OK;

	(void)snprintf(hub->root_pem, sizeof(hub->root_pem), "%s/root.pem", hub->config->state_dir);
	if (hub->config->root_cert[0] != '\0')
		return pin_root_file(hub, why);
	if (!record->has_root)
		return KT_ERR_OK;
	if (hub->has_ticket &&
	    memcmp(record->root_sha256, hub->ticket.root_sha256, sizeof(record->root_sha256)) != 0)
		return complain(why, KT_ERR_STATE,
				"the ticket is for another root than the one that is pinned");
	err = kt_identity_root(hub->store, der, &len);
	return err == KT_ERR_OK ? err : complain_file(why, err, "pinned root", hub->root_pem);
}

enum kt_err kt_hub_open(const struct kt_agent_config *config, const struct kt_hub_claim *claim,
			struct kt_hub *hub, char why[static KT_HUB_WHY_MAX])
{
	char tidy[KT_HUB_WHY_MAX] = "";
	enum kt_err err = KT_ERR_INTERNAL;

	memset(hub, 0, sizeof(*hub));
	hub->config = config;
	why[0] = '\0';
	err = open_store(hub, why);
	if (err == KT_ERR_OK) {
		memcpy(tidy, why, sizeof(tidy));
		why[0] = '\0';
		err = read_claim(hub, claim, why);
	}
	if (err == KT_ERR_OK)
		err = settle_record(hub, why);
	if (err == KT_ERR_OK)
		err = set_addresses(hub, why);
	if (err == KT_ERR_OK)
		err = settle_root(hub, why);
	if (err == KT_ERR_OK)
		memcpy(why, tidy, sizeof(tidy));
	else
		kt_hub_close(hub);
	return err;
}

void kt_hub_close(struct kt_hub *hub)
{
	kt_identity_close(hub->store);
	kt_key_store_close(hub->keys);
	kt_crypto_free(hub->crypto);
	kt_wipe(hub, sizeof(*hub));
}

bool kt_hub_has_root(const struct kt_hub *hub)
{
	return kt_identity_record(hub->store)->has_root;
}

enum kt_err kt_hub_fetch_root(struct kt_hub *hub, int timeout_ms, char why[static KT_HUB_WHY_MAX])
{
	uint8_t *der = NULL;
	size_t len = 0;
	enum kt_err err = KT_ERR_OK;

	why[0] = '\0';
	if (kt_hub_has_root(hub))
		return KT_ERR_OK;
	if (!hub->has_ticket)
		return complain(why, KT_ERR_MISSING_FIELD,
				"root_cert is missing, and there is no ticket that names the root");
	err = kt_tls_fetch_root(hub->claim.host, hub->claim.port, timeout_ms,
				hub->ticket.root_sha256, &der, &len);
	if (err == KT_ERR_NOT_FOUND)
		return complain(why, err, "%s:%s shows no chain with the root of the ticket",
				hub->claim.host, hub->claim.port);
	if (err != KT_ERR_OK)
		return complain(why, err, "no TLS connection to %s:%s", hub->claim.host,
				hub->claim.port);
	err = kt_identity_save_root(hub->store, (struct kt_bytes){der, len});
	free(der);
	return err == KT_ERR_OK ? err
				: complain_file(why, err, "state_dir", hub->config->state_dir);
}

enum kt_err kt_hub_key_id(struct kt_hub *hub, struct kt_key_id *out)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);
	struct kt_public_key key;
	enum kt_err err = KT_ERR_NOT_FOUND;

	memset(out, 0, sizeof(*out));
	if (!kt_rollover_is_claim(record) || record->pending.dir == 0)
		return err;
	err = kt_identity_public_key(hub->store, record->pending.dir, &key);
	if (err == KT_ERR_OK)
		*out = kt_key_id_of(&key);
	return err;
}
