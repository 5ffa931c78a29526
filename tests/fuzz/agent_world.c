#include "agent_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"

enum { START_S = 1800000000, START_MS = 5000000, TICKS_MAX = 2000, FIRST_DIR = 1, FIRST_OP = 100 };

static const struct kt_device_id device = {"hub-17"};

/* --- directories --- */

struct world_dir *agent_world_dir(struct agent_world *w, uint64_t dir)
{
	for (unsigned i = 0; dir != 0 && i < w->dir_count; i++) {
		if (w->dirs[i].dir == dir)
			return &w->dirs[i];
	}
	return NULL;
}

struct kt_fingerprint agent_world_fp(uint64_t dir)
{
	struct kt_fingerprint fp = {{0}};

	memcpy(fp.b, &dir, sizeof(dir));
	fp.b[sizeof(dir)] = 0xfe;
	return fp;
}

static void remove_dir(struct agent_world *w, uint64_t dir)
{
	for (unsigned i = 0; i < w->dir_count; i++) {
		if (w->dirs[i].dir == dir)
			w->dirs[i] = w->dirs[--w->dir_count];
	}
}

static bool is_named(const struct kt_agent_record *r, uint64_t dir)
{
	return dir != 0 && (dir == r->active.dir || dir == r->pending.dir || dir == r->retired.dir);
}

/* --- disk --- */

static const struct kt_agent_record *port_record(void *ctx)
{
	const struct agent_world *w = ctx;

	return &w->record;
}

static void check_record(struct agent_world *w, const struct kt_agent_record *r)
{
	const struct world_dir *active = agent_world_dir(w, r->active.dir);
	const struct world_dir *pending = agent_world_dir(w, r->pending.dir);

	FUZZ_REQUIRE(r->active.dir == 0 || (active != NULL && active->has_cert));
	FUZZ_REQUIRE(r->pending.dir == 0 || (pending != NULL && pending->has_key));
	FUZZ_REQUIRE(r->phase != KT_AGENT_CERT || (pending != NULL && pending->has_cert));
	FUZZ_REQUIRE(r->phase != KT_AGENT_STABLE || r->active.dir != 0);
	FUZZ_REQUIRE(r->controller_n >= w->record.controller_n && r->floor_s >= w->record.floor_s);
	/* I1: it can still be found */
	FUZZ_REQUIRE(w->in_force == 0 || w->is_wiped || is_named(r, w->in_force));
}

static enum kt_err port_save(void *ctx, const struct kt_agent_record *record)
{
	struct agent_world *w = ctx;
	const uint64_t seq = w->record.seq + 1;

	check_record(w, record);
	if (w->saves_fail) {
		w->doubt = *record;
		w->doubt.seq = seq;
		w->is_in_doubt = true;
		return KT_ERR_SYS;
	}
	w->record = *record;
	w->record.seq = seq;
	w->is_in_doubt = false;
	return KT_ERR_OK;
}

/* R5: over a session of the key that it names, and fresh. */
static void check_order(const struct agent_world *w)
{
	const struct kt_message *m = w->now_delivered;
	struct kt_fingerprint fp;

	if (m == NULL || m->type != KT_MESSAGE_ROTATE)
		return;
	fp = agent_world_fp(w->links[w->now_link].dir);
	FUZZ_REQUIRE(!w->is_stranger && kt_fingerprint_eq(&m->u.rotate.cur, &fp));
}

static enum kt_err port_new_key(void *ctx, uint64_t dir, enum kt_alg alg)
{
	struct agent_world *w = ctx;
	struct world_dir *old = agent_world_dir(w, dir);

	FUZZ_REQUIRE(dir != 0 && alg == KT_ALG_ES256);
	check_order(w);
	if (w->keys_fail)
		return KT_ERR_SYS;
	if (old != NULL) /* as the store: what the record does not name was made for the same op */
		return is_named(&w->record, dir) ? KT_ERR_EXISTS : KT_ERR_OK;
	if (w->dir_count == WORLD_DIRS)
		return KT_ERR_SYS;
	w->dirs[w->dir_count++] = (struct world_dir){.dir = dir, .has_key = true};
	return KT_ERR_OK;
}

