/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the parts of the runtime are, and which bit must be set where: the armed invariant.
 *
 *     CSSA=0:  SSA[0].GPRSGX.AEXNOTIFY is 1  <=>  RIP is in the application, or in the restartable resume behind its
 *              arming instruction (the execute probe's RET on the application's page belongs to it; RSP is in the TCB page
 *              there), or in front of the first instruction of the system call gate.
 *     SSA[1].GPRSGX.AEXNOTIFY is 0 always. */
#include "sweep/sweep.h"
#include "enclave/tcb.h"
#include "vigil/layout.h"

#include <stdio.h>

struct sweep_map sweep_map;

int sweep_locate(const struct image *image, struct image_error *error)
{
    uint64_t entry;
    const struct { const char *name; uint64_t *to; } wanted[] = {
        {"enclave_entry", &entry}, {"resume_begin", &sweep_map.resume_begin}, {"resume_end", &sweep_map.resume_end},
        {"resume_final_jump", &sweep_map.final_jump}, {"syscall_gate", &sweep_map.gate},
        {"program_loaded", &sweep_map.loaded}};
    const unsigned n = sizeof(wanted) / sizeof(wanted[0]);

    for (unsigned i = 0; i < n; i++) {
        if (!sweep_symbol(image->runtime_file, image->runtime_size, wanted[i].name, wanted[i].to)) {
            snprintf(error->text, sizeof(error->text),
                     "the enclave runtime has no symbol %s: it is stripped or of another version; build it again", wanted[i].name);
            return -1;
        }
    }
    sweep_map.elf_base = image->entry - entry;
    for (unsigned i = 1; i < n; i++)
        *wanted[i].to += sweep_map.elf_base;
    sweep_map.tcs = image->tcs0;
    sweep_map.runtime_low = image->tcs0 - (uint64_t)VIGIL_TB_TCS * VIGIL_PAGE;
    return 0;
}

static bool in_tcb_page(const struct softsgx_boundary *b)
{
    return b->rsp - (b->tcs - VIGIL_GS_TCS) < VIGIL_PAGE;
}

unsigned sweep_flags(const struct softsgx_boundary *b)
{
    const struct sweep_map *m = &sweep_map;
    bool low = b->rip < m->runtime_low, probe = low && in_tcb_page(b);
    bool resume = probe || (b->rip > m->resume_begin && b->rip < m->resume_end);

    if (b->cssa)
        return SWEEP_CSSA1;
    return (low && !probe ? SWEEP_IN_APPLICATION : 0) | (resume ? SWEEP_IN_RESUME : 0) | (probe ? SWEEP_PROBE : 0) |
           (low || resume || b->rip == m->gate ? SWEEP_ARMED : 0);
}

unsigned sweep_broken_invariant(const struct softsgx_boundary *b, unsigned flags)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS;
    uint8_t bits[2] = {0xff, 0xff};

    softsgx_debug_read(b->enclave, tcb + VIGIL_GS_ARMED, &bits[0], 1);
    softsgx_debug_read(b->enclave, tcb + VIGIL_GS_GPR1 + 167, &bits[1], 1);
    bool right = bits[1] == 0 && (b->cssa || bits[0] == ((flags & SWEEP_ARMED) != 0));
    return right ? 0 : 1u << 16 | (unsigned)bits[1] << 8 | bits[0];
}

void sweep_fresh(const struct softsgx_boundary *b)
{
    uint64_t tcb = b->tcs - VIGIL_GS_TCS, bits = ~0ull, left = ~0ull, none = 0;

    softsgx_debug_write(b->enclave, tcb + offsetof(struct tcb, random_bits), &bits, sizeof(bits));
    softsgx_debug_write(b->enclave, tcb + offsetof(struct tcb, random_left), &left, sizeof(left));
    softsgx_debug_write(b->enclave, tcb + offsetof(struct tcb, absent_generation), &none, sizeof(none));
}
