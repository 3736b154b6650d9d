/* SPDX-License-Identifier: Apache-2.0
 *
 * memfd_create: a file of tmpfs in no directory, and seals. */
#include "libos/fs/tmpfs/tmpfs.h"

#include <linux/memfd.h>

#define NAME_LENGTH 249 /* as Linux: what is left of 255 */
#define PREFIX "/memfd:"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif

long tmpfs_seal(struct file *file, int command, uint32_t seals)
{
    struct tmpfs_node *node = file->object;

    if (command == F_GET_SEALS)
        return __atomic_load_n(&node->seals, __ATOMIC_RELAXED);
    if (!file_can_write(file))
        return -EPERM;
    if (seals & ~(uint32_t)SEALS)
        return -EINVAL;
    uint32_t old = __atomic_load_n(&node->seals, __ATOMIC_RELAXED);
    do {
        if (old & F_SEAL_SEAL)
            return -EPERM;
    } while (!__atomic_compare_exchange_n(&node->seals, &old, old | seals, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 0;
}

static struct file *make(const char *path, uint32_t flags, int *error)
{
    struct tmpfs_node *node = tmpfs_node_new(S_IFREG | (flags & MFD_NOEXEC_SEAL ? 0666 : 0777), MEMFD_DEVICE);

    if (!node) {
        *error = -ENOMEM;
        return NULL;
    }
    node->seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : F_SEAL_SEAL;
    struct file *file = tmpfs_file_new(node, O_RDWR | O_LARGEFILE, path, error);
    tmpfs_node_put(node);
    return file;
}

long sys_memfd_create(SYSCALL_ARGS)
{
    uint32_t flags = (uint32_t)a1;
    char path[sizeof(PREFIX) + NAME_LENGTH + 1] = PREFIX;
    int error;

    if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
        (flags & (MFD_NOEXEC_SEAL | MFD_EXEC)) == (MFD_NOEXEC_SEAL | MFD_EXEC))
        return -EINVAL; /* huge pages too: there are none */
    long n = strncpy_from_user(path + sizeof(PREFIX) - 1, (void *)a0, NAME_LENGTH + 1);
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    struct file *file = make(path, flags, &error);
    return file ? fd_install(file, 0, flags & MFD_CLOEXEC) : error;
}
