/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing. Data passes through the bounce memory once: host -> bounce -> application. */
#include "libos/fs/fs.h"

#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/uio.h>

#define MAX_IOV 1024
#define MAX_COUNT 0x7ffff000ul
#define CHUNK (512u << 10)

long checked(long untrusted_result, long most)
{
    if (untrusted_result < -4095 || untrusted_result > most)
        return -EIO;
    return untrusted_result;
}

long host_blocking(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    for (;;) {
        long untrusted_result = ocall_syscall_intr(nr, a0, a1, a2, a3, a4, a5);
        if (untrusted_result != -EINTR)
            return untrusted_result;
        int status = interrupted();
        if (status)
            return status;
    }
}

static long raise_sigpipe(long result)
{
    if (result == -EPIPE)
        signal_send(current_thread(), SIGPIPE, SI_USER, process_pid());
    return result;
}

static long one_read(struct file *file, void *untrusted, size_t n, int64_t offset)
{
    if (offset >= 0)
        return checked(host_blocking(__NR_pread64, file->host_fd, (long)untrusted, (long)n, offset, 0, 0), (long)n);
    return checked(host_blocking(__NR_read, file->host_fd, (long)untrusted, (long)n, 0, 0, 0), (long)n);
}

static long read_random(void *user, size_t n)
{
    uint8_t buf[256];

    for (size_t done = 0; done < n;) {
        size_t part = n - done < sizeof(buf) ? n - done : sizeof(buf);
        if (random_bytes(buf, part))
            return -EIO;
        if (copy_to_user((char *)user + done, buf, part))
            return -EFAULT;
        done += part;
    }
    return (long)n;
}

long file_read(struct file *file, void *user, size_t n, int64_t offset)
{
    size_t done = 0, mark = bounce_mark();
    long result;

    if (n > MAX_COUNT)
        n = MAX_COUNT;
    if (!user_range_ok(user, n))
        return -EFAULT;
    if (file->random)
        return read_random(user, n);
    void *untrusted = bounce_alloc(n < CHUNK ? n : CHUNK);
    if (!untrusted)
        return -ENOMEM;
    do {
        size_t part = n - done < CHUNK ? n - done : CHUNK;
        result = one_read(file, untrusted, part, offset < 0 ? -1 : offset + (int64_t)done);
        if (result > 0 && copy_untrusted_to_user((char *)user + done, untrusted, (size_t)result))
            result = -EFAULT;
        if (result > 0)
            done += (size_t)result;
    } while (result > 0 && done < n && file->regular);
    bounce_release(mark);
    return done ? (long)done : result;
}

static long one_write(struct file *file, void *untrusted, size_t n, int64_t offset)
{
    if (offset >= 0)
        return checked(host_blocking(__NR_pwrite64, file->host_fd, (long)untrusted, (long)n, offset, 0, 0), (long)n);
    return checked(host_blocking(__NR_write, file->host_fd, (long)untrusted, (long)n, 0, 0, 0), (long)n);
}

long file_write(struct file *file, const void *user, size_t n, int64_t offset)
{
    size_t done = 0, mark = bounce_mark();
    long result;

    if (n > MAX_COUNT)
        n = MAX_COUNT;
    if (!user_range_ok(user, n))
        return -EFAULT;
    void *untrusted = bounce_alloc(n < CHUNK ? n : CHUNK);
    if (!untrusted)
        return -ENOMEM;
    do {
        size_t part = n - done < CHUNK ? n - done : CHUNK;
        if (copy_user_to_untrusted(untrusted, (const char *)user + done, part)) {
            result = -EFAULT;
            break;
        }
        result = one_write(file, untrusted, part, offset < 0 ? -1 : offset + (int64_t)done);
        if (result > 0)
            done += (size_t)result;
        if (result < (long)part)
            break;
    } while (done < n);
    bounce_release(mark);
    return done ? (long)done : raise_sigpipe(result);
}

/* For the ELF loader and mmap of files: into runtime or application memory, at most what the bounce memory takes. */
long file_pread(struct file *file, void *buf, size_t n, uint64_t offset)
{
    size_t mark = bounce_mark(), part = n < CHUNK ? n : CHUNK;
    void *untrusted = bounce_alloc(part);

    if (!untrusted)
        return -ENOMEM;
    long result = one_read(file, untrusted, part, (int64_t)offset);
    if (result > 0 && user_range_ok(buf, (size_t)result)) {
        if (copy_untrusted_to_user(buf, untrusted, (size_t)result))
            result = -EFAULT;
    } else if (result > 0) {
        untrusted_read(buf, untrusted, (size_t)result);
    }
    bounce_release(mark);
    return result;
}

typedef long transfer(struct file *file, void *user, size_t n, int64_t offset);

static long write_transfer(struct file *file, void *user, size_t n, int64_t offset)
{
    return file_write(file, user, n, offset);
}

