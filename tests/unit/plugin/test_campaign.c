#include "campaign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"

enum { HUBS = 20, AGENTS = 1000, TRIALS = 2000, MINUTE_TICKS = 600 };

/* --- a fleet of twenty, and a campaign over it --- */

static void hub_id(unsigned n, char out[static 16])
{
	(void)snprintf(out, 16, "hub-%02u", n);
}

static void hub_cert(unsigned n, unsigned generation, char out[static 96])
{
	(void)snprintf(out, 96, "spiffe://" FLEET_TD "/device/hub-%02u|1600000000|253402300799|g%u",
		       n, generation);
}

static const struct kt_device *hub(const struct fake *f, unsigned n)
{
	char id[16];

	hub_id(n, id);
	return kt_registry_find_device(f->registry, id);
}

static int setup(void **state)
{
	struct kt_registry *registry = fleet_new();
	struct fake *f;

	for (unsigned n = 0; n < HUBS; n++) {
		char id[16];
		char cert[96];

		hub_id(n, id);
		hub_cert(n, 1, cert);
		(void)fleet_active(registry, id, "west", cert);
	}
	f = fake_new(registry);
	f->sync_at_once = true;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static void connect(struct fake *f, unsigned n)
{
	char client[32];
	char cert[96];

	(void)snprintf(client, sizeof(client), "hub-%02u:agent", n);
	hub_cert(n, hub(f, n)->current->generation, cert);
	(void)fake_hello(f, AGENTS + n, client, cert);
	fake_forget(f);
}

static void connect_all(struct fake *f)
{
	for (unsigned n = 0; n < HUBS; n++)
		connect(f, n);
}

static void leave(struct fake *f, unsigned n)
{
	kt_core_disconnect(f->core, f->now, AGENTS + n);
	fake_tick(f);
	fake_forget(f);
}

static struct kt_campaign *campaign(const struct fake *f, const char *name)
{
	return kt_registry_find_campaign(f->registry, name);
}

/* @words: of the plan. Over the hubs @first to @last. */
static struct kt_campaign *begin_over(struct fake *f, const char *name,
				      enum kt_campaign_action action, const char *const *words,
				      const unsigned range[static 2])
{
	struct kt_plan plan;
	struct kt_device_id id = {""};
	const struct kt_new_campaign fresh = {
		.name = &id, .plan = &plan, .select = "group=west", .note = "spring"};
	char devices[HUBS * 16] = "";
	FILE *text = fmemopen(devices, sizeof(devices), "w");
	const char *why;

	assert_non_null(text);

	assert_true(kt_device_id_set(&id, name, strlen(name)));
	kt_plan_preset(&plan, action);
	for (; *words != NULL; words++)
		assert_true(kt_plan_take(&plan, *words, &why));
	for (unsigned n = range[0]; n <= range[1]; n++) {
		char hub_n[16];

		hub_id(n, hub_n);
		(void)fprintf(text, "%s%s", n > range[0] ? " " : "", hub_n);
	}
	assert_int_equal(fclose(text), 0);
	assert_int_equal(kt_campaign_begin(f->core, &fresh, "op:ann").reason, KT_REASON_NONE);
	campaign(f, name)->run.is_gathering = true;
	assert_int_equal(kt_campaign_add(f->core, campaign(f, name), devices, "op:ann").reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_campaign_start(f->core, campaign(f, name), "op:ann").reason,
			 KT_REASON_NONE);
	campaign(f, name)->run.is_gathering = false;
	fake_durable(f);
	return campaign(f, name);
}

static struct kt_campaign *begin(struct fake *f, const char *const *words)
{
	static const unsigned all[] = {0, HUBS - 1};

	return begin_over(f, "roll", KT_CAMPAIGN_ROTATE, words, all);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static enum kt_member_status status_of(const struct fake *f, const struct kt_campaign *c,
				       unsigned n)
{
	return (enum kt_member_status)kt_campaign_find(c, hub(f, n))->status;
}

static void assert_counts(const struct kt_campaign *c, const char *expected)
{
	char text[256] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++) {
		if (c->count[i] > 0)
			(void)fprintf(out, "%s%s=%zu", ftell(out) > 0 ? " " : "",
				      kt_member_status_name((enum kt_member_status)i), c->count[i]);
	}
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
}

static void ticks(struct fake *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		fake_tick(f);
		fake_forget(f);
	}
}

