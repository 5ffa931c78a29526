/*
 * The agent's core as a state machine: bytes are what the server, the network, the disk and the
 * clock do, in any order. What must hold is agent_world's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_world.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { EVENTS_MAX = 300, WRONG = 240, CLOCK_S = 1800000000 };

/* --- the server --- */

static struct kt_message *message(const struct agent_world *w, enum kt_link link,
				  enum kt_message_type type)
{
	struct kt_message *m = kt_message_new(type);

	FUZZ_REQUIRE(m != NULL);
	(void)snprintf(m->trust_domain, sizeof(m->trust_domain), "fleet.example");
	(void)snprintf(m->device.s, sizeof(m->device.s), "hub-17");
	m->dn = w->dn[link];
	return m;
}

static uint64_t some_op(const struct agent_world *w, unsigned b)
{
	if (b < WRONG)
		return w->op;
	return b % 4 == 0 ? w->op - 1 : b % 4 == 1 ? w->op + 1 : b % 4 == 2 ? 0 : KT_OP_MAX;
}

static struct kt_fingerprint some_fp(const struct agent_world *w, unsigned b)
{
	return agent_world_fp(b < WRONG ? w->in_force : w->record.pending.dir + 1);
}

/* Opens an op, or says the open one again. What was issued for the one before is abandoned. */
static struct kt_message *rotate(struct agent_world *w, enum kt_link link, unsigned b)
{
	struct kt_message *m = message(w, link, KT_MESSAGE_ROTATE);

	if (b % 2 == 0 || !w->is_op_open) {
		w->op += b % 3 == 0 ? 1 : 1000;
		w->is_op_open = true;
		w->confirmed = 0;
		memset(w->op_nonce.b, (int)b, sizeof(w->op_nonce.b));
	}
	m->u.rotate.op = w->op;
	m->u.rotate.alg = b == 255 ? KT_ALG_NONE : KT_ALG_ES256;
	m->u.rotate.cur = some_fp(w, b);
	m->u.rotate.nonce = w->op_nonce;
	if (b >= WRONG)
		m->u.rotate.op = some_op(w, b);
	return m;
}

/* For a key that it has seen; one for an op. */
static struct kt_message *cert(struct agent_world *w, enum kt_link link, unsigned b)
{
	struct world_dir *d = agent_world_dir(w, w->record.pending.dir);
	struct kt_message *m;

	if (d == NULL || !d->is_known || !w->is_op_open)
		return NULL;
	d->is_issued = true;
	d->op = w->op;
	w->bad_cert = b < WRONG	   ? KT_REASON_NONE
		      : b % 3 == 0 ? KT_REASON_CERT_CHAIN
		      : b % 3 == 1 ? KT_REASON_CERT_KEY
				   : KT_REASON_DISK;
	if (link == KT_LINK_CLAIM) {
		m = message(w, link, KT_MESSAGE_ENROLLED);
		m->u.enrolled.op = w->op;
		m->u.enrolled.nonce = w->op_nonce;
		return m;
	}
	m = message(w, link, KT_MESSAGE_CERT);
	m->u.cert.op = some_op(w, b % 2 == 0 ? b : 0);
	return m;
}

/* An enrolment opens its op by itself. */
static struct kt_message *enrolled(struct agent_world *w, unsigned b)
{
	if (!w->is_op_open || b % 2 == 0) {
		w->op += 1000;
		w->is_op_open = true;
		w->confirmed = 0;
	}
	return cert(w, KT_LINK_CLAIM, b);
}

/* It commits what was confirmed, now or before this; and says so. */
static struct kt_message *committed(struct agent_world *w, enum kt_link link, unsigned b)
{
	struct kt_message *m;

