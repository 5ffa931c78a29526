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

/* A session, and a rotation from its order to its end. Enrolment and the choice of credentials have
 * files of their own. */

static int setup(void **state)
{
	*state = hub_new();
	return 0;
}

static int teardown(void **state)
{
	hub_free(*state);
	return 0;
}

static void assert_refused(struct hub *h, const char *reason)
{
	char want[64];

	assert_int_equal(h->refused, 1);
	(void)snprintf(want, sizeof(want), "reason=%s", reason);
	assert_non_null(strstr(h->refused_line, want));
	h->refused = 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* --- connect --- */

static void connects_with_the_credential_in_force_and_says_hello(void **state)
{
	struct hub *h = *state;
	const struct kt_message *m;

	hub_start(h);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
	assert_string_equal(h->transport.topic[KT_LINK_AGENT], "keyturn/v1/device/hub-17/cmd");
	assert_int_equal(h->transport.time_s[KT_LINK_AGENT], HUB_START_S);
	assert_int_equal(hub_health(h), KT_HEALTH_CONNECTING);
	hub_up(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "send agent hello");
	m = hub_sent(h);
	assert_int_equal(h->disk.sealed_by, 1);
	assert_string_equal(m->trust_domain, "fleet.example");
	assert_string_equal(m->device.s, "hub-17");
	assert_false(is_zero(m->dn.b, sizeof(m->dn.b)));
	assert_true(is_zero(m->sn.b, sizeof(m->sn.b)));
	assert_string_equal(m->u.hello.agent, KT_VERSION);
	assert_string_equal(m->u.hello.store, "file");
	assert_int_equal(m->u.hello.generation, 1);
	assert_memory_equal(m->u.hello.fp.b, hub_fp(HUB_OLD).b, KT_FINGERPRINT_LEN);
	assert_int_equal(m->u.hello.phase, KT_PHASE_STABLE);
	assert_int_equal(m->u.hello.op, 100);
	assert_int_equal(hub_health(h), KT_HEALTH_CONNECTING);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
}

static void judges_the_broker_at_the_floor_where_the_clock_is_behind(void **state)
{
	struct hub *h = *state;

	h->disk.record.floor_s = HUB_START_S + 77;
	hub_start(h);
	assert_int_equal(h->transport.time_s[KT_LINK_AGENT], HUB_START_S + 77);
}

static void says_no_hello_without_entropy(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	h->trace.count = 0;
	h->entropy_fails = true;
	hub_up(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "close agent");
}

static void hangs_up_when_the_hello_cannot_be_sent(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	h->trace.count = 0;
	h->transport.send_fails = true;
	hub_up(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "close agent");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	TRACE_NOTHING(&h->trace); /* what fails here fails again at once: it backs off as ever */
	hub_pass(h, 2000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
}

static void an_up_that_nobody_asked_for_is_ignored(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_up(h, KT_LINK_TRIAL);
	hub_up(h, KT_LINK_AGENT);
	TRACE_NOTHING(&h->trace);
}

/* --- freshness --- */

static void a_welcome_to_another_hello_counts_for_nothing(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	h->dn[KT_LINK_AGENT].b[15] ^= 1;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	assert_refused(h, "session.nonce");
	assert_int_equal(hub_health(h), KT_HEALTH_CONNECTING);
	h->dn[KT_LINK_AGENT].b[15] ^= 1;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	assert_int_equal(h->refused, 0);
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
}

static void nothing_but_welcome_counts_before_the_welcome(void **state)
{
	struct hub *h = *state;

	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	assert_refused(h, "session.nonce");
	hub_say(h, KT_LINK_AGENT, hub_message(h, KT_LINK_AGENT, KT_MESSAGE_CHALLENGE));
	assert_refused(h, "session.nonce");
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
}

static void a_message_of_the_connection_before_is_dropped(void **state)
{
	struct hub *h = *state;
	struct kt_nonce old;

	hub_in_session(h);
	old = h->dn[KT_LINK_AGENT];
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	assert_false(kt_nonce_eq(&old, &h->dn[KT_LINK_AGENT]));
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	h->trace.count = 0;
	h->dn[KT_LINK_AGENT] = old;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	assert_refused(h, "session.nonce");
	TRACE_NOTHING(&h->trace);
}

static void a_message_for_the_other_link_is_dropped(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	h->dn[KT_LINK_TRIAL] = h->dn[KT_LINK_AGENT];
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	assert_refused(h, "session.nonce");
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
}

static void a_second_welcome_does_not_change_the_session(void **state)
{
	struct hub *h = *state;
	struct kt_message *m;

	hub_in_session(h);
	m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_WELCOME);
	memset(m->sn.b, 0x11, sizeof(m->sn.b));
	hub_say(h, KT_LINK_AGENT, m);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	assert_int_equal(hub_sent(h)->sn.b[0], 0x70);
}

static void what_does_not_verify_is_dropped(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_say_rubbish(h, KT_LINK_AGENT);
	assert_refused(h, "cert.chain");
	TRACE_NOTHING(&h->trace);
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
}

static void a_message_on_a_link_that_is_down_is_not_even_opened(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_TRIAL, 200, HUB_OLD);
	assert_int_equal(h->refused, 0);
	assert_non_null(h->disk.incoming);
	TRACE_NOTHING(&h->trace);
}

