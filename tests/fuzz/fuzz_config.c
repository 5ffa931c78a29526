#include "config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Accepted or refused, never both; a refusal names the file. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_config *config = NULL;
	char why[512];
	enum kt_err err =
		kt_config_parse("k.conf", (struct kt_bytes){.p = bytes, .len = len}, &config, why);
	if ((err == KT_ERR_OK) != (config != NULL)) {
		abort();
	}
	if (err != KT_ERR_OK && strncmp(why, "k.conf:", 7) != 0) {
		abort();
	}
	if (config != NULL && (config->state_dir[0] != '/' || config->workers < 1)) {
		abort();
	}
	kt_config_free(config);
	return 0;
}
