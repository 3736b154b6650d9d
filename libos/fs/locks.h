/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on files that are inside: flock's, which belong to an open file. (Those of fcntl belong to the process, which
 * is alone and cannot be in its own way.) */
#ifndef VIGIL_LOCKS_H
#define VIGIL_LOCKS_H

#include "libos/fs/fs.h"

struct held_lock;
/* One of zeroes has no locks. */
struct file_locks {
    lock_t lock;
    struct held_lock *first;
    struct wait_queue changed;
};
/* LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB or waiting. */
long file_lock(struct file_locks *locks, const struct file *file, int operation);
/* The file is closed. */
void file_locks_release(struct file_locks *locks, const struct file *file);

#endif
