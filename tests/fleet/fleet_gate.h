/*
 * fleet_gate - so many at a time and no more: who comes later waits in line.
 *
 * All hubs of a process share one processor, which real hubs do not. Without a limit thousands of
 * handshakes or rotations would be begun together, and time out together. One thread.
 */
#ifndef FLEET_GATE_H
#define FLEET_GATE_H

#include <stdbool.h>
#include <stddef.h>

struct fleet_gate_place { /* lies in who waits; zeroed but for these two */
	void (*enter)(void *ctx);
	void *ctx;
	/* private */
	struct fleet_gate_place *next;
	struct fleet_gate_place *previous;
	bool is_waiting;
	bool is_inside;
};

struct fleet_gate {
	size_t limit;
	/* private */
	size_t inside;
	bool is_open; /* somebody is being let in */
	struct fleet_gate_place *first;
	struct fleet_gate_place *last;
};

/* @place->enter is called now, or when it is its turn. It may leave at once. */
void fleet_gate_enter(struct fleet_gate *gate, struct fleet_gate_place *place);
/* From the line, or from inside; the next ones enter. Fine where it is neither. */
void fleet_gate_leave(struct fleet_gate *gate, struct fleet_gate_place *place);

#endif
