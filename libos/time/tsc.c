/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks computed from the time stamp counter, at a rate learnt from the host's answers. An answer h proves only that the
 * host's clock was at h some time between asking and hearing, so a clock is corrected by what contradicts an answer, and
 * not by more. It is asked again when somebody wants to know the time and what is known is too old.
 *
 *   learning   every reading asks the host, until two answers are far enough apart for their distance to give a rate that
 *              keeps the error small for PERIOD_MIN at least
 *   running    readings are computed; an error is worked off during the next period by a slightly different rate, so the
 *              clock neither jumps nor goes backwards. A host whose answers are far away from the computed time (it was
 *              asleep, it has been set, it lies), a counter that goes backwards or a rate that no processor has: learning.
 *
 * Neither host nor counter is trusted. What holds whatever they do: clocks other than those that may be set do not go
 * backwards for one thread after another, as long as the counter does not. */
#include "libos/time/tsc.h"

#include <asm/unistd_64.h>
#include <linux/time.h>

#define NS_PER_MS 1000000ll
#define PERIOD_MAX (100 * NS_PER_MS)
#define PERIOD_MIN (NS_PER_MS / 4)
#define DRIFT_MAX (TSC_ERROR_MAX * 4 / 10)           /* ns that a period may add because the rate is not exact */
#define ANSWER_GOOD 20000ll                          /* ns between asking and hearing: no need to ask again */
#define ANSWER_TRIES 3
#define STEP NS_PER_MS                               /* a host that is farther away is not worth following slowly */
#define ANCHOR_AGE (8 * NS_PER_SEC)                  /* distances shorter than this and at most twice it give the rate */
#define IDLE_MAX (1ll << 56)                         /* two years: a counter that is farther away is another one */
#define SLEW_MAX 16                                  /* a clock is made faster or slower by at most a 16th */
#define MULT_MIN ((1ull << CLOCK_SHIFT) / 10)        /* 10 GHz */
#define MULT_MAX ((1ull << CLOCK_SHIFT) * 10)        /* 100 MHz */

/* The host's clock was at ns when the counter was within `error` of tsc. */
struct sample {
    uint64_t tsc, error;
    int64_t ns;
};

struct track {
    struct clock_params params;  /* readers need no lock */
    lock_t lock;                 /* for all of what follows */
    bool running;
    uint64_t rate;               /* as params.mult, without what corrects an error */
    int64_t latest;              /* clocks that do not go back: at least this has been given */
    struct sample old, young;    /* the rate is that between old and now */
    bool anchored;
};

static struct track tracks[CLOCK_SLOTS];
static struct clock_page *page;
static enum { COUNTER_UNKNOWN, COUNTER_WORKS, COUNTER_FAILS } counter_state;
static uint64_t answers;

int tsc_clock(int clock)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return CLOCK_REALTIME;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
        return CLOCK_MONOTONIC;
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return clock;
    default:
        return -1;
    }
}

static bool may_be_set(const struct track *t)
{
    return t == &tracks[CLOCK_REALTIME] || t == &tracks[CLOCK_TAI];
}

bool tsc_usable(void)
{
    uint64_t now;

    if (!__atomic_load_n(&counter_state, __ATOMIC_RELAXED))
        __atomic_store_n(&counter_state, tsc_read(&now) ? COUNTER_WORKS : COUNTER_FAILS, __ATOMIC_RELAXED);
    return __atomic_load_n(&counter_state, __ATOMIC_RELAXED) == COUNTER_WORKS;
}

uint64_t tsc_host_answers(void)
{
    return __atomic_load_n(&answers, __ATOMIC_RELAXED);
}

/* Nobody executes RDTSC but tsc_usable() before it is known to work; that it fails later is the host's doing. */
static uint64_t counter(void)
{
    uint64_t now;

    if (!tsc_read(&now))
        runtime_fail("the time stamp counter can no longer be read: the host has changed CR4.TSD or the processor");
    return now;
}

/* ---- parameters: the LibOS's and the program's copy ------------------------------------------------------------------ */
static struct clock_params *copy_of(const struct track *t)
{
    struct clock_page *p = __atomic_load_n(&page, __ATOMIC_ACQUIRE);

    return p ? &p->clock[t - tracks] : NULL;
}

