/* The rights of DESIGN section 3, in its order. */
#include "access.h"

#include <stdio.h>
#include <string.h>

#include "access_observe.h"

enum who_kind {
	WHO_OTHER,
	WHO_DEVICE, /* <device-id>, <device-id>:<tag> */
	WHO_AGENT,  /* :agent, :trial */
	WHO_CLAIM
};

struct who {
	enum who_kind kind;
	enum kt_role role;
	const struct kt_device *device;
	bool is_late;		 /* the session is over: what it sends now is a will */
	bool has_site_topics;	 /* DEVICE: not held back by quarantine, age or an old credential */
	bool is_only_old;	 /* DEVICE: by nothing but its key's age, or its state as NEW */
	bool has_keyturn_topics; /* AGENT: not revoked */
};

enum { PATTERN_MAX = KT_ACL_EXPANDED_MAX + 1 };

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum kt_right deny(enum kt_reason *reason, enum kt_reason why)
{
	*reason = why;
	return KT_RIGHT_DENY;
}

/*
 * A superseded credential keeps its site topics for a while: the hub's programs must reload. And
 * until that is durable: the disk still calls it current. Age is asked for now: the key may have
 * been young when the session began.
 */
static bool is_credential_good(const struct kt_access *access, const struct kt_session *session)
{
	if (session->credential == NULL || session->device == NULL)
		return false;
	if (session->credential->status == KT_CREDENTIAL_CURRENT)
		return true;
	return session->credential->status == KT_CREDENTIAL_SUPERSEDED &&
	       (access->now.mono_ms < session->drain_until_ms ||
		session->credential->changed_seq > access->durable_seq);
}

static bool is_too_old(const struct kt_access *access, const struct kt_session *session)
{
	return session->credential->status == KT_CREDENTIAL_CURRENT &&
	       kt_access_is_over_age(access, session->device);
}

static bool is_revoked(const struct kt_device *device)
{
	return device->state == KT_DEVICE_DELETED || device->state == KT_DEVICE_REVOKED;
}

/* Until its end is durable, too: a right that is lost with the power must not have been used. */
static bool is_quarantined(const struct kt_access *access, const struct kt_device *device)
{
	return device->quarantined || device->adopted || device->released_seq > access->durable_seq;
}

static void who_of_session(const struct kt_access *access, const struct kt_session *session,
			   struct who *out)
{
	out->role = kt_session_role(session);
	out->device = session->device;
	out->is_late = session->gone;
	switch (session->kind) {
	case KT_SESSION_AGENT:
	case KT_SESSION_TRIAL:
		out->kind = WHO_AGENT;
		out->has_keyturn_topics = session->device != NULL && session->credential != NULL &&
					  session->credential->status != KT_CREDENTIAL_REVOKED;
		return;
	case KT_SESSION_CLAIM:
		out->kind = WHO_CLAIM;
		return;
	case KT_SESSION_DEVICE:
		out->kind = WHO_DEVICE;
		out->is_only_old = session->device != NULL && !is_revoked(session->device) &&
				   !is_quarantined(access, session->device) &&
				   is_credential_good(access, session);
		out->has_site_topics = out->is_only_old && !is_too_old(access, session);
		return;
	case KT_SESSION_OPERATOR:
	case KT_SESSION_OTHER:
		out->kind = WHO_OTHER;
		return;
	}
}

/*
 * A client that is not in the table and shows no certificate: offline, restored after a restart,
 * the source of a retained message, a late will. We gave a device's sessions its id as user name,
 * so both names must be of one device. False: nobody's.
 */
static bool who_of_names(const struct kt_access *access, const struct kt_acl_question *question,
			 struct who *out)
{
	const struct kt_device *device =
		question->username == NULL
			? NULL
			: kt_registry_find_device(access->registry, question->username);
	struct kt_client_name name;

	out->is_late = true;
	kt_client_name_decode(question->client_id, &name);
	if (device != NULL && strcmp(name.device.s, device->id.s) == 0) {
		out->device = device;
		if (name.kind == KT_CLIENT_AGENT || name.kind == KT_CLIENT_TRIAL) {
			out->kind = WHO_AGENT;
			return true;
		}
		out->kind = WHO_DEVICE;
		out->is_only_old = !is_revoked(device) && !is_quarantined(access, device);
		out->has_site_topics = out->is_only_old && device->state == KT_DEVICE_ACTIVE &&
				       !kt_access_is_over_age(access, device);
		return name.kind == KT_CLIENT_DEVICE || name.kind == KT_CLIENT_TAGGED;
	}
	out->kind = name.kind == KT_CLIENT_CLAIM ? WHO_CLAIM : WHO_OTHER;
	if (name.kind == KT_CLIENT_CLAIM || name.kind == KT_CLIENT_OPERATOR)
		return true;
	return !kt_access_is_reserved(access->registry, question->client_id, question->username);
}

