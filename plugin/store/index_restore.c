#include <stdlib.h>
#include <string.h>

#include "index_rows.h"

static struct kt_device_row *device_at(const struct kt_registry *r, uint32_t row)
{
	return kt_slab_at(&r->devices, row);
}

enum kt_err kt_index_restore_device(struct kt_registry *registry, struct kt_device_image *image)
{
	struct kt_device_row *row;
	enum kt_err err;

	if (image->row != registry->devices.count ||
	    !kt_is_device_id(image->d.id.s, strlen(image->d.id.s)) ||
	    kt_row_device_nocase(registry, image->d.id.s) != NULL ||
	    (image->d.has_registered_key &&
	     kt_row_registered(registry, &image->d.registered_key) != NULL))
		return KT_ERR_CORRUPT;
	err = kt_registry_reserve(registry);
	if (err != KT_ERR_OK)
		return err;
	row = kt_row_add_device(registry, &image->d.id);
	row->d = image->d;
	row->d.has_registered_key = false; /* until it is in its table too */
	row->der = image->der;
	row->d.pending_der = image->der;
	kt_row_set_group(row, image->group);
	kt_row_set_labels(row, image->labels);
	image->der = NULL; /* moved, as the two texts */
	image->group = NULL;
	image->labels = NULL;
	if (image->d.has_registered_key)
		kt_row_register(registry, row, &image->d.registered_key);
	return KT_ERR_OK;
}

enum kt_err kt_index_restore_credential(struct kt_registry *registry,
					const struct kt_credential_image *image)
{
	struct kt_credential_row *row;
	struct kt_device_row *device;
	struct kt_credential c = image->c;
	enum kt_err err;

	if (image->row != registry->credentials.count ||
	    image->device_row >= registry->devices.count ||
	    kt_row_credential(registry, &c.fp) != NULL || kt_row_key(registry, &c.key_id) != NULL)
		return KT_ERR_CORRUPT;
	err = kt_registry_reserve(registry);
	if (err != KT_ERR_OK)
		return err;
	device = device_at(registry, image->device_row);
	c.device = &device->d;
	row = kt_row_add_credential(registry, &c);
	if (c.status == KT_CREDENTIAL_CURRENT) {
		if (device->d.current != NULL)
			return KT_ERR_CORRUPT;
		device->d.current = &row->c;
	}
	if (c.status == KT_CREDENTIAL_PENDING) {
		if (device->d.pending != NULL)
			return KT_ERR_CORRUPT;
		device->d.pending = &row->c;
	}
	if (c.status == KT_CREDENTIAL_CURRENT && c.generation > device->d.proven_generation)
		return KT_ERR_CORRUPT;
	return c.generation <= device->d.generation ? KT_ERR_OK : KT_ERR_CORRUPT;
}

enum kt_err kt_index_restore_ticket(struct kt_registry *registry, const struct kt_ticket_row *image)
{
	enum kt_err err;

	if (image->row != registry->tickets.count ||
	    kt_row_ticket(registry, image->t.sha256) != NULL ||
	    (image->t.device.s[0] == '\0') == (image->t.pattern[0] == '\0'))
		return KT_ERR_CORRUPT;
	err = kt_registry_reserve(registry);
	if (err == KT_ERR_OK)
		(void)kt_row_add_ticket(registry, &image->t);
	return err;
}

enum kt_err kt_index_restore_denied(struct kt_registry *registry, const struct kt_denied_row *image)
{
	enum kt_err err;

	if (image->row != registry->denied.count || kt_row_denied(registry, &image->key_id) != NULL)
		return KT_ERR_CORRUPT;
	err = kt_registry_reserve(registry);
	if (err == KT_ERR_OK)
		kt_row_add_denied(registry, &image->key_id)->denied = image->denied;
	return err;
}

enum kt_err kt_index_restore_operator(struct kt_registry *registry,
				      const struct kt_operator_row *image)
{
	const struct kt_operator_entry *o = &image->o;
	enum kt_err err;

	if (image->row != registry->operators.count ||
	    !kt_is_device_id(o->name.s, strlen(o->name.s)) ||
	    kt_row_operator_nocase(registry, o->name.s) != NULL || o->role == KT_ROLE_NONE)
		return KT_ERR_CORRUPT;
	err = kt_registry_reserve(registry);
	if (err == KT_ERR_OK)
		kt_row_add_operator(registry, &o->name)->o = *o;
	return err;
}

static bool is_sound(const struct kt_device *d)
{
	return (d->current != NULL) == (d->state == KT_DEVICE_ACTIVE) &&
	       (!d->adopted || d->current != NULL) && d->proven_generation <= d->generation &&
	       (d->pending != NULL) == (d->phase == KT_SERVER_ISSUED) &&
	       (d->pending_der != NULL) == (d->pending != NULL) &&
	       (!d->enrolling || d->phase == KT_SERVER_ISSUED) &&
	       (d->phase != KT_SERVER_OPEN || d->state == KT_DEVICE_ACTIVE);
}

enum kt_err kt_index_restore_end(struct kt_registry *registry)
{
	for (uint32_t i = 0; i < registry->devices.count; i++) {
		if (!is_sound(&device_at(registry, i)->d))
			return KT_ERR_CORRUPT;
		kt_row_count(registry, device_at(registry, i), +1);
	}
	return KT_ERR_OK;
}
