#include "broker_conf.h"

#include <string.h>

static bool next_argument(const char **at, const char *end, const char **argument)
{
	const char *nul = *at < end ? memchr(*at, '\0', (size_t)(end - *at)) : NULL;
	*argument = NULL;
	if (nul == NULL) {
		return false;
	}
	*argument = *at;
	*at = nul + 1;
	return true;
}

const char *kt_broker_conf_from_cmdline(const char *cmdline, size_t len)
{
	const char *found = NULL;
	const char *at = cmdline;
	const char *end = cmdline + len;
	const char *argument = NULL;

	if (!next_argument(&at, end, &argument)) { /* the program's own name */
		return NULL;
	}
	while (next_argument(&at, end, &argument)) {
		const char *value = NULL;
		bool is_conf =
			strcmp(argument, "-c") == 0 || strcmp(argument, "--config-file") == 0;
		bool has_value = is_conf || strcmp(argument, "-p") == 0 ||
				 strcmp(argument, "--port") == 0 ||
				 strcmp(argument, "--tls-keylog") == 0; /* 2.1 */
		if (has_value && next_argument(&at, end, &value) && is_conf) {
			found = value; /* the last one holds */
		}
	}
	return found;
}
