/* SPDX-License-Identifier: Apache-2.0
 *
 * From names to places. A name is made absolute and walked, inside; the mount with the longest prefix says in which
 * file system a place lies. Those that are inside say what is there at each step, so that their links are followed; of
 * the host nothing is asked: there "a/.." is nothing even where a is a link. */
#include "libos/fs/inside.h"

#define LINKS_MAX 40 /* as Linux */

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

/* ---- path objects ------------------------------------------------------------------------------------------------ */
static long to_host(struct path *path)
{
    const struct mount *m = mount_of(path->inside);
    const char *rest = mount_rest(m, path->inside);
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
    return 0;
}

/* Makes name absolute, with its "..". */
static long apply_base(struct path *path, const char *base, const char *name, char *raw)
{
    path->raw = path_whole_host() && (has_parents(base) || has_parents(name));
    return path_tidy(raw, PATH_SIZE, base, name) ? 0 : -ENAMETOOLONG;
}

/* Relative to the descriptor or the current directory. */
static long make_absolute(struct path *path, int dirfd, const char *name, char *raw)
{
    struct file *directory;
    long status;

    if (name[0] == '/')
        return apply_base(path, "/", name, raw);
    if (dirfd == AT_FDCWD) {
        lock(&cwd_lock);
        status = apply_base(path, cwd, name, raw);
        unlock(&cwd_lock);
        return status;
    }
    directory = file_from_fd(dirfd);
    if (!directory)
        return -EBADF;
    if (!directory->path || file_type(directory) != S_IFDIR)
        status = -ENOTDIR;
    else
        status = apply_base(path, directory->path, name, raw);
    file_put(directory);
    return status;
}

/* Room for the name that keeps its "..", for what is left of it to walk, and for where a link leads. */
struct scratch { char raw[PATH_SIZE], left[PATH_SIZE], target[PATH_SIZE]; };

static void drop(struct path *path)
{
    if (path->fs && path->fs->drop)
        path->fs->drop(path);
    path->fs = NULL;
    path->mode = 0;
}

/* What is at path->inside, as far as it is not the host's to say. */
static long find_here(struct path *path)
{
    const struct mount *m = mount_of(path->inside);

    drop(path);
    if (!m)
        return -ENOENT;
    if (!m->fs)
        return 0;
    path->fs = m->fs;
    long status = m->fs->find(path, m->data, mount_rest(m, path->inside));
    if (status)
        path->fs = NULL;
    else if (!path->mode && mount_lies_below(path->inside))
        path_become_above(path);
    return status;
}

/* path->inside is a link: what is left to walk is now where it leads, and then what was left. */
static long follow(struct path *path, struct scratch *s, const char **left)
{
    long n = path->fs->follow ? path->fs->follow(path, s->target) : path->fs->readlink(path, s->target);

    if (n <= 0)
        return n < 0 ? n : **left ? -ENOTDIR : 0;
    size_t rest = strlen(*left);
    if ((size_t)n + 1 + rest >= PATH_SIZE)
        return -ENAMETOOLONG;
    memmove(s->left + n + 1, *left, rest + 1);
    memcpy(s->left, s->target, (size_t)n);
    s->left[n] = '/';
    *left = s->left;
    size_t parent = strlen(path->inside);
    while (parent && path->inside[parent - 1] != '/')
        parent--;
    if (s->target[0] == '/')
        parent = 1;
    else if (parent > 1)
        parent--;
    path->inside[parent] = 0;
    path->raw = false;
    return find_here(path);
}

/* One component: path->inside becomes what is there. */
static long step(struct path *path, struct scratch *s, const char **left, bool follow_last, int *links)
{
    size_t n = 0, length = strlen(path->inside);

    while ((*left)[n] && (*left)[n] != '/')
        n++;
    if (!append(path->inside, PATH_SIZE, &length, *left, n, false))
        return -ENAMETOOLONG;
    path->inside[length] = 0;
    *left += n;
    while (**left == '/')
        ++*left;
    long status = find_here(path);
    if (status || !path->fs)
        return status;
    path->raw = false;
    if ((path->mode & S_IFMT) == S_IFLNK && (**left || follow_last))
        return ++*links > LINKS_MAX ? -ELOOP : follow(path, s, left);
    if (**left && (path->mode & S_IFMT) != S_IFDIR)
        return path->mode ? -ENOTDIR : -ENOENT;
    return 0;
}

static long walk(struct path *path, struct scratch *s, uint32_t flags)
{
    const char *left = s->left;
    int links = 0;

    memcpy(s->left, s->raw + 1, strlen(s->raw));
    memcpy(path->inside, "/", 2);
    long status = find_here(path);
    while (!status && *left)
        status = step(path, s, &left, !(flags & PATH_NOFOLLOW), &links);
    if (!status && path->fs && path->directory && path->mode && (path->mode & S_IFMT) != S_IFDIR)
        status = -ENOTDIR;
    return status;
}

static void describe_place(struct path *path)
{
    const struct mount *m = mount_of(path->inside);

    path->host_root = m->inside_length == 1;
    path->at_mount = strlen(path->inside) == m->inside_length;
    path->above_mount = mount_lies_below(path->inside);
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

/* name may be what path->host has at first. */
static long resolve(struct path *path, int dirfd, const char *name, uint32_t flags)
{
    struct scratch *scratch;

    if (!name[0])
        return -ENOENT;
    scratch = kmalloc(sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    path->directory = says_directory(name);
    path->fs = NULL;
    path->mode = 0;
    long status = make_absolute(path, dirfd, name, scratch->raw);
    path->host[0] = 0;
    if (!status)
        status = walk(path, scratch, path->directory ? flags & ~PATH_NOFOLLOW : flags);
    if (!status)
        describe_place(path);
    if (!status && !path->fs)
        status = path->raw ? use_raw(path, scratch->raw) : to_host(path);
    if (status)
        drop(path);
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
    if (path)
        drop(path);
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
    const char *start = c->flags & VIGIL_FLAG_NO_MANIFEST ? start_info()->cwd : config_string(c->start_dir);
    char *scratch = kmalloc(PATH_SIZE);
    int error = mounts_init();

    if (!error && !scratch)
        error = -ENOMEM;
    if (!error && !path_normalise(scratch, PATH_SIZE, "/", start ? start : "/"))
        error = -ENAMETOOLONG;
    if (!error)
        error = (int)path_set_cwd(scratch);
    kfree(scratch);
    return error;
}
