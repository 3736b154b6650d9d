/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of files: directories, names, and what is changed by name or by descriptor. */
#include "libos/fs/fs.h"

#include <linux/stat.h>

/* nr(AT_FDCWD, host path, a2, a3, a4), if the policy allows. */
static long by_path(long nr, long dirfd, const void *user_path, long a2, long a3, long a4)
{
    struct path path;

    long status = path_get(&path, (int)dirfd, user_path, false);
    if (status)
        return status;
    void *untrusted = path_bounce(&path);
    status = untrusted ? path_policy(&path) : -ENAMETOOLONG;
    path_put(&path);
    return status ? status : checked(ocall_syscall(nr, AT_FDCWD, (long)untrusted, a2, a3, a4, 0), 0);
}

/* nr(host descriptor, a1, a2, a3) */
static long by_fd(long nr, long fd, long a1, long a2, long a3, long most)
{
    struct file *file = file_from_fd((int)fd);
    if (!file)
        return -EBADF;
    long result = checked(host_blocking(nr, file->host_fd, a1, a2, a3, 0, 0), most);
    file_put(file);
    return result;
}

static long two_paths(long nr, long dir1, const void *user1, long dir2, const void *user2, long flags)
{
    struct path one, two;

    long status = path_get(&one, (int)dir1, user1, false);
    if (status)
        return status;
    status = path_get(&two, (int)dir2, user2, false);
    if (!status) {
        void *untrusted1 = path_bounce(&one), *untrusted2 = path_bounce(&two);
        status = untrusted1 && untrusted2 ? path_policy(&one) : -ENAMETOOLONG;
        if (!status)
            status = path_policy(&two);
        if (!status)
            status = checked(ocall_syscall(nr, AT_FDCWD, (long)untrusted1, AT_FDCWD, (long)untrusted2, flags, 0), 0);
        path_put(&two);
    }
    path_put(&one);
    return status;
}

#define CALL(name, expression) \
    long sys_##name(SYSCALL_ARGS) \
    { \
        return expression; \
    }

CALL(mkdir, by_path(__NR_mkdirat, AT_FDCWD, (void *)a0, a1, 0, 0))
CALL(mkdirat, by_path(__NR_mkdirat, a0, (void *)a1, a2, 0, 0))
CALL(rmdir, by_path(__NR_unlinkat, AT_FDCWD, (void *)a0, AT_REMOVEDIR, 0, 0))
CALL(unlink, by_path(__NR_unlinkat, AT_FDCWD, (void *)a0, 0, 0, 0))
CALL(unlinkat, by_path(__NR_unlinkat, a0, (void *)a1, a2, 0, 0))
CALL(chmod, by_path(__NR_fchmodat, AT_FDCWD, (void *)a0, a1, 0, 0))
CALL(fchmodat, by_path(__NR_fchmodat, a0, (void *)a1, a2, 0, 0))
CALL(chown, by_path(__NR_fchownat, AT_FDCWD, (void *)a0, a1, a2, 0))
CALL(lchown, by_path(__NR_fchownat, AT_FDCWD, (void *)a0, a1, a2, AT_SYMLINK_NOFOLLOW))
CALL(fchownat, by_path(__NR_fchownat, a0, (void *)a1, a2, a3, a4))
CALL(mknod, by_path(__NR_mknodat, AT_FDCWD, (void *)a0, a1, a2, 0))
CALL(mknodat, by_path(__NR_mknodat, a0, (void *)a1, a2, a3, 0))
CALL(rename, two_paths(__NR_renameat2, AT_FDCWD, (void *)a0, AT_FDCWD, (void *)a1, 0))
CALL(renameat, two_paths(__NR_renameat2, a0, (void *)a1, a2, (void *)a3, 0))
CALL(renameat2, two_paths(__NR_renameat2, a0, (void *)a1, a2, (void *)a3, a4))
CALL(link, two_paths(__NR_linkat, AT_FDCWD, (void *)a0, AT_FDCWD, (void *)a1, 0))
CALL(linkat, two_paths(__NR_linkat, a0, (void *)a1, a2, (void *)a3, a4 & AT_SYMLINK_FOLLOW))
CALL(fchmod, by_fd(__NR_fchmod, a0, a1, 0, 0, 0))
CALL(fchown, by_fd(__NR_fchown, a0, a1, a2, 0, 0))
CALL(ftruncate, by_fd(__NR_ftruncate, a0, a1, 0, 0, 0))
CALL(fsync, by_fd(__NR_fsync, a0, 0, 0, 0, 0))
CALL(fdatasync, by_fd(__NR_fdatasync, a0, 0, 0, 0, 0))
CALL(syncfs, by_fd(__NR_syncfs, a0, 0, 0, 0, 0))
CALL(fallocate, by_fd(__NR_fallocate, a0, a1, a2, a3, 0))
CALL(fadvise64, by_fd(__NR_fadvise64, a0, a1, a2, a3, 0))
CALL(flock, by_fd(__NR_flock, a0, a1, 0, 0, 0))
CALL(lseek, by_fd(__NR_lseek, a0, a1, a2, 0, INT64_MAX))
CALL(umask, checked(ocall_syscall(__NR_umask, a0 & 0777, 0, 0, 0, 0, 0), 0777))
CALL(sync, checked(ocall_syscall(__NR_sync, 0, 0, 0, 0, 0, 0), 0))

