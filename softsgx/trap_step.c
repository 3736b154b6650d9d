/* SPDX-License-Identifier: Apache-2.0
 *
 * Stepping: RFLAGS.TF in the frame that returns to the enclave, and a call in front of each instruction. */
#include "softsgx/trap.h"

void sgx_trap_describe(const struct trap_thread *t, ucontext_t *uc, struct softsgx_boundary *b)
{
    const struct sgx_cpu *cpu = &t->cpu;
    const struct sgx_tcs *tcs =
        (const struct sgx_tcs *)(sgx_enclave_alias(cpu->enclave) + (cpu->tcs - sgx_enclave_base(cpu->enclave)));

    *b = (struct softsgx_boundary){
        .enclave = cpu->enclave,
        .tcs = cpu->tcs,
        .cssa = tcs->cssa,
        .rip = cpu->rip,
        .rsp = cpu->gpr[SGX_RSP],
        .count = t->step.count,
        .uc = uc,
    };
}

void sgx_trap_unpatch_pushf(struct trap_thread *t, bool executed)
{
    uint64_t address = t->cpu.gpr[SGX_RSP] + 1; /* TF is bit 8 */
    uint64_t offset = address - sgx_enclave_base(t->cpu.enclave);
    uint8_t byte;

    if (!t->step.patch_pushf || !executed) {
        t->step.patch_pushf = false;
        return;
    }
    t->step.patch_pushf = false;
    if (offset >= sgx_enclave_size(t->cpu.enclave)) {
        *(uint8_t *)address &= (uint8_t)~(TRAP_FL_TF >> 8);
    } else if (sgx_epc_read(t->cpu.enclave, address, &byte, 1)) {
        byte &= (uint8_t)~(TRAP_FL_TF >> 8);
        (void)sgx_epc_write(t->cpu.enclave, address, &byte, 1);
    }
}

void sgx_trap_look_ahead(struct trap_thread *t)
{
    uint8_t code[15];
    unsigned n = sgx_trap_code(t->cpu.enclave, t->cpu.rip, code, sizeof(code));

    t->step.patch_pushf = sgx_trap_is_pushf(code, n);
}

enum softsgx_action sgx_trap_boundary(struct trap_thread *t, ucontext_t *uc, bool entered)
{
    uint64_t generation = t->step.generation;
    struct softsgx_boundary b;
    enum softsgx_action action;
    bool active;

    sgx_trap_describe(t, uc, &b);
    b.entered = entered;
    t->step.count++;
    /* The callback sees the enclave's own flags. */
    active = t->step.active;
    t->step.active = false;
    sgx_trap_store(t, uc);
    t->step.active = active;
    action = t->step.fn(t->step.arg, &b);
    sgx_trap_load(t, uc);
    if ((action == SOFTSGX_RUN || action == SOFTSGX_AEX_RUN) && generation == t->step.generation)
        t->step.active = false;
    if (action == SOFTSGX_GO || action == SOFTSGX_RUN)
        sgx_trap_look_ahead(t);
    t->step.patch_pushf &= t->step.active;
    return action;
}

void softsgx_step(softsgx_step_fn fn, void *arg)
{
    struct trap_thread *t = sgx_trap_self();

    if (!t)
        return;
    t->step.generation++;
    t->step.fn = fn;
    t->step.arg = arg;
    t->step.count = 0;
    t->step.fired = false;
    t->step.active = fn;
}

/* ---- ready-made step functions ---- */

static enum softsgx_action after(void *arg, const struct softsgx_boundary *b)
{
    const struct trap_step *s = arg;

    return b->count >= s->left ? SOFTSGX_AEX_RUN : SOFTSGX_GO;
}

void softsgx_aex_after(uint64_t n)
{
    struct trap_thread *t = sgx_trap_self();

    if (!t)
        return;
    softsgx_step(after, &t->step);
    t->step.left = n;
}

/* The instruction an AEX was in front of comes up again after ERESUME, and runs then. */
static enum softsgx_action every(void *arg, const struct softsgx_boundary *b)
{
    struct trap_step *s = arg;

    if (s->fired && b->entered && b->rip == s->fired_rip && b->cssa == s->fired_cssa) {
        s->fired = false;
        return SOFTSGX_GO;
    }
    s->fired = true;
    s->fired_rip = b->rip;
    s->fired_cssa = b->cssa;
    return SOFTSGX_AEX;
}

void softsgx_aex_every(void)
{
    struct trap_thread *t = sgx_trap_self();

    if (t)
        softsgx_step(every, &t->step);
}

/* splitmix64: any seed will do, and neighbouring seeds have nothing in common. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static void draw(struct trap_step *s)
{
    s->left = 1 + next_random(&s->random) % (2 * (uint64_t)s->mean - 1);
}

/* Counts instructions, not boundaries: an entry is a boundary with no instruction behind it. */
static enum softsgx_action at_random(void *arg, const struct softsgx_boundary *b)
{
    struct trap_step *s = arg;

    if (b->entered || --s->left)
        return SOFTSGX_GO;
    draw(s);
    return SOFTSGX_AEX;
}

void softsgx_aex_random(uint64_t seed, uint32_t mean)
{
    struct trap_thread *t = sgx_trap_self();

    if (!t)
        return;
    softsgx_step(at_random, &t->step);
    t->step.random = seed;
    t->step.mean = mean ? mean : 1;
    draw(&t->step);
}
