/* keyturnctl campaign begin, list, show, pause, resume, abort: a fleet step by step. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "confirm.h"
#include "plan.h"
#include "print.h"

enum { VERB, NAME, ACTION, WHO };

static enum kt_ctl_exit usage(const struct kt_ctl *ctl, const char *words)
{
	kt_print(ctl->env->err, "keyturnctl: usage: keyturnctl campaign %s", words);
	return KT_CTL_EXIT_USAGE;
}

static void put_name(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	kt_json_put_string(w, "campaign", ctl->args->operands[NAME]);
	kt_ctl_put_note(w, ctl);
}

/* --- begin ------------------------------------------------------------------------------------ */

struct begin {
	struct kt_ctl_args who; /* first; its operands are who is meant, and nothing else */
	const char *name;
	const char *action;
	const char **plan; /* words */
	size_t plan_count;
};

static bool is_plan_word(const char *word)
{
	for (unsigned i = 0; i < KT_PLAN_ITEM_COUNT; i++) {
		const char *prefix = kt_plan_prefix((enum kt_plan_item)i);

		if (strncmp(word, prefix, strlen(prefix)) == 0)
			return true;
	}
	return false;
}

/* The words behind the action, by what they are. False and a line on stderr. */
static bool sort_words(const struct kt_ctl *ctl, struct begin *begin)
{
	const struct kt_ctl_args *args = ctl->args;
	enum kt_campaign_action action;
	struct kt_plan plan;
	const char *why = NULL;

	if (!kt_campaign_action_from_name(begin->action, &action)) {
		kt_print(ctl->env->err, "keyturnctl: '%s' is neither rotate nor challenge",
			 begin->action);
		return false;
	}
	kt_plan_preset(&plan, action);
	for (size_t i = WHO; i < args->operand_count; i++) {
		const char *word = args->operands[i];

		if (!is_plan_word(word)) {
			begin->who.operands[begin->who.operand_count++] = word;
			continue;
		}
		if (!kt_plan_take(&plan, word, &why)) {
			kt_print(ctl->env->err, "keyturnctl: '%s': the plan %s", word, why);
			return false;
		}
		begin->plan[begin->plan_count++] = word;
	}
	return true;
}

static bool names_them_once(const struct kt_ctl *ctl, const struct begin *begin)
{
	const bool all = kt_ctl_has(&begin->who, KT_CTL_ALL);
	const bool selects = kt_ctl_selects(&begin->who);

	if (all == (begin->who.operand_count > 0)) {
		kt_print(ctl->env->err, "keyturnctl: campaign begin: name devices, or give a "
					"selector, or --all");
		return false;
	}
	for (size_t i = 0; i < begin->who.operand_count; i++) {
		const char *word = begin->who.operands[i];

		if (selects == (strpbrk(word, "=<") != NULL) &&
		    (selects || kt_is_device_id(word, strlen(word))))
			continue;
		kt_print(ctl->env->err, "keyturnctl: '%s' is neither a word of a plan nor %s", word,
			 selects ? "one of a selector" : "a device id");
		return false;
	}
	return true;
}

static void put_begin(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	const struct begin *begin = (const struct begin *)(const void *)ctl->args; /* its first */

	kt_json_put_string(w, "campaign", begin->name);
	kt_json_put_string(w, "action", begin->action);
	kt_ctl_put_selection(w, ctl);
	kt_json_open_array(w, "plan");
	for (size_t i = 0; i < begin->plan_count; i++)
		kt_json_put_string(w, NULL, begin->plan[i]);
	kt_json_close_array(w);
	if (kt_ctl_has(ctl->args, KT_CTL_DRY_RUN))
		kt_json_put_bool(w, "dryRun", true);
	else
		kt_json_put_number(w, "expect", begin->who.expect);
	kt_ctl_put_note(w, ctl);
}

static int64_t number_of(const struct kt_json_value *data, const char *name)
{
	const struct kt_json_value *value = kt_json_member(data, name);

	return value != NULL && kt_json_is(value, KT_JSON_NUMBER) ? kt_json_value_number(value)
								  : -1;
}

