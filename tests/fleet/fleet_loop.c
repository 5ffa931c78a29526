#include "fleet_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_A_TURN = 256, BUDGET_US = 20000, IDLE_MAX_MS = 60000 };

struct fleet_loop {
	int epoll_fd;
	struct fleet_timer **heap; /* from 1 */
	size_t timer_count;
	size_t timer_room;
	struct fleet_task *first;
	struct fleet_task **last;
};

int64_t fleet_now_us(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t fleet_now_ms(void)
{
	return fleet_now_us() / 1000;
}

void fleet_fail(const char *what, const char *why)
{
	fprintf(stderr, "keyturn-fleet: %s: %s\n", what, why);
	exit(1);
}

void *fleet_alloc(void *old, size_t count, size_t size)
{
	void *p = old == NULL ? calloc(count, size) : reallocarray(old, count, size);

	if (p == NULL)
		fleet_fail("memory", strerror(ENOMEM));
	return p;
}

struct fleet_loop *fleet_loop_new(void)
{
	struct fleet_loop *loop = fleet_alloc(NULL, 1, sizeof(*loop));

	loop->last = &loop->first;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		fleet_fail("epoll", strerror(errno));
	return loop;
}

void fleet_loop_free(struct fleet_loop *loop)
{
	if (loop == NULL)
		return;
	(void)close(loop->epoll_fd);
	free((void *)loop->heap);
	free(loop);
}

/* --- descriptors --- */

static void control(struct fleet_loop *loop, int what, struct fleet_watch *watch)
{
	struct epoll_event event = {.events = watch->events, .data = {.ptr = watch}};

	if (epoll_ctl(loop->epoll_fd, what, watch->fd, &event) != 0)
		fleet_fail("epoll", strerror(errno));
}

void fleet_watch_on(struct fleet_loop *loop, struct fleet_watch *watch, int fd, uint32_t events)
{
	watch->fd = fd;
	watch->events = events;
	watch->is_on = true;
	control(loop, EPOLL_CTL_ADD, watch);
}

void fleet_watch_events(struct fleet_loop *loop, struct fleet_watch *watch, uint32_t events)
{
	if (!watch->is_on || watch->events == events)
		return;
	watch->events = events;
	control(loop, EPOLL_CTL_MOD, watch);
}

void fleet_watch_off(struct fleet_loop *loop, struct fleet_watch *watch, bool is_closed)
{
	if (watch->is_on && !is_closed)
		control(loop, EPOLL_CTL_DEL, watch);
	watch->is_on = false;
}

/* --- timers --- */

static void put(struct fleet_loop *loop, size_t place, struct fleet_timer *timer)
{
	loop->heap[place] = timer;
	timer->place = place;
}

static void sift(struct fleet_loop *loop, struct fleet_timer *timer, size_t place)
{
	size_t child = 0;

	while (place > 1 && loop->heap[place / 2]->at_ms > timer->at_ms) {
		put(loop, place, loop->heap[place / 2]);
		place /= 2;
	}
	for (; (child = place * 2) <= loop->timer_count; place = child) {
		if (child < loop->timer_count &&
		    loop->heap[child + 1]->at_ms < loop->heap[child]->at_ms)
			child++;
		if (loop->heap[child]->at_ms >= timer->at_ms)
			break;
		put(loop, place, loop->heap[child]);
	}
	put(loop, place, timer);
}

static void remove_timer(struct fleet_loop *loop, struct fleet_timer *timer)
{
	size_t place = timer->place;
	struct fleet_timer *moved = NULL;

	if (place == 0)
		return;
	moved = loop->heap[loop->timer_count--];
	timer->place = 0;
	if (moved != timer)
		sift(loop, moved, place);
}

void fleet_timer_set(struct fleet_loop *loop, struct fleet_timer *timer, int64_t at_ms)
{
	if (timer->place != 0 && timer->at_ms == at_ms)
		return;
	remove_timer(loop, timer);
	if (at_ms == INT64_MAX)
		return;
	if (loop->timer_count + 2 > loop->timer_room) {
		loop->timer_room = loop->timer_room * 2 + 64;
		loop->heap = (struct fleet_timer **)fleet_alloc(
			(void *)loop->heap, loop->timer_room, sizeof(*loop->heap));
	}
	timer->at_ms = at_ms;
	sift(loop, timer, ++loop->timer_count);
}

/* What does not fit into the turn is first in the next one. */
static void run_timers(struct fleet_loop *loop)
{
	int64_t now_ms = fleet_now_ms();
	int64_t until_us = fleet_now_us() + BUDGET_US;

	while (loop->timer_count > 0 && loop->heap[1]->at_ms <= now_ms &&
	       fleet_now_us() < until_us) {
		struct fleet_timer *timer = loop->heap[1];

		remove_timer(loop, timer);
		timer->due(timer->ctx);
	}
}

/* --- tasks, and the turn --- */

void fleet_task_queue(struct fleet_loop *loop, struct fleet_task *task)
{
	if (task->is_queued)
		return;
	task->is_queued = true;
	task->next = NULL;
	*loop->last = task;
	loop->last = &task->next;
}

static void run_tasks(struct fleet_loop *loop)
{
	int64_t until_us = fleet_now_us() + BUDGET_US;

	while (loop->first != NULL && fleet_now_us() < until_us) {
		struct fleet_task *task = loop->first;

		loop->first = task->next;
		if (loop->first == NULL)
			loop->last = &loop->first;
		task->is_queued = false;
		task->run(task->ctx);
	}
}

static int wait_ms(const struct fleet_loop *loop)
{
	int64_t left = IDLE_MAX_MS;

	if (loop->first != NULL)
		return 0;
	if (loop->timer_count > 0)
		left = loop->heap[1]->at_ms - fleet_now_ms();
	if (left < 0)
		left = 0;
	return left < IDLE_MAX_MS ? (int)left : IDLE_MAX_MS;
}

void fleet_loop_turn(struct fleet_loop *loop)
{
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_TURN, wait_ms(loop));

	if (count < 0 && errno != EINTR)
		fleet_fail("epoll", strerror(errno));
	for (int i = 0; i < count; i++) {
		struct fleet_watch *watch = events[i].data.ptr;

		if (watch->is_on)
			watch->ready(watch->ctx, events[i].events);
	}
	run_tasks(loop);
	run_timers(loop);
}
