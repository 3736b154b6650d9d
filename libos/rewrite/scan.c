/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding SYSCALL instructions that can be rewritten. Bytes are no proof of instructions, so the patterns are long ones:
 * seven bytes of which six are fixed, or eight. */
#include "libos/rewrite/rewrite.h"

#define NUMBERS 512              /* system call numbers below this */
#define COMPARE_LENGTH 6

static const uint8_t *byte_at(uint64_t address)
{
    return (const uint8_t *)address;
}

static uint32_t word_at(const uint8_t *p)
{
    uint32_t word;

    __builtin_memcpy(&word, p, sizeof(word)); /* an instruction, where memcpy is a call in freestanding code */
    return word;
}

/* Is what is at p, or what follows the byte in front of it, the constant of a MOV of 64 bits? Programs that make code have
 * code as constants, and no other instruction has so many bytes that are not its own. */
static bool is_constant(uint64_t start, const uint8_t *p)
{
    for (const uint8_t *at = p; at >= p - 1 && (uint64_t)at >= start + 2; at--)
        if ((at[-2] & 0xfe) == 0x48 && (at[-1] & 0xf8) == 0xb8)
            return true;
    return false;
}

/* MOV $nr,%eax in front of it. A REX prefix there would make it another register's, or be the last byte of something else. */
static bool number_before(uint64_t start, uint64_t at, uint32_t *number)
{
    const uint8_t *p = byte_at(at - 5);

    if (at < start + 6 || p[0] != 0xb8 || (p[-1] & 0xf0) == 0x40 || is_constant(start, p))
        return false;
    *number = word_at(p + 1);
    return *number < NUMBERS;
}

static bool compare_behind(uint64_t start, uint64_t end, uint64_t at)
{
    const uint8_t *p = byte_at(at + 2);

    if (end - at < 2 + COMPARE_LENGTH || p[0] != 0x48 || p[1] != 0x3d || is_constant(start, p - 2))
        return false;
    return (word_at(p + 2) == (uint32_t)-4095 || word_at(p + 2) == (uint32_t)-4096);
}

/* 0F 05, eight bytes at a time where there is no 05. */
static uint64_t find_syscall(uint64_t at, uint64_t end)
{
    while (at + 1 < end) {
        uint64_t word;
        if (at + 8 < end) {
            __builtin_memcpy(&word, byte_at(at + 1), sizeof(word));
            word ^= 0x0505050505050505ull;
            if (!((word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull)) {
                at += 8;
                continue;
            }
        }
        for (uint64_t stop = at + 8; at < stop && at + 1 < end; at++)
            if (byte_at(at)[1] == 0x05 && byte_at(at)[0] == 0x0f)
                return at;
    }
    return end;
}

bool rewrite_next(uint64_t start, uint64_t end, uint64_t *at, struct rewrite_site *site)
{
    for (;;) {
        uint64_t found = find_syscall(*at, end);
        if (found >= end)
            return false;
        *at = found + 2;
        site->syscall = found;
        if (number_before(start, found, &site->number)) {
            site->form = REWRITE_BEFORE;
            return true;
        }
        if (compare_behind(start, end, found)) {
            site->form = REWRITE_BEHIND;
            site->length = COMPARE_LENGTH;
            memcpy(site->moved, byte_at(found + 2), COMPARE_LENGTH);
            return true;
        }
    }
}
