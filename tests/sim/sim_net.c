/* Connections: what broker and client know of each, and what the network makes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "topic.h"

enum {
	HALF_OPEN_MS = 90000,
	LATE_MS = 120000,
	NETWORKS = 3,
	ROAM = 200,
	STAY_MS = 20000, /* no hub changes its network faster than that */
	AHEAD = 777	 /* an op that the server will not come to: it would have another nonce */
};

static const char *end_name(const struct sim *sim, const struct sim_conn *conn)
{
	static const char *const operators[] = {"op-0", "op-1"};

	return conn->kind == SIM_CONN_OPERATOR ? operators[conn->owner] : sim->hubs[conn->owner].id;
}

/* --- the table --- */

static uintptr_t new_pointer(struct sim *sim)
{
	/* the broker's memory is used again, often at once */
	if (sim->free_count > 0 && sim_chance(&sim->schedule, 700))
		return sim->free_pointer[--sim->free_count];
	sim->next_pointer += 64;
	return 0x10000 + sim->next_pointer;
}

struct sim_conn *sim_conn_new(struct sim *sim, enum sim_conn_kind kind, unsigned owner,
			      const char *client_id)
{
	struct sim_conn *conn = NULL;

	for (unsigned i = 0; i < SIM_CONNS && conn == NULL; i++) {
		if (!sim->conns[i].is_used)
			conn = &sim->conns[i];
	}
	if (conn == NULL) {
		sim_break(sim, "X", "too many connections");
		conn = &sim->conns[0];
	}
	memset(conn, 0, sizeof(*conn));
	conn->is_used = true;
	conn->at_client = true;
	conn->number = ++sim->conn_number;
	conn->kind = kind;
	conn->owner = owner;
	(void)snprintf(conn->client_id, sizeof(conn->client_id), "%s", client_id);
	return conn;
}

struct sim_conn *sim_conn_of(struct sim *sim, unsigned index, uint64_t number)
{
	struct sim_conn *conn = &sim->conns[index];

	return conn->is_used && conn->number == number ? conn : NULL;
}

struct sim_conn *sim_conn_of_link(struct sim *sim, unsigned hub, enum kt_link link)
{
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[i];

		if (conn->is_used && conn->at_client && conn->kind == SIM_CONN_LINK &&
		    conn->owner == hub && conn->link == link)
			return conn;
	}
	return NULL;
}

void sim_conn_settle(struct sim *sim, struct sim_conn *conn)
{
	if (conn->at_client || conn->at_broker)
		return;
	if (conn->pointer != 0 && sim->free_count < SIM_CONNS)
		sim->free_pointer[sim->free_count++] = conn->pointer;
	conn->is_used = false;
}

static unsigned index_of(const struct sim *sim, const struct sim_conn *conn)
{
	return (unsigned)(conn - sim->conns);
}

/* --- ends --- */

static void tell_core(struct sim *sim, struct sim_conn *conn)
{
	struct sim_server *s = &sim->server;

	if (!conn->at_broker)
		return;
	conn->at_broker = false;
	if (s->is_up && !s->is_dying)
		kt_core_disconnect(s->core, sim_server_now(sim), conn->pointer);
}

static void tell_client_later(struct sim *sim, const struct sim_conn *conn,
			      enum kt_link_cause cause)
{
	int64_t delay = sim_fault(sim, SIM_LATE_DOWN) ? sim_some_ms(sim, HALF_OPEN_MS)
						      : sim_some_ms(sim, 200);

	sim_later(sim, delay,
		  &(struct sim_event){.kind = SIM_EV_DOWN,
				      .slot = index_of(sim, conn),
				      .number = conn->number,
				      .cause = (int)cause});
}

void sim_net_end(struct sim *sim, struct sim_conn *conn, enum kt_link_cause cause)
{
	tell_core(sim, conn);
	sim_trace(sim, "server", end_name(sim, conn), "ends %s", conn->client_id);
	if (conn->at_client)
		tell_client_later(sim, conn, cause);
	sim_conn_settle(sim, conn);
}