/* --- what a hub does --- */

static void commit(struct fake *f, unsigned n)
{
	struct kt_message *m = fake_message(f, AGENTS + n, KT_MESSAGE_CSR);
	const unsigned generation = hub(f, n)->current->generation + 1;
	char client[32];
	char cert[96];
	char key[32];

	(void)snprintf(client, sizeof(client), "hub-%02u:trial", n);
	(void)snprintf(key, sizeof(key), "key %u of %u", generation, n);
	hub_cert(n, generation, cert);
	m->u.csr.op = hub(f, n)->op;
	m->u.csr.nonce = hub(f, n)->op_nonce;
	fake_say(f, AGENTS + n, m, key);
	fake_issue(f, cert);
	(void)fake_hello(f, TRIALS + n, client, cert);
	m = fake_message(f, TRIALS + n, KT_MESSAGE_CONFIRM);
	m->u.confirm.op = hub(f, n)->op;
	m->u.confirm.nonce = hub(f, n)->op_nonce;
	m->u.confirm.fp = fake_fingerprint(cert);
	fake_say(f, TRIALS + n, m, NULL);
	kt_core_disconnect(f->core, f->now, TRIALS + n);
	fake_tick(f);
	connect(f, n);
}

static void say_failed(struct fake *f, unsigned n)
{
	struct kt_message *m = fake_message(f, AGENTS + n, KT_MESSAGE_FAILED);

	m->u.failed.op = hub(f, n)->op;
	m->u.failed.reason = KT_REASON_DISK;
	fake_later(f, 10000); /* news of a device are taken as often as that */
	fake_say(f, AGENTS + n, m, NULL);
	fake_forget(f);
}

/* All who are under way now. How many they were. */
static unsigned commit_ordered(struct fake *f, const struct kt_campaign *c)
{
	unsigned count = 0;

	for (unsigned n = 0; n < HUBS; n++) {
		if (status_of(f, c, n) != KT_MEMBER_ORDERED)
			continue;
		commit(f, n);
		count++;
	}
	return count;
}

/* --- canaries and waves --- */

static void canaries_go_first_and_hold(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=10m", "wave=5", "in-flight=3"));
	ticks(f, 50);
	assert_counts(c, "waiting=18 ordered=2");
	assert_int_equal(commit_ordered(f, c), 2);
	assert_counts(c, "waiting=18 done=2");
	ticks(f, 10 * MINUTE_TICKS - 10);
	assert_counts(c, "waiting=18 done=2");
	assert_int_equal(c->wave, 0);
	ticks(f, 20);
	assert_int_equal(c->wave, 1);
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_ADVANCED], 1);
	assert_counts(c, "waiting=15 ordered=3 done=2"); /* in-flight */
	assert_int_equal(commit_ordered(f, c), 5); /* wave: each that ends makes room for another */
	ticks(f, 5);
	assert_int_equal(c->wave, 2);
	assert_counts(c, "waiting=10 ordered=3 done=7");
}

static void a_healthy_one_ends_with_everybody_done(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=10%", "hold=0", "wave=6", "in-flight=4"));
	for (unsigned i = 0; i < 100 && c->state == KT_CAMPAIGN_RUNNING; i++) {
		const size_t before = c->count[KT_MEMBER_DONE];

		ticks(f, 20);
		assert_true(c->count[KT_MEMBER_ORDERED] <= 4);
		(void)commit_ordered(f, c);
		assert_true(c->count[KT_MEMBER_DONE] > before || c->state == KT_CAMPAIGN_ENDED);
	}
	assert_counts(c, "done=20");
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_false(c->is_aborted);
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_ENDED], 1);
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_SETTLED], 0); /* a commit says it */
	for (unsigned n = 0; n < HUBS; n++)
		assert_int_equal(hub(f, n)->current->generation, 2);
}

static void orders_keep_to_the_rate(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=20", "rate=60"));
	ticks(f, 1);
	assert_counts(c, "waiting=19 ordered=1");
	ticks(f, 45);
	assert_counts(c, "waiting=15 ordered=5"); /* one a second, and none saved up */
	fake_later(f, 300000);
	ticks(f, 1);
	assert_in_range(c->count[KT_MEMBER_ORDERED], 6, 7);
}

/* --- limits --- */

