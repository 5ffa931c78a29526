/*
 * core_metrics - the text file for a collector: what there is, how old keys are, what happened
 * since the start. Prometheus' text format; a worker writes it. One at a time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "campaigns.h"
#include "core_internal.h"

enum { EVERY_MS = 15000, TEXT_MAX = 131072 };

/* Upper ends of the buckets, in seconds: a day, a week, a month, a quarter, a year. */
static const int64_t ends_s[KT_AGE_BUCKETS] = {86400, 604800, 2592000, 7776000, 31536000};

struct kt_metrics {
	int64_t due_ms;
	bool in_work;
	bool has_failed; /* and was told */
};

enum kt_err kt_metrics_new(struct kt_metrics **out)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? KT_ERR_OK : KT_ERR_NOMEM;
}

void kt_metrics_free(struct kt_metrics *metrics)
{
	free(metrics);
}

void kt_metrics_age(struct kt_ages *ages, int64_t seconds)
{
	for (size_t i = 0; i < KT_AGE_BUCKETS; i++)
		ages->bucket[i] += seconds <= ends_s[i] ? 1 : 0;
	ages->sum_s += seconds;
	ages->count++;
}

/* --- the text --------------------------------------------------------------------------------- */

struct text {
	char *s; /* TEXT_MAX bytes */
	size_t len;
	bool is_full;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
	const size_t room = TEXT_MAX - text->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->s + text->len, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		text->is_full = true;
	else
		text->len += (size_t)n;
}

static void put_head(struct text *text, const char *name, const char *type, const char *help)
{
	put(text, "# HELP keyturn_%s %s\n# TYPE keyturn_%s %s\n", name, help, name, type);
}

static void put_gauge(struct text *text, const char *name, const char *help, uint64_t value)
{
	put_head(text, name, "gauge", help);
	put(text, "keyturn_%s %" PRIu64 "\n", name, value);
}

static void put_devices(struct text *text, const struct kt_core *core)
{
	const struct kt_registry_counts n = kt_registry_counts(core->registry);
	const struct {
		const char *state;
		size_t count;
	} rows[] = {{"active", n.active},
		    {"revoked", n.revoked},
		    {"quarantined", n.quarantined},
		    {"frozen", n.frozen},
		    {"adopted", n.adopted}};

	put_gauge(text, "devices", "Devices that are registered.", n.devices);
	put_head(text, "devices_in", "gauge", "Devices in a state; a device can be in several.");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put(text, "keyturn_devices_in{state=\"%s\"} %zu\n", rows[i].state, rows[i].count);
	put_gauge(text, "operations_open", "Rotations and enrolments under way.", n.open_ops);
	put_gauge(text, "tickets_open", "Tickets that were not used.", n.tickets_open);
	put_gauge(text, "sessions", "Clients that the plugin let in, and that are connected.",
		  kt_sessions_count(core->sessions));
	put_gauge(text, "ledger_records", "Records that are durable.", core->durable_seq);
	put_gauge(text, "ledger_failed", "1: the ledger cannot be written any more.",
		  core->journal_failed ? 1 : 0);
	put_gauge(text, "clock_jumped", "1: finite certificates pause until an operator confirms.",
		  core->clock_jumped ? 1 : 0);
}

static void put_ages(struct text *text, const char *name, const char *help,
		     const struct kt_ages *ages)
{
	put_head(text, name, "histogram", help);
	for (size_t i = 0; i < KT_AGE_BUCKETS; i++)
		put(text, "keyturn_%s_bucket{le=\"%" PRId64 "\"} %" PRIu64 "\n", name, ends_s[i],
		    ages->bucket[i]);
	put(text, "keyturn_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, ages->count);
	put(text, "keyturn_%s_sum %" PRId64 "\nkeyturn_%s_count %" PRIu64 "\n", name, ages->sum_s,
	    name, ages->count);
}

static void put_counters(struct text *text, const struct kt_core *core)
{
	put_head(text, "events_total", "counter", "Facts since the start, by the event's name.");
	for (unsigned i = 0; i < KT_EVENT_COUNT; i++) {
		if (core->facts[i] > 0)
			put(text, "keyturn_events_total{event=\"%s\"} %" PRIu64 "\n",
			    kt_event_name((enum kt_event)i), core->facts[i]);
	}
	put_head(text, "refusals_total", "counter", "Refusals since the start, by reason.");
	for (unsigned i = 0; i < KT_REASON_COUNT; i++) {
		if (core->refusals[i] > 0)
			put(text, "keyturn_refusals_total{reason=\"%s\"} %" PRIu64 "\n",
			    kt_reason_name((enum kt_reason)i), core->refusals[i]);
	}
}

/* Names of campaigns have the form of a device id: nothing in them needs to be escaped. */
static void put_campaigns(struct text *text, const struct kt_core *core)
{
	const struct kt_campaign *c;

	put_head(text, "campaign_devices", "gauge",
		 "Devices of a campaign that has not ended, by state.");
	for (size_t i = 0; (c = kt_registry_campaign(core->registry, i)) != NULL; i++) {
		if (c->state == KT_CAMPAIGN_ENDED)
			continue;
		for (unsigned k = 0; k < KT_MEMBER_STATUS_COUNT; k++)
			put(text, "keyturn_campaign_devices{campaign=\"%s\",state=\"%s\"} %zu\n",
			    c->name.s, kt_member_status_name((enum kt_member_status)k),
			    c->count[k]);
	}
}

static bool write_text(const struct kt_core *core, struct text *text)
{
	text->s = malloc(TEXT_MAX);
	if (text->s == NULL)
		return false;
	put_devices(text, core);
	put_ages(text, "key_age_seconds", "Ages of the keys in force.", &core->ages.done);
	put_ages(text, "key_left_seconds",
		 "Time to the end of the keys in force, by their age or their certificate.",
		 &core->lives.done);
	put_counters(text, core);
	put_campaigns(text, core);
	return !text->is_full;
}

/* --- when ------------------------------------------------------------------------------------- */

void kt_metrics_tick(struct kt_core *core)
{
	struct kt_metrics *metrics = core->metrics;
	struct text text = {NULL, 0, false};
	struct kt_job *job = NULL;

	if (core->config->metrics_file[0] == '\0' || metrics->in_work ||
	    core->now.mono_ms < metrics->due_ms)
		return;
	metrics->due_ms = core->now.mono_ms + EVERY_MS;
	if (write_text(core, &text))
		job = kt_job_new(KT_JOB_METRICS, 0);
	if (job == NULL) {
		free(text.s);
		return; /* no memory now: the next time */
	}
	job->text = (uint8_t *)text.s; /* moved */
	job->text_len = text.len;
	if (core->ports.jobs->submit(core->ports.jobs->ctx, job) == KT_ERR_OK)
		metrics->in_work = true; /* job moved */
	else
		kt_job_free(job);
}

/* Once, until it can be written again. */
void kt_metrics_done(struct kt_core *core, const struct kt_job *job)
{
	struct kt_metrics *metrics = core->metrics;
	const struct kt_field field = {"why", job->file_why};

	metrics->in_work = false;
	if (job->err != KT_ERR_OK && !metrics->has_failed)
		kt_core_fact(core, KT_EVENT_METRICS_FAILED, NULL, &field, 1, 0);
	metrics->has_failed = job->err != KT_ERR_OK;
}
