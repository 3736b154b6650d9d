/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: TCP and UDP over both families, UNIX sockets of every type, names, options, messages with control data, waiting in
 * every way there is. */
#include "check.h"
#include "tempdir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

union name {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage all;
};

static socklen_t loopback(union name *name, int family)
{
    *name = (union name){0};
    name->any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        name->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        name->in6.sin6_addr = in6addr_loopback;
    return family == AF_INET ? sizeof(name->in) : sizeof(name->in6);
}

static int bound(int family, int type, union name *name)
{
    socklen_t length = loopback(name, family);
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(bind(fd, &name->any, length) == 0);
    length = sizeof(*name);
    CHECK(getsockname(fd, &name->any, &length) == 0);
    CHECK(name->any.sa_family == family && name->in.sin_port != 0);
    return fd;
}

static void connected(int family, int pair[2])
{
    union name name, peer, self;
    socklen_t length = sizeof(peer);
    int listener = bound(family, SOCK_STREAM, &name);

    CHECK(listen(listener, 5) == 0);
    pair[0] = socket(family, SOCK_STREAM, 0);
    CHECK(connect(pair[0], &name.any, sizeof(name)) == 0);
    pair[1] = accept4(listener, &peer.any, &length, SOCK_CLOEXEC);
    CHECK(pair[1] >= 0 && fcntl(pair[1], F_GETFD) == FD_CLOEXEC);
    length = sizeof(self);
    CHECK(getsockname(pair[0], &self.any, &length) == 0);
    CHECK(self.in.sin_port == peer.in.sin_port);
    length = sizeof(self);
    CHECK(getpeername(pair[0], &self.any, &length) == 0 && self.in.sin_port == name.in.sin_port);
    close(listener);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */
#define LARGE (3u << 20)

static void *write_all(void *argument)
{
    int fd = *(int *)argument;
    unsigned char *data = malloc(LARGE);

    for (size_t i = 0; i < LARGE; i++)
        data[i] = (unsigned char)((i * 2654435761u) >> 24);
    for (size_t done = 0; done < LARGE;) {
        ssize_t n = send(fd, data + done, LARGE - done, 0);
        CHECK(n > 0);
        done += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    free(data);
    return NULL;
}

static void streams(int family)
{
    unsigned char *data = malloc(LARGE);
    pthread_t thread;
    int pair[2];

    connected(family, pair);
    CHECK(pthread_create(&thread, NULL, write_all, &pair[0]) == 0);
    CHECK(recv(pair[1], data, 1, MSG_PEEK | MSG_WAITALL) == 1 && !data[0]);
    CHECK(recv(pair[1], data, LARGE, MSG_WAITALL) == LARGE);
    size_t same = 0;
    while (same < LARGE && data[same] == (unsigned char)((same * 2654435761u) >> 24))
        same++;
    CHECK_EQ(same, LARGE);
    CHECK(recv(pair[1], data, 10, 0) == 0);
    pthread_join(thread, NULL);
    struct iovec vector[3] = {{"ab", 2}, {"", 0}, {"cdef", 4}}, to[2] = {{data, 3}, {data + 10, 10}};
    CHECK(writev(pair[1], vector, 3) == 6);
    CHECK(readv(pair[0], to, 2) == 6 && !memcmp(data, "abc", 3) && !memcmp(data + 10, "def", 3));
    CHECK(recv(pair[0], data, 10, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    int waiting = -1, on = 1;
    CHECK(write(pair[1], "12345", 5) == 5);
    CHECK(poll(&(struct pollfd){.fd = pair[0], .events = POLLIN}, 1, 5000) == 1);
    CHECK(ioctl(pair[0], FIONREAD, &waiting) == 0 && waiting == 5);
    CHECK(ioctl(pair[0], FIONBIO, &on) == 0 && fcntl(pair[0], F_GETFL) & O_NONBLOCK);
    CHECK(read(pair[0], data, 100) == 5 && read(pair[0], data, 100) == -1 && errno == EAGAIN);
    close(pair[0]);
    close(pair[1]);
    free(data);
}

static volatile sig_atomic_t broken;
static void on_broken(int sig)
{
    (void)sig;
    broken++;
}

static void broken_pipes(void)
{
    int pair[2];

    signal(SIGPIPE, on_broken);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    close(pair[1]);
    CHECK(send(pair[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && !broken);
    CHECK(send(pair[0], "x", 1, 0) == -1 && errno == EPIPE && broken == 1);
    CHECK(write(pair[0], "x", 1) == -1 && errno == EPIPE && broken == 2);
    close(pair[0]);
    union name name;
    int fd = bound(AF_INET, SOCK_STREAM, &name), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client, &name.any, sizeof(name.in)) == -1 && errno == ECONNREFUSED);
    CHECK(recv(client, &name, 1, 0) == -1 && errno == ENOTCONN);
    close(client);
    close(fd);
}

static void not_waiting(void)
{
    union name name;
    int listener = bound(AF_INET, SOCK_STREAM, &name), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1;
    socklen_t length = sizeof(error);

    fcntl(listener, F_SETFL, O_NONBLOCK);
    CHECK(listen(listener, 1) == 0);
    CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN);
    CHECK(connect(client, &name.any, sizeof(name.in)) == 0 || errno == EINPROGRESS);
    CHECK(poll(&(struct pollfd){.fd = client, .events = POLLOUT}, 1, 5000) == 1);
    CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0 && length == sizeof(error));
    CHECK(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 5000) == 1);
    int accepted = accept(listener, NULL, NULL);
    CHECK(accepted >= 0 && !(fcntl(accepted, F_GETFL) & O_NONBLOCK));
    close(accepted);
    close(client);
    close(listener);
}

/* ---- datagrams --------------------------------------------------------------------------------------------------- */
static void datagrams(int family)
{
    static char data[70000], got[70000];
    union name a, b, from;
    socklen_t length = sizeof(from);
    int one = bound(family, SOCK_DGRAM, &a), two = bound(family, SOCK_DGRAM, &b);

    memset(data, 'd', sizeof(data));
    CHECK(sendto(one, data, 60000, 0, &b.any, sizeof(b)) == 60000);
    CHECK(recvfrom(two, got, sizeof(got), 0, &from.any, &length) == 60000 && !memcmp(data, got, 60000));
    CHECK(from.in.sin_port == a.in.sin_port);
    CHECK(sendto(one, data, sizeof(data), 0, &b.any, sizeof(b)) == -1 && errno == EMSGSIZE);
    CHECK(sendto(one, data, 0, 0, &b.any, sizeof(b)) == 0);
    CHECK(sendto(one, "hello", 5, 0, &b.any, sizeof(b)) == 5);
    CHECK(sendto(one, "again", 5, 0, &b.any, sizeof(b)) == 5);
    CHECK(recv(two, got, sizeof(got), 0) == 0);
    CHECK(recv(two, got, 2, MSG_PEEK | MSG_TRUNC) == 5);
    CHECK(recv(two, got, 2, 0) == 2 && !memcmp(got, "he", 2));
    CHECK(connect(two, &a.any, sizeof(a)) == 0);
    CHECK(recv(two, got, sizeof(got), 0) == 5 && !memcmp(got, "again", 5));
    CHECK(send(two, "back", 4, 0) == 4 && recv(one, got, sizeof(got), 0) == 4);
    struct iovec v[2] = {{"one", 3}, {"three", 5}}, w[2] = {{got, 100}, {got + 100, 100}};
    struct mmsghdr many[2] = {{.msg_hdr = {.msg_iov = &v[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &v[1], .msg_iovlen = 1}}};
    struct mmsghdr into[3] = {{.msg_hdr = {.msg_iov = &w[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &w[1], .msg_iovlen = 1}}};
    CHECK(sendmmsg(two, many, 2, 0) == 2 && many[0].msg_len == 3 && many[1].msg_len == 5);
    CHECK(recvmmsg(one, into, 2, MSG_WAITFORONE, NULL) == 2 && into[1].msg_len == 5 && !memcmp(got + 100, "three", 5));
    close(one);
    close(two);
}

/* ---- UNIX sockets ------------------------------------------------------------------------------------------------ */
static void unix_names(void)
{
    union name name = {.un = {.sun_family = AF_UNIX}}, got;
    socklen_t length;
    char byte;

    strcpy(name.un.sun_path, "socket");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, &name.any, sizeof(name.un)) == 0);
    CHECK(bind(client, &name.any, sizeof(name.un)) == -1 && errno == EADDRINUSE);
    CHECK(listen(listener, 1) == 0 && connect(client, &name.any, sizeof(name.un)) == 0);
    int accepted = accept(listener, NULL, NULL);
    CHECK(write(client, "x", 1) == 1 && read(accepted, &byte, 1) == 1 && byte == 'x');
    length = sizeof(got);
    CHECK(getpeername(client, &got.any, &length) == 0 && !strcmp(got.un.sun_path, name.un.sun_path));
    length = sizeof(got);
    CHECK(getsockname(accepted, &got.any, &length) == 0 && !strcmp(got.un.sun_path, name.un.sun_path));
    length = sizeof(got);
    CHECK(getpeername(accepted, &got.any, &length) == 0 && length == sizeof(sa_family_t));
    close(accepted), close(client), close(listener);
    CHECK(unlink(name.un.sun_path) == 0);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(client, &name.any, sizeof(name.un)) == -1 && errno == ENOENT);
    close(client);
    name.un.sun_path[0] = 0; /* abstract */
    listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK(bind(listener, &name.any, sizeof(name.un)) == 0 && listen(listener, 1) == 0);
    CHECK(connect(client, &name.any, sizeof(name.un)) == 0);
    accepted = accept(listener, NULL, NULL);
    CHECK(send(client, "ab", 2, 0) == 2 && send(client, "cd", 2, 0) == 2);
    char packet[8];
    CHECK(recv(accepted, packet, 8, 0) == 2 && recv(accepted, packet, 8, 0) == 2 && packet[0] == 'c');
    close(accepted), close(client), close(listener);
}

