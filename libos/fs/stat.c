/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is to know about files. */
#include "libos/fs/fs.h"

#include <linux/stat.h>

#define STAT_SIZE 144
#define STATFS_SIZE 120

/* A host call that fills size bytes at bounce memory, which go to the program. */
static long filled(long untrusted_result, void *user, void *untrusted, size_t size)
{
    long result = checked(untrusted_result, 0);
    return result ? result : copy_untrusted_to_user(user, untrusted, size);
}

static long stat_fd(int fd, void *user)
{
    struct file *file = file_from_fd(fd);
    void *untrusted = bounce_alloc(STAT_SIZE);

    if (!file || !untrusted) {
        file_put(file);
        return file ? -ENOMEM : -EBADF;
    }
    long result = filled(ocall_syscall(__NR_fstat, file->host_fd, (long)untrusted, 0, 0, 0, 0), user, untrusted, STAT_SIZE);
    file_put(file);
    return result;
}

static bool is_own_exe(const struct path *path)
{
    return !strcmp(path->inside, "/proc/self/exe");
}

static long stat_path(int dirfd, const void *user_path, void *user, int flags)
{
    struct path path;
    void *untrusted = bounce_alloc(STAT_SIZE), *untrusted_path;

    long status = path_get(&path, dirfd, user_path, false);
    if (status)
        return status;
    if (is_own_exe(&path) && !(flags & AT_SYMLINK_NOFOLLOW)) {
        path_put(&path);
        status = path_resolve(&path, "/", process_exe());
        if (status)
            return status;
    }
    untrusted_path = path_bounce(&path);
    path_put(&path);
    if (!untrusted || !untrusted_path)
        return -ENAMETOOLONG;
    return filled(ocall_syscall(__NR_newfstatat, AT_FDCWD, (long)untrusted_path, (long)untrusted,
                                flags & (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT), 0, 0),
                  user, untrusted, STAT_SIZE);
}

long sys_fstat(SYSCALL_ARGS)
{
    return stat_fd((int)a0, (void *)a1);
}

long sys_stat(SYSCALL_ARGS)
{
    return stat_path(AT_FDCWD, (void *)a0, (void *)a1, 0);
}

long sys_lstat(SYSCALL_ARGS)
{
    return stat_path(AT_FDCWD, (void *)a0, (void *)a1, AT_SYMLINK_NOFOLLOW);
}

static bool empty_path(const void *user_path)
{
    char first = 1;
    return !user_path || (!copy_from_user(&first, user_path, 1) && !first);
}

long sys_newfstatat(SYSCALL_ARGS)
{
    if ((a3 & AT_EMPTY_PATH) && empty_path((void *)a1) && (int)a0 != AT_FDCWD)
        return stat_fd((int)a0, (void *)a2);
    return stat_path((int)a0, (void *)a1, (void *)a2, (int)a3);
}

long sys_statx(SYSCALL_ARGS)
{
    void *untrusted = bounce_alloc(sizeof(struct statx)), *untrusted_path = bounce_alloc(8);
    int host_dir = AT_FDCWD, flags = (int)a2;
    struct file *file = NULL;
    struct path path;

    if (!untrusted || !untrusted_path)
        return -ENOMEM;
    if ((flags & AT_EMPTY_PATH) && empty_path((void *)a1) && (int)a0 != AT_FDCWD) {
        file = file_from_fd((int)a0);
        if (!file)
            return -EBADF;
        host_dir = file->host_fd;
        untrusted_write(untrusted_path, "", 1);
    } else {
        long status = path_get(&path, (int)a0, (void *)a1, false);
        if (status)
            return status;
        untrusted_path = path_bounce(&path);
        flags &= ~AT_EMPTY_PATH;
        path_put(&path);
        if (!untrusted_path)
            return -ENAMETOOLONG;
    }
    long result = filled(ocall_syscall(__NR_statx, host_dir, (long)untrusted_path, flags, a3, (long)untrusted, 0), (void *)a4,
                         untrusted, sizeof(struct statx));
    file_put(file);
    return result;
}

static long access_path(int dirfd, const void *user_path, long mode, long flags)
{
    struct path path;

    if (mode & ~7l)
        return -EINVAL;
    long status = path_get(&path, dirfd, user_path, false);
    if (status)
        return status;
    void *untrusted = path_bounce(&path);
    path_put(&path);
    if (!untrusted)
        return -ENAMETOOLONG;
    return checked(flags ? ocall_syscall(__NR_faccessat2, AT_FDCWD, (long)untrusted, mode, flags, 0, 0)
                         : ocall_syscall(__NR_faccessat, AT_FDCWD, (long)untrusted, mode, 0, 0, 0), 0);
}

long sys_access(SYSCALL_ARGS)
{
    return access_path(AT_FDCWD, (void *)a0, a1, 0);
}

long sys_faccessat(SYSCALL_ARGS)
{
    return access_path((int)a0, (void *)a1, a2, 0);
}

long sys_faccessat2(SYSCALL_ARGS)
{
    return access_path((int)a0, (void *)a1, a2, a3);
}

static long give_link(const char *target, void *user, size_t size)
{
    size_t n = strlen(target);
    if (n > size)
        n = size;
    return copy_to_user(user, target, n) ? -EFAULT : (long)n;
}

static long read_link(int dirfd, const void *user_path, void *user, long size)
{
    struct path path;
    void *untrusted, *untrusted_path;

    if (size <= 0)
        return -EINVAL;
    if (size > PATH_LIMIT)
        size = PATH_LIMIT;
    long status = path_get(&path, dirfd, user_path, false);
    if (status)
        return status;
    if (is_own_exe(&path)) {
        path_put(&path);
        return give_link(process_exe(), user, (size_t)size);
    }
    untrusted = bounce_alloc((size_t)size);
    untrusted_path = path_bounce(&path);
    path_put(&path);
    if (!untrusted || !untrusted_path)
        return -ENAMETOOLONG;
    long result = checked(ocall_syscall(__NR_readlinkat, AT_FDCWD, (long)untrusted_path, (long)untrusted, size, 0, 0), size);
    if (result > 0 && copy_untrusted_to_user(user, untrusted, (size_t)result))
        return -EFAULT;
    return result;
}

long sys_readlink(SYSCALL_ARGS)
{
    return read_link(AT_FDCWD, (void *)a0, (void *)a1, a2);
}

long sys_readlinkat(SYSCALL_ARGS)
{
    return read_link((int)a0, (void *)a1, (void *)a2, a3);
}

long sys_statfs(SYSCALL_ARGS)
{
    struct path path;
    void *untrusted = bounce_alloc(STATFS_SIZE), *untrusted_path;

    long status = path_get(&path, AT_FDCWD, (void *)a0, false);
    if (status)
        return status;
    untrusted_path = path_bounce(&path);
    path_put(&path);
    if (!untrusted || !untrusted_path)
        return -ENAMETOOLONG;
    return filled(ocall_syscall(__NR_statfs, (long)untrusted_path, (long)untrusted, 0, 0, 0, 0), (void *)a1, untrusted,
                  STATFS_SIZE);
}

long sys_fstatfs(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    void *untrusted = bounce_alloc(STATFS_SIZE);

    if (!file)
        return -EBADF;
    long result = !untrusted ? -ENOMEM
                             : filled(ocall_syscall(__NR_fstatfs, file->host_fd, (long)untrusted, 0, 0, 0, 0), (void *)a1,
                                      untrusted, STATFS_SIZE);
    file_put(file);
    return result;
}
