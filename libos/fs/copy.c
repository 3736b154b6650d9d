/* SPDX-License-Identifier: Apache-2.0
 *
 * sendfile and copy_file_range. Between two files of the host the host moves the bytes, which are its own anyway. */
#include "libos/fs/fs.h"
#include "libos/mm/backing.h"

#define COPY_CHUNK (16u << 10)

/* Position of the input: the program's offset if it gave one. */
static long input_position(struct file *in, long user_offset, int64_t *position)
{
    if (!in->ops->seek)
        return user_offset ? -ESPIPE : -EINVAL;
    if (user_offset) {
        if (copy_from_user(position, (void *)user_offset, sizeof(*position)))
            return -EFAULT;
        return *position < 0 ? -EINVAL : 0;
    }
    *position = in->ops->seek(in, 0, SEEK_CUR);
    return *position < 0 ? *position : 0;
}

static long copy_chunk(struct file *out, struct file *in, char *buf, size_t n, int64_t position)
{
    struct io io;

    io_runtime(&io, buf, n);
    long got = in->ops->read(in, &io, position);
    if (got <= 0)
        return got;
    io_runtime(&io, buf, (uint64_t)got);
    return out->ops->write(out, &io, -1);
}

static long copy_inside(struct file *out, struct file *in, long user_offset, uint64_t count)
{
    char *buf = kmalloc(COPY_CHUNK);
    int64_t position = 0;
    long result = buf ? input_position(in, user_offset, &position) : -ENOMEM;
    uint64_t done = 0;

    while (!result && done < count) {
        size_t n = count - done < COPY_CHUNK ? count - done : COPY_CHUNK;
        long moved = copy_chunk(out, in, buf, n, position);
        if (moved <= 0) {
            result = moved;
            break;
        }
        done += (uint64_t)moved;
        position += moved;
        if ((size_t)moved < n)
            break;
    }
    kfree(buf);
    if (!done)
        return result;
    if (user_offset)
        return copy_to_user((void *)user_offset, &position, sizeof(position)) ? -EFAULT : (long)done;
    in->ops->seek(in, position, SEEK_SET);
    return (long)done;
}

/* The program's offset goes to the host and comes back moved by what was copied, whatever the host says. */
static long put_offset(long user_offset, int64_t *offset, void **untrusted_offset)
{
    *untrusted_offset = NULL;
    if (!user_offset)
        return 0;
    if (copy_from_user(offset, (void *)user_offset, sizeof(*offset)))
        return -EFAULT;
    *untrusted_offset = host_put(offset, sizeof(*offset));
    return *untrusted_offset ? 0 : -ENOMEM;
}

static long give_offset(long user_offset, int64_t offset, long copied)
{
    offset += copied;
    return user_offset && copy_to_user((void *)user_offset, &offset, sizeof(offset)) ? -EFAULT : 0;
}

static long send(struct file *out, struct file *in, long user_offset, uint64_t count)
{
    int64_t offset = 0;
    void *untrusted_offset;

    if (out->host_fd < 0 || in->host_fd < 0)
        return copy_inside(out, in, user_offset, count);
    long result = put_offset(user_offset, &offset, &untrusted_offset);
    if (!result)
        result = host_call_blocking(__NR_sendfile, (long)count, out->host_fd, in->host_fd, (long)untrusted_offset,
                                    (long)count, 0);
    if (result == -EPIPE)
        signal_broken_pipe();
    if (result > 0 && give_offset(user_offset, offset, result))
        return -EFAULT;
    return result;
}

/* What shared mappings have changed is copied, and they see what was. */
static long with_mappings(struct file *out, long copied)
{
    if (copied > 0)
        backing_refresh(out, 0, INT64_MAX);
    return copied;
}

static bool can_copy(const struct file *out, const struct file *in)
{
    return out && in && file_can_write(out) && file_can_read(in);
}

long sys_sendfile(SYSCALL_ARGS)
{
    struct file *out = file_from_fd((int)a0), *in = file_from_fd((int)a1);
    uint64_t count = (uint64_t)a3 < IO_MAX ? (uint64_t)a3 : IO_MAX;
    long result;

    if (!can_copy(out, in))
        result = -EBADF;
    else if (a3 < 0 || !out->ops->write || !in->ops->read)
        result = -EINVAL;
    else {
        (void)backing_sync_file(NULL);
        result = with_mappings(out, send(out, in, a2, count));
    }
    if (out)
        file_put(out);
    if (in)
        file_put(in);
    return result;
}

static long copy_range(struct file *in, long user_in, struct file *out, long user_out, uint64_t count)
{
    int64_t in_offset = 0, out_offset = 0;
    void *untrusted_in, *untrusted_out;
    long result = put_offset(user_in, &in_offset, &untrusted_in);

    if (!result)
        result = put_offset(user_out, &out_offset, &untrusted_out);
    if (result)
        return result;
    result = host_call(__NR_copy_file_range, (long)count, in->host_fd, (long)untrusted_in, out->host_fd, (long)untrusted_out,
                       (long)count);
    if (result > 0 && (give_offset(user_in, in_offset, result) || give_offset(user_out, out_offset, result)))
        return -EFAULT;
    return result;
}

long sys_copy_file_range(SYSCALL_ARGS)
{
    struct file *in = file_from_fd((int)a0), *out = file_from_fd((int)a2);
    uint64_t count = (uint64_t)a4 < IO_MAX ? (uint64_t)a4 : IO_MAX;
    long result;

    if (!can_copy(out, in))
        result = -EBADF;
    else if (a5)
        result = -EINVAL;
    else if (in->host_fd < 0 || out->host_fd < 0)
        result = file_type(in) == S_IFREG && file_type(out) == S_IFREG ? -EXDEV : -EINVAL; /* the caller copies */
    else {
        (void)backing_sync_file(NULL);
        result = with_mappings(out, copy_range(in, a1, out, a3, count));
    }
    if (out)
        file_put(out);
    if (in)
        file_put(in);
    return result;
}
