/* SPDX-License-Identifier: Apache-2.0
 *
 * Code breakpoints in enclave memory: an INT3 in the place of a NOP, which is skipped, or of the first byte of any
 * instruction, which is then single-stepped with its byte restored. Set and looked up from signal handlers, without
 * locks. */
#include "softsgx/trap.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define BREAKPOINTS 64
#define PATIENCE (1u << 20)
#define NOP  0x90
#define INT3 0xcc

/* CHANGING: it belongs to one thread, for a few instructions that no signal interrupts. The others wait, because meanwhile
 * the INT3 may be there or not. */
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

static int state_of(const struct breakpoint *b)
{
    return __atomic_load_n(&b->state, __ATOMIC_ACQUIRE);
}

/* Bounded for a child of fork(), in which nobody goes on. */
static int settled(const struct breakpoint *b)
{
    int state = state_of(b);

    for (unsigned i = 0; state == CHANGING && i < PATIENCE; i++) {
        sched_yield();
        state = state_of(b);
    }
    return state;
}

static uint64_t address_of(const struct breakpoint *b)
{
    return __atomic_load_n(&b->address, __ATOMIC_RELAXED);
}

static struct breakpoint *find(uint64_t address)
{
    for (int i = 0; i < BREAKPOINTS; i++) {
        struct breakpoint *b = &breakpoints[i];

        if (state_of(b) != FREE && address_of(b) == address && settled(b) == ACTIVE && address_of(b) == address)
            return b;
    }
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

static void release(struct breakpoint *b, int to)
{
    __atomic_store_n(&b->state, to, __ATOMIC_RELEASE);
}

/* The breakpoint at this address, for us alone until release(); NULL: there is none. */
static struct breakpoint *take(uint64_t address)
{
    struct breakpoint *b;

    while ((b = find(address))) {
        if (!change(b, ACTIVE, CHANGING))
            continue;
        if (b->address == address)
            return b;
        release(b, ACTIVE);
    }
    return NULL;
}

static uint8_t code_at(const struct softsgx_enclave *enclave, uint64_t address)
{
    uint8_t byte = 0;

    (void)sgx_epc_read(enclave, address, &byte, 1);
    return byte;
}

static void put(const struct breakpoint *b, uint8_t from, uint8_t to)
{
    /* The program may have overwritten it. */
    (void)sgx_epc_replace(b->enclave, b->address, from, to);
}

/* serial: only that one; 0: whichever is there. */
static bool drop(uint64_t address, uint64_t serial)
{
    struct breakpoint *b = take(address);

    if (!b)
        return false;
    if (serial && b->serial != serial) {
        release(b, ACTIVE);
        return false;
    }
    put(b, INT3, b->original);
    release(b, FREE);
    __atomic_fetch_sub(&in_use, 1, __ATOMIC_RELAXED);
    return true;
}

static int replace(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn skip, softsgx_step_fn stop,
                   void *arg)
{
    bool old = drop(address, 0);
    struct breakpoint *b;
    uint8_t original;

    if (!skip && !stop)
        return old ? 0 : -ENOENT;
    original = code_at(enclave, address);
    if (skip ? original != NOP : original == INT3) /* the program's own INT3 stays the program's */
        return -EINVAL;
    b = claim();
    if (!b)
        return -ENOSPC;
    b->enclave = enclave;
    __atomic_store_n(&b->address, address, __ATOMIC_RELAXED);
    b->skip = skip;
    b->stop = stop;
    b->arg = arg;
    b->original = original;
    b->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_SEQ_CST); /* behind the address: see look() */
    __atomic_fetch_add(&in_use, 1, __ATOMIC_RELAXED);
    release(b, ACTIVE);
    put(b, original, INT3);
    return 0;
}

/* A handler that interrupted a change would wait for itself. */
static void block_signals(sigset_t *old)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, old);
}

