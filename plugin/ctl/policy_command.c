/* keyturnctl policy check: a policy file, read as the plugin reads it; without a broker. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "places.h"
#include "policies.h"
#include "print.h"

static void show_share(const struct kt_ctl *ctl, const struct kt_group_policy *policy)
{
	char quiet[32] = "none";

	if (policy->quiet_from != policy->quiet_until)
		(void)snprintf(quiet, sizeof(quiet), "%02u:%02u-%02u:%02u", policy->quiet_from / 60,
			       policy->quiet_from % 60, policy->quiet_until / 60,
			       policy->quiet_until % 60);
	kt_print(ctl->env->out,
		 "%s%s: max_key_age %" PRId64 "s, rotate_at %u%%, jitter %u%%, quiet_hours %s",
		 policy->group[0] != '\0' ? "group " : "default", policy->group,
		 policy->max_key_age_ms / 1000, policy->rotate_at, policy->jitter, quiet);
}

static enum kt_ctl_exit check(const struct kt_ctl *ctl, const char *path,
			      const struct kt_config *config)
{
	struct kt_policies *policies = calloc(1, sizeof(*policies));
	char why[512] = "";
	enum kt_err err;

	if (policies == NULL) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
		return KT_CTL_EXIT_LOCAL;
	}
	err = kt_policies_load(path, config, policies, why);
	if (err != KT_ERR_OK) {
		kt_print(ctl->env->err, "keyturnctl: %s", why);
		free(policies);
		return err == KT_ERR_SYS ? KT_CTL_EXIT_LOCAL : KT_CTL_EXIT_FAILED;
	}
	kt_print(ctl->env->out, "rotations_per_minute: %u", policies->rotations_per_minute);
	for (size_t i = 0; i < policies->count; i++)
		show_share(ctl, &policies->groups[i]);
	free(policies);
	return KT_CTL_EXIT_OK;
}

enum kt_ctl_exit kt_ctl_policy(struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	struct kt_config *config;
	const char *path;
	enum kt_ctl_exit code;

	if (strcmp(args->operands[0], "check") != 0) {
		kt_print(ctl->env->err, "keyturnctl: usage: keyturnctl policy %s",
			 args->command->operands);
		return KT_CTL_EXIT_USAGE;
	}
	config = kt_ctl_config(ctl);
	if (config == NULL)
		return KT_CTL_EXIT_LOCAL;
	path = args->operand_count > 1 ? args->operands[1] : config->policy_file;
	if (path[0] == '\0') {
		kt_print(ctl->env->err, "keyturnctl: the configuration names no policy_file: give "
					"a file");
		code = KT_CTL_EXIT_USAGE;
	} else {
		code = check(ctl, path, config);
	}
	kt_config_free(config);
	return code;
}
