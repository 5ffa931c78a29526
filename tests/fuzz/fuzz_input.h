/*
 * fuzz_input - a fuzzer's bytes, taken one after the other; what is behind the end is zero.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

struct fuzz_input {
	const uint8_t *p;
	size_t left;
};

static inline bool fuzz_has_more(const struct fuzz_input *in)
{
	return in->left > 0;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

/* 0 .. @n - 1; @n > 0. */
static inline unsigned fuzz_below(struct fuzz_input *in, unsigned n)
{
	return fuzz_u8(in) % n;
}

static inline unsigned fuzz_u16(struct fuzz_input *in)
{
	unsigned high = fuzz_u8(in);

	return high << 8 | fuzz_u8(in);
}

/* The next @len bytes, or what is left. Borrowed. */
static inline struct kt_bytes fuzz_take(struct fuzz_input *in, size_t len)
{
	struct kt_bytes out = {in->p, len < in->left ? len : in->left};

	in->p += out.len;
	in->left -= out.len;
	return out;
}

/* What must hold, in every build: the line is in the message of a crash. */
#define FUZZ_REQUIRE(condition)                                                                    \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#endif
