#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"

static int setup(void **state)
{
	struct kt_sessions *sessions;

	if (kt_sessions_new(&sessions) != KT_ERR_OK)
		return -1;
	*state = sessions;
	return 0;
}

static int teardown(void **state)
{
	kt_sessions_free(*state);
	return 0;
}

static struct kt_session *add(struct kt_sessions *sessions, uintptr_t client, const char *id)
{
	struct kt_session *session;

	assert_int_equal(kt_sessions_add(sessions, client, id, &session), KT_ERR_OK);
	return session;
}

static void numbers_are_never_used_again(void **state)
{
	uint64_t first = add(*state, 16, "a")->number;
	uint64_t second;

	kt_sessions_mark_gone(*state, 16);
	kt_sessions_sweep(*state);
	second = add(*state, 16, "a")->number;
	assert_true(second > first);
	assert_null(kt_sessions_by_number(*state, first));
	assert_non_null(kt_sessions_by_number(*state, second));
}

static void a_gone_session_is_found_by_pointer_alone_until_the_sweep(void **state)
{
	struct kt_session *session = add(*state, 16, "a");
	uint64_t number = session->number;

	kt_sessions_mark_gone(*state, 16);
	assert_ptr_equal(kt_sessions_find(*state, 16), session);
	assert_true(session->gone);
	assert_null(kt_sessions_by_number(*state, number));
	assert_null(kt_sessions_by_client_id(*state, "a"));
	kt_sessions_sweep(*state);
	assert_null(kt_sessions_find(*state, 16));
	assert_int_equal(kt_sessions_count(*state), 0);
}

static void a_reused_pointer_is_the_new_session_at_once(void **state)
{
	struct kt_session *old = add(*state, 16, "a");
	struct kt_session *fresh = add(*state, 16, "b");

	assert_true(old->gone);
	assert_ptr_equal(kt_sessions_find(*state, 16), fresh);
	kt_sessions_sweep(*state);
	assert_ptr_equal(kt_sessions_find(*state, 16), fresh);
	assert_int_equal(kt_sessions_count(*state), 1);
}

static void a_takeover_ends_the_old_pointer(void **state)
{
	struct kt_session *old = add(*state, 16, "hub-17:agent");
	struct kt_session *other = add(*state, 32, "hub-18:agent");
	struct kt_session *fresh = add(*state, 48, "hub-17:agent");

	kt_sessions_take_over(*state, fresh);
	assert_true(old->gone);
	assert_false(other->gone);
	assert_false(fresh->gone);
	assert_ptr_equal(kt_sessions_by_client_id(*state, "hub-17:agent"), fresh);
}

/* The newcomer was left to another plugin, which then refused it: the broker keeps the old one. */
static void a_newcomer_that_others_refuse_does_not_end_the_old_session(void **state)
{
	struct kt_session *old = add(*state, 16, "site");

	(void)add(*state, 32, "site");
	kt_sessions_mark_gone(*state, 32);
	assert_false(old->gone);
	assert_ptr_equal(kt_sessions_by_client_id(*state, "site"), old);
}

static void nobody_is_found_by_an_empty_or_overlong_client_id(void **state)
{
	char longer[KT_CLIENT_ID_MAX + 1];
	struct kt_session *session;

	memset(longer, 'x', KT_CLIENT_ID_MAX);
	longer[KT_CLIENT_ID_MAX] = '\0';
	session = add(*state, 16, longer);
	(void)add(*state, 32, NULL);
	assert_string_equal(session->client_id, "");
	assert_null(kt_sessions_by_client_id(*state, ""));
	assert_null(kt_sessions_by_client_id(*state, NULL));
	assert_null(kt_sessions_by_client_id(*state, longer));
	kt_sessions_take_over(*state, session);
	assert_false(session->gone);
}

static void sessions_of_a_device_are_the_live_ones_of_that_device(void **state)
{
	static const struct kt_device one;
	static const struct kt_device two;
	struct kt_session *a = add(*state, 16, "one");
	struct kt_session *b = add(*state, 32, "one:x");
	struct kt_session *c = add(*state, 48, "two");
	struct kt_session *found;

	kt_sessions_set_device(*state, a, &one);
	kt_sessions_set_device(*state, b, &one);
	kt_sessions_set_device(*state, c, &two);
	kt_sessions_mark_gone(*state, 16);
	found = kt_sessions_next_of(*state, &one, NULL);
	assert_ptr_equal(found, b);
	assert_null(kt_sessions_next_of(*state, &one, found));
	/* the one in hand goes while the walk goes on */
	found = kt_sessions_next_of(*state, &two, NULL);
	kt_sessions_mark_gone(*state, 48);
	assert_null(kt_sessions_next_of(*state, &two, found));
}

static void every_live_session_is_walked_once(void **state)
{
	size_t cursor = 0;
	size_t seen = 0;

	for (uintptr_t i = 1; i <= 3000; i++)
		(void)add(*state, i * 16, "x");
	for (uintptr_t i = 1; i <= 3000; i += 3)
		kt_sessions_mark_gone(*state, i * 16);
	kt_sessions_sweep(*state);
	while (kt_sessions_next(*state, &cursor) != NULL)
		seen++;
	assert_int_equal(seen, 2000);
	assert_int_equal(kt_sessions_count(*state), 2000);
}

static void marking_twice_and_unknown_pointers_do_no_harm(void **state)
{
	(void)add(*state, 16, "a");
	kt_sessions_mark_gone(*state, 16);
	kt_sessions_mark_gone(*state, 16);
	kt_sessions_mark_gone(*state, 4711);
	kt_sessions_sweep(*state);
	kt_sessions_sweep(*state);
	assert_int_equal(kt_sessions_count(*state), 0);
}

static void what_a_session_holds_goes_with_it(void **state)
{
	struct kt_session *session = add(*state, 16, "a");

	session->cert_der = calloc(1, 8);
	session->cert_der_len = 8;
	session->waiting[0].text = calloc(1, 8);
	session->waiting[0].len = 8;
	session->waiting_count = 1;
	kt_sessions_mark_gone(*state, 16);
	kt_sessions_sweep(*state); /* the sanitizer's run would tell of a leak */
	assert_int_equal(kt_sessions_count(*state), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(numbers_are_never_used_again),
		T(a_gone_session_is_found_by_pointer_alone_until_the_sweep),
		T(a_reused_pointer_is_the_new_session_at_once),
		T(a_takeover_ends_the_old_pointer),
		T(a_newcomer_that_others_refuse_does_not_end_the_old_session),
		T(nobody_is_found_by_an_empty_or_overlong_client_id),
		T(sessions_of_a_device_are_the_live_ones_of_that_device),
		T(every_live_session_is_walked_once),
		T(marking_twice_and_unknown_pointers_do_no_harm),
		T(what_a_session_holds_goes_with_it),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
