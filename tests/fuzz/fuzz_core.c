/*
 * The plugin's core as a state machine: bytes are clients, operators, workers, a disk and a clock,
 * in any order. What must hold is core_world's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_world.h"
#include "encoding.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum {
	EVENTS_MAX = 400,
	SAY_LEN = 4, /* bytes of a device's message, as the workers are given it */
	KEYS = 6
};

/* --- clients --- */

static void client_id(struct fuzz_input *in, char *out, size_t cap)
{
	static const char *const tags[] = {":agent", ":trial", "", ":app"};
	static const char *const others[] = {"op:root",
					     "op:vera",
					     "op:rob",
					     "op:carol",
					     "claim:AAAAAAAAAAAAAAAAAAAAAA",
					     "claim:BBBBBBBBBBBBBBBBBBBBBA",
					     "",
					     "sensor-1",
					     "hub-1:",
					     "HUB-1"};
	const unsigned b = fuzz_u8(in);

	if (b < 160)
		(void)snprintf(out, cap, "%s%s", core_world_device(b / 4), tags[b % 4]);
	else
		(void)snprintf(out, cap, "%s", others[b % 10]);
}

static void on_connect(struct core_world *w, struct fuzz_input *in)
{
	const unsigned slot = fuzz_below(in, WORLD_CONNS);
	const unsigned cert = fuzz_u8(in);
	char id[KT_CLIENT_ID_MAX];

	client_id(in, id, sizeof(id));
	(void)core_world_connect(w, slot, cert < w->cert_count ? cert : WORLD_CERTS, id,
				 cert == 255 ? "hub-1" : NULL);
}

/* --- what a device says: as its bytes choose, right or wrong --- */

static struct kt_nonce op_nonce(const struct kt_session *session, bool is_wrong)
{
	struct kt_nonce nonce = {{0}};

	if (session->device != NULL)
		nonce = session->device->op_nonce;
	nonce.b[0] ^= is_wrong ? 1 : 0;
	return nonce;
}

static struct kt_fingerprint own_fp(const struct kt_session *session, bool is_wrong)
{
	struct kt_fingerprint fp = session->fp;

	fp.b[0] ^= is_wrong ? 1 : 0;
	return fp;
}

static uint64_t some_op(const struct kt_session *session, unsigned b)
{
	static const uint64_t far[] = {0, 1, KT_OP_MAX, 1000};
	const uint64_t op = session->device == NULL ? 0 : session->device->op;

	if (b < 200)
		return op;
	return b < 240 ? op + b % 3 - 1 : far[b % 4];
}

static void put_request(const struct core_world *w, struct kt_job *job, unsigned key, bool is_wrong)
{
	struct kt_message *m = job->message;
	const bool is_enroll = m->type == KT_MESSAGE_ENROLL;
	char name[8];

	(void)snprintf(name, sizeof(name), "k%u", key % KEYS);
	job->csr.key.alg = KT_ALG_ES256;
	job->csr.key_id = fleet_key(name);
	kt_csr_binding(w->config.trust_domain, m->device.s, is_enroll ? 0 : m->u.csr.op,
		       is_enroll ? &m->dn : &m->u.csr.nonce, job->csr.challenge_password);
	job->csr.challenge_password[0] ^= is_wrong ? 1 : 0;
}

static void fill_enroll(const struct core_world *w, struct kt_message *m, unsigned b)
{
	const unsigned ticket = b % (WORLD_TICKETS + 2);

	(void)snprintf(m->device.s, sizeof(m->device.s), "%s",
		       b < 32 ? "" : core_world_device(b / 64));
	m->u.enroll.has_ticket = ticket < WORLD_TICKETS;
	if (ticket < WORLD_TICKETS && w->ticket_count > 0)
		memcpy(m->u.enroll.ticket, w->tickets[ticket % w->ticket_count].secret,
		       sizeof(m->u.enroll.ticket));
	memset(m->dn.b, 1 + (int)(b / 128), sizeof(m->dn.b));
}

