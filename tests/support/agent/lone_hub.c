#include "lone_hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- hooks, entropy, log --- */

static enum kt_err start_hooks(void *ctx, const char *event)
{
	struct hub *h = ctx;

	if (h->hooks_fail_to_start)
		return KT_ERR_BUSY;
	trace_add(&h->trace, "hooks %s", event);
	return KT_ERR_OK;
}

/* Four bytes are the back-off's; all else is a nonce, and no two are the same. */
static enum kt_err draw(void *ctx, uint8_t *out, size_t len)
{
	struct hub *h = ctx;

	if (h->entropy_fails)
		return KT_ERR_CRYPTO;
	if (len == sizeof(h->jitter))
		memcpy(out, &h->jitter, len);
	else
		memset(out, ++h->entropy_next, len);
	return KT_ERR_OK;
}

static void write_line(void *ctx, enum kt_log_level level, const char *line)
{
	struct hub *h = ctx;

	(void)level;
	(void)snprintf(h->log_line, sizeof(h->log_line), "%s", line);
	if (strstr(line, "event=reply.refused") != NULL) {
		h->refused++;
		(void)snprintf(h->refused_line, sizeof(h->refused_line), "%s", line);
	}
}

/* --- life --- */

static struct hub *new_hub(void)
{
	struct hub *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->now = (struct kt_agent_now){HUB_START_S, HUB_START_MS};
	fake_transport_init(&h->transport, &h->trace);
	fake_disk_init(&h->disk, &h->trace);
	kt_log_init(&h->log, write_line, h, KT_LOG_DEBUG);
	h->hooks = (struct kt_agent_hooks){.ctx = h, .start = start_hooks};
	h->entropy = (struct kt_agent_entropy){.ctx = h, .bytes = draw};
	h->setup = (struct kt_agent_setup){
		.transport = &h->transport.table,
		.disk = &h->disk.table,
		.hooks = &h->hooks,
		.entropy = &h->entropy,
		.log = &h->log,
		.timers = {.repeat_first = 10000,
			   .repeat_max = 600000,
			   .trial_timeout = 30000,
			   .silence_min = 60000,
			   .backoff_min = 1000,
			   .backoff_max = 300000,
			   .hook_retry = 60000},
		.key_store = "file",
		.claim_device = "",
	};
	(void)snprintf(h->disk.record.trust_domain, sizeof(h->disk.record.trust_domain), "%s",
		       "fleet.example");
	h->disk.record.seq = 1;
	h->disk.leaf = hub_fp(HUB_NEW);
	return h;
}

struct hub *hub_new(void)
{
	struct hub *h = new_hub();
	struct kt_agent_record *r = &h->disk.record;

	(void)snprintf(r->device.s, sizeof(r->device.s), "hub-17");
	r->phase = KT_AGENT_STABLE;
	r->active = (struct kt_slot){
		.dir = 1, .op = 100, .generation = 1, .alg = KT_ALG_ES256, .fp = hub_fp(HUB_OLD)};
	r->op = 100;
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	return h;
}

struct hub *hub_new_unenrolled(bool has_ticket, const char *device)
{
	struct hub *h = new_hub();

	h->disk.record.phase = KT_AGENT_NEW;
	(void)snprintf(h->ticket.device, sizeof(h->ticket.device), "%s", device);
	memset(h->ticket.secret, 0x5e, sizeof(h->ticket.secret));
	if (has_ticket)
		h->setup.ticket = &h->ticket;
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	return h;
}

void hub_free(struct hub *h)
{
	kt_agent_free(h->agent);
	fake_disk_clear(&h->disk);
	free(h);
}

void hub_start(struct hub *h)
{
	kt_agent_start(h->agent, h->now);
}

void hub_restart(struct hub *h)
{
	kt_agent_free(h->agent);
	h->agent = NULL;
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	hub_start(h);
}

/* --- events --- */

static void note_nonces(struct hub *h, enum kt_link link)
{
	const struct kt_message *sealed = h->disk.sealed;

	if (sealed != NULL &&
	    (sealed->type == KT_MESSAGE_HELLO || sealed->type == KT_MESSAGE_ENROLL))
		h->dn[link] = sealed->dn;
}

void hub_up(struct hub *h, enum kt_link link)
{
	const struct kt_link_event event = {.kind = KT_LINK_UP, .link = link};

	kt_agent_link_event(h->agent, h->now, &event);
	note_nonces(h, link);
}

