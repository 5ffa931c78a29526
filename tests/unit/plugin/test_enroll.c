#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enroll.h"
#include "fake_ports.h"
#include "outbox.h"
#include "ticket.h"

#define END   "|1600000000|253402300799"
#define LEAF  "spiffe://" FLEET_TD "/device/hub-17" END "|g1"
#define NEW   "spiffe://" FLEET_TD "/device/hub-20" END "|g1"
#define CLAIM "spiffe://" FLEET_TD "/claim/batch-7" END
#define CID   "claim:abcdefghijklmnopqrstuv"
#define CID2  "claim:ABCDEFGHIJKLMNOPQRSTUV"

enum { CLAIMANT = 16, SECOND = 32, TRIAL = 48, AGENT = 64, SITE = 80 };

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();

	(void)fleet_active(registry, "hub-17", "west", LEAF);
	*state = fake_new(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static const struct kt_device *device(struct fake *f, const char *id)
{
	return kt_registry_find_device(f->registry, id);
}

static struct kt_ticket ticket_for(struct fake *f, const char *id, const char *pattern)
{
	struct kt_ticket ticket;

	memset(&ticket, 0, sizeof(ticket));
	(void)snprintf(ticket.device, sizeof(ticket.device), "%s", id);
	(void)snprintf(ticket.pattern, sizeof(ticket.pattern), "%s", pattern);
	if (pattern[0] != '\0')
		(void)snprintf(ticket.group, sizeof(ticket.group), "east");
	ticket.expires_us = f->now.wall_us + INT64_C(3600000000);
	assert_int_equal(kt_enroll_ticket(f->core, &ticket, "op:test").reason, KT_REASON_NONE);
	fake_durable(f);
	return ticket;
}

/* @asked: the id asked for, or "". */
static void enroll(struct fake *f, uintptr_t client, const char *asked,
		   const struct kt_ticket *ticket, const char *key)
{
	struct kt_message *m = fake_message(f, client, KT_MESSAGE_ENROLL);

	fake_later(f, 1000);
	if (asked[0] != '\0')
		assert_true(kt_device_id_set(&m->device, asked, strlen(asked)));
	if (ticket != NULL) {
		m->u.enroll.has_ticket = true;
		memcpy(m->u.enroll.ticket, ticket->secret, sizeof(m->u.enroll.ticket));
	}
	fake_forget(f);
	fake_say(f, client, m, key);
}

/* Told claim.refused and nothing else; counted as what it really was. */
static void assert_refused(struct fake *f, const char *client_id, enum kt_reason real)
{
	const char *text = fake_sent(f, client_id, "reject");

	assert_non_null(text);
	assert_string_equal(text, "reject reason=claim.refused retry=0 op=0");
	assert_int_equal(kt_core_count(f->core, real), 1);
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
}

/* --- tickets --- */

static void a_ticket_gets_its_device_an_identity(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	struct kt_message *m;

	assert_string_equal(ticket.broker, "broker:8883");
	assert_string_equal(ticket.trust_domain, FLEET_TD);
	assert_int_equal(fake_connect(f, CLAIMANT, CID, NULL, NULL), KT_ANSWER_ACCEPT);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_null(device(f, "hub-20"));
	fake_issue(f, NEW);
	assert_non_null(strstr(fake_sent(f, CID, "enrolled"), "enrolled device=hub-20 op="));
	assert_non_null(strstr(fake_sent(f, CID, "enrolled"), "leaf=" NEW));
	assert_int_equal(device(f, "hub-20")->state, KT_DEVICE_NEW);
	assert_true(device(f, "hub-20")->enrolling);
	/* on to the normal trial */
	(void)fake_hello(f, TRIAL, "hub-20:trial", NEW);
	m = fake_message(f, TRIAL, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = device(f, "hub-20")->op;
	m->u.confirm.nonce = device(f, "hub-20")->op_nonce;
	m->u.confirm.fp = fake_fingerprint(NEW);
	fake_say(f, TRIAL, m, NULL);
	assert_non_null(fake_sent(f, "hub-20:trial", "committed"));
	assert_non_null(fake_event(f, "device.enrolled"));
	assert_int_equal(device(f, "hub-20")->state, KT_DEVICE_ACTIVE);
}

static void enrolled_waits_for_the_ledger(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	f->sync_at_once = false;
	fake_issue(f, NEW);
	fake_seal_all(f);
	assert_null(fake_sent(f, CID, "enrolled"));
	fake_durable(f);
	fake_seal_all(f);
	assert_non_null(fake_sent(f, CID, "enrolled"));
}

static void the_same_key_gets_the_same_certificate_another_one_an_alarm(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	fake_issue(f, NEW);
	(void)fake_connect(f, SECOND, CID2, NULL, NULL);
	enroll(f, SECOND, "", &ticket, "key");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_non_null(strstr(fake_sent(f, CID2, "enrolled"), "leaf=" NEW));
	assert_int_equal(f->logged[KT_EVENT_ENROLL_CONFLICTED], 0);
	(void)fake_connect(f, SECOND, CID2, NULL, NULL);
	enroll(f, SECOND, "", &ticket, "another key");
	assert_refused(f, CID2, KT_REASON_TICKET_USED);
	assert_non_null(fake_event(f, "enroll.conflict"));
}

static void two_keys_race_for_one_ticket_and_one_wins(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	(void)fake_connect(f, SECOND, CID2, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	enroll(f, SECOND, "", &ticket, "another key"); /* a certificate is being made already */
	assert_string_equal(fake_sent(f, CID2, "reject"), "reject reason=busy retry=5 op=0");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled"));
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	enroll(f, SECOND, "", &ticket, "another key");
	assert_refused(f, CID2, KT_REASON_TICKET_USED);
	assert_int_equal(device(f, "hub-20")->generation, 1);
}

/* However often it is shown, over however many connections, while its certificate is being made. */
static void one_ticket_is_one_signature(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	for (uintptr_t i = 0; i < 20; i++) {
		char id[KT_CLIENT_ID_MAX];

		(void)snprintf(id, sizeof(id), "claim:abcdefghijklmnopqrst%02u", (unsigned)i);
		(void)fake_connect(f, CLAIMANT + i * 16, id, NULL, NULL);
		enroll(f, CLAIMANT + i * 16, "", &ticket, "key");
		assert_int_equal(f->waiting_count, 1);
	}
	fake_issue(f, NEW);
	assert_int_equal(f->waiting_count, 0);
	enroll(f, CLAIMANT + 5 * 16, "", &ticket, "key"); /* gets the one that was made */
	assert_int_equal(f->waiting_count, 0);
	assert_non_null(fake_sent(f, "claim:abcdefghijklmnopqrst05", "enrolled"));
}

/* The worker could not make it: who asks again gets another try. */
static void an_enrolment_whose_certificate_failed_can_be_tried_again(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	struct kt_job *job;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	job = fake_take_job(f, KT_JOB_ISSUE);
	job->err = KT_ERR_CRYPTO;
	kt_core_job_done(f->core, f->now, job);
	enroll(f, CLAIMANT, "", &ticket, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled"));
}

static void a_clock_that_jumped_pauses_enrolments_with_an_end(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	f->config.certificate_lifetime_ms = INT64_C(86400000);
	f->now.wall_us -= INT64_C(7200000000);
	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_string_equal(fake_sent(f, CID, "reject"),
			    "reject reason=clock.jump retry=3600 op=0");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_int_equal(kt_clock_confirm(f->core, "op:test").reason, KT_REASON_NONE);
	enroll(f, CLAIMANT, "", &ticket, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled"));
}

static void a_lost_ledger_costs_no_signature(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	fake_fail(f);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_string_equal(fake_sent(f, CID, "reject"), "reject reason=store.failed retry=5 op=0");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
}

static void refuses_a_ticket_that_is_unknown_or_expired_or_for_another_device(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	struct kt_ticket forged = ticket;

	forged.secret[0] ^= 1;
	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "", &forged, "key");
	assert_refused(f, CID, KT_REASON_TICKET_UNKNOWN);
	enroll(f, CLAIMANT, "hub-21", &ticket, "key");
	assert_refused(f, CID, KT_REASON_TICKET_DEVICE);
	fake_later(f, 3600000);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_refused(f, CID, KT_REASON_TICKET_EXPIRED);
	assert_null(device(f, "hub-20"));
}

static void a_ticket_that_expires_while_the_worker_works_is_not_used(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	fake_later(f, 3600000);
	fake_issue(f, NEW);
	assert_refused(f, CID, KT_REASON_TICKET_EXPIRED);
	assert_null(device(f, "hub-20"));
}

static void a_group_ticket_makes_new_devices_that_fit_its_pattern(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "", "hub-*");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_refused(f, CID, KT_REASON_TICKET_DEVICE);
	enroll(f, CLAIMANT, "box-1", &ticket, "key");
	assert_non_null(fake_sent(f, CID, "reject"));
	enroll(f, CLAIMANT, "hub-17", &ticket, "key"); /* is there already */
	assert_non_null(fake_sent(f, CID, "reject"));
	enroll(f, CLAIMANT, "HUB-17", &ticket, "key");
	assert_non_null(fake_sent(f, CID, "reject"));
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	fake_later(f, 5000);
	enroll(f, CLAIMANT, "hub-20", &ticket, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled"));
	assert_string_equal(device(f, "hub-20")->group, "east");
}

static void a_ticket_for_an_existing_device_replaces_its_hardware(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-17", "");
	struct kt_message *m;

	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "hub-17", &ticket, "key");
	fake_issue(f, LEAF "b");
	assert_int_equal(device(f, "hub-17")->generation, 2);
	fake_tick(f);
	assert_false(
		fake_was_kicked(f, "hub-17:agent")); /* the old one is good until the confirm */
	(void)fake_hello(f, TRIAL, "hub-17:trial", LEAF "b");
	m = fake_message(f, TRIAL, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = device(f, "hub-17")->op;
	m->u.confirm.nonce = device(f, "hub-17")->op_nonce;
	m->u.confirm.fp = fake_fingerprint(LEAF "b");
	fake_say(f, TRIAL, m, NULL);
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-17:agent"));
	assert_int_equal(fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF), KT_ANSWER_DENY);
}

/* To say that its op is closed would keep it from trying what it got. */
static void a_hub_that_enrols_beside_its_credential_is_sent_to_the_trial(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-17", "");
	struct kt_message *m;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "hub-17", &ticket, "key");
	fake_issue(f, LEAF "b");
	(void)fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.phase = KT_PHASE_CERT;
	m->u.hello.op = device(f, "hub-17")->op;
	fake_say(f, AGENT, m, NULL);
	assert_string_equal(fake_sent(f, "hub-17:agent", "welcome"), "welcome next=none op=0");
	fake_later(f, 1000);
	m = fake_message(f, AGENT, KT_MESSAGE_HELLO);
	m->u.hello.phase = KT_PHASE_CERT;
	m->u.hello.op = device(f, "hub-17")->op - 1;
	fake_forget(f);
	fake_say(f, AGENT, m, NULL);
	assert_non_null(strstr(fake_sent(f, "hub-17:agent", "welcome"), "next=closed"));
}

/* A request with an older one, late, would end what was issued for the newest. */
static void the_last_ticket_given_is_the_one_that_counts(void **state)
{
	struct fake *f = *state;
	struct kt_ticket older = ticket_for(f, "hub-20", "");
	struct kt_ticket newer = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &older, "old key");
	assert_refused(f, CID, KT_REASON_TICKET_USED);
	enroll(f, CLAIMANT, "", &newer, "key");
	fake_issue(f, LEAF "b");
	assert_true(device(f, "hub-20")->enrolling);
}

/* Nobody comes for it, and while it is open there is no rotation. */
static void an_enrolment_beside_a_credential_can_be_cancelled(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-17", "");
	struct kt_fingerprint fp = fake_fingerprint(LEAF "b");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "hub-17", &ticket, "key");
	fake_issue(f, LEAF "b");
	assert_int_equal(kt_rotation_order(f->core, device(f, "hub-17"), "op:test", NULL).reason,
			 KT_REASON_STATE);
	/* not while the hub may have nothing else: its credential's session is what tells */
	assert_int_equal(kt_rotation_cancel(f->core, device(f, "hub-17"), "op:test").reason,
			 KT_REASON_STATE);
	(void)fake_hello(f, AGENT, "hub-17:agent", LEAF);
	assert_int_equal(kt_rotation_cancel(f->core, device(f, "hub-17"), "op:test").reason,
			 KT_REASON_NONE);
	assert_false(device(f, "hub-17")->enrolling);
	assert_int_equal(kt_registry_find_fingerprint(f->registry, &fp)->status,
			 KT_CREDENTIAL_ABANDONED);
	fake_tick(f);
	assert_int_equal(fake_connect(f, TRIAL, "hub-17:trial", NULL, LEAF "b"), KT_ANSWER_DENY);
	assert_int_equal(fake_connect(f, AGENT, "hub-17:agent", NULL, LEAF), KT_ANSWER_ACCEPT);
	assert_int_equal(kt_rotation_order(f->core, device(f, "hub-17"), "op:test", NULL).reason,
			 KT_REASON_NONE);
}

