/* SPDX-License-Identifier: Apache-2.0
 *
 * Making sockets, naming them, connecting them. */
#include "libos/net/net.h"

#include <linux/in.h>
#include <linux/poll.h>
#include <linux/time.h>

#include <asm/socket.h>

#define NS 1000000000ll

long net_call(long nr, long max, long a0, long a1, long a2, long a3, long a4, long a5)
{
    long untrusted_result;
    unsigned times = 0;

    do {
        untrusted_result = ocall_syscall(nr, a0, a1, a2, a3, a4, a5);
    } while (untrusted_result == -EINTR && !host_interrupts_for_ever(nr, &times));
    return untrusted_result == -EINTR ? -EIO : host_result(nr, untrusted_result, max);
}

/* A call of the host's was cut short, by an interrupt of the enclave if by nothing else. It would begin its timeout anew, so
 * what is left of it passes in poll. -EAGAIN: nothing is left. */
static long wait_for_rest(const struct file *file, short events, int64_t deadline)
{
    int64_t left = deadline - time_now(CLOCK_MONOTONIC), time[2] = {left / NS, left % NS};
    struct pollfd poll = {.fd = file->host_fd, .events = events};
    size_t mark = bounce_mark();
    const void *untrusted_poll = host_put(&poll, sizeof(poll)), *untrusted_time = host_put(time, sizeof(time));
    long status = -EAGAIN;

    if (left > 0)
        status = untrusted_poll && untrusted_time ? ocall_syscall_intr(__NR_ppoll, (long)untrusted_poll, 1, (long)untrusted_time, 0, 8, 0)
                                                  : -ENOMEM;
    bounce_release(mark);
    return left <= 0 || status == -ENOMEM ? status : status ? 0 : -EAGAIN;
}

