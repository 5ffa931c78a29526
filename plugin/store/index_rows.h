/*
 * index_rows - images of registry rows on their way from the broker's thread to the index.
 *
 * For index_batch.c (makes them) and index_sqlite.c (writes them) alone. An image shares nothing
 * with the registry, which goes on changing meanwhile.
 */
#ifndef KT_INDEX_ROWS_H
#define KT_INDEX_ROWS_H

#include "index.h"
#include "registry_internal.h"

struct kt_device_image {
	struct kt_device d; /* its pointers are NULL */
	uint8_t *der;	    /* owned, or NULL */
	char *group;	    /* owned, or NULL: none */
	char *labels;	    /* the same */
	uint32_t row;
};

struct kt_credential_image {
	struct kt_credential c; /* device is NULL */
	uint32_t row;
	uint32_t device_row;
};

struct kt_index_batch {
	struct kt_device_image *devices;
	size_t device_count;
	struct kt_credential_image *credentials;
	size_t credential_count;
	struct kt_ticket_row *tickets;
	size_t ticket_count;
	struct kt_denied_row *denied;
	size_t denied_count;
	struct kt_operator_row *operators;
	size_t operator_count;
	int64_t time_us;
	uint64_t restore_seq;
	char trust_domain[KT_TRUST_DOMAIN_MAX + 1];
};

/* --- the SQL --- */
enum { KT_INDEX_APPLICATION_ID = 1263814008 }; /* "KTix" */

enum kt_index_put {
	KT_INDEX_PUT_META,
	KT_INDEX_PUT_DEVICE,
	KT_INDEX_PUT_CREDENTIAL,
	KT_INDEX_PUT_TICKET,
	KT_INDEX_PUT_DENIED,
	KT_INDEX_PUT_OPERATOR,
	KT_INDEX_PUT_COUNT
};

/* The head of an index that is empty yet; the last value is the digest of the others. */
#define KT_INDEX_FIRST_META                                                                        \
	"INSERT INTO meta VALUES(1, 0, zeroblob(32), 0, '', 0, 5401896054858137803);"

enum { KT_INDEX_TABLES = 6 };
extern const char kt_index_schema[];
extern const char *const kt_index_put_text[KT_INDEX_PUT_COUNT];

void kt_device_image_clear(struct kt_device_image *image);

/*
 * The way back, into a registry that is being filled: devices first, rows in order from 0.
 * What a device's image owns is moved when it is OK. KT_ERR_CORRUPT: no fold of records could have
 * left such a row; KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_index_restore_device(struct kt_registry *registry,
						  struct kt_device_image *image);
KT_MUST_CHECK enum kt_err kt_index_restore_credential(struct kt_registry *registry,
						      const struct kt_credential_image *image);
KT_MUST_CHECK enum kt_err kt_index_restore_ticket(struct kt_registry *registry,
						  const struct kt_ticket_row *image);
KT_MUST_CHECK enum kt_err kt_index_restore_denied(struct kt_registry *registry,
						  const struct kt_denied_row *image);
KT_MUST_CHECK enum kt_err kt_index_restore_operator(struct kt_registry *registry,
						    const struct kt_operator_row *image);
/* When all rows are in: do devices and credentials fit together? Sets the counts. */
KT_MUST_CHECK enum kt_err kt_index_restore_end(struct kt_registry *registry);

#endif
