/* SPDX-License-Identifier: Apache-2.0
 *
 * Links of the host's that lead to what is inside: /proc, /sys, /dev, tmpfs. The host would follow them to its own. */
#include "libos/fs/inside.h"

#define LINKS_MAX 40

/* The text of a link, NUL-terminated; its length, or -errno (-EINVAL: it is none). */
static long read_link(const struct path *path, char *target)
{
    size_t mark = bounce_mark();
    const void *untrusted_path = path_to_host(path);
    void *untrusted_target = bounce_alloc(PATH_SIZE);
    long n = -ENOMEM;

    if (untrusted_path && untrusted_target)
        n = host_call(__NR_readlinkat, PATH_SIZE, AT_FDCWD, (long)untrusted_path, (long)untrusted_target, PATH_SIZE, 0);
    if (n >= PATH_SIZE)
        n = -ENAMETOOLONG;
    if (n > 0) {
        untrusted_read(target, untrusted_target, (size_t)n);
        target[n] = 0;
        n = (long)strlen(target);
    }
    bounce_release(mark);
    return n;
}

/* Where the link at name leads: target becomes absolute, as the program would write it. */
static bool make_absolute(const char *name, char *target, char *scratch)
{
    size_t n = strlen(name);

    if (target[0] == '/')
        return true;
    memcpy(scratch, name, n + 1);
    while (n > 1 && scratch[n - 1] != '/')
        n--;
    scratch[n > 1 ? n - 1 : n] = 0;
    if (!path_normalise(scratch, PATH_SIZE, scratch[0] ? scratch : "/", target))
        return false;
    memcpy(target, scratch, strlen(scratch) + 1);
    return true;
}

struct path *path_through_link(const struct path *link)
{
    char *target = kmalloc(2 * PATH_SIZE), *scratch = target + PATH_SIZE;
    const struct path *at = link;
    struct path *next = NULL;

    for (int links = 0; target && links < LINKS_MAX; links++) {
        bool leads = !at->raw && read_link(at, target) > 0 && make_absolute(at->inside, target, scratch);
        path_free(next);
        next = NULL;
        if (!leads || path_from_string(&next, AT_FDCWD, target, 0))
            break;
        if (next->fs) {
            kfree(target);
            return next;
        }
        at = next;
    }
    path_free(next);
    kfree(target);
    return NULL;
}
