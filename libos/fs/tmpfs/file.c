/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files and directories of tmpfs. */
#include "libos/fs/tmpfs/tmpfs.h"

#include <linux/falloc.h>
#include <linux/poll.h>

#define STATUS_FLAGS                                                                                                   \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_SYNC | O_NOATIME | O_PATH | O_DIRECTORY | O_LARGEFILE)

static struct tmpfs_node *node_of(const struct file *file)
{
    return file->object;
}

static long tmpfs_read(struct file *file, struct io *io, int64_t offset)
{
    if (offset >= 0)
        return store_read(&node_of(file)->data, io, (uint64_t)offset);
    lock(&file->position_lock);
    long result = store_read(&node_of(file)->data, io, (uint64_t)file->position);
    if (result > 0)
        file->position += result;
    unlock(&file->position_lock);
    return result;
}

static long tmpfs_write(struct file *file, struct io *io, int64_t offset)
{
    bool append = __atomic_load_n(&file->flags, __ATOMIC_RELAXED) & O_APPEND;
    struct tmpfs_node *node = node_of(file);
    uint32_t seals = __atomic_load_n(&node->seals, __ATOMIC_RELAXED);
    uint64_t end, limit = seals & F_SEAL_GROW ? 0 : STORE_MAX;
    long result;

    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if (!io->left)
        return 0;
    tmpfs_touch(node, STALE_MTIME | STALE_CTIME);
    if (offset >= 0)
        return store_write(&node->data, io, append ? -1 : offset, limit, NULL);
    lock(&file->position_lock);
    result = store_write(&node->data, io, append ? -1 : file->position, limit, &end);
    if (result > 0)
        file->position = (int64_t)end;
    unlock(&file->position_lock);
    return result;
}

