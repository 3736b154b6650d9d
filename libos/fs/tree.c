/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of files: what is changed by name or by descriptor. The host changes it; the policy says where it may be
 * asked to. */
#include "libos/fs/fs.h"

#include <asm/statfs.h>

/* Of an operation on a name: does it act on a link itself, does it make the name. */
enum { FOLLOW = 0, LINK_ITSELF = 1, CREATES = 2, REMOVES = 4 };

static long name_error(const struct path *path, int how)
{
    if (path->special)
        return how & CREATES ? -EEXIST : -EPERM;
    if (how & REMOVES && (path->at_mount || path->above_mount))
        return -EBUSY;
    return policy_check(path);
}

static long resolve(struct path **path, long dirfd, long user_path, int how)
{
    uint32_t flags = how & (LINK_ITSELF | CREATES | REMOVES) ? PATH_NOFOLLOW : 0;
    long status = path_from_user(path, (int)dirfd, user_path, flags);

    if (status)
        return status;
    status = name_error(*path, how);
    if (status)
        path_free(*path);
    return status;
}

/* nr(AT_FDCWD, name, a2, a3, a4) */
static long by_path(long nr, int how, long dirfd, long user_path, long a2, long a3, long a4)
{
    struct path *path;
    long status = resolve(&path, dirfd, user_path, how);

    if (status)
        return status;
    const void *untrusted_path = path_to_host(path);
    path_free(path);
    return untrusted_path ? host_call(nr, 0, AT_FDCWD, (long)untrusted_path, a2, a3, a4) : -ENOMEM;
}

/* nr(host descriptor, a1, a2, a3). What is only inside answers without. */
static long by_fd(long nr, long fd, long a1, long a2, long a3, long without)
{
    struct file *file = file_from_fd((int)fd);

    if (!file)
        return -EBADF;
    long result = file->host_fd < 0 ? without : host_call(nr, 0, file->host_fd, a1, a2, a3, 0);
    file_put(file);
    return result;
}

/* ---- one name ---------------------------------------------------------------------------------------------------- */
#define CALL(name, expression) \
    long sys_##name(SYSCALL_ARGS) \
    { \
        return expression; \
    }

CALL(mkdir, by_path(__NR_mkdirat, CREATES, AT_FDCWD, a0, a1, 0, 0))
CALL(mkdirat, by_path(__NR_mkdirat, CREATES, a0, a1, a2, 0, 0))
CALL(rmdir, by_path(__NR_unlinkat, REMOVES, AT_FDCWD, a0, AT_REMOVEDIR, 0, 0))
CALL(unlink, by_path(__NR_unlinkat, REMOVES, AT_FDCWD, a0, 0, 0, 0))
CALL(unlinkat, a2 & ~(long)AT_REMOVEDIR ? -EINVAL : by_path(__NR_unlinkat, REMOVES, a0, a1, a2, 0, 0))
CALL(chmod, by_path(__NR_fchmodat, FOLLOW, AT_FDCWD, a0, a1 & 07777, 0, 0))
CALL(fchmodat, by_path(__NR_fchmodat, FOLLOW, a0, a1, a2 & 07777, 0, 0))

static long make_node(long dirfd, long user_path, long mode, long device)
{
    switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFIFO:
        return by_path(__NR_mknodat, CREATES, dirfd, user_path, mode, 0, 0);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFSOCK:
        return -EPERM; /* devices are not the program's to make */
    default:
        (void)device;
        return -EINVAL;
    }
}

CALL(mknod, make_node(AT_FDCWD, a0, a1, a2))
CALL(mknodat, make_node(a0, a1, a2, a3))

