/*
 * failing_alloc - the n-th allocation from now fails. For programs linked with --wrap of malloc,
 * calloc and realloc (kt_failing_alloc in tests/CMakeLists.txt).
 */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* 0: none does. */
void failing_alloc_set(size_t n);
/* Ends it; true if the one that was set has failed. */
bool failing_alloc_end(void);

/* The test's own allocations in between do not count. */
void failing_alloc_pause(bool is_paused);

#endif
