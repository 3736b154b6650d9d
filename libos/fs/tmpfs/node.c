/* SPDX-License-Identifier: Apache-2.0
 *
 * Files, directories and links in memory, and the names they have. */
#include "libos/fs/tmpfs/tmpfs.h"
#include "libos/process/process.h"

#include <linux/time.h>

#define NS 1000000000l
#define FIRST_BUCKETS 64u
#define NODE_ROOM 512 /* bytes of the runtime's heap that a node and its name cost, about */

lock_t tmpfs_lock;
static uint64_t inodes, nodes;
static struct tmpfs_entry **buckets; /* of all directories */
static uint32_t bucket_count, entry_count;

/* ---- nodes ------------------------------------------------------------------------------------------------------- */
/* A quarter of the heap may be nodes: the rest of the LibOS needs some, too. */
static bool room_for_node(void)
{
    uint64_t limit = (boot_info()->heap_end - boot_info()->heap) / 4 / NODE_ROOM;

    if (!boot_info()->heap_end) /* unit tests: no heap of our own */
        return true;
    return __atomic_load_n(&nodes, __ATOMIC_RELAXED) < limit;
}

struct tmpfs_node *tmpfs_node_new(uint32_t mode, uint32_t device)
{
    struct tmpfs_node *node = room_for_node() ? kzalloc(sizeof(*node)) : NULL;

    if (!node)
        return NULL;
    __atomic_add_fetch(&nodes, 1, __ATOMIC_RELAXED);
    node->refs = 1;
    node->mode = mode;
    node->uid = process_uid();
    node->gid = process_gid();
    node->device = device;
    node->ino = __atomic_add_fetch(&inodes, 1, __ATOMIC_RELAXED);
    node->stale = STALE_ALL;
    node->seals = F_SEAL_SEAL;
    node->cookies = 2; /* behind "." and ".." */
    return node;
}

struct tmpfs_node *tmpfs_node_get(struct tmpfs_node *node)
{
    __atomic_add_fetch(&node->refs, 1, __ATOMIC_RELAXED);
    return node;
}

void tmpfs_node_put(struct tmpfs_node *node)
{
    if (!node || __atomic_sub_fetch(&node->refs, 1, __ATOMIC_ACQ_REL))
        return;
    store_free(&node->data);
    kfree(node->target);
    fifo_free(node->fifo);
    kfree(node);
    __atomic_sub_fetch(&nodes, 1, __ATOMIC_RELAXED);
}

void tmpfs_touch(struct tmpfs_node *node, uint32_t stale)
{
    if ((__atomic_load_n(&node->stale, __ATOMIC_RELAXED) & stale) != stale)
        __atomic_or_fetch(&node->stale, stale, __ATOMIC_RELAXED);
}

void tmpfs_settle(struct tmpfs_node *node)
{
    if (!__atomic_load_n(&node->stale, __ATOMIC_RELAXED))
        return;
    int64_t now = time_now(CLOCK_REALTIME);
    lock(&tmpfs_lock);
    uint32_t stale = __atomic_exchange_n(&node->stale, 0, __ATOMIC_RELAXED);
    if (stale & STALE_ATIME)
        node->atime = now;
    if (stale & STALE_MTIME)
        node->mtime = now;
    if (stale & STALE_CTIME)
        node->ctime = now;
    unlock(&tmpfs_lock);
}

static void put_time(unsigned long *seconds, unsigned long *ns, int64_t time)
{
    int64_t rest = time % NS;

    *seconds = (unsigned long)(time / NS - (rest < 0));
    *ns = (unsigned long)(rest < 0 ? rest + NS : rest);
}

void tmpfs_node_stat(struct tmpfs_node *node, struct stat *stat)
{
    tmpfs_settle(node);
    memset(stat, 0, sizeof(*stat));
    lock(&tmpfs_lock);
    stat->st_dev = node->device;
    stat->st_ino = node->ino;
    stat->st_nlink = node->nlink;
    stat->st_mode = node->mode;
    stat->st_uid = node->uid;
    stat->st_gid = node->gid;
    stat->st_blksize = VIGIL_PAGE;
    put_time(&stat->st_atime, &stat->st_atime_nsec, node->atime);
    put_time(&stat->st_mtime, &stat->st_mtime_nsec, node->mtime);
    put_time(&stat->st_ctime, &stat->st_ctime_nsec, node->ctime);
    if (node->target)
        stat->st_size = (long)strlen(node->target);
    else
        stat->st_size =
            (node->mode & S_IFMT) == S_IFDIR ? ((long)node->entries + 2) * 20 : (long)store_size(&node->data);
    stat->st_blocks = (long)__atomic_load_n(&node->data.pages, __ATOMIC_RELAXED) * (VIGIL_PAGE / 512);
    unlock(&tmpfs_lock);
}

/* User 0 may do all but execute what nobody may; others are asked for their rights. */
long tmpfs_may(const struct tmpfs_node *node, uint32_t rights)
{
    uint32_t mode = node->mode;

    if (!process_uid())
        return 0;
    mode >>= node->uid == process_uid() ? 6 : node->gid == process_gid() ? 3 : 0;
    return rights & ~mode & 7 ? -EACCES : 0;
}

static bool owner(const struct tmpfs_node *node)
{
    return !process_uid() || node->uid == process_uid();
}

