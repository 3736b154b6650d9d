/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening by name, and what the program may learn without opening: access, readlink. */
#include "libos/fs/inside.h"
#include "libos/fs/trusted.h"
#include "libos/mm/backing.h"

#define INT_LIMIT 0x7fffffff
#define OPEN_ONLY (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC) /* not part of the file's state */
#define OPEN_KNOWN \
    (O_ACCMODE | OPEN_ONLY | O_APPEND | O_NONBLOCK | O_SYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | \
     O_NOFOLLOW | O_NOATIME | O_PATH | __O_TMPFILE)

/* With the strict policy a name that is not allowed may still be a directory to list, or absent (and is then absent,
 * not forbidden: programs try many names). */
static int may_open(const struct path *path, int *flags)
{
    struct stat stat;

    if (policy_allows(path))
        return 0;
    if (!(*flags & (O_CREAT | __O_TMPFILE))) {
        long status = stat_path(path, &stat, !(*flags & O_NOFOLLOW));
        if (status)
            return (int)status;
        if ((stat.st_mode & S_IFMT) == S_IFDIR) {
            *flags |= O_DIRECTORY;
            return 0;
        }
    }
    return policy_check(path);
}

static struct file *open_host(const struct path *path, int flags, int mode, int *error)
{
    size_t mark = bounce_mark();
    const void *untrusted_path = path_to_host(path);

    if (!untrusted_path) {
        *error = -ENOMEM;
        return NULL;
    }
    long fd = host_call_blocking(__NR_openat, INT_LIMIT, AT_FDCWD, (long)untrusted_path, flags | O_CLOEXEC, mode, 0);
    bounce_release(mark);
    if (fd == -ENOENT && path->above_mount && !(flags & O_CREAT)) {
        struct file *file = synthetic_directory(path->inside, flags & ~OPEN_ONLY);
        *error = file ? 0 : -ENOMEM;
        return file;
    }
    if (fd < 0) {
        *error = (int)fd;
        return NULL;
    }
    struct file *file = host_file_new((int)fd, (uint32_t)(flags & ~OPEN_ONLY) | (flags & O_PATH ? 0 : O_LARGEFILE),
                                      (flags & O_TMPFILE) == O_TMPFILE ? NULL : path_name(path));
    *error = file ? 0 : -ENOMEM;
    if (file && flags & O_DIRECTORY && (flags & O_TMPFILE) != O_TMPFILE)
        file->type = S_IFDIR;
    return file;
}

/* What every file system inside agrees on. */
static struct file *open_inside(const struct path *path, int flags, int mode, int *error)
{
    uint32_t type = path->mode & S_IFMT;
    bool makes = flags & O_CREAT && !(flags & O_PATH), exclusive = makes && flags & O_EXCL;

    if (!path->mode)
        *error = !makes || path->directory ? -ENOENT : 0;
    else if (exclusive)
        *error = -EEXIST;
    else if (type == S_IFLNK) /* not followed */
        *error = (flags & (O_PATH | O_NOFOLLOW)) == (O_PATH | O_NOFOLLOW) ? flags & O_DIRECTORY ? -ENOTDIR : 0 : -ELOOP;
    else if (flags & O_DIRECTORY && type != S_IFDIR)
        *error = -ENOTDIR;
    else if (type == S_IFDIR && !(flags & O_PATH) && (makes || (flags & O_ACCMODE) != O_RDONLY) &&
             (flags & O_TMPFILE) != O_TMPFILE)
        *error = -EISDIR;
    else
        *error = 0;
    return *error ? NULL : path->fs->open(path, flags, mode, error);
}

/* What the host opens is looked at before it is the program's. */
static struct file *open_trusted(const struct path *path, const struct vigil_trusted *trusted, int flags, int *error)
{
    *error = trusted_check(trusted, flags);
    if (*error)
        return NULL;
    struct file *host = open_host(path, flags & ~(O_CREAT | O_EXCL), 0, error);
    if (!host)
        return NULL;
    int host_fd = host->host_fd;
    host->host_fd = -1;
    uint32_t kept = host->flags;
    file_put(host);
    return trusted_file_new(trusted, host_fd, kept, path_name(path), error);
}

