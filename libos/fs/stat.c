/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes of files: what the host says, field by field. */
#include "libos/fs/inside.h"
#include "libos/process/process.h"

#define NS 1000000000ul

/* The user who runs Vigil owns inside what he owns outside, also where he has another number inside. */
static uint32_t id_inside(uint32_t untrusted_id, uint32_t outside, uint32_t inside)
{
    return untrusted_id == outside ? inside : untrusted_id;
}

uint32_t host_uid(uint32_t inside)
{
    return inside == process_uid() ? start_info()->uid : inside;
}

uint32_t host_gid(uint32_t inside)
{
    return inside == process_gid() ? start_info()->gid : inside;
}

static bool type_known(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: case S_IFDIR: case S_IFLNK: case S_IFCHR: case S_IFBLK: case S_IFIFO: case S_IFSOCK:
        return true;
    default: /* anonymous objects (epoll, memfd ...) have none */
        return !(mode & S_IFMT);
    }
}

static long take_stat(struct stat *stat, const struct stat *untrusted)
{
    struct stat u;

    untrusted_read(&u, untrusted, sizeof(u));
    if (!type_known(u.st_mode) || u.st_mode & ~(S_IFMT | 07777u) || u.st_size < 0 || u.st_blocks < 0 ||
        u.st_blksize <= 0 || u.st_atime_nsec >= NS || u.st_mtime_nsec >= NS || u.st_ctime_nsec >= NS) {
        log_line(VIGIL_LOG_ERROR, "the host gave attributes of a file that cannot be: it fails with EIO");
        return -EIO;
    }
    memset(stat, 0, sizeof(*stat));
    stat->st_dev = u.st_dev;
    stat->st_ino = u.st_ino;
    stat->st_nlink = u.st_nlink;
    stat->st_mode = u.st_mode;
    stat->st_uid = id_inside(u.st_uid, start_info()->uid, process_uid());
    stat->st_gid = id_inside(u.st_gid, start_info()->gid, process_gid());
    stat->st_rdev = u.st_rdev;
    stat->st_size = u.st_size;
    stat->st_blksize = u.st_blksize;
    stat->st_blocks = u.st_blocks;
    stat->st_atime = u.st_atime;
    stat->st_atime_nsec = u.st_atime_nsec;
    stat->st_mtime = u.st_mtime;
    stat->st_mtime_nsec = u.st_mtime_nsec;
    stat->st_ctime = u.st_ctime;
    stat->st_ctime_nsec = u.st_ctime_nsec;
    return 0;
}

long stat_host(int host_fd, const void *untrusted_path, int at_flags, struct stat *stat)
{
    size_t mark = bounce_mark();
    struct stat *untrusted_stat = bounce_alloc(sizeof(*untrusted_stat));
    long status;

    if (!untrusted_stat)
        return -ENOMEM;
    if (untrusted_path)
        status = host_call(__NR_newfstatat, 0, host_fd, (long)untrusted_path, (long)untrusted_stat, at_flags, 0);
    else
        status = host_call(__NR_fstat, 0, host_fd, (long)untrusted_stat, 0, 0, 0);
    if (!status)
        status = take_stat(stat, untrusted_stat);
    bounce_release(mark);
    return status;
}

long stat_path(const struct path *path, struct stat *stat, bool follow)
{
    size_t mark = bounce_mark();

    if (path->fs)
        return path->mode ? path->fs->stat(path, stat) : -ENOENT;
    const void *untrusted_path = path_to_host(path);
    if (!untrusted_path)
        return -ENOMEM;
    long status = stat_host(AT_FDCWD, untrusted_path, AT_SYMLINK_NOFOLLOW, stat);
    if (!status && follow && (stat->st_mode & S_IFMT) == S_IFLNK) {
        struct path *through = path_through_link(path);
        status = through ? stat_path(through, stat, false) : stat_host(AT_FDCWD, untrusted_path, 0, stat);
        path_free(through);
    }
    bounce_release(mark);
    if (status == -ENOENT && path->above_mount) {
        synthetic_directory_stat(stat);
        status = 0;
    }
    return status;
}