static long simple(long fd, transfer *move, long user, long n, int64_t offset, bool positioned)
{
    struct file *file = file_from_fd((int)fd);
    if (!file)
        return -EBADF;
    long result = positioned && offset < 0 ? -EINVAL : move(file, (void *)user, (size_t)n, positioned ? offset : -1);
    file_put(file);
    return result;
}

long sys_read(SYSCALL_ARGS)
{
    return simple(a0, file_read, a1, a2, -1, false);
}

long sys_write(SYSCALL_ARGS)
{
    return simple(a0, write_transfer, a1, a2, -1, false);
}

long sys_pread64(SYSCALL_ARGS)
{
    return simple(a0, file_read, a1, a2, a3, true);
}

long sys_pwrite64(SYSCALL_ARGS)
{
    return simple(a0, write_transfer, a1, a2, a3, true);
}

/* One host call for the whole vector when it fits: writes to pipes and terminals stay in one piece. */
static long write_gathered(struct file *file, const struct iovec *iov, long count, size_t total)
{
    size_t mark = bounce_mark(), at = 0;
    char *untrusted = bounce_alloc(total);

    if (!untrusted)
        return -ENOMEM;
    for (long i = 0; i < count; i++) {
        if (copy_user_to_untrusted(untrusted + at, iov[i].iov_base, iov[i].iov_len))
            return -EFAULT;
        at += iov[i].iov_len;
    }
    long result = one_write(file, untrusted, total, -1);
    bounce_release(mark);
    return raise_sigpipe(result);
}

static long each_buffer(struct file *file, transfer *move, const struct iovec *iov, long count, int64_t offset)
{
    long done = 0;
    for (long i = 0; i < count; i++) {
        if (!iov[i].iov_len)
            continue;
        long result = move(file, iov[i].iov_base, iov[i].iov_len, offset < 0 ? -1 : offset + done);
        if (result < 0)
            return done ? done : result;
        done += result;
        if ((size_t)result < iov[i].iov_len)
            break;
    }
    return done;
}

static long vector(long fd, transfer *move, const void *user_iov, long count, int64_t offset)
{
    struct iovec *iov;
    size_t total = 0;
    struct file *file;
    long result = 0;

    if (count < 0 || count > MAX_IOV)
        return -EINVAL;
    iov = kmalloc(((size_t)count + 1) * sizeof(*iov));
    if (!iov)
        return -ENOMEM;
    if (copy_from_user(iov, user_iov, (size_t)count * sizeof(*iov)))
        result = -EFAULT;
    for (long i = 0; i < count && !result; i++) {
        if (iov[i].iov_len > MAX_COUNT || total + iov[i].iov_len > MAX_COUNT)
            result = -EINVAL;
        total += iov[i].iov_len;
    }
    file = result ? NULL : file_from_fd((int)fd);
    if (!result && !file)
        result = -EBADF;
    if (!result) {
        if (move == write_transfer && offset < 0 && total && total <= CHUNK)
            result = write_gathered(file, iov, count, total);
        else
            result = each_buffer(file, move, iov, count, offset);
    }
    file_put(file);
    kfree(iov);
    return result;
}

long sys_readv(SYSCALL_ARGS)
{
    return vector(a0, file_read, (void *)a1, a2, -1);
}

long sys_writev(SYSCALL_ARGS)
{
    return vector(a0, write_transfer, (void *)a1, a2, -1);
}

long sys_preadv(SYSCALL_ARGS)
{
    return a3 < 0 ? -EINVAL : vector(a0, file_read, (void *)a1, a2, a3);
}

long sys_pwritev(SYSCALL_ARGS)
{
    return a3 < 0 ? -EINVAL : vector(a0, write_transfer, (void *)a1, a2, a3);
}

/* Two descriptors of the host: the data need not come in. */
static long host_copy(long nr, long out, long in, void *user_offset, long n)
{
    struct file *to = file_from_fd((int)out), *from = file_from_fd((int)in);
    void *untrusted = NULL;
    long result = to && from ? 0 : -EBADF;

    if (!result && user_offset) {
        untrusted = bounce_alloc(8);
        result = !untrusted ? -ENOMEM : copy_user_to_untrusted(untrusted, user_offset, 8);
    }
    if (!result && n > (long)MAX_COUNT)
        n = (long)MAX_COUNT;
    if (!result)
        result = raise_sigpipe(checked(host_blocking(nr, to->host_fd, from->host_fd, (long)untrusted, n, 0, 0), n));
    if (result >= 0 && untrusted && copy_untrusted_to_user(user_offset, untrusted, 8))
        result = -EFAULT;
    file_put(to);
    file_put(from);
    return result;
}

long sys_sendfile(SYSCALL_ARGS)
{
    return host_copy(__NR_sendfile, a0, a1, (void *)a2, a3);
}
