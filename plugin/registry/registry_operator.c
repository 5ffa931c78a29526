/* The operators that stand in the ledger: their rows, and what records make of them. */
#include <string.h>
#include <strings.h>

#include "registry_internal.h"

static struct kt_operator_row *operator_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->operators, row);
}

uint64_t kt_hash_operator_row(const struct kt_registry *r, uint32_t row)
{
	return kt_hash_id(operator_at(r, row)->o.name.s);
}

struct kt_operator_row *kt_row_operator_nocase(const struct kt_registry *r, const char *name)
{
	size_t cursor = (size_t)kt_hash_id(name);
	uint32_t row;

	while (kt_table_next(&r->by_operator, &cursor, &row)) {
		if (strcasecmp(operator_at(r, row)->o.name.s, name) == 0)
			return operator_at(r, row);
	}
	return NULL;
}

struct kt_operator_row *kt_row_operator(const struct kt_registry *r, const char *name)
{
	struct kt_operator_row *row = kt_row_operator_nocase(r, name);

	return row != NULL && strcmp(row->o.name.s, name) == 0 ? row : NULL;
}

struct kt_operator_row *kt_row_add_operator(struct kt_registry *r, const struct kt_device_id *name)
{
	uint32_t n = kt_slab_add(&r->operators);
	struct kt_operator_row *row = operator_at(r, n);

	row->row = n;
	row->o.name = *name;
	kt_table_add(&r->by_operator, kt_hash_id(name->s), n);
	return row;
}

void kt_row_mark_operator(struct kt_registry *r, struct kt_operator_row *row)
{
	kt_dirty_mark(&r->dirty_operators, &row->next_dirty, row->row);
}

struct kt_operator_row *kt_row_take_operator(struct kt_registry *r)
{
	struct kt_operator_row *row = NULL;

	if (r->dirty_operators != 0) {
		row = operator_at(r, r->dirty_operators - 1);
		kt_dirty_take(&r->dirty_operators, &row->next_dirty);
	}
	return row;
}

/* --- the fold --------------------------------------------------------------------------------- */

static void note_change(struct kt_registry *r, struct kt_operator_row *row,
			const struct kt_record *record)
{
	row->o.since_us = record->time_us;
	row->o.changed_seq = record->seq;
	memcpy(row->o.by, record->actor, sizeof(row->o.by));
	kt_row_mark_operator(r, row);
}

void kt_operator_apply_add(struct kt_registry *r, const struct kt_record *record)
{
	struct kt_operator_row *row = kt_row_operator(r, record->name.s);

	if (row == NULL)
		row = kt_row_add_operator(r, &record->name);
	row->o.fp = record->fp;
	row->o.role = record->role;
	row->o.is_removed = false;
	note_change(r, row, record);
}

void kt_operator_apply_remove(struct kt_registry *r, const struct kt_record *record)
{
	struct kt_operator_row *row = kt_row_operator(r, record->name.s);

	if (row == NULL)
		return; /* never: the check has found it */
	row->o.is_removed = true;
	note_change(r, row, record);
}

void kt_operator_apply_restore(struct kt_registry *r, const struct kt_record *record)
{
	for (uint32_t i = 0; i < r->operators.count; i++) {
		struct kt_operator_row *row = operator_at(r, i);

		if (row->o.is_removed)
			continue;
		row->o.is_removed = true;
		note_change(r, row, record);
	}
}

/* --- the public side -------------------------------------------------------------------------- */

const struct kt_operator_entry *kt_registry_find_operator(const struct kt_registry *registry,
							  const char *name)
{
	const struct kt_operator_row *row = kt_row_operator(registry, name);

	return row != NULL ? &row->o : NULL;
}

const struct kt_operator_entry *kt_registry_find_operator_nocase(const struct kt_registry *registry,
								 const char *name)
{
	const struct kt_operator_row *row = kt_row_operator_nocase(registry, name);

	return row != NULL ? &row->o : NULL;
}

const struct kt_operator_entry *kt_registry_next_operator(const struct kt_registry *registry,
							  size_t *cursor)
{
	if (*cursor >= registry->operators.count)
		return NULL;
	return &operator_at(registry, (uint32_t)(*cursor)++)->o;
}