static long change_owner(long dirfd, long user_path, long uid, long gid, long flags)
{
    long inside_uid = host_uid((uint32_t)uid), inside_gid = host_gid((uint32_t)gid);
    char first = 1;

    if (flags & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && !copy_from_user(&first, (void *)user_path, 1) && !first && (int)dirfd != AT_FDCWD)
        return by_fd(__NR_fchown, dirfd, inside_uid, inside_gid, 0, -EPERM);
    return by_path(__NR_fchownat, flags & AT_SYMLINK_NOFOLLOW ? LINK_ITSELF : FOLLOW, dirfd, user_path, inside_uid,
                   inside_gid, flags & AT_SYMLINK_NOFOLLOW);
}

CALL(chown, change_owner(AT_FDCWD, a0, a1, a2, 0))
CALL(lchown, change_owner(AT_FDCWD, a0, a1, a2, AT_SYMLINK_NOFOLLOW))
CALL(fchownat, change_owner(a0, a1, a2, a3, a4))

long sys_truncate(SYSCALL_ARGS)
{
    struct path *path;
    long status = resolve(&path, AT_FDCWD, a0, FOLLOW);

    if (status)
        return status == -EPERM ? -EINVAL : status;
    const void *untrusted_path = path_to_host(path);
    path_free(path);
    return untrusted_path ? host_call(__NR_truncate, 0, (long)untrusted_path, a1, 0, 0, 0) : -ENOMEM;
}

/* Files get the host's rights; its umask is kept equal to the program's. */
CALL(umask, host_call(__NR_umask, 0777, a0 & 0777, 0, 0, 0, 0))

/* ---- two names --------------------------------------------------------------------------------------------------- */
static long two_paths(long nr, int how1, long dir1, long user1, int how2, long dir2, long user2, long flags)
{
    struct path *one, *two;
    long status = resolve(&one, dir1, user1, how1);

    if (status)
        return status;
    status = resolve(&two, dir2, user2, how2);
    if (!status) {
        const void *untrusted_one = path_to_host(one), *untrusted_two = path_to_host(two);
        status = untrusted_one && untrusted_two
                     ? host_call(nr, 0, AT_FDCWD, (long)untrusted_one, AT_FDCWD, (long)untrusted_two, flags)
                     : -ENOMEM;
        path_free(two);
    }
    path_free(one);
    return status;
}

#define RENAME(dir1, user1, dir2, user2, flags) \
    two_paths(__NR_renameat2, REMOVES, dir1, user1, REMOVES, dir2, user2, flags)
CALL(rename, RENAME(AT_FDCWD, a0, AT_FDCWD, a1, 0))
CALL(renameat, RENAME(a0, a1, a2, a3, 0))
CALL(renameat2, a4 & ~7l ? -EINVAL : RENAME(a0, a1, a2, a3, a4))

/* A file without a name (O_TMPFILE) gets one: from is its descriptor, by way of the host's /proc. */
static long link_fd(int fd, long dirfd, long user_path)
{
    struct file *file = file_from_fd(fd);
    struct path *to;
    char name[32];
    long status = file ? resolve(&to, dirfd, user_path, CREATES) : -EBADF;

    if (!status) {
        int n = format(name, sizeof(name), "/proc/self/fd/%d", file->host_fd);
        const void *untrusted_from = host_put(name, (size_t)n + 1), *untrusted_to = path_to_host(to);
        if (file->host_fd < 0)
            status = -EXDEV;
        else
            status = untrusted_from && untrusted_to
                         ? host_call(__NR_linkat, 0, AT_FDCWD, (long)untrusted_from, AT_FDCWD, (long)untrusted_to,
                                     AT_SYMLINK_FOLLOW)
                         : -ENOMEM;
        path_free(to);
    }
    if (file)
        file_put(file);
    return status;
}

