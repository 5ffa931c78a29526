/* The invariants, held against what the world was told, what memory says and what is durable. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_internal.h"
#include "sim.h"
#include "topic.h"

enum {
	SOON_MS = 2500,	  /* a few ticks: what goes at once is gone */
	DRAIN_MS = 44000, /* superseded_drain, and an idle tick */
	DRAIN_MIN_MS = 29000,
	KICK_LATE_MS = 12000,
	GIVEN_UP_MS = 12000, /* an idle tick */
	SITE_TOPICS_COUNT = 2
};

int sim_device_of(const struct sim *sim, const char *id)
{
	for (int i = 0; i < SIM_HUBS; i++) {
		if (strcmp(sim->devices[i].id, id) == 0)
			return i;
	}
	return -1;
}

/* --- what is on the way --- */

static uint64_t hash_of(const char *text, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ len;
	uint64_t word;

	for (; len >= 8; text += 8, len -= 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 29;
	}
	for (; len > 0; text++, len--)
		h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return h;
}

static void fill_note(struct sim_note *note, const struct kt_message *m)
{
	switch (m->type) {
	case KT_MESSAGE_HELLO:
		note->op = m->u.hello.op;
		note->fp = m->u.hello.fp;
		break;
	case KT_MESSAGE_WELCOME:
		note->op = m->u.welcome.op;
		note->fp = m->u.welcome.fp;
		note->next = m->u.welcome.next;
		break;
	case KT_MESSAGE_ROTATE:
		note->op = m->u.rotate.op;
		note->fp = m->u.rotate.cur;
		break;
	case KT_MESSAGE_CSR:
		note->op = m->u.csr.op;
		break;
	case KT_MESSAGE_CERT:
		note->op = m->u.cert.op;
		note->fp =
			kt_fingerprint_of(m->u.cert.chain.cert[0].der, m->u.cert.chain.cert[0].len);
		break;
	case KT_MESSAGE_ENROLLED:
		note->op = m->u.enrolled.op;
		note->fp = kt_fingerprint_of(m->u.enrolled.chain.cert[0].der,
					     m->u.enrolled.chain.cert[0].len);
		break;
	case KT_MESSAGE_CONFIRM:
		note->op = m->u.confirm.op;
		note->fp = m->u.confirm.fp;
		break;
	case KT_MESSAGE_COMMITTED:
		note->op = m->u.committed.op;
		note->fp = m->u.committed.fp;
		break;
	case KT_MESSAGE_PROMOTED:
		note->op = m->u.promoted.op;
		note->fp = m->u.promoted.fp;
		break;
	case KT_MESSAGE_FAILED:
		note->op = m->u.failed.op;
		note->reason = m->u.failed.reason;
		break;
	case KT_MESSAGE_NOTED:
		note->op = m->u.noted.op;
		note->of = m->u.noted.of;
		break;
	case KT_MESSAGE_REJECT:
		note->op = m->u.reject.op;
		note->reason = m->u.reject.reason;
		break;
	case KT_MESSAGE_REVOKED:
		note->reason = m->u.revoked.reason;
		note->wipe = m->u.revoked.wipe;
		break;
	case KT_MESSAGE_CHALLENGE:
	case KT_MESSAGE_ANSWER:
	case KT_MESSAGE_ENROLL:
	case KT_MESSAGE_PENDING:
	case KT_MESSAGE_COUNT:
		break;
	}
}

struct sim_note *sim_note(struct sim *sim, const char *text, size_t len,
			  const struct kt_message *message)
{
	struct sim_note *note = &sim->notes[sim->note_count++ % SIM_NOTES];

	memset(note, 0, sizeof(*note));
	note->hash = hash_of(text, len);
	note->type = message->type;
	note->device = message->device;
	note->dn = message->dn;
	sim_pause(true);
	fill_note(note, message);
	sim_pause(false);
	return note;
}

const struct sim_note *sim_noted(const struct sim *sim, const char *text, size_t len)
{
	uint64_t hash = hash_of(text, len);
	size_t count = sim->note_count < SIM_NOTES ? sim->note_count : SIM_NOTES;

	for (size_t i = 0; i < count; i++) {
		const struct sim_note *note = &sim->notes[(sim->note_count - 1 - i) % SIM_NOTES];

		if (note->hash == hash)
			return note;
	}
	return NULL;
}

/* --- ghosts: whose end was told --- */

static const struct sim_ghost *ghost_of(const struct sim *sim, const struct kt_fingerprint *fp)
{
	for (size_t i = 0; i < sim->ghost_count; i++) {
		if (kt_fingerprint_eq(&sim->ghosts[i].fp, fp))
			return &sim->ghosts[i];
	}
	return NULL;
}

