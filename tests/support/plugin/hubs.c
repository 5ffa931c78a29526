#include "hubs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void id_of(unsigned n, char out[static 24])
{
	(void)snprintf(out, 24, "hub-%u", n);
}

static void cert_of(unsigned n, unsigned generation, char out[static 96])
{
	(void)snprintf(out, 96, "spiffe://" FLEET_TD "/device/hub-%u|1600000000|253402300799|g%u",
		       n, generation);
}

struct fake *hubs_new(unsigned count)
{
	struct kt_registry *registry = fleet_new();
	struct fake *f;

	for (unsigned n = 0; n < count; n++) {
		char id[24];
		char cert[96];

		id_of(n, id);
		cert_of(n, 1, cert);
		(void)fleet_active(registry, id, "west", cert);
	}
	f = fake_new(registry);
	f->sync_at_once = true;
	return f;
}

const struct kt_device *hubs_device(const struct fake *f, unsigned n)
{
	char id[24];

	id_of(n, id);
	return kt_registry_find_device(f->registry, id);
}

void hubs_connect(struct fake *f, unsigned n)
{
	char client[40];
	char cert[96];

	(void)snprintf(client, sizeof(client), "hub-%u:agent", n);
	cert_of(n, hubs_device(f, n)->current->generation, cert);
	(void)fake_hello(f, HUBS_AGENT + n, client, cert);
	fake_forget(f);
}

void hubs_commit(struct fake *f, unsigned n)
{
	const struct kt_device *device = hubs_device(f, n);
	const unsigned generation = device->current->generation + 1;
	struct kt_message *m = fake_message(f, HUBS_AGENT + n, KT_MESSAGE_CSR);
	char client[40];
	char cert[96];
	char key[40];

	(void)snprintf(client, sizeof(client), "hub-%u:trial", n);
	(void)snprintf(key, sizeof(key), "key %u of %u", generation, n);
	cert_of(n, generation, cert);
	m->u.csr.op = device->op;
	m->u.csr.nonce = device->op_nonce;
	fake_say(f, HUBS_AGENT + n, m, key);
	fake_issue(f, cert);
	(void)fake_hello(f, HUBS_TRIAL + n, client, cert);
	m = fake_message(f, HUBS_TRIAL + n, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = device->op;
	m->u.confirm.nonce = device->op_nonce;
	m->u.confirm.fp = fake_fingerprint(cert);
	fake_say(f, HUBS_TRIAL + n, m, NULL);
	kt_core_disconnect(f->core, f->now, HUBS_TRIAL + n);
	fake_tick(f);
	hubs_connect(f, n);
}