long sys_truncate(SYSCALL_ARGS)
{
    struct path path;

    long status = path_get(&path, AT_FDCWD, (void *)a0, false);
    if (status)
        return status;
    void *untrusted = path_bounce(&path);
    status = untrusted ? path_policy(&path) : -ENAMETOOLONG;
    path_put(&path);
    return status ? status : checked(ocall_syscall(__NR_truncate, (long)untrusted, a1, 0, 0, 0, 0), 0);
}

static long make_symlink(const void *user_target, long dirfd, const void *user_path)
{
    char *target = kmalloc(PATH_LIMIT);
    struct path path;

    if (!target)
        return -ENOMEM;
    long status = strncpy_from_user(target, user_target, PATH_LIMIT);
    if (status >= 0)
        status = status ? path_get(&path, (int)dirfd, user_path, false) : -ENOENT;
    if (!status) {
        void *untrusted_path = path_bounce(&path), *untrusted_target = bounce_alloc(strlen(target) + 1);
        status = untrusted_path && untrusted_target ? path_policy(&path) : -ENAMETOOLONG;
        if (!status) {
            untrusted_write(untrusted_target, target, strlen(target) + 1);
            status = checked(ocall_syscall(__NR_symlinkat, (long)untrusted_target, AT_FDCWD, (long)untrusted_path, 0, 0, 0), 0);
        }
        path_put(&path);
    }
    kfree(target);
    return status;
}

CALL(symlink, make_symlink((void *)a0, AT_FDCWD, (void *)a1))
CALL(symlinkat, make_symlink((void *)a0, a1, (void *)a2))

/* utimensat with times NULL or two timespecs. */
static long set_times(long dirfd, const void *user_path, const void *times, bool user_times, long flags)
{
    void *untrusted = NULL;

    if (times) {
        untrusted = bounce_alloc(32);
        if (!untrusted)
            return -ENOMEM;
        if (!user_times)
            untrusted_write(untrusted, times, 32);
        else if (copy_user_to_untrusted(untrusted, times, 32))
            return -EFAULT;
    }
    if (user_path)
        return by_path(__NR_utimensat, dirfd, user_path, (long)untrusted, flags, 0);
    return by_fd(__NR_utimensat, dirfd, 0, (long)untrusted, flags, 0);
}

CALL(utimensat, set_times(a0, (void *)a1, (void *)a2, true, a3))

static long set_times_us(long dirfd, const void *user_path, const void *user_times)
{
    int64_t tv[4], ts[4];

    if (!user_times)
        return set_times(dirfd, user_path, NULL, false, 0);
    if (copy_from_user(tv, user_times, sizeof(tv)))
        return -EFAULT;
    for (int i = 0; i < 4; i += 2) {
        ts[i] = tv[i];
        ts[i + 1] = tv[i + 1] * 1000;
    }
    return set_times(dirfd, user_path, ts, false, 0);
}