static void fill(const struct core_world *w, const struct kt_session *session, struct kt_job *job,
		 const uint8_t say[static SAY_LEN])
{
	struct kt_message *m = job->message;
	const bool is_wrong = say[2] >= 250;

	switch ((int)m->type) {
	case KT_MESSAGE_HELLO:
		m->u.hello.op = some_op(session, say[1]);
		m->u.hello.fp = own_fp(session, is_wrong);
		m->u.hello.generation = 1;
		m->u.hello.phase = (enum kt_device_phase)(say[3] % 3);
		memset(m->dn.b, 1 + say[2] % 2, sizeof(m->dn.b));
		break;
	case KT_MESSAGE_CSR:
		m->u.csr.op = some_op(session, say[1]);
		m->u.csr.nonce = op_nonce(session, is_wrong);
		put_request(w, job, say[3], say[2] == 249);
		break;
	case KT_MESSAGE_CONFIRM:
		m->u.confirm.op = some_op(session, say[1]);
		m->u.confirm.nonce = op_nonce(session, is_wrong);
		m->u.confirm.fp = own_fp(session, say[2] == 249);
		break;
	case KT_MESSAGE_PROMOTED:
		m->u.promoted.op = some_op(session, say[1]);
		m->u.promoted.fp = own_fp(session, is_wrong);
		break;
	case KT_MESSAGE_FAILED:
		m->u.failed.op = some_op(session, say[1]);
		m->u.failed.reason = KT_REASON_DISK;
		break;
	case KT_MESSAGE_ANSWER:
		m->u.answer.nonce = session->challenge;
		m->u.answer.nonce.b[0] ^= is_wrong ? 1 : 0;
		m->u.answer.fp = own_fp(session, say[2] == 249);
		break;
	case KT_MESSAGE_ENROLL:
		fill_enroll(w, m, say[1]);
		put_request(w, job, say[3], is_wrong);
		break;
	default:
		break;
	}
}

/* As a worker does it: what the signature held, or that none did. */
static void open_message(struct core_world *w, struct kt_job *job)
{
	static const enum kt_message_type types[] = {
		KT_MESSAGE_HELLO,  KT_MESSAGE_CSR,    KT_MESSAGE_CONFIRM, KT_MESSAGE_PROMOTED,
		KT_MESSAGE_FAILED, KT_MESSAGE_ANSWER, KT_MESSAGE_ENROLL,  KT_MESSAGE_WELCOME};
	const struct kt_session *session = kt_sessions_by_number(w->core->sessions, job->session);
	uint8_t say[SAY_LEN] = {0};

	memcpy(say, job->text, job->text_len < SAY_LEN ? job->text_len : SAY_LEN);
	if (say[0] >= 240 || session == NULL) {
		job->err = KT_ERR_VERIFY;
		job->reason = say[0] == 255 ? KT_REASON_OP_RANGE : KT_REASON_JWS_SIG;
		job->signed_by_count = say[1] % 2;
		job->signed_by[0] = fleet_key(w->certs[say[2] % w->cert_count].text);
		return;
	}
	job->message = kt_message_new(types[say[0] % 8]);
	FUZZ_REQUIRE(job->message != NULL);
	(void)snprintf(job->message->trust_domain, sizeof(job->message->trust_domain), FLEET_TD);
	if (session->device != NULL)
		job->message->device = session->device->id;
	if (say[2] == 248)
		(void)snprintf(job->message->device.s, sizeof(job->message->device.s), "hub-1");
	fill(w, session, job, say);
	if (job->message->type != KT_MESSAGE_HELLO && job->message->type != KT_MESSAGE_ENROLL)
		job->message->sn = session->sn;
	if (say[2] == 247)
		job->message->sn.b[0] ^= 1;
	job->err = KT_ERR_OK;
}