void sim_net_client_gone(struct sim *sim, struct sim_conn *conn)
{
	conn->at_client = false;
	if (conn->at_broker)
		sim_later(sim,
			  sim_fault(sim, SIM_LATE_DOWN) ? sim_some_ms(sim, HALF_OPEN_MS)
							: sim_some_ms(sim, 300),
			  &(struct sim_event){.kind = SIM_EV_END,
					      .slot = index_of(sim, conn),
					      .number = conn->number});
	sim_conn_settle(sim, conn);
}

void sim_net_server_gone(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[i];

		if (!conn->is_used || !conn->at_broker)
			continue;
		conn->at_broker = false;
		if (conn->at_client)
			tell_client_later(sim, conn, KT_CAUSE_LOST);
		sim_conn_settle(sim, conn);
	}
	sim->free_count = 0; /* another process, other addresses */
}

void sim_net_broker_down(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);

	if (conn == NULL || !conn->at_broker)
		return;
	sim_net_end(sim, conn, KT_CAUSE_LOST);
	sim_server_after(sim);
}

static void app_down(struct sim *sim, const struct sim_conn *conn, int cause)
{
	/* a program whose credential is refused waits for its hook; else it comes back */
	if (cause != KT_CAUSE_REFUSED)
		sim_later(sim, 1000 + sim_some_ms(sim, 30000),
			  &(struct sim_event){.kind = SIM_EV_APP,
					      .slot = conn->owner,
					      .number = sim->hubs[conn->owner].life});
}

void sim_net_down(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);
	struct kt_link_event down = {.kind = KT_LINK_DOWN,
				     .cause = (enum kt_link_cause)event->cause};
	enum sim_conn_kind kind;
	unsigned owner;

	if (conn == NULL || !conn->at_client)
		return;
	kind = conn->kind;
	owner = conn->owner;
	down.link = conn->link;
	sim_net_client_gone(sim, conn);
	if (kind == SIM_CONN_LINK)
		sim_hub_link_event(sim, &sim->hubs[owner], &down);
	else if (kind == SIM_CONN_APP)
		app_down(sim, &(struct sim_conn){.owner = owner}, event->cause);
	else
		sim_later(sim, 100 + sim_some_ms(sim, 2000),
			  &(struct sim_event){.kind = SIM_EV_OPERATOR, .slot = owner});
}

/* --- connecting --- */

static bool may_subscribe(struct sim *sim, const struct sim_conn *conn)
{
	struct kt_acl_event acl = {.client = conn->pointer,
				   .client_id = conn->client_id,
				   .username = sim->hubs[conn->owner].id,
				   .action = KT_ACL_DO_SUBSCRIBE,
				   .topic = conn->topic};

	return kt_core_acl(sim->server.core, sim_server_now(sim), &acl) == KT_RIGHT_ALLOW;
}

static void answer_later(struct sim *sim, const struct sim_conn *conn, int cause)
{
	sim_later(sim, sim_some_ms(sim, 300),
		  &(struct sim_event){.kind = SIM_EV_ANSWER,
				      .slot = index_of(sim, conn),
				      .number = conn->number,
				      .cause = cause});
}

/* The broker has let it in: the older connection of the same id goes. */
static void take_over(struct sim *sim, const struct sim_conn *conn)
{
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *old = &sim->conns[i];

		if (old != conn && old->is_used && old->at_broker &&
		    strcmp(old->client_id, conn->client_id) == 0)
			sim_net_end(sim, old, KT_CAUSE_TAKEN_OVER);
	}
}

static void let_in(struct sim *sim, struct sim_conn *conn)
{
	conn->at_broker = true;
	conn->started_ms = sim->now_ms;
	take_over(sim, conn);
	if (conn->kind == SIM_CONN_LINK && !may_subscribe(sim, conn)) {
		sim_break(sim, "X", "%s may not subscribe to its own topic", conn->client_id);
		return;
	}
	if (sim_fault(sim, SIM_ANSWER_LOST)) {
		sim_trace(sim, "server", end_name(sim, conn), "connack LOST");
		answer_later(sim, conn, KT_CAUSE_NO_ANSWER);
		return;
	}
	answer_later(sim, conn, -1);
}

