/* SPDX-License-Identifier: Apache-2.0
 *
 * read, write and their variants, and the position. */
#include "libos/fs/fs.h"
#include "libos/mm/backing.h"


enum direction { READ, WRITE };

static struct io_counts counts;

static void add(uint64_t *to, uint64_t n)
{
    if (alone())
        *to += n;
    else
        __atomic_add_fetch(to, n, __ATOMIC_RELAXED);
}

static void count(enum direction direction, long result)
{
    add(direction == READ ? &counts.reads : &counts.writes, 1);
    if (result > 0)
        add(direction == READ ? &counts.read_bytes : &counts.written_bytes, (uint64_t)result);
}

struct io_counts io_counts(void)
{
    return (struct io_counts){
        .reads = __atomic_load_n(&counts.reads, __ATOMIC_RELAXED),
        .writes = __atomic_load_n(&counts.writes, __ATOMIC_RELAXED),
        .read_bytes = __atomic_load_n(&counts.read_bytes, __ATOMIC_RELAXED),
        .written_bytes = __atomic_load_n(&counts.written_bytes, __ATOMIC_RELAXED),
    };
}

/* Of a file that may be mapped: the mappings' changes are in it before, and it is in the mappings afterwards. */
static long transfer_shared(struct file *file, struct io *io, enum direction direction, int64_t offset)
{
    (void)backing_sync_file(file);
    if (direction == READ)
        return file->ops->read(file, io, offset);
    long result = file->ops->write(file, io, offset);
    if (result > 0) {
        int64_t end = offset >= 0 ? offset + result : file->ops->seek ? file->ops->seek(file, 0, SEEK_CUR) : 0;
        backing_refresh(file, end > result ? (uint64_t)(end - result) : 0, (uint64_t)result);
    }
    return result;
}

/* Runs one transfer on a descriptor. positioned: offset counts, and must not be negative. */
static long transfer(int fd, struct io *io, enum direction direction, bool positioned, int64_t offset)
{
    struct file *file = file_from_fd(fd);
    long result;

    if (!file)
        return -EBADF;
    if (!(direction == READ ? file_can_read(file) : file_can_write(file)))
        result = -EBADF;
    else if (positioned && !file->ops->seek)
        result = -ESPIPE;
    else if (!(direction == READ ? file->ops->read : file->ops->write))
        result = file->ops->list ? -EISDIR : -EINVAL;
    else if (__atomic_load_n(&backing_shared_count, __ATOMIC_RELAXED) && file_type(file) == S_IFREG)
        result = transfer_shared(file, io, direction, positioned ? offset : -1);
    else
        result = (direction == READ ? file->ops->read : file->ops->write)(file, io, positioned ? offset : -1);
    file_put(file);
    count(direction, result);
    return result;
}

static long simple(int fd, uint64_t base, uint64_t length, enum direction d, bool positioned, int64_t offset)
{
    struct io io;
    int error = io_user(&io, base, length);

    if (positioned && offset < 0)
        return -EINVAL;
    return error ? error : transfer(fd, &io, d, positioned, offset);
}

static long vectored(int fd, uint64_t vector, uint64_t count, enum direction d, bool positioned, int64_t offset)
{
    struct io io;

    if (positioned && offset < 0)
        return -EINVAL;
    int error = io_user_vector(&io, vector, count);
    if (error)
        return error;
    long result = transfer(fd, &io, d, positioned, offset);
    io_free(&io);
    return result;
}

long sys_read(SYSCALL_ARGS)
{
    return simple((int)a0, (uint64_t)a1, (uint64_t)a2, READ, false, 0);
}

long sys_write(SYSCALL_ARGS)
{
    return simple((int)a0, (uint64_t)a1, (uint64_t)a2, WRITE, false, 0);
}

long sys_pread64(SYSCALL_ARGS)
{
    return simple((int)a0, (uint64_t)a1, (uint64_t)a2, READ, true, a3);
}

long sys_pwrite64(SYSCALL_ARGS)
{
    return simple((int)a0, (uint64_t)a1, (uint64_t)a2, WRITE, true, a3);
}

long sys_readv(SYSCALL_ARGS)
{
    return vectored((int)a0, (uint64_t)a1, (uint64_t)a2, READ, false, 0);
}

long sys_writev(SYSCALL_ARGS)
{
    return vectored((int)a0, (uint64_t)a1, (uint64_t)a2, WRITE, false, 0);
}

/* The offset comes in two halves, of which the low one holds all of it on 64-bit machines. */
long sys_preadv(SYSCALL_ARGS)
{
    return vectored((int)a0, (uint64_t)a1, (uint64_t)a2, READ, true, a3);
}

long sys_pwritev(SYSCALL_ARGS)
{
    return vectored((int)a0, (uint64_t)a1, (uint64_t)a2, WRITE, true, a3);
}

long sys_preadv2(SYSCALL_ARGS)
{
    return a5 ? -EOPNOTSUPP : vectored((int)a0, (uint64_t)a1, (uint64_t)a2, READ, a3 != -1, a3);
}

long sys_pwritev2(SYSCALL_ARGS)
{
    return a5 ? -EOPNOTSUPP : vectored((int)a0, (uint64_t)a1, (uint64_t)a2, WRITE, a3 != -1, a3);
}

long sys_lseek(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    long result;

    if (!file)
        return -EBADF;
    if (file->flags & O_PATH)
        result = -EBADF;
    else if (a2 < SEEK_SET || a2 > SEEK_HOLE)
        result = -EINVAL;
    else
        result = file->ops->seek ? file->ops->seek(file, a1, (int)a2) : -ESPIPE;
    file_put(file);
    return result;
}
