/*
 * trace - what fakes were asked to do, in order, as lines of text.
 *
 * For rules about order ("persist, then act, then speak"): a test says every line that it expects,
 * so that what should not happen fails it as well.
 */
#ifndef KT_TEST_TRACE_H
#define KT_TEST_TRACE_H

#include <stddef.h>

enum { TRACE_MAX = 256, TRACE_LINE = 120 };

struct trace {
	char lines[TRACE_MAX][TRACE_LINE];
	size_t count;
};

__attribute__((format(printf, 2, 3))) void trace_add(struct trace *trace, const char *format, ...);
/* Fails the test unless these lines (NULL at the end) and no others were added since the last call.
 */
void trace_expect(struct trace *trace, const char *const *want, const char *file, int line);

#define TRACE_EXPECT(trace, ...)                                                                   \
	trace_expect((trace), (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
#define TRACE_NOTHING(trace) trace_expect((trace), (const char *const[]){NULL}, __FILE__, __LINE__)

#endif