static void a_canary_that_fails_ends_it(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=0", "retries=0", "failures=10%"));
	ticks(f, 5);
	say_failed(f, 0);
	commit(f, 1);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_FAILED);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_DISK);
	assert_counts(c, "done=1 failed=1 left=18");
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_true(c->is_aborted);
	assert_string_equal(c->why, "failed: 1 of 2, at most 10% may be");
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_ABORTED], 1);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_IDLE); /* its op is called off */
}

static void a_share_needs_its_sample(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=1", "hold=0", "wave=100%", "retries=0", "failures=30%",
			   "sample=10"));
	ticks(f, 5);
	commit(f, 0);
	ticks(f, 20);
	assert_counts(c, "ordered=19 done=1");
	for (unsigned n = 1; n <= 4; n++)
		say_failed(f, n);
	for (unsigned n = 5; n <= 8; n++)
		commit(f, n);
	ticks(f, 5);
	assert_int_equal(c->state, KT_CAMPAIGN_RUNNING); /* 4 of 9 */
	commit(f, 9);
	ticks(f, 5);
	assert_true(c->is_aborted); /* 4 of 10 */
	assert_string_equal(c->why, "failed: 4 of 10, at most 30% may be");
	assert_int_equal(c->state, KT_CAMPAIGN_ABORTED);
	assert_counts(c, "ordered=10 done=6 failed=4"); /* who is under way may finish */
	assert_int_equal(commit_ordered(f, c), 10);
	ticks(f, 5);
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_counts(c, "done=16 failed=4");
}

static void silence_has_a_limit_of_its_own(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=4", "hold=0", "deadline=30s", "retries=0", "silence=20%"));
	ticks(f, 5);
	for (unsigned n = 1; n < 4; n++)
		commit(f, n);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_OPEN);
	ticks(f, 310);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_SILENT);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_IDLE);
	assert_string_equal(c->why, "silent: 1 of 4, at most 20% may be");
	assert_counts(c, "done=3 silent=1 left=16");
}

static void who_failed_is_tried_again_a_minute_later(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;
	uint64_t first;

	connect_all(f);
	c = begin(f, WORDS("canary=1", "hold=0", "retries=1"));
	ticks(f, 5);
	first = hub(f, 0)->op;
	say_failed(f, 0);
	ticks(f, MINUTE_TICKS - 10);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_ORDERED);
	assert_int_equal(hub(f, 0)->op, first);
	ticks(f, 20);
	assert_true(hub(f, 0)->op > first);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 2);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_NONE);
	say_failed(f, 0);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_FAILED); /* two orders, and no third */
	assert_true(c->is_aborted);
}

/* Else a device that failed early would be lost to the rate. */
static void a_retry_waits_for_its_place_in_the_rate(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "retries=1", "rate=1"));
	ticks(f, MINUTE_TICKS + 10);
	assert_counts(c, "waiting=18 ordered=2"); /* each has taken a minute's worth */
	say_failed(f, 0);
	c->run.orders_left = -60 * 60000; /* of others, as it were */
	ticks(f, MINUTE_TICKS + 100);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_ORDERED);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 1);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_DISK);
	c->run.orders_left = 0;
	ticks(f, MINUTE_TICKS + 10);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 2);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_NONE);
}

/* The same of the fleet's ceiling. */
static void a_retry_waits_for_its_place_under_the_ceiling(void **state)
{
	struct fake *f = *state;
	struct kt_policies policies;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "retries=1"));
	ticks(f, 5);
	say_failed(f, 0);
	memset(&policies, 0, sizeof(policies));
	policies.rotations_per_minute = 1;
	kt_core_set_policies(f->core, f->now, &policies);
	ticks(f, MINUTE_TICKS - 10);
	assert_true(kt_core_may_order(f->core)); /* the one of this minute */
	ticks(f, 60);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_ORDERED);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 1);
	ticks(f, MINUTE_TICKS);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 2);
}

static void who_left_under_way_is_silent_at_his_deadline(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=1", "deadline=60s", "retries=9", "silence=100%"));
	ticks(f, 5);
	leave(f, 0);
	ticks(f, 590);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_OPEN);
	ticks(f, 30);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_SILENT);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_IDLE); /* nobody waits for it any more */
}

/* --- who is offline --- */

