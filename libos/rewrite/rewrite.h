/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls without a trap: when code is loaded, and before any of it runs, the SYSCALL instructions in it are looked
 * for whose surroundings are known, and a jump into a trampoline takes their place. The trampoline goes to the gate
 * (enclave/entry.S), with RCX where the program goes on. Two forms are known:
 *
 *   before      mov $nr,%eax ; syscall           the MOV becomes the jump; the SYSCALL stays for those who jump to it
 *   behind      syscall ; cmp $-4095,%rax        the SYSCALL and part of the CMP become the jump, and the trampoline does
 *               (or -4096)                       the CMP; not if some jump nearby might lead to the CMP
 *
 * Any other SYSCALL traps. To the program, to signal handlers and to debuggers a system call is where it was: RIP is never
 * seen inside a trampoline. What it can see are the changed bytes, if it reads its own code. */
#ifndef VIGIL_REWRITE_H
#define VIGIL_REWRITE_H

#include "libos/libos.h"

/* Code has been loaded at [start, end), is still writable, and nobody runs it yet. */
void rewrite_code_loaded(uint64_t start, uint64_t end);
/* It has been unmapped: its trampolines go, too. */
void rewrite_code_gone(uint64_t start, uint64_t end);
/* Where the program is, although it is in a trampoline. */
uint64_t rewrite_visible(uint64_t rip);
/* The reverse, for a place that the program goes on at: behind a SYSCALL that has become part of a jump. */
uint64_t rewrite_resume(uint64_t rip);
/* How many SYSCALLs have become jumps. */
uint32_t rewrite_sites(void);

/* ---- scan.c: needs nothing of the enclave ------------------------------------------------------------------------- */
enum rewrite_form { REWRITE_BEFORE, REWRITE_BEHIND };
struct rewrite_site {
    uint64_t syscall;        /* address of the SYSCALL instruction */
    uint32_t value;          /* the number, or the CMP's immediate */
    enum rewrite_form form;
};
/* The next site in [*at, end) of code at [start, end), which is also where it is read; *at moves behind it. */
bool rewrite_next(uint64_t start, uint64_t end, uint64_t *at, struct rewrite_site *site);

#endif
