/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files: life, access mode, kind, and what other parts of the LibOS ask of them. */
#include "libos/fs/inside.h"
#include "libos/fs/store.h"
#include "libos/fs/trusted.h"

struct file *file_new(const struct file_ops *ops, uint32_t flags, const char *path)
{
    struct file *file = kzalloc(sizeof(*file));

    if (!file)
        return NULL;
    if (path) {
        size_t n = strlen(path) + 1;
        file->path = kmalloc(n);
        if (!file->path) {
            kfree(file);
            return NULL;
        }
        memcpy(file->path, path, n);
    }
    file->ops = ops;
    file->flags = flags;
    file->refs = 1;
    file->host_fd = -1;
    return file;
}

struct file *file_get(struct file *file)
{
    if (alone())
        file->refs++;
    else
        __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
    return file;
}

void file_put(struct file *file)
{
    if (alone() ? --file->refs : __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL))
        return;
    epoll_forget(file);
    if (file->ops->release)
        file->ops->release(file);
    kfree(file->path);
    kfree(file);
}

bool file_executable(struct file *file)
{
    struct stat stat;

    return !file_stat(file, &stat) && (stat.st_mode & S_IFMT) == S_IFREG && stat.st_mode & 0111;
}

/* The position moves there and back: a file that is read by its position meanwhile is not mapped by anybody sane. */
uint64_t file_next_data(struct file *file, uint64_t from, uint64_t end)
{
    int64_t position = file->ops->seek ? file->ops->seek(file, 0, SEEK_CUR) : -1;

    if (position < 0)
        return from;
    int64_t data = file->ops->seek(file, (int64_t)from, SEEK_DATA);
    file->ops->seek(file, position, SEEK_SET);
    if (data == -ENXIO)
        return end;
    return data < (int64_t)from ? from : (uint64_t)data < end ? (uint64_t)data : end;
}

char *file_name(const struct file *file)
{
    size_t n = file->path ? strlen(file->path) + 1 : 0;
    char *name = n ? kmalloc(n) : NULL;

    return name ? memcpy(name, file->path, n) : NULL;
}

static uint32_t flags_of(const struct file *file)
{
    return __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
}

bool file_can_read(const struct file *file)
{
    uint32_t mode = flags_of(file) & O_ACCMODE;
    return mode != O_WRONLY && mode != O_ACCMODE && !(flags_of(file) & O_PATH);
}

bool file_can_write(const struct file *file)
{
    uint32_t mode = flags_of(file) & O_ACCMODE;
    return mode != O_RDONLY && mode != O_ACCMODE && !(flags_of(file) & O_PATH);
}

bool file_nonblocking(const struct file *file)
{
    return flags_of(file) & O_NONBLOCK;
}

uint32_t file_type(struct file *file)
{
    struct stat stat;

    if (!file->type && !file_stat(file, &stat))
        return stat.st_mode & S_IFMT;
    return file->type;
}

int file_host_fd(const struct file *file)
{
    return file->host_fd;
}

long file_stat(struct file *file, struct stat *stat)
{
    long status = file->ops->stat(file, stat);

    if (!status)
        file->type = stat->st_mode & S_IFMT;
    return status;
}

struct file *file_open(const char *name, int flags, int mode, int *error)
{
    struct path *path;
    struct file *file;
    long status = path_from_string(&path, AT_FDCWD, name, 0);

    if (status) {
        *error = (int)status;
        return NULL;
    }
    file = open_path(path, flags, mode, error);
    path_free(path);
    return file;
}

struct file *file_open_host(const char *name, int *error)
{
    struct path *path = kzalloc(sizeof(*path));
    struct file *file = NULL;

    *error = path ? -ENAMETOOLONG : -ENOMEM;
    if (path && strlen(name) < PATH_SIZE && path_normalise(path->inside, PATH_SIZE, "", name)) {
        memcpy(path->host, name, strlen(name) + 1);
        file = open_path(path, O_RDONLY, 0, error);
    }
    kfree(path);
    return file;
}

long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    struct io io;

    if (!file_can_read(file))
        return -EBADF;
    if ((int64_t)offset < 0)
        return -EINVAL;
    if (!file->ops->read)
        return -EINVAL;
    if (!file->ops->seek)
        return -ESPIPE;
    if (user_range_ok(buf, n)) {
        int error = io_user(&io, (uint64_t)buf, n);
        if (error)
            return error;
    } else {
        io_runtime(&io, buf, n);
    }
    return file->ops->read(file, &io, (int64_t)offset);
}

/* The host's own 0, 1 and 2, where they are open. */
static int add_standard_file(int fd)
{
    long flags = host_call(__NR_fcntl, 0x7fffffff, fd, F_GETFL, 0, 0, 0);
    const uint32_t known = O_ACCMODE | O_APPEND | O_NONBLOCK | O_LARGEFILE | O_DIRECT | O_NOATIME | O_SYNC;

    if (flags < 0)
        return 0;
    struct file *file = host_file_new(fd, (uint32_t)flags & known, NULL);
    if (!file)
        return -ENOMEM;
    long status = fd_install_at(file, (uint32_t)fd, false);
    return status < 0 ? (int)status : 0;
}

int fs_init(void)
{
    int error;

    fd_table_init();
    store_init();
    error = paths_init();

    if (!error)
        error = policy_init();
    if (!error)
        error = trusted_init();
    if (!error)
        error = pseudo_init();
    file_umask_init();
    for (int fd = 0; fd < 3 && !error; fd++)
        error = add_standard_file(fd);
    return error;
}
