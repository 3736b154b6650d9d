/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks of a host that lies, sleeping, and timers that the host drives and does not decide. */
#define _GNU_SOURCE
#include "libos_sig.h"

#include <asm/siginfo.h>
#include <errno.h>
#include <linux/time.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS 1000000ll
#define SEC 1000000000ll

/* ---- a scripted host --------------------------------------------------------------------------------------------- */
static struct {
    int64_t now;                 /* what every clock says */
    int64_t raw_sec, raw_nsec;   /* unless these are set */
    bool raw;
    long result;
    int64_t armed;               /* what timer_settime was last told */
    int arms, creations;
    long create_result;
} host;

static long scripted(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a0, (void)a3, (void)a4, (void)a5;
    switch (nr) {
    case __NR_clock_gettime:
    case __NR_clock_getres: {
        struct timespec_image raw = {host.raw_sec, host.raw_nsec}, t = host.raw ? raw : ns_timespec(host.now);
        memcpy((void *)a1, &t, sizeof(t));
        return host.result;
    }
    case __NR_timer_create:
        host.creations++;
        *(int32_t *)a2 = 5;
        return host.create_result;
    case __NR_timer_settime: {
        struct timespec_image setting[2];
        assert_int_equal(a0, 5);
        memcpy(setting, (void *)a2, sizeof(setting));
        host.armed = timespec_ns(&setting[1]);
        host.arms++;
        return 0;
    }
    default:
        return -ENOSYS;
    }
}

static int host_setup(void **state)
{
    sig_setup(state);
    memset(&host, 0, sizeof(host));
    host.now = 1000 * SEC + (int64_t)getpid() * SEC;
    static int64_t floor;        /* the clocks' memory outlives a test */
    host.now = floor = (floor > host.now ? floor : host.now) + 100000 * SEC;
    fake_host = scripted;
    return 0;
}

static void read_clock(void *clock)
{
    (void)time_now(*(int *)clock);
}

static void times_that_are_none(void **state)
{
    static const struct { int64_t sec, nsec; long result; } bad[] = {
        {-1, 0, 0}, {0, -1, 0}, {0, 1000000000, 0}, {INT64_MAX, 0, 0}, {1ll << 34, 5, 0}, {1, 1, -EINVAL},
        {1, 1, 4096}};
    int clock = CLOCK_MONOTONIC;

    (void)state;
    host.raw = true;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        host.raw_sec = bad[i].sec;
        host.raw_nsec = bad[i].nsec;
        host.result = bad[i].result;
        assert_int_equal(fake_catch_exit(read_clock, &clock), -2);
    }
}

