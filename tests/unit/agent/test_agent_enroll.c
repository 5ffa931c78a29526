#include "agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lone_hub.h"

/* The first credential: asked for, waited for, refused, given, proven. */

static int setup(void **state)
{
	*state = hub_new_unenrolled(true, "hub-17");
	return 0;
}

static int teardown(void **state)
{
	hub_free(*state);
	return 0;
}

static void replace(void **state, struct hub *h)
{
	hub_free(*state);
	*state = h;
}

static void hub_claiming(struct hub *h)
{
	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	h->trace.count = 0;
}

static void say_enrolled(struct hub *h, const char *device)
{
	struct kt_message *m = hub_message(h, KT_LINK_CLAIM, KT_MESSAGE_ENROLLED);

	(void)snprintf(m->device.s, sizeof(m->device.s), "%s", device);
	m->u.enrolled.op = 500;
	memset(m->u.enrolled.nonce.b, 0x42, sizeof(m->u.enrolled.nonce.b));
	hub_say(h, KT_LINK_CLAIM, m);
}

static void say_pending(struct hub *h, uint32_t retry_s)
{
	struct kt_message *m = hub_message(h, KT_LINK_CLAIM, KT_MESSAGE_PENDING);

	m->u.pending.retry_s = retry_s;
	hub_say(h, KT_LINK_CLAIM, m);
}

static void asks_with_a_key_that_is_durable_before(void **state)
{
	struct hub *h = *state;
	const struct kt_message *m;
	char binding[44];

	hub_start(h);
	TRACE_EXPECT(&h->trace, "key 2", "save new a=0 p=2 r=0 none", "open claim claim: -");
	assert_string_equal(h->transport.topic[KT_LINK_CLAIM], "keyturn/v1/claim/cmd");
	assert_int_equal(hub_health(h), KT_HEALTH_ENROLLING);
	hub_up(h, KT_LINK_CLAIM);
	TRACE_EXPECT(&h->trace, "send claim enroll");
	m = hub_sent(h);
	assert_int_equal(h->disk.sealed_by, 2);
	assert_string_equal(m->device.s, "hub-17");
	assert_string_equal(m->trust_domain, "fleet.example");
	assert_true(m->u.enroll.has_ticket);
	assert_int_equal(m->u.enroll.ticket[0], 0x5e);
	assert_int_equal(m->u.enroll.ticket[31], 0x5e);
	assert_memory_equal(m->u.enroll.csr, "csr 2", 5);
	kt_csr_binding("fleet.example", "hub-17", 0, &m->dn, binding);
	assert_string_equal(h->disk.csr_challenge, binding);
	assert_string_equal(h->disk.csr_name, "hub-17");
}

static void a_group_ticket_asks_for_no_id_or_for_the_configured_one(void **state)
{
	struct hub *h = hub_new_unenrolled(true, "");

	replace(state, h);
	hub_claiming(h);
	assert_string_equal(hub_sent(h)->device.s, "");
	assert_string_equal(h->disk.csr_name, "keyturn");
	h = hub_new_unenrolled(true, "");
	replace(state, h);
	kt_agent_free(h->agent);
	h->agent = NULL;
	h->setup.claim_device = "hub-99";
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	hub_claiming(h);
	assert_string_equal(hub_sent(h)->device.s, "hub-99");
}

static void a_claim_credential_is_shown_and_no_ticket_sent(void **state)
{
	struct hub *h = hub_new_unenrolled(false, "");

	replace(state, h);
	kt_agent_free(h->agent);
	h->agent = NULL;
	h->setup.claim_pem = "/etc/claim.pem";
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	hub_start(h);
	TRACE_EXPECT(&h->trace, "key 2", "save new a=0 p=2 r=0 none",
		     "open claim claim: /etc/claim.pem");
	hub_up(h, KT_LINK_CLAIM);
	assert_false(hub_sent(h)->u.enroll.has_ticket);
	assert_int_equal(hub_sent(h)->u.enroll.ticket[0], 0);
}

static void without_ticket_and_claim_it_is_stuck_and_sleeps(void **state)
{
	struct hub *h = hub_new_unenrolled(false, "");

	replace(state, h);
	hub_start(h);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(hub_health(h), KT_HEALTH_STUCK);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
}