static enum kt_ctl_exit report_begin(const struct kt_ctl *ctl, const struct begin *begin,
				     const struct kt_json_value *data)
{
	const struct kt_json_value *meant = kt_json_member(data, "meant");
	const long long devices = number_of(data, "devices");
	const long long canaries = number_of(data, "canaries");
	const long long wave = number_of(data, "wave");

	if (devices < 0 || canaries < 0 || wave < 0)
		return kt_ctl_not_understood(ctl);
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, data);
	for (const struct kt_json_value *id = meant != NULL ? kt_json_first(meant) : NULL;
	     id != NULL; id = kt_json_next(id))
		kt_print(ctl->env->out, "%s",
			 kt_json_is(id, KT_JSON_STRING) ? kt_json_value_string(id) : "?");
	if (meant != NULL)
		kt_print(ctl->env->err,
			 "keyturnctl: %lld device%s%s, %lld of them first, then %lld at a step; "
			 "nothing was done",
			 devices, devices == 1 ? "" : "s",
			 (long long)kt_json_array_len(meant) < devices ? ", the first 200 are above"
								       : "",
			 canaries, wave);
	else
		kt_print(ctl->env->out,
			 "%s: begun over %lld device%s, %lld of them first, then %lld at a step",
			 begin->name, devices, devices == 1 ? "" : "s", canaries, wave);
	return KT_CTL_EXIT_OK;
}

/* How many are meant: counted by whoever names them, asked for where nobody does. */
static enum kt_ctl_exit settle_count(struct kt_ctl *ctl, struct begin *begin)
{
	struct kt_ctl_order order = {.what = strcmp(begin->action, "rotate") == 0
						     ? "This rotates, step by step,"
						     : "This challenges, step by step,",
				     .expect = begin->who.expect};
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	if (kt_ctl_has(&begin->who, KT_CTL_DRY_RUN) || begin->who.expect >= 0)
		return code;
	if (!kt_ctl_has(&begin->who, KT_CTL_ALL) && !kt_ctl_selects(&begin->who))
		order.expect = (int64_t)begin->who.operand_count;
	else
		code = kt_ctl_confirm_count(ctl, &order);
	begin->who.expect = order.expect;
	return code;
}

static enum kt_ctl_exit send_begin(struct kt_ctl *ctl, const struct begin *begin)
{
	struct kt_answer answer = {0};
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, "beginCampaign", put_begin, &answer);

	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL ? kt_ctl_report_error(ctl, begin->name, &reply)
					   : report_begin(ctl, begin, reply.data);
	}
	kt_answer_clear(&answer);
	return code;
}

static enum kt_ctl_exit run_begin(struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	struct begin begin = {.who = *args};
	enum kt_ctl_exit code = KT_CTL_EXIT_USAGE;

	if (args->operand_count <= ACTION)
		return usage(ctl, "begin NAME rotate|challenge DEVICE...|SELECTOR... [PLAN...]");
	begin.name = args->operands[NAME];
	begin.action = args->operands[ACTION];
	begin.who.operands = calloc(args->operand_count, sizeof(*begin.who.operands));
	begin.who.operand_count = 0;
	begin.plan = calloc(args->operand_count, sizeof(*begin.plan));
	if (begin.who.operands == NULL || begin.plan == NULL) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
		code = KT_CTL_EXIT_LOCAL;
	} else if (sort_words(ctl, &begin) && names_them_once(ctl, &begin)) {
		ctl->args = &begin.who;
		code = settle_count(ctl, &begin);
		if (code == KT_CTL_EXIT_OK)
			code = send_begin(ctl, &begin);
		ctl->args = args;
	}
	free((void *)begin.who.operands);
	free((void *)begin.plan);
	return code;
}

/* --- list, show ------------------------------------------------------------------------------- */

static void add_cell(struct kt_ctl_table *table, const struct kt_json_value *object,
		     const char *name)
{
	char cell[KT_CELL_MAX];

	kt_cell_of(object != NULL ? kt_json_member(object, name) : NULL, cell);
	kt_ctl_table_add(table, cell);
}

