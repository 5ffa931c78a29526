/* The commands of campaigns on a real core: what they record, and every word of their answers. */
#include "campaigns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hubs.h"

#define ANN "spiffe://" FLEET_TD "/operator/ann|1600000000|253402300799"
#define BOB "spiffe://" FLEET_TD "/operator/bob|1600000000|253402300799"

enum { SHE = 16, HE = 32, FEW = 5, MANY = 3000 };

static void let_in(struct fake *f, uintptr_t client, const char *name, const char *cert)
{
	struct kt_operator *op = &f->config.operators[f->config.operator_count++];
	char client_id[32];

	*op = (struct kt_operator){.kind = KT_OPERATOR_CERT, .role = KT_ROLE_ROTATOR};
	(void)snprintf(op->name, sizeof(op->name), "spiffe://" FLEET_TD "/operator/%s", name);
	op->fp = fake_fingerprint(cert);
	(void)snprintf(client_id, sizeof(client_id), "op:%s", name);
	assert_int_equal(fake_connect(f, client, client_id, NULL, cert), KT_ANSWER_ACCEPT);
}

static void *fleet_of(unsigned count)
{
	struct fake *f = hubs_new(count);

	let_in(f, SHE, "ann", ANN);
	let_in(f, HE, "bob", BOB);
	return f;
}

static int setup(void **state)
{
	*state = fleet_of(FEW);
	return 0;
}

static int setup_many(void **state)
{
	*state = fleet_of(MANY);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static void say(struct fake *f, uintptr_t client, const char *command, const char *members)
{
	char text[2048];
	int len = snprintf(text, sizeof(text), "{\"commands\":[{\"command\":\"%s\"%s%s}]}", command,
			   members[0] != '\0' ? "," : "", members);

	assert_in_range(len, 1, sizeof(text) - 1);
	fake_forget(f);
	f->appended_count = 0;
	kt_core_control(f->core, f->now, client,
			(struct kt_bytes){(const uint8_t *)text, (size_t)len});
}

/* What she is told, once all is durable. */
static const char *told(struct fake *f, const char *command, const char *members)
{
	const char *answer;

	say(f, SHE, command, members);
	fake_durable(f);
	answer = fake_sent(f, "op:ann", "{\"responses\"");
	assert_non_null(answer);
	return answer;
}

/* The answer to a batch of one: the command, and then this. */
static void assert_told(struct fake *f, const char *command, const char *members,
			const char *expected)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "{\"responses\":[{\"command\":\"%s\",%s}]}", command,
		       expected);
	assert_string_equal(told(f, command, members), text);
}

static const struct kt_campaign *campaign(const struct fake *f, const char *name)
{
	return kt_registry_find_campaign(f->registry, name);
}

static const struct kt_member *member(const struct fake *f, const char *name, unsigned n)
{
	return kt_campaign_find(campaign(f, name), hubs_device(f, n));
}

static size_t count_appended(const struct fake *f, enum kt_record_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < f->appended_count; i++)
		count += f->appended[i] == kind ? 1 : 0;
	return count;
}

#define REST                                                                                       \
	" in-flight=100 rate=600 deadline=3600s retries=1 failures=5% silence=20% sample=20 "      \
	"until=604800s"
#define PRESET "canary=5% hold=600s wave=25%" REST

/* --- beginCampaign --- */

static void it_is_made_of_whom_a_selection_means(void **state)
{
	struct fake *f = *state;
	const struct kt_campaign *c;

	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=west\","
		    "\"state=active\"],\"expect\":5,\"note\":\"new roots\",\"plan\":[\"canary=9\","
		    "\"wave=40%\",\"canary=2\"],\"correlationData\":\"7\"",
		    "\"correlationData\":\"7\",\"data\":{\"campaign\":\"roll\",\"plan\":\"rotate "
		    "canary=2 hold=600s wave=40%" REST
		    "\",\"devices\":5,\"canaries\":2,\"wave\":2}");
	assert_int_equal(f->appended_count, 3);
	assert_int_equal(f->appended[0], KT_RECORD_CAMPAIGN_BEGIN);
	assert_int_equal(f->appended[1], KT_RECORD_CAMPAIGN_ADD);
	assert_int_equal(f->appended[2], KT_RECORD_CAMPAIGN_START);
	c = campaign(f, "roll");
	assert_int_equal(c->state, KT_CAMPAIGN_RUNNING);
	assert_int_equal(c->plan.action, KT_CAMPAIGN_ROTATE);
	assert_string_equal(c->select, "group=west state=active");
	assert_string_equal(c->by, "op:ann");
	assert_string_equal(c->note, "new roots");
	assert_int_equal(c->member_count, 5);
	assert_false(c->run.is_gathering);
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_STARTED], 1);
	assert_int_equal(f->logged[KT_EVENT_COMMAND_DONE], 1);
}

