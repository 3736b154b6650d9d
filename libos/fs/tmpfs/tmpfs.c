/* SPDX-License-Identifier: Apache-2.0
 *
 * tmpfs as a file system: what is done by name. */
#include "libos/fs/tmpfs/tmpfs.h"

#define NAME_LENGTH 255

static const char *name_of(const struct path *path)
{
    return strrchr(path->inside, '/') + 1;
}

static struct tmpfs_node *node_of(const struct path *path)
{
    return path->at.tmpfs.node;
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */
/* Under tmpfs_lock. */
static long find_locked(struct path *path, struct tmpfs_node *node, const char *rest)
{
    struct tmpfs_node *parent = NULL;

    while (*rest) {
        size_t n = 0;
        while (rest[n] && rest[n] != '/')
            n++;
        if (n > NAME_LENGTH)
            return -ENAMETOOLONG;
        if ((node->mode & S_IFMT) != S_IFDIR)
            return -ENOTDIR;
        if (tmpfs_may(node, 1))
            return -EACCES;
        const struct tmpfs_entry *e = tmpfs_lookup(node, rest, n);
        rest += n + (rest[n] == '/');
        parent = node;
        node = e ? e->node : NULL;
        if (!node && *rest)
            return -ENOENT;
    }
    path->at.tmpfs.node = node ? tmpfs_node_get(node) : NULL;
    path->at.tmpfs.parent = parent ? tmpfs_node_get(parent) : NULL;
    path->mode = node ? node->mode : 0;
    return 0;
}

static long tmpfs_find(struct path *path, void *mount, const char *rest)
{
    lock(&tmpfs_lock);
    long status = find_locked(path, ((struct tmpfs *)mount)->root, rest);
    unlock(&tmpfs_lock);
    return status;
}

static void tmpfs_drop(struct path *path)
{
    tmpfs_node_put(path->at.tmpfs.node);
    tmpfs_node_put(path->at.tmpfs.parent);
}

static long tmpfs_readlink(const struct path *path, char target[PATH_SIZE])
{
    size_t n = strlen(node_of(path)->target);

    memcpy(target, node_of(path)->target, n + 1);
    return (long)n;
}

static long tmpfs_stat_path(const struct path *path, struct stat *stat)
{
    tmpfs_node_stat(node_of(path), stat);
    return 0;
}

static long tmpfs_change_path(const struct path *path, const struct change *change)
{
    if (change->what & CHANGE_SIZE && tmpfs_may(node_of(path), 2))
        return -EACCES;
    if (change->what & CHANGE_MODE && (path->mode & S_IFMT) == S_IFLNK)
        return -EOPNOTSUPP;
    return tmpfs_node_change(node_of(path), change);
}

/* ---- making and removing ----------------------------------------------------------------------------------------- */
/* Puts the node into its directory under path's name, with one more link. 0, -EEXIST, -ENOENT (the directory has gone)
 */
static long enter(const struct path *path, struct tmpfs_node *node)
{
    struct tmpfs_node *directory = path->at.tmpfs.parent;
    const char *name = name_of(path);
    struct tmpfs_entry *e;
    long status = directory ? tmpfs_may(directory, 3) : -EEXIST;

    if (status)
        return status;
    e = tmpfs_entry_new(name);
    if (!e)
        return -ENOSPC;
    lock(&tmpfs_lock);
    if (!directory->nlink)
        status = -ENOENT;
    else if (tmpfs_lookup(directory, name, strlen(name)))
        status = -EEXIST;
    if (!status) {
        tmpfs_entry_add(directory, e, node);
        node->nlink += (node->mode & S_IFMT) == S_IFDIR ? 2 : 1;
        node->may_link = false;
    }
    unlock(&tmpfs_lock);
    if (status)
        kfree(e);
    return status;
}

/* A new node under path's name; NULL and *status if that cannot be. */
static struct tmpfs_node *make(const struct path *path, uint32_t mode, const char *target, long *status)
{
    const struct tmpfs_node *directory = path->at.tmpfs.parent;
    struct tmpfs_node *node = tmpfs_node_new(mode, directory ? directory->device : 0);
    size_t n = target ? strlen(target) + 1 : 0;

