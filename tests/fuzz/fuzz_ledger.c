#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* One file in memory, read only. */
struct input {
	const uint8_t *bytes;
	size_t len;
	size_t at;
};

static int input_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct input *in = ctx;

	(void)path;
	(void)flags;
	(void)mode;
	in->at = 0;
	return 3;
}

static ssize_t input_read(void *ctx, int fd, void *buf, size_t len)
{
	struct input *in = ctx;
	size_t left = in->len - in->at;

	(void)fd;
	if (len > left)
		len = left;
	if (len > 0)
		memcpy(buf, in->bytes + in->at, len);
	in->at += len;
	return (ssize_t)len;
}

static int input_drop_cache(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static int input_close(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static enum kt_err count(void *arg, const struct kt_record *record, const uint8_t hash[static 32])
{
	uint64_t *seen = arg;

	(void)hash;
	(*seen)++;
	if (record->seq != *seen)
		abort();
	return KT_ERR_OK;
}

/* What a scan accepts adds up; what it would cut leaves a ledger that is whole. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct input in = {.bytes = bytes, .len = len};
	struct kt_fs fs = {.ctx = &in,
			   .open = input_open,
			   .read = input_read,
			   .drop_cache = input_drop_cache,
			   .close = input_close};
	struct kt_ledger_state state;
	struct kt_ledger_state again;
	uint64_t bad_line = 0;
	uint64_t seen = 0;

	if (kt_ledger_scan(&fs, "/", count, &seen, &state, &bad_line) != KT_ERR_OK)
		return 0;
	if (state.seq != seen || state.size_bytes + state.cut_bytes != len)
		abort();
	in.len = (size_t)state.size_bytes;
	if (kt_ledger_scan(&fs, "/", NULL, NULL, &again, &bad_line) != KT_ERR_OK ||
	    again.seq != state.seq || again.cut_bytes != 0)
		abort();
	return 0;
}