static void who_is_offline_holds_nobody_up(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	for (unsigned n = 10; n < HUBS; n++)
		connect(f, n);
	c = begin(f, WORDS("canary=2", "hold=0", "wave=100%"));
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 10), KT_MEMBER_ORDERED);
	assert_int_equal(status_of(f, c, 11), KT_MEMBER_ORDERED);
	assert_int_equal(commit_ordered(f, c), 2);
	ticks(f, 5);
	assert_int_equal(commit_ordered(f, c), 8);
	ticks(f, 5);
	assert_counts(c, "waiting=10 done=10");
	connect(f, 3);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 3), KT_MEMBER_ORDERED);
	commit(f, 3);
	assert_counts(c, "waiting=9 done=11");
}

static void who_never_comes_is_missed(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect(f, 0);
	c = begin(f, WORDS("canary=1", "hold=0", "until=10m", "silence=0%"));
	ticks(f, 5);
	commit(f, 0);
	ticks(f, 10 * MINUTE_TICKS + 10);
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_counts(c, "done=1 missed=19");
	assert_false(c->is_aborted);
}

/* --- a device that others do something to --- */

static void an_end_by_others_is_skipped_and_counts_nowhere(void **state)
{
	struct fake *f = *state;
	const struct kt_revoke_order order = {.emergency = true, .note = ""};
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=3", "hold=0", "failures=0%", "silence=0%"));
	ticks(f, 5);
	assert_int_equal(kt_device_revoke(f->core, hub(f, 0), "op:ann", &order).reason,
			 KT_REASON_NONE);
	assert_int_equal(kt_device_delete(f->core, hub(f, 1), "op:ann").reason, KT_REASON_NONE);
	assert_int_equal(kt_rotation_cancel(f->core, hub(f, 2), "op:ann").reason, KT_REASON_NONE);
	assert_int_equal(kt_device_revoke(f->core, hub(f, 9), "op:ann", &order).reason,
			 KT_REASON_NONE);
	ticks(f, 5);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_REVOKED);
	assert_int_equal(kt_campaign_find(c, hub(f, 1))->reason, KT_REASON_DELETED);
	assert_int_equal(kt_campaign_find(c, hub(f, 2))->reason, KT_REASON_OP_CLOSED);
	assert_int_equal(status_of(f, c, 9), KT_MEMBER_SKIPPED);
	assert_int_equal(c->count[KT_MEMBER_SKIPPED], 4);
	assert_int_equal(c->state, KT_CAMPAIGN_RUNNING);
}

static void an_order_of_somebody_else_serves_it_too(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;
	uint64_t op;

	connect_all(f);
	c = begin(f, WORDS("canary=1", "hold=0"));
	ticks(f, 5);
	op = kt_rotation_order(f->core, hub(f, 0), "op:bob", NULL).op;
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->op, op);
	commit(f, 0);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_DONE);
	(void)kt_rotation_order(f->core, hub(f, 7), "op:bob", NULL);
	fake_durable(f);
	fake_seal_all(f);
	commit(f, 7);
	assert_int_equal(status_of(f, c, 7), KT_MEMBER_DONE); /* before its turn */
	assert_int_equal(kt_campaign_find(c, hub(f, 7))->tries, 0);
}

static void two_campaigns_over_one_device_are_one_rotation(void **state)
{
	static const unsigned all[] = {0, HUBS - 1};
	static const unsigned some[] = {0, 4};
	struct fake *f = *state;
	struct kt_campaign *one;
	struct kt_campaign *other;

	connect_all(f);
	one = begin_over(f, "one", KT_CAMPAIGN_ROTATE, WORDS("canary=2"), all);
	other = begin_over(f, "other", KT_CAMPAIGN_ROTATE, WORDS("canary=3"), some);
	ticks(f, 5);
	assert_counts(one, "waiting=18 ordered=2");
	assert_counts(other, "waiting=2 ordered=3"); /* others than those under way already */
	for (unsigned n = 0; n < 5; n++)
		commit(f, n);
	assert_counts(other, "done=5");
	assert_counts(one, "waiting=15 done=5");
	for (unsigned n = 0; n < 5; n++)
		assert_int_equal(hub(f, n)->current->generation, 2);
}

