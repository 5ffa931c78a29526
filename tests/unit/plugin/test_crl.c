/* What is on the revocation list, and when is there a new one? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "outbox.h"

#define START_US (INT64_C(1000000) * (FLEET_TIME_S + 10))
#define DAY_S	 INT64_C(86400)
#define END_S	 (FLEET_TIME_S + 30 * DAY_S)
#define FILE_AT	 "/crl/crl.pem"

enum { TICKS_A_SECOND = 10, ROWS_A_TICK = 65536 };

/* --- a fleet whose certificates have serials --- */

/* A certificate's beginning: version 3, serial 4B | generation | n, 0, 0 ... 1. */
static struct kt_bytes cert_of(uint32_t generation, uint32_t n)
{
	static uint8_t der[30] = {0x30, 0x1c, 0x30, 0x1a, 0xa0, 0x03,
				  0x02, 0x01, 0x02, 0x02, 0x13, 0x4b};

	for (size_t i = 0; i < 4; i++) {
		der[12 + i] = (uint8_t)(generation >> (24 - 8 * i));
		der[16 + i] = (uint8_t)(n >> (24 - 8 * i));
	}
	der[29] = 1;
	return (struct kt_bytes){der, sizeof(der)};
}

static void serial_of(uint32_t generation, uint32_t n, uint8_t out[static KT_SERIAL_LEN])
{
	memcpy(out, cert_of(generation, n).p + 11, KT_SERIAL_LEN);
}

static struct kt_key_id key_of(uint32_t n)
{
	struct kt_key_id key = {{0}};

	for (size_t i = 0; i < 4; i++)
		key.b[i] = (uint8_t)(n >> (8 * i));
	key.b[31] = 1;
	return key;
}

static void issue(struct kt_registry *r, const char *id, uint32_t n, int64_t not_after_s)
{
	const struct kt_device *device = kt_registry_find_device(r, id);
	struct kt_record record = fleet_record(r, KT_RECORD_ISSUE, id);

	record.op = device->phase == KT_SERVER_OPEN ? device->op : device->op + 1;
	record.alg = KT_ALG_ES256;
	record.key_id = device->phase == KT_SERVER_OPEN ? key_of(n) : device->registered_key;
	memcpy(record.fp.b, key_of(n).b, sizeof(record.fp.b));
	record.generation = device->generation + 1;
	record.not_after_s = not_after_s;
	record.der = cert_of(record.generation, n);
	fleet_apply(r, &record);
}

/* Certificate @n is its current one. */
static void enrol(struct kt_registry *r, const char *id, uint32_t n, int64_t not_after_s)
{
	struct kt_record record = fleet_record(r, KT_RECORD_DEVICE_CREATE, id);

	record.has_key_id = true;
	record.key_id = key_of(n);
	record.alg = KT_ALG_ES256;
	fleet_apply(r, &record);
	issue(r, id, n, not_after_s);
	fleet_commit(r, id);
}

static void open_and_issue(struct kt_registry *r, const char *id, uint32_t n)
{
	fleet_open(r, id, kt_registry_find_device(r, id)->op + 1);
	issue(r, id, n, END_S);
}

static struct fake *core_of(struct kt_registry *registry)
{
	struct fake *f = fake_new(registry);

	(void)snprintf(f->config.crl_file, sizeof(f->config.crl_file), "%s", FILE_AT);
	f->sync_at_once = false;
	return f;
}

static struct kt_registry *keeping(void)
{
	struct kt_registry *registry = fleet_new();

	kt_registry_keep_endings(registry);
	return registry;
}

