/* SPDX-License-Identifier: Apache-2.0
 *
 * Exit statuses of the vigil command itself. Everything else is the program's own; 128+N: it died of signal N. */
#ifndef VIGIL_EXIT_CODES_H
#define VIGIL_EXIT_CODES_H

enum {
    EXIT_DIFFERENT = 1,    /* vigil sweep: an interrupted run was not like the undisturbed one */
    EXIT_USAGE = 2,        /* the command line is wrong */
    EXIT_BAD_INPUT = 3,    /* manifest, image, key or configuration */
    EXIT_NO_SGX = 4,       /* the SGX refused the enclave, or the enclave refused to run */
    EXIT_INTERRUPTED = 130, /* vigil sweep: ctrl-C; the summary so far was printed */
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
};
#endif
