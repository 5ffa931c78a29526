#include "config.h"

#include <stdlib.h>
#include <string.h>

static kt_option_setter set_device;
static kt_option_setter set_key_store;
static kt_option_setter set_key_group;
static kt_option_setter set_tls_min;
static kt_option_setter add_hook;

#define AT(m) offsetof(struct kt_agent_config, m)

static const struct kt_option options[] = {
	{"broker", kt_option_set_host_port, AT(broker), 0, 0, NULL, "host:port", false, false},
	{"trust_domain", kt_option_set_trust_domain, AT(trust_domain), 0, 0, NULL,
	 "the fleet's SPIFFE trust domain", false, false},
	{"state_dir", kt_option_set_path, AT(state_dir), 0, 0, "/var/lib/keyturn",
	 "directory of the record and the keys", false, false},
	{"root_cert", kt_option_set_path, AT(root_cert), 0, 0, NULL,
	 "the root's certificate, PEM, to pin", false, false},
	{"device", set_device, AT(device), 0, 0, NULL, "device id to ask for", false, false},
	{"claim_identity", kt_option_set_path, AT(claim_identity), 0, 0, NULL,
	 "a claim certificate's chain and key in one PEM file", false, false},
	{"ticket_file", kt_option_set_path, AT(ticket_file), 0, 0, NULL,
	 "file that holds an enrolment ticket", false, false},
	{"key_store", set_key_store, AT(key_store), 0, 0, "file", "where keys live: file", false,
	 false},
	{"key_group", set_key_group, AT(key_group), 0, 0, NULL, "the one group that may read keys",
	 false, false},
	{"tls_min", set_tls_min, AT(tls_min), 0, 0, "1.3", "least TLS version: 1.3 or 1.2", false,
	 false},
	{"hook", add_hook, AT(hooks), 0, 0, NULL, "program to run when the identity has changed",
	 false, true},
	{"hook_timeout", kt_option_set_duration, AT(hook_timeout_ms), KT_SECOND_MS, KT_HOUR_MS,
	 "30s", "a hook is killed after this", false, false},
	{"hook_retry", kt_option_set_duration, AT(timers.hook_retry), KT_SECOND_MS, KT_DAY_MS,
	 "60s", "a failed hook is tried again after this", false, false},
	{"keep_alive", kt_option_set_duration, AT(keep_alive_ms), 5 * KT_SECOND_MS, 18 * KT_HOUR_MS,
	 "60s", "MQTT keep alive", false, false},
	{"connect_timeout", kt_option_set_duration, AT(connect_timeout_ms), KT_SECOND_MS,
	 5 * KT_MINUTE_MS, "30s", "a connect is given up after this", false, false},
	{"repeat_first", kt_option_set_duration, AT(timers.repeat_first), KT_SECOND_MS, KT_HOUR_MS,
	 "10s", "an unanswered message is repeated after this, then after twice as long", false,
	 false},
	{"repeat_max", kt_option_set_duration, AT(timers.repeat_max), KT_SECOND_MS, KT_DAY_MS,
	 "10m", "... and at least this often", false, false},
	{"trial_timeout", kt_option_set_duration, AT(timers.trial_timeout), KT_SECOND_MS,
	 KT_HOUR_MS, "30s", "a trial without a committed is ended after this", false, false},
	{"silence_min", kt_option_set_duration, AT(timers.silence_min), KT_SECOND_MS, KT_DAY_MS,
	 "60s", "silence over three tries and this long: the old key is tried once", false, false},
	{"backoff_min", kt_option_set_duration, AT(timers.backoff_min), KT_SECOND_MS, KT_HOUR_MS,
	 "1s", "shortest pause between two connects", false, false},
	{"backoff_max", kt_option_set_duration, AT(timers.backoff_max), KT_SECOND_MS, KT_DAY_MS,
	 "300s", "longest pause between two connects", false, false},
};

enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

bool kt_agent_config_option(size_t index, const char **name, const char **preset)
{
	*name = NULL;
	*preset = NULL;
	if (index >= OPTION_COUNT)
		return false;
	*name = options[index].name;
	*preset = options[index].preset;
	return true;
}

/* --- setters of our own --- */

static enum kt_err set_device(struct kt_option_parser *parser, const char *value)
{
	size_t len = strlen(value);

	if (!kt_is_device_id(value, len))
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "device is no device id (1 to 63 of A-Z a-z 0-9 . _ -)");
	memcpy(kt_option_member(parser), value, len + 1);
	return KT_ERR_OK;
}

