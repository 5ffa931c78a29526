/* The fold of campaigns, record by record; whom to order: test_campaign.c. */
#include "campaigns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record_fields.h"
#include "records.h"
#include "registry_dump.h"

enum { HUBS = 5 }; /* "hub-1" and on; each has the op and the credential of its number */

static int setup(void **state)
{
	struct kt_registry *r = registry_begun();

	for (uint32_t n = 1; n <= HUBS; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		take_enrolled(r, id, n);
	}
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	registry_audit(*state);
	kt_registry_free(*state);
	return 0;
}

/* --- short ways --- */

static struct kt_record of(const struct kt_registry *r, const char *campaign,
			   enum kt_record_kind kind, const char *device, uint32_t n)
{
	struct kt_record rec = record_for(r, kind, device, n);

	assert_true(kt_device_id_set(&rec.campaign, campaign, strlen(campaign)));
	return rec;
}

static void tell(struct kt_registry *r, const char *campaign, enum kt_record_kind kind)
{
	struct kt_record rec = of(r, campaign, kind, NULL, 0);

	take(r, &rec);
}

static void begin(struct kt_registry *r, const char *campaign, enum kt_campaign_action action)
{
	struct kt_record rec = of(r, campaign, KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);

	kt_plan_preset(&rec.plan, action);
	take(r, &rec);
}

static void add(struct kt_registry *r, const char *campaign, const char *devices)
{
	struct kt_record rec = of(r, campaign, KT_RECORD_CAMPAIGN_ADD, NULL, 0);

	rec.text = devices;
	take(r, &rec);
}

static struct kt_campaign *run(struct kt_registry *r, const char *campaign,
			       enum kt_campaign_action action, const char *devices)
{
	begin(r, campaign, action);
	add(r, campaign, devices);
	tell(r, campaign, KT_RECORD_CAMPAIGN_START);
	return kt_registry_find_campaign(r, campaign);
}

static void order(struct kt_registry *r, const char *campaign, const char *device, uint32_t op)
{
	struct kt_record rec = of(r, campaign, KT_RECORD_OP_OPEN, device, op);

	take(r, &rec);
}

static void settle(struct kt_registry *r, const char *campaign, const char *device,
		   enum kt_member_status result, enum kt_reason reason)
{
	struct kt_record rec = of(r, campaign, KT_RECORD_CAMPAIGN_DEVICE, device, 0);

	rec.result = result;
	rec.reason = reason;
	take(r, &rec);
}

static void refuses(struct kt_registry *r, const struct kt_record *rec)
{
	char *before = registry_dump(r);
	char *after;

	if (kt_registry_check(r, rec) != KT_ERR_STATE)
		fail_msg("%s is taken", kt_record_kind_name(rec->kind));
	assert_int_equal(kt_registry_apply(r, rec), KT_ERR_STATE);
	after = registry_dump(r);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static const struct kt_member *member(const struct kt_registry *r, const char *campaign,
				      const char *device)
{
	const struct kt_device *d = kt_registry_find_device(r, device);
	const struct kt_member *m = NULL;

	assert_non_null(d);
	m = kt_campaign_find(kt_registry_find_campaign(r, campaign), d);
	assert_non_null(m);
	return m;
}

/* "done none op=7 tries=1" */
static void assert_is(const struct kt_registry *r, const char *campaign, const char *device,
		      const char *expected)
{
	const struct kt_member *m = member(r, campaign, device);
	char text[96];

	(void)snprintf(text, sizeof(text), "%s %s op=%u tries=%u",
		       kt_member_status_name((enum kt_member_status)m->status),
		       kt_reason_name((enum kt_reason)m->reason), (unsigned)m->op, m->tries);
	assert_string_equal(text, expected);
}

static void assert_counts(const struct kt_campaign *c, const char *expected)
{
	char text[256] = "";
	size_t len = 0;

	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++) {
		if (c->count[i] > 0)
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%s=%zu", len > 0 ? " " : "",
				kt_member_status_name((enum kt_member_status)i), c->count[i]);
	}
	assert_string_equal(text, expected);
}

/* --- what may follow what --- */

