/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files and the table that numbers them. */
#include "libos/fs/fs.h"

#include <linux/resource.h>

#define TABLE_SIZE 1024

static lock_t table_lock;
static struct { struct file *file; bool cloexec; } table[TABLE_SIZE];

struct file *file_new(int host_fd, uint32_t flags, const char *path)
{
    struct file *file = kzalloc(sizeof(*file));

    if (!file)
        return NULL;
    if (path) {
        file->path = kmalloc(strlen(path) + 1);
        if (!file->path) {
            kfree(file);
            return NULL;
        }
        memcpy(file->path, path, strlen(path) + 1);
    }
    file->refs = 1;
    file->host_fd = host_fd;
    file->flags = flags;
    return file;
}

struct file *file_get(struct file *file)
{
    __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
    return file;
}

void file_put(struct file *file)
{
    if (!file || __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL))
        return;
    ocall_syscall(__NR_close, file->host_fd, 0, 0, 0, 0, 0);
    kfree(file->path);
    kfree(file);
}

struct file *file_from_fd(int fd)
{
    struct file *file = NULL;

    if (fd < 0 || fd >= TABLE_SIZE)
        return NULL;
    lock(&table_lock);
    if (table[fd].file)
        file = file_get(table[fd].file);
    unlock(&table_lock);
    return file;
}

int fd_install(struct file *file, int lowest, bool cloexec)
{
    if (lowest < 0 || lowest >= TABLE_SIZE) {
        file_put(file);
        return -EINVAL;
    }
    lock(&table_lock);
    int fd = lowest;
    while (fd < TABLE_SIZE && table[fd].file)
        fd++;
    if (fd < TABLE_SIZE) {
        table[fd].file = file;
        table[fd].cloexec = cloexec;
    }
    unlock(&table_lock);
    if (fd == TABLE_SIZE) {
        file_put(file);
        return -EMFILE;
    }
    return fd;
}

static struct file *take(int fd)
{
    if (fd < 0 || fd >= TABLE_SIZE)
        return NULL;
    lock(&table_lock);
    struct file *file = table[fd].file;
    table[fd].file = NULL;
    unlock(&table_lock);
    return file;
}

long sys_close(SYSCALL_ARGS)
{
    struct file *file = take((int)a0);
    if (!file)
        return -EBADF;
    file_put(file);
    return 0;
}

long sys_close_range(SYSCALL_ARGS)
{
    uint32_t first = (uint32_t)a0, last = (uint32_t)a1, flags = (uint32_t)a2;

    if (first > last || (flags & ~(2u | 4u)))
        return -EINVAL;
    for (uint32_t fd = first; fd <= last && fd < TABLE_SIZE; fd++) {
        if (flags & 4u) {
            lock(&table_lock);
            table[fd].cloexec = true;
            unlock(&table_lock);
        } else {
            file_put(take((int)fd));
        }
    }
    return 0;
}

long sys_dup(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    return file ? fd_install(file, 0, false) : -EBADF;
}

static long duplicate_to(int from, int to, bool cloexec)
{
    struct file *file = file_from_fd(from);

    if (!file || to < 0 || to >= TABLE_SIZE) {
        file_put(file);
        return -EBADF;
    }
    lock(&table_lock);
    struct file *old = table[to].file;
    table[to].file = file;
    table[to].cloexec = cloexec;
    unlock(&table_lock);
    file_put(old);
    return to;
}

long sys_dup2(SYSCALL_ARGS)
{
    if (a0 == a1) {
        struct file *file = file_from_fd((int)a0);
        file_put(file);
        return file ? a1 : -EBADF;
    }
    return duplicate_to((int)a0, (int)a1, false);
}

long sys_dup3(SYSCALL_ARGS)
{
    if (a0 == a1 || (a2 & ~(long)O_CLOEXEC))
        return -EINVAL;
    return duplicate_to((int)a0, (int)a1, a2 & O_CLOEXEC);
}

