/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks computed from a time stamp counter, in a world in which both the counter and the host's clock are scripted: how
 * far they are from the host's, that they do not go backwards, and what becomes of them if either lies. The program's
 * vDSO runs here too. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include "libos/time/tsc.h"
#include "libos/vdso/map.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define US 1000ll
#define MS 1000000ll
#define SEC 1000000000ll
#define MONOTONIC_BASE (5000 * SEC)
#define REALTIME_BASE (1700000000 * SEC)

/* ---- the world ----------------------------------------------------------------------------------------------------- */
static struct {
    int64_t now;                 /* ns since it began */
    double hz;                   /* of the counter */
    uint64_t counter_base;
    double ppm;                  /* the host's clock is faster by this much */
    int64_t jump;                /* and has been set forward by this */
    int64_t latency;             /* of an OCALL, ns, and how much of it comes before the clock is read: */
    int64_t early;
    int asked;                   /* OCALLs for the time */
    int64_t raw_sec;             /* if not 0: what the host answers */
} world;

static uint64_t world_counter(void)
{
    world.now += 5;
    return world.counter_base + (uint64_t)((double)world.now * world.hz / 1e9);
}

static int64_t world_clock(int clock)
{
    int64_t base = clock == CLOCK_REALTIME || clock == CLOCK_TAI ? REALTIME_BASE : MONOTONIC_BASE;

    return base + world.now + (int64_t)((double)world.now * world.ppm / 1e6) + world.jump;
}

static long world_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a2, (void)a3, (void)a4, (void)a5;
    if (nr != __NR_clock_gettime)
        return -ENOSYS;
    world.asked++;
    world.now += world.early;
    struct timespec_image t = ns_timespec(world_clock((int)a0));
    if (world.raw_sec)
        t.sec = world.raw_sec;
    world.now += world.latency - world.early;
    memcpy((void *)a1, &t, sizeof(t));
    return 0;
}

static int world_setup(void **state)
{
    sig_setup(state);
    vdso_init();
    memset(&world, 0, sizeof(world));
    world.hz = 2.6e9;
    world.counter_base = 1ull << 50;
    world.latency = 2 * US;
    world.early = 1 * US;
    world.now = SEC;
    fake_host = world_host;
    fake_tsc = world_counter;
    return 0;
}

static int world_teardown(void **state)
{
    fake_tsc = NULL;
    return sig_teardown(state);
}

/* Reads until no OCALL is needed. */
static void learn(int clock)
{
    for (int i = 0; i < 2000; i++) {
        int asked = world.asked;
        (void)time_now(clock);
        if (world.asked == asked)
            return;
        world.now += 10 * US;
    }
    fail_msg("clock %d is still read by OCALLs after 20 ms", clock);
}

/* Reads every `step` ns for `total`: the largest error and whether it went back. */
static int64_t follow(int clock, int64_t step, int64_t total)
{
    int64_t worst = 0, last = 0;

    for (int64_t end = world.now + total; world.now < end; world.now += step) {
        int64_t got = time_now(clock), error = got - world_clock(clock);
        error = error < 0 ? -error : error;
        worst = error > worst ? error : worst;
        if (got < last)
            fail_msg("clock %d went back by %lld ns", clock, (long long)(last - got));
        last = got;
    }
    return worst;
}

/* ---- a host that tells the truth ----------------------------------------------------------------------------------- */
static void error_is_bounded(void **state)
{
    static const double rates[] = {0.12e9, 1e9, 2.6e9, 9.5e9}, drifts[] = {-400, 0, 37, 400};

    (void)state;
    for (size_t r = 0; r < 4; r++)
        for (size_t d = 0; d < 4; d++) {
            world_setup(state);
            world.hz = rates[r];
            world.ppm = drifts[d];
            world.early = d % 2 ? 100 : 1900;
            assert_true(follow(CLOCK_MONOTONIC, 300, 50 * MS) < TSC_ERROR_MAX);
            int asked = world.asked;
            assert_true(follow(CLOCK_MONOTONIC, 20 * US, 5 * SEC) < TSC_ERROR_MAX);
            assert_in_range(world.asked - asked, 45, 60); /* one every 100 ms */
            assert_true(follow(CLOCK_REALTIME, 20 * US, SEC) < TSC_ERROR_MAX);
            world_teardown(state);
        }
    world_setup(state);
}

/* The host's clock is adjusted while it runs. */
static void drift_is_followed(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    for (int i = 0; i < 20; i++) {
        double before = (double)world.now * world.ppm / 1e6;
        world.ppm = i % 2 ? 40 : -40;
        world.jump += (int64_t)(before - (double)world.now * world.ppm / 1e6);
        assert_true(follow(CLOCK_MONOTONIC, 100 * US, 2 * SEC) < TSC_ERROR_MAX);
    }
}