static int set(struct softsgx_enclave *enclave, uint64_t address, softsgx_break_fn skip, softsgx_step_fn stop,
               void *arg)
{
    sigset_t old;
    int status;

    if (address - sgx_enclave_base(enclave) >= sgx_enclave_size(enclave))
        return -EINVAL;
    block_signals(&old);
    status = replace(enclave, address, skip, stop, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status;
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
    sigset_t old;

    block_signals(&old);
    for (int i = 0; i < BREAKPOINTS; i++)
        if (settled(&breakpoints[i]) == ACTIVE && breakpoints[i].enclave == enclave)
            drop(breakpoints[i].address, breakpoints[i].serial);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void sgx_trap_break_hide(const struct softsgx_enclave *enclave, uint64_t address, uint8_t *code, unsigned n)
{
    if (!__atomic_load_n(&in_use, __ATOMIC_RELAXED))
        return;
    for (int i = 0; i < BREAKPOINTS; i++) {
        const struct breakpoint *b = &breakpoints[i];

        if (state_of(b) != FREE && address_of(b) - address < n && settled(b) == ACTIVE && b->enclave == enclave &&
            b->address - address < n && code[b->address - address] == INT3)
            code[b->address - address] = b->original;
    }
}

/* Another thread may have removed it meanwhile; then it stays removed. */
void sgx_trap_break_again(struct trap_thread *t)
{
    struct breakpoint *b = take(t->step.over);

    t->step.over = 0;
    if (!b)
        return;
    put(b, b->original, INT3);
    release(b, ACTIVE);
}

/* The instruction at cpu.rip next, which is no breakpoint any more. */
static enum trap_kind go_on(struct trap_thread *t)
{
    sgx_trap_look_ahead(t);
    t->step.patch_pushf &= t->step.active || t->step.over;
    return KIND_OVER;
}

/* cpu.rip is the breakpoint with this serial number (0: any): its own instruction next, by itself, with the INT3 out of the
 * way. */
static enum trap_kind step_over(struct trap_thread *t, uint64_t address, uint64_t serial)
{
    struct breakpoint *b = take(address);

    if (!b)
        return go_on(t);
    if (serial && b->serial != serial) {
        release(b, ACTIVE);
        return go_on(t);
    }
    put(b, INT3, b->original);
    release(b, ACTIVE);
    t->step.over = address;
    sgx_trap_look_ahead(t);
    return KIND_OVER;
}

/* Its function, which may have removed or replaced it itself, has answered. */
static enum trap_kind stopped(struct trap_thread *t, uint64_t address, uint64_t serial, enum softsgx_action action)
{
    bool remove = action == SOFTSGX_RUN || action == SOFTSGX_AEX_RUN, here = t->cpu.rip == address;

    if (remove)
        drop(address, serial);
    if (action == SOFTSGX_AEX || action == SOFTSGX_AEX_RUN)
        return KIND_BREAK_AEX;
    if (!here)
        return KIND_CONTINUE;
    return remove ? go_on(t) : step_over(t, address, serial);
}

enum found { GONE, OURS, FOREIGN };

/* Whose INT3 was it? Other threads set and remove breakpoints meanwhile: with none there before a look at the code and none
 * set until after it, the INT3 is the program's. */
static enum found look(const struct softsgx_enclave *enclave, uint64_t address, struct breakpoint *seen)
{
    uint64_t last;

    do {
        last = __atomic_load_n(&last_serial, __ATOMIC_SEQ_CST);
        struct breakpoint *b = take(address);
        if (b) {
            *seen = *b;
            release(b, ACTIVE);
            if (seen->enclave != enclave)
                return FOREIGN;
            /* Without INT3 another thread is stepping over it; a NOP has been overwritten. */
            return seen->stop || code_at(enclave, address) == INT3 ? OURS : GONE;
        }
        if (code_at(enclave, address) != INT3)
            return GONE;
    } while (__atomic_load_n(&last_serial, __ATOMIC_SEQ_CST) != last);
    return FOREIGN;
}

/* The function is called with the enclave's own flags. */
static enum softsgx_action call(struct trap_thread *t, ucontext_t *uc, const struct breakpoint *b)
{
    enum softsgx_action action = SOFTSGX_GO;
    bool active = t->step.active;
    uint64_t generation = t->step.generation;
    struct softsgx_boundary boundary;

    sgx_trap_describe(t, uc, &boundary);
    t->step.active = false;
    sgx_trap_store(t, uc);
    if (b->skip)
        b->skip(b->arg, &boundary);
    else
        action = b->stop(b->arg, &boundary);
    if (generation == t->step.generation)
        t->step.active = active;
    sgx_trap_load(t, uc);
    return action;
}

bool sgx_trap_break(struct trap_thread *t, ucontext_t *uc, uint64_t address, enum trap_kind *kind)
{
    struct breakpoint b;
    enum found found = look(t->cpu.enclave, address, &b);
    enum softsgx_action action;

    if (found == FOREIGN)
        return false;
    t->cpu.rip = address;
    if (found == GONE) {
        *kind = go_on(t);
        return true;
    }
    /* Another thread has put it back before the instruction that is stepped over: this arrival has been reported. */
    if (t->step.over == address) {
        *kind = step_over(t, address, 0);
        return true;
    }
    action = call(t, uc, &b);
    if (!b.skip) {
        *kind = stopped(t, address, b.serial, action);
        return true;
    }
    if (t->cpu.rip == address)
        t->cpu.rip = address + 1;
    *kind = KIND_CONTINUE;
    return true;
}
