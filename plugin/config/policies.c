#include "policies.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "option_file.h"

enum { HEADING_MAX = 80, PERCENT_MAX = 100, ROTATE_AT = 90, JITTER = 10 };

static kt_option_setter set_share, set_quiet_hours, set_answer, set_silence;

#define AT(m) offsetof(struct kt_group_policy, m)

static const struct kt_option options[] = {
	{"max_key_age", kt_option_set_duration, AT(max_key_age_ms), 0, 100 * KT_YEAR_MS, NULL,
	 "with an older key a hub can only rotate; 0: never", false, false},
	{"rotate_at", set_share, AT(rotate_at), 10, PERCENT_MAX, NULL,
	 "the share of max_key_age by which a rotation is ordered", false, false},
	{"jitter", set_share, AT(jitter), 0, PERCENT_MAX, NULL,
	 "the share of max_key_age before that over which the orders are spread", false, false},
	{"quiet_hours", set_quiet_hours, AT(quiet_from), 0, 0, NULL,
	 "HH:MM-HH:MM, UTC, without orders by age; or none", false, false},
	{"challenge_every", kt_option_set_duration, AT(challenge_every_ms), 0, KT_YEAR_MS, NULL,
	 "each connected hub is challenged once in this; 0: on demand alone", false, false},
	{"challenge_silence", set_silence, AT(challenge_silence), 0, 0, NULL,
	 "a missed challenge: report, quarantine or disconnect", false, false},
	{"clone_second_key", set_answer, AT(clone_second_key), 0, 0, NULL,
	 "a second key for one op: report or quarantine", false, false},
	{"clone_contended", set_answer, AT(clone_contended), 0, 0, NULL,
	 "two addresses with one client id in turn: report or quarantine", false, false},
	{"clone_old_answer", set_answer, AT(clone_old_answer), 0, 0, NULL,
	 "a message signed with an older key: report or quarantine", false, false},
	{"clone_op_range", set_answer, AT(clone_op_range), 0, 0, NULL,
	 "an op number that cannot be: report or quarantine", false, false},
};
enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

static const struct kt_option fleet_options[] = {
	{"rotations_per_minute", kt_option_set_count,
	 offsetof(struct kt_policies, rotations_per_minute), 0, 100000, NULL,
	 "rotations that the plugin orders by itself, of all groups together; 0: no ceiling", false,
	 false},
};
enum { FLEET_OPTION_COUNT = sizeof(fleet_options) / sizeof(fleet_options[0]) };

