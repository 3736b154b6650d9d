/* SPDX-License-Identifier: Apache-2.0
 *
 * File systems that are inside: what the host has under their names does not count. path.c finds out which one a name
 * lies in and walks it component by component, so that their links lead where Linux has them lead. */
#ifndef VIGIL_INSIDE_H
#define VIGIL_INSIDE_H

#include "libos/fs/fs.h"

/* NULL: the operation is not permitted. */
struct inside_fs {
    const char *type;           /* as in /proc/mounts */
    /* Looks for `rest` of a mount ("": its root; else "a/b"), which is not the place of a link before its last
     * component. 0: path->mode and path->at say what it is (mode 0: it is not there, its directory is). -ENOENT,
     * -ENOTDIR */
    long (*find)(struct path *path, void *mount, const char *rest);
    void (*drop)(struct path *path);                 /* what find took */
    /* Of a link: where it leads; the length. */
    long (*readlink)(const struct path *path, char target[PATH_SIZE]);
    /* Of a link that leads to something without a name: makes path that (0), or says where it leads. NULL: as readlink.
     */
    long (*follow)(struct path *path, char target[PATH_SIZE]);
    long (*stat)(const struct path *path, struct stat *stat);
    struct file *(*open)(const struct path *path, int flags, int mode, int *error);
    /* A directory, link (target), or other node of that type and mode. path is not there. */
    long (*make)(const struct path *path, uint32_t mode, const char *target);
    long (*remove)(const struct path *path, bool directory);
    long (*rename)(const struct path *from, const struct path *to, uint32_t flags);
    long (*link)(const struct path *from, const struct path *to);
    long (*change)(const struct path *path, const struct change *change);
    uint64_t magic;             /* of statfs */
};

struct mount {
    char *inside; size_t inside_length;
    char *host; size_t host_length;
    const struct inside_fs *fs; /* NULL: the host's directory */
    void *data;                 /* fs's own */
    bool implicit;              /* the manifest does not name it */
    bool hidden;                /* in lists of mounts */
};

/* ---- mount.c ----------------------------------------------------------------------------------------------------- */
int mounts_init(void);
const struct mount *mount_of(const char *inside);         /* NULL: there is no root */
const struct mount *mount_number(uint32_t i);            /* NULL: no more */
/* What of the name lies in the mount: "" or "a/b". */
const char *mount_rest(const struct mount *m, const char *inside);
bool mount_lies_below(const char *directory);

/* ---- directory.c: a directory that is there only because a mount point lies below -------------------------------- */
void path_become_above(struct path *path);

/* ---- descriptor.c: /proc/self/fd/N of what has no name ----------------------------------------------------------- */
void path_become_fd(struct path *path, int fd);
bool path_is_fd(const struct path *path);
long fd_readlink(int fd, char target[PATH_SIZE]);
/* 0: path is now the descriptor's object; else where its link leads (length or -errno). */
long fd_follow(struct path *path, int fd, char target[PATH_SIZE]);

/* ---- tmpfs/ ------------------------------------------------------------------------------------------------------ */
extern const struct inside_fs tmpfs;
void *tmpfs_new(uint32_t device);                        /* NULL: no memory */
int tmpfs_make_directories(void *mount, const char *rest);

/* ---- pseudo/ ----------------------------------------------------------------------------------------------------- */
extern const struct inside_fs proc_fs, sys_fs, dev_fs;
extern const struct pseudo_entry proc_root, sys_root, dev_root;
extern const struct pseudo_entry mtab_link; /* the host's /etc/mtab is a link to the host's /proc */
/* The devices that stay although a manifest mounts something over /dev. NULL: no more. */
const struct pseudo_entry *dev_essential(uint32_t i, const char **path);
int pseudo_init(void);

#endif