static void types_that_a_device_sends_are_refused_from_the_plugin(void **state)
{
	static const enum kt_message_type types[] = {
		KT_MESSAGE_HELLO,    KT_MESSAGE_ANSWER, KT_MESSAGE_CSR,
		KT_MESSAGE_CONFIRM,  KT_MESSAGE_FAILED, KT_MESSAGE_PROMOTED,
		KT_MESSAGE_ENROLLED, KT_MESSAGE_ENROLL, KT_MESSAGE_PENDING};
	struct hub *h = *state;

	hub_in_session(h);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		hub_say(h, KT_LINK_AGENT, hub_message(h, KT_LINK_AGENT, types[i]));
		assert_refused(h, "msg.type");
	}
	TRACE_NOTHING(&h->trace);
}

static void a_higher_controller_number_is_kept_before_the_message_is_obeyed(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.verdict = (struct kt_verdict){.controller_n = 3, .floor_s = 1700000000};
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "save stable a=1 p=0 r=0 none", "key 200",
		     "save key a=1 p=200 r=0 none", "send agent csr");
	assert_int_equal(h->disk.record.controller_n, 3);
	assert_int_equal(h->disk.record.floor_s, 1700000000);
	/* a lower one got past nobody: it does not lower ours */
	h->disk.verdict = (struct kt_verdict){.controller_n = 2, .floor_s = 1600000000};
	hub_rotate(h, KT_LINK_AGENT, 201, HUB_OLD);
	assert_int_equal(h->disk.record.controller_n, 3);
	assert_int_equal(h->disk.record.floor_s, 1700000000);
}

static void what_was_learned_and_not_saved_is_not_obeyed(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.verdict.controller_n = 3;
	h->disk.saves_to_fail = 1;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.controller_n, 0);
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
}

static void a_clock_that_is_ahead_is_told(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.verdict.clock_ahead = true;
	hub_noted(h, KT_LINK_AGENT, 1, KT_MESSAGE_FAILED);
	assert_non_null(strstr(h->log_line, "event=clock.ahead"));
}

/* --- challenge --- */

static void a_challenge_is_answered_with_the_key_of_the_session(void **state)
{
	struct hub *h = *state;
	struct kt_message *m;

	hub_in_session(h);
	m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_CHALLENGE);
	memset(m->u.challenge.nonce.b, 0x99, sizeof(m->u.challenge.nonce.b));
	hub_say(h, KT_LINK_AGENT, m);
	TRACE_EXPECT(&h->trace, "send agent answer");
	assert_int_equal(h->disk.sealed_by, 1);
	assert_int_equal(hub_sent(h)->sn.b[0], 0x70);
	assert_int_equal(hub_sent(h)->u.answer.nonce.b[31], 0x99);
	assert_memory_equal(hub_sent(h)->u.answer.fp.b, hub_fp(HUB_OLD).b, KT_FINGERPRINT_LEN);
	assert_int_equal(hub_sent(h)->u.answer.report.generation, 1);
	assert_int_equal(hub_sent(h)->u.answer.report.phase, KT_PHASE_STABLE);
	assert_string_equal(hub_sent(h)->u.answer.report.store, "file");
}

/* --- rotation --- */

