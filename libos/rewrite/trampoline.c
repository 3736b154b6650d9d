/* SPDX-License-Identifier: Apache-2.0
 *
 * Trampolines: what they contain and where they may be. One is
 *
 *   before                                    behind
 *    0  mov $nr,%eax and what follows it       0  lea behind_syscall(%rip),%rcx
 *   ..  lea behind_syscall(%rip),%rcx          7  jmp *gate(%rip)
 *   ..  jmp *gate(%rip)                       13  what was behind it: cmp $imm,%rax
 *                                             ..  jmp behind that
 *
 * The gate's address is at the beginning of each page. A jump in place of SYSCALL covers the instruction behind it, and
 * tables or computed addresses may lead there, which nobody can find out. So the trampoline is put where the third byte
 * of the jump is no instruction: who lands there raises #UD, and the exception goes on in the trampoline. */
#include "libos/rewrite/trampoline.h"

#include "libos/mm/mm.h"

/* Opcodes of one byte that 64-bit mode does not have. */
static const uint8_t invalid[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                                  0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd6, 0xea};

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* The last four bytes of an instruction that reaches `target` relative to its end. */
static uint8_t *put_distance(uint8_t *at, uint64_t target)
{
    int32_t distance = (int32_t)(target - ((uint64_t)at + 4));

    return put(at, &distance, sizeof(distance));
}

void trampoline_make(uint64_t low, const struct rewrite_site *site)
{
    uint8_t *at = (uint8_t *)trampoline_at(low, site);
    uint64_t page = page_down((uint64_t)at), gate = syscall_gate_address();

    memcpy((void *)page, &gate, sizeof(gate));
    if (site->form == REWRITE_BEFORE)
        at = put(at, site->moved, site->length);
    at = put_distance(put(at, "\x48\x8d\x0d", 3), site->syscall + 2);
    at = put_distance(put(at, "\xff\x25", 2), page);
    if (site->form == REWRITE_BEHIND) {
        at = put(at, site->moved, site->length);
        put_distance(put(at, "\xe9", 1), site->syscall + 2 + site->length);
    }
}

void trampoline_jump(uint64_t low, const struct rewrite_site *site, uint8_t jump[JUMP])
{
    int32_t distance = (int32_t)(trampoline_at(low, site) - (site_jump(site) + JUMP));

    jump[0] = 0xe9;
    memcpy(jump + 1, &distance, sizeof(distance));
}

void trampoline_original(const struct rewrite_site *site, uint8_t code[JUMP])
{
    if (site->form == REWRITE_BEFORE) {
        memcpy(code, site->moved, JUMP);
    } else {
        memcpy(code, "\x0f\x05", 2);
        memcpy(code + 2, site->moved, JUMP - 2);
    }
}

/* ---- places ------------------------------------------------------------------------------------------------------ */
static bool slot_free(const uint64_t *used, uint32_t slot)
{
    return slot % SLOTS_PER_PAGE && !(used[slot / 64] >> slot % 64 & 1);
}

static bool take(uint64_t *used, uint32_t slot, struct rewrite_site *site)
{
    used[slot / 64] |= 1ull << slot % 64;
    site->slot = (uint16_t)slot;
    return true;
}

/* The lowest one whose distance has `third` as its second byte; `slots` if there is none. */
static uint32_t find_slot(const uint64_t *used, uint32_t slots, uint64_t low, uint64_t jump_end, uint8_t third)
{
    int64_t from = (int64_t)((jump_end + ((uint64_t)third << 8) - low) & 0xffff), size = (int64_t)slots * TRAMPOLINE;

    /* 256 bytes in each 64 KiB; the first ones may be cut off by the beginning. */
    for (from -= from > 0xff00 ? 0x10000 : 0; from < size; from += 0x10000)
        for (int64_t at = from < 0 ? 0 : (from + TRAMPOLINE - 1) / TRAMPOLINE;
             at * TRAMPOLINE < from + 0x100 && at < slots; at++)
            if (slot_free(used, (uint32_t)at))
                return (uint32_t)at;
    return slots;
}

static bool place_behind(uint64_t *used, uint32_t slots, uint64_t low, struct rewrite_site *site)
{
    uint32_t best = slots;

    for (size_t i = 0; i < sizeof(invalid); i++) {
        uint32_t slot = find_slot(used, best, low, site->syscall + JUMP, invalid[i]);
        if (slot < best)
            best = slot;
    }
    return best < slots && take(used, best, site);
}

uint32_t trampolines_place(uint64_t low, uint32_t slots, struct rewrite_site *sites, uint32_t count)
{
    uint64_t used[SLOTS_MAX / 64] = {0};
    uint32_t kept = 0, next = 0;

    for (uint32_t i = 0; i < count; i++)
        sites[i].gone = sites[i].form == REWRITE_BEHIND && !place_behind(used, slots, low, &sites[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (sites[i].form == REWRITE_BEFORE) {
            while (next < slots && !slot_free(used, next))
                next++;
            sites[i].gone = next == slots || !take(used, next, &sites[i]);
        }
        if (!sites[i].gone)
            sites[kept++] = sites[i];
    }
    return kept;
}

uint32_t trampolines_slots(const struct rewrite_site *sites, uint32_t count)
{
    uint32_t behind = 0, pages;

    for (uint32_t i = 0; i < count; i++)
        behind += sites[i].form == REWRITE_BEHIND;
    pages = (count + behind + SLOTS_PER_PAGE - 2) / (SLOTS_PER_PAGE - 1);
    if (behind && pages < 3) /* in any three pages there is a place for each site */
        pages = 3;
    return (pages < SLOTS_MAX / SLOTS_PER_PAGE ? pages : SLOTS_MAX / SLOTS_PER_PAGE) * SLOTS_PER_PAGE;
}
