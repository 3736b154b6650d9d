/* SPDX-License-Identifier: Apache-2.0
 *
 * What the trusted runtime (enclave/) offers to the library OS (libos/), and what it asks of it.
 *
 * Two modes (docs/architecture.md): the application runs with SSA[0].GPRSGX.AEXNOTIFY = 1, everything here with 0.
 * While a thread is in runtime mode its struct checkpoint IS the application's register file: system call handlers
 * read arguments from it and write results to it; returning to the application means resuming the checkpoint.
 * Vector registers are the application's and live: nothing in enclave/ or libos/ may use them (built with
 * -mgeneral-regs-only); they are saved and cleared around OCALLs. FS is the application's only in the checkpoint. */
#ifndef VIGIL_ENCLAVE_H
#define VIGIL_ENCLAVE_H

#include "sgx/arch.h"
#include "vigil/abi.h"
#include "vigil/config.h"
#include "vigil/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The application's context. Order is known to enclave/entry.S (asserted in enclave/offsets.c). */
struct checkpoint {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip, fsbase;
};

/* A hardware exception of the application, from SSA[0] (never from the host). */
struct exception {
    uint8_t vector;          /* enum sgx_vector */
    bool has_exinfo;         /* address and error_code are valid (#PF, #GP with EXINFO) */
    uint32_t error_code;
    uint64_t address;
    uint32_t untrusted_claim;/* signal number the host says it got; 0: the host resolved it or says nothing */
};

struct thread;               /* the LibOS's per-thread state; opaque here */

/* ---- the current thread -------------------------------------------------------------------------------------- */
struct checkpoint *current_regs(void);
struct thread *current_thread(void);      /* what set_current_thread was given; NULL before */
void set_current_thread(struct thread *);
uint32_t current_slot(void);              /* TCS number, 0 .. thread_slots()-1 */
uint32_t thread_slots(void);              /* thread blocks that are there; grows with dynamic memory */

/* ---- facts ---------------------------------------------------------------------------------------------------- */
const struct vigil_boot_info *boot_info(void);
const struct vigil_config *config(void);              /* measured */
const char *config_string(uint32_t offset);           /* NULL for 0 */
bool aex_notify_on(void);                             /* from the enclave's own attributes and configuration */
struct start_info {                                   /* copied from the host, checked */
    int argc; char **argv; int envc; char **envp;     /* NUL-terminated, in enclave memory, bounded */
    char cwd[4096]; uint32_t uid, gid, pid;
    bool plain;                                       /* the program's code is not to be changed */
};
const struct start_info *start_info(void);

/* Where the program may jump for a system call without a trap (AT_SYSINFO; protocol in entry.S). */
uint64_t syscall_gate_address(void);

/* ---- leaving the enclave --------------------------------------------------------------------------------------- */
/* A Linux system call on the host. Pointer arguments must point into untrusted memory (bounce_alloc). The result is
 * untrusted: check its range. _intr returns -EINTR instead of blocking when an event waits in the mailbox (use it for
 * everything that can block; then look at the pending signals and restart or return). */
long ocall_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
long ocall_syscall_intr(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
int ocall_protect(uint64_t address, uint64_t length, int prot); /* page-table permission: advisory, host may ignore */
int ocall_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]); /* the host's word, unchecked; 0 or -errno */
int ocall_watch(int sig, int how);                    /* 0 default, 1 forward to the mailbox, 2 ignore */
_Noreturn void ocall_exit(int wait_status);           /* the process: low 7 bits = killing signal, else code << 8 */
/* Tells a debugger that an ELF file was loaded; nothing unless the enclave is a debug enclave. */
void debugger_loaded(int host_fd, uint64_t bias);
_Noreturn void runtime_fail(const char *why);         /* a broken invariant or an attack: stop, with this line */

/* This thread's bounce memory: untrusted, at least 1 MiB. bounce_reset at the start of every system call (the
 * dispatcher does it); bounce_alloc returns 16-byte aligned untrusted memory or NULL. Copy in and out once, with
 * untrusted_read / _write, never by dereferencing. */
void bounce_reset(void);
void *bounce_alloc(size_t size);
size_t bounce_left(void);
/* Gives back what was allocated since the mark: for loops inside one system call. */
size_t bounce_mark(void);
void bounce_release(size_t mark);
void untrusted_write(void *untrusted_dst, const void *src, size_t n);
void untrusted_read(void *dst, const void *untrusted_src, size_t n);
/* True if [p, p+n) does not touch ELRANGE and does not wrap. */
bool outside_enclave(const void *p, size_t n);

