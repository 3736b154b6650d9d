/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies about enclave memory, with dynamic memory: the ranges are done, not done, done to others. */
#include "softsgx/enclave.h"
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <string.h>

/* What is done to pages when the enclave asks for an operation: value is the operation lied about. */
static bool about(const struct lie_call *c)
{
    return c->exit->args[0] == (uint64_t)hostile_now->value;
}

static const struct vigil_range *ranges(const struct lie_call *c)
{
    return (const void *)c->exit->args[2];
}

static uint64_t lie_nothing_done(struct lie_call *c)
{
    return about(c) ? 0 : c->honest(c);
}

static uint64_t lie_error(struct lie_call *c)
{
    return about(c) ? (uint64_t)-EBUSY : c->honest(c);
}

static uint64_t lie_done_but_error(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    return about(c) ? (uint64_t)-ENOMEM : result;
}

static uint64_t lie_odd_result(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    return about(c) ? 1ul << 40 : result;
}

/* Every second call. */
static uint64_t lie_sometimes(struct lie_call *c)
{
    return c->nth % 2 ? c->honest(c) : (uint64_t)-EBUSY;
}

/* Errors without reason, things half done, others done instead: another mixture in each call, the same in each run. */
static uint64_t lie_by_chance(struct lie_call *c)
{
    uint64_t dice = ((uint64_t)c->nth + 7) * 0x9e3779b97f4a7c15ull >> 33;

    switch (dice % 6) {
    case 0:
        return (uint64_t)-EAGAIN;
    case 1:
        return 0;
    case 2:
        return (uint64_t)(int64_t)backend->memory((uint32_t)c->exit->args[0], ranges(c)->address, VIGIL_PAGE, c->exit->args[1]);
    case 3:
        (void)c->honest(c);
        return (uint64_t)-ENOMEM;
    default:
        return c->honest(c);
    }
}

/* The first range alone, and of it the first page. */
static uint64_t lie_half_done(struct lie_call *c)
{
    const struct vigil_range *r = ranges(c);

    return about(c) ? (uint64_t)(int64_t)backend->memory((uint32_t)hostile_now->value, r->address, VIGIL_PAGE, c->exit->args[1])
                    : c->honest(c);
}

/* Pages behind what was asked for, too. */
static uint64_t lie_more(struct lie_call *c)
{
    const struct vigil_range *r = ranges(c);

    if (about(c))
        (void)backend->memory((uint32_t)hostile_now->value, r->address + r->length, 16ul * VIGIL_PAGE, c->exit->args[1]);
    return c->honest(c);
}

/* More rights taken than asked for: all of them. */
static uint64_t lie_no_rights(struct lie_call *c)
{
    if (!about(c))
        return c->honest(c);
    for (uint64_t i = 0; i < c->exit->args[3]; i++)
        (void)backend->memory(VIGIL_MEMORY_RESTRICT, ranges(c)[i].address, ranges(c)[i].length, 0);
    return 0;
}

/* Pages are trimmed, or their rights taken, although nothing of the kind was asked for. */
static uint64_t lie_trim_instead(struct lie_call *c)
{
    if (!about(c))
        return c->honest(c);
    for (uint64_t i = 0; i < c->exit->args[3]; i++)
        (void)backend->memory(VIGIL_MEMORY_TRIM, ranges(c)[i].address, ranges(c)[i].length, 0);
    return 0;
}

/* Before anything else: pages in use, next to those that are asked for, are away (or trimmed). */
static uint64_t lie_remove_used(struct lie_call *c)
{
    struct softsgx_enclave *e = host_software_enclave();

    if (c->nth == 4)
        for (unsigned i = 1; i < 5; i++)
            (void)sgx_eremove(e, ranges(c)->address - (uint64_t)i * VIGIL_PAGE);
    return c->honest(c);
}

static uint64_t lie_trim_used(struct lie_call *c)
{
    if (c->nth == 4)
        (void)backend->memory(VIGIL_MEMORY_TRIM, ranges(c)->address - 4ul * VIGIL_PAGE, 4ul * VIGIL_PAGE, 0);
    return c->honest(c);
}

