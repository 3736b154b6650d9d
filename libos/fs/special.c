/* SPDX-License-Identifier: Apache-2.0
 *
 * Names that mean something inside, whatever the host has there: devices without a host (its random numbers would be
 * its choice), and the links by which a process finds itself. A mount over /dev or /proc hides the links, not the
 * devices. */
#include "libos/fs/fs.h"
#include "libos/process/process.h"

#include <linux/poll.h>

#define RANDOM_CHUNK 256
#define SYNTHETIC_DEV 0x76 /* the device number of what exists inside only */

struct device { const char *path; uint32_t minor; }; /* all have major 1 */
enum { DEVICE_NULL, DEVICE_ZERO, DEVICE_FULL, DEVICE_RANDOM, DEVICE_URANDOM, DEVICES };
static const struct device devices[DEVICES] = {
    [DEVICE_NULL] = {"/dev/null", 3}, [DEVICE_ZERO] = {"/dev/zero", 5}, [DEVICE_FULL] = {"/dev/full", 7},
    [DEVICE_RANDOM] = {"/dev/random", 8}, [DEVICE_URANDOM] = {"/dev/urandom", 9},
};

/* ---- devices ----------------------------------------------------------------------------------------------------- */
static uint64_t device_of(const struct file *file)
{
    return (uint64_t)file->object;
}

static long read_random(struct io *io)
{
    unsigned char chunk[RANDOM_CHUNK];
    long done = 0, result = 0;

    while (io->left) {
        size_t n = io->left < sizeof(chunk) ? io->left : sizeof(chunk);
        result = random_bytes(chunk, n);
        if (!result)
            result = io_put(io, chunk, n, IO_RUNTIME);
        if (result <= 0)
            break;
        done += result;
        if (done % (1 << 20) == 0 && signals_pending())
            break;
    }
    memset(chunk, 0, sizeof(chunk));
    __asm__ volatile("" ::"r"(chunk) : "memory"); /* the program's secret: really clear it */
    return done ? done : result;
}

static long device_read(struct file *file, struct io *io, int64_t offset)
{
    (void)offset;
    switch (device_of(file)) {
    case DEVICE_NULL:
        return 0;
    case DEVICE_ZERO:
    case DEVICE_FULL:
        return io_clear(io, io->left);
    default:
        return read_random(io);
    }
}

static long device_write(struct file *file, struct io *io, int64_t offset)
{
    (void)offset;
    return device_of(file) == DEVICE_FULL ? -ENOSPC : (long)io->left;
}

static long device_seek(struct file *file, int64_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0;
}

void synthetic_stat(struct stat *stat, uint32_t mode, uint64_t ino)
{
    memset(stat, 0, sizeof(*stat));
    stat->st_dev = SYNTHETIC_DEV;
    stat->st_ino = ino;
    stat->st_nlink = 1;
    stat->st_mode = mode;
    stat->st_uid = process_uid();
    stat->st_gid = process_gid();
    stat->st_blksize = VIGIL_PAGE;
}

static void device_attributes(uint64_t device, struct stat *stat)
{
    synthetic_stat(stat, S_IFCHR | 0666, device + 2);
    stat->st_rdev = 1u << 8 | devices[device].minor;
    stat->st_uid = stat->st_gid = 0;
}

static long device_stat(struct file *file, struct stat *stat)
{
    device_attributes(device_of(file), stat);
    return 0;
}

static uint32_t device_ready(struct file *file)
{
    (void)file;
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

static const struct file_ops device_ops = {
    .read = device_read,
    .write = device_write,
    .seek = device_seek,
    .stat = device_stat,
    .ready = device_ready,
};

static struct file *device_open(const struct path *path, int flags, int *error)
{
    if (flags & O_DIRECTORY || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        *error = flags & O_DIRECTORY ? -ENOTDIR : -EEXIST;
        return NULL;
    }
    struct file *file = file_new(&device_ops, (uint32_t)flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_PATH),
                                 path->inside);
    *error = file ? 0 : -ENOMEM;
    if (file) {
        file->type = S_IFCHR;
        file->object = (void *)(uint64_t)path->number;
    }
    return file;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */
/* What lies behind prefix ("" or "/..."), or NULL. */
static const char *below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);
    return !strncmp(path, prefix, n) && (!path[n] || path[n] == '/') ? path + n : NULL;
}

/* The process's own directory in /proc, by any of its names. */
static const char *below_self(const char *path)
{
    char own[32];
    const char *rest = below(path, "/proc/self");

    if (!rest)
        rest = below(path, "/proc/thread-self");
    if (!rest) {
        format(own, sizeof(own), "/proc/%u", process_pid());
        rest = below(path, own);
    }
    return rest;
}

