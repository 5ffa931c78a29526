#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "commands.h"
#include "encoding.h"
#include "option_file.h"
#include "print.h"
#include "role.h"
#include "selector.h"

#define BIT(option) (UINT64_C(1) << KT_CTL_##option)
/* What every command takes. */
#define COMMON                                                                                     \
	(BIT(UNIX) | BIT(HOST) | BIT(PORT) | BIT(CAFILE) | BIT(CERT) | BIT(KEY) | BIT(TIMEOUT) |   \
	 BIT(JSON) | BIT(HELP) | BIT(VERSION))

static const struct {
	const char *name;
	const char *argument;
	const char *help;
} options[KT_CTL_OPTION_COUNT] = {
#define OPTION(code, name, argument, help) [KT_CTL_##code] = {name, argument, help},
	KT_CTL_OPTION_LIST(OPTION)
#undef OPTION
};

const char *kt_ctl_option_name(enum kt_ctl_option option)
{
	return (unsigned)option < KT_CTL_OPTION_COUNT ? options[option].name : "?";
}

const char *kt_ctl_option_argument(enum kt_ctl_option option)
{
	return (unsigned)option < KT_CTL_OPTION_COUNT ? options[option].argument : NULL;
}

bool kt_ctl_has(const struct kt_ctl_args *args, enum kt_ctl_option option)
{
	return args->values[option] != NULL;
}

static bool is_selector_word(const char *word)
{
	return strpbrk(word, "=<") != NULL;
}

bool kt_ctl_selects(const struct kt_ctl_args *args)
{
	return args->operand_count > 0 && is_selector_word(args->operands[0]);
}

bool kt_ctl_names_one(const struct kt_ctl_args *args)
{
	return args->operand_count == 1 && !kt_ctl_has(args, KT_CTL_ALL) && !kt_ctl_selects(args);
}