long net_call_blocking(struct file *file, short events, uint32_t flags, long nr, long max, const long a[6])
{
    const struct socket *s = socket_of(file);
    int64_t timeout = !s ? 0 : events == POLLIN ? s->receive_timeout : s->send_timeout;
    int64_t deadline = timeout ? time_now(CLOCK_MONOTONIC) + timeout : -1;
    struct storm storm = {0};

    if (file_nonblocking(file) || flags & MSG_DONTWAIT)
        return net_call(nr, max, a[0], a[1], a[2], a[3], a[4], a[5]);
    do {
        long untrusted_result = ocall_syscall_intr(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (untrusted_result != -EINTR)
            return host_result(nr, untrusted_result, max);
        long error = interrupted();
        if (error)
            return timeout ? -EINTR : error;
        error = timeout ? wait_for_rest(file, events, deadline) : 0;
        if (error)
            return error;
    } while (!host_storms(nr, &storm));
    return -EIO;
}

/* ---- a socket as a file ------------------------------------------------------------------------------------------ */
static long socket_read(struct file *file, struct io *io, int64_t offset)
{
    (void)offset;
    return io->left ? socket_receive(file, io, 0, NULL) : 0;
}

static long socket_write(struct file *file, struct io *io, int64_t offset)
{
    (void)offset;
    return socket_send(file, io, 0, NULL, NULL, 0);
}

static long socket_stat(struct file *file, struct stat *stat)
{
    return stat_host(file->host_fd, NULL, 0, stat);
}

/* ---- UNIX sockets that are bound to a path ----------------------------------------------------------------------- */
static lock_t names_lock;
static struct socket *named;

static void name_socket(struct socket *s, const struct address *local, const struct address *host)
{
    bool again;

    lock(&names_lock);
    again = s->host_local.length != 0; /* Linux binds once, but the host may say it did it again */
    s->host_local = *host;
    address_end_path(&s->host_local);
    lock(&s->lock);
    s->local = *local;
    unlock(&s->lock);
    if (!again) {
        s->next_named = named;
        named = s;
    }
    unlock(&names_lock);
}

static void forget_name(struct socket *s)
{
    lock(&names_lock);
    for (struct socket **at = &named; *at; at = &(*at)->next_named) {
        if (*at == s) {
            *at = s->next_named;
            break;
        }
    }
    unlock(&names_lock);
}

/* Another process has bound it: a name that the program can use, or none. */
static void name_of_other(struct address *address, const struct address *host)
{
    char path[ADDRESS_SIZE + 1] = {0}, inside[ADDRESS_SIZE + 1];

    memcpy(path, host->bytes + 2, host->length - 2);
    if (path[0] != '/') /* as that process called it from where it was */
        return;
    *address = (struct address){.length = 2, .family = AF_UNIX};
    if (!path_from_host(path, inside, sizeof(inside)) || strlen(inside) >= 108)
        return;
    memcpy(address->bytes + 2, inside, strlen(inside) + 1);
    address->length = (uint32_t)(2 + strlen(inside) + 1);
}

void socket_name_inside(struct address *address)
{
    struct address host = *address;

    if (!address_is_path(address))
        return;
    address_end_path(&host);
    lock(&names_lock);
    struct socket *s = named;
    while (s && (s->host_local.length != host.length || memcmp(s->host_local.bytes, host.bytes, host.length)))
        s = s->next_named;
    if (s) {
        lock(&s->lock);
        *address = s->local;
        unlock(&s->lock);
    }
    unlock(&names_lock);
    if (!s)
        name_of_other(address, &host);
}

static void socket_release(struct file *file)
{
    struct socket *s = file->object;

    if (s->host_local.length)
        forget_name(s);
    if (s->end)
        flights_forget(s->end);
    host_close(file->host_fd);
    kfree(s);
}

static const struct file_ops socket_ops = {
    .read = socket_read,
    .write = socket_write,
    .stat = socket_stat,
    .ioctl = socket_ioctl,
    .release = socket_release,
};

struct socket *socket_of(const struct file *file)
{
    return file->ops == &socket_ops ? file->object : NULL;
}

bool socket_is_stream(const struct file *file)
{
    const struct socket *s = socket_of(file);
    return !s || s->type == SOCK_STREAM;
}

struct file *socket_from_fd(int fd, long *error)
{
    struct file *file = file_from_fd(fd);

    *error = 0;
    if (!file || file->flags & O_PATH) {
        *error = -EBADF;
    } else if (file->host_fd < 0 || file_type(file) != S_IFSOCK) {
        *error = -ENOTSOCK;
    }
    if (*error && file) {
        file_put(file);
        file = NULL;
    }
    return file;
}

/* Takes over the host's descriptor. */
static struct file *new_socket(int host_fd, int family, int type, int protocol)
{
    struct socket *s = kzalloc(sizeof(*s));
    struct file *file = s ? file_new(&socket_ops, O_RDWR | ((uint32_t)type & SOCK_NONBLOCK), NULL) : NULL;

    if (!file) {
        kfree(s);
        host_close(host_fd);
        return NULL;
    }
    s->family = family;
    s->type = type & SOCK_TYPE_MASK;
    s->protocol = protocol;
    file->object = s;
    file->host_fd = host_fd;
    file->type = S_IFSOCK;
    return file;
}

static long ask_int(int host_fd, int option, int *value)
{
    struct { int value, length; } data = {0, sizeof(int)};
    size_t mark = bounce_mark();
    char *untrusted = host_put(&data, sizeof(data));
    long status = -ENOMEM;

    if (untrusted)
        status = net_call(__NR_getsockopt, 0, host_fd, SOL_SOCKET, option, (long)untrusted, (long)untrusted + 4, 0);
    if (!status)
        untrusted_read(value, untrusted, sizeof(*value));
    bounce_release(mark);
    return status;
}

struct file *socket_adopt(int host_fd)
{
    int family = AF_UNSPEC, type = SOCK_STREAM;

    ask_int(host_fd, SO_DOMAIN, &family);
    ask_int(host_fd, SO_TYPE, &type);
    long flags = host_call(__NR_fcntl, NET_INT_LIMIT, host_fd, F_GETFL, 0, 0, 0);
    int status = flags > 0 && flags & O_NONBLOCK ? SOCK_NONBLOCK : 0;
    return new_socket(host_fd, family, (type & SOCK_TYPE_MASK) | status, 0);
}

static long check_kind(int family, int type, int protocol)
{
    bool known = family == AF_UNIX || family == AF_INET || family == AF_INET6 || (family == AF_NETLINK && !protocol);

    if (type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC))
        return -EINVAL;
    if (!known) {
        log_line(VIGIL_LOG_DEBUG, "socket: family %d is not supported (UNIX, INET, INET6 and NETLINK_ROUTE are): EAFNOSUPPORT", family);
        return -EAFNOSUPPORT;
    }
    return 0;
}

long sys_socket(SYSCALL_ARGS)
{
    int family = (int)a0, type = (int)a1;
    long status = check_kind(family, type, (int)a2);

    if (status)
        return status;
    long host_fd = net_call(__NR_socket, NET_INT_LIMIT, family, type | SOCK_CLOEXEC, (int)a2, 0, 0, 0);
    if (host_fd < 0)
        return host_fd;
    struct file *file = new_socket((int)host_fd, family, type, (int)a2);
    return file ? fd_install(file, 0, type & SOCK_CLOEXEC) : -ENOMEM;
}