static void a_key_that_cannot_be_kept_is_not_shown(void **state)
{
	struct hub *h = *state;

	h->disk.keys_to_fail = 1;
	hub_start(h);
	TRACE_EXPECT(&h->trace, "wipe 2");
	h->disk.saves_to_fail = 1;
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, "key 2", "wipe 2");
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, "key 2", "save new a=0 p=2 r=0 none", "open claim claim: -");
}

static void the_same_key_asks_again_after_a_restart(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	hub_restart(h);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
	hub_up(h, KT_LINK_CLAIM);
	assert_int_equal(h->disk.sealed_by, 2);
}

static void no_entropy_no_enrolment(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	h->trace.count = 0;
	h->entropy_fails = true;
	hub_up(h, KT_LINK_CLAIM);
	TRACE_EXPECT(&h->trace, "close claim");
	h->entropy_fails = false;
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 2000);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
}

/* --- waiting and refused --- */

static void pending_hangs_up_and_comes_back_when_told(void **state)
{
	struct hub *h = *state;
	struct kt_agent_status status;

	hub_claiming(h);
	h->jitter = 15000; /* so that a batch does not come back in one moment */
	say_pending(h, 30);
	TRACE_EXPECT(&h->trace, "close claim");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	kt_agent_status(h->agent, &status);
	assert_string_equal(status.last_reason, "pending");
	hub_pass(h, 44999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
	hub_up(h, KT_LINK_CLAIM);
	TRACE_EXPECT(&h->trace, "send claim enroll");
}

static void a_refusal_is_not_the_end(void **state)
{
	struct hub *h = *state;
	struct kt_agent_status status;

	hub_claiming(h);
	h->jitter = 30000;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_CLAIM_REFUSED, 0, 0);
	TRACE_EXPECT(&h->trace, "close claim");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	kt_agent_status(h->agent, &status);
	assert_string_equal(status.last_reason, "claim.refused");
	assert_int_equal(hub_health(h), KT_HEALTH_ENROLLING);
	hub_pass(h, 89999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
	hub_up(h, KT_LINK_CLAIM);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_BUSY, 5, 0);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	TRACE_EXPECT(&h->trace, "close claim");
	hub_pass(h, 5000 + 30000 % 2501 - 1);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
}

static void a_claimant_that_is_cut_off_backs_off(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_LOST);
	hub_pass(h, 999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "open claim claim: -");
}

/* --- enrolled --- */

static void the_first_credential_is_proven_as_any_other(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	h->disk.record.has_ticket = true;
	say_enrolled(h, "hub-17");
	TRACE_EXPECT(&h->trace, "cert 2", "save cert a=0 p=2 r=0 none", "close claim",
		     "open trial hub-17:trial /state/2");
	assert_string_equal(h->disk.record.device.s, "hub-17");
	assert_int_equal(h->disk.record.op, 500);
	assert_int_equal(h->disk.record.pending.op, 500);
	assert_int_equal(h->disk.record.pending.generation, 1);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	TRACE_EXPECT(&h->trace, "send trial hello", "send trial confirm");
	assert_int_equal(hub_sent(h)->u.confirm.op, 500);
	assert_int_equal(hub_sent(h)->u.confirm.nonce.b[0], 0x42);
	hub_committed(h, KT_LINK_TRIAL, 500, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save stable a=2 p=0 r=0 link", "link 2",
		     "save stable a=2 p=0 r=0 hooks", "hooks committed",
		     "open agent hub-17:agent /state/2");
	assert_true(h->disk.record.has_ticket); /* so that the same one is known again */
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	TRACE_EXPECT(&h->trace, "send agent hello", "close trial");
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=2 p=0 r=0 wipe", "save stable a=2 p=0 r=0 promoted",
		     "send agent promoted");
	hub_noted(h, KT_LINK_AGENT, 500, KT_MESSAGE_PROMOTED);
	TRACE_EXPECT(&h->trace, "save stable a=2 p=0 r=0 none");
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
}

