/* SPDX-License-Identifier: Apache-2.0
 *
 * Pipes, wholly inside: what threads of the program say to each other is none of the host's business. A named pipe (fifo) is
 * one that its node keeps, and whose ends come and go. */
#include "libos/fs/fs.h"

#include <asm/ioctls.h>
#include <linux/limits.h>
#include <linux/poll.h>

#define SIZE_DEFAULT 65536u
#define SIZE_LIMIT (1u << 20)
#define FIRST_ALLOCATION 4080u  /* with the heap's header a power of two */

struct pipe {
    lock_t lock;
    char *ring;                 /* allocated bytes; grows up to size as it is needed */
    uint32_t allocated, start, used, size;
    uint32_t refs;
    uint32_t readers, writers;  /* open ends */
    uint32_t read_opens, write_opens; /* how many there have been */
    uint64_t number;
    struct wait_queue readable, writable;
    const struct fifo_owner *owner; /* of a fifo */
    void *node;
};

static uint64_t pipes_made;

/* ---- the ring, under its lock ------------------------------------------------------------------------------------ */
static void copy_out(const struct pipe *p, char *to)
{
    uint32_t first = p->allocated - p->start < p->used ? p->allocated - p->start : p->used;

    memcpy(to, p->ring + p->start, first);
    memcpy(to + first, p->ring, p->used - first);
}

/* Room for wanted bytes in all, if there is memory. */
static void grow(struct pipe *p, uint32_t wanted)
{
    uint32_t next = p->allocated ? p->allocated : FIRST_ALLOCATION;

    if (wanted <= p->allocated)
        return;
    while (next < wanted)
        next = next * 2 + 16;
    if (next > p->size)
        next = p->size > wanted ? p->size : wanted;
    char *ring = kmalloc(next);
    if (!ring)
        return;
    if (p->used)
        copy_out(p, ring);
    kfree(p->ring);
    p->ring = ring;
    p->allocated = next;
    p->start = 0;
}

static long fill(struct pipe *p, struct io *io, uint32_t n)
{
    uint32_t done = 0;

    while (done < n) {
        uint32_t at = (p->start + p->used) % p->allocated, now = n - done;
        if (now > p->allocated - at)
            now = p->allocated - at;
        long moved = io_get(io, p->ring + at, now, IO_RUNTIME);
        if (moved <= 0)
            return done ? (long)done : moved;
        p->used += (uint32_t)moved;
        done += (uint32_t)moved;
        if ((uint32_t)moved < now)
            break;
    }
    return (long)done;
}

static long drain(struct pipe *p, struct io *io)
{
    uint32_t done = 0;

    while (p->used && io->left) {
        uint32_t now = p->used;
        if (now > p->allocated - p->start)
            now = p->allocated - p->start;
        if (now > io->left)
            now = (uint32_t)io->left;
        long moved = io_put(io, p->ring + p->start, now, IO_RUNTIME);
        if (moved <= 0)
            return done ? (long)done : moved;
        p->start = (p->start + (uint32_t)moved) % p->allocated;
        p->used -= (uint32_t)moved;
        done += (uint32_t)moved;
        if ((uint32_t)moved < now)
            break;
    }
    return (long)done;
}

/* ---- reading and writing ----------------------------------------------------------------------------------------- */
/* -EAGAIN: nothing yet. */
static long try_read(struct pipe *p, struct io *io)
{
    lock(&p->lock);
    long result = p->used ? drain(p, io) : p->writers ? -EAGAIN : 0;
    unlock(&p->lock);
    if (result > 0)
        wait_wake(&p->writable);
    return result;
}

/* Up to PIPE_BUF bytes go in one piece. -EAGAIN: no room yet. */
static long try_write(struct pipe *p, struct io *io)
{
    long result;

    lock(&p->lock);
    uint32_t room = p->size > p->used ? p->size - p->used : 0;
    uint32_t n = io->left < room ? (uint32_t)io->left : room;
    if (!p->readers) {
        result = -EPIPE;
    } else if (!n || (io->left <= PIPE_BUF && n < io->left)) {
        result = -EAGAIN;
    } else {
        grow(p, p->used + n);
        if (p->used + n <= p->allocated)
            result = fill(p, io, n);
        else
            result = -ENOMEM;
    }
    unlock(&p->lock);
    if (result > 0)
        wait_wake(&p->readable);
    return result;
}

typedef long attempt(struct pipe *p, struct io *io);

/* Tries until something was done. A wake-up between the attempt and park() is kept by park(). */
static long until_done(struct pipe *p, struct io *io, attempt *try, struct wait_queue *queue)
{
    struct waiter waiter;
    long result;

    wait_add(queue, &waiter, false);
    while ((result = try(p, io)) == -EAGAIN) {
        result = interrupted();
        if (result)
            break;
        park(-1);
    }
    wait_remove(&waiter);
    return result;
}

