/* Campaigns: what operators say of them, and what must hold of them at every step. */
#include <stdio.h>
#include <string.h>

#include "campaigns.h"
#include "sim.h"

enum { NAMES = 6 };

/* --- commands --------------------------------------------------------------------------------- */

/* Over two hubs, or all; few at a time, so that they meet failures, silence and each other. */
static void put_begin(struct sim *sim, char *out, size_t cap)
{
	const unsigned name = (unsigned)sim_below(&sim->chance, NAMES);
	const unsigned first = (unsigned)sim_below(&sim->chance, SIM_HUBS);
	const bool is_challenge = sim_chance(&sim->chance, 250);
	const unsigned others = sim_chance(&sim->chance, 500) ? 1 : SIM_HUBS - 1;
	char devices[SIM_HUBS * (KT_DEVICE_ID_MAX + 4)] = "";
	size_t len = 0;

	for (unsigned i = 0; i <= others; i++) {
		int n = snprintf(devices + len, sizeof(devices) - len, "%s\"%s\"", i > 0 ? "," : "",
				 sim->devices[(first + i) % SIM_HUBS].id);

		len += n > 0 ? (size_t)n : 0;
	}
	(void)snprintf(
		out, cap,
		"\"command\":\"beginCampaign\",\"campaign\":\"c%u\",\"action\":\"%s\","
		"\"devices\":[%s],\"expect\":%u,\"plan\":[\"canary=%u\",\"hold=%us\","
		"\"wave=%u\",\"in-flight=%u\",\"deadline=%us\",\"retries=%u\","
		"\"failures=%u%%\",\"silence=%u%%\",\"sample=2\",\"until=%um\"]",
		name, is_challenge ? "challenge" : "rotate", devices, others + 1,
		1 + (unsigned)sim_below(&sim->chance, 2), (unsigned)sim_below(&sim->chance, 20),
		1 + (unsigned)sim_below(&sim->chance, 2), 1 + (unsigned)sim_below(&sim->chance, 3),
		10 + (unsigned)sim_below(&sim->chance, 120), (unsigned)sim_below(&sim->chance, 3),
		(unsigned)sim_below(&sim->chance, 101), (unsigned)sim_below(&sim->chance, 101),
		1 + (unsigned)sim_below(&sim->chance, 60));
}

static void put_steer(struct sim *sim, char *out, size_t cap)
{
	static const char *const verbs[] = {"pauseCampaign", "resumeCampaign", "resumeCampaign",
					    "abortCampaign"};

	(void)snprintf(out, cap, "\"command\":\"%s\",\"campaign\":\"c%u\"",
		       verbs[sim_below(&sim->chance, 4)], (unsigned)sim_below(&sim->chance, NAMES));
}

void sim_campaign_say(struct sim *sim, enum sim_fault command, char *out, size_t cap)
{
	if (command == SIM_CAMPAIGN)
		put_begin(sim, out, cap);
	else
		put_steer(sim, out, cap);
}

/* --- what must hold --------------------------------------------------------------------------- */

/* Settled, and over its limit, by more than were under way? */
static bool is_too_far(const struct kt_campaign *c, enum kt_plan_item share,
		       enum kt_member_status status)
{
	const size_t settled =
		c->count[KT_MEMBER_DONE] + c->count[KT_MEMBER_FAILED] + c->count[KT_MEMBER_SILENT];
	const size_t allowed = (size_t)c->plan.of[share] * settled;

	return settled >= (size_t)c->plan.of[KT_PLAN_SAMPLE] &&
	       c->count[status] * 100 > allowed + (size_t)c->plan.of[KT_PLAN_IN_FLIGHT] * 100;
}

