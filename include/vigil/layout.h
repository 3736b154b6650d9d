/* SPDX-License-Identifier: Apache-2.0
 *
 * What an enclave looks like in memory, stated once: used by the builder (image/), the enclave's C and its assembly.
 *
 *   base + size ->  +--------------------------+
 *                   | runtime ELF              |  measured, R / RX / RW by segment
 *                   | configuration            |  measured, R
 *                   | thread block N-1 .. 0    |  see below
 *                   | guard page               |
 *                   | application memory       |  not measured, RWX; the LibOS zeroes it before use
 *                   |   (runtime's heap on top)|
 *   base + 0x10000  +--------------------------+
 *                   | never added              |  null pointers fault
 *   base            +--------------------------+
 *
 * With dynamic memory (VIGIL_FLAG_EDMM) sgx.max_threads of the thread blocks are there, and room for thread_limit; of the
 * runtime's heap the first pages are, of the rest of application memory nothing. The runtime adds pages (EACCEPT) before
 * it uses them, and when the program does.
 *
 * A thread block, from its start (all offsets are multiples of a page; "absent" pages are never added, so running
 * over the end of a stack faults):
 *   guard (absent) | kernel stack | guard (absent) | stage-1 stack | SSA[0] SSA[1] | TCB | XSAVE area | TCS
 * The TCB page is what GS points to (TCS.OGSBASE), and the SSA frames end where it begins, so every field of
 * SSA[0].GPRSGX, AEXNOTIFY above all, has a constant address relative to GS. */
#ifndef VIGIL_LAYOUT_H
#define VIGIL_LAYOUT_H

#define VIGIL_PAGE 4096

#define VIGIL_NSSA 2
#define VIGIL_SSAFRAMESIZE 4   /* pages; enough for AVX-512 and AMX */

#define VIGIL_KSTACK_PAGES 8
#define VIGIL_S1STACK_PAGES 1
#define VIGIL_XSAVE_PAGES 1

/* Page offsets inside a thread block. */
#define VIGIL_TB_KSTACK  1
#define VIGIL_TB_S1STACK (VIGIL_TB_KSTACK + VIGIL_KSTACK_PAGES + 1)
#define VIGIL_TB_SSA     (VIGIL_TB_S1STACK + VIGIL_S1STACK_PAGES)
#define VIGIL_TB_TCB     (VIGIL_TB_SSA + VIGIL_NSSA * VIGIL_SSAFRAMESIZE)
#define VIGIL_TB_XSAVE   (VIGIL_TB_TCB + 1)
#define VIGIL_TB_TCS     (VIGIL_TB_XSAVE + VIGIL_XSAVE_PAGES)
#define VIGIL_TB_PAGES   (VIGIL_TB_TCS + 1)

/* Byte offsets relative to the TCB (GS base). */
#define VIGIL_GS_BLOCK   (-VIGIL_TB_TCB * VIGIL_PAGE)
#define VIGIL_GS_KSTACK_LOW  ((VIGIL_TB_KSTACK - VIGIL_TB_TCB) * VIGIL_PAGE)
#define VIGIL_GS_KSTACK_TOP  (VIGIL_GS_KSTACK_LOW + VIGIL_KSTACK_PAGES * VIGIL_PAGE)
#define VIGIL_GS_S1STACK_LOW ((VIGIL_TB_S1STACK - VIGIL_TB_TCB) * VIGIL_PAGE)
#define VIGIL_GS_S1STACK_TOP (VIGIL_GS_S1STACK_LOW + VIGIL_S1STACK_PAGES * VIGIL_PAGE)
#define VIGIL_GS_SSA0    ((VIGIL_TB_SSA - VIGIL_TB_TCB) * VIGIL_PAGE)
#define VIGIL_GS_GPR0    (VIGIL_GS_SSA0 + VIGIL_SSAFRAMESIZE * VIGIL_PAGE - 184)
#define VIGIL_GS_EXINFO0 (VIGIL_GS_GPR0 - 16)
#define VIGIL_GS_ARMED   (VIGIL_GS_GPR0 + 167) /* SSA[0].GPRSGX.AEXNOTIFY */
#define VIGIL_GS_GPR1    (VIGIL_GS_GPR0 + VIGIL_SSAFRAMESIZE * VIGIL_PAGE)
#define VIGIL_GS_XSAVE   (VIGIL_PAGE)
#define VIGIL_GS_TCS     ((VIGIL_TB_TCS - VIGIL_TB_TCB) * VIGIL_PAGE)

#define VIGIL_APP_START 0x10000  /* offset of application memory in ELRANGE */
#define VIGIL_MIN_ENCLAVE_SIZE (16u << 20)
#define VIGIL_THREAD_LIMIT 4096  /* thread blocks at most */
#define VIGIL_HEAP_READY (64 * VIGIL_PAGE)

#ifndef __ASSEMBLER__
#include <stdint.h>

/* The builder writes this into the runtime ELF's section ".vigil_boot" before measuring: where everything is.
 * All values are linear addresses, except as noted. */
#define VIGIL_BOOT_SECTION ".vigil_boot"
struct vigil_boot_info {
    uint64_t magic;             /* VIGIL_BOOT_MAGIC, set at compile time and checked by the builder */
    uint64_t base, size;        /* ELRANGE */
    uint64_t app_start, app_end;
    uint64_t threads, thread_stride /* bytes */, thread_count /* at the start */, thread_limit;
    uint64_t config, config_size;
    uint64_t elf_base, elf_end;
    uint64_t heap, heap_end, heap_ready; /* the runtime's heap; up to heap_ready it is there at the start */
};
#define VIGIL_BOOT_MAGIC 0x31746f6f62676976ull /* "vigboot1" */
#endif
#endif
