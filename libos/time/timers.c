/* SPDX-License-Identifier: Apache-2.0
 *
 * Arming, expiring, and the one timer of the host. */
#include "libos/time/timers.h"

#include "libos/signal/signal.h"

#include <asm/siginfo.h>
#include <asm/unistd_64.h>
#include <linux/time.h>

#define OVERRUN_MAX 0x7fffffff
#define PROGRESS_NS 100000 /* the program's, from one expiration to the next: what is due earlier is an overrun */

lock_t timers_lock;
static struct timer *first;
static int last_id = -1;
static bool host_timer_exists;
static int32_t untrusted_host_timer;              /* only ever given back to the host */
static int64_t host_deadline = TIME_MAX;          /* CLOCK_MONOTONIC: when the host was asked to call */

void timer_link(struct timer *timer)
{
    timer->next = first;
    first = timer;
}

void timer_unlink(struct timer *timer)
{
    struct timer **p = &first;

    while (*p && *p != timer)
        p = &(*p)->next;
    if (*p)
        *p = timer->next;
}

struct timer *timer_find(int id)
{
    struct timer *t = first;

    while (t && t->id != id)
        t = t->next;
    return t;
}

int timer_next_id(void)
{
    do {
        last_id = last_id == OVERRUN_MAX ? 0 : last_id + 1;
    } while (timer_find(last_id));
    return last_id;
}

/* ---- the host's timer -------------------------------------------------------------------------------------------- */
static int ask_host_to_create(void)
{
    struct sigevent_image event = {.signo = HOST_TIMER_SIGNAL, .notify = SIGEV_SIGNAL};
    char *untrusted_event = bounce_alloc(sizeof(event)), *untrusted_id = bounce_alloc(sizeof(untrusted_host_timer));

    if (!untrusted_event || !untrusted_id)
        return -EAGAIN;
    untrusted_write(untrusted_event, &event, sizeof(event));
    if (ocall_syscall(__NR_timer_create, CLOCK_MONOTONIC, (long)untrusted_event, (long)untrusted_id, 0, 0, 0))
        return -EAGAIN;
    untrusted_read(&untrusted_host_timer, untrusted_id, sizeof(untrusted_host_timer));
    return 0;
}

int host_timer_create(void)
{
    if (signal_watch_timer())
        return -EAGAIN;
    if (host_timer_exists)
        return 0;
    size_t mark = bounce_mark();
    host_timer_exists = ask_host_to_create() == 0;
    bounce_release(mark);
    return host_timer_exists ? 0 : -EAGAIN;
}

static int ask_host_to_arm(int64_t deadline)
{
    struct itimerspec_image setting = {.value = ns_timespec(deadline)};
    size_t mark = bounce_mark();
    void *untrusted_setting = bounce_alloc(sizeof(setting));
    int error = -EAGAIN;

    if (untrusted_setting) {
        untrusted_write(untrusted_setting, &setting, sizeof(setting));
        if (!ocall_syscall(__NR_timer_settime, untrusted_host_timer, TIMER_ABSTIME, (long)untrusted_setting, 0, 0, 0))
            error = 0;
    }
    bounce_release(mark);
    return error;
}

/* The host calls at the earliest deadline or before: one that is no longer needed is left to come, and finds nothing
 * due. */
static int host_timer_arm(int64_t deadline)
{
    if (deadline >= host_deadline)
        return 0;
    int error = host_timer_create();
    if (!error)
        error = ask_host_to_arm(deadline);
    if (!error)
        host_deadline = deadline;
    return error;
}

struct now { int64_t monotonic, real; };

static struct now read_clocks(void)
{
    return (struct now){time_now(CLOCK_MONOTONIC), time_now(CLOCK_REALTIME)};
}

static int64_t base_now(const struct timer *t, const struct now *now)
{
    return t->base == CLOCK_REALTIME ? now->real : now->monotonic;
}

/* The timer's deadline on CLOCK_MONOTONIC, as far as is known now. */
static int64_t monotonic_deadline(const struct timer *t, const struct now *now)
{
    if (t->deadline == TIME_MAX || t->notify == SIGEV_NONE)
        return TIME_MAX;
    if (t->base != CLOCK_REALTIME)
        return t->deadline > 0 ? t->deadline : 1;
    int64_t left = t->deadline > now->real ? t->deadline - now->real : 1;
    return left < TIME_MAX - now->monotonic ? now->monotonic + left : TIME_MAX - 1;
}