static long do_link(long dir1, long user1, long dir2, long user2, long flags)
{
    uint32_t path_flags = (flags & AT_SYMLINK_FOLLOW ? 0 : PATH_NOFOLLOW) | (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0);
    struct path *from;
    int fd = (int)dir1;

    if (flags & ~(long)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    long status = path_from_user(&from, (int)dir1, user1, path_flags);
    if (status)
        return status;
    bool by_descriptor = !from || from->special == SPECIAL_FD;
    if (from)
        fd = from->number;
    path_free(from);
    if (by_descriptor)
        return link_fd(fd, dir2, user2);
    return two_paths(__NR_linkat, flags & AT_SYMLINK_FOLLOW ? FOLLOW : LINK_ITSELF, dir1, user1, CREATES, dir2, user2,
                     flags & AT_SYMLINK_FOLLOW);
}

CALL(link, do_link(AT_FDCWD, a0, AT_FDCWD, a1, 0))
CALL(linkat, do_link(a0, a1, a2, a3, a4))

static long make_symlink(long user_target, long dirfd, long user_path)
{
    char *target = kmalloc(PATH_SIZE);
    struct path *path;

    if (!target)
        return -ENOMEM;
    long n = strncpy_from_user(target, (void *)user_target, PATH_SIZE);
    long status = n < 0 ? n : n ? resolve(&path, dirfd, user_path, CREATES) : -ENOENT;
    if (!status) {
        const void *untrusted_path = path_to_host(path), *untrusted_target = host_put(target, (size_t)n + 1);
        status = untrusted_path && untrusted_target
                     ? host_call(__NR_symlinkat, 0, (long)untrusted_target, AT_FDCWD, (long)untrusted_path, 0, 0)
                     : -ENOMEM;
        path_free(path);
    }
    kfree(target);
    return status;
}

CALL(symlink, make_symlink(a0, AT_FDCWD, a1))
CALL(symlinkat, make_symlink(a0, a1, a2))

/* ---- by descriptor ----------------------------------------------------------------------------------------------- */
CALL(fchmod, by_fd(__NR_fchmod, a0, a1 & 07777, 0, 0, -EPERM))
CALL(fchown, by_fd(__NR_fchown, a0, host_uid((uint32_t)a1), host_gid((uint32_t)a2), 0, -EPERM))
CALL(ftruncate, by_fd(__NR_ftruncate, a0, a1, 0, 0, -EINVAL))
CALL(fsync, by_fd(__NR_fsync, a0, 0, 0, 0, -EINVAL))
CALL(fdatasync, by_fd(__NR_fdatasync, a0, 0, 0, 0, -EINVAL))
CALL(sync_file_range, by_fd(__NR_sync_file_range, a0, a1, a2, a3, -ESPIPE))
CALL(syncfs, by_fd(__NR_syncfs, a0, 0, 0, 0, 0))
CALL(fallocate, by_fd(__NR_fallocate, a0, a1, a2, a3, -ESPIPE))
CALL(fadvise64, by_fd(__NR_fadvise64, a0, a1, a2, a3, -ESPIPE))
CALL(readahead, by_fd(__NR_readahead, a0, a1, a2, 0, -EINVAL))
CALL(sync, host_call(__NR_sync, 0, 0, 0, 0, 0, 0))

/* ---- times ------------------------------------------------------------------------------------------------------- */
struct times { int64_t sec0, nsec0, sec1, nsec1; };

/* times NULL: now. user_path 0: the descriptor itself. */
static long set_times(long dirfd, long user_path, const struct times *times, long flags)
{
    const void *untrusted_times = times ? host_put(times, sizeof(*times)) : NULL;

    if (times && !untrusted_times)
        return -ENOMEM;
    if (flags & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!user_path)
        return flags ? -EINVAL : by_fd(__NR_utimensat, dirfd, 0, (long)untrusted_times, 0, -EPERM);
    return by_path(__NR_utimensat, flags & AT_SYMLINK_NOFOLLOW ? LINK_ITSELF : FOLLOW, dirfd, user_path,
                   (long)untrusted_times, flags & AT_SYMLINK_NOFOLLOW, 0);
}

long sys_utimensat(SYSCALL_ARGS)
{
    struct times times;

    if (a2 && copy_from_user(&times, (void *)a2, sizeof(times)))
        return -EFAULT;
    return set_times(a0, a1, a2 ? &times : NULL, a3);
}

static long set_times_us(long dirfd, long user_path, long user_times)
{
    struct times times;

    if (!user_times)
        return set_times(dirfd, user_path, NULL, 0);
    if (copy_from_user(&times, (void *)user_times, sizeof(times)))
        return -EFAULT;
    if (times.nsec0 < 0 || times.nsec0 >= 1000000 || times.nsec1 < 0 || times.nsec1 >= 1000000)
        return -EINVAL;
    times.nsec0 *= 1000;
    times.nsec1 *= 1000;
    return set_times(dirfd, user_path, &times, 0);
}

CALL(utimes, a0 ? set_times_us(AT_FDCWD, a0, a1) : -EFAULT)
CALL(futimesat, set_times_us(a0, a1, a2))

long sys_utime(SYSCALL_ARGS)
{
    int64_t seconds[2];

    if (!a0)
        return -EFAULT;
    if (!a1)
        return set_times(AT_FDCWD, a0, NULL, 0);
    if (copy_from_user(seconds, (void *)a1, sizeof(seconds)))
        return -EFAULT;
    struct times times = {.sec0 = seconds[0], .sec1 = seconds[1]};
    return set_times(AT_FDCWD, a0, &times, 0);
}

/* ---- file systems ------------------------------------------------------------------------------------------------ */
#define TMPFS 0x01021994

/* Filled in by the host, or (untrusted_result > 0) for what lies inside. */
static long give_statfs(long user, const struct statfs *untrusted_answer)
{
    struct statfs s;

    if (untrusted_answer) {
        untrusted_read(&s, untrusted_answer, sizeof(s));
        memset(s.f_spare, 0, sizeof(s.f_spare));
        if (s.f_bsize <= 0 || s.f_namelen < 0 || s.f_frsize < 0)
            return -EIO;
    } else {
        memset(&s, 0, sizeof(s));
        s.f_type = TMPFS;
        s.f_bsize = s.f_frsize = VIGIL_PAGE;
        s.f_namelen = 255;
    }
    return copy_to_user((void *)user, &s, sizeof(s));
}

long sys_statfs(SYSCALL_ARGS)
{
    struct path *path;
    long status = path_from_user(&path, AT_FDCWD, a0, 0);
    struct statfs *untrusted_answer = bounce_alloc(sizeof(*untrusted_answer));

    if (status)
        return status;
    const void *untrusted_path = path_to_host(path);
    if (!untrusted_answer || !untrusted_path)
        status = -ENOMEM;
    else if (path->special)
        untrusted_answer = NULL;
    else
        status = host_call(__NR_statfs, 0, (long)untrusted_path, (long)untrusted_answer, 0, 0, 0);
    path_free(path);
    return status ? status : give_statfs(a1, untrusted_answer);
}

long sys_fstatfs(SYSCALL_ARGS)
{
    struct statfs *untrusted_answer = bounce_alloc(sizeof(*untrusted_answer));
    struct file *file = file_from_fd((int)a0);
    long status = 0;

    if (!file)
        return -EBADF;
    if (!untrusted_answer)
        status = -ENOMEM;
    else if (file->host_fd < 0)
        untrusted_answer = NULL;
    else
        status = host_call(__NR_fstatfs, 0, file->host_fd, (long)untrusted_answer, 0, 0, 0);
    file_put(file);
    return status ? status : give_statfs(a1, untrusted_answer);
}

/* ---- extended attributes: there are none ------------------------------------------------------------------------- */
static long no_attributes(void)
{
    return -EOPNOTSUPP;
}

CALL(setxattr, no_attributes())
CALL(lsetxattr, no_attributes())
CALL(fsetxattr, no_attributes())
CALL(getxattr, no_attributes())
CALL(lgetxattr, no_attributes())
CALL(fgetxattr, no_attributes())
CALL(listxattr, no_attributes())
CALL(llistxattr, no_attributes())
CALL(flistxattr, no_attributes())
CALL(removexattr, no_attributes())
CALL(lremovexattr, no_attributes())
CALL(fremovexattr, no_attributes())
