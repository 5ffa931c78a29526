#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_crypto.h"

struct kt_record fleet_record(struct kt_registry *registry, enum kt_record_kind kind,
			      const char *device)
{
	struct kt_record record;

	memset(&record, 0, sizeof(record));
	record.seq = kt_registry_seq(registry) + 1;
	record.time_us = INT64_C(1000000) * FLEET_TIME_S;
	record.kind = kind;
	(void)snprintf(record.actor, sizeof(record.actor), "op:test");
	if (device != NULL && !kt_device_id_set(&record.device, device, strlen(device)))
		abort();
	return record;
}

void fleet_apply(struct kt_registry *registry, const struct kt_record *record)
{
	enum kt_err err = kt_registry_apply(registry, record);

	if (err != KT_ERR_OK) {
		(void)fprintf(stderr, "fixture: %s of %s: %s\n", kt_record_kind_name(record->kind),
			      record->device.s, kt_err_name(err));
		abort();
	}
}

struct kt_registry *fleet_new(void)
{
	struct kt_registry *registry;
	struct kt_record record;

	if (kt_registry_new(&registry) != KT_ERR_OK)
		abort();
	record = fleet_record(registry, KT_RECORD_LEDGER_BEGIN, NULL);
	(void)snprintf(record.trust_domain, sizeof(record.trust_domain), FLEET_TD);
	fleet_apply(registry, &record);
	return registry;
}

void fleet_simple(struct kt_registry *registry, enum kt_record_kind kind, const char *device,
		  uint64_t op)
{
	struct kt_record record = fleet_record(registry, kind, device);

	record.op = op;
	record.reason = kind == KT_RECORD_FAILED ? KT_REASON_DISK : KT_REASON_DENIED;
	fleet_apply(registry, &record);
}

struct kt_key_id fleet_key(const char *name)
{
	struct kt_fingerprint fp = fake_fingerprint(name);
	struct kt_key_id key;

	memcpy(key.b, fp.b, sizeof(key.b));
	return key;
}

struct kt_nonce fleet_nonce(uint8_t fill)
{
	struct kt_nonce nonce;

	memset(nonce.b, fill, sizeof(nonce.b));
	return nonce;
}

void fleet_issue_until(struct kt_registry *registry, const char *id, const char *cert,
		       int64_t not_after_s)
{
	const struct kt_device *device = kt_registry_find_device(registry, id);
	struct kt_record record = fleet_record(registry, KT_RECORD_ISSUE, id);

	record.op = device->phase == KT_SERVER_OPEN ? device->op : device->op + 1;
	record.nonce = fleet_nonce((uint8_t)record.op);
	record.alg = KT_ALG_ES256;
	record.fp = fake_fingerprint(cert);
	record.key_id = device->phase == KT_SERVER_OPEN ? fleet_key(cert) : device->registered_key;
	record.has_key_id = true;
	record.generation = device->generation + 1;
	record.not_after_s = not_after_s;
	record.der = fake_cert(cert);
	fleet_apply(registry, &record);
}

void fleet_issue(struct kt_registry *registry, const char *id, const char *cert)
{
	fleet_issue_until(registry, id, cert, KT_CERT_NO_END);
}

void fleet_commit(struct kt_registry *registry, const char *id)
{
	const struct kt_device *device = kt_registry_find_device(registry, id);
	struct kt_record record = fleet_record(registry, KT_RECORD_COMMIT, id);

	record.op = device->op;
	record.fp = device->pending->fp;
	fleet_apply(registry, &record);
}

const struct kt_device *fleet_active(struct kt_registry *registry, const char *id,
				     const char *group, const char *cert)
{
	struct kt_record record = fleet_record(registry, KT_RECORD_DEVICE_CREATE, id);

	record.has_key_id = true;
	record.key_id = fleet_key(cert);
	record.alg = KT_ALG_ES256;
	(void)snprintf(record.group, sizeof(record.group), "%s", group);
	fleet_apply(registry, &record);
	fleet_issue(registry, id, cert);
	fleet_commit(registry, id);
	return kt_registry_find_device(registry, id);
}

void fleet_open(struct kt_registry *registry, const char *id, uint64_t op)
{
	struct kt_record record = fleet_record(registry, KT_RECORD_OP_OPEN, id);

	record.op = op;
	record.nonce = fleet_nonce((uint8_t)op);
	record.alg = KT_ALG_ES256;
	record.deadline_us = record.time_us + INT64_C(86400000000);
	fleet_apply(registry, &record);
}
