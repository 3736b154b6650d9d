/* SPDX-License-Identifier: Apache-2.0
 *
 * What is mounted where: the manifest's directories of the host, and what is inside: /proc, /sys, /dev, /dev/shm and
 * the manifest's tmpfs. A mount of the manifest's hides those of ours below it, except for the devices of
 * dev_essential(). */
#include "libos/fs/inside.h"

#define IMPLICIT_MAX 16
#define FIRST_DEVICE 0x80 /* device numbers of tmpfs mounts */

static struct mount *mounts;   /* written once at the start */
static uint32_t mount_count;

static char *keep(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = kmalloc(n);

    return copy ? memcpy(copy, text, n) : NULL;
}

static int add(const char *inside, const char *host, const struct inside_fs *fs, const void *data, bool implicit)
{
    struct mount *m = &mounts[mount_count];

    *m = (struct mount){
        .inside = keep(inside), .host = keep(host), .fs = fs, .data = (void *)data, .implicit = implicit};
    if (!m->inside || !m->host)
        return -ENOMEM;
    m->inside_length = strlen(m->inside);
    m->host_length = strlen(m->host);
    while (m->host_length > 1 && m->host[m->host_length - 1] == '/')
        m->host[--m->host_length] = 0;
    mount_count++;
    return 0;
}

static int add_tmpfs(const char *inside, bool implicit)
{
    void *mount = tmpfs_new(FIRST_DEVICE + mount_count);

    return mount ? add(inside, "", &tmpfs, mount, implicit) : -ENOMEM;
}

/* A mount of the manifest's. No host directory: tmpfs. */
static int add_configured(const struct vigil_mount *from, char *scratch)
{
    const char *inside = config_string(from->path), *host = config_string(from->host);

    if (!inside || !path_normalise(scratch, PATH_SIZE, "/", inside)) {
        log_line(VIGIL_LOG_ERROR, "fs.mounts: a mount's path is missing or too long");
        return -EINVAL;
    }
    return host ? add(scratch, host, NULL, NULL, false) : add_tmpfs(scratch, false);
}

/* path == mount point or below it? The root's inside is "/". */
static bool covers(const struct mount *m, const char *path)
{
    if (m->inside_length == 1)
        return true;
    return !strncmp(path, m->inside, m->inside_length) &&
           (!path[m->inside_length] || path[m->inside_length] == '/');
}

const struct mount *mount_of(const char *path)
{
    const struct mount *best = NULL;

    for (uint32_t i = 0; i < mount_count; i++)
        if (covers(&mounts[i], path) && (!best || mounts[i].inside_length >= best->inside_length))
            best = &mounts[i];
    return best;
}

const struct mount *mount_number(uint32_t i)
{
    return i < mount_count ? &mounts[i] : NULL;
}

const char *mount_rest(const struct mount *m, const char *inside)
{
    const char *rest = inside + (m->inside_length == 1 ? 0 : m->inside_length);

    while (*rest == '/')
        rest++;
    return rest;
}

/* The mount that the host's name lies in, the innermost one. */
static const struct mount *mount_of_host(const char *host)
{
    const struct mount *best = NULL;

    for (uint32_t i = 0; i < mount_count; i++) {
        const struct mount *m = &mounts[i];
        size_t n = m->host_length;
        if (m->fs || strncmp(host, m->host, n) || (n > 1 && host[n] && host[n] != '/'))
            continue;
        if (!best || n > best->host_length)
            best = m;
    }
    return best;
}

bool path_from_host(const char *host, char *inside, size_t size)
{
    const struct mount *m = mount_of_host(host);
    const char *rest = m ? host + m->host_length : "";

    while (*rest == '/')
        rest++;
    return m && path_normalise(inside, size, m->inside, *rest ? rest : ".");
}

/* The part of a mount point behind directory, or NULL if it does not lie below. */
static const char *behind(const struct mount *m, const char *directory)
{
    size_t n = strlen(directory);

    if (n == 1)
        return m->inside_length > 1 ? m->inside + 1 : NULL;
    return m->inside_length > n && !strncmp(m->inside, directory, n) && m->inside[n] == '/' ? m->inside + n + 1 : NULL;
}

bool mount_lies_below(const char *directory)
{
    for (uint32_t i = 0; i < mount_count; i++)
        if (behind(&mounts[i], directory))
            return true;
    return false;
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

/* May names keep their ".."? Only where the host's tree is ours, and no policy looks at names. */
bool path_whole_host(void)
{
    for (uint32_t i = 1; i < mount_count; i++)
        if (!mounts[i].fs)
            return false;
    return mount_count && !mounts[0].fs && !strcmp(mounts[0].host, "/") && !policy_strict();
}

/* Has the manifest put something there? The root mount does not count. */
static bool taken(const char *inside, uint32_t configured)
{
    for (uint32_t i = 1; i < configured; i++)
        if (covers(&mounts[i], inside))
            return true;
    return false;
}

static int add_implicit(void)
{
    static const struct { const char *inside; const struct inside_fs *fs; const void *data; } all[] = {
        {"/proc", &proc_fs, &proc_root},
        {"/sys", &sys_fs, &sys_root},
        {"/dev", &dev_fs, &dev_root},
    };
    uint32_t configured = mount_count;
    int error = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && !error; i++)
        if (!taken(all[i].inside, configured))
            error = add(all[i].inside, "", all[i].fs, all[i].data, true);
    if (!error && !mounts[0].fs && !strcmp(mounts[0].host, "/") && !taken("/etc/mtab", configured)) {
        error = add("/etc/mtab", "", &proc_fs, &mtab_link, true);
        mounts[mount_count - 1].hidden = true;
    }
    if (!error && !taken("/dev/shm", configured))
        error = add_tmpfs("/dev/shm", true);
    const char *path;
    const struct pseudo_entry *entry;
    for (uint32_t i = 0; !error && taken("/dev", configured) && (entry = dev_essential(i, &path)); i++)
        error = add(path, "", &dev_fs, entry, true);
    return error;
}

/* Mount points inside a tmpfs are directories of it. */
static int make_mount_points(void)
{
    char *parent = kmalloc(PATH_SIZE);
    int error = parent ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < mount_count && !error; i++) {
        size_t n = mounts[i].inside_length;
        memcpy(parent, mounts[i].inside, n + 1);
        while (n > 1 && parent[n - 1] != '/')
            n--;
        parent[n > 1 ? n - 1 : n] = 0;
        const struct mount *m = mount_of(parent);
        if (mounts[i].inside_length > 1 && m && m->fs == &tmpfs)
            error = tmpfs_make_directories(m->data, mount_rest(m, mounts[i].inside));
    }
    kfree(parent);
    return error;
}

int mounts_init(void)
{
    const struct vigil_config *c = config();
    const struct vigil_mount *from = (const struct vigil_mount *)((const char *)c + c->mounts);
    char *scratch = kmalloc(PATH_SIZE);
    int error = 0;

    mount_count = 0;
    mounts = kzalloc((c->mount_count + IMPLICIT_MAX) * sizeof(*mounts));
    if (!scratch || !mounts)
        error = -ENOMEM;
    for (uint32_t i = 0; i < c->mount_count && !error; i++)
        error = add_configured(&from[i], scratch);
    if (!error)
        error = add_implicit();
    if (!error)
        error = make_mount_points();
    kfree(scratch);
    return error;
}