static void an_enrolled_to_another_claim_is_dropped(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	h->dn[KT_LINK_CLAIM].b[3] ^= 4;
	say_enrolled(h, "hub-17");
	assert_int_equal(h->refused, 1);
	assert_non_null(strstr(h->refused_line, "reason=session.nonce"));
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
}

static void a_ticket_for_one_device_makes_no_other(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	say_enrolled(h, "hub-18");
	assert_non_null(strstr(h->refused_line, "reason=id.mismatch"));
	say_enrolled(h, "");
	assert_int_equal(h->refused, 2);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
}

static void an_operator_may_name_the_holder_of_a_group_ticket(void **state)
{
	struct hub *h = hub_new_unenrolled(true, "");

	replace(state, h);
	hub_claiming(h);
	say_enrolled(h, "hub-18");
	assert_string_equal(h->disk.record.device.s, "hub-18");
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
}

static void a_certificate_that_is_not_ours_changes_nothing(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	h->disk.bad_cert = KT_REASON_CERT_CHAIN;
	say_enrolled(h, "hub-17");
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
	h->disk.bad_cert = KT_REASON_NONE;
	h->disk.saves_to_fail = 1;
	say_enrolled(h, "hub-17");
	TRACE_EXPECT(&h->trace, "cert 2");
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
	assert_string_equal(h->disk.record.device.s, "");
	/* the same ticket and key: the same certificate again */
	say_enrolled(h, "hub-17");
	TRACE_EXPECT(&h->trace, "cert 2", "save cert a=0 p=2 r=0 none", "close claim",
		     "open trial hub-17:trial /state/2");
}

static void a_claim_obeys_no_orders(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	hub_welcome(h, KT_LINK_CLAIM, KT_NEXT_CONFIRM);
	hub_rotate(h, KT_LINK_CLAIM, 600, HUB_NEW);
	hub_cert(h, KT_LINK_CLAIM, 500, HUB_NEW);
	hub_committed(h, KT_LINK_CLAIM, 500, HUB_NEW);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
	assert_int_equal(h->disk.record.op, 0);
}

/* The first trial may take months: the hub lies in a box. */
static void an_unproven_first_credential_is_tried_for_ever(void **state)
{
	struct hub *h = *state;

	hub_claiming(h);
	say_enrolled(h, "hub-17");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_restart(h);
	h->trace.count = 0;
	for (int i = 0; i < 20; i++) {
		hub_down(h, KT_LINK_TRIAL, i % 2 == 0 ? KT_CAUSE_REFUSED : KT_CAUSE_NO_ANSWER);
		hub_pass(h, 300000);
		TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/2");
	}
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CLOSED); /* no old one to prefer */
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	h->trace.count = 0;
	hub_pass(h, 300000);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/2");
}

/* --- again: a hub that has an identity --- */

static const uint8_t ticket_hash[32] = {0x77};

/* STABLE with directory 1, and asked to enrol again; not started. */
static struct hub *again(void **state)
{
	struct hub *h = hub_new();

	replace(state, h);
	(void)snprintf(h->ticket.device, sizeof(h->ticket.device), "hub-17");
	h->setup.ticket = &h->ticket;
	kt_agent_free(h->agent);
	h->agent = NULL;
	assert_int_equal(kt_agent_new(&h->setup, h->now, &h->agent), KT_ERR_OK);
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	return h;
}

static void a_locked_out_hub_enrols_beside_what_it_has(void **state)
{
	struct hub *h = again(state);

	TRACE_EXPECT(&h->trace, "key 2", "save key a=1 p=2 r=0 none");
	assert_true(h->disk.record.has_ticket);
	assert_memory_equal(h->disk.record.ticket_sha256, ticket_hash, 32);
	assert_int_equal(h->disk.record.pending.op, 0);
	assert_int_equal(h->disk.record.op, 100);
	hub_start(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1", "open claim claim: -");
	assert_int_equal(hub_health(h), KT_HEALTH_ENROLLING);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED); /* the superseded one */
	hub_up(h, KT_LINK_CLAIM);
	assert_string_equal(hub_sent(h)->device.s, "hub-17");
	assert_true(hub_sent(h)->u.enroll.has_ticket);
	h->trace.count = 0;
	say_enrolled(h, "hub-17");
	TRACE_EXPECT(&h->trace, "cert 2", "save cert a=1 p=2 r=0 none", "close claim",
		     "open trial hub-17:trial /state/2");
	assert_int_equal(h->disk.record.op, 500);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	h->trace.count = 0;
	hub_committed(h, KT_LINK_TRIAL, 500, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save stable a=2 p=0 r=1 link", "link 2",
		     "save stable a=2 p=0 r=1 hooks", "hooks committed",
		     "open agent hub-17:agent /state/2");
	hub_hooks_done(h, true); /* not before this is the old one gone */
	TRACE_EXPECT(&h->trace, "save stable a=2 p=0 r=1 wipe", "wipe 1",
		     "save stable a=2 p=0 r=0 promoted", "send trial promoted");
}