static void check_live(struct sim *sim, const struct kt_campaign *c)
{
	const size_t quota = (size_t)kt_plan_amount(
		&c->plan, c->wave == 0 ? KT_PLAN_CANARY : KT_PLAN_WAVE, (int64_t)c->member_count);
	size_t sum = 0;

	for (unsigned i = 0; i < KT_MEMBER_STATUS_COUNT; i++)
		sum += c->count[i];
	if (sum != c->member_count)
		sim_break(sim, "CM", "%s has lost a member", c->name.s);
	if (c->count[KT_MEMBER_ORDERED] > (size_t)c->plan.of[KT_PLAN_IN_FLIGHT])
		sim_break(sim, "CM", "%s has too many under way", c->name.s);
	if (c->state == KT_CAMPAIGN_RUNNING && c->wave_done + c->count[KT_MEMBER_ORDERED] > quota)
		sim_break(sim, "CM", "%s has ordered more than a wave", c->name.s);
	if (c->state == KT_CAMPAIGN_RUNNING && (is_too_far(c, KT_PLAN_FAILURES, KT_MEMBER_FAILED) ||
						is_too_far(c, KT_PLAN_SILENCE, KT_MEMBER_SILENT)))
		sim_break(sim, "CM", "%s is past its limit and goes on", c->name.s);
}

static struct sim_ghost_campaign *ghost_of(struct sim *sim, const struct kt_campaign *c)
{
	struct sim_ghost_campaign *free_one = NULL;

	for (unsigned i = 0; i < SIM_GHOST_CAMPAIGNS; i++) {
		struct sim_ghost_campaign *ghost = &sim->campaigns[i];

		if (ghost->began_us == c->began_us && strcmp(ghost->name.s, c->name.s) == 0)
			return ghost;
		if (ghost->began_us == 0 && free_one == NULL)
			free_one = ghost;
	}
	if (free_one == NULL)
		return NULL;
	free_one->began_us = c->began_us;
	free_one->name = c->name;
	return free_one;
}

/* Of the durable records: an end is an end, but for who was left and had been asked to prove his
 * key. */
static void check_ends(struct sim *sim, const struct kt_campaign *c)
{
	struct sim_ghost_campaign *ghost = ghost_of(sim, c);

	if (strcmp(c->why, "an older ledger was accepted") == 0)
		return; /* what that did not know is forgotten */
	for (size_t i = 0; ghost != NULL && i < c->member_count; i++) {
		const struct kt_member *m = kt_campaign_member(c, i);
		const int device =
			sim_device_of(sim, kt_member_device(sim->server.shadow, m)->id.s);
		uint8_t *known = device < 0 ? NULL : &ghost->end[device];

		if (known == NULL)
			continue;
		if (*known != 0 && *known != m->status &&
		    (*known != KT_MEMBER_LEFT || c->plan.action == KT_CAMPAIGN_ROTATE))
			sim_break(sim, "CM", "%s: %s was %s and is %s", c->name.s,
				  sim->devices[device].id,
				  kt_member_status_name((enum kt_member_status) * known),
				  kt_member_status_name((enum kt_member_status)m->status));
		if (m->status >= KT_MEMBER_DONE)
			*known = m->status;
	}
	if (c->state == KT_CAMPAIGN_ENDED &&
	    c->count[KT_MEMBER_WAITING] + c->count[KT_MEMBER_ORDERED] > 0)
		sim_break(sim, "CM", "%s has ended, and somebody in it has not", c->name.s);
}

void sim_check_campaigns(struct sim *sim)
{
	const struct sim_server *s = &sim->server;
	const uint64_t seq = kt_registry_seq(s->shadow);
	struct kt_campaign *c;

	for (size_t i = 0; s->is_up && (c = kt_registry_campaign(s->registry, i)) != NULL; i++)
		check_live(sim, c);
	if (s->is_rolled_back || seq == sim->campaigns_seq)
		return;
	sim->campaigns_seq = seq;
	for (size_t i = 0; (c = kt_registry_campaign(s->shadow, i)) != NULL; i++)
		check_ends(sim, c);
}
