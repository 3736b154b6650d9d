/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells a debugger what lies where in a debug enclave (host/debugger.h). Costs nothing without one. */
#include "host/debugger.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((visibility("default"), used)) struct vigil_debug vigil_debug;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Empty on purpose: the debugger's breakpoint is here. */
__attribute__((visibility("default"), used, noinline)) void vigil_debug_changed(void)
{
    __asm__ volatile("" ::: "memory");
}

void debugger_enclave(const struct image *image, const struct sgx_secs *secs)
{
    if (!(secs->attributes.flags & SGX_ATTR_DEBUG)) {
        vigil_debug = (struct vigil_debug){.version = VIGIL_DEBUG_VERSION, .attributes = secs->attributes.flags};
        vigil_debug_changed();
        return;
    }
    vigil_debug = (struct vigil_debug){
        .version = VIGIL_DEBUG_VERSION,
        .base = secs->baseaddr,
        .size = secs->size,
        .attributes = secs->attributes.flags,
        .ssa_frame = (uint64_t)secs->ssaframesize * VIGIL_PAGE,
        .stage1_stack = VIGIL_S1STACK_PAGES * VIGIL_PAGE,
        .app_end = image->tcs0 - VIGIL_TB_TCS * VIGIL_PAGE,
        .entry = secs->baseaddr + image->entry,
        .threads = (uint64_t)host_thread_at(0),
        .thread_count = host_thread_count,
        .thread_size = sizeof(struct host_thread),
        .offset_tcs = offsetof(struct host_thread, tcs),
        .offset_tid = offsetof(struct host_thread, tid),
        .scratch = (uint64_t)calloc(host_thread_count, VIGIL_DEBUG_SCRATCH),
        .scratch_size = VIGIL_DEBUG_SCRATCH,
    };
    vigil_debug_changed();
}

void debugger_object(int fd, uint64_t bias)
{
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0 || !vigil_debug.size)
        return;
    path[n] = 0;
    pthread_mutex_lock(&lock);
    if (vigil_debug.object_count < VIGIL_DEBUG_OBJECTS) {
        struct vigil_debug_object *object = &vigil_debug.objects[vigil_debug.object_count];
        *object = (struct vigil_debug_object){(uint64_t)strdup(path), bias};
        vigil_debug.object_count += object->path != 0;
    }
    vigil_debug_changed();
    pthread_mutex_unlock(&lock);
}