/* Over hub-1 and hub-2, of which hub-1 may be under way. */
static void make_state(struct kt_registry *r, const char *state)
{
	const bool is_ordered = strchr(state, '+') != NULL;

	if (strcmp(state, "nothing") == 0)
		return;
	begin(r, "roll", KT_CAMPAIGN_ROTATE);
	if (strcmp(state, "empty") == 0)
		return;
	add(r, "roll", "hub-1 hub-2");
	if (strcmp(state, "gathering") == 0)
		return;
	tell(r, "roll", KT_RECORD_CAMPAIGN_START);
	if (is_ordered)
		order(r, "roll", "hub-1", 10);
	if (strncmp(state, "paused", 6) == 0)
		tell(r, "roll", KT_RECORD_CAMPAIGN_PAUSE);
	if (strncmp(state, "aborted", 7) == 0)
		tell(r, "roll", KT_RECORD_CAMPAIGN_ABORT);
	if (strcmp(state, "ended") == 0)
		tell(r, "roll", KT_RECORD_CAMPAIGN_END);
}

static void each_record_fits_some_states_and_no_others(void **state)
{
	static const enum kt_record_kind kinds[] = {
		KT_RECORD_CAMPAIGN_BEGIN, KT_RECORD_CAMPAIGN_ADD,    KT_RECORD_CAMPAIGN_START,
		KT_RECORD_CAMPAIGN_WAVE,  KT_RECORD_CAMPAIGN_PAUSE,  KT_RECORD_CAMPAIGN_RESUME,
		KT_RECORD_CAMPAIGN_ABORT, KT_RECORD_CAMPAIGN_DEVICE, KT_RECORD_CAMPAIGN_END,
		KT_RECORD_OP_OPEN,
	};
	static const struct {
		const char *state;
		const char *taken; /* of the kinds above */
	} cases[] = {
		/*            B a s w p r x d e o */
		{"nothing", "1 0 0 0 0 0 0 0 0 0"},   {"empty", "0 1 0 0 0 0 1 0 0 0"},
		{"gathering", "0 1 1 0 0 0 1 1 0 0"}, {"running", "0 0 0 1 1 0 1 1 1 1"},
		{"running+", "0 0 0 0 1 0 1 1 0 1"},  {"paused", "0 0 0 0 0 1 1 1 0 0"},
		{"paused+", "0 0 0 0 0 1 1 1 0 0"},   {"aborted", "0 0 0 0 0 0 0 0 1 0"},
		{"aborted+", "0 0 0 0 0 0 0 1 0 0"},  {"ended", "0 0 0 0 0 0 0 0 0 0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			struct kt_registry *r = NULL;
			const bool is_taken = cases[i].taken[2 * k] == '1';
			struct kt_record rec;

			(void)setup((void **)&r);
			make_state(r, cases[i].state);
			rec = of(r, "roll", kinds[k],
				 kinds[k] == KT_RECORD_CAMPAIGN_DEVICE ||
						 kinds[k] == KT_RECORD_OP_OPEN
					 ? "hub-1"
					 : NULL,
				 20);
			if (rec.text != NULL && kinds[k] == KT_RECORD_CAMPAIGN_ADD)
				rec.text = "hub-3";
			if ((kt_registry_check(r, &rec) == KT_ERR_OK) != is_taken)
				fail_msg("%s: %s", cases[i].state, kt_record_kind_name(kinds[k]));
			if (is_taken)
				take(r, &rec);
			else
				refuses(r, &rec);
			(void)teardown((void **)&r);
		}
	}
}

static void a_record_of_no_such_campaign_is_refused(void **state)
{
	struct kt_registry *r = *state;

	(void)run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1");
	for (unsigned kind = KT_RECORD_CAMPAIGN_ADD; kind <= KT_RECORD_CAMPAIGN_END; kind++) {
		struct kt_record rec = of(r, "Roll", (enum kt_record_kind)kind,
					  kind == KT_RECORD_CAMPAIGN_DEVICE ? "hub-1" : NULL, 0);

		refuses(r, &rec);
	}
	{
		struct kt_record rec = of(r, "Roll", KT_RECORD_OP_OPEN, "hub-1", 20);

		refuses(r, &rec);
	}
}

