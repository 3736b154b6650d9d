/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks as the C library reads them (which may be without a system call) against the system calls: they agree, they do
 * not go backwards for one thread after another, they all exist. */
#include "check.h"

#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define US 1000ll
#define MS 1000000ll

static const clockid_t ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI };

static int64_t call_ns(clockid_t clock)
{
    struct timespec now = { -1, -1 };
    CHECK_EQ(syscall(SYS_clock_gettime, clock, &now), 0);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* A reading by either way lies between two by the other one. */
static void agreement(void)
{
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        for (int k = 0; k < 400; k++) {
            int64_t a = now_ns(ids[i]), b = call_ns(ids[i]), c = now_ns(ids[i]), d = call_ns(ids[i]);
            if (!CHECK(a <= b && b <= c && c <= d))
                return;
            if (k % 50 == 0)
                sleep_ms(k % 100 ? 1 : 12);
        }
}

/* Coarse clocks are not ahead and at most some ticks behind. */
static void coarse(void)
{
    for (int k = 0; k < 200; k++) {
        int64_t a = now_ns(CLOCK_MONOTONIC_COARSE), b = now_ns(CLOCK_MONOTONIC), c = now_ns(CLOCK_REALTIME_COARSE),
                d = now_ns(CLOCK_REALTIME);
        CHECK(a <= b && c <= d);
        CHECK(b - a < 2000 * MS && d - c < 2000 * MS);
    }
}

static void other_calls(void)
{
    for (int k = 0; k < 2000; k++) {
        struct timeval day, raw;
        struct timezone zone = { 77, 77 };
        int64_t a = now_ns(CLOCK_REALTIME);
        CHECK_EQ(gettimeofday(&day, NULL), 0);
        int64_t b = now_ns(CLOCK_REALTIME);
        CHECK_EQ(syscall(SYS_gettimeofday, &raw, &zone), 0);
        int64_t us = day.tv_sec * 1000000ll + day.tv_usec, raw_us = raw.tv_sec * 1000000ll + raw.tv_usec;
        CHECK(day.tv_usec >= 0 && day.tv_usec < 1000000);
        CHECK(us >= a / 1000 && us <= b / 1000 && raw_us >= b / 1000);
        CHECK(zone.tz_minuteswest == 0 && zone.tz_dsttime == 0);
    }
    time_t stored = 0, seconds = time(&stored), called = (time_t)syscall(SYS_time, NULL);
    CHECK(seconds == stored && called - seconds >= 0 && called - seconds <= 1);
    CHECK_ERRNO(clock_gettime(9999, &(struct timespec){ 0 }), EINVAL);
    CHECK_ERRNO(clock_gettime(-1, &(struct timespec){ 0 }), EINVAL);
    for (clockid_t clock = 0; clock < 12; clock++) {
        struct timespec resolution, now;
        if (clock == 8 || clock == 9 || clock == 10) /* alarms need hardware; one is gone */
            continue;
        CHECK_EQ(clock_getres(clock, &resolution), 0);
        CHECK_EQ(clock_gettime(clock, &now), 0);
        CHECK(resolution.tv_sec == 0 && resolution.tv_nsec >= 1 && now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
    }
}

/* A second that ends while we look. */
static void seconds_end(void)
{
    struct timespec last, now;
    clock_gettime(CLOCK_MONOTONIC, &last);
    for (int64_t end = now_ns(CLOCK_MONOTONIC) + 1050 * MS; now_ns(CLOCK_MONOTONIC) < end; last = now) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!CHECK(now.tv_nsec >= 0 && now.tv_nsec < 1000000000))
            return;
        if (!CHECK(now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec)))
            return;
    }
}

static _Atomic int64_t shared;

/* What one thread has read is not after what another reads then. */
static void *reader(void *way)
{
    for (int i = 0; i < 20000; i++) {
        int64_t before = shared, now = way && i % 16 == 0 ? call_ns(CLOCK_MONOTONIC) : now_ns(CLOCK_MONOTONIC);
        if (!CHECK(now >= before))
            break;
        while (before < now && !atomic_compare_exchange_weak(&shared, &before, now))
            ;
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&thread[i], NULL, reader, i % 2 ? thread : NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
}

/* Sleeping and the clock go by the same time. */
static void sleeping(void)
{
    for (int i = 0; i < 8; i++) {
        int64_t before = now_ns(CLOCK_MONOTONIC), raw = now_ns(CLOCK_MONOTONIC_RAW), boot = now_ns(CLOCK_BOOTTIME);
        sleep_ms(20);
        CHECK(now_ns(CLOCK_MONOTONIC) - before >= 20 * MS);
        CHECK(now_ns(CLOCK_MONOTONIC_RAW) - raw >= 19 * MS);
        CHECK(now_ns(CLOCK_BOOTTIME) - boot >= 20 * MS - 100 * US);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 5 * MS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
        CHECK(now_ns(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000ll + until.tv_nsec);
    }
}

static void shared_object(void)
{
    const ElfW(Ehdr) *header = (const void *)getauxval(AT_SYSINFO_EHDR);
    REQUIRE(header != NULL);
    CHECK(!memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_type == ET_DYN && header->e_machine == EM_X86_64);
    char *line = NULL;
    size_t size = 0;
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != NULL);
    while (getline(&line, &size, maps) > 0) {
        unsigned long start, end;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 && strstr(line, "[vdso]")) {
            found++;
            CHECK(start <= (unsigned long)header && (unsigned long)header < end && !strcmp(rights, "r-xp"));
        }
    }
    CHECK_EQ(found, 1);
    fclose(maps);
    free(line);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "agreement", agreement }, { "coarse", coarse }, { "other calls", other_calls }, { "seconds", seconds_end },
        { "threads", threads }, { "sleeping", sleeping }, { "shared object", shared_object },
    };
    if (argc == 3 && !strcmp(argv[1], "--read")) { /* so often, for who counts what it takes */
        for (long i = atol(argv[2]); i > 0; i--)
            now_ns(CLOCK_MONOTONIC);
        return puts("read") < 0;
    }
    return RUN_SECTIONS(sections, argc, argv);
}
