/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking up, listing, reading and writing what the tables describe. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/process/process.h"

#include <linux/poll.h>

#define STORE_SIZE 4096 /* the most one write gives */
#define TABLE_POSITIONS 1000 /* of a directory's numbered members, positions begin behind */

struct pseudo_file {
    struct pseudo_at at;
    struct text text;
    bool made;
};

bool pseudo_number(const char *name, uint32_t *number)
{
    uint32_t value = 0;

    if (!*name || (name[0] == '0' && name[1]))
        return false;
    for (; *name; name++) {
        if (*name < '0' || *name > '9' || value > 0x7ffffff)
            return false;
        value = value * 10 + (uint32_t)(*name - '0');
    }
    *number = value;
    return true;
}

struct pseudo_at pseudo_of(const struct path *path)
{
    return path->at.pseudo;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */
static bool find_child(struct pseudo_at *at, const char *name)
{
    for (const struct pseudo_entry *e = at->entry->children; e && e->name; e++) {
        if (!strcmp(e->name, name)) {
            at->entry = e;
            return true;
        }
    }
    const struct pseudo_each *each = at->entry->each;
    if (!each || !each->find(at, name))
        return false;
    at->entry = each->entry;
    return true;
}

static long pseudo_find(struct path *path, void *mount, const char *rest)
{
    struct pseudo_at at = {.entry = mount, .tid = process_pid(), .number = -1};
    char name[64];

    path->mode = 0;
    while (*rest) {
        size_t n = 0;
        while (rest[n] && rest[n] != '/')
            n++;
        if ((at.entry->mode & S_IFMT) != S_IFDIR)
            return -ENOTDIR;
        memcpy(name, rest, n < sizeof(name) ? n : 0);
        name[n < sizeof(name) ? n : 0] = 0;
        rest += n + (rest[n] == '/');
        if (!find_child(&at, name))
            return *rest ? -ENOENT : 0;
    }
    path->at.pseudo = at;
    path->mode = at.entry->mode;
    if (at.entry->become)
        at.entry->become(path);
    return 0;
}

static long pseudo_readlink(const struct path *path, char target[PATH_SIZE])
{
    return path->at.pseudo.entry->link(&path->at.pseudo, target);
}

static long pseudo_follow(struct path *path, char target[PATH_SIZE])
{
    const struct pseudo_entry *e = path->at.pseudo.entry;
    return e->follow ? e->follow(path, target) : e->link(&path->at.pseudo, target);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */
void synthetic_stat(struct stat *stat, uint32_t mode, uint64_t ino)
{
    memset(stat, 0, sizeof(*stat));
    stat->st_dev = 0x76; /* the device number of what exists inside only */
    stat->st_ino = ino;
    stat->st_nlink = 1;
    stat->st_mode = mode;
    stat->st_uid = process_uid();
    stat->st_gid = process_gid();
    stat->st_blksize = VIGIL_PAGE;
}

/* The same name has the same number. */
static uint64_t number_of(const char *inside)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *inside; inside++)
        h = (h ^ (uint8_t)*inside) * 0x100000001b3ull;
    return (h ^ h >> 32) & 0xffffffff;
}

static void attributes(const struct pseudo_at *at, const char *inside, struct stat *stat)
{
    const struct pseudo_entry *e = at->entry;
    int64_t then = system_start_realtime_ns();

    synthetic_stat(stat, e->mode, number_of(inside));
    if ((e->mode & S_IFMT) == S_IFDIR)
        stat->st_nlink = 2;
    if ((e->mode & S_IFMT) == S_IFLNK && strncmp(inside, "/dev", 4))
        stat->st_size = 64; /* as Linux's /proc says of its links */
    if (strncmp(inside, "/proc/", 6) || inside[6] < '0' || inside[6] > '9')
        stat->st_uid = stat->st_gid = 0; /* only the process's own directory is its user's */
    stat->st_rdev = e->device;
    stat->st_blksize = (e->mode & S_IFMT) == S_IFREG ? 1024 : VIGIL_PAGE;
    stat->st_atime = stat->st_mtime = stat->st_ctime = (unsigned long)(then / 1000000000);
    stat->st_atime_nsec = stat->st_mtime_nsec = stat->st_ctime_nsec = (unsigned long)(then % 1000000000);
}

