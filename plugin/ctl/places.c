#include "places.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "encoding.h"
#include "print.h"

struct kt_config *kt_ctl_config(const struct kt_ctl *ctl)
{
	const char *path = ctl->args->values[KT_CTL_CONFIG_FILE];
	struct kt_config *config = NULL;
	char why[512] = "";

	if (path == NULL)
		path = KT_CTL_CONFIG;
	if (kt_config_load(path, &config, why) == KT_ERR_OK)
		return config;
	kt_print(ctl->env->err, "keyturnctl: %s", why);
	return NULL;
}

bool kt_ctl_ledger_dir(const struct kt_ctl *ctl, char out[static KT_PATH_MAX])
{
	const char *given = ctl->args->values[KT_CTL_LEDGER_DIR];
	struct kt_config *config;

	if (given != NULL) {
		if (strlen(given) < KT_PATH_MAX) {
			memcpy(out, given, strlen(given) + 1);
			return true;
		}
		kt_print(ctl->env->err, "keyturnctl: --ledger-dir: the name is too long");
		return false;
	}
	config = kt_ctl_config(ctl);
	if (config == NULL)
		return false;
	memcpy(out, config->ledger_dir, sizeof(config->ledger_dir));
	kt_config_free(config);
	return true;
}

void kt_ctl_show_time(int64_t time_us, char out[static 48])
{
	const time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	if (time_us == 0 || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(out, 48, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		memcpy(out, "-", 2);
}

void kt_ctl_show_head(const uint8_t head[static 32], char out[static 65])
{
	if (kt_hex_encode(head, 32, out, 65) != KT_ERR_OK)
		memcpy(out, "?", 2);
}
