#include "access_observe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- names --- */

static bool is_keyturns_client_id(const struct kt_client_name *name)
{
	switch (name->kind) {
	case KT_CLIENT_AGENT:
	case KT_CLIENT_TRIAL:
	case KT_CLIENT_CLAIM:
	case KT_CLIENT_OPERATOR:
		return true;
	case KT_CLIENT_RESERVED:
		return name->device.s[0] == '\0';
	case KT_CLIENT_DEVICE:
	case KT_CLIENT_TAGGED:
	case KT_CLIENT_OTHER:
		return false;
	}
	return true;
}

static bool is_keyturns_username(const char *username)
{
	return username != NULL &&
	       (strcasecmp(username, "claim") == 0 || strncasecmp(username, "op:", 3) == 0);
}

static bool is_put_out(const struct kt_device *device)
{
	return device->state == KT_DEVICE_REVOKED || device->state == KT_DEVICE_DELETED;
}

/* Of a device that an operator has put out: its other clients go with it. */
static bool is_retired_name(const struct kt_access *access, const char *name)
{
	const struct kt_device *device =
		name == NULL ? NULL : kt_registry_find_nocase(access->registry, name);

	return device != NULL && is_put_out(device);
}

bool kt_observe_are_names_free(const struct kt_access *access, const char *client_id,
			       const char *username)
{
	const struct kt_device *device;
	struct kt_client_name name;

	kt_client_name_decode(client_id, &name);
	if (is_keyturns_client_id(&name) || is_keyturns_username(username) ||
	    is_retired_name(access, username))
		return false;
	device = kt_registry_find_nocase(access->registry, name.device.s);
	return device == NULL || !(is_put_out(device) || device->quarantined || device->adopted);
}

/* --- connect --- */

/* A verdict on a credential that an operator or a rotation has put out, or that is not yet in. */
static bool is_of_credential(enum kt_reason reason)
{
	return reason == KT_REASON_CERT_SUPERSEDED || reason == KT_REASON_CERT_REVOKED ||
	       reason == KT_REASON_OP_CLOSED || reason == KT_REASON_CERT_PENDING;
}

/* *common_name: of the certificate shown, "" without one. */
static bool is_keyturns(const struct kt_access *access, const struct kt_connect *connect,
			const struct kt_client_name *name, const struct kt_admission *out,
			char common_name[static KT_DEVICE_ID_MAX + 1])
{
	struct kt_cert cert;

	common_name[0] = '\0';
	if (is_keyturns_client_id(name) || is_keyturns_username(connect->username) ||
	    out->kind == KT_SESSION_OPERATOR || out->kind == KT_SESSION_CLAIM)
		return true;
	if (connect->cert.len == 0 ||
	    kt_cert_decode(connect->cert.p, connect->cert.len, &cert) != KT_ERR_OK)
		return false;
	memcpy(common_name, cert.common_name, sizeof(cert.common_name));
	/* what our CA has signed and the registry does not hold may be a key that was retired */
	return out->credential == NULL && kt_uri_is_ours(cert.uri, access->config->trust_domain);
}

static bool is_retired(const struct kt_access *access, const struct kt_connect *connect,
		       const struct kt_client_name *name, const struct kt_admission *out)
{
	return out->answer != KT_ANSWER_ACCEPT && (is_retired_name(access, name->device.s) ||
						   is_retired_name(access, connect->username));
}

/*
 * As use_identity_as_username did: the certificate is enough, and its common name is the user name.
 * False: it has none that a client can have.
 */
static bool accept_common_name(const struct kt_access *access, const char *common_name,
			       struct kt_admission *out)
{
	if (!access->config->observe_common_name || common_name[0] == '\0' ||
	    is_keyturns_username(common_name))
		return false;
	out->answer = KT_ANSWER_ACCEPT;
	/* whoever gave rights to a user name meant one whose password somebody has checked */
	out->role = KT_ROLE_NONE;
	out->actor[0] = '\0';
	(void)snprintf(out->username, sizeof(out->username), "%s", common_name);
	return true;
}

void kt_observe_connect(const struct kt_access *access, const struct kt_connect *connect,
			const struct kt_client_name *name, struct kt_admission *out)
{
	const bool was_deferred = out->answer == KT_ANSWER_DEFER;
	char common_name[KT_DEVICE_ID_MAX + 1];

	if (out->answer == KT_ANSWER_NO_ANSWER || is_of_credential(out->reason) ||
	    is_keyturns(access, connect, name, out, common_name) ||
	    is_retired(access, connect, name, out))
		return;
	if (access->config->observe_common_name && out->credential == NULL &&
	    is_retired_name(access, common_name)) {
		out->answer = KT_ANSWER_DENY;
		out->reason = KT_REASON_USERNAME;
		return;
	}
	if (out->answer != KT_ANSWER_ACCEPT && !was_deferred)
		out->would = out->reason;
	out->kind = out->credential != NULL ? KT_SESSION_DEVICE : KT_SESSION_OTHER;
	out->answer = KT_ANSWER_DEFER;
	out->username[0] = '\0';
	(void)accept_common_name(access, common_name, out);
	if (out->device != NULL)
		(void)snprintf(out->actor, sizeof(out->actor), "device:%s", out->device->id.s);
}