static void do_job(struct core_world *w, unsigned index, bool fails)
{
	struct kt_job *job = core_world_take_job(w, index);

	if (job == NULL)
		return;
	if (job->kind != KT_JOB_OPEN) {
		core_world_do_job(w, job, fails);
		return;
	}
	open_message(w, job);
	core_world_job_done(w, job);
}

/* The workers and the disk keep up. */
static void settle(struct core_world *w)
{
	for (unsigned i = 0; i < 3 * WORLD_JOBS && w->waiting_count > 0; i++) {
		do_job(w, 0, false);
		core_world_durable(w, WORLD_RECORDS);
	}
	core_world_durable(w, WORLD_RECORDS);
}

/* --- operators --- */

static void put_hash(char *out, size_t cap, const char *name)
{
	const struct kt_key_id id = fleet_key(name); /* SHA-256 of the text */

	FUZZ_REQUIRE(kt_hex_encode(id.b, sizeof(id.b), out, cap) == KT_ERR_OK);
}

/* @ is a device, # a key, & an operator's certificate. */
static size_t put_command(const char *form, unsigned b, char *out, size_t cap)
{
	char hash[2 * KT_KEY_ID_LEN + 1] = "";
	char name[8];
	size_t len = 0;

	(void)snprintf(name, sizeof(name), "k%u", b / WORLD_DEVICES % KEYS);
	for (const char *c = form; *c != '\0'; c++) {
		const char one[2] = {*c, '\0'};
		const char *part = *c == '@'		    ? core_world_device(b)
				   : *c == '#' || *c == '&' ? hash
							    : one;

		if (part == hash)
			put_hash(hash, sizeof(hash), *c == '#' ? name : WORLD_CAROL);

		FUZZ_REQUIRE(len + strlen(part) < cap);
		memcpy(out + len, part, strlen(part) + 1);
		len += strlen(part);
	}
	return len;
}

/* base64url of the imported fleet's certificate that core_world has for the door */
#define OLD_CERT "dXJuOnBsYW50OjF8MTYwMDAwMDAwMHwxOTAwMDAwMDAwfGVzMjU2IGNuPWh1Yi00"

#define COMMAND(text) "{\"commands\":[{\"command\":" text "}]}"

static void command(struct core_world *w, struct fuzz_input *in)
{
	static const char *const forms[] = {
		COMMAND("\"rotate\",\"device\":\"@\""),
		COMMAND("\"revoke\",\"device\":\"@\",\"emergency\":true"),
		COMMAND("\"revoke\",\"device\":\"@\",\"wipe\":true"),
		COMMAND("\"createTicket\",\"device\":\"@\",\"validFor\":3600"),
		COMMAND("\"createTicket\",\"group\":\"west\",\"pattern\":\"hub-*\","
			"\"validFor\":3600"),
		COMMAND("\"cancel\",\"device\":\"@\""),
		COMMAND("\"quarantine\",\"device\":\"@\""),
		COMMAND("\"release\",\"device\":\"@\""),
		COMMAND("\"release\",\"device\":\"@\",\"freeze\":true"),
		COMMAND("\"deleteDevice\",\"device\":\"@\""),
		COMMAND("\"challenge\",\"device\":\"@\""),
		COMMAND("\"rotate\",\"all\":true"),
		COMMAND("\"status\""),
		COMMAND("\"listDevices\""),
		COMMAND("\"confirmClock\""),
		COMMAND("\"endReconcile\""),
		COMMAND("\"listPending\""),
		COMMAND("\"getDevice\",\"device\":\"@\""),
		COMMAND("\"createDevice\",\"device\":\"@\",\"keyId\":\"#\""),
		COMMAND("\"approve\",\"device\":\"@\",\"keyId\":\"#\""),
		COMMAND("\"deny\",\"keyId\":\"#\""),
		COMMAND("\"addOperator\",\"name\":\"carol\",\"fp\":\"&\",\"role\":\"admin\""),
		COMMAND("\"removeOperator\",\"name\":\"carol\""),
		COMMAND("\"importCertificate\",\"device\":\"@\",\"certificate\":\"" OLD_CERT "\"")};
	const unsigned slot = fuzz_below(in, WORLD_CONNS);
	const char *form = forms[fuzz_below(in, sizeof(forms) / sizeof(forms[0]))];
	char text[400];
	const size_t len = put_command(form, fuzz_u8(in), text, sizeof(text));

	core_world_control(w, slot, (struct kt_bytes){(const uint8_t *)text, len});
}