static void close_number(long fd)
{
    struct file *file = fd_take((uint32_t)fd);
    if (file)
        file_put(file);
}

/* Both ends get a number, and the program learns them, or neither is left. */
static long install_pair(struct file *ends[2], bool cloexec, long user_fds)
{
    int fds[2];
    long first = fd_install(ends[0], 0, cloexec);

    if (first < 0) {
        file_put(ends[1]);
        return first;
    }
    long second = fd_install(ends[1], 0, cloexec);
    fds[0] = (int)first;
    fds[1] = (int)second;
    if (second >= 0 && !copy_to_user((void *)user_fds, fds, sizeof(fds)))
        return 0;
    close_number(first);
    if (second < 0)
        return second;
    close_number(second);
    return -EFAULT;
}

static long host_pair(int family, int type, int protocol, int host_fds[2])
{
    size_t mark = bounce_mark();
    void *untrusted_fds = bounce_alloc(2 * sizeof(int));
    long status = -ENOMEM;

    if (untrusted_fds)
        status = net_call(__NR_socketpair, 0, family, type | SOCK_CLOEXEC, protocol, (long)untrusted_fds, 0, 0);
    if (!status) {
        untrusted_read(host_fds, untrusted_fds, 2 * sizeof(int));
        if (host_fds[0] < 0 || host_fds[1] < 0 || host_fds[0] == host_fds[1])
            status = host_result(__NR_socketpair, 1, 0);
    }
    bounce_release(mark);
    return status;
}

static uint64_t last_end;

long sys_socketpair(SYSCALL_ARGS)
{
    int family = (int)a0, type = (int)a1, host_fds[2];
    struct file *ends[2];
    long status = check_kind(family, type, (int)a2);

    if (!status)
        status = host_pair(family, type, (int)a2, host_fds);
    if (status)
        return status;
    ends[0] = new_socket(host_fds[0], family, type, (int)a2);
    ends[1] = new_socket(host_fds[1], family, type, (int)a2);
    if (ends[0] && ends[1] && family == AF_UNIX) {
        struct socket *one = ends[0]->object, *two = ends[1]->object;
        one->end = two->peer_end = __atomic_add_fetch(&last_end, 1, __ATOMIC_RELAXED);
        two->end = one->peer_end = __atomic_add_fetch(&last_end, 1, __ATOMIC_RELAXED);
    }
    if (ends[0] && ends[1])
        return install_pair(ends, type & SOCK_CLOEXEC, a3);
    for (int i = 0; i < 2; i++)
        if (ends[i])
            file_put(ends[i]);
    return -ENOMEM;
}

/* ---- naming and connecting --------------------------------------------------------------------------------------- */
static void remember(struct file *file, bool peer, const struct address *address)
{
    struct socket *s = socket_of(file);

    if (!s || s->family != AF_UNIX)
        return;
    lock(&s->lock);
    *(peer ? &s->peer : &s->local) = *address;
    unlock(&s->lock);
}

/* False: the host is to be asked. */
static bool recall(struct file *file, bool peer, struct address *address)
{
    struct socket *s = socket_of(file);

    if (!s)
        return false;
    lock(&s->lock);
    *address = peer ? s->peer : s->local;
    unlock(&s->lock);
    return address->length != 0;
}

static long with_address(int fd, uint64_t user, long length, long nr)
{
    struct address address, host;
    long status;
    struct file *file = socket_from_fd(fd, &status);

    if (!file)
        return status;
    bool connects = nr == __NR_connect;
    status = address_from_user(&address, user, (int)length);
    if (!status)
        status = address_for_host(&host, &address, connects);
    if (!status) {
        const void *untrusted_address = host_put(host.bytes, ADDRESS_SIZE);
        const long arguments[6] = {file->host_fd, (long)untrusted_address, host.length};
        status = !untrusted_address ? -ENOMEM : net_call_blocking(file, POLLOUT, connects ? 0 : MSG_DONTWAIT, nr, 0, arguments);
    }
    /* An autobind (a name of no length) is the host's choice, and asked for. */
    if (!status && address.length > sizeof(uint16_t)) {
        address_end_path(&address);
        if (!connects && address_is_path(&address) && socket_of(file))
            name_socket(socket_of(file), &address, &host);
        else
            remember(file, connects, &address);
    }
    file_put(file);
    return status;
}

