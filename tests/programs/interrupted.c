/* SPDX-License-Identifier: Apache-2.0
 *
 * Computes while it is interrupted: interrupted signals|handler|calls N.
 *   signals   until N signals of a timer have been handled; the handler does nothing
 *   handler   until its handler of interruptions (vigil/aex.h) has been called N times
 *   calls     N stretches of work with a system call behind each */
#include "check.h"
#include "vigil/aex.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#define STRETCH 4000000
#define MOST_STRETCHES 4000 /* some ten seconds: what waits for something gives up */

static volatile sig_atomic_t seen;

static void on_alarm(int sig)
{
    (void)sig;
    seen++;
}

static void on_interruption(const struct vigil_aex_info *info, void *arg)
{
    (void)info, (void)arg;
    seen++;
}

/* Returns early when there is nothing left to wait for. */
static void work(long wanted)
{
    static volatile uint64_t sink;
    uint64_t state = 1;

    for (long i = 0; i < STRETCH && (wanted < 0 || seen < wanted); i++)
        state = state * 6364136223846793005u + 1442695040888963407u;
    sink = state;
    (void)sink;
}

/* No system call in here but those of the handlers' returns. */
static void until_seen(long wanted)
{
    for (int i = 0; i < MOST_STRETCHES && seen < wanted; i++)
        work(wanted);
    CHECK(seen >= wanted);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 3);
    long n = strtol(argv[2], NULL, 0);

    if (!strcmp(argv[1], "signals")) {
        const struct itimerval every_millisecond = { { 0, 1000 }, { 0, 1000 } };
        struct sigaction action = { .sa_handler = on_alarm };
        REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
        REQUIRE(setitimer(ITIMER_REAL, &every_millisecond, NULL) == 0);
        until_seen(n);
    } else if (!strcmp(argv[1], "handler")) {
        REQUIRE(vigil_aex_register(on_interruption, NULL) == 0);
        until_seen(n);
        REQUIRE(vigil_aex_unregister(on_interruption, NULL) == 0);
    } else {
        REQUIRE(!strcmp(argv[1], "calls"));
        for (long i = 0; i < n; i++) {
            work(-1);
            CHECK(getpid() > 0);
        }
    }
    printf("%s: done\n", argv[1]);
    return checks_failed != 0;
}
