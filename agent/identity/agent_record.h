/*
 * agent_record - the agent's record as bytes: one block of fixed size.
 *
 * Line 1: JSON with "v":1. Line 2: SHA-256 of line 1 in hex. Then blanks up to the size, a newline
 * last. The size is fixed so that a copy is rewritten in place and never grows: what a power cut
 * tears is found by the hash, and the other copy counts. Those two lines are the same in every
 * version. Does not touch files. Any thread.
 */
#ifndef KT_AGENT_RECORD_H
#define KT_AGENT_RECORD_H

#include "err.h"
#include "identity_store.h"

enum { KT_AGENT_RECORD_BLOCK = 4096 };

/* KT_ERR_INVALID: a record that contradicts itself. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_agent_record_encode(const struct kt_agent_record *record,
						 uint8_t out[static KT_AGENT_RECORD_BLOCK]);
/*
 * KT_ERR_CORRUPT: not a whole block, or another hash. KT_ERR_VERSION: whole, but of a newer
 * version. KT_ERR_INVALID: whole, but not ours or contradicting itself. KT_ERR_NOMEM. @out is
 * zeroed then.
 */
KT_MUST_CHECK enum kt_err kt_agent_record_decode(const uint8_t *block, size_t len,
						 struct kt_agent_record *out);

#endif
