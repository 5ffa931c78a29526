/* Events as they happen: for a person to watch, and for the outcome of a challenge. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "commands.h"
#include "encoding.h"
#include "log.h"
#include "print.h"
#include "topic.h"

static const struct kt_json_limits limits = {
	.size_max = 65536, .depth_max = KT_JSON_DEPTH_MAX, .tokens_max = KT_JSON_TOKENS_MAX};

/* Microseconds as "2026-11-22T12:00:00.123456Z"; what is no such number stays as it is. */
static void show_time(const char *digits, char out[static KT_CELL_MAX])
{
	char day[32];
	struct tm tm;
	uint64_t us = 0;
	time_t seconds;

	(void)snprintf(out, KT_CELL_MAX, "%s", digits);
	if (kt_u64_decode(digits, strlen(digits), &us) != KT_ERR_OK || us > INT64_MAX)
		return;
	seconds = (time_t)(us / 1000000);
	if (gmtime_r(&seconds, &tm) != NULL &&
	    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) > 0)
		(void)snprintf(out, KT_CELL_MAX, "%s.%06uZ", day, (unsigned)(us % 1000000));
}

/* "TIME EVENT name=value ..." */
static void show_event(FILE *file, const struct kt_json_value *event)
{
	static const char *const first[] = {"time", "event", NULL};
	char head[2 * KT_CELL_MAX + 1];
	char when[KT_CELL_MAX];
	char what[KT_CELL_MAX];
	char digits[KT_CELL_MAX];

	kt_cell_of(kt_json_member(event, "time"), digits);
	kt_cell_of(kt_json_member(event, "event"), what);
	show_time(digits, when);
	(void)snprintf(head, sizeof(head), "%s %s", when, what);
	kt_print_members(file, head, event, first);
}

static enum kt_ctl_exit subscribe(struct kt_ctl *ctl, const char *filter)
{
	enum kt_ctl_exit code = kt_ctl_connect(ctl);
	enum kt_err err;

	if (code != KT_CTL_EXIT_OK)
		return code;
	err = ctl->transport.subscribe(ctl->transport.ctx, filter,
				       kt_ctl_until(ctl, ctl->args->timeout_ms));
	return err == KT_ERR_OK
		       ? KT_CTL_EXIT_OK
		       : kt_ctl_explain(ctl, err, "the subscription", ctl->args->timeout_ms);
}

struct watch {		  /* for events */
	const char *what; /* is waited for */
	int64_t wait_ms;
	int64_t until_ms;
};

static struct watch begin_watch(const struct kt_ctl *ctl, const char *what, int64_t wait_ms)
{
	return (struct watch){what, wait_ms, kt_ctl_until(ctl, wait_ms)};
}

/* One event, parsed; NULL (and KT_CTL_EXIT_OK) for what is none. */
static enum kt_ctl_exit next_event(struct kt_ctl *ctl, const struct watch *watch,
				   struct kt_json **out)
{
	struct kt_ctl_message message = {0};
	enum kt_err err = ctl->transport.receive(ctl->transport.ctx, watch->until_ms, &message);

	*out = NULL;
	if (err != KT_ERR_OK)
		return kt_ctl_explain(ctl, err, watch->what, watch->wait_ms);
	if (strncmp(message.topic, KT_TOPIC_EVENTS_PREFIX, strlen(KT_TOPIC_EVENTS_PREFIX)) == 0) {
		err = kt_json_parse(message.payload, message.len, &limits, out);
		if (err != KT_ERR_OK && err != KT_ERR_NOMEM)
			kt_print(ctl->env->err, "keyturnctl: %s: cannot be understood",
				 message.topic);
	}
	kt_ctl_message_clear(&message);
	return err == KT_ERR_NOMEM ? kt_ctl_explain(ctl, err, watch->what, 0) : KT_CTL_EXIT_OK;
}

enum kt_ctl_exit kt_ctl_events(struct kt_ctl *ctl)
{
	const bool is_endless = kt_ctl_has(ctl->args, KT_CTL_FOLLOW);
	enum kt_ctl_exit code = subscribe(ctl, KT_TOPIC_EVENTS_PREFIX "#");
	struct watch watch = {"events", 0, INT64_MAX};
	bool is_done = false;