static enum kt_err port_csr(void *ctx, uint64_t dir, const char *common_name, const char *challenge,
			    uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	struct agent_world *w = ctx;
	const struct world_dir *d = agent_world_dir(w, dir);

	FUZZ_REQUIRE(d != NULL && d->has_key && common_name[0] != '\0' && challenge[0] != '\0');
	*out_len = (size_t)snprintf((char *)out, KT_CSR_MAX, "csr");
	return KT_ERR_OK;
}

/* I7, R8: what the hub says is what its disk carries. */
static void check_said(struct agent_world *w, uint64_t dir, const struct kt_message *m)
{
	const struct kt_agent_record *r = &w->record;
	struct world_dir *d = agent_world_dir(w, dir);
	struct world_dir *pending = agent_world_dir(w, r->pending.dir);
	struct kt_fingerprint fp = agent_world_fp(dir);

	FUZZ_REQUIRE(d != NULL && d->has_key);
	switch ((int)m->type) {
	case KT_MESSAGE_CSR:
		FUZZ_REQUIRE(r->op >= m->u.csr.op && pending != NULL);
		pending->is_known = true;
		break;
	case KT_MESSAGE_ENROLL:
		FUZZ_REQUIRE(dir == r->pending.dir);
		d->is_known = true;
		break;
	case KT_MESSAGE_CONFIRM:
		FUZZ_REQUIRE(d->has_cert && r->phase == KT_AGENT_CERT && dir == r->pending.dir);
		FUZZ_REQUIRE(kt_fingerprint_eq(&m->u.confirm.fp, &fp) && !kt_rollover_has_aside(r));
		if (m->u.confirm.op == w->op && d->is_issued && d->op == w->op)
			w->confirmed = dir;
		break;
	case KT_MESSAGE_PROMOTED:
		if (m->u.promoted.op != r->step_op)
			break;
		FUZZ_REQUIRE(r->step == KT_STEP_PROMOTED || r->step == KT_STEP_NONE);
		FUZZ_REQUIRE(r->retired.dir == 0 || kt_rollover_is_claim(r));
		FUZZ_REQUIRE(w->linked == r->active.dir && w->hooked == r->active.dir);
		break;
	default:
		break;
	}
}

static enum kt_err port_seal(void *ctx, uint64_t dir, const struct kt_message *m, char **out,
			     size_t *out_len)
{
	struct agent_world *w = ctx;

	if (agent_world_dir(w, dir) == NULL)
		return KT_ERR_NOT_FOUND; /* a session that outlives its key */
	check_said(w, dir, m);
	if (w->is_traced)
		(void)fprintf(stderr, "    says %s by %llu\n", kt_message_type_name(m->type),
			      (unsigned long long)dir);
	if (m->type == KT_MESSAGE_HELLO || m->type == KT_MESSAGE_ENROLL) {
		for (unsigned i = 0; i < KT_LINK_COUNT; i++) {
			if (w->agent != NULL && kt_nonce_eq(&w->agent->link[i].dn, &m->dn))
				w->dn[i] = m->dn;
		}
	}
	*out = strdup("text");
	FUZZ_REQUIRE(*out != NULL);
	*out_len = 4;
	return KT_ERR_OK;
}

static enum kt_err port_save_cert(void *ctx, const struct kt_cert_request *request,
				  struct kt_cert_result *out)
{
	struct agent_world *w = ctx;
	struct world_dir *d = agent_world_dir(w, request->dir);

	FUZZ_REQUIRE(d != NULL && d->has_key && !w->is_stranger);
	memset(out, 0, sizeof(*out));
	out->reason = w->bad_cert;
	if (w->bad_cert != KT_REASON_NONE)
		return KT_ERR_VERIFY;
	d->has_cert = true;
	out->leaf.fingerprint = agent_world_fp(request->dir);
	out->verdict.floor_s = w->verdict.floor_s;
	return KT_ERR_OK;
}

static enum kt_err port_link(void *ctx, uint64_t dir)
{
	struct agent_world *w = ctx;

	FUZZ_REQUIRE(dir == w->record.active.dir);
	if (w->links_fail)
		return KT_ERR_SYS;
	w->linked = dir;
	return KT_ERR_OK;
}