/* An address for each machine and network: a copy has others than its original. */
static const char *address_of(struct sim *sim, const struct sim_conn *conn, char out[static 48])
{
	struct sim_hub *hub;

	if (conn->kind == SIM_CONN_OPERATOR)
		return "/run/op";
	hub = &sim->hubs[conn->owner];
	if (sim->now_ms - hub->moved_ms >= STAY_MS && sim_chance(&sim->places, ROAM)) {
		hub->network = (unsigned)sim_below(&sim->places, NETWORKS);
		hub->moved_ms = sim->now_ms;
	}
	(void)snprintf(out, 48, hub->network == 2 ? "2001:db8::%u:%u" : "192.0.2.%u%u",
		       conn->owner + 1, hub->network);
	return out;
}

void sim_net_connect(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);
	struct sim_server *s = &sim->server;
	struct kt_connect_answer answer = {.answer = KT_ANSWER_NO_ANSWER};
	struct kt_connect connect;
	char address[48];

	if (conn == NULL || !conn->at_client)
		return;
	if (!s->is_up) {
		answer_later(sim, conn, KT_CAUSE_NO_ANSWER);
		return;
	}
	conn->pointer = new_pointer(sim);
	connect = (struct kt_connect){.client = conn->pointer,
				      .client_id = conn->client_id,
				      .cert = {conn->cert, conn->cert_len},
				      .address = address_of(sim, conn, address),
				      .clean_start = true};
	sim_server_begin(sim);
	kt_core_connect(s->core, sim_server_now(sim), &connect, &answer);
	sim_leave();
	sim_check_accept(sim, conn, &connect, answer.answer);
	sim_trace(sim, end_name(sim, conn), "server", "CONNECT %s: %s", conn->client_id,
		  answer.answer == KT_ANSWER_ACCEPT	 ? "accepted"
		  : answer.answer == KT_ANSWER_NO_ANSWER ? "no answer"
							 : "refused");
	if (answer.answer == KT_ANSWER_ACCEPT)
		let_in(sim, conn);
	else
		answer_later(sim, conn,
			     answer.answer == KT_ANSWER_NO_ANSWER || sim->is_mute
				     ? KT_CAUSE_NO_ANSWER
				     : KT_CAUSE_REFUSED);
	sim_server_after(sim);
}

/* --- messages --- */

static void text_copy(struct sim_event *event, const char *text, size_t len)
{
	event->text = sim_alloc(NULL, len + 1, 1);
	memcpy(event->text, text, len);
	event->text[len] = '\0';
	event->len = len;
}

/* In order, one behind the other, unless it is delayed: then others overtake it. */
static int64_t delay_of(struct sim *sim, struct sim_conn *conn)
{
	int64_t due;

	if (sim_fault(sim, SIM_DELAY))
		return sim_some_ms(sim, LATE_MS);
	due = sim->now_ms + sim_some_ms(sim, 150);
	if (due < conn->last_due_ms)
		due = conn->last_due_ms;
	conn->last_due_ms = due;
	return due - sim->now_ms;
}

static void carry(struct sim *sim, struct sim_conn *conn, enum sim_event_kind kind,
		  struct kt_bytes text)
{
	struct sim_event event = {
		.kind = kind, .slot = index_of(sim, conn), .number = conn->number};

	text_copy(&event, (const char *)text.p, text.len);
	sim_later(sim, delay_of(sim, conn), &event);
}

static void transmit(struct sim *sim, struct sim_conn *conn, enum sim_event_kind kind,
		     struct kt_bytes text)
{
	const struct sim_note *note = sim_noted(sim, (const char *)text.p, text.len);
	bool is_up = kind == SIM_EV_TO_SERVER;
	const char *from = is_up ? end_name(sim, conn) : "server";
	const char *to = is_up ? "server" : end_name(sim, conn);

	if (conn->kind != SIM_CONN_OPERATOR && sim_fault(sim, SIM_LOSE)) {
		sim_trace_note(sim, from, to, note, "LOST");
		return;
	}
	sim_trace_note(sim, from, to, note, "sent");
	carry(sim, conn, kind, text);
	if (conn->kind != SIM_CONN_OPERATOR && sim_fault(sim, SIM_DUPLICATE))
		carry(sim, conn, kind, text);
}