	if (code == KT_CTL_EXIT_OK && !is_endless)
		watch = begin_watch(ctl, "events", ctl->args->timeout_ms);
	while (code == KT_CTL_EXIT_OK && !is_done) {
		struct kt_json *json = NULL;

		code = next_event(ctl, &watch, &json);
		if (json == NULL)
			continue;
		if (!kt_ctl_has(ctl->args, KT_CTL_JSON))
			show_event(ctl->env->out, kt_json_root(json));
		else
			code = kt_ctl_print_data(ctl, kt_json_root(json));
		kt_json_free(json);
		is_done = !is_endless;
		/* whoever reads a pipe waits for the line; a closed one ends the watch */
		if (fflush(ctl->env->out) != 0)
			code = KT_CTL_EXIT_LOCAL;
	}
	return code;
}

/* --- outcomes of challenges ------------------------------------------------------------------- */

enum kt_ctl_exit kt_ctl_watch_outcomes(struct kt_ctl *ctl)
{
	return subscribe(ctl, KT_TOPIC_EVENTS_PREFIX "#");
}

struct outcome {
	const char *device;
	bool is_known;
	bool is_good;
};

static bool is_member(const struct kt_json_value *event, const char *name, const char *value)
{
	const struct kt_json_value *member = kt_json_member(event, name);

	return member != NULL && kt_json_is(member, KT_JSON_STRING) &&
	       strcmp(kt_json_value_string(member), value) == 0;
}

/* True if the event tells the outcome of one that was open. */
static bool take_outcome(struct outcome *outcomes, size_t count, const struct kt_json_value *event)
{
	const bool is_answer =
		is_member(event, "event", kt_event_name(KT_EVENT_CHALLENGE_ANSWERED));

	if (!is_answer && !is_member(event, "event", kt_event_name(KT_EVENT_CHALLENGE_MISSED)))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!outcomes[i].is_known && is_member(event, "device", outcomes[i].device)) {
			outcomes[i].is_known = true;
			outcomes[i].is_good = is_answer;
			return true;
		}
	}
	return false;
}

static enum kt_ctl_exit show_outcome(const struct kt_ctl *ctl, const struct kt_json_value *event)
{
	char device[KT_CELL_MAX];
	char generation[KT_CELL_MAX];

	if (kt_ctl_has(ctl->args, KT_CTL_JSON))
		return kt_ctl_print_data(ctl, event);
	kt_cell_of(kt_json_member(event, "device"), device);
	kt_cell_of(kt_json_member(event, "gen"), generation);
	if (is_member(event, "event", kt_event_name(KT_EVENT_CHALLENGE_ANSWERED)))
		kt_print(ctl->env->out, "%s: answered, generation %s", device, generation);
	else
		kt_print(ctl->env->err, "keyturnctl: %s: did not answer", device);
	return KT_CTL_EXIT_OK;
}

static enum kt_ctl_exit await_all(struct kt_ctl *ctl, struct outcome *outcomes, size_t count)
{
	const int64_t wait_ms =
		kt_ctl_has(ctl->args, KT_CTL_TIMEOUT) ? ctl->args->timeout_ms : KT_CTL_WAIT_MS;
	const struct watch watch = begin_watch(ctl, "the outcome", wait_ms);
	enum kt_ctl_exit code = KT_CTL_EXIT_OK;
	size_t left = count;

	while (code == KT_CTL_EXIT_OK && left > 0) {
		struct kt_json *json = NULL;

		code = next_event(ctl, &watch, &json);
		if (json != NULL && take_outcome(outcomes, count, kt_json_root(json))) {
			code = show_outcome(ctl, kt_json_root(json));
			left--;
		}
		kt_json_free(json);
	}
	for (size_t i = 0; i < count; i++) {
		if (!outcomes[i].is_known)
			kt_print(ctl->env->err, "keyturnctl: %s: no outcome", outcomes[i].device);
		else if (!outcomes[i].is_good && code == KT_CTL_EXIT_OK)
			code = KT_CTL_EXIT_FAILED;
	}
	return code;
}

enum kt_ctl_exit kt_ctl_await_outcomes(struct kt_ctl *ctl, const char *const *devices, size_t count)
{
	struct outcome *outcomes = calloc(count, sizeof(*outcomes));
	enum kt_ctl_exit code;

	if (outcomes == NULL) {
		kt_print(ctl->env->err, "keyturnctl: %s", kt_err_text(KT_ERR_NOMEM));
		return KT_CTL_EXIT_LOCAL;
	}
	for (size_t i = 0; i < count; i++)
		outcomes[i].device = devices[i];
	code = await_all(ctl, outcomes, count);
	free(outcomes);
	return code;
}