/* As the store: what the record names as active or pending stays, and so does all that a save in
 * doubt may name, until that is over. */
static enum kt_err port_wipe(void *ctx, uint64_t dir)
{
	struct agent_world *w = ctx;

	FUZZ_REQUIRE(dir != 0);
	if (dir == w->record.active.dir || dir == w->record.pending.dir)
		return KT_ERR_STATE;
	if (w->wipes_fail || (w->is_in_doubt && w->saves_fail))
		return KT_ERR_SYS;
	w->is_in_doubt = false; /* the store saves once more before it deletes */
	FUZZ_REQUIRE(w->is_wiped || dir != w->in_force);
	remove_dir(w, dir);
	return KT_ERR_OK;
}

static bool port_pem_path(void *ctx, uint64_t dir, char *out, size_t cap)
{
	(void)ctx;
	(void)snprintf(out, cap, "%llu", (unsigned long long)dir);
	return true;
}

static enum kt_err port_open_text(void *ctx, const struct kt_agent_record *record, int64_t system_s,
				  struct kt_bytes text, struct kt_opened *out)
{
	struct agent_world *w = ctx;

	(void)record;
	(void)system_s;
	(void)text;
	memset(out, 0, sizeof(*out));
	out->reason = KT_REASON_CERT_CHAIN;
	if (w->incoming == NULL)
		return KT_ERR_VERIFY;
	out->reason = KT_REASON_NONE;
	out->verdict = w->verdict;
	out->message = w->incoming;
	w->incoming = NULL; /* moved */
	return KT_ERR_OK;
}

/* --- hooks, entropy, log, links --- */

static enum kt_err port_hooks(void *ctx, const char *event)
{
	struct agent_world *w = ctx;

	FUZZ_REQUIRE(event[0] != '\0');
	if (w->hooks_run)
		return KT_ERR_BUSY;
	w->hooks_run = true;
	w->hook_saw = w->linked;
	return KT_ERR_OK;
}

static enum kt_err port_entropy(void *ctx, uint8_t *out, size_t len)
{
	struct agent_world *w = ctx;

	if (w->entropy_fails)
		return KT_ERR_CRYPTO;
	memset(out, ++w->entropy_next, len);
	return KT_ERR_OK;
}

static void port_log(void *ctx, enum kt_log_level level, const char *line)
{
	const struct agent_world *w = ctx;

	(void)level;
	FUZZ_REQUIRE(strchr(line, '\n') == NULL);
	if (w->is_traced)
		(void)fprintf(stderr, "%lld %s\n", (long long)w->now.mono_ms, line);
}

static enum kt_err port_open(void *ctx, enum kt_link link, const struct kt_link_request *request,
			     const char *cmd_topic)
{
	struct agent_world *w = ctx;
	struct world_link *l = &w->links[link];
	const struct world_dir *d;

	FUZZ_REQUIRE(!l->is_open && cmd_topic[0] != '\0' && request->client_id[0] != '\0');
	if (w->opens_fail)
		return KT_ERR_SYS;
	l->is_open = true;
	l->is_up = false;
	l->dir = link == KT_LINK_CLAIM ? 0 : strtoull(request->identity_pem, NULL, 10);
	d = agent_world_dir(w, l->dir);
	FUZZ_REQUIRE(link == KT_LINK_CLAIM || (d != NULL && d->has_cert));
	return KT_ERR_OK;
}

static enum kt_err port_send(void *ctx, enum kt_link link, const char *text, size_t len)
{
	struct agent_world *w = ctx;

	FUZZ_REQUIRE(len > 0 && text[0] != '\0');
	return w->sends_fail || !w->links[link].is_up ? KT_ERR_CLOSED : KT_ERR_OK;
}

static void port_close(void *ctx, enum kt_link link)
{
	struct agent_world *w = ctx;

	FUZZ_REQUIRE(w->links[link].is_open);
}

/* --- events --- */

