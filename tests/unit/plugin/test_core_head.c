/* When is a head of the ledger signed, and where does it go? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_ports.h"
#include "topic.h"

enum { TICKS_A_SECOND = 10, EVERY_S = 60 };

static int setup(void **state)
{
	struct fake *f = fake_new(fleet_new());

	f->config.head_every_ms = EVERY_S * 1000;
	f->sync_at_once = false;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fake_free(*state);
	return 0;
}

static void seconds(struct fake *f, unsigned count)
{
	fake_ticks(f, count * TICKS_A_SECOND);
}

static struct kt_job *job_of(struct fake *f)
{
	return fake_take_job(f, KT_JOB_HEAD);
}

/* There must be one. */
static struct kt_job *due_job(struct fake *f)
{
	struct kt_job *job = job_of(f);

	if (job == NULL)
		abort();
	return job;
}

/* The worker has signed and written. */
static void done(struct fake *f, struct kt_job *job)
{
	assert_non_null(job);
	job->err = KT_ERR_OK;
	job->sealed = strdup("{\"protected\":\"...\"}");
	assert_non_null(job->sealed);
	job->sealed_len = strlen(job->sealed);
	kt_core_job_done(f->core, f->now, job); /* moved */
}

static void add_record(struct fake *f, const char *id)
{
	struct kt_outcome outcome = kt_device_create(f->core, id, NULL, NULL, "op:test");

	assert_int_equal(outcome.reason, KT_REASON_NONE);
}

static const struct fake_publish *head_on_topic(const struct fake *f)
{
	const struct fake_publish *found = NULL;

	for (size_t i = 0; i < f->published_count; i++) {
		if (strcmp(f->published[i].topic, KT_TOPIC_HEAD) == 0)
			found = &f->published[i];
	}
	return found;
}

static void one_is_signed_soon_after_the_start(void **state)
{
	struct fake *f = *state;
	const uint64_t seq = kt_registry_seq(f->registry);
	const struct fake_publish *published;
	struct kt_job *job;

	fake_ticks(f, 9);
	assert_null(job_of(f));
	fake_ticks(f, 1);
	job = due_job(f);
	assert_true(job->head.seq == seq);
	assert_int_equal(job->head.hash[0], (uint8_t)seq);
	assert_true(job->head.time_us == f->now.wall_us);
	assert_null(head_on_topic(f));
	done(f, job);
	published = head_on_topic(f);
	if (published == NULL)
		abort();
	assert_string_equal(published->text, "{\"protected\":\"...\"}");
	assert_string_equal(published->to, "");
	assert_true(published->retain);
	assert_string_equal(published->topic, "$SYS/broker/keyturn/head");
	assert_int_equal(f->logged[KT_EVENT_LEDGER_SIGNED], 1);
	assert_int_equal(f->logged[KT_EVENT_LEDGER_UNSIGNED], 0);
}

static void without_a_new_record_there_is_no_new_one(void **state)
{
	struct fake *f = *state;

	seconds(f, 1);
	done(f, job_of(f));
	seconds(f, 5 * EVERY_S);
	assert_null(job_of(f));
	add_record(f, "hub-1");
	fake_durable(f);
	fake_tick(f);
	done(f, job_of(f));
	assert_int_equal(f->logged[KT_EVENT_LEDGER_SIGNED], 2);
}

static void many_records_make_one_in_the_interval(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	seconds(f, 1);
	done(f, job_of(f));
	add_record(f, "hub-1");
	fake_durable(f);
	fake_ticks(f, EVERY_S * TICKS_A_SECOND - 1);
	assert_null(job_of(f));
	add_record(f, "hub-2");
	fake_durable(f);
	fake_ticks(f, 1);
	job = due_job(f);
	assert_true(job->head.seq == kt_registry_seq(f->registry));
	done(f, job);
}

static void what_is_not_durable_is_not_signed(void **state)
{
	struct fake *f = *state;
	const uint64_t durable = kt_registry_seq(f->registry);
	struct kt_job *job;

	add_record(f, "hub-1");
	seconds(f, 1);
	job = due_job(f);
	assert_true(job->head.seq == durable);
	done(f, job);
	seconds(f, EVERY_S);
	assert_null(job_of(f));
	fake_durable(f);
	fake_tick(f);
	job = due_job(f);
	assert_true(job->head.seq == durable + 1);
	done(f, job);
}

