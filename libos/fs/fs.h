/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside fs/: open files, the descriptor table, paths. The host keeps the files; what it answers is checked where it
 * enters. */
#ifndef VIGIL_FS_H
#define VIGIL_FS_H

#include "libos/libos.h"

#include <asm/unistd_64.h>
#include <linux/fcntl.h>

#define PATH_LIMIT 4096

/* st_mode; <linux/stat.h> hides them from programs that have a C library. */
#define MODE_TYPE 0170000u
#define MODE_REGULAR 0100000u
#define MODE_DIRECTORY 0040000u

struct file {
    uint32_t refs;
    int host_fd;
    uint32_t flags;        /* O_* it was opened with */
    bool regular;          /* reads and writes are carried on until complete */
    bool random;           /* reads come from the processor, not from the host */
    char *path;            /* inside, normalised; NULL for pipes and the like */
};

/* ---- file.c ---- */
struct file *file_new(int host_fd, uint32_t flags, const char *path);
struct file *file_get(struct file *file);
struct file *file_from_fd(int fd);        /* referenced, or NULL */
int fd_install(struct file *file, int lowest, bool cloexec); /* takes the reference; number or -errno (file is put) */
/* Opens a host file for the current policy; -errno or a file. flags as open(2). */
long file_open_path(const char *inside, const char *host, int flags, int mode, struct file **out);

/* ---- path.c ---- */
struct path { char *inside, *host; };     /* one allocation, freed by path_put */
/* From a path of the program, relative to dirfd. empty_ok: "" names dirfd itself (AT_EMPTY_PATH). */
long path_get(struct path *path, int dirfd, const void *user_path, bool empty_ok);
long path_resolve(struct path *path, const char *base, const char *relative);
void path_put(struct path *path);
/* -EACCES, with a line naming the manifest key, unless the manifest lets the program use this file. */
int path_policy(const struct path *path);
/* Puts the host path into bounce memory; NULL if there is no room. */
void *path_bounce(const struct path *path);
int fs_set_cwd(const char *inside);

/* ---- io.c ---- */
/* An OCALL that may block, restarted as long as nothing is to be delivered. */
long host_blocking(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
/* Forces a result into [-4095, most]. */
long checked(long untrusted_result, long most);
long file_read(struct file *file, void *user, size_t n, int64_t offset /* -1: the file's own */);
long file_write(struct file *file, const void *user, size_t n, int64_t offset);

static inline bool is_error(long untrusted_result)
{
    return untrusted_result < 0;
}

#endif