/* `committed` leaves: what the device's ops have superseded is over, for everybody to see. */
static void note_superseded(struct sim *sim, int device)
{
	const struct sim_server *s = &sim->server;

	for (size_t i = 0; i < kt_registry_seq(s->shadow); i++) {
		const struct kt_record *r = &s->records[i];
		const struct kt_credential *c;

		if (r->kind != KT_RECORD_ISSUE || sim_device_of(sim, r->device.s) != device)
			continue;
		c = kt_registry_find_fingerprint(s->shadow, &r->fp);
		if (c == NULL || c->status != KT_CREDENTIAL_SUPERSEDED ||
		    ghost_of(sim, &r->fp) != NULL || sim->ghost_count == SIM_GHOSTS)
			continue;
		sim->ghosts[sim->ghost_count++] = (struct sim_ghost){.fp = r->fp,
								     .device = (unsigned)device,
								     .op = c->superseded_by,
								     .at_ms = sim->now_ms};
	}
}

/* --- I2, I3, I7, I8 at the door --- */

/* The credential of a trial opens nothing else: not the agent's session, not the hub's own. */
static void check_other_names(struct sim *sim, const struct kt_connect *connect,
			      const struct kt_device *device)
{
	static const char *const tags[] = {"", ":agent", ":app"};
	const struct kt_access access = {.config = sim->config,
					 .registry = sim->server.registry,
					 .durable_seq = UINT64_MAX,
					 .now = sim_server_now(sim),
					 .issuer_cert_der = sim_pki_issuer(sim->pki)};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct kt_connect other = *connect;
		struct kt_admission admission;
		char name[KT_CLIENT_ID_MAX];

		(void)snprintf(name, sizeof(name), "%s%s", device->id.s, tags[i]);
		other.client_id = name;
		kt_access_connect(&access, &other, &admission);
		if (admission.answer == KT_ANSWER_ACCEPT)
			sim_break(sim, "I8", "a pending credential is let in as %s", name);
	}
}

static void check_pending(struct sim *sim, const struct sim_conn *conn,
			  const struct kt_device *device)
{
	static const struct {
		const char *name;
		enum kt_acl_action action;
	} site[SITE_TOPICS_COUNT] = {{"up", KT_ACL_DO_WRITE}, {"down", KT_ACL_DO_SUBSCRIBE}};

	for (size_t i = 0; i < SITE_TOPICS_COUNT; i++) {
		char topic[KT_TOPIC_MAX];
		struct kt_acl_event acl = {.client = conn->pointer,
					   .client_id = conn->client_id,
					   .action = site[i].action,
					   .topic = topic};

		(void)snprintf(topic, sizeof(topic), "devices/%s/%s", device->id.s, site[i].name);
		if (kt_core_acl(sim->server.core, sim_server_now(sim), &acl) == KT_RIGHT_ALLOW)
			sim_break(sim, "I8", "%s with a pending credential may use %s",
				  conn->client_id, topic);
	}
}

static void check_durable_verdict(struct sim *sim, const struct kt_connect *connect,
				  enum kt_answer answer)
{
	const struct kt_access access = {.config = sim->config,
					 .registry = sim->server.shadow,
					 .durable_seq = UINT64_MAX,
					 .now = sim_server_now(sim),
					 .issuer_cert_der = sim_pki_issuer(sim->pki)};
	struct kt_admission admission;

	if (answer == KT_ANSWER_NO_ANSWER)
		return;
	kt_access_connect(&access, connect, &admission);
	if ((admission.answer == KT_ANSWER_ACCEPT) != (answer == KT_ANSWER_ACCEPT))
		sim_break(sim, "I7", "%s: the answer (%s) rests on what is not durable",
			  connect->client_id, answer == KT_ANSWER_ACCEPT ? "accepted" : "refused");
}

/* I5: who comes with a credential that was put out is told of: at the least once. */
static void check_noticed(struct sim *sim, const struct sim_conn *conn,
			  const struct kt_credential *c)
{
	int i = sim_device_of(sim, c->device->id.s);

	if (i < 0)
		return;
	sim->devices[i].refusals++;
	if ((c->status == KT_CREDENTIAL_SUPERSEDED || c->status == KT_CREDENTIAL_REVOKED) &&
	    sim->devices[i].alarms + sim->devices[i].suspicions == 0)
		sim_break(sim, "I5", "%s came with a %s credential, and nobody was told",
			  conn->client_id, kt_credential_status_name(c->status));
}