static void descriptors(void)
{
    union { struct cmsghdr head; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control = {0};
    static const char name[] = "sent";
    char data[16] = "";
    int pair[2], sent[2], got[2];
    struct iovec vector = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    sent[0] = open(name, O_RDWR | O_CREAT, 0600);
    sent[1] = pair[0];
    CHECK(write(sent[0], "content", 7) == 7);
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(sent)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), sent, sizeof(sent));
    CHECK(sendmsg(pair[0], &m, 0) == sizeof(data));
    memset(&control, 0, sizeof(control));
    CHECK(recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) == sizeof(data) && m.msg_controllen == sizeof(control) && m.msg_flags == MSG_CMSG_CLOEXEC);
    CHECK(control.head.cmsg_type == SCM_RIGHTS && control.head.cmsg_len == CMSG_LEN(sizeof(got)));
    memcpy(got, CMSG_DATA(&control.head), sizeof(got));
    CHECK(got[0] != sent[0] && fcntl(got[0], F_GETFD) == FD_CLOEXEC);
    CHECK(pread(got[0], data, 7, 0) == 7 && !memcmp(data, "content", 7));
    CHECK(send(got[1], "by another number", 10, 0) == 10 && recv(pair[1], data, 16, 0) == 10);
    m.msg_controllen = CMSG_LEN(sizeof(int));
    sent[0] = 9999;
    memcpy(CMSG_DATA(&control.head), sent, sizeof(sent));
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    CHECK(sendmsg(pair[0], &m, 0) == -1 && errno == EBADF);
    control.head.cmsg_len = 5;
    CHECK(sendmsg(pair[0], &m, 0) == -1 && errno == EINVAL);
    close(got[0]), close(got[1]), close(pair[0]), close(pair[1]);
    unlink(name);
}

