/* SPDX-License-Identifier: Apache-2.0
 *
 * File systems: how large they are. And extended attributes, which none of them has. */
#include "libos/fs/store.h"
#include "libos/fs/tree.h"

#include <asm/statfs.h>

#define TMPFS 0x01021994
#define ANON_INODE 0x09041934
#define PIPEFS 0x50495045

/* What the host says of its own. */
static long take_statfs(struct statfs *s, const struct statfs *untrusted)
{
    untrusted_read(s, untrusted, sizeof(*s));
    memset(s->f_spare, 0, sizeof(s->f_spare));
    return s->f_bsize <= 0 || s->f_namelen < 0 || s->f_frsize < 0 ? -EIO : 0;
}

static void describe(struct statfs *s, uint64_t magic)
{
    memset(s, 0, sizeof(*s));
    s->f_type = (long)magic;
    s->f_bsize = s->f_frsize = VIGIL_PAGE;
    s->f_namelen = 255;
    if (magic == TMPFS) {
        s->f_blocks = store_pages_limit();
        s->f_bfree = s->f_bavail = store_pages_limit() - store_pages_used();
        s->f_files = s->f_ffree = store_pages_limit();
    }
}

static long statfs_path(const struct path *path, struct statfs *s)
{
    struct statfs *untrusted_answer = bounce_alloc(sizeof(*untrusted_answer));
    const void *untrusted_path;

    if (path->fs) {
        describe(s, path->fs->magic ? path->fs->magic : TMPFS);
        return path->mode ? 0 : -ENOENT;
    }
    untrusted_path = path_to_host(path);
    if (!untrusted_answer || !untrusted_path)
        return -ENOMEM;
    long status = host_call(__NR_statfs, 0, (long)untrusted_path, (long)untrusted_answer, 0, 0, 0);
    return status ? status : take_statfs(s, untrusted_answer);
}

/* A file that is inside lies in its name's file system; what has no name has one of its own. */
static long statfs_inside(struct file *file, struct statfs *s)
{
    struct path *path;

    if (!file->path || path_from_string(&path, AT_FDCWD, file->path, PATH_NOFOLLOW)) {
        describe(s, file->ops->change ? TMPFS : file_type(file) == S_IFIFO ? PIPEFS : ANON_INODE);
        return 0;
    }
    describe(s, path->fs && path->fs->magic ? path->fs->magic : TMPFS);
    path_free(path);
    return 0;
}

long sys_statfs(SYSCALL_ARGS)
{
    struct path *path;
    struct statfs s;
    long status = path_from_user(&path, AT_FDCWD, a0, 0);

    if (status)
        return status;
    status = statfs_path(path, &s);
    path_free(path);
    return status ? status : copy_to_user((void *)a1, &s, sizeof(s));
}

long sys_fstatfs(SYSCALL_ARGS)
{
    struct statfs *untrusted_answer = bounce_alloc(sizeof(*untrusted_answer));
    struct file *file = file_from_fd((int)a0);
    struct statfs s;
    long status;

    if (!file)
        return -EBADF;
    if (file->host_fd < 0) {
        status = statfs_inside(file, &s);
    } else if (!untrusted_answer) {
        status = -ENOMEM;
    } else {
        status = host_call(__NR_fstatfs, 0, file->host_fd, (long)untrusted_answer, 0, 0, 0);
        if (!status)
            status = take_statfs(&s, untrusted_answer);
    }
    file_put(file);
    return status ? status : copy_to_user((void *)a1, &s, sizeof(s));
}

/* ---- extended attributes: there are none ------------------------------------------------------------------------- */
static long no_attributes(void)
{
    return -EOPNOTSUPP;
}

CALL(setxattr, no_attributes())
CALL(lsetxattr, no_attributes())
CALL(fsetxattr, no_attributes())
CALL(getxattr, no_attributes())
CALL(lgetxattr, no_attributes())
CALL(fgetxattr, no_attributes())
CALL(listxattr, no_attributes())
CALL(llistxattr, no_attributes())
CALL(flistxattr, no_attributes())
CALL(removexattr, no_attributes())
CALL(lremovexattr, no_attributes())
CALL(fremovexattr, no_attributes())