static long tmpfs_seek(struct file *file, int64_t offset, int whence)
{
    bool directory = file->type == S_IFDIR;

    if (directory && whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    lock(&file->position_lock);
    int64_t result = store_seek(&node_of(file)->data, file->position, offset, whence);
    if (result >= 0)
        file->position = result;
    unlock(&file->position_lock);
    return result;
}

static long tmpfs_stat(struct file *file, struct stat *stat)
{
    tmpfs_node_stat(node_of(file), stat);
    return 0;
}

static long tmpfs_change(struct file *file, const struct change *change)
{
    return tmpfs_node_change(node_of(file), change);
}

static long tmpfs_allocate(struct file *file, int mode, uint64_t offset, uint64_t length)
{
    struct store *data = &node_of(file)->data;
    uint32_t seals = __atomic_load_n(&node_of(file)->seals, __ATOMIC_RELAXED);

    switch (mode) {
    case 0:
    case FALLOC_FL_KEEP_SIZE:
        if (seals & F_SEAL_GROW && offset + length > store_size(data))
            return -EPERM;
        tmpfs_touch(node_of(file), STALE_CTIME);
        return store_allocate(data, offset, length, mode);
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
        if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
            return -EPERM;
        tmpfs_touch(node_of(file), STALE_MTIME | STALE_CTIME);
        store_punch(data, offset, length);
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static struct file_locks *tmpfs_locks(struct file *file)
{
    return &node_of(file)->locks;
}

/* The times of what was written are known at the latest when it is closed. */
static void tmpfs_release(struct file *file)
{
    struct tmpfs_node *node = node_of(file);

    file_locks_release(&node->locks, file);
    range_locks_release(&node->locks, file);
    if (file_can_write(file) && node->nlink)
        tmpfs_settle(node);
    tmpfs_node_put(node);
}

static struct file *tmpfs_reopen(struct file *file, int flags, int *error)
{
    struct tmpfs_node *node = node_of(file);

    *error = flags & O_DIRECTORY && file->type != S_IFDIR ? -ENOTDIR : 0;
    return *error ? NULL : tmpfs_file_new(node, flags, file->path, error);
}

static uint8_t dirent_type(uint32_t mode)
{
    return (uint8_t)((mode & S_IFMT) >> 12);
}

/* Under tmpfs_lock: the entry at or behind a position. */
static const struct tmpfs_entry *entry_from(const struct tmpfs_node *directory, int64_t position)
{
    const struct tmpfs_entry *e = directory->first;

    while (e && e->cookie < position)
        e = e->next;
    return e;
}

static long tmpfs_list(struct file *file, void *buf, size_t size)
{
    struct tmpfs_node *node = node_of(file);
    bool fits = true;
    size_t used = 0;

    lock(&file->position_lock);
    lock(&tmpfs_lock);
    uint64_t above = node->parent ? node->parent->ino : node->ino;
    for (; fits && file->position < 2 && node->nlink; file->position += fits)
        fits = dirent_add(buf, size, &used, file->position ? above : node->ino, file->position + 1,
                          dirent_type(S_IFDIR), file->position ? ".." : ".");
    for (const struct tmpfs_entry *e = fits ? entry_from(node, file->position) : NULL; e && fits; e = e->next) {
        fits = dirent_add(buf, size, &used, e->node->ino, e->cookie + 1, dirent_type(e->node->mode), e->name);
        if (fits)
            file->position = e->cookie + 1;
    }
    unlock(&tmpfs_lock);
    unlock(&file->position_lock);
    return used || fits ? (long)used : -EINVAL;
}

static uint32_t tmpfs_ready(struct file *file)
{
    (void)file;
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

/* A file that has never had a name gets one. */
static long tmpfs_link_file(struct file *file, const struct path *to)
{
    const struct mount *m = mount_of(to->inside);

    if (to->fs != &tmpfs || ((struct tmpfs *)m->data)->device != node_of(file)->device)
        return -EXDEV;
    return tmpfs_link_node(node_of(file), to);
}

const struct file_ops tmpfs_file_ops = {
    .read = tmpfs_read,
    .write = tmpfs_write,
    .seek = tmpfs_seek,
    .stat = tmpfs_stat,
    .change = tmpfs_change,
    .allocate = tmpfs_allocate,
    .locks = tmpfs_locks,
    .seal = tmpfs_seal,
    .link = tmpfs_link_file,
    .reopen = tmpfs_reopen,
    .ready = tmpfs_ready,
    .release = tmpfs_release,
};

const struct file_ops tmpfs_directory_ops = {
    .seek = tmpfs_seek,
    .stat = tmpfs_stat,
    .list = tmpfs_list,
    .change = tmpfs_change,
    .locks = tmpfs_locks,
    .reopen = tmpfs_reopen,
    .release = tmpfs_release,
};

/* ---- named pipes --------------------------------------------------------------------------------------------------- */
static void fifo_stat(void *node, struct stat *stat)
{
    tmpfs_node_stat(node, stat);
}

static long fifo_change(void *node, const struct change *change)
{
    return tmpfs_node_change(node, change);
}

static void fifo_put(void *node)
{
    tmpfs_node_put(node);
}

static struct file *open_fifo(struct tmpfs_node *node, int flags, const char *inside, int *error)
{
    static const struct fifo_owner owner = {.stat = fifo_stat, .change = fifo_change, .put = fifo_put};

    struct pipe *fresh = node->fifo ? NULL : fifo_new(&owner, node);
    lock(&tmpfs_lock);
    if (!node->fifo) {
        node->fifo = fresh;
        fresh = NULL;
    }
    unlock(&tmpfs_lock);
    fifo_free(fresh);
    *error = node->fifo ? 0 : -ENOMEM;
    return node->fifo ? fifo_open(tmpfs_node_get(node)->fifo, (uint32_t)flags & STATUS_FLAGS, inside, error) : NULL;
}

struct file *tmpfs_file_new(struct tmpfs_node *node, int flags, const char *inside, int *error)
{
    static const uint8_t rights[] = {4, 2, 6, 6}; /* by access mode */
    uint32_t type = node->mode & S_IFMT;

    *error = flags & O_PATH ? 0 : (int)tmpfs_may(node, rights[flags & O_ACCMODE]);
    if (*error)
        return NULL;
    if (type == S_IFIFO && !(flags & O_PATH))
        return open_fifo(node, flags, inside, error);
    struct file *file =
        file_new(type == S_IFDIR ? &tmpfs_directory_ops : &tmpfs_file_ops, (uint32_t)flags & STATUS_FLAGS, inside);
    *error = file ? 0 : -ENOMEM;
    if (!file)
        return NULL;
    file->type = type;
    file->object = tmpfs_node_get(node);
    if (flags & O_TRUNC && type == S_IFREG && !(flags & O_PATH)) {
        tmpfs_touch(node, STALE_MTIME | STALE_CTIME);
        store_truncate(&node->data, 0);
    }
    return file;
}
