/* SPDX-License-Identifier: Apache-2.0
 *
 * The platform's tick: a timer for each thread, on a grid that all threads share. A tick that finds its thread outside
 * the enclave disarms the timer, so that host system calls are interrupted once at most; the next entry arms it. */
#include "softsgx/trap.h"

#include <errno.h>
#include <string.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NS 1000000000ull
#define MAX_HZ 1000000u

static unsigned tick_hz;

bool sgx_trap_ticking(void)
{
    return __atomic_load_n(&tick_hz, __ATOMIC_SEQ_CST);
}

int sgx_trap_tick_create(struct trap_thread *t)
{
    struct sigevent event;

    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = sgx_trap_tick_signal();
    event.sigev_notify_thread_id = t->tid;
    return timer_create(CLOCK_MONOTONIC, &event, &t->timer) ? -errno : 0;
}

void sgx_trap_tick_destroy(struct trap_thread *t)
{
    timer_delete(t->timer);
}

static void set_timer(const struct trap_thread *t, unsigned hz)
{
    struct itimerspec when = {0};
    struct timespec now;
    uint64_t period, first;

    if (hz) {
        period = NS / hz;
        clock_gettime(CLOCK_MONOTONIC, &now);
        first = period - ((uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec) % period;
        when.it_value = (struct timespec){ (time_t)(first / NS), (long)(first % NS) };
        when.it_interval = (struct timespec){ (time_t)(period / NS), (long)(period % NS) };
    }
    timer_settime(t->timer, 0, &when, NULL);
}

/* The rate may change while we set it: whoever sets the timer last has seen the last rate. */
void sgx_trap_tick_arm(struct trap_thread *t)
{
    unsigned hz;

    __atomic_store_n(&t->tick_parked, false, __ATOMIC_SEQ_CST);
    do {
        hz = __atomic_load_n(&tick_hz, __ATOMIC_SEQ_CST);
        set_timer(t, hz);
    } while (hz != __atomic_load_n(&tick_hz, __ATOMIC_SEQ_CST));
}

void sgx_trap_tick_park(struct trap_thread *t)
{
    __atomic_store_n(&t->tick_parked, true, __ATOMIC_SEQ_CST);
    set_timer(t, 0);
}

/* Threads that are parked stay so: they see the new rate when they enter. */
static void update(struct trap_thread *t)
{
    if (!__atomic_load_n(&t->tick_parked, __ATOMIC_SEQ_CST))
        set_timer(t, __atomic_load_n(&tick_hz, __ATOMIC_SEQ_CST));
}

int softsgx_set_tick_hz(unsigned hz)
{
    if (hz > MAX_HZ)
        return -EINVAL;
    __atomic_store_n(&tick_hz, hz, __ATOMIC_SEQ_CST);
    sgx_trap_each_thread(update);
    return 0;
}