static enum kt_ctl_exit print_table(const struct kt_ctl *ctl, struct kt_ctl_table *table)
{
	if (kt_ctl_table_print(table, ctl->env->out) == KT_ERR_OK)
		return KT_CTL_EXIT_OK;
	kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
	return KT_CTL_EXIT_LOCAL;
}

static enum kt_ctl_exit report_list(const struct kt_ctl *ctl, const struct kt_json_value *data)
{
	static const char *const columns[] = {"CAMPAIGN", "STATE",   "DEVICES", "DONE",	 "FAILED",
					      "SILENT",	  "ORDERED", "WAITING", "BEGAN", NULL};
	static const char *const counted[] = {"done", "failed", "silent", "ordered", "waiting"};
	const struct kt_json_value *rows = kt_json_member(data, "campaigns");
	struct kt_ctl_table *table = NULL;
	enum kt_ctl_exit code;

	if (rows == NULL || !kt_json_is(rows, KT_JSON_ARRAY))
		return kt_ctl_not_understood(ctl);
	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, data);
	if (kt_ctl_table_new(columns, &table) != KT_ERR_OK)
		return KT_CTL_EXIT_LOCAL;
	for (const struct kt_json_value *row = kt_json_first(rows); row != NULL;
	     row = kt_json_next(row)) {
		const struct kt_json_value *counts = kt_json_member(row, "counts");

		add_cell(table, row, "campaign");
		add_cell(table, row, "state");
		add_cell(table, row, "devices");
		for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
			add_cell(table, counts, counted[i]);
		add_cell(table, row, "began");
	}
	code = print_table(ctl, table);
	kt_ctl_table_free(table);
	return code;
}

static enum kt_ctl_exit run_list(struct kt_ctl *ctl)
{
	struct kt_answer answer = {0};
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, "listCampaigns", NULL, &answer);

	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL ? kt_ctl_report_error(ctl, "", &reply)
					   : report_list(ctl, reply.data);
	}
	kt_answer_clear(&answer);
	return code;
}

struct page {			 /* of a campaign's devices */
	struct kt_ctl_args args; /* first: as the command line's */
	int64_t offset;
	int64_t total;
	struct kt_ctl_table *table;
};

static void put_page(struct kt_json_writer *w, const struct kt_ctl *ctl)
{
	const struct page *page = (const struct page *)(const void *)ctl->args; /* its first */

	kt_json_put_string(w, "campaign", page->args.operands[NAME]);
	kt_json_put_number(w, "offset", page->offset);
	if (kt_ctl_has(&page->args, KT_CTL_STATE))
		kt_json_put_string(w, "state", page->args.values[KT_CTL_STATE]);
}