static void a_record_makes_what_the_campaign_is(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec = of(r, "spring", KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);
	const char *why;
	const struct kt_campaign *c;

	rec.text = "group=west label=a";
	memcpy(rec.note, "new roots", sizeof("new roots"));
	kt_plan_preset(&rec.plan, KT_CAMPAIGN_CHALLENGE);
	assert_true(kt_plan_take(&rec.plan, "wave=7", &why));
	take(r, &rec);
	c = kt_registry_campaign(r, 0);
	assert_ptr_equal(kt_registry_find_campaign(r, "spring"), c);
	assert_null(kt_registry_campaign(r, 1));
	assert_null(kt_registry_find_campaign(r, "sprin"));
	assert_string_equal(c->name.s, "spring");
	assert_string_equal(c->select, "group=west label=a");
	assert_string_equal(c->note, "new roots");
	assert_string_equal(c->by, "op:test");
	assert_string_equal(c->why, "");
	assert_int_equal(c->plan.action, KT_CAMPAIGN_CHALLENGE);
	assert_int_equal(c->plan.of[KT_PLAN_WAVE], 7);
	assert_int_equal(c->state, KT_CAMPAIGN_GATHERING);
	assert_int_equal(c->began_us, rec.time_us);
	assert_int_equal(c->ended_us, 0);
	assert_false(c->is_aborted);
	assert_int_equal(c->member_count, 0);
	assert_counts(c, "");
}

static void a_state_has_a_name(void **state)
{
	static const char *const names[] = {"gathering", "running", "paused", "aborted", "ended"};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(kt_campaign_state_name((enum kt_campaign_state)i), names[i]);
	assert_string_equal(kt_campaign_state_name((enum kt_campaign_state)5), "?");
}

/* --- whom it means --- */

static void members_come_known_in_order_and_once(void **state)
{
	static const char *const bad[] = {
		"hub-2",	     /* is in it */
		"hub-1",	     /* before the last that is in it */
		"hub-4 hub-3",	     /* not in order */
		"hub-3 hub-3",	     /* twice */
		"hub-3 hub-4 hub-4", /* twice, at the end */
		"hub-4 hub-5 hub-3", /* not in order, at the end */
		"hub-9",	     /* not known */
		"hub-3 hub-9",	     /* not known, at the end */
		"HUB-3",	     /* in another case */
		" hub-3",	     /* no id at the start */
		"hub-3  hub-4",	     /* no id in between */
	};
	struct kt_registry *r = *state;
	const struct kt_campaign *c;

	begin(r, "roll", KT_CAMPAIGN_ROTATE);
	add(r, "roll", "hub-2");
	c = kt_registry_find_campaign(r, "roll");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kt_record rec = of(r, "roll", KT_RECORD_CAMPAIGN_ADD, NULL, 0);

		rec.text = bad[i];
		if (kt_registry_check(r, &rec) == KT_ERR_OK)
			fail_msg("taken: \"%s\"", bad[i]);
		refuses(r, &rec);
	}
	assert_counts(c, "waiting=1");
	add(r, "roll", "hub-3 hub-5");
	assert_counts(c, "waiting=3");
	assert_int_equal(c->member_count, 3);
	assert_null(kt_campaign_find(c, kt_registry_find_device(r, "hub-1")));
	assert_null(kt_campaign_find(c, kt_registry_find_device(r, "hub-4")));
	assert_is(r, "roll", "hub-5", "waiting none op=0 tries=0");
	assert_int_equal(member(r, "roll", "hub-3")->since_us, kt_registry_time_us(r));
	assert_string_equal(kt_member_device(r, member(r, "roll", "hub-3"))->id.s, "hub-3");
}

static void a_record_adds_128_and_not_one_more(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;
	char text[KT_RECORD_DEVICES_MAX * 8 + 16];
	size_t len = 0;
	const struct kt_campaign *c;

	for (unsigned n = 100; n < 100 + 2 * KT_RECORD_DEVICES_MAX; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		take_enrolled(r, id, n);
		if (n < 100 + KT_RECORD_DEVICES_MAX)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						len > 0 ? " " : "", id);
	}
	begin(r, "roll", KT_CAMPAIGN_ROTATE);
	c = kt_registry_find_campaign(r, "roll");
	(void)snprintf(text + len, sizeof(text) - len, " hub-228");
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_ADD, NULL, 0);
	rec.text = text;
	assert_false(kt_record_is_valid(&rec)); /* no ledger takes it, or has it */
	text[len] = '\0';
	assert_true(kt_record_is_valid(&rec));
	take(r, &rec);
	assert_int_equal(c->count[KT_MEMBER_WAITING], 128);
	add(r, "roll", "hub-228 hub-355");
	assert_int_equal(c->count[KT_MEMBER_WAITING], 130);
	for (unsigned n = 100; n < 100 + 2 * KT_RECORD_DEVICES_MAX; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		assert_int_equal(kt_campaign_find(c, kt_registry_find_device(r, id)) != NULL,
				 n <= 228 || n == 355);
	}
}