static const struct kt_ctl_command *command_named(const char *name)
{
	const struct kt_ctl_command *command;

	for (size_t i = 0; (command = kt_ctl_command_at(i)) != NULL; i++) {
		if (strcmp(command->name, name) == 0)
			break;
	}
	return command;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct parse {
	struct kt_ctl_args *args;
	char *why;
};

__attribute__((format(printf, 2, 3))) static enum kt_err wrong(const struct parse *parse,
							       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(parse->why, KT_CTL_WHY_MAX, format, args);
	va_end(args);
	return KT_ERR_INVALID;
}

static enum kt_err take_word(const struct parse *parse, const char *word)
{
	struct kt_ctl_args *args = parse->args;

	if (args->command != NULL) {
		args->operands[args->operand_count++] = word;
		return KT_ERR_OK;
	}
	args->command = command_named(word);
	return args->command != NULL ? KT_ERR_OK : wrong(parse, "there is no command '%s'", word);
}

static enum kt_err take_option(const struct parse *parse, int option, const char *value)
{
	if (parse->args->values[option] != NULL && option != KT_CTL_HEADS)
		return wrong(parse, "--%s is given twice", options[option].name);
	if (value != NULL && value[0] == '\0')
		return wrong(parse, "--%s has an empty value", options[option].name);
	parse->args->values[option] = value != NULL ? value : "";
	if (option == KT_CTL_HEADS)
		parse->args->heads[parse->args->head_count++] = value;
	return KT_ERR_OK;
}

/* Options may stand anywhere: "-" hands out the other words in their order, whatever
 * POSIXLY_CORRECT says. */
static enum kt_err take_all(const struct parse *parse, int argc, char *const argv[])
{
	struct option table[KT_CTL_OPTION_COUNT + 1] = {{0}};
	enum { FIRST = 256 };
	enum kt_err err = KT_ERR_OK;

	for (int i = 0; i < KT_CTL_OPTION_COUNT; i++) {
		table[i] = (struct option){options[i].name,
					   options[i].argument != NULL ? required_argument
								       : no_argument,
					   NULL, FIRST + i};
	}
	optind = 0;
	opterr = 0;
	while (err == KT_ERR_OK) {
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, see the head of options.h */
		const int c = getopt_long(argc, argv, "-:h", table, NULL);

		if (c == -1)
			break;
		if (c == 1)
			err = take_word(parse, optarg);
		else if (c == 'h')
			err = take_option(parse, KT_CTL_HELP, NULL);
		else if (c == ':')
			err = wrong(parse, "%s needs a value", argv[optind - 1]);
		else if (c < FIRST && optopt > 0 && optopt < FIRST)
			/* of several letters in one word getopt has not left the word yet */
			err = wrong(parse, "'-%c' is no option, or short for several", optopt);
		else if (c < FIRST)
			err = wrong(parse, "'%s' is no option, or short for several",
				    argv[optind - 1]);
		else
			err = take_option(parse, c - FIRST, optarg);
	}
	while (err == KT_ERR_OK && optind < argc) /* behind "--" */
		err = take_word(parse, argv[optind++]);
	return err;
}

/* --- judging ---------------------------------------------------------------------------------- */

static enum kt_err check_device(const struct parse *parse, const char *word)
{
	return kt_is_device_id(word, strlen(word))
		       ? KT_ERR_OK
		       : wrong(parse, "'%s' is no device id (1 to 63 of A-Z a-z 0-9 . _ -)", word);
}

static enum kt_err check_selector(const struct parse *parse, const char *word)
{
	struct kt_selector selector = {.count = 0};
	const char *why = "";

	if (parse->args->operand_count > KT_SELECTOR_WORDS_MAX)
		return wrong(parse, "a selector has at most %d words", KT_SELECTOR_WORDS_MAX);
	return kt_selector_add(&selector, word, &why) ? KT_ERR_OK
						      : wrong(parse, "selector '%s' %s", word, why);
}

static enum kt_err check_key_id(const struct parse *parse, const char *word)
{
	uint8_t bytes[KT_KEY_ID_LEN];

	return kt_hex_decode(word, strlen(word), bytes, sizeof(bytes)) == KT_ERR_OK
		       ? KT_ERR_OK
		       : wrong(parse, "'%s' is no key id (64 lower-case hex digits)", word);
}

static enum kt_err check_operand(const struct parse *parse, size_t index)
{
	const char *word = parse->args->operands[index];

	switch (parse->args->command->kind) {
	case KT_CTL_TAKES_NOTHING:
	case KT_CTL_TAKES_WORDS:
		return KT_ERR_OK;
	case KT_CTL_TAKES_DEVICES:
		return check_device(parse, word);
	case KT_CTL_TAKES_SELECTION:
		if (is_selector_word(word) != kt_ctl_selects(parse->args))
			return wrong(parse, "'%s': name devices, or give a selector, not both",
				     word);
		return is_selector_word(word) ? check_selector(parse, word)
					      : check_device(parse, word);
	case KT_CTL_TAKES_SELECTOR:
		return check_selector(parse, word);
	case KT_CTL_TAKES_KEY:
		return check_key_id(parse, word);
	case KT_CTL_TAKES_KEY_AND_DEVICE:
		return index == 0 ? check_key_id(parse, word) : check_device(parse, word);
	}
	return KT_ERR_INTERNAL;
}

static enum kt_err check_operands(const struct parse *parse)
{
	const struct kt_ctl_args *args = parse->args;
	const struct kt_ctl_command *command = args->command;
	const bool takes_devices =
		command->kind == KT_CTL_TAKES_DEVICES ||
		(command->kind == KT_CTL_TAKES_SELECTION && !kt_ctl_selects(args));
	enum kt_err err = KT_ERR_OK;

	if (args->operand_count < command->min || args->operand_count > command->max) {
		return command->max == 0
			       ? wrong(parse, "%s takes options only", command->name)
			       : wrong(parse, "usage: keyturnctl %s %s%s", command->name,
				       command->operands,
				       command->max > 2 && args->operand_count > command->max
					       ? " (too many at once)"
					       : "");
	}
	for (size_t i = 0; err == KT_ERR_OK && i < args->operand_count; i++) {
		err = check_operand(parse, i);
		for (size_t k = 0; err == KT_ERR_OK && takes_devices && k < i; k++) {
			if (strcmp(args->operands[i], args->operands[k]) == 0)
				err = wrong(parse, "'%s' is named twice", args->operands[i]);
		}
	}
	return err;
}

static enum kt_err check_options(const struct parse *parse)
{
	const struct kt_ctl_args *args = parse->args;

	for (int i = 0; i < KT_CTL_OPTION_COUNT; i++) {
		if (args->values[i] != NULL &&
		    ((args->command->options | COMMON) & (UINT64_C(1) << i)) == 0)
			return wrong(parse, "%s does not take --%s", args->command->name,
				     options[i].name);
	}
	return KT_ERR_OK;
}

static enum kt_err read_number(const struct parse *parse, enum kt_ctl_option option, uint64_t max,
			       uint64_t *out)
{
	const char *text = parse->args->values[option];

	if (kt_u64_decode(text, strlen(text), out) == KT_ERR_OK && *out >= 1 && *out <= max)
		return KT_ERR_OK;
	return wrong(parse, "--%s %s: not a number from 1 to %llu", options[option].name, text,
		     (unsigned long long)max);
}

static enum kt_err read_time(const struct parse *parse, enum kt_ctl_option option, int64_t max_ms,
			     int64_t *out_ms)
{
	const char *text = parse->args->values[option];

	if (kt_duration_decode(text, out_ms) && *out_ms >= KT_SECOND_MS && *out_ms <= max_ms)
		return KT_ERR_OK;
	return wrong(parse, "--%s %s: not a time from 1s to %llds (s, m, h and d are known)",
		     options[option].name, text, (long long)(max_ms / KT_SECOND_MS));
}

static enum kt_err read_values(const struct parse *parse)
{
	struct kt_ctl_args *args = parse->args;
	int64_t valid_ms = 0;
	uint64_t expect = 0;
	enum kt_err err = KT_ERR_OK;

	args->expect = -1;
	args->timeout_ms = KT_CTL_TIMEOUT_MS;
	if (kt_ctl_has(args, KT_CTL_TIMEOUT))
		err = read_time(parse, KT_CTL_TIMEOUT, KT_DAY_MS, &args->timeout_ms);
	if (err == KT_ERR_OK && kt_ctl_has(args, KT_CTL_VALID_FOR))
		err = read_time(parse, KT_CTL_VALID_FOR, KT_YEAR_MS, &valid_ms);
	args->valid_for_s = valid_ms / KT_SECOND_MS;
	if (err == KT_ERR_OK && kt_ctl_has(args, KT_CTL_EXPECT)) {
		err = read_number(parse, KT_CTL_EXPECT,
				  args->command->run == kt_ctl_campaign ? INT32_MAX
									: KT_CTL_ROTATE_MAX,
				  &expect);
		args->expect = (int64_t)expect;
	}
	if (err == KT_ERR_OK && kt_ctl_has(args, KT_CTL_KEY_ID))
		err = check_key_id(parse, args->values[KT_CTL_KEY_ID]);
	return err;
}

static enum kt_err read_address(const struct parse *parse)
{
	static const enum kt_ctl_option needed[] = {KT_CTL_CAFILE, KT_CTL_CERT, KT_CTL_KEY};
	struct kt_ctl_args *args = parse->args;
	const bool is_tls = kt_ctl_has(args, KT_CTL_HOST);
	uint64_t port = KT_CTL_PORT_DEFAULT;

	if (is_tls && kt_ctl_has(args, KT_CTL_UNIX))
		return wrong(parse, "--unix or --host, not both");
	if (!is_tls && kt_ctl_has(args, KT_CTL_PORT))
		return wrong(parse, "--port goes with --host");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (is_tls != kt_ctl_has(args, needed[i]))
			return wrong(parse,
				     is_tls ? "--host needs --%s, too" : "--%s goes with --host",
				     options[needed[i]].name);
	}
	if (kt_ctl_has(args, KT_CTL_PORT) &&
	    read_number(parse, KT_CTL_PORT, UINT16_MAX, &port) != KT_ERR_OK)
		return KT_ERR_INVALID;
	args->address.host = args->values[KT_CTL_HOST];
	args->address.port = (uint16_t)port;
	args->address.cafile = args->values[KT_CTL_CAFILE];
	args->address.cert = args->values[KT_CTL_CERT];
	args->address.key = args->values[KT_CTL_KEY];
	args->address.unix_path = is_tls			  ? NULL
				  : kt_ctl_has(args, KT_CTL_UNIX) ? args->values[KT_CTL_UNIX]
								  : KT_CTL_SOCKET;
	return KT_ERR_OK;
}