	if (w->confirmed != 0 && w->is_op_open) {
		w->in_force = w->confirmed;
		w->committed_op = w->op;
		w->is_op_open = false;
		w->confirmed = 0;
		w->is_wiped = false;
	}
	if (b % 8 == 7)
		return NULL; /* lost */
	m = message(w, link, KT_MESSAGE_COMMITTED);
	m->u.committed.op = b < WRONG ? w->committed_op : some_op(w, b);
	m->u.committed.fp = agent_world_fp(w->in_force);
	return m;
}

static struct kt_message *welcome(const struct agent_world *w, enum kt_link link, unsigned b)
{
	struct kt_message *m = message(w, link, KT_MESSAGE_WELCOME);

	memset(m->sn.b, 0x70 + (int)link, sizeof(m->sn.b));
	m->u.welcome.next = (enum kt_next)(b % 6);
	m->u.welcome.op = w->op;
	if (w->in_force != 0)
		m->u.welcome.fp = agent_world_fp(w->in_force);
	return m;
}

static struct kt_message *reject(const struct agent_world *w, enum kt_link link, unsigned b)
{
	static const enum kt_reason reasons[] = {KT_REASON_SESSION_NONCE, KT_REASON_OP_UNKNOWN,
						 KT_REASON_OP_STALE,	  KT_REASON_OP_CLOSED,
						 KT_REASON_CLAIM_REFUSED, KT_REASON_BUSY,
						 KT_REASON_KEY_SECOND,	  KT_REASON_MSG_SIZE};
	struct kt_message *m = message(w, link, KT_MESSAGE_REJECT);

	m->u.reject.reason = reasons[b % 8];
	m->u.reject.retry_s = b / 8 % 4 * 10;
	m->u.reject.op = b / 32 % 4 == 0 ? 0 : b / 32 % 4 == 1 ? w->committed_op : w->record.op;
	return m;
}

static struct kt_message *noted(const struct agent_world *w, enum kt_link link, unsigned b)
{
	struct kt_message *m = message(w, link, KT_MESSAGE_NOTED);

	m->u.noted.of = b % 2 == 0 ? KT_MESSAGE_PROMOTED : KT_MESSAGE_FAILED;
	m->u.noted.op = b < WRONG ? w->committed_op : w->op;
	return m;
}

static struct kt_message *revoked(struct agent_world *w, enum kt_link link, unsigned b)
{
	struct kt_message *m = message(w, link, KT_MESSAGE_REVOKED);

	m->u.revoked.reason = KT_REASON_REVOKED;
	m->u.revoked.wipe = b % 4 == 0;
	w->is_wiped = w->is_wiped || m->u.revoked.wipe;
	w->in_force = 0; /* nothing is promised any more */
	w->is_op_open = false;
	w->confirmed = 0;
	return m;
}

static struct kt_message *says(struct agent_world *w, enum kt_link link, unsigned type, unsigned b)
{
	struct kt_message *m = NULL;

	switch (type % 11) {
	case 0:
	case 1:
		return welcome(w, link, b);
	case 2:
		return w->in_force != 0 ? rotate(w, link, b) : NULL;
	case 3:
		return link == KT_LINK_CLAIM ? enrolled(w, b) : cert(w, link, b);
	case 4:
		return committed(w, link, b);
	case 5:
		return noted(w, link, b);
	case 6:
		return reject(w, link, b);
	case 7:
		return b < 32 ? revoked(w, link, b) : NULL;
	case 8:
		m = message(w, link, KT_MESSAGE_CHALLENGE);
		memset(m->u.challenge.nonce.b, (int)b, sizeof(m->u.challenge.nonce.b));
		return m;
	case 9:
		m = message(w, link, KT_MESSAGE_PENDING);
		m->u.pending.retry_s = b;
		return m;
	default: /* empty: but no decoder lets an `enrolled` through that is for no op */
		return b % KT_MESSAGE_COUNT != KT_MESSAGE_ENROLLED
			       ? message(w, link, (enum kt_message_type)(b % KT_MESSAGE_COUNT))
			       : NULL;
	}
}

