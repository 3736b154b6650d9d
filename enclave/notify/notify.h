/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of notify/ and stage 2 offer each other. */
#ifndef VIGIL_NOTIFY_H
#define VIGIL_NOTIFY_H

#include "enclave/tcb.h"

/* prepare.c */
void mitigation_init(void);
uint64_t mitigation_generation(void);
/* Number + 1 of the probe whose instruction this is; 0: none. */
uint32_t probe_at(const struct tcb *t, uint64_t rip, uint64_t rsp);
void probe_faulted(struct tcb *t, uint32_t number);

/* roll_back.S */
uint64_t roll_back(struct checkpoint *to, const struct sgx_gprsgx *from, uint64_t take);

/* ret_table.c: the address of a RET byte in a code page of the application, 0 if there is none to use. valid: all ones
 * if the page is application memory, else 0. */
uint64_t ret_table_find(uint64_t page, uint64_t valid, uint64_t generation);

/* policy.c */
#define POLICY_STEPPING (1u << 0)   /* too many AEXs with zero or one instruction of progress */
#define POLICY_BUDGET   (1u << 1)   /* too many AEXs since the thread's last system call */
#define POLICY_SLOW     (1u << 2)   /* the warm loop was too slow, many times in a row */

struct notify_policy {
    bool legacy;               /* AEX-Notify is off */
    uint64_t counting;         /* all ones: mitigation is not "none" */
    uint64_t stub_after_aex, stub_after_syscall;   /* 0 or 1 */
    uint64_t step_threshold;   /* of 64; more than 64 means never */
    uint64_t budget, slow_limit;
    uint32_t terminate;        /* POLICY_ bits that end the process */
};
extern struct notify_policy notify_policy;
void notify_policy_init(void);
void notify_policy_thread(struct tcb *t);
void notify_policy_syscall(struct tcb *t, uint64_t number); /* the thread makes a system call: its budget starts again */
void notify_policy_act(struct tcb *t, uint32_t tripped); /* may not return */

#define SLOW_IN_A_ROW 16
#endif