static void a_frozen_device_is_skipped_and_one_that_freezes_failed(void **state)
{
	struct fake *f = *state;
	struct kt_record freeze;
	enum kt_reason reason;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=1", "hold=0", "failures=100%"));
	ticks(f, 5);
	memset(&freeze, 0, sizeof(freeze));
	freeze.kind = KT_RECORD_FREEZE;
	freeze.device = hub(f, 0)->id;
	freeze.op = hub(f, 0)->op;
	assert_int_equal(kt_core_change(f->core, &freeze, "keyturn", &reason), KT_ERR_OK);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_FAILED);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->reason, KT_REASON_KEY_SECOND);
	(void)kt_rotation_order(f->core, hub(f, 1), "op:bob", NULL);
	freeze.device = hub(f, 1)->id;
	freeze.op = hub(f, 1)->op;
	freeze.seq = 0;
	assert_int_equal(kt_core_change(f->core, &freeze, "keyturn", &reason), KT_ERR_OK);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 1), KT_MEMBER_SKIPPED);
	assert_int_equal(kt_campaign_find(c, hub(f, 1))->reason, KT_REASON_FROZEN);
}

/* --- what operators do --- */

static void paused_it_orders_nobody_and_resumed_it_goes_on(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=0"));
	ticks(f, 5);
	assert_int_equal(kt_campaign_resume(f->core, c, "op:ann", "").reason, KT_REASON_STATE);
	assert_int_equal(kt_campaign_pause(f->core, c, "op:ann", "storm").reason, KT_REASON_NONE);
	assert_int_equal(kt_campaign_pause(f->core, c, "op:ann", "").reason, KT_REASON_STATE);
	assert_string_equal(c->why, "storm");
	assert_int_equal(commit_ordered(f, c), 2); /* who is under way may finish */
	ticks(f, 50);
	assert_counts(c, "waiting=18 done=2");
	assert_int_equal(kt_campaign_resume(f->core, c, "op:ann", "").reason, KT_REASON_NONE);
	assert_string_equal(c->why, "");
	ticks(f, 50);
	assert_counts(c, "waiting=13 ordered=5 done=2");
}

/* Who has another try has it when the pause is over. */
static void a_retry_waits_for_the_end_of_a_pause(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "retries=1"));
	ticks(f, 5);
	say_failed(f, 0);
	ticks(f, 5);
	assert_int_equal(kt_campaign_pause(f->core, c, "op:ann", "").reason, KT_REASON_NONE);
	say_failed(f, 1);
	ticks(f, 2 * MINUTE_TICKS);
	assert_counts(c, "waiting=18 ordered=2");
	assert_int_equal(kt_campaign_resume(f->core, c, "op:ann", "").reason, KT_REASON_NONE);
	ticks(f, 20);
	assert_int_equal(kt_campaign_find(c, hub(f, 0))->tries, 2);
	assert_int_equal(kt_campaign_find(c, hub(f, 1))->tries, 2);
}

static void aborted_it_is_for_good(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=0"));
	ticks(f, 5);
	assert_int_equal(kt_campaign_abort(f->core, c, "op:ann", "wrong").reason, KT_REASON_NONE);
	assert_counts(c, "ordered=2 left=18");
	assert_int_equal(kt_campaign_resume(f->core, c, "op:ann", "").reason, KT_REASON_STATE);
	assert_int_equal(kt_campaign_abort(f->core, c, "op:ann", "").reason, KT_REASON_STATE);
	ticks(f, 50);
	assert_int_equal(c->state, KT_CAMPAIGN_ABORTED);
	assert_int_equal(commit_ordered(f, c), 2);
	ticks(f, 5);
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_counts(c, "done=2 left=18");
	assert_int_equal(kt_campaign_abort(f->core, c, "op:ann", "").reason, KT_REASON_STATE);
}

/* Whose turn would come again is left, and nobody is waited for. */
static void aborted_it_waits_for_nobody_who_lost_his_order(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin_over(f, "prove", KT_CAMPAIGN_CHALLENGE, WORDS("canary=2"),
		       (const unsigned[]){0, 4});
	ticks(f, 5);
	assert_int_equal(kt_campaign_abort(f->core, c, "op:ann", "wrong").reason, KT_REASON_NONE);
	assert_counts(c, "ordered=2 left=3");
	leave(f, 0);
	ticks(f, 5);
	assert_counts(c, "ordered=1 left=4");
	assert_int_equal(c->state, KT_CAMPAIGN_ABORTED);
	leave(f, 1);
	ticks(f, 5);
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_counts(c, "left=5");
}

