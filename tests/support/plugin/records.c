#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number spread over 32 bytes (xorshift64*), so that tables meet what SHA-256 would give. */
static void fill(uint8_t out[static 32], uint32_t n, uint32_t use)
{
	uint64_t x = ((uint64_t)use << 32 | n) + UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < 32; i++) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		out[i] = (uint8_t)((x * UINT64_C(2685821657736338717)) >> 56);
	}
}

struct kt_fingerprint fp_of(uint32_t n)
{
	struct kt_fingerprint fp;

	fill(fp.b, n, 1);
	return fp;
}

struct kt_key_id key_of(uint32_t n)
{
	struct kt_key_id key;

	fill(key.b, n, 2);
	return key;
}

void ticket_of(uint32_t n, uint8_t out[static 32])
{
	fill(out, n, 3);
}

struct kt_record record_for(const struct kt_registry *registry, enum kt_record_kind kind,
			    const char *device, uint32_t n)
{
	static const uint8_t der[] = {0x30, 0x03, 0x02, 0x01, 0x07};
	struct kt_record r = {.seq = kt_registry_seq(registry) + 1, .kind = kind, .op = n};
	const struct kt_device *d = NULL;

	r.time_us = TIME_0 + (int64_t)r.seq * 1000000;
	memcpy(r.actor, "op:test", sizeof("op:test"));
	if (device != NULL) {
		if (strlen(device) > KT_DEVICE_ID_MAX)
			abort();
		memcpy(r.device.s, device, strlen(device) + 1);
		d = kt_registry_find_device(registry, device);
	}
	memset(r.nonce.b, (int)(n & 0xff), sizeof(r.nonce.b));
	r.alg = kind == KT_RECORD_DEVICE_CREATE ? KT_ALG_NONE : KT_ALG_ES256;
	r.deadline_us = r.time_us + 1;
	r.fp = fp_of(n);
	r.key_id = key_of(n);
	r.generation = d != NULL ? d->generation + 1 : 1;
	r.not_after_s = INT64_C(253402300799);
	r.der = (struct kt_bytes){der, sizeof(der)};
	ticket_of(n, r.ticket_sha256);
	r.expires_us = r.time_us + 2;
	r.reason = KT_REASON_DISK;
	memset(r.head, (int)(n & 0xff), sizeof(r.head));
	r.index_seq = n;
	r.status = KT_CREDENTIAL_SUPERSEDED;
	r.frozen = true;
	memcpy(r.trust_domain, "example.org", sizeof("example.org"));
	memcpy(r.name.s, "ann", sizeof("ann"));
	r.role = KT_ROLE_ROTATOR;
	if (kind >= KT_RECORD_CAMPAIGN_BEGIN)
		memcpy(r.campaign.s, "roll", sizeof("roll"));
	if (kind == KT_RECORD_CAMPAIGN_BEGIN)
		r.text = "all";
	if (kind == KT_RECORD_CAMPAIGN_ADD)
		r.text = "hub-1";
	kt_plan_preset(&r.plan, KT_CAMPAIGN_ROTATE);
	r.result = KT_MEMBER_FAILED;
	return r;
}

struct kt_record record_of_operator(const struct kt_registry *registry, enum kt_record_kind kind,
				    const char *name, enum kt_role role, uint32_t n)
{
	struct kt_record r = record_for(registry, kind, NULL, n);

	if (!kt_device_id_set(&r.name, name, strlen(name)))
		abort();
	r.role = role;
	return r;
}

struct kt_record record_begin(void)
{
	struct kt_record r = {
		.seq = 1, .time_us = TIME_0 + 1000000, .kind = KT_RECORD_LEDGER_BEGIN};

	memcpy(r.actor, "keyturn", sizeof("keyturn"));
	memcpy(r.trust_domain, "example.org", sizeof("example.org"));
	return r;
}

void take(struct kt_registry *registry, const struct kt_record *record)
{
	enum kt_err err = kt_registry_apply(registry, record);

	if (err == KT_ERR_OK)
		return;
	(void)fprintf(stderr, "%s for %s: %s\n", kt_record_kind_name(record->kind),
		      record->device.s, kt_err_name(err));
	abort();
}

void take_kind(struct kt_registry *registry, enum kt_record_kind kind, const char *device,
	       uint32_t n)
{
	struct kt_record r = record_for(registry, kind, device, n);

	take(registry, &r);
}

void take_enrolled(struct kt_registry *registry, const char *device, uint32_t n)
{
	struct kt_record r;

	take_kind(registry, KT_RECORD_TICKET_CREATE, device, n);
	r = record_for(registry, KT_RECORD_ISSUE, device, n);
	r.has_ticket = true;
	take(registry, &r);
	take_kind(registry, KT_RECORD_COMMIT, device, n);
}

void take_rotated(struct kt_registry *registry, const char *device, uint32_t n)
{
	take_kind(registry, KT_RECORD_OP_OPEN, device, n);
	take_kind(registry, KT_RECORD_ISSUE, device, n);
	take_kind(registry, KT_RECORD_COMMIT, device, n);
}

struct kt_registry *registry_begun(void)
{
	struct kt_registry *r = NULL;
	struct kt_record begin = record_begin();

	if (kt_registry_new(&r) != KT_ERR_OK)
		abort();
	take(r, &begin);
	return r;
}

/* Each of its forms: a number and a share, a time and none. */
static void change_story_plan(struct kt_plan *plan)
{
	plan->of[KT_PLAN_CANARY] = 1;
	plan->is_share[KT_PLAN_CANARY] = false;
	plan->of[KT_PLAN_HOLD] = 0;
}