void sim_net_send(struct sim *sim, struct sim_conn *conn, const char *text, size_t len)
{
	const struct sim_note *note = sim_noted(sim, text, len);

	if (note != NULL && (note->type == KT_MESSAGE_HELLO || note->type == KT_MESSAGE_ENROLL))
		conn->dn = note->dn;
	if (note != NULL)
		sim_check_from_hub(sim, conn, note);
	transmit(sim, conn, SIM_EV_TO_SERVER, (struct kt_bytes){(const uint8_t *)text, len});
}

void sim_net_publish(struct sim *sim, const char *client_id, const char *topic,
		     struct kt_bytes payload)
{
	(void)topic;
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[i];
		const struct sim_note *note;

		if (!conn->is_used || !conn->at_broker || strcmp(conn->client_id, client_id) != 0)
			continue;
		note = sim_noted(sim, (const char *)payload.p, payload.len);
		if (note != NULL)
			sim_check_to_hub(sim, conn, note);
		transmit(sim, conn, SIM_EV_TO_HUB, payload);
		return;
	}
}

/* --- messages of another time --- */

static uint64_t some_op(struct sim *sim, const struct kt_agent_record *record)
{
	const struct kt_device *d = kt_registry_find_device(sim->server.shadow, record->device.s);
	const uint64_t ops[] = {record->op,
				record->op,
				record->op,
				record->step_op,
				record->op + AHEAD,
				record->op > 0 ? record->op - 1 : 1,
				d == NULL ? 1 : d->op + AHEAD};

	return ops[sim_below(&sim->chance, sizeof(ops) / sizeof(ops[0]))];
}

/* What a server could say that was restored, or whose clock was wrong: none of it drops a key. */
static void fill_strange(struct sim *sim, const struct kt_agent_record *record,
			 struct kt_message *m)
{
	static const enum kt_next nexts[] = {KT_NEXT_CONFIRM, KT_NEXT_CLOSED, KT_NEXT_CLOSED,
					     KT_NEXT_NONE};
	const struct kt_device *d = kt_registry_find_device(sim->server.shadow, record->device.s);
	struct kt_bytes issuer = sim_pki_issuer(sim->pki);
	struct kt_chain *chain =
		m->type == KT_MESSAGE_CERT ? &m->u.cert.chain : &m->u.enrolled.chain;

	switch ((int)m->type) {
	case KT_MESSAGE_WELCOME:
		m->u.welcome.next = nexts[sim_below(&sim->chance, 4)];
		m->u.welcome.op = m->u.welcome.next == KT_NEXT_NONE ? 0 : record->op;
		if (d != NULL && d->current != NULL) /* another would say that this one is dead */
			m->u.welcome.fp = d->current->fp;
		sim_fill(&sim->entropy, m->sn.b, sizeof(m->sn.b));
		break;
	case KT_MESSAGE_ROTATE:
		m->u.rotate.op = some_op(sim, record);
		if (record->phase == KT_AGENT_CERT && m->u.rotate.op > record->op)
			m->u.rotate.op = record->op; /* it would say that pending is dead */
		if (m->u.rotate.op == record->op)
			m->u.rotate.nonce = record->op_nonce; /* an op has one */
		m->u.rotate.alg = KT_ALG_ES256;
		m->u.rotate.deadline_us = m->u.rotate.op;
		if (sim_chance(&sim->chance, 600))
			m->u.rotate.cur = record->active.fp;
		break;
	case KT_MESSAGE_COMMITTED: /* of nothing that the hub holds as pending */
		m->u.committed.op = some_op(sim, record);
		break;
	case KT_MESSAGE_NOTED:
		m->u.noted.op = some_op(sim, record);
		m->u.noted.of = KT_MESSAGE_PROMOTED;
		if (m->u.noted.op == record->step_op)
			m->u.noted.op++;
		break;
	case KT_MESSAGE_REVOKED: /* of another connection: nobody may obey it */
		m->u.revoked.reason = KT_REASON_REVOKED;
		m->u.revoked.wipe = true;
		sim_fill(&sim->entropy, m->dn.b, sizeof(m->dn.b));
		break;
	default: /* CERT, ENROLLED */
		if (m->type == KT_MESSAGE_CERT)
			m->u.cert.op = record->op;
		else
			m->u.enrolled.op = record->op > 0 ? record->op : 1;
		chain->count = 1;
		chain->cert[0].len = issuer.len;
		memcpy(chain->cert[0].der, issuer.p, issuer.len);
		break;
	}
}

