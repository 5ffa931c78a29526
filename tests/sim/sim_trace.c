/* A run as a sequence diagram, one line an arrow. Nothing is written unless it was asked for. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

static void arrow(const struct sim *sim, const char *from, const char *to)
{
	printf("%10.3f  ", (double)sim->now_ms / 1000.0);
	if (strcmp(from, to) == 0)
		printf("%-18s ", from);
	else
		printf("%-7s -> %-7s ", from, to);
}

void sim_trace(const struct sim *sim, const char *from, const char *to, const char *format, ...)
{
	va_list args;

	if (!sim->options.has_trace)
		return;
	arrow(sim, from, to);
	va_start(args, format);
	(void)vprintf(format, args);
	va_end(args);
	(void)putchar('\n');
}

void sim_trace_note(const struct sim *sim, const char *from, const char *to,
		    const struct sim_note *note, const char *what)
{
	if (!sim->options.has_trace)
		return;
	if (note == NULL) {
		sim_trace(sim, from, to, "(command) %s", what);
		return;
	}
	sim_trace(sim, from, to, "%s op=%llu fp=%02x%02x%02x%02x%s%s%s%s %s",
		  kt_message_type_name(note->type), (unsigned long long)note->op, note->fp.b[0],
		  note->fp.b[1], note->fp.b[2], note->fp.b[3],
		  note->type == KT_MESSAGE_WELCOME ? " next=" : "",
		  note->type == KT_MESSAGE_WELCOME ? kt_next_name(note->next) : "",
		  note->reason != KT_REASON_NONE ? " reason=" : "",
		  note->reason != KT_REASON_NONE ? kt_reason_name(note->reason) : "", what);
}
