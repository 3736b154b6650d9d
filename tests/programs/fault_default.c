/* SPDX-License-Identifier: Apache-2.0
 *
 * Dies of a fault or a signal that nothing handles: fault_default WAY [SIGNAL]. The exit status tells. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int *volatile nowhere; /* volatile, or the compiler knows better */

static void *fault_in_thread(void *unused)
{
    *nowhere = 1;
    return unused;
}

static void *sleeper(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void faulting_handler(int sig)
{
    (void)sig;
    *nowhere = 1; /* SIGSEGV is blocked in its own handler: this kills */
}

static int descend(int n)
{
    volatile char local[4096];
    local[0] = local[4095] = n;
    return n > 10000000 ? 0 : descend(n + 1) + local[0];
}

static void with_sigsegv(bool block, void (*handler)(int))
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    if (handler)
        signal(SIGSEGV, handler);
    if (block)
        sigprocmask(SIG_BLOCK, &set, NULL);
    *nowhere = 1;
}

static void touch_page(int prot, char how)
{
    volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = (char)0xc3;
    mprotect((void *)page, 4096, prot);
    if (how == 'x')
        ((void (*)(void))(uintptr_t)page)();
    else if (how == 'w')
        page[1] = 1;
    else
        printf("%d\n", page[1]);
}

static void die(const char *way, int sig)
{
    pthread_t thread;
    if (!strcmp(way, "null"))
        *nowhere = 1;
    else if (!strcmp(way, "write-read-only"))
        touch_page(PROT_READ, 'w');
    else if (!strcmp(way, "read-none"))
        touch_page(PROT_NONE, 'r');
    else if (!strcmp(way, "execute-data"))
        touch_page(PROT_READ | PROT_WRITE, 'x');
    else if (!strcmp(way, "non-canonical"))
        *(volatile char *)0x8000000000000000 = 1;
    else if (!strcmp(way, "divide"))
        __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n div %%ecx" : : : "rax", "rcx", "rdx", "cc");
    else if (!strcmp(way, "sse"))
        __asm__ volatile("push $0\n ldmxcsr (%%rsp)\n pop %%rax\n pxor %%xmm0, %%xmm0\n divsd %%xmm0, %%xmm0" : : : "rax", "xmm0");
    else if (!strcmp(way, "undefined"))
        __asm__ volatile("ud2");
    else if (!strcmp(way, "breakpoint"))
        __asm__ volatile("int3");
    else if (!strcmp(way, "halt"))
        __asm__ volatile("hlt");
    else if (!strcmp(way, "stack-overflow"))
        descend(0);
    else if (!strcmp(way, "blocked"))
        with_sigsegv(true, NULL);
    else if (!strcmp(way, "ignored"))
        with_sigsegv(false, SIG_IGN);
    else if (!strcmp(way, "in-handler"))
        with_sigsegv(false, faulting_handler);
    else if (!strcmp(way, "blocked-handler"))
        with_sigsegv(true, faulting_handler);
    else if (!strcmp(way, "raise"))
        raise(sig);
    else if (!strcmp(way, "kill"))
        kill(getpid(), sig);
    else if (!strcmp(way, "in-thread")) {
        REQUIRE(pthread_create(&thread, NULL, sleeper, NULL) == 0);
        REQUIRE(pthread_create(&thread, NULL, fault_in_thread, NULL) == 0);
        pthread_join(thread, NULL);
    } else if (!strcmp(way, "to-thread")) {
        REQUIRE(pthread_create(&thread, NULL, sleeper, NULL) == 0);
        pthread_kill(thread, sig);
        pthread_join(thread, NULL);
    } else {
        fprintf(stderr, "fault_default: no way called %s\n", way);
        _exit(98);
    }
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "null";
    int sig = argc > 2 ? atoi(argv[2]) : 0;
    printf("dies: %s %d\n", way, sig);
    fflush(stdout);
    die(way, sig);
    printf("still alive\n");
    return 0;
}
