/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths: from what the program says to an inside path (absolute, normalised) and to the host's. Policy is decided here. */
#include "libos/fs/fs.h"

static lock_t cwd_lock;
static char cwd[PATH_LIMIT] = "/";
static uint32_t warned_about_files;

const char *fs_cwd(void)
{
    return cwd;
}

int fs_set_cwd(const char *inside)
{
    if (strlen(inside) >= sizeof(cwd))
        return -ENAMETOOLONG;
    lock(&cwd_lock);
    memcpy(cwd, inside, strlen(inside) + 1);
    unlock(&cwd_lock);
    return 0;
}

/* Appends relative to out (an absolute normalised path), component by component. -ENAMETOOLONG if it gets too long. */
static int append(char *out, const char *relative)
{
    size_t n = strlen(out);

    while (*relative) {
        while (*relative == '/')
            relative++;
        size_t len = 0;
        while (relative[len] && relative[len] != '/')
            len++;
        if (len == 2 && relative[0] == '.' && relative[1] == '.') {
            while (n > 1 && out[n - 1] != '/')
                n--;
            if (n > 1)
                n--;
        } else if (len && !(len == 1 && relative[0] == '.')) {
            if (n + 1 + len >= PATH_LIMIT)
                return -ENAMETOOLONG;
            if (n > 1)
                out[n++] = '/';
            memcpy(out + n, relative, len);
            n += len;
        }
        out[n] = 0;
        relative += len;
    }
    return 0;
}

static const struct vigil_mount *mounts(void)
{
    return (const struct vigil_mount *)((const char *)config() + config()->mounts);
}

/* How much of path the mount point covers; 0 if it does not. */
static size_t covers(const char *point, const char *path)
{
    size_t n = strlen(point);
    while (n > 1 && point[n - 1] == '/')
        n--;
    if (n == 1)
        return 1;
    return !strncmp(point, path, n) && (path[n] == '/' || !path[n]) ? n : 0;
}

/* host = the mount's host directory + the part behind the mount point + a trailing slash if there was one. */
static int to_host(const char *inside, bool slash, char *host)
{
    const struct vigil_mount *best = NULL;
    size_t best_n = 0;

    for (uint32_t i = 0; i < config()->mount_count; i++) {
        size_t n = covers(config_string(mounts()[i].path), inside);
        if (n && n >= best_n) {
            best = &mounts()[i];
            best_n = n;
        }
    }
    if (!best)
        return -ENOENT;
    const char *dir = config_string(best->host), *rest = inside + best_n;
    size_t n = strlen(dir), rest_n;
    while (n && dir[n - 1] == '/')
        n--;
    while (*rest == '/')
        rest++;
    rest_n = strlen(rest);
    if (n + rest_n + 3 > PATH_LIMIT)
        return -ENAMETOOLONG;
    memcpy(host, dir, n);
    if (rest_n || !n)
        host[n++] = '/';
    memcpy(host + n, rest, rest_n);
    n += rest_n;
    if (slash && rest_n)
        host[n++] = '/';
    host[n] = 0;
    return 0;
}

static bool has_dot_dot(const char *s)
{
    for (; *s; s++)
        if (s[0] == '.' && s[1] == '.' && (s[2] == '/' || !s[2]))
            return true;
    return false;
}

/* With the host's whole file system as ours, ".." is left to the host, which knows about symbolic links. */
static bool host_is_root(void)
{
    return config()->mount_count == 1 && !strcmp(config_string(mounts()[0].host), "/");
}

long path_resolve(struct path *path, const char *base, const char *relative)
{
    size_t n = strlen(relative);

    path->inside = kmalloc(2 * PATH_LIMIT);
    if (!path->inside)
        return -ENOMEM;
    path->host = path->inside + PATH_LIMIT;
    path->inside[0] = '/';
    path->inside[1] = 0;
    int status = relative[0] == '/' ? 0 : append(path->inside, base);
    if (!status && host_is_root() && has_dot_dot(relative)) {
        size_t base_n = strlen(path->inside);
        if (base_n + n + 2 > PATH_LIMIT) {
            status = -ENAMETOOLONG;
        } else {
            memcpy(path->host, path->inside, base_n);
            path->host[base_n] = '/';
            memcpy(path->host + base_n + 1, relative, n + 1);
            status = append(path->inside, relative);
        }
    } else if (!status) {
        status = append(path->inside, relative);
        if (!status)
            status = to_host(path->inside, n && relative[n - 1] == '/', path->host);
    }
    if (status)
        path_put(path);
    return status;
}

long path_get(struct path *path, int dirfd, const void *user_path, bool empty_ok)
{
    char *relative = kmalloc(PATH_LIMIT);
    struct file *dir = NULL;

    path->inside = NULL;
    if (!relative)
        return -ENOMEM;
    long status = strncpy_from_user(relative, user_path, PATH_LIMIT);
    if (status == 0 && !empty_ok) {
        status = -ENOENT;
    } else if (status >= 0) {
        const char *base = cwd;
        status = 0;
        if (relative[0] != '/' && dirfd != AT_FDCWD) {
            dir = file_from_fd(dirfd);
            base = dir ? dir->path : NULL;
            if (!base)
                status = dir ? -ENOTDIR : -EBADF;
        }
        if (!status)
            status = path_resolve(path, base, relative);
    }
    file_put(dir);
    kfree(relative);
    return status;
}

void path_put(struct path *path)
{
    kfree(path->inside);
    path->inside = NULL;
}

/* "./a" and "a" are the same host file. */
static const char *plain(const char *host)
{
    while (host[0] == '.' && host[1] == '/')
        host += 2;
    return host;
}

static bool listed(const struct path *path)
{
    const uint32_t *entries = (const uint32_t *)((const char *)config() + config()->allowed.offset);
    const char *host = plain(path->host);

    for (uint32_t i = 0; i < config()->allowed.count; i++) {
        const char *entry = plain(config_string(entries[i]));
        size_t n = strlen(entry);
        if (!strcmp(entry, host) || (n && entry[n - 1] == '/' && !strncmp(entry, host, n)))
            return true;
    }
    return !strcmp(path->inside, config_string(config()->entrypoint));
}

int path_policy(const struct path *path)
{
    if (listed(path))
        return 0;
    if (!(config()->flags & VIGIL_FLAG_ALLOW_FILES)) {
        log_line(VIGIL_LOG_ERROR, "%s: not allowed by the manifest; add \"file:%s\" to sgx.allowed_files", path->inside,
                 plain(path->host));
        return -EACCES;
    }
    if (!(config()->flags & VIGIL_FLAG_QUIET_FILES))
        log_line(VIGIL_LOG_WARNING, "%s: used although it is not in sgx.allowed_files (sgx.file_check_policy)", path->inside);
    else if (!__atomic_exchange_n(&warned_about_files, 1, __ATOMIC_RELAXED))
        log_line(VIGIL_LOG_WARNING, "no manifest: every file of the host may be used, and nothing about them is checked");
    return 0;
}

void *path_bounce(const struct path *path)
{
    size_t n = strlen(path->host) + 1;
    void *untrusted = bounce_alloc(n);
    if (untrusted)
        untrusted_write(untrusted, path->host, n);
    return untrusted;
}
