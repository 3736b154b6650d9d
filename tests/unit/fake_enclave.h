/* SPDX-License-Identifier: Apache-2.0
 *
 * enclave/enclave.h in an ordinary process, so that parts of the LibOS are tested natively and under sanitizers.
 * OCALLs are plain system calls, application memory is one mapping whose page permissions are real, threads are
 * pthreads, kmalloc is malloc. A pointer into application memory or the current stack in an OCALL aborts: on a real
 * enclave it would be a leak. */
#ifndef VIGIL_FAKE_ENCLAVE_H
#define VIGIL_FAKE_ENCLAVE_H

#include "enclave/enclave.h"

#define FAKE_SLOTS 16

/* Maps app_size bytes of application memory, filled with 0xa5 (the host may put anything there), resets the
 * configuration and makes the caller slot 0. May be called again: everything starts anew. */
void fake_enclave_init(size_t app_size);

/* The configuration, changeable at any time. Strings and lists are appended to the blob. */
struct vigil_config *fake_config(void);
uint32_t fake_config_string(const char *string);
void fake_config_list(struct vigil_list *list, const char *const *strings /* NULL-terminated */);
/* sgx.trusted_files with one file. */
void fake_config_trusted(const char *path, const uint8_t sha256[32]);
void fake_config_mount(const char *inside, const char *host /* NULL: tmpfs */);
struct start_info *fake_start_info(void);
void fake_set_aex_notify(bool on);

/* Runs function(arg) and returns the wait status it gave to ocall_exit, -1 if it returned, -2 if runtime_fail. */
int fake_catch_exit(void (*function)(void *), void *arg);

/* The last log line, without prefix; "" if none since the last fake_enclave_init. */
const char *fake_last_log(void);

/* What thread_create's new thread does (in place of running application code). Default: nothing. When it returns, the
 * thread ends as if by thread_exit. */
extern void (*fake_thread_main)(struct checkpoint *regs);
void fake_join_all(void);

/* The host puts signal sig into slot's mailbox and interrupts what it waits in. */
void fake_raise(uint32_t slot, int sig);
/* What aex_counters() says of the calling thread, and whether it wants notifications and the mitigation. */
struct aex_counts *fake_aex_counts(void);
extern bool fake_upcall_wanted, fake_stub_wanted;
/* The last ocall_watch for sig, -1 if none. */
int fake_watched(int sig);

/* When set, every ocall_syscall(_intr) goes here instead: a hostile or scripted host. */
extern long (*fake_host)(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
/* When set, there is a time stamp counter. */
extern uint64_t (*fake_tsc)(void);
/* ocall_protect fails with this result when not 0. */
extern int fake_protect_error;
/* kmalloc returns NULL after this many more calls; negative: never. */
extern long fake_kmalloc_budget;

#endif
