/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending and receiving. Data crosses in bounce memory, once; a datagram in one piece, a stream in as many as it takes. */
#include "libos/net/net.h"

#include <linux/poll.h>
#include <linux/time.h>

#define SEND_FLAGS (MSG_OOB | 0x4u | MSG_DONTWAIT | MSG_EOR | 0x800u | MSG_NOSIGNAL | 0x8000u | 0x20000000u)
#define RECEIVE_FLAGS (MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_WAITALL | MSG_ERRQUEUE | MSG_CMSG_CLOEXEC)
#define ANSWERED_FLAGS (MSG_OOB | MSG_CTRUNC | MSG_TRUNC | MSG_EOR | MSG_ERRQUEUE)
#define MARGIN 4096u                /* of bounce memory, for what is not data */

/* What the host is shown of a message: one piece of memory each. */
struct untrusted_message {
    struct message head;
    struct piece piece;
    uint8_t name[ADDRESS_SIZE];
};

/* Room for the next piece: all of a datagram, so that it stays one. */
static long piece_size(const struct file *file, const struct io *io, size_t *size)
{
    size_t room = bounce_left() > 2 * MARGIN ? bounce_left() - 2 * MARGIN : 0;

    *size = io->left;
    if (socket_is_stream(file) && *size > IO_CHUNK)
        *size = IO_CHUNK;
    if (*size <= room)
        return 0;
    *size = room;
    return socket_is_stream(file) && room ? 0 : -EMSGSIZE;
}

/* The host did less than all of it: because an interrupt of the enclave cut it short, unless the program is not to wait or
 * a signal is there. */
