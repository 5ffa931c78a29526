/*
 * registry_ending - serials and ends of certificates, for the revocation list.
 *
 * Apart from the credentials, which a fleet without such a list keeps too. Never in the index: a
 * start folds the whole ledger, and an issue has the certificate in it.
 */
#include <string.h>

#include "crypto.h"
#include "registry_internal.h"

enum { SERIAL_MARK = 0x4b, SERIAL_HEAD_LEN = 5 };

static struct kt_ending_row *ending_at(const struct kt_registry *r,
				       const struct kt_credential_row *row)
{
	return kt_slab_at(&r->endings, row->row);
}

static bool is_out(enum kt_credential_status status)
{
	return status == KT_CREDENTIAL_SUPERSEDED || status == KT_CREDENTIAL_REVOKED ||
	       status == KT_CREDENTIAL_ABANDONED;
}

static void put_head(uint8_t serial[static KT_SERIAL_LEN], uint32_t generation)
{
	serial[0] = SERIAL_MARK;
	for (size_t i = 0; i < 4; i++)
		serial[1 + i] = (uint8_t)(generation >> (24 - 8 * i));
}

void kt_registry_keep_endings(struct kt_registry *registry)
{
	registry->keeps_endings = registry->credentials.count == 0;
}

void kt_row_keep_serial(struct kt_registry *r, const struct kt_credential_row *row,
			struct kt_bytes der)
{
	uint8_t head[KT_SERIAL_LEN];
	uint8_t serial[KT_SERIAL_LEN];

	if (!r->keeps_endings || !kt_cert_serial(der, serial))
		return;
	put_head(head, row->c.generation);
	if (memcmp(head, serial, SERIAL_HEAD_LEN) == 0)
		memcpy(ending_at(r, row)->tail, serial + SERIAL_HEAD_LEN,
		       KT_SERIAL_LEN - SERIAL_HEAD_LEN);
}

void kt_row_keep_ending(struct kt_registry *r, const struct kt_credential_row *row, uint64_t seq,
			int64_t time_us)
{
	if (!is_out(row->c.status))
		return;
	r->ended_seq = seq;
	if (r->keeps_endings)
		ending_at(r, row)->ended_s = time_us / 1000000;
}

const struct kt_credential *kt_registry_next_credential(const struct kt_registry *registry,
							size_t *cursor)
{
	const struct kt_credential_row *row;

	if (*cursor >= registry->credentials.count)
		return NULL;
	row = kt_slab_at(&registry->credentials, (uint32_t)(*cursor)++);
	return &row->c;
}

bool kt_registry_ending(const struct kt_registry *registry, const struct kt_credential *credential,
			struct kt_ending *out)
{
	static const uint8_t none[KT_SERIAL_LEN - SERIAL_HEAD_LEN] = {0};
	const struct kt_ending_row *ending;

	memset(out, 0, sizeof(*out));
	if (!registry->keeps_endings || !is_out(credential->status))
		return false;
	/* a credential is the first member of its row */
	ending = ending_at(registry, (const struct kt_credential_row *)credential);
	out->ended_s = ending->ended_s;
	out->has_serial = memcmp(ending->tail, none, sizeof(none)) != 0;
	put_head(out->serial, credential->generation);
	memcpy(out->serial + SERIAL_HEAD_LEN, ending->tail, sizeof(ending->tail));
	return true;
}

uint64_t kt_registry_ended_seq(const struct kt_registry *registry)
{
	return registry->ended_seq;
}