void agent_world_check(const struct agent_world *w)
{
	const struct kt_agent_record *r = &w->record;
	struct kt_agent_status status;

	kt_agent_status(w->agent, &status);
	FUZZ_REQUIRE(kt_agent_health_name(status.health)[0] != '?');
	if (w->in_force == 0 || w->is_wiped)
		return;
	FUZZ_REQUIRE(agent_world_dir((struct agent_world *)(uintptr_t)w, w->in_force) != NULL);
	FUZZ_REQUIRE(is_named(r, w->in_force));
	if (w->is_in_doubt)
		FUZZ_REQUIRE(is_named(&w->doubt, w->in_force));
}

void agent_world_up(struct agent_world *w, enum kt_link link)
{
	const struct kt_link_event event = {.kind = KT_LINK_UP, .link = link};

	if (!w->links[link].is_open || w->links[link].is_up)
		return;
	w->links[link].is_up = true;
	kt_agent_link_event(w->agent, w->now, &event);
	agent_world_check(w);
}

void agent_world_down(struct agent_world *w, enum kt_link link, enum kt_link_cause cause)
{
	const struct kt_link_event event = {.kind = KT_LINK_DOWN, .link = link, .cause = cause};

	if (!w->links[link].is_open)
		return;
	memset(&w->links[link], 0, sizeof(w->links[link]));
	kt_agent_link_event(w->agent, w->now, &event);
	agent_world_check(w);
}

void agent_world_deliver(struct agent_world *w, enum kt_link link, struct kt_message *message,
			 bool is_stranger)
{
	static uint8_t text[WORLD_TEXT] = "text";
	const struct kt_link_event event = {
		.kind = KT_LINK_MESSAGE, .link = link, .text = text, .text_len = 4};
	struct kt_message *copy = NULL;

	if (!w->links[link].is_up) {
		kt_message_free(message);
		return;
	}
	if (w->is_traced)
		(void)fprintf(stderr, "    hears %s%s on %d\n",
			      message == NULL ? "rubbish" : kt_message_type_name(message->type),
			      is_stranger ? " (stranger)" : "", (int)link);
	if (message != NULL) {
		copy = kt_message_new(message->type);
		FUZZ_REQUIRE(copy != NULL);
		memcpy(copy, message, kt_message_size(message));
	}
	w->incoming = message;
	w->now_delivered = copy;
	w->now_link = link;
	w->is_stranger = is_stranger || message == NULL;
	kt_agent_link_event(w->agent, w->now, &event);
	kt_message_free(w->incoming);
	w->incoming = NULL;
	w->now_delivered = NULL;
	w->is_stranger = false;
	kt_message_free(copy);
	agent_world_check(w);
}

void agent_world_hooks_done(struct agent_world *w, bool succeeded)
{
	if (!w->hooks_run)
		return;
	w->hooks_run = false;
	if (succeeded)
		w->hooked = w->hook_saw;
	kt_agent_hooks_done(w->agent, w->now, succeeded);
	agent_world_check(w);
}

void agent_world_pass(struct agent_world *w, int64_t ms)
{
	const int64_t end = w->now.mono_ms + ms;
	int64_t next = kt_agent_next_tick_ms(w->agent);
	unsigned ticks = 0;

	while (next <= end && ticks < TICKS_MAX) {
		if (next > w->now.mono_ms) {
			w->now.wall_s += (next - w->now.mono_ms) / 1000;
			w->now.mono_ms = next;
		}
		kt_agent_tick(w->agent, w->now);
		agent_world_check(w);
		ticks++;
		next = kt_agent_next_tick_ms(w->agent);
		FUZZ_REQUIRE(next > w->now.mono_ms || ticks < 100); /* or it never sleeps */
	}
	w->now.wall_s += (end - w->now.mono_ms) / 1000;
	w->now.mono_ms = end;
}

/* --- life --- */

static void make_agent(struct agent_world *w, bool again)
{
	static const uint8_t hash[32] = {1};

	FUZZ_REQUIRE(kt_agent_new(&w->setup, w->now, &w->agent) == KT_ERR_OK);
	if (again && w->setup.ticket != NULL)
		w->enrolls_again = kt_agent_enroll_again(w->agent, hash) == KT_ERR_OK;
	kt_agent_start(w->agent, w->now);
	agent_world_check(w);
}

