/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of one read or write: pieces of application memory, or one of the runtime's. */
#include "libos/fs/fs.h"

static void add_piece(struct io *io, uint64_t base, uint64_t length)
{
    if (length > IO_MAX - io->left)
        length = IO_MAX - io->left;
    io->piece[io->pieces++] = (struct piece){base, length};
    io->left += length;
}

static void no_pieces(struct io *io, bool runtime)
{
    io->piece = io->inline_piece;
    io->pieces = 0;
    io->runtime = runtime;
    io->left = 0;
}

int io_user(struct io *io, uint64_t base, uint64_t length)
{
    no_pieces(io, false);
    if ((int64_t)length < 0)
        return -EINVAL;
    if (length > IO_MAX)
        length = IO_MAX;
    if (length && !user_range_ok((void *)base, length))
        return -EFAULT;
    add_piece(io, base, length);
    return 0;
}

void io_runtime(struct io *io, void *base, uint64_t length)
{
    no_pieces(io, true);
    add_piece(io, (uint64_t)base, length);
}

/* Checks what the application gave; the copy is already inside. */
static int check_pieces(struct piece *piece, uint32_t n)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < n; i++) {
        if ((int64_t)piece[i].length < 0 || piece[i].length > INT64_MAX - total)
            return -EINVAL;
        total += piece[i].length;
    }
    for (uint32_t i = 0; i < n; i++)
        if (piece[i].length && !user_range_ok((void *)piece[i].base, piece[i].length))
            return -EFAULT;
    return 0;
}

int io_user_vector(struct io *io, uint64_t vector, uint64_t count)
{
    size_t size = count * sizeof(struct piece);
    int error;

    no_pieces(io, false);
    if (count > IO_VECTORS)
        return -EINVAL;
    if (size > sizeof(io->inline_piece)) {
        io->piece = kmalloc(size);
        if (!io->piece) {
            io->piece = io->inline_piece;
            return -ENOMEM;
        }
    }
    error = size ? copy_from_user(io->piece, (void *)vector, size) : 0;
    if (!error)
        error = check_pieces(io->piece, (uint32_t)count);
    if (error) {
        io_free(io);
        return error;
    }
    for (uint32_t i = 0; i < count; i++)
        add_piece(io, io->piece[i].base, io->piece[i].length);
    return 0;
}

void io_free(struct io *io)
{
    if (io->piece != io->inline_piece)
        kfree(io->piece);
    io->piece = io->inline_piece;
}

enum direction { TO_IO, FROM_IO, CLEAR };

static int copy_piece(const struct io *io, uint64_t base, char *other, size_t n, enum direction d, enum io_side side)
{
    void *mine = (void *)base;

    if (io->runtime) {
        if (d == CLEAR)
            memset(mine, 0, n);
        else if (side == IO_UNTRUSTED && d == TO_IO)
            untrusted_read(mine, other, n);
        else if (side == IO_UNTRUSTED)
            untrusted_write(other, mine, n);
        else
            memcpy(d == TO_IO ? mine : other, d == TO_IO ? other : mine, n);
        return 0;
    }
    if (d == CLEAR)
        return clear_user(mine, n);
    if (side == IO_UNTRUSTED)
        return d == TO_IO ? copy_untrusted_to_user(mine, other, n) : copy_user_to_untrusted(other, mine, n);
    return d == TO_IO ? copy_to_user(mine, other, n) : copy_from_user(other, mine, n);
}

/* Pieces that are done have length 0. */
static long move(struct io *io, char *other, size_t n, enum direction d, enum io_side side)
{
    size_t done = 0;

    for (uint32_t i = 0; i < io->pieces && done < n; i++) {
        struct piece *p = &io->piece[i];
        size_t now = p->length < n - done ? p->length : n - done;
        if (!now)
            continue;
        if (copy_piece(io, p->base, other ? other + done : NULL, now, d, side))
            return done ? (long)done : -EFAULT;
        p->base += now;
        p->length -= now;
        io->left -= now;
        done += now;
    }
    return (long)done;
}

long io_put(struct io *io, const void *from, size_t n, enum io_side side)
{
    return move(io, (char *)from, n, TO_IO, side);
}

long io_get(struct io *io, void *to, size_t n, enum io_side side)
{
    return move(io, to, n, FROM_IO, side);
}

long io_clear(struct io *io, size_t n)
{
    return move(io, NULL, n, CLEAR, IO_RUNTIME);
}