/* ---- options, errors --------------------------------------------------------------------------------------------- */
static void options(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), value = 1;
    socklen_t length = sizeof(value);
    struct linger linger = {1, 7}, lingers;
    struct timeval timeout = {0, 50000};

    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) == 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0);
    value = 0;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value == 1 && length == sizeof(int));
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_STREAM);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length) == 0 && value == AF_INET);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    length = sizeof(lingers);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, &length) == 0 && lingers.l_linger == 7 && length == sizeof(lingers));
    length = 2;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && length == 2);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 1) == -1 && errno == EINVAL);
    CHECK(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)) == -1 && errno == ENOPROTOOPT);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
    CHECK(recv(pair[0], &value, 1, 0) == -1 && errno == EAGAIN);
    struct ucred credentials;
    length = sizeof(credentials);
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 && credentials.pid == getpid());
    CHECK(socketpair(AF_INET, SOCK_STREAM, 0, pair) == -1 && errno == EOPNOTSUPP);
    CHECK(recv(0x7ffffff, &value, 1, 0) == -1 && errno == EBADF);
    int zero = open("/dev/zero", O_RDONLY);
    CHECK(send(zero, &value, 1, 0) == -1 && errno == ENOTSOCK);
    close(zero);
    close(fd);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */
static void *send_later(void *argument)
{
    usleep(30000);
    CHECK(send(*(int *)argument, "!", 1, 0) == 1);
    return NULL;
}

