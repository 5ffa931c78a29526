#include "sim_shrink.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 400 };

static bool still_fails(const struct sim_options *options, const struct sim_result *failed,
			const uint8_t *skip, size_t count)
{
	struct sim_options trial = *options;
	struct sim_result result;

	trial.skip = skip;
	trial.skip_count = count;
	trial.has_trace = false;
	return !sim_run(&trial, &result) && strcmp(result.invariant, failed->invariant) == 0;
}

/* Leaves out ever smaller pieces, as long as it still breaks. */
uint8_t *sim_shrink(const struct sim_options *options, const struct sim_result *failed,
		    size_t *count)
{
	size_t all = (size_t)failed->faults;
	uint8_t *skip = sim_alloc(NULL, all + 1, 1);
	uint8_t *trial = sim_alloc(NULL, all + 1, 1);
	unsigned tries = 0;

	memset(skip, 0, all + 1);
	for (size_t piece = (all + 1) / 2; piece > 0; piece /= 2) {
		for (size_t at = 0; at < all && tries < TRIES_MAX; at += piece) {
			size_t end = at + piece < all ? at + piece : all;

			if (memchr(skip + at, 0, end - at) == NULL)
				continue;
			memcpy(trial, skip, all);
			memset(trial + at, 1, end - at);
			tries++;
			if (still_fails(options, failed, trial, all))
				memcpy(skip, trial, all);
		}
	}
	free(trial);
	*count = all;
	return skip;
}