static void a_dry_run_says_it_and_records_nothing(void **state)
{
	struct fake *f = *state;
	const uint64_t seq = kt_registry_seq(f->registry);

	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"challenge\",\"all\":true,\"dryRun\":true",
		    "\"data\":{\"plan\":\"challenge " PRESET
		    "\",\"devices\":5,\"canaries\":1,\"wave\":2,\"meant\":[\"hub-0\",\"hub-1\","
		    "\"hub-2\",\"hub-3\",\"hub-4\"]}");
	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[\"hub-4\",\"hub-0\"],"
		    "\"expect\":2,\"dryRun\":true,\"plan\":[\"canary=7\",\"hold=0\"]",
		    "\"data\":{\"plan\":\"rotate canary=7 hold=0 wave=25%" REST
		    "\",\"devices\":2,\"canaries\":7,\"wave\":1,\"meant\":[\"hub-0\",\"hub-4\"]}");
	assert_int_equal(kt_registry_seq(f->registry), seq);
	assert_null(kt_registry_campaign(f->registry, 0));
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_STARTED], 0);
}

static void devices_are_taken_in_any_order(void **state)
{
	struct fake *f = *state;

	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"devices\":[\"hub-4\",\"hub-2\","
		    "\"hub-0\"],\"expect\":3",
		    "\"data\":{\"campaign\":\"roll\",\"plan\":\"rotate " PRESET
		    "\",\"devices\":3,\"canaries\":1,\"wave\":1}");
	assert_string_equal(campaign(f, "roll")->select, "devices");
	for (unsigned n = 0; n < FEW; n++)
		assert_int_equal(member(f, "roll", n) != NULL, n % 2 == 0);
	(void)told(f, "beginCampaign",
		   "\"campaign\":\"one\",\"action\":\"rotate\",\"device\":\"hub-3\"");
	assert_string_equal(campaign(f, "one")->select, "devices");
	assert_int_equal(campaign(f, "one")->member_count, 1);
	assert_non_null(member(f, "one", 3));
	(void)told(f, "beginCampaign",
		   "\"campaign\":\"all\",\"action\":\"rotate\",\"all\":true,\"expect\":5");
	assert_string_equal(campaign(f, "all")->select, "all");
	assert_int_equal(campaign(f, "all")->member_count, 5);
}

static void who_is_revoked_is_meant_by_no_walk(void **state)
{
	struct fake *f = *state;

	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-1", 0);
	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":5",
		    "\"error\":\"expect\",\"detail\":\"expect is not the number of devices that "
		    "this would be done to\"");
	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"dryRun\":true",
		    "\"data\":{\"plan\":\"rotate " PRESET
		    "\",\"devices\":4,\"canaries\":1,\"wave\":1,\"meant\":[\"hub-0\",\"hub-2\","
		    "\"hub-3\",\"hub-4\"]}");
	assert_null(campaign(f, "roll"));
}

static void nobody_is_no_campaign(void **state)
{
	struct fake *f = *state;

	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"select\":[\"group=east\"],"
		    "\"expect\":0",
		    "\"error\":\"not.found\",\"detail\":\"select means no device\"");
	for (unsigned n = 0; n < FEW; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", n);
		fleet_simple(f->registry, KT_RECORD_REVOKE, id, 0);
	}
	assert_told(f, "beginCampaign",
		    "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":0",
		    "\"error\":\"not.found\",\"detail\":\"all means no device\"");
	assert_int_equal(f->appended_count, 0);
	assert_null(kt_registry_campaign(f->registry, 0));
}