/* All that the hub has may be what was issued to it. */
static void a_first_enrolment_cannot_be_cancelled(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	fake_issue(f, LEAF "b");
	assert_int_equal(kt_rotation_cancel(f->core, device(f, "hub-20"), "op:test").reason,
			 KT_REASON_STATE);
}

static void a_key_that_was_certified_before_gets_nothing_by_a_ticket(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, LEAF); /* fixture keys are named as their certificates */
	assert_refused(f, CID, KT_REASON_KEY_KNOWN);
}

static void refuses_to_give_out_a_ticket_that_cannot_be_used(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket;

	memset(&ticket, 0, sizeof(ticket));
	ticket.expires_us = f->now.wall_us + 1000000;
	assert_int_equal(kt_enroll_ticket(f->core, &ticket, "op:test").reason,
			 KT_REASON_JSON_FIELD);
	(void)snprintf(ticket.device, sizeof(ticket.device), "HUB-17");
	assert_int_equal(kt_enroll_ticket(f->core, &ticket, "op:test").reason, KT_REASON_EXISTS);
	(void)snprintf(ticket.device, sizeof(ticket.device), "hub-20");
	ticket.expires_us = f->now.wall_us;
	assert_int_equal(kt_enroll_ticket(f->core, &ticket, "op:test").reason,
			 KT_REASON_JSON_FIELD);
	ticket.expires_us = f->now.wall_us + 1000000;
	ticket.broker[0] = '\0';
	f->config.broker_address[0] = '\0';
	assert_int_equal(kt_enroll_ticket(f->core, &ticket, "op:test").reason,
			 KT_REASON_JSON_FIELD);
}

