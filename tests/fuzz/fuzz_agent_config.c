#include "config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Accepted or refused, never both; a refusal names the file; each hook is an absolute path. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kt_agent_config *config = NULL;
	char why[KT_OPTION_WHY_MAX];
	enum kt_err err = kt_agent_config_parse("a.conf", (struct kt_bytes){.p = bytes, .len = len},
						&config, why);

	if ((err == KT_ERR_OK) != (config != NULL))
		abort();
	if (err != KT_ERR_OK && strncmp(why, "a.conf:", 7) != 0)
		abort();
	for (size_t i = 0; config != NULL && i < config->hook_count; i++) {
		if (config->hooks[i].argv[0] == NULL || config->hooks[i].argv[0][0] != '/')
			abort();
	}
	kt_agent_config_free(config);
	return 0;
}
