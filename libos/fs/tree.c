/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree of files: names that are made, removed, moved and linked. Where a file system is inside it does that; else
 * the host does, and the policy says where it may be asked to. */
#include "libos/fs/tree.h"
#include "libos/fs/trusted.h"

static bool is_mount(const struct path *path)
{
    return path->at_mount || path->above_mount;
}

static long name_error(const struct path *path, int how)
{
    if (how & CREATES && (path->fs ? path->mode != 0 : path->at_mount))
        return -EEXIST;
    if (path->fs && !path->mode && !(how & (CREATES | REPLACES)))
        return -ENOENT;
    if (how & REMOVES && is_mount(path))
        return -EBUSY;
    if (path->fs)
        return 0;
    const struct vigil_trusted *trusted = trusted_find(path);
    return trusted ? trusted_refuse(trusted) : policy_check(path);
}

long tree_resolve(struct path **path, long dirfd, long user_path, int how)
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

/* nr(AT_FDCWD, name, a2, a3) */
long tree_host(long nr, const struct path *path, long a2, long a3, long a4)
{
    size_t mark = bounce_mark();
    const void *untrusted_path = path_to_host(path);
    long result = untrusted_path ? host_call(nr, 0, AT_FDCWD, (long)untrusted_path, a2, a3, a4) : -ENOMEM;

    bounce_release(mark);
    return result;
}

/* ---- one name ---------------------------------------------------------------------------------------------------- */
static long make_inside(const struct path *path, uint32_t mode, const char *target)
{
    if (!path->fs->make)
        return -EPERM;
    if (path->directory && (mode & S_IFMT) != S_IFDIR)
        return -ENOENT; /* a name that ends in '/' is a directory's */
    return path->fs->make(path, mode & ~file_umask(), target);
}

static long make_directory(long dirfd, long user_path, long mode)
{
    struct path *path;
    long status = tree_resolve(&path, dirfd, user_path, CREATES);

    if (status)
        return status;
    status = path->fs ? make_inside(path, S_IFDIR | ((uint32_t)mode & 01777), NULL)
                      : tree_host(__NR_mkdirat, path, mode, 0, 0);
    path_free(path);
    return status;
}

CALL(mkdir, make_directory(AT_FDCWD, a0, a1))
CALL(mkdirat, make_directory(a0, a1, a2))

static long remove_name(long dirfd, long user_path, long flags)
{
    struct path *path;
    long status = flags & ~(long)AT_REMOVEDIR ? -EINVAL : tree_resolve(&path, dirfd, user_path, REMOVES);

    if (status)
        return status;
    if (!path->fs)
        status = tree_host(__NR_unlinkat, path, flags, 0, 0);
    else
        status = path->fs->remove ? path->fs->remove(path, flags & AT_REMOVEDIR) : -EPERM;
    path_free(path);
    return status;
}

CALL(rmdir, remove_name(AT_FDCWD, a0, AT_REMOVEDIR))
CALL(unlink, remove_name(AT_FDCWD, a0, 0))
CALL(unlinkat, remove_name(a0, a1, a2))

static long make_node(long dirfd, long user_path, long mode)
{
    uint32_t type = (uint32_t)mode & S_IFMT;
    struct path *path;

    if (type == S_IFCHR || type == S_IFBLK || type == S_IFSOCK)
        return -EPERM; /* devices are not the program's to make */
    if (type && type != S_IFREG && type != S_IFIFO)
        return -EINVAL;
    long status = tree_resolve(&path, dirfd, user_path, CREATES);
    if (status)
        return status;
    if (path->fs)
        status = make_inside(path, (type ? type : S_IFREG) | ((uint32_t)mode & 07777), NULL);
    else
        status = tree_host(__NR_mknodat, path, mode, 0, 0);
    path_free(path);
    return status;
}

CALL(mknod, make_node(AT_FDCWD, a0, a1))
CALL(mknodat, make_node(a0, a1, a2))

/* ---- two names --------------------------------------------------------------------------------------------------- */
static long two_on_host(long nr, const struct path *one, const struct path *two, long flags)
{
    const void *untrusted_one = path_to_host(one), *untrusted_two = path_to_host(two);

    return untrusted_one && untrusted_two
               ? host_call(nr, 0, AT_FDCWD, (long)untrusted_one, AT_FDCWD, (long)untrusted_two, flags)
               : -ENOMEM;
}

/* Both in one file system: the same mount, if it is inside. */
static bool apart(const struct path *one, const struct path *two)
{
    return one->fs != two->fs || (one->fs && mount_of(one->inside) != mount_of(two->inside));
}