static void nobody_is_ordered_who_is_not_meant(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;

	(void)run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");
	rec = of(r, "roll", KT_RECORD_OP_OPEN, "hub-3", 20);
	refuses(r, &rec);
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_DEVICE, "hub-3", 20);
	refuses(r, &rec);
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_DEVICE, "hub-9", 20);
	refuses(r, &rec);
	settle(r, "roll", "hub-1", KT_MEMBER_SKIPPED, KT_REASON_STATE);
	rec = of(r, "roll", KT_RECORD_OP_OPEN, "hub-1", 20);
	refuses(r, &rec); /* it is at its end */
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_DEVICE, "hub-1", 20);
	refuses(r, &rec);
	(void)run(r, "prove", KT_CAMPAIGN_CHALLENGE, "hub-1 hub-2");
	rec = of(r, "prove", KT_RECORD_OP_OPEN, "hub-2", 20);
	refuses(r, &rec); /* a challenge opens no op */
}

/* --- how many there are --- */

static void a_ninth_is_refused_while_eight_have_not_ended(void **state)
{
	struct kt_registry *r = *state;
	struct kt_record rec;
	char name[8] = "c0";

	for (unsigned i = 0; i < KT_CAMPAIGNS_RUNNING_MAX; i++) {
		name[1] = (char)('0' + i);
		begin(r, name, KT_CAMPAIGN_ROTATE);
	}
	rec = of(r, "ninth", KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);
	refuses(r, &rec);
	add(r, "c1", "hub-1");
	tell(r, "c1", KT_RECORD_CAMPAIGN_START);
	add(r, "c2", "hub-2");
	tell(r, "c2", KT_RECORD_CAMPAIGN_START);
	tell(r, "c2", KT_RECORD_CAMPAIGN_PAUSE);
	tell(r, "c3", KT_RECORD_CAMPAIGN_ABORT);
	rec = of(r, "ninth", KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);
	refuses(r, &rec); /* running, paused and aborted ones are at it still */
	tell(r, "c3", KT_RECORD_CAMPAIGN_END);
	rec = of(r, "c3", KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);
	refuses(r, &rec); /* known still */
	begin(r, "ninth", KT_CAMPAIGN_ROTATE);
	rec = of(r, "tenth", KT_RECORD_CAMPAIGN_BEGIN, NULL, 0);
	refuses(r, &rec);
}

static void end_it(struct kt_registry *r, const char *name)
{
	tell(r, name, KT_RECORD_CAMPAIGN_ABORT);
	tell(r, name, KT_RECORD_CAMPAIGN_END);
}

static void the_oldest_that_ended_makes_room_for_the_33rd(void **state)
{
	struct kt_registry *r = *state;
	char name[8];

	for (unsigned i = 0; i < KT_CAMPAIGNS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "c%u", i);
		begin(r, name, KT_CAMPAIGN_ROTATE);
		if (i > 0) /* the oldest is at it still */
			end_it(r, name);
	}
	assert_non_null(kt_registry_campaign(r, 31));
	assert_non_null(kt_registry_find_campaign(r, "c1"));
	begin(r, "d0", KT_CAMPAIGN_ROTATE);
	assert_null(kt_registry_find_campaign(r, "c1"));
	assert_string_equal(kt_registry_campaign(r, 0)->name.s, "c0");
	assert_string_equal(kt_registry_campaign(r, 1)->name.s, "c2");
	assert_string_equal(kt_registry_campaign(r, 30)->name.s, "c31");
	assert_string_equal(kt_registry_campaign(r, 31)->name.s, "d0");
	assert_null(kt_registry_campaign(r, 32));
	begin(r, "c1", KT_CAMPAIGN_CHALLENGE); /* its name is free again */
	assert_null(kt_registry_find_campaign(r, "c2"));
	assert_int_equal(kt_registry_find_campaign(r, "c1")->plan.action, KT_CAMPAIGN_CHALLENGE);
	end_it(r, "c0");
	begin(r, "d2", KT_CAMPAIGN_ROTATE);
	assert_null(kt_registry_find_campaign(r, "c0"));
	assert_non_null(kt_registry_find_campaign(r, "c3"));
}

/* --- what becomes of its devices --- */

