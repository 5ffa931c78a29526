#include "head_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 65536, PATH_CAP = 4096 };

/* *end: behind the last line end. *size: of the file. */
static enum kt_err read_through(const struct kt_fs *fs, int fd, uint64_t *end, uint64_t *size)
{
	uint8_t *block = malloc(BLOCK);
	enum kt_err err = KT_ERR_OK;

	*end = 0;
	*size = 0;
	if (block == NULL)
		return KT_ERR_NOMEM;
	for (;;) {
		const ssize_t n = fs->read(fs->ctx, fd, block, BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = KT_ERR_SYS;
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (block[i] == '\n')
				*end = *size + (uint64_t)i + 1;
		}
		*size += (uint64_t)n;
	}
	free(block); /* leaves errno alone */
	return err;
}

/* What is left of an unfinished write goes: a later line would be one with it. */
static enum kt_err settle_end(const struct kt_fs *fs, int fd, uint64_t known_size, uint64_t *size)
{
	uint64_t end = 0;
	struct stat st;
	enum kt_err err;

	if (fs->fstat(fs->ctx, fd, &st) != 0)
		return KT_ERR_SYS;
	*size = (uint64_t)st.st_size;
	if (known_size > 0 && *size == known_size)
		return KT_ERR_OK;
	err = read_through(fs, fd, &end, size);
	if (err != KT_ERR_OK || end == *size)
		return err;
	*size = end;
	return fs->ftruncate(fs->ctx, fd, (off_t)end) == 0 ? KT_ERR_OK : KT_ERR_SYS;
}

static enum kt_err write_line(const struct kt_fs *fs, int fd, struct kt_bytes line)
{
	uint8_t *text = malloc(line.len + 1);
	enum kt_err err;
	int saved;

	if (text == NULL)
		return KT_ERR_NOMEM;
	memcpy(text, line.p, line.len);
	text[line.len] = '\n';
	err = kt_write_all(fs, fd, (struct kt_bytes){text, line.len + 1});
	if (err == KT_ERR_OK && fs->fdatasync(fs->ctx, fd) != 0)
		err = KT_ERR_SYS;
	saved = errno;
	free(text);
	errno = saved;
	return err;
}

/* The name of a new file is on disk as well. */
static enum kt_err sync_name(const struct kt_fs *fs, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_CAP];
	size_t len;

	if (slash == NULL)
		return kt_dir_sync(fs, ".");
	len = slash == path ? 1 : (size_t)(slash - path);
	if (len >= sizeof(dir))
		return KT_ERR_TOO_LONG;
	memcpy(dir, path, len);
	dir[len] = '\0';
	return kt_dir_sync(fs, dir);
}

enum kt_err kt_head_file_append(const struct kt_fs *fs, const char *path, struct kt_bytes line,
				uint64_t *known_size)
{
	const int fd = fs->open(fs->ctx, path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				S_IRUSR | S_IWUSR);
	const uint64_t known = *known_size;
	uint64_t size = 0;
	enum kt_err err;
	int saved;

	*known_size = 0;
	if (fd < 0)
		return KT_ERR_SYS;
	err = settle_end(fs, fd, known, &size);
	if (err == KT_ERR_OK)
		err = write_line(fs, fd, line);
	if (err == KT_ERR_OK && known == 0)
		err = sync_name(fs, path);
	if (err == KT_ERR_OK)
		*known_size = size + line.len + 1;
	saved = errno;
	(void)fs->close(fs->ctx, fd);
	errno = saved;
	return err;
}