void sim_check_accept(struct sim *sim, const struct sim_conn *conn,
		      const struct kt_connect *connect, enum kt_answer answer)
{
	const struct kt_credential *c;
	int device;

	if (conn->cert_len == 0)
		return;
	check_durable_verdict(sim, connect, answer);
	c = kt_registry_find_fingerprint(sim->server.registry, &conn->fp);
	if (answer != KT_ANSWER_ACCEPT) {
		if (c != NULL && c->status != KT_CREDENTIAL_PENDING &&
		    c->status != KT_CREDENTIAL_CURRENT && answer != KT_ANSWER_NO_ANSWER)
			check_noticed(sim, conn, c);
		return;
	}
	if (c == NULL || sim->server.is_rolled_back) {
		if (c == NULL)
			sim_break(sim, "I2", "%s: an unknown credential was let in",
				  conn->client_id);
		return;
	}
	device = sim_device_of(sim, c->device->id.s);
	if (ghost_of(sim, &conn->fp) != NULL)
		sim_break(sim, "I2", "%s: a superseded credential was let in", conn->client_id);
	if (device >= 0 && sim->devices[device].is_revoked)
		sim_break(sim, "I3", "%s was let in after the revoke was acknowledged",
			  conn->client_id);
	if (c->status == KT_CREDENTIAL_PENDING) {
		check_pending(sim, conn, c->device);
		check_other_names(sim, connect, c->device);
	}
}

/* --- I7 on the way out --- */

static bool is_durable(const struct sim *sim, const struct kt_device *d,
		       const struct sim_note *note)
{
	const struct kt_credential *c;

	switch ((int)note->type) {
	case KT_MESSAGE_ROTATE:
		return d->op >= note->op;
	case KT_MESSAGE_CERT:
	case KT_MESSAGE_ENROLLED:
		return kt_registry_find_fingerprint(sim->server.shadow, &note->fp) != NULL;
	case KT_MESSAGE_COMMITTED:
		c = kt_registry_find_fingerprint(sim->server.shadow, &note->fp);
		return c != NULL && (c->status == KT_CREDENTIAL_CURRENT ||
				     c->status == KT_CREDENTIAL_SUPERSEDED ||
				     c->status == KT_CREDENTIAL_REVOKED);
	case KT_MESSAGE_NOTED:
		return note->of == KT_MESSAGE_PROMOTED ? d->promoted_op >= note->op
						       : d->op >= note->op;
	case KT_MESSAGE_REVOKED:
		return d->state == KT_DEVICE_REVOKED || d->state == KT_DEVICE_DELETED;
	default:
		return true;
	}
}

void sim_check_to_hub(struct sim *sim, const struct sim_conn *conn, const struct sim_note *note)
{
	const struct kt_device *d = kt_registry_find_device(sim->server.shadow, note->device.s);
	int device = sim_device_of(sim, note->device.s);

	if (note->type == KT_MESSAGE_REJECT || note->type == KT_MESSAGE_PENDING)
		return;
	if (d == NULL || !is_durable(sim, d, note)) {
		sim_break(sim, "I7", "%s to %s rests on what is not durable",
			  kt_message_type_name(note->type), conn->client_id);
		return;
	}
	if (note->type == KT_MESSAGE_COMMITTED && device >= 0)
		note_superseded(sim, device);
	if (note->type == KT_MESSAGE_WELCOME && device >= 0 && sim->devices[device].is_behind)
		sim_break(sim, "I6", "%s knows a newer op and is served without a word",
			  note->device.s);
}

void sim_check_opened(struct sim *sim, const struct sim_hub *hub,
		      const struct kt_agent_record *before)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);

	if (record->phase != KT_AGENT_KEY || record->pending.dir == 0)
		return;
	if (before->phase == KT_AGENT_CERT && before->pending.dir == record->pending.dir &&
	    sim_hub_has_file(hub, record->pending.dir, "identity.pem", false))
		sim_break(sim, "I1", "%s gave a certificate up in a start, with its file there",
			  hub->id);
	if (kt_rollover_is_claim(record) &&
	    !sim_hub_has_file(hub, record->pending.dir, "key.pem", false))
		sim_break(sim, "LV", "%s goes on to enrol with a key that is gone", hub->id);
}