static long rename_paths(const struct path *from, const struct path *to, uint32_t flags)
{
    if (apart(from, to))
        return -EXDEV;
    if (!from->fs)
        return two_on_host(__NR_renameat2, from, to, flags);
    return from->fs->rename ? from->fs->rename(from, to, flags) : -EPERM;
}

static long rename_names(long dir1, long user1, long dir2, long user2, long flags)
{
    struct path *from, *to;

    if (flags & ~(long)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    long status = tree_resolve(&from, dir1, user1, REMOVES);
    if (status)
        return status;
    status = tree_resolve(&to, dir2, user2, REMOVES | REPLACES);
    if (!status) {
        status = rename_paths(from, to, (uint32_t)flags);
        path_free(to);
    }
    path_free(from);
    return status;
}

CALL(rename, rename_names(AT_FDCWD, a0, AT_FDCWD, a1, 0))
CALL(renameat, rename_names(a0, a1, a2, a3, 0))
CALL(renameat2, rename_names(a0, a1, a2, a3, a4))

/* A file of the host's without a name (O_TMPFILE) gets one, by way of the host's /proc. */
static long link_host_fd(const struct file *file, const struct path *to)
{
    char name[32];
    int n = format(name, sizeof(name), "/proc/self/fd/%d", file->host_fd);
    const void *untrusted_from = host_put(name, (size_t)n + 1), *untrusted_to = path_to_host(to);

    return untrusted_from && untrusted_to ? host_call(__NR_linkat, 0, AT_FDCWD, (long)untrusted_from, AT_FDCWD,
                                                      (long)untrusted_to, AT_SYMLINK_FOLLOW)
                                          : -ENOMEM;
}

static long link_fd(int fd, long dirfd, long user_path)
{
    struct file *file = file_from_fd(fd);
    struct path *to;
    long status = file ? tree_resolve(&to, dirfd, user_path, CREATES) : -EBADF;

    if (!status) {
        if (file->ops->link)
            status = file->ops->link(file, to);
        else
            status = file->host_fd < 0 || to->fs ? -EXDEV : link_host_fd(file, to);
        path_free(to);
    }
    if (file)
        file_put(file);
    return status;
}

static long link_paths(const struct path *from, const struct path *to, long flags)
{
    if (apart(from, to))
        return -EXDEV;
    if (!from->fs)
        return two_on_host(__NR_linkat, from, to, flags);
    return from->fs->link ? from->fs->link(from, to) : -EPERM;
}

static long do_link(long dir1, long user1, long dir2, long user2, long flags)
{
    uint32_t path_flags = (flags & AT_SYMLINK_FOLLOW ? 0 : PATH_NOFOLLOW) | (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0);
    struct path *from, *to;
    int fd = (int)dir1;

    if (flags & ~(long)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    long status = path_from_user(&from, (int)dir1, user1, path_flags);
    if (status)
        return status;
    bool by_descriptor = !from || path_is_fd(from);
    if (from && by_descriptor)
        fd = from->at.fd;
    if (by_descriptor) {
        path_free(from);
        return link_fd(fd, dir2, user2);
    }
    status = name_error(from, FOLLOW);
    if (!status)
        status = tree_resolve(&to, dir2, user2, CREATES);
    if (!status) {
        status = link_paths(from, to, flags & AT_SYMLINK_FOLLOW);
        path_free(to);
    }
    path_free(from);
    return status;
}

CALL(link, do_link(AT_FDCWD, a0, AT_FDCWD, a1, 0))
CALL(linkat, do_link(a0, a1, a2, a3, a4))

static long symlink_on_host(const struct path *path, const char *target, size_t n)
{
    const void *untrusted_path = path_to_host(path), *untrusted_target = host_put(target, n + 1);

    return untrusted_path && untrusted_target
               ? host_call(__NR_symlinkat, 0, (long)untrusted_target, AT_FDCWD, (long)untrusted_path, 0, 0)
               : -ENOMEM;
}

static long make_symlink(long user_target, long dirfd, long user_path)
{
    char *target = kmalloc(PATH_SIZE);
    struct path *path;

    if (!target)
        return -ENOMEM;
    long n = strncpy_from_user(target, (void *)user_target, PATH_SIZE);
    long status = n < 0 ? n : n ? tree_resolve(&path, dirfd, user_path, CREATES) : -ENOENT;
    if (!status) {
        if (!path->fs)
            status = symlink_on_host(path, target, (size_t)n);
        else if (path->directory)
            status = -ENOENT;
        else
            status = path->fs->make ? path->fs->make(path, S_IFLNK | 0777, target) : -EPERM;
        path_free(path);
    }
    kfree(target);
    return status;
}

CALL(symlink, make_symlink(a0, AT_FDCWD, a1))
CALL(symlinkat, make_symlink(a0, a1, a2))
