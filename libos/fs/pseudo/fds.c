/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/fd and fdinfo: the descriptor table as directories. */
#include "libos/fs/pseudo/pseudo.h"

static bool find_fd(struct pseudo_at *at, const char *name)
{
    uint32_t fd;

    if (!pseudo_number(name, &fd))
        return false;
    struct file *file = file_from_fd((int)fd);
    if (!file)
        return false;
    file_put(file);
    at->number = (int)fd;
    return true;
}

/* The position of a descriptor is its number, so that closing one while listing skips nothing. */
static bool next_fd(const struct pseudo_at *at, int64_t *position, char name[32])
{
    (void)at;
    for (int64_t fd = *position; fd < fd_table_size(); fd++) {
        struct file *file = file_from_fd((int)fd);
        if (!file)
            continue;
        file_put(file);
        format(name, 32, "%d", (int)fd);
        *position = fd;
        return true;
    }
    return false;
}

static long link_of_fd(const struct pseudo_at *at, char target[PATH_SIZE])
{
    return fd_readlink(at->number, target);
}

static long follow_fd(struct path *path, char target[PATH_SIZE])
{
    return fd_follow(path, path->at.pseudo.number, target);
}

static void text_octal(struct text *text, uint32_t value)
{
    char digits[16];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char)('0' + (value & 7));
        value >>= 3;
    } while (value);
    text_bytes(text, "0", 1);
    text_bytes(text, digits + n, sizeof(digits) - n);
}

static long show_fdinfo(const struct pseudo_at *at, struct text *text)
{
    struct file *file = file_from_fd(at->number);
    struct stat stat;

    if (!file)
        return -ENOENT;
    long position = file->ops->seek && !(file->flags & O_PATH) ? file->ops->seek(file, 0, SEEK_CUR) : 0;
    uint32_t flags = __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
    if (fd_cloexec((uint32_t)at->number, -1) > 0)
        flags |= O_CLOEXEC;
    text_add(text, "pos:\t%ld\nflags:\t", position > 0 ? position : 0);
    text_octal(text, flags);
    text_add(text, "\nmnt_id:\t1\nino:\t%lu\n", file_stat(file, &stat) ? 0ul : (unsigned long)stat.st_ino);
    file_put(file);
    return 0;
}

static const struct pseudo_entry fd_entry = {.mode = S_IFLNK | 0700, .link = link_of_fd, .follow = follow_fd};
static const struct pseudo_entry fdinfo_entry = {.mode = S_IFREG | 0400, .show = show_fdinfo};
const struct pseudo_each each_fd = {&fd_entry, find_fd, next_fd};
const struct pseudo_each each_fdinfo = {&fdinfo_entry, find_fd, next_fd};