static bool goes_on(const struct file *file, uint32_t flags)
{
    return socket_is_stream(file) && !file_nonblocking(file) && !(flags & MSG_DONTWAIT) && !interrupted();
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */
static long send_message(struct file *file, const void *untrusted_data, size_t n, uint32_t flags, const struct address *to,
                         const void *control, size_t length)
{
    struct untrusted_message m = {0}, *untrusted_message = bounce_alloc(sizeof(m));
    void *untrusted_control = length ? host_put(control, length) : NULL;

    if (!untrusted_message || (length && !untrusted_control))
        return -ENOMEM;
    m.piece = (struct piece){(uint64_t)untrusted_data, n};
    m.head = (struct message){.vector = (uint64_t)&untrusted_message->piece, .count = 1, .control = (uint64_t)untrusted_control,
                              .control_length = length};
    if (to) {
        memcpy(m.name, to->bytes, ADDRESS_SIZE);
        m.head.name = (uint64_t)untrusted_message->name;
        m.head.name_length = to->length;
    }
    untrusted_write(untrusted_message, &m, sizeof(m));
    const long arguments[6] = {file->host_fd, (long)untrusted_message, flags | MSG_NOSIGNAL};
    return net_call_blocking(file, POLLOUT, flags, __NR_sendmsg, (long)n, arguments);
}

static long send_piece(struct file *file, const void *untrusted_data, size_t n, uint32_t flags, const struct address *to,
                       const void *control, size_t length)
{
    const void *untrusted_to = NULL;

    if (length)
        return send_message(file, untrusted_data, n, flags, to, control, length);
    if (to && !(untrusted_to = host_put(to->bytes, ADDRESS_SIZE)))
        return -ENOMEM;
    const long arguments[6] = {file->host_fd, (long)untrusted_data, (long)n, flags | MSG_NOSIGNAL, (long)untrusted_to, to ? to->length : 0};
    return net_call_blocking(file, POLLOUT, flags, __NR_sendto, (long)n, arguments);
}

/* All of a piece, as far as the program waits for it; to and control go with its first part. */
static long send_all(struct file *file, const char *untrusted_data, size_t n, uint32_t flags, const struct address *to,
                     const void *control, size_t length)
{
    size_t sent = 0;
    long result;

    do {
        size_t mark = bounce_mark();
        result = send_piece(file, untrusted_data + sent, n - sent, flags, to, control, length);
        bounce_release(mark);
        length = 0;
        if (result > 0)
            sent += (size_t)result;
    } while (result > 0 && sent < n && goes_on(file, flags));
    return sent ? (long)sent : result;
}

long socket_send(struct file *file, struct io *io, uint32_t flags, const struct address *to, const void *control, size_t length)
{
    size_t start = bounce_mark(), size;
    long done = 0, result = piece_size(file, io, &size);

    if (!result && flags & ~SEND_FLAGS)
        result = -EOPNOTSUPP;
    void *untrusted_data = result ? NULL : bounce_alloc(size + 16);
    if (!untrusted_data)
        return result ? result : -ENOMEM;
    do {
        size_t n = io->left < size ? io->left : size, mark = bounce_mark();
        result = n ? io_get(io, untrusted_data, n, IO_UNTRUSTED) : 0;
        if (result >= 0 && (size_t)result < n && !socket_is_stream(file))
            result = -EFAULT; /* half a datagram is none */
        if (result >= 0)
            result = send_all(file, untrusted_data, n = (size_t)result, flags, to, control, length);
        bounce_release(mark);
        length = 0; /* goes with the first piece */
        if (result > 0)
            done += result;
        if (result < 0 || (size_t)result < n)
            break;
    } while (io->left);
    bounce_release(start);
    if (result == -EPIPE && !done && !(flags & MSG_NOSIGNAL) && socket_is_stream(file))
        signal_broken_pipe();
    return done ? done : result;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */
static long receive_message(struct file *file, void *untrusted_data, size_t n, uint32_t flags, long max, struct received *r)
{
    struct untrusted_message m = {0}, *untrusted_message = bounce_alloc(sizeof(m));
    void *untrusted_control = r->control_length ? bounce_alloc(r->control_length) : NULL;
    size_t room = r->control_length;

    if (!untrusted_message || (room && !untrusted_control))
        return -ENOMEM;
    m.piece = (struct piece){(uint64_t)untrusted_data, n};
    m.head = (struct message){.name = (uint64_t)untrusted_message->name, .name_length = ADDRESS_SIZE,
                              .vector = (uint64_t)&untrusted_message->piece, .count = 1, .control = (uint64_t)untrusted_control,
                              .control_length = room};
    untrusted_write(untrusted_message, &m, sizeof(m));
    const long arguments[6] = {file->host_fd, (long)untrusted_message, flags | MSG_CMSG_CLOEXEC};
    long result = net_call_blocking(file, POLLIN, flags, __NR_recvmsg, max, arguments);
    if (result < 0)
        return result;
    untrusted_read(&m.head, untrusted_message, sizeof(m.head));
    if (m.head.control_length > room)
        return host_result(__NR_recvmsg, INT64_MAX, 0);
    r->control_length = m.head.control_length;
    r->flags = (m.head.flags & ANSWERED_FLAGS) | (flags & MSG_CMSG_CLOEXEC);
    if (r->control_length)
        untrusted_read(r->control, untrusted_control, r->control_length);
    if (r->from) {
        long status = address_from_host(r->from, untrusted_message->name, m.head.name_length);
        if (status)
            return status;
    }
    return result;
}

static long receive_from(struct file *file, void *untrusted_data, size_t n, uint32_t flags, long max, struct address *from)
{
    struct { uint8_t bytes[ADDRESS_SIZE]; uint32_t length; } name = {.length = ADDRESS_SIZE}, *untrusted_name = NULL;

    if (from && !(untrusted_name = host_put(&name, sizeof(name))))
        return -ENOMEM;
    const long arguments[6] = {file->host_fd, (long)untrusted_data, (long)n, flags, from ? (long)untrusted_name->bytes : 0,
                               from ? (long)&untrusted_name->length : 0};
    long result = net_call_blocking(file, POLLIN, flags, __NR_recvfrom, max, arguments);
    if (result < 0 || !from)
        return result;
    untrusted_read(&name.length, &untrusted_name->length, sizeof(name.length));
    long status = address_from_host(from, untrusted_name->bytes, name.length);
    return status ? status : result;
}

/* One piece. How many bytes the host reports, of which no more than n have arrived. */
static long receive_piece(struct file *file, struct io *io, void *untrusted_data, size_t n, uint32_t flags, struct received *r)
{
    long max = flags & MSG_TRUNC ? NET_INT_LIMIT : (long)n; /* MSG_TRUNC asks how long it was */
    long result = r && r->control ? receive_message(file, untrusted_data, n, flags, max, r)
                                  : receive_from(file, untrusted_data, n, flags, max, r ? r->from : NULL);

    if (result <= 0)
        return result;
    size_t arrived = (size_t)result < n ? (size_t)result : n;
    bool thrown_away = flags & MSG_TRUNC && socket_is_stream(file); /* TCP: nothing is copied */
    long copied = arrived && !thrown_away ? io_put(io, untrusted_data, arrived, IO_UNTRUSTED) : (long)arrived;
    return copied < 0 ? copied : (size_t)copied < arrived ? -EFAULT : result;
}

long socket_receive(struct file *file, struct io *io, uint32_t flags, struct received *r)
{
    size_t start = bounce_mark(), size;
    long done = 0, result = 0;

    if (flags & ~RECEIVE_FLAGS)
        return -EOPNOTSUPP;
    piece_size(file, io, &size); /* what does not fit of a datagram is cut off */
    void *untrusted_data = bounce_alloc(size + 16);
    if (!untrusted_data)
        return -ENOMEM;
    do {
        size_t n = io->left < size ? io->left : size, mark = bounce_mark();
        result = receive_piece(file, io, untrusted_data, n, flags, done ? NULL : r);
        bounce_release(mark);
        if (result > 0)
            done += result;
        if (result <= 0 || ((size_t)result < n && !goes_on(file, flags)))
            break;
    } while (io->left && flags & MSG_WAITALL && !(flags & MSG_PEEK) && socket_is_stream(file));
    bounce_release(start);
    return done ? done : result;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */
long sys_sendto(SYSCALL_ARGS)
{
    struct address address, host;
    struct io io;
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = io_user(&io, (uint64_t)a1, (uint64_t)a2);
    if (!status && a4)
        status = address_from_user(&address, (uint64_t)a4, (int)a5);
    if (!status && a4)
        status = address_for_host(&host, &address, true);
    if (!status)
        status = socket_send(file, &io, (uint32_t)a3, a4 ? &host : NULL, NULL, 0);
    file_put(file);
    return status;
}

long sys_recvfrom(SYSCALL_ARGS)
{
    struct address from = {0};
    struct received r = {.from = &from};
    struct io io;
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = io_user(&io, (uint64_t)a1, (uint64_t)a2);
    if (!status)
        status = socket_receive(file, &io, (uint32_t)a3, a4 ? &r : NULL);
    file_put(file);
    if (status >= 0 && a4) {
        long error = address_to_user(&from, (uint64_t)a4, (uint64_t)a5);
        if (error)
            return error;
    }
    return status;
}

/* The data of a message, and what else it has, come in. */
static long read_message(struct message *m, struct io *io, uint64_t user, void **control)
{
    if (copy_from_user(m, (void *)user, sizeof(*m)))
        return -EFAULT;
    if (m->name && (int)m->name_length < 0)
        return -EINVAL;
    if (m->count > IO_VECTORS)
        return -EMSGSIZE;
    if (m->control_length > CONTROL_SIZE || !m->control)
        m->control_length = m->control ? CONTROL_SIZE : 0;
    *control = NULL;
    long status = io_user_vector(io, m->vector, m->count);
    if (!status && m->control_length && !(*control = kzalloc(m->control_length))) {
        io_free(io);
        status = -ENOMEM;
    }
    return status;
}

static long send_user_message(struct file *file, uint64_t user, uint32_t flags)
{
    struct address address, host;
    struct sending *sending = NULL;
    struct message m;
    struct io io;
    void *control;
    long status = read_message(&m, &io, user, &control);

    if (status)
        return status;
    bool named = m.name && m.name_length;
    if (named)
        status = address_from_user(&address, m.name, m.name_length > ADDRESS_SIZE ? ADDRESS_SIZE : (int)m.name_length);
    if (!status && named)
        status = address_for_host(&host, &address, true);
    if (!status && control && copy_from_user(control, (void *)m.control, m.control_length))
        status = -EFAULT;
    if (!status && control)
        status = control_for_host(file, control, m.control_length, &sending);
    if (!status)
        status = socket_send(file, &io, flags, named ? &host : NULL, control, m.control_length);
    sending_end(sending, status >= 0);
    io_free(&io);
    kfree(control);
    return status;
}

static long give_message(uint64_t user, const struct message *m, const struct received *r)
{
    struct message answer = *m;

    if (m->name) {
        uint32_t n = r->from->length < m->name_length ? r->from->length : m->name_length;
        if (n && copy_to_user((void *)m->name, r->from->bytes, n))
            return -EFAULT;
    }
    if (r->control_length && copy_to_user((void *)m->control, r->control, r->control_length))
        return -EFAULT;
    answer.name_length = m->name ? r->from->length : m->name_length;
    answer.control_length = r->control_length;
    answer.flags = r->flags;
    return copy_to_user((void *)user, &answer, sizeof(answer));
}

static long receive_user_message(struct file *file, uint64_t user, uint32_t flags)
{
    char none[16];
    struct address from = {0};
    struct message m;
    struct io io;
    void *control;
    long status = read_message(&m, &io, user, &control);

    if (status)
        return status;
    struct received r = {.from = &from, .control = control ? control : none, .control_length = m.control_length};
    long result = socket_receive(file, &io, flags, &r);
    if (result >= 0)
        status = control_from_host(r.control, &r.control_length, &r.flags, flags & MSG_CMSG_CLOEXEC, flags & MSG_PEEK);
    if (result >= 0 && !status)
        status = give_message(user, &m, &r);
    io_free(&io);
    kfree(control);
    return result < 0 ? result : status ? status : result;
}

static long one_message(int fd, uint64_t user, uint32_t flags, long (*call)(struct file *, uint64_t, uint32_t))
{
    long result;
    struct file *file = socket_from_fd(fd, &result);

    if (!file)
        return result;
    size_t mark = bounce_mark();
    result = call(file, user, flags);
    bounce_release(mark);
    file_put(file);
    return result;
}

long sys_sendmsg(SYSCALL_ARGS)
{
    return one_message((int)a0, (uint64_t)a1, (uint32_t)a2, send_user_message);
}

long sys_recvmsg(SYSCALL_ARGS)
{
    return one_message((int)a0, (uint64_t)a1, (uint32_t)a2, receive_user_message);
}

struct many { struct message message; uint32_t length, padding; }; /* struct mmsghdr */

/* As many as work; an error counts only if it is the first's. deadline: CLOCK_MONOTONIC ns, looked at after each, < 0: none */
static long several(int fd, uint64_t user, uint32_t count, uint32_t flags, bool sends, int64_t deadline)
{
    bool first_only = flags & MSG_WAITFORONE;
    uint32_t done = 0;
    long result = 0;

    flags &= ~MSG_WAITFORONE;
    if (count > IO_VECTORS)
        count = IO_VECTORS;
    while (done < count) {
        uint64_t at = user + done * sizeof(struct many);
        result = one_message(fd, at, flags, sends ? send_user_message : receive_user_message);
        uint32_t length = (uint32_t)result;
        if (result >= 0 && copy_to_user((char *)at + offsetof(struct many, length), &length, sizeof(length)))
            result = -EFAULT;
        if (result < 0)
            break;
        done++;
        if (first_only)
            flags |= MSG_DONTWAIT;
        if (deadline >= 0 && time_now(CLOCK_MONOTONIC) >= deadline)
            break;
    }
    return done ? (long)done : result;
}

long sys_sendmmsg(SYSCALL_ARGS)
{
    return several((int)a0, (uint64_t)a1, (uint32_t)a2, (uint32_t)a3, true, -1);
}

long sys_recvmmsg(SYSCALL_ARGS)
{
    int64_t deadline;
    long status = poll_read_deadline(a4, 1, &deadline);

    return status ? status : several((int)a0, (uint64_t)a1, (uint32_t)a2, (uint32_t)a3, false, deadline);
}
