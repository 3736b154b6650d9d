/* SPDX-License-Identifier: Apache-2.0
 *
 * The ways a process ends: exit_codes WAY [NUMBER]. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static int number;

static void at_exit_second(void)
{
    printf("second registered, first run\n");
}

static void at_exit_first(void)
{
    printf("first registered, last run\n");
}

static void *sleeper(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *end_process(void *way)
{
    if (!strcmp(way, "thread-exit"))
        exit(number);
    if (!strcmp(way, "thread-_exit"))
        _exit(number);
    if (!strcmp(way, "thread-abort"))
        abort();
    syscall(SYS_exit_group, number);
    return NULL;
}

static void *return_later(void *unused)
{
    sleep_ms(50);
    printf("the last thread ends the process\n");
    return unused;
}

static void *spin(void *unused)
{
    for (;;)
        __asm__ volatile("pause");
    return unused;
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "return";
    number = argc > 2 ? atoi(argv[2]) : 0;
    printf("ends by %s %d\n", way, number);
    fflush(stdout);
    pthread_t thread;
    if (!strcmp(way, "return"))
        return number;
    if (!strcmp(way, "exit")) {
        atexit(at_exit_first);
        atexit(at_exit_second);
        exit(number);
    }
    if (!strcmp(way, "_exit")) {
        atexit(at_exit_first);
        printf("buffered and lost");
        _exit(number);
    }
    if (!strcmp(way, "abort"))
        abort();
    if (!strcmp(way, "raw-exit")) /* exit(2) of the only thread */
        syscall(SYS_exit, number);
    if (!strcmp(way, "exit_group"))
        syscall(SYS_exit_group, number);
    if (!strncmp(way, "thread-", 7)) { /* others sleep, wait and compute meanwhile */
        for (int i = 0; i < 3; i++)
            REQUIRE(pthread_create(&thread, NULL, sleeper, NULL) == 0);
        REQUIRE(pthread_create(&thread, NULL, end_process, (void *)way) == 0);
        pthread_join(thread, NULL);
    }
    if (!strcmp(way, "pthread_exit")) { /* main leaves first; status 0 when the last one returns */
        REQUIRE(pthread_create(&thread, NULL, return_later, NULL) == 0);
        pthread_exit(NULL);
    }
    if (!strcmp(way, "spinners")) { /* threads that never make a system call */
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&thread, NULL, spin, NULL) == 0);
        sleep_ms(20);
        exit(number);
    }
    fprintf(stderr, "exit_codes: no way called %s\n", way);
    return 98;
}
