/* SPDX-License-Identifier: Apache-2.0
 *
 * For programs that want to know when they are interrupted (docs/aex-api.md). C and C++; nothing to link.
 *
 * The same binary runs anywhere: natively every function says "not in an enclave" (-1 and errno ENOSYS; vigil_aex_armed
 * says 0). Inside a Vigil enclave they are calls of the library OS that never leave the enclave.
 *
 *     static void note(const struct vigil_aex_info *info, void *arg) { *(uint64_t *)arg += info->interruptions; }
 *     ...
 *     uint64_t count = 0;
 *     if (vigil_aex_register(note, &count) && errno != ENOSYS)
 *         perror("vigil_aex_register");
 *
 * Every function is weak, so that any number of translation units may include this header and a library may put its own
 * in their place. With VIGIL_AEX_NO_FUNCTIONS defined the header has types and constants only. */
#ifndef VIGIL_AEX_H
#define VIGIL_AEX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the system call behind it ----------------------------------------------------------------------------------- */
/* A number that Linux does not use and will not: its calls are numbered from 0, and bit 30 (x32) is clear. Linux
 * answers ENOSYS. RDI = operation, RSI RDX R10 = arguments. Result as of any system call: -errno on error. */
#define VIGIL_SYSCALL_AEX 0x00ae0001
#define VIGIL_AEX_OP_ARMED      0 /* -> 0 or 1 */
#define VIGIL_AEX_OP_COUNTERS   1 /* struct vigil_aex_counters * */
#define VIGIL_AEX_OP_REGISTER   2 /* handler, arg, restorer */
#define VIGIL_AEX_OP_UNREGISTER 3 /* handler, arg */
#define VIGIL_AEX_OP_LEAVE      4

/* ---- counters ---------------------------------------------------------------------------------------------------- */
/* A notification is an AEX that the enclave was told of: one that hit the program or the runtime's way back to it. */
struct vigil_aex_counts {
    uint64_t notifications;
    uint64_t exceptions;  /* among them: hardware exceptions, which the program's own instructions raise. A system call
                           * that traps is one. The others are interruptions */
    uint64_t coalesced;   /* among them: hit the runtime's way back to the program, which started again: no instruction
                           * of the program had been executed since the one before */
    uint64_t near_zero;   /* among them: no or next to no instruction had been executed, as far as the runtime knows */
    uint64_t delivered;   /* among them: given to the library OS, as exception, signal or call of a handler */
    uint64_t stub_runs;   /* returns to the program with the mitigation */
};

struct vigil_aex_counters {
    uint32_t size;        /* in: sizeof(struct vigil_aex_counters). Out: how much of it the enclave filled in */
    uint32_t handlers;    /* registered by this thread */
    struct vigil_aex_counts thread, process;  /* of this thread; of all threads, those that have ended included */
    uint64_t calls;       /* of this thread's handlers: batches, however many handlers there are */
    uint64_t missed;      /* no call, because there was no room on the stack; the next call reports them */
};
#define VIGIL_AEX_COUNTERS_SIZE_1 120 /* of the first version; later ones only append */

/* 0; or -1 and errno: ENOSYS not in an enclave, EINVAL out->size is too small, EFAULT. */
int vigil_aex_counters(struct vigil_aex_counters *out);

/* 1 if AEX-Notify is really on: the enclave asked the processor for its own attributes (EREPORT) at the start, nothing
 * the host says enters into it. 0 if it is off, or not in an enclave. */
int vigil_aex_armed(void);

/* ---- handlers ---------------------------------------------------------------------------------------------------- */
struct vigil_aex_info {
    uint32_t size;            /* of what the enclave filled in */
    uint32_t reserved;
    uint64_t rip;             /* of the program, where it was interrupted; never an address of the runtime */
    uint64_t interruptions;   /* of this thread since the last call, this one included */
    uint64_t coalesced;       /* among them, see above. Secret: see docs/aex-api.md before branching on it */
    uint64_t total;           /* interruptions of this thread since it started */
    uint64_t calls;           /* the number of this call, from 1 */
    void *context;            /* ucontext_t of the interrupted code, as a signal handler gets it */
};

typedef void (*vigil_aex_handler)(const struct vigil_aex_info *info, void *arg);

#define VIGIL_AEX_HANDLERS_MAX 8

