/* SPDX-License-Identifier: Apache-2.0
 *
 * Rights, owners, sizes and times of files, by name and by descriptor; and what can be done to a file's contents
 * without reading or writing them. */
#include "libos/mm/backing.h"
#include "libos/fs/tree.h"

#include <linux/time.h>

#define NS 1000000000l
#ifndef UTIME_NOW /* <sys/stat.h> has them, the kernel's headers have not */
#define UTIME_NOW ((1l << 30) - 1l)
#define UTIME_OMIT ((1l << 30) - 2l)
#endif

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

/* A change of what is inside; nr(...) for what the host has. */
static long change_fd(long fd, const struct change *change, long nr, long a1, long a2, long a3, long without)
{
    struct file *file = file_from_fd((int)fd);
    long result;

    if (!file)
        return -EBADF;
    if (file->host_fd >= 0)
        result = host_call(nr, 0, file->host_fd, a1, a2, a3, 0);
    else if (file->flags & O_PATH)
        result = -EBADF;
    else
        result = file->ops->change ? file->ops->change(file, change) : without;
    file_put(file);
    return result;
}

static long change_path(const struct path *path, const struct change *change)
{
    return path->fs->change ? path->fs->change(path, change) : -EPERM;
}

/* ---- rights and owners ------------------------------------------------------------------------------------------- */
static long change_mode(long dirfd, long user_path, long mode)
{
    const struct change change = {.what = CHANGE_MODE, .mode = (uint32_t)mode & 07777};
    struct path *path;
    long status = tree_resolve(&path, dirfd, user_path, FOLLOW);

    if (status)
        return status;
    status = path->fs ? change_path(path, &change) : tree_host(__NR_fchmodat, path, change.mode, 0, 0);
    path_free(path);
    return status;
}

CALL(chmod, change_mode(AT_FDCWD, a0, a1))
CALL(fchmodat, change_mode(a0, a1, a2))

static struct change owner(long uid, long gid)
{
    return (struct change){.what = ((uint32_t)uid != ~0u ? CHANGE_UID : 0) | ((uint32_t)gid != ~0u ? CHANGE_GID : 0),
                           .uid = (uint32_t)uid, .gid = (uint32_t)gid};
}

static long change_owner_fd(long fd, long uid, long gid)
{
    struct change change = owner(uid, gid);

    return change_fd(fd, &change, __NR_fchown, host_uid((uint32_t)uid), host_gid((uint32_t)gid), 0, -EPERM);
}

static long change_owner(long dirfd, long user_path, long uid, long gid, long flags)
{
    struct change change = owner(uid, gid);
    struct path *path;
    char first = 1;

    if (flags & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && !copy_from_user(&first, (void *)user_path, 1) && !first && (int)dirfd != AT_FDCWD)
        return change_owner_fd(dirfd, uid, gid);
    long status = tree_resolve(&path, dirfd, user_path, flags & AT_SYMLINK_NOFOLLOW ? LINK_ITSELF : FOLLOW);
    if (status)
        return status;
    status = path->fs ? change_path(path, &change)
                      : tree_host(__NR_fchownat, path, host_uid((uint32_t)uid), host_gid((uint32_t)gid),
                                  flags & AT_SYMLINK_NOFOLLOW);
    path_free(path);
    return status;
}

CALL(chown, change_owner(AT_FDCWD, a0, a1, a2, 0))
CALL(lchown, change_owner(AT_FDCWD, a0, a1, a2, AT_SYMLINK_NOFOLLOW))
CALL(fchownat, change_owner(a0, a1, a2, a3, a4))

static long change_mode_fd(long fd, long mode)
{
    const struct change change = {.what = CHANGE_MODE, .mode = (uint32_t)mode & 07777};

    return change_fd(fd, &change, __NR_fchmod, change.mode, 0, 0, -EPERM);
}

CALL(fchmod, change_mode_fd(a0, a1))
CALL(fchown, change_owner_fd(a0, a1, a2))

/* Files of the host get the host's rights; its umask is kept equal to the program's. */
static uint32_t mask_now;

uint32_t file_umask(void)
{
    return __atomic_load_n(&mask_now, __ATOMIC_RELAXED);
}

/* Who starts a program with a manifest decides nothing about the rights of its files; else the caller's umask counts.
 */
void file_umask_init(void)
{
    long old = host_call(__NR_umask, 0777, 022, 0, 0, 0, 0);

    mask_now = 022;
    if (!(config()->flags & VIGIL_FLAG_NO_MANIFEST) || old < 0 || old == 022)
        return;
    mask_now = (uint32_t)old;
    host_call(__NR_umask, 0777, old, 0, 0, 0, 0);
}

long sys_umask(SYSCALL_ARGS)
{
    uint32_t mask = (uint32_t)a0 & 0777;

    host_call(__NR_umask, 0777, mask, 0, 0, 0, 0);
    return __atomic_exchange_n(&mask_now, mask, __ATOMIC_RELAXED);
}

/* Mappings see what a file has become. */
static long in_mappings(struct file *file, long status)
{
    if (!status)
        backing_refresh(file, 0, INT64_MAX);
    return status;
}

/* ---- sizes and contents ------------------------------------------------------------------------------------------ */
long sys_truncate(SYSCALL_ARGS)
{
    const struct change change = {.what = CHANGE_SIZE, .size = (uint64_t)a1};
    struct path *path;
    long status = a1 < 0 ? -EINVAL : tree_resolve(&path, AT_FDCWD, a0, FOLLOW);

    if (status)
        return status;
    (void)backing_sync_file(NULL);
    if (!path->fs) {
        const void *untrusted_path = path_to_host(path);
        status = untrusted_path ? host_call(__NR_truncate, 0, (long)untrusted_path, a1, 0, 0, 0) : -ENOMEM;
    } else if ((path->mode & S_IFMT) != S_IFREG) {
        status = (path->mode & S_IFMT) == S_IFDIR ? -EISDIR : -EINVAL;
    } else {
        status = change_path(path, &change);
    }
    path_free(path);
    return in_mappings(NULL, status);
}

