/* SPDX-License-Identifier: Apache-2.0
 *
 * Control over single instructions: stepping by RFLAGS.TF, the ready-made interrupt schedules, code breakpoints. */
#include "softsgx/trap.h"

#include <errno.h>
#include <string.h>

#define RFLAGS_TF (1ll << 8)
#define MAX_BREAKS 64
#define NOP 0x90
#define INT3 0xcc

static struct { uint64_t address; softsgx_break_fn fn; void *arg; } breaks[MAX_BREAKS];
static uint32_t break_count;

static struct softsgx_boundary boundary_here(struct trap_slot *slot, ucontext_t *uc)
{
    struct softsgx_enclave *enclave = slot->cpu.enclave;
    const struct sgx_tcs *tcs =
        (const struct sgx_tcs *)(sgx_enclave_alias(enclave) + (slot->cpu.tcs - sgx_enclave_base(enclave)));

    return (struct softsgx_boundary){
        .enclave = enclave,
        .tcs = slot->cpu.tcs,
        .cssa = tcs->cssa,
        .rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP],
        .rsp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP],
        .count = slot->step_count,
        .uc = uc,
    };
}

/* In enclave mode, in front of an instruction: asks the step function, if there is one, and sets or clears TF. */
void trap_before_instruction(struct trap_slot *slot, ucontext_t *uc)
{
    greg_t *flags = &uc->uc_mcontext.gregs[REG_EFL];
    enum softsgx_action action = SOFTSGX_RUN;

    if (slot->step) {
        struct softsgx_boundary boundary = boundary_here(slot, uc);
        slot->step_count++;
        action = slot->step(slot->step_arg, &boundary);
        if (action == SOFTSGX_RUN || action == SOFTSGX_AEX_RUN)
            slot->step = NULL;
    }
    *flags &= ~RFLAGS_TF;
    if (action == SOFTSGX_GO) {
        *flags |= RFLAGS_TF;
    } else if (action == SOFTSGX_AEX || action == SOFTSGX_AEX_RUN) {
        struct sgx_event interrupt = {.vector = -1};
        trap_aex(slot, uc, &interrupt);
    }
}

void softsgx_step(softsgx_step_fn fn, void *arg)
{
    struct trap_slot *slot = trap_current();
    if (!slot)
        return;
    slot->step = fn;
    slot->step_arg = arg;
    slot->step_count = 0;
}

static enum softsgx_action step_after(void *arg, const struct softsgx_boundary *boundary)
{
    const struct trap_slot *slot = arg;
    return boundary->count == slot->schedule.left ? SOFTSGX_AEX_RUN : SOFTSGX_GO;
}

static enum softsgx_action step_every(void *arg, const struct softsgx_boundary *boundary)
{
    (void)arg, (void)boundary;
    return SOFTSGX_AEX;
}

/* Knuth's MMIX generator; the high bits are good enough to spread interrupts. */
static uint64_t next_gap(struct trap_slot *slot)
{
    slot->schedule.seed = slot->schedule.seed * 6364136223846793005ull + 1442695040888963407ull;
    return 1 + (slot->schedule.seed >> 33) % (2ull * slot->schedule.mean - 1);
}

static enum softsgx_action step_random(void *arg, const struct softsgx_boundary *boundary)
{
    struct trap_slot *slot = arg;
    (void)boundary;
    if (slot->schedule.left--)
        return SOFTSGX_GO;
    slot->schedule.left = next_gap(slot);
    return SOFTSGX_AEX;
}

void softsgx_aex_after(uint64_t n)
{
    struct trap_slot *slot = trap_current();
    if (!slot)
        return;
    slot->schedule.left = n;
    softsgx_step(step_after, slot);
}

void softsgx_aex_every(void)
{
    softsgx_step(step_every, NULL);
}

void softsgx_aex_random(uint64_t seed, uint32_t mean)
{
    struct trap_slot *slot = trap_current();
    if (!slot)
        return;
    slot->schedule.seed = seed;
    slot->schedule.mean = mean ? mean : 1;
    slot->schedule.left = next_gap(slot);
    softsgx_step(step_random, slot);
}

int softsgx_break(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn fn, void *arg)
{
    uint64_t offset = address - sgx_enclave_base(enclave);

    if (offset >= sgx_enclave_size(enclave))
        return -EINVAL;
    uint8_t *code = sgx_enclave_alias(enclave) + offset;
    if (*code != NOP)
        return -EINVAL;
    uint32_t index = __atomic_load_n(&break_count, __ATOMIC_RELAXED);
    if (index >= MAX_BREAKS)
        return -ENOSPC;
    breaks[index].address = address;
    breaks[index].fn = fn;
    breaks[index].arg = arg;
    __atomic_store_n(&break_count, index + 1, __ATOMIC_RELEASE);
    __atomic_store_n(code, INT3, __ATOMIC_RELEASE);
    return 0;
}

/* An INT3 in enclave mode: ours? RIP is behind it, which is behind the NOP that stood there. */
bool trap_breakpoint(struct trap_slot *slot, ucontext_t *uc)
{
    uint64_t address = (uint64_t)uc->uc_mcontext.gregs[REG_RIP] - 1;
    uint32_t count = __atomic_load_n(&break_count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < count; i++) {
        if (breaks[i].address != address)
            continue;
        struct softsgx_boundary boundary = boundary_here(slot, uc);
        boundary.rip = address;
        breaks[i].fn(breaks[i].arg, &boundary);
        trap_before_instruction(slot, uc);
        return true;
    }
    return false;
}
