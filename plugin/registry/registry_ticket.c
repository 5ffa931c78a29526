#include <string.h>

#include "registry_internal.h"

void kt_ticket_use(struct kt_registry *r, struct kt_ticket_row *row)
{
	row->t.used = true;
	r->counts.tickets_open--;
	kt_row_mark_ticket(r, row);
}

void kt_ticket_void_all(struct kt_registry *r, const char *device)
{
	size_t cursor = (size_t)kt_hash_id(device);
	uint32_t n;

	while (kt_table_next(&r->by_bound, &cursor, &n)) {
		struct kt_ticket_row *row = kt_slab_at(&r->tickets, n);

		if (!row->t.used && strcmp(row->t.device.s, device) == 0)
			kt_ticket_use(r, row);
	}
}
