/*
 * bench_fleet - writes a ledger with as many registered devices as a benchmark wants.
 *
 *   bench_fleet LEDGER_DIR TRUST_DOMAIN ISSUER_CERT ISSUER_KEY OUT_DIR DEVICES REAL [FORM...]
 *
 * The first REAL devices (bench-0, bench-1 ...) get a real certificate and key (OUT_DIR/<i>.pem:
 * chain, then key), the others a random fingerprint and key id from a fixed seed. All through the
 * product's own ledger code, so that the broker's start checks every line of it. FORM:
 *
 *   ends FROM FIRST_S PER_SECOND   certificates of device FROM and later end: the last second of
 *                                  FROM + i is over at FIRST_S + i / PER_SECOND
 *   aged FROM FIRST_S PER_SECOND   they came into force then, spread within the seconds, too
 *   three                          each real one has a superseded certificate (<i>.old.pem), the
 *                                  current one, and a pending one of an open op (<i>.new.pem)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto.h"
#include "durable_file.h"
#include "record.h"
#include "store/ledger.h"

enum { BATCH = 1000, SEED = 4711, FILE_MAX = 16384 };

struct fleet {
	const char *trust_domain;
	const char *out_dir;
	struct kt_crypto *crypto;
	struct kt_issuer *issuer;
	struct kt_bytes issuer_der;
	struct kt_ledger *ledger;
	struct kt_ledger_state state;
	struct kt_record batch[BATCH];
	const struct kt_record *refs[BATCH];
	size_t batch_len;
	uint64_t seq;
	uint64_t random;
	uint8_t leaf[KT_CERT_MAX];
	size_t leaf_len;
	int64_t base_us; /* of the records' times */
	bool has_ends;
	bool has_ages;
	bool has_three;
	size_t from;
	int64_t first_s;
	size_t per_second;
};

static _Noreturn void fail(const char *what, enum kt_err err)
{
	fprintf(stderr, "bench_fleet: %s: %s\n", what, kt_err_text(err));
	exit(1);
}

static void need(const char *what, enum kt_err err)
{
	if (err != KT_ERR_OK)
		fail(what, err);
}

/* xorshift64*: a fixed sequence is all that is wanted here. */
static void fill(struct fleet *fleet, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		fleet->random ^= fleet->random >> 12;
		fleet->random ^= fleet->random << 25;
		fleet->random ^= fleet->random >> 27;
		out[i] = (uint8_t)((fleet->random * UINT64_C(2685821657736338717)) >> 56);
	}
}

static void flush(struct fleet *fleet)
{
	if (fleet->batch_len == 0)
		return;
	need("append",
	     kt_ledger_append(fleet->ledger, fleet->refs, fleet->batch_len, &fleet->state));
	fleet->batch_len = 0;
}

static struct kt_record *next_record(struct fleet *fleet, enum kt_record_kind kind)
{
	struct kt_record *record = NULL;

	if (fleet->batch_len == BATCH)
		flush(fleet);
	record = &fleet->batch[fleet->batch_len];
	fleet->refs[fleet->batch_len++] = record;
	memset(record, 0, sizeof(*record));
	record->seq = ++fleet->seq;
	record->time_us = fleet->base_us + (int64_t)fleet->seq;
	record->kind = kind;
	snprintf(record->actor, sizeof(record->actor), "op:bench");
	return record;
}

static void write_identity(struct fleet *fleet, const char *name, const struct kt_key *key)
{
	struct kt_secret *key_pem = NULL;
	char *leaf_pem = NULL;
	char *issuer_pem = NULL;
	char path[512];
	FILE *file = NULL;

	need("leaf to PEM", kt_pem_from_cert(fleet->leaf, fleet->leaf_len, &leaf_pem));
	need("issuer to PEM",
	     kt_pem_from_cert(fleet->issuer_der.p, fleet->issuer_der.len, &issuer_pem));
	need("key to PEM", kt_key_to_pem(key, &key_pem));
	snprintf(path, sizeof(path), "%s/%s.pem", fleet->out_dir, name);
	file = fopen(path, "w");
	if (file == NULL || fputs(leaf_pem, file) == EOF || fputs(issuer_pem, file) == EOF ||
	    fwrite(kt_secret_bytes(key_pem), 1, kt_secret_len(key_pem), file) !=
		    kt_secret_len(key_pem) ||
	    fclose(file) != 0)
		fail(path, KT_ERR_SYS);
	free(leaf_pem);
	free(issuer_pem);
	kt_secret_free(key_pem);
}

