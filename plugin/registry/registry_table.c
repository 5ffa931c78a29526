#include <stdlib.h>

#include "registry_internal.h"

enum { TABLE_SLOTS_MIN = 16 };

enum kt_err kt_slab_reserve(struct kt_slab *slab, uint32_t extra)
{
	size_t need;

	if (extra > KT_SLAB_ROWS_MAX - slab->count)
		return KT_ERR_NOMEM;
	need = ((size_t)slab->count + extra + KT_SLAB_CHUNK_ROWS - 1) / KT_SLAB_CHUNK_ROWS;
	while (slab->chunk_count < need) {
		/* The list of chunks doubles: its size is a power of two (0 at first). */
		if ((slab->chunk_count & (slab->chunk_count - 1)) == 0) {
			size_t room = slab->chunk_count == 0 ? 1 : slab->chunk_count * 2;
			/* analyzer-suppress -Wanalyzer-malloc-leak ; the list of chunks holds it */
			uint8_t **chunks = realloc(slab->chunks, room * sizeof(*chunks));

			if (chunks == NULL)
				return KT_ERR_NOMEM;
			slab->chunks = chunks;
		}
		slab->chunks[slab->chunk_count] = calloc(KT_SLAB_CHUNK_ROWS, slab->row_size);
		if (slab->chunks[slab->chunk_count] == NULL)
			return KT_ERR_NOMEM;
		/* analyzer-suppress -Wanalyzer-malloc-leak ; the slab holds the list */
		slab->chunk_count++;
	}
	return KT_ERR_OK;
}

void *kt_slab_at(const struct kt_slab *slab, uint32_t row)
{
	return slab->chunks[row / KT_SLAB_CHUNK_ROWS] +
	       (size_t)(row % KT_SLAB_CHUNK_ROWS) * slab->row_size;
}

uint32_t kt_slab_add(struct kt_slab *slab)
{
	return slab->count++;
}

void kt_slab_clear(struct kt_slab *slab)
{
	for (size_t i = 0; i < slab->chunk_count; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	slab->chunks = NULL;
	slab->chunk_count = 0;
	slab->count = 0;
}

static void put_slot(uint32_t *slots, size_t mask, uint64_t hash, uint32_t slot)
{
	size_t i = (size_t)hash & mask;

	while (slots[i] != 0)
		i = (i + 1) & mask;
	slots[i] = slot;
}

enum kt_err kt_table_reserve(struct kt_table *table, const struct kt_registry *r,
			     kt_table_hash *hash)
{
	size_t size = table->slots == NULL ? 0 : table->mask + 1;
	size_t new_size = size == 0 ? TABLE_SLOTS_MIN : size * 2;
	uint32_t *slots;

	if ((table->used + 1) * 10 <= size * 7)
		return KT_ERR_OK;
	slots = calloc(new_size, sizeof(*slots));
	if (slots == NULL)
		return KT_ERR_NOMEM;
	for (size_t i = 0; i < size; i++) {
		if (table->slots[i] != 0)
			put_slot(slots, new_size - 1, hash(r, table->slots[i] - 1),
				 table->slots[i]);
	}
	free(table->slots);
	table->slots = slots;
	table->mask = new_size - 1;
	return KT_ERR_OK;
}

void kt_table_add(struct kt_table *table, uint64_t hash, uint32_t row)
{
	put_slot(table->slots, table->mask, hash, row + 1);
	table->used++;
}

void kt_table_remove(struct kt_table *table, const struct kt_registry *r, kt_table_hash *hash,
		     uint32_t row)
{
	size_t gap = (size_t)hash(r, row) & table->mask;
	size_t i;

	while (table->slots[gap] != row + 1)
		gap = (gap + 1) & table->mask;
	/* Whoever stands behind the gap moves into it, unless it would leave its home behind. */
	for (i = (gap + 1) & table->mask; table->slots[i] != 0; i = (i + 1) & table->mask) {
		size_t home = (size_t)hash(r, table->slots[i] - 1) & table->mask;

		if (((i - home) & table->mask) >= ((i - gap) & table->mask)) {
			table->slots[gap] = table->slots[i];
			gap = i;
		}
	}
	table->slots[gap] = 0;
	table->used--;
}

void kt_table_clear(struct kt_table *table)
{
	free(table->slots);
	table->slots = NULL;
	table->mask = 0;
	table->used = 0;
}

bool kt_table_next(const struct kt_table *table, size_t *cursor, uint32_t *row)
{
	uint32_t slot = table->slots == NULL ? 0 : table->slots[*cursor & table->mask];

	if (slot == 0)
		return false;
	*row = slot - 1;
	(*cursor)++;
	return true;
}