static void the_old_credential_is_tried_all_the_while(void **state)
{
	struct hub *h = again(state);

	hub_start(h);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_REFUSED);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	h->trace.count = 0;
	hub_pass(h, 3000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1", "open claim claim: -");
	hub_up(h, KT_LINK_AGENT);
	assert_int_equal(hub_sent(h)->u.hello.phase, KT_PHASE_STABLE);
	assert_int_equal(hub_sent(h)->u.hello.op, 100);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_ROTATE);
	h->trace.count = 0;
	/* the op that it had obeyed before has no key any more, and this one is not for it */
	hub_rotate(h, KT_LINK_AGENT, 100, HUB_OLD);
	TRACE_NOTHING(&h->trace);
	/* nor a newer one: the plugin may have issued for the claim's key already */
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.pending.dir, 2);
}

static void a_claim_that_is_refused_ends_where_the_hub_is_in_session(void **state)
{
	struct hub *h = again(state);

	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_BUSY, 5, 0);
	TRACE_EXPECT(&h->trace, "close claim"); /* comes back */
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_pass(h, 10000);
	hub_up(h, KT_LINK_CLAIM);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_CLAIM_REFUSED, 0, 0);
	TRACE_EXPECT(&h->trace, "close claim", "save stable a=1 p=0 r=0 none", "wipe 2");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	h->trace.count = 0;
	hub_pass(h, 600000);
	TRACE_NOTHING(&h->trace);
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 300", "save key a=1 p=300 r=0 none", "send agent csr");
}

/* What the claim's key waits for comes over the claim: it is not asked for in the name of an op. */
static void a_claim_asks_for_no_certificate_of_an_op(void **state)
{
	struct hub *h = again(state);

	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CERT);
	hub_cert(h, KT_LINK_AGENT, 100, HUB_NEW);
	hub_pass(h, 600000);
	TRACE_NOTHING(&h->trace);
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_CLAIM_REFUSED, 0, 0);
	TRACE_EXPECT(&h->trace, "close claim", "save stable a=1 p=0 r=0 none", "wipe 2");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_pass(h, 600000);
	TRACE_NOTHING(&h->trace);
}

static void a_claim_that_is_refused_goes_on_where_the_hub_has_no_session(void **state)
{
	struct hub *h = again(state);

	hub_start(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	hub_up(h, KT_LINK_CLAIM);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_CLAIM_REFUSED, 0, 0);
	TRACE_EXPECT(&h->trace, "close claim");
	assert_int_equal(h->disk.record.pending.dir, 2);
}

