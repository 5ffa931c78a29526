/*
 * err - what went wrong, seen from a caller: one list, one convention.
 *
 * Every function that can fail returns enum kt_err and must be checked. Results go to the last
 * parameters and are zeroed first. Does not say what a peer is told: that is reason.h.
 */
#ifndef KT_ERR_H
#define KT_ERR_H

#include "types.h"

/* What a caller does about it. */
enum kt_err_class { KT_ERR_CLASS_OK, KT_ERR_CLASS_RETRY, KT_ERR_CLASS_REJECT, KT_ERR_CLASS_FATAL };

/* X(CODE, "stable token", CLASS, "text") */
#define KT_ERR_LIST(X)                                                                             \
	X(OK, "ok", OK, "success")                                                                 \
	X(INTERNAL, "internal", FATAL, "a defect in Keyturn itself")                               \
	X(NOMEM, "nomem", RETRY, "out of memory")                                                  \
	X(SYS, "sys", RETRY, "the operating system refused (errno is intact)")                     \
	X(BUSY, "busy", RETRY, "in use, or a queue is full")                                       \
	X(AGAIN, "again", RETRY, "not yet, ask later")                                             \
	X(INVALID, "invalid", REJECT, "malformed input")                                           \
	X(TOO_LONG, "too_long", REJECT, "longer than its limit")                                   \
	X(RANGE, "range", REJECT, "a number outside its range")                                    \
	X(UNKNOWN_FIELD, "unknown_field", REJECT, "a field, key or option that does not exist")    \
	X(MISSING_FIELD, "missing_field", REJECT, "a required field, key or option is missing")    \
	X(UNSUPPORTED, "unsupported", REJECT, "an algorithm or type we do not support")            \
	X(VERSION, "version", FATAL, "written by a newer version of Keyturn")                      \
	X(NOT_FOUND, "not_found", REJECT, "no such object")                                        \
	X(EXISTS, "exists", REJECT, "already there")                                               \
	X(DENIED, "denied", REJECT, "not allowed")                                                 \
	X(VERIFY, "verify", REJECT, "a signature, chain or name does not verify")                  \
	X(DATES, "dates", REJECT, "outside the dates of a certificate")                            \
	X(STATE, "state", REJECT, "not possible in this state")                                    \
	X(CORRUPT, "corrupt", FATAL, "stored data is damaged")                                     \
	X(ROLLED_BACK, "rolled_back", FATAL, "stored data is older than what was seen before")     \
	X(INSECURE, "insecure", FATAL, "owner or mode of a file is too open")                      \
	X(CRYPTO, "crypto", FATAL, "the crypto library failed")                                    \
	X(CLOSED, "closed", RETRY, "the connection or file is closed")

enum kt_err {
#define KT_ERR_ENUM(code, name, cls, text) KT_ERR_##code,
	KT_ERR_LIST(KT_ERR_ENUM)
#undef KT_ERR_ENUM
};

/* Stable token for logs; "?" for a value outside the list. Static string. */
const char *kt_err_name(enum kt_err err);
/* One line for a person. Static string. */
const char *kt_err_text(enum kt_err err);
enum kt_err_class kt_err_class(enum kt_err err);

enum { KT_ERR_CAUSE_MAX = 128 };
/*
 * For a person: of KT_ERR_SYS what the operating system said (@saved: its errno), else kt_err_text.
 * Static, or in @buf.
 */
const char *kt_err_cause(enum kt_err err, int saved, char buf[static KT_ERR_CAUSE_MAX]);

#endif