static bool is_kept(const struct sim_hub *hub, const struct sim_note *note,
		    char why[static SIM_WHY / 2])
{
	struct kt_agent_record record;

	(void)snprintf(why, SIM_WHY / 2, "no record");
	if (!sim_hub_durable_record(hub, &record))
		return false;
	(void)snprintf(why, SIM_WHY / 2,
		       "record %" PRIu64 " op %" PRIu64 " phase %s pending %" PRIu64, record.seq,
		       record.op, kt_agent_phase_name(record.phase), record.pending.dir);
	switch ((int)note->type) {
	case KT_MESSAGE_CSR:
		return record.op >= note->op &&
		       (record.pending.dir == 0 ||
			sim_hub_has_file(hub, record.pending.dir, "key.pem", true));
	case KT_MESSAGE_CONFIRM:
		return (record.phase == KT_AGENT_CERT &&
			kt_fingerprint_eq(&record.pending.fp, &note->fp) &&
			sim_hub_has_file(hub, record.pending.dir, "identity.pem", true)) ||
		       kt_fingerprint_eq(&record.active.fp, &note->fp);
	case KT_MESSAGE_PROMOTED:
		if (record.step_op == note->op && hub->to_wipe != 0 &&
		    sim_hub_has_file(hub, hub->to_wipe, "key.pem", true)) {
			(void)snprintf(why, SIM_WHY / 2, "the old key is still there");
			return false;
		}
		return record.retired.dir == 0 || record.step_op > note->op;
	default:
		return true;
	}
}

/* Rule 8: `promoted` says that the hub's own programs have the new credential, too. */
static void check_reloaded(struct sim *sim, const struct sim_hub *hub, const struct sim_note *note)
{
	const struct kt_agent_record *record = kt_identity_record(hub->store);

	if (hub->app_cert_len > 0 && record->step_op == note->op &&
	    kt_fingerprint_eq(&record->active.fp, &note->fp) &&
	    !kt_fingerprint_eq(&hub->app_fp, &note->fp))
		sim_break(sim, "R8", "promoted is said, and a program of %s has not reloaded",
			  hub->id);
}

void sim_check_from_hub(struct sim *sim, const struct sim_conn *conn, const struct sim_note *note)
{
	const struct sim_hub *hub = &sim->hubs[conn->owner];
	char why[SIM_WHY / 2];
	bool is_good;

	if (note->type != KT_MESSAGE_CSR && note->type != KT_MESSAGE_CONFIRM &&
	    note->type != KT_MESSAGE_PROMOTED)
		return;
	sim_pause(true);
	is_good = is_kept(hub, note, why);
	sim_pause(false);
	if (!is_good)
		sim_break(sim, "I7", "%s of %s rests on what is not on its disk: %s",
			  kt_message_type_name(note->type), hub->id, why);
	if (note->type == KT_MESSAGE_PROMOTED)
		check_reloaded(sim, hub, note);
	/* else the next enrolment would put the newest aside, for the one that it confirms */
	if (note->type == KT_MESSAGE_CONFIRM &&
	    kt_rollover_has_aside(kt_identity_record(hub->store)))
		sim_break(sim, "I1", "%s confirms while it holds two older credentials", hub->id);
}

/* --- I4, and what operators asked --- */

/* One key for one device, one certificate for an op, one use of a ticket. */
static void check_issue(struct sim *sim, const struct kt_record *record)
{
	const struct sim_server *s = &sim->server;

	for (size_t i = 0; i + 1 < record->seq; i++) {
		const struct kt_record *r = &s->records[i];

		bool is_same = strcmp(r->device.s, record->device.s) == 0;

		if (r->kind != KT_RECORD_ISSUE)
			continue;
		if (kt_key_id_eq(&r->key_id, &record->key_id) && !is_same)
			sim_break(sim, "I4", "one key for %s and %s", r->device.s,
				  record->device.s);
		if (is_same && r->op == record->op)
			sim_break(sim, "I4", "two certificates of %s for op %" PRIu64, r->device.s,
				  r->op);
		if (r->has_ticket && record->has_ticket &&
		    memcmp(r->ticket_sha256, record->ticket_sha256, sizeof(r->ticket_sha256)) == 0)
			sim_break(sim, "I4", "a ticket was used by %s and by %s", r->device.s,
				  record->device.s);
	}
}

/* Of all that was ever in force, as the records say. */
static uint32_t highest_generation(const struct sim *sim, const struct kt_record *before)
{
	const struct sim_server *s = &sim->server;
	uint32_t highest = 0;
	uint32_t issued = 0;

	for (size_t i = 0; i + 1 < before->seq; i++) {
		const struct kt_record *r = &s->records[i];

		if (strcmp(r->device.s, before->device.s) != 0)
			continue;
		if (r->kind == KT_RECORD_ISSUE)
			issued = r->generation;
		if (r->kind == KT_RECORD_COMMIT && issued > highest)
			highest = issued;
		if (r->kind == KT_RECORD_ADOPT && r->generation > highest)
			highest = r->generation;
	}
	return highest;
}

static void check_adoption(struct sim *sim, const struct kt_record *record)
{
	if (record->generation <= highest_generation(sim, record))
		sim_break(sim, "I2", "generation %" PRIu32 " of %s is adopted over a newer one",
			  record->generation, record->device.s);
}

