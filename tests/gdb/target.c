/* SPDX-License-Identifier: Apache-2.0
 *
 * A program to be debugged. An ordinary Linux program; tests/gdb/test_gdb.py knows its lines by their markers. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile long counter, watched;
static volatile sig_atomic_t handled;

__attribute__((noinline)) static long innermost(long n)
{
    counter += n; /* MARK innermost */
    return 2 * n;
}

__attribute__((noinline)) static long middle(long n)
{
    long result = innermost(n + 1);
    return result + 1; /* MARK after innermost */
}

__attribute__((noinline)) static long outer(long n)
{
    long result = middle(n * 10);
    return result + 1;
}

__attribute__((noinline)) static long many_lines(long n)
{
    long a = n;      /* MARK many begin */
    long b = a + 1;
    long c = b * 2;
    a += innermost(c);
    b ^= a;
    c += b;
    a -= c;
    b += innermost(a);
    c *= 3;
    a += b;
    b = a ^ c;
    c = middle(b) - c;
    a = a + b + c;
    return a;        /* MARK many end */
}

__attribute__((noinline)) static void loop(int n)
{
    for (int i = 0; i < n; i++)
        counter = counter + i; /* MARK loop body */
}

/* Long enough for some ticks. */
__attribute__((noinline)) static uint64_t compute(uint64_t rounds)
{
    uint64_t x = 88172645463325252u;
    for (uint64_t i = 0; i < rounds; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/* `syscall` in the program itself, to be stepped over. */
__attribute__((noinline)) static long raw_system_calls(void)
{
    long sum = 0, result;

    for (int i = 0; i < 3; i++) {
        __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getpid) : "rcx", "r11", "memory");
        sum += result > 0; /* MARK after syscall */
    }
    return sum;
}

/* A system call through the gate of Vigil's, if there is one (AT_SYSINFO; RCX is behind a `syscall`). */
__attribute__((noinline)) static long gate_system_call(void)
{
    unsigned long gate = getauxval(AT_SYSINFO);
    long result = SYS_getpid;

    if (!gate)
        return syscall(SYS_getpid) > 0;
    __asm__ volatile("leaq 1f(%%rip), %%rcx\n\tjmpq *%1\n\tsyscall\n1:" /* MARK gate */
                     : "+a"(result) : "r"(gate) : "rcx", "r11", "memory");
    result = result > 0; /* MARK after gate */
    return result;
}

/* RFLAGS.TF as PUSHF shows it. */
__attribute__((noinline)) static long trap_flag(void)
{
    long flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return flags & 0x100;
}

/* The runtime has a function of this name too. */
__attribute__((noinline)) void *kmalloc(size_t size)
{
    counter += (long)size; /* MARK kmalloc */
    return NULL;
}

static void handler(int sig)
{
    handled = sig; /* MARK handler */
}

static void *thread_main(void *arg)
{
    long n = (long)arg;
    return (void *)(n * n); /* MARK thread */
}

static int with_threads(void)
{
    pthread_t threads[3];
    long sum = 0;

    for (long i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, thread_main, (void *)(i + 2)))
            return 1;
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    printf("threads: %ld\n", sum);
    return 0;
}

static void own_trap(int sig)
{
    handled = sig;
}

static int print_environment(void)
{
    for (char **e = environ; *e; e++)
        puts(*e);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";

    signal(SIGUSR1, handler);
    signal(SIGTRAP, own_trap);
    if (!strcmp(what, "crash"))
        return *(volatile int *)(uintptr_t)(argc - 2); /* MARK crash */
    if (!strcmp(what, "environment"))
        return print_environment();
    if (!strcmp(what, "illegal"))
        __builtin_trap();
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "int3")) {
        __asm__ volatile("int3");
        printf("own trap: %d\n", handled);
        return handled;
    }
    if (!strcmp(what, "sleep")) {
        printf("sleeping\n");
        fflush(stdout);
        for (int left = 1; left;)
            left = (int)sleep(30);
        return 0;
    }
    if (!strcmp(what, "wait"))
        getchar();
    printf("outer: %ld\n", outer(4)); /* MARK call outer */
    printf("compute: %lx\n", compute(50000000)); /* MARK compute */
    printf("many: %ld\n", many_lines(7));
    printf("system calls: %ld\n", raw_system_calls());
    printf("gate: %ld\n", gate_system_call());
    printf("TF: %ld\n", trap_flag());
    kmalloc(1);
    loop(1000);
    watched = counter;
    raise(SIGUSR1);  /* MARK raise */
    printf("handled: %d\n", handled); /* MARK handled */
    if (with_threads())
        return 1;
    printf("counter: %ld\n", counter); /* MARK last */
    return 23;
}