static long resize(struct tmpfs_node *node, uint64_t size)
{
    uint64_t now = store_size(&node->data);

    if ((size < now && node->seals & F_SEAL_SHRINK) || (size > now && node->seals & F_SEAL_GROW))
        return -EPERM;
    return store_truncate(&node->data, size);
}

long tmpfs_node_change(struct tmpfs_node *node, const struct change *change)
{
    if (change->what & CHANGE_SIZE) {
        long status = (node->mode & S_IFMT) == S_IFREG ? resize(node, change->size) : -EINVAL;
        if (status)
            return status;
        tmpfs_touch(node, STALE_MTIME | STALE_CTIME);
    }
    if (change->what & ~CHANGE_SIZE && !owner(node))
        return -EPERM;
    if (process_uid() && ((change->what & CHANGE_UID && change->uid != node->uid) ||
                          (change->what & CHANGE_GID && change->gid != process_gid() && change->gid != node->gid)))
        return -EPERM;
    tmpfs_settle(node);
    lock(&tmpfs_lock);
    if (change->what & CHANGE_MODE)
        node->mode = (node->mode & S_IFMT) | (change->mode & 07777);
    if (change->what & CHANGE_UID)
        node->uid = change->uid;
    if (change->what & CHANGE_GID)
        node->gid = change->gid;
    if (change->what & CHANGE_ATIME)
        node->atime = change->atime_ns;
    if (change->what & CHANGE_MTIME)
        node->mtime = change->mtime_ns;
    unlock(&tmpfs_lock);
    tmpfs_touch(node, STALE_CTIME);
    return 0;
}

/* ---- names: one hash table of all directories -------------------------------------------------------------------- */
static uint32_t hash(const struct tmpfs_node *directory, const char *name, size_t n)
{
    uint64_t h = 0xcbf29ce484222325ull ^ directory->ino;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)name[i]) * 0x100000001b3ull;
    return (uint32_t)(h ^ h >> 32);
}

static struct tmpfs_entry **bucket_of(const struct tmpfs_node *directory, const char *name, size_t n)
{
    return &buckets[hash(directory, name, n) & (bucket_count - 1)];
}

struct tmpfs_entry *tmpfs_lookup(const struct tmpfs_node *directory, const char *name, size_t n)
{
    struct tmpfs_entry *e = bucket_count ? *bucket_of(directory, name, n) : NULL;

    while (e && (e->directory != directory || strncmp(e->name, name, n) || e->name[n]))
        e = e->next_in_bucket;
    return e;
}

/* Twice as many; without memory the chains just become longer. */
static void more_buckets(void)
{
    uint32_t old_count = bucket_count, count = old_count ? old_count * 2 : FIRST_BUCKETS;
    struct tmpfs_entry **old = buckets, **bigger = kzalloc(count * sizeof(struct tmpfs_entry *));

    if (!bigger)
        return;
    buckets = bigger;
    bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct tmpfs_entry *e = old[i], *next; e; e = next) {
            next = e->next_in_bucket;
            struct tmpfs_entry **bucket = bucket_of(e->directory, e->name, strlen(e->name));
            e->next_in_bucket = *bucket;
            *bucket = e;
        }
    }
    kfree(old);
}

struct tmpfs_entry *tmpfs_entry_new(const char *name)
{
    size_t n = strlen(name) + 1;
    struct tmpfs_entry *e;

    lock(&tmpfs_lock);
    if (entry_count >= bucket_count)
        more_buckets();
    bool ready = bucket_count;
    unlock(&tmpfs_lock);
    e = ready ? kzalloc(sizeof(*e) + n) : NULL;
    if (e)
        memcpy(e->name, name, n);
    return e;
}

void tmpfs_entry_add(struct tmpfs_node *directory, struct tmpfs_entry *e, struct tmpfs_node *node)
{
    struct tmpfs_entry **bucket = bucket_of(directory, e->name, strlen(e->name));

    e->next_in_bucket = *bucket;
    *bucket = e;
    e->directory = directory;
    e->node = tmpfs_node_get(node);
    e->cookie = directory->cookies++;
    e->next = NULL;
    e->previous = directory->last;
    *(e->previous ? &e->previous->next : &directory->first) = e;
    directory->last = e;
    directory->entries++;
    entry_count++;
    if ((node->mode & S_IFMT) == S_IFDIR) {
        node->parent = directory;
        directory->nlink++;
    }
    tmpfs_touch(directory, STALE_MTIME | STALE_CTIME);
}

struct tmpfs_node *tmpfs_entry_remove(struct tmpfs_entry *e)
{
    struct tmpfs_entry **at = bucket_of(e->directory, e->name, strlen(e->name));
    struct tmpfs_node *directory = e->directory, *node = e->node;

    while (*at != e)
        at = &(*at)->next_in_bucket;
    *at = e->next_in_bucket;
    *(e->previous ? &e->previous->next : &directory->first) = e->next;
    *(e->next ? &e->next->previous : &directory->last) = e->previous;
    directory->entries--;
    entry_count--;
    if ((node->mode & S_IFMT) == S_IFDIR) {
        node->parent = NULL;
        directory->nlink--;
    }
    tmpfs_touch(directory, STALE_MTIME | STALE_CTIME);
    tmpfs_touch(node, STALE_CTIME);
    kfree(e);
    return node;
}