CALL(utimes, set_times_us(AT_FDCWD, (void *)a0, (void *)a1))
CALL(futimesat, set_times_us(a0, (void *)a1, (void *)a2))

long sys_utime(SYSCALL_ARGS)
{
    int64_t seconds[2], ts[4] = {0};

    if (!a1)
        return set_times(AT_FDCWD, (void *)a0, NULL, false, 0);
    if (copy_from_user(seconds, (void *)a1, sizeof(seconds)))
        return -EFAULT;
    ts[0] = seconds[0];
    ts[2] = seconds[1];
    return set_times(AT_FDCWD, (void *)a0, ts, false, 0);
}

/* ---- directories ------------------------------------------------------------------------------------------------------ */

/* Are these well-formed linux_dirent64 records that fill n bytes exactly? */
static bool records_ok(const char *buf, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint16_t length;
        if (n - at < 20)
            return false;
        memcpy(&length, buf + at + 16, sizeof(length));
        if (length < 20 || length > n - at || strnlen(buf + at + 19, length - 19u) == length - 19u)
            return false;
        at += length;
    }
    return true;
}

long sys_getdents64(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    size_t n = (uint32_t)a2 < 65536 ? (uint32_t)a2 : 65536;
    void *untrusted = bounce_alloc(n);
    char *copy = kmalloc(n + 1);
    long result = !file ? -EBADF : !untrusted || !copy ? -ENOMEM : 0;

    if (!result)
        result = checked(ocall_syscall(__NR_getdents64, file->host_fd, (long)untrusted, (long)n, 0, 0, 0), (long)n);
    if (result > 0) {
        untrusted_read(copy, untrusted, (size_t)result);
        if (!records_ok(copy, (size_t)result))
            result = -EIO;
        else if (copy_to_user((void *)a1, copy, (size_t)result))
            result = -EFAULT;
    }
    kfree(copy);
    file_put(file);
    return result;
}

long sys_getcwd(SYSCALL_ARGS)
{
    char here[PATH_LIMIT];
    size_t n = strlen(fs_cwd()) + 1;

    memcpy(here, fs_cwd(), n);
    if ((size_t)a1 < n)
        return -ERANGE;
    return copy_to_user((void *)a0, here, n) ? -EFAULT : (long)n;
}

static bool is_directory(const void *untrusted_stat)
{
    uint32_t mode;
    untrusted_read(&mode, (const char *)untrusted_stat + 24, sizeof(mode));
    return (mode & MODE_TYPE) == MODE_DIRECTORY;
}

long sys_chdir(SYSCALL_ARGS)
{
    struct path path;
    void *untrusted = bounce_alloc(144);

    long status = path_get(&path, AT_FDCWD, (void *)a0, false);
    if (status)
        return status;
    void *untrusted_path = path_bounce(&path);
    if (!untrusted || !untrusted_path)
        status = -ENAMETOOLONG;
    if (!status)
        status = checked(ocall_syscall(__NR_newfstatat, AT_FDCWD, (long)untrusted_path, (long)untrusted, 0, 0, 0), 0);
    if (!status && !is_directory(untrusted))
        status = -ENOTDIR;
    if (!status)
        status = checked(ocall_syscall(__NR_faccessat, AT_FDCWD, (long)untrusted_path, 1, 0, 0, 0), 0);
    if (!status)
        status = fs_set_cwd(path.inside);
    path_put(&path);
    return status;
}

long sys_fchdir(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    void *untrusted = bounce_alloc(144);
    long status = !file ? -EBADF : !untrusted ? -ENOMEM : 0;

    if (!status)
        status = checked(ocall_syscall(__NR_fstat, file->host_fd, (long)untrusted, 0, 0, 0, 0), 0);
    if (!status)
        status = is_directory(untrusted) && file->path ? fs_set_cwd(file->path) : -ENOTDIR;
    file_put(file);
    return status;
}
