/* SPDX-License-Identifier: Apache-2.0
 *
 * The untrusted host runtime: loads an image into an SGX (software or the Linux driver), runs it, serves its OCALLs. */
#ifndef VIGIL_HOST_H
#define VIGIL_HOST_H

#include "image/image.h"

#ifdef __cplusplus
extern "C" {
#endif

struct host_options {
    unsigned tick_hz;           /* software SGX only; 250 by default */
    bool stats;
    bool remember;              /* software SGX only: what measuring heaps comes to, in the user's cache directory */
    uint64_t epc_size;          /* software SGX only: bytes of EPC that there are; 0: no limit */
    int log_level;              /* enum vigil_log_level; -1: as measured. Raising it is honoured in debug enclaves only */
    int argc;
    char **argv;                /* the program's, if the configuration takes them from the command line */
    char **envp;
    /* Called when the enclave is loaded, before it is entered (tests set breakpoints here). */
    void (*loaded)(void *arg);
    void *loaded_arg;
    /* Interrupt schedules for tests (software SGX only). AFTER and EVERY are the first thread's; RANDOM is every
     * thread's, from aex_seed plus the thread's ordinal number, with aex_n instructions between AEXs on average; THREADS is
     * RANDOM without the first thread. */
    enum { HOST_AEX_NONE, HOST_AEX_AFTER, HOST_AEX_EVERY, HOST_AEX_RANDOM, HOST_AEX_THREADS } aex;
    uint64_t aex_n, aex_seed;
    bool plain;                 /* every ENCLU (software SGX) and every system call of the program traps: slow */
};

/* Which SGX there is. name is "software" or "hardware"; reason says why it is (not) usable, in one line. */
struct host_sgx {
    const char *name;
    bool usable, sgx1, sgx2, aex_notify, edeccssa, exinfo;
    uint64_t xfrm;
    char reason[256];
};
/* Fills [0] software, [1] hardware; returns the index of the one that will be used for this image (NULL: any). */
int host_probe(struct host_sgx sgx[2], const struct image *image);

/* Builds the enclave and runs it in this process. Does not return on success: the process ends with the program's own
 * status (128+N for signals). Returns -1 with a message if the enclave could not be started. */
/* Exit status when the enclave stopped itself or could not be run (cli/exit_codes.h). */
#define HOST_EXIT_REFUSED 4
int host_run(const struct image *image, const struct host_options *options, struct image_error *error);

#ifdef __cplusplus
}
#endif
#endif
