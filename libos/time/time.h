/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside time/, and what signal/ and thread/ may ask of it beyond libos/libos.h. Times are ns in an int64_t. */
#ifndef VIGIL_TIME_H
#define VIGIL_TIME_H

#include "libos/libos.h"

#define NS_PER_SEC 1000000000ll
#define TIME_MAX INT64_MAX

/* As long as the kernel's: 64-bit both. */
struct timespec_image { int64_t sec, nsec; };
struct timeval_image { int64_t sec, usec; };

/* Until when to wait. */
struct wait {
    int clock;
    int64_t deadline;           /* TIME_MAX: for ever */
};
/* user: a timespec of the program, NULL: for ever. Relative ones are measured on CLOCK_MONOTONIC whatever clock says.
 * 0, -EFAULT or -EINVAL. */
int wait_from_user(struct wait *wait, const void *user, int clock, bool absolute);
/* For park(): ns that are left, 0: time is up, -1: for ever. */
int64_t wait_left(const struct wait *wait);

/* Seconds that do not fit are as good as for ever. */
int64_t timespec_ns(const struct timespec_image *t);
bool timespec_valid(const struct timespec_image *t);
struct timespec_image ns_timespec(int64_t ns);

/* ---- timers.c ---------------------------------------------------------------------------------------------------- */
/* The host's timer signal came: expire what is due. */
void timers_run(void);
void timers_exec(void);       /* execve: the program's POSIX timers go */
/* A signal of a timer is being delivered. */
struct siginfo_image;
void timer_signal_taken(struct siginfo_image *info);

#endif
