/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies before the program runs: addresses in the enclave where the host's should be, impossible counts. */
#include "softsgx/enclave.h"
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INSIDE 0x20000ul /* application memory */

static struct vigil_boot *boot_of(struct host_thread *thread)
{
    return (struct vigil_boot *)thread->shared.boot;
}

#define TAMPER(name, what) \
    static void name(struct host_thread *thread, uint64_t *argument) { (void)thread, (void)argument; what; }

static const char *bad_strings[2] = {(const char *)INSIDE, NULL};

/* Nobody measures what application memory holds at first: as hard to see as one byte of a page, or all of it. */
static void fill_memory(struct host_thread *thread, uint64_t *argument)
{
    unsigned char all[VIGIL_PAGE];
    uint64_t page = VIGIL_APP_START;

    (void)thread, (void)argument;
    memset(all, 0xaa, sizeof(all));
    for (; sgx_epcm_get(sgx_enclave_at(VIGIL_APP_START), page) & EPCM_VALID; page += VIGIL_PAGE) {
        uint64_t n = page / VIGIL_PAGE, offset = n % 3 == 0 ? 0 : n % 3 == 1 ? n * 37 % VIGIL_PAGE : VIGIL_PAGE - 1;
        if (softsgx_debug_write(sgx_enclave_at(VIGIL_APP_START), page + offset, all, offset ? 1 : VIGIL_PAGE))
            abort();
    }
    if (page < 16u << 20)
        abort();
}

TAMPER(block_inside, *argument = INSIDE)
TAMPER(block_odd, *argument += 3)
TAMPER(block_at_the_end, *argument = ~7ul)
TAMPER(arena_inside, thread->shared.arena = INSIDE)
TAMPER(arena_into_it, thread->shared.arena_size = ~0ul)
TAMPER(arena_small, thread->shared.arena_size = 4096)
TAMPER(arena_odd, thread->shared.arena += 1)
TAMPER(boot_inside, thread->shared.boot = INSIDE)
TAMPER(many_arguments, boot_of(thread)->argc = 1ul << 60)
TAMPER(arguments_inside, boot_of(thread)->argv = INSIDE)
TAMPER(argument_inside, boot_of(thread)->argv = (uint64_t)bad_strings; boot_of(thread)->argc = 1)
TAMPER(no_arguments, boot_of(thread)->argc = 0)
TAMPER(environment_inside, boot_of(thread)->envp = INSIDE; boot_of(thread)->envc = 5)
TAMPER(environment_many, boot_of(thread)->envc = ~0ul)
TAMPER(cwd_inside, boot_of(thread)->cwd = INSIDE)
TAMPER(pid_zero, boot_of(thread)->pid = 0)
TAMPER(ids_odd, boot_of(thread)->uid = ~0u; boot_of(thread)->gid = ~0u; boot_of(thread)->pid = ~0u)
TAMPER(log_level_odd, boot_of(thread)->log_level_override = ~0u)
TAMPER(slot_odd, thread->shared.slot = 77)
TAMPER(mailbox_full, thread->shared.pending = ~0ul)

#define S(name, expected) {"hello", 0, NULL, 0, expected, 0, name}

const struct hostile_case hostile_start[] = {
    {"hello", 0, NULL, 0, "=", 0, NULL},
    S(block_inside, "stop:|die:11"), S(block_odd, "stop:"), S(block_at_the_end, "stop:"), S(arena_inside, "stop:"),
    S(arena_into_it, "stop:"), S(arena_small, "stop:"), S(arena_odd, "stop:"), S(boot_inside, "stop:inside the enclave"),
    S(many_arguments, "stop:too many arguments"), S(arguments_inside, "stop:too many arguments"),
    S(argument_inside, "stop:arguments and environment"), S(no_arguments, "stop:|exit:2"), S(environment_inside, "stop:too many"),
    S(environment_many, "stop:too many"), S(cwd_inside, "="), S(pid_zero, "="), S(ids_odd, "="), S(log_level_odd, "="),
    {"hello", 0, NULL, 0, "=", 0, fill_memory}, {"fresh", 0, NULL, 0, "=", 0, fill_memory},
    {"thread", 0, NULL, 0, "=", 0, fill_memory}, {"again", 0, NULL, 0, "=", 0, fill_memory},
    {"mremap", 0, NULL, 0, "=", 0, fill_memory}, {"mmap", 0, NULL, 0, "=", 0, fill_memory},
    S(slot_odd, "="), S(mailbox_full, "die:1"),
    {0},
};
