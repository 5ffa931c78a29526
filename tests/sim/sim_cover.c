/* What all runs together have reached: every kind of fault, every cell of both tables. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

static struct sim_cover cover;

/*
 * Cells that no run of the product can come to, and why; a run that comes to one fails as well.
 * What a rotate, a committed or a noted means is said by the record (kt_rollover_rotate_event,
 * on_committed and on_noted in the agent's core), so that these events exist in one phase alone.
 */
static const struct {
	enum kt_agent_phase phase;
	enum kt_rollover_event event;
	const char *why;
} impossible[] = {
	{KT_AGENT_NEW, KT_EV_ROTATE_SETTLE, "settle is a rotate in phase cert"},
	{KT_AGENT_STABLE, KT_EV_ROTATE_SETTLE, "settle is a rotate in phase cert"},
	{KT_AGENT_KEY, KT_EV_ROTATE_SETTLE, "settle is a rotate in phase cert"},
	{KT_AGENT_NEW, KT_EV_ROTATE_NEW, "new needs an active credential"},
	{KT_AGENT_NEW, KT_EV_ROTATE_SAME, "a rotate for who claims is rotate.bad"},
	{KT_AGENT_STABLE, KT_EV_ENROLLED, "looked at while there is a claim"},
	{KT_AGENT_CERT, KT_EV_ENROLLED, "looked at while there is a claim"},
	{KT_AGENT_NEW, KT_EV_COMMITTED, "committed is of phase cert or stable"},
	{KT_AGENT_KEY, KT_EV_COMMITTED, "committed is of phase cert or stable"},
	{KT_AGENT_NEW, KT_EV_NOTED_PROMOTED, "a step is a matter of what is active"},
	{KT_AGENT_STABLE, KT_EV_CERT_BAD, "looked up where a certificate is taken"},
	{KT_AGENT_CERT, KT_EV_CERT_BAD, "looked up where a certificate is taken"},
};

static const char *why_impossible(enum kt_agent_phase phase, enum kt_rollover_event event)
{
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		if (impossible[i].phase == phase && impossible[i].event == event)
			return impossible[i].why;
	}
	return NULL;
}

struct kt_rollover_cell __real_kt_rollover(enum kt_agent_phase phase, enum kt_rollover_event event);
struct kt_rollover_cell __wrap_kt_rollover(enum kt_agent_phase phase, enum kt_rollover_event event);
struct kt_rollover_cell __wrap_kt_rollover(enum kt_agent_phase phase, enum kt_rollover_event event)
{
	cover.device[phase][event]++;
	return __real_kt_rollover(phase, event);
}

const struct sim_cover *sim_cover_get(void)
{
	return &cover;
}

void sim_cover_add(const struct sim_cover *other)
{
	const uint64_t *from = (const uint64_t *)other;
	uint64_t *to = (uint64_t *)&cover;

	for (size_t i = 0; i < sizeof(cover) / sizeof(*to); i++)
		to[i] += from[i];
}

void sim_cover_fault(enum sim_fault fault)
{
	cover.faults[fault]++;
}

void sim_cover_server(enum kt_server_phase phase, enum kt_rotation_event event)
{
	cover.server[phase][event]++;
}

static void put(bool is_json, const char *kind, const char *name, const char *event, uint64_t count)
{
	static bool has_one;

	if (is_json)
		printf("%s\n  {\"kind\": \"%s\", \"name\": \"%s\", \"event\": \"%s\", \"count\": "
		       "%llu}",
		       has_one ? "," : "", kind, name, event, (unsigned long long)count);
	else
		printf("  %-7s %-42s %-16s %llu\n", kind, name, event, (unsigned long long)count);
	has_one = true;
}

static void judge(bool is_good, unsigned *passed, unsigned *failed)
{
	if (is_good)
		(*passed)++;
	else
		(*failed)++;
}

bool sim_cover_report(bool is_json, unsigned *passed, unsigned *failed)
{
	unsigned before = *failed;

	for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
		put(is_json, "fault", sim_fault_text((enum sim_fault)i), "", cover.faults[i]);
		judge(cover.faults[i] > 0, passed, failed);
	}
	for (unsigned p = 0; p <= KT_SERVER_ISSUED; p++) {
		for (unsigned e = 0; e < KT_ROTATION_EVENT_COUNT; e++) {
			put(is_json, "server", kt_server_phase_name((enum kt_server_phase)p),
			    kt_rotation_event_name((enum kt_rotation_event)e), cover.server[p][e]);
			judge(cover.server[p][e] > 0, passed, failed);
		}
	}
	for (unsigned p = 0; p <= KT_AGENT_CERT; p++) {
		for (unsigned e = 0; e < KT_EV_COUNT; e++) {
			const char *why =
				why_impossible((enum kt_agent_phase)p, (enum kt_rollover_event)e);

			put(is_json, why == NULL ? "device" : "never",
			    kt_agent_phase_name((enum kt_agent_phase)p),
			    kt_rollover_event_name((enum kt_rollover_event)e), cover.device[p][e]);
			judge((cover.device[p][e] > 0) == (why == NULL), passed, failed);
		}
	}
	return *failed == before;
}
