/* SPDX-License-Identifier: Apache-2.0
 *
 * The platform's tick: a POSIX timer for each thread. A tick that finds its thread outside the enclave stops the timer
 * until the next entry, so that sleeping threads stay asleep and host system calls are hardly disturbed. */
#include "softsgx/trap.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static unsigned tick_hz;

static void run_timer(struct trap_slot *slot, unsigned hz)
{
    struct itimerspec interval = {0};

    if (!slot->has_timer || (!hz && !slot->timer_runs))
        return;
    if (hz) {
        uint64_t ns = 1000000000ull / hz;
        interval.it_interval.tv_sec = (time_t)(ns / 1000000000ull);
        interval.it_interval.tv_nsec = (long)(ns % 1000000000ull);
        interval.it_value = interval.it_interval;
    }
    timer_settime(slot->timer, 0, &interval, NULL);
    slot->timer_runs = hz != 0;
}

void trap_tick_thread_init(struct trap_slot *slot)
{
    struct sigevent event;

    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = TRAP_TICK_SIGNAL;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    slot->has_timer = !timer_create(CLOCK_MONOTONIC, &event, &slot->timer);
    slot->timer_runs = false;
    slot->timer_parked = true;
}

void trap_tick_thread_exit(struct trap_slot *slot)
{
    if (slot->has_timer)
        timer_delete(slot->timer);
    slot->has_timer = false;
}

void trap_tick_outside(struct trap_slot *slot)
{
    run_timer(slot, 0);
    slot->timer_parked = true;
}

void trap_tick_entering(struct trap_slot *slot)
{
    if (!slot->timer_parked)
        return;
    slot->timer_parked = false;
    run_timer(slot, __atomic_load_n(&tick_hz, __ATOMIC_RELAXED));
}

/* Threads that run a timer pick the new rate up when they next enter an enclave. */
int softsgx_set_tick_hz(unsigned hz)
{
    if (hz > 1000000)
        return -EINVAL;
    __atomic_store_n(&tick_hz, hz, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < trap_slot_limit(); i++)
        __atomic_store_n(&trap_slot_at(i)->timer_parked, true, __ATOMIC_RELAXED);
    return 0;
}