/* --- keys and approval --- */

static void a_registered_key_gets_its_device(void **state)
{
	struct fake *f = *state;
	struct kt_key_id key = fleet_key("key");

	assert_int_equal(kt_device_create(f->core, "hub-20", "east", &key, "op:test").reason,
			 KT_REASON_NONE);
	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "hub-21", NULL, "key");
	assert_refused(f, CID, KT_REASON_KEY_KNOWN);
	enroll(f, CLAIMANT, "", NULL, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled device=hub-20"));
	enroll(f, CLAIMANT, "hub-20", NULL, "key");
	assert_non_null(fake_sent(f, CID, "enrolled device=hub-20"));
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
}

static void a_claim_certificate_alone_gets_no_identity(void **state)
{
	struct fake *f = *state;
	struct kt_claim claim;

	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "hub-20", NULL, "key");
	assert_string_equal(fake_sent(f, CID, "pending"), "pending retry=30");
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
	assert_null(device(f, "hub-20"));
	assert_true(kt_enroll_claim_at(f->core, 0, &claim));
	assert_string_equal(claim.device.s, "hub-20");
	assert_string_equal(claim.batch, "batch-7");
	assert_string_equal(claim.address, "127.0.0.1");
	assert_int_equal(claim.tries, 1);
	enroll(f, CLAIMANT, "hub-20", NULL, "key");
	assert_true(kt_enroll_claim_at(f->core, 0, &claim));
	assert_int_equal(claim.tries, 2);
	assert_false(kt_enroll_claim_at(f->core, 1, &claim));
	assert_int_equal(f->logged[KT_EVENT_DEVICE_WAITING], 1);
}