static void never_two_at_a_time(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	seconds(f, 1);
	job = due_job(f);
	add_record(f, "hub-1");
	fake_durable(f);
	seconds(f, 3 * EVERY_S);
	assert_null(job_of(f));
	done(f, job);
	seconds(f, EVERY_S);
	done(f, job_of(f));
}

static void a_full_queue_is_asked_again(void **state)
{
	struct fake *f = *state;

	f->jobs_are_full = true;
	seconds(f, 2);
	assert_null(job_of(f));
	f->jobs_are_full = false;
	fake_tick(f);
	done(f, job_of(f));
}

static void switched_off_nothing_is_signed(void **state)
{
	struct fake *f = *state;

	f->config.head_every_ms = 0;
	add_record(f, "hub-1");
	fake_durable(f);
	seconds(f, 3 * EVERY_S);
	assert_null(job_of(f));
}

static void a_failure_is_told_and_the_next_one_is_due_as_ever(void **state)
{
	struct fake *f = *state;
	const uint64_t seq = kt_registry_seq(f->registry);
	struct kt_job *job;

	seconds(f, 1);
	job = due_job(f);
	job->err = KT_ERR_NOMEM;
	(void)snprintf(job->file_why, sizeof(job->file_why), "out of memory");
	kt_core_job_done(f->core, f->now, job);
	assert_null(head_on_topic(f));
	assert_int_equal(f->logged[KT_EVENT_LEDGER_UNSIGNED], 1);
	assert_non_null(strstr(f->last_log, "why=\"out of memory\""));
	fake_ticks(f, EVERY_S * TICKS_A_SECOND - 1);
	assert_null(job_of(f));
	fake_ticks(f, 1);
	job = due_job(f); /* though there is no new record */
	assert_true(job->head.seq == seq);
	done(f, job);
	assert_int_equal(f->logged[KT_EVENT_LEDGER_SIGNED], 1);
}

/* A disk that is full takes nothing from those who listen. */
static void one_that_cannot_be_written_is_published_all_the_same(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	seconds(f, 1);
	job = due_job(f);
	job->file_err = KT_ERR_SYS;
	(void)snprintf(job->file_why, sizeof(job->file_why), "No space left on device");
	done(f, job);
	assert_non_null(head_on_topic(f));
	assert_int_equal(f->logged[KT_EVENT_LEDGER_SIGNED], 0);
	assert_int_equal(f->logged[KT_EVENT_LEDGER_UNSIGNED], 1);
	assert_non_null(strstr(f->last_log, "why=\"No space left on device\""));
	seconds(f, EVERY_S);
	done(f, job_of(f));
	assert_int_equal(f->logged[KT_EVENT_LEDGER_SIGNED], 1);
}

/* Nothing new becomes durable, and what did is evidence still. */
static void a_ledger_that_failed_has_its_last_head_signed(void **state)
{
	struct fake *f = *state;
	const uint64_t seq = kt_registry_seq(f->registry);
	struct kt_job *job;

	fake_fail(f);
	seconds(f, 1);
	job = due_job(f);
	assert_true(job->head.seq == seq);
	done(f, job);
	seconds(f, 2 * EVERY_S);
	assert_null(job_of(f));
}

static void a_clock_before_1970_signs_the_beginning_of_time(void **state)
{
	struct fake *f = *state;
	struct kt_job *job;

	f->now.wall_us = -1000000000;
	seconds(f, 1);
	job = due_job(f);
	assert_true(job->head.time_us == 0);
	done(f, job);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(one_is_signed_soon_after_the_start),
		T(without_a_new_record_there_is_no_new_one),
		T(many_records_make_one_in_the_interval),
		T(what_is_not_durable_is_not_signed),
		T(never_two_at_a_time),
		T(a_full_queue_is_asked_again),
		T(switched_off_nothing_is_signed),
		T(a_failure_is_told_and_the_next_one_is_due_as_ever),
		T(one_that_cannot_be_written_is_published_all_the_same),
		T(a_ledger_that_failed_has_its_last_head_signed),
		T(a_clock_before_1970_signs_the_beginning_of_time),
	};
#undef T

	return cmocka_run_group_tests_name("core_head", tests, NULL, NULL);
}
