/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of host/ share. The constants are for entry.S and asserted in run.c. */
#ifndef VIGIL_HOST_INTERNAL_H
#define VIGIL_HOST_INTERNAL_H

#define HT_TCS     0
#define HT_CLAIM   8
#define HT_PENDING 16
#define HT_FAST    64

#ifndef __ASSEMBLER__
#include "host/host.h"
#include "vigil/abi.h"
#include "vigil/layout.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* One for each TCS; reused by the host threads that enter it one after the other. */
struct host_thread {
    uint64_t tcs;
    uint32_t claim, pad;          /* signal of a fault in the enclave, until the AEP has told stage 1 */
    struct vigil_shared shared;   /* what the enclave sees of us */
    void *fast;                   /* the backend's, for host_fast_eenter; NULL: none */
    _Atomic int occupied;         /* a host thread uses this TCS (futex word) */
    _Atomic pid_t tid;
    uint64_t ordinal;
};

/* What an EEXIT leaves in the registers. */
struct host_exit { uint64_t op, args[7]; };

extern __thread struct host_thread *host_current;

/* entry.S */
void enclave_enter(const struct host_thread *thread, uint64_t rdi, struct host_exit *out);
long host_syscall_intr(const uint64_t *pending, long nr, const uint64_t args[6]);
/* The backend's own EENTER and what goes with it, with the protocol of softsgx_fast_eenter. NULL: ENCLU it is. */
extern void (*host_fast_eenter)(void);
extern void (*host_fast_bases)(void *self);
/* Are plain system calls done at the border, without host_ocall? */
extern bool host_direct;
extern char aep[], aep_check[], aep_check_end[], aep_eenter[], aep_resume[], aep_resume_end[];
extern char enclave_eenter[], intr_check[], intr_end[], intr_eintr[];

/* The SGX underneath. */
struct sgx_backend {
    void (*probe)(struct host_sgx *sgx);
    /* All return 0 or fill error and return -1. */
    int (*load)(const struct image *image, const struct sgx_secs *secs, const struct host_options *options,
                struct image_error *error);
    int (*protect)(uint64_t address, uint64_t length, int prot);   /* 0 or -errno */
    int (*memory)(uint32_t operation, uint64_t address, uint64_t length, uint64_t argument); /* VIGIL_MEMORY_; 0 or -errno */
    int (*thread_init)(uint64_t ordinal);   /* ordinal: how many threads were started before */
    void *(*thread_fast)(void);             /* of the calling thread, for host_thread.fast; the function may be NULL */
    void (*thread_exit)(void);
    int (*sigaction)(int sig, void (*handler)(int, siginfo_t *, void *));  /* handler NULL: default action */
    void (*print_stats)(int fd);
};
extern const struct sgx_backend backend_software, backend_hardware;
/* The loaded enclave, for tests that drive the software processor (tests/sweep). */
struct softsgx_enclave *host_software_enclave(void);

/* run.c */
extern const struct sgx_backend *backend;
extern uint32_t host_thread_count;
struct host_thread *host_thread_at(uint32_t slot);
void host_thread_loop(struct host_thread *thread, uint64_t first_argument);
int host_thread_start(uint32_t slot);
/* Somebody looks at single instructions (a debugger, a schedule of interrupts, a test): nothing is done in their place. */
bool host_plain(const struct host_options *options);

/* ocall.c */
uint64_t host_ocall(struct host_thread *thread, const struct host_exit *exit, int *thread_ends);
_Noreturn void host_process_exit(int wait_status);
_Noreturn void host_die_of_signal(int sig);
extern int host_log_fd;
extern bool host_stats;

/* signal.c */
#define HOST_SIG_KICK (SIGRTMIN + 2)
int host_signals_init(void);
int host_watch(int sig, int how);
#endif
#endif
