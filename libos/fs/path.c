/* SPDX-License-Identifier: Apache-2.0
 *
 * From names to places. A name is made absolute and normalised lexically, inside; the mount with the longest prefix
 * says which host directory it lies in. So "a/.." is nothing even where a is a link of the host. */
#include "libos/fs/fs.h"

#define LINKS_MAX 8

struct mount { char *inside; size_t inside_length; char *host; size_t host_length; };
static struct mount *mounts;   /* written once at the start */
static uint32_t mount_count;

static lock_t cwd_lock;
static char cwd[PATH_SIZE] = "/";

/* ---- names ------------------------------------------------------------------------------------------------------- */
/* One component more; "..": one less, unless it is to be kept. A relative name may begin with "..". */
static bool append(char *out, size_t size, size_t *length, const char *part, size_t n, bool keep_parents)
{
    size_t at = *length;
    bool parent = n == 2 && part[0] == '.' && part[1] == '.' && !keep_parents;

    if (!n || (n == 1 && part[0] == '.'))
        return true;
    if (parent && at == 1 && out[0] == '/')
        return true;
    if (parent && at && !(at >= 2 && !memcmp(out + at - 2, "..", 2) && (at == 2 || out[at - 3] == '/'))) {
        while (at && out[at - 1] != '/')
            at--;
        if (at > 1)
            at--;
        *length = at;
        return true;
    }
    bool slash = at && out[at - 1] != '/';
    if (at + slash + n >= size)
        return false;
    if (slash)
        out[at++] = '/';
    memcpy(out + at, part, n);
    *length = at + n;
    return true;
}

static bool append_all(char *out, size_t size, size_t *length, const char *name, bool keep_parents)
{
    while (*name) {
        size_t n = 0;
        while (name[n] && name[n] != '/')
            n++;
        if (!append(out, size, length, name, n, keep_parents))
            return false;
        name += n + (name[n] == '/');
    }
    return true;
}

static bool build(char *out, size_t size, const char *base, const char *name, bool keep_parents)
{
    size_t length = 0;
    bool fits = true;

    if (name[0] == '/' || base[0] == '/')
        out[length++] = '/';
    if (name[0] != '/')
        fits = append_all(out, size, &length, base, keep_parents);
    fits = fits && append_all(out, size, &length, name, keep_parents);
    out[fits ? length : 0] = 0;
    return fits;
}

bool path_normalise(char *out, size_t size, const char *base, const char *name)
{
    return build(out, size, base, name, false);
}

bool path_tidy(char *out, size_t size, const char *base, const char *name)
{
    return build(out, size, base, name, true);
}

static bool has_parents(const char *name)
{
    for (; *name; name++)
        if (name[0] == '.' && name[1] == '.' && (name[2] == '/' || !name[2]))
            return true;
    return false;
}

/* Does the name say that it means a directory? */
static bool says_directory(const char *name)
{
    size_t n = strlen(name);

    while (n && name[n - 1] == '.' && n + 2 > strlen(name))
        n--;
    return n == 0 || name[n - 1] == '/';
}

/* ---- mounts ------------------------------------------------------------------------------------------------------ */
static char *keep(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = kmalloc(n);

    return copy ? memcpy(copy, text, n) : NULL;
}

static int add_mount(struct mount *m, const struct vigil_mount *from, char *scratch)
{
    const char *inside = config_string(from->path), *host = config_string(from->host);

    if (!inside || !host || !path_normalise(scratch, PATH_SIZE, "/", inside)) {
        log_line(VIGIL_LOG_ERROR, "fs.mounts: a mount's path or uri is missing or too long");
        return -EINVAL;
    }
    m->inside = keep(scratch);
    m->host = keep(host);
    if (!m->inside || !m->host)
        return -ENOMEM;
    m->inside_length = strlen(m->inside);
    m->host_length = strlen(m->host);
    while (m->host_length > 1 && m->host[m->host_length - 1] == '/')
        m->host[--m->host_length] = 0;
    return 0;
}

/* path == mount point or below it? The root's inside is "/". */
static bool covers(const struct mount *m, const char *path)
{
    if (m->inside_length == 1)
        return true;
    return !strncmp(path, m->inside, m->inside_length) &&
           (!path[m->inside_length] || path[m->inside_length] == '/');
}

