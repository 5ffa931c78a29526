#include "waker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PAUSE_FIRST_MS = 1, PAUSE_MAX_MS = 64, IDLE_MS = 1000 };

struct kt_waker {
	pthread_t target;
	pthread_t thread;
	int changed_fd; /* eventfd: readable when there is something new for the thread */
	int signal;
	bool has_thread;
	bool has_handler;
	atomic_bool is_wanted;
	atomic_bool is_seen; /* since the last look */
	atomic_bool stop;
};

static void on_signal(int number)
{
	(void)number; /* its arrival is all: the system call under way returns */
}

/* SIGRTMIN itself rotates logs in 2.1. */
static int wake_signal(void)
{
	return SIGRTMIN + 5;
}

static void say_changed(struct kt_waker *waker)
{
	const uint64_t one = 1;

	/* fails only where it is readable already */
	(void)!write(waker->changed_fd, &one, sizeof(one));
}

static void wait_ms(struct kt_waker *waker, int ms)
{
	struct pollfd changed = {.fd = waker->changed_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&changed, 1, ms) > 0)
		(void)!read(waker->changed_fd, &count, sizeof(count));
}

static void *run_waker(void *arg)
{
	struct kt_waker *waker = arg;
	int pause_ms = PAUSE_FIRST_MS;

	(void)pthread_setname_np(pthread_self(), "keyturn-waker");
	while (!waker->stop) {
		if (waker->is_wanted) {
			pthread_kill(waker->target, waker->signal);
			wait_ms(waker, pause_ms);
			pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
			continue;
		}
		pause_ms = PAUSE_FIRST_MS;
		waker->is_seen = false;
		wait_ms(waker, IDLE_MS);
		if (!waker->is_seen && !waker->is_wanted && !waker->stop)
			pthread_kill(waker->target, waker->signal);
	}
	return NULL;
}

static enum kt_err install_handler(struct kt_waker *waker)
{
	struct sigaction action;
	struct sigaction old;

	if (sigaction(waker->signal, NULL, &old) != 0)
		return KT_ERR_SYS;
	if ((old.sa_flags & SA_SIGINFO) != 0 ||
	    (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN))
		return KT_ERR_EXISTS;
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	/* Reads and writes go on; epoll_wait and poll are never restarted (signal(7)). */
	action.sa_flags = SA_RESTART;
	sigemptyset(&action.sa_mask);
	if (sigaction(waker->signal, &action, NULL) != 0)
		return KT_ERR_SYS;
	waker->has_handler = true;
	return KT_ERR_OK;
}

static enum kt_err start_thread(struct kt_waker *waker)
{
	enum kt_err err = KT_ERR_OK;
	sigset_t all;
	sigset_t old;

	sigfillset(&all);
	if (pthread_sigmask(SIG_BLOCK, &all, &old) != 0)
		return KT_ERR_SYS;
	if (pthread_create(&waker->thread, NULL, run_waker, waker) == 0)
		waker->has_thread = true;
	else
		err = KT_ERR_SYS;
	if (pthread_sigmask(SIG_SETMASK, &old, NULL) != 0)
		err = KT_ERR_SYS;
	return err;
}

enum kt_err kt_waker_new(struct kt_waker **out)
{
	enum kt_err err = KT_ERR_INTERNAL;
	struct kt_waker *waker = NULL;

	*out = NULL;
	waker = calloc(1, sizeof(*waker));
	if (waker == NULL)
		return KT_ERR_NOMEM;
	waker->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (waker->changed_fd < 0) {
		err = KT_ERR_SYS;
		goto out;
	}
	waker->target = pthread_self();
	waker->signal = wake_signal();
	err = install_handler(waker);
	if (err != KT_ERR_OK)
		goto out;
	err = start_thread(waker);
	if (err != KT_ERR_OK)
		goto out;
	*out = waker;
	waker = NULL; /* moved */
out:
	kt_waker_free(waker);
	return err;
}

void kt_waker_free(struct kt_waker *waker)
{
	struct sigaction ignore;

	if (waker == NULL)
		return;
	waker->stop = true;
	if (waker->has_thread) {
		say_changed(waker);
		pthread_join(waker->thread, NULL);
	}
	if (waker->has_handler) {
		/*
		 * Not the default: a signal still on its way would end the broker; and not our
		 * handler: a 2.0 broker unloads this code.
		 */
		memset(&ignore, 0, sizeof(ignore));
		ignore.sa_handler = SIG_IGN;
		sigemptyset(&ignore.sa_mask);
		(void)sigaction(waker->signal, &ignore, NULL);
	}
	if (waker->changed_fd >= 0)
		close(waker->changed_fd);
	free(waker);
}

void kt_waker_wake(void *waker)
{
	struct kt_waker *w = waker;

	if (!atomic_exchange(&w->is_wanted, true))
		say_changed(w);
}

void kt_waker_seen(struct kt_waker *waker)
{
	waker->is_wanted = false;
	waker->is_seen = true;
}
