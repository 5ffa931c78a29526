#include "store_writer.h"

#include <stdlib.h>
#include <string.h>

enum kt_err kt_store_item_new(const struct kt_record *record, struct kt_store_item **out)
{
	struct kt_store_item *item = calloc(1, sizeof(*item));

	*out = NULL;
	if (item == NULL)
		return KT_ERR_NOMEM;
	item->record = *record;
	item->record.storage = NULL;
	item->record.der = (struct kt_bytes){NULL, 0};
	item->record.text = NULL;
	if (record->text != NULL) {
		item->record.storage = (uint8_t *)strdup(record->text);
		item->record.text = (const char *)item->record.storage;
		if (item->record.text == NULL) {
			kt_store_items_free(item);
			return KT_ERR_NOMEM;
		}
	}
	if (record->der.len > 0) {
		item->record.storage = malloc(record->der.len);
		if (item->record.storage == NULL) {
			kt_store_items_free(item);
			return KT_ERR_NOMEM;
		}
		memcpy(item->record.storage, record->der.p, record->der.len);
		item->record.der = (struct kt_bytes){item->record.storage, record->der.len};
	}
	*out = item;
	return KT_ERR_OK;
}

void kt_store_items_free(struct kt_store_item *first)
{
	while (first != NULL) {
		struct kt_store_item *next = first->next;

		kt_record_clear(&first->record);
		kt_index_batch_free(first->batch);
		free(first);
		first = next;
	}
}

enum kt_err kt_store_writer_append(struct kt_store_writer *writer, struct kt_store_item *group,
				   size_t count, struct kt_ledger_state *state)
{
	const struct kt_record *records[KT_STORE_GROUP] = {NULL};
	enum kt_err err;
	size_t i = 0;

	for (struct kt_store_item *item = group; item != NULL && i < count; item = item->next)
		records[i++] = &item->record;
	err = kt_ledger_append(writer->ledger, records, i, state);
	for (struct kt_store_item *item = group; item != NULL; item = item->next) {
		if (item->record.seq > state->seq)
			break;
		writer->waiting[writer->waiting_count++] = item->batch;
		item->batch = NULL; /* moved */
	}
	writer->indexed_seq = state->seq;
	memcpy(writer->indexed_head, state->head, sizeof(writer->indexed_head));
	return err;
}

bool kt_store_writer_is_full(const struct kt_store_writer *writer)
{
	return writer->waiting_count > KT_STORE_IMAGES - KT_STORE_GROUP;
}

enum kt_err kt_store_writer_index(struct kt_store_writer *writer)
{
	enum kt_err err = kt_index_write(writer->index, writer->waiting, writer->waiting_count,
					 writer->indexed_seq, writer->indexed_head);

	kt_store_writer_drop(writer);
	return err;
}

void kt_store_writer_drop(struct kt_store_writer *writer)
{
	for (size_t i = 0; i < writer->waiting_count; i++)
		kt_index_batch_free(writer->waiting[i]);
	writer->waiting_count = 0;
}

void kt_store_writer_close(struct kt_store_writer *writer)
{
	kt_store_writer_drop(writer);
	kt_index_close(writer->index);
	kt_ledger_close(writer->ledger);
	writer->index = NULL;
	writer->ledger = NULL;
}
