/*
 * bytes - small things that the crypto tests share: files, hex, where a byte lies.
 */
#ifndef KT_TEST_BYTES_H
#define KT_TEST_BYTES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "encoding.h"
#include "types.h"

enum { FILE_LEN_MAX = 1 << 20 };

/* Whole file; @out_len without the NUL that is put behind it. free(). */
static inline uint8_t *read_file(const char *path, size_t *out_len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = calloc(1, FILE_LEN_MAX + 1);

	assert_non_null(file);
	assert_non_null(bytes);
	*out_len = fread(bytes, 1, FILE_LEN_MAX, file);
	assert_int_equal(fclose(file), 0);
	assert_in_range(*out_len, 1, FILE_LEN_MAX - 1);
	return bytes;
}

static inline void unhex(const char *text, uint8_t *out, size_t len)
{
	assert_int_equal(strlen(text), 2 * len);
	assert_int_equal(kt_hex_decode(text, 2 * len, out, len), KT_ERR_OK);
}

/* Offset of the only place of @needle. */
static inline size_t offset_of(const uint8_t *bytes, size_t len, const void *needle,
			       size_t needle_len)
{
	const uint8_t *hit = memmem(bytes, len, needle, needle_len);

	assert_non_null(hit);
	assert_null(memmem(hit + 1, len - (size_t)(hit + 1 - bytes), needle, needle_len));
	return (size_t)(hit - bytes);
}

#endif