/* hub-1 has certificate 1. */
static int setup(void **state)
{
	struct kt_registry *registry = keeping();

	enrol(registry, "hub-1", 1, END_S);
	*state = core_of(registry);
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static void seconds(struct fake *f, unsigned count)
{
	for (unsigned i = 0; i < count * TICKS_A_SECOND; i++)
		fake_tick(f);
}

/* The list that waits to be written, by now or after one tick. */
static struct kt_job *list(struct fake *f)
{
	fake_tick(f);
	return fake_take_job(f, KT_JOB_CRL);
}

static void done(struct fake *f, struct kt_job *job)
{
	job->err = KT_ERR_OK;
	kt_core_job_done(f->core, f->now, job);
}

static void failed(struct fake *f, struct kt_job *job)
{
	job->err = KT_ERR_SYS;
	(void)snprintf(job->file_why, sizeof(job->file_why), "No space left on device");
	kt_core_job_done(f->core, f->now, job);
}

/* The list of the start is out of the way, and so is its rest. */
static void get_going(struct fake *f)
{
	struct kt_job *job = list(f);

	assert_non_null(job);
	done(f, job);
	seconds(f, 5);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	fake_forget(f);
}

static void revoke(struct fake *f, const char *id)
{
	const struct kt_revoke_order order = {.emergency = true};

	assert_int_equal(kt_device_revoke(f->core, kt_registry_find_device(f->registry, id),
					  "op:test", &order)
				 .reason,
			 f->core->journal_failed ? KT_REASON_NOT_DURABLE : KT_REASON_NONE);
}

static void assert_entry(const struct kt_job *job, size_t index, uint32_t generation, uint32_t n,
			 enum kt_crl_reason reason, int64_t revoked_s)
{
	uint8_t serial[KT_SERIAL_LEN];

	serial_of(generation, n, serial);
	assert_true(index < job->crl.entry_count);
	assert_memory_equal(job->crl_entries[index].serial, serial, KT_SERIAL_LEN);
	assert_int_equal(job->crl_entries[index].reason, reason);
	assert_true(job->crl_entries[index].revoked_s == revoked_s);
}

/* --- the first one --- */

static void without_a_file_there_is_no_list(void **state)
{
	struct fake *f = *state;
	struct kt_crl_status status;

	f->config.crl_file[0] = '\0';
	revoke(f, "hub-1");
	fake_durable(f);
	seconds(f, 20);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	kt_crl_status(f->core, &status);
	assert_false(status.is_on);
	assert_true(status.head.number == 0);
}

static void every_start_makes_one(void **state)
{
	struct fake *f = *state;
	struct kt_job *job = list(f);
	const int64_t now_us = START_US + 100000;

	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, 0);
	assert_true(job->crl.number == (uint64_t)now_us);
	assert_true(job->crl.this_update_s == now_us / 1000000 - 300);
	assert_true(job->crl.next_update_s == now_us / 1000000 + 7 * DAY_S);
	done(f, job);
	assert_int_equal(f->logged[KT_EVENT_CRL_WRITTEN], 1);
	assert_string_equal(f->last_log, "event=crl.written number=1700000010100000 entries=0 "
					 "next_update_s=1700604810");
	fake_tick(f);
	assert_non_null(strstr(fake_event(f, "crl.written"), "\"number\":\"1700000010100000\""));
}

static void the_start_lists_what_was_out_before(void **state)
{
	struct kt_registry *registry = keeping();
	struct fake *f;
	struct kt_job *job;

	(void)state;
	enrol(registry, "hub-1", 1, END_S);
	fleet_simple(registry, KT_RECORD_REVOKE, "hub-1", 0);
	f = core_of(registry);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 1);
	assert_entry(job, 0, 1, 1, KT_CRL_PRIVILEGE_WITHDRAWN, FLEET_TIME_S);
	kt_job_free(job);
	fake_free(f);
}

/* --- who is on it --- */

static void a_revoke_is_on_it_when_it_is_durable(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;
	int64_t when_s;

	get_going(f);
	when_s = f->now.wall_us / 1000000;
	revoke(f, "hub-1");
	seconds(f, 20);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	fake_durable(f);
	job = list(f);
	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, 1);
	assert_entry(job, 0, 1, 1, KT_CRL_PRIVILEGE_WITHDRAWN, when_s);
	done(f, job);
	seconds(f, 20); /* and no further list */
	assert_null(fake_take_job(f, KT_JOB_CRL));
}