static void a_claim_goes_on_after_a_restart(void **state)
{
	struct hub *h = again(state);

	h->trace.count = 0;
	hub_restart(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1", "open claim claim: -");
	/* without its ticket it is a hub as before */
	h->setup.ticket = NULL;
	hub_restart(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
	assert_int_equal(hub_health(h), KT_HEALTH_CONNECTING);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
}

static void again_makes_it_nobody_else(void **state)
{
	struct hub *h = again(state);

	(void)snprintf(h->ticket.device, sizeof(h->ticket.device), "hub-18");
	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	assert_string_equal(hub_sent(h)->device.s, "hub-17");
	h->trace.count = 0;
	say_enrolled(h, "hub-18");
	assert_non_null(strstr(h->refused_line, "reason=id.mismatch"));
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
	/* and on a device's link nobody else is spoken to */
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	{
		struct kt_message *m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_WELCOME);

		(void)snprintf(m->device.s, sizeof(m->device.s), "hub-18");
		hub_say(h, KT_LINK_AGENT, m);
	}
	assert_int_equal(h->refused, 2);
	assert_non_null(strstr(h->refused_line, "reason=id.mismatch"));
}

static void again_keeps_whatever_may_be_in_force(void **state)
{
	struct hub *h = again(state);
	struct kt_agent_record *r = &h->disk.record;

	/* another ticket: the key of the first one may have had its certificate */
	r->seq = 40;
	h->trace.count = 0;
	assert_int_equal(kt_agent_enroll_again(h->agent, NULL), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 41", "save key a=1 p=41 r=0 none", "wipe 2");
	assert_false(r->has_ticket);
	/* a rotation that has a key alone */
	r->pending.op = 200;
	r->op = 200;
	r->seq = 50;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 51", "save key a=1 p=51 r=41 none");
	/* one that has a certificate: it may have been committed, and more than a key is kept */
	r->phase = KT_AGENT_CERT;
	r->pending.fp = hub_fp(HUB_NEW);
	r->seq = 60;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 61", "save key a=1 p=61 r=51 none", "wipe 41");
	/* two of them, the second never confirmed: that one cannot be in force */
	r->phase = KT_AGENT_CERT;
	r->pending.op = 300;
	r->seq = 65;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 66", "save key a=1 p=66 r=51 none", "wipe 61");
	r->phase = KT_AGENT_CERT;
	r->pending.op = 400;
	r->step = KT_STEP_LINK; /* `current` leads to what would go */
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_STATE);
	TRACE_NOTHING(&h->trace);
	/* hooks that never succeed are no reason to stay outside */
	r->step = KT_STEP_HOOKS;
	r->seq = 68;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 69", "save key a=1 p=69 r=66 none", "wipe 51");
	r->phase = KT_AGENT_CERT;
	r->retired = (struct kt_slot){0};
	/* a first credential that was never proven */
	r->step = KT_STEP_NONE;
	r->active = (struct kt_slot){0};
	r->seq = 70;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 71", "save key a=69 p=71 r=0 none");
	/* and a key that never had one */
	r->active = (struct kt_slot){0};
	r->phase = KT_AGENT_NEW;
	r->seq = 80;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 81", "save new a=0 p=81 r=0 none", "wipe 71");
}

/* In phase CERT with op 200, and asked to enrol again; not started. */
static struct hub *again_in_a_trial(void **state)
{
	struct hub *h = again(state);
	struct kt_agent_record *r = &h->disk.record;

	r->phase = KT_AGENT_CERT;
	r->op = 200;
	r->pending = (struct kt_slot){
		.dir = 200, .op = 200, .generation = 2, .alg = KT_ALG_ES256, .fp = hub_fp(HUB_NEW)};
	r->seq = 60;
	h->trace.count = 0;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 61", "save key a=1 p=61 r=200 none");
	return h;
}

static void say_welcome_of(struct hub *h, uint8_t fp)
{
	struct kt_message *m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_WELCOME);

	m->u.welcome.fp = hub_fp(fp);
	m->u.welcome.next = KT_NEXT_NONE;
	hub_say(h, KT_LINK_AGENT, m);
}