static void change_story_record(struct kt_record *rec)
{
	switch (rec->seq) {
	case 2:
		rec->has_key_id = true;
		rec->alg = KT_ALG_ES256;
		memcpy(rec->group, "north", sizeof("north"));
		return;
	case 5:
	case 35:
		memcpy(rec->pattern, "hub-4*", sizeof("hub-4*"));
		return;
	case 8:
	case 37:
		rec->has_ticket = true;
		return;
	case 39:
	case 40:
		memcpy(rec->name.s, "ben", sizeof("ben"));
		rec->role = KT_ROLE_ADMIN;
		memcpy(rec->note, "until May", sizeof("until May"));
		return;
	case 42:
		memcpy(rec->group, "south", sizeof("south"));
		memcpy(rec->labels.s, "batch:7,site:b", sizeof("batch:7,site:b"));
		return;
	case 43:
		change_story_plan(&rec->plan);
		rec->text = "group=south label=site:b";
		memcpy(rec->note, "new roots", sizeof("new roots"));
		return;
	case 44:
		rec->text = "hub-1 hub-7";
		return;
	case 46:
		memcpy(rec->campaign.s, "roll", sizeof("roll"));
		return;
	case 47:
		memcpy(rec->note, "storm", sizeof("storm"));
		return;
	case 25:
		rec->wipe = true;
		memcpy(rec->note, "stolen", sizeof("stolen"));
		return;
	default:
		return;
	}
}

void story_records(struct kt_record out[static STORY_COUNT])
{
	static const struct {
		enum kt_record_kind kind;
		const char *device;
		uint32_t n;
	} steps[STORY_COUNT] = {
		{KT_RECORD_LEDGER_BEGIN, NULL, 0},
		{KT_RECORD_DEVICE_CREATE, "hub-1", 1},
		{KT_RECORD_APPROVE, "hub-2", 2},
		{KT_RECORD_TICKET_CREATE, "hub-3", 3},
		{KT_RECORD_TICKET_CREATE, NULL, 4},
		{KT_RECORD_ISSUE, "hub-1", 1},
		{KT_RECORD_COMMIT, "hub-1", 1},
		{KT_RECORD_ISSUE, "hub-3", 3},
		{KT_RECORD_COMMIT, "hub-3", 3},
		{KT_RECORD_OP_OPEN, "hub-1", 12},
		{KT_RECORD_ISSUE, "hub-1", 12},
		{KT_RECORD_COMMIT, "hub-1", 12},
		{KT_RECORD_PROMOTED, "hub-1", 12},
		{KT_RECORD_OP_OPEN, "hub-1", 14},
		{KT_RECORD_FAILED, "hub-1", 14},
		{KT_RECORD_OP_CLOSE, "hub-1", 14},
		{KT_RECORD_OP_OPEN, "hub-3", 17},
		{KT_RECORD_FREEZE, "hub-3", 17},
		{KT_RECORD_UNFREEZE, "hub-3", 0},
		{KT_RECORD_QUARANTINE, "hub-1", 0},
		{KT_RECORD_RELEASE, "hub-1", 0},
		{KT_RECORD_OP_RAISE, "hub-1", 22},
		{KT_RECORD_DENY, NULL, 5},
		{KT_RECORD_ISSUE, "hub-2", 2},
		{KT_RECORD_REVOKE, "hub-3", 0},
		{KT_RECORD_DEVICE_CREATE, "hub-9", 0},
		{KT_RECORD_DELETE, "hub-9", 0},
		{KT_RECORD_CLOCK_CONFIRM, NULL, 0},
		{KT_RECORD_RESTORE, NULL, 28},
		{KT_RECORD_RESTORE_DEVICE, "hub-5", 30},
		{KT_RECORD_RESTORE_CREDENTIAL, "hub-5", 31},
		{KT_RECORD_TICKET_VOID, NULL, 4},
		{KT_RECORD_ADOPT, "hub-5", 33},
		{KT_RECORD_RECONCILE_END, NULL, 0},
		{KT_RECORD_TICKET_CREATE, NULL, 35},
		{KT_RECORD_TICKET_CREATE, "hub-6", 36},
		{KT_RECORD_ISSUE, "hub-6", 36},
		{KT_RECORD_OPERATOR_ADD, NULL, 38},
		{KT_RECORD_OPERATOR_ADD, NULL, 39},
		{KT_RECORD_OPERATOR_REMOVE, NULL, 40},
		{KT_RECORD_IMPORT, "hub-7", 41},
		{KT_RECORD_DEVICE_SET, "hub-7", 0},
		{KT_RECORD_CAMPAIGN_BEGIN, NULL, 0},
		{KT_RECORD_CAMPAIGN_ADD, NULL, 0},
		{KT_RECORD_CAMPAIGN_START, NULL, 0},
		{KT_RECORD_OP_OPEN, "hub-1", 46},
		{KT_RECORD_CAMPAIGN_PAUSE, NULL, 0},
		{KT_RECORD_CAMPAIGN_RESUME, NULL, 0},
		{KT_RECORD_CAMPAIGN_DEVICE, "hub-1", 0},
		{KT_RECORD_CAMPAIGN_WAVE, NULL, 0},
		{KT_RECORD_CAMPAIGN_ABORT, NULL, 0},
		{KT_RECORD_CAMPAIGN_END, NULL, 0},
	};
	struct kt_registry *r = NULL;

	if (kt_registry_new(&r) != KT_ERR_OK)
		abort();
	for (size_t i = 0; i < STORY_COUNT; i++) {
		out[i] = record_for(r, steps[i].kind, steps[i].device, steps[i].n);
		change_story_record(&out[i]);
		take(r, &out[i]);
	}
	kt_registry_free(r);
}