static int arm_for_all(const struct now *now, int64_t soonest)
{
    int64_t earliest = TIME_MAX;

    for (const struct timer *t = first; t; t = t->next) {
        int64_t deadline = monotonic_deadline(t, now);
        if (deadline < earliest)
            earliest = deadline;
    }
    return host_timer_arm(earliest < soonest ? soonest : earliest);
}

/* ---- expiring ---------------------------------------------------------------------------------------------------- */
/* How many expirations have passed, the next one is set. */
static int64_t forward(struct timer *t, int64_t now)
{
    if (t->deadline > now)
        return 0;
    if (!t->interval) {
        t->deadline = TIME_MAX;
        return 1;
    }
    int64_t passed = (now - t->deadline) / t->interval + 1;
    if (__builtin_mul_overflow(passed, t->interval, &now) || __builtin_add_overflow(t->deadline, now, &t->deadline))
        t->deadline = TIME_MAX;
    return passed;
}

static void send_real(void)
{
    struct siginfo_image info;

    signal_init_image(&info, 14 /* SIGALRM */, SI_KERNEL);
    (void)signal_post_process(&info);
}

/* One signal waits at a time; expirations meanwhile are counted. */
static void expire(struct timer *t, int64_t passed)
{
    struct siginfo_image info;

    if (t->id == TIMER_ID_REAL) {
        send_real();
        return;
    }
    if (signal_holds_timer(t->id)) {
        t->overrun += passed;
        return;
    }
    t->overrun = passed - 1;
    signal_init_image(&info, t->signo, SI_TIMER);
    info.timer.id = t->id;
    info.timer.value = t->value;
    if (t->notify == SIGEV_THREAD_ID)
        (void)signal_post_tid(t->tid, &info);
    else
        (void)signal_post_process(&info);
}

void timers_run(void)
{
    lock(&timers_lock);
    struct now now = read_clocks();
    host_deadline = TIME_MAX;
    for (struct timer *t = first; t; t = t->next) {
        if (t->notify == SIGEV_NONE)
            continue;
        int64_t passed = forward(t, base_now(t, &now));
        if (passed)
            expire(t, passed);
    }
    (void)arm_for_all(&now, now.monotonic + PROGRESS_NS);
    unlock(&timers_lock);
}

void timer_signal_taken(struct siginfo_image *info)
{
    lock(&timers_lock);
    struct timer *t = timer_find(info->timer.id);
    if (t && t->id != TIMER_ID_REAL && t->signo == info->signo) {
        t->last_overrun = t->overrun < OVERRUN_MAX ? t->overrun : OVERRUN_MAX;
        t->overrun = 0;
        info->timer.overrun = (int32_t)t->last_overrun;
    }
    unlock(&timers_lock);
}

/* ---- setting and reading ----------------------------------------------------------------------------------------- */
int timer_set(struct timer *timer, int64_t value, int64_t interval, bool absolute)
{
    struct now now = read_clocks();

    timer->base = absolute && (timer->clock == CLOCK_REALTIME || timer->clock == CLOCK_TAI) ? CLOCK_REALTIME
                                                                                            : CLOCK_MONOTONIC;
    timer->interval = interval;
    timer->overrun = timer->last_overrun = 0;
    if (!value)
        timer->deadline = TIME_MAX;
    else if (absolute)
        timer->deadline = value;
    else
        timer->deadline = value < TIME_MAX - now.monotonic ? now.monotonic + value : TIME_MAX - 1;
    int error = arm_for_all(&now, 0);
    if (error)
        timer->deadline = TIME_MAX;
    return error;
}

/* Armed timers never show 0. */
int64_t timer_remaining(const struct timer *timer)
{
    struct now now = read_clocks();
    int64_t at = base_now(timer, &now);

    if (timer->deadline == TIME_MAX)
        return 0;
    if (timer->deadline > at)
        return timer->deadline - at;
    if (timer->interval)
        return timer->interval - (at - timer->deadline) % timer->interval;
    return timer->notify == SIGEV_NONE ? 0 : 1;
}