static uint64_t lie_restrict_used(struct lie_call *c)
{
    if (c->nth == 4)
        (void)backend->memory(VIGIL_MEMORY_RESTRICT, ranges(c)->address - 4ul * VIGIL_PAGE, 4ul * VIGIL_PAGE, 0);
    return c->honest(c);
}

/* The runtime's own: its heap (value 0), its code, its data. */
static uint64_t lie_remove_runtime(struct lie_call *c)
{
    struct softsgx_enclave *e = host_software_enclave();
    uint64_t top = e->base + e->size, heap = top - (uint64_t)hostile_now->value * VIGIL_PAGE;

    if (c->nth == 2)
        for (uint64_t page = heap; page < heap + 4ul * VIGIL_PAGE && page < top; page += VIGIL_PAGE)
            (void)sgx_eremove(e, page);
    return c->honest(c);
}

/* What is given back goes without having been trimmed, and comes back new. */
static uint64_t lie_removed_at_once(struct lie_call *c)
{
    struct softsgx_enclave *e = host_software_enclave();

    if (!about(c))
        return c->honest(c);
    for (uint64_t i = 0; i < c->exit->args[3]; i++)
        for (uint64_t at = 0; at < ranges(c)[i].length; at += VIGIL_PAGE)
            (void)sgx_eremove(e, ranges(c)[i].address + at);
    return 0;
}

#define MEMORY OCALL(VIGIL_OCALL_MEMORY)
#define M(name, lie, operation, expected) {name, MEMORY, lie, VIGIL_MEMORY_##operation, expected, ON_EDMM, NULL}
#define ANY_END "die:7|stop:the host did not|stop:the host withholds"
#define CRASH "=|stop:the host has taken|exit:139|exit:132"
#define GONE "stop:the host did not"
#define BUS "readonly: 0 1b5f" /* SIGBUS, which the path catches */
#define WITHHELD "stop:the host withholds"

