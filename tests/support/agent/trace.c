#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void trace_add(struct trace *trace, const char *format, ...)
{
	va_list args;

	if (trace->count == TRACE_MAX)
		abort();
	va_start(args, format);
	(void)vsnprintf(trace->lines[trace->count++], TRACE_LINE, format, args);
	va_end(args);
}

void trace_expect(struct trace *trace, const char *const *want, const char *file, int line)
{
	size_t count = 0;
	size_t same = 0;

	while (want[count] != NULL)
		count++;
	while (same < count && same < trace->count && strcmp(want[same], trace->lines[same]) == 0)
		same++;
	if (same != count || same != trace->count) {
		for (size_t i = 0; i < count || i < trace->count; i++)
			print_error("%s %-58s | %s\n", i < same ? " " : "*",
				    i < trace->count ? trace->lines[i] : "-",
				    i < count ? want[i] : "-");
		print_error("  (what happened | what was expected)\n");
		_fail(file, line);
	}
	trace->count = 0;
}
