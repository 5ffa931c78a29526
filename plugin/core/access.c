#include "access.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "access_observe.h"
#include "schedule.h"

static int64_t now_s(const struct kt_access *access)
{
	return access->now.wall_us / 1000000;
}

static void refuse(struct kt_admission *out, enum kt_answer answer, enum kt_reason reason)
{
	out->answer = answer;
	out->reason = reason;
	out->username[0] = '\0';
}

static bool is_device_name(const struct kt_registry *registry, const char *name)
{
	return kt_registry_find_device(registry, name) != NULL ||
	       kt_registry_find_nocase(registry, name) != NULL;
}

static bool is_reserved_client_id(const struct kt_registry *registry, const char *client_id)
{
	struct kt_client_name name;

	kt_client_name_decode(client_id, &name);
	switch (name.kind) {
	case KT_CLIENT_OTHER:
		return false;
	case KT_CLIENT_AGENT:
	case KT_CLIENT_TRIAL:
	case KT_CLIENT_CLAIM:
	case KT_CLIENT_OPERATOR:
		return true;
	case KT_CLIENT_RESERVED:
		return name.device.s[0] == '\0' || is_device_name(registry, name.device.s);
	case KT_CLIENT_DEVICE:
	case KT_CLIENT_TAGGED:
		return is_device_name(registry, name.device.s);
	}
	return true;
}

static bool is_reserved_username(const struct kt_registry *registry, const char *username)
{
	if (username == NULL)
		return false;
	return strcasecmp(username, "claim") == 0 || strncasecmp(username, "op:", 3) == 0 ||
	       is_device_name(registry, username);
}

bool kt_access_is_reserved(const struct kt_registry *registry, const char *client_id,
			   const char *username)
{
	return is_reserved_client_id(registry, client_id) ||
	       is_reserved_username(registry, username);
}

/* May a client whom we call @ours bring this user name? His own, or one that is nobody's. */
static bool is_username_fine(const struct kt_access *access, const char *username, const char *ours)
{
	return username == NULL || strcmp(username, ours) == 0 ||
	       !is_reserved_username(access->registry, username);
}

/* --- a certificate that the registry holds --- */

/*
 * Would the credential be judged otherwise if the record that set its status were lost? Then the
 * client is told nothing and comes back.
 */
static bool is_verdict_undurable(const struct kt_access *access,
				 const struct kt_credential *credential, bool is_trial)
{
	if (credential->changed_seq <= access->durable_seq)
		return false;
	switch (credential->status) {
	case KT_CREDENTIAL_PENDING:
	case KT_CREDENTIAL_ABANDONED:
	case KT_CREDENTIAL_LOST:
		return is_trial; /* anything else is refused either way */
	case KT_CREDENTIAL_CURRENT:
		/* as :trial it is let in either way, unless its record was the first of it */
		return !is_trial || credential->device->adopted || credential->generation == 0;
	case KT_CREDENTIAL_SUPERSEDED:
	case KT_CREDENTIAL_REVOKED:
		return true;
	}
	return true;
}

static bool is_within_dates(const struct kt_access *access, int64_t not_after_s,
			    struct kt_bytes der)
{
	struct kt_cert cert;

	if (not_after_s >= KT_CERT_NO_END)
		return true;
	if (now_s(access) > not_after_s)
		return false;
	/* only certificates with an end are parsed here: a resumed TLS session checks no dates */
	return kt_cert_decode(der.p, der.len, &cert) == KT_ERR_OK &&
	       now_s(access) >= cert.not_before_s;
}

