/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIGIL_TRAMPOLINE_H
#define VIGIL_TRAMPOLINE_H

#include "libos/rewrite/rewrite.h"

#define TRAMPOLINE 32
#define SLOTS_PER_PAGE (VIGIL_PAGE / TRAMPOLINE) /* the first one of a page has the gate's address */
#define SLOTS_MAX 8192                           /* sites that find no room trap */
#define CONTINUE 13                              /* where the moved instructions are in it */
#define JUMP 5
_Static_assert(CONTINUE + REWRITE_MOVED + JUMP <= TRAMPOLINE, "trampoline"); /* more than what is moved in front */

/* Where the jump is. */
static inline uint64_t site_jump(const struct rewrite_site *site)
{
    return site->form == REWRITE_BEFORE ? site->syscall - site->length : site->syscall;
}

/* Behind the last byte of the program's that the jump covers or the trampoline has copied. */
static inline uint64_t site_end(const struct rewrite_site *site)
{
    return site->syscall + 2 + (site->form == REWRITE_BEHIND ? site->length : 0);
}

static inline uint64_t trampoline_at(uint64_t low, const struct rewrite_site *site)
{
    return low + (uint64_t)site->slot * TRAMPOLINE;
}

/* How many slots are enough, page by page. */
uint32_t trampolines_slots(const struct rewrite_site *sites, uint32_t count);
/* Gives each site a slot of those at low; how many are left, which come first. */
uint32_t trampolines_place(uint64_t low, uint32_t slots, struct rewrite_site *sites, uint32_t count);
void trampoline_make(uint64_t low, const struct rewrite_site *site);
void trampoline_jump(uint64_t low, const struct rewrite_site *site, uint8_t jump[JUMP]);
/* What was there before the jump. */
void trampoline_original(const struct rewrite_site *site, uint8_t code[JUMP]);

#endif
