/* What the audit commands take, and which records they show. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit.h"

#define BIT(option) (UINT64_C(1) << KT_CTL_##option)
#define FILTER	    (BIT(DEVICE) | BIT(ACTOR) | BIT(KIND) | BIT(SINCE) | BIT(UNTIL))

static __attribute__((format(printf, 2, 3))) enum kt_err wrong(char why[static KT_CTL_WHY_MAX],
							       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, KT_CTL_WHY_MAX, format, args);
	va_end(args);
	return KT_ERR_INVALID;
}

static bool take_digits(const char **at, size_t count, int *out)
{
	*out = 0;
	for (size_t i = 0; i < count; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		*out = *out * 10 + (**at - '0');
	}
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* 2026-11-22 or 2026-11-22T12:00:00Z, of the Gregorian calendar, from 1970 on. */
static bool time_of(const char *text, int64_t *out_us)
{
	struct tm tm = {0};
	struct tm same;
	const char *at = text;
	time_t seconds;

	if (!take_digits(&at, 4, &tm.tm_year) || !take_char(&at, '-') ||
	    !take_digits(&at, 2, &tm.tm_mon) || !take_char(&at, '-') ||
	    !take_digits(&at, 2, &tm.tm_mday))
		return false;
	if (*at != '\0' &&
	    (!take_char(&at, 'T') || !take_digits(&at, 2, &tm.tm_hour) || !take_char(&at, ':') ||
	     !take_digits(&at, 2, &tm.tm_min) || !take_char(&at, ':') ||
	     !take_digits(&at, 2, &tm.tm_sec) || !take_char(&at, 'Z') || *at != '\0'))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	same = tm;
	seconds = timegm(&same);
	*out_us = (int64_t)seconds * 1000000;
	/* a 31st of February has become another day */
	return seconds >= 0 && same.tm_mday == tm.tm_mday && same.tm_mon == tm.tm_mon &&
	       same.tm_hour == tm.tm_hour && same.tm_min == tm.tm_min && same.tm_sec == tm.tm_sec;
}

static bool is_kind(const char *name)
{
	for (int i = 0; i < KT_RECORD_COUNT; i++) {
		if (strcmp(kt_record_kind_name((enum kt_record_kind)i), name) == 0)
			return true;
	}
	return false;
}

static enum kt_err check_time(const struct kt_ctl_args *args, enum kt_ctl_option option,
			      char why[static KT_CTL_WHY_MAX])
{
	int64_t time_us;

	if (!kt_ctl_has(args, option) || time_of(args->values[option], &time_us))
		return KT_ERR_OK;
	return wrong(why, "--%s %s: not a time (2026-11-22 or 2026-11-22T12:00:00Z)",
		     kt_ctl_option_name(option), args->values[option]);
}

static enum kt_err check_filter(const struct kt_ctl_args *args, char why[static KT_CTL_WHY_MAX])
{
	const char *device = args->values[KT_CTL_DEVICE];
	const char *kind = args->values[KT_CTL_KIND];
	enum kt_err err;

	if (device != NULL && !kt_is_device_id(device, strlen(device)))
		return wrong(why, "'%s' is no device id (1 to 63 of A-Z a-z 0-9 . _ -)", device);
	if (kind != NULL && !is_kind(kind))
		return wrong(why, "--kind %s: there is no record of that kind", kind);
	err = check_time(args, KT_CTL_SINCE, why);
	return err == KT_ERR_OK ? check_time(args, KT_CTL_UNTIL, why) : err;
}

enum kt_err kt_audit_check(const struct kt_ctl_args *args, char why[static KT_CTL_WHY_MAX])
{
	static const struct {
		const char *verb;
		uint64_t options; /* of its own */
	} verbs[] = {{"verify", BIT(HEADS) | BIT(ROOT)}, {"show", FILTER}, {"export", FILTER}};
	const char *verb = args->operands[0];
	const bool is_old_name = strcmp(args->command->name, "ledger") == 0;

	for (size_t i = 0; i < (is_old_name ? 1 : sizeof(verbs) / sizeof(verbs[0])); i++) {
		if (strcmp(verb, verbs[i].verb) != 0)
			continue;
		for (int option = 0; option < KT_CTL_OPTION_COUNT; option++) {
			const uint64_t bit = UINT64_C(1) << option;

			if (args->values[option] != NULL && (bit & verbs[i].options) == 0 &&
			    (bit & (FILTER | BIT(HEADS) | BIT(ROOT))) != 0)
				return wrong(why, "audit %s does not take --%s", verb,
					     kt_ctl_option_name((enum kt_ctl_option)option));
		}
		if (args->operand_count > 1 && kt_ctl_has(args, KT_CTL_LEDGER_DIR))
			return wrong(why, "audit %s: a directory or --ledger-dir, not both", verb);
		if (kt_ctl_has(args, KT_CTL_ROOT) && !kt_ctl_has(args, KT_CTL_HEADS))
			return wrong(why, "--root goes with --heads");
		return check_filter(args, why);
	}
	return wrong(why, "usage: keyturnctl %s %s", args->command->name, args->command->operands);
}

struct kt_audit_filter kt_audit_filter_of(const struct kt_ctl_args *args)
{
	struct kt_audit_filter filter = {.device = args->values[KT_CTL_DEVICE],
					 .actor = args->values[KT_CTL_ACTOR],
					 .kind = args->values[KT_CTL_KIND],
					 .since_us = INT64_MIN,
					 .until_us = INT64_MAX};

	if (kt_ctl_has(args, KT_CTL_SINCE))
		(void)time_of(args->values[KT_CTL_SINCE], &filter.since_us);
	if (kt_ctl_has(args, KT_CTL_UNTIL))
		(void)time_of(args->values[KT_CTL_UNTIL], &filter.until_us);
	return filter;
}

/* Is it one of ids with a blank between each two? */
static bool is_in(const char *ids, const char *device)
{
	const size_t len = strlen(device);

	while (ids != NULL) {
		if (strncmp(ids, device, len) == 0 && (ids[len] == ' ' || ids[len] == '\0'))
			return true;
		ids = strchr(ids, ' ');
		if (ids != NULL)
			ids++;
	}
	return false;
}

static bool is_about(const struct kt_record *record, const char *device)
{
	return strcmp(record->device.s, device) == 0 ||
	       (record->kind == KT_RECORD_CAMPAIGN_ADD && is_in(record->text, device));
}

bool kt_audit_wants(const struct kt_audit_filter *filter, const struct kt_record *record)
{
	return (filter->device == NULL || is_about(record, filter->device)) &&
	       (filter->actor == NULL || strcmp(record->actor, filter->actor) == 0) &&
	       (filter->kind == NULL ||
		strcmp(kt_record_kind_name(record->kind), filter->kind) == 0) &&
	       record->time_us >= filter->since_us && record->time_us < filter->until_us;
}
