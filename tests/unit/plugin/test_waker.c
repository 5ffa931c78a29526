/* Does a thread end the loop's wait, however the signal and the wait race? */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "waker.h"

enum { ROUNDS = 200, LONG_MS = 20000 };

static int wait_in_epoll(void)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);
	int rc;
	int error;

	assert_true(fd >= 0);
	rc = epoll_wait(fd, &event, 1, LONG_MS);
	error = errno;
	(void)close(fd);
	errno = error;
	return rc;
}

static void *wake_from_thread(void *waker)
{
	kt_waker_wake(waker);
	return NULL;
}

static void a_wait_ends_when_a_thread_asks(void **state)
{
	struct kt_waker *waker = NULL;
	pthread_t thread;

	(void)state;
	assert_int_equal(kt_waker_new(&waker), KT_ERR_OK);
	assert_int_equal(pthread_create(&thread, NULL, wake_from_thread, waker), 0);
	assert_int_equal(wait_in_epoll(), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(pthread_join(thread, NULL), 0);
	kt_waker_seen(waker);
	kt_waker_free(waker);
}

/* The signal may come before the wait: only its repetition ends it. */
static void a_request_made_before_the_wait_is_not_lost(void **state)
{
	struct kt_waker *waker = NULL;

	(void)state;
	assert_int_equal(kt_waker_new(&waker), KT_ERR_OK);
	for (int i = 0; i < ROUNDS; i++) {
		kt_waker_wake(waker);
		assert_int_equal(wait_in_epoll(), -1);
		kt_waker_seen(waker);
	}
	kt_waker_free(waker);
}

static void a_loop_that_does_not_turn_is_woken_all_the_same(void **state)
{
	struct kt_waker *waker = NULL;

	(void)state;
	assert_int_equal(kt_waker_new(&waker), KT_ERR_OK);
	assert_int_equal(wait_in_epoll(), -1);
	assert_int_equal(errno, EINTR);
	kt_waker_free(waker);
}

static void a_read_goes_on(void **state)
{
	struct kt_waker *waker = NULL;
	struct sigaction action;

	(void)state;
	assert_int_equal(kt_waker_new(&waker), KT_ERR_OK);
	assert_int_equal(sigaction(SIGRTMIN + 5, NULL, &action), 0);
	assert_int_equal(action.sa_flags & SA_RESTART, SA_RESTART);
	kt_waker_free(waker);
}

static void a_signal_that_comes_late_ends_nothing(void **state)
{
	struct kt_waker *waker = NULL;

	(void)state;
	assert_int_equal(kt_waker_new(&waker), KT_ERR_OK);
	kt_waker_wake(waker);
	kt_waker_free(waker);
	assert_int_equal(pthread_kill(pthread_self(), SIGRTMIN + 5), 0);
	kt_waker_free(NULL);
}

static void keep(int number)
{
	(void)number;
}

static void a_signal_of_somebody_else_is_left_alone(void **state)
{
	struct kt_waker *waker = NULL;
	struct sigaction action;
	struct sigaction old;

	(void)state;
	memset(&action, 0, sizeof(action));
	action.sa_handler = keep;
	assert_int_equal(sigaction(SIGRTMIN + 5, &action, &old), 0);
	assert_int_equal(kt_waker_new(&waker), KT_ERR_EXISTS);
	assert_null(waker);
	assert_int_equal(sigaction(SIGRTMIN + 5, &old, &action), 0);
	assert_true(action.sa_handler == keep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_ends_when_a_thread_asks),
		cmocka_unit_test(a_request_made_before_the_wait_is_not_lost),
		cmocka_unit_test(a_loop_that_does_not_turn_is_woken_all_the_same),
		cmocka_unit_test(a_read_goes_on),
		cmocka_unit_test(a_signal_that_comes_late_ends_nothing),
		cmocka_unit_test(a_signal_of_somebody_else_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