static enum kt_reason status_refusal(const struct kt_credential *credential, bool is_trial)
{
	if (credential->device->state == KT_DEVICE_DELETED)
		return KT_REASON_CERT_REVOKED;
	switch (credential->status) {
	case KT_CREDENTIAL_PENDING:
		return is_trial ? KT_REASON_NONE : KT_REASON_CERT_PENDING;
	case KT_CREDENTIAL_CURRENT:
		return KT_REASON_NONE;
	case KT_CREDENTIAL_SUPERSEDED:
		return KT_REASON_CERT_SUPERSEDED;
	case KT_CREDENTIAL_REVOKED:
		return KT_REASON_CERT_REVOKED;
	case KT_CREDENTIAL_ABANDONED:
	case KT_CREDENTIAL_LOST:
		return KT_REASON_OP_CLOSED;
	}
	return KT_REASON_DENIED;
}

static bool session_kind_of(const struct kt_client_name *name, const struct kt_device *device,
			    enum kt_session_kind *kind)
{
	if (strcmp(name->device.s, device->id.s) != 0)
		return false;
	if (name->kind == KT_CLIENT_AGENT)
		*kind = KT_SESSION_AGENT;
	else if (name->kind == KT_CLIENT_TRIAL)
		*kind = KT_SESSION_TRIAL;
	else if (name->kind == KT_CLIENT_DEVICE || name->kind == KT_CLIENT_TAGGED)
		*kind = KT_SESSION_DEVICE;
	else
		return false;
	return true;
}

bool kt_access_is_over_age(const struct kt_access *access, const struct kt_device *device)
{
	const struct kt_group_policy policy =
		kt_policies_for(access->policies, access->config, device->group);

	return kt_schedule_is_over(&policy, device, access->now.wall_us);
}

static void connect_device(const struct kt_access *access, const struct kt_connect *connect,
			   const struct kt_client_name *name, struct kt_admission *out)
{
	const struct kt_credential *credential = out->credential;
	const struct kt_device *device = credential->device;
	const bool is_trial = name->kind == KT_CLIENT_TRIAL;
	enum kt_reason reason = status_refusal(credential, is_trial);

	out->device = device;
	out->not_after_s = credential->not_after_s;
	if (is_verdict_undurable(access, credential, is_trial)) {
		refuse(out, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	} else if (reason != KT_REASON_NONE) {
		refuse(out, reason == KT_REASON_CERT_REVOKED ? KT_ANSWER_BANNED : KT_ANSWER_DENY,
		       reason);
	} else if (!is_within_dates(access, credential->not_after_s, connect->cert)) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CERT_DATES);
	} else if (!session_kind_of(name, device, &out->kind)) {
		refuse(out, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	} else if (!is_username_fine(access, connect->username, device->id.s)) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_USERNAME);
	} else if (out->kind != KT_SESSION_DEVICE && !connect->clean_start) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CLEAN_START);
	} else {
		out->answer = KT_ANSWER_ACCEPT;
		out->rotate_only =
			credential == device->current && kt_access_is_over_age(access, device);
		(void)snprintf(out->username, sizeof(out->username), "%s", device->id.s);
		(void)snprintf(out->actor, sizeof(out->actor), "device:%s", device->id.s);
	}
}

/* --- a certificate that it does not hold --- */

/* What a record of it would say. False: the name or the serial is none of a device of ours. */
static bool read_adoption(const struct kt_access *access, const struct kt_cert *cert,
			  struct kt_adoption *out)
{
	const char *id;

	if (kt_uri_decode(cert->uri, access->config->trust_domain, &id) != KT_URI_DEVICE ||
	    !kt_device_id_set(&out->device, id, strlen(id)))
		return false;
	out->key_id = cert->key_id;
	return kt_cert_generation(cert, &out->generation) && !cert->is_ca;
}

static bool does_registry_allow(const struct kt_access *access, const struct kt_adoption *adoption,
				const struct kt_fingerprint *fp, int64_t not_after_s)
{
	const struct kt_record record = {.seq = kt_registry_seq(access->registry) + 1,
					 .kind = KT_RECORD_ADOPT,
					 .device = adoption->device,
					 .fp = *fp,
					 .key_id = adoption->key_id,
					 .generation = adoption->generation,
					 .not_after_s = not_after_s};

	return kt_registry_check(access->registry, &record) == KT_ERR_OK;
}

