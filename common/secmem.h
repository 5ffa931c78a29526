/*
 * secmem - the only holder of private bytes: wiped on every path, never printed.
 *
 * Any thread; one owner per secret.
 */
#ifndef KT_SECMEM_H
#define KT_SECMEM_H

#include "err.h"

struct kt_secret; /* owned, opaque */

/* @len bytes, zeroed. KT_ERR_NOMEM, KT_ERR_TOO_LONG over 64 KiB. Free with kt_secret_free. */
KT_MUST_CHECK enum kt_err kt_secret_new(size_t len, struct kt_secret **out);
/* The same, filled with a copy of @bytes; the caller wipes his own. */
KT_MUST_CHECK enum kt_err kt_secret_copy(const void *bytes, size_t len, struct kt_secret **out);
/* Wipes and frees; NULL is fine. */
void kt_secret_free(struct kt_secret *secret);
/* Borrowed, valid until kt_secret_free. */
uint8_t *kt_secret_bytes(struct kt_secret *secret);
struct kt_bytes kt_secret_view(const struct kt_secret *secret);
size_t kt_secret_len(const struct kt_secret *secret);
/* Gives back the end of the buffer (wiped): @len must not be more than the present length. */
void kt_secret_truncate(struct kt_secret *secret, size_t len);

/* Overwrites; never optimised away. NULL with 0 is fine. */
void kt_wipe(void *p, size_t len);
/* Equality in time that depends on @len alone. */
bool kt_ct_equal(const void *a, const void *b, size_t len);

#endif
