/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's timers, all driven by one timer of the host: it is set to the earliest deadline, and when its signal
 * comes, what is due by the clock expires. The host decides when that is, not whether a timer that is not due does. */
#ifndef VIGIL_TIMERS_H
#define VIGIL_TIMERS_H

#include "libos/time/time.h"

struct itimerspec_image { struct timespec_image interval, value; };

/* What timer_create exchanges. */
struct sigevent_image {
    uint64_t value;
    int32_t signo, notify, tid, pad[11];
};
_Static_assert(sizeof(struct sigevent_image) == 64, "sigevent");

struct timer {
    struct timer *next;
    int id;                     /* ITIMER_REAL has TIMER_ID_REAL */
    int clock;
    int notify, signo, tid;     /* SIGEV_*; tid with SIGEV_THREAD_ID */
    uint64_t value;
    int base;                   /* CLOCK_MONOTONIC, or CLOCK_REALTIME for absolute times of that clock */
    int64_t deadline, interval; /* of base; TIME_MAX: disarmed */
    int64_t overrun, last_overrun;
};
#define TIMER_ID_REAL (-1)

extern lock_t timers_lock;
/* All under timers_lock. */
void timer_link(struct timer *);
void timer_unlink(struct timer *);
struct timer *timer_find(int id);
/* 0, or -EAGAIN: the host has no timer for us. */
int timer_set(struct timer *timer, int64_t value, int64_t interval, bool absolute);
/* ns until the next expiration; 0: disarmed. */
int64_t timer_remaining(const struct timer *timer);
int timer_next_id(void);
/* The host's timer, made once: 0 or -EAGAIN. */
int host_timer_create(void);

#endif