static void close_params(struct clock_params *p, uint32_t seq)
{
    __atomic_store_n(&p->seq, seq, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void open_params(struct clock_params *p, const struct clock_params *new)
{
    __atomic_store_n(&p->tsc, new->tsc, __ATOMIC_RELAXED);
    __atomic_store_n(&p->limit, new->limit, __ATOMIC_RELAXED);
    __atomic_store_n(&p->mult, new->mult, __ATOMIC_RELAXED);
    __atomic_store_n(&p->sec, new->sec, __ATOMIC_RELAXED);
    __atomic_store_n(&p->nsec, new->nsec, __ATOMIC_RELAXED);
    __atomic_store_n(&p->seq, new->seq, __ATOMIC_RELEASE);
}

/* The program's are the first to close and the last to open: what it computes is never behind what a system call says. */
static void params_close(struct track *t)
{
    struct clock_params *copy = copy_of(t);

    if (copy)
        close_params(copy, t->params.seq + 1);
    close_params(&t->params, t->params.seq + 1);
}

static void params_open(struct track *t, struct clock_params new)
{
    struct clock_params *copy = copy_of(t);

    new.seq = t->params.seq + 1;
    open_params(&t->params, &new);
    if (copy)
        open_params(copy, &new);
}

static int64_t base_ns(const struct clock_params *p)
{
    return p->sec * NS_PER_SEC + p->nsec;
}

/* False: not known without the lock. */
static bool compute(const struct track *t, int64_t *ns)
{
    const struct clock_params *p = &t->params;
    uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_ACQUIRE);
    uint64_t base = __atomic_load_n(&p->tsc, __ATOMIC_RELAXED), limit = __atomic_load_n(&p->limit, __ATOMIC_RELAXED);
    uint64_t mult = __atomic_load_n(&p->mult, __ATOMIC_RELAXED);
    int64_t at = __atomic_load_n(&p->sec, __ATOMIC_RELAXED) * NS_PER_SEC + __atomic_load_n(&p->nsec, __ATOMIC_RELAXED);

    if (!limit || seq & 1)
        return false;
    uint64_t cycles = counter() - base;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&p->seq, __ATOMIC_RELAXED) != seq || cycles > limit)
        return false;
    *ns = at + (int64_t)clock_scale(cycles, mult);
    return true;
}

/* ---- asking the host ----------------------------------------------------------------------------------------------- */
static int ask_once(int clock, struct sample *sample)
{
    uint64_t before = counter();
    int error = host_clock(__NR_clock_gettime, clock, &sample->ns);
    uint64_t after = counter();

    __atomic_add_fetch(&answers, 1, __ATOMIC_RELAXED);
    if (after < before) /* it went backwards: an answer that proves nothing */
        after = before;
    sample->error = (after - before) / 2;
    sample->tsc = before + sample->error;
    return error;
}

/* The best of some answers: a thread that was interrupted while it asked knows little. rate 0: it is not known. */
static int ask(int clock, uint64_t rate, struct sample *best)
{
    int error = ask_once(clock, best);

    for (int i = 1; !error && rate && i < ANSWER_TRIES && (int64_t)clock_scale(best->error, rate) > ANSWER_GOOD / 2; i++) {
        struct sample another;
        error = ask_once(clock, &another);
        if (!error && another.error < best->error)
            *best = another;
    }
    return error;
}

/* ---- the rate ------------------------------------------------------------------------------------------------------ */
/* 0: these two give none that a processor has. */
static uint64_t rate_between(const struct sample *from, const struct sample *to)
{
    if (to->tsc <= from->tsc || to->ns <= from->ns)
        return 0;
    uint64_t cycles = to->tsc - from->tsc, ns = (uint64_t)(to->ns - from->ns);
    while (ns >> 31) {
        ns >>= 1;
        cycles >>= 1;
    }
    uint64_t rate = cycles ? (ns << CLOCK_SHIFT) / cycles : 0;
    return rate < MULT_MIN || rate > MULT_MAX ? 0 : rate;
}

/* For how many ns a rate between these two keeps what it adds to the error small. */
static int64_t period(const struct sample *from, const struct sample *to, uint64_t rate)
{
    uint64_t error = clock_scale(from->error + to->error, rate) + 1, distance = (uint64_t)(to->ns - from->ns);
    uint64_t ns = distance < (1ull << 40) ? distance * (DRIFT_MAX / 64) / error * 64 : PERIOD_MAX;

    if (ns > 4 * distance)
        ns = 4 * distance;
    return ns < PERIOD_MAX ? (int64_t)ns : PERIOD_MAX;
}

/* Below 2^32 ns, at a rate that has been checked. */
static uint64_t cycles_in(int64_t ns, uint64_t rate)
{
    return ((uint64_t)ns << 31) / (rate >> 1);
}

static void anchor_renew(struct track *t, const struct sample *now)
{
    if (now->ns - t->young.ns < ANCHOR_AGE)
        return;
    t->old = t->young;
    t->young = *now;
}

/* ---- learning ------------------------------------------------------------------------------------------------------ */
/* From here on the clock is computed: ns at tsc, and in the `length` ns that this holds the error is worked off. */
static void run(struct track *t, uint64_t tsc, int64_t ns, int64_t length, int64_t error)
{
    int64_t most = length / SLEW_MAX;

    error = error > most ? most : error < -most ? -most : error;
    int64_t slew = (int64_t)t->rate * error / length;
    t->running = true;
    params_open(t, (struct clock_params){.tsc = tsc, .limit = cycles_in(length, t->rate), .mult = t->rate + (uint64_t)slew,
                                         .sec = ns / NS_PER_SEC, .nsec = ns % NS_PER_SEC});
}