static void what_is_not_durable_yet_waits_for_the_next_list(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	enrol(f->registry, "hub-2", 2, END_S);
	fake_durable(f);
	get_going(f);
	revoke(f, "hub-1");
	fake_durable(f);
	revoke(f, "hub-2");
	job = list(f);
	assert_int_equal(job->crl.entry_count, 1);
	assert_entry(job, 0, 1, 1, KT_CRL_PRIVILEGE_WITHDRAWN, f->now.wall_us / 1000000);
	done(f, job);
	seconds(f, 6);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	fake_durable(f);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 2);
	kt_job_free(job);
}

static void a_revoke_without_a_ledger_is_on_none(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	get_going(f);
	fake_fail(f);
	revoke(f, "hub-1");
	seconds(f, 20);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	fake_later(f, 4 * DAY_S * 1000);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 0);
	kt_job_free(job);
}

/* The ledger failed between two of them: the first is acknowledged, and so it has to be listed. */
static void what_became_durable_before_the_ledger_failed_is_on_it(void **state)
{
	struct fake *f = *state;
	uint64_t seq;
	struct kt_job *job;

	enrol(f->registry, "hub-2", 2, END_S);
	enrol(f->registry, "hub-3", 3, END_S);
	fake_durable(f);
	get_going(f);
	revoke(f, "hub-1");
	fake_durable(f);
	revoke(f, "hub-2");
	seq = kt_registry_seq(f->registry);
	revoke(f, "hub-3");
	job = list(f);
	assert_int_equal(job->crl.entry_count, 1);
	kt_core_durable(f->core, f->now, seq, true);
	done(f, job);
	seconds(f, 6);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, 2);
	done(f, job);
	seconds(f, 60);
	assert_null(fake_take_job(f, KT_JOB_CRL));
}

static void each_end_has_its_reason_and_the_living_are_not_on_it(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	open_and_issue(f->registry, "hub-1", 11); /* 1 superseded by 11 */
	fleet_commit(f->registry, "hub-1");
	open_and_issue(f->registry, "hub-1", 12); /* given up */
	fleet_simple(f->registry, KT_RECORD_OP_CLOSE, "hub-1",
		     kt_registry_find_device(f->registry, "hub-1")->op);
	open_and_issue(f->registry, "hub-1", 13); /* pending */
	enrol(f->registry, "hub-2", 2, END_S);
	open_and_issue(f->registry, "hub-2", 21);
	fleet_simple(f->registry, KT_RECORD_FREEZE, "hub-2",
		     kt_registry_find_device(f->registry, "hub-2")->op);
	enrol(f->registry, "hub-3", 3, END_S);
	open_and_issue(f->registry, "hub-3", 31);
	fleet_simple(f->registry, KT_RECORD_DELETE, "hub-3", 0);
	enrol(f->registry, "hub-4", 4, END_S);
	fleet_simple(f->registry, KT_RECORD_QUARANTINE, "hub-4", 0);
	fake_durable(f);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 5);
	assert_entry(job, 0, 1, 1, KT_CRL_SUPERSEDED, FLEET_TIME_S);
	assert_entry(job, 1, 3, 12, KT_CRL_CESSATION, FLEET_TIME_S);
	assert_entry(job, 2, 2, 21, KT_CRL_CESSATION, FLEET_TIME_S);
	assert_entry(job, 3, 1, 3, KT_CRL_PRIVILEGE_WITHDRAWN, FLEET_TIME_S);
	assert_entry(job, 4, 2, 31, KT_CRL_PRIVILEGE_WITHDRAWN, FLEET_TIME_S);
	kt_job_free(job);
}

static void without_its_serial_a_certificate_is_counted_and_left_out(void **state)
{
	struct fake *f = *state;
	struct kt_crl_status status;
	struct kt_job *job;

	(void)fleet_active(f->registry, "hub-2", "west", "no certificate at all");
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-2", 0);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-1", 0);
	fake_durable(f);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 1);
	done(f, job);
	assert_non_null(strstr(f->last_log, " left_out=1"));
	kt_crl_status(f->core, &status);
	assert_int_equal(status.left_out, 1);
	assert_int_equal(status.head.entry_count, 1);
}

