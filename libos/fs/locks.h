/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on files that are inside: flock's (locks.c), which belong to an open file and mean all of it, and fcntl's (ranges.c),
 * which belong to the process or to an open file. The two do not know each other. */
#ifndef VIGIL_LOCKS_H
#define VIGIL_LOCKS_H

#include "libos/fs/fs.h"

struct held_lock;
struct range_lock;
/* One of zeroes has no locks. */
struct file_locks {
    lock_t lock;
    struct held_lock *first;
    struct range_lock *ranges;
    struct wait_queue changed;
};
/* LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB or waiting. */
long file_lock(struct file_locks *locks, const struct file *file, int operation);
/* The file is closed. */
void file_locks_release(struct file_locks *locks, const struct file *file);
/* F_GETLK and so on: *f is the program's, and the answer. pid: what the process is called. */
long range_lock(struct file_locks *locks, struct file *file, int command, struct flock *f, int pid);
void range_locks_release(struct file_locks *locks, const struct file *file);

#endif