static void a_name_is_taken_and_a_ninth_has_to_wait(void **state)
{
	struct fake *f = *state;
	char members[128];

	for (unsigned i = 0; i < KT_CAMPAIGNS_RUNNING_MAX; i++) {
		(void)snprintf(members, sizeof(members),
			       "\"campaign\":\"c%u\",\"action\":\"rotate\",\"device\":\"hub-0\"",
			       i);
		assert_non_null(strstr(told(f, "beginCampaign", members), "\"devices\":1,"));
	}
	assert_non_null(strstr(told(f, "beginCampaign", members), "\"error\":\"exists\""));
	assert_int_equal(f->appended_count, 0);
	(void)snprintf(members, sizeof(members),
		       "\"campaign\":\"c9\",\"action\":\"rotate\",\"device\":\"hub-0\"");
	assert_non_null(strstr(told(f, "beginCampaign", members), "\"error\":\"busy\""));
	assert_int_equal(f->appended_count, 0);
	assert_null(campaign(f, "c9"));
}

/* Three records, of which the last has what is left. */
static void three_hundred_are_added_in_their_order(void **state)
{
	struct fake *f = *state;
	char members[8192];
	size_t len =
		(size_t)snprintf(members, sizeof(members),
				 "{\"commands\":[{\"command\":\"beginCampaign\",\"campaign\":"
				 "\"roll\",\"action\":\"rotate\",\"expect\":300,\"devices\":[");

	for (unsigned n = 300; n > 0; n--)
		len += (size_t)snprintf(members + len, sizeof(members) - len, "%s\"hub-%u\"",
					n < 300 ? "," : "", n - 1);
	len += (size_t)snprintf(members + len, sizeof(members) - len, "]}]}");
	assert_in_range(len, 1, sizeof(members) - 1);
	kt_core_control(f->core, f->now, SHE, (struct kt_bytes){(const uint8_t *)members, len});
	fake_durable(f);
	assert_string_equal(fake_sent(f, "op:ann", "{\"responses\""),
			    "{\"responses\":[{\"command\":\"beginCampaign\",\"data\":{\"campaign\":"
			    "\"roll\",\"plan\":\"rotate " PRESET
			    "\",\"devices\":300,\"canaries\":15,\"wave\":75}}]}");
	assert_int_equal(count_appended(f, KT_RECORD_CAMPAIGN_ADD), 3);
	assert_int_equal(f->appended_count, 5);
	for (unsigned n = 0; n < 302; n++)
		assert_int_equal(member(f, "roll", n) != NULL, n < 300);
}

/* --- one that takes more than a piece of the broker's loop --- */

#define ALL_OF_MANY "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":3000"

static void a_large_one_is_gathered_in_pieces(void **state)
{
	struct fake *f = *state;

	say(f, SHE, "beginCampaign", ALL_OF_MANY);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_GATHERING);
	assert_true(campaign(f, "roll")->run.is_gathering);
	assert_in_range(campaign(f, "roll")->member_count, 1, MANY - 1);
	fake_durable(f);
	assert_null(fake_sent(f, "op:ann", "{\"responses\""));
	for (unsigned i = 0; i < 20 && campaign(f, "roll")->state == KT_CAMPAIGN_GATHERING; i++)
		fake_tick(f);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_RUNNING);
	assert_int_equal(campaign(f, "roll")->member_count, MANY);
	assert_false(campaign(f, "roll")->run.is_gathering);
	assert_int_equal(count_appended(f, KT_RECORD_CAMPAIGN_ADD), 24);
	assert_string_equal(fake_sent(f, "op:ann", "{\"responses\""),
			    "{\"responses\":[{\"command\":\"beginCampaign\",\"data\":{\"campaign\":"
			    "\"roll\",\"plan\":\"rotate " PRESET
			    "\",\"devices\":3000,\"canaries\":150,\"wave\":750}}]}");
}

static void who_leaves_meanwhile_has_it_started_all_the_same(void **state)
{
	struct fake *f = *state;

	say(f, SHE, "beginCampaign", ALL_OF_MANY);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_GATHERING);
	kt_core_disconnect(f->core, f->now, SHE);
	fake_ticks(f, 20);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_RUNNING);
	assert_int_equal(campaign(f, "roll")->member_count, MANY);
	assert_false(campaign(f, "roll")->is_aborted);
}

