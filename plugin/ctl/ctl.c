#include "ctl.h"

#include <string.h>

#include "print.h"

static enum kt_ctl_exit run(struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	enum kt_ctl_exit code;

	if (kt_ctl_has(args, KT_CTL_HELP)) {
		kt_ctl_usage(ctl->env->out, args->command);
		return KT_CTL_EXIT_OK;
	}
	if (kt_ctl_has(args, KT_CTL_VERSION)) {
		kt_print(ctl->env->out, "keyturnctl " KT_VERSION);
		return KT_CTL_EXIT_OK;
	}
	code = args->command->run(ctl);
	if (ctl->transport.close != NULL)
		ctl->transport.close(ctl->transport.ctx);
	return code;
}

enum kt_ctl_exit kt_ctl_main(int argc, char *const argv[], const struct kt_ctl_env *env)
{
	struct kt_ctl_args args;
	struct kt_ctl ctl = {.env = env, .args = &args};
	char why[KT_CTL_WHY_MAX];
	enum kt_ctl_exit code = KT_CTL_EXIT_USAGE;
	const enum kt_err err = kt_ctl_args_parse(argc, argv, &args, why);

	if (err == KT_ERR_OK) {
		code = run(&ctl);
	} else if (err == KT_ERR_NOMEM) {
		code = KT_CTL_EXIT_LOCAL;
		kt_print(env->err, "keyturnctl: %s", kt_err_text(err));
	} else {
		kt_print(env->err, "keyturnctl: %s", why);
		kt_print(env->err, "keyturnctl --help says what there is");
	}
	kt_ctl_args_clear(&args);
	/* A ticket that went to a full disk is lost: whoever asked must know. */
	if (fflush(env->out) != 0 || ferror(env->out) != 0) {
		kt_print(env->err, "keyturnctl: the output could not be written");
		return KT_CTL_EXIT_LOCAL;
	}
	return code;
}
