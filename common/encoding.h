/*
 * encoding - base64url (RFC 4648 section 5, without padding), base64, hex and decimal digits;
 * well-formed UTF-8.
 *
 * Canonical only: a decoder refuses anything that its encoder would not have written (trailing
 * bits, padding, upper-case hex, leading zeros). No allocation. Any thread.
 */
#ifndef KT_ENCODING_H
#define KT_ENCODING_H

#include "err.h"

/* Characters without the NUL. */
#define KT_B64URL_LEN(bytes) (((bytes)*4u + 2u) / 3u)
#define KT_HEX_LEN(bytes)    ((bytes)*2u)
enum { KT_U64_DIGITS_MAX = 20 };

/* Writes KT_B64URL_LEN(len) characters and a NUL. KT_ERR_TOO_LONG if @cap is too small. */
KT_MUST_CHECK enum kt_err kt_b64url_encode(const uint8_t *bytes, size_t len, char *out, size_t cap);
/* @text need not be NUL-terminated. KT_ERR_INVALID, KT_ERR_TOO_LONG; *out_len is 0 then. */
KT_MUST_CHECK enum kt_err kt_b64url_decode(const char *text, size_t text_len, uint8_t *out,
					   size_t cap, size_t *out_len);
/* Standard alphabet with padding (x5c, RFC 7515 section 4.1.6). Needs ((len + 2) / 3) * 4 + 1. */
KT_MUST_CHECK enum kt_err kt_b64_encode(const uint8_t *bytes, size_t len, char *out, size_t cap);
KT_MUST_CHECK enum kt_err kt_b64_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
					size_t *out_len);
/* Lower case; needs 2 * len + 1. */
KT_MUST_CHECK enum kt_err kt_hex_encode(const uint8_t *bytes, size_t len, char *out, size_t cap);
/* Exactly 2 * @len lower-case digits. KT_ERR_INVALID. */
KT_MUST_CHECK enum kt_err kt_hex_decode(const char *text, size_t text_len, uint8_t *out,
					size_t len);
/* Decimal digits without sign, blanks or leading zeros. KT_ERR_INVALID, KT_ERR_RANGE. */
KT_MUST_CHECK enum kt_err kt_u64_decode(const char *text, size_t text_len, uint64_t *out);
/* Writes at most KT_U64_DIGITS_MAX digits and a NUL. */
void kt_u64_encode(uint64_t value, char out[static KT_U64_DIGITS_MAX + 1]);

/*
 * "1.4.2": one to four numbers of at most 65535 with dots between; what stands behind them is
 * passed over ("1.4.2-rc1"). *out orders as versions do; false, and 0, if there is no number.
 */
bool kt_version_decode(const char *text, uint64_t *out);
enum { KT_VERSION_TEXT_MAX = 23 };
/* At least three numbers. */
void kt_version_encode(uint64_t version, char out[static KT_VERSION_TEXT_MAX + 1]);

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. A NUL byte is valid. */
bool kt_is_utf8(const uint8_t *text, size_t len);

#endif