static void a_serial_of_another_generation_is_not_believed(void **state)
{
	struct kt_registry *r = keeping();
	struct kt_record record = fleet_record(r, KT_RECORD_DEVICE_CREATE, "hub-1");
	const struct kt_credential *credential;
	struct kt_ending ending;
	size_t cursor = 0;

	(void)state;
	record.has_key_id = true;
	record.key_id = key_of(1);
	record.alg = KT_ALG_ES256;
	fleet_apply(r, &record);
	record = fleet_record(r, KT_RECORD_ISSUE, "hub-1");
	record.op = 1;
	record.alg = KT_ALG_ES256;
	record.key_id = key_of(1);
	record.generation = 1;
	record.not_after_s = END_S;
	record.der = cert_of(2, 1);
	fleet_apply(r, &record);
	credential = kt_registry_next_credential(r, &cursor);
	assert_false(kt_registry_ending(r, credential, &ending)); /* pending */
	fleet_simple(r, KT_RECORD_REVOKE, "hub-1", 0);
	assert_true(kt_registry_ending(r, credential, &ending));
	assert_false(ending.has_serial);
	assert_true(ending.ended_s == FLEET_TIME_S);
	assert_null(kt_registry_next_credential(r, &cursor));
	kt_registry_free(r);
}

static void endings_are_kept_from_the_first_credential_on_or_not_at_all(void **state)
{
	struct kt_registry *r = fleet_new();
	struct kt_ending ending;
	size_t cursor = 0;

	(void)state;
	enrol(r, "hub-1", 1, END_S);
	kt_registry_keep_endings(r);
	enrol(r, "hub-2", 2, END_S);
	assert_true(kt_registry_ended_seq(r) == 0);
	fleet_simple(r, KT_RECORD_REVOKE, "hub-1", 0);
	assert_true(kt_registry_ended_seq(r) == kt_registry_seq(r));
	assert_false(kt_registry_ending(r, kt_registry_next_credential(r, &cursor), &ending));
	kt_registry_free(r);
}

/* --- how long --- */

static size_t listed_at(struct fake *f, int64_t at_s)
{
	struct kt_job *job;
	size_t count;

	f->now.mono_ms += at_s * 1000 - f->now.wall_us / 1000;
	f->now.wall_us = at_s * 1000000;
	kt_core_tick(f->core, f->now);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_non_null(job);
	count = job->crl.entry_count;
	done(f, job);
	return count;
}

static void an_entry_leaves_when_a_list_after_its_end_has_had_it(void **state)
{
	struct fake *f = *state;

	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-1", 0);
	fake_durable(f);
	assert_int_equal(listed_at(f, END_S - 1), 1);
	assert_int_equal(listed_at(f, END_S + 4 * DAY_S), 1);
	assert_int_equal(listed_at(f, END_S + 7 * DAY_S + 4 * DAY_S), 0);
}

/* The broker was away: the first list after the end is the one it has to be on. */
static void an_entry_that_ended_while_nobody_made_lists_is_on_one_more(void **state)
{
	struct fake *f = *state;

	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-1", 0);
	fake_durable(f);
	assert_int_equal(listed_at(f, END_S - 1), 1);
	assert_int_equal(listed_at(f, END_S + 60 * DAY_S), 1);
	assert_int_equal(listed_at(f, END_S + 64 * DAY_S), 0);
}

static void without_end_it_stays(void **state)
{
	struct fake *f = *state;

	enrol(f->registry, "hub-2", 2, KT_CERT_NO_END);
	fleet_simple(f->registry, KT_RECORD_REVOKE, "hub-2", 0);
	fake_durable(f);
	assert_int_equal(listed_at(f, END_S + 40000 * DAY_S), 1);
	assert_int_equal(listed_at(f, END_S + 40004 * DAY_S), 1);
}

/* --- when --- */