/* A link at the end that is to be followed is looked at first. */
static bool links_are_ours(int flags)
{
    return !(flags & (O_PATH | O_NOFOLLOW)) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

struct file *open_path(const struct path *path, int flags, int mode, int *error)
{
    flags &= OPEN_KNOWN;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (path->fs)
        return open_inside(path, flags, mode, error);
    const struct vigil_trusted *trusted = trusted_find(path);
    if (trusted && !(flags & O_PATH))
        return open_trusted(path, trusted, flags, error);
    *error = trusted ? 0 : may_open(path, &flags);
    if (*error)
        return NULL;
    struct file *file = open_host(path, links_are_ours(flags) ? flags | O_NOFOLLOW : flags, mode, error);
    if (!file && links_are_ours(flags) && (*error == -ELOOP || *error == -ENOTDIR)) {
        struct path *through = path_through_link(path);
        if (through)
            file = open_inside(through, flags, mode, error);
        else
            file = open_host(path, flags, mode, error);
        path_free(through);
        return file;
    }
    if (file && !(flags & O_NOFOLLOW))
        file->flags &= ~(uint32_t)O_NOFOLLOW;
    if (file && !trusted && !policy_strict())
        policy_check(path); /* says what it let pass */
    return file;
}

static long do_open(int dirfd, long user_path, int flags, int mode)
{
    bool nofollow = flags & O_NOFOLLOW || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    struct path *path;
    int error;
    long status = path_from_user(&path, dirfd, user_path, nofollow ? PATH_NOFOLLOW : 0);

    if (status)
        return status;
    if (flags & O_TRUNC)
        (void)backing_sync_file(NULL); /* before it is cut */
    struct file *file = open_path(path, flags, mode & 07777, &error);
    path_free(path);
    if (file && flags & O_TRUNC)
        backing_refresh(file, 0, INT64_MAX);
    return file ? fd_install(file, 0, flags & O_CLOEXEC) : error;
}

long sys_open(SYSCALL_ARGS)
{
    return do_open(AT_FDCWD, a0, (int)a1, (int)a2);
}

long sys_openat(SYSCALL_ARGS)
{
    return do_open((int)a0, a1, (int)a2, (int)a3);
}

long sys_creat(SYSCALL_ARGS)
{
    return do_open(AT_FDCWD, a0, O_CREAT | O_WRONLY | O_TRUNC, (int)a1);
}

/* ---- access ------------------------------------------------------------------------------------------------------ */
/* What is inside grants by its mode bits; there is one user. */
static long access_inside(const struct stat *stat, int mode)
{
    uint32_t granted = (stat->st_mode >> 6 | stat->st_mode >> 3 | stat->st_mode) & 7;
    return (uint32_t)mode & ~granted ? -EACCES : 0;
}

static long access_path(const struct path *path, int mode, int flags)
{
    struct stat stat;
    size_t mark = bounce_mark();

    if (path->fs) {
        long status = stat_path(path, &stat, !(flags & AT_SYMLINK_NOFOLLOW));
        return status ? status : access_inside(&stat, mode);
    }
    if (mode & 2 && trusted_find(path))
        return -EACCES;
    const void *untrusted_path = path_to_host(path);
    if (!untrusted_path)
        return -ENOMEM;
    long status = flags ? host_call(__NR_faccessat2, 0, AT_FDCWD, (long)untrusted_path, mode, flags, 0)
                        : host_call(__NR_faccessat, 0, AT_FDCWD, (long)untrusted_path, mode, 0, 0);
    bounce_release(mark);
    return status == -ENOENT && path->above_mount ? mode & 2 ? -EACCES : 0 : status;
}

static long access_fd(int fd, int mode)
{
    struct file *file = file_from_fd(fd);
    struct stat stat;

    if (!file)
        return -EBADF;
    long status = file_stat(file, &stat);
    file_put(file);
    return status ? status : access_inside(&stat, mode);
}

static long do_access(int dirfd, long user_path, int mode, int flags)
{
    struct path *path;
    uint32_t path_flags = (flags & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : 0) |
                          (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0);

    if (mode & ~7)
        return -EINVAL;
    long status = path_from_user(&path, dirfd, user_path, path_flags);
    if (status)
        return status;
    if (!path)
        return access_fd(dirfd, mode);
    status = access_path(path, mode, flags & (AT_SYMLINK_NOFOLLOW | AT_EACCESS));
    path_free(path);
    return status;
}

long sys_access(SYSCALL_ARGS)
{
    return do_access(AT_FDCWD, a0, (int)a1, 0);
}

long sys_faccessat(SYSCALL_ARGS)
{
    return do_access((int)a0, a1, (int)a2, 0);
}

long sys_faccessat2(SYSCALL_ARGS)
{
    if (a3 & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH))
        return -EINVAL;
    return do_access((int)a0, a1, (int)a2, (int)a3);
}

/* ---- readlink ---------------------------------------------------------------------------------------------------- */
static long readlink_host(const struct path *path, long user_buf, size_t size)
{
    const void *untrusted_path = path_to_host(path);
    void *untrusted_target = bounce_alloc(size);

    if (!untrusted_path || !untrusted_target)
        return -ENOMEM;
    long n = host_call(__NR_readlinkat, (long)size, AT_FDCWD, (long)untrusted_path, (long)untrusted_target, (long)size,
                       0);
    if (n == -ENOENT && path->above_mount)
        return -EINVAL; /* a directory, not a link */
    if (n > 0 && copy_untrusted_to_user((void *)user_buf, untrusted_target, (size_t)n))
        return -EFAULT;
    return n;
}

static long readlink_inside(const struct path *path, long user_buf, size_t size)
{
    char *target = kmalloc(PATH_SIZE);

    if (!target)
        return -ENOMEM;
    long n = !path->mode                          ? -ENOENT
             : (path->mode & S_IFMT) != S_IFLNK ? -EINVAL
                                                : path->fs->readlink(path, target);
    if (n > (long)size)
        n = (long)size;
    if (n > 0 && copy_to_user((void *)user_buf, target, (size_t)n))
        n = -EFAULT;
    kfree(target);
    return n;
}

static long do_readlink(int dirfd, long user_path, long user_buf, int size)
{
    struct path *path;

    if (size <= 0)
        return -EINVAL;
    long status = path_from_user(&path, dirfd, user_path, PATH_NOFOLLOW);
    if (status)
        return status;
    size_t n = size < PATH_SIZE ? (size_t)size : PATH_SIZE;
    status = path->fs ? readlink_inside(path, user_buf, n) : readlink_host(path, user_buf, n);
    path_free(path);
    return status;
}

long sys_readlink(SYSCALL_ARGS)
{
    return do_readlink(AT_FDCWD, a0, a1, (int)a2);
}

long sys_readlinkat(SYSCALL_ARGS)
{
    return do_readlink((int)a0, a1, a2, (int)a3);
}