/* ---- application memory ---------------------------------------------------------------------------------------- */
/* Copies that survive bad application pointers. 0 or -EFAULT. The range must be application memory. */
int copy_from_user(void *dst, const void *user_src, size_t n);
int copy_to_user(void *user_dst, const void *src, size_t n);
int clear_user(void *user_dst, size_t n);
/* The same for whole pages of static memory, most of which are zeroes already: those are only read. */
int wipe_user(void *user_dst, size_t n);
long strncpy_from_user(char *dst, const void *user_src, size_t size); /* length, -EFAULT, -ENAMETOOLONG */
/* untrusted <-> application without a detour. 0 or -EFAULT. */
int copy_untrusted_to_user(void *user_dst, const void *untrusted_src, size_t n);
int copy_user_to_untrusted(void *untrusted_dst, const void *user_src, size_t n);
/* Atomic 32-bit access to application memory (futex words). 0 or -EFAULT; cmpxchg: *old gets what was there. */
int user_load32(const uint32_t *user, uint32_t *value);
int user_cmpxchg32(uint32_t *user, uint32_t *old, uint32_t desired);
bool user_range_ok(const void *p, size_t n);          /* lies in application memory (not: is mapped) */

/* ---- dynamic memory (sgx.edmm_enable), edmm_map.c ---------------------------------------------------------------- */
/* Which pages of application memory are there. All but the first three need the LibOS's lock on the address space. Page
 * addresses; rights are PROT_READ | PROT_WRITE | PROT_EXEC. Errors are -ENOMEM: the host did not do as asked. */
bool edmm_on(void);                                   /* if not, all of application memory is there, RWX */
bool page_present(uint64_t address);
bool pages_present(const void *p, size_t n);
uint64_t pages_find(uint64_t at, uint64_t end, bool present);        /* the next page that is (not) there, or end */
/* Adds, zeroed, what is not there yet. faulted: the program has just touched it, so the kernel has added it. */
int pages_commit(uint64_t start, uint64_t end, int prot, bool faulted);
int pages_protect(uint64_t start, uint64_t end, int from, int to);   /* of what is there */
int pages_trim(uint64_t start, uint64_t end);                        /* gives back what is there */
void page_discard(uint64_t address);                  /* what a stray access has made the kernel add */

/* ---- threads --------------------------------------------------------------------------------------------------- */
/* Starts a thread on a free TCS: its checkpoint := *regs, its vector state := the caller's. 0, -EAGAIN (no TCS free),
 * or -errno. *slot is its number. thread is what current_thread() will return there. */
int thread_create(struct thread *thread, const struct checkpoint *regs, uint32_t *slot);
/* The thread's last steps begin: from now on a thread_create that finds no free TCS waits for this one. Call it before
 * the program can learn that the thread has ended (clear_child_tid). */
void thread_retire(void);
_Noreturn void thread_exit(void);                     /* gives the TCS back; touches no application memory */
/* Sleep until unpark(own slot), a kick, a signal in the mailbox, or the timeout (ns, relative; <0: for ever). May wake
 * for no reason: the caller re-checks trusted state. unpark before park makes park return at once. */
void park(int64_t timeout_ns);
void unpark(uint32_t slot);
void kick(uint32_t slot);                             /* make it notice: wakes park and interrupts _intr OCALLs */

/* Threads that are inside or may come: counted up before a thread can enter, down when it touches nothing but its own block
 * any more. While it is 1 only the thread that asks can change it, and needs no locked instructions. */
extern uint32_t threads_inside;
static inline bool alone(void)
{
    return __atomic_load_n(&threads_inside, __ATOMIC_ACQUIRE) == 1;
}
typedef struct { uint32_t word; } lock_t;             /* short critical sections; sleeps when contended for long */
void lock(lock_t *);
void unlock(lock_t *);

/* ---- events ---------------------------------------------------------------------------------------------------- */
/* Takes the asynchronous events the host has put into this thread's mailbox. Bit n: signal n. Untrusted: only ever an
 * asynchronous signal. */
uint64_t untrusted_events_take(void);

