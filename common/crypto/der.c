#include "der.h"

#include <stdio.h>
#include <string.h>

enum { LENGTH_BYTES_MAX = 4 }; /* a list of a million revoked certificates needs four */

struct kt_der kt_der_of(struct kt_bytes bytes)
{
	struct kt_der d = {bytes.p, bytes.len, false};

	return d;
}

bool kt_der_is_next(const struct kt_der *d, unsigned tag)
{
	return !d->bad && d->left > 0 && d->p[0] == tag;
}

bool kt_der_has_more(const struct kt_der *d)
{
	return !d->bad && d->left > 0;
}

bool kt_der_is_done(const struct kt_der *d)
{
	return !d->bad && d->left == 0;
}

void kt_der_fail(struct kt_der *d)
{
	d->bad = true;
	d->left = 0;
}

/* Content length and header length of the element at hand; false unless it is whole. */
static bool read_header(const struct kt_der *d, size_t *header, size_t *content)
{
	size_t len;
	size_t used = 2;

	if (d->bad || d->left < 2 || (d->p[0] & 0x1f) == 0x1f)
		return false;
	len = d->p[1];
	if (len >= 0x80) {
		size_t count = len - 0x80;

		if (count == 0 || count > LENGTH_BYTES_MAX || d->left < used + count ||
		    d->p[2] == 0)
			return false;
		len = 0;
		for (size_t i = 0; i < count; i++)
			len = len << 8 | d->p[used + i];
		if (len < 0x80)
			return false;
		used += count;
	}
	if (len > d->left - used)
		return false;
	*header = used;
	*content = len;
	return true;
}

struct kt_bytes kt_der_take_any(struct kt_der *d, unsigned *tag)
{
	struct kt_bytes out = {NULL, 0};
	size_t header = 0;
	size_t content = 0;

	if (tag != NULL)
		*tag = 0;
	if (!read_header(d, &header, &content)) {
		kt_der_fail(d);
		return out;
	}
	if (tag != NULL)
		*tag = d->p[0];
	out.p = d->p + header;
	out.len = content;
	d->p += header + content;
	d->left -= header + content;
	return out;
}

struct kt_bytes kt_der_take(struct kt_der *d, unsigned tag)
{
	struct kt_bytes none = {NULL, 0};

	if (!kt_der_is_next(d, tag)) {
		kt_der_fail(d);
		return none;
	}
	return kt_der_take_any(d, NULL);
}

struct kt_bytes kt_der_take_whole(struct kt_der *d, unsigned tag)
{
	struct kt_bytes out = {d->p, 0};

	(void)kt_der_take(d, tag);
	if (d->bad)
		out.p = NULL;
	else
		out.len = (size_t)(d->p - out.p);
	return out;
}

struct kt_der kt_der_enter(struct kt_der *d, unsigned tag)
{
	struct kt_der inner = kt_der_of(kt_der_take(d, tag));

	inner.bad = d->bad;
	return inner;
}

bool kt_der_take_bool(struct kt_der *d)
{
	struct kt_bytes body = kt_der_take(d, KT_DER_BOOLEAN);

	if (body.len != 1 || (body.p[0] != 0x00 && body.p[0] != 0xff)) {
		kt_der_fail(d);
		return false;
	}
	return body.p[0] == 0xff;
}

struct kt_bytes kt_der_take_unsigned(struct kt_der *d)
{
	struct kt_bytes none = {NULL, 0};
	struct kt_bytes body = kt_der_take(d, KT_DER_INTEGER);

	if (body.len == 0 || (body.p[0] & 0x80) != 0) {
		kt_der_fail(d);
		return none;
	}
	if (body.len > 1 && body.p[0] == 0) {
		if ((body.p[1] & 0x80) == 0) { /* X.690 section 8.3.2: not the shortest form */
			kt_der_fail(d);
			return none;
		}
		body.p++;
		body.len--;
	}
	return body;
}

unsigned kt_der_take_small(struct kt_der *d)
{
	struct kt_bytes body = kt_der_take_unsigned(d);

	if (body.len == 1)
		return body.p[0];
	if (body.len == 2)
		return (unsigned)body.p[0] << 8 | body.p[1];
	kt_der_fail(d);
	return 0;
}

struct kt_bytes kt_der_take_bytes(struct kt_der *d)
{
	struct kt_bytes none = {NULL, 0};
	struct kt_bytes body = kt_der_take(d, KT_DER_BIT_STRING);

	if (body.len == 0 || body.p[0] != 0) {
		kt_der_fail(d);
		return none;
	}
	body.p++;
	body.len--;
	return body;
}

/* --- times --- */

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar; years from 1950 on. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t m = month <= 2 ? month + 9 : month - 3; /* March is 0: the leap day comes last */

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : days[month - 1];
}

/* @count digits as a number, or -1. */
static int read_digits(const uint8_t *p, size_t count)
{
	int value = 0;

	for (size_t i = 0; i < count; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		value = value * 10 + (p[i] - '0');
	}
	return value;
}

