/*
 * An existing fleet: certificates of other CAs, taken over as generation 0 of their devices.
 *
 * What the broker's cafile trusts is not looked into: TLS does that at each connect. Here it is who
 * a certificate belongs to from now on, and that it is none of ours.
 */
#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "outbox.h"

static struct kt_outcome refuse(struct kt_imported *out, enum kt_reason reason, const char *why)
{
	out->why = why;
	return (struct kt_outcome){.reason = reason};
}

/* Could a client come in with it at all, and is it not one that the registry must decide on? */
static const char *why_not_usable(const struct kt_core *core, const struct kt_cert *cert)
{
	if (cert->is_ca)
		return "the certificate is a CA's";
	if (cert->eku != KT_EKU_NONE && (cert->eku & KT_EKU_CLIENT) == 0)
		return "the certificate is not for clients (extended key usage)";
	if (kt_uri_is_ours(cert->uri, core->config->trust_domain))
		return "the certificate names our own trust domain";
	if (core->now.wall_us / 1000000 > cert->not_after_s)
		return "the certificate has ended";
	return NULL;
}

static struct kt_outcome check_names(struct kt_core *core, const struct kt_record *record,
				     struct kt_imported *out)
{
	const struct kt_device *device = kt_registry_find_nocase(core->registry, record->device.s);
	const struct kt_credential *known =
		kt_registry_find_fingerprint(core->registry, &record->fp);
	const struct kt_device *owner = kt_registry_find_key(core->registry, &record->key_id);

	if (known != NULL && known->status == KT_CREDENTIAL_CURRENT && known->device == device &&
	    strcmp(device->id.s, record->device.s) == 0) {
		out->is_known = true;
		return (struct kt_outcome){.seq = known->changed_seq};
	}
	if (kt_registry_restore_seq(core->registry) != 0)
		return refuse(out, KT_REASON_STATE,
			      "the registry is being reconciled: end that first");
	if (known != NULL && known->status != KT_CREDENTIAL_LOST)
		return refuse(out, KT_REASON_EXISTS, "the certificate is known already");
	if (known == NULL && owner != NULL)
		return refuse(out, KT_REASON_KEY_KNOWN, "the key belongs to a device already");
	if (kt_registry_is_key_denied(core->registry, &record->key_id))
		return refuse(out, KT_REASON_DENIED, "the key was denied by an operator");
	if (kt_registry_check(core->registry, record) != KT_ERR_OK)
		return refuse(out, KT_REASON_EXISTS,
			      "the device has a certificate, or waits for one, or was revoked");
	return (struct kt_outcome){.reason = KT_REASON_NONE};
}

/*
 * Sessions that show it were let in by others. From now on they are the device's, to end with it;
 * who enforces lets them come again, as the device.
 */
static void take_sessions(struct kt_core *core, const struct kt_device *device)
{
	struct kt_session *session;
	size_t cursor = 0;

	while ((session = kt_sessions_next(core->sessions, &cursor)) != NULL) {
		if (session->device != NULL || session->kind != KT_SESSION_OTHER ||
		    !kt_fingerprint_eq(&session->fp, &device->current->fp))
			continue;
		if (!kt_core_is_observed(core, session)) {
			kt_core_kick(core, session, KT_REASON_CERT_FOREIGN, 0);
			continue;
		}
		session->kind = KT_SESSION_DEVICE;
		session->role = KT_ROLE_NONE;
		session->credential = device->current;
		(void)snprintf(session->actor, sizeof(session->actor), "device:%s", device->id.s);
		kt_sessions_set_device(core->sessions, session, device);
	}
}

static void tell(struct kt_core *core, const struct kt_device *device, const char *actor,
		 uint64_t seq)
{
	char fp[2 * KT_FINGERPRINT_LEN + 1];
	const struct kt_field fields[] = {{"actor", actor}, {"fp", fp}};

	if (kt_hex_encode(device->current->fp.b, KT_FINGERPRINT_LEN, fp, sizeof(fp)) != KT_ERR_OK)
		/* cppcheck-suppress unreadVariable ; a field points to it */
		fp[0] = '\0';
	kt_core_fact(core, KT_EVENT_DEVICE_IMPORTED, device, fields, 2, seq);
}

static bool make_record(const struct kt_core *core, const struct kt_import *import,
			const struct kt_cert *cert, struct kt_record *out)
{
	memset(out, 0, sizeof(*out));
	out->kind = KT_RECORD_IMPORT;
	out->seq = kt_registry_seq(core->registry) + 1;
	out->fp = cert->fingerprint;
	out->key_id = cert->key_id;
	out->has_key_id = true;
	out->alg = cert->key.alg;
	out->not_after_s = cert->not_after_s;
	(void)snprintf(out->group, sizeof(out->group), "%s", import->group);
	return kt_device_id_set(&out->device, import->device, strlen(import->device));
}

struct kt_outcome kt_device_import(struct kt_core *core, const struct kt_import *import,
				   const char *actor, struct kt_imported *out)
{
	const struct kt_device *device;
	struct kt_outcome outcome;
	struct kt_record record;
	struct kt_cert cert;
	const char *why;

	memset(out, 0, sizeof(*out));
	if (kt_cert_decode(import->certificate.p, import->certificate.len, &cert) != KT_ERR_OK)
		return refuse(out, KT_REASON_CERT_SYNTAX, "the certificate cannot be read");
	out->fp = cert.fingerprint;
	out->key_id = cert.key_id;
	out->alg = cert.key.alg;
	out->not_after_s = cert.not_after_s;
	why = why_not_usable(core, &cert);
	if (why != NULL)
		return refuse(out, KT_REASON_CERT_USE, why);
	if (!make_record(core, import, &cert, &record))
		return refuse(out, KT_REASON_JSON_FIELD, "device is no device id");
	outcome = check_names(core, &record, out);
	if (outcome.reason != KT_REASON_NONE || out->is_known || import->is_check)
		return outcome;
	if (kt_core_change(core, &record, actor, &outcome.reason) != KT_ERR_OK)
		return outcome;
	outcome.seq = record.seq;
	device = kt_registry_find_device(core->registry, import->device);
	if (device == NULL || device->current == NULL)
		return outcome;
	tell(core, device, actor, record.seq);
	take_sessions(core, device);
	kt_core_evict(core, device);
	return outcome;
}