    *status = node ? 0 : -ENOSPC;
    if (node && target) {
        node->target = kmalloc(n);
        if (node->target)
            memcpy(node->target, target, n);
        else
            *status = -ENOSPC;
    }
    if (node && directory && directory->mode & 02000) { /* set-group-ID: the directory's group goes on */
        node->gid = directory->gid;
        node->mode |= (mode & S_IFMT) == S_IFDIR ? 02000 : 0;
    }
    if (!*status)
        *status = enter(path, node);
    if (*status) {
        tmpfs_node_put(node);
        return NULL;
    }
    return node;
}

static long tmpfs_make(const struct path *path, uint32_t mode, const char *target)
{
    long status;

    tmpfs_node_put(make(path, mode, target, &status));
    return status;
}

static bool sticky_forbids(const struct tmpfs_node *directory, const struct tmpfs_node *node)
{
    return directory->mode & 01000 && tmpfs_may(directory, 2) && tmpfs_may(node, 2);
}

/* Under tmpfs_lock: may the entry go, as a directory or not? */
static long may_remove(const struct tmpfs_entry *e, bool directory)
{
    bool is_directory;

    if (!e)
        return -ENOENT;
    is_directory = (e->node->mode & S_IFMT) == S_IFDIR;
    if (tmpfs_may(e->directory, 3) || sticky_forbids(e->directory, e->node))
        return -EACCES;
    if (directory != is_directory)
        return directory ? -ENOTDIR : -EISDIR;
    return is_directory && e->node->entries ? -ENOTEMPTY : 0;
}

/* Under tmpfs_lock: takes the name away. The node, with its reference. */
static struct tmpfs_node *remove_locked(struct tmpfs_entry *e)
{
    struct tmpfs_node *node = tmpfs_entry_remove(e);

    node->nlink -= (node->mode & S_IFMT) == S_IFDIR ? 2 : 1;
    return node;
}

static struct tmpfs_entry *entry_of(const struct path *path)
{
    const char *name = name_of(path);
    return path->at.tmpfs.parent ? tmpfs_lookup(path->at.tmpfs.parent, name, strlen(name)) : NULL;
}

static long tmpfs_remove(const struct path *path, bool directory)
{
    struct tmpfs_node *node = NULL;

    lock(&tmpfs_lock);
    struct tmpfs_entry *e = entry_of(path);
    long status = may_remove(e, directory);
    if (!status)
        node = remove_locked(e);
    unlock(&tmpfs_lock);
    tmpfs_node_put(node);
    return status;
}

long tmpfs_link_node(struct tmpfs_node *node, const struct path *to)
{
    if ((node->mode & S_IFMT) == S_IFDIR)
        return -EPERM;
    if (!node->nlink && !node->may_link)
        return -ENOENT;
    if (to->directory)
        return -ENOENT;
    long status = enter(to, node);
    if (!status)
        tmpfs_touch(node, STALE_CTIME);
    return status;
}

static long tmpfs_link(const struct path *from, const struct path *to)
{
    return tmpfs_link_node(node_of(from), to);
}

/* ---- renaming ---------------------------------------------------------------------------------------------------- */
/* Under tmpfs_lock: is node the directory, or above it? */
static bool is_above(const struct tmpfs_node *node, const struct tmpfs_node *directory)
{
    for (; directory; directory = directory->parent)
        if (directory == node)
            return true;
    return false;
}

static long may_rename(const struct tmpfs_entry *from, const struct tmpfs_entry *to, const struct path *to_path,
                       uint32_t flags)
{
    const struct tmpfs_node *into = to_path->at.tmpfs.parent;

    if (!from || !into || !into->nlink || (!to && flags & RENAME_EXCHANGE))
        return -ENOENT;
    if (to && flags & RENAME_NOREPLACE)
        return -EEXIST;
    bool directory = (from->node->mode & S_IFMT) == S_IFDIR;
    if (tmpfs_may(from->directory, 3) || tmpfs_may(into, 3) || sticky_forbids(from->directory, from->node))
        return -EACCES;
    if (directory && is_above(from->node, into))
        return -EINVAL;
    if (to && is_above(to->node, from->directory))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (to_path->directory && !directory)
        return -ENOTDIR;
    return to && !(flags & RENAME_EXCHANGE) && to->node != from->node ? may_remove(to, directory) : 0;
}

/* Both names stay, with each other's nodes. */
static void exchange(struct tmpfs_entry *a, struct tmpfs_entry *b)
{
    struct tmpfs_node *node = a->node, *pair[2] = {a->node, b->node}, *directories[2] = {b->directory, a->directory};

    a->node = b->node;
    b->node = node;
    for (int i = 0; i < 2; i++) {
        if ((pair[i]->mode & S_IFMT) == S_IFDIR) {
            pair[i]->parent->nlink--;
            pair[i]->parent = directories[i];
            directories[i]->nlink++;
        }
        tmpfs_touch(pair[i], STALE_CTIME);
        tmpfs_touch(directories[i], STALE_MTIME | STALE_CTIME);
    }
}

/* Under tmpfs_lock. fresh becomes the new name. What was replaced, with its reference. */
static struct tmpfs_node *move(struct tmpfs_entry *from, struct tmpfs_entry *to, struct tmpfs_node *into,
                               struct tmpfs_entry *fresh)
{
    struct tmpfs_node *replaced = to ? remove_locked(to) : NULL, *node = tmpfs_entry_remove(from);

