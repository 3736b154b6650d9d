/* SPDX-License-Identifier: Apache-2.0
 *
 * What the test programs share. A program is a list of sections; each prints one line whose text depends on nothing but
 * right or wrong, so the output of a native run and of a run in an enclave can be compared byte for byte. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_int checks_failed;

static inline bool check_that(bool ok, const char *what, const char *file, int line)
{
    int error = errno;
    if (!ok) {
        checks_failed++;
        printf("  %s:%d: not true: %s (errno %d)\n", file, line, what, error);
        fflush(stdout);
    }
    errno = error;
    return ok;
}

static inline void check_same(long long got, long long want, const char *what, const char *file, int line)
{
    int error = errno;
    if (got != want) {
        checks_failed++;
        printf("  %s:%d: %s is %lld (0x%llx), not %lld (0x%llx) (errno %d)\n", file, line, what, got, got, want, want,
               error);
        fflush(stdout);
    }
    errno = error;
}

#define CHECK(condition)     check_that(!!(condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(got, want)  check_same((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
/* The call fails, and for this reason. */
#define CHECK_ERRNO(call, reason) \
    do { \
        errno = 0; \
        CHECK_EQ((call), -1); \
        CHECK_EQ(errno, reason); \
    } while (0)

/* For set-up without which nothing below makes sense. */
#define REQUIRE(condition) \
    do { \
        if (!CHECK(condition)) \
            exit(99); \
    } while (0)

struct section { const char *name; void (*run)(void); };

/* Runs the sections in order, or only those named on the command line after `--only`. */
static inline int run_sections(const struct section *sections, size_t count, int argc, char **argv)
{
    int first = argc;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--only"))
            first = i + 1;
    for (size_t i = 0; i < count; i++) {
        bool wanted = first == argc;
        for (int j = first; j < argc; j++)
            wanted |= !strcmp(argv[j], sections[i].name);
        if (!wanted)
            continue;
        int before = checks_failed;
        sections[i].run();
        printf("%s: %s\n", sections[i].name, checks_failed == before ? "ok" : "FAILED");
        fflush(stdout);
    }
    return checks_failed != 0;
}
#define RUN_SECTIONS(sections, argc, argv) run_sections(sections, sizeof(sections) / sizeof((sections)[0]), argc, argv)

static inline uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 24;
}

static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    return hash;
}
#define HASH_START 0xcbf29ce484222325ull

static inline int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline void sleep_ms(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

/* Waits for a condition that another thread or a signal brings about; gives up after ten seconds. */
#define WAIT_UNTIL(condition) \
    do { \
        int64_t deadline_ = now_ns(CLOCK_MONOTONIC) + 10000000000ll; \
        while (!(condition) && now_ns(CLOCK_MONOTONIC) < deadline_) \
            sleep_ms(1); \
        CHECK(condition); \
    } while (0)

#endif
