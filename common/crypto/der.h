/*
 * der - a small, strict reader and writer of DER (ITU-T X.690), as certificates and requests use
 * it.
 *
 * Reads one-byte tags and definite lengths in their shortest form, up to four bytes of length;
 * everything else is refused, so that no two texts mean the same. Errors stick: after the first one
 * a reader gives empty values and a writer writes nothing, and the caller asks once, at the end.
 * Knows no certificates. No allocation, no recursion. Any thread.
 */
#ifndef KT_DER_H
#define KT_DER_H

#include "err.h"

enum kt_der_tag {
	KT_DER_BOOLEAN = 0x01,
	KT_DER_INTEGER = 0x02,
	KT_DER_BIT_STRING = 0x03,
	KT_DER_OCTET_STRING = 0x04,
	KT_DER_OID = 0x06,
	KT_DER_UTF8_STRING = 0x0c,
	KT_DER_PRINTABLE_STRING = 0x13,
	KT_DER_IA5_STRING = 0x16,
	KT_DER_UTC_TIME = 0x17,
	KT_DER_GENERALIZED_TIME = 0x18,
	KT_DER_SEQUENCE = 0x30,
	KT_DER_SET = 0x31,
	KT_DER_CONTEXT = 0x80,	   /* [0] IMPLICIT of a simple type; or in the number */
	KT_DER_CONSTRUCTED = 0x20, /* to be or'ed: [0] EXPLICIT is 0xa0 */
	KT_DER_EXPLICIT = 0xa0
};

struct kt_der { /* a reader: a value, borrows the bytes */
	const uint8_t *p;
	size_t left;
	bool bad;
};

struct kt_der kt_der_of(struct kt_bytes bytes);
/* True while a further element begins with @tag. */
bool kt_der_is_next(const struct kt_der *d, unsigned tag);
/* Bytes are left and nothing was wrong so far. */
bool kt_der_has_more(const struct kt_der *d);
/* Everything was read and nothing was wrong. */
bool kt_der_is_done(const struct kt_der *d);
void kt_der_fail(struct kt_der *d);

/* The next element's content; an error unless its tag is @tag. Borrowed, as are all that follow. */
struct kt_bytes kt_der_take(struct kt_der *d, unsigned tag);
/* The next element with its tag and length. */
struct kt_bytes kt_der_take_whole(struct kt_der *d, unsigned tag);
/* The next element, whatever it is; *tag may be NULL. */
struct kt_bytes kt_der_take_any(struct kt_der *d, unsigned *tag);
/* A reader of the next element's content: bad if @d is. */
struct kt_der kt_der_enter(struct kt_der *d, unsigned tag);
bool kt_der_take_bool(struct kt_der *d);
/* Magnitude of a non-negative INTEGER, without a leading zero byte (0 is one zero byte). */
struct kt_bytes kt_der_take_unsigned(struct kt_der *d);
/* A non-negative INTEGER up to 65535. */
unsigned kt_der_take_small(struct kt_der *d);
/* BIT STRING of whole bytes, as keys and signatures are. */
struct kt_bytes kt_der_take_bytes(struct kt_der *d);
/* UTCTime or GeneralizedTime of RFC 5280 section 4.1.2.5: seconds since 1970, UTC. */
int64_t kt_der_take_time(struct kt_der *d);

struct kt_der_writer {
	uint8_t *p;
	size_t cap;
	size_t len;
	bool bad; /* did not fit */
};

struct kt_der_writer kt_der_writer_of(uint8_t *out, size_t cap);
/* Begins an element; returns the mark that kt_der_close wants. Closed in reverse order. */
size_t kt_der_open(struct kt_der_writer *w, unsigned tag);
void kt_der_close(struct kt_der_writer *w, size_t mark);
void kt_der_put(struct kt_der_writer *w, unsigned tag, const void *content, size_t len);
/* Bytes that are DER already. */
void kt_der_put_raw(struct kt_der_writer *w, const void *der, size_t len);
/* A non-negative INTEGER from its big-endian magnitude. */
void kt_der_put_unsigned(struct kt_der_writer *w, const uint8_t *magnitude, size_t len);
/* UTCTime up to 2049, GeneralizedTime from then on; years 1950 to 9999. */
void kt_der_put_time(struct kt_der_writer *w, int64_t time_s);

#endif