/* TLS has verified some chain; what counts here is that our issuing CA itself has signed it. */
static bool is_signed_by_us(const struct kt_access *access, struct kt_bytes cert)
{
	enum kt_dates dates;

	return access->issuer_cert_der.len > 0 &&
	       kt_chain_verify(access->issuer_cert_der, &cert, 1, -1, &dates) == KT_ERR_OK;
}

/*
 * The registry was restored from a backup, and this certificate may be from after it. Cheap
 * questions first, the signature last; only the agent's own connections. True: adopt it.
 */
static bool connect_lost(const struct kt_access *access, const struct kt_connect *connect,
			 const struct kt_client_name *name, struct kt_admission *out)
{
	struct kt_adoption adoption = {.generation = 0};
	struct kt_cert cert;

	if (kt_registry_restore_seq(access->registry) == 0 ||
	    (out->credential != NULL && out->credential->status != KT_CREDENTIAL_LOST) ||
	    (name->kind != KT_CLIENT_AGENT && name->kind != KT_CLIENT_TRIAL) ||
	    !connect->clean_start)
		return false;
	if (kt_cert_decode(connect->cert.p, connect->cert.len, &cert) != KT_ERR_OK ||
	    now_s(access) > cert.not_after_s || now_s(access) < cert.not_before_s ||
	    !read_adoption(access, &cert, &adoption) ||
	    strcmp(name->device.s, adoption.device.s) != 0 ||
	    !is_username_fine(access, connect->username, adoption.device.s) ||
	    !does_registry_allow(access, &adoption, &out->fp, cert.not_after_s) ||
	    !is_signed_by_us(access, connect->cert))
		return false;
	refuse(out, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
	out->adoption = adoption;
	out->not_after_s = cert.not_after_s;
	return true;
}

/*
 * The registry has forgotten it, and one of the same device with its generation or a higher one is
 * known: who shows it was parted from the other by a rotation, as with a superseded one.
 */
static void note_left_behind(const struct kt_access *access, const struct kt_connect *connect,
			     struct kt_admission *out)
{
	struct kt_adoption shown = {.generation = 0};
	const struct kt_device *device;
	struct kt_cert cert;

	if (kt_registry_restore_seq(access->registry) == 0 ||
	    out->reason != KT_REASON_CERT_UNKNOWN ||
	    kt_cert_decode(connect->cert.p, connect->cert.len, &cert) != KT_ERR_OK ||
	    !read_adoption(access, &cert, &shown))
		return;
	device = kt_registry_find_device(access->registry, shown.device.s);
	if (device != NULL && shown.generation <= device->proven_generation &&
	    is_signed_by_us(access, connect->cert))
		out->left_behind = device;
}

static const struct kt_operator *find_operator(const struct kt_config *config,
					       enum kt_operator_kind kind, const char *name)
{
	for (size_t i = 0; name != NULL && i < config->operator_count; i++) {
		if (config->operators[i].kind == kind &&
		    strcmp(config->operators[i].name, name) == 0)
			return &config->operators[i];
	}
	return NULL;
}

static const struct kt_operator *find_cert_operator(const struct kt_config *config, const char *uri,
						    const struct kt_fingerprint *fp)
{
	for (size_t i = 0; i < config->operator_count; i++) {
		if (config->operators[i].kind == KT_OPERATOR_CERT &&
		    strcmp(config->operators[i].name, uri) == 0 &&
		    kt_fingerprint_eq(&config->operators[i].fp, fp))
			return &config->operators[i];
	}
	return NULL;
}

static void let_in(const struct kt_access *access, const struct kt_connect *connect,
		   struct kt_admission *out)
{
	if (!is_username_fine(access, connect->username, out->username))
		refuse(out, KT_ANSWER_DENY, KT_REASON_USERNAME);
	else
		out->answer = KT_ANSWER_ACCEPT;
}

/* op:<name>, as far as a field of @cap holds it: the last part of an operator's URI is short. */
static void set_operator(struct kt_admission *out, enum kt_role role, const char *name)
{
	out->kind = KT_SESSION_OPERATOR;
	out->role = role;
	(void)snprintf(out->actor, sizeof(out->actor), "op:%.*s", KT_ACTOR_MAX - 3, name);
	(void)snprintf(out->username, sizeof(out->username), "%.*s", KT_ACTOR_MAX, out->actor);
}

/* A role rests on a record that is on disk; one that ends it is in force before. */
static void connect_ledger_operator(const struct kt_access *access,
				    const struct kt_connect *connect,
				    const struct kt_operator_entry *entry, struct kt_admission *out)
{
	if (entry->changed_seq > access->durable_seq) {
		refuse(out, KT_ANSWER_NO_ANSWER, KT_REASON_CERT_UNDURABLE);
		return;
	}
	set_operator(out, entry->role, entry->name.s);
	out->operator_entry = entry;
	let_in(access, connect, out);
}

/* False: the certificate is no operator's, neither by the configuration nor by the ledger. */
static bool connect_operator(const struct kt_access *access, const struct kt_connect *connect,
			     const struct kt_client_name *name, const char *uri,
			     struct kt_admission *out)
{
	const struct kt_operator *configured = find_cert_operator(access->config, uri, &out->fp);
	const struct kt_operator_entry *entry = NULL;
	const char *own_name;

	if (kt_uri_decode(uri, access->config->trust_domain, &own_name) != KT_URI_OPERATOR)
		return false;
	if (configured == NULL)
		entry = kt_registry_find_operator(access->registry, own_name);
	if (configured == NULL && (entry == NULL || !kt_fingerprint_eq(&entry->fp, &out->fp)))
		return false;
	if (configured == NULL && entry->is_removed) {
		refuse(out, KT_ANSWER_BANNED, KT_REASON_CERT_REVOKED);
	} else if (name->kind != KT_CLIENT_OPERATOR) {
		refuse(out, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	} else if (configured != NULL) {
		set_operator(out, configured->role, own_name);
		let_in(access, connect, out);
	} else {
		connect_ledger_operator(access, connect, entry, out);
	}
	return true;
}

static void connect_claimant(const struct kt_access *access, const struct kt_connect *connect,
			     const char *batch, struct kt_admission *out)
{
	if (!connect->clean_start) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CLEAN_START);
		return;
	}
	out->kind = KT_SESSION_CLAIM;
	(void)snprintf(out->username, sizeof(out->username), "claim");
	(void)snprintf(out->actor, sizeof(out->actor), batch == NULL ? "claim" : "claim:%.*s",
		       KT_ACTOR_MAX - 6, batch == NULL ? "" : batch);
	let_in(access, connect, out);
}