static void a_mass_revoke_makes_few_lists(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;
	unsigned lists = 0;
	size_t last = 0;

	for (uint32_t n = 100; n < 300; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", (unsigned)n);
		enrol(f->registry, id, n, END_S);
	}
	fake_durable(f);
	get_going(f);
	for (uint32_t n = 100; n < 300; n++) { /* 20 seconds */
		char id[16];

		(void)snprintf(id, sizeof(id), "hub-%u", (unsigned)n);
		revoke(f, id);
		fake_durable(f);
		fake_forget(f);
		fake_tick(f);
		job = fake_take_job(f, KT_JOB_CRL);
		if (job == NULL)
			continue;
		lists++;
		assert_true(job->crl.entry_count > last);
		last = job->crl.entry_count;
		done(f, job);
	}
	assert_int_equal(lists, 4); /* at once, then every 5 s */
	seconds(f, 5);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, 200);
	kt_job_free(job);
}

static void one_list_at_a_time_and_a_rest_as_long_as_ten(void **state)
{
	static const struct {
		unsigned took_s;
		unsigned rest_s;
	} cases[] = {{2, 20}, {6, 60}, {3600, 60}}; /* at last a disk that hung for an hour */
	struct fake *f = *state;
	struct kt_job *job = list(f);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char id[8];

		(void)snprintf(id, sizeof(id), "hub-%zu", i + 2);
		enrol(f->registry, id, (uint32_t)i + 2, END_S);
		revoke(f, id);
		fake_durable(f);
		fake_later(f, cases[i].took_s * 1000);
		fake_tick(f);
		assert_null(fake_take_job(f, KT_JOB_CRL));
		f->now.mono_ms -= 100; /* of the tick */
		done(f, job);
		seconds(f, cases[i].rest_s - 1);
		assert_null(fake_take_job(f, KT_JOB_CRL));
		seconds(f, 1);
		job = list(f);
		assert_non_null(job);
		assert_int_equal(job->crl.entry_count, i + 1);
	}
	kt_job_free(job);
}

static void a_new_one_comes_at_half_of_its_time(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;
	const int64_t half_ms = 7 * DAY_S * 1000 / 2;

	f->config.crl_validity_ms = 7 * DAY_S * 1000;
	get_going(f); /* 5 s */
	fake_later(f, half_ms - 5000 - 200);
	fake_tick(f);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	fake_tick(f);
	fake_tick(f);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_non_null(job);
	assert_true(job->crl.next_update_s == f->now.wall_us / 1000000 + 7 * DAY_S);
	kt_job_free(job);
}

/* The wall clock stands still, or was set back: the list grows old all the same. */
static void a_new_one_comes_by_the_other_clock_too(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	get_going(f);
	f->now.mono_ms += 7 * DAY_S * 1000 / 2;
	job = list(f);
	assert_non_null(job);
	kt_job_free(job);
}

static void a_new_one_comes_when_the_wall_clock_jumps_ahead(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	get_going(f);
	f->now.wall_us += 4 * DAY_S * 1000000;
	job = list(f);
	assert_non_null(job);
	kt_job_free(job);
}

static void a_full_queue_is_asked_again(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	f->jobs_are_full = true;
	seconds(f, 3);
	assert_int_equal(f->waiting_count, 0);
	f->jobs_are_full = false;
	job = list(f);
	assert_non_null(job);
	kt_job_free(job);
}

/* --- numbers and clocks --- */

static void the_number_grows_though_the_clock_goes_back(void **state)
{
	struct fake *f = *state;
	struct kt_job *job = list(f);
	const uint64_t first = job->crl.number;
	const int64_t first_s = job->crl.this_update_s;

	done(f, job);
	seconds(f, 5);
	f->now.wall_us -= 5 * 1000000 + 200000; /* still behind the ledger's newest time */
	job = list(f);
	assert_non_null(job); /* at once: the old list says that it was made tomorrow */
	assert_true(job->crl.number == first + 1);
	assert_true(job->crl.this_update_s <= first_s);
	done(f, job);
	seconds(f, 5);
	f->now.wall_us -= 60 * 1000000;
	job = list(f);
	assert_true(job->crl.number == first + 2);
	kt_job_free(job);
}

