/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the trap driver share: an enclave that really runs, and a runner that gives each case a process of
 * its own (a case may end by a signal, and a seccomp filter never goes away). */
#ifndef TRAP_FIXTURE_H
#define TRAP_FIXTURE_H

#include "enclave.h"
#include "softsgx/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define CHECK(condition, ...)                                                 \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);   \
            fprintf(stderr, "" __VA_ARGS__);                                  \
            fputc('\n', stderr);                                              \
            _Exit(1);                                                         \
        }                                                                     \
    } while (0)

struct trap_test { const char *name; void (*run)(void); };
/* Runs those named in argv, or all. The exit code of main. */
int trap_run(const struct trap_test *tests, unsigned count, int argc, char **argv);
/* Runs fn in a child; the signal that ends it, 0 if none does. Its messages are not shown. */
int trap_death(void (*fn)(void));

#define TRAP_BASE 0x10000000ull
#define TRAP_SIZE 0x100000ull

struct trap_fx { struct softsgx_enclave *enclave; uint64_t base; };

/* process_init, thread_init, and an enclave with XFRM as the machine has it. */
void trap_open(struct trap_fx *fx, uint64_t base, uint64_t attributes);
void trap_build(struct trap_fx *fx, uint64_t base, uint64_t size, uint64_t attributes);

struct trap_regs { uint64_t rdi, rsi, rdx, r8, r9, r10, r11, r12, r13, r14, r15, rcx, rbp; };
void trap_enter(struct trap_regs *regs, uint64_t tcs);
extern const uint8_t trap_site[], trap_after[]; /* the host's only ENCLU: EENTER, ERESUME and AEP; and behind it */

extern void *trap_self;                        /* with it: FS and GS stay the enclave's */
extern bool trap_fast;                         /* softsgx_fast_eenter first */
extern const uint8_t trap_fast_call[];

void trap_call(const struct trap_fx *fx, unsigned thread, unsigned fn, struct trap_regs *regs);
uint64_t trap_tcs(const struct trap_fx *fx, unsigned thread);
struct sgx_tcs *trap_tcs_page(const struct trap_fx *fx, unsigned thread);
struct sgx_gprsgx *trap_ssa(const struct trap_fx *fx, unsigned thread, unsigned frame);
uint64_t *trap_gs(const struct trap_fx *fx, unsigned thread, unsigned offset);
/* Where a label of enclave.S lies in the enclave. */
uint64_t trap_label(const struct trap_fx *fx, const uint8_t *label);

/* The loop with the widest vectors there are, and its exact result. */
unsigned trap_loop_fn(void);
void trap_check_loop(const struct trap_regs *regs, uint64_t iterations);
void trap_check_short(const struct trap_regs *regs, uint64_t iterations);

struct softsgx_stats trap_stats_now(void);
uint64_t trap_ns(void);
uint64_t trap_cpu_ns(void); /* of this thread: other work on the machine does not count */

/* The synthetic state after an AEX of this thread, as a handler sees it. */
void trap_check_synthetic(const struct trap_fx *fx, unsigned thread, const ucontext_t *uc);

#endif
