#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ledger.h"

enum { BLOCK = 65536 };

struct copy {
	const struct kt_fs *fs;
	int in;
	int out;
	uint8_t *buf; /* BLOCK bytes */
};

static void close_quietly(const struct kt_fs *fs, int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)fs->close(fs->ctx, fd);
	errno = saved;
}

static enum kt_err copy_bytes(const struct copy *c, uint64_t size)
{
	enum kt_err err = KT_ERR_OK;

	while (err == KT_ERR_OK && size > 0) {
		size_t want = size < BLOCK ? (size_t)size : BLOCK;
		ssize_t n = c->fs->read(c->fs->ctx, c->in, c->buf, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KT_ERR_SYS;
		if (n == 0)
			return KT_ERR_STATE;
		err = kt_write_all(c->fs, c->out,
				   (struct kt_bytes){(const uint8_t *)c->buf, (size_t)n});
		size -= (uint64_t)n;
	}
	if (err == KT_ERR_OK && c->fs->fsync(c->fs->ctx, c->out) != 0)
		err = KT_ERR_SYS;
	return err;
}

enum kt_err kt_ledger_copy(const struct kt_fs *fs, const char *from, const char *to, uint64_t size)
{
	struct copy c = {.fs = fs, .in = -1, .out = -1, .buf = malloc(BLOCK)};
	enum kt_err err = c.buf == NULL ? KT_ERR_NOMEM : KT_ERR_SYS;

	if (c.buf == NULL)
		goto out;
	c.in = fs->open(fs->ctx, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (c.in < 0)
		goto out;
	c.out = fs->open(fs->ctx, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			 S_IRUSR | S_IWUSR);
	if (c.out < 0)
		goto out;
	err = copy_bytes(&c, size);
out:
	close_quietly(fs, c.out);
	close_quietly(fs, c.in);
	free(c.buf);
	return err;
}