static void without_certificate_and_ticket_nobody_even_waits(void **state)
{
	struct fake *f = *state;
	struct kt_claim claim;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "hub-20", NULL, "key");
	assert_refused(f, CID, KT_REASON_KEY_UNREGISTERED);
	assert_false(kt_enroll_claim_at(f->core, 0, &claim));
}

static void an_approval_gives_the_id(void **state)
{
	struct fake *f = *state;
	struct kt_key_id key = fleet_key("key");
	struct kt_claim claim;

	(void)fake_connect(f, SITE, "hub-20", "user", NULL);
	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "", NULL, "key");
	fake_forget(f);
	assert_int_equal(kt_enroll_approve(f->core, "hub-20", &key, "east", "op:test").reason,
			 KT_REASON_NONE);
	fake_durable(f);
	fake_seal_all(f);
	assert_string_equal(fake_sent(f, CID, "pending"), "pending retry=1");
	assert_false(kt_enroll_claim_at(f->core, 0, &claim));
	fake_tick(f);
	assert_true(fake_was_kicked(f, "hub-20")); /* who squatted on the id */
	enroll(f, CLAIMANT, "", NULL, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled device=hub-20"));
}

static void refuses_to_approve_what_cannot_be(void **state)
{
	struct fake *f = *state;
	struct kt_key_id used = fleet_key(LEAF);
	struct kt_key_id key = fleet_key("key");

	assert_int_equal(kt_enroll_approve(f->core, "hub-20", &used, NULL, "op:test").reason,
			 KT_REASON_KEY_KNOWN);
	assert_int_equal(kt_enroll_approve(f->core, "HUB-17", &key, NULL, "op:test").reason,
			 KT_REASON_EXISTS);
	assert_int_equal(kt_enroll_approve(f->core, "a b", &key, NULL, "op:test").reason,
			 KT_REASON_JSON_FIELD);
	assert_int_equal(kt_device_delete(f->core, device(f, "hub-17"), "op:test").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_enroll_approve(f->core, "hub-17", &key, NULL, "op:test").reason,
			 KT_REASON_DELETED);
}

