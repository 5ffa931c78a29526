/*
 * sim_shrink - the same seed with as few of its faults as still break something.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim.h"

/*
 * @failed: the result of @options' seed. Returns which faults can be left out (malloc'ed, one byte
 * each, *count of them); a run with these left out breaks the same invariant.
 */
uint8_t *sim_shrink(const struct sim_options *options, const struct sim_result *failed,
		    size_t *count);

#endif
