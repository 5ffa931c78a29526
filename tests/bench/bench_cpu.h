/*
 * bench_cpu - the processor's time of another process, exact to the nanosecond (schedstat).
 *
 * A benchmark that cannot read it ends. Any thread.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <stdint.h>

/* Of all threads that @pid has now. */
uint64_t bench_cpu_ns(long pid);
/* Of one of its threads; 0: it has ended. */
uint64_t bench_cpu_thread_ns(long pid, const char *tid);

#endif