static void a_denied_key_stays_out_until_it_is_approved(void **state)
{
	struct fake *f = *state;
	struct kt_key_id key = fleet_key("key");
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	struct kt_claim claim;

	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "", NULL, "key");
	assert_int_equal(kt_enroll_deny(f->core, &key, "op:test").reason, KT_REASON_NONE);
	fake_durable(f);
	fake_seal_all(f);
	assert_non_null(fake_sent(f, CID, "reject reason=claim.refused"));
	assert_false(kt_enroll_claim_at(f->core, 0, &claim));
	enroll(f, CLAIMANT, "", NULL, "key");
	assert_refused(f, CID, KT_REASON_KEY_DENIED);
	enroll(f, CLAIMANT, "", &ticket, "key");
	assert_non_null(fake_sent(f, CID, "reject reason=claim.refused"));
	assert_int_equal(kt_enroll_approve(f->core, "hub-21", &key, NULL, "op:test").reason,
			 KT_REASON_NONE);
	enroll(f, CLAIMANT, "", NULL, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID, "enrolled device=hub-21"));
}

/* --- limits --- */

static void the_request_is_bound_to_this_connection_and_id(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	struct kt_message *m;
	struct kt_job *job;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	fake_raw(f, CLAIMANT, "{}");
	job = fake_take_job(f, KT_JOB_OPEN);
	assert_true(job->is_claim);
	m = fake_message(f, CLAIMANT, KT_MESSAGE_ENROLL);
	m->u.enroll.has_ticket = true;
	memcpy(m->u.enroll.ticket, ticket.secret, sizeof(ticket.secret));
	job->message = m;
	job->err = KT_ERR_OK;
	job->csr.key.alg = KT_ALG_ES256;
	job->csr.key_id = fleet_key("key");
	kt_csr_binding(FLEET_TD, "", 0, &(struct kt_nonce){{9}}, job->csr.challenge_password);
	kt_core_job_done(f->core, f->now, job);
	fake_seal_all(f);
	assert_non_null(fake_sent(f, CID, "reject reason=csr.bind"));
	assert_null(fake_take_job(f, KT_JOB_ISSUE));
}

static void one_enroll_is_in_work_and_none_waits(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key"); /* with the worker now */
	fake_raw(f, CLAIMANT, "{}");
	assert_non_null(fake_sent(f, CID, "reject reason=busy"));
	assert_null(fake_take_job(f, KT_JOB_OPEN));
	fake_issue(f, NEW);
	fake_raw(f, CLAIMANT, "{}");
	assert_int_equal(f->waiting_count, 1);
}