static const struct mount *mount_of(const char *path)
{
    const struct mount *best = NULL;

    for (uint32_t i = 0; i < mount_count; i++)
        if (covers(&mounts[i], path) && (!best || mounts[i].inside_length >= best->inside_length))
            best = &mounts[i];
    return best;
}

/* The part of a mount point behind directory, or NULL if it does not lie below. */
static const char *behind(const struct mount *m, const char *directory)
{
    size_t n = strlen(directory);

    if (n == 1)
        return m->inside_length > 1 ? m->inside + 1 : NULL;
    return m->inside_length > n && !strncmp(m->inside, directory, n) && m->inside[n] == '/' ? m->inside + n + 1 : NULL;
}

/* Does an earlier mount give the same name? */
static bool seen_before(uint32_t i, const char *directory, const char *name, size_t n)
{
    for (uint32_t k = 0; k < i; k++) {
        const char *other = behind(&mounts[k], directory);
        if (other && !strncmp(other, name, n) && (!other[n] || other[n] == '/'))
            return true;
    }
    return false;
}

bool path_mount_below(const char *directory, uint32_t number, char name[256])
{
    for (uint32_t i = 0; i < mount_count; i++) {
        const char *rest = behind(&mounts[i], directory);
        size_t n = 0;
        while (rest && rest[n] && rest[n] != '/' && n < 255)
            n++;
        if (!rest || seen_before(i, directory, rest, n) || number--)
            continue;
        memcpy(name, rest, n);
        name[n] = 0;
        return true;
    }
    return false;
}