static void the_number_goes_on_from_the_file(void **state)
{
	struct fake *f = *state;
	const struct kt_crl_head last = {.number = (uint64_t)START_US + 999999999,
					 .this_update_s = FLEET_TIME_S,
					 .next_update_s = FLEET_TIME_S + 5};
	struct kt_crl_status status;
	struct kt_job *job;

	kt_crl_free(f->core->crl);
	assert_int_equal(kt_crl_new(&last, &f->core->crl), KT_ERR_OK);
	kt_crl_status(f->core, &status);
	assert_true(status.head.number == last.number);
	job = list(f);
	assert_true(job->crl.number == last.number + 1);
	kt_job_free(job);
}

/* What was given is gone: it may have been written all the same. */
static void a_number_of_a_failed_list_is_not_given_again(void **state)
{
	struct fake *f = *state;
	struct kt_job *job = list(f);
	const uint64_t first = job->crl.number;
	struct kt_crl_status status;

	failed(f, job);
	kt_crl_status(f->core, &status);
	assert_true(status.head.number == 0);
	f->now.wall_us = START_US;
	f->now.mono_ms += 10000;
	kt_core_tick(f->core, f->now);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_true(job->crl.number == first + 1);
	kt_job_free(job);
}

static void a_broker_in_1970_goes_by_the_ledger(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	f->now.wall_us = 10;
	job = list(f);
	assert_true(job->crl.number == (uint64_t)FLEET_TIME_S * 1000000);
	assert_true(job->crl.this_update_s == FLEET_TIME_S - 300);
	assert_true(job->crl.next_update_s == FLEET_TIME_S + 7 * DAY_S);
	kt_job_free(job);
}

/* --- failure --- */

static void a_failure_is_told_and_tried_again_less_and_less_often(void **state)
{
	static const unsigned waits_s[] = {10, 20, 40, 80, 160, 300, 300};
	struct fake *f = *state;
	struct kt_crl_status status;
	struct kt_job *job = list(f);

	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		failed(f, job);
		assert_int_equal(f->logged[KT_EVENT_CRL_FAILED], i + 1);
		fake_forget(f);
		seconds(f, waits_s[i] - 1);
		assert_null(fake_take_job(f, KT_JOB_CRL));
		seconds(f, 1);
		job = fake_take_job(f, KT_JOB_CRL);
		assert_non_null(job);
	}
	assert_string_equal(f->last_log, "event=crl.failed file=" FILE_AT
					 " why=\"No space left on device\" next_update_s=0");
	kt_crl_status(f->core, &status);
	assert_true(status.has_failed);
	done(f, job);
	kt_crl_status(f->core, &status);
	assert_false(status.has_failed);
	assert_int_equal(f->logged[KT_EVENT_CRL_WRITTEN], 1);
	seconds(f, 60);
	assert_null(fake_take_job(f, KT_JOB_CRL));
	revoke(f, "hub-1"); /* and the next failure waits ten seconds again */
	fake_durable(f);
	failed(f, list(f));
	fake_forget(f);
	seconds(f, 10);
	assert_non_null(job = fake_take_job(f, KT_JOB_CRL));
	kt_job_free(job);
}

static void a_failure_is_an_event_with_the_end_of_the_old_list(void **state)
{
	struct fake *f = *state;

	get_going(f);
	revoke(f, "hub-1");
	fake_durable(f);
	failed(f, list(f));
	fake_tick(f);
	assert_non_null(strstr(fake_event(f, "crl.failed"), "\"next_update_s\":\"1700604810\""));
	assert_non_null(strstr(fake_event(f, "crl.failed"), "\"why\":\"No space left on device\""));
}

/* --- many --- */

static void a_large_fleet_is_walked_in_pieces(void **state)
{
	struct kt_registry *registry = keeping();
	struct fake *f;
	struct kt_job *job;

	(void)state;
	for (uint32_t n = 1; n <= ROWS_A_TICK + 1; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "h%u", (unsigned)n);
		enrol(registry, id, n, END_S);
		fleet_simple(registry, KT_RECORD_REVOKE, id, 0);
	}
	f = core_of(registry);
	assert_null(list(f));
	job = list(f);
	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, ROWS_A_TICK + 1);
	for (uint32_t n = 1; n <= ROWS_A_TICK + 1; n++) {
		assert_int_equal(job->crl_entries[n - 1].serial[6], (uint8_t)(n >> 16));
		assert_int_equal(job->crl_entries[n - 1].serial[8], (uint8_t)n);
	}
	kt_job_free(job);
	fake_free(f);
}