static void a_batch_from_one_address_has_its_rate(void **state)
{
	struct fake *f = *state;

	for (uintptr_t i = 0; i < 8; i++) {
		char id[KT_CLIENT_ID_MAX];

		(void)snprintf(id, sizeof(id), "claim:abcdefghijklmnopqrst%02u", (unsigned)i);
		(void)fake_connect(f, CLAIMANT + i * 16, id, NULL, CLAIM);
		fake_say(f, CLAIMANT + i * 16,
			 fake_message(f, CLAIMANT + i * 16, KT_MESSAGE_ENROLL), "key");
	}
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 3);
	(void)fake_connect(f, SITE * 16, CID, NULL, "spiffe://" FLEET_TD "/claim/other" END);
	fake_say(f, SITE * 16, fake_message(f, SITE * 16, KT_MESSAGE_ENROLL), "key");
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 3);
}

/* The n-th claimant, connected and asking; @cert NULL: without one. */
static void try_to_enroll(struct fake *f, unsigned n, const char *cert)
{
	const uintptr_t client = CLAIMANT + (uintptr_t)n * 16;
	char id[KT_CLIENT_ID_MAX];

	(void)snprintf(id, sizeof(id), "claim:abcdefghijklmnopqr%04u", n % 10000);
	fake_forget(f);
	assert_int_equal(fake_connect(f, client, id, NULL, cert), KT_ANSWER_ACCEPT);
	fake_say(f, client, fake_message(f, client, KT_MESSAGE_ENROLL), "key");
}

static void who_tries_too_often_is_told_when_to_come_back_and_then_dropped(void **state)
{
	struct fake *f = *state;
	char last[KT_CLIENT_ID_MAX];

	for (unsigned i = 0; i < 30; i++) {
		(void)snprintf(last, sizeof(last), "claim:abcdefghijklmnopqr%04u", i);
		try_to_enroll(f, i, CLAIM);
		if (i < KT_LANE_BURST) {
			assert_non_null(fake_sent(f, last, "pending"));
		} else if (i < 2 * KT_LANE_BURST) {
			assert_string_equal(fake_sent(f, last, "reject"),
					    "reject reason=msg.rate retry=5 op=0");
		} else { /* not looked at: it costs no signature, neither theirs nor ours */
			assert_int_equal(fake_sent_count(f, last), 0);
			assert_int_equal(f->waiting_count, 0);
		}
	}
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 30 - KT_LANE_BURST);
	fake_later(f, 1000);
	try_to_enroll(f, 30, CLAIM);
	assert_non_null(fake_sent(f, "claim:abcdefghijklmnopqr0030", "pending"));
	try_to_enroll(f, 31, CLAIM);
	assert_non_null(fake_sent(f, "claim:abcdefghijklmnopqr0031", "reject reason=msg.rate"));
	try_to_enroll(f, 32, CLAIM);
	assert_int_equal(fake_sent_count(f, "claim:abcdefghijklmnopqr0032"), 0);
}

static void what_cannot_be_read_is_a_try_too(void **state)
{
	struct fake *f = *state;
	unsigned opened = 0;

	for (unsigned i = 0; i < 30; i++) {
		struct kt_job *job;

		(void)fake_connect(f, CLAIMANT + (uintptr_t)i * 16, CID, NULL, CLAIM);
		fake_raw(f, CLAIMANT + (uintptr_t)i * 16, "x");
		job = fake_take_job(f, KT_JOB_OPEN);
		opened += job != NULL ? 1 : 0;
		kt_job_free(job);
	}
	assert_int_equal(opened, 2 * KT_LANE_BURST);
}

/* A thousand addresses have as many lanes, and one limit. */
static void all_claimants_together_have_a_limit(void **state)
{
	struct fake *f = *state;
	char address[KT_ADDRESS_MAX];
	unsigned told = 0;

	f->config.enroll_rate = 50;
	f->address = address;
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(address, sizeof(address), "10.0.%u.%u", i / 250, i % 250);
		try_to_enroll(f, i, NULL);
		told += f->published_count > 0 ? 1 : 0;
	}
	/* of the first 50 each is refused for what it asks, of the next 50 each for its rate */
	assert_int_equal(kt_core_count(f->core, KT_REASON_KEY_UNREGISTERED), 50);
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 950);
	/* who shows a certificate is counted apart: strangers do not lock a batch out */
	try_to_enroll(f, 1000, CLAIM);
	assert_int_equal(kt_core_count(f->core, KT_REASON_MSG_RATE), 950);
	assert_non_null(fake_sent(f, "claim:abcdefghijklmnopqr1000", "pending"));
	fake_later(f, 1000);
	try_to_enroll(f, 1001, NULL);
	assert_int_equal(kt_core_count(f->core, KT_REASON_KEY_UNREGISTERED), 51);
	assert_true(told >= 100);
}

