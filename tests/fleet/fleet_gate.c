#include "fleet_gate.h"

static void take_out(struct fleet_gate *gate, struct fleet_gate_place *place)
{
	if (place->previous != NULL)
		place->previous->next = place->next;
	else
		gate->first = place->next;
	if (place->next != NULL)
		place->next->previous = place->previous;
	else
		gate->last = place->previous;
	place->is_waiting = false;
	place->next = NULL;
	place->previous = NULL;
}

/* Who leaves at once makes room for the next one here, and not one call deeper. */
static void let_in(struct fleet_gate *gate)
{
	if (gate->is_open)
		return;
	gate->is_open = true;
	while (gate->first != NULL && gate->inside < gate->limit) {
		struct fleet_gate_place *place = gate->first;

		take_out(gate, place);
		place->is_inside = true;
		gate->inside++;
		place->enter(place->ctx);
	}
	gate->is_open = false;
}

void fleet_gate_enter(struct fleet_gate *gate, struct fleet_gate_place *place)
{
	if (place->is_waiting || place->is_inside)
		return;
	place->is_waiting = true;
	place->next = NULL;
	place->previous = gate->last;
	if (gate->last != NULL)
		gate->last->next = place;
	else
		gate->first = place;
	gate->last = place;
	let_in(gate);
}

void fleet_gate_leave(struct fleet_gate *gate, struct fleet_gate_place *place)
{
	if (place->is_waiting)
		take_out(gate, place);
	if (place->is_inside) {
		place->is_inside = false;
		gate->inside--;
		let_in(gate);
	}
}
