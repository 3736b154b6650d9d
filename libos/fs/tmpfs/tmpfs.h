/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside tmpfs/: files in the enclave's memory. One lock guards the trees of all of them, their link counts and
 * attributes; contents are under their store's own. Nothing but time_now() calls the host. */
#ifndef VIGIL_TMPFS_H
#define VIGIL_TMPFS_H

#include "libos/fs/inside.h"
#include "libos/fs/locks.h"
#include "libos/fs/store.h"

struct tmpfs {
    struct tmpfs_node *root;
    uint32_t device;
};

struct tmpfs_node {
    uint32_t refs;              /* entries, open files, paths */
    uint32_t nlink, mode, uid, gid, device;
    uint64_t ino;
    int64_t atime, mtime, ctime; /* ns */
    uint32_t stale; /* times that are to become those of the next look: asking the host at each write costs more
                     * than the write */
    uint32_t seals;             /* F_SEAL_*: only files of memfd_create may have other than F_SEAL_SEAL */
    bool may_link;              /* O_TMPFILE: has had no name yet */
    bool segment;               /* System V shared memory (mm/shm.c) */
    struct store data;          /* of a regular file */
    char *target;               /* of a link */
    struct pipe *fifo;          /* of a named pipe, once it has been opened; under tmpfs_lock */
    struct tmpfs_node *parent;  /* of a directory that has not been removed; no reference */
    struct tmpfs_entry *first, *last; /* in the order in which they were made */
    uint32_t entries;
    int64_t cookies;
    struct file_locks locks;
};
#define MEMFD_DEVICE 0x7f
#define STALE_ATIME 1u
#define STALE_MTIME 2u
#define STALE_CTIME 4u
#define STALE_ALL 7u

struct tmpfs_entry {
    struct tmpfs_entry *next_in_bucket, *next, *previous;
    struct tmpfs_node *directory, *node; /* node with a reference */
    int64_t cookie;             /* its position in listings */
    char name[];
};

extern lock_t tmpfs_lock;

/* ---- node.c ------------------------------------------------------------------------------------------------------ */
struct tmpfs_node *tmpfs_node_new(uint32_t mode, uint32_t device); /* NULL: no room */
struct tmpfs_node *tmpfs_node_get(struct tmpfs_node *node);
void tmpfs_node_put(struct tmpfs_node *node);   /* NULL is fine. Not under tmpfs_lock */
void tmpfs_touch(struct tmpfs_node *node, uint32_t stale);
void tmpfs_settle(struct tmpfs_node *node);     /* stale times become now. Not under tmpfs_lock */
void tmpfs_node_stat(struct tmpfs_node *node, struct stat *stat);
long tmpfs_node_change(struct tmpfs_node *node, const struct change *change);
/* May the program read (4), write (2), search (1)? 0 or -EACCES. */
long tmpfs_may(const struct tmpfs_node *node, uint32_t rights);

/* Entries, under tmpfs_lock. */
struct tmpfs_entry *tmpfs_lookup(const struct tmpfs_node *directory, const char *name, size_t n);
struct tmpfs_entry *tmpfs_entry_new(const char *name);  /* not in any directory yet; may be made without the lock */
void tmpfs_entry_add(struct tmpfs_node *directory, struct tmpfs_entry *entry, struct tmpfs_node *node);
struct tmpfs_node *tmpfs_entry_remove(struct tmpfs_entry *entry);  /* frees the entry; its node, with the reference */

/* ---- tmpfs.c: a (further) name */
long tmpfs_link_node(struct tmpfs_node *node, const struct path *to);

/* ---- memfd.c: F_ADD_SEALS and F_GET_SEALS */
long tmpfs_seal(struct file *file, int command, uint32_t seals);

/* ---- file.c ------------------------------------------------------------------------------------------------------ */
/* Takes a reference of its own. */
struct file *tmpfs_file_new(struct tmpfs_node *node, int flags, const char *inside, int *error);
extern const struct file_ops tmpfs_file_ops, tmpfs_directory_ops;

#endif