/* A hub's message does not wait for the signature of what a stranger is told. */
static void no_hub_waits_behind_a_claimant(void **state)
{
	struct fake *f = *state;
	struct kt_session *claimant;
	struct kt_session *agent;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	claimant = fake_session(f, CLAIMANT);
	agent = fake_hello(f, AGENT, "hub-17:agent", LEAF);
	f->sync_at_once = false;
	f->jobs_are_full = true;
	for (unsigned i = 0; i < 3 * KT_OUTBOX_CLAIMS_MAX; i++)
		kt_core_send(f->core, claimant,
			     kt_core_message(f->core, claimant, KT_MESSAGE_PENDING), 0);
	kt_core_send(f->core, agent, kt_core_message(f->core, agent, KT_MESSAGE_CHALLENGE), 0);
	f->jobs_are_full = false;
	fake_tick(f);
	for (size_t i = 0; i < f->waiting_count; i++) { /* the last in, and no seal before it */
		struct kt_job *job = f->waiting[i];

		if (job->is_claim)
			continue;
		memmove(&f->waiting[1], &f->waiting[0], i * sizeof(f->waiting[0]));
		f->waiting[0] = job;
		break;
	}
	assert_false(f->waiting[0]->is_claim);
	assert_true(f->waiting[1]->is_claim);
	{
		struct kt_job *job = fake_take_job(f, KT_JOB_SEAL);

		job->sealed = strdup("challenge");
		job->sealed_len = strlen(job->sealed);
		job->err = KT_ERR_OK;
		kt_core_job_done(f->core, f->now, job);
	}
	assert_int_equal(fake_sent_count(f, "hub-17:agent"), 1);
	assert_int_equal(fake_sent_count(f, CID), 0);
}

static void what_waits_for_claimants_is_bounded(void **state)
{
	struct fake *f = *state;
	struct kt_session *claimant;
	size_t sent = 0;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	claimant = fake_session(f, CLAIMANT);
	f->sync_at_once = false;
	f->jobs_are_full = true;
	for (unsigned i = 0; i < 3 * KT_OUTBOX_CLAIMS_MAX; i++)
		kt_core_send(f->core, claimant,
			     kt_core_message(f->core, claimant, KT_MESSAGE_PENDING), 0);
	f->jobs_are_full = false;
	for (int i = 0; i < 10; i++) {
		fake_tick(f);
		fake_forget(f);
		fake_seal_all(f);
		sent += fake_sent_count(f, CID);
	}
	assert_int_equal(sent, KT_OUTBOX_CLAIMS_MAX);
}

static void who_has_gone_costs_no_signature(void **state)
{
	struct fake *f = *state;
	struct kt_session *claimant;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	claimant = fake_session(f, CLAIMANT);
	kt_core_disconnect(f->core, f->now, CLAIMANT);
	f->sync_at_once = false;
	kt_core_send(f->core, claimant, kt_core_message(f->core, claimant, KT_MESSAGE_PENDING), 0);
	assert_int_equal(f->waiting_count, 0);
}

static void the_list_of_who_waits_is_bounded(void **state)
{
	struct kt_claims *claims;
	struct kt_claim claim;
	uint64_t session;

	(void)state;
	memset(&claim, 0, sizeof(claim));
	assert_int_equal(kt_claims_new(&claims), KT_ERR_OK);
	for (unsigned i = 0; i < KT_CLAIMS_MAX + 1; i++) {
		claim.key_id.b[0] = (uint8_t)i;
		claim.key_id.b[1] = (uint8_t)(i >> 8);
		claim.last_us = i == 0 ? 5000 : (int64_t)i;
		assert_true(kt_claims_wait(claims, &claim, i + 1));
	}
	claim.key_id.b[0] = 1; /* silent for longest: it made room */
	claim.key_id.b[1] = 0;
	assert_false(kt_claims_take(claims, &claim.key_id, &session));
	claim.key_id.b[0] = 0;
	assert_true(kt_claims_take(claims, &claim.key_id, &session));
	assert_int_equal(session, 1);
	kt_claims_free(claims);
}

