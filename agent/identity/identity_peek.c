/* A look at the record from outside: nothing is locked, made or repaired. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "identity_internal.h"

/* Asks, and takes nothing: an agent that starts in this moment is not in the way of a look. */
static bool is_locked(const char *path)
{
	struct flock held = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool is_held = false;

	if (fd < 0)
		return false;
	is_held = fcntl(fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK;
	(void)close(fd);
	return is_held;
}

enum kt_err kt_identity_peek(const char *state_dir, struct kt_agent_record *out, bool *is_used)
{
	struct kt_agent_record record = {0};
	char path[KT_IDENTITY_PATH];
	enum kt_err result = KT_ERR_NOT_FOUND;

	memset(out, 0, sizeof(*out));
	*is_used = false;
	if (strlen(state_dir) + sizeof("/record.0") > sizeof(path))
		return KT_ERR_TOO_LONG;
	for (size_t i = 0; i < 2; i++) {
		struct kt_secret *text = NULL;
		struct kt_bytes view;
		enum kt_err err = KT_ERR_OK;

		(void)snprintf(path, sizeof(path), "%s/%s", state_dir, kt_identity_copies[i]);
		err = kt_file_read(kt_fs_posix(), path, KT_AGENT_RECORD_BLOCK, &text);
		if (err == KT_ERR_OK) {
			view = kt_secret_view(text);
			err = kt_agent_record_decode(view.p, view.len, &record);
			kt_secret_free(text);
		}
		if (err == KT_ERR_VERSION) { /* as kt_identity_open: whatever the other copy says */
			memset(out, 0, sizeof(*out));
			result = err;
			break;
		}
		if (err == KT_ERR_OK && (result != KT_ERR_OK || record.seq > out->seq))
			*out = record;
		if (err == KT_ERR_OK || (result != KT_ERR_OK && err != KT_ERR_NOT_FOUND))
			result = err;
	}
	(void)snprintf(path, sizeof(path), "%s/lock", state_dir);
	*is_used = is_locked(path);
	return result;
}