/* What becomes durable while the walk goes on is for the next list, wherever its row is. */
static void a_list_is_of_one_moment(void **state)
{
	struct kt_registry *registry = keeping();
	struct fake *f;
	struct kt_job *job;

	(void)state;
	for (uint32_t n = 1; n <= ROWS_A_TICK + 1; n++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "h%u", (unsigned)n);
		enrol(registry, id, n, END_S);
	}
	f = core_of(registry);
	assert_null(list(f));
	revoke(f, "h1");
	revoke(f, "h65537");
	fake_durable(f);
	job = list(f);
	assert_int_equal(job->crl.entry_count, 0);
	done(f, job);
	seconds(f, 6);
	job = fake_take_job(f, KT_JOB_CRL);
	assert_non_null(job);
	assert_int_equal(job->crl.entry_count, 2);
	kt_job_free(job);
	fake_free(f);
}

static void gauges_show_it(void **state)
{
	struct fake *f = *state;
	unsigned seen = 0;

	revoke(f, "hub-1");
	fake_durable(f);
	done(f, list(f));
	fake_forget(f);
	seconds(f, 11);
	for (size_t i = 0; i < f->published_count; i++) {
		const struct fake_publish *p = &f->published[i];

		if (strcmp(p->topic, KT_TOPIC_SYS_PREFIX "crl/number") == 0)
			seen += strcmp(p->text, "1700000010100000") == 0 ? 1 : 100;
		if (strcmp(p->topic, KT_TOPIC_SYS_PREFIX "crl/entries") == 0)
			seen += strcmp(p->text, "1") == 0 ? 10 : 100;
		if (strcmp(p->topic, KT_TOPIC_SYS_PREFIX "crl/next_update") == 0)
			seen += strcmp(p->text, "1700604810") == 0 ? 20 : 100;
	}
	assert_int_equal(seen, 31);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_a_file_there_is_no_list),
		T(every_start_makes_one),
		cmocka_unit_test(the_start_lists_what_was_out_before),
		T(a_revoke_is_on_it_when_it_is_durable),
		T(what_is_not_durable_yet_waits_for_the_next_list),
		T(a_revoke_without_a_ledger_is_on_none),
		T(what_became_durable_before_the_ledger_failed_is_on_it),
		T(each_end_has_its_reason_and_the_living_are_not_on_it),
		T(without_its_serial_a_certificate_is_counted_and_left_out),
		cmocka_unit_test(a_serial_of_another_generation_is_not_believed),
		cmocka_unit_test(endings_are_kept_from_the_first_credential_on_or_not_at_all),
		T(an_entry_leaves_when_a_list_after_its_end_has_had_it),
		T(an_entry_that_ended_while_nobody_made_lists_is_on_one_more),
		T(without_end_it_stays),
		T(a_mass_revoke_makes_few_lists),
		T(one_list_at_a_time_and_a_rest_as_long_as_ten),
		T(a_new_one_comes_at_half_of_its_time),
		T(a_new_one_comes_by_the_other_clock_too),
		T(a_new_one_comes_when_the_wall_clock_jumps_ahead),
		T(a_full_queue_is_asked_again),
		T(the_number_grows_though_the_clock_goes_back),
		T(the_number_goes_on_from_the_file),
		T(a_number_of_a_failed_list_is_not_given_again),
		T(a_broker_in_1970_goes_by_the_ledger),
		T(a_failure_is_told_and_tried_again_less_and_less_often),
		T(a_failure_is_an_event_with_the_end_of_the_old_list),
		cmocka_unit_test(a_large_fleet_is_walked_in_pieces),
		cmocka_unit_test(a_list_is_of_one_moment),
		T(gauges_show_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
