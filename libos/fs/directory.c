/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing directories: the host's, and those that are there only because a mount point lies below. The current
 * directory. */
#include "libos/fs/inside.h"
#include "libos/process/process.h"

#define LIST_MAX (32u << 10)
#define TYPE_DIRECTORY 4  /* DT_DIR */
#define NAME_AT 19

struct dirent_head { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; } __attribute__((packed));

bool dirent_add(void *buf, size_t size, size_t *used, uint64_t ino, int64_t offset, uint8_t type, const char *name)
{
    size_t n = strlen(name) + 1, length = (NAME_AT + n + 7) & ~7ul;
    struct dirent_head head = {ino, offset, (uint16_t)length, type};

    if (length > size - *used)
        return false;
    char *at = (char *)buf + *used;
    memset(at, 0, length);
    memcpy(at, &head, sizeof(head));
    memcpy(at + NAME_AT, name, n);
    *used += length;
    return true;
}

/* ---- directories inside ------------------------------------------------------------------------------------------ */
/* Position: 0 ".", 1 "..", then names. name gets the entry; false: no more. */
static bool mount_entry(const struct file *file, int64_t position, char name[256])
{
    return path_mount_below(file->path, (uint32_t)position - 2, name);
}

static long synthetic_list(struct file *file, void *buf, size_t size)
{
    char name[256];
    size_t used = 0;
    bool full = false;

    lock(&file->position_lock);
    while (!full) {
        int64_t at = file->position;
        if (at < 2)
            format(name, sizeof(name), at ? ".." : ".");
        else if (!mount_entry(file, at, name))
            break;
        full = !dirent_add(buf, size, &used, (uint64_t)at + 1, at + 1, TYPE_DIRECTORY, name);
        if (!full)
            file->position = at + 1;
    }
    unlock(&file->position_lock);
    return used || !full ? (long)used : -EINVAL;
}

static long synthetic_seek(struct file *file, int64_t offset, int whence)
{
    if (whence == SEEK_CUR)
        offset += file->position;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    lock(&file->position_lock);
    file->position = offset;
    unlock(&file->position_lock);
    return offset;
}

static long synthetic_stat_file(struct file *file, struct stat *stat)
{
    (void)file;
    synthetic_directory_stat(stat);
    return 0;
}

static const struct file_ops synthetic_ops = {
    .seek = synthetic_seek,
    .stat = synthetic_stat_file,
    .list = synthetic_list,
};

void synthetic_directory_stat(struct stat *stat)
{
    memset(stat, 0, sizeof(*stat));
    stat->st_ino = 1;
    stat->st_nlink = 2;
    stat->st_mode = S_IFDIR | 0555;
    stat->st_uid = process_uid();
    stat->st_gid = process_gid();
    stat->st_blksize = VIGIL_PAGE;
}

struct file *synthetic_directory(const char *inside, int flags)
{
    struct file *file = file_new(&synthetic_ops, (uint32_t)flags, inside);

    if (file)
        file->type = S_IFDIR;
    return file;
}

static long above_stat(const struct path *path, struct stat *stat)
{
    (void)path;
    synthetic_directory_stat(stat);
    return 0;
}

static struct file *above_open(const struct path *path, int flags, int mode, int *error)
{
    bool makes = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL), writes = (flags & O_ACCMODE) != O_RDONLY;
    struct file *file = NULL;

    (void)mode;
    *error = makes ? -EEXIST : writes && !(flags & O_PATH) ? -EISDIR : 0;
    if (!*error && !(file = synthetic_directory(path->inside, flags & (O_PATH | O_DIRECTORY))))
        *error = -ENOMEM;
    return file;
}

static const struct inside_fs above_fs = {.type = "none", .stat = above_stat, .open = above_open};

void path_become_above(struct path *path)
{
    if (path->fs && path->fs->drop)
        path->fs->drop(path);
    path->fs = &above_fs;
    path->mode = S_IFDIR | 0555;
}