static void a_rotation_goes_to_its_end_in_order(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 200", "save key a=1 p=200 r=0 none", "send agent csr");
	assert_int_equal(h->disk.sealed_by, 1); /* the old key vouches for the new one */
	assert_int_equal(hub_sent(h)->u.csr.op, 200);
	assert_int_equal(hub_sent(h)->u.csr.nonce.b[0], 200);
	assert_string_equal(h->disk.csr_name, "hub-17");
	assert_int_equal(strlen(h->disk.csr_challenge), 43);
	assert_memory_equal(hub_sent(h)->u.csr.csr, "csr 200", 7);
	assert_int_equal(hub_health(h), KT_HEALTH_ROTATING);

	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "cert 200", "save cert a=1 p=200 r=0 none",
		     "open trial hub-17:trial /state/200"); /* and the live link stays */
	assert_int_equal(h->disk.record.pending.generation, 2);

	hub_up(h, KT_LINK_TRIAL);
	TRACE_EXPECT(&h->trace, "send trial hello");
	assert_int_equal(h->disk.sealed_by, 200);
	assert_int_equal(hub_sent(h)->u.hello.phase, KT_PHASE_CERT);
	assert_int_equal(hub_sent(h)->u.hello.op, 200);
	assert_int_equal(hub_sent(h)->u.hello.generation, 2);
	assert_memory_equal(hub_sent(h)->u.hello.fp.b, hub_fp(HUB_NEW).b, KT_FINGERPRINT_LEN);

	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	TRACE_EXPECT(&h->trace, "send trial confirm"); /* once */
	assert_int_equal(h->disk.sealed_by, 200);
	assert_int_equal(hub_sent(h)->sn.b[0], 0x71);
	assert_int_equal(hub_sent(h)->u.confirm.op, 200);
	assert_int_equal(hub_sent(h)->u.confirm.nonce.b[0], 200);
	assert_memory_equal(hub_sent(h)->u.confirm.fp.b, hub_fp(HUB_NEW).b, KT_FINGERPRINT_LEN);

	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 link", "link 200",
		     "save stable a=200 p=0 r=1 hooks", "hooks committed", "close agent");

	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/200");
	hub_up(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "send agent hello");
	assert_int_equal(h->disk.sealed_by, 200);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_EXPECT(&h->trace, "close trial"); /* only now */
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	TRACE_NOTHING(&h->trace);

	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 wipe", "wipe 1",
		     "save stable a=200 p=0 r=0 promoted", "send agent promoted");
	assert_int_equal(hub_sent(h)->u.promoted.op, 200);
	assert_memory_equal(hub_sent(h)->u.promoted.fp.b, hub_fp(HUB_NEW).b, KT_FINGERPRINT_LEN);

	hub_noted(h, KT_LINK_AGENT, 200, KT_MESSAGE_PROMOTED);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=0 none");
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
	assert_int_equal(h->refused, 0);
}

static void a_rotate_that_is_stale_or_for_another_key_is_refused(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 0, HUB_OLD);
	assert_refused(h, "op.stale");
	hub_rotate(h, KT_LINK_AGENT, 99, HUB_OLD);
	assert_refused(h, "op.stale");
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_NEW); /* not the key of this session */
	assert_refused(h, "op.stale");
	TRACE_NOTHING(&h->trace);
	hub_rotate(h, KT_LINK_AGENT, 100, HUB_OLD); /* the op done long ago, once more */
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.op, 100);
}

static void a_rotate_to_another_algorithm_is_reported(void **state)
{
	struct hub *h = *state;
	struct kt_message *m;

	hub_in_session(h);
	m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_ROTATE);
	m->u.rotate.op = 200;
	m->u.rotate.cur = hub_fp(HUB_OLD);
	hub_say(h, KT_LINK_AGENT, m);
	TRACE_EXPECT(&h->trace, "send agent failed");
	assert_int_equal(hub_sent(h)->u.failed.op, 200);
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_CSR_KEY);
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
}

static void the_same_rotate_again_sends_the_same_keys_request(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "send agent csr");
}

static void a_newer_rotate_drops_the_key_of_the_older_one(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 300", "save key a=1 p=300 r=0 none", "wipe 200",
		     "send agent csr");
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW); /* late, for the older one */
	assert_refused(h, "op.stale");
	TRACE_NOTHING(&h->trace);
}

/* cur is the key that we know as pending: it was committed, and only the answer was lost. */
static void a_newer_rotate_over_the_pending_key_settles_the_older_op(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_rotate(h, KT_LINK_TRIAL, 300, HUB_NEW);
	TRACE_EXPECT(&h->trace, "key 300", "save key a=200 p=300 r=1 link", "send trial csr",
		     "link 200", "save key a=200 p=300 r=1 hooks", "hooks committed",
		     "close agent");
	assert_int_equal(h->disk.sealed_by, 200);
	assert_int_equal(h->disk.record.op, 300);
	assert_int_equal(h->disk.record.step_op, 200);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/200");
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save key a=200 p=300 r=1 wipe", "wipe 1",
		     "save key a=200 p=300 r=0 promoted", "send trial promoted");
	assert_int_equal(hub_sent(h)->u.promoted.op, 200);
	hub_noted(h, KT_LINK_TRIAL, 200, KT_MESSAGE_PROMOTED);
	TRACE_EXPECT(&h->trace, "save key a=200 p=300 r=0 none");
	/* and the newer one goes on */
	hub_cert(h, KT_LINK_TRIAL, 300, HUB_LATER);
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
	assert_int_equal(h->disk.record.pending.dir, 300);
}

