/* Operators: two sessions over the local socket, commands as JSON, answers read as they come. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static struct sim_conn *conn_of(struct sim *sim, unsigned slot)
{
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[i];

		if (conn->is_used && conn->at_client && conn->kind == SIM_CONN_OPERATOR &&
		    conn->owner == slot)
			return conn;
	}
	return NULL;
}

void sim_operator_connect(struct sim *sim, unsigned slot)
{
	static const char *const ids[SIM_OPERATORS] = {"op:anna", "op:bert"};
	struct sim_conn *conn;

	if (conn_of(sim, slot) != NULL)
		return;
	sim->operators[slot].open_count = 0; /* answers to the session before are lost */
	conn = sim_conn_new(sim, SIM_CONN_OPERATOR, slot, ids[slot]);
	sim_later(sim, 1 + sim_some_ms(sim, 50),
		  &(struct sim_event){.kind = SIM_EV_CONNECT,
				      .slot = (unsigned)(conn - sim->conns),
				      .number = conn->number});
}

static int put_command(struct sim *sim, enum sim_fault command, const char *device, char *out,
		       size_t cap)
{
	switch ((int)command) {
	case SIM_ROTATE:
		return snprintf(out, cap, "\"command\":\"rotate\",\"device\":\"%s\"", device);
	case SIM_CANCEL:
		return snprintf(out, cap, "\"command\":\"cancel\",\"device\":\"%s\"", device);
	case SIM_REVOKE:
		return snprintf(out, cap,
				"\"command\":\"revoke\",\"device\":\"%s\",\"emergency\":%s,"
				"\"wipe\":%s",
				device, sim_chance(&sim->chance, 300) ? "true" : "false",
				sim_chance(&sim->chance, 600) ? "true" : "false");
	case SIM_QUARANTINE:
		return snprintf(out, cap, "\"command\":\"quarantine\",\"device\":\"%s\"", device);
	case SIM_RELEASE:
		return snprintf(out, cap, "\"command\":\"release\",\"device\":\"%s\",\"freeze\":%s",
				device, sim_chance(&sim->chance, 500) ? "true" : "false");
	case SIM_DELETE:
		return snprintf(out, cap, "\"command\":\"deleteDevice\",\"device\":\"%s\"", device);
	case SIM_CAMPAIGN:
	case SIM_STEER:
		sim_campaign_say(sim, command, out, cap);
		return 0;
	case SIM_CHALLENGE:
		return snprintf(out, cap, "\"command\":\"challenge\",\"device\":\"%s\"", device);
	default:
		return snprintf(out, cap,
				"\"command\":\"createTicket\",\"device\":\"%s\","
				"\"broker\":\"broker.example:8884\",\"validFor\":31536000",
				device);
	}
}

bool sim_operator_say(struct sim *sim, enum sim_fault command, unsigned hub)
{
	unsigned slot = (unsigned)sim_below(&sim->chance, SIM_OPERATORS);
	struct sim_operator *op = &sim->operators[slot];
	struct sim_conn *conn = conn_of(sim, slot);
	char text[1200];
	char fields[1000];

	if (conn == NULL || !conn->at_broker ||
	    op->open_count == sizeof(op->open) / sizeof(op->open[0]))
		return false;
	(void)put_command(sim, command, sim->devices[hub].id, fields, sizeof(fields));
	op->open[op->open_count].correlation = ++op->asked;
	op->open[op->open_count].command = command;
	op->open[op->open_count].hub = hub;
	op->open_count++;
	(void)snprintf(text, sizeof(text),
		       "{\"commands\":[{%s,\"correlationData\":\"%" PRIu64 "\"}]}", fields,
		       op->asked);
	sim_trace(sim, slot == 0 ? "op-0" : "op-1", "server", "%s", fields);
	sim_check_asked(sim, command, hub);
	sim_net_send(sim, conn, text, strlen(text));
	return true;
}

static bool is_open(const struct sim *sim, const uint8_t hash[static 32])
{
	const struct kt_ticket_entry *entry = kt_registry_find_ticket(sim->server.shadow, hash);

	return entry != NULL && !entry->used;
}

/* An answer that comes late may bring a ticket that a newer one has made void. */
static bool is_void(struct sim *sim, unsigned slot, const struct kt_ticket *ticket)
{
	uint8_t *last = sim->devices[slot].ticket;
	uint8_t hash[32];
	bool is_good;

	kt_sha256(ticket->secret, sizeof(ticket->secret), hash);
	is_good = is_open(sim, hash);
	if (is_good && is_open(sim, last) && memcmp(hash, last, sizeof(hash)) != 0)
		sim_break(sim, "I4", "two tickets of %s are good", sim->devices[slot].id);
	memcpy(last, hash, sizeof(hash));
	return !is_good;
}

/* A ticket in an answer: goes to the hub by hand. */
static void take_ticket(struct sim *sim, unsigned slot, const char *json)
{
	const char *at = strstr(json, KT_TICKET_PREFIX);
	struct sim_hub *hub = &sim->hubs[slot];
	char text[KT_TICKET_MAX];
	struct kt_ticket ticket;
	bool is_useless;
	bool is_wrong;
	size_t len;

	if (at == NULL)
		return;
	len = strcspn(at, "\"");
	if (len >= sizeof(text))
		return;
	memcpy(text, at, len);
	text[len] = '\0';
	if (kt_ticket_decode(text, &ticket) != KT_ERR_OK) {
		sim_break(sim, "X", "a ticket that does not decode");
		return;
	}
	is_useless = is_void(sim, slot, &ticket);
	is_wrong = sim_fault(sim, SIM_WRONG_TICKET);
	if (is_wrong)
		ticket.secret[0] ^= 1;
	if (is_wrong || is_useless)
		sim->devices[slot].may_forget = true;
	sim_hub_take_ticket(sim, hub, &ticket);
	sim->devices[slot].needs_ticket = is_wrong;
}

void sim_operator_heard(struct sim *sim, unsigned slot, const char *json)
{
	struct sim_operator *op = &sim->operators[slot];
	const char *at = strstr(json, "\"correlationData\":\"");
	uint64_t correlation = at == NULL ? 0 : strtoull(at + 19, NULL, 10);
	bool is_done = strstr(json, "\"error\"") == NULL;

	for (size_t i = 0; i < op->open_count; i++) {
		enum sim_fault command = op->open[i].command;
		unsigned hub = op->open[i].hub;

		if (op->open[i].correlation != correlation)
			continue;
		op->open[i] = op->open[--op->open_count];
		sim_trace(sim, "server", slot == 0 ? "op-0" : "op-1", "%s %s: %s",
			  sim_fault_text(command), sim->devices[hub].id, is_done ? "done" : json);
		sim_check_ack(sim, command, hub, is_done);
		if (command == SIM_TICKET && is_done)
			take_ticket(sim, hub, json);
		return;
	}
}