/* An op closed by the plugin itself: its deadline. */
static void cover_record(struct sim *sim, const struct kt_record *record)
{
	const struct sim_server *s = &sim->server;
	const struct kt_device *before = kt_registry_find_device(s->shadow, record->device.s);
	enum kt_server_phase phase = before == NULL ? KT_SERVER_IDLE : kt_rotation_phase(before);

	if (record->kind == KT_RECORD_OP_CLOSE && strcmp(record->actor, "keyturn") == 0)
		sim_cover_server(phase, KT_ROTATION_DEADLINE);
}

/* Is something issued to the device and not committed, as the records before say? */
static bool is_issued(const struct sim *sim, const struct kt_record *before)
{
	const struct sim_server *s = &sim->server;
	bool is_open = false;

	for (size_t i = 0; i < s->record_count && i + 1 < before->seq; i++) {
		const struct kt_record *r = &s->records[i];

		if (strcmp(r->device.s, before->device.s) != 0)
			continue;
		if (r->kind == KT_RECORD_ISSUE)
			is_open = true;
		else if (r->kind == KT_RECORD_COMMIT || r->kind == KT_RECORD_OP_CLOSE ||
			 r->kind == KT_RECORD_TICKET_CREATE)
			is_open = false;
	}
	return is_open;
}

void sim_check_change(struct sim *sim, const struct kt_record *record)
{
	int device = sim_device_of(sim, record->device.s);

	if (device >= 0 &&
	    (record->kind == KT_RECORD_TICKET_CREATE || record->kind == KT_RECORD_OP_CLOSE) &&
	    is_issued(sim, record))
		sim->devices[device].needs_ticket = true; /* an enrolment begins anew */
}

/* Was its op ordered? Else it is an enrolment's. */
static bool is_rotation(const struct sim *sim, const struct kt_record *commit)
{
	const struct sim_server *s = &sim->server;

	for (size_t i = 0; i < s->record_count && i + 1 < commit->seq; i++) {
		const struct kt_record *r = &s->records[i];

		if (r->kind == KT_RECORD_OP_OPEN && r->op == commit->op &&
		    strcmp(r->device.s, commit->device.s) == 0)
			return true;
	}
	return false;
}

/* By the plugin itself: for what its policies say, and of a clone only where there is one. */
static void check_quarantine(struct sim *sim, const struct kt_record *record, int device)
{
	const struct kt_config *config = sim->config;
	const bool is_silence = strcmp(record->note, "challenge missed") == 0;

	if (is_silence
		    ? config->challenge_silence != KT_POLICY_QUARANTINE
		    : strncmp(record->note, "clone signal ", 13) != 0 || !sim->options.has_policies)
		sim_break(sim, "X", "%s is quarantined, and no policy says so: %s",
			  record->device.s, record->note);
	if (!is_silence && !sim->hubs[device].is_cloned && !sim->server.is_rolled_back)
		sim_break(sim, "I5", "%s is quarantined without a clone: %s", record->device.s,
			  record->note);
}

void sim_check_record(struct sim *sim, const struct kt_record *record)
{
	int device = sim_device_of(sim, record->device.s);

	cover_record(sim, record);
	if (record->kind == KT_RECORD_ISSUE)
		check_issue(sim, record);
	if (record->kind == KT_RECORD_ADOPT)
		check_adoption(sim, record);
	if (record->kind == KT_RECORD_OP_OPEN)
		sim->rotations++;
	if (record->kind == KT_RECORD_COMMIT)
		sim->commits++;
	if (record->kind == KT_RECORD_COMMIT && is_rotation(sim, record))
		sim->result->rotated++;
	if (device < 0)
		return;
	if (record->kind == KT_RECORD_QUARANTINE && strcmp(record->actor, "keyturn") == 0)
		check_quarantine(sim, record, device);
	if (record->kind == KT_RECORD_COMMIT) {
		struct sim_ghost_device *ghost = &sim->devices[device];
		struct sim_ghost_commit *commit =
			&ghost->commit[ghost->commit_count++ % SIM_GHOST_COMMITS];

		*commit = (struct sim_ghost_commit){record->seq, sim->now_ms};
	}
	/* recovery by a ticket: what was revoked before begins anew */
	if (record->kind == KT_RECORD_ISSUE) {
		sim->devices[device].is_revoked = false;
		sim->devices[device].is_reenrolled = sim->devices[device].revoke_wanted;
	}
}

void sim_check_asked(struct sim *sim, enum sim_fault command, unsigned hub)
{
	struct sim_server *s = &sim->server;
	const struct kt_device *d =
		s->is_up ? kt_registry_find_device(s->registry, sim->devices[hub].id) : NULL;

	if (command == SIM_REVOKE || command == SIM_DELETE)
		sim->devices[hub].revoke_wanted = true;
	if (command == SIM_TICKET && d == NULL && !sim->is_calm)
		sim->devices[hub].needs_ticket = true;
	if (d == NULL)
		return;
	if (command == SIM_ROTATE)
		sim_cover_server(kt_rotation_phase(d), KT_ROTATION_ORDER);
	else if (command == SIM_CANCEL)
		sim_cover_server(kt_rotation_phase(d), KT_ROTATION_CANCEL);
}