/* Those behind us decide; @role is what the config gives to the user name once they said yes. */
static void leave_to_others(const struct kt_access *access, const struct kt_connect *connect,
			    struct kt_admission *out)
{
	const struct kt_operator *user =
		find_operator(access->config, KT_OPERATOR_USER, connect->username);

	if (is_reserved_client_id(access->registry, connect->client_id)) {
		refuse(out, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
		return;
	}
	if (is_reserved_username(access->registry, connect->username)) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_USERNAME);
		return;
	}
	out->answer = KT_ANSWER_DEFER;
	out->kind = KT_SESSION_OTHER;
	/* answers go by client id: a session keeps one of KT_CLIENT_ID_MAX at most */
	if (user != NULL && connect->client_id != NULL &&
	    strnlen(connect->client_id, KT_CLIENT_ID_MAX) < KT_CLIENT_ID_MAX) {
		out->role = user->role;
		(void)snprintf(out->actor, sizeof(out->actor), "op:%.*s", KT_ACTOR_MAX - 3,
			       user->name);
	}
}

static void connect_stranger(const struct kt_access *access, const struct kt_connect *connect,
			     const struct kt_client_name *name, struct kt_admission *out)
{
	const char *uri_name;
	enum kt_uri_kind uri_kind;
	struct kt_cert cert;
	enum kt_err err = kt_cert_decode(connect->cert.p, connect->cert.len, &cert);

	if (err != KT_ERR_OK) {
		refuse(out, err == KT_ERR_NOMEM ? KT_ANSWER_NO_ANSWER : KT_ANSWER_DENY,
		       err == KT_ERR_NOMEM ? KT_REASON_BUSY : KT_REASON_CERT_UNKNOWN);
		return;
	}
	out->not_after_s = cert.not_after_s;
	if (now_s(access) > cert.not_after_s || now_s(access) < cert.not_before_s) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CERT_DATES);
		return;
	}
	if (connect_operator(access, connect, name, cert.uri, out))
		return;
	uri_kind = kt_uri_decode(cert.uri, access->config->trust_domain, &uri_name);
	if (uri_kind == KT_URI_CLAIM) {
		if (name->kind != KT_CLIENT_CLAIM)
			refuse(out, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
		else
			connect_claimant(access, connect, uri_name, out);
	} else if (kt_uri_is_ours(cert.uri, access->config->trust_domain)) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CERT_UNKNOWN);
	} else if (access->config->foreign_cert != KT_FALLBACK_DEFER) {
		refuse(out, KT_ANSWER_DENY, KT_REASON_CERT_FOREIGN);
	} else {
		leave_to_others(access, connect, out);
	}
}