static void an_idle_claimant_is_ended(void **state)
{
	struct fake *f = *state;

	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	fake_later(f, 50000);
	enroll(f, CLAIMANT, "", NULL, "key");
	fake_later(f, 50000);
	fake_ticks(f, 12);
	assert_false(fake_was_kicked(f, CID));
	fake_later(f, 10000);
	fake_ticks(f, 12);
	assert_true(fake_was_kicked(f, CID));
	assert_int_equal(kt_core_count(f->core, KT_REASON_CLAIM_TIMEOUT), 1);
}

static void a_claimant_that_left_uses_up_nothing(void **state)
{
	struct fake *f = *state;
	struct kt_ticket ticket = ticket_for(f, "hub-20", "");
	uint64_t seq;

	(void)fake_connect(f, CLAIMANT, CID, NULL, NULL);
	enroll(f, CLAIMANT, "", &ticket, "key");
	kt_core_disconnect(f->core, f->now, CLAIMANT);
	seq = kt_registry_seq(f->registry);
	fake_issue(f, NEW);
	assert_int_equal(kt_registry_seq(f->registry), seq);
	(void)fake_connect(f, SECOND, CID2, NULL, NULL);
	enroll(f, SECOND, "", &ticket, "key");
	fake_issue(f, NEW);
	assert_non_null(fake_sent(f, CID2, "enrolled"));
}

static void a_claimant_may_say_nothing_but_enroll(void **state)
{
	static const enum kt_message_type types[] = {
		KT_MESSAGE_HELLO,    KT_MESSAGE_ANSWER, KT_MESSAGE_CSR,	    KT_MESSAGE_CONFIRM,
		KT_MESSAGE_PROMOTED, KT_MESSAGE_FAILED, KT_MESSAGE_WELCOME, KT_MESSAGE_REVOKED};
	struct fake *f = *state;

	(void)fake_connect(f, CLAIMANT, CID, NULL, CLAIM);
	enroll(f, CLAIMANT, "", NULL, "key");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		fake_later(f, 1000);
		fake_forget(f);
		fake_say(f, CLAIMANT, fake_message(f, CLAIMANT, types[i]), NULL);
		assert_non_null(fake_sent(f, CID, "reject reason=msg.type"));
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_ticket_gets_its_device_an_identity),
		T(enrolled_waits_for_the_ledger),
		T(the_same_key_gets_the_same_certificate_another_one_an_alarm),
		T(two_keys_race_for_one_ticket_and_one_wins),
		T(one_ticket_is_one_signature),
		T(an_enrolment_whose_certificate_failed_can_be_tried_again),
		T(a_clock_that_jumped_pauses_enrolments_with_an_end),
		T(a_lost_ledger_costs_no_signature),
		T(refuses_a_ticket_that_is_unknown_or_expired_or_for_another_device),
		T(a_ticket_that_expires_while_the_worker_works_is_not_used),
		T(a_group_ticket_makes_new_devices_that_fit_its_pattern),
		T(a_ticket_for_an_existing_device_replaces_its_hardware),
		T(a_hub_that_enrols_beside_its_credential_is_sent_to_the_trial),
		T(the_last_ticket_given_is_the_one_that_counts),
		T(an_enrolment_beside_a_credential_can_be_cancelled),
		T(a_first_enrolment_cannot_be_cancelled),
		T(a_key_that_was_certified_before_gets_nothing_by_a_ticket),
		T(refuses_to_give_out_a_ticket_that_cannot_be_used),
		T(a_registered_key_gets_its_device),
		T(a_claim_certificate_alone_gets_no_identity),
		T(without_certificate_and_ticket_nobody_even_waits),
		T(an_approval_gives_the_id),
		T(refuses_to_approve_what_cannot_be),
		T(a_denied_key_stays_out_until_it_is_approved),
		T(the_request_is_bound_to_this_connection_and_id),
		T(one_enroll_is_in_work_and_none_waits),
		T(a_batch_from_one_address_has_its_rate),
		T(who_tries_too_often_is_told_when_to_come_back_and_then_dropped),
		T(what_cannot_be_read_is_a_try_too),
		T(all_claimants_together_have_a_limit),
		T(no_hub_waits_behind_a_claimant),
		T(what_waits_for_claimants_is_bounded),
		T(who_has_gone_costs_no_signature),
		T(the_list_of_who_waits_is_bounded),
		T(an_idle_claimant_is_ended),
		T(a_claimant_that_left_uses_up_nothing),
		T(a_claimant_may_say_nothing_but_enroll),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
