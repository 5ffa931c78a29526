#include <stdlib.h>
#include <string.h>

#include "index_rows.h"

/* Room for one more item of @size bytes; the room doubles whenever *count is a power of two. */
static enum kt_err grow(void **items, size_t count, size_t size)
{
	size_t room = count == 0 ? 1 : count * 2;
	void *grown;

	if ((count & (count - 1)) != 0)
		return KT_ERR_OK;
	/* analyzer-suppress -Wanalyzer-malloc-leak ; the caller's *items holds it */
	grown = realloc(*items, room * size);
	if (grown == NULL)
		return KT_ERR_NOMEM;
	*items = grown;
	return KT_ERR_OK;
}

static enum kt_err add_device(struct kt_index_batch *batch, const struct kt_device_row *row)
{
	void *items = batch->devices;
	enum kt_err err = grow(&items, batch->device_count, sizeof(*batch->devices));
	struct kt_device_image *image;

	batch->devices = items;
	if (err != KT_ERR_OK)
		return err;
	image = &batch->devices[batch->device_count];
	*image = (struct kt_device_image){.d = row->d, .row = row->row};
	image->d.current = NULL;
	image->d.pending = NULL;
	image->d.pending_der = NULL;
	image->d.group = NULL;
	image->d.labels = NULL;
	batch->device_count++;
	if (!kt_copy_text(row->d.group, &image->group) ||
	    !kt_copy_text(row->d.labels, &image->labels))
		return KT_ERR_NOMEM;
	if (row->der != NULL) {
		image->der = malloc(row->d.pending_der_len);
		if (image->der == NULL)
			return KT_ERR_NOMEM;
		memcpy(image->der, row->der, row->d.pending_der_len);
	}
	return KT_ERR_OK;
}

static uint32_t row_of_device(const struct kt_registry *registry, const struct kt_device *d)
{
	return kt_row_device(registry, d->id.s)->row;
}

static enum kt_err add_credential(struct kt_index_batch *batch, const struct kt_registry *registry,
				  const struct kt_credential_row *row)
{
	void *items = batch->credentials;
	enum kt_err err = grow(&items, batch->credential_count, sizeof(*batch->credentials));
	struct kt_credential_image *image;

	batch->credentials = items;
	if (err != KT_ERR_OK)
		return err;
	image = &batch->credentials[batch->credential_count++];
	image->c = row->c;
	image->c.device = NULL;
	image->row = row->row;
	image->device_row = row_of_device(registry, row->c.device);
	return KT_ERR_OK;
}

static enum kt_err add_ticket(struct kt_index_batch *batch, const struct kt_ticket_row *row)
{
	void *items = batch->tickets;
	enum kt_err err = grow(&items, batch->ticket_count, sizeof(*batch->tickets));

	batch->tickets = items;
	if (err == KT_ERR_OK)
		batch->tickets[batch->ticket_count++] = *row;
	return err;
}

static enum kt_err add_denied(struct kt_index_batch *batch, const struct kt_denied_row *row)
{
	void *items = batch->denied;
	enum kt_err err = grow(&items, batch->denied_count, sizeof(*batch->denied));

	batch->denied = items;
	if (err == KT_ERR_OK)
		batch->denied[batch->denied_count++] = *row;
	return err;
}

static enum kt_err add_operator(struct kt_index_batch *batch, const struct kt_operator_row *row)
{
	void *items = batch->operators;
	enum kt_err err = grow(&items, batch->operator_count, sizeof(*batch->operators));

	batch->operators = items;
	if (err == KT_ERR_OK)
		batch->operators[batch->operator_count++] = *row;
	return err;
}

enum kt_err kt_index_collect(struct kt_registry *registry, struct kt_index_batch **out)
{
	struct kt_index_batch *batch = calloc(1, sizeof(*batch));
	const struct kt_device_row *device;
	const struct kt_credential_row *credential;
	const struct kt_ticket_row *ticket;
	const struct kt_denied_row *denied;
	const struct kt_operator_row *operator_row;
	enum kt_err err = KT_ERR_OK;

	*out = NULL;
	if (batch == NULL)
		return KT_ERR_NOMEM;
	batch->time_us = registry->time_us;
	batch->restore_seq = registry->restore_seq;
	memcpy(batch->trust_domain, registry->trust_domain, sizeof(batch->trust_domain));
	while (err == KT_ERR_OK && (device = kt_row_take_device(registry)) != NULL)
		err = add_device(batch, device);
	while (err == KT_ERR_OK && (credential = kt_row_take_credential(registry)) != NULL)
		err = add_credential(batch, registry, credential);
	while (err == KT_ERR_OK && (ticket = kt_row_take_ticket(registry)) != NULL)
		err = add_ticket(batch, ticket);
	while (err == KT_ERR_OK && (denied = kt_row_take_denied(registry)) != NULL)
		err = add_denied(batch, denied);
	while (err == KT_ERR_OK && (operator_row = kt_row_take_operator(registry)) != NULL)
		err = add_operator(batch, operator_row);
	if (err != KT_ERR_OK) {
		kt_index_batch_free(batch);
		return err;
	}
	*out = batch;
	return KT_ERR_OK;
}

void kt_device_image_clear(struct kt_device_image *image)
{
	free(image->der);
	free(image->group);
	free(image->labels);
}

void kt_index_batch_free(struct kt_index_batch *batch)
{
	if (batch == NULL)
		return;
	for (size_t i = 0; i < batch->device_count; i++)
		kt_device_image_clear(&batch->devices[i]);
	free(batch->devices);
	free(batch->credentials);
	free(batch->tickets);
	free(batch->denied);
	free(batch->operators);
	free(batch);
}
