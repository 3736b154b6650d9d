/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of the host: the host's descriptor does the work and keeps the position. */
#include "libos/fs/fs.h"

#include <asm/termbits.h>
#include <linux/signal.h>

#define INT_LIMIT 0x7fffffff
#define DIRENT_HEAD offsetof(struct linux_dirent64, name)

void signal_broken_pipe(void)
{
    signal_send(current_thread(), SIGPIPE, SI_USER, process_pid());
}

/* Bounce memory for one operation. */
static void *io_buffer(const struct io *io, size_t *chunk)
{
    size_t room = bounce_left() & ~(size_t)15;

    *chunk = io->left < IO_CHUNK ? io->left : IO_CHUNK;
    if (*chunk > room)
        *chunk = room;
    return *chunk ? bounce_alloc(*chunk) : NULL;
}

static long host_read(struct file *file, void *untrusted_data, size_t n, int64_t offset, bool regular)
{
    long nr = offset < 0 ? __NR_read : __NR_pread64;

    if (regular) /* does not block, and Linux does not interrupt it */
        return host_call(nr, (long)n, file->host_fd, (long)untrusted_data, (long)n, offset, 0);
    return host_call_blocking(nr, (long)n, file->host_fd, (long)untrusted_data, (long)n, offset, 0);
}

static long host_file_read(struct file *file, struct io *io, int64_t offset)
{
    bool regular = file_type(file) == S_IFREG;
    size_t mark = bounce_mark(), chunk;
    long done = 0, result = 0;

    if (!io->left)
        return 0;
    void *untrusted_data = io_buffer(io, &chunk);
    if (!untrusted_data)
        return -ENOMEM;
    while (io->left) {
        size_t n = io->left < chunk ? io->left : chunk;
        result = host_read(file, untrusted_data, n, offset, regular);
        if (result <= 0)
            break;
        long copied = io_put(io, untrusted_data, (size_t)result, IO_UNTRUSTED);
        if (copied > 0)
            done += copied;
        if (copied != result) {
            /* What the program could not take it has not read: the host's position goes back (Linux stops before). */
            if (regular && offset < 0)
                host_call(__NR_lseek, INT64_MAX, file->host_fd, (copied > 0 ? copied : 0) - result, SEEK_CUR, 0, 0);
            result = copied < 0 ? copied : -EFAULT;
            break;
        }
        if (offset >= 0)
            offset += result;
        if (!regular || (size_t)result < n)
            break;
    }
    bounce_release(mark);
    return done ? done : result;
}

static long host_write(struct file *file, const void *untrusted_data, size_t n, int64_t offset, bool regular)
{
    long nr = offset < 0 ? __NR_write : __NR_pwrite64;

    if (regular)
        return host_call(nr, (long)n, file->host_fd, (long)untrusted_data, (long)n, offset, 0);
    return host_call_blocking(nr, (long)n, file->host_fd, (long)untrusted_data, (long)n, offset, 0);
}

static long host_file_write(struct file *file, struct io *io, int64_t offset)
{
    bool regular = file_type(file) == S_IFREG;
    size_t mark = bounce_mark(), chunk;
    long done = 0, result = 0;

    if (!io->left)
        return 0;
    void *untrusted_data = io_buffer(io, &chunk);
    if (!untrusted_data)
        return -ENOMEM;
    while (io->left) {
        size_t n = io->left < chunk ? io->left : chunk;
        long filled = io_get(io, untrusted_data, n, IO_UNTRUSTED);
        result = filled < 0 ? filled : host_write(file, untrusted_data, (size_t)filled, offset, regular);
        if (result > 0)
            done += result;
        if (result < 0 || (size_t)result < n)
            break;
        if (offset >= 0)
            offset += result;
    }
    bounce_release(mark);
    if (result == -EPIPE)
        signal_broken_pipe();
    return done ? done : result;
}

/* position is kept for directories only, to undo a listing that did not arrive. */
static long host_file_seek(struct file *file, int64_t offset, int whence)
{
    long result = host_call(__NR_lseek, INT64_MAX, file->host_fd, offset, whence, 0, 0);

    if (result >= 0)
        file->position = result;
    return result;
}

static long host_file_stat(struct file *file, struct stat *stat)
{
    return stat_host(file->host_fd, NULL, 0, stat);
}

/* ---- directories ------------------------------------------------------------------------------------------------- */
struct linux_dirent64 { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; };

/* buf holds n bytes the host filled in: whole records with honest lengths and names that are names? *end gets the
 * position behind them. */
static bool records_ok(const char *buf, size_t n, int64_t *end)
{
    while (n) {
        const struct linux_dirent64 *d = (const void *)buf;
        if (n < DIRENT_HEAD + 2 || d->reclen > n || d->reclen < DIRENT_HEAD + 2 || d->reclen % 8)
            return false;
        *end = d->off;
        size_t room = d->reclen - DIRENT_HEAD, length = strnlen(d->name, room);
        if (!length || length == room || strchr(d->name, '/'))
            return false;
        buf += d->reclen;
        n -= d->reclen;
    }
    return true;
}

static long host_file_list(struct file *file, void *buf, size_t n)
{
    size_t mark = bounce_mark();
    void *untrusted_records = bounce_alloc(n);
    int64_t end = 0;

    if (!untrusted_records)
        return -ENOMEM;
    long result = host_call(__NR_getdents64, (long)n, file->host_fd, (long)untrusted_records, (long)n, 0, 0);
    if (result > 0) {
        untrusted_read(buf, untrusted_records, (size_t)result);
        if (records_ok(buf, (size_t)result, &end)) {
            file->position = end;
        } else {
            log_line(VIGIL_LOG_ERROR, "%s: the host gave a malformed directory listing: it fails with EIO",
                     file->path ? file->path : "?");
            result = -EIO;
        }
    }
    bounce_release(mark);
    return result;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */
/* The first three host numbers must stay taken: a file of the program's must never become the runtime's stderr. Input
 * and output are replaced by /dev/null, so that who is at their other end sees them close. */
static void close_standard(int host_fd)
{
    static const char name[] = "/dev/null";
    const void *untrusted_name = host_fd == 2 ? NULL : host_put(name, sizeof(name));

    if (!untrusted_name)
        return;
    long null = host_call(__NR_openat, INT_LIMIT, AT_FDCWD, (long)untrusted_name, O_RDWR | O_CLOEXEC, 0, 0);
    if (null < 0)
        return;
    host_call(__NR_dup3, INT_LIMIT, null, host_fd, 0, 0, 0);
    if (null > 2)
        ocall_syscall(__NR_close, null, 0, 0, 0, 0, 0);
}

void host_close(int host_fd)
{
    size_t mark = bounce_mark();

    if (host_fd > 2)
        ocall_syscall(__NR_close, host_fd, 0, 0, 0, 0, 0);
    else if (host_fd >= 0)
        close_standard(host_fd);
    bounce_release(mark);
}

static void host_file_release(struct file *file)
{
    host_close(file->host_fd);
}

long host_file_ioctl(struct file *file, uint32_t request, uint64_t arg);

const struct file_ops host_file_ops = {
    .read = host_file_read,
    .write = host_file_write,
    .seek = host_file_seek,
    .stat = host_file_stat,
    .list = host_file_list,
    .ioctl = host_file_ioctl,
    .release = host_file_release,
};

struct file *host_file_new(int host_fd, uint32_t flags, const char *path)
{
    struct file *file = file_new(&host_file_ops, flags, path);

    if (!file) {
        host_close(host_fd);
        return NULL;
    }
    file->host_fd = host_fd;
    return file;
}