/* NAME FINGERPRINT ROLE, as far as they are there. */
static enum kt_err check_operator_words(const struct parse *parse)
{
	const char *const *words = parse->args->operands;
	const char *hex = parse->args->operand_count > 2 ? kt_ctl_fingerprint(words[2]) : NULL;
	uint8_t fp[KT_FINGERPRINT_LEN];

	if (!kt_is_device_id(words[1], strlen(words[1])))
		return wrong(parse, "'%s' is no operator's name (1 to 63 of A-Z a-z 0-9 . _ -)",
			     words[1]);
	if (hex == NULL)
		return KT_ERR_OK;
	if (kt_hex_decode(hex, strlen(hex), fp, sizeof(fp)) != KT_ERR_OK)
		return wrong(parse, "'%s' is no fingerprint (64 lower-case hex digits)", words[2]);
	if (kt_role_from_name(words[3]) == KT_ROLE_NONE)
		return wrong(parse, "'%s' is no role (viewer, rotator, enroller, revoker, admin)",
			     words[3]);
	return KT_ERR_OK;
}

static enum kt_err check_operator(const struct parse *parse)
{
	static const struct {
		const char *verb;
		const char *usage;
		size_t words;
		enum kt_ctl_option not_taken;
	} verbs[] = {{"add", "add NAME FINGERPRINT ROLE", 4, KT_CTL_REMOVED},
		     {"remove", "remove NAME", 2, KT_CTL_REMOVED},
		     {"list", "list", 1, KT_CTL_NOTE}};
	const struct kt_ctl_args *args = parse->args;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(args->operands[0], verbs[i].verb) != 0)
			continue;
		if (args->operand_count != verbs[i].words)
			return wrong(parse, "usage: keyturnctl operator %s", verbs[i].usage);
		if (kt_ctl_has(args, verbs[i].not_taken))
			return wrong(parse, "operator %s does not take --%s", verbs[i].verb,
				     options[verbs[i].not_taken].name);
		return verbs[i].words > 1 ? check_operator_words(parse) : KT_ERR_OK;
	}
	return wrong(parse, "usage: keyturnctl operator %s", args->command->operands);
}

