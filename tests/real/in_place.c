/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into stress-ng: fork() answers as in the child, so that what the child was to do is done in place. stress-ng starts
 * a process for each stressor, which an enclave cannot; its children end by _exit with the stressor's verdict, and so does the
 * program then. */
#include <sys/types.h>
#include <unistd.h>

pid_t fork(void) {
    return 0;
}

pid_t vfork(void) {
    return 0;
}