void sim_check_ack(struct sim *sim, enum sim_fault command, unsigned hub, bool is_done)
{
	struct sim_ghost_device *device = &sim->devices[hub];
	const struct kt_device *d = kt_registry_find_device(sim->server.shadow, device->id);

	if (!is_done || (command != SIM_REVOKE && command != SIM_DELETE))
		return;
	if (d == NULL || (d->state != KT_DEVICE_REVOKED && d->state != KT_DEVICE_DELETED)) {
		/* a later enrolment may have ended it again, or it was forgotten without a trace */
		if (!sim->server.is_rolled_back &&
		    (d == NULL || d->state != KT_DEVICE_ACTIVE || !device->is_reenrolled))
			sim_break(sim, "I7", "the revoke of %s was acknowledged and is not durable",
				  device->id);
		return;
	}
	if (d->enrolling)
		return; /* the answer comes late: what is there was issued since */
	device->is_revoked = true;
	device->revoked_ms = sim->now_ms;
}

/* --- I5 --- */

/* I7: what a commit put out that the disk does not have is the only credential of its hub. */
static void check_put_out(struct sim *sim, const char *line)
{
	const char *client = strstr(line, "client=");
	size_t len = client == NULL ? 0 : strcspn(client + 7, " ");

	if (client == NULL || strstr(line, "event=session.ended") == NULL ||
	    strstr(line, "reason=cert.superseded") == NULL)
		return;
	for (unsigned i = 0; i < SIM_CONNS; i++) {
		const struct sim_conn *conn = &sim->conns[i];
		const struct kt_credential *c =
			kt_registry_find_fingerprint(sim->server.shadow, &conn->fp);

		if (conn->is_used && conn->at_broker && strlen(conn->client_id) == len &&
		    memcmp(conn->client_id, client + 7, len) == 0 && c != NULL &&
		    c->status == KT_CREDENTIAL_CURRENT)
			sim_break(sim, "I7", "%s is thrown out for a commit that is not durable",
				  conn->client_id);
	}
}

void sim_check_server_log(struct sim *sim, const char *line)
{
	bool is_alarm = strstr(line, "event=clone.alarmed") != NULL ||
			strstr(line, "event=session.contended") != NULL;
	bool is_suspicion = strstr(line, "event=clone.suspected") != NULL;
	bool is_behind = strstr(line, "event=registry.behind") != NULL;

	sim_trace(sim, "server", "server", "%s", line);
	check_put_out(sim, line);
	sim->result->silences += strstr(line, "event=challenge.missed") != NULL ? 1 : 0;
	if (!is_alarm && !is_suspicion && !is_behind)
		return;
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		char want[32];
		size_t len = (size_t)snprintf(want, sizeof(want), "device=%s", sim->devices[i].id);
		const char *at = strstr(line, want);

		if (at == NULL || (at[len] != ' ' && at[len] != '\0'))
			continue;
		if (is_behind)
			sim->devices[i].is_behind = false;
		if (is_alarm)
			sim->devices[i].alarms++;
		if (is_suspicion)
			sim->devices[i].suspicions++;
		sim->result->suspicions += is_suspicion ? 1 : 0;
		if (is_alarm && sim->hubs[i].is_cloned)
			sim->result->alarms++;
		else if (is_alarm && !sim->server.is_rolled_back)
			sim->result->false_alarms++;
		if (is_alarm && !sim->hubs[i].is_cloned && !sim->server.is_rolled_back)
			sim_break(sim, "I5", "an alarm without a clone: %s", line);
	}
}

/* --- kicks --- */

/* Rule 8: until the hub says `promoted` its own programs have their time. */
void sim_check_kick(struct sim *sim, const struct sim_conn *conn)
{
	const struct kt_credential *c =
		kt_registry_find_fingerprint(sim->server.registry, &conn->fp);
	int i = c == NULL ? -1 : sim_device_of(sim, c->device->id.s);

	if (conn->kind != SIM_CONN_APP || i < 0 || c->status != KT_CREDENTIAL_SUPERSEDED ||
	    c->device->state != KT_DEVICE_ACTIVE || c->device->promoted_op >= c->superseded_by)
		return;
	for (unsigned k = 0; k < SIM_GHOST_COMMITS; k++) {
		const struct sim_ghost_commit *commit = &sim->devices[i].commit[k];

		/* by its record: an adoption has put it out under the number that the next op got
		 */
		if (commit->seq == c->changed_seq && sim->now_ms - commit->at_ms < DRAIN_MIN_MS)
			sim_break(sim, "R8", "%s was not left its time to reload", conn->client_id);
	}
}