static long stat_fd(int fd, struct stat *stat)
{
    struct file *file;

    if (fd == AT_FDCWD) {
        struct path *path;
        long status = path_from_string(&path, AT_FDCWD, ".", 0);
        if (!status)
            status = stat_path(path, stat, true);
        path_free(path);
        return status;
    }
    file = file_from_fd(fd);
    if (!file)
        return -EBADF;
    long status = file_stat(file, stat);
    file_put(file);
    return status;
}

static long stat_at(int dirfd, long user_path, int flags, struct stat *stat)
{
    uint32_t path_flags = (flags & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : 0) |
                          (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0);
    struct path *path;
    long status = path_from_user(&path, dirfd, user_path, path_flags);

    if (status)
        return status;
    if (!path)
        return stat_fd(dirfd, stat);
    status = stat_path(path, stat, !(flags & AT_SYMLINK_NOFOLLOW));
    path_free(path);
    return status;
}

static long give_stat(long status, long user_stat, const struct stat *stat)
{
    return status ? status : copy_to_user((void *)user_stat, stat, sizeof(*stat));
}

long sys_stat(SYSCALL_ARGS)
{
    struct stat stat;
    return give_stat(stat_at(AT_FDCWD, a0, 0, &stat), a1, &stat);
}

long sys_lstat(SYSCALL_ARGS)
{
    struct stat stat;
    return give_stat(stat_at(AT_FDCWD, a0, AT_SYMLINK_NOFOLLOW, &stat), a1, &stat);
}

long sys_fstat(SYSCALL_ARGS)
{
    struct stat stat;
    return (int)a0 < 0 ? -EBADF : give_stat(stat_fd((int)a0, &stat), a1, &stat);
}

long sys_newfstatat(SYSCALL_ARGS)
{
    struct stat stat;

    if (a3 & ~(long)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    return give_stat(stat_at((int)a0, a1, (int)a3, &stat), a2, &stat);
}

static uint32_t dev_major(uint64_t dev)
{
    return (uint32_t)(dev >> 8 & 0xfff);
}

static uint32_t dev_minor(uint64_t dev)
{
    return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xfff00));
}

/* The basic attributes; a birth time is not known. */
long sys_statx(SYSCALL_ARGS)
{
    const long known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    struct statx x;
    struct stat s;

    if (a2 & ~known || (a2 & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || a3 & (long)STATX__RESERVED)
        return -EINVAL;
    long status = stat_at((int)a0, a1, (int)a2, &s);
    if (status)
        return status;
    memset(&x, 0, sizeof(x));
    x.stx_mask = STATX_BASIC_STATS;
    x.stx_blksize = (uint32_t)s.st_blksize;
    x.stx_nlink = (uint32_t)s.st_nlink;
    x.stx_uid = s.st_uid;
    x.stx_gid = s.st_gid;
    x.stx_mode = (uint16_t)s.st_mode;
    x.stx_ino = s.st_ino;
    x.stx_size = (uint64_t)s.st_size;
    x.stx_blocks = (uint64_t)s.st_blocks;
    x.stx_atime = (struct statx_timestamp){.tv_sec = (int64_t)s.st_atime, .tv_nsec = (uint32_t)s.st_atime_nsec};
    x.stx_mtime = (struct statx_timestamp){.tv_sec = (int64_t)s.st_mtime, .tv_nsec = (uint32_t)s.st_mtime_nsec};
    x.stx_ctime = (struct statx_timestamp){.tv_sec = (int64_t)s.st_ctime, .tv_nsec = (uint32_t)s.st_ctime_nsec};
    x.stx_rdev_major = dev_major(s.st_rdev);
    x.stx_rdev_minor = dev_minor(s.st_rdev);
    x.stx_dev_major = dev_major(s.st_dev);
    x.stx_dev_minor = dev_minor(s.st_dev);
    return copy_to_user((void *)a4, &x, sizeof(x));
}