/* The trial of the op before is on its way out: its credential is not the one to be confirmed. */
static void a_settled_trial_confirms_no_newer_op(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_rotate(h, KT_LINK_TRIAL, 300, HUB_NEW);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_cert(h, KT_LINK_TRIAL, 300, HUB_LATER);
	TRACE_EXPECT(&h->trace, "cert 300", "save cert a=200 p=300 r=1 hooks", "close trial");
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CONFIRM);
	TRACE_NOTHING(&h->trace);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	hub_pass(h, 3000);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/300");
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	TRACE_EXPECT(&h->trace, "send trial confirm");
	assert_int_equal(hub_sent(h)->u.confirm.op, 300);
	assert_int_equal(h->disk.sealed_by, 300);
}

/* cur is our active key: the older op was closed without a commit. */
static void a_newer_rotate_over_the_active_key_drops_the_pending_credential(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 300", "save key a=1 p=300 r=0 none", "wipe 200",
		     "send agent csr", "close trial");
}

static void a_key_that_a_crash_left_behind_is_not_used(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.leftover = 200;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "wipe 200", "key 200", "save key a=1 p=200 r=0 none",
		     "send agent csr");
}

static void a_full_disk_is_reported_and_changes_nothing(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.keys_to_fail = 2;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "send agent failed");
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_DISK);
	h->disk.saves_to_fail = 1;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 200", "send agent failed");
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
	assert_int_equal(h->disk.record.op, 100);
	/* and once there is room, the same order is obeyed */
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 200", "save key a=1 p=200 r=0 none", "send agent csr");
	hub_pass(h, 600000);
	assert_int_equal(hub_sent(h)->type, KT_MESSAGE_CSR); /* `failed` is not repeated any more */
}

static void a_key_that_fails_once_is_made_all_the_same(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.keys_to_fail = 1;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "key 200", "save key a=1 p=200 r=0 none", "send agent csr");
}

static void a_certificate_that_is_not_ours_is_reported_and_the_key_stays(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	h->disk.bad_cert = KT_REASON_CERT_KEY;
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "send agent failed");
	assert_int_equal(hub_sent(h)->u.failed.op, 200);
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_CERT_KEY);
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
	h->disk.bad_cert = KT_REASON_NONE;
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "cert 200", "save cert a=1 p=200 r=0 none",
		     "open trial hub-17:trial /state/200");
}

static void a_certificate_whose_record_is_not_saved_is_not_tried(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	h->disk.saves_to_fail = 1;
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "cert 200", "send agent failed");
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_DISK);
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
}

static void committed_counts_for_this_op_and_this_credential_alone(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_committed(h, KT_LINK_TRIAL, 100, HUB_NEW);
	hub_committed(h, KT_LINK_TRIAL, 201, HUB_NEW);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_OLD);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_LATER);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
	assert_int_equal(h->disk.record.active.dir, 1);
}

static void a_commit_that_is_not_saved_drops_nothing(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	h->disk.saves_to_fail = 1;
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.phase, KT_AGENT_CERT);
	/* confirm is repeated, and so comes the answer */
	hub_pass(h, 10000);
	TRACE_EXPECT(&h->trace, "send trial confirm");
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	assert_int_equal(h->disk.record.phase, KT_AGENT_STABLE);
	assert_int_equal(h->disk.record.active.dir, 200);
}

static void committed_may_come_over_the_trial_alone(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_KICKED);
	h->trace.count = 0;
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 link", "link 200",
		     "save stable a=200 p=0 r=1 hooks", "hooks committed",
		     "open agent hub-17:agent /state/200");
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 wipe", "wipe 1",
		     "save stable a=200 p=0 r=0 promoted", "send trial promoted");
}

/* --- lost replies --- */

/* The times from now at which something is sent, up to @until_ms. */
static void assert_repeats(struct hub *h, const char *line, const int64_t *at_s, size_t count)
{
	int64_t passed_s = 0;

	for (size_t i = 0; i < count; i++) {
		hub_pass(h, (at_s[i] - passed_s) * 1000 - 1);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 1);
		TRACE_EXPECT(&h->trace, line);
		passed_s = at_s[i];
	}
}

static void a_request_is_repeated_at_doubling_times(void **state)
{
	/* 10 s, 20, 40 ... at most 10 min between two */
	static const int64_t at_s[] = {10, 30, 70, 150, 310, 630, 1230, 1830};
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	assert_repeats(h, "send agent csr", at_s, sizeof(at_s) / sizeof(at_s[0]));
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	hub_pass(h, 29999); /* until the trial is overdue */
	TRACE_NOTHING(&h->trace);
}

static void promoted_is_repeated_until_it_is_noted(void **state)
{
	static const int64_t at_s[] = {10, 30, 70};
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.record.step = KT_STEP_PROMOTED;
	h->disk.record.step_op = 100;
	kt_agent_tick(h->agent, h->now);
	TRACE_EXPECT(&h->trace, "send agent promoted");
	assert_repeats(h, "send agent promoted", at_s, 3);
	hub_noted(h, KT_LINK_AGENT, 99, KT_MESSAGE_PROMOTED);
	hub_noted(h, KT_LINK_AGENT, 100, KT_MESSAGE_FAILED);
	TRACE_NOTHING(&h->trace);
	hub_noted(h, KT_LINK_AGENT, 100, KT_MESSAGE_PROMOTED);
	TRACE_EXPECT(&h->trace, "save stable a=1 p=0 r=0 none");
	hub_pass(h, 3600000);
	TRACE_NOTHING(&h->trace);
}

