/* keyturnctl operator add, remove, list: who may command, as far as it stands in the ledger. */
#include <string.h>

#include "batch.h"
#include "commands.h"

/* operands: the verb, NAME, FINGERPRINT, ROLE; options.c has checked them */
enum { VERB, NAME, FINGERPRINT, ROLE };

/* "sha256:<hex>", as keyturn-pki prints it and keyturn.conf has it, or the digits alone. */
const char *kt_ctl_fingerprint(const char *word)
{
	static const char prefix[] = "sha256:";

	return strncmp(word, prefix, strlen(prefix)) == 0 ? word + strlen(prefix) : word;
}

static void put_new_operator(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	const char *const *words = ctl->args->operands;

	kt_json_put_string(w, "name", words[NAME]);
	kt_json_put_string(w, "fp", kt_ctl_fingerprint(words[FINGERPRINT]));
	kt_json_put_string(w, "role", words[ROLE]);
	kt_ctl_put_note(w, ctl);
}

static void put_name(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	kt_json_put_string(w, "name", ctl->args->operands[NAME]);
	kt_ctl_put_note(w, ctl);
}

enum kt_ctl_exit kt_ctl_operator(struct kt_ctl *ctl)
{
	const char *verb = ctl->args->operands[VERB];

	if (strcmp(verb, "list") == 0)
		return kt_ctl_list_operators(ctl);
	if (strcmp(verb, "add") == 0)
		return kt_ctl_run_one(ctl, "addOperator", put_new_operator,
				      ctl->args->operands[NAME]);
	return kt_ctl_run_one(ctl, "removeOperator", put_name, ctl->args->operands[NAME]);
}
