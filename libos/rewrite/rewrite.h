/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls without a trap: when code is loaded, and before any of it runs, the SYSCALL instructions in it are looked
 * for whose surroundings are known, and a jump into a trampoline takes their place. The trampoline goes to the gate
 * (enclave/entry.S), with RCX where the program goes on. Two forms are known:
 *
 *   before      mov $nr,%eax ; syscall           the MOV becomes the jump; the SYSCALL stays for those who jump to it. An
 *                                                LEA may be in between, or, after mov $60,%edx, the end of a thread as the
 *                                                C library writes it: that is executed in the trampoline, and stays as well
 *   behind      syscall ; cmp $-4095,%rax        the SYSCALL and part of the CMP become the jump, and the trampoline does
 *               (or -4096)                       the CMP; who jumps to the CMP raises #UD and goes on there, too
 *
 * Any other SYSCALL traps. While the program has one thread, one that traps in code that was loaded is rewritten too if what
 * is behind it is a few plain instructions (late.c): that it is an instruction is certain then. To the program, to signal
 * handlers and to debuggers a system call is where it was: RIP is never seen inside a trampoline. What it can see are the
 * changed bytes, if it reads its own code; when it asks to write there, or moves it, they are what they were. */
#ifndef VIGIL_REWRITE_H
#define VIGIL_REWRITE_H

#include "libos/libos.h"

/* Code has been loaded at [start, end), is still writable, and nobody runs it yet. */
void rewrite_code_loaded(uint64_t start, uint64_t end);
/* It is about to be unmapped, or something else mapped there: its trampolines go, too. */
void rewrite_code_gone(uint64_t start, uint64_t end);
/* The program is about to change it, or to have it elsewhere. */
void rewrite_code_changes(uint64_t start, uint64_t end);
/* The SYSCALL at this address has trapped. */
void rewrite_trapped(uint64_t syscall);
/* Where the program is, although it is in a trampoline. */
uint64_t rewrite_visible(uint64_t rip);
/* The reverse, for a place that the program goes on at: behind a SYSCALL that has become part of a jump. Anything else: as
 * it is. */
uint64_t rewrite_resume(uint64_t rip);
/* How many SYSCALLs have become jumps. */
uint32_t rewrite_sites(void);

/* ---- scan.c: needs nothing of the enclave ------------------------------------------------------------------------- */
enum rewrite_form { REWRITE_BEFORE, REWRITE_BEHIND };
#define REWRITE_MOVED 14
struct rewrite_site {
    uint64_t syscall;        /* address of the SYSCALL instruction */
    enum rewrite_form form;
    uint8_t length;          /* of the instructions that the trampoline executes: those behind it, or all from the MOV on */
    uint8_t moved[REWRITE_MOVED];
    bool gone;               /* it is a SYSCALL again */
    uint16_t slot;           /* of the trampoline */
};
/* The next site in [*at, end) of code at [start, end), which is also where it is read; *at moves behind it. */
bool rewrite_next(uint64_t start, uint64_t end, uint64_t *at, struct rewrite_site *site);
/* ---- late.c */
/* ModRM, SIB and displacement at p, n bytes of which can be read; 0: relative to RIP, or cut off. */
unsigned rewrite_operand_length(const uint8_t *p, unsigned n);
/* The bytes of plain instructions at p (n of them can be read), which do the same anywhere: as many as the jump covers, if
 * it covers only one. 0: there are none that are known. */
unsigned rewrite_plain_length(const uint8_t *p, unsigned n);
/* ---- rewrite.c */
/* Makes the one site. */
void rewrite_one(const struct rewrite_site *site);
/* Is all of it code as it was loaded? */
bool rewrite_is_loaded(uint64_t start, uint64_t end);

#endif
