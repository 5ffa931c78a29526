/*
 * topic - the topics, client ids and SPIFFE URIs of Keyturn, built and recognised.
 *
 * Pure string rules (DESIGN section 3); no rights, those are the plugin's access.h. Any thread.
 */
#ifndef KT_TOPIC_H
#define KT_TOPIC_H

#include "err.h"
#include "types.h"

#define KT_TOPIC_CONTROL	  "$CONTROL/keyturn/v1"
#define KT_TOPIC_CONTROL_RESPONSE "$CONTROL/keyturn/v1/response"
#define KT_TOPIC_DEVICE_IN	  "$CONTROL/keyturn/v1/dev"
#define KT_TOPIC_CLAIM_CMD	  "keyturn/v1/claim/cmd"
#define KT_TOPIC_DEVICE_PREFIX	  "keyturn/v1/device/"
#define KT_TOPIC_EVENTS_PREFIX	  "keyturn/v1/events/"
#define KT_TOPIC_SYS_PREFIX	  "$SYS/broker/keyturn/"
#define KT_TOPIC_HEAD		  KT_TOPIC_SYS_PREFIX "head"
#define KT_TAG_AGENT		  "agent"
#define KT_TAG_TRIAL		  "trial"

enum { KT_TOPIC_MAX = 256, KT_CLIENT_ID_MAX = 128, KT_CLAIM_RANDOM_LEN = 22 };

/* "keyturn/v1/device/<device>/cmd"; cannot fail for a valid id. */
void kt_topic_device_cmd(const struct kt_device_id *device, char out[static KT_TOPIC_MAX]);
/* "<device>:<tag>" */
void kt_client_id_of(const struct kt_device_id *device, const char *tag,
		     char out[static KT_CLIENT_ID_MAX]);

enum kt_client_kind {
	KT_CLIENT_OTHER,    /* none of ours */
	KT_CLIENT_DEVICE,   /* <device-id> */
	KT_CLIENT_TAGGED,   /* <device-id>:<tag>, neither agent nor trial */
	KT_CLIENT_AGENT,    /* <device-id>:agent */
	KT_CLIENT_TRIAL,    /* <device-id>:trial */
	KT_CLIENT_CLAIM,    /* claim:<22 base64url> */
	KT_CLIENT_OPERATOR, /* op:<name>, a name of a device id's shape */
	KT_CLIENT_RESERVED  /* in one of our namespaces, but malformed: nobody's */
};

struct kt_client_name {
	enum kt_client_kind kind;
	struct kt_device_id device; /* DEVICE, TAGGED, AGENT, TRIAL, RESERVED (see below) */
};

/*
 * What a client id claims to be, by its shape alone. DEVICE means "could be a device's id": only
 * the registry knows whether it is one. RESERVED with a device ("hub-17:a:b") is nobody's only if
 * the registry holds that device, otherwise as OTHER; without one ("claim:x", "OP:x") it always
 * is. @client_id may be NULL (OTHER).
 */
void kt_client_name_decode(const char *client_id, struct kt_client_name *out);

enum kt_uri_kind {
	KT_URI_OTHER,
	KT_URI_DEVICE,
	KT_URI_CLAIM,
	KT_URI_OPERATOR,
	KT_URI_CONTROLLER,
	KT_URI_BROKER
};

/*
 * Splits spiffe://<trust_domain>/<kind>/<name>. KT_URI_OTHER (and *name "") unless the trust domain
 * is exactly ours, the kind is known and the name is [A-Za-z0-9._-]+ with an alphanumeric in front
 * (of a device: its id). *name points into @uri.
 */
enum kt_uri_kind kt_uri_decode(const char *uri, const char *trust_domain, const char **name);
/* True if the URI is in our trust domain at all, whatever the rest. */
bool kt_uri_is_ours(const char *uri, const char *trust_domain);
/* "spiffe://<td>/device/<id>" */
void kt_uri_device(const char *trust_domain, const char *device, char out[static KT_URI_MAX + 1]);

/*
 * May a subscription filter match anything that keyturn/#, $CONTROL/keyturn/# or
 * $SYS/broker/keyturn/# matches? Strips $share/<group>/ first. Wildcards do not match a leading $
 * (MQTT 5 section 4.7.2). True as well for NULL and for what is no filter at all.
 */
bool kt_filter_touches_keyturn(const char *filter);
/*
 * MQTT 5 section 4.7 matching of a filter (not $share) against a topic. With a filter in place of
 * @topic: true only if @filter matches everything that it matches. False for what is malformed.
 */
bool kt_filter_matches(const char *filter, const char *topic);

#endif