static void monotonic_clocks_do_not_go_back(void **state)
{
    static const int never_back[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
                                     CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    int64_t start = host.now;

    (void)state;
    for (size_t i = 0; i < sizeof(never_back) / sizeof(never_back[0]); i++) {
        host.now = start;
        assert_int_equal(time_now(never_back[i]), start);
        host.now = start - SEC;
        assert_int_equal(time_now(never_back[i]), start);
        host.now = start + 1;
        assert_int_equal(time_now(never_back[i]), start + 1);
    }
    host.now = start;
    assert_int_equal(time_now(CLOCK_REALTIME), start);
    host.now = start - SEC; /* may be set back */
    assert_int_equal(time_now(CLOCK_REALTIME), start - SEC);
}

/* ---- timers ------------------------------------------------------------------------------------------------------ */
static struct { struct timespec_image interval, value; } setting;

static long set_timer(int id, int flags, int64_t value, int64_t interval)
{
    setting.interval = ns_timespec(interval);
    setting.value = ns_timespec(value);
    copy_to_user((void *)user, &setting, sizeof(setting));
    return sys_timer_settime(id, flags, (long)user, 0, 0, 0);
}

static int64_t timer_left(int id)
{
    assert_int_equal(sys_timer_gettime(id, (long)user, 0, 0, 0, 0), 0);
    copy_from_user(&setting, (void *)user, sizeof(setting));
    return timespec_ns(&setting.value);
}

static long create_timer(int clock, int notify, int signo, uint64_t value, int tid)
{
    struct sigevent_ { uint64_t value; int32_t signo, notify, tid, pad[11]; } event = {value, signo, notify, tid, {0}};
    int32_t id = -1;

    copy_to_user((void *)user, &event, sizeof(event));
    long result = sys_timer_create(clock, (long)user, (long)user + 128, 0, 0, 0);
    copy_from_user(&id, (void *)(user + 128), sizeof(id));
    return result ? result : id;
}

static struct siginfo_image take(int want)
{
    struct siginfo_image info;
    struct action action;

    memset(&info, 0, sizeof(info));
    (void)signals_pending();
    assert_int_equal(signal_take(~0ull, &info, &action), want);
    return info;
}

static void host_calls_at(int64_t now)
{
    host.now = now;
    fake_raise(0, HOST_TIMER_SIGNAL);
}

static void timers_expire_by_the_clock_only(void **state)
{
    int64_t start = host.now;

    (void)state;
    signal_set_mask(~0ull);
    long id = create_timer(CLOCK_MONOTONIC, 0, 40, 0xabcdef, 0);
    assert_true(id >= 0);
    assert_int_equal(set_timer((int)id, 0, 10 * MS, 3 * MS), 0);
    assert_int_equal(host.armed, start + 10 * MS);
    assert_int_equal(timer_left((int)id), 10 * MS);
    host_calls_at(start + 9 * MS); /* too early: nothing, and it is asked again */
    take(0);
    assert_int_equal(host.armed, start + 10 * MS);
    host_calls_at(start + 10 * MS);
    struct siginfo_image info = take(40);
    assert_int_equal(info.code, SI_TIMER);
    assert_int_equal(info.timer.id, id);
    assert_int_equal(info.timer.value, 0xabcdef);
    assert_int_equal(info.timer.overrun, 0);
    assert_int_equal(host.armed, start + 13 * MS);
    /* Three were missed before the host called, one more while the signal waited. */
    host_calls_at(start + 22 * MS);
    (void)signals_pending();
    host_calls_at(start + 25 * MS);
    info = take(40);
    assert_int_equal(info.timer.overrun, 4);
    assert_int_equal(sys_timer_getoverrun(id, 0, 0, 0, 0, 0), 4);
    take(0);
    assert_int_equal(set_timer((int)id, 0, 0, 0), 0);
    host_calls_at(start + 100 * MS);
    take(0);
    assert_int_equal(timer_left((int)id), 0);
    assert_int_equal(set_timer((int)id, TIMER_ABSTIME, start + 200 * MS, 0), 0);
    assert_int_equal(timer_left((int)id), 100 * MS);
    host_calls_at(start + 200 * MS);
    take(40);
    assert_int_equal(sys_timer_delete(id, 0, 0, 0, 0, 0), 0);
    assert_int_equal(sys_timer_delete(id, 0, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(set_timer((int)id, 0, 1, 0), -EINVAL);
    assert_int_equal(sys_timer_gettime(id, (long)user, 0, 0, 0, 0), -EINVAL);
}

static void one_host_timer_for_all(void **state)
{
    int64_t start = host.now;

    (void)state;
    signal_set_mask(~0ull);
    int creations = host.creations;
    long a = create_timer(CLOCK_MONOTONIC, 0, 40, 1, 0);
    long b = create_timer(CLOCK_REALTIME, 4, 41, 2, (int)current_thread()->tid);
    long c = create_timer(CLOCK_BOOTTIME, 1, 0, 0, 0); /* SIGEV_NONE */
    assert_true(host.creations <= creations + 1);
    set_timer((int)a, 0, 50 * MS, 0);
    set_timer((int)b, TIMER_ABSTIME, start + 20 * MS, 0);
    set_timer((int)c, 0, 5 * MS, 0);
    assert_int_equal(host.armed, start + 20 * MS);
    host_calls_at(start + 30 * MS);
    assert_int_equal(take(41).timer.value, 2);
    assert_int_equal(host.armed, start + 50 * MS);
    assert_int_equal(timer_left((int)c), 0);
    host_calls_at(start + 50 * MS);
    assert_int_equal(take(40).timer.value, 1);
    sys_timer_delete(a, 0, 0, 0, 0, 0);
    sys_timer_delete(b, 0, 0, 0, 0, 0);
    sys_timer_delete(c, 0, 0, 0, 0, 0);
    assert_int_equal(create_timer(CLOCK_MONOTONIC, 0, 65, 0, 0), -EINVAL);
    assert_int_equal(create_timer(CLOCK_MONOTONIC, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(create_timer(CLOCK_MONOTONIC, 9, 40, 0, 0), -EINVAL);
    assert_int_equal(create_timer(CLOCK_MONOTONIC, 4, 40, 0, 999999), -EINVAL);
    assert_int_equal(create_timer(CLOCK_MONOTONIC_RAW, 0, 40, 0, 0), -EOPNOTSUPP);
    assert_int_equal(create_timer(99, 0, 40, 0, 0), -EINVAL);
}

struct itimerval_ { struct timeval_image interval, value; };

static struct itimerval_ real_timer(int64_t usec, int64_t interval)
{
    struct itimerval_ new = {{interval / 1000000, interval % 1000000}, {usec / 1000000, usec % 1000000}}, old;

    copy_to_user((void *)user, &new, sizeof(new));
    assert_int_equal(sys_setitimer(ITIMER_REAL, (long)user, (long)user + 64, 0, 0, 0), 0);
    copy_from_user(&old, (void *)(user + 64), sizeof(old));
    return old;
}

static void alarm_and_itimer_real(void **state)
{
    int64_t start = host.now;

    (void)state;
    signal_set_mask(~0ull);
    assert_int_equal(sys_alarm(10, 0, 0, 0, 0, 0), 0);
    host.now = start + 100 * MS;
    assert_int_equal(sys_alarm(3, 0, 0, 0, 0, 0), 10); /* 9.9 */
    host.now += 2900 * MS;
    struct itimerval_ old = real_timer(250000, 100000);
    assert_int_equal(old.value.sec, 0);
    assert_int_equal(old.value.usec, 100000);
    host_calls_at(host.now + 250 * MS);
    struct siginfo_image info = take(14);
    assert_int_equal(info.code, SI_KERNEL);
    host_calls_at(host.now + 1000 * MS);
    take(14); /* once, however many were due */
    take(0);
    old = real_timer(0, 0);
    assert_int_equal(old.interval.usec, 100000);
    assert_int_equal(old.value.usec, 100000);
    host_calls_at(host.now + SEC);
    take(0); /* a late call for a timer that is off is no SIGALRM */
    assert_int_equal(sys_getitimer(ITIMER_REAL, (long)user, 0, 0, 0, 0), 0);
    assert_int_equal(((struct itimerval_ *)user)->value.usec, 0);
    ((struct itimerval_ *)user)->value.usec = 1000000;
    assert_int_equal(sys_setitimer(ITIMER_REAL, (long)user, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_setitimer(3, 0, 0, 0, 0, 0), -EINVAL);
}

/* ---- sleeping, on the real host ---------------------------------------------------------------------------------- */
static void put_time(int64_t ns)
{
    struct timespec_image t = ns_timespec(ns);
    copy_to_user((void *)user, &t, sizeof(t));
}

static void sleeps_last(void **state)
{
    int64_t before = time_now(CLOCK_MONOTONIC);

    (void)state;
    put_time(30 * MS);
    assert_int_equal(sys_nanosleep((long)user, 0, 0, 0, 0, 0), 0);
    assert_true(time_now(CLOCK_MONOTONIC) - before >= 30 * MS);
    put_time(time_now(CLOCK_REALTIME) + 20 * MS);
    before = time_now(CLOCK_REALTIME);
    assert_int_equal(sys_clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, (long)user, 0, 0, 0), 0);
    assert_true(time_now(CLOCK_REALTIME) - before >= 19 * MS);
    put_time(5); /* long ago */
    assert_int_equal(sys_clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, (long)user, 0, 0, 0), 0);
    assert_int_equal(sys_nanosleep(8, 0, 0, 0, 0, 0), -EFAULT);
    assert_int_equal(sys_nanosleep(0, 0, 0, 0, 0, 0), -EFAULT);
    struct timespec_image bad = {0, SEC};
    copy_to_user((void *)user, &bad, sizeof(bad));
    assert_int_equal(sys_nanosleep((long)user, 0, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(sys_clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, (long)user, 0, 0, 0), -EOPNOTSUPP);
    assert_int_equal(sys_clock_nanosleep(99, 0, (long)user, 0, 0, 0), -EINVAL);
}

/* Cut short: EINTR and the rest with a handler; without one the rest, not all of it, through restart_syscall. */
static void sleeps_are_cut_short_and_continued(void **state)
{
    struct checkpoint *regs = current_regs();
    struct timespec_image left;

    (void)state;
    sig_action(10, SIG_HANDLER, SIG_SA_RESTART, 0);
    put_time(100 * SEC);
    fake_raise(0, 10);
    sig_call(__NR_nanosleep, user, user + 32, 0, 0, 0, 0);
    assert_int_equal(regs->rip, SIG_HANDLER);
    struct sigframe_image frame;
    sig_frame_at(regs->rsp, &frame);
    assert_int_equal((long)frame.uc.mcontext.rax, -EINTR);
    copy_from_user(&left, (void *)(user + 32), sizeof(left));
    assert_in_range(timespec_ns(&left), 90 * SEC, 100 * SEC);
    assert_int_equal(current_thread()->restart_deadline, 0);
    /* Nobody handles it after all: the call goes on until its first deadline. */
    int64_t now = time_now(CLOCK_MONOTONIC);
    *regs = (struct checkpoint){.rip = 0x1002, .rsp = user + 8 * VIGIL_PAGE, .rdi = user, .rflags = 0x202};
    regs->rax = (uint64_t)-ERESTART_RESTARTBLOCK;
    current_thread()->syscall_nr = __NR_nanosleep;
    current_thread()->restart_deadline = now + 30 * MS;
    libos_return(regs, true);
    assert_int_equal(regs->rip, 0x1000);
    assert_int_equal(regs->rax, __NR_restart_syscall);
    regs->rip += 2;
    libos_syscall(regs);
    libos_return(regs, true);
    assert_int_equal(regs->rax, 0);
    assert_int_equal(current_thread()->restart_deadline, 0);
    int64_t slept = time_now(CLOCK_MONOTONIC) - now;
    assert_in_range(slept, 30 * MS, 20 * SEC);
}

static void calls_answer_like_the_kernel(void **state)
{
    (void)state;
    for (int clock = -6; clock < 16; clock++) { /* -6 and -2: CPU time of this process and thread by number */
        if (clock < 0 && (clock & 3) != 2)
            continue;
        struct timespec_image ours, theirs;
        long a = sys_clock_getres(clock, (long)user, 0, 0, 0, 0);
        long b = syscall(SYS_clock_getres, clock, &theirs) ? -errno : 0;
        if (a != b)
            fail_msg("clock %d: %ld here, %ld from the kernel", clock, a, b);
        copy_from_user(&ours, (void *)user, sizeof(ours));
        if (!a)
            assert_memory_equal(&ours, &theirs, sizeof(ours));
        if (!a)
            assert_int_equal(sys_clock_gettime(clock, (long)user, 0, 0, 0, 0), 0);
    }
    assert_int_equal(sys_clock_gettime(0, 8, 0, 0, 0, 0), -EFAULT);
    assert_int_equal(sys_clock_settime(0, (long)user, 0, 0, 0, 0), -EPERM);
    int64_t now = time_now(CLOCK_REALTIME) / SEC;
    assert_in_range(sys_time(0, 0, 0, 0, 0, 0), now, now + 2);
    assert_int_equal(sys_gettimeofday((long)user, (long)user + 16, 0, 0, 0, 0), 0);
    assert_in_range(((struct timeval_image *)user)->sec, now, now + 2);
}

int main(void)
{
#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, sig_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, sig_setup, sig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sleeps_last), TEST(sleeps_are_cut_short_and_continued), TEST(calls_answer_like_the_kernel),
        HOST_TEST(times_that_are_none), HOST_TEST(monotonic_clocks_do_not_go_back),
        HOST_TEST(timers_expire_by_the_clock_only), HOST_TEST(one_host_timer_for_all), HOST_TEST(alarm_and_itimer_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
