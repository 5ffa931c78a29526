/* clock - the clock that never goes back (CLOCK_MONOTONIC). Any thread. */
#ifndef KT_CLOCK_H
#define KT_CLOCK_H

#include <stdint.h>

int64_t kt_mono_ms(void);

#endif
