/* SPDX-License-Identifier: Apache-2.0
 *
 * One run of a program in an enclave of the software SGX, in a child process of its own: undisturbed, stepped through a
 * region to see its boundaries, or with events at boundaries of it. Standard output and exit status are kept. */
#ifndef VIGIL_SWEEP_PROGRAM_H
#define VIGIL_SWEEP_PROGRAM_H

#include "sweep/sweep.h"

/* Where to look. from and to are addresses in the program's file. */
struct sweep_region {
    bool all;            /* from the program's first instruction to its end */
    bool to_return;      /* `to` is not used: until the function at `from` returns */
    uint64_t from, to;
};

#define SWEEP_KEPT (64u << 20) /* bytes of output that are kept, and compared */

enum sweep_mode {
    SWEEP_UNDISTURBED,
    SWEEP_DISCOVER,      /* the region into trace */
    SWEEP_SHOOT,         /* the shot's events */
    SWEEP_RECORD,        /* the same; and into trace what handles the last one */
};

struct sweep_program {
    const struct image *image;
    char **argv, **envp;
    int argc;
    struct sweep_region region;
    int input;           /* a file that is the program's standard input, from its beginning; -1: /dev/null */
    bool show;           /* let it print instead of keeping what it prints */
    unsigned limit;      /* seconds */
};

struct sweep_end {
    int status;          /* as waitpid() gives it */
    bool timed_out;
    bool too_much;       /* printed more than SWEEP_KEPT: it has been ended, or was about to end */
    bool entered;        /* the region was reached */
    int output;          /* file with what was printed, -1 with show */
    uint64_t output_size;
    uint64_t bias;       /* what was added to the addresses in the program's file */
    struct sweep_outcome outcome;
};

/* Runs it once. trace for SWEEP_DISCOVER and SWEEP_RECORD, shot for the last two. 0, or -1 with errno. The caller closes
 * end->output. A signal to this process ends the wait with EINTR; the child is gone then. */
int sweep_run(const struct sweep_program *program, enum sweep_mode mode, const struct sweep_shot *shot,
              struct sweep_trace *trace, struct sweep_end *end);
/* Did the two print the same and end the same way? */
bool sweep_same(const struct sweep_end *a, const struct sweep_end *b);

#endif