static void an_order_is_of_its_op_to_its_end(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");

	order(r, "roll", "hub-1", 10);
	assert_is(r, "roll", "hub-1", "ordered none op=10 tries=1");
	assert_int_equal(member(r, "roll", "hub-1")->since_us, kt_registry_time_us(r));
	assert_is(r, "roll", "hub-2", "waiting none op=0 tries=0");
	assert_counts(c, "waiting=1 ordered=1");
	take_kind(r, KT_RECORD_ISSUE, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "ordered none op=10 tries=1");
	assert_int_equal(c->wave_done, 0);
	take_kind(r, KT_RECORD_COMMIT, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "done none op=10 tries=1");
	assert_int_equal(member(r, "roll", "hub-1")->since_us, kt_registry_time_us(r));
	assert_counts(c, "waiting=1 done=1");
	assert_int_equal(c->wave_done, 1);
	take_rotated(r, "hub-1", 11);
	assert_is(r, "roll", "hub-1", "done none op=10 tries=1"); /* at its end */
	assert_int_equal(c->wave_done, 1);
}

static void a_commit_by_whatever_order_is_its_end(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2 hub-3");

	take_rotated(r, "hub-1", 10); /* an operator's, before its turn */
	assert_is(r, "roll", "hub-1", "done none op=10 tries=0");
	assert_int_equal(c->wave_done, 0); /* it took no order of the wave */
	order(r, "roll", "hub-2", 11);
	take_kind(r, KT_RECORD_OP_OPEN, "hub-2", 12); /* an operator's, in the place of ours */
	assert_is(r, "roll", "hub-2", "ordered none op=12 tries=1");
	take_kind(r, KT_RECORD_ISSUE, "hub-2", 12);
	take_kind(r, KT_RECORD_COMMIT, "hub-2", 12);
	assert_is(r, "roll", "hub-2", "done none op=12 tries=1");
	assert_int_equal(c->wave_done, 1);
	take_rotated(r, "hub-4", 13); /* not meant */
	assert_counts(c, "waiting=1 done=2");
}