/* --- topics and clocks --- */

static void ask_topic(struct core_world *w, struct fuzz_input *in)
{
	static const char *const topics[] = {"devices/hub-1/up",	"devices/hub-2/up",
					     "devices/hub-3/#",		"devices/hub-4/up",
					     KT_TOPIC_CONTROL,		KT_TOPIC_CONTROL_RESPONSE,
					     KT_TOPIC_EVENTS_PREFIX "#"};
	const unsigned slot = fuzz_below(in, WORLD_CONNS);
	const unsigned b = fuzz_u8(in);

	(void)core_world_acl(w, slot, (enum kt_acl_action)(b % 4), topics[b / 4 % 7]);
}

static void jump(struct core_world *w, struct fuzz_input *in)
{
	static const int64_t mono_ms[] = {1000,	  5000,	   31000,    61000,
					  610000, 3600000, 86400000, INT64_C(8) * 86400000};
	static const int64_t wall_s[] = {0,   0, 0, -86400, 86400, -1600000000, INT64_C(2302128000),
					 3600};
	const unsigned b = fuzz_u8(in);

	w->now.wall_us += wall_s[b / 8 % 8] * 1000000;
	core_world_tick(w, mono_ms[b % 8]);
}

static void toggle(struct core_world *w, struct fuzz_input *in)
{
	switch (fuzz_below(in, 8)) {
	case 0:
		core_world_restart(w, fuzz_u8(in));
		break;
	case 1:
		core_world_ledger_fails(w);
		break;
	case 2:
		w->kick_fails = !w->kick_fails;
		break;
	case 3:
		w->jobs_are_full = !w->jobs_are_full;
		break;
	case 4:
		w->entropy_fails = !w->entropy_fails;
		break;
	case 5:
		w->publish_fails = !w->publish_fails;
		break;
	case 6:
		core_world_reload(w);
		break;
	default:
		kt_core_extended_auth(w->core, w->now, "hub-1", NULL);
		break;
	}
}

static void event(struct core_world *w, struct fuzz_input *in)
{
	unsigned slot;

	switch (fuzz_below(in, 12)) {
	case 0:
		on_connect(w, in);
		break;
	case 1:
		core_world_disconnect(w, fuzz_below(in, WORLD_CONNS));
		break;
	case 2:
	case 3:
		slot = fuzz_below(in, WORLD_CONNS);
		core_world_say(w, slot, fuzz_take(in, SAY_LEN));
		break;
	case 4:
		command(w, in);
		break;
	case 5:
		do_job(w, fuzz_u8(in), false);
		break;
	case 6:
		settle(w);
		break;
	case 7:
		core_world_durable(w, fuzz_below(in, 3));
		break;
	case 8:
		for (slot = 1 + fuzz_below(in, 4); slot > 0; slot--)
			core_world_tick(w, 100);
		break;
	case 9:
		jump(w, in);
		break;
	case 10:
		ask_topic(w, in);
		break;
	default:
		if (fuzz_below(in, 2) == 0)
			toggle(w, in);
		else
			do_job(w, fuzz_u8(in), true);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	struct core_world *w = core_world_new(fuzz_u8(&in));

	for (unsigned i = 0; i < EVENTS_MAX && fuzz_has_more(&in); i++)
		event(w, &in);
	settle(w);
	core_world_free(w);
	return 0;
}