static int parse_fd(const char *text, const char **end)
{
    int fd = 0;

    if (*text < '0' || *text > '9')
        return -1;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (fd > 0x7ffffff)
            return -1;
        fd = fd * 10 + (*text - '0');
    }
    *end = text;
    return *text && *text != '/' ? -1 : fd;
}

static bool join(char target[PATH_SIZE], const char *first, const char *rest)
{
    size_t n = strlen(first), m = strlen(rest);

    if (n + m >= PATH_SIZE)
        return false;
    memmove(target, first, n);
    memcpy(target + n, rest, m + 1);
    return true;
}

/* A link: to follow, or the thing itself. */
static bool link_found(struct path *path, uint32_t flags, const char *to, const char *rest, char target[PATH_SIZE])
{
    if (!*rest && flags & PATH_NOFOLLOW) {
        path->special = SPECIAL_LINK;
        return false;
    }
    return join(target, to, rest);
}

static bool find_fd(struct path *path, uint32_t flags, const char *name, char target[PATH_SIZE])
{
    const char *rest = NULL;
    int fd = parse_fd(name, &rest);
    struct file *file = file_from_fd(fd);
    bool follow = false;

    path->number = fd;
    path->special = SPECIAL_FD;
    if (!file)
        return false;
    if (!*rest && flags & PATH_NOFOLLOW) {
        path->special = SPECIAL_LINK;
    } else if (file->path && file->host_fd >= 0) {
        path->special = SPECIAL_NONE;
        follow = join(target, file->path, rest);
    }
    file_put(file);
    return follow;
}

static bool find_in_self(struct path *path, uint32_t flags, const char *rest, char target[PATH_SIZE])
{
    const char *tail;

    if ((tail = below(rest, "/exe")))
        return link_found(path, flags, process_exe(), tail, target);
    if ((tail = below(rest, "/cwd"))) {
        path_get_cwd(target);
        return link_found(path, flags, target, tail, target);
    }
    if ((tail = below(rest, "/root")))
        return link_found(path, flags, "/", tail, target);
    if ((tail = below(rest, "/fd"))) {
        if (*tail)
            return find_fd(path, flags, tail + 1, target);
        path->special = SPECIAL_FD_DIRECTORY;
    }
    if (!*rest && flags & PATH_NOFOLLOW && below(path->inside, "/proc/self"))
        path->special = SPECIAL_LINK;
    return false;
}

/* Which descriptor a name of a standard file means, or -1. */
static int standard_number(const char *name)
{
    static const char *const standard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};

    for (int i = 0; i < 3; i++)
        if (!strcmp(name, standard[i]))
            return i;
    return -1;
}

bool special_find(struct path *path, uint32_t flags, char target[PATH_SIZE])
{
    const char *rest;
    char standard[16];
    int number;

    if (strncmp(path->inside, "/dev/", 5) && strncmp(path->inside, "/proc/", 6))
        return false;
    for (int i = 0; i < DEVICES; i++) {
        if (!strcmp(path->inside, devices[i].path)) {
            path->special = SPECIAL_DEVICE;
            path->number = i;
            return false;
        }
    }
    if (!path->host_root)
        return false;
    if (!strcmp(path->inside, "/dev/tty"))
        path->special = SPECIAL_TTY;
    number = standard_number(path->inside);
    if (number >= 0) {
        format(standard, sizeof(standard), "/proc/self/fd/%d", number);
        return link_found(path, flags, standard, "", target);
    }
    if ((rest = below(path->inside, "/dev/fd")))
        return link_found(path, flags, "/proc/self/fd", rest, target);
    if ((rest = below_self(path->inside)))
        return find_in_self(path, flags, rest, target);
    return false;
}

/* ---- opening and asking ------------------------------------------------------------------------------------------ */
/* Opens anew what a descriptor without a name refers to. Inside objects are shared. */
static struct file *fd_open(int fd, int flags, int *error)
{
    struct file *file = file_from_fd(fd), *again = file;
    char name[32];

    *error = file ? 0 : -ENOENT;
    if (!file || file->host_fd < 0)
        return file;
    size_t mark = bounce_mark(), n = (size_t)format(name, sizeof(name), "/proc/self/fd/%d", file->host_fd) + 1;
    const void *untrusted_name = host_put(name, n);
    long host_fd = untrusted_name ? host_call_blocking(__NR_openat, 0x7fffffff, AT_FDCWD, (long)untrusted_name,
                                                       (flags & ~(O_CREAT | O_EXCL)) | O_CLOEXEC, 0, 0) : -ENOMEM;
    bounce_release(mark);
    /* What cannot be opened by this name (a socket, another user's terminal) is shared. */
    if (host_fd == -ENXIO || host_fd == -EACCES || host_fd == -ENOENT)
        return file;
    if (host_fd >= 0)
        again = host_file_new((int)host_fd, (uint32_t)flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC),
                              file->path);
    else
        again = NULL;
    if (!again)
        *error = host_fd < 0 ? (int)host_fd : -ENOMEM;
    file_put(file);
    return again;
}