static void say_strange(struct sim *sim, struct sim_conn *conn, enum kt_message_type type)
{
	const struct sim_hub *hub = &sim->hubs[conn->owner];
	struct kt_job *job = kt_job_new(KT_JOB_SEAL, 0);

	if (job == NULL)
		return;
	job->message = kt_message_new(type);
	if (job->message != NULL) {
		(void)snprintf(job->message->trust_domain, sizeof(job->message->trust_domain),
			       SIM_TD);
		(void)snprintf(job->message->device.s, sizeof(job->message->device.s), "%s",
			       hub->id);
		job->message->dn = conn->dn;
		fill_strange(sim, kt_identity_record(hub->store), job->message);
		kt_job_run(sim->server.bench, job);
	}
	if (job->sealed != NULL) {
		sim_note(sim, job->sealed, job->sealed_len, job->message)->is_strange = true;
		sim_trace_note(sim, "server", hub->id, sim_noted(sim, job->sealed, job->sealed_len),
			       "STRANGE");
		carry(sim, conn, SIM_EV_TO_HUB,
		      (struct kt_bytes){(const uint8_t *)job->sealed, job->sealed_len});
	}
	kt_job_free(job);
}

/* Is there a hub that hears what comes over it? */
static bool is_alive(const struct sim *sim, const struct sim_conn *conn)
{
	return conn->is_used && conn->at_client && conn->kind == SIM_CONN_LINK &&
	       sim->hubs[conn->owner].is_up;
}

/* Links that live longer than they should: the rare places. */
static bool is_rare(const struct sim *sim, const struct sim_conn *conn)
{
	enum kt_agent_phase phase = kt_identity_record(sim->hubs[conn->owner].store)->phase;

	return (phase == KT_AGENT_NEW) != (conn->link == KT_LINK_CLAIM);
}

static enum kt_message_type some_type(struct sim *sim, const struct sim_conn *conn)
{
	static const enum kt_message_type types[] = {
		KT_MESSAGE_WELCOME, KT_MESSAGE_WELCOME, KT_MESSAGE_ROTATE, KT_MESSAGE_COMMITTED,
		KT_MESSAGE_NOTED,   KT_MESSAGE_CERT,	KT_MESSAGE_REVOKED};

	return conn->link == KT_LINK_CLAIM
		       ? KT_MESSAGE_ENROLLED
		       : types[sim_below(&sim->chance, sizeof(types) / sizeof(types[0]))];
}

void sim_net_strange(struct sim *sim)
{
	unsigned start = (unsigned)sim_below(&sim->chance, SIM_CONNS);

	for (unsigned i = 0; i < 2 * SIM_CONNS; i++) {
		struct sim_conn *conn = &sim->conns[(start + i) % SIM_CONNS];
		unsigned times;

		if (!is_alive(sim, conn) || (i < SIM_CONNS && !is_rare(sim, conn)))
			continue;
		for (times = is_rare(sim, conn) ? 4 : 1; times > 0; times--)
			say_strange(sim, conn, some_type(sim, conn));
		return;
	}
}

static void link_up(struct sim *sim, struct sim_conn *conn)
{
	struct kt_link_event up = {.kind = KT_LINK_UP, .link = conn->link};

	sim_hub_link_event(sim, &sim->hubs[conn->owner], &up);
	if (conn->link != KT_LINK_CLAIM && is_alive(sim, conn) && sim_fault(sim, SIM_WELCOME))
		say_strange(sim, conn, KT_MESSAGE_WELCOME);
}