static void one_that_the_ledger_has_no_room_for_is_aborted(void **state)
{
	struct fake *f = *state;
	size_t added;

	say(f, SHE, "beginCampaign", ALL_OF_MANY);
	added = campaign(f, "roll")->member_count;
	f->journal_has_no_room = true;
	fake_tick(f);
	assert_non_null(strstr(fake_sent(f, "op:ann", "{\"responses\""), "\"error\":\"busy\""));
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_GATHERING);
	fake_ticks(f, 5); /* nor is there for its end */
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_GATHERING);
	f->journal_has_no_room = false;
	fake_ticks(f, 3);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_ENDED);
	assert_true(campaign(f, "roll")->is_aborted);
	assert_string_equal(campaign(f, "roll")->why, "broken off before it was started");
	assert_string_equal(campaign(f, "roll")->by, "op:ann");
	assert_int_equal(campaign(f, "roll")->count[KT_MEMBER_LEFT], added);
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_STARTED], 0);
}

static void a_dry_run_shows_the_first_two_hundred(void **state)
{
	struct fake *f = *state;
	const char *at;
	size_t count = 0;

	f->sync_at_once = false;
	at = told(f, "beginCampaign",
		  "\"campaign\":\"r\",\"action\":\"rotate\",\"all\":true,\"dryRun\":true");
	assert_non_null(strstr(at, "\"devices\":3000,\"canaries\":150,\"wave\":750,\"meant\":["));
	for (; (at = strstr(at, "\"hub-")) != NULL; at++)
		count++;
	assert_int_equal(count, 200);
	assert_non_null(strstr(fake_sent(f, "op:ann", "{\"responses\""), "\"hub-199\"]}}]}"));
}

/* --- steering --- */

static void begin_roll(struct fake *f)
{
	(void)told(f, "beginCampaign",
		   "\"campaign\":\"roll\",\"action\":\"rotate\",\"all\":true,\"expect\":5,"
		   "\"plan\":[\"canary=2\",\"hold=0\"]");
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_RUNNING);
}

static void it_is_paused_resumed_and_aborted(void **state)
{
	static const char refused[] = "\"error\":\"state\"";
	struct fake *f = *state;

	begin_roll(f);
	assert_non_null(strstr(told(f, "resumeCampaign", "\"campaign\":\"roll\""), refused));
	assert_int_equal(f->appended_count, 0);
	assert_told(f, "pauseCampaign", "\"campaign\":\"roll\",\"note\":\"storm\"",
		    "\"data\":{\"campaign\":\"roll\",\"state\":\"paused\"}");
	assert_int_equal(f->appended_count, 1);
	assert_int_equal(f->appended[0], KT_RECORD_CAMPAIGN_PAUSE);
	assert_string_equal(campaign(f, "roll")->why, "storm");
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_PAUSED], 1);
	assert_non_null(strstr(told(f, "pauseCampaign", "\"campaign\":\"roll\""), refused));
	assert_string_equal(campaign(f, "roll")->why, "storm");
	assert_told(f, "resumeCampaign", "\"campaign\":\"roll\"",
		    "\"data\":{\"campaign\":\"roll\",\"state\":\"running\"}");
	assert_string_equal(campaign(f, "roll")->why, "");
	assert_told(f, "abortCampaign", "\"campaign\":\"roll\",\"note\":\"wrong\"",
		    "\"data\":{\"campaign\":\"roll\",\"state\":\"aborted\"}");
	assert_int_equal(f->logged[KT_EVENT_CAMPAIGN_ABORTED], 1);
	assert_non_null(strstr(told(f, "abortCampaign", "\"campaign\":\"roll\""), refused));
	assert_non_null(strstr(told(f, "resumeCampaign", "\"campaign\":\"roll\""), refused));
	assert_int_equal(f->appended_count, 0);
	fake_ticks(f, 2);
	assert_int_equal(campaign(f, "roll")->state, KT_CAMPAIGN_ENDED);
	assert_non_null(strstr(told(f, "pauseCampaign", "\"campaign\":\"roll\""), refused));
	assert_non_null(strstr(told(f, "pauseCampaign", "\"campaign\":\"Roll\""),
			       "\"error\":\"not.found\""));
}