static enum kt_err set_key_store(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {{"file", 0}, {NULL, 0}};
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);

	if (err == KT_ERR_OK)
		memcpy(kt_option_member(parser), value, strlen(value) + 1);
	return err;
}

static enum kt_err set_key_group(struct kt_option_parser *parser, const char *value)
{
	size_t len = strlen(value);

	if (len > KT_GROUP_NAME_MAX || strpbrk(value, " \t:/") != NULL)
		return kt_option_complain(parser, KT_ERR_INVALID, "key_group is no group's name");
	memcpy(kt_option_member(parser), value, len + 1);
	return KT_ERR_OK;
}

static enum kt_err set_tls_min(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"1.3", KT_TLS_1_3}, {"1.2", KT_TLS_1_2}, {NULL, 0}};
	struct kt_agent_config *config = parser->target;
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);

	config->tls_min = (enum kt_tls_version)chosen;
	return err;
}

/* Words, no quotes: whoever needs more writes a script. */
static enum kt_err add_hook(struct kt_option_parser *parser, const char *value)
{
	struct kt_agent_config *config = parser->target;
	struct kt_hook *hook = &config->hooks[config->hook_count];
	char word[KT_PATH_MAX];
	const char *rest = value;
	size_t count = 0;

	if (config->hook_count == KT_HOOKS_MAX)
		return kt_option_complain(parser, KT_ERR_RANGE, "more than %d hooks", KT_HOOKS_MAX);
	if (value[0] != '/')
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"hook does not begin with an absolute path (no shell is used)");
	config->hook_count++;
	while (*rest != '\0') { /* the value is trimmed: there is a word */
		if (!kt_option_next_word(&rest, word, sizeof(word)))
			return kt_option_complain(parser, KT_ERR_RANGE,
						  "hook: a word longer than %d characters",
						  KT_PATH_MAX - 1);
		if (count == KT_HOOK_ARGS_MAX)
			return kt_option_complain(parser, KT_ERR_RANGE,
						  "hook has more than %d words (write a script)",
						  KT_HOOK_ARGS_MAX);
		hook->argv[count] = strdup(word);
		if (hook->argv[count] == NULL)
			return kt_option_complain(parser, KT_ERR_NOMEM, "out of memory");
		count++;
	}
	return KT_ERR_OK;
}

/* --- the whole file --- */

static enum kt_err check_whole(struct kt_option_parser *parser)
{
	const struct kt_agent_config *config = parser->target;
	const struct kt_agent_timers *timers = &config->timers;
	bool has_ticket = config->ticket_file[0] != '\0';

	if (timers->repeat_max < timers->repeat_first)
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "repeat_max is less than repeat_first (raise it)");
	if (timers->backoff_max < timers->backoff_min)
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "backoff_max is less than backoff_min (raise it)");
	if (has_ticket && config->claim_identity[0] != '\0')
		return kt_option_complain(
			parser, KT_ERR_INVALID,
			"ticket_file and claim_identity: a hub enrols with one of them");
	return KT_ERR_OK;
}

enum kt_err kt_agent_config_parse(const char *name, struct kt_bytes text,
				  struct kt_agent_config **out, char why[static KT_OPTION_WHY_MAX])
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_agent_config *config = calloc(1, sizeof(*config));
	struct kt_option_parser parser = {
		.target = config, .manual = "keyturn-agent.conf(5)", .file = name, .why = why};

	*out = NULL;
	why[0] = '\0';
	if (config == NULL)
		return kt_option_complain(&parser, KT_ERR_NOMEM, "out of memory");
	err = kt_options_parse(&parser, options, OPTION_COUNT, text);
	if (err == KT_ERR_OK)
		err = check_whole(&parser);
	if (err != KT_ERR_OK) {
		kt_agent_config_free(config);
		return err;
	}
	*out = config;
	return KT_ERR_OK;
}

enum kt_err kt_agent_config_load(const char *path, struct kt_agent_config **out,
				 char why[static KT_OPTION_WHY_MAX])
{
	struct kt_option_parser parser = {.file = path, .why = why};
	char *text = NULL;
	size_t len = 0;
	enum kt_err err = KT_ERR_INTERNAL;

	*out = NULL;
	why[0] = '\0';
	err = kt_option_file_read(&parser, &text, &len);
	if (err == KT_ERR_OK)
		err = kt_agent_config_parse(path, (struct kt_bytes){(const uint8_t *)text, len},
					    out, why);
	free(text);
	return err;
}

void kt_agent_config_free(struct kt_agent_config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->hook_count; i++) {
		for (size_t k = 0; k < KT_HOOK_ARGS_MAX; k++)
			free(config->hooks[i].argv[k]);
	}
	free(config);
}