/* Else the newer one would never be said, and its repeats would be answered for ever in vain. */
static void a_newer_commit_ends_the_promoted_of_an_older_op(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.record.step = KT_STEP_PROMOTED;
	h->disk.record.step_op = 100;
	kt_agent_tick(h->agent, h->now);
	assert_int_equal(hub_sent(h)->u.promoted.op, 100);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->disk.leaf = hub_fp(HUB_NEW);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	h->trace.count = 0;
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 wipe", "wipe 1",
		     "save stable a=200 p=0 r=0 promoted", "send trial promoted");
	assert_int_equal(hub_sent(h)->u.promoted.op, 200);
}

/* `cert` follows that welcome; if it does not come, it is asked for as after a rotate. */
static void a_cert_that_was_announced_and_lost_is_asked_for(void **state)
{
	static const int64_t at_s[] = {10, 20, 40};
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_restart(h);
	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CERT);
	TRACE_NOTHING(&h->trace);
	assert_repeats(h, "send agent csr", at_s, 3);
	assert_int_equal(hub_sent(h)->u.csr.op, 200);
}

/* The op that `closed` spoke of was another one, or another registry's. */
static void an_open_op_is_tried_whatever_closed_said_before(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_cert(h, KT_LINK_AGENT, 200, HUB_NEW);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_NO_ANSWER);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_restart(h);
	hub_start(h);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_REFUSED);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_CLOSED);
	hub_pass(h, 600000);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_EXPECT(&h->trace, "open trial hub-17:trial /state/200");
}

static void promoted_of_an_op_that_nobody_knows_is_not_said_for_ever(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.record.step = KT_STEP_PROMOTED;
	h->disk.record.step_op = 100;
	kt_agent_tick(h->agent, h->now);
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_UNKNOWN, 0, 99);
	hub_reject(h, KT_LINK_AGENT, KT_REASON_STORE_FAILED, 5, 100);
	h->trace.count = 0;
	hub_pass(h, 6000);
	TRACE_EXPECT(&h->trace, "send agent promoted");
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_UNKNOWN, 0, 100);
	TRACE_EXPECT(&h->trace, "save stable a=1 p=0 r=0 none");
	hub_pass(h, 3600000);
	TRACE_NOTHING(&h->trace);
}

static void an_op_number_that_is_given_once_more_has_its_new_nonce(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->disk.record.op_nonce.b[0] ^= 1;
	h->trace.count = 0;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "save key a=1 p=200 r=0 none", "send agent csr");
	assert_int_equal(hub_sent(h)->u.csr.nonce.b[0], 200);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	TRACE_EXPECT(&h->trace, "send agent csr");
}

static void promoted_waits_for_a_session_and_survives_a_restart(void **state)
{
	struct hub *h = *state;

	h->disk.record.step = KT_STEP_PROMOTED;
	h->disk.record.step_op = 100;
	hub_start(h);
	hub_up(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1", "send agent hello");
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_EXPECT(&h->trace, "send agent promoted");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	TRACE_EXPECT(&h->trace, "send agent promoted");
}

static void a_failed_is_repeated_until_that_op_is_noted(void **state)
{
	static const int64_t at_s[] = {10, 30};
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.keys_to_fail = 4;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	assert_repeats(h, "send agent failed", at_s, 2);
	hub_noted(h, KT_LINK_AGENT, 199, KT_MESSAGE_FAILED);
	hub_pass(h, 30000); /* hook_retry: the key is tried again, and fails again */
	TRACE_EXPECT(&h->trace, "send agent failed");
	hub_pass(h, 10000);
	TRACE_EXPECT(&h->trace, "send agent failed");
	hub_noted(h, KT_LINK_AGENT, 200, KT_MESSAGE_FAILED);
	hub_pass(h, 49999);
	TRACE_NOTHING(&h->trace);
}

static void a_key_that_the_disk_refused_is_tried_again(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.saves_to_fail = 1;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_noted(h, KT_LINK_AGENT, 200, KT_MESSAGE_FAILED);
	h->trace.count = 0;
	hub_pass(h, 59999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "key 200", "save key a=1 p=200 r=0 none", "send agent csr");
	assert_int_equal(hub_sent(h)->u.csr.op, 200);
}

static void a_refused_key_is_forgotten_with_its_session_or_its_op(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.keys_to_fail = 2;
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_CLOSED, 0, 200);
	hub_noted(h, KT_LINK_AGENT, 200, KT_MESSAGE_FAILED);
	h->trace.count = 0;
	hub_pass(h, 600000);
	TRACE_NOTHING(&h->trace);
	h->disk.keys_to_fail = 2;
	hub_rotate(h, KT_LINK_AGENT, 300, HUB_OLD);
	hub_noted(h, KT_LINK_AGENT, 300, KT_MESSAGE_FAILED);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_AGENT);
	hub_welcome(h, KT_LINK_AGENT, KT_NEXT_NONE);
	h->trace.count = 0;
	hub_pass(h, 600000);
	TRACE_NOTHING(&h->trace);
}

