/* Tables, memory and the fold as a whole; its single rules: test_registry_rules.c. */
#include "registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "records.h"
#include "registry_dump.h"
#include "registry_internal.h"

static void name_of(uint32_t n, char out[static 16])
{
	(void)snprintf(out, 16, "hub-%u", n);
}

static void finds_each_of_5000_devices_by_every_key(void **state)
{
	enum { COUNT = 5000 };
	struct kt_registry *r = registry_begun();
	char id[16];
	size_t cursor = 0;
	const struct kt_device *first = NULL;

	(void)state;
	for (uint32_t n = 1; n <= COUNT; n++) {
		name_of(n, id);
		take_enrolled(r, id, n);
		if (n == 1)
			first = kt_registry_find_device(r, id);
	}
	for (uint32_t n = 1; n <= COUNT; n++) {
		struct kt_fingerprint fp = fp_of(n);
		struct kt_key_id key = key_of(n);
		const struct kt_device *d = kt_registry_next_device(r, &cursor);

		name_of(n, id);
		assert_string_equal(d->id.s, id);
		assert_ptr_equal(kt_registry_find_device(r, id), d);
		assert_ptr_equal(kt_registry_find_fingerprint(r, &fp), d->current);
		assert_ptr_equal(kt_registry_find_key(r, &key), d);
		id[0] = 'H';
		assert_null(kt_registry_find_device(r, id));
		assert_ptr_equal(kt_registry_find_nocase(r, id), d);
	}
	assert_null(kt_registry_next_device(r, &cursor));
	assert_ptr_equal(kt_registry_find_device(r, "hub-1"), first); /* entries never move */
	assert_int_equal(kt_registry_counts(r).active, COUNT);
	kt_registry_free(r);
}

static void finds_nothing_in_an_empty_registry(void **state)
{
	struct kt_registry *r = NULL;
	struct kt_fingerprint fp = fp_of(1);
	struct kt_key_id key = key_of(1);
	uint8_t sha[32] = {0};
	size_t cursor = 0;

	(void)state;
	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	assert_null(kt_registry_find_fingerprint(r, &fp));
	assert_null(kt_registry_find_device(r, "hub-1"));
	assert_null(kt_registry_find_nocase(r, "hub-1"));
	assert_null(kt_registry_find_key(r, &key));
	assert_null(kt_registry_find_ticket(r, sha));
	assert_false(kt_registry_is_key_used(r, &key));
	assert_false(kt_registry_is_key_denied(r, &key));
	assert_null(kt_registry_next_device(r, &cursor));
	assert_true(kt_registry_seq(r) == 0 && kt_registry_time_us(r) == 0);
	assert_string_equal(kt_registry_trust_domain(r), "");
	kt_registry_free(r);
	kt_registry_free(NULL);
}

static void registrations_come_and_go_without_losing_others(void **state)
{
	enum { COUNT = 300 };
	struct kt_registry *r = registry_begun();
	char id[16];

	(void)state;
	for (uint32_t n = 1; n <= COUNT; n++) {
		name_of(n, id);
		take_kind(r, KT_RECORD_APPROVE, id, n);
	}
	for (uint32_t n = 1; n <= COUNT; n += 2)
		take_kind(r, KT_RECORD_DENY, NULL, n);
	for (uint32_t n = 1; n <= COUNT; n++) {
		struct kt_key_id key = key_of(n);

		assert_int_equal(kt_registry_find_key(r, &key) != NULL, n % 2 == 0);
		assert_int_equal(kt_registry_is_key_denied(r, &key), n % 2 == 1);
	}
	kt_registry_free(r);
}

static void a_device_with_one_credential_costs_at_most_512_bytes(void **state)
{
	size_t slots = 4; /* bytes of a slot; by_id, by_fp, by_key hold one each, half full */

	(void)state;
	assert_true(sizeof(struct kt_device_row) + sizeof(struct kt_credential_row) +
			    3 * 2 * slots <=
		    512);
}

static struct kt_registry *story_until(const struct kt_record *records, size_t count)
{
	struct kt_registry *r = NULL;

	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	for (size_t i = 0; i < count; i++)
		take(r, &records[i]);
	return r;
}