/* A small error is worked off and not jumped over. */
static void small_steps_are_slewed(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    for (int direction = -1; direction < 2; direction += 2) {
        world.jump += direction * 500 * US;
        int64_t last = time_now(CLOCK_MONOTONIC), from = world.now, hurried = 0;
        while (world.now < from + 400 * MS) {
            int64_t at = world.now, got = time_now(CLOCK_MONOTONIC), passed = world.now - at + 10 * US;
            hurried += got - last > passed + passed / 8 + 50; /* between a period's end and the answer nobody looks */
            if (got < last || got - last > 2 * passed || hurried > 5)
                fail_msg("%lld ns became %lld (direction %d)", (long long)passed, (long long)(got - last), direction);
            last = got;
            world.now += 10 * US;
        }
        int64_t left = last - world_clock(CLOCK_MONOTONIC);
        assert_in_range(left + TSC_ERROR_MAX, 0, 2 * TSC_ERROR_MAX);
    }
}

static void long_pauses(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    int64_t last = time_now(CLOCK_MONOTONIC);
    for (int64_t pause = 50 * MS; pause < 100000 * SEC; pause *= 3) {
        world.now += pause;
        int64_t got = time_now(CLOCK_MONOTONIC), error = got - world_clock(CLOCK_MONOTONIC);
        assert_true(got > last);
        assert_in_range(error + TSC_ERROR_MAX, 0, 2 * TSC_ERROR_MAX);
        last = got;
    }
}

static void slow_answers_are_no_harm(void **state)
{
    uint64_t seed = 1;

    (void)state;
    learn(CLOCK_MONOTONIC);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    for (int i = 0; i < 200; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        world.latency = i % 3 ? 5 * MS : 3 * US; /* the thread was not running */
        world.early = (int64_t)((seed >> 33) % (uint64_t)world.latency);
        assert_true(follow(CLOCK_MONOTONIC, 500 * US, 50 * MS) < 3 * TSC_ERROR_MAX);
    }
}

/* ---- one that does not --------------------------------------------------------------------------------------------- */
static void monotonic_waits_for_a_host_that_went_back(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    int64_t last = time_now(CLOCK_MONOTONIC);
    world.jump = -2 * SEC;
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    int64_t got = time_now(CLOCK_MONOTONIC);
    assert_in_range(got - last, 0, 150 * MS); /* what was computed before the host was asked again */
    follow(CLOCK_MONOTONIC, MS, 3 * SEC);
    learn(CLOCK_MONOTONIC);
    assert_true(time_now(CLOCK_MONOTONIC) >= got);
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, 2 * SEC) < TSC_ERROR_MAX + MS); /* begins at most a step ahead */
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, SEC) < TSC_ERROR_MAX);
}

static void real_time_is_set(void **state)
{
    (void)state;
    for (int direction = -1; direction < 2; direction += 2) {
        learn(CLOCK_REALTIME);
        world.jump += direction * 3600 * SEC;
        world.now += 150 * MS;
        for (int i = 0; i < 100; i++) {
            int64_t error = time_now(CLOCK_REALTIME) - world_clock(CLOCK_REALTIME);
            assert_in_range(error + TSC_ERROR_MAX, 0, 2 * TSC_ERROR_MAX);
            world.now += MS;
        }
    }
}

static void jumps_forward_are_taken(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    world.jump = 500 * SEC;
    world.now += 150 * MS;
    int64_t error = time_now(CLOCK_MONOTONIC) - world_clock(CLOCK_MONOTONIC);
    assert_in_range(error + TSC_ERROR_MAX, 0, 2 * TSC_ERROR_MAX);
    learn(CLOCK_MONOTONIC);
}

static void absurd_rates_are_not_used(void **state)
{
    static const double rates[] = {50e6, 20e9, 1, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        vdso_init();
        world.hz = rates[i];
        for (int k = 0; k < 1000; k++) {
            int asked = world.asked;
            int64_t error = time_now(CLOCK_MONOTONIC) - world_clock(CLOCK_MONOTONIC);
            assert_int_equal(world.asked, asked + 1);
            assert_in_range(error + 20 * US, 0, 40 * US);
            world.now += 100 * US;
        }
    }
}