static void another_campaign_serves_it_too(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *one = run(r, "one", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");
	const struct kt_campaign *two = run(r, "two", KT_CAMPAIGN_ROTATE, "hub-1 hub-3");
	const struct kt_campaign *prove = run(r, "prove", KT_CAMPAIGN_CHALLENGE, "hub-1");

	order(r, "one", "hub-1", 10);
	assert_is(r, "two", "hub-1", "waiting none op=0 tries=0");
	order(r, "two", "hub-1", 11);
	assert_is(r, "one", "hub-1", "ordered none op=11 tries=1");
	assert_is(r, "two", "hub-1", "ordered none op=11 tries=1");
	take_kind(r, KT_RECORD_ISSUE, "hub-1", 11);
	take_kind(r, KT_RECORD_COMMIT, "hub-1", 11);
	assert_counts(one, "waiting=1 done=1");
	assert_counts(two, "waiting=1 done=1");
	assert_counts(prove, "waiting=1"); /* a rotation answers no challenge */
}

static void trouble_is_noted_and_ends_nothing(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");
	struct kt_record rec;

	order(r, "roll", "hub-1", 10);
	take_kind(r, KT_RECORD_FAILED, "hub-1", 1); /* of an op before it */
	assert_is(r, "roll", "hub-1", "ordered none op=10 tries=1");
	take_kind(r, KT_RECORD_FAILED, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "ordered disk op=10 tries=1");
	take_kind(r, KT_RECORD_FAILED, "hub-2", 2); /* it waits for its turn */
	assert_is(r, "roll", "hub-2", "waiting none op=0 tries=0");
	order(r, "roll", "hub-1", 11); /* tried again */
	assert_is(r, "roll", "hub-1", "ordered none op=11 tries=2");
	rec = record_for(r, KT_RECORD_OP_CLOSE, "hub-1", 11);
	memcpy(rec.actor, "keyturn", sizeof("keyturn"));
	take(r, &rec); /* its time was over */
	assert_is(r, "roll", "hub-1", "ordered op.closed op=11 tries=2");
	assert_counts(c, "waiting=1 ordered=1");
	assert_int_equal(c->wave_done, 0);
	settle(r, "roll", "hub-1", KT_MEMBER_SILENT, KT_REASON_OP_CLOSED);
	assert_is(r, "roll", "hub-1", "silent op.closed op=11 tries=2");
	assert_int_equal(c->wave_done, 1);
}

static void an_operator_who_cancels_skips_it(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");

	order(r, "roll", "hub-1", 10);
	take_kind(r, KT_RECORD_OP_CLOSE, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "skipped op.closed op=10 tries=1");
	assert_int_equal(c->wave_done, 1);
	take_kind(r, KT_RECORD_OP_OPEN, "hub-2", 11); /* an operator's own, before its turn */
	take_kind(r, KT_RECORD_OP_CLOSE, "hub-2", 11);
	assert_is(r, "roll", "hub-2", "waiting none op=0 tries=0");
	assert_counts(c, "waiting=1 skipped=1");
}

static void a_freeze_fails_whom_it_ordered(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");

	order(r, "roll", "hub-1", 10);
	take_kind(r, KT_RECORD_FREEZE, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "failed key.second op=10 tries=1");
	assert_int_equal(member(r, "roll", "hub-1")->since_us, kt_registry_time_us(r));
	assert_int_equal(c->wave_done, 1);
	take_kind(r, KT_RECORD_OP_OPEN, "hub-2", 11);
	take_kind(r, KT_RECORD_FREEZE, "hub-2", 11);
	assert_is(r, "roll", "hub-2", "waiting none op=0 tries=0");
	assert_counts(c, "waiting=1 failed=1");
}

static void a_raised_op_or_an_adoption_takes_its_order_back(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c;

	take_kind(r, KT_RECORD_RESTORE, NULL, 1);
	c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");
	order(r, "roll", "hub-1", 10);
	order(r, "roll", "hub-2", 11);
	take_kind(r, KT_RECORD_OP_RAISE, "hub-1", 20);
	assert_is(r, "roll", "hub-1", "waiting none op=10 tries=1");
	take_kind(r, KT_RECORD_ADOPT, "hub-2", 30);
	assert_is(r, "roll", "hub-2", "waiting none op=11 tries=1");
	assert_int_equal(member(r, "roll", "hub-2")->since_us, kt_registry_time_us(r));
	assert_counts(c, "waiting=2");
	assert_int_equal(c->wave_done, 0); /* it counts in no wave */
}

static void who_is_revoked_or_deleted_is_skipped(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *roll =
		run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2 hub-3 hub-4 hub-5");
	const struct kt_campaign *prove = run(r, "prove", KT_CAMPAIGN_CHALLENGE, "hub-1 hub-2");

	order(r, "roll", "hub-1", 10);
	order(r, "roll", "hub-2", 11);
	take_rotated(r, "hub-5", 12);
	take_kind(r, KT_RECORD_REVOKE, "hub-1", 0);
	take_kind(r, KT_RECORD_DELETE, "hub-2", 0);
	take_kind(r, KT_RECORD_REVOKE, "hub-3", 0);
	take_kind(r, KT_RECORD_DELETE, "hub-4", 0);
	take_kind(r, KT_RECORD_REVOKE, "hub-5", 0);
	assert_is(r, "roll", "hub-1", "skipped revoked op=10 tries=1");
	assert_is(r, "roll", "hub-2", "skipped deleted op=11 tries=1");
	assert_is(r, "roll", "hub-3", "skipped revoked op=0 tries=0");
	assert_is(r, "roll", "hub-4", "skipped deleted op=0 tries=0");
	assert_is(r, "roll", "hub-5", "done none op=12 tries=0"); /* it was at its end */
	assert_int_equal(roll->wave_done, 2);
	assert_is(r, "prove", "hub-1", "skipped revoked op=0 tries=0");
	assert_is(r, "prove", "hub-2", "skipped deleted op=0 tries=0");
	assert_int_equal(prove->wave_done, 0);
	take_kind(r, KT_RECORD_DELETE, "hub-1", 0);
	assert_is(r, "roll", "hub-1", "skipped revoked op=10 tries=1"); /* what came first */
}

/* --- waves, and the end --- */

static void a_wave_counts_anew(void **state)
{
	struct kt_registry *r = *state;
	const struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2 hub-3");

	order(r, "roll", "hub-1", 10);
	settle(r, "roll", "hub-1", KT_MEMBER_FAILED, KT_REASON_DISK);
	settle(r, "roll", "hub-2", KT_MEMBER_SKIPPED, KT_REASON_FROZEN); /* it had no order */
	assert_int_equal(c->wave, 0);
	assert_int_equal(c->wave_done, 1);
	tell(r, "roll", KT_RECORD_CAMPAIGN_WAVE);
	assert_int_equal(c->wave, 1);
	assert_int_equal(c->wave_done, 0);
	tell(r, "roll", KT_RECORD_CAMPAIGN_WAVE);
	assert_int_equal(c->wave, 2);
	assert_counts(c, "waiting=1 failed=1 skipped=1");
}

/* An order to answer leaves no record: what became of it stands for it. */
static void a_challenge_counts_by_its_end(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *c =
		run(r, "prove", KT_CAMPAIGN_CHALLENGE, "hub-1 hub-2 hub-3 hub-4 hub-5");
	struct kt_member *m = kt_campaign_find(c, kt_registry_find_device(r, "hub-5"));

	settle(r, "prove", "hub-1", KT_MEMBER_DONE, KT_REASON_NONE);
	settle(r, "prove", "hub-2", KT_MEMBER_FAILED, KT_REASON_DISK);
	settle(r, "prove", "hub-3", KT_MEMBER_SILENT, KT_REASON_CHALLENGE_TIMEOUT);
	settle(r, "prove", "hub-4", KT_MEMBER_SKIPPED, KT_REASON_STATE);
	assert_int_equal(c->wave_done, 3);
	kt_member_note_order(c, m, true);
	assert_is(r, "prove", "hub-5", "ordered none op=0 tries=1");
	kt_member_note_order(c, m, false);
	assert_is(r, "prove", "hub-5", "waiting none op=0 tries=1");
	assert_int_equal(c->wave_done, 3);
	kt_member_note_order(c, m, true);
	settle(r, "prove", "hub-5", KT_MEMBER_DONE, KT_REASON_NONE);
	assert_is(r, "prove", "hub-5", "done none op=0 tries=2");
	assert_int_equal(c->wave_done, 4);
	assert_counts(c, "done=2 failed=1 silent=1 skipped=1");
}

static void a_challenge_is_answered_after_an_abort(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *c = run(r, "prove", KT_CAMPAIGN_CHALLENGE, "hub-1 hub-2");
	struct kt_record rec;

	tell(r, "prove", KT_RECORD_CAMPAIGN_ABORT);
	assert_counts(c, "left=2");
	settle(r, "prove", "hub-1", KT_MEMBER_DONE, KT_REASON_NONE);
	assert_counts(c, "done=1 left=1");
	rec = of(r, "prove", KT_RECORD_CAMPAIGN_DEVICE, "hub-1", 0);
	refuses(r, &rec);
	tell(r, "prove", KT_RECORD_CAMPAIGN_END);
	rec = of(r, "prove", KT_RECORD_CAMPAIGN_DEVICE, "hub-2", 0);
	refuses(r, &rec);
}

static void why_it_stands_still_is_kept_until_it_goes_on(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1");
	struct kt_record rec = of(r, "roll", KT_RECORD_CAMPAIGN_PAUSE, NULL, 0);

	memcpy(rec.note, "storm", sizeof("storm"));
	take(r, &rec);
	assert_int_equal(c->state, KT_CAMPAIGN_PAUSED);
	assert_string_equal(c->why, "storm");
	assert_false(c->is_aborted);
	assert_counts(c, "waiting=1");
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_RESUME, NULL, 0);
	memcpy(rec.note, "calm", sizeof("calm"));
	take(r, &rec);
	assert_int_equal(c->state, KT_CAMPAIGN_RUNNING);
	assert_string_equal(c->why, "");
	rec = of(r, "roll", KT_RECORD_CAMPAIGN_ABORT, NULL, 0);
	memcpy(rec.note, "wrong", sizeof("wrong"));
	take(r, &rec);
	tell(r, "roll", KT_RECORD_CAMPAIGN_END);
	assert_string_equal(c->why, "wrong"); /* for good */
	assert_string_equal(c->note, "");
	assert_true(c->is_aborted);
	assert_int_equal(c->state, KT_CAMPAIGN_ENDED);
	assert_int_equal(c->ended_us, kt_registry_time_us(r));
}