/* From now on an interruption of THIS thread calls the handler before the thread goes on. Several handlers: newest
 * first, all for the same batch. A handler runs like a signal handler: on the thread's alternate signal stack if it has
 * one, else below the red zone of its stack; vector registers and all others are put back; signals wait, except those
 * of its own faults. Interruptions on the way into, in and out of handlers do not call them again: they are counted and
 * reported by the next call. So each interruption of the program costs at most one run of the handlers, and the program
 * goes on however often the handlers are interrupted. New threads have no handlers.
 * 0; or -1 and errno: ENOSYS not in an enclave, EOPNOTSUPP AEX-Notify is off, EEXIST registered already,
 * ENOSPC VIGIL_AEX_HANDLERS_MAX reached, EINVAL. */
int vigil_aex_register(vigil_aex_handler handler, void *arg);

/* May be called by a handler, for itself too. 0; or -1 and errno: ENOSYS, ENOENT this thread has no such handler. */
int vigil_aex_unregister(vigil_aex_handler handler, void *arg);

/* A handler may end by siglongjmp() to a sigsetjmp(env, 1): that unblocks the signals that were blocked for it, and so
 * tells the enclave. One that leaves otherwise (longjmp), or is called with all signals blocked already, says so with
 * this before it jumps. 0; or -1 and errno: ENOSYS, EINVAL no handler is running. */
int vigil_aex_leave(void);

#ifdef __cplusplus
}
#endif

/* ---- how it is done ---------------------------------------------------------------------------------------------- */
#ifndef VIGIL_AEX_NO_FUNCTIONS
#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a handler returns to: rt_sigreturn, in the form by which debuggers and unwinders know a signal frame (so there
 * must be no unwind information for it, nor for the byte before it). Link-time optimisation puts those of several units
 * into one file, hence the condition. */
__asm__(".ifndef vigil_aex_restorer\n"
        ".pushsection .text.vigil_aex_restorer, \"axG\", @progbits, vigil_aex_restorer, comdat\n"
        "    nop\n"
        ".weak vigil_aex_restorer\n"
        ".hidden vigil_aex_restorer\n"
        ".type vigil_aex_restorer, @function\n"
        "vigil_aex_restorer:\n"
        "    movq $15, %rax\n"
        "    syscall\n"
        ".size vigil_aex_restorer, . - vigil_aex_restorer\n"
        ".popsection\n"
        ".endif\n");
extern void vigil_aex_restorer(void) __attribute__((visibility("hidden")));

static inline int vigil_aex_call_(long op, uintptr_t a, uintptr_t b, uintptr_t c)
{
    register uintptr_t r10 __asm__("r10") = c;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)VIGIL_SYSCALL_AEX), "D"(op), "S"(a), "d"(b), "r"(r10)
                     : "rcx", "r11", "memory");
    if (result >= 0)
        return (int)result;
    /* EPERM is what system call filters of containers say to a number they do not know; the enclave never does. */
    errno = result == -EPERM ? ENOSYS : (int)-result;
    return -1;
}

__attribute__((weak)) int vigil_aex_counters(struct vigil_aex_counters *out)
{
    return vigil_aex_call_(VIGIL_AEX_OP_COUNTERS, (uintptr_t)out, 0, 0);
}

__attribute__((weak)) int vigil_aex_armed(void)
{
    int error = errno, result = vigil_aex_call_(VIGIL_AEX_OP_ARMED, 0, 0, 0);
    errno = error;
    return result == 1;
}

__attribute__((weak)) int vigil_aex_register(vigil_aex_handler handler, void *arg)
{
    return vigil_aex_call_(VIGIL_AEX_OP_REGISTER, (uintptr_t)handler, (uintptr_t)arg, (uintptr_t)vigil_aex_restorer);
}

__attribute__((weak)) int vigil_aex_unregister(vigil_aex_handler handler, void *arg)
{
    return vigil_aex_call_(VIGIL_AEX_OP_UNREGISTER, (uintptr_t)handler, (uintptr_t)arg, 0);
}

__attribute__((weak)) int vigil_aex_leave(void)
{
    return vigil_aex_call_(VIGIL_AEX_OP_LEAVE, 0, 0, 0);
}

#ifdef __cplusplus
}
#endif
#endif
#endif