static void the_committed_that_was_lost_is_said_again_at_the_next_trial(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST); /* committed was under way */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_KICKED);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_TRIAL);
	h->trace.count = 0;
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_COMMITTED);
	TRACE_NOTHING(&h->trace); /* the confirm is not what is asked for */
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	assert_int_equal(h->disk.record.active.dir, 200);
	assert_int_equal(h->disk.record.retired.dir, 1);
}

static void a_committed_once_more_sends_promoted_once_more(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.record.step_op = 100;
	hub_committed(h, KT_LINK_AGENT, 100, HUB_OLD);
	TRACE_EXPECT(&h->trace, "send agent promoted");
	hub_committed(h, KT_LINK_AGENT, 100, HUB_NEW);
	hub_committed(h, KT_LINK_AGENT, 99, HUB_OLD);
	TRACE_NOTHING(&h->trace);
	hub_noted(h, KT_LINK_AGENT, 99, KT_MESSAGE_PROMOTED);
	hub_pass(h, 60000);
	TRACE_EXPECT(&h->trace, "send agent promoted", "send agent promoted");
	hub_noted(h, KT_LINK_AGENT, 100, KT_MESSAGE_PROMOTED);
	hub_pass(h, 3600000);
	TRACE_NOTHING(&h->trace); /* it was noted: once more is enough */
}

static void no_promoted_before_the_hooks_have_run(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	h->trace.count = 0;
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	TRACE_NOTHING(&h->trace);
}

/* --- reject --- */

static void a_reject_puts_the_repeat_off_by_as_long_as_it_says(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	h->refused = 0;
	hub_reject(h, KT_LINK_AGENT, KT_REASON_BUSY, 90, 200);
	assert_refused(h, "busy");
	hub_pass(h, 89999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "send agent csr");
}

static void who_is_told_together_does_not_come_back_together(void **state)
{
	static const struct {
		uint32_t jitter;
		int64_t back_ms;
	} cases[] = {
		{0, 90000}, {1, 90001}, {45000, 135000}, {45001, 90000}, {45001 * 3 + 7, 90007}};
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h->jitter = cases[i].jitter;
		hub_reject(h, KT_LINK_AGENT, KT_REASON_MSG_RATE, 90, 0);
		h->trace.count = 0;
		hub_pass(h, cases[i].back_ms - 1);
		TRACE_NOTHING(&h->trace);
		hub_pass(h, 1);
		TRACE_EXPECT(&h->trace, "send agent csr");
	}
}

static void a_final_reject_ends_the_repeats_and_keeps_the_key(void **state)
{
	struct hub *h = *state;
	struct kt_agent_status status;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_CLOSED, 0, 199); /* of another op */
	hub_pass(h, 10000);
	TRACE_EXPECT(&h->trace, "send agent csr");
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_CLOSED, 0, 200);
	hub_pass(h, 9999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "send agent hello"); /* is it so? */
	assert_int_equal(h->disk.record.phase, KT_AGENT_KEY);
	assert_int_equal(h->disk.record.pending.dir, 200);
	kt_agent_status(h->agent, &status);
	assert_string_equal(status.last_reason, "op.closed");
}

static void who_is_told_that_a_newer_op_is_there_asks_for_it(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_rotate(h, KT_LINK_AGENT, 200, HUB_OLD);
	h->trace.count = 0;
	hub_reject(h, KT_LINK_AGENT, KT_REASON_OP_STALE, 0, 200);
	hub_pass(h, 10000);
	TRACE_EXPECT(&h->trace, "send agent hello");
}

static void a_session_that_the_plugin_does_not_know_begins_again(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	hub_reject(h, KT_LINK_AGENT, KT_REASON_SESSION_NONCE, 0, 0);
	TRACE_EXPECT(&h->trace, "close agent");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1");
}

/* --- hooks --- */