/* Applies record @at with the n-th allocation failing; false when it no longer needs as many. */
static bool fails_cleanly(const struct kt_record *records, size_t at, unsigned n)
{
	struct kt_registry *r = story_until(records, at);
	char *before = registry_dump(r);
	char *after;
	enum kt_err err;

	failing_alloc_set(n);
	err = kt_registry_apply(r, &records[at]);
	(void)failing_alloc_end();
	if (err != KT_ERR_OK) {
		assert_int_equal(err, KT_ERR_NOMEM);
		after = registry_dump(r);
		assert_string_equal(before, after);
		free(after);
		take(r, &records[at]); /* nothing is in the way of a second try */
	}
	registry_audit(r);
	free(before);
	kt_registry_free(r);
	return err != KT_ERR_OK;
}

static void without_memory_nothing_changes(void **state)
{
	struct kt_record records[STORY_COUNT];
	struct kt_registry *r = NULL;
	unsigned failures = 0;

	(void)state;
	story_records(records);
	failing_alloc_set(1);
	assert_int_equal(kt_registry_new(&r), KT_ERR_NOMEM);
	assert_null(r);
	for (size_t at = 0; at < STORY_COUNT; at++) {
		for (unsigned n = 1; fails_cleanly(records, at, n); n++)
			failures++;
	}
	assert_true(failures >= 15 + 4); /* tables and chunks, then a DER an issue */
}

static void names_are_the_documented_ones(void **state)
{
	(void)state;
	assert_string_equal(kt_device_state_name(KT_DEVICE_NEW), "new");
	assert_string_equal(kt_device_state_name(KT_DEVICE_ACTIVE), "active");
	assert_string_equal(kt_device_state_name(KT_DEVICE_REVOKED), "revoked");
	assert_string_equal(kt_device_state_name(KT_DEVICE_DELETED), "deleted");
	assert_string_equal(kt_server_phase_name(KT_SERVER_IDLE), "idle");
	assert_string_equal(kt_server_phase_name(KT_SERVER_OPEN), "open");
	assert_string_equal(kt_server_phase_name(KT_SERVER_ISSUED), "issued");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_PENDING), "pending");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_CURRENT), "current");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_SUPERSEDED), "superseded");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_REVOKED), "revoked");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_ABANDONED), "abandoned");
	assert_string_equal(kt_credential_status_name(KT_CREDENTIAL_LOST), "lost");
}

/* --- random walks: the same seed every time ----------------------------------------------------
 */

static uint32_t next_random(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*x >> 33);
}

/* As if it were about a certificate that is there: what restores and adoptions turn on. */
static void name_a_known_one(struct kt_record *rec, const struct kt_registry *r, uint64_t *x)
{
	const struct kt_fingerprint fp = fp_of(1 + next_random(x) % 400);
	const struct kt_credential *c = kt_registry_find_fingerprint(r, &fp);

	if (c == NULL)
		c = kt_registry_find_device(r, "a") == NULL
			    ? NULL
			    : kt_registry_find_device(r, "a")->current;
	if (c == NULL)
		return;
	rec->device = c->device->id;
	rec->fp = c->fp;
	rec->key_id = c->key_id;
	rec->generation = c->generation;
}

/* Every few records a campaign comes and goes; half of the orders are of one. */
static void name_a_campaign(struct kt_record *rec, const struct kt_registry *r, uint64_t *x)
{
	static const char *const names[] = {"roll", "wave", "prove"};
	static const char *const added[] = {"a", "a b", "b c", "c", "B"};
	const char *name = names[next_random(x) % 3];
	const struct kt_campaign *known = kt_registry_find_campaign(r, name);

	if (rec->kind < KT_RECORD_CAMPAIGN_BEGIN && rec->kind != KT_RECORD_OP_OPEN)
		return;
	if (rec->kind == KT_RECORD_OP_OPEN && next_random(x) % 2 == 0)
		return;
	/* one that is known may end, so that its name is not free again: another one, then */
	(void)snprintf(rec->campaign.s, sizeof(rec->campaign.s), "%s%s", name,
		       known != NULL && known->state == KT_CAMPAIGN_ENDED ? "-again" : "");
	kt_plan_preset(&rec->plan,
		       strcmp(name, "prove") == 0 ? KT_CAMPAIGN_CHALLENGE : KT_CAMPAIGN_ROTATE);
	if (rec->kind == KT_RECORD_CAMPAIGN_ADD)
		rec->text = added[next_random(x) % 5];
	rec->result = (enum kt_member_status)(KT_MEMBER_DONE + next_random(x) % 4);
}

