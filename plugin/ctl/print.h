/*
 * print - all that keyturnctl writes: lines, tables, JSON.
 *
 * What a peer said passes through here, so no byte but printable ASCII comes out: a device name or
 * an event cannot move a cursor, change a title or hide a line. Write errors stick to the stream
 * and are looked at once, at the end. No colours.
 */
#ifndef KT_CTL_PRINT_H
#define KT_CTL_PRINT_H

#include <stdarg.h>
#include <stdio.h>

#include "err.h"
#include "json.h"

/* One line; everything in it but printable ASCII becomes \xNN, a backslash two. */
void kt_print(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of @text alone. Needs no memory: for what must not be lost. */
void kt_print_text(FILE *file, const char *text);
/* "name            value" */
void kt_print_pair(FILE *file, const char *name, const char *value);
/* One compact document and a newline; what is not ASCII becomes \uNNNN. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_print_json(FILE *file, const struct kt_json_value *value);
/* The same for JSON text that we wrote ourselves. */
void kt_print_json_text(FILE *file, const char *json);

enum { KT_TABLE_COLUMNS_MAX = 9, KT_CELL_MAX = 96 };

/*
 * Text, number or yes/no of a JSON value as a cell; "-" for NULL, "?" for an object or array. What
 * is too long is cut, and ends in "...".
 */
void kt_cell_of(const struct kt_json_value *value, char out[static KT_CELL_MAX]);

/*
 * "head name=value name=value": every member of @object whose name is not in @except (ends in NULL;
 * may be NULL). Quoted as in the plugin's log where a text is no plain word, so that no text looks
 * like another member.
 */
void kt_print_members(FILE *file, const char *head, const struct kt_json_value *object,
		      const char *const *except);

struct kt_ctl_table; /* owned, opaque */
/* @columns ends in NULL; borrowed. KT_ERR_NOMEM. */
KT_MUST_CHECK enum kt_err kt_ctl_table_new(const char *const *columns, struct kt_ctl_table **out);
void kt_ctl_table_free(struct kt_ctl_table *table); /* NULL is fine */
/* The next cell, left to right. Copied. Without memory nothing is printed at all. */
void kt_ctl_table_add(struct kt_ctl_table *table, const char *text);
/* With a line of headings. KT_ERR_NOMEM; KT_ERR_INVALID: no column at all. */
KT_MUST_CHECK enum kt_err kt_ctl_table_print(const struct kt_ctl_table *table, FILE *file);

#endif