static void an_abort_leaves_who_has_no_order(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2 hub-3 hub-4");
	int64_t aborted_us;

	order(r, "roll", "hub-1", 10);
	order(r, "roll", "hub-2", 11);
	take_rotated(r, "hub-3", 12);
	tell(r, "roll", KT_RECORD_CAMPAIGN_ABORT);
	aborted_us = kt_registry_time_us(r);
	assert_counts(c, "ordered=2 done=1 left=1");
	assert_int_equal(member(r, "roll", "hub-4")->since_us, aborted_us);
	assert_int_equal(c->ended_us, 0);
	take_kind(r, KT_RECORD_ISSUE, "hub-1", 10);
	take_kind(r, KT_RECORD_COMMIT, "hub-1", 10);
	assert_is(r, "roll", "hub-1", "done none op=10 tries=1"); /* it may finish */
	take_rotated(r, "hub-4", 13);
	assert_is(r, "roll", "hub-4", "left none op=0 tries=0");
	take_kind(r, KT_RECORD_OP_RAISE, "hub-2", 20);
	assert_is(r, "roll", "hub-2", "left none op=11 tries=1"); /* its turn comes no more */
	tell(r, "roll", KT_RECORD_CAMPAIGN_END);
	assert_counts(c, "done=2 left=2");
}

