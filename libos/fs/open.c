/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening files. */
#include "libos/fs/fs.h"

#include <linux/stat.h>

/* st_mode of a host descriptor, or 0. */
static uint32_t host_mode(int host_fd)
{
    uint32_t mode;
    size_t mark = bounce_mark();
    char *untrusted = bounce_alloc(144);

    if (!untrusted || ocall_syscall(__NR_fstat, host_fd, (long)untrusted, 0, 0, 0, 0))
        return 0;
    untrusted_read(&mode, untrusted + 24, sizeof(mode));
    bounce_release(mark);
    return mode;
}

/* Files whose content the host must not choose, and aliases of what is ours. */
static const char *alias(const char *inside)
{
    if (!strcmp(inside, "/proc/self/exe"))
        return process_exe();
    return inside;
}

static int descriptor_alias(const char *inside)
{
    static const struct { const char *path; int fd; } aliases[] = {
        {"/dev/stdin", 0}, {"/dev/stdout", 1}, {"/dev/stderr", 2}};
    const char *number = NULL;

    for (int i = 0; i < 3; i++)
        if (!strcmp(inside, aliases[i].path))
            return aliases[i].fd;
    if (!strncmp(inside, "/dev/fd/", 8))
        number = inside + 8;
    else if (!strncmp(inside, "/proc/self/fd/", 14))
        number = inside + 14;
    if (!number || !*number)
        return -1;
    int fd = 0;
    for (; *number >= '0' && *number <= '9' && fd < 100000; number++)
        fd = fd * 10 + *number - '0';
    return *number ? -1 : fd;
}

static long open_host(const struct path *path, int flags, int mode, struct file **out)
{
    void *untrusted = path_bounce(path);

    if (!untrusted)
        return -ENAMETOOLONG;
    int status = path_policy(path);
    if (status)
        return status;
    long host = checked(host_blocking(__NR_openat, AT_FDCWD, (long)untrusted, flags | O_CLOEXEC, mode, 0, 0), 0x7fffffff);
    if (host < 0)
        return host;
    struct file *file = file_new((int)host, (uint32_t)flags, path->inside);
    if (!file) {
        ocall_syscall(__NR_close, host, 0, 0, 0, 0, 0);
        return -ENOMEM;
    }
    file->regular = (host_mode((int)host) & MODE_TYPE) == MODE_REGULAR;
    file->random = !strcmp(path->inside, "/dev/urandom") || !strcmp(path->inside, "/dev/random");
    *out = file;
    return 0;
}

static long open_resolved(struct path *path, int flags, int mode, struct file **out)
{
    int fd = descriptor_alias(path->inside);
    if (fd >= 0) {
        *out = file_from_fd(fd);
        return *out ? 0 : -ENOENT;
    }
    const char *real = alias(path->inside);
    if (real == path->inside)
        return open_host(path, flags, mode, out);
    struct path other;
    long status = path_resolve(&other, "/", real);
    if (status)
        return status;
    status = open_host(&other, flags, mode, out);
    path_put(&other);
    return status;
}

struct file *file_open(const char *inside, int flags, int mode, int *error)
{
    struct file *file = NULL;
    struct path path;

    long status = path_resolve(&path, "/", inside);
    if (!status) {
        status = open_resolved(&path, flags, mode, &file);
        path_put(&path);
    }
    *error = (int)status;
    return status ? NULL : file;
}

static long open_at(int dirfd, const void *user_path, int flags, int mode)
{
    struct file *file;
    struct path path;

    long status = path_get(&path, dirfd, user_path, false);
    if (status)
        return status;
    status = open_resolved(&path, flags, mode & 07777, &file);
    path_put(&path);
    return status ? status : fd_install(file, 0, flags & O_CLOEXEC);
}

long sys_open(SYSCALL_ARGS)
{
    return open_at(AT_FDCWD, (void *)a0, (int)a1, (int)a2);
}

long sys_openat(SYSCALL_ARGS)
{
    return open_at((int)a0, (void *)a1, (int)a2, (int)a3);
}

long sys_creat(SYSCALL_ARGS)
{
    return open_at(AT_FDCWD, (void *)a0, O_CREAT | O_WRONLY | O_TRUNC, (int)a1);
}