/* Its key is registered with the device, so that the issue needs neither ticket nor rotation. */
static void create(struct fleet *fleet, const struct kt_device_id *device,
		   const struct kt_key_id *key_id)
{
	struct kt_record *record = next_record(fleet, KT_RECORD_DEVICE_CREATE);

	record->device = *device;
	record->alg = KT_ALG_ES256;
	record->has_key_id = true;
	record->key_id = *key_id;
}

struct issued { /* what was issued last */
	uint64_t op;
	uint32_t generation;
	int64_t not_after_s;
	struct kt_fingerprint fp;
	struct kt_key_id key_id;
};

static void issue(struct fleet *fleet, const struct kt_device_id *device,
		  const struct issued *issued)
{
	struct kt_record *record = next_record(fleet, KT_RECORD_ISSUE);

	record->device = *device;
	record->op = issued->op;
	record->alg = KT_ALG_ES256;
	record->generation = issued->generation;
	record->not_after_s = issued->not_after_s;
	record->fp = issued->fp;
	record->has_key_id = true;
	record->key_id = issued->key_id;
	record->der = (struct kt_bytes){fleet->leaf, fleet->leaf_len};
	fill(fleet, record->nonce.b, sizeof(record->nonce.b));
}

static void commit(struct fleet *fleet, const struct kt_device_id *device,
		   const struct issued *issued)
{
	struct kt_record *record = next_record(fleet, KT_RECORD_COMMIT);

	record->device = *device;
	record->op = issued->op;
	record->fp = issued->fp;
	record = next_record(fleet, KT_RECORD_PROMOTED);
	record->device = *device;
	record->op = issued->op;
}

static void make_leaf(struct fleet *fleet, const struct kt_device_id *device, const char *name,
		      struct issued *issued)
{
	struct kt_leaf_request request = {.device = device->s,
					  .trust_domain = fleet->trust_domain,
					  .generation = issued->generation,
					  .not_after_s = issued->not_after_s};
	struct kt_key *key = NULL;

	need("key", kt_key_new(fleet->crypto, KT_ALG_ES256, &key));
	request.key = kt_key_public(key);
	need("issue",
	     kt_leaf_issue(fleet->crypto, fleet->issuer, &request, fleet->leaf, &fleet->leaf_len));
	write_identity(fleet, name, key);
	issued->fp = kt_fingerprint_of(fleet->leaf, fleet->leaf_len);
	issued->key_id = kt_key_id_of(request.key);
	kt_key_free(key);
}

/* The next generation, ordered and issued; whoever calls may commit it. */
static void rotate(struct fleet *fleet, const struct kt_device_id *device, const char *name,
		   struct issued *issued)
{
	struct kt_record *record;

	issued->op = (uint64_t)(fleet->base_us + (int64_t)fleet->seq);
	issued->generation++;
	make_leaf(fleet, device, name, issued);
	record = next_record(fleet, KT_RECORD_OP_OPEN);
	record->device = *device;
	record->op = issued->op;
	record->alg = KT_ALG_ES256;
	record->deadline_us = record->time_us + INT64_C(86400000000);
	fill(fleet, record->nonce.b, sizeof(record->nonce.b));
	issue(fleet, device, issued);
}

static void add_real(struct fleet *fleet, size_t i, const struct kt_device_id *device)
{
	struct issued issued = {
		.op = fleet->seq + 1, .generation = 1, .not_after_s = KT_CERT_NO_END};
	const int64_t base_us = fleet->base_us;
	char name[64];

	if (fleet->has_ends && i >= fleet->from) /* notAfter is a certificate's last second */
		issued.not_after_s =
			fleet->first_s + (int64_t)((i - fleet->from) / fleet->per_second) - 1;
	if (fleet->has_ages && i >= fleet->from)
		fleet->base_us = fleet->first_s * 1000000 +
				 (int64_t)((i - fleet->from) * 1000000 / fleet->per_second) -
				 (int64_t)fleet->seq;
	snprintf(name, sizeof(name), fleet->has_three ? "%zu.old" : "%zu", i);
	make_leaf(fleet, device, name, &issued);
	create(fleet, device, &issued.key_id);
	issue(fleet, device, &issued);
	commit(fleet, device, &issued);
	flush(fleet); /* the next one re-uses the buffer of this certificate */
	if (fleet->has_three) {
		snprintf(name, sizeof(name), "%zu", i);
		rotate(fleet, device, name, &issued);
		commit(fleet, device, &issued);
		flush(fleet);
		snprintf(name, sizeof(name), "%zu.new", i);
		rotate(fleet, device, name, &issued);
		flush(fleet);
	}
	fleet->base_us = base_us;
}