/* Of the right connection, unless the fuzzer says otherwise. */
static void say(struct agent_world *w, struct fuzz_input *in)
{
	const enum kt_link link = (enum kt_link)fuzz_below(in, KT_LINK_COUNT);
	const unsigned type = fuzz_u8(in);
	const unsigned b = fuzz_u8(in);
	const unsigned strange = fuzz_u8(in);
	struct kt_message *m;

	if (!w->links[link].is_up)
		return;
	/* sessions that a true server has: of what is in force, or on trial */
	m = says(w, link, type, b);
	if (m == NULL)
		return;
	w->verdict = (struct kt_verdict){.controller_n = strange % 4, .floor_s = 0};
	if (strange == 254)
		m->dn.b[0] ^= 1;
	else if (strange == 255)
		(void)snprintf(m->device.s, sizeof(m->device.s), "hub-18");
	/* a claimant is told who it is */
	agent_world_deliver(w, link, m,
			    strange == 254 || (strange == 255 && link != KT_LINK_CLAIM));
}

/* The door: who shows what is not in force is refused, but for a trial of what was issued. */
static void answer(struct agent_world *w, struct fuzz_input *in)
{
	const enum kt_link link = (enum kt_link)fuzz_below(in, KT_LINK_COUNT);
	const struct world_link *l = &w->links[link];
	const struct world_dir *d = agent_world_dir(w, l->dir);
	bool is_good = link == KT_LINK_CLAIM || l->dir == w->in_force;

	if (link == KT_LINK_TRIAL && d != NULL && d->is_issued && d->op == w->op && w->is_op_open)
		is_good = true;
	if (is_good)
		agent_world_up(w, link);
	else
		agent_world_down(w, link, KT_CAUSE_REFUSED);
}

/* --- the rest of the world --- */

static void toggle(struct agent_world *w, struct fuzz_input *in)
{
	bool *const what[] = {&w->saves_fail, &w->keys_fail,  &w->wipes_fail,	&w->links_fail,
			      &w->opens_fail, &w->sends_fail, &w->entropy_fails};
	bool *flag = what[fuzz_below(in, sizeof(what) / sizeof(what[0]))];

	*flag = !*flag;
}

static void pass(struct agent_world *w, struct fuzz_input *in)
{
	static const int64_t ms[] = {10, 1000, 10000, 31000, 61000, 310000, 610000, 3600000};
	const unsigned b = fuzz_u8(in);

	if (b >= WRONG)
		w->now.wall_s = CLOCK_S + ((int64_t)b - 248) * 200000000;
	agent_world_pass(w, ms[b % 8]);
}

static void event(struct agent_world *w, struct fuzz_input *in)
{
	unsigned b;

	switch (fuzz_below(in, 10)) {
	case 0:
	case 1:
	case 2:
		say(w, in);
		break;
	case 3:
	case 4:
		answer(w, in);
		break;
	case 5:
		b = fuzz_u8(in);
		agent_world_down(w, (enum kt_link)(b % KT_LINK_COUNT),
				 (enum kt_link_cause)(b / 4 % 7));
		break;
	case 6:
		agent_world_hooks_done(w, fuzz_below(in, 4) != 0);
		break;
	case 7:
		pass(w, in);
		break;
	case 8:
		b = fuzz_u8(in);
		if (b % 8 == 0)
			agent_world_deliver(w, (enum kt_link)(b / 8 % KT_LINK_COUNT), NULL, true);
		else
			agent_world_restart(w, b % 2 == 0, b % 4 == 3);
		break;
	default:
		toggle(w, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	struct agent_world *w =
		agent_world_new((enum agent_start)fuzz_below(&in, AGENT_START_COUNT));

	for (unsigned i = 0; i < EVENTS_MAX && fuzz_has_more(&in); i++)
		event(w, &in);
	agent_world_pass(w, 600000);
	agent_world_free(w);
	return 0;
}
