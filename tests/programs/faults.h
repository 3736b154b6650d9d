/* SPDX-License-Identifier: Apache-2.0
 *
 * Causing one hardware fault at a known instruction and looking at what the handler got. */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include "check.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

struct caught {
    volatile int signals;      /* how many so far */
    int sig, code, trapno;
    uint64_t error, address, rip;
};
static struct caught caught;
static volatile uint64_t continue_at __attribute__((used));

/* Runs one instruction that faults; the handler goes on behind it. fault_ip is where the instruction was. */
#define FAULT_AT(instruction, ...) \
    __asm__ volatile("lea 2f(%%rip), %%rax\n" \
                     "mov %%rax, continue_at(%%rip)\n" \
                     "lea 1f(%%rip), %%rax\n" \
                     "mov %%rax, fault_ip(%%rip)\n" \
                     "1: " instruction "\n" \
                     "2:\n" \
                     : : __VA_ARGS__ : "rax", "rcx", "rdx", "memory", "cc")
static volatile uint64_t fault_ip __attribute__((used));

static void skip_instruction(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    caught = (struct caught){ .signals = caught.signals + 1, .sig = sig, .code = info->si_code,
                              .trapno = uc->uc_mcontext.gregs[REG_TRAPNO], .error = uc->uc_mcontext.gregs[REG_ERR],
                              .address = (uint64_t)info->si_addr, .rip = uc->uc_mcontext.gregs[REG_RIP] };
    if (info->si_code <= 0 || !continue_at) /* not a fault, or not one of ours: never loop */
        _exit(97);
    uc->uc_mcontext.gregs[REG_RIP] = continue_at;
    continue_at = 0;
}

static inline void install_fault_handler(void (*handler)(int, siginfo_t *, void *), int flags)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        REQUIRE(sigaction(signals[i], &action, NULL) == 0);
}

/* SI_KERNEL faults carry no address. */
#define CHECK_FAULT(number, si, trap, at) \
    do { \
        CHECK_EQ(caught.sig, number); \
        CHECK_EQ(caught.code, si); \
        CHECK_EQ(caught.trapno, trap); \
        CHECK_EQ(caught.address, at); \
        CHECK_EQ(caught.rip, fault_ip); \
        caught.sig = 0; \
    } while (0)

#endif
