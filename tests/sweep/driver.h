/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a sweep target in an enclave of this machine's software SGX, in a child process, with callbacks at the target's
 * sweep_begin and sweep_end. The callbacks may step (softsgx_step) and see where everything is in sweep_map. */
#ifndef VIGIL_SWEEP_DRIVER_H
#define VIGIL_SWEEP_DRIVER_H

#include "sweep/sweep.h"

struct drive {
    const char *runtime, *target, *path;   /* runtime ELF, target program, its argument */
    bool legacy, edmm;
    const char *policy;                    /* KEY=VALUE of sgx.aex_notify, or NULL */
    softsgx_break_fn begin, end;
};

/* In the target: host signals it has handled. */
extern uint64_t drive_counter;

/* Returns the target's wait status. Exits with 2 if it cannot be run. */
int drive(const struct drive *drive);
#endif