static void a_name_is_taken_and_eight_run_at_once(void **state)
{
	static const unsigned one[] = {0, 0};
	struct fake *f = *state;
	struct kt_plan plan;
	struct kt_device_id name = {"c0"};
	const struct kt_new_campaign fresh = {
		.name = &name, .plan = &plan, .select = "all", .note = ""};

	kt_plan_preset(&plan, KT_CAMPAIGN_ROTATE);
	for (unsigned i = 0; i < KT_CAMPAIGNS_RUNNING_MAX; i++) {
		char text[8];

		(void)snprintf(text, sizeof(text), "c%u", i);
		(void)begin_over(f, text, KT_CAMPAIGN_ROTATE, WORDS("canary=1"), one);
	}
	assert_int_equal(kt_campaign_begin(f->core, &fresh, "op:ann").reason, KT_REASON_EXISTS);
	name.s[1] = '9';
	assert_int_equal(kt_campaign_begin(f->core, &fresh, "op:ann").reason, KT_REASON_BUSY);
}

static void one_that_was_broken_off_is_aborted(void **state)
{
	struct fake *f = *state;
	struct kt_plan plan;
	const struct kt_device_id name = {"half"};
	const struct kt_new_campaign fresh = {
		.name = &name, .plan = &plan, .select = "all", .note = ""};

	connect_all(f);
	kt_plan_preset(&plan, KT_CAMPAIGN_ROTATE);
	(void)kt_campaign_begin(f->core, &fresh, "op:ann");
	(void)kt_campaign_add(f->core, campaign(f, "half"), "hub-00 hub-01", "op:ann");
	ticks(f, 2); /* no command is at it: the broker was started anew */
	assert_true(campaign(f, "half")->is_aborted);
	assert_counts(campaign(f, "half"), "left=2");
	assert_string_equal(campaign(f, "half")->why, "broken off before it was started");
	assert_int_equal(campaign(f, "half")->state, KT_CAMPAIGN_ENDED);
	assert_int_equal(hub(f, 0)->phase, KT_SERVER_IDLE);
}

/* --- clock, ledger, restart --- */

static void a_clock_that_jumps_ends_nothing(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=10m", "deadline=1h", "until=7d"));
	ticks(f, 5);
	f->now.wall_us += INT64_C(12) * 3600 * 1000000;
	ticks(f, 5);
	assert_counts(c, "waiting=18 ordered=2");
	assert_int_equal(commit_ordered(f, c), 2);
	ticks(f, 5);
	f->now.wall_us += INT64_C(30) * 86400 * 1000000;
	ticks(f, 5);
	assert_counts(c, "waiting=18 done=2");
	assert_int_equal(c->wave, 0); /* they hold still */
	assert_int_equal(c->state, KT_CAMPAIGN_RUNNING);
}

static void without_a_ledger_nobody_is_ordered(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=5", "hold=0"));
	fake_fail(f);
	ticks(f, 50);
	assert_counts(c, "waiting=20");
}

/* What the core alone knows is gone; what is under way has its whole time once more. */
static void a_restart_goes_on_where_the_records_end(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin(f, WORDS("canary=2", "hold=10m", "deadline=60s", "retries=0"));
	ticks(f, 5);
	commit(f, 0);
	ticks(f, 500);
	memset(&c->run, 0, sizeof(c->run));
	for (size_t i = 0; i < c->member_count; i++)
		kt_campaign_member(c, i)->due_ms = 0;
	ticks(f, 500);
	assert_int_equal(status_of(f, c, 1), KT_MEMBER_ORDERED);
	commit(f, 1);
	ticks(f, 5);
	memset(&c->run, 0, sizeof(c->run));
	ticks(f, 10 * MINUTE_TICKS - 20);
	assert_int_equal(c->wave, 0);
	ticks(f, 40);
	assert_int_equal(c->wave, 1);
}

/* --- challenges --- */

static void answer(struct fake *f, unsigned n)
{
	struct kt_message *m = fake_message(f, AGENTS + n, KT_MESSAGE_ANSWER);
	char cert[96];

	hub_cert(n, 1, cert);
	m->u.answer.nonce = fake_session(f, AGENTS + n)->challenge;
	m->u.answer.fp = fake_fingerprint(cert);
	m->u.answer.report.generation = 1;
	fake_say(f, AGENTS + n, m, NULL);
	fake_forget(f);
}

