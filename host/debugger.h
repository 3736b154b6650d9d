/* SPDX-License-Identifier: Apache-2.0
 *
 * What a debugger may know of a debug enclave, in the manner of the dynamic linker's r_debug: a structure to read and a
 * function to put a breakpoint on. tools/gdb/vigil.py reads it by offset; VIGIL_DEBUG_VERSION changes with it. */
#ifndef VIGIL_HOST_DEBUGGER_H
#define VIGIL_HOST_DEBUGGER_H

#include "host/internal.h"

#define VIGIL_DEBUG_VERSION 1
#define VIGIL_DEBUG_OBJECTS 256
#define VIGIL_DEBUG_SCRATCH 2048

/* An ELF file in enclave memory. */
struct vigil_debug_object {
    uint64_t path;    /* char *, the file as the host sees it */
    uint64_t bias;    /* added to the addresses in the file */
};

struct vigil_debug {
    uint64_t version;
    uint64_t base, size;                  /* ELRANGE */
    uint64_t attributes;                  /* SECS.ATTRIBUTES.FLAGS */
    uint64_t ssa_frame, stage1_stack;     /* bytes of an SSA frame, of the stack directly below SSA[0] */
    uint64_t app_end;                     /* application memory ends here; above are thread blocks and the runtime */
    uint64_t entry;                       /* OENTRY: where the runtime's ELF entry point came to lie */
    uint64_t threads, thread_count;       /* struct host_thread[] */
    uint64_t thread_size, offset_tcs, offset_tid;
    /* For the debugger's own use: VIGIL_DEBUG_SCRATCH bytes for each thread, where it writes signal contexts that make
     * its unwinder go from one stack to another. */
    uint64_t scratch, scratch_size;
    uint64_t object_count;
    struct vigil_debug_object objects[VIGIL_DEBUG_OBJECTS];
};
extern struct vigil_debug vigil_debug;

/* Called after each change of vigil_debug. */
void vigil_debug_changed(void);

/* Of an enclave that is not a debug enclave nothing is said but that. */
void debugger_enclave(const struct image *image, const struct sgx_secs *secs);
/* The enclave has loaded a file: its descriptor on the host. */
void debugger_object(int fd, uint64_t bias);

#endif
