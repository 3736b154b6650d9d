/* SPDX-License-Identifier: Apache-2.0
 *
 * What changing the tree of files and changing attributes share. */
#ifndef VIGIL_TREE_H
#define VIGIL_TREE_H

#include "libos/fs/inside.h"

/* Of an operation on a name: does it act on a link itself, make the name, remove it; may what it would remove be
 * absent. */
enum { FOLLOW = 0, LINK_ITSELF = 1, CREATES = 2, REMOVES = 4, REPLACES = 8 };
long tree_resolve(struct path **path, long dirfd, long user_path, int how);
/* nr(AT_FDCWD, the host's name, a2, a3, a4) */
long tree_host(long nr, const struct path *path, long a2, long a3, long a4);

#define CALL(name, expression) \
    long sys_##name(SYSCALL_ARGS) \
    { \
        return expression; \
    }

#endif
