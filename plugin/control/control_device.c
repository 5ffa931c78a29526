#include "control_internal.h"

#include <stdio.h>
#include <string.h>

#include "encoding.h"
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
						   has_key ? &d.key_id : NULL, c->session->actor));
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
	if (!kt_control_outcome(c, kt_enroll_ticket(c->core, &ticket, c->session->actor))) {
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
		report_new_device(
			c, &d,
			kt_enroll_approve(c->core, d.id.s, &d.key_id, d.group, c->session->actor));
	}
}

void kt_command_deny(struct kt_control *c)
{
	struct kt_key_id key_id;
	if (kt_field_key_id(c->item, &key_id, &c->refusal)) {
		(void)kt_control_outcome(c, kt_enroll_deny(c->core, &key_id, c->session->actor));
	}
}

void kt_command_cancel(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device != NULL) {
		(void)kt_control_outcome(c, kt_rotation_cancel(c->core, device, c->session->actor));
	}
}

void kt_command_challenge(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device != NULL) {
		(void)kt_control_outcome(c, kt_challenge_send(c->core, device, c->session->actor));
	}
}

void kt_command_quarantine(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device != NULL) {
		(void)kt_control_outcome(c, kt_device_quarantine(c->core, device, c->session->actor,
								 kt_control_note(c)));
	}
}

void kt_command_release(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device == NULL) {
		return;
	}
	struct kt_outcome outcome =
		kt_json_bool(c->item, "freeze")
			? kt_rotation_unfreeze(c->core, device, c->session->actor)
			: kt_device_release(c->core, device, c->session->actor);
	(void)kt_control_outcome(c, outcome);
}

void kt_command_confirm_clock(struct kt_control *c)
{
	(void)kt_control_outcome(c, kt_clock_confirm(c->core, c->session->actor));
}

void kt_command_end_reconcile(struct kt_control *c)
{
	(void)kt_control_outcome(c,
				 kt_reconcile_end(c->core, c->session->actor, kt_control_note(c)));
}

void kt_command_revoke(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device == NULL) {
		return;
	}
	const struct kt_revoke_order order = {.emergency = kt_json_bool(c->item, "emergency"),
					      .wipe = kt_json_bool(c->item, "wipe"),
					      .note = kt_control_note(c)};
	(void)kt_control_outcome(c, kt_device_revoke(c->core, device, c->session->actor, &order));
}

void kt_command_delete_device(struct kt_control *c)
{
	const struct kt_device *device = kt_control_device(c);
	if (device != NULL) {
		(void)kt_control_outcome(c, kt_device_delete(c->core, device, c->session->actor));
	}
}
