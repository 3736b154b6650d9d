/* SPDX-License-Identifier: Apache-2.0
 *
 * Code breakpoints in enclave memory: an INT3 in the place of a NOP, which is skipped, or of the first byte of any
 * instruction, which is then single-stepped with its byte restored. Set and looked up from signal handlers, without
 * locks. */
#include "softsgx/trap.h"

#include <errno.h>
#include <string.h>

#define BREAKPOINTS 64
#define NOP  0x90
#define INT3 0xcc

enum { FREE, CHANGING, ACTIVE };

static struct breakpoint {
    int state;
    struct softsgx_enclave *enclave;
    uint64_t address;
    softsgx_break_fn skip;   /* on a NOP; or */
    softsgx_step_fn stop;    /* on anything */
    void *arg;
    uint64_t serial;         /* tells one use of the entry from the next */
    uint8_t original;
} breakpoints[BREAKPOINTS];
static uint64_t last_serial;
static int in_use; /* an upper bound; 0: there are none */

static struct breakpoint *find(uint64_t address)
{
    for (int i = 0; i < BREAKPOINTS; i++)
        if (__atomic_load_n(&breakpoints[i].state, __ATOMIC_ACQUIRE) == ACTIVE && breakpoints[i].address == address)
            return &breakpoints[i];
    return NULL;
}

static bool change(struct breakpoint *b, int from, int to)
{
    return __atomic_compare_exchange_n(&b->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static struct breakpoint *claim(void)
{
    for (int i = 0; i < BREAKPOINTS; i++)
        if (change(&breakpoints[i], FREE, CHANGING))
            return &breakpoints[i];
    return NULL;
}

static uint8_t *byte_at(const struct softsgx_enclave *enclave, uint64_t address)
{
    return sgx_enclave_alias(enclave) + (address - sgx_enclave_base(enclave));
}

static void put(const struct breakpoint *b, uint8_t from, uint8_t to)
{
    uint8_t *byte = byte_at(b->enclave, b->address);

    /* The program may have overwritten it. */
    __atomic_compare_exchange_n(byte, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void drop(struct breakpoint *b)
{
    if (!change(b, ACTIVE, CHANGING))
        return;
    put(b, INT3, b->original);
    __atomic_store_n(&b->state, FREE, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&in_use, 1, __ATOMIC_RELAXED);
}

static int set(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn skip, softsgx_step_fn stop, void *arg)
{
    struct breakpoint *old = find(address), *b;
    uint8_t original;

    if (address - sgx_enclave_base(enclave) >= sgx_enclave_size(enclave))
        return -EINVAL;
    if (old)
        drop(old);
    if (!skip && !stop)
        return old ? 0 : -ENOENT;
    original = __atomic_load_n(byte_at(enclave, address), __ATOMIC_RELAXED);
    if (skip ? original != NOP : original == INT3) /* the program's own INT3 stays the program's */
        return -EINVAL;
    b = claim();
    if (!b)
        return -ENOSPC;
    b->enclave = enclave;
    b->address = address;
    b->skip = skip;
    b->stop = stop;
    b->arg = arg;
    b->original = original;
    b->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&in_use, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&b->state, ACTIVE, __ATOMIC_RELEASE);
    put(b, original, INT3);
    return 0;
}

int softsgx_break(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn fn, void *arg)
{
    return set(enclave, address, fn, NULL, arg);
}

int softsgx_break_at(struct softsgx_enclave *enclave, uint64_t address, softsgx_step_fn fn, void *arg)
{
    return set(enclave, address, NULL, fn, arg);
}

void sgx_trap_break_forget(const struct softsgx_enclave *enclave)
{
    for (int i = 0; i < BREAKPOINTS; i++)
        if (__atomic_load_n(&breakpoints[i].state, __ATOMIC_ACQUIRE) == ACTIVE && breakpoints[i].enclave == enclave)
            drop(&breakpoints[i]);
}

void sgx_trap_break_hide(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *code, unsigned n)
{
    if (!__atomic_load_n(&in_use, __ATOMIC_RELAXED))
        return;
    for (int i = 0; i < BREAKPOINTS; i++) {
        const struct breakpoint *b = &breakpoints[i];

        if (__atomic_load_n(&b->state, __ATOMIC_ACQUIRE) == ACTIVE && b->enclave == enclave && b->address - address < n &&
            code[b->address - address] == INT3)
            code[b->address - address] = b->original;
    }
}

/* Another thread may remove it at the same time; then it stays removed. */
void sgx_trap_break_again(struct trap_thread *t)
{
    struct breakpoint *b = find(t->step.over);

    t->step.over = 0;
    if (!b || !change(b, ACTIVE, CHANGING))
        return;
    put(b, b->original, INT3);
    __atomic_store_n(&b->state, ACTIVE, __ATOMIC_RELEASE);
}

/* cpu.rip is the breakpoint: its own instruction next, by itself, with the INT3 out of the way. */
static enum trap_kind step_over(struct trap_thread *t, struct breakpoint *b)
{
    put(b, INT3, b->original);
    t->step.over = b->address;
    sgx_trap_look_ahead(t);
    return KIND_OVER;
}

static enum trap_kind stopped(struct trap_thread *t, struct breakpoint *b, uint64_t address, uint64_t serial,
                              enum softsgx_action action)
{
    bool remove = action == SOFTSGX_RUN || action == SOFTSGX_AEX_RUN, here = t->cpu.rip == address;
    bool still = find(address) == b && b->serial == serial; /* the function may have removed or replaced it itself */

    if (remove && still)
        drop(b);
    if (action == SOFTSGX_AEX || action == SOFTSGX_AEX_RUN)
        return KIND_BREAK_AEX;
    if (!here)
        return KIND_CONTINUE;
    if (!remove && still)
        return step_over(t, b);
    sgx_trap_look_ahead(t);
    t->step.patch_pushf &= t->step.active;
    return KIND_OVER;
}

bool sgx_trap_break(struct trap_thread *t, ucontext_t *uc, uint64_t address, enum trap_kind *kind)
{
    struct softsgx_enclave *enclave = t->cpu.enclave;
    struct breakpoint *b = find(address);
    enum softsgx_action action = SOFTSGX_GO;
    struct softsgx_boundary boundary;
    bool active = t->step.active;
    uint64_t generation = t->step.generation, serial;
    softsgx_break_fn skip;

    /* Removed or stepped over by another thread between the INT3 and here: the instruction is there again. */
    if (*byte_at(enclave, address) != INT3) {
        t->cpu.rip = address;
        sgx_trap_look_ahead(t);
        t->step.patch_pushf &= t->step.active;
        *kind = KIND_OVER;
        return true;
    }
    if (!b || b->enclave != enclave)
        return false;
    t->cpu.rip = address;
    sgx_trap_describe(t, uc, &boundary);
    t->step.active = false; /* the callback sees the enclave's own flags */
    sgx_trap_store(t, uc);
    skip = b->skip;
    serial = b->serial;
    if (skip)
        skip(b->arg, &boundary);
    else
        action = b->stop(b->arg, &boundary);
    if (generation == t->step.generation)
        t->step.active = active;
    sgx_trap_load(t, uc);
    if (!skip) {
        *kind = stopped(t, b, address, serial, action);
        return true;
    }
    if (t->cpu.rip == address)
        t->cpu.rip = address + 1;
    *kind = KIND_CONTINUE;
    return true;
}