/* With the bytes of the last real certificate: the registry keeps them unread. */
static void add_paper(struct fleet *fleet, const struct kt_device_id *device)
{
	struct issued issued = {
		.op = fleet->seq + 1, .generation = 1, .not_after_s = KT_CERT_NO_END};

	fill(fleet, issued.fp.b, sizeof(issued.fp.b));
	fill(fleet, issued.key_id.b, sizeof(issued.key_id.b));
	create(fleet, device, &issued.key_id);
	issue(fleet, device, &issued);
	commit(fleet, device, &issued);
}

static void add_device(struct fleet *fleet, size_t i, bool is_real)
{
	char id[KT_DEVICE_ID_MAX + 1];
	struct kt_device_id device;

	snprintf(id, sizeof(id), "bench-%zu", i);
	if (!kt_device_id_set(&device, id, strlen(id)))
		fail(id, KT_ERR_INVALID);
	if (is_real)
		add_real(fleet, i, &device);
	else
		add_paper(fleet, &device);
}

static void open_issuer(struct fleet *fleet, const char *cert_path, const char *key_path)
{
	struct kt_secret *cert = NULL;
	struct kt_secret *key_pem = NULL;
	struct kt_key *key = NULL;
	uint8_t *storage = NULL;
	size_t count = 0;

	need(cert_path, kt_file_read(kt_fs_posix(), cert_path, FILE_MAX, &cert));
	need(key_path, kt_file_read(kt_fs_posix(), key_path, FILE_MAX, &key_pem));
	need(cert_path, kt_pem_certs(kt_secret_bytes(cert), kt_secret_len(cert), &fleet->issuer_der,
				     1, &count, &storage));
	need(key_path, kt_key_from_pem(fleet->crypto, kt_secret_bytes(key_pem),
				       kt_secret_len(key_pem), &key));
	need("issuer", kt_issuer_new(fleet->crypto, fleet->issuer_der.p, fleet->issuer_der.len, key,
				     &fleet->issuer));
	kt_secret_free(cert);
	kt_secret_free(key_pem);
}

static bool read_form(struct fleet *fleet, int argc, char **argv)
{
	if (argc == 0)
		return true;
	fleet->has_three = argc == 1 && strcmp(argv[0], "three") == 0;
	fleet->has_ends = argc == 4 && strcmp(argv[0], "ends") == 0;
	fleet->has_ages = argc == 4 && strcmp(argv[0], "aged") == 0;
	if (argc == 4) {
		fleet->from = strtoul(argv[1], NULL, 10);
		fleet->first_s = strtoll(argv[2], NULL, 10);
		fleet->per_second = strtoul(argv[3], NULL, 10);
	}
	return fleet->has_three || ((fleet->has_ends || fleet->has_ages) && fleet->per_second > 0);
}

int main(int argc, char **argv)
{
	static struct fleet fleet;
	size_t device_count = 0;
	size_t real_count = 0;
	struct kt_record *begin = NULL;

	if (argc < 8 || !read_form(&fleet, argc - 8, argv + 8)) {
		fprintf(stderr,
			"usage: bench_fleet LEDGER_DIR TRUST_DOMAIN ISSUER_CERT ISSUER_KEY "
			"OUT_DIR DEVICES REAL [ends|aged FROM FIRST_S PER_SECOND | three]\n");
		return 2;
	}
	device_count = strtoul(argv[6], NULL, 10);
	real_count = strtoul(argv[7], NULL, 10);
	fleet.trust_domain = argv[2];
	fleet.out_dir = argv[5];
	fleet.random = SEED;
	fleet.base_us = ((int64_t)time(NULL) - 60) * 1000000;
	need("crypto", kt_crypto_new(&fleet.crypto));
	open_issuer(&fleet, argv[3], argv[4]);
	need(argv[1], kt_ledger_open(kt_fs_posix(), argv[1], &fleet.state, &fleet.ledger));
	begin = next_record(&fleet, KT_RECORD_LEDGER_BEGIN);
	snprintf(begin->trust_domain, sizeof(begin->trust_domain), "%s", fleet.trust_domain);
	for (size_t i = 0; i < device_count; i++)
		add_device(&fleet, i, i < real_count);
	flush(&fleet);
	kt_ledger_close(fleet.ledger);
	kt_issuer_free(fleet.issuer);
	kt_crypto_free(fleet.crypto);
	printf("%zu devices, %zu of them with a certificate, %llu records, seed %d\n", device_count,
	       real_count, (unsigned long long)fleet.seq, SEED);
	return 0;
}
