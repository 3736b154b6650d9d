/* SPDX-License-Identifier: Apache-2.0
 *
 * Stand-ins for parts of the LibOS a test does not bring and the library does not have: one thread, no files, no
 * signals. Weak, and linked last: the real part wins where it exists. */
#define _GNU_SOURCE
#include "libos/libos.h"

#include <time.h>

#define WEAK __attribute__((weak))

WEAK lock_t threads_lock;

WEAK struct thread *threads_first(void)
{
    return current_thread();
}

WEAK uint32_t threads_count(void)
{
    return 1;
}

WEAK bool signals_pending(void)
{
    return false;
}

WEAK int64_t time_now(int clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000l + now.tv_nsec;
}

struct file *file_from_fd(int fd);
WEAK struct file *file_from_fd(int fd)
{
    (void)fd;
    return NULL;
}

WEAK long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    (void)file, (void)buf, (void)n, (void)offset;
    return -EBADF;
}

WEAK void file_put(struct file *file)
{
    (void)file;
}

WEAK struct file *file_open(const char *path, int flags, int mode, int *error)
{
    (void)path, (void)flags, (void)mode;
    *error = -ENOENT;
    return NULL;
}

WEAK int fs_init(void)
{
    return 0;
}

WEAK int threads_init(void)
{
    static struct thread first;

    first = (struct thread){.tid = process_pid(), .regs = current_regs(), .syscall_nr = -1};
    set_current_thread(&first);
    return 0;
}

WEAK int signals_init(void)
{
    return 0;
}