static bool is_id_source(const char *word)
{
	return strcmp(word, "cn") == 0 || strcmp(word, "filename") == 0 || strcmp(word, "san") == 0;
}

static enum kt_err check_local_sense(const struct parse *parse)
{
	const struct kt_ctl_args *args = parse->args;
	const struct kt_ctl_command *command = args->command;

	if (command->run == kt_ctl_audit)
		return kt_audit_check(args, parse->why);
	if (command->run == kt_ctl_reconcile && strcmp(args->operands[0], "end") != 0)
		return wrong(parse, "usage: keyturnctl %s %s", command->name, command->operands);
	if (command->run == kt_ctl_operator)
		return check_operator(parse);
	if (kt_ctl_has(args, KT_CTL_ID_FROM) && !is_id_source(args->values[KT_CTL_ID_FROM]))
		return wrong(parse, "--id-from %s: not cn, filename or san",
			     args->values[KT_CTL_ID_FROM]);
	if (command->run == kt_ctl_restore && args->operand_count == 0 &&
	    !kt_ctl_has(args, KT_CTL_ACCEPT_ROLLBACK))
		return wrong(parse,
			     "usage: keyturnctl restore DIRECTORY, or --accept-rollback HEAD");
	return KT_ERR_OK;
}

static enum kt_err check_labels(const struct parse *parse, enum kt_ctl_option option)
{
	const char *at = parse->args->values[option];

	while (at != NULL) {
		const size_t len = strcspn(at, ",");

		if (!kt_is_label(at, len))
			return wrong(parse, "--%s %s: a label is 1 to 63 of A-Z a-z 0-9 . _ : / -",
				     options[option].name, parse->args->values[option]);
		at = at[len] == ',' ? at + len + 1 : NULL;
	}
	return KT_ERR_OK;
}

static enum kt_err check_set(const struct parse *parse)
{
	const struct kt_ctl_args *args = parse->args;
	enum kt_err err;

	if (kt_ctl_has(args, KT_CTL_GROUP) && kt_ctl_has(args, KT_CTL_UNGROUP))
		return wrong(parse, "set: --group or --ungroup, not both");
	if (!kt_ctl_has(args, KT_CTL_GROUP) && !kt_ctl_has(args, KT_CTL_UNGROUP) &&
	    !kt_ctl_has(args, KT_CTL_LABEL) && !kt_ctl_has(args, KT_CTL_UNLABEL))
		return wrong(parse, "set: --group, --ungroup, --label or --unlabel");
	err = check_labels(parse, KT_CTL_LABEL);
	return err == KT_ERR_OK ? check_labels(parse, KT_CTL_UNLABEL) : err;
}