/* The trial had been committed, and only the answer was lost: a wrong ticket costs nothing. */
static void again_in_a_trial_tries_both_credentials(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1", "open claim claim: -");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_REFUSED);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	h->setup.ticket = NULL;
	h->trace.count = 0;
	hub_pass(h, 3000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/200", "open claim claim: -");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_NO_ANSWER);
	h->trace.count = 0;
	hub_pass(h, 6000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	h->trace.count = 0;
	hub_pass(h, 12000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/200");
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	say_welcome_of(h, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save key a=200 p=61 r=1 link", "link 200",
		     "save key a=200 p=61 r=1 hooks", "hooks committed");
	assert_int_equal(h->disk.record.step_op, 200);
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save key a=200 p=61 r=1 wipe", "wipe 1",
		     "save key a=200 p=61 r=0 promoted", "send agent promoted");
}

/* Its links are not down yet, but there is no key any more that a certificate could be for. */
static void enrolled_after_the_wipe_is_not_heard(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_wipe(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "save new a=0 p=0 r=0 none", "wipe 1", "wipe 61", "wipe 200",
		     "close agent", "close claim");
	say_enrolled(h, "hub-17");
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_NEW);
	assert_int_equal(hub_health(h), KT_HEALTH_REVOKED);
}

static void a_link_that_comes_up_as_it_is_closed_says_nothing(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	hub_wipe(h, KT_LINK_AGENT);
	assert_int_equal(h->disk.record.pending.dir, 0);
	h->trace.count = 0;
	hub_up(h, KT_LINK_CLAIM);
	TRACE_NOTHING(&h->trace);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
}

/* The link's credential would be neither the active one nor outdated: it begins again instead. */
static void a_session_of_what_was_put_aside_is_not_kept_unsettled(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	hub_pass(h, 3000);
	hub_up(h, KT_LINK_AGENT);
	h->disk.saves_to_fail = 1;
	h->trace.count = 0;
	say_welcome_of(h, HUB_NEW);
	TRACE_EXPECT(&h->trace, "close agent");
	assert_int_equal(h->disk.record.retired.dir, 200);
}

/* A damaged certificate of the enrolment makes no less of what it had put aside. */
static void what_was_put_aside_is_tried_beside_a_key_of_an_op_too(void **state)
{
	struct hub *h = again_in_a_trial(state);

	h->disk.record.pending.op = 500;
	hub_start(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	h->trace.count = 0;
	hub_pass(h, 3000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/200");
}

/* It says which one is in force; the session alone does not. */
static void a_session_of_what_is_not_in_force_settles_nothing(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	hub_pass(h, 3000);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	say_welcome_of(h, HUB_OLD);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.active.dir, 1);
	assert_int_equal(h->disk.record.retired.dir, 200);
}

static void refuse_claim_in_session(struct hub *h)
{
	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	hub_up(h, KT_LINK_AGENT);
	say_welcome_of(h, HUB_OLD);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_CLAIM, KT_REASON_CLAIM_REFUSED, 0, 0);
}

/* A wrong ticket in the middle of a trial costs the rotation nothing. */
static void a_trial_goes_on_after_the_claim_is_given_up(void **state)
{
	struct hub *h = again_in_a_trial(state);

	refuse_claim_in_session(h);
	TRACE_EXPECT(&h->trace, "close claim", "save cert a=1 p=200 r=0 link", "wipe 61", "link 1",
		     "save cert a=1 p=200 r=0 hooks", "hooks committed",
		     "open trial hub-17:trial /state/200");
	assert_int_equal(h->disk.record.step_op, 100);
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	assert_int_equal(hub_sent(h)->u.confirm.op, 200);
}

/* A rotation is ordered, its key made, the link lost; a ticket is there for the next start. */
static struct hub *with_a_key_and_a_ticket(void **state)
{
	struct hub *h = hub_new();

	replace(state, h);
	(void)snprintf(h->ticket.device, sizeof(h->ticket.device), "hub-17");
	h->setup.ticket = &h->ticket;
	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	return h;
}

static void a_rotation_goes_on_with_its_key_after_the_claim_is_given_up(void **state)
{
	struct hub *h = with_a_key_and_a_ticket(state);

	h->disk.record.seq = 60;
	h->trace.count = 0;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	TRACE_EXPECT(&h->trace, "key 61", "save key a=1 p=61 r=200 none");
	hub_restart(h);
	refuse_claim_in_session(h);
	TRACE_EXPECT(&h->trace, "close claim", "save key a=1 p=200 r=0 link", "wipe 61",
		     "send agent csr", "link 1", "save key a=1 p=200 r=0 hooks", "hooks committed");
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
}

/* No `rotate` was heard during the claim, and the request may go unanswered, or its key be gone. */
static void its_op_is_asked_about_after_the_claim_is_given_up(void **state)
{
	struct hub *h = with_a_key_and_a_ticket(state);

	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_OK);
	hub_restart(h);
	refuse_claim_in_session(h);
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
	h->trace.count = 0;
	hub_pass(h, 10000);
	TRACE_EXPECT(&h->trace, "send agent csr", "send agent hello");
}