const struct hostile_case hostile_memory[] = {
    /* the honest host, to begin with */
    {"touch", 0, NULL, 0, "=", ON_EDMM, NULL}, {"again", 0, NULL, 0, "=", ON_EDMM, NULL},
    {"dontneed", 0, NULL, 0, "=", ON_EDMM, NULL}, {"mprotect", 0, NULL, 0, "=", ON_EDMM, NULL},
    {"readonly", 0, NULL, 0, "=", ON_EDMM, NULL}, {"mremap", 0, NULL, 0, "=", ON_EDMM, NULL},
    {"into", 0, NULL, 0, "=", ON_EDMM, NULL}, {"threads", 0, NULL, 0, "=", ON_EDMM, NULL},
    {"race", 0, NULL, 0, "=", ON_EDMM, NULL}, {"race", 0, NULL, 0, "=", 0, NULL},

    {"race", 0, NULL, 0, "=", ON_EDMM | NO_GUARDS, NULL}, {"again", 0, NULL, 0, "=", ON_EDMM | NO_GUARDS, NULL},
    {"mprotect", 0, NULL, 0, "=", ON_EDMM | NO_GUARDS, NULL}, {"threads", 0, NULL, 0, "=", ON_EDMM | NO_GUARDS, NULL},
    {"mremap", 0, NULL, 0, "=", ON_EDMM | NO_GUARDS, NULL}, {"race", 0, NULL, 0, "=", NO_GUARDS, NULL},

    /* adding: a hint, EACCEPT asks the kernel itself */
    M("touch", lie_nothing_done, ADD, "="), M("touch", lie_error, ADD, "="), M("touch", lie_half_done, ADD, "="),
    M("touch", lie_done_but_error, ADD, "="), M("touch", lie_odd_result, ADD, "="), M("touch", lie_more, ADD, "="),
    M("into", lie_nothing_done, ADD, "="), M("into", lie_more, ADD, "="), M("into", lie_trim_instead, ADD, "=|die:7|into: EFAULT|into: ENOMEM"),
    M("threads", lie_nothing_done, ADD, "="), M("threads", lie_error, ADD, "=|threads: EAGAIN"), M("threads", lie_more, ADD, "="),
    M("touch", lie_by_chance, ADD, "=|" ANY_END), M("again", lie_by_chance, ADD, "=|" ANY_END), M("race", lie_by_chance, ADD, "=|" ANY_END),
    M("mprotect", lie_by_chance, ADD, "=|mprotect: ENOMEM|" ANY_END), M("mremap", lie_by_chance, ADD, "=|mremap: ENOMEM|" ANY_END),
    M("threads", lie_by_chance, ADD, "=|threads: EAGAIN|threads: ENOMEM|" ANY_END), M("into", lie_by_chance, ADD, "=|into: EFAULT|" ANY_END),
    M("race", lie_more, ADD, "="), M("race", lie_error, ADD, "="), M("mremap", lie_more, ADD, "="),

    /* giving back: what was there is never seen again */
    M("again", lie_nothing_done, TRIM, "=|" GONE), M("again", lie_error, TRIM, "=|" GONE), M("again", lie_half_done, TRIM, "=|" GONE),
    M("again", lie_more, TRIM, "=|" GONE "|" CRASH), /* what lies behind may be the runtime's */
    M("again", lie_done_but_error, TRIM, "="), M("again", lie_odd_result, TRIM, "="),
    M("again", lie_removed_at_once, TRIM, "=|" GONE), M("dontneed", lie_nothing_done, TRIM, "=|dontneed: ENOMEM|" GONE),
    M("dontneed", lie_half_done, TRIM, "=|dontneed: ENOMEM|" GONE), M("dontneed", lie_removed_at_once, TRIM, "=|dontneed: ENOMEM|" GONE),
    M("again", lie_nothing_done, REMOVE, "=|die:7|stop:page"), M("again", lie_half_done, REMOVE, "=|die:7|stop:page"),
    M("again", lie_error, REMOVE, "=|die:7|stop:page"), M("dontneed", lie_nothing_done, REMOVE, "=|die:7|dontneed: ENOMEM"),
    M("mremap", lie_nothing_done, TRIM, "=|" GONE), M("race", lie_sometimes, TRIM, "=|" GONE "|die:7"),

    /* rights */
    M("mprotect", lie_nothing_done, RESTRICT, "mprotect: ENOMEM|" GONE), M("mprotect", lie_error, RESTRICT, "mprotect: ENOMEM|" GONE),
    M("mprotect", lie_half_done, RESTRICT, "mprotect: ENOMEM|" GONE), M("mprotect", lie_no_rights, RESTRICT, "mprotect: ENOMEM|" GONE),
    M("mprotect", lie_more, RESTRICT, "=|die:7|" CRASH), M("mprotect", lie_done_but_error, RESTRICT, "="),
    M("mprotect", lie_trim_instead, RESTRICT, "mprotect: ENOMEM|" GONE), M("readonly", lie_nothing_done, RESTRICT, BUS),
    M("readonly", lie_error, RESTRICT, BUS), M("readonly", lie_half_done, RESTRICT, "="),
    M("readonly", lie_no_rights, RESTRICT, BUS),

    /* what nobody asked for, to pages in use */
    M("touch", lie_remove_used, ADD, "die:7|" WITHHELD), M("touch", lie_trim_used, ADD, "die:7|" WITHHELD), M("touch", lie_restrict_used, ADD, "die:7|" WITHHELD),
    {"touch", MEMORY, lie_remove_runtime, 1, CRASH, ON_EDMM, NULL}, {"touch", MEMORY, lie_remove_runtime, 4, CRASH, ON_EDMM, NULL},
    {"touch", MEMORY, lie_remove_runtime, 40, CRASH, ON_EDMM, NULL}, {"touch", MEMORY, lie_remove_runtime, 80, CRASH, ON_EDMM, NULL},
    {"touch", MEMORY, lie_remove_runtime, 120, CRASH, ON_EDMM, NULL},
    M("threads", lie_nothing_done, TCS, "stop:TCS|threads: EAGAIN"), M("threads", lie_error, TCS, "stop:TCS|threads: EAGAIN"),
    M("threads", lie_trim_instead, TCS, "stop:TCS|threads: EAGAIN"), M("threads", lie_odd_result, TCS, "="),
    {0},
};
