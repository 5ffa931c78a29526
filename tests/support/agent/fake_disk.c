#include "fake_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rollover.h"

static bool fails(unsigned *left)
{
	return *left > 0 && (*left)-- > 0;
}

static const struct kt_agent_record *record_of(void *ctx)
{
	const struct fake_disk *d = ctx;

	return &d->record;
}

static enum kt_err save(void *ctx, const struct kt_agent_record *record)
{
	struct fake_disk *d = ctx;
	uint64_t seq = d->record.seq + 1;

	if (fails(&d->saves_to_fail))
		return KT_ERR_SYS;
	trace_add(d->trace, "save %s a=%llu p=%llu r=%llu %s", kt_agent_phase_name(record->phase),
		  (unsigned long long)record->active.dir, (unsigned long long)record->pending.dir,
		  (unsigned long long)record->retired.dir, kt_agent_step_name(record->step));
	d->record = *record;
	d->record.seq = seq;
	return KT_ERR_OK;
}

static enum kt_err new_key(void *ctx, uint64_t dir, enum kt_alg alg)
{
	struct fake_disk *d = ctx;

	if (fails(&d->keys_to_fail))
		return KT_ERR_SYS;
	if (alg != KT_ALG_ES256)
		return KT_ERR_UNSUPPORTED;
	if (dir == d->leftover)
		return KT_ERR_EXISTS;
	trace_add(d->trace, "key %llu", (unsigned long long)dir);
	return KT_ERR_OK;
}

static enum kt_err csr(void *ctx, uint64_t dir, const char *common_name, const char *challenge,
		       uint8_t out[static KT_CSR_MAX], size_t *out_len)
{
	struct fake_disk *d = ctx;

	(void)snprintf(d->csr_name, sizeof(d->csr_name), "%s", common_name);
	(void)snprintf(d->csr_challenge, sizeof(d->csr_challenge), "%s", challenge);
	*out_len = (size_t)snprintf((char *)out, KT_CSR_MAX, "csr %llu", (unsigned long long)dir);
	return KT_ERR_OK;
}

static enum kt_err seal(void *ctx, uint64_t dir, const struct kt_message *message, char **out,
			size_t *out_len)
{
	struct fake_disk *d = ctx;

	kt_message_free(d->sealed);
	d->sealed = kt_message_new(message->type);
	*out = strdup(kt_message_type_name(message->type));
	if (d->sealed == NULL || *out == NULL)
		abort();
	memcpy(d->sealed, message, kt_message_size(message));
	d->sealed_by = dir;
	*out_len = strlen(*out);
	return KT_ERR_OK;
}

static enum kt_err save_cert(void *ctx, const struct kt_cert_request *request,
			     struct kt_cert_result *out)
{
	struct fake_disk *d = ctx;

	memset(out, 0, sizeof(*out));
	out->reason = d->bad_cert;
	if (d->bad_cert != KT_REASON_NONE)
		return KT_ERR_VERIFY;
	trace_add(d->trace, "cert %llu", (unsigned long long)request->dir);
	out->leaf.fingerprint = d->leaf;
	out->verdict.floor_s = d->verdict.floor_s;
	return KT_ERR_OK;
}

static enum kt_err link_to(void *ctx, uint64_t dir)
{
	struct fake_disk *d = ctx;

	if (fails(&d->links_to_fail))
		return KT_ERR_SYS;
	trace_add(d->trace, "link %llu", (unsigned long long)dir);
	return KT_ERR_OK;
}

/* As the store: what the record names as active or pending is never deleted. */
static enum kt_err wipe(void *ctx, uint64_t dir)
{
	struct fake_disk *d = ctx;

	if (dir == d->record.active.dir || dir == d->record.pending.dir)
		abort();
	if (fails(&d->wipes_to_fail))
		return KT_ERR_SYS;
	if (dir == d->leftover)
		d->leftover = 0;
	trace_add(d->trace, "wipe %llu", (unsigned long long)dir);
	return KT_ERR_OK;
}

static bool pem_path(void *ctx, uint64_t dir, char *out, size_t cap)
{
	(void)ctx;
	(void)snprintf(out, cap, "/state/%llu", (unsigned long long)dir);
	return true;
}

static enum kt_err open_text(void *ctx, const struct kt_agent_record *record, int64_t system_s,
			     struct kt_bytes text, struct kt_opened *out)
{
	struct fake_disk *d = ctx;

	(void)record;
	(void)system_s;
	(void)text;
	memset(out, 0, sizeof(*out));
	out->reason = KT_REASON_CERT_CHAIN;
	if (d->incoming == NULL)
		return KT_ERR_VERIFY;
	out->reason = KT_REASON_NONE;
	out->verdict = d->verdict;
	out->message = d->incoming;
	d->incoming = NULL; /* moved */
	return KT_ERR_OK;
}

void fake_disk_init(struct fake_disk *d, struct trace *trace)
{
	memset(d, 0, sizeof(*d));
	d->trace = trace;
	d->table = (struct kt_agent_disk){
		.ctx = d,
		.record = record_of,
		.save = save,
		.new_key = new_key,
		.csr = csr,
		.seal = seal,
		.save_cert = save_cert,
		.link = link_to,
		.wipe = wipe,
		.pem_path = pem_path,
		.open = open_text,
	};
}

void fake_disk_clear(struct fake_disk *d)
{
	kt_message_free(d->sealed);
	kt_message_free(d->incoming);
	d->sealed = NULL;
	d->incoming = NULL;
}