/* ---- system calls ------------------------------------------------------------------------------------------------ */
/* The old record has its type in the last byte and the name one byte earlier; lengths are the same. */
static void make_old_records(char *buf, size_t n)
{
    for (size_t at = 0; at < n;) {
        char *record = buf + at;
        struct dirent_head head;
        memcpy(&head, record, sizeof(head));
        memmove(record + NAME_AT - 1, record + NAME_AT, head.reclen - (size_t)NAME_AT);
        record[head.reclen - 1] = (char)head.type;
        at += head.reclen;
    }
}

static long get_entries(int fd, long user_buf, uint32_t size, bool old)
{
    struct file *file = file_from_fd(fd);
    size_t n = size < LIST_MAX ? size : LIST_MAX;
    char *buf = n ? kmalloc(n) : NULL;
    int64_t before = file ? file->position : 0;
    long result;

    if (!file)
        result = -EBADF;
    else if (!file->ops->list || file_type(file) != S_IFDIR)
        result = -ENOTDIR;
    else if (!file_can_read(file))
        result = -EBADF;
    else if (!buf)
        result = n ? -ENOMEM : -EINVAL;
    else if (!user_range_ok((void *)user_buf, n))
        result = -EFAULT; /* before the host's position moves */
    else
        result = file->ops->list(file, buf, n);
    if (result > 0) {
        if (old)
            make_old_records(buf, (size_t)result);
        if (copy_to_user((void *)user_buf, buf, (size_t)result)) {
            file->ops->seek(file, before, SEEK_SET);
            result = -EFAULT;
        }
    }
    kfree(buf);
    if (file)
        file_put(file);
    return result;
}

long sys_getdents(SYSCALL_ARGS)
{
    return get_entries((int)a0, a1, (uint32_t)a2, true);
}

long sys_getdents64(SYSCALL_ARGS)
{
    return get_entries((int)a0, a1, (uint32_t)a2, false);
}

/* ---- the current directory --------------------------------------------------------------------------------------- */
/* "/." at the end: the host says whether it is a directory one may go through. */
static long may_enter(struct path *path)
{
    struct stat stat;
    size_t n = strlen(path->host), mark = bounce_mark();

    if (path->fs) {
        long status = stat_path(path, &stat, true);
        return status ? status : (stat.st_mode & S_IFMT) == S_IFDIR ? 0 : -ENOTDIR;
    }
    if (n + 3 > PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(path->host + n, "/.", 3);
    const void *untrusted_path = path_to_host(path);
    path->host[n] = 0;
    if (!untrusted_path)
        return -ENOMEM;
    long status = host_call(__NR_faccessat, 0, AT_FDCWD, (long)untrusted_path, 0, 0, 0);
    bounce_release(mark);
    return status == -ENOENT && path->above_mount ? 0 : status;
}

/* With the whole host below: the name without links, as Linux has it. Keeps the given one if the host does not say. */
static long set_real_cwd(int host_fd, const char *name)
{
    char *real = kmalloc(PATH_SIZE);

    if (!real)
        return -ENOMEM;
    long n = host_fd_name(host_fd, real);
    long status = path_set_cwd(n > 0 && real[0] == '/' ? real : name);
    kfree(real);
    return status;
}

static long change_to(struct path *path)
{
    long status = may_enter(path);

    if (status || path->fs || !path_whole_host())
        return status ? status : path_set_cwd(path_name(path));
    const void *untrusted_path = path_to_host(path);
    long fd = untrusted_path ? host_call(__NR_openat, 0x7fffffff, AT_FDCWD, (long)untrusted_path,
                                         O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0) : -ENOMEM;
    if (fd < 0)
        return fd;
    status = set_real_cwd((int)fd, path_name(path));
    host_close((int)fd);
    return status;
}

long sys_chdir(SYSCALL_ARGS)
{
    struct path *path;
    long status = path_from_user(&path, AT_FDCWD, a0, 0);

    if (status)
        return status;
    status = change_to(path);
    path_free(path);
    return status;
}

long sys_fchdir(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    long status;

    if (!file)
        return -EBADF;
    if (!file->path || file_type(file) != S_IFDIR)
        status = -ENOTDIR;
    else if (file->host_fd >= 0 && path_whole_host())
        status = set_real_cwd(file->host_fd, file->path);
    else
        status = path_set_cwd(file->path);
    file_put(file);
    return status;
}
