/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/fd/N: what a descriptor refers to, as a place. What has a name is opened by it; what has none (a pipe, a
 * deleted file, the terminal the program was started with) is opened anew if it can be, else shared. */
#include "libos/fs/inside.h"

/* The host's own descriptor, opened anew by the host. */
static struct file *open_again(struct file *file, int flags, int *error)
{
    char name[32];
    size_t mark = bounce_mark(), n = (size_t)format(name, sizeof(name), "/proc/self/fd/%d", file->host_fd) + 1;
    const void *untrusted_name = host_put(name, n);
    long host_fd = untrusted_name ? host_call_blocking(__NR_openat, 0x7fffffff, AT_FDCWD, (long)untrusted_name,
                                                       (flags & ~(O_CREAT | O_EXCL)) | O_CLOEXEC, 0, 0) : -ENOMEM;
    struct file *again = NULL;

    bounce_release(mark);
    /* What cannot be opened by this name (a socket, another user's terminal) is shared. */
    if (host_fd == -ENXIO || host_fd == -EACCES || host_fd == -ENOENT)
        return file_get(file);
    if (host_fd >= 0)
        again = host_file_new((int)host_fd, (uint32_t)flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC),
                              file->path);
    if (!again)
        *error = host_fd < 0 ? (int)host_fd : -ENOMEM;
    return again;
}

static struct file *fd_open(const struct path *path, int flags, int mode, int *error)
{
    struct file *file = file_from_fd(path->at.fd), *again;

    (void)mode;
    *error = file ? 0 : -ENOENT;
    if (!file)
        return NULL;
    if (file->ops->reopen)
        again = file->ops->reopen(file, flags, error);
    else
        again = file->host_fd >= 0 ? open_again(file, flags, error) : file_get(file);
    file_put(file);
    return again;
}

static long fd_stat(const struct path *path, struct stat *stat)
{
    struct file *file = file_from_fd(path->at.fd);

    if (!file)
        return -ENOENT;
    long status = file_stat(file, stat);
    file_put(file);
    return status;
}

static long fd_change(const struct path *path, const struct change *change)
{
    struct file *file = file_from_fd(path->at.fd);

    if (!file)
        return -ENOENT;
    long status = file->ops->change ? file->ops->change(file, change) : -EPERM;
    file_put(file);
    return status;
}

static const struct inside_fs fd_fs = {.type = "proc", .stat = fd_stat, .open = fd_open, .change = fd_change};

void path_become_fd(struct path *path, int fd)
{
    struct file *file = file_from_fd(fd);

    path->fs = &fd_fs;
    path->at.fd = fd;
    path->mode = file ? file_type(file) | 0700 : 0; /* kinds without a type (epoll) are there all the same */
    if (file)
        file_put(file);
}

bool path_is_fd(const struct path *path)
{
    return path->fs == &fd_fs;
}

static long copy_name(char target[PATH_SIZE], const char *name)
{
    size_t n = strlen(name);

    if (n >= PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(target, name, n + 1);
    return (long)n;
}

long fd_follow(struct path *path, int fd, char target[PATH_SIZE])
{
    struct file *file = file_from_fd(fd);
    long n = 0;

    if (!file)
        return -ENOENT;
    if (file->path && (!file->ops->reopen || file_type(file) == S_IFDIR))
        n = copy_name(target, file->path);
    else
        path_become_fd(path, fd);
    file_put(file);
    return n;
}

long host_fd_name(int host_fd, char target[PATH_SIZE])
{
    char name[32];
    size_t mark = bounce_mark(), n = (size_t)format(name, sizeof(name), "/proc/self/fd/%d", host_fd) + 1;
    const void *untrusted_name = host_put(name, n);
    void *untrusted_target = bounce_alloc(PATH_SIZE);
    long result = -ENOMEM;

    if (untrusted_name && untrusted_target)
        result = host_call(__NR_readlinkat, PATH_SIZE - 1, AT_FDCWD, (long)untrusted_name, (long)untrusted_target,
                           PATH_SIZE - 1, 0);
    if (result >= 0) {
        untrusted_read(target, untrusted_target, (size_t)result);
        target[result] = 0;
        if (strlen(target) != (size_t)result)
            result = -EIO;
    }
    bounce_release(mark);
    return result;
}

long fd_readlink(int fd, char target[PATH_SIZE])
{
    struct file *file = file_from_fd(fd);
    struct stat stat;
    long n;

    if (!file)
        return -ENOENT;
    if (file->path && !(file->host_fd >= 0 && path_whole_host()))
        n = copy_name(target, file->path);
    else if (file->host_fd >= 0)
        n = host_fd_name(file->host_fd, target);
    else
        n = format(target, PATH_SIZE, file_type(file) == S_IFIFO ? "pipe:[%lu]" : "anon_inode:[%lu]",
                   (unsigned long)(uint64_t)file->object >> 4 & 0xffffff);
    /* A deleted file's name says so. */
    if (n > 0 && file->ops->reopen && !file_stat(file, &stat) && !stat.st_nlink && n + 11 < PATH_SIZE) {
        memcpy(target + n, " (deleted)", 11);
        n += 10;
    }
    file_put(file);
    return n;
}
