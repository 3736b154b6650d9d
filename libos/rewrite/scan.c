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

/* MOV $nr,%eax in front of it. A REX prefix there would make it another register's, or be the last byte of something else. */
static bool number_before(uint64_t start, uint64_t at, uint32_t *number)
{
    const uint8_t *p = byte_at(at - 5);

    if (at < start + 6 || p[0] != 0xb8 || (p[-1] & 0xf0) == 0x40)
        return false;
    *number = word_at(p + 1);
    return *number < NUMBERS;
}

/* ---- jumps --------------------------------------------------------------------------------------------------------- */
enum { NO_JUMP, JUMP_8, JUMP_32 };

/* The second byte of 0F 8x counts as the opcode. */
static const uint8_t jump_of[256] = {
    [0x70 ... 0x7f] = JUMP_8, [0x80 ... 0x8f] = JUMP_32, [0xe0 ... 0xe3] = JUMP_8, [0xe8 ... 0xe9] = JUMP_32, [0xeb] = JUMP_8,
};

static inline uint64_t jump_target(uint64_t at, uint8_t kind)
{
    const uint8_t *p = byte_at(at);

    return kind == JUMP_8 ? at + 2 + (uint64_t)(int64_t)(int8_t)p[1] : at + 5 + (uint64_t)(int64_t)(int32_t)word_at(p + 1);
}

bool rewrite_jump_leads_to(uint64_t start, uint64_t end, uint64_t target)
{
    for (uint64_t at = start; at + 5 <= end; at++)
        if (jump_of[*byte_at(at)] && jump_target(at, jump_of[*byte_at(at)]) == target)
            return true;
    return false;
}

#define FILTER 4096

static inline uint32_t filter_bit(uint64_t address)
{
    return (uint32_t)(address ^ address >> 12) % FILTER;
}

static void drop_target(struct rewrite_site *sites, uint32_t count, uint64_t target)
{
    for (uint32_t i = 0; i < count; i++)
        if (sites[i].form == REWRITE_BEHIND && sites[i].syscall + 2 == target)
            sites[i].length = 0;
}

uint32_t rewrite_drop_targets(uint64_t start, uint64_t end, struct rewrite_site *sites, uint32_t count)
{
    uint64_t filter[FILTER / 64] = {0};
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++)
        if (sites[i].form == REWRITE_BEHIND)
            filter[filter_bit(sites[i].syscall + 2) / 64] |= 1ull << filter_bit(sites[i].syscall + 2) % 64;
    for (uint64_t at = start; at + 5 <= end; at++) {
        uint8_t kind = jump_of[*byte_at(at)];
        if (!kind)
            continue;
        uint64_t target = jump_target(at, kind);
        if (filter[filter_bit(target) / 64] >> filter_bit(target) % 64 & 1)
            drop_target(sites, count, target);
    }
    for (uint32_t i = 0; i < count; i++)
        if (sites[i].form != REWRITE_BEHIND || sites[i].length)
            sites[kept++] = sites[i];
    return kept;
}

static bool compare_behind(uint64_t end, uint64_t at)
{
    const uint8_t *p = byte_at(at + 2);

    if (end - at < 2 + COMPARE_LENGTH || p[0] != 0x48 || p[1] != 0x3d)
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
        if (compare_behind(end, found)) {
            site->form = REWRITE_BEHIND;
            site->length = COMPARE_LENGTH;
            memcpy(site->moved, byte_at(found + 2), COMPARE_LENGTH);
            return true;
        }
    }
}
