/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of enclave/ offer each other, and nobody else. */
#ifndef VIGIL_ENCLAVE_INTERNAL_H
#define VIGIL_ENCLAVE_INTERNAL_H

#include "enclave/tcb.h"

#define LINUX_PROT_READ 1
#define LINUX_PROT_WRITE 2
#define LINUX_PROT_EXEC 4
#define LINUX_SIGBUS 7
#define LINUX_SIGSEGV 11
#define LINUX_EFAULT 14
#define LINUX_ENOMEM 12
#define LINUX_EAGAIN 11
#define LINUX_EINVAL 22
#define LINUX_EIO 5
#define LINUX_ENAMETOOLONG 36

/* init.c */
extern struct vigil_boot_info boot_info_section;
bool exinfo_on(void);
uint64_t elrange_end(void);
void self_report_init(void);                  /* report.c: reads this enclave's own attributes */
const struct sgx_attributes *self_attributes(void);
uint32_t self_miscselect(void);

/* An instruction that may fault, and where to continue then (labels in inline assembly). */
#define EX_TABLE(insn, fixup) \
    ".pushsection ex_table, \"a\"\n.balign 4\n.long " insn " - .\n.long " fixup " - .\n.popsection\n"

/* usercopy.c: 0 if rip is not an instruction that may fault. */
uint64_t exception_fixup(uint64_t rip);
/* zero_pages.S: how many pages from start on hold nothing but zeroes and can be read; 0 also if it cannot look. */
uint64_t zero_pages(const void *start, uint64_t pages);

/* start.c */
void start_info_copy(uint64_t untrusted_boot);
/* kmalloc.c: up to `ready` the memory is there, behind it it is added when needed. */
void kheap_init(uint64_t start, uint64_t ready, uint64_t end);
/* edmm_map.c */
void edmm_init(uint64_t start, uint64_t *end);
void edmm_count_start(void);
void edmm_print_stats(void);
/* thread.c */
void thread_block_init(uint32_t slot);
/* xstate.c */
void xstate_measure(void);
extern bool xstate_in_use_known;
/* Like memcpy; each byte is written once, in whole words from the beginning. */
void copy_words(void *dst, const void *src, size_t n);
/* log.c */
void log_init(void);
void log_set_level(uint32_t level);
int format_args(char *buf, size_t size, const char *fmt, __builtin_va_list args);
/* ocall.c */
void ocall_thread_init(struct tcb *t, uint64_t untrusted_shared);
int ocall_thread_create(uint32_t slot);
/* In the thread's OCALL memory, behind what bounce_alloc gives out: a log line, a list of ranges. */
#define OCALL_LOG_RESERVE 4096
#define OCALL_MEMORY_RESERVE 4096
/* An OCALL that gives 0 or -errno; anything else is -EIO. */
int ocall_status(uint64_t op, long a0, long a1, long a2, long a3);
long ocall(uint64_t op, long a0, long a1, long a2, long a3, long a4, long a5);

#endif