    tmpfs_entry_add(into, fresh, node);
    __atomic_sub_fetch(&node->refs, 1, __ATOMIC_RELAXED); /* the old name's; the new one has its own */
    return replaced;
}

static long tmpfs_rename(const struct path *from_path, const struct path *to_path, uint32_t flags)
{
    struct tmpfs_node *replaced = NULL;

    if (flags & RENAME_WHITEOUT || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    struct tmpfs_entry *fresh = tmpfs_entry_new(name_of(to_path));
    if (!fresh)
        return -ENOSPC;
    lock(&tmpfs_lock);
    struct tmpfs_entry *from = entry_of(from_path), *to = entry_of(to_path);
    long status = may_rename(from, to, to_path, flags);
    bool nothing = !status && to && to->node == from->node;
    if (!status && !nothing && flags & RENAME_EXCHANGE) {
        exchange(from, to);
    } else if (!status && !nothing) {
        replaced = move(from, to, to_path->at.tmpfs.parent, fresh);
        fresh = NULL;
    }
    unlock(&tmpfs_lock);
    kfree(fresh);
    tmpfs_node_put(replaced);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */
/* O_TMPFILE: a file in the directory, without a name. */
static struct file *open_unnamed(const struct path *path, int flags, int mode, int *error)
{
    const struct tmpfs_node *directory = node_of(path);
    struct tmpfs_node *node;
    struct file *file = NULL;

    *error = (flags & O_ACCMODE) == O_RDONLY ? -EINVAL : (int)tmpfs_may(directory, 3);
    if (*error)
        return NULL;
    node = tmpfs_node_new(S_IFREG | ((uint32_t)mode & 07777 & ~file_umask()), directory->device);
    if (!node) {
        *error = -ENOSPC;
        return NULL;
    }
    node->may_link = !(flags & O_EXCL);
    file = tmpfs_file_new(node, flags & ~(O_TMPFILE | O_EXCL), NULL, error);
    tmpfs_node_put(node);
    return file;
}

static struct file *open_new(const struct path *path, int flags, int mode, int *error)
{
    uint32_t full = S_IFREG | ((uint32_t)mode & 07777 & ~file_umask());
    long status;
    struct tmpfs_node *node = make(path, S_IFREG | 0600, NULL, &status);

    *error = (int)status;
    if (!node)
        return NULL;
    struct file *file = tmpfs_file_new(node, flags, path->inside, error); /* its mode does not hold for who makes it */
    node->mode = full | (node->mode & 02000);
    tmpfs_node_put(node);
    return file;
}

static struct file *tmpfs_open(const struct path *path, int flags, int mode, int *error)
{
    if ((flags & O_TMPFILE) == O_TMPFILE && (path->mode & S_IFMT) == S_IFDIR && !(flags & O_PATH))
        return open_unnamed(path, flags, mode, error);
    if (path->mode)
        return tmpfs_file_new(node_of(path), flags, path->inside, error);
    struct file *file = open_new(path, flags, mode, error);
    struct path *again;
    /* Another thread was faster: its file is the one, unless ours had to be new. */
    if (!file && *error == -EEXIST && !(flags & O_EXCL) && !path_from_string(&again, AT_FDCWD, path->inside, 0)) {
        if (again->mode && again->fs == path->fs)
            file = tmpfs_file_new(node_of(again), flags, again->inside, error);
        path_free(again);
    }
    return file;
}

const struct inside_fs tmpfs = {
    .type = "tmpfs",
    .magic = 0x01021994,
    .find = tmpfs_find,
    .drop = tmpfs_drop,
    .readlink = tmpfs_readlink,
    .stat = tmpfs_stat_path,
    .open = tmpfs_open,
    .make = tmpfs_make,
    .remove = tmpfs_remove,
    .rename = tmpfs_rename,
    .link = tmpfs_link,
    .change = tmpfs_change_path,
};

/* ---- mounting ---------------------------------------------------------------------------------------------------- */
void *tmpfs_new(uint32_t device)
{
    struct tmpfs *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    t->device = device;
    t->root = tmpfs_node_new(S_IFDIR | 01777, device);
    if (!t->root) {
        kfree(t);
        return NULL;
    }
    t->root->nlink = 2;
    return t;
}

/* The directories of "a/b" below the root: another mount lies there. */
int tmpfs_make_directories(void *mount, const char *rest)
{
    struct tmpfs *t = mount;
    struct tmpfs_node *directory = t->root;
    char name[NAME_LENGTH + 1];

    while (*rest) {
        size_t n = 0;
        while (rest[n] && rest[n] != '/')
            n++;
        if (n > NAME_LENGTH)
            return -ENAMETOOLONG;
        memcpy(name, rest, n);
        name[n] = 0;
        rest += n + (rest[n] == '/');
        const struct tmpfs_entry *known = tmpfs_lookup(directory, name, n);
        if (known) {
            directory = known->node;
            continue;
        }
        struct tmpfs_node *node = tmpfs_node_new(S_IFDIR | 0755, t->device);
        struct tmpfs_entry *e = node ? tmpfs_entry_new(name) : NULL;
        if (!e) {
            tmpfs_node_put(node);
            return -ENOMEM;
        }
        tmpfs_entry_add(directory, e, node);
        node->nlink = 2;
        tmpfs_node_put(node); /* the name keeps it */
        directory = node;
    }
    return 0;
}