/* --- 1. Keyturn's own namespace --- */

static bool is_in_keyturn(const char *topic)
{
	return strcmp(topic, "keyturn") == 0 || starts_with(topic, "keyturn/") ||
	       strcmp(topic, "$CONTROL/keyturn") == 0 || starts_with(topic, "$CONTROL/keyturn/") ||
	       strcmp(topic, "$SYS/broker/keyturn") == 0 || starts_with(topic, KT_TOPIC_SYS_PREFIX);
}

static bool may_write(const struct who *who, const char *topic)
{
	if (strcmp(topic, KT_TOPIC_DEVICE_IN) == 0)
		return !who->is_late && (who->kind == WHO_CLAIM ||
					 (who->kind == WHO_AGENT && who->has_keyturn_topics));
	if (strcmp(topic, KT_TOPIC_CONTROL) == 0)
		return !who->is_late && who->role != KT_ROLE_NONE;
	return false;
}

static bool is_own_cmd(const struct who *who, const char *topic)
{
	char own[KT_TOPIC_MAX];

	if (who->kind == WHO_CLAIM)
		return strcmp(topic, KT_TOPIC_CLAIM_CMD) == 0;
	if (who->kind != WHO_AGENT || !who->has_keyturn_topics)
		return false;
	kt_topic_device_cmd(&who->device->id, own);
	return strcmp(topic, own) == 0;
}

/* @topic may be a filter: then all that it can match must be readable. */
static bool may_read(const struct who *who, const char *topic)
{
	if (is_own_cmd(who, topic))
		return true;
	if (who->role == KT_ROLE_NONE)
		return false;
	return strcmp(topic, KT_TOPIC_CONTROL_RESPONSE) == 0 ||
	       kt_filter_matches(KT_TOPIC_EVENTS_PREFIX "#", topic) ||
	       kt_filter_matches(KT_TOPIC_SYS_PREFIX "#", topic);
}

/* --- 2. site patterns --- */

/* True if some topic matches both filters (neither is $share). */
static bool filters_overlap(const char *a, const char *b)
{
	for (;;) {
		const size_t a_len = strcspn(a, "/");
		const size_t b_len = strcspn(b, "/");
		const bool a_plus = a_len == 1 && a[0] == '+';
		const bool b_plus = b_len == 1 && b[0] == '+';

		if (a[0] == '#' || b[0] == '#')
			return true;
		if (!a_plus && !b_plus && (a_len != b_len || strncmp(a, b, a_len) != 0))
			return false;
		if (a[a_len] == '\0' || b[b_len] == '\0')
			return (a[a_len] == '\0' || strcmp(a + a_len, "/#") == 0) &&
			       (b[b_len] == '\0' || strcmp(b + b_len, "/#") == 0);
		a += a_len + 1;
		b += b_len + 1;
	}
}

/* "" until a change is durable: neither the old group's topics nor the new one's. */
static const char *group_of(const struct kt_access *access, const struct kt_device *device)
{
	return device->grouped_seq > access->durable_seq ? "" : device->group;
}

/* %d and %g filled in. False: does not fit, or the device has no group. */
static bool expand(const struct kt_access *access, const char *pattern,
		   const struct kt_device *device, char out[static PATTERN_MAX])
{
	size_t len = 0;

	for (; *pattern != '\0'; pattern++) {
		const char *part = NULL;

		if (pattern[0] == '%' && pattern[1] == 'd')
			part = device->id.s;
		else if (pattern[0] == '%' && pattern[1] == 'g')
			part = group_of(access, device);
		if (part != NULL) {
			const size_t part_len = strlen(part);

			if (part_len == 0 || len + part_len >= PATTERN_MAX)
				return false;
			memcpy(out + len, part, part_len);
			len += part_len;
			pattern++;
		} else if (len + 1 >= PATTERN_MAX) {
			return false;
		} else {
			out[len++] = *pattern;
		}
	}
	out[len] = '\0';
	return true;
}

static bool rule_covers(const struct kt_acl_rule *rule, enum kt_acl_action action)
{
	const unsigned need =
		action == KT_ACL_DO_WRITE ? (unsigned)KT_ACL_WRITE : (unsigned)KT_ACL_READ;

	return rule->access == KT_ACL_DENY || ((unsigned)rule->access & need) != 0;
}

static enum kt_right site_right(const struct kt_access *access, const struct who *who,
				enum kt_acl_action action, const char *topic)
{
	char pattern[PATTERN_MAX] = "";

