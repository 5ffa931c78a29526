#include "fleet_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { URGENT_A_TURN = 64, OTHERS_A_TURN = 2, IDLE_MAX_MS = 60000 };

struct fleet_loop {
	int urgent_fd;
	int other_fd;
	int any_fd;		   /* watches the other two */
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

static int new_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		fleet_fail("epoll", strerror(errno));
	return fd;
}

static void control(int epoll_fd, int what, int fd, uint32_t events, void *ptr)
{
	struct epoll_event event = {.events = events, .data = {.ptr = ptr}};

	if (epoll_ctl(epoll_fd, what, fd, &event) != 0)
		fleet_fail("epoll", strerror(errno));
}

struct fleet_loop *fleet_loop_new(void)
{
	struct fleet_loop *loop = fleet_alloc(NULL, 1, sizeof(*loop));

	loop->last = &loop->first;
	loop->urgent_fd = new_epoll();
	loop->other_fd = new_epoll();
	loop->any_fd = new_epoll();
	control(loop->any_fd, EPOLL_CTL_ADD, loop->urgent_fd, EPOLLIN, NULL);
	control(loop->any_fd, EPOLL_CTL_ADD, loop->other_fd, EPOLLIN, NULL);
	return loop;
}

void fleet_loop_free(struct fleet_loop *loop)
{
	if (loop == NULL)
		return;
	(void)close(loop->urgent_fd);
	(void)close(loop->other_fd);
	(void)close(loop->any_fd);
	free((void *)loop->heap);
	free(loop);
}

/* --- descriptors --- */

static int epoll_of(const struct fleet_loop *loop, const struct fleet_watch *watch)
{
	return watch->is_urgent ? loop->urgent_fd : loop->other_fd;
}

void fleet_watch_on(struct fleet_loop *loop, struct fleet_watch *watch, int fd, uint32_t events)
{
	watch->fd = fd;
	watch->events = events;
	watch->is_on = true;
	watch->is_urgent = true;
	control(loop->urgent_fd, EPOLL_CTL_ADD, fd, events, watch);
}

void fleet_watch_urgency(struct fleet_loop *loop, struct fleet_watch *watch, bool is_urgent)
{
	if (!watch->is_on || watch->is_urgent == is_urgent)
		return;
	control(epoll_of(loop, watch), EPOLL_CTL_DEL, watch->fd, 0, NULL);
	watch->is_urgent = is_urgent;
	control(epoll_of(loop, watch), EPOLL_CTL_ADD, watch->fd, watch->events, watch);
}

void fleet_watch_events(struct fleet_loop *loop, struct fleet_watch *watch, uint32_t events)
{
	if (!watch->is_on || watch->events == events)
		return;
	watch->events = events;
	control(epoll_of(loop, watch), EPOLL_CTL_MOD, watch->fd, events, watch);
}

void fleet_watch_off(struct fleet_loop *loop, struct fleet_watch *watch, bool is_closed)
{
	if (watch->is_on && !is_closed)
		control(epoll_of(loop, watch), EPOLL_CTL_DEL, watch->fd, 0, NULL);
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

static void run_timers(struct fleet_loop *loop)
{
	int64_t now_ms = fleet_now_ms();

	while (loop->timer_count > 0 && loop->heap[1]->at_ms <= now_ms) {
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
	struct fleet_task *task = loop->first;

	/* those that are queued from here on wait for the next turn */
	loop->first = NULL;
	loop->last = &loop->first;
	while (task != NULL) {
		struct fleet_task *next = task->next;

		task->is_queued = false;
		task->run(task->ctx);
		task = next;
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

static void wait_for(int epoll_fd, int timeout_ms)
{
	struct epoll_event event;

	if (epoll_wait(epoll_fd, &event, 1, timeout_ms) < 0 && errno != EINTR)
		fleet_fail("epoll", strerror(errno));
}

static void run_watches(int epoll_fd, int max)
{
	struct epoll_event events[URGENT_A_TURN];
	int count = epoll_wait(epoll_fd, events, max, 0);

	for (int i = 0; i < count; i++) {
		struct fleet_watch *watch = events[i].data.ptr;

		if (watch->is_on)
			watch->ready(watch->ctx, events[i].events);
	}
}

void fleet_loop_turn(struct fleet_loop *loop)
{
	wait_for(loop->any_fd, wait_ms(loop));
	run_watches(loop->urgent_fd, URGENT_A_TURN);
	run_tasks(loop);
	run_watches(loop->other_fd, OTHERS_A_TURN);
	run_tasks(loop);
	run_timers(loop);
}
