#include "encoding.h"

#include <stdio.h>
#include <string.h>

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

/* Characters that @len bytes need, without padding; SIZE_MAX if that cannot be counted. */
static size_t digits_for(size_t len)
{
	if (len > SIZE_MAX / 2)
		return SIZE_MAX;
	return len / 3 * 4 + (len % 3 > 0 ? len % 3 + 1 : 0);
}

static size_t encode_digits(const uint8_t *bytes, size_t len, const char *digits, char *out)
{
	size_t written = 0;
	uint32_t bits = 0;
	unsigned bit_count = 0;

	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | bytes[i]) & 0xffff;
		bit_count += 8;
		while (bit_count >= 6) {
			bit_count -= 6;
			out[written++] = digits[bits >> bit_count & 0x3f];
		}
	}
	if (bit_count > 0)
		out[written++] = digits[bits << (6 - bit_count) & 0x3f];
	return written;
}

/* One more than the value of a digit that both alphabets have; 0: it is none of them. */
static const uint8_t common_digits[UINT8_MAX + 1] = {
	['A'] = 1,  ['B'] = 2,	['C'] = 3,  ['D'] = 4,	['E'] = 5,  ['F'] = 6,	['G'] = 7,
	['H'] = 8,  ['I'] = 9,	['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
	['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
	['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
	['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
	['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
	['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62};

/* 0-63, or -1 for a character outside the alphabet. */
static int digit_value(char c, const char *digits)
{
	const int value = common_digits[(uint8_t)c];

	if (value > 0)
		return value - 1;
	if (c == digits[62])
		return 62;
	return c == digits[63] ? 63 : -1;
}

static enum kt_err decode_digits(const char *text, size_t text_len, const char *digits,
				 uint8_t *out, size_t cap)
{
	uint32_t bits = 0;
	unsigned bit_count = 0;
	size_t written = 0;

	if (text_len % 4 == 1)
		return KT_ERR_INVALID;
	if (text_len / 4 * 3 + text_len % 4 * 3 / 4 > cap)
		return KT_ERR_TOO_LONG;
	for (size_t i = 0; i < text_len; i++) {
		int value = digit_value(text[i], digits);

		if (value < 0)
			return KT_ERR_INVALID;
		bits = (bits << 6 | (uint32_t)value) & 0xffff;
		bit_count += 6;
		if (bit_count >= 8) {
			bit_count -= 8;
			out[written++] = (uint8_t)(bits >> bit_count);
		}
	}
	/* Bits beyond the last byte: a second spelling of the same bytes. */
	return (bits & ((1u << bit_count) - 1)) == 0 ? KT_ERR_OK : KT_ERR_INVALID;
}

enum kt_err kt_b64url_encode(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
	if (cap > 0)
		out[0] = '\0';
	if (digits_for(len) >= cap)
		return KT_ERR_TOO_LONG;
	out[encode_digits(bytes, len, b64url_digits, out)] = '\0';
	return KT_ERR_OK;
}

enum kt_err kt_b64url_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
			     size_t *out_len)
{
	enum kt_err err;

	*out_len = 0;
	err = decode_digits(text, text_len, b64url_digits, out, cap);
	if (err == KT_ERR_OK)
		*out_len = text_len / 4 * 3 + text_len % 4 * 3 / 4;
	return err;
}

enum kt_err kt_b64_encode(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
	size_t written;

	if (cap > 0)
		out[0] = '\0';
	if (len > SIZE_MAX / 2 || (len + 2) / 3 * 4 >= cap)
		return KT_ERR_TOO_LONG;
	written = encode_digits(bytes, len, b64_digits, out);
	while (written % 4 != 0)
		out[written++] = '=';
	out[written] = '\0';
	return KT_ERR_OK;
}

enum kt_err kt_b64_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
			  size_t *out_len)
{
	enum kt_err err;
	size_t len = text_len;

	*out_len = 0;
	if (text_len % 4 != 0)
		return KT_ERR_INVALID;
	/* At most two, and only at the end: any other '=' is outside the alphabet. */
	for (int i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
		len--;
	err = decode_digits(text, len, b64_digits, out, cap);
	if (err == KT_ERR_OK)
		*out_len = len / 4 * 3 + len % 4 * 3 / 4;
	return err;
}

enum kt_err kt_hex_encode(const uint8_t *bytes, size_t len, char *out, size_t cap)
{
	if (cap > 0)
		out[0] = '\0';
	if (cap == 0 || len > (cap - 1) / 2)
		return KT_ERR_TOO_LONG;
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex_digits[bytes[i] >> 4];
		out[2 * i + 1] = hex_digits[bytes[i] & 0x0f];
	}
	out[2 * len] = '\0';
	return KT_ERR_OK;
}

/* One more than the value of a digit; 0: it is none. */
static const uint8_t hex_values[UINT8_MAX + 1] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};

static int hex_value(char c)
{
	return hex_values[(uint8_t)c] - 1;
}

enum kt_err kt_hex_decode(const char *text, size_t text_len, uint8_t *out, size_t len)
{
	if (text_len % 2 != 0 || text_len / 2 != len)
		return KT_ERR_INVALID;
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text[2 * i]);
		int low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return KT_ERR_INVALID;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return KT_ERR_OK;
}

enum kt_err kt_u64_decode(const char *text, size_t text_len, uint64_t *out)
{
	uint64_t value = 0;
	bool overflowed = false;

	*out = 0;
	if (text_len == 0 || (text[0] == '0' && text_len > 1))
		return KT_ERR_INVALID;
	for (size_t i = 0; i < text_len; i++) {
		unsigned digit;

		if (text[i] < '0' || text[i] > '9')
			return KT_ERR_INVALID;
		digit = (unsigned)(text[i] - '0');
		if (value > (UINT64_MAX - digit) / 10)
			overflowed = true;
		else
			value = value * 10 + digit;
	}
	if (overflowed)
		return KT_ERR_RANGE;
	*out = value;
	return KT_ERR_OK;
}

void kt_u64_encode(uint64_t value, char out[static KT_U64_DIGITS_MAX + 1])
{
	(void)snprintf(out, KT_U64_DIGITS_MAX + 1, "%llu", (unsigned long long)value);
}

bool kt_version_decode(const char *text, uint64_t *out)
{
	uint64_t version = 0;
	size_t count = 0;

	*out = 0;
	while (count < 4) {
		const size_t digits = strspn(text, "0123456789");
		uint64_t number = 0;

		if (digits == 0)
			break;
		for (size_t i = 0; i < digits && number <= UINT16_MAX; i++)
			number = number * 10 + (uint64_t)(text[i] - '0');
		if (number > UINT16_MAX)
			return false;
		version |= number << (16 * (3 - count++));
		text += digits;
		if (text[0] != '.')
			break;
		text++;
	}
	*out = version;
	return count > 0;
}

void kt_version_encode(uint64_t version, char out[static KT_VERSION_TEXT_MAX + 1])
{
	const unsigned parts[] = {(unsigned)(version >> 48), (unsigned)(version >> 32 & UINT16_MAX),
				  (unsigned)(version >> 16 & UINT16_MAX),
				  (unsigned)(version & UINT16_MAX)};
	const int len =
		snprintf(out, KT_VERSION_TEXT_MAX + 1, "%u.%u.%u", parts[0], parts[1], parts[2]);

	if (parts[3] != 0)
		(void)snprintf(out + len, KT_VERSION_TEXT_MAX + 1 - (size_t)len, ".%u", parts[3]);
}

/* Bytes of the sequence that starts with @lead (RFC 3629 section 4), 0 if none does. */
static size_t utf8_len(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	if (lead < 0xe0)
		return 2;
	return lead < 0xf0 ? 3 : 4;
}

/* The second byte carries what makes a sequence overlong, a surrogate or too large. */
static bool is_utf8_second(uint8_t lead, uint8_t second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return second >= 0x80 && second <= 0xbf;
	}
}

/* Nearly all of our texts is: looked at by the word. */
static bool are_ascii(const uint8_t text[static 8])
{
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool kt_is_utf8(const uint8_t *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t need = 0;

		if (len - i >= 8 && are_ascii(text + i)) {
			i += 8;
			continue;
		}
		need = utf8_len(text[i]);
		if (need == 0 || need > len - i)
			return false;
		if (need > 1 && !is_utf8_second(text[i], text[i + 1]))
			return false;
		for (size_t k = 2; k < need; k++) {
			if ((text[i + k] & 0xc0) != 0x80)
				return false;
		}
		i += need;
	}
	return true;
}
