#include "control_internal.h"

#include <stdio.h>
#include <string.h>

#include "encoding.h"
#include "labels.h"
#include "secmem.h"
#include "topic.h"

enum { TICKET_DEFAULT_S = 604800, TICKET_MAX_S = 31536000 };

struct new_device { /* what createDevice and approve name */
	struct kt_device_id id;
	struct kt_key_id key_id;
	const char *group;
};

static bool take_new_device(struct kt_control *c, struct new_device *out)
{
	return kt_field_device(c->item, &out->id, &c->refusal) &&
	       kt_field_key_id(c->item, &out->key_id, &c->refusal) &&
	       kt_field_name(c->item, "group", false, &out->group, &c->refusal);
}

static void report_new_device(struct kt_control *c, const struct new_device *new_device,
			      struct kt_outcome outcome)
{
	if (!kt_control_outcome(c, outcome)) {
		return;
	}
	c->device = kt_registry_find_device(c->core->registry, new_device->id.s);
	kt_json_put_string(kt_control_data(c), "device", new_device->id.s);
}

void kt_command_create_device(struct kt_control *c)
{
	struct new_device d;
	if (take_new_device(c, &d)) {
		bool has_key = kt_json_member(c->item, "keyId") != NULL;
		report_new_device(c, &d,
				  kt_device_create(c->core, d.id.s, d.group,
						   has_key ? &d.key_id : NULL, c->actor));
	}
}

/* The broker's address that the new hub shall connect to: the command's, else the config's. */
static bool ticket_broker(struct kt_control *c, struct kt_ticket *ticket)
{
	const char *broker = kt_json_string(c->item, "broker");
	const char *source = broker != NULL ? broker : c->core->config->broker_address;
	const char *colon = strrchr(source, ':');
	uint64_t port = 0;
	if (source[0] == '\0') {
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "broker",
				 "is missing, and broker_address is not configured");
	}
	if (colon == NULL || colon == source || strpbrk(source, " \t/") != NULL ||
	    kt_u64_decode(colon + 1, strlen(colon + 1), &port) != KT_ERR_OK || port < 1 ||
	    port > UINT16_MAX) {
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "broker", "is not host:port");
	}
	memcpy(ticket->broker, source, strlen(source) + 1);
	return true;
}

static bool ticket_subject(struct kt_control *c, struct kt_ticket *ticket)
{
	struct kt_device_id id;
	const char *group = "";
	const char *pattern = "";
	if (!kt_field_device(c->item, &id, &c->refusal) ||
	    !kt_field_name(c->item, "group", false, &group, &c->refusal) ||
	    !kt_field_name(c->item, "pattern", true, &pattern, &c->refusal)) {
		return false;
	}
	bool has_device = id.s[0] != '\0';
	bool has_group = group[0] != '\0';
	bool has_pattern = pattern[0] != '\0';
	if (has_group != has_pattern || has_device == has_group) {
		return kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "device",
				 "or group together with pattern: exactly one of both");
	}
	memcpy(ticket->device, id.s, sizeof(id.s));
	memcpy(ticket->group, group, strlen(group) + 1);
	memcpy(ticket->pattern, pattern, strlen(pattern) + 1);
	return true;
}

/*
 * The answer goes by client id, and later than the question: an id that is not reserved to
 * operators could be somebody else's by then.
 */
static bool may_get_secrets(struct kt_control *c)
{
	struct kt_client_name name;

	kt_client_name_decode(c->session->client_id, &name);
	if (name.kind == KT_CLIENT_OPERATOR)
		return true;
	return kt_refuse(&c->refusal, KT_REASON_DENIED, "",
			 "a ticket goes to a client id that begins with op: alone");
}

/* The ticket is in the answer and nowhere else: not in a log line, an event or the ledger. */
void kt_command_create_ticket(struct kt_control *c)
{
	static const int64_t range[2] = {1, TICKET_MAX_S};
	struct kt_ticket ticket;
	char text[KT_TICKET_MAX];
	int64_t valid_s = TICKET_DEFAULT_S;

	memset(&ticket, 0, sizeof(ticket));
	memset(text, 0, sizeof(text));
	if (!may_get_secrets(c) || !ticket_subject(c, &ticket) || !ticket_broker(c, &ticket) ||
	    !kt_field_number(c->item, "validFor", range, &valid_s, &c->refusal)) {
		return;
	}
	ticket.expires_us = c->core->now.wall_us + valid_s * 1000000;
	if (!kt_control_outcome(c, kt_enroll_ticket(c->core, &ticket, c->actor))) {
		goto out;
	}
	c->device = ticket.device[0] != '\0'
			    ? kt_registry_find_device(c->core->registry, ticket.device)
			    : NULL;
	if (kt_ticket_encode(&ticket, text) != KT_ERR_OK) {
		(void)kt_refuse(&c->refusal, KT_REASON_BUSY, "",
				"the ticket could not be written down, ask for another");
		goto out;
	}
	kt_json_put_string(kt_control_data(c), "ticket", text);
	kt_control_put_time(kt_control_data(c), "expires", ticket.expires_us);
out:
	kt_wipe(text, sizeof(text));
	kt_wipe(&ticket, sizeof(ticket));
}

void kt_command_approve(struct kt_control *c)
{
	struct new_device d;
	if (take_new_device(c, &d)) {
		report_new_device(c, &d,
				  kt_enroll_approve(c->core, d.id.s, &d.key_id, d.group, c->actor));
	}
}