static struct file *tty_open(int flags, int *error)
{
    static const char name[] = "/dev/tty";
    size_t mark = bounce_mark();
    const void *untrusted_name = host_put(name, sizeof(name));
    long fd = untrusted_name ? host_call_blocking(__NR_openat, 0x7fffffff, AT_FDCWD, (long)untrusted_name,
                                                  flags | O_CLOEXEC, 0, 0) : -ENOMEM;

    bounce_release(mark);
    *error = fd < 0 ? (int)fd : 0;
    struct file *file = fd < 0 ? NULL : host_file_new((int)fd, (uint32_t)flags & (O_ACCMODE | O_NONBLOCK), name);
    if (fd >= 0 && !file)
        *error = -ENOMEM;
    return file;
}

struct file *special_open(const struct path *path, int flags, int *error)
{
    struct file *file;

    switch (path->special) {
    case SPECIAL_DEVICE:
        return device_open(path, flags, error);
    case SPECIAL_FD:
        return fd_open(path->number, flags, error);
    case SPECIAL_TTY:
        return tty_open(flags, error);
    case SPECIAL_FD_DIRECTORY:
        file = synthetic_directory(path, flags);
        *error = file ? 0 : -ENOMEM;
        return file;
    default:
        *error = -ELOOP; /* a link that must not be followed */
        return NULL;
    }
}

long special_stat(const struct path *path, struct stat *stat)
{
    struct file *file;
    long status;

    switch (path->special) {
    case SPECIAL_DEVICE:
        device_attributes((uint64_t)path->number, stat);
        return 0;
    case SPECIAL_TTY:
        synthetic_stat(stat, S_IFCHR | 0666, 2 + DEVICES);
        stat->st_rdev = 5u << 8;
        return 0;
    case SPECIAL_FD:
        file = file_from_fd(path->number);
        if (!file)
            return -ENOENT;
        status = file_stat(file, stat);
        file_put(file);
        return status;
    case SPECIAL_FD_DIRECTORY:
        synthetic_directory_stat(stat);
        stat->st_mode = S_IFDIR | 0500;
        return 0;
    default:
        synthetic_stat(stat, S_IFLNK | 0777, 1);
        return 0;
    }
}

long host_fd_name(int host_fd, char target[PATH_SIZE])
{
    char name[32];
    size_t mark = bounce_mark(), n = (size_t)format(name, sizeof(name), "/proc/self/fd/%d", host_fd) + 1;
    const void *untrusted_name = host_put(name, n);
    void *untrusted_target = bounce_alloc(PATH_SIZE);
    long result = -ENOMEM;

    if (untrusted_name && untrusted_target)
        result = host_call(__NR_readlinkat, PATH_SIZE - 1, AT_FDCWD, (long)untrusted_name, (long)untrusted_target,
                           PATH_SIZE - 1, 0);
    if (result >= 0) {
        untrusted_read(target, untrusted_target, (size_t)result);
        target[result] = 0;
        if (strlen(target) != (size_t)result)
            result = -EIO;
    }
    bounce_release(mark);
    return result;
}

static long fd_readlink(int fd, char target[PATH_SIZE])
{
    struct file *file = file_from_fd(fd);
    long n;

    if (!file)
        return -ENOENT;
    if (file->path && !(file->host_fd >= 0 && path_whole_host()))
        n = join(target, file->path, "") ? (long)strlen(file->path) : -ENAMETOOLONG;
    else if (file->host_fd >= 0)
        n = host_fd_name(file->host_fd, target);
    else
        n = format(target, PATH_SIZE, file_type(file) == S_IFIFO ? "pipe:[%lu]" : "anon_inode:[%lu]",
                   (unsigned long)(uint64_t)file->object >> 4 & 0xffffff);
    file_put(file);
    return n;
}

long special_readlink(const struct path *path, char target[PATH_SIZE])
{
    const char *rest = below_self(path->inside), *to = NULL;

    if (path->special == SPECIAL_FD)
        return -ENOENT; /* no such descriptor, or it would be a link */
    if (path->special != SPECIAL_LINK)
        return -EINVAL;
    if (!rest && !strcmp(path->inside, "/dev/fd"))
        return format(target, PATH_SIZE, "/proc/self/fd");
    if (!rest)
        return format(target, PATH_SIZE, "/proc/self/fd/%d", standard_number(path->inside));
    if (!*rest)
        return format(target, PATH_SIZE, "%u", process_pid());
    if (!strncmp(rest, "/fd/", 4))
        return fd_readlink(path->number, target);
    if (!strcmp(rest, "/cwd")) {
        path_get_cwd(target);
        return (long)strlen(target);
    }
    to = !strcmp(rest, "/exe") ? process_exe() : "/";
    return join(target, to, "") ? (long)strlen(to) : -ENAMETOOLONG;
}
