#include "secmem.h"

#include <stdlib.h>
#include <string.h>

enum { SECRET_MAX = 64 * 1024 };

struct kt_secret {
	size_t len;
	size_t cap; /* what was allocated: wiped whole */
	uint8_t bytes[];
};

void kt_wipe(void *p, size_t len)
{
	if (len > 0)
		explicit_bzero(p, len);
}

bool kt_ct_equal(const void *a, const void *b, size_t len)
{
	/* volatile: no compiler may leave the loop at the first difference */
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	volatile uint8_t difference = 0;

	for (size_t i = 0; i < len; i++)
		difference = (uint8_t)(difference | (x[i] ^ y[i]));
	return difference == 0;
}

enum kt_err kt_secret_new(size_t len, struct kt_secret **out)
{
	struct kt_secret *secret;

	*out = NULL;
	if (len > SECRET_MAX)
		return KT_ERR_TOO_LONG;
	secret = calloc(1, sizeof(*secret) + len);
	if (secret == NULL)
		return KT_ERR_NOMEM;
	secret->len = len;
	secret->cap = len;
	*out = secret;
	return KT_ERR_OK;
}

enum kt_err kt_secret_copy(const void *bytes, size_t len, struct kt_secret **out)
{
	enum kt_err err = kt_secret_new(len, out);

	if (err == KT_ERR_OK && len > 0)
		memcpy((*out)->bytes, bytes, len);
	return err;
}

void kt_secret_free(struct kt_secret *secret)
{
	if (secret == NULL)
		return;
	kt_wipe(secret->bytes, secret->cap);
	free(secret);
}

uint8_t *kt_secret_bytes(struct kt_secret *secret)
{
	return secret->bytes;
}

struct kt_bytes kt_secret_view(const struct kt_secret *secret)
{
	return (struct kt_bytes){.p = secret->bytes, .len = secret->len};
}

size_t kt_secret_len(const struct kt_secret *secret)
{
	return secret->len;
}

void kt_secret_truncate(struct kt_secret *secret, size_t len)
{
	if (len >= secret->len)
		return;
	kt_wipe(secret->bytes + len, secret->len - len);
	secret->len = len;
}