static void waiting(void)
{
    int pair[2], set = epoll_create1(0), pipe_fds[2];
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 42}, got[4];
    pthread_t thread;
    char byte;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipe_fds) == 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event) == 0);
    event.data.u64 = 43;
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, pipe_fds[0], &event) == 0);
    CHECK(epoll_wait(set, got, 4, 10) == 0);
    pthread_create(&thread, NULL, send_later, &pair[0]);
    CHECK(epoll_wait(set, got, 4, 10000) == 1 && got[0].data.u64 == 42 && got[0].events == EPOLLIN);
    pthread_join(thread, NULL);
    CHECK(epoll_wait(set, got, 4, 0) == 0); /* an edge is reported once */
    CHECK(read(pair[1], &byte, 1) == 1 && byte == '!');
    pthread_create(&thread, NULL, send_later, &pair[0]);
    struct pollfd both[2] = {{.fd = pipe_fds[0], .events = POLLIN}, {.fd = pair[1], .events = POLLIN}};
    CHECK(poll(both, 2, 10000) == 1 && both[1].revents == POLLIN);
    pthread_join(thread, NULL);
    CHECK(read(pair[1], &byte, 1) == 1);
    fd_set reads;
    FD_ZERO(&reads);
    FD_SET(pair[1], &reads);
    pthread_create(&thread, NULL, send_later, &pair[0]);
    CHECK(select(pair[1] + 1, &reads, NULL, NULL, &(struct timeval){10, 0}) == 1 && FD_ISSET(pair[1], &reads));
    pthread_join(thread, NULL);
    CHECK(read(pair[1], &byte, 1) == 1);
    pthread_create(&thread, NULL, send_later, &pair[0]); /* and simply so */
    CHECK(read(pair[1], &byte, 1) == 1);
    pthread_join(thread, NULL);
    close(pair[0]);
    CHECK(poll(&both[1], 1, 0) == 1 && both[1].revents == (POLLIN | POLLHUP));
    close(pair[1]), close(set), close(pipe_fds[0]), close(pipe_fds[1]);
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void interrupted(void)
{
    int pair[2];
    char byte;
    struct sigaction action = {.sa_handler = on_alarm};

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    CHECK(recv(pair[0], &byte, 1, 0) == -1 && errno == EINTR);
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    ualarm(10000, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, send_later, &pair[1]);
    CHECK(recv(pair[0], &byte, 1, 0) == 1);
    pthread_join(thread, NULL);
    close(pair[0]), close(pair[1]);
}

static void files(void)
{
    static const char name[] = "file";
    char data[100];
    int pair[2];
    off_t offset = 10;

    int fd = open(name, O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 20; i++)
        CHECK(write(fd, "0123456789", 10) == 10);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(sendfile(pair[0], fd, &offset, 50) == 50 && offset == 60);
    CHECK(recv(pair[1], data, 100, 0) == 50 && !memcmp(data, "01234567890", 11));
    CHECK(dup2(pair[0], fd) == fd && write(fd, "over", 4) == 4 && recv(pair[1], data, 100, 0) == 4);
    close(pair[0]), close(pair[1]), close(fd);
    unlink(name);
}

static void streams_4(void)
{
    streams(AF_INET);
}

static void streams_6(void)
{
    streams(AF_INET6);
}

static void datagrams_4(void)
{
    datagrams(AF_INET);
}

static void datagrams_6(void)
{
    datagrams(AF_INET6);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "streams, IPv4", streams_4 },
        { "streams, IPv6", streams_6 },
        { "broken pipes", broken_pipes },
        { "not waiting", not_waiting },
        { "datagrams, IPv4", datagrams_4 },
        { "datagrams, IPv6", datagrams_6 },
        { "names of UNIX sockets", unix_names },
        { "descriptors in messages", descriptors },
        { "options", options },
        { "waiting", waiting },
        { "interrupted", interrupted },
        { "files", files },
    };

    tempdir_enter(argc, argv);
    return RUN_SECTIONS(sections, argc, argv);
}
