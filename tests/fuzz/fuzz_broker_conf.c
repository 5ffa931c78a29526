#include "broker_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void on_warning(void *ctx, const char *sentence)
{
	size_t *count = ctx;
	*count += strlen(sentence) > 0;
}

/* The reader takes a path: the text goes through a file in memory. No include_dir: the fuzzer would
 * walk this machine. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_broker_conf out;
	char path[64];
	char why[512];
	size_t warnings = 0;

	(void)kt_broker_conf_from_cmdline((const char *)bytes, len);
	if (memmem(bytes, len, "include_dir", 11) != NULL) {
		return 0;
	}
	int fd = memfd_create("m.conf", MFD_CLOEXEC);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
		abort();
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	enum kt_err err = kt_broker_conf_check(path, NULL, on_warning, &warnings, &out, why);
	if ((err == KT_ERR_OK) != (why[0] == '\0')) {
		abort();
	}
	if (err == KT_ERR_OK && !out.has_certificate_listener) {
		abort();
	}
	(void)close(fd);
	return 0;
}
