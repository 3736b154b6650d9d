/* SPDX-License-Identifier: Apache-2.0
 *
 * openat2, as far as openat goes: nothing is ignored silently. */
#include "libos/fs/fs.h"

#include <linux/openat2.h>

#define OPEN_FLAGS (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | FASYNC | O_DIRECT | \
                    O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | __O_SYNC | O_PATH | __O_TMPFILE)
#define HOW_MAX 4096

/* A larger structure is one of a later kernel: what is unknown in it must be zero. */
static long read_how(struct open_how *how, uint64_t user, uint64_t size)
{
    if (size < sizeof(*how))
        return -EINVAL;
    if (size > HOW_MAX)
        return -E2BIG;
    for (uint64_t at = sizeof(*how); at < size; at++) {
        char byte;
        if (copy_from_user(&byte, (void *)(user + at), 1))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return copy_from_user(how, (void *)user, sizeof(*how));
}

long sys_openat(SYSCALL_ARGS);

long sys_openat2(SYSCALL_ARGS)
{
    struct open_how how;
    long status = read_how(&how, (uint64_t)a2, (uint64_t)a3);

    if (status)
        return status;
    bool creates = how.flags & O_CREAT || (how.flags & __O_TMPFILE);
    if (how.flags & ~(uint64_t)OPEN_FLAGS || how.mode & ~07777ull || (how.mode && !creates))
        return -EINVAL;
    if (how.resolve) {
        log_line(VIGIL_LOG_DEBUG, "openat2: how names are walked (0x%lx) cannot be chosen: ENOSYS", (uint64_t)how.resolve);
        return -ENOSYS;
    }
    return sys_openat(a0, a1, (long)how.flags, (long)how.mode, 0, 0);
}
