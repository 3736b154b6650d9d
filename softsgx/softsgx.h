/* SPDX-License-Identifier: Apache-2.0
 *
 * softsgx: an SGX processor in software, for any x86-64 Linux machine. It knows the SDM and nothing of Vigil.
 *
 * THIS PROTECTS NOTHING. The "EPC" is ordinary memory of this process. softsgx exists to run, test and study enclave
 * software where there is no SGX hardware; every REPORT it makes carries a software-only CPUSVN.
 *
 * Use: softsgx_process_init() once, softsgx_thread_init() in every thread that will execute ENCLU, then build an
 * enclave with softsgx_create / _add_pages / _init and execute real ENCLU bytes. All functions return 0, a negative
 * errno, or a positive SGX error code (enum sgx_error) unless they say otherwise. */
#ifndef SOFTSGX_H
#define SOFTSGX_H

#include "sgx/arch.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct softsgx_enclave;

/* ---- the processor ------------------------------------------------------------------------------------------- */

/* Installs the trap driver: SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP, SIGSYS and the tick signal. */
int softsgx_process_init(void);
/* Gives the calling thread its alternate signal stack. Must be called before the thread's first ENCLU. */
int softsgx_thread_init(void);
void softsgx_thread_exit(void);

/* Like sigaction(SA_SIGINFO|SA_ONSTACK|SA_RESTART, all signals blocked while it runs). When the signal interrupts an
 * enclave the AEX happens first: the handler sees the synthetic state (RIP=AEP ...) in its ucontext, which it may
 * change. Every signal an embedder handles must be installed through this function. handler NULL: default action. */
typedef void (*softsgx_handler)(int sig, siginfo_t *info, void *ucontext);
int softsgx_sigaction(int sig, softsgx_handler handler);

/* What this processor enumerates: leaf/subleaf of CPUID 7 and 0x12 with the SGX bits; false for other leaves. */
bool softsgx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4] /* eax ebx ecx edx */);
/* XCR0 of this machine, restricted to the features softsgx can keep in an SSA frame. */
uint64_t softsgx_xfrm(void);

/* ---- enclaves: what the Linux driver's ioctls offer ----------------------------------------------------------- */

/* ECREATE. Reserves [baseaddr, baseaddr+size) of the address space (from mmap_min_addr up if baseaddr is 0). */
int softsgx_create(const struct sgx_secs *secs, struct softsgx_enclave **out);
/* Enclaves are built again and again, and their heaps are most of what is measured. An embedder that remembers the answers (64
 * bytes and more of question, 32 of answer) spares the hash; what is wrong makes EINIT refuse the enclave. NULL: none. */
struct softsgx_memory {
    bool (*recall)(const void *question, size_t question_size, void *answer, size_t answer_size);
    void (*remember)(const void *question, size_t question_size, const void *answer, size_t answer_size);
};
void softsgx_set_memory(const struct softsgx_memory *memory);
/* EADD of length/4096 pages at offset, and EEXTEND of each if measure. src NULL adds zero pages. */
int softsgx_add_pages(struct softsgx_enclave *enclave, uint64_t offset, const void *src, uint64_t length,
                      const struct sgx_secinfo *secinfo, bool measure);
int softsgx_init(struct softsgx_enclave *enclave, const struct sgx_sigstruct *sigstruct);
/* mprotect of the enclave mapping: the "page table" permission. What the enclave may do is this AND the EPCM's. */
int softsgx_protect(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int prot);
/* A page that the host has paged out: away, accesses fault whatever page table and EPCM say; back, it is as it was.
 * Takes no lock: for step and breakpoint functions. */
int softsgx_page_out(struct softsgx_enclave *enclave, uint64_t address, bool away);
/* ---- dynamic memory (SGX2): the Linux driver's ioctls, with its structures (<asm/sgx.h>). They work on one page after
 * the other and say in ->count how many bytes are done and in ->result which SGX error code stopped them. -EINVAL: bad
 * arguments. -EFAULT: no such page, or ->result. -EPERM (remove): not trimmed, or the enclave has not accepted it.
 * Afterwards no thread is inside that entered before (ETRACK and an interrupt to each). Any number of threads may be
 * inside; not for signal handlers. ---- */
struct sgx_enclave_restrict_permissions;
struct sgx_enclave_modify_types;
struct sgx_enclave_remove_pages;
int softsgx_restrict_permissions(struct softsgx_enclave *enclave, struct sgx_enclave_restrict_permissions *untrusted);
int softsgx_modify_types(struct softsgx_enclave *enclave, struct sgx_enclave_modify_types *untrusted);
int softsgx_remove_pages(struct softsgx_enclave *enclave, struct sgx_enclave_remove_pages *untrusted);
/* EAUG of the pages in the range that are not there: what Linux does when its own code touches them. Otherwise pages are
 * added when the enclave first touches them. -ENOMEM: the EPC is full. */
int softsgx_augment(struct softsgx_enclave *enclave, uint64_t address, uint64_t length);
/* How much EPC this processor has, for all enclaves together (0: no limit). */
void softsgx_set_epc_limit(uint64_t bytes);
struct softsgx_epc {
    uint64_t valid, pending, trimmed; /* pages now */
    uint64_t added, removed;          /* by EAUG and EREMOVE */
};
void softsgx_get_epc(const struct softsgx_enclave *enclave, struct softsgx_epc *out);
void softsgx_destroy(struct softsgx_enclave *enclave);
/* A copy of the SECS as the processor has it now (MRENCLAVE, MRSIGNER, ATTRIBUTES after EINIT). */
void softsgx_secs(const struct softsgx_enclave *enclave, struct sgx_secs *out);
/* Debugger's EDBGRD/EDBGWR: read or write EPC contents of a DEBUG enclave; -EACCES if it is not one. */
int softsgx_debug_read(struct softsgx_enclave *enclave, uint64_t address, void *buf, uint64_t length);
int softsgx_debug_write(struct softsgx_enclave *enclave, uint64_t address, const void *buf, uint64_t length);