static void a_hook_that_fails_is_reported_and_tried_again(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	h->trace.count = 0;
	hub_hooks_done(h, false);
	TRACE_EXPECT(&h->trace, "send trial failed");
	assert_int_equal(hub_sent(h)->u.failed.op, 200);
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_HOOK);
	hub_noted(h, KT_LINK_TRIAL, 200, KT_MESSAGE_FAILED);
	hub_pass(h, 59999);
	TRACE_NOTHING(&h->trace);
	hub_pass(h, 1);
	TRACE_EXPECT(&h->trace, "hooks committed");
	assert_int_equal(h->disk.record.retired.dir, 1); /* the old key is still there */
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 wipe", "wipe 1",
		     "save stable a=200 p=0 r=0 promoted", "send trial promoted");
}

static void hooks_are_run_again_after_a_restart_in_the_middle(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	h->trace.count = 0;
	hub_restart(h);
	TRACE_EXPECT(&h->trace, "hooks committed", "open agent hub-17:agent /state/200");
}

static void a_disk_that_fails_after_the_commit_is_reported_and_tried_again(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	h->disk.links_to_fail = 1;
	hub_committed(h, KT_LINK_TRIAL, 200, HUB_NEW);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 link", "send trial failed",
		     "close agent");
	assert_int_equal(hub_sent(h)->u.failed.reason, KT_REASON_DISK);
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	hub_noted(h, KT_LINK_TRIAL, 200, KT_MESSAGE_FAILED);
	h->trace.count = 0;
	h->disk.wipes_to_fail = 1;
	hub_pass(h, 60000);
	TRACE_EXPECT(&h->trace, "link 200", "save stable a=200 p=0 r=1 hooks", "hooks committed");
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=200 p=0 r=1 wipe", "send trial failed");
	hub_noted(h, KT_LINK_TRIAL, 200, KT_MESSAGE_FAILED);
	hub_pass(h, 60000);
	TRACE_EXPECT(&h->trace, "wipe 1", "save stable a=200 p=0 r=0 promoted",
		     "send trial promoted");
}

/* They were told of an identity that is not the newest any more. */
static void hooks_that_a_newer_commit_overtook_run_again(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_rotate(h, KT_LINK_TRIAL, 300, HUB_NEW); /* settles 200, whose hooks run now */
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	hub_cert(h, KT_LINK_TRIAL, 300, HUB_LATER);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_LOST);
	hub_pass(h, 1000);
	hub_up(h, KT_LINK_TRIAL);
	hub_welcome(h, KT_LINK_TRIAL, KT_NEXT_CONFIRM);
	h->trace.count = 0;
	hub_committed(h, KT_LINK_TRIAL, 300, HUB_LATER);
	/* the key of 1 goes: its server has refused it since 200 */
	TRACE_EXPECT(&h->trace, "save stable a=300 p=0 r=200 link", "wipe 1", "link 300",
		     "save stable a=300 p=0 r=200 hooks", "close agent");
	hub_hooks_done(h, true); /* of 200 */
	TRACE_EXPECT(&h->trace, "hooks committed");
	hub_hooks_done(h, true);
	TRACE_EXPECT(&h->trace, "save stable a=300 p=0 r=200 wipe", "wipe 200",
		     "save stable a=300 p=0 r=0 promoted", "send trial promoted");
	assert_int_equal(hub_sent(h)->u.promoted.op, 300);
}

/* --- revoked --- */

static void revoked_without_wipe_is_noted_and_nothing_goes(void **state)
{
	struct hub *h = *state;
	struct kt_message *m;
	struct kt_agent_status status;

	hub_in_session(h);
	m = hub_message(h, KT_LINK_AGENT, KT_MESSAGE_REVOKED);
	m->u.revoked.reason = KT_REASON_CERT_REVOKED;
	hub_say(h, KT_LINK_AGENT, m);
	TRACE_NOTHING(&h->trace);
	kt_agent_status(h->agent, &status);
	assert_string_equal(status.last_reason, "cert.revoked");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_KICKED);
	hub_pass(h, 1000);
	TRACE_EXPECT(&h->trace, "open agent hub-17:agent /state/1"); /* it may be taken back */
}

static void revoked_with_wipe_deletes_every_key_and_stays_down(void **state)
{
	struct hub *h = *state;

	hub_confirmed(h);
	hub_wipe(h, KT_LINK_AGENT);
	TRACE_EXPECT(&h->trace, "save new a=0 p=0 r=0 none", "wipe 1", "wipe 200", "close agent",
		     "close trial");
	hub_down(h, KT_LINK_AGENT, KT_CAUSE_CLOSED);
	hub_down(h, KT_LINK_TRIAL, KT_CAUSE_CLOSED);
	assert_int_equal(kt_agent_next_tick_ms(h->agent), INT64_MAX);
	hub_pass(h, 86400000);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(hub_health(h), KT_HEALTH_REVOKED);
}

static void a_wipe_outside_its_session_is_worth_nothing(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->dn[KT_LINK_AGENT].b[0] ^= 0x80;
	hub_wipe(h, KT_LINK_AGENT);
	assert_refused(h, "session.nonce");
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.active.dir, 1);
}