/* --- showing --- */

#define BEGAN "\"began\":\"2023-11-14T22:13:30.000000Z\""
#define ROLL_IS                                                                                    \
	"\"by\":\"op:ann\",\"select\":\"all\",\"plan\":\"rotate canary=2 hold=0 wave=25%" REST     \
	"\",\"devices\":5,\"canaries\":2,\"wave\":2," BEGAN

static void a_list_says_how_far_each_is(void **state)
{
	struct fake *f = *state;

	assert_told(f, "listCampaigns", "", "\"data\":{\"campaigns\":[]}");
	begin_roll(f);
	(void)told(f, "beginCampaign",
		   "\"campaign\":\"prove\",\"action\":\"challenge\",\"device\":\"hub-3\",\"note\":"
		   "\"who\"");
	(void)told(f, "abortCampaign", "\"campaign\":\"prove\",\"note\":\"he \\\"left\\\"\"");
	fake_tick(f);
	assert_told(
		f, "listCampaigns", "",
		"\"data\":{\"campaigns\":[{\"campaign\":\"roll\",\"action\":\"rotate\",\"state\":"
		"\"running\","
		"\"aborted\":false," ROLL_IS
		",\"waves\":0,\"counts\":{\"waiting\":5,\"ordered\":0,\"done\":0,\"failed\":0,"
		"\"silent\":0,\"skipped\":0,\"missed\":0,\"left\":0}},{\"campaign\":\"prove\","
		"\"action\":\"challenge\",\"state\":\"ended\",\"aborted\":true,\"why\":\"he "
		"\\\"left\\\"\",\"by\":\"op:ann\""
		",\"note\":\"who\",\"select\":\"devices\",\"plan\":\"challenge " PRESET
		"\",\"devices\":1,\"canaries\":1,\"wave\":1," BEGAN
		",\"ended\":\"2023-11-14T22:13:30.100000Z\",\"waves\":0,\"counts\":{\"waiting\":0,"
		"\"ordered\":0,\"done\":0,\"failed\":0,\"silent\":0,\"skipped\":0,\"missed\":0,"
		"\"left\":1}}]}");
	assert_int_equal(f->appended_count, 0);
}

#define WAITS(hub)                                                                                 \
	"{\"device\":\"" hub "\",\"state\":\"waiting\",\"orders\":0,\"since\":"                    \
	"\"2023-11-14T22:13:30.000000Z\"}"
#define ROLL_HEAD                                                                                  \
	"\"data\":{\"campaign\":\"roll\",\"action\":\"rotate\",\"state\":\"running\",\"aborted\":" \
	"false," ROLL_IS ",\"waves\":0,\"counts\":"

static void one_is_shown_with_its_devices_page_by_page(void **state)
{
	static const char head[] =
		ROLL_HEAD "{\"waiting\":5,\"ordered\":0,\"done\":0,\"failed\":0,\"silent\":0,"
			  "\"skipped\":0,\"missed\":0,\"left\":0},\"members\":[";
	static const struct {
		const char *page;
		const char *rows;
	} cases[] = {
		{"", WAITS("hub-0") "," WAITS("hub-1") "," WAITS("hub-2") "," WAITS(
			     "hub-3") "," WAITS("hub-4") "],\"offset\":0,\"total\":5}"},
		{",\"count\":2", WAITS("hub-0") "," WAITS("hub-1") "],\"offset\":0,\"total\":5}"},
		{",\"count\":2,\"offset\":3",
		 WAITS("hub-3") "," WAITS("hub-4") "],\"offset\":3,\"total\":5}"},
		{",\"offset\":4", WAITS("hub-4") "],\"offset\":4,\"total\":5}"},
		{",\"offset\":5", "],\"offset\":5,\"total\":5}"},
		{",\"offset\":2147483647", "],\"offset\":2147483647,\"total\":5}"},
		{",\"state\":\"waiting\",\"offset\":4",
		 WAITS("hub-4") "],\"offset\":4,\"total\":5}"},
		{",\"state\":\"done\"", "],\"offset\":0,\"total\":0}"},
	};
	struct fake *f = *state;

	begin_roll(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char members[128];
		char expected[2048];

		(void)snprintf(members, sizeof(members), "\"campaign\":\"roll\"%s", cases[i].page);
		(void)snprintf(expected, sizeof(expected), "%s%s", head, cases[i].rows);
		assert_told(f, "getCampaign", members, expected);
	}
	assert_int_equal(f->appended_count, 0);
}

