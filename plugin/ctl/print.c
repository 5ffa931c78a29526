#include "print.h"

#include <stdlib.h>
#include <string.h>

#include "secmem.h"

/* A stream that fails says so itself when all is written: kt_ctl_main looks. */
static void put(FILE *file, const char *text)
{
	(void)fputs(text, file);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* A ticket can have been in it. */
static void wipe_free(char *text)
{
	if (text != NULL)
		kt_wipe(text, strlen(text));
	free(text);
}

enum { ESCAPED_MAX = 5 }; /* "\xNN" */

static void escape(unsigned char c, char out[static ESCAPED_MAX])
{
	if (c == '\\')
		(void)snprintf(out, ESCAPED_MAX, "\\\\");
	else if (is_plain(c))
		(void)snprintf(out, ESCAPED_MAX, "%c", c);
	else
		(void)snprintf(out, ESCAPED_MAX, "\\x%02x", (unsigned)c);
}

/* Needs no memory: what is to be said is said whole, or the stream says that it was not. */
static void put_escaped(FILE *file, const char *text)
{
	char bytes[ESCAPED_MAX];

	for (; *text != '\0'; text++) {
		escape((unsigned char)*text, bytes);
		put(file, bytes);
	}
}

void kt_print(FILE *file, const char *format, ...)
{
	char *raw = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&raw, format, args) < 0)
		raw = NULL;
	va_end(args);
	put_escaped(file, raw != NULL ? raw : "(out of memory)");
	put(file, "\n");
	wipe_free(raw);
}

void kt_print_text(FILE *file, const char *text)
{
	put_escaped(file, text);
	put(file, "\n");
}