static void a_wipe_that_cannot_be_saved_deletes_nothing(void **state)
{
	struct hub *h = *state;

	hub_in_session(h);
	h->disk.saves_to_fail = 1;
	hub_wipe(h, KT_LINK_AGENT);
	TRACE_NOTHING(&h->trace);
	assert_int_equal(h->disk.record.active.dir, 1);
	assert_int_equal(hub_health(h), KT_HEALTH_IN_SESSION);
}

static void every_health_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i <= (int)KT_HEALTH_STUCK; i++)
		assert_string_not_equal(kt_agent_health_name((enum kt_agent_health)i), "?");
	assert_string_equal(kt_agent_health_name((enum kt_agent_health)(KT_HEALTH_STUCK + 1)), "?");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(connects_with_the_credential_in_force_and_says_hello),
		T(judges_the_broker_at_the_floor_where_the_clock_is_behind),
		T(says_no_hello_without_entropy),
		T(hangs_up_when_the_hello_cannot_be_sent),
		T(an_up_that_nobody_asked_for_is_ignored),
		T(a_welcome_to_another_hello_counts_for_nothing),
		T(nothing_but_welcome_counts_before_the_welcome),
		T(a_message_of_the_connection_before_is_dropped),
		T(a_message_for_the_other_link_is_dropped),
		T(a_second_welcome_does_not_change_the_session),
		T(what_does_not_verify_is_dropped),
		T(a_message_on_a_link_that_is_down_is_not_even_opened),
		T(types_that_a_device_sends_are_refused_from_the_plugin),
		T(a_higher_controller_number_is_kept_before_the_message_is_obeyed),
		T(what_was_learned_and_not_saved_is_not_obeyed),
		T(a_clock_that_is_ahead_is_told),
		T(a_challenge_is_answered_with_the_key_of_the_session),
		T(a_rotation_goes_to_its_end_in_order),
		T(a_rotate_that_is_stale_or_for_another_key_is_refused),
		T(a_rotate_to_another_algorithm_is_reported),
		T(the_same_rotate_again_sends_the_same_keys_request),
		T(a_newer_rotate_drops_the_key_of_the_older_one),
		T(a_newer_rotate_over_the_pending_key_settles_the_older_op),
		T(a_settled_trial_confirms_no_newer_op),
		T(a_newer_rotate_over_the_active_key_drops_the_pending_credential),
		T(a_key_that_a_crash_left_behind_is_not_used),
		T(a_full_disk_is_reported_and_changes_nothing),
		T(a_key_that_fails_once_is_made_all_the_same),
		T(a_certificate_that_is_not_ours_is_reported_and_the_key_stays),
		T(a_certificate_whose_record_is_not_saved_is_not_tried),
		T(committed_counts_for_this_op_and_this_credential_alone),
		T(a_commit_that_is_not_saved_drops_nothing),
		T(committed_may_come_over_the_trial_alone),
		T(a_request_is_repeated_at_doubling_times),
		T(promoted_is_repeated_until_it_is_noted),
		T(promoted_of_an_op_that_nobody_knows_is_not_said_for_ever),
		T(an_op_number_that_is_given_once_more_has_its_new_nonce),
		T(a_newer_commit_ends_the_promoted_of_an_older_op),
		T(a_cert_that_was_announced_and_lost_is_asked_for),
		T(an_open_op_is_tried_whatever_closed_said_before),
		T(promoted_waits_for_a_session_and_survives_a_restart),
		T(a_failed_is_repeated_until_that_op_is_noted),
		T(a_key_that_the_disk_refused_is_tried_again),
		T(a_refused_key_is_forgotten_with_its_session_or_its_op),
		T(the_committed_that_was_lost_is_said_again_at_the_next_trial),
		T(a_committed_once_more_sends_promoted_once_more),
		T(no_promoted_before_the_hooks_have_run),
		T(a_reject_puts_the_repeat_off_by_as_long_as_it_says),
		T(who_is_told_together_does_not_come_back_together),
		T(a_final_reject_ends_the_repeats_and_keeps_the_key),
		T(who_is_told_that_a_newer_op_is_there_asks_for_it),
		T(a_session_that_the_plugin_does_not_know_begins_again),
		T(a_hook_that_fails_is_reported_and_tried_again),
		T(hooks_are_run_again_after_a_restart_in_the_middle),
		T(a_disk_that_fails_after_the_commit_is_reported_and_tried_again),
		T(hooks_that_a_newer_commit_overtook_run_again),
		T(revoked_without_wipe_is_noted_and_nothing_goes),
		T(revoked_with_wipe_deletes_every_key_and_stays_down),
		T(a_wipe_outside_its_session_is_worth_nothing),
		T(a_wipe_that_cannot_be_saved_deletes_nothing),
		T(every_health_has_a_name),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
