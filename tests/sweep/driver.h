/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a sweep target in an enclave of this machine's software SGX, in a child process, with callbacks at the target's
 * sweep_begin and sweep_end. The callbacks may step (softsgx_step) and see where everything is in drive_map. */
#ifndef VIGIL_SWEEP_DRIVER_H
#define VIGIL_SWEEP_DRIVER_H

#include "softsgx/softsgx.h"

struct drive {
    const char *runtime, *target, *path;   /* runtime ELF, target program, its argument */
    bool legacy;
    softsgx_break_fn begin, end;
};

struct drive_map {
    struct softsgx_enclave *enclave;
    uint64_t resume_begin, resume_end, gate;   /* in the runtime */
    uint64_t counter;                          /* in the target: host signals it has handled */
    uint64_t runtime_low;                      /* everything from here up is not the application */
};
extern struct drive_map drive_map;

/* Returns the target's wait status. Exits with 2 if it cannot be run. */
int drive(const struct drive *drive);
#endif
