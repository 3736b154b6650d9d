/* SPDX-License-Identifier: Apache-2.0
 *
 * /dev: the devices that need no host (its random numbers would be its choice), the standard files, and the terminal.
 */
#include "libos/fs/pseudo/pseudo.h"

#include <linux/poll.h>

#define RANDOM_CHUNK 256
enum { DEVICE_NULL = 0x103, DEVICE_ZERO = 0x105, DEVICE_FULL = 0x107, DEVICE_RANDOM = 0x108, DEVICE_URANDOM = 0x109,
       DEVICE_TTY = 0x500, DEVICE_PTMX = 0x502 }; /* major << 8 | minor, as Linux has them */

static uint32_t device_of(const struct file *file)
{
    return ((const struct pseudo_at *)file->object)->entry->device;
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

static long device_stat(struct file *file, struct stat *stat)
{
    struct path *path;
    long status = path_from_string(&path, AT_FDCWD, file->path, PATH_NOFOLLOW);

    if (status)
        return status;
    status = stat_path(path, stat, false);
    path_free(path);
    return status;
}

static uint32_t device_ready(struct file *file)
{
    (void)file;
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}

static void device_release(struct file *file)
{
    kfree(file->object);
}

static const struct file_ops device_ops = {
    .read = device_read,
    .write = device_write,
    .seek = device_seek,
    .stat = device_stat,
    .ready = device_ready,
    .release = device_release,
};

static struct file *device_open(const struct path *path, int flags, int *error)
{
    struct pseudo_at *at = kmalloc(sizeof(*at));
    struct file *file =
        at ? file_new(&device_ops, (uint32_t)flags & (O_ACCMODE | O_NONBLOCK | O_APPEND), path->inside) : NULL;

    *error = file ? 0 : -ENOMEM;
    if (!file) {
        kfree(at);
        return NULL;
    }
    *at = pseudo_of(path);
    file->type = S_IFCHR;
    file->object = at;
    return file;
}

/* The host's controlling terminal. */
static struct file *tty_open(const struct path *path, int flags, int *error)
{
    static const char name[] = "/dev/tty";
    size_t mark = bounce_mark();
    const void *untrusted_name = host_put(name, sizeof(name));
    long fd = untrusted_name ? host_call_blocking(__NR_openat, 0x7fffffff, AT_FDCWD, (long)untrusted_name,
                                                  flags | O_CLOEXEC, 0, 0) : -ENOMEM;

    (void)path;
    bounce_release(mark);
    *error = fd < 0 ? (int)fd : 0;
    struct file *file = fd < 0 ? NULL : host_file_new((int)fd, (uint32_t)flags & (O_ACCMODE | O_NONBLOCK), name);
    if (fd >= 0 && !file)
        *error = -ENOMEM;
    return file;
}

/* No new terminals: their other ends would be names of the host's. */
static struct file *ptmx_open(const struct path *path, int flags, int *error)
{
    (void)path, (void)flags;
    log_line(VIGIL_LOG_DEBUG, "/dev/ptmx: an enclave has no pseudo-terminals of its own: ENOSPC");
    *error = -ENOSPC;
    return NULL;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */
#define LINK_TO(function, to) \
    static long function(const struct pseudo_at *at, char target[PATH_SIZE]) \
    { \
        (void)at; \
        return format(target, PATH_SIZE, "%s", to); \
    }
LINK_TO(link_fd, "/proc/self/fd")
LINK_TO(link_stdin, "/proc/self/fd/0")
LINK_TO(link_stdout, "/proc/self/fd/1")
LINK_TO(link_stderr, "/proc/self/fd/2")

/* ---- /dev/pts: only the terminals that the program was started with, under the names that the host has for them -- */
static bool find_terminal(struct pseudo_at *at, const char *name)
{
    char *target = kmalloc(PATH_SIZE), wanted[32];
    uint32_t number;
    bool found = false;

    if (target && pseudo_number(name, &number)) {
        format(wanted, sizeof(wanted), "/dev/pts/%u", number);
        for (int fd = 0; fd < 3 && !found; fd++) {
            struct file *file = file_from_fd(fd);
            found = file && file->host_fd >= 0 && file_type(file) == S_IFCHR &&
                    host_fd_name(file->host_fd, target) > 0 && !strcmp(target, wanted);
            at->number = fd;
            if (file)
                file_put(file);
        }
    }
    kfree(target);
    return found;
}

static bool no_terminal(const struct pseudo_at *at, int64_t *position, char name[32])
{
    (void)at, (void)position, (void)name;
    return false;
}

static void become_terminal(struct path *path)
{
    path_become_fd(path, path->at.pseudo.number);
}

static const struct pseudo_entry terminal = {.mode = S_IFCHR | 0620, .become = become_terminal};
static const struct pseudo_each each_terminal = {&terminal, find_terminal, no_terminal};

#define DEVICE(name_, mode_, device_, open_)                                                                           \
    {                                                                                                                  \
        .name = name_, .mode = S_IFCHR | (mode_), .device = device_, .open = open_                                     \
    }
static const struct pseudo_entry devices[] = {
    DEVICE("null", 0666, DEVICE_NULL, device_open),
    DEVICE("zero", 0666, DEVICE_ZERO, device_open),
    DEVICE("full", 0666, DEVICE_FULL, device_open),
    DEVICE("random", 0666, DEVICE_RANDOM, device_open),
    DEVICE("urandom", 0666, DEVICE_URANDOM, device_open),
    DEVICE("tty", 0666, DEVICE_TTY, tty_open),
    DEVICE("ptmx", 0666, DEVICE_PTMX, ptmx_open),
    {.name = "pts", .mode = S_IFDIR | 0755, .each = &each_terminal},
    PSEUDO_DIR("shm", NULL), /* where its mount lies */
    PSEUDO_LINK("fd", link_fd),
    PSEUDO_LINK("stdin", link_stdin),
    PSEUDO_LINK("stdout", link_stdout),
    PSEUDO_LINK("stderr", link_stderr),
    {0},
};

const struct pseudo_entry dev_root = PSEUDO_DIR("dev", devices);

const struct pseudo_entry *dev_essential(uint32_t i, const char **path)
{
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

    if (i >= sizeof(paths) / sizeof(paths[0]))
        return NULL;
    *path = paths[i];
    return &devices[i];
}
