/*
 * A file with certificates that an operator imports: the first byte says where the device's id
 * comes from, the rest is the file.
 */
#include "import_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* To be sent, or not and why: never both, never neither. */
static void check(const struct kt_found *found)
{
	struct kt_cert cert;

	if (found->der == NULL) {
		FUZZ_REQUIRE(found->is_skipped || found->detail[0] != '\0');
		return;
	}
	FUZZ_REQUIRE(!found->is_skipped && found->reason == KT_REASON_NONE);
	FUZZ_REQUIRE(kt_is_device_id(found->device.s, strlen(found->device.s)));
	FUZZ_REQUIRE(kt_cert_decode(found->der, found->der_len, &cert) == KT_ERR_OK && !cert.is_ca);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input in = {bytes, len};
	const enum kt_id_source source = (enum kt_id_source)fuzz_below(&in, 3);
	struct kt_found_list list = {0};
	const int fd = memfd_create("import", MFD_CLOEXEC);
	char path[64];

	FUZZ_REQUIRE(fd >= 0 && write(fd, in.p, in.left) == (ssize_t)in.left);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FUZZ_REQUIRE(kt_found_add(&list, path, source) == KT_ERR_OK);
	kt_found_mark_twins(&list);
	FUZZ_REQUIRE(list.count > 0);
	for (size_t i = 0; i < list.count; i++)
		check(&list.at[i]);
	for (size_t i = 1; i < list.count; i++)
		FUZZ_REQUIRE(list.at[i].der == NULL || list.at[i - 1].der == NULL ||
			     strcmp(list.at[i].device.s, list.at[i - 1].device.s) != 0);
	kt_found_clear(&list);
	(void)close(fd);
	return 0;
}
