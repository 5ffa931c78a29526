/*
 * mutate - damaged copies of a valid input, for the question: does any of them get through?
 *
 * Each copy lies in a heap block of exactly its size, so that ASan sees the first byte read behind
 * it. Deterministic. @each borrows the bytes for the call.
 */
#ifndef KT_TEST_MUTATE_H
#define KT_TEST_MUTATE_H

#include <stddef.h>
#include <stdint.h>

typedef void mutate_each(void *ctx, const uint8_t *bytes, size_t len);

/* Every proper prefix, the empty one included: @len calls. */
void mutate_truncate(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx);
/* Every copy with one bit flipped: 8 * @len calls. */
void mutate_flip_bits(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx);
/* Every copy with one byte left out: @len calls. */
void mutate_drop_bytes(const uint8_t *bytes, size_t len, mutate_each *each, void *ctx);

#endif
