/* SPDX-License-Identifier: Apache-2.0
 *
 * The line between the untrusted host runtime (host/) and the enclave (enclave/): entries, exits and shared memory.
 *
 * Entry (EENTER, CSSA=0): RDI is the result of the OCALL the thread is in, or, for a thread's first entry, the address
 * of its struct vigil_shared. Entry at CSSA=1 (from the AEP): stage 1; EDI is the signal number the host says a fault
 * caused, or 0. Everything in a register at entry is untrusted.
 *
 * Exit (EEXIT): RDI = enum vigil_ocall, RSI.. = its arguments in the order RSI RDX R8 R9 R10 R11 R12; every other
 * register except RSP and RBP (the host's own, given at entry) is cleared, vector registers included. */
#ifndef VIGIL_ABI_H
#define VIGIL_ABI_H

#define VIGIL_OCALL_SYSCALL 0       /* nr, a0..a5: a Linux system call on untrusted memory -> its result */
#define VIGIL_OCALL_THREAD_CREATE 1 /* slot: start a host thread that enters TCS number slot -> 0, -errno */
#define VIGIL_OCALL_THREAD_EXIT 2   /* this thread never comes back; slot may be entered anew */
#define VIGIL_OCALL_KICK 3          /* slot: make that thread leave what it waits for (bit 0 of its mailbox) */
#define VIGIL_OCALL_EXIT 4          /* status: the process ends (wait status: low 7 bits signal, else code << 8) */
#define VIGIL_OCALL_LOG 5           /* address, length of a finished line in untrusted memory */
#define VIGIL_OCALL_PROTECT 6       /* address, length, prot: page-table permission of enclave memory -> 0, -errno */
#define VIGIL_OCALL_SYSCALL_INTR 7  /* like SYSCALL, but -EINTR at once when the mailbox is not empty */
#define VIGIL_OCALL_WATCH 8         /* signal, how: host's disposition (0 default, 1 forward to the mailbox, 2 ignore) */
#define VIGIL_OCALL_FAIL 9          /* reason code: the runtime stops itself (never returns) */
#define VIGIL_OCALL_MEMORY 10       /* operation, argument, struct vigil_range[], count: dynamic memory -> 0, -errno */
#define VIGIL_OCALL_CPUID 11        /* leaf, subleaf, uint32_t[4] for EAX EBX ECX EDX -> 0 */
#define VIGIL_OCALL_LOADED 16       /* host fd, bias: an ELF file was loaded; from debug enclaves only, for debuggers */

#define VIGIL_EXIT_STAGE1 0x100     /* not an OCALL: stage 1 is done, ERESUME */

/* struct vigil_shared, for assembly */
#define VIGIL_SHARED_PENDING 0

/* VIGIL_OCALL_MEMORY: operations on enclave pages, each followed by an EACCEPT inside. */
#define VIGIL_MEMORY_ADD 0          /* pages that are not there (a hint: EACCEPT would cause it, too) */
#define VIGIL_MEMORY_RESTRICT 1     /* argument: PROT_ that remains */
#define VIGIL_MEMORY_TRIM 2         /* to be removed */
#define VIGIL_MEMORY_REMOVE 3       /* trimmed and accepted */
#define VIGIL_MEMORY_TCS 4          /* a page becomes a TCS */
#define VIGIL_MEMORY_RANGES 128     /* in one OCALL */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct vigil_range { uint64_t address, length; }; /* of enclave pages */

/* One for each host thread, in untrusted memory. */
struct vigil_shared {
    uint64_t pending;      /* the mailbox. bit n (1..63): signal n arrived; bit 0: kicked. Host ORs, enclave swaps 0 in */
    uint32_t park;         /* futex word of enclave park()/unpark() */
    uint32_t slot;
    uint64_t arena, arena_size;  /* bounce memory of this thread's OCALLs */
    uint64_t boot;         /* struct vigil_boot *, first thread only */
    uint32_t lock;         /* futex word of enclave lock()/unlock() */
    uint32_t reserved;
};

/* What the host tells the first thread. Untrusted; copied and checked once. Pointers into untrusted memory. */
struct vigil_boot {
    uint64_t argc, argv /* char *[] */;       /* used only with VIGIL_FLAG_CMDLINE_ARGV */
    uint64_t envc, envp /* char *[] */;       /* used only with env_pass or VIGIL_FLAG_HOST_ENV */
    uint64_t cwd;                             /* char *, with VIGIL_FLAG_NO_MANIFEST, else relative host paths' base */
    uint32_t uid, gid, pid, log_level_override; /* log level + 1, 0 = the measured one. Debug enclaves only */
    uint32_t plain, pad; /* 1: leave the program's code as it is, somebody looks at it instruction by instruction */
};
#endif
#endif