void hub_down(struct hub *h, enum kt_link link, enum kt_link_cause cause)
{
	const struct kt_link_event event = {.kind = KT_LINK_DOWN, .link = link, .cause = cause};

	kt_agent_link_event(h->agent, h->now, &event);
}

static void move_to(struct hub *h, int64_t mono_ms)
{
	h->now.mono_ms = mono_ms;
	h->now.wall_s = HUB_START_S + (mono_ms - HUB_START_MS) / 1000;
}

void hub_pass(struct hub *h, int64_t ms)
{
	int64_t end = h->now.mono_ms + ms;
	int64_t next = kt_agent_next_tick_ms(h->agent);
	unsigned ticks = 0;

	while (next <= end) {
		if (next > h->now.mono_ms)
			move_to(h, next);
		kt_agent_tick(h->agent, h->now);
		assert_true(++ticks < 1000); /* or it never sleeps */
		next = kt_agent_next_tick_ms(h->agent);
	}
	move_to(h, end);
}

void hub_hooks_done(struct hub *h, bool succeeded)
{
	kt_agent_hooks_done(h->agent, h->now, succeeded);
}

/* --- what the plugin says --- */

struct kt_message *hub_message(struct hub *h, enum kt_link link, enum kt_message_type type)
{
	struct kt_message *m = kt_message_new(type);

	assert_non_null(m);
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), "fleet.example");
	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-17");
	m->dn = h->dn[link];
	return m;
}

void hub_say(struct hub *h, enum kt_link link, struct kt_message *message)
{
	static uint8_t text[] = "text";
	const struct kt_link_event event = {
		.kind = KT_LINK_MESSAGE, .link = link, .text = text, .text_len = sizeof(text) - 1};

	kt_message_free(h->disk.incoming);
	h->disk.incoming = message;
	kt_agent_link_event(h->agent, h->now, &event);
}

void hub_say_rubbish(struct hub *h, enum kt_link link)
{
	hub_say(h, link, NULL);
}

void hub_welcome(struct hub *h, enum kt_link link, enum kt_next next)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_WELCOME);

	memset(m->sn.b, 0x70 + (int)link, sizeof(m->sn.b));
	m->u.welcome.next = next;
	hub_say(h, link, m);
}

void hub_rotate(struct hub *h, enum kt_link link, uint64_t op, uint8_t cur)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_ROTATE);

	m->u.rotate.op = op;
	m->u.rotate.alg = KT_ALG_ES256;
	m->u.rotate.cur = hub_fp(cur);
	memset(m->u.rotate.nonce.b, (int)op & 0xff, sizeof(m->u.rotate.nonce.b));
	hub_say(h, link, m);
}

void hub_cert(struct hub *h, enum kt_link link, uint64_t op, uint8_t leaf)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_CERT);

	m->u.cert.op = op;
	h->disk.leaf = hub_fp(leaf);
	hub_say(h, link, m);
}

void hub_committed(struct hub *h, enum kt_link link, uint64_t op, uint8_t fp)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_COMMITTED);

	m->u.committed.op = op;
	m->u.committed.fp = hub_fp(fp);
	hub_say(h, link, m);
}

void hub_noted(struct hub *h, enum kt_link link, uint64_t op, enum kt_message_type of)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_NOTED);

	m->u.noted.op = op;
	m->u.noted.of = of;
	hub_say(h, link, m);
}

void hub_reject(struct hub *h, enum kt_link link, enum kt_reason reason, uint32_t retry_s,
		uint64_t op)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_REJECT);

	m->u.reject.reason = reason;
	m->u.reject.retry_s = retry_s;
	m->u.reject.op = op;
	hub_say(h, link, m);
}

void hub_wipe(struct hub *h, enum kt_link link)
{
	struct kt_message *m = hub_message(h, link, KT_MESSAGE_REVOKED);

	m->u.revoked.reason = KT_REASON_CERT_REVOKED;
	m->u.revoked.wipe = true;
	hub_say(h, link, m);
}

/* --- the way to where a test begins --- */

void hub_in_session(struct hub *h)
{
	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	h->trace.count = 0;
}

void hub_confirmed(struct hub *h)
{
	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	h->trace.count = 0;
}

struct kt_fingerprint hub_fp(uint8_t fill)
{
	struct kt_fingerprint fp;

	memset(fp.b, fill, sizeof(fp.b));
	return fp;
}

enum kt_agent_health hub_health(const struct hub *h)
{
	struct kt_agent_status status;

	kt_agent_status(h->agent, &status);
	return status.health;
}

const struct kt_message *hub_sent(const struct hub *h)
{
	assert_non_null(h->disk.sealed);
	return h->disk.sealed;
}