/* ---- time ------------------------------------------------------------------------------------------------------- */
/* RDTSC, behind everything before it. False: the processor does not execute it in enclaves. The host can make it anything. */
bool tsc_read(uint64_t *value);

/* ---- vector state, for signal frames (runtime mode) ------------------------------------------------------------- */
size_t xsave_area_size(void);                         /* standard format, for XFRM */
uint64_t enclave_xfrm(void);
void xstate_save(void *area);                         /* XSAVE of the live state; 64-byte aligned enclave memory */
bool xstate_restore(const void *area);                /* false (state untouched) if the image is malformed */
void xstate_init(void);                               /* live state := initial */
bool sha_extensions(void);                            /* the processor has them (tried, not asked) */

/* ---- AEX-Notify, for programs that ask (libos/signal/aex.c) ------------------------------------------------------ */
/* Of one thread block since the enclave started, whichever threads lived in it. */
struct aex_counts {
    uint64_t notifications;      /* AEXs in application mode */
    uint64_t exceptions;         /* among them: EXITINFO was valid */
    uint64_t coalesced;          /* among them: in the restartable resume */
    uint64_t near_zero;          /* among them: next to no progress since the one before */
    uint64_t delivered;          /* among them: went to stage 2 */
    uint64_t stub_runs;
};
void aex_counters(struct aex_counts *thread, struct aex_counts *process); /* either may be NULL */
/* From now on every notification of this thread goes to stage 2, and so to libos_return(), whether it hit the
 * application or the restartable resume. */
void aex_upcall_want(bool wanted);
/* The coming return to the application runs the mitigation (if there is one) although it follows a system call: it ends
 * what began with an AEX (rt_sigreturn). */
void aex_stub_want(void);

/* ---- log ------------------------------------------------------------------------------------------------------- */
/* One line to the log, prefixed "vigil: ". %s %d %u %x %lx %lu %ld %p %c %% and widths. */
void log_line(enum vigil_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool log_enabled(enum vigil_log_level level);

/* ---- freestanding helpers (enclave/string.c): mem*, str*, and ---------------------------------------------------- */
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
size_t strlen(const char *);
size_t strnlen(const char *, size_t);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, size_t);
char *strchr(const char *, int);
char *strrchr(const char *, int);
int format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Small heap in the runtime's own bss (16-byte aligned); kfree needs no size. NULL when it is full. */
void *kmalloc(size_t size);
void *kzalloc(size_t size);
void kfree(void *);
int random_bytes(void *buf, size_t n);                /* RDRAND; 0 or -EIO */

/* ---- the mitigation ----------------------------------------------------------------------------------------------- */
/* Permissions or contents of application memory have changed: what the mitigation remembers of pages is void. */
void mitigation_memory_changed(void);
/* Code has been loaded at [start, end), and is still writable: gives pages without a RET byte one, where that changes nothing.
 * The pages are the code's alone. */
void mitigation_code_loaded(uint64_t start, uint64_t end);

/* ---- what the LibOS provides ------------------------------------------------------------------------------------ */
/* First thread, runtime mode: load the program and fill current_regs(). An error ends the process with a message. */
void libos_start(void);
/* The application executed `syscall`; regs->rip already points behind it. The result goes to regs->rax. */
void libos_syscall(struct checkpoint *regs);
/* Before that, if it took a trap: the instruction's address. */
void libos_syscall_trapped(uint64_t address);
/* The application raised a hardware exception. Deliver it, or do nothing if it is resolved. */
void libos_exception(struct checkpoint *regs, const struct exception *exception);
/* Called in runtime mode before every return to the application when the mailbox was not empty, and after
 * libos_syscall / libos_exception: take events, deliver at most what is deliverable. */
void libos_return(struct checkpoint *regs, bool from_syscall);
/* Makes sure that the pages are there for an access (PROT_ bits) that a system call will make: 0, -EFAULT, -ENOMEM. */
int libos_populate(uint64_t address, uint64_t length, int access);
/* The program, or a probe for it, touched a page that it does not have. */
void libos_stray(uint64_t address);
/* What the program may do at this address (PROT_READ | PROT_WRITE | PROT_EXEC), from the LibOS's own books. */
int libos_page_access(uint64_t address);
/* Statistics line(s) at process exit are printed by the enclave from here (called by ocall_exit). */
void enclave_print_exit_lines(void);

#endif