/* Makes ENCLU fast where that is possible (trap_fast.c): EEXIT and EDECCSSA without a trap, the others with a cheaper one.
 * After softsgx_init, before the first entry; not for enclaves whose every instruction matters (arithmetic flags do not
 * survive a fast leaf, and a debugger sees jumps in place of ENCLU). Measurement and image are not touched. Threads that
 * are in enclaves must not be cancelled, nor setuid() and the like be called, from then on. -ENOENT: no ENCLU is followed
 * by a two-byte NOP (66 90) or UD2. Any error leaves the enclave as it was: slower. */
int softsgx_accelerate(struct softsgx_enclave *enclave);
/* Not a C function. With RAX = 2, RBX = TCS, RCX = AEP, R11 = where EEXIT is to come back to (what RCX is after EENTER) and
 * R10 = 0, called in place of ENCLU with RSP a multiple of 16: enters the enclave, or returns with R10 and flags clobbered if
 * ENCLU has to be executed.
 * R10 = softsgx_fast_self(): the host has no need of FS and GS at R11. They may be the enclave's there, and at the next such
 * call, until softsgx_fast_bases(softsgx_fast_self()) or a signal makes them the host's again. */
void softsgx_fast_eenter(void);
void *softsgx_fast_self(void); /* of a registered thread; not one more after softsgx_thread_exit */
void softsgx_fast_bases(void *self); /* clobbers RAX and flags only */

/* ---- interrupts ----------------------------------------------------------------------------------------------- */

/* The platform's tick: every thread in enclave mode takes an interrupt AEX at this rate (0 = off). Process wide; may
 * be called before or after threads are registered. A thread outside the enclave takes no ticks to speak of. */
int softsgx_set_tick_hz(unsigned hz);

/* What stepping sees in front of each enclave instruction, and may do there. */
struct softsgx_boundary {
    struct softsgx_enclave *enclave;
    uint64_t tcs;      /* linear address */
    uint32_t cssa;
    uint64_t rip, rsp;
    uint64_t count;    /* boundaries seen before this one since stepping began in this thread */
    bool entered;      /* EENTER or ERESUME came before: no instruction has run since */
    ucontext_t *uc;    /* the enclave's registers; may be changed */
};
enum softsgx_action {
    SOFTSGX_GO = 0,    /* execute the instruction, stop again at the next */
    SOFTSGX_RUN,       /* stop stepping, run freely */
    SOFTSGX_AEX,       /* an interrupt AEX here; stepping goes on when enclave mode is entered again */
    SOFTSGX_AEX_RUN,   /* an interrupt AEX here, then run freely */
};
/* Runs on the trap stack with all signals blocked; host FS and GS; must be async-signal-safe. */
typedef enum softsgx_action (*softsgx_step_fn)(void *arg, const struct softsgx_boundary *boundary);
/* Steps the calling thread from its next enclave instruction on. Callable from a breakpoint callback or a handler
 * given to softsgx_sigaction. fn NULL: stop. */
void softsgx_step(softsgx_step_fn fn, void *arg);

/* Ready-made step functions' state: an AEX in front of instruction number n (0 = the next one), once. */
void softsgx_aex_after(uint64_t n);
/* An AEX in front of every instruction (the enclave makes progress only where it is not notified). */
void softsgx_aex_every(void);
/* An AEX after a pseudo-random number of instructions in [1, 2*mean), for ever, from this seed. */
void softsgx_aex_random(uint64_t seed, uint32_t mean);

/* A code breakpoint in enclave memory: address must hold a one-byte NOP (0x90). fn is called when it is reached; the
 * NOP is then "executed". Same rules for fn as for a step function. At most 64 at a time. fn NULL: remove it. May itself
 * be called from such a callback. */
typedef void (*softsgx_break_fn)(void *arg, const struct softsgx_boundary *boundary);
int softsgx_break(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn fn, void *arg);
/* The same at any instruction. fn is called each time in front of it (each iteration, if it repeats) and decides:
 *   SOFTSGX_GO       the instruction is executed, the breakpoint stays. Costs a single step more than the INT3 alone
 *   SOFTSGX_RUN      the breakpoint is removed first: the cheap way to get somewhere once
 *   SOFTSGX_AEX      an interrupt AEX in front of it; the breakpoint stays, and is reached again after a plain ERESUME
 *   SOFTSGX_AEX_RUN  the breakpoint is removed, then the AEX
 * fn may change RIP, and may call softsgx_step: stepping then begins behind this instruction. An instruction that faults
 * or is interrupted is reached again when it is restarted. While one thread executes it, others pass unseen. */
int softsgx_break_at(struct softsgx_enclave *enclave, uint64_t address, softsgx_step_fn fn, void *arg);

/* ---- counters (process wide, since softsgx_process_init) ------------------------------------------------------- */
struct softsgx_stats {
    uint64_t eenter, eresume, eresume_notify /* morphed */, eexit, edeccssa, aex, aex_interrupt, aex_exception;
    uint64_t ticks; /* interrupts that were the tick's */
};
void softsgx_get_stats(struct softsgx_stats *out);
/* Is the calling thread in enclave mode (meaningful only in handlers and step functions)? */
bool softsgx_in_enclave(void);

#ifdef __cplusplus
}
#endif
#endif