static void challenges_are_a_campaign_too(void **state)
{
	static const unsigned some[] = {0, 4};
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin_over(f, "prove", KT_CAMPAIGN_CHALLENGE,
		       WORDS("canary=2", "hold=0", "wave=3", "retries=0", "silence=100%"), some);
	ticks(f, 5);
	assert_counts(c, "waiting=3 ordered=2");
	answer(f, 0);
	answer(f, 1);
	ticks(f, 5);
	assert_counts(c, "ordered=3 done=2");
	answer(f, 2);
	leave(f, 3);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 3), KT_MEMBER_WAITING); /* its turn comes again */
	connect(f, 3);
	ticks(f, 5);
	assert_int_equal(status_of(f, c, 3), KT_MEMBER_ORDERED);
	answer(f, 3);
	ticks(f, 620);
	assert_int_equal(status_of(f, c, 4), KT_MEMBER_SILENT);
	assert_int_equal(kt_campaign_find(c, hub(f, 4))->reason, KT_REASON_CHALLENGE_TIMEOUT);
	assert_counts(c, "done=4 silent=1");
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	for (unsigned n = 0; n < HUBS; n++)
		assert_int_equal(hub(f, n)->phase, KT_SERVER_IDLE);
}

/* Gone and back between two looks: nobody would ever answer the old question. */
static void a_challenge_that_went_with_its_session_is_made_again(void **state)
{
	static const unsigned some[] = {0, 1};
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin_over(f, "prove", KT_CAMPAIGN_CHALLENGE, WORDS("canary=2", "retries=0"), some);
	ticks(f, 5);
	assert_counts(c, "ordered=2");
	connect(f, 0);
	assert_false(fake_session(f, AGENTS)->has_challenge);
	ticks(f, 5);
	assert_true(fake_session(f, AGENTS)->has_challenge);
	answer(f, 0);
	assert_int_equal(status_of(f, c, 0), KT_MEMBER_DONE);
	for (unsigned i = 0; i < 600; i++) { /* it may come and go as often as it likes */
		connect(f, 1);
		ticks(f, 2);
	}
	assert_int_equal(kt_campaign_find(c, hub(f, 1))->tries, UINT8_MAX);
	answer(f, 1);
	assert_counts(c, "done=2");
}

/* No record tells of an order to answer, so that no fold refuses it. */
static void paused_it_challenges_nobody(void **state)
{
	struct fake *f = *state;
	struct kt_campaign *c;

	connect_all(f);
	c = begin_over(f, "prove", KT_CAMPAIGN_CHALLENGE, WORDS("canary=5", "hold=0"),
		       (const unsigned[]){0, 4});
	assert_int_equal(kt_campaign_pause(f->core, c, "op:ann", "").reason, KT_REASON_NONE);
	ticks(f, 50);
	assert_counts(c, "waiting=5");
	assert_int_equal(kt_campaign_resume(f->core, c, "op:ann", "").reason, KT_REASON_NONE);
	ticks(f, 20);
	assert_counts(c, "ordered=5");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(canaries_go_first_and_hold),
		T(a_healthy_one_ends_with_everybody_done),
		T(orders_keep_to_the_rate),
		T(a_canary_that_fails_ends_it),
		T(a_share_needs_its_sample),
		T(silence_has_a_limit_of_its_own),
		T(who_failed_is_tried_again_a_minute_later),
		T(a_retry_waits_for_its_place_in_the_rate),
		T(a_retry_waits_for_its_place_under_the_ceiling),
		T(who_left_under_way_is_silent_at_his_deadline),
		T(a_challenge_that_went_with_its_session_is_made_again),
		T(who_is_offline_holds_nobody_up),
		T(who_never_comes_is_missed),
		T(an_end_by_others_is_skipped_and_counts_nowhere),
		T(an_order_of_somebody_else_serves_it_too),
		T(two_campaigns_over_one_device_are_one_rotation),
		T(a_frozen_device_is_skipped_and_one_that_freezes_failed),
		T(paused_it_orders_nobody_and_resumed_it_goes_on),
		T(a_retry_waits_for_the_end_of_a_pause),
		T(aborted_it_is_for_good),
		T(aborted_it_waits_for_nobody_who_lost_his_order),
		T(a_name_is_taken_and_eight_run_at_once),
		T(one_that_was_broken_off_is_aborted),
		T(a_clock_that_jumps_ends_nothing),
		T(without_a_ledger_nobody_is_ordered),
		T(a_restart_goes_on_where_the_records_end),
		T(challenges_are_a_campaign_too),
		T(paused_it_challenges_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
