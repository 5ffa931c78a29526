#include "confirm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "selector.h"

/* Has the person typed @want? */
static enum kt_ctl_exit read_confirmation(const struct kt_ctl *ctl, const char *want)
{
	char line[KT_DEVICE_ID_MAX + 3];

	(void)fflush(ctl->env->err);
	if (fgets(line, sizeof(line), ctl->env->in) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	if (strcmp(line, want) == 0)
		return KT_CTL_EXIT_OK;
	kt_print(ctl->env->err, "keyturnctl: not confirmed, nothing was done");
	return KT_CTL_EXIT_USAGE;
}

/* One device is named once more, several are counted: a slip of the hand does neither. */
enum kt_ctl_exit kt_ctl_confirm(const struct kt_ctl *ctl, const char *what)
{
	const struct kt_ctl_args *args = ctl->args;
	char want[KT_DEVICE_ID_MAX + 1];

	if (kt_ctl_has(args, KT_CTL_YES))
		return KT_CTL_EXIT_OK;
	if (!ctl->env->has_terminal) {
		kt_print(
			ctl->env->err,
			"keyturnctl: %s cannot be undone, and nobody can be asked here: give --yes",
			args->command->name);
		return KT_CTL_EXIT_USAGE;
	}
	if (args->operand_count == 1)
		(void)snprintf(want, sizeof(want), "%s", args->operands[0]);
	else
		(void)snprintf(want, sizeof(want), "%zu", args->operand_count);
	kt_print(ctl->env->err, "%s %s. To go on, type %s once more:", what,
		 args->operand_count == 1 ? args->operands[0] : "these devices",
		 args->operand_count == 1 ? "its id" : "how many there are");
	return read_confirmation(ctl, want);
}

/* As a command means them: without a word on their state, active ones. */
static void put_count(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	const char *state = kt_selector_prefix(KT_SELECTOR_STATE);
	bool names_state = false;

	if (kt_ctl_selects(args))
		kt_ctl_put_selection(w, ctl);
	for (size_t i = 0; i < args->operand_count; i++)
		names_state = names_state || strncmp(args->operands[i], state, strlen(state)) == 0;
	if (!names_state)
		kt_json_put_string(w, "state", "active");
	kt_json_put_number(w, "count", 1);
}

static enum kt_ctl_exit count_meant(struct kt_ctl *ctl, int64_t *count)
{
	struct kt_answer answer;
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, "listDevices", put_count, &answer);

	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);
		const struct kt_json_value *total = kt_json_member(reply.data, "total");

		if (reply.error != NULL)
			code = kt_ctl_report_error(ctl, "", &reply);
		else if (total == NULL || !kt_json_is(total, KT_JSON_NUMBER))
			code = kt_ctl_not_understood(ctl);
		else
			*count = kt_json_value_number(total);
	}
	kt_answer_clear(&answer);
	return code;
}

static enum kt_ctl_exit refuse_unasked(const struct kt_ctl *ctl, const struct kt_ctl_order *order,
				       bool is_all)
{
	if (order->is_final)
		kt_print(ctl->env->err,
			 "keyturnctl: %s cannot be undone, and nobody can be asked here: give "
			 "--yes",
			 ctl->args->command->name);
	else
		kt_print(ctl->env->err,
			 "keyturnctl: %s needs --expect: say how many devices you mean, or --yes: "
			 "as many as there are",
			 is_all ? "--all" : "a selector");
	return KT_CTL_EXIT_USAGE;
}

enum kt_ctl_exit kt_ctl_confirm_count(struct kt_ctl *ctl, struct kt_ctl_order *order)
{
	const bool is_all = kt_ctl_has(ctl->args, KT_CTL_ALL);
	const bool is_asked = !kt_ctl_has(ctl->args, KT_CTL_YES);
	char want[32];
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	if (is_asked && !ctl->env->has_terminal)
		return refuse_unasked(ctl, order, is_all);
	if (order->expect < 0)
		code = count_meant(ctl, &order->expect);
	if (code != KT_CTL_EXIT_OK || !is_asked)
		return code;
	(void)snprintf(want, sizeof(want), "%" PRId64, order->expect);
	kt_print(ctl->env->err,
		 "%s all %s devices: %s. To go on, type how many there are once more:", order->what,
		 is_all ? "active" : "selected", want);
	return read_confirmation(ctl, want);
}
