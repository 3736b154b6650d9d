/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding SYSCALL instructions that can be rewritten. Bytes are no proof of instructions, so the patterns are long ones:
 * seven bytes of which six are fixed, or eight and more. */
#include "libos/rewrite/rewrite.h"

#define NUMBERS 512              /* system call numbers below this */
#define COMPARE_LENGTH 6
#define MOV_LENGTH 5

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

/* Is `length` bytes in front of the SYSCALL a MOV $nr of this opcode? A REX prefix there would make it another register's, or
 * be the last byte of something else. */
static bool is_mov(uint64_t start, uint64_t at, unsigned length, uint8_t opcode)
{
    const uint8_t *p = byte_at(at - length);

    return p[0] == opcode && word_at(p + 1) < NUMBERS && (p[-1] & 0xf0) != 0x40 &&
           !is_constant(start, p);
}

/* One LEA of 64 bits with a displacement, n bytes long. */
static bool is_lea(const uint8_t *p, unsigned n)
{
    return n >= 4 && (p[0] & 0xf8) == 0x48 && p[1] == 0x8d && p[2] >> 6 != 0 && p[2] >> 6 != 3 &&
           rewrite_operand_length(p + 2, n - 2) == n - 2;
}

/* The end of a thread: mov $60,%edx ; a NOP in front of the loop that it is ; xor %edi,%edi ; mov %edx,%eax ; syscall. */
static bool is_end(const uint8_t *p, unsigned n)
{
    static const uint8_t nops[][5] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0x00},
                                      {0x0f, 0x1f, 0x44, 0x00, 0x00}};

    return n >= 4 && n - 4 < sizeof(nops) / sizeof(nops[0]) && !memcmp(p, nops[n - 4], n - 4) &&
           !memcmp(p + n - 4, "\x31\xff\x89\xd0", 4);
}

/* What is in front of it that the trampoline can execute; there is a byte in front of that. */
static bool number_before(uint64_t start, uint64_t at, struct rewrite_site *site)
{
    for (unsigned n = 0; n <= REWRITE_MOVED - MOV_LENGTH && at > start + MOV_LENGTH + n; n++) {
        if (!((n == 0 || is_lea(byte_at(at - n), n)) && is_mov(start, at, MOV_LENGTH + n, 0xb8)) &&
            !(is_end(byte_at(at - n), n) && is_mov(start, at, MOV_LENGTH + n, 0xba)))
            continue;
        site->form = REWRITE_BEFORE;
        site->length = (uint8_t)(MOV_LENGTH + n);
        memcpy(site->moved, byte_at(at - site->length), site->length);
        return true;
    }
    return false;
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
        if (number_before(start, found, site))
            return true;
        if (compare_behind(start, end, found)) {
            site->form = REWRITE_BEHIND;
            site->length = COMPARE_LENGTH;
            memcpy(site->moved, byte_at(found + 2), COMPARE_LENGTH);
            return true;
        }
    }
}
