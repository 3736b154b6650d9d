/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the library OS: what its parts offer each other. Each part owns its state; nobody reaches around these calls.
 *   process/  start, ELF loading, exit, identity, limits, uname     mm/      address space
 *   fs/       descriptors, files, paths, policy, pipes              signal/  dispositions, delivery, sigreturn
 *   net/      sockets
 *   thread/   clone, futex, thread list                             time/    clocks, sleeping, timers
 *   syscall.c the dispatcher; syscall_table.h the table (one line for each implemented call, grouped by part) */
#ifndef VIGIL_LIBOS_H
#define VIGIL_LIBOS_H

#include "enclave/enclave.h"

#include <linux/errno.h>

/* System call handlers take the six raw arguments and return a result or -errno. Unused arguments are left out by
 * prototype-less naming: long sys_close(SYSCALL_ARGS) uses a0. */
#define SYSCALL_ARGS \
    long a0 __attribute__((unused)), long a1 __attribute__((unused)), long a2 __attribute__((unused)), \
    long a3 __attribute__((unused)), long a4 __attribute__((unused)), long a5 __attribute__((unused))
typedef long syscall_fn(SYSCALL_ARGS);

/* Results that never reach the application: signal/ turns them into -EINTR or a restarted call (as Linux does). */
#define ERESTARTSYS           512 /* restart if SA_RESTART or no handler runs */
#define ERESTARTNOHAND        514 /* restart only if no handler runs */
#define ERESTART_RESTARTBLOCK 516 /* like NOHAND, and restart continues the remaining time: thread.restart_deadline */

/* ---- threads (thread/) ------------------------------------------------------------------------------------------ */
struct signal_state;                  /* signal/'s part of a thread */
struct thread {
    uint32_t tid, slot;
    struct thread *next;              /* all live threads, under threads_lock */
    struct checkpoint *regs;
    uint64_t clear_child_tid, robust_list;
    long syscall_nr;                  /* the call being handled, -1 outside; for restarting */
    int64_t restart_deadline;         /* CLOCK_MONOTONIC ns for ERESTART_RESTARTBLOCK */
    struct signal_state *signals;
    char name[16];
};
extern lock_t threads_lock;
struct thread *threads_first(void);                    /* under threads_lock */
int threads_init(void);                                /* makes the first thread current */
uint32_t threads_count(void);
/* execve: 0 when the caller is the only thread, and the process's first; -EINTR if another one does the same. The others end
 * on their way back to the program. */
int threads_end_others(void);
/* Must the current thread end? Then blocking calls come back, as for a signal. */
bool thread_dying(void);
_Noreturn void thread_die(void);

/* ---- signals (signal/) ------------------------------------------------------------------------------------------- */
int signals_init(void);
int signals_thread_init(struct thread *child, const struct thread *parent); /* mask inherited, nothing pending */
void signals_thread_exit(struct thread *);
bool signals_pending(void);           /* is something deliverable to the current thread? Takes mailbox events first */
/* Sends sig to a thread (thread != NULL) or to the process. info: siginfo fields, see signal/signal.h. */
int signal_send(struct thread *thread, int sig, int code, uint32_t sender_pid);
/* The default result of a blocking call that was cut short: -ERESTARTSYS if signals_pending(), else 0 = "do again". */
int interrupted(void);

/* ---- address space (mm/) ------------------------------------------------------------------------------------------ */
int mm_init(void);
/* addr: hint, or exact with MAP_FIXED in flags. Returns the address or -errno. Anonymous, zeroed. */
long mm_map(uint64_t addr, uint64_t length, int prot, int flags);
int mm_unmap(uint64_t addr, uint64_t length);
int mm_protect(uint64_t addr, uint64_t length, int prot);
/* The page's protection if mapped, -1 if not. For #PF decisions and EFAULT checks. */
/* A page fault at an access (PROT_ bits) that the program may make. Dynamic memory: 1 the page has been added, 0 it was
 * there, -ENOMEM. Without: 0. */
int mm_fault(uint64_t address, int access);
int mm_prot_at(uint64_t addr);
void mm_set_brk(uint64_t start);      /* the ELF loader says where the heap begins */

/* ---- files (fs/) --------------------------------------------------------------------------------------------------- */
int fs_init(void);
struct file;
/* Opens by path inside the enclave with the manifest's policy. NULL and *error = -errno. */
struct file *file_open(const char *path, int flags, int mode, int *error);
/* For reading, by what the host calls it: what a URI of the manifest names. The policy and the hashes hold for it. */
struct file *file_open_host(const char *name, int *error);
long file_pread(struct file *file, void *buf, size_t n, uint64_t offset); /* buf in runtime or application memory */
/* The host's descriptor of it, -1 if it has none. */
int file_host_fd(const struct file *file);
void file_put(struct file *file);
bool file_executable(struct file *file); /* a regular one, with an x bit */
const char *fs_cwd(void);

/* ---- time (time/) --------------------------------------------------------------------------------------------------- */
int64_t time_now(int clock);          /* ns; from the host, never goes backwards for monotonic clocks */

/* ---- process (process/) ---------------------------------------------------------------------------------------------- */
const char *process_exe(void);        /* the program's path inside */
uint32_t process_pid(void);
_Noreturn void process_exit_code(int code);
_Noreturn void process_exit_signal(int sig);

#endif