void kt_command_deny(struct kt_control *c)
{
	struct kt_key_id key_id;
	if (kt_field_key_id(c->item, &key_id, &c->refusal)) {
		(void)kt_control_outcome(c, kt_enroll_deny(c->core, &key_id, c->actor));
	}
}

/* --- to each of the devices that are meant --- */

static struct kt_outcome rotate(struct kt_control *c, const struct kt_device *device)
{
	return kt_rotation_order(c->core, device, c->actor, kt_control_note(c));
}

static struct kt_outcome cancel(struct kt_control *c, const struct kt_device *device)
{
	return kt_rotation_cancel(c->core, device, c->actor);
}

static struct kt_outcome challenge(struct kt_control *c, const struct kt_device *device)
{
	return kt_challenge_send(c->core, device, c->actor);
}

static struct kt_outcome quarantine(struct kt_control *c, const struct kt_device *device)
{
	return kt_device_quarantine(c->core, device, c->actor, kt_control_note(c));
}

static struct kt_outcome release(struct kt_control *c, const struct kt_device *device)
{
	return kt_json_bool(c->item, "freeze") ? kt_device_unfreeze(c->core, device, c->actor)
					       : kt_device_release(c->core, device, c->actor);
}

static struct kt_outcome revoke(struct kt_control *c, const struct kt_device *device)
{
	const struct kt_revoke_order order = {.emergency = kt_json_bool(c->item, "emergency"),
					      .wipe = kt_json_bool(c->item, "wipe"),
					      .note = kt_control_note(c)};

	return kt_device_revoke(c->core, device, c->actor, &order);
}

static struct kt_outcome delete_device(struct kt_control *c, const struct kt_device *device)
{
	return kt_device_delete(c->core, device, c->actor);
}

/* "", which is no label, for what is no string. */
static const char *label_of(const struct kt_json_value *value)
{
	return kt_json_is(value, KT_JSON_STRING) ? kt_json_value_string(value) : "";
}

/* What "addLabels" and "removeLabels" make of @labels. KT_ERR_INVALID: one is no label;
 * KT_ERR_TOO_LONG: no room. */
static enum kt_err change_labels(const struct kt_control *c, struct kt_labels *labels)
{
	const struct kt_json_value *added = kt_json_member(c->item, "addLabels");
	const struct kt_json_value *removed = kt_json_member(c->item, "removeLabels");
	const struct kt_json_value *value;
	enum kt_err err = KT_ERR_OK;

	for (value = removed != NULL ? kt_json_first(removed) : NULL; value != NULL;
	     value = kt_json_next(value)) {
		if (!kt_is_label(label_of(value), strlen(label_of(value))))
			return KT_ERR_INVALID;
		kt_labels_remove(labels, label_of(value));
	}
	for (value = added != NULL ? kt_json_first(added) : NULL; err == KT_ERR_OK && value != NULL;
	     value = kt_json_next(value))
		err = kt_labels_add(labels, label_of(value));
	return err;
}

static struct kt_outcome set_device(struct kt_control *c, const struct kt_device *device)
{
	const char *group = kt_json_string(c->item, "group");
	struct kt_labels labels;

	(void)snprintf(labels.s, sizeof(labels.s), "%s", device->labels);
	if (change_labels(c, &labels) != KT_ERR_OK) /* their form was looked at before */
		return (struct kt_outcome){.reason = KT_REASON_MSG_SIZE};
	return kt_device_set(c->core, device, group != NULL ? group : device->group, labels.s,
			     c->actor);
}

/* A group of "" ends the one that there is. */
void kt_command_set_device(struct kt_control *c)
{
	const char *group = kt_json_string(c->item, "group");
	struct kt_labels labels = {.s = ""};
	enum kt_err err;

	if (group == NULL && kt_json_member(c->item, "addLabels") == NULL &&
	    kt_json_member(c->item, "removeLabels") == NULL) {
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "group",
				"or addLabels or removeLabels: at least one of them");
		return;
	}
	if (group != NULL && group[0] != '\0' &&
	    !kt_field_name(c->item, "group", false, &group, &c->refusal))
		return;
	err = change_labels(c, &labels);
	if (err == KT_ERR_OK)
		kt_control_each(c, set_device);
	else if (err == KT_ERR_TOO_LONG)
		(void)kt_refuse(&c->refusal, KT_REASON_MSG_SIZE, "addLabels",
				"has more than 255 characters of labels");
	else
		(void)kt_refuse(&c->refusal, KT_REASON_JSON_FIELD, "addLabels",
				"or removeLabels holds something that is no label (1 to 63 of "
				"A-Z a-z 0-9 . _ : / -)");
}

void kt_command_rotate(struct kt_control *c)
{
	c->tells_op = true;
	kt_control_each(c, rotate);
}

void kt_command_cancel(struct kt_control *c)
{
	kt_control_each(c, cancel);
}

void kt_command_challenge(struct kt_control *c)
{
	kt_control_each(c, challenge);
}

void kt_command_quarantine(struct kt_control *c)
{
	kt_control_each(c, quarantine);
}

void kt_command_release(struct kt_control *c)
{
	kt_control_each(c, release);
}

void kt_command_revoke(struct kt_control *c)
{
	kt_control_each(c, revoke);
}

void kt_command_delete_device(struct kt_control *c)
{
	kt_control_each(c, delete_device);
}

void kt_command_confirm_clock(struct kt_control *c)
{
	(void)kt_control_outcome(c, kt_clock_confirm(c->core, c->actor));
}

void kt_command_end_reconcile(struct kt_control *c)
{
	(void)kt_control_outcome(c, kt_reconcile_end(c->core, c->actor, kt_control_note(c)));
}
