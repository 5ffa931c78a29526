#include "mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *block_of(size_t len)
{
	uint8_t *block = malloc(len > 0 ? len : 1);

	if (block == NULL) {
		(void)fputs("mutate: out of memory\n", stderr);
		abort();
	}
	return block;
}

void mutate_truncate(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx)
{
	for (size_t keep = 0; keep < len; keep++) {
		uint8_t *copy = block_of(keep);

		memcpy(copy, bytes, keep);
		each(ctx, copy, keep);
		free(copy);
	}
}

void mutate_flip_bits(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx)
{
	uint8_t *copy = block_of(len);

	memcpy(copy, bytes, len);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		each(ctx, copy, len);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(copy);
}

void mutate_drop_bytes(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx)
{
	for (size_t drop = 0; drop < len; drop++) {
		uint8_t *copy = block_of(len - 1);

		memcpy(copy, bytes, drop);
		memcpy(copy + drop, bytes + drop + 1, len - drop - 1);
		each(ctx, copy, len - 1);
		free(copy);
	}
}
