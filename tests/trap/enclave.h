/* SPDX-License-Identifier: Apache-2.0
 *
 * The test enclave of the trap driver: layout, functions and labels of trap_enclave.S. */
#ifndef TRAP_ENCLAVE_H
#define TRAP_ENCLAVE_H

/* Offsets in ELRANGE. Nothing lies where a kernel with the largest vm.mmap_min_addr could not map it. */
#define EN_CODE   0x10000
#define EN_DATA   0x20000 /* RW */
#define EN_RO     0x21000
#define EN_HOLE   0x22000 /* never added */
#define EN_THREAD 0x30000 /* and one of these for each thread: */
#define EN_THREAD_SIZE 0x10000
#define EN_THREADS 4
#define EN_TCS    0x0000
#define EN_SSA    0x1000 /* EN_NSSA frames of one page */
#define EN_NSSA   3
#define EN_FS     0x5000
#define EN_GS     0x6000
#define EN_STACK  0x9000 /* top; two pages below it */

/* In the page at GS. */
#define GS_COUNT     0x000
#define GS_HOST_RSP  0x100
#define GS_RETURN    0x108
#define GS_NOTIFIED  0x110 /* notifications */
#define GS_RESTARTED 0x118 /* notifications that hit the restore block */
#define GS_CHECKPOINT 0x200 /* the 17 quadwords of GPRSGX from RAX to RFLAGS, then RIP */

#ifndef __ASSEMBLER__
/* Functions, called with arguments in RSI, RDX. */
enum {
    FN_ROUNDTRIP, FN_LOOP_XMM, FN_LOOP_YMM, FN_LOOP_ZMM, FN_SHORT, FN_PUSHF, FN_FLAGS, FN_STRING, FN_BREAK, FN_ARM,
    FN_SPIN, FN_STRAY, FN_FSBASE, FN_COUNT_,
};

#include <stdint.h>
extern const uint8_t trap_blob[], trap_blob_end[];
/* Code labels as they lie in the host's copy. */
extern const uint8_t en_entry[], en_eexit[], en_short_start[], en_short_body[], en_short_end[], en_pushf_start[],
    en_pushf_end[], en_rep[], en_rep_end[], en_break_nop[], en_break_after[], en_edeccssa[], en_restore[], en_leave[];
#endif
#endif
