#include "log.h"

#include <stdio.h>
#include <string.h>

struct event_entry {
	const char *name;
	const char *text;
	enum kt_log_level level;
	bool limited;
};

static const struct event_entry event_table[KT_EVENT_COUNT] = {
#define EVENT_ENTRY(code, name, level, limited, text)                                              \
	[KT_EVENT_##code] = {name, text, KT_LOG_##level, (limited) != 0},
	KT_EVENT_LIST(EVENT_ENTRY)
#undef EVENT_ENTRY
};

static const char cut_mark[] = " cut=1";

struct line { /* one line in the making */
	char text[KT_LOG_LINE_MAX + 1];
	size_t len;
	bool is_full; /* something did not fit: what was put since the last good length is void */
};

static const struct event_entry *event_find(enum kt_event event)
{
	static const struct event_entry outside = {"?", "an event outside the list", KT_LOG_ERROR,
						   false};
	size_t index = (size_t)event;

	return index < KT_EVENT_COUNT ? &event_table[index] : &outside;
}

const char *kt_event_name(enum kt_event event)
{
	return event_find(event)->name;
}

const char *kt_event_text(enum kt_event event)
{
	return event_find(event)->text;
}

enum kt_log_level kt_event_level(enum kt_event event)
{
	return event_find(event)->level;
}

const char *kt_log_level_name(enum kt_log_level level)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	size_t index = (size_t)level;

	return index < sizeof(names) / sizeof(names[0]) ? names[index] : "?";
}

void kt_log_init(struct kt_log *log, kt_log_sink *sink, void *ctx, enum kt_log_level max_level)
{
	memset(log, 0, sizeof(*log));
	log->sink = sink;
	log->ctx = ctx;
	log->max_level = max_level;
}

static void put_char(struct line *line, char c)
{
	if (line->len >= KT_LOG_LINE_MAX) {
		line->is_full = true;
		return;
	}
	line->text[line->len++] = c;
}

static void put_text(struct line *line, const char *text)
{
	for (; *text != '\0' && !line->is_full; text++)
		put_char(line, *text);
}

static bool is_plain(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("._:/@+-", c) != NULL);
}

static void put_escaped(struct line *line, char c)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char byte = (unsigned char)c;

	if (c == '"' || c == '\\') {
		put_char(line, '\\');
		put_char(line, c);
	} else if (byte >= 0x20 && byte < 0x7f) {
		put_char(line, c);
	} else {
		put_text(line, "\\x");
		put_char(line, digits[byte >> 4]);
		put_char(line, digits[byte & 0x0f]);
	}
}

static void put_value(struct line *line, const char *value)
{
	bool plain = value[0] != '\0';

	for (const char *p = value; *p != '\0' && plain; p++)
		plain = is_plain(*p);
	if (plain) {
		put_text(line, value);
		return;
	}
	put_char(line, '"');
	for (; *value != '\0' && !line->is_full; value++)
		put_escaped(line, *value);
	put_char(line, '"');
}

static void put_field(struct line *line, const char *key, const char *value)
{
	put_char(line, ' ');
	put_text(line, key);
	put_char(line, '=');
	put_value(line, value);
}

/* Whole fields as long as they fit; where one does not, back to where the mark still fits. */
static void put_fields(struct line *line, const struct kt_field *fields, size_t field_count)
{
	size_t room_for_mark = line->len;

	for (size_t i = 0; i < field_count && !line->is_full; i++) {
		if (fields[i].value == NULL)
			continue;
		put_field(line, fields[i].key, fields[i].value);
		if (line->len + sizeof(cut_mark) - 1 <= KT_LOG_LINE_MAX)
			room_for_mark = line->len;
	}
	if (line->is_full) {
		line->len = room_for_mark;
		line->is_full = false;
		put_text(line, cut_mark);
	}
}

/* May the event be written now? *dropped: how many were not since the last one that was. */
static bool is_within_limit(struct kt_log *log, enum kt_event event, uint32_t *dropped)
{
	*dropped = 0;
	if (!event_table[event].limited)
		return true;
	if (log->now_ms - log->limit[event].window_start_ms >= KT_LOG_WINDOW_MS) {
		log->limit[event].window_start_ms = log->now_ms;
		log->limit[event].written = 0;
	}
	if (log->limit[event].written >= KT_LOG_BURST) {
		if (log->limit[event].dropped < UINT32_MAX)
			log->limit[event].dropped++;
		return false;
	}
	log->limit[event].written++;
	*dropped = log->limit[event].dropped;
	log->limit[event].dropped = 0;
	return true;
}

bool kt_log_event(struct kt_log *log, enum kt_event event, const struct kt_field *fields,
		  size_t field_count)
{
	struct line line = {.len = 0};
	char count[11];
	uint32_t dropped;

	if ((size_t)event >= KT_EVENT_COUNT)
		return false;
	if (event_table[event].level > log->max_level)
		return true;
	if (!is_within_limit(log, event, &dropped))
		return false;
	put_text(&line, "event=");
	put_text(&line, event_table[event].name);
	if (dropped > 0) {
		(void)snprintf(count, sizeof(count), "%lu", (unsigned long)dropped);
		put_field(&line, "dropped", count);
	}
	put_fields(&line, fields, field_count);
	line.text[line.len] = '\0';
	log->sink(log->ctx, event_table[event].level, line.text);
	return true;
}

void kt_log_settle(struct kt_log *log)
{
	for (size_t event = 0; event < KT_EVENT_COUNT; event++) {
		char count[11];
		const struct kt_field fields[] = {{"of", event_table[event].name},
						  {"count", count}};

		if (log->limit[event].dropped == 0 ||
		    log->now_ms - log->limit[event].window_start_ms < KT_LOG_WINDOW_MS)
			continue;
		(void)snprintf(count, sizeof(count), "%lu",
			       (unsigned long)log->limit[event].dropped);
		log->limit[event].dropped = 0;
		(void)kt_log_event(log, KT_EVENT_LOG_DROPPED, fields, 2);
	}
}
