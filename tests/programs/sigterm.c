/* SPDX-License-Identifier: Apache-2.0
 *
 * Says "ready", then waits for a signal from outside: sigterm pause|spin|read|threads. The handler's flag ends it. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
    got = sig;
}

static void *spin(void *unused)
{
    while (!got)
        __asm__ volatile("pause");
    return unused;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "pause";
    struct sigaction action = { .sa_handler = on_signal };
    sigset_t set, old;
    pthread_t threads[2];
    char c;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigprocmask(SIG_BLOCK, &set, &old);
    if (!strcmp(how, "threads"))
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&threads[i], NULL, spin, NULL) == 0);
    printf("ready\n");
    fflush(stdout);
    if (!strcmp(how, "pause")) {
        while (!got)
            sigsuspend(&old);
    } else {
        sigprocmask(SIG_SETMASK, &old, NULL);
        if (!strcmp(how, "read"))
            CHECK_ERRNO(read(0, &c, 1), EINTR);
        else
            spin(NULL);
    }
    if (!strcmp(how, "threads"))
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
    printf("got signal %d\n", (int)got);
    return checks_failed ? 99 : 7;
}