static void anchor(struct track *t, const struct sample *sample)
{
    t->old = t->young = *sample;
    t->anchored = true;
}

/* What is given for an answer that is not used to compute anything. */
static int64_t plain(struct track *t, const struct sample *s)
{
    if (may_be_set(t))
        return s->ns;
    if (t->latest < s->ns)
        t->latest = s->ns;
    return t->latest;
}

static int64_t learn(struct track *t, const struct sample *s)
{
    int64_t given = plain(t, s), distance = s->ns - t->old.ns;

    if (!t->anchored || s->tsc <= t->old.tsc || distance < 0 || distance > ANCHOR_AGE) {
        anchor(t, s);
        return given;
    }
    if (distance < PERIOD_MIN || given - s->ns > STEP) /* a clock that waits for the host is not computed */
        return given;
    uint64_t rate = rate_between(&t->old, s);
    int64_t length = rate ? period(&t->old, s, rate) : 0;
    if (length < 2 * PERIOD_MIN) {
        if (!rate || s->error < t->old.error / 4)
            anchor(t, s);
        return given;
    }
    t->rate = rate;
    t->young = *s;
    params_close(t);
    uint64_t now = counter();
    given += (int64_t)clock_scale(now > s->tsc ? now - s->tsc : 0, rate);
    run(t, now, given, length, 0);
    return given;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */
/* How far the answer contradicts the computed time. */
static int64_t contradiction(int64_t difference, int64_t allowed)
{
    if (difference > allowed)
        return difference - allowed;
    return difference < -allowed ? difference + allowed : 0;
}

struct estimate {
    int64_t given;               /* at most this has been given out */
    int64_t ns;
    int64_t idle;                /* of it, ns that nobody could compute */
};

static struct estimate estimate_at(const struct track *t, uint64_t tsc)
{
    const struct clock_params *p = &t->params;
    uint64_t cycles = tsc > p->tsc ? tsc - p->tsc : 0, known = cycles < p->limit ? cycles : p->limit;
    struct estimate e = {.given = base_ns(p) + (int64_t)clock_scale(known, p->mult)};

    e.idle = cycles - known < IDLE_MAX / 16 ? (int64_t)clock_scale(cycles - known, t->rate) : IDLE_MAX;
    e.ns = e.given + e.idle;
    return e;
}

/* The answer is no answer of this clock: start anew. Readers are out already. */
static int64_t stop(struct track *t, const struct sample *s, int64_t given)
{
    t->running = t->anchored = false;
    if (t->latest < given)
        t->latest = given;
    params_open(t, (struct clock_params){.limit = 0});
    return learn(t, s);
}

static int64_t synchronise(struct track *t, const struct sample *s)
{
    params_close(t);
    uint64_t now = counter(), rate = rate_between(&t->old, s);
    struct estimate then = estimate_at(t, s->tsc), e = estimate_at(t, now);
    int64_t allowed = (int64_t)clock_scale(s->error, t->rate), error = contradiction(s->ns - then.ns, allowed);
    int64_t far = STEP + then.idle / 512;
    bool backwards = s->tsc < t->params.tsc || now < s->tsc;

    if (backwards) /* all of what could be computed may have been */
        e.given = base_ns(&t->params) + (int64_t)clock_scale(t->params.limit, t->params.mult);
    if (backwards || error > far || error < -far || !rate || e.idle == IDLE_MAX)
        return stop(t, s, e.given);
    int64_t length = period(&t->old, s, rate), given = e.ns;
    if (length >= PERIOD_MIN) {
        t->rate = rate;
        anchor_renew(t, s);
    } else { /* an answer that took long is no better than what is known */
        length = PERIOD_MIN;
    }
    /* While nobody saw the time, it may have gone at any speed. */
    given += error < e.idle ? error : e.idle;
    if (given < e.given)
        given = e.given;
    error -= given - e.ns;
    run(t, now, given, length, error);
    return given;
}

int tsc_read_clock(int clock, int64_t *ns)
{
    struct track *t = &tracks[clock];
    struct sample sample;

    if (compute(t, ns))
        return 0;
    lock(&t->lock);
    int error = 0;
    if (!compute(t, ns)) { /* nobody else was faster */
        error = ask(clock, t->running ? t->rate : 0, &sample);
        if (!error)
            *ns = t->running ? synchronise(t, &sample) : learn(t, &sample);
    }
    unlock(&t->lock);
    return error;
}

void tsc_publish(struct clock_page *program_page)
{
    __atomic_store_n(&page, program_page, __ATOMIC_RELEASE);
}

void tsc_init(void)
{
    memset(tracks, 0, sizeof(tracks));
    page = NULL;
    counter_state = COUNTER_UNKNOWN;
    answers = 0;
}
