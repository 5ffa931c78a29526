#include "agent_ports.h"

#include "rollover.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct kt_agent_record *port_record(void *ctx)
{
	const struct kt_agent_ports *ports = ctx;

	return kt_identity_record(ports->store);
}

static enum kt_err port_save(void *ctx, const struct kt_agent_record *record)
{
	struct kt_agent_ports *ports = ctx;

	return kt_identity_save(ports->store, record);
}

static enum kt_err port_new_key(void *ctx, uint64_t dir, enum kt_alg alg)
{
	struct kt_agent_ports *ports = ctx;

	return kt_identity_new_key(ports->store, dir, alg);
}

static enum kt_err port_csr(void *ctx, uint64_t dir, const char *common_name, const char *challenge,
			    uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	struct kt_agent_ports *ports = ctx;

	return kt_identity_csr(ports->store, dir, common_name, challenge, out, out_len);
}

static enum kt_err port_seal(void *ctx, uint64_t dir, const struct kt_message *message, char **out,
			     size_t *out_len)
{
	struct kt_agent_ports *ports = ctx;
	char *payload = NULL;
	size_t payload_len = 0;
	enum kt_err err = kt_message_encode(message, &payload, &payload_len);

	*out = NULL;
	*out_len = 0;
	if (err == KT_ERR_OK)
		err = kt_identity_seal(ports->store, dir, payload, payload_len, out, out_len);
	if (payload != NULL)
		kt_wipe(payload, payload_len); /* an `enroll` carries the ticket's secret */
	free(payload);
	return err;
}

/* What is believed on the strength of @record, at @system_s. */
static enum kt_err trust_of(struct kt_agent_ports *ports, const struct kt_agent_record *record,
			    int64_t system_s, struct kt_trust *out)
{
	enum kt_err err = KT_ERR_OK;

	if (ports->root_len == 0)
		err = kt_identity_root(ports->store, ports->root, &ports->root_len);
	*out = (struct kt_trust){
		.trust_domain = record->trust_domain,
		.root_der = {ports->root, ports->root_len},
		.controller_n = record->controller_n,
		.floor_s = record->floor_s,
		.system_s = system_s,
	};
	return err;
}

static enum kt_err port_save_cert(void *ctx, const struct kt_cert_request *request,
				  struct kt_cert_result *out)
{
	struct kt_agent_ports *ports = ctx;
	const struct kt_chain *chain = request->chain;
	struct kt_bytes certs[KT_CHAIN_MAX];
	struct kt_trust trust;
	enum kt_err err = trust_of(ports, request->record, request->system_s, &trust);

	memset(out, 0, sizeof(*out));
	out->reason = KT_REASON_CERT_CHAIN;
	if (err != KT_ERR_OK)
		return err;
	if (chain->count == 0 || chain->count > KT_CHAIN_MAX)
		return KT_ERR_INVALID;
	for (size_t i = 0; i < chain->count; i++)
		certs[i] = (struct kt_bytes){chain->cert[i].der, chain->cert[i].len};
	err = kt_trust_chain(&trust, certs, chain->count, &out->verdict);
	if (err == KT_ERR_OK)
		err = kt_identity_save_cert(ports->store, request->dir, request->record, chain,
					    &out->leaf, &out->reason);
	if (err == KT_ERR_NOMEM)
		out->reason = KT_REASON_BUSY; /* nothing is wrong with it */
	return err;
}

static enum kt_err port_link(void *ctx, uint64_t dir)
{
	struct kt_agent_ports *ports = ctx;

	return kt_identity_link(ports->store, dir);
}

static enum kt_err port_wipe(void *ctx, uint64_t dir)
{
	struct kt_agent_ports *ports = ctx;

	return kt_identity_wipe(ports->store, dir);
}

static bool port_pem_path(void *ctx, uint64_t dir, char *out, size_t cap)
{
	const struct kt_agent_ports *ports = ctx;

	return kt_identity_pem_path(ports->store, dir, out, cap);
}

static enum kt_err port_open(void *ctx, const struct kt_agent_record *record, int64_t system_s,
			     struct kt_bytes text, struct kt_opened *out)
{
	static const struct kt_device_id any = {""};
	struct kt_agent_ports *ports = ctx;
	struct kt_trust trust;
	enum kt_err err = trust_of(ports, record, system_s, &trust);

	memset(out, 0, sizeof(*out));
	out->reason = KT_REASON_CERT_CHAIN;
	if (err != KT_ERR_OK)
		return err;
	/* a claimant's id is what `enrolled` says; of the other links the core compares it */
	return kt_trust_open(&trust, kt_rollover_is_claim(record) ? &any : &record->device, text,
			     out);
}

static enum kt_err port_hooks_start(void *ctx, const char *event)
{
	struct kt_agent_ports *ports = ctx;
	char current[PATH_MAX];

	if (!kt_identity_current_path(ports->store, current, sizeof(current)))
		return KT_ERR_TOO_LONG;
	return kt_hooks_start(ports->runner, event, kt_identity_record(ports->store)->device.s,
			      current);
}

static enum kt_err port_entropy(void *ctx, uint8_t *out, size_t len)
{
	struct kt_agent_ports *ports = ctx;

	return kt_random(ports->crypto, out, len);
}

void kt_agent_ports_init(struct kt_agent_ports *ports, struct kt_identity_store *store,
			 struct kt_crypto *crypto, struct kt_hooks *runner)
{
	memset(ports, 0, sizeof(*ports));
	ports->store = store;
	ports->crypto = crypto;
	ports->runner = runner;
	ports->disk = (struct kt_agent_disk){
		.ctx = ports,
		.record = port_record,
		.save = port_save,
		.new_key = port_new_key,
		.csr = port_csr,
		.seal = port_seal,
		.save_cert = port_save_cert,
		.link = port_link,
		.wipe = port_wipe,
		.pem_path = port_pem_path,
		.open = port_open,
	};
	ports->hooks = (struct kt_agent_hooks){.ctx = ports, .start = port_hooks_start};
	ports->entropy = (struct kt_agent_entropy){.ctx = ports, .bytes = port_entropy};
}
