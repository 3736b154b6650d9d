/* SPDX-License-Identifier: Apache-2.0
 *
 * A new thread starts with its creator's floating-point environment, and from then on has its own. */
#include "check.h"

#include <fenv.h>
#include <pthread.h>

static const int modes[4] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };
static const char *const names[4] = { "nearest", "down", "up", "zero" };

/* 1/3 and -1/3 in both units; the last bits tell the rounding mode. */
static uint64_t signature(void)
{
    volatile double one = 1, minus = -1, three = 3;
    volatile long double long_one = 1, long_three = 3;
    uint64_t hash = HASH_START;
    double a = one / three, b = minus / three;
    long double c = long_one / long_three;
    hash = hash_bytes(hash, &a, sizeof(a));
    hash = hash_bytes(hash, &b, sizeof(b));
    return hash_bytes(hash, &c, 10);
}

static uint64_t expected[4];

struct child { int inherited, own; pthread_barrier_t *barrier; };

static void *child(void *argument)
{
    struct child *c = argument;
    CHECK_EQ(fegetround(), modes[c->inherited]);
    CHECK_EQ(signature(), expected[c->inherited]);
    fesetround(modes[c->own]);
    pthread_barrier_wait(c->barrier);
    for (int i = 0; i < 20000; i++)
        if (signature() != expected[c->own]) {
            CHECK(!"the rounding mode stays the thread's own");
            break;
        }
    CHECK_EQ(fegetround(), modes[c->own]);
    return NULL;
}

int main(void)
{
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        expected[i] = signature();
        printf("round to %s: %016lx\n", names[i], expected[i]);
        for (int j = 0; j < i; j++)
            CHECK(expected[i] != expected[j]);
    }
    for (int mine = 0; mine < 4; mine++) {
        pthread_t threads[4];
        struct child children[4];
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 4);
        fesetround(modes[mine]);
        for (int i = 0; i < 4; i++) {
            children[i] = (struct child){ mine, i, &barrier };
            REQUIRE(pthread_create(&threads[i], NULL, child, &children[i]) == 0);
        }
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK_EQ(fegetround(), modes[mine]);
        CHECK_EQ(signature(), expected[mine]);
        printf("inherited round to %s: %s\n", names[mine], checks_failed ? "FAILED" : "ok");
    }
    fesetround(FE_TONEAREST);
    return checks_failed != 0;
}
