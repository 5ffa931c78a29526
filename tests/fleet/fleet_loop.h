/*
 * fleet_loop - all descriptors of a process, timers, and work for the end of a turn.
 *
 * Descriptors are served at all times; what is then to be calculated are tasks, of which a turn
 * does as much as fits into some milliseconds.
 *
 * Watches, timers and tasks lie in what owns them, are zeroed but for their function and its ctx,
 * and outlive the turn in which they are taken out. One thread. Out of memory ends the process, as
 * everywhere in the fleet: a simulated hub that was not made is a wrong figure.
 */
#ifndef FLEET_LOOP_H
#define FLEET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet_loop;

struct fleet_watch { /* a descriptor */
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
	/* private */
	int fd;
	uint32_t events;
	bool is_on;
};

struct fleet_timer {
	void (*due)(void *ctx);
	void *ctx;
	/* private */
	int64_t at_ms;
	size_t place; /* in the heap, from 1; 0: not set */
};

struct fleet_task { /* runs once, after the descriptors' events of this turn or a later one */
	void (*run)(void *ctx);
	void *ctx;
	/* private */
	struct fleet_task *next;
	bool is_queued;
};

struct fleet_loop *fleet_loop_new(void);
void fleet_loop_free(struct fleet_loop *loop);

void fleet_watch_on(struct fleet_loop *loop, struct fleet_watch *watch, int fd, uint32_t events);
/* Does nothing where these are what it waits for. */
void fleet_watch_events(struct fleet_loop *loop, struct fleet_watch *watch, uint32_t events);
/* @is_closed: the descriptor is gone, and its number may be another's already. */
void fleet_watch_off(struct fleet_loop *loop, struct fleet_watch *watch, bool is_closed);

/* INT64_MAX: not at all. */
void fleet_timer_set(struct fleet_loop *loop, struct fleet_timer *timer, int64_t at_ms);
/* Stays where it is if it is queued. */
void fleet_task_queue(struct fleet_loop *loop, struct fleet_task *task);

/* Waits until something happens, and does what is due. */
void fleet_loop_turn(struct fleet_loop *loop);

/* CLOCK_MONOTONIC, the same in all processes of a machine. */
int64_t fleet_now_ms(void);
int64_t fleet_now_us(void);

/* Says what it was, and ends the process. */
_Noreturn void fleet_fail(const char *what, const char *why);
/* Zeroed memory, or the end of the process. */
void *fleet_alloc(void *old, size_t count, size_t size);

#endif
