/*
 * sim_random - the simulator's only source of chance: a stream of numbers that its seed determines.
 *
 * splitmix64. Several streams from one seed, so that one decision more in one place does not change
 * all others. No state but the caller's.
 */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_random {
	uint64_t state;
};

static inline uint64_t sim_next(struct sim_random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline struct sim_random sim_stream(uint64_t seed, uint64_t stream)
{
	struct sim_random r = {seed * UINT64_C(0xd1342543de82ef95) + stream};

	(void)sim_next(&r);
	return r;
}

/* 0 .. @n - 1; @n > 0. */
static inline uint64_t sim_below(struct sim_random *r, uint64_t n)
{
	return sim_next(r) % n;
}

/* True @per_mille times in a thousand. */
static inline bool sim_chance(struct sim_random *r, unsigned per_mille)
{
	return sim_below(r, 1000) < per_mille;
}

static inline void sim_fill(struct sim_random *r, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(sim_next(r) >> 24);
}

#endif
