/*
 * record_fields - what members a record has, in what order, and what they may say. Pure.
 *
 * For record.c (writes) and record_decode.c (reads) alone: one rule set for both directions, so
 * that what could not be read back is never written.
 */
#ifndef KT_RECORD_FIELDS_H
#define KT_RECORD_FIELDS_H

#include "record.h"

enum {
	KT_RECORD_HASH_LEN = 32,
	KT_RECORD_MEMBERS = 30,
	KT_RECORD_BOOLS = KT_F_WIPE | KT_F_FROZEN /* the others are strings */
};

struct kt_record_name {
	const char *s;
	size_t len;
};

struct kt_record_member {
	unsigned bit;
	struct kt_record_name name;
};

struct kt_record_kind_row {
	struct kt_record_name name;
	unsigned fields;
};

/* In the order in which they are written, and read. */
extern const struct kt_record_member kt_record_members[KT_RECORD_MEMBERS];

/* @kind is below KT_RECORD_COUNT. */
const struct kt_record_kind_row *kt_record_kind_row(enum kt_record_kind kind);
/* Members that a kind has, but that this kind may leave out. */
unsigned kt_record_optional(enum kt_record_kind kind);
/* A key comes with its algorithm; a ticket is for one device, or for a pattern. */
bool kt_record_is_valid(const struct kt_record *r);

#endif