/* Not that of an op which a later enrolment has closed: the hub is in session without it. */
static void what_is_closed_goes_when_the_claim_is_given_up(void **state)
{
	struct hub *h = again_in_a_trial(state);

	h->disk.record.op = 300;
	refuse_claim_in_session(h);
	TRACE_EXPECT(&h->trace, "close claim", "save stable a=1 p=0 r=0 link", "wipe 61",
		     "wipe 200", "link 1", "save stable a=1 p=0 r=0 hooks", "hooks committed");
}

/* And enrolled: three credentials, of which any may be in force. Its trial was refused. */
static struct hub *enrolled_in_a_trial(void **state)
{
	struct hub *h = again_in_a_trial(state);

	hub_start(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	hub_up(h, KT_LINK_CLAIM);
	h->trace.count = 0;
	say_enrolled(h, "hub-17");
	TRACE_EXPECT(&h->trace, "cert 61", "save cert a=1 p=61 r=200 none", "close claim",
		     "open trial hub-17:trial /state/61");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	return h;
}

/* A newer ticket closes the enrolment that is on trial: what is in force is what was put aside. */
static void what_was_put_aside_has_its_turn_in_the_new_ones_trial(void **state)
{
	static const char *const turns[] = {"open agent hub-17:agent /state/200",
					    "open agent hub-17:agent /state/1",
					    "open agent hub-17:agent /state/200"};
	struct hub *h = enrolled_in_a_trial(state);

	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		h->trace.count = 0;
		hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
		hub_pass(h, 1);
		TRACE_EXPECT(&h->trace, turns[i]);
		if (i == 2)
			break;
		hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
		hub_pass(h, 600000);
	}
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	say_welcome_of(h, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save cert a=200 p=61 r=1 link", "link 200",
		     "save cert a=200 p=61 r=1 hooks", "hooks committed");
}

/* Its cur says which credential is in force, as the session does. */
static void a_newer_rotate_ends_what_was_put_aside(void **state)
{
	struct hub *h = enrolled_in_a_trial(state);

	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	hub_pass(h, 1);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_REFUSED);
	hub_pass(h, 600000);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	hub_pass(h, 1);
	hub_up(h, KT_LINK_AGENT);
	say_welcome_of(h, HUB_OLD);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 600, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 600", "save key a=1 p=600 r=0 none", "wipe 61", "wipe 200",
		     "send agent csr");
}

static void say_confirm_beside(struct hub *h, uint8_t fp)
{
	struct kt_message *m = hub_message(h, KT_LINK_TRIAL, KT_MESSAGE_WELCOME);

	m->u.welcome.fp = hub_fp(fp);
	m->u.welcome.next = KT_NEXT_CONFIRM;
	hub_say(h, KT_LINK_TRIAL, m);
}

/* From `confirm` on the newest may be in force: one of the two older ones goes before. */
static void what_was_put_aside_is_settled_before_confirm(void **state)
{
	struct hub *h = enrolled_in_a_trial(state);

	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	say_confirm_beside(h, HUB_OLD);
	TRACE_EXPECT(&h->trace, "save cert a=1 p=61 r=0 none", "wipe 200", "send trial confirm");
	assert_int_equal(hub_sent(h)->u.confirm.op, 500);
}

/* Said in a session of what was put aside, it settles nothing: nothing is confirmed yet. */
static void confirm_beside_is_not_heard_elsewhere(void **state)
{
	struct hub *h = again_in_a_trial(state);
	struct kt_message *m;

	hub_start(h);
	hub_up(h, KT_LINK_CLAIM);
	say_enrolled(h, "hub-17");
	hub_down(h, KT_LINK_CLAIM, KT_CAUSE_CLOSED);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CONFIRM);
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	m = hub_message(h, KT_LINK_TRIAL, KT_MESSAGE_WELCOME);
	m->u.welcome.fp = hub_fp(HUB_OLD);
	m->u.welcome.next = KT_NEXT_NONE;
	hub_say(h, KT_LINK_TRIAL, m);
	hub_pass(h, 20000);
	TRACE_NOTHING(&h->trace);
}