void kt_print_pair(FILE *file, const char *name, const char *value)
{
	kt_print(file, "%-22s %s", name, value);
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* The code point at *at, of well-formed UTF-8; *at moves on. */
static uint32_t next_code_point(const unsigned char **at)
{
	const unsigned char *p = *at;
	const unsigned more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	static const unsigned char first_bits[] = {0x7f, 0x1f, 0x0f, 0x07};
	uint32_t point = p[0] & first_bits[more];

	p++;
	for (unsigned i = 0; i < more && *p != '\0'; i++, p++)
		point = (point << 6) | (*p & 0x3f);
	*at = p;
	return point;
}

/* In compact JSON whatever is not plain stands inside a string, where \u means the same. */
void kt_print_json_text(FILE *file, const char *json)
{
	const unsigned char *at = (const unsigned char *)json;

	while (*at != '\0') {
		uint32_t point;

		if (is_plain(*at)) {
			(void)fputc(*at++, file);
			continue;
		}
		point = next_code_point(&at);
		if (point >= 0x10000) {
			(void)fprintf(file, "\\u%04x", 0xd800 + ((point - 0x10000) >> 10));
			point = 0xdc00 + ((point - 0x10000) & 0x3ff);
		}
		(void)fprintf(file, "\\u%04x", point);
	}
	put(file, "\n");
}

enum kt_err kt_print_json(FILE *file, const struct kt_json_value *value)
{
	char *text = NULL;
	const enum kt_err err = kt_json_print(value, &text);

	if (err == KT_ERR_OK)
		kt_print_json_text(file, text);
	wipe_free(text);
	return err;
}

/* --- tables ----------------------------------------------------------------------------------- */

struct kt_ctl_table {
	const char *const *columns;
	size_t column_count;
	char **cells; /* row by row; escaped */
	size_t count;
	size_t room;
	bool has_failed;
};

static void put_text(const char *text, char out[static KT_CELL_MAX])
{
	static const char cut[] = "...";

	if (snprintf(out, KT_CELL_MAX, "%s", text) >= (int)KT_CELL_MAX)
		memcpy(out + KT_CELL_MAX - sizeof(cut), cut, sizeof(cut));
}

void kt_cell_of(const struct kt_json_value *value, char out[static KT_CELL_MAX])
{
	if (value == NULL)
		(void)snprintf(out, KT_CELL_MAX, "-");
	else if (kt_json_is(value, KT_JSON_STRING))
		put_text(kt_json_value_string(value), out);
	else if (kt_json_is(value, KT_JSON_NUMBER))
		(void)snprintf(out, KT_CELL_MAX, "%lld", (long long)kt_json_value_number(value));
	else if (kt_json_is(value, KT_JSON_BOOL))
		(void)snprintf(out, KT_CELL_MAX, "%s", kt_json_value_bool(value) ? "yes" : "no");
	else
		(void)snprintf(out, KT_CELL_MAX, "?");
}

/* As common/log.c: every other byte is quoted. */
static bool is_word(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789._:/@+-";

	return text[0] != '\0' && text[strspn(text, plain)] == '\0';
}

static void put_quoted(FILE *file, const char *text)
{
	char bytes[ESCAPED_MAX];

	put(file, "\"");
	for (; *text != '\0'; text++) {
		escape((unsigned char)*text, bytes);
		put(file, *text == '"' ? "\\\"" : bytes);
	}
	put(file, "\"");
}

static bool is_listed(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

void kt_print_members(FILE *file, const char *head, const struct kt_json_value *object,
		      const char *const *except)
{
	char cell[KT_CELL_MAX];

	put_escaped(file, head);
	for (const struct kt_json_value *v = kt_json_first(object); v != NULL;
	     v = kt_json_next(v)) {
		if (is_listed(except, kt_json_name(v)))
			continue;
		kt_cell_of(v, cell);
		put(file, " ");
		if (is_word(kt_json_name(v)))
			put(file, kt_json_name(v));
		else
			put_quoted(file, kt_json_name(v));
		put(file, "=");
		if (is_word(cell) || !kt_json_is(v, KT_JSON_STRING))
			put(file, cell);
		else
			put_quoted(file, cell);
	}
	put(file, "\n");
}

enum kt_err kt_ctl_table_new(const char *const *columns, struct kt_ctl_table **out)
{
	struct kt_ctl_table *table = calloc(1, sizeof(*table));

	*out = table;
	if (table == NULL)
		return KT_ERR_NOMEM;
	table->columns = columns;
	while (columns[table->column_count] != NULL && table->column_count < KT_TABLE_COLUMNS_MAX)
		table->column_count++;
	return KT_ERR_OK;
}

void kt_ctl_table_free(struct kt_ctl_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

static bool table_reserve(struct kt_ctl_table *table)
{
	const size_t room = table->room == 0 ? 64 : table->room * 2;
	char **bigger;

	if (table->count < table->room)
		return true;
	bigger = realloc(table->cells, room * sizeof(*bigger));
	if (bigger == NULL)
		return false;
	table->cells = bigger;
	table->room = room;
	return true;
}

/* @text as printable ASCII, malloc'ed; NULL without memory. */
static char *escaped(const char *text)
{
	const size_t size = strlen(text) * (ESCAPED_MAX - 1) + ESCAPED_MAX;
	char *out = malloc(size);
	size_t len = 0;

	if (out == NULL)
		return NULL;
	out[0] = '\0';
	for (; *text != '\0'; text++) {
		escape((unsigned char)*text, out + len);
		len += strlen(out + len);
	}
	return out;
}

void kt_ctl_table_add(struct kt_ctl_table *table, const char *text)
{
	char *cell = escaped(text);

	if (cell == NULL || !table_reserve(table)) {
		table->has_failed = true;
		free(cell);
		return;
	}
	table->cells[table->count++] = cell;
}

static void put_row(FILE *file, const char *const *cells, const size_t *widths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* nothing behind the last one: no blanks at the ends of lines */
		(void)fprintf(file, "%-*s%s", i + 1 < count ? (int)widths[i] : 0, cells[i],
			      i + 1 < count ? "  " : "\n");
	}
}

enum kt_err kt_ctl_table_print(const struct kt_ctl_table *table, FILE *file)
{
	size_t widths[KT_TABLE_COLUMNS_MAX] = {0};
	const size_t columns = table->column_count;

	if (table->has_failed)
		return KT_ERR_NOMEM;
	if (columns == 0)
		return KT_ERR_INVALID;
	for (size_t i = 0; i < columns; i++)
		widths[i] = strlen(table->columns[i]);
	for (size_t i = 0; i < table->count; i++) {
		const size_t len = strlen(table->cells[i]);

		if (len > widths[i % columns])
			widths[i % columns] = len;
	}
	put_row(file, table->columns, widths, columns);
	for (size_t i = 0; i + columns <= table->count; i += columns)
		put_row(file, (const char *const *)&table->cells[i], widths, columns);
	return KT_ERR_OK;
}