static void counters_that_change(void **state)
{
    (void)state;
    learn(CLOCK_MONOTONIC);
    follow(CLOCK_MONOTONIC, 10 * US, 300 * MS);
    int64_t last = time_now(CLOCK_MONOTONIC);
    world.counter_base -= 1ull << 40;    /* backwards */
    assert_true(time_now(CLOCK_MONOTONIC) >= last);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    learn(CLOCK_MONOTONIC);
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, SEC) < TSC_ERROR_MAX);
    last = time_now(CLOCK_MONOTONIC);
    world.counter_base += 1ull << 62;    /* a very long pause, or another counter */
    assert_true(time_now(CLOCK_MONOTONIC) >= last);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    learn(CLOCK_MONOTONIC);
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, SEC) < TSC_ERROR_MAX);
    world.counter_base = 0;              /* another machine */
    world.hz = 1.5e9;
    last = time_now(CLOCK_MONOTONIC);
    follow(CLOCK_MONOTONIC, 100 * US, SEC);
    learn(CLOCK_MONOTONIC);
    assert_true(time_now(CLOCK_MONOTONIC) >= last);
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, SEC) < TSC_ERROR_MAX);
}

static void read_clock(void *clock)
{
    (void)time_now(*(int *)clock);
}

static void times_that_are_none_end_it(void **state)
{
    int clock = CLOCK_MONOTONIC;

    (void)state;
    learn(clock);
    world.now += SEC;
    world.raw_sec = -1;
    assert_int_equal(fake_catch_exit(read_clock, &clock), -2);
    vdso_init(); /* a process that ended holds a lock */
}

static void without_a_counter_the_host_is_asked(void **state)
{
    (void)state;
    fake_tsc = NULL;
    for (int i = 1; i <= 1000; i++) {
        world.now += 100 * US;
        int64_t got = time_now(CLOCK_MONOTONIC);
        assert_int_equal(got, world_clock(CLOCK_MONOTONIC) - (world.latency - world.early));
        assert_int_equal(world.asked, i);
    }
}

/* ---- the page ------------------------------------------------------------------------------------------------------ */
/* The real counter and host: threads and the copy for the program agree. */
static void *read_many(void *unused)
{
    int64_t last = 0;

    for (int i = 0; i < 200000; i++) {
        int64_t got;
        assert_int_equal(tsc_read_clock(CLOCK_MONOTONIC, &got), 0);
        assert_true(got >= last);
        last = got;
    }
    return unused;
}

static uint64_t real_counter(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void threads_agree(void **state)
{
    pthread_t threads[3];

    (void)state;
    fake_host = NULL;
    fake_tsc = real_counter;
    uint64_t before = tsc_host_answers();
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(tsc_host_answers() - before, 2, 60000); /* of 600,000 */
}

static void the_page_has_what_the_libos_computes(void **state)
{
    (void)state;
    uint64_t image = vdso_map();
    assert_true(image && page_aligned(image));
    const struct clock_page *page = (const void *)(image - VIGIL_PAGE);
    const struct clock_params *p = &page->clock[CLOCK_MONOTONIC];
    assert_int_equal(p->limit, 0);
    learn(CLOCK_MONOTONIC);
    for (int i = 0; i < 100; i++) {
        int64_t ns = time_now(CLOCK_MONOTONIC), base = p->sec * SEC + p->nsec;
        assert_int_equal(p->seq & 1, 0);
        assert_true(p->limit && p->nsec < SEC);
        uint64_t at = (uint64_t)((double)world.now * world.hz / 1e9) + world.counter_base;
        assert_true(at - p->tsc <= p->limit + 2000);
        assert_int_equal(base + (int64_t)clock_scale(at - p->tsc, p->mult), ns);
        world.now += 7 * MS;
    }
    world.jump = 5 * SEC;
    world.now += SEC;
    (void)time_now(CLOCK_MONOTONIC);
    assert_int_equal(p->limit, 0); /* learning anew */
    /* The program's scribbles are its own. */
    learn(CLOCK_MONOTONIC);
    memset((void *)(image - VIGIL_PAGE), 0xff, VIGIL_PAGE);
    assert_true(follow(CLOCK_MONOTONIC, 100 * US, SEC) < TSC_ERROR_MAX);
    /* execve: another image, the same page. */
    assert_int_equal(mm_unmap(image, VIGIL_PAGE), 0);
    assert_int_equal(vdso_map(), image);
    assert_int_equal(vdso_address(), image);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(error_is_bounded), TEST(drift_is_followed), TEST(small_steps_are_slewed), TEST(long_pauses),
        TEST(slow_answers_are_no_harm), TEST(monotonic_waits_for_a_host_that_went_back), TEST(real_time_is_set),
        TEST(jumps_forward_are_taken), TEST(absurd_rates_are_not_used), TEST(counters_that_change),
        TEST(times_that_are_none_end_it), TEST(without_a_counter_the_host_is_asked), TEST(threads_agree),
        TEST(the_page_has_what_the_libos_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