static void a_device_is_shown_with_its_op_and_its_trouble(void **state)
{
	struct fake *f = *state;
	struct kt_message *m;

	begin_roll(f);
	for (unsigned n = 0; n < 2; n++)
		hubs_connect(f, n);
	fake_ticks(f, 5);
	hubs_commit(f, 0);
	m = fake_message(f, HUBS_AGENT + 1, KT_MESSAGE_FAILED);
	m->u.failed.op = hubs_device(f, 1)->op;
	m->u.failed.reason = KT_REASON_DISK;
	fake_later(f, 10000);
	fake_say(f, HUBS_AGENT + 1, m, NULL);
	assert_told(f, "getCampaign", "\"campaign\":\"roll\",\"state\":\"done\"",
		    ROLL_HEAD
		    "{\"waiting\":3,\"ordered\":1,\"done\":1,\"failed\":0,\"silent\":0,"
		    "\"skipped\":0,\"missed\":0,\"left\":0},\"members\":[{\"device\":\"hub-0\","
		    "\"state\":\"done\",\"orders\":1,\"op\":\"1700000010100000\",\"since\":"
		    "\"2023-11-14T22:13:30.500000Z\"}],\"offset\":0,\"total\":1}");
	assert_told(f, "getCampaign", "\"campaign\":\"roll\",\"state\":\"ordered\"",
		    ROLL_HEAD
		    "{\"waiting\":3,\"ordered\":1,\"done\":1,\"failed\":0,\"silent\":0,"
		    "\"skipped\":0,\"missed\":0,\"left\":0},\"members\":[{\"device\":\"hub-1\","
		    "\"state\":\"ordered\",\"reason\":\"disk\",\"orders\":1,\"op\":"
		    "\"1700000010200000\","
		    "\"since\":\"2023-11-14T22:13:30.200000Z\"}],\"offset\":0,\"total\":1}");
}

static void a_state_or_a_page_that_is_none_shows_nothing(void **state)
{
	static const char *const bad[] = {
		"\"state\":\"Done\"", "\"state\":\"\"", "\"state\":\"running\"",
		"\"state\":\"?\"",    "\"state\":7",	"\"count\":0",
		"\"count\":201",      "\"offset\":-1",	"\"offset\":2147483648"};
	struct fake *f = *state;

	begin_roll(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char members[128];
		const char *answer;

		(void)snprintf(members, sizeof(members), "\"campaign\":\"roll\",%s", bad[i]);
		answer = told(f, "getCampaign", members);
		if (strstr(answer, "\"error\":\"json.field\"") == NULL ||
		    strstr(answer, "\"data\"") != NULL)
			fail_msg("%s: %s", bad[i], answer);
	}
	assert_told(f, "getCampaign", "\"campaign\":\"roll\",\"state\":\"running\"",
		    "\"error\":\"json.field\",\"detail\":\"state is none of waiting ordered done "
		    "failed silent skipped missed left\"");
}

#define T(name)	     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_MANY(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_made_of_whom_a_selection_means),
		T(a_dry_run_says_it_and_records_nothing),
		T(devices_are_taken_in_any_order),
		T(who_is_revoked_is_meant_by_no_walk),
		T(nobody_is_no_campaign),
		T(a_name_is_taken_and_a_ninth_has_to_wait),
		T_MANY(three_hundred_are_added_in_their_order),
		T_MANY(a_large_one_is_gathered_in_pieces),
		T_MANY(who_leaves_meanwhile_has_it_started_all_the_same),
		T_MANY(one_that_the_ledger_has_no_room_for_is_aborted),
		T_MANY(a_dry_run_shows_the_first_two_hundred),
		T(it_is_paused_resumed_and_aborted),
		T(a_list_says_how_far_each_is),
		T(one_is_shown_with_its_devices_page_by_page),
		T(a_device_is_shown_with_its_op_and_its_trouble),
		T(a_state_or_a_page_that_is_none_shows_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