static void the_end_misses_who_never_came(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *c = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2");

	take_rotated(r, "hub-1", 10);
	tell(r, "roll", KT_RECORD_CAMPAIGN_END);
	assert_counts(c, "done=1 missed=1");
	assert_int_equal(member(r, "roll", "hub-2")->since_us, kt_registry_time_us(r));
	assert_false(c->is_aborted);
	assert_string_equal(c->why, "");
	assert_int_equal(c->ended_us, kt_registry_time_us(r));
	take_rotated(r, "hub-2", 11);
	take_kind(r, KT_RECORD_REVOKE, "hub-2", 0);
	assert_counts(c, "done=1 missed=1"); /* over */
}

static void a_restored_ledger_ends_all_of_them(void **state)
{
	struct kt_registry *r = *state;
	struct kt_campaign *over = run(r, "over", KT_CAMPAIGN_ROTATE, "hub-1");
	struct kt_campaign *roll;
	struct kt_campaign *half;
	int64_t ended_us;

	tell(r, "over", KT_RECORD_CAMPAIGN_END);
	ended_us = over->ended_us;
	roll = run(r, "roll", KT_CAMPAIGN_ROTATE, "hub-1 hub-2 hub-3");
	order(r, "roll", "hub-1", 10);
	take_rotated(r, "hub-2", 11);
	begin(r, "half", KT_CAMPAIGN_ROTATE);
	add(r, "half", "hub-1 hub-2");
	half = kt_registry_find_campaign(r, "half");
	take_kind(r, KT_RECORD_RESTORE, NULL, 28);
	assert_counts(roll, "done=1 left=2");
	assert_int_equal(roll->state, KT_CAMPAIGN_ENDED);
	assert_true(roll->is_aborted);
	assert_string_equal(roll->why, "an older ledger was accepted");
	assert_int_equal(roll->ended_us, kt_registry_time_us(r));
	assert_int_equal(half->state, KT_CAMPAIGN_ENDED);
	assert_counts(half, "left=2");
	assert_false(over->is_aborted);
	assert_string_equal(over->why, "");
	assert_int_equal(over->ended_us, ended_us);
	assert_counts(over, "missed=1");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_record_fits_some_states_and_no_others),
		T(a_record_of_no_such_campaign_is_refused),
		T(a_record_makes_what_the_campaign_is),
		cmocka_unit_test(a_state_has_a_name),
		T(members_come_known_in_order_and_once),
		T(a_record_adds_128_and_not_one_more),
		T(nobody_is_ordered_who_is_not_meant),
		T(a_ninth_is_refused_while_eight_have_not_ended),
		T(the_oldest_that_ended_makes_room_for_the_33rd),
		T(an_order_is_of_its_op_to_its_end),
		T(a_commit_by_whatever_order_is_its_end),
		T(another_campaign_serves_it_too),
		T(trouble_is_noted_and_ends_nothing),
		T(an_operator_who_cancels_skips_it),
		T(a_freeze_fails_whom_it_ordered),
		T(a_raised_op_or_an_adoption_takes_its_order_back),
		T(who_is_revoked_or_deleted_is_skipped),
		T(a_wave_counts_anew),
		T(a_challenge_counts_by_its_end),
		T(a_challenge_is_answered_after_an_abort),
		T(why_it_stands_still_is_kept_until_it_goes_on),
		T(an_abort_leaves_who_has_no_order),
		T(the_end_misses_who_never_came),
		T(a_restored_ledger_ends_all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
