/*
 * waker - ends the broker's wait early when a thread has something for it.
 *
 * The broker's loop sleeps up to 100 ms (seconds, in a 2.1 without websockets) and offers no way to
 * wake it: a real-time signal with an empty handler does (epoll_wait and poll return EINTR). A
 * signal that arrives just before the wait is lost, so a small thread repeats it until the loop has
 * come round; and it looks once a second whether the loop turns at all.
 */
#ifndef KT_WAKER_H
#define KT_WAKER_H

#include "err.h"
#include "types.h"

struct kt_waker; /* owned, opaque */

/*
 * Wakes the calling thread from now on. KT_ERR_EXISTS: the signal has another handler already;
 * KT_ERR_SYS, KT_ERR_NOMEM.
 */
KT_MUST_CHECK enum kt_err kt_waker_new(struct kt_waker **out);
/* From the thread that made it; leaves the signal ignored. NULL is fine. */
void kt_waker_free(struct kt_waker *waker);
/* Any thread. @waker is a struct kt_waker *: it fits the wake members of store and worker. */
void kt_waker_wake(void *waker);
/* The loop has come round: what was asked for so far is seen. */
void kt_waker_seen(struct kt_waker *waker);

#endif