	/* no pattern reaches a $ topic, whatever the config says */
	for (size_t i = 0; topic[0] != '$' && i < access->acl->rule_count; i++) {
		const struct kt_acl_rule *rule = &access->acl->rules[i];

		if (!rule_covers(rule, action) ||
		    !expand(access, rule->pattern, who->device, pattern))
			continue;
		if (rule->access == KT_ACL_DENY) {
			if (filters_overlap(pattern, topic))
				return KT_RIGHT_DENY;
		} else if (kt_filter_matches(pattern, topic)) {
			return KT_RIGHT_ALLOW;
		}
	}
	return access->acl->device == KT_FALLBACK_DEFER ? KT_RIGHT_DEFER : KT_RIGHT_DENY;
}

/* "$share/<group>/<filter>" -> "<filter>"; NULL if it has none. */
static const char *without_share(const char *filter)
{
	const char *slash;

	if (!starts_with(filter, "$share/"))
		return filter;
	slash = strchr(filter + strlen("$share/"), '/');
	return slash == NULL ? NULL : slash + 1;
}

static enum kt_right right_of(const struct kt_access *access, const struct who *who,
			      const struct kt_acl_question *question)
{
	const bool is_filter = question->action == KT_ACL_DO_SUBSCRIBE;
	const char *topic = question->topic;

	if (question->action == KT_ACL_DO_WRITE && is_in_keyturn(topic))
		return may_write(who, topic) ? KT_RIGHT_ALLOW : KT_RIGHT_DENY;
	if (question->action != KT_ACL_DO_WRITE &&
	    (is_filter ? kt_filter_touches_keyturn(topic) : is_in_keyturn(topic)))
		return may_read(who, topic) ? KT_RIGHT_ALLOW : KT_RIGHT_DENY;
	topic = is_filter ? without_share(topic) : topic;
	if (topic == NULL)
		return KT_RIGHT_DENY;
	if (who->kind != WHO_OTHER) {
		if (who->kind != WHO_DEVICE || !who->has_site_topics ||
		    strcmp(topic, "$CONTROL") == 0 || starts_with(topic, "$CONTROL/"))
			return KT_RIGHT_DENY;
		return site_right(access, who, question->action, topic);
	}
	if (access->acl->other == KT_FALLBACK_ALLOW && !starts_with(topic, "$CONTROL"))
		return KT_RIGHT_ALLOW;
	return KT_RIGHT_DEFER;
}

/* Held back for nothing but what enforce = on asks of it: then it is judged as one of the others.
 */
static bool is_only_observed(const struct kt_access *access, const struct who *who)
{
	return access->config->enforce == KT_ENFORCE_OBSERVE && who->kind == WHO_DEVICE &&
	       who->is_only_old;
}

/* While observing, a client of the old fleet that is offline may have a device's name. */
static bool who_of_free_names(const struct kt_access *access,
			      const struct kt_acl_question *question, struct who *out)
{
	if (access->config->enforce != KT_ENFORCE_OBSERVE ||
	    !kt_observe_are_names_free(access, question->client_id, question->username))
		return false;
	*out = (struct who){.kind = WHO_OTHER, .is_late = true};
	return true;
}

static bool is_somebody(const struct kt_access *access, const struct kt_acl_question *question,
			struct who *out, enum kt_reason *reason)
{
	if (question->session != NULL) {
		who_of_session(access, question->session, out);
		return true;
	}
	if (!question->has_cert_now && who_of_names(access, question, out))
		return true;
	*reason = KT_REASON_ACL_POINTER;
	return !question->has_cert_now && who_of_free_names(access, question, out);
}

enum kt_right kt_access_acl(const struct kt_access *access, const struct kt_acl_question *question,
			    enum kt_reason *reason)
{
	struct who who = {.kind = WHO_OTHER};
	enum kt_right right;

	*reason = KT_REASON_NONE;
	if (question->topic == NULL)
		return deny(reason, KT_REASON_ACL_TOPIC);
	if (!is_somebody(access, question, &who, reason))
		return KT_RIGHT_DENY;
	if (question->action == KT_ACL_DO_UNSUBSCRIBE && who.kind != WHO_OTHER)
		return KT_RIGHT_ALLOW; /* nobody gains by it */
	if (question->action == KT_ACL_DO_WRITE && who.is_late &&
	    (who.kind == WHO_AGENT || who.kind == WHO_CLAIM))
		return deny(reason, KT_REASON_ACL_WILL);
	right = right_of(access, &who, question);
	if (right != KT_RIGHT_DENY)
		return right;
	*reason = KT_REASON_ACL_TOPIC;
	if (is_only_observed(access, &who)) {
		who.kind = WHO_OTHER;
		right = right_of(access, &who, question);
	}
	return right;
}
