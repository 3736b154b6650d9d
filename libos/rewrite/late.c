/* SPDX-License-Identifier: Apache-2.0
 *
 * SYSCALLs that have trapped: programs that make system calls of their own, with anything around them. It is certain that
 * the two bytes are an instruction, and so that the next one begins behind them; the trampoline executes it if it is one of
 * those that do the same anywhere. Only while the program has one thread: its code is changed while nobody runs it. A place
 * that is given up is remembered, so that it is looked at once. */
#include "libos/rewrite/rewrite.h"

#include "libos/mm/mm.h"

#define LOOK 16                  /* bytes behind a SYSCALL */
#define SEEN 256

static uint64_t seen[SEEN];      /* addresses that have been dealt with; one forgotten is looked at again, no more */

unsigned rewrite_operand_length(const uint8_t *p, unsigned n)
{
    unsigned mode = n ? p[0] >> 6 : 0, rm = n ? p[0] & 7 : 0, length = 1;

    if (n < 2 || (mode == 0 && rm == 5))
        return 0;
    if (mode != 3 && rm == 4) {
        length++;
        if (mode == 0 && (p[1] & 7) == 5)
            length += 4;
    }
    length += mode == 1 ? 1 : mode == 2 ? 4 : 0;
    return length <= n ? length : 0;
}

/* Bytes of the immediate; -1: not one of ours. */
static int immediate(uint8_t opcode, const uint8_t *modrm)
{
    switch (opcode) {
    case 0x01: case 0x03: case 0x09: case 0x0b: case 0x21: case 0x23: case 0x29: case 0x2b: case 0x31: case 0x33:
    case 0x39: case 0x3b: case 0x63: case 0x85: case 0x89: case 0x8b: case 0x8d:
        return 0;
    case 0x83:
        return 1;
    case 0x81:
        return 4;
    case 0xff: /* INC, DEC */
        return (*modrm >> 3 & 7) <= 1 ? 0 : -1;
    default:
        return -1;
    }
}

/* One instruction. */
static unsigned plain_instruction(const uint8_t *p, unsigned n)
{
    unsigned rex = n && (p[0] & 0xf0) == 0x40, left = n - rex;

    p += rex;
    if (left < 2)
        return 0;
    switch (p[0]) {
    case 0x98: case 0x99: case 0x90: /* CDQE, CQO, NOP */
        return rex + 1;
    case 0x3d: case 0x05: case 0x2d: case 0xa9: /* with EAX or RAX and an immediate */
        return left >= 5 ? rex + 5 : 0;
    }
    unsigned operand = rewrite_operand_length(p + 1, left - 1);
    int more = operand ? immediate(p[0], p + 1) : -1;
    unsigned length = more < 0 ? 0 : 1 + operand + (unsigned)more;
    return length && length <= left ? rex + length : 0;
}

/* A jump to what is behind the SYSCALL lands on its third byte and is caught there; on the fourth or fifth it would not be.
 * So it is one instruction that the jump covers. */
unsigned rewrite_plain_length(const uint8_t *p, unsigned n)
{
    unsigned length = plain_instruction(p, n);

    return length >= 3 && length <= REWRITE_MOVED ? length : 0;
}

static bool first_time(uint64_t syscall)
{
    uint64_t *slot = &seen[syscall / 2 % SEEN];
    bool first = *slot != syscall;

    *slot = syscall;
    return first;
}

void rewrite_trapped(uint64_t syscall)
{
    struct rewrite_site site = {.syscall = syscall, .form = REWRITE_BEHIND};
    uint8_t behind[LOOK];

    if (!first_time(syscall) || start_info()->plain || threads_count() > 1)
        return;
    if (!rewrite_is_loaded(syscall, syscall + 2 + LOOK) || copy_from_user(behind, (void *)(syscall + 2), sizeof(behind)))
        return;
    site.length = (uint8_t)rewrite_plain_length(behind, sizeof(behind));
    if (!site.length)
        return;
    memcpy(site.moved, behind, site.length);
    rewrite_one(&site);
}