static long pipe_read(struct file *file, struct io *io, int64_t offset)
{
    struct pipe *p = file->object;
    (void)offset;

    if (!io->left)
        return 0;
    long result = try_read(p, io);
    return result != -EAGAIN || file_nonblocking(file) ? result : until_done(p, io, try_read, &p->readable);
}

static long pipe_write(struct file *file, struct io *io, int64_t offset)
{
    struct pipe *p = file->object;
    long done = 0, result = 0;
    (void)offset;

    while (io->left) {
        result = try_write(p, io);
        if (result == -EAGAIN && !file_nonblocking(file))
            result = until_done(p, io, try_write, &p->writable);
        if (result <= 0)
            break;
        done += result;
    }
    if (result == -EPIPE)
        signal_broken_pipe();
    return done ? done : result;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */
static uint32_t reader_ready(struct file *file)
{
    struct pipe *p = file->object;

    lock(&p->lock);
    /* Whoever opens a fifo's reading end first has not been left by anybody. */
    bool left = !p->writers && (uint32_t)file->position != p->write_opens;
    uint32_t bits = (p->used ? POLLIN | POLLRDNORM : 0) | (left ? POLLHUP : 0);
    unlock(&p->lock);
    return bits;
}

static uint32_t writer_ready(struct file *file)
{
    struct pipe *p = file->object;

    lock(&p->lock);
    bool room = p->used + PIPE_BUF <= p->size;
    uint32_t bits = (room ? POLLOUT | POLLWRNORM : 0) | (p->readers ? 0 : POLLERR);
    unlock(&p->lock);
    return bits;
}

static uint32_t both_ready(struct file *file)
{
    return reader_ready(file) | writer_ready(file);
}

static struct wait_queue *reader_queue(struct file *file)
{
    return &((struct pipe *)file->object)->readable;
}

static struct wait_queue *writer_queue(struct file *file)
{
    return &((struct pipe *)file->object)->writable;
}

static long pipe_stat(struct file *file, struct stat *stat)
{
    const struct pipe *p = file->object;

    if (p->owner)
        p->owner->stat(p->node, stat);
    else
        synthetic_stat(stat, S_IFIFO | 0600, p->number);
    return 0;
}

static long pipe_ioctl(struct file *file, uint32_t request, uint64_t arg)
{
    struct pipe *p = file->object;

    if (request != FIONREAD)
        return -ENOTTY;
    lock(&p->lock);
    int used = (int)p->used;
    unlock(&p->lock);
    return copy_to_user((void *)arg, &used, sizeof(used));
}

static long pipe_change(struct file *file, const struct change *change)
{
    const struct pipe *p = file->object;

    return p->owner ? p->owner->change(p->node, change) : -EPERM;
}

/* Each end counts as one user of the pipe, and does so until it has woken the other. What nobody has read of a fifo goes with
 * the last one. */
static void release_end(struct pipe *p, uint32_t readers, uint32_t writers)
{
    const struct fifo_owner *owner = p->owner;

    lock(&p->lock);
    p->readers -= readers;
    p->writers -= writers;
    if (!p->readers && !p->writers)
        p->used = 0;
    unlock(&p->lock);
    wait_wake(&p->readable);
    wait_wake(&p->writable);
    if (owner)
        owner->put(p->node);
    else if (!__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
        fifo_free(p);
}

static void reader_release(struct file *file)
{
    release_end(file->object, 1, 0);
}

static void writer_release(struct file *file)
{
    release_end(file->object, 0, 1);
}

static void both_release(struct file *file)
{
    release_end(file->object, 1, 1);
}

static const struct file_ops reader_ops = {
    .read = pipe_read,
    .stat = pipe_stat,
    .change = pipe_change,
    .ioctl = pipe_ioctl,
    .ready = reader_ready,
    .queue = reader_queue,
    .release = reader_release,
};

static const struct file_ops writer_ops = {
    .write = pipe_write,
    .stat = pipe_stat,
    .change = pipe_change,
    .ioctl = pipe_ioctl,
    .ready = writer_ready,
    .queue = writer_queue,
    .release = writer_release,
};

/* Both ends at once, of a fifo. */
static const struct file_ops both_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .stat = pipe_stat,
    .change = pipe_change,
    .ioctl = pipe_ioctl,
    .ready = both_ready,
    .queue = reader_queue,
    .release = both_release,
};

/* A power of two of at least a page, as Linux makes it. */
static long set_size(struct pipe *p, uint64_t wanted)
{
    uint32_t size = VIGIL_PAGE;
    long result;

    if (wanted > SIZE_LIMIT)
        return -EPERM;
    while (size < wanted)
        size *= 2;
    lock(&p->lock);
    if (p->used > size) {
        result = -EBUSY;
    } else {
        p->size = size;
        result = size;
    }
    unlock(&p->lock);
    if (result > 0)
        wait_wake(&p->writable);
    return result;
}

long pipe_size(struct file *file, bool set, uint64_t wanted)
{
    struct pipe *p = file->object;

    if (file->ops != &reader_ops && file->ops != &writer_ops && file->ops != &both_ops)
        return -EBADF;
    if (set)
        return set_size(p, wanted);
    lock(&p->lock);
    uint32_t size = p->size;
    unlock(&p->lock);
    return size;
}

/* ---- making one -------------------------------------------------------------------------------------------------- */
static struct file *new_end(struct pipe *p, const struct file_ops *ops, uint32_t flags)
{
    struct file *file = file_new(ops, flags, NULL);

    if (file) {
        file->object = p;
        file->type = S_IFIFO;
    }
    return file;
}

/* Both ends, or none. */
static int new_pipe(uint32_t flags, struct file *ends[2])
{
    struct pipe *p = kzalloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->size = SIZE_DEFAULT;
    p->refs = 2;
    p->readers = p->writers = p->read_opens = p->write_opens = 1;
    p->number = __atomic_add_fetch(&pipes_made, 1, __ATOMIC_RELAXED);
    ends[0] = new_end(p, &reader_ops, O_RDONLY | flags);
    ends[1] = ends[0] ? new_end(p, &writer_ops, O_WRONLY | flags) : NULL;
    if (ends[1])
        return 0;
    p->refs = 1;
    if (ends[0])
        file_put(ends[0]);
    else
        kfree(p);
    return -ENOMEM;
}

/* ---- fifos --------------------------------------------------------------------------------------------------------- */
struct pipe *fifo_new(const struct fifo_owner *owner, void *node)
{
    struct pipe *p = kzalloc(sizeof(*p));

    if (p) {
        p->size = SIZE_DEFAULT;
        p->owner = owner;
        p->node = node;
    }
    return p;
}

void fifo_free(struct pipe *p)
{
    if (p)
        kfree(p->ring);
    kfree(p);
}

/* Waits until the other end is opened, even if it is closed again by then. */
static int wait_for_other(const uint32_t *opens, uint32_t before, struct wait_queue *queue)
{
    struct waiter waiter;
    int error = 0;

    wait_add(queue, &waiter, false);
    while (__atomic_load_n(opens, __ATOMIC_SEQ_CST) == before) {
        error = interrupted();
        if (error)
            break;
        park(-1);
    }
    wait_remove(&waiter);
    return error;
}

static int meet(struct pipe *p, bool reads, bool writes, bool wait)
{
    lock(&p->lock);
    bool missing = reads ? !p->writers && !writes : !p->readers;
    bool refused = !reads && missing && !wait;
    uint32_t *opens = reads ? &p->write_opens : &p->read_opens, before = *opens;
    if (!refused) {
        p->readers += reads;
        p->writers += writes;
        __atomic_add_fetch(&p->read_opens, reads, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&p->write_opens, writes, __ATOMIC_SEQ_CST);
    }
    unlock(&p->lock);
    if (refused)
        return -ENXIO;
    wait_wake(&p->readable);
    wait_wake(&p->writable);
    return missing && wait ? wait_for_other(opens, before, reads ? &p->readable : &p->writable) : 0;
}

struct file *fifo_open(struct pipe *p, uint32_t flags, const char *inside, int *error)
{
    static const struct file_ops *const kinds[] = {&reader_ops, &writer_ops, &both_ops, &both_ops};
    bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
    struct file *file = file_new(kinds[flags & O_ACCMODE], flags, inside);

    if (!file) {
        p->owner->put(p->node);
        *error = -ENOMEM;
        return NULL;
    }
    file->type = S_IFIFO;
    file->object = p;
    file->position = __atomic_load_n(&p->write_opens, __ATOMIC_SEQ_CST);
    *error = meet(p, reads, writes, !(flags & O_NONBLOCK));
    if (!*error)
        return file;
    if (*error == -ENXIO) { /* release takes back what meet() has counted */
        lock(&p->lock);
        p->writers++;
        unlock(&p->lock);
    }
    file_put(file);
    return NULL;
}

static void close_number(long fd)
{
    struct file *file = fd_take((uint32_t)fd);
    if (file)
        file_put(file);
}

static long make_pipe(long user_fds, long flags)
{
    struct file *ends[2];
    int fds[2];

    if (flags & ~(long)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    int error = new_pipe((uint32_t)flags & O_NONBLOCK, ends);
    if (error)
        return error;
    long in = fd_install(ends[0], 0, flags & O_CLOEXEC);
    if (in < 0) {
        file_put(ends[1]);
        return in;
    }
    long out = fd_install(ends[1], 0, flags & O_CLOEXEC);
    fds[0] = (int)in;
    fds[1] = (int)out;
    if (out >= 0 && !copy_to_user((void *)user_fds, fds, sizeof(fds)))
        return 0;
    close_number(in);
    if (out < 0)
        return out;
    close_number(out);
    return -EFAULT;
}

long sys_pipe(SYSCALL_ARGS)
{
    return make_pipe(a0, 0);
}

long sys_pipe2(SYSCALL_ARGS)
{
    return make_pipe(a0, a1);
}