/* What only two options together, or an option and the words, tell. */
static enum kt_err check_sense(const struct parse *parse)
{
	const struct kt_ctl_args *args = parse->args;
	const bool all = kt_ctl_has(args, KT_CTL_ALL);

	if (args->command->kind == KT_CTL_TAKES_SELECTION && !all && args->operand_count == 0)
		return wrong(parse, "usage: keyturnctl %s %s, or --all", args->command->name,
			     args->command->operands);
	if (args->command->kind == KT_CTL_TAKES_SELECTION && all && args->operand_count > 0)
		return wrong(parse, "%s: name devices, or give a selector, or --all",
			     args->command->name);
	if (args->command->run == kt_ctl_challenge && kt_ctl_has(args, KT_CTL_WAIT) &&
	    (all || kt_ctl_selects(args) || kt_ctl_has(args, KT_CTL_DRY_RUN)))
		return wrong(parse, "challenge: --wait goes with devices that are named");
	if (args->command->run == kt_ctl_set)
		return check_set(parse);
	if (args->command->run == kt_ctl_create_ticket) {
		const bool group = kt_ctl_has(args, KT_CTL_GROUP);

		if (group != kt_ctl_has(args, KT_CTL_PATTERN) || group == (args->operand_count > 0))
			return wrong(parse, "create-ticket: a device, or --group and --pattern");
		if (kt_ctl_has(args, KT_CTL_RAW) && kt_ctl_has(args, KT_CTL_JSON))
			return wrong(parse, "--raw or --json, not both");
	}
	return check_local_sense(parse);
}

enum kt_err kt_ctl_args_parse(int argc, char *const argv[], struct kt_ctl_args *out,
			      char why[static KT_CTL_WHY_MAX])
{
	const struct parse parse = {out, why};
	enum kt_err err = KT_ERR_INTERNAL;

	memset(out, 0, sizeof(*out));
	why[0] = '\0';
	out->operands = calloc((size_t)(argc > 0 ? argc : 1) * 2, sizeof(*out->operands));
	if (out->operands == NULL)
		return KT_ERR_NOMEM;
	out->heads = out->operands + (argc > 0 ? argc : 1);
	err = take_all(&parse, argc, argv);
	if (err != KT_ERR_OK)
		return err;
	if (kt_ctl_has(out, KT_CTL_HELP) || kt_ctl_has(out, KT_CTL_VERSION))
		return KT_ERR_OK;
	if (out->command == NULL)
		return wrong(&parse, "which command?");
	err = check_options(&parse);
	if (err == KT_ERR_OK)
		err = check_operands(&parse);
	if (err == KT_ERR_OK)
		err = read_values(&parse);
	if (err == KT_ERR_OK)
		err = read_address(&parse);
	return err == KT_ERR_OK ? check_sense(&parse) : err;
}

void kt_ctl_args_clear(struct kt_ctl_args *args)
{
	free(args->operands);
	memset(args, 0, sizeof(*args));
}

/* --- usage ------------------------------------------------------------------------------------ */

static void print_options(FILE *file, uint64_t which)
{
	for (int i = 0; i < KT_CTL_OPTION_COUNT; i++) {
		char left[40];

		if ((which & (UINT64_C(1) << i)) == 0)
			continue;
		(void)snprintf(left, sizeof(left), "--%s%s%s", options[i].name,
			       options[i].argument != NULL ? " " : "",
			       options[i].argument != NULL ? options[i].argument : "");
		kt_print(file, "  %-22s %s", left, options[i].help);
	}
}

void kt_ctl_usage(FILE *file, const struct kt_ctl_command *command)
{
	if (command != NULL) {
		kt_print(file, "usage: keyturnctl %s %s", command->name, command->operands);
		kt_print(file, "%s", command->help);
		print_options(file, command->options);
		kt_print(file, "and, as every command:");
		print_options(file, COMMON);
		return;
	}
	kt_print(file, "usage: keyturnctl [OPTION...] COMMAND [WORD...]");
	for (size_t i = 0; kt_ctl_command_at(i) != NULL; i++) {
		const struct kt_ctl_command *one = kt_ctl_command_at(i);
		char left[40];

		(void)snprintf(left, sizeof(left), "%s %s", one->name, one->operands);
		kt_print(file, "  %-24s %s", left, one->help);
	}
	kt_print(file, "options of every command ('keyturnctl COMMAND --help' for its own):");
	print_options(file, COMMON);
}