long sys_ftruncate(SYSCALL_ARGS)
{
    const struct change change = {.what = CHANGE_SIZE, .size = (uint64_t)a1};
    struct file *file = file_from_fd((int)a0);
    bool writable = file && file_can_write(file);

    if (!file)
        return -EBADF;
    bool host = file->host_fd >= 0;
    file_put(file);
    if (a1 < 0 || (!host && !writable))
        return -EINVAL;
    (void)backing_sync_file(NULL);
    return in_mappings(NULL, change_fd(a0, &change, __NR_ftruncate, a1, 0, 0, -EINVAL));
}

long sys_fallocate(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    long result;

    if (!file)
        return -EBADF;
    (void)backing_sync_file(NULL);
    if (file->host_fd >= 0)
        result = host_call(__NR_fallocate, 0, file->host_fd, a1, a2, a3, 0);
    else if (a2 < 0 || a3 <= 0)
        result = -EINVAL;
    else if (!file_can_write(file))
        result = -EBADF;
    else if (!file->ops->allocate)
        result = file_type(file) == S_IFREG || file_type(file) == S_IFDIR ? -EOPNOTSUPP : -ESPIPE;
    else
        result = (uint64_t)a2 + (uint64_t)a3 > INT64_MAX
                     ? -EFBIG
                     : file->ops->allocate(file, (int)a1, (uint64_t)a2, (uint64_t)a3);
    (void)in_mappings(file, result);
    file_put(file);
    return result;
}

/* Files in memory are where they should be; what is no file cannot be brought there. */
static long synchronise(long nr, long fd)
{
    struct file *file = file_from_fd((int)fd);
    long result;

    if (!file)
        return -EBADF;
    (void)backing_sync_file(file);
    if (file->host_fd >= 0)
        result = host_call(nr, 0, file->host_fd, 0, 0, 0, 0);
    else
        result = file_type(file) == S_IFREG || file_type(file) == S_IFDIR ? 0 : -EINVAL;
    file_put(file);
    return result;
}

/* Advice about what is in memory changes nothing. */
static long advise(long nr, long fd, long a1, long a2, long a3, long without)
{
    struct file *file = file_from_fd((int)fd);
    bool regular = file && file->host_fd < 0 && file_type(file) == S_IFREG;

    if (file)
        file_put(file);
    return regular ? 0 : by_fd(nr, fd, a1, a2, a3, without);
}

CALL(fsync, synchronise(__NR_fsync, a0))
CALL(fdatasync, synchronise(__NR_fdatasync, a0))
CALL(sync_file_range, advise(__NR_sync_file_range, a0, a1, a2, a3, -ESPIPE))
CALL(syncfs, by_fd(__NR_syncfs, a0, 0, 0, 0, 0))
CALL(fadvise64, advise(__NR_fadvise64, a0, a1, a2, a3, -ESPIPE))
CALL(readahead, advise(__NR_readahead, a0, a1, a2, 0, -EINVAL))
CALL(sync, host_call(__NR_sync, 0, 0, 0, 0, 0, 0))

/* ---- times ------------------------------------------------------------------------------------------------------- */
struct times { int64_t sec0, nsec0, sec1, nsec1; };

/* One of the two, for what is inside: now, left as it is, or given. */
static bool one_time(struct change *change, uint32_t what, int64_t *ns, int64_t sec, int64_t nsec)
{
    if (nsec == UTIME_OMIT)
        return true;
    if (nsec != UTIME_NOW && (nsec < 0 || nsec >= NS))
        return false;
    *ns = nsec == UTIME_NOW ? time_now(CLOCK_REALTIME) : sec * NS + nsec;
    change->what |= what;
    return true;
}

static long change_of(struct change *change, const struct times *times)
{
    static const struct times now = {.nsec0 = UTIME_NOW, .nsec1 = UTIME_NOW};
    const struct times *t = times ? times : &now;

    *change = (struct change){0};
    return one_time(change, CHANGE_ATIME, &change->atime_ns, t->sec0, t->nsec0) &&
                   one_time(change, CHANGE_MTIME, &change->mtime_ns, t->sec1, t->nsec1)
               ? 0
               : -EINVAL;
}

/* times NULL: now. user_path 0: the descriptor itself. */
static long set_times(long dirfd, long user_path, const struct times *times, long flags)
{
    const void *untrusted_times = times ? host_put(times, sizeof(*times)) : NULL;
    struct change change;
    struct path *path;

    if (times && !untrusted_times)
        return -ENOMEM;
    if (flags & ~(long)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || change_of(&change, times))
        return -EINVAL;
    if (!user_path)
        return flags ? -EINVAL : change_fd(dirfd, &change, __NR_utimensat, 0, (long)untrusted_times, 0, -EPERM);
    long status = tree_resolve(&path, dirfd, user_path, flags & AT_SYMLINK_NOFOLLOW ? LINK_ITSELF : FOLLOW);
    if (status)
        return status;
    status = path->fs ? change_path(path, &change)
                      : tree_host(__NR_utimensat, path, (long)untrusted_times, flags & AT_SYMLINK_NOFOLLOW, 0);
    path_free(path);
    return status;
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