/* Record locks: the host keeps them; the structure goes both ways. */
static long lock_call(struct file *file, int command, void *user)
{
    struct flock lock_request;
    void *untrusted = bounce_alloc(sizeof(lock_request));

    if (!untrusted)
        return -ENOMEM;
    if (copy_user_to_untrusted(untrusted, user, sizeof(lock_request)))
        return -EFAULT;
    long result = checked(host_blocking(__NR_fcntl, file->host_fd, command, (long)untrusted, 0, 0, 0), 0);
    if (result || command != F_GETLK)
        return result;
    return copy_untrusted_to_user(user, untrusted, sizeof(lock_request));
}

static long file_fcntl(struct file *file, int fd, int command, long argument)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return fd_install(file_get(file), (int)argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return table[fd].cloexec ? FD_CLOEXEC : 0;
    case F_SETFD:
        lock(&table_lock);
        table[fd].cloexec = argument & FD_CLOEXEC;
        unlock(&table_lock);
        return 0;
    case F_GETFL:
        return checked(ocall_syscall(__NR_fcntl, file->host_fd, command, 0, 0, 0, 0), 0x7fffffff);
    case F_SETFL:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return checked(ocall_syscall(__NR_fcntl, file->host_fd, command, argument, 0, 0, 0), 0x7fffffff);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return lock_call(file, command, (void *)argument);
    default:
        log_line(VIGIL_LOG_DEBUG, "fcntl command %d is not implemented: EINVAL", command);
        return -EINVAL;
    }
}

long sys_fcntl(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    if (!file)
        return -EBADF;
    long result = file_fcntl(file, (int)a0, (int)a1, a2);
    file_put(file);
    return result;
}

static long install_pair(const int untrusted_fds[2], int flags, int *user)
{
    int fds[2];

    for (int i = 0; i < 2; i++) {
        struct file *file = file_new(untrusted_fds[i], (uint32_t)(i ? O_WRONLY : O_RDONLY), NULL);
        if (!file)
            return -ENOMEM;
        fds[i] = fd_install(file, 0, flags & O_CLOEXEC);
        if (fds[i] < 0) {
            if (i)
                file_put(take(fds[0]));
            return fds[i];
        }
    }
    if (copy_to_user(user, fds, sizeof(fds))) {
        file_put(take(fds[0]));
        file_put(take(fds[1]));
        return -EFAULT;
    }
    return 0;
}

static long make_pipe(int *user, int flags)
{
    int fds[2], *untrusted = bounce_alloc(sizeof(fds));

    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    if (!untrusted)
        return -ENOMEM;
    long result = checked(ocall_syscall(__NR_pipe2, (long)untrusted, flags | O_CLOEXEC, 0, 0, 0, 0), 0);
    if (result)
        return result;
    untrusted_read(fds, untrusted, sizeof(fds));
    if (fds[0] < 0 || fds[1] < 0 || fds[0] == fds[1])
        return -EIO;
    return install_pair(fds, flags, user);
}

long sys_pipe(SYSCALL_ARGS)
{
    return make_pipe((int *)a0, 0);
}

long sys_pipe2(SYSCALL_ARGS)
{
    return make_pipe((int *)a0, (int)a1);
}

static long make_eventfd(long initial, long flags)
{
    long host = checked(ocall_syscall(__NR_eventfd2, initial, flags | O_CLOEXEC, 0, 0, 0, 0), 0x7fffffff);
    if (host < 0)
        return host;
    struct file *file = file_new((int)host, O_RDWR, NULL);
    return file ? fd_install(file, 0, flags & O_CLOEXEC) : -ENOMEM;
}

long sys_eventfd(SYSCALL_ARGS)
{
    return make_eventfd(a0, 0);
}

long sys_eventfd2(SYSCALL_ARGS)
{
    return make_eventfd(a0, a1);
}

int fs_init(void)
{
    static const uint32_t flags[3] = {O_RDONLY, O_WRONLY, O_WRONLY};

    for (int fd = 0; fd < 3; fd++) {
        struct file *file = file_new(fd, flags[fd], NULL);
        if (!file)
            return -ENOMEM;
        fd_install(file, fd, false);
    }
    const char *dir = config_string(config()->start_dir);
    if (config()->flags & VIGIL_FLAG_NO_MANIFEST)
        dir = start_info()->cwd;
    return fs_set_cwd(dir ? dir : "/");
}