long sys_bind(SYSCALL_ARGS)
{
    return with_address((int)a0, (uint64_t)a1, a2, __NR_bind);
}

long sys_connect(SYSCALL_ARGS)
{
    return with_address((int)a0, (uint64_t)a1, a2, __NR_connect);
}

long sys_listen(SYSCALL_ARGS)
{
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = net_call(__NR_listen, 0, file->host_fd, (int)a1, 0, 0, 0, 0);
    file_put(file);
    return status;
}

long sys_shutdown(SYSCALL_ARGS)
{
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = net_call(__NR_shutdown, 0, file->host_fd, (int)a1, 0, 0, 0, 0);
    file_put(file);
    return status;
}

/* An address that the host writes, with the length behind it. */
struct untrusted_name { uint8_t bytes[ADDRESS_SIZE]; uint32_t length; };

static long take_name(struct address *address, const struct untrusted_name *untrusted_name)
{
    uint32_t untrusted_length;

    untrusted_read(&untrusted_length, &untrusted_name->length, sizeof(untrusted_length));
    return address_from_host(address, untrusted_name->bytes, untrusted_length);
}

static struct untrusted_name *room_for_name(void)
{
    struct untrusted_name name = {.length = ADDRESS_SIZE};
    return host_put(&name, sizeof(name));
}

static long accept_file(struct file *file, int flags, struct address *from, struct file **accepted)
{
    const struct socket *s = socket_of(file);
    struct untrusted_name *untrusted_name = room_for_name();

    if (!untrusted_name)
        return -ENOMEM;
    const long arguments[6] = {file->host_fd, (long)untrusted_name->bytes, (long)&untrusted_name->length, flags | SOCK_CLOEXEC};
    long host_fd = net_call_blocking(file, POLLIN, 0, __NR_accept4, NET_INT_LIMIT, arguments);
    if (host_fd < 0)
        return host_fd;
    *accepted = new_socket((int)host_fd, s ? s->family : AF_UNSPEC, (s ? s->type : SOCK_STREAM) | flags, s ? s->protocol : 0);
    if (!*accepted)
        return -ENOMEM;
    if (s) { /* as the host's socket does */
        socket_of(*accepted)->receive_timeout = s->receive_timeout;
        socket_of(*accepted)->send_timeout = s->send_timeout;
    }
    long status = take_name(from, untrusted_name);
    struct address local;
    if (!status && recall(file, false, &local))
        remember(*accepted, false, &local);
    if (status)
        file_put(*accepted);
    return status;
}

static long do_accept(int fd, uint64_t user, uint64_t user_length, int flags)
{
    struct file *accepted = NULL;
    struct address from;
    long status;

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    struct file *file = socket_from_fd(fd, &status);
    if (!file)
        return status;
    status = accept_file(file, flags, &from, &accepted);
    file_put(file);
    if (!status) {
        status = address_to_user(&from, user, user_length);
        if (status)
            file_put(accepted);
    }
    return status ? status : fd_install(accepted, 0, flags & SOCK_CLOEXEC);
}

long sys_accept(SYSCALL_ARGS)
{
    return do_accept((int)a0, (uint64_t)a1, (uint64_t)a2, 0);
}

long sys_accept4(SYSCALL_ARGS)
{
    return do_accept((int)a0, (uint64_t)a1, (uint64_t)a2, (int)a3);
}

static long ask_name(int fd, uint64_t user, uint64_t user_length, long nr)
{
    struct address address;
    long status;
    struct file *file = socket_from_fd(fd, &status);

    if (!file)
        return status;
    struct untrusted_name *untrusted_name = room_for_name();
    status = untrusted_name ? net_call(nr, 0, file->host_fd, (long)untrusted_name->bytes, (long)&untrusted_name->length, 0, 0, 0)
                            : -ENOMEM;
    if (!status && !recall(file, nr == __NR_getpeername, &address))
        status = take_name(&address, untrusted_name);
    file_put(file);
    return status ? status : user ? address_to_user(&address, user, user_length) : -EFAULT;
}

long sys_getsockname(SYSCALL_ARGS)
{
    return ask_name((int)a0, (uint64_t)a1, (uint64_t)a2, __NR_getsockname);
}

long sys_getpeername(SYSCALL_ARGS)
{
    return ask_name((int)a0, (uint64_t)a1, (uint64_t)a2, __NR_getpeername);
}