/* --- no certificate --- */

static void connect_socket(const struct kt_access *access, const struct kt_connect *connect,
			   const struct kt_client_name *name,
			   const struct kt_operator *operator_entry, struct kt_admission *out)
{
	const bool is_own_id = name->kind == KT_CLIENT_OPERATOR;

	set_operator(out, operator_entry->role, "unix");
	if (connect->client_id == NULL ||
	    strnlen(connect->client_id, KT_CLIENT_ID_MAX) >= KT_CLIENT_ID_MAX ||
	    (!is_own_id && is_reserved_client_id(access->registry, connect->client_id)))
		refuse(out, KT_ANSWER_BAD_ID, KT_REASON_CLIENTID);
	else
		let_in(access, connect, out);
}

static void connect_bare(const struct kt_access *access, const struct kt_connect *connect,
			 const struct kt_client_name *name, struct kt_admission *out)
{
	const struct kt_operator *operator_entry = NULL;

	if (connect->address != NULL && connect->address[0] == '/')
		operator_entry = find_operator(access->config, KT_OPERATOR_UNIX, connect->address);
	if (operator_entry != NULL)
		connect_socket(access, connect, name, operator_entry, out);
	else if (name->kind == KT_CLIENT_CLAIM && access->config->claim_without_certificate)
		connect_claimant(access, connect, NULL, out);
	else
		leave_to_others(access, connect, out);
}

void kt_access_connect(const struct kt_access *access, const struct kt_connect *connect,
		       struct kt_admission *out)
{
	struct kt_client_name name;

	memset(out, 0, sizeof(*out));
	refuse(out, KT_ANSWER_DENY, KT_REASON_DENIED);
	out->kind = KT_SESSION_OTHER;
	out->not_after_s = KT_CERT_NO_END;
	kt_client_name_decode(connect->client_id, &name);
	if (connect->cert.len == 0) {
		connect_bare(access, connect, &name, out);
	} else {
		out->fp = kt_fingerprint_of(connect->cert.p, connect->cert.len);
		out->credential = kt_registry_find_fingerprint(access->registry, &out->fp);
		if (connect_lost(access, connect, &name, out))
			return;
		if (out->credential != NULL)
			connect_device(access, connect, &name, out);
		else
			connect_stranger(access, connect, &name, out);
		note_left_behind(access, connect, out);
	}
	if (access->config->enforce == KT_ENFORCE_OBSERVE)
		kt_observe_connect(access, connect, &name, out);
	if (out->answer == KT_ANSWER_ACCEPT || out->answer == KT_ANSWER_DEFER)
		out->reason = KT_REASON_NONE;
}