static long pseudo_stat(const struct path *path, struct stat *stat)
{
    attributes(&path->at.pseudo, path->inside, stat);
    return 0;
}

static long file_stat_pseudo(struct file *file, struct stat *stat)
{
    attributes(&((struct pseudo_file *)file->object)->at, file->path, stat);
    return 0;
}

/* ---- reading and writing ----------------------------------------------------------------------------------------- */
/* Under the position's lock. */
static long make_text(struct pseudo_file *f)
{
    const struct pseudo_entry *e = f->at.entry;
    long status = 0;

    f->text.used = 0;
    f->text.failed = false;
    f->made = false;
    if (e->content)
        text_bytes(&f->text, e->content, strlen(e->content));
    else if (e->show)
        status = e->show(&f->at, &f->text);
    if (!status && f->text.failed)
        status = -ENOMEM;
    f->made = !status;
    return status;
}

static long read_text(struct pseudo_file *f, struct io *io, uint64_t offset)
{
    long status = f->made && offset ? 0 : make_text(f);

    if (status || offset >= f->text.used)
        return status;
    size_t n = f->text.used - offset;
    return io_put(io, f->text.data + offset, n < io->left ? n : io->left, IO_RUNTIME);
}

static long pseudo_read(struct file *file, struct io *io, int64_t offset)
{
    struct pseudo_file *f = file->object;

    lock(&file->position_lock);
    long result = read_text(f, io, offset < 0 ? (uint64_t)file->position : (uint64_t)offset);
    if (result > 0 && offset < 0)
        file->position += result;
    unlock(&file->position_lock);
    return result;
}

static long pseudo_write(struct file *file, struct io *io, int64_t offset)
{
    struct pseudo_file *f = file->object;
    size_t n = io->left < STORE_SIZE ? io->left : STORE_SIZE;
    char *data = kmalloc(n + 1);

    if (!data)
        return -ENOMEM;
    long result = io_get(io, data, n, IO_RUNTIME);
    if (result >= 0) {
        data[result] = 0;
        long status = f->at.entry->store ? f->at.entry->store(&f->at, data, (size_t)result) : -EINVAL;
        result = status ? status : result;
    }
    kfree(data);
    if (result > 0 && offset < 0) {
        lock(&file->position_lock);
        file->position += result;
        unlock(&file->position_lock);
    }
    return result;
}

static long pseudo_seek(struct file *file, int64_t offset, int whence)
{
    lock(&file->position_lock);
    if (whence == SEEK_CUR)
        offset += file->position;
    else if (whence != SEEK_SET)
        offset = -1;
    if (offset >= 0)
        file->position = offset;
    unlock(&file->position_lock);
    return offset < 0 ? -EINVAL : offset;
}