static void what_was_put_aside_and_is_in_force_stays(void **state)
{
	struct hub *h = enrolled_in_a_trial(state);

	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	say_confirm_beside(h, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save cert a=200 p=61 r=1 link", "send trial confirm", "link 200",
		     "save cert a=200 p=61 r=1 hooks", "hooks committed");
}

static void nothing_is_confirmed_while_it_cannot_be_settled(void **state)
{
	struct hub *h = enrolled_in_a_trial(state);

	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	h->disk.saves_to_fail = 1;
	say_confirm_beside(h, HUB_OLD);
	TRACE_EXPECT(&h->trace, "close trial");
	assert_int_equal(h->disk.record.retired.dir, 200);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	hub_pass(h, 600000);
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	say_confirm_beside(h, HUB_OLD);
	TRACE_EXPECT(&h->trace, "save cert a=1 p=61 r=0 none", "wipe 200", "send trial confirm");
}

static void what_cannot_be_kept_begins_nothing(void **state)
{
	struct hub *h = hub_new();

	replace(state, h);
	h->disk.saves_to_fail = 1;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_SYS);
	TRACE_EXPECT(&h->trace, "key 2", "wipe 2");
	h->disk.keys_to_fail = 1;
	assert_int_equal(kt_agent_enroll_again(h->agent, ticket_hash), KT_ERR_SYS);
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
	assert_false(h->disk.record.has_ticket);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(asks_with_a_key_that_is_durable_before),
		T(a_group_ticket_asks_for_no_id_or_for_the_configured_one),
		T(a_claim_credential_is_shown_and_no_ticket_sent),
		T(without_ticket_and_claim_it_is_stuck_and_sleeps),
		T(a_key_that_cannot_be_kept_is_not_shown),
		T(the_same_key_asks_again_after_a_restart),
		T(no_entropy_no_enrolment),
		T(pending_hangs_up_and_comes_back_when_told),
		T(a_refusal_is_not_the_end),
		T(a_claimant_that_is_cut_off_backs_off),
		T(the_first_credential_is_proven_as_any_other),
		T(an_enrolled_to_another_claim_is_dropped),
		T(a_ticket_for_one_device_makes_no_other),
		T(an_operator_may_name_the_holder_of_a_group_ticket),
		T(a_certificate_that_is_not_ours_changes_nothing),
		T(a_claim_obeys_no_orders),
		T(an_unproven_first_credential_is_tried_for_ever),
		T(a_locked_out_hub_enrols_beside_what_it_has),
		T(the_old_credential_is_tried_all_the_while),
		T(a_claim_that_is_refused_ends_where_the_hub_is_in_session),
		T(a_claim_asks_for_no_certificate_of_an_op),
		T(a_claim_that_is_refused_goes_on_where_the_hub_has_no_session),
		T(a_claim_goes_on_after_a_restart),
		T(again_makes_it_nobody_else),
		T(again_keeps_whatever_may_be_in_force),
		T(again_in_a_trial_tries_both_credentials),
		T(a_session_of_what_is_not_in_force_settles_nothing),
		T(enrolled_after_the_wipe_is_not_heard),
		T(a_link_that_comes_up_as_it_is_closed_says_nothing),
		T(a_session_of_what_was_put_aside_is_not_kept_unsettled),
		T(what_was_put_aside_is_tried_beside_a_key_of_an_op_too),
		T(a_trial_goes_on_after_the_claim_is_given_up),
		T(a_rotation_goes_on_with_its_key_after_the_claim_is_given_up),
		T(its_op_is_asked_about_after_the_claim_is_given_up),
		T(what_is_closed_goes_when_the_claim_is_given_up),
		T(what_was_put_aside_has_its_turn_in_the_new_ones_trial),
		T(a_newer_rotate_ends_what_was_put_aside),
		T(what_was_put_aside_is_settled_before_confirm),
		T(confirm_beside_is_not_heard_elsewhere),
		T(what_was_put_aside_and_is_in_force_stays),
		T(nothing_is_confirmed_while_it_cannot_be_settled),
		T(what_cannot_be_kept_begins_nothing),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