void sim_net_answer(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);

	if (conn == NULL || !conn->at_client)
		return;
	if (event->cause != -1) {
		sim_net_down(sim, event);
		return;
	}
	if (!conn->at_broker)
		return; /* ended meanwhile: DOWN is on its way */
	if (conn->kind == SIM_CONN_LINK)
		link_up(sim, conn);
}

void sim_net_to_server(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);
	struct sim_server *s = &sim->server;
	struct kt_bytes payload = {(const uint8_t *)event->text, event->len};
	struct kt_acl_event acl;

	if (conn == NULL || !conn->at_broker || !s->is_up)
		return;
	acl = (struct kt_acl_event){.client = conn->pointer,
				    .client_id = conn->client_id,
				    .action = KT_ACL_DO_WRITE,
				    .topic = conn->kind == SIM_CONN_OPERATOR ? KT_TOPIC_CONTROL
									     : KT_TOPIC_DEVICE_IN};
	sim_server_begin(sim);
	if (kt_core_acl(s->core, sim_server_now(sim), &acl) == KT_RIGHT_ALLOW) {
		if (conn->kind == SIM_CONN_OPERATOR)
			kt_core_control(s->core, sim_server_now(sim), conn->pointer, payload);
		else
			kt_core_device_message(s->core, sim_server_now(sim), conn->pointer,
					       payload);
	}
	sim_server_after(sim);
}

/* It was harmless when it was made; meanwhile it would say that the pending credential is dead. */
static bool is_too_strange(const struct sim_hub *hub, const struct sim_note *note)
{
	return note->is_strange && note->type == KT_MESSAGE_ROTATE && hub->is_up &&
	       kt_identity_record(hub->store)->phase == KT_AGENT_CERT &&
	       note->op > kt_identity_record(hub->store)->op;
}

static void hear_what_is_over(struct sim_hub *hub, const struct sim_note *note)
{
	if (note->is_strange || !hub->is_up)
		return;
	if (note->type == KT_MESSAGE_WELCOME)
		hub->over_op = 0;
	else if (note->type == KT_MESSAGE_REJECT &&
		 note->op == kt_identity_record(hub->store)->op &&
		 (note->reason == KT_REASON_OP_UNKNOWN || note->reason == KT_REASON_OP_STALE ||
		  note->reason == KT_REASON_OP_CLOSED))
		hub->over_op = note->op;
}

/* Rule 5: over a session of the key that the rotate names as current. */
static void check_obeyed(struct sim *sim, const struct sim_hub *hub, uint64_t op_before,
			 const struct kt_fingerprint *session_fp, const struct sim_note *note)
{
	if (note->type == KT_MESSAGE_ROTATE && hub->is_up && note->op != op_before &&
	    kt_identity_record(hub->store)->op == note->op &&
	    !kt_fingerprint_eq(&note->fp, session_fp))
		sim_break(sim, "R5", "%s obeys a rotate for another key than its session's",
			  hub->id);
}

static void to_link(struct sim *sim, const struct sim_conn *conn, struct sim_event *event)
{
	struct kt_link_event message = {.kind = KT_LINK_MESSAGE,
					.link = conn->link,
					.text = (uint8_t *)event->text,
					.text_len = event->len};
	const struct sim_note *found = sim_noted(sim, event->text, event->len);
	const struct sim_note note = found == NULL ? (struct sim_note){0} : *found;
	const struct kt_fingerprint session_fp = conn->fp;
	struct sim_hub *hub = &sim->hubs[conn->owner];
	uint64_t op = hub->is_up ? kt_identity_record(hub->store)->op : 0;

	if (found != NULL && is_too_strange(hub, &note))
		return;
	if (found != NULL)
		hear_what_is_over(hub, &note);
	sim_hub_link_event(sim, hub, &message);
	if (found != NULL)
		check_obeyed(sim, hub, op, &session_fp, &note);
}

void sim_net_to_hub(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = sim_conn_of(sim, event->slot, event->number);

	if (conn == NULL || !conn->at_client)
		return;
	if (conn->kind == SIM_CONN_OPERATOR)
		sim_operator_heard(sim, conn->owner, event->text);
	else if (conn->kind == SIM_CONN_LINK)
		to_link(sim, conn, event);
}