int64_t kt_der_take_time(struct kt_der *d)
{
	bool is_utc = kt_der_is_next(d, KT_DER_UTC_TIME);
	size_t year_len = is_utc ? 2 : 4;
	struct kt_bytes body = kt_der_take(d, is_utc ? KT_DER_UTC_TIME : KT_DER_GENERALIZED_TIME);
	int field[5];
	int year;

	if (body.len != year_len + 11 || body.p[body.len - 1] != 'Z')
		goto bad;
	year = read_digits(body.p, year_len);
	for (size_t i = 0; i < 5; i++)
		field[i] = read_digits(body.p + year_len + 2 * i, 2);
	if (is_utc && year >= 0)
		year += year >= 50 ? 1900 : 2000;
	if (year < 1950 || field[0] < 1 || field[0] > 12 || field[1] < 1 ||
	    field[1] > days_in_month(year, field[0]) || field[2] < 0 || field[2] > 23 ||
	    field[3] < 0 || field[3] > 59 || field[4] < 0 || field[4] > 59)
		goto bad;
	return ((days_of(year, field[0], field[1]) * 24 + field[2]) * 60 + field[3]) * 60 +
	       field[4];
bad:
	kt_der_fail(d);
	return 0;
}

/* --- writer --- */

struct kt_der_writer kt_der_writer_of(uint8_t *out, size_t cap)
{
	struct kt_der_writer w = {NULL, cap, 0, false};

	w.p = out;
	return w;
}

void kt_der_put_raw(struct kt_der_writer *w, const void *der, size_t len)
{
	if (w->bad || len > w->cap - w->len) {
		w->bad = true;
		return;
	}
	if (len > 0)
		memcpy(w->p + w->len, der, len);
	w->len += len;
}

size_t kt_der_open(struct kt_der_writer *w, unsigned tag)
{
	uint8_t byte = (uint8_t)tag;

	kt_der_put_raw(w, &byte, 1);
	return w->len;
}

void kt_der_close(struct kt_der_writer *w, size_t mark)
{
	uint8_t head[1 + LENGTH_BYTES_MAX];
	size_t head_len = 1;
	size_t len = w->len - mark;
	size_t count = 0;

	if (w->bad || len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	if (len < 0x80) {
		head[0] = (uint8_t)len;
	} else {
		while (count < LENGTH_BYTES_MAX && len >> (8 * count) != 0)
			count++;
		head[0] = (uint8_t)(0x80 + count);
		for (size_t i = 0; i < count; i++)
			head[1 + i] = (uint8_t)(len >> (8 * (count - 1 - i)));
		head_len += count;
	}
	if (head_len > w->cap - w->len) {
		w->bad = true;
		return;
	}
	memmove(w->p + mark + head_len, w->p + mark, len);
	memcpy(w->p + mark, head, head_len);
	w->len += head_len;
}

void kt_der_put(struct kt_der_writer *w, unsigned tag, const void *content, size_t len)
{
	size_t mark = kt_der_open(w, tag);

	kt_der_put_raw(w, content, len);
	kt_der_close(w, mark);
}

void kt_der_put_unsigned(struct kt_der_writer *w, const uint8_t *magnitude, size_t len)
{
	static const uint8_t zero = 0;
	size_t mark = kt_der_open(w, KT_DER_INTEGER);

	while (len > 0 && magnitude[0] == 0) {
		magnitude++;
		len--;
	}
	if (len == 0 || (magnitude[0] & 0x80) != 0)
		kt_der_put_raw(w, &zero, 1);
	kt_der_put_raw(w, magnitude, len);
	kt_der_close(w, mark);
}

void kt_der_put_time(struct kt_der_writer *w, int64_t time_s)
{
	char text[sizeof("YYYYMMDDHHMMSSZ")];
	int64_t days = time_s / 86400;
	int64_t seconds = time_s % 86400;
	int year = 1950;
	int month = 1;
	unsigned day;
	unsigned second;
	int n;

	if (seconds < 0) {
		seconds += 86400;
		days--;
	}
	if (days < days_of(1950, 1, 1) || days >= days_of(10000, 1, 1)) {
		w->bad = true;
		return;
	}
	while (days >= days_of(year + 1, 1, 1))
		year++;
	while (month < 12 && days >= days_of(year, month + 1, 1))
		month++;
	day = (unsigned)(days - days_of(year, month, 1)) + 1;
	second = (unsigned)seconds;
	/* The remainders change nothing: they show the compiler how long the text can be. */
	n = snprintf(text, sizeof(text), "%04u%02u%02u%02u%02u%02uZ", (unsigned)year % 10000u,
		     (unsigned)month % 100u, day % 100u, second / 3600u % 24u, second / 60u % 60u,
		     second % 60u);
	if (n != 15) {
		w->bad = true;
		return;
	}
	if (year < 2050)
		kt_der_put(w, KT_DER_UTC_TIME, text + 2, 13);
	else
		kt_der_put(w, KT_DER_GENERALIZED_TIME, text, 15);
}
