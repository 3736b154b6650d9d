/* SPDX-License-Identifier: Apache-2.0
 *
 * A host that lies to a whole program in an enclave. A case is a path of the target program, what the host does wrong on
 * it, and what the program may then say. */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "host/internal.h"

/* What a lie sees: an OCALL of the program's path. Does what it likes, mostly to *result. */
struct lie_call {
    struct host_thread *thread;
    const struct host_exit *exit;
    const uint64_t *a;          /* a system call's arguments */
    long nth;                   /* how many OCALLs of this kind there were before on this path */
    uint64_t (*honest)(struct lie_call *call);  /* what the host would have done */
    int *thread_ends;
};

#define OCALL(op) (-1 - (op))   /* for struct hostile_case.of: not a system call but this OCALL */
#define ANY_SYSCALL (-1000)
#define ANY_OCALL (-1001)

struct hostile_case {
    const char *path;           /* of the target; up to a space the function, the rest is its own */
    long of;                    /* the system call that is lied about, or OCALL() */
    uint64_t (*lie)(struct lie_call *call);
    int64_t value;              /* the lie's parameter */
    /* "=": the same output and exit status as natively. "stop:TEXT": the enclave stops itself and says TEXT. "die:N": of
     * signal N. "exit:N". Else the program's output, or what it begins with and *. Several of them with | between. */
    const char *expect;
    unsigned options;
    void (*at_start)(struct host_thread *thread, uint64_t *argument); /* before the first thread's first entry */
};
#define ON_EDMM 1u              /* with dynamic memory */
#define TRUSTED 8u             /* the program and its file `data` are in sgx.trusted_files */
#define NO_GUARDS 4u            /* as if the kernel had no guard pages */
#define EVERYWHERE 2u           /* the lie begins with the enclave, not with the path */

extern const struct hostile_case *hostile_now;
extern const struct hostile_case hostile_calls[], hostile_sockets[], hostile_memory[], hostile_start[], hostile_trusted[];

/* lies.c */
extern struct host_thread *_Atomic hostile_last_caller; /* who made the last OCALL */
uint64_t lie_result(struct lie_call *c);        /* does nothing and answers value */
uint64_t lie_after_all(struct lie_call *c);     /* does it and answers value */
uint64_t lie_for_ever(struct lie_call *c);      /* EINTR, until the path is over */
void hostile_lies_begin(void);
#endif
