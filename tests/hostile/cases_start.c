/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies before the program runs: addresses in the enclave where the host's should be, impossible counts. */
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <string.h>

#define INSIDE 0x20000ul /* application memory */

static struct vigil_boot *boot_of(struct host_thread *thread)
{
    return (struct vigil_boot *)thread->shared.boot;
}

#define TAMPER(name, what) \
    static void name(struct host_thread *thread, uint64_t *argument) { (void)thread, (void)argument; what; }

static const char *bad_strings[2] = {(const char *)INSIDE, NULL};

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
    S(slot_odd, "="), S(mailbox_full, "die:1"),
    {0},
};