bool kt_policies_option(size_t index, const char **name, const char **help)
{
	const struct kt_option *option = NULL;

	if (index < OPTION_COUNT)
		option = &options[index];
	else if (index < OPTION_COUNT + FLEET_OPTION_COUNT)
		option = &fleet_options[index - OPTION_COUNT];
	*name = option != NULL ? option->name : NULL;
	*help = option != NULL ? option->help : NULL;
	return option != NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

static enum kt_err set_share(struct kt_option_parser *parser, const char *value)
{
	const size_t len = strlen(value);
	uint64_t number = 0;
	unsigned share;

	if (len < 2 || value[len - 1] != '%' || kt_u64_decode(value, len - 1, &number) != KT_ERR_OK)
		return kt_option_complain(parser, KT_ERR_INVALID, "%s is no share (write 80%%)",
					  parser->option->name);
	if (number < (uint64_t)parser->option->min || number > (uint64_t)parser->option->max)
		return kt_option_complain(parser, KT_ERR_RANGE,
					  "%s is out of range (%lld%% to %lld%%)",
					  parser->option->name, (long long)parser->option->min,
					  (long long)parser->option->max);
	share = (unsigned)number;
	memcpy(kt_option_member(parser), &share, sizeof(share));
	return KT_ERR_OK;
}

/* "22:00", as minutes of the day. */
static bool take_minutes(const char *text, unsigned *out)
{
	uint64_t hours;
	uint64_t minutes;

	for (size_t i = 0; i < 5; i++) {
		if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
			return false;
	}
	hours = (uint64_t)(text[0] - '0') * 10 + (uint64_t)(text[1] - '0');
	minutes = (uint64_t)(text[3] - '0') * 10 + (uint64_t)(text[4] - '0');
	*out = (unsigned)(hours * 60 + minutes);
	return hours < 24 && minutes < 60;
}

/* Into the two members from quiet_from on. */
static enum kt_err set_quiet_hours(struct kt_option_parser *parser, const char *value)
{
	struct kt_group_policy *policy = parser->target;

	policy->quiet_from = 0;
	policy->quiet_until = 0;
	if (strcmp(value, "none") == 0)
		return KT_ERR_OK;
	if (strlen(value) != strlen("22:00-06:00") || value[5] != '-' ||
	    !take_minutes(value, &policy->quiet_from) ||
	    !take_minutes(value + 6, &policy->quiet_until) ||
	    policy->quiet_from == policy->quiet_until)
		return kt_option_complain(parser, KT_ERR_INVALID,
					  "quiet_hours is neither none nor two different times "
					  "of the day, UTC (write 22:00-06:00)");
	return KT_ERR_OK;
}

static enum kt_err choose(struct kt_option_parser *parser, const char *value,
			  const struct kt_choice *choices)
{
	int chosen = 0;
	enum kt_err err = kt_option_choose(parser, value, choices, &chosen);
	const enum kt_policy policy = (enum kt_policy)chosen;

	if (err == KT_ERR_OK)
		memcpy(kt_option_member(parser), &policy, sizeof(policy));
	return err;
}

static enum kt_err set_answer(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {
		{"report", KT_POLICY_REPORT}, {"quarantine", KT_POLICY_QUARANTINE}, {NULL, 0}};

	return choose(parser, value, choices);
}

static enum kt_err set_silence(struct kt_option_parser *parser, const char *value)
{
	static const struct kt_choice choices[] = {{"report", KT_POLICY_REPORT},
						   {"quarantine", KT_POLICY_QUARANTINE},
						   {"disconnect", KT_POLICY_DISCONNECT},
						   {NULL, 0}};

	return choose(parser, value, choices);
}

/* --- sections --------------------------------------------------------------------------------- */

static struct kt_group_policy of_config(const struct kt_config *config)
{
	return (struct kt_group_policy){.max_key_age_ms = config->max_key_age_ms,
					.rotate_at = ROTATE_AT,
					.jitter = JITTER,
					.challenge_every_ms = config->challenge_every_ms,
					.challenge_silence = config->challenge_silence,
					.clone_second_key = config->clone_second_key,
					.clone_contended = config->clone_contended,
					.clone_old_answer = config->clone_old_answer,
					.clone_op_range = config->clone_op_range};
}

struct reading {
	struct kt_option_parser parser;
	const struct kt_config *config;
	struct kt_policies *out;
	struct kt_bytes rest;
	unsigned line; /* of rest's first one, counted from 0 */
	bool has_fleet;
	bool has_default;
};

/* Up to the next heading, or the end. */
static struct kt_bytes take_section(struct reading *r, unsigned *lines)
{
	const char *text = (const char *)r->rest.p;
	size_t len = 0;

	*lines = 0;
	while (len < r->rest.len && text[len + strspn(text + len, " \t")] != '[') {
		const char *end = memchr(text + len, '\n', r->rest.len - len);

		(*lines)++;
		len = end != NULL ? (size_t)(end - text) + 1 : r->rest.len;
	}
	r->rest.p += len;
	r->rest.len -= len;
	return (struct kt_bytes){(const uint8_t *)text, len};
}

/* What stands between the brackets; the line is taken off the rest. */
static enum kt_err take_heading(struct reading *r, char out[static HEADING_MAX])
{
	const char *text = (const char *)r->rest.p;
	const char *newline = memchr(text, '\n', r->rest.len);
	size_t len = newline != NULL ? (size_t)(newline - text) : r->rest.len;

	r->rest.p += len + (newline != NULL ? 1 : 0);
	r->rest.len -= len + (newline != NULL ? 1 : 0);
	r->parser.line = ++r->line;
	while (len > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		len--;
	if (len < 3 || len > HEADING_MAX || text[len - 1] != ']')
		return kt_option_complain(&r->parser, KT_ERR_INVALID,
					  "a heading is [fleet], [default] or [group NAME]");
	memcpy(out, text + 1, len - 2);
	out[len - 2] = '\0';
	return KT_ERR_OK;
}

static enum kt_err read_options(struct reading *r, void *target, const struct kt_option *table,
				size_t count)
{
	unsigned lines = 0;
	const struct kt_bytes section = take_section(r, &lines);
	enum kt_err err;

	r->parser.target = target;
	r->parser.lines_before = r->line;
	err = kt_options_parse(&r->parser, table, count, section);
	r->line += lines;
	return err;
}

static enum kt_err check_policy(struct reading *r, const struct kt_group_policy *policy,
				unsigned heading)
{
	r->parser.line = heading;
	if (policy->jitter >= policy->rotate_at)
		return kt_option_complain(&r->parser, KT_ERR_RANGE,
					  "jitter is not below rotate_at in this section (a new "
					  "key would be due at once)");
	if (policy->challenge_every_ms > 0 &&
	    policy->challenge_every_ms <= r->config->challenge_timeout_ms)
		return kt_option_complain(&r->parser, KT_ERR_RANGE,
					  "challenge_every is not longer than challenge_timeout "
					  "of keyturn.conf (raise it)");
	return KT_ERR_OK;
}

static enum kt_err read_policy(struct reading *r, struct kt_group_policy *policy)
{
	const unsigned heading = r->line;
	enum kt_err err = read_options(r, policy, options, OPTION_COUNT);

	return err == KT_ERR_OK ? check_policy(r, policy, heading) : err;
}

static enum kt_err read_group(struct reading *r, const char *name)
{
	struct kt_policies *out = r->out;
	struct kt_group_policy *policy;

	name += strspn(name, " \t");
	if (strlen(name) > KT_GROUP_MAX || !kt_is_name(name, strlen(name), ""))
		return kt_option_complain(&r->parser, KT_ERR_INVALID,
					  "that is no group (1 to 63 of A-Z a-z 0-9 . _ -)");
	for (size_t i = 1; i < out->count; i++) {
		if (strcmp(out->groups[i].group, name) == 0)
			return kt_option_complain(&r->parser, KT_ERR_EXISTS,
						  "the group %s has a section already", name);
	}
	if (out->count == KT_POLICIES_MAX)
		return kt_option_complain(&r->parser, KT_ERR_RANGE,
					  "more than %d sections of groups", KT_POLICIES_MAX - 1);
	policy = &out->groups[out->count++];
	*policy = out->groups[0];
	memcpy(policy->group, name, strlen(name) + 1);
	return read_policy(r, policy);
}

/* Once, and before what inherits from it. */
static enum kt_err read_default(struct reading *r)
{
	if (r->has_default || r->out->count > 1)
		return kt_option_complain(&r->parser, KT_ERR_EXISTS,
					  "[default] stands once, before all groups");
	r->has_default = true;
	return read_policy(r, &r->out->groups[0]);
}

static enum kt_err read_fleet(struct reading *r)
{
	if (r->has_fleet)
		return kt_option_complain(&r->parser, KT_ERR_EXISTS, "[fleet] stands once");
	r->has_fleet = true;
	return read_options(r, r->out, fleet_options, FLEET_OPTION_COUNT);
}

static enum kt_err read_section(struct reading *r)
{
	char heading[HEADING_MAX];
	enum kt_err err = take_heading(r, heading);

	if (err != KT_ERR_OK)
		return err;
	if (strcmp(heading, "fleet") == 0)
		return read_fleet(r);
	if (strcmp(heading, "default") == 0)
		return read_default(r);
	if (strncmp(heading, "group ", strlen("group ")) == 0)
		return read_group(r, heading + strlen("group "));
	return kt_option_complain(&r->parser, KT_ERR_INVALID,
				  "a heading is [fleet], [default] or [group NAME]");
}

/* Nothing but comments before the first heading. */
static enum kt_err read_all(struct reading *r)
{
	struct kt_group_policy nothing;
	enum kt_err err = read_options(r, &nothing, options, 0);

	while (err == KT_ERR_OK && r->rest.len > 0)
		err = read_section(r);
	return err;
}

enum kt_err kt_policies_parse(const char *name, struct kt_bytes text,
			      const struct kt_config *config, struct kt_policies *out,
			      char why[static 512])
{
	struct reading r = {.parser = {.manual = "keyturn-plugin(5)", .file = name, .why = why},
			    .config = config,
			    .out = out};
	char *copy = calloc(1, text.len + 1); /* ends with a NUL: headings are looked for */
	enum kt_err err;

	why[0] = '\0';
	memset(out, 0, sizeof(*out));
	if (copy == NULL)
		return kt_option_complain(&r.parser, KT_ERR_NOMEM, "out of memory");
	if (text.len > 0)
		memcpy(copy, text.p, text.len);
	r.rest = (struct kt_bytes){(const uint8_t *)copy, text.len};
	out->count = 1;
	out->groups[0] = of_config(config);
	err = read_all(&r);
	if (err != KT_ERR_OK)
		memset(out, 0, sizeof(*out));
	free(copy);
	return err;
}

enum kt_err kt_policies_load(const char *path, const struct kt_config *config,
			     struct kt_policies *out, char why[static 512])
{
	struct kt_option_parser parser = {.file = path, .why = why};
	char *text = NULL;
	size_t len = 0;
	enum kt_err err;

	why[0] = '\0';
	memset(out, 0, sizeof(*out));
	err = kt_option_file_read(&parser, &text, &len);
	if (err == KT_ERR_OK)
		err = kt_policies_parse(path, (struct kt_bytes){(const uint8_t *)text, len}, config,
					out, why);
	free(text);
	return err;
}

struct kt_group_policy kt_policies_for(const struct kt_policies *policies,
				       const struct kt_config *config, const char *group)
{
	if (policies == NULL || policies->count == 0)
		return of_config(config);
	for (size_t i = 1; i < policies->count; i++) {
		if (strcmp(policies->groups[i].group, group) == 0)
			return policies->groups[i];
	}
	return policies->groups[0];
}

static bool is_same(const struct kt_group_policy *a, const struct kt_group_policy *b)
{
	return strcmp(a->group, b->group) == 0 && a->max_key_age_ms == b->max_key_age_ms &&
	       a->rotate_at == b->rotate_at && a->jitter == b->jitter &&
	       a->quiet_from == b->quiet_from && a->quiet_until == b->quiet_until &&
	       a->challenge_every_ms == b->challenge_every_ms &&
	       a->challenge_silence == b->challenge_silence &&
	       a->clone_second_key == b->clone_second_key &&
	       a->clone_contended == b->clone_contended &&
	       a->clone_old_answer == b->clone_old_answer && a->clone_op_range == b->clone_op_range;
}

bool kt_policies_are_same(const struct kt_policies *a, const struct kt_policies *b)
{
	if (a->count != b->count || a->rotations_per_minute != b->rotations_per_minute)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!is_same(&a->groups[i], &b->groups[i]))
			return false;
	}
	return true;
}