/* Something that may or may not fit: few ids, keys and ops, so that they often meet. */
static struct kt_record random_record(const struct kt_registry *r, uint64_t *x)
{
	static const char *const ids[] = {"a", "b", "c", "B"};
	enum kt_record_kind kind =
		(enum kt_record_kind)(1 + next_random(x) % (KT_RECORD_COUNT - 1));
	const char *id = ids[next_random(x) % 4];
	const struct kt_device *d = kt_registry_find_device(r, id);
	struct kt_record rec = record_for(r, kind, id, 1 + next_random(x) % 400);

	if (d != NULL && next_random(x) % 4 != 0)
		rec.op = d->op + (kind == KT_RECORD_OP_OPEN || kind == KT_RECORD_OP_RAISE);
	if (d != NULL && d->pending != NULL && next_random(x) % 4 != 0)
		rec.fp = kind == KT_RECORD_COMMIT ? d->pending->fp : rec.fp;
	if (d != NULL && d->has_registered_key && next_random(x) % 2 == 0)
		rec.key_id = kind == KT_RECORD_ISSUE ? d->registered_key : rec.key_id;
	if (kind == KT_RECORD_ISSUE) {
		rec.has_ticket = next_random(x) % 2 == 0;
		rec.op += next_random(x) % 2;
		ticket_of(next_random(x) % 40, rec.ticket_sha256);
	}
	if (kind == KT_RECORD_TICKET_CREATE)
		ticket_of(next_random(x) % 40, rec.ticket_sha256);
	rec.status = (enum kt_credential_status)(next_random(x) % (KT_CREDENTIAL_LOST + 1));
	rec.frozen = next_random(x) % 4 == 0;
	if ((kind == KT_RECORD_RESTORE_CREDENTIAL || kind == KT_RECORD_ADOPT ||
	     kind == KT_RECORD_IMPORT) &&
	    next_random(x) % 2 == 0)
		name_a_known_one(&rec, r, x);
	if (kind == KT_RECORD_TICKET_VOID)
		ticket_of(next_random(x) % 40, rec.ticket_sha256);
	if (kind == KT_RECORD_RESTORE)
		rec.device.s[0] = '\0';
	rec.has_key_id = kind == KT_RECORD_DEVICE_CREATE && next_random(x) % 2 == 0;
	rec.wipe = next_random(x) % 2 == 0;
	name_a_campaign(&rec, r, x);
	return rec;
}

static void a_random_walk_keeps_every_invariant(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct kt_registry *r = registry_begun();
		struct kt_registry *replayed = registry_begun();
		uint64_t x = seed;
		char *one;
		char *other;

		for (int step = 0; step < 800; step++) {
			struct kt_record rec = random_record(r, &x);
			enum kt_err check = kt_registry_check(r, &rec);

			one = registry_dump(r);
			assert_int_equal(kt_registry_apply(r, &rec), check);
			if (check == KT_ERR_OK) {
				take(replayed, &rec);
			} else {
				other = registry_dump(r);
				assert_string_equal(one, other);
				free(other);
			}
			free(one);
			registry_audit(r);
		}
		assert_true(kt_registry_seq(r) > 100);
		one = registry_dump(r);
		other = registry_dump(replayed);
		assert_string_equal(one, other);
		free(one);
		free(other);
		kt_registry_free(r);
		kt_registry_free(replayed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_each_of_5000_devices_by_every_key),
		cmocka_unit_test(finds_nothing_in_an_empty_registry),
		cmocka_unit_test(registrations_come_and_go_without_losing_others),
		cmocka_unit_test(a_device_with_one_credential_costs_at_most_512_bytes),
		cmocka_unit_test(without_memory_nothing_changes),
		cmocka_unit_test(names_are_the_documented_ones),
		cmocka_unit_test(a_random_walk_keeps_every_invariant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