/* --- after every step --- */

/* As :agent, or on trial. */
static bool takes(const struct kt_registry *registry, const struct kt_device *d,
		  const struct kt_slot *slot, bool is_trial)
{
	const struct kt_credential *c = kt_registry_find_fingerprint(registry, &slot->fp);

	if (slot->dir == 0)
		return false;
	/* a newer one than any that is on record is adopted while reconciling */
	if (kt_registry_restore_seq(registry) != 0 &&
	    (c == NULL || c->status == KT_CREDENTIAL_LOST) &&
	    slot->generation > (d == NULL ? 0 : d->proven_generation))
		return true;
	return d != NULL &&
	       ((d->current != NULL && kt_fingerprint_eq(&d->current->fp, &slot->fp)) ||
		(is_trial && d->pending != NULL && kt_fingerprint_eq(&d->pending->fp, &slot->fp)));
}

static bool accepts(const struct kt_registry *registry, const char *id,
		    const struct kt_agent_record *record)
{
	const struct kt_device *d = kt_registry_find_device(registry, id);

	return takes(registry, d, &record->active, false) ||
	       (record->phase == KT_AGENT_CERT && takes(registry, d, &record->pending, true)) ||
	       (kt_rollover_has_aside(record) && takes(registry, d, &record->retired, false));
}

bool sim_check_is_taken(const struct sim *sim, const struct sim_hub *hub)
{
	return hub->is_up && sim->server.is_up &&
	       accepts(sim->server.registry, hub->id, kt_identity_record(hub->store));
}

static void check_lockout(struct sim *sim, const struct sim_hub *hub)
{
	const struct sim_ghost_device *device = &sim->devices[hub->slot];
	const struct kt_agent_record *record;

	if (!hub->is_up || hub->is_dying || hub->is_cloned || device->revoke_wanted ||
	    sim->server.is_rolled_back)
		return;
	record = kt_identity_record(hub->store);
	/* who has nothing yet, or begins anew, has a ticket instead */
	if (kt_rollover_is_claim(record) || hub->starts_again || device->needs_ticket)
		return;
	if (sim->server.is_up && !accepts(sim->server.registry, hub->id, record))
		sim_break(sim, "I1",
			  "%s holds nothing that the server takes: phase %s, op %" PRIu64, hub->id,
			  kt_agent_phase_name(record->phase), record->op);
	else if (!accepts(sim->server.shadow, hub->id, record))
		sim_break(sim, "I1", "%s holds nothing that the server takes once it restarts",
			  hub->id);
}

/* A kick that the broker could not take is made again at the next tick, which may be an idle one.
 */
static int64_t late_kick_ms(const struct sim *sim)
{
	return sim->now_ms - sim->server.kick_refused_ms < KICK_LATE_MS ? KICK_LATE_MS : 0;
}

/* A trial of what was given up ends, too. */
static void check_given_up(struct sim *sim, struct sim_conn *conn)
{
	const struct kt_credential *c = kt_registry_find_fingerprint(sim->server.shadow, &conn->fp);

	if (c == NULL || c->status != KT_CREDENTIAL_ABANDONED)
		conn->given_up_ms = 0;
	else if (conn->given_up_ms == 0)
		conn->given_up_ms = sim->now_ms;
	else if (sim->now_ms - conn->given_up_ms > GIVEN_UP_MS + late_kick_ms(sim))
		sim_break(sim, "I2", "%s lives on with a credential that was given up",
			  conn->client_id);
}

static void check_session(struct sim *sim, struct sim_conn *conn)
{
	const struct sim_ghost *ghost;
	const struct sim_ghost_device *device;
	int64_t patience_ms = (conn->kind == SIM_CONN_APP ? DRAIN_MS : SOON_MS) + late_kick_ms(sim);

	if (!conn->is_used || !conn->at_broker || conn->cert_len == 0 ||
	    conn->kind == SIM_CONN_OPERATOR)
		return;
	check_given_up(sim, conn);
	ghost = ghost_of(sim, &conn->fp);
	if (ghost != NULL && sim->now_ms - ghost->at_ms > patience_ms)
		sim_break(sim, "I2", "%s lives on with a superseded credential", conn->client_id);
	device = &sim->devices[sim->hubs[conn->owner].is_clone
				       ? (unsigned)sim_device_of(sim, sim->hubs[conn->owner].id)
				       : conn->owner];
	if (device->is_revoked && sim->now_ms - device->revoked_ms > SOON_MS + late_kick_ms(sim))
		sim_break(sim, "I3", "%s lives on after its revoke", conn->client_id);
}

