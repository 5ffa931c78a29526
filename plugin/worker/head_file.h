/*
 * head_file - the signed heads of the ledger, one JWS a line, where the ledger is not.
 *
 * Only grows. What a write that was not finished has left at its end is cut before the next one.
 * One thread at a time.
 */
#ifndef KT_HEAD_FILE_H
#define KT_HEAD_FILE_H

#include "durable_file.h"
#include "err.h"
#include "types.h"

/*
 * Appends @line and a line end, durable when it returns KT_ERR_OK. Creates the file (0600).
 * *known_size: of the file after the last append of this process, then it is not read; 0 at first,
 * and after a failure. KT_ERR_SYS (errno), KT_ERR_NOMEM, KT_ERR_TOO_LONG (path).
 */
KT_MUST_CHECK enum kt_err kt_head_file_append(const struct kt_fs *fs, const char *path,
					      struct kt_bytes line, uint64_t *known_size);

#endif
