/*
 * der_tree - copies of a DER text in which one element breaks a rule of the encoding, all others
 * being as they were.
 *
 * The lengths around the element are right again where the rule is not about them, so that a parser
 * gets as far as the element. Deterministic. @each borrows the bytes for the call, in a block of
 * exactly their size.
 */
#ifndef KT_TEST_DER_TREE_H
#define KT_TEST_DER_TREE_H

#include <stddef.h>
#include <stdint.h>

enum der_flaw {
	DER_LONG_LENGTH,   /* one byte more for the length than it needs */
	DER_PADDED_LENGTH, /* two, with leading zeros */
	DER_INDEFINITE,	   /* 80 ... 00 00 */
	DER_ENDLESS,	   /* a length of 2^32 - 1 */
	DER_LONGER,	   /* says one byte more than there is, around it nothing changes */
	DER_SHORTER,	   /* says one byte less */
	DER_OTHER_TAG,	   /* of a type that stands nowhere in our formats (external) */
	DER_HIGH_TAG,	   /* a tag number of more than a byte */
	DER_MISSING,	   /* is not there */
	DER_EMPTY,	   /* has no content */
	DER_FLAW_COUNT
};

typedef void der_each(void *ctx, enum der_flaw flaw, size_t element, const uint8_t *bytes,
		      size_t len);

/* Elements are numbered in their order, the whole being 0. Returns how many there are. */
size_t der_each_flaw(const uint8_t *bytes, size_t len, der_each *each, void *ctx);
const char *der_flaw_name(enum der_flaw flaw);

#endif
