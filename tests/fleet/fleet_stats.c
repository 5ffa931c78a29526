#include "fleet_stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fleet_loop.h"

enum { NAMES_MAX = 64, NAME_MAX_LEN = 64 };

struct samples {
	int64_t first_us;
	int64_t last_us;
	int64_t *us;
	size_t count;
	size_t room;
};

struct fleet_stats {
	struct samples spans[FLEET_SPAN_COUNT];
	struct {
		char name[NAME_MAX_LEN];
		uint64_t count;
	} names[NAMES_MAX];
	size_t name_count;
};

static const char *const span_names[FLEET_SPAN_COUNT] = {
	[FLEET_SPAN_CONNECT] = "connect", [FLEET_SPAN_SESSION] = "session",
	[FLEET_SPAN_ENROL] = "enrol",	  [FLEET_SPAN_COMMIT] = "commit",
	[FLEET_SPAN_PROMOTE] = "promote", [FLEET_SPAN_BACK] = "back",
};

struct fleet_stats *fleet_stats_new(void)
{
	return fleet_alloc(NULL, 1, sizeof(struct fleet_stats));
}

void fleet_stats_free(struct fleet_stats *stats)
{
	if (stats == NULL)
		return;
	for (size_t i = 0; i < FLEET_SPAN_COUNT; i++)
		free(stats->spans[i].us);
	free(stats);
}

void fleet_stats_span(struct fleet_stats *stats, enum fleet_span span, int64_t from_us,
		      int64_t to_us)
{
	struct samples *samples = &stats->spans[span];

	if (samples->count == samples->room) {
		samples->room = samples->room * 2 + 256;
		samples->us = fleet_alloc(samples->us, samples->room, sizeof(*samples->us));
	}
	if (samples->count == 0 || from_us < samples->first_us)
		samples->first_us = from_us;
	if (to_us > samples->last_us)
		samples->last_us = to_us;
	samples->us[samples->count++] = to_us - from_us;
}

void fleet_stats_count(struct fleet_stats *stats, const char *name)
{
	size_t i = 0;

	while (i < stats->name_count && strcmp(stats->names[i].name, name) != 0)
		i++;
	if (i == NAMES_MAX)
		fleet_fail("counts", "more names than there is room for");
	if (i == stats->name_count) {
		(void)snprintf(stats->names[i].name, NAME_MAX_LEN, "%s", name);
		stats->name_count++;
	}
	stats->names[i].count++;
}

void fleet_stats_write(const struct fleet_stats *stats, FILE *out)
{
	fputs("\"spans\":{", out);
	for (size_t i = 0; i < FLEET_SPAN_COUNT; i++) {
		const struct samples *samples = &stats->spans[i];

		fprintf(out, "%s\"%s\":{\"first_us\":%" PRId64 ",\"last_us\":%" PRId64 ",\"us\":[",
			i > 0 ? "," : "", span_names[i], samples->first_us, samples->last_us);
		for (size_t k = 0; k < samples->count; k++)
			fprintf(out, "%s%" PRId64, k > 0 ? "," : "", samples->us[k]);
		fputs("]}", out);
	}
	fputs("},\"counts\":{", out);
	for (size_t i = 0; i < stats->name_count; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", stats->names[i].name,
			stats->names[i].count);
	fputs("}", out);
}