/* ---- path objects ------------------------------------------------------------------------------------------------ */
static long to_host(struct path *path)
{
    const struct mount *m = mount_of(path->inside);

    if (!m)
        return -ENOENT;
    const char *rest = path->inside + (m->inside_length == 1 ? 0 : m->inside_length);
    while (*rest == '/')
        rest++;
    size_t n = strlen(rest), at = m->host_length;
    bool slash = n && m->host[at - 1] != '/';
    bool end = path->directory && n;
    if (at + slash + n + end >= PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(path->host, m->host, at);
    if (slash)
        path->host[at++] = '/';
    memcpy(path->host + at, rest, n);
    at += n;
    if (end)
        path->host[at++] = '/';
    path->host[at] = 0;
    path->host_root = m->inside_length == 1;
    path->at_mount = !n;
    path->above_mount = false;
    for (uint32_t i = 0; i < mount_count && !path->above_mount; i++)
        path->above_mount = behind(&mounts[i], path->inside) != NULL;
    return 0;
}

long path_again(struct path *path, const char *inside)
{
    if (!path_normalise(path->inside, sizeof(path->inside), "/", inside))
        return -ENAMETOOLONG;
    path->special = SPECIAL_NONE;
    path->raw = false;
    return to_host(path);
}

/* May names keep their ".."? Only where the host's tree is ours, and no policy looks at names. */
bool path_whole_host(void)
{
    return mount_count == 1 && !strcmp(mounts[0].host, "/") && !policy_strict();
}

/* Makes name absolute. base may keep ".." of its own. scratch: PATH_SIZE bytes for the name that keeps them all. */
static long apply_base(struct path *path, const char *base, const char *name, char *scratch)
{
    path->raw = path_whole_host() && (has_parents(base) || has_parents(name));
    if (path->raw && !path_tidy(scratch, PATH_SIZE, base, name))
        return -ENAMETOOLONG;
    return path_normalise(path->inside, sizeof(path->inside), base, name) ? 0 : -ENAMETOOLONG;
}

/* Relative to the descriptor or the current directory. */
static long make_absolute(struct path *path, int dirfd, const char *name, char *scratch)
{
    struct file *directory;
    long status;

    if (name[0] == '/')
        return apply_base(path, "/", name, scratch);
    if (dirfd == AT_FDCWD) {
        lock(&cwd_lock);
        status = apply_base(path, cwd, name, scratch);
        unlock(&cwd_lock);
        return status;
    }
    directory = file_from_fd(dirfd);
    if (!directory)
        return -EBADF;
    if (!directory->path || file_type(directory) != S_IFDIR)
        status = -ENOTDIR;
    else
        status = apply_base(path, directory->path, name, scratch);
    file_put(directory);
    return status;
}

/* Room for one name that keeps its "..", and for where a link leads. */
struct scratch { char raw[PATH_SIZE], target[PATH_SIZE]; };

/* Follows the links that exist inside only. */
static long follow_specials(struct path *path, uint32_t flags, char target[PATH_SIZE])
{
    long status = to_host(path);

    for (int links = 0; !status && special_find(path, flags, target); links++) {
        status = links < LINKS_MAX ? path_again(path, target) : -ELOOP;
    }
    return status;
}

/* The host gets the name with its "..", and walks it as the links are. */
static long use_raw(struct path *path, const char *raw)
{
    size_t n = strlen(raw);
    bool slash = path->directory && raw[n - 1] != '/';

    if (n + slash >= PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(path->host, raw, n);
    if (slash)
        path->host[n++] = '/';
    path->host[n] = 0;
    return 0;
}

/* name may lie in path->host. */
static long resolve(struct path *path, int dirfd, const char *name, uint32_t flags)
{
    struct scratch *scratch;

    if (!name[0])
        return -ENOENT;
    scratch = kmalloc(sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    path->directory = says_directory(name);
    path->special = SPECIAL_NONE;
    path->number = -1;
    long status = make_absolute(path, dirfd, name, scratch->raw);
    if (!status)
        status = follow_specials(path, path->directory ? flags & ~PATH_NOFOLLOW : flags, scratch->target);
    if (path->special)
        path->raw = false;
    if (!status && path->raw)
        status = use_raw(path, scratch->raw);
    kfree(scratch);
    return status;
}

long path_from_string(struct path **out, int dirfd, const char *string, uint32_t flags)
{
    struct path *path = kmalloc(sizeof(*path));

    *out = NULL;
    if (!path)
        return -ENOMEM;
    long status = resolve(path, dirfd, string, flags);
    if (status)
        kfree(path);
    else
        *out = path;
    return status;
}

long path_from_user(struct path **out, int dirfd, long user_path, uint32_t flags)
{
    struct path *path = kmalloc(sizeof(*path));

    *out = NULL;
    if (!path)
        return -ENOMEM;
    long status = strncpy_from_user(path->host, (void *)user_path, PATH_SIZE);
    if (flags & PATH_EMPTY_OK && (!status || !user_path)) {
        kfree(path);
        return 0;
    }
    if (status >= 0)
        status = resolve(path, dirfd, path->host, flags);
    if (status)
        kfree(path);
    else
        *out = path;
    return status;
}

void path_free(struct path *path)
{
    kfree(path);
}

const char *path_name(const struct path *path)
{
    return path->raw ? path->host : path->inside;
}

const void *path_to_host(const struct path *path)
{
    return host_put(path->host, strlen(path->host) + 1);
}

/* ---- current directory ------------------------------------------------------------------------------------------- */
const char *fs_cwd(void)
{
    return cwd;
}

long path_set_cwd(const char *inside)
{
    size_t n = strlen(inside) + 1;

    if (n > sizeof(cwd))
        return -ENAMETOOLONG;
    lock(&cwd_lock);
    memcpy(cwd, inside, n);
    unlock(&cwd_lock);
    return 0;
}

void path_get_cwd(char out[PATH_SIZE])
{
    lock(&cwd_lock);
    memcpy(out, cwd, strlen(cwd) + 1);
    unlock(&cwd_lock);
}

long sys_getcwd(SYSCALL_ARGS)
{
    uint64_t size = (uint64_t)a1;

    lock(&cwd_lock);
    size_t n = strlen(cwd) + 1;
    long result = n <= size ? (long)n : -ERANGE;
    if (result > 0 && copy_to_user((void *)a0, cwd, n))
        result = -EFAULT;
    unlock(&cwd_lock);
    return result;
}

int paths_init(void)
{
    const struct vigil_config *c = config();
    const struct vigil_mount *from = (const struct vigil_mount *)((const char *)c + c->mounts);
    const char *start = c->flags & VIGIL_FLAG_NO_MANIFEST ? start_info()->cwd : config_string(c->start_dir);
    char *scratch = kmalloc(PATH_SIZE);
    int error = 0;

    mount_count = 0;
    mounts = kzalloc((c->mount_count + 1) * sizeof(*mounts));
    if (!scratch || !mounts)
        error = -ENOMEM;
    for (uint32_t i = 0; i < c->mount_count && !error; i++) {
        error = add_mount(&mounts[i], &from[i], scratch);
        mount_count += !error;
    }
    if (!error && !path_normalise(scratch, PATH_SIZE, "/", start ? start : "/"))
        error = -ENAMETOOLONG;
    if (!error)
        error = (int)path_set_cwd(scratch);
    kfree(scratch);
    return error;
}