/* What the record does not name goes at a start. */
static void sweep(struct agent_world *w)
{
	unsigned i = 0;

	while (i < w->dir_count) {
		if (is_named(&w->record, w->dirs[i].dir)) {
			i++;
			continue;
		}
		FUZZ_REQUIRE(w->is_wiped || w->dirs[i].dir != w->in_force);
		w->dirs[i] = w->dirs[--w->dir_count];
	}
	if (w->record.step != KT_STEP_LINK)
		w->linked = w->record.active.dir; /* the link is repaired from the record */
}

void agent_world_restart(struct agent_world *w, bool takes_doubt, bool again)
{
	kt_agent_free(w->agent);
	w->agent = NULL;
	memset(w->links, 0, sizeof(w->links));
	w->hooks_run = false;
	if (w->is_in_doubt && takes_doubt)
		w->record = w->doubt;
	w->is_in_doubt = false;
	sweep(w);
	make_agent(w, again);
}

static void set_ports(struct agent_world *w)
{
	w->transport = (struct kt_transport){
		.ctx = w, .open = port_open, .send = port_send, .close = port_close};
	w->disk = (struct kt_agent_disk){.ctx = w,
					 .record = port_record,
					 .save = port_save,
					 .new_key = port_new_key,
					 .csr = port_csr,
					 .seal = port_seal,
					 .save_cert = port_save_cert,
					 .link = port_link,
					 .wipe = port_wipe,
					 .pem_path = port_pem_path,
					 .open = port_open_text};
	w->hooks = (struct kt_agent_hooks){.ctx = w, .start = port_hooks};
	w->entropy = (struct kt_agent_entropy){.ctx = w, .bytes = port_entropy};
	kt_log_init(&w->log, port_log, w, KT_LOG_DEBUG);
	w->setup = (struct kt_agent_setup){.transport = &w->transport,
					   .disk = &w->disk,
					   .hooks = &w->hooks,
					   .entropy = &w->entropy,
					   .log = &w->log,
					   .timers = {.repeat_first = 10000,
						      .repeat_max = 600000,
						      .trial_timeout = 30000,
						      .silence_min = 60000,
						      .backoff_min = 1000,
						      .backoff_max = 300000,
						      .hook_retry = 60000},
					   .key_store = "file",
					   .claim_device = ""};
}

static void be_stable(struct agent_world *w)
{
	struct kt_agent_record *r = &w->record;

	r->device = device;
	r->phase = KT_AGENT_STABLE;
	r->active = (struct kt_slot){.dir = FIRST_DIR,
				     .op = FIRST_OP,
				     .generation = 1,
				     .alg = KT_ALG_ES256,
				     .fp = agent_world_fp(FIRST_DIR)};
	r->op = FIRST_OP;
	w->dirs[w->dir_count++] = (struct world_dir){.dir = FIRST_DIR,
						     .has_key = true,
						     .has_cert = true,
						     .is_known = true,
						     .is_issued = true,
						     .op = FIRST_OP};
	w->in_force = FIRST_DIR;
	w->linked = FIRST_DIR;
	w->hooked = FIRST_DIR;
}

struct agent_world *agent_world_new(enum agent_start start)
{
	struct agent_world *w = calloc(1, sizeof(*w));

	FUZZ_REQUIRE(w != NULL);
	w->now = (struct kt_agent_now){START_S, START_MS};
	w->is_traced = getenv("KT_FUZZ_TRACE") != NULL;
	w->op = FIRST_OP;
	w->committed_op = FIRST_OP;
	w->record.seq = FIRST_DIR; /* the next number that an enrolment takes is not in use */
	(void)snprintf(w->record.trust_domain, sizeof(w->record.trust_domain), "fleet.example");
	set_ports(w);
	if (start == AGENT_STABLE || start == AGENT_BARE)
		be_stable(w);
	memset(w->ticket.secret, 0x5e, sizeof(w->ticket.secret));
	if (start == AGENT_NEW_TICKET || start == AGENT_STABLE)
		w->setup.ticket = &w->ticket;
	if (start == AGENT_NEW_CLAIM)
		w->setup.claim_pem = "/claim.pem";
	make_agent(w, false);
	return w;
}

void agent_world_free(struct agent_world *w)
{
	kt_agent_free(w->agent);
	kt_message_free(w->incoming);
	free(w);
}