static void pseudo_release(struct file *file)
{
    struct pseudo_file *f = file->object;

    kfree(f->text.data);
    kfree(f);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */
static uint8_t dirent_type(uint32_t mode)
{
    return (uint8_t)(mode >> 12);
}

static bool has_child(const struct pseudo_entry *e, const char *name)
{
    for (const struct pseudo_entry *c = e->children; c && c->name; c++)
        if (!strcmp(c->name, name))
            return true;
    return false;
}

/* A mount point in the directory that no entry is there for, by number. */
static bool mounted_name(const struct file *file, uint32_t number, char name[256])
{
    const struct pseudo_file *f = file->object;

    for (uint32_t i = 0; path_mount_below(file->path, i, name); i++)
        if (!has_child(f->at.entry, name) && !number--)
            return true;
    return false;
}

/* Positions: ".", "..", the table, mount points, and from TABLE_POSITIONS on the numbered ones. The entry at or behind
 * *position; false: no more. */
static bool entry_at(const struct file *file, int64_t *position, char name[256], uint8_t *type)
{
    const struct pseudo_file *f = file->object;
    const struct pseudo_entry *e = f->at.entry, *c = e->children;
    int64_t at = *position, number = 2;

    *type = dirent_type(S_IFDIR);
    if (at < 2)
        return format(name, 256, at ? ".." : ".") > 0;
    for (; c && c->name && at < TABLE_POSITIONS; c++, number++) {
        if (number == at) {
            *type = dirent_type(c->mode);
            return format(name, 256, "%s", c->name) > 0;
        }
    }
    if (at < TABLE_POSITIONS && mounted_name(file, (uint32_t)(at - number), name))
        return true;
    if (!e->each)
        return false;
    at = at < TABLE_POSITIONS ? 0 : at - TABLE_POSITIONS;
    if (!e->each->next(&f->at, &at, name))
        return false;
    *type = dirent_type(e->each->entry->mode);
    *position = at + TABLE_POSITIONS;
    return true;
}

static long pseudo_list(struct file *file, void *buf, size_t size)
{
    char name[256];
    size_t used = 0;
    uint8_t type;
    bool full = false;

    lock(&file->position_lock);
    while (!full) {
        int64_t at = file->position;
        if (!entry_at(file, &at, name, &type))
            break;
        full = !dirent_add(buf, size, &used, (uint64_t)at + 1, at + 1, type, name);
        if (!full)
            file->position = at + 1;
    }
    unlock(&file->position_lock);
    return used || !full ? (long)used : -EINVAL;
}

static uint32_t pseudo_ready(struct file *file)
{
    (void)file;
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

static const struct file_ops pseudo_directory_ops = {
    .seek = pseudo_seek,
    .stat = file_stat_pseudo,
    .list = pseudo_list,
    .release = pseudo_release,
};

static const struct file_ops pseudo_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = pseudo_seek,
    .stat = file_stat_pseudo,
    .ready = pseudo_ready,
    .release = pseudo_release,
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */
static struct file *pseudo_open(const struct path *path, int flags, int mode, int *error)
{
    const struct pseudo_entry *e = path->at.pseudo.entry;
    bool directory = (e->mode & S_IFMT) == S_IFDIR;

    (void)mode;
    if (!path->mode || (directory && (flags & O_TMPFILE) == O_TMPFILE)) {
        *error = path->mode ? -EOPNOTSUPP : -ENOENT; /* nothing can be made here */
        return NULL;
    }
    if (e->open && !(flags & O_PATH))
        return e->open(path, flags, error);
    if (!(flags & O_PATH) && !directory && (((flags & O_ACCMODE) != O_RDONLY && !e->store) ||
                                            ((flags & O_ACCMODE) != O_WRONLY && !e->show && !e->content))) {
        *error = -EACCES;
        return NULL;
    }
    struct pseudo_file *f = kzalloc(sizeof(*f));
    struct file *file =
        f ? file_new(directory ? &pseudo_directory_ops : &pseudo_file_ops,
                     (uint32_t)flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_PATH | O_DIRECTORY), path->inside)
          : NULL;
    *error = file ? 0 : -ENOMEM;
    if (!file) {
        kfree(f);
        return NULL;
    }
    f->at = path->at.pseudo;
    file->object = f;
    file->type = e->mode & S_IFMT;
    return file;
}

#define PSEUDO_FS(type_, magic_) \
    {.type = type_, .magic = magic_, .find = pseudo_find, .readlink = pseudo_readlink, .follow = pseudo_follow, \
     .stat = pseudo_stat, .open = pseudo_open}
const struct inside_fs proc_fs = PSEUDO_FS("proc", 0x9fa0);
const struct inside_fs sys_fs = PSEUDO_FS("sysfs", 0x62656572);
const struct inside_fs dev_fs = PSEUDO_FS("devtmpfs", 0x01021994);