/* With --json a document for each page, as the plugin says it. */
static enum kt_ctl_exit take_page(const struct kt_ctl *ctl, struct page *page,
				  const struct kt_json_value *data)
{
	static const char *const except[] = {"members", "offset", "total", NULL};
	static const char *const cells[] = {"device", "state", "reason", "orders", "since"};
	const struct kt_json_value *rows = kt_json_member(data, "members");
	const bool is_first = page->offset == 0;

	page->total = number_of(data, "total");
	if (rows == NULL || !kt_json_is(rows, KT_JSON_ARRAY) || page->total < 0)
		return kt_ctl_not_understood(ctl);
	page->offset += (int64_t)kt_json_array_len(rows);
	if (kt_json_array_len(rows) == 0)
		page->total = page->offset; /* the last one, whatever the total says */
	if (kt_ctl_has(&page->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, data);
	if (is_first)
		kt_ctl_print_object(ctl, data, except);
	for (const struct kt_json_value *row = kt_json_first(rows); row != NULL;
	     row = kt_json_next(row)) {
		for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
			add_cell(page->table, row, cells[i]);
	}
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit fetch_page(struct kt_ctl *ctl, struct page *page)
{
	struct kt_answer answer = {0};
	enum kt_ctl_exit code = kt_ctl_send_one(ctl, "getCampaign", put_page, &answer);

	if (code == KT_CTL_EXIT_OK) {
		const struct kt_reply reply = kt_answer_reply(&answer, 0);

		code = reply.error != NULL
			       ? kt_ctl_report_error(ctl, page->args.operands[NAME], &reply)
			       : take_page(ctl, page, reply.data);
	}
	kt_answer_clear(&answer);
	return code;
}

static enum kt_ctl_exit run_show(struct kt_ctl *ctl)
{
	static const char *const columns[] = {"DEVICE", "STATE", "REASON", "ORDERS", "SINCE", NULL};
	const struct kt_ctl_args *args = ctl->args;
	struct page page = {.args = *args, .total = 1};
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;

	if (kt_ctl_table_new(columns, &page.table) != KT_ERR_OK)
		return KT_CTL_EXIT_LOCAL;
	ctl->args = &page.args;
	while (code == KT_CTL_EXIT_OK && page.offset < page.total)
		code = fetch_page(ctl, &page);
	ctl->args = args;
	if (code == KT_CTL_EXIT_OK && !kt_ctl_has(args, KT_CTL_JSON) && page.total > 0)
		code = print_table(ctl, page.table);
	kt_ctl_table_free(page.table);
	return code;
}

/* --- steering --------------------------------------------------------------------------------- */

static enum kt_ctl_exit run_abort(struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	struct kt_ctl_args named = *args;
	enum kt_ctl_exit code;

	named.operands = &args->operands[NAME];
	named.operand_count = 1;
	ctl->args = &named;
	code = kt_ctl_confirm(ctl, "This ends for good the campaign");
	ctl->args = args;
	return code == KT_CTL_EXIT_OK
		       ? kt_ctl_run_one(ctl, "abortCampaign", put_name, args->operands[NAME])
		       : code;
}

static enum kt_ctl_exit run_pause(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "pauseCampaign", put_name, ctl->args->operands[NAME]);
}

static enum kt_ctl_exit run_resume(struct kt_ctl *ctl)
{
	return kt_ctl_run_one(ctl, "resumeCampaign", put_name, ctl->args->operands[NAME]);
}

/* --- the verbs -------------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	const char *usage;
	kt_ctl_command_run *run;
	size_t words;		 /* 0: it looks itself */
	enum kt_ctl_option only; /* that none but it takes; OPTION_COUNT: there is none */
} verbs[] = {
	{"begin", "", run_begin, 0, KT_CTL_DRY_RUN},
	{"list", "list", run_list, 1, KT_CTL_OPTION_COUNT},
	{"show", "show NAME", run_show, 2, KT_CTL_STATE},
	{"pause", "pause NAME", run_pause, 2, KT_CTL_OPTION_COUNT},
	{"resume", "resume NAME", run_resume, 2, KT_CTL_OPTION_COUNT},
	{"abort", "abort NAME", run_abort, 2, KT_CTL_OPTION_COUNT},
};
enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

enum kt_ctl_exit kt_ctl_campaign(struct kt_ctl *ctl)
{
	const struct kt_ctl_args *args = ctl->args;
	const struct verb *verb = NULL;

	for (size_t i = 0; i < VERB_COUNT && verb == NULL; i++)
		verb = strcmp(args->operands[VERB], verbs[i].name) == 0 ? &verbs[i] : NULL;
	if (verb == NULL)
		return usage(ctl, args->command->operands);
	if (verb->words > 0 && args->operand_count != verb->words)
		return usage(ctl, verb->usage);
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (&verbs[i] == verb || verbs[i].only == KT_CTL_OPTION_COUNT ||
		    !kt_ctl_has(args, verbs[i].only))
			continue;
		kt_print(ctl->env->err, "keyturnctl: campaign %s does not take --%s", verb->name,
			 kt_ctl_option_name(verbs[i].only));
		return KT_CTL_EXIT_USAGE;
	}
	return verb->run(ctl);
}