/* I5: whatever was under way at `promoted` has its grace, also where the ledger did not take it. */
void sim_check_promoted(struct sim *sim, bool is_start)
{
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		struct sim_ghost_device *device = &sim->devices[i];
		const struct kt_device *d =
			kt_registry_find_device(sim->server.registry, device->id);
		uint64_t op = d == NULL ? 0 : d->promoted_op;

		if (!is_start && op > device->promoted_op &&
		    d->promoted_ms != sim_server_now(sim).mono_ms)
			sim_break(sim, "I5", "what is under way at promoted of %s is an alarm",
				  device->id);
		device->promoted_op = op;
	}
}

void sim_check_step(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_HUBS; i++)
		check_lockout(sim, &sim->hubs[i]);
	for (unsigned i = 0; i < SIM_CONNS; i++)
		check_session(sim, &sim->conns[i]);
	sim_check_campaigns(sim);
}

void sim_check_recovered(struct sim *sim, uint64_t seq)
{
	const struct sim_server *s = &sim->server;

	if (seq < s->durable_seq)
		sim_break(sim, "D", "the ledger has %" PRIu64 " records, %" PRIu64 " were durable",
			  seq, s->durable_seq);
	else if (seq > s->record_count)
		sim_break(sim, "D", "the ledger has records that nobody wrote");
}

/* --- LV --- */

/*
 * What nobody answers, or no answer ends. After `closed` a hub goes on to ask, and to try the
 * credential that it has pending: that is rule 6.
 */
static bool repeats_itself(const struct sim_hub *hub)
{
	const struct kt_repeat *repeat = hub->agent->repeat;

	return repeat[KT_REPEAT_PROMOTED].is_due || repeat[KT_REPEAT_FAILED].is_due ||
	       (repeat[KT_REPEAT_WORK].is_due &&
		kt_identity_record(hub->store)->phase == KT_AGENT_KEY);
}

static bool is_settled(struct sim *sim, const struct sim_hub *hub, char why[static SIM_WHY])
{
	const struct sim_server *s = &sim->server;
	const struct kt_device *d = kt_registry_find_device(s->registry, hub->id);
	const struct kt_agent_record *record;
	const struct sim_conn *conn;

	(void)snprintf(why, SIM_WHY, "%s: down", hub->id);
	if (!hub->is_up)
		return false;
	record = kt_identity_record(hub->store);
	(void)snprintf(why, SIM_WHY, "%s: phase %s, step %s, op %" PRIu64 ", server %s", hub->id,
		       kt_agent_phase_name(record->phase), kt_agent_step_name(record->step),
		       record->op, d == NULL ? "-" : kt_server_phase_name(d->phase));
	if (d == NULL || record->step != KT_STEP_NONE || d->phase != KT_SERVER_IDLE ||
	    d->current == NULL)
		return false;
	/* an op that was closed without commit is done: its key waits for the next op to replace it
	 */
	if (record->phase != KT_AGENT_STABLE &&
	    (record->phase == KT_AGENT_NEW || record->op == d->last_committed_op))
		return false;
	(void)snprintf(why, SIM_WHY, "%s: it was told that its op is over, and did not ask",
		       hub->id);
	if (record->phase == KT_AGENT_KEY && hub->over_op != 0 && hub->over_op == record->op &&
	    !hub->agent->old_first)
		return false;
	(void)snprintf(why, SIM_WHY, "%s: it repeats itself, phase %s, op %" PRIu64, hub->id,
		       kt_agent_phase_name(record->phase), record->op);
	if (repeats_itself(hub))
		return false;
	(void)snprintf(why, SIM_WHY, "%s: its active credential is not the current one", hub->id);
	if (!kt_fingerprint_eq(&d->current->fp, &record->active.fp))
		return false;
	(void)snprintf(why, SIM_WHY, "%s: no session", hub->id);
	conn = sim_conn_of_link(sim, hub->slot, KT_LINK_AGENT);
	return conn != NULL && conn->at_broker && kt_fingerprint_eq(&conn->fp, &record->active.fp);
}

bool sim_check_settled(struct sim *sim, char why[static SIM_WHY])
{
	if (!sim->server.is_up || sim->server.has_failed) {
		(void)snprintf(why, SIM_WHY, "the server is down");
		return false;
	}
	for (unsigned i = 0; i < SIM_HUBS; i++) {
		const struct sim_hub *hub = &sim->hubs[i];

		if (!hub->exists || hub->is_cloned || sim->devices[i].revoke_wanted ||
		    sim->server.is_rolled_back)
			continue;
		if (!is_settled(sim, hub, why))
			return false;
	}
	return true;
}
